"""The bound with multipliers of unstable features only is the one bound at the multipliers that it stands for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from netproof.bounds.backward import bound_backwards, box_maximum
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import evaluate_dual, given
from netproof.bounds.multipliers.signs import LEFT, RIGHT, WHOLE, SignDual, is_piecewise_linear
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.halves import Tried, Whole
from netproof.bounds.region import Region, box_region
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.affine.linear import Linear
from soundness.real_networks import double, random_graph

ROWS = 5
#: kinks, and the slope on the left of each; on the right it is 1
KINKS = [(ReLU(), 0.0), (LeakyReLU(0.125), 0.125), (Abs(), -1.0)]


def situation(seed, operator=None):
    """A network with open and closed features, parts of its region, an objective, and multipliers of any size."""
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, (3, 6, 6, 2), activation=operator, residual=bool(seed % 2))
    center = torch.randn(1, 3, generator=generator).double()
    region = box_region(graph, center - 0.4, center + 0.4)
    dual = SignDual.of(graph, region)
    side = torch.randint(-1, 2, (ROWS, len(dual)), generator=generator).to(torch.int8)
    alpha = torch.rand(ROWS, len(dual), generator=generator).double() * 1.6 - 0.3
    beta = torch.randn(ROWS, len(dual), generator=generator).double()
    objective = Objective(
        {
            len(graph.nodes) - 1: torch.randn(ROWS, 2, generator=generator).double(),
            1: torch.randn(ROWS, 6, generator=generator).double(),
        },
        torch.randn(ROWS, generator=generator).double(),
    )
    return graph, region, dual, side, alpha, beta, objective


def written_out(graph, region, slope, side, alpha, beta, objective):
    """The parts as regions with ranges cut at 0, and the multipliers by the formulas of the module's docstring."""
    left = [slope] * len(graph.activations)
    lowers = [low.expand(ROWS, -1).clone() for low in region.range_lower]
    uppers = [high.expand(ROWS, -1).clone() for high in region.range_upper]
    multipliers: list[torch.Tensor | None] = [None] * len(lowers)
    places = {}
    begin = 0
    for k, (low, high) in enumerate(zip(region.range_lower, region.range_upper, strict=True)):
        for j in range(low.shape[1]):
            if low[0, j] < 0 < high[0, j]:
                places[k, j] = begin
                begin += 1
    assert begin == side.shape[1]
    for (k, j), m in places.items():
        lowers[k][:, j] = torch.where(side[:, m] == RIGHT, 0.0, lowers[k][:, j])
        uppers[k][:, j] = torch.where(side[:, m] == LEFT, 0.0, uppers[k][:, j])

    def choose(k, v):
        s = torch.empty_like(v)
        for j in range(v.shape[1]):
            low, high = region.range_lower[k][0, j], region.range_upper[k][0, j]
            if (k, j) not in places:
                s[:, j] = v[:, j] * (1.0 if low + high > 0 else left[k])
                continue
            m = places[k, j]
            chord = (high - left[k] * low) / (high - low)
            between = alpha[:, m].clamp(left[k], 1.0)
            whole = torch.where(v[:, j] > 0, chord, between) * v[:, j]
            piece = torch.where(side[:, m] == RIGHT, 1.0, left[k]) * v[:, j]
            s[:, j] = torch.where(side[:, m] == WHOLE, whole, piece + side[:, m] * beta[:, m].clamp(min=0))
        multipliers[k] = s
        return s

    part = Region(region.lower, region.upper, tuple(lowers), tuple(uppers))
    return part, evaluate_dual(Relaxation(graph, part), objective, choose), multipliers


@pytest.mark.parametrize(("operator", "slope"), KINKS)
@pytest.mark.parametrize("seed", range(6))
def test_the_bound_at_the_multipliers_that_it_stands_for(seed, operator, slope):
    graph, region, dual, side, alpha, beta, objective = situation(seed, operator)
    part, point, multipliers = written_out(graph, region, slope, side, alpha, beta, objective)
    before = [end.clone() for end in (*region.range_lower, *region.range_upper)]
    cut = dual.part(side[1])
    assert all(torch.equal(a, b) for a, b in zip(before, (*region.range_lower, *region.range_upper), strict=True))
    for k in range(len(graph.activations)):
        assert torch.equal(cut.range_lower[k][0], part.range_lower[k][1])
        assert torch.equal(cut.range_upper[k][0], part.range_upper[k][1])
    found = dual.bound(objective, side, alpha, beta)
    torch.testing.assert_close(found.value, point.value)
    torch.testing.assert_close(found.input_coefficients, point.input_coefficients)
    torch.testing.assert_close(found.v, torch.cat([v[:, i] for v, i in zip(point.v, dual.index, strict=True)], 1))
    # An account of rounding so coarse that each of its terms shows.
    rounding, off = replace(Rounding.of(graph, region), gamma=1e-3), torch.arange(ROWS).double()
    above = evaluate_dual(Relaxation(graph, part), objective, given(multipliers), rounding).value
    torch.testing.assert_close(dual.bound(objective, side, alpha, beta, rounding).value, above)
    objective = replace(objective, error=off)
    torch.testing.assert_close(dual.bound(objective, side, alpha, beta, rounding).value, above + off)
    # Without an account there is nothing to add an error to.
    torch.testing.assert_close(dual.bound(objective, side, alpha, beta).value, point.value)


