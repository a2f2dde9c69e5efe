"""Operators of straight pieces, by ReLUs and by jumps."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.operators import Array
from netproof.certificate.checker.real.reading.constants import WIDEST, UnknownError
from netproof.certificate.checker.real.reading.maps import Maps
from netproof.certificate.checker.real.reading.values import Operand, Operator, Value, grid_of

#: places of a Resize, by the place in the result, its scale, and the extents before and after
_PLACES: dict[str, Callable[[int, Fraction, int, int], Fraction]] = {
    "asymmetric": lambda x, scale, before, after: Fraction(x) / scale,
    "half_pixel": lambda x, scale, before, after: (x + Fraction(1, 2)) / scale - Fraction(1, 2),
    "align_corners": lambda x, scale, before, after: Fraction(x * (before - 1), max(after - 1, 1)),
}
_NEAREST: dict[str, Callable[[Fraction], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round_prefer_floor": lambda x: math.ceil(x - Fraction(1, 2)),
    "round_prefer_ceil": lambda x: math.floor(x + Fraction(1, 2)),
}


class Pieces(Maps):
    """Values, and the operators that are straight piece by piece."""

    def operators(self) -> dict[str, Operator]:
        """What is known, by name."""
        jumps = {kind: partial(self.jump, bend) for kind, bend in (("Floor", "floor"), ("Sign", "sign"))}
        compared = {
            kind: partial(self.compare, function, sign)
            for kind, function, sign in (
                ("Greater", np.greater, 1), ("GreaterOrEqual", np.greater_equal, 1), ("Less", np.less, -1),
                ("LessOrEqual", np.less_equal, -1), ("Equal", np.equal, 0),
            )
        }  # fmt: skip
        return {
            **super().operators(), **jumps, **compared,
            "Abs": self.absolute, "Ceil": self.ceiling, "Clip": self.clip, "GlobalMaxPool": self.maximum_of_all, "HardSigmoid": self.hard_sigmoid,
            "LeakyRelu": self.leaky, "Max": partial(self.largest, 1), "MaxPool": self.maximum,
            "Min": partial(self.largest, -1), "PRelu": self.leaky_by_constant, "ReduceMax": partial(self.extreme, 1),
            "ReduceMin": partial(self.extreme, -1), "Relu": self.relu, "Resize": self.resize,
            "ThresholdedRelu": self.thresholded, "Upsample": self.upsample,
        }  # fmt: skip

    def relu(self, operands: list[Any], _: dict[str, Any]) -> Value:
        return self._rectified(self._value(operands))

    def _bent(self, value: Value, slope: Array) -> Value:
        """``slope x`` below 0 and ``x`` above, which is ``slope x + (1 - slope) relu(x)``."""
        rest = self._numbers.load(np.ones(len(slope))) - slope
        return self._summed(self._scaled(value, slope), self._scaled(self._rectified(value), rest, roundings=2))

    def absolute(self, operands: list[Any], _: dict[str, Any]) -> Value:
        value = self._value(operands)
        return self._bent(value, self._numbers.load(np.full(math.prod(value.shape), -1.0)))

    def leaky(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        value, slope = self._value(operands), np.float64(attributes.pop("alpha", float(np.float32(0.01))))
        return self._bent(value, self._spread(slope, value.shape))

    def leaky_by_constant(self, operands: list[Any], _: dict[str, Any]) -> Value:
        value, (_, slope) = self._value(operands[:1]), operands
        return self._bent(value, self._spread(slope, value.shape))

    # Ends.

    def clip(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        ends = operands[1:] if self._opset >= 11 else [attributes.pop(name, np.zeros(0)) for name in ("min", "max")]
        ends = [*ends, np.zeros(0), np.zeros(0)][: max(2, len(ends))]
        if len(ends) != 2 or any(isinstance(end, Value) or np.size(end) > 1 or np.ndim(end) > 1 for end in ends):
            raise UnknownError("a Clip by what is no number")
        low, high = (float(np.reshape(end, ())) if np.size(end) else None for end in ends)
        return self._clipped(self._value(operands[:1] if self._opset >= 11 else operands), low, high)

    def _clipped(self, value: Value, low: float | None, high: float | None) -> Value:
        """An end that is left out is the largest number of the type, within which values have to stay."""
        if low is not None and high is not None and not low <= high:
            raise UnknownError("a Clip whose ends are exchanged")
        if low is not None:
            value = self._scaled(self._rectified(self._scaled(value, 1.0, -low)), 1.0, low)
        if high is not None:
            value = self._scaled(self._rectified(self._scaled(value, -1.0, high)), -1.0, high)
        return value if low is not None and high is not None else self._bend(value, "within")

    def hard_sigmoid(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        alpha, beta = attributes.pop("alpha", float(np.float32(0.2))), attributes.pop("beta", 0.5)
        return self._clipped(self._scaled(self._value(operands), alpha, beta), 0.0, 1.0)

    # Maxima: max(a, b) = a + relu(b - a), min(a, b) = a - relu(a - b).

    def largest(self, sign: int, operands: list[Any], _: dict[str, Any]) -> Operand:
        found: Operand = operands[0]
        for other in operands[1:]:
            # A constant is what is added to a ReLU of a value.
            first, second = (
                (other, found) if not isinstance(other, Value) and isinstance(found, Value) else (found, other)
            )
            rise = self._value([self.add([second, first], {}, -1)])
            found = self.add([first, self._rectified(rise if sign > 0 else self._scaled(rise, -1.0))], {}, sign)
        return found if isinstance(found, Value) else self._value([found])

    def _largest(self, value: Value, index: NDArray[np.int64]) -> Value:
        """Of every column of places ``[k, n]`` the largest number, by halves."""
        while len(index) > 1:
            half = (len(index) + 1) // 2
            first, second = (self._moved(value, part.reshape(-1)) for part in (index[:half], index[-half:]))
            value = self._summed(first, self._rectified(self._summed(second, first, -1)))
            index = np.arange(math.prod(value.shape)).reshape(half, -1)
        return self._moved(value, index[0])

    def extreme(self, sign: int, operands: list[Any], attributes: dict[str, Any]) -> Value:
        axes, keeps = self._axes(operands, attributes, 18, "maximum")
        value = self._value(operands[:1])
        rows, kept = self._together(value if sign > 0 else self._scaled(value, -1.0), axes)
        found = self._largest(rows, grid_of(rows).T)
        found = found if sign > 0 else self._scaled(found, -1.0)
        return Value(found.node, kept if keeps else tuple(d for k, d in enumerate(kept) if k not in axes))

    def maximum_of_all(self, operands: list[Any], _: dict[str, Any]) -> Value:
        value = self._value(operands)
        rows, kept = self._together(value, list(range(2, len(value.shape))))
        return Value(self._largest(rows, grid_of(rows).T).node, kept)

    def maximum(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        """A MaxPool."""
        value, kernel = self._value(operands), attributes.pop("kernel_shape", [])
        rank = len(value.shape) - 2
        if len(kernel) != rank or rank < 1 or min(kernel) < 1:
            raise UnknownError("the windows of a MaxPool")
        strides, pads, dilations = self._frame(tuple(kernel), value.shape[2:], attributes)
        others = [attributes.pop(name, 0) for name in ("ceil_mode", "storage_order")]
        fits = max(pads) < max(kernel) and math.prod(kernel) * math.prod(value.shape) <= WIDEST
        if any(others) or set(dilations) != {1} or not fits:
            raise UnknownError("the windows of a MaxPool")
        around = [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
        grid = np.pad(grid_of(value), around, constant_values=-1)
        places = np.lib.stride_tricks.sliding_window_view(grid, kernel, tuple(range(2, rank + 2)))
        places = places[tuple(slice(None, None, s) for s in (1, 1, *strides))]
        places = places.reshape(*places.shape[: rank + 2], -1)
        # In the place of padding something else of the window.
        places = np.where(places < 0, places.max(-1, keepdims=True), places)
        if (places < 0).any():
            raise UnknownError("the windows of a MaxPool")
        return Value(self._largest(value, places.reshape(-1, places.shape[-1]).T).node, places.shape[:-1])

    # Jumps.

    def jump(self, bend: str, operands: list[Any], _: dict[str, Any]) -> Value:
        return self._bend(self._value(operands), bend)

    def ceiling(self, operands: list[Any], _: dict[str, Any]) -> Value:
        return self._scaled(self._bend(self._scaled(self._value(operands), -1.0), "floor"), -1.0)

    def compare(self, function: Any, sign: int, operands: list[Any], _: dict[str, Any]) -> Operand:
        """A truth value; of values 0 or 1, whatever it is where they are equal."""
        first, second = operands
        if not isinstance(first, Value) and not isinstance(second, Value):
            return np.asarray(function(first, second))
        if not sign:
            raise UnknownError("whether values are equal")
        rise = self.add([first, second] if sign > 0 else [second, first], {}, -1)
        return self._scaled(self._bend(self._value([rise]), "side"), 0.5, 0.5)

    def thresholded(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        """``relu(x - a) + a [x > a]``."""
        value, at = self._value(operands), attributes.pop("alpha", 1.0)
        above = self._scaled(value, 1.0, -at)
        return self._summed(self._rectified(above), self._scaled(self._bend(above, "side"), at / 2, at / 2))

    # Sizes of images.

    def upsample(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        scales = attributes.pop("scales", []) if self._opset < 9 else operands[1]
        return self._resized(operands[0], list(scales), None, "asymmetric", attributes.pop("mode", "nearest"), "floor")

    def resize(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        x, *given = operands
        if self._opset < 11:
            return self.upsample(operands, attributes)
        scales, sizes = ([*given, *[np.zeros(0)] * 3])[1:3]
        place = attributes.pop("coordinate_transformation_mode", "half_pixel")
        nearest, mode = attributes.pop("nearest_mode", "round_prefer_floor"), attributes.pop("mode", "nearest")
        for name in ("cubic_coeff_a", "extrapolation_value"):
            attributes.pop(name, None)
        if len(given) > 3 or (scales.size and sizes.size):
            raise UnknownError("the operands of a Resize")
        return self._resized(x, list(scales), [int(n) for n in sizes] if sizes.size else None, place, mode, nearest)

    def _resized(
        self, x: Operand, scales: list[Any], sizes: list[int] | None, place: str, mode: str, nearest: str
    ) -> Operand:
        """By whole factors alone, of which no rounding of a runtime decides."""
        rank = len(x.shape)
        factors = [n // d for n, d in zip(sizes or [], x.shape, strict=False)] if sizes else [int(s) for s in scales]
        exact = list(sizes or scales) == [f * (d if sizes else 1) for f, d in zip(factors, x.shape, strict=False)]
        if len(factors) != rank or not exact or min(factors) < 1 or place not in _PLACES or nearest not in _NEAREST:
            raise UnknownError("a Resize by what is no whole factor, or of such places")
        value = self._value([x])
        for axis, factor in enumerate(factors):
            before = value.shape[axis]
            if factor == 1:
                continue
            at = [_PLACES[place](k, Fraction(factor), before, before * factor) for k in range(before * factor)]
            inside = [min(max(place_, Fraction(0)), Fraction(before - 1)) for place_ in at]
            if mode == "nearest" and place != "align_corners":
                taken = [min(max(_NEAREST[nearest](place_), 0), before - 1) for place_ in at]
                value = self._value([self.gather([value, np.array(taken, np.int64)], {"axis": axis})])
            elif mode == "linear":
                value = self._between(value, axis, inside)
            else:
                raise UnknownError(f"a Resize by '{mode[:20]}'")
        return value

    def _between(self, value: Value, axis: int, at: list[Fraction]) -> Value:
        """Numbers between neighbours along an axis, by shares of both."""
        first = [math.floor(place) for place in at]
        second = [min(k + 1, value.shape[axis] - 1) for k in first]
        parts = []
        for taken, shares in (
            (first, [1 - place + k for place, k in zip(at, first, strict=True)]),
            (second, [place - k for place, k in zip(at, first, strict=True)]),
        ):
            moved = self._value([self.gather([value, np.array(taken, np.int64)], {"axis": axis})])
            kept = np.array([self._numbers.fraction(share) for share in shares])
            along = kept.reshape([-1 if k == axis else 1 for k in range(len(moved.shape))])
            parts.append(self._scaled(moved, np.broadcast_to(along, moved.shape).reshape(-1), roundings=2))
        return self._summed(parts[0], parts[1])
