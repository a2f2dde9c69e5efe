"""The same operators in exact rational numbers of the file's float32 scales, rounded once, halves to even.

That is the wording of the ONNX standard, without the roundings that a runtime adds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
#: products beyond this are taken in Python's integers
_MOST = 1 << 61


def fraction(scale: np.float32) -> Fraction:
    return Fraction(float(scale))


def scaled(values: Whole, ratio: Fraction) -> Whole:
    """The same as :func:`times`, in float64 where that is far enough from a half to tell; results beyond 2**40 are not exact."""
    about = values.astype(np.float64) * float(ratio)
    # Rounded twice, and once more where the ratio is: 2**-51 of the number at most.
    near = np.abs(about - np.floor(about) - 0.5) <= 2.0**-40 * (1 + np.abs(about))
    found = np.rint(np.clip(about, -(2.0**40), 2.0**40)).astype(np.int64)
    found[near] = np.clip(times(values[near], ratio), -(1 << 40), 1 << 40)
    return found


def times(values: Whole, ratio: Fraction) -> Whole:
    """``values * ratio`` to the nearest whole number, halves to the even one."""
    top, bottom = ratio.numerator, ratio.denominator
    reach = int(np.abs(values).max(initial=0)) * abs(top) + bottom
    # Python's integers where 64 bits could not hold what comes up.
    wide = values.astype(object) if max(reach, 2 * bottom) >= _MOST else values
    product = wide * top
    floor = product // bottom
    twice = 2 * (product - floor * bottom)
    up = (twice > bottom) | ((twice == bottom) & (floor % 2 == 1))
    return np.asarray(floor + np.where(up, 1, 0)).astype(np.int64)


def combined(parts: Sequence[tuple[Whole, Fraction]]) -> Whole:
    """A sum of multiples to the nearest whole number, halves to the even one."""
    bottom = math.lcm(*(ratio.denominator for _, ratio in parts))
    total = sum(values.astype(object) * (ratio.numerator * (bottom // ratio.denominator)) for values, ratio in parts)
    return times(np.asarray(total, dtype=object), Fraction(1, bottom))


def dequantized(codes: Whole, scale: np.float32, zero: int) -> NDArray[Any]:
    """``DequantizeLinear``, an array of fractions."""
    return np.array([int(code - zero) * fraction(scale) for code in codes.reshape(-1)], object).reshape(codes.shape)


def quantized(values: NDArray[Any], scale: np.float32, zero: int, ends: tuple[int, int]) -> Whole:
    """``QuantizeLinear`` of fractions."""
    rounded = [round(value / fraction(scale)) + zero for value in values.reshape(-1)]
    return np.array([min(max(value, ends[0]), ends[1]) for value in rounded], np.int64).reshape(values.shape)
