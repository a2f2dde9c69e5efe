"""Ends of ranges for which a search split the region, as lemmas with trees: what they state, how often they are tried, and by what record."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.checker.real.tree import Lemma
from netproof.certificate.real.contents import INTERVALS, LEAF, LEMMAS
from netproof.certificate.real.deadline import Deadline
from netproof.certificate.real.grown import ends as tool
from netproof.certificate.real.grown.seeds import Claim, Limits, Seed
from netproof.errors import NoEvidenceError
from netproof.result import DividedEnd
from network_shapes import Shape, cells_of, maker_of

NONE = np.zeros(0, np.int64)


def end_of(bound: float, k: int = 1, feature: int = 0, *, upper: bool = True) -> DividedEnd:
    nothing = np.zeros((1, 0))
    return DividedEnd(k, feature, upper, bound, NONE, nothing.astype(np.int8), nothing, nothing)  # type: ignore[arg-type]


def near(value: float) -> float:
    """What is written for a bound: the next multiple of 2^-20 above it."""
    return (math.floor(value * 2**20) + 1) / 2**20


# -- what is stated


def stated(end: DividedEnd, cost: float, low: float = -4.0, high: float = 12.0) -> Lemma | None:
    shape = Shape((RELU, 1), (RELU, 2))
    return tool._lemma(
        maker_of(shape), cells_of([(7.0, 9.0)], [(1.0, 2.0), (low, high)]), replace(end, feature=1), cost
    )


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize(
    ("bound", "end"),
    [
        (1.25, near(1.5)),
        (0.5, near(0.75)),
        (0.05, near(0.3)),
        (1 / 3, near(1 / 3 + 0.25)),
        (-1.0, near(-0.75)),
        (-6.6, near(-6.35)),
        # That a feature's sign is known is not given away for less than what it may lose.
        (0.0, 0.0),
        (-0.125, 0.0),
        (-0.25, 0.0),
        (-0.25 - 2**-30, near(-(2**-30))),
    ],
)
def test_ends_may_lose_a_share_of_the_width_but_not_a_sign(bound, end, upper):
    sign = 1 if upper else -1
    assert stated(end_of(bound, upper=upper), 1 / 64) == Lemma(3, 1, sign, sign * end)


def test_they_are_written_with_twenty_binary_digits():
    assert stated(end_of(0.3), 0.0) == Lemma(3, 1, 1, 314573 / 1048576)


@pytest.mark.parametrize(("upper", "known"), [(True, 12.0), (False, 4.0)])
def test_they_have_to_gain_a_share_of_the_width(upper, known, monkeypatch):
    monkeypatch.setattr(tool, "_WORTH", 1 / 16)
    unit = 2.0**-20
    for bound, is_worth in (
        (known - 1.25 - 1.5 * unit, True),
        (known - 1.25 - unit / 2, False),
        (known - 1.0, False),
        (known + 0.5, False),
    ):
        lemma = stated(end_of(bound, upper=upper), 1 / 64)
        assert (lemma is not None) == is_worth
        assert lemma is None or abs(lemma.end) == known - 1 - unit


def test_a_thousandth_of_the_width_is_worth_it():
    assert stated(end_of(12.0 - 0.016), 0.0) is not None


@pytest.mark.parametrize(("low", "high"), [(-16.0, 0.0), (-16.0, -0.5)])
@pytest.mark.parametrize("upper", [True, False])
def test_of_features_that_are_never_positive_nothing_is_stated(low, high, upper):
    assert stated(end_of(-20.0, upper=upper), 0.0, low, high) is None


@pytest.mark.parametrize("bound", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("upper", [True, False])
def test_of_ends_that_are_no_numbers_nothing_is_stated(bound, upper):
    assert stated(end_of(bound, upper=upper), 0.0) is None


# -- how often it is tried


class Tried:
    """In the places of what states lemmas and grows their trees: an end succeeds in the try that its bound names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple] = []
        self.trees: list = []
        monkeypatch.setattr(tool, "_lemma", self.lemma)
        monkeypatch.setattr(tool, "_grown", self.grown)

    def lemma(self, maker, cells, end, cost):
        self.cells, self.cost = cells, cost
        if end.bound < 0 and cost > tool._TRIES[1][0]:
            return None
        return Lemma(9, end.feature, 1 if end.upper else -1, (end.feature + 1) * (0.125 if end.upper else -0.125))

    def grown(self, maker, cells, trees, stated, beyond):
        assert cells is self.cells and trees._sizes[1:] == maker.evaluation.network.sizes
        self.trees.append(trees)
        number = len(self.asked) % len(tool._TRIES)
        self.asked.append((maker, cells, [end for _, end in stated], self.cost, beyond))
        assert all(lemma.feature == end.feature for lemma, end in stated)
        return [leaf(end) if end.bound == number else None for _, end in stated]


