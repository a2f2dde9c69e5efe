"""Operators that move numbers of values and constants, and those that compute shapes."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from netproof.certificate.checker.real.operators import Array
from netproof.certificate.checker.real.reading.constants import FLOATS, UnknownError, cast, check_size, whole
from netproof.certificate.checker.real.reading.values import (
    Operand,
    Operator,
    Value,
    Values,
    axes_of,
    grid_of,
    shaped,
)


class Moves(Values):
    """Values, and the operators that move their numbers."""

    def operators(self) -> dict[str, Operator]:
        """What is known, by name."""
        return {
            **super().operators(),
            "Cast": self.cast, "Concat": self.concatenate, "Constant": self.constant,
            "ConstantOfShape": self.constant_of_shape, "DepthToSpace": partial(self.blocks, spread=True),
            "Dropout": self.dropout, "Expand": self.expand, "Flatten": self.flatten, "Gather": self.gather,
            "GatherElements": self.gather_elements, "GatherND": self.gather_slices, "Identity": self.same, "Pad": self.pad,
            "Range": self.range, "Reshape": self.reshape, "ScatterND": self.scatter_slices, "Shape": self.shape,
            "Size": self.count, "Slice": self.slice, "SpaceToDepth": partial(self.blocks, spread=False),
            "Split": self.split, "Squeeze": self.squeeze, "Tile": self.tile, "Transpose": self.transpose,
            "Trilu": self.triangle, "Unsqueeze": self.unsqueeze, "Where": self.where,
        }  # fmt: skip

    def same(self, operands: list[Any], _: dict[str, Any]) -> Operand:
        (value,) = operands
        found: Operand = value
        return found

    def dropout(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        for name in ("ratio", "seed"):
            attributes.pop(name, None)
        if len(operands) > 2:
            raise UnknownError("a Dropout that may be training")
        return self.same(operands[:1], attributes)

    # Constants and shapes.

    def constant(self, operands: list[Any], attributes: dict[str, Any]) -> Array:
        names = {
            "value": None,
            "value_float": np.float32,
            "value_floats": np.float32,
            "value_int": np.int64,
            "value_ints": np.int64,
        }
        given = [name for name in names if name in attributes]
        if operands or not given:
            raise UnknownError("a Constant that is no tensor")
        return np.asarray(attributes.pop(given[0]), names[given[0]])

    def constant_of_shape(self, operands: list[Any], attributes: dict[str, Any]) -> Array:
        (shape,), fill = operands, attributes.pop("value", np.zeros(1, np.float32))
        extents = tuple(whole(shape, "a ConstantOfShape"))
        if fill.size != 1 or min(extents, default=0) < 0:
            raise UnknownError("a ConstantOfShape of no number")
        check_size(extents)
        return np.full(extents, fill.reshape(()))

    def range(self, operands: list[Any], _: dict[str, Any]) -> Array:
        start, limit, step = (whole(np.reshape(x, -1), "a Range")[0] for x in operands)
        check_size((max(0, (limit - start) // step + 1),))
        return np.arange(start, limit, step, dtype=np.int64)

    def shape(self, operands: list[Any], attributes: dict[str, Any]) -> Array:
        (x,) = operands
        ends = [attributes.pop(name, None) for name in ("start", "end")] if self._opset >= 15 else []
        return np.array(x.shape[slice(*ends)] if ends else x.shape, np.int64)

    def count(self, operands: list[Any], _: dict[str, Any]) -> Array:
        (x,) = operands
        return np.array(math.prod(x.shape), np.int64)

    def cast(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        (x,), kind = operands, attributes.pop("to", 0)
        if not isinstance(x, Value):
            return cast(x, kind)
        # Into the widest type nothing is rounded; float32 numbers are such only where nothing else is in the file.
        if kind not in FLOATS or (kind != max(FLOATS) and self._is_wide):
            raise UnknownError("a value that is cast to another type")
        self._is_wide = kind == max(FLOATS)
        return x

    # Shapes of values.

    def flatten(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        axis = attributes.pop("axis", 1)
        (x,) = operands
        axis += len(x.shape) if axis < 0 else 0
        if not 0 <= axis <= len(x.shape):
            raise UnknownError("the axis of a Flatten")
        return shaped(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))

    def reshape(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        x, target = operands
        allow_zero = attributes.pop("allowzero", 0)
        dims = whole(target, "a Reshape")
        if not allow_zero:
            dims = [x.shape[i] if d == 0 else d for i, d in enumerate(dims)]
        if dims.count(-1) > 1 or any(d < -1 or d == 0 for d in dims):
            raise UnknownError("the shape of a Reshape")
        rest = -math.prod(dims) if -1 in dims else 1
        size = math.prod(x.shape)
        if -1 in dims and (rest == 0 or size % rest):
            raise UnknownError("the shape of a Reshape")
        return shaped(x, tuple(size // rest if d == -1 else d for d in dims))

    def _named(self, operands: list[Any], attributes: dict[str, Any], since: int, name: str) -> list[int] | None:
        """Axes, or sizes, that are an attribute before an operator set and the second operand from it on; None for none."""
        if len(operands) > (1 if self._opset < since else 2):
            raise UnknownError(f"the operands of a {name}")
        if self._opset < since:
            found: list[int] | None = attributes.pop("split" if name == "Split" else "axes", None)
            return found
        # What is left out is an empty array of floats.
        is_given = len(operands) > 1 and not (isinstance(operands[1], np.ndarray) and operands[1].dtype.kind == "f")
        return whole(operands[1], f"a {name}") if is_given else None

    def squeeze(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        x, named = operands[0], self._named(operands, attributes, 13, "Squeeze")
        axes = axes_of(
            [k for k, d in enumerate(x.shape) if d == 1] if named is None else named, len(x.shape), "Squeeze"
        )
        if named == [] or any(x.shape[axis] != 1 for axis in axes):
            raise UnknownError("the axes of a Squeeze")
        return shaped(x, tuple(d for k, d in enumerate(x.shape) if k not in axes))

    def unsqueeze(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        x, named = operands[0], self._named(operands, attributes, 13, "Unsqueeze") or []
        axes, rest = axes_of(named, len(x.shape) + len(named), "Unsqueeze"), iter(x.shape)
        return shaped(x, tuple(1 if k in axes else next(rest) for k in range(len(x.shape) + len(axes))))

    # What moves.

    def transpose(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        (x,) = operands
        order = attributes.pop("perm", list(reversed(range(len(x.shape)))))
        if sorted(order) != list(range(len(x.shape))):
            raise UnknownError("the order of a Transpose")
        return self._arranged([x], lambda a: np.transpose(a, order))

    def concatenate(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        axis, rank = attributes.pop("axis", None), len(operands[0].shape) if operands else 0
        if not isinstance(axis, int) or not -rank <= axis < rank or any(len(x.shape) != rank for x in operands):
            raise UnknownError("the axis of a Concat")
        check_size((sum(math.prod(x.shape) for x in operands),))
        return self._arranged(operands, lambda *xs: np.concatenate(xs, axis))

    def expand(self, operands: list[Any], _: dict[str, Any]) -> Operand:
        x, target = operands
        shape = np.broadcast_shapes(x.shape, tuple(whole(target, "an Expand")))
        check_size(shape)
        return self._arranged([x], lambda a: np.broadcast_to(a, shape))

    def tile(self, operands: list[Any], _: dict[str, Any]) -> Operand:
        x, repeats = operands[0], whole(operands[1], "a Tile")
        if len(repeats) != len(x.shape) or min(repeats, default=1) < 1 or len(operands) > 2:
            raise UnknownError("the repeats of a Tile")
        check_size((math.prod(x.shape), *repeats))
        return self._arranged([x], lambda a: np.tile(a, repeats))

    def gather(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        x, index = operands
        (axis,) = axes_of([attributes.pop("axis", 0)], len(x.shape), "Gather")
        self._check_places(index, x.shape[axis])
        check_size((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))
        return self._arranged([x], lambda a: np.take(a, index, axis))

    def gather_elements(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        x, index = operands
        (axis,) = axes_of([attributes.pop("axis", 0)], len(x.shape), "GatherElements")
        self._check_places(index, x.shape[axis])
        if index.shape[:axis] + index.shape[axis + 1 :] != x.shape[:axis] + x.shape[axis + 1 :]:
            raise UnknownError("the places of a GatherElements")
        return self._arranged([x], lambda a: np.take_along_axis(a, index, axis))

    def gather_slices(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        x, index = operands
        places = self._slices(x, index, attributes.pop("batch_dims", 0))
        check_size((*index.shape[:-1], *x.shape[len(places) :]))
        return self._arranged([x], lambda a: a[places])

    def scatter_slices(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        x, index, updates = operands
        places = self._slices(x, index, attributes.pop("reduction", "none") != "none")
        taken = grid_of(x)[places]
        # Of a place that is named twice it is not defined which number it gets.
        if taken.shape != updates.shape or len(np.unique(taken)) < taken.size:
            raise UnknownError("the places of a ScatterND")

        def how(a: Array, b: Array) -> Array:
            a = a.copy()
            a[places] = b
            return a

        return self._arranged([x, updates], how)

    @staticmethod
    def _check_places(index: Any, extent: int) -> None:
        if isinstance(index, Value) or index.dtype.kind != "i" or ((index < -extent) | (index >= extent)).any():
            raise UnknownError("places that are no constants, or not there")

    def _slices(self, x: Operand, index: Any, other: int) -> tuple[Array, ...]:
        """Places along the first axes, from the last axis of an index."""
        if isinstance(index, Value) or index.ndim < 1 or not 0 < index.shape[-1] <= len(x.shape) or other:
            raise UnknownError("places that are no constants, or other than by slices")
        places = tuple(np.moveaxis(index, -1, 0))
        for place, extent in zip(places, x.shape, strict=False):
            self._check_places(place, extent)
        return places

    def where(self, operands: list[Any], _: dict[str, Any]) -> Operand:
        mask, first, second = operands
        if isinstance(mask, Value):
            return self.choose(mask, first, second)
        if mask.dtype.kind != "b":
            raise UnknownError("a choice by what is no truth value")
        shape = np.broadcast_shapes(mask.shape, first.shape, second.shape)
        check_size(shape)
        return self._arranged([first, second], lambda a, b: np.asarray(np.where(mask, a, b)))

    def choose(self, mask: Value, first: Operand, second: Operand) -> Operand:
        """The first where a truth value is 1, the second where it is 0."""
        raise NotImplementedError

    def triangle(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        x, upper = operands[0], attributes.pop("upper", 1)
        k = int(whole(np.reshape(operands[1], -1), "a Trilu")[0]) if len(operands) > 1 else 0
        rows, columns = x.shape[-2:]
        lower = np.tri(rows, columns, k - upper, dtype=np.bool_)
        mask = ~lower if upper else lower
        zero = np.zeros((), np.float32 if isinstance(x, Value) else x.dtype)
        return self._arranged([x, zero], lambda a, b: np.asarray(np.where(mask, a, b)))

    def split(self, operands: list[Any], attributes: dict[str, Any]) -> tuple[Operand, ...]:
        x, count = operands[0], self._results
        (axis,) = axes_of([attributes.pop("axis", 0)], len(x.shape), "Split")
        extent, sizes = x.shape[axis], self._named(operands, attributes, 13, "Split")
        if sizes is None:
            if attributes.pop("num_outputs", count) != count or (self._opset < 18 and extent % count):
                raise UnknownError("the sizes of a Split")
            size = -(-extent // count)
            sizes = [min(size, extent - at) for at in range(0, extent, size)]
        if len(sizes) != count or sum(sizes) != extent or min(sizes) < 1:
            raise UnknownError("the sizes of a Split")
        ends = np.cumsum(sizes)
        cuts = [(*[slice(None)] * axis, slice(end - size, end)) for end, size in zip(ends, sizes, strict=True)]
        return tuple(self._arranged([x], lambda a, cut=cut: a[cut]) for cut in cuts)

    def slice(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        x, *given = operands
        if self._opset < 10:
            given += [np.array(attributes.pop(name, ()), np.int64) for name in ("starts", "ends", "axes")]
        starts, ends, axes, steps = ([whole(part, "a Slice") for part in given] + [[], []])[: max(4, len(given))]
        rank, cuts = len(x.shape), [slice(None)] * len(x.shape)
        named = axes_of(axes or range(len(starts)), rank, "Slice")
        for start, end, axis, step in zip(starts, ends, named, steps or [1] * len(starts), strict=True):
            extent = x.shape[axis]
            # Ends from behind first; backwards, a start before the first number is there and the end may be before it.
            first, last = (place + extent if place < 0 else place for place in (start, end))
            if step == 0:
                raise UnknownError("the steps of a Slice")
            if step > 0:
                cuts[axis] = slice(min(max(first, 0), extent), min(max(last, 0), extent), step)
            else:
                last = min(max(last, -1), extent - 1)
                cuts[axis] = slice(min(max(first, 0), extent - 1), None if last < 0 else last, step)
        cut = tuple(cuts)
        if 0 in np.empty(x.shape, np.bool_)[cut].shape:
            raise UnknownError("a Slice of nothing")
        return self._arranged([x], lambda a: a[cut])

    def pad(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        value, mode = self._value(operands[: None if self._opset < 11 else 1]), attributes.pop("mode", "constant")
        rank = len(value.shape)
        if self._opset < 11:
            pads, fill = attributes.pop("pads", []), np.array(attributes.pop("value", 0.0))
            axes = list(range(rank))
        else:
            amounts, fill, named = (operands[k] if len(operands) > k else np.zeros(0) for k in (1, 2, 3))
            pads, axes = whole(amounts, "a Pad"), whole(named, "a Pad") or list(range(rank))
        if isinstance(fill, Value) or fill.dtype.kind != "f" or fill.size > 1 or fill.ndim > 1:
            raise UnknownError("a Pad by what is no number")
        count, around = len(axes), [(0, 0)] * rank
        if len(pads) != 2 * count or len(operands) > 4:
            raise UnknownError("the axes of a Pad")
        for axis, before, after in zip(axes_of(axes, rank, "Pad"), pads[:count], pads[count:], strict=True):
            around[axis] = (before, after)
        if min(pads, default=0) < 0:
            raise UnknownError("the amounts of a Pad")
        check_size(tuple(extent + sum(ends) for extent, ends in zip(value.shape, around, strict=True)))
        if mode == "constant":
            index = np.pad(grid_of(value), around, constant_values=-1)
            return self._moved(value, index, np.where(index < 0, float(fill.sum()), 0.0))
        # Reflected once, and not beyond.
        beyond = any(max(ends) >= extent for extent, ends in zip(value.shape, around, strict=True))
        if mode not in ("edge", "reflect") or (mode == "reflect" and beyond):
            raise UnknownError("the mode of a Pad")
        return self._moved(value, np.pad(grid_of(value), around, mode=mode))

    def blocks(self, operands: list[Any], attributes: dict[str, Any], *, spread: bool) -> Operand:
        """Numbers of channels as blocks of places, or the other way."""
        (x,), size, mode = operands, attributes.pop("blocksize", 0), attributes.pop("mode", "DCR")
        batch, channels, height, width = x.shape
        if size < 1 or mode not in ("DCR", "CRD") or (not spread and mode != "DCR"):
            raise UnknownError("the blocks of an operator")
        if spread:
            rest, inner = channels // size**2, (0, 3, 4, 1, 5, 2) if mode == "DCR" else (0, 1, 4, 2, 5, 3)
            before = (size, size, rest) if mode == "DCR" else (rest, size, size)
            parts, after = (batch, *before, height, width), (batch, rest, height * size, width * size)
        else:
            inner, parts = (0, 3, 5, 1, 2, 4), (batch, channels, height // size, size, width // size, size)
            after = (batch, channels * size**2, height // size, width // size)
        return self._arranged([x], lambda a: a.reshape(parts).transpose(inner).reshape(after))
