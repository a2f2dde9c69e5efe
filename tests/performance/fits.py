"""What planes and pairs are worth: the hardest case of an instance, searched in four ways on the same ranges.

    python -m performance.fits sri_resnet_a:5 oval21:15 [--ranges S] [--seconds S] [--ways chords planes pairs both]

Ranges of the first box are by CROWN, by slopes, and then by splits for so many seconds. Of each way of searching: the bound at the root, the
subproblems, what is left and how long it took, planes and pairs included. Times are processor time.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

import torch

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.ends.refine_split import SplitRefiner
from netproof.bounds.joint.fitting import Fitting
from netproof.bounds.joint.pairing import Pairing
from netproof.bounds.multipliers.prices import Pricing
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.ranges.refine_alpha import refine_by_alpha
from netproof.conditions.conditions import Conditions
from netproof.effort.real import ROUND
from netproof.search.real.problem import Problem
from netproof.search.real.relu_split import ReluSplit
from performance.steps import root

WAYS = {"chords": (False, False), "planes": (True, False), "pairs": (False, True), "both": (True, True)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instances", nargs="+")
    parser.add_argument("--ranges", type=float, default=20.0, metavar="S", help="seconds for ranges by splits")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="for every search")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for instance in options.instances:
        dual, constraints = prepared(instance, options.ranges)
        case = hardest(dual, constraints)
        for way in options.ways:
            sys.stdout.write(
                f"{instance}, case {int(case)}, {way}: {searched(dual, constraints, case, way, options.seconds)}\n"
            )
            sys.stdout.flush()
    return 0


def prepared(instance: str, seconds: float) -> tuple[SignDual, Conditions]:
    """The first box of an instance, with ranges that take so many seconds."""
    begun, constraints = root(instance)
    graph = begun.graph
    region = refine_by_alpha(graph, begun.region, ROUND.alpha_steps, math.inf)
    return SignDual.of(graph, SplitRefiner(graph).refine(region, seconds)), constraints


def hardest(dual: SignDual, constraints: Conditions) -> torch.Tensor:
    """The case with the largest bound by chords: ``[1]``."""
    every = torch.arange(len(constraints))
    weight = torch.full((len(every), constraints.width), 1.0 / constraints.width, dtype=torch.float64)
    side = torch.zeros(len(every), len(dual), dtype=torch.int8)
    alpha = dual.crown_alpha()[None]
    return dual.bound(constraints.mixed(every, weight), side, alpha, torch.zeros_like(alpha)).value.argmax()[None]


def searched(dual: SignDual, constraints: Conditions, case: torch.Tensor, way: str, seconds: float) -> str:
    begun, rounding = time.process_time(), Rounding.of(dual.graph, dual.region)
    planes, pairs = WAYS[way]
    fitting = Fitting(
        Pricing(dual, rounding) if planes else None, Pairing(dual, rounding) if pairs else None, worth=0.0
    )
    problem = Problem(dual.graph, constraints, None, 1 << 30)
    search = ReluSplit(problem, dual, rounding, fitting=fitting)
    found = search.run(case, begun + seconds, most=1)
    first, ready = found.bound, time.process_time() - begun
    if not found.verdict.decided:
        found = search.go_on(begun + seconds)
    used = time.process_time() - begun
    left = "" if found.bound is None else f", {found.bound:.4f} left"
    at_root = "refuted" if found.verdict.decided and first is None else "open" if first is None else f"{first:.4f}"
    return f"root {at_root} after {ready:.1f} s, {found.verdict.value}, {search.count} subproblems, {used:.1f} s{left}"


if __name__ == "__main__":
    time.monotonic = time.process_time  # type: ignore[assignment]
    sys.exit(main())
