"""Output cases: the disjuncts of a query in the form the bound refutes them.

A case turns a region into an objective that is at least 0 wherever the disjunct holds; a bound
below 0 therefore refutes the disjunct on the region. A case may also cut the region's ranges, because
the disjunct implies them.

* :class:`LinearCases`: constraints ``C y >= r``, as they stand.
* :class:`OrderCases`: ``y_k >= y_j + r`` where both outputs leave the *same* staircase. Bounding
  the two outputs apart is loose where they saturate; monotonicity carries the order to the
  pre-activations ``a_k, a_j`` instead, level by level.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from netproof.bounds.objective import Objective
from netproof.bounds.region import Region, node_intervals, propagate_intervals
from netproof.graph.graph import Graph
from netproof.operators.activations.staircase import Staircase
from netproof.operators.base import Activation
from netproof.query import Conjunction
from netproof.rows import Rows

#: relative to the difference of the two pre-activations
_PRICE = 8.0
#: weights of rival and label in an attack's objective; different starts take different ones
_DIRECTIONS = ((1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, 0.5), (0.5, 1.0), (1.0, 0.0), (0.0, 1.0))


@dataclass(frozen=True, eq=False)
class ObjectiveParts(Rows):
    """An objective in terms of what the case says and of the final activation's ranges.

    Attributes
    ----------
    weight : ``[B]``, of the case's constraint (or the order form's difference)
    constraint : ``[B]`` int64, which of the case's constraints
    shift : ``[B, n_output]`` or None, what the objective adds to the multipliers of the final activation
    """

    weight: Tensor
    constraint: Tensor
    shift: Tensor | None


@dataclass(frozen=True, eq=False)
class Windows(Rows):
    """Pieces of the range of one output feature each: the feature and the piece's lower end, ``[B]`` each."""

    feature: Tensor
    lower: Tensor


class Cases(Protocol):
    """The cases of one or more queries on one network; a row names its case by its number."""

    def __len__(self) -> int: ...

    def roots(self, case: Tensor, region: Region) -> tuple[Tensor, Region]:
        """Split rows that must be split before anything else.

        Returns the row that each new row comes from, and the new rows' region; together they
        cover everything of the old ones.
        """
        ...

    def windows(self, case: Tensor, region: Region) -> Windows | None:
        """How :meth:`roots` has cut the rows that it returned; None where it never cuts."""
        ...

    def first_alike(self, case: Tensor, region: Region) -> Tensor:
        """For rows that all come from one query's root: the first row (index) that asks the same as each."""
        ...

    def tighten(self, case: Tensor, region: Region) -> Region:
        """Cut off ranges in which the case cannot hold; rows may come back empty."""
        ...

    def objective(self, case: Tensor, region: Region) -> Objective:
        """An objective that is at least 0 wherever the case holds on the (nonempty) region."""
        ...

    def objective_parts(self, case: Tensor, region: Region) -> ObjectiveParts:
        """What :meth:`objective` consists of."""
        ...

    def weighted(self, case: Tensor, constraint: Tensor, weight: Tensor, region: Region) -> Objective:
        """``weight >= 0`` (``[B]``) times one constraint of the case as the objective, infinite where that says nothing."""
        ...

    def prices(self, case: Tensor, region: Region) -> list[Tensor]:
        """Multipliers of the final activation's ranges worth starting from: ``[B, n_output]`` each."""
        ...

    def splittable(self, case: Tensor) -> Tensor | None:
        """Features of a final activation worth splitting, ``[B, n_output]`` bool; None for all."""
        ...

    def gradient(self, case: Tensor, start: Tensor) -> dict[int, Tensor]:
        """For attacks: a direction of improvement in node values, varied with ``start`` (``[B]``)."""
        ...

    def deficiency(self, value: Tensor, case: Tensor) -> Tensor:
        """For attacks: how far ``value`` ``[B, M, n]`` (the output, or the operand of a final
        activation) is from meeting case ``case[b]``: ``[B, M]``, 0 where it meets it."""
        ...


