"""The operators of a TensorFlow Lite file as affine maps and steps.

Values are codes less their zero points. Features of images lie with their channels first, as the graph that is compared has
them; ``order`` says where in the file's tensor each feature is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from netproof.certificate.second_reading.reading import Floats, Map, Reading, Steps, UnknownFormError, Wholes
from netproof.certificate.second_reading.tflite.buffer import File, Operation, Tensor, opened
from netproof.certificate.second_reading.tflite.moving import MOVING
from netproof.certificate.second_reading.tflite.pointwise import POINTWISE
from netproof.certificate.second_reading.tflite.rounding import Round, limits, of_change, of_product
from netproof.certificate.second_reading.tflite.values import Order, Value, Windows, channels_first, flat, same_codes


def read_tflite(data: bytes, runtime: str, deadline: float = math.inf) -> Reading:
    """The network in ``data`` as a runtime computes it, a final softmax left out; raises :class:`UnknownFormError`."""
    return Reader(opened(data), runtime, deadline).read()


class Reader:
    def __init__(self, file: File, runtime: str, deadline: float = math.inf) -> None:
        self.file, self.runtime = file, runtime
        self.reading = Reading(deadline=deadline)
        self.values: dict[int, Value] = {}

    def read(self) -> Reading:
        file, start = self.file, _codes(self.file.tensors[self.file.input])
        if start.data is not None:
            raise UnknownFormError("an input that is a constant")
        first = self.reading.add_input(start.size, -128, 127)
        zero = float(start.zero[0])
        less = self.reading.add_map(lambda x, absolute: x[0] if absolute else x[0] - zero, first)
        self.values[file.input] = Value(less, start, np.arange(start.size))
        result = file.output
        for operation in file.operations:
            if operation.name == "SOFTMAX" and operation.output == result:
                result = operation.inputs[0]
                continue
            tensor = _codes(file.tensors[operation.output])
            self.values[operation.output] = self._value(operation, tensor)
        last = self.values[result]
        back, part = np.argsort(last.order), last.part
        if not np.array_equal(back, np.arange(back.size)):
            part = self.reading.add_map(lambda x, _: x[0][:, back], part)
        self.reading.end(part, int(last.tensor.zero[0]))
        return self.reading

    def _value(self, operation: Operation, output: Tensor) -> Value:
        known = {
            "CONV_2D": self._convolution, "DEPTHWISE_CONV_2D": self._depthwise, "FULLY_CONNECTED": self._dense,
            "AVERAGE_POOL_2D": self._pool, "QUANTIZE": self._change,
        }  # fmt: skip
        if operation.name in known:
            return known[operation.name](operation, output)
        others = {**MOVING, **POINTWISE}
        if operation.name not in others:
            raise UnknownFormError(f"{operation.name} inside a network")
        return others[operation.name](self, operation, output)

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

    def stepped(self, part: int, steps: Sequence[Round], output: Tensor, activation: int, order: Order) -> Value:
        zero = output.zero[0]
        low, high = limits(activation, self.runtime, output.scale[0], zero)

        def clamped(one: Round) -> Steps:
            def step(sums: Wholes) -> Wholes:
                found = [max(low - zero, min(high - zero, one(int(value)))) for value in sums.tolist()]
                return np.array(found, dtype=object)

            return step

        return Value(self.reading.add_steps([clamped(one) for one in steps], part), output, order)

    def _product(self, operation: Operation, value: Value, output: Tensor, map_: Map, activation: int) -> Value:
        weight = self.constant(operation, 1, "<i1")
        dense = operation.name == "FULLY_CONNECTED"
        several = len(weight.scale) > 1
        rounds = [
            of_product(self.runtime, dense, several, value.tensor.scale[0], scale, output.scale[0])
            for scale in weight.scale
        ]
        order = np.arange(output.size) if dense else channels_first(output.shape)
        outputs = output.size if dense else output.shape[3]
        if several and len(weight.scale) != outputs:
            raise UnknownFormError(f"{len(weight.scale)} scales of {outputs} outputs")
        return self.stepped(self.reading.add_map(map_, value.part), rounds, output, activation, order)

    def _bias(self, operation: Operation, outputs: int) -> Floats:
        if self.tensor(operation, 2) is None:
            return np.zeros(outputs)
        data = self.constant(operation, 2, "<i4").data
        assert data is not None
        return data.reshape(outputs).astype(np.float64)

    def _dense(self, operation: Operation, output: Tensor) -> Value:
        value, weight = self.values[operation.inputs[0]], self.constant(operation, 1, "<i1").data
        assert weight is not None
        if operation.option(1, "b"):
            raise UnknownFormError("shuffled weights")
        matrix, bias = weight[:, value.order].astype(np.float64), self._bias(operation, len(weight))

        def map_(x: Sequence[Floats], absolute: bool) -> Floats:
            return np.asarray(x[0] @ (np.abs(matrix).T if absolute else matrix.T) + (0 if absolute else bias))

        return self._product(operation, value, output, map_, operation.option(0, "b"))

    def windows(
        self, operation: Operation, value: Value, kernel: tuple[int, int], dilation: tuple[int, int]
    ) -> Windows:
        padding, stride = operation.option(0, "b"), (operation.option(2, "i"), operation.option(1, "i"))
        if padding not in (0, 1):
            raise UnknownFormError(f"padding {padding}")
        return Windows.of(value.tensor.shape, kernel, stride, dilation, same=padding == 0)

    def _convolution(self, operation: Operation, output: Tensor) -> Value:
        value = self.with_channels_first(self.values[operation.inputs[0]])
        weight = self.constant(operation, 1, "<i1").data
        assert weight is not None
        dilation = (operation.option(5, "i", 1), operation.option(4, "i", 1))
        windows = self.windows(operation, value, (weight.shape[1], weight.shape[2]), dilation)
        numbers, bias = weight.astype(np.float64), self._bias(operation, len(weight))
        if numbers.shape[3] != windows.channels:
            raise UnknownFormError("a convolution in groups")

        def map_(x: Sequence[Floats], absolute: bool) -> Floats:
            kernel = np.abs(numbers) if absolute else numbers
            total = sum(np.einsum("bcij,oc->boij", patch, kernel[:, i, j]) for (i, j), patch in windows.patches(x[0]))
            return flat(total if absolute else total + bias[:, None, None])

        return self._product(operation, value, output, map_, operation.option(3, "b"))

    def _depthwise(self, operation: Operation, output: Tensor) -> Value:
        value = self.with_channels_first(self.values[operation.inputs[0]])
        weight = self.constant(operation, 1, "<i1").data
        assert weight is not None
        dilation = (operation.option(6, "i", 1), operation.option(5, "i", 1))
        windows = self.windows(operation, value, (weight.shape[1], weight.shape[2]), dilation)
        outputs = weight.shape[3]
        numbers, bias = weight[0].astype(np.float64), self._bias(operation, outputs)
        of = np.arange(outputs) // (outputs // windows.channels)

        def map_(x: Sequence[Floats], absolute: bool) -> Floats:
            kernel = np.abs(numbers) if absolute else numbers
            total = sum(patch[:, of] * kernel[i, j][:, None, None] for (i, j), patch in windows.patches(x[0]))
            return flat(total if absolute else total + bias[:, None, None])

        return self._product(operation, value, output, map_, operation.option(4, "b"))

    def _pool(self, operation: Operation, output: Tensor) -> Value:
        value = self.with_channels_first(self.values[operation.inputs[0]])
        same_codes(value.tensor, output)
        kernel = (operation.option(4, "i"), operation.option(3, "i"))
        windows = self.windows(operation, value, kernel, (1, 1))
        inside = sum(patch for _, patch in windows.patches(np.ones((1, value.tensor.size))))
        counts = np.asarray(inside)[0, 0].reshape(-1).astype(np.int64)
        # In all features alike where all windows have as many places.
        each = counts[:1] if bool((counts == counts[0]).all()) else np.tile(counts, windows.channels)

        def map_(x: Sequence[Floats], absolute: bool) -> Floats:
            return flat(sum(patch for _, patch in windows.patches(x[0])))

        def mean(count: int) -> Round:
            zero = output.zero[0]

            def of(total: int) -> int:
                raw = total + count * zero
                size = (abs(raw) + count // 2) // count
                return (size if raw >= 0 else -size) - zero

            return of

        total = self.reading.add_map(map_, value.part)
        # Whoever fuses one here clamps as kernels of the library itself do.
        rounds = [mean(int(count)) for count in each]
        if self.runtime == "xnnpack" and operation.option(5, "b") > 1:
            raise UnknownFormError("an average with a fused ReLU6")
        return self.stepped(total, rounds, output, operation.option(5, "b"), channels_first(output.shape))

    def _change(self, operation: Operation, output: Tensor) -> Value:
        value = self.values[operation.inputs[0]]
        rule = of_change(self.runtime, value.tensor.scale[0], output.scale[0])
        return self.stepped(value.part, [rule], output, 0, value.order)


def _codes(tensor: Tensor) -> Tensor:
    if (
        tensor.kind != "<i1"
        or len(tensor.scale) != 1
        or len(tensor.zero) != 1
        or not tensor.shape
        or tensor.shape[0] != 1
    ):
        raise UnknownFormError("a tensor that is not quantized to 8 bits with one scale, for one input")
    return tensor
