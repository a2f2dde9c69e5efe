"""Operators that move numbers of values and put constants beside them: the index of every place, and what is added there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.constants import UnknownError
from netproof.certificate.checker.real.operators import Array, Scale, Select, Sum
from netproof.certificate.checker.real.values import WIDEST, Value, Values, value_of


class Moves(Values):
    """Values, and operators by the conventions of an operator set."""

    _opset = 0

    def _moved(self, value: Value, index: NDArray[np.int64], shift: Array | None = None) -> Value:
        """The numbers of a value that an array of places names, 0 where it is -1; and a shift of its shape."""
        found = self._affine(Select(index.reshape(-1), math.prod(value.shape)), [value], index.shape)
        if shift is None or not shift.any():
            return found
        return self._affine(Scale(index.size, None, self._spread(shift, index.shape)), [found], index.shape)

    def transpose(self, operands: list[Any], attributes: dict[str, Any]) -> Value | Array:
        (x,) = operands
        order = attributes.pop("perm", list(reversed(range(len(x.shape)))))
        if sorted(order) != list(range(len(x.shape))):
            raise UnknownError("the order of a Transpose")
        return self._moved(x, np.transpose(grid_of(x), order)) if isinstance(x, Value) else np.transpose(x, order)

    def concatenate(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        axis, rank = attributes.pop("axis", None), len(operands[0].shape) if operands else 0
        values = [k for k, x in enumerate(operands) if isinstance(x, Value)]
        if not isinstance(axis, int) or not -rank <= axis < rank or any(len(x.shape) != rank for x in operands):
            raise UnknownError("the axis of a Concat")
        if not values or sum(math.prod(x.shape) for x in operands) > WIDEST:
            raise UnknownError("a Concat of constants alone, or of so many numbers")
        if any(not isinstance(x, Value) and x.dtype.kind != "f" for x in operands):
            raise UnknownError("a Concat of what is none of floats")
        shift = np.concatenate([np.zeros(x.shape) if isinstance(x, Value) else x for x in operands], axis)
        parts: list[Value] = []
        for k in values:
            places = [grid_of(x) if j == k else np.full(x.shape, -1) for j, x in enumerate(operands)]
            parts.append(self._moved(operands[k], np.concatenate(places, axis), None if parts else shift))
        total = parts[0]
        for part in parts[1:]:
            total = self._affine(Sum(shift.size, 1), [total, part], shift.shape)
        return total

    def slice(self, operands: list[Any], attributes: dict[str, Any]) -> Value | Array:
        x, *given = operands
        if self._opset < 10:
            given += [np.array(attributes.pop(name, ()), np.int64) for name in ("starts", "ends", "axes")]
        starts, ends, axes, steps = ([_whole(part, "a Slice") for part in given] + [[], []])[: max(4, len(given))]
        rank, cuts, axes, steps = len(x.shape), {}, axes or list(range(len(starts))), steps or [1] * len(starts)
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            # A step backwards begins elsewhere in ONNX than in Python where its start is before the first number.
            if not -rank <= axis < rank or axis % rank in cuts or step < 1:
                raise UnknownError("the axes or steps of a Slice")
            cuts[axis % rank] = slice(start, end, step)
        cut = tuple(cuts.get(axis, slice(None)) for axis in range(rank))
        if 0 in np.empty(x.shape, np.bool_)[cut].shape:
            raise UnknownError("a Slice of nothing")
        return self._moved(x, grid_of(x)[cut]) if isinstance(x, Value) else x[cut]

    def pad(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        value, mode = value_of(operands[: None if self._opset < 11 else 1], 1), attributes.pop("mode", "constant")
        rank = len(value.shape)
        if self._opset < 11:
            pads, fill = attributes.pop("pads", []), np.array(attributes.pop("value", 0.0))
            axes = list(range(rank))
        else:
            amounts, fill, named = (operands[k] if len(operands) > k else np.zeros(0) for k in (1, 2, 3))
            pads, axes = _whole(amounts, "a Pad"), _whole(named, "a Pad") or list(range(rank))
        if isinstance(fill, Value) or fill.dtype.kind != "f" or fill.size > 1 or fill.ndim > 1:
            raise UnknownError("a Pad by what is no number")
        count, around = len(axes), [(0, 0)] * rank
        if len(pads) != 2 * count or any(not -rank <= axis < rank for axis in axes) or len(operands) > 4:
            raise UnknownError("the axes of a Pad")
        for axis, before, after in zip(axes, pads[:count], pads[count:], strict=True):
            around[axis % rank] = (before, after)
        size = math.prod(min(extent + sum(ends), WIDEST + 1) for extent, ends in zip(value.shape, around, strict=True))
        if len({axis % rank for axis in axes}) != count or min(pads, default=0) < 0 or size > WIDEST:
            raise UnknownError("the amounts of a Pad")
        if mode == "constant":
            index = np.pad(grid_of(value), around, constant_values=-1)
            return self._moved(value, index, np.where(index < 0, float(fill.sum()), 0.0))
        # Reflected once, and not beyond.
        beyond = any(max(ends) >= extent for extent, ends in zip(value.shape, around, strict=True))
        if mode not in ("edge", "reflect") or (mode == "reflect" and beyond):
            raise UnknownError("the mode of a Pad")
        return self._moved(value, np.pad(grid_of(value), around, mode=mode))


def grid_of(x: Value) -> NDArray[np.int64]:
    """The places of a value's numbers."""
    return np.arange(math.prod(x.shape)).reshape(x.shape)


def _whole(constant: Any, name: str) -> list[int]:
    """Whole numbers; none where they are left out."""
    if isinstance(constant, Value) or constant.ndim != 1 or (constant.dtype.kind != "i" and constant.size):
        raise UnknownError(f"{name} by what is no constant")
    return [int(number) for number in constant]
