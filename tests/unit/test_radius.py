"""The way to a radius: which queries are asked, and what their answers amount to."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch

from conftest import random_layers, write_keras_h5
from netproof.formats.load import load
from netproof.query import Query, Result, Verdict, Witness, sample_of
from netproof.search import bracket
from netproof.search import radius as module
from netproof.search.radius import largest_radius
from netproof.settings import Settings

IMAGE = torch.tensor([100.0, 120.0])


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "network.h5"
    write_keras_h5(path, random_layers((2, 3, 2), seed=1))
    return load(path)


class Oracle:
    """Answers of a network whose largest radius is ``truth``, and what it was asked."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        truth: int,
        quick: int,
        hard: Callable[[int, float], bool] = lambda r, s: False,
    ) -> None:
        self.truth, self.quick, self.hard = truth, quick, hard
        self.asked: list[int] = []
        self.now = 0.0
        self.witness: Witness | None = None
        monkeypatch.setattr(module, "refuted_quickly", lambda query: False)
        monkeypatch.setattr(module, "nearest_of", lambda query, settings: self)
        monkeypatch.setattr(module, "verify_attacked", self.verify)
        monkeypatch.setattr(module.clock, "now", lambda: self.now)

    def attack(self, radius: int, deadline: float) -> bool:
        """As attacks do: a witness wherever there is a quick one."""
        if radius < self.quick:
            return False
        self.witness = self._at(radius)
        return True

    def learn(self, x: torch.Tensor) -> None:
        distance = int((x - IMAGE).abs().max())
        assert distance > self.truth

    def verify(self, query: Query, settings: Settings) -> Result:
        reach = sample_of(query).radius
        assert reach is not None
        self.asked.append(reach)
        if self.hard(reach, settings.timeout):
            self.now += settings.timeout
            return Result(Verdict.TIMEOUT, settings.timeout, "search", reason="the time limit was reached")
        self.now += 0.001
        if reach > self.truth:
            return Result(Verdict.SAT, 0.0, "search", witness=self._at(reach))
        return Result(Verdict.UNSAT, 0.0, "search")

    @staticmethod
    def _at(reach: int) -> Witness:
        moved = IMAGE.clone().to(torch.int64)
        moved[0] += reach if reach <= 155 else -100
        moved[1] += min(reach, 135)
        return Witness(moved, torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("truth", [0, 1, 2, 3, 7, 8, 30])
@pytest.mark.parametrize("late", [1, 2, 3, 6])
def test_from_above_one_proof_is_made(monkeypatch, network, truth, late):
    oracle = Oracle(monkeypatch, truth, truth + late)
    found = largest_radius(network, IMAGE, int(network.classify(IMAGE.double())), Settings(timeout=100.0))
    assert (found.radius, found.witness_radius, found.exact) == (truth, truth + 1, True)
    proofs = [radius for radius in oracle.asked if radius <= truth]
    assert len(proofs) <= (1 if late <= 3 else 2) and len(set(oracle.asked)) == len(oracle.asked)
    assert found.queries >= len(oracle.asked)


def test_no_witness_at_all(monkeypatch, network):
    oracle = Oracle(monkeypatch, 1000, 1000)
    found = largest_radius(network, IMAGE, int(network.classify(IMAGE.double())), Settings(timeout=100.0))
    assert (found.radius, found.witness_radius, found.exact) == (255, None, True)
    assert len(oracle.asked) <= 9


@pytest.mark.parametrize(("truth", "first_hard", "last_hard"), list(itertools.product((5, 9), (4, 6, 9), (6, 10, 12))))
def test_an_interval_holds_the_truth_where_time_does_not_suffice(monkeypatch, network, truth, first_hard, last_hard):
    oracle = Oracle(monkeypatch, truth, 14, lambda reach, seconds: first_hard <= reach <= last_hard)
    found = largest_radius(network, IMAGE, int(network.classify(IMAGE.double())), Settings(timeout=100.0))
    assert found.radius <= truth < found.witness_radius
    open_ = list(range(found.radius + 1, found.witness_radius))
    assert found.exact == (not open_) and bool(found.reason) == bool(open_)
    # Everything below what could not be decided is proved, whatever time that took.
    assert found.radius >= min(truth, first_hard - 1)
    assert oracle.now >= 99 or all(first_hard <= r <= last_hard for r in open_)
    assert len(oracle.asked) < 40


def test_the_smallest_open_radius_gets_the_time_that_is_left(monkeypatch, network):
    # Radius 6 takes most of the time that 7, which takes all of it, has left.
    oracle = Oracle(monkeypatch, 6, 8, lambda reach, seconds: reach == 7 or (reach == 6 and seconds < 25))
    found = largest_radius(network, IMAGE, int(network.classify(IMAGE.double())), Settings(timeout=100.0))
    assert found.radius == 6 and not found.exact
    assert oracle.asked[0] == 7 and oracle.now <= 100.1


def test_a_limit_is_as_far_as_it_looks(monkeypatch, network):
    oracle = Oracle(monkeypatch, 30, 40)
    found = largest_radius(network, IMAGE, int(network.classify(IMAGE.double())), Settings(timeout=100.0), limit=12)
    assert (found.radius, found.witness_radius, found.exact) == (12, None, False)
    assert max(oracle.asked) == 12 and "only radii up to 12" in found.reason


def test_an_engine_that_was_asked_for_decides_what_is_open(monkeypatch, network):
    engines = []
    true = module.verify

    def watched(query, settings):
        engines.append(settings.engine)
        return true(query, settings)

    def another(query, settings):
        raise AssertionError(f"asked of the search instead of {settings.engine}")

    monkeypatch.setattr(module, "verify", watched)
    label = int(network.classify(IMAGE.double()))
    expected = largest_radius(network, IMAGE, label, Settings(timeout=60.0), limit=3)
    engines.clear()
    monkeypatch.setattr(module, "verify_attacked", another)
    monkeypatch.setattr(module, "refuted_quickly", lambda query: False)
    found = largest_radius(network, IMAGE, label, Settings(timeout=60.0, engine="smt"), limit=3)
    assert (found.radius, found.exact) == (expected.radius, expected.exact) and set(engines) == {"smt"}


class Slow:
    """Answers about balls of a network whose bounds take so many seconds and prove radii up to ``by_bounds``; searches end nowhere."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, seconds: float, by_bounds: float, by_search: float = 0.0
    ) -> None:
        self.seconds, self.by_bounds, self.by_search = seconds, by_bounds, by_search
        self.now = 0.0
        self.asked: list[float] = []
        monkeypatch.setattr(bracket, "verify", self.verify)
        monkeypatch.setattr(bracket.time, "monotonic", lambda: self.now)

    def verify(self, query: Query, settings: Settings) -> Result:
        # One that holds all inputs is no ball.
        radius, limit = float(query.name.removeprefix("radius ")), settings.timeout
        self.asked.append(radius)
        if radius and limit < self.seconds:
            return self._ended(Verdict.TIMEOUT, limit, "search", 0)
        if radius <= self.by_bounds:
            return self._ended(Verdict.UNSAT, self.seconds if radius else 0.01, "bound", 1)
        if radius <= self.by_search and limit >= 3 * self.seconds:
            return self._ended(Verdict.UNSAT, 3 * self.seconds, "search", 500)
        return self._ended(Verdict.TIMEOUT, limit, "search", 500)

    def _ended(self, verdict: Verdict, seconds: float, method: str, subproblems: int) -> Result:
        self.now += seconds
        return Result(
            verdict, seconds, method, subproblems, reason="" if verdict.decided else "the time limit was reached"
        )


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize(("seconds", "least"), [(0.001, 36), (0.2, 36), (2.0, 4), (8.0, 1)])
def test_in_a_ball_bounds_have_the_time_they_take(monkeypatch, network, norm, seconds, least):
    """Whoever asked about one radius alone would have the proof after one bound, so that shares must not be shorter than those."""
    label = int(network.classify(IMAGE.double()))
    slow = Slow(monkeypatch, seconds, 40.0)
    found = largest_radius(network, IMAGE, label, Settings(timeout=20.0), norm=norm)
    assert found.radius >= least
    assert slow.now <= 20.001
    assert found.reason and not found.exact


def test_in_a_ball_searches_have_what_bounds_leave_of_the_time(monkeypatch, network):
    label = int(network.classify(IMAGE.double()))
    slow = Slow(monkeypatch, 0.1, 40.0, by_search=60.0)
    found = largest_radius(network, IMAGE, label, Settings(timeout=20.0), norm="l1")
    assert found.radius >= 54
    # Radii close to one that was given up are not looked at one by one.
    assert len(slow.asked) < 40


@pytest.mark.parametrize("norm", ["linf", "l1"])
def test_the_class_of_one_output_cannot_change(tmp_path, norm):
    """There is no case to attack, however deep the network and whatever attacks it is given to."""
    write_keras_h5(tmp_path / "one.h5", random_layers((2, 3, 1), seed=1))
    found = largest_radius(load(tmp_path / "one.h5"), IMAGE, 0, Settings(timeout=30), norm=norm)
    assert found.exact and found.witness is None and found.radius >= 255
