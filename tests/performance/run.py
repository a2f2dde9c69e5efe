"""Ask the twelve queries: verdicts, methods, subproblems, processor time.

    python tests/performance/run.py [NAME ...] [--repeat N] [--write FILE] [--compare FILE] [--list]

Counts of subproblems say what a change does to the search, on any machine and however busy it is; processor time (of this
process, the least of ``--repeat`` times) says what a subproblem costs. ``--write`` keeps both. ``--compare`` puts both beside those
of a file and ends with 1 where a verdict, a method or a count differs, or where repeats of one query do. Times are
only shown, with the file's where it was written on this machine.

Why no framework: asv builds an environment for every commit, PyTorch included, and what it keeps of a commit are times;
pytest-benchmark measures wall time. Here the counts are the point, and they need one run. To compare two commits, write a
file with one and compare with the other.

Roundings of another processor, or another release of PyTorch, can move a count. The file says where it was written.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script: its own folder is on the path, the tests' is not
    sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch

import netproof
from performance.queries import QUERIES, SETTINGS, MissingDataError, TimedQuery

#: the counts that came with the last change of the search
COUNTS = Path(__file__).with_name("counts.json")


@dataclass(frozen=True)
class Count:
    """What is the same in every run of a query."""

    verdict: str
    method: str
    subproblems: int


@dataclass(frozen=True)
class Measured:
    """A query's counts, one for every different outcome of its repeats, and its least processor time in seconds."""

    counts: tuple[Count, ...]
    seconds: float


def measure(query: TimedQuery, repeat: int) -> Measured:
    """Ask it ``repeat`` times; raises :class:`MissingDataError`."""
    counts: dict[Count, None] = {}
    seconds = []
    for _ in range(repeat):
        asked = query.ask()
        begun = time.process_time()
        result = netproof.verify(asked, SETTINGS)
        seconds.append(time.process_time() - begun)
        counts[Count(result.verdict.value, result.method, result.subproblems)] = None
    return Measured(tuple(counts), min(seconds))


def machine() -> dict[str, str]:
    """What roundings and times depend on."""
    return {
        "processor": _processor(),
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }


def document(measured: Mapping[str, Measured]) -> dict[str, Any]:
    """What ``--write`` keeps."""
    return {
        "machine": machine(),
        "counts": {name: asdict(one.counts[0]) for name, one in measured.items()},
        "processor seconds": {name: round(one.seconds, 3) for name, one in measured.items()},
    }


def differences(measured: Mapping[str, Measured], stored: Mapping[str, Any]) -> list[str]:
    """One line for every query whose counts are not those of a document, or not the same in all repeats."""
    found = []
    for name, one in measured.items():
        if len(one.counts) > 1:
            found.append(f"{name}: repeats differ: {'; '.join(map(_said, one.counts))}")
        before = stored.get("counts", {}).get(name)
        if before is None:
            continue
        if Count(**before) != one.counts[0]:
            found.append(f"{name}: {_said(Count(**before))} before, {_said(one.counts[0])} now")
    return found


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    known = {query.name: query for query in QUERIES}
    if options.list:
        for query in QUERIES:
            _say(f"{query.name:20} {query.about}")
        return 0
    unknown = set(options.names) - set(known)
    if unknown:
        _say(f"error: no query is called {', '.join(sorted(unknown))}; known: {', '.join(known)}", sys.stderr)
        return 2
    try:
        stored = {} if options.compare is None else json.loads(options.compare.read_text())
    except (OSError, ValueError) as error:
        _say(f"error: {options.compare}: cannot be read ({error}); name a file that --write made", sys.stderr)
        return 2
    torch.set_num_threads(1)
    measured = {}
    _say(f"{'query':20} {'verdict':8} {'method':8} {'subproblems':>11} {'before':>8} {'processor':>11} {'before':>9}")
    for name in options.names or known:
        try:
            measured[name] = measure(known[name], options.repeat)
        except MissingDataError as missing:
            _say(f"{name:20} left out: {missing}")
            continue
        _say(_row(name, measured[name], stored))
    if options.write is not None:
        options.write.write_text(json.dumps(document(measured), indent=2) + "\n")
    if options.compare is not None and stored.get("machine") != machine():
        _say(f"{options.compare} was written on another machine, or with other versions: {stored.get('machine')}")
    different = differences(measured, stored)
    for line in different:
        _say(f"different: {line}")
    return 1 if different else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Ask the twelve queries and count what they cost.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is asked (default 3)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="keep counts and times")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="show those of FILE beside them")
    parser.add_argument("--list", action="store_true", help="name the queries and ask none")
    return parser


def _row(name: str, one: Measured, stored: Mapping[str, Any]) -> str:
    count = one.counts[0]
    before = stored.get("counts", {}).get(name, {}).get("subproblems", "")
    seconds = stored.get("processor seconds", {}).get(name) if stored.get("machine") == machine() else None
    earlier = "" if seconds is None else f"{seconds:7.3f} s"
    return (
        f"{name:20} {count.verdict:8} {count.method:8} {count.subproblems:11} {before:>8} "
        f"{one.seconds:9.3f} s {earlier:>9}"
    ).rstrip()


def _said(count: Count) -> str:
    return f"{count.verdict} by {count.method} after {count.subproblems} subproblems"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _say(line: str, stream: Any = None) -> None:
    print(line, file=stream, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
