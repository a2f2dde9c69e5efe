"""ONNX operators that add up in other orders: Einsum, CumSum; and masks of triangles."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from netproof.formats.onnx.call import Call, Constant, NodeError, Translate, Value, normalized
from netproof.formats.onnx.linear import along_axis, multiplied_matrices, reduced


def _einsum(call: Call) -> Value:
    """Of one or two operands: labels that only one of them has and the result has not are added up, the others are axes of
    a matrix product."""
    equation = call.text("equation", "").replace(" ", "")
    left, arrow, result = equation.partition("->")
    labels = left.split(",")
    values = [call.operand(number) for number in range(len(call.operands))]
    if (
        len(labels) != len(values)
        or len(values) not in (1, 2)
        or any(len(set(part)) != len(part) or (part and not part.isalpha()) for part in (*labels, result))
        or any(len(part) != len(value.shape) for part, value in zip(labels, values, strict=True))
    ):
        raise NodeError(f"the equation '{equation}'", "export it as products and sums")
    if not arrow:
        together = "".join(labels)
        result = "".join(sorted(label for label in set(together) if together.count(label) == 1))
    extents: dict[str, int] = {}
    for part, value in zip(labels, values, strict=True):
        for label, extent in zip(part, value.shape, strict=True):
            if extents.setdefault(label, extent) != extent:
                raise NodeError(f"the equation '{equation}' for {[v.shape for v in values]}", "export it again")
    if not set(result) <= set(extents):
        raise NodeError(f"the equation '{equation}'", "export it as products and sums")
    for number, part in enumerate(labels):
        others = result + "".join(p for i, p in enumerate(labels) if i != number)
        alone = [place for place, label in enumerate(part) if label not in others]
        if alone:
            value = values[number]
            if isinstance(value, Constant):
                value = call.lifted(value)
            shape = tuple(extent for place, extent in enumerate(value.shape) if place not in alone)
            values[number] = reduced(call, value, alone, shape, mean=False, part=f"sum{number}")
            labels[number] = "".join(label for label in part if label in others)
    if len(values) == 1:
        order = [labels[0].index(label) for label in result]
        return call.rearrange(values[0], lambda array: array.transpose(order))
    a, b = labels
    batch = [label for label in result if label in a and label in b]
    rows, columns = (
        [label for label in result if label in one and label not in other] for one, other in ((a, b), (b, a))
    )
    inner = [label for label in a if label in b and label not in result]
    first = _arranged(call, values[0], a, batch, rows, inner, extents, "left")
    second = _arranged(call, values[1], b, batch, inner, columns, extents, "right")
    product = multiplied_matrices(call, first, second)
    made = [*batch, *rows, *columns]
    shaped = call.reshaped(product, tuple(extents[label] for label in made))
    order = [made.index(label) for label in result]
    return call.rearrange(shaped, lambda array: array.transpose(order), "ordered")


def _arranged(
    call: Call,
    value: Value,
    labels: str,
    batch: list[str],
    rows: list[str],
    columns: list[str],
    extents: dict[str, int],
    part: str,
) -> Value:
    order = [labels.index(label) for label in (*batch, *rows, *columns)]
    moved = call.rearrange(value, lambda array: array.transpose(order), part)
    shape = [*(extents[label] for label in batch), *(math.prod(extents[x] for x in some) for some in (rows, columns))]
    return call.reshaped(moved, tuple(shape))


def _cum_sum(call: Call) -> Value:
    value, axis = call.operand(0), call.constant(1)
    if axis.size != 1 or axis.dtype != np.int64:
        raise NodeError("its axis is not one integer", "export the network again")
    (place,) = normalized([int(axis.reshape(()))], len(value.shape))
    exclusive, reverse = call.flag("exclusive"), call.flag("reverse")
    extent = value.shape[place]
    call.translation.allocate(extent * extent)
    weight = np.triu(np.ones((extent, extent)), 1 if exclusive else 0)
    if reverse:
        weight = weight[::-1, ::-1]
    if isinstance(value, Constant) and value.array.dtype == np.int64:
        moved = np.moveaxis(value.array, place, -1) @ weight.astype(np.int64)
        return Constant(np.ascontiguousarray(np.moveaxis(moved, -1, place)))
    return along_axis(call, call.variable(0), place, np.ascontiguousarray(weight), 0)


def _trilu(call: Call) -> Value:
    value, upper = call.operand(0), call.flag("upper", default=True)
    shift = call.constant(1) if call.optional(1) is not None else np.zeros((), np.int64)
    if shift.size != 1 or shift.dtype != np.int64 or len(value.shape) < 2:
        raise NodeError("it is not for a matrix, or by more than one diagonal", "export the network again")
    k = max(min(int(shift.reshape(())), value.shape[-1]), -value.shape[-2])
    mask = (np.triu if upper else np.tril)(np.ones(value.shape[-2:], bool), k)
    if isinstance(value, Constant):
        return Constant(np.where(mask, value.array, np.zeros((), value.array.dtype)))
    places: NDArray[np.int64] = np.where(mask, np.arange(value.size).reshape(value.shape), -1)
    return call.select(value, places)


OPERATORS: dict[str, Translate] = {
    "CumSum": _cum_sum,
    "Einsum": _einsum,
    "Trilu": _trilu,
}
