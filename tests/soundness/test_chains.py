"""Two networks side by side, bounded and searched one box at a time, against rational arithmetic and the other search."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch

from netproof import Settings, Verdict, verify
from netproof.attack.real import FloatAttack
from netproof.bounds.chains import kernels
from netproof.bounds.chains.chains import Chains
from netproof.bounds.chains.kernels import Spare
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.region import box_region, propagate_intervals
from netproof.conditions.conditions import Conditions
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.linear import Linear
from netproof.processes.loops import compiled, is_kept
from netproof.query import Conjunction, Query
from netproof.search.real import input_split
from netproof.search.real.chains import compiled as loops
from netproof.search.real.chains import split, walk
from netproof.search.real.chains.split import ChainSplit
from netproof.search.real.problem import Problem
from soundness.real_networks import double, network_of, rational

SIZES = (2, 5, 4, 2)


def chain_of(builder: GraphBuilder, layers, activation=None) -> int:
    at = builder.input
    for number, (weight, bias) in enumerate(layers):
        at = builder.add("dense", Linear(weight, bias), at)
        if number < len(layers) - 1:
            at = builder.add("relu", activation or ReLU(), at)
    return at


def side_by_side(*chains) -> Graph:
    builder = GraphBuilder(Arithmetic.REAL, (chains[0][0][0].shape[1],))
    ends = [chain_of(builder, layers) for layers in chains]
    builder.add("values", Concatenate(tuple(len(layers[-1][1]) for layers in chains)), *ends)
    return builder.build()


def random_layers(generator: torch.Generator, sizes=SIZES, scale=1.0):
    return [
        (
            (torch.randn(after, before, generator=generator) * scale).float().double(),
            (torch.randn(after, generator=generator) * 0.5).float().double(),
        )
        for before, after in pairwise(sizes)
    ]


def twin_of(layers, generator: torch.Generator, by=0.05):
    return [
        tuple((part + by * torch.randn(part.shape, generator=generator)).float().double() for part in layer)
        for layer in layers
    ]


def exactly(layers, x: list[Fraction]) -> tuple[list[list[Fraction]], list[Fraction]]:
    """The operands of the ReLUs and the outputs, in rational numbers."""
    operands = []
    for number, (weight, bias) in enumerate(layers):
        x = [
            sum((w * v for w, v in zip(row, x, strict=True)), b)
            for row, b in zip(map(rational, weight), rational(bias), strict=True)
        ]
        if number < len(layers) - 1:
            operands.append(x)
            x = [max(v, Fraction(0)) for v in x]
    return operands, x


def differences(graph: Graph, threshold: float) -> Conditions:
    """``y'_i - y_i >= t`` or ``y_i - y'_i >= t``, for every ``i``."""
    outputs = graph.output.size // 2
    one = torch.eye(outputs, dtype=torch.float64)
    rows = torch.cat([torch.cat([-one, one], 1), torch.cat([one, -one], 1)])
    return Conditions.of(graph, condition_of(rows, threshold))


def condition_of(rows: torch.Tensor, threshold: float) -> tuple[Conjunction, ...]:
    return tuple(Conjunction(row[None], double([threshold])) for row in rows)


def bounded(graph: Graph, low, high, threshold=0.0, exact=True):
    """The box with its ranges refined, what is asked, and the bounds of all rows and rules ``[R, 3]``."""
    chains = Chains.of(graph)
    assert chains is not None
    region = propagate_intervals(graph, box_region(graph, double([low]), double([high])))
    rounding = Rounding.of(graph, region)
    layers = chains.layers(rounding)
    conditions = differences(graph, threshold)
    asked = chains.asked(rounding, layers, conditions.outputs, None, conditions.threshold)
    if not exact:
        layers = layers._replace(price=layers.price * 0, unit=np.float64(0))
        asked = asked._replace(error=asked.error * 0)
    first, last = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    center = (first + last) / 2
    box = kernels.Box(center, np.maximum(last - center, center - first), *chains.ranges(region))
    size, inputs, cases = chains.size, graph.input.size, len(conditions)
    x, score, middle, radius = np.zeros((4, inputs))
    way = np.zeros((cases, 2), dtype=np.int64)
    spare = Spare(np.zeros(size), np.zeros((4, size)), x, score, np.zeros(cases), way, middle, radius)
    lines = chains.lines()
    kernels.refine(layers, lines, box, spare)
    bounds = [
        [kernels.row_bound(layers, lines, box, asked, spare, (r, rule)) for rule in range(kernels.RULES)]
        for r in range(cases)
    ]
    return box, np.array(bounds)


@pytest.mark.parametrize("width", [0.0, 1e-6, 0.3, 2.0])
def test_no_value_leaves_its_bound(width):
    generator = torch.Generator().manual_seed(3)
    for _ in range(6):
        one = random_layers(generator)
        pair = (one, twin_of(one, generator))
        graph = side_by_side(*pair)
        low = torch.randn(2, generator=generator).double()
        high = low + width
        box, bounds = bounded(graph, low.tolist(), high.tolist())
        share = torch.rand(12, 2, generator=generator, dtype=torch.float64)
        share[:4] = double([[0, 0], [0, 1], [1, 0], [1, 1]])
        for x in torch.minimum(low + share * (high - low), high):
            found = [exactly(layers, rational(x)) for layers in pair]
            for c, (operands, _) in enumerate(found):
                for k, values in enumerate(operands):
                    for j, value in enumerate(values):
                        # What was settled before is not narrowed any further, and holds.
                        assert Fraction(box.lower[c, k, j]) <= value <= Fraction(box.upper[c, k, j])
            own = [b - a for a, b in zip(found[0][1], found[1][1], strict=True)]
            for row, value in enumerate([*own, *(-v for v in own)]):
                assert all(value <= Fraction(bound) for bound in bounds[row])


def test_bounds_count_what_rounding_takes():
    """At points, between networks whose large values cancel: nothing is lost but by rounding, and that is lost often."""
    generator = torch.Generator().manual_seed(4)
    needed = 0
    for _ in range(30):
        one = random_layers(generator, scale=30.0)
        pair = (one, twin_of(one, generator, 1e-6))
        x = torch.randn(2, generator=generator).double()
        graph = side_by_side(*pair)
        (_, bounds), (_, bare) = (bounded(graph, x.tolist(), x.tolist(), exact=e) for e in (True, False))
        (_, first), (_, second) = (exactly(layers, rational(x)) for layers in pair)
        own = [b - a for a, b in zip(first, second, strict=True)]
        for row, value in enumerate([*own, *(-v for v in own)]):
            assert all(value <= Fraction(bound) for bound in bounds[row])
            assert all(float(bound - float(value)) < 1e-3 for bound in bounds[row])
            needed += any(value > Fraction(bound) for bound in bare[row])
    assert needed > 20


def problem_of(graph: Graph, threshold: float, attack: bool = False) -> tuple[Problem, Query]:
    conditions = differences(graph, threshold)
    one = torch.ones(2, dtype=torch.float64)
    rows = conditions.outputs[:, 0]
    query = Query(network_of(graph), -one, one, condition_of(rows, threshold))
    attacks = FloatAttack(query, conditions, 0) if attack else None
    return Problem(graph, conditions, attacks, 1 << 24), query


@pytest.fixture
def plain(monkeypatch):
    """The walk as plain Python."""
    monkeypatch.setattr(split, "compiled_walk", lambda: walk.walk)


def decide(problem: Problem, most: float = math.inf, deadline: float = math.inf):
    graph = problem.graph
    region = propagate_intervals(graph, box_region(graph, -torch.ones(1, 2).double(), torch.ones(1, 2).double()))
    search = ChainSplit.of(problem, math.inf)
    assert search is not None
    return search.run(region, torch.arange(len(problem.constraints)), deadline, most), region


def test_no_attainable_difference_is_refuted(plain):
    """Thresholds at what some point attains, and a little above what most do: nothing is refuted that the other search does not."""
    generator = torch.Generator().manual_seed(5)
    verdicts = []
    for _ in range(3):
        one = random_layers(generator)
        pair = (one, twin_of(one, generator))
        graph = side_by_side(*pair)
        x = torch.rand(4000, 2, generator=generator, dtype=torch.float64) * 2 - 1
        y = graph.evaluate(x)
        largest = float((y[:, 2:] - y[:, :2]).abs().max())
        for factor in (0.999, 1.5, 2.0):
            problem, _ = problem_of(graph, largest * factor)
            found, region = decide(problem, most=100.0)
            if factor < 1:
                assert found.verdict is not Verdict.UNSAT
            elif found.verdict is Verdict.UNSAT:
                other = input_split.InputSplit(problem).run(region, torch.arange(4), math.inf)
                assert other.verdict is Verdict.UNSAT
            verdicts.append(found.verdict)
    assert verdicts.count(Verdict.UNSAT) >= 3


def test_points_on_the_way_are_witnesses(plain):
    generator = torch.Generator().manual_seed(6)
    one = random_layers(generator)
    graph = side_by_side(one, twin_of(one, generator))
    x = torch.rand(4000, 2, generator=generator, dtype=torch.float64) * 2 - 1
    y = graph.evaluate(x)
    problem, query = problem_of(graph, 0.98 * float((y[:, 2:] - y[:, :2]).abs().max()), attack=True)
    # The replay is that of a file; here the float64 graph is what it is about.
    tried = []

    def try_points(points, case):
        tried.append(points)
        y = graph.evaluate(points)
        margin = problem.constraints.margins(points, y, case).amin(-1)
        return points if bool((margin >= 0).all()) else None

    assert problem.attack is not None
    problem.attack.try_points = try_points
    found, _ = decide(problem)
    assert found.verdict is Verdict.SAT and tried
    assert bool((found.witness >= query.lower).all()) and bool((found.witness <= query.upper).all())


def test_limits_and_boxes_that_stay_open(plain):
    generator = torch.Generator().manual_seed(7)
    layers = random_layers(generator)
    graph = side_by_side(layers, layers)
    # Equal networks differ by 0 everywhere, which no bound comes to.
    problem, _ = problem_of(graph, 0.0)
    found, _ = decide(problem, most=20.0)
    assert found.verdict is Verdict.UNKNOWN and len(found.left) == 4
    found, _ = decide(problem, deadline=-math.inf)
    assert found.verdict is Verdict.TIMEOUT and found.subproblems == 0
    problem, _ = problem_of(graph, 3.0)
    assert decide(problem)[0].verdict is Verdict.UNSAT


def test_a_box_that_cannot_be_split_ends_the_walk(plain, monkeypatch):
    generator = torch.Generator().manual_seed(7)
    layers = random_layers(generator)
    problem, _ = problem_of(side_by_side(layers, layers), 0.0)
    monkeypatch.setattr(split, "CHAINS", replace(split.CHAINS, boxes=12))
    found, _ = decide(problem)
    assert found.verdict is Verdict.UNKNOWN and "split" in found.reason and found.subproblems < 40


def test_compiled_loops_compute_what_is_written(monkeypatch):
    loop = loops.compiled_walk()
    if loop is None:
        pytest.skip("numba is not installed, or compiles nothing here")
    generator = torch.Generator().manual_seed(8)
    one = random_layers(generator)
    graph = side_by_side(one, twin_of(one, generator))
    for threshold in (0.05, 0.4):
        problem, _ = problem_of(graph, threshold)
        ends = []
        for way in (walk.walk, loop):
            monkeypatch.setattr(split, "compiled_walk", lambda way=way: way)
            found, _ = decide(problem, most=300.0)
            ends.append((found.verdict, found.subproblems, found.bound))
        assert ends[0] == ends[1]


def test_what_is_no_chain_is_left_to_others(plain, monkeypatch):
    generator = torch.Generator().manual_seed(9)
    one, other = random_layers(generator), random_layers(generator)
    graph = side_by_side(one, other)
    assert Chains.of(graph) is not None
    assert Chains.of(side_by_side(one, random_layers(generator, (2, 5, 4, 4, 2)))) is None
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    ends = [chain_of(builder, one), chain_of(builder, other, LeakyReLU(0.125))]
    builder.add("values", Concatenate((2, 2)), *ends)
    assert Chains.of(builder.build()) is None
    # A first layer that both have.
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    at = builder.add("relu", ReLU(), builder.add("dense", Linear(*one[0]), builder.input))
    ends = [builder.add("dense", Linear(torch.ones(2, 5).double(), torch.ones(2).double()), at) for _ in range(2)]
    builder.add("values", Concatenate((2, 2)), *ends)
    assert Chains.of(builder.build()) is None
    problem, _ = problem_of(graph, 1.0)
    assert ChainSplit.of(problem, math.inf) is not None
    # The loop is not compiled yet, and there is no time for that.
    assert ChainSplit.of(problem, 0.0) is None
    monkeypatch.setattr(split, "CHAINS", replace(split.CHAINS, widest=4))
    assert ChainSplit.of(problem, math.inf) is None
    monkeypatch.undo()
    monkeypatch.setattr(split, "compiled_walk", lambda: None)
    assert ChainSplit.of(problem, math.inf) is None


@pytest.mark.parametrize("proofs", [False, True])
def test_the_door_leads_there_unless_a_proof_is_wanted(plain, monkeypatch, proofs):
    generator = torch.Generator().manual_seed(10)
    one = random_layers(generator)
    graph = side_by_side(one, twin_of(one, generator, 0.2))
    x = torch.rand(4000, 2, generator=generator, dtype=torch.float64) * 2 - 1
    y = graph.evaluate(x)
    largest = float((y[:, 2:] - y[:, :2]).abs().max())
    runs = []
    own = ChainSplit.run
    monkeypatch.setattr(ChainSplit, "run", lambda self, *a, **k: runs.append(own(self, *a, **k)) or runs[-1])
    settings = Settings(timeout=600.0, attack=False, proofs=proofs)
    _, query = problem_of(graph, 1.3 * largest)
    found = verify(query, settings)
    assert found.verdict is Verdict.UNSAT
    # Of the cases the root leaves some.
    assert [run.verdict for run in runs] == ([] if proofs else [Verdict.UNSAT])
    assert proofs or found.subproblems == runs[0].subproblems


def test_what_the_walk_gives_up_is_searched_otherwise(plain, monkeypatch):
    generator = torch.Generator().manual_seed(10)
    one = random_layers(generator)
    graph = side_by_side(one, twin_of(one, generator, 0.2))
    y = graph.evaluate(torch.rand(4000, 2, generator=generator, dtype=torch.float64) * 2 - 1)
    _, query = problem_of(graph, 1.3 * float((y[:, 2:] - y[:, :2]).abs().max()))
    monkeypatch.setattr(split, "CHAINS", replace(split.CHAINS, boxes=2))
    found = verify(query, Settings(timeout=600.0, attack=False))
    assert found.verdict is Verdict.UNSAT


def below(x):
    return x + 1.0


def above(x):
    return below(x) * 2.0


def test_what_is_kept_of_a_loop_names_what_it_calls():
    found = compiled([below, above], exactly=True, called=1)
    if found is None:
        pytest.skip("numba is not installed, or compiles nothing here")

    def other(x):
        return x + 3.0

    other.__name__ = "below"
    changed = compiled([other, above], exactly=True, called=1)
    assert changed is not None
    assert found[-1](1.0) == 4.0 and changed[-1](1.0) == 8.0
    assert found[-1].py_func.__qualname__ != changed[-1].py_func.__qualname__
    assert is_kept(found[-1]) and is_kept(changed[-1])
    assert not is_kept(walk.walk)
