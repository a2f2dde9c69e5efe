"""Operators that move codes and compute nothing: RESHAPE, PAD, TRANSPOSE, CONCATENATION."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from netproof.formats.tflite.codes import NONE
from netproof.formats.tflite.products import check_shape
from netproof.formats.tflite.translation import Call, OperatorError, Translation, Value, renamed
from netproof.operators.affine.concatenate import Concatenate


def reshape(translation: Translation, call: Call) -> Value:
    """``RESHAPE``, ``SQUEEZE``, ``EXPAND_DIMS``.

    LiteRT takes the shape that an operand or an option asks for, TensorFlow Lite Micro that of the result's tensor: they have
    to be one.
    """
    value, shape = call.value(0), call.output.shape
    if math.prod(shape) != len(value.order):
        raise OperatorError(f"{value.shape} as {shape}", "convert it for batch size 1")
    asked = _ASKED[call.info.name](call, value.shape)
    # One extent may be left to what remains.
    same = len(asked) == len(shape) and all(one in (-1, extent) for one, extent in zip(asked, shape, strict=True))
    if not same or asked.count(-1) > 1:
        raise OperatorError(f"a result of shape {shape} where {tuple(asked)[:8]} is asked for", "convert it again")
    return renamed(value, call.output)


def _reshaped(call: Call, before: tuple[int, ...]) -> list[int]:
    del before
    if call.operand(1) is None:
        return [int(extent) for extent in call.info.options.vector(0, "<i4")]
    return _list_of(call, 1)


def _squeezed(call: Call, before: tuple[int, ...]) -> list[int]:
    axes = {int(axis) % len(before) for axis in call.info.options.vector(0, "<i4")} if before else set()
    gone = axes or {i for i, extent in enumerate(before) if extent == 1}
    if any(before[i] != 1 for i in gone):
        raise OperatorError(f"axes {sorted(gone)} of {before} left out", "convert it again")
    return [extent for i, extent in enumerate(before) if i not in gone]


def _expanded(call: Call, before: tuple[int, ...]) -> list[int]:
    (axis,) = (int(part) for part in call.whole(1).reshape(-1))
    axis += len(before) + 1 if axis < 0 else 0
    if not 0 <= axis <= len(before):
        raise OperatorError(f"axis {axis} of {before}", "convert it again")
    return [*before[:axis], 1, *before[axis:]]


def _list_of(call: Call, number: int) -> list[int]:
    numbers = call.whole(number)
    if numbers.ndim != 1:
        raise OperatorError(f"operand {number} is no list", "convert it again")
    return [int(part) for part in numbers]


#: the shape that each of them asks for
_ASKED = {"RESHAPE": _reshaped, "SQUEEZE": _squeezed, "EXPAND_DIMS": _expanded}


def transpose(translation: Translation, call: Call) -> Value:
    value, axes = call.value(0), [int(axis) for axis in call.whole(1).reshape(-1)]
    if sorted(axes) != list(range(len(value.shape))):
        raise OperatorError(f"axes {axes} of a value {value.shape}", "convert it again")
    check_shape(call.output, tuple(value.shape[axis] for axis in axes))
    # Where the elements of the result are in the operand; the order has it the other way round.
    moved = np.arange(len(value.order)).reshape(value.shape).transpose(axes).reshape(-1)
    back = np.empty_like(moved)
    back[moved] = np.arange(len(moved))
    return renamed(value, call.output, back[value.order])


def pad(translation: Translation, call: Call) -> Value:
    """``PAD`` with zeros, which are the zero point."""
    value, widths = call.value(0), call.whole(1)
    if call.inputs != 2 or widths.shape != (len(value.shape), 2) or bool((widths < 0).any()):
        raise OperatorError(f"paddings {widths.tolist()} of a value {value.shape}", "convert it again")
    shape = tuple(extent + int(pair.sum()) for extent, pair in zip(value.shape, widths, strict=True))
    check_shape(call.output, shape)
    translation.ledger.value(shape)
    translation.ledger.allocate(32 * math.prod(shape))
    renamed(value, call.output)
    index = np.pad(value.place, [(int(a), int(b)) for a, b in widths], constant_values=-1)
    order = np.arange(index.size)
    if len(shape) == 4:  # what pads are for is a convolution
        order = order.reshape(shape).transpose(0, 3, 1, 2).reshape(-1)
    return translation.selected(call.name, value, index.reshape(-1)[order], call.output, order)


def concatenation(translation: Translation, call: Call) -> Value:
    axis = call.info.options.integer(0, "i")
    if call.info.options.integer(1, "b") != NONE:
        raise OperatorError("it carries an activation")
    values = [call.value(number) for number in range(call.inputs)]
    shape, rank = call.output.shape, len(call.output.shape)
    axis += rank if axis < 0 else 0
    if not values or not 0 <= axis < rank or any(len(value.shape) != rank for value in values):
        raise OperatorError(f"{len(values)} values along axis {axis}", "convert it again")
    check_shape(
        call.output, (*values[0].shape[:axis], sum(v.shape[axis] for v in values), *values[0].shape[axis + 1 :])
    )
    places = np.arange(math.prod(shape)).reshape(shape)
    orders, start = [], 0
    for value in values:
        renamed(value, call.output)
        if value.shape != (*shape[:axis], value.shape[axis], *shape[axis + 1 :]):
            raise OperatorError(f"a value of shape {value.shape} in one of {shape}", "convert it again")
        part = np.take(places, np.arange(start, start + value.shape[axis]), axis).reshape(-1)
        orders.append(part[value.order])
        start += value.shape[axis]
    if len(values) == 1:
        return replace(values[0], tensor=call.output)
    operator = Concatenate(tuple(len(value.order) for value in values))
    return translation.affine(call.name, operator, tuple(values), call.output, np.concatenate(orders))
