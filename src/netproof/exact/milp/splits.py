"""Where to split a region that its linear program leaves open.

Splitting a staircase at a threshold pulls the program's point ``(a, h)`` out of one half's range and back
to the other half's hull. How far, times what the bound pays for that feature, says what the split is
worth; the worse half counts most, a little of the better one breaks ties.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from netproof.bounds.dual import DualPoint
from netproof.bounds.region import Region
from netproof.exact.milp.encode import Encoding
from netproof.exact.milp.model import Floats
from netproof.graph.graph import Graph
from netproof.operators.hull import Hull

#: of moving the pre-activation by one step, relative to moving the value by one
_MOVE = 0.5
#: weight of the better half
_BETTER = 0.1
#: distance from an integer at which an input counts as fractional
_FRACTION = 1e-6


def split(
    graph: Graph, region: Region, point: DualPoint, encoding: Encoding, solution: Floats | None
) -> list[Region]:
    """Two halves of a region of one row that has more than one point; the more promising one for a witness last.

    ``point`` is the bound that failed; ``encoding`` the linear program and ``solution`` its point,
    where it has one.
    """
    best, where = -np.inf, (-1, -1, 0.0)
    for k, index in enumerate(graph.activations):
        low, high = region.range_lower[k], region.range_upper[k]
        activation = graph.activation(index)
        price = point.v[k]
        if price is None:
            continue
        at, image = _program_point(graph, k, region, encoding, solution)
        first, last = activation.split_point(low, low, high), activation.split_point(high, low, high)
        step = (last - first) / (activation.evaluate(last) - activation.evaluate(first)).clamp(min=1)
        step = torch.where(step > 0, step, high - low).clamp(min=1)
        missed = (image - activation.evaluate(at.round())).abs() * price.abs()
        for threshold in (activation.split_point(at, low, high), first, last):
            usable = ~torch.isnan(threshold)
            cut = torch.where(usable, threshold, high)
            below, above = torch.maximum(activation.below(cut), low), torch.maximum(cut, low)
            left, right = torch.minimum(at, below), torch.maximum(at, above)
            gain_left = _distance(activation.hull(low, below), left, image) * price.abs()
            gain_right = _distance(activation.hull(above, high), right, image) * price.abs()
            gain_left = gain_left + _MOVE * price.abs() * (at - left) / step
            gain_right = gain_right + _MOVE * price.abs() * (right - at) / step
            score = torch.minimum(gain_left, gain_right) + _BETTER * torch.maximum(gain_left, gain_right)
            # Where nothing else tells features apart, the wider range and the larger miss do.
            score = score + 1e-6 * missed + 1e-9 * (high - low)
            score = torch.where(usable, score, -torch.inf)[0]
            top = int(score.argmax()) if len(score) else -1
            if top >= 0 and float(score[top]) > best:
                best, where = float(score[top]), (k, top, float(threshold[0, top]))
    k, feature, cut_at = where
    if k < 0:
        return _split_input(region, point, encoding, solution)
    low, high = region.range_lower[k], region.range_upper[k]
    new_high, new_low = high.clone(), low.clone()
    new_high[0, feature], new_low[0, feature] = cut_at - 1, cut_at
    halves = [region.with_range(k, low, new_high), region.with_range(k, new_low, high)]
    at = _program_point(graph, k, region, encoding, solution)[0]
    return halves if float(at[0, feature]) >= cut_at - 0.5 else halves[::-1]


def _distance(hull: Hull, at: Tensor, image: Tensor) -> Tensor:
    """How far ``image`` lies above or below a hull at ``at``."""
    one = torch.ones_like(at)
    over = (image - hull.height(one, at)).clamp(min=0)
    under = (hull.height(-one, at) - image).clamp(min=0)
    return over + under


def _program_point(
    graph: Graph, k: int, region: Region, encoding: Encoding, solution: Floats | None
) -> tuple[Tensor, Tensor]:
    """The program's pre-activations and values of activation ``k``; middles of the ranges where it has none."""
    low, high = region.range_lower[k], region.range_upper[k]
    activation = graph.activation(graph.activations[k])
    at = (low + high) / 2
    image_low, image_high = activation.output_range(low, high)
    image = (image_low + image_high) / 2
    if solution is None:
        return at, image
    columns, values = encoding.argument[k], encoding.value[k]
    has_argument, has_value = columns >= 0, values >= 0
    at[0, torch.from_numpy(has_argument)] = torch.from_numpy(solution[columns[has_argument]])
    image[0, torch.from_numpy(has_value)] = torch.from_numpy(solution[values[has_value]])
    return torch.minimum(torch.maximum(at, low), high), image


def _split_input(
    region: Region, point: DualPoint, encoding: Encoding, solution: Floats | None
) -> list[Region]:
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
