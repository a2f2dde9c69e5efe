"""Reader for networks in ONNX whose numbers are integers throughout, from the input on.

Every operator is one that a runtime computes in integers without rounding: products of 8-bit values summed in 32
bits (``ConvInteger``, ``MatMulInteger``), and what brings such an accumulator back to 8 bits (``Add``, ``Clip``, ``Div``,
``Cast``). What is elementwise between two products is one staircase of the graph
(:mod:`netproof.formats.onnx.monotone_steps`). A value that could leave the type it has in the file, where runtimes wrap
around, is refused, so that the graph computes what every runtime does.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.errors import FormatError
from netproof.formats.ledger import ExhaustedError
from netproof.formats.onnx.call import Call, Constant, NodeError, Shape, Translation, Variable, tensor_of
from netproof.formats.onnx.container.external import Surroundings, locations
from netproof.formats.onnx.container.file import OnnxFile
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.forms import STANDARD, form_of
from netproof.formats.onnx.monotone_steps import Clipped, Plus, Quotient, Step, Times, applied, levels_of, staircase_of
from netproof.formats.onnx.tensors import read_tensor
from netproof.formats.onnx.windows import padding_of
from netproof.graph.equality import same_graph
from netproof.graph.exactness import check_exact
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.passes.drop_dead import drop_dead
from netproof.graph.passes.merge_equal import merge_equal
from netproof.network import Network
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.sum import Sum
from netproof.operators.base import Affine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx

#: the entry of a model's metadata that says which values an input takes: "LEAST LARGEST"
INPUT_RANGE = "netproof.input_range"
#: what an element can be, by the number ONNX gives the type
_RANGES = {2: (0, 255), 3: (-128, 127), 6: (-(2**31), 2**31 - 1)}
_UINT8, _INT8, _INT32 = 2, 3, 6
#: float32, float16, float64 and bfloat16, as ONNX numbers them
_FLOATS = (1, 10, 11, 16)
#: a staircase stores one threshold per level; so many of one, and of all in a file
_MOST_LEVELS, _ALL_LEVELS = 1 << 16, 1 << 20


@dataclass(frozen=True, eq=False)
class Quantity(Variable):
    """A value that depends on the input: an affine map of nodes that is not in the graph yet, then elementwise steps.

    Attributes
    ----------
    operator, operands : the affine map and the nodes it takes; without one the value is :attr:`node`
    low, high : ``[n]``, the range of every feature before the steps
    steps : what is done to each of them
    kind : its type in the file, as ONNX numbers it
    """

    name: str
    operator: Affine | None
    operands: tuple[int, ...]
    low: Tensor
    high: Tensor
    steps: tuple[Step, ...]
    kind: int

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the largest value, steps included."""
        return (
            int(applied(self.steps, int(self.low.min()))),
            int(applied(self.steps, int(self.high.max()))),
        )


def read_integer_onnx(path: Path, data: bytes, files: Sequence[OnnxFile], around: Surroundings) -> Network:
    """The network of an ONNX file with an integer input (:func:`netproof.formats.onnx.read.read_onnx` tells them apart).

    Parameters
    ----------
    files : its parts, by each opset that it states

    Raises
    ------
    FormatError : an unknown operator or an unknown use of a known one; values that can leave their type; two opsets by
        which it means different things
    ExactnessError : accumulators beyond 2**52
    """
    file = files[-1]
    if locations(file.tensors):
        raise FormatError(
            path, "keeps numbers in other files", "save it as one file, which evidence can name by its hash"
        )
    lower, upper = _input_range(path, file)
    size = math.prod(file.input_shape)
    low = torch.full((size,), float(lower), dtype=torch.float64)
    high = torch.full((size,), float(upper), dtype=torch.float64)
    graph, *others = (_graph_of(path, one, around, low, high) for one in reversed(files))
    if not all(same_graph(graph, other) for other in others):
        raise FormatError(path, "states opsets by which its nodes mean different things", "export it for one")
    graph = merge_equal(graph)
    check_exact(graph, low, high, str(path))
    sha256 = around.sha256(data, file.tensors)
    return Network(graph=graph, path=str(path), sha256=sha256, lower=low, upper=high, content=data)


def _graph_of(path: Path, file: OnnxFile, around: Surroundings, low: Tensor, high: Tensor) -> Graph:
    reader = _Reader(path, file, GraphBuilder(Arithmetic.INTEGER, file.input_shape), around)
    output = reader.read(low, high)
    return drop_dead(reader.builder.build(), output)


