"""Bounds of objectives from intervals: multiplier 0 at the activations that an objective reaches first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.backward import bound_backwards
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.operators.sums import row_products

if TYPE_CHECKING:
    from jaxtyping import Float


def interval_lines(relaxation: Relaxation, c: Float[Tensor, "B R n"]) -> Float[Tensor, "B R"]:
    """Upper bounds of ``c . y`` from the intervals of the last activations: ``[B, R, n_output]`` to ``[B, R]``.

    The affine maps behind them go into ``c`` first, as is usual in training: bounding two outputs apart is loose.
    """
    constant = torch.zeros(c.shape[:2], dtype=c.dtype, device=c.device)
    return interval_bound(relaxation, Objective({len(relaxation.graph.nodes) - 1: c}, constant))


def interval_bound(
    relaxation: Relaxation, objective: Objective, rounding: Rounding | None = None
) -> Float[Tensor, "B R"]:
    """Upper bounds of objectives as in :func:`netproof.bounds.backward.bound_backwards`, ``R`` of them for each box.

    With ``rounding`` (of a region that holds this one; everything float64) they hold in real arithmetic.
    """
    graph, region = relaxation.graph, relaxation.region

    def activate(k: int, v: Tensor) -> tuple[None, Tensor]:
        operator = graph.activation(graph.activations[k])
        return None, _largest(v, *operator.output_range(region.range_lower[k], region.range_upper[k]))

    return bound_backwards(relaxation, objective, activate, rounding, maximum=_box_largest).value


def _box_largest(constant: Float[Tensor, "#B R"], v: Float[Tensor, "#B R n"], region: Region) -> Float[Tensor, "B R"]:
    return constant + _largest(v, region.lower, region.upper)


def _largest(
    v: Float[Tensor, "#B R n"], lower: Float[Tensor, "#B n"], upper: Float[Tensor, "#B n"]
) -> Float[Tensor, "B R"]:
    """``max { v . x }`` for ``[B, R, n]`` and boxes ``[B, n]``."""
    return row_products(v.clamp(min=0), upper) + row_products(v.clamp(max=0), lower)
