"""The programs of leaves: what the solver is asked, what is made of its answer, and when it is not asked."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.multipliers.signs import LEFT, RIGHT, SignDual
from netproof.bounds.region import Region
from netproof.conditions.conditions import Conditions
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.linear import Linear
from netproof.search.proofs.journal import Means
from netproof.search.real.programs import leaf
from netproof.search.real.programs.leaf import Leaf, SignEnds, SignLeaves, leaf_solver
from netproof.solvers.highs.model import Solution, Status
from netproof.solvers.highs.solve import SolverError

#: the second feature is never below 0, although its range does not say so; the fourth just comes down to 0
WEIGHT = [[1.0, 1.0], [1.0, 0.0], [2.0, 0.0], [1.0, 0.0]]
BIAS = [-0.25, 3.0, 0.0, 1.0]
SIDE = torch.tensor([RIGHT, RIGHT, LEFT, RIGHT], dtype=torch.int8)
#: of ``u``, which is the first input, constraints and those signs that may fail: slope, offset
MARGINS = [(1.0, -0.25), (-1.0, 0.75)]
SIGNS = [(1.0, 0.25), (-2.0, 0.0), (1.0, 1.0)]
SIZES = [1.25, 1.75, 1.25, 2.0, 2.0]


class Solver:
    """Answers what it is told, and remembers what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def solve(self, program, until, *, relaxed, tolerance):
        self.asked.append((program, until, relaxed, tolerance))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def programs(*answers, scale=1.0):
    """``h = relu(W x + b)`` on ``[-1, 1] x {0.5}``; the first case is about ``h_0 - h_2`` and ``-h_0 + 2 h_2``."""
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    at = builder.add("in", Linear(torch.tensor(WEIGHT).double(), torch.tensor(BIAS).double()), builder.input)
    builder.add("act", ReLU(), at)
    graph = builder.build()
    ends = torch.tensor([[-1.0, 0.5]]).double(), torch.tensor([[1.0, 0.5]]).double()
    loose = torch.full((1, 4), 9.0).double()
    region = Region(*ends, (-loose,), (loose,))
    rows = torch.tensor([[1.0, 0.0, -1.0, 0.0], [-1.0, 0.0, 2.0, 0.0]]).double() * scale
    constraints = Conditions(
        graph, torch.stack([rows, -rows]), None, torch.tensor([[0.5, -1.0], [0.0, 0.0]]).double() * scale
    )
    solver = Solver(*answers)
    return SignLeaves(SignDual.of(graph, region), Rounding.of(graph, region), constraints, solver), solver


def later(seconds=60.0):
    return time.monotonic() + seconds


def dense(program):
    matrix = np.zeros((len(program.row_lower), len(program.cost)))
    for row, (begin, end) in enumerate(zip(program.start[:-1], program.start[1:], strict=True)):
        matrix[row, program.index[begin:end]] = program.value[begin:end]
    return matrix


def check_program(asked, elastic):
    program, _, relaxed, tolerance = asked
    assert relaxed and 1e-10 <= tolerance <= 1e-9
    lines = np.array(MARGINS + SIGNS) / np.array(SIZES)[:, None]
    t = np.where(np.arange(5) < (5 if elastic else 2), -1.0, 0.0)
    np.testing.assert_allclose(dense(program), np.stack([lines[:, 0], t], 1))
    np.testing.assert_allclose(program.row_lower, -lines[:, 1])
    assert (program.row_upper == np.inf).all() and program.integer.dtype == np.bool_
    assert not program.integer.any()
    assert program.cost.tolist() == [0.0, -1.0]
    assert program.lower.tolist() == [-1.0, -np.inf]
    assert program.upper.tolist() == [1.0, 0.0 if elastic else np.inf]


def test_the_program_of_a_leaf():
    some, solver = programs(Solution(Status.OPTIMAL))
    some.bound(0, SIDE, later())
    (asked,) = solver.asked
    check_program(asked, elastic=False)


