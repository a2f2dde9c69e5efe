"""PNG files of 8-bit images, one pixel for each value (ISO/IEC 15948): what a notebook needs, without an imaging library."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_GREY, _COLOUR = 0, 2


def png(pixels: NDArray[np.int64]) -> bytes:
    """The file of an image ``[rows, columns]`` or ``[rows, columns, 3]`` with values from 0 to 255."""
    rows, columns = pixels.shape[:2]
    kind = _GREY if pixels.ndim == 2 else _COLOUR
    lines = pixels.astype(np.uint8).reshape(rows, -1)
    # Every row begins with the filter it was written with: none.
    data = np.concatenate([np.zeros((rows, 1), np.uint8), lines], 1).tobytes()
    header = struct.pack(">IIBBBBB", columns, rows, 8, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(data, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    checked = name + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def address(pixels: NDArray[np.int64]) -> str:
    """The same as an address that holds it (``data:``)."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")
