"""``netproof bench watch``: a run, from another terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.errors import InputError

if TYPE_CHECKING:
    from netproof.runs.record import RunRecord
    from netproof.runs.rows import Recorded

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that 'bench run' or 'robust --out' writes.")]
Every = Annotated[float, typer.Option("--every", metavar="S", help="Seconds between two looks.")]
Once = Annotated[bool, typer.Option("--once", help="Look once, and end.")]

_SHOWN = 3


def watch(folder: Folder, *, every: Every = 2.0, once: Once = False) -> None:
    """Watch a run: how many are answered, how fast, and what came last.

    Reads the folder and writes nothing. Ends when the run does, or with Ctrl-C.
    """
    from netproof.cli.terminal.stop import stoppable
    from netproof.files.lock import is_held
    from netproof.runs.record import RunRecord

    if not 0.1 <= every <= 3600:
        raise InputError("--every", f"is {every:g} seconds", "give 0.1 to 3600")
    RunRecord.read(folder)
    last = ""
    with stoppable(lambda: ""):
        while True:
            line = _standing(folder)
            if line != last:
                typer.echo(line)
                last = line
            if once or not is_held(folder):
                break
            time.sleep(every)
    if not is_held(folder):
        typer.echo(f"{_end(folder)}; a page of it: netproof report {folder}")


def _read(folder: Path) -> tuple[RunRecord, dict[str, Recorded]]:
    """What the run was asked, and its answers so far."""
    from netproof.benchmarks.image_radii import is_of_radii
    from netproof.runs.radii.rows import RadiusRow
    from netproof.runs.record import RunRecord
    from netproof.runs.rows import Row
    from netproof.runs.table import FILE, read_rows

    record = RunRecord.read(folder)
    kind: type[Recorded] = RadiusRow if is_of_radii(record.benchmark) else Row
    return record, dict(read_rows(folder / FILE, kind).rows)


def _end(folder: Path) -> str:
    """How a run ended that nobody goes on with."""
    record, rows = _read(folder)
    asked = record.asked_of(record.instances)
    if not record.has_ended or any(name not in rows for name in asked or ()) or not rows:
        return "the run was stopped"
    if asked is None:
        return "the run has ended, and an earlier netproof kept no record of how many were asked for"
    return "the run has ended"


def _standing(folder: Path) -> str:
    """One line: the tally, the pace, and the latest instances."""
    from collections import Counter

    from netproof.report.text import seconds_text

    record, found = _read(folder)
    rows = list(found.values())
    listed = len(record.asked_of(record.instances) or record.instances)
    tally = ", ".join(f"{count} {verdict}" for verdict, count in sorted(Counter(row.verdict for row in rows).items()))
    total = f" of {listed}" if listed else ""
    latest = "; ".join(f"{row.name} {row.verdict} in {seconds_text(row.seconds)}" for row in rows[-_SHOWN:])
    spent = seconds_text(sum(row.seconds for row in rows))
    said = f"{len(rows)}{total} answered ({tally or 'none yet'}), {spent} of search"
    return f"{said}; latest: {latest}" if latest else said
