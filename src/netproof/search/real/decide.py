"""Verification of one real query: attack, bounds at the root, branch and bound."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.attack.real import FloatAttack, PartAttack, PointAttack
from netproof.bounds.backward import box_maximum
from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.intervals import interval_bound
from netproof.bounds.multipliers.signs import SignDual, is_piecewise_linear
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.forms import form_ranges, varying_inputs
from netproof.bounds.ranges.refine import refine_ranges, rows_at_once, unstable_features
from netproof.bounds.region import Region, box_region, point_region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.ball import maximum_of
from netproof.conditions.conditions import Conditions
from netproof.device import find_device, plain_products
from netproof.effort.bounding import REFINE
from netproof.effort.real import REAL, TOUCH
from netproof.graph.crop import crop
from netproof.graph.graph import Graph, GraphBuilder
from netproof.graph.loose import reached
from netproof.network import Network
from netproof.operators.activations.jumps.step import Step
from netproof.operators.affine.scale import Scale
from netproof.query import Query, Result, Verdict, Witness
from netproof.search.outcome import Outcome
from netproof.search.proofs.journal import Grounds, Journal, Means, one_constraint
from netproof.search.proofs.traced import trace_of
from netproof.search.real.ball import InBall
from netproof.search.real.chains.split import ChainSplit
from netproof.search.real.input_split import DO_NOT_CLOSE, InputSplit
from netproof.search.real.memory import check_memory
from netproof.search.real.problem import Problem
from netproof.search.real.programs.split import ProgramSplit
from netproof.search.real.range_split import RangeSplit
from netproof.search.real.relu_split import ReluSplit
from netproof.search.real.rounds import Rounds
from netproof.search.real.tables.cells import Tables
from netproof.search.real.tables.decide import decide_by_tables
from netproof.search.real.touch import Touch, refuted_at_jumps, refuted_by_images
from netproof.settings import Settings

#: why a search is not begun
_BEYOND = "values can be so large (2^500) that no bound of them is finite in float64"


def verify_real(query: Query, settings: Settings, record: Journal | None = None) -> Result:
    """Decide one query on a real network that is not misclassified; :mod:`netproof.search.verify` hands it here.

    What is proved goes into ``record``.
    """
    begun = time.monotonic()
    device = find_device(settings.device)
    settings = replace(settings, memory=max(check_memory(query, settings), REAL.least_memory))
    deadline = begun + settings.timeout
    try:
        with plain_products(device):
            found, method = _decide(query, settings, device, deadline, record)
    except torch.cuda.OutOfMemoryError:
        problem = f"the memory of {device} does not suffice; the CPU's may (--device cpu)"
        found, method = Outcome(Verdict.UNKNOWN, 0, reason=problem), "search"
    trace = None
    if record is not None and found.verdict is Verdict.UNSAT:
        trace = trace_of(_with_own_output(query.network.graph), record)
    return Result(
        found.verdict,
        time.monotonic() - begun,
        method,
        found.subproblems,
        found.witness,
        found.bound if found.bound is not None and math.isfinite(found.bound) else None,
        found.reason,
        trace=trace,
    )


def _decide(
    query: Query,
    settings: Settings,
    device: torch.device,
    deadline: float,
    record: Journal | None,
    attacked: Network | None = None,
) -> tuple[Outcome, str]:
    """Decide a query; witnesses are looked for, and replayed, on the network ``attacked``, its own unless that is a part of it."""
    if not query.condition:
        return Outcome(Verdict.UNSAT, 0), "evaluation"
    graph = _with_own_output(query.network.graph)
    looked_up = _by_tables(query, graph, settings, device, deadline, record)
    return looked_up or _as_it_is(query, settings, device, deadline, record, attacked)


def _as_it_is(
    query: Query,
    settings: Settings,
    device: torch.device,
    deadline: float,
    record: Journal | None,
    attacked: Network | None,
) -> tuple[Outcome, str]:
    whole = _with_own_output(query.network.graph)
    every = Conditions.of(whole, query.condition)
    asked = _Asked(whole, every, query.lower, query.upper)
    # Proofs and balls are about all of the network.
    if record is None and query.ball is None:
        asked = asked.part()
    graph, constraints = asked.graph, asked.constraints
    region = box_region(graph, asked.lower[None], asked.upper[None])
    rounding = Rounding.of(graph, region)
    roots = _Roots(record, region)
    case = _left_by_intervals(graph, region, constraints, rounding, torch.arange(len(constraints)), roots)
    if not len(case):
        return Outcome(Verdict.UNSAT, len(constraints)), "bound"
    attack = _attack(query, every, settings, device, attacked)
    witness = _climbed(attack, case, REAL.quick, deadline) or _climbed_early(attack, graph, case, deadline)
    if witness is not None:
        return Outcome(Verdict.SAT, 0, witness), "attack"
    maximum = maximum_of(query)
    if maximum is not box_maximum:
        region, case = InBall(graph, maximum, deadline).left(region, constraints, case)
        if not len(case):
            return Outcome(Verdict.UNSAT, len(constraints)), "bound"
    propagate = form_ranges if varying_inputs(region) <= REFINE.few_inputs else propagate_intervals
    region = propagate(graph, region)
    wanted = reached(graph, (constraints.outputs != 0).flatten(0, -2).any(0))
    region = refine_ranges(graph, region, deadline, propagate, wanted)
    roots = _Roots(record, region, Means.CROWN)
    rounding = Rounding.of(graph, region)
    case = _root(Relaxation(graph, region), constraints, rounding, case, deadline, roots)
    touch = Touch.of(query, whole)
    # Rational numbers are about all of the network, too, and none that large has them.
    strict = touch.is_strict and graph is whole
    exactly = _refuted_exactly(touch, query, whole, region if graph is whole else None, case.tolist(), deadline)
    case = roots.left(case, torch.tensor(exactly, dtype=torch.bool), Means.FRACTIONS)
    if not len(case):
        return Outcome(Verdict.UNSAT, len(constraints)), "bound"
    witness = _climbed(attack, case, REAL.long, deadline)
    if witness is not None:
        return Outcome(Verdict.SAT, len(constraints), witness), "attack"
    if strict:
        touched = torch.tensor(touch.refutes(region, 0, case.tolist(), deadline, TOUCH.bends))
        case = roots.left(case, touched, Means.FRACTIONS)
        if not len(case):
            return Outcome(Verdict.UNSAT, len(constraints)), "bound"
    # A search that splits what is open is not to find anything there that nothing depends on.
    idle = [~features for features in wanted]
    if any(bool(features.any()) for features in idle):
        region = refine_ranges(graph, region, deadline, propagate, idle)
        _Roots(record, region, Means.CROWN)
    exact = touch if graph is whole else None
    problem = Problem(graph, constraints, asked.tried_by(attack), settings.memory, device, exact, record, maximum)
    hopeful = _hopeful(asked, case, rounding)
    if bool(hopeful.all()):
        return _search(problem, region, case, deadline)
    found, step = Outcome(Verdict.UNSAT, len(constraints)), "bound"
    if bool(hopeful.any()):
        found, step = _search(problem, region, case[hopeful], deadline)
    if found.verdict is Verdict.UNSAT:
        found = replace(found, verdict=Verdict.UNKNOWN, reason=_BEYOND)
    return found, step


def _refuted_exactly(
    touch: Touch, query: Query, graph: Graph, region: Region | None, cases: list[int], deadline: float
) -> list[bool]:
    """Which cases rational numbers refute on all of the box, whose ``region`` is None where searches work on a part of the graph."""
    refuted = refuted_at_jumps(query, graph, cases, deadline)
    if not touch.is_strict or any(refuted):
        return refuted
    known = box_region(graph, query.lower[None], query.upper[None]) if region is None else region
    refuted = refuted_by_images(query, graph, known, cases, deadline)
    left = [at for at, done in enumerate(refuted) if not done]
    if region is not None and left:
        for at, done in zip(left, touch.refutes(region, 0, [cases[at] for at in left], deadline), strict=True):
            refuted[at] = done
    return refuted


@dataclass(frozen=True, eq=False)
class _Asked:
    """What bounds and searches are about: a graph, its conditions and its box.

    Attributes
    ----------
    inputs : which of the query's inputs it has; None for all of them, in their order
    """

    graph: Graph
    constraints: Conditions
    lower: Tensor
    upper: Tensor
    inputs: Tensor | None = None

    def part(self) -> _Asked:
        """Only what the outputs spoken of depend on, where that is much less of a large network."""
        whole, spoken = self.graph, (self.constraints.outputs != 0).flatten(0, -2).any(0)
        size = sum(node.size for node in whole.nodes)
        if self.constraints.inputs is not None or size < REAL.cropped_from or bool(spoken.all() | ~spoken.any()):
            return self
        found = crop(whole, len(whole.nodes) - 1, spoken.nonzero()[:, 0])
        if sum(node.size for node in found.graph.nodes) > REAL.cropped * size:
            return self
        inputs = found.features[0]
        return _Asked(found.graph, self.constraints.of_part(found), self.lower[inputs], self.upper[inputs], inputs)

    def tried_by(self, attack: FloatAttack | None) -> PointAttack | None:
        """What tries this one's points."""
        if attack is None or self.inputs is None:
            return attack
        return PartAttack(attack, self.inputs)


