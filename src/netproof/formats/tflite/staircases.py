"""The staircases that a runtime's functions are: thresholds found exactly, from the function itself.

A nondecreasing function ``f`` of integers is given by ``T[v] = min { a : f(a) >= v }``, which bisection finds without knowing how
``f`` rounds. A function of two codes is a staircase where it is one of a whole-number combination of them: that is established
over all pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import gcd

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.operators.activations.requantize import Requantize
from netproof.operators.activations.staircase import Staircase

Whole = NDArray[np.int64]

#: a hull of four corners is taken where moving them loses at most this part of a step, or more where others would be large
_LOSS, _LARGEST_LOSS = 0.125, 0.5
#: so many corners of one node are still few
_CORNERS = 1 << 18
#: bits of the larger factor of a combination of two codes, in the order in which they are tried
_FACTOR_BITS = (16, 20, 24, 28)


def staircase_between(f: Callable[[Whole], Whole], low: Whole, high: Whole) -> Staircase:
    """The staircase of a nondecreasing function on a range of each channel.

    Parameters
    ----------
    f : ``[C, K]`` arguments to values, elementwise, each row by its channel's function
    low, high : ``[C]``, the arguments that there are. Beyond them the staircase is another function: a level that all of
        them reach, or none, has a threshold that continues the line of the others.
    """
    first, last = f(low[:, None])[:, 0], f(high[:, None])[:, 0]
    base = int(first.min())
    levels = np.arange(base + 1, int(last.max()) + 1)
    shape = (len(low), len(levels))
    below, above = np.broadcast_to(low[:, None] - 1, shape), np.broadcast_to(high[:, None] + 1, shape)
    while bool((above - below > 1).any()):
        middle = np.clip((below + above) // 2, low[:, None], high[:, None])
        reached = f(middle) >= levels
        done = above - below <= 1
        above, below = np.where(reached & ~done, middle, above), np.where(~reached & ~done, middle, below)
    return staircase_of(_continued(above, low, high), base)


def _continued(thresholds: Whole, low: Whole, high: Whole) -> Whole:
    """Thresholds of at most ``low`` and of more than ``high`` moved outwards, where the line of those between goes on."""
    count = thresholds.shape[1]
    if not count:
        return thresholds
    always, never = thresholds <= low[:, None], thresholds > high[:, None]
    first, end = always.sum(1), count - never.sum(1)
    row, index = np.arange(len(thresholds)), np.arange(count)[None]
    some = end > first
    # What the line goes through: the first and the last threshold between, or the ends of the range where there is none.
    left, right = np.where(some, first, first - 1), np.where(some, end - 1, end)
    start = np.where(some, thresholds[row, np.clip(left, 0, count - 1)], low)
    last = np.where(some, thresholds[row, np.clip(right, 0, count - 1)], high + 1)
    rise = np.where(last > start, last - start, high - low + 1)
    run = np.maximum(right - left, 1)
    before = start[:, None] - (left[:, None] - index) * rise[:, None] // run[:, None]
    after = last[:, None] + (index - right[:, None]) * rise[:, None] // run[:, None]
    return np.where(
        always, np.minimum(before, low[:, None]), np.where(never, np.maximum(after, high[:, None] + 1), thresholds)
    )


def staircase_of(thresholds: Whole, base: int) -> Staircase:
    """Thresholds ``[C, K]``, nondecreasing, and the value below them."""
    start = torch.full((len(thresholds),), float(base), dtype=torch.float64)
    return Requantize(torch.from_numpy(thresholds.astype(np.float64)), start)


def with_fitting_hull(staircase: Staircase, features: int) -> Staircase:
    """The same function as the operator whose hull is the better one for so many features.

    Every corner that there is makes a tight hull, and a large one: 257 corners a feature for 8 bits. Four of them moved
    outwards lose what they are moved by.
    """
    if not isinstance(staircase, Requantize) or staircase.levels < 3:
        return Staircase(staircase.thresholds, staircase.base)
    width = (staircase.thresholds[:, -1] - staircase.thresholds[:, 0]) / (staircase.levels - 1)
    lost = float((staircase.spread / width.clamp(min=1e-9)).max())
    near = lost <= _LOSS or (lost <= _LARGEST_LOSS and features * staircase.levels > _CORNERS)
    return staircase if near else Staircase(staircase.thresholds, staircase.base)


def staircase_of_table(values: Whole, low: int) -> Staircase | None:
    """The staircase of functions ``[C, n]`` of the arguments ``low``, ``low + 1``, ...; None where one decreases."""
    if bool((np.diff(values) < 0).any()):
        return None
    base = int(values.min())
    levels = np.arange(base + 1, int(values.max()) + 1)
    thresholds = np.stack([low + np.searchsorted(row, levels) for row in values])
    return staircase_of(thresholds.astype(np.int64), base)


@dataclass(frozen=True, eq=False)
class Combination:
    """``f(a, b) = steps(first a + second b)``."""

    first: int
    second: int
    steps: Staircase


def combination_of(values: Whole, low: tuple[int, int], ratio: tuple[float, float]) -> Combination | None:
    """A function of two integers as a staircase of a combination of them; None where no combination is found.

    Parameters
    ----------
    values : ``[n, m]``, the function at ``low[0] + i`` and ``low[1] + j``
    ratio : what the two operands are multiplied by, about
    """
    n, m = values.shape
    a = np.arange(low[0], low[0] + n)[:, None]
    b = np.arange(low[1], low[1] + m)[None]
    for first, second in _factors(ratio):
        sums: Whole = (first * a + second * b).reshape(-1)
        order = np.argsort(sums, kind="stable")
        sums, image = sums[order], values.reshape(-1)[order]
        steps = np.diff(image)
        # Larger sums have no smaller value, and equal sums equal values.
        if bool((steps < 0).any()) or bool(((steps != 0) & (np.diff(sums) == 0)).any()):
            continue
        base = int(image[0])
        places = np.searchsorted(image, np.arange(base + 1, int(image[-1]) + 1))
        return Combination(first, second, staircase_of(_on_a_line(sums[places - 1] + 1, sums[places])[None], base))
    return None


def _factors(ratio: tuple[float, float]) -> Iterator[tuple[int, int]]:
    largest = max(abs(part) for part in ratio)
    for bits in _FACTOR_BITS:
        first, second = (round(part / largest * (1 << bits)) for part in ratio)
        shared = gcd(first, second)
        yield first // shared, second // shared


def _on_a_line(low: Whole, high: Whole) -> Whole:
    """Thresholds, each of which may be anything from ``low`` to ``high``, near the line through the first and the last."""
    line = np.rint(np.linspace(high[0], high[-1], len(high))) if len(high) else high
    return np.clip(line.astype(np.int64), low, high)
