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
from netproof.bounds.multipliers.signs import LEFT, RIGHT, WHOLE, SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.branching import split_scores
from netproof.bounds.ranges.refine_split import Side, SplitRefiner, is_empty_cell, sides_of
from netproof.bounds.region import Region
from netproof.query import Verdict
from netproof.search.outcome import Outcome
from netproof.search.real.leaf import leaf_solver
from netproof.search.real.problem import Problem
from netproof.search.real.relu_split import ReluSplit
from netproof.solvers.highs.solve import HighsProcess

#: a search's seconds of grace, and its most seconds, against those of the ranges before it
_SEARCH_SHARE, _LONGEST_SEARCH = 0.5, 4.0
#: what a unit is worth by which the lower end of a feature rises of which the bound takes the lower line
_CLOSING = 0.01


@dataclass(frozen=True, eq=False)
class Cell:
    """A part of the root region, ranges that hold on it, and the cases that are open on it."""

    sides: tuple[Side, ...]
    region: Region
    case: Tensor
    bound: float


class CellSearch:
    """Depth-first search over cells for one query; ``solver`` is for leaves, where other searches have one already."""

    def __init__(self, problem: Problem, solver: HighsProcess | None = None) -> None:
        self._problem = problem
        self._solver = solver or leaf_solver(problem.memory)

    def run(self, region: Region, case: Tensor, seconds: float, deadline: float) -> Outcome:
        """Decide cases (numbers) on a region, with ``seconds`` for the ranges of every cell."""
        count = 0
        stuck: Outcome | None = None
        root = Cell((), region, case, torch.inf)
        stack = self._halves(root) or [root]
        while stack:
            if time.monotonic() >= deadline:
                worst = max(cell.bound for cell in stack)
                return Outcome(Verdict.TIMEOUT, count, bound=worst, reason="the time limit was reached", left=case)
            cell = stack.pop()
            left = deadline - time.monotonic()
            refiner = SplitRefiner(
                self._problem.graph, cell.sides, memory=self._problem.memory // 2, device=self._problem.device
            )
            refined = refiner.refine(cell.region, min(seconds, left)) if cell.sides else cell.region
            if is_empty_cell(refined, cell.sides):
                continue
            until = min(deadline, time.monotonic() + _LONGEST_SEARCH * seconds)
            found = self._search(cell, refined, until, _SEARCH_SHARE * seconds)
            count += found.subproblems
            if found.verdict is Verdict.UNSAT:
                continue
            if found.verdict is Verdict.SAT:
                return Outcome(Verdict.SAT, count, found.witness)
            if found.left is None:
                # A leaf of it stays open whatever is done; a witness may be elsewhere.
                stuck = found
                continue
            assert found.bound is not None
            smaller = Cell(cell.sides, refined, found.left, found.bound)
            halves = self._halves(smaller)
            if not halves:
                # All that is left for this cell is its search, for as long as it takes.
                found = self._search(smaller, refined, deadline, math.inf)
                count += found.subproblems
                if found.verdict is not Verdict.UNSAT:
                    return replace(found, subproblems=count, left=case)
            stack += halves
        return Outcome(Verdict.UNSAT, count) if stuck is None else replace(stuck, subproblems=count)

    def _search(self, cell: Cell, region: Region, deadline: float, grace: float) -> Outcome:
        dual = SignDual.of(self._problem.graph, region)
        search = ReluSplit(self._problem, dual, Rounding.of(self._problem.graph, region), self._solver)
        return search.run(cell.case, deadline, cell=sides_of(dual, cell.sides), grace=grace)

    def _halves(self, cell: Cell) -> list[Cell]:
        """Both halves of a cell, the more promising one last; none where nothing is left to split."""
        dual = SignDual.of(self._problem.graph, cell.region)
        side = sides_of(dual, cell.sides)
        light = dual.to(torch.float32, self._problem.device)
        gains = self._gains(light, side.to(light.device), cell.case.to(light.device)).cpu()
        score = torch.where(side == WHOLE, gains, 0.0)
        if not len(score) or not float(score.max()) > 0:
            return []
        activation = torch.repeat_interleave(torch.arange(len(dual.sizes)), torch.tensor(dual.sizes))
        best = int(score.argmax())
        split = int(activation[best]), int(torch.cat(dual.index)[best])
        return [Cell((*cell.sides, Side(*split, half)), cell.region, cell.case, cell.bound) for half in (LEFT, RIGHT)]

    def _gains(self, dual: SignDual, side: Tensor, case: Tensor) -> Tensor:
        """To first order, how much the bounds of cases fall through the ranges behind, when a feature is split: ``[m]``.

        A chord over ``[l, u]`` with ``g = -l u / (u - l)`` at 0 comes down by ``(l / (u - l))^2`` for every unit that
        ``u`` falls, and by ``(u / (u - l))^2`` for every unit that ``l`` rises. A lower line has no gap of its own, but a
        feature that turns out to be positive is one. All of it on the device of the dual.
        """
        light = self._problem.constraints.to(torch.float32, dual.device)
        weight = dual.lower.new_full((len(case), light.width), 1.0 / light.width)
        with torch.no_grad():
            v = self._arriving(dual, light.mixed(case, weight), side)
            up, down = v.clamp(min=0).mean(0), -v.clamp(max=0).mean(0)
            gains = torch.zeros_like(dual.lower)
            ends = list(itertools.accumulate(dual.sizes, initial=0))
            for k, which in enumerate(dual.index):
                own = slice(ends[k], ends[k + 1])
                if not len(which) or not own.start:
                    continue
                low, high = dual.lower[own], dual.upper[own]
                above, below = up[own] * (low / (high - low)) ** 2, up[own] * (high / (high - low)) ** 2
                price = torch.cat([above, below + _CLOSING * down[own]])
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
        """What arrives at every open feature by CROWN's choice, ``[B, m]``."""
        rows = len(objective)
        alpha = dual.crown_alpha().expand(rows, -1)
        return dual.bound(objective, side.expand(rows, -1), alpha, torch.zeros_like(alpha)).v
