"""Sine and cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.activations.curves.curve import CONCAVE, CONVEX, Curve
from netproof.operators.activations.s_shape import split_inside
from netproof.operators.hulls.curve_hull import CurveHull

if TYPE_CHECKING:
    from jaxtyping import Float

#: quarters of a period that a range may have; beyond, the function takes all of its values
_QUARTERS = 5


@dataclass(frozen=True)
class Periodic(Curve):
    """Base of sine and cosine: pieces end at multiples of a quarter of the period."""

    least, largest = -1.0, 1.0
    #: the quarter, counted from 0, that begins with the argument 0 where the sine's first one begins
    shift = 0

    def pieces(self, lower: Tensor, upper: Tensor) -> tuple[list[Tensor], list[int | Tensor]]:
        first = (lower / (math.pi / 2)).floor()
        ends = [lower]
        bends: list[int | Tensor] = []
        wide = (upper / (math.pi / 2)).floor() - first
        known = wide[wide < _QUARTERS]
        # No more pieces than some range of the batch has.
        quarters = int(known.max()) if known.numel() else 0
        for number in range(quarters + 1):
            if number < quarters:
                ends.append(torch.maximum(torch.minimum((first + (number + 1)) * (math.pi / 2), upper), ends[-1]))
            quarter = torch.remainder(first + (number + self.shift), 4)
            bends.append(torch.where(quarter < 2, CONCAVE, CONVEX))
        return [*ends, upper], bends

    def undefined(self, lower: Tensor, upper: Tensor) -> Tensor:
        # Multiples of pi are rounded in proportion to their size; far out, all is possible.
        return ~((upper - lower < (_QUARTERS - 1) * (math.pi / 2)) & (lower.abs() < 1e6) & (upper.abs() < 1e6))

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        """``near``, but at least a tenth of the range away from its ends; NaN on a range of no width."""
        return split_inside(near, lower, upper)

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> CurveHull:
        hull = super().hull(lower, upper)
        # Over more than a period the hull is a box: all corners at its ends.
        wide = self.undefined(lower, upper)
        parts = []
        for argument in (hull.upper_argument, hull.lower_argument):
            ends = torch.cat([lower[None].expand_as(argument[:1]), upper[None].expand_as(argument[1:])])
            parts.append(torch.where(wide, ends, argument))
        return CurveHull(parts[0], hull.upper_image, parts[1], hull.lower_image)


@dataclass(frozen=True)
class Sin(Periodic):
    """``f(a) = sin(a)``."""

    name = "sin"

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a.sin()

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        return a.cos()


@dataclass(frozen=True)
class Cos(Periodic):
    """``f(a) = cos(a)``."""

    name = "cos"
    shift = 1

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a.cos()

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        return -a.sin()
