"""From instances to rows: every instance is one row, whatever happens to it, and its clock runs while it is read."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from netproof.benchmarks.base import Instance, OpenBenchmark
from netproof.benchmarks.data import DataFolders
from netproof.errors import InputError, TimeLimitError
from netproof.graph.graph import Arithmetic
from netproof.query import Result, Verdict
from netproof.runs import solve as module
from netproof.runs.job import Job
from netproof.runs.rows import Row
from netproof.runs.solve import solve
from netproof.settings import Settings

SETTINGS = Settings(timeout=10.0)


@pytest.fixture
def clock(monkeypatch):
    """Time that passes when it is told to."""
    moment = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: moment.now)
    return moment


class Reading(OpenBenchmark):
    """Questions that take some seconds to read, or fail while they are read, by the names of their instances."""

    networks = {}  # noqa: RUF012

    def __init__(self, clock, seconds=None, errors=None, arithmetic=Arithmetic.REAL):
        self.clock, self.seconds, self.errors = clock, seconds or {}, errors or {}
        self.network = SimpleNamespace(graph=SimpleNamespace(arithmetic=arithmetic))
        self.events = []

    def prepare(self, instance, *, deadline=None):
        assert deadline == self.clock.now + SETTINGS.timeout
        self.clock.now += 100  # is on nobody's clock
        return True

    def question(self, instance, *, deadline=None):
        assert deadline == self.clock.now + SETTINGS.timeout
        self.events.append(f"read {instance.name}")
        self.clock.now += self.seconds.get(instance.name, 0.0)
        if instance.name in self.errors:
            raise self.errors[instance.name]
        query = SimpleNamespace(network=self.network, sample=None)
        return SimpleNamespace(network=self.network, name=instance.name, parts=(query,))


def instances(*names):
    return [Instance(name, "net", "net", name) for name in names]


def rows(monkeypatch, reading, *names, decide=None):
    """The rows of instances whose decision takes a second each, and the time limits that they were decided under."""
    limits = {}

    def as_decided(queries, settings):
        reading.events.append(f"decide {' '.join(query.name for query in queries)}")
        for position, query in enumerate(queries):
            limits[query.name] = settings.timeout
            yield position, Result(Verdict.UNSAT, 1.0, "bound")

    monkeypatch.setattr("netproof.search.verify.as_decided", as_decided)
    found = [
        outcome.row
        for outcome in solve(reading, instances(*names), Job(reading, DataFolders(()), SETTINGS, decide=decide))
    ]
    assert sorted(row.instance for row in found) == sorted(names)
    return {row.instance: row for row in found}, limits


def test_reading_is_part_of_an_instance_s_time(clock, monkeypatch):
    found, limits = rows(monkeypatch, Reading(clock, {"slow": 4.0}), "slow", "quick")
    assert limits == {"slow": 6.0, "quick": 10.0}
    assert found["slow"] == Row("slow", "unsat", 5.0, "bound") and found["quick"] == Row("quick", "unsat", 1.0, "bound")


@pytest.mark.parametrize("raises", [True, False])
def test_an_instance_that_is_read_past_its_limit_times_out(clock, monkeypatch, raises):
    errors = {"late": TimeLimitError("p.vnnlib")} if raises else {}
    found, limits = rows(monkeypatch, Reading(clock, {"late": 11.0}, errors), "late", "other")
    evidence = "limit=10; reason=the limit was reached while the property was read"
    assert found["late"] == Row("late", "timeout", 11.0, "", evidence) and found["late"].limit == 10
    assert found["other"].verdict == "unsat" and "late" not in limits


def test_a_question_is_let_go_of_before_the_next_is_read(clock, monkeypatch):
    reading = Reading(clock)
    rows(monkeypatch, reading, "a", "b")
    assert reading.events == ["read a", "decide a", "read b", "decide b"]


def test_questions_to_an_integer_network_are_decided_together_unless_reading_took_long(clock, monkeypatch):
    reading = Reading(clock, {"b": 3.0, "c": 0.0625}, arithmetic=Arithmetic.INTEGER)
    found, limits = rows(monkeypatch, reading, "a", "b", "c")
    assert reading.events == ["read a", "read b", "decide b", "read c", "decide a c"]
    assert limits == {"a": 9.9375, "b": 7.0, "c": 9.9375}
    assert {name: row.seconds for name, row in found.items()} == {"a": 1.0, "b": 4.0, "c": 1.0625}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InputError("p.vnnlib", "is odd", "mend it"), "p.vnnlib: is odd; mend it"),
        (MemoryError(), "MemoryError"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (AssertionError("a defect"), "AssertionError: a defect"),
    ],
)
def test_what_cannot_be_read_is_one_error(clock, monkeypatch, error, reason):
    found, _ = rows(monkeypatch, Reading(clock, errors={"bad": error}), "one", "bad", "two")
    assert found["bad"] == Row("bad", "error", 0.0, "", reason)
    assert found["one"].verdict == found["two"].verdict == "unsat"


def test_a_decision_that_cannot_be_recorded_loses_no_row(clock, monkeypatch):
    real = module._outcome

    def outcome(instance, *more):
        if instance.name == "b":
            raise MemoryError
        return real(instance, *more)

    monkeypatch.setattr(module, "_outcome", outcome)
    found, _ = rows(monkeypatch, Reading(clock, arithmetic=Arithmetic.INTEGER), "a", "b", "c")
    assert {name: row.verdict for name, row in found.items()} == {"a": "unsat", "b": "error", "c": "unsat"}
    assert found["b"].evidence == "MemoryError"
