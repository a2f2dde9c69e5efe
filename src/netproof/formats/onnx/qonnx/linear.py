"""Lines and products of exact numbers: what stands between the quantizers of a QONNX network."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.arithmetic import per_channel
from netproof.formats.onnx.call import Call, Constant, NodeError, tensor_of
from netproof.formats.onnx.qonnx.values import Bend, Fractions, Levels, Line, Scaled, fractions, levels_of, shared_unit
from netproof.formats.onnx.quantized.build import Build
from netproof.formats.onnx.quantized.values import Sums
from netproof.formats.onnx.windows import padding_of
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.sum import Sum

#: bits of a root
_ROOT_BITS = 200
#: weights of a product in whole numbers are below
_LARGEST = 1 << 40


def runs_of(constant: Constant, shape: tuple[int, ...]) -> Fractions:
    """A constant broadcast to a value's shape, as fractions of equally long runs."""
    if np.broadcast_shapes(constant.shape, shape) != shape:
        raise NodeError(f"a constant of shape {constant.shape} with a value {shape}", "export the network again")
    numbers = constant.whole * constant.unit if isinstance(constant, Levels) else fractions(constant.array)
    return per_channel(np.asarray(numbers, object), shape)


def moved_by(value: Scaled, scale: Fractions | None, shift: Fractions | None) -> Scaled:
    """A value times ``scale`` plus ``shift``."""
    one, zero = np.array([Fraction(1)], object), np.array([Fraction(0)], object)
    return with_step(value, Line(one if scale is None else scale, zero if shift is None else shift))


def with_step(value: Scaled, step: Line | Bend) -> Scaled:
    return Scaled(value.node, value.shape, value.low, value.high, value.then(step))


def normalized(call: Call, value: Scaled) -> Scaled:
    """``BatchNormalization``, its root to 200 bits where it is irrational."""
    if call.outputs > 1 or call.flag("training_mode") or not call.flag("spatial", default=True):
        raise NodeError("batch normalization in training mode, or not per channel", "export it in evaluation mode")
    gain, bias, mean, variance = (fractions(call.numbers(i).reshape(-1)) for i in range(1, 5))
    if (
        len(value.shape) < 2
        or value.shape[0] != 1
        or {len(p) for p in (gain, bias, mean, variance)} != {value.shape[1]}
    ):
        raise NodeError(f"its parameters are not for the channels of {value.shape}", "export the network again")
    epsilon = Fraction(call.number("epsilon", 1e-5))
    roots = [_root(one + epsilon) for one in variance]
    scale, shift = np.empty(len(gain), object), np.empty(len(gain), object)
    scale[:] = [one / root for one, (root, _) in zip(gain, roots, strict=True)]
    shift[:] = [b - m * s for b, m, s in zip(bias, mean, scale, strict=True)]
    return with_step(value, Line(scale, shift, not all(exact for _, exact in roots)))


def _root(number: Fraction) -> tuple[Fraction, bool]:
    """The square root of a positive number, and whether it is exact."""
    if number <= 0:
        raise NodeError("a variance is not positive", "retrain or repair the network")
    top, bottom = math.isqrt(number.numerator), math.isqrt(number.denominator)
    if top * top == number.numerator and bottom * bottom == number.denominator:
        return Fraction(top, bottom), True
    # The root of the number times a power of 4, so that enough bits are left.
    power = _ROOT_BITS + max(0, number.denominator.bit_length() - number.numerator.bit_length())
    scaled = (number.numerator << (2 * power)) // number.denominator
    return Fraction(math.isqrt(scaled), 1 << power), False


def product(build: Build, call: Call, value: Scaled, weights: Constant, *, turned: bool) -> Scaled:
    """``x W`` of one row, ``W`` ``[in, out]``, or ``[out, in]`` where it is turned."""
    build.translation.allocate(32 * weights.array.size)
    levels = levels_of(weights)
    if levels.whole.ndim != 2:
        raise NodeError(f"a product with a constant of shape {levels.whole.shape}", "known are matrices")
    whole = levels.whole if turned else levels.whole.T
    outputs, inputs = whole.shape
    if value.size != inputs or value.shape[-1] != inputs:
        raise NodeError(f"weights {(inputs, outputs)} on {value.shape}; known is one row, batch size 1")
    unit = _output_units(levels, 0 if turned else 1)
    line = value.line
    rows, units, shift = _weighted(whole, unit, line, inputs)
    zero = torch.zeros(outputs, dtype=torch.float64)
    sums = build.affine(call.name, Linear(tensor_of(rows), zero), (value,), (*value.shape[:-1], outputs))
    return _scaled(sums, Line(units, shift, line.approximate))


