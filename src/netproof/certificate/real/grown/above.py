"""Planes of a certificate, from those that a search put in the place of chords, with few digits.

Nobody has to believe them: any numbers make a plane, and how high it stands the checker finds by itself, on its own ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from netproof.certificate.checker.real.bound import Cells, Evaluation, Floats, Laid
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.operators import Array
from netproof.certificate.checker.real.planes.above import Planes, Sets
from netproof.certificate.checker.real.relus import Ranges
from netproof.certificate.real.contents import PLANE_EXPONENTS, PLANES, Integers, Taken, arrays_of
from netproof.certificate.real.grown.bent import near
from netproof.errors import ProofError
from netproof.result import PlanesAbove, Trace

if TYPE_CHECKING:
    from netproof.certificate.real.grown.seeds import Maker

#: binary digits after the point, at least, and the share of its distance from a ReLU that fewer of them may add to a plane
_DIGITS, _SHARE = 10, 2.0**-12

Arrays = dict[str, list[int]]


class Watched(Planes):
    """Planes of which it is known, after a bound, in which rows they took what arrived."""

    #: rows, places among the planes, and what arrived there
    seen: tuple[Integers, Integers, Floats]

    @staticmethod
    def of(planes: Planes) -> Watched:
        """The same planes."""
        found = Watched(planes.feature, planes.offset, planes.reach, planes.onto)
        found.forget()
        return found

    def forget(self) -> None:
        """They took nothing: before a bound, which may not come to their ReLU."""
        none = np.zeros(0, np.int64)
        object.__setattr__(self, "seen", (none, none, np.zeros(0)))

    def laid(self, numbers: Float64, v: Array, ranges: Ranges) -> Laid:
        """As the checker does it."""
        found = super().laid(numbers, v, ranges)
        before, after = v[:, self.feature], found[0][:, self.feature]
        row, at = np.nonzero(before != after)
        object.__setattr__(self, "seen", (row, at, before[row, at]))
        return found

    def lift(self, values: list[Floats]) -> None:
        """Put the planes' heights in the place of the last one of the values of all nodes, where they took what arrived."""
        row, at, _ = self.seen
        values[-1][row, self.feature[at]] = self._heights(values, len(values[-1]))[row, at]

    def _heights(self, values: Sequence[Floats], rows: int) -> Floats:
        height = np.zeros((rows, len(self.feature))) + self.offset
        for node, one in self.onto.items():
            order = np.argsort(one.row, kind="stable")
            row, start = np.unique(one.row[order], return_index=True)
            products = values[node][:, one.columns[order]] * one.value[order]
            height[:, row] += np.add.reduceat(products, start, 1)
        return height


def add_planes(maker: Maker, cells: Cells, trace: Trace, roots: Sequence[int], arrays: Arrays) -> tuple[Maker, Trace]:
    """The sets of planes that refute what is below some nodes go into ``arrays``: a maker that has them as they hold on one cell, and the
    record with the numbers that they have there."""
    used = _used(trace, roots)
    if not used:
        return maker, trace
    sets, numbers = Sets(maker.source), dict[int, int]()
    for number in used:
        if not 0 < number <= len(trace.planes):
            continue
        maker.deadline.look()
        found = _arrays(maker.evaluation, cells, trace.planes[number - 1])
        if not len(found["plane_relu"]):
            continue
        try:
            sets.add(Taken(arrays_of(plane_count=[len(found["plane_relu"])], **found)), maker.evaluation, cells)
        except ProofError:
            continue
        arrays["stage"].append(PLANES)
        arrays["plane_count"].append(len(found["plane_relu"]))
        for name, values in found.items():
            arrays[name] += values.tolist()
        numbers[number] = len(numbers) + 1
    refuted = {
        node: replace(one, planes=numbers.get(one.planes, 0)) if one.planes else one
        for node, one in trace.refuted.items()
    }
    return replace(maker, sets=sets), replace(trace, refuted=refuted, planes=())


def _used(trace: Trace, roots: Sequence[int]) -> list[int]:
    """The numbers of the sets by which nodes at or below some are refuted."""
    found, stack = set(), list(roots)
    while stack:
        node = stack.pop()
        if node in trace.refuted:
            found.add(trace.refuted[node].planes)
        elif node in trace.splits:
            stack += trace.splits[node][3:]
    return sorted(found - {0})


def _arrays(evaluation: Evaluation, cells: Cells, planes: Sequence[PlanesAbove]) -> dict[str, Integers]:
    """A set as arrays."""
    network = evaluation.network
    sizes = [network.nodes[i].size for i in network.bends]
    begin = np.cumsum([0, network.inputs, *sizes])
    ends = zip(cells.low, cells.high, network.bends, strict=True)
    own = (near(network.nodes[i].bend, high[0]) - near(network.nodes[i].bend, low[0]) for low, high, i in ends)
    width = abs(np.concatenate([cells.upper[0] - cells.lower[0], *own]))
    parts: dict[str, list[Integers]] = {name: [] for name in _NAMES}
    for above in planes:
        if network.nodes[network.bends[above.k]].bend != RELU or any(k >= above.k for k, *_ in above.onto):
            continue
        row = np.concatenate([np.zeros(0, np.int64), *(one[1] for one in above.onto)])
        column = np.concatenate([np.zeros(0, np.int64), *(begin[k + 1] + at for k, _, at, _ in above.onto)])
        value = np.concatenate([np.zeros(0), *(one[3] for one in above.onto)])
        # Every entry may raise the plane by its rounding times the width of what it is over.
        reach = np.bincount(row, width[column], len(above.feature))
        low, high = cells.low[above.k][0, above.feature], cells.high[above.k][0, above.feature]
        gap = np.where((low < 0) & (high > 0), -low * high / (high - low), np.inf)
        _, power = np.frexp(reach / (_SHARE * gap))
        exponent = np.clip(power - 1, _DIGITS, PLANE_EXPONENTS).astype(np.int64)
        entry = np.rint(np.ldexp(value, exponent[row])).astype(np.int64)
        order = np.lexsort((column, row))
        order = order[entry[order] != 0]
        row, column, entry = row[order], column[order], entry[order]
        step = np.diff(column, prepend=0)
        first = np.flatnonzero(np.diff(row, prepend=-1))
        step[first] = column[first] + 1
        count = np.bincount(row, minlength=len(above.feature))
        right, left = (
            np.rint(np.ldexp(np.clip(x, 0, 1024), exponent)).astype(np.int64) for x in (above.right, above.left)
        )
        k = np.full(len(above.feature), above.k + 1, np.int64)
        entries = (k, above.feature, exponent, right, left, count, step, entry)
        for name, values in zip(_NAMES, entries, strict=True):
            parts[name].append(values)
    return {name: np.concatenate([np.zeros(0, np.int64), *some]) for name, some in parts.items()}


_NAMES = (
    "plane_relu", "plane_feature", "plane_exponent", "plane_right", "plane_left", "plane_entries", "plane_step", "plane_value",
)  # fmt: skip
