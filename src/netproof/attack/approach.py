"""Attack: sign walks, and their ends settled at the thresholds of the first layer.

Walks find where the class is nearly lost (:mod:`netproof.attack.signs`), settling gives what staircases have rounded away
(:mod:`netproof.attack.settle`), and whole numbers near the settled points are what can be witnesses.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netproof.attack.align import can_align, first_layer, tail
from netproof.attack.corners import Goal
from netproof.attack.lattice import round_near
from netproof.attack.settle import settle
from netproof.attack.signs import Walked, received_by_first, sign_walks
from netproof.bounds.envelope.layer import first_layer as staircase_layer
from netproof.effort.integer import APPROACH
from netproof.graph.graph import Graph


class Approach:
    """Walks on one graph towards the cases of one goal, in any box.

    Parameters
    ----------
    graph : float64, of integers
    goal : its cases
    generator : of the starting points
    """

    def __init__(self, graph: Graph, goal: Goal, generator: torch.Generator) -> None:
        self._graph, self._goal = graph.to(torch.float32), goal
        layer = staircase_layer(graph) if can_align(graph) else None
        self._layer = None if layer is None else layer.to(torch.float32)
        self._generator = generator

    def promising(self, lower: Tensor, upper: Tensor, case: Tensor, deadline: float) -> tuple[Tensor, Tensor]:
        """Of distinct cases those that short walks come closest to, each several times, with numbers of starts."""
        if len(case) > APPROACH.cases:
            walked = self.walk(lower, upper, case, torch.zeros_like(case), APPROACH.first_steps, deadline)
            case = walked.case[walked.deficiency.argsort()[: APPROACH.cases]]
        return case.repeat_interleave(APPROACH.starts), torch.arange(APPROACH.starts).repeat(len(case))

    def walk(self, lower: Tensor, upper: Tensor, case: Tensor, start: Tensor, steps: int, deadline: float) -> Walked:
        """Walks from random corners of a box ``[n]``."""
        coin = torch.rand(len(case), len(lower), generator=self._generator, dtype=lower.dtype)
        x = torch.where(coin < 0.5, lower, upper)
        return sign_walks(self._graph, self._goal, lower, upper, case, start, x, steps, deadline)

    def closest(self, lower: Tensor, upper: Tensor, case: Tensor, start: Tensor, deadline: float) -> Walked:
        """The walks that come closest, those first that come closest of all."""
        walked = self.walk(lower, upper, case, start, APPROACH.steps, deadline)
        return walked.take(walked.deficiency.argsort()[: APPROACH.kept])

    def settled(self, walked: Walked, lower: Tensor, upper: Tensor) -> Tensor | None:
        """Integers of the box near the ends of walks, the most promising first; None where the first layer has no thresholds of one width."""
        if self._layer is None:
            return None
        received = received_by_first(self._graph, self._goal.gradient(walked.case, walked.start), walked.x)
        points = settle(self._layer, lower, upper, walked.x, received)
        linear = first_layer(self._graph)
        whole = round_near(linear.weight, lower, upper, points, self._generator)
        reached = tail(self._graph, linear.forward(whole)[:, None], 1.0)
        return whole[self._goal.deficiency(reached, walked.case)[:, 0].argsort()]