def _output_units(levels: Levels, axis: int) -> Fractions:
    """One unit for each output channel, or one for all."""
    unit = levels.unit
    if unit.size == 1:
        return unit.reshape(1)
    spread = np.moveaxis(np.broadcast_to(unit, levels.whole.shape), axis, 0).reshape(levels.whole.shape[axis], -1)
    if not all(one == row[0] for row in spread for one in row[1:]):
        raise NodeError("weights with scales along their inputs", "quantize them per tensor or per output channel")
    return spread[:, 0]


def _weighted(
    whole: NDArray[np.int64], unit: Fractions, line: Line, inputs: int
) -> tuple[NDArray[np.float64], Fractions, Fractions]:
    """Whole weights ``[out, ...]`` of a line's own whole numbers, their units, and what is added."""
    scale, shift = line.scale, line.shift
    added: Fractions = np.array([Fraction(0)], object)
    if bool((shift != 0).any()):
        if whole.ndim > 2:
            raise NodeError("a value that is shifted, before a convolution", "quantize the value first")
        added = (whole.astype(object) * np.repeat(shift, inputs // len(shift))[None]).sum(1) * unit
    shared = shared_unit(scale)
    factors = np.array([int(one / shared) for one in scale], object)
    if len(scale) > 1 and bool((factors != factors[0]).any()):
        each = np.repeat(factors, inputs // len(factors))
        if whole.ndim > 2:
            raise NodeError("channels of several scales before a convolution", "quantize the value per tensor")
        whole = whole.astype(object) * each[None]
    else:
        whole = whole * int(factors[0])
    if max((abs(int(number)) for number in whole.reshape(-1)), default=0) >= _LARGEST:
        raise NodeError("weights that need more than 40 bits", "quantize with scales closer together")
    return whole.astype(np.float64), unit * shared, added


def _scaled(sums: Sums, line: Line) -> Scaled:
    return Scaled(sums.node, sums.shape, sums.low, sums.high, (line,))


def convolution(build: Build, call: Call, value: Scaled, weights: Constant) -> Scaled:
    """``Conv`` of one sample."""
    build.translation.allocate(32 * weights.array.size)
    levels = levels_of(weights)
    axes = levels.whole.ndim - 2
    if not 1 <= axes <= 3 or len(value.shape) != levels.whole.ndim or value.shape[0] != 1:
        raise NodeError(f"a kernel {levels.whole.shape} over {value.shape}; known are one to three axes, batch size 1")
    kernel = call.integers("kernel_shape")
    if kernel is not None and tuple(kernel) != levels.whole.shape[2:]:
        raise NodeError(f"its kernel_shape {kernel} is not that of the weight {levels.whole.shape}", "export it again")
    stride, dilation = call.extents("strides", axes, 1, 1), call.extents("dilations", axes, 1, 1)
    padding = padding_of(call, value.shape[2:], levels.whole.shape[2:], stride, dilation)
    line = value.line
    rows, units, _ = _weighted(levels.whole, _output_units(levels, 0), line, value.shape[1])
    operator = Convolution(
        tensor_of(rows), None, value.shape[1:], stride, padding, dilation, call.integer("group", 1), 1
    )
    sums = build.affine(call.name, operator, (value,), (1, *operator.sample_shape))
    return _scaled(sums, Line(units, np.array([Fraction(0)], object), line.approximate))


def added(build: Build, call: Call, first: Scaled, second: Scaled, sign: int) -> Scaled:
    """The sum or the difference of two values of one shape."""
    if first.shape != second.shape:
        raise NodeError(f"values of shapes {first.shape} and {second.shape}", "known are values of one shape")
    one, other = first.line, second.line
    if one.approximate or other.approximate:
        raise NodeError("batch-normalized values are added", "quantize them first")
    shared = shared_unit([*one.scale, *other.scale])
    weighted = []
    for value, line, part in ((first, one, "first"), (second, other, "second")):
        factors = [int(scale / shared) for scale in line.scale]
        if max(abs(factor) for factor in factors) >= _LARGEST:
            raise NodeError("scales that have no common unit within 40 bits", "quantize both with one scale")
        factor = torch.tensor([float(f) for f in factors], dtype=torch.float64)
        scale = Scale(value.size, factor, torch.zeros(1, dtype=torch.float64))
        weighted.append(build.affine(f"{call.name}/{part}", scale, (value,), value.shape))
    sums = build.affine(call.name, Sum((1, sign)), (weighted[0], weighted[1]), first.shape)
    count = math.lcm(len(one.shift), len(other.shift))
    mine, theirs = (np.repeat(line.shift, count // len(line.shift)) for line in (one, other))
    return _scaled(sums, Line(np.array([shared], object), mine + sign * theirs))
