"""The bound with envelopes: a vector of multipliers for every neuron of the first layer.

For every choice of vectors ``mu_j``, one for each neuron ``j`` of the first layer (a number per input), and of
multipliers of the activations above it,

    max objective  <=  (what stands above)  +  sum_j phi_j(mu_j, c_j)  +  max { (sum_j mu_j) . x : x in X }
    phi_j(mu, c)    =  max { c f(a) - mu . x  :  x in X,  a = w_j . x + b_j,  l_j <= a <= u_j, a an integer }

where ``c_j`` is what the neuron receives from above: the Lagrangian dual with a copy of the input for every neuron.
``mu_j = s_j w_j`` is the bound of :mod:`netproof.bounds.dual` with one multiplier per neuron. (Anderson et al., *Strong
mixed-integer programming formulations for trained neural networks*, Math. Program. 2020, and Tjandraatmadja et al., *The convex relaxation
barrier, revisited*, NeurIPS 2020, have these envelopes for ReLU.)

Vectors are given as *prices* ``r_ji = mu_ji / w_ji``. With the coordinates of :mod:`netproof.bounds.envelope.layer`
all that depends on the corner of the box cancels:

    phi_j = max over levels h of  { c_j f_h - q_j(a_h) },       a_h the cheapest integer at which f is at level h
    sum_j mu_j . x  =  sum_ji r_ji swing_ji y_i  -  sum_ji r_ji min(swing_ji, 0)       (y_i the way from L_i to U_i)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.backward import bound_backwards
from netproof.bounds.dual import DualPoint, Multipliers
from netproof.bounds.envelope.knapsack import Knapsack
from netproof.bounds.envelope.layer import LayerBox
from netproof.bounds.objective import Objective
from netproof.bounds.relaxation import Relaxation
from netproof.operators.hulls.hull import Conjugate
from netproof.rows import Rows

LevelValues = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class EnvelopePoint(Rows):
    """The bound at given multipliers, and what attains it.

    Attributes
    ----------
    above : the bound, with what attains it at all activations but the first, where it has None
    prices : ``[B, m, n]``
    received : ``[B, m]``, ``c_j``
    level : ``[B, m]``, the level at which ``phi_j`` is attained
    levels : ``[B, m, K + 1]``, ``c_j f_h - q_j(a_h)``; ``-inf`` at levels out of range
    argument : ``[B, m, K + 1]``, ``a_h``
    price : ``[B, m, K + 1]``, the price at the margin at ``a_h``
    """

    above: DualPoint
    prices: Tensor
    received: Tensor
    level: Tensor
    levels: Tensor
    argument: Tensor
    price: Tensor

    @property
    def value(self) -> Tensor:
        return self.above.value

    @property
    def x(self) -> Tensor:
        return self.above.x

    @property
    def phi(self) -> Tensor:
        """``phi_j`` of every neuron, ``[B, m]``."""
        return self.levels.gather(-1, self.level[..., None])[..., 0]


def evaluate_above(relaxation: Relaxation, objective: Objective, multipliers: Multipliers) -> DualPoint:
    """The bound without the first activation and the input: ``v[0]`` is what that activation receives, and its multipliers
    are None; ``input_coefficients`` is what the input receives past it."""
    count, hulls = len(relaxation.graph.activations), relaxation.hulls
    s: list[Tensor | None] = [None] * count
    vs: list[Tensor | None] = [None] * count
    conjugates: list[Conjugate | None] = [None] * count

    def activate(k: int, v: Tensor) -> tuple[Tensor | None, Tensor | None]:
        vs[k] = v
        if k == 0:
            return None, None
        multiplier = multipliers(k, v)
        conjugate = hulls[k].conjugate(v, multiplier)
        s[k], conjugates[k] = multiplier, conjugate
        return multiplier, conjugate.value.sum(-1)

    lines = bound_backwards(relaxation, objective, activate)
    return DualPoint(lines.constant, tuple(s), tuple(vs), tuple(conjugates), lines.coefficients, relaxation)


def evaluate_envelopes(
    relaxation: Relaxation,
    box: LayerBox,
    objective: Objective,
    multipliers: Multipliers,
    prices: Tensor,
    order: Tensor | None = None,
    level_values: LevelValues | None = None,
) -> EnvelopePoint:
    """Evaluate the bound for every row of the batch, as good as the dtype.

    Parameters
    ----------
    box : the first layer on the regions' box, which all rows share
    multipliers : of all activations but the first
    prices : ``[B, m, n]``, anything
    order : ``[B, m, n]``, the inputs by ascending price, if that is known
    level_values : from prices, their order and what neurons receive, as :func:`values_of_levels`, which it may round as it likes
    """
    region = relaxation.region
    above = evaluate_above(relaxation, objective, multipliers)
    low, high = region.range_lower[0], region.range_upper[0]
    received = above.v[0]
    if received is None:
        received = torch.zeros_like(low)
    if order is None or level_values is None:
        levels, argument, price = values_of_levels(box, Knapsack.of(box, prices, order), received, low, high)
    else:
        levels, argument, price = level_values(prices, order, received)
    best, level = levels.max(-1)
    direct = above.input_coefficients
    pull = (prices * box.swing).sum(1) + direct * (region.upper - region.lower)
    offset = (direct * region.lower).sum(-1) - prices.flatten(1) @ box.swing.clamp(max=0).flatten()
    value = above.value + best.sum(-1) + (pull.clamp(min=0).sum(-1) + offset)
    above = DualPoint(value, above.s, above.v, above.conjugates, pull, relaxation)
    return EnvelopePoint(above, prices, received, level, levels, argument, price)


def values_of_levels(
    box: LayerBox, knapsack: Knapsack, received: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """``c f_h - q(a_h)`` for every level of ranges ``[low, high]``, with ``a_h`` and the price there: ``[B, m, K + 1]`` each."""
    layer = box.layer
    most = box.least + box.reach.sum(-1)
    start = torch.maximum(layer.before, torch.maximum(low, box.least)[..., None])
    stop = torch.minimum(layer.after, torch.minimum(high, most)[..., None])
    there = start <= stop
    start = torch.where(there, start, box.least[:, None])
    argument = torch.minimum(torch.maximum(knapsack.cheapest()[..., None], start), torch.where(there, stop, start))
    cost, price = knapsack.at(argument)
    values = received[..., None] * layer.images - cost
    return torch.where(there, values, -torch.inf), argument, price
