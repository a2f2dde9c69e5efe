"""Upper planes: above their neurons at every point, in every bound that uses them, and in searches."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from netproof import Conjunction, Query, Settings, Verdict, verify
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.joint import fitting
from netproof.bounds.multipliers import prices
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.planes import Planes, Product, Sparse
from netproof.bounds.multipliers.prices import Pricing
from netproof.bounds.multipliers.sign_steps import Choice
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import box_region
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.linear import Linear
from netproof.search.real import rounds
from soundness.real_networks import double, evaluate, network_of, points, random_graph, rational

KINKS = [ReLU(), LeakyReLU(0.125), Abs(), LeakyReLU(-1024.0)]


def situation(seed, *, chosen):
    """A network with planes in both of its activations: chosen for its first output, or with prices and ends of any size."""
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, (4, 7, 7, 2), activation=KINKS[seed % len(KINKS)], residual=seed % 2 == 1)
    center = torch.randn(1, 4, generator=generator).double()
    region = refine_ranges(graph, box_region(graph, center - 0.5, center + 0.5))
    dual = SignDual.of(graph, region)
    rounding = Rounding.of(graph, region)
    objective = Objective({len(graph.nodes) - 1: torch.tensor([[1.0, 0.0]])}, torch.zeros(1))
    if chosen:
        side = torch.zeros(1, len(dual), dtype=torch.int8)
        start = Choice(dual.crown_alpha()[None].float(), torch.zeros(1, len(dual)), torch.zeros(1, 1))
        made = Pricing(dual, rounding).fit(lambda *_: objective, side, start, Until(60))
    else:
        planes = {}
        for k, which in enumerate(dual.index):
            one = prices._MadeOf.of(dual, k)
            entries = sum(len(part.value) for part in one.weights.values())
            price = torch.randn(entries, generator=generator).double()
            ends = (torch.randn(len(which), generator=generator).double() for _ in range(2))
            planes[k] = prices._whole(dual, k, prices._priced(one, price), *ends, rounding)
        made = replace(dual, planes=planes)
    return graph, region, made, rounding, generator


@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_planes_lie_above_their_neurons(seed, chosen):
    graph, region, dual, _, generator = situation(seed, chosen=chosen)
    assert sorted(dual.planes) == [0, 1]
    for x in points(region, generator, 16):
        values = evaluate(graph, rational(x))
        for k, planes in dual.planes.items():
            above = rational(planes.offset)
            for node, one in planes.onto.items():
                for row, column, value in zip(one.row.tolist(), one.column.tolist(), rational(one.value), strict=True):
                    above[row] += value * values[node][column]
            gaps = [p - values[graph.activations[k]][j] for p, j in zip(above, dual.index[k].tolist(), strict=True)]
            assert min(gaps) >= 0


def test_features_that_are_constants_have_no_planes(monkeypatch):
    """A range of rounding's size that holds 0 is one of a feature that nothing before it changes."""
    graph, _, dual, rounding, _ = situation(0, chosen=True)
    found, second = prices.affine_map, graph.nodes[graph.activations[1]].operands[0]

    def constant(graph, node, which):
        whole = found(graph, node, which)
        return replace(whole, matrices={}) if node == second else whole

    monkeypatch.setattr(prices, "affine_map", constant)
    plain = replace(dual, planes={})
    assert prices._MadeOf.of(plain, 1) is None and len(Pricing(plain, rounding)) == 1


