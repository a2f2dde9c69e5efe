"""Functions made of exponentials and logarithms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.activations.curves.curve import CONCAVE, CONVEX, STRAIGHT, Curve

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Exp(Curve):
    """``f(a) = exp(a)``."""

    name = "exp"
    tangents = 2
    least = 0.0

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a.exp()

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        return a.exp()


@dataclass(frozen=True)
class Log(Curve):
    """``f(a) = log(a)``, which has no bound below on a range that holds 0."""

    name = "log"
    bends = (CONCAVE,)
    tangents = 2

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a.log()

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        return 1 / a

    def undefined(self, lower: Tensor, upper: Tensor) -> Tensor:
        return ~(lower > 0)


@dataclass(frozen=True)
class Softplus(Curve):
    """``f(a) = log(1 + exp(a))``."""

    name = "softplus"
    tangents = 2
    least = 0.0

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a.clamp(min=0) + torch.log1p(torch.exp(-a.abs()))

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        return a.sigmoid()


@dataclass(frozen=True)
class Elu(Curve):
    """``f(a) = gain * a`` for ``a >= 0``, ``gain * alpha * (exp(a / width) - 1)`` otherwise.

    ONNX's Elu has gain and width 1, Selu a gain, Celu a width equal to ``alpha``.

    Parameters
    ----------
    alpha : finite
    gain, width : finite, positive
    """

    alpha: float
    gain: float = 1.0
    width: float = 1.0
    name = "elu"
    breaks = (0.0,)
    kinks = (0.0,)

    def __post_init__(self) -> None:
        if not (self.gain > 0 and self.width > 0):
            raise ValueError(f"an ELU of gain {self.gain} and width {self.width}")

    @property
    def bends(self) -> tuple[int, ...]:  # type: ignore[override]
        left = CONVEX if self.alpha > 0 else CONCAVE if self.alpha < 0 else STRAIGHT
        return left, STRAIGHT

    def describe(self) -> str:
        return f"alpha {self.alpha:g}" + (f", gain {self.gain:g}" if self.gain != 1 else "")

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        left = self.alpha * torch.expm1(a.clamp(max=0) / self.width)
        return self.gain * torch.where(a >= 0, a, left)

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        left = self.alpha / self.width * torch.exp(a.clamp(max=0) / self.width)
        return self.gain * torch.where(a >= 0 if right else a > 0, torch.ones_like(a), left)
