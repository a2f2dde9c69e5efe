"""A Python function at work in a process of its own, with a pipe to it.

For work that the calling program brings along, its own classes included: ``multiprocessing`` carries them over.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from netproof.processes.child import ChildError
from netproof.processes.inside import end_with_parent, ignore_interrupts

#: seconds that a process is given to end in order
GRACE = 2.0


class Piped(ABC):
    """The parent's side of a process that it talks to.

    Attributes
    ----------
    pipe : the parent's end of its pipe, for :func:`multiprocessing.connection.wait`
    """

    pipe: Connection

    def send(self, message: object) -> None:
        """Send it a message; that it has died is noticed when something is received from it."""
        with contextlib.suppress(OSError):
            self.pipe.send(message)

    def receive(self) -> Any:
        """Wait for its next message; raises :class:`ChildError` where it died, and closes the pipe then."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self.pipe.close()
            raise ChildError(self._exit_code()) from None

    @abstractmethod
    def terminate(self) -> None:
        """Ask it to end, without waiting for that."""

    @abstractmethod
    def close(self) -> None:
        """End it."""

    @abstractmethod
    def _exit_code(self) -> int | None:
        """That of the process, which has closed its end of the pipe; None where nobody knows."""


class Spawned(Piped):
    """A process, started afresh (``spawn``), that calls ``function(pipe, *arguments)``.

    Parameters
    ----------
    watching : whether a thread of it sees to it that it ends with this process; without, only its pipe tells it

    Attributes
    ----------
    process : the process itself
    """

    def __init__(self, function: Callable[..., None], *arguments: object, watching: bool = True) -> None:
        self.context = multiprocessing.get_context("spawn")
        self.pipe, theirs = self.context.Pipe()
        self.process = self.context.Process(target=_begin, args=(theirs, function, arguments, watching), daemon=True)
        with _signals_deferred():
            self.process.start()
        # Only the child may hold its end, or its death would not be seen here.
        theirs.close()

    def _exit_code(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def terminate(self) -> None:
        self.process.terminate()

    def close(self) -> None:
        self.process.terminate()
        self.process.join(GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


def _begin(
    pipe: Connection, function: Callable[..., None], arguments: tuple[object, ...], watching: bool = True
) -> None:
    """The life of the process."""
    ignore_interrupts()  # for systems that cannot block a signal
    parent = multiprocessing.parent_process()
    assert parent is not None and parent.pid is not None
    if watching:
        end_with_parent(parent.pid)
    # A parent that was killed closes its end, and resets it where it has left something unread.
    with contextlib.suppress(EOFError, ConnectionError):
        function(pipe, *arguments)


@contextlib.contextmanager
def _signals_deferred() -> Iterator[None]:
    """Within, start a process as a whole, or not at all, and out of the reach of Ctrl-C.

    A handler that raised half way would leave a worker without its instructions, and Ctrl-C goes
    to the whole process group although it is for the parent to decide what it means. A worker
    inherits the block of SIGINT from its first instruction on.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Started on demand otherwise, and its start would lift the block.
    resource_tracker.ensure_running()
    arrived: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    handled = {number: handler for number, handler in before.items() if callable(handler)}
    for number in handled:
        signal.signal(number, lambda number, frame: arrived.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handled.items():
            signal.signal(number, handler)
        for late in arrived:
            signal.raise_signal(late)
