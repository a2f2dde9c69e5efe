"""Shares that add up to 1: bounds that know it hold, are smaller, and account for what rounding can do."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from netproof.bounds.condensed import chains
from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import evaluate_dual
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.lines import leaning
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.forms import form_ranges, ranges_and_forms
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import box_region
from netproof.bounds.relaxation import Relaxation
from netproof.graph.crop import crop
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.pairs.product import Product
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.shares import Shares
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum
from soundness.attention_models import INPUTS, SCORES, TOKENS, attention, boxes

RUNS, COUNT = 3, 5


def shares(generator: torch.Generator, rows: int) -> list[list[list[Fraction]]]:
    """Rows of runs of shares of 1, exactly."""
    found = []
    for _ in range(rows):
        runs = []
        for _ in range(RUNS):
            parts = [Fraction(int(n)) for n in torch.randint(0, 1 << 20, (COUNT,), generator=generator)]
            if torch.rand(1, generator=generator) < 0.3:
                parts = [Fraction(0)] * (COUNT - 1) + [Fraction(1)]
            total = sum(parts) or Fraction(1)
            runs.append([part / total for part in parts] if sum(parts) else [Fraction(1), *parts[1:]])
        found.append(runs)
    return found


def around(points: list[list[list[Fraction]]], radius: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Ranges that hold the points, ``[rows, RUNS * COUNT]`` each."""
    numbers = torch.tensor([[float(p) for run in row for p in run] for row in points], dtype=torch.float64)
    return numbers - radius - 1e-15, numbers + radius + 1e-15


@pytest.mark.parametrize("radius", [0.0, 1e-3, 0.1, 2.0])
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e150])
def test_the_conjugate_is_never_below_what_shares_attain(radius, size):
    """In exact arithmetic: for multipliers of the hull's own, and for any others, of all sizes at once."""
    generator = torch.Generator().manual_seed(1)
    points = shares(generator, 15)
    lower, upper = around(points, radius)
    hull = Shares(COUNT).hull(lower, upper)
    draw = lambda: torch.randn(15, RUNS * COUNT, generator=generator, dtype=torch.float64)  # noqa: E731
    v = size * draw() * torch.where(draw() > 1, 1e9, 1.0) + 3 * size * draw()[:, :1]
    own, _ = hull.relax(v)
    for s in (own, v, torch.zeros_like(v), own + size * draw(), size * draw()):
        found = hull.conjugate(v, s).value
        for row, runs in enumerate(points):
            for number, run in enumerate(runs):
                at = slice(number * COUNT, (number + 1) * COUNT)
                price = [
                    Fraction(a) - Fraction(b) for a, b in zip(v[row, at].tolist(), s[row, at].tolist(), strict=True)
                ]
                attained = sum(c * p for c, p in zip(price, run, strict=True))
                assert sum(map(Fraction, found[row, at].tolist())) >= attained


