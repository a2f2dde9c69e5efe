"""Features bounded in pairs: more than any value at a point, on all sign patterns, less than apart; and in searches."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
import torch

from netproof import Conjunction, Query, Settings, Verdict, verify
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.joint import fitting, pairing
from netproof.bounds.joint.fitting import Fitting
from netproof.bounds.joint.pairing import Pairing
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.prices import Pricing
from netproof.bounds.multipliers.sign_steps import Choice, optimize_signs
from netproof.bounds.multipliers.signs import LEFT, RIGHT, SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import Region, box_region
from netproof.conditions.conditions import Conditions
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.linear import Linear
from netproof.search.real import rounds
from netproof.search.real.problem import Problem
from netproof.search.real.relu_split import ReluSplit
from soundness.real_networks import evaluate, network_of, points, random_graph, rational

KINKS = [ReLU(), LeakyReLU(0.125), Abs(), LeakyReLU(-1024.0)]


def situation(seed, *, kink=None, radius=1.0):
    """A network, and its features in pairs that are good for the first output."""
    generator = torch.Generator().manual_seed(seed)
    activation = KINKS[seed % len(KINKS)] if kink is None else kink
    graph = random_graph(generator, (4, 9, 9, 2), activation=activation, residual=seed % 2 == 1)
    center = torch.randn(1, 4, generator=generator).double()
    region = refine_ranges(graph, box_region(graph, center - radius, center + radius))
    dual, rounding = SignDual.of(graph, region), Rounding.of(graph, region)
    objective = Objective(
        {len(graph.nodes) - 1: torch.tensor([[1.0, 0.0]]).double()}, torch.zeros(1, dtype=torch.float64)
    )
    side = torch.zeros(1, len(dual), dtype=torch.int8)
    alpha = dual.crown_alpha()[None]
    v = dual.bound(objective, side, alpha, torch.zeros_like(alpha)).v
    return graph, region, Pairing(dual, rounding).fit(dual, v, side, alpha, math.inf), rounding, objective, generator


def operands(graph, dual, values):
    """What arrives at unstable features, ``[B, m]``."""
    return torch.cat(
        [values[graph.nodes[i].operands[0]][:, w] for i, w in zip(graph.activations, dual.index, strict=True)], 1
    )


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 5, 7, 8, 10])
def test_bounds_hold_on_all_sign_patterns(seed):
    graph, region, dual, rounding, _, generator = situation(seed)
    assert sum(map(len, dual.pairs.values())) > 1
    c = torch.randn(32, 2, generator=generator).double()
    objective = Objective({len(graph.nodes) - 1: c}, torch.randn(32, generator=generator).double())
    x = points(region, generator, 2000)
    values = graph.values(x)
    reached = values[-1] @ c.T + objective.constant
    sides = torch.randint(-1, 2, (32, len(dual)), generator=generator).to(torch.int8)
    sides[:24] *= (torch.rand(24, len(dual), generator=generator) < 0.15).to(torch.int8)
    a = operands(graph, dual, values)
    alpha = torch.rand(32, len(dual), generator=generator).double() * 1.4 - 0.2
    # Of what is added to slopes of upper lines any amount is right.
    beta = torch.randn(32, len(dual), generator=generator).double()
    value = dual.bound(objective, sides, alpha, beta, rounding).value
    seen = 0
    for row in range(32):
        inside = (a * sides[row] >= 0).all(1)
        seen += int(inside.sum())
        assert bool((reached[inside, row] <= value[row]).all())
    assert seen > 2000
    # In float32 it is the same bound, which searches go by.
    close = dual.to(torch.float32).bound(objective.to(torch.float32), sides, alpha.float(), beta.float()).value
    torch.testing.assert_close(close.double(), value, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_octagons_hold_both_values_in_exact_arithmetic(seed):
    """At points of the box both values, their sum and their difference lie between those of the corners."""
    graph, region, dual, *_, generator = situation(seed)
    for x in points(region, generator, 12):
        values = evaluate(graph, rational(x))
        for k, pairs in dual.pairs.items():
            operand = values[graph.nodes[graph.activations[k]].operands[0]]
            features = dual.index[k][pairs.members].view(2, -1)
            for (i, j), corners in zip(features.T.tolist(), pairs.corners, strict=True):
                a, b = operand[i], operand[j]
                ends = [rational(part) for part in (*corners.unbind(1), corners.sum(1), corners[:, 0] - corners[:, 1])]
                for value, mine in zip((a, b, a + b, a - b), ends, strict=True):
                    assert min(mine) <= value <= max(mine)


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_is_that_of_its_own_numbers_in_exact_arithmetic(seed):
    """With multipliers as they are, ``phi`` of every pair is at least its function at points, in rational numbers."""
    graph, region, dual, *_, generator = situation(seed)
    for k, pairs in dual.pairs.items():
        v, s = (torch.randn(1, len(pairs.members), generator=generator).double() for _ in range(2))
        whole = torch.zeros(1, len(pairs.members), dtype=torch.int8)
        bound = pairs.largest(v, s, whole)[0] + pairs.error(v, s)
        left, right = (rational(slope) for slope in pairs.slopes)
        exact_v, exact_s, (limit,) = (rational(part.view(-1)) for part in (v, s, bound))
        for x in points(region, generator, 12):
            operand = evaluate(graph, rational(x))[graph.nodes[graph.activations[k]].operands[0]]
            a = [operand[i] for i in dual.index[k][pairs.members].tolist()]
            terms = zip(exact_v, exact_s, left, right, a, strict=True)
            assert sum(p * max(low * y, high * y) - q * y for p, q, low, high, y in terms) <= limit


@pytest.mark.parametrize("seed", range(6))
def test_pairs_are_better_than_features_apart(seed):
    _, _, dual, rounding, objective, _ = situation(seed, kink=ReLU())
    single = replace(dual, pairs={})
    side = torch.zeros(1, len(dual), dtype=torch.int8)
    start = Choice(dual.crown_alpha()[None], torch.zeros(1, len(dual)).double(), torch.zeros(1, 1).double())
    bounds, choice = [], start
    for one in (single, dual):
        # As a search does: with pairs it goes on from the slopes that are good for chords.
        choice, _ = optimize_signs(one, lambda rows, _: objective, side, choice, Until(200))
        bounds.append(float(one.bound(objective, side, choice.alpha, choice.beta, rounding).value))
    # At the first multipliers, those of chords, it is no worse already.
    at_chords = [float(one.bound(objective, side, start.alpha, start.beta).value) for one in (single, dual)]
    assert at_chords[1] <= at_chords[0] + 1e-12
    assert bounds[1] < bounds[0] - 1e-3


@pytest.mark.parametrize("spread", [0.0, 8.0])
def test_ends_of_sums_and_differences_hold_exact_values(spread):
    """On boxes that are next to points, far from 0, nothing but the account of rounding is between an end and what is attained."""
    asked = 0
    for seed in range(24):
        generator = torch.Generator().manual_seed(seed)
        graph = random_graph(generator, (3, 6, 6, 6, 2), spread=spread, residual=seed % 2 == 1)
        center = torch.randn(1, 3, generator=generator).double() * 1e4
        radius = float(center.abs().max()) * (1e-9 if seed % 3 else 0.5)
        region = refine_ranges(graph, box_region(graph, center - radius, center + radius))
        dual = SignDual.of(graph, region)
        found = Pairing(dual, Rounding.of(graph, region))
        values = [evaluate(graph, rational(x)) for x in points(region, generator, 4)]
        for k, which in enumerate(dual.index):
            pair = torch.arange(len(which) // 2 * 2).view(-1, 2)
            if not len(pair):
                continue
            largest, _ = found._largest(k, *pair.T, math.inf)
            operand = graph.nodes[graph.activations[k]].operands[0]
            for (i, j), ends in zip(which[pair].tolist(), largest, strict=True):
                sums = [(a + b, -a - b, a - b, b - a) for a, b in ((v[operand][i], v[operand][j]) for v in values)]
                assert all(
                    most <= end for most, end in zip(map(max, zip(*sums, strict=True)), rational(ends), strict=True)
                )
                asked += 1
    assert asked > 10


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_corners_hold_sums_of_ends_that_are_rounded(signs, monkeypatch):
    """``1 + 2^-60`` is 1 in float64, which is on the grid of corners: what is a little beyond has to be held all the same."""
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    at = builder.add("dense", Linear(torch.eye(2).double(), torch.zeros(2).double()), builder.input)
    builder.add("relu", ReLU(), at)
    graph = builder.build()
    end = torch.tensor([signs], dtype=torch.float64) * torch.tensor([[1.0, 2.0**-60]], dtype=torch.float64)
    other = -end.sign()
    low, high = torch.minimum(end, other), torch.maximum(end, other)
    region = Region(low, high, (low,), (high,))
    dual = SignDual.of(graph, region)
    monkeypatch.setattr(Pairing, "_worth", lambda *_: torch.ones(2, 2))
    # Without time nothing is known but what both ranges say.
    pairs = Pairing(dual, Rounding.of(graph, region))._fit(0, torch.ones(2).double(), slice(0, 2), -math.inf)
    a, b = rational(end[0])
    corners = [rational(corner) for corner in pairs.corners[0]]
    for p, q in ((1, 1), (1, -1)):
        assert min(p * x + q * y for x, y in corners) <= p * a + q * b <= max(p * x + q * y for x, y in corners)


def test_parts_without_a_corner_hold_no_point():
    """``a`` and ``a - 1`` are never on the left and on the right: that part is refuted whatever the objective is."""
    generator = torch.Generator().manual_seed(3)
    found = 0
    for seed in range(24):
        graph, region, dual, rounding, objective, _ = situation(seed, kink=ReLU(), radius=0.3)
        a = operands(graph, dual, graph.values(points(region, generator, 4000)))
        for begin, pairs in zip((0, dual.sizes[0]), (dual.pairs.get(0), dual.pairs.get(1)), strict=True):
            if pairs is None:
                continue
            for i, j in pairs.members.view(2, -1).T.tolist():
                for half, other in ((LEFT, LEFT), (LEFT, RIGHT), (RIGHT, LEFT), (RIGHT, RIGHT)):
                    side = torch.zeros(1, len(dual), dtype=torch.int8)
                    side[0, begin + i], side[0, begin + j] = half, other
                    nothing = torch.zeros(1, len(dual), dtype=torch.float64)
                    value = dual.bound(objective, side, nothing, nothing, rounding).value
                    if value == -math.inf:
                        found += 1
                        assert not bool((a * side >= 0).all(1).any())
    assert found > 3


@pytest.mark.parametrize("seed", range(6))
def test_what_is_attained_is_not_refuted_and_what_is_not_is(seed):
    """A search with pairs from the start, without attacks: thresholds next to the largest value among all sign patterns' corners."""
    generator = torch.Generator().manual_seed(50 + seed)
    graph = random_graph(generator, (3, 8, 8, 2), activation=KINKS[seed % 3], residual=seed % 2 == 0)
    network = network_of(graph)
    center = torch.randn(1, 3, generator=generator).double()
    lower, upper = (center - 0.5)[0], (center + 0.5)[0]
    c = torch.tensor([[1.0, -1.0]]).double()

    def found(threshold):
        condition = (Conjunction(c, torch.tensor([threshold], dtype=torch.float64)),)
        region = refine_ranges(graph, box_region(graph, lower[None], upper[None]))
        dual, rounding = SignDual.of(graph, region), Rounding.of(graph, region)
        problem = Problem(graph, Conditions.of(graph, condition), None, 1 << 28)
        search = ReluSplit(problem, dual, rounding, fitting=Fitting(None, Pairing(dual, rounding)))
        return search.run(torch.tensor([0]), math.inf, 4000).verdict

    def honest(threshold):
        query = Query(network, lower, upper, (Conjunction(c, torch.tensor([threshold], dtype=torch.float64)),), "pairs")
        return verify(query, Settings(timeout=20)).verdict

    x = points(box_region(graph, lower[None], upper[None]), generator, 20000)
    attained = float((graph.values(x)[-1] @ c[0]).max())
    assert found(attained) is not Verdict.UNSAT
    above = attained + 0.05 * (1 + abs(attained))
    assert honest(above) is Verdict.UNSAT
    assert found(above) is Verdict.UNSAT


