"""Optimized multipliers: alpha-CROWN and beta-CROWN as one first-order method.

Multipliers are written ``s_k = alpha_k * v_k + beta_k``. With ``beta = 0`` and ``alpha`` the slope of
a line on the right side of the activation this is CROWN; optimizing ``alpha`` is alpha-CROWN (Xu
et al., ICLR 2021), and ``beta`` is the free part that a split makes useful (beta-CROWN, Wang et al.,
NeurIPS 2021). Every ``alpha, beta`` gives a valid bound, so Adam may go where it likes; the best
point is kept. Optimizing ``alpha`` instead of ``s`` matters: a step moves all layers below along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.dual import DualPoint, Multipliers, Objective, evaluate_dual, relaxed_values
from netproof.bounds.region import Region
from netproof.graph.graph import Graph
from netproof.operators.base import Affine
from netproof.operators.hulls.hull import Hull
from netproof.rows import Rows

_STEP, _DECAY = 0.02, 0.95
_FIRST_MOMENT, _SECOND_MOMENT = 0.9, 0.99
#: rows are dropped from the batch once this share of it is done
_COMPACT_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class Parameters(Rows):
    """``alpha`` and ``beta`` for every activation, ``[B, n_k]`` each."""

    alpha: tuple[Tensor, ...]
    beta: tuple[Tensor, ...]

    def multipliers(self) -> Multipliers:
        def s(k: int, v: Tensor) -> Tensor:
            return self.alpha[k] * v + self.beta[k]

        return s


Rated = tuple[Parameters, Tensor]


def better(first: Rated, second: Rated) -> Rated:
    """Row by row the parameters with the smaller bound."""
    choose = (second[1] < first[1])[:, None]
    return Parameters(
        tuple(torch.where(choose, b, a) for a, b in zip(first[0].alpha, second[0].alpha, strict=True)),
        tuple(torch.where(choose, b, a) for a, b in zip(first[0].beta, second[0].beta, strict=True)),
    ), torch.minimum(first[1], second[1])


def crown_parameters(
    graph: Graph, region: Region, hulls: Sequence[Hull], objective: Objective, final_beta: Tensor | None = None
) -> tuple[Parameters, Tensor]:
    """CROWN's ``alpha`` (and ``beta = 0``, or as given at the last activation) with the bound there, ``[B]``."""
    chosen: dict[int, Tensor] = {}
    beta = [torch.zeros_like(low) for low in region.range_lower]
    if final_beta is not None:
        beta[-1] = final_beta

    def multipliers(k: int, v: Tensor) -> Tensor:
        chosen[k] = hulls[k].slope(v)
        return chosen[k] * v + beta[k]

    point = evaluate_dual(graph, region, hulls, objective, multipliers)
    alpha = tuple(chosen[k].expand_as(b) if k in chosen else torch.zeros_like(b) for k, b in enumerate(beta))
    return Parameters(alpha, tuple(beta)), point.value


def optimize(
    graph: Graph,
    region: Region,
    hulls: Sequence[Hull],
    objective: Objective,
    start: Parameters,
    steps: int,
    goal: float,
    step_size: float = _STEP,
) -> Rated:
    """Lower the bounds of a batch by ``steps`` steps of Adam.

    Rows whose bound falls below ``goal`` are done and leave the batch early.

    Returns
    -------
    parameters : the best found per row
    value : ``[B]``, the bound there (in the dtype of the inputs)
    """
    point = evaluate_dual(graph, region, hulls, objective, start.multipliers())
    value = point.value.clone()
    best = Parameters(tuple(a.clone() for a in start.alpha), tuple(b.clone() for b in start.beta))
    rows = torch.arange(len(objective), device=value.device)
    run = _Adam(graph, region, objective, start, point, step_size)
    for step in range(steps):
        done = value[rows] < goal
        if bool(done.all()):
            break
        if float(done.sum()) >= _COMPACT_SHARE * len(rows):
            kept = (~done).nonzero()[:, 0]
            rows, region, objective = rows[kept], region.take(kept), objective.take(kept)
            hulls = [hull.take(kept) for hull in hulls]
            run.take(kept)
            point = evaluate_dual(graph, region, hulls, objective, run.parameters.multipliers())
        run.step(graph, point, step)
        point = evaluate_dual(graph, region, hulls, objective, run.parameters.multipliers())
        gained = (point.value < value[rows]).nonzero()[:, 0]
        target = rows[gained]
        value[target] = point.value[gained]
        for kept_best, now in zip(best.alpha + best.beta, run.parameters.alpha + run.parameters.beta, strict=True):
            kept_best[target] = now[gained]
    return best, value


