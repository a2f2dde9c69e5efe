"""Optimized multipliers: alpha-CROWN and beta-CROWN as one first-order method.

Multipliers are written ``s_k = alpha_k * v_k + beta_k``. With ``beta = 0`` and ``alpha`` the slope of
a line on the right side of the activation this is CROWN; optimizing ``alpha`` is alpha-CROWN (Xu
et al., ICLR 2021), and ``beta`` is the free part that a split makes useful (beta-CROWN, Wang et al.,
NeurIPS 2021). Optimizing ``alpha`` instead of ``s`` matters: a step moves all layers below along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.backward import Maximum, box_maximum
from netproof.bounds.dual import DualPoint, Multipliers, evaluate_dual, relaxed_values
from netproof.bounds.multipliers.adam import Parametrization, Until, minimize
from netproof.bounds.objective import Objective
from netproof.bounds.relaxation import Relaxation
from netproof.effort.bounding import RANGE_STEPS
from netproof.operators.base import Affine
from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Float, Int64


@dataclass(frozen=True, eq=False)
class Parameters(Rows):
    """``alpha`` and ``beta`` for every activation, ``[B, n_k]`` each."""

    alpha: tuple[Float[Tensor, "#B _"], ...]
    beta: tuple[Float[Tensor, "#B _"], ...]

    def multipliers(self) -> Multipliers:
        def s(k: int, v: Tensor) -> Tensor:
            return self.alpha[k] * v + self.beta[k]

        return s


#: with the bound there, ``[B]``
Rated = tuple[Parameters, Tensor]


def better(first: Rated, second: Rated) -> Rated:
    """Row by row the parameters with the smaller bound."""
    choose = (second[1] < first[1])[:, None]
    return Parameters(
        tuple(torch.where(choose, b, a) for a, b in zip(first[0].alpha, second[0].alpha, strict=True)),
        tuple(torch.where(choose, b, a) for a, b in zip(first[0].beta, second[0].beta, strict=True)),
    ), torch.minimum(first[1], second[1])


def crown_parameters(
    relaxation: Relaxation, objective: Objective, final_beta: Float[Tensor, "#B n"] | None = None
) -> tuple[Parameters, Float[Tensor, " B"]]:
    """CROWN's ``alpha`` (and ``beta = 0``, or as given at the last activation) with the bound there, ``[B]``."""
    chosen: dict[int, Tensor] = {}
    hulls = relaxation.hulls
    beta = [torch.zeros_like(low) for low in relaxation.region.range_lower]
    if final_beta is not None:
        beta[-1] = final_beta

    def multipliers(k: int, v: Tensor) -> Tensor:
        chosen[k] = hulls[k].slope(v)
        return chosen[k] * v + beta[k]

    point = evaluate_dual(relaxation, objective, multipliers)
    alpha = tuple(chosen[k].expand_as(b) if k in chosen else torch.zeros_like(b) for k, b in enumerate(beta))
    return Parameters(alpha, tuple(beta)), point.value


def optimize(
    relaxation: Relaxation,
    objective: Objective,
    start: Parameters,
    until: Until,
    maximum: Maximum = box_maximum,
) -> Rated:
    """Lower the bounds of a batch by Adam; ``maximum`` is over the inputs that count, all of the box by default.

    Returns
    -------
    parameters : the best found per row
    value : ``[B]``, the bound there (in the dtype of the inputs)
    """
    best, value = minimize(_Ranges(relaxation, objective, start, maximum), RANGE_STEPS.rates, until)
    layers = len(start.alpha)
    return Parameters(tuple(best[:layers]), tuple(best[layers:])), value


