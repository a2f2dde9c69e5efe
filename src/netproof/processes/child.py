"""A program that works for this process: asked one thing after the other, and ended where it does not answer in time.

For native solvers, which may crash, take all memory, or not look at the time. Not one of ``multiprocessing``, which
would run the calling program's main module once more, whether it is made for that or not.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from netproof.processes.inside import HEADER, packed

#: the same modules as here, whatever made them importable; and not those that lie in the working directory by chance
_BOOT = "import sys; sys.path[:] = {path!r}; from {module} import main; main()"
#: one thread, or libraries take memory for many
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
#: bytes that are read at once
_CHUNK = 1 << 20
#: seconds of one wait, after which another begins: the system counts milliseconds in 32 bits
_LONGEST_WAIT = 1e6
#: seconds that a process is given to end after it has closed its end of a pipe
_LAST_SECONDS = 1.0


class ChildError(Exception):
    """A process ended before it answered, or its answer cannot be read; the message is its :func:`ending`.

    Attributes
    ----------
    code : exit code, or minus the number of the signal that ended it; None where it closed its end and went on
    """

    def __init__(self, code: int | None) -> None:
        self.code = code
        super().__init__(ending(code))


def ending(code: int | None) -> str:
    """How a process ended, in a word or two: ``exit code 3``, ``SIGKILL``, or ``signal 70`` where that has no name."""
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


class Child:
    """A process that runs the function ``main`` of a module, which starts with :func:`netproof.processes.inside.begin`.

    Parameters
    ----------
    module : its full name
    arguments : what the child finds in ``sys.argv[1:]``
    complaints : where its standard error goes

    Attributes
    ----------
    process : the process itself

    It ends with :meth:`close`, with this object, or with this process, whichever is first. Raises ``OSError`` where it
    cannot be started.
    """

    def __init__(self, module: str, *arguments: str, complaints: IO[bytes] | int = subprocess.DEVNULL) -> None:
        boot = _BOOT.format(path=[str(Path(entry).resolve()) for entry in sys.path], module=module)
        self.process = subprocess.Popen(
            [sys.executable, "-c", boot, str(os.getpid()), *arguments],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, **_ENVIRONMENT},
        )
        self._end = weakref.finalize(self, _end, self.process)
        assert self.process.stdin is not None and self.process.stdout is not None
        self._requests, self._answers = self.process.stdin.fileno(), self.process.stdout.fileno()
        # A process that does not read must not be waited for either.
        os.set_blocking(self._requests, False)

    def ask(self, message: object, deadline: float) -> Any:
        """Send a message and wait for the answer until ``time.monotonic()`` reaches ``deadline``.

        Whatever is raised, the process has been ended: an answer that is on its way must not meet the next message.

        Raises
        ------
        TimeoutError : there was no answer in time
        ChildError : the process died, or its answer cannot be read
        """
        try:
            for part in packed(message):
                self._write(part, deadline)
            (length,) = HEADER.unpack(self._read(HEADER.size, deadline))
            data = self._read(length, deadline)
        except TimeoutError:
            self.close()
            raise
        except (OSError, EOFError):
            raise self._death() from None
        except BaseException:
            self.close()
            raise
        try:
            return pickle.loads(data)
        except Exception:  # noqa: BLE001 - damaged data may raise anything
            raise self._death() from None

    def close(self) -> None:
        """End the process."""
        self._end()

    def _write(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest:
            _wait(self._requests, select.POLLOUT, deadline)
            with suppress(BlockingIOError):
                rest = rest[os.write(self._requests, rest) :]

    def _read(self, size: int, deadline: float) -> bytearray:
        data = bytearray()
        while len(data) < size:
            _wait(self._answers, select.POLLIN, deadline)
            chunk = os.read(self._answers, min(size - len(data), _CHUNK))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    def _death(self) -> ChildError:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_LAST_SECONDS)
        code = self.process.poll()
        self.close()
        return ChildError(code)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _wait(descriptor: int, event: int, deadline: float) -> None:
    """Until a pipe is ready, or broken; raises ``TimeoutError`` at the deadline."""
    poll = select.poll()
    poll.register(descriptor, event)
    while True:
        left = deadline - time.monotonic()
        if poll.poll(1000 * min(max(left, 0.0), _LONGEST_WAIT)):
            return
        if left <= 0:
            raise TimeoutError
