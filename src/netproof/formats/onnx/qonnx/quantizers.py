"""QONNX's quantizers: of constants, and of values, whose levels become staircases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from netproof.formats.onnx.arithmetic import per_channel
from netproof.formats.onnx.call import Call, NodeError
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.qonnx.rounding import ROUNDINGS, Bound, Rounding, ends_of
from netproof.formats.onnx.qonnx.steps import staircase
from netproof.formats.onnx.qonnx.values import Fractions, Levels, Line, Scaled, fractions
from netproof.formats.onnx.quantized.build import Build

#: bits of a quantizer at the most
_MOST_BITS = 16
_SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class Quantizer:
    """``Quant``: levels from ``low`` to ``high``; scale and zero point broadcast to the operand's shape.

    A width of one bit that is signed has the levels -1 and 1.
    """

    scale: NDArray[np.float64]
    zero: NDArray[np.int64]
    low: int
    high: int
    bipolar: bool
    rounding: Rounding

    def constant(self, array: NDArray[np.float64]) -> Levels:
        """A constant quantized in float32, as QONNX's own executor does."""
        scale, zero = self.scale.astype(np.float32), self.zero.astype(np.float32)
        with np.errstate(all="ignore"):
            numbers = array.astype(np.float32) / scale + zero
        if not bool(np.isfinite(numbers).all()):
            raise NodeError("a constant holds NaN or infinity, or is too large for its scale", "repair the network")
        if self.bipolar:
            rounded = np.where(numbers >= 0, 1, -1)
        else:
            rounded = self.rounding.array(np.clip(numbers, self.low, self.high))
        whole = rounded.astype(np.int64) - self.zero
        values = (whole.astype(np.float32) * scale).astype(np.float64)
        unit = fractions(self.scale)
        return Levels(values, np.asarray(whole, np.int64), unit)

    def value(self, build: Build, name: str, value: Scaled) -> Scaled:
        """The levels of a value."""
        scale, zero = _runs(self.scale, value.shape), _runs(self.zero.astype(np.float64), value.shape)
        groups = int(np.lcm(len(scale), len(zero)))
        scales, zeros = (np.repeat(part, groups // len(part)) for part in (scale, zero))
        if bool((zeros != zeros[0]).any()):
            raise NodeError("zero points of channels", "quantize with one zero point")
        offset = int(zeros[0])
        if self.bipolar:
            asked = [_bound(scales, offset, (Fraction(0), False))] * 2
            low = -1
        else:
            asked = [_bound(scales, offset, self.rounding.least(v)) for v in range(self.low + 1, self.high + 1)]
            low = self.low
        sums = staircase(build, name, value, groups, low - offset, asked)
        shift = np.array([Fraction(0)], object)
        return Scaled(sums.node, sums.shape, sums.low, sums.high, (Line(scale, shift),))


def _runs(array: NDArray[np.float64], shape: tuple[int, ...]) -> Fractions:
    if np.broadcast_shapes(array.shape, shape) != shape:
        raise NodeError(f"a scale or zero point of shape {array.shape} for a value {shape}", "export it again")
    return fractions(per_channel(array, shape))


def _bound(scales: Fractions, zero: int, bound: Bound) -> Callable[[int], Bound]:
    """A bound on ``x / scale + zero`` as one on ``x``."""
    number, strict = bound
    return lambda group: ((number - zero) * scales[group], strict)


def quantizer_of(call: Call) -> Quantizer:
    """The quantizer that a ``Quant`` or ``IntQuant`` node states."""
    _known(call, ("signed", "narrow", "rounding_mode"), 4)
    for name in ("signed", "narrow"):
        if not call.has(name):
            raise NodeError(f"no attribute '{name}', which it needs", "export it again")
    signed, narrow = call.flag("signed"), call.flag("narrow")
    mode = call.text("rounding_mode", "ROUND").upper()
    rounding = ROUNDINGS.get(mode)
    if rounding is None:
        raise NodeError(f"the rounding mode '{mode}'", f"known are {', '.join(ROUNDINGS)}")
    bits = _bits(call, 3)
    if bits == 1 and signed:
        return Quantizer(scale_of(call, 1), _zero(call, 2), -1, 1, True, rounding)
    low, high = ends_of(bits, signed, narrow)
    if low >= high:
        raise NodeError(f"a width of {bits} bits leaves one level", "use more bits")
    return Quantizer(scale_of(call, 1), _zero(call, 2), low, high, False, rounding)


def bipolar_of(call: Call) -> Quantizer:
    """``BipolarQuant``."""
    _known(call, (), 2)
    return Quantizer(scale_of(call, 1), np.zeros((), np.int64), -1, 1, True, ROUNDINGS["ROUND"])


def truncated(build: Build, call: Call, value: Scaled) -> Scaled:
    """``Trunc``: bits cut off a quantized value; with six operands it has a scale of its result, and a range."""
    second = len(call.operands) > 5
    known = ("rounding_mode", "signed", "narrow") if second else ("rounding_mode",)
    _known(call, known, 6 if second else 5)
    mode = call.text("rounding_mode", "FLOOR").upper()
    rounding = ROUNDINGS.get(mode)
    scale, zero = scale_of(call, 1), _zero(call, 2)
    if rounding is None or scale.size != 1 or zero.size != 1:
        raise NodeError(f"the rounding mode '{mode}', or scales of channels", f"known are {', '.join(ROUNDINGS)}")
    one, offset = fractions(scale).reshape(-1)[0], int(zero.reshape(-1)[0])
    line = value.line
    if any((a / one).denominator != 1 for a in line.scale) or any((b / one).denominator != 1 for b in line.shift):
        raise NodeError("its operand is no multiple of its scale", "truncate what was quantized with this scale")
    if second:
        result = fractions(scale_of(call, 4)).reshape(-1)
        ratio = result[0] / one
        if len(result) != 1 or ratio.numerator & (ratio.numerator - 1) or ratio.denominator != 1:
            raise NodeError("a scale of the result that is no power of two times the operand's", "export it again")
        low, high = ends_of(_bits(call, 5), call.flag("signed", default=True), call.flag("narrow"))
        factor, unit, shift = int(ratio), result[0], Fraction(-offset) * one
    else:
        factor = 1 << max(0, _bits(call, 3) - _bits(call, 4))
        ends = (int(value.low.min()), int(value.high.max()))
        reach = [a * e / one + b / one + offset for a in line.scale for b in line.shift for e in ends]
        low, high = (int(end(reach)) // factor + more for end, more in ((min, -1), (max, 1)))
        unit, shift = one, Fraction(-offset) * one
    if high - low > 1 << _MOST_BITS:
        raise NodeError("more levels than can be handled", "use fewer bits")

    def asked(level: int) -> Callable[[int], Bound]:
        number, strict = rounding.least(level)
        return lambda _: ((number * factor - offset) * one, strict)

    sums = staircase(build, call.name, value, 1, low, [asked(v) for v in range(low + 1, high + 1)])
    added = Line(np.array([unit], object), np.array([shift], object))
    return Scaled(sums.node, sums.shape, sums.low, sums.high, (added,))


def thresholded(build: Build, call: Call, value: Scaled) -> Scaled:
    """``MultiThreshold``: how many thresholds of its channel a value reaches, times a scale, plus a bias."""
    _known(call, ("out_dtype", "out_scale", "out_bias", "data_layout"), 2)
    if call.text("data_layout", "") not in ("", "NC", "NCHW"):
        raise NodeError(f"the layout '{call.text('data_layout', '')}'", "known are channels on the second axis")
    array = call.numbers(1)
    if array.ndim != 2 or value.shape[0] != 1 or len(value.shape) < 2 or len(array) not in (1, value.shape[1]):
        raise NodeError(f"thresholds of shape {array.shape} for a value {value.shape}", "export it again")
    ordered = fractions(np.sort(array, axis=1))

    def asked(level: int) -> Callable[[int], Bound]:
        return lambda group: (ordered[group, level], False)

    sums = staircase(build, call.name, value, len(ordered), 0, [asked(k) for k in range(array.shape[1])])
    scale, bias = (Fraction(call.number(name, default)) for name, default in (("out_scale", 1.0), ("out_bias", 0.0)))
    line = Line(np.array([scale], object), np.array([bias], object))
    return Scaled(sums.node, sums.shape, sums.low, sums.high, (line,))


def scale_of(call: Call, number: int) -> NDArray[np.float64]:
    """An operand of known positive scales."""
    if call.optional(number) is None:
        raise NodeError(f"its scale (operand {number}) is missing", "export it again")
    array = call.constant(number)
    if array.dtype != np.float64 or not array.size:
        raise NodeError(f"its scale (operand {number}) is no float", "export it again")
    if not bool((np.isfinite(array) & (array >= _SMALLEST)).all()):
        raise NodeError(f"its scale (operand {number}) is no positive normal float32 number", "quantize it again")
    return np.asarray(array, np.float64)


def _zero(call: Call, number: int) -> NDArray[np.int64]:
    array = np.asarray(call.constant(number), np.float64)
    if not bool((np.isfinite(array) & (array == np.rint(array)) & (np.abs(array) < 1 << 20)).all()):
        raise NodeError(f"its zero point (operand {number}) is no whole number", "quantize it again")
    return np.asarray(array, np.int64)


def _bits(call: Call, number: int) -> int:
    array = np.asarray(call.constant(number), np.float64).reshape(-1)
    if array.size != 1 or array[0] != np.rint(array[0]) or not 1 <= array[0] <= _MOST_BITS:
        raise NodeError(f"its width (operand {number}) is not 1 to {_MOST_BITS} bits", "quantize it again")
    return int(array[0])


def _known(call: Call, names: Sequence[str], operands: int) -> None:
    unknown = sorted(set(call.attributes) - set(names))
    if unknown:
        raise NodeError(f"it has the attribute '{printable(unknown[0])}', which is not known", "export it again")
    if len(call.operands) != operands or call.outputs != 1:
        raise NodeError(f"{len(call.operands)} operands where it has {operands}", "export it again")
