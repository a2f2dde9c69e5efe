"""The one bound: never below the truth, whatever the multipliers, and exact where it says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from netproof.bounds.deciding.exact import evaluate_exact
from netproof.bounds.dual import crown, evaluate_dual, given, relaxed_values
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.interior import InteriorSolver, has_interior_solver
from netproof.bounds.multipliers.ranges import Parameters, crown_parameters, optimize
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region, box_region, node_intervals, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.base import Affine, Shape
from soundness.random_networks import Integers, box_points, floats, random_network, random_steps
from soundness.regions import Situation, random_multipliers, random_objective, random_situation

seeds = pytest.mark.parametrize("seed", range(3))
EXTREME = (0.0, 1e-300, 1e-9, 0.3, 1.0, 100.0, 1e9, 1e14, 1e17, 1e22, 1e200, float("inf"))


@seeds
def test_no_multipliers_go_below_the_truth(seed: int) -> None:
    random = np.random.default_rng([1, seed])
    for _ in range(25):
        at = random_situation(random)
        relaxation = Relaxation(at.graph, at.region)
        for _ in range(4):
            objective = random_objective(random, at)
            largest = at.largest(objective)
            start = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
            noise = random_multipliers(random, at)
            near = [m + 0.1 * e if m is not None else e for m, e in zip(start.s, noise, strict=True)]
            for multipliers in (start.s, noise, near):
                loose = evaluate_dual(relaxation, objective, given(multipliers)).value.numpy()
                size = 1 + sum(float(m.abs().max()) for m in multipliers if m is not None)
                assert (loose >= largest - 1e-9 * size).all()
                exact, _ = evaluate_exact(relaxation, objective, multipliers)
                assert (exact.value.numpy() >= largest).all()
                assert torch.isfinite(exact.value).all()


@seeds
def test_extreme_multipliers_give_the_truth_or_no_bound(seed: int) -> None:
    random = np.random.default_rng([2, seed])
    without = 0
    for _ in range(25):
        at = random_situation(random)
        relaxation = Relaxation(at.graph, at.region)
        objective = random_objective(random, at)
        multipliers = random_multipliers(random, at, EXTREME)
        for m in multipliers:
            m[torch.from_numpy(random.random(tuple(m.shape)) < 0.02)] = torch.nan
        exact, _ = evaluate_exact(relaxation, objective, multipliers)
        assert not torch.isnan(exact.value).any()
        assert (exact.value.numpy() >= at.largest(objective)).all()
        without += int(torch.isinf(exact.value).sum())
    assert without > 10


@seeds
def test_exact_evaluation_is_the_formula_in_fractions(seed: int) -> None:
    """Recomputed from matrices and thresholds, every integer of every range tried."""
    random = np.random.default_rng([3, seed])
    compared = refused = 0
    for _ in range(12):
        at = random_situation(random, rows=3, bits=6)
        relaxation = Relaxation(at.graph, at.region)
        objective = random_objective(random, at)
        sizes = EXTREME[:-1] if random.random() < 0.4 else (0.0, 0.01, 0.3, 1.0, 100.0)
        multipliers = random_multipliers(random, at, sizes)
        exact, exponent = evaluate_exact(relaxation, objective, multipliers)
        for row in range(3):
            if not torch.isfinite(exact.value[row]):
                refused += 1
                continue
            s = [None if m is None else m[row].tolist() for m in exact.s]
            for m in s:
                assert m is None or all((Fraction(e) * 2 ** int(exponent[row])).denominator == 1 for e in m)
            assert Fraction(float(exact.value[row])) == by_fractions(at, row, objective, s)
            compared += 1
    assert compared > 15


def by_fractions(at: Situation, row: int, objective: Objective, s: Sequence[list[float] | None]) -> Fraction:
    """The bound of one row, from the definition."""
    received = {node: [Fraction(e) for e in c[row].tolist()] for node, c in objective.coefficients.items()}
    value = Fraction(float(objective.constant[row]))
    k = len(at.graph.activations)

    def receive(node: int, share: list[Fraction]) -> None:
        before = received.get(node, [Fraction(0)] * len(share))
        received[node] = [a + b for a, b in zip(before, share, strict=True)]

    node = len(at.nodes) - 1
    for layer in reversed(at.net.layers):
        if layer.steps is not None:
            k -= 1
            v, multipliers = received.get(node), s[k]
            if v is not None:
                assert multipliers is not None
                low, high = (ends[k][row].long().tolist() for ends in (at.region.range_lower, at.region.range_upper))
                for j, multiplier in enumerate(map(Fraction, multipliers)):
                    a = np.arange(low[j], high[j] + 1)
                    image = layer.steps.evaluate(np.repeat(a[:, None], len(low), 1))[:, j].tolist()
                    value += max(v[j] * f - multiplier * e for e, f in zip(a.tolist(), image, strict=True))
                receive(node - 1, [Fraction(m) for m in multipliers])
            node -= 1
        v = received.get(node)
        if v is not None:
            value += sum(e * b for e, b in zip(v, layer.bias.tolist(), strict=True))
            receive(
                node - 1,
                [
                    sum((e * w for e, w in zip(v, column, strict=True)), Fraction(0))
                    for column in layer.weight.T.tolist()
                ],
            )
        node -= 1
    box = at.region.take(torch.tensor([row]))
    ends = zip(received.get(0, []), box.lower[0].tolist(), box.upper[0].tolist(), strict=False)
    return value + sum(max(v * Fraction(low), v * Fraction(high)) for v, low, high in ends)


@seeds
def test_at_a_single_point_every_bound_is_the_value(seed: int) -> None:
    """Nothing is relaxed there, so the multipliers cancel."""
    random = np.random.default_rng([4, seed])
    for _ in range(20):
        net = random_network(random)
        x = net.points()[random.integers(0, len(net.points()), 6)]
        graph = net.graph()
        region = box_region(graph, floats(x), floats(x))
        at = Situation(net, graph, x, net.nodes(x), region, np.eye(len(x), dtype=bool))
        objective = random_objective(random, at)
        multipliers = random_multipliers(random, at, (0.0, 0.1, 10.0))
        exact, _ = evaluate_exact(Relaxation(graph, region), objective, multipliers)
        assert (exact.value.numpy() == at.largest(objective)).all()


@seeds
def test_multipliers_of_zero_are_intervals(seed: int) -> None:
    random = np.random.default_rng([5, seed])
    for _ in range(25):
        at = random_situation(random)
        region = propagate_intervals(at.graph, at.region)
        region = region.take(~region.empty())
        output = len(at.graph.nodes) - 1
        rows = len(region)
        if not rows or not at.graph.activations:
            continue
        low, high = node_intervals(at.graph, region)[-1]
        for feature in range(at.graph.output.size):
            for sign, end in ((1.0, high), (-1.0, -low)):
                coefficients = torch.zeros(rows, at.graph.output.size, dtype=torch.float64)
                coefficients[:, feature] = sign
                objective = Objective({output: coefficients}, torch.zeros(rows, dtype=torch.float64))
                zeros = [torch.zeros_like(r) for r in region.range_lower]
                exact, _ = evaluate_exact(Relaxation(at.graph, region), objective, zeros)
                assert torch.equal(exact.value, end[:, feature])


@seeds
def test_optimized_multipliers_are_valid_and_no_worse(seed: int) -> None:
    random = np.random.default_rng([6, seed])
    gained = 0.0
    for _ in range(8):
        at = random_situation(random, layers=int(random.integers(2, 4)))
        relaxation = Relaxation(at.graph, at.region)
        objective = random_objective(random, at)
        largest = at.largest(objective)
        start, before = crown_parameters(relaxation, objective)
        parameters, after = optimize(relaxation, objective, start, Until(15, -1e9))
        again = evaluate_dual(relaxation, objective, parameters.multipliers())
        assert torch.allclose(again.value, after)
        assert (after <= before).all()
        gained += float((before - after).sum())
        exact, _ = evaluate_exact(relaxation, objective, again.s)
        assert (exact.value.numpy() >= largest).all()
    assert gained > 1


@seeds
def test_multipliers_of_the_linear_program_are_valid(seed: int) -> None:
    random = np.random.default_rng([7, seed])
    better = 0
    for _ in range(10):
        at = random_situation(random, layers=int(random.integers(2, 4)), final="general")
        assert has_interior_solver(at.graph)
        relaxation = Relaxation(at.graph, at.region)
        objective = Objective(
            {len(at.graph.nodes) - 1: floats(random.integers(-3, 4, (len(at.region), at.graph.output.size)))},
            torch.zeros(len(at.region), dtype=torch.float64),
        )
        start = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
        known = [m for m in start.s if m is not None]
        solved = InteriorSolver(at.graph).solve(relaxation, objective, known, 20, -torch.inf)
        exact, _ = evaluate_exact(relaxation, objective, solved.s)
        assert (exact.value.numpy() >= at.largest(objective)).all()
        better += int((exact.value < start.value - 1e-6).sum())
    assert better > 5


@seeds
def test_batches_are_their_rows(seed: int) -> None:
    """A shared box and boxes of their own, one row alone or among others: the same exact bound."""
    random = np.random.default_rng([8, seed])
    for _ in range(15):
        at = random_situation(random)
        objective = random_objective(random, at)
        multipliers = random_multipliers(random, at, (0.0, 0.3, 30.0))
        relaxation = Relaxation(at.graph, at.region)
        whole, _ = evaluate_exact(relaxation, objective, multipliers)
        size = len(at.region)
        spread = Region(
            at.region.lower.expand(size, -1),
            at.region.upper.expand(size, -1),
            at.region.range_lower,
            at.region.range_upper,
        )
        own, _ = evaluate_exact(Relaxation(at.graph, spread), objective, multipliers)
        assert torch.equal(own.value, whole.value)
        for row in torch.arange(size).split(1):
            part = at.region.take(row)
            alone, _ = evaluate_exact(Relaxation(at.graph, part), objective.take(row), [m[row] for m in multipliers])
            assert torch.equal(alone.value, whole.value[row])
            assert torch.equal(whole.take(row).value, whole.value[row])
            assert torch.equal(whole.take(row).x.expand(1, -1), whole.x[row])


@seeds
def test_maximizers_attain_the_bound(seed: int) -> None:
    """The bound is the objective at its own maximizers, plus what the multipliers charge for not agreeing."""
    random = np.random.default_rng([9, seed])
    for _ in range(25):
        at = random_situation(random)
        objective = Objective(
            {
                len(at.graph.nodes) - 1: torch.from_numpy(
                    random.integers(-3, 4, (len(at.region), at.graph.output.size))
                ).double()
            },
            torch.zeros(len(at.region), dtype=torch.float64),
        )
        relaxation = Relaxation(at.graph, at.region)
        multipliers = random_multipliers(random, at, (0.0, 0.5, 2.0))
        point, _ = evaluate_exact(relaxation, objective, multipliers)
        assert ((point.x >= at.region.lower) & (point.x <= at.region.upper)).all()
        values = relaxed_values(point)
        total = (objective.coefficients[len(at.graph.nodes) - 1] * values[-1]).sum(-1)
        for k, index in enumerate(at.graph.activations):
            s, conjugate = point.s[k], point.conjugates[k]
            assert s is not None and conjugate is not None
            total = total + (s * (values[at.graph.nodes[index].operands[0]] - conjugate.argument)).sum(-1)
        assert torch.allclose(total, point.value)


def test_multipliers_that_are_missing_are_missed() -> None:
    at = random_situation(np.random.default_rng(0), layers=2, final="general")
    objective = random_objective(np.random.default_rng(0), at)
    with pytest.raises(ValueError, match="there are no multipliers"):
        evaluate_dual(Relaxation(at.graph, at.region), objective, given([None, None]))


def test_exact_evaluation_wants_double_precision() -> None:
    at = random_situation(np.random.default_rng(0), layers=2, final="general")
    objective = random_objective(np.random.default_rng(0), at)
    light = at.region.to(torch.float32)
    with pytest.raises(ValueError, match="float64"):
        evaluate_exact(Relaxation(at.graph, light), objective, random_multipliers(np.random.default_rng(0), at))


@settings(deadline=None, derandomize=True, database=None, max_examples=150)
@given_by(st.data(), st.integers(0, 1 << 20))
def test_whatever_hypothesis_thinks_of(data: st.DataObject, seed: int) -> None:
    """Multipliers drawn one by one: hypothesis likes the ends of floating point."""
    random = np.random.default_rng(seed)
    at = random_situation(random, rows=2, bits=5, layers=2)
    objective = random_objective(random, at)
    number = st.floats(width=64, allow_nan=True, allow_infinity=True) | st.integers(-(1 << 54), 1 << 54).map(float)
    multipliers = [
        torch.tensor(
            data.draw(st.lists(number, min_size=low.numel(), max_size=low.numel())), dtype=torch.float64
        ).reshape(low.shape)
        for low in at.region.range_lower
    ]
    exact, _ = evaluate_exact(Relaxation(at.graph, at.region), objective, multipliers)
    for row in range(2):
        if torch.isfinite(exact.value[row]):
            s = [None if m is None else m[row].tolist() for m in exact.s]
            assert Fraction(float(exact.value[row])) == by_fractions(at, row, objective, s)
    assert (exact.value.numpy() >= at.largest(objective)).all()


@dataclass(frozen=True)
class Difference(Affine):
    """``x - y``: an operator of two operands, as a graph that is no chain has."""

    name = "difference"

    def output_shape(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def to(self, dtype: torch.dtype, device: torch.device) -> Difference:
        return self

    def forward(self, *operands: Tensor) -> Tensor:
        return operands[0] - operands[1]

    def forward_linear(self, *operands: Tensor) -> Tensor:
        return self.forward(*operands)

    def forward_absolute(self, *operands: Tensor) -> Tensor:
        return operands[0] + operands[1]

    def adjoint(self, v: Tensor) -> tuple[Tensor, ...]:
        return v, -v

    def adjoint_absolute(self, v: Tensor) -> tuple[Tensor, ...]:
        return v, v

    def offset(self, v: Tensor) -> Tensor:
        return torch.zeros(v.shape[:-1], dtype=v.dtype)

    def offset_absolute(self) -> Tensor:
        return torch.zeros(1, dtype=torch.float64)


@seeds
def test_graphs_with_branches(seed: int) -> None:
    """``f(W x) - V g(U f(W x))``, and a staircase of that."""
    random = np.random.default_rng([10, seed])
    for _ in range(15):
        first, second = random_network(random, layers=1, final="general"), random_network(random, layers=1)
        x = first.points()
        one = first.layers[0]
        size = len(one.bias)
        assert one.steps is not None
        w, back = random.integers(-2, 3, (3, size)), random.integers(-2, 3, (size, 3))
        bias = second.layers[0].bias[:1].repeat(size)
        a1 = x @ one.weight.T + one.bias
        h1 = one.steps.evaluate(a1)
        a2 = h1 @ w.T
        steps2 = random_steps(random, "jumps", a2)
        h2 = steps2.evaluate(a2)
        b2 = h2 @ back.T + bias
        d = h1 - b2
        steps3 = random_steps(random, "general", d)
        y = steps3.evaluate(d)

        builder = GraphBuilder(Arithmetic.INTEGER, (x.shape[1],))
        node = builder.add("a1", linear(one.weight, one.bias), builder.input)
        node1 = builder.add("h1", one.steps.operator(), node)
        node = builder.add("a2", linear(w, np.zeros(3, np.int64)), node1)
        node = builder.add("h2", steps2.operator(), node)
        node = builder.add("b2", linear(back, bias), node)
        node = builder.add("d", Difference(), node1, node)
        builder.add("y", steps3.operator(), node)
        graph = builder.build()
        assert (graph.evaluate(floats(x)).numpy() == y).all()

        boxes = [np.sort(random.integers(first.lower, first.upper + 1, (2, len(first.lower))), 0) for _ in range(5)]
        region = box_region(graph, floats(np.stack([b[0] for b in boxes])), floats(np.stack([b[1] for b in boxes])))
        relaxation = Relaxation(graph, region)
        coefficients = random.integers(-3, 4, (5, size))
        objective = Objective({7: floats(coefficients), 2: floats(coefficients[:, ::-1])}, torch.zeros(5).double())
        truth = []
        for row, (low, high) in enumerate(boxes):
            inside = ((x >= low) & (x <= high)).all(1)
            assert inside.sum() == len(box_points(low, high))
            truth.append((y[inside] @ coefficients[row] + h1[inside] @ coefficients[row, ::-1]).max())
            for a, lower, upper in zip((a1, a2, d), region.range_lower, region.range_upper, strict=True):
                assert ((a[inside] >= lower[row].numpy()) & (a[inside] <= upper[row].numpy())).all()
        start = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
        for scale in (0.0, 0.1, 3.0):
            s = [torch.from_numpy(random.normal(0, 1, tuple(r.shape)) * scale) for r in region.range_lower]
            for multipliers in (s, [m + e for m, e in zip(start.s, s, strict=True) if m is not None]):
                exact, _ = evaluate_exact(relaxation, objective, multipliers)
                assert (exact.value.numpy() >= np.array(truth)).all()


def linear(weight: Integers, bias: Integers) -> Affine:
    from netproof.operators.affine.linear import Linear

    return Linear(floats(weight), floats(bias))


def test_parameters_can_be_taken_and_put_together() -> None:
    at = random_situation(np.random.default_rng(1), layers=2, final="general")
    alpha = tuple(torch.rand_like(r) for r in at.region.range_lower)
    whole = Parameters(alpha, tuple(2 * a for a in alpha))
    parts = [whole.take(torch.tensor([2, 0])), whole.take(torch.arange(0)), whole.take(torch.tensor([1]))]
    again = Parameters.concatenate(parts)
    assert all(torch.equal(a, b[[2, 0, 1]]) for a, b in zip(again.alpha, alpha, strict=True))
    v = torch.ones_like(alpha[0])
    assert torch.equal(whole.multipliers()(0, v), 3 * alpha[0])
