"""Verification of queries: the root in one batch, then a search for each query that is left."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.dual import crown, evaluate_dual, hulls_of
from netproof.bounds.exact import evaluate_exact
from netproof.bounds.region import Region, box_region
from netproof.bounds.tighten import tighten_ranges
from netproof.errors import QueryError
from netproof.exact.registry import exact_engine
from netproof.graph.graph import Arithmetic
from netproof.query import Query, Result, Verdict, Witness
from netproof.search.cases import cases_of, shrink
from netproof.search.engine import Search
from netproof.search.external import decide_with
from netproof.settings import Settings

#: output cases bounded at once at the root
_ROOT_ROWS = 1024


def verify(query: Query, settings: Settings | None = None) -> Result:
    """Decide one query; see :func:`verify_many`."""
    return next(iter(verify_many([query], settings)))[1]


def verify_many(queries: Sequence[Query], settings: Settings | None = None) -> Iterator[tuple[int, Result]]:
    """Decide queries, yielding ``(position, result)`` as they are decided.

    Queries on one network are bounded together at the root; the few that are left are searched
    one by one. ``settings.timeout`` applies to each query, counting its share of shared work.

    Raises
    ------
    QueryError : a query on a network whose arithmetic is not supported
    InputError : an engine that is not there
    """
    settings = settings or Settings()
    groups: dict[int, list[int]] = {}
    for position, query in enumerate(queries):
        if query.network.graph.arithmetic is not Arithmetic.INTEGER:
            raise QueryError(query.name, "its network is not an integer network", "only integer networks are supported")
        groups.setdefault(id(query.network), []).append(position)
    engine = exact_engine(settings.engine)
    if engine is not None:
        yield from decide_with(engine, queries, settings)
        return
    for positions in groups.values():
        cases = max(len(queries[positions[0]].condition), 1)
        size = max(1, _ROOT_ROWS // cases)
        for start in range(0, len(positions), size):
            chunk = positions[start : start + size]
            yield from _verify_chunk([(p, queries[p]) for p in chunk], settings)


def settle_at_root(query: Query, settings: Settings) -> tuple[Verdict, Witness | None]:
    """What bounds at the root and a quick attack can tell: a verdict, or ``unknown``."""
    decided, left = _root([(0, query)])
    if decided:
        return decided[0][1], decided[0][2]
    outcome = Search(query, left[0].region, left[0].cases, settings).run(0.0)
    if outcome.witness is not None:
        return Verdict.SAT, _witness(query, outcome.witness)
    return (Verdict.UNSAT if outcome.verdict is Verdict.UNSAT else Verdict.UNKNOWN), None


@dataclass(frozen=True, eq=False)
class _Open:
    """A query the root left open: its root region and the positions of its open cases."""

    position: int
    query: Query
    region: Region
    cases: list[int]


def _verify_chunk(queries: list[tuple[int, Query]], settings: Settings) -> Iterator[tuple[int, Result]]:
    begun = time.monotonic()
    decided, left = _root(queries)
    share = (time.monotonic() - begun) / len(queries)
    for position, verdict, witness, subproblems in decided:
        method = {Verdict.SAT: "attack", Verdict.UNSAT: "bound"}.get(verdict, "evaluation")
        yield position, Result(verdict, share, method, subproblems, witness)
    for item in left:
        begun = time.monotonic()
        search = Search(item.query, item.region, item.cases, settings)
        outcome = search.run(begun + max(settings.timeout - share, 0.0))
        witness = None if outcome.witness is None else _witness(item.query, outcome.witness)
        yield (
            item.position,
            Result(
                outcome.verdict,
                share + time.monotonic() - begun,
                outcome.method,
                len(item.query.condition) + outcome.subproblems,
                witness,
                outcome.bound,
                outcome.reason,
            ),
        )


_Decided = tuple[int, Verdict, Witness | None, int]


def _root(queries: list[tuple[int, Query]]) -> tuple[list[_Decided], list[_Open]]:
    """Bound every case of every query once, with CROWN, in one batch."""
    decided: list[_Decided] = []
    asked: list[tuple[int, Query]] = []
    for position, query in queries:
        if query.misclassified:
            decided.append((position, Verdict.MISCLASSIFIED, None, 0))
        else:
            asked.append((position, query))
    if not asked:
        return decided, []
    graph = asked[0][1].network.graph
    regions = box_region(graph, torch.stack([q.lower for _, q in asked]), torch.stack([q.upper for _, q in asked]))
    if len(graph.activations) > 2:
        regions = tighten_ranges(graph, regions)
    owner = torch.tensor([i for i, (_, q) in enumerate(asked) for _ in q.condition], dtype=torch.int64)
    number = torch.tensor([j for _, q in asked for j in range(len(q.condition))], dtype=torch.int64)
    refuted, maximizers = _bound_cases(asked, regions, owner)
    left: list[_Open] = []
    for i, (position, query) in enumerate(asked):
        mine = (owner == i).nonzero()[:, 0]
        still_open = mine[~refuted[mine]]
        if not len(still_open):
            decided.append((position, Verdict.UNSAT, None, len(mine)))
            continue
        points = maximizers[still_open]
        hits = query.refuted_by(points).nonzero()[:, 0]
        if len(hits):
            decided.append((position, Verdict.SAT, _witness(query, points[hits[0]]), len(mine)))
        else:
            left.append(_Open(position, query, regions.take(torch.tensor([i])), number[still_open].tolist()))
    return decided, left


def _bound_cases(asked: list[tuple[int, Query]], regions: Region, owner: Tensor) -> tuple[Tensor, Tensor]:
    """Which cases CROWN refutes exactly, ``[N]`` bool, and a maximizer of each case's bound, ``[N, n_input]``."""
    graph = asked[0][1].network.graph
    cases = cases_of(graph, [c for _, q in asked for c in q.condition])
    everything = torch.arange(len(cases))
    row, region = cases.roots(everything, regions.take(owner))
    rows, region = shrink(graph, cases, row, region)
    row = row[rows]
    refuted = torch.ones(len(cases), dtype=torch.bool)
    maximizers = regions.lower[owner].clone()
    if len(row):
        hulls = hulls_of(graph, region)
        objective = cases.objective(row, region)
        point = evaluate_dual(graph, region, hulls, objective, crown(hulls))
        exact, _ = evaluate_exact(graph, region, hulls, objective, point.s)
        still_open = exact.value >= 0
        refuted[row[still_open]] = False
        maximizers[row[still_open]] = exact.x[still_open]
    return refuted, maximizers


def _witness(query: Query, x: Tensor) -> Witness:
    """Replay a point once more and freeze it; it must be a witness."""
    if not bool(query.refuted_by(x)):
        raise AssertionError("a point that is no witness was reported as one")
    return Witness(x.to(torch.int64), query.network.graph.evaluate(x).to(torch.int64))
