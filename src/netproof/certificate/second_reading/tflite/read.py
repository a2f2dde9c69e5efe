"""The operators of a TensorFlow Lite file as affine maps and steps.

Values are codes less their zero points. Features of images lie with their channels first, as the graph that is compared has
them; ``order`` says where in the file's tensor each feature is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.second_reading.reading import Floats, Map, Reading, Steps, UnknownFormError, Wholes
from netproof.certificate.second_reading.tflite.buffer import File, Operation, Tensor, opened
from netproof.certificate.second_reading.tflite.rounding import Round, limits, of_change, of_product, of_sum

_Order = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Value:
    part: int
    tensor: Tensor
    order: _Order


def read_tflite(data: bytes, runtime: str) -> Reading:
    """The network in ``data`` as a runtime computes it, a final softmax left out; raises :class:`UnknownFormError`."""
    return _Reader(opened(data), runtime).read()


class _Reader:
    def __init__(self, file: File, runtime: str) -> None:
        self._file, self._runtime = file, runtime
        self._reading = Reading()
        self._values: dict[int, _Value] = {}

    def read(self) -> Reading:
        file, start = self._file, _codes(self._file.tensors[self._file.input])
        if start.data is not None:
            raise UnknownFormError("an input that is a constant")
        first = self._reading.add_input(start.size, -128, 127)
        zero = float(start.zero[0])
        less = self._reading.add_map(lambda x, absolute: x[0] if absolute else x[0] - zero, first)
        self._values[file.input] = _Value(less, start, np.arange(start.size))
        result = file.output
        for operation in file.operations:
            if operation.name == "SOFTMAX" and operation.output == result:
                result = operation.inputs[0]
                continue
            known = {
                "CONV_2D": self._convolution, "DEPTHWISE_CONV_2D": self._depthwise, "FULLY_CONNECTED": self._dense,
                "ADD": self._sum, "AVERAGE_POOL_2D": self._pool, "RESHAPE": self._reshape, "QUANTIZE": self._change,
            }  # fmt: skip
            if operation.name not in known:
                raise UnknownFormError(f"{operation.name} inside a network")
            tensor = _codes(file.tensors[operation.output])
            self._values[operation.output] = known[operation.name](operation, tensor)
        last = self._values[result]
        back, zero_out = np.argsort(last.order), float(last.tensor.zero[0])
        self._reading.output = self._reading.add_map(
            lambda x, absolute: x[0][:, back] if absolute else x[0][:, back] + zero_out, last.part
        )
        return self._reading

    def _tensor(self, operation: Operation, number: int) -> Tensor | None:
        index = operation.inputs[number] if number < len(operation.inputs) else -1
        return self._file.tensors[index] if index >= 0 else None

    def _constant(self, operation: Operation, number: int, kind: str) -> Tensor:
        tensor = self._tensor(operation, number)
        if tensor is None or tensor.data is None or tensor.kind != kind or any(tensor.zero):
            raise UnknownFormError(f"operand {number} of {operation.name}")
        return tensor

    def _channels_first(self, value: _Value) -> _Value:
        order = _first(value.tensor.shape)
        if np.array_equal(order, value.order):
            return value
        place = np.argsort(value.order)[order]
        moved = self._reading.add_map(lambda x, absolute: x[0][:, place], value.part)
        return _Value(moved, value.tensor, order)

    def _stepped(self, part: int, steps: Sequence[Round], output: Tensor, activation: int, order: _Order) -> _Value:
        zero = output.zero[0]
        low, high = limits(activation, self._runtime, output.scale[0], zero)

        def clamped(one: Round) -> Steps:
            def step(sums: Wholes) -> Wholes:
                found = [max(low - zero, min(high - zero, one(int(value)))) for value in sums.tolist()]
                return np.array(found, dtype=object)

            return step

        return _Value(self._reading.add_steps([clamped(one) for one in steps], part), output, order)

    def _product(self, operation: Operation, value: _Value, output: Tensor, map_: Map, activation: int) -> _Value:
        weight = self._constant(operation, 1, "<i1")
        dense = operation.name == "FULLY_CONNECTED"
        several = len(weight.scale) > 1
        rounds = [
            of_product(self._runtime, dense, several, value.tensor.scale[0], scale, output.scale[0])
            for scale in weight.scale
        ]
        order = np.arange(output.size) if dense else _first(output.shape)
        outputs = output.size if dense else output.shape[3]
        if several and len(weight.scale) != outputs:
            raise UnknownFormError(f"{len(weight.scale)} scales of {outputs} outputs")
        return self._stepped(self._reading.add_map(map_, value.part), rounds, output, activation, order)

    def _bias(self, operation: Operation, outputs: int) -> Floats:
        if self._tensor(operation, 2) is None:
            return np.zeros(outputs)
        data = self._constant(operation, 2, "<i4").data
        assert data is not None
        return data.reshape(outputs).astype(np.float64)

    def _dense(self, operation: Operation, output: Tensor) -> _Value:
        value, weight = self._values[operation.inputs[0]], self._constant(operation, 1, "<i1").data
        assert weight is not None
        if operation.option(1, "b"):
            raise UnknownFormError("shuffled weights")
        matrix, bias = weight[:, value.order].astype(np.float64), self._bias(operation, len(weight))

        def map_(x: Sequence[Floats], absolute: bool) -> Floats:
            return np.asarray(x[0] @ (np.abs(matrix).T if absolute else matrix.T) + (0 if absolute else bias))

        return self._product(operation, value, output, map_, operation.option(0, "b"))

    def _windows(
        self, operation: Operation, value: _Value, kernel: tuple[int, int], dilation: tuple[int, int]
    ) -> _Windows:
        padding, stride = operation.option(0, "b"), (operation.option(2, "i"), operation.option(1, "i"))
        if padding not in (0, 1):
            raise UnknownFormError(f"padding {padding}")
        return _Windows.of(value.tensor.shape, kernel, stride, dilation, same=padding == 0)

    def _convolution(self, operation: Operation, output: Tensor) -> _Value:
        value = self._channels_first(self._values[operation.inputs[0]])
        weight = self._constant(operation, 1, "<i1").data
        assert weight is not None
        dilation = (operation.option(5, "i", 1), operation.option(4, "i", 1))
        windows = self._windows(operation, value, (weight.shape[1], weight.shape[2]), dilation)
        numbers, bias = weight.astype(np.float64), self._bias(operation, len(weight))
        if numbers.shape[3] != windows.channels:
            raise UnknownFormError("a convolution in groups")

        def map_(x: Sequence[Floats], absolute: bool) -> Floats:
            kernel = np.abs(numbers) if absolute else numbers
            total = sum(np.einsum("bcij,oc->boij", patch, kernel[:, i, j]) for (i, j), patch in windows.patches(x[0]))
            return _flat(total if absolute else total + bias[:, None, None])

        return self._product(operation, value, output, map_, operation.option(3, "b"))

    def _depthwise(self, operation: Operation, output: Tensor) -> _Value:
        value = self._channels_first(self._values[operation.inputs[0]])
        weight = self._constant(operation, 1, "<i1").data
        assert weight is not None
        dilation = (operation.option(6, "i", 1), operation.option(5, "i", 1))
        windows = self._windows(operation, value, (weight.shape[1], weight.shape[2]), dilation)
        outputs = weight.shape[3]
        numbers, bias = weight[0].astype(np.float64), self._bias(operation, outputs)
        of = np.arange(outputs) // (outputs // windows.channels)

        def map_(x: Sequence[Floats], absolute: bool) -> Floats:
            kernel = np.abs(numbers) if absolute else numbers
            total = sum(patch[:, of] * kernel[i, j][:, None, None] for (i, j), patch in windows.patches(x[0]))
            return _flat(total if absolute else total + bias[:, None, None])

        return self._product(operation, value, output, map_, operation.option(4, "b"))

    def _pool(self, operation: Operation, output: Tensor) -> _Value:
        value = self._channels_first(self._values[operation.inputs[0]])
        _equal(value.tensor, output)
        kernel = (operation.option(4, "i"), operation.option(3, "i"))
        windows = self._windows(operation, value, kernel, (1, 1))
        inside = sum(patch for _, patch in windows.patches(np.ones((1, value.tensor.size))))
        counts = np.asarray(inside)[0, 0].reshape(-1).astype(np.int64)
        # In all features alike where all windows have as many places.
        each = counts[:1] if bool((counts == counts[0]).all()) else np.tile(counts, windows.channels)

        def map_(x: Sequence[Floats], absolute: bool) -> Floats:
            return _flat(sum(patch for _, patch in windows.patches(x[0])))

        def mean(count: int) -> Round:
            zero = output.zero[0]

            def of(total: int) -> int:
                raw = total + count * zero
                size = (abs(raw) + count // 2) // count
                return (size if raw >= 0 else -size) - zero

            return of

        total = self._reading.add_map(map_, value.part)
        # Whoever fuses one here clamps as kernels of the library itself do.
        rounds = [mean(int(count)) for count in each]
        if self._runtime == "xnnpack" and operation.option(5, "b") > 1:
            raise UnknownFormError("an average with a fused ReLU6")
        return self._stepped(total, rounds, output, operation.option(5, "b"), _first(output.shape))

    def _change(self, operation: Operation, output: Tensor) -> _Value:
        value = self._values[operation.inputs[0]]
        rule = of_change(self._runtime, value.tensor.scale[0], output.scale[0])
        return self._stepped(value.part, [rule], output, 0, value.order)

    def _reshape(self, operation: Operation, output: Tensor) -> _Value:
        value = self._values[operation.inputs[0]]
        _equal(value.tensor, output)
        # Runtimes differ in whether they take this shape or the one of the result.
        if self._tensor(operation, 1) is not None:
            data = self._constant(operation, 1, "<i4").data
            asked = [] if data is None else data.tolist()
        else:
            asked = [] if operation.options is None else operation.options.array(0, "<i4").tolist()
        if value.tensor.size != output.size or _completed(asked, output.size) != output.shape:
            raise UnknownFormError("a reshape to another shape than that of its result")
        return _Value(value.part, output, value.order)

    def _sum(self, operation: Operation, output: Tensor) -> _Value:
        if not all(number in self._values for number in operation.inputs):
            raise UnknownFormError("a sum with a constant")
        a, b = (self._values[number] for number in operation.inputs)
        if a.tensor.shape != b.tensor.shape:
            raise UnknownFormError("a sum of values of two shapes")
        if not np.array_equal(a.order, b.order):
            place = np.argsort(b.order)[a.order]
            b = _Value(self._reading.add_map(lambda x, absolute: x[0][:, place], b.part), b.tensor, a.order)
        rule = of_sum(self._runtime, a.tensor.scale[0], b.tensor.scale[0], output.scale[0])
        zero = output.zero[0]
        low, high = limits(operation.option(0, "b"), self._runtime, output.scale[0], zero)

        def both(x: int, y: int) -> int:
            return max(low - zero, min(high - zero, rule(x, y)))

        return _Value(self._reading.add_pair(both, a.part, b.part), output, a.order)


@dataclass(frozen=True)
class _Windows:
    """Places of an image that windows take."""

    channels: int
    extents: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]
    results: tuple[int, int]

    @classmethod
    def of(
        cls,
        shape: tuple[int, ...],
        kernel: Sequence[int],
        stride: tuple[int, int],
        dilation: tuple[int, int],
        same: bool,
    ) -> _Windows:
        _, *extents, channels = shape
        reach = [(size - 1) * spread + 1 for size, spread in zip(kernel, dilation, strict=True)]
        if same:
            results = [-(-extent // step) for extent, step in zip(extents, stride, strict=True)]
            missing = [
                max(0, (count - 1) * step + size - extent)
                for count, step, size, extent in zip(results, stride, reach, extents, strict=True)
            ]
        else:
            results = [(extent - size) // step + 1 for extent, size, step in zip(extents, reach, stride, strict=True)]
            missing = [0, 0]
        return cls(
            channels, (extents[0], extents[1]), (kernel[0], kernel[1]), stride, dilation,
            (missing[0] // 2, missing[1] // 2), (results[0], results[1]),
        )  # fmt: skip

    def patches(self, x: Floats) -> list[tuple[tuple[int, int], Floats]]:
        """For each place of the kernel what it meets, ``[B, channels, rows, columns]`` of the results."""
        image = x.reshape(len(x), self.channels, *self.extents)
        ends = [
            (count - 1) * step + (size - 1) * spread + 1
            for count, step, size, spread in zip(self.results, self.stride, self.kernel, self.dilation, strict=True)
        ]
        after = [
            max(0, end - extent - first) for end, extent, first in zip(ends, self.extents, self.before, strict=True)
        ]
        padded = np.pad(image, ((0, 0), (0, 0), (self.before[0], after[0]), (self.before[1], after[1])))
        found = []
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                rows, columns = (
                    slice(at * spread, at * spread + (count - 1) * step + 1, step)
                    for at, spread, count, step in zip((i, j), self.dilation, self.results, self.stride, strict=True)
                )
                found.append(((i, j), padded[:, :, rows, columns]))
        return found


def _first(shape: tuple[int, ...]) -> _Order:
    found: _Order = np.arange(math.prod(shape)).reshape(shape).transpose(0, 3, 1, 2).reshape(-1)
    return found


def _completed(shape: list[int], size: int) -> tuple[int, ...]:
    """A shape one of whose extents may be left open, as -1."""
    known = math.prod(extent for extent in shape if extent != -1)
    return tuple(extent if extent != -1 else size // max(1, known) for extent in shape)


def _flat(image: object) -> Floats:
    found = np.asarray(image, np.float64)
    return np.ascontiguousarray(found.reshape(len(found), -1))


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


def _equal(one: Tensor, other: Tensor) -> None:
    if one.scale[0] != other.scale[0] or one.zero != other.zero:
        raise UnknownFormError("a value that is moved to another scale")
