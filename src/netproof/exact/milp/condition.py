"""What a conjunction says of the ranges of the final activation.

A constraint ``C y >= r`` bounds each output by what the others can contribute at most, and a bound on an
output of a staircase is a bound on its pre-activation. All of it is integer arithmetic.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.bounds.region import Region, propagate_intervals
from netproof.graph.graph import Graph
from netproof.operators.activations.staircase import Staircase
from netproof.query import Conjunction

_ROUNDS = 3


def tighten_by_condition(graph: Graph, region: Region, conjunction: Conjunction) -> Region | None:
    """Cut the ranges of a region of one row to where the conjunction can hold; None where it cannot.

    Ranges are propagated forwards, and from the condition back through the final staircase.
    """
    for _ in range(_ROUNDS):
        region = propagate_intervals(graph, region)
        if bool(region.empty()):
            return None
        tightened = _tighten_outputs(graph, region, conjunction)
        if tightened is None or bool(tightened.empty()):
            return None
        if tightened is region:
            break
        region = tightened
    return region


def _tighten_outputs(graph: Graph, region: Region, conjunction: Conjunction) -> Region | None:
    """One round of cuts; the region itself where there are none."""
    staircase = graph.output.operator
    if not isinstance(staircase, Staircase):
        return region
    low, high = (end[-1][0] for end in (region.range_lower, region.range_upper))
    image_low, image_high = (end.long().numpy().copy() for end in staircase.output_range(low, high))
    if not _tighten(conjunction, image_low, image_high):
        return None
    new_low, new_high = low.clone(), high.clone()
    channel = np.arange(len(low)) // (len(low) // staircase.base.shape[0])
    thresholds, base = staircase.thresholds.long().numpy(), staircase.base.long().numpy()
    for j, c in enumerate(channel):
        # f(a) >= y holds from threshold number y - base on, f(a) <= y up to just before the next.
        first, last = int(image_low[j] - base[c]), int(image_high[j] - base[c])
        if first > 0:
            new_low[j] = max(float(low[j]), float(thresholds[c, first - 1]))
        if last < thresholds.shape[1]:
            new_high[j] = min(float(high[j]), float(thresholds[c, last] - 1))
    if torch.equal(new_low, low) and torch.equal(new_high, high):
        return region
    return region.with_range(len(region.range_lower) - 1, new_low[None], new_high[None])


def _tighten(conjunction: Conjunction, low: NDArray[np.int64], high: NDArray[np.int64]) -> bool:
    """Tighten the outputs' ends in place by each constraint; False where one cannot be met."""
    coefficients, threshold = conjunction.coefficients.long().numpy(), conjunction.threshold.long().numpy()
    for row, right in zip(coefficients, threshold, strict=True):
        most = np.where(row > 0, row * high, row * low)
        spare = int(most.sum()) - int(right)
        if spare < 0:
            return False
        for j in np.flatnonzero(row):
            # The output may stay short of its best end by no more than what is spare.
            reach = spare // abs(int(row[j]))
            if row[j] > 0:
                low[j] = max(low[j], high[j] - reach)
            else:
                high[j] = min(high[j], low[j] + reach)
    return bool((low <= high).all())
