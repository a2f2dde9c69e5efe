"""The checker's best values with prices, against all integers there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from netproof.certificate.checker import prices as module
from netproof.certificate.checker.evaluate import LIMIT, Stairs
from netproof.certificate.checker.prices import FirstLayer, Priced, units_of
from netproof.certificate.checker.region import Region
from netproof.errors import CertificateError
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.sum import Sum


def layers(random: np.random.Generator, size: int, inputs: int, levels: int) -> tuple[Graph, np.ndarray, np.ndarray]:
    """A first layer of three affine nodes, what it comes to, and a staircase with thresholds that repeat."""
    first, second = (random.integers(-4, 5, (size, inputs)) for _ in range(2))
    bias = random.integers(-5, 6, size)
    builder = GraphBuilder(Arithmetic.INTEGER, (inputs,))
    maps = [Linear(torch.tensor(w).double(), torch.tensor(b).double()) for w, b in ((first, bias), (second, 0 * bias))]
    one, other = (builder.add(f"map {k}", maps[k], builder.input) for k in range(2))
    before = builder.add("difference", Sum((1, -1)), one, other)
    thresholds = torch.from_numpy(np.sort(random.integers(-20, 21, (size, levels)), 1)).double()
    stairs = Staircase(thresholds, torch.from_numpy(random.integers(-9, 3, size)).double())
    builder.add("out", Linear(torch.ones(1, size).double(), torch.zeros(1).double()), builder.add("f", stairs, before))
    return builder.build(), first - second, bias


def costs(prices: np.ndarray, reach: np.ndarray) -> list[int]:
    """The least cost of moving a feature up from its least value by 0, 1, 2, ..., up to all that inputs reach."""
    steps = sorted(int(price) for price, most in zip(prices, reach, strict=True) for _ in range(int(most)))
    return [sum(steps[:count]) for count in range(len(steps) + 1)]


@pytest.mark.parametrize("seed", range(24))
def test_conjugates_are_the_best_of_all_values(seed, monkeypatch):
    random = np.random.default_rng([44, seed])
    monkeypatch.setattr(module, "_PIECES", int(random.choice([1, 2, 3, 64])))
    monkeypatch.setattr(module, "_BLOCK", int(random.choice([1, 300, 1 << 20])))
    size, inputs, levels = (int(random.integers(1, most)) for most in (4, 5, 9))
    graph, weight, bias = layers(random, size, inputs, levels)
    layer, stairs = FirstLayer(graph, "file"), Stairs(graph.nodes[graph.activations[0]].operator, size)
    assert np.array_equal(layer.weight.numpy(), weight) and np.array_equal(layer.bias.numpy(), bias)
    lower = random.integers(-3, 3, inputs)
    upper = lower + random.integers(0, 4, inputs)
    box = Region(torch.from_numpy(lower).double()[None], torch.from_numpy(upper).double()[None], (), ())
    rows = 6
    prices = random.integers(-4, 5, (rows, size, inputs))
    priced = Priced(layer, box, torch.from_numpy(prices).double())
    swing = weight * (upper - lower)
    least = np.minimum(weight * lower, weight * upper).sum(1) + bias
    most = least + np.abs(swing).sum(1)
    assert np.array_equal(priced.pull.numpy(), (prices * swing).sum(1))
    assert np.array_equal(priced.offset.numpy(), -(prices * np.minimum(swing, 0)).sum((1, 2)))
    assert np.array_equal(priced.size.numpy(), (np.abs(prices) * np.abs(swing)).sum((1, 2)))

    # Ranges within what is reached, across its ends, and beyond; none is empty in itself.
    low = random.integers(least - 6, most + 7, (rows, size))
    high = low + random.integers(0, 25, (rows, size))
    v = random.integers(-6, 7, (rows, size))
    best, image = priced.conjugates(stairs, *(torch.from_numpy(part).double() for part in (v, low, high)))
    assert best.shape == image.shape == (rows, size)
    for row in range(rows):
        for feature in range(size):

            def f(a: int, feature: int = feature) -> int:
                known: Tensor = graph.nodes[graph.activations[0]].operator.thresholds[feature]
                return int(stairs.base[feature]) + int((known <= a).sum())

            cost = costs(prices[row, feature], np.abs(swing[feature]))
            ends = max(int(low[row, feature]), int(least[feature])), min(int(high[row, feature]), int(most[feature]))
            values = [v[row, feature] * f(a) - cost[a - least[feature]] for a in range(ends[0], ends[1] + 1)]
            assert float(best[row, feature]) == max(values, default=-np.inf)
            assert float(image[row, feature]) == max(abs(f(int(low[row, feature]))), abs(f(int(high[row, feature]))))


def test_long_staircases_are_looked_at_to_their_end(monkeypatch):
    """The best value lies on the first piece or on the last of many."""
    monkeypatch.setattr(module, "_PIECES", 4)
    builder = GraphBuilder(Arithmetic.INTEGER, (1,))
    before = builder.add("a", Linear(torch.ones(1, 1).double(), torch.zeros(1).double()), builder.input)
    builder.add("f", Staircase(torch.arange(1.0, 31.0).double()[None], torch.zeros(1).double()), before)
    graph = builder.build()
    box = Region(torch.zeros(1, 1).double(), torch.full((1, 1), 30.0).double(), (), ())
    priced = Priced(FirstLayer(graph, "file"), box, torch.tensor([[[2.0]]]).double())
    stairs = Stairs(graph.nodes[graph.activations[0]].operator, 1)
    for v, expected in ((1.0, 0.0), (3.0, 30.0), (-1.0, 0.0)):
        ends = (torch.tensor([[end]]).double() for end in (v, 0.0, 30.0))
        assert float(priced.conjugates(stairs, *ends)[0]) == expected


def test_no_features_have_no_values():
    graph, _, _ = layers(np.random.default_rng(3), 2, 2, 2)
    box = Region(torch.zeros(1, 2).double(), torch.ones(1, 2).double(), (), ())
    priced = Priced(FirstLayer(graph, "file"), box, torch.zeros(1, 2, 2).double())
    none, index = torch.zeros(0).double(), torch.zeros(0, dtype=torch.int64)
    assert priced.conjugate(Stairs(graph.nodes[4].operator, 2), none, none, none, index, index).shape == (0,)


def test_a_first_layer_of_too_many_weights_is_refused(monkeypatch):
    graph, _, _ = layers(np.random.default_rng(4), 3, 2, 2)
    monkeypatch.setattr(module, "_MOST_WEIGHTS", 6)
    assert FirstLayer(graph, "file").weight.shape == (3, 2)
    monkeypatch.setattr(module, "_MOST_WEIGHTS", 5)
    with pytest.raises(CertificateError, match="prices for a first layer of 3 times 2 weights"):
        FirstLayer(graph, "file")


def test_prices_beyond_any_sum_are_beyond_the_limit_on_both_sides():
    values = np.array([-(2**62), -3, 0, 7, 2**62, 2**53 - 1, -(2**53) + 1])
    units = units_of(values)
    assert units.dtype == torch.float64
    assert units[1:4].tolist() == [-3.0, 0.0, 7.0]
    assert units[5:].tolist() == [float(2**53 - 1), -float(2**53 - 1)]
    assert units[0] == -2 * LIMIT and units[4] == 2 * LIMIT
