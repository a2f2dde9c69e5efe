"""From the records of searches to the proofs that certificates hold (docs/certificates.md).

The recorded trees are gone through once more, level by level, with the closure that a checker
makes. On the way multipliers lose the digits that they do not need, subtrees of regions that turn
out empty are dropped, and so are all range cuts that no leaf needs: the trees are first tried
without them, then with those above what failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.bounds.dual import DualPoint
from netproof.bounds.envelope.bound import EnvelopePoint
from netproof.bounds.envelope.layer import first_layer
from netproof.bounds.envelope.reduce import envelope_cuts_hold
from netproof.bounds.ranges.reduce import cuts_hold
from netproof.bounds.region import Region, box_region, propagate_intervals
from netproof.query import Query
from netproof.rows import Rows
from netproof.search.branching import Split, split_regions
from netproof.search.proofs.digits import CUT_BITS, LEAF_BITS, PRICED_BITS, Proves, Rounded, refutes, round_rows
from netproof.search.proofs.index import CaseForms, ProofIndex
from netproof.search.proofs.log import CutRecords, ProofLog, RecordedPrices
from netproof.search.proofs.written import Made, RoundedRows, Written

#: nodes gone through at once
_ROWS = 1024
#: rows with prices rounded at once
_PRICED_ROWS = 8
_EMPTY, _LEAF, _CUT, _SPLIT, _POINTS = range(5)
#: tries: without cuts that share a row, with those above failures, with all of them
_TRIES = 3
#: how far the end of a cut is taken back, in shares of what it cuts off, where its multipliers do not prove it: of ranges that are
#: far wider than what is left of them the evaluation is coarser on what is cut off than it was on the whole
_BACK = (0.0, 2.0**-12, 2.0**-6)


class ProofGap(Exception):  # noqa: N818 - not an error of the input's
    """The record of a search does not add up to a proof: a defect of netproof."""


def prove(queries: Sequence[Query], logs: Sequence[ProofLog]) -> list[dict[str, NDArray[np.int64]]]:
    """Proofs of ``unsat`` for queries on one network from their logs: the arrays of docs/certificates.md
    from ``form`` on.

    Raises
    ------
    ProofGap : a record that is no proof
    """
    return _Assembly(queries, logs).proofs()


@dataclass(frozen=True, eq=False)
class _Level(Rows):
    """Nodes to go through, in the order of the file.

    Attributes
    ----------
    node, case : ``[N]``
    after : ``[N]`` bool, whether the cuts that share a row have been made
    parent : ``[N]``, the parent's place in the history; ``-1`` for roots
    region : what the nodes stand for, ``N`` rows
    """

    node: Tensor
    case: Tensor
    after: Tensor
    parent: Tensor
    region: Region

    def __len__(self) -> int:
        return len(self.node)


@dataclass(frozen=True, eq=False)
class _Reductions:
    """CutRecords that share a row, as the ranges they leave; rows of a level that have none keep theirs."""

    lowers: list[Tensor]
    uppers: list[Tensor]
    effective: Tensor


class _Assembly:
    def __init__(self, queries: Sequence[Query], logs: Sequence[ProofLog]) -> None:
        self._queries = queries
        self._graph = queries[0].network.graph
        self._layer = first_layer(self._graph)
        self._forms = CaseForms(queries, logs)
        self._index = ProofIndex(queries, logs)
        self._written = [Written() for _ in queries]
        #: nodes whose shared cuts are made
        self._used = torch.zeros(self._index.nodes, dtype=torch.bool)
        self._history: list[tuple[Tensor, Tensor, Tensor]] = []
        self._failed: list[Tensor] = []

    def proofs(self) -> list[dict[str, NDArray[np.int64]]]:
        base = self._common_cuts()
        common = [w.copy() for w in self._written]
        todo = list(range(len(self._queries)))
        for _ in range(_TRIES):
            todo = self._go_through(base, todo)
            if not todo:
                return [self._arrays(query) for query in range(len(self._queries))]
            for query in todo:
                self._written[query] = common[query].copy()
        raise ProofGap(f"{len(todo)} of {len(self._queries)} records are no proofs: {self._queries[todo[0]].name}")

    def _common_cuts(self) -> Region:
        """Make the common cuts: the regions that they leave, one row per query."""
        lower, upper = torch.stack([q.lower for q in self._queries]), torch.stack([q.upper for q in self._queries])
        base = box_region(self._graph, lower, upper)
        for group in sorted(self._index.common):
            lowers, uppers = [r.clone() for r in base.range_lower], [r.clone() for r in base.range_upper]
            for query, cuts in self._index.common[group]:
                # Which case does not matter: its weight is 0.
                case = (self._forms.query == query).nonzero()[:1, 0]
                if not len(case):
                    continue  # a network of one output: nothing to prove
                region = base.take(torch.tensor([query]))
                made = self._own_cuts(query, case, region, [(cuts, torch.arange(len(cuts.node)))])
                self._written[query].cuts += made
                self._written[query].common.append(len(made))
                _apply(made, lowers, uppers, query)
            base = propagate_intervals(self._graph, replace(base, range_lower=tuple(lowers), range_upper=tuple(uppers)))
        return base

    def _go_through(self, base: Region, todo: list[int]) -> list[int]:
        """Write the trees of some queries; returns those that failed, more of whose cuts are marked now."""
        self._history, self._failed = [], []
        case = torch.isin(self._forms.query, torch.tensor(todo)).nonzero()[:, 0]
        at_root = torch.full_like(case, -1)
        start = base.take(self._forms.query[case])
        level = _Level(self._index.roots[case], case, torch.zeros(len(case), dtype=torch.bool), at_root, start)
        entries = 0
        while len(level):
            below = []
            for rows in torch.split(torch.arange(len(level)), _ROWS):
                part = level if len(rows) == len(level) else level.take(rows)
                part = replace(part, node=self._index.resolve(part.node))
                self._history.append((part.node, part.parent, self._forms.query[part.case]))
                below.append(self._write(part, entries))
                entries += len(rows)
            level = _Level.concatenate(below)
        return self._mark_failed()

    def _mark_failed(self) -> list[int]:
        if not sum(len(f) for f in self._failed):
            return []
        node, parent, query = (torch.cat(parts) for parts in zip(*self._history, strict=True))
        at = torch.cat(self._failed)
        failed = torch.unique(query[at])
        before = int(self._used.sum())
        while len(at):
            self._used[node[at]] |= self._index.has_shared[node[at]]
            at = torch.unique(parent[at])
            at = at[at >= 0]
        if int(self._used.sum()) == before:
            self._used |= self._index.has_shared
        queries: list[int] = failed.tolist()
        return queries

    def _write(self, part: _Level, first: int) -> _Level:
        """Write nodes, and prepare their children; ``first`` is the place in the history of the first."""
        index = self._index
        query = self._forms.query[part.case]
        kind = torch.full((len(part),), _EMPTY)
        alive, region = self._close(part)
        live = _Level(part.node[alive], part.case[alive], part.after[alive], part.parent[alive], region)
        node = live.node
        own = index.has_own[node]
        reductions = self._reductions(live, index.has_shared[node] & self._used[node] & ~live.after & ~own)
        shared = reductions.effective
        split = ~own & ~shared & (index.split[node] >= 0)
        leaf = ~own & ~shared & ~split & (index.leaf[node] >= 0)
        points = ~own & ~shared & ~split & ~leaf & index.is_point[node]
        self._failed.append(first + alive[~(own | shared | split | leaf | points)])
        for mask, number in ((own | shared, _CUT), (split, _SPLIT), (leaf, _LEAF), (points, _POINTS)):
            kind[alive[mask]] = number
        for number in torch.unique(query).tolist():
            self._written[number].kind += kind[query == number].tolist()
        leaves = leaf.nonzero()[:, 0]
        self._failed.append(first + alive[leaves[~self._write_leaves(live.take(leaves))]])
        cut = (own | shared).nonzero()[:, 0]
        after_cuts = self._write_cuts(live.take(cut), own[cut], _rows_of(reductions, cut))
        halves = split.nonzero()[:, 0]
        after_splits = self._write_splits(live.take(halves))
        children = _Level.concatenate([after_cuts, after_splits])
        # Children come in the order of their parents, lower halves before upper ones.
        where = torch.cat([2 * cut, 2 * halves, 2 * halves + 1])
        owner = torch.cat([cut, halves, halves])
        order = where.argsort()
        return replace(children, parent=first + alive[owner]).take(order)

    def _close(self, part: _Level) -> tuple[Tensor, Region]:
        """Closures: the rows whose regions are not empty, and these."""
        rows, regions = [], []
        for mine, cases, number in self._forms.of(part.case):
            whole = part.region if len(mine) == len(part) else part.region.take(mine)
            alive, region = cases.confined(number, whole)
            rows.append(mine[alive])
            regions.append(region)
        if len(rows) == 1:
            return rows[0], regions[0]
        row = torch.cat(rows)
        order = row.argsort()
        return row[order], Region.concatenate(regions).take(order)

    def _reductions(self, live: _Level, wanted: Tensor) -> _Reductions:
        region = live.region
        lowers, uppers = [r.clone() for r in region.range_lower], [r.clone() for r in region.range_upper]
        for row in wanted.nonzero()[:, 0].tolist():
            cuts, which = self._index.shared[int(live.node[row])]
            for k in range(len(lowers)):
                for is_lower, ends, narrower in ((True, lowers[k], torch.maximum), (False, uppers[k], torch.minimum)):
                    mine = which[(cuts.k[which] == k) & (cuts.lower[which] == is_lower)]
                    feature = cuts.feature[mine]
                    ends[row, feature] = narrower(ends[row, feature], cuts.end[mine])
        effective = torch.zeros(len(live), dtype=torch.bool)
        for k in range(len(lowers)):
            effective |= (lowers[k] > region.range_lower[k]).any(-1) | (uppers[k] < region.range_upper[k]).any(-1)
        return _Reductions(lowers, uppers, effective)

    def _write_leaves(self, leaves: _Level) -> Tensor:
        """Write the multipliers of leaves; which of them are proved."""
        at = self._index.leaf[leaves.node]
        constraint = self._constraint(leaves.case, self._index.leaf_constraint[at])
        prices = [self._index.leaf_prices.get(i) for i in at.tolist()]
        rows = self._index.leaf_rows[at]
        rounded = self._round(leaves.case, constraint, leaves.region, rows, (LEAF_BITS, refutes), prices)
        query = self._forms.query[leaves.case]
        for number in torch.unique(query).tolist():
            written, mine = self._written[number], (query == number).nonzero()[:, 0]
            written.leaf_row += written.add_rows(rounded, mine, constraint)
        return rounded.proved

    def _write_cuts(self, level: _Level, own: Tensor, reductions: _Reductions) -> _Level:
        """Write nodes with cuts; their children."""
        lowers, uppers = [r.clone() for r in level.region.range_lower], [r.clone() for r in level.region.range_upper]
        shared = (~own).nonzero()[:, 0]
        made_shared = self._shared_cuts(level.take(shared), _rows_of(reductions, shared))
        made_by_row = dict(zip(shared.tolist(), made_shared, strict=True))
        for row in range(len(level)):
            query = int(self._forms.query[level.case[row]])
            if row in made_by_row:
                made = made_by_row[row]
            else:
                at = torch.tensor([row])
                cuts = self._index.own[int(level.node[row])]
                made = self._own_cuts(query, level.case[at], level.region.take(at), cuts)
            self._written[query].cut_count.append(len(made))
            self._written[query].cuts += made
            _apply(made, lowers, uppers, row)
        region = replace(level.region, range_lower=tuple(lowers), range_upper=tuple(uppers))
        node = torch.where(own, self._index.next[level.node], level.node)
        return replace(level, node=node, after=~own, region=region)

    def _shared_cuts(self, level: _Level, reductions: _Reductions) -> list[list[Made]]:
        """Write one row of multipliers per node, which proves all of its cuts; the cuts of each."""
        if not len(level):
            return []
        picked = [(cuts, int(which[0])) for cuts, which in (self._index.shared[n] for n in level.node.tolist())]
        rows = torch.stack([cuts.rows[cuts.row[i]] for cuts, i in picked])
        constraint = self._constraint(level.case, torch.stack([cuts.constraint[cuts.row[i]] for cuts, i in picked]))

        def proves(which: Tensor, point: DualPoint | EnvelopePoint) -> Tensor:
            ends = [r[which] for r in reductions.lowers], [r[which] for r in reductions.uppers]
            if isinstance(point, DualPoint):
                return cuts_hold(point, *ends)
            assert self._layer is not None
            box = self._layer.on_box(point.above.region.lower[:1], point.above.region.upper[:1])
            return envelope_cuts_hold(box, point, *ends)

        prices = [None if cuts.prices is None else cuts.prices.row(int(cuts.row[i])) for cuts, i in picked]
        rounded = self._round(level.case, constraint, level.region, rows, (CUT_BITS, proves), prices)
        result = []
        for i, query in enumerate(self._forms.query[level.case].tolist()):
            made: list[Made] = []
            if bool(rounded.proved[i]):
                (number,) = self._written[query].add_rows(rounded, torch.tensor([i]), constraint)
                for k in range(len(reductions.lowers)):
                    for side, old, new in (
                        (0, level.region.range_lower[k][i], reductions.lowers[k][i]),
                        (1, level.region.range_upper[k][i], reductions.uppers[k][i]),
                    ):
                        feature = (new != old).nonzero()[:, 0]
                        made += [
                            (k + 1, f, side, int(e), number)
                            for f, e in zip(feature.tolist(), new[feature].tolist(), strict=True)
                        ]
            result.append(made)
        return result

    def _own_cuts(self, query: int, case: Tensor, region: Region, parts: list[tuple[CutRecords, Tensor]]) -> list[Made]:
        """Write cuts of a region of one row that have a row of multipliers each."""
        made: list[Made] = []
        for cuts, which in parts:
            k, feature, lower, end = cuts.k[which], cuts.feature[which], cuts.lower[which], cuts.end[which]
            level = int(k[0])  # the cuts of one part are of one activation
            low, high = region.range_lower[level][0, feature], region.range_upper[level][0, feature]
            # A range that cannot be at all may have been cut by more than it is long.
            end = torch.where(lower, torch.minimum(end, high + 1), torch.maximum(end, low - 1))
            old = torch.where(lower, low, high)
            left = torch.arange(len(end))
            for share in _BACK:
                step = torch.ceil((end[left] - old[left]).abs() * share)
                end[left] += torch.where(lower[left], -step, step)
                left = left[torch.where(lower[left], end[left] > old[left], end[left] < old[left])]
                if not len(left):
                    break
                row = cuts.row[which[left]]
                left_out = _left_out(region, level, feature[left], lower[left], end[left])
                cases = case.expand(len(row))
                constraint = self._constraint(cases, cuts.constraint[row])
                prices = [None if cuts.prices is None else cuts.prices.row(int(i)) for i in row]
                rounded = self._round(cases, constraint, left_out, cuts.rows[row], (CUT_BITS, refutes), prices)
                proved = rounded.proved.nonzero()[:, 0]
                numbers = self._written[query].add_rows(rounded, proved, constraint)
                at = left[proved]
                made += [
                    (level + 1, f, int(not is_lower), int(e), number)
                    for f, is_lower, e, number in zip(
                        feature[at].tolist(), lower[at].tolist(), end[at].tolist(), numbers, strict=True
                    )
                ]
                left = left[~rounded.proved]
        return made

    def _write_splits(self, level: _Level) -> _Level:
        """Write splits; all lower halves, then all upper halves."""
        index = self._index
        at = index.split[level.node]
        split = Split(index.splits.k[at], index.splits.feature[at], index.splits.point[at])
        rows = zip((split.k + 1).tolist(), split.feature.tolist(), split.point.long().tolist(), strict=True)
        for query, row in zip(self._forms.query[level.case].tolist(), rows, strict=True):
            self._written[query].splits.append(row)
        twice = level.take(torch.arange(len(level)).repeat(2))
        region = split_regions(self._graph, level.region, split) if len(level) else twice.region
        node = index.children[at].T.reshape(-1)
        return replace(twice, node=node, after=torch.zeros_like(twice.after), region=region)

    def _constraint(self, case: Tensor, constraint: Tensor) -> Tensor:
        # Beyond a case's own constraints its last one is repeated.
        return torch.minimum(constraint, self._forms.constraints[case] - 1)

    def _round(
        self,
        case: Tensor,
        constraint: Tensor,
        region: Region,
        rows: Tensor,
        aim: tuple[Sequence[int], Proves],
        prices: Sequence[RecordedPrices | None] = (),
    ) -> RoundedRows:
        bits, proves = aim
        result = Rounded.nothing(rows)
        made: dict[int, Tensor] = {}
        priced = torch.zeros(len(rows), dtype=torch.bool)
        if prices:
            priced = torch.tensor([p is not None for p in prices], dtype=torch.bool)
        for mine, cases, number in self._forms.of(case):
            plain, with_prices = (~priced[mine]).nonzero()[:, 0], priced[mine].nonzero()[:, 0]
            # Rows with prices are evaluated on one box.
            at_once = _PRICED_ROWS if region.lower.shape[0] == 1 else 1
            for at in (plain, *torch.split(with_prices, at_once)):
                some = mine[at]
                if not len(some):
                    continue

                def of_some(which: Tensor, point: DualPoint | EnvelopePoint, some: Tensor = some) -> Tensor:
                    return proves(some[which], point)

                part = region.take(some)
                about = (cases, number[at], constraint[some], part, rows[some])
                if bool(priced[some[0]]):
                    assert self._layer is not None
                    given = torch.stack([self._prices(prices[i]) for i in some.tolist()])
                    box = self._layer.on_box(part.lower[:1], part.upper[:1])
                    rounded = round_rows(*about, PRICED_BITS, of_some, (box, given))
                    assert rounded.prices is not None
                    made.update(zip(some.tolist(), rounded.prices, strict=True))
                else:
                    rounded = round_rows(*about, bits, of_some)
                result.put(some, rounded)
        return RoundedRows(result.units, result.exponent, result.proved, made)

    def _prices(self, recorded: RecordedPrices | None) -> Tensor:
        """Prices on the queries' own graph, ``[m, n]``."""
        assert recorded is not None and self._layer is not None
        full = torch.zeros(self._layer.weight.shape, dtype=torch.float64)
        full[recorded.features[:, None], recorded.inputs] = recorded.stored.values(torch.float64)[0]
        return full

    def _arrays(self, query: int) -> dict[str, NDArray[np.int64]]:
        mine = self._forms.query == query
        most = max(self._forms.constraints[mine].tolist(), default=1)
        asked, matters = self._queries[query], None
        if self._layer is not None:
            matters = (self._layer.weight != 0) & (asked.lower < asked.upper)
        return self._written[query].arrays(self._graph, self._forms.is_order[mine], most, matters)


def _rows_of(reductions: _Reductions, rows: Tensor) -> _Reductions:
    return _Reductions(
        [r[rows] for r in reductions.lowers], [r[rows] for r in reductions.uppers], reductions.effective[rows]
    )


def _left_out(region: Region, k: int, feature: Tensor, lower: Tensor, end: Tensor) -> Region:
    """The region of one row once per cut, with the feature's range confined to what the cut leaves out."""
    rows = torch.arange(len(feature))
    wide = region.take(torch.zeros_like(rows))
    low, high = wide.range_lower[k].clone(), wide.range_upper[k].clone()
    high[rows, feature] = torch.where(lower, end - 1, high[rows, feature])
    low[rows, feature] = torch.where(lower, low[rows, feature], end + 1)
    return wide.with_range(k, low, high)


def _apply(made: list[Made], lowers: list[Tensor], uppers: list[Tensor], row: int) -> None:
    for activation, feature, side, end, _ in made:
        (lowers, uppers)[side][activation - 1][row, feature] = end
