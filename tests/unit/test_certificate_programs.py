"""Linear programs of cells: that what is asked of the solver is the cell's relaxation, and what becomes of its answer.

The solver is replaced by one that keeps what it is asked and answers what it is told; at the end the real one solves by hand what
can be solved by hand.
"""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import Cells, Evaluation
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.property import Constraint
from netproof.certificate.checker.real.tree import Case
from netproof.certificate.real.grown import program as tool
from netproof.solvers.highs.model import Model, Solution, Status
from netproof.solvers.highs.solve import SolverError
from network_shapes import Shape
from soundness.real_evidence import Builder, chain

#: two inputs, four ReLUs, two more, and two outputs
NETWORK = chain(
    [
        [[1.0, 2.0], [3.0, -4.0], [0.0, 5.0], [-1.0, 0.5]],
        [[1.0, -1.0, 2.0, 0.0], [0.0, 3.0, -2.0, 0.25]],
        [[1.0, -2.0], [0.0, 1.0]],
    ],
    [[0.5, 0.0, -1.0, 2.0], [0.25, -0.5], [1.0, -3.0]],
)
#: of the ReLUs: open, on, off (with an end of 0), open by little; on (with an end of 0), open
LOW = (np.array([[-2.0, 1.0, -4.0, -0.75]]), np.array([[0.0, -1.0]]))
HIGH = (np.array([[3.0, 5.0, 0.0, 0.25]]), np.array([[2.0, 4.0]]))
CELL = Cells(np.array([[-1.0, 0.0]]), np.array([[0.5, 2.0]]), LOW, HIGH, ())
#: y0 - 1 >= 0, and 2 y1 + 3 x0 + 1 >= 0
GOAL = Case(
    (
        Constraint((), ((0, Fraction(1)),), Fraction(1), strict=False),
        Constraint(((0, Fraction(3)),), ((1, Fraction(2)),), Fraction(-1), strict=False),
    ),
    5,
)
#: rows before those of the constraints: of six features, two, one, none, two, one, two lines, and one of the least
BEFORE = 6 + 2 + 1 + 0 + 2 + 1 + 2 + 1
LATE = 1e9


