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
import time
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
from netproof.rows import Rows


@dataclass(frozen=True, eq=False)
class Given:
    """A condition that inputs of interest meet.

    Attributes
    ----------
    guide : from multipliers ``[B]`` to objectives ``[B]`` that are at least 0 where it is met, in float32 on the device of the search
    certain : the same in float64, with all that rounding can have taken from it
    size : about the bound of it alone; ranges are asked for where it is above 0
    """

    guide: Callable[[Tensor], Objective]
    certain: Callable[[Tensor], Objective]
    size: float


@dataclass(frozen=True, eq=False)
class _Ends(Rows):
    """Ends of ranges, upper ones and the negatives of lower ones.

    Attributes
    ----------
    unit : ``[B, n]``, coefficients of what comes into the activation
    width : ``[B]``, of the ranges
    end : ``[B]``, the largest value that is known
    """

    unit: Tensor
    width: Tensor
    end: Tensor

    def __len__(self) -> int:
        return self.end.shape[0]


def ranges_given(
    dual: SignDual, rounding: Rounding, given: Given, dual32: SignDual, deadline: float, memory: int
) -> Region:
    """The region of a dual (one row, float64) with ranges of the last activation that hold where a condition is met; they may cross.

    ``dual32`` is the same dual in float32, where multipliers are chosen. Ends are bounded in batches that take no more than half of
    ``memory`` (bytes); those that the deadline does not leave time for stay as they are.
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
    end = torch.cat([high[0, which], -low[0, which]])
    # A row has multipliers of all unstable features beside the tensors of nodes.
    widest = max(graph.widest, len(dual))
    for rows in torch.split(torch.arange(2 * n), GIVEN.batch.rows(graph, GIVEN.tensors, memory, widest)):
        if time.monotonic() >= deadline:
            break
        unit = torch.zeros(len(rows), graph.nodes[node].size, dtype=torch.float64)
        unit[torch.arange(len(rows)), which.repeat(2)[rows]] = torch.where(rows < n, 1.0, -1.0).double()
        ends = _Ends(unit, width[rows], end[rows])
        weight, choice = _weighed(dual32, given, node, ends, deadline)
        gamma = weight[:, 1] * ends.width / (weight[:, 0] * given.size)
        objective = _beside(given.certain(gamma), node, unit)
        side = torch.zeros(len(rows), len(dual), dtype=torch.int8)
        double = choice.to(torch.float64)
        value = dual.bound(objective, side, double.alpha, double.beta, rounding).value
        end[rows] = torch.where(torch.isfinite(value), torch.minimum(ends.end, value), ends.end)
    high[0, which], low[0, which] = end[:n], -end[n:]
    return region.with_range(k, low, high)


def _weighed(dual32: SignDual, given: Given, node: int, ends: _Ends, deadline: float) -> tuple[Tensor, Choice]:
    """Weights ``[B, 2]`` of features and condition, in parts of widths and of its size, and slopes, in float64."""
    end, rows, device = ends.end, len(ends), dual32.device
    unit32, width32 = ends.unit.to(device, torch.float32), ends.width.to(device, torch.float32)
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
        gain = value.double().cpu() * ends.width / choice.weight[:, 0].double().cpu()
        end = torch.where(gain < 0, end + gain, end)
    return choice.weight.double().cpu(), choice


def _beside(objective: Objective, node: int, coefficients: Tensor) -> Objective:
    """An objective with more coefficients at a node."""
    known = dict(objective.coefficients)
    known[node] = known[node] + coefficients if node in known else coefficients
    return replace(objective, coefficients=known)
