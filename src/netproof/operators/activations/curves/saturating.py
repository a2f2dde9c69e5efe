"""Functions that rise from one limit to another, convex before 0 and concave after it (sigmoid and tanh are elsewhere)."""

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
class Saturating(Curve):
    """Base of functions that rise from one limit to another."""

    breaks = (0.0,)
    bends = (CONVEX, CONCAVE)
    least, largest = -1.0, 1.0


@dataclass(frozen=True)
class Erf(Saturating):
    """The error function."""

    name = "erf"

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return torch.erf(a)

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        return (2 / math.sqrt(math.pi)) * torch.exp(-a * a)


@dataclass(frozen=True)
class Softsign(Saturating):
    """``f(a) = a / (1 + |a|)``."""

    name = "softsign"

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a / (1 + a.abs())

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        return (1 + a.abs()).pow(-2)


@dataclass(frozen=True)
class Atan(Saturating):
    """The inverse tangent."""

    name = "atan"
    # pi / 2 in float64 is below pi / 2.
    least, largest = -1.5707963267948968, 1.5707963267948968

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return a.atan()

    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        return 1 / (1 + a * a)
