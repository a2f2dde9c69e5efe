"""The source node of a graph."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from netproof.operators.base import Operator, Shape


@dataclass(frozen=True)
class Input(Operator):
    """The network's input; it has no operands and its value is given."""

    shape: Shape
    name = "input"

    def output_shape(self, *shapes: Shape) -> Shape:
        return self.shape

    def to(self, dtype: torch.dtype, device: torch.device) -> Input:
        return self
