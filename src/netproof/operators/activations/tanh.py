"""Hyperbolic tangent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.activations.s_shape import SShape

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Tanh(SShape):
    """``f(a) = tanh(a)``, with ``f' = 1 - f^2``."""

    name = "tanh"

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return torch.tanh(a)

    def derivative(self, a: Tensor) -> Tensor:
        # 4 f(2a) (1 - f(2a)) with the sigmoid f: 1 - tanh^2 would cancel where the function saturates.
        return 4 * torch.sigmoid(2 * a) * torch.sigmoid(-2 * a)

    def argument(self, slope: Tensor) -> Tensor:
        # 1 - f^2 = r at f = q = sqrt(1 - r), and a = artanh(q) = log(1 + q) - log(r) / 2.
        q = torch.sqrt(1 - slope)
        return torch.log1p(q) - torch.log(slope) / 2
