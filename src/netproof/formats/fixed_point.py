"""Fixed-point networks: from float weights and bit widths to an integer graph.

The scheme of Henzinger, Lechner, Zikelic, *Scalable Verification of Quantized Neural Networks*
(AAAI 2021), with every width a parameter. A number of ``b`` bits with ``i`` integer bits (the
sign among them) is an integer multiple of ``2**-(b - i)``. Inputs have no integer bits.

* weights and biases: rounded half away from zero, saturating;
* hidden activations: accumulator rounded half *up* to ``bits - activation_integer_bits``
  fractional bits, then saturated to ``0 .. 2**bits - 1`` (which is the ReLU as well);
* outputs: the same rounding, saturated to ``-2**(bits - 1) .. 2**(bits - 1) - 1``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.arguments.words import described
from netproof.errors import FormatError, InputError
from netproof.graph.exactness import check_exact
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.linear import Linear

#: a staircase stores one threshold per level
_MAX_BITS = 16


@dataclass(frozen=True)
class FixedPoint:
    """Bit widths of a fixed-point network; the defaults are the AAAI 2021 benchmark's.

    Attributes
    ----------
    bits : width of weights, biases and activations
    input_bits : width of an input value (8: grey levels 0..255)
    weight_integer_bits, bias_integer_bits, activation_integer_bits : how many of them are integer bits
    """

    bits: int = 6
    input_bits: int = 8
    weight_integer_bits: int = 1
    bias_integer_bits: int = 2
    activation_integer_bits: int = 2

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            bits = None if isinstance(value, bool) or not isinstance(value, Integral) else int(value)
            if bits is None or not 0 <= bits <= _MAX_BITS:
                stated = value if isinstance(value, int | float) else described(value)
                raise InputError("bit widths", f"{item.name} is {stated}", f"give a whole number from 0 to {_MAX_BITS}")
            object.__setattr__(self, item.name, bits)
        if self.bits < 1 or self.input_bits < 1:
            raise InputError("bit widths", "a width is 0", "give bits and input_bits of at least 1")
        for name in ("weight_integer_bits", "bias_integer_bits", "activation_integer_bits"):
            if getattr(self, name) > self.bits:
                raise InputError(
                    "bit widths",
                    f"{name} is {getattr(self, name)} of only {self.bits} bits",
                    "integer bits are part of the width: give at most as many",
                )

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def quantize(values: NDArray[np.floating], bits: int, integer_bits: int) -> NDArray[np.int64]:
    """Round half away from zero to ``bits - integer_bits`` fractional bits and saturate."""
    scale = float(1 << (bits - integer_bits))
    low, high = -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1
    with np.errstate(over="ignore"):  # wider floats may become infinite, and saturate
        values = values.astype(np.float64)
    # Saturated before it is scaled, which is exact and cannot overflow.
    scaled = np.clip(values, low / scale, high / scale) * scale
    magnitude = np.abs(scaled)
    whole = np.floor(magnitude)
    # Not floor(magnitude + 0.5): of the largest float64 below 0.5 that sum is rounded to 1.
    whole += magnitude - whole >= 0.5
    rounded: NDArray[np.int64] = (np.sign(scaled) * whole).astype(np.int64)
    return rounded


def fixed_point_graph(
    layers: Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]],
    widths: FixedPoint,
    source: str | Path,
) -> Graph:
    """The integer graph of a multi-layer perceptron.

    Parameters
    ----------
    layers : ``(kernel [n_in, n_out], bias [n_out])`` per layer, floats
    widths : the bit widths
    source : the file, for error messages

    Raises
    ------
    FormatError : widths with which a requantization would have to add bits
    ExactnessError : accumulators beyond 2**52
    """
    builder = GraphBuilder(Arithmetic.INTEGER, (layers[0][0].shape[0],))
    node = builder.input
    fraction = widths.input_bits
    weight_fraction = widths.bits - widths.weight_integer_bits
    bias_fraction = widths.bits - widths.bias_integer_bits
    activation_fraction = widths.bits - widths.activation_integer_bits
    for number, (kernel, bias) in enumerate(layers, start=1):
        accumulator = fraction + weight_fraction
        shift = accumulator - activation_fraction
        if shift < 0 or accumulator < bias_fraction:
            raise FormatError(
                source,
                f"layer {number}: its accumulator has {accumulator} fractional bits, its result "
                f"{activation_fraction} and its bias {bias_fraction}",
                "these bit widths do not belong to this network: give fewer fractional bits",
            )
        weight = quantize(kernel, widths.bits, widths.weight_integer_bits)
        offset = quantize(bias, widths.bits, widths.bias_integer_bits) << (accumulator - bias_fraction)
        linear = Linear(torch.from_numpy(np.ascontiguousarray(weight.T)).double(), torch.from_numpy(offset).double())
        node = builder.add(f"dense{number}", linear, node)
        last = number == len(layers)
        low = -(1 << (widths.bits - 1)) if last else 0
        high = (1 << (widths.bits - 1)) - 1 if last else (1 << widths.bits) - 1
        node = builder.add("outputs" if last else f"hidden{number}", Staircase.fixed_point(shift, low, high), node)
        fraction = activation_fraction
    graph = builder.build()
    lower = torch.zeros(graph.input.size, dtype=torch.float64)
    check_exact(graph, lower, lower + (1 << widths.input_bits) - 1, str(source))
    return graph
