"""Real ``bench run`` processes that are killed, stopped, or lose a worker, and what resuming makes of it."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import assert_refused

#: the command with a slow engine; run as a file, so that worker processes import the same
SLOW = """
import os, sys, time
import netproof.search.verify as engine

real = engine.as_decided

def slow(queries, settings):
    for position, result in real(queries, settings):
        if queries[position].name == os.environ.get("DIE_AT"):
            os._exit(9)
        time.sleep(float(os.environ["DELAY"]))
        yield position, result

engine.as_decided = slow

if __name__ == "__main__":
    import signal
    from netproof.cli.main import main
    # Jobs that a shell puts into the background inherit that it is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
"""


class Slow:
    """Starts slow runs."""

    def __init__(self, folder, data, out):
        self.out = out
        self.script = folder / "slow.py"
        self.script.write_text(SLOW)
        self.command = [sys.executable, self.script, "bench", "run", "qnn-mnist", "--data", data, "--out", out]
        self.started = []

    def start(self, *options, delay=0.05, die_at="", **more):
        environment = {**os.environ, "DELAY": str(delay), "DIE_AT": die_at}
        process = subprocess.Popen(
            [*map(str, self.command), *map(str, options)], env=environment, stderr=subprocess.PIPE, text=True, **more
        )
        self.started.append(process)
        return process

    def wait_for_rows(self, process, count):
        deadline = time.monotonic() + 600
        while len(self.lines()) < count + 1:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def lines(self):
        path = self.out / "results.csv"
        return path.read_text().splitlines() if path.exists() else []

    def end(self):
        for process in self.started:
            process.kill()
            process.wait()
            process.stderr.close()


@pytest.fixture
def slow(tmp_path, tiny_data):
    runs = Slow(tmp_path, tiny_data.folder, tmp_path / "out")
    yield runs
    runs.end()


def assert_complete(out, truth):
    with (out / "results.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(truth)
    assert {row["instance"]: row["verdict"] for row in rows} == dict(truth)
    for row in rows:
        if row["verdict"] == "vulnerable":
            assert json.loads((out / row["evidence"]).read_text())["query"] == row["instance"]


def resume(cli, data, out):
    return cli("bench", "run", "qnn-mnist", "--data", data.folder, "--out", out)


@pytest.mark.parametrize("jobs", [1, 2])
def test_kill_9_and_resume(cli, slow, tiny_data, jobs):
    process = slow.start("--jobs", jobs)
    slow.wait_for_rows(process, 12)
    process.kill()
    process.wait()
    left = slow.lines()
    assert 12 < len(left) < 400
    ran = resume(cli, tiny_data, slow.out)
    assert ran.code == 0, ran.err
    assert f"{401 - len(left)} instances to answer, {len(left) - 1} answered before" in ran.err
    assert slow.lines()[: len(left)] == left
    assert_complete(slow.out, tiny_data.truth)


def test_workers_of_a_killed_run_end(slow, tiny_data):
    process = slow.start("--jobs", 2, delay=0.2)
    slow.wait_for_rows(process, 2)
    children = [int(pid) for pid in _children(process.pid)]
    assert children
    process.kill()
    process.wait()
    deadline = time.monotonic() + 300
    while any(_alive(pid) for pid in children):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "jobs"), [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_stopped_in_order(cli, slow, tiny_data, number, jobs):
    process = slow.start("--jobs", jobs)
    slow.wait_for_rows(process, 5)
    process.send_signal(number)
    assert process.wait(300) == 128 + number
    err = process.stderr.read()
    assert "Traceback" not in err
    assert f"stopped by {signal.Signals(number).name}" in err and "run the same command again" in err
    record = json.loads((slow.out / "run.json").read_text())
    assert record["invocations"][0]["wall_seconds"] > 0
    assert resume(cli, tiny_data, slow.out).code == 0
    assert_complete(slow.out, tiny_data.truth)


def test_ctrl_c_while_workers_start(slow):
    """A terminal sends Ctrl-C to the whole group; workers that are just starting must not answer it."""
    process = slow.start("--jobs", 2, start_new_session=True)
    while not slow.lines():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(300) == 130
    err = process.stderr.read()
    assert "stopped by SIGINT" in err
    assert "Traceback" not in err and "Fatal" not in err


def test_bar_on_a_terminal(tmp_path, tiny_data):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "netproof", "bench", "run", "qnn-mnist", "--only", "eps-1"]
    process = subprocess.Popen(
        [*command, "--data", tiny_data.folder, "--out", tmp_path / "out"], stderr=theirs, stdout=subprocess.PIPE
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # what a terminal's other end says when it is closed
        while part := os.read(ours, 4096):
            shown += part
    out, _ = process.communicate(timeout=600)
    os.close(ours)
    assert process.returncode == 0
    assert b"100/100" in shown and b"left" in shown and b"\x1b[" in shown
    assert b"\x1b" not in out


def test_a_dying_worker_costs_one_instance(cli, slow, tiny_data):
    process = slow.start("--jobs", 2, "--only", "eps-1", delay=0.0, die_at="mnist-33-eps-1")
    assert process.wait(60) == 1
    assert "mnist-33-eps-1" in process.stderr.read()
    rows = {line.split(",")[0]: line.split(",") for line in slow.lines()[1:]}
    assert len(rows) == 100
    assert rows.pop("mnist-33-eps-1")[1::3] == ["error", "its worker process died (exit code 9)"]
    assert all(row[1] == tiny_data.truth[name] for name, row in rows.items())
    assert resume(cli, tiny_data, slow.out).code == 0
    assert_complete(slow.out, tiny_data.truth)


def test_two_runs_do_not_share_a_folder(cli, slow, tiny_data):
    process = slow.start()
    slow.wait_for_rows(process, 1)
    ran = resume(cli, tiny_data, slow.out)
    assert_refused(ran, str(slow.out), f"process {process.pid}", "--out")
    # looking is allowed meanwhile
    shown = cli("bench", "show", slow.out, "--data", tiny_data.folder)
    assert shown.code == 0 and "not run" in shown.out


def _children(pid):
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if not listed.exists():
        pytest.skip("this system does not list a process's children in /proc")
    return listed.read_text().split()


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
