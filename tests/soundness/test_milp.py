"""The MILP engine against every input tried out, and with a solver that lies."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from netproof.bounds.region import Region, box_region
from netproof.exact.milp.condition import tighten_by_condition
from netproof.exact.milp.encode import Encoder
from netproof.exact.milp.engine import MilpEngine
from netproof.exact.milp.proof import ProgramTree
from netproof.query import Conjunction, Query, Verdict
from netproof.settings import Settings
from netproof.solvers.highs.model import Model, Solution, Status
from netproof.solvers.highs.solve import HighsProcess
from netproof.solvers.highs.worker import Request, solve
from soundness.random_networks import KINDS, floats, random_network, random_query, tight_query, witnesses

NOW = time.monotonic


def queries(seed: int, count: int, **options: object):
    for number in range(count):
        random = np.random.default_rng([seed, number])
        net = random_network(random, **options)  # type: ignore[arg-type]
        make = tight_query if number % 2 else random_query
        yield net, make(random, net, net.network())


def one(query: Query, conjunction: Conjunction) -> Query:
    return Query(query.network, query.lower, query.upper, (conjunction,))


@pytest.mark.parametrize("kind", KINDS)
def test_the_program_has_a_point_exactly_where_there_is_a_witness(kind):
    outcomes: Counter[bool] = Counter()
    for net, query in queries(1, 12, bits=6, kinds=[kind]):
        graph = query.network.graph
        root = box_region(graph, query.lower[None], query.upper[None])
        for conjunction in query.condition:
            single = one(query, conjunction)
            true = bool(len(witnesses(net, single)))
            outcomes[true] += 1
            cut = tighten_by_condition(graph, root, conjunction)
            assert cut is not None or not true
            for region in (root, cut) if cut is not None else (root,):
                encoding = Encoder(graph).encode(region, conjunction)
                for model in (encoding.model, encoding.with_real_inputs()):
                    if not len(model.cost):
                        continue
                    solution = solve(Request(model, False, 10.0))
                    if model is encoding.model:
                        assert solution.status is (Status.OPTIMAL if true else Status.INFEASIBLE)
                    elif true:
                        assert solution.status is Status.OPTIMAL
                    if true and model is encoding.model:
                        assert solution.point is not None
                        x = torch.from_numpy(encoding.input_of(solution.point)).round()
                        assert bool(single.refuted_by(x))
    assert min(outcomes.values()) > 3 and len(outcomes) == 2


def test_every_single_input_is_a_point_exactly_where_it_is_a_witness():
    for net, query in queries(2, 6, bits=4):
        graph = query.network.graph
        x = net.points()
        for conjunction in query.condition[:1]:
            whole = Query(query.network, query.network.lower, query.network.upper, (conjunction,))
            region = box_region(graph, whole.lower[None], whole.upper[None])
            encoding = Encoder(graph).encode(region, conjunction)
            free = encoding.inputs >= 0
            met = whole.refuted_by(floats(x))
            for point, true in zip(x, met.tolist(), strict=True):
                model = replace(encoding.model, lower=encoding.model.lower.copy(), upper=encoding.model.upper.copy())
                model.lower[encoding.inputs[free]] = model.upper[encoding.inputs[free]] = point[free]
                if len(model.cost):
                    solution = solve(Request(model, False, 10.0))
                    assert solution.status is (Status.OPTIMAL if true else Status.INFEASIBLE)


def test_what_a_condition_cuts_off_holds_no_witness():
    cut_off = 0
    for net, query in queries(3, 40):
        graph = query.network.graph
        root = box_region(graph, query.lower[None], query.upper[None])
        for conjunction in query.condition:
            found = witnesses(net, one(query, conjunction))
            region = tighten_by_condition(graph, root, conjunction)
            if region is None:
                cut_off += 1
                assert not len(found)
                continue
            for k, a in enumerate(net.preactivations(found)):
                low, high = region.range_lower[k][0].numpy(), region.range_upper[k][0].numpy()
                assert ((a >= low) & (a <= high)).all()
            before, after = ([*r.range_lower, *r.range_upper] for r in (root, region))
            cut_off += any(not torch.equal(b, a) for b, a in zip(before, after, strict=True))
    assert cut_off > 20


@pytest.mark.parametrize("final", [*KINDS, None])
def test_verdicts_equal_brute_force(final):
    outcomes: Counter[Verdict] = Counter()
    with MilpEngine() as engine:
        for net, query in queries(4, 10, final=final):
            answer = engine.decide(query, Settings(), NOW() + 60)
            true = len(witnesses(net, query)) > 0
            assert answer.verdict is (Verdict.SAT if true else Verdict.UNSAT), answer
            assert (answer.point is not None) == true
            if answer.point is not None:
                assert bool(query.refuted_by(answer.point))
            outcomes[answer.verdict] += 1
    assert len(outcomes) == 2 or final == "constant"


@pytest.mark.parametrize("seed", range(3))
def test_trees_alone_equal_brute_force(seed):
    """Without HiGHS's integer programs, and no more than a single point ever evaluated."""
    regions = 0
    with HighsProcess(1 << 30) as solver:
        for net, query in queries(50 + seed, 60, bits=6, layers=2):
            graph = query.network.graph
            root = box_region(graph, query.lower[None], query.upper[None])
            for conjunction in query.condition:
                single = one(query, conjunction)

                def replay(points: torch.Tensor, single: Query = single) -> torch.Tensor | None:
                    hits = single.refuted_by(points.round()).nonzero()[:, 0]
                    return points.round()[hits[0]] if len(hits) else None

                tree = ProgramTree(Encoder(graph), conjunction, root, solver, replay)
                done = tree.grow(NOW() + 60)
                assert done.verdict is (Verdict.SAT if len(witnesses(net, single)) else Verdict.UNSAT)
                regions += tree.regions
    assert regions > 100


