"""The cheapest way to a pre-activation: a continuous knapsack.

With a price ``r_i`` for every unit that input ``i`` moves a pre-activation, coming from its least value to ``a`` costs

    q(a) = min { sum_i r_i reach_i z_i  :  sum_i reach_i z_i = a - least,  0 <= z_i <= 1 },

the cheapest inputs first (Dantzig, *Discrete-variable extremum problems*, Operations Research 1957). ``q`` is convex
and piecewise linear. At integers ``a``, with integer reaches, it is a sum of products of reaches and prices, and so
exact where these are short enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from netproof.bounds.envelope.layer import LayerBox
from netproof.rows import Rows


@dataclass(frozen=True, eq=False)
class Knapsack(Rows):
    """The inputs of ``m`` neurons of ``B`` rows in the order of their prices.

    Attributes
    ----------
    prices : ``[B, m, n]``, ascending
    way, cost : ``[B, m, n + 1]``, how far the first inputs go, and what that costs
    least : ``[1, m]``
    """

    prices: Tensor
    way: Tensor
    cost: Tensor
    least: Tensor

    @staticmethod
    def of(box: LayerBox, prices: Tensor, order: Tensor | None = None) -> Knapsack:
        """For prices ``[B, m, n]``; ``order`` sorts them, if that is known."""
        if order is None:
            order = torch.from_numpy(np.argsort(prices.numpy(), -1))
        ascending = prices.gather(-1, order)
        reach = box.reach.expand_as(prices).gather(-1, order)
        zero = torch.zeros_like(reach[..., :1])
        way = torch.cat([zero, reach.cumsum(-1)], -1)
        cost = torch.cat([zero, (reach * ascending).cumsum(-1)], -1)
        return Knapsack(ascending, way, cost, box.least[None])

    def cheapest(self) -> Tensor:
        """``[B, m]``, the pre-activation of least cost."""
        return self.least + self.way.gather(-1, (self.prices < 0).sum(-1, keepdim=True))[..., 0]

    def at(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """Cost of pre-activations ``[B, m, P]``, none out of reach, and the price at the margin there."""
        way = (a - self.least[..., None]).contiguous()
        count = (torch.searchsorted(self.way, way, right=True) - 1).clamp(0, self.prices.shape[-1] - 1)
        price = self.prices.gather(-1, count)
        return self.cost.gather(-1, count) + (way - self.way.gather(-1, count)) * price, price
