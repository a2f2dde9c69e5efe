"""Fixed-point networks that can be trained: perceptrons and small residual networks.

The arithmetic is that of T. A. Henzinger, M. Lechner, D. Zikelic, *Scalable Verification of Quantized Neural Networks*
(AAAI 2021), with every width a parameter: weights, biases and activations of ``bits`` bits, wide accumulators,
rounding half up, saturation at 0 as the ReLU. A residual block adds two accumulators of one scale, the second
convolution's and the shortcut's (a 1x1 convolution, or the block's own input, shifted), before they are requantized.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

import numpy as np
from torch import Tensor, nn

from netproof.errors import InputError
from netproof.files.opened import write_bytes
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.integer_writer import IntegerWriter
from netproof.formats.keras.write import write_keras_h5
from netproof.formats.onnx.writing.integer import IntegerOnnxWriter
from netproof.training.limits import check_depth
from netproof.training.quantized.layers import (
    Addition,
    Ends,
    QuantizedAffine,
    QuantizedConvolution,
    QuantizedLayer,
    QuantizedLinear,
    Requantization,
    Shift,
    quantized,
)

#: 8 bits hold a weight in ONNX, and an activation
_MOST_BITS = 8
#: outputs between -2 and 2 are too flat for a softmax
_SHARPNESS = 6.0


class AffineWidths(TypedDict):
    """What :class:`netproof.training.quantized.layers.QuantizedAffine` takes of a scheme."""

    bits: int
    weight_fraction: int
    bias_fraction: int
    bias_shift: int


class QuantizedNetwork(nn.Module):
    """Layers in topological order, the last affine one a :class:`QuantizedLinear`.

    Parameters
    ----------
    name : of the exported graph
    input_shape : ``(channels, rows, columns)``
    widths : bit widths

    Attributes
    ----------
    fraction : fractional bits of the outputs
    largest_output : what an output saturates at; None for accumulators, which do not
    sharpness : the loss takes so many times the outputs
    """

    def __init__(self, name: str, input_shape: tuple[int, int, int], widths: FixedPoint) -> None:
        super().__init__()
        self.check_widths(widths)
        self.name, self.input_shape, self.widths = name, input_shape, widths
        self.layers = nn.ModuleList()
        #: the operands of each layer: 0 is the input, layer ``i`` is ``i + 1``
        self._operands: list[tuple[int, ...]] = []
        self._names: list[str] = []
        self.fraction = widths.input_bits
        self.largest_output: int | None = None
        self.sharpness = 1.0

    @staticmethod
    def check_widths(widths: FixedPoint) -> None:
        """Refuse widths that cannot be trained; raises :class:`InputError`."""
        if widths.bits > _MOST_BITS or widths.input_bits > _MOST_BITS:
            raise InputError("bit widths", "a width is above 8", "networks of at most 8 bits are trained")
        weight = widths.bits - widths.weight_integer_bits
        activation = widths.bits - widths.activation_integer_bits
        bias = widths.bits - widths.bias_integer_bits
        for what, fraction in (("input", widths.input_bits), ("activation", activation)):
            if fraction + weight < max(activation, bias):
                raise InputError(
                    "bit widths",
                    f"the accumulator of an {what} has {fraction + weight} fractional bits, its result {activation} and "
                    f"its bias {bias}",
                    "give more input bits, or fewer fractional bits elsewhere",
                )

    # -- building

    @property
    def last(self) -> int:
        """The value that the last layer gives."""
        return len(self._operands)

    def append(self, name: str, layer: QuantizedLayer, *operands: int) -> int:
        self.layers.append(layer)
        self._operands.append(operands)
        self._names.append(name)
        return self.last

    def affine(self, fraction: int) -> AffineWidths:
        """The widths of an affine layer of operands with so many fractional bits."""
        widths = self.widths
        weight_fraction = widths.bits - widths.weight_integer_bits
        bias_fraction = widths.bits - widths.bias_integer_bits
        return {
            "bits": widths.bits,
            "weight_fraction": weight_fraction,
            "bias_fraction": bias_fraction,
            "bias_shift": fraction + weight_fraction - bias_fraction,
        }

    def hidden(self, name: str, accumulator: int, fraction: int) -> int:
        """Requantize an accumulator of operands with ``fraction`` fractional bits to an activation."""
        widths = self.widths
        weight_fraction = widths.bits - widths.weight_integer_bits
        shift = fraction + weight_fraction - self.activation_fraction
        return self.append(name, Requantization(shift, 0, (1 << widths.bits) - 1), accumulator)

    @property
    def activation_fraction(self) -> int:
        return self.widths.bits - self.widths.activation_integer_bits

    # -- what it computes

    def forward(self, x: Tensor) -> Tensor:
        """Integers ``[B, *input_shape]`` to integers ``[B, outputs]``; in training without the outputs' saturation."""
        values = [x]
        for layer, operands in zip(self.layers, self._operands, strict=True):
            values.append(layer(*(values[i] for i in operands)))
        return values[-1]

    def worst_leads(self, low: Tensor, high: Tensor, labels: Tensor) -> Tensor:
        """How far each output's accumulator can get ahead of the label's in boxes, at most: ``[B, outputs]``.

        By interval propagation through the integers.
        """
        ends: list[Ends] = [(low, high)]
        final = max(i for i, layer in enumerate(self.layers) if isinstance(layer, QuantizedLinear))
        for layer, operands in itertools.islice(zip(self.layers, self._operands, strict=True), final):
            assert isinstance(layer, QuantizedLayer)
            ends.append(layer.bounds(*(ends[i] for i in operands)))
        linear = self.layers[final]
        assert isinstance(linear, QuantizedLinear)
        return linear.worst_leads(*ends[self._operands[final][0]], labels)

    @property
    def accumulator_fraction(self) -> int:
        """Fractional bits of the last accumulators."""
        return self.activation_fraction + self.widths.bits - self.widths.weight_integer_bits

    @property
    def is_perceptron(self) -> bool:
        """Whether all its affine layers are linear ones."""
        return not any(isinstance(layer, QuantizedConvolution) for layer in self.layers)

    def confine(self) -> None:
        """Bring all parameters back to what their bits can hold."""
        for layer in self.layers:
            if isinstance(layer, QuantizedAffine):
                layer.confine()

    # -- what it leaves behind

    def onnx(self) -> bytes:
        """The network as ONNX integers; the same parameters give the same bytes."""
        return self.written_by(IntegerOnnxWriter(self.name, self.input_shape, (1 << self.widths.input_bits) - 1))

    def written_by(self, writer: IntegerWriter) -> bytes:
        """The file that a writer makes of the layers."""
        names = [writer.input]
        for layer, name, operands in zip(self.layers, self._names, self._operands, strict=True):
            assert isinstance(layer, QuantizedLayer)
            names.append(layer.write(writer, name, *(names[i] for i in operands)))
        linears = [layer for layer in self.layers if isinstance(layer, QuantizedLinear)]
        return writer.model(names[-1], len(linears[-1].bias))

    def write_onnx(self, path: str | Path) -> None:
        """Write :meth:`onnx` whole or not at all; raises :class:`InputError` where that fails."""
        write_bytes(path, self.onnx())

    def write_keras_h5(self, path: str | Path) -> None:
        """Write a perceptron's weights in the layout of Keras, to be read with its bit widths.

        The numbers are those that the integers stand for, so that quantizing them gives these integers again.
        """
        widths = self.widths
        layers = []
        for layer in self.layers:
            if isinstance(layer, QuantizedLinear):
                weight = quantized(layer.weight.double(), widths.bits, widths.bits - widths.weight_integer_bits)
                bias = quantized(layer.bias.double(), widths.bits, widths.bits - widths.bias_integer_bits)
                kernel = weight.detach().T / 2.0 ** (widths.bits - widths.weight_integer_bits)
                layers.append((kernel, bias.detach() / 2.0 ** (widths.bits - widths.bias_integer_bits)))
        write_keras_h5(path, [(kernel.float().numpy(), bias.float().numpy()) for kernel, bias in layers])

    def identity(self) -> dict[str, int | str]:
        """What tells this network from others, before it is trained."""
        return {"network": self.name, "input shape": "x".join(map(str, self.input_shape)), **asdict(self.widths)}


