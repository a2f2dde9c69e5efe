"""The network as the checker reads it: plain onnx, and arrays of the arithmetic in which it is checked.

Written from the operator specifications of ONNX (https://onnx.ai/onnx/operators) and sharing nothing with ``formats/``. What is
not known is refused by name: operators, attributes, types, operator sets before 7, values in files beside the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from netproof.certificate.checker.real.constants import FLOATS, UnknownError, attribute_of, constant_of
from netproof.certificate.checker.real.curved.smooth import Smooth
from netproof.certificate.checker.real.nodes import Node, RealNetwork
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.operators import Array, Convolution, Dense, Scale, Sum, Windows
from netproof.certificate.checker.real.values import WIDEST, Value, shaped, value_of
from netproof.errors import FormatError

if TYPE_CHECKING:
    import onnx

#: factors below that could vanish in float64, which no error term accounts for
_LEAST_FACTOR = 2.0**-400


def read_network(data: bytes, inputs: int, numbers: Float64, source: str) -> RealNetwork:
    """The network in the bytes of an ONNX file, asked about by ``inputs`` numbers.

    Where the file leaves the first dimension of the input open, that is a batch, of which one is meant.

    Raises
    ------
    FormatError : what is no ONNX, or is not read by the checker
    """
    import onnx

    try:
        model = onnx.load_model_from_string(data)
        return _Reader(model, inputs, numbers).read()
    except UnknownError as error:
        raise FormatError(source, f"is not read by the checker: {error}", "its verdicts have no evidence yet") from None
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError) as error:
        raise FormatError(source, f"is not read by the checker ({type(error).__name__})", "check the file") from None
    except Exception as error:
        if type(error).__module__.startswith("google"):
            raise FormatError(source, "is no ONNX model", "give the network the certificate is about") from None
        raise


class _Reader(Smooth):
    def __init__(self, model: onnx.ModelProto, inputs: int, numbers: Float64) -> None:
        super().__init__(numbers)
        self._model, self._graph, self._inputs = model, model.graph, inputs
        self._operators: dict[str, Callable[[list[Any], dict[str, Any]], Value | Array]] = {
            "Abs": self.absolute, "Add": self.add, "AveragePool": self.average, "BatchNormalization": self.normalize,
            "Clip": self.clip, "Concat": self.concatenate, "Constant": self.constant, "Conv": self.convolution,
            "Dropout": self.dropout,
            "Flatten": self.flatten, "Gemm": self.gemm, "GlobalAveragePool": self.average_all,
            "HardSigmoid": self.hard_sigmoid, "Identity": self.same, "LeakyRelu": self.leaky, "MatMul": self.matmul,
            "MaxPool": self.maximum, "Mul": self.multiply, "Pad": self.pad, "PRelu": self.leaky_by_constant,
            "Div": self.divide, "Gelu": self.gelu, "Neg": self.negative, "Pow": self.power,
            "ReduceMean": partial(self.reduce, mean=True), "ReduceSum": partial(self.reduce, mean=False),
            "Softmax": self.softmax, **self.curves(),
            "Relu": self.relu, "Reshape": self.reshape, "Slice": self.slice, "Sub": self.subtract, "Transpose": self.transpose,
        }  # fmt: skip
        self._values: dict[str, Value | Array] = {}

    def read(self) -> RealNetwork:
        graph = self._graph
        # Models that were merged state one twice. "ai.onnx" is another way to write the domain of ONNX's own operators.
        sets = {(entry.domain, entry.version) for entry in self._model.opset_import}
        own = [version for domain, version in sets if domain in ("", "ai.onnx")]
        if len({domain for domain, _ in sets}) != len(sets) or len(own) != 1 or not 7 <= own[0] <= 24:
            raise UnknownError("its operator sets")
        (self._opset,) = own
        if self._model.functions or graph.sparse_initializer or self._model.training_info:
            raise UnknownError("functions, sparse initializers or training information")
        for tensor in graph.initializer:
            self._define(tensor.name, constant_of(tensor))
        given = [entry for entry in graph.input if entry.name not in self._values]
        if len(given) != 1 or len(graph.output) != 1:
            raise UnknownError("more than one input or output")
        shape = self._input_shape(given[0])
        self._define(given[0].name, self._add(None, (), shape, math.prod(shape)))
        for node in graph.node:
            self._read_node(node)
        found = self._values.get(graph.output[0].name)
        if not isinstance(found, Value):
            raise UnknownError("an output that does not depend on the input")
        return self._needed(found.node)

    def _input_shape(self, entry: onnx.ValueInfoProto) -> tuple[int, ...]:
        kind = entry.type.tensor_type
        if kind.elem_type not in FLOATS:
            raise UnknownError("an input that is neither float32 nor float64")
        dims = [d.dim_value if d.HasField("dim_value") else 0 for d in kind.shape.dim]
        if dims and dims[0] <= 0:
            dims[0] = 1
        if any(d <= 0 for d in dims):
            raise UnknownError("an input of unknown size")
        if math.prod(dims) != self._inputs or self._inputs > WIDEST:
            raise UnknownError(f"it takes another number of inputs than {self._inputs}")
        return tuple(dims)

    def _needed(self, last: int) -> RealNetwork:
        """The nodes that the output depends on, and the input."""
        wanted = {0, last}
        for index in range(last, 0, -1):
            if index in wanted:
                wanted.update(self._nodes[index].operands)
        kept = sorted(wanted)
        place = {index: number for number, index in enumerate(kept)}
        nodes = [
            Node(n.operator, tuple(place[i] for i in n.operands), n.size, n.bend)
            for n in (self._nodes[index] for index in kept)
        ]
        if len(nodes) < 2:
            nodes.append(Node(Scale(nodes[0].size, None, None), (0,), nodes[0].size))
        return RealNetwork(tuple(nodes), tuple(i for i, node in enumerate(nodes) if node.bend))

    def _define(self, name: str, value: Value | Array) -> None:
        if not name or name in self._values:
            raise UnknownError(f"the name '{name[:40]}' is given twice")
        self._values[name] = value

    def _read_node(self, node: onnx.NodeProto) -> None:
        known = self._operators
        if node.domain not in ("", "ai.onnx") or node.op_type not in known:
            raise UnknownError(f"the operator '{node.domain}{':' * bool(node.domain)}{node.op_type}'"[:80])
        attributes = {}
        for entry in node.attribute:
            if entry.ref_attr_name or entry.name in attributes:
                raise UnknownError(f"the attribute '{entry.name[:40]}' of {node.op_type}")
            attributes[entry.name] = attribute_of(entry)
        operands = []
        for name in node.input:
            if name and name not in self._values:
                raise UnknownError(f"'{name[:40]}' is used before it is there")
            operands.append(self._values[name] if name else np.zeros(0))
        outputs = [name for name in node.output if name]
        # The first output may not be left out: what is named second is another value, as a mask or a mean.
        first = outputs[:1] == list(node.output[:1])
        if not outputs or not first or (len(outputs) > 1 and node.op_type != "Dropout"):
            raise UnknownError(f"several outputs of {node.op_type}")
        found = known[node.op_type](operands, attributes)
        if attributes:
            raise UnknownError(f"the attribute '{next(iter(attributes))[:40]}' of {node.op_type}")
        # A mask that Dropout gives besides is not defined, so that whoever uses it is refused.
        self._define(outputs[0], found)

    # Operators: operands and attributes, of which each takes those it knows away.

    def same(self, operands: list[Any], _: dict[str, Any]) -> Value | Array:
        (value,) = operands
        found: Value | Array = value
        return found

    def dropout(self, operands: list[Any], attributes: dict[str, Any]) -> Value | Array:
        for name in ("ratio", "seed"):
            attributes.pop(name, None)
        if len(operands) > 2:
            raise UnknownError("a Dropout that may be training")
        return self.same(operands[:1], attributes)

    def constant(self, operands: list[Any], attributes: dict[str, Any]) -> Array:
        if operands or "value" not in attributes:
            raise UnknownError("a Constant that is no tensor")
        value: Array = attributes.pop("value")
        return value

    def relu(self, operands: list[Any], _: dict[str, Any]) -> Value:
        return self._rectified(value_of(operands, 1))

    # Other functions of straight pieces, by ReLUs.

    def absolute(self, operands: list[Any], _: dict[str, Any]) -> Value:
        value = value_of(operands, 1)
        return self._bent(value, self._numbers.load(np.full(math.prod(value.shape), -1.0)))

    def leaky(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        value, slope = value_of(operands, 1), np.float64(attributes.pop("alpha", float(np.float32(0.01))))
        return self._bent(value, self._spread(slope, value.shape))

    def leaky_by_constant(self, operands: list[Any], _: dict[str, Any]) -> Value:
        value, (_, slope) = value_of(operands[:1], 1), operands
        return self._bent(value, self._spread(slope, value.shape))

    def clip(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        ends = operands[1:] if self._opset >= 11 else [attributes.pop(name, np.zeros(0)) for name in ("min", "max")]
        # An end that is left out is the largest number of the type, which no account of rounding outlasts.
        if len(ends) != 2 or any(isinstance(end, Value) or np.size(end) != 1 or np.ndim(end) > 1 for end in ends):
            raise UnknownError("a Clip without two ends that are numbers")
        value = value_of(operands[:1] if self._opset >= 11 else operands, 1)
        return self._clipped(value, *(float(np.reshape(end, ())) for end in ends))

    def hard_sigmoid(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        alpha, beta = attributes.pop("alpha", float(np.float32(0.2))), attributes.pop("beta", 0.5)
        return self._clipped(self._scaled(value_of(operands, 1), alpha, beta), 0.0, 1.0)

    def maximum(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        """A MaxPool, by halves: ``max(a, b) = a + relu(b - a)``."""
        value, kernel = value_of(operands, 1), attributes.pop("kernel_shape", [])
        rank = len(value.shape) - 2
        strides, pads, dilations = self._frame(rank, attributes)
        others = [attributes.pop(name, 0) for name in ("ceil_mode", "storage_order")]
        most = math.prod(kernel) * math.prod(value.shape)
        fits = len(kernel) == rank > 0 and min(kernel) > 0 and max(pads) < max(kernel) and most <= WIDEST
        if any(others) or set(dilations) != {1} or not fits:
            raise UnknownError("the windows of a MaxPool")
        grid = np.arange(math.prod(value.shape)).reshape(value.shape)
        around = [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
        grid = np.pad(grid, around, constant_values=-1)
        places = np.lib.stride_tricks.sliding_window_view(grid, kernel, tuple(range(2, rank + 2)))
        steps = tuple(slice(None, None, s) for s in (1, 1, *strides))
        places = places[steps]
        places = places.reshape(*places.shape[: rank + 2], -1)
        # In the place of padding something else of the window.
        places = np.where(places < 0, places.max(-1, keepdims=True), places)
        if (places < 0).any():
            raise UnknownError("the windows of a MaxPool")
        shape, index = places.shape[:-1], places.reshape(-1, math.prod(kernel)).T
        while len(index) > 1:
            half = (len(index) + 1) // 2
            first, second = (self._moved(value, part.reshape(-1)) for part in (index[:half], index[-half:]))
            rise = self._affine(Sum(first.shape[0], -1), [second, first], first.shape)
            value = self._affine(Sum(first.shape[0], 1), [first, self._rectified(rise)], first.shape)
            index = np.arange(value.shape[0]).reshape(half, -1)
        return self._moved(value, index.reshape(shape))

    def flatten(self, operands: list[Any], attributes: dict[str, Any]) -> Value | Array:
        axis = attributes.pop("axis", 1)
        (x,) = operands
        axis += len(x.shape) if axis < 0 else 0
        if not 0 <= axis <= len(x.shape):
            raise UnknownError("the axis of a Flatten")
        return shaped(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))

    def reshape(self, operands: list[Any], attributes: dict[str, Any]) -> Value | Array:
        x, target = operands
        allow_zero = attributes.pop("allowzero", 0)
        if isinstance(target, Value) or target.dtype.kind != "i" or target.ndim != 1:
            raise UnknownError("a Reshape by a shape that is no constant")
        dims = target.tolist()
        if not allow_zero:
            dims = [x.shape[i] if d == 0 else d for i, d in enumerate(dims)]
        if dims.count(-1) > 1 or any(d < -1 or d == 0 for d in dims):
            raise UnknownError("the shape of a Reshape")
        rest = -math.prod(dims) if -1 in dims else 1
        size = math.prod(x.shape)
        if -1 in dims and (rest == 0 or size % rest):
            raise UnknownError("the shape of a Reshape")
        return shaped(x, tuple(size // rest if d == -1 else d for d in dims))

    def add(self, operands: list[Any], _: dict[str, Any], sign: float = 1.0) -> Value:
        first, second = operands
        if isinstance(first, Value) and isinstance(second, Value):
            if first.shape != second.shape:
                raise UnknownError("a sum of values of several shapes")
            return self._affine(Sum(math.prod(first.shape), int(sign)), [first, second], first.shape)
        if isinstance(first, Value):
            shift = self._spread(second, first.shape)
            return self._affine(Scale(len(shift), None, shift if sign > 0 else -shift), [first], first.shape)
        value = value_of([second], 1)
        scale = None if sign > 0 else self._numbers.load(np.full(math.prod(value.shape), sign))
        shift = self._spread(first, value.shape)
        return self._affine(Scale(len(shift), scale, shift), [value], value.shape)

    def subtract(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        return self.add(operands, attributes, -1.0)

    def _matrix(self, constant: Any) -> Array:
        if isinstance(constant, Value) or constant.dtype.kind != "f" or constant.ndim != 2 or not constant.size:
            raise UnknownError("a product with what is no matrix")
        return self._numbers.load(constant)

    def matmul(self, operands: list[Any], _: dict[str, Any]) -> Value:
        first, second = operands
        if isinstance(first, Value) and isinstance(second, Value):
            return self.matmul_of_values(first, second)
        if not isinstance(first, Value):
            # (A x)' = x' A'
            value, order = value_of([second], 1), list(range(len(second.shape)))
            order[-2:] = order[:-3:-1]
            product = self.matmul([self.transpose([value], {"perm": order}), first.T], {})
            return value_of([self.transpose([product], {"perm": order})], 1)
        weight = self._matrix(second)
        if not first.shape or first.shape[-1] != weight.shape[0]:
            raise UnknownError("a matrix that does not fit")
        dense = Dense(weight, None, math.prod(first.shape[:-1]))
        return self._affine(dense, [first], (*first.shape[:-1], weight.shape[1]))

    def gemm(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        if attributes.pop("alpha", 1.0) != 1.0 or attributes.pop("beta", 1.0) != 1.0 or attributes.pop("transA", 0):
            raise UnknownError("a Gemm with factors")
        transposed = attributes.pop("transB", 0)
        value, weight = value_of(operands[:1], 1), self._matrix(operands[1])
        weight = np.ascontiguousarray(weight.T) if transposed else weight
        if len(value.shape) != 2 or value.shape[0] != 1 or value.shape[1] != weight.shape[0] or len(operands) > 3:
            raise UnknownError("a matrix that does not fit")
        shape = (1, weight.shape[1])
        bias = self._spread(operands[2], shape) if len(operands) > 2 and operands[2].size else None
        return self._affine(Dense(weight, bias, 1), [value], shape)

    def convolution(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        value, kernel = value_of(operands[:1], 1), operands[1]
        if isinstance(kernel, Value) or kernel.dtype.kind != "f" or not kernel.size or len(operands) > 3:
            raise UnknownError("a convolution by what is no constant")
        if attributes.pop("kernel_shape", list(kernel.shape[2:])) != list(kernel.shape[2:]):
            raise UnknownError("the kernel of a convolution")
        bias = None
        if len(operands) > 2 and operands[2].size:
            if operands[2].shape != kernel.shape[:1]:
                raise UnknownError("the bias of a convolution")
            bias = self._spread(operands[2], kernel.shape[:1])
        return self._windows(value, self._numbers.load(kernel), bias, attributes.pop("group", 1), attributes)

    @staticmethod
    def _frame(rank: int, attributes: dict[str, Any]) -> tuple[list[int], list[int], list[int]]:
        """Strides, pads and dilations of windows."""
        # ONNX excludes both together, and runtimes then leave the pads.
        automatic = attributes.pop("auto_pad", "NOTSET")
        if automatic not in ("NOTSET", "VALID") or (automatic == "VALID" and any(attributes.get("pads", ()))):
            raise UnknownError("padding that is not stated")
        strides, pads, dilations = (
            attributes.pop(name, [usual] * count)
            for name, usual, count in (("strides", 1, rank), ("pads", 0, 2 * rank), ("dilations", 1, rank))
        )
        wrong = [len(strides), len(dilations), len(pads)] != [rank, rank, 2 * rank]
        if wrong or min(*strides, *dilations) < 1 or min(pads) < 0 or max(*strides, *dilations, *pads) > 1 << 20:
            raise UnknownError("strides, pads or dilations of windows")
        return strides, pads, dilations

    def _windows(
        self, value: Value, weight: Array, bias: Array | None, groups: int, attributes: dict[str, Any]
    ) -> Value:
        """A convolution in one or two dimensions."""
        rank = weight.ndim - 2
        if len(value.shape) != rank + 2 or value.shape[0] != 1 or rank not in (1, 2) or groups < 1:
            raise UnknownError("windows in other than one or two dimensions")
        strides, pads, dilations = self._frame(rank, attributes)
        shape = value.shape[1:]
        if rank == 1:
            weight, shape = weight[:, :, None], (shape[0], 1, shape[1])
            strides, dilations, pads = [1, *strides], [1, *dilations], [0, pads[0], 0, pads[1]]
        windows = Windows(
            (strides[0], strides[1]), (pads[0], pads[1], pads[2], pads[3]), (dilations[0], dilations[1]), groups
        )
        padded = shape[1] + pads[0] + pads[2], shape[2] + pads[1] + pads[3]
        if shape[0] * math.prod(padded) > WIDEST:
            raise UnknownError("its size")
        operator = Convolution(weight, bias, (shape[0], shape[1], shape[2]), windows)
        out = operator.out_shape
        return self._affine(operator, [value], (1, *out) if rank == 2 else (1, out[0], out[2]))

    def average(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        value, kernel = value_of(operands, 1), attributes.pop("kernel_shape", [])
        if attributes.pop("ceil_mode", 0) or len(kernel) not in (1, 2) or min(kernel) < 1 or max(kernel) > 1 << 12:
            raise UnknownError("the kernel of an AveragePool")
        # Where an operator does not have an attribute, who reads it may refuse it or leave it out.
        if self._opset < 19 and "dilations" in attributes:
            raise UnknownError("the attribute 'dilations' of an AveragePool")
        return self._averaged(value, kernel, attributes)

    def average_all(self, operands: list[Any], _: dict[str, Any]) -> Value:
        value = value_of(operands, 1)
        return self._averaged(value, list(value.shape[2:]), {})

    def _averaged(self, value: Value, kernel: list[int], attributes: dict[str, Any]) -> Value:
        channels, counts_pads = value.shape[1], attributes.pop("count_include_pad", 0)
        if channels * math.prod(kernel) > WIDEST:
            raise UnknownError("its size")
        ones = self._numbers.load(np.ones((channels, 1, *kernel)))
        summed = self._windows(value, ones, None, channels, attributes)
        operator, load = self._nodes[summed.node].operator, self._numbers.load
        count = load(np.full(math.prod(summed.shape), float(math.prod(kernel))))
        if not counts_pads and operator is not None:
            (count,) = operator.forward(load(np.ones((1, math.prod(value.shape)))))
        if (count == 0).any():
            raise UnknownError("an average over nothing")
        return self._scaled(summed, load(np.ones(len(count))) / count, roundings=2)

    def normalize(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        """``scale (x - mean) / sqrt(variance + epsilon) + bias`` by channel."""
        epsilon = attributes.pop("epsilon", float(np.float32(1e-5)))
        attributes.pop("momentum", None)
        if attributes.pop("training_mode", 0) or attributes.pop("spatial", 1) != 1 or len(operands) != 5:
            raise UnknownError("a BatchNormalization that may be training")
        value, channels = value_of(operands[:1], 1), operands[0].shape[1]
        if any(isinstance(x, Value) or x.shape != (channels,) or x.dtype.kind != "f" for x in operands[1:]):
            raise UnknownError("a BatchNormalization by what is no constant")
        scale, bias, mean, variance = (x.astype(np.float64) for x in operands[1:])
        if not (variance + epsilon > 0).all() or not (variance >= 0).all() or not epsilon >= 0:
            raise UnknownError("a variance that is not above 0")
        with np.errstate(all="ignore"):
            small = abs(scale) / np.sqrt(variance + epsilon) < _LEAST_FACTOR
        # What vanishes there can be large again by the mean.
        if (small & (scale != 0)).any():
            raise UnknownError("a BatchNormalization by a factor this small")
        each = math.prod(value.shape[2:])
        load = self._numbers.load
        factor = load(scale) / self._numbers.root(load(variance) + load(np.full(channels, epsilon)))
        moved = load(mean) * factor
        shift, size = load(bias) - moved, abs(load(bias)) + abs(moved)
        factor, shift, size = (np.repeat(part, each) for part in (factor, shift, size))
        operator = Scale(channels * each, factor, shift, roundings=8, summed=size)
        if not math.prod(value.shape[:1]) == 1:
            raise UnknownError("a BatchNormalization of a batch")
        return self._affine(operator, [value], value.shape)
