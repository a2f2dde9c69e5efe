"""How QONNX's quantizers round: the least argument of every level, and constants.

A. Pappalardo et al., *QONNX: Representing Arbitrary-Precision Quantized Neural Networks*, 2022 (arXiv 2206.07527), and its operators'
definitions at github.com/fastmachinelearning/qonnx: ``IntQuant`` clips ``x / scale + zero`` to its range, and then rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: a number, and whether only larger ones count
Bound = tuple[Fraction, bool]


def _nearest(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.round(values))


def _outwards(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.sign(values) * np.ceil(np.abs(values)))


def _half_outwards(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.sign(values) * np.floor(np.abs(values) + 0.5))


def _half_inwards(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.sign(values) * np.ceil(np.abs(values) - 0.5))


_HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Rounding:
    """A rounding mode.

    Attributes
    ----------
    least : the least argument that is rounded to a level or beyond it
    array : the rounded numbers of an array
    """

    least: Callable[[int], Bound]
    array: Callable[[NDArray[Any]], NDArray[Any]]


ROUNDINGS = {
    "ROUND": Rounding(lambda v: (v - _HALF, v % 2 == 1), _nearest),
    "HALF_EVEN": Rounding(lambda v: (v - _HALF, v % 2 == 1), _nearest),
    "CEIL": Rounding(lambda v: (Fraction(v - 1), True), np.ceil),
    "FLOOR": Rounding(lambda v: (Fraction(v), False), np.floor),
    "UP": Rounding(lambda v: (Fraction(v - 1), True) if v > 0 else (Fraction(v), False), _outwards),
    "DOWN": Rounding(lambda v: (Fraction(v), False) if v > 0 else (Fraction(v - 1), True), np.trunc),
    "HALF_UP": Rounding(lambda v: (v - _HALF, v <= 0), _half_outwards),
    "HALF_DOWN": Rounding(lambda v: (v - _HALF, v > 0), _half_inwards),
}


def ends_of(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """The least and the largest whole number of a width."""
    if signed:
        return -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1 - narrow


def whole_at_least(bound: Bound) -> int:
    """The least whole number within a bound."""
    number, strict = bound
    floor = number.numerator // number.denominator
    return floor + 1 if strict or floor != number else floor
