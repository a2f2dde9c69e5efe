"""``results.csv``: reading it, whatever state a killed run left it in."""

from __future__ import annotations

import csv
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from netproof.errors import FormatError, InputError
from netproof.runs.rows import HEADER, Row

FILE = "results.csv"
HEADER_LINE = ",".join(HEADER) + "\n"


@dataclass(frozen=True)
class Table:
    """What ``results.csv`` holds.

    Attributes
    ----------
    rows : by instance; of several rows for one instance (a retry appends) the last one
    torn : bytes after the last whole line, left by a write that was cut off
    superseded : how many rows a later one replaces
    """

    rows: dict[str, Row]
    torn: int
    superseded: int


def read_table(path: Path, known: Container[str] | None = None) -> Table:
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
    if not whole and HEADER_LINE.encode().startswith(data.rstrip(b"\0")):
        return Table({}, torn, 0)
    try:
        lines = whole.decode("utf-8").split("\n")[:-1]
    except UnicodeDecodeError:
        raise FormatError(path, "is not text", hint) from None
    if not lines or lines[0] + "\n" != HEADER_LINE:
        raise FormatError(
            path, f"line 1 is not the header {HEADER_LINE.strip()}", "give a folder of netproof's results"
        )
    rows: dict[str, Row] = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            row = Row.parse(line)
        except (csv.Error, ValueError) as error:
            raise FormatError(path, f"line {number}: {error}", hint) from None
        if known is not None and row.instance not in known:
            raise FormatError(path, f"line {number}: the benchmark has no instance '{row.instance}'", hint)
        rows[row.instance] = row
    return Table(rows, torn, len(lines) - 1 - len(rows))
