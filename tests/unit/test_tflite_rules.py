"""The arithmetic of runtimes, against exact numbers and worked examples."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netproof.errors import InputError
from netproof.formats.tflite.rules import pairs, products, softmax, tables
from netproof.formats.tflite.rules.multiplier import doubling_high, halves_away, multipliers, scaled_twice_rounded
from netproof.formats.tflite.rules.runtime import RUNTIMES, runtime_of
from netproof.formats.tflite.rules.softmax import SoftmaxScales, keeps_the_class


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


def rounded_up_to_two() -> tuple[np.float32, np.float32]:
    """Two scales whose product is below 2, and 2 in float32."""
    rng = np.random.default_rng(0)
    while True:
        a = np.float32(rng.uniform(1, 2))
        b = np.float32(2 / a)
        if a * b == 2 and float(a) * float(b) < 2:
            return a, b


def test_the_precision_of_a_product_of_scales_shows_in_halves():
    a, b = rounded_up_to_two()
    acc = np.array([[-6, -2, 2, 6]])
    of = scales(a, b, 8.0)
    # A quarter, and a little less; that goes through a shift of one bit, which takes halves away from 0.
    assert products.twice_rounded(acc, of).tolist() == [[-2, -1, 1, 2]]
    assert products.twice_rounded_by_single(acc, of).tolist() == [[-2, -1, 1, 2]]
    half = scales(a, b, 4.0)
    assert products.twice_rounded(acc - 1, half).tolist() == [[-4, -2, 1, 3]]
    assert products.twice_rounded_by_single(acc - 1, half).tolist() == [[-3, -1, 1, 3]]
    pair = pairs.PairScales(a, b, np.float32(4))
    one, many = np.ones(1, np.int64), acc[0] - 1
    assert pairs.multiplied_in_fixed_point(many, one, pair).tolist() == [-4, -2, 1, 3]
    assert pairs.multiplied_by_single(many, one, pair).tolist() == [-3, -1, 1, 3]
    # LiteRT's reference kernels take the product in float32 for codes of uint8 alone.
    litert = RUNTIMES["litert-ref"]
    assert litert.multiply is pairs.multiplied_by_single
    assert (
        litert.convolution_of_bytes is products.twice_rounded_by_single
        and RUNTIMES["tflm"].convolution_of_bytes is None
    )


def test_a_shift_is_that_of_either_precision():
    a, b = rounded_up_to_two()
    assert products.shifts_left(scales(a, b, 1.0)).tolist() == [2]
    assert products.shifts_left(scales(a, 0.75, 1.0)).tolist() == [max(0, int(np.frexp(float(a) * 0.75)[1]))]


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


@pytest.mark.parametrize("runtime", ["tflm", "xnnpack"])
@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_largest_operand_of_a_softmax_has_the_largest_code_where_that_is_said(runtime, count):
    """Operands next to each other, with all others as large as they can be, which makes their shares smallest."""
    rng = np.random.default_rng(count)
    said = set()
    for step in (0.003, 0.006, 0.008, 0.0121, 0.0131, 0.02, 0.0405, 0.042, 0.1, 0.3):
        scales = SoftmaxScales(np.float32(step), np.float32(1), np.float32(1 / 256), -128)
        close = np.zeros((count, count), np.int64)
        close[np.arange(count), np.arange(count)] = -1
        rows = [close + 90, rng.integers(-128, 128, (300, count)), 120 - rng.integers(0, 3, (300, count)), -close - 20]
        codes = np.concatenate(rows)
        found = RUNTIMES[runtime].softmax(codes, scales)
        same = bool((found.argmax(1) == codes.argmax(1)).all())
        said.add(keeps_the_class(scales, count))
        assert same or not keeps_the_class(scales, count), step
    assert said == {True, False}
    # Smaller ones among themselves can be equal, whatever the scale.
    scales = SoftmaxScales(np.float32(0.3), np.float32(1), np.float32(1 / 256), -128)
    found = RUNTIMES[runtime].softmax(np.array([[100, -100, -101]]), scales)
    assert found[0, 1] == found[0, 2]
