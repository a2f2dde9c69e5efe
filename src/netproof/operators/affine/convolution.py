"""Convolution over one, two or three axes: strided, padded, dilated, grouped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn import grad as input_gradients

from netproof.operators.affine.adjoints.fold import Pair, adjoint_by_fold
from netproof.operators.affine.adjoints.phases import Phases, Spread, adjoint_by_phases
from netproof.operators.affine.adjoints.places import adjoint_by_place
from netproof.operators.affine.kernel_map import KernelMap, Window
from netproof.operators.base import Shape

if TYPE_CHECKING:
    from jaxtyping import Float


_CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
#: the transposed maps; unlike ``conv_transpose`` they take the size of the result, and in float64 they are faster
_TRANSPOSE = {1: input_gradients.conv1d_input, 2: input_gradients.conv2d_input, 3: input_gradients.conv3d_input}

#: products of places are faster in float64 where every place of the map has so many weights per tap
_WEIGHTS_PER_PLACE = 64
#: in float32 a fold is faster for a result with at most so many channels, and phases are with at most so many
_FOLDED, _PHASED = 2, 8


@dataclass(frozen=True, eq=False)
class Convolution(KernelMap):
    """Cross-correlation with zero padding, as ONNX and PyTorch call convolution. No dense matrix is ever built.

    Parameters
    ----------
    weight : ``[C_out, C_in / groups, *kernel]``, one to three kernel axes
    bias : ``[C_out]``, or None
    input_shape : ``(C_in, *extents)`` of one sample
    stride, dilation : one number per axis
    padding : ``(before, after)`` per axis
    groups : blocks of channels that do not mix
    samples : how many samples the features hold, one after the other. Pooling is a convolution with one
        channel whose samples are the channels.
    roundings, bias_error : see :class:`netproof.operators.base.Affine`; the error is ``[C_out]``
    """

    weight: Tensor
    bias: Tensor | None
    input_shape: Shape
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1
    samples: int = 1
    roundings: int = 0
    bias_error: Tensor | None = None
    weight_absolute: Tensor = field(init=False, repr=False)
    name = "convolution"
    output_padding = ()

    def __post_init__(self) -> None:
        axes = self.weight.ndim - 2
        if axes not in _CONVOLVE or len(self.input_shape) != axes + 1:
            raise ValueError(f"weight {tuple(self.weight.shape)} does not convolve a sample {self.input_shape}")
        if not len(self.stride) == len(self.padding) == len(self.dilation) == axes:
            raise ValueError(f"stride, padding and dilation are for {axes} axes")
        if min(*self.stride, *self.dilation, self.groups, self.samples, *self.kernel) < 1:
            raise ValueError("kernel, stride, dilation, groups and samples are at least 1")
        if min(min(pair) for pair in self.padding) < 0:
            raise ValueError("padding is negative")
        outputs, inputs = self.weight.shape[:2]
        if inputs * self.groups != self.input_shape[0] or outputs % self.groups:
            raise ValueError(
                f"weight {tuple(self.weight.shape)} in {self.groups} groups does not take {self.input_shape[0]} channels"
            )
        self._check_bias(outputs)
        if min(self.sample_shape) < 1:
            raise ValueError(f"the kernel {self.kernel} is larger than a padded sample {self.input_shape}")
        object.__setattr__(self, "weight_absolute", self.weight.abs())

    @property
    def sample_shape(self) -> Shape:
        """Shape of the result for one sample, ``(C_out, *extents)``."""
        extents = (
            (extent + sum(pair) - dilation * (kernel - 1) - 1) // stride + 1
            for extent, pair, dilation, kernel, stride in zip(
                self.input_shape[1:], self.padding, self.dilation, self.kernel, self.stride, strict=True
            )
        )
        return (self.weight.shape[0], *extents)

    @property
    def places(self) -> int:
        """At how many places of one sample the kernel lies."""
        return prod(self.sample_shape[1:])

    def to(self, dtype: torch.dtype, device: torch.device) -> Convolution:
        return replace(
            self,
            weight=self.weight.to(device, dtype),
            bias=None if self.bias is None else self.bias.to(device, dtype),
            bias_error=None if self.bias_error is None else self.bias_error.to(device, dtype),
        )

    def terms(self) -> tuple[int, int]:
        window = prod(self.kernel)
        return self.weight.shape[1] * window, self.weight.shape[0] // self.groups * window

    @property
    def _even(self) -> bool:
        """Whether the padding is the same on both sides of every axis, which the kernels do themselves."""
        return all(before == after for before, after in self.padding)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        leading = x.shape[:-1]
        x = x.reshape(leading.numel() * self.samples, *self.input_shape)
        if self._even:
            padding = [before for before, _ in self.padding]
        else:
            x = functional.pad(x, [extent for pair in reversed(self.padding) for extent in pair])
            padding = [0] * len(self.padding)
        z = _CONVOLVE[len(self.kernel)](x, weight, bias, list(self.stride), padding, list(self.dilation), self.groups)
        return z.reshape(*leading, self.size)

    def _transpose(self, v: Tensor, weight: Tensor) -> Tensor:
        leading = v.shape[:-1]
        count = leading.numel() * self.samples
        v = v.reshape(count, *self.sample_shape)
        channels, *extents = self.input_shape
        if self._even:
            padding = [before for before, _ in self.padding]
        else:
            extents = [extent + sum(pair) for extent, pair in zip(extents, self.padding, strict=True)]
            padding = [0] * len(self.padding)
        x: Tensor = _TRANSPOSE[len(self.kernel)](  # type: ignore[no-untyped-call]
            (count, channels, *extents), weight, v, self.stride, padding, self.dilation, self.groups
        )
        if not self._even:
            for axis, (before, _) in enumerate(self.padding):
                x = x.narrow(axis + 2, before, self.input_shape[axis + 1])
        return x.reshape(*leading, self.samples * prod(self.input_shape))

    def forward(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return self._convolve(operands[0], self.weight, self.bias)

    def forward_linear(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return self._convolve(operands[0], self.weight, None)

    def forward_absolute(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return self._convolve(operands[0], self.weight_absolute, None)

    def adjoint(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        plain = len(self.kernel) == 2 and self.groups == self.samples == 1 and not self.weight.requires_grad
        if plain and v.ndim == 2 and len(v) and v.device.type == "cpu":
            if v.dtype == torch.float64 and not v.requires_grad:
                if prod(self.sample_shape[1:]) * _WEIGHTS_PER_PLACE <= prod(self.weight.shape[:2]):
                    return (self._by(adjoint_by_place, v, self._taps),)
            elif v.dtype == torch.float32 and self._even:
                few = self.input_shape[0] <= _PHASED and set(self.dilation) == {1}
                if (few and self.input_shape[0] > _FOLDED) or self._is_spread:
                    return (self._by_phases(v),)
                if self.input_shape[0] <= _FOLDED:
                    return (self._by(adjoint_by_fold, v, self.weight),)
        if v.requires_grad and not self.weight.requires_grad:
            return (_Transposed.apply(v, self),)  # type: ignore[no-untyped-call]
        return (self._transpose(v, self.weight),)

    def _by(
        self, kernel: Callable[[Tensor, Tensor, Pair, Pair, Pair, Pair], Tensor], v: Tensor, weight: Tensor
    ) -> Tensor:
        """The adjoint by a kernel of ours for two axes, of ``[B, n]``."""
        rows, columns = self.input_shape[1:]
        stride, dilation, (above, left) = self.stride, self.dilation, (pair[0] for pair in self.padding)
        x = kernel(
            v.reshape(len(v), *self.sample_shape),
            weight,
            (rows, columns),
            (stride[0], stride[1]),
            (above, left),
            (dilation[0], dilation[1]),
        )
        return x.reshape(len(v), -1)

    def _by_phases(self, v: Tensor) -> Tensor:
        """The adjoint for two axes, of ``[B, n]``."""
        (rows, columns), (above, left) = self.stride, (pair[0] for pair in self.padding)
        given = v.reshape(len(v), *self.sample_shape)
        return adjoint_by_phases(given, self._phases, self.weight, (rows, columns), (above, left)).reshape(len(v), -1)

    @property
    def _is_spread(self) -> bool:
        """Whether results are single places of the operand, some way from one another."""
        return prod(self.kernel) == 1 and max(self.stride) > 1 and not any(map(any, self.padding))

    @cached_property
    def _phases(self) -> Phases | Spread:
        (height, width), (rows, columns), (above, left) = (
            self.input_shape[1:],
            self.stride,
            (pair[0] for pair in self.padding),
        )
        if self._is_spread:
            return Spread(self.weight.transpose(0, 1).contiguous(), (rows, columns), (height, width))
        down, across = self.sample_shape[1:]
        return Phases.of(self.weight, (height, width), (rows, columns), (above, left), (down, across))

    @cached_property
    def _taps(self) -> Tensor:
        """``[kernel, kernel, C_out, C_in]``, each a matrix in one piece."""
        return self.weight.permute(2, 3, 0, 1).contiguous()

    def adjoint_absolute(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        return (self._transpose(v, self.weight_absolute),)

    def _cropped(self, window: Window) -> tuple[Convolution, Window] | None:
        field, padding = [], []
        for (first, last), extent, pair, stride, dilation, kernel in zip(
            window, self.input_shape[1:], self.padding, self.stride, self.dilation, self.kernel, strict=True
        ):
            start, end = first * stride - pair[0], (last - 1) * stride - pair[0] + dilation * (kernel - 1) + 1
            field.append((min(max(start, 0), extent), max(min(end, extent), 0)))
            padding.append((max(0, -start), max(0, end - extent)))
        if any(first >= last for first, last in field):
            return None  # nothing but padding is seen
        shape = (self.input_shape[0], *(last - first for first, last in field))
        return replace(self, input_shape=shape, padding=tuple(padding)), field


class _Transposed(torch.autograd.Function):
    """The adjoint by PyTorch; its own derivative is the convolution, of which PyTorch computes two where it is to find that out."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, operator: Convolution) -> Tensor:
        ctx.operator = operator
        return operator._transpose(v, operator.weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return ctx.operator.forward_linear(gradients[0]), None
