"""A refutation by linear programs, each of whose answers is evaluated exactly.

A tree of regions. HiGHS solves the linear program of a region; its dual values (a ray, where the program
has no point) are read as the multipliers of the dual bound, and a region is closed only if the exact
evaluation of that bound is below 0. What stays open is split at a threshold of a staircase or, where
only the integrality of the input is left, at an input value. So HiGHS decides what is tried, and
netproof's own arithmetic what holds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from netproof.bounds.deciding.exact import evaluate_exact
from netproof.bounds.dual import DualPoint
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.exact.milp.condition import tighten_by_condition
from netproof.exact.milp.encode import Encoder, Encoding
from netproof.exact.milp.splits import split
from netproof.graph.graph import Graph
from netproof.query import Conjunction, Verdict
from netproof.solvers.highs.model import Floats, Solution, Status
from netproof.solvers.highs.solve import HighsProcess

#: several constraints are weighted by integers up to this
_WEIGHTS = 4096.0
#: and their weighted sum stays below this, so that it is exact in float64 in whatever order it is taken
_LARGEST_SUM = 2.0**51


@dataclass(frozen=True, eq=False)
class Refutation:
    """How far a tree has come: ``UNSAT``, ``SAT`` with a witness, or ``UNKNOWN`` where regions are open."""

    verdict: Verdict
    point: Tensor | None = None


@dataclass(frozen=True, eq=False)
class _Node:
    """A region still to be refuted, and multipliers to try first."""

    region: Region
    weights: Floats
    s: tuple[Tensor, ...]


class ProgramTree:
    """Refutes one conjunction on a region of one row.

    Parameters
    ----------
    encoder : of the query's graph
    conjunction : what is to be refuted
    region : where
    solver : where linear programs are solved
    replay : the first witness among points ``[N, n_input]`` that need not be whole, evaluated exactly; or None
    """

    def __init__(
        self,
        encoder: Encoder,
        conjunction: Conjunction,
        region: Region,
        solver: HighsProcess,
        replay: Callable[[Tensor], Tensor | None],
    ) -> None:
        self._encoder = encoder
        self._graph: Graph = encoder.graph
        self._conjunction = conjunction
        self._solver = solver
        self._replay = replay
        self.region = region
        self.regions = self.programs = 0
        zeros = tuple(torch.zeros_like(low) for low in region.range_lower)
        weights = np.zeros(len(conjunction.threshold))
        weights[0] = 1
        size = max(float(conjunction.coefficients.abs().sum(0).max()), float(conjunction.threshold.abs().sum()), 1.0)
        self._largest_weight = min(_WEIGHTS, float(np.floor(_LARGEST_SUM / size)))
        self._open = [_Node(region, weights, zeros)]
        self._enumerated = 1

    def grow(self, deadline: float, limit: float = math.inf, enumerated: int = 1) -> Refutation:
        """Look at regions, the deepest first, until none is left, the time is over, or ``limit`` more were looked at.

        Of regions whose box holds no more than ``enumerated`` points, every point is evaluated.
        """
        limit += self.regions
        self._enumerated = max(enumerated, 1)
        while self._open:
            if time.monotonic() >= deadline or self.regions >= limit:
                return Refutation(Verdict.UNKNOWN)
            found = self._process(self._open.pop(), deadline)
            if found is not None:
                return Refutation(Verdict.SAT, found)
        return Refutation(Verdict.UNSAT)

    def _process(self, node: _Node, deadline: float) -> Tensor | None:
        """Refute a region or leave its halves open. Returns a witness if one turns up."""
        self.regions += 1
        region = tighten_by_condition(self._graph, node.region, self._conjunction)
        if region is None:
            return None
        node = replace(node, region=region)
        if float((region.upper - region.lower + 1).prod()) <= self._enumerated:
            return self._replay(_points(region))
        relaxation = Relaxation(self._graph, region)
        point = self._bound(node, relaxation)
        if float(point.value) < 0:
            return None
        encoding = self._encoder.encode(region, self._conjunction, margin=True)
        solution = self._solver.solve(encoding.model, deadline, relaxed=True)
        self.programs += 1
        for candidate in self._proposals(encoding, solution):
            proposed = replace(candidate, region=region)
            bounded = self._bound(proposed, relaxation)
            if float(bounded.value) < 0:
                return None
            if float(bounded.value) <= float(point.value) or solution.status is Status.OPTIMAL:
                node, point = proposed, bounded
        tried, at = point.x, None
        if solution.status is Status.OPTIMAL and solution.point is not None:
            at = solution.point
            tried = torch.cat([torch.from_numpy(encoding.input_of(at))[None], tried])
        found = self._replay(tried)
        if found is None:
            halves = split(region, point, encoding, at)
            self._open.extend(_Node(half, node.weights, node.s) for half in halves)
        return found

    def _bound(self, node: _Node, relaxation: Relaxation) -> DualPoint:
        """The exact bound at a node's multipliers."""
        coefficients = self._conjunction.coefficients
        weights = torch.from_numpy(node.weights)
        objective = Objective(
            {len(self._graph.nodes) - 1: (weights @ coefficients)[None]},
            -(weights @ self._conjunction.threshold)[None],
        )
        return evaluate_exact(relaxation, objective, node.s)[0]

    def _proposals(self, encoding: Encoding, solution: Solution) -> list[_Node]:
        """Multipliers in the dual values of a linear program; a ray's sign is left open."""
        if solution.dual is None or not np.isfinite(solution.dual).all():
            return []
        # Raising the right side of ``a = affine`` by one lowers the minimum by its multiplier.
        parts = [np.where(rows >= 0, -solution.dual[rows], 0.0) for rows in encoding.definition]
        weights = np.maximum(solution.dual[list(encoding.goals)], 0.0)
        if solution.status is Status.INFEASIBLE:
            largest = max((float(np.abs(part).max(initial=0.0)) for part in parts), default=0.0)
            if largest == 0:
                return []
            return [
                self._node(np.zeros_like(weights), [sign * part / largest for part in parts]) for sign in (1.0, -1.0)
            ]
        if solution.status is not Status.OPTIMAL or weights.max(initial=0.0) <= 0:
            return []
        scale = 1.0 / weights.max()
        if len(weights) > 1:
            scale *= self._largest_weight
        return [self._node(np.rint(weights * scale), [part * scale for part in parts])]

    @staticmethod
    def _node(weights: Floats, parts: list[Floats]) -> _Node:
        empty = torch.empty(0, dtype=torch.float32)
        return _Node(Region(empty, empty, (), ()), weights, tuple(torch.from_numpy(part)[None] for part in parts))


def _points(region: Region) -> Tensor:
    """Every integer point of a region's box: ``[N, n_input]``."""
    free = (region.lower[0] < region.upper[0]).nonzero()[:, 0]
    axes = [torch.arange(int(region.lower[0, i]), int(region.upper[0, i]) + 1, dtype=torch.float64) for i in free]
    points = region.lower.clone()
    if axes:
        grid = torch.cartesian_prod(*axes).reshape(-1, len(axes))
        points = region.lower.repeat(len(grid), 1)
        points[:, free] = grid
    return points
