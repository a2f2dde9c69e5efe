"""Small linear programs in rational numbers: the dual simplex method with bounded variables.

Lemke's method (*The dual method of solving the linear programming problem*, Naval Research Logistics Quarterly 1954) on a
dictionary: every basic variable, and the objective, as an affine function of the nonbasic ones, each of which is at one of
its ends. Whatever the pivots, these are identities, so the largest value that the objective's own row can have within the
ends is an upper bound of the program: it is valid at every step, and optimal at the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from netproof.effort.bounding import RATIONAL

ZERO = Fraction(0)


#: looked at between rows: fractions grow as they are computed with. Raises :class:`OutOfTimeError` where time is over
Look = Callable[[], None]


class OutOfTimeError(Exception):
    """Nothing was found in the time that there was."""


def no_limit() -> None:
    """A look at no clock."""


@dataclass(frozen=True)
class Line:
    """``slope . x + constant``."""

    slope: tuple[Fraction, ...]
    constant: Fraction

    def __add__(self, other: Line) -> Line:
        slope = tuple(a + b for a, b in zip(self.slope, other.slope, strict=True))
        return Line(slope, self.constant + other.constant)

    def times(self, factor: Fraction) -> Line:
        """The line multiplied by a number."""
        return Line(tuple(factor * a for a in self.slope), factor * self.constant)


def is_refuted(
    objective: Line,
    at_least_zero: Sequence[Line],
    box: Sequence[tuple[Fraction, Fraction]],
    *,
    strict: bool,
    look: Look = no_limit,
) -> bool:
    """Whether no point of a box at which some lines are at least 0 has an objective of at least 0, or, where ``strict``,
    of more than 0. False also where that takes too many steps; raises :class:`OutOfTimeError` as ``look`` does."""
    return _Dictionary(objective, at_least_zero, box, look).refuted(strict)


class _Dictionary:
    """Rows ``[constant, coefficients of nonbasic variables]``; variables are the inputs, then one slack for each line."""

    def __init__(
        self, objective: Line, lines: Sequence[Line], box: Sequence[tuple[Fraction, Fraction]], look: Look
    ) -> None:
        self._look = look
        self._ends: list[tuple[Fraction, Fraction | None]] = [*box, *((ZERO, None) for _ in lines)]
        self._nonbasic = list(range(len(box)))
        self._basic = [len(box) + i for i in range(len(lines))]
        self._rows = [[line.constant, *line.slope] for line in lines]
        self._objective = [objective.constant, *objective.slope]

    def refuted(self, strict: bool) -> bool:
        for _ in range(RATIONAL.pivots):
            bound = self._bound()
            if bound is not None and (bound < 0 or (strict and bound == 0)):
                return True
            violated = self._violated()
            if violated is None:
                return False  # a point attains the bound
            row, lift = violated
            column = self._entering(row, lift)
            if column is None:
                return True  # the row cannot come into its ends: there is no point
            self._pivot(row, column)
        return False

    def _at(self, j: int) -> Fraction:
        """Where the ``j``-th nonbasic variable is: at the end that the objective prefers."""
        low, high = self._ends[self._nonbasic[j]]
        return high if self._objective[1 + j] > 0 and high is not None else low

    def _value(self, row: Sequence[Fraction]) -> Fraction:
        return row[0] + sum((a * self._at(j) for j, a in enumerate(row[1:]) if a), ZERO)

    def _bound(self) -> Fraction | None:
        """The largest value of the objective's row within the ends of its variables; None where it has none."""
        for j, a in enumerate(self._objective[1:]):
            if a > 0 and self._ends[self._nonbasic[j]][1] is None:
                return None
        return self._value(self._objective)

    def _violated(self) -> tuple[int, bool] | None:
        """A row whose variable is outside its ends, and whether it has to rise; the one of the smallest variable."""
        for i in sorted(range(len(self._rows)), key=lambda i: self._basic[i]):
            self._look()
            low, high = self._ends[self._basic[i]]
            value = self._value(self._rows[i])
            if value < low:
                return i, True
            if high is not None and value > high:
                return i, False
        return None

    def _entering(self, i: int, lift: bool) -> int | None:
        """The nonbasic variable to move for row ``i``, by the ratio test; None where moving all of them is not enough."""
        best: tuple[Fraction, int, int] | None = None
        for j, a in enumerate(self._rows[i][1:]):
            low, high = self._ends[self._nonbasic[j]]
            if not a or low == high:
                continue
            at_high = high is not None and self._at(j) == high
            rises = (a > 0) != at_high
            if rises == lift:
                candidate = (abs(self._objective[1 + j] / a), self._nonbasic[j], j)
                best = candidate if best is None else min(best, candidate)
        return None if best is None else best[2]

    def _pivot(self, i: int, j: int) -> None:
        """Exchange the basic variable of row ``i`` and the ``j``-th nonbasic one."""
        row, a = self._rows[i], self._rows[i][1 + j]
        solved = [-c / a for c in row]
        solved[1 + j] = 1 / a
        self._rows[i] = solved
        for k, other in enumerate(self._rows):
            if k != i:
                self._look()
                self._rows[k] = _put(other, 1 + j, solved)
        self._objective = _put(self._objective, 1 + j, solved)
        self._basic[i], self._nonbasic[j] = self._nonbasic[j], self._basic[i]


def _put(row: list[Fraction], at: int, solved: list[Fraction]) -> list[Fraction]:
    """A row with the variable at a position replaced by what it equals."""
    factor = row[at]
    if not factor:
        return row
    return [factor * s + (c if k != at else ZERO) for k, (c, s) in enumerate(zip(row, solved, strict=True))]
