"""Cases decided in two halves, before and behind one hidden layer of few neurons: a Craig interpolant between them.

Where a layer of ReLUs comes down to few neurons that are on for any input of the region, the rest of the network is a small
problem of its own: for which values of theirs, anywhere in their ranges, may the case hold? Boxes of values answer that, with a
bound on each. If a half-space ``a . z + b >= 0`` holds all of these (:mod:`netproof.search.real.interpolants.separate`), then the case
is refuted as soon as ``a . z + b < 0`` is shown for all inputs, and that is asked of the part before the layer alone, by the same
search over signs as everything else. Nothing of the rest of the network is split any more, and a loose relaxation of it costs nothing.

Interpolants: Craig, *Three uses of the Herbrand-Gentzen theorem in relating model theory and proof theory*, 1957; preimages of output
conditions: Kotha et al., *Provably bounding neural network preimages*, NeurIPS 2023. That a half-space between what is reached and
what would have to be is what to ask for here is our own.

A search comes upon an input for which ``a . z + b >= 0`` now and then. Its values are what the next half-space has to leave out.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.loops.compiled import SignLoops
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.sign_steps import Choice, optimize_signs
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.prefix import prefix
from netproof.bounds.region import Region
from netproof.conditions.conditions import Conditions
from netproof.effort.real import INTERPOLANT
from netproof.query import Verdict, Witness
from netproof.search.outcome import Outcome
from netproof.search.real.interpolants.before import Before
from netproof.search.real.interpolants.separate import Halfspace, Points, separate
from netproof.search.real.interpolants.tail import Cover, Tail
from netproof.search.real.problem import Problem
from netproof.search.real.relu_split import ReluSplit
from netproof.solvers.highs.solve import HighsProcess, SolverError


class _Attained:
    """Takes inputs that bounds propose, and keeps those that meet a condition on the part before a layer."""

    def __init__(self, before: Before, condition: Conditions) -> None:
        self.before, self._condition = before, condition
        self.found: list[Tensor] = []

    def try_points(self, x: Tensor, case: Tensor) -> Witness | None:
        """A witness where the condition is met at one of the points ``[B, n]``."""
        y = self.before.graph.evaluate(x)
        met = (self._condition.margins(x, y, case)[:, 0] >= 0).nonzero()[:, 0]
        if not len(met):
            return None
        self.found.append(x[met])
        return Witness(x[met[0]], y[met[0]])


@dataclass(frozen=True, eq=False)
class _Half:
    """A search of the part before the ``k``-th activation for values in a half-space, begun, the inputs that it comes upon, and which share of the
    way from the largest value at points to the bound at its root is above 0: of 1 there is no hope."""

    k: int
    halfspace: Halfspace
    search: ReluSplit
    attained: _Attained
    open: float


class InterpolantSearch:
    """Halves of one query on a region of one row.

    Parameters
    ----------
    problem : nothing of it is recorded: certificates have no rule for it
    solver : of the programs that find half-spaces
    loops : by which bounds in float32 are computed, None for tensors
    """

    def __init__(self, problem: Problem, region: Region, solver: HighsProcess, loops: SignLoops | None = None) -> None:
        self._problem, self._region = problem, region
        self._solver, self._loops = solver, loops
        graph = problem.graph
        narrow = [k for k in range(1, len(graph.activations) - 1) if self._width(k) <= INTERPOLANT.features]
        tails = (Tail.of(graph, region, k, problem.constraints) for k in sorted(narrow, key=self._width))
        #: the narrowest first
        self._tails = [tail for tail in tails if tail is not None][: INTERPOLANT.layers]
        #: points of the region, at whose values nothing may be asked for
        self._inputs = self._sampled() if self._tails else region.lower
        #: the ends of what comes into these layers by linear forms
        self._linear: dict[int, tuple[Tensor, Tensor]] = {}
        #: half-spaces, by activation, of which no value is attained that is within their ends
        self._known: dict[int, list[Halfspace]] = {tail.k: [] for tail in self._tails}

    @property
    def has_layers(self) -> bool:
        """Whether there is any layer of few neurons that everything goes through."""
        return bool(self._tails)

    def run(self, case: Tensor, deadline: float, grace: float) -> Outcome:
        """Decide cases (numbers): all together where one half-space is good for all of them, and one by one elsewhere,
        to the first that is not refuted.

        After ``grace`` seconds a search stops when it does not look as if it came to its end in time, and before that when it is far from it.
        """
        count, left = 0, case
        if len(case) > 1:
            found = self._refuted(case, deadline, grace, INTERPOLANT.together)
            if found.verdict is Verdict.UNSAT:
                return found
            count = found.subproblems
        while len(left):
            found = self._refuted(left[:1], deadline, grace, INTERPOLANT.hopeless)
            count += found.subproblems
            if found.verdict is not Verdict.UNSAT:
                return Outcome(Verdict.UNKNOWN, count, left=left)
            left = left[1:]
        return Outcome(Verdict.UNSAT, count)

    def _refuted(self, case: Tensor, deadline: float, grace: float, promising: float) -> Outcome:
        """Whether all of some cases are refuted; a half-space is asked for where no more than ``promising`` of the way to the root's
        bound is open."""
        count = 0
        for _ in range(INTERPOLANT.attempts):
            best: _Half | None = None
            for tail in self._tails:
                half = self._half(tail, case, deadline, INTERPOLANT.parting * grace)
                if half is True:
                    return Outcome(Verdict.UNSAT, count)
                if half is not None:
                    count += half.search.count
                    best = half if best is None or half.open < best.open else best
                if best is not None and best.open <= INTERPOLANT.together:
                    break
            if best is None or best.open > promising:
                break
            before = best.search.count
            found = best.search.go_on(deadline, grace)
            count += best.search.count - before
            if found.verdict is Verdict.UNSAT:
                self._known[best.k].append(best.halfspace)
                return Outcome(Verdict.UNSAT, count)
            if found.verdict is not Verdict.SAT:
                break
            self._learn(best.attained)
        return Outcome(Verdict.UNKNOWN, count, left=case)

    def _half(self, tail: Tail, case: Tensor, deadline: float, seconds: float) -> _Half | Literal[True] | None:
        """What to ask of the part before a layer, by a half-space that may take so many seconds.

        None where nothing is of use, True where the cases are refuted already.
        """
        until = min(deadline, time.monotonic() + seconds)
        points = self._points(tail, deadline)
        try:
            found = self._parted(tail, case, points, until)
        except SolverError:
            return None
        if not isinstance(found, Halfspace):
            return found
        region = self._confined(tail, found)
        if bool(region.empty().any()):
            self._known[tail.k].append(found)
            return True
        form = tail.feature, found.a
        before = Before.of(self._problem.graph, region, tail.k, form, points.straight)
        one = torch.ones(1, 1, 1, dtype=torch.float64)
        condition = Conditions(before.graph, one, None, torch.full((1, 1), -found.b, dtype=torch.float64))
        attained = _Attained(before, condition)
        problem = Problem(before.graph, condition, attained, self._problem.memory // 4, self._problem.device)
        dual = SignDual.of(before.graph, before.region, loops=self._loops)
        search = ReluSplit(problem, dual, Rounding.of(before.graph, before.region), self._solver)
        if search.run(torch.zeros(1, dtype=torch.int64), deadline, most=1).verdict is Verdict.UNSAT:
            self._known[tail.k].append(found)
            return True
        is_known = found.gap > 0 and 0 < search.bound < math.inf
        share = search.bound / (search.bound + found.gap) if is_known else 1.0
        return _Half(tail.k, found, search, attained, share)

    def _parted(self, tail: Tail, case: Tensor, points: Points, deadline: float) -> Halfspace | Literal[True] | None:
        """A half-space, found on ever finer boxes, if there is one; True where no values are left for which one of the cases may
        hold."""
        low, high = (end.expand(len(case), -1) for end in (tail.region.lower, tail.region.upper))
        cover = self._open(tail, case, low, high)
        best: Halfspace | None = None
        boxes, enough = len(case), INTERPOLANT.boxes * len(case)
        while len(cover):
            found = separate(cover, points, self._solver, deadline)
            if found is not None and (best is None or found.gap > best.gap):
                if best is None or found.gap > INTERPOLANT.gain * best.gap:
                    enough = max(enough, INTERPOLANT.patience * boxes)
                best = found
            wide = best is not None and best.gap > INTERPOLANT.plenty
            if wide or boxes >= min(enough, INTERPOLANT.most_boxes) or time.monotonic() >= deadline:
                return best
            binding = torch.ones(len(cover), dtype=torch.bool) if found is None else found.binding
            halves = cover.take(binding).halves()
            boxes += len(halves[0])
            cover = Cover.concatenate([cover.take(~binding), self._open(tail, *halves)])
        return True

    def _open(self, tail: Tail, case: Tensor, low: Tensor, high: Tensor) -> Cover:
        """Of boxes ``[B, n]`` those in which cases ``[B]`` may hold, without those of which no value is attained, as is known."""
        cover = tail.cover(case, low, high)
        for known in self._known[tail.k]:
            cover = cover.take(~known.holds(cover))
        return cover

    def _width(self, k: int) -> int:
        """How many features of an activation are not 0 on all of the region."""
        return int((self._region.range_upper[k][0] > 0).sum())

    def _sampled(self) -> Tensor:
        """Points of the region, and corners: ``[P, n_input]``."""
        low, high = self._region.lower, self._region.upper
        drawn = torch.rand(
            INTERPOLANT.points, low.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        return torch.cat([low + (high - low) * drawn, torch.where(drawn > 0.5, high, low)])

    def _values(self, tail: Tail) -> Tensor:
        """What comes into the layer at all points, ``[P, n]``."""
        graph = self._problem.graph
        known = graph.nodes[graph.activations[tail.k]].operands[0]
        return graph.values(self._inputs)[known][:, tail.feature]

    def _confined(self, tail: Tail, found: Halfspace) -> Region:
        """The region, with what is left of the layer's ranges if its values are in a half-space and the cover that it holds.

        A value is above 0 only where it is what comes into the ReLU.
        """
        region, k, feature = self._region, tail.k, tail.feature
        low, high = found.confined(tail.region.lower[0], tail.region.upper[0])
        lower, upper = region.range_lower[k].clone(), region.range_upper[k].clone()
        lower[0, feature] = torch.where(low > 0, low, lower[0, feature])
        upper[0, feature] = upper[0, feature].minimum(high)
        return region.with_range(k, lower, upper)

    def _points(self, tail: Tail, deadline: float) -> Points:
        """What the layer attains, and what a search of the part before it will have to deal with beyond that.

        Ranges that splits found are no ends for linear forms: what counts is what these say at the root, through chords where there is a kink.
        """
        incoming = self._values(tail)
        low, high = (ends[tail.k][0, tail.feature] for ends in (self._region.range_lower, self._region.range_upper))
        if tail.k not in self._linear:
            self._linear[tail.k] = self._linear_ends(tail, deadline)
        first, last = self._linear[tail.k]
        slope = torch.where(low < 0, high / (high - low), 1.0)
        return Points.of(incoming, first, torch.where(low < 0, slope * (last - low), last).clamp(min=0))

    def _linear_ends(self, tail: Tail, deadline: float) -> tuple[Tensor, Tensor]:
        """The ends of what comes into the layer's features by linear forms, as good as float32: ``[n]`` each."""
        part = prefix(self._problem.graph, self._region, tail.k, tail.feature)
        dual = SignDual.of(part.graph, part.region).to(torch.float32, self._problem.device)
        n = len(tail.feature)
        c = torch.zeros(2 * n, len(part.feature), dtype=torch.float32, device=dual.device)
        c[torch.arange(2 * n), torch.searchsorted(part.feature, tail.feature).repeat(2)] = 1.0
        c[n:] *= -1
        last, none = len(part.graph.nodes) - 1, c.new_zeros(2 * n)

        def objective(which: Tensor, weight: Tensor) -> Objective:
            return Objective({last: c[which]}, none[which])

        side = torch.zeros(2 * n, len(dual), dtype=torch.int8)
        until = Until(INTERPOLANT.steps, -math.inf, deadline)
        value = optimize_signs(dual, objective, side, Choice.first(dual, 2 * n), until)[1].double().cpu()
        return -value[n:], value[:n]

    def _learn(self, attained: _Attained) -> None:
        """Take in inputs that a search came upon; what it did not depend on is at the centre."""
        found = torch.cat(attained.found)
        center = (self._region.lower + self._region.upper) / 2
        points = center.expand(len(found), -1).clone()
        points[:, attained.before.inputs] = found
        self._inputs = torch.cat([self._inputs, points])
