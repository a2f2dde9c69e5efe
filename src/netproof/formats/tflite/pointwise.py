"""Operators that take codes one by one, or in pairs: ADD, SUB, MUL by constants, QUANTIZE, RELU and its kin."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.tflite.rules.pairs import (
    PairScales,
    Pairwise,
    WideSum,
    added_wide,
    rescaled_in_fixed_point,
    subtracted_wide,
)
from netproof.formats.tflite.rules.products import limit_away
from netproof.formats.tflite.rules.tables import Table
from netproof.formats.tflite.schema import TensorInfo
from netproof.formats.tflite.staircases import Whole, combination_of, staircase_between, staircase_of_table
from netproof.formats.tflite.translation import (
    Call,
    OperatorError,
    Translation,
    Value,
    clamp_of,
    clamped,
    codes_of,
    ends_of,
    quantized,
    renamed,
    scale_of,
    zero_of,
)
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.sum import Sum

#: products of scales are below it, in float32 as well
_LARGEST = 2.0**127
#: bytes that finding one threshold takes
_TEMPORARY = 96
#: of 16-bit codes, the ratios of scales within which kernels take sums at all, and products stay within 32 bits, in float32 as well
_WIDE_SUMS, _WIDE_PRODUCTS = (0.0, 2.0**14), (0.0, 1 - 2.0**-22)


def _pair(translation: Translation, call: Call, function: Pairwise, signs: tuple[int, int]) -> Value:
    """A function of two operands, each a value or a constant; ``signs`` say in which direction it goes with each."""
    tensors = [call.operand(0), call.operand(1)]
    if call.inputs != 2 or None in tensors:
        raise OperatorError(f"it has {call.inputs} operands", "convert it again")
    first, second = (quantized(t) for t in tensors if t is not None)
    scales = PairScales(scale_of(first), scale_of(second), scale_of(call.output))
    limits = call.fused(0, translation.runtime.limit)
    if call.is_value(0) and call.is_value(1):
        return _of_values(translation, call, function, signs, scales, limits)
    number = 0 if call.is_value(0) else 1
    constant = _spread(call, number)
    if signs[1] == 0 and (call.output.kind == "INT16" or constant.min() < 0 < constant.max()):
        return _of_products(translation, call, function, number, constant, scales, limits)
    if call.output.kind == "INT16":
        return _of_wide_value(translation, call, number, constant, signs, scales, limits)
    return _with_constant(translation, call, function, number, constant, scales, limits)


def _of_values(
    translation: Translation,
    call: Call,
    function: Pairwise,
    signs: tuple[int, int],
    scales: PairScales,
    limits: tuple[int, int],
) -> Value:
    a, b = call.value(0), call.value(1)
    if not a.shape == b.shape == call.output.shape:
        raise OperatorError(
            f"operands of shapes {a.shape} and {b.shape}", "known are operands of one shape, or constants"
        )
    if signs[1] == 0:
        raise OperatorError("it multiplies two values of the input", "only constants are multiplied")
    b = translation.arranged(b, a.order)
    if call.output.kind == "INT16":
        return _of_wide_values(translation, call, (a, b), signs, scales, limits)
    translation.ledger.allocate(64 << 16)
    left, right = (codes_of(v.tensor) - zero_of(v.tensor) for v in (a, b))
    offsets = (int(left[0]), int(right[0]))
    values = clamped(function(left[:, None], right[None, :], scales), call.output, limits)
    ratio = (signs[0] * float(scales.first), signs[1] * float(scales.second))
    found = combination_of(values, offsets, ratio)
    if found is None:
        raise OperatorError(
            "it is no function of one combination of its operands", "quantize it with scales closer together"
        )
    size = len(a.order)
    weighted = []
    for value, factor, part in ((a, found.first, "first"), (b, found.second, "second")):
        # Factors of 1 and -1 are the sum's own.
        if abs(factor) == 1:
            weighted.append((value, factor))
            continue
        operator = Scale(size, _number(abs(factor)), _number(0))
        scaled = translation.affine(f"{call.name}/{part}", operator, (value,), value.tensor, value.order)
        weighted.append((scaled, factor))
    operands = tuple(value for value, _ in weighted)
    both = Sum(tuple(1 if factor > 0 else -1 for _, factor in weighted))
    total = translation.affine(call.name, both, operands, call.output, a.order)
    return translation.steps(f"{call.name}/codes", found.steps, total, call.output)


def _of_wide_values(
    translation: Translation,
    call: Call,
    values: tuple[Value, Value],
    signs: tuple[int, int],
    scales: PairScales,
    limits: tuple[int, int],
) -> Value:
    """The same of 16-bit codes, whose pairs are too many to look at.

    What an operand counts for is a line with a whole slope and a staircase of small steps; the sum is exact, and the result one
    more staircase.
    """
    rule, order = WideSum(scales), values[0].order
    parts: list[Value] = []
    kept: list[int] = []
    for number, value in enumerate(values):
        line, steps = _line_and_steps(translation, f"{call.name}/{number}", value, rule, number)
        parts += [line] if steps is None else [line, steps]
        kept += [signs[number]] * (1 if steps is None else 2)
    total = translation.affine(call.name, Sum(tuple(kept)), tuple(parts), call.output, order)
    return _brought_back(translation, call, total, rule.result, limits)


def _of_wide_value(
    translation: Translation,
    call: Call,
    number: int,
    constant: Whole,
    signs: tuple[int, int],
    scales: PairScales,
    limits: tuple[int, int],
) -> Value:
    """The same of one value and a constant, which is a number that is added to each feature."""
    rule, value = WideSum(scales), call.value(number)
    line, steps = _line_and_steps(translation, f"{call.name}/{number}", value, rule, number)
    parts = (line,) if steps is None else (line, steps)
    both = translation.affine(f"{call.name}/sum", Sum((signs[number],) * len(parts)), parts, call.output, value.order)
    added = torch.from_numpy(_channels(signs[1 - number] * rule.operand(constant, 1 - number)).astype(np.float64))
    shifted = Scale(len(value.order), _number(1), added)
    total = translation.affine(call.name, shifted, (both,), call.output, value.order)
    return _brought_back(translation, call, total, rule.result, limits)


def _of_products(
    translation: Translation,
    call: Call,
    function: Pairwise,
    number: int,
    constant: Whole,
    scales: PairScales,
    limits: tuple[int, int],
) -> Value:
    """Products with a constant as they are, and one staircase of all of them, in whichever direction each goes.

    Where all go in one, a staircase for each number of the constant has the tighter hull.
    """
    value = call.value(number)
    factors = torch.from_numpy(_channels(constant).astype(np.float64))
    operator = Scale(len(value.order), factors, _number(0))
    products = translation.affine(call.name, operator, (value,), call.output, value.order)

    def rounded(product: Whole) -> Whole:
        return function(product, np.ones(1, np.int64), scales)

    return _brought_back(translation, call, products, rounded, limits)


def _brought_back(
    translation: Translation, call: Call, total: Value, rule: Callable[[Whole], Whole], limits: tuple[int, int]
) -> Value:
    """Codes of whole numbers by one rule for all features."""
    low, high = (np.array([int(end)]) for end in (total.low.min(), total.high.max()))

    def code(sums: Whole) -> Whole:
        return clamped(rule(sums), call.output, limits)

    least, most = ends_of(call.output)
    translation.ledger.allocate(_TEMPORARY * (most - least + 1))
    return translation.steps(f"{call.name}/codes", staircase_between(code, low, high), total, call.output)


def _line_and_steps(
    translation: Translation, name: str, value: Value, rule: WideSum, number: int
) -> tuple[Value, Value | None]:
    """What an operand counts for as ``slope code + steps(code)``; None where the line is all of it."""
    codes = codes_of(value.tensor)
    counts = rule.operand(codes, number)
    slope = int(np.diff(counts).min())
    rest = counts - slope * codes
    low = int(rest[0])
    operator = Scale(len(value.order), _number(slope), _number(low if bool((rest == low).all()) else 0))
    line = translation.affine(f"{name}/line", operator, (value,), value.tensor, value.order)
    if bool((rest == low).all()):
        return line, None
    translation.ledger.allocate(_TEMPORARY << 16)
    steps = staircase_of_table(rest[None], int(codes[0]))
    assert steps is not None
    return line, translation.steps(f"{name}/rest", steps, value, value.tensor)


def _number(number: int) -> torch.Tensor:
    return torch.tensor([float(number)], dtype=torch.float64)


def _spread(call: Call, number: int) -> Whole:
    """The constant beside the operand ``number``: one for all features, or of each of them, in the order of the node."""
    value, constant = call.value(number), call.constant(1 - number, call.output.kind)
    assert constant.data is not None
    if value.shape != call.output.shape or np.broadcast_shapes(value.shape, constant.shape) != value.shape:
        raise OperatorError(f"a constant of shape {constant.shape} with a value {value.shape}", "convert it again")
    kept = constant.data.astype(np.int64) - zero_of(constant)
    return kept.reshape(1) if kept.size == 1 else np.broadcast_to(kept, value.shape).reshape(-1)[value.order]


def _with_constant(
    translation: Translation,
    call: Call,
    function: Pairwise,
    number: int,
    constant: Whole,
    scales: PairScales,
    limits: tuple[int, int],
) -> Value:
    """One function for each number of a constant."""
    value = call.value(number)
    codes = codes_of(value.tensor) - zero_of(value.tensor)
    numbers, places = np.unique(constant, return_inverse=True)
    translation.ledger.allocate(_TEMPORARY * len(numbers) * len(codes))
    rows, columns = np.broadcast_arrays(numbers[:, None], codes[None])
    first, second = (columns, rows) if number == 0 else (rows, columns)
    tables = clamped(function(first, second, scales), call.output, limits)
    return _tabulated(translation, call, value, tables, places.reshape(-1))


def _tabulated(translation: Translation, call: Call, value: Value, tables: Whole, places: NDArray[np.intp]) -> Value:
    """A function of each feature's code: row ``places[i]`` of ``tables`` ``[m, codes]``; one place stands for all."""
    places = _channels(places)
    translation.ledger.allocate(8 * tables.shape[1] * len(places))
    low = ends_of(value.tensor)[0] - zero_of(value.tensor)
    if bool(np.any(np.diff(tables) < 0)):
        # The same functions of the negative argument, those that stay where they are among them.
        tables = tables[:, ::-1]
        sign = Scale(len(value.order), _number(-1), _number(0))
        value = translation.affine(f"{call.name}/negative", sign, (value,), value.tensor, value.order)
        low = -(low + tables.shape[1] - 1)
    found = staircase_of_table(tables[places], low)
    if found is None:
        raise OperatorError("it neither rises nor falls throughout", "only functions that keep an order are known")
    return translation.steps(call.name, found, value, call.output)


