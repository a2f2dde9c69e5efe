"""The engine ``smt``: what it does when the solver is missing, dies, or reaches a limit; and as a user types it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from conftest import assert_refused
from netproof.errors import InputError
from netproof.exact.base import Answer
from netproof.exact.smt.engine import SmtEngine
from netproof.formats.keras.read import read_keras_h5
from netproof.local_robustness import robustness
from netproof.processes import child
from netproof.query import Query, Verdict, sample_of
from netproof.search.verify import decide_with, verify
from netproof.settings import Settings
from netproof.solvers.bitwuzla import solve as solver

#: factoring: a solver needs years for it
HARD = f"""
(declare-const a (_ BitVec 160))
(declare-const b (_ BitVec 160))
(assert (= (bvmul ((_ zero_extend 160) a) ((_ zero_extend 160) b)) (_ bv{(2**127 - 1) * (2**89 - 1) * (2**61 - 1)} 320)))
(assert (bvult (_ bv1 160) a))
(assert (bvult (_ bv1 160) b))
"""
#: more terms than a small memory can hold
LARGE = (
    "(declare-const x (_ BitVec 60000))\n"
    + "".join(f"(define-fun m{k} () (_ BitVec 60000) (bvmul {'x' if k == 0 else f'm{k - 1}'} x))\n" for k in range(50))
    + "(assert (= m49 (_ bv3 60000)))\n"
)
MEMORY = 1 << 30


@pytest.fixture
def network(tiny_data):
    return read_keras_h5(tiny_data.network)


@pytest.fixture
def hard_query(tiny_data):
    """A query that ranges alone do not decide, so the solver is started."""
    from netproof.exact.smt.encode import encode
    from netproof.formats.images.idx import read_images, read_labels

    network = read_keras_h5(tiny_data.network)
    images, labels = read_images(tiny_data.images), read_labels(tiny_data.labels)
    for index in range(400):
        query = robustness(network, torch.tensor(images[index]), int(labels[index]), 6)
        formula = encode(query)
        if not query.misclassified and formula.assertions not in ((), (formula.terms.false,)):
            return query
    raise AssertionError("ranges decide everything")


def soon(seconds: float = 600.0) -> float:
    return time.monotonic() + seconds


@pytest.fixture
def processes(monkeypatch):
    """The solver's processes, as they are started."""
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(child.subprocess, "Popen", Recorded)
    return started


def test_answers():
    assert solver.solve(["(assert false)"], deadline=soon(), memory=MEMORY).status == "unsat"
    reply = solver.solve(
        ["(declare-const x (_ BitVec 8))", "(assert (= (bvmul x (_ bv3 8)) (_ bv33 8)))"],
        deadline=soon(),
        memory=MEMORY,
    )
    assert reply == solver.Reply("sat", {"x": 11})


def test_time_limit_is_kept(processes):
    reply = solver.solve([HARD], deadline=soon(1.5), memory=MEMORY)
    assert reply.status == "timeout"
    assert solver.solve([HARD], deadline=time.monotonic() - 1, memory=MEMORY).status == "timeout"
    assert [process.returncode is not None for process in processes] == [True]


def test_memory_limit_is_kept():
    reply = solver.solve([LARGE], deadline=soon(), memory=64 << 20)
    assert reply.status == "unknown"
    assert "memory" in reply.reason, reply.reason


def test_a_killed_solver_is_a_reason(processes):
    def kill() -> None:
        while not processes:
            time.sleep(0.01)
        time.sleep(0.5)
        processes[0].kill()

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    reply = solver.solve([HARD], deadline=soon(), memory=MEMORY)
    thread.join()
    assert reply == solver.Reply("unknown", reason="Bitwuzla died (SIGKILL, perhaps out of memory)", retryable=True)


def test_an_interrupt_ends_the_solver(processes, monkeypatch):
    def interrupted(descriptor, event, deadline):
        raise KeyboardInterrupt

    monkeypatch.setattr(child, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        solver.solve([HARD], deadline=soon(), memory=MEMORY)
    assert processes[0].returncode is not None


@pytest.mark.parametrize("script", ["(assert (= x x))", "nonsense", "(assert", "(set-logic QF_BV)(assert (bvadd))"])
def test_a_script_that_bitwuzla_refuses(script):
    reply = solver.solve([script], deadline=soon(), memory=MEMORY)
    assert reply.status == "unknown"
    assert reply.reason.startswith("Bitwuzla refuses the formula") and "\n" not in reply.reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os._exit(3)", "exit code 3"),
        ("import sys; sys.exit('no library')", "exit code 1: no library"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "died (SIGSEGV"),
        ("print('3')", "cut off"),
        ("print('\\1' + 7 * '\\0' + '?')", "cut off"),
        ("", "cut off"),
    ],
)
def test_any_other_end_of_the_solver_is_a_reason(monkeypatch, code, reason):
    monkeypatch.setattr(child, "_BOOT", code.replace("{", "{{").replace("}", "}}"))
    reply = solver.solve(["(assert true)"], deadline=soon(), memory=MEMORY)
    assert reply.status == "unknown" and reason in reply.reason


