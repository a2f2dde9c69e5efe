"""The part of a graph behind one layer of ReLUs, and where in that layer's values a case may hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.backward import box_maximum
from netproof.bounds.boxes import box_lines, refine_with_account
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.conditions import Conditions
from netproof.graph.graph import Graph, GraphBuilder
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.select import Select
from netproof.rows import Rows


@dataclass(frozen=True, eq=False)
class Cover(Rows):
    """Boxes of a layer's values, outside which none of some cases holds; within each its own only where a line is at least 0.

    Attributes
    ----------
    case : ``[B]`` int64, which may hold in the box
    low, high : ``[B, n]``
    slope, offset : ``[B, n]`` and ``[B]``: ``slope . z + offset >= 0`` wherever the case holds in the box
    """

    case: Tensor
    low: Tensor
    high: Tensor
    slope: Tensor
    offset: Tensor

    def __len__(self) -> int:
        return self.offset.shape[0]

    def halves(self) -> tuple[Tensor, Tensor, Tensor]:
        """Both halves of every box, along the side on which its line changes most: cases ``[2 B]``, lower and upper ends ``[2 B, n]``."""
        rows = torch.arange(len(self))
        side = (self.slope.abs() * (self.high - self.low)).argmax(1)
        middle = self.low[rows, side] / 2 + self.high[rows, side] / 2
        low, high = self.low.clone(), self.high.clone()
        low[rows, side] = middle
        high[rows, side] = middle
        return self.case.repeat(2), torch.cat([self.low, low]), torch.cat([high, self.high])


@dataclass(frozen=True, eq=False)
class Tail:
    """What comes after the ``k``-th activation, a ReLU that everything goes through.

    Attributes
    ----------
    k : the activation, by its number
    feature : ``[n]``, its features that are not 0 on all of the region: the input of ``graph``
    graph : from their values to the output
    region : of one row, in terms of ``graph``
    constraints : about its output
    """

    k: int
    feature: Tensor
    graph: Graph
    region: Region
    constraints: Conditions

    @classmethod
    def of(cls, graph: Graph, region: Region, k: int, constraints: Conditions) -> Tail | None:
        """Of a region of one row; None where the output depends on the input by other ways as well."""
        begin = graph.activations[k]
        known = graph.nodes[begin].operands[0]
        # What comes before an activation comes before it in the list of nodes, too.
        behind = range(begin + 1, len(graph.nodes))
        passes_by = any(i < begin for node in graph.nodes[begin + 1 :] for i in node.operands)
        if passes_by or constraints.inputs is not None or not isinstance(graph.nodes[begin].operator, ReLU):
            return None
        feature = (region.range_upper[k][0] > 0).nonzero()[:, 0]
        if not len(feature):
            return None
        builder = GraphBuilder(graph.arithmetic, (len(feature),))
        index = torch.full((graph.nodes[known].size,), -1, dtype=torch.int64)
        index[feature] = torch.arange(len(feature))
        place = {begin: builder.add("spread", Select(index, len(feature), graph.nodes[begin].shape), builder.input)}
        for i in behind:
            node = graph.nodes[i]
            place[i] = builder.add(node.name, node.operator, *(place[operand] for operand in node.operands))
        part = builder.build()
        low, high = region.range_lower[k][:, feature].clamp(min=0), region.range_upper[k][:, feature]
        own = Region(low, high, region.range_lower[k + 1 :], region.range_upper[k + 1 :])
        return cls(k, feature, part, own, replace(constraints, graph=part))

    def cover(self, case: Tensor, low: Tensor, high: Tensor) -> Cover:
        """Those of some boxes ``[B, n]`` in which cases ``[B]`` (numbers) may hold, with CROWN's line of the constraint that is hardest to meet."""
        rows = len(low)
        wide = Region(
            low,
            high,
            tuple(part.expand(rows, -1) for part in self.region.range_lower),
            tuple(part.expand(rows, -1) for part in self.region.range_upper),
        )
        region, rounding = refine_with_account(self.graph, propagate_intervals(self.graph, wide))
        constraints = self.constraints
        outputs, threshold = constraints.outputs[case], constraints.threshold[case]
        objective = Objective({constraints.last: outputs}, -threshold)
        lines = box_lines(Relaxation(self.graph, region), objective, rounding)
        # The account of rounding holds at every point of a box, and is what a line is lifted by.
        plain = box_maximum(lines.constant, lines.coefficients, Region(low, high, (), ()))
        lift = (lines.value - plain).clamp(min=0) + 2.0**-50 * (lines.value.abs() + plain.abs())
        offset = lines.constant + lift
        least = torch.where(lines.value.isnan(), torch.inf, lines.value).argmin(1)
        at = torch.arange(rows)
        slope = lines.coefficients.expand(rows, constraints.width, -1)[at, least]
        cover = Cover(case, low, high, slope, offset.expand(rows, constraints.width)[at, least])
        return cover.take(~((lines.value < 0).any(1) | region.empty()))
