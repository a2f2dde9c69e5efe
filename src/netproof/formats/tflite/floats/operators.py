"""Operators of TensorFlow Lite on float32 as those of ONNX: images have their channels last there, and second here."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from netproof.formats.ledger import Ledger
from netproof.formats.onnx.writing.float import OnnxWriter
from netproof.formats.tflite.codes import MOST_OPERANDS, NONE, RELU, RELU6, RELU_N1_TO_1
from netproof.formats.tflite.products import padding_of, positive
from netproof.formats.tflite.schema import Model, OperatorInfo, TensorInfo
from netproof.formats.tflite.translation import OperatorError

_FIRST, _LAST = [0, 3, 1, 2], [0, 2, 3, 1]
#: what each fused activation clips to
_CLIPS = {RELU6: (0.0, 6.0), RELU_N1_TO_1: (-1.0, 1.0)}


def real(tensor: TensorInfo) -> TensorInfo:
    """A tensor, once it is established that it holds float32."""
    if tensor.kind == "INT8" and tensor.data is not None:
        raise OperatorError(
            f"tensor '{tensor.name}' is of INT8 where values are floats (dynamic-range quantization), which runtimes compute with "
            "codes that they make of every input",
            "convert it with full integer quantization, or with none",
        )
    if tensor.kind != "FLOAT32":
        raise OperatorError(
            f"tensor '{tensor.name}' is of {tensor.kind} in a network of floats",
            "convert the network without quantization, or with inputs and outputs quantized as well",
        )
    return tensor


class Call:
    """One operator of the file and the ONNX model that it is written to.

    Attributes
    ----------
    info : of the operator
    names, constants : of what is known by now, by tensor: values, and constants that the file computes
    writer : of the model
    """

    def __init__(
        self,
        model: Model,
        info: OperatorInfo,
        names: dict[int, str],
        constants: dict[int, NDArray[np.float32]],
        writer: OnnxWriter,
        ledger: Ledger,
    ) -> None:
        self._model, self._names, self._ledger = model, names, ledger
        self.info, self.constants, self.writer = info, constants, writer
        if len(info.outputs) != 1:
            raise OperatorError(f"it has {len(info.outputs)} results", "convert it again")
        if len(info.inputs) > MOST_OPERANDS.get(info.name, len(info.inputs)):
            raise OperatorError(f"it has {len(info.inputs)} operands", "convert it again")

    @property
    def output(self) -> TensorInfo:
        return self._model.tensors[self.info.outputs[0]]

    @property
    def count(self) -> int:
        return len(self.info.inputs)

    def name(self, part: str = "") -> str:
        """Of a node: the number of the operator, which no other has."""
        return f"{self.info.name.lower()}_{self.info.number}{part and '_'}{part}"

    def given(self, number: int) -> bool:
        return number < self.count and self.info.inputs[number] >= 0

    def operand(self, number: int) -> TensorInfo:
        if not self.given(number):
            raise OperatorError(f"operand {number} is left out", "convert it again")
        return self._model.tensors[self.info.inputs[number]]

    def value(self, number: int) -> tuple[str, tuple[int, ...]]:
        """An operand that depends on the input, and its shape."""
        tensor = self.operand(number)
        if tensor.number not in self._names:
            raise OperatorError(f"operand {number} does not depend on the input", "convert it again")
        return self._names[tensor.number], real(tensor).shape

    def floats(self, number: int) -> NDArray[np.float32]:
        """A constant operand."""
        tensor = self.operand(number)
        self._ledger.allocate(8 * tensor.size)
        if tensor.number in self.constants:
            return self.constants[tensor.number]
        if tensor.number in self._names or tensor.data is None:
            raise OperatorError(f"operand {number} is no constant", "convert it with constant weights")
        return np.asarray(real(tensor).data, np.float32)

    def whole(self, number: int) -> list[int]:
        """A constant operand of a few integers."""
        tensor = self.operand(number)
        if tensor.data is None or tensor.kind not in ("INT32", "INT64") or tensor.size > 64:
            raise OperatorError(f"operand {number} is no constant of a few integers", "convert it again")
        return [int(part) for part in tensor.data.reshape(-1)]

    def either(self, number: int) -> tuple[str, tuple[int, ...]]:
        """An operand that is a value or a constant."""
        if self.given(number) and self.info.inputs[number] in self._names:
            return self.value(number)
        array = self.floats(number)
        return self.writer.constant(self.name(f"operand_{number}"), array), array.shape

    def activated(self, x: str, activation: int) -> str:
        """A value behind a fused activation."""
        if activation == NONE:
            return x
        if activation == RELU:
            return self.writer.relu(self.name("relu"), x)
        if activation not in _CLIPS:
            raise OperatorError(f"it carries activation {activation}", "known are none, ReLU, ReLU6 and ReLU -1 to 1")
        low, high = (self.writer.constant(f"clip_{end:g}", np.array(end, np.float32)) for end in _CLIPS[activation])
        return self.writer.node("Clip", self.name("clip"), [x, low, high])

    def is_result(self, x: str, shape: tuple[int, ...]) -> None:
        """Take a value of a shape for the result."""
        if real(self.output).shape != shape:
            raise OperatorError(f"a result of shape {self.output.shape} where it is {shape}", "convert it again")
        self._names[self.output.number] = x

    def reshaped(self, x: str, shape: tuple[int, ...], part: str) -> str:
        length = self.writer.integers(self.name(f"{part}_shape"), shape)
        return self.writer.node("Reshape", self.name(part), [x, length])


def _on_channels_first(
    call: Call, operator: str, operands: list[str], activation: int, shape: tuple[int, ...], **attributes: object
) -> None:
    """An operator on an image, whose result is ``shape`` with its channels last."""
    first = call.writer.node("Transpose", call.name("first"), operands[:1], perm=_FIRST)
    found = call.writer.node(operator, call.name(), [first, *operands[1:]], **attributes)
    last = call.writer.node("Transpose", call.name("last"), [found], perm=_LAST)
    call.is_result(call.activated(last, activation), shape)


def _image(call: Call) -> tuple[str, tuple[int, int, int]]:
    x, shape = call.value(0)
    if len(shape) != 4 or shape[0] != 1:
        raise OperatorError(f"an operand of shape {shape}", "convert it for one image of channels, batch size 1")
    return x, shape[1:]


def _windows(
    call: Call, extents: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[dict[str, list[int]], tuple[int, int]]:
    """Attributes of a window over an image, and rows and columns of the result."""
    positive(*stride, *dilation, *kernel)
    reach = tuple(spread * (size - 1) + 1 for spread, size in zip(dilation, kernel, strict=True))
    pads = padding_of(call.info.options.integer(0, "b"), extents, reach, stride)
    counts = [(n + sum(p) - r) // s + 1 for n, p, r, s in zip(extents, pads, reach, stride, strict=True)]
    if min(counts) < 1:
        raise OperatorError(f"a window of {kernel} on {extents}", "convert it again")
    ends = [pair[0] for pair in pads] + [pair[1] for pair in pads]
    return {"kernel_shape": list(kernel), "strides": list(stride), "pads": ends}, (counts[0], counts[1])


def _convolved(
    call: Call, weight: NDArray[np.float32], stride: tuple[int, int], dilation: tuple[int, int], groups: int, field: int
) -> None:
    """``weight`` is ``[out, in / groups, rows, columns]``; the activation is in a field of the options."""
    x, (height, width, _) = _image(call)
    kernel = (weight.shape[2], weight.shape[3])
    attributes, counts = _windows(call, (height, width), kernel, stride, dilation)
    operands = [x, call.writer.constant(call.name("weight"), weight)]
    if call.given(2):
        bias = call.floats(2)
        if bias.size != len(weight):
            raise OperatorError(f"its bias has shape {bias.shape} for {len(weight)} channels", "convert it again")
        operands.append(call.writer.constant(call.name("bias"), bias.reshape(-1)))
    activation = call.info.options.integer(field, "b")
    _on_channels_first(
        call,
        "Conv",
        operands,
        activation,
        (1, *counts, len(weight)),
        dilations=list(dilation),
        group=groups,
        **attributes,
    )


def _convolution(call: Call) -> None:
    options, weight = call.info.options, call.floats(1)
    _, (_, _, channels) = _image(call)
    if weight.ndim != 4 or weight.shape[3] != channels:
        raise OperatorError(f"weights {weight.shape} on {channels} channels", "known are convolutions of one group")
    stride = (options.integer(2, "i"), options.integer(1, "i"))
    dilation = (options.integer(5, "i", 1), options.integer(4, "i", 1))
    _convolved(call, weight.transpose(0, 3, 1, 2), stride, dilation, 1, 3)


def _depthwise(call: Call) -> None:
    options, weight = call.info.options, call.floats(1)
    _, (_, _, channels) = _image(call)
    multiplier = options.integer(3, "i")
    if weight.ndim != 4 or weight.shape[0] != 1 or weight.shape[3] != multiplier * channels or multiplier < 1:
        raise OperatorError(f"weights {weight.shape} with multiplier {multiplier} on {channels} channels")
    stride = (options.integer(2, "i"), options.integer(1, "i"))
    dilation = (options.integer(6, "i", 1), options.integer(5, "i", 1))
    _convolved(call, weight.transpose(3, 0, 1, 2), stride, dilation, channels, 4)


def _fully_connected(call: Call) -> None:
    (x, shape), options, weight = call.value(0), call.info.options, call.floats(1)
    if options.integer(1, "b"):
        raise OperatorError("its weights are shuffled", "convert it again")
    if weight.ndim != 2 or weight.shape[1] != math.prod(shape):
        raise OperatorError(f"weights {weight.shape} on {shape}", "known is one row, batch size 1")
    bias = call.floats(2).reshape(-1) if call.given(2) else np.zeros(len(weight), np.float32)
    if bias.size != len(weight):
        raise OperatorError(f"its bias has {bias.size} numbers for {len(weight)} outputs", "convert it again")
    row = call.reshaped(x, (1, weight.shape[1]), "row")
    found = call.activated(call.writer.linear(call.name(), row, weight, bias), options.integer(0, "b"))
    result = call.output.shape
    if call.output.size != len(weight) or result[-1:] != (len(weight),):
        raise OperatorError(f"a result of shape {result} for {len(weight)} outputs", "convert it again")
    call.is_result(call.reshaped(found, result, "result"), result)


def _pooled(operator: str) -> Callable[[Call], None]:
    def translate(call: Call) -> None:
        options = call.info.options
        x, (height, width, channels) = _image(call)
        stride = (options.integer(2, "i"), options.integer(1, "i"))
        kernel = (options.integer(4, "i"), options.integer(3, "i"))
        attributes, counts = _windows(call, (height, width), kernel, stride, (1, 1))
        _on_channels_first(call, operator, [x], options.integer(5, "b"), (1, *counts, channels), **attributes)

    return translate


def _mean(call: Call) -> None:
    (x, shape), axes = call.value(0), {axis % len(call.operand(0).shape) for axis in call.whole(1)}
    if any(not -len(shape) <= axis < len(shape) for axis in call.whole(1)):
        raise OperatorError(f"axes {sorted(axes)} of {shape}", "convert it again")
    keep = bool(call.info.options.integer(0, "B"))
    found = call.writer.node("ReduceMean", call.name(), [x], axes=sorted(axes), keepdims=int(keep))
    kept = [1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes]
    call.is_result(found, tuple(kept))


def _pairwise(operator: str) -> Callable[[Call], None]:
    def translate(call: Call) -> None:
        if call.count != 2:
            raise OperatorError(f"it has {call.count} operands", "convert it again")
        (x, first), (y, second) = call.either(0), call.either(1)
        found = call.writer.node(operator, call.name(), [x, y])
        activation = call.info.options.integer(0, "b")
        call.is_result(call.activated(found, activation), np.broadcast_shapes(first, second))

    return translate


def _pointwise(operator: str) -> Callable[[Call], None]:
    def translate(call: Call) -> None:
        x, shape = call.value(0)
        call.is_result(call.writer.node(operator, call.name(), [x]), shape)

    return translate


def _clipped(activation: int) -> Callable[[Call], None]:
    def translate(call: Call) -> None:
        x, shape = call.value(0)
        call.is_result(call.activated(x, activation), shape)

    return translate


def _softmax(call: Call) -> None:
    x, shape = call.value(0)
    if call.info.options.number(0, "f") != 1:
        raise OperatorError("a softmax whose beta is not 1", "convert it again")
    call.is_result(call.writer.node("Softmax", call.name(), [x], axis=len(shape) - 1), shape)


def _reshape(call: Call) -> None:
    """The shape that is asked for has to be that of the result's tensor, since runtimes take either."""
    (x, shape), result = call.value(0), call.output.shape
    if math.prod(shape) != math.prod(result):
        raise OperatorError(f"{shape} as {result}", "convert it for batch size 1")
    if call.info.name == "RESHAPE":
        asked = call.whole(1) if call.given(1) else [int(n) for n in call.info.options.vector(0, "<i4")]
        same = len(asked) == len(result) and all(a in (-1, n) for a, n in zip(asked, result, strict=True))
        if not same or asked.count(-1) > 1:
            raise OperatorError(f"a result of shape {result} where {tuple(asked)[:8]} is asked for", "convert it again")
    elif [n for n in shape if n != 1] != [n for n in result if n != 1]:
        raise OperatorError(f"{shape} as {result}", "convert it again")
    call.is_result(call.reshaped(x, result, "reshaped"), result)


