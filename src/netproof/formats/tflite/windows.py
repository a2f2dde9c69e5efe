"""AVERAGE_POOL_2D, MAX_POOL_2D and MEAN over an image."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.tflite.products import check_shape, padding_of, positive
from netproof.formats.tflite.rules.delegated import pool_is_left
from netproof.formats.tflite.rules.products import limit_away
from netproof.formats.tflite.staircases import Whole, staircase_between, staircase_of_table
from netproof.formats.tflite.translation import (
    Call,
    OperatorError,
    Translation,
    Value,
    channels_first,
    clamped,
    codes_of,
    ends_of,
    renamed,
    scale_of,
    zero_of,
)
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.sum import Sum


@dataclass(frozen=True, eq=False)
class _Window:
    """Windows over the places of an image; ``shape`` is the file's, of the result."""

    value: Value
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, translation: Translation, call: Call) -> _Window:
        value, options = call.value(0), call.info.options
        if len(value.shape) != 4 or value.shape[0] != 1:
            raise OperatorError(
                f"an operand of shape {value.shape}", "convert it for one image of channels, batch size 1"
            )
        stride = (options.integer(2, "i"), options.integer(1, "i"))
        kernel = (options.integer(4, "i"), options.integer(3, "i"))
        positive(*stride, *kernel)
        extents = (value.shape[1], value.shape[2])
        padding = padding_of(options.integer(0, "b"), extents, kernel, stride)
        counts = tuple(
            (extent + sum(pair) - size) // step + 1
            for extent, pair, size, step in zip(extents, padding, kernel, stride, strict=True)
        )
        shape = (1, *counts, value.shape[3])
        if min(counts) < 1:
            raise OperatorError(f"a window of {kernel} on {value.shape}", "convert it again")
        check_shape(call.output, shape)
        translation.ledger.value(shape)
        translation.ledger.allocate(8 * (counts[0] * kernel[0] + counts[1] * kernel[1]))
        return cls(translation.arranged(value, channels_first(value.shape)), kernel, stride, padding, shape)

    def positions(self, axis: int) -> NDArray[np.int64]:
        """``[windows, kernel]``, which entry of the axis each place of each window is; beyond the ends in the padding."""
        starts = np.arange(self.shape[axis + 1]) * self.stride[axis] - self.padding[axis][0]
        return starts[:, None] + np.arange(self.kernel[axis])[None]

    def inside(self, axis: int) -> NDArray[np.bool_]:
        positions = self.positions(axis)
        return (positions >= 0) & (positions < self.value.shape[axis + 1])


def average_pool(translation: Translation, call: Call) -> Value:
    """The mean of the codes themselves, halves away from 0, over the places that are none of the padding."""
    windows = _Window.of(translation, call)
    value = windows.value
    renamed(value, call.output)
    _, height, width, channels = value.shape
    operator = Convolution(
        torch.ones((1, 1, *windows.kernel), dtype=torch.float64),
        None,
        (1, height, width),
        windows.stride,
        windows.padding,
        (1, 1),
        samples=channels,
    )
    total = translation.sums(call.name, operator, value, call.output, channels_first(windows.shape))
    counts = (windows.inside(0).sum(1)[:, None] * windows.inside(1).sum(1)[None]).reshape(-1)
    # One function for each number of places; where all windows have as many, one for all features.
    same = bool((counts == counts[0]).all())
    each = counts[:1] if same else np.tile(counts, channels)
    limits = call.fused(5, limit_away)
    zero = zero_of(call.output)
    least, largest = ends_of(call.output)
    reach = (largest - least) * int(counts.max())
    translation.ledger.allocate(8 * len(np.unique(each)) * (2 * reach + 1) + 8 * (largest - least) * len(each))
    tables = {int(n): _mean_codes(np.arange(-reach, reach + 1), int(n), zero) for n in np.unique(each)}
    rows = {n: staircase_of_table(clamped(table, call.output, limits)[None], -reach) for n, table in tables.items()}
    return translation.steps(f"{call.name}/codes", _stacked(rows, each), total, call.output)


