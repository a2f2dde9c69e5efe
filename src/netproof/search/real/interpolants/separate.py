"""A half-space that holds a cover of a layer's values, and leaves out points of it: the widest gap, by linear programs.

Of all ``a . z + b`` that are at least 0 wherever the case may hold, the one is looked for that is farthest below 0 at points that the
layer attains. How far is far is said by ranges: what they leave open beyond these points, weighed by ``a``, is 1. Ranges alone
therefore part the two where the gap is more than 1.

The cover is not convex, and has as many corners as there are boxes times what a line cuts off them. Corners come in one
by one, where the half-space of the corners so far leaves one out (Kelley, *The cutting-plane method for solving convex programs*, 1960).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from netproof.effort.real import INTERPOLANT
from netproof.graph.rounding import gamma
from netproof.search.real.interpolants.tail import Cover
from netproof.solvers.highs.model import ModelBuilder, Status
from netproof.solvers.highs.solve import HighsProcess


@dataclass(frozen=True, eq=False)
class Least:
    """The least of ``a . z`` on every box of a cover where its line is at least 0.

    Attributes
    ----------
    value : ``[B]``, a lower bound of it over the real numbers
    point : ``[B, n]``, where it is attained, up to rounding
    """

    value: Tensor
    point: Tensor


def least_on(cover: Cover, a: Tensor) -> Least:
    """Of ``a`` ``[n]``, float64: a continuous knapsack (Dantzig, *Discrete-variable extremum problems*, 1957).

    From the corner at which ``a . z`` is least, sides are walked along in the order of what a rise of the line by 1 costs. The price
    of the last one is a multiplier of the line, and what it proves is evaluated by itself, with all rounding.
    """
    low, high, slope = cover.low, cover.high, cover.slope
    width = high - low
    towards = torch.where(a == 0, slope > 0, a < 0)
    corner = torch.where(towards, high, low)
    lack = -((slope * corner).sum(1) + cover.offset)
    helps = torch.where(towards, slope < 0, slope > 0) & (width > 0) & (a != 0)
    price = torch.where(helps, a.abs() / slope.abs(), torch.inf)
    gain = torch.where(helps, slope.abs() * width, 0.0)
    order = price.argsort(1)
    price, gain = price.gather(1, order), gain.gather(1, order)
    before = gain.cumsum(1) - gain
    share = ((lack[:, None] - before) / torch.where(gain > 0, gain, 1.0)).clamp(0, 1)
    share = torch.where(gain > 0, share, 0.0)
    moved = torch.zeros_like(share).scatter(1, order, share)
    point = corner + torch.where(towards, -1.0, 1.0) * moved * width
    paid = torch.where((share > 0) & torch.isfinite(price), price, 0.0).amax(1)
    return Least(_proven(cover, a, torch.where(lack > 0, paid, 0.0)), point)


def _proven(cover: Cover, a: Tensor, price: Tensor) -> Tensor:
    """What a multiplier ``[B]`` of at least 0 of each line proves: ``min (a - price slope) . z - price offset`` over the box."""
    left = a - price[:, None] * cover.slope
    terms = torch.minimum(left * cover.low, left * cover.high)
    shift = price * cover.offset
    size = (a.abs() + (price[:, None] * cover.slope).abs()) * torch.maximum(cover.low.abs(), cover.high.abs())
    # What underflow takes is far less than the constant.
    error = gamma(2 * cover.low.shape[1] + 16) * (size.sum(1) + shift.abs()) + 2.0**-1000
    value = terms.sum(1) - shift - error
    return torch.where(value.isnan(), -torch.inf, value)


@dataclass(frozen=True, eq=False)
class Points:
    """Values that a layer attains, and what its ranges leave open beyond them.

    Attributes
    ----------
    value : ``[P, n]``
    below : ``[P, n]``, what counts in their place where a coefficient is negative: what comes into the ReLU, where it is on at all
        points, since that is no more than what comes out of it and has no kink
    straight : ``[n]`` bool, where that is so
    low, high : ``[n]``, between which relaxations see them: what comes in where it is straight, and what comes out elsewhere
    """

    value: Tensor
    below: Tensor
    straight: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, incoming: Tensor, low: Tensor, high: Tensor) -> Points:
        """Of what comes into the ReLU, ``[P, n]``; ``low`` is for what comes in, ``high`` for what comes out, ``[n]``."""
        value = incoming.clamp(min=0)
        straight = (incoming > 0).all(0)
        return cls(
            value,
            torch.where(straight, incoming, value),
            straight,
            torch.where(straight, low, low.clamp(min=0)),
            high.clamp(min=0),
        )

    @property
    def reach(self) -> tuple[Tensor, Tensor]:
        """How far ranges go beyond all points, upwards and downwards: ``[n]`` each, and nowhere nothing."""
        width = (self.high - self.low).clamp(min=0)
        # Where nothing is open at all any unit will do.
        least = INTERPOLANT.least_reach * (width + 1e-3 * (float(width.max()) or 1.0))
        up = (self.high - self.value.amax(0)).maximum(least)
        return up, (self.below.amin(0) - self.low).maximum(least)


@dataclass(frozen=True, eq=False)
class Halfspace:
    """``a . z + b >= 0``.

    Attributes
    ----------
    a : ``[n]``
    b : at which all of the cover is in it, over the real numbers
    gap : how far below 0 it is at all points, in units of what ranges leave open
    binding : ``[B]`` bool, the boxes of the cover that keep it from being wider
    low, high : ``[n]``, between which all of the cover lies
    """

    a: Tensor
    b: float
    gap: float
    binding: Tensor
    low: Tensor
    high: Tensor

    def holds(self, cover: Cover) -> Tensor:
        """Which boxes are in it, and within ``low`` and ``high``, where their lines are at least 0: ``[B]`` bool."""
        inside = (cover.low >= self.low).all(1) & (cover.high <= self.high).all(1)
        return inside & (least_on(cover, self.a).value + self.b >= 0)

    def confined(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """What is left of ranges ``[n]`` of values for those of the cover: what the half-space says of one value, if the others are
        at their best ends, is said of it. What comes back may cross."""
        low, high = low.maximum(self.low), high.minimum(self.high)
        n = len(self.a)
        for _ in range(2):
            best = torch.maximum(self.a * low, self.a * high)
            size = (self.a.abs() * torch.maximum(low.abs(), high.abs())).sum() + abs(self.b)
            # a_j z_j >= -b - (the best of all others), with all that rounding may take from these sums.
            others = best.sum() - best
            least = -self.b - others - gamma(4 * n + 16) * size
            end = least / self.a
            end = end - (end.abs() * 2.0**-50 + 2.0**-1000) * self.a.sign()
            says = torch.isfinite(end)
            low = torch.where(says & (self.a > 0), end.maximum(low), low)
            high = torch.where(says & (self.a < 0), end.minimum(high), high)
        return low, high


def separate(cover: Cover, points: Points, solver: HighsProcess, deadline: float) -> Halfspace | None:
    """The half-space with the widest gap, None where there is none or no time.

    Raises
    ------
    SolverError : the solver's process died
    """
    corners = torch.zeros(0, cover.low.shape[1], dtype=torch.float64)
    for _ in range(INTERPOLANT.programs):
        found = _widest(corners, points, solver, deadline)
        if found is None or not found[2] > INTERPOLANT.least_gap:
            return None
        a, b, gap = found
        least = least_on(cover, a)
        left_out = least.value + b
        tolerance = INTERPOLANT.tolerance * gap
        if not bool((left_out < -tolerance).any()):
            break
        worst = left_out.argsort()[: INTERPOLANT.corners]
        corners = torch.cat([corners, least.point[worst[left_out[worst] < -tolerance]]])
    a = _short(a)
    least = least_on(cover, a)
    low = float(least.value.amin())
    if not (-torch.inf < low < torch.inf and bool((a != 0).any())):
        return None
    b = -low + 2.0**-50 * abs(low)
    reached = points.value @ a.clamp(min=0) + points.below @ a.clamp(max=0)
    binding = least.value <= low + INTERPOLANT.binding * abs(gap)
    return Halfspace(a, b, -float(reached.max() + b), binding, cover.low.amin(0), cover.high.amax(0))


def _short(a: Tensor) -> Tensor:
    """With few digits, and without what is next to nothing."""
    mantissa, exponent = torch.frexp(a)
    short = torch.ldexp((mantissa * 2.0**INTERPOLANT.digits).round() / 2.0**INTERPOLANT.digits, exponent)
    return torch.where(a.abs() < INTERPOLANT.least_weight * a.abs().max(), 0.0, short)


def _widest(
    corners: Tensor, points: Points, solver: HighsProcess, deadline: float
) -> tuple[Tensor, float, float] | None:
    """Maximize the gap ``t``: ``a . z + b <= -t`` at points, at least 0 at corners, ``a = p - q`` with ``p . up + q . down <= 1``."""
    n = corners.shape[1]
    up, down = (part.numpy() for part in points.reach)
    builder = ModelBuilder()
    builder.columns(np.zeros(2 * n), 1 / np.concatenate([up, down]))
    offset = builder.column(-np.inf, np.inf)
    gap = builder.column(-1.0, INTERPOLANT.widest, cost=-1.0)
    every = list(range(2 * n + 2))
    for above, below in zip(points.value.numpy(), points.below.numpy(), strict=True):
        builder.row(every, np.concatenate([above, -below, [1.0, 1.0]]), -np.inf, 0.0)
    for corner in corners.numpy():
        builder.row(every[:-1], np.concatenate([corner, -corner, [1.0]]), 0.0, np.inf)
    builder.row(every[: 2 * n], np.concatenate([up, down]), -np.inf, 1.0)
    solution = solver.solve(builder.build(), deadline, relaxed=True)
    if solution.status is not Status.OPTIMAL or solution.point is None or not np.isfinite(solution.point).all():
        return None
    point = torch.from_numpy(solution.point.copy())
    return point[:n] - point[n : 2 * n], float(point[offset]), float(point[gap])
