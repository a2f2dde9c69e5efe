"""``bench run --scheduler`` against a local run: the same table whatever becomes of the workers, and as much work done.

    python tests/performance/scheduler.py [--benchmarks NAME ...] [--only PATTERN] [--rounds N] [--turns N] [--seed N]

First each benchmark is run in this process. Then, ``--rounds`` times each, by three workers of a Dask scheduler of its own, two of which
are ended by SIGKILL at random moments: when a random number of rows is on record, and up to a quarter of a second later, so that it
strikes in the middle of shares. A round is good where every instance has one row, and the local run's verdict.

``--turns`` compares what two workers do with two local processes (``bench run --jobs 2``), in turns. Wall times are those of the whole
run; local ones hold the start of the processes, which the workers have behind them, so that it is shown, too. Processor times are those of
the processes that answer, during the run, the import of PyTorch included in both: on a machine that other work shares they alone are
comparable. Ends with 1 where a round is not good.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import random
import resource
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from distributed import LocalCluster

from netproof.benchmarks.data import DataFolders
from netproof.benchmarks.registry import benchmark
from netproof.runs.job import Job
from netproof.runs.run import RunStep, Start, run_benchmark
from netproof.settings import Settings

#: seconds that a worker lives on, at most, when its moment has come
_LATER = 0.25


@dataclass(frozen=True)
class Asked:
    """A benchmark, the part of it that is run, and where results go."""

    name: str
    only: str | None
    folder: Path

    def job(self) -> Job:
        return Job(benchmark(self.name), DataFolders.locate(None), Settings())

    def run(self, folder: str, **how: Any) -> Iterator[RunStep]:
        for event in run_benchmark(self.job(), self.folder / folder, only=self.only, **how):
            if isinstance(event, RunStep):
                yield event
            elif isinstance(event, Start) and event.pending != event.chosen:
                raise SystemExit(f"{event.folder} is not empty")

    def table(self, folder: str) -> list[tuple[str, str]]:
        with (self.folder / folder / "results.csv").open() as stream:
            return sorted((row["instance"], row["verdict"]) for row in csv.DictReader(stream))


@contextmanager
def workers(number: int) -> Iterator[LocalCluster]:
    # What it says of workers that are killed is known.
    for name in ("distributed", "distributed.nanny", "distributed.scheduler", "distributed.worker"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with LocalCluster(
        n_workers=number, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=logging.CRITICAL
    ) as cluster:
        yield cluster


def address(cluster: LocalCluster) -> str:
    return "dask://" + cluster.scheduler_address.removeprefix("tcp://")


class Killer(threading.Thread):
    """Ends workers when so many rows are on record, each a little later."""

    def __init__(self, cluster: LocalCluster, moments: Sequence[int], chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.rows = 0
        self.killed: list[int] = []
        self.ended = threading.Event()
        self._cluster, self._moments, self._chance = cluster, sorted(moments), chance

    def run(self) -> None:
        for moment in self._moments:
            while self.rows < moment:
                if self.ended.wait(0.002):
                    return
            if self.ended.wait(self._chance.uniform(0, _LATER)):
                return
            alive = [w.pid for w in self._cluster.workers.values() if w.pid and w.pid not in self.killed]
            victim = self._chance.choice(alive)
            os.kill(victim, signal.SIGKILL)
            self.killed.append(victim)


def killing(asked: Asked, rounds: int, seed: int) -> bool:
    """Run with workers that are killed; whether every round is good."""
    begun = time.monotonic()
    for _ in asked.run("local"):
        pass
    expected = asked.table("local")
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(Counter(v for _, v in expected).items()))
    say(f"{asked.name}: {len(expected)} rows ({verdicts}) in {time.monotonic() - begun:.1f} s, in one process")
    good = 0
    for number in range(rounds):
        chance = random.Random(f"{asked.name} {seed} {number}")
        # Where only few rows are left the run may be over before the second worker is killed.
        moments = [chance.randrange(0, len(expected) * 2 // 3) for _ in range(2)]
        begun = time.monotonic()
        with workers(3) as cluster:
            killer = Killer(cluster, moments, chance)
            killer.start()
            for _ in asked.run(f"round-{number}", scheduler=address(cluster)):
                killer.rows += 1
            killer.ended.set()
            killer.join()
        found = asked.table(f"round-{number}")
        same = found == expected and len(killer.killed) == len(moments)
        good += same
        say(
            f"  round {number + 1}: {len(killer.killed)} workers killed from rows {sorted(moments)} on; {len(found)} rows, "
            f"{'the same table' if found == expected else 'ANOTHER TABLE'}; {time.monotonic() - begun:.1f} s"
        )
    say(f"  {good} of {rounds} rounds with two workers killed, no row lost or doubled, and the local run's table")
    return good == rounds


def throughput(asked: Asked, turns: int) -> None:
    """Two workers against two local processes, in turns."""
    figures: dict[str, list[float]] = {"local": [], "local cpu": [], "dask": [], "dask cpu": [], "start": []}
    for number in range(turns):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.monotonic()
        for _ in asked.run(f"jobs-{number}", jobs=2):
            pass
        figures["local"].append(time.monotonic() - begun)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        figures["local cpu"].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        begun = time.monotonic()
        with workers(2) as cluster:
            figures["start"].append(time.monotonic() - begun)
            answering = [psutil.Process(worker.pid) for worker in cluster.workers.values()]
            spent = sum(map(processor_time, answering))
            begun = time.monotonic()
            for _ in asked.run(f"workers-{number}", scheduler=address(cluster)):
                pass
            figures["dask"].append(time.monotonic() - begun)
            figures["dask cpu"].append(sum(map(processor_time, answering)) - spent)
        say(f"  turn {number + 1}: " + ", ".join(f"{name} {values[-1]:.2f} s" for name, values in figures.items()))
    cost = [local / dask for local, dask in zip(figures["local cpu"], figures["dask cpu"], strict=True)]
    wall = [local / dask for local, dask in zip(figures["local"], figures["dask"], strict=True)]
    say(
        f"{asked.name}: two workers do {statistics.median(cost):.2f} of what two local processes do in as much processor time, and "
        f"{statistics.median(wall):.2f} in as much wall time (medians of {turns} turns)"
    )


def processor_time(process: psutil.Process) -> float:
    """Seconds that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description="A run by a scheduler's workers against a local one.")
    parser.add_argument("--benchmarks", nargs="+", default=["qnn-mnist", "rl_benchmarks"], metavar="NAME")
    parser.add_argument("--only", metavar="PATTERN", help="only these instances, as 'bench run' has it")
    parser.add_argument("--rounds", type=int, default=10, help="with workers that are killed (default 10)")
    parser.add_argument("--turns", type=int, default=0, help="of the comparison with local processes (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="netproof-scheduler-"))
    good = True
    try:
        for name in options.benchmarks:
            asked = Asked(name, options.only, home / name)
            if options.rounds:
                good &= killing(asked, options.rounds, options.seed)
            if options.turns:
                throughput(asked, options.turns)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