def _input_range(path: Path, file: OnnxFile) -> tuple[int, int]:
    least, largest = _RANGES[file.input_type]
    stated = file.metadata.get(INPUT_RANGE)
    if stated is None:
        return least, largest
    # Protobuf hands over as bytes what is no text.
    match = re.fullmatch(r"(-?[0-9]{1,3}) (-?[0-9]{1,3})", stated) if isinstance(stated, str) else None
    ends = (int(match[1]), int(match[2])) if match else (1, 0)
    if not least <= ends[0] <= ends[1] <= largest:
        raise FormatError(
            path,
            f"its metadata say that inputs are '{printable(stated)}'",
            f"write '{INPUT_RANGE}' as two numbers, the smaller first, from {least} to {largest}",
        )
    return ends


class _Reader:
    """Translates the nodes of one file."""

    def __init__(self, path: Path, file: OnnxFile, builder: GraphBuilder, around: Surroundings) -> None:
        self.builder = builder
        self._path = path
        self._file = file
        self._translation = Translation(path, builder, file.opset, around, file.types)
        #: nodes of the graph, by the name and the steps of the value that they are
        self._made: dict[tuple[str, tuple[Step, ...]], int] = {}
        self._levels = 0

    def read(self, low: Tensor, high: Tensor) -> int:
        """Translate every node; returns the node of the output."""
        file, path = self._file, self._path
        start = Quantity(0, file.input_shape, file.input, None, (), low, high, (), file.input_type)
        values: dict[str, Quantity | Constant] = {file.input: start}
        for node in self._translation.ledger.clock.each(file.nodes):
            operands: list[Variable | Constant | None] = []
            for name in node.input:
                if name and name not in values:
                    values[name] = Constant(read_tensor(path, file.constants[name], self._translation.around))
                operands.append(values[name] if name else None)
            if len(node.output) != 1:
                raise FormatError(
                    path, f"node '{printable(node.name)}' has {len(node.output)} results", "export it again"
                )
            values[node.output[0]] = self._call(node, operands)
        output = values.get(file.output)
        if not isinstance(output, Quantity):
            raise FormatError(path, "its output does not depend on its input", "export the network again")
        try:
            return self.node(output)
        except (NodeError, ExhaustedError) as refusal:
            raise FormatError(path, f"its output '{printable(file.output)}': {refusal.problem}", refusal.hint) from None

    def _call(self, node: onnx.NodeProto, operands: list[Variable | Constant | None]) -> Quantity | Constant:
        name = node.output[0]
        shapes = ", ".join("none" if o is None else "x".join(map(str, o.shape)) or "scalar" for o in operands)
        where = f"node '{printable(node.name or name)}' ({printable(node.op_type)} of {shapes or 'nothing'})"
        standard = node.domain in STANDARD
        translate = OPERATORS.get(node.op_type) if standard else None
        try:
            # The name is what tells values apart, so it is the file's own.
            call = Call(self._translation, node, name, operands, final=False)
            if standard and node.op_type == "Constant" and call.has("value"):
                return Constant(call.tensor("value"))
            if translate is not None and form_of(node.op_type, self._file.opset) is not None:
                value = translate(self, call)
                call.check_attributes()
                return self._checked(value)
        except (NodeError, ExhaustedError) as refusal:
            raise FormatError(self._path, f"{where}: {refusal.problem}", refusal.hint) from None
        except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, MemoryError) as error:
            # Attributes and shapes that do not belong together, as NumPy and PyTorch put it.
            detail = printable(" ".join(str(error).split())) or type(error).__name__
            raise FormatError(self._path, f"{where} cannot be understood ({detail})", "export it again") from None
        raise FormatError(
            self._path,
            f"{where} is an operator that is not known on integers",
            f"known are {', '.join(sorted(OPERATORS))}",
        )

    @staticmethod
    def _checked(value: Quantity) -> Quantity:
        least, largest = _RANGES[value.kind]
        low, high = value.limits
        if low < least or high > largest:
            raise NodeError(
                f"its result can be {low} to {high}, beyond its type, {least} to {largest}",
                "clip it first, or use smaller weights",
            )
        return value

    # -- values

    def affine(self, call: Call, operator: Affine, operands: tuple[Quantity, ...], shape: Shape) -> Quantity:
        """An affine map of values, 32 bits wide."""
        self._translation.reserve(shape)
        self._translation.ledger.workspace(8 * operator.workspace())
        nodes = tuple(self.node(operand) for operand in operands)
        ends = [self.ends(operand) for operand in operands]
        center = operator.forward(*((low + high) / 2 for low, high in ends))
        radius = operator.forward_absolute(*((high - low) / 2 for low, high in ends))
        return Quantity(-1, shape, call.name, operator, nodes, center - radius, center + radius, (), _INT32)

    def ends(self, value: Quantity) -> tuple[Tensor, Tensor]:
        """The range of every feature, steps included."""
        if not value.steps:
            return value.low, value.high
        if math.isfinite(levels_of(value.steps)):
            return self._staircase(value.steps).output_range(value.low, value.high)
        scale, shift = _scaling(value.steps)
        return value.low * scale + shift, value.high * scale + shift

    def _staircase(self, steps: tuple[Step, ...]) -> Staircase:
        levels = levels_of(steps)
        self._levels += int(levels)
        if levels > _MOST_LEVELS or self._levels > _ALL_LEVELS:
            raise NodeError(f"its operand takes {int(levels) + 1} values, more than can be handled", "clip it to fewer")
        return staircase_of(steps)

    def node(self, value: Quantity) -> int:
        """The node of the graph that is a value."""
        key = (value.name, value.steps)
        if key not in self._made:
            self._made[key] = self._append(value)
        return self._made[key]

    def _append(self, value: Quantity) -> int:
        if value.steps:
            below = self.node(replace(value, steps=()))
            if math.isfinite(levels_of(value.steps)):
                return self.builder.add(f"{printable(value.name)}/steps", self._staircase(value.steps), below)
            factor, shift = (torch.tensor([number], dtype=torch.float64) for number in _scaling(value.steps))
            return self.builder.add(f"{printable(value.name)}/scaled", Scale(len(value.low), factor, shift), below)
        if value.operator is None:
            return value.node
        return self.builder.add(printable(value.name), value.operator, *value.operands)


