"""Arrays of whole numbers in NumPy's format, with their size known before they are made."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError
from netproof.files.opened import read_bytes

_MAGIC = b"\x93NUMPY"
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_whole_numbers(path: str | Path) -> NDArray[np.integer[Any]]:
    """The array in a ``.npy`` file of integers of 8 to 64 bits; raises :class:`FormatError`."""
    return whole_numbers(path, read_bytes(path, "array file"))


def whole_numbers(source: str | Path, data: bytes) -> NDArray[np.integer[Any]]:
    """The same of the content of such a file."""
    stream = io.BytesIO(data)
    try:
        if not data.startswith(_MAGIC):
            raise ValueError("no NumPy array")
        shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    except (ValueError, KeyError, TypeError, SyntaxError, EOFError, RecursionError, MemoryError):
        raise FormatError(source, "is no array in NumPy's format (.npy)", "write it with numpy.save") from None
    if dtype.kind not in "iu":
        raise FormatError(source, f"holds numbers of type {dtype}", "give integers, as the network takes them")
    rest = len(data) - stream.tell()
    if rest != math.prod(shape) * dtype.itemsize or len(shape) > 32:
        raise FormatError(
            source, f"has {rest} bytes for the shape {shape} of {dtype}", "it is truncated: copy it again"
        )
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    return array.astype(dtype.newbyteorder("="))
