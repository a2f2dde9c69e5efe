"""Ranges of deeper layers from the dual bound: CROWN in both directions of every pre-activation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.backward import Maximum, box_maximum
from netproof.bounds.deciding.exact import evaluate_exact
from netproof.bounds.dual import DualPoint, crown, evaluate_dual
from netproof.bounds.envelope.stored import StoredPrices
from netproof.bounds.multipliers.interior import InteriorSolver
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.effort.bounding import TIGHTEN
from netproof.graph.exactness import check_exact
from netproof.graph.graph import Graph
from netproof.graph.loose import loose_activations
from netproof.operators.affine.linear import Linear
from netproof.processes import clock
from netproof.rows import Rows


@dataclass(frozen=True, eq=False)
class RangeCuts(Rows):
    """Tightened ends of one activation's ranges, and the multipliers that prove each.

    On the region cut to what an end leaves out (``a <= end - 1`` or ``a >= end + 1`` at the feature) the
    bound of ``weight`` times the required objective at ``s`` is negative: no point is there.

    Attributes
    ----------
    k : the activation's number
    row : ``[N]``, the region's row of each cut
    feature : ``[N]``
    lower : ``[N]`` bool, whether it is the lower end
    end : ``[N]``, the new end
    s : one ``[N, n_i]`` per activation of the graph
    weight : ``[N]``, 0 where nothing is required
    prices : of the first layer, ``N`` rows (:mod:`netproof.bounds.envelope`); None where there are multipliers alone
    """

    k: int
    row: Tensor
    feature: Tensor
    lower: Tensor
    end: Tensor
    s: tuple[Tensor, ...]
    weight: Tensor
    prices: StoredPrices | None = None


#: what tells a caller of the cuts made; all cuts of one activation refer to the region before them
Listener = Callable[[RangeCuts], None]


def tighten_ranges(
    graph: Graph,
    region: Region,
    *,
    last: bool = True,
    listener: Listener | None = None,
    deadline: float = math.inf,
    maximum: Maximum = box_maximum,
) -> Region:
    """Tighten the ranges of every activation after the first, layer by layer, exactly.

    Both directions of every pre-activation that is not already a single step are bounded by
    CROWN with the ranges found so far. ``last=False`` leaves the graph's output activation out.
    The graph must be an integer graph: bounds are rounded to integers inwards. The first activation has its turn
    as well where intervals do not know what affine maps do together (:func:`loose_activations`), and where another ``maximum`` than
    that over the box is over the inputs that count. Stops early, with what has been found, when ``clock.now()`` reaches ``deadline``.
    """
    final = len(graph.nodes) - 1
    at_once = max(1, TIGHTEN.batch.rows(graph, TIGHTEN.tensors) // 2)
    loose = loose_activations(graph)
    for k, index in enumerate(graph.activations):
        if (k == 0 and k not in loose and maximum is box_maximum) or (index == final and not last):
            continue
        if clock.now() >= deadline:
            break
        low, high = region.range_lower[k], region.range_upper[k]
        image_low, image_high = graph.activation(index).output_range(low, high)
        row, feature = (image_low < image_high).nonzero(as_tuple=True)
        if not len(row):
            continue
        new_low, new_high = low.clone(), high.clone()
        for part in torch.split(torch.arange(len(row)), at_once):
            if clock.now() >= deadline:
                break
            point = _directions(graph, region, graph.nodes[index].operands[0], row[part], feature[part], maximum)
            top, bottom = point.value.chunk(2)
            at = (row[part], feature[part])
            new_high[at] = torch.minimum(new_high[at], top.floor())
            new_low[at] = torch.maximum(new_low[at], (-bottom).ceil())
            if listener is not None:
                ends = torch.cat([new_high[at], new_low[at]])
                better = torch.cat([new_high[at] < high[at], new_low[at] > low[at]])
                listener(range_cuts(point, k, row[part], feature[part], ends, better))
        region = propagate_intervals(graph, region.with_range(k, new_low, new_high))
    return region


def tighten_by_program(
    graph: Graph,
    region: Region,
    required: Objective | None = None,
    *,
    first: int = 1,
    deadline: float = math.inf,
    listener: Listener | None = None,
) -> Region:
    """Tighten a region of one row by linear programs, one for each direction of each pre-activation.

    Without ``required`` the ranges of every activation from number ``first`` on, by the program of the layers
    below. With it, the ranges of all hidden activations for those points only at which the
    objective ``required`` (one row, on the operand of the graph's final activation) is at least 0;
    the region may come back empty. Costs an interior point solve per direction: meant for roots.
    Stops early, with what has been found, when ``clock.now()`` reaches ``deadline``. The graph
    must have an interior solver (:func:`netproof.bounds.multipliers.interior.has_interior_solver`).

    Raises
    ------
    ExactnessError : ``required`` cannot be evaluated exactly as one more output
    """
    final = len(graph.nodes) - 1
    whole, inside = (graph, region) if required is None else _with_requirement(graph, region, required)
    for k, index in enumerate(graph.activations):
        if bool(inside.empty()):
            break
        if index == final if required is not None else k < first:
            continue
        operand = graph.nodes[index].operands[0]
        used = whole if required is not None else Graph(graph.arithmetic, graph.nodes[: index + 1])
        low, high = inside.range_lower[k][0].clone(), inside.range_upper[k][0].clone()
        image_low, image_high = graph.activation(index).output_range(low, high)
        feature = (image_low < image_high).nonzero()[:, 0]
        if not len(feature):
            continue
        solver = InteriorSolver(used, TIGHTEN.program_close)
        cut = Region(
            inside.lower,
            inside.upper,
            inside.range_lower[: len(used.activations)],
            inside.range_upper[: len(used.activations)],
        )
        for part in torch.split(feature, TIGHTEN.program_rows // 2):
            if clock.now() >= deadline:
                break
            point = _program_directions(solver, cut, operand, part, required is not None)
            top, bottom = point.value.chunk(2)
            old_high, old_low = high[part], low[part]
            high[part] = torch.minimum(old_high, top.floor())
            low[part] = torch.maximum(old_low, (-bottom).ceil())
            if listener is not None:
                ends = torch.cat([high[part], low[part]])
                better = torch.cat([high[part] < old_high, low[part] > old_low])
                cuts = range_cuts(point, k, torch.zeros_like(part), part, ends, better)
                listener(cuts if required is None else _weighted(cuts))
        inside = propagate_intervals(whole, inside.with_range(k, low[None], high[None]))
    if required is None:
        return inside
    size = graph.output.size
    return inside.with_range(
        len(graph.activations) - 1, inside.range_lower[-1][:, :size], inside.range_upper[-1][:, :size]
    )


def _with_requirement(graph: Graph, region: Region, required: Objective) -> tuple[Graph, Region]:
    """The graph with one more output whose pre-activation is the objective, and its range from 0 up.

    Its image means nothing and is never used; its range is the constraint.
    """
    index = len(graph.nodes) - 1
    operand = graph.nodes[index].operands[0]
    linear, activation = graph.nodes[operand].operator, graph.activation(index)
    assert isinstance(linear, Linear)
    c = required.coefficients[operand]
    wider = Linear(
        torch.cat([linear.weight, c @ linear.weight]), torch.cat([linear.bias, linear.bias @ c.T + required.constant])
    )
    size = graph.output.size
    one_more = activation.select(torch.cat([torch.arange(size), torch.zeros(1, dtype=torch.int64)]), size)
    nodes = [
        *graph.nodes[:operand],
        replace(graph.nodes[operand], operator=wider, shape=(size + 1,)),
        replace(graph.nodes[index], operator=one_more, shape=(size + 1,)),
    ]
    widened = Graph(graph.arithmetic, nodes)
    check_exact(widened, region.lower[0], region.upper[0])
    last = len(graph.activations) - 1
    zero = region.lower.new_zeros(1, 1)
    constrained = region.with_range(
        last,
        torch.cat([region.range_lower[last], zero], 1),
        torch.cat([region.range_upper[last], zero + torch.inf], 1),
    )
    return widened, propagate_intervals(widened, constrained)


def range_cuts(point: DualPoint, k: int, row: Tensor, feature: Tensor, end: Tensor, better: Tensor) -> RangeCuts:
    """The cuts that bounds of ``+a`` and then ``-a`` of features give, for those ends that are ``better``.

    The objective ``+-a_j`` becomes ``+-1`` more at the multiplier of ``a_j``: over what is cut off,
    ``phi`` then takes the value that the end has in the bound.
    """
    graph = point.relaxation.graph
    kept = better.nonzero()[:, 0]
    is_lower = kept >= len(feature)
    which = feature.repeat(2)[kept]
    s = [
        torch.zeros(len(kept), graph.nodes[index].size, dtype=point.value.dtype)
        if m is None
        else m[kept].expand(len(kept), -1).clone()
        for index, m in zip(graph.activations, point.s, strict=True)
    ]
    s[k][torch.arange(len(kept)), which] += torch.where(is_lower, -1.0, 1.0).to(point.value.dtype)
    nothing = torch.zeros(len(kept), dtype=point.value.dtype)
    return RangeCuts(k, row.repeat(2)[kept], which, is_lower, end[kept], tuple(s), nothing)


def _weighted(cuts: RangeCuts) -> RangeCuts:
    """Cuts of a graph with the required objective as one more output, in terms of the graph without it."""
    return replace(cuts, s=(*cuts.s[:-1], cuts.s[-1][:, :-1]), weight=cuts.s[-1][:, -1])


def _program_directions(
    solver: InteriorSolver, region: Region, node: int, feature: Tensor, required: bool
) -> DualPoint:
    """Upper bounds of ``+a`` and then ``-a`` of features of a node on a one-row region, with every range a constraint.

    ``required`` says that the last output is the required objective, whose multiplier has a sign.
    """
    graph, rows = solver.graph, 2 * len(feature)
    sub = region.take(torch.zeros(rows, dtype=torch.int64))
    coefficients = torch.zeros(rows, graph.nodes[node].size, dtype=region.lower.dtype)
    coefficients[torch.arange(rows), feature.repeat(2)] = 1
    coefficients[len(feature) :] *= -1
    outputs = torch.zeros(rows, graph.output.size, dtype=region.lower.dtype)
    objective = Objective(
        {node: coefficients, len(graph.nodes) - 1: outputs}, torch.zeros(rows, dtype=region.lower.dtype)
    )
    relaxation = Relaxation(graph, sub)
    start = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
    known = [
        torch.zeros_like(low) if m is None else m.expand_as(low)
        for m, low in zip(start.s, sub.range_lower, strict=True)
    ]
    solved = solver.solve(relaxation, objective, known, TIGHTEN.program_iterations, -torch.inf)
    s = solved.s
    if required:
        # It is at least 0, so that only a multiplier of at least 0 says something.
        weight = torch.cat([s[-1][:, :-1], s[-1][:, -1:].clamp(min=0)], 1)
        s = (*s[:-1], weight)
    return evaluate_exact(relaxation, objective, s)[0]


def _directions(graph: Graph, region: Region, node: int, row: Tensor, feature: Tensor, maximum: Maximum) -> DualPoint:
    """Upper bounds of ``+a`` and then ``-a`` for features of a node, one per (row, feature) pair."""
    pairs = len(row)
    sub = region.take(row.repeat(2))
    coefficients = torch.zeros(2 * pairs, graph.nodes[node].size, dtype=region.lower.dtype)
    pair = torch.arange(pairs)
    coefficients[pair, feature] = 1
    coefficients[pairs + pair, feature] = -1
    objective = Objective({node: coefficients}, torch.zeros(2 * pairs, dtype=region.lower.dtype))
    relaxation = Relaxation(graph, sub)
    point = evaluate_dual(relaxation, objective, crown(relaxation.hulls), maximum=maximum)
    return evaluate_exact(relaxation, objective, point.s, maximum)[0]
