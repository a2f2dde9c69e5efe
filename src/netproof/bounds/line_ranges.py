"""Ranges by optimized lines, layer by layer, for activations of every kind.

Every end of a range has lines of its own (alpha-CROWN with intermediate bounds, Xu et al., ICLR 2021). They are found in float32
(:mod:`netproof.bounds.multipliers.lines`); what they prove is evaluated rigorously, with the ranges above as they are by then.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import evaluate_dual
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.lines import leaning
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.refine import single_ends, worth_bounding
from netproof.bounds.region import Region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.effort.bounding import LINE_STEPS
from netproof.graph.graph import Graph
from netproof.graph.loose import improvable


def refine_by_lines(graph: Graph, region: Region, deadline: float, device: torch.device | str = "cpu") -> Region:
    """Tighten the ranges of open features of a region of one row, float64, rigorously, until the deadline."""
    better, ends = improvable(graph), _Ends(graph, deadline, device)
    rounding = Rounding.begun(graph, region)
    lines = False
    for k, index in enumerate(graph.activations):
        operand = graph.nodes[index].operands[0]
        rounding = rounding.up_to(graph, region, operand)
        feature = worth_bounding(graph, region, k)[0].nonzero()[:, 0]
        # Above the first layer with lines to choose there are none that could lean.
        if better[operand] and lines and len(feature):
            low, high = region.range_lower[k].clone(), region.range_upper[k].clone()
            top, bottom = ends.bounded(region, operand, feature, rounding)
            high[0, feature] = torch.minimum(high[0, feature], top)
            low[0, feature] = torch.maximum(low[0, feature], -bottom)
            region = propagate_intervals(graph, region.with_range(k, low, high))
        lines = lines or bool(len(feature)) or not better[operand]
        if time.monotonic() >= deadline:
            break
    return region


class _Ends:
    """Bounds of features of a graph's nodes, until a deadline."""

    def __init__(self, graph: Graph, deadline: float, device: torch.device | str) -> None:
        self._graph, self._graph32 = graph, graph.to(torch.float32, device)
        self._deadline, self._device = deadline, device
        self._relaxation: Relaxation | None = None
        self._relaxation32: Relaxation | None = None
        self._rows = LINE_STEPS.batch.rows(graph, LINE_STEPS.tensors)

    def bounded(self, region: Region, node: int, feature: Tensor, rounding: Rounding) -> tuple[Tensor, Tensor]:
        """Upper bounds of ``a`` and of ``-a`` for features ``[m]`` of a node; infinite where the time did not suffice."""
        both, upper = feature.repeat(2), torch.arange(2 * len(feature)) < len(feature)
        first, of = single_ends(self._graph, node, torch.zeros_like(both), both, upper)
        # Ranges above are what they were for the layer before, and so are their hulls.
        region32 = region.to(torch.float32, self._device)
        before, before32 = self._relaxation, self._relaxation32
        relaxation = Relaxation(self._graph, region) if before is None else before.on(region)
        relaxation32 = Relaxation(self._graph32, region32) if before32 is None else before32.on(region32)
        self._relaxation, self._relaxation32 = relaxation, relaxation32
        found = torch.full((len(first),), torch.inf, dtype=torch.float64)
        portions = torch.split(torch.arange(len(first)), self._rows)
        begun = time.monotonic()
        for number, part in enumerate(portions):
            now = time.monotonic()
            # What would take most of the time is left alone, once the first portion has told how long it takes.
            if now >= self._deadline or (
                number == 1 and (now - begun) * len(portions) > LINE_STEPS.layer_share * (self._deadline - begun)
            ):
                break
            asked = first[part]
            c = torch.zeros(len(part), self._graph.nodes[node].size, dtype=torch.float64)
            c[torch.arange(len(part)), both[asked]] = torch.where(upper[asked], 1.0, -1.0).double()
            objective = Objective({node: c}, torch.zeros(len(part), dtype=torch.float64))
            until = Until(LINE_STEPS.range_steps, deadline=self._deadline)
            parameters, _, _ = leaning(relaxation32, objective.to(torch.float32, self._device), until)
            multipliers = parameters.to(torch.float64, "cpu").multipliers()
            found[part] = evaluate_dual(relaxation, objective, multipliers, rounding).value
        value = found[of]
        return value[: len(feature)], value[len(feature) :]
