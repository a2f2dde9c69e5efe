"""Leaves of the search over signs: what their linear programs decide, and what a solver's false answers cannot."""

from __future__ import annotations

import functools
import itertools
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from netproof import Conjunction, Query, Settings, Verdict, verify
from netproof.attack.real import FloatAttack
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.multipliers.signs import LEFT, RIGHT, SignDual
from netproof.bounds.region import box_region
from netproof.conditions.conditions import Conditions
from netproof.formats.onnx.read import read_onnx
from netproof.graph.graph import GraphBuilder
from netproof.operators.affine.linear import Linear
from netproof.search.real import relu_split
from netproof.search.real.problem import Problem
from netproof.search.real.programs import leaf
from netproof.search.real.programs.leaf import Leaf, SignLeaves, leaf_solver
from netproof.search.real.relu_split import ReluSplit
from netproof.solvers.highs.model import Solution, Status
from netproof.solvers.highs.solve import HighsProcess, SolverError
from onnx_models import model, node, save
from soundness.real_networks import double, network_of, random_graph

INPUTS, SIZES = 10, (10, 4, 3, 2)
#: how far below the maximum a witness is still found; single outputs of float32 are off by a tenth of that
JUST = 1e-6
#: constraints on both outputs that have to hold together
CONDITIONS = ([[1.0, 0.0]], [[1.0, -1.0], [-1.0, 0.5]], [[1.0, 0.0], [0.0, 1.0], [0.5, 0.25]])


def layers(graph):
    linear = [step.operator for step in graph.nodes[1:] if hasattr(step.operator, "weight")]
    return [(one.weight.numpy(), one.bias.numpy()) for one in linear]


def largest_together(graph, lower, upper, rows):
    """The largest ``min(rows @ y)`` over all activation patterns, each a linear program of its own."""
    highspy = pytest.importorskip("highspy")
    *hidden, last = layers(graph)
    best = -np.inf
    for pattern in itertools.product((0.0, 1.0), repeat=sum(len(bias) for _, bias in hidden)):
        slope, offset, at, signs = np.eye(len(lower)), np.zeros(len(lower)), 0, []
        for weight, bias in hidden:
            slope, offset = weight @ slope, weight @ offset + bias
            active = np.array(pattern[at : at + len(bias)])
            at += len(bias)
            signs.append(((2 * active - 1)[:, None] * slope, (2 * active - 1) * offset))
            slope, offset = active[:, None] * slope, active * offset
        slope, offset = last[0] @ slope, last[0] @ offset + last[1]
        solver = highspy.Highs()
        solver.setOptionValue("output_flag", False)
        solver.setOptionValue("threads", 1)
        x = [solver.addVariable(float(a), float(b)) for a, b in zip(lower, upper, strict=True)]
        t = solver.addVariable(-1e6, 1e6)
        for rows_of, constants in signs:
            for row, constant in zip(rows_of, constants, strict=True):
                solver.addConstr(sum((w * v for w, v in zip(row, x, strict=True)), start=0.0 * t) + constant >= 0)
        for row, constant in zip(rows @ slope, rows @ offset, strict=True):
            solver.addConstr(sum((w * v for w, v in zip(row, x, strict=True)), start=-1.0 * t) + constant >= 0)
        solver.maximize(t)
        if solver.getModelStatus() == highspy.HighsModelStatus.kOptimal:
            best = max(best, solver.getObjectiveValue())
    return best


@functools.cache
def _largest(seed, rows):
    return largest_together(*network(seed), np.array(rows))


def network(seed):
    """A network and its box."""
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, SIZES)
    center = torch.randn(INPUTS, generator=generator)
    return graph, (center - 0.375).double(), (center + 0.375).double()


def case(seed, rows):
    """A network, its box, and the largest threshold that both constraints can reach together."""
    return *network(seed), _largest(seed, tuple(map(tuple, rows)))


def query(graph, lower, upper, rows, threshold, cases=1):
    one = Conjunction(double(rows), double([threshold] * len(rows)))
    return Query(network_of(graph), lower, upper, (one,) * cases)


def prepared(asked):
    """What a search over signs begins with."""
    graph = asked.network.graph
    region = box_region(graph, asked.lower[None], asked.upper[None])
    return SignDual.of(graph, region), Rounding.of(graph, region), Conditions.of(graph, asked.condition)


def search(asked, attack=None, seconds=60.0):
    dual, rounding, constraints = prepared(asked)
    found = ReluSplit(Problem(dual.graph, constraints, attack, 1 << 28), dual, rounding)
    return found.run(torch.arange(len(asked.condition)), time.monotonic() + seconds)


