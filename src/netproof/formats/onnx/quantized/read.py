"""Reader for quantized ONNX networks: the integers that a rule makes of QOperator and QDQ files."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from netproof.errors import FormatError
from netproof.formats.ledger import ExhaustedError
from netproof.formats.onnx import arithmetic as onnx_arithmetic
from netproof.formats.onnx import shapes as onnx_shapes
from netproof.formats.onnx.call import Call, Constant, NodeError, Translate, Translation, Value, Variable
from netproof.formats.onnx.container.external import Surroundings, locations
from netproof.formats.onnx.container.file import OnnxFile
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.forms import STANDARD, form_of
from netproof.formats.onnx.nodes.places import known as onnx_known
from netproof.formats.onnx.quantized import floats, qoperators
from netproof.formats.onnx.quantized.build import Build
from netproof.formats.onnx.quantized.deployed import Deployed, Layer
from netproof.formats.onnx.quantized.fusing import Fusing, is_without_effect
from netproof.formats.onnx.quantized.operands import check_scalars, constant, is_listed, quantization, scales, zeros
from netproof.formats.onnx.quantized.operators import moving, points
from netproof.formats.onnx.quantized.processors import Processors
from netproof.formats.onnx.quantized.rules.rule import Rule, rule_of
from netproof.formats.onnx.quantized.values import (
    ENDS,
    UINT8,
    Codes,
    Dequantized,
    Open,
    Quantization,
    Real,
    real_of,
    single,
)
from netproof.formats.onnx.tensors import read_tensor
from netproof.formats.tflite.rules.softmax import SoftmaxScales, keeps_the_class
from netproof.graph.exactness import check_exact
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.graph.passes.drop_dead import drop_dead
from netproof.graph.passes.merge_equal import merge_equal
from netproof.graph.passes.shift_steps import shift_steps
from netproof.network import Kept, Meaning, Network
from netproof.operators.affine.scale import Scale

if TYPE_CHECKING:
    import onnx

#: operators that make a file one of codes, wherever they stand
QUANTIZED = ("QuantizeLinear", *qoperators.OPERATORS, "QLinearSoftmax")
_MICROSOFT = "com.microsoft"
#: what is known of constants alone: the arithmetic of shapes
_OF_CONSTANTS: dict[str, Translate] = {
    **onnx_arithmetic.OPERATORS,
    **onnx_known.OPERATORS,
    **onnx_shapes.OPERATORS,
}
_NEWEST_OPSET = 21
#: operators that onnxruntime makes others of which take scalars for scales
_PER_TENSOR = ("Add", "Mul", "AveragePool")
#: scales of a float softmax above this give the largest operand a larger share than all smaller ones
_LEAST_STEP = 2.0**-16


@dataclass(frozen=True, eq=False)
class Given(Variable):
    """The floats that a file takes, in the order of their codes."""


class Reader:
    """Translates the nodes of one file.

    Attributes
    ----------
    build, rule, processors : the graph under construction, what is computed, and what depends on the processor
    """

    def __init__(self, path: Path, file: OnnxFile, around: Surroundings, rule: Rule) -> None:
        self._path = path
        self._file = file
        self.builder = GraphBuilder(Arithmetic.INTEGER, file.input_shape)
        self.translation = Translation(path, self.builder, file.opset, around, file.types)
        self.build = Build(self.translation)
        self.rule = rule
        self.processors = Processors()
        self.layers: list[Layer] = []
        self.input: Quantization | None = None
        self.start_kind = file.input_type
        self.fusing = Fusing(file)

    def read(self) -> tuple[Value, str, float | None, SoftmaxScales | None]:
        """The output, the name of its value, and the scales of a softmax left out: of floats, or of codes."""
        file, path = self._file, self._path
        values: dict[str, Value] = {file.input: self._start()}
        softmax: SoftmaxScales | None = None
        for node in self.translation.ledger.clock.each(file.nodes):
            operands: list[Value | None] = []
            for name in node.input:
                if name and name not in values:
                    if name not in file.constants:
                        raise FormatError(
                            path,
                            f"takes '{printable(name)}', a second result that is not known",
                            "export it without it",
                        )
                    values[name] = Constant(read_tensor(path, file.constants[name], self.translation.around))
                operands.append(values[name] if name else None)
            if node.output[0] == file.output and node.op_type in ("Softmax", "LogSoftmax", "QLinearSoftmax"):
                with_scale, softmax = self._softmax(node, operands)
                return values[node.input[0]], node.input[0], with_scale, softmax
            results = self._call(node, operands)
            for name, value in zip(node.output, results, strict=False):
                values[name] = value
                if isinstance(value, Codes):
                    layer = Layer(name, node.op_type, value.shape, value.node, value.offset, value.kind)
                    self.layers.append(layer)
        return values[file.output], file.output, None, None

    def _start(self) -> Value:
        file = self._file
        if not file.integer:
            return Given(0, file.input_shape)
        low, high = _ends(math.prod(file.input_shape), file.input_type)
        return Codes(0, file.input_shape, low, high, file.input_type, 0, file.input_type)

    def where(self, node: onnx.NodeProto, operands: list[Value | None]) -> str:
        name = printable(node.name or (node.output[0] if node.output else node.op_type))
        shapes = ", ".join("none" if o is None else "x".join(map(str, o.shape)) or "scalar" for o in operands[:8])
        return f"node '{name}' ({printable(node.op_type)} of {shapes or 'nothing'})"

    def _call(self, node: onnx.NodeProto, operands: list[Value | None]) -> tuple[Value, ...]:
        try:
            call = moving.RecordingCall(self.translation, node, node.output[0], operands, final=False)
            self._check_form(node, call)
            with np.errstate(all="ignore"):  # what is no number is refused where it would count
                return self._translated(node, call)
        except (NodeError, ExhaustedError) as refusal:
            raise FormatError(self._path, f"{self.where(node, operands)}: {refusal.problem}", refusal.hint) from None
        except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, MemoryError) as error:
            # Attributes and shapes that do not belong together, as NumPy and PyTorch put it.
            detail = printable(" ".join(str(error).split())) or type(error).__name__
            raise FormatError(
                self._path, f"{self.where(node, operands)} cannot be understood ({detail})", "export it again"
            ) from None

    def _check_form(self, node: onnx.NodeProto, call: Call) -> None:
        """Refuse nodes of other domains than their operator's, and of a form that it does not have."""
        known = qoperators.OPERATORS.get(node.op_type)
        wanted = (_MICROSOFT, frozenset({"axis", "opset"}), 5, None) if node.op_type == "QLinearSoftmax" else known
        if wanted is not None and wanted[0] == _MICROSOFT:
            if node.domain != _MICROSOFT:
                raise NodeError(
                    f"an operator of domain '{printable(node.domain)}', not {_MICROSOFT}", "export it again"
                )
            versions = self._file.domains.get(_MICROSOFT, ())
            if versions != (1,):
                stated = f"version {versions[-1]}" if versions else "no version"
                raise NodeError(f"{stated} of '{_MICROSOFT}' is stated; known is 1", "export it again")
            unknown = sorted(set(call.attributes) - wanted[1])
            if unknown:
                raise NodeError(
                    f"it has the attribute '{printable(unknown[0])}', which is not known", "export it again"
                )
            if len(set(call.attributes)) < len(node.attribute) or len(node.input) > wanted[2] or len(node.output) != 1:
                raise NodeError("it has other operands, results or attributes than its operator", "export it again")
        elif node.domain not in STANDARD or form_of(node.op_type, self._file.opset) is None:
            domain = f" of domain '{printable(node.domain)}'" if node.domain not in STANDARD else ""
            raise NodeError(
                f"an operator{domain} that is not known at opset {self._file.opset}", f"known are {', '.join(_known())}"
            )

    def _translated(self, node: onnx.NodeProto, call: moving.RecordingCall) -> tuple[Value, ...]:
        operator = node.op_type
        if operator == "QuantizeLinear":
            return (self._quantize(node, call),)
        if operator == "DequantizeLinear":
            return (self._dequantize(call),)
        if operator in qoperators.OPERATORS:
            return (self._of_codes(operator, call),)
        if operator == "Transpose" and isinstance(call.operand(0), Dequantized):
            return (moving.moved_weights(call, cast(Dequantized, call.operand(0))),)
        given = [value for value in call.operands if value is not None]
        if operator in ("Shape", "Size") or all(isinstance(value, Constant) for value in given):
            return self._constant(operator, call)
        first = call.operand(0)
        if operator in moving.MOVING:
            if isinstance(first, Codes):
                return tuple(moving.moved(call, first))
            if isinstance(first, Real):
                return tuple(moving.moved_real(call, first, once=self.fusing.is_taken_once(call, 0)))
            if isinstance(first, Open):
                self._taken_once(node)
                return (moving.moved_open(call, first),)
            if isinstance(first, Given) and operator not in ("Pad", "Expand", "Tile"):
                result = moving.MOVING[operator](call)
                results = result if isinstance(result, tuple) else (result,)
                return tuple(Given(cast(Variable, one).node, one.shape) for one in results)
            raise NodeError(
                "its operand is neither codes nor what they stand for", "quantize every value between two operators"
            )
        translate = floats.OPERATORS.get(operator)
        if isinstance(first, Open):
            self._taken_once(node)
        if translate is None:
            raise NodeError("an operator that is not known on quantized values", f"known are {', '.join(_known())}")
        result = translate(self, call)
        if isinstance(result, Open) and operator in _PER_TENSOR:
            hows = [value.how for value in given if isinstance(value, Real)]
            hows += [value.quantization for value in given if isinstance(value, Dequantized)]
            result = replace(result, listed=is_listed(*hows))
        return (result,)

    def _of_codes(self, operator: str, call: Call) -> Codes:
        """The codes that a QOperator gives."""
        found = qoperators.OPERATORS[operator][3](self, call)
        for number in qoperators.NEEDED.get(operator, ()):
            if call.optional(number) is None:
                raise NodeError(f"its zero point (operand {number}) is missing", "state it, though it may be 0")
        return found

    def _constant(self, operator: str, call: Call) -> tuple[Value, ...]:
        if operator == "Clip" and call.opset >= 12 and isinstance(call.operand(0), Constant):
            array = call.constant(0)
            if array.dtype == np.int64:
                low, high = (None if call.optional(i) is None else call.constant(i).reshape(()) for i in (1, 2))
                return (Constant(np.clip(array, low, high)),)
        translate = _OF_CONSTANTS.get(operator)
        if translate is None:
            raise NodeError("an operator of constants that is not known", "fold constants before export")
        found = translate(call)
        return found if isinstance(found, tuple) else (found,)

    def _taken_once(self, node: onnx.NodeProto) -> None:
        if self.rule.fused:
            self.fusing.taken_once(node)

    # -- between numbers and codes

    def quantized(self, real: Real, how: Quantization, name: str, computed: int) -> Codes:
        """Codes of what codes stand for."""
        return points.quantized(self.build, self.rule, real, how, name, computed)

    def _quantize(self, node: onnx.NodeProto, call: Call) -> Value:
        _check_blocks(call, ("axis", "saturate", "block_size", "output_dtype", "precision"))
        value = call.operand(0)
        if isinstance(value, Constant):
            if self.rule.fused:
                self.fusing.check_constant(node)
            return self._quantized_constant(call, value)
        how = quantization(call, 1, 2, UINT8)
        computed = self.fusing.computed(node, how) if self.rule.fused else how.kind
        if isinstance(value, Given):
            if self.input not in (None, how):
                raise NodeError("the input is quantized in two ways", "export it with one")
            self.input = how
            low, high = _ends(value.size, how.kind)
            return Codes(value.node, value.shape, low, high, how.kind, 0, computed, rounded=True)
        if isinstance(value, Real):
            if self.rule.fused:
                self.fusing.check_pairs(node, value, how)
            return replace(self.quantized(value, how, call.name, computed), rounded=True)
        if isinstance(value, Open):
            self._taken_once(node)
            return replace(self._closed(value, how, call.name, computed), rounded=True)
        raise NodeError("its operand is codes already", "export the network again")

    def _quantized_constant(self, call: Call, value: Constant) -> Constant:
        """Codes of a constant, each one float32 operation after the other."""
        found = scales(call, 1)
        zero, kind = zeros(call, 2, len(found), UINT8)
        if kind not in ENDS or value.array.dtype != np.float64:
            raise NodeError("constants other than floats to 8 bits", "store codes")
        axis = call.integer("axis", 1)
        shape = [1] * value.array.ndim
        if len(found) > 1:
            shape[axis] = len(found)
        single_ = value.array.astype(np.float32)
        quotient = np.rint((single_ / found.reshape(shape)).astype(np.float64))
        codes = quotient.astype(np.int64) + zero.reshape(shape)
        if not bool(np.isfinite(quotient).all()):
            raise NodeError("constants that are NaN or infinite", "repair the network")
        self.translation.types[call.name] = kind
        return Constant(np.clip(codes, *ENDS[kind]))

    def _closed(self, value: Open, how: Quantization, name: str, computed: int) -> Codes:
        """The codes of a group."""
        clip = value.clip or (-math.inf, math.inf)
        if not self.rule.fused:
            codes = value.close(how, name, computed)
            return self.clipped(codes, how, clip, name)
        without = is_without_effect(clip, how)
        if value.fused(computed) and without:
            check_scalars(value.operator in _PER_TENSOR and (value.listed or how.listed))
            return value.close(how, name, computed)
        if value.unfused is not None:
            return value.unfused(how, name, computed, clip)
        raise NodeError(
            f"onnxruntime on x86 does not fuse '{value.operator}' here and adds floats up, in an order that is not known: "
            + (
                "what it is clipped to is not the range of the codes"
                if value.fused(computed)
                else "its codes are signed"
            ),
            "quantize activations to uint8 with zero points that a clip needs, or with scales that are powers of two, or name the "
            "runtime 'integer-ideal'",
        )

    def clipped(self, codes: Codes, how: Quantization, clip: tuple[float, float], name: str) -> Codes:
        """Codes of what is clipped on the way to them."""
        ends = list(how.ends)
        for number, end in enumerate(clip):
            if math.isfinite(end):
                table = np.array([self.rule.number(end)], object)
                ends[number] = int(self.rule.quantize(table, how.scale, how.zero, how.ends)[0])
        if tuple(ends) == how.ends:
            return codes
        return points.clipped(self.build, codes, ends[0], ends[1], f"{name}/clip")

    def _dequantize(self, call: Call) -> Value:
        _check_blocks(call, ("axis", "block_size", "output_dtype"))
        value = call.operand(0)
        if isinstance(value, Constant):
            return constant(call, 0, 1, 2, call.integer("axis", 1))
        if not isinstance(value, Codes):
            raise NodeError("its operand is no tensor of codes", "quantize the network again")
        how = quantization(call, 1, 2, value.kind)
        if how.kind != value.kind:
            raise NodeError("codes and their zero point have two types, which ONNX does not allow", "quantize it again")
        return real_of(self.rule, value, how)

    # -- the end

    def _softmax(self, node: onnx.NodeProto, operands: list[Value | None]) -> tuple[float | None, SoftmaxScales | None]:
        """The scale of the operand of a final softmax, of floats or of codes."""
        try:
            call = Call(self.translation, node, node.output[0], operands, final=True)
            self._check_form(node, call)
            value = call.operand(0)
            rank = len(value.shape)
            axis = call.integer("axis", 1 if call.integer("opset", self._file.opset) < 13 else -1) % max(rank, 1)
            if math.prod(value.shape) != value.shape[axis]:
                raise NodeError("a softmax over some of the outputs only, which does not keep the order of all")
            if isinstance(value, Real) and value.how is not None and node.op_type != "QLinearSoftmax":
                return float(value.how.scale), None
            if isinstance(value, Codes) and node.op_type == "QLinearSoftmax":
                how, result = quantization(call, 1, 2, value.kind), quantization(call, 3, 4, value.kind)
                return float(how.scale), SoftmaxScales(how.scale, np.float32(1), result.scale, result.zero)
            raise NodeError("the operand of a softmax is not quantized", "quantize what it takes")
        except (NodeError, ExhaustedError) as refusal:
            raise FormatError(self._path, f"{self.where(node, operands)}: {refusal.problem}", refusal.hint) from None


