"""Bounds of real networks against rational arithmetic: nothing true may ever be cut off, however floats round."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch

from netproof.bounds.boxes import refine_with_account
from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import crown, evaluate_dual, given
from netproof.bounds.multipliers.signs import LEFT, RIGHT, WHOLE, SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges import refine, tiles
from netproof.bounds.ranges.forms import form_ranges
from netproof.bounds.ranges.refine import bound_features, refine_ranges
from netproof.bounds.ranges.tiles import Tile
from netproof.bounds.region import box_region, node_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.sum import Sum
from netproof.operators.hulls.kink_hull import KinkHull
from soundness.real_networks import double, dual_value, evaluate, random_graph, rational

KINDS = [
    {"spread": 0.0},
    {"spread": 8.0},
    {"spread": 16.0, "leaky": True},
    {"spread": 4.0, "residual": True},
]


def kind_of(seed: int) -> dict[str, object]:
    """What the network of a seed is like; from 24 on it has absolute values in it."""
    if seed < 24:
        return dict(KINDS[seed % len(KINDS)])
    return {"spread": 8.0 * (seed % 3), "residual": seed % 2 == 1, "activation": Abs()}


def cases(seed: int):
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, **kind_of(seed))
    center = torch.randn(1, 3, generator=generator).double()
    radius = torch.rand(1, 3, generator=generator).double() * 10.0 ** -(seed % 5)
    return generator, graph, center - radius, center + radius


def points(generator, lower, upper, count=30):
    spread = torch.rand(count, lower.shape[1], generator=generator, dtype=torch.float64)
    spread[: count // 2] = spread[: count // 2].round()
    for x in lower + spread * (upper - lower):
        yield [
            min(max(Fraction(v), Fraction(a)), Fraction(b))
            for v, a, b in zip(x.tolist(), lower[0].tolist(), upper[0].tolist(), strict=True)
        ]


@pytest.mark.parametrize("seed", range(30))
def test_ranges_hold_every_point(seed):
    generator, graph, lower, upper = cases(seed)
    region = box_region(graph, lower, upper)
    regions = {
        "interval": region,
        "forms": form_ranges(graph, region),
        "crown": refine_ranges(graph, region),
        "boxes": refine_with_account(graph, form_ranges(graph, region))[0],
    }
    intervals = node_intervals(graph, region)
    for x in points(generator, lower, upper):
        values = evaluate(graph, x)
        for (low, high), value in zip(intervals, values, strict=True):
            assert all(a <= v <= b for a, v, b in zip(rational(low[0]), value, rational(high[0]), strict=True))
        for name, one in regions.items():
            for k, index in enumerate(graph.activations):
                value = values[graph.nodes[index].operands[0]]
                ends = rational(one.range_lower[k][0]), rational(one.range_upper[k][0])
                assert all(a <= v <= b for a, v, b in zip(ends[0], value, ends[1], strict=True)), name


@pytest.mark.parametrize("seed", range(8))
def test_a_range_has_both_ends_refined_unless_one_settles_its_sign(seed):
    _, graph, lower, upper = cases(seed)
    region = box_region(graph, lower, upper)
    rounding = Rounding.of(graph, region)
    refined = refine_ranges(graph, region)
    for k, index in list(enumerate(graph.activations))[1:]:
        size = graph.nodes[index].size
        every = torch.zeros(size, dtype=torch.int64), torch.arange(size)
        operand = graph.nodes[index].operands[0]
        tile = Tile(Relaxation(graph, refined), rounding, torch.arange(size), operand)
        high, low = (sign * bound_features(tile, *every, double([sign] * size)) for sign in (1.0, -1.0))
        both = (refined.range_lower[k][0] < 0) & (refined.range_upper[k][0] > 0)
        slack = 1e-9 * (1 + high.abs() + low.abs())
        assert bool((~both | (refined.range_upper[k][0] <= high + slack)).all())
        assert bool((~both | (refined.range_lower[k][0] >= low - slack)).all())
        assert bool(
            (both | (high <= 0) | (low >= 0) | (region.range_lower[k][0] >= 0) | (region.range_upper[k][0] <= 0)).all()
        )


def test_threads_change_nothing(monkeypatch):
    monkeypatch.setattr(refine, "rows_at_once", lambda graph, **_: 2)
    _, graph, lower, upper = cases(20)
    region = box_region(graph, lower, upper)
    rounding = Rounding.of(graph, region)
    alone, together = (
        refine.refine_layer(graph, region, 1, rounding, refine.Limits(threads=threads)) for threads in (1, 3)
    )
    assert bool((alone.range_upper[1] < region.range_upper[1]).any())
    for first, second in zip(
        (alone.range_lower, alone.range_upper), (together.range_lower, together.range_upper), strict=True
    ):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def convolutional_graph(generator):
    """A residual network of three ReLUs on maps of 6 x 6 and 3 x 3."""

    def convolution(shape, outputs, stride):
        weight = torch.randn(outputs, shape[0], 3, 3, generator=generator).float().double() / 3
        bias = torch.randn(outputs, generator=generator).float().double() / 3
        return Convolution(weight, bias, shape, (stride, stride), ((1, 1), (1, 1)), (1, 1))

    builder = GraphBuilder(Arithmetic.REAL, (1, 2, 6, 6))
    stem = builder.add("stem", convolution((2, 6, 6), 4, 1), builder.input)
    top = builder.add("relu 1", ReLU(), stem)
    second = builder.add("second", convolution((4, 6, 6), 4, 1), top)
    total = builder.add("sum", Sum((1, 1)), second, top)
    middle = builder.add("relu 2", ReLU(), total)
    third = builder.add("third", convolution((4, 6, 6), 5, 2), middle)
    builder.add("relu 3", ReLU(), third)
    return builder.build()


@pytest.mark.parametrize("seed", range(6))
def test_bounds_by_tiles_are_those_of_the_whole_graph(monkeypatch, seed):
    generator = torch.Generator().manual_seed(seed)
    graph = convolutional_graph(generator)
    center = torch.rand(2, graph.input.size, generator=generator).double()
    region = box_region(graph, center - 0.1, center + 0.1)
    whole = refine_ranges(graph, region)
    monkeypatch.setattr(tiles, "REFINE", replace(tiles.REFINE, tile_rows=1, tile_work=1))
    last = graph.nodes[graph.activations[-1]].operands[0]
    assert len(tiles.groups(graph, last, torch.arange(graph.nodes[last].size))) > 4
    tiled = refine_ranges(graph, region)
    x = center.repeat(50, 1) + 0.2 * (torch.rand(100, graph.input.size, generator=generator).double() - 0.5)
    values = graph.values(x)
    for k, index in enumerate(graph.activations):
        a = values[graph.nodes[index].operands[0]].reshape(50, 2, -1)
        assert bool((a >= tiled.range_lower[k]).all()) and bool((a <= tiled.range_upper[k]).all())
        for one, other in ((tiled.range_lower[k], whole.range_lower[k]), (tiled.range_upper[k], whole.range_upper[k])):
            assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)
    assert bool((tiled.range_upper[2] < region.range_upper[2]).any())


def test_nothing_is_lost_at_a_deadline():
    _, graph, lower, upper = cases(4)
    region = box_region(graph, lower, upper)
    late = refine_ranges(graph, region, deadline=0.0)
    assert all(torch.equal(a, b) for a, b in zip(late.range_lower, region.range_lower, strict=True))


def test_no_crop_is_made_after_the_deadline(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    graph = convolutional_graph(generator)
    center = torch.rand(1, graph.input.size, generator=generator).double()
    region = box_region(graph, center - 0.1, center + 0.1)
    cuts = []

    def counted(*what):
        cuts.append(what)
        return tiles.cut(*what)

    monkeypatch.setattr(tiles, "REFINE", replace(tiles.REFINE, tile_rows=1, tile_work=1))
    monkeypatch.setattr(refine, "cut", counted)
    monkeypatch.setattr(refine, "in_threads", lambda function, parts, threads: [function(part) for part in parts])
    # Time is up as soon as three crops have been made.
    monkeypatch.setattr(refine, "time", SimpleNamespace(monotonic=lambda: float(len(cuts))))
    refine_ranges(graph, region, deadline=3.0, propagate=lambda _, ranges: ranges)
    assert len(cuts) == 3


@pytest.mark.parametrize("left", [0.0, 0.125, 2.0])
def test_the_shortcut_for_settled_signs_is_the_same_line(left):
    generator = torch.Generator().manual_seed(3)
    low = torch.randn(1, 40, generator=generator).double()
    high = low + torch.rand(1, 40, generator=generator).double()
    v = torch.randn(6, 40, generator=generator).double()
    hull = KinkHull(low, high, left, 1.0)
    assert 0 < int(((low < 0) & (high > 0)).sum()) < 30
    s, value = hull.relax(v)
    rows = KinkHull(low.expand(6, -1), high.expand(6, -1), left, 1.0)
    expected, expected_value = rows.relax(v)
    assert torch.equal(s, expected)
    assert torch.allclose(value, expected_value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_the_rigorous_value_is_at_least_the_exact_one(seed):
    generator, graph, lower, upper = cases(seed)
    region = box_region(graph, lower, upper)
    region = refine_ranges(graph, region)
    rounding = Rounding.of(graph, region)
    relaxation = Relaxation(graph, region)
    c = torch.randn(1, 2, generator=generator).double()
    objective = Objective({len(graph.nodes) - 1: c}, torch.zeros(1, dtype=torch.float64))
    start = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
    for noise in (0.0, 0.3, 10.0):
        s = [m + noise * torch.randn(m.shape, generator=generator).double() * m.abs() for m in start.s]
        exact = dual_value(graph, region, [m[0] for m in s], rational(c[0]))
        upper_bound = evaluate_dual(relaxation, objective, given(s), rounding).value
        assert Fraction(float(upper_bound)) >= exact
        # And it is tight: the error term is of the order of float64's own rounding.
        size = (
            Fraction(rounding.gamma) * abs(exact)
            + Fraction(float(rounding.weigh(len(graph.nodes) - 1, c)))
            + sum(
                Fraction(float(rounding.weigh(graph.nodes[i].operands[0], m)))
                for i, m in zip(graph.activations, s, strict=True)
            )
        )
        assert Fraction(float(upper_bound)) - exact <= 4 * size
    lines = crown_lines(relaxation, objective, rounding)
    for x in points(generator, lower, upper, 10):
        y = evaluate(graph, x)[-1]
        assert sum(a * b for a, b in zip(rational(c[0]), y, strict=True)) <= Fraction(float(lines.value))


@pytest.mark.parametrize("seed", range(16))
def test_parts_of_a_region_keep_their_points(seed):
    generator, graph, lower, upper = cases(seed)
    region = box_region(graph, lower, upper)
    dual = SignDual.of(graph, region)
    rounding = Rounding.of(graph, region)
    rows = 8
    side = torch.randint(-1, 2, (rows, len(dual)), generator=generator).to(torch.int8)
    alpha = torch.rand(rows, len(dual), generator=generator, dtype=torch.float64) * 2 - 0.5
    beta = torch.randn(rows, len(dual), generator=generator).double()
    c = torch.randn(1, 2, generator=generator).double()
    objective = Objective({len(graph.nodes) - 1: c.expand(rows, -1)}, torch.zeros(rows, dtype=torch.float64))
    value = dual.bound(objective, side, alpha, beta, rounding).value
    for x in points(generator, lower, upper, 40):
        values = evaluate(graph, x)
        signs = torch.cat(
            [
                torch.tensor([(v > 0) - (v < 0) for v in values[graph.nodes[i].operands[0]]])[which]
                for i, which in zip(graph.activations, dual.index, strict=True)
            ]
        )
        reached = sum(a * b for a, b in zip(rational(c[0]), values[-1], strict=True))
        for row in range(rows):
            fits = (side[row] == WHOLE) | ((side[row] == LEFT) & (signs <= 0)) | ((side[row] == RIGHT) & (signs >= 0))
            if bool(fits.all()):
                assert reached <= Fraction(float(value[row]))


def cancelling(dtype=torch.float64):
    """``relu(1e8 x + 1) - relu(1e8 x) - 1 + 1e-9`` for positive ``x``: 1e-9, which float32 cannot see."""
    builder = GraphBuilder(Arithmetic.REAL, (1,))
    big = float(torch.tensor(1e8).float())
    tiny = float(torch.tensor(1e-9).float())
    at = builder.add("one", Linear(double([[big], [big]]), double([1.0, 0.0])), builder.input)
    at = builder.add("relu", ReLU(), at)
    builder.add("two", Linear(double([[1.0, -1.0]]), double([-1.0 + tiny])), at)
    return builder.build().to(dtype)


def test_cancellation_that_float32_gets_wrong():
    graph, light = cancelling(), cancelling(torch.float32)
    lower, upper = double([[0.5]]), double([[1.5]])
    region = box_region(graph, lower, upper)
    truth = evaluate(graph, [Fraction(1)])[-1][0]
    assert truth > 0
    objective = Objective({3: double([[1.0]])}, torch.zeros(1, dtype=torch.float64))
    rigorous = crown_lines(Relaxation(graph, region), objective, Rounding.of(graph, region)).value
    assert Fraction(float(rigorous)) >= truth
    light_region = region.to(torch.float32)
    naive = crown_lines(Relaxation(light, light_region), objective.to(torch.float32)).value
    assert Fraction(float(naive)) < truth  # a naive engine would report unsat here


def test_no_finite_bound_where_numbers_overflow():
    builder = GraphBuilder(Arithmetic.REAL, (1,))
    at = builder.add("one", Linear(double([[1e200]]), double([0.0])), builder.input)
    at = builder.add("relu", ReLU(), at)
    builder.add("two", Linear(double([[-1e200]]), double([0.0])), at)
    graph = builder.build()
    region = box_region(graph, double([[-1.0]]), double([[1.0]]))
    objective = Objective({3: double([[1.0]])}, torch.zeros(1, dtype=torch.float64))
    value = crown_lines(Relaxation(graph, region), objective, Rounding.of(graph, region)).value
    assert not bool(torch.isfinite(value).any()) or float(value) >= 0
