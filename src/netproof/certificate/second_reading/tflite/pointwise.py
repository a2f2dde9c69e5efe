"""Operators of a second reading that take codes one by one or in pairs, and the mean of an image."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from netproof.certificate.second_reading.reading import Floats, Pairwise, Steps, UnknownFormError, Wholes
from netproof.certificate.second_reading.tflite import rounding
from netproof.certificate.second_reading.tflite.buffer import Operation, Tensor
from netproof.certificate.second_reading.tflite.rounding import Round, limits
from netproof.certificate.second_reading.tflite.values import Order, Value, check_shape, same_codes

if TYPE_CHECKING:
    from netproof.certificate.second_reading.tflite.read import Reader

_RULES: dict[str, Callable[[str, np.float32, np.float32, np.float32], Pairwise]] = {
    "ADD": rounding.of_sum, "SUB": rounding.of_difference, "MUL": rounding.of_pair_product,
}  # fmt: skip


def _pair(reader: Reader, operation: Operation, output: Tensor) -> Value:
    """``ADD``, ``SUB`` or ``MUL`` of two values of the input, or of one and a constant."""
    tensors = [reader.file.tensors[number] for number in operation.inputs]
    if len(tensors) != 2 or any(len(tensor.scale) != 1 for tensor in tensors):
        raise UnknownFormError(f"{operation.name} of tensors that are not two of one scale each")
    known = [number in reader.values for number in operation.inputs]
    if output.kind == "<i2" and all(known):
        return _wide_pair(reader, operation, output, tensors)
    rule = _rule(reader.runtime, operation, tensors, output)
    zero = output.zero[0]
    low, high = limits(operation.option(0, "b"), reader.runtime, output)

    def both(x: int, y: int) -> int:
        return max(low - zero, min(high - zero, rule(x, y)))

    if all(known):
        return _of_values(reader, operation, output, both)
    at = known.index(True)
    value, constant = reader.value(operation, at), tensors[1 - at]
    if constant.data is None or constant.kind != output.kind or value.tensor.shape != output.shape:
        raise UnknownFormError(f"a constant of {operation.name}")
    numbers = constant.data.astype(np.int64) - constant.zero[0]
    spread = np.broadcast_to(numbers, value.tensor.shape).reshape(-1)[value.order]
    if operation.name == "MUL" and (output.kind == "<i2" or spread.min() < 0 < spread.max()):
        return _products(reader, operation, output, value, spread, lambda product: rule(product, 1))
    if output.kind == "<i2":
        return _wide_value(reader, operation, output, tensors, at, spread)
    each = [_with(both, int(number), at) for number in _runs(spread)]
    return _stepped(reader, value, output, each)


def _rule(runtime: str, operation: Operation, tensors: Sequence[Tensor], output: Tensor) -> Pairwise:
    """What is computed of two codes, before it is clamped."""
    scales = (tensors[0].scale[0], tensors[1].scale[0], output.scale[0])
    wide = output.kind == "<i2" and operation.name == "MUL"
    return (rounding.of_wide_pair_product if wide else _RULES[operation.name])(runtime, *scales)


def _of_values(reader: Reader, operation: Operation, output: Tensor, both: Pairwise) -> Value:
    a, b = (reader.value(operation, number) for number in (0, 1))
    if operation.name == "MUL" or not a.tensor.shape == b.tensor.shape == output.shape:
        raise UnknownFormError(f"{operation.name} of two values that are multiplied, or of two shapes")
    second = b.part
    if not np.array_equal(a.order, b.order):
        place = np.argsort(b.order)[a.order]
        second = reader.reading.add_map(lambda x, absolute: x[0][:, place], second)
    if operation.name == "SUB":
        if second == a.part:
            raise UnknownFormError("a value less itself")
        negative = reader.reading.add_map(lambda x, absolute: x[0] if absolute else -x[0], second)
        return Value(reader.reading.add_pair(lambda x, y: both(x, -y), a.part, negative), output, a.order)
    return Value(reader.reading.add_pair(both, a.part, second), output, a.order)


def _wide_pair(reader: Reader, operation: Operation, output: Tensor, tensors: Sequence[Tensor]) -> Value:
    """A sum or difference of codes of 16 bits: of each operand a line and steps, then one more rounding."""
    if operation.name == "MUL":
        raise UnknownFormError("MUL of two values that are multiplied")
    (first, second, last), sign = _wide_rule(reader, operation, output, tensors)
    a, b = (reader.value(operation, number) for number in (0, 1))
    if not a.tensor.shape == b.tensor.shape == output.shape:
        raise UnknownFormError(f"{operation.name} of two shapes")
    other = b.part
    if not np.array_equal(a.order, b.order):
        place = np.argsort(b.order)[a.order]
        other = reader.reading.add_map(lambda x, absolute: x[0][:, place], other)
    if other == a.part:
        raise UnknownFormError(f"{operation.name} of a value and itself")
    total = _added(reader, output.ends, [(a.part, first, 1), (other, second, sign)], np.zeros(1))
    return reader.stepped(total, [last], output, operation.option(0, "b"), a.order)


def _wide_rule(
    reader: Reader, operation: Operation, output: Tensor, tensors: Sequence[Tensor]
) -> tuple[tuple[Round, Round, Round], int]:
    scales = (tensors[0].scale[0], tensors[1].scale[0], output.scale[0])
    found = rounding.of_wide_sum(reader.runtime, *scales, operation.option(1, "B", 1) == 0)
    return found, 1 if operation.name == "ADD" else -1


def _wide_value(
    reader: Reader, operation: Operation, output: Tensor, tensors: Sequence[Tensor], at: int, constant: Order
) -> Value:
    """A sum or difference of codes of 16 bits and a constant, of which each feature has a number of its own added."""
    (*both, last), sign = _wide_rule(reader, operation, output, tensors)
    directions = (1, sign)
    numbers = [directions[1 - at] * both[1 - at](int(number)) for number in constant]
    value = reader.value(operation, at)
    total = _added(reader, output.ends, [(value.part, both[at], directions[at])], np.array(numbers, np.float64))
    return reader.stepped(total, [last], output, operation.option(0, "b"), value.order)


def _added(reader: Reader, ends: tuple[int, int], counted: Sequence[tuple[int, Round, int]], offset: Floats) -> int:
    """What parts count for, added or taken off, and an offset."""
    parts: list[int] = []
    factors: list[int] = []
    for part, one, direction in counted:
        slope, start, rest = _line(one, ends)
        parts.append(part)
        factors.append(direction * slope)
        if rest is None:
            offset = offset + direction * start
        else:
            parts.append(reader.reading.add_steps(rest, part))
            factors.append(direction)

    def total(x: Sequence[Floats], absolute: bool) -> Floats:
        added = sum(abs(f) * v if absolute else f * v for f, v in zip(factors, x, strict=True))
        return np.asarray(added if absolute else added + offset)

    return reader.reading.add_map(total, *parts)


def _products(
    reader: Reader, operation: Operation, output: Tensor, value: Value, constant: Order, rule: Round
) -> Value:
    """Products with a constant, of which all are rounded alike."""

    def product(x: Sequence[Floats], absolute: bool) -> Floats:
        return np.asarray(x[0] * (np.abs(constant) if absolute else constant))

    part = reader.reading.add_map(product, value.part)
    return reader.stepped(part, [rule], output, operation.option(0, "b"), value.order)


def _line(one: Round, ends: tuple[int, int]) -> tuple[int, int, Steps | None]:
    """A rising function of all codes as ``slope code + start``, or with steps in place of the start where it is no line."""
    values = [one(code) for code in range(ends[0], ends[1] + 1)]
    slope = min(after - before for before, after in itertools.pairwise(values))
    rest = [value - slope * code for code, value in enumerate(values, ends[0])]
    if len(set(rest)) == 1:
        return slope, rest[0], None
    return slope, rest[0], _steps(lambda code: rest[code - ends[0]])


def _with(both: Pairwise, number: int, at: int) -> Round:
    """The function of the operand ``at``, the other one being a number."""
    return (lambda x: both(x, number)) if at == 0 else (lambda x: both(number, x))


def _runs(numbers: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> list[int]:
    """One number for each run of equal ones, where all runs are of one length; else one for each feature."""
    if bool((numbers == numbers[0]).all()):
        return [int(numbers[0])]
    count = 1 + int(np.count_nonzero(np.diff(numbers)))
    if not len(numbers) % count:
        rows = numbers.reshape(count, -1)
        if bool((rows == rows[:, :1]).all()):
            return [int(number) for number in rows[:, 0]]
    return [int(number) for number in numbers]


def _stepped(reader: Reader, value: Value, output: Tensor, each: list[Round]) -> Value:
    """Functions of codes that all rise, or all fall: these are taken of the negative code."""
    part, zero = value.part, value.tensor.zero[0]
    ends = tuple(end - zero for end in value.tensor.ends)
    falling = [one(ends[0]) > one(ends[1]) for one in each]
    if any(falling):
        if not all(one(ends[0]) >= one(ends[1]) for one in each):
            raise UnknownFormError("functions of which some rise and some fall")
        part = reader.reading.add_map(lambda x, absolute: x[0] if absolute else -x[0], part)
        each = [_turned(one) for one in each]
    return Value(reader.reading.add_steps([_steps(one) for one in each], part), output, value.order)


def _turned(one: Round) -> Round:
    return lambda x: one(-x)


def _steps(one: Round) -> Steps:
    def steps(values: Wholes) -> Wholes:
        return np.array([one(int(value)) for value in values.tolist()], dtype=object)

    return steps


def _clip(reader: Reader, operation: Operation, output: Tensor) -> Value:
    """``RELU`` and ``RELU6`` by themselves, which all runtimes clamp alike."""
    value, zero = reader.value(operation, 0), output.zero[0]
    same_codes(value.tensor, output)
    check_shape(operation.name, output, value.tensor.shape)
    activation = {"RELU": 1, "RELU6": 3}[operation.name]
    low, high = limits(activation, "tflm", output)
    return _stepped(reader, value, output, [lambda code: max(low - zero, min(high - zero, code))])


def _change(reader: Reader, operation: Operation, output: Tensor) -> Value:
    value = reader.value(operation, 0)
    check_shape(operation.name, output, value.tensor.shape)
    # Between int8 and uint8 the kernels of the library itself are at work everywhere.
    runtime = reader.runtime if value.tensor.kind == output.kind else "tflm"
    rule = rounding.of_change(runtime, value.tensor.scale[0], output.scale[0])
    return reader.stepped(value.part, [rule], output, 0, value.order)


def _mean(reader: Reader, operation: Operation, output: Tensor) -> Value:
    """Over height and width."""
    value = reader.with_channels_first(reader.value(operation, 0))
    _, height, width, channels = value.tensor.shape
    axes = reader.constant(operation, 1, "<i4").data
    assert axes is not None
    if sorted(int(axis) % 4 for axis in axes.reshape(-1)) != [1, 2]:
        raise UnknownFormError("a mean over other axes than height and width")
    check_shape(operation.name, output, (1, 1, 1, channels) if operation.option(0, "b") else (1, channels))
    count = height * width
    rule = rounding.of_mean(reader.runtime, count, value.tensor.scale[0], output.scale[0])
    total = reader.reading.add_map(lambda x, _: x[0].reshape(len(x[0]), channels, count).sum(2), value.part)
    return reader.stepped(total, [rule], output, 0, np.arange(channels))


def _curve(reader: Reader, operation: Operation, output: Tensor) -> Value:
    value, zero = reader.value(operation, 0), output.zero[0]
    (least, largest), middle = output.ends, output.ends[0] + 128
    fixed = {"LOGISTIC": (2.0**-8, least), "TANH": (2.0**-7, middle)}[operation.name]
    check_shape(operation.name, output, value.tensor.shape)
    if (float(output.scale[0]), zero) != fixed:
        raise UnknownFormError(f"a {operation.name} of another result")
    of = rounding.of_curve(reader.runtime, operation.name, value.tensor.scale[0])
    return _stepped(reader, value, output, [lambda code: max(least - zero, min(largest - zero, of(code)))])


POINTWISE: dict[str, Callable[[Reader, Operation, Tensor], Value]] = {
    "ADD": _pair, "LOGISTIC": _curve, "MEAN": _mean, "MUL": _pair, "QUANTIZE": _change, "RELU": _clip,
    "RELU6": _clip, "SUB": _pair, "TANH": _curve,
}  # fmt: skip
