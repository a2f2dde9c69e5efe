"""One staircase on a range as rows of a mixed-integer linear program.

Both formulations are tight: dropped integrality leaves exactly the convex hull of the points
``(a, f(a))``.

* *Ordered binaries* (the incremental formulation; Markowitz and Manne, Econometrica 1957): one binary
  ``z_k`` for each threshold ``t_k`` in the range ``[l, u]``, ``1 >= z_1 >= ... >= z_n >= 0``, and

      h = f(l) + sum jump_k z_k
      l + sum (t_k - t_{k-1}) z_k  <=  a  <=  t_1 - 1 + sum (t_{k+1} - t_k) z_k       (t_0 = l, t_{n+1} = u + 1)

* *One integer level*, where the thresholds in the range are equidistant (distance ``d``) and every
  jump is 1: with ``q = h - f(l)`` in ``0..n``, ``t_1 + d (q - 1) <= a <= t_1 + d q - 1`` except on the outermost
  levels, which may be longer than ``d``. A longer one gets a binary that says whether ``a`` has left
  (reached) it; a shorter one gets the row of the hull's shorter edge.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from netproof.solvers.highs.model import Floats, ModelBuilder

#: fewer thresholds than this are left to ordered binaries, which need no more columns then
_FEW = 3


@dataclass(frozen=True, eq=False)
class StepEncoding:
    """The part of a staircase that lies in a range of its argument.

    Attributes
    ----------
    low, high : the range ``[l, u]`` of the argument
    base : ``f(l)``
    threshold, jump : ``[n]`` each: the distinct thresholds in ``(l, u]``, ascending, and by how much ``f`` rises there
    """

    low: float
    high: float
    base: float
    threshold: Floats
    jump: Floats

    @classmethod
    def within(cls, thresholds: Floats, base: float, low: float, high: float) -> StepEncoding:
        """Cut ``f(a) = base + #{k : thresholds[k] <= a}`` (ascending, repeats allowed) to ``[low, high]``."""
        first, last = np.searchsorted(thresholds, [low, high], side="right")
        threshold, jump = np.unique(thresholds[first:last], return_counts=True)
        return cls(low, high, base + float(first), threshold, jump.astype(np.float64))

    @property
    def top(self) -> float:
        """The value at the upper end of the range, ``f(u)``."""
        return self.base + float(self.jump.sum())

    def at(self, argument: float) -> float:
        """``f`` at a point of the range."""
        passed = int(np.searchsorted(self.threshold, argument, side="right"))
        return self.base + float(self.jump[:passed].sum())

    def distance(self, argument: float, image: float) -> float:
        """How far ``image`` lies above or below the convex hull of ``f`` at ``argument``."""
        rise = np.concatenate([[0.0], np.cumsum(self.jump)]) + self.base
        if self.equidistant:
            ends = np.array([0, len(self.threshold) - 1])
            upper = self.threshold[ends], rise[ends + 1]
            lower = self.threshold[ends] - 1, rise[ends]
        else:
            upper, lower = (self.threshold, rise[1:]), (self.threshold - 1, rise[:-1])
        over = image - _envelope([self.low, *upper[0], self.high], [self.base, *upper[1], self.top], argument)
        under = -image - _envelope([self.low, *lower[0], self.high], [-self.base, *-lower[1], -self.top], argument)
        return max(over, under, 0.0)

    def part(self, low: float, high: float) -> StepEncoding:
        """The same on a part of the range."""
        first, last = np.searchsorted(self.threshold, [low, high], side="right")
        base = self.base + float(self.jump[:first].sum())
        return StepEncoding(low, high, base, self.threshold[first:last], self.jump[first:last])

    @property
    def equidistant(self) -> bool:
        """Whether one integer level describes it."""
        gaps = np.diff(self.threshold)
        return len(self.threshold) >= _FEW and bool((gaps == gaps[0]).all() and (self.jump == 1).all())


