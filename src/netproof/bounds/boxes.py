"""CROWN on many boxes at once: every box has its own ranges, and only its own unstable features are bounded.

Rows are arranged ``[B, R, n]``, ``R`` objectives for each of ``B`` boxes, so that the lines of a box are stored once
and broadcast. Otherwise this is :func:`netproof.bounds.crown.crown_lines`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netproof.bounds.backward import Lines, bound_backwards
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.quotients import is_held_quotient, refine_quotients
from netproof.bounds.ranges.refine import unstable_features
from netproof.bounds.region import Region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Graph
from netproof.graph.loose import improvable


def box_lines(relaxation: Relaxation, objective: Objective, rounding: Rounding | None = None) -> Lines:
    """Bound ``R`` objectives on each of ``B`` boxes by CROWN, rigorously where a rounding is given.

    Differentiable in the numbers of the graph and the ranges of the region, which is how it trains networks.

    Parameters
    ----------
    relaxation : ``B`` rows
    objective : ``[B, R, n]`` per node, constant ``[B, R]``
    rounding : of a region that holds all rows; None leaves the value as good as the dtype

    Returns
    -------
    value ``[B, R]``, coefficients ``[B, R, n_input]``, constant ``[B, R]``
    """
    hulls = relaxation.hulls

    def activate(k: int, v: Tensor) -> tuple[Tensor, Tensor]:
        return hulls[k].relax_rows(v)

    return bound_backwards(relaxation, objective, activate, rounding)


def refine_with_account(graph: Graph, region: Region, known: Rounding | None = None) -> tuple[Region, Rounding]:
    """Tighten the ranges of every box's unstable features layer by layer, and account for rounding on the refined region.

    With ``known``, the account of a region that holds this one, nothing is accounted for anew, and that is handed back.
    """
    better = improvable(graph)
    rounding = Rounding.begun(graph, region) if known is None else known
    for k, index in enumerate(graph.activations):
        operand = graph.nodes[index].operands[0]
        if not better[operand]:
            continue
        if is_held_quotient(graph, k):
            rounding = rounding.up_to(graph, region, operand)
            region = propagate_intervals(graph, refine_quotients(graph, region, k, rounding))
            continue
        is_open = unstable_features(graph, region, k)
        count = is_open.sum(1)
        most = int(count.max())
        if not most:
            continue
        rounding = rounding.up_to(graph, region, operand)
        # Boxes with unstable features only, each with as many objectives as the most open one has features.
        rows = count.nonzero()[:, 0]
        part = region.take(rows)
        chosen, feature = is_open[rows].to(torch.int8).topk(most, 1)
        c = torch.zeros(len(rows), 2 * most, graph.nodes[operand].size, dtype=region.lower.dtype)
        c.scatter_(2, torch.cat([feature, feature], 1)[..., None], 1.0)
        c[:, most:] *= -1
        constant = torch.zeros(len(rows), 2 * most, dtype=region.lower.dtype)
        value = box_lines(Relaxation(graph, part), Objective({operand: c}, constant), rounding).value
        top = torch.where(chosen > 0, value[:, :most], torch.inf)
        bottom = torch.where(chosen > 0, -value[:, most:], -torch.inf)
        low, high = region.range_lower[k].clone(), region.range_upper[k].clone()
        high[rows] = high[rows].scatter_reduce(1, feature, top, "amin")
        low[rows] = low[rows].scatter_reduce(1, feature, bottom, "amax")
        region = propagate_intervals(graph, region.with_range(k, low, high))
    return region, rounding.up_to(graph, region, len(graph.nodes) - 1)
