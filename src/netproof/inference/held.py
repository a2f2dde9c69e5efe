"""Values of a node on a batch, in the numbers in which they are cheapest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Held:
    """The values of a node on a batch: ``numbers + low``.

    ``numbers`` is ``[B, n]``, or ``[B, C, rows, columns]`` whose flattening in that order is meant; uint8, float32 or float64.
    """

    numbers: Tensor
    low: int = 0

    @property
    def is_bytes(self) -> bool:
        return self.numbers.dtype == torch.uint8

    def flat(self) -> Tensor:
        """``[B, n]`` in float64."""
        return self.numbers.reshape(len(self.numbers), -1).to(torch.float64) + self.low

    def bytes(self, low: int) -> Tensor:
        """As bytes that count from ``low``."""
        if self.is_bytes and self.low == low:
            return self.numbers
        numbers = self.numbers.to(torch.int16) if self.is_bytes else self.numbers
        return (numbers + (self.low - low)).to(torch.uint8) if self.low != low else numbers.to(torch.uint8)