def perceptron(
    input_shape: tuple[int, int, int], hidden: Sequence[int], classes: int, widths: FixedPoint
) -> QuantizedNetwork:
    """A multi-layer perceptron as in the paper, its outputs saturated to ``bits`` bits as well."""
    check_depth("the network", len(hidden) + 1)
    network = QuantizedNetwork("-".join(["perceptron", *map(str, hidden)]), input_shape, widths)
    sizes = [int(np.prod(input_shape)), *hidden, classes]
    value, fraction = 0, widths.input_bits
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes), start=1):
        value = network.append(f"dense{number}", QuantizedLinear(inputs, outputs, **network.affine(fraction)), value)
        if number < len(sizes) - 1:
            value, fraction = network.hidden(f"hidden{number}", value, fraction), network.activation_fraction
    low, high = -(1 << (widths.bits - 1)), (1 << (widths.bits - 1)) - 1
    shift = fraction + widths.bits - widths.weight_integer_bits - network.activation_fraction
    network.append("outputs", Requantization(shift, low, high, saturating=False), value)
    network.fraction, network.largest_output = network.activation_fraction, high
    network.sharpness = _SHARPNESS
    return network


def residual(
    input_shape: tuple[int, int, int], channels: Sequence[int], blocks: Sequence[int], classes: int, widths: FixedPoint
) -> QuantizedNetwork:
    """A residual network: a 3x3 stem, stages of blocks (all but the first begin with stride 2), one linear layer.

    ``channels`` and ``blocks`` have one entry per stage. The outputs are wide accumulators.
    """
    check_depth("the network", 2 + 2 * sum(blocks))
    layout = "-".join(f"{width}x{count}" for width, count in zip(channels, blocks, strict=True))
    network = QuantizedNetwork(f"residual-{layout}", input_shape, widths)
    first = QuantizedConvolution(input_shape[0], channels[0], 3, 1, **network.affine(widths.input_bits))
    value = network.hidden("stem", network.append("stem.convolution", first, 0), widths.input_bits)
    inputs, rows, columns = channels[0], *input_shape[1:]
    for stage, (width, count) in enumerate(zip(channels, blocks, strict=True), start=1):
        for number in range(1, count + 1):
            stride = 2 if number == 1 and stage > 1 else 1
            value = _block(network, f"block{stage}.{number}", value, inputs, width, stride)
            inputs, rows, columns = width, -(-rows // stride), -(-columns // stride)
    fraction = network.activation_fraction
    network.append(
        "outputs", QuantizedLinear(inputs * rows * columns, classes, gain=0.5, **network.affine(fraction)), value
    )
    network.fraction = network.accumulator_fraction
    return network


def _block(network: QuantizedNetwork, name: str, x: int, inputs: int, channels: int, stride: int) -> int:
    fraction = network.activation_fraction
    affine = network.affine(fraction)
    y = network.append(f"{name}.convolution1", QuantizedConvolution(inputs, channels, 3, stride, **affine), x)
    y = network.hidden(f"{name}.hidden", y, fraction)
    # Half the gain: the sum is about as large as the block's input then.
    second = QuantizedConvolution(channels, channels, 3, 1, gain=0.5, **affine)
    y = network.append(f"{name}.convolution2", second, y)
    shortcut: QuantizedLayer
    if stride != 1 or inputs != channels:
        shortcut = QuantizedConvolution(inputs, channels, 1, stride, gain=0.7, **affine)
    else:
        shortcut = Shift(network.widths.bits - network.widths.weight_integer_bits)
    z = network.append(f"{name}.shortcut", shortcut, x)
    return network.hidden(name, network.append(f"{name}.sum", Addition(), y, z), fraction)
