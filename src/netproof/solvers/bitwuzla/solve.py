"""Bitwuzla, at arm's length.

A. Niemetz, M. Preiner, *Bitwuzla*, CAV 2023. It runs in a process of its own (:mod:`.worker`), to which the script
goes through a pipe. Its own limits (``TIME_LIMIT_PER``, ``MEMORY_LIMIT``, a termination callback) are looked at
only between steps of preprocessing and while the SAT solver works, so the process is ended from here where it
overstays them, and the operating system limits its memory.
"""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

#: seconds that the solver may overstay before it is ended
_GRACE = 0.3
#: seconds beyond which the wait for the solver has no limit of its own: ``poll`` counts milliseconds in 32 bits
_LONGEST_WAIT = 1e6
_BOOT = "import sys; sys.path[:] = {path!r}; from netproof.solvers.bitwuzla.worker import main; main()"


@dataclass(frozen=True)
class Reply:
    """What the solver said.

    Attributes
    ----------
    status : ``sat``, ``unsat``, ``timeout`` or ``unknown``
    model : where ``sat``, the unsigned values of the variables by name
    reason : where there is no answer, why
    accident : the process died or its answer got lost, so that another run may do better
    """

    status: str
    model: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    accident: bool = False


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
    text = json.dumps({"seconds": left, "memory": memory}) + "\n" + "".join(script)
    # A file takes whatever the solver prints about its end; a pipe could fill up, and nobody would empty it.
    with TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _BOOT.format(path=[str(Path(p).resolve()) for p in sys.path if p])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
            )
        except OSError as error:
            return Reply("unknown", reason=f"the solver's process cannot be started ({error.strerror or error})")
        with process:
            try:
                wait = max(deadline - time.monotonic(), 0.0) + _GRACE
                out, _ = process.communicate(text.encode("utf-8"), wait if wait < _LONGEST_WAIT else None)
            except subprocess.TimeoutExpired:
                process.kill()
                return Reply("timeout")
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            complaints.seek(0)
            reason = _cause(process.returncode, _last_line(complaints.read()))
            return Reply("unknown", reason=reason, accident=True)
    return _reply(out, memory)


def _reply(out: bytes, memory: int) -> Reply:
    limit = f"{memory / (1 << 20):g} MiB"
    try:
        answer = json.loads(out)
        status = answer["status"]
        model = {str(name): int(value) for name, value in answer.get("model", {}).items()}
        complaint = str(answer.get("reason", ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Reply("unknown", reason="Bitwuzla's answer is cut off", accident=True)
    if status in ("sat", "unsat", "timeout"):
        return Reply(status, model)
    if status == "memory":
        return Reply("unknown", reason=f"Bitwuzla reached its memory limit of {limit}")
    if status == "error":
        return Reply("unknown", reason=f"Bitwuzla refuses the formula: {' '.join(complaint.split())[:200]}")
    return Reply("unknown", reason=f"Bitwuzla stopped without an answer, as it does at its memory limit ({limit})")


def _cause(code: int, complaint: str) -> str:
    """How the solver ended, in words."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = ", perhaps out of memory" if name in ("SIGKILL", "SIGABRT", "SIGSEGV") else ""
        return f"Bitwuzla died ({name}{hint})"
    return f"Bitwuzla's process failed with exit code {code}" + (f": {complaint}" if complaint else "")


def _last_line(data: bytes) -> str:
    lines = data.decode("utf-8", "replace").split("\n")
    return next((" ".join(line.split())[:200] for line in reversed(lines) if line.strip()), "")
