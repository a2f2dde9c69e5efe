"""A value with a range of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Activation
from netproof.operators.hulls.hull import Conjugate, Hull
from netproof.operators.sums import feature_sum
from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Held(Activation):
    """``f(a) = a``: nothing is computed, but that an activation has ranges lets a proof keep one for the value.

    Nothing rounds.
    """

    name = "held"

    def to(self, dtype: torch.dtype, device: torch.device) -> Held:
        return self

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        return lower, upper

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> Hull:
        return HeldHull(lower, upper)

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        """NaN: there is nothing to split."""
        return torch.full_like(near + lower + upper, torch.nan)

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        return a

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        return torch.ones_like(a)

    def select(self, features: Tensor, size: int) -> Held:
        return self

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split


@dataclass(frozen=True, eq=False)
class HeldHull(Rows, Hull):
    """A piece of the diagonal."""

    lower: Tensor
    upper: Tensor

    def conjugate(self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"]) -> Conjugate:
        price = v - s
        at = torch.where(price >= 0, self.upper, self.lower)
        value = torch.where(price == 0, 0.0, price * at)
        at = torch.where(torch.isfinite(at), at, 0.0)
        return Conjugate(value, at.expand_as(value), at.expand_as(value))

    def slope(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"] | None = None) -> Float[Tensor, "*#S"]:
        return torch.ones_like(v + self.lower)

    def relax(self, v: Float[Tensor, "#B n"]) -> tuple[Float[Tensor, "B n"], Float[Tensor, " B"]]:
        s = v.expand((v + self.lower).shape)
        return s, feature_sum(torch.zeros_like(s))

    def relax_rows(self, v: Float[Tensor, "B R n"]) -> tuple[Float[Tensor, "B R n"], Float[Tensor, "B R"]]:
        s = v.expand((v + self.lower[:, None]).shape)
        return s, feature_sum(torch.zeros_like(s))

    def height(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"]) -> Float[Tensor, "*S"]:
        return at.expand((v + at).shape)

    def superlevel(
        self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"], cut: Float[Tensor, "*#S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        """The points with ``(v - s) a >= cut``."""
        price = v - s
        shape = (price + cut + self.lower).shape
        low, high = self.lower.expand(shape), self.upper.expand(shape)
        at = cut / torch.where(price == 0, 1.0, price)
        return torch.where(price > 0, torch.maximum(low, at), low), torch.where(
            price < 0, torch.minimum(high, at), high
        )
