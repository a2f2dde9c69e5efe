"""Opening and writing files so that what is wrong with them is said in one line."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from contextlib import suppress
from pathlib import Path

from netproof.errors import FormatError, InputError

#: no file netproof reads whole is larger than this (a bomb behind a small gzip is)
SIZE_LIMIT = 1 << 30


def read_bytes(path: str | Path, what: str, *, limit: int = SIZE_LIMIT) -> bytes:
    """The content of a file, decompressed where it is gzip.

    ``what`` names the thing expected ("image file"). Raises :class:`FormatError` where it is missing, a
    folder, unreadable, corrupt gzip, or larger than ``limit`` bytes.
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
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            return stream.read(limit + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(path, f"is damaged gzip ({error})", "download or copy it again") from None


def unwritable(path: str | os.PathLike[str], error: OSError, mend: str = "") -> InputError:
    """The one-line error for a file that cannot be written."""
    mend = mend or "free some space or give another place to write to"
    return InputError(path, f"cannot be written ({error.strerror or error})", mend)


def write_bytes(path: str | Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file whole or not at all, and (``durable``) onto the disk; raises :class:`InputError` where that fails.

    Otherwise the operating system writes it when it likes: the file survives the death of this process, not
    necessarily a power cut.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise unwritable(path, error) from None
