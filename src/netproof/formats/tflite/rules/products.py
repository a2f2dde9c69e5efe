"""How a runtime brings the sum of a product (convolution, fully connected) back to 8 bits.

``q = clamp(round(acc * s_in * s_w / s_out) + zero point)``; which numbers are multiplied in which precision, and how the result is
rounded, is the rule. Each is a nondecreasing function of the sum: multiplication by a number that is not negative, conversion to
float32, rounding and clamping all keep order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netproof.formats.tflite.rules.multiplier import Whole, multipliers, scaled_twice_rounded

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class ProductScales:
    """The scales of a product: of its input, of its weights ``[C]``, of its output, as float32 in the file."""

    input: np.float32
    weight: Singles
    output: np.float32

    def in_double(self) -> Floats:
        """``s_in s_w / s_out`` ``[C]``, in float64."""
        return np.asarray(np.float64(self.input) * self.weight.astype(np.float64) / np.float64(self.output))

    def by_single_product(self) -> Floats:
        """The product of the first two in float32, the quotient in float64."""
        return np.asarray((self.input * self.weight).astype(np.float64) / np.float64(self.output))

    def in_single(self) -> Singles:
        """The same in float32 throughout."""
        return np.asarray(self.input * self.weight / self.output, np.float32)


#: ``[C, K]`` sums to the rounded result before the zero point is added
Rounding = Callable[[Whole, ProductScales], Whole]


def twice_rounded(acc: Whole, scales: ProductScales) -> Whole:
    """TensorFlow Lite's reference kernels, TensorFlow Lite Micro, CMSIS-NN: 31-bit multiplier, rounded twice."""
    multiplier, exponent = multipliers(scales.in_double())
    return scaled_twice_rounded(acc, multiplier[:, None], exponent[:, None])


def twice_rounded_by_single(acc: Whole, scales: ProductScales) -> Whole:
    """The same with a scale whose first product is taken in float32.

    Sources of tensorflow/lite since 2025, FULLY_CONNECTED per tensor; LiteRT's reference kernels, convolutions of uint8.
    """
    multiplier, exponent = multipliers(scales.by_single_product())
    return scaled_twice_rounded(acc, multiplier[:, None], exponent[:, None])


def halves_away_in_double(acc: Whole, scales: ProductScales) -> Whole:
    """``round(acc r)`` in float64, halves away from 0: LiteRT's reference kernel of FULLY_CONNECTED since April 2025."""
    value = acc.astype(np.float64) * scales.in_double()[:, None]
    whole = np.floor(np.abs(value))
    # The difference is exact; half added to the value would not be.
    return np.asarray(np.copysign(whole + (np.abs(value) - whole >= 0.5), value), np.int64)


def halves_even_in_single(acc: Whole, scales: ProductScales) -> Whole:
    """``roundeven(float32(acc) * s)`` in float32: XNNPACK, and the fused operators of onnxruntime."""
    value = acc.astype(np.float32) * scales.in_single()[:, None]
    return np.asarray(np.rint(value.astype(np.float64)), np.int64)


def rounded_by_15_bits(acc: Whole, scales: ProductScales) -> Whole:
    """Sums of products of 16-bit codes, 48 bits wide: a multiplier of 15 bits, rounded once, halves upwards.

    ``MultiplyByQuantizedMultiplier`` of a 64-bit number, in TensorFlow Lite's kernels and Micro's.
    """
    multiplier, exponent = multipliers(scales.in_double())
    reduced = np.where(multiplier < 0x7FFF0000, (multiplier + (1 << 15)) >> 16, 0x7FFF)
    shift = (15 - exponent)[:, None]
    return np.asarray((acc * reduced[:, None] + (np.int64(1) << (shift - 1))) >> shift)


def shifts_left(scales: ProductScales) -> Whole:
    """``[C]``, by how many bits a sum is shifted to the left before the product at most: the result has to fit in 32 bits."""
    exponents = [multipliers(scale)[1] for scale in (scales.in_double(), scales.by_single_product())]
    return np.maximum(np.maximum(*exponents), 0)


#: sums ``[n]`` of codes less their zero point, how many were added, scale of the operand, scale of the result
Averaging = Callable[[Whole, int, np.float32, np.float32], Whole]


def averaged_in_fixed_point(sums: Whole, count: int, operand: np.float32, output: np.float32) -> Whole:
    """MEAN by TensorFlow Lite's reference kernel, and Micro's: the number of summands divides the multiplier, rounded down."""
    (multiplier,), (exponent,) = (part.tolist() for part in multipliers(np.array([float(operand) / float(output)])))
    left = min(count.bit_length() - 1, 32, 31 + exponent)
    divided, shift = np.asarray((multiplier << left) // count), np.asarray(exponent - left)
    return scaled_twice_rounded(sums, divided, shift)


#: a real number divided by the scale, in float32, and the zero point, to a code: the one that stands for 6 in ReLU6
Limit = Callable[[np.float32, int], int]


def limit_away(quotient: np.float32, zero: int) -> int:
    """The nearest whole number, halves away from 0, and the zero point: TensorFlow Lite's kernels."""
    return int(math.copysign(math.floor(abs(float(quotient)) + 0.5), quotient)) + zero


def limit_even(quotient: np.float32, zero: int) -> int:
    """The whole number nearest to the sum of both in float32, halves to the even one: XNNPACK."""
    return round(float(quotient + np.float32(zero)))
