"""Comparisons of values, and what is chosen by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.arithmetic import add, folded, scaled
from netproof.formats.onnx.call import Call, Constant, Masked, NodeError, Translate, Value, Variable, finite, tensor_of
from netproof.formats.onnx.nodes.products import product
from netproof.formats.onnx.shapes import expanded, joined
from netproof.operators.activations.curves.exponentials import Log
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.held import Held
from netproof.operators.activations.jumps.number import IsNumber
from netproof.operators.activations.jumps.step import Step
from netproof.operators.activations.jumps.table import Table
from netproof.operators.activations.pairs.quotient import Quotient
from netproof.operators.base import Operator


def _compared(function: Callable[..., NDArray[np.bool_]], sign: int, at: float) -> Translate:
    """``left > right`` (sign 1) or ``<`` (-1), or with ``at`` 1 also where they are equal: 0 or 1."""

    def translate(call: Call) -> Value:
        left, right = call.operand(0), call.operand(1)
        shape = np.broadcast_shapes(left.shape, right.shape)
        if isinstance(left, Constant) and isinstance(right, Constant):
            call.make(shape)
            return Constant(np.asarray(function(left.array, right.array)))
        first, second = (left, right) if sign > 0 else (right, left)
        difference = add(call, first, second, -1, "difference")
        assert isinstance(difference, Variable)
        return call.add(Step(0.0, at, 1.0), (difference.node,), shape)

    return translate


def _equal(call: Call) -> Value:
    left, right = call.operand(0), call.operand(1)
    shape = np.broadcast_shapes(left.shape, right.shape)
    if isinstance(left, Constant) and isinstance(right, Constant):
        call.make(shape)
        return Constant(left.array == right.array)
    # Truth values and whole numbers are numbers here.
    left, right = (Constant(v.array.astype(np.float64)) if isinstance(v, Constant) else v for v in (left, right))
    if isinstance(left, Constant) or isinstance(right, Constant):
        value, known = (right, left) if isinstance(left, Constant) else (left, right)
        assert isinstance(known, Constant)
        return _is_number(call, expanded(call, value, shape, "expanded"), finite(known.array, "a constant operand"))
    for index, other in ((left, right), (right, left)):
        if isinstance(index, Variable) and index.size == 1 and index.node in call.translation.largest:
            return _is_index(call, index, expanded(call, other, shape, "expanded"))
    difference = add(call, left, right, -1, "difference")
    assert isinstance(difference, Variable)
    return call.add(Step(0.0, 1.0, 0.0), (difference.node,), shape)


def _is_number(call: Call, value: Value, numbers: NDArray[np.float64], part: str = "") -> Variable:
    """Whether a value is a number."""
    assert isinstance(value, Variable)
    wanted = np.broadcast_to(numbers, value.shape).reshape(-1)
    same = bool((wanted == wanted[:1]).all()) and wanted.size > 0
    operator = IsNumber(tensor_of(wanted[:1] if same else wanted))
    return call.add(operator, (value.node,), value.shape, part)


def _is_index(call: Call, index: Variable, other: Value) -> Value:
    """Whether the place of a largest entry is another value: it is one of few, and then a number is compared with a number.

    A sum of products of truth values, ``[index = k] [other = k]``; neither side is rounded.
    """
    largest = call.translation.largest[index.node]
    total: Value | None = None
    for k in range(largest.size):
        chosen = call.select(largest, np.full(other.shape, k), part=f"is{k}")
        equal = _is_number(call, other, np.array(float(k)), f"equals{k}")
        both = product(call, chosen, equal, f"both{k}")
        total = both if total is None else add(call, total, both, 1, f"sum{k}")
    assert total is not None
    return total


def _is_no_number(call: Call) -> Value:
    """Whether a value is no number (NaN): never, of one that is known to have a value for every input.

    Exporters ask it of a softmax, for rows that a mask leaves nothing of; such masks are refused before.
    """
    value = call.operand(0)
    if isinstance(value, Constant):
        return Constant(np.isnan(value.array.astype(np.float64)))
    for number, node in call.translation.builder.leading_to(value.node).items():
        if number not in call.translation.defined and not _has_values(node.operator):
            raise NodeError(
                f"whether a value is a number that is computed by '{node.operator.name}', which may have none",
                "leave the question out",
            )
    call.make(value.shape)
    return Constant(np.zeros(value.shape, bool))


def _has_values(operator: Operator) -> bool:
    """Whether an operator has a value on all numbers."""
    if isinstance(operator, Power):
        zero = torch.zeros(1, dtype=torch.float64)
        wild = operator.undefined(zero - torch.inf, zero + torch.inf)
        return wild is None or not bool(wild.any())
    return not isinstance(operator, Log | Quotient | Held | Table)


def _not(call: Call) -> Value:
    value = call.operand(0)
    return Constant(~value.array) if isinstance(value, Constant) else scaled(call, value, -1.0, 1.0)


def _multiplied(call: Call, left: Value, right: Value, part: str) -> Value:
    """A product; of a truth value that is known with anything."""
    if isinstance(left, Variable) and isinstance(right, Variable):
        return product(call, left, right, part)
    if isinstance(left, Constant):
        left, right = right, left
    assert isinstance(right, Constant)
    numbers = finite(right.array.astype(np.float64), "a constant operand")
    if isinstance(left, Constant):
        return folded(call, np.multiply, left.array.astype(np.float64), numbers)
    wide = expanded(call, left, np.broadcast_shapes(left.shape, right.shape), f"{part}/expanded")
    assert isinstance(wide, Variable)
    return scaled(call, wide, numbers, 0.0, part)


def _both(call: Call) -> Value:
    left, right = call.operand(0), call.operand(1)
    if isinstance(left, Constant) and isinstance(right, Constant):
        call.make(np.broadcast_shapes(left.shape, right.shape))
        return Constant(left.array & right.array)
    return _multiplied(call, left, right, "")


def _either(call: Call) -> Value:
    left, right = call.operand(0), call.operand(1)
    if isinstance(left, Constant) and isinstance(right, Constant):
        call.make(np.broadcast_shapes(left.shape, right.shape))
        return Constant(left.array | right.array)
    neither: list[Value] = [
        Constant((~v.array).astype(np.float64)) if isinstance(v, Constant) else scaled(call, v, -1.0, 1.0, f"not{i}")
        for i, v in enumerate((left, right))
    ]
    none = _multiplied(call, neither[0], neither[1], "neither")
    assert isinstance(none, Variable)
    return scaled(call, none, -1.0, 1.0)


def _where(call: Call) -> Value:
    condition, left, right = (call.operand(number) for number in range(3))
    shape = np.broadcast_shapes(condition.shape, left.shape, right.shape)
    if isinstance(condition, Constant):
        if isinstance(left, Constant) and isinstance(right, Constant):
            call.make(shape)
            return Constant(np.where(condition.array, left.array, right.array))
        return _chosen(call, condition.array, left, right, shape)
    # right + condition * (left - right), with a condition of 0 or 1.
    for value in (left, right):
        if isinstance(value, Constant) and value.array.dtype != np.float64:
            raise NodeError("integers are chosen by a value that depends on the input")
    difference = add(call, left, right, -1, "difference")
    share = _multiplied(call, condition, difference, "share")
    return add(call, right, share)


def _chosen(call: Call, condition: NDArray[Any], left: Value, right: Value, shape: tuple[int, ...]) -> Value:
    """Entries of two values, chosen by known truth values."""
    call.make(shape)
    mask = np.broadcast_to(condition.astype(bool), shape)

    def choose(arrays: list[NDArray[Any]]) -> NDArray[Any]:
        first, second = (np.broadcast_to(array, shape) for array in arrays)
        return np.where(mask, first, second)

    for number, one in enumerate((left, right)):
        absent = np.isneginf(one.array) if isinstance(one, Constant) and one.array.dtype == np.float64 else None
        if absent is not None and bool(absent.any()):
            there = np.broadcast_to(absent, shape) & (mask if number == 0 else ~mask)
            known = Constant(np.where(absent, 0.0, one.array))  # type: ignore[union-attr]
            chosen = joined(call, [known, right] if number == 0 else [left, known], choose)
            return Masked(chosen.node, chosen.shape, there)
    return joined(call, [left, right], choose)


OPERATORS: dict[str, Translate] = {
    "And": _both,
    "Equal": _equal,
    "Greater": _compared(np.greater, 1, 0.0),
    "GreaterOrEqual": _compared(np.greater_equal, 1, 1.0),
    "IsNaN": _is_no_number,
    "Less": _compared(np.less, -1, 0.0),
    "LessOrEqual": _compared(np.less_equal, -1, 1.0),
    "Not": _not,
    "Or": _either,
    "Where": _where,
}