@pytest.mark.parametrize("seed", range(4))
def test_offsets_of_the_first_layer_are_maxima_over_corners(seed):
    """Where ends of ranges, which follow from the box there, have no price."""
    graph, region, dual, rounding, _ = situation(seed, chosen=True)
    nothing = torch.zeros(len(dual.index[0]), dtype=torch.float64)
    planes, which = prices._whole(dual, 0, dual.planes[0].onto, nothing, nothing, rounding), dual.index[0]
    (one,) = planes.onto.values()
    corners = [torch.stack(pair) for pair in zip(region.lower[0], region.upper[0], strict=True)]
    x = torch.stack([torch.stack(corner) for corner in itertools.product(*corners)])
    gap = graph.values(x)[graph.activations[0]][:, which] - x @ one.rows(torch.arange(len(which))).T
    torch.testing.assert_close(planes.offset, gap.amax(0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_bounds_hold_on_all_sign_patterns(seed, chosen):
    graph, region, dual, rounding, generator = situation(seed, chosen=chosen)
    c = torch.randn(24, 2, generator=generator).double()
    objective = Objective({len(graph.nodes) - 1: c}, torch.randn(24, generator=generator).double())
    x = points(region, generator, 300)
    values = graph.values(x)
    reached = values[-1] @ c.T + objective.constant
    sides = torch.randint(-1, 2, (24, len(dual)), generator=generator).to(torch.int8)
    sides[:12] *= (torch.rand(12, len(dual), generator=generator) < 0.2).to(torch.int8)
    a = torch.cat(
        [values[graph.nodes[i].operands[0]][:, w] for i, w in zip(graph.activations, dual.index, strict=True)], 1
    )
    alpha = torch.rand(24, len(dual), generator=generator).double() * 1.4 - 0.2
    beta = torch.rand(24, len(dual), generator=generator).double()
    value = dual.bound(objective, sides, alpha, beta, rounding).value
    seen = 0
    for row in range(24):
        inside = (a * sides[row] >= 0).all(1)
        seen += int(inside.sum())
        assert bool((reached[inside, row] <= value[row]).all())
    assert seen > 300
    # In float32 it is the same bound, which searches go by.
    close = dual.to(torch.float32).bound(objective.to(torch.float32), sides, alpha.float(), beta.float()).value
    torch.testing.assert_close(close.double(), value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_planes_that_were_chosen_are_better_than_chords(seed):
    graph, _, dual, rounding, _ = situation(seed, chosen=True)
    objective = Objective({len(graph.nodes) - 1: double([[1.0, 0.0]])}, torch.zeros(1, dtype=torch.float64))
    side, alpha = torch.zeros(1, len(dual), dtype=torch.int8), dual.crown_alpha()[None]
    chords = replace(dual, planes={}).bound(objective, side, alpha, torch.zeros_like(alpha), rounding).value
    assert float(dual.bound(objective, side, alpha, torch.zeros_like(alpha), rounding).value) < float(chords)


@pytest.mark.parametrize("scale", [1.0, 1e9, 1e15])
def test_rounding_of_planes_is_paid_for(scale):
    """Where shares are large and cancel, a bound stays above its value in fractions, and would not without the account."""
    generator = torch.Generator().manual_seed(3)
    builder = GraphBuilder(Arithmetic.REAL, (6,))
    nothing = torch.zeros(12, dtype=torch.float64)
    first = builder.add("first", Linear(torch.randn(12, 6, generator=generator).double(), nothing), builder.input)
    weight = torch.rand(1, 12, generator=generator).double() + 0.5
    builder.add("last", Linear(weight, nothing[:1]), builder.add("act", ReLU(), first))
    graph = builder.build()
    region = box_region(graph, -torch.ones(1, 6, dtype=torch.float64), torch.ones(1, 6, dtype=torch.float64) / 3)
    dual, rounding = SignDual.of(graph, region), Rounding.of(graph, region)
    assert len(dual) == 12
    c = torch.rand(40, 1, generator=generator).double() + 0.1
    short = 0
    for row in range(40):
        m = scale * torch.randn(12, 6, generator=generator).double()
        m[11] = -(weight[0, :11] @ m[:11]) / weight[0, 11]
        offset = scale * torch.randn(12, generator=generator).double()
        offset[11] = -(weight[0, :11] @ offset[:11]) / weight[0, 11]
        one = Sparse.of(m)
        size = offset.abs() + one.row_sums(rounding.magnitude[0])
        planed_dual = replace(dual, planes={0: Planes({0: one}, offset, size)})
        objective = Objective({3: c[row : row + 1]}, torch.zeros(1, dtype=torch.float64))
        side, alpha = torch.zeros(1, 12, dtype=torch.int8), torch.zeros(1, 12, dtype=torch.float64)
        value = planed_dual.bound(objective, side, alpha, alpha, rounding).value
        plain = planed_dual.bound(objective, side, alpha, alpha).value
        # What the objective itself may be off by is added to the account of the planes.
        off = replace(objective, error=torch.full((1,), 8.0 * scale, dtype=torch.float64))
        assert float(planed_dual.bound(off, side, alpha, alpha, rounding).value) >= float(value) + 7.9 * scale
        v = [Fraction(float(c[row])) * w for w in rational(weight[0])]
        exact = sum(a * b for a, b in zip(v, rational(offset), strict=True))
        for i, (low, high) in enumerate(zip(rational(region.lower[0]), rational(region.upper[0]), strict=True)):
            share = sum(a * Fraction(b) for a, b in zip(v, m[:, i].tolist(), strict=True))
            exact += max(share * low, share * high)
        assert Fraction(float(value)) >= exact
        short += Fraction(float(plain)) < exact
    assert short > 0


def test_a_sparse_product_is_the_dense_one():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(5, 9, generator=generator).double()
    matrix[torch.rand(5, 9, generator=generator) < 0.6] = 0.0
    matrix[2] = matrix[:, 4] = 0.0
    product = Product(Sparse.of(matrix))
    v = torch.randn(3, 5, generator=generator).double().requires_grad_(True)
    torch.testing.assert_close(product(v), v @ matrix)
    weights = torch.randn(3, 9, generator=generator).double()
    (slope,) = torch.autograd.grad((product(v) * weights).sum(), v)
    torch.testing.assert_close(slope, weights @ matrix.T)
    assert torch.equal(Sparse.of(matrix).rows(torch.arange(1, 4)), matrix[1:4])
    assert Product(Sparse.of(torch.zeros(5, 9).double()))(v.detach()).count_nonzero() == 0


def test_searches_with_planes_refute_nothing_that_is_attained(monkeypatch):
    monkeypatch.setattr(rounds.ProgramSplit, "is_for", lambda *_: False)
    monkeypatch.setattr(rounds, "ROUND", replace(rounds.ROUND, easy=1))
    monkeypatch.setattr(rounds, "PLANED", replace(rounds.PLANED, easy=0))
    monkeypatch.setattr(fitting, "PLANE", replace(fitting.PLANE, first=1, worth=-1.0))
    used, fit = [], Pricing.fit

    def counted(*arguments):
        used.append(fit(*arguments))
        return used[-1]

    monkeypatch.setattr(Pricing, "fit", counted)
    monkeypatch.setattr(Pricing, "promises", lambda *_: True)
    # They would leave nothing to planes in the last layer.
    monkeypatch.setattr(rounds.Rounds, "_given", lambda _, dual, rounding, *__: (dual, rounding))
    again = 0
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        graph = random_graph(generator, (10, 10, 8, 2), activation=KINKS[seed % len(KINKS)], residual=seed % 2 == 1)
        center = torch.randn(10, generator=generator).double()
        lower, upper = center - 0.7, center + 0.7
        x = lower + torch.rand(4000, 10, generator=generator).double().round() * (upper - lower)
        value = graph.evaluate(x)[:, 0]
        top = evaluate(graph, rational(x[value.argmax()]))[-1][0]
        attained = (
            float(top) if Fraction(float(top)) <= top else float(torch.nextafter(double(float(top)), double(-1e300)))
        )

        def asked(*rows, graph=graph, lower=lower, upper=upper):
            return Query(network_of(graph), lower, upper, tuple(Conjunction(double([c]), double([t])) for c, t in rows))

        short, settings = Settings(timeout=0.3, attack=False), Settings(timeout=600.0, attack=False)
        assert verify(asked(([1.0, 0.0], attained)), short).verdict is not Verdict.UNSAT
        beyond = float(top) + 0.15 * float(value.max() - value.min()) + 1e-6
        low = float(-value.min()) + 0.15 * float(value.max() - value.min()) + 1e-6
        used.clear()
        assert verify(asked(([1.0, 0.0], beyond), ([-1.0, 0.0], low)), settings).verdict is Verdict.UNSAT
        again += len(used) - 2
        assert all(len(dual.planes) == 2 for dual in used)
    assert again > 0  # for what stayed open after the roots of both cases
