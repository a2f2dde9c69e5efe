"""The decisive evaluation: the dual bound of an integer graph without any rounding.

Multipliers are rounded to a dyadic grid, per row as fine as the row's magnitudes allow. Every
term of the bound is then an integer multiple of ``2**-p`` and every partial sum, in whatever
order, stays below ``2**(53 - p)``; float64 represents all of them, so the ordinary evaluation
returns the exact value. A row for which that cannot be shown gets ``+inf`` and prunes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.backward import Maximum, box_maximum
from netproof.bounds.dual import DualPoint, evaluate_dual, given
from netproof.bounds.objective import Objective
from netproof.bounds.relaxation import Relaxation
from netproof.graph.pass_back import pass_back
from netproof.operators.base import Affine

if TYPE_CHECKING:
    from jaxtyping import Float


#: one bit below float64's 53: the magnitude itself is computed with a little rounding
MANTISSA_BITS = 52


def evaluate_exact(
    relaxation: Relaxation,
    objective: Objective,
    s: Sequence[Float[Tensor, "#B _"] | None],
    maximum: Maximum = box_maximum,
) -> tuple[DualPoint, Float[Tensor, " B"]]:
    """Round multipliers to a grid and evaluate the bound exactly.

    Returns the evaluation, its value ``+inf`` where exactness could not be established, and the
    exponent ``p`` of each row's grid ``2**-p``: ``[B]``.

    ``objective`` must be integer valued, the graph an integer graph that passed
    :func:`netproof.graph.exactness.check_exact`, and everything float64.

    With another ``maximum`` than that over the box the value is an upper bound, larger than the exact one by what was rounded
    up at the end: whole numbers that the exact value reaches, it reaches.
    """
    if relaxation.region.lower.dtype != torch.float64:
        raise ValueError("exact evaluation needs float64")
    magnitude = _magnitude(relaxation, objective, s)
    exponent = grid_exponent(magnitude)
    scale = torch.exp2(exponent)[:, None]
    rounded = tuple(None if m is None else (m * scale).round() / scale for m in s)
    fits = _magnitude(relaxation, objective, rounded) * torch.exp2(exponent) < 2.0**MANTISSA_BITS
    fits &= exponent >= 0
    point = evaluate_dual(relaxation, objective, given(rounded), maximum=maximum)
    value = torch.where(fits & ~torch.isnan(point.value), point.value, torch.inf)
    return replace(point, value=value), exponent


def grid_exponent(magnitude: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """The exponent ``p`` of a grid ``2**-p`` that numbers of such partial sums are rounded to. Whether they then fit has to be tested."""
    exponent = (MANTISSA_BITS - 1 - torch.log2(magnitude.clamp(min=1.0)).ceil()).clamp(max=40)
    # NaN or infinite magnitudes get the grid of the integers and fail that test.
    return torch.where(torch.isfinite(exponent), exponent, 0.0)


def _magnitude(
    relaxation: Relaxation, objective: Objective, s: Sequence[Float[Tensor, "#B _"] | None]
) -> Float[Tensor, " B"]:
    """``[B]``: no partial sum in the evaluation of the bound exceeds this, up to relative 1e-12."""
    graph, region = relaxation.graph, relaxation.region
    total = objective.constant.abs()

    def hand_on(index: int, k: int, v: Tensor) -> Sequence[Tensor]:
        nonlocal total
        operator = graph.nodes[index].operator
        if isinstance(operator, Affine):
            total = total + (v * operator.offset_absolute()).sum(-1)
            return operator.adjoint_absolute(v)
        multiplier = s[k]
        assert multiplier is not None
        low, high = region.range_lower[k], region.range_upper[k]
        image_low, image_high = graph.activation(index).output_range(low, high)
        size = multiplier.abs()
        total = total + (v * torch.maximum(image_low.abs(), image_high.abs())).sum(-1)
        total = total + (size * torch.maximum(low.abs(), high.abs())).sum(-1)
        return (size,)

    v = pass_back(graph, {node: c.abs() for node, c in objective.coefficients.items()}, hand_on)
    if v is not None:
        # Twice: centre and radius of a shared box are multiples of one half and are added apart.
        total = total + 2 * (v * torch.maximum(region.lower.abs(), region.upper.abs())).sum(-1)
    return total
