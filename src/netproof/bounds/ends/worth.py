"""What ends of ranges are worth to bounds: how far these would fall, to first order, if ranges were no wider than what is attained.

The bound of an objective by slopes is a function of the ranges before it, and its derivative says what moving an end does. Ends of ranges
are bounds of that kind themselves, so what ends of earlier layers are worth through later ones follows by the chain rule, the last layer
first. That is the weighing of residuals by a dual solution in goal-oriented adaptive methods (Becker and Rannacher, Acta Numerica 2001),
with the region's relaxation for the equation. Everything is a guide, in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.backward import bound_backwards
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.sign_steps import Choice, Mixed, optimize_signs
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.refine import rows_at_once
from netproof.bounds.ranges.refine_alpha import BegunEnds
from netproof.effort.bounding import REFINE
from netproof.processes import clock
from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Float, Int64


@dataclass(frozen=True, eq=False)
class Weighed(Rows):
    """Objectives that count.

    Attributes
    ----------
    objective : ``B`` rows, where the dual is
    alpha : ``[B, m]``, slopes of their lower lines
    weight : ``[B]``, of at least 0
    """

    objective: Objective
    alpha: Float[Tensor, "B m"]
    weight: Float[Tensor, " B"]


def weighed(dual: SignDual, mixed: Mixed, rows: int, constraints: int, until: Until) -> list[Weighed]:
    """Rows of objectives, each of so many constraints, at slopes that steps find, and weighed by how far their bounds are above 0.

    As many side by side as ends of ranges are.
    """
    found = []
    for asked in torch.split(torch.arange(rows, device=dual.device), rows_at_once(dual.graph, REFINE.alpha_batch)):
        some, start = _of(mixed, asked), Choice.first(dual, len(asked), constraints)
        side = torch.zeros(len(asked), len(dual), dtype=torch.int8, device=dual.device)
        choice, value = optimize_signs(dual, some, side, start, until)
        every = torch.arange(len(asked), device=dual.device)
        found.append(Weighed(some(every, choice.weight), choice.alpha, value.clamp(min=0)))
    return found


def _of(mixed: Mixed, asked: Int64[Tensor, " B"]) -> Mixed:
    """The objectives of some rows."""
    return lambda rows, weight: mixed(asked[rows], weight)


def worth_of_layers(
    dual: SignDual, asked: Sequence[Weighed], begun: BegunEnds, deadline: float = math.inf
) -> list[float] | None:
    """Of every activation what its ends are worth to all objectives together, at least 0; None where the time did not do.

    ``dual`` is float32 and has chords alone. Slopes of ends are those they began with, and CROWN's where none are known.
    """
    account = _Account(dual)
    for some in asked:
        account.add(some)
    graph = dual.graph
    at_once = rows_at_once(graph, REFINE.alpha_batch)
    for k in reversed(range(len(graph.activations))):
        for feature in torch.split(dual.index[k], at_once):
            if clock.now() >= deadline:
                return None
            account.add(_ends(dual, k, feature, account.price(k, feature), begun))
    return [account.worth(k) for k in range(len(graph.activations))]


class _Account:
    """Prices of ends, by all that was added so far, and the values that were seen on the way.

    Of the ``k``-th activation ``[2, m_k]`` each: of upper ends and of lower ends, negated.
    """

    def __init__(self, dual: SignDual) -> None:
        self._dual = dual
        self._end = list(map(torch.stack, zip(self._split(dual.upper), self._split(-dual.lower), strict=True)))
        self._price = [torch.zeros_like(end) for end in self._end]
        self._seen = [torch.full_like(end, -torch.inf) for end in self._end]

    def price(self, k: int, feature: Int64[Tensor, " n"]) -> Float[Tensor, " 2n"]:
        """Of upper ends, then of lower ends of some unstable features."""
        return self._price[k][:, torch.searchsorted(self._dual.index[k], feature)].flatten()

    def worth(self, k: int) -> float:
        """Prices times what is between ends and the values that were seen."""
        return float((self._price[k].double() * (self._end[k] - self._seen[k]).double().clamp(min=0)).nansum())

    def add(self, asked: Weighed) -> None:
        """What ends of earlier layers are worth to objectives, and what is attained where these are."""
        asked = asked.take((asked.weight > 0).nonzero()[:, 0])
        if not len(asked.weight):
            return
        low, high = (end.clone().requires_grad_() for end in (self._dual.lower, self._dual.upper))
        value, coefficients = _bound(self._dual, asked, low, high)
        region = self._dual.region
        self._see(torch.where(coefficients.detach() > 0, region.upper, region.lower))
        if not value.requires_grad:
            return
        found = torch.autograd.grad((value * asked.weight).sum(), [high, low], allow_unused=True)
        upper, lower = (torch.zeros_like(low) if part is None else part for part in found)
        for k, both in enumerate(zip(self._split(upper), self._split(-lower), strict=True)):
            # By slopes that are not the best ones a wider range may seem to help.
            self._price[k] += torch.stack(both).clamp(min=0)

    def _see(self, x: Float[Tensor, "#B n"]) -> None:
        graph = self._dual.graph
        values = graph.values(x)
        for k, (index, which) in enumerate(zip(graph.activations, self._dual.index, strict=True)):
            a = values[graph.nodes[index].operands[0]][:, which]
            self._seen[k] = torch.maximum(self._seen[k], torch.stack([a.amax(0), -a.amin(0)]))

    def _split(self, part: Float[Tensor, " m"]) -> tuple[Tensor, ...]:
        return torch.split(part, list(self._dual.sizes))


def _ends(
    dual: SignDual, k: int, feature: Int64[Tensor, " n"], price: Float[Tensor, " 2n"], begun: BegunEnds
) -> Weighed:
    """Upper ends, then lower ends of features of an activation."""
    graph, n = dual.graph, len(feature)
    node = graph.nodes[graph.activations[k]].operands[0]
    c = dual.lower.new_zeros(2 * n, graph.nodes[node].size)
    c[torch.arange(2 * n, device=dual.device), feature.repeat(2)] = 1.0
    c[n:] *= -1
    unstable = [(j, which.cpu()) for j, which in enumerate(dual.index)]
    slopes, crown = begun.slopes(k, feature.cpu(), unstable), dual.crown_alpha().expand(2 * n, -1)
    alpha = crown if slopes is None else slopes.to(dual.device)
    alpha = alpha.where(~alpha.isnan(), crown)
    return Weighed(Objective({node: c}, c.new_zeros(2 * n)), alpha, price)


def _bound(
    dual: SignDual, asked: Weighed, low: Float[Tensor, " m"], high: Float[Tensor, " m"]
) -> tuple[Float[Tensor, " B"], Float[Tensor, "#B n"]]:
    """Bounds by chords over other ranges, in which they are differentiable, and the forms in the input."""
    ends = dual.left * low, dual.right * high
    slope = (ends[1] - ends[0]) / (high - low)
    offset = ends[1] - slope * high
    sizes = list(dual.sizes)
    lines = [torch.split(part, sizes, -1) for part in (slope, offset, asked.alpha)]

    def activate(k: int, v: Tensor) -> tuple[Tensor, Tensor]:
        above, at_zero, below = (part[k] for part in lines)
        arriving = v.index_select(1, dual.index[k])
        up = arriving.clamp(min=0)
        s = (v * dual.closed[k]).expand(len(asked.weight), -1)
        return s.index_copy(1, dual.index[k], up * above + (arriving - up) * below), (up * at_zero).sum(1)

    found = bound_backwards(dual.relaxation, asked.objective, activate, maximum=dual.maximum)
    return found.value, found.coefficients
