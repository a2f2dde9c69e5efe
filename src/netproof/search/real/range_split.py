"""Branch and bound over the ranges of pre-activations, for activations of every kind.

A range is cut at a kink of the function, or near its middle where it is smooth; the halves have smaller hulls, and free
multipliers ``s = alpha * v + beta`` make use of where they end (Shi et al., *Neural Network Verification with
Branch-and-Bound for General Nonlinearities*, TACAS 2025, in the terms of the dual bound). Slower than
:mod:`netproof.search.real.relu_split`, which is for functions with a single kink at 0.
"""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor

from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import DualPoint, Objective, evaluate_dual, hulls_of
from netproof.bounds.look_ahead import look_ahead
from netproof.bounds.multipliers.ranges import Parameters, better, crown_parameters, optimize
from netproof.bounds.region import Region, propagate_intervals
from netproof.graph.graph import Graph
from netproof.query import Verdict
from netproof.search.branching import Split, gap_candidates, split_regions
from netproof.search.outcome import Outcome
from netproof.search.real.problem import Problem
from netproof.search.subproblems import Subproblems
from netproof.search.tree import Tree

_ROOT_STEPS, _STEPS, _WEIGHT_STEPS = 60, 25, 12
#: candidate splits tried out per subproblem
_LOOK_AHEAD = 4
#: bytes that the tensors of one batch may occupy, and how many tensors of all features each row needs
_BYTES, _TENSORS, _MOST_ROWS = 128 << 20, 40, 128


