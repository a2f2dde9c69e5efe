"""Products of two values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Activation
from netproof.operators.hulls.pair_hull import paired
from netproof.operators.hulls.product_hull import ProductHull

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Product(Activation):
    """``h = x y`` for every pair of neighbouring features ``(x, y)``; the result is ``(h, h)``.

    The one activation that is no function of one feature: what it makes of a feature depends on its neighbour. That both
    features of a pair have the product as their image keeps multipliers, ranges and splits what they are everywhere, one of
    each for a feature. A map that reads it takes half of either.

    :meth:`evaluate` rounds each product; :meth:`output_range` is outward safe.
    """

    name = "product"
    coupled = True

    def to(self, dtype: torch.dtype, device: torch.device) -> Product:
        return self

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        product = a[..., 0::2] * a[..., 1::2]
        return paired(product, product)

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        corners = torch.stack([x[..., 0::2] * y[..., 1::2] for x in (lower, upper) for y in (lower, upper)])
        kind = torch.finfo(corners.dtype)
        size = corners.abs() * kind.eps + kind.tiny
        low, high = (corners - size).amin(0), (corners + size).amax(0)
        # Nothing times infinity: anything.
        low, high = torch.where(low.isnan(), -torch.inf, low), torch.where(high.isnan(), torch.inf, high)
        empty = (lower > upper)[..., 0::2] | (lower > upper)[..., 1::2]
        low, high = torch.where(empty, torch.inf, low), torch.where(empty, -torch.inf, high)
        return paired(low, low), paired(high, high)

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> ProductHull:
        return ProductHull(lower, upper)

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        """``near``, but at least a tenth of the range away from its ends; NaN where one factor is known."""
        margin = (upper - lower) / 10
        point = torch.maximum(torch.minimum(near, upper - margin), lower + margin)
        inside = (lower < point) & (point < upper)
        both = inside[..., 0::2] & inside[..., 1::2]
        return torch.where(paired(both, both), point, torch.nan)

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        """The product itself."""
        return self.evaluate(a)

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float) -> Float[Tensor, "*S"]:
        """The other factor, for both images of the pair together."""
        return 2 * paired(a[..., 1::2], a[..., 0::2])

    def select(self, features: Tensor, size: int) -> Product:
        """The same on some pairs: ``features`` hold both of a pair or none (:meth:`closed`)."""
        return self

    def closed(self, features: Tensor, size: int) -> Tensor:
        first = torch.unique(features // 2) * 2
        return paired(first, first + 1)

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split