def _scaling(steps: tuple[Step, ...]) -> tuple[float, float]:
    """Factor and shift of steps of infinite image, which add and multiply only."""
    shift = applied(steps, 0)
    return float(applied(steps, 1) - shift), float(shift)


def _quantity(call: Call, number: int) -> Quantity:
    value = call.variable(number)
    assert isinstance(value, Quantity)
    return value


def _whole(call: Call, number: int) -> NDArray[np.int64]:
    """A constant operand of integers below 2**31 in magnitude."""
    array = call.constant(number)
    if array.dtype != np.int64 or bool((np.abs(array) > 2**31).any()):
        raise NodeError(f"operand {number} is no tensor of 8-bit or 32-bit integers", "quantize the network first")
    return array


def _single(call: Call, number: int) -> int:
    """A constant operand of one integer, in whatever shape."""
    array = _whole(call, number)
    if array.size != 1:
        raise NodeError(f"operand {number} holds {array.size} numbers, only one for all is known there")
    return int(array.reshape(-1)[0])


def _weights(call: Call) -> tuple[Quantity, NDArray[np.float64]]:
    """The operands of a product."""
    value, weight = _quantity(call, 0), _whole(call, 1).astype(np.float64)
    if value.kind not in (_UINT8, _INT8):
        raise NodeError("the values multiplied are 32 bits wide", "cast them to 8 bits")
    return value, weight


def _check_zero_points(call: Call, value: tuple[Shape, ...], weight: tuple[Shape, ...]) -> None:
    """Refuse zero points other than 0, and those that have none of the shapes ONNX gives them.

    ``value`` and ``weight`` are the shapes that there can be, besides those of one number for all.
    """
    for number, shapes in ((2, value), (3, weight)):
        if call.optional(number) is None:
            continue
        zero = _whole(call, number)
        if bool(zero.any()):
            raise NodeError(f"a zero point (operand {number}) that is not 0", "subtract it before export")
        if zero.shape not in ((), (1,), *shapes):
            raise NodeError(
                f"a zero point (operand {number}) of shape {'x'.join(map(str, zero.shape))}, which ONNX does not know there",
                "give a single number",
            )


