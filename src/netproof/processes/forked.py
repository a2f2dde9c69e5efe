"""Processes forked of a server that has imported what they need, which takes milliseconds where the imports take a second.

Not the ``forkserver`` of ``multiprocessing``: nobody waits for that one, so that what its processes compute is on nobody's account,
and it wants a folder for a socket, which outlives a program that is killed.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any, NoReturn

from netproof.processes.inside import end_with_parent
from netproof.processes.spawned import GRACE, Piped, Spawned

#: whether a process can be forked and go on with all libraries: those of macOS do not survive it
POSSIBLE = sys.platform == "linux"
#: in the place of a process's number, where there is none
_NONE = -1
#: seconds between two looks at a process that is to end
_LOOK = 0.01


@dataclass(frozen=True)
class _Wanted:
    """The next thing on the pipe is one end of a pipe, for a process that is to be forked; what it does is pickled."""

    life: bytes


@dataclass(frozen=True)
class _Over:
    """A process is to be waited for, and killed after so many seconds."""

    number: int
    seconds: float


class ForkServer:
    """A process, started afresh, that imports the module ``ready`` and then forks others.

    It has one thread and computes nothing: what is forked of it finds no lock held and no pool of threads gone, and nothing of what
    this process has open or under way. Raises ``OSError`` where it cannot be started.
    """

    def __init__(self, ready: str) -> None:
        self._server = Spawned(_serve, ready, watching=False)

    def start(self, function: Callable[..., None], *arguments: object) -> Forked:
        """A process that calls ``function(pipe, *arguments)``; raises ``OSError`` where the server has ended, or may have no more."""
        life = pickle.dumps((function, arguments), protocol=pickle.HIGHEST_PROTOCOL)
        ours, theirs = self._server.context.Pipe()
        try:
            self._server.pipe.send(_Wanted(life))
            send_handle(self._server.pipe, theirs.fileno(), self._server.process.pid)
            number = self._answer()
            if number == _NONE:
                raise OSError("the system allows no more processes")
            return Forked(self, ours, number)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()

    def waited(self, number: int, seconds: float) -> int | None:
        """The exit code of a process once it has ended, by itself or killed after so many seconds; None where the server is gone."""
        try:
            self._server.pipe.send(_Over(number, seconds))
            return self._answer()
        except OSError:
            return None

    def terminate(self) -> None:
        """Ask it to end, without waiting for that. What was forked of it ends soon after."""
        self._server.terminate()

    def close(self) -> None:
        """End it."""
        self._server.close()

    def _answer(self) -> int:
        try:
            return int(self._server.pipe.recv())
        except EOFError:
            raise OSError("the process that others are forked of has ended") from None


class Forked(Piped):
    """A process that a :class:`ForkServer` forked: like :class:`Spawned` to whoever talks to it.

    Attributes
    ----------
    number : by which the system knows it, until it has been waited for
    """

    def __init__(self, server: ForkServer, pipe: Connection, number: int) -> None:
        self._server, self.pipe, self.number = server, pipe, number
        self._ended = False
        self._code: int | None = None

    def terminate(self) -> None:
        if not self._ended:
            with suppress(ProcessLookupError):
                os.kill(self.number, signal.SIGTERM)

    def close(self) -> None:
        self.terminate()
        self._wait(GRACE)
        self.pipe.close()

    def _exit_code(self) -> int | None:
        self._wait(GRACE)
        return self._code

    def _wait(self, seconds: float) -> None:
        if not self._ended:
            self._ended, self._code = True, self._server.waited(self.number, seconds)


def _serve(pipe: Connection, ready: str) -> None:
    """The server's life. Its pipe tells it of its parent's end."""
    # NumPy's library of matrices starts threads of its own when it is loaded, unless it is told not to.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    parent = os.getppid()
    import_module(ready)
    server = os.getpid()
    while os.getppid() == parent:  # or what it has asked for meanwhile is not wanted any more
        message = pipe.recv()
        if isinstance(message, _Over):
            pipe.send(_code_of(message))
            continue
        assert isinstance(message, _Wanted)
        handle = recv_handle(pipe)
        try:
            number = os.fork()
        except OSError:
            number = _NONE
        if not number:
            pipe.close()
            _live(Connection(handle), message.life, server)
        os.close(handle)
        pipe.send(number)


def _code_of(over: _Over) -> int:
    until = time.monotonic() + over.seconds
    while True:
        number, status = os.waitpid(over.number, os.WNOHANG)
        if number:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            os.kill(over.number, signal.SIGKILL)
        time.sleep(_LOOK)


def _live(pipe: Connection, life: bytes, server: int) -> NoReturn:
    """The life of a process that was forked."""
    code = 1
    try:
        end_with_parent(server)
        function: Any
        function, arguments = pickle.loads(life)
        with suppress(EOFError, ConnectionError):
            function(pipe, *arguments)
        code = 0
    except Exception:  # noqa: BLE001 - nobody else is there to say it
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