def _channels(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each run of equal ones, where all runs are of one length."""
    count = 1 + int(np.count_nonzero(np.diff(places)))
    if len(places) % count:
        return places
    rows = places.reshape(count, -1)
    return rows[:, 0] if bool((rows == rows[:, :1]).all()) else places


def add(translation: Translation, call: Call) -> Value:
    _check_ratios(translation, call)
    wide = _is_wide(translation, call)
    return _pair(translation, call, added_wide if wide else translation.runtime.add, (1, 1))


def subtract(translation: Translation, call: Call) -> Value:
    _check_ratios(translation, call)
    wide = _is_wide(translation, call)
    return _pair(translation, call, subtracted_wide if wide else translation.runtime.subtract, (1, -1))


def _is_wide(translation: Translation, call: Call) -> bool:
    """Whether a sum is one of 16-bit codes; LiteRT has another kernel for scales that are all powers of two, unless it is told not to."""
    if call.output.kind != "INT16":
        return False
    scales = [scale_of(tensor) for tensor in (call.operand(0), call.operand(1), call.output) if tensor is not None]
    if (
        translation.runtime.shifts_powers
        and call.info.options.integer(1, "B", 1)
        and all(math.frexp(float(scale))[0] == 0.5 for scale in scales)
    ):
        raise OperatorError(
            f"'{translation.runtime.name}' has another kernel for scales that are powers of two",
            "convert it without pot_scale_int16, or name another runtime",
        )
    return True


def multiply(translation: Translation, call: Call) -> Value:
    tensors = [call.operand(number) for number in (0, 1)]
    product = np.prod([float(scale_of(tensor)) for tensor in tensors if tensor is not None])
    if not product < _LARGEST:
        raise OperatorError(f"scales whose product is {product:g}, which is beyond float32", "quantize it again")
    ratio = float(product / float(scale_of(call.output)))
    limits = _WIDE_PRODUCTS if call.output.kind == "INT16" else translation.runtime.product_scales
    _check_ratio(translation, "the product of its operands has", ratio, limits)
    return _pair(translation, call, translation.runtime.multiply, (1, 0))


def _check_ratios(translation: Translation, call: Call) -> None:
    for number in (0, 1):
        tensor = call.operand(number)
        if tensor is not None:
            ratio = scale_of(tensor) / scale_of(call.output)
            limits = _WIDE_SUMS if call.output.kind == "INT16" else translation.runtime.pair_scales
            _check_ratio(translation, f"operand {number} has", float(ratio), limits)


def _check_ratio(translation: Translation, what: str, ratio: float, limits: tuple[float, float]) -> None:
    least, limit = limits
    if not least <= ratio < limit:
        raise OperatorError(
            f"{what} {ratio:g} times the scale of the result; '{translation.runtime.name}' takes {least:g} to {limit:g}",
            "quantize it again, or name another runtime",
        )


def requantize(translation: Translation, call: Call) -> Value:
    """``QUANTIZE`` of codes."""
    value = call.value(0)
    _same_shape(call, value)
    ratio = float(scale_of(value.tensor) / scale_of(call.output))
    _check_ratio(translation, "its operand has", ratio, translation.runtime.rescalings)
    codes = codes_of(value.tensor) - zero_of(value.tensor)
    same = value.tensor.kind == call.output.kind
    if not same and translation.runtime.same_kind_only and not _is_turned(value.tensor, call.output):
        raise OperatorError(
            f"how '{translation.runtime.name}' brings codes of {value.tensor.kind} to {call.output.kind} of another scale is not known",
            "quantize it again, or name another runtime",
        )
    rescale = translation.runtime.rescale if same else rescaled_in_fixed_point
    rounded = rescale(codes, scale_of(value.tensor), scale_of(call.output))
    return _of_codes(translation, call, value, clamped(rounded, call.output, ends_of(call.output)))


def _is_turned(one: TensorInfo, other: TensorInfo) -> bool:
    """Whether two tensors of int8 and uint8 have codes that differ by 128 throughout."""
    return scale_of(one) == scale_of(other) and zero_of(one) - ends_of(one)[0] == zero_of(other) - ends_of(other)[0]


def _of_codes(translation: Translation, call: Call, value: Value, table: Whole) -> Value:
    return _tabulated(translation, call, value, table[None], np.zeros(1, np.intp))


def _same_shape(call: Call, value: Value) -> None:
    if value.shape != call.output.shape:
        raise OperatorError(f"a result of shape {call.output.shape} of {value.shape}", "convert it again")


def clipping(activation: int) -> Callable[[Translation, Call], Value]:
    """``RELU`` and its kin, of equal scales: a clamp of the codes."""

    def clip(translation: Translation, call: Call) -> Value:
        value = call.value(0)
        _same_shape(call, value)
        low, high = clamp_of(activation, call.output, limit_away)
        zero = zero_of(call.output)
        same = renamed(value, call.output)
        return _of_codes(translation, call, same, np.clip(codes_of(call.output), low, high) - zero)

    return clip


def logistic(translation: Translation, call: Call) -> Value:
    return _curve(translation, call, translation.runtime.logistic, (1 / 256, -128))


def tanh(translation: Translation, call: Call) -> Value:
    return _curve(translation, call, translation.runtime.tanh, (1 / 128, 0))


def _curve(translation: Translation, call: Call, function: Table, result: tuple[float, int]) -> Value:
    """A table of a function whose result has a scale and a zero point of its own; ``result`` has those of ``int8``."""
    value = call.value(0)
    _same_shape(call, value)
    # Codes of uint8 are those of int8, counted from 128 below.
    zero = result[1] + ends_of(call.output)[0] + 128
    if (float(scale_of(call.output)), zero_of(call.output)) != (result[0], zero):
        raise OperatorError(f"its result has not scale {result[0]} and zero point {zero}", "convert it again")
    if float(scale_of(value.tensor)) > 1 << 8:
        raise OperatorError("its operand has a scale above 256", "quantize it again")
    codes = function(codes_of(value.tensor) - zero_of(value.tensor), scale_of(value.tensor))
    if codes is None:
        raise OperatorError("a value lies so near a half that it depends on the C library", "name another runtime")
    return _of_codes(translation, call, value, codes - result[1])
