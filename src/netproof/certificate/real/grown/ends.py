"""Lemmas of a certificate with trees of their own: ends of ranges for which a search split the region."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from netproof.certificate.checker.real.bound import Cells
from netproof.certificate.checker.real.check import applied
from netproof.certificate.checker.real.tree import Lemma
from netproof.certificate.real.contents import INTERVALS, LEMMAS
from netproof.certificate.real.deadline import Deadline
from netproof.certificate.real.grown.grow import Grower
from netproof.certificate.real.grown.seeds import Claim, Limits, Maker, Places, Seed
from netproof.certificate.real.grown.written import dyadic, written
from netproof.certificate.real.leaves import Trees
from netproof.result import DividedEnd, Refutation

#: binary digits of ends, and the share of a range's width that a lemma has to gain
_END, _WORTH = 20, 0.0003
#: what it may lose, and how many cells of an end are split beyond the record: all as the search had them, then what failed with less
#: to show. (What rests on these ranges closes by little, and one end that is left out makes those of all later layers fail.)
_TRIES = ((0.00003, 0), (0.0005, 0), (0.003, 0), (0.003, 4), (0.02, 4))

Arrays = dict[str, list[int]]


def add_divided(maker: Maker, cells: Cells, ends: Sequence[DividedEnd], arrays: Arrays) -> Cells:
    """Lemmas about one cell, layer by layer, with intervals after each; they go into ``arrays``, and the cell that is left is returned."""
    for k, group in itertools.groupby(ends, key=lambda one: one.k):
        trees = _Parts(maker.evaluation.network.sizes, maker.evaluation.network.inputs, maker.deadline)
        kept: list[tuple[Lemma, Seed]] = []
        left = list(group)
        for cost, beyond in _TRIES:
            stated = [(lemma, end) for end in left if (lemma := _lemma(maker, cells, end, cost)) is not None]
            seeds = _grown(maker, cells, trees, stated, beyond)
            kept += [(lemma, seed) for (lemma, _), seed in zip(stated, seeds, strict=True) if seed is not None]
            left = [end for (_, end), seed in zip(stated, seeds, strict=True) if seed is None]
        if not kept:
            continue
        arrays["stage"] += [LEMMAS, INTERVALS]
        arrays["lemma_count"].append(len(kept))
        for lemma, _ in kept:
            value, exponent = dyadic(lemma.end)
            entry = (k + 1, lemma.feature, int(lemma.sign > 0), value, exponent)
            for name, number in zip(("relu", "feature", "side", "end", "exponent"), entry, strict=True):
                arrays[f"lemma_{name}"].append(number)
        for name, values in written([seed for _, seed in kept]).items():
            arrays[name] += values
        cells = maker.evaluation.derive(applied(cells, [(lemma, k) for lemma, _ in kept]), INTERVALS)
    return cells


def _lemma(maker: Maker, cells: Cells, end: DividedEnd, cost: float) -> Lemma | None:
    """What an end's parts should show; None where it is not worth it."""
    low, high = float(cells.low[end.k][0, end.feature]), float(cells.high[end.k][0, end.feature])
    # Of a feature that is never positive nothing else matters.
    if not (low < high and high > 0 and math.isfinite(end.bound)):
        return None
    width, known = high - low, high if end.upper else -low
    bound = end.bound + cost * width
    # Which sign the feature has is what matters most.
    bound = 0.0 if end.bound <= 0 <= bound else (math.floor(bound * 2.0**_END) + 1) / 2.0**_END
    if not bound < known - _WORTH * width:
        return None
    sign = 1 if end.upper else -1
    return Lemma(maker.evaluation.operands[end.k], end.feature, sign, sign * bound)


def _grown(
    maker: Maker, cells: Cells, trees: _Parts, stated: Sequence[tuple[Lemma, DividedEnd]], beyond: int
) -> Sequence[Seed | None]:
    """The trees of lemmas about ends; None for those that do not close."""
    if not stated:
        return []
    lemmas, ends = [lemma for lemma, _ in stated], [end for _, end in stated]
    roots = [trees.divided(end) for end in ends]
    seeds = [Seed([Claim(i, root)], ends[i].unstable, {}) for i, root in enumerate(roots)]
    places = [Places(np.zeros(1, np.int64), np.ones(1), is_end=True)] * len(lemmas)
    grower = Grower(maker, lemmas, places, trees.trace(), Limits(each=beyond))
    grower.grow(cells, seeds)
    return [None if i in grower.failed else seed for i, seed in enumerate(seeds)]


class _Parts(Trees):
    """Trees of the parts of ends, each made once."""

    def __init__(self, sizes: Sequence[int], inputs: int, deadline: Deadline) -> None:
        super().__init__(sizes, inputs, deadline)
        self._roots: dict[int, tuple[DividedEnd, int]] = {}

    def divided(self, end: DividedEnd) -> int:
        """The root of an end's tree: the same that :meth:`Trees.root` finds, of parts whose splits are all at 0."""
        if id(end) not in self._roots:
            self._roots[id(end)] = end, self._of_parts(end)
        return self._roots[id(end)][1]

    def _of_parts(self, end: DividedEnd) -> int:
        side = np.asarray(end.side)
        begin = np.array(self._begin)
        relu = np.searchsorted(begin, end.unstable, side="right")
        feature = end.unstable - begin[relu - 1]
        is_named = side != 0
        root = self._node()
        # Of the parts on a side of the splits so far, which are left to be made.
        stack = [(root, np.arange(len(side)), np.ones(side.shape[1], np.bool_))]
        while stack:
            self._deadline.look()
            node, mine, is_left = stack.pop()
            if not len(mine):
                continue
            named = is_named[mine] & is_left
            whole = np.flatnonzero(~named.any(1))
            if len(whole):
                self._part(node, end, int(mine[whole[0]]))
                continue
            column = int(named.sum(0).argmax())
            halves = self._node(), self._node()
            self._splits[node] = (int(relu[column]) - 1, int(feature[column]), 0.0, *halves)
            rest = is_left.copy()
            rest[column] = False
            for half, other in zip(halves, (1, -1), strict=True):
                stack.append((half, mine[side[mine, column] != other], rest))
        return root

    def _part(self, node: int, end: DividedEnd, row: int) -> None:
        self._open[node] = end.unstable
        slope, added = (part[row].astype(np.float64) for part in (end.slope, end.added))
        self._refuted[node] = Refutation("signs", np.ones(1), slope, added)
