"""Engine ``milp`` on the queries of a benchmark for which the dual search needs the most subproblems.

    python examples/milp_hardest.py [--benchmark qnn-mnist] [--count 16] [--timeout 60] [--data DIR]

Prints a line per query: both verdicts, both times, and what the engine did. Exit code 1 if the verdicts differ.
"""

from __future__ import annotations

import argparse
import sys
import time

import torch

from netproof.benchmarks.data import DataFolders
from netproof.benchmarks.registry import benchmark
from netproof.exact.milp.engine import MilpEngine
from netproof.search.verify import verify
from netproof.settings import Settings


def main() -> int:
    parser = argparse.ArgumentParser(description="Engine milp on the hardest queries of a benchmark.")
    parser.add_argument("--benchmark", default="qnn-mnist")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for one query and engine")
    parser.add_argument("--data", help="folder of the data; default $NETPROOF_DATA")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folders, settings = DataFolders.locate(options.data), Settings(timeout=options.timeout)
    chosen = benchmark(options.benchmark)
    instances, opened = chosen.instances(folders), chosen.open(folders)
    queries = [opened.query(instance) for instance in instances]
    results = list(verify(queries, settings))
    asked = [i for i, query in enumerate(queries) if not query.misclassified]
    asked.sort(key=lambda i: -results[i].subproblems)
    same = 0
    total = 0.0
    with MilpEngine() as engine:
        for i in asked[: options.count]:
            begun = time.monotonic()
            answer = engine.decide(queries[i], settings, begun + options.timeout)
            seconds = time.monotonic() - begun
            total += seconds
            if answer.point is not None and not bool(queries[i].refuted_by(answer.point)):
                raise AssertionError("a point that is no witness was reported as one")
            same += answer.verdict is results[i].verdict
            done = " ".join(f"{name}={count:.0f}" for name, count in answer.statistics.items() if count)
            print(
                f"{instances[i].name}  bab: {results[i].verdict.value} {results[i].subproblems} subproblems "
                f"{results[i].seconds:.2f} s  milp: {answer.verdict.value} {seconds:.2f} s  {done}",
                flush=True,
            )
    count = min(options.count, len(asked))
    print(f"{same} of {count} verdicts are the same; milp {total:.1f} s")
    return int(same != count)


if __name__ == "__main__":
    sys.exit(main())
