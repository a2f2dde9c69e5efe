"""Operators of a second reading that add up products: convolutions, fully connected layers, and means of windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from netproof.certificate.second_reading.reading import Floats, Map, UnknownFormError
from netproof.certificate.second_reading.tflite.buffer import Operation, Tensor
from netproof.certificate.second_reading.tflite.rounding import Round, of_byte_product, of_product, of_wide_product
from netproof.certificate.second_reading.tflite.values import Value, channels_first, check_shape, flat, same_codes

if TYPE_CHECKING:
    from netproof.certificate.second_reading.tflite.read import Reader


def _stored(reader: Reader, operation: Operation) -> Tensor:
    """Constant weights of the type that the operand has: less their zero point, where they are bytes without a sign."""
    if reader.value(operation, 0).tensor.kind in ("<i1", "<i2"):
        return reader.constant(operation, 1, "<i1")
    weight = reader.tensor(operation, 1)
    if weight is None or weight.data is None or weight.kind != "<u1" or not len(weight.scale) == len(weight.zero) == 1:
        raise UnknownFormError(f"operand 1 of {operation.name}")
    return replace(weight, data=weight.data.astype(np.int64) - weight.zero[0])


def _weight(reader: Reader, operation: Operation, axes: int, axis: int) -> Tensor:
    """Constant weights; where they have several scales, these go along ``axis``."""
    weight = _stored(reader, operation)
    if len(weight.shape) != axes:
        raise UnknownFormError(f"weights of {len(weight.shape)} axes in {operation.name}")
    outputs = weight.shape[axis]
    if len(weight.scale) != 1 and (len(weight.scale) != outputs or weight.axis != axis):
        raise UnknownFormError(f"{len(weight.scale)} scales of {outputs} outputs along axis {weight.axis}")
    return weight


def _bias(reader: Reader, operation: Operation, outputs: int) -> Floats:
    wide = reader.value(operation, 0).tensor.kind == "<i2"
    if reader.tensor(operation, 2) is None and not wide:
        return np.zeros(outputs)
    data = reader.constant(operation, 2, "<i8" if wide else "<i4").data
    assert data is not None
    return data.reshape(outputs).astype(np.float64)


def _product(reader: Reader, operation: Operation, value: Value, output: Tensor, map_: Map, activation: int) -> Value:
    weight, dense = _stored(reader, operation), operation.name == "FULLY_CONNECTED"
    rule = {"<i2": of_wide_product, "<u1": of_byte_product}.get(output.kind, of_product)
    rounds = [
        rule(reader.runtime, dense, len(weight.scale) > 1, value.tensor.scale[0], scale, output.scale[0])
        for scale in weight.scale
    ]
    order = np.arange(output.size) if dense else channels_first(output.shape)
    return reader.stepped(reader.reading.add_map(map_, value.part), rounds, output, activation, order)


def _dense(reader: Reader, operation: Operation, output: Tensor) -> Value:
    value, weight = reader.value(operation, 0), _weight(reader, operation, 2, 0)
    assert weight.data is not None
    if operation.option(1, "b"):
        raise UnknownFormError("shuffled weights")
    outputs, inputs = weight.shape
    if inputs != value.tensor.size or not output.size == output.shape[-1] == outputs:
        raise UnknownFormError("a FULLY_CONNECTED of several rows")
    matrix, bias = weight.data[:, value.order].astype(np.float64), _bias(reader, operation, outputs)

    def map_(x: Sequence[Floats], absolute: bool) -> Floats:
        return np.asarray(x[0] @ (np.abs(matrix).T if absolute else matrix.T) + (0 if absolute else bias))

    return _product(reader, operation, value, output, map_, operation.option(0, "b"))


def _convolution(reader: Reader, operation: Operation, output: Tensor) -> Value:
    value, weight = reader.with_channels_first(reader.value(operation, 0)), _weight(reader, operation, 4, 0)
    assert weight.data is not None
    dilation = (operation.option(5, "i", 1), operation.option(4, "i", 1))
    windows = reader.windows(operation, value, weight.shape[1:3], dilation)
    numbers, bias = weight.data.astype(np.float64), _bias(reader, operation, len(weight.data))
    if numbers.shape[3] != windows.channels:
        raise UnknownFormError("a convolution in groups")
    check_shape(operation.name, output, windows.of_image(len(numbers)))

    def map_(x: Sequence[Floats], absolute: bool) -> Floats:
        kernel = np.abs(numbers) if absolute else numbers
        total = sum(np.einsum("bcij,oc->boij", patch, kernel[:, i, j]) for (i, j), patch in windows.patches(x[0]))
        return flat(total if absolute else total + bias[:, None, None])

    return _product(reader, operation, value, output, map_, operation.option(3, "b"))


def _depthwise(reader: Reader, operation: Operation, output: Tensor) -> Value:
    value, weight = reader.with_channels_first(reader.value(operation, 0)), _weight(reader, operation, 4, 3)
    assert weight.data is not None
    dilation = (operation.option(6, "i", 1), operation.option(5, "i", 1))
    windows = reader.windows(operation, value, weight.shape[1:3], dilation)
    each, outputs = operation.option(3, "i"), weight.shape[3]
    if weight.shape[0] != 1 or each * windows.channels != outputs:
        raise UnknownFormError(f"{outputs} outputs, {each} of each of {windows.channels} channels")
    numbers, bias = weight.data[0].astype(np.float64), _bias(reader, operation, outputs)
    of = np.arange(outputs) // each
    check_shape(operation.name, output, windows.of_image(outputs))

    def map_(x: Sequence[Floats], absolute: bool) -> Floats:
        kernel = np.abs(numbers) if absolute else numbers
        total = sum(patch[:, of] * kernel[i, j][:, None, None] for (i, j), patch in windows.patches(x[0]))
        return flat(total if absolute else total + bias[:, None, None])

    return _product(reader, operation, value, output, map_, operation.option(4, "b"))


def _average(reader: Reader, operation: Operation, output: Tensor) -> Value:
    value = reader.with_channels_first(reader.value(operation, 0))
    same_codes(value.tensor, output)
    windows = reader.windows(operation, value, (operation.option(4, "i"), operation.option(3, "i")), (1, 1))
    check_shape(operation.name, output, windows.of_image(windows.channels))
    inside = sum(patch for _, patch in windows.patches(np.ones((1, value.tensor.size))))
    counts = np.asarray(inside)[0, 0].reshape(-1).astype(np.int64)
    # In all features alike where all windows have as many places.
    each = counts[:1] if bool((counts == counts[0]).all()) else np.tile(counts, windows.channels)

    def map_(x: Sequence[Floats], absolute: bool) -> Floats:
        return flat(sum(patch for _, patch in windows.patches(x[0])))

    def mean(count: int) -> Round:
        zero = output.zero[0]

        def of(total: int) -> int:
            raw = total + count * zero
            size = (abs(raw) + count // 2) // count
            return (size if raw >= 0 else -size) - zero

        return of

    total = reader.reading.add_map(map_, value.part)
    # Whoever fuses one here clamps as kernels of the library itself do.
    if reader.runtime == "xnnpack" and operation.option(5, "b") > 1:
        raise UnknownFormError("an average with a fused ReLU6")
    rounds = [mean(int(count)) for count in each]
    return reader.stepped(total, rounds, output, operation.option(5, "b"), channels_first(output.shape))


PRODUCTS: dict[str, Callable[[Reader, Operation, Tensor], Value]] = {
    "AVERAGE_POOL_2D": _average, "CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _depthwise, "FULLY_CONNECTED": _dense,
}  # fmt: skip
