"""Networks that are trained as the integers that TensorFlow Lite and onnxruntime compute, and written for them.

Activations have 8 bits, as deployed ones do: 0 to 255 behind a ReLU, -128 to 127 for outputs and what a residual block adds up.
Weights have at most 7 bits, since files hold them doubled (:mod:`netproof.formats.codes_writer` says why every runtime rounds
alike then). With 6 or fewer no two products of neighbours leave 16 bits, on which processors without VNNI rely. A
block adds two activations of one scale, and convolutions pad as TensorFlow's ``SAME``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netproof.errors import InputError
from netproof.files.opened import write_bytes
from netproof.formats.codes_writer import same_padding
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.onnx.writing.qdq import QdqWriter
from netproof.formats.tflite.writing.model import TFLiteWriter
from netproof.training.limits import check_depth
from netproof.training.quantized.layers import (
    Addition,
    Padding,
    QuantizedConvolution,
    QuantizedLayer,
    QuantizedLinear,
    Requantization,
    Shift,
)
from netproof.training.quantized.networks import QuantizedNetwork

#: bits of an activation; files hold weights of one bit more than are trained
_BITS, _MOST_WEIGHT_BITS = 8, 7
#: outputs are between -8 and 8
_OUTPUT_FRACTION = 4


class DeployedNetwork(QuantizedNetwork):
    """A network whose activations have 8 bits; ``widths.bits`` is the width of weights and biases."""

    @staticmethod
    def check_widths(widths: FixedPoint) -> None:
        if widths.bits > _MOST_WEIGHT_BITS or widths.input_bits != _BITS:
            raise InputError(
                "bit widths",
                f"weights have {widths.bits} bits and inputs {widths.input_bits}",
                f"networks for deployment have weights of at most {_MOST_WEIGHT_BITS} bits, and inputs of {_BITS}",
            )
        weight = widths.bits - widths.weight_integer_bits
        activation = _BITS - widths.activation_integer_bits
        bias = widths.bits - widths.bias_integer_bits
        least = min(activation, widths.input_bits) + weight
        # Every shift is at least 1.
        if not (weight > 0 and widths.input_bits + weight > activation and activation + weight > _OUTPUT_FRACTION):
            raise InputError("bit widths", "an accumulator has no more fractional bits than its result", "give others")
        if least < bias:
            raise InputError("bit widths", f"a bias has {bias} fractional bits, accumulators {least}", "give others")

    @property
    def activation_fraction(self) -> int:
        return _BITS - self.widths.activation_integer_bits

    def product(self, name: str, layer: QuantizedLayer, operand: int, fraction: int, *, signed: bool = False) -> int:
        """Append a convolution or a linear map of an operand with ``fraction`` fractional bits, and its requantization."""
        accumulator = self.append(f"{name}.product", layer, operand)
        shift = fraction + self._weight_fraction - self.activation_fraction
        return self.append(name, Requantization(shift, *_levels(signed)), accumulator)

    def outputs(self, inputs: int, classes: int, operand: int, fraction: int) -> None:
        """Append the last linear map."""
        linear = QuantizedLinear(inputs, classes, gain=0.5, **self.affine(fraction))
        low, high = _levels(True)
        shift = fraction + self._weight_fraction - _OUTPUT_FRACTION
        accumulator = self.append("outputs.product", linear, operand)
        self.append("outputs", Requantization(shift, low, high, saturating=False), accumulator)
        self.fraction, self.largest_output = _OUTPUT_FRACTION, high

    @property
    def _weight_fraction(self) -> int:
        return self.widths.bits - self.widths.weight_integer_bits

    # -- what it leaves behind

    def tflite(self) -> bytes:
        """The network as a TensorFlow Lite file; raises :class:`netproof.errors.ExactnessError` where sums are too large."""
        return self.written_by(TFLiteWriter(self.name, self.input_shape, self.widths.input_bits, self._weight_fraction))

    def qdq(self) -> bytes:
        """The network as ONNX in QDQ form; raises as :meth:`tflite`."""
        return self.written_by(QdqWriter(self.name, self.input_shape, self.widths.input_bits, self._weight_fraction))

    def write_tflite(self, path: str | Path) -> None:
        """Write :meth:`tflite` whole or not at all; raises :class:`InputError` where that fails."""
        write_bytes(path, self.tflite())

    def write_qdq(self, path: str | Path) -> None:
        """Write :meth:`qdq` whole or not at all; raises :class:`InputError` where that fails."""
        write_bytes(path, self.qdq())


def _levels(signed: bool) -> tuple[int, int]:
    return (-(1 << (_BITS - 1)), (1 << (_BITS - 1)) - 1) if signed else (0, (1 << _BITS) - 1)


def deployed_perceptron(
    input_shape: tuple[int, int, int], hidden: Sequence[int], classes: int, widths: FixedPoint
) -> DeployedNetwork:
    """Fully connected layers, for deployment."""
    check_depth("the network", len(hidden) + 1)
    network = DeployedNetwork("-".join(["deployed-perceptron", *map(str, hidden)]), input_shape, widths)
    value, fraction = 0, widths.input_bits
    sizes = [int(np.prod(input_shape)), *hidden]
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes), start=1):
        linear = QuantizedLinear(inputs, outputs, **network.affine(fraction))
        value = network.product(f"hidden{number}", linear, value, fraction)
        fraction = network.activation_fraction
    network.outputs(sizes[-1], classes, value, fraction)
    return network


def deployed_residual(
    input_shape: tuple[int, int, int], channels: Sequence[int], blocks: Sequence[int], classes: int, widths: FixedPoint
) -> DeployedNetwork:
    """A residual network as :func:`netproof.training.quantized.networks.residual` has them, for deployment."""
    check_depth("the network", 2 + 2 * sum(blocks))
    layout = "-".join(f"{width}x{count}" for width, count in zip(channels, blocks, strict=True))
    network = DeployedNetwork(f"deployed-residual-{layout}", input_shape, widths)
    stem = _convolution(network, input_shape, channels[0], 3, 1, widths.input_bits)
    value = network.product("stem", stem, 0, widths.input_bits)
    shape = (channels[0], input_shape[1], input_shape[2])
    for stage, (width, count) in enumerate(zip(channels, blocks, strict=True), start=1):
        for number in range(1, count + 1):
            stride = 2 if number == 1 and stage > 1 else 1
            value, shape = _block(network, f"block{stage}.{number}", value, shape, width, stride)
    network.outputs(int(np.prod(shape)), classes, value, network.activation_fraction)
    return network


def _convolution(
    network: DeployedNetwork,
    shape: tuple[int, int, int],
    channels: int,
    kernel: int,
    stride: int,
    fraction: int,
    gain: float = 1.0,
) -> QuantizedConvolution:
    rows, columns = (same_padding(extent, kernel, stride) for extent in shape[1:])
    padding: Padding = (*rows, *columns)
    affine = network.affine(fraction)
    return QuantizedConvolution(shape[0], channels, kernel, stride, gain=gain, padding=padding, **affine)


def _block(
    network: DeployedNetwork, name: str, x: int, shape: tuple[int, int, int], channels: int, stride: int
) -> tuple[int, tuple[int, int, int]]:
    """Two convolutions, the shortcut, and the sum of both; the value and its shape."""
    fraction = network.activation_fraction
    _, rows, columns = shape
    inner = (channels, -(-rows // stride), -(-columns // stride))
    y = network.product(f"{name}.hidden", _convolution(network, shape, channels, 3, stride, fraction), x, fraction)
    # Half the gain: the sum is about as large as the block's input then.
    second = _convolution(network, inner, channels, 3, 1, fraction, gain=0.5)
    y = network.product(f"{name}.second", second, y, fraction, signed=True)
    if shape == inner:
        z = network.append(f"{name}.shortcut", Shift(0), x)
    else:
        short = _convolution(network, shape, channels, 1, stride, fraction, gain=0.7)
        z = network.product(f"{name}.shortcut", short, x, fraction, signed=True)
    total = network.append(f"{name}.sum", Addition(), y, z)
    return network.append(name, Requantization(0, *_levels(False)), total), inner
