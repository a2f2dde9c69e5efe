"""Linear programs of all subproblems: what they propose never bounds too low, however false a solver's answers are."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from netproof import Settings, Verdict, verify
from netproof.attack.real import FloatAttack
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.multipliers.signs import LEFT, RIGHT, WHOLE, SignDual
from netproof.bounds.multipliers.triangles import Triangles
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import box_region
from netproof.conditions.conditions import Conditions
from netproof.operators.activations.abs import Abs
from netproof.query import Conjunction
from netproof.search.real import decide, rounds
from netproof.search.real.problem import Problem
from netproof.search.real.programs import split as programs
from netproof.search.real.programs.leaf import leaf_solver
from netproof.search.real.programs.split import ProgramSplit
from netproof.solvers.highs.model import Solution, Status
from netproof.solvers.highs.solve import HighsProcess, SolverError
from soundness.real_networks import double, random_graph
from soundness.test_leaves import CONDITIONS, JUST, Liar, case, prepared, query, saved

FOREVER = 600.0


def search(asked, attack=None, seconds=FOREVER):
    dual, rounding, constraints = prepared(asked)
    with leaf_solver(1 << 28) as solver:
        search = ProgramSplit(Problem(dual.graph, constraints, attack, 1 << 28), dual, rounding, solver)
        return search.run(torch.arange(len(asked.condition)), time.monotonic() + seconds)


@pytest.mark.parametrize("rows", CONDITIONS)
@pytest.mark.parametrize("seed", range(4))
def test_thresholds_just_out_of_reach_and_just_in_reach(seed, rows, tmp_path, monkeypatch):
    graph, lower, upper, largest = case(seed, rows)
    assert search(query(graph, lower, upper, rows, largest + 1e-6)).verdict is Verdict.UNSAT
    assert search(query(graph, lower, upper, rows, largest - 1e-7)).verdict is not Verdict.UNSAT
    monkeypatch.setattr(FloatAttack, "ascend", lambda *_: None)
    stored = saved(graph, tmp_path)
    condition = query(graph, lower, upper, rows, largest - JUST).condition
    asked = replace(query(graph, lower, upper, rows, largest - JUST), network=stored, condition=condition)
    found = search(asked, FloatAttack(asked, Conditions.of(stored.graph, condition), 0))
    assert found.verdict is Verdict.SAT and found.witness is not None
    assert bool((double(rows) @ found.witness.output.double() >= largest - JUST).all())


def some_part(seed, **kind):
    """A network with all that is needed, and parts: the whole, single sides, and sides of sampled points; points and their sides."""
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, (4, 5, 5, 2), **kind)
    center = torch.randn(1, 4, generator=generator).double()
    region = refine_ranges(graph, box_region(graph, center - 1.5, center + 1.5))
    dual = SignDual.of(graph, region)
    x = region.lower + torch.rand(3000, 4, generator=generator).double() * 3.0
    values = graph.values(x)
    before = [
        values[graph.nodes[i].operands[0]][:, which] for i, which in zip(graph.activations, dual.index, strict=True)
    ]
    signs = torch.where(torch.cat(before, 1) >= 0, RIGHT, LEFT).to(torch.int8)
    hidden = torch.rand(40, len(dual), generator=generator) < torch.linspace(0, 1, 40)[:, None]
    sides = torch.where(hidden, signs[:40], torch.tensor(WHOLE, dtype=torch.int8))
    flipped = sides.clone()
    flipped[:, 0] = -signs[:40, 0]
    return graph, dual, x, signs, torch.cat([sides, flipped])


@pytest.mark.parametrize(
    "kind", [{}, {"leaky": True}, {"residual": True}, {"activation": Abs()}, {"spread": 6.0}], ids=str
)
@pytest.mark.parametrize("seed", range(2))
def test_proposals_are_the_programs_and_above_every_point(seed, kind):
    graph, dual, x, signs, sides = some_part(seed, **kind)
    rounding = Rounding.of(graph, dual.region)
    condition = [Conjunction(double([[1.0, -0.5], [-1.0, 1.0]]), double([-0.5, 0.25]))]
    constraints = Conditions.of(graph, condition)
    which = torch.zeros(2, dtype=torch.int64)
    triangles = Triangles(dual, constraints.single(which, torch.arange(2)), 2)
    members = [triangles.member(0, side) for side in sides]
    with leaf_solver(1 << 28) as solver:
        solutions = solver.solve_all(triangles.family, members, time.monotonic() + FOREVER, tolerance=1e-9)
    proposal = triangles.propose([0] * len(sides), sides, solutions)
    assert bool(proposal.known.all())
    none = torch.zeros(len(sides), dtype=torch.int64)
    mixed = constraints.mixed(none, proposal.weight)
    objective = replace(mixed, error=constraints.mixing_error(none, proposal.weight, rounding))
    bound = dual.bound(objective, sides, proposal.alpha, proposal.beta, rounding).value
    outputs = graph.evaluate(x)
    margin = constraints.margins(x, outputs, torch.zeros(len(x), dtype=torch.int64))
    empty = 0
    for row, solution in enumerate(solutions):
        inside = ((sides[row] == WHOLE) | (sides[row] == signs)).all(1)
        reached = triangles.reached(solution)
        if bool(inside.any()):
            # The mixture is bounded, and no point meets both constraints by more than the program says.
            assert float((margin[inside] @ proposal.weight[row]).max()) <= float(bound[row])
            scaled = margin[inside].numpy() / triangles._size
            assert scaled.min(1).max() <= reached + 1e-7
        if solution.status is Status.INFEASIBLE:
            empty += 1
            assert float(bound[row]) < 0
        elif "spread" not in kind:
            # Nothing is lost on the way from dual values to multipliers.
            assert float(bound[row]) == pytest.approx(reached, abs=1e-5)
    assert empty < len(sides)


def lying(kind):
    """A solver that answers each member of a family as :class:`soundness.test_leaves.Liar` answers a model."""
    liar = Liar(kind)

    def solve_all(_self, family, members, deadline, *, tolerance=None):
        return [liar(family.model, deadline, tolerance=tolerance) for _ in members]

    return solve_all


@pytest.mark.parametrize(
    "kind", ["late", "infeasible", "no ray", "short", "noise", "huge", "nan", "negative", "zero", "dies"]
)
def test_a_solver_that_lies_refutes_nothing(kind, monkeypatch):
    monkeypatch.setattr(HighsProcess, "solve_all", lying(kind))
    monkeypatch.setattr(HighsProcess, "solve", Liar(kind))
    for seed in range(2):
        graph, lower, upper, largest = case(seed, CONDITIONS[1])
        found = search(query(graph, lower, upper, CONDITIONS[1], largest - 1e-6), seconds=5.0)
        assert found.verdict in (Verdict.UNKNOWN, Verdict.TIMEOUT)
        if kind == "dies":
            assert "SIGKILL" in found.reason and found.left is not None


def test_without_a_solver_other_searches_go_on(monkeypatch):
    def fails(*_, **__):
        raise SolverError("HiGHS is missing: install highspy")

    monkeypatch.setattr(HighsProcess, "solve_all", fails)
    monkeypatch.setattr(rounds, "ROUND", replace(rounds.ROUND, easy=1))
    graph, lower, upper, largest = case(1, CONDITIONS[1])
    asked = query(graph, lower, upper, CONDITIONS[1], largest + 1e-3)
    assert verify(asked, Settings(timeout=FOREVER, attack=False)).verdict is Verdict.UNSAT


def test_several_cases_share_one_family(monkeypatch):
    monkeypatch.setattr(programs, "PROGRAM", replace(programs.PROGRAM, at_once=3, look_ahead=2))
    graph, lower, upper, largest = case(2, CONDITIONS[1])
    reach, far = largest + 1e-4, largest + 1.0
    conjunctions = [Conjunction(double(CONDITIONS[1]), double([t, t])) for t in (far, reach, far)]
    asked = replace(query(graph, lower, upper, CONDITIONS[1], reach), condition=tuple(conjunctions))
    assert search(asked).verdict is Verdict.UNSAT
    conjunctions[1] = replace(conjunctions[1], threshold=double([largest - 1e-4] * 2))
    found = search(replace(asked, condition=tuple(conjunctions)))
    # Its program says that a point meets it: nothing else would refute it.
    assert found.verdict is Verdict.UNKNOWN and found.left is None


def test_relatives_remember_no_ends(monkeypatch):
    """Members in any order have the same optimum."""
    graph, dual, *_, sides = some_part(0)
    constraints = Conditions.of(graph, [Conjunction(double([[1.0, 0.5]]), double([0.0]))])
    triangles = Triangles(dual, constraints.single(torch.tensor([0]), torch.tensor([0])), 1)
    members = [triangles.member(0, side) for side in sides]
    order = np.random.default_rng(0).permutation(len(members))
    until = time.monotonic() + FOREVER
    with leaf_solver(1 << 28) as solver:
        first = solver.solve_all(triangles.family, members, until)
        second = solver.solve_all(triangles.family, [members[i] for i in order], until)
        # Another family in between, and one program: nothing of them is left.
        solver.solve_all(Triangles(dual, constraints.single(torch.tensor([0]), torch.tensor([0])), 1).family, [], until)
        third = [solver.solve_all(triangles.family, [one], until)[0] for one in members[:5]]
        assert solver.solve_all(triangles.family, members[:1], time.monotonic() - 1)[0].status is Status.TIME
    values = [triangles.reached(one) for one in first]
    assert [triangles.reached(one) for one in second] == pytest.approx([values[i] for i in order], abs=1e-6)
    assert [triangles.reached(one) for one in third] == pytest.approx(values[:5], abs=1e-6)


def test_nothing_is_read_from_a_solution_that_is_none():
    graph, dual, *_, sides = some_part(1)
    constraints = Conditions.of(graph, [Conjunction(double([[1.0, 0.5]]), double([0.0]))])
    triangles = Triangles(dual, constraints.single(torch.tensor([0]), torch.tensor([0])), 1)
    proposal = triangles.propose([0], sides[:1], [Solution(Status.OTHER)])
    assert not bool(proposal.known.any()) and triangles.reached(Solution(Status.OTHER)) == np.inf


def test_signs_are_split_however_few_inputs_there_are_where_boxes_do_not_close(monkeypatch):
    generator = torch.Generator().manual_seed(6)
    graph = random_graph(generator, (5, 6, 6, 2))
    lower = torch.full((5,), -2.0, dtype=torch.float64)
    corners = torch.cartesian_prod(*[double([-2.0, 0.0, 2.0])] * 5)
    least = graph.evaluate(corners).amin(1)
    top, spread = float(least.max()), float(least.max() - least.min())
    ran = []
    run = ProgramSplit.run
    monkeypatch.setattr(ProgramSplit, "run", lambda *given: ran.append(run(*given)) or ran[-1])
    rows, settings = [[1.0, 0.0], [0.0, 1.0]], Settings(timeout=FOREVER, attack=False)
    asked = query(graph, lower, -lower, rows, top + spread / 8)
    boxes = verify(asked, settings)
    assert not ran and boxes.verdict is Verdict.UNSAT
    monkeypatch.setattr(rounds, "ROUND", replace(rounds.ROUND, easy=1))
    monkeypatch.setattr(decide, "REAL", replace(decide.REAL, boxes_first=1))
    signs = verify(asked, settings)
    assert signs.verdict is Verdict.UNSAT and [one.verdict for one in ran] == [Verdict.UNSAT]
    assert verify(query(graph, lower, -lower, rows, top), settings).verdict is not Verdict.UNSAT


def test_small_programs_only():
    graph, dual, *_ = some_part(0)
    constraints = Conditions.of(graph, [Conjunction(double([[1.0, 0.5]]), double([0.0]))])
    assert ProgramSplit.is_for(dual, constraints)
    for change in ({"most_features": len(dual) - 1}, {"most_goals": 0}, {"largest_program": 20}):
        before = programs.PROGRAM
        programs.PROGRAM = replace(before, **change)
        try:
            assert not ProgramSplit.is_for(dual, constraints)
        finally:
            programs.PROGRAM = before
