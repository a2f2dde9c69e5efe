"""Linear programs of cells of small networks: by what multipliers a cell is refuted, and where its relaxation is farthest off.

The bound of a row, as a function of weights and multipliers, is the Lagrangian dual of a linear program: of the box, the ranges,
and of every ReLU the triangle over its range (Ehlers, ATVA 2017; Salman et al., NeurIPS 2019). So the duals of its rows are the
best row that there is. What the solver says is a hint: the checker evaluates the row.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.bound import Cells, Evaluation, Floats
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.checker.real.tree import Goal
from netproof.solvers.highs.model import ModelBuilder, Status
from netproof.solvers.highs.solve import HighsProcess, SolverError

if TYPE_CHECKING:
    from types import TracebackType

#: features of all ReLUs, and inputs, of the networks that are small, and what their solver may take
_FEATURES, _INPUTS, _MEMORY = 400, 1024, 1 << 30
#: seconds of one program at most, and of all of a network
_SECONDS, _ALL_SECONDS = 5.0, 60.0


@dataclass(frozen=True, eq=False)
class Dual:
    """What a program of a cell says.

    Attributes
    ----------
    weight : ``[m]``, of the goal's constraints, all 0 where the cell is empty
    multiplier : ``[features]``, of all ReLUs' features
    gap : ``[features]``, by how much the solution misses each ReLU; None where there is none
    """

    weight: Floats
    multiplier: Floats
    gap: Floats | None


class Programs:
    """The programs of one network; a context manager, which ends the solver's process."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._highs = HighsProcess(_MEMORY)
        self._forms: list[Floats] | None = None
        self._spent = 0.0

    def __enter__(self) -> Programs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._highs.close()

    @property
    def are_small(self) -> bool:
        """Whether the network is one of which programs are made."""
        network = self._evaluation.network
        bent = {network.nodes[i].bend for i in network.bends}
        return bent <= {RELU} and sum(network.sizes) <= _FEATURES and network.inputs <= _INPUTS

    def solved(self, cells: Cells, row: int, goal: Goal, count: int, deadline: float) -> Dual | None:
        """The program of one of several cells, whose objective is the least of a goal's ``count`` constraints."""
        low, high = (np.concatenate([np.zeros(0), *(x[row] for x in part)]) for part in (cells.low, cells.high))
        lower, upper = cells.lower[row], cells.upper[row]
        if not all(np.isfinite(ends).all() for ends in (low, high, lower, upper)):
            return None
        model = ModelBuilder()
        # Columns as in the forms: inputs, then what ReLUs give; after them their operands, and the least.
        inputs, features = len(lower), len(low)
        model.columns(lower, upper)
        results = model.columns(np.maximum(low, 0.0), np.maximum(high, 0.0))
        operands = model.columns(low, high)
        least = model.column(-1e30, 1e30, cost=-1.0)
        forms = self._known()
        network = self._evaluation.network
        first = 0
        for k, node in enumerate(network.operands):
            form = forms[node]
            for j in range(network.sizes[k]):
                at = np.flatnonzero(form[1:, j])
                column = np.append(at, operands[first + j])
                model.row(column, np.append(-form[1 + at, j], 1.0), form[0, j], form[0, j])
            first += network.sizes[k]
        for i in range(features):
            pair = [results[i], operands[i]]
            if low[i] >= 0:
                model.row(pair, [1.0, -1.0], 0.0, 0.0)
            elif high[i] > 0:
                slope = high[i] / (high[i] - low[i])
                model.row(pair, [1.0, -1.0], 0.0, math.inf)
                model.row(pair, [1.0, -slope], -math.inf, -slope * low[i])
        begin = model.row([least], [1.0], -math.inf, math.inf) + 1
        for i in range(count):
            mixture = goal.mixed(np.eye(count, dtype=np.int64)[i], 0)
            if mixture is None:
                return None
            total = np.zeros(1 + inputs + features)
            for place, feature, c in mixture.coefficients:
                total += float(c) * forms[place][:, feature]
            at = np.flatnonzero(total[1:])
            constant = float(mixture.constant) + total[0]
            model.row(np.append(at, least), np.append(-total[1 + at], 1.0), -math.inf, constant)
        begun = time.monotonic()
        until = min(deadline, begun + min(_SECONDS, _ALL_SECONDS - self._spent))
        try:
            found = self._highs.solve(model.build(), until, relaxed=True)
        except SolverError:
            return None
        finally:
            self._spent += time.monotonic() - begun
        if found.dual is None or found.status not in (Status.OPTIMAL, Status.INFEASIBLE):
            return None
        weight, multiplier = np.maximum(-found.dual[begin:], 0.0), -found.dual[:features]
        size = weight.max(initial=0.0) if found.status is Status.OPTIMAL else abs(multiplier).max(initial=0.0)
        if not size > 0:
            return None
        gap = None
        if found.point is not None and features:
            gap = found.point[results] - np.maximum(found.point[operands], 0.0)
        return Dual(weight / size, multiplier / size, gap)

    def _known(self) -> list[Floats]:
        """Every node by inputs and what ReLUs give: ``[1 + inputs + features, n]``, the constant first."""
        if self._forms is None:
            network = self._evaluation.network
            inputs, columns = network.inputs, 1 + network.inputs + sum(network.sizes)
            first = np.zeros((columns, inputs))
            first[np.arange(1, inputs + 1), np.arange(inputs)] = 1.0
            forms: list[NDArray[np.float64]] = [first]
            begin = inputs + 1
            for node in network.nodes[1:]:
                if node.operator is None:
                    form = np.zeros((columns, node.size))
                    form[np.arange(begin, begin + node.size), np.arange(node.size)] = 1.0
                    begin += node.size
                else:
                    form = np.asarray(node.operator.forward(*(forms[i] for i in node.operands)), np.float64).copy()
                    if node.operator.offset is not None:
                        form[0] += node.operator.offset
                forms.append(form)
            self._forms = forms
        return self._forms
