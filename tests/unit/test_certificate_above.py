"""Planes of a record as arrays of a certificate: which sets are written, in which order, and with how many digits."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.real.grown import above as tool
from netproof.errors import ProofError
from netproof.result import PlanesAbove, Refutation
from network_shapes import Shape, cells_of, maker_of, trace_of


def plane_set(k: int = 1, value: float = 0.3, onto: int = 0, right: float = 0.5) -> tuple[PlanesAbove, ...]:
    """Planes above two features of one ReLU, over two values and one."""
    entries = (np.array([0, 1, 0]), np.array([1, 0, 0]), np.array([value, -2 * value, 0.0]))
    return (PlanesAbove(k, np.array([0, 2]), np.array([right, 0.25]), np.array([0.0, 0.125]), ((onto, *entries),)),)


SHAPE = Shape((RELU, 2), (RELU, 3))
CELLS = cells_of([(-1.0, 1.0)] * 2, [(-1.0, 1.0), (0.5, 1.0), (-2.0, 1.0)])


def arrays(*planes: PlanesAbove) -> dict[str, list[int]]:
    return {name: values.tolist() for name, values in tool._arrays(SHAPE, CELLS, planes).items()}


def test_entries_are_columns_one_after_the_other_and_none_is_0():
    made = arrays(*plane_set())
    assert made["plane_relu"] == [2, 2] and made["plane_feature"] == [0, 2] and made["plane_entries"] == [1, 1]
    # Behind one input come the values of the first ReLU, of which the second and the first are named.
    assert made["plane_step"] == [3, 2]
    unit = 2.0 ** -np.array(made["plane_exponent"], float)
    assert (np.array(made["plane_value"]) * unit).tolist() == pytest.approx([0.3, -0.6], abs=1e-4)
    assert (np.array(made["plane_right"]) * unit).tolist() == [0.5, 0.25]
    assert (np.array(made["plane_left"]) * unit).tolist() == [0.0, 0.125]


def test_what_is_over_the_input_comes_first():
    (one,) = plane_set()
    over_input = (-1, np.array([0]), np.array([0]), np.array([0.75]))
    made = arrays(PlanesAbove(1, one.feature, one.right, one.left, (*one.onto, over_input)))
    assert made["plane_entries"] == [2, 1] and made["plane_step"] == [1, 2, 2]


def test_digits_are_as_many_as_the_height_of_the_triangle_asks_for(monkeypatch):
    """A rounding of ``2^-(e+1)`` of each number, times the width of what it is over, adds at most a share of the height."""
    for share in (2.0**-12, 2.0**-14, 2.0**-20):
        monkeypatch.setattr(tool, "_SHARE", share)
        made = arrays(*plane_set())
        for exponent, height, terms in zip(made["plane_exponent"], (0.5, 2 / 3), (2, 1), strict=True):
            assert terms * 2.0 ** -(exponent + 1) <= share * height < terms * 2.0 ** -(exponent - 1)
    monkeypatch.setattr(tool, "_SHARE", 1.0)
    assert arrays(*plane_set())["plane_exponent"] == [tool._DIGITS] * 2
    monkeypatch.setattr(tool, "_SHARE", 2.0**-100)
    assert arrays(*plane_set())["plane_exponent"] == [40, 40]


def test_prices_are_within_what_a_file_holds():
    assert arrays(*plane_set(right=-0.5))["plane_right"][0] == 0
    made = arrays(*plane_set(right=1e9))
    assert made["plane_right"][0] == 1024 << made["plane_exponent"][0]


def test_planes_over_what_does_not_come_before_are_left_out():
    assert arrays(*plane_set(onto=1))["plane_relu"] == []
    assert tool._arrays(Shape((RELU, 2), ("sigmoid", 3)), CELLS, plane_set())["plane_relu"].tolist() == []


class Taking:
    """Sets that note what they are given, and refuse some."""

    def __init__(self, *refused: int) -> None:
        self.given: list[dict[str, list[int]]] = []
        self._refused = refused

    def __call__(self, source: str) -> Taking:
        assert source == "a test"
        return self

    def add(self, taken, evaluation, cells) -> int:
        assert evaluation is SHAPE and cells is CELLS
        count = taken.one("plane_count")
        self.given.append({name: taken.take(name, count).tolist() for name in ("plane_relu", "plane_right")})
        if len(self.given) in self._refused:
            raise ProofError("a set", "is none")
        return count


def added(monkeypatch, sets: Taking, trace, roots):
    monkeypatch.setattr(tool, "Sets", sets)
    monkeypatch.setattr(tool, "replace", lambda one, **changed: SimpleNamespace(**{**vars(one), **changed}))
    maker = maker_of(SHAPE)
    maker.source = "a test"
    found = {name: [] for name in ("stage", "plane_count", *tool._NAMES)}
    return *tool.add_planes(maker, CELLS, trace, roots, found), maker, found


def test_sets_that_refute_something_are_written_and_numbered_anew(monkeypatch):
    refuted = {
        1: Refutation("signs", planes=3),
        3: Refutation("signs"),
        4: Refutation("signs", planes=2),
        9: Refutation("signs", planes=1),
    }
    planes = tuple(plane_set(right=share) for share in (0.1, 0.2, 0.3))
    trace = trace_of(splits={0: (0, 0, 0.0, 1, 2), 2: (0, 1, 0.0, 3, 4)}, refuted=refuted, planes=planes)
    sets = Taking()
    maker, made, before, found = added(monkeypatch, sets, trace, [0])
    assert maker.sets is sets and maker.evaluation is before.evaluation
    # The first set refutes what belongs to no root.
    assert [made.refuted[node].planes for node in (1, 3, 4, 9)] == [2, 0, 1, 0] and made.refuted[3] is refuted[3]
    assert found["stage"] == [6, 6] and found["plane_count"] == [2, 2] and found["plane_relu"] == [2] * 4
    unit = 2.0 ** -np.array(found["plane_exponent"], float)
    assert (np.array(found["plane_right"]) * unit)[[0, 2]].tolist() == pytest.approx([0.2, 0.3], abs=1e-3)
    assert len(before.deadline.looks) == 2


def test_sets_that_the_checker_does_not_take_are_none(monkeypatch):
    refuted = {0: Refutation("signs", planes=1), 1: Refutation("signs", planes=2), 2: Refutation("signs", planes=7)}
    trace = trace_of(refuted=refuted, planes=(plane_set(), plane_set(onto=1)))
    _, made, _, found = added(monkeypatch, Taking(1), trace, [0, 1, 2])
    assert [one.planes for one in made.refuted.values()] == [0, 0, 0] and not any(found.values())


def test_a_record_without_planes_is_left_as_it_is(monkeypatch):
    trace = trace_of(refuted={0: Refutation("signs")})
    maker, made, before, found = added(monkeypatch, Taking(), trace, [0])
    assert maker is before and made is trace and not any(found.values())
