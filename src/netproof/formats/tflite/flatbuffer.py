"""Reading FlatBuffers: tables, vectors, strings, with every offset checked.

The format (https://flatbuffers.dev/internals): everything is little-endian. A *table* begins with a signed offset back to its
*vtable*, which lists, for every field in the order of the schema, where in the table it lies (0 where it is left out). Tables,
vectors and strings in fields are offsets forwards from where the offset itself stands. Nothing here trusts one of them: what
lies outside of the file raises :class:`DamagedError`, nothing is copied before its size is known, and nothing recurs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: struct's letter and the size of every scalar that is read
_SIZES = {"b": 1, "B": 1, "H": 2, "i": 4, "I": 4, "f": 4, "Q": 8}


class DamagedError(Exception):
    """An offset or a length that leads out of the file."""


def _scalar(data: bytes, at: int, kind: str) -> Any:
    if at < 0 or at + _SIZES[kind] > len(data):
        raise DamagedError(f"byte {at} is beyond its end")
    return struct.unpack_from(f"<{kind}", data, at)[0]


@dataclass(frozen=True)
class Table:
    """A table of a file.

    Parameters
    ----------
    data : the whole file
    at : where the table begins
    """

    data: bytes
    at: int

    @classmethod
    def root(cls, data: bytes) -> Table:
        return cls(data, _scalar(data, 0, "I"))

    def _field(self, number: int) -> int | None:
        """Where a field lies, None where it is left out."""
        vtable = self.at - _scalar(self.data, self.at, "i")
        size = _scalar(self.data, vtable, "H")
        entry = 4 + 2 * number
        if entry + 2 > size:
            return None
        offset = _scalar(self.data, vtable + entry, "H")
        return self.at + offset if offset else None

    def _target(self, number: int) -> int | None:
        """What a field that is an offset points to."""
        at = self._field(number)
        return None if at is None else at + _scalar(self.data, at, "I")

    def number(self, number: int, kind: str, default: float = 0) -> Any:
        """A scalar; ``kind`` is the letter that :mod:`struct` has for it."""
        at = self._field(number)
        return default if at is None else _scalar(self.data, at, kind)

    def integer(self, number: int, kind: str, default: int = 0) -> int:
        return int(self.number(number, kind, default))

    def table(self, number: int) -> Table | None:
        at = self._target(number)
        return None if at is None else Table(self.data, at)

    def tables(self, number: int, most: int) -> list[Table]:
        """A vector of tables; raises :class:`DamagedError` where it has more than ``most``."""
        start, length = self._vector(number, 4)
        if length > most:
            raise DamagedError(f"it lists {length} parts where {most} is the most that can be handled")
        places = (start + 4 * i for i in range(length))
        return [Table(self.data, at + _scalar(self.data, at, "I")) for at in places]

    def vector(self, number: int, dtype: str) -> NDArray[Any]:
        """A vector of scalars, a view of the file that cannot be written to."""
        kind = np.dtype(dtype)
        start, length = self._vector(number, kind.itemsize)
        return np.frombuffer(self.data, kind, length, start)

    def text(self, number: int, most: int = 200) -> str:
        """The first characters of a string, those that no terminal takes for a command."""
        start, length = self._vector(number, 1)
        text = self.data[start : start + min(length, most)].decode("utf-8", "replace")
        return "".join(c if c.isprintable() else "?" for c in text)

    def _vector(self, number: int, size: int) -> tuple[int, int]:
        """Where a vector's elements begin, and their number; none where the field is left out."""
        at = self._target(number)
        if at is None:
            return 0, 0
        length = _scalar(self.data, at, "I")
        if at + 4 + length * size > len(self.data):
            raise DamagedError(f"{length} elements at byte {at} go beyond its end")
        return at + 4, length
