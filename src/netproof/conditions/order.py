"""Conditions on outputs that leave one staircase: their order is carried to the pre-activations.

``y_k >= y_j + r`` where both outputs leave the *same* staircase. Bounding the two outputs apart is loose where they saturate;
monotonicity carries the order to the pre-activations ``a_k, a_j`` instead, level by level.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from netproof.bounds.objective import Objective
from netproof.bounds.region import Region
from netproof.conditions.conditions import Conditions, ObjectiveParts, Windows
from netproof.effort.integer import ORDER
from netproof.graph.graph import Graph
from netproof.operators.activations.staircase import Staircase
from netproof.query import Conjunction


def conditions_of(graph: Graph, conjunctions: Sequence[Conjunction]) -> Conditions:
    """The conjunctions, numbered in the given order: in order form where all of them have it, else as they stand."""
    in_order = order_conditions(graph, conjunctions)
    return Conditions.of(graph, conjunctions) if in_order is None else in_order


def order_conditions(graph: Graph, conjunctions: Sequence[Conjunction]) -> OrderConditions | None:
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
    rival, label = (which.to(torch.int8).argmax(1) for which in (ones, minus))
    return OrderConditions(graph, rows[:, None], None, margin[:, None], rival, label, margin.to(torch.int64))


@dataclass(frozen=True, eq=False)
class OrderConditions(Conditions):
    """``y_rival >= y_label + margin`` for outputs of one staircase with thresholds ``T[1..K]``.

    Let ``i`` be the level of the label, ``T[i] <= a_label < T[i + 1]``, with ``T[j] = -inf`` for
    ``j <= 0`` and ``+inf`` for ``j > K``. The case holds exactly where ``a_rival >= T[i + margin]``
    (never, where ``i + margin > K``). On a window of levels ``i0 .. i1`` this implies

        a_rival >= T[i0 + margin],   a_label < T[i1 + 1],
        a_rival - a_label >= min over i in the window of  T[i + margin] - T[i + 1] + 1,

    and on a single level the first two are the whole truth, so that splitting windows is complete.
    All three tensors are ``[N]`` int64, and say the same as the constraints.
    """

    rival: Tensor
    label: Tensor
    margin: Tensor

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
        label = torch.zeros_like(region.range_lower[-1]).scatter_(1, self.label[case][:, None], -ORDER.price)
        rival = torch.zeros_like(region.range_lower[-1]).scatter_(1, self.rival[case][:, None], ORDER.price)
        return [label, rival]

    def splittable(self, case: Tensor) -> Tensor | None:
        mask = torch.zeros(len(case), self.graph.output.size, dtype=torch.bool)
        return mask.scatter_(1, self.label[case][:, None], True)

    def gradient(self, case: Tensor, start: Tensor) -> dict[int, Tensor]:
        weights = torch.tensor(ORDER.directions, dtype=self._thresholds.dtype)[start % len(ORDER.directions)]
        direction = torch.zeros(len(case), self.graph.output.size, dtype=weights.dtype)
        direction.scatter_add_(1, self.rival[case][:, None], weights[:, :1])
        direction.scatter_add_(1, self.label[case][:, None], -weights[:, 1:])
        return {self.graph.output.operands[0]: direction}

    def deficiency(self, value: Tensor, case: Tensor) -> Tensor:
        column = case[:, None, None].expand(*value.shape[:2], 1)
        rival = value.gather(2, self.rival[column])[..., 0]
        label = value.gather(2, self.label[column])[..., 0]
        margin = self.margin[case][:, None]
        # The rival's own level, and the next one up, are the only ones that can be cheapest, and the top one, at which nothing is
        # asked of the label.
        own = self._level(rival) - margin
        levels = (own.clamp(0, self._levels), (own + 1).clamp(0, self._levels), torch.full_like(own, self._levels))
        return torch.stack([self._shortfall(rival, label, level, margin) for level in levels]).amin(0)

    def compared(self, case: int) -> tuple[Tensor, Tensor, int]:
        """The two outputs that a case compares, ``[2]`` (rival, label), all thresholds ``T[0] = -inf, T[1..K], T[K + 1] = inf``, and
        its margin."""
        rows = torch.stack([self.rival[case], self.label[case]])
        return rows, self._padded[torch.float64], int(self.margin[case])

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
