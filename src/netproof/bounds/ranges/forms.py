"""Ranges from linear forms in the input, carried forwards: cheap where a network has few inputs.

Every value is enclosed by ``center + form . t +- radius`` for ``t`` in ``[-1, 1]^n_input``, the position in the box. An
affine node maps centre and form by itself and the radius by its absolute values; an activation is enclosed between
two parallel lines of the chord's slope, whose distance goes to the radius (the affine forms of Stolfi and de
Figueiredo with one error term; Singh et al., NeurIPS 2018, for ReLU). Between intervals and CROWN in tightness and in cost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.region import Region
from netproof.graph.graph import Graph
from netproof.graph.rounding import gamma
from netproof.operators.base import Affine
from netproof.operators.hulls.kink_hull import KinkHull

_U = 2.0**-50
_TINY = 2.0**-500


@dataclass(frozen=True, eq=False)
class _Form:
    """``center`` ``[B, n]``, ``slopes`` ``[B, n_input, n]``, ``radius`` ``[B, n]``."""

    center: Tensor
    slopes: Tensor
    radius: Tensor

    @property
    def reach(self) -> Tensor:
        """How far values can be from the centre, rounded up."""
        count = self.slopes.shape[1]
        return (self.slopes.abs().sum(1) + self.radius) * (1 + (count + 4) * _U) + _TINY


def form_ranges(graph: Graph, region: Region) -> Region:
    """The region with its ranges cut to those of linear forms; rigorous for real graphs in float64."""
    lower, upper = region.lower, region.upper
    center = (lower + upper) / 2
    half = torch.maximum(upper - center, center - lower) * (1 + 4 * _U) + _TINY
    zero = torch.zeros_like(center)
    forms = [_Form(center, torch.diag_embed(half), zero)]
    lowers, uppers = list(region.range_lower), list(region.range_upper)
    k = 0
    for node in graph.nodes[1:]:
        operator = node.operator
        operands = [forms[i] for i in node.operands]
        if isinstance(operator, Affine):
            forms.append(_affine(operator, operands))
            continue
        (form,) = operands
        reach = form.reach
        if not float(reach.sum()) < torch.inf:
            form = _without_overflow(form, reach, lowers[k], uppers[k])
            reach = form.reach
        size = form.center.abs() * _U
        low = torch.maximum(lowers[k], form.center - reach - size)
        high = torch.minimum(uppers[k], form.center + reach + size)
        lowers[k], uppers[k] = low, high
        activation = graph.activation(graph.activations[k])
        hull = activation.hull(low, high)
        if isinstance(hull, KinkHull) and hull.left <= hull.right:
            forms.append(_between_lines(hull, form, reach))
        else:
            forms.append(_of_range(*activation.output_range(low, high), form))
        k += 1
    return replace(region, range_lower=tuple(lowers), range_upper=tuple(uppers))


def _of_range(low: Tensor, high: Tensor, like: _Form) -> _Form:
    """What a range says, as a form that does not depend on the input."""
    middle = (low + high) / 2
    width = torch.maximum(high - middle, middle - low).clamp(min=0) * (1 + 4 * _U) + _TINY
    return _Form(middle, torch.zeros_like(like.slopes), width)


def _without_overflow(form: _Form, reach: Tensor, low: Tensor, high: Tensor) -> _Form:
    """What is known by ranges of the features whose form has no reach; where that is nothing, an infinite radius."""
    known = _of_range(low, high, form)
    lost = ~(reach < torch.inf)
    center = torch.where(known.radius < torch.inf, known.center, 0.0)
    radius = torch.where(known.radius < torch.inf, known.radius, torch.inf)
    return _Form(
        torch.where(lost, center, form.center),
        torch.where(lost[:, None], 0.0, form.slopes),
        torch.where(lost, radius, form.radius),
    )


def _affine(operator: Affine, operands: list[_Form]) -> _Form:
    center = operator.forward(*(form.center for form in operands))
    slopes = operator.forward_linear(*(form.slopes for form in operands))
    radius = operator.forward_absolute(*(form.radius for form in operands))
    size = operator.forward_absolute(*(form.center.abs() + form.reach for form in operands))
    rounding = 4 * gamma(operator.terms()[0] + operator.roundings + 16) * (size + operator.offset_absolute())
    return _Form(center, slopes, radius + rounding + 2 * operator.offset_error() + _TINY)


def _between_lines(hull: KinkHull, form: _Form, reach: Tensor) -> _Form:
    """``f`` lies between the chord and the parallel line through the kink, on the range."""
    slope, offset = hull.chord_line()
    # Between slope * a and slope * a + offset. Where the range is on one side of the kink, offset is 0.
    half = offset / 2
    center = slope * form.center + half
    # Roundings of the slope count with the range's ends, those of products with the form's own size.
    size = (form.center.abs() + reach + hull.lower.abs() + hull.upper.abs()) * (1 + slope.abs())
    radius = slope.abs() * form.radius + half.abs() + 16 * _U * (size + half.abs()) + _TINY
    return _Form(center, slope[:, None] * form.slopes, radius)
