"""First-order steps on the multipliers of the activations above the first layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from netproof.bounds.dual import DualPoint, relaxed_values
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.effort.envelope import ENVELOPE


class Above:
    """Adam (Kingma and Ba, ICLR 2015) on multipliers ``s``, one ``[B, n_k]`` per activation; the first layer's stay as they are.

    Parameters
    ----------
    point : the bound at ``s``, to take the units of steps from
    """

    def __init__(self, relaxation: Relaxation, objective: Objective, s: Sequence[Tensor], point: DualPoint) -> None:
        self._graph, region = relaxation.graph, relaxation.region
        self.s = tuple(s)
        self._units = [self._unit(k, region, objective, point) for k in range(len(s))]
        self._first = [torch.zeros_like(m) for m in s]
        self._second = [torch.zeros_like(m) for m in s]
        self._steps = 0

    def _unit(self, k: int, region: Region, objective: Objective, point: DualPoint) -> Tensor:
        """What a slope of the layer makes of what it receives; the objective's own size where nothing arrives and ``s`` is
        the price of a range alone. ``[B, 1]``."""
        index = self._graph.activations[k]
        low, high = region.range_lower[k], region.range_upper[k]
        image_low, image_high = self._graph.activation(index).output_range(low, high)
        rise, run = (image_high - image_low).amax(-1, keepdim=True), (high - low).clamp(min=1e-12)
        v = point.v[k]
        size = torch.zeros_like(rise) if v is None else v.pow(2).mean(-1, keepdim=True).sqrt()
        direct = objective.coefficients.get(self._graph.nodes[index].operands[0])
        price = torch.zeros_like(size) if direct is None else direct.abs().amax(-1, keepdim=True)
        return ENVELOPE.length * torch.where(size > 0, size * rise / run.amax(-1, keepdim=True), price)

    def take(self, rows: Tensor) -> None:
        """Go on with some rows."""
        self.s = tuple(m[rows] for m in self.s)
        self._units = [u[rows] for u in self._units]
        self._first = [m[rows] for m in self._first]
        self._second = [m[rows] for m in self._second]

    def step(self, point: DualPoint) -> None:
        """One step down from the bound at ``s``; its first conjugate needs the images of the first layer alone.

        The derivative in ``s_k`` is (pre-activation at the maximizers) less (maximizer of ``phi_k``).
        """
        values = relaxed_values(point)
        self._steps += 1
        rates = ENVELOPE.rates
        shrink = rates.shrink ** (self._steps - 1)
        first_bias, second_bias = 1 - rates.first**self._steps, 1 - rates.second**self._steps
        made = list(self.s)
        for k in range(1, len(made)):
            conjugate, v, s = point.conjugates[k], point.v[k], made[k]
            if conjugate is None or v is None:
                continue
            at = values[self._graph.nodes[self._graph.activations[k]].operands[0]]
            low, high = point.region.range_lower[k], point.region.range_upper[k]
            # phi(0, 0) is attained on the whole range, so any of it may be subtracted.
            nearest = torch.minimum(torch.maximum(at, low), high)
            slope = (at - torch.where((v == 0) & (s == 0), nearest, conjugate.argument)) * self._units[k]
            first = self._first[k].mul_(rates.first).add_(slope, alpha=1 - rates.first)
            second = self._second[k].mul_(rates.second).addcmul_(slope, slope, value=1 - rates.second)
            change = (first / first_bias) / ((second / second_bias).sqrt() + rates.tiny)
            made[k] = s - shrink * self._units[k] * change
        self.s = tuple(made)