@dataclass(frozen=True)
class Levels:
    """Columns of an encoded staircase: its value, and its ordered binaries (none for one integer level)."""

    value: int
    binaries: tuple[int, ...]


def encode_steps(builder: ModelBuilder, steps: StepEncoding, argument: int) -> Levels:
    """Add the rows that tie a new column to ``f`` of the column ``argument``; there must be a threshold."""
    value = builder.column(steps.base, steps.top, integer=True)
    if steps.equidistant:
        _one_level(builder, steps, argument, value)
        return Levels(value, ())
    return Levels(value, _ordered(builder, steps, argument, value))


def _ordered(builder: ModelBuilder, steps: StepEncoding, argument: int, value: int) -> tuple[int, ...]:
    count = len(steps.threshold)
    z = builder.columns(np.zeros(count), np.ones(count), integer=True)
    for before, after in itertools.pairwise(z):
        builder.row([int(before), int(after)], [1.0, -1.0], 0.0, np.inf)
    builder.row([value, *z], [1.0, *-steps.jump], steps.base, steps.base)
    left = np.diff(steps.threshold, prepend=steps.low)
    right = np.diff(steps.threshold, append=steps.high + 1)
    builder.row([argument, *z], [1.0, *-left], steps.low, np.inf)
    builder.row([argument, *z], [1.0, *-right], -np.inf, float(steps.threshold[0]) - 1)
    return tuple(int(column) for column in z)


def _one_level(builder: ModelBuilder, steps: StepEncoding, argument: int, value: int) -> None:
    low, high, base, top = steps.low, steps.high, steps.base, steps.top
    first, last = float(steps.threshold[0]), float(steps.threshold[-1])
    step, count = float(steps.threshold[1]) - first, float(len(steps.threshold))
    # Rows on the value, in terms of q = value - base: q >= left + (n - 1) reached, q <= (n - 1) left + reached.
    least, most = ([value], [1.0]), ([value], [1.0])
    least_right, most_right = base, base
    lower, upper = ([argument, value], [1.0, -step]), ([argument, value], [1.0, -step])
    lower_right, upper_right = first - step - step * base, first - 1 - step * base
    long_bottom, long_top = low < first - step, high > last + step - 1
    if long_bottom:
        left = builder.column(0.0, 1.0, integer=True)
        lower[0].append(left)
        lower[1].append(-(first - low - step))
        lower_right = low - step * base
        least[0].append(left)
        least[1].append(-1.0)
        most[0].append(left)
        most[1].append(-(count - 1))
    else:
        builder.row([argument, value], [1.0, -(first - low)], low - (first - low) * base, np.inf)
        most_right += count - 1
    if long_top:
        reached = builder.column(0.0, 1.0, integer=True)
        upper[0].append(reached)
        upper[1].append(-(high - last - step + 1))
        least[0].append(reached)
        least[1].append(-(count - 1) if long_bottom else -count)
        most[0].append(reached)
        most[1].append(-1.0)
    else:
        builder.row([argument, value], [1.0, -(high - last + 1)], -np.inf, high - (high - last + 1) * top)
        if long_bottom:
            most[1][-1] = -count
    builder.row(*lower, lower_right, np.inf)
    builder.row(*upper, -np.inf, upper_right)
    if long_bottom or long_top:
        builder.row(*least, least_right, np.inf)
        builder.row(*most, -np.inf, most_right)


def _envelope(arguments: list[float], images: list[float], at: float) -> float:
    """Height at ``at`` of the concave envelope of points sorted by argument: that of the highest chord over it."""
    x, y = np.array(arguments), np.array(images)
    left, right = x <= at, x >= at
    gap = x[right][None] - x[left][:, None]
    weight = np.where(gap > 0, (at - x[left][:, None]) / np.where(gap > 0, gap, 1.0), 0.0)
    chord = y[left][:, None] * (1 - weight) + y[right][None] * weight
    # Two points at one argument: the higher is a corner itself.
    return float(max(chord.max(), y[x == at].max(initial=-np.inf)))
