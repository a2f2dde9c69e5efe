"""The sets of planes and pairs that a certificate has, of those that a search had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from netproof.certificate.checker.real.bound import Cells
from netproof.certificate.checker.real.joint.sets import Sets
from netproof.certificate.checker.real.tree import Prover, Rows
from netproof.certificate.real.contents import PAIRS, PLANES, Integers, Taken, arrays_of
from netproof.certificate.real.grown.joint.pairs import made_pairs
from netproof.certificate.real.grown.joint.planes import arrays_of_planes
from netproof.certificate.real.grown.rows import Row, arrays_of_rows
from netproof.certificate.real.grown.seeds import Maker
from netproof.errors import ProofError
from netproof.result import Trace

Arrays = dict[str, list[int]]


def add_sets(maker: Maker, cells: Cells, trace: Trace, roots: Sequence[int], arrays: Arrays) -> tuple[Maker, Trace]:
    """The sets of planes and pairs that refute what is below some nodes go into ``arrays``: a maker that has them as they hold on one
    cell, and the record with the numbers that they have there, and with the pairs that are left."""
    planes, pairs = _used(trace, roots)
    if not planes and not pairs:
        return maker, trace
    adding = _Adding(maker, cells, arrays)
    numbers: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for number in planes:
        maker.deadline.look()
        found = arrays_of_planes(maker.evaluation, cells, trace.planes[number - 1])
        if adding.add(PLANES, "plane", found, ()):
            numbers[0][number] = len(numbers[0]) + 1
    kept = []
    for number in pairs:
        made = made_pairs(maker, cells, trace.pairs[number - 1])
        if adding.add(PAIRS, "pair", made.arrays, made.rows):
            numbers[1][number] = len(numbers[1]) + 1
            kept.append(made.pairs)
    refuted = {
        node: replace(one, planes=numbers[0].get(one.planes, 0), pairs=numbers[1].get(one.pairs, 0))
        if one.planes or one.pairs
        else one
        for node, one in trace.refuted.items()
    }
    return replace(maker, sets=adding.sets), replace(trace, refuted=refuted, planes=(), pairs=tuple(kept))


class _Adding:
    """Sets as stages, each of which the checker has taken."""

    def __init__(self, maker: Maker, cells: Cells, arrays: Arrays) -> None:
        self.sets = Sets(maker.source)
        self._maker, self._cells, self._arrays = maker, cells, arrays

    def add(self, rule: int, kind: str, found: Mapping[str, Integers], rows: Sequence[Row]) -> bool:
        """Whether it is one; of ``rows``, all of which it names, numbers in ``found`` are from 1."""
        maker, count = self._maker, len(found[f"{kind}_relu"])
        if not count:
            return False
        told = Rows(arrays_of_rows(rows, maker.width), maker.evaluation.network.sizes)
        prover = Prover(maker.evaluation, told, maker.source)
        prover.sets = self.sets
        try:
            self.sets.add(rule, Taken(arrays_of(**{f"{kind}_count": [count]}, **found)), prover, self._cells)
        except ProofError:
            return False
        place = [0, *(maker.table.number(row) + 1 for row in rows)]
        self._arrays["stage"].append(rule)
        self._arrays[f"{kind}_count"].append(count)
        for name, values in found.items():
            listed = values.tolist()
            self._arrays[name] += [place[one] for one in listed] if name == "pair_row" else listed
        return True


def _used(trace: Trace, roots: Sequence[int]) -> tuple[list[int], list[int]]:
    """The numbers of the sets of planes, and of pairs, by which nodes at or below some are refuted."""
    planes, pairs, stack = set(), set(), list(roots)
    while stack:
        node = stack.pop()
        if node in trace.refuted:
            planes.add(trace.refuted[node].planes)
            pairs.add(trace.refuted[node].pairs)
        elif node in trace.splits:
            stack += trace.splits[node][3:]
    return [n for n in sorted(planes) if 0 < n <= len(trace.planes)], [
        n for n in sorted(pairs) if 0 < n <= len(trace.pairs)
    ]
