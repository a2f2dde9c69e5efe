"""Deciding a query on a network with tables, row by row."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from netproof.attack.real import FloatAttack
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.intervals import interval_bound
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.refine import rows_at_once
from netproof.bounds.region import box_region
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.conditions import Conditions
from netproof.effort.real import TABLES
from netproof.query import Query, Verdict
from netproof.search.outcome import Outcome
from netproof.search.real.tables.cells import Cell, Tables

#: decides a query on a network without tables until a time
Decide = Callable[[Query, float], tuple[Outcome, str]]


def decide_by_tables(
    query: Query, tables: Tables, cells: list[Cell], attack: FloatAttack | None, deadline: float, decide: Decide
) -> tuple[Outcome, str]:
    """Decide a query on all cells of its box, or stop at the deadline.

    Parameters
    ----------
    attack : on the query itself, or None where no witness is looked for
    decide : what is asked of each cell that intervals do not settle. It looks for no witness, or for one of the query itself
    """
    count = 0
    if tables.alone:
        constraints = Conditions.of(tables.graph, query.condition)
        left = []
        for rows in torch.split(torch.arange(len(cells)), rows_at_once(tables.graph)):
            some = [cells[row] for row in rows.tolist()]
            if time.monotonic() >= deadline:
                left += some
                continue
            lower, upper = tables.boxes(some, query.lower, query.upper)
            if attack is not None:
                for case in range(len(constraints)):
                    witness = attack.try_points((lower + upper) / 2, torch.full_like(rows, case))
                    if witness is not None:
                        return Outcome(Verdict.SAT, count, witness), "attack"
            refuted = _by_intervals(tables, constraints, lower, upper)
            count += len(some)
            left += [cell for cell, done in zip(some, refuted.tolist(), strict=True) if not done]
        cells = left
    return _one_by_one(query, tables, cells, count, deadline, decide)


def _by_intervals(tables: Tables, constraints: Conditions, lower: Tensor, upper: Tensor) -> Tensor:
    """Which boxes ``[B, n]`` intervals refute: every case by one of its constraints, ``[B]`` bool."""
    graph = tables.graph
    region = box_region(graph, lower, upper)
    relaxation, rounding = Relaxation(graph, region), Rounding.of(graph, region)
    width = constraints.width
    one = constraints.single(
        torch.arange(len(constraints)).repeat_interleave(width), torch.arange(width).repeat(len(constraints))
    )
    objective = Objective({node: c[None] for node, c in one.coefficients.items()}, one.constant[None])
    value = interval_bound(relaxation, objective, rounding)
    return (value.view(len(lower), len(constraints), width).amin(2) < 0).all(1)


def _one_by_one(
    query: Query, tables: Tables, cells: list[Cell], count: int, deadline: float, decide: Decide
) -> tuple[Outcome, str]:
    first, method = None, "bound"
    for number, cell in enumerate(cells):
        network = replace(query.network, graph=tables.without(cell))
        for lower, upper in tables.parts(cell, query.lower, query.upper):
            now = time.monotonic()
            if now >= deadline:
                reason = f"the time limit was reached: {len(cells) - number} rows of tables are undecided"
                return Outcome(Verdict.TIMEOUT, count, reason=reason), "search"
            share = max((deadline - now) / (len(cells) - number), TABLES.least_share)
            asked = replace(query, network=network, lower=lower, upper=upper)
            found, step = decide(asked, min(now + share, deadline))
            count += found.subproblems
            if found.verdict is Verdict.SAT:
                return replace(found, subproblems=count), step
            method = "search" if step == "search" else method
            if found.verdict is not Verdict.UNSAT and first is None:
                first = found
    return replace(first or Outcome(Verdict.UNSAT, 0), subproblems=count, left=None), method
