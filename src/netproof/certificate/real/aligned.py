"""The record of a search on a graph in terms of the ReLUs of a file.

Readers merge what is equal, leave out what is constant and move factors; and activations of other kinds are ReLUs to the checker. What
belongs together is found by the values at some points. Nobody has to believe it: a wrong match is a record that proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.bound import Floats
from netproof.certificate.checker.real.nodes import RealNetwork
from netproof.certificate.real.grown.bent import near
from netproof.graph.graph import Graph
from netproof.operators.activations.clip import Clip
from netproof.result import DividedEnd, Ends, PairsBeside, PlanesAbove, Trace

if TYPE_CHECKING:
    from netproof.certificate.real.contents import Integers

#: points at which values are compared, and by how much they may differ in parts of their size
_POINTS, _CLOSE = 8, 1e-7
#: the most features of either side
_MOST = 1 << 16


@dataclass(frozen=True)
class _Place:
    """Where a split of a graph's feature is in the file: ReLU, feature, the point there, and whether the sides are exchanged."""

    k: int
    feature: int
    point: float
    is_turned: bool


def aligned(
    trace: Trace, graph: Graph, network: RealNetwork, lower: Floats, upper: Floats, look: Callable[[], None]
) -> Trace:
    """A record whose ReLUs are the network's; what has no counterpart there is left out of it. Ends ``[inputs]`` are the box's;
    ``look`` is called for every feature, and may raise."""
    sizes = tuple(graph.nodes[i].size for i in graph.activations)
    if trace.sizes != sizes or sum(sizes) > _MOST or sum(network.sizes) > _MOST:
        return Trace(network.sizes, {}, {}, {}, {}, {}, trace.common)
    return _Aligned(trace, graph, network, lower, upper, look).trace()


