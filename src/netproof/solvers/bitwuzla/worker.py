"""The process in which Bitwuzla runs: a script and its limits come in, a JSON object goes out.

A process of its own because a solver may take all memory, crash, or not look at its time limit for
a while; it can then be ended without any harm. It imports nothing of netproof.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress

#: seconds beyond which the system is not asked to enforce the limit: it takes no number of any size, and no infinity
_LONG = 1e9


def main() -> None:
    """Read ``{"seconds": ..., "memory": ...}`` and, after that line, a script without ``(check-sat)``; answer it."""
    begun = time.monotonic()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the parent to say what Ctrl-C means
    parent = os.getppid()
    _end_with_parent()
    from bitwuzla import BitwuzlaException, Option, Options, Parser, Result, TermManager

    limits = json.loads(sys.stdin.readline())
    _limit_resources(limits["seconds"], limits["memory"])
    options = Options()
    options.set(Option.PRODUCE_MODELS, True)
    # It takes sums apart to find common parts, which the encoding shares already, and most of the time of a large one.
    options.set(Option.PP_NORMALIZE, False)
    options.set(Option.MEMORY_LIMIT, max(1, limits["memory"] >> 20))
    parser = Parser(TermManager(), options)
    late = False

    def stop() -> bool:
        nonlocal late
        late = time.monotonic() - begun >= limits["seconds"]
        return late or os.getppid() != parent  # nobody would read the answer

    answer: dict[str, object]
    try:
        parser.parse(sys.stdin.read(), False, False)
        solver = parser.bitwuzla()
        solver.configure_terminator(stop)
        result = solver.check_sat()
        answer = {"status": "timeout" if late else "unknown"}
        if result == Result.UNSAT:
            answer = {"status": "unsat"}
        elif result == Result.SAT:
            model = {v.symbol(): int(solver.get_value(v).value(10)) for v in parser.get_declared_funs()}
            answer = {"status": "sat", "model": model}
    except BitwuzlaException as error:
        answer = {"status": "error", "reason": str(error)}
    except MemoryError:
        answer = {"status": "memory"}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)  # taking a large solver apart would take its time


def _end_with_parent() -> None:
    """Have the system end this process where its parent is killed; Bitwuzla prepares a formula without asking anyone.

    Where the system cannot (it is not Linux), :func:`main`'s look at the parent has to do.
    """
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _limit_resources(seconds: float, memory: int) -> None:
    """Let the system enforce the limits too, where it can."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as stream:  # noqa: PTH123 - pathlib would be one more import
            held = int(stream.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if seconds < _LONG:
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 10, int(seconds) + 15))
