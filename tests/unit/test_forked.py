"""Processes that are forked of a server: what they find, how they end, and who hears of it."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from pathlib import Path

import pytest

from netproof.processes.child import ChildError
from netproof.processes.forked import POSSIBLE, ForkServer

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="nothing is forked here")


@pytest.fixture
def server():
    made = ForkServer("netproof.processes.clock")
    yield made
    made.close()


def say(pipe, *words):
    pipe.send((words, signal.getsignal(signal.SIGINT) is signal.SIG_IGN, os.getppid(), os.getpid()))
    pipe.send(pipe.recv())


def test_functions_in_processes_of_their_own(server: ForkServer) -> None:
    first, second = server.start(say, 1, "two"), server.start(say)
    words, deaf, parent, number = first.receive()
    assert words == (1, "two") and deaf and number == first.number
    assert second.receive() == ((), True, parent, second.number)
    # Neither holds the other's pipe.
    first.close()
    second.send("later")
    assert second.receive() == "later"
    with pytest.raises(ChildError) as ended:
        second.receive()
    assert ended.value.code == 0 and second.pipe.closed


def end(pipe, how):
    if how == "raise":
        raise RuntimeError("no way")
    if how == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pipe.send("deaf")
        time.sleep(600)
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_process_says_of_its_end(capfd: pytest.CaptureFixture[str]) -> None:
    server = ForkServer("netproof.processes.clock")
    try:
        with pytest.raises(ChildError, match="exit code 1"):
            server.start(end, "raise").receive()
        assert "RuntimeError: no way" in capfd.readouterr().err
    finally:
        server.close()


def test_processes_that_are_killed(server: ForkServer) -> None:
    killed = server.start(end, "kill")
    with pytest.raises(ChildError, match="SIGKILL"):
        killed.receive()
    killed.send(1)
    killed.terminate()
    killed.close()
    stubborn = server.start(end, "deaf")
    assert stubborn.receive() == "deaf"
    stubborn.close()
    assert not Path(f"/proc/{stubborn.number}").exists()


def test_a_server_that_has_ended_starts_nothing_and_nothing_survives_it(server: ForkServer) -> None:
    left = server.start(say)
    os.kill(left.receive()[2], signal.SIGKILL)
    with pytest.raises(ChildError) as ended:
        left.receive()  # it ends by itself
    assert ended.value.code is None
    with pytest.raises(OSError, match=r"ended|pipe|reset"):
        server.start(say)
    left.close()


def test_a_server_that_may_have_no_more_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "without_forks.py").write_text("import os\n\ndef fork(): raise OSError('full')\n\nos.fork = fork\n")
    server = ForkServer("without_forks")
    try:
        for _ in range(2):  # it is there for what it forked before
            with pytest.raises(OSError, match="the system allows no more processes"):
                server.start(say)
    finally:
        server.close()


def burn(pipe, seconds):
    while time.process_time() < seconds:
        pass
    pipe.send("burnt")


def test_what_they_compute_is_on_the_account_of_this_process(server: ForkServer) -> None:
    def account() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    before = account()
    child = server.start(burn, 1.0)
    assert child.receive() == "burnt"
    child.close()
    server.close()
    assert account() - before >= 0.9


def found(pipe):
    import gc

    import torch

    threads = list(Path(f"/proc/{os.getppid()}/task").iterdir())
    modules = [name for name in ("torch", "netproof.search.integer.engine") if name in sys.modules]
    pipe.send((len(threads), modules, gc.isenabled(), torch.cuda.is_initialized(), torch.get_num_threads()))


def test_what_workers_are_forked_of_has_their_imports_and_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without these NumPy's library of matrices has a thread for every core.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    server = ForkServer("netproof.runs.workers.ready")
    try:
        child = server.start(found)
        assert child.receive() == (1, ["torch", "netproof.search.integer.engine"], True, False, 1)
        child.close()
    finally:
        server.close()
