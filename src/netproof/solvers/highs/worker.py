"""The process in which HiGHS runs: takes requests, gives answers.

Apart from the parent, because a solver may crash, run out of memory, or not notice the time. Loads
nothing but NumPy and highspy.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netproof.processes.inside import begin, confine
from netproof.solvers.highs.model import Family, Member, Model, Solution, Status


@dataclass(frozen=True)
class Request:
    """Solve a model, as a linear program where ``relaxed``, in at most ``seconds``, to a tolerance other than HiGHS's own."""

    model: Model
    relaxed: bool
    seconds: float
    tolerance: float | None = None


@dataclass(frozen=True)
class Turn:
    """Solve members of a family one after the other, each from where the one before it ended, in at most ``seconds``.

    ``family`` is the one that members are of from now on; None where that is the last one given.
    """

    members: Sequence[Member]
    seconds: float
    family: Family | None = None
    tolerance: float | None = None


def solve(request: Request) -> Solution:
    """Hand one model to HiGHS."""
    highs = _solver(relaxed=request.relaxed, tolerance=request.tolerance)
    highs.setOptionValue("time_limit", max(request.seconds, 0.0))
    highs.passModel(_program(request.model, relaxed=request.relaxed))
    highs.run()
    return _solution(highs, relaxed=request.relaxed)


class Relatives:
    """The linear programs of one family, in one HiGHS that keeps its basis."""

    def __init__(self, family: Family, tolerance: float | None) -> None:
        self._highs = _solver(relaxed=True, tolerance=tolerance)
        self._highs.passModel(_program(family.model, relaxed=True))
        model, self._family = family.model, family
        self._now = Member(
            model.lower[family.columns],
            model.upper[family.columns],
            model.row_lower[family.rows],
            model.row_upper[family.rows],
        )

    def solve(self, member: Member, until: float) -> Solution:
        """Hand one member to HiGHS, which may work until ``time.monotonic()`` reaches ``until``."""
        highs, family, now = self._highs, self._family, self._now
        changed = (member.lower != now.lower) | (member.upper != now.upper)
        for at in changed.nonzero()[0].tolist():
            highs.changeColBounds(int(family.columns[at]), float(member.lower[at]), float(member.upper[at]))
        changed = (member.row_lower != now.row_lower) | (member.row_upper != now.row_upper)
        for at in changed.nonzero()[0].tolist():
            highs.changeRowBounds(int(family.rows[at]), float(member.row_lower[at]), float(member.row_upper[at]))
        self._now = member
        left = until - time.monotonic()
        if left <= 0:
            return Solution(Status.TIME)
        # HiGHS counts the time of all its runs.
        highs.setOptionValue("time_limit", highs.getRunTime() + left)
        highs.run()
        return _solution(highs, relaxed=True)


def _solver(*, relaxed: bool, tolerance: float | None) -> Any:
    import highspy

    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    if tolerance is not None:
        highs.setOptionValue("primal_feasibility_tolerance", tolerance)
        highs.setOptionValue("dual_feasibility_tolerance", tolerance)
    if relaxed:
        # Presolve would leave no ray behind where it finds the program infeasible.
        highs.setOptionValue("presolve", "off")
        highs.setOptionValue("solver", "simplex")
    return highs


def _solution(highs: Any, *, relaxed: bool) -> Solution:
    import highspy

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
    if relaxed:
        if found is Status.INFEASIBLE:
            _, exists, ray = highs.getDualRay()
            dual = np.array(ray) if exists else None
        elif solution.dual_valid:
            dual = np.array(solution.row_dual)
    nodes = int(highs.getInfo().mip_node_count)
    return Solution(found, point, dual, highs.modelStatusToString(status), max(nodes, 0))


def _program(model: Model, *, relaxed: bool) -> Any:
    import highspy

    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = len(model.cost), len(model.row_lower)
    program.col_cost_, program.col_lower_, program.col_upper_ = model.cost, model.lower, model.upper
    program.row_lower_, program.row_upper_ = model.row_lower, model.row_upper
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_ = model.start
    program.a_matrix_.index_ = model.index
    program.a_matrix_.value_ = model.value
    if not relaxed:
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        program.integrality_ = [kinds[int(i)] for i in model.integer]
    return program


def main() -> None:
    """Answer requests until there are no more, or the parent is gone."""
    channel = begin()
    import highspy  # noqa: F401 - before memory is confined: libraries count once

    confine(int(sys.argv[1]))
    relatives: Relatives | None = None
    while True:
        try:
            request = channel.receive()
        except EOFError:
            return
        if isinstance(request, Request):
            channel.send(solve(request))
            continue
        until = time.monotonic() + request.seconds
        if request.family is not None:
            relatives = Relatives(request.family, request.tolerance)
        assert relatives is not None
        channel.send([relatives.solve(member, until) for member in request.members])
