"""Bounds of objectives from intervals: multiplier 0 at the activations that an objective reaches first."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from netproof.bounds.backward import bound_backwards
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.region import Region
from netproof.graph.graph import Graph
from netproof.operators.sums import row_products


def interval_lines(graph: Graph, region: Region, c: Tensor) -> Tensor:
    """Upper bounds of ``c . y`` from the intervals of the last activations: ``[B, R, n_output]`` to ``[B, R]``.

    The affine maps behind them go into ``c`` first, as is usual in training: bounding two outputs apart is loose.
    """
    constant = torch.zeros(c.shape[:2], dtype=c.dtype, device=c.device)
    return interval_bound(graph, region, {len(graph.nodes) - 1: c}, constant)


def interval_bound(
    graph: Graph,
    region: Region,
    coefficients: Mapping[int, Tensor],
    constant: Tensor,
    rounding: Rounding | None = None,
) -> Tensor:
    """Upper bounds of objectives as in :func:`netproof.bounds.backward.bound_backwards`, ``R`` of them for each box.

    With ``rounding`` (of a region that holds this one; everything float64) they hold in real arithmetic.
    """

    def activate(k: int, v: Tensor) -> tuple[None, Tensor]:
        operator = graph.activation(graph.activations[k])
        return None, _largest(v, *operator.output_range(region.range_lower[k], region.range_upper[k]))

    return bound_backwards(graph, region, coefficients, constant, activate, rounding, maximum=_box_largest).value


def _box_largest(constant: Tensor, v: Tensor, region: Region) -> Tensor:
    return constant + _largest(v, region.lower, region.upper)


def _largest(v: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """``max { v . x }`` for ``[B, R, n]`` and boxes ``[B, n]``."""
    return row_products(v.clamp(min=0), upper) + row_products(v.clamp(max=0), lower)