def leaf(end: DividedEnd) -> Seed:
    return Seed([Claim(0, None, row=10 * end.k + end.feature)], NONE, {}, kind=LEAF, rule=end.feature)


def test_what_fails_is_tried_again_with_less_to_show(monkeypatch):
    tried = Tried(monkeypatch)
    shape = Shape((RELU, 1), (RELU, 6), (RELU, 2), (RELU, 2))
    maker = maker_of(shape)
    cells = cells_of([(-1.0, 1.0)], [(-1.0, 1.0)] * 6, [(-1.0, 1.0)] * 2, [(-1.0, 1.0)] * 2)
    first = [end_of(bound, 1, j, upper=j != 1) for j, bound in enumerate([0, 1, 4, 7, -1, 0])]
    second, third = [end_of(9, 2, 0)], [end_of(3, 3, 1, upper=False)]
    arrays: dict[str, list[int]] = {name: [] for name in ("stage", "lemma_count", "kind", "rule", "leaf_row")}
    arrays |= {f"lemma_{name}": [] for name in ("relu", "feature", "side", "end", "exponent")}
    arrays |= {f"split_{name}": [] for name in ("relu", "feature", "point", "exponent")}
    found = tool.add_divided(maker, cells, [*first, *second, *third], arrays)
    # Of those of the first layer the fifth is worth it no longer, and the fourth never closes.
    asked = [[one.feature for one in ends] for _, _, ends, _, _ in tried.asked]
    assert asked == [[0, 1, 2, 3, 4, 5], [1, 2, 3, 4], [2, 3], [2, 3], [2, 3], *([[0]] * 5), *([[1]] * 4), []]
    assert arrays == {
        "stage": [LEMMAS, INTERVALS] * 2, "lemma_count": [4, 1], "kind": [LEAF] * 5, "rule": [0, 5, 1, 2, 1],
        "leaf_row": [10, 15, 11, 12, 31],
        "lemma_relu": [2, 2, 2, 2, 4], "lemma_feature": [0, 5, 1, 2, 1], "lemma_side": [1, 1, 0, 1, 0],
        "lemma_end": [1, 3, -1, 3, -1], "lemma_exponent": [3, 2, 2, 3, 2],
        "split_relu": [], "split_feature": [], "split_point": [], "split_exponent": [],
    }  # fmt: skip
    # Trees are made once for all tries of a layer.
    assert len({id(trees) for trees in tried.trees[:5]}) == len({id(trees) for trees in tried.trees[5:10]}) == 1
    assert all(one is maker for one, *_ in tried.asked)
    # Later layers have the ranges that the lemmas of those before leave.
    derived = [part for part, rule in shape.derived if rule == INTERVALS]
    assert len(derived) == len(shape.derived) == 2
    assert derived[0].high[1].tolist() == [[0.125, 1.0, 0.375, 1.0, 1.0, 0.75]]
    assert derived[0].low[1].tolist() == [[-1.0, -0.25, -1.0, -1.0, -1.0, -1.0]]
    assert all(given is cells for _, given, *_ in tried.asked[:5])
    assert all(given.high[1].tolist() == derived[0].high[1].tolist() for _, given, *_ in tried.asked[5:])
    assert found.low[3].tolist() == [[-1.0, -0.25]] and found.low[1].tolist() == derived[0].low[1].tolist()


def test_first_as_the_search_had_them_then_with_more_to_lose_and_at_last_with_splits(monkeypatch):
    tried = Tried(monkeypatch)
    tool.add_divided(maker_of(Shape((RELU, 1))), cells_of([(-1.0, 1.0)]), [end_of(9, 0)], {})
    costs, beyond = ([one[at] for one in tried.asked] for at in (3, 4))
    assert costs == sorted(costs) and costs[0] < 0.0001 and costs[-1] < 0.05
    assert beyond[:3] == [0, 0, 0] and 0 < beyond[3] <= beyond[4]


# -- how trees are grown


def parts_of(shape: Shape, deadline: Deadline = Deadline("q")) -> tool._Parts:  # noqa: B008 - one that never changes
    return tool._Parts(shape.network.sizes, shape.network.inputs, deadline)


