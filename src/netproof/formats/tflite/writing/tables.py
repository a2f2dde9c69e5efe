"""Tables, vectors and texts of a FlatBuffer, appended by the library's builder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import flatbuffers

#: struct's letters of the numbers that fields have, and the builder's words for them
_WORDS = {"b": "Int8", "B": "Uint8", "i": "Int32", "I": "Uint32", "f": "Float32", "q": "Int64"}
_SIZES = {"b": 1, "B": 1, "i": 4, "I": 4, "f": 4, "q": 8}
#: bytes; constants are read where they lie
_ALIGNMENT = 16
#: a field's number to struct's letter and its value; the letter ``o`` is for what stands elsewhere
Fields = Mapping[int, tuple[str, Any]]


class Tables:
    """A FlatBuffer under construction; every method returns where in it something stands."""

    def __init__(self) -> None:
        import flatbuffers

        self._builder: flatbuffers.Builder = flatbuffers.Builder(1 << 12)

    def table(self, fields: Fields) -> int:
        """A table; every field is stored, whatever its default."""
        builder = self._builder
        builder.StartObject(max(fields, default=-1) + 1)
        for number, (letter, value) in fields.items():
            if letter == "o":
                builder.PrependUOffsetTRelativeSlot(number, value, 0)
            else:
                # None is no number's default, so that nothing is left out.
                getattr(builder, f"Prepend{_WORDS[letter]}Slot")(number, value, None)
        return int(builder.EndObject())

    def below(self, tables: Sequence[int]) -> int:
        """A vector of tables."""
        self._builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self._builder.PrependUOffsetTRelative(table)
        return int(self._builder.EndVector())

    def numbers(self, numbers: Sequence[float], letter: str) -> int:
        """A vector of numbers."""
        size = _SIZES[letter]
        self._builder.StartVector(size, len(numbers), size)
        for number in reversed(numbers):
            getattr(self._builder, f"Prepend{_WORDS[letter]}")(number)
        return int(self._builder.EndVector())

    def data(self, array: NDArray[Any]) -> int:
        """The bytes of an array, aligned as constants have to be."""
        raw = np.ascontiguousarray(array).tobytes()
        self._builder.Prep(_ALIGNMENT, len(raw))
        return int(self._builder.CreateByteVector(raw))

    def text(self, text: str) -> int:
        return int(self._builder.CreateString(text))

    def finished(self, root: int, identifier: bytes) -> bytes:
        """The whole FlatBuffer."""
        self._builder.Finish(root, identifier)
        return bytes(self._builder.Output())
