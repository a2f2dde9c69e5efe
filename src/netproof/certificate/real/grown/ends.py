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
from netproof.certificate.real.grown.grow import Grower
from netproof.certificate.real.grown.seeds import Claim, Maker, Places, Seed
from netproof.certificate.real.grown.written import dyadic, written
from netproof.certificate.real.leaves import Leaf, Split, Trees
from netproof.result import DividedEnd, Refutation

#: binary digits of ends, and the share of a range's width that a lemma has to gain, and may lose
_END, _WORTH, _COST = 16, 0.002, 0.001
#: how many cells of an end are split beyond the record
_BEYOND = 4

Arrays = dict[str, list[int]]


def add_divided(maker: Maker, cells: Cells, ends: Sequence[DividedEnd], arrays: Arrays) -> Cells:
    """Lemmas about one cell, layer by layer, with intervals after each; they go into ``arrays``, and the cell that is left is returned."""
    for k, group in itertools.groupby(ends, key=lambda one: one.k):
        lemmas: list[Lemma] = []
        wanted: list[DividedEnd] = []
        for end in group:
            lemma = _lemma(maker, cells, end)
            if lemma is not None:
                lemmas.append(lemma)
                wanted.append(end)
        seeds = _grown(maker, cells, lemmas, wanted)
        kept = [i for i, seed in enumerate(seeds) if seed is not None]
        if not kept:
            continue
        arrays["stage"] += [LEMMAS, INTERVALS]
        arrays["lemma_count"].append(len(kept))
        for i in kept:
            value, exponent = dyadic(lemmas[i].end)
            entry = (k + 1, lemmas[i].feature, int(lemmas[i].sign > 0), value, exponent)
            for name, number in zip(("relu", "feature", "side", "end", "exponent"), entry, strict=True):
                arrays[f"lemma_{name}"].append(number)
        for name, values in written([seed for seed in seeds if seed is not None]).items():
            arrays[name] += values
        cells = maker.evaluation.derive(applied(cells, [(lemmas[i], k) for i in kept]), INTERVALS)
    return cells


def _lemma(maker: Maker, cells: Cells, end: DividedEnd) -> Lemma | None:
    """What an end's parts should show; None where it is not worth it."""
    low, high = float(cells.low[end.k][0, end.feature]), float(cells.high[end.k][0, end.feature])
    if not low < 0 < high:
        return None
    width, known = high - low, high if end.upper else -low
    bound = end.bound + _COST * width
    # Which sign the feature has is what matters most.
    bound = 0.0 if end.bound <= 0 <= bound else (math.floor(bound * 2.0**_END) + 1) / 2.0**_END
    if not bound < known - _WORTH * width:
        return None
    sign = 1 if end.upper else -1
    return Lemma(maker.evaluation.operands[end.k], end.feature, sign, sign * bound)


def _grown(maker: Maker, cells: Cells, lemmas: Sequence[Lemma], ends: Sequence[DividedEnd]) -> Sequence[Seed | None]:
    """The trees of lemmas; None for those that do not close."""
    if not lemmas:
        return []
    trees = _Parts(maker.evaluation.network.sizes, maker.evaluation.network.inputs, maker.deadline)
    roots = [trees.divided(end) for end in ends]
    seeds = [Seed([Claim(i, root)], ends[i].unstable, {}) for i, root in enumerate(roots)]
    places = [Places(np.zeros(1, np.int64), np.ones(1), is_end=True)] * len(lemmas)
    grower = Grower(maker, lemmas, places, trees.trace(), _BEYOND)
    grower.grow(cells, seeds)
    return [None if i in grower.failed else seed for i, seed in enumerate(seeds)]


class _Parts(Trees):
    """Trees of the parts of ends."""

    def divided(self, end: DividedEnd) -> int:
        """The root of an end's tree."""
        begin = np.array(self._begin)
        relu = np.searchsorted(begin, end.unstable, side="right")
        feature = end.unstable - begin[relu - 1]
        leaves = []
        for row, side in enumerate(end.side):
            splits = tuple(
                Split(int(relu[i]), int(feature[i]), bool(side[i] > 0), 0.0) for i in np.flatnonzero(side).tolist()
            )
            leaves.append(Leaf(0, None, splits, {}, {}, (), row))
        self._end = end
        return self.root(leaves)

    def _refute(self, node: int, leaf: Leaf) -> None:
        end, row = self._end, leaf.number
        self._open[node] = end.unstable
        slope, added = (part[row].astype(np.float64) for part in (end.slope, end.added))
        self._refuted[node] = Refutation("signs", np.ones(1), slope, added)
