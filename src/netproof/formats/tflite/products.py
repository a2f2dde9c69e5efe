"""Sums of products: CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.formats.tflite.codes import SAME, VALID
from netproof.formats.tflite.rules.products import (
    ProductScales,
    Rounding,
    shifts_left,
    twice_rounded,
    twice_rounded_by_single,
)
from netproof.formats.tflite.schema import TensorInfo
from netproof.formats.tflite.staircases import Whole, staircase_between
from netproof.formats.tflite.translation import (
    SUM_BITS,
    Call,
    OperatorError,
    Translation,
    Value,
    channels_first,
    clamped,
    ends_of,
    scale_of,
    zero_of,
)
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear

#: bytes that finding one threshold of a channel takes
_TEMPORARY = 96
#: products of 16-bit codes with a scale of this or more are refused
_LARGEST_WIDE = 2.0**6
_Padding = tuple[tuple[int, int], ...]


def padding_of(kind: int, extents: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...]) -> _Padding:
    """``(before, after)`` of each axis; ``kernel`` counts dilation in."""
    if kind not in (SAME, VALID):
        raise OperatorError(f"padding {kind}", "known are SAME and VALID")
    pairs = []
    for extent, size, step in zip(extents, kernel, stride, strict=True):
        total = max(0, (-(-extent // step) - 1) * step + size - extent) if kind == SAME else 0
        pairs.append((total // 2, total - total // 2))
    return tuple(pairs)


def positive(*numbers: int) -> None:
    if min(numbers) < 1 or max(numbers) > 1 << 16:
        raise OperatorError(f"its strides, dilations or window {numbers} are no sizes", "convert it again")


def _stored(call: Call) -> TensorInfo:
    """The weights: of uint8 where activations are, of int8 elsewhere."""
    return call.constant(1, "UINT8" if call.value(0).tensor.kind == "UINT8" else "INT8")


def _weight(call: Call, axis: int, outputs: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The weights, less their zero point, and their scales ``[1]`` or ``[outputs]``."""
    tensor = _stored(call)
    assert tensor.data is not None
    if tensor.kind == "UINT8":
        if len(tensor.scale) != 1:
            raise OperatorError(f"its weights of uint8 have {len(tensor.scale)} scales", "quantize them per tensor")
        return tensor.data.astype(np.float64) - zero_of(tensor), tensor.scale
    if bool((tensor.zero != 0).any()):
        raise OperatorError("its weights have a zero point that is not 0", "quantize them symmetrically")
    if len(tensor.scale) == 0 or (len(tensor.scale) > 1 and (tensor.axis != axis or len(tensor.scale) != outputs)):
        raise OperatorError(f"its weights have {len(tensor.scale)} scales along axis {tensor.axis}", "convert it again")
    return tensor.data.astype(np.float64), tensor.scale


def _bias(call: Call, outputs: int) -> Tensor:
    wide = call.value(0).tensor.kind == "INT16"
    if call.operand(2) is None:
        if wide:
            raise OperatorError("no bias beside codes of int16, with which runtimes differ", "give it a bias of int64")
        return torch.zeros(outputs, dtype=torch.float64)
    tensor = call.constant(2, "INT64" if wide else "INT32")
    assert tensor.data is not None
    if tensor.size != outputs or bool((tensor.zero != 0).any()):
        raise OperatorError(f"its bias has shape {tensor.shape} for {outputs} channels", "convert it again")
    if bool((np.abs(tensor.data.astype(np.float64)) >= 2.0 ** SUM_BITS[call.value(0).tensor.kind]).any()):
        raise OperatorError("its bias is beyond what runtimes add up", "quantize it again")
    return torch.from_numpy(tensor.data.reshape(-1).astype(np.float64))


def _requantized(
    translation: Translation, call: Call, sums: Value, channels: int, scales: ProductScales, rule: Rounding, field: int
) -> Value:
    """Sums brought back to codes; ``channels`` of them lie one after the other in the node."""
    if len(scales.weight) > 1 and bool((scales.weight == scales.weight[0]).all()):
        scales = ProductScales(scales.input, scales.weight[:1], scales.output)
    channels = channels if len(scales.weight) > 1 else 1
    low = sums.low.reshape(channels, -1).amin(1).numpy().astype(np.int64)
    high = sums.high.reshape(channels, -1).amax(1).numpy().astype(np.int64)
    largest = float(np.max(scales.in_single()))
    if not largest < translation.runtime.largest_scale:
        raise OperatorError(
            f"its scale is {largest:g}; '{translation.runtime.name}' takes below {translation.runtime.largest_scale:g}",
            "quantize it again, or name another runtime",
        )
    reach = np.maximum(np.abs(low), np.abs(high))
    wide = call.output.kind == "INT16"
    if wide:
        if not largest < _LARGEST_WIDE:
            raise OperatorError(f"its scale is {largest:g}; known is below {_LARGEST_WIDE:g}", "quantize it again")
        dense = call.info.name == "FULLY_CONNECTED"
        rule = translation.runtime.wide_dense if dense else translation.runtime.wide
        least, most = ends_of(call.output)
        translation.ledger.allocate(_TEMPORARY * channels * (most - least))
    shifted = reach if rule not in (twice_rounded, twice_rounded_by_single) else reach << shifts_left(scales)
    # Before it is clamped, the scaled sum is a 32-bit integer as well.
    if (not wide and bool((shifted >= 1 << 31).any())) or bool((reach * scales.in_double() >= 1 << 31).any()):
        raise OperatorError("a sum, scaled by more than 1, leaves 32 bits", "quantize it again")
    limits = call.fused(field, translation.runtime.limit)

    def staircase(rounding: Rounding) -> Staircase:
        def code(acc: Whole) -> Whole:
            return clamped(rounding(acc, scales), call.output, limits)

        return staircase_between(code, low, high)

    found = staircase(rule)
    other = translation.runtime.alternative
    if other is not None and not wide and call.info.name == "FULLY_CONNECTED" and len(scales.weight) == 1:
        second = staircase(other)
        count = _differing(found, second)
        if count:
            translation.notes.append(
                f"builds of this runtime differ on '{call.name}': {count} thresholds depend on the precision in which scales "
                "are multiplied (runtimes 'tflm' and 'tflm-single-product')"
            )
    return translation.steps(f"{call.name}/codes", found, sums, call.output)