class Grown:
    """In the place of what grows trees: what it was asked; the tree of the second goal does not close."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple] = []
        self.failed = {1}
        monkeypatch.setattr(tool, "Grower", lambda *given: self.asked.append(given) or self)

    def grow(self, cells, seeds) -> None:
        self.asked.append((cells, seeds))


#: of ReLUs of two and three features: parts by the signs of the second feature and of the first one of the second ReLU
PARTED = DividedEnd(
    2, 1, True, 0.5, np.array([1, 2, 4]), np.array([[-1, 0, 0], [1, -1, 0], [1, 1, 0]], np.int8),
    np.array([[0.125, 0.25, 0.5], [0.5, 0.75, 1.0], [0.0, 0.25, 0.125]], np.float32),
    np.array([[1.5, 0.0, 0.0], [2.5, 3.5, 0.0], [4.5, 5.5, 0.0]], np.float32),
)  # fmt: skip
#: another one that is one part
WHOLE = DividedEnd(
    2,
    0,
    False,
    0.5,
    np.array([3]),
    np.zeros((1, 1), np.int8),
    np.ones((1, 1), np.float32),
    np.zeros((1, 1), np.float32),
)


def test_parts_are_the_record_of_a_tree(monkeypatch):
    grown = Grown(monkeypatch)
    shape = Shape((RELU, 2), (RELU, 3), (RELU, 2))
    maker = SimpleNamespace(evaluation=shape, deadline=Deadline("q"))
    lemmas = [Lemma(5, 1, 1, 0.5), Lemma(5, 0, -1, -0.5)]
    cells = cells_of([(-1.0, 1.0)] * 2, [(-1.0, 1.0)] * 3, [(-1.0, 1.0)] * 2)
    trees = parts_of(shape, maker.deadline)
    found = tool._grown(maker, cells, trees, list(zip(lemmas, (PARTED, WHOLE), strict=True)), 7)  # type: ignore[arg-type]
    (given, goals, places, trace, limits), (root, seeds) = grown.asked
    assert given is maker and goals == lemmas and limits == Limits(each=7) and root is cells
    assert [(one.place.tolist(), one.scale.tolist(), one.is_end) for one in places] == [([0], [1.0], True)] * 2
    assert all(one.place.dtype == np.int64 for one in places)
    assert [[(claim.goal, claim.trace) for claim in seed.claims] for seed in seeds] == [[(0, 0)], [(1, 5)]]
    assert [seed.open.tolist() for seed in seeds] == [[1, 2, 4], [3]] and all(seed.sides == {} for seed in seeds)
    assert found == [seeds[0], None]
    # The most parts name the second feature of the first ReLU; the upper half is split once more.
    assert trace.splits == {0: (0, 1, 0.0, 1, 2), 2: (1, 0, 0.0, 3, 4)} and trace.sizes == (2, 3, 2)
    assert sorted(trace.refuted) == [1, 3, 4, 5] and {one.means for one in trace.refuted.values()} == {"signs"}
    assert [trace.refuted[n].slope.tolist() for n in (1, 3, 4, 5)] == [*PARTED.slope.tolist(), [1.0]]
    assert [trace.refuted[n].added.tolist() for n in (1, 3, 4, 5)] == [*PARTED.added.tolist(), [0.0]]
    assert all(one.weight.tolist() == [1.0] and one.slope.dtype == np.float64 for one in trace.refuted.values())
    assert {n: opened.tolist() for n, opened in trace.open.items()} == {n: [1, 2, 4] for n in (1, 3, 4)} | {5: [3]}


def test_of_no_ends_no_trees_are_grown(monkeypatch):
    grown = Grown(monkeypatch)
    shape = Shape((RELU, 1))
    maker, trees = SimpleNamespace(evaluation=shape, deadline=Deadline("q")), parts_of(shape)
    assert tool._grown(maker, cells_of([(-1.0, 1.0)]), trees, [], 0) == [] and not grown.asked  # type: ignore[arg-type]


def test_trees_are_made_once_and_until_the_deadline():
    shape = Shape((RELU, 2), (RELU, 3))
    with pytest.raises(NoEvidenceError, match=r"^late: "):
        parts_of(shape, Deadline("late", 0.0)).divided(PARTED)
    trees = parts_of(shape)
    assert [trees.divided(one) for one in (PARTED, WHOLE, PARTED, replace(PARTED), WHOLE)] == [0, 5, 0, 6, 5]
    assert len(trees.trace().splits) == 4


def test_sides_that_no_part_is_on_are_left_open():
    one = replace(PARTED, side=PARTED.side[1:2])
    trees = parts_of(Shape((RELU, 2), (RELU, 3)))
    assert trees.divided(one) == 0
    # The lower half of the first split and the upper one of the second are no part's.
    assert trees.trace().splits == {0: (0, 1, 0.0, 1, 2), 2: (1, 0, 0.0, 3, 4)} and list(trees.trace().refuted) == [3]
