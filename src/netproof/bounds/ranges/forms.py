"""Ranges from linear forms in the input, carried forwards: cheap where a network has few inputs.

Every value is enclosed by ``center + form . t +- radius`` for ``t`` in ``[-1, 1]^n_input``, the position in the box. An
affine node maps centre and form by itself and the radius by its absolute values; an activation is enclosed between
two parallel lines of the chord's slope, whose distance goes to the radius (the affine forms of Stolfi and de
Figueiredo with one error term; Singh et al., NeurIPS 2018, for ReLU), a product or a quotient between two parallel planes.
Between intervals and CROWN in tightness and in cost. Inputs that are known have no part in the forms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.region import Region
from netproof.effort.bounding import JOINT
from netproof.graph.graph import Graph
from netproof.graph.rounding import gamma
from netproof.operators.activations.held import Held
from netproof.operators.activations.pairs.product import Product
from netproof.operators.base import Activation, Affine
from netproof.operators.hulls.hull import Hull
from netproof.operators.hulls.kink_hull import KinkHull
from netproof.operators.hulls.pair_hull import PairHull, paired
from netproof.rows import Rows

_U = 2.0**-50
_TINY = 2.0**-500
#: a width, as a part of the largest one, that is none to speak of
_HARDLY = 2.0**-40
#: what an image may be off by beyond its own relative rounding (:mod:`netproof.bounds.deciding.rounding`)
_IMAGE = 2.0**-49


@dataclass(frozen=True, eq=False)
class Form(Rows):
    """``center`` ``[B, n]``, ``slopes`` ``[B, V, n]`` for the inputs that vary, ``radius`` ``[B, n]``."""

    center: Tensor
    slopes: Tensor
    radius: Tensor

    @classmethod
    def concatenate(cls, parts: Sequence[Form]) -> Form:
        """The rows of several; those of which fewer inputs vary have slopes of 0 for the rest."""
        most = max(part.slopes.shape[1] for part in parts)
        slopes = [torch.nn.functional.pad(part.slopes, (0, 0, 0, most - part.slopes.shape[1])) for part in parts]
        return cls(torch.cat([p.center for p in parts]), torch.cat(slopes), torch.cat([p.radius for p in parts]))

    @property
    def reach(self) -> Tensor:
        """How far values can be from the centre, rounded up."""
        count = self.slopes.shape[1]
        return (self.slopes.abs().sum(1) + self.radius) * (1 + (count + 4) * _U) + _TINY


def form_ranges(graph: Graph, region: Region, free: Tensor | None = None) -> Region:
    """The region with its ranges cut to those of linear forms; rigorous for real graphs in float64.

    Only inputs ``free`` ``[n]`` bool have a part in the forms, all that vary by default.
    """
    return ranges_and_forms(graph, region, free)[0]


def ranges_and_forms(
    graph: Graph, region: Region, free: Tensor | None = None
) -> tuple[Region, tuple[Form | None, ...] | None]:
    """:func:`form_ranges`, and for each activation the forms of its operand where it multiplies these; None where none is kept.

    They are kept where few inputs vary and products are few enough to be bounded together
    (:mod:`netproof.operators.hulls.joint_hull`), and hold on all parts of the region.
    """
    lower, upper = region.lower, region.upper
    center = (lower + upper) / 2
    half = torch.maximum(upper - center, center - lower) * (1 + 4 * _U) + _TINY
    forms = [_of_box(center, half, _vary(lower, upper, free))]
    lowers, uppers = list(region.range_lower), list(region.range_upper)
    few = forms[0].slopes.shape[1] <= JOINT.few_inputs
    kept: list[Form | None] = []
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
        joint = few and isinstance(operator, Product) and 2 < node.size <= 2 * JOINT.most
        kept.append(form if joint else None)
        activation = graph.activation(graph.activations[k])
        hull = activation.hull(low, high)
        if isinstance(operator, Held):
            forms.append(_or_range(form, *activation.output_range(low, high)))
        elif isinstance(hull, KinkHull) and hull.left <= hull.right:
            forms.append(_between_lines(hull, form, reach))
        else:
            image = activation.output_range(low, high)
            if isinstance(hull, PairHull):
                between = _between_planes(hull, form)
            else:
                between = _around_chord(activation, hull, form, (low, high), image)
            forms.append(_or_range(between, *image))
        k += 1
    held = tuple(kept) if any(form is not None for form in kept) else None
    return replace(region, range_lower=tuple(lowers), range_upper=tuple(uppers)), held


def varying_inputs(region: Region, free: Tensor | None = None) -> int:
    """How many inputs, of those that are ``free`` ``[n]`` bool, vary in a row, at most."""
    return int(_vary(region.lower, region.upper, free).sum(1).max()) if region.lower.numel() else 0


def inputs_that_vary(lower: Tensor, upper: Tensor) -> Tensor:
    """Which inputs vary in any of some boxes ``[B, n]``, but for those that hardly do next to others: ``[n]`` bool."""
    return _vary(lower, upper, None).any(0)


def _vary(lower: Tensor, upper: Tensor, free: Tensor | None) -> Tensor:
    """The inputs that vary, but for those that hardly do next to others, as decimals do whose ends are rounded outwards."""
    width = upper - lower
    varies = width > _HARDLY * width.amax(1, keepdim=True)
    return varies if free is None else varies & free


def _of_box(center: Tensor, half: Tensor, varies: Tensor) -> Form:
    """The input itself; a row with fewer inputs that vary than others has some that do not among its own."""
    count = max(int(varies.sum(1).max()), 1) if varies.numel() else 0
    which = varies.to(torch.int8).topk(count, 1).indices
    slopes = half.new_zeros(len(half), count, half.shape[1])
    slopes.scatter_(2, which[..., None], half.gather(1, which)[..., None])
    return Form(center, slopes, half.scatter(1, which, 0.0))


def _of_range(low: Tensor, high: Tensor, like: Form) -> Form:
    """What a range says, as a form that does not depend on the input."""
    middle = (low + high) / 2
    width = torch.maximum(high - middle, middle - low).clamp(min=0) * (1 + 4 * _U) + _TINY
    return Form(middle, torch.zeros_like(like.slopes), width)


def _without_overflow(form: Form, reach: Tensor, low: Tensor, high: Tensor) -> Form:
    """What is known by ranges of the features whose form has no reach; where that is nothing, an infinite radius."""
    known = _of_range(low, high, form)
    lost = ~(reach < torch.inf)
    center = torch.where(known.radius < torch.inf, known.center, 0.0)
    radius = torch.where(known.radius < torch.inf, known.radius, torch.inf)
    return Form(
        torch.where(lost, center, form.center),
        torch.where(lost[:, None], 0.0, form.slopes),
        torch.where(lost, radius, form.radius),
    )


def _affine(operator: Affine, operands: list[Form]) -> Form:
    center = operator.forward(*(form.center for form in operands))
    slopes = operator.forward_linear(*(form.slopes for form in operands))
    radius = operator.forward_absolute(*(form.radius for form in operands))
    size = operator.forward_absolute(*(form.center.abs() + form.reach for form in operands))
    rounding = 4 * gamma(operator.terms()[0] + operator.roundings + 16) * (size + operator.offset_absolute())
    return Form(center, slopes, radius + rounding + 2 * operator.offset_error() + _TINY)


def _between_lines(hull: KinkHull, form: Form, reach: Tensor) -> Form:
    """``f`` lies between the chord and the parallel line through the kink, on the range."""
    slope, offset = hull.chord_line()
    # Between slope * a and slope * a + offset. Where the range is on one side of the kink, offset is 0.
    half = offset / 2
    center = slope * form.center + half
    # Roundings of the slope count with the range's ends, those of products with the form's own size.
    size = (form.center.abs() + reach + hull.lower.abs() + hull.upper.abs()) * (1 + slope.abs())
    radius = slope.abs() * form.radius + half.abs() + 16 * _U * (size + half.abs()) + _TINY
    return Form(center, slope[:, None] * form.slopes, radius)


def _around_chord(
    activation: Activation, hull: Hull, form: Form, ends: tuple[Tensor, Tensor], image: tuple[Tensor, Tensor]
) -> Form:
    """``f`` lies between two parallels to the chord over the range, which its hull gives."""
    low, high = ends
    width = high - low
    slope = (activation.evaluate(high) - activation.evaluate(low)) / torch.where(width > 0, width, 1.0)
    slope = torch.where(torch.isfinite(slope) & (width > 0), slope, 0.0)
    one = torch.ones_like(slope)
    top, bottom = hull.conjugate(one, slope).value, -hull.conjugate(-one, -slope).value
    size = slope.abs() * torch.maximum(low.abs(), high.abs()) + torch.maximum(image[0].abs(), image[1].abs())
    return _moved(slope * form.center, slope[:, None] * form.slopes, slope.abs() * form.radius, bottom, top, size)


def _between_planes(hull: PairHull, form: Form) -> Form:
    """What becomes of a pair lies between two parallel planes."""
    first, second, constant, gap = hull.plane
    part = [form.center[:, 0::2] * first, form.center[:, 1::2] * second]
    slopes = form.slopes[..., 0::2] * first[:, None] + form.slopes[..., 1::2] * second[:, None]
    radius = form.radius[:, 0::2] * first.abs() + form.radius[:, 1::2] * second.abs()
    size = torch.maximum(hull.lower.abs(), hull.upper.abs())
    size = size[:, 0::2] * first.abs() + size[:, 1::2] * second.abs() + constant.abs() + part[0].abs() + part[1].abs()
    of_one = _moved(part[0] + part[1], slopes, radius, constant - gap, constant + gap, size)
    return Form(*(paired(each, each) for each in (of_one.center, of_one.slopes, of_one.radius)))


def _moved(center: Tensor, slopes: Tensor, radius: Tensor, bottom: Tensor, top: Tensor, size: Tensor) -> Form:
    """A form to which a number between two others is added; ``size`` is that of all terms of either."""
    center = center + (top + bottom) / 2
    size = size + top.abs() + bottom.abs() + center.abs() + slopes.abs().sum(1) + radius
    return Form(center, slopes, radius + (top - bottom).clamp(min=0) / 2 + 64 * _U * size + _IMAGE)


def _or_range(form: Form, low: Tensor, high: Tensor) -> Form:
    """The form, and what the range says where that is closer than what the form adds to the input's part of it."""
    range_ = _of_range(low, high, form)
    better = torch.isfinite(form.radius) & (form.radius <= range_.radius) & torch.isfinite(form.center)
    return Form(
        torch.where(better, form.center, range_.center),
        torch.where(better[:, None], form.slopes, 0.0),
        torch.where(better, form.radius, range_.radius),
    )
