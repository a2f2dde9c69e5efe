"""The adapter to HiGHS: a process that may die, hang, be missing or run out of memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from netproof.exact.milp.engine import MilpEngine
from netproof.exact.milp.rounding import roundings
from netproof.processes import child
from netproof.query import Query, Verdict
from netproof.settings import Settings
from netproof.solvers.highs import solve as adapter
from netproof.solvers.highs.model import Model, ModelBuilder, Status
from netproof.solvers.highs.solve import HighsProcess, SolverError
from soundness.random_networks import floats, random_network, tight_query

MEMORY = 1 << 30


def knapsack(columns: int = 3) -> Model:
    """Maximize a sum that may not exceed 5.5."""
    builder = ModelBuilder()
    x = builder.columns(np.zeros(columns), np.full(columns, 9.0), integer=True)
    builder.row(x, np.ones(columns), -np.inf, 5.5)
    model = builder.build()
    model.cost[:] = -1
    return model


def soon() -> float:
    return time.monotonic() + 600


def hard_query() -> Query:
    """A query that ranges alone do not refute, and neither does one evaluation."""
    for seed in range(100):
        random = np.random.default_rng([31, seed])
        net = random_network(random, layers=3, final="shared")
        query = tight_query(random, net, net.network())
        with MilpEngine() as engine:
            if engine.decide(query, Settings(), soon()).statistics["programs"] > 2:
                return query
    raise AssertionError("no seed gives one")


def test_integers_and_their_relaxation():
    with HighsProcess(MEMORY) as solver:
        whole = solver.solve(knapsack(), soon())
        relaxed = solver.solve(knapsack(), soon(), relaxed=True)
    assert whole.status is relaxed.status is Status.OPTIMAL
    assert whole.point is not None and whole.point.sum() == pytest.approx(5)
    assert relaxed.point is not None and relaxed.point.sum() == pytest.approx(5.5)
    assert relaxed.dual == pytest.approx([-1.0])


def test_an_infeasible_linear_program_comes_with_a_ray():
    builder = ModelBuilder()
    x = builder.columns(np.zeros(2), np.ones(2))
    builder.row(x, [1.0, 1.0], 3.0, np.inf)
    with HighsProcess(MEMORY) as solver:
        solution = solver.solve(builder.build(), soon(), relaxed=True)
    assert solution.status is Status.INFEASIBLE and solution.point is None
    assert solution.dual is not None and solution.dual[0] != 0


@pytest.mark.parametrize("right, status", [(0.0, Status.OPTIMAL), (1.0, Status.INFEASIBLE)])
def test_a_model_without_columns(right: float, status: Status):
    builder = ModelBuilder()
    builder.row([], [], right, np.inf)
    with HighsProcess(MEMORY) as solver:
        assert solver.solve(builder.build(), soon()).status is status


def test_no_time_left_is_a_time_limit():
    with HighsProcess(MEMORY) as solver:
        assert solver.solve(knapsack(), time.monotonic() - 1).status is Status.TIME


def stand_in(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Start Python code in place of the worker."""
    monkeypatch.setattr(child, "_BOOT", program.replace("{", "{{").replace("}", "}}"))


def test_a_solver_that_does_not_notice_the_time_is_ended(monkeypatch: pytest.MonkeyPatch):
    stand_in(monkeypatch, "import time; time.sleep(3600)")
    with HighsProcess(MEMORY) as solver:
        assert solver.solve(knapsack(), time.monotonic() + 0.2).status is Status.TIME
        assert solver._child is None


@pytest.mark.parametrize(
    "program, words",
    [
        ("import sys; sys.exit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import sys; sys.stdin.buffer.read(9); sys.stdout.buffer.write(b'\\x00')", "exit code 0"),
        ("raise MemoryError", "exit code 1"),
    ],
)
def test_a_solver_that_dies(monkeypatch: pytest.MonkeyPatch, program: str, words: str):
    stand_in(monkeypatch, program)
    with HighsProcess(MEMORY) as solver, pytest.raises(SolverError, match=words):
        solver.solve(knapsack(), soon())
    with MilpEngine() as engine:
        answer = engine.decide(hard(), Settings(), soon())
    assert answer.verdict is Verdict.UNKNOWN and words in answer.reason and answer.point is None


_HARD: list[Query] = []


def hard() -> Query:
    assert _HARD
    return _HARD[0]


