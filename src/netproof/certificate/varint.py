"""Signed integers as bytes: zigzag, then 7 bits per byte, least significant first.

The last byte of an entry has its highest bit clear, all others have it set. Every integer below 2**53 in magnitude
has exactly one form: that without a trailing byte of 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: entries are smaller than this in magnitude: float64 holds them exactly, and 8 bytes suffice
LIMIT = 1 << 53
#: the most bytes an entry takes
LONGEST = 8
#: entries coded at once: bounds the temporary arrays
_AT_ONCE = 1 << 16

Integers = NDArray[np.int64]


def encode(values: Integers) -> bytes:
    """The bytes of ``[n]`` int64 values; raises ``ValueError`` where one reaches 2**53 in magnitude."""
    return b"".join(_encode(values[i : i + _AT_ONCE]) for i in range(0, len(values), _AT_ONCE))


def _encode(values: Integers) -> bytes:
    zigzag = ((values << 1) ^ (values >> 63)).view(np.uint64)
    largest = int(zigzag.max(initial=0))
    if largest >= 2 * LIMIT - 1:
        raise ValueError("an entry reaches 2^53 in magnitude")
    width = max(1, -(-largest.bit_length() // 7))
    shifts = np.arange(0, 7 * width, 7, dtype=np.uint64)
    rest = zigzag[:, None] >> shifts
    digits = (rest & np.uint64(0x7F)).astype(np.uint8)
    digits[:, :-1] |= (rest[:, 1:] > 0).astype(np.uint8) << np.uint8(7)
    used = rest > 0
    used[:, 0] = True
    data: bytes = digits[used].tobytes()
    return data


class Decoder:
    """Fills an array from bytes that arrive piece by piece.

    ``fault`` says what is wrong with the bytes seen so far, and is empty where nothing is.
    """

    def __init__(self, values: Integers) -> None:
        self._values = values
        self._filled = 0
        self._rest = b""
        self.fault = ""

    def feed(self, data: bytes) -> None:
        """Decode the entries that end in ``data``; after a fault nothing more is done."""
        for start in range(0, len(data), _AT_ONCE):
            if self.fault:
                return
            self._decode(self._rest + data[start : start + _AT_ONCE])

    def close(self) -> None:
        """Establish that the bytes held exactly as many entries as the array."""
        if not self.fault and self._rest:
            self.fault = "it ends within an entry"
        elif not self.fault and self._filled < len(self._values):
            self.fault = f"it holds {self._filled} entries instead of {len(self._values)}"

    def _decode(self, data: bytes) -> None:
        digits = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(digits < 0x80) + 1
        self._rest = data[int(ends[-1]) if len(ends) else 0 :]
        starts = np.concatenate([np.zeros(1, ends.dtype), ends])[: len(ends)]
        widths = ends - starts
        if len(self._rest) >= LONGEST or widths.max(initial=0) > LONGEST:
            self.fault = "an entry is longer than 8 bytes"
        elif bool(((digits[ends - 1] == 0) & (widths > 1)).any()):
            self.fault = "an entry has more bytes than it needs"
        elif self._filled + len(ends) > len(self._values):
            self.fault = f"it holds more than {len(self._values)} entries"
        if self.fault or not len(ends):
            return
        zigzag = (digits[starts] & 0x7F).astype(np.uint64)
        for k in range(1, int(widths.max())):
            longer = np.flatnonzero(widths > k)
            zigzag[longer] |= (digits[starts[longer] + k] & 0x7F).astype(np.uint64) << np.uint64(7 * k)
        if int(zigzag.max()) >= 2 * LIMIT - 1:
            self.fault = "an entry reaches 2^53 in magnitude"
            return
        half = (zigzag >> np.uint64(1)).view(np.int64)
        self._values[self._filled : self._filled + len(ends)] = half ^ -(zigzag & np.uint64(1)).view(np.int64)
        self._filled += len(ends)