def _dequantized(call: Call) -> None:
    """Weights that are stored as float16, which float32 holds."""
    tensor = call.operand(0)
    if tensor.kind != "FLOAT16" or tensor.data is None or real(call.output).shape != tensor.shape:
        raise OperatorError("what it takes is no constant of float16", "convert the network without quantization")
    call.constants[call.output.number] = tensor.data.astype(np.float32)


def _transpose(call: Call) -> None:
    (x, shape), axes = call.value(0), call.whole(1)
    if sorted(axes) != list(range(len(shape))):
        raise OperatorError(f"axes {axes} of a value {shape}", "convert it again")
    call.is_result(call.writer.node("Transpose", call.name(), [x], perm=axes), tuple(shape[axis] for axis in axes))


def _pad(call: Call) -> None:
    (x, shape), widths = call.value(0), call.whole(1)
    if call.count != 2 or len(widths) != 2 * len(shape) or min(widths) < 0:
        raise OperatorError(f"paddings {widths} of a value {shape}", "convert it again")
    ends = call.writer.integers(call.name("widths"), widths[::2] + widths[1::2])
    result = tuple(n + a + b for n, a, b in zip(shape, widths[::2], widths[1::2], strict=True))
    call.is_result(call.writer.node("Pad", call.name(), [x, ends], mode="constant"), result)