Lie = Callable[[np.random.Generator, Model, bool, Solution], Solution]


def garbage(random: np.random.Generator, model: Model, relaxed: bool, said: Solution) -> Solution:
    """Any status, any point, any dual values."""
    values = random.normal(size=len(model.cost)) * 10.0 ** random.integers(-3, 6)
    dual = random.normal(size=len(model.row_lower)) * 10.0 ** random.integers(-3, 6)
    if random.random() < 0.2:
        dual[:1], values[:1] = np.nan, np.inf
    return Solution(list(Status)[random.integers(4)], values, dual)


def denial(random: np.random.Generator, model: Model, relaxed: bool, said: Solution) -> Solution:
    """Nothing has a point."""
    return Solution(Status.INFEASIBLE, None, random.normal(size=len(model.row_lower)))


def silence(random: np.random.Generator, model: Model, relaxed: bool, said: Solution) -> Solution:
    return Solution(Status.OTHER)


def noise(random: np.random.Generator, model: Model, relaxed: bool, said: Solution) -> Solution:
    """The right answer, somewhat off."""
    if said.dual is not None:
        said = replace(said, dual=said.dual * (1 + 0.1 * random.normal(size=len(said.dual))))
    if said.point is not None:
        said = replace(said, point=said.point + 0.4 * random.normal(size=len(said.point)))
    return said


@pytest.mark.parametrize("lie", [garbage, denial, silence, noise])
def test_a_solver_that_lies_costs_time_and_no_verdict(lie: Lie, monkeypatch: pytest.MonkeyPatch):
    random = np.random.default_rng(6)
    asked = 0

    def answer(self: HighsProcess, model: Model, deadline: float, *, relaxed: bool = False) -> Solution:
        nonlocal asked
        asked += 1
        honest = Solution(Status.OTHER)
        if lie is noise and len(model.cost):
            honest = solve(Request(model, relaxed, 5.0))
        return lie(random, model, relaxed, honest)

    monkeypatch.setattr(HighsProcess, "solve", answer)
    outcomes: Counter[Verdict] = Counter()
    with MilpEngine() as engine:
        for net, query in queries(7, 30, bits=6):
            said = engine.decide(query, Settings(), NOW() + 20)
            truth = Verdict.SAT if len(witnesses(net, query)) else Verdict.UNSAT
            assert said.verdict in (truth, Verdict.TIMEOUT)
            outcomes[said.verdict] += 1
    assert asked > 20 and outcomes[Verdict.SAT] and outcomes[Verdict.UNSAT]


