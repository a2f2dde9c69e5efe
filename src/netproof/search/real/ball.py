"""What bounds over a ball refute, and the ranges that they give: before any search, which knows the ball by its ranges alone.

Boxes and splits of neurons go on from here on the box around the ball, with ranges that hold in the ball only. What they
refute is refuted there, and a witness is held to the ball itself (:meth:`netproof.query.Query.admits`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.backward import Maximum
from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import evaluate_dual
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.lines import leaning
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.refine import rows_at_once, unstable_features
from netproof.bounds.region import Region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.conditions import Conditions
from netproof.effort.real import BALL
from netproof.graph.graph import Graph


@dataclass(frozen=True, eq=False)
class InBall:
    """Bounds over the part of a box that lies in a ball.

    Attributes
    ----------
    graph : float64
    maximum : over box and ball
    deadline : of ``time.monotonic()``
    """

    graph: Graph
    maximum: Maximum
    deadline: float

    def refined(self, region: Region) -> Region:
        """The region, of one row, with the ranges of open features by CROWN over the ball, layer by layer, rigorously."""
        graph = self.graph
        rounding = Rounding.begun(graph, region)
        for k, index in enumerate(graph.activations):
            operand = graph.nodes[index].operands[0]
            rounding = rounding.up_to(graph, region, operand)
            feature = unstable_features(graph, region, k)[0].nonzero()[:, 0]
            if not len(feature):
                continue
            relaxation = Relaxation(graph, region)
            ends = torch.full((2 * len(feature),), torch.inf, dtype=torch.float64)
            for rows in torch.split(torch.arange(len(ends)), rows_at_once(graph)):
                if time.monotonic() >= self.deadline:
                    return region
                c = torch.zeros(len(rows), graph.nodes[operand].size, dtype=torch.float64)
                c[torch.arange(len(rows)), feature.repeat(2)[rows]] = torch.where(
                    rows < len(feature), 1.0, -1.0
                ).double()
                objective = Objective({operand: c}, torch.zeros(len(rows), dtype=torch.float64))
                ends[rows] = crown_lines(relaxation, objective, rounding, self.maximum).value
            high, low = region.range_upper[k].clone(), region.range_lower[k].clone()
            high[0, feature] = torch.minimum(high[0, feature], ends[: len(feature)])
            low[0, feature] = torch.maximum(low[0, feature], -ends[len(feature) :])
            region = propagate_intervals(graph, region.with_range(k, low, high))
        return region

    def left(self, region: Region, constraints: Conditions, case: Tensor) -> tuple[Region, Tensor]:
        """The region with smaller ranges, and those of the cases that bounds over the ball leave open."""
        region = self.refined(region)
        return region, case[:0] if bool(region.empty()) else self.open_cases(region, constraints, case)

    def open_cases(self, region: Region, constraints: Conditions, case: Tensor) -> Tensor:
        """Those of the cases ``[B]`` that are open: of each CROWN bounds every constraint by itself, and so do optimized lines."""
        rounding = Rounding.of(self.graph, region)
        relaxation, relaxation32 = (
            Relaxation(self.graph, region),
            Relaxation(self.graph.to(torch.float32), region.to(torch.float32)),
        )
        which = torch.arange(constraints.width).repeat(len(case))
        every = case.repeat_interleave(constraints.width)
        value = torch.full((len(every),), torch.inf, dtype=torch.float64)
        for rows in torch.split(torch.arange(len(every)), rows_at_once(self.graph)):
            if time.monotonic() >= self.deadline:
                break
            objective = constraints.single(every[rows], which[rows])
            value[rows] = crown_lines(relaxation, objective, rounding, self.maximum).value
            hard = (value[rows] >= 0).nonzero()[:, 0]
            if not len(hard):
                continue
            asked = objective.take(hard)
            until = Until(BALL.steps, BALL.goal, self.deadline)
            lines, _, _ = leaning(relaxation32, asked.to(torch.float32), until, maximum=self.maximum)
            multipliers = lines.to(torch.float64).multipliers()
            found = evaluate_dual(relaxation, asked, multipliers, rounding, self.maximum).value
            value[rows[hard]] = torch.minimum(value[rows[hard]], found)
        return case[value.view(len(case), constraints.width).amin(1) >= 0]
