"""The dual bound in rational arithmetic, for small graphs: what float64 with its error term cannot tell.

Where a bound is exactly 0, no floating-point evaluation with an error term is below it. The mathematics is that of
:mod:`netproof.bounds.dual`: every choice of multipliers gives a valid bound. Here it is evaluated without any rounding, on
ranges that are found without any rounding, for a few choices of multipliers: those of intervals (0), and CROWN's with
either piece of a kink, or the nearer one, from below.

Numbers of affine maps are the floats that a file holds, as rationals. Graphs with numbers that were rounded on their way
from the file, with activations other than one kink at 0, or with too many numbers have no rational form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

import torch
from torch import Tensor

from netproof.bounds.rational_program import Line, Look, no_limit
from netproof.graph.graph import Graph
from netproof.operators.base import Affine
from netproof.operators.kink_hull import KinkHull

#: nonzero numbers in the affine maps of a graph, and entries of the matrices that hold them, at most
_MOST_NUMBERS, _MOST_ENTRIES = 4000, 1 << 20
#: products that finding the ranges of all features takes, at most; beyond that intervals have to do
_MOST_PRODUCTS = 200_000

ZERO = Fraction(0)
Row = dict[int, Fraction]
Interval = tuple[Fraction, Fraction]


class Lower(Enum):
    """Which multiplier an unstable feature gets where the bound leans on its lower side."""

    INTERVAL = "interval"
    NEARER = "nearer"
    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True)
class _Node:
    """One node: of an affine map the rows of its adjoint by operand and feature of the result, and its offset."""

    operands: tuple[int, ...]
    adjoint: tuple[tuple[Row, ...], ...] | None
    offset: tuple[Fraction, ...]
    kink: tuple[Fraction, Fraction]


class RationalGraph:
    """A graph whose numbers are rationals; made by :meth:`of`."""

    def __init__(self, nodes: Sequence[_Node], activations: Sequence[int], numbers: int) -> None:
        self._nodes = tuple(nodes)
        self._activations = tuple(activations)
        self._of = {index: k for k, index in enumerate(activations)}
        self._numbers = numbers

    @classmethod
    def of(cls, graph: Graph) -> RationalGraph | None:
        """The graph (float64) in rationals, or None where it has no such form."""
        entries = 0
        for node in graph.nodes[1:]:
            if isinstance(node.operator, Affine):
                entries += sum(graph.nodes[i].size for i in node.operands) * node.size
        if entries > _MOST_ENTRIES:
            return None
        nodes, numbers = [_Node((), None, (), (ZERO, ZERO))], 0
        for node in graph.nodes[1:]:
            operator = node.operator
            if not isinstance(operator, Affine):
                # On the widest range: what is a kink on a smaller one may be something else elsewhere.
                widest = torch.full((1, node.size), torch.finfo(torch.float64).max, dtype=torch.float64)
                hull = graph.activation(len(nodes)).hull(-widest, widest)
                if not isinstance(hull, KinkHull) or not 0 <= hull.left <= hull.right:
                    return None
                nodes.append(_Node(node.operands, None, (), (Fraction(hull.left), Fraction(hull.right))))
                continue
            if operator.roundings or bool((operator.offset_error() != 0).any()):
                return None
            zeros = [torch.zeros(graph.nodes[i].size, dtype=torch.float64) for i in node.operands]
            unit = torch.eye(node.size, dtype=torch.float64)
            rows = [_rows(matrix.expand(node.size, -1)) for matrix in operator.adjoint(unit)]
            numbers += sum(len(row) for part in rows for row in part)
            if numbers > _MOST_NUMBERS:
                return None
            offset = operator.forward(*zeros).expand(node.size)
            if not bool(torch.isfinite(offset).all()):
                return None
            nodes.append(_Node(node.operands, tuple(rows), tuple(map(Fraction, offset.tolist())), (ZERO, ZERO)))
        return cls(nodes, graph.activations, numbers)

    def ranges(
        self,
        box: Sequence[Interval],
        known: Sequence[Sequence[tuple[float, float]]],
        enough: Callable[[], bool] = lambda: False,
    ) -> list[list[Interval]] | None:
        """Ranges of every activation's operand over a box, by intervals and CROWN.

        Parameters
        ----------
        box : one interval per input
        known : per activation valid ranges, which the result is inside of
        enough : asked between features; where it says so, intervals have to do from there on

        Returns
        -------
        One list of intervals per activation; None where one is empty: nothing of the box is in the region.
        """
        found: list[list[Interval]] = []
        values: list[list[Interval]] = [list(box)]
        by_crown = sum(map(len, known)) * self._numbers <= _MOST_PRODUCTS
        for node in self._nodes[1:]:
            if node.adjoint is not None:
                values.append([self._interval(node, values, j) for j in range(len(node.offset))])
                continue
            operand, mine = node.operands[0], []
            for j, interval in enumerate(values[operand]):
                low, high = _cut(interval, known[len(found)][j])
                by_crown = by_crown and not enough()
                if by_crown and found and low < 0 < high:
                    above = self.bound({operand: {j: Fraction(1)}}, ZERO, box, found, Lower.NEARER)
                    below = -self.bound({operand: {j: Fraction(-1)}}, ZERO, box, found, Lower.NEARER)
                    low, high = max(low, below), min(high, above)
                if low > high:
                    return None
                mine.append((low, high))
            found.append(mine)
            values.append([(_kinked(node.kink, low), _kinked(node.kink, high)) for low, high in mine])
        return found

    def unstable(self, ranges: Sequence[Sequence[Interval]]) -> list[tuple[int, int]]:
        """Features whose range has 0 inside: pairs of an activation's number and a feature."""
        return [(k, j) for k, mine in enumerate(ranges) for j, (low, high) in enumerate(mine) if low < 0 < high]

    def lines(
        self, inputs: int, ranges: Sequence[Sequence[Interval]], look: Look = no_limit
    ) -> tuple[list[list[Line]], list[Line]]:
        """Where no feature is unstable: every node's value as an affine function of the input, and what is at least 0.

        The latter are pre-activations, or their negatives, that the ranges put on one side of 0. Slopes of kinks at the side
        that a range is on; of a range that is 0 alone either would do. ``look`` is called between features.
        """
        zeros = (ZERO,) * inputs
        look()
        units = [Line((*zeros[:i], Fraction(1), *zeros[i + 1 :]), ZERO) for i in range(inputs)]
        values: list[list[Line]] = [units]
        sides: list[Line] = []
        k = 0
        for node in self._nodes[1:]:
            if node.adjoint is not None:
                values.append([self._line(node, values, j, zeros, look) for j in range(len(node.offset))])
                continue
            mine = []
            for (low, high), a in zip(ranges[k], values[node.operands[0]], strict=True):
                look()
                right = low >= 0
                assert right or high <= 0, "a feature is unstable"
                sides.append(a if right else a.times(Fraction(-1)))
                mine.append(a.times(node.kink[1] if right else node.kink[0]))
            values.append(mine)
            k += 1
        return values, sides

    @staticmethod
    def _line(node: _Node, values: Sequence[Sequence[Line]], j: int, zeros: tuple[Fraction, ...], look: Look) -> Line:
        line = Line(zeros, node.offset[j])
        assert node.adjoint is not None
        for operand, rows in zip(node.operands, node.adjoint, strict=True):
            for i, a in rows[j].items():
                look()
                line = line + values[operand][i].times(a)
        return line

    @staticmethod
    def _interval(node: _Node, values: Sequence[Sequence[Interval]], j: int) -> Interval:
        low = high = node.offset[j]
        assert node.adjoint is not None
        for operand, rows in zip(node.operands, node.adjoint, strict=True):
            for i, a in rows[j].items():
                below, above = values[operand][i]
                low += a * (below if a > 0 else above)
                high += a * (above if a > 0 else below)
        return low, high

    def bound(
        self,
        objective: Mapping[int, Mapping[int, Fraction]],
        constant: Fraction,
        box: Sequence[Interval],
        ranges: Sequence[Sequence[Interval]],
        lower: Lower,
    ) -> Fraction:
        """An upper bound of ``sum objective[node] . value(node) + constant`` over the box and the ranges.

        ``ranges`` are those of the activations that the objective can depend on (slopes of a kink are at least 0 here).
        """
        arrived: list[Row] = [dict(objective.get(index, {})) for index in range(len(self._nodes))]
        value = constant
        for index in range(len(self._nodes) - 1, 0, -1):
            node, v = self._nodes[index], arrived[index]
            if node.adjoint is not None:
                for j, weight in v.items():
                    value += weight * node.offset[j]
                    for operand, rows in zip(node.operands, node.adjoint, strict=True):
                        target = arrived[operand]
                        for i, a in rows[j].items():
                            target[i] = target.get(i, ZERO) + weight * a
                continue
            target = arrived[node.operands[0]]
            for j, weight in v.items():
                if weight:
                    s, added = _pass(node.kink, weight, ranges[self._of[index]][j], lower)
                    value += added
                    target[j] = target.get(j, ZERO) + s
        for i, weight in arrived[0].items():
            value += weight * (box[i][1] if weight > 0 else box[i][0])
        return value


