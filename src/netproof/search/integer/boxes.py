"""Halving the box of a query, where its inputs are few and the graph is so large that bounding ranges takes long.

Bounding the range of every feature of a network of convolutions takes two bounds for each of tens of thousands. A half of a box has
narrower intervals all the same, which cost one pass forwards, and where few inputs are free it does not take many halvings until one
bound by CROWN refutes what is left. What has to be shown of a box is shown of all of its parts, so that the newest are taken first and few
are open at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.deciding.exact import evaluate_exact
from netproof.bounds.dual import crown, evaluate_dual
from netproof.bounds.region import Region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.order import conditions_of
from netproof.effort.integer import HALVES, INTEGER
from netproof.processes import clock
from netproof.query import Query, Verdict
from netproof.rows import Rows
from netproof.search.branching import Split
from netproof.search.integer.attacks import witness_of
from netproof.search.outcome import Outcome
from netproof.search.proofs.log import Multiplied, ProofLog
from netproof.search.tree import DepthFirst
from netproof.settings import Settings


def suits(query: Query) -> bool:
    """Whether a query has few free inputs, and a graph of many features; halves of a box do not know a ball."""
    if query.ball is not None:
        return False
    free = int((query.lower < query.upper).sum())
    graph = query.network.graph
    return free <= HALVES.inputs and sum(graph.nodes[i].size for i in graph.activations) >= HALVES.features


@dataclass(frozen=True, eq=False)
class _Boxes(Rows):
    """``B`` parts of the box: refute the case of a root row where the free inputs are in ``[lower, upper]``.

    Attributes
    ----------
    case, root : ``[B]`` int64, and which of the rows that the cases begin with
    lower, upper : ``[B, f]``, of the free inputs
    value : ``[B]``, the bound of what they are a half of
    node : ``[B]``, in the record of the proof (anything, where none is kept)
    """

    case: Tensor
    root: Tensor
    lower: Tensor
    upper: Tensor
    value: Tensor
    node: Tensor

    def __len__(self) -> int:
        return self.case.shape[0]


class BoxSearch:
    """One query's search by halves of its box.

    Parameters
    ----------
    query : an integer query that :func:`suits`
    region : the region of its box, one row, on the query's own graph
    settings : limits
    log : where to record what is proved, if anywhere; nothing else has been recorded there
    """

    def __init__(self, query: Query, region: Region, settings: Settings, log: ProofLog | None = None) -> None:
        self._query, self._graph, self._log = query, query.network.graph, log
        self._graph32 = self._graph.to(torch.float32)
        self._cases = conditions_of(self._graph, list(query.condition))
        self._free = (query.lower < query.upper).nonzero()[:, 0]
        self._tree: DepthFirst[_Boxes] = DepthFirst(settings.memory, log)
        everything = torch.arange(len(self._cases))
        case, self._roots = self._cases.roots(everything, region.take(torch.zeros_like(everything)))
        node = torch.zeros_like(case)
        if log is not None:
            log.work_on(None, list(range(len(query.condition))))
            node = log.root(case, self._cases.windows(case, self._roots))
        ends = [end[self._free].expand(len(case), -1) for end in (query.lower, query.upper)]
        infinite = torch.full((len(case),), torch.inf, dtype=torch.float64)
        self._tree.add(_Boxes(case, torch.arange(len(case)), ends[0], ends[1], infinite, node))
        self._whole = torch.log2(query.upper - query.lower + 1)[self._free].sum()
        #: of the boxes that the first step leaves open, which part has been refuted since, and how many they are
        self._refuted, self._open = 0.0, 0

    def run(self, deadline: float) -> Outcome:
        """Search until decided, until ``clock.now()`` reaches ``deadline``, or until it is told that this will come first."""
        begun = clock.now()

        def judge() -> Outcome | None:
            spent = (clock.now() - begun) / max(deadline - begun, 1e-9)
            # The first halves may be harder than others: less is asked of them than the pace that would do.
            if spent < HALVES.look or self._refuted >= self._open * spent**2:
                return None
            return self._tree.undecided(Verdict.TIMEOUT, "halves of the box do not end in time")

        rows = min(HALVES.rows, INTEGER.bounded.rows(self._graph, INTEGER.tensors))
        return self._tree.search(self._step, rows, deadline, judge)

    def _step(self, batch: _Boxes) -> Outcome | None:
        self._tree.count += len(batch)
        part = self._share(batch)
        rows, region = self._confined(batch)
        left, coefficients = batch.take(rows), torch.zeros(0, len(self._free), dtype=torch.float64)
        if len(rows):
            still_open, value, coefficients = self._refute(left, region)
            left = replace(left.take(still_open), value=value)
        found = self._replay(left, coefficients)
        if found is None:
            left, coefficients, found = self._several(left, coefficients)
        if found is not None:
            return self._tree.sat(witness_of(self._query, found))
        if self._open:
            self._refuted += part - self._share(left)
        else:
            self._open = len(left)
        if len(left):
            self._tree.add(self._halved(left, coefficients))
        return None

    def _share(self, batch: _Boxes) -> float:
        """How much of the box parts of it are, together."""
        return float((torch.log2(batch.upper - batch.lower + 1).sum(1) - self._whole).exp2().sum())

    def _confined(self, batch: _Boxes) -> tuple[Tensor, Region]:
        """Ranges by intervals, and by what the case asks; the rows that are not empty, and their region."""
        region = self._roots.take(batch.root)
        lower, upper = (end.expand(len(batch), -1).clone() for end in (region.lower, region.upper))
        lower[:, self._free], upper[:, self._free] = batch.lower, batch.upper
        region = propagate_intervals(self._graph, replace(region, lower=lower, upper=upper))
        # What the case asks is about the last ranges, from which nothing follows for others.
        for _ in range(2):
            region = self._cases.tighten(batch.case, region)
        rows = (~region.empty()).nonzero()[:, 0]
        return rows, region.take(rows)

    def _refute(self, batch: _Boxes, region: Region) -> tuple[Tensor, Tensor, Tensor]:
        """The rows that one bound leaves open, their bounds, and the coefficients of the free inputs there."""
        objective = self._cases.objective(batch.case, region)
        quick = Relaxation(self._graph32, region.to(torch.float32))
        point = evaluate_dual(quick, objective.to(torch.float32), crown(quick.hulls))
        still_open = torch.ones(len(batch), dtype=torch.bool)
        # Multipliers are found in float32, and what is refuted by them is evaluated exactly.
        hopeful = (point.value < INTEGER.goal).nonzero()[:, 0]
        if len(hopeful):
            s = [None if m is None else m.expand(len(batch), -1)[hopeful].double() for m in point.s]
            exact, _ = evaluate_exact(Relaxation(self._graph, region.take(hopeful)), objective.take(hopeful), s)
            refuted = (exact.value < 0).nonzero()[:, 0]
            rows = hopeful[refuted]
            still_open[rows] = False
            if self._log is not None and len(rows):
                parts = self._cases.objective_parts(batch.case[rows], region.take(rows))
                self._log.leaf(batch.node[rows], Multiplied(exact.take(refuted).s, parts))
        left = still_open.nonzero()[:, 0]
        coefficients = point.input_coefficients.expand(len(batch), -1)[left][:, self._free].double()
        return left, point.value.expand(len(batch))[left].double(), coefficients

    def _replay(self, batch: _Boxes, coefficients: Tensor) -> Tensor | None:
        """A witness among the points where bounds are attained, of the boxes with the largest."""
        some = batch.value.argsort(descending=True)[: HALVES.replayed]
        if not len(some):
            return None
        points = self._roots.lower[:1].expand(len(some), -1).clone()
        points[:, self._free] = torch.where(coefficients[some] > 0, batch.upper[some], batch.lower[some])
        hits = self._query.refuted_by(points).nonzero()[:, 0]
        return points[hits[0]] if len(hits) else None

    def _several(self, batch: _Boxes, coefficients: Tensor) -> tuple[_Boxes, Tensor, Tensor | None]:
        """The boxes of more than one point, and a witness among the points that are boxes of their own."""
        several = (batch.lower < batch.upper).any(1)
        alone = batch.take(~several)
        if len(alone):
            points = self._roots.lower[:1].expand(len(alone), -1).clone()
            points[:, self._free] = alone.lower
            hits = self._query.refuted_by(points).nonzero()[:, 0]
            if len(hits):
                return batch, coefficients, points[hits[0]]
            if self._log is not None:
                self._log.point(alone.node)
        return batch.take(several), coefficients[several], None

    def _halved(self, batch: _Boxes, coefficients: Tensor) -> _Boxes:
        """Both halves of every box, by the input that its bound depends on most."""
        width = batch.upper - batch.lower
        score = torch.where(width > 0, coefficients.abs() * width + HALVES.width * width, -1.0)
        feature = score.argmax(1)
        rows = torch.arange(len(batch))
        first = ((batch.lower[rows, feature] + batch.upper[rows, feature]) / 2).floor() + 1
        below, above = batch.upper.clone(), batch.lower.clone()
        below[rows, feature], above[rows, feature] = first - 1, first
        split = Split(torch.full_like(feature, -1), self._free[feature], first)
        node = batch.node.repeat(2) if self._log is None else self._log.split(batch.node, split)
        halves = batch.take(rows.repeat(2))
        return replace(halves, lower=torch.cat([batch.lower, above]), upper=torch.cat([below, batch.upper]), node=node)