class Solver:
    """In the place of the solver's process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[Model, float, bool]] = []
        self.answer: Solution | None = Solution(Status.TIME)
        self.now = 1000.0
        self.takes, self.memory, self.closed = 0.0, 0, 0
        monkeypatch.setattr(tool, "HighsProcess", self.started)
        monkeypatch.setattr(tool, "time", SimpleNamespace(monotonic=lambda: self.now))

    def started(self, memory: int) -> Solver:
        self.memory = memory
        return self

    def solve(self, model: Model, deadline: float, *, relaxed: bool = False) -> Solution:
        self.asked.append((model, deadline, relaxed))
        self.now += self.takes
        if self.answer is None:
            raise SolverError("it died")
        return self.answer

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def solver(monkeypatch) -> Solver:
    return Solver(monkeypatch)


def evaluation_of(network: bytes, inputs: int) -> Evaluation:
    return Evaluation(read_network(network, inputs, Float64(), "n"), Float64())


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluation_of(NETWORK, 2)


def rows_of(model: Model) -> list[tuple[dict[int, float], float, float]]:
    found = []
    for i, (low, high) in enumerate(zip(model.row_lower.tolist(), model.row_upper.tolist(), strict=True)):
        part = slice(model.start[i], model.start[i + 1])
        found.append((dict(zip(model.index[part].tolist(), model.value[part].tolist(), strict=True)), low, high))
    return found


# -- what is asked


def test_the_program_is_the_relaxation_of_the_cell(solver, evaluation):
    other = CELL.take(np.zeros(2, np.int64))
    other.lower[0], other.high[0][0] = -9.0, 9.0
    tool.Programs(evaluation).solved(other, 1, GOAL, 2, LATE)
    ((model, _, relaxed),) = solver.asked
    assert relaxed and not model.integer.any()
    assert model.cost.tolist() == [0.0] * 14 + [-1.0]
    assert model.lower.tolist() == [-1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -2.0, 1.0, -4.0, -0.75, 0.0, -1.0, -1e30]
    assert model.upper.tolist() == [0.5, 2.0, 3.0, 5.0, 0.0, 0.25, 2.0, 4.0, 3.0, 5.0, 0.0, 0.25, 2.0, 4.0, 1e30]
    inf, least = math.inf, 14
    # Inputs 0 and 1, results 2 to 7, operands 8 to 13.
    assert rows_of(model) == [
        ({0: -1.0, 1: -2.0, 8: 1.0}, 0.5, 0.5),
        ({0: -3.0, 1: 4.0, 9: 1.0}, 0.0, 0.0),
        ({1: -5.0, 10: 1.0}, -1.0, -1.0),
        ({0: 1.0, 1: -0.5, 11: 1.0}, 2.0, 2.0),
        ({2: -1.0, 3: 1.0, 4: -2.0, 12: 1.0}, 0.25, 0.25),
        ({3: -3.0, 4: 2.0, 5: -0.25, 13: 1.0}, -0.5, -0.5),
        ({2: 1.0, 8: -1.0}, 0.0, inf),
        ({2: 1.0, 8: -0.6}, -inf, 1.2),
        ({3: 1.0, 9: -1.0}, 0.0, 0.0),
        ({5: 1.0, 11: -1.0}, 0.0, inf),
        ({5: 1.0, 11: -0.25}, -inf, 0.1875),
        ({6: 1.0, 12: -1.0}, 0.0, 0.0),
        ({7: 1.0, 13: -1.0}, 0.0, inf),
        ({7: 1.0, 13: -0.8}, -inf, 0.8),
        ({least: 1.0}, -inf, inf),
        ({6: -1.0, 7: 2.0, least: 1.0}, -inf, 0.0),
        ({0: -3.0, 7: -2.0, least: 1.0}, -inf, -5.0),
    ]
    assert len(rows_of(model)) == BEFORE + 2


def test_what_is_off_gives_0(solver, evaluation):
    cell = CELL.take(np.zeros(1, np.int64))
    cell.high[0][0, 2] = -0.5
    tool.Programs(evaluation).solved(cell, 0, GOAL, 2, LATE)
    ((model, *_),) = solver.asked
    assert (model.lower[4], model.upper[4]) == (0.0, 0.0) and (model.lower[10], model.upper[10]) == (-4.0, -0.5)
    assert len(rows_of(model)) == BEFORE + 2


def test_values_that_are_used_twice_are_followed(solver):
    made = Builder([1, 2], dtype=np.float64)
    first = made.node("Relu", made.node("Add", "x", made.constant([0.25, -0.5])))
    both = made.node("Relu", made.node("Sub", first, "x"))
    network = made.bytes(made.node("Add", made.node("Add", first, both), made.constant([7.0, 8.0])))
    evaluation = evaluation_of(network, 2)
    programs = tool.Programs(evaluation)
    root = evaluation.root(np.array([-1.0, -1.0]), np.array([1.0, 1.0]))
    goal = Case((Constraint((), ((1, Fraction(1)),), Fraction(0), strict=False),), len(evaluation.network.nodes) - 1)
    programs.solved(root, 0, goal, 1, LATE)
    rows = rows_of(solver.asked[0][0])
    assert rows[:4] == [
        ({0: -1.0, 6: 1.0}, 0.25, 0.25), ({1: -1.0, 7: 1.0}, -0.5, -0.5),
        ({0: 1.0, 2: -1.0, 8: 1.0}, 0.0, 0.0), ({1: 1.0, 3: -1.0, 9: 1.0}, 0.0, 0.0),
    ]  # fmt: skip
    assert rows[-1] == ({3: -1.0, 5: -1.0, 10: 1.0}, -math.inf, 8.0)
    # What nodes are of inputs and ReLUs is found once.
    assert programs._known() is programs._known()


@pytest.mark.parametrize("part", ["lower", "upper", "low", "high"])
def test_of_a_cell_without_ends_there_is_no_program(solver, evaluation, part):
    cell = CELL.take(np.zeros(1, np.int64))
    ends = getattr(cell, part)
    (ends[1] if isinstance(ends, tuple) else ends)[0, 0] = -math.inf if part in ("lower", "low") else math.inf
    assert tool.Programs(evaluation).solved(cell, 0, GOAL, 2, LATE) is None and not solver.asked


def test_nor_of_constraints_that_a_goal_does_not_have(solver, evaluation):
    assert tool.Programs(evaluation).solved(CELL, 0, GOAL, 3, LATE) is None and not solver.asked
    tool.Programs(evaluation).solved(CELL, 0, GOAL, 1, LATE)
    assert len(rows_of(solver.asked[0][0])) == BEFORE + 1


def test_each_program_and_all_of_them_have_their_time(solver, evaluation):
    programs = tool.Programs(evaluation)
    each, every = tool._SECONDS, tool._ALL_SECONDS
    assert 1 <= each <= every / 2
    solver.takes = every - 1.5 * each

    def until(deadline: float = LATE) -> float:
        begun = solver.now
        assert programs.solved(CELL, 0, GOAL, 2, deadline) is None
        return solver.asked[-1][1] - begun

    assert until() == each
    solver.takes, solver.answer = each, None
    assert until() == each
    # A program that fails counts, too.
    assert until() == each / 2
    assert until(solver.now - 100.0) == -100.0
    solver.takes = 0.0
    fresh = tool.Programs(evaluation)
    fresh.solved(CELL, 0, GOAL, 2, solver.now + 0.5)
    assert solver.asked[-1][1] == solver.now + 0.5


# -- what becomes of the answer


def dual_of(*weight: float, multiplier=(0.0,) * 6) -> np.ndarray:
    """Duals as the solver has them, with other numbers for what is not looked at."""
    return np.array([*(-m for m in multiplier), *range(50, 50 + BEFORE - 6), *(-w for w in weight)])


POINT = np.array([0.0, 0.0, 1.5, 2.0, 0.0, 0.25, 1.0, 3.0, 0.5, 2.0, -3.0, -0.5, 1.0, -1.0, 7.0])


@pytest.mark.parametrize(
    ("status", "weight", "multiplier", "weights", "multipliers"),
    [
        (Status.OPTIMAL, (0.5, 2.0), (1.0, -3.0, 0.0, 0.5, 4.0, -8.0), [0.25, 1.0], [0.5, -1.5, 0.0, 0.25, 2.0, -4.0]),
        (Status.OPTIMAL, (0.25, -0.125), (1.0, 0, 0, 0, 0, 0), [1.0, 0.0], [4.0, 0, 0, 0, 0, 0]),
        (Status.INFEASIBLE, (0.0, 0.0), (0.25, 0, 0, -0.5, 0, 0), [0.0, 0.0], [0.5, 0, 0, -1.0, 0, 0]),
        (Status.INFEASIBLE, (8.0, 0.0), (2.0, 0, 0, -4.0, 0, 0), [2.0, 0.0], [0.5, 0, 0, -1.0, 0, 0]),
    ],
)
def test_duals_are_in_parts_of_the_largest_weight(solver, evaluation, status, weight, multiplier, weights, multipliers):
    for point in (None, POINT):
        solver.answer = Solution(status, point, dual_of(*weight, multiplier=multiplier))
        dual = tool.Programs(evaluation).solved(CELL, 0, GOAL, 2, LATE)
        assert dual is not None
        assert dual.weight.tolist() == weights and dual.multiplier.tolist() == multipliers
        assert (dual.gap is None) == (point is None)
    # By how much what ReLUs give in the solution exceeds what they should.
    assert dual.gap is not None and dual.gap.tolist() == [1.0, 0.0, 0.0, 0.25, 0.0, 3.0]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        Solution(Status.TIME),
        Solution(Status.OPTIMAL, POINT),
        Solution(Status.INFEASIBLE),
        Solution(Status.OTHER, POINT, dual_of(1.0, 1.0, multiplier=(1.0,) * 6)),
        Solution(Status.TIME, POINT, dual_of(1.0, 1.0, multiplier=(1.0,) * 6)),
        # The solution does not depend on the constraints, or not on the network.
        Solution(Status.OPTIMAL, POINT, dual_of(0.0, -1.0, multiplier=(1.0,) * 6)),
        Solution(Status.INFEASIBLE, None, dual_of(1.0, 1.0)),
    ],
)
def test_other_answers_say_nothing(solver, evaluation, answer):
    solver.answer = answer
    assert tool.Programs(evaluation).solved(CELL, 0, GOAL, 2, LATE) is None and len(solver.asked) == 1


# -- of which networks


def test_the_solver_is_given_memory_and_ended(solver, evaluation):
    with tool.Programs(evaluation) as programs:
        assert isinstance(programs, tool.Programs) and solver.memory >= 1 << 28 and not solver.closed
    assert solver.closed == 1


@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize(
    ("bends", "inputs", "are_small"),
    [
        ([(RELU, 6)], 5, True),
        ([(RELU, 2), (RELU, 4)], 5, True),
        ([(RELU, 3), (RELU, 4)], 5, False),
        ([(RELU, 6)], 6, False),
        ([(RELU, 7)], 6, False),
        ([(RELU, 1), ("sigmoid", 1)], 5, False),
        ([("sigmoid", 1)], 1, False),
        ([("sigmoid", 9)], 9, False),
        # Of constraints on a network without activations mixtures are found.
        ([], 5, True),
        ([], 6, False),
    ],
)
def test_programs_are_made_of_small_networks_of_relus(monkeypatch, bends, inputs, are_small):
    monkeypatch.setattr(tool, "_FEATURES", 6)
    monkeypatch.setattr(tool, "_INPUTS", 5)
    shape = Shape(*bends)
    shape.network.inputs = inputs
    assert tool.Programs(shape).are_small == are_small  # type: ignore[arg-type]


# -- with the solver


def test_duals_of_the_solver_prove_what_they_say():
    """|x| on [-1, 1]: 2 |x| - 3 >= 0 is refuted by its chords, and its solution misses both ReLUs in the middle."""
    network = chain([[[1.0], [-1.0]], [[2.0, 2.0]]], [[0.0, 0.0], [0.0]])
    evaluation = evaluation_of(network, 1)
    root = evaluation.root(np.array([-1.0]), np.array([1.0]))
    goal = Case((Constraint((), ((0, Fraction(1)),), Fraction(3), strict=False),), 3)
    with tool.Programs(evaluation) as programs:
        dual = programs.solved(root, 0, goal, 1, math.inf)
    assert dual is not None and dual.gap is not None
    assert dual.weight.tolist() == [1.0] and dual.multiplier == pytest.approx([1.0, 1.0])
    # The bound is attained wherever the lines above are: r + s is 1 there, and |x| is not.
    assert (dual.gap >= -1e-9).all() and dual.gap.sum() <= 1.0 + 1e-9
