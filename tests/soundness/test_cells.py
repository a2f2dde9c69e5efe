"""Cells: what is found on a part of a region is true there, and a search over all parts never refutes what is attained."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch

from netproof import Verdict
from netproof.bounds.ends.refine_split import Side, SplitRefiner, is_empty_cell, sides_of
from netproof.bounds.multipliers.signs import LEFT, RIGHT, SignDual
from netproof.bounds.ranges.prefix import prefix
from netproof.conditions.conditions import Conditions
from netproof.query import Conjunction
from netproof.search.outcome import Outcome
from netproof.search.real import cells as cells_
from netproof.search.real import rounds
from netproof.search.real.cells import CellSearch
from netproof.search.real.problem import Problem
from netproof.search.real.rounds import Rounds
from soundness.real_networks import double, evaluate, rational
from soundness.test_ranges_by_splits import prepared, within
from soundness.test_real_bounds import points
from soundness.test_real_search import best_points


def some_cell(graph, region, generator, size):
    dual = SignDual.of(graph, region)
    everything = [(k, int(f)) for k, which in enumerate(dual.index) for f in which]
    picked = torch.randperm(len(everything), generator=generator)[:size].tolist()
    halves = torch.randint(0, 2, (size,), generator=generator).tolist()
    return [Side(*everything[i], RIGHT if half else LEFT) for i, half in zip(picked, halves, strict=False)]


def inside(graph, values, cell):
    return all(values[graph.nodes[graph.activations[k]].operands[0]][f] * half >= 0 for k, f, half in cell)


@pytest.mark.parametrize("seed", [*range(12), 25, 26, 27])
def test_ranges_of_a_cell_hold_its_points(seed):
    generator, graph, region = prepared(seed, (3, 6, 6, 6, 2), 2.0)
    sampled = [evaluate(graph, x) for x in points(generator, region.lower, region.upper, 200)]
    seen = 0
    for size in (1, 2, 3):
        cell = some_cell(graph, region, generator, size)
        refined = SplitRefiner(graph, cell).refine(region, math.inf)
        for values in sampled:
            if not inside(graph, values, cell):
                continue
            seen += 1
            assert not is_empty_cell(refined, cell)
            for k, index in enumerate(graph.activations):
                value = values[graph.nodes[index].operands[0]]
                assert within(value, refined.range_lower[k][0], refined.range_upper[k][0])
    assert seen or seed % 4  # with these seeds some cells hold points


def test_cells_have_tighter_ranges_than_the_whole():
    """``|x|`` from two ReLUs, less ``x``: -2 x on the left, 0 on the right."""
    from netproof.bounds.region import box_region
    from netproof.graph.graph import Arithmetic, GraphBuilder
    from netproof.operators.activations.relu import ReLU
    from netproof.operators.affine.linear import Linear

    builder = GraphBuilder(Arithmetic.REAL, (1,))
    at = builder.add("one", Linear(double([[1.0], [-1.0]]), double([0.0, 0.0])), builder.input)
    at = builder.add("relu", ReLU(), at)
    at = builder.add("two", Linear(double([[0.0, 2.0], [1.0, 1.0]]), double([-0.5, -0.25])), at)
    at = builder.add("relu", ReLU(), at)
    builder.add("three", Linear(double([[1.0, 1.0]]), double([0.0])), at)
    graph = builder.build()
    region = box_region(graph, double([[-1.0]]), double([[1.0]]))
    right = SplitRefiner(graph, [Side(0, 0, RIGHT)]).refine(region, math.inf)
    assert float(right.range_upper[1][0, 0]) <= 0 < float(region.range_upper[1][0, 0])
    # On the right the first feature of the second layer cannot be positive.
    assert is_empty_cell(right, [Side(0, 0, RIGHT), Side(1, 0, RIGHT)]) == (float(right.range_upper[1][0, 0]) < 0)
    left = SplitRefiner(graph, [Side(0, 0, LEFT)]).refine(region, math.inf)
    assert float(left.range_upper[1][0, 0]) >= 1.5
    assert not is_empty_cell(left, [Side(0, 0, LEFT)])


def test_sides_go_with_original_features():
    _, graph, region = prepared(4, (3, 6, 6, 6, 2), 2.0)
    dual = SignDual.of(graph, region)
    cell = [Side(k, int(which[-1]), LEFT) for k, which in enumerate(dual.index) if len(which)]
    side = sides_of(dual, cell)
    ends = torch.tensor(dual.sizes).cumsum(0) - 1
    assert int((side != 0).sum()) == len(cell) > 1
    assert bool((side[ends[torch.tensor([one.k for one in cell])]] == LEFT).all())
    part = prefix(graph, region, 2, torch.arange(6))
    smaller = SignDual.of(part.graph, part.region)
    mapped = sides_of(smaller, cell, part.kept)
    assert int((mapped != 0).sum()) == sum(one.k < 2 for one in cell)
    for k, which in enumerate(smaller.index):
        begin = sum(smaller.sizes[:k])
        assert part.kept[k][0] == k
        chosen = part.kept[k][1][which[mapped[begin : begin + len(which)] != 0]]
        assert chosen.tolist() == [one.feature for one in cell if one.k == k]


@pytest.mark.parametrize("seed", [*range(5), 24, 25])
@pytest.mark.parametrize("search", ["cells", "single cells", "rounds"])
def test_attained_is_never_refuted_and_out_of_reach_is(search, seed):
    generator, graph, region = prepared(seed, (10, 6, 6, 6, 1), 0.4)
    lower, upper = region.lower[0], region.upper[0]
    high, low = best_points(graph, lower, upper, generator, count=500)
    top, bottom = (evaluate(graph, rational(x))[-1][0] for x in (high, low))
    attained = float(top) if Fraction(float(top)) <= top else float(torch.nextafter(double(float(top)), double(-1e300)))

    def verdict(threshold, seconds):
        constraints = Conditions.of(graph, (Conjunction(double([[1.0]]), double([threshold])),))
        case, deadline = torch.tensor([0]), time.monotonic() + seconds
        if search == "rounds":
            return Rounds(Problem(graph, constraints, None, 1 << 28)).run(region, case, deadline).verdict
        # With no time for ranges and searches a cell is split until nothing is left to split.
        each = 1e-9 if search == "single cells" else 0.05
        return CellSearch(Problem(graph, constraints, None, 1 << 28)).run(region, case, each, deadline).verdict

    assert verdict(attained, 0.3) is not Verdict.UNSAT
    above = verdict(float(top) + 0.1 * float(top - bottom) + 1e-6, 600.0)
    if len(SignDual.of(graph, region)):
        assert above is Verdict.UNSAT or search == "single cells" or above is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("closes", "trial", "steps"),
    [
        # Nothing is closed before the sixth split, and then a 64th at a time.
        ("right", 2.0, 2),
        ("right", 6.0, 6),
        # Every second step closes half of what is left.
        ("halves", 2.0, None),
        ("none", 3.0, 3),
        ("none", math.inf, None),
    ],
)
def test_cells_are_given_up_where_they_close_too_little_of_the_region(monkeypatch, closes, trial, steps):
    _, graph, region = prepared(4, (3, 6, 6, 6, 2), 2.0)
    now, done = [100.0], []
    monkeypatch.setattr(cells_, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr("netproof.processes.clock.now", lambda: now[0])
    case = torch.tensor([0])
    constraints = Conditions.of(graph, (Conjunction(double([[1.0, 0.0]]), double([0.0])),))
    search = CellSearch(Problem(graph, constraints, None, 1 << 28))

    def step(cell, seconds, deadline):
        now[0] += 1.0
        done.append(int((cell.side != 0).sum()))
        depth = done[-1]
        is_closed = closes == "halves" and len(done) % 2 == 1
        if is_closed or (closes == "right" and depth >= 6):
            return
        halves = cell.take(torch.zeros(2, dtype=torch.int64))
        free = int((cell.side[0] == 0).nonzero()[0]) if depth < 18 else -1
        halves.side[:, free] = torch.tensor([1, -1], dtype=torch.int8)
        search._tree.add(halves)
        return

    monkeypatch.setattr(search, "_step", step)
    found = search.run(region, case, 1.0, 120.0, trial)
    assert found.verdict is not Verdict.UNSAT
    if steps is None:
        assert found.verdict is Verdict.TIMEOUT and len(done) == 20
    else:
        assert found.reason == "the search goes on elsewhere" and len(done) == steps
        assert found.left is not None and found.left.tolist() == [0]


@pytest.mark.parametrize("ends", ["at a limit", "stuck", "stuck, and is given up"])
def test_no_case_of_any_cell_is_forgotten(ends, monkeypatch):
    """One cell ends without an answer about the second case; of another one the first case is still open."""
    _, graph, region = prepared(4, (3, 6, 6, 6, 2), 2.0)
    conditions = [Conjunction(double([[1.0, 0.0]]), double([threshold])) for threshold in (0.0, 1.0)]
    search = CellSearch(Problem(graph, Conditions.of(graph, conditions), None, 1 << 28))
    halves, searched = search._halves, []

    def once(cell):
        return halves(cell) if not len(searched) else cell.take(torch.zeros(0, dtype=torch.int64))

    def searching(cell, deadline, grace):
        searched.append(cell.case.tolist())
        if len(searched) > 2:
            return Outcome(Verdict.UNSAT, 3)
        left = None if ends.startswith("stuck") and len(searched) == 2 else torch.tensor([1])
        return Outcome(Verdict.UNKNOWN, 2, bound=1.0, reason="no more memory", left=left)

    def now():
        return 100.0 + len(searched)

    monkeypatch.setattr(cells_, "time", SimpleNamespace(monotonic=now))
    monkeypatch.setattr("netproof.processes.clock.now", now)
    monkeypatch.setattr(search, "_halves", once)
    monkeypatch.setattr(search, "_search", searching)
    # Half of the region in more than half of the time is too little.
    trial, deadline = (1.5, 103.5) if ends.endswith("given up") else (math.inf, 160.0)
    found = search.run(region, torch.tensor([0, 1]), 20.0, deadline, trial)
    assert searched[:2] == [[0, 1], [1]]
    assert found.verdict is Verdict.UNKNOWN
    if ends == "stuck":
        # Nothing else is open: there is nothing that more time would give.
        assert found.left is None and found.reason == "no more memory" and searched[2] == [0, 1]
    else:
        assert found.left.tolist() == [0, 1]
        assert len(searched) == 2


@pytest.mark.parametrize("in_time", [True, False])
def test_ends_are_split_only_where_slopes_came_to_all_of_them(in_time, monkeypatch):
    """On large networks slopes use up their time on the first layers; a round of splits would come to less."""
    _, graph, region = prepared(7, (10, 6, 6, 6, 1), 0.4)
    constraints = Conditions.of(graph, (Conjunction(double([[1.0]]), double([1e3])),))
    case, searched, split = torch.tensor([0]), [], []

    def sloped(graph, region, steps, until, device, listen):
        while not in_time and time.monotonic() < until:
            time.sleep(0.001)
        return region

    def searching(self, region, case, deadline, most=None, grace=math.inf):
        searched.append(grace)
        return Outcome(Verdict.UNKNOWN, 1, bound=1.0, left=case)

    monkeypatch.setattr(rounds, "refine_by_alpha", sloped)
    monkeypatch.setattr(Rounds, "_search", searching)
    monkeypatch.setattr(Rounds, "_by_programs", lambda self, region, found, deadline: found)
    monkeypatch.setattr(rounds.SplitRefiner, "refine", lambda self, region, seconds: split.append(seconds) or region)
    Rounds(Problem(graph, constraints, None, 1 << 28)).run(region, case, time.monotonic() + 0.5)
    assert bool(split) == in_time
    assert in_time or searched == [math.inf, math.inf]  # the one before ranges, and one for all the time that is left
