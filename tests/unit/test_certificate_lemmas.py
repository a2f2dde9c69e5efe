"""Lemmas of certificates: which ends of ranges are written down, with how many digits, by which slopes, and where they go.

What bounds are is told here where it matters which of them is taken, so that what is gained can be exactly what is asked for.
"""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import Evaluation
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.nodes import PRODUCT, RELU
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.tree import Lemma
from netproof.certificate.real.contents import INTERVALS, LEAF, LEMMAS
from netproof.certificate.real.grown import lemmas as tool
from netproof.certificate.real.grown.rows import Row
from netproof.result import Ends
from network_shapes import Shape, cells_of, maker_of
from soundness.real_evidence import chain


class Told:
    """In the place of the checker's bounds: those that are given, digits by digits; and what was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *values: list[float]) -> None:
        self._values = list(values)
        self.rows: list[list[Row]] = []
        self.about: list[tuple] = []
        monkeypatch.setattr(tool, "_values", self)

    def __call__(self, evaluation, cells, k, feature, sign, made):
        assert made
        self.rows.append(made)
        self.about.append((k, feature.tolist(), sign.tolist()))
        return np.array(self._values[len(self.rows) - 1])


# -- what is asked of the checker

#: of eight ReLUs, with the slope of the rule where they are open, and four curves
RANGES = [
    (-1.0, 2.0), (-2.0, 1.0), (-1.0, 1.0), (-0.25, 0.5), (0.0, 1.0), (-1.0, 0.0), (-1.0, 0.5), (0.5, 2.0),
]  # fmt: skip
CURVES = [(0.5, 1.0), (1.0, 1.0), (-1.0, 1.0), (-3.0, -2.0)]


def test_rows_name_open_features_of_layers_before_whose_slopes_are_not_the_rule_s(monkeypatch):
    evaluation = Shape((RELU, 8), ("sigmoid", 4), (RELU, 2))
    cells = cells_of(RANGES, CURVES, [(-5.0, 6.0), (-5.0, 6.0)])
    slope = [0.3, -0.5, 1.7, 0.97, 0.5, 0.5, 0.1, 0.5, -0.4, 0.5, 1.3, 0.0, 0.5, 0.5]
    order = [2, 0, *range(3, 14), 1]
    ends = Ends(
        2, np.array([1]), np.array([True]), np.array(order), np.array([slope], np.float32)[:, order], np.zeros(1)
    )
    told = Told(monkeypatch, [5.0], [5.0], [5.0])
    tool._lemmas(maker_of(evaluation), cells, ends)
    assert told.about == [(2, [1], [1])] * 3
    rows = [row for (row,) in told.rows]
    assert [row.exponent for row in rows] == [3, 6, 10]
    assert all(row.mu == (0, 0) and not row.flat and not row.added.any() for row in rows)
    assert all(len(row.added) == len(row.feature) for row in rows)
    # Slopes of ReLUs are from 0 to 1, and not named where they are the rule's then; those of curves are as they are.
    named = [dict(zip(row.feature.tolist(), row.slope.tolist(), strict=True)) for row in rows]
    assert list(named[0]) == [2, 0, 6, 8, 10, 11]
    assert named[0] == {2: 8, 0: 2, 6: 1, 8: -3, 10: 10, 11: 0}
    assert named[1] == {2: 64, 0: 19, 3: 62, 6: 6, 8: -26, 10: 83, 11: 0}
    assert named[2] == {2: 1024, 0: 307, 3: 993, 6: 102, 8: -410, 10: 1331, 11: 0}


# -- which ends become lemmas


@pytest.fixture
def eighths(monkeypatch) -> None:
    """A lemma has to gain a sixteenth of the width, and fewer digits may cost a sixty-fourth."""
    monkeypatch.setattr(tool, "_WORTH", 1 / 16)
    monkeypatch.setattr(tool, "_COST", 1 / 64)


#: wide 16: a lemma has to gain 1, and a quarter is what fewer digits may cost
WIDE = [(-4.0, 12.0)] * 8


def ends_of(bounds: list[float], feature: list[int] | None = None, upper: bool = True) -> Ends:
    count = len(bounds)
    at = np.arange(count) if feature is None else np.array(feature)
    # Each end by slopes of its own.
    slopes = np.linspace(0.1, 0.9, count, dtype=np.float32)[:, None]
    return Ends(1, at, np.full(count, upper), np.array([0]), slopes, np.array(bounds))


def found_of(told: Told, ends: Ends, wide=WIDE):
    del told
    evaluation = Shape((RELU, 1), (RELU, len(wide)))
    return tool._lemmas(maker_of(evaluation), cells_of([(-1.0, 1.0)], wide), ends)


def near(value: float) -> float:
    """What is written for a bound: the next multiple of 2^-20 above it."""
    return (math.floor(value * 2**20) + 1) / 2**20


@pytest.mark.usefixtures("eighths")
@pytest.mark.parametrize(("upper", "known"), [(True, 12.0), (False, 4.0)])
def test_ends_that_gain_too_little_are_not_tried(monkeypatch, upper, known):
    told = Told(monkeypatch, [known - 2, known - 3])
    bounds = [known - 1, known - 2, known + 0.5, known - 0.9375, known - 3, known]
    found = found_of(told, ends_of(bounds, upper=upper))
    sign = 1 if upper else -1
    assert told.about == [(1, [1, 4], [sign] * 2)]
    assert [lemma for lemma, _ in found] == [
        Lemma(3, 1, sign, sign * near(known - 2)),
        Lemma(3, 4, sign, sign * near(known - 3)),
    ]
    assert [row for _, row in found] == told.rows[0]


@pytest.mark.usefixtures("eighths")
def test_of_closed_features_nothing_is_asked(monkeypatch):
    told = Told(monkeypatch, [2.0])
    wide = [(0.0, 12.0), (-4.0, 0.0), (-4.0, 12.0)]
    ((lemma, _),) = found_of(told, ends_of([1.0, -9.0, 2.0]), wide)
    assert (lemma.feature, lemma.end) == (2, near(2.0)) and told.about == [(1, [2], [1])]
    assert not found_of(Told(monkeypatch), ends_of([1.0]), wide[:1])


@pytest.mark.usefixtures("eighths")
def test_more_digits_are_tried_until_the_bound_is_nearly_that_of_the_search(monkeypatch):
    told = Told(monkeypatch, [9.0, 9.25, 9.3125, 9.5, 25.0], [9.3125, 9.125, 9.5], [9.5, 9.5])
    found = found_of(told, ends_of([9.0] * 5, feature=[7, 6, 5, 4, 3]))
    assert [features for _, features, _ in told.about] == [[7, 6, 5, 4, 3], [5, 4, 3], [5, 3]]
    assert [(lemma.feature, lemma.end) for lemma, _ in found] == [
        (7, near(9.0)), (6, near(9.25)), (5, near(9.3125)), (4, near(9.125)), (3, near(9.5)),
    ]  # fmt: skip
    first, second, _ = told.rows
    assert [row for _, row in found] == [first[0], first[1], first[2], second[1], second[2]]


@pytest.mark.usefixtures("eighths")
def test_more_digits_are_taken_where_they_gain_more_than_a_little(monkeypatch):
    told = Told(monkeypatch, [9.0] * 5, [8.8125, 8.75, 8.625, 9.0, 9.5], [8.5, 8.8125, 8.5625, 8.5625, 8.5])
    found = found_of(told, ends_of([1.0] * 5))
    assert [lemma.end for lemma, _ in found] == [near(x) for x in (8.5, 9.0, 8.625, 8.5625, 8.5)]
    first, second, third = told.rows
    assert [row for _, row in found] == [third[0], first[1], second[2], third[3], third[4]]


@pytest.mark.usefixtures("eighths")
def test_bounds_that_gain_too_little_are_no_lemmas(monkeypatch):
    values = [11.0, 10.9375, 12.5, 11.5, math.inf, math.nan, -3.0, -4.5]
    told = Told(monkeypatch, values, values[:6], values[:6])
    found = found_of(told, ends_of([1.0] * 8))
    assert [(lemma.feature, lemma.end) for lemma, _ in found] == [(1, near(10.9375)), (6, near(-3.0)), (7, near(-4.5))]


def test_ends_are_rounded_up_to_twenty_binary_digits(monkeypatch):
    for upper, sign in ((True, 1), (False, -1)):
        (lemma, _), *_ = found_of(Told(monkeypatch, [0.3]), ends_of([0.3], upper=upper))
        assert lemma.end == sign * 314573 / 1048576 and lemma.sign == sign


def test_a_thousandth_of_the_width_is_worth_a_lemma_and_digits(monkeypatch):
    found = found_of(Told(monkeypatch, [11.0, 11.984], [10.984], [10.984]), ends_of([10.984, 11.984]))
    assert [lemma.end for lemma, _ in found] == [near(10.984), near(11.984)]
    assert not found_of(Told(monkeypatch), ends_of([11.999]))


# -- bounds by rows

#: r = max(x, 0), s = max(-x, 0), and r + s and its negative
ABS = chain([[[1.0], [-1.0]], [[1.0, 1.0], [-1.0, -1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.0, 0.0], [0.0]])


def row(slopes: dict[int, int]) -> Row:
    at, values = np.array(list(slopes), np.int64), np.array(list(slopes.values()), np.int64)
    return Row(2, False, (0, 0, 0), at, values, np.zeros(len(at), np.int64))


def test_bounds_are_those_of_the_rows():
    evaluation = Evaluation(read_network(ABS, 1, Float64(), "n"), Float64())
    root = evaluation.root(np.array([-1.0]), np.array([1.0]))
    asked = [(0, 1, {}), (0, -1, {}), (0, -1, {0: 2}), (1, 1, {0: 4}), (1, 1, {0: 4, 1: 4}), (1, -1, {0: 4})]
    feature, sign = np.array([one[0] for one in asked]), np.array([one[1] for one in asked])
    value = tool._values(evaluation, root, 1, feature, sign, [row(one[2]) for one in asked])
    # |x| by the chords; 0 by the rule; -x/2, -x and -x + x on [-1, 1].
    assert value == pytest.approx([1.0, 0.0, 0.5, 1.0, 0.0, 1.0], abs=1e-9)
    assert tool._values(evaluation, root, 1, feature[2:3], sign[2:3], [row({0: 2})]) == pytest.approx([0.5], abs=1e-9)


# -- where lemmas go


@pytest.fixture
def listed(monkeypatch):
    """Lemmas by the ends that they are asked of, and the cells that they are asked on."""
    asked: list[tuple] = []

    def lemmas(maker, cells, ends):
        asked.append((maker, cells, ends))
        return ends.bound

    monkeypatch.setattr(tool, "_lemmas", lemmas)
    return asked


def listing(k: int, *found) -> Ends:
    none = np.zeros(0, np.int64)
    return Ends(k, none, none.astype(bool), none, none.astype(np.float32), found)  # type: ignore[arg-type]


def test_lemmas_are_written_layer_by_layer_and_cut_the_ranges(listed):
    evaluation = Shape((RELU, 2), (RELU, 2), (RELU, 2), (RELU, 2))
    maker = maker_of(evaluation)
    maker.table.number(row({9: 9}))
    cells = cells_of(*[[(-4.0, 4.0), (-4.0, 4.0)]] * 4)
    rows = [row({0: i}) for i in range(4)]
    ends = [
        listing(0),
        listing(1, (Lemma(3, 1, 1, 1.5), rows[0])),
        listing(1, (Lemma(3, 0, -1, -0.25), rows[1]), (Lemma(3, 1, -1, -3.0), rows[0])),
        listing(2),
        listing(3, (Lemma(7, 0, 1, 0.75), rows[2])),
    ]
    arrays = {name: [] for name in ("stage", "lemma_count", "kind", "rule", "leaf_row")}
    arrays |= {f"lemma_{name}": [] for name in ("relu", "feature", "side", "end", "exponent")}
    found = tool.add_lemmas(maker, cells, ends, arrays)
    assert arrays == {
        "stage": [LEMMAS, INTERVALS] * 2, "lemma_count": [3, 1], "kind": [LEAF] * 4, "rule": [0] * 4, "leaf_row": [1, 2, 1, 3],
        "lemma_relu": [2, 2, 2, 4], "lemma_feature": [1, 0, 1, 0], "lemma_side": [1, 0, 0, 1],
        "lemma_end": [3, -1, -3, 3], "lemma_exponent": [1, 2, 0, 2],
    }  # fmt: skip
    assert [made for made, _, _ in listed] == [maker] * 5 and [asked for _, _, asked in listed] == ends
    assert [rule for _, rule in evaluation.derived] == [INTERVALS] * 2
    first, second = (part for part, _ in evaluation.derived)
    assert first.low[1].tolist() == [[-0.25, -3.0]] and first.high[1].tolist() == [[4.0, 1.5]]
    assert second.low[1].tolist() == first.low[1].tolist() and second.high[3].tolist() == [[0.75, 4.0]]
    assert found.high[3].tolist() == [[0.75, 4.0]] and listed[-1][1].high[1].tolist() == [[4.0, 1.5]]


def test_without_lemmas_nothing_is_derived(listed):
    del listed
    evaluation, cells, arrays = Shape((RELU, 2)), cells_of([(-1.0, 1.0)] * 2), {}
    assert tool.add_lemmas(maker_of(evaluation), cells, [listing(0)], arrays) is cells
    assert not evaluation.derived and not arrays


# -- ends by lines


class Lines:
    """In the place of a descent: slopes that tell which row they are of, and what was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple] = []
        self.features = 0
        self.ends: list[tuple] = []
        monkeypatch.setattr(tool, "Descent", self.of)
        monkeypatch.setattr(tool, "add_lemmas", self.add)

    def of(self, evaluation):
        self.evaluation, self.features = evaluation, sum(evaluation.network.sizes)
        return self

    def started(self, cells, objective, slopes):
        assert slopes is None
        return SimpleNamespace(slope=np.zeros((len(objective.constant), self.features)), of=cells)

    def run(self, cells, objective, start, split, steps):
        assert split.dtype == np.bool_ and split.shape == start.slope.shape and not split.any() and start.of is cells
        assert steps > 1
        ((node, c),) = objective.coefficients.items()
        at, feature = c.nonzero()
        assert at.tolist() == list(range(len(c))) and objective.constant.tolist() == [0.0] * len(c)
        self.asked.append((node, feature.tolist(), c[at, feature].tolist(), cells))
        number = 10.0 * len(self.asked) + np.arange(len(c))
        slope = number[:, None] + np.arange(self.features) / 64
        slope[:, 0] = np.nan
        return SimpleNamespace(slope=slope, value=-number)

    def add(self, maker, cells, ends, arrays):
        ((one),) = ends
        self.ends.append((maker, cells, one, arrays))
        return cells.take(np.array([0]))


