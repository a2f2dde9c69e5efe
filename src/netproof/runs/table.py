"""``results.csv``: reading it, whatever state a killed run left it in."""

from __future__ import annotations

import csv
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from netproof.errors import FormatError, InputError
from netproof.runs.rows import HEADER, Recorded, Row

_Kind = TypeVar("_Kind", bound=Recorded)

FILE = "results.csv"
HEADER_LINE = ",".join(HEADER) + "\n"


@dataclass(frozen=True)
class Table(Generic[_Kind]):
    """What ``results.csv`` holds.

    Attributes
    ----------
    rows : by instance; of several rows for one instance (a retry appends) the last one
    torn : bytes after the last whole line, left by a write that was cut off
    superseded : how many rows a later one replaces
    """

    rows: dict[str, _Kind]
    torn: int
    superseded: int


def header_line(kind: type[Recorded]) -> str:
    """The first line of a table of such rows."""
    return ",".join(kind.HEADER) + "\n"


def read_table(path: Path, known: Container[str] | None = None) -> Table[Row]:
    """Read a table of verdicts, as :func:`read_rows` does."""
    return read_rows(path, Row, known)


def read_rows(path: Path, kind: type[_Kind], known: Container[str] | None = None) -> Table[_Kind]:
    """Read a results table; an absent or empty one has no rows.

    A last line without its end is ignored, as is a tail of zero bytes (which a power cut leaves
    in some file systems). Raises :class:`FormatError` naming the line where a whole line is not a
    row, or is about an instance that is not ``known``.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Table({}, 0, 0)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check its permissions") from None
    # bytes before any zero, up to the last line end
    whole = data.split(b"\0", 1)[0]
    whole = whole[: whole.rfind(b"\n") + 1]
    torn = len(data) - len(whole)
    hint = "repair that line, or remove the folder and run the benchmark again"
    header = header_line(kind)
    if not whole and header.encode().startswith(data.rstrip(b"\0")):
        return Table({}, torn, 0)
    try:
        lines = whole.decode("utf-8").split("\n")[:-1]
    except UnicodeDecodeError:
        raise FormatError(path, "is not text", hint) from None
    if not lines or lines[0] + "\n" != header:
        raise FormatError(path, f"line 1 is not the header {header.strip()}", "give a folder of netproof's results")
    rows: dict[str, _Kind] = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            row = kind.parse(line)
        except (csv.Error, ValueError) as error:
            raise FormatError(path, f"line {number}: {error}", hint) from None
        if known is not None and row.name not in known:
            raise FormatError(path, f"line {number}: the benchmark has no instance '{row.name}'", hint)
        rows[row.name] = row
    return Table(rows, torn, len(lines) - 1 - len(rows))
