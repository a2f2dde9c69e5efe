"""HiGHS behind a thin adapter, in a process of its own.

Solver: Q. Huangfu, J. A. J. Hall, *Parallelizing the dual revised simplex method*, Math. Prog. Comp. 2018;
https://highs.dev. (ortools carries another HiGHS: the two must not meet in one process, one more
reason for this one.)
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.util import find_spec
from types import TracebackType

from netproof.processes.child import Child, ChildError
from netproof.solvers.highs.model import Family, Member, Model, Solution, Status
from netproof.solvers.highs.worker import Request, Turn

#: seconds the solver may overrun its own limit before its process is ended
_GRACE = 0.5


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
        self._memory = memory
        self._child: Child | None = None
        #: the one whose members the child can be asked for
        self._family: Family | None = None

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
        answer = self._asked(Request(model, relaxed, left, tolerance), deadline)
        return answer if isinstance(answer, Solution) else Solution(Status.TIME)

    def solve_all(
        self, family: Family, members: Sequence[Member], deadline: float, *, tolerance: float | None = None
    ) -> list[Solution]:
        """The solver's word on linear programs of one family, as :meth:`solve`.

        Each is solved from the basis that the one before it ended with, those of the call before included; what the
        solver finds of several optimal solutions depends on that.
        """
        left = deadline - time.monotonic()
        if left > 0:
            known = self._child is not None and self._family is family
            turn = Turn(members, left, None if known else family, tolerance)
            answer = self._asked(turn, deadline)
            if answer is not None:
                assert isinstance(answer, list)
                self._family = family
                return answer
        return [Solution(Status.TIME)] * len(members)

    def _asked(self, request: Request | Turn, deadline: float) -> object:
        """The child's answer, None where there is none in time."""
        child = self._child or self._started()
        #: not there any more where it does not answer: the next model has a new one
        self._child = None
        try:
            answer = child.ask(request, deadline + _GRACE)
        except TimeoutError:
            return None
        except ChildError as death:
            raise SolverError(_cause(death)) from None
        self._child = child
        return answer

    def close(self) -> None:
        """End the child process, if there is one."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _started(self) -> Child:
        self._family = None
        if find_spec("highspy") is None:
            raise SolverError("HiGHS is missing: install highspy")
        try:
            return Child("netproof.solvers.highs.worker", str(self._memory))
        except OSError as error:
            raise SolverError(f"the solver's process could not be started ({error.strerror})") from error


def _cause(death: ChildError) -> str:
    """How the solver ended, in words."""
    if death.code is None:
        return "the solver's process closed its end"
    how = "ended with" if death.code >= 0 else "was ended by"
    return f"the solver's process {how} {death} (out of memory, or a failure of HiGHS)"
