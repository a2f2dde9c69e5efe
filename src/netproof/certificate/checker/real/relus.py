"""What a bound needs of ReLUs: multipliers ``s`` of their operands ``a``, and what ``v max(a, 0) - s a`` is at most over ranges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.numbers import TINY, Float64
from netproof.certificate.checker.real.operators import Array

Floats = NDArray[np.float64]
Index = NDArray[np.int64]


class Ranges(NamedTuple):
    """The ranges of the operand in some cells, ``[C, n]`` each, and which of them every row has: None where there is one cell, or
    one for each row."""

    low: Floats
    high: Floats
    of: Index | None = None

    def each(self, values: Array) -> Array:
        """What cells have, row by row."""
        return values if self.of is None else values[self.of]

    @staticmethod
    def taken(low: Floats, high: Floats, cell: Index) -> Ranges:
        """Those of the cells that rows name."""
        if len(low) == 1 or not len(cell):
            return Ranges(low, high)
        first, last = int(cell.min()), int(cell.max()) + 1
        of = cell - first
        in_order = len(of) == last - first and bool((of == np.arange(len(of))).all())
        return Ranges(low[first:last], high[first:last], None if in_order else of)


class Said(NamedTuple):
    """What rows say, ``[R, n]`` each, None for nothing: slopes where ``v`` is negative (NaN for that of the rule), what is added;
    and which rows, ``[R]``, have no multipliers besides."""

    given: Floats | None = None
    added: Floats | None = None
    flat: NDArray[np.bool_] | None = None


def rectified(numbers: Float64, v: Array, ranges: Ranges, said: Said) -> tuple[Array, Array]:
    """Multipliers ``[R, n]``, and the sum over features of what ``v max(a, 0) - s a`` is at most over the ranges, ``[R]``."""
    if numbers.exact or said.added is not None or said.flat is not None:
        return _at_corners(numbers, v, ranges, said)
    low, high, _ = ranges
    # Where the function is one line the multiplier is the line's, and the maximum 0.
    columns = np.flatnonzero(((low < 0) & (high > 0)).any(0))
    if 2 * len(columns) >= v.shape[1]:
        return _by_lines(v, ranges, said.given)
    s = v * ranges.each((low >= 0) * 1.0)
    given = None if said.given is None else said.given[:, columns]
    s[:, columns], share = _by_lines(v[:, columns], Ranges(low[:, columns], high[:, columns], ranges.of), given)
    return s, share


def _lines(low: Floats, high: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Slopes for positive and for negative ``v`` by the rule, and which ranges hold 0 inside; those of others are the function's."""
    # With ends of 0 in the place of those beyond it: the lines of all three kinds of features at once.
    first, last = np.minimum(low, 0.0), np.maximum(high, 0.0)
    return last / (last - first + TINY), np.where(low + high > 0, 1.0, 0.0), (low < 0) & (high > 0)


def _by_lines(v: Floats, ranges: Ranges, given: Floats | None) -> tuple[Floats, Floats]:
    """The same in float64 where nothing is added. With the slope ``p``, the maximum is ``|v|`` times a number of the range: the largest
    of ``-p l``, ``(1 - p) u`` and 0 where ``v`` is positive, and of ``p l``, ``(p - 1) u`` and 0 where it is negative. What ``p v``
    and ``s`` differ by is in the error term."""
    low, high, _ = ranges
    chord, below, is_open = _lines(low, high)
    first, last = np.minimum(low, 0.0), np.maximum(high, 0.0)
    most = np.maximum(-chord * first, (1 - chord) * last) * (1 + 2.0**-50)
    rising, falling = np.maximum(v, 0.0), np.minimum(v, 0.0)
    s, share = rising * ranges.each(chord), None
    # Slopes of the rule are 0 and 1, by which nothing is above 0 where v is negative.
    if given is None:
        falling *= ranges.each(below)
    else:
        p = np.where(ranges.each(is_open) & ~np.isnan(given), given, ranges.each(below))
        if ((p < 0) | (p > 1)).any():
            steep = np.maximum(np.maximum(p * ranges.each(first), (p - 1) * ranges.each(last)), 0.0) * (1 + 2.0**-50)
            share = (-falling * steep).sum(1)
        falling *= p
    s += falling
    if len(most) == 1:
        above = rising @ most[0]
    else:
        rising *= ranges.each(most)
        above = rising.sum(1)
    return s, above if share is None else above + share


def _at_corners(numbers: Float64, v: Array, ranges: Ranges, said: Said) -> tuple[Array, Array]:
    """The same of any multipliers in any arithmetic: the maximum is at an end of the range, or at 0."""
    low, high = ranges.each(ranges.low), ranges.each(ranges.high)
    chord, below, is_open = _lines(low, high)
    near = numbers.near(v)
    if said.given is not None:
        below = np.where(is_open & ~np.isnan(said.given), said.given, below)
    rising = np.maximum(near, 0.0)
    part = chord * rising + below * (near - rising)
    part = part if said.flat is None else np.where(said.flat[:, None], 0.0, part)
    part = part if said.added is None else part + said.added
    taken, best = numbers.load(part), None
    for corner in (low, high, np.minimum(np.maximum(low, 0.0), high)):
        a, h = numbers.load(corner), numbers.load(np.maximum(corner, 0.0))
        here = v * h - taken * a
        best = here if best is None else numbers.maximum(best, here)
    assert best is not None
    return taken, np.asarray(best.sum(1))
