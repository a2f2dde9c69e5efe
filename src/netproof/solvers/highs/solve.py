"""HiGHS behind a thin adapter, in a process of its own.

Solver: Q. Huangfu, J. A. J. Hall, *Parallelizing the dual revised simplex method*, Math. Prog. Comp. 2018;
https://highs.dev. (ortools carries another HiGHS: the two must not meet in one process, one more
reason for this one.)
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from importlib.util import find_spec
from types import TracebackType
from typing import IO

from netproof.solvers.highs.model import Model, Solution, Status
from netproof.solvers.highs.worker import Request, receive, send

#: seconds the solver may overrun its own limit before its process is ended
_GRACE = 0.5
#: seconds beyond which the wait for the solver has no limit of its own: locks count in 64 bits of nanoseconds
_LONGEST_WAIT = 1e6


class SolverError(RuntimeError):
    """The solver is missing, or its process died; the message is a reason fit for a user."""


class HighsProcess:
    """Solves models one by one in a child process, which is started when needed and replaced when lost.

    Parameters
    ----------
    memory : bytes the child may take up beyond its libraries

    Use as a context manager, or call :meth:`close`; the child also ends when this object or the parent does.
    """

    def __init__(self, memory: int) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._memory = memory
        #: what ends the process, once: by :meth:`close`, with this object, or before the interpreter shuts down
        self._end: Callable[[], object] = _nothing
        self._answers: queue.SimpleQueue[Solution | None] = queue.SimpleQueue()

    def __enter__(self) -> HighsProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def solve(
        self, model: Model, deadline: float, *, relaxed: bool = False, tolerance: float | None = None
    ) -> Solution:
        """The solver's word on a model before ``time.monotonic()`` reaches ``deadline``, half a second of grace apart.

        ``tolerance``, where given, is by how much it may miss a row or a reduced cost.

        Raises
        ------
        SolverError : highspy is not installed, or the process died
        """
        if not len(model.cost):
            holds = bool(((model.row_lower <= 0) & (model.row_upper >= 0)).all())
            return Solution(Status.OPTIMAL, model.cost) if holds else Solution(Status.INFEASIBLE)
        left = deadline - time.monotonic()
        if left <= 0:
            return Solution(Status.TIME)
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            send(process.stdin, Request(model, relaxed, left, tolerance))
            wait = max(deadline - time.monotonic(), 0.0) + _GRACE
            answer = self._answers.get(timeout=wait if wait < _LONGEST_WAIT else None)
        except queue.Empty:
            self.close()
            return Solution(Status.TIME)
        except OSError:
            answer = None
        except BaseException:  # an interrupt: the answer that is on its way must not meet the next request
            self.close()
            raise
        if answer is None:
            raise SolverError(self._bury())
        return answer

    def close(self) -> None:
        """End the child process, if there is one."""
        self._process = None
        self._end()

    def _start(self) -> None:
        if find_spec("highspy") is None:
            raise SolverError("HiGHS is missing: install highspy")
        # The same modules as here, whatever made them importable; one thread, or libraries take memory for many.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.curdir for p in sys.path)}
        environment.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "netproof.solvers.highs.worker", str(self._memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            raise SolverError(f"the solver's process could not be started ({error.strerror})") from error
        self._answers = queue.SimpleQueue()
        self._end = weakref.finalize(self, _end, self._process)
        # The thread knows the pipe alone, and closes it: holding this object would keep it alive.
        assert self._process.stdout is not None
        threading.Thread(target=_listen, args=(self._process.stdout, self._answers), daemon=True).start()

    def _bury(self) -> str:
        """Clear away a dead child and say what became of it."""
        process = self._process
        assert process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
        code = process.poll()
        self.close()
        if code is None:
            return "the solver's process closed its end"
        if code >= 0:
            return f"the solver's process ended with exit code {code} (out of memory, or a failure of HiGHS)"
        with contextlib.suppress(ValueError):
            return (
                f"the solver's process was ended by {signal.Signals(-code).name} (out of memory, or a failure of HiGHS)"
            )
        return f"the solver's process was ended by signal {-code}"


def _nothing() -> None:
    """There is no process yet."""


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _listen(stream: IO[bytes], answers: queue.SimpleQueue[Solution | None]) -> None:
    """Pass answers on until the child is gone, or says what cannot be read; None stands for either."""
    with contextlib.suppress(Exception), stream:
        while True:
            answers.put(receive(stream))
    answers.put(None)
