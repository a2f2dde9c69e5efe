"""How a command ends: signals at any time, streams that are closed or full, too little memory, and defects."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from conftest import assert_refused

NETPROOF = [sys.executable, "-m", "netproof"]
#: jobs that a shell puts into the background inherit that Ctrl-C is ignored, those of nohup that SIGHUP is, and so would
#: what a test starts there
HEEDING = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    "from netproof.cli.main import end_at_once, main\n"
    "end_at_once(); print('ready', file=sys.stderr, flush=True)\n"
    "main()"
)
#: seconds; generous, for what would otherwise hang for ever
LONG = 300
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def shell(line: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell in which ``"$@"`` is the command."""
    command = ["bash", "-c", line, "bash", *NETPROOF, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False, **options)  # type: ignore[call-overload,no-any-return]


def sample(tiny_data, *options: object) -> list[object]:
    index, radius = tiny_data.first("robust")
    return [
        tiny_data.network, "--images", tiny_data.images, "--labels", tiny_data.labels, "--index", index,
        "--eps", radius, *options,
    ]  # fmt: skip


def assert_one_line(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 2, done
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr, done.stderr


# --- signals ---


def commands(tiny_data, out: Path) -> dict[str, list[object]]:
    """Commands that would go on for long: each is stopped while it imports, or while it works."""
    query = ["--images", tiny_data.images, "--labels", tiny_data.labels]
    return {
        # engines that answer at once would be no test: one million epochs and four hundred queries will do
        "train": ["train", "quantized", "perceptron", *query, "--epochs", 1_000_000, "--hidden", 4, "--out", out],
        "bench": ["bench", "run", "qnn-mnist", "--data", tiny_data.folder, "--jobs", 2, "--out", out],
    }


@linux
@pytest.mark.parametrize("name", ["train", "bench"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_a_signal_at_any_time_ends_the_command(name, number, tiny_data, tmp_path):
    """From the first moments through the import of PyTorch into the work: nothing takes the signal away."""
    for step, delay in enumerate((0.0, 0.5, 1.2, 2.0)):
        out = tmp_path / str(step)
        command = [sys.executable, "-c", HEEDING, *map(str, commands(tiny_data, out)[name])]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert process.stderr is not None and process.stderr.readline() == "ready\n"  # Python itself has started
        time.sleep(delay)
        os.killpg(process.pid, number)
        try:
            _, err = process.communicate(timeout=LONG)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # whatever went on, all the same
        # by the signal itself while nothing is under way, in order later; a fast machine may have finished the run
        assert process.returncode in (-number, 128 + number, *((0,) if name == "bench" else ())), (delay, err)
        assert "Traceback" not in err and "Exception ignored" not in err, err
        if process.returncode == 128 + number:
            assert f"stopped by {number.name}" in err


SLOW_DISK = """
import sys, time
import netproof.files.opened as opened
def wait(path):
    print("reading", file=sys.stderr, flush=True)
    time.sleep(3600)
opened.open_file = wait
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_a_command_with_nothing_to_put_in_order_ends_by_the_signal(number, tmp_path):
    """A certificate that does not arrive: the command waits for it, and would for an hour."""
    path = tmp_path / "proof.npcert"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_DISK + HEEDING, "check", str(path), "--network", str(path)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert [process.stderr.readline() for _ in range(2)] == ["ready\n", "reading\n"]
    process.send_signal(number)
    _, err = process.communicate(timeout=LONG)
    assert process.returncode == -number and err == ""


SWALLOWED = """
import signal, sys, threading, time
from netproof.cli import main
from netproof.cli.terminal import stop

class Swallows:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0)

def work():
    {work}
    for _ in range({steps}):
        time.sleep(0.01)
    print("went on to the end")

stop.end_at_once()
try:
    with stop.stoppable(lambda: ", in order"):
        work()
except BaseException as error:
    print(type(error).__name__, getattr(error, "exit_code", None))
"""


@linux
@pytest.mark.parametrize(
    ("work", "steps"),
    [
        ("Swallows()", 20_000),
        ("sys.path.insert(0, {folder!r}); import swallowing", 20_000),
        # at the very end of the work
        ("Swallows()", 0),
        ("sys.path.insert(0, {folder!r}); import swallowing", 0),
    ],
    ids=["destructor", "import", "destructor at the end", "import at the end"],
)
def test_a_stop_that_is_swallowed_comes_back(work, steps, tmp_path):
    (tmp_path / "swallowing.py").write_text(
        "import signal, time\ntry:\n    signal.raise_signal(signal.SIGTERM); time.sleep(0)\nexcept BaseException:\n    raised = True\n"
    )
    code = SWALLOWED.format(work=work.format(folder=str(tmp_path)), steps=steps)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LONG, check=False)
    assert done.stderr == "stopped by SIGTERM, in order\n"
    assert "Exit 143" in done.stdout
    if steps:
        assert "went on" not in done.stdout


def test_what_is_ignored_stays_ignored(tiny_data):
    done = shell("trap '' INT HUP TERM; \"$@\" & sleep 0.5; kill -INT $!; kill -HUP $!; kill -TERM $!; wait $!",
                 "robust", *sample(tiny_data))  # fmt: skip
    assert done.returncode == 0 and "robust" in done.stdout, done


# --- streams ---


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_closed_standard_output(options):
    assert_one_line(
        shell('exec "$@" >&-', "bench", "list", *options), "standard output: it is closed", "place to print"
    )


def test_closed_standard_output_of_the_version():
    assert_one_line(shell('exec "$@" >&-', "--version"), "standard output: it is closed")


def test_closed_standard_output_takes_no_files_place(tiny_data, tmp_path):
    """The next file that is opened would have its number, and hold whatever is printed."""
    target = tmp_path / "proof.npcert"
    done = shell('exec "$@" >&-', "robust", *sample(tiny_data, "--certificate", target))
    assert_one_line(done, "standard output: it is closed")
    checked = shell('exec "$@"', "check", target, "--network", tiny_data.network)
    assert checked.returncode == 0 and checked.stdout.startswith("PROVED"), checked


@pytest.mark.parametrize("closing", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_closed_error_and_input_streams_are_no_reason_to_fail(closing, tiny_data, tmp_path):
    command = [
        "bench",
        "run",
        "qnn-mnist",
        "--data",
        tiny_data.folder,
        "--only",
        "mnist-1*-eps-1",
        "--out",
        tmp_path / "o",
    ]
    done = shell(f'exec "$@" {closing}', *command, "--json")
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["counts"]["robust"] > 0


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_the_reader_of_the_pipe_is_gone(options):
    done = shell('"$@" | true; exit ${PIPESTATUS[0]}', "bench", "list", *options)
    assert done.returncode == 141 and done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_json(tiny_data):
    done = shell('exec "$@" > /dev/full', "robust", *sample(tiny_data, "--json"))
    assert_one_line(done, "standard output: No space left")


# --- surroundings ---


@pytest.mark.parametrize("option", ["verify", "inspect", "robust"])
def test_a_pipe_is_no_network(option, tiny_data, tmp_path):
    """Its start would be read, to tell what it is, and then all of it: the rest, or nothing for ever."""
    pipe = tmp_path / "network.onnx"
    os.mkfifo(pipe)
    rest = {"verify": [pipe], "inspect": [], "robust": ["--images", tiny_data.images, "--eps", "1"]}[option]
    done = shell('exec "$@"', option, pipe, *rest)
    assert_one_line(done, f"{pipe}: is a pipe or a device, no ")
    piped = shell('echo "(assert true)" | "$@"', "verify", tiny_data.network, "/dev/stdin")
    assert_one_line(piped, "is a pipe or a device, no property file")


@pytest.mark.parametrize("which", ["labels", "certificate", "box", "record", "device"])
def test_a_pipe_is_waited_for_nowhere(which, tiny_data, tmp_path):
    """Nobody writes into it, so that whoever opens it as a file waits for ever."""
    pipe = tmp_path / "run.json"
    os.mkfifo(pipe)
    asked = ["robust", tiny_data.network, "--images", tiny_data.images, "--index", "0"]
    command = {
        "labels": [*asked, "--eps", "1", "--labels", pipe],
        "certificate": ["check", pipe, "--network", tiny_data.network],
        "box": [*asked, "--labels", tiny_data.labels, "--box", pipe, pipe],
        "record": ["report", tmp_path],
        "device": [*asked, "--eps", "1", "--labels", "/dev/zero"],
    }[which]
    done = shell('exec timeout 60 "$@"', *command)
    words = "cannot be read (it is a pipe or a device, no file)" if which == "record" else "is a pipe or a device, no "
    assert_one_line(done, words)


def test_a_folder_that_is_gone(tiny_data, tmp_path):
    gone = tmp_path / "here"
    gone.mkdir()
    done = shell(f'cd "{gone}"; rmdir "{gone}"; exec "$@"', "inspect", tiny_data.network)
    assert_one_line(done, "the folder that it was started in is gone")


def test_names_that_are_no_text(tiny_data, tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9.h5")
    Path(name).write_bytes(tiny_data.network.read_bytes())
    for surroundings in ({}, {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        for options in ((), ("--json",)) if not surroundings else (("--json",),):
            done = shell('exec "$@"', "inspect", name, *options, env={**os.environ, **surroundings})
            assert done.returncode == 0 and done.stderr == "", done
        assert json.loads(done.stdout)["file"] == name or surroundings


def test_a_name_with_line_ends_and_control_characters(cli):
    assert_refused(cli("inspect", "a\nb\x1b[31m\r.h5"), "a b [31m .h5: no such network file")


@pytest.mark.parametrize(
    "surroundings",
    [{"TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "1"}, {"HOME": "/nonexistent"}, {"TMPDIR": "/nonexistent"}],
)
def test_odd_surroundings(surroundings, tiny_data):
    done = shell('exec "$@"', "robust", *sample(tiny_data), env={**os.environ, **surroundings})
    assert done.returncode == 0 and done.stderr == "" and "\x1b" not in done.stdout
    done = shell('exec "$@"', "--help", env={**os.environ, **surroundings})
    assert done.returncode == 0 and "Usage" in done.stdout


@linux
@pytest.mark.parametrize("megabytes", [300, 600, 1000])
def test_too_little_address_space_is_one_line(megabytes, tiny_data):
    """Of what PyTorch itself needs: where it fails depends on the machine, that it is one line does not."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    done = shell('exec "$@"', "robust", *sample(tiny_data), preexec_fn=limited)
    if done.returncode == 0:
        pytest.skip("that is enough on this machine")
    assert_one_line(done, "there is not enough memory", "allow it more")


# --- errors nobody foresaw ---


def broken(monkeypatch, error: BaseException) -> None:
    import netproof.search.verify as engine

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(engine, "verify", fail)


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (MemoryError(), ("netproof robust: there is not enough memory (MemoryError)", "smaller network")),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
         ("not enough memory",)),
        (RuntimeError("can't start new thread"), ("not enough memory",)),
        (OSError(12, "Cannot allocate memory"), ("not enough memory",)),
        (ImportError("libgomp.so.1: cannot open shared object file"),
         ("a part of the installation cannot be loaded", "libgomp.so.1", "install netproof again")),
        (OSError(28, "No space left on device"), ("standard output: No space left on device; free some space",)),
        (OSError(5, "Input/output error", b"/some/\xff"), ("/some/", "Input/output error")),
    ],
)  # fmt: skip
def test_failures_of_the_surroundings(cli, tiny_data, monkeypatch, error, parts):
    broken(monkeypatch, error)
    ran = cli("robust", *sample(tiny_data))
    assert_refused(ran, *parts)


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError("division\nby zero"), RecursionError("too deep"), AssertionError(), KeyError("a" * 1000)],
)
def test_a_defect_is_one_line(cli, tiny_data, monkeypatch, error):
    from netproof.version import netproof_version

    broken(monkeypatch, error)
    ran = cli("robust", *sample(tiny_data))
    assert ran.code == 2 and ran.out == "" and ran.err.count("\n") == 1 and "Traceback" not in ran.err
    assert ran.err.startswith(f"error: netproof {netproof_version()} failed at 'netproof robust ")
    for part in (type(error).__name__, ", a defect; please report it", "netproof --debug FILE robust ..."):
        assert part in ran.err
    assert len(ran.err) < 1200