def test_what_is_handed_on_is_what_coefficients_do_not_have_in_common():
    """A run whose coefficients are equal hands nothing on, and the bound is that number."""
    lower, upper = torch.zeros(1, RUNS * COUNT).double(), torch.ones(1, RUNS * COUNT).double()
    v = torch.tensor([[3.0] * COUNT + [-2.0] * COUNT + [0.5] * (COUNT - 1) + [7.0]]).double()
    s, value = Shares(COUNT).hull(lower, upper).relax(v)
    assert torch.equal(s, torch.tensor([[0.0] * (3 * COUNT - 1) + [6.5]]).double())
    assert float(value) == pytest.approx(1.5, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_common_is_no_larger_than_the_account_of_rounding_knows(seed):
    """``m sum u <= 2 sum |v| u`` of every run, with ranges and coefficients of many sizes."""
    generator = torch.Generator().manual_seed(seed)
    points = shares(generator, 50)
    lower, upper = around(points, float(10.0 ** -(seed % 8)))
    hull = Shares(COUNT).hull(lower, upper)
    v = torch.randn(50, RUNS * COUNT, generator=generator, dtype=torch.float64)
    v = v * 10.0 ** torch.randint(-12, 13, v.shape, generator=generator)
    common, u = hull.common(v), hull.upper
    sums = [(part).unflatten(-1, (RUNS, COUNT)).sum(-1) for part in (common.abs() * u, v.abs() * u)]
    assert bool((sums[0] <= 2 * sums[1] * (1 + 1e-12)).all())
    assert bool((u.unflatten(-1, (RUNS, COUNT)).sum(-1) >= 1).all())


@pytest.mark.parametrize("radius", [0.02, 0.1, 0.3])
def test_bounds_that_know_it_are_smaller_and_hold(radius):
    plain, graph = attention(11, 2.0), attention(11, 2.0, together=True)
    lower, upper = boxes(11, radius)
    c = torch.randn(8, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    t = torch.rand(400, INPUTS, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    t[::2] = t[::2].round()
    y = graph.evaluate(lower + t * (upper - lower))
    assert torch.allclose(y, plain.evaluate(lower + t * (upper - lower)))
    found = []
    for one in (plain, graph):
        region = refine_ranges(one, form_ranges(one, box_region(one, lower, upper)))
        objective = Objective({len(one.nodes) - 1: c}, torch.zeros(8, dtype=torch.float64))
        relaxation, rounding = Relaxation(one, region), Rounding.of(one, region)
        by_crown = crown_lines(relaxation, objective, rounding).value
        multipliers = leaning(relaxation, objective, Until(20))[0].multipliers()
        by_lines = evaluate_dual(relaxation, objective, multipliers, rounding).value
        for value in (by_crown, by_lines):
            assert bool(((c @ y.T).amax(1) <= value).all())
        found.append((by_crown, by_lines))
    # What values have in common is large here, and multiplied by every share alone in the plain graph.
    for before, after in zip(*found, strict=True):
        assert float((after < before - 1e-6).double().mean()) > 0.8


def test_a_sum_of_shares_is_known():
    """Of the shares themselves: their sum has no width."""
    builder = GraphBuilder(Arithmetic.REAL, (COUNT,))
    share = builder.add("shares", Shares(COUNT), builder.input)
    builder.add("sum", Linear(torch.ones(1, COUNT).double(), torch.zeros(1).double()), share)
    graph = builder.build()
    region = box_region(graph, torch.full((1, COUNT), 0.1).double(), torch.full((1, COUNT), 0.5).double())
    objective = Objective({2: torch.tensor([[1.0], [-1.0]]).double()}, torch.zeros(2).double())
    value = crown_lines(Relaxation(graph, region), objective, Rounding.of(graph, region)).value
    assert value.tolist() == [pytest.approx(1, abs=1e-9), pytest.approx(-1, abs=1e-9)]
    assert float(value[0]) >= 1 and float(value[1]) >= -1


@pytest.mark.parametrize("radius", [0.0, 1e-9, 0.05, 0.4])
def test_each_share_is_what_the_others_leave(radius):
    generator = torch.Generator().manual_seed(9)
    points = shares(generator, 60)
    lower, upper = around(points, radius)
    upper[:, ::COUNT] = lower[:, ::COUNT] + radius / 8 + 3e-15
    low, high = Shares(COUNT).output_range(lower, upper)
    for row, runs in enumerate(points):
        flat = [p for run in runs for p in run]
        if _all_in(flat, lower[row], upper[row]):
            assert _all_in(flat, low[row], high[row])
    assert bool((low >= lower).all()) and bool((high <= upper).all())
    ends = [[0.1, 0.6, 0.0, 0.0, 0.0]], [[0.2, 1.0, 0.1, 0.1, 0.05]]
    low, high = Shares(COUNT).output_range(*(torch.tensor(end, dtype=torch.float64) for end in ends))
    assert low[0].tolist() == pytest.approx([0.1, 0.6, 0, 0, 0], abs=1e-12)
    assert high[0].tolist() == pytest.approx([0.2, 0.9, 0.1, 0.1, 0.05], abs=1e-12)


def test_ends_that_are_as_close_as_floats_are_stay_outside():
    """What rounding can have taken from the sums of the others' ends is given back."""
    generator = torch.Generator().manual_seed(12)
    points = shares(generator, 400)
    numbers = [[p for run in row for p in run] for row in points]
    lower = torch.tensor([[_next(p, -1) for p in row] for row in numbers], dtype=torch.float64)
    upper = torch.tensor([[_next(p, 1) for p in row] for row in numbers], dtype=torch.float64)
    known = torch.rand(lower.shape, generator=generator) < 0.7
    low, high = Shares(COUNT).output_range(torch.where(known, lower, 0.0), torch.where(known, upper, 1.0))
    assert all(_all_in(row, low[i], high[i]) for i, row in enumerate(numbers))


def _next(number: Fraction, side: int) -> float:
    """The nearest float below (``side`` -1) or above a number, or itself."""
    near = float(number)
    if (Fraction(near) - number) * side >= 0:
        return near
    return math.nextafter(near, side * math.inf)


def test_forms_pass_through_shares_as_they_are():
    """Most of the whole being known: what a run has in common says nothing of one share."""
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    weight = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]).double()
    parts = builder.add("parts", Linear(weight, torch.tensor([0.125, 0.125, 0.25, 0.5]).double()), builder.input)
    share = builder.add("shares", Shares(4), parts)
    builder.add("times", Product(), builder.add("pairs", Select(torch.tensor([0, 2, 1, 3]), 4, (4,)), share))
    first = builder.add("first", Select(torch.tensor([0]), 4, (1,)), share)
    own = builder.add("own", Select(torch.tensor([0]), 2, (1,)), builder.input)
    builder.add("apart", ReLU(), builder.add("difference", Sum((1, -1)), first, own))
    graph = builder.build()
    ends = torch.tensor([[-0.0625, -1.0]]).double(), torch.tensor([[0.0625, 1.0]]).double()
    region, _ = ranges_and_forms(graph, box_region(graph, *ends))
    low, high = region.range_lower[1][0], region.range_upper[1][0]
    least, most = torch.tensor([0.0625, 0.25, 0.0625, 0.5]).double(), torch.tensor([0.1875, 0.25, 0.1875, 0.5]).double()
    assert bool((low <= least).all()) and bool((high >= most).all())
    assert torch.allclose(low, least) and torch.allclose(high, most)
    # The first share is the input and an eighth, and nothing of that is lost.
    assert float(region.range_lower[2]) == pytest.approx(0.125, abs=1e-9)
    assert float(region.range_upper[2]) == pytest.approx(0.125, abs=1e-9)


def _all_in(numbers: list[Fraction], lower: torch.Tensor, upper: torch.Tensor) -> bool:
    return all(Fraction(a) <= p <= Fraction(b) for a, p, b in zip(lower.tolist(), numbers, upper.tolist(), strict=True))


def test_an_empty_range_stays_one():
    low, high = torch.full((1, COUNT), 0.2).double(), torch.full((1, COUNT), 0.2).double()
    low[0, 1], high[0, 1] = torch.inf, -torch.inf
    ends = Shares(COUNT).output_range(low, high)
    assert float(ends[0][0, 1]) > float(ends[1][0, 1])
    assert not bool(torch.stack(ends).isnan().any())


def test_no_rows_at_all():
    """As where all subproblems of a batch turn out to be empty."""
    nothing = torch.zeros(0, RUNS * COUNT).double()
    hull = Shares(COUNT).hull(nothing, nothing)
    s, value = hull.relax(nothing)
    assert s.shape == nothing.shape and value.shape == (0,)
    assert hull.conjugate(nothing, s).value.shape == nothing.shape


def test_runs_stay_whole_in_a_part_of_a_graph():
    graph = attention(2, together=True)
    node = next(i for i, one in enumerate(graph.nodes) if one.name == "shares")
    part = crop(graph, node, torch.tensor([1, TOKENS + 2]))
    assert part.features[-1].tolist() == list(range(2 * TOKENS))
    at = boxes(2, 0.1)[0]
    whole = graph.values(at)[node]
    assert torch.allclose(part.graph.evaluate(at[:, part.features[0]]), whole[:, : 2 * TOKENS])
    assert graph.nodes[node].size == SCORES


def test_sums_of_shares_are_not_condensed():
    """What a run adds to a bound is that of all of it, and none of one feature's."""
    builder = GraphBuilder(Arithmetic.REAL, (2 * COUNT,))
    share = builder.add("shares", Shares(COUNT), builder.input)
    builder.add("sum", BlockLinear(torch.ones(1, 1, COUNT).double(), 2, (2,)), share)
    assert not chains(builder.build())
