"""Search by cells: a region is split at signs, and every cell gets ranges of its own.

Ranges that hold on all of a region are those of its worst part. Where a search with them does not come to its end, the
region is split at a feature on which many ranges behind it depend; on each half those ranges are found anew, and the
search begins again with them. What is found on a cell holds on its parts, and is used nowhere else.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.ends.refine_split import Side, SplitRefiner, is_empty_cell, sides_of
from netproof.bounds.loops.compiled import SignLoops
from netproof.bounds.multipliers.signs import LEFT, RIGHT, WHOLE, SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.branching import split_scores
from netproof.bounds.region import Region
from netproof.effort.real import CELL, ROUND
from netproof.query import Verdict
from netproof.rows import Rows
from netproof.search.outcome import Outcome
from netproof.search.proofs.journal import Grounds, Means, split_cases
from netproof.search.real.problem import Problem
from netproof.search.real.programs.leaf import leaf_solver
from netproof.search.real.relu_split import ReluSplit, sign_split
from netproof.search.tree import DepthFirst
from netproof.solvers.highs.solve import HighsProcess

_STUCK = "a cell stays open"


@dataclass(frozen=True, eq=False)
class Cells(Rows):
    """Parts of the root region.

    Attributes
    ----------
    side : ``[B, F]`` int8, ``LEFT``, ``RIGHT`` or ``WHOLE`` for the features of all activations, one activation after the other
    region : ranges that hold on them
    cases : ``[B, N]`` bool, which are open there
    value : ``[B]``, the largest bound of these
    node : ``[B, N]``, of cells and cases in the record, if there is one
    """

    side: Tensor
    region: Region
    cases: Tensor
    value: Tensor
    node: Tensor | None = None

    def __len__(self) -> int:
        return self.value.shape[0]

    @property
    def case(self) -> Tensor:
        """The cases that are open in any of the cells, by their numbers."""
        return self.cases.any(0).nonzero()[:, 0]


class CellSearch:
    """Depth-first search over cells for one query; ``solver`` is for leaves, where other searches have one already, and ``loops``
    are what bounds in float32 are computed by, None for tensors."""

    def __init__(self, problem: Problem, solver: HighsProcess | None = None, loops: SignLoops | None = None) -> None:
        self._problem = problem
        self._loops = loops
        self._record = problem.record
        self._solver = solver or leaf_solver(problem.memory)
        self._tree: DepthFirst[Cells] = DepthFirst(problem.memory, problem.record, stuck=_STUCK)
        #: a search that ended with a leaf that stays open whatever is done; a witness may be elsewhere
        self._stuck: Outcome | None = None
        sizes = [problem.graph.nodes[i].size for i in problem.graph.activations]
        #: where the features of each activation begin among those of all
        self._begin = list(itertools.accumulate(sizes, initial=0))

    def run(self, region: Region, case: Tensor, seconds: float, deadline: float, trial: float = math.inf) -> Outcome:
        """Decide cases (numbers) on a region of one row, with ``seconds`` for the ranges of every cell.

        After ``trial`` seconds the search also stops when what it has closed of the region, every half counted as half, does not look
        as if it came to its end in time.
        """
        cases = torch.zeros(1, len(self._problem.constraints), dtype=torch.bool)
        cases[0, case] = True
        side = torch.full((1, self._begin[-1]), WHOLE, dtype=torch.int8)
        node = None
        if self._record is not None:
            node = torch.zeros_like(cases, dtype=torch.int64)
            node[0, case] = self._record.root(case, region)
        root = Cells(side, region, cases, torch.full((1,), torch.inf, dtype=torch.float64), node)
        halves = self._halves(root)
        self._tree.add(halves if len(halves) else root)
        begun = time.monotonic()

        def judge() -> Outcome | None:
            spent = time.monotonic() - begun
            if spent < trial or (1 - self._tree.total(_share)) * (deadline - begun) >= spent:
                return None
            return self._tree.undecided(Verdict.UNKNOWN, "the search goes on elsewhere")

        found = self._tree.search(lambda cell: self._step(cell, seconds, deadline), 1, deadline, judge)
        if found.reason == _STUCK:
            assert self._stuck is not None
            return replace(self._stuck, subproblems=found.subproblems)
        return found

    def _step(self, cell: Cells, seconds: float, deadline: float) -> Outcome | None:
        """Find the ranges of a cell anew, search it with them, and split it where that does not decide it."""
        sides = self._sides(cell)
        left = deadline - time.monotonic()
        refiner = SplitRefiner(
            self._problem.graph, sides, memory=self._problem.memory // 2, device=self._problem.device
        )
        refiner.use(self._loops)
        refined = refiner.refine(cell.region, min(seconds, left)) if sides else cell.region
        nodes = None if cell.node is None else cell.node[cell.cases]
        if self._record is not None and nodes is not None and sides:
            rows = torch.zeros(len(nodes), dtype=torch.int64)
            self._record.reduction(nodes, cell.region, refined.take(rows), Grounds(Means.SPLITS))
        if is_empty_cell(refined, sides):
            if self._record is not None and nodes is not None:
                self._record.leaf(nodes, Grounds(Means.EMPTY))
            return None
        cell = replace(cell, region=refined)
        until = min(deadline, time.monotonic() + CELL.longest_search * seconds)
        found = self._search(cell, until, CELL.search_share * seconds)
        if not found.verdict.decided and found.left is not None:
            cell = self._left(cell, found)
            halves = self._halves(cell)
            self._tree.add(halves)
            if len(halves):
                return None
            found = self._to_the_end(cell, refiner, seconds, deadline)
        return self._ended(cell, found)

    @staticmethod
    def _left(cell: Cells, found: Outcome) -> Cells:
        """The cell with the cases that a search of it left open."""
        assert found.left is not None and found.bound is not None
        cases = torch.zeros_like(cell.cases)
        cases[0, found.left] = True
        return replace(cell, cases=cases, value=torch.full_like(cell.value, found.bound))

    def _ended(self, cell: Cells, found: Outcome) -> Outcome | None:
        """How the search of all cells ends with that of one cell, of which nothing is left to split; None where it goes on."""
        if found.verdict is Verdict.SAT:
            return found
        if found.verdict is Verdict.UNSAT:
            return None
        if found.left is None:
            # The cell stays open whatever is done, and so do its cases.
            self._stuck = found
            self._tree.put_aside(cell.case, cell.value)
            return None
        # Other cells may have other cases: all that is open is left, and not what is open here alone.
        self._tree.add(cell)
        return self._tree.undecided(found.verdict, found.reason)

    def _to_the_end(self, cell: Cells, refiner: SplitRefiner, seconds: float, deadline: float) -> Outcome:
        """Ranges of a cell of which no split promises anything, each round longer than the one before, with searches after them;
        and at last a search for as long as it takes."""
        while True:
            seconds *= ROUND.round_growth
            if self._record is not None or seconds > ROUND.falling_share * (deadline - time.monotonic()):
                return self._search(cell, deadline, math.inf)
            refined = refiner.refine(cell.region, seconds)
            if is_empty_cell(refined, self._sides(cell)):
                return Outcome(Verdict.UNSAT, self._tree.count)
            found = self._search(replace(cell, region=refined), deadline, CELL.search_share * seconds)
            if found.left is None or time.monotonic() >= deadline:
                return found
            cell = replace(self._left(cell, found), region=refined)

    def _search(self, cell: Cells, deadline: float, grace: float) -> Outcome:
        """A search on one cell; what it ends with counts all subproblems so far."""
        dual = SignDual.of(self._problem.graph, cell.region, loops=self._loops)
        search = ReluSplit(self._problem, dual, Rounding.of(self._problem.graph, cell.region), self._solver)
        node = None if cell.node is None else cell.node[0, cell.case]
        found = search.run(cell.case, deadline, cell=sides_of(dual, self._sides(cell)), grace=grace, node=node)
        self._tree.count += found.subproblems
        return replace(found, subproblems=self._tree.count)

    def _sides(self, cell: Cells) -> tuple[Side, ...]:
        """The sides of one cell."""
        return tuple(
            Side(k, number - begin, int(cell.side[0, number]))
            for k, (begin, end) in enumerate(itertools.pairwise(self._begin))
            for number in (begin + (cell.side[0, begin:end] != WHOLE).nonzero()[:, 0]).tolist()
        )

    def _halves(self, cell: Cells) -> Cells:
        """Both halves of a cell, the more promising one first; none where nothing is left to split."""
        dual = SignDual.of(self._problem.graph, cell.region)
        side = sides_of(dual, self._sides(cell))
        dual32 = dual.to(torch.float32, self._problem.device)
        gains = self._gains(dual32, side.to(dual32.device), cell.case.to(dual32.device)).cpu()
        score = torch.where(side == WHOLE, gains, 0.0)
        if not len(score) or not float(score.max()) > 0:
            return cell.take(torch.zeros(0, dtype=torch.int64))
        split = sign_split(dual, score.argmax()[None])
        halves = cell.take(torch.zeros(2, dtype=torch.int64))
        number = self._begin[int(split.k)] + int(split.feature)
        halves.side[:, number] = torch.tensor([RIGHT, LEFT], dtype=torch.int8)
        if self._record is not None and cell.node is not None:
            halves = replace(halves, node=split_cases(self._record, cell.node, cell.cases, split).flip(0))
        return halves

    def _gains(self, dual: SignDual, side: Tensor, case: Tensor) -> Tensor:
        """To first order, how much the bounds of cases fall through the ranges behind, when a feature is split: ``[m]``.

        A chord over ``[l, u]`` with ``g = -l u / (u - l)`` at 0 comes down by ``(l / (u - l))^2`` for every unit that
        ``u`` falls, and by ``(u / (u - l))^2`` for every unit that ``l`` rises. A lower line has no gap of its own, but a
        feature that turns out to be positive is one. All of it on the device of the dual.
        """
        constraints32 = self._problem.constraints.to(torch.float32, dual.device)
        weight = dual.lower.new_full((len(case), constraints32.width), 1.0 / constraints32.width)
        with torch.no_grad():
            v = self._arriving(dual, constraints32.mixed(case, weight), side)
            up, down = v.clamp(min=0).mean(0), -v.clamp(max=0).mean(0)
            gains = torch.zeros_like(dual.lower)
            ends = list(itertools.accumulate(dual.sizes, initial=0))
            for k, which in enumerate(dual.index):
                own = slice(ends[k], ends[k + 1])
                if not len(which) or not own.start:
                    continue
                low, high = dual.lower[own], dual.upper[own]
                above, below = up[own] * (low / (high - low)) ** 2, up[own] * (high / (high - low)) ** 2
                price = torch.cat([above, below + CELL.closing * down[own]])
                node = self._problem.graph.nodes[self._problem.graph.activations[k]].operands[0]
                c = price.new_zeros(len(price), self._problem.graph.nodes[node].size)
                c[torch.arange(len(price), device=c.device), which.repeat(2)] = 1.0
                c[len(which) :] *= -1
                arriving = self._arriving(dual, Objective({node: c}, torch.zeros_like(price)), side)
                alpha = dual.crown_alpha().expand(len(c), -1)
                gains += price @ split_scores(dual, arriving, alpha)
        return gains

    @staticmethod
    def _arriving(dual: SignDual, objective: Objective, side: Tensor) -> Tensor:
        """What arrives at every unstable feature by CROWN's choice, ``[B, m]``."""
        rows = len(objective)
        alpha = dual.crown_alpha().expand(rows, -1)
        return dual.bound(objective, side.expand(rows, -1), alpha, torch.zeros_like(alpha)).v


def _share(cells: Cells) -> float:
    """How much of the region cells are, if every split leaves two parts of a size."""
    return float(torch.exp2(-(cells.side != WHOLE).sum(1).double()).sum())
