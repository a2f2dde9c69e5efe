"""Values of a second reading of TensorFlow Lite files, and the places of images that windows take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.second_reading.reading import Floats, UnknownFormError
from netproof.certificate.second_reading.tflite.buffer import Tensor

Order = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the file: the part that has its codes less the zero point, and where in the file each feature lies."""

    part: int
    tensor: Tensor
    order: Order


@dataclass(frozen=True)
class Windows:
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
    ) -> Windows:
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

    def of_image(self, channels: int) -> tuple[int, ...]:
        """The file's shape of what they make of an image, with so many channels."""
        return (1, *self.results, channels)

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


def channels_first(shape: tuple[int, ...]) -> Order:
    """Where the features of an image lie in the file, channels first."""
    found: Order = np.arange(math.prod(shape)).reshape(shape).transpose(0, 3, 1, 2).reshape(-1)
    return found


def flat(image: object) -> Floats:
    """``[B, n]`` of ``[B, ...]``."""
    found = np.asarray(image, np.float64)
    return np.ascontiguousarray(found.reshape(len(found), -1))


def check_shape(name: str, output: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a result that is stated to have another shape than it has."""
    if output.shape != shape:
        raise UnknownFormError(f"{name} with another shape than that of its result")


def same_codes(one: Tensor, other: Tensor) -> None:
    """Refuse to move a value between tensors of two scales or zero points."""
    if one.scale[0] != other.scale[0] or one.zero != other.zero:
        raise UnknownFormError("a value that is moved to another scale")