def saved(graph, folder):
    """The same network read from a file, so that witnesses can be replayed."""
    nodes, weights, at = [], {}, "x"
    every = layers(graph)
    for number, (weight, bias) in enumerate(every):
        weights[f"w{number}"], weights[f"b{number}"] = weight.T.astype(np.float32), bias.astype(np.float32)
        end = "y" if number == len(every) - 1 else f"a{number}"
        nodes.append(node("Gemm", [at, f"w{number}", f"b{number}"], [end]))
        at = end
        if end != "y":
            nodes.append(node("Relu", [at], [f"h{number}"]))
            at = f"h{number}"
    return read_onnx(save(folder / "net.onnx", model(nodes, (1, INPUTS), weights)))


@pytest.mark.parametrize("rows", CONDITIONS)
@pytest.mark.parametrize("seed", range(3))
def test_thresholds_just_out_of_reach_and_just_in_reach(seed, rows, tmp_path, monkeypatch):
    graph, lower, upper, largest = case(seed, rows)
    for beyond in (1e-6, 1e-8):
        assert search(query(graph, lower, upper, rows, largest + beyond)).verdict is Verdict.UNSAT
    if (seed, rows) == (0, CONDITIONS[2]):
        # What is reached by less than a bound is usually loose by is not refuted, with nothing that looks for a witness.
        assert search(query(graph, lower, upper, rows, largest - 1e-7), seconds=4.0).verdict is not Verdict.UNSAT
    # Nothing is found by climbing: only what bounds and programs propose is tried.
    monkeypatch.setattr(FloatAttack, "ascend", lambda *_: None)
    stored = saved(graph, tmp_path)
    condition = query(graph, lower, upper, rows, largest - JUST).condition
    asked = Query(stored, lower, upper, condition)
    found = search(asked, FloatAttack(asked, Conditions.of(stored.graph, condition), 0))
    assert found.verdict is Verdict.SAT
    assert found.witness is not None
    y = found.witness.output.double()
    assert bool((double(rows) @ y >= largest - JUST).all())


@pytest.mark.parametrize("rows", CONDITIONS[:2])
def test_whole_verification_comes_as_close(rows):
    graph, lower, upper, largest = case(5, rows)
    settings = Settings(timeout=600.0, attack=False)
    assert verify(query(graph, lower, upper, rows, largest + 1e-6), settings).verdict is Verdict.UNSAT
    assert verify(query(graph, lower, upper, rows, largest - 1e-6), settings).verdict is not Verdict.UNSAT


def test_signs_that_contradict_each_other():
    """A leaf that holds no point is refuted whatever the condition is, one that holds some never is."""
    graph, lower, upper, _ = case(0, [[1.0, 0.0]])
    asked = query(graph, lower, upper, [[1.0, 0.0]], -1e3)
    dual, rounding, constraints = prepared(asked)
    generator = torch.Generator().manual_seed(0)
    x = lower + torch.rand(4000, INPUTS, generator=generator).double() * (upper - lower)
    values = [x]
    for step in graph.nodes[1:]:
        operand = values[step.operands[0]]
        linear = hasattr(step.operator, "weight")
        values.append(step.operator.forward(operand) if linear else operand.clamp(min=0))
    before = [values[graph.nodes[index].operands[0]] for index in graph.activations]
    signs = torch.cat([a[:, which] for a, which in zip(before, dual.index, strict=True)], 1) >= 0
    attained = {tuple(row) for row in signs.int().tolist()}
    refuted = 0
    with leaf_solver(1 << 28) as solver:
        programs = SignLeaves(dual, rounding, constraints, solver)
        for pattern in itertools.product((0, 1), repeat=len(dual)):
            side = torch.tensor([RIGHT if bit else LEFT for bit in pattern], dtype=torch.int8)
            answer = programs.bound(0, side, time.monotonic() + 600)
            refuted += answer.value < 0
            assert pattern not in attained or (answer.value >= 0 and answer.point is not None)
    assert 0 < refuted < 2 ** len(dual) and len(attained) > 1


