"""ONNX operators that move entries, and those that compute shapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.call import (
    FLOAT,
    FLOATS,
    INTEGER,
    INTEGERS,
    Call,
    Constant,
    NodeError,
    Translate,
    Value,
    Variable,
    finite,
    normalized,
)
from netproof.operators.activations.jumps.floor import Floor
from netproof.operators.activations.jumps.step import Step
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.sum import Sum

_FLOAT_TYPES = (1, 11)
_WIDEST = 11  # holds what any other float does
_INTEGER_TYPES = (6, 7)
_BOOL_TYPE = 9
#: magnitudes from which on a value that is cast to an integer is taken not to be known, so that sums of many of them do not leave
#: their type
LARGEST_CAST = {6: 2.0**24, 7: 2.0**40}
_HALVES = (10, 16)  # float16 and bfloat16, which float32 holds


def _constant(call: Call) -> Value:
    given = [name for name in call.attributes if name.startswith(("value", "sparse_value"))]
    if len(given) != 1:
        raise NodeError(f"a constant with {len(given)} values", "export the network again")
    if call.has("value"):
        return Constant(call.tensor("value"))
    if call.has("value_float"):
        return Constant(np.array(call.attribute("value_float", FLOAT).f, np.float64))
    if call.has("value_int"):
        return Constant(np.array(call.attribute("value_int", INTEGER).i, np.int64))
    if call.has("value_floats"):
        return Constant(np.array(list(call.attribute("value_floats", FLOATS).floats), np.float64))
    if call.has("value_ints"):
        return Constant(np.array(list(call.attribute("value_ints", INTEGERS).ints), np.int64))
    raise NodeError("a constant of strings or sparse numbers")


def _constant_of_shape(call: Call) -> Value:
    shape = tuple(call.indices(0) or ())
    call.make(shape)
    value: NDArray[Any] = np.zeros(1)
    if call.has("value"):
        value = call.tensor("value")
        if value.size != 1:
            raise NodeError(f"its value has {value.size} entries, not 1", "export the network again")
    return Constant(np.full(shape, value.reshape(-1)[0]))


def _shape(call: Call) -> Value:
    shape = call.operand(0).shape
    end = call.integer("end", len(shape)) if call.opset >= 15 else len(shape)
    start = call.integer("start", 0) if call.opset >= 15 else 0
    return Constant(np.array(shape[start:end], np.int64))


def _size(call: Call) -> Value:
    return Constant(np.array(math.prod(call.operand(0).shape), np.int64))


def _range(call: Call) -> Value:
    start, limit, step = (call.constant(i).reshape(()) for i in range(3))
    if start.dtype != np.int64 or not int(step):
        raise NodeError("a range of something else than integers")
    call.make((max(0, -(-(int(limit) - int(start)) // int(step))),))
    return Constant(np.arange(int(start), int(limit), int(step), dtype=np.int64))


def _identity(call: Call) -> Value:
    return call.operand(0)


def _dropout(call: Call) -> Value:
    training = call.optional(2)
    if training is not None and (isinstance(training, Variable) or bool(training.array.any())):
        raise NodeError("dropout in training mode", "export the network in evaluation mode")
    return call.operand(0)


def _cast(call: Call) -> Value:
    value, kind = call.operand(0), call.integer("to", 0)
    if isinstance(value, Variable):
        # Truth values are numbers here, 0 and 1, and so are integers.
        own = call.kind(0)
        if kind == _BOOL_TYPE and own in (*_FLOAT_TYPES, *_INTEGER_TYPES):
            return call.add(Step(1.0, 0.0, 1.0), (value.node,), value.shape)
        if kind in _INTEGER_TYPES and own in _FLOAT_TYPES:
            return _truncated(call, value, LARGEST_CAST[kind])
        if own in _INTEGER_TYPES and (kind in _FLOAT_TYPES or kind == max(_INTEGER_TYPES)):
            return value
        if own == _BOOL_TYPE and kind in _INTEGER_TYPES:
            return value
        widened = own in (_BOOL_TYPE, *_HALVES) and kind in _FLOAT_TYPES
        if kind not in (own, _WIDEST) and not widened:
            raise NodeError(
                f"a value that depends on the input is cast to ONNX type {kind}, which rounds it",
                "export the network in one type",
            )
        return value
    array = value.array
    if kind in _FLOAT_TYPES:
        with np.errstate(over="ignore"):  # what becomes infinite is refused
            cast = array.astype(np.float32).astype(np.float64) if kind == _FLOAT_TYPES[0] else array.astype(np.float64)
        if array.dtype == np.float64 and bool((np.isfinite(cast) | ~np.isfinite(array)).all()):
            # A cast of floats is the nearest one: what it gives is a number like that of any other constant.
            return Constant(cast)
        # Compared as what it was: float64 does not hold every integer, and NumPy compares in float64.
        whole = array.dtype != np.int64 or bool((np.abs(cast) < 2.0**63).all())
        if not whole or not np.array_equal(cast.astype(array.dtype), array):
            raise NodeError("casting a constant would round it", "fold constants before export")
        return Constant(cast)
    if kind in _INTEGER_TYPES:
        if array.dtype == np.float64:
            finite(array, "the constant")
            if bool((np.abs(array) >= 2.0**63).any()):
                raise NodeError("a constant beyond the integers it is cast to", "repair the network")
        return Constant(np.trunc(array).astype(np.int64))
    if kind == _BOOL_TYPE:
        return Constant(array != 0)
    raise NodeError(f"a cast to ONNX type {kind}")


def _truncated(call: Call, value: Variable, limit: float) -> Variable:
    """A value below a limit without what is behind its point: ``floor(relu(x)) - floor(relu(-x))``."""
    parts = []
    for sign, name in ((1.0, "positive"), (-1.0, "negative")):
        scale = torch.full((1,), sign, dtype=torch.float64)
        signed = call.add(Scale(value.size, scale, torch.zeros_like(scale)), (value.node,), value.shape, name)
        above = call.add(ReLU(), (signed.node,), value.shape, f"{name}/part")
        parts.append(call.add(Floor(limit), (above.node,), value.shape, f"{name}/whole").node)
    return call.add(Sum((1, -1)), tuple(parts), value.shape)


def _reshape(call: Call) -> Value:
    value, wanted = call.operand(0), call.indices(1) or []
    shape = list(wanted)
    if not call.flag("allowzero"):
        shape = [
            value.shape[axis] if extent == 0 and axis < len(value.shape) else extent
            for axis, extent in enumerate(shape)
        ]
    if -1 in shape:
        rest = -math.prod(shape)
        if rest <= 0 or math.prod(value.shape) % rest or shape.count(-1) > 1:
            raise NodeError(f"{value.shape} cannot be given the shape {wanted}", "export the network for one sample")
        shape[shape.index(-1)] = math.prod(value.shape) // rest
    if min(shape, default=0) < 0:
        raise NodeError(f"a shape {wanted}", "export the network again")
    return call.reshaped(value, tuple(shape))


def _flatten(call: Call) -> Value:
    value = call.operand(0)
    axis = call.integer("axis", 1)
    rank = len(value.shape)
    if not -rank <= axis <= rank:
        raise NodeError(f"axis {axis} of {rank} axes", "export the network again")
    axis = axis + rank if axis < 0 else axis
    return call.reshaped(value, (math.prod(value.shape[:axis]), math.prod(value.shape[axis:])))


def _squeeze(call: Call) -> Value:
    value = call.operand(0)
    axes = call.axes(len(value.shape), 1, 13)
    if axes == [] and 1 in value.shape:
        raise NodeError("an empty list of axes, which runtimes and ONNX understand differently", "export it again")
    if axes is None:
        axes = [axis for axis, extent in enumerate(value.shape) if extent == 1]
    if any(value.shape[axis] != 1 for axis in axes):
        raise NodeError(f"axes {axes} of {value.shape} are not all of extent 1", "export the network again")
    return call.reshaped(value, tuple(e for axis, e in enumerate(value.shape) if axis not in axes))


def _unsqueeze(call: Call) -> Value:
    value = call.operand(0)
    given = call.integers("axes") if call.opset < 13 else call.indices(1)
    axes = normalized(given or [], len(value.shape) + len(given or []))
    rest = iter(value.shape)
    shape = tuple(1 if axis in axes else next(rest) for axis in range(len(value.shape) + len(axes)))
    return call.reshaped(value, shape)


def _transpose(call: Call) -> Value:
    value = call.operand(0)
    rank = len(value.shape)
    order = call.integers("perm") or list(reversed(range(rank)))
    if sorted(order) != list(range(rank)):
        raise NodeError(f"{order} is no order of {rank} axes", "export the network again")
    return call.rearrange(value, lambda array: array.transpose(order))


#: what stands for an end that is not known: the largest numbers of the types that it has
_LARGEST = (2**31 - 1, 2**63 - 1)


def _slice(call: Call) -> Value:
    value = call.operand(0)
    rank = len(value.shape)
    steps: list[int] | None
    if call.opset < 10:
        starts, ends, axes, steps = call.integers("starts"), call.integers("ends"), call.integers("axes"), None
    else:
        starts, ends, axes, steps = (call.indices(i) for i in range(1, 5))
    if starts is None or ends is None:
        raise NodeError("a slice without ends", "export the network again")
    axes = normalized(list(range(len(starts))) if axes is None else axes, rank)
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise NodeError("a slice whose starts, ends, axes and steps do not belong together", "export the network again")
    chosen = [slice(None)] * rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 0 and end in _LARGEST:
            # Nothing by ONNX, which moves it to the last entry; runtimes go all the way to the first one.
            raise NodeError(f"a slice backwards to {end}, which runtimes understand otherwise", "end it at -2^31")
        chosen[axis] = _within(value.shape[axis], start, end, step)
    return call.rearrange(value, lambda array: array[tuple(chosen)])


def _within(extent: int, start: int, end: int, step: int) -> slice:
    """A slice with its ends as ONNX moves them: backwards, a start before the first entry means the first one."""
    start, end = (place + extent if place < 0 else place for place in (start, end))
    if step > 0:
        return slice(min(max(start, 0), extent), min(max(end, 0), extent), step)
    first, last = min(max(start, 0), extent - 1), min(max(end, -1), extent - 1)
    return slice(0, 0) if not extent else slice(first, None if last < 0 else last, step)


def _split(call: Call) -> tuple[Value, ...]:
    value = call.operand(0)
    (axis,) = normalized([call.integer("axis", 0)], len(value.shape))
    extent = value.shape[axis]
    sizes = call.integers("split") if call.opset < 13 else call.indices(1)
    if sizes is not None and call.has("num_outputs"):
        raise NodeError("both sizes and a number of parts", "export the network again")
    if sizes is None:
        count = call.integer("num_outputs", 0) if call.opset >= 18 else call.outputs
        if count < 1 or (call.opset < 18 and extent % count):
            raise NodeError(f"{extent} entries are split into {count} equal parts", "export the network again")
        size = -(-extent // max(count, 1))
        sizes = [min(size, extent - start) for start in range(0, extent, max(size, 1))]
    if sum(sizes) != extent or min(sizes) < 0 or len(sizes) != call.outputs:
        raise NodeError(f"{extent} entries are split into {call.outputs} parts of {sizes}", "export the network again")
    ends = np.cumsum(sizes)
    parts = []
    for number, (end, size) in enumerate(zip(ends, sizes, strict=True)):
        chosen = (slice(None),) * axis + (slice(int(end) - size, int(end)),)
        parts.append(call.rearrange(value, lambda array, chosen=chosen: array[chosen], str(number)))  # type: ignore[misc]
    return tuple(parts)


def _pad(call: Call) -> Value:
    value = call.operand(0)
    rank = len(value.shape)
    axes: list[int] | None = None
    fill: Any = 0.0
    if call.opset < 11:
        pads, fill = call.integers("pads"), call.number("value", 0.0)
    else:
        pads = call.indices(1)
        if call.optional(2) is not None:
            constant = call.constant(2)
            if constant.size != 1:
                raise NodeError(f"it pads with {constant.size} numbers, not one", "export the network again")
            fill = constant.reshape(-1)[0]  # an integer stays one
        axes = call.indices(3) if call.opset >= 18 else None
    axes = normalized(list(range(rank)) if axes is None else axes, rank)
    if pads is None or len(pads) != 2 * len(axes):
        raise NodeError(f"{len(pads or [])} paddings for {len(axes)} axes", "export the network again")
    widths = [(0, 0)] * rank
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        widths[axis] = (before, after)
    if any(extent + min(b, 0) + min(a, 0) < 0 for extent, (b, a) in zip(value.shape, widths, strict=True)):
        raise NodeError(f"paddings {pads} cut off more than there is of {value.shape}", "export the network again")
    call.make(tuple(extent + sum(w) for extent, w in zip(value.shape, widths, strict=True)))
    mode = {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "wrap"}.get(
        call.text("mode", "constant")
    )
    if mode is None or (mode == "wrap" and call.opset < 19):
        raise NodeError(f"padding of mode '{call.text('mode', '')}'")
    if mode != "constant":
        most = {"reflect": -1, "edge": 1 << 62, "wrap": 0}[mode]
        if any(min(w) < 0 or (any(w) and max(w) > e + most) for e, w in zip(value.shape, widths, strict=True)):
            raise NodeError(f"paddings {pads} of mode '{mode}' around {value.shape}", "pad in several steps")
    crop = tuple(slice(max(-b, 0), e - max(-a, 0)) for e, (b, a) in zip(value.shape, widths, strict=True))
    grow = [(max(b, 0), max(a, 0)) for b, a in widths]

    def padded(array: NDArray[Any], constant: Any) -> NDArray[Any]:
        if mode == "constant":
            return np.pad(array[crop], grow, constant_values=constant)
        return np.pad(array[crop], grow, mode=mode)  # type: ignore[call-overload, no-any-return]

    if isinstance(value, Constant):
        return Constant(padded(value.array, fill))
    index = padded(np.arange(value.size).reshape(value.shape), -1)
    return call.select(value, index, np.where(index < 0, fill, 0.0))


def _expand(call: Call) -> Value:
    value, wanted = call.operand(0), tuple(call.indices(1) or ())
    return expanded(call, value, np.broadcast_shapes(value.shape, wanted))


def expanded(call: Call, value: Value, shape: tuple[int, ...], part: str = "") -> Value:
    """A value broadcast to a shape."""
    if value.shape == shape:
        return value
    call.make(shape)
    return call.rearrange(value, lambda array: np.broadcast_to(array, shape), part)


def _tile(call: Call) -> Value:
    value, repeats = call.operand(0), call.indices(1) or []
    if len(repeats) != len(value.shape) or min(repeats, default=0) < 0:
        raise NodeError(f"{repeats} repeats of {value.shape}", "export the network again")
    call.make(tuple(extent * count for extent, count in zip(value.shape, repeats, strict=True)))
    return call.rearrange(value, lambda array: np.tile(array, repeats))


def _concat(call: Call) -> Value:
    values = [call.operand(i) for i in range(len(call.operands))]
    (axis,) = normalized([call.integer("axis", 1)], len(values[0].shape))
    shape = list(values[0].shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    call.make(tuple(shape))
    if all(isinstance(value, Constant) for value in values):
        return Constant(np.concatenate([value.array for value in values if isinstance(value, Constant)], axis))
    return joined(call, values, lambda arrays: np.concatenate(arrays, axis))


def joined(call: Call, values: list[Value], function: Callable[[list[NDArray[Any]]], NDArray[Any]]) -> Variable:
    """A function of several values, at least one of them no constant, that only moves, repeats and drops entries."""
    sources = list(dict.fromkeys(value.node for value in values if isinstance(value, Variable)))
    sizes = {value.node: value.size for value in values if isinstance(value, Variable)}
    starts = dict(zip(sources, np.cumsum([0, *(sizes[node] for node in sources[:-1])]).tolist(), strict=True))
    places, fills = [], []
    for value in values:
        if isinstance(value, Variable):
            places.append(np.arange(value.size).reshape(value.shape) + starts[value.node])
            fills.append(np.zeros(value.shape))
        else:
            places.append(np.full(value.shape, -1))
            fills.append(finite(value.array, "a constant part"))
    total = sum(sizes.values())
    whole = Variable(sources[0], (total,))
    index = function(places)
    if len(sources) > 1:
        operator = Concatenate(tuple(sizes[node] for node in sources))
        same = index.size == total and bool((index.reshape(-1) == np.arange(index.size)).all())
        whole = call.add(operator, tuple(sources), (total,), "" if same else "parts")
    return call.select(whole, index, function(fills))


OPERATORS: dict[str, Translate] = {
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "Identity": _identity,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
