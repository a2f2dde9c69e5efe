"""Writing networks of integers as operators with scales, such that every rule of rounding gives the same integers.

What is trained brings a sum ``a`` back to 8 bits by ``floor((a + 2**(n - 1)) / 2**n)``. Runtimes round halves in different
ways, some of them twice. So weights are written doubled, and biases doubled plus 1: the sum is ``2 a + 1``, which is odd, and a scale of
``2**-(n + 1)`` never makes a half of it, for ``n >= 1``. What is nearest is then the formula's result, for every way of rounding
halves. Rules that round twice, after a product with a 31-bit multiplier in ``[1/2, 1)`` and after a shift, do not round in the
first of these steps where the multiplier is next to 1, so for them (:attr:`CodesWriter.nudged`) the scale of the weights is the float32
number below a power of two, and sums are below ``2**23``, where it makes no other difference: both ``2 a + 1`` times ``2**-24`` and what
float32 rounds off are less than the distance to a half.

Sums of two activations have equal scales on all sides, so that nothing is rounded there.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netproof.errors import ExactnessError

#: sums of products are below this
LARGEST_SUM = 1 << 23


@dataclass(frozen=True)
class Stored:
    """An activation: ``[channels, rows, columns]`` or ``[n]``, its fractional bits, and whether it can be negative."""

    shape: tuple[int, ...]
    fraction: int
    signed: bool

    @property
    def scale(self) -> float:
        """A power of two."""
        return 2.0**-self.fraction


@dataclass(frozen=True, eq=False)
class Product:
    """A convolution (``weight`` ``[C_out, C_in, k, k]``) or a linear map (``[n_out, n_in]``) of an activation.

    ``weight`` and ``bias`` are as they are written: doubled, and 1 added to the bias. ``shape`` is that of the result.
    """

    x: str
    weight: NDArray[np.int64]
    bias: NDArray[np.int64]
    shape: tuple[int, ...]
    stride: int = 1
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)


class CodesWriter(ABC):
    """Builds a file from activations of 8 bits; an :class:`netproof.formats.integer_writer.IntegerWriter`.

    Parameters
    ----------
    name : of the graph
    input_shape : ``(channels, rows, columns)`` of values 0 to 255
    input_fraction, weight_fraction : fractional bits of the input and of all weights
    """

    input = "input"
    #: whether the scale of weights is the number below a power of two
    nudged = False

    def __init__(self, name: str, input_shape: tuple[int, int, int], input_fraction: int, weight_fraction: int) -> None:
        self.name = name
        self._weight_fraction = weight_fraction
        self.values: dict[str, Stored] = {self.input: Stored(input_shape, input_fraction, False)}
        self._open: dict[str, Product | tuple[str, str]] = {}

    @property
    def weight_scale(self) -> np.float32:
        """Of the weights as they are written."""
        power = np.float32(2.0 ** -(self._weight_fraction + 1))
        below: np.float32 = np.nextafter(power, np.float32(0))
        return below if self.nudged else power

    # -- layers

    def convolution(
        self,
        name: str,
        x: str,
        weight: NDArray[np.int64],
        bias: NDArray[np.int64],
        *,
        stride: int = 1,
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> str:
        _, *extents = self.values[x].shape
        kernel = weight.shape[2:]
        ends = (padding[:2], padding[2:])
        results = [
            (extent + sum(end) - size) // stride + 1 for extent, end, size in zip(extents, ends, kernel, strict=True)
        ]
        return self._opened(name, Product(x, weight, bias, (len(weight), *results), stride, padding))

    def linear(self, name: str, x: str, weight: NDArray[np.int64], bias: NDArray[np.int64]) -> str:
        return self._opened(name, Product(x, weight, bias, (len(weight),)))

    def _opened(self, name: str, product: Product) -> str:
        weight, bias = 2 * product.weight, 2 * product.bias + 1
        if not -128 <= weight.min() <= weight.max() <= 127:
            raise ValueError(f"'{name}' has weights beyond 7 bits")
        largest = int(np.abs(weight.reshape(len(weight), -1)).sum(1).max()) * 255 + int(np.abs(bias).max())
        if largest >= LARGEST_SUM:
            raise ExactnessError(
                name,
                f"its sums reach {largest}, and runtimes round alike below {LARGEST_SUM} only",
                "give narrower layers, or fewer --bits",
            )
        self._open[name] = Product(product.x, weight, bias, product.shape, product.stride, product.padding)
        return name

    def add(self, name: str, x: str, y: str) -> str:
        self._open[name] = (x, y)
        return name

    def shifted(self, name: str, x: str, shift: int) -> str:
        if shift:
            raise ValueError(f"'{name}' shifts an activation, which has no operator of 8 bits")
        return x

    def flatten(self, name: str, x: str) -> str:
        of = self.values[x]
        self.values[name] = Stored((math.prod(of.shape),), of.fraction, of.signed)
        self.write_flattened(name, x)
        return name

    def requantize(self, name: str, x: str, shift: int, low: int, high: int) -> str:
        if (low, high) not in ((0, 255), (-128, 127)):
            raise ValueError(f"'{name}' has levels from {low} to {high}, which are not those of 8 bits")
        found = self._open.pop(x)
        if isinstance(found, Product):
            if shift < 1:
                raise ValueError(f"'{name}' does not shift its sums")
            fraction = self.values[found.x].fraction + self._weight_fraction - shift
            self.values[name] = Stored(found.shape, fraction, low < 0)
            self.write_product(name, found)
            return name
        first, second = (self.values[operand] for operand in found)
        if shift or (first.shape, first.fraction) != (second.shape, second.fraction):
            raise ValueError(f"'{name}' is a sum of values of two scales")
        self.values[name] = Stored(first.shape, first.fraction, low < 0)
        self.write_sum(name, *found)
        return name

    # -- what a format has to do

    @abstractmethod
    def write_product(self, name: str, product: Product) -> None:
        """Append a product, and what brings it back to the activation ``name``."""

    @abstractmethod
    def write_sum(self, name: str, x: str, y: str) -> None:
        """Append a sum of two activations of one scale."""

    @abstractmethod
    def write_flattened(self, name: str, x: str) -> None:
        """Append the activation ``x`` with one axis, channels first."""

    @abstractmethod
    def model(self, output: str, outputs: int) -> bytes:
        """The file whose result is the activation ``output``; the same calls give the same bytes."""


def same_padding(extent: int, kernel: int, stride: int) -> tuple[int, int]:
    """What TensorFlow's ``SAME`` puts before and after an axis: as little as gives ``ceil(extent / stride)`` places."""
    missing = max(0, (-(-extent // stride) - 1) * stride + kernel - extent)
    return missing // 2, missing - missing // 2
