"""What a child process does for its parent's sake: talks to it, ends with it, keeps to its share of memory.

Imports little: a solver's process is started for a query of milliseconds.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import struct
import sys
import time
from contextlib import suppress
from typing import IO, Any

#: length of a message, before it
HEADER = struct.Struct("<Q")
#: seconds between two looks at the parent
_LOOK = 0.5
#: seconds from which on the system is not asked to enforce a limit: it takes no number of any size, and no infinity
_LONG = 1e9
#: seconds of processor time that a process may overstay before the system tells it, and before it ends it
_TOLD, _ENDED = 10, 15


def start_pytorch(threads: int) -> None:
    """Import PyTorch, for so many threads, where this program has not done so yet.

    Nothing of what an import makes is garbage. Looking for it, now and at every collection to come, would take a third as
    long as the import itself.
    """
    gc.disable()
    import torch

    gc.freeze()
    gc.enable()
    torch.set_num_threads(threads)


def packed(message: object) -> tuple[bytes, bytes]:
    """A message as it goes through a pipe, in two parts."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(data)), data


class Channel:
    """The child's end of the pipes that :class:`netproof.processes.child.Child` made."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests, self._answers = requests, answers

    def receive(self) -> Any:
        """The next message; raises ``EOFError`` where the parent wants no more."""
        (length,) = HEADER.unpack(self._exactly(HEADER.size))
        return pickle.loads(self._exactly(length))

    def send(self, message: object) -> None:
        """Send an answer."""
        self._answers.writelines(packed(message))
        self._answers.flush()

    def _exactly(self, size: int) -> bytes:
        data = self._requests.read(size)
        if len(data) < size:
            raise EOFError
        return data


def begin(*, deaf: bool = False) -> Channel:
    """First thing in the main function of a program that a ``Child`` runs; :func:`end_with_parent` says what ``deaf`` is."""
    ignore_interrupts()
    end_with_parent(int(sys.argv.pop(1)), deaf=deaf)
    # Whatever a library prints goes to standard error, not between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return Channel(sys.stdin.buffer, answers)


def ignore_interrupts() -> None:
    """Ignore Ctrl-C, which a terminal sends to the whole process group: the parent says what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_with_parent(parent: int, *, deaf: bool = False) -> None:
    """From now on this process ends when its parent, the process of that number, is gone.

    ``deaf`` is a process whose native code lets no other thread run, and whose starter waits for it: there Linux is
    asked to see to it. (It goes by the *thread* that started the process, which must not end before the work does.)
    """
    if deaf and _killed_with_parent():
        if os.getppid() != parent:  # gone before the system was asked
            os._exit(1)
        return
    import threading

    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _killed_with_parent() -> bool:
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        return bool(ctypes.CDLL(None).prctl(1, signal.SIGKILL) == 0)  # PR_SET_PDEATHSIG
    return False


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)


def confine(memory: int, seconds: float = _LONG) -> None:
    """Let the system limit this process, where it can, and write no core dump of it.

    Parameters
    ----------
    memory : bytes that it may grow by; libraries that are loaded already do not count
    seconds : of processor time, with some grace
    """
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if seconds < _LONG:
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + _TOLD, int(seconds) + _ENDED))
    with suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as stream:  # noqa: PTH123 - pathlib would be one more import
            held = int(stream.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))