def _ends(size: int, kind: int) -> tuple[Tensor, Tensor]:
    """The least and the largest code for every feature."""
    low, high = (torch.full((size,), float(end), dtype=torch.float64) for end in ENDS[kind])
    return low, high


def _known() -> list[str]:
    return sorted({*QUANTIZED, "DequantizeLinear", "Softmax", *floats.OPERATORS, *moving.MOVING})


def _check_blocks(call: Call, known: tuple[str, ...]) -> None:
    unknown = sorted(set(call.attributes) - set(known))
    if unknown or call.integer("block_size", 0) or call.integer("output_dtype", 0):
        raise NodeError("scales of blocks, or another type of the result", "quantize it per tensor or per channel")


def is_quantized(files: list[OnnxFile]) -> bool:
    """Whether a file is one of codes: with QuantizeLinear or a QOperator in it."""
    return any(node.op_type in QUANTIZED for node in files[0].nodes)


def read_quantized(
    path: Path, data: bytes, files: list[OnnxFile], around: Surroundings, runtime: str | None
) -> Deployed:
    """Read a quantized network by a rule (its name, by default onnxruntime's).

    Raises
    ------
    FormatError : an operator or a use of one that is not known; groups that the runtime does not fuse
    InputError : a rule of no known name
    ExactnessError : sums beyond 2**52
    """
    rule = rule_of(runtime)
    file = files[-1]
    if len(files) > 1:
        raise FormatError(path, "states several opsets", "export it for one")
    if file.opset > _NEWEST_OPSET:
        raise FormatError(
            path,
            f"uses opset {file.opset}; quantized networks are read up to {_NEWEST_OPSET}, with which onnxruntime was compared",
            "export it for one of these",
        )
    if locations(file.tensors):
        raise FormatError(
            path, "keeps numbers in other files", "save it as one file, which evidence can name by its hash"
        )
    reader = Reader(path, file, around, rule)
    output, source, scale, softmax = reader.read()
    return _deployed(path, data, reader, output, source, scale, softmax)


