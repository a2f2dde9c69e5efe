"""The operators of a TensorFlow Lite file as affine maps and steps.

Values are codes less their zero points. Features of images lie with their channels first, as the graph that is compared has
them; ``order`` says where in the file's tensor each feature is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from netproof.certificate.second_reading.reading import Reading, Steps, UnknownFormError, Wholes
from netproof.certificate.second_reading.tflite.buffer import File, Operation, Tensor, opened
from netproof.certificate.second_reading.tflite.moving import MOVING
from netproof.certificate.second_reading.tflite.pointwise import POINTWISE
from netproof.certificate.second_reading.tflite.products import PRODUCTS
from netproof.certificate.second_reading.tflite.rounding import Round, limits
from netproof.certificate.second_reading.tflite.values import Order, Value, Windows, channels_first

_OPERATORS = {**MOVING, **POINTWISE, **PRODUCTS}
#: how many operands each may have; those of a concatenation are not counted
_MOST_OPERANDS = {
    "ADD": 2, "AVERAGE_POOL_2D": 1, "CONCATENATION": 1 << 8, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "EXPAND_DIMS": 2,
    "FULLY_CONNECTED": 3, "LOGISTIC": 1, "MAX_POOL_2D": 1, "MEAN": 2, "MUL": 2, "PAD": 2, "QUANTIZE": 1, "RELU": 1,
    "RELU6": 1, "RESHAPE": 2, "SQUEEZE": 1, "SUB": 2, "TANH": 1, "TRANSPOSE": 2,
}  # fmt: skip


def read_tflite(data: bytes, runtime: str, deadline: float = math.inf) -> Reading:
    """The network in ``data`` as a runtime computes it, a final softmax left out; raises :class:`UnknownFormError`."""
    return Reader(opened(data), runtime, deadline).read()


#: operators that are known on codes of 16 bits, which all runtimes have that compute with them at all
_OF_16_BITS = frozenset(
    (
        *MOVING,
        "ADD",
        "AVERAGE_POOL_2D",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "MEAN",
        "MUL",
        "QUANTIZE",
        "RELU",
        "RELU6",
        "SUB",
    )
)


class Reader:
    def __init__(self, file: File, runtime: str, deadline: float = math.inf) -> None:
        self.file, self.runtime = file, runtime
        self.reading = Reading(deadline=deadline)
        self.values: dict[int, Value] = {}

    def read(self) -> Reading:
        file, start = self.file, _codes(self.file.tensors[self.file.input])
        if start.data is not None:
            raise UnknownFormError("an input that is a constant")
        given = [operation.output for operation in file.operations]
        if len({*given, file.input}) <= len(given) or any(file.tensors[k].data is not None for k in given):
            raise UnknownFormError("a tensor that two operators give, or that is the input or a constant besides")
        first = self.reading.add_input(start.size, *start.ends)
        zero = float(start.zero[0])
        less = self.reading.add_map(lambda x, absolute: x[0] if absolute else x[0] - zero, first)
        self.values[file.input] = Value(less, start, np.arange(start.size))
        result = file.output
        for operation in file.operations:
            tensor = _codes(file.tensors[operation.output])
            if operation.name == "SOFTMAX" and operation.output == result:
                result = operation.inputs[0]
                if not tensor.size == tensor.shape[-1] == self.values[result].tensor.size:
                    raise UnknownFormError("a SOFTMAX of several rows")
                continue
            self.values[operation.output] = self._value(operation, tensor)
        last = self.values[result]
        back, part = np.argsort(last.order), last.part
        if not np.array_equal(back, np.arange(back.size)):
            part = self.reading.add_map(lambda x, _: x[0][:, back], part)
        self.reading.end(part, int(last.tensor.zero[0]))
        return self.reading

    def _value(self, operation: Operation, output: Tensor) -> Value:
        if operation.name not in _OPERATORS:
            raise UnknownFormError(f"{operation.name} inside a network")
        if len(operation.inputs) > _MOST_OPERANDS[operation.name]:
            raise UnknownFormError(f"{operation.name} of {len(operation.inputs)} operands")
        if self.runtime == "xnnpack":
            self._check_taken(operation, output)
        taken = [self.values[index].tensor.kind for index in operation.inputs if index in self.values]
        if "<i2" in (output.kind, *taken) and (operation.name not in _OF_16_BITS or self.runtime == "xnnpack"):
            raise UnknownFormError(f"{operation.name} of codes of 16 bits for '{self.runtime[:40]}'")
        if operation.name != "QUANTIZE" and any(kind != output.kind for kind in taken):
            raise UnknownFormError(f"{operation.name} of a value of another type than its result")
        return _OPERATORS[operation.name](self, operation, output)

    def _check_taken(self, operation: Operation, output: Tensor) -> None:
        """Refuse what the delegate of ``xnnpack`` declines: it is computed by kernels that round in another way."""
        tensors = [None if index < 0 else self.file.tensors[index] for index in operation.inputs]
        dense = operation.name == "FULLY_CONNECTED"
        if dense or operation.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            bias = tensors[2] if len(tensors) > 2 else None
            if bias is not None and (not len(bias.scale) or len(bias.shape) != 1):
                raise UnknownFormError(f"{operation.name} with a bias that has no scale, or more than one axis")
            if tensors[1] is not None and tensors[1].kind == "<i1":
                tensors[1] = None
        along = [one for one in (*tensors, output) if one is not None and one.kind in ("<i1", "<u1") and one.axis]
        if along or (dense and operation.version == 8):
            raise UnknownFormError(f"{operation.name} as the delegate does not take it")

    def value(self, operation: Operation, number: int) -> Value:
        """An operand that depends on the input."""
        found = self.values.get(operation.inputs[number])
        if found is None:
            raise UnknownFormError(f"operand {number} of {operation.name}")
        return found

    def tensor(self, operation: Operation, number: int) -> Tensor | None:
        index = operation.inputs[number] if number < len(operation.inputs) else -1
        return self.file.tensors[index] if index >= 0 else None

    def constant(self, operation: Operation, number: int, kind: str) -> Tensor:
        tensor = self.tensor(operation, number)
        if tensor is None or tensor.data is None or tensor.kind != kind or any(tensor.zero):
            raise UnknownFormError(f"operand {number} of {operation.name}")
        return tensor

    def with_channels_first(self, value: Value) -> Value:
        order = channels_first(value.tensor.shape)
        if np.array_equal(order, value.order):
            return value
        place = np.argsort(value.order)[order]
        moved = self.reading.add_map(lambda x, absolute: x[0][:, place], value.part)
        return Value(moved, value.tensor, order)

    def windows(
        self, operation: Operation, value: Value, kernel: tuple[int, ...], dilation: tuple[int, int]
    ) -> Windows:
        padding, stride = operation.option(0, "b"), (operation.option(2, "i"), operation.option(1, "i"))
        if padding not in (0, 1):
            raise UnknownFormError(f"padding {padding}")
        if min(*kernel, *stride, *dilation) < 1:
            raise UnknownFormError(f"a window of {kernel}, {stride} apart, {dilation} wide")
        return Windows.of(value.tensor.shape, kernel, stride, dilation, same=padding == 0)

    def stepped(
        self,
        part: int,
        steps: Sequence[Round],
        output: Tensor,
        activation: int,
        order: Order,
        runtime: str | None = None,
    ) -> Value:
        """Steps for each channel, and what an activation leaves of them; ``runtime`` is the one that clamps, if it is another."""
        zero = output.zero[0]
        low, high = limits(activation, runtime or self.runtime, output)

        def clamped(one: Round) -> Steps:
            def step(sums: Wholes) -> Wholes:
                found = [max(low - zero, min(high - zero, one(int(value)))) for value in sums.tolist()]
                return np.array(found, dtype=object)

            return step

        return Value(self.reading.add_steps([clamped(one) for one in steps], part), output, order)


def _codes(tensor: Tensor) -> Tensor:
    least, largest = tensor.ends
    if (
        len(tensor.scale) != 1
        or len(tensor.zero) != 1
        or not least <= tensor.zero[0] <= largest
        or (tensor.kind == "<i2" and tensor.zero[0] != 0)
        or not tensor.shape
        or tensor.shape[0] != 1
    ):
        raise UnknownFormError("a tensor that is not quantized with one scale, for one input")
    return tensor
