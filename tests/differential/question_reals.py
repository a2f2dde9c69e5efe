"""Float networks as lists of calls: their values in rational arithmetic, and the ONNX file that says the same.

Nothing here knows netproof. Values are NumPy arrays of objects in the shapes ONNX gives them, batch 1; the same code
evaluates rational numbers and affine forms. Constants are float32 numbers, and count as the rational numbers they are.
"""

from __future__ import annotations

import decimal
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Objects = NDArray[np.object_]
Shape = tuple[int, ...]

SMOOTH = ("Sigmoid", "Tanh")
#: of two values, or one over one: rational where their operands are, and no affine form of the inputs
CURVED = ("Mul", "Div", "Reciprocal")
_DIGITS = 60


class Kinks:
    """What an evaluation asks of a number."""

    def positive(self, value: Any) -> bool:
        """Whether it is at least 0."""
        return bool(value >= 0)

    def smooth(self, name: str, value: Any) -> Any:
        """A sigmoid or hyperbolic tangent, to 60 digits."""
        with decimal.localcontext() as context:
            context.prec = _DIGITS
            a = decimal.Decimal(value.numerator) / decimal.Decimal(value.denominator)
            a = max(min(a, decimal.Decimal(3000)), decimal.Decimal(-3000))
            if name == "Tanh":
                square = (-2 * abs(a)).exp()
                size = (1 - square) / (1 + square)
                return Fraction(size if a >= 0 else -size)
            power = (-abs(a)).exp()
            return Fraction(1 / (1 + power) if a >= 0 else power / (1 + power))


@dataclass(frozen=True)
class Call:
    """An operator applied to values by number (0 is the input, ``k + 1`` the result of call ``k``).

    ``constants`` are tensors (float32, or int64 for shapes), ``options`` is what is neither.
    """

    op: str
    operands: tuple[int, ...]
    constants: tuple[NDArray[Any], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RealNetwork:
    """Calls, operands first; the output is one of the values, of whatever shape.

    With ``softmax`` the file ends in one. What is evaluated here are its inputs.
    """

    shape: Shape
    calls: tuple[Call, ...]
    output: int
    softmax: bool = False

    @property
    def inputs(self) -> int:
        return int(np.prod(self.shape))

    @property
    def smooth(self) -> bool:
        return any(call.op in SMOOTH for call in self.calls)

    @property
    def curved(self) -> bool:
        return any(call.op in CURVED for call in self.calls)

    def evaluate(self, x: Sequence[Any], kinks: Kinks | None = None) -> list[Any]:
        """The outputs, flattened; values that do not matter for them are not computed."""
        return list(self.values(x, kinks, only=needed(self.calls, self.output))[self.output].reshape(-1))

    def values(self, x: Sequence[Any], kinks: Kinks | None = None, only: set[int] | None = None) -> list[Objects]:
        """All values (those not asked for are empty)."""
        start = np.empty(len(x), object)
        start[:] = list(x)
        values = [start.reshape(self.shape)]
        for number, call in enumerate(self.calls):
            if only is not None and number + 1 not in only:
                values.append(np.empty(0, object))
                continue
            values.append(apply(call, [values[i] for i in call.operands], kinks or Kinks()))
        return values

    def model(self) -> bytes:
        """The ONNX file."""
        nodes: list[onnx.NodeProto] = []
        constants: dict[str, NDArray[Any]] = {}
        output = "y"
        names = ["x"] + [f"v{k}" for k in range(len(self.calls))]
        if not self.softmax and self.output:
            names[self.output] = output
        for k, call in enumerate(self.calls):
            _emit(call, f"n{k}", [names[i] for i in call.operands], names[k + 1], nodes, constants)
        if self.softmax:
            axes = -1 if len(self.calls) % 2 else 1
            nodes.append(helper.make_node("Softmax", [names[self.output]], [output], name="softmax", axis=axes))
        elif not self.output:
            nodes.append(helper.make_node("Identity", ["x"], [output], name="same"))
        graph = helper.make_graph(
            nodes,
            "question",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(self.shape))],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            initializer=[numpy_helper.from_array(array, name) for name, array in constants.items()],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        made.ir_version = 8
        return bytes(made.SerializeToString())