class _Aligned:
    def __init__(
        self,
        trace: Trace,
        graph: Graph,
        network: RealNetwork,
        lower: Floats,
        upper: Floats,
        look: Callable[[], None],
    ) -> None:
        self._look = look
        self._old, self._graph, self._network = trace, graph, network
        rng = np.random.default_rng(0)
        near = lower + rng.random((_POINTS // 2, len(lower))) * (upper - lower)
        # Within a small box many values are nearly proportional; away from it they are not.
        away = lower / 2 + upper / 2 + rng.normal(size=near.shape) * (1 + abs(upper - lower))
        x = np.concatenate([near, away])
        self._operands = _operands_of_graph(graph, x)
        self._begin = np.cumsum([0, *network.sizes])
        owner = np.repeat(np.arange(len(network.sizes)), network.sizes)
        found = _operands_of_network(network, x)
        self._values = np.concatenate([np.zeros((len(x), 0)), *found], 1)
        self._owner = owner
        self._size = np.maximum(abs(self._values).max(0, initial=0.0), 1e-300)
        # Sorted by one value, in parts of the size: what is close there is looked at.
        self._key = self._values[0] / self._size
        self._order = self._key.argsort(kind="stable")
        self._sorted = self._key[self._order]
        self._number = self._numbers()

    def _match(self, values: Floats) -> tuple[int, float] | None:
        """The number of the feature whose values are these, times a positive factor; and the factor."""
        self._look()
        size = float(abs(values).max(initial=0.0))
        if not (np.isfinite(size) and size > 0):
            return None
        key = values[0] / size
        first, last = np.searchsorted(self._sorted, (key - _CLOSE, key + _CLOSE))
        at = self._order[first:last]
        off = abs(self._values[:, at] / self._size[at] - (values / size)[:, None]).max(0, initial=0.0)
        close = at[off <= _CLOSE]
        return (int(close.min()), float(self._size[close.min()]) / size) if len(close) else None

    def _numbers(self) -> Integers:
        """For every feature of the graph's activations the number of its operand in the file, -1 where there is none."""
        found = [-1] * sum(self._old.sizes)
        self._factor = np.ones(sum(self._old.sizes))
        taken: set[int] = set()
        at = 0
        for k, size in enumerate(self._old.sizes):
            for j in range(size):
                match = self._match(self._operands[k][:, j])
                if match is not None and match[0] not in taken:
                    found[at + j], self._factor[at + j] = match
                    taken.add(match[0])
            at += size
        return np.array(found, np.int64)

    def _place(self, k: int, feature: int, point: float) -> _Place | None:
        """Where a split is in the file."""
        a = self._operands[k][:, feature]
        activation = self._graph.nodes[self._graph.activations[k]].operator
        tried = [(a, point, False)]
        if isinstance(activation, Clip):
            # As the checker reads it: low + relu(a - low), and high less what that is below it.
            tried = [(a - point, 0.0, False), (point - np.maximum(a, activation.low), 0.0, True)]
        for values, where, is_turned in tried:
            match = self._match(values)
            if match is not None:
                relu = int(self._owner[match[0]])
                return _Place(relu, match[0] - int(self._begin[relu]), where * match[1], is_turned)
        return None

    def trace(self) -> Trace:
        """The record."""
        old = self._old
        splits = {}
        for node, (k, feature, point, *halves) in old.splits.items():
            place = _Place(k, feature, point, False) if k < 0 else self._place(k, feature, point)
            if place is not None:
                lower, upper = reversed(halves) if place.is_turned else halves
                splits[node] = (place.k, place.feature, place.point, lower, upper)
        return replace(
            old,
            sizes=self._network.sizes,
            splits=splits,
            open={node: self._number[numbers] for node, numbers in old.open.items()},
            ends=tuple(made for ends in old.ends if (made := self._ends(ends)) is not None),
            divided=self._divided(old.divided),
            box=(),
            planes=tuple(self._planes(planes) for planes in old.planes),
            pairs=tuple(self._pairs(pairs) for pairs in old.pairs),
        )

    def _planes(self, planes: Sequence[PlanesAbove]) -> tuple[PlanesAbove, ...]:
        """Planes of a set whose features, and whatever they are over, are there, one ReLU after the other."""
        begin = np.cumsum([0, *self._old.sizes])
        found = []
        for above in planes:
            own = begin[above.k] + above.feature
            number, factor, known = self._number[own], self._factor[own], self._number[own] >= 0
            # By columns of the file: -1 is the input, and values are those of operands.
            parts: list[tuple[Integers, Integers, Integers, Floats]] = []
            for k, row, column, value in above.onto:
                if k < 0:
                    parts.append((np.full(len(row), -1), row, column, value * factor[row]))
                    continue
                there = self._number[begin[k] + column]
                known[row[there < 0]] = False
                relu = np.where(there < 0, 0, self._owner[there])
                scaled = value * factor[row] / self._factor[begin[k] + column]
                parts.append((relu, row, there - self._begin[relu], scaled))
            owner = self._owner[number]
            for k in np.unique(owner[known]).tolist():
                kept = np.flatnonzero(known & (owner == k))
                kept = kept[number[kept].argsort(kind="stable")]
                place = np.full(len(own), -1)
                place[kept] = np.arange(len(kept))
                feature = number[kept] - self._begin[k]
                found.append(PlanesAbove(k, feature, above.right[kept], above.left[kept], _onto(parts, place)))
        return tuple(sorted(found, key=lambda one: one.k))

    def _pairs(self, pairs: Sequence[PairsBeside]) -> tuple[PairsBeside, ...]:
        """Pairs of a set of which both features are there, of one ReLU, one ReLU after the other."""
        begin = np.cumsum([0, *self._old.sizes])
        found = []
        for beside in pairs:
            own = [begin[beside.k] + feature for feature in (beside.first, beside.second)]
            (first, second), factors = ([part[one] for one in own] for part in (self._number, self._factor))
            # With two factors sums are others.
            known = (first >= 0) & (second >= 0) & (factors[0] == factors[1])
            owner = np.where(known, self._owner[first], -1)
            known &= owner == np.where(known, self._owner[second], -1)
            there = self._number[beside.open]
            columns = _ascending(there)
            for k in np.unique(owner[known]).tolist():
                kept = np.flatnonzero(known & (owner == k))
                slope, bound = beside.slope[kept][:, :, columns], beside.bound[kept] * factors[0][kept, None]
                parts = (first[kept] - self._begin[k], second[kept] - self._begin[k], there[columns])
                found.append(PairsBeside(k, *parts, slope, bound))
        return tuple(sorted(found, key=lambda one: one.k))

    def _ends(self, ends: Ends) -> Ends | None:
        begin = int(np.sum(self._old.sizes[: ends.k]))
        number = self._number[begin + ends.feature]
        kept = np.flatnonzero(number >= 0)
        relus = set(self._owner[number[kept]].tolist())
        if len(relus) != 1:
            return None
        (k,) = relus
        there = self._number[ends.open]
        columns = _ascending(there)
        slope, bound = ends.slope[np.ix_(kept, columns)], ends.bound * self._factor[begin + ends.feature]
        return Ends(k, number[kept] - self._begin[k], ends.upper[kept], there[columns], slope, bound[kept])

    def _divided(self, ends: Sequence[DividedEnd]) -> tuple[DividedEnd, ...]:
        found = []
        for end in ends:
            at = int(np.sum(self._old.sizes[: end.k])) + end.feature
            number = int(self._number[at])
            there = self._number[end.unstable]
            # Sides of what is not there would be forgotten.
            if number < 0 or (there < 0).any():
                continue
            k, columns = int(self._owner[number]), _ascending(there)
            found.append(
                DividedEnd(
                    k,
                    number - int(self._begin[k]),
                    end.upper,
                    end.bound * float(self._factor[at]),
                    there[columns],
                    end.side[:, columns],
                    end.slope[:, columns],
                    end.added[:, columns],
                )
            )
        return tuple(sorted(found, key=lambda end: end.k))


def _onto(
    parts: Sequence[tuple[Integers, Integers, Integers, Floats]], place: Integers
) -> tuple[tuple[int, Integers, Integers, Floats], ...]:
    """What planes are over, ReLU by ReLU, of those that have a place."""
    if not parts:
        return ()
    relu, row, column, value = (np.concatenate(part) for part in zip(*parts, strict=True))
    kept = place[row] >= 0
    found = []
    for k in np.unique(relu[kept]).tolist():
        mine = kept & (relu == k)
        found.append((k, place[row[mine]], column[mine], value[mine]))
    return tuple(found)


def _ascending(numbers: Integers) -> Integers:
    """The places of the numbers that are not -1, in ascending order."""
    order = numbers.argsort(kind="stable")
    return order[numbers[order] >= 0]


def _operands_of_graph(graph: Graph, x: Floats) -> list[Floats]:
    import torch

    values = graph.values(torch.from_numpy(x))
    return [values[graph.nodes[i].operands[0]].expand(len(x), -1).numpy() for i in graph.activations]


def _operands_of_network(network: RealNetwork, x: Floats) -> list[Floats]:
    values: list[NDArray[np.float64]] = [x]
    for node in network.nodes[1:]:
        operands = [values[i] for i in node.operands]
        if node.operator is None:
            values.append(near(node.bend, operands[0]))
            continue
        value = np.asarray(node.operator.forward(*operands))
        values.append(value if node.operator.offset is None else value + node.operator.offset)
    return [values[i] for i in network.operands]
