"""What the checker makes of a curve's lines and of a product's corners, in exact arithmetic: ends that no rounding may move inward."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from netproof.certificate.checker.real.curved import bends as tool
from netproof.certificate.checker.real.curved.bends import Bends
from netproof.certificate.checker.real.curved.curves import Lines
from netproof.certificate.checker.real.nodes import PRODUCT
from netproof.certificate.checker.real.numbers import Float64


@pytest.fixture
def given(monkeypatch) -> list:
    """Lines that stand for those of every curve; asked for is what is in front of them."""
    asked: list = []

    def over(curve, low, high, ends):
        asked.append((low.copy(), high.copy()))
        return asked[0]

    monkeypatch.setattr(tool.Lines, "over", staticmethod(over))
    return asked


def fractions(*arrays) -> list[list[Fraction]]:
    return [[Fraction(float(x)) for x in np.asarray(array).reshape(-1)] for array in arrays]


@pytest.mark.parametrize("seed", range(4))
def test_a_curve_stays_on_both_sides_of_one_line_as_its_own_two_say(seed, given):
    """Of any function between the two given lines, for ends, slopes and heights of very different sizes; with nothing to spare."""
    rng = np.random.default_rng(seed)
    count = 400
    low = rng.normal(size=(1, count)) * 10.0 ** rng.uniform(-6, 6, size=count)
    high = low + abs(rng.normal(size=count)) * 10.0 ** rng.uniform(-6, 6, size=count)
    slopes = [rng.normal(size=(1, count)) * 10.0 ** rng.uniform(-6, 6, size=count) for _ in range(2)]
    # As high at the left end, or as low at the right one, as is next to nothing beside the numbers that this is a sum of.
    heights = [
        np.where(rng.random((1, count)) < 0.5, -slope * end, rng.normal(size=(1, count)) * 10.0 ** rng.uniform(-3, 9, size=count))
        for slope, end in zip(slopes, (low, high), strict=True)
    ]  # fmt: skip
    given.append(Lines((slopes[0], heights[0]), (slopes[1], heights[1]), low, high))
    slope, least, most = Bends(Float64()).line(0, "tanh", low, high)
    columns = fractions(low, high, *slopes, *heights, slope, least, most)
    for at, to, p, q, d, e, s, smallest, largest in zip(*columns, strict=True):
        ends = at, to
        assert largest >= max(q * x + e - s * x for x in ends)
        assert smallest <= min(-(p * x + d) - s * x for x in ends)
        sizes = [abs(p), abs(q), abs(s)]
        spare = (max(sizes) * max(abs(at), abs(to)) + max(abs(d), abs(e))) / 2**44 + Fraction(1, 2**900)
        assert largest - max(q * x + e - s * x for x in ends) <= spare
        assert min(-(p * x + d) - s * x for x in ends) - smallest <= spare


@pytest.mark.parametrize("seed", range(3))
def test_a_product_is_between_its_corners_rounded_outward(seed):
    rng = np.random.default_rng(seed)
    count = 200
    low = rng.normal(size=(1, 2 * count)) * 10.0 ** rng.uniform(-8, 8, size=2 * count)
    high = low + abs(rng.normal(size=2 * count)) * 10.0 ** rng.uniform(-8, 8, size=2 * count)
    bends = Bends(Float64())
    below, above = bends.image(0, PRODUCT, low, high)
    slope, least, most = bends.line(0, PRODUCT, low, high)
    columns = fractions(low, high)
    for j in range(count):
        x, y = ((columns[0][i], columns[1][i]) for i in (j, count + j))
        of_x, of_y = Fraction(float(slope[0, j])), Fraction(float(slope[0, count + j]))
        corners = [a * b for a, b in itertools.product(x, y)]
        rest = [a * b - of_x * a - of_y * b for a, b in itertools.product(x, y)]
        assert Fraction(float(below[0, j])) < min(corners) and max(corners) < Fraction(float(above[0, j]))
        assert Fraction(float(least[0, j])) < min(rest) and max(rest) < Fraction(float(most[0, j]))
        size = max(map(abs, corners))
        assert (
            max(abs(Fraction(float(below[0, j])) - min(corners)), abs(Fraction(float(above[0, j])) - max(corners)))
            <= size / 2**50
        )


def test_lines_are_kept_for_the_very_ranges_that_they_are_of(given):
    given.append("lines")
    bends = Bends(Float64())
    first, second = np.array([[0.0, 1.0]]), np.array([[1.0, 2.0]])
    asks = [(first, second), (first, second), (second, second), (first, first), (first, second)]
    counts = []
    for low, high in asks:
        bends.lines(0, "tanh", low, high)
        counts.append(len(given) - 1)
    # Neither an end that was the other one before nor one end alone makes ranges the same.
    assert counts == [1, 1, 2, 3, 4]
    bends.lines(1, "tanh", first, second)
    assert len(given) - 1 == 5
    # What was changed in place is not what it was.
    changed = first.copy()
    bends.lines(2, "tanh", changed, second)
    changed[0, 0] = -1.0
    bends.lines(2, "tanh", changed, second)
    assert len(given) - 1 == 7


@pytest.mark.parametrize("flat", [None, np.array([False, True])])
@pytest.mark.parametrize("added", [None, np.array([[0.5, 0.0, -0.25], [0.0, 2.0, 0.0]])])
def test_multipliers_are_those_that_are_said(flat, added):
    """Slopes as they are given, by the lines where none is; and of every multiplier the most that is left at the ends of the band."""
    low, high = np.array([[-1.0, 0.0, -2.0]]), np.array([[1.0, 3.0, -1.0]])
    bends, v = Bends(Float64()), np.array([[1.0, -2.0, 0.0], [-0.5, 1.5, 3.0]])
    lines = bends.lines(0, "tanh", low, high)
    given = np.array([[0.25, np.nan, 0.5], [np.nan, 0.125, 0.75]])
    taken, most = bends.bound("tanh", v, (low, high), lines, (given, added, flat))
    own = np.where(v >= 0, lines.above[0], -lines.below[0])
    said = np.where(np.isnan(given), own, given) * v
    said = said if flat is None else np.where(flat[:, None], 0.0, said)
    assert (taken == (said if added is None else said + added)).all()
    x = low + (high - low) * np.linspace(0, 1, 400)[:, None, None]
    assert (most >= (v * np.tanh(x) - taken * x).max(0).sum(1) - 1e-12).all()
