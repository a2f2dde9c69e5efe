"""Operators of a second reading that move codes, and the largest of several."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.second_reading.reading import Map, UnknownFormError, Wholes
from netproof.certificate.second_reading.tflite.buffer import Operation, Tensor
from netproof.certificate.second_reading.tflite.rounding import limits
from netproof.certificate.second_reading.tflite.values import Order, Value, channels_first, check_shape, same_codes

if TYPE_CHECKING:
    from netproof.certificate.second_reading.tflite.read import Reader


def _numbers(reader: Reader, operation: Operation, number: int) -> NDArray[np.int64]:
    """A constant list of whole numbers."""
    tensor = reader.tensor(operation, number)
    if tensor is None or tensor.data is None or tensor.kind not in ("<i4", "<i8"):
        raise UnknownFormError(f"operand {number} of {operation.name}")
    return tensor.data.astype(np.int64)


def _taken(index: Order) -> Map:
    """Features by index, 0 where it is -1."""
    inside = index >= 0
    return lambda x, _: np.where(inside, x[0][:, np.maximum(index, 0)], 0.0)


def _reshape(reader: Reader, operation: Operation, output: Tensor) -> Value:
    """Runtimes differ in whether they take the shape that is asked for or that of the result: they have to be one."""
    value = reader.value(operation, 0)
    same_codes(value.tensor, output)
    before = value.tensor.shape
    if operation.name == "EXPAND_DIMS":
        axis = int(_numbers(reader, operation, 1).item())
        axis += len(before) + 1 if axis < 0 else 0
        asked = [*before[:axis], 1, *before[axis:]]
    elif operation.name == "SQUEEZE":
        stated = [] if operation.options is None else operation.options.array(0, "<i4").tolist()
        gone = {axis % len(before) for axis in stated} or {i for i, extent in enumerate(before) if extent == 1}
        if any(before[i] != 1 for i in gone):
            raise UnknownFormError("a SQUEEZE of an axis of several places")
        asked = [extent for i, extent in enumerate(before) if i not in gone]
    elif reader.tensor(operation, 1) is not None:
        asked = _numbers(reader, operation, 1).tolist()
    else:
        asked = [] if operation.options is None else operation.options.array(0, "<i4").tolist()
    known = math.prod(extent for extent in asked if extent != -1)
    completed = tuple(extent if extent != -1 else output.size // max(1, known) for extent in asked)
    if value.tensor.size != output.size or completed != output.shape:
        raise UnknownFormError(f"{operation.name} with another shape than that of its result")
    return Value(value.part, output, value.order)


def _transpose(reader: Reader, operation: Operation, output: Tensor) -> Value:
    value, axes = reader.value(operation, 0), _numbers(reader, operation, 1).tolist()
    same_codes(value.tensor, output)
    source = np.arange(value.tensor.size).reshape(value.tensor.shape).transpose(axes)
    check_shape(operation.name, output, source.shape)
    # Where in the result each element of the operand goes.
    goes = np.argsort(source.reshape(-1))
    return Value(value.part, output, goes[value.order])


def _pad(reader: Reader, operation: Operation, output: Tensor) -> Value:
    value, widths = reader.value(operation, 0), _numbers(reader, operation, 1)
    same_codes(value.tensor, output)
    if widths.shape != (len(value.tensor.shape), 2) or bool((widths < 0).any()):
        raise UnknownFormError("paddings of another form")
    place = np.argsort(value.order).reshape(value.tensor.shape)
    index = np.pad(place, widths.tolist(), constant_values=-1)
    check_shape(operation.name, output, index.shape)
    order = channels_first(index.shape) if index.ndim == 4 else np.arange(index.size)
    return Value(reader.reading.add_map(_taken(index.reshape(-1)[order]), value.part), output, order)


def _concatenation(reader: Reader, operation: Operation, output: Tensor) -> Value:
    values = [reader.value(operation, number) for number in range(len(operation.inputs))]
    axis = operation.option(0, "i")
    axis += len(output.shape) if axis < 0 else 0
    if operation.option(1, "b"):
        raise UnknownFormError("a CONCATENATION with an activation")
    places = np.arange(output.size).reshape(output.shape)
    joined = np.concatenate([np.empty(value.tensor.shape) for value in values], axis)
    check_shape(operation.name, output, joined.shape)
    ends = np.cumsum([value.tensor.shape[axis] for value in values])
    orders = []
    for value, part in zip(values, np.split(places, ends[:-1].tolist(), axis), strict=True):
        same_codes(value.tensor, output)
        orders.append(part.reshape(-1)[value.order])
    if len(values) == 1:
        return Value(values[0].part, output, values[0].order)
    joined_part = reader.reading.add_map(lambda x, _: np.concatenate(list(x), 1), *(value.part for value in values))
    return Value(joined_part, output, np.concatenate(orders))


# -- maxima


def _max_pool(reader: Reader, operation: Operation, output: Tensor) -> Value:
    """One axis at a time; ``max(a, b) = a + relu(b - a)``, the first half of the places with the second."""
    value = reader.with_channels_first(reader.value(operation, 0))
    same_codes(value.tensor, output)
    windows = reader.windows(operation, value, (operation.option(4, "i"), operation.option(3, "i")), (1, 1))
    check_shape(operation.name, output, windows.of_image(windows.channels))
    part = value.part
    index: NDArray[Any] = np.arange(value.tensor.size).reshape(windows.channels, *windows.extents)
    for axis in (0, 1):
        starts = np.arange(windows.results[axis]) * windows.stride[axis] - windows.before[axis]
        places = starts[:, None] + np.arange(windows.kernel[axis])[None]
        inside = (places >= 0) & (places < windows.extents[axis])
        # Another place of the window stands in for one in the padding.
        places = np.where(inside, places, np.take_along_axis(places, inside.argmax(1)[:, None], 1))
        taken = np.stack([np.take(index, places[:, k], axis + 1) for k in range(places.shape[1])])
        part = _largest(reader, part, taken.reshape(len(taken), -1))
        index = np.arange(taken[0].size).reshape(taken.shape[1:])
    # Windows that lie apart are left to kernels of the library itself, which clamp as everywhere.
    apart = any(step > size for step, size in zip(windows.stride, windows.kernel, strict=True))
    runtime = "litert-ref" if apart else reader.runtime
    order = channels_first(output.shape)
    if limits(operation.option(5, "b"), runtime, output) == output.ends:
        return Value(part, output, order)
    return reader.stepped(part, [lambda number: number], output, operation.option(5, "b"), order, runtime)


def _largest(reader: Reader, part: int, index: NDArray[Any]) -> int:
    reading = reader.reading
    while True:
        if len(index) == 1:
            return _selected(reader, part, index[0])
        half = len(index) // 2
        first, second = (_selected(reader, part, rows.reshape(-1)) for rows in (index[:half], index[half : 2 * half]))
        rise = reading.add_map(lambda x, absolute: x[0] + x[1] if absolute else x[1] - x[0], first, second)
        excess = reading.add_steps(_positive, rise)
        larger = reading.add_map(lambda x, _: x[0] + x[1], first, excess)
        ends = [(reading.parts[k].low, reading.parts[k].high) for k in (first, second)]
        # What the ranges of the sum forget: it is one of the two.
        low, high = (np.maximum(ends[0][k], ends[1][k]) for k in (0, 1))
        reading.parts[larger] = replace(reading.parts[larger], low=low, high=high)
        if len(index) % 2:
            rest = _selected(reader, part, index[-1])
            larger = reading.add_map(lambda x, _: np.concatenate(list(x), 1), larger, rest)
        part, rows = larger, half + len(index) % 2
        index = np.arange(reading.parts[part].size).reshape(rows, -1)


def _positive(values: Wholes) -> Wholes:
    return np.maximum(values, 0)


def _selected(reader: Reader, part: int, index: Order) -> int:
    if np.array_equal(index, np.arange(reader.reading.parts[part].size)):
        return part
    return reader.reading.add_map(_taken(index), part)


MOVING: dict[str, Callable[[Reader, Operation, Tensor], Value]] = {
    "CONCATENATION": _concatenation, "EXPAND_DIMS": _reshape, "MAX_POOL_2D": _max_pool, "PAD": _pad,
    "RESHAPE": _reshape, "SQUEEZE": _reshape, "TRANSPOSE": _transpose,
}  # fmt: skip
