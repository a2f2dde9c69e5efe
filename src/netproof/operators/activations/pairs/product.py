"""Products of two values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.activations.pairs.pair import Pair, widened
from netproof.operators.hulls.pair_hull import paired
from netproof.operators.hulls.product_hull import ProductHull

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Product(Pair):
    """``h = x y`` for every pair of neighbouring features ``(x, y)``; the result is ``(h, h)``.

    Split only where both factors vary: with one of them known the product is linear.
    """

    name = "product"

    def of(self, x: Tensor, y: Tensor) -> Tensor:
        return x * y

    def image(self, corners: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        low, high = widened(corners)
        # Nothing times infinity: anything.
        low, high = torch.where(low.isnan(), -torch.inf, low), torch.where(high.isnan(), torch.inf, high)
        # The sign of a product is that of its factors, however small they are.
        (x, y), (u, v) = ((end[..., 0::2], end[..., 1::2]) for end in (lower, upper))
        alike = ((x >= 0) & (y >= 0)) | ((u <= 0) & (v <= 0))
        opposed = ((x >= 0) & (v <= 0)) | ((u <= 0) & (y >= 0))
        return torch.where(alike, low.clamp(min=0), low), torch.where(opposed, high.clamp(max=0), high)

    def divisible(self, inside: Tensor) -> Tensor:
        both = inside[..., 0::2] & inside[..., 1::2]
        return paired(both, both)

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> ProductHull:
        return ProductHull(lower, upper)

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        """The other factor, for both images of the pair together."""
        return 2 * paired(a[..., 1::2], a[..., 0::2])
