"""Powers with a constant exponent: squares, roots and reciprocals among them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.activations.curves.curve import CONCAVE, CONVEX, Curve

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Power(Curve):
    """``f(a) = a ** exponent``.

    Where the exponent is no whole number, negative numbers have no power. A positive one is continued by 0 there, for operands
    that are never negative but whose bounds may be; of an operand that may be, nothing is said on a range with negative
    numbers: what has no value may have one again after a comparison or a maximum. With a negative exponent there is no
    bound on a range that holds 0.

    Parameters
    ----------
    exponent : finite, neither 0 nor 1
    continued : whether the operand is never negative, so that it does not matter what is said there
    """

    exponent: float
    continued: bool = True

    def __post_init__(self) -> None:
        if self.exponent in (0.0, 1.0) or not math.isfinite(self.exponent):
            raise ValueError(f"a power of {self.exponent}")

    tangents = 2

    @property
    def name(self) -> str:  # type: ignore[override]
        return {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal"}.get(self.exponent, "power")

    def describe(self) -> str:
        return "" if self.name != "power" else f"exponent {self.exponent:g}"

    @property
    def _whole(self) -> bool:
        return self.exponent == math.floor(self.exponent)

    @property
    def _odd(self) -> bool:
        return self._whole and self.exponent % 2 == 1

    @property
    def breaks(self) -> tuple[float, ...]:  # type: ignore[override]
        return (0.0,) if self._whole else ()

    @property
    def bends(self) -> tuple[int, ...]:  # type: ignore[override]
        right = CONCAVE if 0 < self.exponent < 1 else CONVEX
        return (CONCAVE if self._odd else CONVEX, right) if self._whole else (right,)

    @property
    def least(self) -> float:  # type: ignore[override]
        return -torch.inf if self._odd else 0.0

    def pieces(self, lower: Tensor, upper: Tensor) -> tuple[list[Tensor], list[int | Tensor]]:
        if self._whole or self.exponent < 0:
            return super().pieces(lower, upper)
        # The piece to the left of 0, where it is continued, is straight.
        zero = torch.minimum(lower.clamp(min=0), upper)
        return [lower, zero, upper], [0, *self.bends]

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        if self.exponent == 2:
            return a * a
        if self.exponent == -1:
            return 1 / a
        if self._whole or self.exponent < 0:
            return a.pow(self.exponent)
        # With a slope of 0, and not one that is no number, where it is continued.
        inside = torch.where(a > 0, a, 1.0)
        power = torch.where(a > 0, inside.sqrt() if self.exponent == 0.5 else inside.pow(self.exponent), 0.0)
        return power if self.continued else torch.where(a < 0, torch.nan, power)

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        if self.exponent == 2:
            return 2 * a
        if self.exponent == -1:
            return -1 / (a * a)
        slope = self.exponent * a.pow(self.exponent - 1) if self.exponent != 0.5 else 0.5 / a.sqrt()
        return slope if self._whole or self.exponent < 0 else torch.where(a < 0, 0.0, slope)

    def undefined(self, lower: Tensor, upper: Tensor) -> Tensor | None:
        if self.exponent > 0:
            return None if self.continued or self._whole else lower < 0
        return (lower <= 0) & (upper >= 0) if self._whole else ~(lower > 0)