def _attack(
    query: Query, constraints: Conditions, settings: Settings, device: torch.device, network: Network | None = None
) -> FloatAttack | None:
    """Attacks on a query, about ``network`` instead of its own where that is given; None where none are wanted."""
    if not settings.attack:
        return None
    meant = query if network is None else replace(query, network=network)
    return FloatAttack(meant, constraints, settings.seed, device)


def _climbed(attack: FloatAttack | None, case: Tensor, effort: tuple[int, int], deadline: float) -> Witness | None:
    """A witness that gradient ascent finds, if there is one, and if any is looked for."""
    return None if attack is None else attack.ascend(case, *effort, deadline)


def _climbed_early(attack: FloatAttack | None, graph: Graph, case: Tensor, deadline: float) -> Witness | None:
    """The same with all effort towards the nearest cases where there are signs: little is proved of these, and ranges take long."""
    if attack is None or not any(isinstance(graph.activation(index), Step) for index in graph.activations):
        return None
    return attack.ascend(attack.nearest_first(case)[: REAL.nearest], *REAL.long, deadline)


def _by_tables(
    query: Query,
    graph: Graph,
    settings: Settings,
    device: torch.device,
    deadline: float,
    record: Journal | None,
) -> tuple[Outcome, str] | None:
    """The answer on a network with tables, row by row; None where there are none, or too much to look up. Proofs are of one
    graph, and do without."""
    tables = Tables.of(graph) if record is None and query.ball is None else None
    cells = tables.cells(query.lower, query.upper, deadline) if tables is not None else None
    if tables is not None and cells is None and time.monotonic() >= deadline:
        reason = "the time limit was reached while tables were looked up"
        return Outcome(Verdict.TIMEOUT, 0, reason=reason), "search"
    if tables is None or cells is None:
        return None
    # Where nothing else varies, one point of a cell is all there is.
    varies = query.lower < query.upper
    varies[list(tables.inputs)] = False
    own = replace(settings, attack=settings.attack and (bool(varies.any()) or not tables.alone))

    def decide(part: Query, until: float) -> tuple[Outcome, str]:
        return _decide(part, own, device, until, None, query.network)

    attack = _attack(query, Conditions.of(graph, query.condition), settings, device)
    return decide_by_tables(query, tables, cells, attack, deadline, decide)