def test_halves_cover_what_they_are_halves_of():
    """However far a tree has grown, every witness is in a region still open, or was evaluated."""
    checked = 0
    with HighsProcess(1 << 30) as solver:
        for net, query in queries(8, 30, bits=6):
            graph = query.network.graph
            root = box_region(graph, query.lower[None], query.upper[None])
            conjunction = query.condition[0]
            x = witnesses(net, one(query, conjunction))
            evaluated: set[tuple[int, ...]] = set()

            def note(points: torch.Tensor, evaluated: set[tuple[int, ...]] = evaluated) -> None:
                evaluated.update(tuple(point) for point in points.round().long().tolist())

            tree = ProgramTree(Encoder(graph), conjunction, root, solver, note)
            for _ in range(12):
                tree.grow(NOW() + 20, 1)
                inside = np.array([tuple(point) in evaluated for point in x.tolist()], np.bool_)
                for node in tree._open:
                    inside |= _inside(net.preactivations(x), x, node.region)
                assert inside.all()
                checked += len(x)
    assert checked > 100


def _inside(a: list[np.ndarray], x: np.ndarray, region: Region) -> np.ndarray:
    found = ((x >= region.lower[0].numpy()) & (x <= region.upper[0].numpy())).all(1)
    for k, values in enumerate(a):
        found &= ((values >= region.range_lower[k][0].numpy()) & (values <= region.range_upper[k][0].numpy())).all(1)
    return found


def test_statistics_say_what_was_done():
    with MilpEngine() as engine:
        for _, query in queries(9, 10):
            statistics = engine.decide(query, Settings(), NOW() + 60).statistics
            assert set(statistics) == {
                "cases",
                "regions",
                "programs",
                "integer_programs",
                "highs_infeasible",
                "highs_nodes",
                "points_rejected",
            }
            assert statistics["programs"] <= statistics["regions"]


def test_constraints_with_huge_coefficients():
    """Weights of several constraints must leave their sum exact."""
    outcomes: Counter[Verdict] = Counter()
    with MilpEngine() as engine:
        for net, query in queries(11, 24, bits=6):
            random = np.random.default_rng(len(outcomes))
            scale = float((1 << 33) + random.integers(1 << 20))
            condition = tuple(
                # c y >= r, for integers, is k c y >= k r - (k - 1).
                Conjunction(c.coefficients * scale, c.threshold * scale - float(random.integers(1 << 33)))
                for c in query.condition
            )
            scaled = Query(query.network, query.lower, query.upper, condition)
            answer = engine.decide(scaled, Settings(), NOW() + 20)
            true = len(witnesses(net, query)) > 0
            assert answer.verdict is (Verdict.SAT if true else Verdict.UNSAT), answer
            outcomes[answer.verdict] += 1
    assert len(outcomes) == 2


def test_centring_keeps_the_levels_of_a_point():
    centred = 0
    for _, query in queries(10, 60, bits=6):
        graph = query.network.graph
        region = box_region(graph, query.lower[None], query.upper[None])
        encoding = Encoder(graph).encode(region, query.condition[0])
        if not len(encoding.model.cost):
            continue
        found = solve(Request(encoding.model, False, 10.0))
        if found.point is None or not encoding.staircases:
            continue
        moved = solve(Request(encoding.centred(found.point), True, 10.0))
        assert moved.status is Status.OPTIMAL and moved.point is not None
        slack = moved.point[-1]
        assert slack >= -1e-6
        for staircase in encoding.staircases:
            level = round(found.point[staircase.levels.value])
            at, steps = moved.point[staircase.argument], staircase.steps
            assert steps.at(at + 1e-6) == level
            inside = steps.threshold[(steps.threshold > at - slack + 1e-6) & (steps.threshold < at + slack + 1 - 1e-6)]
            assert not len(inside)
        centred += 1
    assert centred > 5
