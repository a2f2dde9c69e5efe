"""Standard streams that a caller closed, or that cannot be written."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any

_INPUT, _OUTPUT, _ERROR = 0, 1, 2


def open_streams() -> None:
    """Make sure that the three standard streams are open, and that messages never end a command.

    A closed one would have its number taken by the next file that is opened, and whatever a library prints would get
    into that file. An answer that cannot be written is an error, as it is with a full disk; a message that cannot be
    written is none: results are not to be lost for it.
    """
    for descriptor, flags in ((_INPUT, os.O_RDONLY), (_OUTPUT, os.O_RDONLY), (_ERROR, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:  # noqa: PERF203 - there are three of them
            # The lowest free number is given out, which is this one. Output is opened for reading, so that writing
            # to it fails as writing to a closed stream does.
            os.open(os.devnull, flags)
    if sys.stdin is None:
        sys.stdin = open(_INPUT, closefd=False)  # noqa: SIM115 - as long as the process
    if sys.stdout is None:
        sys.stdout = _text(io.FileIO(_OUTPUT, "w", closefd=False), "backslashreplace")
    elif isinstance(sys.stdout, io.TextIOWrapper):
        # File names need not be text, and a terminal need not know every letter.
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stderr = _text(_Forgiving(_ERROR, "w", closefd=False), "backslashreplace", line_buffering=True)


class _Forgiving(io.FileIO):
    """A stream on which what cannot be written is lost."""

    def write(self, data: Any) -> int:
        with suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


def _text(raw: io.FileIO, errors: str, *, line_buffering: bool = False) -> io.TextIOWrapper:
    known = next((s.encoding for s in (sys.__stdout__, sys.__stderr__, sys.__stdin__) if s is not None), "utf-8")
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=known, errors=errors, line_buffering=line_buffering)


def silence_output() -> None:
    """Let the interpreter's last flush of standard output go nowhere."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