@pytest.mark.parametrize(("operator", "slope"), KINKS)
def test_unstable_features_and_their_lines(operator, slope):
    graph, region, dual, *_ = situation(1, operator)
    ends = [
        (low, high, k, j)
        for k in range(len(graph.activations))
        for j, (low, high) in enumerate(
            zip(region.range_lower[k][0].tolist(), region.range_upper[k][0].tolist(), strict=True)
        )
    ]
    wanted = [one for one in ends if one[0] < 0 < one[1]]
    assert 0 < len(wanted) < len(ends)
    assert len(dual) == len(wanted) == sum(dual.sizes) and len(dual.sizes) == len(graph.activations)
    assert dual.lower.tolist() == [low for low, *_ in wanted] and dual.upper.tolist() == [w[1] for w in wanted]
    chords, offsets = dual.chords()
    for (low, high, *_), chord, offset, alpha in zip(
        wanted, chords.tolist(), offsets.tolist(), dual.crown_alpha().tolist(), strict=True
    ):
        assert chord * low + offset == pytest.approx(slope * low) and chord * high + offset == pytest.approx(high)
        assert alpha == (1.0 if high > -low else slope)
    for low, high, k, j in ends:
        if not low < 0 < high:
            assert float(dual.closed[k][j]) == (1.0 if low >= 0 else slope)
    light = dual.to(torch.float32)
    parts = (light.lower, light.upper, light.left, light.right, *light.closed, light.region.lower)
    assert {part.dtype for part in (*parts, light.graph.nodes[1].operator.weight)} == {torch.float32}
    assert light.device == torch.device("cpu") and light.sizes == dual.sizes


def test_lines_over_a_range_whose_slopes_are_any():
    """The function is ``a / 2`` on the left and ``2 a`` on the right."""
    dual = situation(0)[2]
    low, high = double([-0.5, -0.25, -3.0]), double([0.25, 0.5, 1.0])
    dual = replace(dual, lower=low, upper=high, left=torch.full_like(low, 0.5), right=torch.full_like(low, 2.0))
    chord, offset = dual.chords()
    torch.testing.assert_close(chord * low + offset, low / 2)
    torch.testing.assert_close(chord * high + offset, high * 2)
    assert dual.crown_alpha().tolist() == [0.5, 2.0, 0.5]


def test_everything_moves_to_a_device():
    moved = situation(0)[2].to(torch.float32, "meta")
    parts = (moved.lower, moved.upper, moved.left, moved.right, *moved.index, *moved.closed)
    region, weight = moved.region, moved.graph.nodes[1].operator.weight
    assert {p.device.type for p in (*parts, region.lower, region.upper, *region.range_lower, weight)} == {"meta"}
    assert moved.device.type == "meta"


def test_a_range_that_ends_at_zero_is_closed():
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    builder.add("act", LeakyReLU(0.5), builder.add("same", Linear(torch.eye(2).double(), double([0.0] * 2)), 0))
    graph = builder.build()
    region = Region(double([[-1.0, 0.0]]), double([[0.0, 1.0]]), (double([[-1.0, 0.0]]),), (double([[0.0, 1.0]]),))
    dual = SignDual.of(graph, region)
    assert len(dual) == 0 and dual.closed[0].tolist() == [0.5, 1.0]
    nothing = torch.zeros(1, 0, dtype=torch.float64)
    found = dual.bound(Objective({2: double([[1.0, -1.0]])}, double([0.25])), nothing.to(torch.int8), nothing, nothing)
    assert found.value.tolist() == [0.25] and found.v.shape == (1, 0)


def test_a_graph_without_activations():
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    builder.add("sum", Linear(double([[1.0, -1.0]]), double([0.5])), builder.input)
    graph = builder.build()
    dual = SignDual.of(graph, box_region(graph, double([[0.0, 0.0]]), double([[1.0, 1.0]])))
    assert len(dual) == 0 and dual.sizes == ()
    nothing = torch.zeros(1, 0, dtype=torch.float64)
    found = dual.bound(Objective({1: double([[2.0]])}, double([0.25])), nothing.to(torch.int8), nothing, nothing)
    assert found.value.tolist() == [3.25] and found.v.shape == (1, 0)


