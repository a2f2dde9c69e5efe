"""Quotients of two values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.activations.pairs.pair import Pair, widened
from netproof.operators.hulls.pair_hull import paired
from netproof.operators.hulls.quotient_hull import QuotientHull, keeps_sign

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Quotient(Pair):
    """``h = n / d`` for every pair of neighbouring features ``(n, d)``; the result is ``(h, h)``.

    One operator instead of a reciprocal and a
    product has two advantages: a bound loses once, and ``n / d < t`` is the linear ``n - t d < 0`` where ``d`` is
    positive (:mod:`netproof.bounds.ranges.quotients`). Not split where the denominator is known.
    """

    name = "quotient"

    def of(self, x: Tensor, y: Tensor) -> Tensor:
        return x / y

    def image(self, corners: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        low, high = widened(corners)
        known = keeps_sign(lower, upper)
        return torch.where(known, low, -torch.inf), torch.where(known, high, torch.inf)

    def divisible(self, inside: Tensor) -> Tensor:
        varies = inside[..., 1::2]
        return inside & paired(varies, varies)

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> QuotientHull:
        return QuotientHull(lower, upper)

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        """The derivatives, for both images of the pair together."""
        n, d = a[..., 0::2], a[..., 1::2]
        return 2 * paired(1 / d, -n / (d * d))