def test_searches_use_pairs_and_choose_them_anew(monkeypatch):
    """A search through the front door that needs them: they are fitted at the root, and once more for what stays open."""
    fitted = []
    own = pairing.Pairing.fit

    def counted(self, dual, v, side, alpha, deadline):
        fitted.append(len(side))
        return own(self, dual, v, side, alpha, deadline)

    monkeypatch.setattr(pairing.Pairing, "fit", counted)
    monkeypatch.setattr(fitting, "PLANE", replace(fitting.PLANE, first=2))
    monkeypatch.setattr(rounds, "ROUND", replace(rounds.ROUND, easy=1))
    monkeypatch.setattr(rounds, "PLANED", replace(rounds.PLANED, easy=0))
    monkeypatch.setattr(rounds.ProgramSplit, "is_for", lambda *_: False)
    monkeypatch.setattr(fitting, "PAIR", replace(fitting.PAIR, worth=0.0))
    generator = torch.Generator().manual_seed(1)
    graph = random_graph(generator, (12, 24, 24, 2), activation=ReLU(), residual=False)
    center = torch.randn(12, generator=generator).double()
    x = points(box_region(graph, (center - 0.7)[None], (center + 0.7)[None]), generator, 20000)
    c = torch.tensor([[1.0, -1.0]]).double()
    largest = float((graph.values(x)[-1] @ c[0]).max())
    threshold = largest + 0.1 * abs(largest) + 0.5
    query = Query(
        network_of(graph),
        center - 0.7,
        center + 0.7,
        (Conjunction(c, torch.tensor([threshold], dtype=torch.float64)),),
        "pairs",
    )
    found = verify(query, Settings(timeout=60))
    assert found.verdict is Verdict.UNSAT
    assert fitted[0] == 1 and max(fitted) > 1
    # With a record, of which certificates are made, too: it has the pairs, and leaves name them.
    fitted.clear()
    traced = verify(query, Settings(timeout=60, proofs=True))
    assert traced.verdict is Verdict.UNSAT and fitted[0] == 1 and traced.trace is not None
    named = {one.pairs for one in traced.trace.refuted.values()} - {0}
    assert named and max(named) <= len(traced.trace.pairs)


