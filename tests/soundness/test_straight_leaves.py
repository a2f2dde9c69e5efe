"""Leaves of a search over ranges: what holds a point is never refuted by it, what is just out of reach is."""

from __future__ import annotations

import itertools
import math
import time
from fractions import Fraction

import pytest
import torch

from netproof import Verdict
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import Region, box_region, propagate_intervals
from netproof.conditions.conditions import Conditions
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.query import Conjunction
from netproof.search.real.problem import Problem
from netproof.search.real.programs.leaf import Leaf, leaf_solver
from netproof.search.real.programs.straight import RangeLeaves
from netproof.search.real.range_split import RangeSplit
from netproof.solvers.highs.solve import HighsProcess
from soundness.real_networks import double, evaluate, kinks, random_graph, rational
from soundness.test_leaves import LIES, Liar
from soundness.test_real_search import best_points

#: one that bends twice, and one that bends the other way than a ReLU
ACTIVATIONS = [Clip(-0.25, 1.0), LeakyReLU(1.5)]
INPUTS = 9


def network(seed: int, activation):
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, (INPUTS, 5, 5, 1), activation=activation)
    center = torch.randn(1, INPUTS, generator=generator).double()
    return generator, graph, refine_ranges(graph, box_region(graph, center - 0.4, center + 0.4))


def piece_around(graph, region: Region, x: torch.Tensor) -> Region:
    """The part of a region, cut where activations bend, that holds a point."""
    values = graph.values(x[None])
    for k, index in enumerate(graph.activations):
        a = values[graph.nodes[index].operands[0]]
        low, high = region.range_lower[k].clone(), region.range_upper[k].clone()
        for bend in map(
            float, kinks(graph.activation(index))[0 if isinstance(graph.activation(index), LeakyReLU) else 1 :]
        ):
            low = torch.where(a >= bend, low.clamp(min=bend), low)
            high = torch.where(a < bend, high.clamp(max=bend), high)
        region = region.with_range(k, low, high)
    return region


def constraints_of(graph, *thresholds: float) -> Conditions:
    return Conditions.of(graph, tuple(Conjunction(double([[1.0]]), double([t])) for t in thresholds))


def later() -> float:
    return time.monotonic() + 600.0


def below(value: Fraction) -> float:
    """The largest float that is not above a number."""
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, -math.inf)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_what_is_attained_is_never_refuted_and_what_is_just_out_of_reach_is(seed, activation):
    generator, graph, region = network(seed, activation)
    box = region.lower[0], region.upper[0]
    with leaf_solver(1 << 28) as solver:
        for _ in range(6):
            x = box[0] + torch.rand(INPUTS, generator=generator).double() * (box[1] - box[0])
            part = piece_around(graph, region, x)
            reached = evaluate(graph, rational(x))[-1][0]
            easy = RangeLeaves(graph, region, constraints_of(graph, below(reached)), solver)
            answer = easy.bound(0, part, later())
            assert answer.value >= 0 and answer.point is not None
            # The point of the program is the best of the part.
            top = evaluate(graph, rational(answer.point))[-1][0]
            assert top >= reached - Fraction(1, 10**6)
            hard = RangeLeaves(graph, region, constraints_of(graph, float(top) + 1e-6), solver)
            assert hard.bound(0, part, later()).value < 0
            # Ends that intervals have brought besides are no harm.
            narrowed = propagate_intervals(graph, part)
            assert not bool(narrowed.empty())
            assert easy.bound(0, narrowed, later()).value >= 0 > hard.bound(0, narrowed, later()).value


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_pieces_that_contradict_each_other_are_refuted_and_others_never(activation):
    """Whatever the condition is: here one that holds everywhere."""
    generator, graph, region = network(1, activation)
    first = graph.activations[0]
    bend = max(map(float, kinks(graph.activation(first))))
    which = ((region.range_lower[0][0] < bend) & (region.range_upper[0][0] > bend)).nonzero()[:, 0]
    x = region.lower + torch.rand(20000, INPUTS, generator=generator).double() * (region.upper - region.lower)
    attained = {tuple(row) for row in (graph.values(x)[graph.nodes[first].operands[0]][:, which] > bend).tolist()}
    refuted = 0
    with leaf_solver(1 << 28) as solver:
        leaves = RangeLeaves(graph, region, constraints_of(graph, -1e3), solver)
        for pattern in itertools.product((False, True), repeat=len(which)):
            low, high = region.range_lower[0].clone(), region.range_upper[0].clone()
            for feature, above in zip(which.tolist(), pattern, strict=True):
                (low if above else high)[0, feature] = bend
            answer = leaves.bound(0, region.with_range(0, low, high), later())
            refuted += answer.value < 0
            assert pattern not in attained or answer.value >= 0
    assert len(attained) > 1 and refuted + len(attained) <= 2 ** len(which)


