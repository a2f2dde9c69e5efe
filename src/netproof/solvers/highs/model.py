"""A mixed-integer linear program and what a solver says of it, as plain arrays.

Nothing here knows of networks or of a particular solver; these are the objects that travel to the
solver's process and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Model:
    """Minimize ``cost . x`` subject to ``row_lower <= A x <= row_upper`` and ``lower <= x <= upper``.

    Attributes
    ----------
    cost, lower, upper : ``[n]``
    integer : ``[n]`` bool, the columns that are integers
    row_lower, row_upper : ``[m]``
    start, index, value : ``A`` by rows: row ``i`` has ``index[start[i]:start[i + 1]]``; ``start`` is ``[m + 1]``
    """

    cost: Floats
    lower: Floats
    upper: Floats
    integer: NDArray[np.bool_]
    row_lower: Floats
    row_upper: Floats
    start: Indices
    index: Indices
    value: Floats


class Status(str, Enum):
    """What a solver says, in floating point: a hint, never evidence."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    TIME = "time limit"
    OTHER = "other"


@dataclass(frozen=True, eq=False)
class Solution:
    """A solver's answer.

    Attributes
    ----------
    status : what it says
    point : ``[n]`` where it gives one
    dual : ``[m]``, of a linear program: the rows' dual values, or where it is infeasible the rows' part of a ray
    detail : the solver's own word for ``OTHER``
    nodes : of its own branch and bound
    """

    status: Status
    point: Floats | None = None
    dual: Floats | None = None
    detail: str = ""
    nodes: int = 0


@dataclass(frozen=True, eq=False)
class Family:
    """Linear programs that differ in the ends of some columns and rows.

    Attributes
    ----------
    model : with any ends there
    columns, rows : numbers of those columns ``[c]`` and rows ``[r]``
    """

    model: Model
    columns: Indices
    rows: Indices


@dataclass(frozen=True, eq=False)
class Member:
    """One program of a family: ends ``[c]`` of its columns, and ``[r]`` of its rows."""

    lower: Floats
    upper: Floats
    row_lower: Floats
    row_upper: Floats


class ModelBuilder:
    """Collects columns and rows."""

    def __init__(self) -> None:
        self._lower: list[float] = []
        self._upper: list[float] = []
        self._integer: list[bool] = []
        self._cost: list[float] = []
        self._row_lower: list[float] = []
        self._row_upper: list[float] = []
        self._start: list[int] = [0]
        self._index: list[NDArray[np.int64]] = []
        self._value: list[Floats] = []

    def column(self, lower: float, upper: float, *, integer: bool = False, cost: float = 0.0) -> int:
        """Append a column and return its number."""
        self._lower.append(lower)
        self._upper.append(upper)
        self._integer.append(integer)
        self._cost.append(cost)
        return len(self._lower) - 1

    def columns(self, lower: Floats, upper: Floats, *, integer: bool = False) -> NDArray[np.int64]:
        """Append columns and return their numbers."""
        first = len(self._lower)
        self._lower.extend(lower.tolist())
        self._upper.extend(upper.tolist())
        self._integer.extend([integer] * len(lower))
        self._cost.extend([0.0] * len(lower))
        return np.arange(first, len(self._lower))

    def row(self, index: NDArray[np.int64] | list[int], value: Floats | list[float], lower: float, upper: float) -> int:
        """Append ``lower <= value . x[index] <= upper`` (no column twice) and return its number."""
        self._index.append(np.asarray(index, np.int64))
        self._value.append(np.asarray(value, np.float64))
        self._start.append(self._start[-1] + len(self._index[-1]))
        self._row_lower.append(lower)
        self._row_upper.append(upper)
        return len(self._row_lower) - 1

    def fix(self, column: int, value: float) -> None:
        """Fix a column at one value."""
        self._lower[column] = self._upper[column] = value

    def build(self) -> Model:
        return Model(
            np.array(self._cost, np.float64),
            np.array(self._lower, np.float64),
            np.array(self._upper, np.float64),
            np.array(self._integer, np.bool_),
            np.array(self._row_lower, np.float64),
            np.array(self._row_upper, np.float64),
            np.array(self._start, np.int32),
            np.concatenate([np.empty(0, np.int64), *self._index]).astype(np.int32),
            np.concatenate([np.empty(0), *self._value]),
        )
