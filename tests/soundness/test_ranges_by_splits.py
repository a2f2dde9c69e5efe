"""Ranges by branch and bound: nothing true is cut off, however far the search went, and at its end ranges are tight."""

from __future__ import annotations

import math

import pytest
import torch

from netproof.bounds.ends.end_search import EndSearch
from netproof.bounds.ends.refine_split import SplitRefiner
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.ranges.prefix import prefix
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.ranges.refine_alpha import BegunEnds, SlopedEnds, refine_by_alpha
from netproof.bounds.region import box_region
from soundness.real_networks import double, evaluate, random_graph, rational
from soundness.test_real_bounds import kind_of, points


def prepared(seed, sizes, radius=1.0):
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, sizes, **kind_of(seed))
    center = torch.randn(1, sizes[0], generator=generator).double()
    half = radius * torch.rand(1, sizes[0], generator=generator).double()
    region = box_region(graph, center - half, center + half)
    return generator, graph, refine_ranges(graph, region)


def within(values, low, high):
    return all(a <= v <= b for a, v, b in zip(rational(low), values, rational(high), strict=True))


def hold_all_points(generator, graph, region, regions):
    """Assert that ranges of regions hold what arrives at points of one."""
    for x in points(generator, region.lower, region.upper, 60):
        values = evaluate(graph, x)
        for one in regions:
            for k, index in enumerate(graph.activations):
                value = values[graph.nodes[index].operands[0]]
                assert within(value, one.range_lower[k][0], one.range_upper[k][0])


@pytest.mark.parametrize("seed", [*range(16), 24, 25, 26])
def test_ranges_hold_every_point(seed):
    generator, graph, region = prepared(seed, (4, 7, 7, 7, 2))
    refiner = SplitRefiner(graph)
    first = refiner.refine(region, 0.05)
    regions = [first, refiner.refine(first, math.inf)]
    hold_all_points(generator, graph, region, regions)


@pytest.mark.parametrize("seed", range(12))
def test_searches_that_begin_with_slopes_hold_every_point(seed):
    """Slopes that were found on larger ranges, of some ends, or anything at all."""
    generator, graph, region = prepared(seed, (4, 7, 7, 7, 2))
    begun, told = BegunEnds(1 << 20), []
    smaller = refine_by_alpha(graph, region, 3, math.inf, listen=told.append)
    for ends in told:
        wild = torch.where(torch.rand(ends.slope.shape, generator=generator) < 0.3, 5.0, ends.slope)
        begun.sloped(ends if seed % 3 else SlopedEnds(ends.k, ends.feature, ends.upper, ends.open, wild, ends.bound))
    refiner = SplitRefiner(graph)
    refiner.begin_with(begun)
    first = refiner.refine(smaller, 0.05)
    regions = [first, refiner.refine(first, math.inf)]
    hold_all_points(generator, graph, region, regions)


@pytest.mark.parametrize("seed", range(8))
def test_a_search_may_stop_anywhere(seed):
    generator, graph, region = prepared(seed, (4, 8, 8, 6, 1))
    k = 2
    part = prefix(graph, region, k, torch.arange(6))
    search = EndSearch(
        SignDual.of(part.graph, part.region),
        region.range_lower[k][0, part.feature],
        region.range_upper[k][0, part.feature],
    )
    sampled = list(points(generator, region.lower, region.upper, 40))
    true = [evaluate(graph, x)[graph.nodes[graph.activations[k]].operands[0]] for x in sampled]
    ends = torch.arange(2 * len(part.feature))
    before = search.bound.clone()
    for most in (1, 2, 3, 5, 9):
        search.run(ends[most % 2 :: 2], most, math.inf)
        assert bool((search.bound <= before).all())
        before = search.bound.clone()
        n = len(part.feature)
        for value in true:
            picked = [value[i] for i in part.feature.tolist()]
            assert within(picked, -search.bound[n:], search.bound[:n])


