"""What a bound needs of ReLUs: multipliers ``s`` of their operands ``a``, and what ``v max(a, 0) - s a`` is at most over ranges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from netproof.certificate.checker.real.numbers import TINY, Float64
from netproof.certificate.checker.real.operators import Array

Some = Array | None


def leans(low: Array, high: Array) -> Array:
    """Whether ranges that hold 0 reach farther above it than below, by more than rounding makes of a tie: networks have many ties,
    and who adds up in another order must not come to other lines."""
    return low * (1 + 2.0**-30) + high * (1 - 2.0**-30) > 0


class Ranges(NamedTuple):
    """The ranges of the operand in some cells, ``[C, n]`` each, and which of them every row has: None where there is one cell, or
    one for each row."""

    low: Array
    high: Array
    of: Some = None

    def each(self, values: Array) -> Array:
        """What cells have, row by row."""
        return values if self.of is None else values[self.of]

    @staticmethod
    def taken(low: Array, high: Array, cell: Array) -> Ranges:
        """Those of the cells that rows name."""
        if len(low) == 1 or not len(cell):
            return Ranges(low, high)
        first, last = int(cell.min()), int(cell.max()) + 1
        of = None if np.array_equal(cell, np.arange(first, last)) else cell - first
        return Ranges(low[first:last], high[first:last], of)


def rectified(
    numbers: Float64, v: Array, ranges: Ranges, given: Some = None, added: Some = None, flat: Some = None
) -> tuple[Array, Array]:
    """Multipliers ``[R, n]``, and the sum over features of what ``v max(a, 0) - s a`` is at most over the ranges, ``[R]``.

    ``given`` are slopes where ``v`` is negative (NaN for that of the rule), ``added`` is what is added; rows ``flat`` have no
    multipliers besides.
    """
    (low, high, _), each = ranges, ranges.each
    is_open, is_plain = (low < 0) & (high > 0), not numbers.exact and added is None and flat is None
    columns = np.flatnonzero(is_open.any(0))
    if is_plain and 2 * len(columns) < v.shape[1]:
        # Where the function is one line the multiplier is the line's, and the maximum 0.
        s, some = v * each((low >= 0) * 1.0), Ranges(low[:, columns], high[:, columns], ranges.of)
        s[:, columns], share = rectified(numbers, v[:, columns], some, None if given is None else given[:, columns])
        return s, share
    # With ends of 0 in the place of those beyond it: the lines of all three kinds of features at once.
    first, last = np.minimum(low, 0.0), np.maximum(high, 0.0)
    chord, below, near = last / (last - first + TINY), each(leans(low, high) * 1.0), numbers.near(v)
    below = below if given is None else np.where(each(is_open) & ~np.isnan(given), given, below)
    rising, falling = np.maximum(near, 0.0), np.minimum(near, 0.0)
    part = each(chord) * rising + below * falling
    if is_plain:
        # With the slope p, the maximum is |v| times the largest of -p l, (1 - p) u and 0 where v is positive, and of p l, (p - 1) u
        # and 0 where it is negative, which is 0 by the rule. What p v and s differ by is in the error term.
        rising *= each(np.maximum(-chord * first, (1 - chord) * last) * (1 + 2.0**-50))
        if given is not None:
            rising -= (
                falling * np.maximum(np.maximum(below * each(first), (below - 1) * each(last)), 0) * (1 + 2.0**-50)
            )
        return part, rising.sum(1)
    part = part if flat is None else np.where(flat[:, None], 0.0, part)
    taken, best = numbers.load(part if added is None else part + added), None
    for corner in (low, high, np.minimum(np.maximum(low, 0.0), high)):
        a, h = numbers.load(each(corner)), numbers.load(each(np.maximum(corner, 0.0)))
        here = v * h - taken * a
        best = here if best is None else numbers.maximum(best, here)
    assert best is not None
    return taken, np.asarray(best.sum(1))