def _differing(one: Staircase, other: Staircase) -> int:
    if one.thresholds.shape != other.thresholds.shape:
        return abs(one.thresholds.numel() - other.thresholds.numel())
    return int((one.thresholds != other.thresholds).sum())


def _image(call: Call) -> tuple[Value, tuple[int, int, int]]:
    value = call.value(0)
    if len(value.shape) != 4 or value.shape[0] != 1:
        raise OperatorError(f"an operand of shape {value.shape}", "convert it for one image of channels, batch size 1")
    return value, (value.shape[1], value.shape[2], value.shape[3])


def convolution(translation: Translation, call: Call) -> Value:
    """``CONV_2D``; weights ``[out, height, width, in]``."""
    value, (height, width, channels) = _image(call)
    options = call.info.options
    stride = (options.integer(2, "i"), options.integer(1, "i"))
    dilation = (options.integer(5, "i", 1), options.integer(4, "i", 1))
    shape = _stored(call).shape
    if len(shape) != 4 or shape[3] != channels:
        raise OperatorError(f"weights {shape} on {channels} channels", "known are convolutions of one group")
    weight, scale = _weight(call, 0, shape[0])
    operator = _operator(call, weight.transpose(0, 3, 1, 2), (channels, height, width), stride, dilation, 1)
    return _convolved(translation, call, value, operator, scale, 3)


def depthwise(translation: Translation, call: Call) -> Value:
    """``DEPTHWISE_CONV_2D``; weights ``[1, height, width, channels * multiplier]``."""
    value, (height, width, channels) = _image(call)
    options = call.info.options
    stride = (options.integer(2, "i"), options.integer(1, "i"))
    dilation = (options.integer(6, "i", 1), options.integer(5, "i", 1))
    shape = _stored(call).shape
    if len(shape) != 4 or shape[0] != 1 or shape[3] % channels or options.integer(3, "i") * channels != shape[3]:
        raise OperatorError(f"weights {shape} with multiplier {options.integer(3, 'i')} on {channels} channels")
    weight, scale = _weight(call, 3, shape[3])
    operator = _operator(call, weight.transpose(3, 0, 1, 2), (channels, height, width), stride, dilation, channels)
    return _convolved(translation, call, value, operator, scale, 4)


def _operator(
    call: Call,
    weight: NDArray[np.float64],
    shape: tuple[int, int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Convolution:
    positive(*stride, *dilation, *weight.shape)
    reach = tuple(spread * (size - 1) + 1 for spread, size in zip(dilation, weight.shape[2:], strict=True))
    padding = padding_of(call.info.options.integer(0, "b"), shape[1:], reach, stride)
    return Convolution(
        torch.from_numpy(np.ascontiguousarray(weight)),
        _bias(call, weight.shape[0]),
        shape,
        stride,
        padding,
        dilation,
        groups,
    )


def _convolved(
    translation: Translation, call: Call, value: Value, operator: Convolution, scale: NDArray[np.float32], field: int
) -> Value:
    outputs, *extents = operator.sample_shape
    check_shape(call.output, (1, *extents, outputs))
    translation.ledger.value(operator.sample_shape)
    value = translation.arranged(value, channels_first(value.shape))
    sums = translation.sums(call.name, operator, value, call.output, channels_first(call.output.shape))
    scales = ProductScales(scale_of(value.tensor), scale, scale_of(call.output))
    runtime = translation.runtime
    of_bytes = runtime.convolution_of_bytes if value.tensor.kind == "UINT8" else None
    return _requantized(translation, call, sums, outputs, scales, of_bytes or runtime.convolution, field)


def fully_connected(translation: Translation, call: Call) -> Value:
    """``FULLY_CONNECTED`` of one row; weights ``[out, in]``."""
    value, options = call.value(0), call.info.options
    if options.integer(1, "b"):
        raise OperatorError("its weights are shuffled", "convert it again")
    weight, scale = _weight(call, 0, _stored(call).shape[0])
    if weight.ndim != 2 or weight.shape[1] != value.tensor.size:
        raise OperatorError(f"weights {weight.shape} on {value.shape}", "known is one row, batch size 1")
    outputs = weight.shape[0]
    if call.output.size != outputs or call.output.shape[-1:] != (outputs,):
        raise OperatorError(f"a result of shape {call.output.shape} for {outputs} outputs", "convert it again")
    # The columns in the order in which the features lie, so that they need not be moved.
    operator = Linear(torch.from_numpy(np.ascontiguousarray(weight[:, value.order])), _bias(call, outputs))
    translation.ledger.allocate(16 * weight.size)
    sums = translation.sums(call.name, operator, value, call.output, np.arange(outputs))
    scales = ProductScales(scale_of(value.tensor), scale, scale_of(call.output))
    runtime = translation.runtime
    rule = runtime.dense if len(scale) == 1 else runtime.dense_per_channel
    return _requantized(translation, call, sums, outputs, scales, rule, 0)


def check_shape(tensor: TensorInfo, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise OperatorError(f"a result of shape {tensor.shape} where it is {shape}", "convert it again")
