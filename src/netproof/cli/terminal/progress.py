"""Progress of long work, on standard error: a bar on a terminal, plain lines elsewhere.

Standard output stays for results.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import typer


class Display(Protocol):
    """Where progress is shown."""

    def show(
        self, done: float, text: str, *, title: str | None = None, total: float | None = None, due: bool = False
    ) -> None:
        """Show how much is done.

        Parameters
        ----------
        done : in units of the total
        text : the same, and what came of it, in words
        title : instead of the one before
        total : of the part at hand, where the whole has none
        due : worth a line even if the last one was a moment ago
        """


@contextmanager
def progress(
    title: str, total: float | None = None, done: float | None = 0, *, every: float = 5.0
) -> Iterator[Display]:
    """A display of progress, some of which may have been made before; plain lines come every ``every`` seconds.

    Parameters
    ----------
    total : the whole; where it is known, the time left is shown
    done : what was done before; None where only the first unit to be done tells how many these were
    """
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        bar = _Bar(title, total, done)
        with bar.screen:
            yield bar
    else:
        yield _Lines(title, total, done, every)


@contextmanager
def counted(title: str, total: int, done: int = 0) -> Iterator[Callable[[str], None]]:
    """Progress of items that are done one by one: returns a function to call with what became of each."""
    outcomes: Counter[str] = Counter()

    with progress(title, total, done) as display:

        def show(*, due: bool = False) -> None:
            now = done + outcomes.total()
            tally = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
            display.show(now, f"{now}/{total} ({tally or ('none new' if done else 'none yet')})", due=due)

        def count(outcome: str) -> None:
            outcomes[outcome] += 1
            show()

        yield count
        show(due=True)


class _Lines:
    def __init__(self, title: str, total: float | None, done: float | None, every: float) -> None:
        self._title, self._total, self._before, self._every = title, total, done, every
        self._begin = self._last = time.monotonic()

    def show(
        self, done: float, text: str, *, title: str | None = None, total: float | None = None, due: bool = False
    ) -> None:
        now = time.monotonic()
        if self._before is None:
            self._before = done - 1
        if not due and now - self._last < self._every:
            return
        self._last = now
        elapsed, new = now - self._begin, done - self._before
        parts = [text] if text else []
        parts.append(f"{elapsed:.0f} s")
        if self._total is not None and new > 0 and done < self._total:
            parts.append(f"about {elapsed / new * (self._total - done):.0f} s left")
        typer.echo(f"{title or self._title}: {', '.join(parts)}", err=True)


class _Bar:
    def __init__(self, title: str, total: float | None, done: float | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.table import Column

        self.screen = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TimeElapsedColumn(),
            TextColumn("left", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=Console(stderr=True),
            expand=True,
        )
        self._task = self.screen.add_task(title, total=total, completed=done or 0, text="")  # type: ignore[arg-type]

    def show(
        self, done: float, text: str, *, title: str | None = None, total: float | None = None, due: bool = False
    ) -> None:
        self.screen.update(self._task, completed=done, text=text, description=title, total=total)
