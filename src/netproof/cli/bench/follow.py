"""What a benchmark's run shows while it goes on: what there is to do, how much is done, and what is on record."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from netproof.runs.certify import Certified
    from netproof.runs.run import RunStep, Start


class Followed:
    """A run into a folder.

    Parameters
    ----------
    things : what is answered, in the plural: ``instances``

    Attributes
    ----------
    certified : the certificates that were written
    """

    def __init__(self, folder: Path, things: str) -> None:
        self.certified: list[Certified] = []
        self._folder, self._things = folder, things
        self._recorded = 0

    def standing(self) -> str:
        """What to add where the run is stopped."""
        return f": {self._recorded} more {self._things} are on record in {self._folder}; run the same command again to go on"

    def through(self, events: Generator[Start | RunStep, None, None], title: str) -> None:
        """Announce the run, count its answers, and close it."""
        from netproof.cli.terminal.progress import counted
        from netproof.runs.run import RunStep, Start

        start = next(events)
        assert isinstance(start, Start)
        before = start.chosen - start.pending
        typer.echo(
            f"{title}: {start.pending} {self._things} to answer"
            + (f", {before} answered before" if before else "")
            + f"; results in {self._folder}",
            err=True,
        )
        if start.pending:
            with counted(title, start.pending) as count:
                for event in events:
                    assert isinstance(event, RunStep)
                    count(event.row.verdict)
                    self._recorded += 1
                    self.certified += event.certified
        events.close()
