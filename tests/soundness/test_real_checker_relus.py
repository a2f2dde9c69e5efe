"""What the checker says of ReLUs: multipliers, and the maxima that go with them, against fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netproof.certificate.checker.real.numbers import Float64, Rational
from netproof.certificate.checker.real.relus import Ranges, rectified

UNIT = 2.0**-53


def exact_share(v: np.ndarray, s: np.ndarray, low: np.ndarray, high: np.ndarray) -> Fraction:
    """The sum over features of the largest ``v max(a, 0) - s a`` for one row."""
    total = Fraction(0)
    for each in zip(v.tolist(), s.tolist(), low.tolist(), high.tolist(), strict=True):
        w, t, a, b = map(Fraction, each)
        total += max(w * max(x, Fraction(0)) - t * x for x in (a, b, min(max(a, Fraction(0)), b)))
    return total


def ranges_of(rng: np.random.Generator, cells: int, size: int, open_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Ranges of many sizes, some of which hold 0 inside, some end there, some are points."""
    first, second = rng.normal(size=(2, cells, size)) * 10.0 ** rng.integers(-8, 8, size=(2, cells, size))
    low, high = np.minimum(first, second), np.maximum(first, second)
    closed = rng.random((cells, size)) >= open_share
    up = closed & (rng.random((cells, size)) < 0.5)
    low, high = np.where(up, abs(low), low), np.where(up, abs(low) + abs(high), high)
    low, high = np.where(closed & ~up, -abs(low) - abs(high), low), np.where(closed & ~up, -abs(low), high)
    kind = rng.integers(12, size=(cells, size))
    low, high = np.where(kind == 0, 0.0, low), np.where(kind == 1, 0.0, high)
    low, high = np.where(kind == 2, high, low), np.where(kind == 3, np.maximum(high, 0), high)
    return np.minimum(low, high), np.maximum(low, high)


@pytest.mark.parametrize("open_share", [0.2, 1.0])
@pytest.mark.parametrize("way", ["rule", "slopes", "beyond", "added", "flat"])
@pytest.mark.parametrize("several", [False, True])
def test_maxima_are_those_in_fractions(way, several, open_share):
    beyond = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cells, rows, size = (3 if several else 1), 7, 9
        low, high = ranges_of(rng, cells, size, open_share)
        if open_share < 1:
            low[:, 3:], high[:, 3:] = abs(low[:, 3:]), abs(low[:, 3:]) + abs(high[:, 3:])
        cell = rng.integers(cells, size=rows)
        v = rng.normal(size=(rows, size)) * 10.0 ** rng.integers(-8, 8, size=(rows, size))
        given = None
        if way in ("slopes", "beyond"):
            least, most = (0.0, 1.0) if way == "slopes" else (-3.0, 3.0)
            given = np.where(rng.random((rows, size)) < 0.3, np.nan, rng.uniform(least, most, (rows, size)))
        added = np.where(rng.random((rows, size)) < 0.5, 0.0, rng.normal(size=(rows, size))) if way == "added" else None
        flat = rng.random(rows) < 0.5 if way == "flat" else None
        s, share = rectified(Float64(), v, Ranges.taken(low, high, cell), given, added, flat)
        for row in range(rows):
            a, b = low[cell[row]], high[cell[row]]
            exact = exact_share(v[row], s[row], a, b)
            terms = abs(v[row]) * np.maximum(b, 0) + abs(s[row]) * np.maximum(abs(a), abs(b))
            assert abs(Fraction(share[row]) - exact) <= Fraction(32 * UNIT * float(terms.sum()))
            negative = (v[row] < 0) & (a < 0) & (b > 0)
            beyond += bool((abs(s[row]) > abs(v[row]))[negative].any() or (s[row] * v[row] < 0)[negative].any())
            is_closed = (a >= 0) | (b <= 0)
            if way in ("rule", "slopes", "beyond"):
                line = np.where(b <= 0, 0.0, v[row])
                assert (s[row] == line)[is_closed & (a != b) & (abs(a) + abs(b) > 0)].all()
    assert (beyond > 0) == (way in ("beyond", "added"))


@pytest.mark.parametrize("way", ["rule", "slopes"])
def test_multipliers_are_those_of_fractions_but_for_rounding(way):
    rng = np.random.default_rng(3)
    low, high = ranges_of(rng, 4, 6, 0.8)
    cell = np.array([2, 0, 0, 3, 1])
    v = rng.normal(size=(5, 6))
    given = rng.random((5, 6)) if way == "slopes" else None
    s, share = rectified(Float64(), v, Ranges.taken(low, high, cell), given)
    numbers = Rational()
    exact_s, exact_value = rectified(numbers, numbers.load(v), Ranges.taken(low, high, cell), given)
    assert np.allclose(s, exact_s.astype(float), rtol=1e-12, atol=1e-12)
    assert np.allclose(share, exact_value.astype(float), rtol=1e-9, atol=1e-9 * abs(share).max())


def test_ranges_of_rows_are_those_of_their_cells():
    low = np.arange(12.0).reshape(4, 3)
    for cell in ([0, 1, 2, 3], [1, 2], [3, 1, 1], [2], [2, 2, 2], []):
        at = np.array(cell, np.int64)
        taken = Ranges.taken(low, low + 1, at)
        if cell:
            assert (np.broadcast_to(taken.each(taken.low), (len(cell), 3)) == low[at]).all()
            assert (np.broadcast_to(taken.each(taken.high), (len(cell), 3)) == low[at] + 1).all()
    one = Ranges.taken(low[:1], low[:1], np.zeros(5, np.int64))
    assert one.of is None and one.low.shape == (1, 3)


@pytest.mark.parametrize("low", [-1e-160, -1e-150, -1e-140, -1e-9, 0.0])
@pytest.mark.parametrize("high", [1e-160, 1e-150, 1e-140, 1e9])
def test_single_ranges_have_a_maximum_that_is_not_too_small(low, high):
    for v in (1.0, -1.0):
        s, share = rectified(Float64(), np.array([[v]]), Ranges(np.array([[low]]), np.array([[high]])))
        exact = exact_share(np.array([v]), s[0], np.array([low]), np.array([high]))
        assert exact <= Fraction(share[0]) <= exact * (1 + Fraction(1, 2**40))
    # Of rows with negative v by slopes that are none of a ReLU's.
    if low < 0:
        for slope in (-2.0, 3.0):
            ranges = Ranges(np.array([[low]]), np.array([[high]]))
            s, share = rectified(Float64(), np.array([[-1.0]]), ranges, np.array([[slope]]))
            exact = exact_share(np.array([-1.0]), s[0], np.array([low]), np.array([high]))
            assert exact <= Fraction(share[0]) <= exact * (1 + Fraction(1, 2**40))
