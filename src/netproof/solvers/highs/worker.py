"""The process in which HiGHS runs: reads requests on standard input, writes answers on standard output.

Apart from the parent, because a solver may crash, run out of memory, or not notice the time. Loads
nothing but NumPy and highspy.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import sys
import threading
import time
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from netproof.solvers.highs.model import Model, Solution, Status

#: length of a message, before it
HEADER = struct.Struct("<Q")
#: seconds between two looks at the parent
_LOOK = 0.5


@dataclass(frozen=True)
class Request:
    """Solve a model, as a linear program where ``relaxed``, in at most ``seconds``, to a tolerance other than HiGHS's own."""

    model: Model
    relaxed: bool
    seconds: float
    tolerance: float | None = None


def send(stream: IO[bytes], message: object) -> None:
    """Write one message."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(HEADER.pack(len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one message; raises ``EOFError`` where the other side has gone."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        raise EOFError
    (length,) = HEADER.unpack(header)
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)


def solve(request: Request) -> Solution:
    """Hand one model to HiGHS."""
    import highspy

    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    highs.setOptionValue("time_limit", max(request.seconds, 0.0))
    if request.tolerance is not None:
        highs.setOptionValue("primal_feasibility_tolerance", request.tolerance)
        highs.setOptionValue("dual_feasibility_tolerance", request.tolerance)
    if request.relaxed:
        # Presolve would leave no ray behind where it finds the program infeasible.
        highs.setOptionValue("presolve", "off")
        highs.setOptionValue("solver", "simplex")
    highs.passModel(_program(request))
    highs.run()
    status = highs.getModelStatus()
    kinds = highspy.HighsModelStatus
    known = {
        kinds.kOptimal: Status.OPTIMAL,
        kinds.kInfeasible: Status.INFEASIBLE,
        kinds.kTimeLimit: Status.TIME,
    }
    found = known.get(status, Status.OTHER)
    point = dual = None
    solution = highs.getSolution()
    if solution.value_valid and found is not Status.INFEASIBLE:
        point = np.array(solution.col_value)
    if request.relaxed:
        if found is Status.INFEASIBLE:
            _, exists, ray = highs.getDualRay()
            dual = np.array(ray) if exists else None
        elif solution.dual_valid:
            dual = np.array(solution.row_dual)
    nodes = int(highs.getInfo().mip_node_count)
    return Solution(found, point, dual, highs.modelStatusToString(status), max(nodes, 0))


def _program(request: Request) -> Any:
    import highspy

    model = request.model
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = len(model.cost), len(model.row_lower)
    program.col_cost_, program.col_lower_, program.col_upper_ = model.cost, model.lower, model.upper
    program.row_lower_, program.row_upper_ = model.row_lower, model.row_upper
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_ = model.start
    program.a_matrix_.index_ = model.index
    program.a_matrix_.value_ = model.value
    if not request.relaxed:
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        program.integrality_ = [kinds[int(i)] for i in model.integer]
    return program


def confine_memory(allowance: int) -> None:
    """Let this process grow by no more than ``allowance`` bytes, where the system can see to that."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource
        from pathlib import Path

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + allowance
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _end_with(parent: int) -> None:
    """End this process when its parent is gone: standard input says so only between two requests."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)


def main() -> None:
    """Answer requests until standard input ends or the parent is gone."""
    requests = sys.stdin.buffer
    # HiGHS lets other threads run meanwhile.
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # Whatever a library prints goes to standard error, not between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    import highspy  # noqa: F401 - before memory is confined: libraries count once

    confine_memory(int(sys.argv[1]))
    while True:
        try:
            request = receive(requests)
        except EOFError:
            return
        send(answers, solve(request))


if __name__ == "__main__":
    main()
