"""Pairs of a certificate, from those that a search bounded together, with few digits.

Nobody has to believe their ends: each has a row of multipliers, by which the checker finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from netproof.certificate.checker.real.bound import Cells, Floats, Index
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.real.contents import PAIR_ENDS, PAIR_EXPONENTS, Integers
from netproof.certificate.real.grown.lemmas import bounded_by, sloped_row, told_slopes
from netproof.certificate.real.grown.rows import Row
from netproof.certificate.real.grown.seeds import Maker
from netproof.result import PairsBeside

#: binary digits of slopes that are tried, and of ends beside the larger range
_DIGITS, _END = (3, 6, 10), 20
#: the share of what ranges say of an end that a row has to take off, and that of what it takes off that fewer digits may cost
_WORTH, _COST = 2.0**-8, 2.0**-5
#: numbers of values of rows that are bounded at once
_ROWS = 1 << 20
#: the ends of sums and differences, by signs of both
_SIGNS = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])


@dataclass(frozen=True, eq=False)
class MadePairs:
    """A set as arrays of a certificate, but for how many pairs it has, with the rows that it names by numbers from 1; and what of the
    search's pairs it is."""

    arrays: dict[str, Integers]
    rows: list[Row]
    pairs: tuple[PairsBeside, ...]


def made_pairs(maker: Maker, cells: Cells, pairs: Sequence[PairsBeside]) -> MadePairs:
    """A set of the pairs whose ranges are open on a cell."""
    parts: dict[str, list[Integers]] = {name: [] for name in _NAMES}
    network, rows, kept = maker.evaluation.network, list[Row](), list[PairsBeside]()
    for beside in sorted(pairs, key=lambda one: one.k):
        # Two activations of the search may be one ReLU of the file.
        if network.nodes[network.bends[beside.k]].bend != RELU or any(one.k == beside.k for one in kept):
            continue
        low, high = (ends[beside.k][0] for ends in (cells.low, cells.high))
        is_open = (low < 0) & (high > 0) & np.isfinite(high - low)
        some = np.flatnonzero(is_open[beside.first] & is_open[beside.second])
        some = some[np.minimum(beside.first, beside.second)[some].argsort(kind="stable")]
        if not len(some):
            continue
        first, second = (end[some] for end in (beside.first, beside.second))
        size = np.max([np.maximum(-low, high)[one] for one in (first, second)], 0)
        exponent = np.clip(_END - np.frexp(size)[1], 0, PAIR_EXPONENTS).astype(np.int64)
        end, row = _ends(
            maker,
            cells,
            replace(beside, first=first, second=second, slope=beside.slope[some], bound=beside.bound[some]),
            exponent,
            rows,
        )
        k = np.full(len(some), beside.k + 1, np.int64)
        # The smaller number first: a difference is the negative of the other one then.
        turned = first > second
        swap = np.where(turned[:, None], [0, 1, 3, 2], [0, 1, 2, 3])
        ordered = np.minimum(first, second), np.maximum(first, second)
        both = (np.take_along_axis(one, swap, 1).reshape(-1) for one in (end, row))
        for name, values in zip(_NAMES, (k, *ordered, exponent, *both), strict=True):
            parts[name].append(values)
        kept.append(replace(beside, first=first, second=second))
    return MadePairs(
        {name: np.concatenate([np.zeros(0, np.int64), *some]) for name, some in parts.items()}, rows, tuple(kept)
    )


_NAMES = ("pair_relu", "pair_first", "pair_second", "pair_exponent", "pair_end", "pair_row")


def _ends(
    maker: Maker, cells: Cells, beside: PairsBeside, exponent: Integers, rows: list[Row]
) -> tuple[Integers, Integers]:
    """Ends in units of the exponents and numbers of their rows, which are added to ``rows``, ``[P, 4]``; 0 where ranges say as much."""
    low, high = (
        np.ldexp(ends[beside.k][0, [beside.first, beside.second]], exponent) for ends in (cells.low, cells.high)
    )
    far = np.stack([np.where(_SIGNS[:, i] > 0, high[i][:, None], -low[i][:, None]) for i in range(2)])
    widest = np.ceil(far[0]) + np.ceil(far[1])
    wanted = np.ldexp(beside.bound, exponent[:, None])
    numbers, slope, rule = told_slopes(
        maker.evaluation, cells, beside.k, beside.open, beside.slope.reshape(widest.size, len(beside.open))
    )
    end, chosen = widest.reshape(-1).copy(), np.full(widest.size, -1, np.int64)
    made: list[Row] = []
    left = np.flatnonzero((wanted < (1 - _WORTH) * widest).reshape(-1))
    for digits in _DIGITS:
        if not len(left):
            break
        tried = [sloped_row(numbers, slope[i], rule, digits, maker.width) for i in left.tolist()]
        value = np.floor(np.ldexp(_values(maker, cells, beside, left, tried), exponent[left // 4])) + 1
        for i, one, row in zip(left.tolist(), value.tolist(), tried, strict=True):
            if one < end[i] and abs(one) <= PAIR_ENDS:
                end[i], chosen[i] = one, len(made)
                made.append(row)
        goal = (widest - (1 - _COST) * (widest - wanted)).reshape(-1)[left]
        left = left[~(end[left] <= goal + 1)]
    number = np.zeros(widest.size, np.int64)
    for i in np.flatnonzero(chosen >= 0).tolist():
        rows.append(made[chosen[i]])
        number[i] = len(rows)
    end = np.where(number > 0, end, 0.0)
    return end.astype(np.int64).reshape(-1, 4), number.reshape(-1, 4)


def _values(maker: Maker, cells: Cells, beside: PairsBeside, which: Index, made: list[Row]) -> Floats:
    """Upper bounds of some of the ends, four of each pair, by rows."""
    network = maker.evaluation.network
    value, most = np.zeros(len(which)), max(1, _ROWS // max(one.size for one in network.nodes))
    for some in (slice(at, at + most) for at in range(0, len(which), most)):
        maker.deadline.look()
        pair, sign = which[some] // 4, _SIGNS[which[some] % 4]
        c = np.zeros((len(pair), network.sizes[beside.k]))
        for i, feature in enumerate((beside.first, beside.second)):
            c[np.arange(len(pair)), feature[pair]] = sign[:, i]
        value[some] = bounded_by(maker.evaluation, cells, beside.k, c, made[some])
    return value
