"""Steps for the part of an image that can differ from a known one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from netproof.inference.held import Held
from netproof.inference.pairs import Pair
from netproof.inference.products import Product

#: of the places of a result; where more of them can differ, all are computed
_MOST = 0.7


@dataclass(frozen=True)
class Total:
    """The sum over all ``places`` of every one of ``samples`` channels."""

    samples: int
    places: int


@dataclass(frozen=True)
class Window:
    """Rows ``top`` to ``bottom - 1`` and columns ``left`` to ``right - 1``."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def places(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)

    def of(self, image: Tensor) -> Tensor:
        """The part of an image ``[B, C, rows, columns]``, a view."""
        return image[:, :, self.top : self.bottom, self.left : self.right]

    def with_(self, other: Window) -> Window:
        """The smallest window that holds both."""
        return Window(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )

    def inside(self, other: Window) -> Window:
        """The same places, counted from where another window begins."""
        return Window(self.top - other.top, self.bottom - other.top, self.left - other.left, self.right - other.left)


@dataclass(frozen=True, eq=False)
class Windowed:
    """The values of a node inside a window, ``numbers + low``; outside they are the known ones."""

    numbers: Tensor
    low: int
    window: Window


def filled(value: Held | Windowed, base: Held) -> Held:
    """All values of a node, those outside the window from the known ones ``[1, ...]``."""
    if isinstance(value, Held):
        return value
    whole = base.numbers.expand(len(value.numbers), -1, -1, -1).clone(memory_format=torch.channels_last)
    value.window.of(whole).copy_(value.numbers)
    return Held(whole, value.low)


def by_window(
    part: Product | Pair | Total, given: list[Held | Windowed], base: list[Held], result: Held
) -> Windowed | Held | None:
    """A step for a part of an image; None where that is no use.

    Parameters
    ----------
    given : the operands on a batch
    base, result : the known values of the operands and of the node itself, ``[1, ...]``
    """
    if isinstance(part, Product):
        return _product(part, given[0], base[0])
    if isinstance(part, Total):
        return _total(part, given[0], base[0], result)
    return _pair(part, given, base)


def _product(product: Product, value: Held | Windowed, base: Held) -> Windowed | None:
    known = base.bytes(product.low).reshape(1, *product.shape)
    if isinstance(value, Windowed):
        if base.numbers.shape[1:] != product.shape:
            return None  # places of the window are none of this map's: what it takes is seen in another shape
        window, inside = value.window, Held(value.numbers, value.low).bytes(product.low)
    else:
        image = value.bytes(product.low).reshape(-1, *product.shape)
        window = _changed(image, known)
        inside = window.of(image)
    out = _reached(product, window)
    if out.places > _MOST * product.result[1] * product.result[2] or out.places < 1:
        return None
    # What the window of the result depends on, and how much of that is padding.
    spans = []
    for axis, (first, last) in enumerate(((out.top, out.bottom), (out.left, out.right))):
        start = first * product.stride[axis] - product.padding[axis][0]
        stop = (last - 1) * product.stride[axis] - product.padding[axis][0] + product.reach[axis]
        spans.append((start, stop, product.shape[1 + axis]))
    (top, bottom, rows), (left, right, columns) = spans
    field = Window(max(top, 0), min(bottom, rows), max(left, 0), min(right, columns))
    patch = _overlaid(known, field, inside, window)
    around = [field.left - left, right - field.right, field.top - top, bottom - field.bottom]
    if any(around):
        patch = functional.pad(patch, around, value=-product.low)
    patch = patch.contiguous(memory_format=torch.channels_last)
    if not product.holds_on(patch):
        return None
    levels = product.without_padding(patch)
    return Windowed(levels, product.base, out)


def _changed(image: Tensor, known: Tensor) -> Window:
    """The smallest window outside of which all images are as the known one; one place where nothing differs."""
    differs = (image != known).flatten(0, 1).any(0)
    rows, columns = differs.any(1).nonzero(), differs.any(0).nonzero()
    if not len(rows):
        return Window(0, 1, 0, 1)
    return Window(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def _reached(product: Product, window: Window) -> Window:
    """The places of the result that depend on places of a window."""
    ends = []
    for axis, (first, last) in enumerate(((window.top, window.bottom), (window.left, window.right))):
        before, step = product.padding[axis][0], product.stride[axis]
        start = -(-(first + before - product.reach[axis] + 1) // step)
        stop = (last - 1 + before) // step + 1
        ends += [max(0, start), min(product.result[1 + axis], stop)]
    return Window(*ends)


def _overlaid(known: Tensor, field: Window, inside: Tensor, window: Window) -> Tensor:
    """A window ``field`` of an image, ``[B, ...]``: the known one, with what is inside another window laid over it."""
    patch = field.of(known).expand(len(inside), -1, -1, -1).clone(memory_format=torch.channels_last)
    common = Window(
        max(field.top, window.top), min(field.bottom, window.bottom),
        max(field.left, window.left), min(field.right, window.right),
    )  # fmt: skip
    if common.bottom > common.top and common.right > common.left:
        common.inside(field).of(patch).copy_(common.inside(window).of(inside))
    return patch


def _total(total: Total, value: Held | Windowed, base: Held, result: Held) -> Held | None:
    if isinstance(value, Held) or value.low != base.low or not base.is_bytes or base.numbers.shape[1] != total.samples:
        return None
    if base.numbers.shape[1] != total.samples:
        return None  # an index map turned the axes
    before = value.window.of(base.numbers).sum((2, 3), dtype=torch.int32)
    after = value.numbers.sum((2, 3), dtype=torch.int32)
    return Held(result.numbers - before + after, result.low)


def _pair(pair: Pair, given: list[Held | Windowed], base: list[Held]) -> Windowed | None:
    first, second = given
    if isinstance(first, Held) or isinstance(second, Held):
        return None
    both = first.window.with_(second.window)
    if base[0].numbers.shape != base[1].numbers.shape or both.places > _MOST * base[0].numbers[0, 0].numel():
        return None
    parts = []
    for value, known, low in zip((first, second), base, pair.low, strict=True):
        inside = Held(value.numbers, value.low).bytes(low)
        parts.append(_overlaid(known.bytes(low), both, inside, value.window))
    return Windowed(pair(parts[0], parts[1]), pair.base, both)
