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


class Spare(NamedTuple):
    """Room to work in.

    Attributes
    ----------
    v : ``[N]``, coefficients on their way back
    work : ``[4, N]``, what was added to the value and to its error so far, and two more rows
    x : ``[n]``, coefficients of the input
    score : ``[n]``
    best : ``[cases]``
    way : ``[cases, 2]`` int64
    middle, radius : ``[n]`` each, of a box
    """

    v: Any
    work: Any
    x: Any
    score: Any
    best: Any
    way: Any
    middle: Any
    radius: Any


def pass_back(layers: Layers, lines: Lines, rule: int, at: tuple[int, int], spare: Spare) -> None:
    """Pass ``spare.v``, on what the ``k`` th ReLUs of chain ``c``, ``at = (c, k)``, make of their operands, back to the input.

    The coefficients of the input are added to ``spare.x``, what the layers add to the value and to its error to the
    first two rows of ``spare.work``.
    """
    c, k = at
    v, total, error, multiplier, passed = spare.v, spare.work[0], spare.work[1], spare.work[2], spare.work[3]
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
    for i in range(spare.x.shape[0]):
        spare.x[i] += v[i]


def largest(layers: Layers, box: Box, spare: Spare, constant: float, weighed: float) -> float:
    """The largest value on the box of what was passed back, rounding included; infinite where it is no number."""
    value = constant
    for j in range(spare.v.shape[0]):
        value += spare.work[0, j]
        weighed += spare.work[1, j]
    for i in range(spare.x.shape[0]):
        value += spare.x[i] * box.middle[i] + abs(spare.x[i]) * box.radius[i]
    bound = value + ((weighed + layers.unit * (abs(value) + abs(constant))) * (1.0 + 1e-9) + 2.0**-500)
    return bound if abs(bound) < 2.0**1000 and abs(value) < 2.0**1000 else np.inf


def begin(spare: Spare) -> None:
    """Nothing was passed back yet."""
    for i in range(spare.v.shape[0]):
        spare.work[0, i] = 0.0
        spare.work[1, i] = 0.0


def end_of(
    layers: Layers, lines: Lines, box: Box, spare: Spare, at: tuple[int, int, int], side: tuple[int, float]
) -> float:
    """An upper bound of a sign times the operand ``at`` (chain, layer, feature) of a ReLU; ``side`` is the rule and the sign."""
    c, k, j = at
    rule, sign = side
    begin(spare)
    for i in range(spare.v.shape[0]):
        spare.v[i] = sign * layers.weight[c, k, j, i]
    for i in range(spare.x.shape[0]):
        spare.x[i] = 0.0
    pass_back(layers, lines, rule, (c, k), spare)
    return largest(layers, box, spare, sign * layers.bias[c, k, j], layers.price[c, k, j])


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


def refine(layers: Layers, lines: Lines, box: Box, spare: Spare) -> None:
    """Narrow the ranges of all features that can be on both sides of 0, layer by layer, and draw the lines."""
    chains, depth, size = box.lower.shape
    for c in range(chains):
        for k in range(depth):
            for j in range(size):
                for step in range(2 * RULES):
                    if box.lower[c, k, j] >= 0.0 or box.upper[c, k, j] <= 0.0:
                        break
                    if step < RULES:
                        high = end_of(layers, lines, box, spare, (c, k, j), (step, 1.0))
                        box.upper[c, k, j] = min(box.upper[c, k, j], high)
                    else:
                        low = -end_of(layers, lines, box, spare, (c, k, j), (step - RULES, -1.0))
                        box.lower[c, k, j] = max(box.lower[c, k, j], low)
                    if step == 0:
                        share(lines, box, spare, (c, k, j))
            draw(lines, box, c, k)


def share(lines: Lines, box: Box, spare: Spare, at: tuple[int, int, int]) -> None:
    """The part of each input in the width of a feature, by the line that was passed back last."""
    c, k, j = at
    width = 2.0**-500
    for i in range(spare.x.shape[0]):
        width += abs(spare.x[i]) * box.radius[i]
    for i in range(spare.x.shape[0]):
        lines.share[c, k, j, i] = abs(spare.x[i]) * box.radius[i] / width


