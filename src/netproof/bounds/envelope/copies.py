"""The copies of the input that the neurons of the first layer have, and steps on their prices.

Every neuron has a copy ``z_j`` of the input (in coordinates of :mod:`netproof.bounds.envelope.layer`), ``y`` is the one that all
share, and the derivative in the price ``r_ji`` is ``reach_ji`` times the difference of the two. At a vertex it jumps, and
steps stall. So every linear program in it is smoothed by a quadratic term (Nesterov, *Smooth minimization of non-smooth
functions*, Math. Program. 2005): with a marginal price ``t_j`` a copy is ``z_ji = clamp(1/2 + (t_j - r_ji) / width_j)``
instead of a jump at ``r_ji = t_j``, the shared point likewise, and widths shrink from step to step. The second derivative
in the scaled prices ``r_ji / width_j`` is about ``reach_ji``, so that steps are taken in that metric: their length is a
share of the width.

A copy is a mixture of two: where it is cheapest to stay (``t = 0``), and where the slope of the staircase pays for the
way (``t = c / step``). Each ``t`` is corrected where its copy leaves the range.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netproof.bounds.envelope.bound import EnvelopePoint, values_of_levels
from netproof.bounds.envelope.knapsack import Knapsack
from netproof.bounds.envelope.layer import LayerBox
from netproof.bounds.region import Region
from netproof.effort.envelope import ENVELOPE
from netproof.operators.hulls.hull import Conjugate


class Copies:
    """The prices of a few rows, on their way.

    Parameters
    ----------
    prices : ``[B, m, n]`` to begin with
    box : the first layer on the regions' box
    region : of the rows

    Attributes
    ----------
    prices : of this step
    middle : ``[B, n]``, the shared point of the last step, from 0 (the lower end) to 1
    """

    def __init__(self, prices: Tensor, box: LayerBox, region: Region) -> None:
        self._box = box
        self._low, self._high = region.range_lower[0], region.range_upper[0]
        self._sign = torch.where(box.swing > 0, 1.0, -1.0).to(prices.dtype)
        self._width = (region.upper - region.lower).to(prices.dtype)
        self._total = box.reach.sum(-1).clamp(min=1e-9)
        self.prices, self._last = (prices.clone(memory_format=torch.contiguous_format) for _ in range(2))
        self.middle = torch.full((len(prices), prices.shape[-1]), 0.5, dtype=prices.dtype)
        self._unit = self._stay = self._rise = torch.ones_like(self._low)
        self._weight = torch.ones_like(self.middle)

    def begin(self, point: EnvelopePoint) -> None:
        """Take in the bound at the prices to begin with."""
        unit = (point.received / self._box.layer.step).abs()
        #: what a step of the staircase pays; neurons that pay next to nothing move with the others
        self._unit = torch.maximum(unit, ENVELOPE.least_unit * unit.amax(-1, keepdim=True)).clamp(min=1e-9)
        self._weight = (self._unit @ self._box.reach).clamp(min=1e-9)
        self.correct(point)

    def level_values(self, prices: Tensor, order: Tensor, received: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As :func:`values_of_levels`, at prices ``[B, m, n]`` and what neurons receive, ``[B, m]``."""
        return values_of_levels(self._box, Knapsack.of(self._box, prices, order), received, self._low, self._high)

    def correct(self, point: EnvelopePoint) -> None:
        """The corrections of both copies' marginal prices, as an evaluation of the bound finds them."""
        layer, c, low, high = self._box.layer, point.received, self._low, self._high
        cost = c[..., None] * layer.images - point.levels
        stay = cost.argmin(-1, keepdim=True)
        self._stay = _price_of_range(point, stay, torch.zeros_like(c), low, high)
        number = torch.arange(layer.images.shape[1])
        beyond = torch.where((c > 0)[..., None], number > stay, number < stay)
        rise = torch.where(beyond, point.levels, -torch.inf).argmax(-1, keepdim=True)
        self._rise = _price_of_range(point, rise, c / layer.step, *_slope(self._box, c, low, high))

    def take(self, rows: Tensor) -> None:
        """Go on with some rows."""
        self._low, self._high, self._width = self._low[rows], self._high[rows], self._taken(self._width, rows)
        self.prices, self._last, self.middle = self.prices[rows], self._last[rows], self.middle[rows]
        self._unit, self._weight = self._unit[rows], self._weight[rows]
        self._stay, self._rise = self._stay[rows], self._rise[rows]

    @staticmethod
    def _taken(shared: Tensor, rows: Tensor) -> Tensor:
        return shared if len(shared) == 1 else shared[rows]

    def step(self, received: Tensor, direct: Tensor, width: float) -> Conjugate:
        """One step on the prices; what the smoothed copies are worth.

        Parameters
        ----------
        received : ``[B, m]``, by the neurons
        direct : ``[B or 1, n]``, coefficients of the input past the layer
        width : of the smoothing, in units of what a step of the staircase pays
        """
        box, layer, c = self._box, self._box.layer, received
        low, high = self._low, self._high
        wide = width * self._unit
        slope = c / layer.step
        # Staying where it is cheapest.
        stay_z, stay_way, stay_cost = self._copy(self._stay, wide)
        stay_a = box.least + stay_way
        stay_at = torch.minimum(torch.maximum(stay_a, low), high)
        stay_level = _levels(box, stay_at)
        base = layer.images[:, 0]
        stay = c * (base + stay_level) - stay_cost - self._stay * (stay_at - stay_a)
        # Along the slope.
        start, stop = _slope(box, c, low, high)
        rise_z, rise_way, rise_cost = self._copy(slope + self._rise, wide)
        rise_a = box.least + rise_way
        rise_at = torch.minimum(torch.maximum(rise_a, start), stop)
        rise_level = _levels(box, start) + (rise_at - start) / layer.step
        rise = c * (base + rise_level) - rise_cost - (slope + self._rise) * (rise_at - rise_a)
        usable = (stop >= start) & torch.where(c > 0, stop > stay_at, start < stay_at)
        share = torch.sigmoid((rise - stay) / (wide * self._total * ENVELOPE.softness))
        share = torch.where(usable, share, 0.0)
        image = base + torch.lerp(stay_level, torch.where(usable, rise_level, 0.0), share)
        self._stay = _corrected(self._stay, stay_a, low, high, wide / self._total)
        self._rise = _corrected(self._rise, rise_a, start, stop, wide / self._total)
        # The point that all share, and the step towards agreement.
        pull = (self.prices * box.swing).sum(1) + direct * self._width
        y = (pull / (width * self._weight) + 0.5).clamp_(0, 1)
        self.middle = y
        z = torch.lerp(stay_z, rise_z, share[..., None], out=stay_z)
        # z less y, or less 1 - y where the corner that the neuron measures from is the upper end
        z.addcmul_(self._sign, (0.5 - y)[:, None]).sub_(0.5)
        new = z.mul_((ENVELOPE.step * wide)[..., None]).add_(self.prices)
        torch.lerp(self._last, new, 1 + ENVELOPE.momentum, out=self._last)
        self.prices, self._last = self._last, new
        return Conjugate(stay, stay_at, image)

    def _copy(self, price: Tensor, wide: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A smoothed copy at marginal prices, how far it goes, and what that costs."""
        inverse = 1 / wide
        z = self.prices * -inverse[..., None]
        z.add_((price * inverse + 0.5)[..., None]).clamp_(0, 1)
        moved = z * self._box.reach
        way = moved.sum(-1)
        return z, way, moved.mul_(self.prices).sum(-1)


def _levels(box: LayerBox, a: Tensor) -> Tensor:
    """How many thresholds pre-activations have reached."""
    layer = box.layer
    return (((a - layer.before[:, 1]) / layer.step).floor() + 1).clamp(0, layer.images.shape[1] - 1)


def _slope(box: LayerBox, c: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Where the slope begins and ends in a range: at thresholds, or just before them where lower is better (``c <= 0``)."""
    layer = box.layer
    first, last = _levels(box, low), _levels(box, high)
    start = layer.before[:, 1] + first * layer.step - torch.where(c > 0, 0.0, 1.0)
    return start, start + (last - first - 1) * layer.step


def _price_of_range(point: EnvelopePoint, level: Tensor, price: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """What a range adds to the marginal price of a copy at a level; 0 where the copy is inside."""
    at = point.argument.gather(-1, level)[..., 0]
    more = point.price.gather(-1, level)[..., 0] - price
    more = torch.where(at <= low, more.clamp(min=0), torch.where(at >= high, more.clamp(max=0), 0.0))
    return torch.nan_to_num(more)


def _corrected(price: Tensor, at: Tensor, low: Tensor, high: Tensor, gain: Tensor) -> Tensor:
    """A range's price after a step of dual ascent: up where the copy is below the range, down where it is above."""
    end = torch.where(price > 0, low, torch.where(price < 0, high, torch.minimum(torch.maximum(at, low), high)))
    new = price + gain * (end - at)
    return torch.where(price > 0, new.clamp(min=0), torch.where(price < 0, new.clamp(max=0), new))
