"""Mutation testing: which small changes of the code does no test notice?

    python tests/mutation/run.py [FILE ...] [--tests PATH ...] [--out DIR] [--budget SECONDS] [--again]
        [--stop-after SECONDS] [--sample N [--seed S]]

``FILE`` is below ``src/netproof``: a file or a folder; without one, all of ``ROOMS``. Three steps. Every test runs once
under coverage, which says what lines it runs and how long it takes (kept in ``DIR/reach.json`` until that is deleted). All
tests are collected in one process, which forks for every mutant; the child swaps the code of the function that the
mutant is of, and runs the tests that reach its line, quickest first, until one fails. What is no function's code, or
cannot be swapped, is tried by assigning it again, or in a new process. Results are appended to ``DIR/results.jsonl``, so that a run can be interrupted and
goes on where it was; ``--again`` tries survivors again. Of tests beyond the budget, the slowest are left out.
``--sample`` takes so many mutants of each file, which ``--seed`` draws; the table is then about those.

The table at the end counts a mutant as killed where a test failed, or took five times its time. Survivors that
docs/mutants.md explains are not tried, and counted apart. Tests that start the program as a process of its own do
not see mutants. Needs the extra ``mutants``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script: its own folder is on the path, the tests' is not
    sys.path.insert(0, str(Path(__file__).parents[1]))

import pytest

from mutation.reach import Reach, digest, measure
from mutation.sites import Mutant, mutants_of
from mutation.swap import Instead, Loaded, assign

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "netproof"
#: stands for all changes of a line
ANYTHING = "anything"
#: where survivors are listed that change nothing that counts
EXPLAINED = ROOT / "docs" / "mutants.md"
ROOMS = ("bounds", "search", "certificate", "operators")
TESTS = ("tests/unit", "tests/soundness")
#: by how much a mutant may slow its tests, and what that is added to, in seconds
SLOWER, GRACE = 5, 5
#: by how much waiting may exceed processor time, on a busy machine
WAITING = 20
#: bytes that a mutant may occupy
MEMORY = 16 << 30
#: how a child ends that could not become the mutant
_BROKEN = 77
KILLED, SURVIVED, TIME, UNREACHED = "killed", "survived", "time", "unreached"


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: how it ended, and the test that saw it."""

    mutant: Mutant
    status: str
    test: str = ""

    def row(self) -> dict[str, Any]:
        m = self.mutant
        return {
            "key": m.key,
            "path": m.path,
            "line": m.line,
            "function": m.function,
            "before": m.before,
            "after": m.after,
            "status": self.status,
            "test": self.test,
        }


