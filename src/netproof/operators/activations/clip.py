"""Clipping to an interval (ReLU6, hard tanh)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.activations.relu import widened_step
from netproof.operators.base import Activation
from netproof.operators.hulls.hull import Hull, PolygonHull
from netproof.operators.hulls.kink_hull import KinkHull

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Clip(Activation):
    """``f(a) = min(max(a, low), high)``; evaluated, and bounded on an interval, without rounding.

    Parameters
    ----------
    low, high : either may be infinite; ``low <= high``
    """

    low: float
    high: float
    name = "clip"

    def __post_init__(self) -> None:
        if not self.low <= self.high or math.inf in (self.low, -self.high):
            raise ValueError(f"cannot clip to [{self.low}, {self.high}]")

    def to(self, dtype: torch.dtype, device: torch.device) -> Clip:
        # Ends may be numbers of float64 that another dtype does not hold: there is nothing beyond its largest one.
        largest = torch.finfo(dtype).max
        low, high = (end if math.isinf(end) else max(-largest, min(end, largest)) for end in (self.low, self.high))
        return Clip(low, high)

    def describe(self) -> str:
        return f"to [{self.low:g}, {self.high:g}]"

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a.clamp(self.low, self.high)

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        return self.evaluate(lower), self.evaluate(upper)

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> Hull:
        if self.low == 0 and bool((upper <= self.high).all()):
            # On such ranges it is a ReLU: an end at the largest float32 is far beyond what most networks compute.
            return KinkHull(lower, upper, 0.0, 1.0)
        inner = [torch.minimum(lower.clamp(min=kink), upper) for kink in (self.low, self.high)]
        argument = torch.stack([lower, *inner, upper])
        image = self.evaluate(argument)
        return PolygonHull(argument, image, argument, image)

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        """The kink inside the range that is nearest to ``near``."""
        point = torch.full_like(near + lower, torch.nan)
        distance = torch.full_like(point, torch.inf)
        for kink in (self.low, self.high):
            closer = (lower < kink) & (kink < upper) & ((near - kink).abs() < distance)
            point = torch.where(closer, kink, point)
            distance = torch.where(closer, (near - kink).abs(), distance)
        return point

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        """The function itself: it is continuous."""
        return self.evaluate(a)

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        return widened_step(a - self.low, widening) * widened_step(self.high - a, widening)

    def select(self, features: Tensor, size: int) -> Clip:
        return self

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split
