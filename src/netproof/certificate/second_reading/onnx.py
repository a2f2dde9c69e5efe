"""Second reader of ONNX networks of integers.

A value is a part of the reading and, after it, steps that are the same for every feature; the steps become a part of
their own when something else than a further step, a shape or a 32-bit name asks for the value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.second_reading.reading import Floats, Map, Reading, UnknownFormError, Wholes, stepped

#: least and largest of uint8, int8 and int32, by the numbers ONNX gives them
_TYPES = {2: (0, 255), 3: (-128, 127), 6: (-(2**31), 2**31 - 1)}
_INT32 = 6
_INPUT_RANGE = "netproof.input_range"


@dataclass(frozen=True, eq=False)
class _Value:
    """Part ``part``, then ``steps`` in their order; ``shape`` and ``kind`` (type) are those in the file.

    A step is a name with its numbers: ``add``, ``multiply``, ``divide``, ``clip``.
    """

    part: int
    shape: tuple[int, ...]
    kind: int
    steps: tuple[tuple[Any, ...], ...] = ()

    def after(self, *step: Any) -> _Value:
        return replace(self, steps=(*self.steps, step))


def read_onnx(data: bytes, deadline: float = math.inf) -> Reading:
    """The network in ``data``; raises :class:`UnknownFormError`."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        raise UnknownFormError("no ONNX model") from None
    return _Reader(model, deadline).read(model)


