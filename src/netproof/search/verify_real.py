"""Verification of one real query: attack, bounds at the root, branch and bound."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from netproof.bounds.crown import crown_lines
from netproof.bounds.dual import hulls_of
from netproof.bounds.forms import FEW_INPUTS, form_ranges
from netproof.bounds.open_dual import is_piecewise_linear
from netproof.bounds.refine import open_features, refine_ranges, rows_at_once
from netproof.bounds.region import Region, box_region, point_region, propagate_intervals
from netproof.bounds.rounding import Rounding
from netproof.device import find_device, plain_products
from netproof.graph.graph import Graph
from netproof.property import UnionQuery
from netproof.query import Query, Result, Verdict
from netproof.search.constraints import Constraints
from netproof.search.float_attack import FloatAttack
from netproof.search.input_split import InputSplit
from netproof.search.memory import check_memory
from netproof.search.problem import Problem
from netproof.search.range_split import RangeSplit
from netproof.search.relu_split import Found
from netproof.search.rounds import Rounds
from netproof.settings import Settings

#: restarts and steps of the attack before anything else, and of the one on what the root leaves open
_QUICK, _LONG = (4, 20), (20, 60)

#: with at most so many inputs that vary, the box is split
_FEW_INPUTS = 8
#: with at most so many inputs and more than so many open features too, for so much of the time that is left unless that
#: closes a good part of the box
_SOME_INPUTS, _MANY_FEATURES, _SHARE_OF_BOXES = 64, 400, 0.5
#: why a search is not begun
_BEYOND = "values can be so large (2^500) that no bound of them is finite in float64"
#: bytes that open subproblems may occupy in any case
_LEAST_MEMORY = 1 << 20


def verify_real(query: Query, settings: Settings) -> Result:
    """Decide one query on a real network; see :func:`netproof.search.verify.verify_many`."""
    begun = time.monotonic()
    device = find_device(settings.device)
    settings = replace(settings, memory=max(check_memory(query, settings), _LEAST_MEMORY))
    deadline = begun + settings.timeout
    parts: Sequence[Query] = query.parts if isinstance(query, UnionQuery) else (query,)
    found, method = Found(Verdict.UNSAT, 0), "evaluation"
    subproblems = 0
    for number, part in enumerate(parts):
        # What is left of the time is shared by the parts that are left.
        now = time.monotonic()
        until = now + (deadline - now) / (len(parts) - number)
        try:
            with plain_products(device):
                outcome, step = _decide(part, settings, device, until)
        except torch.cuda.OutOfMemoryError:
            problem = f"the memory of {device} does not suffice; the CPU's may (--device cpu)"
            outcome, step = Found(Verdict.UNKNOWN, 0, reason=problem), "search"
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
        found.bound if found.bound is not None and math.isfinite(found.bound) else None,
        found.reason,
    )


def _decide(query: Query, settings: Settings, device: torch.device, deadline: float) -> tuple[Found, str]:
    graph = query.network.graph
    if not query.condition:
        return Found(Verdict.UNSAT, 0), "evaluation"
    constraints = Constraints.of(graph, query.condition)
    every = torch.arange(len(constraints))
    attack = FloatAttack(query, constraints, settings.seed, device) if settings.attack else None
    if attack is not None:
        witness = attack.ascend(every, *_QUICK, deadline)
        if witness is not None:
            return Found(Verdict.SAT, 0, witness), "attack"
    region = box_region(graph, query.lower[None], query.upper[None])
    propagate = form_ranges if graph.input.size <= FEW_INPUTS else propagate_intervals
    region = propagate(graph, region)
    region = refine_ranges(graph, region, deadline, propagate)
    rounding = Rounding.of(graph, region)
    case = _root(graph, region, constraints, rounding, deadline)
    if not len(case):
        return Found(Verdict.UNSAT, len(constraints)), "bound"
    if attack is not None:
        witness = attack.ascend(case, *_LONG, deadline)
        if witness is not None:
            return Found(Verdict.SAT, len(constraints), witness), "attack"
    problem = Problem(graph, constraints, attack, settings.memory, device)
    hopeful = _hopeful(query, constraints, case, rounding)
    if bool(hopeful.all()):
        return _search(query, problem, region, case, deadline)
    found, step = Found(Verdict.UNSAT, len(constraints)), "bound"
    if bool(hopeful.any()):
        found, step = _search(query, problem, region, case[hopeful], deadline)
    if found.verdict is Verdict.UNSAT:
        found = replace(found, verdict=Verdict.UNKNOWN, reason=_BEYOND)
    return found, step


def _hopeful(query: Query, constraints: Constraints, case: Tensor, rounding: Rounding) -> Tensor:
    """Which cases might be refuted, as far as the size of values goes: ``[B]`` bool.

    Where there is no finite bound on the region, ``rounding``, there can be some on its parts, whose values are smaller. But
    some part holds the centre of the box, and one its largest point, so that what the network makes of
    these must not be too large.
    """
    hopeful = constraints.boundable(case, rounding)
    if bool(hopeful.all()):
        return hopeful
    graph = query.network.graph
    hopeful = torch.ones_like(hopeful)
    for x in ((query.lower + query.upper) / 2, torch.where(-query.lower > query.upper, query.lower, query.upper)):
        hopeful &= constraints.boundable(case, Rounding.of(graph, point_region(graph, x[None])))
    return hopeful


def _search(query: Query, problem: Problem, region: Region, case: Tensor, deadline: float) -> tuple[Found, str]:
    """Decide the cases that the root leaves open."""
    graph = problem.graph
    varying = int((query.lower < query.upper).sum())
    before = 0
    boxes = varying <= _FEW_INPUTS or (varying <= _SOME_INPUTS and _open_count(graph, region) > _MANY_FEATURES)
    if boxes:
        now = time.monotonic()
        until = math.inf if varying <= _FEW_INPUTS else now + _SHARE_OF_BOXES * (deadline - now)
        found = InputSplit(problem).run(region, case, deadline, until)
        if until == math.inf or found.verdict.decided or found.left is None or time.monotonic() >= deadline:
            return _ended(found, deadline), "search"
        case, before = found.left, found.subproblems
    if not is_piecewise_linear(graph, region):
        found = RangeSplit(problem).run(region, case, deadline)
    else:
        found = Rounds(problem).run(region, case, deadline)
    return _ended(replace(found, subproblems=before + found.subproblems), deadline), "search"


def _ended(found: Found, deadline: float) -> Found:
    """How a search ended that handed its cases on when there was no time left for another one."""
    if found.verdict is Verdict.UNKNOWN and found.left is not None and time.monotonic() >= deadline:
        return replace(found, verdict=Verdict.TIMEOUT, reason="the time limit was reached")
    return found


def _open_count(graph: Graph, region: Region) -> int:
    return sum(int(open_features(graph, region, k).sum()) for k in range(len(graph.activations)))


def _root(graph: Graph, region: Region, constraints: Constraints, rounding: Rounding, deadline: float) -> Tensor:
    """Cases that CROWN leaves open, single constraint by single constraint; at the deadline, those it has not come to."""
    hulls = hulls_of(graph, region)
    case = torch.arange(len(constraints)).repeat_interleave(constraints.width)
    which = torch.arange(constraints.width).repeat(len(constraints))
    value = torch.full((len(case),), torch.inf, dtype=torch.float64)
    for rows in torch.split(torch.arange(len(case)), rows_at_once(graph)):
        if time.monotonic() >= deadline:
            break
        value[rows] = crown_lines(graph, region, hulls, constraints.single(case[rows], which[rows]), rounding).value
    least = value.view(len(constraints), constraints.width).amin(1)
    return (least >= 0).nonzero()[:, 0]
