"""Verification of integer queries: the root in one batch, then a search for each query that is left."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.bounds.backward import Maximum, box_maximum
from netproof.bounds.deciding.exact import evaluate_exact
from netproof.bounds.dual import crown, evaluate_dual
from netproof.bounds.ranges.tighten import RangeCuts, tighten_ranges
from netproof.bounds.region import Region, box_region
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.ball import maximum_of
from netproof.conditions.conditions import Conditions
from netproof.conditions.order import conditions_of
from netproof.effort.integer import INTEGER, Effort
from netproof.graph.graph import Graph
from netproof.graph.loose import loose_activations
from netproof.processes import clock
from netproof.query import Query, Result, Verdict, Witness
from netproof.search.integer.attacks import witness_of
from netproof.search.integer.boxes import BoxSearch, suits
from netproof.search.integer.engine import Search
from netproof.search.outcome import Outcome
from netproof.search.proofs.log import CommonCuts, Multiplied, ProofLog
from netproof.settings import Settings

_LOG = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[np.int64]]


def verify_integer(
    queries: Sequence[Query], settings: Settings, *, attacked: bool = False
) -> Iterator[tuple[int, Result]]:
    """Decide queries on one network, none of them misclassified, yielding ``(position, result)`` as they are decided.

    They are bounded together at the root; the few that are left are searched one by one. ``settings.timeout`` applies to
    each query, counting its share of shared work. Where the queries were ``attacked`` before, searches leave out the attacks that they
    begin with.
    """
    cases = max(len(queries[0].condition), 1)
    size = max(1, INTEGER.root_rows // cases)
    if any(query.ball is not None for query in queries):
        # What is bounded together is bounded on boxes, and proofs are about them.
        size, settings = 1, replace(settings, proofs=False)
    for start in range(0, len(queries), size):
        positions = range(start, min(start + size, len(queries)))
        yield from _verify_chunk([(p, queries[p]) for p in positions], settings, attacked=attacked)


def refuted_quickly(query: Query) -> bool:
    """Whether CROWN refutes all cases of a query that is not misclassified."""
    decided, _ = _root([(0, query)], proofs=False)
    return bool(decided) and decided[0].verdict is Verdict.UNSAT


@dataclass(frozen=True, eq=False)
class _Open:
    """A query the root left open: its root region, the positions of its open cases, and the record of its proof."""

    position: int
    query: Query
    region: Region
    cases: list[int]
    log: ProofLog | None


@dataclass(frozen=True, eq=False)
class _Decided:
    """A query decided at the root."""

    position: int
    query: Query
    verdict: Verdict
    witness: Witness | None
    subproblems: int
    log: ProofLog | None = None


def _verify_chunk(
    queries: list[tuple[int, Query]], settings: Settings, *, attacked: bool
) -> Iterator[tuple[int, Result]]:
    begun = clock.now()
    # Queries of a batch have their limits one after the other.
    deadline = begun + settings.timeout * len(queries)
    decided, left = _root(queries, proofs=settings.proofs, deadline=deadline)
    proved = [(d.position, d.query, d.log) for d in decided if d.log is not None and d.verdict is Verdict.UNSAT]
    proofs = _prove(proved)
    share = (clock.now() - begun) / len(queries)
    for d in decided:
        method = "attack" if d.verdict is Verdict.SAT else "bound"
        proof = proofs.get(d.position)
        yield d.position, Result(d.verdict, share, method, d.subproblems, d.witness, proof=proof)
    for item in left:
        begun = clock.now()
        until = begun + max(settings.timeout - share, 0.0)
        outcome, log = _search(item, settings, until, attacked=attacked)
        proofs = {}
        if outcome.verdict is Verdict.UNSAT and log is not None:
            proofs = _prove([(item.position, item.query, log)])
        yield (
            item.position,
            Result(
                outcome.verdict,
                share + clock.now() - begun,
                outcome.method,
                len(item.query.condition) + outcome.subproblems,
                outcome.witness,
                outcome.bound,
                outcome.reason,
                proofs.get(item.position),
            ),
        )


def _search(item: _Open, settings: Settings, deadline: float, *, attacked: bool) -> tuple[Outcome, ProofLog | None]:
    """Search for one query that bounds at the root leave open, and the record of the search."""
    subproblems = 0
    if suits(item.query):
        log = _logs(item.query.network.graph, [item.position], proofs=settings.proofs)
        record = None if log is None else log[0]
        outcome = BoxSearch(item.query, item.region, settings, record).run(deadline)
        if outcome.verdict in (Verdict.SAT, Verdict.UNSAT) or clock.now() >= deadline:
            return outcome, record
        # New records, again.
        subproblems = outcome.subproblems
        decided, left = _tightened(
            [(item.position, item.query)], item.region, proofs=settings.proofs, deadline=deadline
        )
        if decided:
            (one,) = decided
            method = "attack" if one.verdict is Verdict.SAT else "bound"
            return Outcome(one.verdict, subproblems + one.subproblems, one.witness, method=method), one.log
        (item,) = left
    effort = Effort(attacked=True) if attacked else None
    outcome = Search(item.query, item.region, item.cases, settings, effort, item.log).run(deadline)
    return replace(outcome, subproblems=subproblems + outcome.subproblems), item.log


def _prove(proved: list[tuple[int, Query, ProofLog]]) -> dict[int, Arrays]:
    """Proofs by position, of queries on one network; without those that cannot be made, which is a defect."""
    if not proved:
        return {}
    from netproof.search.proofs.assemble import ProofGap, prove

    positions, queries, logs = zip(*proved, strict=True)
    try:
        return dict(zip(positions, prove(queries, logs), strict=True))
    except ProofGap:
        if len(proved) == 1:
            _LOG.warning("the search on %s left a record that is no proof (a defect)", queries[0].name)
            return {}
        return {position: proof for one in proved for position, proof in _prove([one]).items()}


def _root(
    asked: list[tuple[int, Query]], *, proofs: bool, deadline: float = math.inf
) -> tuple[list[_Decided], list[_Open]]:
    """Bound every case of every query once, with CROWN, in one batch; what that leaves again, with tightened ranges.

    A query in a ball is the only one of its batch.

    Ranges take two bounds for every feature, so they are worth it only where those by intervals do not suffice.
    """
    graph, maximum = asked[0][1].network.graph, maximum_of(asked[0][1])
    regions = box_region(graph, torch.stack([q.lower for _, q in asked]), torch.stack([q.upper for _, q in asked]))
    decided, left = _bounded(asked, regions, _logs(graph, asked, proofs=proofs), maximum)
    if not left or not (len(graph.activations) > 2 or loose_activations(graph) or maximum is not box_maximum):
        return decided, left
    # Those that are halved instead come back to ranges only where that does not end.
    halved = [item for item in left if suits(item.query)]
    open_ones = {item.position for item in left} - {item.position for item in halved}
    if not open_ones:
        return decided, halved
    rows = [i for i, (position, _) in enumerate(asked) if position in open_ones]
    more, left = _tightened(
        [asked[i] for i in rows], regions.take(torch.tensor(rows)), proofs=proofs, deadline=deadline
    )
    return decided + more, halved + left


def _tightened(
    asked: list[tuple[int, Query]], regions: Region, *, proofs: bool, deadline: float
) -> tuple[list[_Decided], list[_Open]]:
    """What CROWN decides with ranges that are bounded themselves, and what it leaves."""
    graph = asked[0][1].network.graph
    # New records: what was tried in vain is no part of a proof.
    logs = _logs(graph, asked, proofs=proofs)
    listener = None if logs is None else _Distributor(logs)
    maximum = maximum_of(asked[0][1])
    regions = tighten_ranges(graph, regions, listener=listener, deadline=deadline, maximum=maximum)
    return _bounded(asked, regions, logs, maximum)


def _logs(graph: Graph, asked: Sequence[object], *, proofs: bool) -> list[ProofLog] | None:
    return [ProofLog(graph) for _ in asked] if proofs else None


def _bounded(
    asked: list[tuple[int, Query]], regions: Region, logs: list[ProofLog] | None, maximum: Maximum
) -> tuple[list[_Decided], list[_Open]]:
    """What CROWN decides in these regions, one for each query, and what it leaves."""
    decided: list[_Decided] = []
    owner = torch.tensor([i for i, (_, q) in enumerate(asked) for _ in q.condition], dtype=torch.int64)
    number = torch.tensor([j for _, q in asked for j in range(len(q.condition))], dtype=torch.int64)
    refuted, maximizers = _bound_cases(asked, regions, (owner, number), logs, maximum)
    left: list[_Open] = []
    for i, (position, query) in enumerate(asked):
        log = None if logs is None else logs[i]
        mine = (owner == i).nonzero()[:, 0]
        still_open = mine[~refuted[mine]]
        if not len(still_open):
            decided.append(_Decided(position, query, Verdict.UNSAT, None, len(mine), log))
            continue
        points = maximizers[still_open]
        hits = query.refuted_by(points).nonzero()[:, 0]
        if len(hits):
            witness = witness_of(query, points[hits[0]])
            decided.append(_Decided(position, query, Verdict.SAT, witness, len(mine)))
        else:
            cases = number[still_open].tolist()
            left.append(_Open(position, query, regions.take(torch.tensor([i])), cases, log))
    return decided, left


class _Distributor:
    """Listens to the tightening of several queries' ranges and hands each query's cuts to its log."""

    def __init__(self, logs: Sequence[ProofLog]) -> None:
        self._listeners = [CommonCuts(log) for log in logs]

    def __call__(self, cuts: RangeCuts) -> None:
        for row in torch.unique(cuts.row).tolist():
            self._listeners[row](cuts.take(cuts.row == row))


def _bound_cases(
    asked: list[tuple[int, Query]],
    regions: Region,
    which: tuple[Tensor, Tensor],
    logs: Sequence[ProofLog] | None,
    maximum: Maximum,
) -> tuple[Tensor, Tensor]:
    """Which cases CROWN refutes exactly, ``[N]`` bool, and a maximizer of each case's bound, ``[N, n_input]``.

    ``which`` says of every case whose it is, and its number there, ``[N]`` each.
    """
    owner, number = which
    graph = asked[0][1].network.graph
    cases = conditions_of(graph, [c for _, q in asked for c in q.condition])
    everything = torch.arange(len(cases))
    case, region = cases.roots(everything, regions.take(owner))
    node = torch.zeros_like(case) if logs is None else _roots(logs, cases, case, region, owner, number)
    rows, region = cases.confined(case, region)
    case, node = case[rows], node[rows]
    refuted = torch.ones(len(cases), dtype=torch.bool)
    maximizers = regions.lower[owner].clone()
    if len(case):
        relaxation, objective = Relaxation(graph, region), cases.objective(case, region)
        point = evaluate_dual(relaxation, objective, crown(relaxation.hulls), maximum=maximum)
        exact, _ = evaluate_exact(relaxation, objective, point.s, maximum)
        still_open = exact.value >= 0
        refuted[case[still_open]] = False
        maximizers[case[still_open]] = exact.x[still_open]
        if logs is not None:
            parts = cases.objective_parts(case, region)
            for i, log in enumerate(logs):
                mine = ((owner[case] == i) & ~still_open).nonzero()[:, 0]
                log.leaf(node[mine], Multiplied([None if m is None else m[mine] for m in exact.s], parts.take(mine)))
    return refuted, maximizers


def _roots(
    logs: Sequence[ProofLog], cases: Conditions, case: Tensor, region: Region, owner: Tensor, number: Tensor
) -> Tensor:
    """The nodes of root rows, each in its query's log."""
    windows = cases.windows(case, region)
    node = torch.zeros_like(case)
    numbers = number.tolist()
    for i, log in enumerate(logs):
        mine = (owner[case] == i).nonzero()[:, 0]
        log.work_on(None, numbers)
        node[mine] = log.root(case[mine], None if windows is None else windows.take(mine))
    return node
