"""HDF5 files as data: everything a file may say is in the file itself, once, in plain numbers; anything else is refused.

HDF5 can do far more than hold arrays: numbers in other files, links to other files, arrays put together from others,
filters that are programs of a plugin, arrays that unpack to a thousand times their size. The library does all of it
without a word. So everything is asked about before it is followed or read, and the sizes a file may ask for are in
proportion to its own.
"""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError

if TYPE_CHECKING:
    import h5py

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAP = b"GCOL\1"
_AGAIN = "download or copy it again"
_PLAIN = "save it again with Keras, as plain weights"
#: no file has more groups, datasets and links
_MOST_OBJECTS = 1 << 14
#: the most bytes that an attribute is read into
_LARGEST_ATTRIBUTE = 1 << 26
#: numbers that any file may hold, that a file may hold per byte of its own, and the most at all
_FREE_NUMBERS, _NUMBERS_PER_BYTE, _MOST_NUMBERS = 1 << 22, 4, 1 << 27


def printable(text: str) -> str:
    """Text from a file, fit for a message of one line."""
    return "".join(c if c.isprintable() else " " for c in text[:100]).strip()


@dataclass(frozen=True, eq=False)
class Hdf5File:
    """A file whose links, one by one, were found to lead to objects of its own, each of them to another one.

    Attributes
    ----------
    path, data : the file
    root : its root group
    groups, tensors : by their paths from the root, without a slash in front; the root is ``""``
    """

    path: Path
    data: bytes
    root: h5py.Group
    groups: dict[str, h5py.Group]
    tensors: dict[str, h5py.Dataset]
    largest_string: int

    # -- attributes

    def text(self, holder: h5py.Group, attribute: str) -> list[str]:
        """The strings in an attribute that is there; raises :class:`FormatError` where it holds something else."""
        import h5py

        kind = holder.attrs.get_id(attribute)
        if kind.shape is None or 0 in kind.shape:
            return []  # of whatever type: Keras writes no names as no floats
        # Asked before it is read: the HDF5 library crashes on some damaged attributes of other types.
        string = h5py.check_string_dtype(kind.dtype)
        if string is None:
            raise FormatError(
                self.path, f"its attribute '{printable(attribute)}' holds {kind.dtype}, not names", _AGAIN
            )
        # Strings of any length lie in a heap, where many entries can be one and the same long string.
        longest = self.largest_string if string.length is None else string.length
        if math.prod(kind.shape) * max(longest, 1) > _LARGEST_ATTRIBUTE:
            raise FormatError(
                self.path, f"its attribute '{printable(attribute)}' claims {math.prod(kind.shape)} names", _AGAIN
            )
        values = np.atleast_1d(holder.attrs[attribute]).ravel()
        return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values]

    def names(self, holder: h5py.Group, attribute: str) -> list[str]:
        """A list of names as Keras stores it: in one attribute, or, where it is long, in several that are numbered from 0.

        No names where there is no such attribute. Raises :class:`FormatError` for both forms at once, and for numbers
        that are missing.
        """
        pieces = {name for name in holder.attrs if re.fullmatch(re.escape(attribute) + r"[0-9]+", name)}
        if attribute in holder.attrs:
            if pieces:
                raise FormatError(
                    self.path,
                    f"has names both in the attribute '{attribute}' and in '{printable(min(pieces))}'",
                    "save the weights again",
                )
            return self.text(holder, attribute)
        wanted = [f"{attribute}{number}" for number in range(len(pieces))]
        if pieces != set(wanted):
            raise FormatError(
                self.path,
                f"has the attribute '{printable(max(pieces - set(wanted)))}' and not all that are numbered before it",
                "save the weights again",
            )
        return [name for piece in wanted for name in self.text(holder, piece)]

    # -- numbers

    def numbers(self, tensor: h5py.Dataset, what: str) -> NDArray[np.floating]:
        """The numbers of a dataset, as they are stored; raises :class:`FormatError`, which calls it ``what``."""
        import h5py

        kind = tensor.id.get_type()
        if kind.committed():
            raise FormatError(self.path, f"{what} is of a named type", _PLAIN)
        if tensor.dtype.kind != "f":
            raise FormatError(
                self.path,
                f"{what} is {tensor.dtype}, not floating point",
                "give the float weights; netproof quantizes them itself",
            )
        known = (getattr(h5py.h5t, f"IEEE_F{bits}{order}") for bits in (16, 32, 64) for order in ("LE", "BE"))
        if not any(kind.equal(one) for one in known):
            raise FormatError(
                self.path, f"{what} is of a floating-point type other than IEEE's of 16, 32 and 64 bits", _PLAIN
            )
        if tensor.chunks is not None:
            self._check_chunks(tensor, what)
        elif tensor.id.get_storage_size() < tensor.size * tensor.dtype.itemsize:
            # HDF5 would read it as zeros, however many the header claims.
            raise FormatError(self.path, f"{what} holds no numbers", "save the weights again")
        values = np.asarray(tensor[()])
        if not np.isfinite(values).all():
            raise FormatError(self.path, f"{what} holds NaN or infinity", "retrain or repair it")
        return values

    def _check_chunks(self, tensor: h5py.Dataset, what: str) -> None:
        """Refuse a dataset in pieces some of which are missing, or are not what they unpack to."""
        filters = _filters(self.path, tensor, what)
        extents, chunk = tensor.shape, tensor.chunks
        size = math.prod(chunk) * tensor.dtype.itemsize
        if math.prod(chunk) > self.most_numbers:
            raise FormatError(self.path, f"{what} claims pieces of {math.prod(chunk)} numbers", _PLAIN)
        expected = math.prod(-(-extent // piece) for extent, piece in zip(extents, chunk, strict=True))
        if tensor.id.get_num_chunks() != expected:
            raise FormatError(self.path, f"{what} holds no numbers in a part of it", "save the weights again")
        pieces: list[h5py.h5d.StoreInfo] = []
        tensor.id.chunk_iter(pieces.append)
        seen = {piece.chunk_offset for piece in pieces}
        inside = all(at < extent for offset in seen for at, extent in zip(offset, extents, strict=True))
        if len(seen) != expected or not inside:
            raise FormatError(self.path, f"{what} holds a piece twice", _AGAIN)
        for piece in pieces:
            stored = self.data[piece.byte_offset : piece.byte_offset + piece.size]
            if len(stored) != piece.size or piece.filter_mask or _unpacked(stored, filters, size) != size:
                raise FormatError(self.path, f"{what} has a piece that is not {size} bytes", _AGAIN)

    @property
    def most_numbers(self) -> int:
        """How many numbers a file of this size may hold."""
        return min(_MOST_NUMBERS, max(_FREE_NUMBERS, _NUMBERS_PER_BYTE * len(self.data)))


def _filters(path: Path, tensor: h5py.Dataset, what: str) -> list[int]:
    """The codes of a dataset's filters: shuffle, deflate and checksum, each at most once and in this order."""
    import h5py

    plist = tensor.id.get_create_plist()
    known = [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32]
    codes: list[int] = []
    for number in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(number)
        if code not in known:
            raise FormatError(path, f"{what} is stored by the filter {code} '{printable(name.decode())}'", _PLAIN)
        codes.append(code)
    if codes != [code for code in known if code in codes]:
        raise FormatError(path, f"{what} is stored by filters in an unusual order", _PLAIN)
    return codes


def _unpacked(stored: bytes, filters: list[int], size: int) -> int:
    """How long a piece gets by undoing its filters; -1 where it is damaged or longer than ``size``."""
    import h5py

    if h5py.h5z.FILTER_FLETCHER32 in filters:
        stored = stored[:-4]
    if h5py.h5z.FILTER_DEFLATE not in filters:
        return len(stored)
    inflater = zlib.decompressobj()
    try:
        # The library would give a stream all the memory that it asks for.
        length = len(inflater.decompress(stored, size + 1))
    except zlib.error:
        return -1
    return length if inflater.eof else -1


@contextmanager
def open_hdf5(path: Path, data: bytes) -> Iterator[Hdf5File]:
    """The file in ``data``; raises :class:`FormatError` for what is damaged or unusual, also inside the block."""
    import h5py

    if not data.startswith(SIGNATURE):
        raise FormatError(path, "is not an HDF5 file", "give Keras weights saved as .h5")
    largest = _check_global_heaps(path, data)
    try:
        with h5py.File(io.BytesIO(data), "r") as root:
            yield Hdf5File(path, data, root, *_walk(path, root), largest)
    except FormatError:
        raise
    except (
        OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError,
        AssertionError, SystemError,
    ) as error:  # fmt: skip
        # h5py reports a damaged file by whichever of these its C library's failure maps to.
        detail = printable(str(error).strip("'\"")) or type(error).__name__
        raise FormatError(path, f"is a damaged HDF5 file ({detail})", _AGAIN) from None


def _walk(path: Path, root: h5py.Group) -> tuple[dict[str, h5py.Group], dict[str, h5py.Dataset]]:
    """All objects of a file by path, in a walk that follows nothing but plain links."""
    import h5py

    groups: dict[str, h5py.Group] = {"": root}
    tensors: dict[str, h5py.Dataset] = {}
    at = {h5py.h5o.get_info(root.id).addr: "/"}
    waiting = [""]
    while waiting:
        above = waiting.pop()
        group = groups[above]
        for name in group:
            where = f"{above}/{name}".lstrip("/")
            shown = printable(where)
            if "/" in name or name in ("", "."):
                raise FormatError(path, f"has a link named '{printable(name)}'", _AGAIN)
            kind = group.id.links.get_info(name.encode("utf-8", "surrogateescape")).type
            if kind != h5py.h5l.TYPE_HARD:
                leads = {h5py.h5l.TYPE_SOFT: "elsewhere in the file", h5py.h5l.TYPE_EXTERNAL: "to another file"}
                raise FormatError(path, f"'{shown}' is a link {leads.get(kind, 'of an unknown kind')}", _PLAIN)
            found = group[name]
            if not isinstance(found, h5py.Group | h5py.Dataset):
                raise FormatError(path, f"'{shown}' is a named type", _PLAIN)
            address = h5py.h5o.get_info(found.id).addr
            if address in at:
                raise FormatError(path, f"'{shown}' is the same object as '{printable(at[address])}'", _PLAIN)
            at[address] = where
            if len(at) > _MOST_OBJECTS:
                raise FormatError(path, f"holds more than {_MOST_OBJECTS} groups and datasets", _PLAIN)
            if isinstance(found, h5py.Group):
                groups[where] = found
                waiting.append(where)
            else:
                _check_storage(path, shown, found)
                tensors[where] = found
    return groups, tensors


def _check_storage(path: Path, shown: str, tensor: h5py.Dataset) -> None:
    """Refuse numbers that lie elsewhere: the hash of the file says nothing about them."""
    import h5py

    plist = tensor.id.get_create_plist()
    if plist.get_external_count():
        raise FormatError(path, f"'{shown}' keeps its numbers in other files", "save them in the file itself")
    if plist.get_layout() not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
        raise FormatError(
            path, f"'{shown}' is put together from other datasets (a virtual dataset)", "save them in the file itself"
        )


def _check_global_heaps(path: Path, data: bytes) -> int:
    """Refuse global heaps (where HDF5 keeps strings) whose objects do not follow each other up to its end.

    The HDF5 library (2.0) walks from object to object without a look at their sizes: one of 0, or near 2**64,
    keeps it going round for ever. Returns the size of the largest object.
    """
    start, largest = data.find(_HEAP), 0
    while start >= 0:
        end = start + int.from_bytes(data[start + 8 : start + 16], "little")
        at = start + 16
        while at + 16 <= min(end, len(data)):
            size = int.from_bytes(data[at + 8 : at + 16], "little")
            free = data[at : at + 2] == b"\0\0"
            # Free space (object 0) counts its own header of 16 bytes; an object does not, and is padded to 8.
            length = size if free else 16 + -(-size // 8) * 8
            if length < 16 or at + length > end:
                raise FormatError(path, "is a damaged HDF5 file (its heap of strings)", _AGAIN)
            largest = largest if free else max(largest, size)
            at += length
        start = data.find(_HEAP, start + 1)
    return largest
