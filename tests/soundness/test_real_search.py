"""Searches on real networks: what is attained is never refuted, and what is out of reach is refuted."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from netproof import Conjunction, Query, Settings, Verdict, verify
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.region import box_region
from netproof.conditions.conditions import Conditions
from netproof.errors import QueryError
from netproof.formats.onnx.read import read_onnx
from netproof.graph.budget import Budget
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.activations.tanh import Tanh
from netproof.operators.affine.linear import Linear
from netproof.search.real import decide as verify_real
from netproof.search.real import input_split, range_split, relu_split, rounds
from netproof.search.real.problem import Problem
from onnx_models import model, node, save
from soundness.real_networks import double, evaluate, network_of, random_graph, rational

SIZES = {"inputs": (3, 8, 8, 2), "signs": (12, 10, 8, 2), "boxes": (9, 8, 8, 2), "refined": (3, 8, 8, 8, 2)}


def best_points(graph, lower, upper, generator, count=4000):
    """The largest and the smallest first output found by sampling and climbing, with their points."""
    x = lower + torch.rand(count, len(lower), generator=generator, dtype=torch.float64) * (upper - lower)
    best = []
    for sign in (1.0, -1.0):
        point = x.clone().requires_grad_(True)
        for step in range(60):
            (slope,) = torch.autograd.grad((sign * graph.evaluate(point)[:, 0]).sum(), point)
            moved = point + 0.2 * 0.93**step * (upper - lower) * slope.sign()
            point = torch.minimum(torch.maximum(moved, lower), upper).detach().requires_grad_(True)
        value = sign * graph.evaluate(point.detach())[:, 0]
        best.append(point.detach()[value.argmax()])
    return best


def query(graph, lower, upper, rows, thresholds):
    return Query(network_of(graph), lower, upper, (Conjunction(double(rows), double(thresholds)),))


@pytest.mark.parametrize("mode", SIZES)
@pytest.mark.parametrize("seed", range(6))
def test_attained_is_never_refuted_and_out_of_reach_is(mode, seed, monkeypatch):
    if mode == "boxes":
        # As a network with some inputs and a great many features is searched.
        monkeypatch.setattr(verify_real, "REAL", replace(verify_real.REAL, many_features=0))
        monkeypatch.setattr(input_split, "BOX", replace(input_split.BOX, most_features=0))
    if mode == "refined":
        # As a deep network with few inputs and a great many features is.
        monkeypatch.setattr(input_split, "BOX", replace(input_split.BOX, most_features=0, formed=1))
        monkeypatch.setattr(input_split.InputSplit, "_is_worth_refining", lambda self, whole: True)
    generator = torch.Generator().manual_seed(seed)
    spread = 0.0 if mode == "boxes" else float(seed % 3)
    operator = None if seed < 8 else Abs()
    graph = random_graph(generator, SIZES[mode], spread=spread, residual=seed % 2 == 1, activation=operator)
    center = torch.randn(SIZES[mode][0], generator=generator).double()
    radius = {"inputs": 0.5, "signs": 0.2, "boxes": 0.1, "refined": 0.5}[mode]
    lower, upper = center - radius, center + radius
    settings, short = Settings(timeout=600.0, attack=False), Settings(timeout=0.5, attack=False)
    high, low = best_points(graph, lower, upper, generator)
    top, bottom = (evaluate(graph, rational(x))[-1][0] for x in (high, low))
    # The largest float64 that is certainly attained.
    attained = float(top) if Fraction(float(top)) <= top else float(torch.nextafter(double(float(top)), double(-1e300)))
    assert verify(query(graph, lower, upper, [[1.0, 0.0]], [attained]), short).verdict is not Verdict.UNSAT
    spread = float(top - bottom)
    # Boxes of nine inputs are not the way to come very close.
    beyond = (0.5 if mode == "boxes" else 0.05) * spread + 1e-6
    above = query(graph, lower, upper, [[1.0, 0.0]], [float(top) + beyond])
    assert verify(above, settings).verdict is Verdict.UNSAT
    # A conjunction of two constraints that hold on parts of the box but not together.
    middle = float(top + bottom) / 2
    both = query(graph, lower, upper, [[1.0, 0.0], [-1.0, 0.0]], [middle + 0.1 * spread, -middle + 0.1 * spread])
    assert verify(both, settings).verdict is Verdict.UNSAT
    held = query(graph, lower, upper, [[1.0, 0.0], [1.0, 0.0]], [attained, attained - 1.0])
    assert verify(held, short).verdict is not Verdict.UNSAT


@pytest.mark.parametrize("kind", ["sigmoid", "tanh", "clip", "leaky"])
@pytest.mark.parametrize("seed", range(2))
def test_ranges_of_any_activation_are_split(kind, seed):
    """Networks with more inputs than boxes are split for, and activations that are not a convex kink at 0."""
    generator = torch.Generator().manual_seed(seed)
    activation = {"sigmoid": Sigmoid(), "tanh": Tanh(), "clip": Clip(-0.5, 1.0), "leaky": LeakyReLU(1.5)}[kind]
    graph = random_graph(generator, (10, 6, 6, 2), activation=activation)
    center = torch.randn(10, generator=generator).double()
    lower, upper = center - 0.4, center + 0.4
    high, low = best_points(graph, lower, upper, generator)
    top, bottom = (float(graph.evaluate(x)[0]) for x in (high, low))
    spread = top - bottom
    short, settings = Settings(timeout=0.5, attack=False), Settings(timeout=600.0, attack=False)
    attained = query(graph, lower, upper, [[1.0, 0.0]], [top - 1e-6])
    assert verify(attained, short).verdict is not Verdict.UNSAT
    both = query(graph, lower, upper, [[1.0, 0.0], [2.0, 0.0]], [top - 1e-6, 2 * bottom])
    assert verify(both, short).verdict is not Verdict.UNSAT
    above = verify(query(graph, lower, upper, [[1.0, 0.0]], [top + 0.1 * spread]), settings)
    assert above.verdict is Verdict.UNSAT
    middle = (top + bottom) / 2
    apart = query(graph, lower, upper, [[1.0, 0.0], [-1.0, 0.0]], [middle + 0.1 * spread, -middle + 0.1 * spread])
    assert verify(apart, settings).verdict is Verdict.UNSAT


def test_boxes_of_deep_networks_have_refined_ranges(monkeypatch):
    """Where linear forms lose much and CROWN does not, halving boxes alone would take many times as many of them."""
    monkeypatch.setattr(input_split, "BOX", replace(input_split.BOX, most_features=8, formed=4))
    generator = torch.Generator().manual_seed(3)
    graph = random_graph(generator, (3, *[24] * 7, 2))
    center = torch.randn(3, generator=generator).double()
    lower, upper = center - 0.3, center + 0.3
    high, low = best_points(graph, lower, upper, generator)
    top, bottom = (float(graph.evaluate(x)[0]) for x in (high, low))
    asked = query(graph, lower, upper, [[1.0, 0.0]], [top + 0.2 * (top - bottom)])
    settings, found = Settings(timeout=600.0, attack=False), []
    for worth in (None, False):
        if worth is not None:
            monkeypatch.setattr(input_split.InputSplit, "_is_worth_refining", lambda self, whole, worth=worth: worth)
        found.append(verify(asked, settings))
    assert [one.verdict for one in found] == [Verdict.UNSAT, Verdict.UNSAT]
    assert 1 < found[0].subproblems < 0.5 * found[1].subproblems


@pytest.mark.parametrize("proofs", [False, True])
@pytest.mark.parametrize("stable", [False, True])
def test_nothing_to_choose(stable, proofs):
    """Many inputs and no unstable neuron: what the bound leaves open is no search, and no failure."""
    builder = GraphBuilder(Arithmetic.REAL, (12,))
    at = builder.add("one", Linear(double([[0.1] * 12]), double([100.0])), builder.input)
    if stable:
        at = builder.add("relu", ReLU(), at)
    builder.add("two", Linear(double([[1.0], [-1.0]]), double([0.0, 0.0])), at)
    lower, upper = double([-1.0] * 12), double([1.0] * 12)
    graph, settings = builder.build(), Settings(timeout=600.0, attack=False, proofs=proofs)
    largest = 100 + 12 * Fraction(0.1)
    within, beyond = math.nextafter(101.2, 0.0), 101.2
    assert within < largest < beyond
    assert verify(query(graph, lower, upper, [[1.0, 0.0]], [within]), settings).verdict is Verdict.UNKNOWN
    # Nearer than rounding allows floats to tell; fractions do.
    assert verify(query(graph, lower, upper, [[1.0, 0.0]], [beyond]), settings).verdict is Verdict.UNSAT


def test_every_activation_pattern_of_small_networks():
    """The maximum over all activation patterns, each a linear program that HiGHS solves, against both searches."""
    highspy = pytest.importorskip("highspy")
    for seed in range(4):
        generator = torch.Generator().manual_seed(100 + seed)
        graph = random_graph(generator, (2, 4, 3, 1))
        lower, upper = double([-1.0, -1.0]), double([1.0, 1.0])
        largest = max(v for v in (_largest_on(highspy, graph, lower, upper, p) for p in range(2**7)) if v is not None)
        settings = Settings(timeout=600.0, attack=False)
        for offset, verdicts in ((1e-5, {Verdict.UNSAT}), (-1e-5, {Verdict.TIMEOUT, Verdict.UNKNOWN})):
            limited = Settings(timeout=0.5, attack=False) if offset < 0 else settings
            asked = query(graph, lower, upper, [[1.0]], [largest + offset])
            assert verify(asked, limited).verdict in verdicts


def _largest_on(highspy, graph, lower, upper, pattern):
    """The largest output where hidden features are active as the bits of ``pattern`` say; None where there is none."""
    model = highspy.Highs()
    model.setOptionValue("output_flag", False)
    model.setOptionValue("threads", 1)
    x = [model.addVariable(float(a), float(b)) for a, b in zip(lower, upper, strict=True)]
    values = x
    for step in graph.nodes[1:]:
        if hasattr(step.operator, "weight"):
            rows = zip(step.operator.weight.tolist(), step.operator.bias.tolist(), strict=True)
            values = [sum((w * v for w, v in zip(row, values, strict=True)), start=0.0 * x[0]) + b for row, b in rows]
            continue
        kept = []
        for value in values:
            pattern, active = divmod(pattern, 2)
            model.addConstr(value >= 0 if active else value <= 0)
            kept.append(value if active else 0.0 * x[0])
        values = kept
    model.maximize(values[0])
    if model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    return model.getObjectiveValue()


def test_a_runtime_that_fails_is_an_error_of_one_line(tmp_path):
    """Neither what the runtime does not load nor what it fails to run gets to a user as it is."""
    path = save(tmp_path / "net.onnx", model([node("Relu", ["x"])], (1, 3)))
    other = save(tmp_path / "other.onnx", model([node("Relu", ["x"])], (1, 4)))
    network = read_onnx(path)
    condition = (Conjunction(double([[1.0, 0.0, 0.0]]), double([0.5])),)
    for content in (b"none", other.read_bytes()):
        asked = Query(replace(network, content=content), double([-1.0] * 3), double([1.0] * 3), condition)
        with pytest.raises(QueryError, match="onnxruntime does not evaluate"):
            verify(asked)


def test_what_was_not_reached_is_left_open(monkeypatch):
    """A search that stops at a subproblem without a split names the cases of later portions, too, and their bound."""
    monkeypatch.setattr(range_split, "RANGE", replace(range_split.RANGE, batch=Budget(1 << 27, most=2)))
    builder = GraphBuilder(Arithmetic.REAL, (1,))
    at = builder.add("one", Linear(double([[1.0]]), double([2.0])), builder.input)
    builder.add("two", Linear(double([[1.0]]), double([0.0])), builder.add("clip", Clip(0.0, 9.0), at))
    graph = builder.build()
    # Affine on the box, so that there is nothing to split; attained are 2.5, 2.0, 1.5, 2.75.
    condition = tuple(Conjunction(double([[1.0]]), double([t])) for t in (0.5, 1.0, 1.5, 0.25))
    region = box_region(graph, double([[-1.0]]), double([[1.0]]))
    search = range_split.RangeSplit(Problem(graph, Conditions.of(graph, condition), None, 1 << 20))
    found = search.run(region, torch.arange(4), math.inf)
    assert found.verdict is Verdict.UNKNOWN and found.left.tolist() == [0, 1, 2, 3]
    assert found.bound >= 2.75


def test_a_search_without_time_for_the_next_one_ends_at_the_time_limit(monkeypatch):
    """That its cases were to be handed on is nothing that a user has to know."""
    generator = torch.Generator().manual_seed(5)
    graph = random_graph(generator, (12, 10, 8, 2))
    lower = torch.full((12,), -1.0, dtype=torch.float64)
    asked = query(graph, lower, -lower, [[1.0, 0.0]], [float(graph.evaluate(lower)[0])])
    begun = time.monotonic()
    clock = [begun]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    run = relu_split.ReluSplit.run

    def stopped(self, *arguments, **options):
        found = run(self, *arguments, **options)
        clock[0] += 100.0
        return found

    monkeypatch.setattr(relu_split.ReluSplit, "run", stopped)
    monkeypatch.setattr(rounds, "ROUND", replace(rounds.ROUND, easy=1))
    result = verify(asked, Settings(timeout=50.0, attack=False))
    assert (result.verdict, result.reason) == (Verdict.TIMEOUT, "the time limit was reached")


def test_many_cases_and_nothing_to_choose():
    """Of as many cases as an easy search has subproblems the reason is the same as of one."""
    builder = GraphBuilder(Arithmetic.REAL, (12,))
    at = builder.add("relu", ReLU(), builder.add("one", Linear(double([[0.1] * 12]), double([100.0])), builder.input))
    builder.add("two", Linear(double([[1.0]]), double([0.0])), at)
    condition = tuple(Conjunction(double([[1.0]]), double([101.0 + 0.001 * i])) for i in range(150))
    lower = double([-1.0] * 12)
    asked = Query(network_of(builder.build()), lower, -lower, condition)
    result = verify(asked, Settings(timeout=30.0, attack=False))
    assert result.verdict is Verdict.UNKNOWN and "without unstable neurons" in result.reason


def overflowing(scale, inputs=2, depth=5, activation=None):
    """Weights so large that products of a few layers leave what bounds in float64 can hold."""
    generator = torch.Generator().manual_seed(0)
    builder = GraphBuilder(Arithmetic.REAL, (inputs,))
    at, before = builder.input, inputs
    for layer in range(depth):
        after = 6 if layer < depth - 1 else 2
        weight = (torch.randn(after, before, generator=generator) * scale).float().double()
        at = builder.add(f"dense {layer}", Linear(weight, torch.zeros(after).double()), at)
        if layer < depth - 1:
            at = builder.add(f"act {layer}", activation or ReLU(), at)
        before = after
    return builder.build()


@pytest.mark.parametrize("inputs", [2, 12, 70])
@pytest.mark.parametrize("activation", [ReLU(), Clip(0.0, 1e300)])
def test_values_that_no_bound_can_hold_end_the_search(inputs, activation):
    """Splitting would go on to the time limit, which is ten minutes here."""
    graph = overflowing(3e37, inputs, activation=activation)
    upper = torch.ones(inputs).double()
    result = verify(query(graph, -upper, upper, [[1.0, 1.0], [-1.0, 2.0]], [1e300, 1e300]), Settings(timeout=600.0))
    assert result.verdict is Verdict.UNKNOWN and result.bound is None
    assert "no bound of them is finite in float64" in result.reason


@pytest.mark.parametrize("inputs", [2, 12])
def test_coefficients_that_no_bound_can_hold_end_the_search(inputs):
    graph = overflowing(1e20, inputs)
    upper = torch.ones(inputs).double()
    asked = Query(
        network_of(graph),
        -upper,
        upper,
        (
            Conjunction(double([[1e250, 0.0]]), double([1e308])),
            Conjunction(double([[1.0, 0.0]]), double([1e150])),
        ),
    )
    result = verify(asked, Settings(timeout=600.0))
    assert result.verdict is Verdict.UNKNOWN and "no bound of them is finite" in result.reason
    # The other disjunct alone is refuted, and so is a conjunction with one constraint that can be bounded.
    assert verify(replace(asked, condition=asked.condition[1:])).verdict is Verdict.UNSAT
    both = Conjunction(double([[1e250, 0.0], [1.0, 0.0]]), double([1e308, 1e150]))
    assert verify(replace(asked, condition=(both,))).verdict is Verdict.UNSAT


def test_a_disjunct_that_no_bound_can_hold_hides_no_answer(tmp_path):
    """Two chains side by side: one keeps its input, the values of the other have no bounds."""
    layers, last = [], "x"
    for number in range(5):
        layers += [node("MatMul", [last, "w"], [f"a{number}"]), node("Relu", [f"a{number}"], [f"b{number}"])]
        last = f"b{number}"
    layers.append(node("MatMul", [last, "w"], ["y"]))
    path = save(tmp_path / "net.onnx", model(layers, (1, 2), {"w": np.diag([1.0, 3e37])}))
    one = torch.ones(2).double()
    beyond = Conjunction(double([[0.0, -1.0]]), double([1e300]))

    def decided(threshold):
        kept = Conjunction(double([[1.0, 0.0]]), double([threshold]))
        return verify(Query(read_onnx(path), -one, one, (beyond, kept)), Settings(timeout=600.0)).verdict

    assert decided(0.9) is Verdict.SAT
    assert decided(1.1) is Verdict.UNKNOWN


def test_a_search_that_may_still_bring_values_down_is_begun():
    """At the edge of what bounds can hold the whole region has none, and its cells may have."""
    graph = overflowing(1e37, inputs=12, depth=4)
    one = torch.ones(12).double()
    asked = query(graph, -one, one, [[1.0, 1.0]], [1e300])
    region = box_region(graph, -one[None], one[None])
    constraints = Conditions.of(graph, asked.condition)
    rounding = Rounding.of(graph, region)
    case = torch.arange(1)
    assert not bool(torch.isfinite(rounding.magnitude[-1]).any()) and not bool(
        constraints.boundable(case, rounding).any()
    )
    assert bool(verify_real._hopeful(verify_real._Asked(graph, constraints, -one, one), case, rounding).all())


@pytest.mark.parametrize("constraints", [2, 600, 3000, 20000])
def test_mixtures_of_many_constraints_err_by_no_more_than_is_said(constraints):
    """Sums from a large number down to many that are half its last bit each: matrix products lose all of them."""
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    builder.add("y", Linear(torch.eye(2).double(), torch.zeros(2).double()), builder.input)
    graph = builder.build()
    rows = torch.zeros(constraints, 2, dtype=torch.float64)
    rows[:, 0] = 1.0
    rows[0, 0] = 2.0**54
    one = double([1.0, 1.0])
    # y_0 = 1 meets each of them, with nothing to spare.
    asked = Query(network_of(graph), one, one, (Conjunction(rows, rows[:, 0].clone()),))
    assert asked.admits([Fraction(1)] * 2, [Fraction(1)] * 2)
    made = Conditions.of(graph, asked.condition)
    case, weight = torch.zeros(1, dtype=torch.int64), torch.ones(1, constraints, dtype=torch.float64)
    mixed = made.mixed(case, weight)
    rounding = Rounding.of(graph, box_region(graph, one[None], one[None]))
    reached = Fraction(float(mixed.coefficients[made.last][0, 0])) + Fraction(float(mixed.constant))
    assert reached <= 0 and -reached <= Fraction(float(made.mixing_error(case, weight, rounding)))
    if constraints > 600:
        assert verify(asked, Settings(timeout=1.0, attack=False)).verdict is not Verdict.UNSAT
