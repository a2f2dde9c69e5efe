"""The engine of float networks against whatever knows better: sampled points, HiGHS, rational arithmetic.

PARTS = ("ranges", "attained", "random", "hostile", "operators", "questions", "networks", "later", "degenerate")
        [--seed S] [--first I] [--count N] [--seconds T] [--stop-after S] [--data DIR] [--folders A,B] [--again]

Parts, each a list of cases:

* ``ranges``: points of the boxes of every published property (uniform, corners, climbed to the condition and to ends of
  ranges) stay inside the intervals, linear forms, and ranges by CROWN, alpha-CROWN and splits, of every layer;
* ``attained``: on every published property, a condition moved to where a known point just meets it is never refuted,
  attack switched off; nor is the property itself where a point meets it;
* ``random``: small random networks whose truth at the edge is known (``float_cases.py``), the engine run in several ways;
* ``hostile``: tiny networks with numbers of all sizes, values in rational arithmetic (``float_hostile.py``);
* ``operators``: random graphs of all operators (``operator_maker.py``) agree with onnxruntime, and a condition that a point just
  meets is never refuted, attack switched off, in three ways of searching;
* ``questions``: hostile questions as files, networks of all operators with any property (``question_campaign.py``);
  ``--seconds`` are of processor time there, and of ``operators``;
* ``networks``: queries in VNN-LIB 2.0 about one to three networks, on all points of a grid (``several_cases.py``);
* ``later``: inputs that no network takes, without ends or with ends that cross, of the real numbers and of float types
  (``later_cases.py``);
* ``degenerate``: networks with next to nothing in them, conditions that are met exactly, numbers beyond the smallest and near the largest
  ones, and certificates of all that is decided (``degenerate_cases.py``).

What has been asked is a line of the log; the same command goes on where the last one stopped. The last lines sum the log
up. The exit code is 1 where anything disagrees.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

if __name__ == "__main__":  # run as a script: its own folder is on the path, the tests' is not
    sys.path.insert(0, str(Path(__file__).parents[1]))

from differential import float_cases, float_data, float_hostile, question_campaign
from differential.campaign_log import Case, Outcome, read_log, run, summary
from differential.degenerate_cases import degenerate_cases
from differential.float_ways import TRAITS, choices
from differential.later_cases import later_cases
from differential.question_judge import processor_clock
from differential.several_cases import several_cases
from netproof.property import Property
from netproof.query import Query, Verdict
from netproof.search.verify import verify
from netproof.settings import Settings
from onnx_models import assert_agrees, random_inputs

PARTS = ("ranges", "attained", "random", "hostile", "operators", "questions", "networks", "later", "degenerate")


def ask(query: Query, trait: str, seconds: float, seed: int = 0) -> Verdict:
    """The engine's verdict, run in one of the ways of :data:`TRAITS`."""
    given = TRAITS[trait]
    with choices(given):
        return verify(query, Settings(timeout=seconds, attack=given.get("attack", True), seed=seed)).verdict


