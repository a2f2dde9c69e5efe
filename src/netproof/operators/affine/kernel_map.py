"""What a convolution and a transposed one share: a kernel that moves over one to three axes, and one bias per channel."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Affine, Part, Shape

if TYPE_CHECKING:
    from jaxtyping import Float

#: begin and end per axis
Window = Sequence[tuple[int, int]]


class KernelMap(Affine):
    """Features ``[samples, channels, *extents]`` to such features, by a kernel, strided, padded, dilated, grouped.

    The attributes are those of :class:`netproof.operators.affine.convolution.Convolution`, where they are explained;
    only a transposed convolution has ``output_padding``.
    """

    weight: Tensor
    bias: Tensor | None
    input_shape: Shape
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int
    samples: int
    bias_error: Tensor | None

    @property
    @abstractmethod
    def sample_shape(self) -> Shape:
        """Shape of the result for one sample, ``(C_out, *extents)``."""

    @property
    @abstractmethod
    def places(self) -> int:
        """At how many places of one sample the kernel lies."""

    @property
    def kernel(self) -> tuple[int, ...]:
        return tuple(self.weight.shape[2:])

    @property
    def size(self) -> int:
        """Number of features of the result."""
        return self.samples * prod(self.sample_shape)

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if prod(shape) != self.samples * prod(self.input_shape):
            raise ValueError(
                f"operand has {prod(shape)} values, the {self.name} takes {self.samples} x {self.input_shape}"
            )
        channels, *extents = self.sample_shape
        return (self.samples * channels, *extents)

    def parameters(self) -> list[tuple[str, Tensor]]:
        return [("weight", self.weight), *([] if self.bias is None else [("bias", self.bias)])]

    def describe(self) -> str:
        parts = [f"{self.input_shape[0]} -> {self.sample_shape[0]}, kernel {_by(self.kernel)}"]
        for name, values in (("stride", self.stride), ("dilation", self.dilation)):
            if set(values) != {1}:
                parts.append(f"{name} {_by(values)}")
        if any(any(pair) for pair in self.padding):
            parts.append(
                f"padding {_by([before if before == after else f'{before}+{after}' for before, after in self.padding])}"
            )
        if any(self.output_padding):
            parts.append(f"output padding {_by(self.output_padding)}")
        if self.groups > 1:
            parts.append(f"{self.groups} groups")
        if self.samples > 1:
            parts.append(f"{self.samples} samples")
        return ", ".join(parts)

    def workspace(self) -> int:
        """In float64 PyTorch lays out what every place of the kernel sees, of all samples at once and of a group after the other."""
        return self.samples * prod(self.weight.shape[1:]) * self.places

    def offset_additions(self) -> int:
        channels, *extents = self.sample_shape
        return self.samples * prod(extents) + channels

    def offset(self, v: Float[Tensor, "*B n"]) -> Float[Tensor, "*B"]:
        if self.bias is None:
            return v.new_zeros(v.shape[:-1])
        if v.dtype == torch.float32 and v.ndim == 2 and not self.bias.requires_grad:
            return v @ self._offsets  # one pass; how it is rounded is accounted for in float64 alone
        channels, *extents = self.sample_shape
        return v.reshape(*v.shape[:-1], self.samples, channels, prod(extents)).sum((-3, -1)) @ self.bias

    @cached_property
    def _offsets(self) -> Float[Tensor, " n"]:
        """The offset of every feature; asked where there is a bias."""
        assert self.bias is not None
        return self._per_feature(self.bias)

    def offset_absolute(self) -> Float[Tensor, " n"] | Float[Tensor, ""]:
        return torch.zeros((), dtype=torch.float32) if self.bias is None else self._per_feature(self.bias.abs())

    def offset_error(self) -> Float[Tensor, " n"] | Float[Tensor, ""]:
        return torch.zeros((), dtype=torch.float32) if self.bias_error is None else self._per_feature(self.bias_error)

    def _per_feature(self, per_channel: Tensor) -> Tensor:
        return per_channel.repeat_interleave(prod(self.sample_shape[1:])).repeat(self.samples)

    def _check_bias(self, channels: int) -> None:
        for part in (self.bias, self.bias_error):
            if part is not None and part.shape != (channels,):
                raise ValueError(f"bias {tuple(part.shape)} does not go with {channels} output channels")

    def part(self, features: Tensor, idle: Sequence[Tensor | None] = ()) -> Part:
        """The map to the smallest window of the result with these features, all channels of it."""
        extents = self.sample_shape[1:]
        window = _window_of(features, extents)
        cropped = None if window == [(0, extent) for extent in extents] else self._cropped(window)
        if cropped is None:
            return Part(self)
        operator, field = cropped
        given = _indices(self.samples * self.sample_shape[0], extents, window)
        taken = _indices(self.samples * self.input_shape[0], self.input_shape[1:], field)
        return Part(operator, given, (taken,))

    @abstractmethod
    def _cropped(self, window: Window) -> tuple[KernelMap, Window] | None:
        """The map to a window of the result, and the window of the operand that it takes; None where that is empty."""


def _by(values: Sequence[object]) -> str:
    return "x".join(map(str, values))


def _window_of(features: Tensor, extents: Shape) -> list[tuple[int, int]]:
    """The smallest window that holds the places of features ``[m]`` of any channels."""
    place = features % prod(extents)
    window = []
    for axis in range(len(extents)):
        at = place // prod(extents[axis + 1 :]) % extents[axis]
        window.append((int(at.min()), int(at.max()) + 1))
    return window


def _indices(channels: int, extents: Shape, window: Window) -> Tensor:
    """The indices of a window of every channel, rising."""
    index = torch.arange(channels * prod(extents)).reshape(channels, *extents)
    for axis, (first, last) in enumerate(window):
        index = index.narrow(axis + 1, first, last - first)
    return index.flatten().contiguous()
