"""The text of a VNN-LIB file, and which version it is."""

from __future__ import annotations

import re
from pathlib import Path

from netproof.errors import FormatError
from netproof.files.opened import read_bytes, read_start

_SIZE_LIMIT = 1 << 26
#: of a text, in which comments may come before its first command
_START = 1 << 16
#: how text in other encodings begins
_OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}
#: what a file of version 2 begins with, behind comments
_LATER = re.compile(r"(?:[ \t\r\n\f]+|;[^\n]*\n)*\([ \t\r\n\f]*vnnlib-version\b")


def read_text(path: str | Path) -> str:
    """The text of a file, unpacked where it is gzip; raises :class:`FormatError` where it is missing or no UTF-8."""
    data = read_bytes(path, "property file", limit=_SIZE_LIMIT)
    for mark, encoding in _OTHER_ENCODINGS.items():
        if data.startswith(mark):
            raise FormatError(path, f"is text in {encoding}", "save it as UTF-8")
    text = data.decode("utf-8-sig", "replace")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise FormatError(path, f"line {line} has a NUL byte, so this is no text in UTF-8", "save it as UTF-8")
    return text


def is_later(path: str | Path) -> bool:
    """Whether a file begins with a version, as those of VNN-LIB 2 do and those of 1.0 do not.

    Looks at its first kilobytes. Raises :class:`FormatError` for one that cannot be read.
    """
    start = read_start(path, "property file", _START).decode("utf-8", "replace")
    return _LATER.match(start.removeprefix("\ufeff")) is not None
