"""The folder of one benchmark run: ``run.json``, ``results.csv``, ``witnesses/``."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from netproof.errors import InputError
from netproof.files.durable import AppendedFile, write_json
from netproof.files.lock import FolderLock
from netproof.files.opened import unwritable
from netproof.runs import table
from netproof.runs.record import FILE as RECORD_FILE
from netproof.runs.record import RunRecord
from netproof.runs.rows import Recorded, Row

#: what every run has and nothing can make again
RECORDS = (RECORD_FILE, table.FILE)
_AGAIN = "free some space or fix the folder, then run the same command again: it resumes"


class RunFolder:
    """A run's results, open for writing; use it as a context manager.

    A killed run leaves at worst a torn last line, which opening drops. A retried instance gets
    another row, which replaces the earlier one when the folder is closed or opened again, so
    nothing is lost if the retry does not finish.

    Parameters
    ----------
    path : made where it does not exist
    record : what is about to run; its invocations are added to those the folder has
    instances : the names results may be about
    kind : of rows

    Raises
    ------
    InputError : the folder is in use, cannot be written, or holds something else
    """

    def __init__(self, path: Path, record: RunRecord, instances: Collection[str], kind: type[Recorded] = Row) -> None:
        self.path, self._kind = path, kind
        self._resources = ExitStack()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path, error, "give a folder that can be written to with --out") from None
        with ExitStack() as stack:
            stack.enter_context(FolderLock(path))
            self.record, self.rows = self._continue(record, instances)
            self._results = stack.enter_context(AppendedFile(path / table.FILE, _AGAIN))
            if (path / table.FILE).stat().st_size == 0:
                self._results.append(table.header_line(kind))
            self._resources = stack.pop_all()

    def append(self, row: Recorded, witness: Mapping[str, object] | None = None) -> Recorded:
        """Record one instance, its witness first; returns the row as written."""
        if witness is not None:
            folder = self.path / "witnesses"
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise unwritable(folder, error, _AGAIN) from None
            write_json(folder / f"{row.name}.json", witness)
            row = row.with_witness(f"witnesses/{row.name}.json")
        self._results.append(row.line())
        self.rows[row.name] = row
        return row

    def ended(self, wall_seconds: float) -> None:
        """Note that this invocation ended, and when."""
        self.record = self.record.ended(wall_seconds)
        self.record.write(self.path)

    def close(self) -> None:
        """Leave everything on the disk, one row per instance, and let others write."""
        with self._resources:
            self._results.close()
            found = table.read_rows(self.path / table.FILE, self._kind)
            if found.superseded:
                self._rewrite(found.rows)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _continue(self, record: RunRecord, instances: Collection[str]) -> tuple[RunRecord, dict[str, Recorded]]:
        """The whole record and the rows already there, after checks and repairs; writes ``run.json``."""
        if (self.path / RECORD_FILE).exists():
            earlier = RunRecord.read(self.path)
            if table.read_rows(self.path / table.FILE, self._kind).rows:
                # Where nothing was answered yet, there is nothing the new files could contradict.
                earlier.check_same_run(self.path, record)
                record = earlier.continued(record)
            else:
                record = replace(record, invocations=(*earlier.invocations, *record.invocations))
        else:
            foreign = sorted(entry.name for entry in self.path.iterdir() if not entry.name.startswith("."))
            if foreign:
                raise InputError(
                    self.path,
                    f"is not empty and holds no benchmark run (it has '{foreign[0]}')",
                    "give a new or an empty folder with --out",
                )
        found = table.read_rows(self.path / table.FILE, self._kind, instances)
        if found.torn or found.superseded:
            self._rewrite(found.rows)
        record.write(self.path)
        return record, found.rows

    def _rewrite(self, rows: Mapping[str, Recorded]) -> None:
        path = self.path / table.FILE
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                stream.write(table.header_line(self._kind) + "".join(row.line() for row in rows.values()))
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise unwritable(path, error, _AGAIN) from None