def test_a_search_that_comes_to_its_end_is_tight():
    """Of features with both signs, by linear programs over all patterns of activity."""
    highspy = pytest.importorskip("highspy")
    from soundness.test_real_search import _largest_on

    tried = 0
    for seed in range(0, 12, 4):
        _, graph, region = prepared(seed, (3, 4, 4, 3, 1))
        refined = SplitRefiner(graph).refine(region, math.inf)
        k = 2
        for feature in range(3):
            low, high = float(refined.range_lower[k][0, feature]), float(refined.range_upper[k][0, feature])
            if not low < 0 < high:
                continue
            part = prefix(graph, region, k, torch.arange(3))
            lower, upper = region.lower[0], region.upper[0]
            one = prefix_output(part.graph, feature)
            hidden = sum(part.graph.nodes[i].size for i in part.graph.activations)
            best = [_largest_on(highspy, one, lower, upper, pattern) for pattern in range(1 << hidden)]
            truth = max(value for value in best if value is not None)
            width = float(region.range_upper[k][0, feature] - region.range_lower[k][0, feature])
            assert truth - 1e-6 <= high <= truth + 0.03 * width + 1e-6
            tried += 1
    assert tried


def prefix_output(graph, feature):
    """The graph with one of its outputs."""
    from dataclasses import replace

    from netproof.graph.graph import Graph
    from netproof.operators.affine.linear import Linear

    last = graph.nodes[-1]
    row = Linear(last.operator.weight[[feature]], last.operator.bias[[feature]])
    return Graph(graph.arithmetic, (*graph.nodes[:-1], replace(last, operator=row, shape=(1,))))


@pytest.mark.parametrize("seed", range(12))
def test_prefixes_have_the_same_values(seed):
    generator, graph, region = prepared(seed, (4, 6, 5, 5, 2), radius=0.3)
    for k in range(1, len(graph.activations)):
        size = graph.nodes[graph.activations[k]].size
        part = prefix(graph, region, k, torch.arange(size)[:: 1 + seed % 2])
        for x in points(generator, region.lower, region.upper, 10):
            whole = evaluate(graph, x)[graph.nodes[graph.activations[k]].operands[0]]
            assert evaluate(part.graph, x)[-1] == [whole[i] for i in part.feature.tolist()]


def test_prefixes_keep_what_offsets_and_weights_are_off_by():
    from netproof.graph.graph import Arithmetic, GraphBuilder
    from netproof.operators.activations.relu import ReLU
    from netproof.operators.affine.linear import Linear

    builder = GraphBuilder(Arithmetic.REAL, (2,))
    first = Linear(double([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), double([0.0, -9.0, 0.0]), 3, double([0.1, 0.2, 0.3]))
    at = builder.add("one", first, builder.input)
    at = builder.add("relu", ReLU(), at)
    at = builder.add("two", Linear(double([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), double([0.5, 0.25]), 2), at)
    at = builder.add("relu", ReLU(), at)
    builder.add("three", Linear(double([[1.0, 1.0]]), double([0.0])), at)
    graph = builder.build()
    region = box_region(graph, double([[-1.0, -1.0]]), double([[1.0, 1.0]]))
    part = prefix(graph, region, 1, torch.tensor([1]))
    kept, last = part.graph.nodes[1].operator, part.graph.nodes[3].operator
    assert kept.roundings == 3
    assert kept.bias_error.tolist() == [0.1, 0.3]
    assert last.roundings == 2
    assert last.weight.tolist() == [[4.0, 6.0]]
    assert part.feature.tolist() == [1]
    assert [(k, features.tolist()) for k, features in part.kept] == [(0, [0, 2])]


def test_a_search_without_time_starts_with_one_portion():
    _, graph, region = prepared(3, (4, 8, 8, 6, 1))
    part = prefix(graph, region, 2, torch.arange(6))
    low, high = (end[2][0, part.feature] for end in (region.range_lower, region.range_upper))
    search = EndSearch(SignDual.of(part.graph, part.region), low, high)
    search._rows = 2
    before, open_ends = search.bound.clone(), (~search.closed).nonzero()[:, 0]
    assert len(open_ends) > 2
    search.run(open_ends, 1, -math.inf)
    assert search.count == 2
    assert torch.equal(search.bound[open_ends[2:]], before[open_ends[2:]])
    search.run(open_ends, 8, math.inf)
    assert search.count > len(open_ends)  # the others had their turn
