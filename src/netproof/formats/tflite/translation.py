"""From the tensors of a file to nodes of a graph.

A quantized tensor is the node whose values are its codes less its zero point, so that padding is 0 and products need no
correction. Features of a node may lie in another order than in the file (convolutions take channels first), and a value
knows which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.errors import FormatError
from netproof.formats.ledger import Ledger
from netproof.formats.tflite.codes import MOST_OPERANDS, NONE, RELU, RELU6, RELU_N1_TO_1
from netproof.formats.tflite.rules.products import Limit, limit_away, limit_even
from netproof.formats.tflite.rules.runtime import Runtime
from netproof.formats.tflite.schema import Model, OperatorInfo, TensorInfo
from netproof.formats.tflite.staircases import Whole, with_fitting_hull
from netproof.graph.graph import GraphBuilder
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.select import Select
from netproof.operators.base import Affine

#: the least and the largest code of every element type that activations can have
ENDS = {"INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-(1 << 15), (1 << 15) - 1)}


#: bits of the sums of products that runtimes keep, the sign left out
SUM_BITS = {"INT8": 31, "UINT8": 31, "INT16": 47}
#: codes of the ends of activations that are as good as infinite
_FAR = 1 << 40


class OperatorError(Exception):
    """An operator that cannot be translated; whoever knows which one adds where."""

    def __init__(self, problem: str, hint: str = "convert the network to operators of docs/formats.md") -> None:
        self.problem = problem
        self.hint = hint
        super().__init__(problem)


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor that depends on the input.

    Attributes
    ----------
    node : of the graph; its features are codes less the zero point
    tensor : of the file, with shape and quantization
    order : ``[n]``, where each feature of the node lies in the file's tensor, flattened
    low, high : ``[n]``, what each feature of the node can be
    """

    node: int
    tensor: TensorInfo
    order: NDArray[np.int64]
    low: Tensor
    high: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    @property
    def place(self) -> NDArray[np.int64]:
        """Which feature of the node each element of the file's tensor is, in its shape."""
        found = np.empty_like(self.order)
        found[self.order] = np.arange(len(self.order))
        return found.reshape(self.shape)


def quantized(tensor: TensorInfo) -> TensorInfo:
    """A tensor, once it is established that it holds codes of 8 or 16 bits with one scale."""
    if tensor.kind not in ENDS:
        raise OperatorError(
            f"tensor '{tensor.name}' is of {tensor.kind}; known are activations of int8, uint8 and int16",
            "convert it with full integer quantization, inputs and outputs included",
        )
    if len(tensor.scale) != 1 or len(tensor.zero) != 1:
        raise OperatorError(f"tensor '{tensor.name}' has {len(tensor.scale)} scales", "quantize it per tensor")
    least, largest = ENDS[tensor.kind]
    if not least <= int(tensor.zero[0]) <= largest:
        raise OperatorError(
            f"tensor '{tensor.name}' has the zero point {int(tensor.zero[0])}, no code", "quantize it again"
        )
    if tensor.kind == "INT16" and tensor.zero[0]:
        raise OperatorError(f"tensor '{tensor.name}' is of INT16 with a zero point that is not 0", "quantize it again")
    return tensor


def scale_of(tensor: TensorInfo) -> np.float32:
    scale: np.float32 = quantized(tensor).scale[0]
    return scale


def zero_of(tensor: TensorInfo) -> int:
    return int(quantized(tensor).zero[0])


def ends_of(tensor: TensorInfo) -> tuple[int, int]:
    """The least and the largest code of a tensor."""
    return ENDS[quantized(tensor).kind]


def codes_of(tensor: TensorInfo) -> NDArray[np.int64]:
    """All codes of a tensor, in order."""
    least, largest = ends_of(tensor)
    return np.arange(least, largest + 1)


