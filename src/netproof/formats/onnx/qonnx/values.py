"""Values of a QONNX network: whole numbers in the graph, and the exact function that makes numbers of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.formats.onnx.call import Constant, NodeError
from netproof.formats.onnx.quantized.values import Sums

#: fractions, one for each of equally long runs of a value's features
Fractions = NDArray[Any]


def fractions(array: NDArray[np.float64]) -> Fractions:
    """Floats as fractions, exactly."""
    found = np.empty(array.size, object)
    found[:] = [Fraction(float(number)) for number in array.reshape(-1)]
    return found.reshape(array.shape)


@dataclass(frozen=True, eq=False)
class Line:
    """``scale x + shift``, ``[G]`` each; ``approximate`` says that they hold a root to 200 bits, not exactly."""

    scale: Fractions
    shift: Fractions
    approximate: bool = False


@dataclass(frozen=True)
class Bend:
    """``max(x, 0)``."""


Step = Line | Bend


@dataclass(frozen=True, eq=False)
class Scaled(Sums):
    """A value that depends on the input: steps on the whole numbers of a node, in turn."""

    steps: tuple[Step, ...]

    @property
    def line(self) -> Line:
        """The one line that it is; raises :class:`NodeError` where it is none."""
        if not self.steps:
            return Line(np.array([Fraction(1)], object), np.array([Fraction(0)], object))
        if len(self.steps) != 1 or not isinstance(self.steps[0], Line):
            raise NodeError("its operand is not quantized", "quantize every value between two products")
        return self.steps[0]

    def then(self, step: Step) -> tuple[Step, ...]:
        """The steps with another one behind them, lines joined."""
        last = self.steps[-1] if self.steps else None
        if isinstance(step, Line) and isinstance(last, Line):
            (s1, b1), (s2, b2) = _alike(last.scale, last.shift), _alike(step.scale, step.shift)
            s1, s2 = _alike(s1, s2)
            b1, b2 = _alike(b1, b2)
            joined = Line(s1 * s2, b1 * s2 + b2, last.approximate or step.approximate)
            return (*self.steps[:-1], joined)
        return (*self.steps, step)

    @property
    def groups(self) -> int:
        """How many runs of features have functions of their own."""
        sizes = [len(part) for step in self.steps if isinstance(step, Line) for part in (step.scale, step.shift)]
        return math.lcm(*sizes) if sizes else 1

    @property
    def approximate(self) -> bool:
        return any(isinstance(step, Line) and step.approximate for step in self.steps)


def _alike(one: Fractions, other: Fractions) -> tuple[Fractions, Fractions]:
    """Two arrays of runs as ones with equally many."""
    count = math.lcm(len(one), len(other))
    return np.repeat(one, count // len(one)), np.repeat(other, count // len(other))


@dataclass(frozen=True, eq=False)
class Levels(Constant):
    """A constant that a quantizer gives: whole numbers times ``unit``, which broadcasts to their shape."""

    whole: NDArray[np.int64]
    unit: Fractions


def levels_of(constant: Constant) -> Levels:
    """A constant of floats as whole numbers of one unit; raises :class:`NodeError` where they are too far apart."""
    if isinstance(constant, Levels):
        return constant
    array = constant.array.astype(np.float64)
    if not bool(np.isfinite(array).all()):
        raise NodeError("a constant holds NaN or infinity", "repair the network")
    unit = shared_unit(fractions(array).reshape(-1))
    whole = np.array([int(number / unit) for number in fractions(array).reshape(-1)], object).reshape(array.shape)
    if max((abs(number) for number in whole.reshape(-1)), default=0) >= 1 << 40:
        raise NodeError("constants that are not quantized, and lie too far apart", "quantize the weights")
    return Levels(array, whole.astype(np.int64), np.array(unit, object))


def shared_unit(numbers: Sequence[Fraction] | Fractions) -> Fraction:
    """The largest fraction that all of them are whole multiples of; 1 where all are 0."""
    top, bottom = 0, 1
    for number in numbers:
        top, bottom = (
            math.gcd(top * number.denominator, number.numerator * bottom),
            bottom * number.denominator,
        )
        shared = math.gcd(top, bottom)
        top, bottom = top // max(shared, 1), bottom // max(shared, 1)
    return Fraction(top, bottom) if top else Fraction(1)
