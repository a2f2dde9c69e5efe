"""What unstable features hand on, as loops over numbers, for a compiler.

Plain Python on arrays, float32 but for sums, which computes what :mod:`netproof.bounds.multipliers.relaxed` and
:mod:`netproof.bounds.joint.pairs` say in tensors, each number once instead of in some thirty passes. ``B`` rows, ``n`` features of an
activation, ``m`` unstable ones of it, which begin at ``first`` among the ``M`` of all activations; ``P`` pairs with ``C`` corners.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

#: more than nothing, in float32
_TINY = np.float32(1e-30)
#: exponents below are as good as none
_NONE = np.float32(-60.0)
#: ``e`` as a power of 2
_PER_BIT = np.float32(1.4426950408889634)
#: powers of 2 between 0 and 1, to seven digits
_P0, _P1, _P2, _P3 = np.float32(1.0), np.float32(0.693146933), np.float32(0.240230454), np.float32(0.0554806302)
_P4, _P5, _P6 = np.float32(0.00968418631), np.float32(0.00123913318), np.float32(0.000218657848)


class Rows(NamedTuple):
    """The parts that are bounded, and their multipliers.

    Attributes
    ----------
    side : ``[B, M]`` int8
    alpha, beta : ``[B, M]``
    arrived, handed : ``[B, M]``, what arrived at unstable features, and what they handed on
    """

    side: Any
    alpha: Any
    beta: Any
    arrived: Any
    handed: Any


class Lines(NamedTuple):
    """The lines of an activation.

    Attributes
    ----------
    which : ``[m]`` int64, the unstable features
    closed : ``[n]``, slopes of stable features, 0 at unstable ones
    left, right : ``[m]``, slopes of both pieces
    chord, offset : ``[m]``, slope and value at 0 of the line above
    paired : ``[m]`` bool, whether a feature is in a pair
    first : where these are among all unstable features
    """

    which: Any
    closed: Any
    left: Any
    right: Any
    chord: Any
    offset: Any
    paired: Any
    first: int


class Joined(NamedTuple):
    """The pairs of an activation.

    Attributes
    ----------
    members : ``[2 P]`` int64, all first ones, then all second ones
    table : ``[P, 4, C]``, what ``v_1, v_2, -s_1, -s_2`` are multiplied with at every corner
    quadrant : ``[P, 2, C]`` int8, signs of the corners
    smoothed : corners that are worse by this share of the best one's value have a say in derivatives
    """

    members: Any
    table: Any
    quadrant: Any
    smoothed: float


class Block(NamedTuple):
    """Room for one pair and ``R`` rows.

    Attributes
    ----------
    v, w, s, t : ``[R]`` each, what arrived at both members and what they handed on
    values : ``[C, R]``
    best, total, unit : ``[R]``
    held : ``[R]`` int8, whether any corner is on the sides of all splits
    whole, power : ``[R]``, the same memory as int32 and as float32
    """

    v: Any
    w: Any
    s: Any
    t: Any
    values: Any
    best: Any
    total: Any
    unit: Any
    held: Any
    whole: Any
    power: Any


def hand_on(v: Any, rows: Rows, lines: Lines, s: Any, value: Any) -> None:
    """What an activation hands on ``s`` ``[B, n]`` of ``v`` ``[B, n]``; what it adds is added to ``value`` ``[B]`` float64."""
    count, size = v.shape
    zero = np.float32(0.0)
    for b in range(count):
        for j in range(size):
            s[b, j] = v[b, j] * lines.closed[j]
        total = 0.0
        for i in range(lines.which.shape[0]):
            at = lines.first + i
            side, x, beta = rows.side[b, at], v[b, lines.which[i]], rows.beta[b, at]
            rows.arrived[b, at] = x
            up = zero if x < zero else x
            down = x - up
            if side == 0:
                below, above = rows.alpha[b, at], lines.chord[i]
                below = lines.left[i] if below < lines.left[i] else below
                below = lines.right[i] if below > lines.right[i] else below
                if lines.paired[i]:
                    above += beta
                else:
                    total += up * lines.offset[i]
                passed = up * above + down * below
            else:
                slope = lines.left[i] if side < 0 else lines.right[i]
                beta = zero if beta < zero else beta
                passed = up * slope + down * slope + (-beta if side < 0 else beta)
            s[b, lines.which[i]] = passed
            rows.handed[b, at] = passed
        value[b] += total


def join(rows: Rows, lines: Lines, joined: Joined, value: Any, block: Block) -> None:
    """Add the largest values of all pairs to ``value`` ``[B]``, minus infinity where a part holds no point."""
    count, at_once = rows.side.shape[0], block.best.shape[0]
    for begin in range(0, count, at_once):
        size = min(at_once, count - begin)
        for p in range(joined.table.shape[0]):
            at_corners(rows, lines, joined, (begin, size, p), block)
            for r in range(size):
                value[begin + r] += block.best[r]
                if block.held[r] == 0:
                    value[begin + r] = -np.inf


def at_corners(rows: Rows, lines: Lines, joined: Joined, at: tuple[int, int, int], block: Block) -> None:
    """Values of the ``p`` th pair at its corners for some rows from one on, ``at = (begin, size, p)``, and the largest, in ``block``.

    Those on the other side of a split are minus infinity, where that leaves any.
    """
    begin, size, p = at
    v, w, s, t, best, held = block.v, block.w, block.s, block.t, block.best, block.held
    i = lines.first + joined.members[p]
    j = lines.first + joined.members[joined.table.shape[0] + p]
    is_split = False
    for r in range(size):
        b = begin + r
        v[r], w[r] = rows.arrived[b, i], rows.arrived[b, j]
        s[r], t[r] = rows.handed[b, i], rows.handed[b, j]
        is_split |= rows.side[b, i] != 0 or rows.side[b, j] != 0
        best[r] = -np.inf
        held[r] = 1
    for c in range(joined.table.shape[2]):
        one, other, third, fourth = (
            joined.table[p, 0, c],
            joined.table[p, 1, c],
            joined.table[p, 2, c],
            joined.table[p, 3, c],
        )
        values = block.values[c]
        for r in range(size):
            values[r] = (one * v[r] - third * s[r]) + (other * w[r] - fourth * t[r])
    if is_split:
        ban(rows, joined, (begin, size, p), (i, j), block)
    for c in range(joined.table.shape[2]):
        values = block.values[c]
        for r in range(size):
            best[r] = best[r] if best[r] > values[r] else values[r]


def ban(rows: Rows, joined: Joined, at: tuple[int, int, int], pair: tuple[int, int], block: Block) -> None:
    """Take out corners that are on the other side of a split, and note in which rows all of them are."""
    begin, size, p = at
    for r in range(size):
        one, other = rows.side[begin + r, pair[0]], rows.side[begin + r, pair[1]]
        if one == 0 and other == 0:
            continue
        held = 0
        for c in range(joined.table.shape[2]):
            if joined.quadrant[p, 0, c] * one >= 0 and joined.quadrant[p, 1, c] * other >= 0:
                held = 1
        block.held[r] = held
        if held == 0:
            continue
        for c in range(joined.table.shape[2]):
            if joined.quadrant[p, 0, c] * one < 0 or joined.quadrant[p, 1, c] * other < 0:
                block.values[c, r] = -np.inf


def weigh(values: Any, size: int, block: Block) -> None:
    """Replace values at a corner by what they weigh beside the best: powers of ``e`` by how much worse they are, in units."""
    best, unit, whole, power = block.best, block.unit, block.whole, block.power
    for r in range(size):
        x = (values[r] - best[r]) / unit[r]
        x = _NONE if x < _NONE else x
        x = x * _PER_BIT
        down = np.floor(x)
        x -= down
        whole[r] = (np.int32(down) + np.int32(127)) << np.int32(23)
        values[r] = _P0 + x * (_P1 + x * (_P2 + x * (_P3 + x * (_P4 + x * (_P5 + x * _P6)))))
    for r in range(size):
        values[r] *= power[r]


def join_back(rows: Rows, lines: Lines, joined: Joined, passed: Any, block: Block) -> None:
    """Derivatives of the largest values of all pairs by ``v`` and ``s`` of members, as ``passed`` ``[B, m, 2]``."""
    count, at_once = rows.side.shape[0], block.best.shape[0]
    v, w, s, t, total, unit = block.v, block.w, block.s, block.t, block.total, block.unit
    table, half = joined.table, joined.table.shape[0]
    smoothed, zero = np.float32(joined.smoothed), np.float32(0.0)
    for begin in range(0, count, at_once):
        size = min(at_once, count - begin)
        for p in range(half):
            at_corners(rows, lines, joined, (begin, size, p), block)
            for r in range(size):
                unit[r] = smoothed * abs(block.best[r]) + _TINY
                v[r] = w[r] = s[r] = t[r] = total[r] = zero
            for c in range(table.shape[2]):
                values = block.values[c]
                weigh(values, size, block)
                one, other, third, fourth = table[p, 0, c], table[p, 1, c], table[p, 2, c], table[p, 3, c]
                for r in range(size):
                    total[r] += values[r]
                    v[r] += values[r] * one
                    w[r] += values[r] * other
                    s[r] += values[r] * third
                    t[r] += values[r] * fourth
            i, j = joined.members[p], joined.members[half + p]
            for r in range(size):
                passed[begin + r, i, 0], passed[begin + r, i, 1] = v[r] / total[r], -s[r] / total[r]
                passed[begin + r, j, 0], passed[begin + r, j, 1] = w[r] / total[r], -t[r] / total[r]


def hand_back(z: Any, rows: Rows, lines: Lines, passed: Any, image: Any, gradient: tuple[Any, Any]) -> None:
    """Derivatives by multipliers, ``[B, M]`` each, and by what arrived, ``image`` ``[B, n]``, of those by what is handed on, ``z`` ``[B, n]``.

    ``passed`` is that of :func:`join_back`, zeros where there are no pairs.
    """
    of_alpha, of_beta = gradient
    count, size = z.shape
    zero = np.float32(0.0)
    for b in range(count):
        for j in range(size):
            image[b, j] = z[b, j] * lines.closed[j]
        for i in range(lines.which.shape[0]):
            at = lines.first + i
            side, x = rows.side[b, at], rows.arrived[b, at]
            s, of_v = z[b, lines.which[i]], zero
            if lines.paired[i]:
                of_v = passed[b, i, 0]
                s += passed[b, i, 1]
            up = zero if x < zero else x
            if side == 0:
                of_alpha[b, at] = s * (x - up)
                of_beta[b, at] = s * up if lines.paired[i] else zero
                if x > zero:
                    above = lines.chord[i] + rows.beta[b, at] if lines.paired[i] else lines.chord[i]
                    of_v += s * above + (zero if lines.paired[i] else lines.offset[i])
                else:
                    below = rows.alpha[b, at]
                    below = lines.left[i] if below < lines.left[i] else below
                    below = lines.right[i] if below > lines.right[i] else below
                    of_v += s * below
            else:
                of_alpha[b, at] = zero
                of_beta[b, at] = -s if side < 0 else s
                of_v += s * (lines.left[i] if side < 0 else lines.right[i])
            image[b, lines.which[i]] = of_v
