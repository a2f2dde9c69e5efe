"""Random small networks in TensorFlow Lite files: every operator that is read, ties, zero points, saturation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tflite_files import TFLiteFile

SAME, VALID = 0, 1


@dataclass
class _Value:
    number: int
    shape: tuple[int, ...]
    scale: float
    zero: int


class RandomNetwork:
    """A chain of random operators with skips, written to a file.

    Parameters
    ----------
    seed : the same one gives the same file
    kinds : operators to draw from, by name; all by default
    codes : type of the activations
    """

    def __init__(self, seed: int, kinds: tuple[str, ...] = (), codes: str = "int8") -> None:
        self.codes = codes
        self.least, self.largest = (int(end) for end in (np.iinfo(codes).min, np.iinfo(codes).max))
        self.rng = np.random.default_rng(seed)
        self.file = TFLiteFile()
        self._kinds = kinds
        #: scales are powers of 2 or random: sums hit halves exactly only with the first
        self._ties = bool(self.rng.random() < 0.4)

    def bytes(self) -> bytes:
        rng = self.rng
        shape = (1, *(int(rng.integers(2, 7)) for _ in range(2)), int(rng.integers(1, 4)))
        scale, zero = self._scale(), self._zero()
        start = _Value(self._tensor(shape, scale, zero), shape, scale, zero)
        value, made = start, 0
        while made < rng.integers(1, 5):
            value = self._step(value)
            made += 1
        if len(value.shape) == 4:
            value = self._dense(value)
        if rng.random() < 0.3 and self.codes != "int16":
            output = self._tensor(value.shape, 1 / 256, self.least)
            beta = float(rng.choice([1.0, 0.5, 2.0]))
            self.file.operator("SOFTMAX", [value.number], [output], {0: ("f", beta)})
            return self.file.bytes(start.number, output)
        return self.file.bytes(start.number, value.number)

    # -- numbers

    def _scale(self) -> float:
        exponent = int(self.rng.integers(-9, 3))
        return float(2.0**exponent if self._ties else np.float32(2.0 ** (exponent + self.rng.random())))

    def _zero(self) -> int:
        if self.codes == "int16":
            return 0
        least, largest = self.least, self.largest
        return int(self.rng.choice([least, largest, 0, int(self.rng.integers(least, largest + 1))]))

    def _tensor(self, shape: tuple[int, ...], scale: float, zero: int) -> int:
        return self.file.tensor(shape, scale, zero, kind=self.codes)

    def _near(self, scale: float) -> float:
        """A scale for what takes about so large steps."""
        if self._ties:
            return float(2.0 ** int(np.rint(np.log2(scale) + self.rng.normal(0, 1))))
        return float(np.float32(scale * np.exp(self.rng.normal(0, 0.7))))

    def _activation(self, zero: int) -> tuple[str, float]:
        # With the largest code for a zero point an activation leaves nothing else.
        return "b", float(self.rng.choice([0, 0, 1, 2, 3])) if zero < self.largest - 7 else 0.0

    # -- operators

    def _step(self, value: _Value) -> _Value:
        image = {
            "conv": self._conv, "depthwise": self._depthwise, "average": self._average, "max": self._max, "pad": self._pad,
            "add": self._add, "sub": self._sub, "mul": self._mul, "quantize": self._quantize, "relu": self._relu,
            "concat": self._concat, "curve": self._curve, "transpose": self._transpose, "mean": self._mean,
        }  # fmt: skip
        flat = {
            "dense": self._dense, "add": self._add, "sub": self._sub, "mul": self._mul, "quantize": self._quantize,
            "relu": self._relu, "concat": self._concat, "curve": self._curve,
        }  # fmt: skip
        known = image if len(value.shape) == 4 else flat
        usable = [kind for kind in known if not self._kinds or kind in self._kinds] or ["dense"]
        return known.get(str(self.rng.choice(usable)), self._dense)(value)

    def _weights(self, shape: tuple[int, ...], channels: int, axis: int) -> tuple[int, np.ndarray]:
        rng = self.rng
        if self.codes == "uint8":
            array = rng.integers(0, 256, shape).astype(np.uint8)
            scales = np.array([self._scale()], np.float32)
            return self.file.constant(array, scales, int(rng.choice([0, 255, rng.integers(0, 256), 128]))), scales
        array = rng.integers(-127, 128, shape).astype(np.int8)
        if rng.random() < 0.2:
            array = np.where(rng.random(shape) < 0.5, -127, 127).astype(np.int8)
        per_channel = rng.random() < 0.6
        scales = np.array([self._scale() for _ in range(channels if per_channel else 1)], np.float32)
        return self.file.constant(array, scales, axis=axis), scales

    def _product(
        self, name: str, value: _Value, weight: tuple[int, tuple[int, ...], int], options: dict, shape: tuple[int, ...]
    ) -> _Value:
        rng = self.rng
        number, kernel, axis = weight
        channels = kernel[axis]
        tensor = self.file.tensors[number]
        scales = np.atleast_1d(np.asarray(tensor["scale"], np.float32))
        terms = int(np.prod(kernel)) // channels
        spread = value.scale * float(scales.mean()) * 73 * 74 * np.sqrt(terms)
        scale, zero = self._near(spread / 50), self._zero()
        bias = rng.integers(-2000, 2000, channels).astype(np.int64 if self.codes == "int16" else np.int32)
        inputs = [value.number, number]
        if name != "FULLY_CONNECTED" or rng.random() < 0.8 or self.codes == "int16":
            inputs.append(self.file.constant(bias, (np.float32(value.scale) * scales).astype(np.float32), 0))
        else:
            inputs.append(-1)
        output = self._tensor(shape, scale, zero)
        # The activation is drawn when the zero point is known.
        options = {n: self._activation(zero) if part == ("b", -1) else part for n, part in options.items()}
        self.file.operator(name, inputs, [output], options)
        return _Value(output, shape, scale, zero)

    def _window(self, value: _Value) -> tuple[int, int, int, int, int, int, int, int, int]:
        """Padding, strides, dilations, kernel, and the extents of the result."""
        rng = self.rng
        _, height, width, _ = value.shape
        padding = int(rng.integers(0, 2))
        kernel = [int(rng.integers(1, min(4, extent + 1))) for extent in (height, width)]
        stride = [int(rng.integers(1, 3)) for _ in range(2)]
        dilation = [1, 1]
        if stride == [1, 1] and rng.random() < 0.3:
            dilation = [2 if (k - 1) * 2 + 1 <= n else 1 for k, n in zip(kernel, (height, width), strict=True)]
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        extents = [
            -(-n // s) if padding == SAME else (n - r) // s + 1
            for n, s, r in zip((height, width), stride, reach, strict=True)
        ]
        return padding, *stride, *dilation, *kernel, *extents

    def _conv(self, value: _Value) -> _Value:
        padding, sh, sw, dh, dw, kh, kw, height, width = self._window(value)
        channels = int(self.rng.integers(1, 5))
        kernel = (channels, kh, kw, value.shape[3])
        weight, _ = self._weights(kernel, channels, 0)
        options = {0: ("b", padding), 1: ("i", sw), 2: ("i", sh), 4: ("i", dw), 5: ("i", dh)}
        return self._product(
            "CONV_2D", value, (weight, kernel, 0), options | {3: ("b", -1)}, (1, height, width, channels)
        )

    def _depthwise(self, value: _Value) -> _Value:
        padding, sh, sw, dh, dw, kh, kw, height, width = self._window(value)
        multiplier = int(self.rng.choice([1, 1, 2, 3]))
        channels = value.shape[3] * multiplier
        kernel = (1, kh, kw, channels)
        weight, _ = self._weights(kernel, channels, 3)
        options = {
            0: ("b", padding), 1: ("i", sw), 2: ("i", sh), 3: ("i", multiplier), 4: ("b", -1), 5: ("i", dw),
            6: ("i", dh),
        }  # fmt: skip
        return self._product("DEPTHWISE_CONV_2D", value, (weight, kernel, 3), options, (1, height, width, channels))

    def _dense(self, value: _Value) -> _Value:
        if len(value.shape) == 4:
            value = self._reshape(value)
        outputs = int(self.rng.integers(2, 9))
        kernel = (outputs, value.shape[1])
        weight, _ = self._weights(kernel, outputs, 0)
        return self._product("FULLY_CONNECTED", value, (weight, kernel, 0), {0: ("b", -1)}, (1, outputs))

    def _reshape(self, value: _Value) -> _Value:
        shape = (1, int(np.prod(value.shape)))
        target = self.file.constant(np.array(shape, np.int32))
        return self._same("RESHAPE", value, [target], {}, shape)

    def _same(self, name: str, value: _Value, inputs: list[int], options: dict, shape: tuple[int, ...]) -> _Value:
        """An operator whose result has its operand's quantization."""
        output = self._tensor(shape, value.scale, value.zero)
        self.file.operator(name, [value.number, *inputs], [output], options)
        return _Value(output, shape, value.scale, value.zero)

    def _pool(self, name: str, value: _Value) -> _Value:
        padding, sh, sw, _, _, kh, kw, *_ = self._window(value)
        extents = [
            -(-n // s) if padding == SAME else (n - k) // s + 1
            for n, s, k in zip(value.shape[1:3], (sh, sw), (kh, kw), strict=True)
        ]
        options = {
            0: ("b", padding), 1: ("i", sw), 2: ("i", sh), 3: ("i", kw), 4: ("i", kh), 5: self._activation(value.zero),
        }  # fmt: skip
        return self._same(name, value, [], options, (1, *extents, value.shape[3]))

    def _average(self, value: _Value) -> _Value:
        return self._pool("AVERAGE_POOL_2D", value)

    def _max(self, value: _Value) -> _Value:
        return self._pool("MAX_POOL_2D", value)

    def _pad(self, value: _Value) -> _Value:
        widths = np.zeros((4, 2), np.int32)
        widths[1:3] = self.rng.integers(0, 3, (2, 2))
        shape = tuple(n + int(p.sum()) for n, p in zip(value.shape, widths, strict=True))
        return self._same("PAD", value, [self.file.constant(widths)], {}, shape)

    def _transpose(self, value: _Value) -> _Value:
        axes = [0, *(1 + self.rng.permutation(3))]
        shape = tuple(value.shape[axis] for axis in axes)
        return self._same("TRANSPOSE", value, [self.file.constant(np.array(axes, np.int32))], {}, shape)

    def _relu(self, value: _Value) -> _Value:
        return self._same(str(self.rng.choice(["RELU", "RELU6"])), value, [], {}, value.shape)

    def _concat(self, value: _Value) -> _Value:
        axis = len(value.shape) - 1
        shape = (*value.shape[:-1], 2 * value.shape[-1])
        return self._same("CONCATENATION", value, [value.number], {0: ("i", axis), 1: ("b", 0)}, shape)

    def _quantize(self, value: _Value) -> _Value:
        wide = 2.0 ** float(self.rng.integers(-7, 7)) if self.rng.random() < 0.2 else 1.0
        scale, zero = self._near(value.scale * wide), self._zero()
        output = self._tensor(value.shape, scale, zero)
        self.file.operator("QUANTIZE", [value.number], [output])
        return _Value(output, value.shape, scale, zero)

    def _curve(self, value: _Value) -> _Value:
        name, scale, zero = (
            ("LOGISTIC", 1 / 256, self.least) if self.rng.random() < 0.5 else ("TANH", 1 / 128, self.least + 128)
        )
        output = self._tensor(value.shape, scale, zero)
        self.file.operator(name, [value.number], [output])
        return _Value(output, value.shape, scale, zero)

    def _mean(self, value: _Value) -> _Value:
        axes = self.file.constant(np.array([1, 2], np.int32))
        kept = bool(self.rng.random() < 0.5)
        shape = (1, 1, 1, value.shape[3]) if kept else (1, value.shape[3])
        same = self.rng.random() < 0.5
        scale, zero = (value.scale, value.zero) if same else (self._near(value.scale), self._zero())
        output = self._tensor(shape, scale, zero)
        self.file.operator("MEAN", [value.number, axes], [output], {0: ("B", int(kept))})
        return _Value(output, shape, scale, zero)

    def _pair(self, name: str, value: _Value, other: int, scale: float) -> _Value:
        zero = self._zero()
        output = self._tensor(value.shape, scale, zero)
        self.file.operator(name, [value.number, other], [output], {0: self._activation(zero)})
        return _Value(output, value.shape, scale, zero)

    def _partner(self, value: _Value) -> tuple[int, float]:
        """Another value of the same shape, or a constant, with its scale."""
        if self.rng.random() < 0.6:
            partner = self._quantize(value)
            return partner.number, partner.scale
        shape = value.shape if self.rng.random() < 0.3 else value.shape[-1:]
        scale = self._near(value.scale)
        array = self.rng.integers(self.least, self.largest + 1, shape).astype(self.codes)
        return self.file.constant(array, scale, self._zero()), scale

    def _add(self, value: _Value) -> _Value:
        other, scale = self._partner(value)
        return self._pair("ADD", value, other, self._near(2 * max(scale, value.scale)))

    def _sub(self, value: _Value) -> _Value:
        other, scale = self._partner(value)
        return self._pair("SUB", value, other, self._near(2 * max(scale, value.scale)))

    def _mul(self, value: _Value) -> _Value:
        scale = self._scale()
        array = self.rng.integers(self.least, self.largest + 1, value.shape[-1:]).astype(self.codes)
        zero = 0 if self.codes == "int16" else int(self.rng.choice([self.least, self.largest]))
        other = self.file.constant(array, scale, zero)
        return self._pair("MUL", value, other, self._near(scale * value.scale * 100))
