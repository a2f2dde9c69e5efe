"""A search as it goes on: a file of JSON lines, and a line on standard error now and then."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import typer

from netproof.files.opened import unwritable

#: seconds between two steps in the file, and between two lines
_STEPS, _LINES = 0.05, 5.0
_DECIDED = ("query", "result")


@contextmanager
def traced(path: Path | None) -> Iterator[None]:
    """Within, what a search tells goes into a file, where one is named, and now and then to standard error.

    Of steps at most twenty a second are written, and always the last before something else. Raises
    :class:`netproof.errors.InputError` where the file cannot be written.
    """
    from netproof.search.trace import LOG

    stream: IO[str] | None = None
    if path is not None:
        try:
            stream = path.open("w", encoding="utf-8")
        except OSError as error:
            raise unwritable(path, error) from None
    handler = _Handler(stream)
    before = LOG.level, LOG.propagate
    LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG)
    LOG.propagate = False
    try:
        yield
        handler.finish()
        if stream is not None:
            stream.close()
    except OSError as error:
        if path is None or error.filename is not None:
            raise
        raise unwritable(path, error) from None
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(before[0])
        LOG.propagate = before[1]
        if stream is not None and not stream.closed:
            # What could not be written fails again here; that it did has been said.
            with suppress(OSError):
                stream.close()


class _Handler(logging.Handler):
    """Writes records as lines of JSON: ``at``, seconds since the trace began, ``event``, and the event's own values."""

    def __init__(self, stream: IO[str] | None) -> None:
        super().__init__(logging.DEBUG)
        self._stream = stream
        self._begun = self._line = time.monotonic()
        self._step = -math.inf
        self._held: dict[str, object] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record; what cannot be written is raised, not printed."""
        now = time.monotonic()
        event, values = record.getMessage(), getattr(record, "values", {})
        found = {"at": round(now - self._begun, 4), "event": event, **values}
        if event == "step":
            self._show(now, values)
            if now - self._step < _STEPS:
                self._held = found
                return
            self._step, self._held = now, None
        else:
            self.finish()
            if event in _DECIDED:
                self._line = now
        self._write(found)

    def finish(self) -> None:
        """Write the step that was held back."""
        if self._held is not None:
            self._write(self._held)
            self._held = None

    def _write(self, found: dict[str, object]) -> None:
        if self._stream is not None:
            self._stream.write(json.dumps(found, allow_nan=False) + "\n")
            self._stream.flush()

    def _show(self, now: float, values: dict[str, object]) -> None:
        if now - self._line < _LINES:
            return
        self._line = now
        bound = values.get("bound")
        said = "none yet" if not isinstance(bound, float) else f"{bound:.4g} (below 0 proves it)"
        typer.echo(
            f"searching for {now - self._begun:.0f} s: {values.get('subproblems')} subproblems, {values.get('open')} open, "
            f"largest bound {said}",
            err=True,
        )
