"""Single roundings that a verdict may hang on: each error term, on numbers made for it, against rational arithmetic.

Random networks rarely need an error term: what rounds is far smaller than what bounds are loose by. Here sums cancel
down to their own rounding, ranges are points, and bounds are attained, so that a term that is missing shows.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from netproof.bounds.deciding.exact import evaluate_exact
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.ends.refine_split import Side, is_empty_cell
from netproof.bounds.multipliers.signs import LEFT, RIGHT, WHOLE, SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges import reduce
from netproof.bounds.ranges.forms import Form, _between_lines, form_ranges
from netproof.bounds.region import Region, box_region
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.conditions import Conditions
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.linear import Linear
from netproof.operators.hulls.kink_hull import KinkHull
from netproof.search.real import decide as verify_real
from netproof.search.real.programs.leaf import SignLeaves
from netproof.solvers.highs.solve import HighsProcess
from onnx_models import model, node, save
from soundness.random_networks import random_network
from soundness.real_networks import double, evaluate, rational


def one_relu(size: int = 1) -> Graph:
    """``y = relu(x)``."""
    builder = GraphBuilder(Arithmetic.REAL, (size,))
    at = builder.add("in", Linear(torch.eye(size, dtype=torch.float64), double([0.0] * size)), builder.input)
    at = builder.add("relu", ReLU(), at)
    builder.add("out", Linear(torch.eye(size, dtype=torch.float64), double([0.0] * size)), at)
    return builder.build()


def cancelling(random: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and values whose weighted sum is nothing but rounding."""
    weight = torch.from_numpy(random.uniform(0.1, 1, count))
    value = torch.from_numpy(random.normal(size=count) * 10.0 ** random.uniform(0, 16, count))
    value[-1] = -(weight[:-1] @ value[:-1]) / weight[-1]
    return weight, value


def exact_sum(weight: torch.Tensor, value: torch.Tensor) -> Fraction:
    return sum((a * b for a, b in zip(rational(weight), rational(value), strict=True)), Fraction(0))


@pytest.mark.parametrize("part", ["outputs", "inputs", "threshold"])
def test_what_mixing_constraints_loses(part):
    random, graph, count = np.random.default_rng(0), one_relu(), 8
    lost = 0
    for _ in range(40):
        weight, value = cancelling(random, count)
        none = torch.zeros(1, count, 1, dtype=torch.float64)
        given_values = value.view(1, count, 1)
        constraints = Conditions(
            graph,
            given_values if part == "outputs" else none,
            given_values if part == "inputs" else none,
            value[None] if part == "threshold" else none[..., 0],
        )
        region = box_region(graph, double([[-1.0]]), double([[1.0]]))
        case = torch.tensor([0])
        mixed = constraints.mixed(case, weight[None])
        found = {
            "outputs": mixed.coefficients[len(graph.nodes) - 1],
            "inputs": mixed.coefficients[0],
            "threshold": -mixed.constant,
        }[part]
        # Inputs and outputs reach 1, so that the whole difference of a coefficient counts.
        off = abs(Fraction(float(found)) - exact_sum(weight, value))
        error = constraints.mixing_error(case, weight[None], Rounding.of(graph, region))
        assert Fraction(float(error)) >= off
        lost += off > 0
    assert lost > 10


def test_a_leaf_counts_what_mixing_loses():
    """On its right side ``y = x``: the best mixture's bound is ``|sum w c| - sum w t``, which is attained."""
    random, graph, count = np.random.default_rng(1), one_relu(), 8
    region = box_region(graph, double([[-1.0]]), double([[1.0]]))
    dual, rounding = SignDual.of(graph, region), Rounding.of(graph, region)
    side, beta = torch.tensor([RIGHT], dtype=torch.int8), double([0.0])
    needed = 0
    for _ in range(40):
        weight, value = cancelling(random, count)
        constraints = Conditions(graph, value.view(1, count, 1), None, torch.zeros(1, count, dtype=torch.float64))
        programs = SignLeaves(dual, rounding, constraints, HighsProcess(1 << 28))
        true = abs(exact_sum(weight, value))
        assert Fraction(programs.evaluate(0, side, weight, beta)) >= true
        without = dual.bound(
            constraints.mixed(torch.tensor([0]), weight[None]), side[None], beta[None], beta[None], rounding
        )
        needed += Fraction(float(without.value)) < true
    assert needed > 5


