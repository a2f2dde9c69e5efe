"""Ranges of deeper layers from the dual bound: CROWN in both directions of every pre-activation."""

from __future__ import annotations

import torch
from torch import Tensor

from netproof.bounds.dual import Objective, crown, evaluate_dual, hulls_of
from netproof.bounds.exact import evaluate_exact
from netproof.bounds.interior import InteriorSolver
from netproof.bounds.region import Region, propagate_intervals
from netproof.graph.graph import Graph
from netproof.operators.linear import Linear

#: objective rows bounded at once
_ROWS = 4096
_PROGRAM_ROWS, _PROGRAM_ITERATIONS = 128, 15


def tighten_ranges(graph: Graph, region: Region, *, last: bool = True) -> Region:
    """Tighten the ranges of every activation after the first, layer by layer, exactly.

    Both directions of every pre-activation that is not already a single step are bounded by
    CROWN with the ranges found so far. ``last=False`` leaves the graph's output activation out.
    The graph must be an integer graph: bounds are rounded to integers inwards.
    """
    final = len(graph.nodes) - 1
    for k, index in enumerate(graph.activations):
        if k == 0 or (index == final and not last):
            continue
        low, high = region.range_lower[k], region.range_upper[k]
        image_low, image_high = graph.activation(index).output_range(low, high)
        row, feature = (image_low < image_high).nonzero(as_tuple=True)
        if not len(row):
            continue
        new_low, new_high = low.clone(), high.clone()
        for part in torch.split(torch.arange(len(row)), _ROWS // 2):
            top, bottom = _directions(graph, region, graph.nodes[index].operands[0], row[part], feature[part])
            at = (row[part], feature[part])
            new_high[at] = torch.minimum(new_high[at], top.floor())
            new_low[at] = torch.maximum(new_low[at], (-bottom).ceil())
        region = propagate_intervals(graph, region.with_range(k, new_low, new_high))
    return region


def tighten_by_program(graph: Graph, region: Region) -> Region:
    """Like :func:`tighten_ranges` on a region of one row, by the linear program of the layers below.

    Costs an interior point solve for each direction of each pre-activation; meant for roots.
    The graph must have an interior solver (:func:`netproof.bounds.interior.has_interior_solver`).
    """
    for k, index in enumerate(graph.activations):
        if k == 0:
            continue
        low, high = region.range_lower[k][0].clone(), region.range_upper[k][0].clone()
        image_low, image_high = graph.activation(index).output_range(low, high)
        feature = (image_low < image_high).nonzero()[:, 0]
        if not len(feature):
            continue
        operand = graph.nodes[index].operands[0]
        linear = graph.nodes[operand].operator
        assert isinstance(linear, Linear)
        below = Graph(graph.arithmetic, graph.nodes[:operand])
        solver = InteriorSolver(below)
        for part in torch.split(feature, _PROGRAM_ROWS // 2):
            sign = torch.ones(2 * len(part), 1, dtype=low.dtype)
            sign[len(part) :] = -1
            both = part.repeat(2)
            sub = region.take(torch.zeros(2 * len(part), dtype=torch.int64))
            hulls = hulls_of(graph, sub)
            coefficients = torch.zeros(2 * len(part), graph.nodes[operand].size, dtype=low.dtype)
            coefficients[torch.arange(2 * len(part)), both] = sign[:, 0]
            objective = Objective({operand: coefficients}, torch.zeros(2 * len(part), dtype=low.dtype))
            start = evaluate_dual(graph, sub, hulls, objective, crown(hulls))
            program = Objective({operand - 1: sign * linear.weight[both]}, sign[:, 0] * linear.bias[both])
            lower_region = Region(sub.lower, sub.upper, sub.range_lower[:k], sub.range_upper[:k])
            known = [m for m in start.s[:k] if m is not None]
            solved = solver.solve(lower_region, hulls[:k], program, known, _PROGRAM_ITERATIONS, -torch.inf)
            s = [*solved.s, *[None] * (len(hulls) - k)]
            exact, _ = evaluate_exact(graph, sub, hulls, objective, s)
            top, bottom = exact.value[: len(part)], exact.value[len(part) :]
            high[part] = torch.minimum(high[part], top.floor())
            low[part] = torch.maximum(low[part], (-bottom).ceil())
        region = propagate_intervals(graph, region.with_range(k, low[None], high[None]))
    return region


def _directions(graph: Graph, region: Region, node: int, row: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
    """Upper bounds of ``+a`` and ``-a`` for features of a node, one per (row, feature) pair."""
    pairs = len(row)
    sub = region.take(row.repeat(2))
    coefficients = torch.zeros(2 * pairs, graph.nodes[node].size, dtype=region.lower.dtype)
    pair = torch.arange(pairs)
    coefficients[pair, feature] = 1
    coefficients[pairs + pair, feature] = -1
    objective = Objective({node: coefficients}, torch.zeros(2 * pairs, dtype=region.lower.dtype))
    hulls = hulls_of(graph, sub)
    point = evaluate_dual(graph, sub, hulls, objective, crown(hulls))
    exact, _ = evaluate_exact(graph, sub, hulls, objective, point.s)
    return exact.value[:pairs], exact.value[pairs:]