def _convolution(reader: _Reader, call: Call) -> Quantity:
    value, weight = _weights(call)
    axes = weight.ndim - 2
    if not 1 <= axes <= 3 or len(value.shape) != weight.ndim:
        raise NodeError(f"a kernel {weight.shape} over {value.shape}; known are one to three axes")
    kernel = call.integers("kernel_shape")
    if kernel is not None and tuple(kernel) != weight.shape[2:]:
        raise NodeError(f"its kernel_shape {kernel} is not that of the weight {weight.shape}", "export it again")
    stride, dilation = call.extents("strides", axes, 1, 1), call.extents("dilations", axes, 1, 1)
    padding = padding_of(call, value.shape[2:], weight.shape[2:], stride, dilation)
    call.translation.reserve(tuple(extent + sum(p) for extent, p in zip(value.shape[2:], padding, strict=True)))
    _check_zero_points(call, (), ((weight.shape[0],),))
    operator = Convolution(
        tensor_of(weight), None, value.shape[1:], stride, padding, dilation, call.integer("group", 1), value.shape[0]
    )
    return reader.affine(call, operator, (value,), (value.shape[0], *operator.sample_shape))


def _product(reader: _Reader, call: Call) -> Quantity:
    value, weight = _weights(call)
    if weight.ndim != 2 or len(value.shape) != 2 or value.shape[0] != 1 or value.shape[1] != weight.shape[0]:
        raise NodeError(f"a product of {value.shape} and {weight.shape}; known is one row times a matrix")
    _check_zero_points(call, ((1, 1),), ((weight.shape[1],), (1, weight.shape[1])))
    bias = torch.zeros(weight.shape[1], dtype=torch.float64)
    return reader.affine(call, Linear(tensor_of(weight.T), bias), (value,), (1, weight.shape[1]))


def _add(reader: _Reader, call: Call) -> Quantity:
    if isinstance(call.operand(0), Constant):
        call.operands[:2] = [call.operand(1), call.operand(0)]
    value, other = _quantity(call, 0), call.operand(1)
    if isinstance(other, Quantity):
        return _sum(reader, call, value, other, 1)
    array = _whole(call, 1)
    if array.size == 1 and array.ndim <= len(value.shape):
        return replace(value, steps=(*value.steps, Plus(int(array.reshape(-1)[0]))))
    return _biased(reader, call, value, array)


def _subtract(reader: _Reader, call: Call) -> Quantity:
    value, other = _quantity(call, 0), call.operand(1)
    if isinstance(other, Quantity):
        return _sum(reader, call, value, other, -1)
    return replace(value, steps=(*value.steps, Plus(-_single(call, 1))))


def _sum(reader: _Reader, call: Call, left: Quantity, right: Quantity, sign: int) -> Quantity:
    if left.shape != right.shape or left.kind != right.kind:
        raise NodeError("values of two shapes or types are added", "cast them, and export the network again")
    return replace(reader.affine(call, Sum((1, sign)), (left, right), left.shape), kind=left.kind)


def _biased(reader: _Reader, call: Call, value: Quantity, array: NDArray[np.int64]) -> Quantity:
    """A constant per channel or feature added: to the affine map where it has a bias, otherwise as a map of its own."""
    if np.broadcast_shapes(value.shape, array.shape) != value.shape:
        raise NodeError(f"a constant {array.shape} added to {value.shape}", "export the network again")
    spread = np.broadcast_to(array, value.shape).reshape(-1)
    shift = torch.from_numpy(spread.astype(np.float64))
    if value.steps or not isinstance(value.operator, Linear | Convolution):
        scale = Scale(len(shift), torch.ones(1, dtype=torch.float64), shift)
        return replace(reader.affine(call, scale, (value,), value.shape), kind=value.kind)
    operator: Affine = value.operator
    if isinstance(operator, Linear):
        operator = Linear(operator.weight, operator.bias + shift)
    else:
        assert isinstance(operator, Convolution)
        # By the convolution's own samples and channels: the value may have been reshaped since.
        channels = operator.weight.shape[0]
        each = shift.reshape(operator.samples, channels, -1)
        if bool((each != each[:1, :, :1]).any()):
            scale = Scale(len(shift), torch.ones(1, dtype=torch.float64), shift)
            return replace(reader.affine(call, scale, (value,), value.shape), kind=value.kind)
        bias = each[0, :, 0] if operator.bias is None else operator.bias + each[0, :, 0]
        operator = replace(operator, bias=bias)
    return replace(value, name=call.name, operator=operator, low=value.low + shift, high=value.high + shift)


