"""Exact evaluation of an integer network on regions: intervals forwards, bounds backwards.

Everything is an integer held in float64, and nothing is ever rounded:

* *Values and intervals.* The graph has passed :func:`netproof.graph.exactness.check_exact`: ``|A| |x| + |b| < 2**52`` at
  every affine node for all inputs there are. So twice the sum and twice the difference of two ends of an interval,
  mapped by ``A`` and by ``|A|``, stay below ``2**53`` in every partial sum; their sum is even, and halving it is exact.
* *Bounds.* Multiplied by ``2**p``, every term of a bound is an integer. :class:`Backward` adds up the absolute values of
  all terms beside the terms themselves. That sum bounds every partial sum, in whatever order a matrix product adds;
  where it comes out below ``2**52`` no addition was rounded. (It is computed in float64 as well. All its terms are
  nonnegative, so it errs by a relative ``1e-9`` at the very most, and the factor 2 that is left up to ``2**53`` covers that.)

Infinity is never used: thresholds before the first and after the last are ``-2**52`` and ``2**52``, which no value reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.certificate.checker.region import Region
from netproof.errors import CertificateError
from netproof.network import Network
from netproof.operators.activations.staircase import Staircase
from netproof.operators.base import Affine

if TYPE_CHECKING:
    from netproof.certificate.checker.prices import Priced

#: pieces of staircases looked at together
_BLOCK = 1 << 15
#: no value, threshold or exact sum reaches this
LIMIT = float(1 << 52)


class Stairs:
    """A staircase on ``size`` features: ``f(a) = base + level(a)``.

    ``T[0] = -2**52`` and ``T[K + 1] = 2**52`` are added to the thresholds ``T[1] .. T[K]``.
    """

    def __init__(self, operator: Staircase, size: int) -> None:
        channels, self.levels = operator.thresholds.shape
        channel = torch.arange(size) // (size // channels)
        end = operator.thresholds.new_full((channels, 1), LIMIT)
        self.channels = channels
        self.base = operator.base[channel]
        self._thresholds = torch.cat([-end, operator.thresholds, end], 1).reshape(-1)
        self._start = channel * (self.levels + 2)

    def threshold(self, i: Tensor, feature: Tensor) -> Tensor:
        """``T[i]`` of features, for ``i`` in ``0 .. K + 1``."""
        return self._thresholds[self._start[feature] + i]

    def level(self, a: Tensor, feature: Tensor) -> Tensor:
        """``#{i : T[i] <= a, 1 <= i <= K}`` (int64), for values of features."""
        if self.channels == 1:
            return torch.bucketize(a.contiguous(), self._thresholds[1:-1], right=True)
        found, start = torch.zeros_like(a, dtype=torch.int64), self._start[feature]
        for bit in reversed(range(self.levels.bit_length())):
            tried = (found + (1 << bit)).clamp(max=self.levels)
            found = torch.where(self._thresholds[start + tried] <= a, tried, found)
        return found

    def conjugate(self, v: Tensor, s: Tensor, low: Tensor, high: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
        """``phi(v, s) = max { v f(a) - s a : low <= a <= high }`` on nonempty ranges, and the largest ``|f(a)|``.

        On each flat piece of the staircase the best ``a`` is an end: the left one where ``s >= 0``, else the right one.
        ``v``, ``s``, ``low`` and ``high`` have one shape, to which ``feature`` broadcasts.
        """
        first, last = self.level(low, feature), self.level(high, feature)
        base = self.base[feature]
        end = torch.where(s >= 0, low, torch.minimum(high, self.threshold(first + 1, feature) - 1))
        value = v * (base + first) - s * end
        image = torch.maximum((base + first).abs(), (base + last).abs())
        pieces = (last - first).reshape(-1)
        order = pieces.argsort(descending=True)[: int((pieces > 0).sum())]
        if not len(order):
            return value, image
        v, s, high, base, feature, first, last, best = (
            t.expand_as(low).reshape(-1)[order] for t in (v, s, high, base, feature, first, last, value)
        )
        # How many entries have at least 1, 2, ... further pieces: those first in the order.
        reach = pieces[order].bincount().flip(0).cumsum(0).flip(0)[1:].tolist()
        j = 1
        while j <= len(reach):
            some = slice(reach[j - 1])
            ahead = torch.arange(j, min(j + max(1, _BLOCK // reach[j - 1]), len(reach) + 1))
            # An entry that has no more pieces looks at its last one again.
            i, at = torch.minimum(first[some, None] + ahead, last[some, None]), feature[some, None]
            left, right = self.threshold(i, at), torch.minimum(high[some, None], self.threshold(i + 1, at) - 1)
            end = torch.where(s[some, None] >= 0, left, right)
            piece = v[some, None] * (base[some, None] + i) - s[some, None] * end
            # Where a threshold is repeated, no integer lies on the piece.
            piece = torch.where(left <= right, piece, -torch.inf)
            best[some] = torch.maximum(best[some], piece.amax(1))
            j += len(ahead)
        value.view(-1)[order] = best
        return value, image


@dataclass(frozen=True, eq=False)
class Backward:
    """Bounds of ``U`` rows of multipliers, times ``2**p``.

    Attributes
    ----------
    value : ``[U]``, the bound less what the objective itself contributes as a constant
    size : ``[U]``, the sum of the absolute values of all terms
    v : one ``[U, n_k]`` per activation, what it was handed
    """

    value: Tensor
    size: Tensor
    v: tuple[Tensor, ...]


class ExactNetwork:
    """An integer network ready for exact evaluation; raises :class:`CertificateError` for operators it does not know."""

    def __init__(self, network: Network, source: str) -> None:
        graph = network.graph
        _ = network.largest_output  # establishes that the graph is exact, once per network, or raises ExactnessError
        self.graph = graph
        self.stairs: list[Stairs] = []
        self.sizes = [graph.input.size, *(graph.nodes[i].size for i in graph.activations)]
        self._offset: dict[int, Tensor] = {}
        for index, node in enumerate(graph.nodes[1:], 1):
            if isinstance(node.operator, Affine):
                zeros = [network.lower.new_zeros(1, graph.nodes[i].size) for i in node.operands]
                self._offset[index] = node.operator.forward(*zeros)
            elif isinstance(node.operator, Staircase):
                self.stairs.append(Stairs(node.operator, node.size))
            else:
                raise CertificateError(
                    source, f"cannot be checked on '{node.operator.name}' nodes", "use a newer netproof"
                )
        self._features = [torch.arange(size) for size in self.sizes[1:]]

    def whole(self, lower: Tensor, upper: Tensor) -> Region:
        """The region of one box ``[n_input]``, its ranges from interval propagation."""
        ends = [lower.new_full((1, size), LIMIT) for size in self.sizes[1:]]
        return self.propagate(Region(lower[None], upper[None], tuple(-e for e in ends), tuple(ends)))

    def propagate(self, region: Region) -> Region:
        """Intersect every range with what follows from the box and the ranges before it."""
        ends = [(region.lower, region.upper)]
        lows, highs = list(region.low), list(region.high)
        k = 0
        for index, node in enumerate(self.graph.nodes[1:], 1):
            operator = node.operator
            if isinstance(operator, Affine):
                operands = [ends[i] for i in node.operands]
                twice = operator.forward_linear(*(low + high for low, high in operands))
                width = operator.forward_absolute(*(high - low for low, high in operands))
                offset = self._offset[index]
                ends.append(((twice - width) / 2 + offset, (twice + width) / 2 + offset))
            else:
                low, high = ends[node.operands[0]]
                lows[k], highs[k] = torch.maximum(low, lows[k]), torch.minimum(high, highs[k])
                stairs, feature = self.stairs[k], self._features[k]
                ends.append(tuple(stairs.base + stairs.level(end, feature) for end in (lows[k], highs[k])))  # type: ignore[arg-type]
                k += 1
        return replace(region, low=tuple(lows), high=tuple(highs))

    def backward(
        self,
        region: Region,
        seeds: dict[int, tuple[Tensor, Tensor]],
        s: Sequence[Tensor],
        priced: Priced | None = None,
    ) -> Backward:
        """The bound of an objective on sets none of which has an empty interval.

        Parameters
        ----------
        region : one set per row of multipliers
        seeds : for some nodes the objective's coefficients ``[U, n]`` and the sums of absolute values behind them
        s : multipliers, one ``[U, n_k]`` per activation
        priced : prices in place of the first activation's multipliers
        """
        graph, received = self.graph, dict(seeds)
        value = region.lower.new_zeros(len(region))
        size = torch.zeros_like(value)
        vs: list[Tensor] = []
        k = len(graph.activations)
        for index in range(len(graph.nodes) - 1, 0, -1):
            node = graph.nodes[index]
            handed = received.pop(index, None)
            if isinstance(node.operator, Affine):
                if handed is None:
                    continue
                value = value + node.operator.offset(handed[0])
                size = size + (handed[1] * node.operator.offset_absolute()).sum(-1)
                passed = zip(node.operator.adjoint(handed[0]), node.operator.adjoint_absolute(handed[1]), strict=True)
            else:
                k -= 1
                v, v_size = handed or (torch.zeros_like(s[k]), torch.zeros_like(s[k]))
                low, high = region.low[k], region.high[k]
                if k == 0 and priced is not None:
                    phi, image = priced.conjugates(self.stairs[0], v, low, high)
                    value = value + phi.sum(-1)
                    size = size + (v_size * image).sum(-1) + 3 * priced.size
                    vs.append(v)
                    continue
                phi, image = self.stairs[k].conjugate(v, s[k], low, high, self._features[k])
                value = value + phi.sum(-1)
                size = size + (v_size * image + s[k].abs() * torch.maximum(low.abs(), high.abs())).sum(-1)
                vs.append(v)
                passed = zip((s[k],), (s[k].abs(),), strict=True)
            for operand, share in zip(node.operands, passed, strict=True):
                before = received.get(operand)
                received[operand] = share if before is None else (before[0] + share[0], before[1] + share[1])
        if priced is not None:
            v, v_size = received.get(0) or (torch.zeros_like(priced.pull),) * 2
            pull = priced.pull + v * (region.upper - region.lower)
            value = value + (v * region.lower).sum(-1) + priced.offset + pull.clamp(min=0).sum(-1)
            size = size + 3 * (v_size * torch.maximum(region.lower.abs(), region.upper.abs())).sum(-1)
        elif 0 in received:
            v, v_size = received[0]
            # Twice: the centre and the radius of the box are doubled to stay integers.
            twice = v * (region.lower + region.upper) + v.abs() * (region.upper - region.lower)
            value = value + twice.sum(-1) / 2
            size = size + 2 * (v_size * torch.maximum(region.lower.abs(), region.upper.abs())).sum(-1)
        return Backward(value, size, tuple(reversed(vs)))
