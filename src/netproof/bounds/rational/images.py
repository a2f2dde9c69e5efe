"""Bounds in rational numbers by what the last activations give on their ranges, whatever functions they are.

A square is at least 0, and so are a root, a norm, an exponential: ends of images (:meth:`netproof.operators.base.Activation.output_range`) never lie
beyond what a function takes, so that this one is not rounded. Multiplied by the rows of the affine maps behind, as rationals, it stays what it is, where a
bound in float64 with an error term is a little above 0. Ranges of activations, whatever they were found by, are taken as they are: only what is behind
the last ones of a graph has to be small.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import torch
from torch import Tensor

from netproof.bounds.rational.bound import rational_offset, rational_rows
from netproof.bounds.rational.pieces import ZERO, Interval
from netproof.bounds.rational.program import Look, no_limit
from netproof.bounds.region import Region
from netproof.effort.bounding import RATIONAL
from netproof.graph.graph import Graph
from netproof.graph.rounding import gamma
from netproof.operators.activations.curves.curve import Curve
from netproof.operators.base import Affine

_Row = dict[int, Interval]


class Images:
    """What the last activations of a graph (float64) give on one row of a region."""

    def __init__(self, graph: Graph, region: Region) -> None:
        self._graph, self._region = graph, region
        self._found: dict[int, list[tuple[float, float]]] = {}

    def bound(
        self,
        objective: Mapping[int, Mapping[int, Fraction]],
        constant: Fraction,
        box: Sequence[Interval],
        look: Look = no_limit,
    ) -> Fraction | None:
        """An upper bound of ``sum objective[node] . value(node) + constant`` over a box and the region; None where there is none, or maps are too large.

        Coefficients that were rounded on their way from the file become intervals.
        """
        graph, numbers, value = self._graph, 0, constant
        arrived: list[_Row] = [{} for _ in graph.nodes]
        for index, row in objective.items():
            _add(arrived[index], ((j, (weight, weight)) for j, weight in row.items()))
        for index in range(len(graph.nodes) - 1, 0, -1):
            v = {j: weight for j, weight in sorted(arrived[index].items()) if weight != (ZERO, ZERO)}
            node = graph.nodes[index]
            look()
            if not v:
                continue
            if not isinstance(node.operator, Affine):
                share = self._share(index, v)
                if share is None:
                    return None
                value += share
                continue
            features, sizes = torch.tensor(list(v)), [graph.nodes[i].size for i in node.operands]
            rows = rational_rows(node.operator, sizes, node.size, features)
            offset = _offset(node.operator, sizes, node.size, features)
            if rows is None or offset is None:
                return None
            numbers += sum(len(row) for part in rows for row in part)
            if numbers > RATIONAL.numbers:
                return None
            value += _largest(zip(v.values(), offset, strict=True))
            off = Fraction(gamma(node.operator.roundings))
            for operand, part in zip(node.operands, rows, strict=True):
                for weight, row in zip(v.values(), part, strict=True):
                    look()
                    _add(arrived[operand], ((i, _times(weight, _about(a, off * abs(a)))) for i, a in row.items()))
        return value + _largest((weight, box[i]) for i, weight in arrived[0].items())

    def _share(self, index: int, v: _Row) -> Fraction | None:
        """The most that some images of an activation add."""
        if index not in self._found:
            k, operator = self._graph.activations.index(index), self._graph.activation(index)
            low, high = self._region.range_lower[k][:1], self._region.range_upper[k][:1]
            least, most = operator.output_range(low, high)
            unknown = operator.undefined(low, high) if isinstance(operator, Curve) else None
            if unknown is not None:
                # Of a value that is none nothing is said.
                least, most = torch.where(unknown, -torch.inf, least), torch.where(unknown, torch.inf, most)
            self._found[index] = list(zip(least[0].tolist(), most[0].tolist(), strict=True))
        total = ZERO
        for j, (low_weight, high_weight) in v.items():
            least_value, most_value = self._found[index][j]
            if not (high_weight <= 0 or most_value < math.inf) or not (low_weight >= 0 or least_value > -math.inf):
                return None
            if not least_value <= most_value:
                return None
            # The end that an infinite one is not needed for.
            image = [Fraction(end) for end in (least_value, most_value) if math.isfinite(end)]
            if not image:
                return None
            total += max(weight * end for weight in (low_weight, high_weight) for end in image)
        return total


def _offset(operator: Affine, sizes: Sequence[int], size: int, features: Tensor) -> list[Interval] | None:
    """Where the offsets of features lie that the file means."""
    offset = rational_offset(operator, sizes, size, features)
    error = operator.offset_error().to(torch.float64).expand(size)[features]
    if offset is None or not bool(torch.isfinite(error).all()):
        return None
    return [_about(b, Fraction(off)) for b, off in zip(offset, error.tolist(), strict=True)]


def _about(a: Fraction, off: Fraction) -> Interval:
    """What is no farther from ``a`` than that."""
    return a - off, a + off


def _times(one: Interval, other: Interval) -> Interval:
    products = [a * b for a, b in itertools.product(one, other)]
    return min(products), max(products)


def _add(row: _Row, more: Iterable[tuple[int, Interval]]) -> None:
    for i, (low, high) in more:
        before = row.get(i, (ZERO, ZERO))
        row[i] = before[0] + low, before[1] + high


def _largest(products: Iterable[tuple[Interval, Interval]]) -> Fraction:
    """The largest value of a sum of products of intervals."""
    return sum((_times(one, other)[1] for one, other in products), ZERO)