class _Reader:
    def __init__(self, model: Any, deadline: float = math.inf) -> None:
        from onnx import TensorProto, numpy_helper

        self._reading = Reading(deadline=deadline)
        self._made: dict[tuple[int, tuple[tuple[Any, ...], ...]], int] = {}
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Constant":
                tensors[node.output[0]] = attributes(node)["value"]
        if any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors.values()):
            raise UnknownFormError("numbers in other files")
        self._constants: dict[str, NDArray[Any]] = {n: numpy_helper.to_array(t) for n, t in tensors.items()}

    def read(self, model: Any) -> Reading:
        graph, reading = model.graph, self._reading
        if any(entry.domain not in ("", "ai.onnx") for entry in graph.node):
            raise UnknownFormError("operators that are not of the standard")
        (source,) = (value for value in graph.input if value.name not in self._constants)
        kind = source.type.tensor_type
        shape = tuple(d.dim_value or (1 if not axis else 0) for axis, d in enumerate(kind.shape.dim))
        low, high = _TYPES[kind.elem_type]
        for entry in model.metadata_props:
            if entry.key == _INPUT_RANGE:
                low, high = map(int, entry.value.split())
        reading.add_input(math.prod(shape), low, high)
        values = {source.name: _Value(0, shape, kind.elem_type)}
        for node in needed(graph, {source.name, *self._constants}):
            made = self._value(node, [values.get(name) for name in node.input])
            self._check_type(made, node)
            values[node.output[0]] = made
        reading.output = self._part(values[graph.output[0].name])
        return reading

    def _check_type(self, value: _Value, node: Any) -> None:
        part, (least, largest) = self._reading.parts[value.part], _TYPES[value.kind]
        ends = stepped(_together(value.steps), np.array([part.low.min(), part.high.max()]))
        if ends[0] < least or ends[1] > largest:
            raise UnknownFormError(f"a value that leaves its type, at node '{node.name or node.output[0]}'")

    def _value(self, node: Any, operands: list[_Value | None]) -> _Value:
        known: dict[str, Callable[[Any, list[_Value | None]], _Value]] = {
            "Add": lambda n, o: self._sum(n, o, 1),
            "Sub": lambda n, o: self._sum(n, o, -1),
            "Cast": self._cast,
            "Clip": self._clip,
            "Relu": lambda _, o: _first(o).after("clip", 0, None),
            "Mul": self._multiply,
            "Div": lambda n, o: _first(o).after("divide", self._positive(n, 1)),
            "ConvInteger": self._convolution,
            "MatMulInteger": self._product,
            "Flatten": _flattened,
            "Identity": lambda _, o: _first(o),
            "Reshape": self._reshaped,
        }
        if node.op_type not in known:
            raise UnknownFormError(f"the operator {node.op_type[:40]}")
        return known[node.op_type](node, operands)

    # -- constants

    def _constant(self, node: Any, number: int) -> NDArray[np.int64]:
        array = self._constants[node.input[number]]
        if array.dtype.kind not in "iu":
            raise UnknownFormError(f"constants of {array.dtype}")
        return array.astype(np.int64)

    def _number(self, node: Any, number: int) -> int | None:
        """An operand of one whole number; None where it is left out."""
        if number >= len(node.input) or not node.input[number]:
            return None
        return int(self._constant(node, number).reshape(-1).item())

    def _positive(self, node: Any, number: int) -> int:
        value = self._number(node, number)
        if value is None or value < 1:
            raise UnknownFormError(f"a factor or divisor of {value}")
        return value

    # -- operators

    def _sum(self, node: Any, operands: list[_Value | None], sign: int) -> _Value:
        left, right = operands
        if left is not None and right is not None:
            if left.shape != right.shape or left.kind != right.kind:
                raise UnknownFormError("a sum of two shapes or types")
            part = self._reading.add_map(_of_both(sign), self._part(left), self._part(right))
            return _Value(part, left.shape, left.kind)
        if left is None and sign < 0:
            raise UnknownFormError("a constant less a value")
        value, at = _first(operands), 0 if left is None else 1
        array = sign * self._constant(node, at)
        if array.size == 1 and array.ndim <= len(value.shape):
            return value.after("add", int(array.reshape(-1).item()))
        added = np.broadcast_to(array, value.shape).reshape(-1).astype(np.float64)
        part = self._reading.add_map(plus(added), self._part(value))
        return _Value(part, value.shape, value.kind)

    def _multiply(self, node: Any, operands: list[_Value | None]) -> _Value:
        at = 1 if operands[0] is not None else 0
        return _first(operands).after("multiply", self._positive(node, at))

    def _cast(self, node: Any, operands: list[_Value | None]) -> _Value:
        value, kind = _first(operands), attributes(node)["to"]
        if kind not in _TYPES:
            raise UnknownFormError(f"a cast to type {kind}")
        if kind == _INT32:
            return replace(value, kind=kind)
        return _Value(self._part(value), value.shape, kind)

    def _clip(self, node: Any, operands: list[_Value | None]) -> _Value:
        if node.attribute:
            raise UnknownFormError("a Clip with attributes")
        return _first(operands).after("clip", self._number(node, 1), self._number(node, 2))

    def _check_zero_points(self, node: Any) -> None:
        for number in (2, 3):
            if number < len(node.input) and node.input[number] and self._constant(node, number).any():
                raise UnknownFormError("zero points other than 0")

    def _product(self, node: Any, operands: list[_Value | None]) -> _Value:
        value, weight = _first(operands), self._constant(node, 1).astype(np.float64)
        self._check_zero_points(node)
        if value.kind == _INT32 or len(value.shape) != 2 or value.shape[0] != 1 or weight.ndim != 2:
            raise UnknownFormError(f"a product of {value.shape} and {weight.shape}")
        part = self._reading.add_map(matrix(weight), self._part(value))
        return _Value(part, (1, weight.shape[1]), _INT32)

    def _convolution(self, node: Any, operands: list[_Value | None]) -> _Value:
        value, weight = _first(operands), self._constant(node, 1).astype(np.float64)
        self._check_zero_points(node)
        stated, axes = attributes(node), weight.ndim - 2
        if value.kind == _INT32 or len(value.shape) != weight.ndim or axes < 1:
            raise UnknownFormError(f"a convolution of {value.shape} by {weight.shape}")
        stride, dilation = stated.get("strides", [1] * axes), stated.get("dilations", [1] * axes)
        kernel = weight.shape[2:]
        pads = pads_of(stated, value.shape[2:], kernel, stride, dilation)
        groups = stated.get("group", 1)
        if stated.get("kernel_shape", list(kernel)) != list(kernel) or groups * weight.shape[1] != value.shape[1]:
            raise UnknownFormError("a convolution whose shapes do not fit")
        map_, shape = correlation_of(weight, value.shape, stride, dilation, pads, groups)
        return _Value(self._reading.add_map(map_, self._part(value)), shape, _INT32)

    def _reshaped(self, node: Any, operands: list[_Value | None]) -> _Value:
        value, target = _first(operands), self._constant(node, 1).tolist()
        keeps = not attributes(node).get("allowzero", 0)
        shape = [value.shape[i] if not extent and keeps else extent for i, extent in enumerate(target)]
        return replace(value, shape=np.empty(value.shape, bool).reshape(shape).shape)

    # -- steps

    def _part(self, value: _Value) -> int:
        """The part that is a value, its steps included."""
        if not value.steps:
            return value.part
        key = (value.part, value.steps)
        if key not in self._made:
            steps = _together(value.steps)
            if all(name in ("add", "multiply") for name, *_ in value.steps):
                shift, one = steps(np.array([0, 1], dtype=object))
                size = self._reading.parts[value.part].size
                self._made[key] = self._reading.add_map(
                    plus(np.full(size, float(shift)), float(one - shift)), value.part
                )
            else:
                self._made[key] = self._reading.add_steps(steps, value.part)
        return self._made[key]


