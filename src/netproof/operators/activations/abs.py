"""Absolute value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.activations.relu import split_at_zero
from netproof.operators.base import Activation
from netproof.operators.hulls.hull import Hull
from netproof.operators.hulls.kink_hull import KinkHull

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Abs(Activation):
    """``f(a) = |a|``; evaluated, and bounded on an interval, without rounding."""

    name = "abs"

    def to(self, dtype: torch.dtype, device: torch.device) -> Abs:
        return self

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a.abs()

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        ends = lower.abs(), upper.abs()
        # Falling, then rising: 0 is the least value where the range holds it.
        least = torch.where((lower < 0) & (upper > 0), 0.0, torch.minimum(*ends))
        return least, torch.maximum(*ends)

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> Hull:
        return KinkHull(lower, upper, -1.0, 1.0)

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        return split_at_zero(lower, upper)

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        """The function itself: it is continuous."""
        return self.evaluate(a)

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        """Its slope, which is 0 nowhere; at 0 that of the right side."""
        return torch.where(a < 0, -1.0, 1.0).to(a.dtype)

    def select(self, features: Tensor, size: int) -> Abs:
        return self

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split