def tighten_by_cases(graph: Graph, cases: Cases, case: Tensor, region: Region) -> tuple[Tensor, Region]:
    """Propagate ranges forwards and from the case backwards; leave out what has become empty.

    Returns the rows that are left (indices) and their region.
    """
    row = torch.arange(len(case))
    for step in (cases.tighten, None) * 2:
        region = propagate_intervals(graph, region) if step is None else step(case[row], region)
        alive = ~region.empty()
        if not bool(alive.all()):
            row, region = row[alive], region.take(alive)
        if not len(row):
            break
    return row, region


def cases_of(graph: Graph, conjunctions: Sequence[Conjunction]) -> Cases:
    """Number the conjunctions in the given order and choose their form."""
    order = order_cases(graph, conjunctions)
    return linear_cases(graph, conjunctions) if order is None else order


def order_cases(graph: Graph, conjunctions: Sequence[Conjunction]) -> OrderCases | None:
    """The conjunctions in order form, if all of them (and at least one) have it: ``y_rival - y_label >= margin``
    for outputs that leave the same staircase."""
    staircase = graph.output.operator
    if not conjunctions or not isinstance(staircase, Staircase) or staircase.levels == 0:
        return None
    if any(len(c.threshold) != 1 for c in conjunctions):
        return None
    if not bool(
        (staircase.thresholds == staircase.thresholds[:1]).all() & (staircase.base == staircase.base[:1]).all()
    ):
        return None
    rows = torch.cat([c.coefficients for c in conjunctions])
    margin = torch.cat([c.threshold for c in conjunctions])
    ones, minus = rows == 1, rows == -1
    fits = (ones.sum(1) == 1) & (minus.sum(1) == 1) & ((rows != 0).sum(1) == 2) & (margin == margin.round())
    if not bool(fits.all()):
        return None
    return OrderCases(graph, ones.to(torch.int8).argmax(1), minus.to(torch.int8).argmax(1), margin.to(torch.int64))


def linear_cases(graph: Graph, conjunctions: Sequence[Conjunction]) -> LinearCases:
    """The conjunctions as they stand."""
    height = max((len(c.threshold) for c in conjunctions), default=1)
    coefficients = torch.zeros(len(conjunctions), height, graph.output.size, dtype=torch.float64)
    threshold = torch.zeros(len(conjunctions), height, dtype=torch.float64)
    for i, c in enumerate(conjunctions):
        # A conjunction with fewer constraints than the others has its last one repeated.
        rows = torch.arange(height).clamp(max=len(c.threshold) - 1)
        coefficients[i], threshold[i] = c.coefficients[rows], c.threshold[rows]
    return LinearCases(graph, coefficients, threshold)


