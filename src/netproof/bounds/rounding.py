"""The decisive evaluation of real graphs: the dual bound in float64 plus all that rounding can have taken from it.

**What is bounded.** Take multipliers ``s`` and objective ``c`` as the floats they are. With the *exact* adjoint
``v*`` of the *meant* weights the dual bound holds over the real numbers. The machine has ``v = v* + d``. Since
``v*`` is linear in the sources ``w`` (the coefficients ``c`` and, at the operand of each activation, ``s``) and
since every ``s_k`` is a given number, rounding never passes an activation: ``d`` is the rounding of the affine
maps between a source and the next activation, or the input, below it. A chain of affine maps with ``n`` roundings
on any path in total (sums, products, and those of the weights on their way from the file) gives

    |d| <= gamma_n |A|' |w|,   gamma_n = n u / (1 - n u),   u = 2**-53

(Higham, *Accuracy and Stability of Numerical Algorithms*, section 3). For a point ``x`` of the region with values
``h`` of activations,

    objective(x) <= e + sum_k phi_k(v_k, s_k) + max v_x x + sum v b  +  sum |d_k| |h_k| + |d_x| |x| + sum |d| |b|.

Let ``M`` be the magnitude of every node: ``max |x|`` at the input, ``max |h|`` over the range at an activation, and
``|A| M + |b|`` at an affine node. Then the last three sums are at most ``gamma_n sum_w |w| M_w``: the same sum, over
nothing but the sources. All that is left are the roundings of ``phi``, of ``v b``, of ``v_x x`` and of adding them up,
each of which is a multiple of ``gamma`` of the same magnitudes, because ``sum |v_k| M_k <= (1 + gamma) sum_w |w| M_w``.
Hence

    true bound <= computed + gamma_N (|e| + |value| + C sum_w |w| M_w) + (1 + gamma_N) sum_w |w| E_w

with ``N`` the number of all terms of all nodes and ``C`` a small constant. ``E`` is what offsets are off by
(:meth:`netproof.operators.base.Affine.offset_error`), carried forward by ``|A|``, 0 at activations.

**Costs.** One dot product per row and activation. ``M`` and ``E`` of a region hold in all its parts, so one pass per
query is enough.

**Underflow.** Each operation may be off by ``2**-1074`` more, which reaches the result through magnitudes. Where
the sum of all ``M`` is below ``2**500`` that is less than ``2**-500``; a region beyond has no finite bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.dual import DualPoint, Multipliers, Objective, evaluate_dual
from netproof.bounds.region import Region
from netproof.graph.crop import Crop
from netproof.graph.graph import Graph
from netproof.graph.rounding import gamma
from netproof.operators.base import Affine
from netproof.operators.hull import Hull

#: terms per magnitude: adjoint, phi with its three products and slopes, offsets, box maximum, final sums
_PASSES = 16.0
_LARGEST = 2.0**500
_UNDERFLOW = 2.0**-500
#: what an image may be off by beyond its own relative rounding (smooth activations, operators/s_shape.py)
_IMAGE = 2.0**-50


@dataclass(frozen=True, eq=False)
class Rounding:
    """What rounding can do to dual bounds on a region and on all its parts.

    Attributes
    ----------
    magnitude : per node ``[n]``, float64, no partial sum of its value exceeds it; at an activation's operand
        also no end of its range
    offset : per node ``[n]`` or None for 0, how far the value may be off because offsets are
    gamma : bounds all roundings of an evaluation
    """

    magnitude: tuple[Tensor, ...]
    offset: tuple[Tensor | None, ...]
    gamma: float

    @classmethod
    def of(cls, graph: Graph, region: Region) -> Rounding:
        """For a region of float64 ranges; several rows count as the smallest region that holds them."""
        if region.lower.dtype != torch.float64:
            raise ValueError("rigorous evaluation needs float64")
        magnitude: list[Tensor] = [torch.maximum(region.lower.abs(), region.upper.abs()).amax(0)]
        offset: list[Tensor | None] = [None]
        terms = graph.input.size + 64
        k = 0
        for node in graph.nodes[1:]:
            operator = node.operator
            terms += node.size
            if isinstance(operator, Affine):
                size = operator.forward_absolute(*(magnitude[i] for i in node.operands)) + operator.offset_absolute()
                magnitude.append(size)
                offset.append(_carried(operator, [offset[i] for i in node.operands], node.size))
                terms += sum(operator.terms()) + operator.roundings + len(node.operands) + 4
            else:
                low, high = region.range_lower[k], region.range_upper[k]
                operand = node.operands[0]
                ends = torch.maximum(low.abs(), high.abs()).amax(0)
                magnitude[operand] = torch.maximum(magnitude[operand], ends)
                image_low, image_high = graph.activation(graph.activations[k]).output_range(low, high)
                magnitude.append(torch.maximum(image_low.abs(), image_high.abs()).amax(0) + _IMAGE)
                offset.append(None)
                k += 1
        # Their own rounding: sums of numbers that are not negative.
        total = gamma(terms)
        grown = tuple(m * (1 + 2 * total) for m in magnitude)
        if not float(sum(float(m.sum()) for m in grown)) < _LARGEST:
            grown = tuple(torch.full_like(m, torch.inf) for m in grown)
        return cls(grown, tuple(None if o is None else o * (1 + 2 * total) for o in offset), total)

    @property
    def finite(self) -> bool:
        """Whether any bound on the region, or on a part of it, can be finite."""
        return all(bool(torch.isfinite(m).all()) for m in self.magnitude)

    def part(self, crop: Crop) -> Rounding:
        """The same for a part of the graph: sums over fewer terms are no larger."""
        pairs = list(zip(crop.nodes, crop.features, strict=True))
        magnitude = tuple(self.magnitude[node][features] for node, features in pairs)
        offset = [self.offset[node] for node in crop.nodes]
        return Rounding(
            magnitude, tuple(None if o is None else o[f] for o, (_, f) in zip(offset, pairs, strict=True)), self.gamma
        )

    def weigh(self, node: int, source: Tensor) -> Tensor:
        """What a source ``[B, n]`` at a node adds to the error: ``[B]``."""
        price = self.gamma * _PASSES * self.magnitude[node]
        off = self.offset[node]
        if off is not None:
            price = price + off * (1 + 2 * self.gamma)
        return source.abs() @ price

    def total(self, value: Tensor, constant: Tensor, weighed: Tensor) -> Tensor:
        """An upper bound in real arithmetic from a computed one, ``[B]``; infinite where there is none."""
        size = value.abs() + constant.abs()
        upper = value + ((weighed + 2 * self.gamma * size) * (1 + 1e-9) + _UNDERFLOW)
        return torch.where(torch.isfinite(upper) & torch.isfinite(value), upper, torch.inf)


def _carried(operator: Affine, operands: list[Tensor | None], size: int) -> Tensor | None:
    own = operator.offset_error()
    if all(o is None for o in operands):
        return own.expand(size) if bool((own != 0).any()) else None
    counts = [None if o is None else o.shape[0] for o in operands]
    known = next(o for o in operands if o is not None)
    if None in counts:
        # Only sums and concatenations have several operands; a missing one is a vector of zeros.
        passed = operator.adjoint(known.new_zeros(size))
        operands = [p if o is None else o for o, p in zip(operands, passed, strict=True)]
    return operator.forward_absolute(*(o for o in operands if o is not None)) + own


def evaluate_upper(
    graph: Graph,
    region: Region,
    hulls: tuple[Hull, ...] | list[Hull],
    objective: Objective,
    multipliers: Multipliers,
    rounding: Rounding,
) -> DualPoint:
    """The dual bound with a value that is an upper bound in real arithmetic, ``+inf`` where there is none.

    ``region`` must lie in the one that ``rounding`` was made for, and everything be float64. The objective's
    coefficients and constant are taken as they are.
    """
    if region.lower.dtype != torch.float64 or objective.constant.dtype != torch.float64:
        raise ValueError("rigorous evaluation needs float64")
    point = evaluate_dual(graph, region, hulls, objective, multipliers)
    weighed = sources_weight(graph, objective.coefficients, point.s, rounding)
    return replace(point, value=rounding.total(point.value, objective.constant, weighed))


def sources_weight(
    graph: Graph,
    coefficients: Mapping[int, Tensor],
    s: tuple[Tensor | None, ...],
    rounding: Rounding,
) -> Tensor:
    """The error of all sources of an evaluation: ``[B]``."""
    weighed = torch.zeros((), dtype=torch.float64)
    for node, c in coefficients.items():
        weighed = weighed + rounding.weigh(node, c)
    for index, multiplier in zip(graph.activations, s, strict=True):
        if multiplier is not None:
            weighed = weighed + rounding.weigh(graph.nodes[index].operands[0], multiplier)
    return weighed
