"""What the encoding takes from a graph: ranges, matrices and staircases, in Python integers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.region import box_region, node_intervals
from netproof.exact.smt.staircase import Steps
from netproof.graph.graph import Graph
from netproof.operators.activations.staircase import Staircase
from netproof.operators.base import Affine


@dataclass(frozen=True, eq=False)
class AffineRows:
    """An affine node: the rows of its matrix, one matrix per operand, and its offset."""

    matrices: tuple[list[list[int]], ...]
    offset: list[int]


def ranges(graph: Graph, lower: Tensor, upper: Tensor) -> list[list[tuple[int, int]]]:
    """Interval propagation from the box ``[n_input]``: the range of every feature of every node."""
    intervals = node_intervals(graph, box_region(graph, lower[None], upper[None]))
    return [
        list(zip(low[0].to(torch.int64).tolist(), high[0].to(torch.int64).tolist(), strict=True))
        for low, high in intervals
    ]


def affine_rows(operator: Affine, size: int) -> AffineRows:
    """The matrices of any affine map, row by row, from its adjoint at the unit vectors."""
    unit = torch.eye(size, dtype=torch.float64)
    matrices = tuple(a.to(torch.int64).tolist() for a in operator.adjoint(unit))
    return AffineRows(matrices, operator.offset(unit).to(torch.int64).tolist())


def channel_steps(operator: Staircase) -> list[Steps]:
    """The staircase of every channel, in Python integers."""
    thresholds = operator.thresholds.to(torch.int64).tolist()
    return [Steps(t, b) for t, b in zip(thresholds, operator.base.to(torch.int64).tolist(), strict=True)]
