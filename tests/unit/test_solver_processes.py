"""What both solvers' processes have in common: time limits of any size, and an end with the parent's."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from netproof.exact.smt.engine import SmtEngine
from netproof.query import Verdict
from netproof.search.verify import verify
from netproof.settings import Settings
from netproof.solvers.bitwuzla import solve as solver
from netproof.solvers.highs.model import ModelBuilder, Status
from netproof.solvers.highs.solve import HighsProcess
from soundness.random_networks import random_network, tight_query

#: tells its child's number and waits for an answer that does not come
PARENT = """
import subprocess, time
class Told(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        print(self.pid, flush=True)
subprocess.Popen = Told
"""

#: a solver reads, prepares and searches this for minutes: in steps, of which the first ask nobody whether to go on
LONG_SCRIPT = """
from netproof.solvers.bitwuzla.solve import solve
lines = ["(declare-const x0 (_ BitVec 32))"] + [
    f"(define-fun x{i + 1} () (_ BitVec 32) (bvadd x{i} (bvmul x{max(0, i - 7)} (_ bv{7 * i + 3} 32))))"
    for i in range(300000)
]
solve([*lines, "(assert (= x300000 (_ bv5 32)))"], deadline=time.monotonic() + 120, memory=2 << 30)
"""

#: a market split (Cornuejols and Dawande, 1998), which branch and bound does not finish
LONG_PROGRAM = """
import numpy as np
from netproof.solvers.highs.solve import HighsProcess
from netproof.solvers.highs.model import ModelBuilder
random, builder = np.random.default_rng(0), ModelBuilder()
x = builder.columns(np.zeros(60), np.ones(60), integer=True)
for weights in random.integers(0, 100, (7, 60)).astype(float):
    builder.row(x, weights, weights.sum() // 2, weights.sum() // 2)
HighsProcess(2 << 30).solve(builder.build(), time.monotonic() + 120)
"""


@pytest.mark.parametrize("limit", [1e7, 1e300, math.inf])
def test_a_time_limit_of_any_size(limit: float):
    assert solver.solve(["(assert true)"], deadline=time.monotonic() + limit, memory=1 << 30).status == "sat"
    builder = ModelBuilder()
    builder.row(builder.columns(np.zeros(2), np.ones(2), integer=True), [1.0, 1.0], 1.0, 1.0)
    with HighsProcess(1 << 30) as process:
        assert process.solve(builder.build(), time.monotonic() + limit).status is Status.OPTIMAL


@pytest.mark.parametrize("engine", ["bab", "smt", "milp"])
def test_a_query_without_a_time_limit(engine: str):
    random = np.random.default_rng([31, 3])
    net = random_network(random, layers=3, final="shared")
    query = tight_query(random, net, net.network())
    assert verify(query, Settings(engine=engine, timeout=math.inf)).verdict in (Verdict.SAT, Verdict.UNSAT)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("work", [LONG_SCRIPT, LONG_PROGRAM], ids=["bitwuzla", "highs"])
def test_a_solver_at_work_ends_with_a_parent_that_is_killed(work: str):
    with subprocess.Popen([sys.executable, "-c", PARENT + work], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        while processor_seconds(child) < 1:  # it has begun; if it ended instead, that is no test
            time.sleep(0.05)
        parent.kill()
    until = time.monotonic() + 300
    while running(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not running(child)


def fields(process: int) -> list[str]:
    """What the system says of a process after its name: state, parent, ... (proc(5)); nothing where there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def running(process: int) -> bool:
    found = fields(process)
    return bool(found) and found[0] not in "ZX"


def processor_seconds(process: int) -> float:
    assert running(process), "the solver has ended by itself"
    return sum(map(int, fields(process)[11:13])) / 100


def test_an_affine_map_too_large_to_write_out_is_unknown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("netproof.exact.smt.encode._LARGEST_MATRIX", 1)
    random = np.random.default_rng(5)
    net = random_network(random, layers=2)
    query = tight_query(random, net, net.network())
    answer = SmtEngine().decide(query, Settings(), time.monotonic() + 600)
    assert answer.verdict is Verdict.UNKNOWN and "too many to write out" in answer.reason
