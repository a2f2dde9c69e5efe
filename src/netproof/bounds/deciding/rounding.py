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

with ``C`` a small constant and ``N`` the roundings that a number goes through at the most (:attr:`Graph.terms`): those of the
longest chain ``n`` above, then those of the longest sum over the features of a node, which is taken by blocks
(:mod:`netproof.operators.sums`), and one for each node whose share is added to the result. ``E`` is what offsets are off by
(:meth:`netproof.operators.base.Affine.offset_error`), carried forward by ``|A|``, 0 at activations.

**Which region.** Nothing above asks where the ranges come from. The multipliers are given numbers, the ``h`` and ``x``
that their errors are multiplied with are the true values at a point of the region, and the arguments of ``phi`` lie in
the ranges that ``phi`` is taken over. So ``M`` has to bound the values of the network over the real numbers on that
region, by any proof, and the ends of the ranges that the evaluation reads. A range that was refined is both: it is
proved to hold the values of its layer, and it is what is read from then on. Below an activation whose range is refined
``M`` starts anew from what the activation makes of it, so the error of a deep bound is that of the refined ranges
above it, while intervals would have grown from layer to layer. A layer's range is proved with the ranges of
the layers above it alone; hence what an account says of a node depends on the nodes before it alone, and
it can be drawn up as far as ranges are known (:meth:`Rounding.begun`, :meth:`Rounding.up_to`): layer by layer, ranges
first, in one pass over the graph in all. ``M`` and ``E`` of a region hold in all its parts, but those of a part are smaller.

**Costs.** One dot product per row and activation, and for each region one pass with a single row.

**Underflow.** Each operation may be off by ``2**-1074`` more, which reaches the result through magnitudes. Where
the sum of ``M`` of all nodes so far is below ``2**500`` that is less than ``2**-500``; from the first node on at which it
is not, there are no finite bounds. Nodes before it are none the worse. Magnitudes underflow themselves, and so does what
an error is to be in parts of them, while what is next to nothing may be multiplied by ``2**1000`` further on: no magnitude is less
than ``2**-1000``.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.region import Region
from netproof.graph.crop import Crop
from netproof.graph.graph import Graph
from netproof.graph.rounding import gamma
from netproof.operators.base import Affine

if TYPE_CHECKING:
    from jaxtyping import Float64


#: terms per magnitude: adjoint, phi with its three products and slopes (five of shares, with what they have in common), offsets,
#: box maximum, final sums
_PASSES = 18.0
_LARGEST = 2.0**500
_UNDERFLOW = 2.0**-500
#: more than what underflow takes from a magnitude or from its product with a gamma; and little beside anything when it is
#: multiplied by a weight
_LEAST = 2.0**-1000
#: what an image may be off by beyond its own relative rounding (smooth activations, operators/activations/s_shape.py)
_IMAGE = 2.0**-50