def test_signs_are_relaxed_where_there_is_no_point():
    for status in Status:
        some, solver = programs(Solution(status), Solution(Status.OPTIMAL))
        some.bound(0, SIDE, later())
        check_program(solver.asked[0], elastic=False)
        if status in (Status.OPTIMAL, Status.TIME):
            assert len(solver.asked) == 1
        else:
            check_program(solver.asked[1], elastic=True)


def test_many_signs_are_passed_back_in_parts(monkeypatch):
    monkeypatch.setattr(leaf, "LEAF", replace(leaf.LEAF, rows=3))
    some, solver = programs(Solution(Status.OPTIMAL))
    some.bound(0, SIDE, later())
    check_program(solver.asked[0], elastic=False)


@pytest.mark.parametrize("factor", [1.0, 1e-300, 1e300, 2.0**-1060])
def test_prices_become_weights_and_multipliers(factor, monkeypatch):
    some, _ = programs(Solution(Status.OPTIMAL, None, factor * np.array([2.0, -1.0, 4.0, 6.0, 0.0])))
    seen = {}
    monkeypatch.setattr(
        SignLeaves, "evaluate", lambda self, case, side, weight, beta: seen.update(w=weight, b=beta, c=case) or -3.5
    )
    answer = some.bound(1, SIDE, later())
    assert answer.value == -3.5 and answer.point is None and not answer.hopeless
    # 2 / 1.25, 0, 4 / 1.25 and 6 / 2, of the largest
    assert seen["c"] == 1
    assert seen["w"].tolist() == pytest.approx([0.5, 0.0])
    assert seen["b"].tolist() == pytest.approx([1.0, 0.0, 0.9375, 0.0])


@pytest.mark.parametrize(
    "prices",
    [
        None,
        np.zeros(5),
        np.full(5, -1.0),
        np.ones(4),
        np.ones(6),
        np.ones((5, 1)),
        np.array([1.0, np.nan, 0.0, 0.0, 0.0]),
        np.array([1.0, np.inf, 0.0, 0.0, 0.0]),
        np.array([1.0, -np.inf, 0.0, 0.0, 0.0]),
    ],
)
def test_prices_that_are_none_refute_nothing(prices, monkeypatch):
    some, _ = programs(Solution(Status.OPTIMAL, None, prices))
    monkeypatch.setattr(SignLeaves, "evaluate", lambda *_: pytest.fail("evaluated"))
    assert some.bound(0, SIDE, later()).value == math.inf


def test_the_value_of_a_leaf():
    """``0.25 (u - 0.25) + 0.25 (0.75 - u) = 0.125``; with signs, ``u + 0.25 - 0.5 + beta (-2 u)`` and so on."""
    some, _ = programs()
    none = torch.zeros(4).double()
    assert some.evaluate(0, SIDE, torch.tensor([0.25, 0.25]).double(), none) == pytest.approx(0.125)
    assert some.evaluate(0, SIDE, torch.tensor([1.0, 0.0]).double(), none) == pytest.approx(0.75)
    beta = torch.tensor([0.0, 0.0, 0.5, 0.0]).double()
    assert some.evaluate(0, SIDE, torch.tensor([1.0, 0.0]).double(), beta) == pytest.approx(-0.25)
    assert some.evaluate(1, SIDE, torch.tensor([0.0, 1.0]).double(), none) == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("known", "x"),
    [
        ([0.5, 0.0], [0.5, 0.5]),
        ([3.0, 0.0], [1.0, 0.5]),
        ([-3.0, 0.0], [-1.0, 0.5]),
        ([0.5], None),
        ([0.5, 0.0, 0.0], None),
        ([np.nan, 0.0], None),
        ([0.5, np.inf], None),
        (None, None),
    ],
)
def test_the_point_of_a_leaf(known, x):
    some, _ = programs(Solution(Status.OPTIMAL, None if known is None else np.array(known)))
    answer = some.bound(0, SIDE, later())
    assert (None if answer.point is None else answer.point.tolist()) == x
    assert answer.hopeless is (x is not None)


