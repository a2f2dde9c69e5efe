"""Logistic sigmoid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.activations.s_shape import SShape

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Sigmoid(SShape):
    """``f(a) = 1 / (1 + exp(-a))``, with ``f' = f (1 - f)``."""

    name = "sigmoid"
    center = 0.5
    least, largest = 0.0, 1.0

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return torch.sigmoid(a)

    def derivative(self, a: Tensor) -> Tensor:
        return torch.sigmoid(a) * torch.sigmoid(-a)

    def argument(self, slope: Tensor) -> Tensor:
        # f (1 - f) = r at f = (1 + q) / 2 with q = sqrt(1 - 4 r), and a = log(f / (1 - f)) = 2 log(1 + q) - log(4 r).
        q = torch.sqrt(1 - 4 * slope)
        return 2 * torch.log1p(q) - torch.log(4 * slope)
