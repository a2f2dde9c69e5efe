"""Lemmas of a certificate: ends of ranges by the slopes that a search found for them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.bound import Cells, Evaluation, Floats, Objective
from netproof.certificate.checker.real.check import applied
from netproof.certificate.checker.real.nodes import PRODUCT, RELU
from netproof.certificate.checker.real.relus import leans
from netproof.certificate.checker.real.tree import Lemma, Rows
from netproof.certificate.real.contents import INTERVALS, LEAF, LEMMAS
from netproof.certificate.real.grown.rows import Row, Wish, arrays_of_rows
from netproof.certificate.real.grown.seeds import Maker
from netproof.certificate.real.grown.steps import Descent
from netproof.certificate.real.grown.written import dyadic
from netproof.result import Ends

#: binary digits of slopes that are tried, and of ends
_DIGITS, _END = (3, 6, 10), 20
#: numbers of values of rows that are improved at once
_ROWS = 1 << 18
#: steps of the descent of each end
_STEPS = 12
#: the share of a range's width that a lemma has to gain, and that fewer digits may cost
_WORTH, _COST = 0.0002, 0.00003

Arrays = dict[str, list[int]]


def add_lemmas(maker: Maker, cells: Cells, ends: Sequence[Ends], arrays: Arrays) -> Cells:
    """Lemmas about one cell, layer by layer, with intervals after each; they go into ``arrays``, and the cell that is left is returned."""
    for k, group in itertools.groupby(ends, key=lambda one: one.k):
        lemmas = [found for one in group for found in _lemmas(maker, cells, one)]
        if not lemmas:
            continue
        arrays["stage"] += [LEMMAS, INTERVALS]
        arrays["lemma_count"].append(len(lemmas))
        for lemma, row in lemmas:
            end, exponent = dyadic(lemma.end)
            entry = (k + 1, lemma.feature, int(lemma.sign > 0), end, exponent)
            for name, value in zip(("relu", "feature", "side", "end", "exponent"), entry, strict=True):
                arrays[f"lemma_{name}"].append(value)
            arrays["kind"].append(LEAF)
            arrays["rule"].append(0)
            arrays["leaf_row"].append(maker.table.number(row))
        cells = maker.evaluation.derive(applied(cells, [(lemma, k) for lemma, _ in lemmas]), INTERVALS)
    return cells


def add_lined(maker: Maker, cells: Cells, arrays: Arrays) -> Cells:
    """The same of ends by lines that a descent finds for each of them, as a search does on networks with smooth functions."""
    evaluation, descent = maker.evaluation, Descent(maker.evaluation)
    network, begin = evaluation.network, np.cumsum([0, *evaluation.network.sizes])
    for k, node in enumerate(network.operands):
        low, high = cells.low[k][0], cells.high[k][0]
        feature = np.flatnonzero(evaluation.opens(k, low, high))
        chosen = [m for m in range(k) if network.nodes[network.bends[m]].bend != PRODUCT]
        if not len(feature) or not chosen:
            continue
        at, sign = np.tile(feature, 2), np.repeat([1.0, -1.0], len(feature))
        most = max(1, _ROWS // max(one.size for one in network.nodes))
        found = []
        for some in (slice(first, first + most) for first in range(0, len(at), most)):
            maker.deadline.look()
            c = np.zeros((len(at[some]), network.nodes[node].size))
            c[np.arange(len(c)), at[some]] = sign[some]
            objective = Objective({node: c}, np.zeros(len(c)))
            start = descent.started(cells, objective, None)
            found.append(descent.run(cells, objective, start, np.zeros(start.slope.shape, np.bool_), _STEPS))
        numbers = np.concatenate([np.arange(begin[m], begin[m + 1]) for m in chosen])
        slope = np.nan_to_num(np.concatenate([one.slope[:, numbers] for one in found]))
        bound = np.concatenate([one.value for one in found])
        cells = add_lemmas(maker, cells, [Ends(k, at, sign > 0, numbers, slope, bound)], arrays)
    return cells


def _lemmas(maker: Maker, cells: Cells, ends: Ends) -> list[tuple[Lemma, Row]]:
    """The lemmas that are worth it, with the fewest digits that do."""
    evaluation, k = maker.evaluation, ends.k
    low, high = cells.low[k][0, ends.feature], cells.high[k][0, ends.feature]
    which = np.flatnonzero(evaluation.opens(k, low, high))
    if not len(which):
        return []
    feature, sign = ends.feature[which], np.where(ends.upper[which], 1, -1)
    width, known = (high - low)[which], np.where(sign > 0, high[which], -low[which])
    numbers, slope, rule = told_slopes(evaluation, cells, k, ends.open, ends.slope[which])
    # What gains too little is left out, and what is nearly as good as the search's bound has digits enough.
    bound, best = ends.bound[which], np.full(len(which), np.inf)
    rows: list[Row | None] = [None] * len(which)
    left = np.flatnonzero(bound < known - _WORTH * width)
    for digits in _DIGITS:
        if not len(left):
            break
        made = [sloped_row(numbers, slope[i], rule, digits, maker.width) for i in left.tolist()]
        value = _values(evaluation, cells, k, feature[left], sign[left], made)
        for i, row, one in zip(left.tolist(), made, value.tolist(), strict=True):
            if one < best[i] - (0.0 if rows[i] is None else _COST * width[i]):
                best[i], rows[i] = one, row
        left = left[~(value <= bound[left] + _COST * width[left])]
    found, node = [], evaluation.operands[k]
    for i, chosen in enumerate(rows):
        if chosen is not None and best[i] < known[i] - _WORTH * width[i]:
            end = (math.floor(float(best[i]) * 2.0**_END) + 1) / 2.0**_END
            found.append((Lemma(node, int(feature[i]), int(sign[i]), float(sign[i]) * end), chosen))
    return found


def told_slopes(
    evaluation: Evaluation, cells: Cells, k: int, opened: NDArray[np.int64], slope: NDArray[np.float32]
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Of slopes ``[N, m]`` of features ``[m]`` those that say something of the operand of ReLU ``k``: the features, their slopes, and
    what these are by the rule."""
    begin = np.cumsum([0, *evaluation.network.sizes])
    # Slopes of features that are no longer open, or not different from the rule's, say nothing.
    lows, highs = (np.concatenate([x[0] for x in part])[opened] for part in (cells.low, cells.high))
    kinds = np.array([evaluation.network.nodes[i].bend == RELU for i in evaluation.network.bends], np.bool_)
    straight = np.repeat(kinds, evaluation.network.sizes)[opened]
    matters = np.where(straight, (lows < 0) & (highs > 0), lows < highs) & (opened < begin[k])
    told = slope[:, matters].astype(np.float64)
    told = np.where(straight[matters], np.clip(told, 0.0, 1.0), told)
    # Of curves the rule's slope is no number.
    return opened[matters], told, np.where(straight, leans(lows, highs) * 1.0, np.nan)[matters]


