"""What each part of the search of float networks is worth: instances asked with everything, and with one part switched off.

    python -m performance.ablation oval21 mnist_fc [--count N] [--seed N] [--seconds S] [--every] [--first I] [--last I] [--step N]
        [--ways WAY ...] [--faster S]

Of every way: how many instances are decided, and the subproblems and processor seconds of those that are decided in every way. Instances that are
decided in less than ``--faster`` seconds with everything on are left out: nothing is at stake there. All limits are processor time. Whoever
interrupts it gets the table of what was asked.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

import netproof
from netproof.bounds.ends.refine_split import SplitRefiner
from netproof.errors import InputError
from netproof.query import Query
from netproof.search import verify as door
from netproof.search.real import relu_split, rounds
from netproof.search.real.programs.split import ProgramSplit
from netproof.search.real.rounds import Rounds
from performance.sample import add_choice, chosen_of

#: a module or class, a name in it, and what takes its place
Patch = tuple[Any, str, Any]


def _without_planes() -> list[Patch]:
    begin = Rounds.__init__

    def begun(self: Rounds, *given: Any) -> None:
        begin(self, *given)
        self._planes = False

    return [(Rounds, "__init__", begun)]


def _as_they_were(self: SplitRefiner, region: Any, *_: Any) -> Any:
    return region


def _not_sloped(_: Any, region: Any, *__: Any) -> Any:
    return region


WAYS: dict[str, Callable[[], list[Patch]]] = {
    "everything": list,
    "no planes": _without_planes,
    "no pairs": lambda: [(rounds, "Pairing", lambda *_, **__: None)],
    "no ranges by splits": lambda: [(SplitRefiner, "refine", _as_they_were)],
    "no ranges by slopes": lambda: [(rounds, "refine_by_alpha", _not_sloped)],
    "layers by turns": lambda: [(Rounds, "_worth", lambda *_: None)],
    "no many steps": lambda: [(relu_split, "SIGN", replace(relu_split.SIGN, polished=1 << 30))],
    "no look-ahead": lambda: [(relu_split, "SIGN", replace(relu_split.SIGN, look_ahead=1))],
    "no programs": lambda: [(ProgramSplit, "is_for", lambda *_: False)],
    "no boxes together": lambda: [(door, "_refuted_together", lambda *_: iter(()))],
}


@dataclass(frozen=True)
class Asked:
    """What came of one instance, asked one way."""

    verdict: str
    subproblems: int
    seconds: float


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_choice(parser)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--faster", type=float, default=1.0, metavar="S")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    ways = ["everything", *(way for way in options.ways if way != "everything")]
    found: list[dict[str, Asked]] = []
    try:
        for one in each(options, ways):
            found.append(one)  # noqa: PERF402 (what was found before an interruption stays)
    except KeyboardInterrupt:
        _say("interrupted")
    for line in table(found, ways):
        _say(line)
    return 1 if any(_contradict(one) for one in found) else 0


def each(options: argparse.Namespace, ways: list[str]) -> Iterator[dict[str, Asked]]:
    """Instances that everything together does not decide at once, asked in all ways."""
    for name in options.benchmarks:
        opened, chosen = chosen_of(name, options)
        for instance in chosen:
            try:
                question = opened.question(instance)
            except InputError as error:
                _say(f"{instance.name}: refused: {error}")
                continue
            one = {"everything": asked(question, "everything", options.seconds)}
            if _is_decided(one["everything"]) and one["everything"].seconds < options.faster:
                continue
            one |= {way: asked(question, way, options.seconds) for way in ways[1:]}
            _say(f"{instance.name}: " + "; ".join(f"{way} {_line(one[way])}" for way in ways))
            yield one


def asked(question: Query, way: str, seconds: float) -> Asked:
    """One instance, one way."""
    with switched(WAYS[way]()):
        begun = time.process_time()
        result = netproof.verify(question, netproof.Settings(timeout=seconds))
        return Asked(result.verdict.value, result.subproblems, time.process_time() - begun)


@contextmanager
def switched(patches: list[Patch]) -> Iterator[None]:
    """With other things in the place of some, for a while."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
    try:
        for owner, name, other in patches:
            setattr(owner, name, other)
        yield
    finally:
        for owner, name, own in before:
            setattr(owner, name, own)


def table(found: list[dict[str, Asked]], ways: list[str]) -> list[str]:
    """A row for every way; subproblems and seconds are those of instances that are decided in all ways."""
    common = [one for one in found if all(_is_decided(one[way]) for way in ways)]
    head = f"| way | decided of {len(found)} | subproblems of {len(common)} decided in all ways | processor seconds of these |"
    rows = [
        f"| {way} | {sum(_is_decided(one[way]) for one in found)} | {sum(one[way].subproblems for one in common):,} |"
        f" {sum(one[way].seconds for one in common):.1f} |"
        for way in ways
    ]
    return [head, "| --- | ---: | ---: | ---: |", *rows]


def _is_decided(one: Asked) -> bool:
    return one.verdict in ("sat", "unsat")


def _contradict(one: dict[str, Asked]) -> bool:
    return {"sat", "unsat"} <= {each.verdict for each in one.values()}


def _line(one: Asked) -> str:
    return f"{one.verdict} {one.subproblems} in {one.seconds:.1f} s"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    time.monotonic = time.process_time  # type: ignore[assignment]
    sys.exit(main())
