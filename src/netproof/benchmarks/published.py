"""Reader for tables of published verdicts: CSV with the columns dataset, index, radius, verdict."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from netproof.errors import FormatError
from netproof.files.opened import read_bytes

_HEADER = ["dataset", "index", "radius", "verdict"]
_VERDICTS = ("robust", "vulnerable", "misclassified", "timeout")


@dataclass(frozen=True)
class Published:
    """One published verdict."""

    dataset: str
    index: int
    radius: int
    verdict: str


def read_published(path: str | Path) -> list[Published]:
    """The rows of a table of published verdicts; raises :class:`FormatError` naming the line."""
    try:
        text = read_bytes(path, "table of published verdicts").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FormatError(path, "is not text", "give the CSV of published verdicts") from None
    lines = csv.reader(io.StringIO(text))
    rows = []
    try:
        if next(lines, None) != _HEADER:
            raise FormatError(path, "line 1 is not the header " + ",".join(_HEADER), "give the published verdicts")
        for fields in lines:
            if not fields:
                continue
            try:
                dataset, index, radius, verdict = fields
                row = Published(dataset, int(index), int(radius), verdict)
            except ValueError:
                raise FormatError(
                    path, f"line {lines.line_num} is not 'dataset,index,radius,verdict'", "download or copy it again"
                ) from None
            if verdict not in _VERDICTS:
                raise FormatError(
                    path, f"line {lines.line_num}: no verdict is called '{verdict}'", f"known: {', '.join(_VERDICTS)}"
                )
            rows.append(row)
    except csv.Error as error:
        raise FormatError(path, f"line {lines.line_num}: {error}", "download or copy it again") from None
    return rows
