"""The dual bound in rational arithmetic, for small graphs: what float64 with its error term cannot tell.

Where a bound is exactly 0, no floating-point evaluation with an error term is below it. The mathematics is that of
:mod:`netproof.bounds.dual`: every choice of multipliers gives a valid bound. Here it is evaluated without any rounding, on
ranges that are found without any rounding, for a few choices of multipliers: those of intervals (0), and CROWN's with
either piece of a bend, or the nearer one.

Numbers of affine maps are the floats that a file holds, as rationals. Graphs with numbers that were rounded on their way
from the file, with activations that are not straight piece by piece, or with too many numbers have no rational form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.rational.pieces import ZERO, Interval, Lower, Pieces
from netproof.bounds.rational.program import Line, Look, no_limit
from netproof.effort.bounding import RATIONAL
from netproof.graph.graph import Graph
from netproof.operators.base import Affine

if TYPE_CHECKING:
    from jaxtyping import Int64

Row = dict[int, Fraction]


@dataclass(frozen=True)
class _Node:
    """One node: of an affine map the rows of its adjoint by operand and feature of the result, and its offset; of an
    activation its function."""

    operands: tuple[int, ...]
    adjoint: tuple[tuple[Row, ...], ...] | None
    offset: tuple[Fraction, ...]
    pieces: Pieces | None = None


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
        if entries(graph) > RATIONAL.entries:
            return None
        nodes, numbers = [_Node((), None, ())], 0
        for node in graph.nodes[1:]:
            operator = node.operator
            if not isinstance(operator, Affine):
                pieces = Pieces.of(graph.activation(len(nodes)))
                if pieces is None:
                    return None
                nodes.append(_Node(node.operands, None, (), pieces))
                continue
            affine = rational_affine(operator, [graph.nodes[i].size for i in node.operands], node.size)
            if affine is None:
                return None
            numbers += sum(len(row) for part in affine[0] for row in part)
            if numbers > RATIONAL.numbers:
                return None
            nodes.append(_Node(node.operands, *affine))
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
        by_crown = sum(map(len, known)) * self._numbers <= RATIONAL.products
        for node in self._nodes[1:]:
            if node.adjoint is not None:
                values.append([self._interval(node, values, j) for j in range(len(node.offset))])
                continue
            assert node.pieces is not None
            operand, mine = node.operands[0], []
            for j, interval in enumerate(values[operand]):
                low, high = _cut(interval, known[len(found)][j])
                by_crown = by_crown and not enough()
                if by_crown and found and node.pieces.inside((low, high)):
                    above = self.bound({operand: {j: Fraction(1)}}, ZERO, box, found, Lower.NEARER)
                    below = -self.bound({operand: {j: Fraction(-1)}}, ZERO, box, found, Lower.NEARER)
                    low, high = max(low, below), min(high, above)
                if low > high:
                    return None
                mine.append((low, high))
            found.append(mine)
            values.append([node.pieces.image(within) for within in mine])
        return found

    def bent(self, ranges: Sequence[Sequence[Interval]]) -> list[tuple[int, int, Fraction]]:
        """Bends inside of ranges: an activation's number, a feature, and the first bend that its range has inside."""
        return [
            (k, j, bends[0])
            for k, mine in enumerate(ranges)
            for j, within in enumerate(mine)
            if (bends := self._pieces(k).inside(within))
        ]

    def _pieces(self, k: int) -> Pieces:
        pieces = self._nodes[self._activations[k]].pieces
        assert pieces is not None
        return pieces

    def lines(
        self, inputs: int, ranges: Sequence[Sequence[Interval]], look: Look = no_limit
    ) -> tuple[list[list[Line]], list[Line]]:
        """Where no range has a bend inside: every node's value as an affine function of the input, and what is at least 0.

        The latter say that pre-activations are on the piece that their ranges are on; of a range that is one bend alone
        either side's would do. ``look`` is called between features.
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
            assert node.pieces is not None
            for within, a in zip(ranges[k], values[node.operands[0]], strict=True):
                look()
                assert not node.pieces.inside(within), "a range has a bend inside"
                slope, constant, before, after = node.pieces.piece(within)
                if before is not None:
                    sides.append(a + Line(zeros, -before))
                if after is not None:
                    sides.append(a.times(Fraction(-1)) + Line(zeros, after))
                mine.append(a.times(slope) + Line(zeros, constant))
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

        ``ranges`` are those of the activations that the objective can depend on.
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
            assert node.pieces is not None
            target = arrived[node.operands[0]]
            for j, weight in v.items():
                if weight:
                    s, added = node.pieces.relax(weight, ranges[self._of[index]][j], lower)
                    value += added
                    target[j] = target.get(j, ZERO) + s
        for i, weight in arrived[0].items():
            value += weight * (box[i][1] if weight > 0 else box[i][0])
        return value


def entries(graph: Graph) -> int:
    """How many entries the matrices of all affine maps have."""
    nodes = (node for node in graph.nodes[1:] if isinstance(node.operator, Affine))
    return sum(sum(graph.nodes[i].size for i in node.operands) * node.size for node in nodes)


def rational_affine(
    operator: Affine, sizes: Sequence[int], size: int
) -> tuple[tuple[tuple[Row, ...], ...], tuple[Fraction, ...]] | None:
    """An affine map from operands of ``sizes`` to ``size`` features: for each operand the row of every feature, and the offset.

    None where its numbers were rounded on their way from the file, are none, or are too many.
    """
    if operator.roundings or bool((operator.offset_error() != 0).any()):
        return None
    features = torch.arange(size)
    found = rational_rows(operator, sizes, size, features)
    offset = None if found is None else rational_offset(operator, sizes, size, features)
    return None if found is None or offset is None else (found, offset)


def rational_rows(
    operator: Affine, sizes: Sequence[int], size: int, features: Int64[Tensor, " m"]
) -> tuple[tuple[Row, ...], ...] | None:
    """The rows of some of ``size`` features, for each operand, as the operator has them; None where they have too many numbers."""
    found: list[list[Row]] = [[] for _ in sizes]
    numbers = 0
    # A few features at a time: a wide layer has few numbers, and a square of zeros.
    for some in torch.split(features, max(1, RATIONAL.entries // max(size, *sizes))):
        unit = torch.zeros(len(some), size, dtype=torch.float64)
        unit[torch.arange(len(some)), some] = 1.0
        matrices = [matrix.expand(len(some), -1) for matrix in operator.adjoint(unit)]
        numbers += sum(int(matrix.count_nonzero()) for matrix in matrices)
        if numbers > RATIONAL.numbers:
            return None
        for rows, matrix in zip(found, matrices, strict=True):
            rows.extend(_rows(matrix))
    return tuple(map(tuple, found))


def rational_offset(
    operator: Affine, sizes: Sequence[int], size: int, features: Int64[Tensor, " m"]
) -> tuple[Fraction, ...] | None:
    """The offset of some of ``size`` features, as the operator has it; None where that is no number."""
    offset = operator.forward(*(torch.zeros(n, dtype=torch.float64) for n in sizes)).expand(size)[features]
    if not bool(torch.isfinite(offset).all()):
        return None
    return tuple(map(Fraction, offset.tolist()))


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