@pytest.fixture(autouse=True, scope="module")
def a_hard_query():
    _HARD.append(hard_query())
    yield
    _HARD.clear()


def test_a_dead_process_is_replaced():
    with HighsProcess(MEMORY) as solver:
        solver.solve(knapsack(), soon())
        assert solver._child is not None
        os.kill(solver._child.process.pid, signal.SIGKILL)
        with pytest.raises(SolverError, match="SIGKILL"):
            solver.solve(knapsack(), soon())
        assert solver.solve(knapsack(), soon()).status is Status.OPTIMAL


def test_out_of_memory_is_said():
    # Less than the model itself takes, once it has arrived.
    with HighsProcess(1 << 20) as solver, pytest.raises(SolverError, match="memory"):
        solver.solve(knapsack(1_000_000), soon())


def test_a_missing_solver_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(adapter, "find_spec", lambda name: None)
    with MilpEngine() as engine:
        answer = engine.decide(hard(), Settings(), soon())
    assert answer.verdict is Verdict.UNKNOWN and "install highspy" in answer.reason


def test_the_engine_ends_its_process():
    with MilpEngine() as engine:
        engine.decide(hard(), Settings(), soon())
        assert engine._solver is not None
        assert engine._solver[1]._child is not None
        process = engine._solver[1]._child.process
        assert process.poll() is None
    assert process.poll() is not None


def test_an_engine_that_is_dropped_ends_its_process():
    engine = MilpEngine()
    engine.decide(hard(), Settings(), soon())
    assert engine._solver is not None
    assert engine._solver[1]._child is not None
    process = engine._solver[1]._child.process
    del engine
    assert process.poll() is not None


def test_an_engine_that_is_never_closed_ends_with_the_program():
    """Shutting down with a thread in the middle of a read was the end of the interpreter, by SIGABRT."""
    program = """
import time, numpy as np
from netproof.solvers.highs.solve import HighsProcess
from netproof.solvers.highs.model import ModelBuilder
solver, builder = HighsProcess(1 << 30), ModelBuilder()
builder.row(builder.columns(np.zeros(2), np.ones(2), integer=True), [1.0, 1.0], 1.0, 1.0)
class Kept:
    def __init__(self):
        self.solver, self.cycle = solver, self
kept = Kept()
print(solver.solve(builder.build(), time.monotonic() + 600).status.value, solver._child.process.pid)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    status, process = ran.stdout.split()
    assert status == "optimal"
    # Waited for before the end, so nothing is left of it.
    with pytest.raises(ProcessLookupError):
        os.kill(int(process), 0)


def test_an_answer_that_cannot_be_read_is_the_end_of_the_process(monkeypatch: pytest.MonkeyPatch):
    stand_in(
        monkeypatch,
        "import sys, time; sys.stdout.buffer.write(b'\\x01' + bytes(7) + b'?'); sys.stdout.flush(); time.sleep(3600)",
    )
    # It is not the time limit that ends it, which would be an answer.
    with HighsProcess(MEMORY) as solver, pytest.raises(SolverError):
        solver.solve(knapsack(), soon())


def test_a_deadline_that_has_passed():
    with MilpEngine() as engine:
        answer = engine.decide(hard(), Settings(), time.monotonic())
    assert answer.verdict is Verdict.TIMEOUT and answer.reason


def test_an_activation_without_encoding_is_unknown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("netproof.exact.milp.encode._LARGEST_MATRIX", 1)
    with MilpEngine() as engine:
        answer = engine.decide(hard(), Settings(), soon())
    assert answer.verdict is Verdict.UNKNOWN and "too many to write out" in answer.reason


def test_roundings():
    x = torch.tensor([1.0, 2.25, -0.5, 7.0, 9.9], dtype=torch.float64)
    lower, upper = floats(np.zeros(5, np.int64)), floats(np.full(5, 9, np.int64))
    points = roundings(x, lower, upper, 400, torch.Generator().manual_seed(0))
    assert points.shape == (400, 5)
    assert bool((points == points.round()).all() & (points >= lower).all() & (points <= upper).all())
    assert points[0].tolist() == [1, 2, 0, 7, 9]
    assert set(points[:, 1].tolist()) == {2.0, 3.0}
    assert set(points[:, 0].tolist()) == {1.0}
    assert 2.1 < float(points[1:, 1].mean()) < 2.4
