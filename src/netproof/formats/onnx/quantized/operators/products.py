"""Sums of products: convolutions and matrix products of codes with constant weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.call import Call, Constant, NodeError, tensor_of
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.quantized.build import Build
from netproof.formats.onnx.quantized.processors import Processors
from netproof.formats.onnx.quantized.rules.rule import Rule, product_scale
from netproof.formats.onnx.quantized.values import INT8, INT32, Codes, Dequantized, Quantization, Sums
from netproof.formats.onnx.windows import padding_of
from netproof.graph.rounding import is_power_of_two
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear

Whole = NDArray[np.int64]
Singles = NDArray[np.float32]


#: float32 holds all whole numbers below this
SINGLE = 2.0**24
#: scales between this and its inverse are far from where float32 ends
_LEAST_UNIT = 2.0**-60


@dataclass(frozen=True, eq=False)
class Weights:
    """Constant weights, their output channels on the first axis.

    Attributes
    ----------
    raw : the codes as they are in the file
    zero : their zero point
    scale : ``[1]`` or ``[channels]``
    kind : their type, as ONNX numbers it
    """

    raw: Whole
    zero: int
    scale: Singles
    kind: int

    @property
    def values(self) -> NDArray[np.float64]:
        return (self.raw - self.zero).astype(np.float64)


def weights_of(constant: Dequantized, axis: int) -> Weights:
    """Weights whose output channels lie along ``axis``; raises :class:`NodeError`."""
    raw = np.moveaxis(constant.codes, axis, 0)
    if len(constant.scale) > 1 and (constant.axis != axis or len(constant.scale) != len(raw)):
        raise NodeError(
            f"its weights have {len(constant.scale)} scales along axis {constant.axis}; known are scales of output channels",
            "quantize it per tensor or per output channel",
        )
    if len(set(constant.zero.tolist())) > 1:
        raise NodeError("its weights have several zero points, which runtimes refuse", "quantize them symmetrically")
    scale = constant.scale
    scale = scale[:1] if bool((scale == scale[0]).all()) else scale
    return Weights(raw, int(constant.zero[0]), scale, constant.kind)


def bias_of(
    call: Call, value: object, operand: np.float32, scale: Singles, channels: int
) -> NDArray[np.float64] | None:
    """A bias in units of the sums, from whole numbers, or from floats that onnxruntime quantizes itself."""
    if value is None:
        return None
    if isinstance(value, Dequantized):
        expected = np.asarray(operand * scale, np.float32)
        if value.kind != INT32 or bool((value.zero != 0).any()):
            raise NodeError("its bias is not of int32 with zero point 0", "quantize the network again")
        stated = value.scale
        if not bool((np.broadcast_to(stated, np.broadcast_shapes(stated.shape, expected.shape)) == expected).all()):
            raise NodeError("the scale of its bias is not that of the products it is added to", "quantize it again")
        array = value.codes
    else:
        array = np.asarray(value)
    if array.size != channels or array.ndim > 2 or (array.ndim == 2 and array.shape[0] != 1):
        raise NodeError(f"a bias of shape {array.shape} for {channels} channels", "export the network again")
    if array.dtype == np.float64:
        if array.ndim != 1:
            problem = f"a bias of floats of shape {array.shape}, of which onnxruntime leaves the product in floats"
            raise NodeError(problem, "store one number for each channel, or quantize it")
        single = array.reshape(-1).astype(np.float32)
        with np.errstate(all="ignore"):
            array = np.rint((single / np.asarray(operand * scale, np.float32)).astype(np.float64))
    found = array.reshape(-1).astype(np.float64)
    if not bool((np.abs(found) < 2.0**31).all()):
        raise NodeError("its bias leaves 32 bits", "quantize the network again")
    return found


def convolution(
    build: Build, call: Call, operand: Codes, how: Quantization, weight: Weights, bias: NDArray[np.float64] | None
) -> Sums:
    """The sums of a convolution ``[N, C, ...]``; weights ``[out, in / groups, ...]``."""
    axes = weight.raw.ndim - 2
    if not 1 <= axes <= 3 or len(operand.shape) != weight.raw.ndim:
        raise NodeError(f"a kernel {weight.raw.shape} over {operand.shape}; known are one to three axes")
    kernel = call.integers("kernel_shape")
    if kernel is not None and tuple(kernel) != weight.raw.shape[2:]:
        raise NodeError(f"its kernel_shape {kernel} is not that of the weight {weight.raw.shape}", "export it again")
    stride, dilation = call.extents("strides", axes, 1, 1), call.extents("dilations", axes, 1, 1)
    padding = padding_of(call, operand.shape[2:], weight.raw.shape[2:], stride, dilation)
    build.translation.reserve(tuple(extent + sum(p) for extent, p in zip(operand.shape[2:], padding, strict=True)))
    operator = Convolution(
        tensor_of(weight.values),
        None if bias is None else torch.from_numpy(bias),
        operand.shape[1:],
        stride,
        padding,
        dilation,
        call.integer("group", 1),
        operand.shape[0],
    )
    shape = (operand.shape[0], *operator.sample_shape)
    return build.products(call.name, operator, build.less(operand, how.zero), shape)


def matrix(
    build: Build, call: Call, operand: Codes, how: Quantization, weight: Weights, bias: NDArray[np.float64] | None
) -> Sums:
    """The sums of ``x W'`` for ``x`` ``[..., in]`` and weights ``[out, in]``."""
    if weight.raw.ndim != 2 or not operand.shape or operand.shape[-1] != weight.raw.shape[1]:
        raise NodeError(
            f"weights {weight.raw.shape[::-1]} on {operand.shape}", "known is a constant matrix on the right"
        )
    outputs = len(weight.raw)
    rows = operand.size // operand.shape[-1]
    shape = (*operand.shape[:-1], outputs)
    build.translation.allocate(2 * weight.raw.size)
    given = build.less(operand, how.zero)
    offset = torch.zeros(outputs, dtype=torch.float64) if bias is None else torch.from_numpy(bias)
    if rows == 1:
        return build.products(call.name, Linear(tensor_of(weight.values), offset), given, shape)
    if bias is not None:
        raise NodeError(f"a bias on {rows} rows", "known is one row, batch size 1")
    return build.products(call.name, BlockLinear(tensor_of(weight.values)[None], rows, shape), given, shape)


