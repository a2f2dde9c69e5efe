"""The process in which HiGHS runs: takes requests, gives answers.

Apart from the parent, because a solver may crash, run out of memory, or not notice the time. Loads
nothing but NumPy and highspy.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from netproof.processes.inside import begin, confine
from netproof.solvers.highs.model import Model, Solution, Status


@dataclass(frozen=True)
class Request:
    """Solve a model, as a linear program where ``relaxed``, in at most ``seconds``, to a tolerance other than HiGHS's own."""

    model: Model
    relaxed: bool
    seconds: float
    tolerance: float | None = None


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


def main() -> None:
    """Answer requests until there are no more, or the parent is gone."""
    channel = begin()
    import highspy  # noqa: F401 - before memory is confined: libraries count once

    confine(int(sys.argv[1]))
    while True:
        try:
            request = channel.receive()
        except EOFError:
            return
        channel.send(solve(request))
