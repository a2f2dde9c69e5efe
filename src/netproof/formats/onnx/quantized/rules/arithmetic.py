"""Float32 arithmetic of onnxruntime's quantized operators, operation by operation.

Every result is one float32 operation of IEEE 754 rounded to nearest, so that it is the same wherever it is computed. The
order of operations is the rule, and it was compared with onnxruntime (docs/deployed.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
Singles = NDArray[np.float32]
Numbers = NDArray[Any] | np.floating[Any]


def fused(a: Numbers, b: Numbers, c: Numbers) -> Singles:
    """``a * b + c`` of float32 numbers with one rounding, as one instruction (FMA) computes it.

    The product is exact in float64. Its sum with ``c`` is taken there with the last bit made odd where bits are lost (S. Boldo
    and G. Melquiond, *Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd*, IEEE Transactions on
    Computers 57, 2008), so that the second rounding, to float32, is as if it were the only one.
    """
    product = np.asarray(a, np.float64) * np.asarray(b, np.float64)
    other = np.asarray(c, np.float64)
    product, other = np.broadcast_arrays(product, other)
    total = product + other
    virtual = total - product
    error = (product - (total - virtual)) + (other - virtual)
    even = (np.ascontiguousarray(total).view(np.int64) & 1) == 0
    odd = np.where((error != 0) & even, np.nextafter(total, np.copysign(np.inf, error)), total)
    return odd.astype(np.float32)


def nearest(values: Numbers) -> NDArray[np.float64]:
    """The nearest whole number, halves to the even one."""
    return np.rint(np.asarray(values, np.float64))


def whole(values: NDArray[Any]) -> Whole:
    """The nearest whole numbers; raises ValueError for numbers that 32 bits do not hold, which processors do not agree on."""
    rounded = nearest(values)
    if not bool((np.abs(rounded) < 2.0**31).all()):
        raise ValueError("a number beyond 32 bits comes up, which processors do not agree on")
    return rounded.astype(np.int64)


def clamped_whole(values: NDArray[Any]) -> Whole:
    """The nearest whole numbers, of what is clamped as floats: those beyond 2**40 are that."""
    return np.clip(nearest(values), -(2.0**40), 2.0**40).astype(np.int64)


def dequantized(codes: Whole, scale: np.float32, zero: int) -> Singles:
    """``DequantizeLinear``: ``(q - zero) * scale``, one product."""
    return np.asarray((codes - zero).astype(np.float32) * scale, np.float32)


def quantized(values: Singles, scale: np.float32, zero: int, ends: tuple[int, int]) -> Whole:
    """``QuantizeLinear``: the quotient, rounded, clamped, then the zero point."""
    with np.errstate(over="ignore"):
        quotient = nearest(values / scale)
    low, high = ends
    return np.clip(quotient, low - zero, high - zero).astype(np.int64) + zero


def added(a: Whole, b: Whole, scales: tuple[np.float32, np.float32, np.float32], zeros: tuple[int, int, int]) -> Whole:
    """``QLinearAdd`` on x86 with FMA, of raw codes, before it is clamped."""
    first, second = scales[0] / scales[2], scales[1] / scales[2]
    constant = np.float32(zeros[2]) - fused(first, np.float32(zeros[0]), np.float32(second * np.float32(zeros[1])))
    return whole(fused(a, first, fused(b, second, constant)))


def added_by_weights(
    a: Whole, b: Whole, scales: tuple[np.float32, np.float32, np.float32], zeros: tuple[int, int, int]
) -> Whole | None:
    """``QLinearAdd`` on 64-bit ARM, as its source has it: whole-number weights of 22 bits, halves away from 0.

    None where the scales are outside of what these weights are for.
    """
    first, second = scales[0] / scales[2], scales[1] / scales[2]
    if not all(2.0**-14 <= float(ratio) < 256 for ratio in (first, second)):
        return None
    shift = 21 - (int(np.frexp(max(first, second))[1]) - 1)
    if not 13 <= shift <= 31:
        return None
    weights = [int(nearest(np.float32(ratio * np.float32(2.0**shift)))) for ratio in (first, second)]
    if max(weights) >= 1 << 22:
        return None
    total = weights[0] * (a - zeros[0]) + weights[1] * (b - zeros[1])
    total = total + (total >> 31)  # one less where it is negative: halves go away from 0 then
    return np.asarray(((total + (1 << (shift - 1))) >> shift) + zeros[2])


def multiplied(
    a: Whole, b: Whole, scales: tuple[np.float32, np.float32, np.float32], zeros: tuple[int, int, int]
) -> Whole:
    """``QLinearMul`` of raw codes, before it is clamped."""
    scale = np.float32(scales[0] * scales[1] / scales[2])
    product = ((a - zeros[0]) * (b - zeros[1])).astype(np.float32)
    return whole(product * scale + np.float32(zeros[2]))


def mean_scale(count: int, operand: np.float32, result: np.float32) -> np.float32:
    """What ``QLinearGlobalAveragePool`` multiplies the sum of so many codes by."""
    scale: np.float32 = np.float32(operand / np.float32(result * np.float32(count)))
    return scale


def averaged(sums: Whole, scale: np.float32) -> Whole:
    """``QLinearGlobalAveragePool``: sums of codes less their zero points, before the zero point of the result."""
    return whole(sums.astype(np.float32) * scale)


def averaged_by_multiplier(sums: Whole, scale: np.float32) -> Whole:
    """The same on 64-bit ARM, as its source has it: the exact product, halves away from 0."""
    fraction, exponent = np.frexp(np.float64(scale))
    multiplier, shift = int(fraction * (1 << 24)), 24 - int(exponent)
    product = sums * multiplier + np.where(sums < 0, -1, 0)
    return np.asarray((product + (1 << (shift - 1))) >> shift)
