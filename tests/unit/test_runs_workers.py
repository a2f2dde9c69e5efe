"""The worker's side of a run in several processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netproof.benchmarks.base import Instance
from netproof.benchmarks.data import DataFolders
from netproof.errors import InputError
from netproof.processes.child import ChildError
from netproof.runs.job import Job
from netproof.runs.workers import deal as workers
from netproof.settings import Settings


class Nothing:
    """A benchmark that opens and asks nothing."""

    name = "nothing"

    def open(self, data, *, deadline=None):
        return self


#: a parent of workers that are at work, and look at no pipe, when the parent is killed
AT_WORK = """
import os, sys, time
from pathlib import Path
from netproof.benchmarks.base import Instance
from netproof.benchmarks.data import DataFolders
from netproof.runs.job import Job
from netproof.runs.workers.deal import solve_in_workers
from netproof.settings import Settings

class Endless:
    name = "endless"

    def open(self, data, *, deadline=None):
        with Path(sys.argv[1]).open("a") as told:
            told.write(str(os.getpid()) + " ")
        while True:
            time.sleep(1)

if __name__ == "__main__":
    instances = [Instance(f"{n}", "network", "0", n) for n in range(2)]
    list(solve_in_workers(Job(Endless(), DataFolders(()), Settings()), instances, int(sys.argv[2])))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("processes", [1, 2], ids=["started", "forked"])
def test_workers_at_work_end_with_a_parent_that_is_killed(tmp_path: Path, processes: int) -> None:
    script, told = tmp_path / "at_work.py", tmp_path / "workers"
    script.write_text(AT_WORK)
    with subprocess.Popen([sys.executable, script, told, str(processes)]) as parent:
        until = time.monotonic() + 120
        while not (told.exists() and told.read_text().count(" ") == processes):
            assert parent.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        workers = [int(number) for number in told.read_text().split()]
        assert all(alive(worker) for worker in workers)
        parent.kill()
    try:
        until = time.monotonic() + 30  # if they have not noticed by then they never will
        while any(alive(worker) for worker in workers) and time.monotonic() < until:
            time.sleep(0.05)
        assert not any(alive(worker) for worker in workers)
    finally:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Deadly(Nothing):
    """A benchmark of which one network ends whoever reads it, as the system ends a process for its memory."""

    def prepare(self, instance, *, deadline=None):
        if instance.network == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    def question(self, instance, *, deadline=None):
        raise InputError(instance.name, "is not asked", "mend it")


@pytest.mark.parametrize("processes", [1, 3], ids=["started", "forked"])
def test_a_network_that_ends_its_worker_costs_its_own_instances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    closed = []
    bury = workers._bury
    monkeypatch.setattr(
        workers,
        "_bury",
        lambda worker, *more, **options: closed.append(worker.child.pipe.closed) or bury(worker, *more, **options),
    )
    instances = [Instance(f"{n}", "deadly" if n == 3 else "net", "", n) for n in range(10)]
    outcomes = list(workers.solve_in_workers(Job(Deadly(), DataFolders((tmp_path,)), Settings()), instances, processes))  # type: ignore[arg-type]
    reasons = {outcome.row.instance: outcome.row.evidence for outcome in outcomes}
    assert len(outcomes) == len(reasons) == 10 and all(outcome.row.verdict == "error" for outcome in outcomes)
    assert reasons.pop("3") == "its worker process died (SIGKILL, perhaps out of memory)"
    assert all(reason == f"{name}: is not asked; mend it" for name, reason in reasons.items())
    # Thousands that die one after the other do not use up the files that a process may have open.
    assert closed and all(closed)


def test_workers_are_started_afresh_where_none_can_be_forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "ends_its_server.py").write_text("import os\nos._exit(1)\n")
    monkeypatch.setattr(workers, "_READY", "ends_its_server")
    instances = [Instance(f"{n}", "net", "", n) for n in range(3)]
    outcomes = list(workers.solve_in_workers(Job(Deadly(), DataFolders((tmp_path,)), Settings()), instances, 2))  # type: ignore[arg-type]
    assert sorted(outcome.row.evidence for outcome in outcomes) == [f"{n}: is not asked; mend it" for n in range(3)]


def test_a_worker_that_dies_while_it_starts_leaves_the_work_to_others() -> None:
    worker = workers._Worker(None)  # type: ignore[arg-type]
    shares = workers._Shares([Instance("a", "net", "", 0)], 2)
    job = Job(Nothing(), DataFolders(()), Settings())  # type: ignore[arg-type]
    death = ChildError(-signal.SIGKILL)
    assert not list(workers._bury(worker, job, shares, death, others=True)) and shares
    with pytest.raises(InputError, match=r"a worker process died while it started \(SIGKILL, perhaps out of memory\)"):
        list(workers._bury(worker, job, shares, death, others=False))


def test_what_is_thought_to_take_longest_is_dealt_out_first() -> None:
    instances = [Instance(f"{n}", "net", "", n, hardness=n // 4) for n in range(12)]
    shares = workers._Shares(instances, 1)
    dealt = [instance.sample for share in iter(shares.next, []) for instance in share]
    assert dealt == [8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3]