@pytest.mark.parametrize(("rows", "parts"), [(8, [2, 2]), (3, [1] * 4), (13, [3, 1]), (1 << 18, [4])])
def test_lines_are_found_for_both_ends_of_what_is_open(monkeypatch, rows, parts):
    lines = Lines(monkeypatch)
    monkeypatch.setattr(tool, "_ROWS", rows)
    evaluation = Shape(("sigmoid", 2), (PRODUCT, 4), (RELU, 1), (RELU, 4), ("tanh", 1))
    cells = cells_of(
        [(-1.0, 1.0)] * 2,
        [(-1.0, -1.0)] * 4,
        [(0.0, 1.0)],
        [(0.0, 1.0), (-1.0, 1.0), (-1.0, 0.0), (-2.0, 1.0)],
        [(1.0, 1.0)],
    )
    maker, arrays = maker_of(evaluation), {}
    found = tool.add_lined(maker, cells, arrays)
    assert lines.evaluation is evaluation and found is not cells
    # Of the fourth alone anything is open that has lines before it.
    asked = [(node, f, c) for node, features, signs, _ in lines.asked for f, c in zip(features, signs, strict=True)
             for node in [node]]  # fmt: skip
    assert asked == [(7, 1, 1.0), (7, 3, 1.0), (7, 1, -1.0), (7, 3, -1.0)]
    assert [len(features) for _, features, _, _ in lines.asked] == parts and len(maker.deadline.looks) == len(parts)
    assert all(one is cells for *_, one in lines.asked)
    ((given, before, ends, written),) = lines.ends
    assert given is maker and before is cells and written is arrays
    assert ends.k == 3 and ends.feature.tolist() == [1, 3, 1, 3] and ends.upper.tolist() == [True, True, False, False]
    # Slopes of the curves and the ReLU before, not those of products; what is no number counts as 0.
    assert ends.open.tolist() == [0, 1, 6]
    number = [10 * (i + 1) + j for i, count in enumerate(parts) for j in range(count)]
    assert ends.bound.tolist() == [-n for n in number]
    assert ends.slope.tolist() == [[0.0, n + 1 / 64, n + 6 / 64] for n in number]


def test_each_layer_s_lines_are_found_on_what_the_layers_before_left(monkeypatch):
    lines = Lines(monkeypatch)
    evaluation = Shape((PRODUCT, 2), ("sigmoid", 1), (RELU, 1), ("tanh", 1))
    cells = cells_of([(-1.0, 1.0)] * 2, [(-1.0, 1.0)], [(-1.0, 1.0)], [(-1.0, 1.0)])
    found = tool.add_lined(maker_of(evaluation), cells, {})
    # Before the curve there are products alone.
    assert [(ends.k, ends.open.tolist()) for *_, ends, _ in lines.ends] == [(2, [2]), (3, [2, 3])]
    assert lines.ends[0][1] is cells and lines.ends[1][1] is lines.asked[1][-1] is not cells
    assert found is not lines.ends[1][1]