def judge_random(seed: int, number: int, seconds: float) -> Outcome:
    """A random case just below and just above what is possible."""
    case = float_cases.random_case(seed, number)
    wrong: list[str] = []
    figures: Counter[str] = Counter()
    trait = list(TRAITS)[(number // len(float_cases.KINDS)) % len(TRAITS)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = float_cases.read(case, folder)
        plain = float_cases.read_plain(case, folder)
    below, above, known = [], [], True
    random = np.random.default_rng([seed, number, 1])
    for part in case.parts:
        for conjunction in part.conjunctions:
            _, reached = float_cases.best_point(plain, part, conjunction, random)
            found = float_cases.largest_slack(plain, part, conjunction)
            most = None
            if found is not None:
                x, most = found
                attained = float(float_cases.slack_at(plain, conjunction, x[None])[0])
                reached = max(reached, attained)
                if reached > most + 1e-5:
                    wrong.append(f"HiGHS says {most}, a point has {reached}")
            size = 1 + abs(reached)
            below.append(reached - 1e-3 * size)
            # HiGHS's own point has to come near its bound, or its word is not taken.
            known &= most is not None and most - reached <= 1e-4 * size
            above.append((reached if most is None else max(most, reached)) + 1e-3 * size)
    figures["with truth"] += known
    for what, shifts in (("below", below), ("above", above)):
        rows = iter(shifts)
        moved = float_cases.moved(case, [[next(rows) for _ in part.conjunctions] for part in case.parts])
        statement: Property = float_cases.property_of(moved)
        verdict = ask(statement.question(network), trait, seconds, number)
        figures[f"{what} {verdict.value}"] += 1
        if what == "below" and verdict is Verdict.UNSAT:
            wrong.append(f"unsat ({trait}), but points attain it")
        if what == "above" and known and verdict is Verdict.SAT:
            wrong.append(f"sat ({trait}), but HiGHS says it is out of reach")
    return wrong, dict(figures)


def judge_hostile(seed: int, number: int, seconds: float) -> Outcome:
    """A condition that a point attains exactly, and that point's values in all ranges."""
    query, x = float_hostile.hostile_case(seed, number)
    graph = query.network.graph
    box = float_data.box_region(graph, query.lower[None], query.upper[None])
    regions: dict[str, object] = dict(float_data.claimed_ranges(graph, box, seconds))
    wrong = float_hostile.leaving(query, x, regions)
    figures: Counter[str] = Counter()
    for trait in ("signs", "inputs", "rounds", "programs", "cells", "one round"):
        verdict = ask(query, trait, min(seconds, 0.3))
        figures[verdict.value] += 1
        if verdict is Verdict.UNSAT:
            wrong.append(f"unsat ({trait}), but a point attains it")
    return wrong, dict(figures)


def judge_operators(seed: int, number: int, seconds: float) -> Outcome:
    """A random graph of all operators: onnxruntime agrees, and no verdict denies what a point attains."""
    kinds = float_cases.KINDS
    case = float_cases.random_case(seed, number * len(kinds) + kinds.index("operators"))
    wrong: list[str] = []
    figures: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = float_cases.read(case, folder)
        plain = float_cases.read_plain(case, folder)
        shape = network.graph.input.shape
        compared = [x for x in random_inputs(shape, seed=number) if not float_cases.at_a_jump(plain, x)]
        figures["inputs at a jump"] += 3 - len(compared)
        try:
            assert_agrees(folder / f"{case.name}.onnx", compared, 1e-4)
        except AssertionError as error:
            wrong.append(f"onnxruntime gives something else: {error}")
    random = np.random.default_rng([seed, number, 1])
    reached = [
        [float_cases.best_point(plain, part, conjunction, random)[1] for conjunction in part.conjunctions]
        for part in case.parts
    ]
    for what, shift in (("attained", -1e-6), ("beyond", 1e-2)):
        shifts = [[value + shift * (1 + abs(value)) for value in row] for row in reached]
        statement = float_cases.property_of(float_cases.moved(case, shifts))
        for trait in ("blind", "inputs", "signs"):
            with processor_clock():
                verdict = ask(statement.question(network), trait, seconds, number)
            figures[f"{what} {verdict.value}"] += 1
            if what == "attained" and verdict is Verdict.UNSAT:
                wrong.append(f"unsat ({trait}), but a point attains it")
    return wrong, dict(figures)


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """All cases that were asked for, part by part."""
    numbers = range(options.first, options.first + options.count)
    judges = {"random": judge_random, "hostile": judge_hostile, "operators": judge_operators}
    for part in options.parts.split(","):
        if part in ("ranges", "attained"):
            if options.data is None:
                continue
            check = float_data.check_ranges if part == "ranges" else float_data.check_attained
            for item in float_data.instances(options.data, options.folders.split(","))[options.first :][
                : options.count
            ]:
                yield Case(f"{part}:{item.name}", lambda item=item, check=check: check(item, options.seconds))
        elif part in judges:
            judge = judges[part]
            for number in numbers:
                yield Case(
                    f"{part}:{options.seed}:{number}",
                    lambda number=number, judge=judge: judge(options.seed, number, options.seconds),
                )
        elif part == "questions":
            yield from question_campaign.cases("real", options.seed, numbers, options.seconds, options.log.parent)
        elif part == "networks":
            yield from several_cases(options.seed, numbers, options.seconds)
        elif part == "later":
            yield from later_cases(options.seed, numbers, options.seconds)
        elif part == "degenerate":
            yield from degenerate_cases(options.seed, numbers, options.seconds)
        else:
            raise SystemExit(f"error: there is no part '{part}'; known: {', '.join(PARTS)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit code."""
    parser = argparse.ArgumentParser(description="The engine of float networks against what knows better.")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--log", type=Path, default=Path("campaign-output/float.jsonl"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case of each part")
    parser.add_argument("--count", type=int, default=1000, help="cases of each part")
    parser.add_argument("--seconds", type=float, default=2.0, help="for one query, and for one kind of ranges")
    parser.add_argument("--stop-after", type=float, default=float("inf"), help="seconds; begins no case after that")
    parser.add_argument("--again", action="store_true", help="begin the log anew")
    data = os.environ.get("NETPROOF_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None, help="folder of published data")
    parser.add_argument("--folders", default=",".join(float_data.FOLDERS))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    if options.data is None and {"ranges", "attained"} & set(options.parts.split(",")):
        say("no published data (--data or NETPROOF_DATA): parts 'ranges' and 'attained' are skipped")
    run(cases(options), options.log, options.stop_after, say, again=options.again)
    lines = read_log(options.log)
    for text in summary(lines, PARTS):
        say(text)
    return int(any(line["wrong"] for line in lines))


if __name__ == "__main__":
    sys.exit(main())
