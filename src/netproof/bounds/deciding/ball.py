"""The largest value of a linear form on a box and in a ball around a point: what takes the box's place in a bound there.

For a ball ``|| w * (x - c) || <= r`` and ``y`` the point of the box nearest to ``c``, every point of both is ``y`` plus a move ``d``
along which coordinates only leave ``c``, so that what is left of the radius bounds the moves alone. With any multiplier
``t >= 0`` of that (Lagrangian duality)

    max v . x  <=  v . y  +  t r  +  sum_i max { |v_i| d - t w_i d   : 0 <= d <= d_i }        in the l1 norm,
    max v . x  <=  v . y  +  t r2 +  sum_i max { |v_i| d - t w_i2 d2 : 0 <= d <= d_i }        in the l2 norm,

``d_i`` how far coordinate ``i`` can go in the direction of ``v_i``. The best multiplier is found in one pass over the coordinates in
order: in l1 in that of ``|v_i| / w_i`` (a continuous knapsack, spent when the radius is), in l2 in the order in which they come to
their ends as the multiplier falls. Without a box these are the dual norms, ``r max |v_i / w_i|`` and ``r || v / w ||``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.backward import box_maximum
from netproof.bounds.region import Region
from netproof.operators.sums import feature_sum

if TYPE_CHECKING:
    from jaxtyping import Float

_UNIT = 2.0**-53
#: no divisor is smaller; how far moves reach for a pull of 1 is between its root and the reciprocal of that
_TINY = 2.0**-100
_REACH = 2.0**-50


@dataclass(frozen=True, eq=False)
class BallMaximum:
    """``max { v . x + constant }`` over the box of a region and a ball, called like :func:`netproof.bounds.backward.box_maximum`.

    In float64 an upper bound for ``v`` and ``constant`` as they are: in real arithmetic where the ball is what bounds, and where the
    box does as good as :func:`netproof.bounds.backward.box_maximum`, for whose rounding whoever calls accounts. In float32 as good as that.

    Attributes
    ----------
    norm : ``l1`` or ``l2``
    center, weight : ``[n]`` float64; weights are above 0
    radius : a ball that is meant lies in the one of these numbers, however they were rounded
    """

    norm: str
    center: Float[Tensor, " n"]
    weight: Float[Tensor, " n"]
    radius: float

    def __call__(
        self, constant: Float[Tensor, "*#B"], v: Float[Tensor, "*#B n"], region: Region
    ) -> Float[Tensor, "*B"]:
        box = box_maximum(constant, v, region)
        lower, upper = region.lower, region.upper
        if v.ndim > 2:
            lower, upper = lower[:, None], upper[:, None]
        center, weight = self.center.to(v.device, v.dtype), self.weight.to(v.device, v.dtype)
        near = torch.minimum(torch.maximum(center, lower), upper)
        size, moved = v.abs(), weight * (center - near).abs()
        room = torch.where(v > 0, upper - near, near - lower)
        above = self._moves(size, moved, room, weight)
        # Sums of as many terms as there are inputs, each off by a few units; what cancels is no larger than the terms.
        slack = 8 * (v.shape[-1] + 64) * _UNIT
        terms = feature_sum(size * torch.maximum(lower.abs(), upper.abs())) + constant.abs()
        ball = constant + feature_sum(v * near) + (above * (1 + slack) + slack * terms)
        return torch.where(ball < box, ball, box)  # which is the box where something is not a number

    def at(self, v: Float[Tensor, "B n"], region: Region) -> Float[Tensor, "B n"]:
        """Where the maximum is attained, up to rounding; within the ball for a center in the box."""
        center, weight = self.center.to(v.device, v.dtype), self.weight.to(v.device, v.dtype)
        near = torch.minimum(torch.maximum(center, region.lower), region.upper)
        size, moved = v.abs(), weight * (center - near).abs()
        room = torch.where(v > 0, region.upper - near, near - region.lower)
        if self.norm == "l1":
            left = (self.radius - feature_sum(moved)).clamp(min=0)
            order = torch.where(room > 0, size / weight, -1.0).argsort(-1, descending=True)
            cost = (room * weight).gather(-1, order)
            spent = (left[..., None] - (cost.cumsum(-1) - cost)).clamp(min=0)
            moves = torch.zeros_like(cost).scatter(-1, order, torch.minimum(cost, spent)) / weight
        else:
            left = (self.radius * self.radius - feature_sum(moved * moved)).clamp(min=0)
            price = self._price_squared(size, room, weight, left)
            moves = torch.minimum(room, size / (2 * price[..., None] * weight * weight))
        return near + v.sign() * moves

    def _moves(self, size: Tensor, moved: Tensor, room: Tensor, weight: Tensor) -> Tensor:
        """What moves away from the nearest point add at the most, for sizes ``|v|`` ``[..., n]``: ``[...]``."""
        more, less = 1 + 16 * _UNIT, 1 - 16 * _UNIT
        if self.norm == "l1":
            left = (self.radius * more - feature_sum(moved) * (1 - 4 * (size.shape[-1] + 64) * _UNIT)).clamp(min=0)
            price = self._price(size, room, weight, left)
            gained = (size * more - price[..., None] * (weight * less)).clamp(min=0)
            return price * left + feature_sum(gained * room)
        spent = feature_sum(moved * moved) * (1 - 4 * (size.shape[-1] + 64) * _UNIT)
        left = (self.radius * self.radius * more - spent).clamp(min=0)
        price = self._price_squared(size, room, weight, left)
        curved = price[..., None] * (weight * weight)
        stops = 2 * curved * room <= size
        gained = torch.where(stops, room * (size - curved * room), size * size / (4 * curved))
        # Nothing is gained where nothing can move, or nothing pulls.
        return price * left + feature_sum(torch.where((room > 0) & (size > 0), gained, 0.0))

    def _price(self, size: Tensor, room: Tensor, weight: Tensor, left: Tensor) -> Tensor:
        """The best multiplier in l1: the ratio of the move at which the radius is spent, 0 where it never is."""
        with torch.no_grad():
            ratio, order = (size / weight).sort(-1, descending=True)
            spent = (room * weight).expand(order.shape).gather(-1, order).cumsum(-1)
            over = spent >= left[..., None]
            first = over.to(torch.uint8).argmax(-1, keepdim=True)
            return torch.where(over.any(-1), ratio.gather(-1, first)[..., 0], 0.0)

    def _price_squared(self, size: Tensor, room: Tensor, weight: Tensor, left: Tensor) -> Tensor:
        """The best multiplier in l2: the one against which moves, as far as they are not at an end, spend the radius."""
        with torch.no_grad():
            # A move against ``price`` is ``pull / (2 price)``, as long as that is not past its end.
            pull = torch.where(room > 0, (size / weight).square(), 0.0)
            whole = torch.where(pull > 0, (weight * room).square(), 0.0)
            stops, order = torch.where(pull > 0, whole / pull, torch.inf).sort(-1)
            pull, whole = pull.gather(-1, order), whole.expand(order.shape).gather(-1, order)
            used = whole.cumsum(-1) - whole  # by those that have come to an end before
            rest = pull.flip(-1).cumsum(-1).flip(-1)
            over = (used + stops * rest >= left[..., None]) & (rest > 0)
            first = over.to(torch.uint8).argmax(-1, keepdim=True)
            square = (left - used.gather(-1, first)[..., 0]).clamp(min=0) / rest.gather(-1, first)[..., 0].clamp(
                min=_TINY
            )
            reach = torch.where(over.any(-1), square.sqrt(), torch.inf)
            return 0.5 / reach.clamp(_REACH, 1 / _REACH)
