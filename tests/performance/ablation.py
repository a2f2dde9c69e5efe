"""What each part of the search of float networks is worth: instances asked with everything, and with one part switched off.

    python -m performance.ablation oval21:0,6 mnist_fc wide:1,3 [--count N] [--seed N] [--seconds S] [--every] [--first I] [--last I]
        [--step N] [--ways WAY ...] [--faster S]

``BENCHMARK:ROW,ROW`` are instances by their rows in the list; ``wide`` are the networks of ``wide.py``, whose rows are seeds. Every instance
is asked in the ways that concern benchmarks of its kind (``ways.py``). For every kind there is a table, and of every way: how many instances are
decided; of those that are decided with everything, too, subproblems and processor seconds, with everything and this way; and the
processor seconds of all. Instances that are decided in
less than ``--faster`` seconds with everything on are left out: nothing is at stake there. All limits are processor time of this
process; seconds have those of solvers, which are processes of their own, in them. Compiled loops are loaded, or compiled, before anything is measured. Whoever
interrupts it gets the tables of what was asked.
"""

from __future__ import annotations

import argparse
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

import netproof
from netproof.bounds.chains.chains import Chains
from netproof.errors import InputError
from netproof.processes.loops import is_kept
from netproof.query import Query, Question
from netproof.search.real.chains import split as chain_split
from performance.sample import add_choice, chosen_of
from performance.ways import WAYS, Patch, concerned, kind_of
from performance.wide import wide

#: nothing of that name, so that what is put there goes again
_NOTHING = object()
#: seconds in which a loop is compiled for certain, and what is loaded otherwise
_COMPILING, _LOADING = 60.0, 1.0

#: reads what is asked
Asking = Callable[[], Query | Question]


@dataclass(frozen=True)
class Asked:
    """What came of one instance, asked one way."""

    verdict: str
    subproblems: int
    seconds: float


@dataclass(frozen=True)
class Found:
    """What came of one instance of a benchmark, by ways."""

    benchmark: str
    by_way: dict[str, Asked]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_choice(parser)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--faster", type=float, default=1.0, metavar="S")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found: list[Found] = []
    try:
        for one in each(options):
            found.append(one)  # noqa: PERF402 (what was found before an interruption stays)
    except KeyboardInterrupt:
        _say("interrupted")
    for line in tables(found, options.ways):
        _say(line)
    return 1 if any(_contradict(one.by_way) for one in found) else 0


def each(options: argparse.Namespace) -> Iterator[Found]:
    """Instances that everything together does not decide at once, asked in all ways that concern them."""
    for given in options.benchmarks:
        name, _ = named(given)
        ways, warm = concerned(name, options.ways), False
        for instance, asking in instances_of(given, options):
            try:
                if not warm:
                    _warm(asking, ways)
                    warm = True
                by_way = {"everything": asked(asking, "everything", options.seconds)}
            except InputError as error:
                _say(f"{instance}: refused: {error}")
                continue
            if _is_decided(by_way["everything"]) and by_way["everything"].seconds < options.faster:
                continue
            by_way |= {way: asked(asking, way, options.seconds) for way in ways[1:]}
            _say(f"{instance}: " + "; ".join(f"{way} {_line(by_way[way])}" for way in ways))
            yield Found(name, by_way)


def named(given: str) -> tuple[str, list[int] | None]:
    """The benchmark, and rows of its list if any are given after a colon."""
    name, _, rows = given.rpartition(":")
    if name and re.fullmatch(r"\d+(,\d+)*", rows):
        return name, [int(row) for row in rows.split(",")]
    return given, None