@dataclass(frozen=True, eq=False)
class LinearCases:
    """``coefficients @ y >= threshold`` on the outputs: ``[N, m, n_output]`` and ``[N, m]``.

    On each region the constraint that interval arithmetic finds hardest to meet is the objective.
    """

    graph: Graph
    coefficients: Tensor
    threshold: Tensor

    def __len__(self) -> int:
        return self.threshold.shape[0]

    def roots(self, case: Tensor, region: Region) -> tuple[Tensor, Region]:
        return torch.arange(len(case)), region

    def windows(self, case: Tensor, region: Region) -> Windows | None:
        return None

    def first_alike(self, case: Tensor, region: Region) -> Tensor:
        return torch.arange(len(case))

    def tighten(self, case: Tensor, region: Region) -> Region:
        return region

    def objective(self, case: Tensor, region: Region) -> Objective:
        coefficients, threshold = self.coefficients[case], self.threshold[case]
        output = len(self.graph.nodes) - 1
        coefficients, threshold = coefficients.to(region.lower.dtype), threshold.to(region.lower.dtype)
        rows, hardest = torch.arange(len(case)), self._hardest(coefficients, threshold, region)
        return Objective({output: coefficients[rows, hardest]}, -threshold[rows, hardest])

    def objective_parts(self, case: Tensor, region: Region) -> ObjectiveParts:
        dtype = region.lower.dtype
        hardest = self._hardest(self.coefficients[case].to(dtype), self.threshold[case].to(dtype), region)
        return ObjectiveParts(torch.ones(len(case), dtype=dtype), hardest, None)

    def weighted(self, case: Tensor, constraint: Tensor, weight: Tensor, region: Region) -> Objective:
        coefficients, threshold = self.coefficients[case, constraint], self.threshold[case, constraint]
        return Objective({len(self.graph.nodes) - 1: weight[:, None] * coefficients}, -weight * threshold)

    def _hardest(self, coefficients: Tensor, threshold: Tensor, region: Region) -> Tensor:
        if threshold.shape[1] == 1:
            return torch.zeros(len(threshold), dtype=torch.int64)
        low, high = node_intervals(self.graph, region)[-1]
        reach = (coefficients * torch.where(coefficients > 0, high[:, None], low[:, None])).sum(-1) - threshold
        return reach.argmin(1)

    def prices(self, case: Tensor, region: Region) -> list[Tensor]:
        return []

    def splittable(self, case: Tensor) -> Tensor | None:
        return None

    def gradient(self, case: Tensor, start: Tensor) -> dict[int, Tensor]:
        constraint = start % self.threshold.shape[1]
        return {len(self.graph.nodes) - 1: self.coefficients[case, constraint]}

    def deficiency(self, value: Tensor, case: Tensor) -> Tensor:
        output = self.graph.output.operator
        y = output.evaluate(value) if isinstance(output, Activation) else value
        missing = self.threshold[case][:, None].to(y.dtype) - y @ self.coefficients[case].transpose(1, 2).to(y.dtype)
        return missing.clamp(min=0).sum(-1)


