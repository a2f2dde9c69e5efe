"""The decisive evaluation of the bound with envelopes: without any rounding.

As in :mod:`netproof.bounds.deciding.exact`: on a grid of ``2**-p`` every term is a multiple of ``2**-p``, every partial sum
stays below ``2**(53 - p)``, and float64 represents all of them. Here the prices are on that grid as well, and the
terms of the first layer are sums of products of prices and reaches, which are integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from netproof.bounds.deciding.exact import MANTISSA_BITS, grid_exponent
from netproof.bounds.dual import given
from netproof.bounds.envelope.bound import EnvelopePoint, evaluate_envelopes
from netproof.bounds.envelope.layer import LayerBox
from netproof.bounds.objective import Objective
from netproof.bounds.relaxation import Relaxation
from netproof.graph.pass_back import pass_back
from netproof.operators.base import Affine


def evaluate_envelopes_exact(
    relaxation: Relaxation,
    box: LayerBox,
    objective: Objective,
    s: Sequence[Tensor | None],
    prices: Tensor,
    order: Tensor | None = None,
) -> tuple[EnvelopePoint, Tensor]:
    """Round multipliers and prices to a grid and evaluate the bound exactly.

    Returns the evaluation, its value ``+inf`` where exactness could not be established, and the exponent ``p`` of each
    row's grid ``2**-p``: ``[B]``. ``order`` sorts the prices, if that is known. Everything is float64; the objective is integer valued, and the graph has passed
    :func:`netproof.graph.exactness.check_exact`.
    """
    if not relaxation.region.lower.dtype == prices.dtype == torch.float64:
        raise ValueError("exact evaluation needs float64")
    magnitude = _magnitude(relaxation, box, objective, s, prices)
    exponent = grid_exponent(magnitude)
    scale = torch.exp2(exponent)[:, None]
    rounded = tuple(None if m is None else (m * scale).round() / scale for m in s)
    # Rounding keeps the order.
    on_grid = torch.nan_to_num((prices * scale[..., None]).round() / scale[..., None], 0.0, 0.0, 0.0)
    fits = _magnitude(relaxation, box, objective, rounded, on_grid) * torch.exp2(exponent) < 2.0**MANTISSA_BITS
    fits &= exponent >= 0
    point = evaluate_envelopes(relaxation, box, objective, given(rounded), on_grid, order)
    value = torch.where(fits & ~torch.isnan(point.value), point.value, torch.inf)
    return replace(point, above=replace(point.above, value=value)), exponent


def _magnitude(
    relaxation: Relaxation, box: LayerBox, objective: Objective, s: Sequence[Tensor | None], prices: Tensor
) -> Tensor:
    """``[B]``: no partial sum in the evaluation of the bound exceeds this, up to relative 1e-12."""
    graph, region = relaxation.graph, relaxation.region
    # Three sums of products of prices and reaches: the costs, the consensus, and its offset.
    total = objective.constant.abs() + 3 * (prices.abs().flatten(1) @ box.reach.flatten())

    def hand_on(index: int, k: int, v: Tensor) -> Sequence[Tensor | None]:
        nonlocal total
        operator = graph.nodes[index].operator
        if isinstance(operator, Affine):
            total = total + (v * operator.offset_absolute()).sum(-1)
            return operator.adjoint_absolute(v)
        low, high = region.range_lower[k], region.range_upper[k]
        image_low, image_high = graph.activation(index).output_range(low, high)
        total = total + (v * torch.maximum(image_low.abs(), image_high.abs())).sum(-1)
        if k == 0:
            return (None,)
        multiplier = s[k]
        assert multiplier is not None
        size = multiplier.abs()
        total = total + (size * torch.maximum(low.abs(), high.abs())).sum(-1)
        return (size,)

    direct = pass_back(graph, {node: c.abs() for node, c in objective.coefficients.items()}, hand_on)
    if direct is not None:
        # Three times: at the lower ends, and on the way to the upper ones, which may be twice the largest end.
        total = total + 3 * (direct * torch.maximum(region.lower.abs(), region.upper.abs())).sum(-1)
    return total
