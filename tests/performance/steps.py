"""What bounds of float networks cost, by fixed work: steps on multipliers of a batch, and ends of ranges by splits.

    python -m performance.steps cifar10_resnet:0 sri_resnet_a:3 [--ends K]

Each is an instance of a benchmark by its row in the list, on the ranges by CROWN of its first box. Four steps on 256 parts with three splits in
a hundred features: microseconds a row, and the sum of the bounds, which says whether two versions do the same. With ``--ends`` three splits for
every end of the ranges of the K-th activation: milliseconds a part, and how far the ends are out together. Times are processor time.
"""

from __future__ import annotations

import argparse
import sys
import time

import torch

from netproof.benchmarks.data import DataFolders
from netproof.benchmarks.registry import benchmark
from netproof.bounds.ends.end_search import EndSearch
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.sign_steps import Choice, optimize_signs
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.ranges.prefix import prefix
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import box_region, propagate_intervals
from netproof.conditions.conditions import Conditions

ROWS = 256


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instances", nargs="+")
    parser.add_argument("--ends", type=int)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for instance in options.instances:
        dual, constraints = root(instance)
        sys.stdout.write(f"{instance}: {len(dual)} unstable features; {steps(dual, constraints)}\n")
        if options.ends is not None:
            sys.stdout.write(f"{instance}: {ends(dual, options.ends)}\n")
        sys.stdout.flush()
    return 0


def root(instance: str) -> tuple[SignDual, Conditions]:
    """The first box of an instance, ``benchmark:row``, with ranges by CROWN."""
    name, _, row = instance.partition(":")
    known, data = benchmark(name), DataFolders.locate()
    question = known.open(data).question(list(known.instances(data))[int(row)])
    query = question.parts[0]
    graph = query.network.graph
    region = propagate_intervals(graph, box_region(graph, query.lower[None], query.upper[None]))
    region = refine_ranges(graph, region)
    return SignDual.of(graph, region), Conditions.of(graph, query.condition)


def steps(dual: SignDual, constraints: Conditions) -> str:
    dual32, constraints32 = dual.to(torch.float32), constraints.to(torch.float32)
    generator = torch.Generator().manual_seed(0)
    sign = torch.where(torch.rand(ROWS, len(dual), generator=generator) < 0.5, -1, 1)
    side = (sign * (torch.rand(ROWS, len(dual), generator=generator) < 0.03)).to(torch.int8)
    width = constraints.width
    start = Choice.first(dual32, ROWS, width)
    case = torch.zeros(ROWS, dtype=torch.int64)
    times = []
    for _ in range(4):
        begun = time.process_time()
        _, value = optimize_signs(
            dual32, lambda rows, weight: constraints32.mixed(case[rows], weight), side, start, Until(4)
        )
        times.append((time.process_time() - begun) / ROWS * 1e6)
    return f"four steps {min(times):.0f} microseconds a row, bounds {float(value.double().sum()):.4f}"


def ends(dual: SignDual, k: int) -> str:
    begun = time.process_time()
    low, high = dual.region.range_lower[k], dual.region.range_upper[k]
    part = prefix(dual.graph, dual.region, k, dual.index[k])
    known = low[0, part.feature], high[0, part.feature]
    search = EndSearch(SignDual.of(part.graph, part.region), *known, memory=1 << 30)
    search.run(torch.arange(2 * len(part.feature)), 3, float("inf"))
    used = time.process_time() - begun
    whole = float(search.bound.sum())
    return f"{search.count} parts of {2 * len(part.feature)} ends, {used / search.count * 1e3:.2f} ms a part, ends {whole:.3f}"


if __name__ == "__main__":
    sys.exit(main())
