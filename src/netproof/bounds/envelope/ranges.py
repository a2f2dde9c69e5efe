"""Ranges of the second activation from envelopes over the box.

Its pre-activations are objectives on a network of one hidden layer, where envelopes are worth most: at a point that attains a
bound of hulls nearly all inputs are at an end of the box, and the accumulators below can hardly vary there.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from netproof.bounds.dual import crown, evaluate_dual
from netproof.bounds.envelope.bound import EnvelopePoint
from netproof.bounds.envelope.exact import evaluate_envelopes_exact
from netproof.bounds.envelope.layer import FirstLayer, LayerBox
from netproof.bounds.envelope.steps import improve
from netproof.bounds.envelope.stored import StoredPrices
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.tighten import Listener, range_cuts
from netproof.bounds.region import Region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.effort.envelope import ENVELOPE
from netproof.graph.graph import Graph
from netproof.processes import clock

#: the activation whose ranges these are
_SECOND = 1


def are_worth_it(graph: Graph, layer: FirstLayer) -> bool:
    """Whether there is a second activation, of which :func:`tighten_by_envelopes` bounds the ranges in moderate time."""
    if len(graph.activations) <= _SECOND:
        return False
    ends = 2 * graph.nodes[graph.activations[_SECOND]].size
    return ends * layer.weight.numel() <= ENVELOPE.most_prices


def tighten_by_envelopes(
    graph: Graph,
    layer: FirstLayer,
    region: Region,
    *,
    deadline: float = math.inf,
    listener: Listener | None = None,
) -> Region:
    """Tighten the ranges of the second activation of a region of one row, whatever the case, exactly.

    Bounds ``+a`` and ``-a`` of every pre-activation that is not a single step yet, and rounds them inwards to integers.
    Nothing but the first activation may lie below the second one. Stops early, with what has been found, when
    ``clock.now()`` reaches ``deadline``.

    Parameters
    ----------
    layer : the graph's first layer (:func:`netproof.bounds.envelope.layer.first_layer`)
    """
    index = graph.activations[_SECOND]
    below = Graph(graph.arithmetic, graph.nodes[: index + 1])
    part = Region(region.lower, region.upper, region.range_lower[: _SECOND + 1], region.range_upper[: _SECOND + 1])
    low, high = region.range_lower[_SECOND].clone(), region.range_upper[_SECOND].clone()
    first, last = graph.activation(index).output_range(low, high)
    box = layer.on_box(region.lower, region.upper)
    light = below.to(torch.float32)
    for some in torch.split((first < last)[0].nonzero()[:, 0], ENVELOPE.evaluated // 2):
        if clock.now() >= deadline:
            break
        point, prices = _directions(part, some, below, light, box)
        top, bottom = point.value.chunk(2)
        old_high, old_low = high[0, some], low[0, some]
        high[0, some] = torch.minimum(old_high, top.floor())
        low[0, some] = torch.maximum(old_low, (-bottom).ceil())
        if listener is not None:
            ends = torch.cat([high[0, some], low[0, some]])
            better = torch.cat([high[0, some] < old_high, low[0, some] > old_low])
            cuts = range_cuts(point.above, _SECOND, torch.zeros_like(some), some, ends, better)
            listener(replace(cuts, prices=prices.take(better.nonzero()[:, 0])))
    return propagate_intervals(graph, region.with_range(_SECOND, low, high))


def _directions(
    region: Region, feature: Tensor, graph: Graph, light: Graph, box: LayerBox
) -> tuple[EnvelopePoint, StoredPrices]:
    """Exact upper bounds of ``+a`` and then ``-a`` for features of the second activation, on a region of one row.

    The steps are taken in float32, on the ``light`` graph.
    """
    count, node = len(feature), graph.nodes[-1].operands[0]
    both = region.take(torch.zeros(2 * count, dtype=torch.int64))
    coefficients = torch.zeros_like(both.range_lower[_SECOND])
    coefficients[torch.arange(2 * count), feature.repeat(2)] = (
        torch.tensor([1.0, -1.0]).double().repeat_interleave(count)
    )
    # Zero coefficients at the output let the ranges of the second activation take part.
    objective = Objective(
        {node: coefficients, len(graph.nodes) - 1: torch.zeros_like(coefficients)}, coefficients.new_zeros(2 * count)
    )
    relaxation, light_region = Relaxation(graph, both), both.to(torch.float32)
    start = evaluate_dual(relaxation, objective, crown(relaxation.hulls)).s
    s = [torch.zeros_like(low) if m is None else m for m, low in zip(start, both.range_lower, strict=True)]
    light_box = box.layer.to(torch.float32).on_box(light_region.lower, light_region.upper)
    prices = s[0].float()[..., None].expand(-1, -1, light_box.reach.shape[1]).contiguous()
    found = improve(
        Relaxation(light, light_region),
        light_box,
        objective.to(torch.float32),
        prices,
        [m.float() for m in s],
        (ENVELOPE.range_ends,),
        long=2 * region.range_lower[_SECOND].shape[-1] > ENVELOPE.long,
    )
    values, order = found.prices.values(torch.float64), found.prices.order()
    exact, _ = evaluate_envelopes_exact(relaxation, box, objective, [m.double() for m in found.s], values, order)
    return exact, found.prices
