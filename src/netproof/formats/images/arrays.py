"""Arrays in NumPy's formats (``.npy``, ``.npz``), with their size known before they are made."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError
from netproof.files.opened import read_bytes, read_raw

_MAGIC = b"\x93NUMPY"
#: bytes that one array of an archive unpacks to, at the most, and arrays that an archive holds
_MOST_BYTES, _MOST_ARRAYS = 1 << 30, 1000
#: no label is larger, so that none wraps around in 64 bits
_LARGEST_LABEL = (1 << 31) - 1
_read_magic: Any = np.lib.format.read_magic  # which NumPy before 2.3 gives no types
_HEADERS: dict[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_whole_numbers(path: str | Path) -> NDArray[np.integer[Any]]:
    """The array in a ``.npy`` file of integers of 8 to 64 bits; raises :class:`FormatError`."""
    return whole_numbers(path, read_bytes(path, "array file"))


def whole_numbers(source: str | Path, data: bytes) -> NDArray[np.integer[Any]]:
    """The same of the content of such a file."""
    array = numbers(source, data)
    if array.dtype.kind not in "iu":
        raise FormatError(source, f"holds numbers of type {array.dtype}", "give integers, as the network takes them")
    return array


def numbers(source: str | Path, data: bytes) -> NDArray[Any]:
    """Integers or floats of 8 to 64 bits in the content of a ``.npy`` file; raises :class:`FormatError`."""
    stream = io.BytesIO(data)
    try:
        if not data.startswith(_MAGIC):
            raise ValueError("no NumPy array")
        shape, fortran, dtype = _HEADERS[_read_magic(stream)](stream)
    except (ValueError, KeyError, TypeError, SyntaxError, EOFError, RecursionError, MemoryError):
        raise FormatError(source, "is no array in NumPy's format (.npy)", "write it with numpy.save") from None
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise FormatError(source, f"holds numbers of type {dtype}", "give integers or floats of at most 64 bits")
    rest = len(data) - stream.tell()
    if rest != math.prod(shape) * dtype.itemsize or len(shape) > 32:
        raise FormatError(
            source, f"has {rest} bytes for the shape {shape} of {dtype}", "it is truncated: copy it again"
        )
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    native: NDArray[Any] = array.astype(dtype.newbyteorder("="))
    return native


def archived(path: str | Path, wanted: Sequence[str], *, alone: bool = True) -> NDArray[Any] | None:
    """The array of a ``.npz`` file that has one of the names ``wanted``, or (``alone``) the only one there is.

    None where there is none of them. Raises :class:`FormatError` for what is no such archive, and where several arrays could be
    meant: two of these names, or one of them twice, of which readers take the first or the last.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(read_raw(path, "archive of arrays"))) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            if len(names) > _MOST_ARRAYS:
                raise FormatError(path, f"holds {len(names)} arrays", "give an archive of images and labels")
            meant = [name for name in names if name.removesuffix(".npy") in wanted]
            twice = [name for number, name in enumerate(names) if name in names[:number]]
            if len(meant) > 1 or twice:
                told = " and ".join(
                    name.removesuffix(".npy")[:40] for name in (meant if len(meant) > 1 else twice * 2)[:2]
                )
                raise FormatError(path, f"holds several arrays that could be meant, {told}", "leave one of them out")
            name = meant[0] if meant else ""
            if not name and not (alone and len(names) == 1):
                return None
            with archive.open(name or names[0]) as stream:
                data = stream.read(_MOST_BYTES + 1)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        detail = " ".join(str(error).split())[:60]
        raise FormatError(path, f"is no archive of arrays ({detail})", "write it with numpy.savez") from None
    if len(data) > _MOST_BYTES:
        raise FormatError(path, f"unpacks to more than {_MOST_BYTES} bytes", "give fewer images")
    return numbers(path, data)


def labels_of(array: NDArray[Any], source: str | Path) -> NDArray[np.int64]:
    """One label for each image, ``[N]``, of an array ``[N]`` or ``[N, 1]``; raises :class:`FormatError` for others."""
    if array.dtype.kind not in "iu":
        raise FormatError(source, f"its labels are of type {array.dtype}", "give whole numbers")
    if array.shape[1:] not in ((), (1,)) or not array.ndim:
        raise FormatError(source, f"its labels have shape {array.shape}", "give one whole number for each image")
    if array.size and int(array.max()) > _LARGEST_LABEL:
        raise FormatError(source, f"has the label {int(array.max())}", "give the numbers of classes, from 0")
    return array.reshape(-1).astype(np.int64)


def images_of(array: NDArray[Any], source: str | Path) -> NDArray[Any]:
    """Images ``[N, ...]``; raises :class:`FormatError` for an array that has no axis for them and one for what they show."""
    if array.ndim < 2:
        raise FormatError(source, f"has shape {array.shape}", "give images [N, ...], one image as [1, ...]")
    return array