def needed(calls: Sequence[Call], output: int) -> set[int]:
    """The numbers of the values that an output depends on."""
    found, left = set(), [output]
    while left:
        value = left.pop()
        if value not in found:
            found.add(value)
            left += calls[value - 1].operands if value else ()
    return found


def exactly(array: NDArray[Any]) -> Objects:
    """A tensor of floats as rational numbers."""
    made = np.empty(array.shape, object)
    made.reshape(-1)[:] = [Fraction(float(v)) for v in array.reshape(-1)]
    return made


def apply(call: Call, values: Sequence[Objects], kinks: Kinks) -> Objects:
    """The value of one call."""
    result = _VALUES[call.op](call, values, kinks)
    return np.asarray(result, object)


def _each(function: Callable[[Any], Any]) -> Callable[[Objects], Objects]:
    def mapped(array: Objects) -> Objects:
        made = np.empty(array.shape, object)
        made.reshape(-1)[:] = [function(entry) for entry in array.reshape(-1)]
        return made

    return mapped


def _gemm(call: Call, values: Sequence[Objects], kinks: Kinks) -> Objects:
    weight, bias = (exactly(c) for c in call.constants)
    matrix = weight.T if call.options["transB"] else weight
    product = _product(values[0], matrix)
    return product * Fraction(call.options["alpha"]) + bias * Fraction(call.options["beta"])


def _product(left: Objects, right: Objects) -> Objects:
    """A matrix product that leaves zeros out."""
    made = np.empty((left.shape[0], right.shape[1]), object)
    for i, j in np.ndindex(*made.shape):
        pairs = [(a, w) for a, w in zip(left[i], right[:, j], strict=True) if w]
        made[i, j] = sum((a * w for a, w in pairs), Fraction(0))
    return made