def _rows(matrix: Tensor) -> tuple[Row, ...]:
    """The nonzero entries of every row."""
    rows: list[Row] = [{} for _ in range(matrix.shape[0])]
    for j, i in matrix.nonzero().tolist():
        rows[j][i] = Fraction(float(matrix[j, i]))
    return tuple(rows)


def _cut(interval: Interval, ends: tuple[float, float]) -> Interval:
    """An interval cut to two ends, of which one that is not finite says nothing."""
    low, high = interval
    if math.isfinite(ends[0]):
        low = max(low, Fraction(ends[0]))
    if math.isfinite(ends[1]):
        high = min(high, Fraction(ends[1]))
    return low, high


def _kinked(kink: tuple[Fraction, Fraction], a: Fraction) -> Fraction:
    return a * (kink[0] if a < 0 else kink[1])


def _pass(kink: tuple[Fraction, Fraction], v: Fraction, within: Interval, lower: Lower) -> tuple[Fraction, Fraction]:
    """The multiplier of a feature and ``phi = max { v f(a) - s a }`` over its range, attained at an end or at the kink."""
    (left, right), (low, high) = kink, within
    if lower is Lower.INTERVAL and low < high:
        slope = ZERO
    elif high <= 0:
        slope = left
    elif low >= 0:
        slope = right
    elif v > 0:
        slope = (right * high - left * low) / (high - low)
    elif lower is Lower.NEARER:
        slope = right if low + high > 0 else left
    else:
        slope = left if lower is Lower.LEFT else right
    s = slope * v
    ends = [low, high, ZERO] if low < 0 < high else [low, high]
    return s, max(v * _kinked(kink, a) - s * a for a in ends)
