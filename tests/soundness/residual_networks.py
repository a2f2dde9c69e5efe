"""Random small residual networks of integers, as files and a second time in NumPy int64.

What a test compares netproof with uses none of its readers or operators: convolutions are loops over windows,
requantizations follow the floor formula, boxes are enumerated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netproof.formats.onnx.writing.integer import IntegerOnnxWriter
from soundness.random_networks import Integers, box_points


def convolved(x: Integers, weight: Integers, bias: Integers, stride: int, padding: int) -> Integers:
    """``[N, C, H, W]`` by windows."""
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    kernel = weight.shape[2]
    rows, columns = ((extent - kernel) // stride + 1 for extent in padded.shape[2:])
    result = np.zeros((len(x), len(weight), rows, columns), np.int64)
    for i in range(rows):
        for j in range(columns):
            window = padded[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            result[:, :, i, j] = np.einsum("ncij,ocij->no", window, weight) + bias
    return result


def requantized(a: Integers, shift: int, low: int, high: int) -> Integers:
    clipped: Integers = ((a + (1 << shift) // 2) >> shift).clip(low, high)
    return clipped


@dataclass(frozen=True)
class Residual:
    """A stem, one block, one linear layer, whose outputs may be requantized.

    ``shortcut`` is a 1x1 kernel with its bias, or the power of two that the block's input is shifted by. ``steps``
    are shift and highest level after the stem, in the block, and after the sum.
    """

    shape: tuple[int, int, int]
    largest: int
    stem: tuple[Integers, Integers]
    first: tuple[Integers, Integers]
    second: tuple[Integers, Integers]
    shortcut: tuple[Integers, Integers] | int
    stride: int
    steps: Sequence[tuple[int, int]]
    linear: tuple[Integers, Integers]
    final: tuple[int, int, int] | None

    def outputs(self, x: Integers) -> Integers:
        """``[N, n_input]`` to ``[N, classes]``."""
        value = convolved(x.reshape(-1, *self.shape), *self.stem, 1, 1)
        value = requantized(value, self.steps[0][0], 0, self.steps[0][1])
        inner = requantized(convolved(value, *self.first, self.stride, 1), self.steps[1][0], 0, self.steps[1][1])
        total = convolved(inner, *self.second, 1, 1)
        if isinstance(self.shortcut, int):
            total = total + (value << self.shortcut)
        else:
            total = total + convolved(value, *self.shortcut, self.stride, 0)
        value = requantized(total, self.steps[2][0], 0, self.steps[2][1])
        y: Integers = value.reshape(len(value), -1) @ self.linear[0].T + self.linear[1]
        return y if self.final is None else requantized(y, *self.final)

    def classes(self, x: Integers) -> Integers:
        """The first largest output of every input."""
        found: Integers = self.outputs(x).argmax(1)  # NumPy's is the first
        return found

    def points(self) -> Integers:
        """Every input."""
        size = int(np.prod(self.shape))
        return box_points([0] * size, [self.largest] * size)

    def onnx(self) -> bytes:
        writer = IntegerOnnxWriter("residual", self.shape, self.largest)
        value = writer.requantize(
            "a",
            writer.convolution("stem", "input", *self.stem, padding=(1, 1, 1, 1)),
            self.steps[0][0],
            0,
            self.steps[0][1],
        )
        inner = writer.convolution("first", value, *self.first, stride=self.stride, padding=(1, 1, 1, 1))
        inner = writer.requantize("b", inner, self.steps[1][0], 0, self.steps[1][1])
        inner = writer.convolution("second", inner, *self.second, padding=(1, 1, 1, 1))
        if isinstance(self.shortcut, int):
            other = writer.shifted("shortcut", value, self.shortcut)
        else:
            other = writer.convolution("shortcut", value, *self.shortcut, stride=self.stride)
        value = writer.requantize("c", writer.add("sum", inner, other), self.steps[2][0], 0, self.steps[2][1])
        y = writer.linear("linear", writer.flatten("flat", value), *self.linear)
        if self.final is not None:
            y = writer.requantize("y", y, *self.final)
        return writer.model(y, len(self.linear[1]))

    def save(self, folder: Path, name: str = "residual.onnx") -> Path:
        path = folder / name
        path.write_bytes(self.onnx())
        return path


def random_residual(random: np.random.Generator, *, classes: int = 3) -> Residual:
    """Networks of at most 4096 inputs, whose ranges are about as wide as their staircases."""
    shape, largest = [((1, 2, 2), 3), ((1, 2, 3), 3), ((2, 2, 2), 1), ((1, 2, 2), 7), ((1, 3, 3), 1)][
        random.integers(5)
    ]
    channels, width, stride = (int(n) for n in random.integers(1, [3, 4, 3]))
    identity = stride == 1 and random.random() < 0.6
    width = channels if identity else width

    def kernel(outputs: int, inputs: int, size: int) -> tuple[Integers, Integers]:
        weight = random.integers(-5, 6, (outputs, inputs, size, size))
        weight[random.random(weight.shape) < 0.3] = 0
        return weight, random.integers(-8, 9, outputs)

    rows, columns = (-(-extent // stride) for extent in shape[1:])
    features = width * rows * columns
    return Residual(
        shape,
        largest,
        kernel(channels, shape[0], 3),
        kernel(width, channels, 3),
        kernel(width, width, 3),
        int(random.integers(0, 4)) if identity else kernel(width, channels, 1),
        stride,
        [(int(random.integers(0, 4)), int(random.choice([1, 3, 7]))) for _ in range(3)],
        (random.integers(-6, 7, (classes, features)), random.integers(-5, 6, classes)),
        (int(random.integers(0, 4)), -8, 7) if random.random() < 0.4 else None,
    )


def truth(net: Residual, image: Integers, label: int, radius: int) -> tuple[str, NDArray[np.int64]]:
    """The verdict of a query, by all inputs of its box; and these."""
    near = box_points(np.maximum(image - radius, 0), np.minimum(image + radius, net.largest))
    if net.classes(image[None])[0] != label:
        return "misclassified", near
    return ("robust" if bool((net.classes(near) == label).all()) else "vulnerable"), near
