"""The bounds that train a network: those that verify it, of many boxes at once, in float32.

Interval propagation is the dual bound (:mod:`netproof.bounds.dual`) with multiplier 0 at the last activations; CROWN-IBP
(H. Zhang et al., *Towards Stable and Efficient Training of Verifiably Robust Neural Networks*, ICLR 2020) is CROWN with
intervals for ranges. Both bound the *margins*, by how much another output can exceed the label's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netproof.bounds.boxes import box_lines
from netproof.bounds.intervals import interval_lines
from netproof.bounds.objective import Objective
from netproof.bounds.region import box_region
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Graph


def margin_bounds(graph: Graph, lower: Tensor, upper: Tensor, label: Tensor, beta: float) -> Tensor:
    """Upper bounds of ``y_j - y_label`` on boxes, differentiable: ``[B, outputs]``, 0 at the label itself.

    Parameters
    ----------
    graph : float32
    lower, upper : the boxes, ``[B, n_input]``
    label : ``[B]`` int64
    beta : the share of CROWN-IBP in the bound; the rest is interval propagation
    """
    relaxation = Relaxation(graph, box_region(graph, lower, upper))
    c, others = _differences(graph, label)
    value = torch.zeros((), device=lower.device)
    if beta > 0:
        objective = Objective({len(graph.nodes) - 1: c}, c.new_zeros(c.shape[:2]))
        value = value + beta * box_lines(relaxation, objective).value
    if beta < 1:
        value = value + (1 - beta) * interval_lines(relaxation, c)
    return torch.zeros(len(label), graph.output.size, dtype=c.dtype, device=c.device).scatter(1, others, value)


def _differences(graph: Graph, label: Tensor) -> tuple[Tensor, Tensor]:
    """Every other output minus the label's: coefficients ``[B, outputs - 1, outputs]``, and which output, ``[B, R]``."""
    count = graph.output.size
    others = torch.arange(count - 1, device=label.device).expand(len(label), -1)
    others = others + (others >= label[:, None])
    every = torch.eye(count, device=label.device)
    return every[others] - every[label][:, None], others