def channels_first(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The order of ``(1, H, W, C)`` with the channels before the places."""
    places: NDArray[np.int64] = np.arange(math.prod(shape)).reshape(shape).transpose(0, 3, 1, 2).reshape(-1)
    return places


class Translation:
    """The graph under construction.

    Attributes
    ----------
    path, model, runtime : of what is translated, and by which rule
    builder, ledger : of the graph, and of what may be made
    notes : what a report has to say
    """

    def __init__(self, path: Path, model: Model, runtime: Runtime, builder: GraphBuilder, ledger: Ledger) -> None:
        self.path = path
        self.model = model
        self.runtime = runtime
        self.builder = builder
        self.ledger = ledger
        self.notes: list[str] = []

    def affine(
        self, name: str, operator: Affine, operands: tuple[Value, ...], tensor: TensorInfo, order: NDArray[np.int64]
    ) -> Value:
        """An affine map of values; its order is given."""
        size = len(order)
        self.ledger.value((size,))
        self.ledger.allocate(64 * size)
        self.ledger.workspace(8 * operator.workspace())
        self.ledger.nodes(1)
        node = self.builder.add(name, operator, *(operand.node for operand in operands))
        center = operator.forward(*((v.low + v.high) / 2 for v in operands))
        radius = operator.forward_absolute(*((v.high - v.low) / 2 for v in operands))
        return Value(node, tensor, order, center - radius, center + radius)

    def sums(self, name: str, operator: Affine, operand: Value, tensor: TensorInfo, order: NDArray[np.int64]) -> Value:
        """The same of one value for a map that a runtime adds up in 32 bits (48 of 16-bit codes): no part of a sum may leave them."""
        found = self.affine(name, operator, (operand,), tensor, order)
        largest = operator.forward_absolute(torch.maximum(operand.low.abs(), operand.high.abs()))
        bits = SUM_BITS[operand.tensor.kind]
        if float((largest + operator.offset_absolute()).max()) >= 2.0**bits:
            raise OperatorError(f"a sum can leave {bits + 1} bits, where runtimes differ", "use smaller weights")
        return found

    def steps(self, name: str, staircase: Staircase, operand: Value, tensor: TensorInfo) -> Value:
        """A staircase on every feature of a value."""
        self.ledger.value((len(operand.order),))
        self.ledger.nodes(1)
        staircase = with_fitting_hull(staircase, len(operand.order))
        node = self.builder.add(name, staircase, operand.node)
        low, high = staircase.output_range(operand.low, operand.high)
        return Value(node, tensor, operand.order, low, high)

    def arranged(self, value: Value, order: NDArray[np.int64]) -> Value:
        """A value with its features in another order."""
        if np.array_equal(value.order, order):
            return value
        return self.selected(f"{value.tensor.name}/order", value, value.place.reshape(-1)[order], value.tensor, order)

    def selected(
        self, name: str, value: Value, index: NDArray[np.int64], tensor: TensorInfo, order: NDArray[np.int64]
    ) -> Value:
        """Features of a value's node by index, 0 where it is -1."""
        operator = Select(torch.from_numpy(np.ascontiguousarray(index)), len(value.order), (len(index),))
        return self.affine(name, operator, (value,), tensor, order)


class Call:
    """One operator of the file with its operands.

    Attributes
    ----------
    info : of the operator
    values : the tensors that are known by now, by number
    final : whether its result is the network's output
    """

    def __init__(self, translation: Translation, info: OperatorInfo, values: dict[int, Value], final: bool) -> None:
        self._model = translation.model
        self.info = info
        self.values = values
        self.final = final
        if len(info.outputs) != 1:
            raise OperatorError(f"it has {len(info.outputs)} results", "convert it again")
        if self.inputs > MOST_OPERANDS.get(info.name, self.inputs):
            raise OperatorError(f"it has {self.inputs} operands", "convert it again")

    @property
    def name(self) -> str:
        """Of its node: that of its result."""
        return self.output.name

    @property
    def output(self) -> TensorInfo:
        return self._model.tensors[self.info.outputs[0]]

    @property
    def inputs(self) -> int:
        return len(self.info.inputs)

    def operand(self, number: int) -> TensorInfo | None:
        """An operand's tensor, None where it is left out."""
        index = self.info.inputs[number] if number < self.inputs else -1
        return None if index < 0 else self._model.tensors[index]

    def is_value(self, number: int) -> bool:
        return number < self.inputs and self.info.inputs[number] in self.values

    def value(self, number: int) -> Value:
        """An operand that depends on the input."""
        if not self.is_value(number):
            raise OperatorError(f"operand {number} does not depend on the input", "convert it again")
        return self.values[self.info.inputs[number]]

    def constant(self, number: int, *kinds: str) -> TensorInfo:
        """An operand that is a constant of one of the element types given."""
        tensor = self.operand(number)
        if tensor is None or tensor.data is None:
            raise OperatorError(f"operand {number} is no constant", "convert it with constant weights")
        if tensor.kind not in kinds:
            raise OperatorError(f"operand {number} is of {tensor.kind}, known is {' or '.join(kinds)}")
        return tensor

    def whole(self, number: int) -> NDArray[np.int64]:
        """An operand of a few known integers."""
        data = self.constant(number, "INT32", "INT64").data
        assert data is not None
        if data.size > 64:
            raise OperatorError(f"operand {number} is a list of {data.size} numbers", "convert it again")
        return data.astype(np.int64)

    def fused(self, field: int, limit: Limit) -> tuple[int, int]:
        """The least and the largest code of the result, by the activation in a field of the options."""
        low, high = clamp_of(self.info.options.integer(field, "b"), self.output, limit)
        if low >= high and limit is limit_even:
            # Some of XNNPACK's operators refuse that, and other kernels compute it, others do not.
            raise OperatorError("its activation leaves one code only", "quantize it again, or name another runtime")
        return low, high


def clamp_of(activation: int, tensor: TensorInfo, limit: Limit) -> tuple[int, int]:
    """The codes that an activation leaves of a tensor's."""
    zero, scale = zero_of(tensor), scale_of(tensor)
    least, largest = ends_of(tensor)

    def code(real: int) -> int:
        with np.errstate(over="ignore"):
            quotient = np.clip(np.float32(real) / scale, np.float32(-_FAR), np.float32(_FAR))
        if limit is limit_away and not -(1 << 31) <= limit(quotient, zero) < 1 << 31:
            raise OperatorError(
                f"its activation ends at {real}, whose code leaves 32 bits with scale {float(scale):.3g}: kernels wrap around or refuse it",
                "quantize it with a larger scale",
            )
        return limit(np.clip(quotient, np.float32(-(1 << 20)), np.float32(1 << 20)), zero)

    if activation == NONE:
        return least, largest
    if activation == RELU:
        return max(least, code(0)), largest
    if activation == RELU6:
        return max(least, code(0)), min(largest, code(6))
    if activation == RELU_N1_TO_1:
        return max(least, code(-1)), min(largest, code(1))
    raise OperatorError(f"it carries activation {activation}", "known are none, ReLU, ReLU6 and ReLU -1 to 1")


def clamped(rounded: Whole, tensor: TensorInfo, limits: tuple[int, int]) -> Whole:
    """A rounded result as a code less its zero point."""
    zero = zero_of(tensor)
    return np.clip(rounded, limits[0] - zero, limits[1] - zero)


def renamed(value: Value, tensor: TensorInfo, order: NDArray[np.int64] | None = None) -> Value:
    """The same node as another tensor of the file, of equal quantization."""
    same = quantized(tensor).scale[0] == value.tensor.scale[0] and zero_of(tensor) == zero_of(value.tensor)
    if tensor.kind != value.tensor.kind:
        raise OperatorError(f"its operand is of {value.tensor.kind}, its result of {tensor.kind}", "convert it again")
    if not same:
        raise OperatorError("its operand and its result have different scales or zero points", "convert it again")
    return replace(value, tensor=tensor, order=value.order if order is None else order)


def refusal(path: Path, where: str, error: OperatorError) -> FormatError:
    return FormatError(path, f"{where}: {error.problem}", error.hint)
