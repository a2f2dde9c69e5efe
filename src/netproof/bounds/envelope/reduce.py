"""Range reduction from one bound with envelopes (see :mod:`netproof.bounds.ranges.reduce`).

Confining neuron ``j`` to the levels of a set changes the bound to ``beta - phi_j`` plus the largest of
``c_j f_h - q_j(a_h)`` over these levels. Where that is below 0 they can be cut off: a bound that was evaluated exactly
has all of these numbers already.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from netproof.bounds.envelope.bound import EnvelopePoint, values_of_levels
from netproof.bounds.envelope.knapsack import Knapsack
from netproof.bounds.envelope.layer import LayerBox
from netproof.bounds.ranges.reduce import cuts_hold, reduce_ranges
from netproof.bounds.region import Region


def reduce_ranges_by_envelopes(box: LayerBox, point: EnvelopePoint) -> Region:
    """Cut off the ends of pre-activation ranges that cannot meet the objective.

    ``point`` must be an exact evaluation (:func:`netproof.bounds.envelope.exact.evaluate_envelopes_exact`).
    """
    region = reduce_ranges(point.above)
    rest = point.value[:, None, None] - point.phi[..., None]
    possible = ~(rest + point.levels < 0)
    number = torch.arange(possible.shape[-1])
    first = torch.where(possible, number, possible.shape[-1]).amin(-1)
    last = torch.where(possible, number, -1).amax(-1)
    # Where no level is possible the bound would have been negative, but for rows that have none.
    some = (first <= last) & torch.isfinite(point.value)[:, None]
    first, last = first.clamp(max=possible.shape[-1] - 1)[..., None], last.clamp(min=0)[..., None]
    layer = box.layer
    before, after = (
        ends.expand(*possible.shape).gather(-1, at)[..., 0] for ends, at in ((layer.before, first), (layer.after, last))
    )
    low, high = region.range_lower[0], region.range_upper[0]
    return region.with_range(
        0, torch.where(some, torch.maximum(low, before), low), torch.where(some, torch.minimum(high, after), high)
    )


def envelope_cuts_hold(
    box: LayerBox, point: EnvelopePoint, lowers: Sequence[Tensor], uppers: Sequence[Tensor]
) -> Tensor:
    """Whether an exact evaluation proves all of the new ends of its region's ranges: ``[B]`` bool.

    ``lowers`` and ``uppers`` hold one ``[B, n_k]`` per activation, nowhere wider than the region's ranges.
    """
    region = point.above.region
    low, high = region.range_lower[0], region.range_upper[0]
    holds = cuts_hold(point.above, [low, *lowers[1:]], [high, *uppers[1:]])
    rest = point.value[:, None] - point.phi
    knapsack = Knapsack.of(box, point.prices)
    for cut, start, stop in (
        (lowers[0] > low, low, torch.minimum(lowers[0] - 1, high)),
        (uppers[0] < high, torch.maximum(uppers[0] + 1, low), high),
    ):
        # A part that is empty has no level at all, and is proved by -inf.
        part = values_of_levels(box, knapsack, point.received, start, stop)[0].amax(-1)
        holds &= (~cut | (rest + part < 0)).all(-1)
    return holds