class RangeSplit:
    """Search on one query."""

    def __init__(self, problem: Problem) -> None:
        graph, memory = problem.graph, problem.memory
        self._graph = graph
        self._device = torch.device(problem.device)
        self._light = graph.to(torch.float32, problem.device)
        self._constraints = problem.constraints
        self._light_constraints = problem.constraints.to(torch.float32, problem.device)
        self._attack = problem.attack
        size = sum(node.size for node in graph.nodes)
        self._batch = max(2, min(_MOST_ROWS, min(_BYTES, memory // 2) // (8 * _TENSORS * size)))
        self._tree: Tree[Subproblems] = Tree(memory)

    def run(self, region: Region, case: Tensor, deadline: float) -> Outcome:
        """Decide cases (numbers) on a region of one row, or stop when ``time.monotonic()`` reaches ``deadline``."""
        rows = len(case)
        zeros = tuple(torch.zeros(rows, low.shape[1], dtype=torch.float32) for low in region.range_lower)
        infinite = torch.full((rows,), torch.inf, dtype=torch.float64)
        root = Subproblems(
            case,
            region.take(torch.zeros(rows, dtype=torch.int64)),
            Parameters(zeros, zeros),
            infinite,
            torch.zeros_like(case),
            torch.full_like(case, -1),
        )
        found = self._process(root, _ROOT_STEPS, deadline)
        while found is None and len(self._tree):
            ended = self._tree.beyond_limits(deadline)
            if ended is not None:
                return ended
            found = self._process(self._tree.pop(self._batch), _STEPS, deadline)
        return found or Outcome(Verdict.UNSAT, self._tree.count)

    def _process(self, batch: Subproblems, steps: int, deadline: float) -> Outcome | None:
        """Bound subproblems in portions, and put the halves of those that stay open into the store."""
        portions = list(torch.split(torch.arange(len(batch)), self._batch))
        for number, rows in enumerate(portions):
            if time.monotonic() >= deadline:
                self._tree.add(batch.take(torch.cat(portions[number:])))
                return None
            left, point = self._bound(batch.take(rows), steps)
            if not len(left):
                continue
            if self._attack is not None:
                witness = self._attack.try_points(point.x, left.case)
                if witness is not None:
                    return Outcome(Verdict.SAT, self._tree.count, witness)
            split, splittable = self._choose(left, point)
            if not bool(splittable.all()):
                # What has not been bounded yet stays open, too.
                for rest in portions[number + 1 :]:
                    self._tree.add(batch.take(rest))
                return self._tree.undecided(
                    Verdict.UNKNOWN, "a subproblem that cannot be split stays open", [(left.case, left.value)]
                )
            self._tree.add(_halves(self._graph, left, split))
        return None

    def _bound(self, batch: Subproblems, steps: int) -> tuple[Subproblems, DualPoint]:
        """The subproblems that stay open, with better multipliers and bounds, and where their bounds are attained."""
        self._tree.count += len(batch)
        region = propagate_intervals(self._graph, batch.region)
        alive = (~region.empty()).nonzero()[:, 0]
        batch = replace(batch, region=region).take(alive)
        hulls = hulls_of(self._graph, batch.region)
        rounding = Rounding.of(self._graph, batch.region)
        weight = self._weights(batch)
        objective = self._constraints.mixed(batch.case, weight)
        if len(batch):
            batch = replace(batch, parameters=self._improved(batch, objective, steps))
        point = evaluate_dual(
            self._graph,
            batch.region,
            hulls,
            objective,
            batch.parameters.to(torch.float64).multipliers(),
            rounding,
        )
        value = point.value + self._constraints.mixing_error(batch.case, weight, rounding)
        # The parent's bound holds here too; what is not a number is no bound.
        value = torch.minimum(torch.where(torch.isnan(value), torch.inf, value), batch.value)
        open_rows = (value >= 0).nonzero()[:, 0]
        return replace(batch, value=value).take(open_rows), point.take(open_rows)

    def _weights(self, batch: Subproblems) -> Tensor:
        """Weights of the constraints of each row's case, ``[B, m]``: those with which CROWN's bound is small."""
        width, rows, device = self._constraints.width, len(batch), self._device
        if width == 1 or not rows:
            return torch.ones(rows, width, dtype=torch.float64)
        region, case = batch.region.to(torch.float32, device), batch.case.to(device)
        hulls = hulls_of(self._light, region)
        best = torch.ones(rows, width, device=device, dtype=torch.float32)
        lowest = torch.full((rows,), torch.inf, device=device, dtype=torch.float32)
        theta = torch.zeros(rows, width, device=device, dtype=torch.float32)
        first, second = torch.zeros_like(theta), torch.zeros_like(theta)
        for step in range(_WEIGHT_STEPS):
            theta.requires_grad_(True)
            mu = torch.softmax(theta, 1)
            value = crown_lines(self._light, region, hulls, self._light_constraints.mixed(case, mu)).value
            (slope,) = torch.autograd.grad(value.sum(), theta)
            theta, mu, value = theta.detach(), mu.detach(), value.detach()
            lower = value < lowest
            lowest = torch.where(lower, value, lowest)
            best = torch.where(lower[:, None], mu, best)
            # Adam, whose steps do not depend on how large the constraints are.
            first, second = 0.8 * first + 0.2 * slope, 0.95 * second + 0.05 * slope.square()
            unbiased = first / (1 - 0.8 ** (step + 1)), second / (1 - 0.95 ** (step + 1))
            theta = theta - 0.5 * 0.9**step * unbiased[0] / (unbiased[1].sqrt() + 1e-12)
        weight = best.to("cpu", torch.float64)
        return weight / weight.amax(1, keepdim=True)

    def _improved(self, batch: Subproblems, objective: Objective, steps: int) -> Parameters:
        region, objective = batch.region.to(torch.float32, self._device), objective.to(torch.float32, self._device)
        known = batch.parameters.to(torch.float32, self._device)
        hulls = hulls_of(self._light, region)
        start = crown_parameters(self._light, region, hulls, objective)
        own = evaluate_dual(self._light, region, hulls, objective, known.multipliers()).value
        parameters, _ = better(start, (known, own))
        return optimize(self._light, region, hulls, objective, parameters, steps, goal=-1e-5)[0].to(torch.float32)

    def _choose(self, left: Subproblems, point: DualPoint) -> tuple[Split, Tensor]:
        """Of the few splits with the largest gaps the one whose halves have the smallest bounds, and whether there is one."""
        split, gap = gap_candidates(self._graph, left.region, point, None, _LOOK_AHEAD)

        def bound_halves(row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
            tried = Split(*(part[row, column] for part in (split.k, split.feature, split.point)))
            halves = _halves(self._graph, left.take(row), tried)
            region = halves.region.to(torch.float32, self._device)
            hulls = hulls_of(self._light, region)
            weight = torch.ones(len(halves), self._constraints.width, dtype=torch.float64)
            objective = self._constraints.mixed(halves.case, weight).to(torch.float32, self._device)
            multipliers = halves.parameters.to(torch.float32, self._device).multipliers()
            value = evaluate_dual(self._light, region, hulls, objective, multipliers).value.cpu()
            return value[: len(row)], value[len(row) :]

        total = look_ahead(torch.isfinite(gap), bound_halves, self._batch)
        return split.at(total.argmin(1)), torch.isfinite(gap[:, 0])


def _halves(graph: Graph, parts: Subproblems, split: Split) -> Subproblems:
    """Both halves of every row, the lower ones first."""
    twice = parts.take(torch.arange(len(parts)).repeat(2))
    return replace(twice, region=split_regions(graph, parts.region, split))