class Liar:
    """A solver that says what it is told to, whatever it is asked."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._random = np.random.default_rng(0)

    def __call__(self, program, deadline, *, relaxed=False, tolerance=None):
        rows, columns, random = len(program.row_lower), len(program.cost), self._random
        if self._kind == "dies":
            raise SolverError("the solver's process was ended by SIGKILL")
        if self._kind == "late":
            return Solution(Status.TIME)
        if self._kind == "infeasible":
            return Solution(Status.INFEASIBLE, None, random.normal(size=rows))
        if self._kind == "no ray":
            return Solution(Status.INFEASIBLE)
        if self._kind == "short":
            return Solution(Status.OPTIMAL, np.zeros(1), np.ones(1))
        prices = {
            "noise": random.normal(size=rows) * 10.0 ** random.integers(-9, 9, rows),
            "huge": np.full(rows, 1e308),
            "nan": np.full(rows, np.nan),
            "negative": np.full(rows, -1.0),
            "zero": np.zeros(rows),
        }[self._kind]
        return Solution(Status.OPTIMAL, random.normal(size=columns) * 1e3 - 1e6, prices)


LIES = ("dies", "late", "infeasible", "no ray", "short", "noise", "huge", "nan", "negative", "zero")


@pytest.mark.parametrize("kind", LIES)
def test_a_solver_that_lies_refutes_nothing(kind, monkeypatch):
    monkeypatch.setattr(HighsProcess, "solve", Liar(kind))  # no function: bound to no object
    monkeypatch.setattr(relu_split, "SIGN", replace(relu_split.SIGN, leaf_rounds=1))
    for seed, rows in itertools.product(range(3), CONDITIONS[:2]):
        graph, lower, upper, largest = case(seed, rows)
        found = search(query(graph, lower, upper, rows, largest - 1e-6), seconds=5.0)
        assert found.verdict is Verdict.UNKNOWN
        assert "stays open" in found.reason


def test_a_leaf_that_stays_open_does_not_end_the_search(tmp_path, monkeypatch):
    rows = CONDITIONS[1]
    graph, lower, upper, largest = case(2, rows)
    stored = saved(graph, tmp_path)
    asked = Query(stored, lower, upper, query(graph, lower, upper, rows, largest - JUST, cases=2).condition)
    constraints = Conditions.of(stored.graph, asked.condition)
    real, seen = SignLeaves.bound, []

    def silent_on_the_first_case(self, number, *given):
        seen.append(number)
        return Leaf(torch.inf) if number == seen[0] else real(self, number, *given)

    monkeypatch.setattr(SignLeaves, "bound", silent_on_the_first_case)
    # Without the points of bounds, the witness can only come from a leaf of the other case.
    tried = FloatAttack.try_points
    monkeypatch.setattr(
        FloatAttack, "try_points", lambda self, x, n: tried(self, x, n) if len(x) == 1 and seen else None
    )
    found = search(asked, FloatAttack(asked, constraints, 0))
    assert found.verdict is Verdict.SAT
    assert set(seen) == {0, 1}
    monkeypatch.setattr(FloatAttack, "try_points", lambda *_: None)
    found = search(asked, FloatAttack(asked, constraints, 0))
    assert found.verdict is Verdict.UNKNOWN
    assert found.left is not None and found.left.tolist() == [0, 1]


def test_programs_of_what_has_overflowed_are_not_written(monkeypatch):
    """Rows whose numbers add up to more than float64 holds have no size that they could be divided by."""
    monkeypatch.setattr(HighsProcess, "solve", lambda *_, **__: pytest.fail("a program was written"))
    small, lower, upper = network(0)
    last = small.nodes[-1].operator
    for factor in (8.0 * 2.0**1020, np.inf):
        builder = GraphBuilder(small.arithmetic, (INPUTS,))
        at = builder.input
        for number, step in enumerate(small.nodes[1:]):
            whole = step.operator is last
            at = builder.add(f"{number}", Linear(last.weight * factor, last.bias) if whole else step.operator, at)
        dual, rounding, constraints = prepared(query(builder.build(), lower, upper, [[1.0, 0.0]], 0.0))
        side = torch.full((len(dual),), RIGHT, dtype=torch.int8)
        with leaf_solver(1 << 28) as solver:
            answer = SignLeaves(dual, rounding, constraints, solver).bound(0, side, time.monotonic() + 60)
        assert answer.value == torch.inf and answer.point is None and not answer.hopeless


def test_programs_too_large_to_be_written_are_not(monkeypatch):
    monkeypatch.setattr(leaf, "LEAF", replace(leaf.LEAF, largest_program=10))
    graph, lower, upper, largest = case(2, CONDITIONS[1])
    asked = query(graph, lower, upper, CONDITIONS[1], largest - 1e-6)
    monkeypatch.setattr(HighsProcess, "solve", lambda *_, **__: pytest.fail("a program was written"))
    assert search(asked).verdict is Verdict.UNKNOWN
