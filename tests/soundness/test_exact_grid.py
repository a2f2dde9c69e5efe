"""The grid of the exact evaluation: what its choice rests on, computed a second time, and its very edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netproof.bounds.deciding import exact
from netproof.bounds.deciding.exact import evaluate_exact
from netproof.bounds.objective import Objective
from netproof.bounds.region import box_region
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.affine.linear import Linear
from soundness.real_networks import double
from soundness.regions import random_multipliers, random_objective, random_situation


def sizes(at, objective, multipliers, row):
    """The sum of the absolute values of all products of the evaluation, layer by layer, in NumPy."""
    received = {node: np.abs(c[row].numpy()) for node, c in objective.coefficients.items()}
    total = abs(float(objective.constant[row]))
    k, place = len(at.graph.activations), len(at.nodes) - 1
    for layer in reversed(at.net.layers):
        if layer.steps is not None:
            k -= 1
            if place in received:
                low, high = at.region.range_lower[k][row].numpy(), at.region.range_upper[k][row].numpy()
                # Staircases rise: their largest sizes are at the ends.
                images = [np.abs(layer.steps.evaluate(end.astype(np.int64))) for end in (low, high)]
                total += received[place] @ np.maximum(*images)
                size = np.abs(multipliers[k][row].numpy())
                total += size @ np.maximum(np.abs(low), np.abs(high))
                received[place - 1] = received.get(place - 1, 0) + size
            place -= 1
        if place in received:
            total += received[place] @ np.abs(layer.bias)
            received[place - 1] = received.get(place - 1, 0) + received[place] @ np.abs(layer.weight)
        place -= 1
    if 0 in received:
        box = at.region.take(torch.tensor([row]))
        total += 2 * received[0] @ np.maximum(np.abs(box.lower[0].numpy()), np.abs(box.upper[0].numpy()))
    return total


@pytest.mark.parametrize("seed", range(4))
def test_no_size_is_left_out(seed):
    random = np.random.default_rng([21, seed])
    for _ in range(8):
        at = random_situation(random, rows=3)
        objective = random_objective(random, at)
        multipliers = random_multipliers(random, at)
        found = exact._magnitude(Relaxation(at.graph, at.region), objective, multipliers)
        expected = [sizes(at, objective, multipliers, row) for row in range(3)]
        np.testing.assert_allclose(found.expand(3).numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("constant", "grid"),
    [
        (0.0, 40),
        (1.0, 40),
        (2.0**11, 40),
        (2.0**11 + 1, 39),
        (2.0**12, 39),
        (2.0**30 - 1, 21),
        (2.0**50, 1),
        (2.0**51 - 1, 0),
        (2.0**51, 0),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_grid_is_as_fine_as_53_bits_allow(constant, grid, sign):
    point, exponent = alone(sign * constant)
    assert exponent.tolist() == [grid]
    assert point.value.tolist() == [sign * constant]


@pytest.mark.parametrize("constant", [2.0**51 * 1.5, 2.0**52, 2.0**60, 1e300, float("inf"), float("nan")])
def test_what_is_too_large_for_any_grid_proves_nothing(constant):
    point, exponent = alone(-constant)
    assert point.value.tolist() == [float("inf")]
    # Its multipliers are on the grid of the integers where no number says which.
    assert exponent.tolist() == [0.0] or np.isfinite(constant)


@pytest.mark.parametrize("seed", range(4))
def test_multipliers_move_by_half_a_step_at_most(seed):
    random = np.random.default_rng([22, seed])
    for _ in range(8):
        at = random_situation(random, rows=3)
        objective = random_objective(random, at)
        multipliers = random_multipliers(random, at)
        point, exponent = evaluate_exact(Relaxation(at.graph, at.region), objective, multipliers)
        for given, used in zip(multipliers, point.s, strict=True):
            if used is not None:
                assert bool(((used - given).abs() <= torch.exp2(-exponent - 1)[:, None]).all())


def test_activations_that_the_objective_does_not_reach_need_no_multipliers():
    at = random_situation(np.random.default_rng(23), rows=2, layers=2)
    objective = Objective({0: torch.ones(2, at.graph.input.size, dtype=torch.float64)}, double([0.0, 1.0]))
    point, _ = evaluate_exact(Relaxation(at.graph, at.region), objective, [None] * len(at.graph.activations))
    assert torch.equal(point.value, (at.region.upper.expand(2, -1).sum(-1) + double([0.0, 1.0])))


def alone(constant):
    """An objective that is a constant."""
    builder = GraphBuilder(Arithmetic.INTEGER, (1,))
    builder.add("same", Linear(double([[1.0]]), double([0.0])), builder.input)
    graph = builder.build()
    region = box_region(graph, double([[0.0]]), double([[0.0]]))
    objective = Objective({1: double([[0.0]])}, double([constant]))
    return evaluate_exact(Relaxation(graph, region), objective, ())


def test_an_objective_of_nothing_is_its_constant():
    at = random_situation(np.random.default_rng(24), rows=2)
    relaxation = Relaxation(at.graph, at.region)
    point, exponent = evaluate_exact(relaxation, Objective({}, double([3.0, -4.0])), [None] * len(at.graph.activations))
    assert point.value.tolist() == [3.0, -4.0] and exponent.tolist() == [40.0, 40.0]
