"""Writing files so that a kill or a full disk loses nothing that was reported as written."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType

from netproof.files.opened import unwritable, whole_file, write_bytes


def write_json(path: Path, document: Mapping[str, object]) -> None:
    """Write a JSON file whole or not at all; raises :class:`InputError` where that fails."""
    write_bytes(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def write_text(path: Path, parts: Iterable[str]) -> None:
    """Write a text file, part by part, whole or not at all; raises :class:`InputError` where that fails."""
    with whole_file(path) as stream:
        stream.writelines(part.encode("utf-8") for part in parts)


class AppendedFile:
    """A text file that grows by whole lines.

    Every line is with the operating system when :meth:`append` returns, so it survives the death
    of this process. A thread forces it to the disk right after, so that it also survives a power
    cut, without the search waiting several milliseconds per line.

    Raises :class:`InputError` where writing fails, from whichever call comes next.
    """

    def __init__(self, path: Path, hint: str = "") -> None:
        self._path = path
        self._hint = hint
        self._failure: OSError | None = None
        self._dirty = threading.Event()
        self._closing = False
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise unwritable(path, error, hint) from None
        self._syncer = threading.Thread(target=self._sync_forever, name="results-sync", daemon=True)
        self._syncer.start()

    def append(self, line: str) -> None:
        """Add one line, newline included."""
        self._attempt(lambda: self._write_all(line.encode("utf-8")))
        self._dirty.set()

    def close(self) -> None:
        """Return when everything is on the disk."""
        if self._closing:
            return
        self._closing = True
        self._dirty.set()
        self._syncer.join()
        try:
            self._attempt(lambda: os.fsync(self._descriptor))
        finally:
            os.close(self._descriptor)

    def __enter__(self) -> AppendedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_all(self, data: bytes) -> None:
        # One call writes a whole line; only a disk that fills up takes less, and then says why.
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            if self._failure is not None:
                raise self._failure
            action()
        except OSError as error:
            raise unwritable(self._path, error, self._hint) from None

    def _sync_forever(self) -> None:
        while not self._closing:
            self._dirty.wait()
            self._dirty.clear()
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                self._failure = error
                return
