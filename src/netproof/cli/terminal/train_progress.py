"""Progress of a training: a bar on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from netproof.training.certified import Step
    from netproof.training.run import TrainingRun

#: seconds after which a line is due even inside an epoch
_INTERVAL = 60.0


class TrainProgress(Protocol):
    """Is told of every step."""

    def advance(self, step: Step) -> None: ...


@contextmanager
def train_progress(steps: int, per_epoch: int, run: TrainingRun) -> Iterator[TrainProgress]:
    """Progress over all steps of a run, on standard error."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), expand=True) as display:
            yield _Bar(display, display.add_task("training", total=steps, completed=run.resumed), run)
    else:
        yield _Lines(steps, per_epoch, run)


def _last(run: TrainingRun) -> str:
    if not run.rows:
        return ""
    row = run.rows[-1]
    return f"radius {row.radius:.4f}, loss {row.loss:.3f}, correct {row.correct:.1%}, proved {row.proved:.1%}"


class _Bar:
    def __init__(self, display: Progress, task: TaskID, run: TrainingRun) -> None:
        self._display, self._task, self._run = display, task, run

    def advance(self, step: Step) -> None:
        self._display.update(self._task, advance=1, description=_last(self._run) or "training")


class _Lines:
    def __init__(self, steps: int, per_epoch: int, run: TrainingRun) -> None:
        self._steps, self._per_epoch, self._run = steps, per_epoch, run
        self._done = run.resumed
        self._begin = self._printed = time.monotonic()

    def advance(self, step: Step) -> None:
        self._done += 1
        now = time.monotonic()
        if self._done % self._per_epoch and now - self._printed < _INTERVAL:
            return
        self._printed = now
        elapsed, new = now - self._begin, self._done - self._run.resumed
        left = elapsed / new * (self._steps - self._done)
        total = self._steps // self._per_epoch
        detail = _last(self._run)
        typer.echo(
            f"epoch {self._done / self._per_epoch:.3g}/{total}: {detail}{', ' if detail else ''}{elapsed:.0f} s"
            + (f", about {left:.0f} s left" if left else ""),
            err=True,
        )
