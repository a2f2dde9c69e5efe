"""The bounds that train a network: those that verify it, of many boxes at once, in float32.

Interval propagation is the dual bound (:mod:`netproof.bounds.dual`) with multiplier 0 at the last activations; CROWN-IBP
(H. Zhang et al., *Towards Stable and Efficient Training of Verifiably Robust Neural Networks*, ICLR 2020) is CROWN with
intervals for ranges. Both bound the *margins*, by how much another output can exceed the label's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from netproof.bounds.boxes import box_lines
from netproof.bounds.dual import hulls_of, pass_back
from netproof.bounds.region import Region, box_region
from netproof.graph.graph import Graph
from netproof.operators.base import Affine


def margin_bounds(graph: Graph, lower: Tensor, upper: Tensor, label: Tensor, beta: float) -> Tensor:
    """Upper bounds of ``y_j - y_label`` on boxes, differentiable: ``[B, outputs]``, 0 at the label itself.

    Parameters
    ----------
    graph : float32
    lower, upper : the boxes, ``[B, n_input]``
    label : ``[B]`` int64
    beta : the share of CROWN-IBP in the bound; the rest is interval propagation
    """
    region = box_region(graph, lower, upper)
    c, others = _differences(graph, label)
    value = torch.zeros((), device=lower.device)
    if beta > 0:
        constant = torch.zeros(c.shape[:2], dtype=c.dtype, device=c.device)
        value = value + beta * box_lines(graph, region, hulls_of(graph, region), {_last(graph): c}, constant).value
    if beta < 1:
        value = value + (1 - beta) * interval_lines(graph, region, c)
    return torch.zeros(len(label), graph.output.size, dtype=c.dtype, device=c.device).scatter(1, others, value)


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

    v = pass_back(graph, {_last(graph): c}, hand_on)
    return value if v is None else value + _largest(v, region.lower, region.upper)


def _largest(v: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """``max { v . x }`` for ``[B, R, n]`` and boxes ``[B, n]``."""
    return (v.clamp(min=0) @ upper[..., None] + v.clamp(max=0) @ lower[..., None])[..., 0]


def _differences(graph: Graph, label: Tensor) -> tuple[Tensor, Tensor]:
    """Every other output minus the label's: coefficients ``[B, outputs - 1, outputs]``, and which output, ``[B, R]``."""
    count = graph.output.size
    others = torch.arange(count - 1, device=label.device).expand(len(label), -1)
    others = others + (others >= label[:, None])
    every = torch.eye(count, device=label.device)
    return every[others] - every[label][:, None], others


def _last(graph: Graph) -> int:
    return len(graph.nodes) - 1