def requantized(
    build: Build,
    rule: Rule,
    name: str,
    sums: Sums,
    scales: tuple[np.float32, Singles, np.float32],
    how: Quantization,
    computed: int,
    *,
    last: bool,
) -> Codes:
    """Sums brought back to codes; ``last`` says that channels are on the last axis, not on the second."""
    operand, weight, result = scales
    single = product_scale(operand, weight, result)
    if not bool((np.isfinite(single) & (single >= np.finfo(np.float32).tiny)).all()):
        raise NodeError("the quotient of its scales is no normal float32 number", "quantize the network again")
    shape = sums.shape
    if len(weight) == 1:
        return build.rounded(name, sums, 1, lambda acc: rule.product(acc, operand, weight, result), how, computed)
    if not last and shape[0] != 1:
        weight = np.tile(weight, shape[0])
    elif last and sums.size != len(weight):
        weight = np.tile(weight, sums.size // len(weight))
    return build.rounded(name, sums, len(weight), lambda acc: rule.product(acc, operand, weight, result), how, computed)


def check_saturation(processors: Processors, name: str, operand: Codes, how: Quantization, weight: Weights) -> None:
    """Note where sums of two products can leave 16 bits, in which some processors add them."""
    if operand.computed == INT8 or weight.kind != INT8:
        return
    shift = 128 if operand.kind == INT8 else 0
    # Of the codes that there are, and the zero point, with which is padded.
    largest = max(operand.largest[1], how.zero) + shift
    rows = weight.raw.reshape(len(weight.raw), -1)
    two = np.sort(rows, axis=1)
    up, down = two[:, -2:].clip(min=0).sum(1), two[:, :2].clip(max=0).sum(1)
    if bool((largest * up > 32767).any()) or bool((largest * down < -32768).any()):
        processors.saturating.append(printable(name))


def is_exact_in_floats(operand: Codes, how: Quantization, weight: Weights, bias: object) -> bool:
    """Whether float32 adds the products of dequantized codes up without rounding, in whatever order.

    With scales that are powers of two every product, partial sum and bias is a whole number times one power of two; below 2^24 float32 holds
    all of them.
    """
    units = np.asarray(how.scale * weight.scale, np.float64)
    ends = np.concatenate([units, weight.scale.astype(np.float64), [float(how.scale)]])
    if not is_exact(how.scale, *weight.scale) or bool((ends < _LEAST_UNIT).any() or (ends > 1 / _LEAST_UNIT).any()):
        return False
    size = np.abs(weight.values.reshape(len(weight.raw), -1)).sum(1)
    largest = size * max(abs(end - how.zero) for end in (*operand.largest, how.zero))
    if isinstance(bias, Dequantized):
        largest = largest + np.abs(bias.codes.reshape(-1).astype(np.float64))
    elif isinstance(bias, Constant):
        added = np.asarray(bias.array, np.float64).reshape(-1) / units
        if not bool((np.isfinite(added) & (added == np.rint(added))).all()):
            return False
        largest = largest + np.abs(added)
    return bool((largest < SINGLE).all())


def is_exact(*scales: np.float32) -> bool:
    """Whether scales are powers of two, with which float32 does not round."""
    return all(is_power_of_two(torch.tensor([float(scale)], dtype=torch.float64)) for scale in scales)
