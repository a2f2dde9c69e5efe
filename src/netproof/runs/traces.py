"""How the search of each instance of a run goes on: a file of JSON lines beside the results, and what a report needs of it.

The lines are those of ``--trace`` (docs/commands.md): ``at``, seconds since the question was asked, ``event``, and the event's own values
(:mod:`netproof.search.trace`). The longer a search takes, the fewer of its steps are kept: one for each percent of the time.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from netproof.errors import FormatError
from netproof.files.opened import read_bytes, write_bytes

FOLDER, SUFFIX = "traces", ".jsonl"
#: seconds between two steps at first, and as a share of the time that has passed
_STEPS, _SHARE = 0.05, 0.01
#: no trace that this wrote is longer
_LONGEST = 1 << 23


@contextmanager
def traced(folder: Path | None, name: str) -> Iterator[None]:
    """Within, what one search tells is kept; it is written at the end, whole. Without a folder nothing is."""
    if folder is None:
        yield
        return
    from netproof.search.trace import LOG

    handler = _Kept()
    before = LOG.level, LOG.propagate
    LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG)
    LOG.propagate = False
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(before[0])
        LOG.propagate = before[1]
        lines = "".join(json.dumps(line, allow_nan=False) + "\n" for line in handler.lines())
        write_bytes(folder / f"{name}{SUFFIX}", lines.encode(), durable=False)


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._begun = time.monotonic()
        self._step = -math.inf
        self._lines: list[dict[str, object]] = []
        self._held: dict[str, object] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        at = time.monotonic() - self._begun
        found = {"at": round(at, 4), "event": record.getMessage(), **getattr(record, "values", {})}
        if record.getMessage() == "step" and at - self._step < max(_STEPS, _SHARE * at):
            self._held = found
            return
        if record.getMessage() == "step":
            self._step, self._held = at, None
        self._lines += [self._held] if self._held is not None else []
        self._held = None
        self._lines.append(found)

    def lines(self) -> list[dict[str, object]]:
        """All that was kept, and the last step."""
        return self._lines + ([self._held] if self._held is not None else [])


@dataclass(frozen=True)
class Trace:
    """What a report shows of a search.

    Attributes
    ----------
    root, search : seconds until subproblems were searched (all, where none were), and from then on
    bounds : seconds and the largest bound of any open subproblem, below 0 where all would be refuted
    subproblems : at the end
    """

    root: float
    search: float
    bounds: tuple[tuple[float, float], ...]
    subproblems: int

    @classmethod
    def read(cls, path: Path) -> Trace:
        """A trace that a run wrote; raises :class:`netproof.errors.FormatError`."""
        data = read_bytes(path, "trace", limit=_LONGEST)
        begun: float | None = None
        last, subproblems = 0.0, 0
        bounds: list[tuple[float, float]] = []
        try:
            for line in data.decode("utf-8").splitlines():
                found = json.loads(line)
                at, bound = float(found["at"]), found.get("bound")
                if not 0 <= at < math.inf:
                    raise ValueError(f"{at} is no time")
                last, subproblems = max(last, at), max(subproblems, int(found.get("subproblems") or 0))
                if found["event"] == "search" and begun is None:
                    begun = at
                if found["event"] == "step" and bound is not None and math.isfinite(float(bound)):
                    bounds.append((at, float(bound)))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            problem = f"is no trace ({' '.join(str(error).split())[:60]})"
            raise FormatError(path, problem, "run the benchmark again with --traces, or remove the file") from None
        root = last if begun is None else begun
        return cls(root, last - root, tuple(bounds), subproblems)