def test_a_bound_of_zero_refutes_nothing(monkeypatch):
    """``y >= 0`` can hold where ``y <= 0`` is all that is known."""
    graph = one_relu()
    region = box_region(graph, double([[-1.0]]), double([[0.0]]))
    count = 5
    none = torch.zeros(count, 1, dtype=torch.float64)
    constraints = Conditions(graph, torch.ones(count, 1, 1, dtype=torch.float64), None, none)

    class Lines:
        value = double([-1.0, -0.0, 0.0, 5e-324, -5e-324])

    monkeypatch.setattr(verify_real, "crown_lines", lambda *_: Lines)
    monkeypatch.setattr(verify_real, "rows_at_once", lambda *_: count)
    cases = torch.arange(count)
    roots = verify_real._Roots(None, region)
    left = verify_real._root(
        Relaxation(graph, region), constraints, Rounding.of(graph, region), cases, float("inf"), roots
    )
    assert left.tolist() == [1, 2, 3]
    monkeypatch.setattr(verify_real, "interval_bound", lambda *_: Lines.value[None])
    left = verify_real._left_by_intervals(graph, region, constraints, Rounding.of(graph, region), cases, roots)
    assert left.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("low", "high", "half", "empty"),
    [
        (-1.0, 5e-324, RIGHT, False),
        (-1.0, 0.01, RIGHT, False),
        (-1.0, 0.0, RIGHT, False),  # 0 belongs to both sides
        (-1.0, -5e-324, RIGHT, True),
        (-5e-324, 1.0, LEFT, False),
        (-0.01, 1.0, LEFT, False),
        (0.0, 1.0, LEFT, False),
        (5e-324, 1.0, LEFT, True),
        (1.0, 0.5, RIGHT, True),
        (0.5, 0.5, RIGHT, False),
    ],
)
def test_a_cell_is_empty_only_where_its_side_is_out_of_reach(low, high, half, empty):
    region = Region(double([[-1.0] * 2]), double([[1.0] * 2]), (double([[-1.0, low]]),), (double([[1.0, high]]),))
    assert is_empty_cell(region, [Side(0, 0, LEFT), Side(0, 1, half)]) is empty


def wide(graph: Graph, lower: torch.Tensor, upper: torch.Tensor) -> Region:
    """A box with ranges that say nothing."""
    sizes = [graph.nodes[i].size for i in graph.activations]
    ends = [torch.full((1, n), 1e300, dtype=torch.float64) for n in sizes]
    return Region(lower[None], upper[None], tuple(-e for e in ends), tuple(ends))


@pytest.mark.parametrize("operator", [ReLU(), LeakyReLU(0.1), Abs()], ids=repr)
def test_linear_forms_of_single_points(operator):
    """On a box that is one point only the rounding is left of a form's radius."""
    random = np.random.default_rng(2)
    off = 0
    for _ in range(60):
        n = 6
        builder = GraphBuilder(Arithmetic.REAL, (n,))
        at, before = builder.input, n
        for layer in range(2):
            weight = random.normal(size=(n, before)) * 10.0 ** random.uniform(-8, 8, (n, before))
            at = builder.add(f"dense {layer}", Linear(double(weight), double(random.normal(size=n))), at)
            at = builder.add(f"act {layer}", operator, at)
        graph = builder.build()
        x = double(random.normal(size=n))
        # The last feature of the first layer cancels all but its rounding.
        first = graph.nodes[1].operator
        first.weight[-1, -1] = -(first.weight[-1, :-1] @ x[:-1]) / x[-1]
        first.bias[-1] = 0.0
        region = form_ranges(graph, wide(graph, x, x))
        values = evaluate(graph, rational(x))
        for k, index in enumerate(graph.activations):
            true = values[graph.nodes[index].operands[0]]
            low, high = rational(region.range_lower[k][0]), rational(region.range_upper[k][0])
            assert all(a <= t <= b for a, t, b in zip(low, true, high, strict=True))
        off += Fraction(float(first.forward(x[None])[0, -1])) != values[1][-1]
    assert off > 30


