"""A summary as plain text of at most 110 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from netproof.report.ranges import compress
from netproof.report.summary import TYPES, Block, Summary

WIDTH = 110
_TYPE = 19
_NUMBER = 5
#: instances named where the list is cut short
_NAMED = 8
#: rows a table always has; the others appear where there is something in them
_ALWAYS = ("robust", "vulnerable", "misclassified", "timeout/undecided")


def render(summary: Summary, *, wall_seconds: float | None = None) -> str:
    """The benchmark's table in its authors' form, theirs beside ours, and the totals."""
    lines = [line for block in summary.blocks for line in _block(block, summary.authors)]
    lines += _totals(summary, wall_seconds, named=len(summary.undecided))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def render_totals(summary: Summary, *, wall_seconds: float | None = None) -> str:
    """The totals alone, with the first of the undecided instances."""
    return "\n".join(_totals(summary, wall_seconds, named=_NAMED)) + "\n"


def seconds_text(seconds: float) -> str:
    """A duration for people: three significant digits, in a unit that fits."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"


def _block(block: Block, authors: str) -> Iterator[str]:
    sides = [block.ours] if block.theirs is None else [block.ours, block.theirs]
    heads = ["netproof", f"published ({authors})"][: len(sides)]
    width = (WIDTH - _TYPE - (_NUMBER + 2) * len(sides)) // len(sides) - 2
    yield block.name
    yield f"  {'type':{_TYPE}}" + "".join(f"{'n':>{_NUMBER}}  {head:<{width + 2}}" for head in heads)
    for name in TYPES:
        counts = [len(side[name]) for side in sides]
        if name not in _ALWAYS and not any(counts):
            continue
        columns = [_wrap(compress(side[name]), width) for side in sides]
        for number, parts in enumerate(zip_longest(*columns, fillvalue="")):
            line = f"  {name if number == 0 else '':{_TYPE}}"
            for count, part in zip(counts, parts, strict=True):
                line += f"{count if number == 0 else '':>{_NUMBER}}  {part:<{width + 2}}"
            yield line
    yield ""


def _totals(summary: Summary, wall_seconds: float | None, named: int) -> Iterator[str]:
    misclassified = summary.counts["misclassified"]
    queries = summary.total - misclassified - summary.counts["not run"]
    what = "correctly classified samples" if misclassified else "instances"
    yield f"{summary.benchmark}: {summary.decided - misclassified} of {queries} {what} decided"
    yield f"  {_counts(summary)}"
    if summary.undecided:
        yield from _list("undecided", summary.undecided, named)
    reasons: dict[str, list[str]] = {}
    for name, reason in summary.errors.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        yield from _list(f"ERROR ({reason})", names, _NAMED)
    yield (
        f"time of the queries: sum {seconds_text(summary.seconds_sum)}, median {seconds_text(summary.seconds_median)}, "
        f"largest {seconds_text(summary.seconds_max)}" + (f" ({summary.slowest})" if summary.slowest else "")
    )
    if wall_seconds is not None:
        yield f"wall time of the run: {seconds_text(wall_seconds)}"
    if not summary.published:
        return
    if not summary.disagreements:
        yield f"published verdicts ({summary.authors}): agrees on all {summary.compared} that both sides decided"
        return
    yield "!" * 72
    yield (
        f"CONTRADICTION: {len(summary.disagreements)} verdict(s) differ from those published ({summary.authors}); "
        "one side is wrong"
    )
    for item in summary.disagreements:
        yield f"  {item.instance}: netproof says {item.ours}, published is {item.theirs}"
    yield "!" * 72


def _counts(summary: Summary) -> str:
    shown = [(name, summary.counts[name]) for name in TYPES]
    return ", ".join(f"{count} {name}" for name, count in shown if count) or "none run"


def _list(title: str, names: Sequence[str], named: int) -> list[str]:
    more = [f"and {len(names) - named} more"] if len(names) > named else []
    text = f"{title}: " + ", ".join([*names[:named], *more])
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]