@pytest.mark.parametrize(
    ("status", "t", "hopeless"),
    [
        (Status.OPTIMAL, 0.5, True),
        (Status.OPTIMAL, 0.0, True),
        (Status.OPTIMAL, -1e-8, True),
        (Status.OPTIMAL, -1.1e-8, False),
        (Status.OPTIMAL, -1.0, False),
        (Status.TIME, 0.5, False),
    ],
)
def test_a_leaf_is_hopeless_where_the_best_point_meets_it(status, t, hopeless):
    some, _ = programs(Solution(status, np.array([0.25, t])))
    answer = some.bound(0, SIDE, later())
    assert answer.hopeless is hopeless and answer.point is not None


def test_a_solver_that_fails_twice_is_not_asked_again():
    some, solver = programs(SolverError("one"), Solution(Status.OPTIMAL), SolverError("two"), Solution(Status.OPTIMAL))
    for asked in (1, 2, 3, 3):
        answer = some.bound(0, SIDE, later())
        assert answer.value == math.inf and answer.point is None and not answer.hopeless
        assert len(solver.asked) == asked


@pytest.mark.parametrize(("largest", "asked"), [(5, 0), (6, 1)])
def test_a_program_that_is_too_large_is_not_written(largest, asked, monkeypatch):
    """Four signs and two constraints, in one input that varies."""
    monkeypatch.setattr(leaf, "LEAF", replace(leaf.LEAF, largest_program=largest))
    some, solver = programs(Solution(Status.OPTIMAL))
    assert some.bound(0, SIDE, later()).value == math.inf
    assert len(solver.asked) == asked


def test_no_more_time_than_there_is(monkeypatch):
    some, solver = programs(Solution(Status.OPTIMAL), Solution(Status.OPTIMAL))
    assert some.bound(0, SIDE, later(-1)).value == math.inf and not solver.asked
    deadline = later(5.0)
    some.bound(0, SIDE, deadline)
    assert solver.asked[0][1] == deadline
    begun = time.monotonic()
    some.bound(0, SIDE, later(1e9))
    assert begun + leaf.LEAF.seconds <= solver.asked[1][1] <= time.monotonic() + leaf.LEAF.seconds
    # The clock stops the writing of signs, or comes just before the solver.
    for ticks in ([0.0, leaf.LEAF.seconds], [0.0, 0.0, leaf.LEAF.seconds]):
        clock = iter(ticks)
        monkeypatch.setattr(leaf.time, "monotonic", clock.__next__)
        assert some.bound(0, SIDE, 50.0).value == math.inf
        assert len(solver.asked) == 2 and not list(clock)


def test_constraints_so_small_that_their_prices_overflow_refute_nothing():
    some, _ = programs(Solution(Status.OPTIMAL, None, np.ones(5)), scale=1e-310)
    assert some.bound(0, SIDE, later()).value == math.inf


def test_a_line_is_divided_by_the_largest_that_it_can_be():
    lines = leaf.Lines(np.array([[0.0, 0.0], [0.25, -0.5], [3.0, 0.0]]), np.array([0.0, 0.125, -2.0]))
    assert lines.size.tolist() == [1.0, 0.875, 5.0]


def test_a_solver_occupies_no_more_than_it_may():
    assert [leaf_solver(size)._memory for size in (1 << 20, 1 << 30, 1 << 40)] == [1 << 20, 1 << 30, 1 << 30]


# -- what closes a leaf, and what is taken down of it


class Remembered:
    """Remembers what it was called with, by any method, and answers what it was told."""

    def __init__(self, answer=None):
        self.calls, self._answer = [], answer

    def __getattr__(self, name):
        def called(*arguments):
            self.calls.append((name, *arguments))
            return self._answer

        return called


