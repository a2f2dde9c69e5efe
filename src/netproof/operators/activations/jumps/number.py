"""Whether a value is a certain number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Activation
from netproof.operators.hulls.hull import Hull, PolygonHull

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class IsNumber(Activation):
    """``f(a) = 1`` for ``a = number``, else 0; evaluated without rounding.

    A step of ``a - number`` would be the same, were a difference not rounded: of a value that is known to be the number nothing
    would be left.

    Parameters
    ----------
    number : ``[n]``, one for each feature, or ``[1]``; finite
    """

    number: Tensor
    name = "is number"

    def to(self, dtype: torch.dtype, device: torch.device) -> IsNumber:
        return IsNumber(self.number.to(device, dtype))

    def parameters(self) -> list[tuple[str, Tensor]]:
        return [("number", self.number)]

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        value = (a == self.number).to(a.dtype)
        if torch.is_grad_enabled() and a.requires_grad:
            # A slope towards the number that adds nothing: the function by itself has none.
            smooth = self.surrogate(a, 0.0)
            return value + (smooth - smooth.detach())
        return value

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        high = ((lower <= self.number) & (self.number <= upper)).to(lower.dtype)
        return torch.where(lower == upper, high, torch.zeros_like(high)), high

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> Hull:
        low, high = self.output_range(lower, upper)
        at = torch.minimum(torch.maximum(self.number.expand_as(lower), lower), upper)
        ends = self.evaluate(lower.detach()), self.evaluate(upper.detach())
        argument = torch.stack([lower, at, upper])
        return PolygonHull(argument, torch.stack([ends[0], high, ends[1]]), argument, torch.stack([low, low, low]))

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        """NaN: both parts would hold the number, or what is next to it."""
        return torch.full_like(near + lower + upper, torch.nan)

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        """``1 / (1 + |a - number|)``, whatever the hardness."""
        return 1 / (1 + (a - self.number).abs())

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        away = a - self.number
        return -away.sign() * (1 + away.abs() / (1 + widening)).pow(-2)

    def select(self, features: Tensor, size: int) -> IsNumber:
        return self if self.number.numel() == 1 else IsNumber(self.number[features])

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split