@pytest.mark.parametrize("kind", LIES)
def test_a_solver_that_lies_refutes_nothing(kind, monkeypatch):
    monkeypatch.setattr(HighsProcess, "solve", Liar(kind))
    for seed, activation in enumerate(ACTIVATIONS):
        generator, graph, region = network(seed, activation)
        x = region.lower + torch.rand(500, INPUTS, generator=generator).double() * (region.upper - region.lower)
        best = x[graph.evaluate(x)[:, 0].argmax()]
        threshold = below(evaluate(graph, rational(best))[-1][0])
        problem = Problem(graph, constraints_of(graph, threshold), None, 1 << 28)
        found = RangeSplit(problem).run(region, torch.arange(1), time.monotonic() + 5.0)
        assert found.verdict in {Verdict.UNKNOWN, Verdict.TIMEOUT}
        with leaf_solver(1 << 28) as solver:  # whatever a search gets to in its time: leaves that hold the point
            leaves = RangeLeaves(graph, region, constraints_of(graph, threshold), solver)
            for part in (region, piece_around(graph, region, best)):
                assert leaves.bound(0, part, later()).value >= 0


def test_programs_close_what_splits_do_not(monkeypatch):
    def decided() -> list[bool]:
        verdicts = []
        for seed in range(4):
            generator, graph, region = network(seed, ACTIVATIONS[0])
            high, low = best_points(graph, region.lower[0], region.upper[0], generator, count=500)
            top, bottom = (float(evaluate(graph, rational(x))[-1][0]) for x in (high, low))
            problem = Problem(graph, constraints_of(graph, top + 0.01 * (top - bottom)), None, 1 << 28)
            verdicts.append(RangeSplit(problem).run(region, torch.arange(1), later()).verdict is Verdict.UNSAT)
        return verdicts

    with_programs = decided()
    monkeypatch.setattr(RangeLeaves, "bound", lambda *_: Leaf(torch.inf))
    without = decided()
    assert all(now or not before for now, before in zip(with_programs, without, strict=True))
    assert sum(with_programs) > sum(without)


class Idle:
    """A solver that nothing is asked of here."""


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_a_value_that_is_attained_exactly_is_not_refuted_by_rounding(activation):
    # On a box of one point the bound is the value there, and what rounding may have taken from it all that is between.
    below_it = closer = 0
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        graph = random_graph(generator, (INPUTS, 5, 5, 1), activation=activation)
        x = torch.randn(1, INPUTS, generator=generator).double() * 10.0 ** (seed % 7 - 3)
        region = box_region(graph, x, x)
        reached = evaluate(graph, rational(x[0]))[-1][0]
        for multiple in (1.0, 3.0):
            leaves = RangeLeaves(graph, region, constraints_of(graph, below(reached)), Idle())
            beta = torch.rand(leaves._splits(region), generator=generator).double() * (multiple - 1)
            weight = torch.tensor([multiple]).double()
            value = leaves.evaluate(0, region, weight, beta)
            assert value >= 0
            bare = float(leaves.point(0, region, weight[None], beta).value)
            below_it += bare < 0
            # Both terms are there, that of the mixture and that of the bound itself, and no larger than rounding is.
            mixing = float(
                leaves._constraints.mixing_error(torch.tensor([0]), weight[None], Rounding.of(graph, region))
            )
            assert mixing > 0 and bare + mixing < value < bare + 1e-6
            closer += value > 0
    assert below_it >= 5 and closer == 120


def test_programs_are_not_begun_without_time():
    generator, graph, region = network(2, ACTIVATIONS[0])
    x = region.lower[0] + torch.rand(INPUTS, generator=generator).double() * (region.upper[0] - region.lower[0])
    part = piece_around(graph, region, x)
    leaves = RangeLeaves(graph, region, constraints_of(graph, 0.0), Idle())
    lines, numbers = leaves._lines_of_splits(part, later())
    assert lines is not None and len(numbers) and numbers.unique().numel() == len(numbers)
    assert leaves._lines_of_splits(part, time.monotonic() - 1.0)[0] is None
    assert leaves.bound(0, part, time.monotonic() - 1.0).value == math.inf
