"""What a value of a QONNX network is: whole numbers of a part, and the exact function that makes its numbers of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.second_reading.reading import Floats, Reading, UnknownFormError, Wholes

#: fractions in an array that broadcasts to the shape of a value
Fractions = NDArray[Any]
#: no value has steps of more channels
_MOST_CHANNELS = 1 << 14


def fractions(array: Any) -> Fractions:
    """Floats, or whole numbers, as fractions."""
    flat = np.asarray(array)
    found = np.empty(flat.size, object)
    found[:] = [Fraction(number) for number in flat.reshape(-1).tolist()]
    return found.reshape(flat.shape)


def largest_unit(numbers: Iterable[Fraction]) -> Fraction:
    """The largest number of which all are whole multiples; 1 where all are 0."""
    some = [number for number in numbers if number]
    if not some:
        return Fraction(1)
    below = math.lcm(*(number.denominator for number in some))
    return Fraction(math.gcd(*(int(number * below) for number in some)), below)


@dataclass(frozen=True, eq=False)
class Line:
    """``scale x + shift``."""

    scale: Fractions
    shift: Fractions


@dataclass(frozen=True)
class Bend:
    """``max(x, 0)``."""


@dataclass(frozen=True, eq=False)
class Value:
    """Numbers of ``shape``: lines and bends, one after the other, on the whole numbers of part ``part``."""

    part: int
    shape: tuple[int, ...]
    chain: tuple[Line | Bend, ...] = ()

    def then(self, scale: Fractions | None = None, shift: Fractions | None = None) -> Value:
        """The value times ``scale`` plus ``shift``."""
        one, zero = fractions([1]), fractions([0])
        line = Line(one if scale is None else scale, zero if shift is None else shift)
        for array in (line.scale, line.shift):
            if np.broadcast_shapes(array.shape, self.shape) != self.shape:
                raise UnknownFormError(f"a constant of shape {array.shape} with a value {self.shape}")
        return replace(self, chain=(*self.chain, line))

    def bent(self) -> Value:
        return replace(self, chain=(*self.chain, Bend()))

    @property
    def line(self) -> Line:
        """All lines as one."""
        scale, shift = fractions([1]), fractions([0])
        for step in self.chain:
            if isinstance(step, Bend):
                raise UnknownFormError("a value between two products that is not quantized")
            scale, shift = scale * step.scale, shift * step.scale + step.shift
        return Line(scale, shift)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def moved(self, index: NDArray[Any], reading: Reading) -> Value:
        """The features of an array of their positions, in its shape."""
        shape, order = tuple(index.shape), index.reshape(-1)
        chain: list[Line | Bend] = []
        for step in self.chain:
            if isinstance(step, Line) and step.scale.size * step.shift.size > 1:
                whole = [np.broadcast_to(part, self.shape).reshape(-1) for part in (step.scale, step.shift)]
                chain.append(Line(*(part[order].reshape(shape) for part in whole)))
            else:
                chain.append(step)
        part = self.part
        if not np.array_equal(order, np.arange(self.size)):
            part = reading.add_map(lambda x, _: x[0][:, order], part)
        return Value(part, shape, tuple(chain))

    def quantized(self, reading: Reading, levels: Callable[[Fraction, int], int], more: Fractions | None = None) -> int:
        """A part with steps: ``levels`` of the number and of its channel.

        Channels are runs of features with the same lines, and the same of ``more``, of which there can be other runs.
        """
        arrays = [part for step in self.chain if isinstance(step, Line) for part in (step.scale, step.shift)]
        rank = len(self.shape)
        arrays += [] if more is None else [more]
        aligned = [part.reshape((1,) * (rank - part.ndim) + part.shape) for part in arrays]
        leading = max((axis + 1 for part in aligned for axis in range(rank) if part.shape[axis] > 1), default=0)
        channels = math.prod(self.shape[:leading])
        if channels > _MOST_CHANNELS:
            raise UnknownFormError(f"steps of {channels} channels")
        shape = (*self.shape[:leading], *(1,) * (rank - leading))
        spread = iter([np.broadcast_to(part, shape).reshape(-1) for part in aligned])
        chain = [(next(spread), next(spread)) if isinstance(step, Line) else None for step in self.chain]
        signs = np.ones(channels, np.int64)
        for pair in chain:
            if pair is not None:
                signs *= np.array([-1 if number < 0 else 1 for number in pair[0]])

        def steps_of(channel: int) -> Callable[[Wholes], Wholes]:
            lines = [None if pair is None else (pair[0][channel], pair[1][channel]) for pair in chain]
            sign = int(signs[channel])

            def one(whole: int) -> int:
                number = Fraction(sign * whole)
                for line in lines:
                    number = max(number, Fraction(0)) if line is None else number * line[0] + line[1]
                return levels(number, channel)

            return lambda values: np.array([one(int(value)) for value in values.tolist()], dtype=object)

        part = self.part
        if bool((signs < 0).any()):
            # Steps keep order: where numbers fall with whole numbers, the negative of these is taken.
            factor: Floats = np.repeat(signs.astype(np.float64), self.size // channels)
            part = reading.add_map(lambda x, absolute: x[0] * (np.abs(factor) if absolute else factor), part)
        return reading.add_steps([steps_of(channel) for channel in range(channels)], part)


@dataclass(frozen=True, eq=False)
class Known:
    """A constant. ``whole`` times ``unit``, which broadcasts, where a quantizer gives it; ``array`` as floats otherwise."""

    array: NDArray[Any]
    whole: NDArray[np.int64] | None = None
    unit: Fractions | None = None

    @property
    def numbers(self) -> Fractions:
        """The numbers, exactly."""
        return fractions(self.array) if self.whole is None else np.asarray(self.whole.astype(object) * self.unit)

    def weights(self, axis: int) -> tuple[NDArray[Any], Fractions]:
        """Whole numbers, and the unit of each entry of an axis (or of all)."""
        if self.whole is not None:
            assert self.unit is not None
            if self.unit.size == 1:
                return self.whole.astype(object), self.unit.reshape(1)
            spread = np.moveaxis(np.broadcast_to(self.unit, self.whole.shape), axis, 0)
            rows = spread.reshape(len(spread), -1)
            if any(number != row[0] for row in rows for number in row):
                raise UnknownFormError("weights with scales along their inputs")
            return self.whole.astype(object), rows[:, 0].copy()
        numbers = fractions(self.array)
        unit = largest_unit(numbers.reshape(-1))
        return np.asarray(numbers / unit), np.array([unit], object)
