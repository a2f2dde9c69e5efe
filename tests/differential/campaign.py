"""Engines against one another and against brute force, on random networks: thousands of cases, no disagreement.

    python tests/differential/campaign.py [--seed S] [--count N] [--first I] [--engines bab,smt,milp,highs] [--out DIR]
    python tests/differential/campaign.py --parts questions [--seed S] [--count N] [--first I] [--log FILE]
        [--stop-after S] [--again]
    python tests/differential/campaign.py --parts sets [--seed S] [--count N] [--first I] [--log FILE]
    python tests/differential/campaign.py --replay DIR

Part ``engines`` (of ``--parts engines,questions,sets``) is what follows; ``questions`` are hostile questions as files, networks in both
formats of integers with any property (``question_campaign.py``); what has been asked is in the log, and the same command goes on. ``sets`` are questions about finite sets of inputs of networks as
deployed, in five forms, of which the installed runtimes compute every input (``set_cases.py``); these packages are extras.

The same seed gives the same cases. Engine ``highs`` is what HiGHS claims of the integer programs, before anything is
proved: a false claim is counted and no disagreement. A disagreement is written to ``DIR/case-<seed>-<number>`` as ``case.json`` and a line
that replays it; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if __name__ == "__main__":  # run as a script: its own folder is on the path, the tests' is not
    sys.path.insert(0, str(Path(__file__).parents[1]))

from differential import question_campaign
from differential.campaign_log import read_log, run
from differential.campaign_log import summary as summary_of_log
from differential.random_cases import ENUMERABLE, Case, box_points, random_case, some_points
from netproof.bounds.region import box_region
from netproof.query import Query
from netproof.search.integer import engine as bab_engine
from netproof.search.integer.engine import Effort, Search
from netproof.search.verify import verify
from netproof.settings import Settings

if TYPE_CHECKING:
    from netproof.solvers.highs.solve import HighsProcess

PARTS = ("engines", "questions", "sets")
ENGINES = ("bab", "smt", "milp", "highs")
#: ways in which the dual search is run; a case's number chooses
TRAITS = ("plain", "blind", "restart", "idle")


@dataclass(frozen=True)
class Said:
    """An engine's verdict, and its witness where it has one."""

    verdict: str
    point: np.ndarray | None = None


Engine = Callable[[Query, int], Said]


@dataclass
class Tally:
    """What a campaign has seen."""

    cases: int = 0
    enumerated: int = 0
    truth: Counter[str] = field(default_factory=Counter)
    said: dict[str, Counter[str]] = field(default_factory=dict)
    seconds: Counter[str] = field(default_factory=Counter)
    #: queries with a witness all of whose integer programs HiGHS calls infeasible
    false_claims: list[str] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)


def make_engines(names: Sequence[str], seconds: float, stack: ExitStack) -> tuple[dict[str, Engine], list[str]]:
    """The engines of those names that are there, and a note for each that is not."""
    engines: dict[str, Engine] = {}
    notes = []
    for name in names:
        if name == "bab":
            engines[name] = lambda query, number: search(query, number, seconds)
            continue
        if name == "highs":
            from netproof.solvers.highs.solve import HighsProcess

            solver = stack.enter_context(HighsProcess(1 << 30))
            engines[name] = lambda query, number, solver=solver: claim(query, solver, seconds)  # type: ignore[misc]
            continue
        try:
            if name == "smt":
                from netproof.exact.smt.engine import SmtEngine as Exact
            elif name == "milp":
                from netproof.exact.milp.engine import MilpEngine as Exact
            else:
                raise SystemExit(f"error: there is no engine '{name}'; known: {', '.join(ENGINES)}")
        except ModuleNotFoundError as error:
            notes.append(f"engine {name} is not there ({error.name} is missing): skipped")
            continue
        exact = Exact()
        if hasattr(exact, "close"):
            stack.callback(exact.close)

        def ask(query: Query, number: int, exact=exact) -> Said:  # type: ignore[no-untyped-def]
            answer = exact.decide(query, Settings(timeout=seconds), time.monotonic() + seconds)
            point = None if answer.point is None else answer.point.long().numpy()
            return Said(answer.verdict.value, point)

        engines[name] = ask
    return engines, notes


