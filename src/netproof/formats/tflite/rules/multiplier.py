"""Multiplying an integer by a real number with integers: multiplier, shift, and how the shift rounds.

A real scale ``r`` is ``M 2**(e - 31)`` with ``M`` of 31 bits. Published with gemmlowp and in B. Jacob et al., *Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*, CVPR 2018, section 2.2; the rules below are those
of TensorFlow Lite's ``MultiplyByQuantizedMultiplier``. All arrays are int64, of numbers that fit in 32 bits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
_ONE = 1 << 31


def multipliers(scales: NDArray[np.float64]) -> tuple[Whole, Whole]:
    """``M`` and ``e`` of real scales; a scale below ``2**-32`` is taken for 0."""
    pairs = [_multiplier(float(scale)) for scale in scales]
    return np.array([m for m, _ in pairs], np.int64), np.array([e for _, e in pairs], np.int64)


def _multiplier(scale: float) -> tuple[int, int]:
    fraction, exponent = math.frexp(scale)
    whole = math.floor(fraction * _ONE + 0.5)
    if whole == _ONE:
        whole, exponent = whole // 2, exponent + 1
    return (0, 0) if exponent < -31 else (whole, exponent)


def doubling_high(a: Whole, multiplier: Whole) -> Whole:
    """``a M / 2**31`` rounded to the nearest integer, halves upwards (saturating rounding doubling high multiplication)."""
    return (a * multiplier + (1 << 30)) >> 31


def halves_away(v: Whole, shift: Whole) -> Whole:
    """``v / 2**shift`` rounded to the nearest integer, halves away from 0."""
    rest = v & ((np.int64(1) << shift) - 1)
    middle = ((np.int64(1) << shift) - 1) >> 1
    return np.asarray((v >> shift) + (rest > middle + (v < 0)))


def scaled_twice_rounded(a: Whole, multiplier: Whole, exponent: Whole) -> Whole:
    """``a M 2**(e - 31)``, rounded after the product and once more after the shift: what most builds do."""
    left = np.maximum(exponent, 0)
    return halves_away(doubling_high(a << left, multiplier), np.maximum(-exponent, 0))
