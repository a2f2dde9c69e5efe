"""Transposed convolution over one, two or three axes: the adjoint of a convolution, and a bias."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.kernel_map import KernelMap, Window
from netproof.operators.base import Shape

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class TransposedConvolution(KernelMap):
    """What ONNX calls ConvTranspose and PyTorch ``conv_transpose``: every value of the operand adds a multiple of the kernel.

    With the operand's place ``i``, the kernel's place ``k`` and the result's place ``o``, ``o = stride * i + dilation * k -
    padding``: the linear part is the adjoint of the convolution from the result's shape to the operand's, and its adjoint
    is that convolution. Both are computed by it, whichever way is the fastest, and its sums are theirs.

    Parameters
    ----------
    weight : ``[C_in, C_out / groups, *kernel]``, one to three kernel axes
    bias : ``[C_out]``, or None
    input_shape : ``(C_in, *extents)`` of one sample
    stride, dilation : one number per axis
    padding : ``(before, after)`` per axis, so much is cut off the result
    output_padding : one number per axis, below the stride; so much is added behind the result
    groups : blocks of channels that do not mix
    samples : how many samples the features hold, one after the other
    roundings, bias_error : see :class:`netproof.operators.base.Affine`; the error is ``[C_out]``

    Raises ``ValueError`` where these do not belong together.
    """

    weight: Tensor
    bias: Tensor | None
    input_shape: Shape
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int = 1
    samples: int = 1
    roundings: int = 0
    bias_error: Tensor | None = None
    #: whose adjoint the linear part is
    convolution: Convolution = field(init=False, repr=False)
    name = "transposed convolution"

    def __post_init__(self) -> None:
        axes = self.weight.ndim - 2
        if not 1 <= axes <= 3 or len(self.input_shape) != axes + 1:
            raise ValueError(f"weight {tuple(self.weight.shape)} does not convolve a sample {self.input_shape}")
        if not len(self.stride) == len(self.padding) == len(self.dilation) == len(self.output_padding) == axes:
            raise ValueError(f"stride, padding, dilation and output padding are for {axes} axes")
        if not all(0 <= more < stride for more, stride in zip(self.output_padding, self.stride, strict=True)):
            raise ValueError(f"output padding {self.output_padding} is not from 0 to below the stride {self.stride}")
        if self.weight.shape[0] != self.input_shape[0]:
            raise ValueError(
                f"weight {tuple(self.weight.shape)} does not take {self.input_shape[0]} channels transposed"
            )
        extents = tuple(
            stride * (extent - 1) + dilation * (kernel - 1) + 1 + more - sum(pair)
            for stride, extent, dilation, kernel, more, pair in zip(
                self.stride,
                self.input_shape[1:],
                self.dilation,
                self.weight.shape[2:],
                self.output_padding,
                self.padding,
                strict=True,
            )
        )
        channels = self.weight.shape[1] * self.groups
        if min(channels, *extents) < 1:
            raise ValueError(f"padding {self.padding} leaves nothing of a result of {channels} channels")
        self._check_bias(channels)
        forward = Convolution(
            self.weight,
            None,
            (channels, *extents),
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.samples,
        )
        # The output padding, smaller than the stride, is what this convolution leaves out at the end.
        assert forward.sample_shape == self.input_shape
        object.__setattr__(self, "convolution", forward)

    @property
    def sample_shape(self) -> Shape:
        """Shape of the result for one sample, ``(C_out, *extents)``."""
        return self.convolution.input_shape

    @property
    def places(self) -> int:
        """At how many places of one sample the kernel lies: those of the operand."""
        return prod(self.input_shape[1:])

    def to(self, dtype: torch.dtype, device: torch.device) -> TransposedConvolution:
        return replace(
            self,
            weight=self.weight.to(device, dtype),
            bias=None if self.bias is None else self.bias.to(device, dtype),
            bias_error=None if self.bias_error is None else self.bias_error.to(device, dtype),
        )

    def terms(self) -> tuple[int, int]:
        forward, backward = self.convolution.terms()
        return backward, forward

    def forward(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        z = self.forward_linear(*operands)
        return z if self.bias is None else z + self._per_feature(self.bias)

    def forward_linear(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return self.convolution.adjoint(operands[0])[0]

    def forward_absolute(self, *operands: Float[Tensor, "*#B _"]) -> Float[Tensor, "*B _"]:
        return self.convolution.adjoint_absolute(operands[0])[0]

    def adjoint(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        return (self.convolution.forward_linear(v),)

    def adjoint_absolute(self, v: Float[Tensor, "*B n"]) -> tuple[Float[Tensor, "*B _"], ...]:
        return (self.convolution.forward_absolute(v),)

    def _cropped(self, window: Window) -> tuple[TransposedConvolution, Window] | None:
        field, padding, more = [], [], []
        for (first, last), extent, (before, _), stride, reach in zip(
            window, self.input_shape[1:], self.padding, self.stride, self._reach, strict=True
        ):
            # Places are counted from where the kernel of the operand's first value begins, before anything is cut off.
            begin, end = first + before, last - 1 + before
            # The first value that reaches the window, or an earlier one, so that what is cut off before it is not negative.
            start = min(max(0, -((reach - begin) // stride)), begin // stride, extent - 1)
            stop = min(end // stride + 1, extent)
            beyond = end - ((stop - 1) * stride + reach)
            field.append((start, stop))
            padding.append((begin - start * stride, max(0, -beyond)))
            more.append(max(0, beyond))
        shape = (self.input_shape[0], *(stop - start for start, stop in field))
        return replace(self, input_shape=shape, padding=tuple(padding), output_padding=tuple(more)), field

    @property
    def _reach(self) -> tuple[int, ...]:
        """How far the kernel's last place is from its first, per axis."""
        return tuple(dilation * (kernel - 1) for dilation, kernel in zip(self.dilation, self.kernel, strict=True))