def _convolution(call: Call, values: Sequence[Objects], kinks: Kinks) -> Objects:
    weight, bias = (exactly(c) for c in call.constants)
    x, pads, stride, group = values[0], call.options["pads"], call.options["stride"], call.options["group"]
    x = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=Fraction(0))
    (_, channels, height, width), (outputs, _, *kernel) = x.shape, weight.shape
    extents = [(e - k) // stride + 1 for e, k in zip((height, width), kernel, strict=True)]
    made = np.empty((1, outputs, *extents), object)
    each = channels // group
    for o, i, j in itertools.product(range(outputs), *map(range, extents)):
        start = o // (outputs // group) * each
        window = x[0, start : start + each, i * stride : i * stride + kernel[0], j * stride : j * stride + kernel[1]]
        made[0, o, i, j] = (
            sum((a * w for a, w in zip(window.reshape(-1), weight[o].reshape(-1), strict=True) if w), Fraction(0))
            + bias[o]
        )
    return made


def _transposed(call: Call, values: Sequence[Objects], kinks: Kinks) -> Objects:
    """Every value adds a multiple of the kernel to the result."""
    weight, bias = (exactly(c) for c in call.constants)
    x, stride, group, pads = values[0], call.options["stride"], call.options["group"], call.options["pads"]
    (_, channels, height, width), (_, each, *kernel) = x.shape, weight.shape
    extents = [stride * (e - 1) + k + call.options["more"] for e, k in zip((height, width), kernel, strict=True)]
    made = np.empty((1, each * group, *extents), object)
    for o in range(each * group):
        made[0, o] = bias[o]
    for c, o, i, j in itertools.product(range(channels), range(each), range(height), range(width)):
        target = c // (channels // group) * each + o
        for p, q in itertools.product(*map(range, kernel)):
            if weight[c, o, p, q]:
                made[0, target, i * stride + p, j * stride + q] += x[0, c, i, j] * weight[c, o, p, q]
    return made[:, :, pads[0] : extents[0] - pads[2], pads[1] : extents[1] - pads[3]]


def _windows(call: Call, x: Objects) -> list[tuple[tuple[int, ...], list[Any]]]:
    """Entries of every window that lie in the image."""
    kernel, stride, pads = call.options["kernel"], call.options["stride"], call.options["pads"]
    _, channels, height, width = x.shape
    extents = [(e + pads[a] + pads[a + 2] - kernel[a]) // stride + 1 for a, e in ((0, height), (1, width))]
    made = []
    for c, i, j in itertools.product(range(channels), *map(range, extents)):
        rows = range(i * stride - pads[0], i * stride - pads[0] + kernel[0])
        columns = range(j * stride - pads[1], j * stride - pads[1] + kernel[1])
        inside = [x[0, c, r, q] for r in rows for q in columns if 0 <= r < height and 0 <= q < width]
        made.append(((c, i, j), inside))
    return made


def _pooled(x: Objects, found: list[tuple[tuple[int, ...], Any]]) -> Objects:
    extents = tuple(max(at[axis] for at, _ in found) + 1 for axis in range(3))
    made = np.empty((1, *extents), object)
    for at, value in found:
        made[(0, *at)] = value
    return made


def _average_pool(call: Call, values: Sequence[Objects], kinks: Kinks) -> Objects:
    whole = call.options["kernel"][0] * call.options["kernel"][1]
    include = call.options["include"]
    found = [
        (at, sum(inside, Fraction(0)) * Fraction(1, whole if include else len(inside)))
        for at, inside in _windows(call, values[0])
    ]
    return _pooled(values[0], found)


def _largest(entries: Sequence[Any], kinks: Kinks) -> Any:
    best = entries[0]
    for entry in entries[1:]:
        best = entry if kinks.positive(entry - best) else best
    return best


def _max_pool(call: Call, values: Sequence[Objects], kinks: Kinks) -> Objects:
    return _pooled(values[0], [(at, _largest(inside, kinks)) for at, inside in _windows(call, values[0])])


def _clip(call: Call, values: Sequence[Objects], kinks: Kinks) -> Objects:
    low, high = (None if e is None else Fraction(float(np.float32(e))) for e in call.options["ends"])

    def clipped(a: Any) -> Any:
        if low is not None and not kinks.positive(a - low):
            return low
        if high is not None and kinks.positive(a - high):
            return high
        return a

    return _each(clipped)(values[0])


def _leaky(call: Call, values: Sequence[Objects], kinks: Kinks) -> Objects:
    slope = Fraction(float(np.float32(call.options["alpha"])))
    return _each(lambda a: a if kinks.positive(a) else a * slope)(values[0])


def _norm(call: Call, values: Sequence[Objects], kinks: Kinks) -> Objects:
    gain, bias, mean, variance = (exactly(c) for c in call.constants)
    epsilon = Fraction(float(np.float32(call.options["epsilon"])))
    shape = (1, -1) + (1,) * (values[0].ndim - 2)
    scale = np.array([g / root_of(v + epsilon) for g, v in zip(gain, variance, strict=True)], object)
    return (values[0] - mean.reshape(shape)) * scale.reshape(shape) + bias.reshape(shape)


def root_of(value: Fraction) -> Fraction:
    """The square root of a rational square."""
    root = Fraction(round(value.numerator**0.5), round(value.denominator**0.5))
    assert root * root == value, value
    return root


def _reduce(call: Call, values: Sequence[Objects], kinks: Kinks) -> Objects:
    axes, keep = call.options["axes"], bool(call.options["keepdims"])
    total = np.add.reduce(values[0], axis=tuple(axes), keepdims=keep)
    total = np.asarray(total, object)
    if call.op == "ReduceMean":
        total = total * Fraction(1, int(np.prod([values[0].shape[a] for a in axes])))
    return total


def _slice(call: Call, values: Sequence[Objects], kinks: Kinks) -> Objects:
    start, end, axis, step = call.options["slice"]
    index: list[Any] = [slice(None)] * values[0].ndim
    index[axis] = slice(start, end, step)
    return values[0][tuple(index)]


def _split(call: Call, values: Sequence[Objects], kinks: Kinks) -> Objects:
    sizes, which, axis = call.options["sizes"], call.options["which"], call.options["axis"]
    at = int(sum(sizes[:which]))
    return np.take(values[0], range(at, at + sizes[which]), axis)


def _pad(call: Call, values: Sequence[Objects], kinks: Kinks) -> Objects:
    pads = call.options["pads"]
    rank = values[0].ndim
    return np.pad(
        values[0],
        [(pads[a], pads[a + rank]) for a in range(rank)],
        constant_values=Fraction(float(call.options["value"])),
    )


_Value = Callable[[Call, Sequence[Objects], Kinks], Objects]


def _with_constant(function: Callable[[Objects, Objects], Any]) -> _Value:
    return lambda call, values, kinks: function(values[0], exactly(call.constants[0]))


def _same(call: Call, values: Sequence[Objects], kinks: Kinks) -> Objects:
    return values[0]


_VALUES: dict[str, _Value] = {
    "Gemm": _gemm,
    "MatMul": lambda call, values, kinks: _product(values[0], exactly(call.constants[0])),
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "AveragePool": _average_pool,
    "MaxPool": _max_pool,
    "GlobalAveragePool": lambda call, values, kinks: (
        np.add.reduce(values[0], (2, 3), keepdims=True) * Fraction(1, values[0].shape[2] * values[0].shape[3])
    ),
    "GlobalMaxPool": lambda call, values, kinks: np.array(
        [_largest(channel.reshape(-1), kinks) for channel in values[0][0]], object
    ).reshape(1, -1, 1, 1),
    "BatchNormalization": _norm,
    "AddConstant": _with_constant(lambda v, c: v + c),
    "SubConstant": _with_constant(lambda v, c: v - c),
    "ConstantSub": _with_constant(lambda v, c: -v + c),
    "MulConstant": _with_constant(lambda v, c: v * c),
    "DivConstant": _with_constant(lambda v, c: v * (Fraction(1) / c)),
    "Neg": lambda call, values, kinks: -values[0],
    "Identity": _same,
    "Dropout": _same,
    "Cast": _same,
    "Relu": lambda call, values, kinks: _each(lambda a: a if kinks.positive(a) else Fraction(0))(values[0]),
    "Abs": lambda call, values, kinks: _each(lambda a: a if kinks.positive(a) else -a)(values[0]),
    "LeakyRelu": _leaky,
    "Clip": _clip,
    "Sigmoid": lambda call, values, kinks: _each(lambda a: kinks.smooth("Sigmoid", a))(values[0]),
    "Tanh": lambda call, values, kinks: _each(lambda a: kinks.smooth("Tanh", a))(values[0]),
    "Add": lambda call, values, kinks: values[0] + values[1],
    "Sub": lambda call, values, kinks: values[0] - values[1],
    "Sum": lambda call, values, kinks: sum(values[1:], values[0]),
    "Mul": lambda call, values, kinks: values[0] * values[1],
    "Div": lambda call, values, kinks: values[0] * _each(lambda a: 1 / Fraction(a))(values[1]),
    "Reciprocal": lambda call, values, kinks: _each(lambda a: 1 / Fraction(a))(values[0]),
    "Concat": lambda call, values, kinks: np.concatenate(values, call.options["axis"]),
    "Slice": _slice,
    "Gather": lambda call, values, kinks: np.take(values[0], call.options["indices"], call.options["axis"]),
    "Split": _split,
    "Flatten": lambda call, values, kinks: values[0].reshape(values[0].shape[0], -1),
    "Reshape": lambda call, values, kinks: values[0].reshape(call.options["shape"]),
    "Transpose": lambda call, values, kinks: values[0].transpose(call.options["perm"]),
    "Unsqueeze": lambda call, values, kinks: np.expand_dims(values[0], call.options["axis"]),
    "Squeeze": lambda call, values, kinks: np.squeeze(values[0], call.options["axis"]),
    "Expand": lambda call, values, kinks: np.broadcast_to(values[0], call.options["shape"]),
    "Tile": lambda call, values, kinks: np.tile(values[0], call.options["repeats"]),
    "Pad": _pad,
    "ReduceMean": _reduce,
    "ReduceSum": _reduce,
}
OPERATORS = tuple(_VALUES)


def _emit(
    call: Call,
    name: str,
    operands: list[str],
    result: str,
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
) -> None:
    """Append the node of a call."""

    def constant(array: Any, kind: Any = np.float32) -> str:
        label = f"{name}.c{len(constants)}"
        constants[label] = np.asarray(array, kind)
        return label

    o, op = call.options, call.op
    results, operator = [result], op
    attributes: dict[str, Any] = {}
    inputs = list(operands)
    if op in ("Gemm", "Conv", "ConvTranspose", "MatMul", "BatchNormalization"):
        inputs += [constant(array) for array in call.constants]
    if op == "Gemm":
        attributes = {key: o[key] for key in ("transB", "alpha", "beta")}
    elif op == "Conv":
        kernel = list(call.constants[0].shape[2:])
        attributes = {"kernel_shape": kernel, "pads": o["pads"], "strides": [o["stride"]] * 2, "group": o["group"]}
    elif op == "ConvTranspose":
        attributes = {"pads": o["pads"], "strides": [o["stride"]] * 2, "group": o["group"]}
        attributes["output_padding"] = [o["more"]] * 2
    elif op in ("AveragePool", "MaxPool"):
        attributes = {"kernel_shape": o["kernel"], "pads": o["pads"], "strides": [o["stride"]] * 2}
        if op == "AveragePool":
            attributes["count_include_pad"] = int(o["include"])
    elif op == "BatchNormalization":
        attributes = {"epsilon": o["epsilon"]}
    elif op.endswith("Constant"):
        operator = op.removesuffix("Constant")
        inputs.append(constant(call.constants[0]))
        if o.get("first"):
            inputs.reverse()
    elif op == "ConstantSub":
        operator, inputs = "Sub", [constant(call.constants[0]), *operands]
    elif op == "Cast":
        attributes = {"to": TensorProto.FLOAT}
    elif op == "LeakyRelu":
        attributes = {"alpha": o["alpha"]}
    elif op == "Clip":
        inputs += ["" if end is None else constant(end) for end in o["ends"]]
        while not inputs[-1]:
            inputs.pop()
    elif op == "Concat":
        attributes = {"axis": o["axis"]}
    elif op == "Slice":
        inputs += [constant([number], np.int64) for number in o["slice"]]
    elif op == "Gather":
        inputs.append(constant(o["indices"], np.int64))
        attributes = {"axis": o["axis"]}
    elif op == "Split":
        inputs.append(constant(o["sizes"], np.int64))
        attributes = {"axis": o["axis"]}
        results = [result if k == o["which"] else f"{result}.{k}" for k in range(len(o["sizes"]))]
    elif op in ("Reshape", "Expand"):
        inputs.append(constant(o["shape"], np.int64))
    elif op == "Tile":
        inputs.append(constant(o["repeats"], np.int64))
    elif op == "Transpose":
        attributes = {"perm": o["perm"]}
    elif op in ("Unsqueeze", "Squeeze"):
        inputs.append(constant([o["axis"]], np.int64))
    elif op == "Pad":
        inputs += [constant(o["pads"], np.int64), constant(o["value"])]
    elif op in ("ReduceMean", "ReduceSum"):
        attributes = {"keepdims": int(o["keepdims"])}
        if op == "ReduceSum":
            inputs.append(constant(o["axes"], np.int64))
        else:
            attributes["axes"] = list(o["axes"])
    nodes.append(helper.make_node(operator, inputs, results, name=name, **attributes))
