"""Attacks propose integer points of the box; what alignment calls a hit is one."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from netproof.attack import corners
from netproof.attack.align import align, can_align
from netproof.attack.corners import corner_search, surrogate_values
from netproof.conditions.conditions import Conditions
from netproof.conditions.order import conditions_of
from netproof.effort.integer import INTEGER_ATTACK
from netproof.graph.budget import Budget
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.staircase import Staircase
from netproof.query import Conjunction
from soundness.random_networks import RandomNetwork, floats, random_box, random_network

FINAL = ("shift", "shared", "general", None)


def draw(seed: int) -> tuple[RandomNetwork, Conditions, np.ndarray, torch.Tensor, torch.Tensor]:
    """A network, cases on it that some inputs meet, where they hold (``[cases, points]``), and a box."""
    random = np.random.default_rng(seed)
    final = FINAL[seed % len(FINAL)]
    net = random_network(random, final=final)
    y = net.outputs(net.points())
    conditions, truth = [], []
    for _ in range(4):
        rows = random.integers(-2, 3, (int(random.integers(1, 3)), y.shape[1]))
        if seed % 2:
            first, second = random.choice(y.shape[1], 2, replace=False)
            rows = np.zeros((1, y.shape[1]), np.int64)
            rows[0, first], rows[0, second] = 1, -1
        level = rows @ y[random.integers(len(y))]
        conditions.append(Conjunction(floats(rows), floats(level)))
        truth.append((y @ rows.T >= level).all(1))
    low, high = random_box(random, net)
    return net, conditions_of(net.graph(), conditions), np.array(truth), floats(low).float(), floats(high).float()


def where(net: RandomNetwork, x: torch.Tensor) -> list[int]:
    """The numbers of points among all inputs; fails for a point that is none."""
    known = {tuple(point): number for number, point in enumerate(net.points().tolist())}
    return [known[tuple(point)] for point in x.tolist()]


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.parametrize("steps", [0, 1, 50])
def test_corner_search_ends_at_corners(seed: int, steps: int) -> None:
    net, cases, _, low, high = draw(seed)
    case = torch.arange(4).repeat_interleave(8)
    x = corner_search(net.graph().to(torch.float32), cases, low, high, case, torch.Generator().manual_seed(seed), steps)
    assert x.shape == (32, len(low))
    assert ((x == low) | (x == high)).all()
    where(net, x)


def test_walks_that_stand_still_would_have_gone_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, real = [0], corners.surrogate_values

    def counted(*given: object) -> list[torch.Tensor]:
        taken[0] += 1
        return real(*given)

    monkeypatch.setattr(corners, "surrogate_values", counted)
    for seed in range(12):
        net, cases, _, low, high = draw(seed)
        graph, case = net.graph().to(torch.float32), torch.arange(4).repeat_interleave(8)
        ended = corner_search(graph, cases, low, high, case, torch.Generator().manual_seed(seed))
        with monkeypatch.context() as patched:
            patched.setattr(torch, "equal", lambda *given: False)
            x = corner_search(graph, cases, low, high, case, torch.Generator().manual_seed(seed))
        assert torch.equal(ended, x)
    assert taken[0] < 0.95 * 12 * 2 * 50


def test_corner_search_finds_what_a_corner_has() -> None:
    """One monotone layer: some corner has the largest output, and its sign pattern is the weights'."""
    random = np.random.default_rng(0)
    found = 0
    for seed in range(20):
        net = random_network(np.random.default_rng(seed), layers=1, final="shift")
        y = net.outputs(net.points())
        row = np.zeros((1, y.shape[1]), np.int64)
        row[0, random.integers(y.shape[1])] = 1
        level = (y @ row.T).max(0)
        cases = conditions_of(net.graph(), [Conjunction(floats(row), floats(level))])
        x = corner_search(
            net.graph().to(torch.float32), cases, floats(net.lower).float(), floats(net.upper).float(),
            torch.zeros(8, dtype=torch.int64), torch.Generator().manual_seed(seed),
        )  # fmt: skip
        found += bool((net.outputs(x.long().numpy()) @ row.T >= level).any())
    assert found > 15  # slopes vanish far beyond the last threshold


@pytest.mark.parametrize("seed", range(24))
def test_aligned_points_are_integers_of_the_box_that_meet_their_case(seed: int) -> None:
    net, cases, truth, low, high = draw(seed)
    graph = net.graph()
    if not (low < high).any():
        low, high = floats(net.lower).float(), floats(net.upper).float()
    assert can_align(graph)
    generator = torch.Generator().manual_seed(seed)
    inside = ((net.points() >= low.numpy()) & (net.points() <= high.numpy())).all(1)
    hits = 0
    for number in range(4):
        case = torch.full((8,), number)
        start = torch.where(torch.rand(8, len(low), generator=generator) < 0.5, low, high)
        outcome = align(
            graph.to(torch.float32), cases, low, high, start.clone(), case, generator, 60, 60, time.monotonic() + 600
        )
        points = where(net, outcome.candidates)
        assert all(inside[points])
        assert all(truth[number][points])
        assert (outcome.deficiency == 0) == (len(points) > 0)
        if not (truth[number] & inside).any():
            assert not points and outcome.deficiency > 0
        hits += bool(points)
    assert hits or not (truth & inside).any(1).all()


class FewLooks:
    """A goal that is not looked at often by what ends at once."""

    def __init__(self, goal) -> None:
        self._goal, self._looks = goal, 0

    def deficiency(self, y, case):
        self._looks += 1
        assert self._looks < 20, "it goes on"
        return self._goal.deficiency(y, case)


def test_alignment_stops_at_the_deadline() -> None:
    net, cases, *_ = draw(0)
    outcome = align(
        net.graph().to(torch.float32), FewLooks(cases), floats(net.lower).float(), floats(net.upper).float(),
        floats(net.lower).float().repeat(4, 1), torch.zeros(4, dtype=torch.int64),
        torch.Generator().manual_seed(0), 10**9, 10**9, time.monotonic() - 1,
    )  # fmt: skip
    assert len(outcome.candidates) == 0


def test_alignment_needs_a_linear_layer_first() -> None:
    builder = GraphBuilder(Arithmetic.INTEGER, (3,))
    assert not can_align(builder.build())
    builder.add("steps", Staircase.fixed_point(1, 0, 3), builder.input)
    assert not can_align(builder.build())


@pytest.mark.parametrize("seed", range(12))
def test_hard_surrogates_are_the_network(seed: int) -> None:
    net, *_ = draw(seed)
    values = surrogate_values(net.graph(), floats(net.points()), 1.0)
    for value, expected in zip(values, net.nodes(net.points()), strict=True):
        assert torch.equal(value, floats(expected))


def test_little_memory_changes_how_many_starts_are_kept_at_once_and_nothing_else(monkeypatch):
    for seed in range(2):
        net, cases, _, lower, upper = draw(seed)
        case = torch.arange(4).repeat_interleave(3)
        found = []
        for budget in (INTEGER_ATTACK.corners, Budget(1, whole=True), Budget(1, least=5, whole=True)):
            monkeypatch.setattr(corners, "INTEGER_ATTACK", replace(INTEGER_ATTACK, corners=budget))
            generator = torch.Generator().manual_seed(seed)
            found.append(corner_search(net.graph().to(torch.float32), cases, lower, upper, case, generator))
        assert all(torch.equal(found[0], other) for other in found[1:])
