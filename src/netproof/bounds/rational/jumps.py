"""Intervals in rational numbers of graphs with functions that jump, for small graphs.

Next to a jump float64 cannot tell on which side of it a value is, and a hull holds what the function takes on both. Where
the value is exactly at the jump, or a range begins or ends there, rational numbers tell: on a box of one point such
intervals are the values themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from netproof.bounds.rational.bound import Row, entries, rational_affine
from netproof.bounds.rational.pieces import ZERO, Interval, Pieces
from netproof.effort.bounding import RATIONAL
from netproof.graph.graph import Graph
from netproof.operators.activations.jumps.floor import Floor
from netproof.operators.activations.jumps.step import Step
from netproof.operators.base import Activation, Affine

Image = Callable[[Interval], Interval | None]


def jumps(graph: Graph) -> bool:
    """Whether any activation is a function that jumps."""
    return any(isinstance(graph.activation(index), Step | Floor) for index in graph.activations)


def exact_intervals(graph: Graph, box: Sequence[Interval], enough: Callable[[], bool]) -> list[Interval] | None:
    """The least interval arithmetic gives for every feature of the output over a box, without any rounding.

    Parameters
    ----------
    graph : float64; its numbers are taken as the rationals they are
    box : one interval per input
    enough : asked between nodes; where it says so, there is no answer

    Returns
    -------
    One interval per output. None where the graph has an activation of another kind than straight pieces and jumps, numbers
    that were rounded or are too many, or no value somewhere in the box.
    """
    if entries(graph) > RATIONAL.entries:
        return None
    values: list[list[Interval]] = [list(box)]
    numbers = 0
    for index, node in enumerate(graph.nodes[1:], start=1):
        if enough():
            return None
        if isinstance(node.operator, Affine):
            affine = rational_affine(node.operator, [graph.nodes[i].size for i in node.operands], node.size)
            if affine is None:
                return None
            numbers += sum(len(row) for part in affine[0] for row in part)
            if numbers > RATIONAL.numbers:
                return None
            operands = [values[i] for i in node.operands]
            values.append([_sum(affine[0], operands, j, offset) for j, offset in enumerate(affine[1])])
            continue
        image = _image(graph.activation(index))
        if image is None or len(node.operands) != 1:
            return None
        images = [image(within) for within in values[node.operands[0]]]
        if any(found is None for found in images):
            return None
        values.append([found for found in images if found is not None])
    return values[-1]


def _sum(rows: Sequence[Sequence[Row]], operands: Sequence[Sequence[Interval]], j: int, offset: Fraction) -> Interval:
    low = high = offset
    for values, part in zip(operands, rows, strict=True):
        for i, a in part[j].items():
            below, above = values[i]
            low += a * (below if a > 0 else above)
            high += a * (above if a > 0 else below)
    return low, high


def _image(operator: Activation) -> Image | None:
    """What an activation makes of an interval; None where it is of another kind."""
    if isinstance(operator, Step):
        return _Step(*map(Fraction, (operator.below_zero, operator.at_zero, operator.above_zero))).image
    if isinstance(operator, Floor):
        return _Floor(operator.limit).image
    pieces = Pieces.of(operator)
    return None if pieces is None else pieces.image


@dataclass(frozen=True)
class _Step:
    below: Fraction
    at: Fraction
    above: Fraction

    def image(self, within: Interval) -> Interval:
        low, high = within
        taken = [(self.below, low < ZERO), (self.at, low <= ZERO <= high), (self.above, high > ZERO)]
        values = [value for value, is_taken in taken if is_taken]
        return min(values), max(values)


@dataclass(frozen=True)
class _Floor:
    limit: float

    def image(self, within: Interval) -> Interval | None:
        low, high = within
        if math.isfinite(self.limit) and high >= Fraction(self.limit):
            return None
        return Fraction(math.floor(low)), Fraction(math.floor(high))