def ends_of(bound, *, touch=None, attack=None, record=None):
    """The ends of a search whose one leaf is as it is said to be."""
    some, solver = programs()
    problem = SimpleNamespace(constraints=some._constraints, touch=touch, attack=attack, record=record)
    found = SignEnds(problem, some._dual, some._rounding, solver)
    found._leaves = Remembered(bound)
    return found


NODE = torch.tensor([7])
MULTIPLIERS = {"weight": torch.tensor([1.0, 0.5]).double(), "beta": torch.tensor([0.0, 2.0, 0.0, 1.0]).double()}


def test_a_leaf_that_its_program_refutes_is_taken_down_with_its_multipliers():
    record, touch, attack = Remembered(), Remembered(), Remembered()
    ends = ends_of(Leaf(-0.5, **MULTIPLIERS), record=record, touch=touch, attack=attack)
    assert ends.close(1, SIDE, NODE, 5.0) is None
    assert ends._leaves.calls == [("bound", 1, SIDE, 5.0)] and not touch.calls and not attack.calls
    ((name, node, by),) = record.calls
    assert name == "leaf" and node is NODE and by.means is Means.SIGNS
    assert by.weight.tolist() == [[1.0, 0.5]]
    assert [part.tolist() for part in by.s] == [[[0.0] * 4], [[0.0, 2.0, 0.0, 1.0]]]


def test_a_leaf_without_multipliers_is_taken_down_by_what_refutes_it_alone():
    for given in ({}, {"weight": MULTIPLIERS["weight"]}, {"beta": MULTIPLIERS["beta"]}):
        record = Remembered()
        assert ends_of(Leaf(-0.5, **given), record=record).close(0, SIDE, NODE, 5.0) is None
        ((_, _, by),) = record.calls
        assert by.means is Means.SIGNS and by.weight is None and by.s == ()


def test_nothing_is_taken_down_where_there_is_no_record_or_no_node():
    assert ends_of(Leaf(-0.5, **MULTIPLIERS)).close(0, SIDE, NODE, 5.0) is None
    record = Remembered()
    assert ends_of(Leaf(-0.5, **MULTIPLIERS), record=record).close(0, SIDE, None, 5.0) is None
    assert not record.calls


def test_a_leaf_that_fractions_refute_is_taken_down_by_that():
    record, touch, attack = Remembered(), Remembered((torch.tensor(True), None)), Remembered()
    ends = ends_of(Leaf(0.0, point=torch.zeros(2), **MULTIPLIERS), record=record, touch=touch, attack=attack)
    assert ends.close(1, SIDE, NODE, 5.0) is None
    ((name, part, row, cases, deadline),) = touch.calls
    assert (name, row, cases, deadline) == ("refutes", 0, [1], 5.0)
    assert type(part) is type(ends._dual.part(SIDE)) and not attack.calls
    ((_, node, by),) = record.calls
    assert node is NODE and by.means is Means.FRACTIONS and by.weight is None


@pytest.mark.parametrize("value", [0.0, 0.25, math.inf, math.nan])
def test_a_leaf_that_nothing_refutes_stays_open(value):
    point, witness = torch.tensor([0.5, 0.25]), object()
    for touch in (None, Remembered((torch.tensor(False), None))):
        record, attack = Remembered(), Remembered(witness)
        ends = ends_of(Leaf(value, point, True, **MULTIPLIERS), record=record, touch=touch, attack=attack)
        left = ends.close(1, SIDE, NODE, 5.0)
        assert left.witness is witness and left.hopeless and not record.calls
        ((name, points, cases),) = attack.calls
        assert name == "try_points" and points.tolist() == [[0.5, 0.25]] and cases.tolist() == [1]
    for given in ({"attack": None}, {"attack": Remembered(witness)}):
        left = ends_of(Leaf(value, None if given["attack"] else point), **given).close(1, SIDE, NODE, 5.0)
        assert left.witness is None and not left.hopeless
