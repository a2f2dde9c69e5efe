"""Planes and pairs of a record as arrays of a certificate: which sets are written, in which order, and with how many digits."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.real.contents import NAMES
from netproof.certificate.real.grown.joint import planes as tool
from netproof.certificate.real.grown.joint import sets as sets_tool
from netproof.certificate.real.grown.joint.pairs import MadePairs
from netproof.certificate.real.grown.rows import Row
from netproof.errors import ProofError
from netproof.result import PairsBeside, PlanesAbove, Refutation
from network_shapes import NONE, Shape, cells_of, maker_of, trace_of


def plane_set(k: int = 1, value: float = 0.3, onto: int = 0, right: float = 0.5) -> tuple[PlanesAbove, ...]:
    """Planes above two features of one ReLU, over two values and one."""
    entries = (np.array([0, 1, 0]), np.array([1, 0, 0]), np.array([value, -2 * value, 0.0]))
    return (PlanesAbove(k, np.array([0, 2]), np.array([right, 0.25]), np.array([0.0, 0.125]), ((onto, *entries),)),)


SHAPE = Shape((RELU, 2), (RELU, 3))
CELLS = cells_of([(-1.0, 1.0)] * 2, [(-1.0, 1.0), (0.5, 1.0), (-2.0, 1.0)])


def arrays(*planes: PlanesAbove) -> dict[str, list[int]]:
    return {name: values.tolist() for name, values in tool.arrays_of_planes(SHAPE, CELLS, planes).items()}


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
    assert tool.arrays_of_planes(Shape((RELU, 2), ("sigmoid", 3)), CELLS, plane_set())["plane_relu"].tolist() == []


class Taking:
    """Sets that note what they are given, and refuse some."""

    def __init__(self, *refused: int) -> None:
        self.given: list[dict[str, list[int]]] = []
        self._refused = refused

    def __call__(self, source: str) -> Taking:
        assert source == "a test"
        return self

    def add(self, rule, taken, prover, cells) -> None:
        assert prover.evaluation is SHAPE and cells is CELLS and prover.sets is self
        kind = {6: "plane", 7: "pair"}[rule]
        count = taken.one(f"{kind}_count")
        self.given.append({"relu": taken.take(f"{kind}_relu", count).tolist()})
        if len(self.given) in self._refused:
            raise ProofError("a set", "is none")


def made_of(maker, cells, pairs):
    """A set of pairs of which two ends of three have a row."""
    assert cells is CELLS
    rows = [Row(pairs[0].k, False, (0, 0), NONE, NONE, NONE), Row(1, True, (0, 0), NONE, NONE, NONE)]
    found = {name: [pairs[0].k] for name in ("pair_relu", "pair_first", "pair_second", "pair_exponent")}
    found |= {"pair_end": [1, 2, 3, 4], "pair_row": [1, 0, 2, 2]}
    return MadePairs({name: np.array(values) for name, values in found.items()}, rows, pairs)


def added(monkeypatch, sets: Taking, trace, roots):
    monkeypatch.setattr(sets_tool, "Sets", sets)
    monkeypatch.setattr(sets_tool, "made_pairs", made_of)
    monkeypatch.setattr(sets_tool, "Prover", lambda evaluation, rows, source: SimpleNamespace(evaluation=evaluation))
    monkeypatch.setattr(sets_tool, "replace", lambda one, **changed: SimpleNamespace(**{**vars(one), **changed}))
    maker = maker_of(SHAPE)
    maker.source = "a test"
    found = {name: [] for name in NAMES}
    return *sets_tool.add_sets(maker, CELLS, trace, roots, found), maker, found


def pair_set(k: int) -> tuple[PairsBeside, ...]:
    one = np.array([0])
    return (PairsBeside(k, one, one + 1, NONE, np.zeros((1, 4, 0), np.float32), np.zeros((1, 4))),)


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


def test_pairs_are_numbered_apart_from_planes_and_their_rows_with_all_others(monkeypatch):
    refuted = {
        0: Refutation("signs", planes=1, pairs=3),
        1: Refutation("signs", pairs=1),
        2: Refutation("signs", pairs=3),
    }
    pairs = tuple(pair_set(k) for k in (5, 6, 7))
    trace = trace_of(refuted=refuted, planes=(plane_set(),), pairs=pairs)
    sets = Taking()
    maker, made, _, found = added(monkeypatch, sets, trace, [0, 1, 2])
    assert [(one.planes, one.pairs) for one in made.refuted.values()] == [(1, 2), (0, 1), (0, 2)]
    assert found["stage"] == [6, 7, 7] and found["pair_count"] == [1, 1] and found["pair_relu"] == [5, 7]
    # Both sets have a row in common, and one each of their own.
    assert found["pair_row"] == [1, 0, 2, 2, 3, 0, 2, 2] and [row.exponent for row in maker.table.rows] == [5, 1, 7]
    assert found["pair_end"] == [1, 2, 3, 4] * 2 and made.pairs == (pairs[0], pairs[2])


def test_sets_that_the_checker_does_not_take_are_none(monkeypatch):
    refuted = {0: Refutation("signs", planes=1), 1: Refutation("signs", planes=2), 2: Refutation("signs", planes=7)}
    refuted[3] = Refutation("signs", pairs=1)
    trace = trace_of(refuted=refuted, planes=(plane_set(), plane_set(onto=1)), pairs=(pair_set(5),))
    maker, made, _, found = added(monkeypatch, Taking(1, 2), trace, [0, 1, 2, 3])
    assert [one.planes + one.pairs for one in made.refuted.values()] == [0, 0, 0, 0] and not any(found.values())
    assert not maker.table.rows and made.pairs == ()


def test_a_record_without_planes_is_left_as_it_is(monkeypatch):
    trace = trace_of(refuted={0: Refutation("signs")})
    maker, made, before, found = added(monkeypatch, Taking(), trace, [0])
    assert maker is before and made is trace and not any(found.values())
