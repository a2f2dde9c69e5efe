"""Integers that depend on the input, in a network of floats: numbers like any others, where an operator means the same for both."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from netproof.formats.onnx.call import Constant, NodeError, Translation, Value, Variable
from netproof.formats.onnx.shapes import LARGEST_CAST

if TYPE_CHECKING:
    import onnx

#: the number of the type of truth values, and from which magnitude on an integer may leave its type, or the integers float64 has
_BOOL = 9
_LIMITS = {6: 2.0**31 - 1, 7: 2.0**53}
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


def check_sizes(
    node: onnx.NodeProto, operands: list[Value | None], results: tuple[Value, ...], translation: Translation
) -> None:
    """Note how large integers that depend on the input can be, which is known without it, since casts say no more of what is
    larger; raises :class:`NodeError` where they may leave their type, in which runtimes wrap around."""
    for name, result in zip(node.output, results, strict=False):
        kind = translation.types.get(name, 0)
        if name and isinstance(result, Variable) and not kind:
            raise NodeError("a result whose type is not known", "export the network again")
        if not isinstance(result, Variable) or kind not in _INTEGERS:
            continue
        sizes = [
            _size(value, of, translation) for value, of in zip(operands, node.input, strict=True) if value is not None
        ]
        if node.op_type == "Cast":
            size = min(sizes[0], LARGEST_CAST.get(kind, math.inf))
        elif node.op_type in ("ArgMax", "ArgMin"):
            size = float(max((0, *(operands[0].shape if operands[0] is not None else ()))))
        elif node.op_type in ("Add", "Sub"):
            size = sum(sizes)
        elif node.op_type == "ReduceSum":
            size = sizes[0] * (operands[0].size if isinstance(operands[0], Variable) else 1)
        else:
            size = max(sizes, default=0.0)
        if size >= _LIMITS.get(kind, 0.0):
            raise NodeError(
                f"integers that may reach {size:g}, so large that runtimes may wrap around", "compute in floats instead"
            )
        translation.sizes[name] = size


def _size(value: Value, name: str, translation: Translation) -> float:
    kind = translation.types.get(name, 0)
    if isinstance(value, Constant):
        numbers = value.array.dtype != bool and value.array.size
        return float(np.abs(value.array.astype(np.float64)).max()) if numbers else 1.0
    return 1.0 if kind == _BOOL else translation.sizes.get(name, _LIMITS.get(kind, math.inf))
