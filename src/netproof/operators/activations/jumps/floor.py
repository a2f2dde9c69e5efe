"""Rounding down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Activation
from netproof.operators.hulls.curve_hull import CurveHull
from netproof.operators.hulls.hull import Hull, PolygonHull

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Floor(Activation):
    """``f(a)`` is the largest whole number that is not above ``a``; evaluated without rounding.

    Parameters
    ----------
    limit : from where on there is no value, because the result is an integer of a type that may not hold it, and runtimes
        wrap around; positive
    """

    limit: float = torch.inf
    name = "floor"

    def to(self, dtype: torch.dtype, device: torch.device) -> Floor:
        return self

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        whole = torch.where(a < self.limit, a.floor(), torch.nan) if self.limit < torch.inf else a.floor()
        # The slope of the line below its steps, for a search; it adds nothing.
        return whole + (a - a.detach()) if torch.is_grad_enabled() and a.requires_grad else whole

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        beyond = self._beyond(lower, upper)
        return torch.where(beyond, -torch.inf, lower.floor()), torch.where(beyond, torch.inf, upper.floor())

    def _beyond(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Ranges on which there is not a value everywhere; an empty range is handed on as one."""
        if self.limit == torch.inf:
            return torch.zeros_like(upper, dtype=torch.bool)
        return (upper >= self.limit) & ~(lower > upper)

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> Hull:
        """Corners at the first and the last jump; those between are on the same lines. Next to a jump, below it, the
        function comes to one less."""
        low, high = lower.floor(), upper.floor()
        jumps = high > low
        first, last = torch.where(jumps, low + 1, lower), torch.where(jumps, high, upper)
        argument = torch.stack([lower, first, last, upper])
        above = torch.stack([low, torch.where(jumps, first, low), torch.where(jumps, last, high), high])
        below = torch.stack([low, low, torch.where(jumps, high - 1, high), high])
        if self.limit == torch.inf:
            return PolygonHull(argument, above, argument, below)
        beyond = self._beyond(lower, upper)
        above, below = torch.where(beyond, torch.inf, above), torch.where(beyond, -torch.inf, below)
        return CurveHull(argument, above, argument, below)

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        """The jump nearest to ``near`` that is inside of the range; NaN where there is none."""
        point = torch.maximum(torch.minimum(near.round(), upper.ceil() - 1), lower.floor() + 1)
        return torch.where((lower < point) & (point < upper), point, torch.nan)

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        """The middle of the steps, and the steps."""
        return hardness * a.floor() + (1 - hardness) * (a - 0.5)

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        return torch.ones_like(a)

    def select(self, features: Tensor, size: int) -> Floor:
        return self

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split
