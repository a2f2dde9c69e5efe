"""Ask a sample of published benchmarks, with limits of processor time, and compare with the published verdicts.

    python tests/performance/sample.py BENCHMARK ... [--count N] [--seed N] [--seconds S] [--every] [--first I] [--last I]
        [--step N] [--published VERDICT] [--own]

The sample is drawn by the seed, from the list in its order. The clock of this process is its processor time, so that a busy machine
decides what an idle one decides. Reading is not within the limit, and is said. Ends with 1 where a verdict contradicts a
published one. ``netproof bench run`` is what runs a whole list, resumable, by wall time.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

import netproof
from netproof.benchmarks.base import Instance, OpenBenchmark
from netproof.benchmarks.data import DataFolders
from netproof.benchmarks.registry import benchmark
from netproof.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_choice(parser)
    parser.add_argument(
        "--own", action="store_true", help="the limit that the list gives each instance, instead of --seconds"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    contradicted = 0
    for name in options.benchmarks:
        opened, chosen = chosen_of(name, options)
        contradicted += _ask(name, opened, chosen, None if options.own else options.seconds)
    return 1 if contradicted else 0


def add_choice(parser: argparse.ArgumentParser) -> None:
    """The options that say what is asked, and for how long, which :func:`chosen_of` takes."""
    parser.add_argument("benchmarks", nargs="+")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--every", action="store_true", help="no sample: all instances")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int)
    parser.add_argument("--step", type=int, default=1, help="only every so many of them")
    parser.add_argument("--published", help="only instances with this published verdict: sat, unsat or open")


def chosen_of(name: str, options: argparse.Namespace) -> tuple[OpenBenchmark, list[Instance]]:
    """The benchmark, and those of its instances that the options name, in the list's order."""
    known, data = benchmark(name), DataFolders.locate()
    opened = known.open(data)
    chosen = list(known.instances(data))[options.first : options.last : options.step]
    if options.published:
        chosen = [one for one in chosen if _published(opened, one) == options.published]
    if options.every:
        return opened, chosen
    numbers = random.Random(options.seed).sample(range(len(chosen)), min(options.count, len(chosen)))
    return opened, [chosen[number] for number in sorted(numbers)]


def _ask(name: str, opened: OpenBenchmark, chosen: list[Instance], seconds: float | None) -> int:
    tally: Counter[str] = Counter()
    contradicted = 0
    for instance in chosen:
        begun = time.process_time()
        try:
            question = opened.question(instance)
        except InputError as error:
            _say(f"{instance.name}: refused: {error}")
            tally["refused"] += 1
            continue
        read = time.process_time() - begun
        limit = seconds if seconds is not None else _limit(opened, instance)
        result = netproof.verify(question, netproof.Settings(timeout=limit))
        used, verdict, other = time.process_time() - begun - read, result.verdict.value, _published(opened, instance)
        wrong = {verdict, other} == {"sat", "unsat"}
        contradicted += wrong
        tally[verdict] += 1
        note = " WRONG" if wrong else ""
        left = "" if result.bound is None or result.verdict.decided else f", bound {result.bound:.4g}"
        _say(
            f"{instance.name}: {verdict}{note} (published {other or 'nothing'}), read {read:.1f} s, {used:.1f} s,"
            f" {result.subproblems} subproblems{left}, limit {limit:g} s"
        )
    _say(f"{name}: {len(chosen)} asked, {dict(tally)}, {contradicted} contradicted")
    return contradicted


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _published(opened: OpenBenchmark, instance: Instance) -> str:
    """What the table beside the list has, ``verdicts.csv`` with columns onnx, vnnlib and union; empty where there is none."""
    sources = opened.sources(instance)
    table = sources[1].parent.parent / "verdicts.csv" if sources else None
    if sources is None or table is None or not table.is_file():
        return ""
    with table.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if [Path(row["onnx"]).name, Path(row["vnnlib"]).name] == _names(sources):
                return row["union"]
    return ""


def _limit(opened: OpenBenchmark, instance: Instance) -> float:
    """The seconds that the list itself gives an instance, the third column of ``instances.csv``."""
    sources = opened.sources(instance)
    assert sources is not None
    with (sources[1].parent.parent / "instances.csv").open(newline="") as lines:
        for onnx, vnnlib, seconds in csv.reader(lines):
            if [Path(onnx).name, Path(vnnlib).name] == _names(sources):
                return float(seconds)
    raise KeyError(instance.name)


def _names(sources: Sequence[Path]) -> list[str]:
    return [path.name.removesuffix(".gz") for path in sources]


if __name__ == "__main__":
    time.monotonic = time.process_time  # type: ignore[assignment]
    sys.exit(main())