def test_details_of_a_defect(cli, tiny_data, monkeypatch, tmp_path):
    file = tmp_path / "details.txt"
    assert cli("--debug", file, "robust", *sample(tiny_data)).code == 0
    assert not file.exists()
    broken(monkeypatch, ZeroDivisionError("division by zero"))
    ran = cli("--debug", file, "robust", *sample(tiny_data))
    assert ran.code == 2 and ran.err.count("\n") == 1 and str(file) in ran.err
    text = file.read_text()
    assert "Traceback" in text and "netproof --debug" in text and "ZeroDivisionError: division by zero" in text


@pytest.mark.parametrize(("place", "part"), [("", "is a folder"), ("none/details.txt", "there is no folder")])
def test_details_that_cannot_be_written_are_refused_first(cli, tmp_path, place, part):
    assert_refused(cli("--debug", tmp_path / place, "bench", "list"), part, "--debug")


def test_what_a_command_writes_takes_no_file_of_its_own_arguments(cli, tiny_data, monkeypatch, tmp_path):
    """Not the network's, under whatever name, and not one that another option writes."""
    network = tmp_path / "net.h5"
    network.write_bytes((tiny_data.folder / "qnn" / "mnist_mlp.h5").read_bytes())
    (tmp_path / "link").symlink_to(network)
    arguments = ["robust", network, *sample(tiny_data)[1:]]
    images = arguments[arguments.index("--images") + 1]
    for option in ("--witness", "--certificate", "--trace"):
        for place, named in ((network, "NETWORK"), (tmp_path / "link", "NETWORK"), (images, "--images")):
            assert_refused(
                cli(*arguments, option, place), f"is named by {named} as well, and {option} would overwrite it"
            )
    both = tmp_path / "one.json"
    assert_refused(
        cli(*arguments, "--witness", both, "--trace", tmp_path / "." / "one.json"), "is named by --trace as well"
    )
    for more in (
        ["evaluate", network, network, "--out", network],
        ["check", both, "--network", network, "--report", network],
    ):
        assert_refused(cli(*more), "")
    # Which file is asked about is not known yet where --debug is read.
    broken(monkeypatch, ZeroDivisionError("division by zero"))
    assert "named by another argument as well, and not overwritten" in cli("--debug", network, *arguments).err
    assert network.read_bytes() == (tiny_data.folder / "qnn" / "mnist_mlp.h5").read_bytes()
    assert not both.exists()


def test_a_broken_installation_is_one_line(tiny_data):
    code = "import sys; sys.modules['torch'] = None\nfrom netproof.cli.main import main; main()"
    command: Sequence[str] = [sys.executable, "-c", code, "robust", *map(str, sample(tiny_data))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False)
    assert_one_line(
        done, "netproof robust: a part of the installation cannot be loaded", "torch", "install netproof again"
    )
