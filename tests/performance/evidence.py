"""What evidence costs: the tables of docs/certificates.md, of samples of published benchmarks.

    python tests/performance/evidence.py BENCHMARK ... [--count N] [--seed N] [--seconds S] [--every] [--first I] [--last I]
        [--step N] [--published VERDICT] [--out CSV] [--by-wall]

Each instance is read, searched with a record, its certificate made and written, and that file checked as ``netproof check``
does, all in this process; each of the four is counted in seconds of its processor time (the fastest of ``--times`` for making and
checking, once for the rest). One instance is asked before, unmeasured, so that what a process loads once is on nobody's
account. Limits are processor time unless ``--by-wall``. With ``--out`` there is a row per instance, and rows that are
there are not asked again. Ends with 1 where a certificate is none.
"""

from __future__ import annotations

import argparse
import csv
import gc
import statistics
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import netproof
from netproof.benchmarks.base import Instance, OpenBenchmark
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.real.format import decode
from netproof.errors import InputError, NoEvidenceError
from netproof.files.opened import read_bytes
from netproof.query import Question, Result
from netproof.runs.certify import FAILURES, write_evidence
from performance.sample import add_choice, chosen_of

#: seconds that a certificate may take to be made
_MAKING = 600.0


@dataclass(frozen=True)
class Row:
    """What one instance took, in seconds; a size of 0 has no certificate, for the reason in ``without``."""

    instance: str
    verdict: str
    reading: float
    search: float
    making: float = 0.0
    checking: float = 0.0
    size: int = 0
    without: str = ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_choice(parser)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--by-wall", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    none = 0
    for name in options.benchmarks:
        opened, chosen = chosen_of(name, options)
        known = {row.instance: row for row in _rows(options.out)} if options.out else {}
        rows = [known[one.name] for one in chosen if one.name in known]
        left = [one for one in chosen if one.name not in known]
        if left:
            _asked(opened, left[0], options.seconds, 1)
        for instance in left:
            row = _asked(opened, instance, options.seconds, options.times)
            if row is None:
                none += 1
                continue
            rows.append(row)
            if options.out:
                _append(options.out, row)
        _say_table(name, len(chosen), rows)
    return 1 if none else 0


def _asked(opened: OpenBenchmark, instance: Instance, seconds: float, times: int) -> Row | None:
    sources = opened.sources(instance)
    assert sources is not None
    begun = time.process_time()
    try:
        question = opened.question(instance)
    except InputError as error:
        return Row(instance.name, "refused", 0.0, 0.0, without=str(error))
    read = time.process_time()
    result = netproof.verify(question, netproof.Settings(timeout=seconds, proofs=True))
    searched = time.process_time()
    row = Row(instance.name, result.verdict.value, read - begun, searched - read)
    if result.verdict.value not in ("sat", "unsat"):
        return row
    with TemporaryDirectory() as folder:
        path = Path(folder) / "c.npcert"
        try:
            size, making = _made(path, sources, question, result, times)
        except NoEvidenceError as error:
            return replace(row, without=error.problem)
        except FAILURES as error:
            _say(f"{instance.name}: NO CERTIFICATE: {error}")
            return None
        try:
            checking = _checked(path, sources, times)
        except FAILURES as error:
            _say(f"{instance.name}: NOT ACCEPTED: {error}")
            return None
    return replace(row, making=making, checking=checking, size=size)


def _made(path: Path, sources: tuple[Path, Path], question: Question, result: Result, times: int) -> tuple[int, float]:
    taken = []
    for _ in range(times):
        gc.collect()
        begun = time.process_time()
        size = write_evidence(path, *sources, question, result, durable=False, deadline=time.monotonic() + _MAKING)
        taken.append(time.process_time() - begun)
    return size, min(taken)


def _checked(path: Path, sources: tuple[Path, Path], times: int) -> float:
    taken = []
    for _ in range(times):
        begun = time.process_time()
        network, property_ = (read_bytes(file, "file") for file in sources)
        check_real(decode(path.read_bytes(), str(path)), network, property_, source=str(path))
        taken.append(time.process_time() - begun)
    return min(taken)


def _say_table(name: str, asked: int, rows: list[Row]) -> None:
    """Medians and sums of those that have evidence; shares are of the search, and of reading and searching."""
    held = [row for row in rows if row.size]
    decided = [row for row in rows if row.verdict in ("sat", "unsat")]
    verdicts = Counter(row.verdict for row in held)
    _say(f"{name}: {asked} asked, {len(decided)} decided, {len(held)} with evidence ({verdicts['unsat']} unsat)")
    for reason, count in Counter(row.without for row in decided if not row.size).items():
        _say(f"  without, {count}: {reason}")
    for kind in ("sat", "unsat", ""):
        of = [row for row in held if not kind or row.verdict == kind]
        if of:
            _say(f"  {kind or 'all'}: {_figures(of)}")


def _figures(rows: list[Row]) -> str:
    medians = [statistics.median(getattr(row, part) for row in rows) for part in ("search", "making", "checking")]
    sums = [sum(getattr(row, part) for row in rows) for part in ("search", "making", "checking", "reading")]
    share = statistics.median(row.making / max(row.search, 1e-9) for row in rows)
    return (
        f"{len(rows)}; bytes {statistics.median(row.size for row in rows):.0f}, at most {max(row.size for row in rows)};"
        f" medians: search {medians[0]:.3f} s, making {medians[1]:.3f} s, checking {medians[2]:.3f} s, share {share:.2f};"
        f" sums: {sums[0]:.2f} s, {sums[1]:.2f} s, {sums[2]:.2f} s, share {sums[1] / sums[0]:.2f},"
        f" of the whole {sums[1] / (sums[0] + sums[3]):.2f}"
    )


def _rows(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    with path.open(newline="") as lines:
        return [
            Row(
                one["instance"],
                one["verdict"],
                *(float(one[part]) for part in ("reading", "search", "making", "checking")),
                int(one["size"]),
                one["without"],
            )
            for one in csv.DictReader(lines)
        ]


def _append(path: Path, row: Row) -> None:
    new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [one.name for one in fields(Row)])
        if new:
            writer.writeheader()
        writer.writerow(asdict(row))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if "--by-wall" not in sys.argv:
        time.monotonic = time.process_time  # type: ignore[assignment]
    sys.exit(main())