@dataclass(frozen=True, eq=False)
class OrderCases:
    """``y_rival >= y_label + margin`` for outputs of one staircase with thresholds ``T[1..K]``.

    Let ``i`` be the level of the label, ``T[i] <= a_label < T[i + 1]``, with ``T[j] = -inf`` for
    ``j <= 0`` and ``+inf`` for ``j > K``. The case holds exactly where ``a_rival >= T[i + margin]``
    (never, where ``i + margin > K``). On a window of levels ``i0 .. i1`` this implies

        a_rival >= T[i0 + margin],   a_label < T[i1 + 1],
        a_rival - a_label >= min over i in the window of  T[i + margin] - T[i + 1] + 1,

    and on a single level the first two are the whole truth, so that splitting windows is complete.
    All three tensors are ``[N]`` int64.
    """

    graph: Graph
    rival: Tensor
    label: Tensor
    margin: Tensor

    def __len__(self) -> int:
        return self.rival.shape[0]

    def roots(self, case: Tensor, region: Region) -> tuple[Tensor, Region]:
        # Up to level -margin nothing is asked of the rival, and at level K nothing bounds the
        # label from above: the difference says nothing there, so these levels stand apart.
        margin, at = self.margin[case], self.label[case][:, None]
        low, high = (r.gather(1, at)[:, 0] for r in self._ranges(region))
        everything = torch.full_like(low, torch.inf)
        cuts = [
            -everything,
            self._threshold(1 - margin, low),
            self._threshold(0 * margin + self._levels, low),
            everything,
        ]
        rows, lowers, uppers = [], [], []
        for start, stop in itertools.pairwise(cuts):
            new_low, new_high = torch.maximum(low, start), torch.minimum(high, stop - 1)
            kept = (new_low <= new_high).nonzero()[:, 0]
            rows.append(kept)
            lowers.append(new_low[kept])
            uppers.append(new_high[kept])
        row = torch.cat(rows)
        region = region.take(row)
        range_lower, range_upper = self._ranges(region)
        return row, region.with_range(
            len(region.range_lower) - 1,
            range_lower.scatter(1, at[row], torch.cat(lowers)[:, None]),
            range_upper.scatter(1, at[row], torch.cat(uppers)[:, None]),
        )

    def windows(self, case: Tensor, region: Region) -> Windows | None:
        label = self.label[case]
        return Windows(label, region.range_lower[-1].gather(1, label[:, None])[:, 0])

    def first_alike(self, case: Tensor, region: Region) -> Tensor:
        # Where nothing is asked of the rival, all rivals ask the same: that the label is so low.
        margin, at = self.margin[case], self.label[case][:, None]
        top = self._level(self._ranges(region)[1].gather(1, at)[:, 0])
        first = torch.arange(len(case))
        seen: dict[tuple[int, int], int] = {}
        for row, (label, level, free) in enumerate(
            zip(self.label[case].tolist(), top.tolist(), (top + margin <= 0).tolist(), strict=True)
        ):
            if free:
                first[row] = seen.setdefault((label, level), row)
        return first

    def tighten(self, case: Tensor, region: Region) -> Region:
        margin, rival, label = self.margin[case], self.rival[case][:, None], self.label[case][:, None]
        low, high = self._ranges(region)
        # The rival's highest level bounds the label's, and the label's lowest bounds the rival's.
        label_top = self._threshold(self._level(high.gather(1, rival)[:, 0]) - margin + 1, high) - 1
        rival_floor = self._threshold(self._level(low.gather(1, label)[:, 0]) + margin, low)
        new_high = torch.minimum(high.gather(1, label)[:, 0], label_top)
        new_low = torch.maximum(low.gather(1, rival)[:, 0], rival_floor)
        return region.with_range(
            len(region.range_lower) - 1,
            low.scatter(1, rival, new_low[:, None]),
            high.scatter(1, label, new_high[:, None]),
        )

    def objective(self, case: Tensor, region: Region) -> Objective:
        margin, rival, label = self.margin[case], self.rival[case][:, None], self.label[case][:, None]
        low, high = self._ranges(region)
        first, last = self._level(low.gather(1, label)[:, 0]), self._level(high.gather(1, label)[:, 0])
        least = self._least(first, last, margin, low)
        # Where the difference says nothing, a range is the objective. That suffices: roots() has
        # set those levels apart, and on them the range is the whole truth.
        by_difference = torch.isfinite(least)
        by_rival = ~by_difference & (first + margin >= 1)
        constant = torch.where(by_rival, -low.gather(1, rival)[:, 0], high.gather(1, label)[:, 0])
        constant = torch.where(by_difference, -least, constant)
        operand = self.graph.output.operands[0]
        coefficients = torch.zeros_like(low)
        coefficients.scatter_add_(1, rival, (by_difference | by_rival).to(low.dtype)[:, None])
        coefficients.scatter_add_(1, label, -(~by_rival).to(low.dtype)[:, None])
        # Zero coefficients at the outputs let the ranges of the final staircase take part.
        return Objective({operand: coefficients, len(self.graph.nodes) - 1: torch.zeros_like(low)}, constant)

    def objective_parts(self, case: Tensor, region: Region) -> ObjectiveParts:
        # A range as the objective is the same as a price of 1 on that range.
        operand = self.graph.output.operands[0]
        coefficients = self.objective(case, region).coefficients[operand]
        margin, label = self.margin[case], self.label[case][:, None]
        first, last = (self._level(r.gather(1, label)[:, 0]) for r in self._ranges(region))
        by_difference = torch.isfinite(self._least(first, last, margin, region.lower))
        shift = torch.where(by_difference[:, None], 0.0, coefficients)
        return ObjectiveParts(by_difference.to(region.lower.dtype), torch.zeros_like(case), shift)

    def weighted(self, case: Tensor, constraint: Tensor, weight: Tensor, region: Region) -> Objective:
        margin, rival, label = self.margin[case], self.rival[case][:, None], self.label[case][:, None]
        low, high = self._ranges(region)
        first, last = self._level(low.gather(1, label)[:, 0]), self._level(high.gather(1, label)[:, 0])
        least = self._least(first, last, margin, low)
        constant = torch.where(weight == 0, 0.0, torch.where(torch.isfinite(least), -weight * least, torch.inf))
        coefficients = torch.zeros_like(low)
        coefficients.scatter_add_(1, rival, weight[:, None])
        coefficients.scatter_add_(1, label, -weight[:, None])
        operand = self.graph.output.operands[0]
        return Objective({operand: coefficients, len(self.graph.nodes) - 1: torch.zeros_like(low)}, constant)

    def _least(self, first: Tensor, last: Tensor, margin: Tensor, like: Tensor) -> Tensor:
        """Smallest ``a_rival - a_label`` on the window of levels ``first .. last``; infinite where nothing is known."""
        levels = torch.arange(self._levels + 1)
        difference = self._threshold(levels + margin[:, None], like) - self._threshold(levels + 1, like) + 1
        outside = (levels < first[:, None]) | (levels > last[:, None]) | (levels + margin[:, None] > self._levels)
        return torch.where(outside, torch.inf, difference).amin(1)

    def prices(self, case: Tensor, region: Region) -> list[Tensor]:
        # Where outputs saturate, a range that the case implies can be what refutes it: the label
        # would have to leave the top, or the rival the bottom. A high price makes that the objective.
        label = torch.zeros_like(region.range_lower[-1]).scatter_(1, self.label[case][:, None], -_PRICE)
        rival = torch.zeros_like(region.range_lower[-1]).scatter_(1, self.rival[case][:, None], _PRICE)
        return [label, rival]

    def splittable(self, case: Tensor) -> Tensor | None:
        mask = torch.zeros(len(case), self.graph.output.size, dtype=torch.bool)
        return mask.scatter_(1, self.label[case][:, None], True)

    def gradient(self, case: Tensor, start: Tensor) -> dict[int, Tensor]:
        weights = torch.tensor(_DIRECTIONS, dtype=self._thresholds.dtype)[start % len(_DIRECTIONS)]
        direction = torch.zeros(len(case), self.graph.output.size, dtype=weights.dtype)
        direction.scatter_add_(1, self.rival[case][:, None], weights[:, :1])
        direction.scatter_add_(1, self.label[case][:, None], -weights[:, 1:])
        return {self.graph.output.operands[0]: direction}

    def deficiency(self, value: Tensor, case: Tensor) -> Tensor:
        column = case[:, None, None].expand(*value.shape[:2], 1)
        rival = value.gather(2, self.rival[column])[..., 0]
        label = value.gather(2, self.label[column])[..., 0]
        margin = self.margin[case][:, None]
        # The rival's own level, and the next one up, are the only ones that can be cheapest.
        level = (self._level(rival) - margin).clamp(0, self._levels)
        above = (level + 1).clamp(max=self._levels)
        return torch.minimum(self._shortfall(rival, label, level, margin), self._shortfall(rival, label, above, margin))

    def _shortfall(self, rival: Tensor, label: Tensor, level: Tensor, margin: Tensor) -> Tensor:
        """How far the two pre-activations are from meeting the case at one level of the label."""
        lift = (self._threshold(level + margin, rival) - rival).clamp(min=0)
        return lift + (label - self._threshold(level + 1, label) + 1).clamp(min=0)

    @staticmethod
    def _ranges(region: Region) -> tuple[Tensor, Tensor]:
        return region.range_lower[-1], region.range_upper[-1]

    @property
    def _thresholds(self) -> Tensor:
        operator = self.graph.output.operator
        assert isinstance(operator, Staircase)
        return operator.thresholds[0]

    @property
    def _levels(self) -> int:
        return self._thresholds.shape[0]

    @cached_property
    def _padded(self) -> dict[torch.dtype, Tensor]:
        """``T[0] = -inf, T[1..K], T[K + 1] = +inf`` in the dtypes of deciding and of searching."""
        infinity = self._thresholds.new_full((1,), torch.inf)
        padded = torch.cat([-infinity, self._thresholds, infinity])
        return {torch.float64: padded, torch.float32: padded.float()}

    def _level(self, a: Tensor) -> Tensor:
        """``i`` with ``T[i] <= a < T[i + 1]``, int64."""
        return torch.searchsorted(self._padded[a.dtype][1:-1], a.contiguous(), right=True)

    def _threshold(self, j: Tensor, like: Tensor) -> Tensor:
        """``T[j]`` for any integer ``j``, in the dtype of ``like``."""
        return self._padded[like.dtype][j.clamp(0, self._levels + 1)]
