"""Where to split a region that its linear program leaves open.

Splitting a staircase at a threshold pulls the program's point ``(a, h)`` out of one half's range and back
to the other half's hull. How far, times what the bound pays for that feature, says what the split is
worth; the worse half counts most, a little of the better one breaks ties.
"""

from __future__ import annotations

import numpy as np
import torch

from netproof.bounds.dual import DualPoint
from netproof.bounds.region import Region
from netproof.exact.milp.encode import Encoding
from netproof.exact.milp.steps import StepEncoding
from netproof.solvers.highs.model import Floats

#: of moving the pre-activation by one step, relative to moving the value by one
_MOVE = 0.5
#: weight of the better half
_BETTER = 0.1
#: features whose splits are tried
_TRIED = 24
#: distance from an integer at which an input counts as fractional
_FRACTION = 1e-6


def split(region: Region, point: DualPoint, encoding: Encoding, solution: Floats | None) -> list[Region]:
    """Two halves of a region of one row that has more than one point; the more promising one for a witness last.

    ``point`` is the bound that failed; ``encoding`` the linear program and ``solution`` its point,
    where it has one.
    """
    tried = []
    for staircase in encoding.staircases:
        price = point.v[staircase.k]
        if price is None:
            continue
        steps, weight = staircase.steps, abs(float(price[0, staircase.feature]))
        if solution is None:
            at, image = (steps.low + steps.high) / 2, (steps.base + steps.top) / 2
        else:
            at = min(max(float(solution[staircase.argument]), steps.low), steps.high)
            image = float(solution[staircase.levels.value])
        # Where nothing is paid for any feature, what the program gets wrong and wide ranges still tell them apart.
        missed = abs(image - steps.at(round(at)))
        tried.append((weight * missed + 1e-6 * missed + 1e-12 * (steps.high - steps.low), staircase, weight, at, image))
    if not tried:
        return _split_input(region, point, encoding, solution)
    tried.sort(key=lambda item: -item[0])
    best, chosen, cut, where = -1.0, tried[0][1], 0.0, 0.0
    for small, staircase, weight, at, image in tried[:_TRIED]:
        for threshold in _thresholds(staircase.steps, at):
            score = weight * _score(staircase.steps, at, image, threshold) + 1e-6 * small
            if score > best:
                best, chosen, cut, where = score, staircase, threshold, at
    k, feature = chosen.k, chosen.feature
    low, high = region.range_lower[k], region.range_upper[k]
    new_high, new_low = high.clone(), low.clone()
    new_high[0, feature], new_low[0, feature] = cut - 1, cut
    halves = [region.with_range(k, low, new_high), region.with_range(k, new_low, high)]
    return halves if where >= cut - 0.5 else halves[::-1]


def _thresholds(steps: StepEncoding, at: float) -> set[float]:
    """The threshold nearest to ``at``, the first and the last."""
    nearest = steps.threshold[np.abs(steps.threshold - 0.5 - at).argmin()]
    return {float(nearest), float(steps.threshold[0]), float(steps.threshold[-1])}


def _score(steps: StepEncoding, at: float, image: float, threshold: float) -> float:
    """What a split moves the point ``(at, image)``, in levels."""
    below, above = steps.part(steps.low, threshold - 1), steps.part(threshold, steps.high)
    step = max((float(steps.threshold[-1]) - float(steps.threshold[0])) / max(steps.top - steps.base - 1, 1.0), 1.0)
    left, right = min(at, threshold - 1), max(at, threshold)
    gain_left = below.distance(left, image) + _MOVE * (at - left) / step
    gain_right = above.distance(right, image) + _MOVE * (right - at) / step
    return min(gain_left, gain_right) + _BETTER * max(gain_left, gain_right)


def _split_input(region: Region, point: DualPoint, encoding: Encoding, solution: Floats | None) -> list[Region]:
    """Halve the input whose value in the program is least integral; else the widest."""
    low, high = region.lower[0], region.upper[0]
    width = high - low
    middle = ((low + high) / 2).floor()
    x = None if solution is None else torch.from_numpy(encoding.input_of(solution))
    if x is not None:
        fraction = torch.where(width > 0, (x - x.round()).abs(), -1.0)
        feature = int(fraction.argmax())
        if float(fraction[feature]) > _FRACTION:
            cut = min(max(float(x[feature].floor()), float(low[feature])), float(high[feature]) - 1)
            return _halves(region, feature, cut)
    feature = int((width * (1 + point.input_coefficients[0].abs())).argmax())
    return _halves(region, feature, float(middle[feature]))


def _halves(region: Region, feature: int, cut: float) -> list[Region]:
    new_high, new_low = region.upper.clone(), region.lower.clone()
    new_high[0, feature], new_low[0, feature] = cut, cut + 1
    return [
        Region(region.lower, new_high, region.range_lower, region.range_upper),
        Region(new_low, region.upper, region.range_lower, region.range_upper),
    ]
