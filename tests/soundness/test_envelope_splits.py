"""Splits into many subproblems: every input of what is split is in exactly one of them, and no verdict changes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from netproof.bounds.region import Region
from netproof.query import Verdict
from netproof.search.branching import Split, split_regions, upper_half
from netproof.search.integer.envelopes import Enveloped, Enveloper
from netproof.search.integer.points import all_points
from netproof.search.integer.splits import Splitter
from netproof.search.subproblems import Subproblems
from netproof.search.verify import verify
from netproof.settings import Settings
from soundness.random_networks import random_network, random_query, tight_query, witnesses

BLIND = Settings(timeout=600.0, attack=False)


def held(splitter: Splitter, region: Region, x: Tensor) -> Tensor:
    """Which of the points ``[P, n]`` lie in which rows of a region, ``[B, P]`` bool."""
    graph = splitter._graph
    values = graph.values(x)
    inside = ((x >= region.lower[:, None]) & (x <= region.upper[:, None])).all(-1).expand(len(region), -1).clone()
    for low, high, index in zip(region.range_lower, region.range_upper, graph.activations, strict=True):
        a = values[graph.nodes[index].operands[0]]
        inside &= ((a >= low[:, None]) & (a <= high[:, None])).all(-1)
    return inside


# Seeds whose searches split into many parts, which few small networks need.
@pytest.mark.parametrize("seed", [2, 4])
def test_every_point_is_in_exactly_one_part(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng([40, seed])
    seen: Counter[int] = Counter()
    real = Splitter.by_envelopes

    def watched(splitter: Splitter, batch: Subproblems, found: Enveloped, enveloper: Enveloper) -> Subproblems:
        children = real(splitter, batch, found, enveloper)
        box = Region(batch.region.lower.amin(0)[None], batch.region.upper.amax(0)[None], (), ())
        x = all_points(box)
        before = held(splitter, batch.region, x)
        parts = held(splitter, children.region, x).view(-1, *before.shape)
        assert torch.equal(parts.sum(0), before.to(torch.int64))
        assert torch.equal(children.case.view(-1, len(batch)), batch.case.expand(len(parts), -1))
        seen[len(parts)] += 1
        return children

    monkeypatch.setattr(Splitter, "by_envelopes", watched)
    for _ in range(10):
        net = random_network(
            random, layers=2, kinds=("shift", "equidistant"), final="shift", scale=int(random.choice([1, 8]))
        )
        network = net.network()
        for ask in (random_query, tight_query):
            query = ask(random, net, network)
            result = verify(query, BLIND)
            assert (result.verdict is Verdict.SAT) == bool(len(witnesses(net, query)))
    assert sum(count for parts, count in seen.items() if parts > 2) >= 1, seen


def test_the_half_that_points_lie_in() -> None:
    split = Split(
        torch.tensor([0, 0, 1, -1, -2]), torch.tensor([1, 0, 0, 0, 0]), torch.tensor([5.0, 5.0, -2.0, 1.0, 1.0])
    )
    a: list[Any] = [
        torch.tensor([[0.0, 5.0], [4.0, 9.0], [9.0, 9.0], [9.0, 9.0], [9.0, 9.0]]),
        torch.full((5, 1), -2.4),
    ]
    assert upper_half(split, a).tolist() == [1, 0, 1, 0, 0]
    a[1] = torch.full((5, 1), -2.6)
    assert upper_half(split, a)[2] == 0


def test_halves_of_a_split_are_where_upper_half_says(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    net = random_network(random, layers=2, kinds=("shift",), final=None)
    graph = net.graph()
    node = graph.activations[0]
    size = graph.nodes[node].size
    low, high = torch.full((1, size), -40.0, dtype=torch.float64), torch.full((1, size), 40.0, dtype=torch.float64)
    ends = torch.zeros(1, graph.input.size, dtype=torch.float64)
    others = [torch.zeros(1, graph.nodes[i].size, dtype=torch.float64) for i in graph.activations[1:]]
    region = Region(ends, ends + 3, (low, *others), (high, *others))
    point = graph.activation(node).split_point(torch.zeros_like(low), low, high)[0, 0]
    if torch.isnan(point):
        pytest.skip("nothing to split in this network")
    split = Split(torch.tensor([0]), torch.tensor([0]), point[None])
    halves = split_regions(graph, region, split)
    for value in range(-40, 41):
        a = [torch.full((1, size), float(value), dtype=torch.float64), *others]
        half = int(upper_half(split, a))
        assert halves.range_lower[0][half, 0] <= value <= halves.range_upper[0][half, 0]
