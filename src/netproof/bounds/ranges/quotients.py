"""Ranges of quotients: where ``d`` is positive, ``n / d < t`` is the linear ``n - t d < 0``.

A bound of ``n - t d`` that is below 0 proves it for a number ``t``, whatever relaxation it is from; a few numbers for each end
are tried side by side, then a few more between the best that was proved and the next one. (The parametric view of fractional
programs: Dinkelbach, *On Nonlinear Fractional Programming*, Management Science 1967.)
"""

from __future__ import annotations

from bisect import bisect_left

import torch
from torch import Tensor

from netproof.bounds.backward import bound_backwards
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.effort.bounding import QUOTIENT
from netproof.graph.graph import Graph
from netproof.operators.activations.held import Held
from netproof.operators.activations.pairs.quotient import Quotient
from netproof.operators.affine.select import Select


def is_held_quotient(graph: Graph, k: int) -> bool:
    """Whether the ``k``-th activation holds values of quotients, few enough for :func:`refine_quotients`."""
    node = graph.nodes[graph.activations[k]]
    each = graph.nodes[node.operands[0]]
    return (
        isinstance(node.operator, Held)
        and isinstance(each.operator, Select)
        and isinstance(graph.nodes[each.operands[0]].operator, Quotient)
        and node.size <= QUOTIENT.most
    )


def refine_quotients(graph: Graph, region: Region, k: int, rounding: Rounding) -> Region:
    """The region with smaller ranges of the quotients that the ``k``-th activation holds, in float64, rigorously.

    ``rounding`` is of a region that holds this one, up to the operand of that activation at least.
    """
    each = graph.nodes[graph.nodes[graph.activations[k]].operands[0]]
    quotient = each.operands[0]
    node = graph.nodes[quotient].operands[0]
    at = bisect_left(graph.activations, quotient)
    assert isinstance(each.operator, Select)
    number = each.operator.index // 2
    least, most = (ends[at][:, 2 * number + 1] for ends in (region.range_lower, region.range_upper))
    sign = torch.where(least > 0, 1.0, torch.where(most < 0, -1.0, torch.nan)).to(least.dtype)
    relaxation = Relaxation(graph, region)
    low, high = region.range_lower[k].clone(), region.range_upper[k].clone()
    rows, count = low.shape

    def proved(t: Tensor, side: float) -> Tensor:
        """Whether no quotient is above (``side`` 1) or below (-1) numbers ``[B, n, T]``."""
        c = t.new_zeros(rows, count, t.shape[2], graph.nodes[node].size)
        feature = torch.arange(count)
        # Sources must be numbers: where there is no sign nothing is proved.
        weight = side * torch.nan_to_num(sign, 0.0)[..., None]
        c[:, feature, :, 2 * number] = weight.expand(t.shape).transpose(0, 1)
        c[:, feature, :, 2 * number + 1] = (-weight * t).transpose(0, 1)
        objective = Objective({node: c.flatten(1, 2)}, t.new_zeros(rows, count * t.shape[2]))
        value = bound_backwards(relaxation, objective, lambda j, v: relaxation.hulls[j].relax_rows(v), rounding).value
        return (value.view(t.shape) < 0) & ~sign.isnan()[..., None] & torch.isfinite(t)

    share = torch.linspace(0, 1, QUOTIENT.numbers + 2, dtype=low.dtype)[1:-1]
    for side in (1.0, -1.0):
        near, far = (high, low) if side > 0 else (low, high)
        for _ in range(QUOTIENT.rounds):
            t = near[..., None] + share * (far - near)[..., None]
            holds = proved(t, side)
            # The last number in a row that is proved, counted from the end that is known.
            some = holds.any(-1)
            last = (holds * torch.arange(1, len(share) + 1)).amax(-1) - 1
            best = t.gather(-1, last.clamp(min=0)[..., None])[..., 0]
            beyond = t.gather(-1, (last + 1).clamp(max=len(share) - 1)[..., None])[..., 0]
            far = torch.where(last + 1 < len(share), beyond, far)
            near = torch.where(some, best, near)
        high, low = (torch.minimum(high, near), low) if side > 0 else (high, torch.maximum(low, near))
    return region.with_range(k, low, high)
