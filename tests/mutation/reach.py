"""Which tests can notice a mutant: those that run its line, found by running every test once under coverage."""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Reach:
    """What every test runs, and how long it takes.

    Attributes
    ----------
    seconds : processor time of every test that passed, by its name
    lines : per file below the package, per line, the tests that run it
    digests : per file, which source that was found of
    asked : per file of tests that ran, which text of it
    """

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)

    def tests(self, package: Path, path: str, line: int | None) -> list[str]:
        """Tests that run a line (None, or in a file that has changed since: any line of it), the quickest first."""
        known = self.lines.get(path, {})
        if line is None or self.digests.get(path) != digest(package / path):
            # What runs when a module is imported alone, while tests are collected, no test is known to run.
            names = {name for some in known.values() for name in some} or (set(self.seconds) if known else set())
        else:
            names = set(known.get(line, ()))
        return sorted(names & self.seconds.keys(), key=lambda name: (self.seconds[name], name))

    def add(self, other: Reach) -> None:
        """Take in what other tests reach; where they ran other sources, it is known of those only by file."""
        self.seconds |= other.seconds
        self.asked |= other.asked
        for path, by_line in other.lines.items():
            if self.digests.get(path, other.digests[path]) != other.digests[path]:
                self.digests[path] = ""
            mine = self.lines.setdefault(path, {})
            for line, some in by_line.items():
                mine[line] = sorted({*mine.get(line, ()), *some})
            self.digests.setdefault(path, other.digests[path])

    def save(self, path: Path) -> None:
        names = list(self.seconds)
        number = {name: i for i, name in enumerate(names)}
        lines = {
            file: {line: [number[name] for name in some if name in number] for line, some in by_line.items()}
            for file, by_line in self.lines.items()
        }
        text = json.dumps(
            {
                "names": names,
                "seconds": list(self.seconds.values()),
                "lines": lines,
                "digests": self.digests,
                "asked": self.asked,
            }
        )
        path.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Reach:
        known = json.loads(path.read_text(encoding="utf-8"))
        names = known["names"]
        lines = {
            file: {int(line): [names[i] for i in some] for line, some in by_line.items()}
            for file, by_line in known["lines"].items()
        }
        return cls(dict(zip(names, known["seconds"], strict=True)), lines, known["digests"], known["asked"])


class _Watch:
    """A plugin of pytest: one context of coverage for every test."""

    def __init__(self, coverage: Any) -> None:
        self._coverage = coverage
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.nodeid)
        begun = time.process_time()
        yield
        self.seconds[item.nodeid] = round(time.process_time() - begun, 4)
        self._coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:  # skipped ones cannot fail either
            self.failed.add(report.nodeid)


def measure(package: Path, rooms: Sequence[str], tests: Iterable[str]) -> Reach:
    """Run ``tests`` (arguments of pytest) in this process, which must not have imported the package yet."""
    from coverage import Coverage

    coverage = Coverage(data_file=None, source=[str(package / room) for room in rooms], config_file=False)
    coverage.set_option("run:core", "ctrace")
    watch = _Watch(coverage)
    coverage.start()
    pytest.main([*tests, "-q", "-p", "no:cacheprovider", "-p", "no:xdist"], plugins=[watch])
    coverage.stop()
    reach = Reach({name: s for name, s in watch.seconds.items() if name not in watch.failed})
    data = coverage.get_data()
    for file in data.measured_files():
        by_line: dict[int, list[str]] = defaultdict(list)
        for line, names in data.contexts_by_lineno(file).items():
            by_line[line] = [name for name in names if name]
        path = Path(file).relative_to(package).as_posix()
        reach.lines[path], reach.digests[path] = dict(by_line), digest(Path(file))
    return reach


def digest(file: Path) -> str:
    """Says whether a file has changed."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
