"""Reader for TensorFlow Lite files whose tensors are quantized to 8 bits: the network as a named runtime computes it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.errors import FormatError, InputError
from netproof.files.opened import read_bytes
from netproof.formats.clock import Clock
from netproof.formats.ledger import ExhaustedError, Ledger
from netproof.formats.tflite import pointwise, products, shapes, windows
from netproof.formats.tflite.codes import RELU, RELU6
from netproof.formats.tflite.flatbuffer import DamagedError
from netproof.formats.tflite.floats.read import is_of_floats, read_floats
from netproof.formats.tflite.rules.delegated import reason_left
from netproof.formats.tflite.rules.runtime import RUNTIMES, Runtime, runtime_of
from netproof.formats.tflite.rules.softmax import SoftmaxScales, keeps_the_class
from netproof.formats.tflite.schema import Model, OperatorInfo, TensorInfo, damaged, read_model
from netproof.formats.tflite.translation import (
    Call,
    OperatorError,
    Translation,
    Value,
    ends_of,
    quantized,
    refusal,
    scale_of,
    zero_of,
)
from netproof.graph.exactness import check_exact
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.passes.drop_dead import drop_dead
from netproof.graph.passes.merge_equal import merge_equal
from netproof.graph.passes.shift_steps import shift_steps
from netproof.network import Kept, Meaning, Network
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select

OPERATORS: dict[str, Callable[[Translation, Call], Value]] = {
    "ADD": pointwise.add,
    "AVERAGE_POOL_2D": windows.average_pool,
    "CONCATENATION": shapes.concatenation,
    "CONV_2D": products.convolution,
    "DEPTHWISE_CONV_2D": products.depthwise,
    "EXPAND_DIMS": shapes.reshape,
    "FULLY_CONNECTED": products.fully_connected,
    "LOGISTIC": pointwise.logistic,
    "MAX_POOL_2D": windows.max_pool,
    "MEAN": windows.mean,
    "MUL": pointwise.multiply,
    "PAD": shapes.pad,
    "QUANTIZE": pointwise.requantize,
    "RELU": pointwise.clipping(RELU),
    "RELU6": pointwise.clipping(RELU6),
    "RESHAPE": shapes.reshape,
    "SQUEEZE": shapes.reshape,
    "SUB": pointwise.subtract,
    "TANH": pointwise.tanh,
    "TRANSPOSE": shapes.transpose,
}
_SOFTMAX = "SOFTMAX"
#: operators that were compared on codes of int16
_OF_16_BITS = frozenset(
    ("ADD", "AVERAGE_POOL_2D", "QUANTIZE", "MEAN", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "EXPAND_DIMS", "FULLY_CONNECTED", "MAX_POOL_2D", "MUL", "PAD", "RELU", "RELU6",
     "RESHAPE", "SQUEEZE", "SUB", "TRANSPOSE")
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Layer:
    """A tensor that an operator of the file gives, and the node of :attr:`Deployed.graph` that it is.

    Attributes
    ----------
    name, operator, shape : of the tensor, and of what gives it
    node : its features are codes less ``zero``
    order : ``[n]``, where each feature of the node lies in the tensor, flattened
    tensor : as the file has it
    """

    name: str
    operator: str
    shape: tuple[int, ...]
    node: int
    zero: int
    order: NDArray[np.int64]
    tensor: TensorInfo


@dataclass(frozen=True, eq=False)
class Deployed:
    """A file as a runtime computes it.

    Attributes
    ----------
    network : for queries; its output is what is given to a final softmax, if there is one
    graph, output : the same function with all that the file computes besides, and the node that is its output
    input, result : tensors of the file: the input, and what :attr:`output` is
    layers : of every operator in turn, the softmax left out
    softmax : scales and tensor of the final softmax, None where there is none
    float_input, float_output : whether the file itself takes floats, or gives them: :attr:`input` is what its QUANTIZE gives, and
        the output what its DEQUANTIZE takes
    """

    network: Network
    runtime: Runtime
    graph: Graph
    output: int
    input: TensorInfo
    result: TensorInfo
    layers: tuple[Layer, ...]
    softmax: tuple[SoftmaxScales, TensorInfo] | None
    float_input: bool = False
    float_output: bool = False


def read_tflite(path: Path, runtime: str | None = None, clock: Clock | None = None) -> Network:
    """The network of a TensorFlow Lite file, of codes or (over the real numbers) of floats; raises as :func:`read_deployed`, and
    :class:`TimeLimitError` where the clock's deadline is over."""
    data, ledger, model = _model(path, clock)
    if not is_of_floats(model):
        return _read(path, data, ledger, model, runtime).network
    if runtime is not None:
        raise InputError("runtime", f"none is known for {path}, a network of floats", "leave it out")
    return read_floats(path, data, model, clock)


