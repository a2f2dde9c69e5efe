"""Cases decided before and behind a layer of few neurons: nothing that holds anywhere is refuted, and what only ranges keep open is."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import pytest
import torch

from netproof import Verdict
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import box_region
from netproof.conditions.conditions import Conditions
from netproof.effort.real import InterpolantEffort
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.affine.sum import Sum
from netproof.query import Conjunction
from netproof.search.real.interpolants import search as interpolants
from netproof.search.real.interpolants.before import Before
from netproof.search.real.interpolants.search import InterpolantSearch
from netproof.search.real.interpolants.separate import Halfspace, Points, least_on, separate
from netproof.search.real.interpolants.tail import Cover, Tail
from netproof.search.real.problem import Problem
from netproof.search.real.programs.leaf import leaf_solver
from soundness.real_networks import double, random_graph

SIZES = (3, 10, 3, 12, 2)


@pytest.fixture(scope="module")
def solver():
    with leaf_solver(1 << 28) as process:
        yield process


def network(seed, sizes=SIZES, half=0.5):
    """A network with a narrow layer, a region of it, and points of the region."""
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, sizes)
    center = torch.randn(1, sizes[0], generator=generator).double()
    region = refine_ranges(graph, box_region(graph, center - half, center + half))
    x = center + half * (2 * torch.rand(4000, sizes[0], generator=generator).double() - 1)
    return graph, region, torch.cat([x, region.lower, region.upper, center])


def said_of_outputs(graph, thresholds):
    """Cases ``direction . y >= threshold``, given by directions and thresholds."""
    return Conditions.of(graph, [Conjunction(double([direction]), double([at])) for direction, at in thresholds])


def covers(seed, boxes=40, n=4):
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(boxes, n, generator=generator).double() * 2
    high = low + torch.rand(boxes, n, generator=generator).double() * (torch.rand(boxes, n, generator=generator) > 0.2)
    slope = torch.randn(boxes, n, generator=generator).double() * (torch.rand(boxes, n, generator=generator) > 0.2)
    middle = (slope * (low + high) / 2).sum(1)
    offset = torch.randn(boxes, generator=generator).double() * 0.3 - middle
    return generator, Cover(torch.zeros(boxes, dtype=torch.int64), low, high, slope, offset)


@pytest.mark.parametrize("seed", range(12))
def test_the_least_value_on_a_cut_box(seed):
    """No point of a box at which its line is at least 0 has less, and the one that is said to be the least has hardly more."""
    generator, cover = covers(seed)
    a = torch.randn(cover.low.shape[1], generator=generator).double()
    if seed % 3 == 0:
        a[0] = 0.0
    least = least_on(cover, a)
    z = cover.low + (cover.high - cover.low) * torch.rand(3000, *cover.low.shape, generator=generator).double()
    corners = torch.where(torch.rand(3000, *cover.low.shape, generator=generator) > 0.5, cover.low, cover.high)
    z = torch.cat([z, corners])
    on = (z * cover.slope).sum(-1) + cover.offset >= 0
    attained = torch.where(on, (z * a).sum(-1), torch.inf).amin(0)
    assert bool((least.value <= attained).all())
    some = on.any(0)
    assert bool(((least.point * cover.slope).sum(1) + cover.offset >= -1e-12)[some].all())
    assert torch.allclose((least.point @ a)[some], least.value[some], atol=1e-10)
    assert bool((least.point >= cover.low - 1e-12).all()) and bool((least.point <= cover.high + 1e-12).all())


@pytest.mark.parametrize("seed", range(6))
def test_what_a_half_space_says_of_single_values(seed):
    generator, cover = covers(seed, boxes=1, n=3)
    a, b = torch.randn(3, generator=generator).double(), float(torch.randn(1, generator=generator))
    found = Halfspace(a, b, 1.0, torch.ones(1, dtype=torch.bool), cover.low[0], cover.high[0])
    low, high = found.confined(cover.low[0] - 1, cover.high[0] + 1)
    z = cover.low[0] + (cover.high[0] - cover.low[0]) * torch.rand(5000, 3, generator=generator).double()
    z = z[z @ a + b >= 0]
    assert bool((z >= low).all()) and bool((z <= high).all())
    assert bool((low >= cover.low[0]).all()) and bool((high <= cover.high[0]).all())


def test_values_that_overflow_say_nothing():
    _, cover = covers(1)
    for part in (cover.slope, cover.offset, cover.high):
        for value in (math.inf, math.nan):
            kept = part.clone()
            part[:5] = value
            said = least_on(cover, torch.ones(4, dtype=torch.float64)).value[:5]
            assert bool((said <= (cover.low[:5]).sum(1) + 1e-9).all())
            part.copy_(kept)


@pytest.mark.parametrize("seed", range(8))
def test_a_cover_has_all_values_for_which_a_case_holds(seed):
    """And cases of several constraints, and boxes of all sizes."""
    graph, region, x = network(seed)
    y = graph.evaluate(x)
    direction = [[1.0, -1.0], [0.3, 1.0]]
    top = (y @ double(direction).T).quantile(0.7, 0)
    constraints = Conditions.of(
        graph, [Conjunction(double(direction), top), Conjunction(double(direction[:1]), top[:1])]
    )
    tail = Tail.of(graph, region, 1, constraints)
    assert tail is not None
    z = (
        tail.region.lower
        + (tail.region.upper - tail.region.lower)
        * torch.rand(3000, len(tail.feature), generator=torch.Generator().manual_seed(seed)).double()
    )
    z = torch.cat([z, graph.values(x)[graph.activations[1]][:, tail.feature]])
    # Ranges further behind are known, and values that would lead out of them are none.
    within = torch.ones(len(z), dtype=torch.bool)
    for k, (low, high) in enumerate(zip(tail.region.range_lower, tail.region.range_upper, strict=True)):
        incoming = tail.graph.values(z)[tail.graph.nodes[tail.graph.activations[k]].operands[0]]
        within &= ((incoming >= low) & (incoming <= high)).all(1)
    z = z[within]
    case = torch.arange(2)
    cover = tail.cover(case, *(end.expand(2, -1) for end in (tail.region.lower, tail.region.upper)))
    for _ in range(6):
        for one in (0, 1):
            holds = (constraints.margins(z, tail.graph.evaluate(z), torch.full((len(z),), one)) >= 0).all(1)
            mine = cover.take(cover.case == one)
            inside = (z[holds][:, None] >= mine.low).all(-1) & (z[holds][:, None] <= mine.high).all(-1)
            inside &= (z[holds][:, None] * mine.slope).sum(-1) + mine.offset >= 0
            assert bool(inside.any(1).all())
        cover = tail.cover(*cover.halves())
    assert bool((tail.graph.evaluate(graph.values(x)[graph.activations[1]][:, tail.feature]) - y).abs().max() < 1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_what_is_asked_of_the_part_before_is_no_less_than_the_form(seed):
    graph, region, x = network(seed)
    generator = torch.Generator().manual_seed(seed)
    values = graph.values(x)
    feature = (region.range_upper[1][0] > 0).nonzero()[:, 0]
    a = torch.randn(len(feature), generator=generator).double()
    incoming = values[graph.nodes[graph.activations[1]].operands[0]][:, feature]
    for below in (torch.zeros(len(feature), dtype=torch.bool), torch.ones(len(feature), dtype=torch.bool)):
        before = Before.of(graph, region, 1, (feature, a), below)
        asked = before.graph.evaluate(x[:, before.inputs])[:, 0]
        form = incoming.clamp(min=0) @ a
        assert bool((asked >= form - 1e-12).all())
        if not bool(below.any()):
            assert torch.allclose(asked, form, atol=1e-12)
        else:
            straight = incoming.clamp(min=0) @ a.clamp(min=0) + incoming @ a.clamp(max=0)
            assert torch.allclose(asked, straight, atol=1e-12)


def decided(graph, region, constraints, solver, case=None):
    problem = Problem(graph, constraints, None, 1 << 28)
    case = torch.arange(len(constraints)) if case is None else case
    return InterpolantSearch(problem, region, solver).run(case, math.inf, 5.0)


@pytest.mark.parametrize("seed", range(24))
def test_what_is_attained_is_never_refuted_and_what_is_not_often_is(seed, solver):
    graph, region, x = network(seed)
    y = graph.evaluate(x)
    directions = double([[1.0, -1.0], [0.5, 1.0], [-1.0, 0.2]])
    top = (y @ directions.T).amax(0)
    spread = top - (y @ directions.T).amin(0)
    attained = said_of_outputs(graph, [(d, t) for d, t in zip(directions.tolist(), top.tolist(), strict=True)])
    for k in range(3):
        assert decided(graph, region, attained, solver, torch.tensor([k])).verdict is not Verdict.UNSAT
    # One that is attained among two that are not.
    for k in range(3):
        shift = [0.0 if i == k else 0.7 * float(s) for i, s in enumerate(spread)]
        mixed = said_of_outputs(
            graph, [(d, float(t) + s) for d, t, s in zip(directions.tolist(), top, shift, strict=True)]
        )
        found = decided(graph, region, mixed, solver)
        assert found.verdict is Verdict.UNKNOWN
        assert k in found.left.tolist()


def test_most_of_what_is_far_from_attained_is_refuted(solver):
    refuted = 0
    for seed in range(24):
        graph, region, x = network(seed)
        y = graph.evaluate(x)
        directions = double([[1.0, -1.0], [0.5, 1.0], [-1.0, 0.2]])
        values = y @ directions.T
        far = values.amax(0) + 0.5 * (values.amax(0) - values.amin(0))
        cases = said_of_outputs(graph, list(zip(directions.tolist(), far.tolist(), strict=True)))
        refuted += decided(graph, region, cases, solver).verdict is Verdict.UNSAT
    assert refuted >= 12


@pytest.mark.parametrize("seed", range(8))
def test_what_is_known_of_one_case_is_used_for_another_only_where_it_was_shown(seed, solver, monkeypatch):
    """Half-spaces are shown to be free of values between the ends of a cover: boxes that reach beyond these stay open."""
    graph, region, x = network(seed)
    constraints = said_of_outputs(graph, [([1.0, -1.0], float((graph.evaluate(x) @ double([1.0, -1.0])).amax()))])
    search = InterpolantSearch(Problem(graph, constraints, None, 1 << 28), region, solver)
    (tail,) = search._tails
    low, high = tail.region.lower[0], tail.region.upper[0]
    every = Halfspace(torch.zeros(len(low), dtype=torch.float64), 1.0, 1.0, torch.ones(1, dtype=torch.bool), low, high)
    assert len(search._open(tail, torch.zeros(1, dtype=torch.int64), low[None], high[None]))
    search._known[tail.k].append(every)
    assert not len(search._open(tail, torch.zeros(1, dtype=torch.int64), low[None], high[None]))
    inner = Halfspace(every.a, 1.0, 1.0, every.binding, low, (low + high) / 2)
    search._known[tail.k][:] = [inner]
    assert len(search._open(tail, torch.zeros(1, dtype=torch.int64), low[None], high[None]))


def test_a_search_that_comes_upon_a_value_learns_from_it(solver, monkeypatch):
    """Half-spaces that leave out few points are asked for again with those that searches came upon."""
    monkeypatch.setattr(interpolants, "INTERPOLANT", InterpolantEffort(points=1))
    learned = []
    known = InterpolantSearch._learn
    monkeypatch.setattr(InterpolantSearch, "_learn", lambda self, found: (learned.append(1), known(self, found)))
    for seed in range(24):
        graph, region, x = network(seed)
        top = float((graph.evaluate(x) @ double([1.0, -1.0])).amax())
        assert decided(graph, region, said_of_outputs(graph, [([1.0, -1.0], top)]), solver).verdict is Verdict.UNKNOWN
    assert learned


def test_half_spaces_hold_the_cover_and_leave_out_points(solver):
    found = 0
    for seed in range(20):
        generator, cover = covers(seed, boxes=10, n=3)
        incoming = torch.rand(30, 3, generator=generator).double() + double([4.0, -2.0, 1.0])
        points = Points.of(incoming, double([-1.0, -3.0, -1.0]), double([6.0, 3.0, 3.0]))
        one = separate(cover, points, solver, math.inf)
        if one is None or one.gap <= 0:
            continue
        found += 1
        z = cover.low + (cover.high - cover.low) * torch.rand(2000, *cover.low.shape, generator=generator).double()
        on = (z * cover.slope).sum(-1) + cover.offset >= 0
        assert bool(((z @ one.a + one.b)[on] >= 0).all())
        assert bool((incoming.clamp(min=0) @ one.a + one.b <= -one.gap + 1e-12).all())
    assert found >= 10


def test_values_without_bounds_confine_nothing():
    low, high = double([0.0, 0.0]), double([math.inf, 2.0])
    found = Halfspace(double([1.0, -1.0]), 1.0, 1.0, torch.ones(1, dtype=torch.bool), low, high)
    assert [end.tolist() for end in found.confined(low, high)] == [low.tolist(), high.tolist()]


def test_no_half_space_where_nothing_is_asked_of_values(solver):
    """A box of one point, which is a value that is attained."""
    z = double([[1.0, 2.0]])
    cover = Cover(torch.zeros(1, dtype=torch.int64), z, z, double([[1.0, 0.0]]), double([0.0]))
    points = Points.of(z, z[0], z[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert separate(cover, points, solver, math.inf) is None


def test_layers_that_something_passes_by_are_left_alone():
    """A sum brings the input back in behind the first of two layers; behind the second everything comes from it alone."""
    plain, _, _ = network(1, (3, 3, 3, 2))
    builder = GraphBuilder(Arithmetic.REAL, (3,))
    at = [builder.input]
    for node in plain.nodes[1:4]:
        at.append(builder.add(node.name, node.operator, at[-1]))
    at.append(builder.add("sum", Sum((1, 1)), at[-1], builder.input))
    for node in plain.nodes[4:]:
        at.append(builder.add(node.name, node.operator, at[-1]))
    graph = builder.build()
    region = box_region(graph, -torch.ones(1, 3).double(), torch.ones(1, 3).double())
    cases = said_of_outputs(graph, [([1.0, 1.0], 1.0)])
    assert Tail.of(graph, region, 0, cases) is None
    assert Tail.of(graph, region, 1, cases) is not None
    speaks_of_inputs = replace(cases, inputs=torch.zeros(1, 1, 3, dtype=torch.float64))
    assert Tail.of(graph, region, 1, speaks_of_inputs) is None
    leaky = random_graph(torch.Generator().manual_seed(1), leaky=True)
    region = box_region(leaky, -torch.ones(1, 3).double(), torch.ones(1, 3).double())
    assert Tail.of(leaky, region, 0, said_of_outputs(leaky, [([1.0, 1.0], 1.0)])) is None
