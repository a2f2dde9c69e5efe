"""What rows of a certificate should say, from what a search left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.bound import Floats
from netproof.certificate.checker.real.relus import leans
from netproof.certificate.real.grown.rows import Wish
from netproof.certificate.real.grown.seeds import Claim, Places, Seed
from netproof.result import Refutation, Trace


class Wishes:
    """What may refute the goals of some trees.

    Parameters
    ----------
    places : for each goal, what the weights of the record are about
    trace : the record
    straight : ``[features]``, which are operands of ReLUs; slopes of others a record does not have
    """

    def __init__(self, places: Sequence[Places], trace: Trace, straight: NDArray[np.bool_]) -> None:
        self._places, self._trace, self._straight = places, trace, straight
        begin = np.cumsum([0, *trace.sizes])
        #: the features of pairs, by numbers of sets
        self._paired = [
            np.concatenate(
                [np.zeros(0, np.int64), *(begin[one.k] + x for one in pairs for x in (one.first, one.second))]
            )
            for pairs in trace.pairs
        ]
        self._known: dict[tuple[object, ...], tuple[list[Wish], list[Wish]]] = {}

    def of(self, seed: Seed, claim: Claim, low: Floats, high: Floats) -> list[Wish]:
        """What may refute a claim on a cell with these ranges, ``[features]`` of all ReLUs, the likeliest first."""
        if claim.wish is not None:
            return [claim.wish]
        refutation = None if claim.trace is None else self._trace.refuted.get(claim.trace)
        refutation = refutation or claim.last
        plain, flat = self._plain(claim, refutation)
        if refutation is None or refutation.slope is None or refutation.added is None:
            return [*flat, *plain] if refutation is not None and refutation.means == "intervals" else plain
        weight = plain[0].weight
        scale = 0.0 if refutation.weight is None else float(self._places[claim.goal].weights(refutation.weight).max())
        numbers, slope, added = seed.open, np.clip(refutation.slope, 0.0, 1.0), refutation.added
        if len(numbers) != len(slope):
            return plain
        side = np.zeros(len(numbers))
        for number, which in seed.sides.items():
            side[numbers == number] = which
        split = added.clip(min=0) * side
        factor = (
            1.0
            if self._places[claim.goal].is_end
            else scale
            if scale > 0
            else float(abs(split).max(initial=0.0)) or 1.0
        )
        low, high = low[numbers], high[numbers]
        rule, is_open = leans(low, high) * 1.0, (low < 0) & (high > 0) & (side == 0)
        # What is added to slopes of upper lines does not grow with weights.
        raised = is_open & np.isin(numbers, self._paired[refutation.pairs - 1]) if refutation.pairs else 0.0
        added = split / factor + raised * added
        slope = np.where(np.isnan(slope), rule, slope)
        # In ascending order, and without those that the network does not have.
        matters = numbers.argsort(kind="stable")
        named = ((low < 0) & (high > 0) & (slope != rule) | (added != 0)) & (numbers >= 0)
        matters = matters[named[matters] & self._straight[numbers[matters]]]
        mine = Wish(weight, False, numbers[matters], slope[matters], added[matters], *_sets(refutation))
        return [*plain[:1], mine] if not (added != 0).any() else [mine]

    def _plain(self, claim: Claim, refutation: Refutation | None) -> tuple[list[Wish], list[Wish]]:
        """Wishes without slopes, with multipliers by the rule and without any; equal ones are the same."""
        weight = None if refutation is None or refutation.weight is None else refutation.weight.tobytes()
        sets = (0, 0) if refutation is None else _sets(refutation)
        key = claim.goal, claim.trace is None, weight, sets
        if key not in self._known:
            weights = self._weights(claim, refutation)
            self._known[key] = (
                [Wish(one, planes=sets[0], pairs=sets[1]) for one in weights],
                [Wish(one, flat=True) for one in weights],
            )
        return self._known[key]

    def _weights(self, claim: Claim, refutation: Refutation | None) -> list[Floats]:
        """Weights of the goal's constraints."""
        places = self._places[claim.goal]
        if places.is_end:
            return [np.zeros(1)]
        count = int(places.place.max()) + 1
        singles = [np.eye(count)[i] for i in range(min(count, 8))]
        others = singles if count == 1 else [*singles, np.ones(count)]
        if refutation is None or refutation.weight is None:
            return others
        weight = places.weights(refutation.weight)
        weight = weight / weight.max() if weight.max() > 0 else weight
        # Beyond the record another one may be the one that does not hold.
        return [weight] if claim.trace is not None else [weight, *(w for w in others if (w != weight).any())]


def _sets(refutation: Refutation) -> tuple[int, int]:
    return refutation.planes, refutation.pairs


def begun(above: Claim, number: int, which: int) -> Wish | None:
    """What comes next to refuting a half, the upper one where ``which`` is 1, of a split of a feature at 0.

    Its bound is at most that of the whole: the feature hands on what it did there.
    """
    wish = above.wish
    if wish is None or above.found is None:
        return wish
    arriving, handed = (float(part[number]) for part in above.found)
    assert wish.feature is not None and wish.slope is not None and wish.added is not None
    others = wish.feature != number
    place = int(np.searchsorted(wish.feature[others], number))
    parts = (
        (wish.feature, number),
        (wish.slope, float(which)),
        (wish.added, 0.0 if np.isnan(handed) else handed - which * arriving),
    )
    feature, slope, added = (np.insert(part[others], place, one) for part, one in parts)
    return replace(wish, feature=feature, slope=slope, added=added)
