"""Rectified linear unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Activation
from netproof.operators.hulls.hull import Hull
from netproof.operators.hulls.kink_hull import KinkHull

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class ReLU(Activation):
    """``f(a) = max(a, 0)``; evaluated, and bounded on an interval, without rounding."""

    name = "relu"

    def to(self, dtype: torch.dtype, device: torch.device) -> ReLU:
        return self

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a.clamp(min=0)

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        return lower.clamp(min=0), upper.clamp(min=0)

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> Hull:
        return KinkHull(lower, upper, 0.0, 1.0)

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        return split_at_zero(lower, upper)

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        """The function itself: it is continuous."""
        return a.clamp(min=0)

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        return widened_step(a, widening)

    def select(self, features: Tensor, size: int) -> ReLU:
        return self

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split


def split_at_zero(lower: Tensor, upper: Tensor) -> Tensor:
    """0 where the range holds it inside, NaN elsewhere."""
    return torch.where((lower < 0) & (upper > 0), 0.0, torch.nan).to(lower.dtype)


def widened_step(a: Tensor, widening: float | Tensor) -> Tensor:
    """1 for ``a > 0``, falling to 0 at ``a = -widening``, a number or ``[B, 1]``."""
    if isinstance(widening, Tensor):
        return torch.where(widening > 0, (1 + a / widening.clamp(min=1e-30)).clamp(0, 1), (a > 0).to(a.dtype))
    if widening <= 0:
        return (a > 0).to(a.dtype)
    return (1 + a / widening).clamp(0, 1)