def needed(graph: Any, given: set[str]) -> list[Any]:
    """The nodes that the output depends on, each after those whose results it takes."""
    makers = {name: node for node in graph.node for name in node.output if name}
    order: list[Any] = []
    begun, done = set[str](), set(given)
    stack = [graph.output[0].name]
    while stack:
        name = stack[-1]
        missing = [] if name in done or name in begun else [i for i in makers[name].input if i]
        begun.add(name)
        stack.extend(missing)
        if not missing:
            if name not in done:
                order.append(makers[name])
                done.update(makers[name].output)
            stack.pop()
    return order


def attributes(node: Any) -> dict[str, Any]:
    """The attributes of a node, as Python has them."""
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _first(operands: list[_Value | None]) -> _Value:
    """The operand that depends on the input."""
    (value,) = (operand for operand in operands if operand is not None)
    return value


def _flattened(node: Any, operands: list[_Value | None]) -> _Value:
    value = _first(operands)
    axis = attributes(node).get("axis", 1)
    return replace(value, shape=(math.prod(value.shape[:axis]), math.prod(value.shape[axis:])))


def _together(steps: tuple[tuple[Any, ...], ...]) -> Callable[[Wholes], Wholes]:
    def together(a: Wholes) -> Wholes:
        for name, *numbers in steps:
            if name == "add":
                a = a + numbers[0]
            elif name == "multiply":
                a = a * numbers[0]
            elif name == "divide":
                # Towards zero, as runtimes do.
                a = np.where(a < 0, -(-a // numbers[0]), a // numbers[0])
            else:
                low, high = numbers
                a = a if low is None else np.maximum(a, low)
                a = a if high is None else np.minimum(a, high)
        return a

    return together


# -- affine maps


def _of_both(sign: int) -> Map:
    def both(operands: Sequence[Floats], absolute: bool) -> Floats:
        return operands[0] + (1 if absolute else sign) * operands[1]

    return both


def plus(added: Floats, factor: float = 1.0) -> Map:
    """``factor x + added``."""

    def shifted(operands: Sequence[Floats], absolute: bool) -> Floats:
        return factor * operands[0] + (0 if absolute else added)

    return shifted


def matrix(weight: Floats) -> Map:
    """``x W`` of one row."""

    def product(operands: Sequence[Floats], absolute: bool) -> Floats:
        result: Floats = operands[0] @ (np.abs(weight) if absolute else weight)
        return result

    return product


def pads_of(
    stated: dict[str, Any],
    extents: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> list[tuple[int, int]]:
    """Zeros before and after, per axis."""
    how, axes = bytes(stated.get("auto_pad", b"NOTSET")).decode(), len(kernel)
    if how == "NOTSET":
        pads = stated.get("pads", [0] * (2 * axes))
        return list(zip(pads[:axes], pads[axes:], strict=True))
    if how == "VALID":
        return [(0, 0)] * axes
    if how not in ("SAME_UPPER", "SAME_LOWER"):
        raise UnknownFormError(f"the padding {how[:40]}")
    both = []
    for extent, k, s, d in zip(extents, kernel, stride, dilation, strict=True):
        total = max((-(-extent // s) - 1) * s + d * (k - 1) + 1 - extent, 0)
        less, more = total // 2, total - total // 2
        both.append((less, more) if how == "SAME_UPPER" else (more, less))
    return both


def correlation_of(
    weight: Floats,
    shape: tuple[int, ...],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Sequence[tuple[int, int]],
    groups: int,
) -> tuple[Map, tuple[int, ...]]:
    """The map of samples ``shape``, and the shape of its result."""
    kernel, outputs = weight.shape[2:], len(weight) // groups
    extents = tuple(
        (extent + sum(pad) - d * (k - 1) - 1) // s + 1
        for extent, pad, k, s, d in zip(shape[2:], pads, kernel, stride, dilation, strict=True)
    )

    def correlation(operands: Sequence[Floats], absolute: bool) -> Floats:
        rows = len(operands[0])
        x = np.pad(operands[0].reshape(-1, *shape[1:]), [(0, 0), (0, 0), *pads])
        coefficients = np.abs(weight) if absolute else weight
        result = np.zeros((len(x), len(weight), *extents))
        for place in np.ndindex(*kernel):
            window = tuple(
                slice(p * d, p * d + (n - 1) * s + 1, s)
                for p, d, s, n in zip(place, dilation, stride, extents, strict=True)
            )
            for group in range(groups):
                out = slice(group * outputs, (group + 1) * outputs)
                inside = slice(group * weight.shape[1], (group + 1) * weight.shape[1])
                of: tuple[Any, ...] = (out, slice(None), *place)
                at: tuple[Any, ...] = (slice(None), inside, *window)
                result[:, out] += np.moveaxis(np.tensordot(coefficients[of], x[at], (1, 1)), 0, 1)
        return result.reshape(rows, -1)

    return correlation, (shape[0], len(weight), *extents)
