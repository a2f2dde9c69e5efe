"""QONNX's quantizers by their definition: clip, then round, in exact numbers; of constants in float32.

The definitions of ``Quant`` (``IntQuant``), ``BipolarQuant``, ``Trunc`` and ``MultiThreshold`` at github.com/fastmachinelearning/qonnx;
A. Pappalardo et al., *QONNX: Representing Arbitrary-Precision Quantized Neural Networks*, 2022 (arXiv 2206.07527).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.second_reading.qonnx.values import Fractions, Known, Value, fractions
from netproof.certificate.second_reading.reading import Reading, UnknownFormError

_HALF = Fraction(1, 2)
_MOST_BITS = 16


def _outwards(number: Fraction) -> int:
    return math.ceil(number) if number > 0 else math.floor(number)


def _half_outwards(number: Fraction) -> int:
    return math.floor(number + _HALF) if number > 0 else math.ceil(number - _HALF)


def _half_inwards(number: Fraction) -> int:
    return math.ceil(number - _HALF) if number > 0 else math.floor(number + _HALF)


ROUND: dict[str, Callable[[Fraction], int]] = {
    "ROUND": round, "HALF_EVEN": round, "CEIL": math.ceil, "FLOOR": math.floor, "UP": _outwards, "DOWN": math.trunc,
    "HALF_UP": _half_outwards, "HALF_DOWN": _half_inwards,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Quantizer:
    """Numbers to ``clip(x / scale + zero, low, high)``, rounded, less ``zero``; in the unit ``scale``. Of two levels to their sign."""

    scale: NDArray[np.float32]
    zero: int
    low: int
    high: int
    round: Callable[[Fraction], int]
    signs: bool = False

    @property
    def unit(self) -> Fractions:
        return fractions(self.scale.astype(np.float64))

    def level(self, number: Fraction) -> int:
        """The level of a number that was divided by the scale."""
        moved = number + self.zero
        if self.signs:
            return (1 if moved >= 0 else -1) - self.zero
        return self.round(max(Fraction(self.low), min(Fraction(self.high), moved))) - self.zero

    def constant(self, array: NDArray[Any]) -> Known:
        """Weights: every operation one of float32."""
        numbers = array.astype(np.float32) / self.scale + np.float32(self.zero)
        if not bool(np.isfinite(numbers).all()):
            raise UnknownFormError("weights that are no numbers")
        if self.signs:
            whole = np.where(numbers >= 0, 1, -1)
        else:
            clipped = np.clip(numbers, np.float32(self.low), np.float32(self.high))
            whole = np.array([self.round(Fraction(x)) for x in clipped.reshape(-1).tolist()]).reshape(clipped.shape)
        whole = np.asarray(whole, np.int64) - self.zero
        return Known((whole.astype(np.float32) * self.scale), whole, self.unit)

    def value(self, reading: Reading, value: Value) -> Value:
        unit = self.unit
        by_scale = value.then(scale=np.asarray(1 / unit))
        part = by_scale.quantized(reading, lambda number, _: self.level(number))
        return Value(part, value.shape).then(scale=unit)


def quantizer_of(operator: str, stated: dict[str, Any], operands: list[NDArray[Any]]) -> Quantizer:
    """The quantizer that a ``Quant`` or ``BipolarQuant`` node states, its operands behind the first."""
    scale = positive(operands[0])
    if operator == "BipolarQuant":
        return Quantizer(scale, 0, -1, 1, round, signs=True)
    if set(stated) - {"signed", "narrow", "rounding_mode"}:
        raise UnknownFormError("a quantizer with other attributes than its own")
    signed, narrow = stated["signed"], stated["narrow"]
    mode, bits, zero = mode_of(stated, "ROUND"), whole_of(operands[2]), whole_of(operands[1])
    if signed not in (0, 1) or narrow not in (0, 1) or not 1 <= bits <= _MOST_BITS:
        raise UnknownFormError("a quantizer of a width or a sign that is not known")
    if bits == 1 and signed:
        return Quantizer(scale, zero, -1, 1, mode, signs=True)
    low, high = _ends(bits, bool(signed), int(narrow))
    return Quantizer(scale, zero, low, high, mode)


def _ends(bits: int, signed: bool, narrow: int) -> tuple[int, int]:
    """The least and the largest whole number of a width."""
    return (-(1 << bits - 1) + narrow, (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1 - narrow)


def truncated(reading: Reading, value: Value, stated: dict[str, Any], operands: list[NDArray[Any]]) -> Value:
    """``Trunc``: of version 1 with widths before and after, of version 2 with a scale and a range of its result."""
    scale, zero = fractions(positive(operands[0]).astype(np.float64)).reshape(-1), whole_of(operands[1])
    mode = mode_of(stated, "FLOOR")
    if len(scale) != 1:
        raise UnknownFormError("a Trunc of channels")
    if len(operands) == 5:
        result = fractions(positive(operands[3]).astype(np.float64)).reshape(-1)
        bits, signed, narrow = whole_of(operands[4]), stated.get("signed", 1), stated.get("narrow", 0)
        if len(result) != 1 or not 1 <= bits <= _MOST_BITS:
            raise UnknownFormError("a Trunc of channels")
        factor, unit = result[0] / scale[0], result[0]
        ends = tuple(map(Fraction, _ends(bits, bool(signed), int(narrow))))
    else:
        factor, unit = Fraction(1 << max(0, whole_of(operands[2]) - whole_of(operands[3]))), scale[0]
        ends = Fraction(-(1 << 60)), Fraction(1 << 60)

    def level(number: Fraction, _: int) -> int:
        return mode(max(ends[0], min(ends[1], Fraction(round(number / scale[0] + zero)) / factor)))

    part = value.quantized(reading, level)
    below = scale[0] if len(operands) == 4 else unit / factor
    return Value(part, value.shape).then(scale=fractions([unit]), shift=fractions([-zero * below]))


def thresholded(reading: Reading, value: Value, stated: dict[str, Any], array: NDArray[Any]) -> Value:
    """``MultiThreshold``: how many thresholds of its channel, on the second axis, a number reaches."""
    if (
        bytes(stated.get("data_layout", b"")).decode() not in ("", "NC", "NCHW")
        or value.shape[0] != 1
        or array.ndim != 2
    ):
        raise UnknownFormError("thresholds of another layout")
    rows = fractions(array.astype(np.float64))
    if len(rows) not in (1, value.shape[1]):
        raise UnknownFormError("thresholds of another number of channels")
    spread = np.arange(len(rows)).reshape(1, -1, *(1,) * (len(value.shape) - 2))
    part = value.quantized(reading, _Thresholds(rows), spread)
    scale, shift = (Fraction(stated.get(name, default)) for name, default in (("out_scale", 1.0), ("out_bias", 0.0)))
    return Value(part, value.shape).then(scale=fractions([scale]), shift=fractions([shift]))


class _Thresholds:
    """How many thresholds a number reaches, by the channel of the steps, of which there can be more than rows."""

    def __init__(self, rows: Fractions) -> None:
        self._rows = rows

    def __call__(self, number: Fraction, channel: int) -> int:
        return sum(number >= one for one in self._rows[channel % len(self._rows)])


def positive(array: NDArray[Any]) -> NDArray[np.float32]:
    """Scales as the file has them."""
    scale = np.asarray(array)
    if scale.dtype != np.float32 or not scale.size or not bool((np.isfinite(scale) & (scale > 0)).all()):
        raise UnknownFormError("scales that are no positive float32 numbers")
    return scale


def whole_of(array: NDArray[Any]) -> int:
    """The one whole number of an array, or of many equal ones."""
    numbers = set(np.asarray(array, np.float64).reshape(-1).tolist())
    if len(numbers) != 1 or not math.isfinite(number := numbers.pop()) or number != int(number):
        raise UnknownFormError("a zero point or a width that is no whole number")
    return int(number)


def mode_of(stated: dict[str, Any], usual: str) -> Callable[[Fraction], int]:
    name = bytes(stated.get("rounding_mode", usual.encode())).decode().upper()
    if name not in ROUND:
        raise UnknownFormError(f"the rounding mode '{name[:40]}'")
    return ROUND[name]
