"""Requantization: monotone step functions of an integer.

``f(a) = base + #{k : T[k] <= a}``. Where the thresholds are ``2**s`` apart it is a shift and a
saturation, ``min(max(floor((a - T[1]) / 2**s) + 1, 0), K)``: the rounding of the network's own formula is
in ``T[1]``, and subtracting a constant costs nothing, as it joins the constant of the sum. Any other
staircase is a search for ``a`` among the thresholds in its range: a balanced tree of choices.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from netproof.exact.smt.integers import Integer, Integers
from netproof.exact.smt.sums import Shifted


@dataclass(frozen=True)
class Steps:
    """The staircase of one feature: nondecreasing thresholds and the value below the first."""

    thresholds: Sequence[int]
    base: int

    def count(self, a: int) -> int:
        """How many thresholds ``a`` reaches."""
        return bisect_right(self.thresholds, a)

    def shift(self) -> int | None:
        """``s`` where the thresholds are ``2**s`` apart, else None."""
        steps = self.thresholds
        if len(steps) < 2:
            return 0 if steps else None
        gap = steps[1] - steps[0]
        if gap <= 0 or gap & (gap - 1) or any(b - a != gap for a, b in pairwise(steps)):
            return None
        return gap.bit_length() - 1


class Staircases:
    """Makes terms of staircases.

    Parameters
    ----------
    simplify : leave out what the range of the operand decides
    offsets : give the value as an offset, the least there is, and what is added to it
    """

    def __init__(self, integers: Integers, *, simplify: bool, offsets: bool) -> None:
        self._integers = integers
        self._simplify = simplify
        self._offsets = offsets

    def applied(self, steps: Steps, a: Shifted, shift: int | None) -> Shifted:
        """``f(a)``; ``shift`` is :meth:`Steps.shift`, which many features share."""
        first, last = steps.count(a.low), steps.count(a.high)
        if a.part is None or (self._simplify and first == last) or not steps.thresholds:
            return Shifted(steps.base + first)
        start = first if self._offsets else -steps.base  # so the offset is 0
        part = self._search(steps, a, start) if shift is None else self._uniform(steps, a, shift, start)
        return Shifted(steps.base + start, part)

    def _uniform(self, steps: Steps, a: Shifted, shift: int, start: int) -> Integer:
        """``f(a) - base - start``."""
        integers = self._integers
        assert a.part is not None
        constant = a.offset - steps.thresholds[0] + ((1 - start) << shift)
        moved = integers.add(a.part, integers.constant(constant)) if constant else a.part
        value = integers.shifted_right(moved, shift)
        value = integers.clipped_below(value, -start)
        return integers.clipped_above(value, len(steps.thresholds) - start)

    def _search(self, steps: Steps, a: Shifted, start: int) -> Integer:
        """``f(a) - base - start``."""
        part = a.part
        assert part is not None
        if self._simplify:
            begin, end = steps.count(a.low), steps.count(a.high)
        else:
            begin, end = 0, len(steps.thresholds)
        # A threshold that repeats is one jump by more than one.
        jumps = sorted(set(steps.thresholds[begin:end]))
        values = [begin - start, *(bisect_right(steps.thresholds, t) - start for t in jumps)]
        return self._between(part, a.offset, jumps, values, 0, len(jumps))

    def _between(
        self, part: Integer, offset: int, jumps: Sequence[int], values: Sequence[int], first: int, last: int
    ) -> Integer:
        """The value, given that it is one of ``values[first .. last]``."""
        if first == last:
            return self._integers.constant(values[first])
        middle = (first + last) // 2
        return self._integers.chosen(
            self._integers.at_least(part, jumps[middle] - offset),
            self._between(part, offset, jumps, values, middle + 1, last),
            self._between(part, offset, jumps, values, first, middle),
        )