def claim(query: Query, solver: HighsProcess, seconds: float) -> Said:
    """What HiGHS itself says of the integer programs: ``infeasible`` is a floating point claim and proves nothing."""
    from netproof.exact.milp.encode import Encoder
    from netproof.solvers.highs.model import Status

    encoder = Encoder(query.network.graph)
    region = box_region(query.network.graph, query.lower[None], query.upper[None])
    deadline, verdict = time.monotonic() + seconds, "unsat"
    for conjunction in query.condition:
        encoding = encoder.encode(region, conjunction)
        solution = solver.solve(encoding.model, deadline)
        if solution.point is not None:
            x = torch.from_numpy(encoding.input_of(solution.point)).round()
            if bool(query.refuted_by(x)):
                return Said("sat", x.long().numpy())
        if solution.status is not Status.INFEASIBLE:
            verdict = "timeout"
    return Said(verdict)


def search(query: Query, number: int, seconds: float) -> Said:
    """The dual search, in one of several ways."""
    trait = TRAITS[number % len(TRAITS)]
    limits = Settings(timeout=seconds, attack=trait == "plain", seed=number)
    before = bab_engine.INTEGER
    try:
        if trait == "restart":
            bab_engine.INTEGER = replace(before, restart=0)
        if trait in ("restart", "idle"):
            # Hardly any work per subproblem, so that branching, reduction and leaves decide.
            effort = Effort(root_steps=0, steps=0, iterations=1, batch=2, look_ahead=1)
            region = box_region(query.network.graph, query.lower[None], query.upper[None])
            run = Search(query, region, range(len(query.condition)), limits, effort)
            outcome = run.run(time.monotonic() + seconds)
            witness = outcome.witness
            return Said(outcome.verdict.value, None if witness is None else witness.input.numpy())
        result = verify(query, limits)
        return Said(result.verdict.value, None if result.witness is None else result.witness.input.numpy())
    finally:
        bab_engine.INTEGER = before


def judge(case: Case, number: int, engines: Mapping[str, Engine], tally: Tally) -> list[str]:
    """Ask every engine; what is wrong, in words."""
    wrong = []
    query = case.query()
    random = np.random.default_rng([1, number])
    tally.cases += 1
    complete = case.points <= ENUMERABLE
    points = box_points(*case.box) if complete else some_points(random, case.box)
    met = bool(case.meets(points).any())
    # Without every point only a witness is known for certain.
    truth = "sat" if met else "unsat" if complete else ""
    tally.enumerated += complete
    tally.truth[truth or "open"] += 1
    verdicts = {"brute force": truth} if truth else {}
    for name, engine in engines.items():
        begun = time.monotonic()
        said = engine(query, number)
        tally.seconds[name] += time.monotonic() - begun
        tally.said.setdefault(name, Counter())[said.verdict] += 1
        if said.verdict == "sat":
            if said.point is None or not bool(case.meets(said.point[None])[0]):
                wrong.append(f"{name}: its witness is none")
        elif said.verdict not in ("unsat", "timeout", "unknown"):
            wrong.append(f"{name}: the verdict is {said.verdict}")
        if name == "highs" and said.verdict == "unsat":
            # A claim, not a verdict: noted where a witness belies it.
            if truth == "sat":
                tally.false_claims.append(case.name)
        elif said.verdict in ("sat", "unsat"):
            verdicts[name] = said.verdict
    if len(set(verdicts.values())) > 1:
        wrong.append(", ".join(f"{name} says {verdict}" for name, verdict in verdicts.items()))
    return wrong


def campaign(
    seed: int, first: int, count: int, engines: Mapping[str, Engine], out: Path, say: Callable[[str], None]
) -> Tally:
    """Run cases ``first .. first + count - 1`` of a seed."""
    tally = Tally()
    begun = last = time.monotonic()
    for number in range(first, first + count):
        case = random_case(seed, number)
        wrong = judge(case, number, engines, tally)
        if wrong:
            folder = write_out(case, number, wrong, out / f"case-{seed}-{number}")
            tally.disagreements.append(f"{case.name}: {'; '.join(wrong)} (written to {folder})")
            say(f"DISAGREEMENT {tally.disagreements[-1]}")
        if time.monotonic() - last > 10:
            last = time.monotonic()
            left = (last - begun) / tally.cases * (count - tally.cases)
            say(f"{tally.cases}/{count} cases, {len(tally.disagreements)} disagreements, about {left:.0f} s left")
    return tally


