"""LOGISTIC and TANH on 8-bit codes: a table of 256 codes, in fixed point or rounded from the function itself.

Results have the scale that runtimes fix: 1/256 with zero point -128, 1/128 with zero point 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from netproof.formats.tflite.rules.fixed_point import LARGEST, exponential, reciprocal, reflected, shifted
from netproof.formats.tflite.rules.multiplier import Whole, multipliers, scaled_twice_rounded

#: codes less their zero point and their scale, to codes of the result; None where they depend on the C library
Table = Callable[[Whole, np.float32], "Whole | None"]

#: integer bits of the fixed-point argument
_BITS = 4
#: how near to a half a value may lie before float32 and the C library's exponential decide, in codes
_DOUBT = 1e-4


def _in_fixed_point(codes: Whole, scale: np.float32, of: Callable[[int], int]) -> Whole:
    """A function of the argument with 4 integer bits; beyond their range, the ends."""
    (multiplier,), (exponent,) = multipliers(np.array([float(scale) * (1 << (31 - _BITS))]))
    radius = math.floor(((1 << _BITS) - 1) * (1 << (31 - _BITS)) / 2.0 ** int(exponent))
    inside = np.clip(codes, -radius, radius)
    arguments = scaled_twice_rounded(inside, multiplier, exponent)
    found = np.array([of(int(a)) for a in arguments], np.int64)
    return np.where(codes <= -radius, -128, np.where(codes >= radius, 127, np.clip(found, -128, 127)))


def logistic_in_fixed_point(codes: Whole, scale: np.float32) -> Whole:
    """TensorFlow Lite's integer kernel, and Micro's."""

    def of(a: int) -> int:
        positive = reciprocal(exponential(-abs(a), _BITS))
        value = 1 << 30 if a == 0 else positive if a > 0 else LARGEST - positive
        return shifted(value, 23) - 128

    return _in_fixed_point(codes, scale, of)


def tanh_in_fixed_point(codes: Whole, scale: np.float32) -> Whole:
    """TensorFlow Lite's integer kernel, and Micro's."""

    def of(a: int) -> int:
        # The exponential of twice the argument: the same number with one more integer bit.
        size = reflected(exponential(-abs(a), _BITS + 1))
        return shifted(0 if a == 0 else size if a > 0 else -size, 24)

    return _in_fixed_point(codes, scale, of)


def _rounded(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], zero: int) -> Whole | None:
    whole = np.floor(values)
    if bool((np.abs(values - whole - 0.5) < _DOUBT).any()):
        return None
    return np.asarray(np.clip(np.floor(values + 0.5).astype(np.int64) + zero, -128, 127))


def logistic_rounded(codes: Whole, scale: np.float32) -> Whole | None:
    """The function itself to the nearest code: LiteRT's kernels and XNNPACK, whose tables are of float32."""
    return _rounded(256 / (1 + np.exp(-np.clip(codes * float(scale), -700, 700))), -128)


def tanh_rounded(codes: Whole, scale: np.float32) -> Whole | None:
    """The same of the hyperbolic tangent."""
    return _rounded(128 * np.tanh(codes * float(scale)), 0)
