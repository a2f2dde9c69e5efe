"""Opening and writing files so that what is wrong with them is said in one line."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from netproof.arguments.words import described
from netproof.errors import FormatError, InputError

#: no file netproof reads whole is larger than this (a bomb behind a small gzip is)
SIZE_LIMIT = 1 << 30
#: what gzip may unpack to, however small it is, and for every byte of its own
_UNPACKED = 1 << 26
_UNPACKED_PER_BYTE = 100
_PART = 1 << 24
_GZIP = b"\x1f\x8b"


def as_path(given: object, what: str, hint: str = "") -> Path:
    """A path as a caller gives it; raises :class:`InputError` for what is none. ``what`` names the thing expected."""
    if isinstance(given, str | os.PathLike):
        found = os.fspath(given)
        if isinstance(found, str) and found:
            return Path(found)
    raise InputError(what, f"is {described(given)}", hint or "give the path of a file, as text or a Path")


def read_bytes(path: str | Path, what: str, *, limit: int = SIZE_LIMIT) -> bytes:
    """The content of a file, decompressed where it is gzip.

    ``what`` names the thing expected ("image file"). Raises :class:`FormatError` where it is missing, a
    folder, unreadable, corrupt gzip, larger than ``limit`` bytes, or gzip that unpacks to far more than it is.
    """
    path = as_path(path, what)
    data = read_raw(path, what, limit=limit)
    if data[:2] == _GZIP:
        return _decompress(path, data, what, limit)
    return data


def read_raw(path: str | Path, what: str, *, limit: int = SIZE_LIMIT) -> bytes:
    """The content of a file as it is, whatever it begins with. Raises as :func:`read_bytes`."""
    path = as_path(path, what)
    data = _start(path, what, limit + 1)
    if len(data) > limit:
        raise FormatError(path, f"is larger than {limit} bytes", f"this is no {what}; check the path")
    return data


def read_start(path: str | Path, what: str, size: int) -> bytes:
    """The first ``size`` bytes of a file's content, decompressed where it is gzip.

    Raises as :func:`read_bytes`.
    """
    path = as_path(path, what)
    data = _start(path, what, size)
    if data[:2] != _GZIP:
        return data
    return _unpacked(path, _start(path, what, (size << 4) + (1 << 16)), size)


class NoFileError(OSError):
    """What is to be read is a pipe, a socket or a device: whoever reads one waits for what may never come, or reads for ever."""


def open_file(path: Path) -> BinaryIO:
    """A stream of a file on a disk, opened without waiting for anybody; every file that netproof reads is opened by this.

    Raises ``OSError``, :class:`NoFileError` among them, and ``ValueError`` for what is no file name.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise NoFileError(errno.EINVAL, "it is a pipe or a device, no file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _start(path: Path, what: str, size: int) -> bytes:
    try:
        with open_file(path) as stream:
            return _at_most(stream, size)
    except FileNotFoundError:
        raise FormatError(path, f"no such {what}", "check the path") from None
    except IsADirectoryError:
        raise FormatError(path, f"is a folder, no {what}", "name the file inside it") from None
    except NoFileError:
        raise FormatError(path, f"is a pipe or a device, no {what}", "save what it gives as a file") from None
    except OSError as error:
        raise FormatError(path, f"cannot be read ({error.strerror})", "check the path and its permissions") from None
    except ValueError:
        raise FormatError(repr(str(path)), "is no file name", "check the path") from None


def _at_most(stream: BinaryIO | gzip.GzipFile, size: int) -> bytes:
    """Up to ``size`` bytes, without room for all of them before there are any."""
    parts = []
    while size > 0 and (part := stream.read(min(size, _PART))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _decompress(path: Path, data: bytes, what: str, limit: int) -> bytes:
    allowed = min(limit, max(_UNPACKED, _UNPACKED_PER_BYTE * len(data)))
    unpacked = _unpacked(path, data, allowed + 1)
    if len(unpacked) > limit:
        raise FormatError(path, f"is larger than {limit} bytes", f"this is no {what}; check the path")
    if len(unpacked) > allowed:
        raise FormatError(
            path,
            f"is gzip of {len(data)} bytes that unpacks to more than {allowed}",
            f"this is no {what}; check the path",
        )
    return unpacked


def _unpacked(path: Path, data: bytes, size: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            return _at_most(stream, size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(path, f"is damaged gzip ({error})", "download or copy it again") from None


def unwritable(path: str | os.PathLike[str], error: OSError, hint: str = "") -> InputError:
    """The one-line error for a file that cannot be written."""
    hint = hint or "free some space or give another place to write to"
    return InputError(path, f"cannot be written ({error.strerror or error})", hint)


def write_bytes(path: str | Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file as :func:`whole_file` does."""
    with whole_file(path, durable=durable) as stream:
        stream.write(data)


@contextmanager
def whole_file(path: str | Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A stream to a file that is there whole, and (``durable``) on the disk, when the block ends, or not at all.

    Where not ``durable``, the operating system writes it when it likes: the file survives the death of this process,
    not necessarily a power cut. A link stays, and what it points to is written. A device or a pipe is written to as
    it is: a file in the place of ``/dev/null`` would harm every other program.

    Raises :class:`InputError` where writing fails.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:
                yield stream
            return
        target = Path(os.path.realpath(path))
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        if isinstance(error, BrokenPipeError) or not isinstance(error, OSError):
            raise
        raise unwritable(path, error) from None
