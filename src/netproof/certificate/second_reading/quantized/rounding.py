"""How ``onnxruntime`` and the standard's formulas round, number by number (docs/deployed.md).

Floats are single operations of float32 on NumPy's scalars; what is exact is a fraction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from netproof.certificate.second_reading.reading import UnknownFormError

#: a whole number to the nearest code of the result, its zero point left out, before it is clamped
Round = Callable[[int], int]
#: two raw codes to a raw code, before it is clamped
Pair = Callable[[int, int], int]
Single = np.float32

RUNTIMES = ("onnxruntime", "integer-ideal")
#: halves between two float32 numbers, among float64 ones
_LOST, _HALF = (1 << 29) - 1, 1 << 28


def nearest(number: np.float32) -> int:
    """The nearest whole number, halves to even."""
    found = float(number)
    if not math.isfinite(found):
        raise UnknownFormError("a number beyond float32")
    return round(found)


def of_product(runtime: str, operand: Single, weight: Single, result: Single) -> Round:
    """Sums of products of codes with these scales."""
    if runtime == "integer-ideal":
        exact = _fraction(operand) * _fraction(weight) / _fraction(result)
        return lambda value: round(value * exact)
    scale = np.float32(np.float32(operand * weight) / result)
    return lambda value: nearest(np.float32(np.float32(value) * scale))


def of_mean(runtime: str, count: int, operand: Single, result: Single) -> Round:
    """Sums of ``count`` codes, of which the mean is taken."""
    if runtime == "integer-ideal":
        exact = _fraction(operand) / _fraction(result) / count
        return lambda value: round(value * exact)
    scale = np.float32(operand / np.float32(result * np.float32(count)))
    return lambda value: nearest(np.float32(np.float32(value) * scale))


def of_sum(runtime: str, first: tuple[Single, int], second: tuple[Single, int], result: tuple[Single, int]) -> Pair:
    """The sum of two values, each given by scale and zero point."""
    (one, zero_one), (other, zero_other), (scale, zero) = first, second, result
    if runtime == "integer-ideal":
        left, right = (_fraction(part) / _fraction(scale) for part in (one, other))
        return lambda a, b: round((a - zero_one) * left + (b - zero_other) * right) + zero
    ratio, rest = np.float32(one / scale), np.float32(other / scale)
    constant = np.float32(np.float32(zero) - once(ratio, zero_one, np.float32(rest * np.float32(zero_other))))
    inner: dict[int, np.float32] = {}

    def added(a: int, b: int) -> int:
        if b not in inner:
            inner[b] = once(rest, b, constant)
        return nearest(once(ratio, a, inner[b]))

    return added


def of_change(runtime: str, operand: tuple[Single, int], result: tuple[Single, int]) -> Round:
    """A raw code that is dequantized and quantized again: the nearest code, its zero point left out."""
    (one, zero), (scale, _) = operand, result
    if runtime == "integer-ideal":
        exact = _fraction(one) / _fraction(scale)
        return lambda code: round((code - zero) * exact)
    return lambda code: nearest(np.float32(np.float32(np.float32(code - zero) * one) / scale))


def once(factor: Single, whole: int, summand: Single) -> np.float32:
    """``factor * whole + summand`` with one rounding to float32."""
    # The product of 24 bits and 9 is exact in float64, and so is what fsum rounds, once.
    total = math.fsum((float(factor) * whole, float(summand)))
    if not math.isfinite(total):
        raise UnknownFormError("a number beyond float32")
    if int(np.float64(total).view(np.int64)) & _LOST == _HALF:
        # Rounded to a half between two float32 numbers, or really one.
        exact = Fraction(float(factor)) * whole + Fraction(float(summand))
        if exact != Fraction(total):
            total = math.nextafter(total, math.inf if exact > Fraction(total) else -math.inf)
    rounded: np.float32 = np.float32(total)
    return rounded


def _fraction(scale: Single) -> Fraction:
    return Fraction(float(scale))
