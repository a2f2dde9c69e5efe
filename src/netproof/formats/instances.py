"""Reader for lists of instances, ``instances.csv``: network, property, time limit."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from netproof.errors import FormatError
from netproof.files.opened import read_bytes

_SIZE_LIMIT = 1 << 24
#: several networks: pairs of names and files, as Python writes them
_LONGEST_NETWORKS = 1 << 16
_TEXT = r"""('[^'\\]*'|"[^"\\]*")"""
_PAIR = re.compile(rf"\(\s*{_TEXT}\s*,\s*{_TEXT}\s*\)")
_NETWORKS = re.compile(rf"\[\s*{_PAIR.pattern}(?:\s*,\s*{_PAIR.pattern})*\s*,?\s*\]")
#: a heading names columns: words without dots, and no number for the time limit
_HEADING = re.compile(r"[A-Za-z][A-Za-z _()/\[\]-]*")


@dataclass(frozen=True)
class ListedInstance:
    """One line of a list.

    Attributes
    ----------
    network, property : the files, whether they exist or not; gzip where only the file with ``.gz`` added is there
    timeout : seconds
    listed : the names of the two files as the list has them
    line : where it stands, from 1
    networks : where the list gives several networks, ``[('f', 'one.onnx'), ('g', 'other.onnx')]``: the file of each by
        the name that the query has for it, ``network`` the first of them; empty otherwise
    """

    network: Path
    property: Path
    timeout: float
    listed: tuple[str, str]
    line: int
    networks: tuple[tuple[str, Path], ...] = ()

    @cached_property
    def name(self) -> str:
        """The two names as the list has them, separated by a space."""
        return " ".join(self.listed)


def read_instances(path: str | Path) -> list[ListedInstance]:
    """The instances of a list, in its order. Paths are relative to the folder of the list.

    Raises
    ------
    FormatError : missing or damaged file; a line that has not three columns or whose third is no time limit (the first may
        be a heading)
    """
    path = Path(path)
    text = read_bytes(path, "list of instances", limit=_SIZE_LIMIT).decode("utf-8-sig", "replace")
    instances: list[ListedInstance] = []
    begun = False
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) < 3 or not all(cells[:3]) or "\0" in "".join(cells):
                raise FormatError(path, f"line {reader.line_num} is not 'network,property,seconds'", "correct it")
            network, property_, limit = cells[:3]
            seconds = _seconds(limit)
            if seconds is None:
                if not begun and all(_HEADING.fullmatch(cell) for cell in cells[:3]):
                    begun = True
                    continue
                raise FormatError(path, f"line {reader.line_num}: '{limit[:40]}' is no time limit", "give seconds")
            begun = True
            networks = _several(path, reader.line_num, network) if network.startswith("[") else ()
            instances.append(
                ListedInstance(
                    networks[0][1] if networks else _found(path.parent / network),
                    _found(path.parent / property_),
                    seconds,
                    (network, property_),
                    reader.line_num,
                    networks,
                )
            )
    except csv.Error as error:
        raise FormatError(path, f"line {reader.line_num} is no CSV ({error})", "correct it") from None
    if not instances:
        raise FormatError(path, "lists no instance", "give lines of the form 'network,property,seconds'")
    return instances


def networks_by_name(text: str) -> list[tuple[str, str]]:
    """Names of networks and of their files, from ``[('f', 'one.onnx'), ('g', 'other.onnx')]``; none where it is no such list."""
    if len(text) > _LONGEST_NETWORKS or not _NETWORKS.fullmatch(text):
        return []
    return [(match[1][1:-1], match[2][1:-1]) for match in _PAIR.finditer(text)]


def _several(path: Path, line: int, text: str) -> tuple[tuple[str, Path], ...]:
    """Networks by name, as the competition lists them since 2026; raises :class:`FormatError`."""
    pairs = [(name, _found(path.parent / file)) for name, file in networks_by_name(text)]
    if not pairs or len(dict(pairs)) < len(pairs):
        raise FormatError(
            path,
            f"line {line}: '{text[:40]}' lists no networks by name",
            "give [('f', 'one.onnx'), ('g', 'other.onnx')]",
        )
    return tuple(pairs)


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if "_" in text or not text.isascii():  # Python takes 1_0 for 10
        return None
    return value if 0 < value < math.inf else None


def _found(path: Path) -> Path:
    """The path itself, or the gzip file beside it where only that exists."""
    packed = path.with_name(path.name + ".gz")
    return packed if not path.exists() and packed.exists() else path
