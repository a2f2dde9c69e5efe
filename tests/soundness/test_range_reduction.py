"""Ends of ranges that one bound on a real network cuts off: nothing that meets the objective lies there."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import crown, evaluate_dual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.reduce import reduce_real_ranges
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.activations.tanh import Tanh
from soundness.real_networks import double, dual_value
from soundness.test_straight_leaves import network

STRAIGHT = [ReLU(), Abs(), LeakyReLU(1.5), Clip(-0.25, 1.0)]


def reduced(seed: int, activation, slack: float):
    """A network, its region, the bound of ``y - t`` that is ``slack`` above 0, and the region cut by it."""
    generator, graph, region = network(seed, activation)
    relaxation = Relaxation(graph, region)
    last = len(graph.nodes) - 1
    rounding = Rounding.of(graph, region)
    objective = Objective({last: double([[1.0]])}, double([0.0]))
    top = float(evaluate_dual(relaxation, objective, crown(relaxation.hulls), rounding).value)
    threshold = top - slack
    point = evaluate_dual(relaxation, objective.with_constant(double([-threshold])), crown(relaxation.hulls), rounding)
    assert float(point.value) >= 0
    return generator, graph, region, threshold, point, reduce_real_ranges(point, point.value)


def cuts(before: Region, after: Region):
    """Parts that were cut off, as regions."""
    for k in range(len(before.range_lower)):
        for lower in (True, False):
            old = (before.range_lower if lower else before.range_upper)[k]
            new = (after.range_lower if lower else after.range_upper)[k]
            for feature in (old != new)[0].nonzero()[:, 0].tolist():
                low, high = before.range_lower[k].clone(), before.range_upper[k].clone()
                (high if lower else low)[0, feature] = new[0, feature]
                yield before.with_range(k, low, high)


@pytest.mark.parametrize("activation", STRAIGHT, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_the_bound_is_below_0_on_every_part_that_is_cut_off(seed, activation):
    count = 0
    for slack in (1e-9, 0.01, 0.1):
        _, graph, region, threshold, point, after = reduced(seed, activation, slack)
        s = [
            torch.zeros_like(low[0]) if m is None else m[0] for m, low in zip(point.s, region.range_lower, strict=True)
        ]
        for part in cuts(region, after):
            count += 1
            assert dual_value(graph, part, s, [Fraction(1)]) < Fraction(threshold)
        for low, high, new_low, new_high in zip(
            region.range_lower, region.range_upper, after.range_lower, after.range_upper, strict=True
        ):
            assert bool(((low <= new_low) & (new_low <= new_high) & (new_high <= high)).all())
    assert count


@pytest.mark.parametrize("activation", [*STRAIGHT, Sigmoid(), Tanh()], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_points_that_meet_the_objective_are_kept(seed, activation):
    generator, graph, region, *_ = reduced(seed, activation, 1.0)
    x = region.lower + torch.rand(4000, region.lower.shape[1], generator=generator).double() * (
        region.upper - region.lower
    )
    values = graph.values(x)
    relaxation, rounding = Relaxation(graph, region), Rounding.of(graph, region)
    for share in (0.0, 0.5, 0.9, 0.99, 1.0):
        y = values[-1][:, 0]
        threshold = float(y.min() + share * (y.max() - y.min()))
        objective = Objective({len(graph.nodes) - 1: double([[1.0]])}, double([-threshold]))
        point = evaluate_dual(relaxation, objective, crown(relaxation.hulls), rounding)
        after = reduce_real_ranges(point, point.value)
        meet = y >= threshold
        for k, index in enumerate(graph.activations):
            a = values[graph.nodes[index].operands[0]][meet]
            assert bool(((a >= after.range_lower[k] - 1e-9) & (a <= after.range_upper[k] + 1e-9)).all())
