"""Reader for QONNX networks: exact numbers between quantizers, by the rule 'integer-ideal'."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from netproof.errors import FormatError, InputError
from netproof.formats.ledger import ExhaustedError
from netproof.formats.onnx import arithmetic as onnx_arithmetic
from netproof.formats.onnx import shapes as onnx_shapes
from netproof.formats.onnx.call import Call, Constant, NodeError, Translate, Translation, Value, Variable
from netproof.formats.onnx.container.external import Surroundings, locations
from netproof.formats.onnx.container.file import QONNX, OnnxFile
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.forms import STANDARD, form_of
from netproof.formats.onnx.nodes.places import known as onnx_known
from netproof.formats.onnx.qonnx import linear, quantizers
from netproof.formats.onnx.qonnx.values import Bend, Fractions, Levels, Line, Scaled, fractions, shared_unit
from netproof.formats.onnx.quantized.build import Build
from netproof.formats.onnx.quantized.operators.moving import MOVING, RecordingCall
from netproof.formats.onnx.quantized.operators.pooling import maxima
from netproof.formats.onnx.quantized.rules.rule import IDEAL
from netproof.formats.onnx.quantized.values import Sums
from netproof.formats.onnx.tensors import read_tensor
from netproof.formats.onnx.windows import Windows
from netproof.graph.exactness import check_exact
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.graph.passes.drop_dead import drop_dead
from netproof.graph.passes.merge_equal import merge_equal
from netproof.network import Kept, Network
from netproof.operators.affine.scale import Scale

if TYPE_CHECKING:
    import onnx

#: the entry of a model's metadata that says which numbers an input that is not quantized takes, in QONNX's words
INPUT_TYPE = "netproof.input_type"
_QUANTIZERS = ("BipolarQuant", "IntQuant", "MultiThreshold", "Quant", "Trunc")
_OF_CONSTANTS: dict[str, Translate] = {
    **onnx_arithmetic.OPERATORS,
    **onnx_known.OPERATORS,
    **onnx_shapes.OPERATORS,
}
_LARGEST_OUTPUT = 1 << 50


def is_qonnx(files: Sequence[OnnxFile]) -> bool:
    """Whether a file has operators of QONNX."""
    return any(node.domain in QONNX for node in files[0].nodes)


_Between = Callable[["_Reader", Call], Value]


@dataclass(frozen=True, eq=False)
class Given(Variable):
    """The numbers that a file takes, with lines on them, before they are quantized."""

    line: Line


def read_qonnx(
    path: Path, data: bytes, files: Sequence[OnnxFile], around: Surroundings, runtime: str | None
) -> Network:
    """Read a QONNX network; raises as :func:`netproof.formats.onnx.read.read_onnx`."""
    if runtime not in (None, IDEAL.name):
        raise InputError(
            "runtime", f"'{str(runtime)[:40]}' is none that is known for QONNX files", f"give {IDEAL.name}"
        )
    if len(files) > 1:
        raise FormatError(path, "states several opsets", "export it for one")
    if locations(files[-1].tensors):
        raise FormatError(
            path, "keeps numbers in other files", "save it as one file, which evidence can name by its hash"
        )
    return _Reader(path, data, files[-1], around).network()


class _Reader:
    def __init__(self, path: Path, data: bytes, file: OnnxFile, around: Surroundings) -> None:
        self._path, self._data, self._file = path, data, file
        self.builder = GraphBuilder(Arithmetic.INTEGER, file.input_shape)
        self._translation = Translation(path, self.builder, file.opset, around, file.types)
        self.build = Build(self._translation)
        self._notes: list[str] = []
        #: of the input's whole numbers, once they are known
        self._ends: tuple[int, int] | None = None
        self._softmax = False

    def network(self) -> Network:
        values: dict[str, Value] = {self._file.input: self._input()}
        for node in self._translation.ledger.clock.each(self._file.nodes):
            operands: list[Value | None] = []
            for name in node.input:
                if name and name not in values:
                    if name not in self._file.constants:
                        raise FormatError(
                            self._path,
                            f"takes '{printable(name)}', a second result that is not known",
                            "export it again",
                        )
                    tensor = self._file.constants[name]
                    values[name] = Constant(read_tensor(self._path, tensor, self._translation.around))
                operands.append(values[name] if name else None)
            results = self._call(node, operands)
            values.update(zip(node.output, results, strict=False))
        return self._finished(values[self._file.output])

    # -- the input

    def _input(self) -> Value:
        file = self._file
        one, zero = np.array([Fraction(1)], object), np.array([Fraction(0)], object)
        stated = file.metadata.get(INPUT_TYPE) or file.annotations.get(file.input)
        if stated is None or stated == "FLOAT32":
            return Given(0, file.input_shape, Line(one, zero))
        low, high, scale, shift = _numbers_of(self._path, stated)
        self._ends = (low, high)
        what = f"{stated}: a code k stands for {_affine(scale, shift)}"
        self._notes.append(f"inputs are of type {what}" if scale != 1 or shift != 0 else f"inputs are of type {stated}")
        codes = self._codes(low, high)
        line = Line(np.array([scale], object), np.array([shift], object))
        return Scaled(codes.node, codes.shape, codes.low, codes.high, (line,))

    def _codes(self, low: int, high: int) -> Sums:
        size = math.prod(self._file.input_shape)
        ends = [torch.full((size,), float(end), dtype=torch.float64) for end in (low, high)]
        return Sums(0, self._file.input_shape, ends[0], ends[1])

    def _started(self, name: str, given: Given, quantizer: quantizers.Quantizer) -> Scaled:
        """Codes as the input of the network, where a quantizer takes what the file takes."""
        scale, zero = quantizer.scale, quantizer.zero
        if scale.size != 1 or zero.size != 1 or self._ends is not None:
            raise NodeError("the input is quantized per channel, or twice", "quantize it once, with one scale")
        unit, offset = fractions(scale).reshape(-1)[0], int(zero.reshape(-1)[0])
        low, high = (0, 1) if quantizer.bipolar else (quantizer.low, quantizer.high)
        self._ends = (low, high)
        factor, shift = (2 * unit, -unit * (1 + offset)) if quantizer.bipolar else (unit, -unit * offset)
        self._notes.append(
            f"the file takes floats and quantizes them first ('{printable(name)}'): inputs are its codes, {low} to {high}, "
            f"and a code k stands for {_affine(factor, shift)}"
        )
        size = given.size
        ends = [torch.full((size,), float(end), dtype=torch.float64) for end in (low, high)]
        line = Line(np.array([factor], object), np.array([shift], object))
        return Scaled(given.node, given.shape, ends[0], ends[1], (line,))

    # -- nodes

    def _call(self, node: onnx.NodeProto, operands: list[Value | None]) -> tuple[Value, ...]:
        name = printable(node.name or (node.output[0] if node.output else node.op_type))
        shapes = ", ".join("none" if o is None else "x".join(map(str, o.shape)) or "scalar" for o in operands[:8])
        where = f"node '{name}' ({printable(node.op_type)} of {shapes or 'nothing'})"
        try:
            call = RecordingCall(self._translation, node, node.output[0], operands, final=False)
            self._check_domain(node)
            if node.output[0] == self._file.output and node.op_type in ("Softmax", "LogSoftmax"):
                self._softmax = True
                return (self._order(call),)
            with np.errstate(all="ignore"):  # what is no number is refused where it would count
                results = self._translated(node, call)
            call.check_attributes()
            return results
        except (NodeError, ExhaustedError) as refusal:
            raise FormatError(self._path, f"{where}: {refusal.problem}", refusal.hint) from None
        except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, MemoryError) as error:
            detail = printable(" ".join(str(error).split())) or type(error).__name__
            raise FormatError(self._path, f"{where} cannot be understood ({detail})", "export it again") from None

    def _check_domain(self, node: onnx.NodeProto) -> None:
        if node.domain in QONNX:
            versions = self._file.domains.get(node.domain, (1,))
            if node.op_type not in _QUANTIZERS or not set(versions) <= {1, 2}:
                raise NodeError(
                    f"an operator of domain '{printable(node.domain)}', version {versions[-1]}, that is not known",
                    f"known are {', '.join(_QUANTIZERS)}",
                )
        elif node.domain not in STANDARD or form_of(node.op_type, self._file.opset) is None:
            raise NodeError(
                f"an operator of domain '{printable(node.domain)}' that is not known at opset {self._file.opset}",
                f"known are {', '.join(sorted({*_QUANTIZERS, *_BETWEEN, *MOVING}))}",
            )

    def _translated(self, node: onnx.NodeProto, call: RecordingCall) -> tuple[Value, ...]:
        operator = node.op_type
        if operator in _QUANTIZERS:
            return (self._quantized(node, call, call.operand(0)),)
        given = [value for value in call.operands if value is not None]
        if operator in ("Shape", "Size") or all(isinstance(value, Constant) for value in given):
            return self._constants(operator, call)
        if operator in MOVING:
            return self._moved(operator, call, call.operand(0))
        between = _BETWEEN.get(operator)
        if between is None:
            raise NodeError(
                "an operator that is not known between quantizers",
                f"known are {', '.join(sorted({*_QUANTIZERS, *_BETWEEN, *MOVING}))}",
            )
        return (between(self, call),)

    def _quantized(self, node: onnx.NodeProto, call: Call, first: Value) -> Value:
        if node.op_type in ("Trunc", "MultiThreshold"):
            if not isinstance(first, Scaled):
                raise NodeError("its operand is no quantized value of the input")
            function = quantizers.truncated if node.op_type == "Trunc" else quantizers.thresholded
            return function(self.build, call, first)
        quantizer = quantizers.bipolar_of(call) if node.op_type == "BipolarQuant" else quantizers.quantizer_of(call)
        if isinstance(first, Constant):
            return quantizer.constant(first.array.astype(np.float64))
        if isinstance(first, Given):
            return self._started(call.name, first, quantizer)
        return quantizer.value(self.build, call.name, cast(Scaled, first))

    def _constants(self, operator: str, call: Call) -> tuple[Value, ...]:
        first = call.optional(0)
        if operator == "Transpose" and isinstance(first, Levels):
            moved = []
            unit = np.broadcast_to(first.unit, first.shape) if first.unit.size > 1 else None
            for array in (first.array, first.whole, *([] if unit is None else [unit])):
                call.operands[0] = Constant(array)
                moved.append(cast(Constant, MOVING["Transpose"](call)).array)
            return (Levels(moved[0], moved[1], first.unit if unit is None else moved[2]),)
        if operator == "Pow" and bool((call.constant(1) == 0.5).all()):
            # A root in float32, correctly rounded.
            array = np.sqrt(call.numbers(0).astype(np.float32)).astype(np.float64)
            return (Constant(array),)
        translate = _OF_CONSTANTS.get(operator)
        if translate is None:
            raise NodeError("an operator of constants that is not known", "fold constants before export")
        found = translate(call)
        return found if isinstance(found, tuple) else (found,)

    def _moved(self, operator: str, call: RecordingCall, first: Value) -> tuple[Value, ...]:
        if operator == "Pad":
            raise NodeError("padding by itself", "let convolutions pad")
        call.made = {}
        call.operands[0] = Variable(cast(Variable, first).node, first.shape)
        results = MOVING[operator](call)
        found: list[Value] = []
        for result in results if isinstance(results, tuple) else (results,):
            assert isinstance(result, Variable)
            operation = call.made.get(result.node)
            if isinstance(first, Given):
                if first.line.scale.size > 1 or first.line.shift.size > 1:
                    raise NodeError("channels of the input are moved before they are quantized", "quantize it first")
                found.append(Given(result.node, result.shape, first.line))
                continue
            value = cast(Scaled, first)
            low, high, steps = value.low, value.high, value.steps
            if operation is not None:
                if value.groups > 1:
                    raise NodeError("channels of several scales are moved", "quantize the value per tensor first")
                center = operation.forward((low + high) / 2)
                radius = operation.forward_absolute((high - low) / 2)
                low, high = center - radius, center + radius
            found.append(Scaled(result.node, result.shape, low, high, steps))
        return tuple(found)

    # -- between quantizers

    def line(self, call: Call, scale: Fractions | None, shift: Fractions | None) -> Value:
        """Operand 0 times ``scale`` plus ``shift``."""
        value = call.operand(0)
        if isinstance(value, Given):
            one, zero = np.array([Fraction(1)], object), np.array([Fraction(0)], object)
            step = Line(one if scale is None else scale, zero if shift is None else shift)
            joined = Scaled(
                0, value.shape, torch.zeros(0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64), (value.line,)
            ).then(step)
            return replace(value, line=cast(Line, joined[0]))
        return linear.moved_by(cast(Scaled, value), scale, shift)

    def scaled(self, call: Call, number: int = 0) -> Scaled:
        """An operand that is made of whole numbers."""
        value = call.operand(number)
        if isinstance(value, Given):
            raise NodeError(
                "the input is not quantized, and nothing says which numbers it takes",
                f"quantize it first, or write its type into the metadata entry '{INPUT_TYPE}' (INT8, FIXED<16,6>, ...)",
            )
        if not isinstance(value, Scaled):
            raise NodeError(f"operand {number} does not depend on the input", "fold constants before export")
        return value

    def pooled(self, call: Call) -> Value:
        """``MaxPool`` of whole numbers of one positive scale."""
        value = self.scaled(call)
        line = value.line
        if len(line.scale) > 1 or len(line.shift) > 1 or line.scale[0] <= 0:
            raise NodeError("a maximum of channels of several scales", "quantize the value per tensor")
        call.operands[0] = Variable(value.node, value.shape)
        sums = maxima(self.build, Windows(call), value, call.name)
        return Scaled(sums.node, sums.shape, sums.low, sums.high, value.steps)

    # -- the end

    def _order(self, call: Call) -> Value:
        value = self.scaled(call)
        axis = call.integer("axis", 1 if self._file.opset < 13 else -1) % max(len(value.shape), 1)
        if value.size != value.shape[axis]:
            raise NodeError("a softmax over some of the outputs only, which does not keep the order of all")
        return value

    def _finished(self, output: Value) -> Network:
        if not isinstance(output, Scaled) or self._ends is None:
            raise FormatError(self._path, "its output is no quantized value of the input", "export the network again")
        try:
            node = self._output(output)
        except (NodeError, ExhaustedError) as refusal:
            raise FormatError(self._path, f"its output: {refusal.problem}", refusal.hint) from None
        graph = merge_equal(drop_dead(self.builder.build(), node))
        size = graph.input.size
        low, high = (torch.full((size,), float(end), dtype=torch.float64) for end in self._ends)
        check_exact(graph, low, high, str(self._path))
        if self._softmax:
            self._notes.insert(0, "the final softmax is left out: outputs and classes are those of its operand")
        return Network(
            graph=graph,
            path=str(self._path),
            sha256=hashlib.sha256(self._data).hexdigest(),
            lower=low,
            upper=high,
            notes=tuple(self._notes),
            kept=Kept.ORDER if self._softmax else Kept.VALUES,
            content=self._data,
            runtime=IDEAL.name,
        )

    def _output(self, value: Scaled) -> int:
        """The node of whole numbers that the outputs are multiples of."""
        line = value.line
        uniform = len(set(line.scale)) == 1 and len(set(line.shift)) == 1
        if uniform and line.scale[0] > 0:
            # One line for all outputs keeps their order; they are what they are made of.
            self._notes.append(
                f"outputs are whole numbers: the file's are {_affine(line.scale[0], line.shift[0])} of each k"
            )
            return value.node
        if line.approximate:
            raise NodeError("outputs of batch normalization with roots in them", "cut it off the network")
        unit = shared_unit([*line.scale, *line.shift])
        factors, shifts = ([int(one / unit) for one in part] for part in (line.scale, line.shift))
        if max(map(abs, factors + shifts)) >= _LARGEST_OUTPUT:
            raise NodeError("outputs that have no common unit", "quantize the result")
        self._notes.append(f"outputs are whole numbers: the file's are {float(unit):.9g} of each")
        parts = [torch.tensor([float(n) for n in numbers], dtype=torch.float64) for numbers in (factors, shifts)]
        count = math.lcm(len(factors), len(shifts))
        factor, shift = (part.repeat_interleave(count // len(part)) for part in parts)
        if bool((factor == 1).all()) and not bool(shift.any()):
            return value.node
        self._translation.ledger.nodes(1)
        return self.builder.add("output/units", Scale(value.size, factor, shift), value.node)


def _affine(scale: Fraction, shift: Fraction) -> str:
    text = f"{float(scale):.9g} k"
    return text if shift == 0 else f"{text} {'+' if shift > 0 else '-'} {abs(float(shift)):.9g}"


def _numbers_of(path: Path, stated: str) -> tuple[int, int, Fraction, Fraction]:
    """Codes, and the line to what they stand for, of one of QONNX's data types."""
    one, none = Fraction(1), Fraction(0)
    if stated == "BIPOLAR":
        return 0, 1, Fraction(2), Fraction(-1)
    if stated == "BINARY":
        return 0, 1, one, none
    match = re.fullmatch(r"(U?)INT([1-9][0-9]?)", stated)
    if match and int(match[2]) <= 16:
        bits = int(match[2])
        return (0, (1 << bits) - 1, one, none) if match[1] else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1, one, none)
    match = re.fullmatch(r"FIXED<([1-9][0-9]?),(-?[0-9]{1,2})>", stated)
    if match and int(match[1]) <= 16:
        bits, whole = int(match[1]), int(match[2])
        return -(1 << (bits - 1)), (1 << (bits - 1)) - 1, Fraction(2) ** (whole - bits), none
    raise FormatError(
        path,
        f"its input is said to be of type '{printable(stated)}'",
        "known are BINARY, BIPOLAR, INT2 .. INT16, UINT and FIXED<16,6>",
    )