def _mean_codes(sums: Whole, count: int, zero: int) -> Whole:
    """The mean code less the zero point, of sums of codes less their zero points."""
    raw = sums + count * zero
    half = count // 2
    mean = np.where(raw > 0, (raw + half) // count, -((half - raw) // count))
    return mean - zero


def _stacked(rows: dict[int, Staircase | None], each: NDArray[np.int64]) -> Staircase:
    found = {n: row for n, row in rows.items() if row is not None}
    if len(each) == 1:
        return found[int(each[0])]
    bases = {float(row.base[0]) for row in found.values()}
    if len(found) != len(rows) or len(bases) != 1:
        raise OperatorError("its windows at the border take other values than those inside")
    most = max(row.levels for row in found.values())
    if any(row.levels != most for row in found.values()):
        raise OperatorError("its windows at the border take other values than those inside")
    return Staircase(torch.cat([found[int(n)].thresholds for n in each]), torch.cat([found[int(n)].base for n in each]))


def mean(translation: Translation, call: Call) -> Value:
    """``MEAN`` over height and width, which becomes a sum over one window."""
    value, average = call.value(0), translation.runtime.average
    if average is None:
        raise OperatorError(f"how '{translation.runtime.name}' rounds it is not known", "name another runtime")
    axes = sorted(int(axis) % 4 for axis in call.whole(1).reshape(-1))
    if len(value.shape) != 4 or value.shape[0] != 1 or axes != [1, 2]:
        raise OperatorError(f"axes {axes} of {value.shape}", "known is a mean over height and width of one image")
    _, height, width, channels = value.shape
    kept = call.info.options.integer(0, "B") != 0
    check_shape(call.output, (1, 1, 1, channels) if kept else (1, channels))
    value = translation.arranged(value, channels_first(value.shape))
    window = torch.ones((1, 1, height, width), dtype=torch.float64)
    operator = Convolution(window, None, (1, height, width), (1, 1), ((0, 0), (0, 0)), (1, 1), samples=channels)
    total = translation.sums(call.name, operator, value, call.output, np.arange(channels))
    count, scales = height * width, (scale_of(value.tensor), scale_of(call.output))
    if float(scales[0]) / float(scales[1]) >= 1 << 8:
        raise OperatorError("its operand has more than 256 times the scale of its result", "quantize it again")

    def code(sums: Whole) -> Whole:
        return clamped(average(sums, count, *scales), call.output, ends_of(call.output))

    low, high = (np.array([int(end)]) for end in (total.low.min(), total.high.max()))
    return translation.steps(f"{call.name}/codes", staircase_between(code, low, high), total, call.output)


def max_pool(translation: Translation, call: Call) -> Value:
    """The largest code of each window, one axis at a time."""
    windows = _Window.of(translation, call)
    value = renamed(windows.value, call.output)
    channels = windows.shape[3]
    # ``[C, H, W]``, which feature each place is; an axis at a time it becomes the windows'.
    index = np.arange(len(value.order)).reshape(channels, *windows.value.shape[1:3])
    for axis in (0, 1):
        positions, inside = windows.positions(axis), windows.inside(axis)
        # A place in the padding counts for nothing: another place of the window stands in for it.
        first = positions[np.arange(len(positions)), inside.argmax(1)]
        places = np.where(inside, positions, first[:, None])
        translation.ledger.allocate(16 * places.size * (index.size // index.shape[axis + 1]))
        taken = np.stack([np.take(index, places[:, k], axis + 1) for k in range(places.shape[1])])
        value = _largest(translation, f"{call.name}/axis{axis}", value, taken)
        index = np.arange(taken[0].size).reshape(taken.shape[1:])
    value = replace(value, tensor=call.output, order=channels_first(windows.shape))
    # Kernels of the library itself clamp as everywhere.
    left = translation.runtime.delegated and pool_is_left(windows.kernel, windows.stride)
    limits = call.fused(5, limit_away if left else translation.runtime.limit)
    if limits == ends_of(call.output):
        return value
    codes = codes_of(call.output) - zero_of(call.output)
    staircase = staircase_of_table(clamped(codes, call.output, limits)[None], int(codes[0]))
    assert staircase is not None
    return translation.steps(f"{call.name}/codes", staircase, value, call.output)


def _largest(translation: Translation, name: str, value: Value, index: NDArray[np.int64]) -> Value:
    """The maxima of ``index[:, ...]``, by halves: ``max(a, b) = a + relu(b - a)``, the ReLU a staircase of as many steps as codes have."""
    least, largest = ends_of(value.tensor)
    steps = torch.arange(1, largest - least + 1, dtype=torch.float64)[None]
    relu = Staircase(steps, torch.zeros(1, dtype=torch.float64))
    for level in itertools.count():
        count = len(index)
        if count == 1:
            return _taken(translation, f"{name}/{level}", value, index[0].reshape(-1))
        half = count // 2
        first = _taken(translation, f"{name}/{level}/a", value, index[:half].reshape(-1))
        second = _taken(translation, f"{name}/{level}/b", value, index[half : 2 * half].reshape(-1))
        tensor, order = value.tensor, np.arange(len(first.order))
        rise = translation.affine(f"{name}/{level}/rise", Sum((1, -1)), (second, first), tensor, order)
        excess = translation.steps(f"{name}/{level}/relu", relu, rise, tensor)
        larger = translation.affine(f"{name}/{level}/larger", Sum((1, 1)), (first, excess), tensor, order)
        # What the sum's ranges forget: it is one of the two.
        larger = replace(larger, low=torch.maximum(first.low, second.low), high=torch.maximum(first.high, second.high))
        if count % 2:
            rest = _taken(translation, f"{name}/{level}/rest", value, index[-1].reshape(-1))
            sizes = (len(larger.order), len(rest.order))
            both = np.arange(sum(sizes))
            value = translation.affine(f"{name}/{level}/all", Concatenate(sizes), (larger, rest), tensor, both)
        else:
            value = larger
        index = np.arange(len(value.order)).reshape(half + count % 2, *index.shape[1:])
    raise AssertionError


def _taken(translation: Translation, name: str, value: Value, index: NDArray[np.int64]) -> Value:
    if np.array_equal(index, np.arange(len(value.order))):
        return value
    return translation.selected(name, value, index, value.tensor, np.arange(len(index)))
