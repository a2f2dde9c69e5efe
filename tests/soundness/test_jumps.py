"""Values exactly at a jump, where float64 cannot tell the sides: rational intervals against an evaluation of their own."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
import torch

from netproof import Settings, Verdict, verify
from netproof.bounds.rational.jumps import exact_intervals
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.jumps.floor import Floor
from netproof.operators.activations.jumps.step import Step
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.tanh import Tanh
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.sum import Sum
from netproof.query import Conjunction, Query
from soundness.real_networks import double, network_of

SIGN, AT_LEAST, ABOVE = Step(-1.0, 0.0, 1.0), Step(0.0, 1.0, 1.0), Step(0.0, 0.0, 1.0)
ONLY_AT, FLOOR = Step(0.0, 1.0, 0.0), Floor()
FUNCTIONS = {
    SIGN: lambda a: Fraction((a > 0) - (a < 0)),
    AT_LEAST: lambda a: Fraction(int(a >= 0)),
    ABOVE: lambda a: Fraction(int(a > 0)),
    ONLY_AT: lambda a: Fraction(int(a == 0)),
    FLOOR: lambda a: Fraction(math.floor(a)),
}
ALL = pytest.mark.parametrize("operator", FUNCTIONS, ids=lambda one: one.describe() or "floor")


def chain(weights, operator) -> Graph:
    """Affine maps without offsets, the function after the first and a ReLU after the second, which is added to its operand."""
    first, second, third = weights
    builder = GraphBuilder(Arithmetic.REAL, (len(first[0]),))
    at = builder.add("first", Linear(double(first), torch.zeros(len(first)).double()), builder.input)
    at = builder.add("jump", operator, at)
    at = builder.add("second", Linear(double(second), torch.full((len(second),), -0.5).double()), at)
    at = builder.add("sum", Sum((1, 1)), at, builder.add("relu", ReLU(), at))
    builder.add("third", Linear(double(third), torch.zeros(len(third)).double()), at)
    return builder.build()


def outputs(weights, operator, x) -> list[Fraction]:
    """The same in fractions, written down once more."""
    first, second, third = ([[Fraction(c) for c in row] for row in part] for part in weights)
    h = [FUNCTIONS[operator](sum(c * v for c, v in zip(row, x, strict=True))) for row in first]
    h = [sum(c * v for c, v in zip(row, h, strict=True)) - Fraction(1, 2) for row in second]
    h = [v + max(v, Fraction(0)) for v in h]
    return [sum(c * v for c, v in zip(row, h, strict=True)) for row in third]


def drawn(seed: int, inputs: int = 3):
    """Weights, and a point of tenths at which the first features are at their jump exactly."""
    generator = torch.Generator().manual_seed(seed)
    x = [Fraction(int(n), 10) for n in torch.randint(1, 30, (inputs,), generator=generator)]
    x = [Fraction(float(v)) for v in x]
    first = [[float(c) for c in torch.randint(-3, 4, (inputs,), generator=generator)] for _ in range(2)]
    first += [[1.0, -1.0, *[0.0] * (inputs - 2)], [2.0, 1.0, *[0.0] * (inputs - 2)]]
    x[1] = x[0]  # their difference is 0, and that of others is so where they happen to be
    second = torch.randint(-4, 5, (3, 4), generator=generator).double() / 4
    third = torch.randint(-4, 5, (2, 3), generator=generator).double() / 4
    return (first, second.tolist(), third.tolist()), x


def ask(graph: Graph, low, high, row, threshold: Fraction, *, strict: bool = False):
    assert Fraction(float(threshold)) == threshold
    mark = torch.tensor([strict]) if strict else None
    conjunction = Conjunction(double([row]), double([float(threshold)]), strict=mark)
    query = Query(network_of(graph), double(list(map(float, low))), double(list(map(float, high))), (conjunction,))
    return verify(query, Settings(timeout=20.0)).verdict


@ALL
@pytest.mark.parametrize("seed", range(6))
def test_a_point_is_decided_exactly(operator, seed):
    weights, x = drawn(seed)
    graph, true = chain(weights, operator), outputs(weights, operator, x)
    found = exact_intervals(graph, [(v, v) for v in x], lambda: False)
    assert found == [(v, v) for v in true]
    assert ask(graph, x, x, [1.0, 0.0], true[0]) is not Verdict.UNSAT
    assert ask(graph, x, x, [0.0, -1.0], -true[1]) is not Verdict.UNSAT
    assert ask(graph, x, x, [1.0, 0.0], true[0], strict=True) is Verdict.UNSAT
    assert ask(graph, x, x, [1.0, 0.0], true[0] + Fraction(1, 1 << 40)) is Verdict.UNSAT
    assert ask(graph, x, x, [0.0, -1.0], -true[1] + Fraction(1, 1 << 40)) is Verdict.UNSAT


@ALL
@pytest.mark.parametrize("seed", range(4))
def test_intervals_hold_every_point(operator, seed):
    weights, x = drawn(seed, inputs=2)
    graph = chain(weights, operator)
    for reach in ((0, Fraction(1, 4)), (Fraction(1, 2), 0), (Fraction(1, 8), Fraction(1))):
        box = [(v - reach[0], v + reach[1]) for v in x]
        found = exact_intervals(graph, box, lambda: False)
        for part in itertools.product(range(5), repeat=2):
            point = [low + (high - low) * Fraction(i, 4) for (low, high), i in zip(box, part, strict=True)]
            for value, (low, high) in zip(outputs(weights, operator, point), found, strict=True):
                assert low <= value <= high


def test_ranges_that_begin_at_a_jump_are_told():
    """``a >= 0`` on a box where it holds at the end alone, and everywhere else inside: 1 everywhere."""
    weights = ([[1.0, -1.0]], [[1.0]], [[1.0]])
    graph, low = chain(weights, AT_LEAST), [Fraction(3, 10), Fraction(3, 10)]
    low = [Fraction(float(v)) for v in low]
    high = [low[0] + 1, low[1]]
    assert outputs(weights, AT_LEAST, low) == outputs(weights, AT_LEAST, high) == [1]
    assert ask(graph, low, high, [-1.0], Fraction(-1), strict=True) is Verdict.UNSAT
    assert ask(chain(weights, ABOVE), low, high, [-1.0], Fraction(-1), strict=True) is not Verdict.UNSAT


def test_graphs_without_such_intervals():
    box = [(Fraction(1), Fraction(1))]

    def graph(*operators, weight=1.0):
        builder = GraphBuilder(Arithmetic.REAL, (1,))
        at = builder.add("first", Linear(double([[weight]]), torch.zeros(1).double()), builder.input)
        for number, operator in enumerate(operators):
            at = builder.add(f"a{number}", operator, at)
        return builder.build()

    assert exact_intervals(graph(SIGN, Clip(-0.5, 0.5)), box, lambda: False) == [(Fraction(1, 2), Fraction(1, 2))]
    assert exact_intervals(graph(SIGN), box, lambda: True) is None
    assert exact_intervals(graph(SIGN, Tanh()), box, lambda: False) is None
    assert exact_intervals(graph(Floor(8.0), weight=7.5), box, lambda: False) == [(7, 7)]
    assert exact_intervals(graph(Floor(8.0), weight=8.0), box, lambda: False) is None
