"""The arithmetic of quantized ONNX operators against fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netproof.errors import InputError
from netproof.formats.onnx.quantized.rules import arithmetic, exact
from netproof.formats.onnx.quantized.rules.rule import IDEAL, ONNXRUNTIME, rule_of


def nearest_single(value: Fraction) -> np.float32:
    """The float32 number nearest to a fraction, halves to the even one, by trying its neighbours."""
    guess = np.float32(float(value))
    around = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    distances = [abs(Fraction(float(one)) - value) for one in around]
    least = min(distances)
    best = [one for one, distance in zip(around, distances, strict=True) if distance == least]
    return next((one for one in best if not one.view(np.uint32) & 1), best[0])


def test_a_fused_operation_rounds_once():
    rng = np.random.default_rng(0)
    a = rng.integers(-255, 256, 4000)
    b = np.exp(rng.uniform(-30, 3, 4000)).astype(np.float32)
    c = (rng.normal(size=4000) * np.exp(rng.uniform(-12, 8, 4000))).astype(np.float32)
    # Sums whose float64 lies halfway between two float32 numbers, where rounding twice goes wrong.
    b[:2] = np.float32(1 + 2.0**-23)
    a[:2], c[:2] = (1, 1), np.float32(2.0**-24) * np.float32([1 + 2.0**-23, 1 - 2.0**-23])
    found = arithmetic.fused(a, b, c)
    for k in range(4000):
        value = int(a[k]) * Fraction(float(b[k])) + Fraction(float(c[k]))
        assert found[k] == nearest_single(value), k


def test_products_of_fractions_are_rounded_once():
    rng = np.random.default_rng(1)
    for _ in range(60):
        ratio = Fraction(int(rng.integers(1, 1 << 40)), int(rng.integers(1, 1 << 40)))
        values = rng.integers(-(1 << 31), 1 << 31, 20)
        assert exact.times(values, ratio).tolist() == [round(int(v) * ratio) for v in values]
        assert np.array_equal(
            exact.scaled(values, ratio).clip(-(1 << 40), 1 << 40), exact.times(values, ratio).clip(-(1 << 40), 1 << 40)
        )
    halves = np.arange(-9, 10)
    assert exact.scaled(halves, Fraction(1, 2)).tolist() == exact.times(halves, Fraction(1, 2)).tolist()
    # A number that float64 takes for a half, and is none.
    near = Fraction((1 << 70) + 1, 1 << 71)
    assert exact.scaled(np.array([1, 3, -1, 5]), near).tolist() == [1, 2, -1, 3]
    assert exact.times(halves, Fraction(1, 2)).tolist() == [round(int(v) / 2) for v in halves]


@pytest.mark.parametrize("seed", range(5))
def test_the_ideal_rule_is_the_standard_s_formula(seed):
    rng = np.random.default_rng(seed)
    scales = tuple(np.exp(rng.uniform(-6, 0, 3)).astype(np.float32))
    s1, s2, s3 = (Fraction(float(scale)) for scale in scales)
    zeros = tuple(int(z) for z in rng.integers(0, 256, 3))
    x, y = rng.integers(0, 256, 50), rng.integers(0, 256, 50)
    added = IDEAL.add(x, y, scales, zeros)
    multiplied = IDEAL.multiply(x, y, scales, zeros)
    for a, b, sum_, product in zip(x.tolist(), y.tolist(), added, multiplied, strict=True):
        assert sum_ == round((s1 * (a - zeros[0]) + s2 * (b - zeros[1])) / s3) + zeros[2]
        assert product == round(s1 * (a - zeros[0]) * s2 * (b - zeros[1]) / s3) + zeros[2]
    sums = rng.integers(-40000, 40000, 50)
    weights = np.array([scales[1], scales[2]], np.float32)
    rows = IDEAL.product(sums[None], scales[0], weights, scales[2])
    for row, weight in zip(rows, (s2, s3), strict=True):
        assert row.tolist() == [round(int(v) * s1 * weight / s3) for v in sums]
    assert IDEAL.mean(sums, 7, scales[0], scales[1]).tolist() == [round(int(v) * s1 / s2 / 7) for v in sums]


def test_the_ideal_rule_and_onnxruntime_s_differ_near_halves_alone():
    rng = np.random.default_rng(5)
    sums = np.arange(-60000, 60000)[None]
    differing = 0
    for _ in range(20):
        scales = np.exp(rng.uniform(-5, -1, 3)).astype(np.float32)
        one = ONNXRUNTIME.product(sums, scales[0], scales[1:2], scales[2])
        other = IDEAL.product(sums, scales[0], scales[1:2], scales[2])
        differing += int((one != other).sum())
        assert np.abs(one - other).max() <= 1
    assert 0 < differing < 4000


def test_arm_s_rule_of_sums_is_close_to_x86_s():
    x, y = (part.reshape(-1) for part in np.meshgrid(np.arange(256), np.arange(256)))
    scales, zeros = (np.float32(0.03), np.float32(0.05), np.float32(0.07)), (3, 200, 117)
    one, other = arithmetic.added(x, y, scales, zeros), arithmetic.added_by_weights(x, y, scales, zeros)
    assert np.abs(one - other).max() <= 1
    # Equal scales: every second sum is a half, and the rules take another side.
    same = (np.float32(0.5), np.float32(0.5), np.float32(1))
    one, other = arithmetic.added(x, y, same, (0, 0, 0)), arithmetic.added_by_weights(x, y, same, (0, 0, 0))
    assert int((one != other).sum()) == 256 * 256 // 4
    assert arithmetic.added_by_weights(x, y, (np.float32(1), np.float32(2.0**-20), np.float32(1)), zeros) is None


def test_names_of_rules():
    assert rule_of(None) is ONNXRUNTIME and rule_of("integer-ideal") is IDEAL
    with pytest.raises(InputError, match="give onnxruntime, integer-ideal"):
        rule_of("tflm")
