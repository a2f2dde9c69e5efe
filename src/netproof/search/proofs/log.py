"""What a search proved, recorded as it goes: the raw material of a certificate.

Every subproblem is a node of a tree; a node is closed by multipliers, split in two, or has ends of
ranges cut off first. Nodes of which nothing is recorded had an empty region. Multipliers are
stored on the query's own graph, whatever smaller graph the search worked on: ``[mu, s_1, s_2, ...]`` in one row,
where ``mu`` is a single number because the search refutes one constraint at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.envelope.stored import StoredPrices
from netproof.bounds.ranges.tighten import RangeCuts
from netproof.bounds.region import Region
from netproof.conditions.conditions import ObjectiveParts, Windows
from netproof.graph.graph import Graph
from netproof.search.branching import Split
from netproof.search.integer.presolve import Presolved


@dataclass(frozen=True, eq=False)
class RecordedPrices:
    """Prices of some features of the first layer for some inputs, both as the query's own graph counts them; of the others 0."""

    features: Tensor
    inputs: Tensor
    stored: StoredPrices

    def row(self, number: int) -> RecordedPrices:
        """One row."""
        return RecordedPrices(self.features, self.inputs, self.stored.take(torch.tensor([number])))


@dataclass(frozen=True, eq=False)
class CutRecords:
    """Ends of ranges cut off at nodes.

    Attributes
    ----------
    node : ``[N]``; ``-1`` for cuts that hold whatever the case (common cuts)
    shared : whether the cuts of a node are proved by one row of multipliers, or each by its own
    group : which of the successive groups of common cuts, from 0 (0 elsewhere)
    k, feature, lower, end : ``[N]``, the activation, its feature, whether the lower end, and the new end
    row : ``[N]``, which of ``rows``
    rows, constraint : ``[M, 1 + n]`` and ``[M]``, multipliers and the constraint of the case that ``mu`` is for
    prices : of the first layer, ``M`` rows; None where these are multipliers alone
    """

    node: Tensor
    shared: bool
    group: int
    k: Tensor
    feature: Tensor
    lower: Tensor
    end: Tensor
    row: Tensor
    rows: Tensor
    constraint: Tensor
    prices: RecordedPrices | None = None


@dataclass(frozen=True, eq=False)
class LeafRecords:
    """Nodes ``[N]`` refuted by multipliers ``[N, 1 + n]`` for one constraint ``[N]`` of their case, and by prices, if any."""

    node: Tensor
    rows: Tensor
    constraint: Tensor
    prices: RecordedPrices | None = None


@dataclass(frozen=True, eq=False)
class Splits:
    """Nodes ``[N]`` split in two; ``lower`` and ``upper`` are the halves' nodes."""

    node: Tensor
    split: Split
    lower: Tensor
    upper: Tensor


@dataclass(frozen=True, eq=False)
class Multiplied:
    """What refutes nodes ``[N]``: multipliers of activations (None where there are none),
    :meth:`netproof.conditions.conditions.Conditions.objective_parts` there, and prices of the first layer, if any."""

    s: Sequence[Tensor | None]
    parts: ObjectiveParts
    prices: StoredPrices | None = None