def _deployed(
    path: Path,
    data: bytes,
    reader: Reader,
    output: Value,
    source: str,
    scale: float | None,
    softmax: SoftmaxScales | None,
) -> Deployed:
    codes = output.codes if isinstance(output, Real) else output
    if (isinstance(output, Real) and output.how is None) or not isinstance(codes, Codes):
        raise FormatError(
            path,
            f"its output '{printable(source)}' is no quantized value of the input",
            "quantize the result of its last operator as well",
        )
    node, builder = codes.node, reader.builder
    if codes.offset:
        reader.translation.ledger.nodes(1)
        node = builder.add("output/codes", Scale(codes.size, single(1), single(codes.offset)), node)
    elif node == 0:
        raise FormatError(path, "its output is its input", "export the network again")
    whole = builder.build()
    graph = merge_equal(shift_steps(drop_dead(whole, node)))
    kind = reader.input.kind if reader.input is not None else reader.start_kind
    size = graph.input.size
    low, high = _ends(size, kind)
    check_exact(graph, low, high, str(path))
    kept = Kept.VALUES
    notes = []
    if scale is not None:
        notes.append("the final softmax is left out: outputs and classes are those of its operand")
        same = keeps_the_class(softmax, codes.size) if softmax is not None else scale >= _LEAST_STEP
        kept = Kept.CLASS if same else Kept.NOTHING
    if reader.input is not None:
        notes.append(f"the file takes floats and quantizes them first: inputs are its codes, {_words(reader.input)}")
    plain = output.how if isinstance(output, Real) else None
    if plain is not None:
        notes.append(f"the file gives floats: outputs are the codes before that, {_words(plain)}")
    network = Network(
        graph=graph,
        path=str(path),
        sha256=hashlib.sha256(data).hexdigest(),
        lower=low,
        upper=high,
        notes=tuple(notes),
        kept=kept,
        content=data,
        runtime=reader.rule.name,
        processors=reader.processors.differences() if reader.rule.fused else None,
        input_meaning=_meaning(reader.input),
        output_meaning=_meaning(output.how if isinstance(output, Real) else None),
    )
    result = Layer(source, "", codes.shape, codes.node, codes.offset, codes.kind)
    return Deployed(network, reader.rule, whole, node, tuple(reader.layers), result, source, reader.input, plain)


def _meaning(how: Quantization | None) -> Meaning | None:
    return None if how is None else Meaning.of(float(how.scale), how.zero)


def _words(how: Quantization) -> str:
    return f"of scale {float(how.scale):.9g} and zero point {how.zero}"
