"""The loop that lowers bounds: the best of each row is kept, rows that are done leave, and steps end in time."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from netproof.bounds.crown import crown_lines
from netproof.bounds.dual import evaluate_dual
from netproof.bounds.multipliers.adam import ByAutograd, Parametrization, Rates, Until, minimize
from netproof.bounds.multipliers.mixture import crown_mixture
from netproof.bounds.multipliers.ranges import Parameters, _Ranges
from netproof.bounds.objective import Objective
from netproof.bounds.region import box_region
from netproof.bounds.relaxation import Relaxation
from soundness.real_networks import random_graph
from soundness.regions import random_objective, random_situation

RATES = Rates(first=0.9, second=0.99, shrink=0.95, tiny=1e-12)


class Parabolas(ByAutograd):
    """Row ``b`` is ``(p_b - target_b)**2``; counts how many rows are bounded in each step."""

    def __init__(self, target: torch.Tensor, start: torch.Tensor, length: float | torch.Tensor = 0.3) -> None:
        super().__init__([start[:, None], torch.zeros(len(start), 1)], [length, 0.1])
        self.target = target
        self.rows: list[int] = []

    def needed(self) -> list[bool]:
        return [True, False]

    def value(self, parameters):
        self.rows.append(len(self.target))
        return (parameters[0][:, 0] - self.target).square()

    def take(self, rows):
        super().take(rows)
        self.target = self.target[rows]


def test_every_row_goes_to_its_own_minimum():
    target = torch.tensor([0.0, 1.0, -2.0, 0.5])
    start = torch.zeros(4)
    best, value = minimize(Parabolas(target, start), RATES, Until(200))
    assert torch.allclose(best[0][:, 0], target, atol=0.05)
    assert torch.equal(value, (best[0][:, 0] - target).square())
    assert not bool(best[1].any()) and not bool(start.any()), "what no bound depends on stays, and so does the start"


def test_rows_that_are_done_leave_with_what_they_reached():
    target = torch.tensor([0.0, 3.0, 0.01, 5.0])
    run = Parabolas(target, torch.zeros(4))
    best, value = minimize(run, RATES, Until(60, goal=0.5))
    assert run.rows[0] == 4 and run.rows[1] == 2 and run.rows[-1] == 1
    assert bool((value < 0.5).all()) and len(run.rows) < 60
    assert torch.equal(value, (best[0][:, 0] - target).square())
    assert float(best[0][0]) == 0.0, "done before the first step"


def test_a_length_for_every_row_is_one_for_all_where_they_agree():
    target, start = torch.tensor([1.0, 2.0, 9.0]), torch.zeros(3)
    one, _ = minimize(Parabolas(target, start, 0.3), RATES, Until(40, 0.1))
    each, _ = minimize(Parabolas(target, start, torch.full((3, 1), 0.3)), RATES, Until(40, 0.1))
    assert torch.allclose(one[0], each[0], rtol=1e-5)


def test_no_step_makes_a_bound_worse_and_what_is_no_number_is_no_bound():
    class Wild(Parabolas):
        def value(self, parameters):
            found = super().value(parameters)
            return torch.where(torch.tensor([len(self.rows) < 3, False, True]), torch.nan, found)

    target = torch.tensor([4.0, 4.0, 4.0])
    best, value = minimize(Wild(target, torch.full((3,), 4.0)), RATES, Until(5))
    assert float(value[1]) == 0.0 and float(best[0][1]) == 4.0
    assert float(value[0]) < torch.inf and float(value[2]) == torch.inf


def test_a_deadline_that_has_passed_allows_the_start():
    run = Parabolas(torch.ones(2), torch.zeros(2))
    _, value = minimize(run, RATES, Until(50, deadline=time.monotonic()))
    assert run.rows == [2] and value.tolist() == [1.0, 1.0]


def test_without_a_gradient_nothing_is_tried():
    class Flat(Parabolas):
        def value(self, parameters):
            super().value(parameters)
            return torch.ones(len(self.target))

    run = Flat(torch.ones(2), torch.zeros(2))
    minimize(run, RATES, Until(50))
    assert run.rows == [2]
    assert isinstance(run, Parametrization)


@pytest.mark.parametrize("seed", range(4))
def test_the_gradient_by_hand_is_that_of_the_dual(seed: int):
    random = np.random.default_rng(seed)
    at = random_situation(random, layers=3)
    objective = random_objective(random, at)
    relaxation = Relaxation(at.graph, at.region)

    # Away from the points where maximizers change, whole numbers being what those are made of.
    def noise() -> tuple[torch.Tensor, ...]:
        return tuple(torch.from_numpy(random.normal(size=tuple(low.shape))) for low in at.region.range_lower)

    start = Parameters(noise(), noise())
    run = _Ranges(relaxation, objective, start)
    asked = [part.requires_grad_() for part in (*start.alpha, *start.beta)]
    layers = len(start.alpha)
    point = evaluate_dual(relaxation, objective, Parameters(tuple(asked[:layers]), tuple(asked[layers:])).multipliers())
    expected = torch.autograd.grad(point.value.sum(), asked, allow_unused=True)
    for given, found, length in zip(expected, run.gradient(), run.lengths, strict=True):
        if found is None:
            assert given is None or not bool(given.any())
        else:
            assert given is not None and torch.allclose(found.detach(), given * length, rtol=1e-9, atol=1e-9)


def test_mixtures_are_no_worse_than_equal_weights():
    random = np.random.default_rng(7)
    graph = random_graph(torch.Generator().manual_seed(7), (5, 8, 8, 3))
    low = torch.from_numpy(random.uniform(-1, 0, (6, 5)))
    region = box_region(graph, low, low + 0.5)
    relaxation = Relaxation(graph, region)
    outputs = torch.from_numpy(random.normal(size=(6, 4, 3)))
    last = len(graph.nodes) - 1

    def weighed(weight: torch.Tensor) -> Objective:
        return Objective({last: (weight[:, None] @ outputs)[:, 0]}, torch.zeros(6, dtype=torch.float64))

    best = crown_mixture(relaxation, weighed, torch.zeros(6, 4, dtype=torch.float64))
    assert torch.allclose(best.sum(1), torch.ones(6, dtype=torch.float64)) and bool((best >= 0).all())
    chosen = crown_lines(relaxation, weighed(best)).value
    equal = crown_lines(relaxation, weighed(torch.full_like(best, 0.25))).value
    assert bool((chosen <= equal + 1e-12).all()) and float((equal - chosen).sum()) > 0.1
