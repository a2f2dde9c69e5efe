"""The arithmetic of runtimes, against exact numbers and worked examples."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netproof.errors import InputError
from netproof.formats.tflite.rules import pairs, products, softmax, tables
from netproof.formats.tflite.rules.multiplier import doubling_high, halves_away, multipliers, scaled_twice_rounded
from netproof.formats.tflite.rules.runtime import RUNTIMES, runtime_of


def nearest_away(x: Fraction) -> int:
    whole = (abs(x) + Fraction(1, 2)).__floor__()
    return whole if x >= 0 else -whole


def test_multiplier_and_shift_of_a_scale():
    (m, one), (e, zero) = multipliers(np.array([0.75 * 2.0**-5, 1.0]))
    assert (m, e) == (3 << 29, -5) and (one, zero) == (1 << 30, 1)
    (rounded_up,), (up,) = multipliers(np.array([np.nextafter(1.0, 0)]))
    assert (rounded_up, up) == (1 << 30, 1)
    (flushed,), _ = multipliers(np.array([2.0**-33]))
    assert flushed == 0


def test_halves():
    v = np.array([-6, -5, -3, -2, -1, 1, 2, 3, 5, 6, 7])
    assert halves_away(v, np.int64(2)).tolist() == [nearest_away(Fraction(int(x), 4)) for x in v]
    assert halves_away(v, np.int64(0)).tolist() == v.tolist()
    # Halves upwards, of negative ones as well.
    assert doubling_high(np.array([-3, 3, -1]), np.int64(1 << 30)).tolist() == [-1, 2, 0]


def test_twice_rounded_is_within_one_of_the_product():
    rng = np.random.default_rng(0)
    acc = rng.integers(-(2**22), 2**22, 500)
    for scale in (0.00123, 0.4, 0.9999, 1.7, 2.0**-7):
        (m,), (e,) = multipliers(np.array([scale]))
        found = scaled_twice_rounded(acc, m, e)
        exact = acc * Fraction(scale)
        assert all(abs(int(y) - x) <= 1 for y, x in zip(found, exact, strict=True))
        assert bool((np.diff(found[np.argsort(acc)]) >= 0).all())


def scales(x: float, w: float, y: float) -> products.ProductScales:
    return products.ProductScales(np.float32(x), np.array([w], np.float32), np.float32(y))


def test_ties_tell_the_rules_apart():
    acc = np.array([[-5, -3, -1, 1, 3, 5]])
    half = scales(0.5, 1.0, 1.0)
    # The first rounding of the doubling product takes halves upwards, where the scale is 1/2 there is no second one.
    assert products.twice_rounded(acc, half).tolist() == [[-2, -1, 0, 1, 2, 3]]
    assert products.halves_away_in_double(acc, half).tolist() == [[-3, -2, -1, 1, 2, 3]]
    assert products.halves_even_in_single(acc, half).tolist() == [[-2, -2, 0, 0, 2, 2]]
    quarter = scales(0.25, 1.0, 1.0)
    assert products.twice_rounded(2 * acc, quarter).tolist() == [[-3, -2, -1, 1, 2, 3]]


def test_a_large_sum_rounds_on_its_way_to_float32():
    acc = np.array([[2**24 + 1, 2**24 + 3]])
    assert products.halves_even_in_single(acc, scales(1.0, 1.0, 1.0)).tolist() == [[2**24, 2**24 + 4]]


def test_half_an_ulp_below_a_half_is_none():
    # 0.5 added to the largest double below one half would round to 1.
    below = np.nextafter(0.5, 0)
    one = products.ProductScales(np.float64(below), np.array([1.0]), np.float64(1.0))
    assert products.halves_away_in_double(np.array([[1]]), one).tolist() == [[0]]


def test_limits_of_activations():
    assert products.limit_away(np.float32(1.5), -49) == -47 and products.limit_even(np.float32(1.5), -49) == -48
    assert products.limit_away(np.float32(-0.5), 127) == 126 and products.limit_even(np.float32(-0.5), 127) == 126
    assert products.limit_even(np.float32(-0.5), 0) == 0


def test_sums_and_differences():
    a, b = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))
    even = pairs.PairScales(np.float32(0.5), np.float32(0.25), np.float32(0.5))
    exact = a + b * 0.5
    for add in (pairs.added_in_fixed_point, pairs.added_by_weights):
        assert np.abs(add(a, b, even) - exact).max() <= 0.5
    # A half: away from 0, and upwards.
    one = np.array([-1])
    assert pairs.added_in_fixed_point(0 * one, one, even).tolist() == [-1]
    assert pairs.added_by_weights(0 * one, one, even).tolist() == [0]
    assert pairs.subtracted_by_weights(0 * one, one, even).tolist() == [1]
    assert pairs.subtracted_in_fixed_point(0 * one, one, even).tolist() == [1]


@pytest.mark.parametrize("function", [softmax.softmax_in_fixed_point, softmax.softmax_by_table])
def test_softmax_is_near_the_real_one(function):
    rng = np.random.default_rng(3)
    codes = rng.integers(-128, 128, (50, 7))
    found = function(codes, softmax.SoftmaxScales(np.float32(0.1), np.float32(1), np.float32(1 / 256), -128))
    weight = np.exp(0.1 * (codes - codes.max(1, keepdims=True)))
    real = 256 * weight / weight.sum(1, keepdims=True) - 128
    assert np.abs(found - np.clip(real, -128, 127)).max() <= 1


@pytest.mark.parametrize("scale", [0.001, 0.03, 0.25, 3.0])
def test_curves_in_fixed_point_are_near_the_real_ones(scale):
    codes = np.arange(-255, 256)
    x = codes * float(np.float32(scale))
    for found, real in (
        (tables.logistic_in_fixed_point(codes, np.float32(scale)), 256 / (1 + np.exp(-np.clip(x, -700, 700))) - 128),
        (tables.tanh_in_fixed_point(codes, np.float32(scale)), 128 * np.tanh(x)),
    ):
        assert np.abs(found - np.clip(real, -128, 127)).max() <= 0.51 and bool((np.diff(found) >= 0).all())


def test_a_curve_near_a_half_is_left_to_the_library():
    # The scale is chosen so that tanh(scale) * 128 is 1.5, which is in doubt.
    assert tables.tanh_rounded(np.arange(3), np.float32(np.arctanh(1.5 / 128))) is None
    assert tables.tanh_rounded(np.arange(3), np.float32(0.5)).tolist() == [0, 59, 97]
    assert tables.logistic_rounded(np.array([-99, 0, 99]), np.float32(0.5)).tolist() == [-128, 0, 127]


def test_runtimes_by_name():
    assert runtime_of(None).name == "tflm" and set(RUNTIMES) >= {"tflm", "xnnpack", "litert-ref"}
    with pytest.raises(InputError, match="give tflm"):
        runtime_of("tensorflow")
