"""Boxes one after another, depth first, as a loop over numbers for a compiler.

Plain Python on arrays, as :mod:`netproof.bounds.chains.kernels`. A box begins with the ranges of the one that it is half of, and bounds
anew what can still be on both sides of 0 there, so that most of a network costs nothing any more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from netproof.bounds.chains.kernels import (
    Asked,
    Box,
    Layers,
    Lines,
    Spare,
    blame,
    bound_cases,
    margin,
    refine,
    row_bound,
)

#: how a walk ends: nothing is open or its boxes are used up; there is a point to be tried; a box cannot be split
PAUSED, FOUND, STUCK = 0, 1, 2


class Stack(NamedTuple):
    """The open boxes, of which the last is the next; ``D`` is how many there can be.

    Attributes
    ----------
    low, high : ``[D, n]``
    lower, upper : ``[D, C, K - 1, N]``, the ranges known
    is_open : ``[D, cases]`` bool
    depth : ``[D]`` int64, how often each was split
    """

    low: Any
    high: Any
    lower: Any
    upper: Any
    is_open: Any
    depth: Any


class Standing(NamedTuple):
    """How far a walk is.

    Attributes
    ----------
    size : ``[1]`` int64, how many boxes are open
    boxes : ``[1]`` int64, how many were bounded
    closed : ``[1]``, the share of the first box that is refuted
    bound : ``[1]``, of the box that was looked at last
    bar : ``[1]``, what a point has to spare to be tried
    case : ``[1]`` int64, of the point that is to be tried
    point : ``[n]``
    """

    size: Any
    boxes: Any
    closed: Any
    bound: Any
    bar: Any
    case: Any
    point: Any


def look_around(layers: Layers, asked: Asked, box: Box, standing: Standing, spare: Spare, case: int) -> bool:
    """Whether the middle of the box, or its corner along ``spare.x``, has more to spare than any point before."""
    inputs = spare.x.shape[0]
    for which in range(2):
        for i in range(inputs):
            way = 0.0
            if which == 1:
                way = box.radius[i] if spare.x[i] > 0.0 else -box.radius[i]
            spare.score[i] = box.middle[i] + way
        value = margin(layers, asked, spare, case, spare.score)
        if value > standing.bar[0]:
            standing.bar[0] = value
            standing.case[0] = case
            for i in range(inputs):
                standing.point[i] = spare.score[i]
            return True
    return False


def halve(stack: Stack, p: int, score: Any, narrow: float) -> bool:
    """Halve the box ``p`` at the input with the largest score, the upper half on top; false where none is wide enough."""
    chosen = -1
    for i in range(score.shape[0]):
        wide = stack.high[p, i] - stack.low[p, i]
        if wide > narrow * (1.0 + abs(stack.high[p, i])) and (chosen < 0 or score[i] > score[chosen]):
            chosen = i
    if chosen < 0 or p + 1 >= stack.depth.shape[0]:
        return False
    middle = (stack.low[p, chosen] + stack.high[p, chosen]) / 2.0
    for i in range(score.shape[0]):
        stack.low[p + 1, i] = stack.low[p, i]
        stack.high[p + 1, i] = stack.high[p, i]
    for c in range(stack.lower.shape[1]):
        for k in range(stack.lower.shape[2]):
            for j in range(stack.lower.shape[3]):
                stack.lower[p + 1, c, k, j] = stack.lower[p, c, k, j]
                stack.upper[p + 1, c, k, j] = stack.upper[p, c, k, j]
    for case in range(stack.is_open.shape[1]):
        stack.is_open[p + 1, case] = stack.is_open[p, case]
    stack.depth[p] += 1
    stack.depth[p + 1] = stack.depth[p]
    stack.high[p, chosen] = middle
    stack.low[p + 1, chosen] = middle
    return True


def walk(
    layers: Layers,
    lines: Lines,
    asked: Asked,
    state: tuple[Stack, Standing],
    spare: Spare,
    limits: tuple[int, float],
) -> int:
    """Bound boxes and halve those that stay open; how it ends is one of the constants above.

    ``limits`` are how many boxes at the most, and how narrow, in parts of its magnitude, a box is that is not halved any more.
    """
    stack, standing = state
    most, narrow = limits
    for _ in range(most):
        if standing.size[0] == 0:
            break
        p = standing.size[0] - 1
        for i in range(spare.x.shape[0]):
            middle = (stack.low[p, i] + stack.high[p, i]) / 2.0
            spare.middle[i] = middle
            spare.radius[i] = max(stack.high[p, i] - middle, middle - stack.low[p, i])
        box = Box(spare.middle, spare.radius, stack.lower[p], stack.upper[p])
        is_open = stack.is_open[p]
        standing.boxes[0] += 1
        refine(layers, lines, box, spare)
        bound_cases(layers, lines, box, asked, spare, is_open)
        worst = -1
        for case in range(is_open.shape[0]):
            if is_open[case] and (worst < 0 or spare.best[case] > spare.best[worst]):
                worst = case
        if worst < 0:
            standing.closed[0] += 2.0 ** -stack.depth[p]
            standing.size[0] = p
            continue
        standing.bound[0] = spare.best[worst]
        way = (spare.way[worst, 0], spare.way[worst, 1])
        blame(layers, lines, box, asked, spare, way)
        if not halve(stack, p, spare.score, narrow):
            return STUCK
        standing.size[0] = p + 2
        row_bound(layers, lines, box, asked, spare, way)
        if look_around(layers, asked, box, standing, spare, worst):
            return FOUND
    return PAUSED
