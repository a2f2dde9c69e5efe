"""The lattice search proposes whole numbers of the box, and finds those that a real point is near to."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from netproof.attack.lattice import balance, compiled_balance, descend, round_near
from netproof.conditions.conditions import Conditions
from netproof.conditions.order import conditions_of
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.linear import Linear
from netproof.query import Conjunction
from soundness.random_networks import floats
from unit.test_attack import draw, where


def polytope(seed: int, slack: int) -> tuple[Graph, Conditions, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ranges of a linear layer around an integer point: the graph, its one case, the box, a real point inside."""
    random = np.random.default_rng(seed)
    inputs, rows = 24, 6
    weight = random.integers(-7, 8, (rows, inputs))
    planted = random.integers(0, 5, inputs)
    # A real point near an integer one, so that a lattice point near the real one exists.
    point = (planted + random.uniform(-0.9, 0.9, inputs)).clip(0, 4)
    center = np.rint(weight @ point).astype(np.int64)
    builder = GraphBuilder(Arithmetic.INTEGER, (inputs,))
    linear = builder.add("linear", Linear(floats(weight), torch.zeros(rows, dtype=torch.float64)), builder.input)
    builder.add("clip", Staircase.fixed_point(0, -512, 511), linear)
    both = floats(np.concatenate([np.eye(rows, dtype=np.int64), -np.eye(rows, dtype=np.int64)]))
    ends = floats(np.concatenate([center - slack, -center - slack]))
    graph = builder.build()
    low = torch.zeros(inputs)
    return graph, conditions_of(graph, [Conjunction(both, ends)]), low, low + 4, torch.from_numpy(point)[None].float()


@pytest.mark.parametrize("seed", range(12))
def test_roundings_are_integers_of_the_box_next_to_the_point(seed: int) -> None:
    graph, _, low, high, point = polytope(seed, 1)
    linear = graph.to(torch.float32).nodes[1].operator
    assert isinstance(linear, Linear)
    outside = torch.cat([point, low[None] - 3, high[None] + 0.5, low[None]]).repeat(4, 1)
    rounded = round_near(linear.weight, low, high, outside, torch.Generator().manual_seed(seed))
    assert torch.equal(rounded, rounded.round())
    assert (rounded >= low).all() and (rounded <= high).all()
    assert ((rounded - outside.clamp(min=low, max=high)).abs() < 1).all()
    again = round_near(linear.weight, low, high, outside, torch.Generator().manual_seed(seed))
    assert torch.equal(rounded, again)


def test_rounding_moves_the_accumulators_less_than_the_nearest_integers_do() -> None:
    ratios = []
    for seed in range(20):
        graph, _, low, high, point = polytope(seed, 1)
        linear = graph.to(torch.float32).nodes[1].operator
        assert isinstance(linear, Linear)
        rounded = round_near(linear.weight, low, high, point.repeat(8, 1), torch.Generator().manual_seed(seed))
        moved = ((rounded - point) @ linear.weight.T).norm(dim=1).min()
        ratios.append(float(moved / ((point.round() - point) @ linear.weight.T).norm()))
    assert np.mean(ratios) < 0.7


@pytest.mark.parametrize("seed", range(12))
def test_the_loop_rounds_as_tensors_do(seed: int) -> None:
    """The loop as plain Python, and compiled where that is possible: whole weights leave no rounding errors to differ by."""
    _, _, low, high, point = polytope(seed, 1)
    random = torch.Generator().manual_seed(seed)
    weight = torch.randint(-7, 8, (6, len(low)), generator=random).float()
    # Of eighths all sums are exact; many are whole numbers already.
    points = ((point + torch.rand(5, len(low), generator=random) - 0.5) * 8).round() / 8
    expected = round_near(weight, low, high, points, torch.Generator().manual_seed(seed))
    for loop in (balance, compiled_balance()):
        found = round_near(weight, low, high, points, torch.Generator().manual_seed(seed), loop)
        assert torch.equal(found, expected)
    assert round_near(weight, low, high, points[:0], random, balance).shape == (0, len(low))
    assert not torch.equal(expected, points.clamp(min=low, max=high).round())


def test_rounding_nothing_or_whole_numbers() -> None:
    weight, low = torch.ones(2, 3), torch.zeros(3)
    generator = torch.Generator().manual_seed(0)
    assert round_near(weight, low, low + 2, torch.empty(0, 3), generator).shape == (0, 3)
    whole = torch.tensor([[0.0, 1.0, 2.0]])
    assert torch.equal(round_near(weight, low, low + 2, whole, generator), whole)


def test_descent_finds_planted_points() -> None:
    """Ranges that plain rounding misses: rounding near and descending meet them."""
    plain = found = 0
    for seed in range(12):
        graph, cases, low, high, point = polytope(seed, 2)
        light = graph.to(torch.float32)
        linear = light.nodes[1].operator
        assert isinstance(linear, Linear)
        case = torch.zeros(4, dtype=torch.int64)
        plain += bool(cases.deficiency(linear.forward(point.round())[:, None], case[:1])[0, 0] <= 0)
        generator = torch.Generator().manual_seed(seed)
        start = round_near(linear.weight, low, high, point.repeat(4, 1), generator)
        hits = descend(light, cases, low, high, start, case, generator, 200, time.monotonic() + 600)
        assert torch.equal(hits, hits.round()) and (hits >= low).all() and (hits <= high).all()
        assert (cases.deficiency(linear.forward(hits)[:, None], case[: len(hits)]) <= 0).all()
        found += len(hits) > 0
    assert plain < 6 and found >= 10


@pytest.mark.parametrize("seed", range(24))
def test_descents_end_at_points_that_meet_their_case(seed: int) -> None:
    net, cases, truth, low, high = draw(seed)
    generator = torch.Generator().manual_seed(seed)
    inside = ((net.points() >= low.numpy()) & (net.points() <= high.numpy())).all(1)
    for number in range(4):
        start = torch.where(torch.rand(8, len(low), generator=generator) < 0.5, low, high)
        case = torch.full((8,), number)
        outcomes = [
            descend(
                net.graph().to(torch.float32), cases, low, high, start, case,
                torch.Generator().manual_seed(seed), 30, time.monotonic() + 600,
            )
            for _ in range(2)
        ]  # fmt: skip
        assert torch.equal(*outcomes)
        points = where(net, outcomes[0])
        assert all(inside[points]) and all(truth[number][points])


class FewLooks:
    """A goal that is not looked at often by what ends at once."""

    def __init__(self, goal) -> None:
        self._goal, self._looks = goal, 0

    def __getattr__(self, name: str):
        self._looks += 1
        assert self._looks < 20, "it goes on"
        return getattr(self._goal, name)


def test_descent_stops_at_the_deadline() -> None:
    graph, cases, low, high, point = polytope(0, 0)
    hits = descend(
        graph.to(torch.float32), FewLooks(cases), low, high, point.round(), torch.zeros(1, dtype=torch.int64),
        torch.Generator().manual_seed(0), 10**9, time.monotonic() - 1,
    )  # fmt: skip
    assert len(hits) == 0
