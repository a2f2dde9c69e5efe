"""Searches go by bounds in float32; whatever float32 says, what is proven is evaluated in float64."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from netproof import Conjunction, Query, Settings, Verdict, verify
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.ends import end_search
from netproof.bounds.ends.end_search import EndSearch
from netproof.bounds.ends.refine_split import SplitRefiner
from netproof.bounds.multipliers.sign_steps import optimize_signs
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.ranges.prefix import prefix
from netproof.bounds.region import box_region
from netproof.conditions.conditions import Conditions
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.linear import Linear
from netproof.search.real import relu_split, rounds
from netproof.search.real.problem import Problem
from netproof.search.real.relu_split import ReluSplit
from soundness.real_networks import double, evaluate, network_of, random_graph, rational
from soundness.test_ranges_by_splits import hold_all_points, points, prepared, within

#: what a float32 that is off may say instead of a bound
WRONG = {
    "too low": lambda value: value - 3.0,
    "refuted": lambda value: torch.full_like(value, -1.0),
    "minus infinity": lambda value: torch.full_like(value, -math.inf),
    "too high": lambda value: value + 1.0,
    "infinite": lambda value: torch.full_like(value, math.inf),
    "every other one": lambda value: value - 2.0 * (torch.arange(len(value)) % 2),
}


def lying(wrong):
    def found(*arguments):
        choice, value = optimize_signs(*arguments)
        return choice, wrong(value)

    return found


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("seed", range(4))
def test_ranges_hold_every_point_whatever_float32_says(seed, kind, monkeypatch):
    monkeypatch.setattr(end_search, "optimize_signs", lying(WRONG[kind]))
    generator, graph, region = prepared(seed, (4, 7, 7, 7, 2))
    refiner = SplitRefiner(graph)
    first = refiner.refine(region, 0.05)
    hold_all_points(generator, graph, region, [first, refiner.refine(first, 0.2)])


@pytest.mark.parametrize("kind", WRONG)
def test_ends_are_proven_after_every_call(kind, monkeypatch):
    monkeypatch.setattr(end_search, "optimize_signs", lying(WRONG[kind]))
    generator, graph, region = prepared(4, (4, 8, 8, 6, 1))
    part = prefix(graph, region, 2, torch.arange(6))
    known = region.range_lower[2][0, part.feature], region.range_upper[2][0, part.feature]
    search = EndSearch(SignDual.of(part.graph, part.region), *known)
    search._rows = 8
    ends, n = torch.arange(2 * len(part.feature)), len(part.feature)
    at = graph.nodes[graph.activations[2]].operands[0]
    true = [evaluate(graph, x)[at] for x in points(generator, region.lower, region.upper, 40)]
    for most in (1, 3, 9, 27):
        search.run(ends, most, math.inf)
        for value in true:
            assert within([value[i] for i in part.feature.tolist()], -search.bound[n:], search.bound[:n])
    assert search.count > len(ends)


@pytest.mark.parametrize("outputs", [1, 40])
def test_ends_of_features_whose_sign_is_proven_are_proven_themselves(outputs, monkeypatch):
    """Once ``|x| + 1 / 8 > 0`` is proven the upper end is of no use, and is left as it is: not as float32 has it, which is too low."""
    monkeypatch.setattr(end_search, "optimize_signs", lying(lambda value: value - 0.5))
    monkeypatch.setattr(end_search, "END", replace(end_search.END, proven_first=1))
    builder = GraphBuilder(Arithmetic.REAL, (1,))
    both = builder.add("both", Linear(double([[1.0], [-1.0]]), double([0.0, 0.0])), builder.input)
    weight, bias = double([[1.0, 1.0]] * outputs), double([0.125] * outputs)
    builder.add("out", Linear(weight, bias), builder.add("relu", ReLU(), both))
    graph = builder.build()
    dual = SignDual.of(graph, box_region(graph, double([[-1.0]]), double([[1.0]])))
    search = EndSearch(dual, double([-1.0] * outputs), double([2.0] * outputs))
    # The first part that is proven, to see how long that takes, is of a lower end.
    search.run(torch.arange(2 * outputs).flip(0), 1, math.inf)
    assert bool(search.closed.all())
    assert bool((search.bound[:outputs] >= 1.125).all() and (search.bound[outputs:] >= -0.125).all())


def test_bounds_are_those_that_float64_gives():
    """Ends are the largest bounds of their parts, each of which is what its multipliers prove, or what was proven of its parents."""
    _, graph, region = prepared(4, (4, 8, 8, 6, 1))
    part = prefix(graph, region, 2, torch.arange(6))
    known = region.range_lower[2][0, part.feature], region.range_upper[2][0, part.feature]
    dual = SignDual.of(part.graph, part.region)
    search = EndSearch(dual, *known)
    search.keep(1 << 24)
    before = search.bound.clone()
    search.run(torch.arange(2 * len(part.feature)), 9, math.inf)
    parts, rounding = search.parts(), Rounding.of(part.graph, part.region)
    # Parts of an end that the other one has made needless stay as they were.
    parts = parts.take(~search.closed[parts.owner])
    assert bool((parts.value >= parts.proven).all())  # less would be float32's word
    choice, objective = parts.choice().to(torch.float64), search._objective(parts.owner, torch.float64)
    value = dual.bound(objective, parts.side, choice.alpha, choice.beta, rounding).value
    assert bool((parts.proven <= value + 1e-9 * value.abs()).all())
    assert float(((parts.proven - value).abs() <= 1e-9 * value.abs()).double().mean()) > 0.5
    worst = torch.full_like(before, -torch.inf).scatter_reduce(0, parts.owner, parts.proven, "amax")
    better = ~search.closed & (search.bound < before)
    assert int(better.sum()) > 4
    assert torch.equal(worst[better], search.bound[better])


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("seed", range(4))
def test_no_attained_threshold_is_refuted_whatever_float32_says(seed, kind, monkeypatch):
    monkeypatch.setattr(relu_split, "optimize_signs", lying(WRONG[kind]))
    monkeypatch.setattr(end_search, "optimize_signs", lying(WRONG[kind]))
    monkeypatch.setattr(rounds.ProgramSplit, "is_for", lambda *_: False)
    generator = torch.Generator().manual_seed(40 + seed)
    graph = random_graph(generator, (12, 10, 10, 2), activation=ReLU(), residual=bool(seed % 2))
    center = torch.randn(12, generator=generator).double()
    lower, upper = center - 0.3, center + 0.3
    x = lower + (upper - lower) * torch.rand(2000, 12, generator=generator, dtype=torch.float64).round()
    c = torch.tensor([[1.0, -1.0]]).double()
    best = x[int((graph.values(x)[-1] @ c[0]).argmax())]
    values = evaluate(graph, rational(best))[-1]
    attained = float(values[0] - values[1])

    def asked(threshold):
        conjunction = Conjunction(c, torch.tensor([threshold], dtype=torch.float64))
        query = Query(network_of(graph), lower, upper, (conjunction,), "asked")
        return verify(query, Settings(timeout=1.0, attack=False))

    assert asked(attained - 1e-6).verdict is not Verdict.UNSAT
    above = asked(attained + 50.0)
    assert above.verdict is Verdict.UNSAT


def test_the_bound_that_is_left_is_proven(monkeypatch):
    """However low float32's bounds are, what a search that is stopped reports holds at every point."""
    generator, graph, region = prepared(6, (4, 8, 8, 8, 2))
    c = torch.tensor([[1.0, -1.0]]).double()
    conditions = Conditions.of(graph, (Conjunction(c, torch.tensor([THRESHOLD], dtype=torch.float64)),))
    margins = [
        value[-1][0] - value[-1][1]
        for value in (evaluate(graph, x) for x in points(generator, region.lower, region.upper, 60))
    ]
    for kind in ("too low", "every other one"):
        monkeypatch.setattr(relu_split, "optimize_signs", lying(WRONG[kind]))
        for most in (1, 5, 20):
            search = ReluSplit(
                Problem(graph, conditions, None, 1 << 28), SignDual.of(graph, region), Rounding.of(graph, region)
            )
            found = search.run(torch.arange(1), math.inf, most)
            assert found.verdict is not Verdict.UNSAT
            # The condition is met where the margin is at least the threshold: the bound is of what is above it.
            assert found.bound is not None and max(margins) - THRESHOLD <= found.bound


