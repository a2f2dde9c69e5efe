"""Planes above ReLUs: docs/certificates.md, *Planes*.

A plane says that ``max(a, 0) <= m . h + o``, where ``a`` is one feature's operand and ``h`` are the inputs and what bends before it
give. The file has ``m``; what ``o`` has to be is found here, by the bound, on the cell of the whole box.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from netproof.certificate.checker.real.bound import (
    Alone,
    Cells,
    Evaluation,
    Floats,
    Handed,
    Index,
    Objective,
    Slopes,
)
from netproof.certificate.checker.real.curved.bends import Said
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.operators import Array
from netproof.certificate.checker.real.relus import Ranges
from netproof.certificate.real.contents import Integers, Taken
from netproof.errors import ProofError

#: what planes leave of what arrives, their share in the bound and weight in its error, and what they hand on to nodes
Laid = tuple[Array, Array, Floats, Iterator[tuple[int, Array]]]
#: entries that are not 0 of all planes of a set, and products that are added up at once
_MOST = _AT_ONCE = 1 << 22
_OF_PLANES = ("plane_relu", "plane_feature", "plane_exponent", "plane_right", "plane_left", "plane_entries")


@dataclass(frozen=True, eq=False)
class Sparse:
    """Entries of a matrix ``[m, n]``, column by column: ``row`` and ``value`` ``[e]``, and which columns have some, and from where on."""

    row: Index
    value: Floats
    column: Index
    start: Index
    width: int

    @staticmethod
    def of(row: Index, column: Index, value: Floats, width: int) -> Sparse:
        order = np.argsort(column, kind="stable")
        columns, start = np.unique(column[order], return_index=True)
        return Sparse(row[order], value[order], columns, start, width)

    @property
    def columns(self) -> Index:
        """The column of every entry."""
        return np.repeat(self.column, np.diff(np.append(self.start, len(self.row))))

    def times(self, numbers: Float64, v: Array) -> Array:
        """``v @ matrix``, ``[R, n]``."""
        found, value = numbers.load(np.zeros((len(v), self.width))), numbers.load(self.value)
        few = max(1, _AT_ONCE // len(self.row))
        for rows in (slice(at, at + few) for at in range(0, len(v), few)):
            found[rows, self.column] = np.add.reduceat(v[rows, self.row] * value, self.start, 1)
        return found


@dataclass(frozen=True, eq=False)
class Planes:
    """Planes above features ``[m]`` of one ReLU, in ascending order.

    Attributes
    ----------
    offset : ``[m]``
    reach : ``[m]``, what no partial sum of ``|m . h|`` exceeds
    onto : the matrices of ``m`` by nodes
    """

    feature: Index
    offset: Floats
    reach: Floats
    onto: Mapping[int, Sparse]

    def handed(self, numbers: Float64, v: Array, ranges: Ranges, said: Said, alone: Alone) -> Handed:
        """As :class:`netproof.certificate.checker.real.bound.Beside` has it: chords bound what planes leave."""
        left, share, weight, parts = self.laid(numbers, v, ranges)
        s, rest = alone(left, ranges, *said)
        return s, share + rest, weight, parts

    def laid(self, numbers: Float64, v: Array, ranges: Ranges) -> Laid:
        """What is left of ``v``, ``[R, n]``, where planes take what is above 0 at features whose sign is open; the planes' share of
        the bound and their weight in its error, ``[R]``, and what they hand on to nodes."""
        low, high = (ranges.each(x[:, self.feature]) for x in (ranges.low, ranges.high))
        mine = v[:, self.feature]
        is_taken = (low < 0) & (high > 0) & np.asarray(mine > 0, np.bool_)
        taken = np.where(is_taken, mine, 0 * mine)
        left = v.copy()
        left[:, self.feature] = np.where(is_taken, 0 * mine, mine)
        weight = np.zeros(len(v)) if numbers.exact else np.asarray(taken @ (self.reach + abs(self.offset)))
        parts = ((node, one.times(numbers, taken)) for node, one in self.onto.items())
        return left, taken @ numbers.load(self.offset), weight, parts


def planes_of(taken: Taken, evaluation: Evaluation, cells: Cells, source: str) -> tuple[int, dict[int, Planes]]:
    """The next set of a certificate: how many planes it has, and these by their ReLUs, made to hold on one cell; ``source`` is how
    errors call the certificate."""
    network, count = evaluation.network, taken.one("plane_count")
    relu, feature, exponent, right, left, entries = (taken.take(name, count) for name in _OF_PLANES)
    step, value = (taken.take(name, int(entries.sum())) for name in ("plane_step", "plane_value"))
    sizes = [network.nodes[i].size for i in network.bends]
    if any(not 0 < k <= len(sizes) or network.nodes[network.bends[k - 1]].bend != RELU for k in relu.tolist()):
        raise ProofError(source, "a plane names a ReLU that is not there")
    place, most = relu * max(sizes) + feature, np.array([0, *sizes])[relu]
    if (feature < 0).any() or (feature >= most).any() or (np.diff(place) <= 0).any() or len(step) > _MOST:
        problem = "planes are above features that are not there or not in ascending order, or too many"
        raise ProofError(source, problem)
    begin, owner = np.cumsum([0, network.inputs, *sizes]), np.repeat(np.arange(count), entries)
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(step)])
    column = total[1:] - total[np.cumsum(entries) - entries][owner] - 1
    if (column >= begin[relu][owner]).any():
        raise ProofError(source, "a plane is over values that are not before its ReLU")
    unit: Floats = np.ldexp(1.0, -exponent)
    planes = {}
    for k in np.unique(relu - 1).tolist():
        mine = np.flatnonzero(relu - 1 == k)
        some = slice(*np.searchsorted(owner, (mine[0], mine[-1] + 1)))
        number, onto = np.searchsorted(begin, column[some], side="right") - 1, {}
        for bend in np.unique(number).tolist():
            at = np.flatnonzero(number == bend)
            scaled = value[some][at] * unit[owner[some][at]]
            node = network.bends[bend - 1] if bend else 0
            width = network.nodes[node].size
            onto[node] = Sparse.of(owner[some][at] - mine[0], column[some][at] - begin[bend], scaled, width)
        above = _Above(evaluation, cells, k, feature[mine], onto)
        planes[k] = above.placed(right[mine] * unit[mine], left[mine] * unit[mine])
        if not np.isfinite(planes[k].offset).all():
            raise ProofError(source, "a plane has no end")
    return count, planes


@dataclass(frozen=True, eq=False)
class _Above:
    """What planes above features of ReLU ``k`` on one cell are over."""

    evaluation: Evaluation
    cells: Cells
    k: int
    feature: Integers
    onto: Mapping[int, Sparse]

    def placed(self, p: Floats, q: Floats) -> Planes:
        """The planes as low as prices of the ends of ranges say: ``max(a, 0) - m . h`` is at most the larger of
        ``(1 - p) a - m . h + p u`` and ``q a - m . h - q l``."""
        numbers, size = self.evaluation.numbers, len(self.feature)
        low, high = (numbers.load(np.where(x == 0, 0.0, end)) for x, end in ((q, self._ends[0]), (p, self._ends[1])))
        right = self._largest(1 - p, numbers.load(p) * high)
        offset, reach = np.maximum(right, self._largest(q, numbers.load(-q) * low)), np.zeros(size)
        for i, one in () if numbers.exact else self.onto.items():
            reach += np.bincount(one.row, abs(one.value) * self.cells.size[i][0, one.columns], size)
        return Planes(self.feature, offset, reach * (1 + 2.0**-20), self.onto)

    @property
    def _ends(self) -> tuple[Floats, Floats]:
        # What costs nothing may be without end.
        return self.cells.low[self.k][0, self.feature], self.cells.high[self.k][0, self.feature]

    def _largest(self, slope: Floats, constant: Array) -> Floats:
        """What ``slope a - m . h + constant`` is at most."""
        by, node, found = self.evaluation, self.evaluation.operands[self.k], np.zeros(len(slope))
        none, load = (None,) * len(by.operands), by.numbers.load
        for rows in by.portions(len(slope)):
            c = {i: load(np.zeros((len(rows), by.network.nodes[i].size))) for i in (node, *self.onto)}
            c[node][np.arange(len(rows)), self.feature[rows]] = load(slope[rows])
            for i, one in self.onto.items():
                # The operand may be one of what planes are over.
                mine = (one.row >= rows[0]) & (one.row <= rows[-1])
                c[i][one.row[mine] - rows[0], one.columns[mine]] -= load(one.value[mine])
            objective = Objective(c, constant[rows])
            flat = Slopes(none, none, np.ones(len(rows), np.bool_))
            found[rows] = by.refutations(self.cells, np.zeros(len(rows), np.int64), objective, flat)
        return found