def test_an_interpreter_that_cannot_be_started_is_a_reason(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    reply = solver.solve(["(assert true)"], deadline=soon(), memory=MEMORY)
    assert reply.status == "unknown" and "cannot be started" in reply.reason


def test_missing_solver(monkeypatch, hard_query):
    monkeypatch.setattr(solver.importlib.util, "find_spec", lambda name: None)
    result = next(iter(decide_with(SmtEngine(), [hard_query], Settings())))[1]
    assert result.verdict is Verdict.UNKNOWN and "pip install bitwuzla" in result.reason


def test_limits_become_verdicts(monkeypatch, hard_query):
    settings = Settings(timeout=1, engine="smt")
    monkeypatch.setattr("netproof.exact.smt.engine.declarations", lambda formula: [HARD])
    result = verify(hard_query, settings)
    assert (result.verdict, result.method) == (Verdict.TIMEOUT, "smt")
    monkeypatch.setattr("netproof.exact.smt.engine.declarations", lambda formula: [LARGE])
    result = verify(hard_query, Settings(memory=64 << 20, engine="smt"))
    assert result.verdict is Verdict.UNKNOWN and "memory" in result.reason


def test_the_deadline_holds_while_encoding(hard_query):
    answer = SmtEngine().decide(hard_query, Settings(), time.monotonic() - 1)
    assert answer.verdict is Verdict.TIMEOUT


def test_a_model_that_does_not_replay_is_no_answer(hard_query):
    class Wrong:
        name = "wrong"

        def __init__(self, point: torch.Tensor | None) -> None:
            self.point = point
            self.closed = 0

        def close(self) -> None:
            self.closed += 1

        def decide(self, query: Query, settings: Settings, deadline: float) -> Answer:
            return Answer(Verdict.SAT, self.point)

    image = sample_of(hard_query).image
    for point in (image, hard_query.upper + 1, image + 0.5, None):
        engine = Wrong(point)
        ((_, result),) = decide_with(engine, [hard_query], Settings())
        assert engine.closed == 1
        assert result.verdict is Verdict.UNKNOWN and result.witness is None and "replay" in result.reason


def test_unknown_engine_names():
    with pytest.raises(InputError, match=r"no engine is called 'sms'.*smt"):
        Settings(engine="sms")


def test_every_engine_decides_a_list(tiny_data, network):
    from netproof.formats.images.idx import read_images, read_labels

    images, labels = read_images(tiny_data.images), read_labels(tiny_data.labels)
    queries = [robustness(network, torch.tensor(images[i]), int(labels[i]), 1 + i % 4) for i in range(0, 60)]
    found = {}
    for engine in ("bab", "smt"):
        results = list(verify(queries, Settings(engine=engine)))
        found[engine] = [results[i].verdict for i in range(len(queries))]
    assert found["smt"] == found["bab"]
    assert set(found["smt"]) >= {Verdict.SAT, Verdict.UNSAT, Verdict.MISCLASSIFIED}


def sample(data, index, radius):
    return (data.network, "--images", data.images, "--labels", data.labels, "--index", index, "--eps", radius)


@pytest.mark.parametrize("verdict", ["robust", "vulnerable", "misclassified"])
def test_robust(cli, tiny_data, verdict):
    index, radius = tiny_data.first(verdict)
    ran = cli("robust", *sample(tiny_data, index, radius), "--engine", "smt", "--json")
    document = json.loads(ran.out)
    assert ran.code == 0 and document["verdict"] == verdict
    assert document["method"] == ("evaluation" if verdict == "misclassified" else "smt")
    assert (document["witness"] is not None) == (verdict == "vulnerable")


def test_an_engine_that_is_not_there_is_refused(cli, tiny_data, tmp_path):
    assert_refused(cli("robust", *sample(tiny_data, 1, 1), "--engine", "cplex"), "--engine", "auto, bab, smt")
    ran = cli("bench", "run", "qnn-mnist", "--data", tiny_data.folder, "--out", tmp_path / "r", "--engine", "cplex")
    assert_refused(ran, "--engine", "auto, bab, smt")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_bench_run(cli, tiny_data, tmp_path, jobs):
    folder = tmp_path / "results"
    ran = cli(
        *("bench", "run", "qnn-mnist", "--data", tiny_data.folder, "--only", "mnist-*5-eps-?", "--engine", "smt"),
        *("--out", folder, "--jobs", jobs),
    )
    assert ran.code == 0, ran
    rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    assert len(rows) == 40
    assert all(row["verdict"] == tiny_data.truth[row["instance"]] for row in rows)
    assert {row["method"] for row in rows} <= {"smt", "evaluation"}
    assert json.loads((folder / "run.json").read_text())["invocations"][0]["settings"]["engine"] == "smt"
    assert "engine smt" in cli("bench", "show", folder, "--data", tiny_data.folder).out
    assert np.all([float(row["seconds"]) >= 0 for row in rows])