@pytest.mark.parametrize(
    ("operators", "piecewise"),
    [
        ([ReLU()], True),
        ([Abs()], True),
        ([LeakyReLU(0.5)], True),
        ([LeakyReLU(1.0)], True),
        ([LeakyReLU(-2.0)], True),
        ([LeakyReLU(1.5)], False),
        ([Sigmoid()], False),
        ([Clip(-1.0, 1.0)], False),
        ([ReLU(), Sigmoid()], False),
        ([Sigmoid(), ReLU()], False),
        ([], True),
    ],
)
def test_which_graphs_are_piecewise_linear(operators, piecewise):
    builder = GraphBuilder(Arithmetic.REAL, (1,))
    at = builder.input
    for number, operator in enumerate(operators):
        at = builder.add(f"same {number}", Linear(double([[1.0]]), double([0.0])), at)
        at = builder.add(f"act {number}", operator, at)
    builder.add("last", Linear(double([[1.0]]), double([0.0])), at)
    graph = builder.build()
    region = box_region(graph, double([[-3.0]]), double([[3.0]]))
    assert is_piecewise_linear(graph, region) is piecewise


@pytest.mark.parametrize("boxes", [1, 4])
@pytest.mark.parametrize("several", [False, True])
def test_the_maximum_over_a_box_is_at_a_corner(boxes, several):
    generator = torch.Generator().manual_seed(3)
    ends = torch.randn(2, boxes, 3, generator=generator).double().sort(0).values
    region = Region(ends[0], ends[1], (), ())
    v = torch.randn(4, *([5] if several else []), 3, generator=generator).double()
    if several:
        v = v[:boxes]
    constant = torch.randn(v.shape[:-1], generator=generator).double()
    corners = torch.cartesian_prod(*[torch.tensor([0, 1])] * 3)
    found = box_maximum(constant, v, region)
    for row in range(len(v)):
        box = ends[:, row % boxes]
        points = torch.stack([box[corner, torch.arange(3)] for corner in corners])
        expected = constant[row] + (v[row] @ points.T).amax(-1)
        torch.testing.assert_close(found[row], expected)


def test_an_objective_that_does_not_depend_on_the_input():
    """What activations turned into numbers is the bound, one per box, and the form in the input is 0."""
    graph, region, *_ = situation(2)
    boxes = region.take(torch.zeros(3, dtype=torch.int64))
    last = len(graph.nodes) - 1
    rounding = replace(Rounding.of(graph, region), gamma=1e-3)
    c = double([[1.0, -2.0]])

    def activate(k, v):
        return None, v.sum(-1)

    lines = bound_backwards(Relaxation(graph, boxes), Objective({last: c}, double([1.0])), activate)
    operator = graph.nodes[last].operator
    (v,) = operator.adjoint(c)
    value = 1.0 + float((c @ operator.bias).squeeze() + v.sum())
    torch.testing.assert_close(lines.value, torch.full((3,), value).double())
    assert lines.coefficients.shape == (3, graph.input.size) and not bool(lines.coefficients.any())
    above = bound_backwards(Relaxation(graph, boxes), Objective({last: c}, double([1.0])), activate, rounding)
    expected = rounding.total(lines.value, double([1.0]), rounding.weigh(last, c))
    torch.testing.assert_close(above.value, expected)
    assert float(above.constant[0] if above.constant.ndim else above.constant) == pytest.approx(value)
    # Several objectives on one box are several bounds, too.
    four = Objective({last: c.expand(4, -1)}, torch.ones(4).double())
    several = bound_backwards(Relaxation(graph, region), four, activate)
    torch.testing.assert_close(several.value, torch.full((4,), value).double())
    assert several.coefficients.shape == (4, graph.input.size)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("unreached", [False, True])
def test_halves_are_bounded_as_each_would_be(seed, unreached):
    """Left and right in this order, by the row's own multipliers, and what was asked stays as it is."""
    *_, dual, side, alpha, beta, objective = situation(seed)
    if unreached:
        # Nothing arrives at activations: no split changes anything.
        objective = replace(objective, coefficients={1: objective.coefficients[1]})
    stages = {}
    whole = Whole(side, alpha, beta, dual.bound(objective, side, alpha, beta, stages=stages), stages)
    rows = torch.tensor([3, 0, 1, 4, 2, 0, 1])
    feature = torch.arange(len(rows)) * 2 % len(dual)
    before = side.clone(), beta.clone()
    halves = Tried(dual, whole, rows, feature).value
    assert torch.equal(side, before[0]) and torch.equal(beta, before[1])
    own = beta[rows]
    own[torch.arange(len(rows)), feature] = 0.0
    for half, found in zip((LEFT, RIGHT), halves, strict=True):
        asked = side[rows]
        asked[torch.arange(len(rows)), feature] = half
        expected = dual.bound(objective.take(rows), asked, alpha[rows], own).value
        torch.testing.assert_close(found, expected)
    assert unreached or not torch.equal(*halves)