def sloped_row(numbers: NDArray[np.int64], slope: Floats, rule: Floats, digits: int, width: int) -> Row:
    """A row without weights, of slopes with so many digits, those that differ from the rule's."""
    rounded = np.rint(slope * 2.0**digits) / 2.0**digits
    new = rounded != rule
    return Wish(np.zeros(width), False, numbers[new], rounded[new], np.zeros(int(new.sum()))).rounded(digits)


def _values(
    evaluation: Evaluation, cells: Cells, k: int, feature: NDArray[np.int64], sign: Floats, made: list[Row]
) -> Floats:
    """Upper bounds of ``sign a`` by rows."""
    c = np.zeros((len(made), evaluation.network.sizes[k]))
    c[np.arange(len(made)), feature] = sign
    return bounded_by(evaluation, cells, k, c, made)


def bounded_by(evaluation: Evaluation, cells: Cells, k: int, c: Floats, made: Sequence[Row]) -> Floats:
    """Upper bounds on one cell of mixtures ``c`` ``[R, n]`` of the operand of ReLU ``k``, each by a row."""
    rows = Rows(arrays_of_rows(made, len(made[0].mu)), evaluation.network.sizes)
    objective = Objective({evaluation.operands[k]: c}, np.zeros(len(made)))
    return evaluation.refutations(cells, np.zeros(len(made), np.int64), objective, rows.slopes(np.arange(len(made))))
