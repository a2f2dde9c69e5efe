"""Progress of a long run: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import typer

from netproof.runs.rows import ERROR, UNDECIDED, Row

#: seconds between two plain lines
_INTERVAL = 5.0


class Progress(Protocol):
    """Is told of every recorded instance."""

    def advance(self, row: Row) -> None: ...


@contextmanager
def progress(title: str, total: int) -> Iterator[Progress]:
    """Progress over ``total`` instances on standard error; standard output stays for results."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bar(title, total) as bar:
            yield bar
    else:
        lines = _Lines(title, total)
        yield lines
        lines.end()


class _Lines:
    """A line every few seconds, and one at the end."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._begin = self._last = time.monotonic()
        self._counts: Counter[str] = Counter()

    def advance(self, row: Row) -> None:
        self._counts[row.verdict] += 1
        if time.monotonic() - self._last >= _INTERVAL:
            self._print()

    def end(self) -> None:
        self._print()

    def _print(self) -> None:
        self._last = time.monotonic()
        done, elapsed = self._counts.total(), self._last - self._begin
        line = f"{self._title}: {done}/{self._total} ({_tally(self._counts)}), {elapsed:.0f} s"
        if 0 < done < self._total:
            line += f", about {elapsed / done * (self._total - done):.0f} s left"
        typer.echo(line, err=True)


class _Bar:
    def __init__(self, title: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column

        self._counts: Counter[str] = Counter()
        self.display = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[tally]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=Console(stderr=True),
            expand=True,
        )
        self._task = self.display.add_task(title, total=total, tally="")

    def advance(self, row: Row) -> None:
        self._counts[row.verdict] += 1
        undecided = sum(self._counts[verdict] for verdict in UNDECIDED | {ERROR})
        tally = f"{self._counts['vulnerable'] + self._counts['sat']} vulnerable, {undecided} open"
        self.display.update(self._task, advance=1, tally=tally)


@contextmanager
def _bar(title: str, total: int) -> Iterator[Progress]:
    bar = _Bar(title, total)
    with bar.display:
        yield bar


def _tally(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())) or "none yet"