def _concatenation(call: Call) -> None:
    axis, parts = call.info.options.integer(0, "i"), [call.either(i) for i in range(call.count)]
    rank = len(call.output.shape)
    if not parts or not -rank <= axis < rank or any(len(shape) != rank for _, shape in parts):
        raise OperatorError(f"{len(parts)} values along axis {axis}", "convert it again")
    axis %= rank
    shapes = [shape for _, shape in parts]
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) != 1:
        raise OperatorError("its operands have different shapes", "convert it again")
    found = call.writer.node("Concat", call.name(), [x for x, _ in parts], axis=axis)
    result = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
    call.is_result(call.activated(found, call.info.options.integer(1, "b")), result)


OPERATORS: dict[str, Callable[[Call], None]] = {
    "ADD": _pairwise("Add"),
    "AVERAGE_POOL_2D": _pooled("AveragePool"),
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEQUANTIZE": _dequantized,
    "EXPAND_DIMS": _reshape,
    "FULLY_CONNECTED": _fully_connected,
    "LOGISTIC": _pointwise("Sigmoid"),
    "MAX_POOL_2D": _pooled("MaxPool"),
    "MEAN": _mean,
    "MUL": _pairwise("Mul"),
    "PAD": _pad,
    "RELU": _clipped(RELU),
    "RELU6": _clipped(RELU6),
    "RESHAPE": _reshape,
    "SOFTMAX": _softmax,
    "SQUEEZE": _reshape,
    "SUB": _pairwise("Sub"),
    "TANH": _pointwise("Tanh"),
    "TRANSPOSE": _transpose,
}
