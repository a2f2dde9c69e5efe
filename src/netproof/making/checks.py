"""The two cheap judgements on the box around an image: projected gradient ascent, and plain CROWN.

Both as the field's tables and its generators of benchmarks mean them: an attack of so many steps from so many random
points, and one CROWN pass for the ranges and one for the outputs, nothing optimized.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from netproof.attack.gradient import ascend
from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.refine import refine_ranges, rows_at_once
from netproof.bounds.region import box_region
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Graph


def attack_points(
    graph32: Graph, lower: Tensor, upper: Tensor, label: int, *, steps: int, restarts: int, seed: int
) -> Tensor:
    """Points of a box at which another output is far ahead of the label's, the best one of every restart.

    Parameters
    ----------
    graph32 : the graph in float32
    lower, upper : ``[n_input]`` float32
    steps, restarts : of the ascent; it ends early where a restart succeeds
    seed : of the starting points

    Returns
    -------
    ``[restarts, n_input]`` float32, inside the box
    """
    generator = torch.Generator().manual_seed(seed)
    start = lower + torch.rand(restarts, len(lower), generator=generator, dtype=torch.float32) * (upper - lower)
    start = torch.minimum(torch.maximum(start, lower), upper)
    x, _ = ascend(graph32, lower, upper, start, lambda _, y: ahead(y, label)[:, None], steps, math.inf)
    return x


def ahead(y: Tensor, label: int) -> Tensor:
    """How far the best other output is ahead of the label's: ``[B, n]`` to ``[B]``."""
    others = y.clone()
    others[:, label] = -torch.inf
    return others.amax(-1) - y[:, label]


def crown_proves(graph: Graph, lower: Tensor, upper: Tensor, label: int) -> bool:
    """Whether CROWN proves that no other output reaches the label's on a box; see :func:`crown_margins`."""
    # Written so that a bound that is no number proves nothing.
    return bool((crown_margins(graph, lower, upper, label) < 0).all())


@torch.no_grad()
def crown_margins(graph: Graph, lower: Tensor, upper: Tensor, label: int) -> Tensor:
    """By how much each other output can exceed the label's on a box, bounded by CROWN over the real numbers.

    Parameters
    ----------
    graph : float64
    lower, upper : ``[n_input]`` float64

    Returns
    -------
    ``[n_output - 1]`` upper bounds, in the order of the outputs
    """
    region = box_region(graph, lower[None], upper[None])
    region = refine_ranges(graph, region)
    rounding, relaxation = Rounding.of(graph, region), Relaxation(graph, region)
    rivals = [rival for rival in range(graph.output.size) if rival != label]
    every = torch.eye(graph.output.size, dtype=torch.float64)
    values = [torch.zeros(0, dtype=torch.float64)]
    for part in torch.split(every[rivals] - every[label], rows_at_once(graph)):
        objective = Objective({len(graph.nodes) - 1: part}, torch.zeros(len(part), dtype=torch.float64))
        values.append(crown_lines(relaxation, objective, rounding).value)
    return torch.cat(values)
