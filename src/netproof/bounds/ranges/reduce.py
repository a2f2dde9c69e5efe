"""Range reduction from one bound: what a feature must not be, if the objective is to be met.

If the bound at multipliers ``s`` is ``beta >= 0``, confining feature ``j`` to a part ``P`` of its
range changes the bound to ``beta - phi_j + max { v f(a) - s a : a in P }``. Where that is
negative no point of the region with ``a_j`` in ``P`` meets the objective, and ``P`` can be cut
off. (Reduced-cost tightening of integer programming, carried over to activations; every
feature's cut is valid at the same time.)

Over the real numbers ``beta`` is the bound with all that rounding can have taken from it, and ``phi_j`` one of the numbers that
were added up for it. Putting another number in its place is a sum of three floats; what the account of
:mod:`netproof.bounds.deciding.rounding` has for evaluating ``phi_j`` on all of its range covers a part of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from netproof.bounds.dual import DualPoint
from netproof.bounds.region import Region

#: proposals keep this much slack, so that few fail the verification
_SLACK = 1e-6
#: what a sum of three floats may be off by, in parts of their absolute values together
_SUM = 2.0**-50


def reduce_ranges(point: DualPoint) -> Region:
    """Cut off the ends of the pre-activation ranges of a bound's region that cannot meet the objective.

    ``point`` must be an exact evaluation (multipliers on the grid of
    :func:`netproof.bounds.deciding.exact.evaluate_exact`) on an integer graph: each cut is verified in the
    same exact arithmetic, on the cut-off part itself, and left undone where that fails.
    """
    region, hulls = point.region, point.relaxation.hulls
    lowers, uppers = list(region.range_lower), list(region.range_upper)
    for k, (conjugate, v, s) in enumerate(zip(point.conjugates, point.v, point.s, strict=True)):
        if conjugate is None or v is None or s is None:
            continue
        rest = point.value[:, None] - conjugate.value
        low, high = lowers[k], uppers[k]
        slack = _SLACK * (1 + rest.abs())
        new_low, new_high = hulls[k].superlevel(v, s, -rest - slack)
        # A feature none of whose values can meet the objective would have made the bound negative.
        none = new_low > new_high
        new_low = torch.where(none, low, new_low.ceil().clamp(min=low, max=high))
        new_high = torch.where(none, high, new_high.floor().clamp(min=low, max=high))
        holds_low, holds_high = _excluded(point, k, rest, new_low, new_high)
        lowers[k] = torch.where((new_low > low) & holds_low, new_low, low)
        uppers[k] = torch.where((new_high < high) & holds_high, new_high, high)
    return Region(region.lower, region.upper, tuple(lowers), tuple(uppers))


def reduce_real_ranges(point: DualPoint, value: Tensor) -> Region:
    """Cut off the ends of pre-activation ranges that cannot meet the objective, on a real graph.

    Parameters
    ----------
    point : a bound in float64, evaluated with its error term
    value : ``[B]``, that bound with all that the objective itself may be off by, at least ``point.value``
    """
    graph, region = point.relaxation.graph, point.region
    lowers, uppers = list(region.range_lower), list(region.range_upper)
    for k, index in enumerate(graph.activations):
        conjugate, v, s = point.conjugates[k], point.v[k], point.s[k]
        if conjugate is None or v is None or s is None or graph.activation(index).coupled:
            continue
        low, high = lowers[k], uppers[k]
        rest = value[:, None] - conjugate.value
        cut = -rest - _SLACK * (1 + rest.abs())
        # Where both ends can meet the objective, nothing can be cut off.
        activation = graph.activation(index)
        ends = [(v * activation.evaluate(end) - s * end < cut) & (low < high) for end in (low, high)]
        which = (ends[0] | ends[1]) & torch.isfinite(rest)
        if not bool(which.any()):
            continue
        chosen = [part.expand_as(low)[which][None] for part in (low, high, v, s, value[:, None], conjugate.value, cut)]
        low_, high_, v_, s_, whole, phi, cut = chosen
        new_low, new_high = activation.hull(low_, high_).superlevel(v_, s_, cut)
        # A feature none of whose values can meet the objective would have made the bound negative.
        some = new_low <= new_high
        new_low = torch.where(some, torch.minimum(torch.maximum(new_low, low_), high_), low_)
        new_high = torch.where(some, torch.minimum(torch.maximum(new_high, low_), high_), high_)
        for news, part, known in (
            (lowers, activation.hull(low_, new_low), low),
            (uppers, activation.hull(new_high, high_), high),
        ):
            left_out = part.conjugate(v_, s_).value
            size = whole.abs() + phi.abs() + left_out.abs()
            holds = whole - phi + left_out + _SUM * size < 0
            new = new_low if news is lowers else new_high
            end = known.clone()
            end[which] = torch.where(holds, new, known[which][None])[0]
            news[k] = end
    return Region(region.lower, region.upper, tuple(lowers), tuple(uppers))


def cuts_hold(point: DualPoint, lowers: Sequence[Tensor], uppers: Sequence[Tensor]) -> Tensor:
    """Whether an exact evaluation proves all of the new ends of its region's ranges: ``[B]`` bool.

    ``lowers`` and ``uppers`` hold one ``[B, n_k]`` per activation, nowhere wider than the region's ranges.
    """
    holds = torch.isfinite(point.value)
    for k, (conjugate, v, s) in enumerate(zip(point.conjugates, point.v, point.s, strict=True)):
        low, high = point.region.range_lower[k], point.region.range_upper[k]
        cut_low, cut_high = lowers[k] > low, uppers[k] < high
        if conjugate is None or v is None or s is None:
            holds &= ~(cut_low | cut_high).any(-1)
            continue
        rest = point.value[:, None] - conjugate.value
        holds_low, holds_high = _excluded(point, k, rest, lowers[k], uppers[k])
        holds &= ((~cut_low | holds_low) & (~cut_high | holds_high)).all(-1)
    return holds


def _excluded(point: DualPoint, k: int, rest: Tensor, new_low: Tensor, new_high: Tensor) -> tuple[Tensor, Tensor]:
    """Whether the bound is negative on what new ends of the ``k``-th ranges leave out below, and above.

    ``rest`` is the bound without the part of each feature, ``[B, n_k]``.
    """
    graph, region, v, s = point.relaxation.graph, point.region, point.v[k], point.s[k]
    assert v is not None and s is not None
    activation, low, high = graph.activation(graph.activations[k]), region.range_lower[k], region.range_upper[k]
    below = activation.hull(low, torch.maximum(new_low - 1, low)).conjugate(v, s).value
    above = activation.hull(torch.minimum(new_high + 1, high), high).conjugate(v, s).value
    return rest + below < 0, rest + above < 0
