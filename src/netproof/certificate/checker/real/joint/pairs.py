"""Two features of a ReLU bounded together: docs/certificates.md, *Pairs*.

What two operands ``a`` and ``b`` can be lies in an octagon, by their ranges and those of ``a + b`` and ``a - b``. What they share in the
bound is linear on each side of both axes, and so the largest at a corner of one of the parts into which the axes cut the octagon. Ends are
whole numbers of a unit, and corners whole numbers of half of it: nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.bound import Alone, Cells, Floats, Handed, Index, Objective
from netproof.certificate.checker.real.curved.bends import Said
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.operators import Array
from netproof.certificate.checker.real.relus import Ranges, leans
from netproof.certificate.real.contents import PAIR_ENDS, Integers, Taken
from netproof.errors import ProofError

if TYPE_CHECKING:
    from netproof.certificate.checker.real.tree import Prover

_OF_PAIRS = ("pair_relu", "pair_first", "pair_second", "pair_exponent")
#: by which ``a`` and ``b`` are multiplied in what is bounded from both sides, and in what ends of pairs are of
_NORMALS = ((1, 0), (0, 1), (1, 1), (1, -1))
_SIGNS = ((1, 1), (-1, -1), (1, -1), (-1, 1))
#: numbers of rows that ends are bounded by at once
_AT_ONCE = 1 << 22
#: the share of a pair that no point of a cell can have
_NOTHING = -(2.0**200)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of features of one ReLU.

    Attributes
    ----------
    member : ``[2, P]``, the features
    corner : ``[P, C, 2]``, what both operands are at corners, of which some may come several times
    """

    member: Index
    corner: Floats

    def handed(self, numbers: Float64, v: Array, ranges: Ranges, said: Said, alone: Alone) -> Handed:
        """As :class:`netproof.certificate.checker.real.bound.Beside` has it: features of no pair are bounded alone."""
        columns, (given, added, flat) = self.member.reshape(-1), said
        left, others = v.copy(), None if added is None else added.copy()
        left[:, columns] = 0 * v[:, columns]
        if others is not None:
            others[:, columns] = 0.0
        s, share = alone(left, ranges, given, others, flat)
        low, high = (ranges.each(x[:, columns]) for x in (ranges.low, ranges.high))
        given, added = (None if x is None else x[:, columns] for x in (given, added))
        taken = self._multipliers(numbers.near(v[:, columns]), low, high, (given, added, flat))
        s[:, columns] = numbers.load(taken)
        _, shares, none = self.shares(numbers, v[:, columns], s[:, columns], low, high)
        best: Array = reduce(numbers.maximum, np.moveaxis(shares, 2, 0)).sum(1)
        reach = abs(self.corner).max(1).T.reshape(-1)
        weight = np.zeros(len(v)) if numbers.exact else np.asarray((abs(v[:, columns]) + abs(taken)) @ reach)
        return s, share + np.where(none, numbers.load(np.full(len(v), _NOTHING)), best), weight, ()

    def _multipliers(self, near: Floats, low: Floats, high: Floats, said: Said) -> Floats:
        """Those of members, ``[R, 2 P]``: as of features that are alone, but for what is added where signs are open."""
        given, added, flat = said
        is_open, more = (low < 0) & (high > 0), np.zeros(near.shape) if added is None else added
        chord = np.where(is_open, high / np.where(is_open, high - low, 1.0), (low >= 0) * 1.0)
        below = leans(low, high) * 1.0 if given is None else np.where(np.isnan(given), leans(low, high), given)
        slope = np.where(is_open & (near < 0), below, chord + np.where(is_open, more, 0.0))
        alone = slope * near + np.where(is_open, 0.0, more)
        return np.asarray(alone if flat is None else np.where(flat[:, None], more, alone))

    def shares(
        self, numbers: Float64, v: Array, s: Array, low: Floats, high: Floats
    ) -> tuple[Floats, Array, NDArray[np.bool_]]:
        """Corners whose signs cells have, ``[R, P, C, 2]``, the shares of pairs there, ``[R, P, C]``, and in which rows a pair has none;
        all else is ``[R, 2 P]``, of members."""
        count = len(self.corner)
        low, high = (np.moveaxis(x.reshape(-1, 1, 2, count), 3, 1) for x in (low, high))
        is_there = np.all(((low < 0) | (self.corner >= 0)) & ((high > 0) | (self.corner <= 0)), 3)
        # In the place of the others stands the first that is there.
        at = np.where(is_there, np.arange(self.corner.shape[1]), is_there.argmax(2)[:, :, None])
        corner, share = self.corner[np.arange(count)[None, :, None], at], None
        for i in range(2):
            mine, own = (x[:, i * count : (i + 1) * count, None] for x in (v, s))
            one = mine * numbers.load(np.maximum(corner[..., i], 0.0)) - own * numbers.load(corner[..., i])
            share = one if share is None else share + one
        return corner, np.asarray(share), np.asarray(np.any(~np.any(is_there, 2), 1))


