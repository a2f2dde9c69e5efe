"""Progress of downloads: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import typer

#: seconds between two plain lines
_INTERVAL = 5.0


class DownloadProgress(Protocol):
    """Is told of what arrives."""

    def grow(self, done: int, total: int | None) -> None:
        """The current file has ``done`` bytes, of ``total`` where that is known."""

    def finish(self, path: str) -> None:
        """A file is in its place."""


@contextmanager
def download_progress(title: str, files: int) -> Iterator[DownloadProgress]:
    """Progress over so many files on standard error."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bar(title, files) as bar:
            yield bar
    else:
        yield _Lines(title, files)


class _Lines:
    def __init__(self, title: str, files: int) -> None:
        self._title, self._files, self._finished = title, files, 0
        self._begin = self._last = time.monotonic()

    def grow(self, done: int, total: int | None) -> None:
        if time.monotonic() - self._last >= _INTERVAL:
            of = f" of {_megabytes(total)}" if total else ""
            self._print(f"file {self._finished + 1} of {self._files}, {_megabytes(done)}{of}")

    def finish(self, path: str) -> None:
        self._finished += 1
        if self._finished == self._files or time.monotonic() - self._last >= _INTERVAL:
            self._print(f"{self._finished} of {self._files} files")

    def _print(self, text: str) -> None:
        self._last = time.monotonic()
        typer.echo(f"{self._title}: {text}, {self._last - self._begin:.0f} s", err=True)


class _Bar:
    def __init__(self, title: str, files: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        self._title, self._files, self._finished = title, files, 0
        self.display = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            expand=True,
        )
        self._task = self.display.add_task(f"{title} 1/{files}", total=None)

    def grow(self, done: int, total: int | None) -> None:
        self.display.update(self._task, completed=done, total=total)

    def finish(self, path: str) -> None:
        self._finished += 1
        current = min(self._finished + 1, self._files)
        self.display.update(self._task, description=f"{self._title} {current}/{self._files}")


@contextmanager
def _bar(title: str, files: int) -> Iterator[_Bar]:
    bar = _Bar(title, files)
    with bar.display:
        yield bar


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
