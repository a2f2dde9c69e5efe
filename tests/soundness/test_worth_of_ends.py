"""What ends of ranges are worth: derivatives against differences, the chain rule, and shares of the time that follow from it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from netproof.bounds.ends.refine_split import SplitRefiner
from netproof.bounds.ends.worth import Weighed, _Account, _bound, _ends, weighed, worth_of_layers
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.refine_alpha import BegunEnds, refine_by_alpha
from soundness.test_ranges_by_splits import prepared

STEP = 1e-6


def asked_of(graph, dual, generator, rows=3):
    last = len(graph.nodes) - 1
    c = torch.randn(rows, graph.nodes[last].size, generator=generator).double()
    alpha = torch.rand(rows, len(dual), generator=generator).double()
    objective = Objective({last: c}, torch.zeros(rows, dtype=torch.float64))
    return Weighed(objective, alpha, 0.5 + torch.rand(rows, generator=generator).double())


def total(dual, asked, lower, upper):
    """The weighed sum of bounds with other ranges, by the bound that searches use."""
    other = replace(dual, lower=lower, upper=upper)
    side, nothing = torch.zeros(asked.alpha.shape, dtype=torch.int8), torch.zeros_like(asked.alpha)
    return float((other.bound(asked.objective, side, asked.alpha, nothing).value * asked.weight).sum())


def moved(end, j, step):
    there = end.clone()
    there[j] += step
    return there


@pytest.mark.parametrize("seed", [0, 4, 12, 16])
def test_prices_are_derivatives(seed):
    generator, graph, region = prepared(seed, (4, 7, 7, 2))
    dual = SignDual.of(graph, region)
    asked = asked_of(graph, dual, generator)
    account = _Account(dual)
    account.add(asked)
    upper, lower = torch.cat(account._price, 1)
    assert len(dual) > 3
    for j in range(len(dual)):
        difference = [total(dual, asked, dual.lower, moved(dual.upper, j, step)) for step in (STEP, -STEP)]
        slope = (difference[0] - difference[1]) / (2 * STEP)
        assert float(upper[j]) == pytest.approx(max(slope, 0.0), rel=1e-4, abs=1e-5)
        difference = [total(dual, asked, moved(dual.lower, j, -step), dual.upper) for step in (STEP, -STEP)]
        slope = (difference[0] - difference[1]) / (2 * STEP)
        assert float(lower[j]) == pytest.approx(max(slope, 0.0), rel=1e-4, abs=1e-5)
    assert float(upper.sum() + lower.sum()) > 0


@pytest.mark.parametrize("seed", [0, 4, 8])
def test_its_bound_is_the_one_that_searches_use(seed):
    generator, graph, region = prepared(seed, (4, 7, 7, 2))
    dual = SignDual.of(graph, region)
    asked = asked_of(graph, dual, generator)
    value, _ = _bound(dual, asked, dual.lower, dual.upper)
    assert float((value * asked.weight).sum()) == pytest.approx(total(dual, asked, dual.lower, dual.upper), rel=1e-12)


def test_ends_of_earlier_layers_count_through_later_ones():
    """Two layers: moving an end of the first moves ends of the second by their own bounds, and these move the objective."""
    tried = 0
    for seed in range(0, 24, 4):
        generator, graph, region = prepared(seed, (4, 7, 7, 2))
        dual = SignDual.of(graph, region)
        m = dual.sizes[0]
        if not m or not dual.sizes[1]:
            continue
        asked = asked_of(graph, dual, generator)
        account = _Account(dual)
        account.add(asked)
        direct = account._price[0].clone()
        second = _ends(dual, 1, dual.index[1], account.price(1, dual.index[1]), BegunEnds(0))
        account.add(second)
        for j in range(m):
            both = [
                total(dual, asked, dual.lower, moved(dual.upper, j, step))
                + total(dual, second, dual.lower, moved(dual.upper, j, step))
                for step in (STEP, -STEP)
            ]
            apart = [total(dual, second, dual.lower, moved(dual.upper, j, step)) for step in (STEP, -STEP)]
            through = (apart[0] - apart[1]) / (2 * STEP)
            if float(direct[0, j]) > 0 and through > 0:
                slope = (both[0] - both[1]) / (2 * STEP)
                assert float(account._price[0][0, j]) == pytest.approx(slope, rel=1e-3, abs=1e-5)
                tried += 1
    assert tried > 3


def test_worth_is_what_is_between_ends_and_values_that_are_seen():
    _, graph, region = prepared(4, (4, 7, 7, 7, 2))
    begun = BegunEnds(1 << 20)
    region = refine_by_alpha(graph, region, 6, math.inf, listen=begun.sloped)
    dual = SignDual.of(graph, region).to(torch.float32)
    last = len(graph.nodes) - 1

    def mixed(rows, weight):
        c = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float32)[rows] * weight
        return Objective({last: c}, torch.full((len(rows),), 100.0, dtype=torch.float32))

    asked = weighed(dual, mixed, 2, 1, Until(5))
    assert all(bool((one.weight > 0).all()) for one in asked)
    worth = worth_of_layers(dual, asked, begun)
    assert worth_of_layers(dual, asked, begun, -math.inf) is None
    assert len(worth) == len(graph.activations)
    assert all(one >= 0 for one in worth) and max(worth) > 0
    # The first layer's ends are attained.
    assert worth[0] == pytest.approx(0.0, abs=1e-3 * max(worth))
    # Nothing is worth anything to bounds that are below 0 already.
    nothing = [Weighed(one.objective, one.alpha, torch.zeros_like(one.weight)) for one in asked]
    assert worth_of_layers(dual, nothing, begun) == [0.0] * len(worth)


def test_layers_without_open_features_are_worth_nothing():
    """Also where slopes of features are known that were open once."""
    _, graph, region = prepared(4, (4, 7, 7, 7, 2))
    begun = BegunEnds(1 << 20)
    refine_by_alpha(graph, region, 2, math.inf, listen=begun.sloped)
    k = len(graph.activations) - 1
    assert k in begun._known
    low, high = region.range_lower[k].clone(), region.range_upper[k].clone()
    settled = region.with_range(k, torch.where((low < 0) & (high > 0), high / 2, low), high)
    dual = SignDual.of(graph, settled).to(torch.float32)
    assert not len(dual.index[k])
    asked = asked_of(graph, dual, torch.Generator().manual_seed(0)).to(torch.float32)
    worth = worth_of_layers(dual, [asked], begun)
    assert worth[k] == 0 and max(worth) > 0


def test_layers_share_the_time_by_the_roots_of_what_they_are_worth():
    _, graph, _ = prepared(4, (4, 7, 7, 7, 7, 2))
    refiner = SplitRefiner(graph, layer_share=0.4)
    layers = refiner._layers
    assert len(layers) == 3
    worth = [0.0] * len(graph.activations)
    for k, one in zip(layers, (1.0, 4.0, 9.0), strict=True):
        worth[k] = one
    assert [refiner._share(place, worth) for place in range(3)] == pytest.approx([1 / 6, 2 / 5, 1.0])
    assert [refiner._share(place, None) for place in range(3)] == pytest.approx([0.4, 0.5, 1.0])
    assert refiner._share(0, [0.0] * len(worth)) == pytest.approx(0.4)
    # What float32 cannot hold says nothing.
    assert refiner._share(1, [1.0, math.inf, math.inf, 1.0]) == pytest.approx(0.5)
    assert refiner._share(2, [1.0, 1.0, 1.0, 0.0]) == pytest.approx(1.0)
