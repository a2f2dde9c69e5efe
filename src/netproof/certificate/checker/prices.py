"""Rows of multipliers with prices: a multiplier for every neuron of the first activation and every input.

docs/certificates.md, *Prices*, says what they mean. Everything is an integer held in float64 (:mod:`netproof.certificate.checker.evaluate`
has the argument): multiplied by ``2**p`` prices are integers, and so are weights, ends of boxes and pre-activations.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from netproof.certificate.checker.evaluate import LIMIT, Stairs
from netproof.certificate.checker.region import Region
from netproof.errors import CertificateError
from netproof.graph.graph import Graph
from netproof.operators.base import Affine

#: the most weights of a first layer
_MOST_WEIGHTS = 1 << 22
#: pieces of staircases looked at together
_PIECES = 64
#: entries of the largest arrays that are made on the way
_BLOCK = 1 << 20


class FirstLayer:
    """The operand of the first activation as ``W x + b``: ``weight`` ``[m, n]`` and ``bias`` ``[m]``."""

    def __init__(self, graph: Graph, source: str) -> None:
        node = graph.nodes[graph.activations[0]].operands[0]
        size, inputs = graph.nodes[node].size, graph.input.size
        if size * inputs > _MOST_WEIGHTS:
            raise CertificateError(
                source, f"has prices for a first layer of {size} times {inputs} weights", "use a newer netproof"
            )
        # Every node before the first activation is affine: the images of 0 and of the unit vectors are all there is.
        points = torch.cat([torch.zeros(1, inputs, dtype=torch.float64), torch.eye(inputs, dtype=torch.float64)])
        at_once = max(1, _BLOCK // sum(graph.nodes[i].size for i in range(node + 1)))
        images = torch.cat([_image(graph, node, some) for some in points.split(at_once)])  # type: ignore[no-untyped-call]
        self.bias = images[0]
        self.weight = (images[1:] - self.bias).T.contiguous()


def _image(graph: Graph, node: int, x: Tensor) -> Tensor:
    """The values of a node that nothing but affine nodes comes before."""
    values = [x]
    for index in range(1, node + 1):
        operator = graph.nodes[index].operator
        assert isinstance(operator, Affine)
        values.append(operator.forward(*(values[i] for i in graph.nodes[index].operands)))
    return values[node]


class Priced:
    """Prices ``[U, m, n]`` on sets, one row each, times ``2**p``.

    Attributes
    ----------
    pull : ``[U, n]``, what the shared input gains on its way from the lower to the upper end of the box
    offset : ``[U]``, what it has at the lower end
    size : ``[U]``, the sum of absolute values of all products with prices
    """

    def __init__(self, layer: FirstLayer, region: Region, prices: Tensor) -> None:
        weight = layer.weight
        swing = weight * (region.upper - region.lower)[:, None]
        reach = swing.abs().expand_as(prices)
        corner = torch.where(weight > 0, region.lower[:, None], region.upper[:, None])
        self._least = ((weight * corner).sum(-1) + layer.bias).expand(prices.shape[:2])
        self.pull = (prices * swing).sum(1)
        self.offset = -(prices * swing.clamp(max=0)).sum((1, 2))
        self.size = (prices.abs() * reach).sum((1, 2))
        order = prices.argsort(-1)
        self._price = prices.gather(-1, order)
        reach = reach.gather(-1, order)
        zero = torch.zeros_like(reach[..., :1])
        self._way = torch.cat([zero, reach.cumsum(-1)], -1)
        self._cost = torch.cat([zero, (reach * self._price).cumsum(-1)], -1)

    def conjugates(self, stairs: Stairs, v: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """``phi`` of all features of all sets on their ranges, and the largest ``|f(a)|``: ``[U, m]`` each."""
        feature = torch.arange(v.shape[1]).expand(v.shape)
        rows = torch.arange(v.shape[0])[:, None].expand(v.shape)
        flat = (part.reshape(-1) for part in (v, low, high, rows, feature))
        ends = (stairs.base[feature] + stairs.level(end, feature) for end in (low, high))
        first, last = (end.abs() for end in ends)
        return self.conjugate(stairs, *flat).reshape(v.shape), torch.maximum(first, last)

    def conjugate(self, stairs: Stairs, v: Tensor, low: Tensor, high: Tensor, rows: Tensor, feature: Tensor) -> Tensor:
        """``phi`` of features of sets on ranges within their intervals: ``[T]``; ``-inf`` where no input reaches the range."""
        at_once = max(1, _BLOCK // (self._price.shape[-1] + _PIECES))
        parts = zip(*(part.split(at_once) for part in (v, low, high, rows, feature)), strict=True)  # type: ignore[no-untyped-call]
        return torch.cat([self._conjugate(stairs, *some) for some in parts])

    def _conjugate(self, stairs: Stairs, v: Tensor, low: Tensor, high: Tensor, rows: Tensor, feature: Tensor) -> Tensor:
        """As :meth:`conjugate`, all at once.

        The cheapest way to a value takes the inputs in the order of their prices, so that its cost is convex in the
        value: on a flat piece of the staircase the best value is the one nearest to that of least cost.

        What intervals leave of a chain of affine nodes may be wider than what inputs reach. There is no way to a value
        out of reach, and none of the sums of absolute values would cover its cost.
        """
        price, way, cost = self._price[rows, feature], self._way[rows, feature], self._cost[rows, feature]
        least = self._least[rows, feature]
        cheapest = least + way.gather(1, (price < 0).sum(1, keepdim=True))[:, 0]
        low, high = torch.maximum(low, least), torch.minimum(high, least + way[:, -1])
        reached = low <= high
        low, high = (torch.where(reached, end, least) for end in (low, high))
        first, last = stairs.level(low, feature), stairs.level(high, feature)
        best = torch.full_like(v, -torch.inf)
        most = int((last - first).max()) + 1 if len(v) else 0
        for start in range(0, most, _PIECES):
            level = first[:, None] + torch.arange(start, min(most, start + _PIECES))
            at = torch.minimum(level, last[:, None])
            of = feature[:, None]
            left = torch.maximum(stairs.threshold(at, of), low[:, None])
            right = torch.minimum(stairs.threshold(at + 1, of) - 1, high[:, None])
            a = torch.minimum(torch.maximum(cheapest[:, None], left), right)
            there = left <= right
            moved = torch.where(there, a, low[:, None]) - least[:, None]
            count = (torch.searchsorted(way, moved.contiguous(), right=True) - 1).clamp(0, price.shape[1] - 1)
            paid = cost.gather(1, count) + (moved - way.gather(1, count)) * price.gather(1, count)
            value = v[:, None] * (stairs.base[of] + at) - paid
            best = torch.maximum(best, torch.where(there, value, -torch.inf).amax(1))
        return torch.where(reached, best, -torch.inf)


def units_of(values: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Tensor:
    """Prices as float64: beyond ``2**53`` they are rounded, and their sizes beyond any that is taken."""
    return torch.from_numpy(values.clip(-int(LIMIT) * 2, int(LIMIT) * 2).astype(np.float64))
