"""Bounds of objectives from intervals: multiplier 0 at the activations that an objective reaches first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from netproof.bounds.dual import pass_back
from netproof.bounds.region import Region
from netproof.graph.graph import Graph
from netproof.operators.base import Affine


def interval_lines(graph: Graph, region: Region, c: Tensor) -> Tensor:
    """Upper bounds of ``c . y`` from the intervals of the last activations: ``[B, R, n_output]`` to ``[B, R]``.

    The affine maps behind them go into ``c`` first, as is usual in training: bounding two outputs apart is loose.
    """
    value = torch.zeros(c.shape[:2], dtype=c.dtype, device=c.device)

    def hand_on(index: int, k: int, v: Tensor) -> Sequence[Tensor | None]:
        nonlocal value
        operator = graph.nodes[index].operator
        if isinstance(operator, Affine):
            value = value + operator.offset(v)
            return operator.adjoint(v)
        low, high = graph.activation(index).output_range(region.range_lower[k], region.range_upper[k])
        value = value + _largest(v, low, high)
        return (None,)

    v = pass_back(graph, {len(graph.nodes) - 1: c}, hand_on)
    return value if v is None else value + _largest(v, region.lower, region.upper)


def _largest(v: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """``max { v . x }`` for ``[B, R, n]`` and boxes ``[B, n]``."""
    return (v.clamp(min=0) @ upper[..., None] + v.clamp(max=0) @ lower[..., None])[..., 0]