def write_out(case: Case, number: int, wrong: Sequence[str], folder: Path) -> Path:
    """The case as files, with what is wrong and how to replay it."""
    folder.mkdir(parents=True, exist_ok=True)
    case.save(folder / "case.json")
    (folder / "README").write_text("\n".join(wrong) + f"\n\npython tests/differential/campaign.py --replay {folder}\n")
    (folder / "number").write_text(f"{number}\n")
    return folder


def replay(folder: Path, engines: Mapping[str, Engine], say: Callable[[str], None]) -> bool:
    """Whether a written case still shows what it was written for."""
    case, number = Case.load(folder / "case.json"), int((folder / "number").read_text())
    wrong = judge(case, number, engines, Tally())
    say(f"{case.name}: {'; '.join(wrong) or 'no disagreement'}")
    return bool(wrong)


def summary(tally: Tally) -> list[str]:
    truth = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.truth.items()))
    lines = [f"{tally.cases} cases, {tally.enumerated} of them enumerated; by brute force {truth}"]
    for name, counts in tally.said.items():
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        lines.append(f"{name}: {said}; {tally.seconds[name]:.1f} s")
    if "highs" in tally.said:
        lines.append(
            f"highs: {len(tally.false_claims)} claims of 'unsat' belied by a witness {tally.false_claims or ''}".rstrip()
        )
    lines.append(f"disagreements: {len(tally.disagreements)}")
    return [*lines, *tally.disagreements]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit code."""
    parser = argparse.ArgumentParser(description="Engines against one another and against brute force.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--seconds", type=float, default=1.0, help="for one query and engine")
    parser.add_argument("--out", type=Path, default=Path("campaign-output"))
    parser.add_argument("--replay", type=Path, metavar="DIR", help="ask about a written case again")
    parser.add_argument("--parts", default="engines,questions")
    parser.add_argument("--log", type=Path, help="of the questions (default: integer.jsonl in the folder --out)")
    parser.add_argument("--stop-after", type=float, default=float("inf"), help="seconds; begins no question after that")
    parser.add_argument("--again", action="store_true", help="begin the log anew")
    options = parser.parse_args(arguments)
    parts = options.parts.split(",")
    if not set(parts) <= set(PARTS):
        raise SystemExit(f"error: parts are {', '.join(PARTS)}")
    torch.set_num_threads(1)

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    wrong = False
    if "questions" in parts and options.replay is None:
        numbers = range(options.first, options.first + options.count)
        log: Path = options.log or options.out / "integer.jsonl"
        asked = question_campaign.cases("integer", options.seed, numbers, options.seconds, log.parent)
        run(asked, log, options.stop_after, say, again=options.again)
        lines = read_log(log)
        wrong = any(line["wrong"] for line in lines)
        for text in summary_of_log(lines, ("questions",)):
            say(text)
    if "sets" in parts and options.replay is None:
        from differential import set_cases

        numbers = range(options.first, options.first + options.count)
        log = options.log or options.out / "sets.jsonl"
        run(set_cases.cases(options.seed, numbers), log, options.stop_after, say, again=options.again)
        lines = read_log(log)
        wrong |= any(line["wrong"] for line in lines)
        for text in summary_of_log(lines, ("sets",)):
            say(text)
    if "engines" not in parts:
        return int(wrong)
    with ExitStack() as stack:
        engines, notes = make_engines(options.engines.split(","), options.seconds, stack)
        for note in notes:
            say(note)
        if options.replay is not None:
            return int(replay(options.replay, engines, say))
        tally = campaign(options.seed, options.first, options.count, engines, options.out, say)
    for line in summary(tally):
        say(line)
    return int(wrong or bool(tally.disagreements))


if __name__ == "__main__":
    sys.exit(main())
