"""In which order trees of one part are attempted: with less to pay first, and nothing left of what failed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from netproof.certificate.real import make as tool
from netproof.certificate.real.contents import LEAF
from netproof.certificate.real.grown.rows import RowTable, Wish
from netproof.certificate.real.grown.seeds import Limits
from netproof.errors import NoEvidenceError
from network_shapes import trace_of


def row(number: int):
    return Wish(np.array([float(number), 1.0])).rounded(3)


class Attempts:
    """In the place of what grows trees: every attempt leaves a row, and so many of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failing: int, *, is_over: bool = False) -> None:
        self.failing, self.is_over = failing, is_over
        self.limits: list[Limits] = []
        self.grown: list[list] = []
        self.table = RowTable()
        self.table.number(row(100))
        monkeypatch.setattr(tool, "Grower", self.made)

    def made(self, maker, goals, places, trace, limits):
        assert (maker.table, places, trace) == (self.table, ["places"], self.trace) and len(goals) == 1
        self.limits.append(limits)
        return SimpleNamespace(grow=self.grow)

    def grow(self, cells, seeds) -> None:
        assert cells == "cells"
        self.grown.append(seeds)
        assert all(claim.row == -1 for seed in seeds for claim in seed.claims)
        number = self.table.number(row(len(self.limits)))
        for seed in seeds:
            seed.kind, seed.claims[0].row = LEAF, number
        if len(self.limits) <= self.failing:
            raise NoEvidenceError("a part", f"attempt {len(self.limits)} stays open")

    def trees(self, splits=None, ranges=None) -> dict[str, list[int]]:
        part = object.__new__(tool._Part)
        self.trace = part._trace = trace_of(roots={0: 1}, splits=splits or {}, ranges=ranges or {})
        part._evaluation = SimpleNamespace(network=SimpleNamespace(nodes=(0, 1, 2)))
        part._part, part._cases, part._places = SimpleNamespace(cases=[()]), [0], ["places"]
        part._maker = SimpleNamespace(table=self.table, deadline=SimpleNamespace(is_over=self.is_over))
        return part._trees("cells")


BOXES = {1: (-1, 0, 0.5, 2, 3)}
THREE = [Limits(most=tool._FEW_BEYOND), Limits(hands_down=True), Limits()]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_few_splits_then_ranges_handed_down_then_all_that_is_allowed(monkeypatch, failing):
    made = Attempts(monkeypatch, failing)
    found = made.trees(BOXES, {1: "crown", 2: "forms"})
    assert made.limits == THREE[: failing + 1]
    # Seeds are new ones every time, and of rows only those before and those of the attempt that held are left.
    assert len({id(seed) for seeds in made.grown for seed in seeds}) == failing + 1
    assert [one.mu for one in made.table.rows] == [row(100).mu, row(failing + 1).mu]
    assert found["tree"] == [0] and found["kind"] == [LEAF] and found["leaf_row"] == [1]


def test_what_no_attempt_closes_is_said_by_the_last(monkeypatch):
    made = Attempts(monkeypatch, 3)
    with pytest.raises(NoEvidenceError, match="attempt 3 stays open"):
        made.trees(BOXES, {1: "crown"})
    assert made.limits == THREE


def test_after_the_deadline_nothing_else_is_attempted(monkeypatch):
    made = Attempts(monkeypatch, 1, is_over=True)
    with pytest.raises(NoEvidenceError, match="attempt 1 stays open"):
        made.trees(BOXES, {1: "crown"})
    assert made.limits == THREE[:1]


@pytest.mark.parametrize(
    ("splits", "ranges"),
    [
        # No box was split; or of those that were the record found no ranges.
        ({}, {1: "crown"}),
        ({1: (0, 0, 0.0, 2, 3)}, {1: "crown"}),
        (BOXES, {}),
        (BOXES, {1: "forms", 2: "crown"}),
    ],
)
def test_where_there_is_nothing_to_hand_down_there_is_one_attempt(monkeypatch, splits, ranges):
    made = Attempts(monkeypatch, 0)
    made.trees(splits, ranges)
    assert made.limits == [Limits()]
    made = Attempts(monkeypatch, 1)
    with pytest.raises(NoEvidenceError, match="attempt 1 stays open"):
        made.trees(splits, ranges)


def test_one_split_box_with_ranges_among_others_is_enough(monkeypatch):
    made = Attempts(monkeypatch, 2)
    made.trees({1: (0, 0, 0.0, 2, 3), 2: (0, 1, 0.0, 4, 5), 3: (-1, 0, 0.5, 6, 7)}, {1: "forms", 3: "crown"})
    assert made.limits == THREE
