"""Branch and bound over the ranges of pre-activations, for activations of every kind.

A range is cut at a kink of the function, or near its middle where it is smooth; the halves have smaller hulls, and free
multipliers ``s = alpha * v + beta`` make use of where they end (Shi et al., *Neural Network Verification with
Branch-and-Bound for General Nonlinearities*, TACAS 2025, in the terms of the dual bound). Slower than
:mod:`netproof.search.real.relu_split`, which is for functions with a single kink at 0.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import DualPoint, evaluate_dual
from netproof.bounds.line_ranges import refine_by_lines
from netproof.bounds.look_ahead import look_ahead
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.lines import Cuts, by_crown, leaning
from netproof.bounds.multipliers.mixture import crown_mixture
from netproof.bounds.multipliers.ranges import Parameters, better, crown_parameters, optimize
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.reduce import reduce_real_ranges
from netproof.bounds.region import Region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.effort.bounding import LINE_STEPS
from netproof.effort.real import RANGE
from netproof.graph.graph import Graph
from netproof.query import Verdict, Witness
from netproof.search.branching import Split, gap_candidates, height_candidates, split_regions
from netproof.search.outcome import Outcome
from netproof.search.proofs.journal import Grounds, Means
from netproof.search.real.problem import Problem
from netproof.search.real.programs.leaf import leaf_solver
from netproof.search.real.programs.straight import RangeLeaves
from netproof.search.real.touch import Touch, ended
from netproof.search.subproblems import Subproblems
from netproof.search.tree import WorstFirst


class RangeSplit:
    """Search on one query."""

    def __init__(self, problem: Problem) -> None:
        graph, memory = problem.graph, problem.memory
        self._graph = graph
        self._device = torch.device(problem.device)
        self._graph32 = graph.to(torch.float32, problem.device)
        self._constraints = problem.constraints
        self._constraints32 = problem.constraints.to(torch.float32, problem.device)
        self._attack = problem.attack
        self._touch = problem.touch
        self._solver = leaf_solver(memory)
        self._leaves: RangeLeaves | None = None
        self._record = problem.record
        self._maximum = problem.maximum
        # With products, CROWN's multipliers are at a kink of the bound in each of them, and steps that leave them gain nothing:
        # lines do instead.
        self._coupled = any(graph.activation(index).coupled for index in graph.activations)
        self._batch = RANGE.batch.rows(graph, RANGE.tensors, memory)
        #: the region of one row that everything is a part of
        self._whole: Region | None = None
        self._tree: WorstFirst[Subproblems] = WorstFirst(
            memory, problem.record, stuck="a subproblem that cannot be split stays open"
        )

    def run(self, region: Region, case: Tensor, deadline: float) -> Outcome:
        """Decide cases (numbers) on a region of one row, or stop when ``time.monotonic()`` reaches ``deadline``."""
        # What ranges were proved by is not recorded here, so that proofs do without.
        if self._record is None and self._coupled:
            region, case = self._by_lines(region, case, deadline)
            if not len(case):
                return Outcome(Verdict.UNSAT, self._tree.count)
        root = self._root(region, case)
        self._whole = region.to(torch.float32, self._device)
        with self._solver:
            self._leaves = RangeLeaves(self._graph, region, self._constraints, self._solver)
            return self._search(root, deadline)

    def _root(self, region: Region, case: Tensor) -> Subproblems:
        rows = len(case)
        zeros = tuple(torch.zeros(rows, low.shape[1], dtype=torch.float32) for low in region.range_lower)
        infinite = torch.full((rows,), torch.inf, dtype=torch.float64)
        return Subproblems(
            case,
            region.take(torch.zeros(rows, dtype=torch.int64)),
            Parameters(zeros, zeros),
            infinite,
            torch.zeros_like(case) if self._record is None else self._record.root(case, region),
            torch.full_like(case, -1),
        )

    def _by_lines(self, region: Region, case: Tensor, deadline: float) -> tuple[Region, Tensor]:
        """Better ranges, by lines for every end, and the cases that bounds by lines leave open, before and after."""
        now = time.monotonic()
        until = now + RANGE.lines_share * (deadline - now)
        for ranges in (False, True):
            if ranges:
                region = refine_by_lines(self._graph, region, until, self._device)
            left = []
            for part in torch.split(case, self._batch):
                if time.monotonic() >= deadline:
                    left.append(part)
                    continue
                self._whole = region.to(torch.float32, self._device)
                still, _ = self._bound(self._root(region, part), 0)
                left.append(still.case)
            case = torch.cat(left)
            if not len(case):
                break
        return region, case

    def _search(self, root: Subproblems, deadline: float) -> Outcome:
        found = self._process(root, RANGE.root_steps, deadline)
        return found or self._tree.search(
            lambda batch: self._process(batch, RANGE.steps, deadline), self._batch, deadline
        )

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
                    return self._tree.sat(witness)
            split, splittable = self._choose(left, point)
            if not bool(splittable.all()):
                witness = self._solve(left.take(~splittable), deadline)
                if witness is not None:
                    return self._tree.sat(witness)
                left, split = left.take(splittable), split.take(splittable)
            halves = _halves(self._graph, left, split)
            if self._record is not None:
                halves = replace(halves, node=self._record.split(left.node, split))
            self._tree.add(halves)
            if self._attack is None and self._tree.is_stuck:
                # No proof any more, and no witness. What has not been bounded yet stays open, too.
                for rest in portions[number + 1 :]:
                    self._tree.add(batch.take(rest))
                return self._tree.stuck()
        return None

    def _solve(self, leaves: Subproblems, deadline: float) -> Witness | None:
        """Close subproblems with nothing left to split by linear programs, put aside those that stay open; a witness if a
        program's point is one."""
        assert self._leaves is not None
        for row in range(len(leaves)):
            if time.monotonic() >= deadline:
                self._tree.add(leaves.take(torch.arange(row, len(leaves))))
                return None
            one = leaves.take(torch.tensor([row]))
            case = int(one.case)
            leaf = self._leaves.bound(case, one.region, deadline)
            if leaf.value < 0 and leaf.weight is not None and leaf.beta is not None:
                if self._record is not None:
                    weight = leaf.weight[None]
                    s = self._leaves.point(case, one.region, weight, leaf.beta).s
                    self._record.leaf(one.node, Grounds(Means.MULTIPLIERS, weight, s))
                continue
            refuted, witness = ended(
                self._touch,
                partial(_refuted, region=one.region, case=case, deadline=deadline),
                partial(self._tried, leaf.point, one.case),
            )
            if witness is not None:
                return witness
            if not refuted:
                self._tree.put_aside(one.case, one.value)
            elif self._record is not None:
                self._record.leaf(one.node, Grounds(Means.FRACTIONS))
        return None

    def _tried(self, point: Tensor | None, case: Tensor) -> Witness | None:
        """A program's point, if it is a witness."""
        if self._attack is None or point is None:
            return None
        return self._attack.try_points(point[None], case)

    def _bound(self, batch: Subproblems, steps: int) -> tuple[Subproblems, DualPoint]:
        """The subproblems that stay open, with better multipliers and bounds, and where their bounds are attained."""
        self._tree.count += len(batch)
        region = propagate_intervals(self._graph, batch.region)
        empty = region.empty()
        alive = (~empty).nonzero()[:, 0]
        if self._record is not None:
            self._record.reduction(batch.node, batch.region, region, Grounds(Means.INTERVALS))
            self._record.leaf(batch.node[empty], Grounds(Means.EMPTY))
        batch = replace(batch, region=region).take(alive)
        rounding = Rounding.of(self._graph, batch.region)
        weight = self._weights(batch)
        objective = self._constraints.mixed(batch.case, weight)
        if len(batch):
            batch = replace(batch, parameters=self._improved(batch, objective, steps))
        point = evaluate_dual(
            Relaxation(self._graph, batch.region),
            objective,
            batch.parameters.to(torch.float64).multipliers(),
            rounding,
            self._maximum,
        )
        own = point.value + self._constraints.mixing_error(batch.case, weight, rounding)
        # The parent's bound holds here too; what is not a number is no bound.
        own = torch.where(torch.isnan(own), torch.inf, own)
        value = torch.minimum(own, batch.value)
        is_open = value >= 0
        by = Grounds(Means.MULTIPLIERS, weight, point.s)
        if self._record is not None:
            self._record.leaf(batch.node[~is_open], by.take(~is_open))
        rows = is_open.nonzero()[:, 0]
        left, point = replace(batch, value=value).take(rows), point.take(rows)
        region = reduce_real_ranges(point, own[rows])
        if self._record is not None:
            self._record.reduction(left.node, left.region, region, by.take(rows))
        return replace(left, region=region), point

    def _weights(self, batch: Subproblems) -> Tensor:
        """Weights of the constraints of each row's case, ``[B, m]``: those with which CROWN's bound is small."""
        width, rows, device = self._constraints.width, len(batch), self._device
        if width == 1 or not rows:
            return torch.ones(rows, width, dtype=torch.float64)
        region, case = batch.region.to(torch.float32, device), batch.case.to(device)
        start = torch.zeros(rows, width, device=device, dtype=torch.float32)
        best = crown_mixture(
            Relaxation(self._graph32, region), lambda weight: self._constraints32.mixed(case, weight), start
        )
        weight = best.to("cpu", torch.float64)
        return weight / weight.amax(1, keepdim=True)

    def _improved(self, batch: Subproblems, objective: Objective, steps: int) -> Parameters:
        region, objective = batch.region.to(torch.float32, self._device), objective.to(torch.float32, self._device)
        known = batch.parameters.to(torch.float32, self._device)
        relaxation = Relaxation(self._graph32, region)
        if self._coupled:
            assert self._whole is not None
            cuts = Cuts.of(relaxation, self._whole, known.beta)
            until = Until(LINE_STEPS.steps, -1e-5)
            start = leaning(relaxation, objective, until, maximum=self._maximum, cuts=cuts)[:2]
        else:  # what free multipliers have come to on the way down is worth more than a few steps on lines
            start = crown_parameters(relaxation, objective)
        own = evaluate_dual(relaxation, objective, known.multipliers(), maximum=self._maximum).value
        parameters, _ = better(start, (known, own))
        if self._coupled:
            return parameters
        return optimize(relaxation, objective, parameters, Until(steps, -1e-5), self._maximum)[0].to(torch.float32)

    def _choose(self, left: Subproblems, point: DualPoint) -> tuple[Split, Tensor]:
        """Of a few splits the one whose halves have the smallest bounds, and whether there is one."""
        by_gap, by_height = RANGE.look_ahead_coupled if self._coupled else (RANGE.look_ahead, 0)
        split, gap = gap_candidates(point, None, by_gap, left.region)
        if by_height:
            # The gap is that at one point, and moves with it; what arrives does not. Both kinds have their turn.
            others, height = height_candidates(point, by_height, left.region)
            split, gap = split.beside(others), torch.cat([gap, height], 1)

        def bound_halves(row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
            tried = Split(*(part[row, column] for part in (split.k, split.feature, split.point)))
            halves = _halves(self._graph, left.take(row), tried)
            region = halves.region.to(torch.float32, self._device)
            weight = torch.ones(len(halves), self._constraints.width, dtype=torch.float64)
            objective = self._constraints.mixed(halves.case, weight).to(torch.float32, self._device)
            relaxation = Relaxation(self._graph32, region)
            if self._coupled:
                # With the multipliers of the whole, which touch where the halves end, neither half gains anything.
                value = by_crown(relaxation, objective, self._maximum).cpu()
            else:
                multipliers = halves.parameters.to(torch.float32, self._device).multipliers()
                value = evaluate_dual(relaxation, objective, multipliers, maximum=self._maximum).value.cpu()
            return value[: len(row)], value[len(row) :]

        total = look_ahead(torch.isfinite(gap), bound_halves, self._batch)
        return split.at(total.argmin(1)), torch.isfinite(gap).any(1)


def _refuted(touch: Touch, region: Region, case: int, deadline: float) -> bool:
    return touch.refutes(region, 0, [case], deadline)[0]


def _halves(graph: Graph, parts: Subproblems, split: Split) -> Subproblems:
    """Both halves of every row, the lower ones first."""
    twice = parts.take(torch.arange(len(parts)).repeat(2))
    return replace(twice, region=split_regions(graph, parts.region, split))