class Trial:
    """A plugin of pytest that tries mutants instead of running the tests that were collected."""

    def __init__(self, mutants: Sequence[Mutant], reach: Reach, results: Path, until: float, budget: float) -> None:
        self._mutants = mutants
        self._reach = reach
        self._results = results
        self._until = until
        self._budget = budget
        self._failed = ""
        self._deadly: Counter[tuple[str, str]] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed = self._failed or report.nodeid

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._loaded = Loaded(PACKAGE)
        items = {item.nodeid: item for item in session.items}
        gc.freeze()  # so that children share what they do not change
        # What needs a process of its own comes last.
        for number, mutant in enumerate(sorted(self._mutants, key=lambda m: not (m.function or m.assignment)), 1):
            if time.monotonic() >= self._until:
                break
            outcome = self._try(mutant, items)
            with self._results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(outcome.row()) + "\n")
            note = f"{mutant.path}:{mutant.line}: {outcome.status}"
            if outcome.status in (SURVIVED, UNREACHED):
                note += f"\n    - {mutant.before}\n    + {mutant.after}"
            sys.stderr.write(f"[{number}/{len(self._mutants)}] {note}\n")
        return True

    def _tests(self, mutant: Mutant, items: dict[str, pytest.Item]) -> list[str]:
        """The tests to run: those that have killed mutants of the same function first, as far as the time goes."""
        line = mutant.line if mutant.function else None
        names = [name for name in self._reach.tests(PACKAGE, mutant.path, line) if name in items]
        names.sort(key=lambda name: -self._deadly[mutant.path + mutant.function, name])
        chosen, total = [], 0.0
        for name in names:
            total += self._reach.seconds[name]
            if total > self._budget and chosen:
                break
            chosen.append(name)
        return chosen

    def _try(self, mutant: Mutant, items: dict[str, pytest.Item]) -> Outcome:
        names = self._tests(mutant, items)
        if not names:
            return Outcome(mutant, UNREACHED)
        seconds = GRACE + SLOWER * sum(self._reach.seconds[name] for name in names)
        if not mutant.function and not mutant.assignment:
            return _try_afresh(mutant, names, seconds)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            code = _BROKEN
            try:
                os.setsid()
                os.close(reading)
                self._be(mutant, [items[name] for name in names], seconds, writing)
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        status = _wait(child, seconds)
        test = os.read(reading, 1 << 12).decode()
        os.close(reading)
        if status == _BROKEN:
            # As where a function no longer uses what a function around it gives it: its code cannot be swapped alone.
            return _try_afresh(mutant, names, seconds)
        if status in (-signal.SIGXCPU, None):
            return Outcome(mutant, TIME)
        if status == 0 and not test:
            return Outcome(mutant, SURVIVED)
        self._deadly[mutant.path + mutant.function, test] += 1
        return Outcome(mutant, KILLED, test or f"ended with {status}")

    def _be(self, mutant: Mutant, items: Sequence[pytest.Item], seconds: float, writing: int) -> None:
        """The child's life."""
        _confine(seconds)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        if mutant.assignment:
            try:
                assign(_module(mutant.path), mutant.assignment)
            except Exception as error:  # noqa: BLE001 - whatever it is: the module would not load
                os.write(writing, f"not loaded: {error!r}".encode()[: 1 << 12])
                os._exit(1)
        else:
            self._loaded.swap(PACKAGE / mutant.path, mutant.function, mutant.source)
        for number, item in enumerate(items):
            following = items[number + 1] if number + 1 < len(items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                os.write(writing, self._failed.encode()[: 1 << 12])
                os._exit(1)


def _try_afresh(mutant: Mutant, names: Sequence[str], seconds: float) -> Outcome:
    """In a process of its own, which loads the mutant instead of the file."""
    command = [sys.executable, __file__, "--one", mutant.path, str(seconds)]
    given = json.dumps({"source": mutant.source, "names": list(names)})
    try:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as child:
            try:
                child.communicate(given.encode(), timeout=(seconds + GRACE) * WAITING)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                return Outcome(mutant, TIME)
    except BrokenPipeError:
        return Outcome(mutant, KILLED, "did not start")
    if child.returncode == -signal.SIGXCPU:
        return Outcome(mutant, TIME)
    return Outcome(mutant, KILLED, "afresh") if child.returncode else Outcome(mutant, SURVIVED)


def _be_alone(path: str, seconds: float) -> int:
    given = json.loads(sys.stdin.read())
    _confine(seconds + GRACE)
    Instead(_module(path), PACKAGE / path, given["source"]).install()
    return int(pytest.main([*given["names"], "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]))


def _module(path: str) -> str:
    return "netproof." + path.removesuffix(".py").replace("/", ".")


def _confine(seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _wait(child: int, seconds: float) -> int | None:
    """The exit status of a child, negative for a signal; None where it had to be ended, with all that it started."""
    until = time.monotonic() + seconds * WAITING
    pause = 0.01
    status = None
    while time.monotonic() < until:
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(code)
            break
        time.sleep(pause)
        pause = min(0.2, pause * 1.2)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    if status is None:
        os.waitpid(child, 0)
    return status


def _files(wanted: Sequence[str]) -> list[str]:
    """The files that are meant, below the package."""
    found = []
    for one in wanted or ROOMS:
        at = PACKAGE / one
        paths = sorted(at.rglob("*.py")) if at.is_dir() else [at]
        found += [path.relative_to(PACKAGE).as_posix() for path in paths if path.name != "__init__.py"]
    return found


def _test_files(wanted: Sequence[str]) -> list[str]:
    found = []
    for one in wanted:
        at = ROOT / one
        found += [p.relative_to(ROOT).as_posix() for p in sorted(at.rglob("test_*.py"))] if at.is_dir() else [one]
    return found


def _known(results: Path) -> dict[str, dict[str, Any]]:
    """The last result of every mutant."""
    if not results.exists():
        return {}
    lines = results.read_text(encoding="utf-8").splitlines()
    return {row["key"]: row for row in map(json.loads, lines)}


def _explained(page: str) -> set[tuple[str, str, str]]:
    """The changes that a page lists as ``- `file`: `before` becomes `after`, `after`: reason``, or as ``anything``."""
    found = set()
    for line in page.splitlines():
        match = re.match(r"- `([^`]+)`: `([^`]+)` becomes (anything|(?:`[^`]+`(?:, )?)+): ", line)
        if match:
            path, before, after = match.groups()
            found |= {(path, before, one) for one in re.findall(r"`([^`]+)`", after) or [ANYTHING]}
    return found


def _is_explained(mutant: Mutant, reasons: set[tuple[str, str, str]]) -> bool:
    return any((mutant.path, _plain(mutant.before), one) in reasons for one in (_plain(mutant.after), ANYTHING))


def _plain(code: str) -> str:
    return code.replace("`", "'")


def _report(mutants: Sequence[Mutant], known: dict[str, dict[str, Any]]) -> int:
    """Print the table and the survivors that nobody has explained; their number."""
    reasons = _explained(EXPLAINED.read_text(encoding="utf-8"))
    counts: dict[str, Counter[str]] = {}
    left = []
    for mutant in mutants:
        row = known.get(mutant.key)
        if row is None and _is_explained(mutant, reasons):
            row = {"status": SURVIVED}
        count = counts.setdefault(mutant.path, Counter())
        if row is None:
            count["open"] += 1
        elif row["status"] in (KILLED, TIME):
            count["killed"] += 1
        elif _is_explained(mutant, reasons):
            count["explained"] += 1
        else:
            count["left"] += 1
            left.append(mutant)
    say = sys.stdout.write
    say("| file | mutants | killed | equivalent | survive | killed of those that are not equivalent |\n")
    say("| --- | ---: | ---: | ---: | ---: | ---: |\n")
    for path, count in counts.items():
        tried = count["killed"] + count["left"]
        share = f"{100 * count['killed'] / tried:.1f} %" if tried else ""
        if count["open"]:
            share += f" ({count['open']} not tried)"
        numbers = f"{count.total()} | {count['killed']} | {count['explained']} | {count['left']}"
        say(f"| `{path}` | {numbers} | {share} |\n")
    for mutant in left:
        say(f"\n{mutant.path}:{mutant.line} {mutant.function}\n- {mutant.before}\n+ {mutant.after}\n")
    return len(left)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="which small changes of the code does no test notice?")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--tests", nargs="+", default=list(TESTS), help="what pytest is to collect")
    parser.add_argument("--out", type=Path, default=ROOT / "mutants-output")
    parser.add_argument(
        "--budget", type=float, default=20.0, metavar="SECONDS", help="of processor time for the tests of one mutant"
    )
    parser.add_argument("--again", action="store_true", help="try survivors again")
    parser.add_argument("--report", action="store_true", help="only the table of what is known")
    parser.add_argument("--reach", action="store_true", help="only the first step")
    parser.add_argument("--stop-after", type=float, default=float("inf"), metavar="SECONDS")
    parser.add_argument("--sample", type=int, metavar="N", help="so many mutants of each file, drawn by chance")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the draw")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if options.one:
        return _be_alone(options.one[0], float(options.one[1]))
    options.out.mkdir(parents=True, exist_ok=True)
    stored, results = options.out / "reach.json", options.out / "results.jsonl"
    if options.reach:
        known = Reach.load(stored) if stored.exists() else Reach()
        asked = {file: digest(ROOT / file) for file in options.tests}
        found = measure(PACKAGE, ROOMS, options.tests)
        found.asked = asked
        known.add(found)
        known.save(stored)
        return 0
    options.tests = _test_files(options.tests)
    if not options.report:
        asked = Reach.load(stored).asked if stored.exists() else {}
        missing = [file for file in options.tests if asked.get(file) != digest(ROOT / file)]
        if missing:
            command = [sys.executable, __file__, "--reach", "--out", str(options.out.resolve()), "--tests", *missing]
            subprocess.run(command, check=True)
    mutants = [
        mutant for path in _files(options.files) for mutant in mutants_of(PACKAGE, path, options.sample, options.seed)
    ]
    if not options.report:
        known = _known(results)
        reasons = _explained(EXPLAINED.read_text(encoding="utf-8"))
        open_again = (SURVIVED, UNREACHED) if options.again else ()
        fresh = [
            mutant
            for mutant in mutants
            if (mutant.key not in known or known[mutant.key]["status"] in open_again)
            and not _is_explained(mutant, reasons)
        ]
        trial = Trial(fresh, Reach.load(stored), results, time.monotonic() + options.stop_after, options.budget)
        pytest.main([*options.tests, "-q", "-p", "no:cacheprovider", "-p", "no:xdist"], plugins=[trial])
    return 1 if _report(mutants, _known(results)) else 0


if __name__ == "__main__":
    sys.exit(main())