def row_bound(layers: Layers, lines: Lines, box: Box, asked: Asked, spare: Spare, way: tuple[int, int]) -> float:
    """An upper bound of a row by a rule, ``way``, on the box; ``spare.x`` is its line in the input."""
    r, rule = way
    begin(spare)
    for i in range(spare.x.shape[0]):
        spare.x[i] = asked.inputs[r, i]
    last = layers.weight.shape[1] - 1
    for c in range(layers.weight.shape[0]):
        hand_on_outputs(layers, asked, spare, r, c)
        pass_back(layers, lines, rule, (c, last), spare)
    return largest(layers, box, spare, asked.constant[r], asked.error[r])


def hand_on_outputs(layers: Layers, asked: Asked, spare: Spare, r: int, c: int) -> None:
    """What the last layer of a chain hands on of a row."""
    last = layers.weight.shape[1] - 1
    size = spare.v.shape[0]
    for i in range(size):
        spare.v[i] = 0.0
    for j in range(size):
        s = asked.outputs[r, c, j]
        if s != 0.0:
            spare.work[0, j] += s * layers.bias[c, last, j]
            for i in range(size):
                spare.v[i] += s * layers.weight[c, last, j, i]


def bound_cases(layers: Layers, lines: Lines, box: Box, asked: Asked, spare: Spare, is_open: Any) -> None:
    """Bound every open case by its rows and all rules.

    ``is_open`` ``[cases]`` bool becomes false for those that are refuted; ``spare.best`` is filled with bounds of the
    others, ``spare.way`` with the row and the rule of each.
    """
    best, way = spare.best, spare.way
    for case in range(is_open.shape[0]):
        best[case] = np.inf
        way[case, 0] = -1
    for r in range(asked.case.shape[0]):
        case = asked.case[r]
        for rule in range(RULES):
            if not is_open[case]:
                break
            value = row_bound(layers, lines, box, asked, spare, (r, rule))
            if value < best[case] or way[case, 0] < 0:
                best[case] = value
                way[case, 0], way[case, 1] = r, rule
            if value < 0.0:
                is_open[case] = False


def blame(layers: Layers, lines: Lines, box: Box, asked: Asked, spare: Spare, way: tuple[int, int]) -> None:
    """How much of what a row by a rule, ``way``, loses at its ReLUs each input is the cause of, as ``spare.score``.

    What a line is off by at the most is shared out by the inputs' parts in the width of the operand.
    """
    r, rule = way
    v, multiplier, score = spare.v, spare.work[2], spare.score
    size = v.shape[0]
    last = layers.weight.shape[1] - 1
    for i in range(score.shape[0]):
        score[i] = 0.0
    for c in range(layers.weight.shape[0]):
        hand_on_outputs(layers, asked, spare, r, c)
        for q in range(last - 1, -1, -1):
            for j in range(size):
                low, high = box.lower[c, q, j], box.upper[c, q, j]
                below = lines.below[rule, c, q, j]
                multiplier[j] = v[j] * (lines.above[c, q, j] if v[j] > 0.0 else below)
                lost = v[j] * lines.offset[c, q, j]
                if v[j] < 0.0:
                    lost = -v[j] * max(-low * below, high * (1.0 - below))
                if low < 0.0 and high > 0.0:
                    for i in range(score.shape[0]):
                        score[i] += lost * lines.share[c, q, j, i]
            for i in range(size):
                v[i] = 0.0
            for j in range(size):
                for i in range(size):
                    v[i] += multiplier[j] * layers.weight[c, q, j, i]


def margin(layers: Layers, asked: Asked, spare: Spare, case: int, x: Any) -> float:
    """What a case has to spare at a point ``[n]``: the least of its rows, about."""
    value, passed = spare.work[2], spare.work[3]
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