def _plus(sign: int) -> _Between:
    def translate(reader: _Reader, call: Call) -> Value:
        left, right = call.operand(0), call.operand(1)
        if isinstance(left, Constant):
            call.operands[:2] = [right, left]
            if sign < 0:
                turned = reader.line(call, np.array([Fraction(-1)], object), None)
                call.operands[0] = turned
            return reader.line(call, None, linear.runs_of(left, right.shape))
        if isinstance(right, Constant):
            return reader.line(call, None, sign * linear.runs_of(right, left.shape))
        return linear.added(reader.build, call, reader.scaled(call), reader.scaled(call, 1), sign)

    return translate


def _times(reader: _Reader, call: Call) -> Value:
    left, right = call.operand(0), call.operand(1)
    if isinstance(left, Constant):
        call.operands[:2] = [right, left]
        left, right = right, left
    if not isinstance(right, Constant):
        raise NodeError("two values that depend on the input are multiplied", "only constants are multiplied")
    return reader.line(call, linear.runs_of(right, left.shape), None)


def _over(reader: _Reader, call: Call) -> Value:
    right = call.operand(1)
    if not isinstance(right, Constant) or isinstance(call.operand(0), Constant):
        raise NodeError("something is divided by a value that depends on the input")
    runs = linear.runs_of(right, call.operand(0).shape)
    if bool((runs == 0).any()):
        raise NodeError("a division by 0", "repair the network")
    inverse = np.empty(len(runs), object)
    inverse[:] = [1 / one for one in runs]
    return reader.line(call, inverse, None)


