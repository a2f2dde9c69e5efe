"""Values of a network while it is read, and the maps and ReLUs that make them of others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.nodes import RELU, Node
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.operators import Affine, Array, Scale, Select, Sum
from netproof.certificate.checker.real.reading.constants import LARGEST, UnknownError, check_size


@dataclass(frozen=True, eq=False)
class Value:
    """A node and the shape that ONNX gives it."""

    node: int
    shape: tuple[int, ...]


#: what an operator takes: a value, or a constant
Operand = Value | Array
#: what it is: of its operands, and of its attributes, of which it takes those that it knows away
Operator = Callable[[list[Any], dict[str, Any]], Operand | tuple[Operand, ...]]


class Values:
    """The nodes so far, the first of which is the input; and operators by the conventions of an operator set."""

    _opset = 0
    #: how many results the operator that is read has, and whether some value may be one of float64
    _results, _is_wide = 1, False

    def __init__(self, numbers: Float64) -> None:
        self._numbers = numbers
        self._nodes: list[Node] = []
        self._total = 0
        #: of a softmax over all of a value, which keeps their order, that value
        self._before_softmax: dict[int, int] = {}

    def operators(self) -> dict[str, Operator]:
        """What is known, by name."""
        return {}

    def _count(self, size: int) -> None:
        self._total += size
        if self._total > LARGEST:
            raise UnknownError("its size")

    def _add(
        self, operator: Affine | None, operands: tuple[int, ...], shape: Sequence[int], size: int, bend: str = ""
    ) -> Value:
        if math.prod(shape) != size:
            raise UnknownError("a value of another size than its shape")
        check_size((size,))
        self._count(size)
        self._nodes.append(Node(operator, operands, size, bend))
        return Value(len(self._nodes) - 1, tuple(shape))

    def _affine(self, operator: Affine, values: Sequence[Value], shape: Sequence[int]) -> Value:
        return self._add(operator, tuple(value.node for value in values), shape, operator.size)

    def _bend(self, value: Value, bend: str) -> Value:
        return self._add(None, (value.node,), value.shape, math.prod(value.shape), bend)

    def _rectified(self, value: Value) -> Value:
        return self._bend(value, RELU)

    def _value(self, operands: Sequence[Operand], count: int = 1) -> Value:
        """The first of so many operands; of a constant of floats a value that depends on nothing."""
        if len(operands) != count:
            raise UnknownError("another number of operands")
        first = operands[0]
        if isinstance(first, Value):
            return first
        flat = self._spread(first, first.shape)
        select = Select(np.full(len(flat), -1), self._nodes[0].size, flat)
        return self._affine(select, [Value(0, ())], first.shape)

    def _scaled(self, value: Value, scale: float | Array, shift: float | None = None, roundings: int = 0) -> Value:
        size, load = math.prod(value.shape), self._numbers.load
        factor = scale if isinstance(scale, np.ndarray) else load(np.full(size, scale))
        move = None if shift is None else load(np.full(size, shift))
        return self._affine(Scale(size, factor, move, roundings), [value], value.shape)

    def _shared(self, value: Value, parts: float | Array, roundings: int = 2) -> Value:
        """A value divided by numbers."""
        size = math.prod(value.shape)
        count = parts if isinstance(parts, np.ndarray) else self._numbers.load(np.full(size, parts))
        return self._scaled(value, self._numbers.load(np.ones(size)) / count, roundings=roundings)

    def _summed(self, first: Value, second: Value, sign: int = 1) -> Value:
        return self._affine(Sum(math.prod(first.shape), sign), [first, second], first.shape)

    def _arranged(self, operands: Sequence[Operand], how: Callable[..., Array]) -> Operand:
        """What only moves numbers: ``how`` makes an array of arrays of the shapes of the operands."""
        if not any(isinstance(x, Value) for x in operands):
            if len({x.dtype.kind for x in operands if isinstance(x, np.ndarray)}) > 1:
                raise UnknownError("constants of several types")
            return np.asarray(how(*operands))
        sizes = [math.prod(x.shape) for x in operands]
        check_size((sum(sizes),))
        starts = np.cumsum([0, *sizes])
        places = how(*(grid_of(x) + start for x, start in zip(operands, starts.tolist(), strict=False)))
        check_size(places.shape)
        owner = np.searchsorted(starts, places, side="right") - 1
        shift, index = np.zeros(places.shape), dict[int, NDArray[np.int64]]()
        for k, x in enumerate(operands):
            mine = owner == k
            if isinstance(x, Value):
                kept = index.setdefault(x.node, np.full(places.shape, -1))
                kept[mine] = places[mine] - starts[k]
            elif x.size:
                shift[mine] = self._floats(x).reshape(-1)[places[mine] - starts[k]]
        parts = [
            self._moved(Value(node, ()), one, None if at else shift) for at, (node, one) in enumerate(index.items())
        ]
        total = parts[0]
        for part in parts[1:]:
            total = self._summed(total, part)
        return total

    def _moved(self, value: Value, index: NDArray[np.int64], shift: Array | None = None) -> Value:
        """The numbers of a value that an array of places names, 0 where it is -1; and a shift of its shape."""
        offset = None if shift is None or not shift.any() else self._spread(shift, index.shape)
        select = Select(index.reshape(-1), self._nodes[value.node].size, offset)
        return self._affine(select, [value], index.shape)

    def _expanded(self, operand: Operand, shape: tuple[int, ...]) -> Value:
        """An operand as a value of a shape that it can be broadcast to."""
        if isinstance(operand, Value) and operand.shape == shape:
            return operand
        check_size(shape)
        return self._value([self._arranged([operand], lambda x: np.broadcast_to(x, shape))])

    @staticmethod
    def _floats(constant: Any) -> Array:
        if isinstance(constant, Value) or constant.dtype.kind != "f":
            raise UnknownError("a constant that is none of floats")
        return np.asarray(constant)

    def _spread(self, constant: Any, shape: tuple[int, ...]) -> Array:
        """A constant in the shape of a value, flat."""
        known = self._floats(constant)
        if math.prod(known.shape) == 0 or np.broadcast_shapes(known.shape, shape) != shape:
            raise UnknownError("a constant that makes a value larger")
        return self._numbers.load(np.broadcast_to(known, shape).reshape(-1))


def grid_of(x: Operand) -> NDArray[np.int64]:
    """The places of an operand's numbers."""
    return np.arange(math.prod(x.shape)).reshape(x.shape)


def shaped(x: Operand, shape: tuple[int, ...]) -> Operand:
    """The same numbers in another shape."""
    if math.prod(x.shape) != math.prod(shape):
        raise UnknownError("a shape of another size")
    return x.reshape(shape) if isinstance(x, np.ndarray) else Value(x.node, shape)


def axes_of(given: Sequence[int], rank: int, name: str) -> list[int]:
    """Axes counted from the first one, in the order given, none of them twice."""
    found = [axis % rank if -rank <= axis < rank else -1 for axis in given]
    if -1 in found or len(set(found)) != len(found):
        raise UnknownError(f"the axes of a {name}")
    return found
