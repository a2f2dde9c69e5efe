"""Prices with few digits: what is kept of a subproblem, and what a proof is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from netproof.rows import Rows

#: bits of the largest price of a row, sign aside: 16-bit integers hold them
_BITS = 14
#: the finest grid
_FINEST = 40


@dataclass(frozen=True, eq=False)
class StoredPrices(Rows):
    """Prices ``units * 2**-exponent``.

    Attributes
    ----------
    units : ``[B, m, n]`` int16
    exponent : ``[B]`` float64, whole numbers
    """

    units: Tensor
    exponent: Tensor

    @staticmethod
    def of(prices: Tensor) -> StoredPrices:
        """The nearest to prices ``[B, m, n]``, which are finite."""
        largest = prices.abs().flatten(1).amax(1).double().clamp(min=2.0**-30)
        exponent = (_BITS - torch.log2(largest).ceil()).clamp(-_BITS, _FINEST)
        units = (prices * torch.exp2(exponent).to(prices.dtype)[:, None, None]).round_()
        most = 2.0**15 - 1
        return StoredPrices(units.clamp_(-most, most).to(torch.int16), exponent)

    def values(self, dtype: torch.dtype) -> Tensor:
        """``[B, m, n]``; exact in float64, and in float32, which has more bits than a price."""
        return self.units.to(dtype) * torch.exp2(-self.exponent).to(dtype)[:, None, None]

    def order(self) -> Tensor:
        """``[B, m, n]``, the inputs of every neuron by ascending price. (Of 16-bit integers NumPy's stable sort is a radix sort.)"""
        return torch.from_numpy(np.argsort(self.units.numpy(), -1, kind="stable"))
