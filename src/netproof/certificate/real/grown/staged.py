"""A part's cell with the ranges that rules leave on the whole of it, as a maker of trees needs it.

On a large network CROWN's ranges take most of what a search takes, and the search has found them by the same rule. So they are taken
from its record where a sample of them is what the checker's own bound gives, and made wider by more than the two can differ.
Nobody has to believe that: the file says by which rule ranges follow, and whoever checks it finds them anew.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from netproof.certificate.checker.real.bound import Cells, Evaluation, Floats
from netproof.certificate.real.contents import CROWN, FORMS

#: where a network has more inputs, linear forms cost more than they tell
FEW_INPUTS = 64
#: neurons of a ReLU that are compared, and how many of all have to be open for that to be worth it
_SAMPLE, _MANY = 12, 500
#: by what share of a value's size what is known may differ from what the checker finds, and by what all ranges are then made wider
_CLOSE, _WIDER = 2.0**-32, 2.0**-26

Known = Sequence[tuple[Floats, Floats]]


def staged(evaluation: Evaluation, cells: Cells, arrays: dict[str, list[int]], known: Known = ()) -> Cells:
    """A part's cell with the ranges of the rules that are used on the whole of it, which go into ``arrays``.

    Parameters
    ----------
    known : both ends ``[n]`` of every ReLU's ranges as a search found them by CROWN; may be empty
    """
    if evaluation.network.inputs <= FEW_INPUTS:
        arrays["stage"].append(FORMS)
        cells = evaluation.derive(cells, FORMS)
    arrays["stage"].append(CROWN)
    is_open = sum(int(((low < 0) & (high > 0)).sum()) for low, high in zip(cells.low, cells.high, strict=True))
    if known and is_open >= _MANY:
        taken = _Compared(evaluation, known).taken(cells)
        if taken is not None:
            return taken
    return evaluation.derive(cells, CROWN)


class _Compared(Evaluation):
    """CROWN on some neurons of every ReLU, and what is known in the place of the others' ranges."""

    def __init__(self, evaluation: Evaluation, known: Known) -> None:
        super().__init__(evaluation.network, evaluation.numbers, evaluation.look)
        self._known, self._agrees = known, True

    def taken(self, cells: Cells) -> Cells | None:
        """One cell with the ranges that are known, wider by a little; None where some are not what the checker finds."""
        found = self.derive(cells, CROWN)
        if not self._agrees:
            return None
        wider = [_WIDER * found.size[operand] for operand in self.operands]
        low = (np.maximum(a, b - w) for a, b, w in zip(cells.low, found.low, wider, strict=True))
        high = (np.minimum(a, b + w) for a, b, w in zip(cells.high, found.high, wider, strict=True))
        return replace(found, low=tuple(low), high=tuple(high))

    def _refined(self, cells: Cells, k: int, operand: int) -> tuple[Floats, Floats]:
        """The ranges of one ReLU: what is known."""
        before, slack = (cells.low[k], cells.high[k]), _CLOSE * cells.size[operand]
        low, high = np.maximum(before[0], self._known[k][0]), np.minimum(before[1], self._known[k][1])
        # The rule leaves it at the end by which a sign is known; a search may know the other one, too.
        low, high = np.where(high <= 0, before[0], low), np.where(low >= 0, before[1], high)
        if not self._agrees:
            return before
        rng = random.Random(k)
        # Those that stay open are those that bounds depend on.
        kinds = ((before[0] < 0) & (before[1] > 0))[0], ((low < 0) & (high > 0))[0]
        there = [np.flatnonzero(kind).tolist() for kind in kinds]
        some = np.array([i for one in there for i in rng.sample(one, min(len(one), _SAMPLE // 2))], np.int64)
        trial = np.ones(before[0].shape), np.ones(before[0].shape)
        for end, own in zip(trial, before, strict=True):
            end[0, some] = own[0, some]
        lows, highs = [*cells.low[:k], trial[0], *cells.low[k + 1 :]], [*cells.high[:k], trial[1], *cells.high[k + 1 :]]
        own_low, own_high = super()._refined(replace(cells, low=tuple(lows), high=tuple(highs)), k, operand)
        holds = (own_low >= low - slack) & (own_high <= high + slack)
        self._agrees = bool((holds | (own_high <= 0) & (high <= 0) | (own_low >= 0) & (low >= 0))[0, some].all())
        return low, high
