"""Whose turn it is: ranges, searches and cells, by a clock that stands still while they run for nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from netproof import Verdict
from netproof.conditions.conditions import Conditions
from netproof.effort.real import PLANED, ROUND
from netproof.query import Conjunction
from netproof.search.outcome import Outcome
from netproof.search.proofs.journal import Journal
from netproof.search.real import cells as cells_
from netproof.search.real import rounds
from netproof.search.real.cells import Cells, CellSearch
from netproof.search.real.problem import Problem
from netproof.search.real.rounds import Rounds
from soundness.real_networks import double
from soundness.test_ranges_by_splits import prepared

OPEN = torch.tensor([0])


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self, monkeypatch, *modules):
        self.now = 100.0
        for module in modules:
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr("netproof.processes.clock.now", lambda: self.now)


def asked():
    """A region, and a problem with two cases that nothing attains."""
    _, graph, region = prepared(4, (10, 6, 6, 6, 1), 2.0)
    cases = [Conjunction(double([[1.0]]), double([threshold])) for threshold in (1e6, 1e7)]
    return region, Problem(graph, Conditions.of(graph, cases), None, 1 << 28)


def unknown(case=OPEN, bound=1.0):
    return Outcome(Verdict.UNKNOWN, 1, bound=bound, left=case)


def whole(problem, region, record=None):
    side = torch.zeros(1, sum(problem.graph.nodes[i].size for i in problem.graph.activations), dtype=torch.int8)
    return Cells(side, region, torch.ones(1, 2, dtype=torch.bool), double([1.0]), record)


@pytest.mark.parametrize("refuted", [0, 1, 9])
def test_a_cell_with_nothing_to_split_gets_more_ranges(monkeypatch, refuted):
    """Longer and longer rounds, and at the end a search for as long as it takes; of the cases that are left."""
    region, problem = asked()
    clock, done = Clock(monkeypatch, cells_), []
    search = CellSearch(problem)

    def refine(refined, seconds):
        done.append(("ranges", seconds))
        clock.now += seconds
        return refined

    def searching(cell, deadline, grace):
        done.append(("search", grace, cell.case.tolist()))
        if len(done) // 2 > refuted:
            return Outcome(Verdict.UNSAT, 1)
        return unknown()

    monkeypatch.setattr(search, "_search", searching)
    found = search._to_the_end(whole(problem, region), SimpleNamespace(refine=refine), 1.0, clock.now + 60.0)
    growth = ROUND.round_growth
    expected = [
        [("ranges", growth), ("search", growth / 2, [0, 1])],
        [("ranges", growth**2), ("search", growth**2 / 2, [0])],
        [("search", math.inf, [0])],
    ]
    assert done == [one for part in expected[: refuted + 1] for one in part]
    assert found.verdict is (Verdict.UNKNOWN if refuted == 9 else Verdict.UNSAT)


def test_a_cell_whose_ranges_leave_nothing_is_closed(monkeypatch):
    region, problem = asked()
    clock, search = Clock(monkeypatch, cells_), CellSearch(problem)
    crossed = region.with_range(1, region.range_upper[1] + 1.0, region.range_upper[1])
    refiner = SimpleNamespace(refine=lambda *_: crossed)
    monkeypatch.setattr(search, "_search", lambda *_: pytest.fail("nothing is left to search"))
    assert search._to_the_end(whole(problem, region), refiner, 1.0, clock.now + 60.0).verdict is Verdict.UNSAT


def test_ranges_that_no_record_tells_of_are_not_found(monkeypatch):
    """A proof would not have them."""
    region, problem = asked()
    recorded = Problem(problem.graph, problem.constraints, None, 1 << 28, record=Journal())
    clock, search = Clock(monkeypatch, cells_), CellSearch(recorded)
    monkeypatch.setattr(search, "_search", lambda cell, deadline, grace: unknown(bound=grace))
    refiner = SimpleNamespace(refine=lambda *_: pytest.fail("ranges were found"))
    found = search._to_the_end(whole(problem, region), refiner, 1.0, clock.now + 60.0)
    assert found.bound == math.inf


@pytest.mark.parametrize("is_long", [False, True])
def test_a_first_round_that_no_longer_fits_is_the_only_one(monkeypatch, is_long):
    """The search before it may take so long that there would be no ranges by splits at all."""
    region, problem = asked()
    clock, done = Clock(monkeypatch, rounds), []
    slopes = 3.0

    def sloped(graph, region, steps, until, device, listen):
        clock.now += slopes
        return region

    def searching(self, region, case, deadline, most=None, grace=math.inf):
        done.append("search")
        if math.isfinite(grace):
            clock.now += 40.0 if is_long else 1.0
        return unknown(torch.tensor([0, 1]))

    def refine(self, region, seconds, worth=None):
        done.append("ranges")
        clock.now += seconds
        return region

    monkeypatch.setattr(rounds, "refine_by_alpha", sloped)
    monkeypatch.setattr(rounds, "sign_loops", lambda: None)
    monkeypatch.setattr(Rounds, "_search", searching)
    monkeypatch.setattr(Rounds, "_worth", lambda *_: None)
    monkeypatch.setattr(Rounds, "_by_programs", lambda self, region, found, deadline: found)
    monkeypatch.setattr(Rounds, "_by_halves", lambda self, region, found, *_: found)
    monkeypatch.setattr(rounds.SplitRefiner, "refine", refine)
    monkeypatch.setattr(rounds.CellSearch, "run", lambda *_: done.append("cells") or unknown())
    Rounds(problem).run(region, torch.tensor([0, 1]), clock.now + 100.0)
    # What comes last has all of the time that is left.
    assert done == ["search", "search", "ranges", "search", *([] if is_long else ["cells"])]


@pytest.mark.parametrize(("prospect", "trial", "goes_on"), [(1.0, None, 1), (3.0, PLANED.trial, 1), (50.0, 1.0, 0)])
def test_a_kept_search_that_gets_nowhere_leaves_all_time_to_cells(monkeypatch, prospect, trial, goes_on):
    region, problem = asked()
    clock, done = Clock(monkeypatch, rounds), []
    kept = SimpleNamespace(prospect=lambda deadline: prospect, bound=1.0)
    turn = Rounds(problem)

    def cells(self, region, case, seconds, deadline, trial):
        done.append(trial / (deadline - clock.now))
        return unknown()

    def sloped(graph, region, *_):
        turn._kept = kept, 0
        return region

    monkeypatch.setattr(rounds, "refine_by_alpha", sloped)
    monkeypatch.setattr(Rounds, "_load", lambda *_: None)
    monkeypatch.setattr(Rounds, "_search", lambda self, region, case, *_, **__: unknown(case))
    monkeypatch.setattr(Rounds, "_by_programs", lambda self, region, found, deadline: found)
    monkeypatch.setattr(Rounds, "_by_halves", lambda self, region, found, *_: found)
    monkeypatch.setattr(Rounds, "_go_on", lambda self, region, case, deadline: done.append("goes on") or unknown(case))
    monkeypatch.setattr(rounds.SplitRefiner, "refine", lambda self, region, *_: region)
    monkeypatch.setattr(rounds.CellSearch, "run", cells)
    turn.run(region, OPEN, clock.now + 100.0)
    ended = ["goes on"] * goes_on
    if trial is None:
        assert done == ended
    else:
        assert done[0] == (trial if goes_on else math.inf) and done[1:] == ended


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.UNSAT])
def test_after_every_search_cases_are_asked_for_by_halves(monkeypatch, verdict, recorded):
    """Not where the search is recorded; what they leave open is what is left, and shorter rounds of ranges come after them."""
    region, problem = asked()
    clock, done = Clock(monkeypatch, rounds), []
    if recorded:
        problem = replace(problem, record=SimpleNamespace(found=lambda *_: None, searched=None, sloped=None))

    class Halves:
        has_layers = True

        def __init__(self, *_):
            pass

        def run(self, case, deadline, grace):
            done.append("halves")
            return Outcome(verdict, 7, left=case[1:] if len(case) > 1 else case)

    def sloped(graph, region, *_):
        clock.now += 1.0
        return region

    def refine(self, region, seconds, worth=None):
        done.append(round(seconds))
        clock.now += seconds
        low, high = region.range_lower[-1] / 2, region.range_upper[-1] / 2
        return region.with_range(len(region.range_lower) - 1, low, high)

    monkeypatch.setattr(rounds, "InterpolantSearch", Halves)
    monkeypatch.setattr(rounds, "refine_by_alpha", sloped)
    monkeypatch.setattr(rounds, "sign_loops", lambda: None)
    monkeypatch.setattr(Rounds, "_search", lambda self, region, case, *_, **__: unknown(case))
    monkeypatch.setattr(Rounds, "_by_programs", lambda self, region, found, deadline: found)
    monkeypatch.setattr(rounds.SplitRefiner, "refine", refine)
    monkeypatch.setattr(rounds.CellSearch, "run", lambda self, region, case, *_: done.append("cells") or unknown(case))
    found = Rounds(problem).run(region, torch.tensor([0, 1]), clock.now + 60.0)
    if recorded:
        assert done == [6, "cells"] and found.left.tolist() == [0, 1]
    elif verdict is Verdict.UNSAT:
        assert done == ["halves"] and found.verdict is Verdict.UNSAT and found.subproblems == 9
    else:
        assert done == ["halves", 6, "halves", 18, "halves", 14, "halves", "cells"]
        assert found.left.tolist() == [1]
