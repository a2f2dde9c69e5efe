"""The logs of several queries on one network, joined and indexed by node and case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from netproof.conditions.conditions import Conditions
from netproof.conditions.order import order_conditions
from netproof.query import Query
from netproof.search.branching import Split
from netproof.search.proofs.log import CutRecords, ProofLog, RecordedPrices


class ProofIndex:
    """What is known of every node, in one numbering of all logs' nodes.

    Attributes
    ----------
    nodes : how many
    leaf, split : ``[nodes]``, position in ``leaf_rows`` or ``splits``, or ``-1``
    is_point : ``[nodes]`` bool
    next : ``[nodes]``, what is left of a node after its own cuts, or ``-1``
    leaf_rows, leaf_constraint : multipliers ``[L, 1 + n]`` and the constraint that ``mu`` is for
    leaf_prices : prices of some of these rows, by position
    splits, children : the splits and their ``[S, 2]`` nodes
    has_own, has_shared : ``[nodes]`` bool, whether there are cuts in ``own`` or ``shared``
    own : node to its cuts that have a row of multipliers each
    shared : node to its cuts that share one row
    common : group to ``(query, cuts)``
    roots : the root of every case of every query, in order
    """

    def __init__(self, queries: Sequence[Query], logs: Sequence[ProofLog]) -> None:
        starts = np.cumsum([0] + [t.count for t in logs]).tolist()
        self.nodes = starts[-1]
        self.leaf = torch.full((self.nodes,), -1)
        self.split = torch.full((self.nodes,), -1)
        self.is_point = torch.zeros(self.nodes, dtype=torch.bool)
        self.next = torch.full((self.nodes,), -1)
        self._alias = torch.full((self.nodes,), -1)
        self.own: dict[int, list[tuple[CutRecords, Tensor]]] = {}
        self.shared: dict[int, tuple[CutRecords, Tensor]] = {}
        self.common: dict[int, list[tuple[int, CutRecords]]] = {}
        for number, (start, log) in enumerate(zip(starts, logs, strict=False)):
            self._index_nodes(start, log)
            for cuts in log.cuts:
                self._index_cuts(number, start, cuts)
        self._join(starts, logs)
        self.has_own = _marked(self.nodes, self.own)
        self.has_shared = _marked(self.nodes, self.shared)
        self.roots = torch.tensor(
            [
                start + log.roots[case]
                for query, start, log in zip(queries, starts, logs, strict=False)
                for case in range(len(query.condition))
            ],
            dtype=torch.int64,
        )

    def resolve(self, node: Tensor) -> Tensor:
        """Where the proof of nodes really is: follow references, and steps that cut nothing."""
        while True:
            onward = torch.where(self._alias[node] >= 0, self._alias[node], node)
            onward = torch.where((self.next[onward] >= 0) & ~self.has_own[onward], self.next[onward], onward)
            if torch.equal(onward, node):
                return node
            node = onward

    def _index_nodes(self, start: int, log: ProofLog) -> None:
        for single in log.points:
            self.is_point[start + single] = True
        for node, below in log.next.items():
            self.next[start + node] = start + below
        for node, case in log.same.items():
            self._alias[start + node] = start + log.lowest[case]

    def _index_cuts(self, query: int, start: int, cuts: CutRecords) -> None:
        if int(cuts.node[0]) < 0:
            self.common.setdefault(cuts.group, []).append((query, cuts))
            return
        owners, inverse, sizes = torch.unique(cuts.node, return_inverse=True, return_counts=True)
        positions = torch.split(inverse.argsort(stable=True), sizes.tolist())
        for owner, position in zip((start + owners).tolist(), positions, strict=True):
            if cuts.shared:
                self.shared[owner] = (cuts, position)
            else:
                self.own.setdefault(owner, []).append((cuts, position))

    def _join(self, starts: list[int], logs: Sequence[ProofLog]) -> None:
        none = torch.zeros(0, dtype=torch.int64)
        self.leaf_prices: dict[int, RecordedPrices] = {}
        rows, constraint = [torch.zeros(0, 1 + sum(logs[0].sizes), dtype=torch.float64)], [none]
        k, feature, point, children = [none], [none], [none.double()], [torch.zeros(0, 2, dtype=torch.int64)]
        leaves = splits = 0
        for start, log in zip(starts, logs, strict=False):
            for item in log.leaves:
                self.leaf[start + item.node] = torch.arange(leaves, leaves + len(item.node))
                if item.prices is not None:
                    self.leaf_prices.update({leaves + i: item.prices.row(i) for i in range(len(item.node))})
                rows.append(item.rows)
                constraint.append(item.constraint)
                leaves += len(item.node)
            for s in log.splits:
                self.split[start + s.node] = torch.arange(splits, splits + len(s.node))
                k.append(s.split.k)
                feature.append(s.split.feature)
                point.append(s.split.point.double())
                children.append(start + torch.stack([s.lower, s.upper], 1))
                splits += len(s.node)
        self.leaf_rows, self.leaf_constraint = torch.cat(rows), torch.cat(constraint)
        self.splits = Split(torch.cat(k), torch.cat(feature), torch.cat(point))
        self.children = torch.cat(children)


class CaseForms:
    """Every case of every query, in the form in which its tree was recorded.

    Attributes
    ----------
    query : ``[N]``, the query each case belongs to
    constraints : ``[N]``, how many constraints it has
    is_order : ``[N]`` bool
    """

    def __init__(self, queries: Sequence[Query], logs: Sequence[ProofLog]) -> None:
        graph = queries[0].network.graph
        conditions = [c for q in queries for c in q.condition]
        self.query = torch.tensor([i for i, q in enumerate(queries) for _ in q.condition], dtype=torch.int64)
        self.constraints = torch.tensor([len(c.threshold) for c in conditions], dtype=torch.int64)
        self.is_order = torch.tensor(
            [case in t.ordered for q, t in zip(queries, logs, strict=True) for case in range(len(q.condition))],
            dtype=torch.bool,
        )
        self._number = torch.zeros(len(conditions), dtype=torch.int64)
        self._cases: dict[bool, Conditions] = {}
        for form in (False, True):
            mine = (self.is_order == form).nonzero()[:, 0]
            if len(mine):
                chosen = [conditions[i] for i in mine.tolist()]
                cases = order_conditions(graph, chosen) if form else Conditions.of(graph, chosen)
                assert cases is not None
                self._number[mine] = torch.arange(len(mine))
                self._cases[form] = cases

    def of(self, case: Tensor) -> Iterator[tuple[Tensor, Conditions, Tensor]]:
        """The rows of a batch by form: rows (indices), the cases of that form, their numbers there."""
        for form, cases in self._cases.items():
            rows = (self.is_order[case] == form).nonzero()[:, 0]
            if len(rows):
                yield rows, cases, self._number[case[rows]]


def _marked(count: int, nodes: Iterable[int]) -> Tensor:
    mask = torch.zeros(count, dtype=torch.bool)
    mask[torch.tensor(list(nodes), dtype=torch.int64)] = True
    return mask
