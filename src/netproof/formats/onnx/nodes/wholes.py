"""Integers that depend on the input, in a network of floats: numbers like any others, where an operator means the same for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netproof.formats.onnx.call import Constant, NodeError, Translation, Value, Variable

if TYPE_CHECKING:
    import onnx

#: ONNX's integer types, and operators that give on integers what they give on the same real numbers
_INTEGERS = (2, 3, 4, 5, 6, 7, 12, 13)
_ALIKE = frozenset(
    [
        "Abs",
        "Add",
        "Cast",
        "Concat",
        "Equal",
        "Expand",
        "Flatten",
        "Gather",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "Less",
        "LessOrEqual",
        "Max",
        "Min",
        "Neg",
        "Pad",
        "ReduceMax",
        "ReduceMin",
        "ReduceSum",
        "Reshape",
        "Sign",
        "Slice",
        "Split",
        "Squeeze",
        "Sub",
        "Sum",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)


#: those of them whose operands are all of one kind, so that integers which are known become numbers, too
_ELEMENTWISE = frozenset(
    ["Add", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min", "Sub", "Sum", "Where"]
)


def as_numbers(node: onnx.NodeProto, operands: list[Value | None], translation: Translation) -> list[Value | None]:
    """Operands of which some are integers that depend on the input: numbers here.

    Raises :class:`NodeError` for operators that mean something else for integers than for real numbers: quotients, powers.
    """
    kinds = [translation.types.get(name, 0) for name in node.input]
    if not any(isinstance(v, Variable) and kind in _INTEGERS for v, kind in zip(operands, kinds, strict=True)):
        return operands
    if node.op_type not in _ALIKE:
        raise NodeError("an operand that depends on the input is an integer", "cast it to a float type before")
    if node.op_type not in _ELEMENTWISE:
        return operands
    numbers: list[Value | None] = []
    for value in operands:
        if isinstance(value, Constant) and value.array.dtype == np.int64:
            floats = value.array.astype(np.float64)
            if bool((np.abs(floats) >= 2.0**53).any()):
                raise NodeError("an integer beyond 2^53", "export the network with smaller ones")
            value = Constant(floats)  # noqa: PLW2901 - what it is from here on
        numbers.append(value)
    return numbers
