"""Opening and writing files so that what is wrong with them is said in one line."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from netproof.errors import FormatError, InputError

#: no file netproof reads whole is larger than this (a bomb behind a small gzip is)
SIZE_LIMIT = 1 << 30
#: gzip may unpack to so many bytes, or to so many times its size, whichever is more: a small file takes little memory
_UNPACKED, _UNPACKED_TIMES = 1 << 26, 100


def read_bytes(path: str | Path, what: str, *, limit: int = SIZE_LIMIT) -> bytes:
    """The content of a file, decompressed where it is gzip.

    ``what`` names the thing expected ("image file"). Raises :class:`FormatError` where it is missing, a
    folder, unreadable, corrupt gzip, larger than ``limit`` bytes, or gzip that unpacks to far more than it is.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except FileNotFoundError:
        raise FormatError(path, f"no such {what}", "check the path") from None
    except IsADirectoryError:
        raise FormatError(path, f"is a folder, not a {what}", "name the file inside it") from None
    except OSError as error:
        raise FormatError(path, f"cannot be read ({error.strerror})", "check the path and its permissions") from None
    except ValueError:
        raise FormatError(repr(str(path)), "is no file name", "check the path") from None
    if data[:2] == b"\x1f\x8b":
        data = _decompress(path, data, limit)
    if len(data) > limit:
        raise FormatError(path, f"is larger than {limit} bytes", f"this is no {what}; check the path")
    return data


def _decompress(path: Path, data: bytes, limit: int) -> bytes:
    most = max(_UNPACKED, _UNPACKED_TIMES * len(data))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            unpacked = stream.read(min(limit, most) + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(path, f"is damaged gzip ({error})", "download or copy it again") from None
    if len(unpacked) > most:
        raise FormatError(
            path,
            f"is gzip of {len(data)} bytes that unpacks to more than {most}",
            "unpack it yourself if it is meant to be so",
        )
    return unpacked


def unwritable(path: str | os.PathLike[str], error: OSError, mend: str = "") -> InputError:
    """The one-line error for a file that cannot be written."""
    mend = mend or "free some space or give another place to write to"
    return InputError(path, f"cannot be written ({error.strerror or error})", mend)


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
