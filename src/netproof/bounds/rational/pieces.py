"""Functions of one number that consist of straight pieces, in rational numbers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.base import Activation

ZERO, ONE = Fraction(0), Fraction(1)
Interval = tuple[Fraction, Fraction]


class Lower(Enum):
    """Which multiplier a feature gets that is bent on its range: 0, or the slope of its hull's piece in the middle, at the
    left, at the right."""

    INTERVAL = "interval"
    NEARER = "nearer"
    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True)
class Pieces:
    """A continuous function: where it bends, what it is at the first bend, and its slopes before, between and after them."""

    bends: tuple[Fraction, ...]
    first: Fraction
    slopes: tuple[Fraction, ...]

    @classmethod
    def of(cls, operator: Activation) -> Pieces | None:
        """The function of an activation; None where it is another one."""
        if isinstance(operator, ReLU):
            return cls((ZERO,), ZERO, (ZERO, ONE))
        if isinstance(operator, LeakyReLU):
            return cls((ZERO,), ZERO, (Fraction(operator.alpha), ONE))
        if isinstance(operator, Abs):
            return cls((ZERO,), ZERO, (-ONE, ONE))
        if not isinstance(operator, Clip):
            return None
        # Ends at infinity are none.
        ends = [end for end in (operator.low, operator.high) if abs(end) != float("inf")]
        bends = tuple(map(Fraction, ends))
        if not bends or operator.low == operator.high:
            return None
        after = (ZERO,) if operator.high in ends else (ONE,)
        slopes = (
            (ZERO, ONE, ZERO) if len(bends) == 2 else ((ONE, *after) if operator.low not in ends else (ZERO, *after))
        )
        return cls(bends, bends[0], slopes)

    def at(self, a: Fraction) -> Fraction:
        """The value at ``a``."""
        value, before = self.first, self.bends[0]
        if a <= before:
            return value + self.slopes[0] * (a - before)
        for bend, slope in zip(self.bends[1:], self.slopes[1:], strict=False):
            if a <= bend:
                break
            value, before = value + slope * (bend - before), bend
        return value + self.slope(a) * (a - before)

    def slope(self, a: Fraction) -> Fraction:
        """The slope at ``a``; at a bend that of the piece before it."""
        return self.slopes[sum(bend < a for bend in self.bends)]

    def inside(self, within: Interval) -> list[Fraction]:
        """Bends strictly inside an interval."""
        low, high = within
        return [bend for bend in self.bends if low < bend < high]

    def image(self, within: Interval) -> Interval:
        """The least and the largest value on an interval."""
        values = [self.at(a) for a in (within[0], *self.inside(within), within[1])]
        return min(values), max(values)

    def piece(self, within: Interval) -> tuple[Fraction, Fraction, Fraction | None, Fraction | None]:
        """On an interval without bends inside: slope, value at 0, and the bends at the ends of the piece, None where it has none."""
        middle = (within[0] + within[1]) / 2
        number = sum(bend < middle for bend in self.bends)
        slope = self.slopes[number]
        before = self.bends[number - 1] if number else None
        after = self.bends[number] if number < len(self.bends) else None
        return slope, self.at(middle) - slope * middle, before, after

    def relax(self, v: Fraction, within: Interval, lower: Lower) -> tuple[Fraction, Fraction]:
        """A multiplier ``s``, and ``max { v f(a) - s a }`` over an interval, attained at an end or at a bend."""
        low, high = within
        points = [low, *self.inside(within), high]
        values = [v * self.at(a) for a in points]
        if low == high:
            slope = self.slope(low)
            return v * slope, values[0] - v * slope * low
        if lower is Lower.INTERVAL:
            return ZERO, max(values)
        s = _slope(points, values, lower)
        return s, max(value - s * a for a, value in zip(points, values, strict=True))


def _slope(points: list[Fraction], values: list[Fraction], lower: Lower) -> Fraction:
    """The slope of one side of the least concave function that is nowhere below some points."""
    hull: list[int] = []
    for new in range(len(points)):
        while len(hull) > 1 and _rise(points, values, hull[-1], new) >= _rise(points, values, hull[-2], hull[-1]):
            hull.pop()
        hull.append(new)
    sides = list(itertools.pairwise(hull))
    if lower is Lower.LEFT or len(sides) == 1:
        return _rise(points, values, *sides[0])
    if lower is Lower.RIGHT:
        return _rise(points, values, *sides[-1])
    middle = (points[0] + points[-1]) / 2
    return _rise(points, values, *next(side for side in sides if middle <= points[side[1]]))


def _rise(points: list[Fraction], values: list[Fraction], i: int, j: int) -> Fraction:
    return (values[j] - values[i]) / (points[j] - points[i])