def _relu(reader: _Reader, call: Call) -> Value:
    return linear.with_step(reader.scaled(call), Bend())


def _constant(call: Call, number: int) -> Constant:
    value = call.operand(number)
    if not isinstance(value, Constant):
        raise NodeError(f"operand {number} depends on the input, only a constant is known there")
    return value


def _matmul(reader: _Reader, call: Call) -> Value:
    return linear.product(reader.build, call, reader.scaled(call), _constant(call, 1), turned=False)


def _gemm(reader: _Reader, call: Call) -> Value:
    if call.flag("transA") or call.number("alpha", 1.0) != 1 or call.number("beta", 1.0) != 1:
        raise NodeError("transA, or an alpha or beta that is not 1", "export it as a plain product")
    turned = call.flag("transB")
    value = linear.product(reader.build, call, reader.scaled(call), _constant(call, 1), turned=turned)
    if call.optional(2) is None:
        return value
    return linear.moved_by(value, None, linear.runs_of(_constant(call, 2), value.shape))


def _conv(reader: _Reader, call: Call) -> Value:
    value = linear.convolution(reader.build, call, reader.scaled(call), _constant(call, 1))
    if call.optional(2) is None:
        return value
    bias = _constant(call, 2)
    if len(bias.shape) != 1:
        raise NodeError(f"a bias of shape {bias.shape}", "export it again")
    numbers = bias.whole * bias.unit if isinstance(bias, Levels) else fractions(bias.array)
    return linear.moved_by(value, None, np.asarray(numbers, object))


def _normalized(reader: _Reader, call: Call) -> Value:
    return linear.normalized(call, reader.scaled(call))


_BETWEEN: dict[str, _Between] = {
    "Add": _plus(1),
    "BatchNormalization": _normalized,
    "Conv": _conv,
    "Div": _over,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MaxPool": lambda reader, call: reader.pooled(call),
    "Mul": _times,
    "Relu": _relu,
    "Sub": _plus(-1),
}
