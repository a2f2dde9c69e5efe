"""Downloading one file over HTTP so that nothing that has arrived is lost, and nothing unverified is used.

What arrives is appended to ``<name>.part`` beside the target, from where any later call goes on (an HTTP range
request, RFC 9110, section 14). The file gets its name only when its published hash is right.
"""

from __future__ import annotations

import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from netproof.errors import FormatError, InputError
from netproof.files.digests import Digest
from netproof.files.opened import unwritable

#: is told how many bytes there are, and how many there will be where that is known
Report = Callable[[int, "int | None"], None]

_CHUNK = 1 << 16
_LARGEST = 1 << 32
_AGAIN = "run the same command again to go on: what has arrived is kept"
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)\Z", re.ASCII)
#: answers that may be others a little later
_PASSING = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes
    ----------
    attempts : connections in a row that bring nothing, after which it gives up
    pause : seconds after the first of them, doubled after each
    timeout : seconds without a byte, after which a connection counts as cut
    """

    attempts: int = 4
    pause: float = 1.0
    timeout: float = 30.0


def download(
    url: str,
    target: Path,
    digest: Digest,
    *,
    size: int | None = None,
    report: Report | None = None,
    patience: Patience = Patience(),
) -> None:
    """Download ``url`` to ``target``, going on where an earlier call ended.

    Parameters
    ----------
    url : over HTTP or HTTPS
    target : the file; its folder is made
    digest : what the file has to hash to
    size : its size in bytes, where that was published
    report : is called as the file grows

    Raises
    ------
    InputError : a URL that is none; a server that refuses, or is cut off too often; a disk that is full or cannot be
        written (what has arrived is kept); another process that downloads the same file
    FormatError : the file is not the published one (what has arrived is removed)
    """
    if not url.lower().startswith(("http://", "https://")):
        raise InputError(url, "is no http or https URL", "give one with --url")
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: what was written is in the file, however this process ends.
        with part.open("ab", buffering=0) as stream:
            _lock(part, stream)
            try:
                _Download(url, part, stream, digest, size, report, patience).run()
            finally:
                if not os.fstat(stream.fileno()).st_size:
                    part.unlink(missing_ok=True)
            os.fsync(stream.fileno())
            part.replace(target)
    except OSError as error:
        raise unwritable(part, error, f"free some space or change the folder with --data; {_AGAIN}") from None


class _Cut(Exception):  # noqa: N818 (an event, not an error)
    """A connection that ended before the file did, or was never made."""


class _Download:
    def __init__(
        self, url: str, part: Path, stream: IO[bytes], digest: Digest, size: int | None, report: Report | None,
        patience: Patience,
    ) -> None:  # fmt: skip
        self._url, self._part, self._stream = url, part, stream
        self._digest, self._size, self._report, self._patience = digest, size, report, patience
        self._opener = _opener()

    def run(self) -> None:
        """Fill the part file with the published content."""
        resumed = self._position() > 0
        self._complete()
        found = self._digest.of(self._part)
        if found != self._digest and resumed:
            # The beginning may be another version's, or damaged: once more from the start.
            self._restart()
            self._complete()
            found = self._digest.of(self._part)
        if found != self._digest:
            self._restart()
            raise FormatError(
                self._url,
                f"is not the published file: it has {found}, not {self._digest.value}",
                "give the base of another copy with --url",
            )

    def _complete(self) -> None:
        """Connect until the file is whole, or nothing comes any more."""
        failures, pause = 0, self._patience.pause
        while True:
            before = self._position()
            if self._size is not None and before >= self._size:
                return
            try:
                self._connect(before)
                return
            except _Cut as cut:
                reason = str(cut)
            failures = 1 if self._position() > before else failures + 1
            if failures >= self._patience.attempts:
                raise InputError(self._url, f"{reason} ({self._position()} bytes have arrived)", _AGAIN)
            if failures > 1:
                time.sleep(pause)
                pause *= 2

    def _connect(self, start: int) -> None:
        """Take one connection's bytes; raises :class:`_Cut` where they are not all."""
        headers = {"User-Agent": "netproof", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            request = urllib.request.Request(self._url, headers=headers)
            response = self._opener.open(request, timeout=self._patience.timeout)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 416 and start:
                    self._restart_or_end(start, error.headers.get("Content-Range") or "")
                    return
            if error.code in _PASSING:
                raise _Cut(f"the server answers {error.code} {error.reason}") from None
            raise InputError(
                self._url, f"the server answers {error.code} {error.reason}", "give the base of another copy with --url"
            ) from None
        except urllib.error.URLError as error:
            raise _Cut(f"the server cannot be reached ({_reason(error.reason)})") from None
        except (OSError, http.client.HTTPException) as error:
            raise _Cut(f"the connection failed ({_reason(error)})") from None
        except ValueError:
            raise InputError(self._url, "is no URL", "give one with --url") from None
        with response:
            total = self._begin(response, start)
            self._receive(response, total)

    def _begin(self, response: http.client.HTTPResponse, start: int) -> int | None:
        """Check what an answer is about, and begin anew where it ignores the range; the size of the whole file."""
        length = response.headers.get("Content-Length") or ""
        announced = int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
        if response.status == 206:
            about = _CONTENT_RANGE.match(response.headers.get("Content-Range") or "")
            if about is None or int(about.group(1)) != start:
                self._restart()
                raise _Cut("the server answers with another range than it was asked for")
            total = None if about.group(3) == "*" else int(about.group(3))
        else:
            if start:
                self._restart()
            total = announced
        if total is not None and (total > _LARGEST or (self._size is not None and total != self._size)):
            raise FormatError(
                self._url,
                f"is {total} bytes, the published file is {self._size or 'smaller'}",
                "give the base of another copy with --url",
            )
        return total

    def _receive(self, response: http.client.HTTPResponse, total: int | None) -> None:
        position, limit = self._position(), total or self._size or _LARGEST
        while True:
            try:
                chunk = response.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _Cut(f"the connection was cut ({_reason(error)})") from None
            if not chunk:
                break
            position += len(chunk)
            if position > limit:
                raise FormatError(
                    self._url, f"sends more than {limit} bytes", "give the base of another copy with --url"
                )
            while chunk:  # a disk that fills up takes less than all, and then says why
                chunk = chunk[self._stream.write(chunk) :]
            if self._report is not None:
                self._report(position, total or self._size)
        expected = total or self._size
        if expected is not None and position < expected:
            raise _Cut("the connection was cut")

    def _restart_or_end(self, start: int, about: str) -> None:
        """There is nothing from ``start`` on: either this is the end, or what is there is of another file."""
        if about == f"bytes */{start}":
            return
        self._restart()
        raise _Cut("the server has less of the file than has arrived")

    def _restart(self) -> None:
        self._stream.truncate(0)

    def _position(self) -> int:
        return os.fstat(self._stream.fileno()).st_size


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS, by the proxies of the environment, and no other scheme to be redirected to."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _lock(part: Path, stream: IO[bytes]) -> None:
    """Keep a second process out; the lock ends with this one."""
    import fcntl

    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(part, "another netproof is downloading it", "wait for it to end") from None
    except OSError:
        return  # a file system without locks


def _reason(error: object) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:120] or type(error).__name__
