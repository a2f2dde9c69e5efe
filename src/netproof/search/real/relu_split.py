"""Branch and bound over the signs of unstable features (Bunel et al., JMLR 2020; Wang et al., NeurIPS 2021).

The search goes by bounds in float32. Those in float64, which alone prove anything, are evaluated where a subproblem looks refuted, and
where the search ends undecided: what is split again is never asked for its own.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from netproof.bounds.deciding.pace import Pace
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.joint.fitting import Fitted, Fitting
from netproof.bounds.look_ahead import Tries
from netproof.bounds.loops.point import SignPoint
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.sign_steps import Choice, Mixed, optimize_signs
from netproof.bounds.multipliers.signs import LEFT, RIGHT, WHOLE, SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.branching import Chosen, choose_split
from netproof.effort.bounding import PLANE
from netproof.effort.real import SIGN
from netproof.query import Verdict, Witness
from netproof.rows import Rows
from netproof.search.branching import Split
from netproof.search.outcome import Outcome
from netproof.search.proofs.journal import Grounds, Means
from netproof.search.real.problem import Problem
from netproof.search.real.programs.leaf import SignEnds, leaf_solver
from netproof.search.tree import WorstFirst
from netproof.solvers.highs.solve import HighsProcess

_STUCK = "a subproblem without unstable neurons stays open"


@dataclass(frozen=True, eq=False)
class Open(Rows):
    """Open subproblems: case, sides of features, multipliers (float32), the best bound, one that is proven (of what they are parts of,
    perhaps), how often bounded unsplit, and their nodes in the record, if there is one."""

    case: Tensor
    side: Tensor
    choice: Choice
    value: Tensor
    proven: Tensor
    rounds: Tensor
    node: Tensor | None = None

    def __len__(self) -> int:
        return self.case.shape[0]


class _Pace(NamedTuple):
    """What a search began with: rows, the largest bound at the root, and when."""

    rows: int
    bound: float
    begun: float


class ReluSplit:
    """Search on one query.

    Parameters
    ----------
    dual : the unstable features of the root region, float64
    rounding : of that region
    solver : for leaves, where other searches have one already
    fitting : of planes and pairs, chosen for the cases at the root and anew for what stays open
    beside : another search that keeps open subproblems in the same memory
    """

    def __init__(
        self,
        problem: Problem,
        dual: SignDual,
        rounding: Rounding,
        solver: HighsProcess | None = None,
        fitting: Fitting | None = None,
        beside: ReluSplit | None = None,
    ) -> None:
        constraints, memory = problem.constraints, problem.memory
        self._dual = dual
        self._dual32 = dual.to(torch.float32, problem.device)
        self._rounding = rounding
        self._constraints = constraints
        self._constraints32 = constraints.to(torch.float32, problem.device)
        self._attack = problem.attack
        self._record = problem.record
        self._batch = SIGN.batch.rows(dual.graph, SIGN.tensors, memory)
        self._tree: WorstFirst[Open] = WorstFirst(memory, problem.record, stuck=_STUCK)
        self._ends = SignEnds(problem, dual, rounding, solver or leaf_solver(memory))
        #: whether any leaf that stays open might be closed by other means
        self._hopeful = False
        if beside is not None:
            self._tree.beside = lambda: beside._tree.bytes
        self._fitting = fitting or Fitting()
        #: planes and pairs are chosen anew when so many subproblems have been bounded
        self._fitted_at = self._fitting.first
        #: the numbers of planes and of pairs in the record, 0 for none, and of which dual they are
        self._told: tuple[int, int, SignDual] = 0, 0, dual
        self._begun: tuple[Tensor, Tensor | None] | None = None
        self._pace = _Pace(1, 0.0, 0.0)
        #: how long proofs take, and whether those of a whole batch have been timed
        self._proving, self._is_timed = Pace(), False
        #: by how much bounds in float32 have been too high; anything, before one is compared
        self._doubt = math.inf

    @property
    def count(self) -> int:
        """Subproblems bounded so far."""
        return self._tree.count

    def run(
        self,
        case: Tensor,
        deadline: float,
        most: int | None = None,
        cell: Tensor | None = None,
        grace: float = math.inf,
        node: Tensor | None = None,
    ) -> Outcome:
        """Decide cases (numbers), or stop when ``time.monotonic()`` reaches ``deadline``, or after ``most`` subproblems.

        ``cell``, ``[m]`` int8, confines the search to sides of unstable features; ``node`` are its nodes in the record. After ``grace`` seconds the search also stops
        when it does not look as if it came to its end in time, and before that when it is far from it.
        """
        rows, features = len(case), len(self._dual)
        choice = Choice.first(self._dual32, rows, self._constraints.width)
        side = torch.zeros(rows, features, dtype=torch.int8) if cell is None else cell.expand(rows, -1).clone()
        infinite = torch.full((rows,), torch.inf, dtype=torch.float64)
        if node is None and self._record is not None:
            node = self._record.root(case, self._dual.region)
        self._begun = case, node
        root = Open(case, side, choice, infinite, infinite.clone(), torch.zeros(rows, dtype=torch.int64), node)
        self._price(root, deadline)
        self._bound(root, SIGN.root_steps, deadline)
        if self._fitting.has_pairs and len(self._tree):
            self._try_pairs(deadline)
        self._pace = _Pace(rows, self._tree.bound, time.monotonic())
        return self._searched(deadline, grace, most)

    def go_on(self, deadline: float, grace: float = math.inf) -> Outcome:
        """Go on with what :meth:`run` left open, to its end or to the deadline; ``grace`` counts from its beginning."""
        if self._record is not None and self._begun is not None and self._begun[1] is not None:
            self._record.resumed(self._begun[0], self._begun[1])
        return self._searched(deadline, grace)

    @property
    def bound(self) -> float:
        """The largest bound of what is open."""
        return self._tree.bound

    def prospect(self, deadline: float) -> float:
        """How many doublings of the subproblems a search needs, at the pace it has had, against those that there is time for."""
        spent = time.monotonic() - self._pace.begun
        return self._doublings() / max(self._within(deadline - self._pace.begun, spent), 1e-9)

    def _searched(self, deadline: float, grace: float, most: int | None = None) -> Outcome:
        def judge() -> Outcome | None:
            enough = most is not None and self._tree.count >= most
            if enough or self._is_hopeless(grace, deadline):
                return self._tree.undecided(Verdict.UNKNOWN, "the search goes on elsewhere")
            return self._tree.beyond_limits(self._before_proofs(deadline))

        def step(batch: Open) -> Outcome | None:
            return self._step(batch, self._before_proofs(deadline))

        found = self._tree.search(step, self._batch, deadline, judge)
        if not found.verdict.decided and len(self._tree):
            self._tree.revise(2 * self._batch, self._sifted)
            if not len(self._tree) and not self._tree.is_stuck:
                return Outcome(Verdict.UNSAT, self._tree.count)
            found = self._tree.undecided(found.verdict, found.reason)
        return replace(found, left=None) if found.reason == _STUCK and not self._hopeful else found

    def _before_proofs(self, deadline: float) -> float:
        """When bounds of what is open have to be proven to be ready at the deadline."""
        return deadline - self._proving.ahead(len(self._tree))

    def _step(self, batch: Open, deadline: float) -> Outcome | None:
        """Split subproblems and bound their halves; close those by linear programs of which nothing is left to split."""
        if self._tree.count >= self._fitted_at:
            self._tree.add(batch)
            worst = self._tree.peek(PLANE.parts)
            self._price(worst, deadline)
            self._pair(worst, deadline)
            # What is open is bounded once more before it is split.
            self._bound(self._tree.pop(len(self._tree)), SIGN.steps, deadline)
            self._fitted_at = self._fitting.growth * self._tree.count
            return None
        is_leaf = batch.rounds >= SIGN.leaf_rounds
        witness = self._solve(batch.take(is_leaf), deadline)
        batch = batch.take(~is_leaf)
        if witness is None and len(batch):
            chosen = self._choose(batch, deadline)
            witness = self._try(chosen.point, batch.case)
            if time.monotonic() >= deadline:
                self._tree.add(batch)
            elif witness is None:
                self._bound_parts(self._split(batch, chosen), chosen.halves, deadline)
        if witness is not None:
            return self._tree.sat(witness)
        return self._tree.stuck() if self._attack is None else None  # no proof any more, and no witness

    def _price(self, parts: Open, deadline: float) -> None:
        """Choose planes that are good for some subproblems, where there are any planes."""
        fitted = Fitted(parts.side, parts.choice)
        planes = self._fitting.priced(self._objectives(parts), fitted, Until(PLANE.steps, -math.inf, deadline))
        if planes is not None:
            self._take(planes)

    def _pair(self, parts: Open, deadline: float) -> None:
        """Choose pairs that are good for some subproblems, where there are any."""
        if not self._fitting.has_pairs or not len(parts):
            return
        until = Until(SIGN.root_steps, -math.inf, deadline)
        self._take(self._fitting.paired(self._dual, self._objectives(parts), Fitted(parts.side, parts.choice), until))

    def _try_pairs(self, deadline: float) -> None:
        """Bound what is open with pairs, and go on as before where that takes too little off for what pairs cost in every subproblem."""
        dual, root = self._dual, self._tree.pop(len(self._tree))
        self._pair(root, deadline)
        self._bound(root, SIGN.root_steps, deadline)
        if len(self._tree) and self._tree.bound > (1 - self._fitting.worth) * float(root.value.amax()):
            self._tree.pop(len(self._tree))
            self._tree.add(root)
            self._fitting.drop_pairs()
            self._take(dual)

    def _take(self, dual: SignDual) -> None:
        """Bound by other planes and pairs from here on."""
        self._dual, self._dual32 = dual, dual.to(torch.float32, self._dual32.device)

    def _recorded(self, nodes: Tensor, by: Grounds) -> None:
        """Nodes are refuted with the planes and pairs that there are."""
        dual = self._dual
        if self._record is None or not len(nodes):
            return
        if self._told[2] is not dual:
            planed = self._record.planed(dual.index, dual.planes) if dual.planes else 0
            self._told = planed, self._record.paired(dual.index, dual.pairs) if dual.pairs else 0, dual
        self._record.leaf(nodes, replace(by, planes=self._told[0], pairs=self._told[1]))

    def _objectives(self, parts: Open) -> Mixed:
        """The objectives of subproblems under weights of their constraints."""
        case = parts.case.to(self._dual32.device)
        return lambda rows, weight: self._constraints32.mixed(case[rows], _one(weight))

    def _solve(self, leaves: Open, deadline: float) -> Witness | None:
        """Close leaves by linear programs, remember those that stay open; a witness if a program's point is one."""
        leaves, is_open = self._sifted(leaves)
        leaves = leaves.take(is_open)
        for row in range(len(leaves)):
            if time.monotonic() >= deadline:
                self._tree.add(leaves.take(torch.arange(row, len(leaves))))
                return None
            node = None if leaves.node is None else leaves.node[row : row + 1]
            end = self._ends.close(int(leaves.case[row]), leaves.side[row], node, deadline)
            if end is None:
                continue
            if end.witness is not None:
                return end.witness
            self._tree.put_aside(leaves.case[row : row + 1], leaves.value[row : row + 1])
            self._hopeful = self._hopeful or not end.hopeless
        return None

    def _is_hopeless(self, grace: float, deadline: float) -> bool:
        """Whether the bound will not fall to 0 in time."""
        spent = time.monotonic() - self._pace.begun
        if math.isinf(grace) or spent <= 0 or self._tree.count < SIGN.judged * self._pace.rows:
            return False
        # Early on the guess is rough.
        late = spent >= grace
        seconds, doubt = (deadline - self._pace.begun, 1.0) if late else (SIGN.patience * grace, 2.0)
        return self._doublings() > doubt * self._within(seconds, spent)

    def _doublings(self) -> float:
        """How many there have to be, from the beginning, if every doubling of the subproblems takes about the same off the bound."""
        first = self._pace.bound
        share = max((first - self._tree.bound) / first, 1e-9) if first > 0 else 1.0
        return math.log2(max(self._tree.count / self._pace.rows, 1.0)) / share

    def _within(self, seconds: float, spent: float) -> float:
        """How many there can be in so many seconds from the beginning, of which some are spent."""
        return math.log2(max(self._tree.count / self._pace.rows * seconds / max(spent, 1e-9), 1.0))

    def _bound_parts(self, batch: Open, begun: SignPoint | None, deadline: float) -> None:
        """Bound parts of subproblems, of which the first have bounds to begin with, and keep those that stay open.

        A few steps from the multipliers of what a part is of do for a while. What is then missing adds up, and splits do not win it
        back; many steps at once do.
        """
        many = (batch.side != WHOLE).sum(1) % SIGN.polished == 0
        for which, steps in ((many, SIGN.polish), (~many, SIGN.steps)):
            known = None if begun is None or len(begun.value) < len(batch) else begun.take(which)
            self._bound(batch.take(which), steps, deadline, known)

    def _bound(self, batch: Open, steps: int, deadline: float, begun: SignPoint | None = None) -> None:
        """Bound subproblems, and keep those that stay open."""
        for rows in torch.split(torch.arange(len(batch)), 2 * self._batch):
            part = batch.take(rows)
            if time.monotonic() >= deadline:
                self._tree.add(part)
            else:
                self._bound_part(part, steps, deadline, None if begun is None else begun.take(rows))

    def _bound_part(self, batch: Open, steps: int, deadline: float, begun: SignPoint | None) -> None:
        self._tree.count += len(batch)
        choice, value = optimize_signs(
            self._dual32,
            self._objectives(batch),
            batch.side,
            batch.choice,
            Until(steps, -1e-5, deadline),
            begun,
        )
        # Of what float32 cannot hold float64 may know more.
        guide = value.double().where(torch.isfinite(value), -torch.inf)
        # A little less than what is proven already: that of these multipliers is not known.
        below = torch.nextafter(batch.proven, torch.full_like(batch.proven, -torch.inf))
        batch = replace(batch, choice=choice, value=torch.minimum(guide, below))
        untimed = not self._is_timed and len(batch) >= self._batch
        self._is_timed |= untimed
        batch, is_open = self._sifted(batch, None if untimed else batch.value <= self._doubt)
        self._tree.add(batch.take(is_open))

    def _sifted(self, batch: Open, asked: Tensor | None = None) -> tuple[Open, Tensor]:
        """With what is proven of those asked for (all by default), and which of them stay open, ``[B]`` bool; the others are recorded."""
        batch = self._proven(batch, asked)
        refuted = batch.proven < 0
        if batch.node is not None:
            double = batch.choice.take(refuted).to(torch.float64)
            by = Grounds(Means.SIGNS, _one(double.weight), (double.alpha, double.beta))
            self._recorded(batch.node[refuted], by)
        return batch, ~refuted

    def _proven(self, batch: Open, asked: Tensor | None = None) -> Open:
        """With what the multipliers of subproblems prove, of those asked for (a mask, all by default), where that is not known yet."""
        unknown = batch.value < batch.proven
        which = (unknown if asked is None else unknown & asked).nonzero()[:, 0]
        for rows in torch.split(which, 2 * self._batch) if len(which) else ():
            case, double, begun = batch.case[rows], batch.choice.take(rows).to(torch.float64), time.monotonic()
            weight = _one(double.weight)
            error = self._constraints.mixing_error(case, weight, self._rounding)
            objective = replace(self._constraints.mixed(case, weight), error=error)
            found = self._dual.bound(objective, batch.side[rows], double.alpha, double.beta, self._rounding).value
            over = (batch.value[rows] - found).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
            self._doubt = max(float(over.amax()), 0.0 if math.isinf(self._doubt) else self._doubt)
            known = torch.minimum(found, batch.proven[rows])
            value, proven = (part.index_copy(0, rows, known) for part in (batch.value, batch.proven))
            batch = replace(batch, value=value, proven=proven)
            self._proving.took(len(rows), time.monotonic() - begun)
        return batch

    def _try(self, point: SignPoint, case: Tensor) -> Witness | None:
        """A witness, where a point at which the bound of a subproblem is attained is one."""
        if self._attack is None:
            return None
        coefficients = point.input_coefficients.to("cpu", torch.float64)
        return self._attack.try_points(self._dual.maximum.at(coefficients, self._dual.region), case)

    def _split(self, batch: Open, chosen: Chosen) -> Open:
        """Both halves of every row; rows without an unstable feature come back once, as they are."""
        feature, splittable = chosen.feature, chosen.splittable
        rows = splittable.nonzero()[:, 0]
        left, right = batch.take(rows), batch.take(rows)
        at = (torch.arange(len(rows)), feature[rows])
        left.side[at] = LEFT
        right.side[at] = RIGHT
        for half in (left, right):
            half.choice.beta[at] = 0.0
        if self._record is not None and left.node is not None:
            lower, upper = self._record.split(left.node, sign_split(self._dual, feature[rows])).chunk(2)
            left, right = replace(left, node=lower), replace(right, node=upper)
        rest = batch.take((~splittable).nonzero()[:, 0])
        rest = replace(rest, rounds=rest.rounds + 1)
        return Open.concatenate([left, right, rest])

    def _choose(self, batch: Open, deadline: float) -> Chosen:
        """The feature to split in each row, and whether there is one."""
        device = self._dual32.device
        case, choice = batch.case.to(device), batch.choice.to(torch.float32, device)

        def objective(rows: Tensor) -> Objective:
            return self._constraints32.mixed(case[rows], _one(choice.weight[rows]))

        tries = Tries(SIGN.look_ahead, 4 * self._batch, deadline)
        return choose_split(self._dual32, objective, batch.side, choice, tries)


def sign_split(dual: SignDual, feature: Tensor) -> Split:
    """Splits at 0 of unstable features, which are given by their numbers ``[B]`` among all of them."""
    none = torch.zeros(0, dtype=torch.int64)  # of a graph without activations
    activation = torch.repeat_interleave(torch.tensor(dual.sizes, dtype=torch.int64))
    index = torch.cat([none, *dual.index])
    return Split(activation[feature], index[feature], torch.zeros(len(feature), dtype=torch.float64))


def _one(weight: Tensor) -> Tensor:
    """Weights of single constraints are exactly 1."""
    return torch.ones_like(weight) if weight.shape[1] == 1 else weight