class _Ranges(Parametrization):
    """All ``alpha`` and then all ``beta``, with one length of steps per layer."""

    def __init__(
        self, relaxation: Relaxation, objective: Objective, start: Parameters, maximum: Maximum = box_maximum
    ) -> None:
        super().__init__([*start.alpha, *start.beta], [])
        self._relaxation, self._objective, self._maximum = relaxation, objective, maximum
        self._point: DualPoint | None = None
        self.lengths = self._lengths(self._evaluate())

    def _lengths(self, point: DualPoint) -> list[float | Tensor]:
        """A natural unit for a slope is that of the chord; for beta, that times the size of v."""
        graph, region = self._relaxation.graph, self._relaxation.region
        alpha: list[float | Tensor] = []
        beta: list[float | Tensor] = []
        for k, index in enumerate(graph.activations):
            low, high = region.range_lower[k], region.range_upper[k]
            image_low, image_high = graph.activation(index).output_range(low, high)
            unit = (image_high - image_low).amax(-1, keepdim=True) / (high - low).clamp(min=1e-12).amax(
                -1, keepdim=True
            )
            v = point.v[k]
            size = torch.zeros_like(unit) if v is None else v.pow(2).mean(-1, keepdim=True).sqrt()
            # Where nothing arrives (v = 0) beta is the price of a range alone, in the objective's
            # own units at the node the range is on.
            direct = self._objective.coefficients.get(graph.nodes[index].operands[0])
            price = torch.zeros_like(size) if direct is None else direct.abs().amax(-1, keepdim=True)
            alpha.append(RANGE_STEPS.length * unit)
            beta.append(RANGE_STEPS.length * torch.where(size > 0, size * unit, price))
        return alpha + beta

    def _evaluate(self) -> DualPoint:
        if self._point is None:
            layers, parameters = len(self.parameters) // 2, self.parameters
            now = Parameters(tuple(parameters[:layers]), tuple(parameters[layers:]))
            self._point = evaluate_dual(self._relaxation, self._objective, now.multipliers(), maximum=self._maximum)
        return self._point

    def bound(self, *, onward: bool) -> Float[Tensor, " B"]:
        return self._evaluate().value

    def gradient(self) -> list[Float[Tensor, "#B _"] | None]:
        """In units of the lengths, so that the size of a moment says how much a step of that length is worth."""
        point, layers = self._evaluate(), len(self.parameters) // 2
        found: list[Tensor | None] = [None] * (2 * layers)
        for k, d in enumerate(_gradient(point, self.parameters[:layers])):
            v = point.v[k]
            if d is not None and v is not None:
                found[k], found[layers + k] = d * v * self.lengths[k], d * self.lengths[layers + k]
        return found

    def project(self) -> None:
        self._point = None

    def take(self, rows: Int64[Tensor, " _"]) -> None:
        super().take(rows)
        self._relaxation, self._objective = self._relaxation.take(rows), self._objective.take(rows)
        self._point = None


def _gradient(point: DualPoint, alpha: Sequence[Tensor]) -> list[Tensor | None]:
    """Derivative of the bound in ``s_k``, the changes of all layers below included.

    The subgradient in ``s_k`` alone is (affine map at the maximizers) - (maximizer of phi_k); a
    change of ``s_k`` changes ``v`` below, and there ``s`` by ``alpha`` times that.
    """
    values = relaxed_values(point)
    carried: list[Tensor] = [torch.zeros_like(values[0])]
    result: list[Tensor | None] = []
    k = 0
    for node in point.relaxation.graph.nodes[1:]:
        if isinstance(node.operator, Affine):
            carried.append(node.operator.forward_linear(*(carried[i] for i in node.operands)))
            continue
        conjugate, v, s = point.conjugates[k], point.v[k], point.s[k]
        operand = node.operands[0]
        if conjugate is None or v is None or s is None:
            result.append(None)
            carried.append(torch.zeros_like(carried[operand]))
        else:
            at = values[operand]
            own = at - conjugate.argument
            # phi(0, 0) is attained on the whole range, so any of it may be subtracted.
            low, high = point.region.range_lower[k], point.region.range_upper[k]
            own = torch.where((v == 0) & (s == 0), at - torch.minimum(torch.maximum(at, low), high), own)
            total = own + carried[operand]
            result.append(total)
            carried.append(alpha[k] * total)
        k += 1
    return result
