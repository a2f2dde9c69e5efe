"""A step at 0: signs and comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.activations.relu import split_at_zero
from netproof.operators.base import Activation
from netproof.operators.hulls.hull import Hull, PolygonHull

if TYPE_CHECKING:
    from jaxtyping import Float


#: an argument is near a jump, for whoever follows slopes, where it is this much of those of its layer
_NEAR = 0.3


@dataclass(frozen=True)
class Step(Activation):
    """``f(a) = below`` for ``a < 0``, ``at`` for ``a = 0``, ``above`` for ``a > 0``; evaluated without rounding.

    Its hull over a range that ends at 0 holds what the function takes at 0 and next to it. A range cannot be cut into
    ``a < 0`` and ``a >= 0``, since ranges have their ends: what hangs on the value at 0 alone stays open.

    Parameters
    ----------
    below, at, above : finite; the sign function is -1, 0, 1, and ``a > 0`` is 0, 0, 1
    """

    below_zero: float
    at_zero: float
    above_zero: float
    name = "step"

    def to(self, dtype: torch.dtype, device: torch.device) -> Step:
        return self

    def describe(self) -> str:
        return f"{self.below_zero:g}, {self.at_zero:g} at 0, {self.above_zero:g}"

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        kind = a.new_full
        value = torch.where(a > 0, kind((), self.above_zero), kind((), self.below_zero))
        value = torch.where(a == 0, kind((), self.at_zero), value)
        if torch.is_grad_enabled() and a.requires_grad:
            # A slope to follow uphill that adds nothing: a step by itself has none. How near to 0 an argument is
            # shows next to the others.
            size = _NEAR * a.detach().abs().mean(-1, keepdim=True)
            smooth = self.surrogate(a / torch.where((size > 0) & torch.isfinite(size), size, 1.0), 0.0)
            return value + (smooth - smooth.detach())
        return value

    def _reached(self, lower: Tensor, upper: Tensor) -> list[tuple[float, Tensor]]:
        """The three values, and on which ranges the function takes them or comes next to them at 0."""
        here = (lower <= 0) & (upper >= 0)
        return [
            (self.below_zero, here & (lower < 0)),
            (self.at_zero, here),
            (self.above_zero, here & (upper > 0)),
        ]

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        ends = self.evaluate(lower), self.evaluate(upper)
        low, high = torch.minimum(*ends), torch.maximum(*ends)
        for value, mask in self._reached(lower, upper):
            low = torch.where(mask, low.clamp(max=value), low)
            high = torch.where(mask, high.clamp(min=value), high)
        return low, high

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> Hull:
        jump = torch.minimum(lower.clamp(min=0), upper)
        here = (lower <= 0) & (upper >= 0)
        argument = torch.stack([lower, jump, upper])
        ends = self.evaluate(lower), self.evaluate(upper)
        first, last = ends
        # At the jump the highest and the lowest of what is reached; ends stay what they are.
        peak = torch.where(here, self._extreme(lower, upper, high=True), first)
        floor = torch.where(here, self._extreme(lower, upper, high=False), first)
        return PolygonHull(argument, torch.stack([first, peak, last]), argument, torch.stack([first, floor, last]))

    def _extreme(self, lower: Tensor, upper: Tensor, *, high: bool) -> Tensor:
        best = torch.full_like(lower + upper, -torch.inf if high else torch.inf)
        for value, mask in self._reached(lower, upper):
            best = torch.where(mask, best.clamp(min=value) if high else best.clamp(max=value), best)
        return best

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        return split_at_zero(lower, upper)

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        """``a / (1 + |a|)`` between the outer values, whatever the hardness."""
        return (self.above_zero + self.below_zero) / 2 + (self.above_zero - self.below_zero) / 2 * (a / (1 + a.abs()))

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        return (self.above_zero - self.below_zero) / 2 * (1 + a.abs() / (1 + widening)).pow(-2)

    def select(self, features: Tensor, size: int) -> Step:
        return self

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split