def _with_own_output(graph: Graph) -> Graph:
    """The graph with an output node that is not its input: objectives name both, by node."""
    if len(graph.nodes) > 1:
        return graph
    builder = GraphBuilder(graph.arithmetic, graph.input.shape)
    one = torch.ones(1, dtype=torch.float64)
    builder.add("output", Scale(graph.input.size, one, torch.zeros_like(one)), builder.input)
    return builder.build()


@dataclass(frozen=True, eq=False)
class _Roots:
    """Where it is recorded which cases are refuted on all of the box, with the ranges known so far."""

    record: Journal | None
    region: Region
    means: Means = Means.INTERVALS

    def __post_init__(self) -> None:
        if self.record is not None:
            self.record.found(self.region, self.means)

    def left(self, case: Tensor, refuted: Tensor, means: Means, value: Tensor | None = None) -> Tensor:
        """The cases ``[B]`` without those that are refuted, by the constraint of each with the least bound ``[B, m]``."""
        if self.record is not None and bool(refuted.any()):
            weight = None if value is None else one_constraint(value[refuted])
            self.record.leaf(self.record.root(case[refuted], self.region), Grounds(means, weight))
        return case[~refuted]


def _left_by_intervals(
    graph: Graph, region: Region, constraints: Conditions, rounding: Rounding, cases: Tensor, roots: _Roots
) -> Tensor:
    """Those of the cases that intervals leave open, single constraint by single constraint."""
    left = []
    for case in torch.split(cases, max(1, rows_at_once(graph) // constraints.width)):
        objective = constraints.single(
            case.repeat_interleave(constraints.width), torch.arange(constraints.width).repeat(len(case))
        )
        all_of_them = Objective({node: c[None] for node, c in objective.coefficients.items()}, objective.constant[None])
        value = interval_bound(Relaxation(graph, region), all_of_them, rounding).view(len(case), constraints.width)
        left.append(roots.left(case, ~(value.amin(1) >= 0), Means.INTERVALS, value))
    return torch.cat(left)


def _hopeful(asked: _Asked, case: Tensor, rounding: Rounding) -> Tensor:
    """Which cases might be refuted, as far as the size of values goes: ``[B]`` bool.

    Where there is no finite bound on the region, ``rounding``, there can be some on its parts, whose values are smaller. But
    some part holds the centre of the box, and one its largest point, so that what the network makes of
    these must not be too large.
    """
    graph, constraints, lower, upper = asked.graph, asked.constraints, asked.lower, asked.upper
    hopeful = constraints.boundable(case, rounding)
    if bool(hopeful.all()):
        return hopeful
    hopeful = torch.ones_like(hopeful)
    for x in ((lower + upper) / 2, torch.where(-lower > upper, lower, upper)):
        hopeful &= constraints.boundable(case, Rounding.of(graph, point_region(graph, x[None])))
    return hopeful


def _search(problem: Problem, region: Region, case: Tensor, deadline: float) -> tuple[Outcome, str]:
    """Decide the cases that the root leaves open."""
    graph = problem.graph
    if problem.maximum is not box_maximum and is_piecewise_linear(graph, region):
        # Boxes, of which most do not meet a ball, know it by its ranges alone; splits of signs and of ranges know it.
        dual, rounding = SignDual.of(graph, region, problem.maximum), Rounding.of(graph, region)
        return _ended(ReluSplit(problem, dual, rounding).run(case, deadline), deadline), "search"
    varying = varying_inputs(region)
    before = 0
    boxes = varying <= REAL.few_inputs or (
        varying <= REAL.some_inputs and _open_count(graph, region) > REAL.many_features
    )
    if boxes and problem.maximum is box_maximum:
        now = time.monotonic()
        until, most = now + REAL.share_of_boxes * (deadline - now), math.inf
        if varying <= REAL.few_inputs:
            until, most = math.inf, REAL.boxes_first if _is_small(problem, region) else math.inf
            chains = ChainSplit.of(problem, deadline)
            if chains is not None:
                found = chains.run(region, case, deadline, most)
                if found.verdict is not Verdict.UNKNOWN or found.left is None:
                    return found, "search"
                case, before = found.left, found.subproblems
        found = InputSplit(problem).run(region, case, deadline, until, most)
        only = until == math.inf and found.reason != DO_NOT_CLOSE
        if only or found.verdict.decided or found.left is None or time.monotonic() >= deadline:
            return _ended(replace(found, subproblems=before + found.subproblems), deadline), "search"
        case, before = found.left, before + found.subproblems
    if not is_piecewise_linear(graph, region):
        found = RangeSplit(problem).run(region, case, deadline)
    else:
        found = Rounds(problem).run(region, case, deadline)
    return _ended(replace(found, subproblems=before + found.subproblems), deadline), "search"


def _is_small(problem: Problem, region: Region) -> bool:
    """Whether linear programs of all subproblems are there for what boxes do not close."""
    if not is_piecewise_linear(problem.graph, region):
        return False
    return ProgramSplit.is_for(SignDual.of(problem.graph, region), problem.constraints)


def _ended(found: Outcome, deadline: float) -> Outcome:
    """How a search ended that handed its cases on when there was no time left for another one."""
    if found.verdict is Verdict.UNKNOWN and found.left is not None and time.monotonic() >= deadline:
        return replace(found, verdict=Verdict.TIMEOUT, reason="the time limit was reached")
    return found


def _open_count(graph: Graph, region: Region) -> int:
    return sum(int(unstable_features(graph, region, k).sum()) for k in range(len(graph.activations)))


def _root(
    relaxation: Relaxation,
    constraints: Conditions,
    rounding: Rounding,
    cases: Tensor,
    deadline: float,
    roots: _Roots,
) -> Tensor:
    """Cases that CROWN leaves open, single constraint by single constraint; at the deadline, those it has not come to."""
    graph, region = relaxation.graph, relaxation.region
    case = cases.repeat_interleave(constraints.width)
    which = torch.arange(constraints.width).repeat(len(cases))
    value = torch.full((len(case),), torch.inf, dtype=torch.float64)
    for rows in torch.split(torch.arange(len(case)), rows_at_once(graph)):
        if time.monotonic() >= deadline:
            break
        objective = constraints.single(case[rows], which[rows])
        value[rows] = crown_lines(relaxation, objective, rounding).value
    single = value.view(len(cases), constraints.width)
    open_cases = roots.left(cases, ~(single.amin(1) >= 0), Means.CROWN, single)
    if not len(open_cases):
        return open_cases
    # The ranges are better by now than they were for the intervals before.
    return _left_by_intervals(graph, region, constraints, rounding, open_cases, roots)
