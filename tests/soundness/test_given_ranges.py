"""Ranges of the last activation where a case holds: they hold at all inputs that meet it, and are smaller than others."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from netproof import Verdict
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.ranges import given
from netproof.bounds.ranges.given import ranges_given
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import box_region
from netproof.conditions.conditions import Conditions
from netproof.query import Conjunction
from netproof.search.real import rounds as rounds_
from netproof.search.real.problem import Problem
from netproof.search.real.rounds import Rounds
from soundness.real_networks import double, random_graph

CASE = torch.tensor([0])


def asked(seed, level, *, two=False, sizes=(4, 8, 8, 6, 2), **options):
    """A network on a box, a case that this share of the points does not meet, and the points."""
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, sizes, **options)
    center = torch.randn(1, sizes[0], generator=generator).double()
    region = refine_ranges(graph, box_region(graph, center - 0.5, center + 0.5))
    x = torch.cat([center + torch.rand(6000, sizes[0], generator=generator).double() - 0.5, region.lower, region.upper])
    y = graph.evaluate(x)
    directions = double([[1.0, -1.0], [0.2, 1.0]][: 1 + two])
    values = y @ directions.T
    at = values.amax(0) + (level - 1) * (values.amax(0) - values.amin(0)) if level > 1 else values.quantile(level, 0)
    constraints = Conditions.of(graph, [Conjunction(directions, at)])
    return graph, region, constraints, x[(values >= at).all(1)]


def last(graph, region, x):
    """What comes into the last activation at points, and its ranges."""
    operand = graph.nodes[graph.activations[-1]].operands[0]
    return graph.values(x)[operand], region.range_lower[-1][0], region.range_upper[-1][0]


def once(graph, region, constraints, deadline=math.inf, memory=1 << 28):
    """The region after one pass."""
    rounds = Rounds(Problem(graph, constraints, None, 1 << 28))
    dual, rounding = SignDual.of(graph, region), Rounding.of(graph, region)
    dual32 = dual.to(torch.float32)
    condition = rounds._condition((dual32, rounding), CASE, math.inf)
    return ranges_given(dual, rounding, replace(condition, size=max(condition.size, 1e-3)), dual32, deadline, memory)


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("level", [0.3, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_inputs_that_meet_a_case_are_within(seed, level, two):
    graph, region, constraints, x = asked(seed, level, two=two)
    found = once(graph, region, constraints)
    a, low, high = last(graph, found, x)
    assert bool((a >= low - 1e-12).all()) and bool((a <= high + 1e-12).all())
    assert bool((low >= region.range_lower[-1]).all()) and bool((high <= region.range_upper[-1]).all())
    for before, after in zip(region.range_lower[:-1], found.range_lower[:-1], strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize("options", [{"leaky": True}, {"residual": True, "sizes": (4, 6, 6, 6, 2)}, {"spread": 4.0}])
@pytest.mark.parametrize("seed", range(4))
def test_other_networks(seed, options):
    graph, region, constraints, x = asked(seed, 0.9, **options)
    a, low, high = last(graph, once(graph, region, constraints), x)
    size = 1e-12 * (1 + a.abs().amax(0))
    assert bool((a >= low - size).all()) and bool((a <= high + size).all())


def test_ranges_become_smaller():
    narrower = 0.0
    for seed in range(8):
        graph, region, constraints, _ = asked(seed, 1.0)
        found = once(graph, region, constraints)
        before, after = (float((one.range_upper[-1] - one.range_lower[-1]).sum()) for one in (region, found))
        narrower += 1 - after / before
    assert narrower / 8 > 0.1


@pytest.mark.parametrize("two", [False, True])
def test_several_passes_refute_nothing_that_holds_somewhere(two):
    narrower = 0
    for seed in range(16):
        graph, region, constraints, x = asked(seed, 0.9 if two else 1.0, two=two)
        if not len(x):
            continue
        rounds = Rounds(Problem(graph, constraints, None, 1 << 28))
        found = rounds._given(SignDual.of(graph, region), Rounding.of(graph, region), CASE, math.inf)
        assert found is not None
        a, low, high = last(graph, found[0].region, x)
        assert bool((a >= low - 1e-12).all()) and bool((a <= high + 1e-12).all())
        narrower += float((high - low).sum()) < 0.99 * float((region.range_upper[-1] - region.range_lower[-1]).sum())
    assert narrower >= (2 if two else 3)


def test_a_case_is_refuted_where_ranges_cross(monkeypatch):
    graph, region, constraints, _ = asked(1, 0.9)

    def crossing(dual, *_):
        low, high = dual.region.range_lower[2].clone(), dual.region.range_upper[2].clone()
        low[0, 0], high[0, 0] = 1.0, 0.5
        return dual.region.with_range(2, low, high)

    monkeypatch.setattr(rounds_, "ranges_given", crossing)
    rounds = Rounds(Problem(graph, constraints, None, 1 << 28))
    known = SignDual.of(graph, region), Rounding.of(graph, region)
    assert rounds._given(*known, CASE, math.inf) is None
    found = rounds._one_by_one(known, CASE, math.inf, math.inf, pairs=True)
    assert found.verdict is Verdict.UNSAT
    assert not found.subproblems


def test_without_features_to_bound_or_time_nothing_changes(monkeypatch):
    graph, region, constraints, _ = asked(1, 0.9)
    stable = region.with_range(
        2, region.range_lower[2].clamp(min=0), region.range_upper[2].maximum(region.range_lower[2].clamp(min=0))
    )
    assert once(graph, stable, constraints) is stable
    rounds = Rounds(Problem(graph, constraints, None, 1 << 28))
    dual, rounding = SignDual.of(graph, region), Rounding.of(graph, region)
    found = rounds._given(dual, rounding, CASE, -math.inf)
    assert found is not None and found[0] is dual


def test_ends_are_bounded_in_batches_as_memory_and_time_allow(monkeypatch):
    graph, region, constraints, x = asked(3, 0.9, sizes=(4, 8, 30, 2))
    rows, own = [], SignDual.bound

    def counted(self, objective, *arguments):
        rows.append(len(objective))
        return own(self, objective, *arguments)

    monkeypatch.setattr(SignDual, "bound", counted)
    known = once(graph, region, constraints)
    at_once = max(rows)
    rows.clear()
    few = once(graph, region, constraints, memory=1)
    assert max(rows) == 8 < at_once
    for found in (known, few):
        a, low, high = last(graph, found, x)
        assert bool((a >= low - 1e-12).all()) and bool((a <= high + 1e-12).all())
    late = once(graph, region, constraints, deadline=-math.inf)
    assert torch.equal(late.range_lower[-1], region.range_lower[-1])


def test_multipliers_that_are_no_numbers_prove_nothing(monkeypatch):
    graph, region, constraints, _ = asked(2, 0.9)
    known = given._weighed

    def broken(*arguments):
        weight, choice = known(*arguments)
        weight[::2] = math.nan
        weight[1::3] = math.inf
        return weight, choice

    monkeypatch.setattr(given, "_weighed", broken)
    found = once(graph, region, constraints)
    assert bool((found.range_lower[-1] >= region.range_lower[-1]).all())
    assert not bool(found.range_upper[-1].isnan().any())