class _Adam:
    """Adam (Kingma and Ba, ICLR 2015) on alpha and beta with one step length per layer."""

    def __init__(
        self,
        graph: Graph,
        region: Region,
        objective: Objective,
        start: Parameters,
        point: DualPoint,
        step_size: float,
    ) -> None:
        self.parameters = start
        # A natural unit for a slope is that of the chord; for beta, that times the size of v.
        self._alpha_unit: list[Tensor] = []
        self._beta_unit: list[Tensor] = []
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
            direct = objective.coefficients.get(graph.nodes[index].operands[0])
            price = torch.zeros_like(size) if direct is None else direct.abs().amax(-1, keepdim=True)
            self._alpha_unit.append(step_size * unit)
            self._beta_unit.append(step_size * torch.where(size > 0, size * unit, price))
        self._first = [torch.zeros_like(a) for a in start.alpha * 2]
        self._second = [torch.zeros_like(a) for a in start.alpha * 2]

    def take(self, rows: Tensor) -> None:
        self.parameters = self.parameters.take(rows)
        self._alpha_unit = [u[rows] for u in self._alpha_unit]
        self._beta_unit = [u[rows] for u in self._beta_unit]
        self._first = [m[rows] for m in self._first]
        self._second = [m[rows] for m in self._second]

    def step(self, graph: Graph, point: DualPoint, count: int) -> None:
        gradient = _gradient(graph, point, self.parameters)
        shrink = _DECAY**count
        bias_first, bias_second = 1 - _FIRST_MOMENT ** (count + 1), 1 - _SECOND_MOMENT ** (count + 1)
        alpha, beta = list(self.parameters.alpha), list(self.parameters.beta)
        layers = len(alpha)
        for k in range(layers):
            d, v = gradient[k], point.v[k]
            if d is None or v is None:
                continue
            for slot, part, unit, g in (
                (k, alpha, self._alpha_unit[k], d * v * self._alpha_unit[k]),
                (layers + k, beta, self._beta_unit[k], d * self._beta_unit[k]),
            ):
                first, second = self._first[slot], self._second[slot]
                first.mul_(_FIRST_MOMENT).add_(g, alpha=1 - _FIRST_MOMENT)
                second.mul_(_SECOND_MOMENT).addcmul_(g, g, value=1 - _SECOND_MOMENT)
                change = (first / bias_first) / ((second / bias_second).sqrt() + 1e-12)
                part[k] = part[k] - shrink * unit * change
        self.parameters = Parameters(tuple(alpha), tuple(beta))


def _gradient(graph: Graph, point: DualPoint, parameters: Parameters) -> list[Tensor | None]:
    """Derivative of the bound in ``s_k``, the changes of all layers below included.

    The subgradient in ``s_k`` alone is (affine map at the maximizers) - (maximizer of phi_k); a
    change of ``s_k`` changes ``v`` below, and there ``s`` by ``alpha`` times that.
    """
    values = relaxed_values(graph, point)
    carried: list[Tensor] = [torch.zeros_like(values[0])]
    result: list[Tensor | None] = []
    k = 0
    for node in graph.nodes[1:]:
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
            carried.append(parameters.alpha[k] * total)
        k += 1
    return result