@dataclass(frozen=True, eq=False)
class Rounding:
    """What rounding can do to dual bounds on a region and on all its parts.

    Attributes
    ----------
    magnitude : per node ``[n]``, float64, no partial sum of its value exceeds it; at an activation's operand
        also no end of its range. Infinite where no bound of the node can be finite
    offset : per node ``[n]`` or None for 0, how far the value may be off because offsets are
    gamma : bounds all roundings of an evaluation
    total_magnitude : the sum of all magnitudes
    """

    magnitude: tuple[Float64[Tensor, " _"], ...]
    offset: tuple[Float64[Tensor, " _"] | None, ...]
    gamma: float
    total_magnitude: float

    @classmethod
    def of(cls, graph: Graph, region: Region) -> Rounding:
        """For a region of float64 ranges; several rows count as the smallest region that holds them."""
        return cls.begun(graph, region).up_to(graph, region, len(graph.nodes) - 1)

    @classmethod
    def begun(cls, graph: Graph, region: Region) -> Rounding:
        """The account of the input alone, whatever the ranges are."""
        if region.lower.dtype != torch.float64:
            raise ValueError("rigorous evaluation needs float64")
        whole = gamma(graph.terms + 64)
        size = _largest(region.lower, region.upper) * (1 + 2 * whole) + _LEAST
        return cls((size,), (None,), whole, float(size.sum()))._limited(0, 0.0)

    def up_to(self, graph: Graph, region: Region, node: int) -> Rounding:
        """The account of all nodes up to ``node``, where it lacks some: these by the ranges of ``region``.

        ``region`` lies in the ones that the account is of so far, and the ranges of the activations among these nodes
        hold on it; no others are looked at. The result is one of ``region``, and of no larger one.
        """
        known = len(self.magnitude)
        if node < known:
            return self
        magnitude, offset, sums = list(self.magnitude), list(self.offset), []
        growth = 1 + 2 * self.gamma
        k = bisect_left(graph.activations, known)
        for one in graph.nodes[known : node + 1]:
            operator = one.operator
            if isinstance(operator, Affine):
                size = operator.forward_absolute(*(magnitude[i] for i in one.operands)) + operator.offset_absolute()
                size = size + _LEAST
                off = _carried(operator, [offset[i] for i in one.operands], one.size)
                offset.append(None if off is None else off * growth)
            else:
                low, high = region.range_lower[k], region.range_upper[k]
                operand = one.operands[0]
                magnitude[operand] = torch.maximum(magnitude[operand], _largest(low, high))
                size = _largest(*graph.activation(graph.activations[k]).output_range(low, high)) + _IMAGE
                offset.append(None)
                k += 1
            # Made safe for its own rounding: these are sums of numbers that are not negative.
            size = size * growth
            magnitude.append(size)
            sums.append(size.sum())
        total = self.total_magnitude + float(torch.stack(sums).sum())
        return Rounding(tuple(magnitude), tuple(offset), self.gamma, total)._limited(known, self.total_magnitude)

    def _limited(self, first: int, total: float) -> Rounding:
        """The same, infinite from the node on with which the sum is too large; it is ``total`` before ``first``."""
        if self.total_magnitude < _LARGEST:
            return self
        magnitude = list(self.magnitude)
        for index in range(first, len(magnitude)):
            total += float(magnitude[index].sum())
            if not total < _LARGEST:
                magnitude[index] = torch.full_like(magnitude[index], torch.inf)
                total = torch.inf
        return replace(self, magnitude=tuple(magnitude), total_magnitude=total)

    def part(self, crop: Crop) -> Rounding:
        """The same for a part of the graph: sums over fewer terms are no larger."""
        pairs = list(zip(crop.nodes, crop.features, strict=True))
        magnitude = tuple(self.magnitude[node][features] for node, features in pairs)
        offset = [self.offset[node] for node in crop.nodes]
        cropped = tuple(None if o is None else o[f] for o, (_, f) in zip(offset, pairs, strict=True))
        return Rounding(magnitude, cropped, self.gamma, self.total_magnitude)

    @property
    def unit(self) -> float:
        """What a unit of a source's magnitude adds to the error."""
        return self.gamma * _PASSES

    def weigh(self, node: int, source: Float64[Tensor, "*B n"]) -> Float64[Tensor, "*B"]:
        """What a source ``[B, n]`` (or ``[B, R, n]``) at a node adds to the error: ``[B]``."""
        return source.abs() @ self.price(node)

    def price(self, node: int) -> Float64[Tensor, " n"]:
        """What a source of 1 at each feature of a node adds to the error: ``[n]``."""
        price = self.unit * self.magnitude[node]
        off = self.offset[node]
        return price if off is None else price + off * (1 + 2 * self.gamma)

    def total(
        self, value: Float64[Tensor, "*#B"], constant: Float64[Tensor, "*#B"], weighed: Float64[Tensor, "*#B"]
    ) -> Float64[Tensor, "*B"]:
        """An upper bound in real arithmetic from a computed one, ``[B]``; infinite where there is none."""
        size = value.abs() + constant.abs()
        upper = value + ((weighed + 2 * self.gamma * size) * (1 + 1e-9) + _UNDERFLOW)
        return torch.where(torch.isfinite(upper) & torch.isfinite(value), upper, torch.inf)


def _largest(low: Float64[Tensor, "B n"], high: Float64[Tensor, "B n"]) -> Float64[Tensor, " n"]:
    """The largest absolute value in any row, ``[B, n]`` each to ``[n]``; 0 where there are no rows."""
    ends = torch.maximum(low.abs(), high.abs())
    return ends.amax(0) if len(ends) else ends.new_zeros(ends.shape[1])


def _carried(operator: Affine, operands: list[Float64[Tensor, " _"] | None], size: int) -> Float64[Tensor, " n"] | None:
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
