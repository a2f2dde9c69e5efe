"""How runtimes round, in whole numbers of Python and single operations of float32 (docs/deployed.md)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from netproof.certificate.second_reading.reading import UnknownFormError
from netproof.certificate.second_reading.tflite.buffer import Tensor

#: a sum to a rounded result
Round = Callable[[int], int]


def _fixed(real: float) -> tuple[int, int]:
    """A 31-bit whole number and an exponent."""
    if not math.isfinite(real):
        raise UnknownFormError("scales whose product float32 does not hold")
    part, exponent = math.frexp(real)
    whole = int(part * 2.0**31 + 0.5)
    if whole == 1 << 31:
        whole, exponent = 1 << 30, exponent + 1
    return (0, 0) if exponent < -31 else (whole, exponent)


def _twice(value: int, whole: int, exponent: int) -> int:
    """Rounded after the product, halves upwards, and after the shift, halves away from 0."""
    high = ((value << max(exponent, 0)) * whole + (1 << 30)) >> 31
    shift = max(-exponent, 0)
    if not shift:
        return high
    size = (abs(high) + (1 << shift >> 1)) >> shift
    return size if high >= 0 else -size


def of_product(
    runtime: str, dense: bool, channel: bool, input_: np.float32, weight: np.float32, output: np.float32
) -> Round:
    """The rounding of sums of products with these scales; ``channel`` says whether there is a scale for each channel."""
    if runtime == "xnnpack":
        single = np.float32(np.float32(input_ * weight) / output)
        return lambda value: int(np.rint(np.float64(np.float32(np.float32(value) * single))))
    real = float(input_) * float(weight) / float(output)
    if runtime == "litert-ref" and dense:

        def away(value: int) -> int:
            product = float(value) * real
            whole = math.floor(abs(product))
            return int(math.copysign(whole + (abs(product) - whole >= 0.5), product))

        return away
    if runtime == "tflm-single-product" and dense and not channel:
        real = float(np.float32(input_ * weight)) / float(output)
    elif runtime not in ("tflm", "tflm-single-product", "litert-ref"):
        raise UnknownFormError(f"the runtime '{runtime[:40]}'")
    whole, exponent = _fixed(real)
    return lambda value: _twice(value, whole, exponent)


def of_byte_product(
    runtime: str, dense: bool, channel: bool, input_: np.float32, weight: np.float32, output: np.float32
) -> Round:
    """The same of sums of codes without a sign: reference kernels of convolutions multiply the first two scales in float32."""
    if dense or runtime != "litert-ref":
        return of_product(runtime, dense, channel, input_, weight, output)
    whole, exponent = _fixed(float(np.float32(input_ * weight)) / float(output))
    return lambda value: _twice(value, whole, exponent)


def of_wide_product(
    runtime: str, dense: bool, channel: bool, input_: np.float32, weight: np.float32, output: np.float32
) -> Round:
    """The same of sums of 48 bits, of codes of 16: the multiplier has 15 bits, and is rounded to them; halves upwards."""
    if dense and runtime == "litert-ref":
        return of_product(runtime, dense, channel, input_, weight, output)
    if runtime not in ("tflm", "tflm-single-product", "litert-ref"):
        raise UnknownFormError(f"codes of 16 bits for the runtime '{runtime[:40]}'")
    whole, exponent = _fixed(float(input_) * float(weight) / float(output))
    # Whatever would come to 2^15 stays one below.
    short, shift = min((whole + (1 << 15)) >> 16, (1 << 15) - 1), 15 - exponent
    return lambda value: (value * short + (1 << shift >> 1)) >> shift


def of_sum(runtime: str, first: np.float32, second: np.float32, output: np.float32) -> Callable[[int, int], int]:
    """The rounding of a sum of two values with these scales."""
    if runtime == "xnnpack":
        one, other = np.float32(first / output), np.float32(second / output)
        shift = 20 - (math.frexp(float(max(one, other)))[1] - 1)
        factors = [round(math.ldexp(float(part), shift)) for part in (one, other)]
        return lambda a, b: (factors[0] * a + factors[1] * b + (1 << (shift - 1))) >> shift
    twice = 2 * max(float(first), float(second))
    left, right = _fixed(float(first) / twice), _fixed(float(second) / twice)
    both = _fixed(twice / (2.0**20 * float(output)))
    return lambda a, b: _twice(_twice(a << 20, *left) + _twice(b << 20, *right), *both)


def of_difference(runtime: str, first: np.float32, second: np.float32, output: np.float32) -> Callable[[int, int], int]:
    """The rounding of a difference of two values with these scales."""
    if runtime == "xnnpack":
        added = of_sum(runtime, first, second, output)
        return lambda a, b: added(a, -b)
    twice = 2 * max(float(first), float(second))
    left, right = _fixed(float(first) / twice), _fixed(float(second) / twice)
    both = _fixed(twice / (2.0**20 * float(output)))
    # Each operand is rounded before the difference is taken.
    return lambda a, b: _twice(_twice(a << 20, *left) - _twice(b << 20, *right), *both)


def of_wide_sum(
    runtime: str, first: np.float32, second: np.float32, output: np.float32, stated: bool
) -> tuple[Round, Round, Round]:
    """What two operands of 16 bits count for in a sum or difference, and the rounding of that; ``stated``, that powers of two are none."""
    scales = [float(scale) for scale in (first, second, output)]
    if runtime == "litert-ref" and not stated and all(math.frexp(scale)[0] == 0.5 for scale in scales):
        raise UnknownFormError("a sum of codes of 16 bits whose scales are powers of two")
    twice = 2 * max(scales[:2])
    if twice >= 2.0**15 * scales[2]:
        raise UnknownFormError("a sum of codes of 16 bits that is scaled up")
    left, right = _fixed(scales[0] / twice), _fixed(scales[1] / twice)
    both = _fixed(twice / (2.0**15 * scales[2]))
    return (
        lambda a: _twice(a << 15, *left),
        lambda b: _twice(b << 15, *right),
        lambda total: _twice(total, *both),
    )


def of_pair_product(
    runtime: str, first: np.float32, second: np.float32, output: np.float32
) -> Callable[[int, int], int]:
    """The rounding of a product of two values with these scales."""
    if runtime == "litert-ref":
        whole, exponent = _fixed(float(np.float32(np.float32(first * second) / output)))
        return lambda a, b: _twice(a * b, whole, exponent)
    one = of_product(runtime if runtime == "xnnpack" else "tflm", False, False, first, second, output)
    return lambda a, b: one(a * b)


def of_wide_pair_product(
    runtime: str, first: np.float32, second: np.float32, output: np.float32
) -> Callable[[int, int], int]:
    """The same of codes of 16 bits, whose products have 32 bits no longer where they are scaled up."""
    if float(first) * float(second) >= (1 - 2.0**-22) * float(output):
        raise UnknownFormError("a product of codes of 16 bits that is scaled up")
    return of_pair_product(runtime, first, second, output)


def of_mean(runtime: str, count: int, input_: np.float32, output: np.float32) -> Round:
    """The mean of ``count`` codes: the multiplier is shifted to the left as far as it may be, and divided, rounded down."""
    if runtime == "xnnpack":
        raise UnknownFormError("a mean as 'xnnpack' computes it")
    whole, exponent = _fixed(float(input_) / float(output))
    left = min(count.bit_length() - 1, 32, 31 + exponent)
    divided = (whole << left) // count
    return lambda value: _twice(value, divided, exponent - left)


def of_curve(runtime: str, name: str, scale: np.float32) -> Round:
    """A logistic function or hyperbolic tangent to the nearest code, the zero point of the result left out."""
    if runtime not in ("xnnpack", "litert-ref"):
        raise UnknownFormError(f"a {name} in the fixed-point numbers of '{runtime}'")

    def of(code: int) -> int:
        real = float(scale) * code
        if name == "TANH":
            value = 128 * math.tanh(real)
        else:
            value = 256 / (1 + math.exp(-real)) if real >= 0 else 256 * math.exp(real) / (1 + math.exp(real))
        whole = math.floor(value)
        if abs(value - whole - 0.5) < 1e-6:
            raise UnknownFormError(f"a {name} next to a half")
        return round(value)

    return of


def of_change(runtime: str, input_: np.float32, output: np.float32) -> Round:
    """The rounding of a value that is brought to another scale."""
    if runtime == "xnnpack":
        factor = int(np.rint(np.float64(np.float32(np.float32(input_ / output) * np.float32(256)))))
        return lambda value: (value * factor + 128) >> 8
    whole, exponent = _fixed(float(input_) / float(output))
    return lambda value: _twice(value, whole, exponent)


#: quotients of the ends of activations and scales are below it, zero points of 16 bits and a rounding to float32 allowed for
_MOST_END = 2.0**31 - 2.0**16


def limits(activation: int, runtime: str, output: Tensor) -> tuple[int, int]:
    """The least and the largest code that a fused activation leaves of a tensor's."""
    scale, zero = output.scale[0], output.zero[0]
    least, largest = output.ends
    if activation not in (0, 1, 2, 3):
        raise UnknownFormError(f"activation {activation}")

    def code(real: float) -> int:
        # Kernels but XNNPACK's have the end as a whole number of 32 bits, before it is clamped.
        if runtime != "xnnpack" and abs(real) / float(scale) >= _MOST_END:
            raise UnknownFormError("an activation whose end is a code beyond 32 bits")
        quotient = np.float32(np.clip(np.float32(real) / scale, np.float32(-(1 << 20)), np.float32(1 << 20)))
        if runtime == "xnnpack":
            return int(np.rint(np.float32(quotient + np.float32(zero))))
        return int(math.copysign(math.floor(abs(float(quotient)) + 0.5), quotient)) + zero

    # In the schema's numbers: none, ReLU, ReLU from -1 to 1, ReLU6.
    low, high = {0: (None, None), 1: (0, None), 2: (-1, 1), 3: (0, 6)}[activation]
    return (
        least if low is None else max(least, code(low)),
        largest if high is None else min(largest, code(high)),
    )
