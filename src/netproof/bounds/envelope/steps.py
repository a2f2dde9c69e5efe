"""Better envelopes: accelerated first-order steps on the bound, its corners rounded off.

The bound is a Lagrangian dual: every neuron has a copy ``z_j`` of the input (in coordinates of
:mod:`netproof.bounds.envelope.layer`), ``y`` is the one that all share, and the derivative in the price ``r_ji`` is
``reach_ji`` times the difference of the two. At a vertex it jumps, and steps stall. So every linear program in it is
smoothed by a quadratic term (Nesterov, *Smooth minimization of non-smooth functions*, Math. Program. 2005): with a
marginal price ``t_j`` a copy is ``z_ji = clamp(1/2 + (t_j - r_ji) / width_j)`` instead of a jump at ``r_ji = t_j``, the
shared point likewise, and widths shrink from step to step. The second derivative in the scaled prices
``r_ji / width_j`` is about ``reach_ji``, so that steps are taken in that metric: their length is a share of the width.

A copy is a mixture of two: where it is cheapest to stay (``t = 0``), and where the slope of the staircase pays for the
way (``t = c / step``). Each ``t`` is corrected where its copy leaves the range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.dual import given
from netproof.bounds.envelope.above import Above
from netproof.bounds.envelope.bound import EnvelopePoint, evaluate_above, evaluate_envelopes
from netproof.bounds.envelope.layer import LayerBox
from netproof.bounds.envelope.stored import StoredPrices
from netproof.bounds.objective import Objective
from netproof.bounds.relaxation import Relaxation
from netproof.effort.envelope import ENVELOPE, Schedule
from netproof.operators.hulls.hull import Conjugate
from netproof.rows import Rows


@dataclass(frozen=True, eq=False)
class Envelopes(Rows):
    """Multipliers of the bound with envelopes.

    Attributes
    ----------
    prices : of the first layer
    s : multipliers of all activations, of which that of the first one means nothing
    value : ``[B]``, the bound, as good as the dtype
    middle : ``[B, n]``, an input on whose neighbourhood the copies agree, from 0 (the lower end) to 1
    """

    prices: StoredPrices
    s: tuple[Tensor, ...]
    value: Tensor
    middle: Tensor


def improve(
    relaxation: Relaxation,
    box: LayerBox,
    objective: Objective,
    prices: Tensor,
    s: Sequence[Tensor],
    schedules: Sequence[Schedule],
) -> Envelopes:
    """Lower the bounds of a batch from prices ``[B, m, n]`` and multipliers ``s`` above the first layer.

    What a schedule leaves open begins the next one at its best multipliers, where it is promising.
    """
    parts = []
    for rows in torch.split(torch.arange(len(objective)), ENVELOPE.improved):
        relaxed, asked = relaxation.take(rows), objective.take(rows)
        run = _Run(relaxed, box, asked, prices[rows], [m[rows] for m in s])
        most = ENVELOPE.promising * run.start
        found = run.go(schedules[0])
        for schedule in schedules[1:]:
            left = ((found.value >= schedule.goal) & (found.value <= most)).nonzero()[:, 0]
            if not len(left):
                break
            best = found.take(left)
            run = _Run(relaxed.take(left), box, asked.take(left), best.prices.values(prices.dtype), best.s)
            found = found.put(left, run.go(schedule))
        parts.append(found)
    return Envelopes.concatenate(parts)


class _Run:
    """The steps of a few rows.

    Attributes
    ----------
    start : ``[B]``, the bounds that they begin with
    """

    def __init__(
        self,
        relaxation: Relaxation,
        box: LayerBox,
        objective: Objective,
        prices: Tensor,
        s: Sequence[Tensor],
    ) -> None:
        self._relaxation, self._box, region = relaxation, box, relaxation.region
        self._objective = objective
        self._sign = torch.where(box.swing > 0, 1.0, -1.0).to(prices.dtype)
        self._width = region.upper - region.lower
        self._total = box.reach.sum(-1).clamp(min=1e-9)
        self._rows = torch.arange(len(prices))
        self._prices, self._last = prices.clone(), prices.clone()
        short, point = self._evaluate(s)
        unit = (point.received / self._box.layer.step).abs()
        #: what a step of the staircase pays; neurons that pay next to nothing move with the others
        self._unit = torch.maximum(unit, ENVELOPE.least_unit * unit.amax(-1, keepdim=True)).clamp(min=1e-9)
        self._weight = (self._unit @ self._box.reach).clamp(min=1e-9)
        self.start = point.value
        self._above = Above(relaxation, objective, s, point.above)
        self._middle = middle = torch.full_like(point.above.x, 0.5)
        self._best = Envelopes(short, tuple(m.clone() for m in s), point.value.clone(), middle)
        self._stay = self._rise = torch.zeros_like(self._unit)
        self._start_branches(point)

    def go(self, schedule: Schedule) -> Envelopes:
        width = schedule.width
        for count in range(schedule.steps):
            self._step(width)
            width *= schedule.shrink
            if count % ENVELOPE.every == ENVELOPE.every - 1 or count == schedule.steps - 1:
                short, point = self._evaluate(self._above.s)
                self._keep(short, point)
                running = (self._best.value[self._rows] >= schedule.goal).nonzero()[:, 0]
                if not len(running):
                    break
                self._start_branches(point)
                if len(running) < len(self._rows):
                    self._take(running)
        return self._best

    def _evaluate(self, s: Sequence[Tensor]) -> tuple[StoredPrices, EnvelopePoint]:
        """The bound at the prices as they are stored."""
        short = StoredPrices.of(self._prices)
        prices, multipliers = short.values(self._prices.dtype), given(s)
        return short, evaluate_envelopes(
            self._relaxation, self._box, self._objective, multipliers, prices, short.order()
        )

    def _keep(self, short: StoredPrices, point: EnvelopePoint) -> None:
        gained = (point.value < self._best.value[self._rows]).nonzero()[:, 0]
        if len(gained):
            rows = self._rows[gained]
            self._best.prices.units[rows], self._best.prices.exponent[rows] = (
                short.units[gained],
                short.exponent[gained],
            )
            self._best.value[rows] = point.value[gained]
            for kept, now in zip(self._best.s, self._above.s, strict=True):
                kept[rows] = now[gained]
        self._best.middle[self._rows] = self._middle

    def _take(self, rows: Tensor) -> None:
        self._rows = self._rows[rows]
        self._relaxation, self._objective = self._relaxation.take(rows), self._objective.take(rows)
        self._prices, self._last = self._prices[rows], self._last[rows]
        self._unit, self._weight = self._unit[rows], self._weight[rows]
        self._stay, self._rise = self._stay[rows], self._rise[rows]
        self._above.take(rows)

    def _start_branches(self, point: EnvelopePoint) -> None:
        """The corrections of both copies' marginal prices, as the evaluation finds them."""
        layer, c = self._box.layer, point.received
        low, high = self._relaxation.region.range_lower[0], self._relaxation.region.range_upper[0]
        cost = c[..., None] * layer.images - point.levels
        stay = cost.argmin(-1, keepdim=True)
        self._stay = _price_of_range(point, stay, torch.zeros_like(c), low, high)
        number = torch.arange(layer.images.shape[1])
        beyond = torch.where((c > 0)[..., None], number > stay, number < stay)
        rise = torch.where(beyond, point.levels, -torch.inf).argmax(-1, keepdim=True)
        self._rise = _price_of_range(point, rise, c / layer.step, *_slope(self._box, c, low, high))

    def _step(self, width: float) -> None:
        box, layer, sign = self._box, self._box.layer, self._sign
        low, high = self._relaxation.region.range_lower[0], self._relaxation.region.range_upper[0]
        above = evaluate_above(self._relaxation, self._objective, given(self._above.s))
        c = above.v[0]
        c = torch.zeros_like(low) if c is None else c
        wide = width * self._unit
        slope = c / layer.step
        # Staying where it is cheapest.
        stay_z, stay_way, stay_cost = self._copy(self._stay, wide)
        stay_a = box.least + stay_way
        stay_at = torch.minimum(torch.maximum(stay_a, low), high)
        stay_level = _levels(box, stay_at)
        base = layer.images[:, 0]
        stay = c * (base + stay_level) - stay_cost - self._stay * (stay_at - stay_a)
        up = c > 0
        start, stop = _slope(box, c, low, high)
        rise_z, rise_way, rise_cost = self._copy(slope + self._rise, wide)
        rise_a = box.least + rise_way
        rise_at = torch.minimum(torch.maximum(rise_a, start), stop)
        rise_level = _levels(box, start) + (rise_at - start) / layer.step
        rise = c * (base + rise_level) - rise_cost - (slope + self._rise) * (rise_at - rise_a)
        usable = (stop >= start) & torch.where(up, stop > stay_at, start < stay_at)
        share = torch.sigmoid((rise - stay) / (wide * self._total * ENVELOPE.softness))
        share = torch.where(usable, share, 0.0)
        image = base + torch.lerp(stay_level, torch.where(usable, rise_level, 0.0), share)
        self._stay = _corrected(self._stay, stay_a, low, high, wide / self._total)
        self._rise = _corrected(self._rise, rise_a, start, stop, wide / self._total)
        # The point that all share, and the step towards agreement.
        pull = (self._prices * box.swing).sum(1) + above.input_coefficients * self._width
        y = (pull / (width * self._weight) + 0.5).clamp_(0, 1)
        self._middle = y
        z = torch.lerp(stay_z, rise_z, share[..., None], out=stay_z)
        # z less y, or less 1 - y where the corner that the neuron measures from is the upper end
        z.addcmul_(sign, (0.5 - y)[:, None]).sub_(0.5)
        new = z.mul_((ENVELOPE.step * wide)[..., None]).add_(self._prices)
        torch.lerp(self._last, new, 1 + ENVELOPE.momentum, out=self._last)
        self._prices, self._last = self._last, new
        conjugate = Conjugate(stay, stay_at, image)
        conjugates = (conjugate, *above.conjugates[1:])
        self._above.step(replace(above, conjugates=conjugates))

    def _copy(self, price: Tensor, wide: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A smoothed copy at marginal prices, how far it goes, and what that costs."""
        inverse = 1 / wide
        z = self._prices * -inverse[..., None]
        z.add_((price * inverse + 0.5)[..., None]).clamp_(0, 1)
        moved = z * self._box.reach
        way = moved.sum(-1)
        return z, way, moved.mul_(self._prices).sum(-1)


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
