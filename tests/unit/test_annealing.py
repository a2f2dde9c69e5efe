"""Compiled annealing measures what goals and networks say, goes the way that plain Python goes, and finds what is there."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from netproof.attack.align import tail
from netproof.attack.annealing import anneal, chain
from netproof.attack.annealing.anneal import Annealer, compiled_chain
from netproof.conditions.conditions import Conditions
from netproof.conditions.order import OrderConditions
from netproof.effort.integer import ANNEAL
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.affine.linear import Linear
from soundness.random_networks import RandomNetwork, floats
from unit.test_attack import draw, where

Box = tuple[torch.Tensor, torch.Tensor]


def drawn(seed: int) -> tuple[RandomNetwork, Conditions, np.ndarray, Box]:
    """A network with something hidden, cases on it, where they hold, and a box in which something varies."""
    while True:
        net, cases, truth, low, high = draw(seed)
        if len(net.layers) > 1:
            break
        seed += 100
    if not (low < high).any():
        low, high = floats(net.lower).float(), floats(net.upper).float()
    return net, cases, truth, (low, high)


def plain(net: RandomNetwork, cases: Conditions) -> Annealer:
    found = Annealer.of(net.graph(), cases, chain.go_on)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(16))
def test_what_is_measured_is_the_deficiency_of_the_network(seed: int) -> None:
    net, cases, _, box = drawn(seed)
    annealer, graph = plain(net, cases), net.graph()
    points = floats(net.points())
    points = points[((points >= box[0]) & (points <= box[1])).all(1)][:40]
    first = graph.nodes[1].operator
    assert isinstance(first, Linear)
    a = first.forward(points)
    order = isinstance(cases, OrderConditions)
    for case in range(len(cases)):
        ends, goal = annealer._ends(case)
        tables = annealer._tables(box[0].double(), box[1].double(), ends)
        assert tables is not None and (len(goal[0]) > 0) == order
        stack = anneal._stacked(ends)
        values = np.zeros((2, stack[1].shape[1]), dtype=np.float32)
        # Of another condition than an order a last activation is a table like the others.
        soft = order or len(annealer._activations) < len(annealer._layers)
        for hardness, table in ((1.0, tables.steps), (0.0, tables.ramps)):
            if hardness < 1 and (len(annealer._layers) > 2 or not soft):
                continue  # tables are of whole numbers, which ramps do not hand on
            expected = cases.deficiency(tail(graph, a[:, None], hardness), torch.full((len(a),), case))[:, 0]
            for row, want in zip(a.numpy().astype(np.int32), expected.tolist(), strict=True):
                none = np.zeros_like(row)
                got = chain.measure(row, none, 0, stack, table, tables.layout, goal, values)
                assert float(got) == pytest.approx(want, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("seed", range(24))
def test_chains_end_in_the_box_and_find_what_meets_the_case(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, proposals = compiled_chain(), 5000
    if loop is None:
        loop, proposals = chain.go_on, 500
    monkeypatch.setattr(anneal, "ANNEAL", type(ANNEAL)(lengths=((proposals, math.inf),)))
    net, cases, truth, (low, high) = drawn(seed)
    annealer = Annealer.of(net.graph(), cases, loop)
    assert annealer is not None
    generator = torch.Generator().manual_seed(seed)
    inside = ((net.points() >= low.numpy()) & (net.points() <= high.numpy())).all(1)
    for number in range(4):
        start = torch.where(torch.rand(len(low), generator=generator) < 0.5, low, high)
        ended = annealer.anneal(low, high, start.clone(), number, proposals, generator)
        assert ended is not None
        (point,) = where(net, ended.x[None])
        assert inside[point]
        exists = bool((truth[number] & inside).any())
        assert not ended.found or truth[number][point]
        # Boxes are small, and proposals many.
        assert ended.found == exists
        assert exists or ended.deficiency > 0
        met = annealer.closest(low, high, start[None], torch.tensor([number]), generator)
        assert (met is not None) == exists


@pytest.mark.parametrize("seed", range(8))
def test_compiled_chains_go_the_way_of_plain_ones(seed: int) -> None:
    if compiled_chain() is None:
        pytest.skip("numba is not installed")
    net, cases, _, (low, high) = drawn(seed)
    for number in range(4):
        # The activations themselves, so that all numbers are whole and no order of sums matters.
        ended = []
        for loop in (chain.go_on, compiled_chain()):
            annealer = Annealer.of(net.graph(), cases, loop)
            assert annealer is not None
            ends, goal = annealer._ends(number)
            tables = annealer._tables(low.double(), high.double(), ends)
            assert tables is not None
            free = (low < high).nonzero()[:, 0]
            varied = tuple(part.numpy().astype(np.int32) for part in (free, low[free], high[free]))
            x = low.numpy().astype(np.int32)
            a = annealer._layers[0].forward(low.double()[None])[0].numpy().astype(np.int32)
            stack, random = anneal._stacked(ends), np.array([seed + 1], dtype=np.int64)
            values = np.zeros((2, stack[1].shape[1]), dtype=np.float32)
            where_from = tables.steps, tables.steps, tables.layout
            found, energy = loop(
                annealer._columns, varied, stack, where_from, goal, x, a, values, random, (200, 2.0, np.float32(-1))
            )
            assert not found and 1 <= random[0] < 1 << 32
            assert (a == net.nodes(x[None].astype(np.int64))[1][0]).all()
            ended.append((x.tolist(), float(energy), int(random[0])))
        assert ended[0] == ended[1]


def test_numbers_of_the_generator_are_spread() -> None:
    state, seen = np.int64(1), []
    for _ in range(4000):
        state = chain.drawn(state)
        seen.append(int(state))
    assert len(set(seen)) == 4000 and min(seen) > 0 and max(seen) < 1 << 32
    counts = np.bincount([(one * 8) >> 32 for one in seen], minlength=8)
    assert counts.min() > 400 and counts.max() < 600


def test_what_is_no_chain_of_dense_layers_is_left_to_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    net, cases, _, box = drawn(0)
    assert Annealer.of(net.graph(), cases, None) is None
    with monkeypatch.context() as patched:
        patched.setattr(anneal, "ANNEAL", type(ANNEAL)(most_neurons=1))
        assert Annealer.of(net.graph(), cases, chain.go_on) is None
    builder = GraphBuilder(Arithmetic.INTEGER, (3,))
    alike = Linear(torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    builder.add("twice", alike, builder.add("once", alike, 0))
    assert Annealer.of(builder.build(), cases, chain.go_on) is None
    annealer = plain(net, cases)
    monkeypatch.setattr(anneal, "ANNEAL", type(ANNEAL)(largest=2))
    assert annealer.anneal(*box, box[0], 0, 10, torch.Generator()) is None
    assert annealer.closest(*box, box[0][None], torch.tensor([0]), torch.Generator()) is None


def test_longer_chains_follow_where_one_came_near(monkeypatch: pytest.MonkeyPatch) -> None:
    net, cases, _, box = drawn(0)
    annealer = plain(net, cases)
    asked: list[tuple[int, int]] = []
    misses = {0: 40.0, 1: 3.0, 2: 0.5}

    def short(low: object, high: object, x: torch.Tensor, case: int, proposals: int, *more: object) -> anneal.Chain:
        asked.append((case, proposals))
        return anneal.Chain(x, False, misses[case] * (2 if proposals > 1000 else 1))

    monkeypatch.setattr(annealer, "anneal", short)
    lengths = ((100, math.inf), (1000, 10.0), (5000, 4.0), (9000, 5.0))
    monkeypatch.setattr(anneal, "ANNEAL", type(ANNEAL)(lengths=lengths))
    starts, case = box[0].expand(4, -1), torch.tensor([0, 0, 1, 2])
    assert annealer.closest(*box, starts, case, torch.Generator()) is None
    # Two cases at first, then the nearer one; the last would have had to come nearer.
    assert asked == [(0, 100), (1, 100), (1, 1000), (1, 5000)]
    asked.clear()
    assert annealer.closest(*box, starts, case, torch.Generator(), most=1000) is None
    assert asked == [(0, 100), (1, 100), (1, 1000)]
