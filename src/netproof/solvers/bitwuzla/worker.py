"""The process in which Bitwuzla runs: a script comes in, an answer goes out.

A process of its own because a solver may take all memory, crash, or not look at its time limit for
a while; it can then be ended without any harm.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

from netproof.processes.inside import begin, confine


class Answer(NamedTuple):
    """What came of a script; no dataclass, whose module takes as long to load as all others here.

    Attributes
    ----------
    status : ``sat``, ``unsat``, ``timeout``, ``unknown``, ``memory`` (there is not enough), or ``error`` (the script's)
    model : where ``sat``, the unsigned values of the variables by name
    reason : where ``error``, what is wrong
    """

    status: str
    model: Mapping[str, int] = {}
    reason: str = ""


def main() -> None:
    """Answer a script without ``(check-sat)``; arguments are the seconds and the bytes that it may take."""
    begun = time.monotonic()
    channel = begin(deaf=True)  # while Bitwuzla reads and prepares a formula no other thread runs
    from bitwuzla import BitwuzlaException, Option, Options, Parser, Result, TermManager

    seconds, memory = float(sys.argv[1]), int(sys.argv[2])
    confine(memory, seconds)
    options = Options()
    options.set(Option.PRODUCE_MODELS, True)
    # It takes sums apart to find common parts, which the encoding shares already, and most of the time of a large one.
    options.set(Option.PP_NORMALIZE, False)
    options.set(Option.MEMORY_LIMIT, max(1, memory >> 20))
    parser = Parser(TermManager(), options)
    late = False

    def stop() -> bool:
        nonlocal late
        late = time.monotonic() - begun >= seconds
        return late

    try:
        parser.parse(channel.receive(), False, False)
        solver = parser.bitwuzla()
        solver.configure_terminator(stop)
        result = solver.check_sat()
        answer = Answer("timeout" if late else "unknown")
        if result == Result.UNSAT:
            answer = Answer("unsat")
        elif result == Result.SAT:
            model = {v.symbol(): int(solver.get_value(v).value(10)) for v in parser.get_declared_funs()}
            answer = Answer("sat", model)
    except BitwuzlaException as error:
        answer = Answer("error", reason=str(error))
    except MemoryError:
        answer = Answer("memory")
    channel.send(answer)
    os._exit(0)  # taking a large solver apart would take its time
