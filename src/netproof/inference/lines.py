"""A staircase computed by one multiplication in floats, where that is proved to give the same.

``f(a) = base + #{k : T[k] <= a}`` is ``base + floor(slope a + offset)``, clamped, for every whole number ``a`` of a range if it
is so at each ``T[k]`` and just before it: both sides keep order, and rounding keeps order as well. A slope and an offset have to
hold ``T[k]`` above the whole number ``k`` and ``T[k] - 1`` below it by more than the floats can be wrong; of all slopes the one
that leaves the most room is found by ternary search, because that room is a concave function of the slope.

Rules that round halves away from 0 have two lines, one for each sign, whose distance from 0 is the same: then
``trunc(z + copysign(half, z))`` of ``z = slope a + offset`` is tried. With 255 thresholds the room is about the slope divided by 255: float32 is too coarse for most
networks of 8 bits, float64 is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.inference.compiled import Kernels
from netproof.operators.activations.staircase import Staircase

#: float32 numbers to either side that are tried as the factor of a product that was rounded in float32
_NEIGHBOURS = 24
#: of the sizes of what is multiplied and added, floats may be wrong by so many units of their last place
_ROUNDINGS = 8
_STEPS = 90
#: numbers that levels are computed of at a time: what a cache holds
_NUMBERS = 1 << 16
_FAR = 1e15


@dataclass(frozen=True, eq=False)
class Line:
    """Levels of a staircase from a sum, ``[C]`` each, in the floats in which they are to be computed.

    Attributes
    ----------
    slope, offset : ``z = slope a + offset``
    half : None where the level is ``floor(z)``; otherwise it is ``zero + trunc(z + copysign(half, z))``
    zero : the level that ``trunc`` counts from
    fits : ``[C]`` bool, the channels for which that was proved
    """

    slope: Tensor
    offset: Tensor
    half: Tensor | None
    zero: int
    fits: Tensor


@dataclass(frozen=True, eq=False)
class Factor:
    """``base + level = rint(a factor)``, clamped, the product one operation in float32: ``[C]``, where it ``fits``."""

    factor: Tensor
    fits: Tensor


def factor_of(staircase: Staircase, low: Tensor, high: Tensor) -> Factor | None:
    """The float32 factor by which a staircase rounds its sums, to the nearest and halves to even; None where none does."""
    if staircase.levels < 2:
        return None
    thresholds = staircase.thresholds
    value = staircase.base[:, None] + torch.arange(1, staircase.levels + 1)
    some = (thresholds > low[:, None]) & (thresholds <= high[:, None])
    # The value less a half lies between the products of a threshold and of the sum before it.
    half, before = value - 0.5, thresholds - 1
    ends = torch.stack([half / thresholds, half / before])
    above, below = ends[0].where(thresholds > 0, ends[1]), ends[1].where(thresholds > 0, ends[0])
    some &= (thresholds != 0) & (before != 0)
    least, most = above.masked_fill(~some, 0.0).amax(1), below.masked_fill(~some, torch.inf).amin(1)
    about = torch.where(most.isfinite(), (least + most) / 2, 1 / (high - low + 1).clamp(min=1)).float()
    usable = (about > 0) & about.isfinite() & (torch.maximum(low.abs(), high.abs()) < 2**24)
    about = torch.where(usable, about, 1.0)
    tried = [about]
    for end in (0.0, torch.inf):
        one = about
        for _ in range(_NEIGHBOURS):
            one = torch.nextafter(one, torch.tensor(end))
            tried.append(one)
    found, fits = about.clone(), torch.zeros(len(about), dtype=torch.bool)
    for one in tried:
        good = usable.clone()
        # At every threshold that is met, just before it, and at both ends: rounding keeps order, and so do products.
        for points in (thresholds, thresholds - 1):
            inside = torch.minimum(torch.maximum(points, low[:, None]), high[:, None])
            given = torch.minimum(
                torch.maximum(torch.round(inside.float() * one[:, None]).double(), staircase.base[:, None]),
                (staircase.base + staircase.levels)[:, None],
            )
            counted = torch.searchsorted(thresholds.contiguous(), inside.contiguous(), right=True)
            wanted = staircase.base[:, None] + counted
            good &= (given == wanted).all(1)
        found = torch.where(good & ~fits, one, found)
        fits |= good
        if bool((fits | ~usable).all()):
            break
    return Factor(found, fits) if bool(fits.any()) else None


@dataclass(frozen=True, eq=False)
class _Bounds:
    """Where a line has to pass: at or above ``k`` at ``least[k]``, below it at ``most[k]``; NaN where nothing is asked."""

    level: Tensor
    least: Tensor
    most: Tensor

    def room(self, slope: Tensor) -> tuple[Tensor, Tensor]:
        """The least and the largest offset ``[C]`` that a slope ``[C]`` leaves."""
        low = (self.level - slope[:, None] * self.least).nan_to_num(nan=-_FAR).amax(1)
        high = (self.level - slope[:, None] * self.most).nan_to_num(nan=_FAR).amin(1)
        return low, high

    def part(self, keep: Tensor, down: int) -> _Bounds:
        return _Bounds(self.level[keep] - down, self.least[:, keep], self.most[:, keep])


def _bounds(staircase: Staircase, low: Tensor, high: Tensor) -> _Bounds:
    """What the sums from ``low`` to ``high`` ``[C]`` ask of a line."""
    thresholds, count = staircase.thresholds, staircase.levels
    level = torch.arange(1, count + 1, dtype=torch.float64)
    never, always = thresholds > high[:, None], thresholds <= low[:, None]
    least = torch.maximum(thresholds, low[:, None]).masked_fill(never, torch.nan)
    most = torch.minimum(thresholds - 1, high[:, None]).masked_fill(always, torch.nan)
    return _Bounds(level, least, most)


def line_of(
    staircase: Staircase, low: Tensor, high: Tensor, floats: torch.dtype, zero: int | None = None
) -> Line | None:
    """A line that computes a staircase of ``C`` channels on sums from ``low`` to ``high`` ``[C]``; None where none is found.

    ``zero`` is the level at which what is rounded changes its sign: where the value is 0, by default.
    """
    if staircase.levels == 0:
        return None
    bounds = _bounds(staircase, low, high)
    size = torch.maximum(low.abs(), high.abs())
    one = _one_line(bounds, size, floats)
    if bool(one.fits.all()):
        return one
    zero = -int(staircase.base[0]) if zero is None else zero
    if bool((staircase.base != staircase.base[0]).any()) or not 0 < zero < staircase.levels:
        return one
    two = _two_lines(bounds, size, zero, floats)
    return two if int(two.fits.sum()) > int(one.fits.sum()) else one


def _one_line(bounds: _Bounds, size: Tensor, floats: torch.dtype) -> Line:
    slope = _widest(lambda s: _gap(bounds.room(s)), bounds)
    low, high = bounds.room(slope)
    offset = torch.where(low <= -_FAR / 2, high - 0.5, torch.where(high >= _FAR / 2, low + 0.5, (low + high) / 2))
    slope, offset = slope.to(floats), offset.to(floats)
    low, high = bounds.room(slope.double())
    exact = offset.double()
    wrong = _wrong(floats) * (slope.double() * size + exact.abs() + len(bounds.level) + 2)
    return Line(slope, offset, None, 0, (low + wrong < exact) & (exact < high - wrong))


def _two_lines(bounds: _Bounds, size: Tensor, zero: int, floats: torch.dtype) -> Line:
    """Levels above ``zero`` need ``z + half >= j``, those up to it ``z - half > j - 1``."""
    above = bounds.part(bounds.level > zero, zero)
    below = bounds.part(bounds.level <= zero, zero)
    below = _Bounds(below.level - 1, below.least, below.most)

    def room(slope: Tensor) -> Tensor:
        return torch.minimum(_gap(above.room(slope)), _gap(below.room(slope)))

    slope = _widest(room, bounds).to(floats)
    up_low, up_high = above.room(slope.double())
    down_low, down_high = below.room(slope.double())
    up, down = _middle(up_low, up_high), _middle(down_low, down_high)
    offset, half = ((up + down) / 2).to(floats), ((up - down) / 2).to(floats)
    up, down = offset.double() + half.double(), offset.double() - half.double()
    wrong = _wrong(floats) * (slope.double() * size + offset.double().abs() + len(bounds.level) + 2)
    fits = (up_low + wrong < up) & (up < up_high - wrong) & (down_low + wrong < down) & (down < down_high - wrong)
    # With less than one half step nothing changes between the lines.
    fits &= (half.double() > wrong) & (half.double() < 1 - wrong)
    return Line(slope, offset, half, zero, fits)


def _wrong(floats: torch.dtype) -> float:
    # What is computed here in float64 is wrong as well, by as much.
    return _ROUNDINGS * (torch.finfo(floats).eps + torch.finfo(torch.float64).eps)


def _middle(low: Tensor, high: Tensor) -> Tensor:
    return torch.where(low <= -_FAR / 2, high - 0.25, torch.where(high >= _FAR / 2, low + 0.25, (low + high) / 2))


def _gap(room: tuple[Tensor, Tensor]) -> Tensor:
    return room[1] - room[0]


def _widest(room: Callable[[Tensor], Tensor], bounds: _Bounds) -> Tensor:
    """The slope ``[C]`` that leaves the most room."""
    known = torch.cat([bounds.least, bounds.most], 1)
    first, last = known.nan_to_num(nan=_FAR).amin(1), known.nan_to_num(nan=-_FAR).amax(1)
    run = (last - first).clamp(min=1)
    rise = (~(bounds.least.isnan() | bounds.most.isnan())).sum(1).clamp(min=1).double()
    low, high = torch.zeros_like(run), 4 * (rise + 1) / run
    for _ in range(_STEPS):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        better = room(left) < room(right)
        low, high = torch.where(better, left, low), torch.where(better, high, right)
    return (low + high) / 2


@dataclass(frozen=True, eq=False)
class Rest:
    """Channels whose levels are counted, and their thresholds ``[c, K]``."""

    channels: Tensor
    thresholds: Tensor


def levels_of(
    sums: Tensor, line: Line | Factor, rest: Rest | None, levels: int, base: int, kernels: Kernels | None = None
) -> Tensor:
    """Levels, uint8, of sums ``[B, C, rows, columns]`` in float32 that lie with their channels last; by compiled loops where there are any."""
    rows = sums.movedim(1, -1).reshape(-1, sums.shape[1])
    found = np.empty(rows.shape, np.uint8)
    if kernels is not None:
        _compiled(rows, line, levels, base, kernels, found)
        if rest is not None:
            found[:, rest.channels.numpy()] = _counted(rows, rest).numpy()
        return _as_images(found, sums)
    at_once = max(1, _NUMBERS // rows.shape[1])
    room = _Room(min(at_once, len(rows)), rows.shape[1])
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        _levels(part, line, levels, base, room, found[start : start + at_once])
        if rest is not None:
            found[start : start + at_once, rest.channels.numpy()] = _counted(part, rest).numpy()
    return _as_images(found, sums)


def _as_images(found: NDArray[np.uint8], sums: Tensor) -> Tensor:
    return torch.from_numpy(found).reshape(len(sums), *sums.shape[2:], sums.shape[1]).movedim(-1, 1)


def _counted(rows: Tensor, rest: Rest) -> Tensor:
    """The levels of the channels that are on no line, of sums ``[N, C]``."""
    values = rows[:, rest.channels].T.double().contiguous()
    return torch.searchsorted(rest.thresholds, values, right=True).T


def _compiled(
    rows: Tensor, line: Line | Factor, levels: int, base: int, kernels: Kernels, found: NDArray[np.uint8]
) -> None:
    """As :func:`_levels`, of all sums ``[N, C]``."""
    sums = rows.contiguous().numpy()
    if isinstance(line, Factor):
        kernels.by_factor(sums, line.factor.numpy(), np.float32(base), np.float32(levels), found)
        return
    slope, offset = line.slope.double().numpy(), line.offset.double().numpy()
    if line.half is None:
        kernels.by_line(sums, slope, offset, float(levels), found)
    else:
        lines = slope, offset, line.half.double().numpy()
        kernels.by_two_lines(sums, lines, float(line.zero), float(levels), found)


class _Room:
    """Arrays that are used again and again: new ones would cost more than what is done with them."""

    def __init__(self, rows: int, channels: int) -> None:
        self.double = torch.empty((rows, channels), dtype=torch.float64)
        self.other = torch.empty_like(self.double)
        self.single = torch.empty((rows, channels), dtype=torch.float32)
        self.short = np.empty((rows, channels), np.int16)


def _levels(sums: Tensor, line: Line | Factor, levels: int, base: int, room: _Room, found: NDArray[np.uint8]) -> None:
    count = len(sums)
    # NumPy rounds toward 0 here, and is several times as fast as PyTorch.
    if isinstance(line, Factor):
        rounded = torch.mul(sums, line.factor, out=room.single[:count]).round_()
        np.copyto(found, rounded.sub_(float(base)).clamp_(0, levels).numpy(), casting="unsafe")
        return
    z = torch.mul(sums, line.slope, out=room.double[:count]).add_(line.offset)
    if line.half is None:
        np.copyto(found, z.clamp_(0, levels).numpy(), casting="unsafe")
        return
    z.add_(torch.copysign(line.half, z, out=room.other[:count])).clamp_(-line.zero, levels - line.zero)
    short = room.short[:count]
    np.copyto(short, z.numpy(), casting="unsafe")
    short += line.zero
    np.copyto(found, short, casting="unsafe")
