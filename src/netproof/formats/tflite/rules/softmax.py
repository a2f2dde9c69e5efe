"""Softmax on 8-bit codes, as runtimes compute it: in fixed point, or by a table of float32 exponentials.

The fixed-point one is gemmlowp's (``fixedpoint.h``): an exponential of a number of 5 integer bits by a polynomial of degree 4
and a table of powers, and a reciprocal by three steps of Newton's method.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from netproof.formats.tflite.rules.multiplier import multipliers

_LARGEST = (1 << 31) - 1


@dataclass(frozen=True)
class SoftmaxScales:
    """The scale of the operand, ``beta``, scale and zero point of the result."""

    input: np.float32
    beta: np.float32
    output: np.float32
    zero: int


#: codes ``[N, k]`` to codes ``[N, k]``
Softmax = Callable[[NDArray[np.int64], SoftmaxScales], NDArray[np.int64]]


def _product(a: int, b: int) -> int:
    """The high half of a doubled product, rounded; saturated where both are the least number."""
    return _LARGEST if a == b == -_LARGEST - 1 else (a * b + (1 << 30)) >> 31


def _shifted(v: int, shift: int) -> int:
    mask = (1 << shift) - 1
    return (v >> shift) + ((v & mask) > (mask >> 1) + (v < 0))


def _saturated(v: int) -> int:
    return max(-_LARGEST - 1, min(_LARGEST, v))


@lru_cache(maxsize=1 << 12)
def _exponential(z: int) -> int:
    """``exp`` of a number of at most 0 with 5 integer bits, as a number with none."""
    if z == 0:
        return _LARGEST
    quarter = (z & ((1 << 24) - 1)) - (1 << 24)
    # The polynomial around -1/8, on [-1/4, 0).
    x = (quarter << 5) + (1 << 28)
    square = _product(x, x)
    cube, fourth = _product(square, x), _product(square, square)
    series = _shifted(_product(_shifted(fourth, 2) + cube, 715827883) + square, 1)
    result = 1895147668 + _product(1895147668, x + series)
    rest = quarter - z
    for bit, factor in enumerate((1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242), start=24):
        if rest >> bit & 1:
            result = _product(result, factor)
    return result


def _reciprocal(a: int) -> int:
    """``1 / (1 + a)`` for ``a`` in [0, 1), both with no integer bit."""
    total = a + _LARGEST
    half = (total + 1) // 2 if total >= 0 else -((1 - total) // 2)
    x = 1515870810 + _product(half, -1010580540)
    for _ in range(3):
        left = (1 << 29) - _product(half, x)
        x = _saturated(x + _saturated(_product(x, left) << 2))
    return _saturated(x << 1)


def softmax_in_fixed_point(codes: NDArray[np.int64], scales: SoftmaxScales) -> NDArray[np.int64]:
    """The reference kernel, TensorFlow Lite Micro and (as read) CMSIS-NN. The result has scale 1/256, zero point -128."""
    real = min(float(scales.beta) * float(scales.input) * (1 << 26), float(_LARGEST))
    (multiplier,), (left,) = (part.tolist() for part in multipliers(np.array([real])))
    least = -math.floor(31 * (1 << 26) / (1 << left))
    result = np.full(codes.shape, -128, np.int64)
    for row, found in zip(codes.tolist(), result, strict=True):
        top = max(row)
        parts = [_exponential(_product((c - top) << left, multiplier)) if c - top >= least else -1 for c in row]
        total = sum(_shifted(part, 12) for part in parts if part >= 0)
        headroom = 32 - total.bit_length()
        reciprocal = _reciprocal(((total << headroom) & 0xFFFFFFFF) - (1 << 31))
        shift = 12 - headroom + 31 - 8
        for i, part in enumerate(parts):
            if part >= 0:
                found[i] = max(-128, min(127, _shifted(_product(reciprocal, part), shift) - 128))
    return result


def softmax_by_table(codes: NDArray[np.int64], scales: SoftmaxScales) -> NDArray[np.int64]:
    """LiteRT's optimized kernel on x86: float32 exponentials, added one after another in float32."""
    step = np.float32(-scales.input * scales.beta)
    table = np.array([math.exp(float(np.float32(step * np.float32(k)))) for k in range(256)]).astype(np.float32)
    terms = table[codes.max(-1, keepdims=True) - codes]
    total = np.zeros(terms.shape[0], np.float32)
    for k in range(terms.shape[1]):
        total = total + terms[:, k]
    inverse = np.float32(1.0) / (total * scales.output)
    share = (terms * inverse[:, None]).astype(np.float64)
    return np.asarray(np.clip(np.floor(share + 0.5).astype(np.int64) + scales.zero, -128, 127))
