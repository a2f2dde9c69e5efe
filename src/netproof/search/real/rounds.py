"""The search on piecewise linear networks with many inputs: short searches, each with better ranges than the one before.

Splits at the output cost little and gain little while ranges are loose; better ranges cost more and gain more, and how
much of them is needed shows only in the search. So both take turns: CROWN ranges and a hundred subproblems; slopes for
every end of a range (:mod:`netproof.bounds.ranges.refine_alpha`); rounds of splits for every end
(:mod:`netproof.bounds.ends.refine_split`), each longer than the one before, with a search after it; and at last cells
(:mod:`netproof.search.real.cells`). On large networks, where a first round would take a good part of the time, there is one
long round instead, and a search for what is left of the time; on those where slopes for all ends would, a search alone.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.ends.refine_split import SplitRefiner
from netproof.bounds.ends.worth import weighed, worth_of_layers
from netproof.bounds.joint.fitting import Fitting
from netproof.bounds.joint.pairing import Pairing
from netproof.bounds.loops.compiled import SignLoops, sign_loops
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.prices import Pricing
from netproof.bounds.multipliers.sign_steps import Choice, optimize_signs
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.given import Given, ranges_given
from netproof.bounds.ranges.refine_alpha import BegunEnds, SlopedEnds, refine_by_alpha
from netproof.bounds.region import Region
from netproof.effort.bounding import GIVEN, REFINE
from netproof.effort.real import LOOPS, PAIRED, PLANED, ROUND, SIGN
from netproof.processes.loops import is_kept
from netproof.query import Verdict
from netproof.search.outcome import Outcome
from netproof.search.proofs.journal import Means
from netproof.search.real.cells import CellSearch
from netproof.search.real.interpolants.search import InterpolantSearch
from netproof.search.real.problem import Problem
from netproof.search.real.programs.leaf import leaf_solver
from netproof.search.real.programs.split import ProgramSplit
from netproof.search.real.relu_split import ReluSplit


class Rounds:
    """Search on one query whose graph is piecewise linear on the regions that are searched."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._solver = leaf_solver(problem.memory)
        #: slopes for ends of ranges of the whole region
        self._begun = BegunEnds(problem.memory // 8)
        #: whether planes are worth their while
        self._planes = True
        #: the search with planes or pairs that stood best when it was given up for better ranges, and its case
        self._kept: tuple[ReluSplit, int] | None = None
        #: whether there are layers of few neurons, before and behind which cases are asked for
        self._is_halved = False
        #: by which bounds are computed, once the search grows long
        self._loops: SignLoops | None = None

    def run(self, region: Region, case: Tensor, deadline: float) -> Outcome:
        """Decide cases (numbers) on a region of one row, or stop when ``time.monotonic()`` reaches ``deadline``."""
        with self._solver:
            return self._run(region, case, deadline)

    def _run(self, region: Region, case: Tensor, deadline: float) -> Outcome:
        graph, device = self._problem.graph, self._problem.device
        some = len(SignDual.of(graph, region)) > 0
        found = self._search(region, case, deadline, ROUND.easy if some else None)
        if _is_over(found, deadline) or not some:
            return found
        found = self._by_programs(region, found, deadline)
        if _is_over(found, deadline):
            return found
        begun = time.monotonic()
        until = begun + ROUND.alpha_share * (deadline - begun)
        region = refine_by_alpha(graph, region, ROUND.alpha_steps, until, device, self._sloped)
        self._take_down(region, Means.SLOPES)
        if time.monotonic() >= until:
            # Slopes did not come to all ends in their time. Splits of each would come to fewer, and searches get on without.
            return self._after(found, self._search(region, _left(found), deadline))
        seconds = ROUND.first_round * (time.monotonic() - begun)
        self._load(deadline)
        if seconds > ROUND.begin_share * (deadline - time.monotonic()):
            return self._in_one_round(region, found, deadline)
        found = self._searched(region, found, deadline, ROUND.search_share * seconds)
        if _is_over(found, deadline):
            return found
        if seconds > ROUND.begin_share * (deadline - time.monotonic()):
            return self._long_round(region, found, deadline)
        refiner = self._refiner(REFINE.layer_share)
        longest, is_last = ROUND.begin_share * (deadline - time.monotonic()), False
        while seconds <= longest:
            loose = _looseness(region)
            region = refiner.refine(region, seconds)
            self._take_down(region, Means.SPLITS)
            bound = found.bound
            found = self._searched(region, found, deadline, ROUND.search_share * seconds)
            if _is_over(found, deadline):
                return found
            if is_last or _looseness(region) > ROUND.worthwhile * loose:
                break
            falling = bound is not None and found.bound is not None and found.bound < ROUND.falling * bound
            gets_on = falling or self._is_halved
            longest = (ROUND.falling_share if gets_on else ROUND.round_share) * (deadline - time.monotonic())
            before, seconds = seconds, ROUND.round_growth * seconds
            # Where ranges are what counts, a last round that is shorter is better than none.
            if gets_on and seconds > longest >= ROUND.shortest * before:
                seconds, is_last = longest, True
        prospect = math.inf if self._kept is None else self._kept[0].prospect(deadline)
        if prospect < PAIRED.promising:
            return self._after(found, self._go_on(region, _left(found), deadline))
        left, kept = deadline - time.monotonic(), prospect < PAIRED.hopeless
        cells = CellSearch(self._problem, self._solver, self._loops)
        trial = PLANED.trial * left if kept else math.inf
        found = self._after(found, cells.run(region, _left(found), ROUND.cell_share * left, deadline, trial))
        if _is_over(found, deadline) or not kept:
            return found
        return self._after(found, self._go_on(region, _left(found), deadline))

    def _load(self, deadline: float) -> None:
        """Have the loops compiled, or loaded, where there is time for that to pay."""
        left = deadline - time.monotonic()
        if torch.device(self._problem.device).type != "cpu" or left < LOOPS.loading:
            return
        loops = sign_loops()
        if loops is not None and (left >= LOOPS.compiling or all(map(is_kept, loops))):
            self._loops = loops

    def _by_programs(self, region: Region, found: Outcome, deadline: float) -> Outcome:
        """For small networks: linear programs of all subproblems, to the end."""
        dual = SignDual.of(self._problem.graph, region)
        if not ProgramSplit.is_for(dual, self._problem.constraints):
            return found
        search = ProgramSplit(self._problem, dual, Rounding.of(self._problem.graph, region), self._solver)
        return self._after(found, search.run(_left(found), deadline))

    def _searched(self, region: Region, found: Outcome, deadline: float, grace: float) -> Outcome:
        """A search for what is open, and one by halves for what is open after that, with this time of grace each."""
        found = self._after(found, self._search(region, _left(found), deadline, grace=grace))
        return found if _is_over(found, deadline) else self._by_halves(region, found, deadline, grace)

    def _by_halves(self, region: Region, found: Outcome, deadline: float, grace: float) -> Outcome:
        """What is open, before and behind a layer of few neurons, if there is one; not where it is recorded, since no certificate says so."""
        if self._problem.record is not None:
            return found
        halves = InterpolantSearch(self._problem, region, self._solver, self._loops)
        self._is_halved = halves.has_layers
        left = halves.run(_left(found), deadline, grace)
        count = found.subproblems + left.subproblems
        if left.verdict is Verdict.UNSAT:
            return Outcome(Verdict.UNSAT, count)
        return replace(found, subproblems=count, left=left.left)

    def _in_one_round(self, region: Region, found: Outcome, deadline: float) -> Outcome:
        """For large networks: a search as long as it gets on, one long round, and a search for the rest of the time."""
        left = deadline - time.monotonic()
        found = self._after(found, self._search(region, _left(found), deadline, grace=ROUND.grace_share * left))
        if _is_over(found, deadline):
            return found
        return self._long_round(region, found, deadline)

    def _long_round(self, region: Region, found: Outcome, deadline: float) -> Outcome:
        """One long round, and a search for the rest of the time."""
        left = deadline - time.monotonic()
        share = PLANED.long_share if self._planes and self._kept is not None else ROUND.long_share
        worth = self._worth(region, _left(found), time.monotonic() + ROUND.grace_share * left)
        seconds = share * (deadline - time.monotonic())
        region = self._refiner(ROUND.long_layer_share).refine(region, seconds, worth)
        self._take_down(region, Means.SPLITS)
        found = self._by_halves(region, found, deadline, ROUND.grace_share * (deadline - time.monotonic()))
        return found if _is_over(found, deadline) else self._after(found, self._search(region, _left(found), deadline))

    def _sloped(self, ends: SlopedEnds) -> None:
        """Ends of ranges were bounded by slopes."""
        self._begun.sloped(ends)
        if self._problem.record is not None:
            self._problem.record.sloped(ends)

    def _worth(self, region: Region, case: Tensor, deadline: float) -> list[float] | None:
        """What ends of ranges are worth to the bounds of cases, by activations; None where that takes too long."""
        problem = self._problem
        dual = SignDual.of(problem.graph, region).to(torch.float32, problem.device)
        constraints = problem.constraints.to(torch.float32, problem.device)
        case = case.to(problem.device)

        def mixed(rows: Tensor, weight: Tensor) -> Objective:
            return constraints.mixed(case[rows], weight)

        asked = weighed(dual, mixed, len(case), constraints.width, Until(SIGN.root_steps, 0.0, deadline))
        return worth_of_layers(dual, asked, self._begun, deadline)

    def _refiner(self, layer_share: float) -> SplitRefiner:
        """Ranges by splits, which begin with the slopes that were found."""
        problem = self._problem
        refiner = SplitRefiner(
            problem.graph,
            memory=problem.memory // 2,
            layer_share=layer_share,
            device=problem.device,
            listen=None if problem.record is None else problem.record.searched,
        )
        refiner.begin_with(self._begun)
        refiner.use(self._loops)
        return refiner

    def _search(
        self, region: Region, case: Tensor, deadline: float, most: int | None = None, grace: float = math.inf
    ) -> Outcome:
        graph = self._problem.graph
        dual, rounding = SignDual.of(graph, region, loops=self._loops), Rounding.of(graph, region)
        search = ReluSplit(self._problem, dual, rounding, self._solver)
        # Planes and pairs take a second or more for every case.
        if most is not None or len(case) > PLANED.cases:
            return search.run(case, deadline, most, grace=grace)
        found = search.run(case, deadline, PLANED.easy * len(case), grace=grace)
        if _is_over(found, deadline):
            return found
        pairs = math.isinf(grace) or search.prospect(deadline) < PAIRED.prospect
        if not (self._planes or pairs):
            return search.go_on(deadline, grace)
        return self._after(found, self._one_by_one((dual, rounding), _left(found), deadline, grace, pairs=pairs))

    def _one_by_one(
        self, known: tuple[SignDual, Rounding], case: Tensor, deadline: float, grace: float, *, pairs: bool
    ) -> Outcome:
        """Every case by a search of its own, with planes and pairs that are good for it, the hardest first, to the first one that is not refuted."""
        count, left = 0, case[self._by_bounds(known[0], case)]
        is_recorded = self._problem.record is not None
        pairing = Pairing(*known, self._problem.device, keeps_slopes=True) if pairs and is_recorded else None
        while len(left):
            dual, rounding = known
            if pairs and not is_recorded:
                given = self._given(dual, rounding, left[:1], deadline)
                if given is None:
                    left = left[1:]
                    continue
                (dual, rounding), pairing = given, Pairing(*given, self._problem.device)
            pricing = Pricing(dual, rounding, self._problem.device) if self._planes else None
            kept = None if self._kept is None else self._kept[0]
            fitting = Fitting(pricing, pairing)
            search = ReluSplit(self._problem, dual, rounding, self._solver, fitting, kept)
            found = search.run(left[:1], deadline, grace=grace)
            count += found.subproblems
            if found.verdict is not Verdict.UNSAT:
                # Smaller ranges leave still less to planes.
                self._planes = fitting.has_planes
                if (self._planes or pairs) and (self._kept is None or search.bound < self._kept[0].bound):
                    self._kept = search, int(left[0])
                return replace(found, subproblems=count, left=None if found.left is None else left)
            left = left[1:]
        return Outcome(Verdict.UNSAT, count)

    def _given(
        self, dual: SignDual, rounding: Rounding, case: Tensor, deadline: float
    ) -> tuple[SignDual, Rounding] | None:
        """With ranges of the last activation where one case holds; None where it holds nowhere."""
        bound = math.inf
        for _ in range(GIVEN.passes):
            dual32 = dual.to(torch.float32, self._problem.device)
            condition = self._condition((dual32, rounding), case, deadline)
            before, bound = bound, condition.size
            if not 0 < bound < (1 - GIVEN.gain) * before or time.monotonic() >= deadline:
                break
            region = ranges_given(dual, rounding, condition, dual32, deadline, self._problem.memory)
            if bool(region.empty().any()):
                return None
            graph = self._problem.graph
            dual, rounding = SignDual.of(graph, region, loops=self._loops), Rounding.of(graph, region)
        return dual, rounding

    def _condition(self, known: tuple[SignDual, Rounding], case: Tensor, deadline: float) -> Given:
        """One case as a condition, its constraints weighed as they are at the root; the dual is in float32."""
        dual32, rounding = known
        constraints = self._problem.constraints
        constraints32 = constraints.to(torch.float32, dual32.device)
        row = case.to(dual32.device)

        def mixed(_: Tensor, weight: Tensor) -> Objective:
            return constraints32.mixed(row, weight)

        side = torch.zeros(1, len(dual32), dtype=torch.int8)
        until = Until(SIGN.root_steps, -math.inf, deadline)
        choice, value = optimize_signs(dual32, mixed, side, Choice.first(dual32, 1, constraints.width), until)
        own = choice.weight.double()

        def guide(share: Tensor) -> Objective:
            return constraints32.mixed(row.expand(len(share)), share[:, None] * own.to(share))

        def certain(share: Tensor) -> Objective:
            every, weight = case.expand(len(share)), share[:, None] * own
            error = constraints.mixing_error(every, weight, rounding)
            return replace(constraints.mixed(every, weight), error=error)

        return Given(guide, certain, float(value))

    def _go_on(self, region: Region, case: Tensor, deadline: float) -> Outcome:
        """To the end with the search that stood best, then with what else is open."""
        assert self._kept is not None
        search, first = self._kept
        if first not in case.tolist():
            return self._search(region, case, deadline)
        before, found = search.count, search.go_on(deadline)
        found = replace(found, subproblems=found.subproblems - before)
        rest = case[case != first]
        if found.verdict is not Verdict.UNSAT:
            return replace(found, left=None if found.left is None else case)
        if not len(rest):
            return found
        self._kept = None
        return self._after(found, self._search(region, rest, deadline))

    def _by_bounds(self, dual: SignDual, case: Tensor) -> Tensor:
        """The order of cases by their bounds on the region, the largest first."""
        constraints, rows = self._problem.constraints, len(case)
        weight = torch.full((rows, constraints.width), 1.0 / constraints.width, dtype=torch.float64)
        alpha, side = dual.crown_alpha()[None], torch.zeros(rows, len(dual), dtype=torch.int8)
        value = dual.bound(constraints.mixed(case, weight), side, alpha, torch.zeros_like(alpha)).value
        return value.argsort(descending=True, stable=True)

    def _take_down(self, region: Region, means: Means) -> None:
        """Record ranges of the whole region."""
        if self._problem.record is not None:
            self._problem.record.found(region, means)

    @staticmethod
    def _after(before: Outcome, found: Outcome) -> Outcome:
        """What a search found on all that the one before it left open."""
        bounds = [one.bound for one in (before, found) if one.bound is not None]
        bound = min(bounds) if bounds and not found.verdict.decided else None
        return replace(found, subproblems=before.subproblems + found.subproblems, bound=bound)


def _is_over(found: Outcome, deadline: float) -> bool:
    """Whether a search ended with a verdict, or for want of something that more time would not give."""
    return found.verdict in (Verdict.SAT, Verdict.UNSAT) or found.left is None or time.monotonic() >= deadline


def _looseness(region: Region) -> float:
    """The gaps of the chords of the last activation, all together."""
    if not region.range_lower:
        return 0.0
    low, high = region.range_lower[-1][0], region.range_upper[-1][0]
    gap = -low * high / (high - low)
    return float(gap[(low < 0) & (high > 0)].sum())


def _left(found: Outcome) -> Tensor:
    assert found.left is not None
    return found.left