def instances_of(given: str, options: argparse.Namespace) -> Iterator[tuple[str, Asking]]:
    """Names of instances, and what reads each of them anew: graphs remember much of what was computed of them."""
    name, rows = named(given)
    if name == "wide":
        last = options.first + options.count if options.last is None else options.last
        for seed in range(options.first, last, options.step) if rows is None else rows:
            yield f"wide {seed}", lambda seed=seed: wide(seed).query  # type: ignore[misc]
        return
    whole = argparse.Namespace(every=True, first=0, last=None, step=1, published=None)
    _, chosen = chosen_of(name, options if rows is None else whole)
    for instance in chosen if rows is None else [chosen[row] for row in rows]:
        yield instance.name, lambda instance=instance: chosen_of(name, whole)[0].question(instance)  # type: ignore[misc]


def asked(asking: Asking, way: str, seconds: float) -> Asked:
    """One instance, one way; reading is not measured."""
    with switched(WAYS[way].patches()):
        question = asking()
        begun = _processor_seconds()
        result = netproof.verify(question, netproof.Settings(timeout=seconds))
        return Asked(result.verdict.value, result.subproblems, _processor_seconds() - begun)


def _warm(asking: Asking, ways: list[str]) -> None:
    """Have what ways need loaded and compiled, of the loop of chains what each way has in its place."""
    asked(asking, "everything", _LOADING)
    for way in ways:
        with switched(WAYS[way].patches()):
            question, loop = asking(), vars(chain_split)["compiled_walk"]()
            if Chains.of(question.network.graph) is not None and loop is not None and not is_kept(loop):
                netproof.verify(question, netproof.Settings(timeout=_COMPILING))


def _processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


@contextmanager
def switched(patches: list[Patch]) -> Iterator[None]:
    """With other things in the place of some, for a while."""
    before = [(owner, name, vars(owner).get(name, _NOTHING)) for owner, name, _ in patches]
    try:
        for owner, name, other in patches:
            setattr(owner, name, other)
        yield
    finally:
        for owner, name, own in before:
            if own is _NOTHING:
                delattr(owner, name)
            else:
                setattr(owner, name, own)


def tables(found: list[Found], ways: list[str]) -> list[str]:
    """A table for every kind of benchmarks that was asked, under a line that says what it is of."""
    lines = []
    for kind in dict.fromkeys(kind_of(one.benchmark) for one in found):
        some = [one for one in found if kind_of(one.benchmark) == kind]
        counts = Counter(one.benchmark for one in some)
        of = ", ".join(f"{count} of {name}" for name, count in counts.items())
        lines += ["", f"{kind or 'other'}: {of}", ""]
        lines += table([one.by_way for one in some], concerned(some[0].benchmark, ways))
    return lines


def table(found: list[dict[str, Asked]], ways: list[str]) -> list[str]:
    """A row for every way, beside what everything takes for the instances that are decided both ways."""
    head = (
        f"| switched off | decided of {len(found)} | decided both ways | subproblems, with it | without it"
        " | processor seconds, with it | without it | of all, without it |"
    )
    every = [one["everything"] for one in found]
    most, seconds = sum(map(_is_decided, every)), sum(one.seconds for one in every)
    rows = [f"| nothing | {most} | {most} | {_subproblems(every)} | | {_seconds(every)} | | {seconds:.1f} |"]
    for way in ways[1:]:
        both = [one for one in found if _is_decided(one["everything"]) and _is_decided(one[way])]
        with_it, without = [one["everything"] for one in both], [one[way] for one in both]
        rows.append(
            f"| {way} | {sum(_is_decided(one[way]) for one in found)} | {len(both)} | {_subproblems(with_it)} | {_subproblems(without)}"
            f" | {_seconds(with_it)} | {_seconds(without)} | {sum(one[way].seconds for one in found):.1f} |"
        )
    return [head, "| --- |" + 7 * " ---: |", *rows]


def _subproblems(some: list[Asked]) -> str:
    """Of those that are decided, together."""
    return f"{sum(one.subproblems for one in some if _is_decided(one)):,}"


def _seconds(some: list[Asked]) -> str:
    """Of those that are decided, together."""
    return f"{sum(one.seconds for one in some if _is_decided(one)):.1f}"


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