def test_a_search_that_stops_drops_what_is_refuted_by_then(monkeypatch):
    """Float32 that is too high after the root keeps subproblems open which float64 refutes: no verdict is lost by that."""
    refuted = 0
    for seed in (4, 8, 12, 16, 24):
        _, graph, region = prepared(seed, (4, 8, 8, 8, 2))
        c = torch.tensor([[1.0, -1.0]]).double()
        dual, rounding = SignDual.of(graph, region), Rounding.of(graph, region)

        def searched(threshold, most, graph=graph, dual=dual, rounding=rounding, c=c):
            conditions = Conditions.of(graph, (Conjunction(c, torch.tensor([threshold], dtype=torch.float64)),))
            search = ReluSplit(Problem(graph, conditions, None, 1 << 28), dual, rounding)
            return search, search.run(torch.arange(1), math.inf, most)

        monkeypatch.setattr(relu_split, "optimize_signs", optimize_signs)
        first = searched(0.0, 1)[1].bound
        last = searched(0.0, 40)[1].bound
        if first is None or last is None or last >= first - 1e-3:
            continue
        calls = []

        def late(*arguments, calls=calls):
            choice, value = optimize_signs(*arguments)
            calls.append(1)
            return choice, value + 1000.0 * (len(calls) > 1)

        monkeypatch.setattr(relu_split, "optimize_signs", late)
        search, found = searched((first + last) / 2, 40)
        refuted += found.verdict is Verdict.UNSAT
        if len(search._tree):
            assert float(search._tree.peek(len(search._tree)).proven.min()) >= 0
        assert found.verdict is Verdict.UNSAT or found.bound >= 0
    assert refuted


@pytest.mark.parametrize("scale", [1e6, 1e7])
def test_where_float32_cancels_searches_go_on(scale, monkeypatch):
    """What float32 takes for good enough is proven on the way, and split further where it is not."""
    _, graph, region = prepared(4, (4, 8, 8, 6, 1))
    part = prefix(graph, region, 2, torch.arange(6))
    known = region.range_lower[2][0, part.feature], region.range_upper[2][0, part.feature]
    spent = []
    for wrong in (lambda value: value, lambda value: value - scale):
        monkeypatch.setattr(end_search, "optimize_signs", lying(wrong))
        search = EndSearch(SignDual.of(part.graph, part.region), *known)
        search.run(torch.arange(2 * len(part.feature)), 30, math.inf)
        spent.append((search.count, search.bound))
    assert spent[1][0] >= 0.5 * spent[0][0]
    assert bool((spent[1][1] <= spent[0][1] + 0.05 * spent[0][1].abs()).all())


#: far below what is attained anywhere, so that nothing is refuted
THRESHOLD = -1e6
