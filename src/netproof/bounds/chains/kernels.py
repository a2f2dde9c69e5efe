"""Bounds of chains on one box: the passes as loops over numbers, for a compiler.

Plain Python on arrays, which :mod:`netproof.bounds.chains.compiled` compiles operation by operation; everything is float64. The bound
is that of :mod:`netproof.bounds.dual` with CROWN's multipliers, ``s = slope * v``, where the slope under an unstable ReLU comes from one
of three rules, and the best value of the three counts: that of the nearer side (Zhang et al., NeurIPS 2018), that of the chord, and 0.
One rule is good for one objective and another for the next; which, is not known before. Coefficients of several chains meet at
the input, before the maximum over the box is taken.

What rounding can have taken from a value is accounted for as in :mod:`netproof.bounds.deciding.rounding`: every multiplier costs its
size times the price of its feature. ``C`` chains, ``K`` linear layers in each, of at most ``N`` features, ``n`` inputs, ``R`` rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

#: the rules of slopes: chord, nearer side, none
RULES = 3


class Layers(NamedTuple):
    """The chains' linear layers, filled up with zeros, and what a multiplier of 1 at each of their features adds to the error.

    Attributes
    ----------
    weight, across : ``[C, K, N, N]``, the latter with the operand's features first
    bias, price : ``[C, K, N]``
    unit : what a unit of a value and of a constant adds to the error
    """

    weight: Any
    across: Any
    bias: Any
    price: Any
    unit: Any


class Lines(NamedTuple):
    """The lines above and below every ReLU on a box, and of whose doing it is that a feature can be on both sides of 0.

    Attributes
    ----------
    above, offset : ``[C, K - 1, N]``, slope and offset of the upper line
    below : ``[3, C, K - 1, N]``, slopes of the lower line, through 0, by rule
    share : ``[C, K - 1, N, n]``, the part of each input in the width of the feature
    """

    above: Any
    offset: Any
    below: Any
    share: Any


class Asked(NamedTuple):
    """What is asked: a case is refuted by a row of it that stays below 0.

    Attributes
    ----------
    outputs : ``[R, C, N]``, coefficients of the last layers
    inputs : ``[R, n]``
    constant, error : ``[R]``, and what the coefficients add to the error
    case : ``[R]`` int64
    """

    outputs: Any
    inputs: Any
    constant: Any
    error: Any
    case: Any


class Box(NamedTuple):
    """One box, which is narrowed in place.

    Attributes
    ----------
    middle, radius : ``[n]``
    lower, upper : ``[C, K - 1, N]``, ranges of the operands of ReLUs; 0 where there is no feature
    """

    middle: Any
    radius: Any
    lower: Any
    upper: Any


def pass_back(layers: Layers, lines: Lines, rule: int, c: int, k: int, v: Any, work: Any, x: Any) -> None:
    """Pass ``v`` ``[N]``, on what the ``k`` th ReLUs of chain ``c`` make of their operands, back to the input; it is used up.

    The coefficients of the input are added to ``x`` ``[n]``, what the layers add to the value and to its error to the
    first two rows of ``work`` ``[4, N]``.
    """
    total, error, multiplier, passed = work[0], work[1], work[2], work[3]
    size = v.shape[0]
    for q in range(k - 1, -1, -1):
        for j in range(size):
            up = v[j] if v[j] > 0.0 else 0.0
            s = up * lines.above[c, q, j] + (v[j] - up) * lines.below[rule, c, q, j]
            multiplier[j] = s
            total[j] += up * lines.offset[c, q, j] + s * layers.bias[c, q, j]
            error[j] += abs(s) * layers.price[c, q, j]
        for i in range(size):
            passed[i] = 0.0
        for j in range(size):
            s = multiplier[j]
            if s != 0.0:
                for i in range(size):
                    passed[i] += s * layers.weight[c, q, j, i]
        for i in range(size):
            v[i] = passed[i]
    for i in range(x.shape[0]):
        x[i] += v[i]


def largest(layers: Layers, box: Box, work: Any, x: Any, constant: float, weighed: float) -> float:
    """The largest value on the box of what was passed back, rounding included; infinite where it is no number."""
    value = constant
    for j in range(work.shape[1]):
        value += work[0, j]
        weighed += work[1, j]
    for i in range(x.shape[0]):
        value += x[i] * box.middle[i] + abs(x[i]) * box.radius[i]
    bound = value + ((weighed + layers.unit * (abs(value) + abs(constant))) * (1.0 + 1e-9) + 2.0**-500)
    return bound if abs(bound) < 2.0**1000 and abs(value) < 2.0**1000 else np.inf


def end_of(layers: Layers, lines: Lines, box: Box, rule: int, sign: float, at: Any, v: Any, work: Any, x: Any) -> float:
    """An upper bound of ``sign`` times the operand ``at`` (chain, layer, feature) of a ReLU."""
    c, k, j = at
    for i in range(v.shape[0]):
        v[i] = sign * layers.weight[c, k, j, i]
        work[0, i] = 0.0
        work[1, i] = 0.0
    for i in range(x.shape[0]):
        x[i] = 0.0
    pass_back(layers, lines, rule, c, k, v, work, x)
    return largest(layers, box, work, x, sign * layers.bias[c, k, j], layers.price[c, k, j])


def draw(lines: Lines, box: Box, c: int, k: int) -> None:
    """The lines of a layer of ReLUs by the ranges of their operands."""
    for j in range(lines.above.shape[2]):
        low, high = box.lower[c, k, j], box.upper[c, k, j]
        if high <= 0.0:
            slope, near = 0.0, 0.0
        elif low >= 0.0:
            slope, near = 1.0, 1.0
        else:
            slope = high / (high - low)
            near = 1.0 if high > -low else 0.0
        is_open = low < 0.0 and high > 0.0
        lines.above[c, k, j] = slope
        lines.offset[c, k, j] = -slope * low if is_open else 0.0
        lines.below[0, c, k, j] = slope
        lines.below[1, c, k, j] = near
        lines.below[2, c, k, j] = 0.0 if is_open else near


def refine(layers: Layers, lines: Lines, box: Box, v: Any, work: Any, x: Any) -> None:
    """Narrow the ranges of all features that can be on both sides of 0, layer by layer, and draw the lines."""
    chains, depth, size = box.lower.shape
    for c in range(chains):
        for k in range(depth):
            for j in range(size):
                for step in range(2 * RULES):
                    if box.lower[c, k, j] >= 0.0 or box.upper[c, k, j] <= 0.0:
                        break
                    sign = 1.0 if step < RULES else -1.0
                    bound = end_of(layers, lines, box, step % RULES, sign, (c, k, j), v, work, x)
                    if sign > 0.0:
                        if bound < box.upper[c, k, j]:
                            box.upper[c, k, j] = bound
                    elif -bound > box.lower[c, k, j]:
                        box.lower[c, k, j] = -bound
                    if step == 0:
                        width = 2.0**-500
                        for i in range(x.shape[0]):
                            width += abs(x[i]) * box.radius[i]
                        for i in range(x.shape[0]):
                            lines.share[c, k, j, i] = abs(x[i]) * box.radius[i] / width
            draw(lines, box, c, k)


def row_bound(layers: Layers, lines: Lines, box: Box, asked: Asked, r: int, rule: int, v: Any, work: Any, x: Any) -> float:
    """An upper bound of a row on the box; ``x`` is its line in the input."""
    for i in range(x.shape[0]):
        x[i] = asked.inputs[r, i]
    for j in range(work.shape[1]):
        work[0, j] = 0.0
        work[1, j] = 0.0
    constant = asked.constant[r]
    last = layers.weight.shape[1] - 1
    for c in range(layers.weight.shape[0]):
        for i in range(v.shape[0]):
            v[i] = 0.0
        for j in range(v.shape[0]):
            s = asked.outputs[r, c, j]
            if s != 0.0:
                work[0, j] += s * layers.bias[c, last, j]
                for i in range(v.shape[0]):
                    v[i] += s * layers.weight[c, last, j, i]
        pass_back(layers, lines, rule, c, last, v, work, x)
    return largest(layers, box, work, x, constant, asked.error[r])


def bound_cases(
    layers: Layers, lines: Lines, box: Box, asked: Asked, is_open: Any, best: Any, way: Any, v: Any, work: Any, x: Any
) -> None:
    """Bound every open case by its rows and all rules.

    ``is_open`` ``[N]`` bool becomes false for those that are refuted; ``best`` ``[N]`` is filled with bounds of the
    others, ``way`` ``[N, 2]`` int64 with the row and the rule of each.
    """
    for case in range(is_open.shape[0]):
        best[case] = np.inf
        way[case, 0] = -1
    for r in range(asked.case.shape[0]):
        case = asked.case[r]
        for rule in range(RULES):
            if not is_open[case]:
                break
            value = row_bound(layers, lines, box, asked, r, rule, v, work, x)
            if value < best[case] or way[case, 0] < 0:
                best[case] = value
                way[case, 0], way[case, 1] = r, rule
            if value < 0.0:
                is_open[case] = False


def blame(layers: Layers, lines: Lines, box: Box, asked: Asked, r: int, rule: int, v: Any, work: Any, score: Any) -> None:
    """How much of what a row loses at its ReLUs each input is the cause of: ``[n]``, filled.

    What a line is off by at the most is shared out by the inputs' parts in the width of the operand.
    """
    multiplier = work[2]
    size = v.shape[0]
    last = layers.weight.shape[1] - 1
    for i in range(score.shape[0]):
        score[i] = 0.0
    for c in range(layers.weight.shape[0]):
        for i in range(size):
            v[i] = 0.0
        for j in range(size):
            s = asked.outputs[r, c, j]
            if s != 0.0:
                for i in range(size):
                    v[i] += s * layers.weight[c, last, j, i]
        for q in range(last - 1, -1, -1):
            for j in range(size):
                low, high = box.lower[c, q, j], box.upper[c, q, j]
                below = lines.below[rule, c, q, j]
                multiplier[j] = v[j] * (lines.above[c, q, j] if v[j] > 0.0 else below)
                if low < 0.0 and high > 0.0:
                    lost = v[j] * lines.offset[c, q, j]
                    if v[j] < 0.0:
                        lost = -v[j] * max(-low * below, high * (1.0 - below))
                    for i in range(score.shape[0]):
                        score[i] += lost * lines.share[c, q, j, i]
            for i in range(size):
                v[i] = 0.0
            for j in range(size):
                s = multiplier[j]
                if s != 0.0:
                    for i in range(size):
                        v[i] += s * layers.weight[c, q, j, i]


def margin(layers: Layers, asked: Asked, case: int, x: Any, work: Any) -> float:
    """What a case has to spare at a point ``[n]``: the least of its rows, about."""
    value, passed = work[2], work[3]
    size = value.shape[0]
    last = layers.weight.shape[1] - 1
    least = np.inf
    for r in range(asked.case.shape[0]):
        if asked.case[r] != case:
            continue
        total = asked.constant[r]
        for i in range(x.shape[0]):
            total += asked.inputs[r, i] * x[i]
        for c in range(layers.weight.shape[0]):
            for i in range(size):
                value[i] = x[i] if i < x.shape[0] else 0.0
            for q in range(last + 1):
                for j in range(size):
                    passed[j] = layers.bias[c, q, j]
                for i in range(size):
                    one = value[i]
                    if one != 0.0:
                        for j in range(size):
                            passed[j] += one * layers.across[c, q, i, j]
                for j in range(size):
                    value[j] = passed[j] if q == last or passed[j] > 0.0 else 0.0
            for j in range(size):
                total += asked.outputs[r, c, j] * value[j]
        least = min(least, total)
    return least
