"""Leaves of a search over ranges: parts of the region on which every activation is straight.

What is left is a linear program (:mod:`netproof.search.real.programs.leaf`), whose rows besides the constraints are the ends of ranges
that splits have brought. Prices of the two ends of a range, ``p >= 0`` of the lower and ``q >= 0`` of the upper one, are
multipliers ``s = slope v + p - q``.
"""

from __future__ import annotations

import itertools
import time

import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import DualPoint, crown, evaluate_dual
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.conditions import Conditions
from netproof.effort.real import LEAF
from netproof.graph.graph import Graph
from netproof.search.real.programs.leaf import LeafPrograms, Lines
from netproof.solvers.highs.solve import HighsProcess


class RangeLeaves(LeafPrograms[Region]):
    """Leaves that are regions of one row.

    Splits are numbered: the lower ends of the ranges of all features, one activation after the other, then the upper ones.

    Parameters
    ----------
    graph, region : the root region, of one row, float64
    constraints, solver : as for :class:`netproof.search.real.programs.leaf.LeafPrograms`
    """

    def __init__(self, graph: Graph, region: Region, constraints: Conditions, solver: HighsProcess) -> None:
        super().__init__(region, constraints, solver)
        self._graph = graph
        self._region = region
        sizes = [graph.nodes[i].size for i in graph.activations]
        self._begin = list(itertools.accumulate(sizes, initial=0))

    def evaluate(self, case: int, part: Region, weight: Tensor, beta: Tensor) -> float:
        """The bound with weights of constraints ``[c]`` and prices of ends ``[m]``, each of at least 0."""
        which, weight = torch.tensor([case]), weight[None]
        rounding = Rounding.of(self._graph, part)
        point = self.point(case, part, weight, beta, rounding)
        return float(point.value + self._constraints.mixing_error(which, weight, rounding))

    def point(
        self, case: int, part: Region, weight: Tensor, beta: Tensor, rounding: Rounding | None = None
    ) -> DualPoint:
        """The bound with weights ``[1, c]``, what rounding does to them aside, and the multipliers that prices stand for."""
        relaxation = Relaxation(self._graph, part)
        lower, upper = beta.chunk(2)
        straight = crown(relaxation.hulls)

        def multipliers(k: int, v: Tensor) -> Tensor:
            mine = slice(self._begin[k], self._begin[k + 1])
            return straight(k, v) + lower[mine] - upper[mine]

        objective = self._constraints.mixed(torch.tensor([case]), weight)
        return evaluate_dual(relaxation, objective, multipliers, rounding)

    def _splits(self, part: Region) -> int:
        return 2 * self._begin[-1]

    def _form(self, objective: Objective, part: Region) -> tuple[Tensor, Tensor]:
        relaxation = Relaxation(self._graph, part)
        point = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
        return point.input_coefficients, point.value

    def _lines_of_splits(self, part: Region, until: float) -> tuple[Lines | None, Tensor]:
        """``a - l`` and ``u - a`` where these ends are not those of the root region."""
        parts, numbers = [], [torch.zeros(0, dtype=torch.int64)]
        for sign, ends, known, first in (
            (1.0, part.range_lower, self._region.range_lower, 0),
            (-1.0, part.range_upper, self._region.range_upper, self._begin[-1]),
        ):
            for k, (end, before) in enumerate(zip(ends, known, strict=True)):
                node = self._graph.nodes[self._graph.activations[k]].operands[0]
                for some in torch.split((end[0] != before[0]).nonzero()[:, 0], LEAF.rows):
                    if time.monotonic() >= until:
                        return None, some
                    c = torch.zeros(len(some), self._graph.nodes[node].size, dtype=torch.float64)
                    c[torch.arange(len(some)), some] = sign
                    parts.append(self._lines(Objective({node: c}, -sign * end[0, some]), part))
                    numbers.append(first + self._begin[k] + some)
        lines, kept = self._needed(parts)
        return lines, torch.cat(numbers)[kept]
