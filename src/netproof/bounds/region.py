"""Batches of regions: input boxes with ranges for every pre-activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.graph.crop import Crop
from netproof.graph.graph import Arithmetic, Graph
from netproof.graph.rounding import gamma
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.select import Select
from netproof.operators.base import Affine
from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


@dataclass(frozen=True, eq=False)
class Region(Rows):
    """``B`` subsets of the input space of a graph, one per row.

    Row ``b`` holds the inputs in ``[lower[b], upper[b]]`` whose pre-activation at the graph's
    ``k``-th activation lies in ``[range_lower[k][b], range_upper[k][b]]``.

    Attributes
    ----------
    lower, upper : ``[B, n_input]``, or ``[1, n_input]`` for one box that all rows share
    range_lower, range_upper : one ``[B, n_k]`` per activation of the graph, in graph order
    """

    lower: Float[Tensor, "#B n"]
    upper: Float[Tensor, "#B n"]
    range_lower: tuple[Float[Tensor, "B _"], ...]
    range_upper: tuple[Float[Tensor, "B _"], ...]

    def __len__(self) -> int:
        return self.range_lower[0].shape[0] if self.range_lower else self.lower.shape[0]

    def take(self, rows: Tensor) -> Region:
        """The rows selected by an index or mask tensor; a shared box stays shared."""
        # Without activations only the box tells how many rows there are, so it cannot be shared.
        shared = self.lower.shape[0] == 1 and bool(self.range_lower)
        return Region(
            self.lower if shared else self.lower[rows],
            self.upper if shared else self.upper[rows],
            tuple(r[rows] for r in self.range_lower),
            tuple(r[rows] for r in self.range_upper),
        )

    def written(self, rows: Tensor, other: Region) -> Region:
        """The same with other rows in the place of ``rows``, in these very tensors; a box that all share stays shared."""
        lower, upper = self.lower, self.upper
        shared = lower.shape[0] == 1 and bool(self.range_lower)
        if not (shared and other.lower is lower and other.upper is upper):
            if shared:
                lower, upper = (end.expand(len(self), -1).clone() for end in (lower, upper))
            lower[rows], upper[rows] = other.lower, other.upper
        for part, new in zip(
            (*self.range_lower, *self.range_upper), (*other.range_lower, *other.range_upper), strict=True
        ):
            part[rows] = new
        return replace(self, lower=lower, upper=upper)

    @classmethod
    def concatenate(cls, parts: Sequence[Region]) -> Region:
        """The rows of several regions of the same graph; a box that all share stays shared."""
        first = parts[0]
        shared = (
            all(p.lower is first.lower and p.upper is first.upper for p in parts)
            and first.lower.shape[0] == 1
            and bool(first.range_lower)
        )
        boxes = [(p.lower.expand(len(p), -1), p.upper.expand(len(p), -1)) for p in parts]
        return Region(
            first.lower if shared else torch.cat([low for low, _ in boxes]),
            first.upper if shared else torch.cat([high for _, high in boxes]),
            tuple(torch.cat(r) for r in zip(*(p.range_lower for p in parts), strict=True)),
            tuple(torch.cat(r) for r in zip(*(p.range_upper for p in parts), strict=True)),
        )

    def part(self, crop: Crop) -> Region:
        """The same rows, of a part of the graph."""
        pairs = [(k, crop.features[i]) for k, i in zip(crop.activations, crop.graph.activations, strict=True)]
        inputs = crop.features[0]
        return Region(
            self.lower[:, inputs],
            self.upper[:, inputs],
            tuple(self.range_lower[k][:, features] for k, features in pairs),
            tuple(self.range_upper[k][:, features] for k, features in pairs),
        )

    def with_range(self, k: int, lower: Float[Tensor, "B n"], upper: Float[Tensor, "B n"]) -> Region:
        """The same rows with another range at the ``k``-th activation."""
        lowers, uppers = list(self.range_lower), list(self.range_upper)
        lowers[k], uppers[k] = lower, upper
        return replace(self, range_lower=tuple(lowers), range_upper=tuple(uppers))

    def empty(self) -> Bool[Tensor, " B"]:
        """``[B]`` bool: rows that hold no input because some interval is empty."""
        empty = (self.lower > self.upper).any(-1)
        for low, high in zip(self.range_lower, self.range_upper, strict=True):
            empty = empty | (low > high).any(-1)
        return empty


def halves(lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
    """Centres and radii of intervals. All of an interval lies within the radius of the centre, but for a rounding of the radius
    that is relative to it: also where halves of the smallest numbers are none."""
    center = (lower + upper) / 2
    return center, torch.maximum(upper - center, center - lower)


def node_intervals(graph: Graph, region: Region) -> list[tuple[Float[Tensor, "#B _"], Float[Tensor, "#B _"]]]:
    """Interval of every node's value, from the box and cut to the ranges: ``[B, n]`` pairs.

    The entry of an activation's operand is *not* cut to the activation's range; the activation's
    own entry is its image. Crossed ranges (empty rows) give crossed images. Exact for integer
    graphs: centres and radii are half-integers, and float64 holds them below 2**52. Outward for real
    graphs in float64; in float32 they are as good as the dtype (fit for searching).
    """
    outward = graph.arithmetic is Arithmetic.REAL and region.lower.dtype == torch.float64
    intervals: list[tuple[Tensor, Tensor]] = [(region.lower, region.upper)]
    k = 0
    for node in graph.nodes[1:]:
        operator = node.operator
        if isinstance(operator, Affine):
            ends = [intervals[i] for i in node.operands]
            if isinstance(operator, Select | Concatenate):  # which round nothing
                low, high = (operator.forward(*(pair[side] for pair in ends)) for side in range(2))
                intervals.append((low, high))
                continue
            centers, radii = zip(*(halves(low, high) for low, high in ends), strict=True)
            center, radius = operator.forward(*centers), operator.forward_absolute(*radii)
            if outward:
                radius = radius + _rounding(operator, ends)
            low, high = center - radius, center + radius
            if outward and not float((high - low).sum()) < torch.inf:
                # Numbers have overflowed: what is not a number is no end, and neither is the wrong infinity.
                low, high = (
                    torch.where(low < torch.inf, low, -torch.inf),
                    torch.where(high > -torch.inf, high, torch.inf),
                )
            intervals.append((low, high))
        else:
            low, high = intervals[node.operands[0]]
            low, high = torch.maximum(low, region.range_lower[k]), torch.minimum(high, region.range_upper[k])
            intervals.append(graph.activation(graph.activations[k]).output_range(low, high))
            k += 1
    return intervals


def _rounding(operator: Affine, ends: list[tuple[Tensor, Tensor]]) -> Tensor:
    """What the centre and the radius of an interval may be off by, all roundings included.

    Both are sums of products with ``|A| m + |b|`` as the sum of their magnitudes, ``m`` the larger end; a few
    roundings more are those of the halves, of the ends, and of this bound itself.
    """
    size = operator.forward_absolute(*(torch.maximum(low.abs(), high.abs()) for low, high in ends))
    size = size + operator.offset_absolute()
    roundings = operator.terms()[0] + operator.roundings + 16
    rounding = 4 * gamma(roundings) * size + 2 * operator.offset_error() + 2.0**-500
    if bool((size == 0).any()):
        # Nothing is rounded where every term has a 0 in it: told by what is not 0, since small numbers multiply to 0 as well.
        there = operator.forward_absolute(*(((low != 0) | (high != 0)).to(low.dtype) for low, high in ends))
        nothing = (there + operator.offset_absolute() + operator.offset_error() == 0).expand_as(rounding)
        rounding = torch.where(nothing, torch.zeros_like(rounding), rounding)
    return rounding


def propagate_intervals(graph: Graph, region: Region) -> Region:
    """Intersect every range with interval propagation through the region."""
    intervals = node_intervals(graph, region)
    operands = [graph.nodes[i].operands[0] for i in graph.activations]
    return replace(
        region,
        range_lower=tuple(torch.maximum(r, intervals[o][0]) for r, o in zip(region.range_lower, operands, strict=True)),
        range_upper=tuple(torch.minimum(r, intervals[o][1]) for r, o in zip(region.range_upper, operands, strict=True)),
    )


def point_region(graph: Graph, x: Float[Tensor, "B n"]) -> Region:
    """The points ``[B, n_input]`` themselves, their ranges from evaluating them: rounded, so nothing that can decide."""
    values = graph.values(x)
    operands = tuple(values[graph.nodes[i].operands[0]] for i in graph.activations)
    return Region(x, x, operands, operands)


def box_region(graph: Graph, lower: Float[Tensor, "B n"], upper: Float[Tensor, "B n"]) -> Region:
    """The region of input boxes ``[B, n_input]``, its ranges from interval propagation."""
    return propagate_intervals(graph, unknown_region(graph, lower, upper))


def unknown_region(graph: Graph, lower: Float[Tensor, "B n"], upper: Float[Tensor, "B n"]) -> Region:
    """The region of input boxes ``[B, n_input]`` of whose ranges nothing is known."""
    rows = lower.shape[0]
    unbounded = [
        torch.full((rows, graph.nodes[i].size), torch.inf, dtype=lower.dtype, device=lower.device)
        for i in graph.activations
    ]
    return Region(lower, upper, tuple(-u for u in unbounded), tuple(unbounded))
