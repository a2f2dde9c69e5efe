"""Quotients of two values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Activation
from netproof.operators.hulls.pair_hull import paired
from netproof.operators.hulls.quotient_hull import QuotientHull, keeps_sign

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Quotient(Activation):
    """``h = n / d`` for every pair of neighbouring features ``(n, d)``; the result is ``(h, h)``.

    Like :class:`netproof.operators.activations.product.Product` one of pairs. One operator instead of a reciprocal and a
    product has two advantages: a bound loses once, and ``n / d < t`` is the linear ``n - t d < 0`` where ``d`` is
    positive (:mod:`netproof.bounds.ranges.quotients`).

    :meth:`evaluate` rounds each quotient; :meth:`output_range` is outward safe.
    """

    name = "quotient"
    coupled = True

    def to(self, dtype: torch.dtype, device: torch.device) -> Quotient:
        return self

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        quotient = a[..., 0::2] / a[..., 1::2]
        return paired(quotient, quotient)

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        corners = torch.stack([n[..., 0::2] / d[..., 1::2] for n in (lower, upper) for d in (lower, upper)])
        kind = torch.finfo(corners.dtype)
        size = corners.abs() * kind.eps + kind.tiny
        known = keeps_sign(lower, upper)
        low = torch.where(known, (corners - size).amin(0), -torch.inf)
        high = torch.where(known, (corners + size).amax(0), torch.inf)
        empty = (lower > upper)[..., 0::2] | (lower > upper)[..., 1::2]
        low, high = torch.where(empty, torch.inf, low), torch.where(empty, -torch.inf, high)
        return paired(low, low), paired(high, high)

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> QuotientHull:
        return QuotientHull(lower, upper)

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        """``near``, but at least a tenth of the range away from its ends; NaN where the denominator is known, and for a
        numerator that is."""
        margin = (upper - lower) / 10
        point = torch.maximum(torch.minimum(near, upper - margin), lower + margin)
        inside = (lower < point) & (point < upper)
        varies = inside[..., 1::2]
        return torch.where(inside & paired(varies, varies), point, torch.nan)

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        """The quotient itself."""
        return self.evaluate(a)

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float) -> Float[Tensor, "*S"]:
        """The derivatives, for both images of the pair together."""
        n, d = a[..., 0::2], a[..., 1::2]
        return 2 * paired(1 / d, -n / (d * d))

    def select(self, features: Tensor, size: int) -> Quotient:
        """The same on some pairs: ``features`` hold both of a pair or none (:meth:`closed`)."""
        return self

    def closed(self, features: Tensor, size: int) -> Tensor:
        first = torch.unique(features // 2) * 2
        return paired(first, first + 1)

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split
