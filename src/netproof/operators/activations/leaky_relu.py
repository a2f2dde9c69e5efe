"""Leaky rectified linear unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.activations.relu import split_at_zero, widened_step
from netproof.operators.base import Activation
from netproof.operators.hulls.hull import Hull
from netproof.operators.hulls.kink_hull import KinkHull

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """``f(a) = a`` for ``a >= 0`` and ``alpha * a`` below.

    One rounding for negative ``a``. :meth:`output_range` is outward safe: the ends that were multiplied
    are moved by one unit in the last place, which is at least twice the rounding.

    Parameters
    ----------
    alpha : the slope below 0, any finite number (also above 1 or negative)
    """

    alpha: float
    name = "leaky relu"

    def to(self, dtype: torch.dtype, device: torch.device) -> LeakyReLU:
        return self

    def describe(self) -> str:
        return f"slope {self.alpha:g} below 0"

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return torch.where(a < 0, self.alpha * a, a)

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        ends = self.evaluate(lower), self.evaluate(upper)
        least, largest = torch.minimum(*ends), torch.maximum(*ends)
        if self.alpha < 0:  # falling, then rising: 0 is the least value where the range holds it
            least = torch.where((lower < 0) & (upper > 0), 0.0, least)
        rounded = lower < 0
        return (
            torch.where(rounded, torch.nextafter(least, torch.full_like(least, -torch.inf)), least),
            torch.where(rounded, torch.nextafter(largest, torch.full_like(largest, torch.inf)), largest),
        )

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> Hull:
        return KinkHull(lower, upper, self.alpha, 1.0)

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        return split_at_zero(lower, upper)

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        """The function itself: it is continuous."""
        return self.evaluate(a)

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        return self.alpha + (1 - self.alpha) * widened_step(a, widening)

    def select(self, features: Tensor, size: int) -> LeakyReLU:
        return self

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split
