"""Ranges of many features that are sums and differences of a few: through the lines of these.

The scores of attention are few, their differences, which a softmax takes exponentials of, many. CROWN's lines of the
scores (:class:`netproof.bounds.backward.Lines`) hold at every point of the box, so that the sum of two lines is a line of the
sum, and is bounded on the box anew: what both have in common cancels. One pass back for each score, and one row of additions for
each difference.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region, halves
from netproof.bounds.relaxation import Relaxation
from netproof.effort.bounding import NARROW
from netproof.graph.graph import Graph
from netproof.graph.rounding import gamma
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64


@dataclass(frozen=True, eq=False)
class Narrow:
    """A node's features as sums of a narrower node's.

    Attributes
    ----------
    node : the narrower one
    terms : for each term its sign, 1 or -1, and which feature ``[n]`` of the narrower node it is
    """

    node: int
    terms: tuple[tuple[int, Int64[Tensor, " n"]], ...]

    @classmethod
    def of(cls, graph: Graph, node: int) -> Narrow | None:
        """The nearest one that is narrow enough to be worth it, None where there is none, or where features are single ones of it."""
        size = graph.nodes[node].size
        found = {node: [(1, torch.arange(size))]}
        while True:
            # The last node of those left is read by none of the others.
            last = max(found)
            if len(found) == 1 and len(found[last]) > 1 and NARROW.share * graph.nodes[last].size <= size:
                return cls(last, tuple(found[last]))
            operator, operands = graph.nodes[last].operator, graph.nodes[last].operands
            terms = found.pop(last)
            if isinstance(operator, Sum):
                parts: list[tuple[int, int, Tensor | None]] = [
                    (operand, sign, None) for operand, sign in zip(operands, operator.signs, strict=True)
                ]
            elif isinstance(operator, Select) and operator.fill is None and bool((operator.index >= 0).all()):
                parts = [(operands[0], 1, operator.index)]
            else:
                return None
            for operand, sign, index in parts:
                more = [(sign * s, i if index is None else index[i]) for s, i in terms]
                found[operand] = [*found.get(operand, []), *more]
            if sum(len(terms) for terms in found.values()) > NARROW.terms:
                return None


def ranges_through(
    relaxation: Relaxation, narrow: Narrow, rounding: Rounding, deadline: float = math.inf
) -> tuple[Float64[Tensor, " n"], Float64[Tensor, " n"]] | None:
    """Lower and upper ends of all features, rigorous in real arithmetic; None where that takes too much memory or time.

    Parameters
    ----------
    relaxation : of one row, float64
    rounding : of a region that holds this one, up to the narrower node at least
    """
    graph, region = relaxation.graph, relaxation.region
    lines = _lines(relaxation, narrow, rounding, deadline)
    if lines is None:
        return None
    count = graph.nodes[narrow.node].size
    # A term is a line: that of the feature, or, with ``count`` added, that of its negative.
    plus = torch.stack([index + count * (sign < 0) for sign, index in narrow.terms], 1)
    minus = torch.stack([index + count * (sign > 0) for sign, index in narrow.terms], 1)
    asked, of = torch.unique(torch.cat([plus, minus]).sort(1).values, dim=0, return_inverse=True)
    found = []
    for part in torch.split(asked, lines.at_once):
        if time.monotonic() >= deadline:
            return None
        found.append(_together(part, lines, region))
    upper, size = torch.cat(found)[of], len(plus)
    return -upper[size:], upper[:size]


@dataclass(frozen=True, eq=False)
class _Lines:
    """Lines above features and their negatives: coefficients ``[m, n_input]``, constants, what these are off by, and the size
    of all terms of a line, ``[m]`` each."""

    coefficients: Tensor
    constant: Tensor
    off: Tensor
    size: Tensor

    @property
    def at_once(self) -> int:
        return max(1, NARROW.bytes // (8 * 4 * max(1, self.coefficients.shape[1])))


def _lines(relaxation: Relaxation, narrow: Narrow, rounding: Rounding, deadline: float) -> _Lines | None:
    graph, region = relaxation.graph, relaxation.region
    count, inputs = graph.nodes[narrow.node].size, graph.input.size
    if 2 * count * inputs * 8 > NARROW.most_bytes:
        return None
    at_once = NARROW.batch.rows(graph, NARROW.tensors, widest=relaxation.widest(narrow.node))
    parts = []
    for which in torch.split(torch.arange(2 * count), at_once):
        if time.monotonic() >= deadline:
            return None
        c = torch.zeros(len(which), count, dtype=torch.float64)
        c[torch.arange(len(which)), which % count] = torch.where(which < count, 1.0, -1.0).double()
        parts.append(
            crown_lines(relaxation, Objective({narrow.node: c}, torch.zeros(len(which), dtype=torch.float64)), rounding)
        )
    coefficients = torch.cat([part.coefficients for part in parts])
    constant = torch.cat([part.constant.expand(len(part.value)) for part in parts])
    value = torch.cat([part.value for part in parts])
    plain, size = _on_box(constant, coefficients, region)
    return _Lines(coefficients, constant, value - plain, size + value.abs())


def _on_box(constant: Tensor, coefficients: Tensor, region: Region) -> tuple[Tensor, Tensor]:
    """The largest value of lines on the box, and the size of all terms."""
    low, high = region.lower[0], region.upper[0]
    sizes = coefficients.abs()
    center, radius = halves(low, high)
    value = constant + (coefficients @ center + sizes @ radius)
    return value, constant.abs() + sizes @ torch.maximum(low.abs(), high.abs())


def _together(asked: Tensor, lines: _Lines, region: Region) -> Tensor:
    """Upper bounds of sums of lines ``[P, T]``: ``[P]``.

    Errors are those of ``T`` additions of coefficients, of a sum over all inputs, and of what single lines are off by, which was
    a difference of two such sums.
    """
    first, *rest = asked.unbind(1)
    coefficients, constant = lines.coefficients[first], lines.constant[first]
    for one in rest:
        coefficients += lines.coefficients[one]
        constant += lines.constant[one]
    value, _ = _on_box(constant, coefficients, region)
    size, off = lines.size[asked].sum(1), lines.off[asked].sum(1)
    error = 8 * gamma(region.lower.shape[1] + 2 * asked.shape[1] + 16) * size + 2.0**-500
    upper = value + (off + error)
    return torch.where(torch.isfinite(upper), upper, torch.inf)