def _multiply(reader: _Reader, call: Call) -> Quantity:
    if isinstance(call.operand(0), Constant):
        call.operands[:2] = [call.operand(1), call.operand(0)]
    factor = _single(call, 1)
    if factor < 1:
        raise NodeError(f"a factor of {factor}", "known are positive ones")
    value = _quantity(call, 0)
    return replace(value, steps=(*value.steps, Times(factor)))


def _divide(reader: _Reader, call: Call) -> Quantity:
    value, divisor = _quantity(call, 0), _single(call, 1)
    if divisor < 1:
        raise NodeError(f"a divisor of {divisor}", "known are positive ones")
    low, high = value.limits
    if low < 0:
        # There runtimes round towards zero, which is another function.
        raise NodeError(f"a division of numbers down to {low}", "clip them at 0 from below first")
    return replace(value, steps=(*value.steps, Clipped(low, high), Quotient(divisor)))


def _clip(reader: _Reader, call: Call) -> Quantity:
    if call.opset < 12 or call.has("min") or call.has("max"):
        # Ends as attributes are floats of the old operator, which takes no integers: no runtime has such a node.
        raise NodeError("integers are clipped by operands, from opset 12 on", "export it for opset 13")
    low = None if call.optional(1) is None else _single(call, 1)
    high = None if call.optional(2) is None else _single(call, 2)
    return _clipped(_quantity(call, 0), low, high)


def _relu(reader: _Reader, call: Call) -> Quantity:
    return _clipped(_quantity(call, 0), 0, None)


def _clipped(value: Quantity, low: int | None, high: int | None) -> Quantity:
    """A value clipped; an end that is not given is what it can reach, so that the image is finite."""
    least, largest = value.limits
    low = min(least, largest if high is None else high) if low is None else low
    high = max(largest, low) if high is None else high
    if low > high:
        raise NodeError(f"it clips to {low} .. {high}", "export the network again")
    return replace(value, steps=(*value.steps, Clipped(low, high)))


def _cast(reader: _Reader, call: Call) -> Quantity:
    kind = call.integer("to", 0)
    if kind in _FLOATS:
        raise NodeError(
            f"a cast to ONNX type {kind}, of floats, in a network that its input, of integers, makes one of integers",
            "export it with an input of float32 and without this cast, which then takes the pixels as numbers, or quantize it",
        )
    if kind not in _RANGES:
        raise NodeError(f"a cast to ONNX type {kind}", "known are uint8, int8 and int32")
    value = _quantity(call, 0)
    if kind != _INT32 and value.steps:
        # The end of a requantization: what follows is done to its result, which other nodes may share.
        low, high = reader.ends(value)
        node = reader.node(value)
        return Quantity(node, value.shape, call.name, None, (), low, high, (), kind)
    return replace(value, kind=kind)


def _flatten(reader: _Reader, call: Call) -> Quantity:
    value = _quantity(call, 0)
    axis = call.integer("axis", 1)
    axis += len(value.shape) if axis < 0 else 0
    return replace(value, shape=(math.prod(value.shape[:axis]), math.prod(value.shape[axis:])))


def _reshape(reader: _Reader, call: Call) -> Quantity:
    value, target = _quantity(call, 0), call.indices(1)
    if target is None:
        raise NodeError("no shape is given", "export the network again")
    kept = [value.shape[i] if extent == 0 and not call.flag("allowzero") else extent for i, extent in enumerate(target)]
    if kept.count(-1) == 1:
        rest = -math.prod(kept)
        kept[kept.index(-1)] = math.prod(value.shape) // rest if rest > 0 else 0
    if min(kept, default=0) < 1 or math.prod(kept) != math.prod(value.shape):
        raise NodeError(f"{value.shape} as {target}", "export it for one sample")
    return replace(value, shape=tuple(kept))


def _identity(reader: _Reader, call: Call) -> Quantity:
    return _quantity(call, 0)


#: operators that are known in networks of integers
OPERATORS: dict[str, Callable[[_Reader, Call], Any]] = {
    "Add": _add,
    "Cast": _cast,
    "Clip": _clip,
    "ConvInteger": _convolution,
    "Div": _divide,
    "Flatten": _flatten,
    "Identity": _identity,
    "MatMulInteger": _product,
    "Mul": _multiply,
    "Relu": _relu,
    "Reshape": _reshape,
    "Sub": _subtract,
}
