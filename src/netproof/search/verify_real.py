"""Verification of one real query: attack, bounds at the root, branch and bound."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from netproof.bounds.crown import crown_lines
from netproof.bounds.dual import hulls_of
from netproof.bounds.forms import form_ranges
from netproof.bounds.open_dual import OpenDual, is_piecewise_linear
from netproof.bounds.refine import refine_ranges
from netproof.bounds.refine_alpha import refine_by_alpha
from netproof.bounds.refine_split import SplitRefiner
from netproof.bounds.region import Region, box_region, propagate_intervals
from netproof.bounds.rounding import Rounding
from netproof.graph.graph import Graph
from netproof.property import UnionQuery
from netproof.query import Query, Result, Verdict
from netproof.search.constraints import Constraints
from netproof.search.float_attack import FloatAttack
from netproof.search.input_split import InputSplit
from netproof.search.relu_split import Found, ReluSplit
from netproof.settings import Settings

#: restarts and steps of the attack before anything else, and of the one on what the root leaves open
_QUICK, _LONG = (4, 20), (20, 60)

#: linear forms are carried forwards in so many inputs at most
_FEW_FORMS = 64
#: with at most so many inputs that vary, the box is split
_FEW_INPUTS = 8
#: subproblems after which a search begins anew with ranges from alpha-CROWN; steps for each, and their share of
#: the time that is left
_EASY, _ALPHA_STEPS, _ALPHA_SHARE = 100, 12, 0.3
#: the first round of ranges by splits takes so many times as long as that, every further one so many times as long as
#: the one before; a round's share of the time that is left; the time of the search after it, against its own
_FIRST_ROUND, _ROUND_GROWTH, _ROUND_SHARE, _SEARCH_SHARE = 6.0, 3.0, 0.7, 0.5


def verify_real(query: Query, settings: Settings) -> Result:
    """Decide one query on a real network; see :func:`netproof.search.verify.verify_many`."""
    begun = time.monotonic()
    deadline = begun + settings.timeout
    parts: Sequence[Query] = query.parts if isinstance(query, UnionQuery) else (query,)
    found, method = Found(Verdict.UNSAT, 0), "evaluation"
    subproblems = 0
    for number, part in enumerate(parts):
        # What is left of the time is shared by the parts that are left.
        now = time.monotonic()
        until = now + (deadline - now) / (len(parts) - number)
        outcome, step = _decide(part, settings, until)
        subproblems += outcome.subproblems
        if outcome.verdict is not Verdict.UNSAT or found.verdict is Verdict.UNSAT:
            found, method = outcome, step
        if outcome.verdict is Verdict.SAT:
            break
    return Result(
        found.verdict,
        time.monotonic() - begun,
        method,
        subproblems,
        found.witness,
        found.bound,
        found.reason,
    )


def _decide(query: Query, settings: Settings, deadline: float) -> tuple[Found, str]:
    graph = query.network.graph
    if not query.condition:
        return Found(Verdict.UNSAT, 0), "evaluation"
    constraints = Constraints.of(graph, query.condition)
    every = torch.arange(len(constraints))
    attack = FloatAttack(query, constraints, settings.seed) if settings.attack else None
    if attack is not None:
        witness = attack.ascend(every, *_QUICK, deadline)
        if witness is not None:
            return Found(Verdict.SAT, 0, witness), "attack"
    region = box_region(graph, query.lower[None], query.upper[None])
    propagate = form_ranges if graph.input.size <= _FEW_FORMS else propagate_intervals
    region = propagate(graph, region)
    region = refine_ranges(graph, region, Rounding.of(graph, region), deadline, propagate)
    rounding = Rounding.of(graph, region)
    case, value = _root(graph, region, constraints, rounding)
    if not len(case):
        return Found(Verdict.UNSAT, len(constraints)), "bound"
    if attack is not None:
        witness = attack.ascend(case, *_LONG, deadline)
        if witness is not None:
            return Found(Verdict.SAT, len(constraints), witness), "attack"
    varying = int((query.lower < query.upper).sum())
    if varying <= _FEW_INPUTS:
        found = InputSplit(graph, constraints, rounding, attack, settings.memory).run(region, case, deadline)
        return found, "search"
    if not is_piecewise_linear(graph, region):
        reason = "there is no branching for activations of this kind with so many inputs"
        return Found(Verdict.UNKNOWN, len(constraints), bound=value, reason=reason), "bound"
    found = ReluSplit(OpenDual.of(graph, region), rounding, constraints, attack, settings.memory).run(
        case, deadline, _EASY
    )
    if found.verdict is not Verdict.UNKNOWN or found.left is None or time.monotonic() >= deadline:
        return found, "search"
    # Not easy: tighter ranges are worth their price now.
    now = time.monotonic()
    region = refine_by_alpha(graph, region, rounding, _ALPHA_STEPS, now + _ALPHA_SHARE * (deadline - now))
    alpha_seconds = time.monotonic() - now
    seconds = _FIRST_ROUND * alpha_seconds
    refiner = SplitRefiner(graph)
    while True:
        left = deadline - time.monotonic()
        # Splits for every end of every range, unless a round would take too long.
        worthwhile = seconds < _ROUND_SHARE * left
        if worthwhile:
            region = refiner.refine(region, seconds)
        until = time.monotonic() + _SEARCH_SHARE * seconds if worthwhile else deadline
        search = ReluSplit(OpenDual.of(graph, region), Rounding.of(graph, region), constraints, attack, settings.memory)
        assert found.left is not None
        found = replace(search.run(found.left, min(until, deadline)), subproblems=found.subproblems + search.count)
        if found.left is None or time.monotonic() >= deadline or not worthwhile:
            return found, "search"
        seconds *= _ROUND_GROWTH


def _root(graph: Graph, region: Region, constraints: Constraints, rounding: Rounding) -> tuple[Tensor, float]:
    """Cases that CROWN leaves open, single constraint by single constraint, and the largest bound of theirs."""
    case = torch.arange(len(constraints)).repeat_interleave(constraints.width)
    which = torch.arange(constraints.width).repeat(len(constraints))
    value = crown_lines(graph, region, hulls_of(graph, region), constraints.single(case, which), rounding).value
    least = value.view(len(constraints), constraints.width).amin(1)
    left = (least >= 0).nonzero()[:, 0]
    return left, float(least.max())
