"""What bounds need of smooth functions and of products of two values: ranges, lines, multipliers and what these leave.

A product ``x y`` has both factors in one operand, one half after the other. Over a box ``v x y - s x - t y`` is largest at a corner,
whatever the multipliers; by the rule they are a mean of McCormick's two planes (*Mathematical Programming* 10, 1976).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.curved.curves import CURVES, Band, Floats, Lines
from netproof.certificate.checker.real.nodes import PRODUCT
from netproof.certificate.checker.real.numbers import TINY, Float64
from netproof.certificate.checker.real.operators import Array

#: ranges whose bands are worked on at once
_AT_ONCE = 1 << 12
#: bands that are kept
_KEPT = 8
#: slopes, what is added, and which rows have no multipliers besides, None for nothing
Said = tuple[Floats | None, Floats | None, NDArray[np.bool_] | None]


class Bends:
    """The bends of a network in an arithmetic."""

    def __init__(self, numbers: Float64) -> None:
        self._numbers = numbers
        self._known: dict[int, tuple[Floats, Floats, Lines]] = {}
        self._bands: dict[tuple[str, int], tuple[Floats, Floats, Band]] = {}

    def lines(self, k: int, bend: str, low: Floats, high: Floats) -> Lines:
        """The lines of a curve over the ranges of cells; those of the last ones that were asked for are kept."""
        known = self._known.get(k)
        if known is None or not _same(known, low, high):
            self._known[k] = known = low.copy(), high.copy(), Lines.over(CURVES[bend], low, high, self._numbers.ends)
        return known[2]

    def image(self, k: int, bend: str, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """What values stay between."""
        if bend != PRODUCT:
            lines = self.lines(k, bend, low, high)
            return lines.least, lines.most
        found = np.stack([a * b for a, b in product(*_corners(low, high))])
        return np.nextafter(found.min(0) - TINY, -np.inf), np.nextafter(found.max(0) + TINY, np.inf)

    def line(self, k: int, bend: str, low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
        """Slopes, as many as there are operands, and what the value less the line by them stays between."""
        if bend == PRODUCT:
            x, y = _corners(low, high)
            of_x, of_y = y[0] / 2 + y[1] / 2, x[0] / 2 + x[1] / 2
            rest = np.stack([a * b - of_x * a - of_y * b for a, b in product(x, y)])
            slack = 2.0**-48 * abs(x).max(0) * abs(y).max(0) + TINY
            return np.concatenate([of_x, of_y], -1), rest.min(0) - slack, rest.max(0) + slack
        lines = self.lines(k, bend, low, high)
        slope = lines.above[0] / 2 - lines.below[0] / 2
        more, less = lines.above[0] - slope, -lines.below[0] - slope
        slack = 2.0**-48 * (abs(lines.above[0]) + abs(lines.below[0])) * np.maximum(abs(low), abs(high)) + TINY
        most = lines.above[1] + np.maximum(more * low, more * high)
        least = -lines.below[1] + np.minimum(less * low, less * high)
        return slope, least - slack - 2.0**-50 * abs(least), most + slack + 2.0**-50 * abs(most)

    def bound(
        self,
        bend: str,
        v: Array,
        ends: tuple[Floats, Floats],
        lines: Lines | None,
        said: Said,
    ) -> tuple[Array, Array]:
        """Multipliers and the sum over features of what ``v f(a) - s a`` is at most, ``[R, m]`` and ``[R]``.

        ``lines`` are those of a curve over the ranges ``ends``, all of them with a row for each of ``v`` or one for all; ``said`` is
        what rows say.
        """
        given, added, flat = said
        numbers, near = self._numbers, self._numbers.near(v)
        if lines is None:
            part = _planes(near, ends, given)
        else:
            part = np.where(near >= 0, lines.above[0], -lines.below[0])
            part = (part if given is None else np.where(np.isnan(given), part, given)) * near
        if flat is not None:
            part = np.where(flat[:, None], 0.0, part)
        part = part if added is None else part + added
        taken = numbers.load(part)
        if lines is None:
            return taken, self._at_corners(v, taken, ends)
        if given is None and added is None and flat is None:
            return taken, self._by_lines(v, taken, ends, lines)
        return taken, self._by_bands(bend, v, taken, ends)

    def _by_lines(self, v: Array, s: Array, ends: tuple[Floats, Floats], lines: Lines) -> Array:
        if not self._numbers.exact:
            # What v p and s differ by is in the error term.
            share = np.maximum(v, 0.0) * lines.above[1] + np.maximum(-v, 0.0) * lines.below[1]
            return np.asarray(share.sum(1))
        load, best = self._numbers.load, None
        for a, (p, e) in product(map(load, ends), (lines.above, (-lines.below[0], -lines.below[1]))):
            here = (v * load(p) - s) * a + v * load(e)
            best = here if best is None else self._numbers.maximum(best, here)
        assert best is not None
        return np.asarray(best.sum(1))

    def _by_bands(self, bend: str, v: Array, s: Array, ends: tuple[Floats, Floats]) -> Array:
        found, numbers, (low, high) = [], self._numbers, ends
        # One cell has one band for all of its rows.
        most = max(1, len(v) if len(low) == 1 else _AT_ONCE // max(1, v.shape[1]))
        for some in (slice(at, at + most) for at in range(0, max(1, len(v)), most)):
            first, last = (low, high) if len(low) == 1 or most >= len(v) else (low[some], high[some])
            band, best = self._band(bend, first, last), None
            for x, *both in zip(band.x, band.below, band.above, strict=True):
                taken = s[some] * numbers.load(x.reshape(first.shape))
                for y in both:
                    here = v[some] * numbers.load(y.reshape(first.shape)) - taken
                    best = here if best is None else numbers.maximum(best, here)
            assert best is not None
            found.append(best.sum(1))
        return np.concatenate(found)

    def _band(self, bend: str, low: Floats, high: Floats) -> Band:
        """The band over ranges, kept for whoever asks for rows on the same cells again and again."""
        known = self._bands.get((bend, id(low)))
        if known is not None and _same(known, low, high):
            return known[2]
        band = Band(CURVES[bend], low.reshape(-1), high.reshape(-1), self._numbers.ends)
        if low.size <= _AT_ONCE:
            kept = self._bands if len(self._bands) < _KEPT else {}
            self._bands = {**kept, (bend, id(low)): (low.copy(), high.copy(), band)}
        return band

    def _at_corners(self, v: Array, s: Array, ends: tuple[Floats, Floats]) -> Array:
        load, best, n = self._numbers.load, None, v.shape[1]
        for x, y in product(*_corners(*ends)):
            a, b = load(x), load(y)
            here = v * a * b - s[:, :n] * a - s[:, n:] * b
            best = here if best is None else self._numbers.maximum(best, here)
        assert best is not None
        return np.asarray(best.sum(1))


def _same(known: tuple[Floats, Floats, object], low: Floats, high: Floats) -> bool:
    """Whether what is known is of these ranges, number by number: arrays may have been changed."""
    return np.array_equal(known[0], low) and np.array_equal(known[1], high)


def _corners(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Both ends of both factors, ``[2, C, n]`` each."""
    n = low.shape[1] // 2
    return np.stack([low[:, :n], high[:, :n]]), np.stack([low[:, n:], high[:, n:]])


def _planes(v: Floats, ends: tuple[Floats, Floats], given: Floats | None) -> Floats:
    """Multipliers of both factors by McCormick's planes, of which the first has the weight that is given, or half."""
    x, y = _corners(*ends)
    weight = 0.5 * np.ones_like(v) if given is None else np.nan_to_num(given[:, : v.shape[1]], nan=0.5)
    rest = 1 - weight
    of_x = weight * y[0] + rest * y[1]
    of_y = np.where(v >= 0, weight * x[1] + rest * x[0], weight * x[0] + rest * x[1])
    return np.concatenate([v * of_x, v * of_y], 1)
