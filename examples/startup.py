"""Time ``netproof verify`` as a user or a competition runs it: every instance a new process, start-up included.

    python examples/startup.py FOLDER [FOLDER ...] [--every N] [--timeout S] [--json]

``FOLDER`` holds an ``instances.csv`` with its networks and properties. For each one it prints quantiles of wall time
and of processor time (of the process and all it started), and the slowest instance of the *easy half*: the half of the
instances that took the least wall time. The first line is the least that any answer costs, an instance that has nothing
to search, measured several times.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from netproof.formats.instances import ListedInstance, read_instances

#: a network of one number, y = x, and a question that evaluation answers
_REPEATS = 5
_TRIVIAL = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (<= X_0 1))(assert (>= X_0 0))(assert (>= Y_0 2))"


@dataclass(frozen=True)
class Run:
    """One process: what it answered and what it took."""

    name: str
    verdict: str
    wall: float
    processor: float


def run(network: Path, statement: Path, timeout: float) -> Run:
    """``netproof verify`` in a process of its own, on one thread."""
    command = [sys.executable, "-m", "netproof", "verify", str(network), str(statement)]
    before, begun = _processor_seconds(), time.perf_counter()
    done = subprocess.run(
        [*command, "--timeout", str(timeout), "--threads", "1"], capture_output=True, text=True, check=False
    )
    wall = time.perf_counter() - begun
    verdict = done.stdout.split("\n", 1)[0] if done.returncode == 0 else f"exit code {done.returncode}"
    return Run(f"{network.stem} {statement.stem}", verdict, wall, _processor_seconds() - before)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def trivial(folder: Path) -> list[Run]:
    """Runs on a network that leaves nothing to do."""
    import numpy as np

    from netproof.formats.onnx.writing.float import OnnxWriter

    writer = OnnxWriter("identity", (1,))
    output = writer.linear("y", writer.input, np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    network, statement = folder / "identity.onnx", folder / "identity.vnnlib"
    network.write_bytes(writer.model(output, 1))
    statement.write_text(_TRIVIAL)
    return [run(network, statement, 10.0) for _ in range(_REPEATS)]


def instances(folder: Path, every: int) -> list[ListedInstance]:
    """Every ``every``-th instance of a folder's list."""
    (path, *_) = sorted(folder.glob("*instances.csv*"))
    return read_instances(path)[::every]


def summary(name: str, runs: list[Run]) -> dict[str, object]:
    """Quantiles of both times, and the slowest of the easy half."""
    wall = sorted(one.wall for one in runs)
    processor = sorted(one.processor for one in runs)
    half = max(1, len(runs) // 2)
    return {
        "name": name,
        "instances": len(runs),
        "verdicts": dict(Counter(one.verdict for one in runs)),
        "wall": _quantiles(wall),
        "processor": _quantiles(processor),
        "easy half": {"slowest wall": round(wall[half - 1], 2), "slowest processor": round(processor[half - 1], 2)},
        "under 3 s": sum(value < 3 for value in wall),
    }


def _quantiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20, method="inclusive") if len(values) > 1 else values * 19
    chosen = {"median": cuts[9], "75 %": cuts[14], "90 %": cuts[17]}
    return {"least": round(values[0], 2), **{k: round(v, 2) for k, v in chosen.items()}, "most": round(values[-1], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--every", type=int, default=1, help="take every N-th instance")
    parser.add_argument("--timeout", type=float, default=20.0, help="time limit of an instance, in seconds")
    parser.add_argument("--json", action="store_true", help="one document instead of lines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [summary("nothing to do", trivial(Path(folder)))]
    for folder in options.folders:
        lines = instances(folder, options.every)
        found.append(summary(folder.name, [run(line.network, line.property, options.timeout) for line in lines]))
    if options.json:
        print(json.dumps({"load": os.getloadavg()[0], "runs": found}, indent=1))
        return
    for one in found:
        print(f"{one['name']}: {one['instances']} runs, {one['verdicts']}")
        for kind in ("wall", "processor", "easy half"):
            print(f"  {kind}: " + ", ".join(f"{k} {v}" for k, v in one[kind].items()))  # type: ignore[attr-defined]
        print(f"  under 3 s of wall time: {one['under 3 s']}")
    print(f"load of the machine over the last minute: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
