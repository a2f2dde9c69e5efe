"""Reader for IDX files (MNIST and its relatives), plain or gzip.

Format: two zero bytes, a type code, the number of dimensions, that many big-endian 32-bit
sizes, then the data (Y. LeCun, C. Cortes, C. Burges, "The MNIST database").
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError
from netproof.files.opened import read_bytes

_UINT8 = 0x08


def is_idx(data: bytes) -> bool:
    """Whether this is how an IDX file begins."""
    return len(data) >= 4 and data[:2] == b"\0\0"


def read_idx(path: str | Path) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes; raises :class:`FormatError`."""
    data = read_bytes(path, "IDX file")
    if not is_idx(data):
        raise FormatError(path, "is not an IDX file (wrong magic number)", "give an idx1 or idx3 file, plain or gzip")
    if data[2] != _UINT8:
        raise FormatError(path, f"holds IDX type 0x{data[2]:02x}, not unsigned bytes (0x08)", "convert it to uint8")
    dimensions = data[3]
    header = 4 + 4 * dimensions
    if dimensions == 0 or len(data) < header:
        raise FormatError(path, "its IDX header is cut short", "download or copy it again")
    shape = tuple(int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions))
    # Python integers: a hostile header cannot overflow the product.
    if math.prod(shape) != len(data) - header:
        raise FormatError(
            path,
            f"its header says {'x'.join(map(str, shape))} values, it holds {len(data) - header}",
            "it is truncated or damaged: download or copy it again",
        )
    try:
        return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
    except ValueError:  # more dimensions than NumPy has, or none of something beyond its sizes
        raise FormatError(
            path, f"its header says {dimensions} dimensions of sizes nothing has", "download or copy it again"
        ) from None


def read_images(path: str | Path) -> NDArray[np.uint8]:
    """Images ``[N, rows, columns]``."""
    images = read_idx(path)
    if images.ndim != 3:
        raise FormatError(path, f"has {images.ndim} dimension(s), images have 3", "give the images file (idx3)")
    return images


def read_labels(path: str | Path) -> NDArray[np.uint8]:
    """Labels ``[N]``."""
    labels = read_idx(path)
    if labels.ndim != 1:
        raise FormatError(path, f"has {labels.ndim} dimensions, labels have 1", "give the labels file (idx1)")
    return labels


def write_idx(path: str | Path, array: NDArray[np.uint8]) -> None:
    """Write an IDX file of unsigned bytes (gzip where the name ends in ``.gz``)."""
    import gzip

    header = bytes([0, 0, _UINT8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    data = header + np.ascontiguousarray(array, np.uint8).tobytes()
    # No time stamp: the same array gives the same file.
    Path(path).write_bytes(gzip.compress(data, mtime=0) if str(path).endswith(".gz") else data)
