"""How far ends of ranges are searched for: to the sign where that is all that counts, and beyond it in layers of few features."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from netproof.bounds.ends import refine_split
from netproof.bounds.ends.end_search import EndSearch
from netproof.bounds.ends.refine_split import SplitRefiner
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.ranges.prefix import prefix
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import box_region
from netproof.effort.bounding import END, REFINE
from netproof.graph.graph import Graph
from netproof.operators.affine.linear import Linear
from soundness.real_networks import random_graph
from soundness.test_ranges_by_splits import hold_all_points


def plain(seed, sizes):
    """A network of ReLUs, its region, and what draws points in it."""
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, sizes)
    center, half = (
        torch.randn(1, sizes[0], generator=generator).double(),
        torch.full((1, sizes[0]), 0.4, dtype=torch.float64),
    )
    return generator, graph, refine_ranges(graph, box_region(graph, center - half, center + half))


def last_layer(seed):
    """The operands of a last activation as a graph of its own, with its region, and what is known of them."""
    _, graph, region = plain(seed, (3, 6, 6, 4, 1))
    part = prefix(graph, region, 2, torch.arange(4))
    return part, torch.stack([region.range_lower[2][0], region.range_upper[2][0]])


def searched(graph, region, known, *, far=False):
    """A search for all ends of a graph's outputs that came to its end, ``known`` being what was known of them."""
    search = EndSearch(SignDual.of(graph, region), *known)
    if far:
        search.go_far()
    search.tighten(torch.ones(known.shape[1], dtype=torch.bool), math.inf)
    return search


def tight(search):
    """Outputs of which both ends were found: programs would have to tell what steps leave open where nothing is left to split."""
    found = search.bound - search.attained <= END.nearer * search._width + 1e-5
    both = found.view(2, -1).all(0)
    assert bool(both.any())
    return both


def shifted(graph, by):
    """The graph with numbers added to its outputs."""
    node = graph.nodes[-1]
    moved = Linear(node.operator.weight, node.operator.bias + by)
    return Graph(graph.arithmetic, (*graph.nodes[:-1], replace(node, operator=moved)))


@pytest.mark.parametrize("seed", (3, 6, 9))
def test_an_end_just_below_zero_is_brought_there(seed):
    """Although what is good enough elsewhere would be above 0."""
    part, known = last_layer(seed)
    first = searched(part.graph, part.region, known, far=True)
    n = len(part.feature)
    by = -(first.attained[:n] + END.near / 2 * first._width[:n])
    search = searched(shifted(part.graph, by), part.region, known + by)
    assert bool((search.attained[:n] < 0).all())
    assert bool((search.bound[:n] <= 0)[tight(first)].all())


@pytest.mark.parametrize("seed", (3, 6, 9))
def test_ends_of_features_that_are_never_negative_are_searched_for_where_that_is_asked(seed):
    part, known = last_layer(seed)
    first = searched(part.graph, part.region, known, far=True)
    n = len(part.feature)
    # The lowest value is now some hundredths of what is known of the width.
    by = first.attained[n:] + 2 * END.near * first._width[n:]
    above = shifted(part.graph, by)
    plain, far = (searched(above, part.region, known + by, far=far) for far in (False, True))
    assert bool((plain.bound[n:] <= 0)[tight(first)].all())
    assert bool(tight(far)[tight(first)].all())
    assert bool((far.bound[n:] <= -END.near * far._width[n:])[tight(first)].all())
    assert far.is_far
    assert not plain.is_far


def test_nothing_more_is_asked_of_features_that_are_never_positive():
    part, known = last_layer(3)
    first = searched(part.graph, part.region, known, far=True)
    n = len(part.feature)
    by = -first.bound[:n] - 1.0
    search = searched(shifted(part.graph, by), part.region, known + by, far=True)
    assert bool(search.closed.all())
    assert bool((search.bound[:n] <= 0).all())
    # Lower ends would take as many parts again.
    assert search.count < first.count / 2


@pytest.mark.parametrize("seed", range(3))
def test_only_layers_of_few_features_are_searched_beyond_zero(seed, monkeypatch):
    generator, graph, region = plain(seed, (3, 6, 6, 8, 2))
    found = {}
    for narrow in (0, 8):
        monkeypatch.setattr(refine_split, "REFINE", replace(REFINE, narrow=narrow))
        found[narrow] = SplitRefiner(graph).refine(region, math.inf)
    hold_all_points(generator, graph, region, found.values())
    low, high, far = found[0].range_lower[2][0], found[0].range_upper[2][0], found[8].range_lower[2][0]
    never_negative = (low >= 0) & (high > 0)
    assert bool((far >= low)[never_negative].all())
    assert bool((far > low)[never_negative].any())


def test_a_layer_that_becomes_narrow_is_searched_anew(monkeypatch):
    """What its search before put aside was good enough then, and is not now."""
    _, graph, region = plain(1, (3, 6, 6, 4, 1))
    refiner = SplitRefiner(graph)
    monkeypatch.setattr(refine_split, "REFINE", replace(REFINE, narrow=0))
    first = refiner.refine(region, math.inf)
    assert not refiner._kept[2][1].is_far
    monkeypatch.setattr(refine_split, "REFINE", replace(REFINE, narrow=8))
    second = refiner.refine(first, math.inf)
    assert refiner._kept[2][1].is_far
    width = (first.range_upper[2] - first.range_lower[2]).sum()
    assert float((second.range_upper[2] - second.range_lower[2]).sum()) < float(width)