class ProofLog:
    """The record of one query's proof.

    Parameters
    ----------
    graph : the query's own graph
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.sizes = tuple(graph.nodes[i].size for i in graph.activations)
        self.leaves: list[LeafRecords] = []
        self.splits: list[Splits] = []
        self.cuts: list[CutRecords] = []
        #: nodes whose box is a single point, by evaluation no witness
        self.points: list[Tensor] = []
        #: child of every node that has cuts of its own, apart from splits
        self.next: dict[int, int] = {}
        #: nodes whose proof is that of another case's lowest row, by that case
        self.same: dict[int, int] = {}
        #: the cases whose trees are in order form
        self.ordered: set[int] = set()
        #: case to the node of its lowest row
        self.lowest: dict[int, int] = {}
        #: case (position in the query's condition) to the root of its tree, and whether in order form
        self.roots: dict[int, int] = {}
        self.count = 0
        #: bytes that the recorded multipliers take
        self.bytes = 0
        self.groups = 0
        self._features = tuple(torch.arange(size) for size in self.sizes)
        self._inputs = torch.arange(graph.input.size)
        self._cases: Sequence[int] = ()

    def work_on(self, presolved: Presolved | None, cases: Sequence[int]) -> None:
        """From now on features are those of a presolved graph, and case ``i`` is the query's case ``cases[i]``."""
        if presolved is not None:
            self._features = tuple(presolved.kept[i] for i in self.graph.activations)
            self._inputs = presolved.kept[0]
        self._cases = cases

    def nodes(self, count: int) -> Tensor:
        """New nodes, ``[count]``."""
        self.count += count
        return torch.arange(self.count - count, self.count)

    def root(self, case: Tensor, window: Windows | None, first: Tensor | None = None) -> Tensor:
        """Nodes for the rows of :meth:`netproof.conditions.conditions.Conditions.roots`, each case's joined by splits of the range
        that was cut.

        ``window`` says how they were cut, if cases are in order form. ``first`` is
        :meth:`netproof.conditions.conditions.Conditions.first_alike`: only a case's lowest row asks the same as another's.
        """
        nodes = self.nodes(len(case))
        numbers = [self._cases[c] for c in case.tolist()]
        rows: dict[int, list[int]] = {}
        for row, number in enumerate(numbers):
            rows.setdefault(number, []).append(row)
        starts = nodes.tolist()
        lower = [] if window is None else window.lower.tolist()
        parents: list[tuple[int, int, int, int]] = []  # node, the row whose lower end splits, halves
        for number, mine in rows.items():
            if window is not None:
                self.ordered.add(number)
                mine.sort(key=lower.__getitem__)
            self.lowest[number] = starts[mine[0]]
            top = starts[mine[-1]]
            for low, high in zip(reversed(mine[:-1]), reversed(mine[1:]), strict=True):
                parents.append((self.count, high, starts[low], top))
                top = self.count
                self.count += 1
            self.roots[number] = top
        if parents and window is not None:
            node, row, low_half, high_half = torch.tensor(parents, dtype=torch.int64).T
            k = torch.full_like(node, len(self.sizes) - 1)
            self._add_split(node, Split(k, window.feature[row], window.lower[row]), low_half, high_half)
        if first is not None:
            for row in (first != torch.arange(len(first))).nonzero()[:, 0].tolist():
                self.same[int(nodes[row])] = numbers[int(first[row])]
        return nodes

    def leaf(self, node: Tensor, by: Multiplied) -> None:
        """Nodes that multipliers refute."""
        if len(node):
            rows, constraint = self._rows(len(node), by.s, by.parts)
            self.leaves.append(LeafRecords(node, rows, constraint, self._recorded(by.prices)))

    def split(self, node: Tensor, split: Split) -> Tensor:
        """Nodes split in two: the nodes of all lower halves, then of all upper halves."""
        children = self.nodes(2 * len(node))
        self._add_split(node, split, *children.chunk(2))
        return children

    def point(self, node: Tensor) -> None:
        """Nodes whose boxes are single points that are no witnesses."""
        if len(node):
            self.points.append(node)

    def reduction(self, node: Tensor, before: Region, after: Region, by: Multiplied) -> None:
        """Ranges cut at nodes by one row of multipliers each (:func:`netproof.bounds.ranges.reduce.reduce_ranges`)."""
        ks, features, lowers, ends, owners = [], [], [], [], []
        for k in range(len(self.sizes)):
            for lower, old, new in (
                (True, before.range_lower[k], after.range_lower[k]),
                (False, before.range_upper[k], after.range_upper[k]),
            ):
                owner, feature = (old != new).nonzero(as_tuple=True)
                ks.append(torch.full_like(owner, k))
                features.append(self._features[k][feature])
                lowers.append(torch.full_like(owner, int(lower)))
                ends.append(new[owner, feature])
                owners.append(owner)
        owner = torch.cat([node.new_zeros(0), *owners])
        if not len(owner):
            return
        rows, constraint = self._rows(len(node), by.s, by.parts)
        self.cuts.append(
            CutRecords(
                node[owner],
                True,
                0,
                torch.cat(ks),
                torch.cat(features),
                torch.cat(lowers).bool(),
                torch.cat(ends),
                owner,
                rows,
                constraint,
                self._recorded(by.prices),
            )
        )

    def common(self, cuts: RangeCuts, group: int) -> None:
        """Cuts that hold whatever the case; those of one group refer to the region that the groups before it leave."""
        self.groups = max(self.groups, group + 1)
        nowhere = torch.full_like(cuts.feature, -1)
        self._own_rows(cuts, nowhere, group, ObjectiveParts(cuts.weight, torch.zeros_like(cuts.feature), None))

    def child(self, node: int) -> int:
        """The node that is left of one with cuts of its own."""
        if node not in self.next:
            self.next[node] = int(self.nodes(1))
        return self.next[node]

    def conditional(self, cuts: RangeCuts, node: int, parts: ObjectiveParts) -> None:
        """Cuts at one node that need its case."""
        scaled = ObjectiveParts(
            cuts.weight * parts.weight,
            parts.constraint.expand(len(cuts.feature)),
            None if parts.shift is None else cuts.weight[:, None] * parts.shift,
        )
        self._own_rows(cuts, torch.full_like(cuts.feature, node), 0, scaled)

    def _own_rows(self, cuts: RangeCuts, node: Tensor, group: int, parts: ObjectiveParts) -> None:
        if not len(node):
            return
        rows, constraint = self._rows(len(node), cuts.s, parts)
        self.cuts.append(
            CutRecords(
                node,
                False,
                group,
                torch.full_like(cuts.feature, cuts.k),
                self._features[cuts.k][cuts.feature],
                cuts.lower,
                cuts.end,
                torch.arange(len(node)),
                rows,
                constraint,
                self._recorded(cuts.prices),
            )
        )

    def _add_split(self, node: Tensor, split: Split, lower: Tensor, upper: Tensor) -> None:
        feature = split.feature.clone()
        for k, features in enumerate((self._inputs, *self._features), start=-1):
            mine = split.k == k
            feature[mine] = features[split.feature[mine]]
        self.splits.append(Splits(node, Split(split.k.clone(), feature, split.point), lower, upper))

    def _recorded(self, prices: StoredPrices | None) -> RecordedPrices | None:
        if prices is None:
            return None
        self.bytes += prices.bytes
        return RecordedPrices(self._features[0], self._inputs, prices)

    def _rows(self, count: int, s: Sequence[Tensor | None], parts: ObjectiveParts) -> tuple[Tensor, Tensor]:
        """Multipliers ``[count, 1 + n]`` on the query's own graph."""
        rows = torch.zeros(count, 1 + sum(self.sizes), dtype=torch.float64)
        rows[:, 0] = parts.weight
        self.bytes += 8 * rows.numel()
        start = 1
        for k, (size, features) in enumerate(zip(self.sizes, self._features, strict=True)):
            known = s[k] if k < len(s) else None
            if known is not None:
                rows[:, start + features] = known.double().expand(count, -1)
            if parts.shift is not None and k == len(self.sizes) - 1:
                rows[:, start + features] += parts.shift
            start += size
        return rows, parts.constraint


class CommonCuts:
    """Listens to the tightening of ranges whatever the case; each activation's cuts are a group of their own."""

    def __init__(self, log: ProofLog) -> None:
        self._log = log
        self._k: int | None = None
        self._group = log.groups - 1

    def __call__(self, cuts: RangeCuts) -> None:
        if cuts.k != self._k:
            self._k, self._group = cuts.k, self._group + 1
        self._log.common(cuts, self._group)


class ConditionalCuts:
    """Listens to the tightening of ranges under a case, from a node on.

    The cuts of one activation belong to one node, those of the next activation to its child.
    """

    def __init__(self, log: ProofLog, node: int, parts: ObjectiveParts) -> None:
        self._log = log
        self._node = node
        self._parts = parts
        self._k: int | None = None

    def __call__(self, cuts: RangeCuts) -> None:
        if self._k is not None and cuts.k != self._k:
            self._node = self._log.child(self._node)
        self._k = cuts.k
        self._log.conditional(cuts, self._node, self._parts)

    def end(self) -> int:
        """The node that is left in the end."""
        return self._log.child(self._node)
