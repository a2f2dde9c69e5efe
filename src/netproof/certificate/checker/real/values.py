"""Values of a network while it is read, and the maps and ReLUs that make them of others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netproof.certificate.checker.real.constants import UnknownError
from netproof.certificate.checker.real.nodes import RELU, Node
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.operators import Affine, Array, Scale, Sum

#: features of one value at most, a window's padding included, and of all values together
WIDEST, _LARGEST = 1 << 24, 1 << 27


@dataclass(frozen=True, eq=False)
class Value:
    """A node and the shape that ONNX gives it."""

    node: int
    shape: tuple[int, ...]


class Values:
    """The nodes so far."""

    def __init__(self, numbers: Float64) -> None:
        self._numbers = numbers
        self._nodes: list[Node] = []
        self._total = 0

    def _add(
        self, operator: Affine | None, operands: tuple[int, ...], shape: Sequence[int], size: int, bend: str = ""
    ) -> Value:
        if math.prod(shape) != size:
            raise UnknownError("a value of another size than its shape")
        self._total += size
        if size > WIDEST or self._total > _LARGEST:
            raise UnknownError("its size")
        self._nodes.append(Node(operator, operands, size, bend))
        return Value(len(self._nodes) - 1, tuple(shape))

    def _affine(self, operator: Affine, values: Sequence[Value], shape: Sequence[int]) -> Value:
        return self._add(operator, tuple(value.node for value in values), shape, operator.size)

    def _bend(self, value: Value, bend: str) -> Value:
        return self._add(None, (value.node,), value.shape, math.prod(value.shape), bend)

    def _rectified(self, value: Value) -> Value:
        return self._bend(value, RELU)

    def _scaled(self, value: Value, scale: float | Array, shift: float | None = None, roundings: int = 0) -> Value:
        size, load = math.prod(value.shape), self._numbers.load
        factor = scale if isinstance(scale, np.ndarray) else load(np.full(size, scale))
        move = None if shift is None else load(np.full(size, shift))
        return self._affine(Scale(size, factor, move, roundings), [value], value.shape)

    def _bent(self, value: Value, slope: Array) -> Value:
        """``slope x`` below 0 and ``x`` above, which is ``slope x + (1 - slope) relu(x)``."""
        rest = self._numbers.load(np.ones(len(slope))) - slope
        parts = [self._scaled(value, slope), self._scaled(self._rectified(value), rest, roundings=2)]
        return self._affine(Sum(len(slope), 1), parts, value.shape)

    def _clipped(self, value: Value, low: float, high: float) -> Value:
        if not low <= high:
            raise UnknownError("a Clip whose ends are exchanged")
        above = self._scaled(self._rectified(self._scaled(value, 1.0, -low)), 1.0, low)
        return self._scaled(self._rectified(self._scaled(above, -1.0, high)), -1.0, high)

    def _spread(self, constant: Any, shape: tuple[int, ...]) -> Array:
        """A constant in the shape of a value, flat."""
        if isinstance(constant, Value) or constant.dtype.kind != "f":
            raise UnknownError("a constant that is none of floats")
        if math.prod(constant.shape) == 0 or np.broadcast_shapes(constant.shape, shape) != shape:
            raise UnknownError("a constant that makes a value larger")
        return self._numbers.load(np.broadcast_to(constant, shape).reshape(-1))


def value_of(operands: Sequence[Any], count: int) -> Value:
    """The one operand, which depends on the input."""
    if len(operands) != count or not isinstance(operands[0], Value):
        raise UnknownError("an operator of constants alone")
    return operands[0]


def shaped(x: Value | Array, shape: tuple[int, ...]) -> Value | Array:
    if math.prod(x.shape) != math.prod(shape):
        raise UnknownError("a shape of another size")
    return x.reshape(shape) if isinstance(x, np.ndarray) else Value(x.node, shape)