def test_linear_forms_of_boxes_whose_ends_are_attained():
    """One layer: the form's range is the exact one and its rounding, and the corners attain it."""
    random = np.random.default_rng(3)
    for _ in range(40):
        builder = GraphBuilder(Arithmetic.REAL, (5,))
        weight = double(random.normal(size=(3, 5)) * 10.0 ** random.uniform(-8, 8, (3, 5)))
        bias = double(random.normal(size=3) * 1e8)
        builder.add("act", ReLU(), builder.add("dense", Linear(weight, bias), builder.input))
        graph = builder.build()
        ends = np.sort(random.normal(size=(2, 5)) * 10.0 ** random.uniform(-8, 8, 5), 0)
        region = form_ranges(graph, wide(graph, double(ends[0]), double(ends[1])))
        for row, b, low, high in zip(weight, bias, region.range_lower[0][0], region.range_upper[0][0], strict=True):
            corners = [
                [Fraction(w) * Fraction(e) for e in end] for w, end in zip(row.tolist(), ends.T.tolist(), strict=True)
            ]
            assert Fraction(float(low)) <= sum(map(min, corners)) + Fraction(float(b))
            assert Fraction(float(high)) >= sum(map(max, corners)) + Fraction(float(b))


@pytest.mark.parametrize("slope", [0.0, 0.1, 1 / 3])
def test_a_form_between_two_lines(slope):
    """``f`` of a form without radius lies in the form that replaces it, at the very ends of the range too."""
    random = np.random.default_rng(4)
    for _ in range(60):
        size = 10.0 ** random.uniform(-8, 8)
        center, reach = float(random.normal() * size), float(abs(random.normal()) * size)
        form = Form(double([[center]]), double([[[reach]]]), double([[0.0]]))
        exact = Fraction(center), Fraction(reach)
        low, high = np.nextafter(center - reach, -np.inf), np.nextafter(center + reach, np.inf)
        found = _between_lines(KinkHull(double([[low]]), double([[high]]), slope, 1.0), form, form.reach)
        middle, tilt, radius = (Fraction(float(part)) for part in (found.center, found.slopes, found.radius))
        kink = -exact[0] / exact[1]
        for t in (Fraction(-1), Fraction(1), Fraction(0), min(max(kink, Fraction(-1)), Fraction(1))):
            a = exact[0] + exact[1] * t
            image = a if a >= 0 else Fraction(slope) * a
            assert abs(image - middle - tilt * t) <= radius


def largest(sign: float, slope: float, half: int) -> float:
    """``max { sign * relu(x) + slope * x }`` over a side of ``[-1, 1]``: at an end, or at 0."""
    ends = {WHOLE: (-1.0, 0.0, 1.0), LEFT: (-1.0, 0.0), RIGHT: (0.0, 1.0)}[half]
    return max(sign * max(x, 0.0) + slope * x for x in ends)


@pytest.mark.parametrize("half", [WHOLE, LEFT, RIGHT])
def test_any_alpha_and_any_beta_give_a_bound(half):
    """What chooses them is arithmetic in float32, or a solver; beyond their limits they would prove what is false."""
    graph = one_relu()
    region = box_region(graph, double([[-1.0]]), double([[1.0]]))
    dual = SignDual.of(graph, region)
    numbers = (-1e9, -7.0, -1.0, -1e-3, 0.0, 0.5, 1.0, 1.001, 7.0, 1e9)
    alpha, beta = torch.cartesian_prod(double(numbers), double(numbers))[:, :, None].unbind(1)
    rows = len(alpha)
    side = torch.full((rows, 1), half, dtype=torch.int8)
    for sign in (-1.0, 1.0):
        for slope in np.linspace(-8, 8, 33):
            objective = Objective(
                {3: torch.full((rows, 1), sign).double(), 0: torch.full((rows, 1), slope).double()},
                torch.zeros(rows, dtype=torch.float64),
            )
            true = largest(sign, slope, half)
            bound = dual.bound(objective, side, alpha, beta).value
            assert bool((bound >= true - 1e-12 * abs(true) - 1e-12).all()), (sign, slope)


