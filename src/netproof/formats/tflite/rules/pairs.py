"""How a runtime adds and multiplies two quantized values: functions of a pair of codes, elementwise.

Operands are codes less their zero points, int64; results are rounded, before the output's zero point is added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from netproof.formats.tflite.rules.multiplier import Whole, multipliers, scaled_twice_rounded

#: bits that operands of a sum are shifted to the left before they are scaled, of 8 bits and of 16
_SHIFT, _WIDE_SHIFT = 20, 15


@dataclass(frozen=True)
class PairScales:
    """The scales of two operands and of the result, as float32 in the file."""

    first: np.float32
    second: np.float32
    output: np.float32


Pairwise = Callable[[Whole, Whole, PairScales], Whole]


def added_in_fixed_point(a: Whole, b: Whole, scales: PairScales) -> Whole:
    """TensorFlow Lite's reference kernel, and Micro's: both operands scaled to twice the larger scale, then the sum."""
    first, second = float(scales.first), float(scales.second)
    twice = 2 * max(first, second)
    (m1, m2, m), (e1, e2, e) = multipliers(
        np.array([first / twice, second / twice, twice / ((1 << _SHIFT) * float(scales.output))])
    )
    scaled = scaled_twice_rounded(a << _SHIFT, m1, e1) + scaled_twice_rounded(b << _SHIFT, m2, e2)
    return scaled_twice_rounded(scaled, m, e)


def subtracted_in_fixed_point(a: Whole, b: Whole, scales: PairScales) -> Whole:
    """The same with the second operand taken off after it is scaled."""
    first, second = float(scales.first), float(scales.second)
    twice = 2 * max(first, second)
    (m1, m2, m), (e1, e2, e) = multipliers(
        np.array([first / twice, second / twice, twice / ((1 << _SHIFT) * float(scales.output))])
    )
    scaled = scaled_twice_rounded(a << _SHIFT, m1, e1) - scaled_twice_rounded(b << _SHIFT, m2, e2)
    return scaled_twice_rounded(scaled, m, e)


@dataclass(frozen=True)
class WideSum:
    """A sum or difference of 16-bit codes by the reference kernel of TensorFlow Lite, and Micro's, in three functions.

    Both operands are shifted by 15 bits and scaled to twice the larger scale, and what comes of adding them is scaled to the result's,
    by less than 1: kernels take no other factor.
    """

    scales: PairScales

    def _factors(self) -> tuple[Whole, Whole]:
        first, second = float(self.scales.first), float(self.scales.second)
        twice = 2 * max(first, second)
        last = twice / ((1 << _WIDE_SHIFT) * float(self.scales.output))
        return multipliers(np.array([first / twice, second / twice, last]))

    def operand(self, codes: Whole, number: int) -> Whole:
        """What the first (0) or the second (1) operand counts for."""
        multiplier, exponent = self._factors()
        return scaled_twice_rounded(codes << _WIDE_SHIFT, multiplier[number], exponent[number])

    def result(self, sums: Whole) -> Whole:
        multiplier, exponent = self._factors()
        return scaled_twice_rounded(sums, multiplier[2], exponent[2])


def added_wide(a: Whole, b: Whole, scales: PairScales) -> Whole:
    """A sum of 16-bit codes."""
    rule = WideSum(scales)
    return rule.result(rule.operand(a, 0) + rule.operand(b, 1))


def subtracted_wide(a: Whole, b: Whole, scales: PairScales) -> Whole:
    """A difference of 16-bit codes."""
    rule = WideSum(scales)
    return rule.result(rule.operand(a, 0) - rule.operand(b, 1))


def multiplied_in_fixed_point(a: Whole, b: Whole, scales: PairScales) -> Whole:
    """TensorFlow Lite Micro: the product of the codes, scaled as a sum of products is."""
    return _multiplied(a, b, float(scales.first) * float(scales.second) / float(scales.output))


def multiplied_by_single(a: Whole, b: Whole, scales: PairScales) -> Whole:
    """LiteRT's reference kernel: the same with a scale that is computed in float32."""
    return _multiplied(a, b, float(np.float32(scales.first * scales.second / scales.output)))


def _multiplied(a: Whole, b: Whole, scale: float) -> Whole:
    multiplier, exponent = multipliers(np.array([scale]))
    return scaled_twice_rounded(a * b, multiplier[0], exponent[0])


def weights_in_single(scales: PairScales) -> tuple[int, int, int]:
    """XNNPACK's whole-number weights of two operands, of 21 bits for the larger one, and the shift that follows."""
    first, second = scales.first / scales.output, scales.second / scales.output
    exponent = int(np.frexp(max(first, second))[1]) - 1
    shift = _SHIFT - exponent
    return int(np.rint(np.ldexp(np.float64(first), shift))), int(np.rint(np.ldexp(np.float64(second), shift))), shift


def added_by_weights(a: Whole, b: Whole, scales: PairScales) -> Whole:
    """XNNPACK: ``(m1 a + m2 b + half) >> shift``, halves upwards."""
    first, second, shift = weights_in_single(scales)
    return (first * a + second * b + (1 << (shift - 1))) >> shift


def subtracted_by_weights(a: Whole, b: Whole, scales: PairScales) -> Whole:
    """XNNPACK: the same with the second weight negative."""
    first, second, shift = weights_in_single(scales)
    return (first * a - second * b + (1 << (shift - 1))) >> shift


def multiplied_in_single(a: Whole, b: Whole, scales: PairScales) -> Whole:
    """XNNPACK: ``roundeven(float32(a b) * s)`` with ``s = s_1 s_2 / s_out`` in float32."""
    scale = np.float32(scales.first * scales.second / scales.output)
    value = (a * b).astype(np.float32) * scale
    return np.asarray(np.rint(value.astype(np.float64)), np.int64)


#: codes less their zero point, scale of the operand, scale of the result
Rescaling = Callable[[Whole, np.float32, np.float32], Whole]


def rescaled_in_fixed_point(a: Whole, operand: np.float32, output: np.float32) -> Whole:
    """QUANTIZE of codes by TensorFlow Lite's kernels: the quotient of scales in float64, rounded twice."""
    multiplier, exponent = multipliers(np.array([float(operand) / float(output)]))
    return scaled_twice_rounded(a, multiplier[0], exponent[0])


def rescaled_by_256ths(a: Whole, operand: np.float32, output: np.float32) -> Whole:
    """XNNPACK: the quotient of scales in 256ths, rounded to even, then the result, halves upwards."""
    factor = int(np.rint(np.float64(np.float32(operand / output) * np.float32(256))))
    return (a * factor + 128) >> 8
