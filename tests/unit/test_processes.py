"""Child processes: asked, overdue, dead, unreadable, and deserted."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from netproof.processes import inside, spawned
from netproof.processes.child import Child, ChildError, ending
from netproof.processes.spawned import Spawned

#: answers whatever it is asked, as its first argument says
ANSWERING = """
import os, sys, time
from netproof.processes.inside import begin, confine

def main():
    channel = begin()
    print("not an answer")
    while True:
        try:
            asked = channel.receive()
        except EOFError:
            return
        channel.send((sys.argv[1:], asked))
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes the code of a child a module, and starts it."""
    monkeypatch.syspath_prepend(tmp_path)
    with contextlib.ExitStack() as stack:

        def start(code: str, *arguments: str, **options: object) -> Child:
            (tmp_path / "its_program.py").write_text(code)
            child = Child("its_program", *arguments, **options)  # type: ignore[arg-type]
            stack.callback(child.close)
            return child

        yield start


def soon(seconds: float = 600.0) -> float:
    return time.monotonic() + seconds


def test_questions_and_answers(program):
    child = program(ANSWERING, "one", "two")
    for asked in (1, "text", None, b"\0" * 5_000_000):
        assert child.ask(asked, soon()) == (["one", "two"], asked)
    child.close()
    assert child.process.returncode == -signal.SIGKILL


def test_a_child_that_is_wanted_no_more_ends_by_itself(program):
    child = program(ANSWERING)
    child.ask(1, soon())
    child.process.stdin.close()
    assert child.process.wait(600) == 0


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("import time\ndef main(): time.sleep(3600)", 1),
        # A pipe holds much less; whoever writes without a limit waits for ever.
        ("import time\ndef main(): time.sleep(3600)", 5_000_000),
        ("import sys, time\ndef main(): sys.stdout.write(8 * 'x'); sys.stdout.flush(); time.sleep(3600)", 1),
    ],
    ids=["silent", "deaf", "halfway"],
)
def test_no_answer_in_time(program, code: str, size: int):
    child = program(code)
    with pytest.raises(TimeoutError):
        child.ask(bytes(size), soon(0.5))
    assert child.process.returncode is not None


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.exit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 5)", "signal 39"),
        ("import sys; sys.stdin.buffer.read(9); sys.stdout.buffer.write(b'\\x05')", "exit code 0"),
        ("import sys; sys.stdout.buffer.write(b'\\x01' + bytes(7) + b'?')", "exit code 0"),
    ],
)
@pytest.mark.parametrize("size", [1, 5_000_000])
def test_a_child_that_dies(program, code: str, words: str, size: int):
    child = program(f"def main():\n    {code}")
    with pytest.raises(ChildError) as caught:
        child.ask(bytes(size), soon())
    assert str(caught.value) == words == ending(caught.value.code)


def test_a_child_that_closes_its_end_is_ended(program):
    child = program("import os, time\ndef main(): os.close(1); time.sleep(3600)")
    with pytest.raises(ChildError) as caught:
        child.ask(1, soon())
    assert caught.value.code is None and child.process.returncode == -signal.SIGKILL


def test_what_it_says_about_its_end_goes_where_it_is_told(program, tmp_path: Path):
    with (tmp_path / "said").open("w+b") as said:
        child = program("def main(): raise RuntimeError('no way')", complaints=said)
        with pytest.raises(ChildError, match="exit code 1"):
            child.ask(1, soon())
        said.seek(0)
        assert said.read().endswith(b"RuntimeError: no way\n")


def test_a_message_that_cannot_be_sent_leaves_no_half_of_it(program):
    child = program(ANSWERING)
    with pytest.raises(AttributeError, match=r"pickle|local object"):
        child.ask(lambda: None, soon())
    assert child.process.returncode is not None


def test_an_object_that_is_dropped_ends_its_process(program):
    child = Child("its_program") if program(ANSWERING) else None
    assert child is not None
    process = child.process
    del child
    assert process.returncode is not None


def test_no_interpreter(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(OSError, match="No such file"):
        Child("its_program")


def test_ctrl_c_is_not_for_the_child(program):
    child = program(ANSWERING)
    child.ask(1, soon())
    child.process.send_signal(signal.SIGINT)
    assert child.ask(2, soon()) == ([], 2)


def test_a_module_in_the_working_directory_takes_the_place_of_none(program, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "pickle.py").write_text("raise ImportError('not this one')")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.chdir(elsewhere)
    assert program(ANSWERING).ask(1, soon()) == ([], 1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for its limits")
def test_limits(program):
    code = """
import resource, sys
from netproof.processes.inside import begin, confine

def main():
    channel = begin()
    memory, seconds = channel.receive()
    confine(memory, *seconds)
    limits = [resource.getrlimit(kind) for kind in (resource.RLIMIT_CORE, resource.RLIMIT_CPU)]
    try:
        bytes(2 * memory)
    except MemoryError:
        limits.append("full")
    channel.send(limits)
"""
    endless = program(code).ask((1 << 26, ()), soon())
    assert endless[0] == (0, 0) and endless[2:] == ["full"]
    assert program(code).ask((1 << 26, (7.5,)), soon()) == [(0, 0), (17, 22), "full"]
    # No number that the system would take: the limit that was there stays.
    assert program(code).ask((1 << 26, (float("inf"),)), soon()) == endless


def test_the_end_of_a_process_in_words():
    assert [ending(code) for code in (0, 3, -9, -11)] == ["exit code 0", "exit code 3", "SIGKILL", "SIGSEGV"]
    assert ending(-70) == "signal 70"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("deaf", [False, True])
def test_a_process_whose_parent_has_gone_before_it_looked(deaf: bool):
    code = f"from netproof.processes.inside import end_with_parent; import time\nend_with_parent(1, deaf={deaf})"
    done = subprocess.run([sys.executable, "-c", f"{code}\ntime.sleep(600)"], timeout=600, check=False)
    assert done.returncode == 1


def add(pipe, more):
    pipe.send((pipe.recv() + more, signal.getsignal(signal.SIGINT) is signal.SIG_IGN, os.getppid()))
    pipe.recv()


def die(pipe):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_function_in_a_process_of_its_own():
    child = Spawned(add, 3)
    child.send(4)
    assert child.receive() == (7, True, os.getpid())
    child.close()
    assert child.process.exitcode == -signal.SIGTERM and child.pipe.closed


def test_a_function_that_ends_its_process():
    child = Spawned(die)
    with pytest.raises(ChildError, match="SIGKILL"):
        child.receive()
    assert child.pipe.closed
    child.send(1)
    child.terminate()
    child.close()


def test_a_function_ends_quietly_when_its_parent_is_killed(monkeypatch: pytest.MonkeyPatch):
    ours, theirs = multiprocessing.Pipe()

    def told() -> None:
        # What it said is there, and nobody has read it.
        assert ours.poll(10)
        ours.close()

    monkeypatch.setattr(spawned, "ignore_interrupts", lambda: None)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: SimpleNamespace(pid=os.getppid()))
    monkeypatch.setattr(inside.os, "_exit", lambda code: pytest.fail("its parent is here"))
    parent = threading.Thread(target=told)
    parent.start()
    try:
        spawned._begin(theirs, lambda pipe: [pipe.send("ready"), pipe.recv()], ())
    finally:
        parent.join()
        theirs.close()
