"""Bends for whoever makes evidence, by hand-worked numbers: values, where bounds are attained, and what lines miss."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from netproof.certificate.checker.real.curved.curves import CURVES, Lines
from netproof.certificate.checker.real.nodes import PRODUCT, RELU
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.real.grown.bent import attained, misses, near, slopes_of
from network_shapes import cells_of


def rows(*values: float) -> np.ndarray:
    return np.array([values], np.float64)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_values():
    assert near(RELU, rows(-1.5, 0.0, 2.0)).tolist() == [[0.0, 0.0, 2.0]]
    assert near(PRODUCT, np.array([[2.0, -3.0, 5.0, 0.5], [1.0, 2.0, 3.0, 4.0]])).tolist() == [[10.0, -1.5], [3.0, 8.0]]
    assert near("sigmoid", rows(-1.0, 2.0))[0] == pytest.approx([sigmoid(-1.0), sigmoid(2.0)], abs=1e-9)


def test_between_what_slopes_are_of_use():
    least, most = slopes_of(RELU, rows(-1.0, 1.0), rows(1.0, 2.0))
    assert (least.tolist(), most.tolist()) == ([[0.0, 0.0]], [[1.0, 1.0]])
    least, most = slopes_of(PRODUCT, rows(-1.0, 1.0), rows(1.0, 2.0))
    assert (least.tolist(), most.tolist()) == ([[0.0, 0.0]], [[0.0, 0.0]])
    # From -1 to 2 the derivative is least at 2 and largest, 1/4, at 0; of an endless range nothing is known.
    least, most = slopes_of("sigmoid", rows(-1.0, -2.0), rows(2.0, 3.0))
    ends = [sigmoid(x) * (1 - sigmoid(x)) for x in (2.0, 3.0)]
    assert least[0] == pytest.approx(ends, abs=1e-6) and most[0] == pytest.approx([0.25, 0.25], abs=1e-6)
    # At 0 the root has no slope.
    assert slopes_of("sqrt", rows(0.0), rows(1.0)) == (0.0, 0.0)
    least, most = slopes_of("sigmoid", rows(np.nan, -np.inf), rows(1.0, np.nan))
    assert np.isfinite(least).all() and np.isfinite(most).all() and (least[0, 0], most[0, 0]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("v", "s", "low", "high", "at"),
    [
        # 2 relu(a) - a: 3 at -3, 2 at 2.
        (2.0, 1.0, -3.0, 2.0, -3.0),
        (2.0, 1.0, -1.0, 2.0, 2.0),
        # -2 relu(a) + a and -2 relu(a) - a / 2: largest at 0, or at the end that is nearest to it.
        (-2.0, -1.0, -3.0, 2.0, 0.0),
        (-2.0, -1.0, 1.0, 2.0, 1.0),
        (-2.0, -1.0, -3.0, -1.0, -1.0),
        # Of equal ones the first: relu(a) - a is 0 from 0 on.
        (1.0, 1.0, 0.0, 2.0, 0.0),
    ],
)
def test_where_a_relu_s_maximum_is(v, s, low, high, at):
    assert attained(RELU, rows(v), rows(s), rows(low), rows(high)).tolist() == [[at]]


def test_where_a_curve_s_maximum_is():
    """Of sigmoid(a) - a / 5 the derivative is 0 where sigmoid (1 - sigmoid) is 1/5; of -sigmoid(a) it is the lower end."""
    found = attained("sigmoid", rows(1.0, -1.0), rows(0.2, 0.0), rows(-1.0, -2.0), rows(4.0, 3.0))
    best = math.log((1 + math.sqrt(0.2)) / (1 - math.sqrt(0.2)))
    # The nearest of seventeen points, 5/16 apart.
    assert found.tolist() == [[0.875, -2.0]] and abs(best - 0.875) < 5 / 32
    # In the middle.
    assert attained("sigmoid", rows(1.0), rows(0.2), rows(0.0), rows(1.875)).tolist() == [[0.9375]]
    assert attained("sigmoid", rows(1.0), rows(0.0), rows(-4.0), rows(4.0)).tolist() == [[4.0]]


@pytest.mark.parametrize(
    ("v", "s", "corner"),
    [
        # x y - 0: at the largest product, 3 * 4; -x y: at -1 * 4; with the price of y or x above what it brings: at its low end.
        ((1.0, 0.0, 0.0), (0.0, 0.0), (3.0, 4.0)),
        ((-1.0, 0.0, 0.0), (0.0, 0.0), (-1.0, 4.0)),
        ((1.0, 0.0, 0.0), (0.0, 10.0), (3.0, 2.0)),
        ((1.0, 0.0, 0.0), (10.0, 0.0), (-1.0, 2.0)),
        ((1.0, 0.0, 0.0), (0.0, 2.5), (3.0, 4.0)),
        ((0.0, 0.0, 0.0), (-1.0, 1.0), (3.0, 2.0)),
        ((0.0, 0.0, 0.0), (1.0, -1.0), (-1.0, 4.0)),
    ],
)
def test_where_a_product_s_maximum_is(v, s, corner):
    """Of x from -1 to 3 and y from 2 to 4, beside two products of points."""
    low, high = rows(-1.0, 7.0, 8.0, 2.0, 5.0, 6.0), rows(3.0, 7.0, 8.0, 4.0, 5.0, 6.0)
    found = attained(PRODUCT, rows(*v, *v), rows(s[0], 0.0, 0.0, s[1], 0.0, 0.0), low, high)
    assert found.tolist() == [[corner[0], 7.0, 8.0, corner[1], 5.0, 6.0]]


def shape(bend: str) -> Any:
    return SimpleNamespace(
        network=SimpleNamespace(nodes=[SimpleNamespace(bend=""), SimpleNamespace(bend=bend)], bends=(1,)),
        numbers=Float64(),
    )


def test_what_the_lines_of_a_product_miss_and_which_factor_is_split():
    """Widths 1 and 2, and 4 and 1: their products, more for what is wide for its size: 1 of 4, 4 of 5; 2 of 2, 1 of 3."""
    cells = cells_of([(3.0, 4.0), (0.0, 2.0), (-5.0, -1.0), (2.0, 3.0)])
    found = misses(shape(PRODUCT), cells, 0)
    shares = [1 / 4, 2 / 2, 4 / 5, 1 / 3]
    assert found[0] == pytest.approx([p * (1 + q / (1 + q)) for p, q in zip([4.0, 2.0, 4.0, 2.0], shares, strict=True)])


def test_a_factor_of_0_misses_nothing():
    cells = cells_of([(0.0, 0.0), (1.0, 2.0), (1.0, 3.0), (0.0, 0.0)])
    assert misses(shape(PRODUCT), cells, 0).tolist() == [[0.0] * 4]


def test_what_the_lines_of_a_curve_miss():
    """In the middle of -1 to 5, and nothing over a point; lines are the checker's, above and below the curve."""
    cells = cells_of([(-1.0, 5.0), (2.0, 2.0)])
    with np.errstate(all="ignore"):
        found = misses(shape("sigmoid"), cells, 0)
        lines = Lines.over(CURVES["sigmoid"], cells.low[0], cells.high[0], Float64().ends)
    upper = lines.above[0] * 2.0 + lines.above[1]
    lower = -(lines.below[0] * 2.0 + lines.below[1])
    assert found == pytest.approx(upper - lower) and (lower <= sigmoid(2.0)).all() and (upper >= sigmoid(2.0)).all()
    assert found[0, 0] > 0.05 and abs(found[0, 1]) < 1e-6
