"""Progress of work that is counted: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: seconds between two plain lines
_INTERVAL = 5.0


class CountProgress(Protocol):
    """Is told of every item that is done, and what became of it."""

    def advance(self, outcome: str) -> None: ...


@contextmanager
def count_progress(title: str, total: int, done: int = 0) -> Iterator[CountProgress]:
    """Progress over ``total`` items, of which ``done`` were done before, on standard error."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), expand=True) as display:
            yield _Bar(display, display.add_task(title, total=total, completed=done))
    else:
        lines = _Lines(title, total, done)
        yield lines
        lines.end()


class _Bar:
    def __init__(self, display: Progress, task: TaskID) -> None:
        self._display, self._task = display, task

    def advance(self, outcome: str) -> None:
        self._display.advance(self._task)


class _Lines:
    def __init__(self, title: str, total: int, done: int) -> None:
        self._title, self._total, self._before, self._done = title, total, done, done
        self._begin = self._last = time.monotonic()
        self._counts: Counter[str] = Counter()

    def advance(self, outcome: str) -> None:
        self._done += 1
        self._counts[outcome] += 1
        if time.monotonic() - self._last >= _INTERVAL:
            self.end()

    def end(self) -> None:
        """Print a line."""
        self._last = time.monotonic()
        elapsed, new = self._last - self._begin, self._done - self._before
        tally = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self._counts.items())) or "none new"
        line = f"{self._title}: {self._done}/{self._total} ({tally}), {elapsed:.0f} s"
        if new > 0 and self._done < self._total:
            line += f", about {elapsed / new * (self._total - self._done):.0f} s left"
        typer.echo(line, err=True)