def read_deployed(path: Path, runtime: str | None = None) -> Deployed:
    """Read a TensorFlow Lite file for a runtime (its name, by default what a microcontroller computes).

    Raises
    ------
    FormatError : a damaged file; an operator, a type or a use of them that is not known; what the runtime would compute by a
        kernel whose integers are not known
    InputError : a runtime of no known name
    ExactnessError : sums beyond 2**52
    """
    data, ledger, model = _model(path)
    return _read(path, data, ledger, model, runtime)


def _model(path: Path, clock: Clock | None = None) -> tuple[bytes, Ledger, Model]:
    data = read_bytes(path, "network file")
    ledger = Ledger(len(data), clock=clock)
    return data, ledger, read_model(path, data, ledger).between_codes()


def _read(path: Path, data: bytes, ledger: Ledger, model: Model, runtime: str | None) -> Deployed:
    rule = runtime_of(runtime)
    try:
        return _Reader(path, data, model, rule, ledger).read()
    except ExhaustedError as exhausted:
        raise FormatError(path, exhausted.problem, exhausted.hint) from None
    except DamagedError as damage:  # options are read where they are needed
        raise damaged(path, damage) from None


class _Reader:
    def __init__(self, path: Path, data: bytes, model: Model, runtime: Runtime, ledger: Ledger) -> None:
        self._path = path
        self._data = data
        self._model = model
        self._input = model.tensors[model.input]
        if len(model.outputs) != 1:
            raise FormatError(path, f"has {len(model.outputs)} outputs", "export it for one output")
        self._output = model.outputs[0]
        try:
            shape = quantized(self._input).shape
            if not shape or shape[0] != 1:
                raise OperatorError(f"the input has shape {shape}", "convert it for batch size 1")
            if self._input.data is not None:
                raise OperatorError("the input is a constant", "export the network again")
        except OperatorError as error:
            raise refusal(path, "input", error) from None
        self._builder = GraphBuilder(Arithmetic.INTEGER, shape)
        self._translation = Translation(path, model, runtime, self._builder, ledger)

    def read(self) -> Deployed:
        values = {self._model.input: self._start()}
        layers: list[Layer] = []
        softmax: tuple[SoftmaxScales, TensorInfo] | None = None
        result = self._output
        for info in self._translation.ledger.clock.each(self._model.operators):
            final = self._output in info.outputs
            if info.name == _SOFTMAX and final:
                call, scales = self._softmax(info, values)
                softmax = (scales, call.output)
                result = info.inputs[0]
                continue
            value = self._call(info, values, final)
            values[info.outputs[0]] = value
            tensor = value.tensor
            layers.append(Layer(tensor.name, info.name, tensor.shape, value.node, zero_of(tensor), value.order, tensor))
        if result not in values or result == self._model.input:
            raise FormatError(self._path, "its output does not depend on its input", "export the network again")
        return self._deployed(values[result], layers, softmax)

    def _start(self) -> Value:
        """The input, less its zero point."""
        tensor = self._input
        size, zero = tensor.size, zero_of(tensor)
        node = self._builder.input
        if zero:
            one, shift = (torch.tensor([float(number)], dtype=torch.float64) for number in (1, -zero))
            node = self._builder.add("input/less zero point", Scale(size, one, shift), node)
        least, largest = ends_of(tensor)
        low = torch.full((size,), float(least - zero), dtype=torch.float64)
        return Value(node, tensor, np.arange(size), low, low + (largest - least))

    def _where(self, info: OperatorInfo) -> str:
        return f"operator {info.number} ({info.name})"

    def _call(self, info: OperatorInfo, values: dict[int, Value], final: bool) -> Value:
        translate = OPERATORS.get(info.name)
        try:
            if translate is None:
                raise OperatorError(
                    "an operator that is not known on integers"
                    if info.name != _SOFTMAX
                    else "a softmax is known as the last operator only",
                    f"known are {', '.join(sorted([*OPERATORS, _SOFTMAX]))}",
                )
            self._check_kinds(info, values)
            call = Call(self._translation, info, values, final)
            if info.outputs[0] in values or call.output.data is not None:
                raise OperatorError("its result is there already", "convert it again")
            return translate(self._translation, call)
        except OperatorError as error:
            raise refusal(self._path, self._where(info), error) from None
        except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, MemoryError) as error:
            detail = " ".join(str(error).split())[:120] or type(error).__name__
            raise FormatError(
                self._path, f"{self._where(info)} cannot be understood ({detail})", "convert it again"
            ) from None

    def _check_kinds(self, info: OperatorInfo, values: dict[int, Value]) -> None:
        """Refuse types with which an operator was not compared, and what the runtime leaves to other kernels."""
        runtime = self._translation.runtime
        left = reason_left(info, self._model.tensors) if runtime.delegated else ""
        if left:
            raise OperatorError(
                f"{left}, so that '{runtime.name}' leaves it to kernels that round in another way",
                "convert it again, or name another runtime",
            )
        tensor = self._model.tensors[info.outputs[0]] if info.outputs else self._input
        kind = quantized(tensor).kind
        operands = [values[number].tensor for number in info.inputs if number in values]
        if info.name == "QUANTIZE" and all((one.kind, kind) in runtime.conversions for one in operands):
            return
        for one in (*operands, tensor):
            if one.kind not in runtime.kinds:
                others = ", ".join(name for name, other in RUNTIMES.items() if one.kind in other.kinds)
                raise OperatorError(
                    f"tensor '{one.name}' is of {one.kind}, which '{runtime.name}' does not compute with here",
                    f"name another runtime ({others})",
                )
            if one.kind != kind:
                raise OperatorError(
                    f"it takes {one.kind} and gives {kind}, which was not compared with '{runtime.name}'",
                    "convert it again, or name another runtime",
                )
        if kind == "INT16" and info.name not in _OF_16_BITS:
            raise OperatorError(
                "how runtimes compute it on codes of int16 is not known here",
                f"known are {', '.join(sorted(_OF_16_BITS))}",
            )

    def _softmax(self, info: OperatorInfo, values: dict[int, Value]) -> tuple[Call, SoftmaxScales]:
        try:
            call = Call(self._translation, info, values, True)
            value, output = call.value(0), quantized(call.output)
            beta = np.float32(info.options.number(0, "f"))
            if value.shape != output.shape or len(value.order) != value.shape[-1]:
                raise OperatorError(f"a softmax of shape {value.shape}", "known is one row, batch size 1")
            least = ends_of(output)[0]
            self._check_kinds(info, values)
            if not 0 < beta < np.inf or scale_of(output) != np.float32(1 / 256) or zero_of(output) != least:
                raise OperatorError(
                    f"a softmax whose result has not scale 1/256 and zero point {least}", "convert it again"
                )
            # In the codes of int8, from which those of uint8 are 128 away.
            return call, SoftmaxScales(scale_of(value.tensor), beta, scale_of(output), -128)
        except OperatorError as error:
            raise refusal(self._path, self._where(info), error) from None

    def _deployed(
        self, value: Value, layers: list[Layer], softmax: tuple[SoftmaxScales, TensorInfo] | None
    ) -> Deployed:
        translation, tensor, size = self._translation, value.tensor, len(value.order)
        translation.ledger.nodes(2)
        node = value.node
        if not np.array_equal(value.order, np.arange(size)):
            index = torch.from_numpy(value.place.reshape(-1).copy())
            node = self._builder.add("output/order", Select(index, size, tensor.shape), node)
        if zero_of(tensor):
            # The output of a network is the file's, codes and all.
            one, shift = (torch.tensor([float(n)], dtype=torch.float64) for n in (1, zero_of(tensor)))
            node = self._builder.add("output/codes", Scale(size, one, shift), node)
        whole = self._builder.build()
        graph = merge_equal(shift_steps(drop_dead(whole, node)))
        low, high = (torch.full((self._input.size,), float(end), dtype=torch.float64) for end in ends_of(self._input))
        check_exact(graph, low, high, str(self._path))
        notes = list(translation.notes)
        kept = Kept.VALUES
        if softmax is not None:
            kept = Kept.CLASS if keeps_the_class(softmax[0], size) else Kept.NOTHING
            notes.insert(0, "the final softmax is left out: outputs and classes are those of its operand")
        notes += self._edges()
        network = Network(
            graph=graph,
            path=str(self._path),
            sha256=hashlib.sha256(self._data).hexdigest(),
            lower=low,
            upper=high,
            notes=tuple(notes),
            kept=kept,
            content=self._data,
            runtime=translation.runtime.name,
            input_meaning=_meaning(self._input),
            output_meaning=_meaning(tensor),
        )
        # Values of dead operators are evaluated with the rest, so that every tensor can be shown.
        return Deployed(
            network,
            translation.runtime,
            whole,
            node,
            self._input,
            tensor,
            tuple(layers),
            softmax,
            self._model.float_input,
            self._model.float_output,
        )

    def _edges(self) -> list[str]:
        """What is to be said of a file that itself takes or gives floats."""
        said = []
        if self._model.float_input:
            said.append(f"the file takes floats and quantizes them first: inputs are its codes, {_codes(self._input)}")
        if self._model.float_output:
            codes = _codes(self._model.tensors[self._output])
            said.append(f"the file gives floats: outputs are the codes before that, {codes}")
        return said


def _meaning(tensor: TensorInfo) -> Meaning:
    return Meaning.of(float(scale_of(tensor)), zero_of(tensor))


def _codes(tensor: TensorInfo) -> str:
    return f"of scale {scale_of(tensor):.9g} and zero point {zero_of(tensor)}"