@pytest.mark.parametrize("planes", [False, True])
def test_searches_go_on_without_pairs_that_are_not_worth_it(planes, monkeypatch):
    """Where pairs have to take all of the bound off, none are kept, and planes stay in all activations that had them."""
    graph, region, dual, rounding, _, generator = situation(5, kink=ReLU(), radius=0.5)
    plain = replace(dual, pairs={})
    c = torch.ones(1, 1, graph.output.size, dtype=torch.float64)
    largest = float((graph.values(points(region, generator, 4000))[-1] @ c[0, 0]).max())
    threshold = torch.full((1, 1), largest, dtype=torch.float64)
    problem = Problem(graph, Conditions(graph, c, None, threshold), None, 1 << 28)
    monkeypatch.setattr(fitting, "PLANE", replace(fitting.PLANE, worth=0.0))
    seen = {}
    for worth in (0.0, 1.0):
        chosen = Fitting(Pricing(plain, rounding) if planes else None, Pairing(plain, rounding), worth)
        search = ReluSplit(problem, plain, rounding, fitting=chosen)
        search.run(torch.tensor([0]), time.monotonic() + 60, most=1)
        seen[worth] = chosen, search._dual
    chosen, kept = seen[1.0]
    assert not chosen.has_pairs and not kept.pairs
    assert chosen.has_planes == planes == bool(kept.planes)
    assert seen[0.0][0].has_pairs and set(kept.planes) >= set(seen[0.0][1].planes)
    assert planes or seen[0.0][1].pairs
