"""Bitwuzla, at arm's length.

A. Niemetz, M. Preiner, *Bitwuzla*, CAV 2023. It runs in a process of its own (:mod:`.worker`), to which the script
goes through a pipe. Its own limits (``TIME_LIMIT_PER``, ``MEMORY_LIMIT``, a termination callback) are looked at
only between steps of preprocessing and while the SAT solver works, so the process is ended from here where it
overstays them, and the operating system limits its memory.
"""

from __future__ import annotations

import importlib.util
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from tempfile import TemporaryFile

from netproof.processes.child import Child, ChildError
from netproof.solvers.bitwuzla.worker import Answer

#: seconds that the solver may overstay before it is ended
_GRACE = 0.3


@dataclass(frozen=True)
class Reply:
    """What the solver said.

    Attributes
    ----------
    status : ``sat``, ``unsat``, ``timeout`` or ``unknown``
    model : where ``sat``, the unsigned values of the variables by name
    reason : where there is no answer, why
    retryable : the process died or its answer got lost, so that another run may do better
    """

    status: str
    model: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    retryable: bool = False


def missing() -> str:
    """What to install where Bitwuzla is not there; else empty."""
    if importlib.util.find_spec("bitwuzla") is None:
        return "the solver Bitwuzla is not installed: pip install bitwuzla"
    return ""


def solve(script: Iterable[str], *, deadline: float, memory: int) -> Reply:
    """Decide an SMT-LIB script.

    Parameters
    ----------
    script : its statements, without ``(check-sat)``
    deadline : by :func:`time.monotonic`
    memory : bytes the solver may take

    Whatever happens to the solver becomes a :class:`Reply`. An interrupt ends the solver and goes on to the caller.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        return Reply("timeout")
    # A file takes whatever the solver prints about its end; a pipe could fill up, and nobody would empty it.
    with TemporaryFile() as complaints:
        try:
            child = Child("netproof.solvers.bitwuzla.worker", f"{left}", f"{memory}", complaints=complaints)
        except OSError as error:
            return Reply("unknown", reason=f"the solver's process cannot be started ({error.strerror or error})")
        with closing(child):
            try:
                answer = child.ask("".join(script), deadline + _GRACE)
            except TimeoutError:
                return Reply("timeout")
            except ChildError as death:
                complaints.seek(0)
                return Reply("unknown", reason=_cause(death, _last_line(complaints.read())), retryable=True)
    return _reply(answer, memory)


def _reply(answer: Answer, memory: int) -> Reply:
    limit = f"{memory / (1 << 20):g} MiB"
    if answer.status in ("sat", "unsat", "timeout"):
        return Reply(answer.status, answer.model)
    if answer.status == "memory":
        return Reply("unknown", reason=f"Bitwuzla reached its memory limit of {limit}")
    if answer.status == "error":
        return Reply("unknown", reason=f"Bitwuzla refuses the formula: {' '.join(answer.reason.split())[:200]}")
    return Reply("unknown", reason=f"Bitwuzla stopped without an answer, as it does at its memory limit ({limit})")


def _cause(death: ChildError, complaint: str) -> str:
    """How the solver ended, in words."""
    if not death.code:
        return "Bitwuzla's answer is cut off"
    if death.code < 0:
        hint = ", perhaps out of memory" if -death.code in (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV) else ""
        return f"Bitwuzla died ({death}{hint})"
    return f"Bitwuzla's process failed with {death}" + (f": {complaint}" if complaint else "")


def _last_line(data: bytes) -> str:
    lines = data.decode("utf-8", "replace").split("\n")
    return next((" ".join(line.split())[:200] for line in reversed(lines) if line.strip()), "")