def test_alpha_and_beta_within_their_limits_are_used():
    graph = one_relu()
    region = box_region(graph, double([[-1.0]]), double([[1.0]]))
    dual = SignDual.of(graph, region)
    down = Objective({3: double([[-1.0]]), 0: double([[0.5]])}, double([0.0]))
    whole, right = (torch.tensor([[half]], dtype=torch.int8) for half in (WHOLE, RIGHT))
    # -relu(x) + x / 2 <= (1 / 2 - alpha) x
    assert float(dual.bound(down, whole, double([[0.5]]), double([[0.0]])).value) == 0.0
    assert float(dual.bound(down, whole, double([[0.25]]), double([[0.0]])).value) == 0.25
    # On the right side it is -x / 2, and beta x takes that away.
    assert float(dual.bound(down, right, double([[0.0]]), double([[0.5]])).value) == 0.0
    assert float(dual.bound(down, right, double([[0.0]]), double([[0.0]])).value) == 0.5


class Overconfident:
    """A hull whose proposals cut off all but the middle of what it was asked about."""

    def __init__(self, hull, low, high):
        self._hull, self._middle = hull, (low + high) / 2

    def superlevel(self, v, s, cut):
        return self._middle.expand_as(v).clone(), self._middle.expand_as(v).clone()

    def __getattr__(self, name):
        return getattr(self._hull, name)


@pytest.mark.parametrize("seed", range(20))
def test_cuts_are_verified_whoever_proposes_them(seed):
    random = np.random.default_rng([11, seed])
    net = random_network(random)
    graph = net.graph()
    points = net.points()
    lower, upper = double(net.lower)[None], double(net.upper)[None]
    region = box_region(graph, lower, upper)
    objective = np.asarray(random.integers(-3, 4, graph.nodes[-1].size))
    reached = net.outputs(points) @ objective
    threshold = int(np.quantile(reached, 0.7))
    asked = Objective({len(graph.nodes) - 1: double(objective)[None]}, double([-threshold]))
    relaxation = Relaxation(graph, region)
    zeros = [torch.zeros(1, graph.nodes[i].size, dtype=torch.float64) for i in graph.activations]
    point, _ = evaluate_exact(relaxation, asked, zeros)
    assert float(point.value) >= 0
    liars = Relaxation(graph, region)
    liars.__dict__["hulls"] = tuple(
        Overconfident(hull, low, high)
        for hull, low, high in zip(relaxation.hulls, region.range_lower, region.range_upper, strict=True)
    )
    cut = reduce.reduce_ranges(replace(point, relaxation=liars))
    for k, values in enumerate(net.preactivations(points[reached >= threshold])):
        assert (values >= cut.range_lower[k].numpy()).all() and (values <= cut.range_upper[k].numpy()).all()


@pytest.mark.parametrize("slope", [0.1, 0.3, 0.7, 1.7, 3.3, -0.1, -1.3])
def test_both_ends_of_a_leaky_relu_are_outward(slope):
    generator = torch.Generator().manual_seed(5)
    ends = (torch.randn(400, 2, generator=generator).double() * 3).sort(1).values
    ends[:100, 1] = ends[:100, 0]  # points
    ends[100:200] = (-ends[100:200].abs()).sort(1).values  # on the left
    operator = LeakyReLU(slope)
    least, largest_value = operator.output_range(ends[:, 0], ends[:, 1])
    inward = [0, 0]
    computed = operator.evaluate(ends)
    for (low, high), below, above, images in zip(
        ends.tolist(), least.tolist(), largest_value.tolist(), computed.tolist(), strict=True
    ):
        inside = [low, high] + ([0.0] if low < 0 < high else [])
        true = [Fraction(a) if a >= 0 else Fraction(slope) * Fraction(a) for a in inside]
        assert Fraction(below) <= min(true) and Fraction(above) >= max(true)
        inward[0] += Fraction(min(images)) > min(true)
        inward[1] += Fraction(max(images)) < max(true)
    assert sum(inward) > 10


@pytest.mark.parametrize(("divisor", "roundings"), [(3.0, 1), (49.0, 1), (-10.0, 1), (4.0, 0), (-0.125, 0)])
def test_a_division_counts_its_rounding(divisor, roundings, tmp_path):
    network = model([node("Div", ["x", "d"])], (1, 2), {"d": np.array([divisor], np.float32)})
    from netproof.formats.onnx.read import read_onnx

    graph = read_onnx(save(tmp_path / "div.onnx", network)).graph
    (operator,) = (one.operator for one in graph.nodes[1:])
    assert operator.roundings == roundings
    off = abs(Fraction(float(operator.parameters()[0][1].flatten()[0])) * Fraction(divisor) - 1)
    assert off <= roundings * Fraction(1, 2**53)
    assert (off > 0) == (roundings > 0)
