"""Layers of fixed-point networks in training: integers forwards, straight-through gradients backwards.

Values are integers held in floats, the very ones that the exported network computes
(:mod:`netproof.formats.fixed_point` has the scheme): exact in float32 below 2**24, in float64 below 2**53. Backwards
rounding counts as the identity (Y. Bengio, N. Leonard, A. Courville, *Estimating or Propagating Gradients Through
Stochastic Neurons*, 2013), and saturation as the clipping that it is.

Every layer answers three questions: its value, its range on a box (for training by interval bounds), and its operators
in the exported file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from netproof.formats.integer_writer import IntegerWriter

#: lower and upper ends
Ends = tuple[Tensor, Tensor]


def straight_through(value: Tensor, stand_in: Tensor) -> Tensor:
    """``value`` forwards, the gradient of ``stand_in`` backwards."""
    return stand_in + (value - stand_in).detach()


def quantized(parameter: Tensor, bits: int, fraction: int) -> Tensor:
    """A real parameter as an integer of ``bits`` bits, ``fraction`` of them fractional.

    Rounded half away from zero and saturated, as :func:`netproof.formats.fixed_point.quantize` does.
    """
    scale, low, high = 2.0**fraction, -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1
    scaled = parameter * scale
    # In float64: in float32 the largest number below a half, plus a half, would be rounded up to 1.
    wide = scaled.detach().double().clamp(low, high)
    return straight_through((wide.sign() * (wide.abs() + 0.5).floor()).to(parameter.dtype), scaled)


def array_of(integers: Tensor) -> NDArray[np.int64]:
    """Integer values as NumPy has them."""
    array: NDArray[np.int64] = integers.detach().cpu().double().numpy().astype(np.int64)
    return array


class QuantizedLayer(nn.Module, ABC):
    """A node of a fixed-point network, of one operand or two."""

    @abstractmethod
    def forward(self, *x: Tensor) -> Tensor:
        """Integers ``[B, ...]`` to integers."""

    @abstractmethod
    def bounds(self, *x: Ends) -> Ends:
        """A range of the value where every operand is in a range; gradients flow as they do forwards."""

    @abstractmethod
    def write(self, writer: IntegerWriter, name: str, *x: str) -> str:
        """Append the layer to a file; returns the name of its value."""


class QuantizedAffine(QuantizedLayer):
    """A weight and a bias of ``bits`` bits that give a wide accumulator.

    Parameters
    ----------
    weight : the float weight to begin with
    outputs : how many biases there are
    bits, weight_fraction, bias_fraction : the width of both, and how many of it are fractional bits
    bias_shift : by how much biases are shifted to the accumulator's fractional bits, at least 0
    """

    def __init__(
        self, weight: Tensor, outputs: int, bits: int, weight_fraction: int, bias_fraction: int, bias_shift: int
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self._bits, self._weight_fraction, self._bias_fraction = bits, weight_fraction, bias_fraction
        self._bias_shift = bias_shift

    def integers(self) -> tuple[Tensor, Tensor]:
        """Weight, and bias at the accumulator's scale, as integers."""
        weight = quantized(self.weight, self._bits, self._weight_fraction)
        bias = quantized(self.bias, self._bits, self._bias_fraction) * 2.0**self._bias_shift
        return weight, bias

    @torch.no_grad()
    def confine(self) -> None:
        """Bring parameters back to what their bits can hold, beyond which gradients would push in vain."""
        for parameter, fraction in ((self.weight, self._weight_fraction), (self.bias, self._bias_fraction)):
            largest = 2.0 ** (self._bits - 1)
            parameter.clamp_(-largest / 2.0**fraction, (largest - 1) / 2.0**fraction)

    @abstractmethod
    def apply_integers(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The affine map with given numbers."""

    def forward(self, *x: Tensor) -> Tensor:
        weight, bias = self.integers()
        return self.apply_integers(x[0], weight, bias)

    def bounds(self, *x: Ends) -> Ends:
        weight, bias = self.integers()
        low, high = x[0]
        center = self.apply_integers((low + high) / 2, weight, bias)
        radius = self.apply_integers((high - low) / 2, weight.abs(), None)
        return center - radius, center + radius


#: rows above and below, columns on the left and on the right
Padding = tuple[int, int, int, int]


class QuantizedConvolution(QuantizedAffine):
    """``[B, inputs, H, W]`` to accumulators ``[B, channels, H', W']``, zero padding of half the kernel or as given."""

    def __init__(
        self,
        inputs: int,
        channels: int,
        kernel: int,
        stride: int,
        *,
        gain: float = 1.0,
        padding: Padding | None = None,
        bits: int,
        weight_fraction: int,
        bias_fraction: int,
        bias_shift: int,
    ) -> None:
        weight = torch.randn(channels, inputs, kernel, kernel) * gain * (2 / (inputs * kernel**2)) ** 0.5
        super().__init__(weight, channels, bits, weight_fraction, bias_fraction, bias_shift)
        half = kernel // 2
        self._stride, self._padding = stride, padding or (half, half, half, half)

    def apply_integers(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        top, bottom, left, right = self._padding
        if (top, left) == (bottom, right):
            return functional.conv2d(x, weight, bias, self._stride, (top, left))
        return functional.conv2d(functional.pad(x, (left, right, top, bottom)), weight, bias, self._stride)

    def write(self, writer: IntegerWriter, name: str, *x: str) -> str:
        weight, bias = map(array_of, self.integers())
        return writer.convolution(name, x[0], weight, bias, stride=self._stride, padding=self._padding)


class QuantizedLinear(QuantizedAffine):
    """``[B, ...]``, flattened, to accumulators ``[B, outputs]``."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        gain: float = 1.0,
        bits: int,
        weight_fraction: int,
        bias_fraction: int,
        bias_shift: int,
    ) -> None:
        weight = torch.randn(outputs, inputs) * gain * (2 / inputs) ** 0.5
        super().__init__(weight, outputs, bits, weight_fraction, bias_fraction, bias_shift)

    def apply_integers(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return functional.linear(x.flatten(1), weight, bias)

    def worst_leads(self, low: Tensor, high: Tensor, labels: Tensor) -> Tensor:
        """How far each output can get ahead of the label's, at most, for operands in a range: ``[B, outputs]``."""
        weight, bias = self.integers()
        center, radius = ((low + high) / 2).flatten(1), ((high - low) / 2).flatten(1)
        # One row per rival: the difference of two outputs is bounded as a whole.
        difference = weight - weight[labels][:, None]
        lead = torch.einsum("bri,bi->br", difference, center) + bias - bias[labels][:, None]
        return lead + torch.einsum("bri,bi->br", difference.abs(), radius)

    def write(self, writer: IntegerWriter, name: str, *x: str) -> str:
        weight, bias = map(array_of, self.integers())
        return writer.linear(name, writer.flatten(f"{name}.flat", x[0]), weight, bias)


class Requantization(QuantizedLayer):
    """``clip(floor((a + 2**shift / 2) / 2**shift), low, high)``.

    Parameters
    ----------
    shift, low, high : the parameters of the formula
    saturating : whether training sees the clipping; outputs are trained without it, whose gradient would vanish
    """

    def __init__(self, shift: int, low: int, high: int, *, saturating: bool = True) -> None:
        super().__init__()
        self._shift, self._low, self._high, self._saturating = shift, low, high, saturating

    def forward(self, *x: Tensor) -> Tensor:
        return self._levels(x[0])

    def _levels(self, a: Tensor) -> Tensor:
        scaled = a / 2.0**self._shift
        # Exact: a whole number plus half a step, over a power of two.
        levels = ((a.detach() + (1 << self._shift) // 2) / 2.0**self._shift).floor()
        if self.training and not self._saturating:
            return straight_through(levels, scaled)
        return straight_through(levels.clamp(self._low, self._high), scaled.clamp(self._low, self._high))

    def bounds(self, *x: Ends) -> Ends:
        return self._levels(x[0][0]), self._levels(x[0][1])

    def write(self, writer: IntegerWriter, name: str, *x: str) -> str:
        return writer.requantize(name, x[0], self._shift, self._low, self._high)


class Shift(QuantizedLayer):
    """A value at the scale of accumulators: times ``2**shift``."""

    def __init__(self, shift: int) -> None:
        super().__init__()
        self._shift = shift

    def forward(self, *x: Tensor) -> Tensor:
        return x[0] * 2.0**self._shift

    def bounds(self, *x: Ends) -> Ends:
        return self.forward(x[0][0]), self.forward(x[0][1])

    def write(self, writer: IntegerWriter, name: str, *x: str) -> str:
        return writer.shifted(name, x[0], self._shift)


class Addition(QuantizedLayer):
    """The sum of two accumulators of one scale."""

    def forward(self, *x: Tensor) -> Tensor:
        return x[0] + x[1]

    def bounds(self, *x: Ends) -> Ends:
        return x[0][0] + x[1][0], x[0][1] + x[1][1]

    def write(self, writer: IntegerWriter, name: str, *x: str) -> str:
        return writer.add(name, *x)
