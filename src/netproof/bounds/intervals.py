"""Bounds of objectives from intervals: multiplier 0 at the activations that an objective reaches first."""

from __future__ import annotations

import torch
from torch import Tensor

from netproof.bounds.backward import bound_backwards
from netproof.bounds.region import Region
from netproof.graph.graph import Graph


def interval_lines(graph: Graph, region: Region, c: Tensor) -> Tensor:
    """Upper bounds of ``c . y`` from the intervals of the last activations: ``[B, R, n_output]`` to ``[B, R]``.

    The affine maps behind them go into ``c`` first, as is usual in training: bounding two outputs apart is loose.
    """

    def activate(k: int, v: Tensor) -> tuple[None, Tensor]:
        operator = graph.activation(graph.activations[k])
        return None, _largest(v, *operator.output_range(region.range_lower[k], region.range_upper[k]))

    constant = torch.zeros(c.shape[:2], dtype=c.dtype, device=c.device)
    return bound_backwards(graph, region, {len(graph.nodes) - 1: c}, constant, activate, maximum=_box_largest).value


def _box_largest(constant: Tensor, v: Tensor, region: Region) -> Tensor:
    return constant + _largest(v, region.lower, region.upper)


def _largest(v: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """``max { v . x }`` for ``[B, R, n]`` and boxes ``[B, n]``."""
    return (v.clamp(min=0) @ upper[..., None] + v.clamp(max=0) @ lower[..., None])[..., 0]