def pairs_of(taken: Taken, prover: Prover, cells: Cells, source: str) -> tuple[int, dict[int, Pairs]]:
    """The next set of a certificate: how many pairs it has, and these by their ReLUs; ends of sums and differences are proved on one cell."""
    network, count = prover.evaluation.network, taken.one("pair_count")
    relu, first, second, exponent = (taken.take(name, count) for name in _OF_PAIRS)
    end, row = (taken.take(name, 4 * count).reshape(-1, 4) for name in ("pair_end", "pair_row"))
    sizes = [network.nodes[i].size for i in network.bends]
    if any(not 0 < k <= len(sizes) or network.nodes[network.bends[k - 1]].bend != RELU for k in relu.tolist()):
        raise ProofError(source, "a pair names a ReLU that is not there")
    most, members = np.array([0, *sizes])[relu], np.concatenate([relu, relu]) * max(sizes) + [*first, *second]
    if (first < 0).any() or (first >= second).any() or (second >= most).any():
        raise ProofError(source, "a pair names features that are not there, or not in ascending order")
    if (np.diff(members[:count]) <= 0).any() or len(set(members.tolist())) < 2 * count:
        raise ProofError(source, "pairs are not in ascending order, or have features of others")
    ranges = []
    for ends, sign in ((cells.low, 1.0), (cells.high, -1.0)):
        each = [
            [sign * ends[k - 1][0, x] for k, x in zip(relu.tolist(), m.tolist(), strict=True)] for m in (first, second)
        ]
        ranges.append(sign * np.floor(np.ldexp(np.array(each), exponent)))
    if not (np.abs(ranges) <= PAIR_ENDS).all():
        raise ProofError(source, "a pair is of features whose ranges are too large for its unit")
    low, high = (np.asarray(one, np.int64) for one in ranges)
    prover.evaluation.look()
    _prove(prover, cells, (relu, first, second, exponent), (end, row), source)
    # What two ranges say of a sum or a difference needs no proof, and is part of the octagon anyway.
    widest = np.stack([high[0] + high[1], -low[0] - low[1], high[0] - low[1], high[1] - low[0]], 1)
    end = np.where(row > 0, end, widest)
    corners = _corners([*low, -end[:, 1], -end[:, 3]], [*high, end[:, 0], end[:, 2]], prover.evaluation.look)
    if any(not len(mine) for mine in corners):
        raise ProofError(source, "a pair has no corner")
    longest = max(map(len, corners))
    all_of = np.array([[*mine, *mine[:1] * (longest - len(mine))] for mine in corners], np.float64)
    corner = np.ldexp(all_of, -exponent[:, None, None] - 1)
    return count, {
        k: Pairs(np.stack([first[relu == k + 1], second[relu == k + 1]]), corner[relu == k + 1])
        for k in np.unique(relu - 1).tolist()
    }


def _prove(prover: Prover, cells: Cells, of: Sequence[Integers], told: tuple[Integers, Integers], source: str) -> None:
    """Raise :class:`ProofError` unless rows bound sums and differences by their ends."""
    (relu, first, second, exponent), (end, row), rows = of, told, prover.rows
    by, (pair, which) = prover.evaluation, np.nonzero(row)
    most = max(1, _AT_ONCE // sum(node.size for node in by.network.nodes))
    for k in np.unique(relu[pair]).tolist():
        mine = np.flatnonzero(relu[pair] == k)
        for some in (mine[at : at + most] for at in range(0, len(mine), most)):
            one, number = pair[some], row[pair[some], which[some]] - 1
            c = np.zeros((len(some), by.network.nodes[by.operands[k - 1]].size))
            for feature, sign in zip((first, second), np.array(_SIGNS, np.float64).T, strict=True):
                c[np.arange(len(some)), feature[one]] = sign[which[some]]
            constant = -np.ldexp(end[one, which[some]].astype(np.float64), -exponent[one])
            objective = Objective({by.operands[k - 1]: by.numbers.load(c)}, by.numbers.load(constant))
            none, asked = np.zeros(len(some), np.int64), prover.sets.refutations
            value = asked(by, cells, none, objective, rows.slopes(number), rows.sets[number])
            if rows.mu[number].any() or not (value <= 0).all():
                raise ProofError(source, "a row does not bound what two features of a pair add up to, or differ by")


def _corners(
    low: Sequence[Integers], high: Sequence[Integers], look: Callable[[], None] = lambda: None
) -> list[list[tuple[int, int]]]:
    """Corners in half units of octagons that axes cut, from ranges of ``a``, ``b``, ``a + b`` and ``a - b``, ``[P]`` each."""
    lines = [(n, end) for n, ends in zip(_NORMALS, zip(low, high, strict=True), strict=True) for end in ends]
    lines += [(n, np.zeros_like(low[0])) for n in _NORMALS[:2]]
    found: list[set[tuple[int, int]]] = [set() for _ in low[0]]
    for ((p, q), t), ((r, s), u) in combinations(lines, 2):
        across = p * s - q * r
        if not across:
            continue
        look()
        # Twice the point at which both are met; the determinant is 1 or 2, or the negative.
        x, y = (2 // across) * (t * s - u * q), (2 // across) * (p * u - r * t)
        each = zip(_NORMALS, low, high, strict=True)
        inside = np.all([(2 * a <= m * x + n * y) & (m * x + n * y <= 2 * b) for (m, n), a, b in each], 0)
        for at in np.flatnonzero(inside).tolist():
            found[at].add((int(x[at]), int(y[at])))
    return [sorted(mine) for mine in found]
