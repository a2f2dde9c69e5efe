"""Dives end, find true witnesses only, and find those that hang on a few whole numbers."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from netproof.bounds.region import box_region
from netproof.effort.integer import DIVE
from netproof.query import Conjunction, Query, Verdict
from netproof.search.integer.engine import Search
from netproof.search.verify import verify
from netproof.settings import Settings
from soundness.random_networks import Layer, RandomNetwork, Steps, floats, random_network, tight_query, witnesses

INPUTS, NEURONS, LARGEST = 20, 6, 4


def dive(query: Query, seed: int = 0) -> tuple[torch.Tensor | None, int]:
    """A dive from the root of every case of a query, and how many levels it took."""
    region = box_region(query.network.graph, query.lower[None], query.upper[None])
    search = Search(query, region, range(len(query.condition)), Settings(seed=seed))
    diver = search._diver
    assert diver is not None
    root = search._root(torch.arange(len(search._cases)), search._presolved.region)
    if not len(root):
        return None, 0
    diver.begin(root.take(torch.arange(min(DIVE.beam, len(root)))))
    found, levels = None, 0
    while diver.running and found is None:
        found = diver.advance(time.monotonic() + 600)
        levels += 1
    return found, levels


def planted(seed: int, shift: int) -> Query:
    """Every neuron must take the step it takes at one point: a leaf of the search from the start."""
    random = np.random.default_rng(seed)
    weight = random.integers(-7, 8, (NEURONS, INPUTS))
    bias = -(weight.sum(1) * (LARGEST // 2))
    steps = Steps(np.empty((NEURONS, 0), np.int64), np.zeros(NEURONS, np.int64), 1, (shift, -64, 63))
    lower = np.zeros(INPUTS, np.int64)
    net = RandomNetwork((Layer(weight, bias, steps),), lower, lower + LARGEST)
    y = net.outputs(random.integers(0, LARGEST + 1, (1, INPUTS)))[0]
    rows = np.concatenate([np.eye(NEURONS, dtype=np.int64), -np.eye(NEURONS, dtype=np.int64)])
    condition = Conjunction(floats(rows), floats(rows @ y))
    return Query(net.network(), floats(net.lower), floats(net.upper), (condition,))


@pytest.mark.parametrize("seed", range(30))
def test_dives_on_small_networks_end_and_find_witnesses_only(seed: int) -> None:
    random = np.random.default_rng([9, seed])
    net = random_network(random, final="shift", kinds=("shift", "equidistant"))
    query = tight_query(random, net, net.network())
    truth = {tuple(point) for point in witnesses(net, query).tolist()}
    found, levels = dive(query, seed)
    assert levels < 1000
    if found is not None:
        assert tuple(found.long().tolist()) in truth


def test_dives_find_planted_points() -> None:
    found = [dive(planted(seed, 2))[0] for seed in range(6)]
    assert sum(x is not None for x in found) >= 5
    for seed, x in enumerate(found):
        assert x is None or bool(planted(seed, 2).refuted_by(x))


def test_a_dive_is_the_same_for_a_seed() -> None:
    first, second = dive(planted(3, 2), 5), dive(planted(3, 2), 5)
    assert first[1] == second[1]
    assert (first[0] is None) == (second[0] is None)
    if first[0] is not None and second[0] is not None:
        assert torch.equal(first[0], second[0])


@pytest.mark.parametrize("seed", [1, 3])
def test_queries_with_constant_leaves_are_decided(seed: int) -> None:
    result = verify(planted(seed, 2), Settings(timeout=600.0))
    assert result.verdict is Verdict.SAT
    assert result.witness is not None
