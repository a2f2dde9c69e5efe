"""Ranges of the last activation where a case holds: its constraint has a multiplier in the bound of every end.

What is searched for is an input that meets a case. Where bounds are nearly tight the case is met at a few places at the most, and
the last features, on which it depends directly, are nearly fixed there. An end of a range may assume that::

    max { a_j : x in X, c(x) >= 0 }  <=  max { a_j + gamma c(x) : x in X }       for every gamma >= 0

(optimization-based bound tightening; for networks Kotha et al., *Provably bounding neural network preimages*, NeurIPS 2023). With weights of
both that add up to 1, ``w (a_j - t) + w' c`` below 0 says that ``t`` is an end, and the quotient of bound and ``w`` that there is a better one
(Dinkelbach, *On nonlinear fractional programming*, 1967): a few rounds of a few steps each come close to the best multiplier.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.sign_steps import Choice, optimize_signs
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region
from netproof.effort.bounding import GIVEN


@dataclass(frozen=True, eq=False)
class Given:
    """A condition that inputs of interest meet.

    Attributes
    ----------
    guide : from multipliers ``[B]`` to objectives ``[B]`` that are at least 0 where it is met, in float32 on the device of the search
    certain : the same in float64, with all that rounding can have taken from it
    size : about the bound of it alone, above 0
    """

    guide: Callable[[Tensor], Objective]
    certain: Callable[[Tensor], Objective]
    size: float


def ranges_given(dual: SignDual, rounding: Rounding, given: Given, dual32: SignDual, deadline: float) -> Region:
    """The region of a dual (one row, float64) with ranges of the last activation that hold where a condition is met; they may cross.

    ``dual32`` is the same dual in float32, where multipliers are chosen.
    """
    region, graph = dual.region, dual.graph
    k = len(graph.activations) - 1
    which = dual.index[k] if k >= 0 else torch.zeros(0, dtype=torch.int64)
    n = len(which)
    if not n:
        return region
    low, high = region.range_lower[k].clone(), region.range_upper[k].clone()
    width = (high - low)[0, which].repeat(2)
    node = graph.nodes[graph.activations[k]].operands[0]
    unit = torch.zeros(2 * n, graph.nodes[node].size, dtype=torch.float64)
    unit[torch.arange(2 * n), which.repeat(2)] = torch.cat([torch.ones_like(width[:n]), -torch.ones_like(width[:n])])
    end = torch.cat([high[0, which], -low[0, which]])
    weight, choice = _weighed(dual32, given, (node, unit, width), end, deadline)
    gamma = weight[:, 1] * width / (weight[:, 0] * given.size)
    objective = _beside(given.certain(gamma), node, unit)
    side = torch.zeros(2 * n, len(dual), dtype=torch.int8)
    double = choice.to(torch.float64)
    value = dual.bound(objective, side, double.alpha, double.beta, rounding).value
    end = torch.where(torch.isfinite(value), torch.minimum(end, value), end)
    high[0, which], low[0, which] = end[:n], -end[n:]
    return region.with_range(k, low, high)


def _weighed(
    dual32: SignDual, given: Given, asked: tuple[int, Tensor, Tensor], end: Tensor, deadline: float
) -> tuple[Tensor, Choice]:
    """Weights ``[B, 2]`` of features and condition, in parts of widths and of its size, and slopes, in float64."""
    node, unit, width = asked
    rows, device = len(end), dual32.device
    unit32, width32 = unit.to(device, torch.float32), width.to(device, torch.float32)
    choice = Choice.first(dual32, rows, 2)
    for _ in range(GIVEN.rounds):
        end32 = end.to(device, torch.float32)

        def objective(row: Tensor, weight: Tensor) -> Objective:
            share = weight[:, 0] / width32[row]
            met = given.guide(weight[:, 1] / given.size)
            whole = _beside(met, node, share[:, None] * unit32[row])
            return whole.with_constant(whole.constant - share * end32[row])  # noqa: B023 -- asked within the round

        side = torch.zeros(rows, len(dual32), dtype=torch.int8)
        choice, value = optimize_signs(dual32, objective, side, choice, Until(GIVEN.steps, -math.inf, deadline))
        gain = value.double().cpu() * width / choice.weight[:, 0].double().cpu()
        end = torch.where(gain < 0, end + gain, end)
    return choice.weight.double().cpu(), choice


def _beside(objective: Objective, node: int, coefficients: Tensor) -> Objective:
    """An objective with more coefficients at a node."""
    known = dict(objective.coefficients)
    known[node] = known[node] + coefficients if node in known else coefficients
    return replace(objective, coefficients=known)
