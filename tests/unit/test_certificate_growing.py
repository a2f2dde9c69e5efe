"""How trees of certificates grow: in what order nodes are looked at, by which rules, what is split, and when it is given up.

What bounds and solvers say is told here, so that every way through can be taken.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.real.contents import BOTH, CROWN, EMPTY, FORMS, LEAF, SPLIT
from netproof.certificate.real.grown import grow as tool
from netproof.certificate.real.grown.seeds import Claim, Seed
from netproof.errors import NoEvidenceError
from netproof.result import Refutation, Trace
from network_shapes import grower, numbered, numbers_of, seed, trace_of

NONE = np.zeros(0, np.int64)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few inputs are up to 2, and up to 4 where there are linear forms; nothing is improved but where a test does it."""
    monkeypatch.setattr(tool, "Descent", lambda evaluation, planes: SimpleNamespace(evaluation=evaluation))
    monkeypatch.setattr(tool, "FEW_INPUTS", 2)
    monkeypatch.setattr(tool, "_FORMS", 4)


REFUTED = Refutation("crown", np.ones(1))


# -- how it begins


@pytest.mark.parametrize(
    ("inputs", "widest", "batch", "few"),
    [(4, 5, 5, 2), (3, 5, 6, 2), (5, 5, 6, 2), (1, 50, 2, 1), (4, 50, 1, 1), (5, 20, 2, 1)],
)
def test_how_many_cells_are_bounded_at_once(monkeypatch, inputs, widest, batch, few):
    for name, value in (("_BATCH", 6), ("_NUMBERS", 100), ("_VALUES", 40), ("_ROWS", 12)):
        monkeypatch.setattr(tool, name, value)
    made = grower(bends=((RELU, widest), (RELU, 3)), inputs=inputs)
    assert (made._batch, made._few) == (batch, few)
    assert isinstance(made._batch, int) and isinstance(made._few, int)


def test_small_networks_are_not_cut_into_pieces():
    for inputs in (1, 5):
        made = grower(inputs=inputs)
        assert made._batch > 100 and made._few > 100


@pytest.mark.parametrize(
    ("each", "are_small", "used"),
    [(None, True, True), (None, False, False), (0, True, False), (4, True, False), (None, None, False)],
)
def test_programs_are_asked_of_small_networks_and_not_about_ends(each, are_small, used):
    programs = None if are_small is None else SimpleNamespace(are_small=are_small)
    made = grower(each=each, programs=programs)
    assert made._programs is (programs if used else None)
    assert made.beyond == 0 and made.failed == set()


def test_kinds_of_features():
    made = grower(bends=((RELU, 2), ("product", 2), ("sigmoid", 1)))
    assert made._straight.tolist() == [True, True, False, False, False]
    assert made._chosen.tolist() == [False, False, False, False, True]
    none = grower(bends=())
    assert none._straight.dtype == none._chosen.dtype == np.bool_ and len(none._straight) == 0
    # Of ReLUs those around 0 are open, of others those that are no point.
    low, high = np.array([0.0, -1.0, 1.0, 2.0, -1.0]), np.array([1.0, 0.5, 2.0, 2.0, 0.0])
    assert made._is_open(low, high).tolist() == [False, True, True, False, True]
    low, high = np.array([0.5, -1.0, -3.0, 2.0, 1.0]), np.array([2.0, 0.0, -3.0, 2.5, 1.0])
    assert made._is_open(low, high).tolist() == [False, False, False, True, False]


def test_ranges_side_by_side():
    cells = numbered(2)
    cells.low[1][1], cells.high[0][0] = -3.0, 5.0
    low, high = tool.joined(cells)
    assert low.tolist() == [[-1.0] * 5, [-1.0, -1.0, -3.0, -3.0, -3.0]]
    assert high.tolist() == [[5.0, 5.0, 1.0, 1.0, 1.0], [1.0] * 5]
    tool.put(cells, np.array([0]), cells.take(np.array([1])))
    assert cells.low[1].tolist() == [[-3.0] * 3] * 2 and cells.high[0].tolist() == [[1.0, 1.0]] * 2


def test_what_the_record_splits():
    splits = dict.fromkeys((1, 2), (0, 0, 0.0, 3, 4))
    made = grower(trace=trace_of(splits=splits, refuted={2: REFUTED}))
    assert [made._is_split(Claim(0, node)) for node in (None, 1, 2, 3)] == [False, True, False, False]
    both = Seed([Claim(0, 3), Claim(1, 1)], NONE, {})
    assert made._is_inner(both) and not made._is_inner(seed(node=2))


# -- node by node


class Walk(tool.Grower):
    """Seeds are closed and split as their numbers say: what was looked at is kept."""

    told: list[tuple]
    splits: dict[int, list[tuple[Seed, int]]]

    def _close(self, seeds, cells):
        self.told.append(("close", [one.rule for one in seeds], numbers_of(cells)))
        cells.low[0][:] = -0.25
        for one in seeds:
            one.kind = SPLIT if one.rule in self.splits else LEAF

    def _split(self, seeds, cells):
        self.told.append(("split", [one.rule for one in seeds], [float(x[0]) for x in cells.low[0]]))
        below = [child for one in seeds for child in self.splits[one.rule]]
        parts = numbered(len(below))
        for i, (child, room) in enumerate(below):
            parts.lower[i], parts.upper[i] = child.rule, child.rule + room
        return [child for child, _ in below], parts


def walk(batch: int = 100, trace: Trace | None = None, splits=None) -> Walk:
    made = grower(Walk, trace=trace)
    made._batch, made.told, made.splits = batch, [], splits or {}
    return made


def test_roots_are_taken_in_parts():
    for count, parts in ((5, [[10, 11], [12, 13], [14]]), (4, [[10, 11], [12, 13]]), (2, [[10, 11]])):
        made = walk(2)
        made.grow(numbered(1), [seed(rule=10 + i) for i in range(count)])
        assert [seeds for _, seeds, _ in made.told] == parts and len(made.looks) == 2 * len(parts)
        assert all(what == "close" and not any(cells) for what, _, cells in made.told)
    made = walk()
    made.grow(numbered(1), [])
    assert not made.told and not made.looks


def test_what_is_open_at_the_root():
    made = grower(Walk, bends=((RELU, 2), ("sigmoid", 3)))
    made.told, made.splits = [], {}
    cells = numbered(1)
    cells.lower[0], cells.upper[0] = -1.0, 3.0
    cells.low[0][0, 0], cells.low[1][0, 1] = 0.0, 1.0
    made.grow(cells, [seed()])
    assert made._width_of_root.tolist() == [4.0]
    assert made._open_at_root.tolist() == [False, True, True, False, True] and made._open == 3


def test_the_record_s_splits_are_not_bounded_and_others_are_split_where_no_bound_closes_them():
    record = trace_of(splits={7: (0, 0, 0.0, 8, 9)})
    made = walk(
        trace=record, splits={1: [(seed(rule=4), 1), (seed(rule=5), 1)], 2: [(seed(rule=6), 1), (seed(rule=7), 1)]}
    )
    made.grow(numbered(1), [seed(rule=0), seed(node=7, rule=1), seed(rule=2), seed(rule=3)])
    assert made.told == [
        # With the ranges of the record as they were, and all that it does not split together.
        ("split", [1], [-1.0]),
        ("close", [0, 2, 3, 4, 5], [0, 0, 0, 4, 5]),
        # With the ranges that closing has found.
        ("split", [2], [-0.25]),
        ("close", [6, 7], [6, 7]),
    ]
    made = walk(trace=record, splits={1: [(seed(rule=4), 1)]})
    made.grow(numbered(1), [seed(node=7, rule=1)])
    assert [what for what, *_ in made.told] == ["split", "close"]


@pytest.mark.parametrize(
    ("batch", "parts", "left"),
    [(2, [[0, 4], [5]], [[0, 4]]), (3, [[0, 4, 5]], [[0, 4, 5]]), (1, [[4], [5], [0]], [[4], [0]])],
)
def test_goals_that_are_given_up_while_their_seeds_wait_are_left(batch, parts, left):
    record = trace_of(splits={7: (0, 0, 0.0, 8, 9)})
    for failing in (False, True):
        made = walk(batch, record, {1: [(seed(1, rule=4), 1), (seed(2, rule=5), 1)]})
        close = made._close
        made._close = lambda seeds, cells, made=made, close=close, failing=failing: (
            close(seeds, cells) or (failing and made.failed.add(2))
        )
        made.grow(numbered(1), [seed(node=7, rule=1), seed(rule=0)])
        closed = [seeds for what, seeds, _ in made.told if what == "close"]
        assert closed == (left if failing else parts)


def test_empty_cells_and_goals_that_are_given_up_are_left():
    made = walk(splits={1: [(seed(rule=4), -1), (seed(1, rule=5), 1), (seed(2, rule=6), 1)]})
    made.failed = {1}
    made.grow(numbered(1), [seed(rule=1)])
    assert made.told[2:] == [("close", [6], [6])]
    assert [made._is_lost(seed(goal)) for goal in range(3)] == [False, True, False]


# -- one node, rule by rule


class Close(tool.Grower):
    """What is worth it, which seeds bounds close, and what is left for others, as a test says; seeds are told by where they begin."""

    def _is_worth(self, rule, one):
        return (rule, one.beyond) in self.worth

    def tell(self, what, seeds, cells, rule):
        self.told.append((what, rule, [one.beyond for one in seeds], numbers_of(cells), cells.low[0][:, 0].tolist()))
        for one in seeds:
            if (what, rule, one.beyond) in self.closed:
                one.kind = LEAF

    def _bound(self, seeds, cells, rule):
        self.tell("bound", seeds, cells, rule)

    def _improve(self, seeds, cells, rule):
        self.tell("improve", seeds, cells, rule)

    def _programmed(self, seeds, cells):
        self.tell("programs", seeds, cells, None)
        left = [i for i, one in enumerate(seeds) if one.kind != LEAF]
        return [seeds[i] for i in left], cells.take(np.array(left, np.int64))

    def _choose(self, seeds, cells):
        self.tell("choose", seeds, cells, None)


def closing(count: int, worth, closed=(), empty=(), *, inputs=4, opened=0, each=None, programs=None):
    """Close so many seeds; rules make cells empty that are named with them."""
    derived = []

    def derive(cells, rule, *, sized=False):
        assert sized and rule and len(cells)
        derived.append((rule, numbers_of(cells)))
        found = cells.take(np.arange(len(cells)))
        found.low[0][:] = -rule / 16
        for i, number in enumerate(numbers_of(cells)):
            if (rule, number) in empty:
                found.low[1][i] = 50.0
        return found

    made = grower(Close, inputs=inputs, each=each, derive=derive, programs=programs)
    made.worth, made.closed, made.told, made._open, made.derived = set(worth), set(closed), [], opened, derived
    seeds, cells = [seed(beyond=i) for i in range(count)], numbered(count)
    made._close(seeds, cells)
    return made, seeds, cells


def test_rules_are_tried_one_after_the_other_while_something_is_left():
    made, seeds, cells = closing(
        6,
        [(0, 0), (0, 1), (0, 2), (FORMS, 1), (FORMS, 2), (FORMS, 3), (FORMS, 0), (BOTH, 2), (BOTH, 4), (CROWN, 4)],
        [("bound", 0, 0), ("bound", FORMS, 3), ("bound", BOTH, 2), ("programs", None, 5)],
        [(FORMS, 1)],
    )
    a, b = -FORMS / 16, -BOTH / 16
    assert made.told == [
        ("bound", 0, [0, 1, 2], [0, 1, 2], [-1.0] * 3),
        ("bound", FORMS, [2, 3], [2, 3], [a, a]),
        ("bound", BOTH, [2, 4], [2, 4], [b, b]),
        # What is split begins with the ranges of the last rule, where that was tried.
        ("programs", None, [4, 5], [4, 5], [b, -1.0]),
        ("choose", None, [4], [4], [b]),
    ]
    assert [one.rule for one in seeds] == [0, FORMS, BOTH, 0, BOTH, 0] and seeds[1].kind == EMPTY
    assert cells.low[0][:, 0].tolist() == [-1.0, -1.0, b, -1.0, b, -1.0]
    # Of the other rules nothing is kept, nor is anything derived again.
    assert made.derived == [(FORMS, [1, 2, 3]), (BOTH, [2, 4])]


def test_a_rule_that_is_worth_it_for_none_is_left_out():
    made, _, _ = closing(2, [(BOTH, 0), (BOTH, 1)], [("bound", BOTH, 0), ("programs", None, 1)])
    assert [one[:3] for one in made.told] == [("bound", BOTH, [0, 1]), ("programs", None, [1])]


def test_it_ends_where_nothing_is_left():
    made, seeds, _ = closing(2, [(0, 0), (FORMS, 1)], [("bound", 0, 0)], [(FORMS, 1)])
    assert [one[:3] for one in made.told] == [("bound", 0, [0]), ("bound", FORMS, [])]
    assert [one.rule for one in seeds] == [0, FORMS]


def test_with_many_inputs_crown_s_ranges_are_where_a_split_begins():
    made, seeds, cells = closing(3, [(0, 0), (0, 1), (CROWN, 1), (FORMS, 0)], inputs=5)
    a = -CROWN / 16
    assert [one[:3] for one in made.told] == [
        ("bound", 0, [0, 1]), ("bound", CROWN, [1]), ("programs", None, [0, 1, 2]), ("choose", None, [0, 1, 2]),
    ]  # fmt: skip
    assert made.told[-1][-1] == [-1.0, a, -1.0] and cells.low[0][:, 0].tolist() == [-1.0, a, -1.0]
    assert [one.rule for one in seeds] == [0, CROWN, 0]


SMALL = SimpleNamespace(are_small=True)


@pytest.mark.parametrize(("inputs", "rule"), [(3, BOTH), (4, BOTH), (5, CROWN)])
def test_programs_are_asked_with_the_ranges_of_the_last_rule(inputs, rule):
    worth, end = [(0, 0), (rule, 1), (rule, 2)], -rule / 16
    made, seeds, cells = closing(4, worth, [("bound", rule, 2)], inputs=inputs, programs=SMALL)
    # Derived where it has not been, and nowhere twice.
    assert made.derived == [(rule, [1, 2]), (rule, [0, 3])]
    assert [one for one in made.told if one[0] == "programs"] == [("programs", None, [0, 1, 3], [0, 1, 3], [end] * 3)]
    assert [one.rule for one in seeds] == [rule] * 4 and cells.low[0][:, 0].tolist() == [end] * 4
    for programs in (None, SimpleNamespace(are_small=False)):
        made, seeds, cells = closing(4, worth, [("bound", rule, 2)], inputs=inputs, programs=programs)
        assert made.derived == [(rule, [1, 2])] and [one.rule for one in seeds] == [0, rule, rule, 0]
        assert cells.low[0][:, 0].tolist() == [-1.0, end, end, -1.0]


def test_where_no_programs_are_asked_yet_nothing_is_derived_for_them(monkeypatch):
    monkeypatch.setattr(tool, "_LATE", 2)
    monkeypatch.setattr(tool, "_AT_ONCE", 4)
    made, seeds, _ = closing(4, [(BOTH, 3)], inputs=2, programs=SMALL)
    assert made.derived == [(BOTH, [3]), (BOTH, [2])] and [one.rule for one in seeds] == [0, 0, BOTH, BOTH]
    monkeypatch.setattr(tool, "_AT_ONCE", 5)
    made, _, _ = closing(4, [(BOTH, 3)], inputs=2, programs=SMALL)
    assert made.derived == [(BOTH, [3]), (BOTH, [0, 1, 2])]


def test_of_what_the_last_rule_makes_empty_nothing_is_left():
    made, seeds, cells = closing(2, [(BOTH, 0), (BOTH, 1)], [("bound", BOTH, 1)], [(BOTH, 0)])
    assert [one[:3] for one in made.told] == [("bound", BOTH, [1])]
    assert [one.rule for one in seeds] == [BOTH, BOTH] and seeds[0].kind == EMPTY
    assert cells.empty.tolist() == [True, False]


class Kept(tool.Grower):
    """What is no half of a split stays open, and is split where the first bend's second feature is."""

    def _bound(self, seeds, cells, rule):
        self.told.append((rule, cells.low[0].tolist(), cells.high[0].tolist()))
        for one in seeds:
            if one.beyond:
                one.kind, one.rule = LEAF, rule

    def _improve(self, seeds, cells, rule):
        pass

    def _gaps(self, seeds, cells):
        return np.tile(np.array([0.0, 1.0, 0, 0, 0]), (len(seeds), 1))


@pytest.mark.parametrize(("inputs", "rule"), [(4, BOTH), (5, CROWN)])
def test_halves_begin_with_the_ranges_that_the_last_rule_left_of_the_whole(inputs, rule):
    def derive(cells, given, *, sized=False):
        found = cells.take(np.arange(len(cells)))
        if given == rule:
            for low, high in zip(found.low, found.high, strict=True):
                np.maximum(low, -0.25, out=low)
                np.minimum(high, 0.5, out=high)
        return found

    made = grower(Kept, inputs=inputs, derive=derive)
    made.told = []
    root = seed()
    made.grow(numbered(1, inputs=inputs), [root])
    # The node says by which rule its halves have these ranges: a checker finds them there.
    assert (root.kind, root.rule, root.split) == (SPLIT, rule, (0, 1, 0.0))
    assert made.told[-1][1:] == ([[-0.25, -0.25], [-0.25, 0.0]], [[0.5, 0.0], [0.5, 0.5]])
    assert root.children is not None and [half.kind for half in root.children] == [LEAF, LEAF]


@pytest.mark.parametrize(
    ("inputs", "hands_down", "handed"), [(4, True, True), (1, True, True), (4, False, False), (5, True, False)]
)
def test_inner_nodes_hand_down_ranges_where_the_record_found_some(inputs, hands_down, handed):
    def derive(cells, rule, *, sized=False):
        assert sized and rule == BOTH and len(cells)
        found = cells.take(np.arange(len(cells)))
        found.low[0][:] = -0.5
        return found

    record = trace_of(splits=dict.fromkeys((7, 8), (0, 0, 0.0, 9, 10)), ranges={7: "crown", 8: "forms", None: "crown"})
    made = grower(Walk, trace=record, inputs=inputs, derive=derive, hands_down=hands_down)
    made.told, made.splits = [], {0: [], BOTH: []}
    seeds = [seed(node=7), seed(node=8), Seed([Claim(0, 8), Claim(1, 7)], NONE, {}), Seed([Claim(0, None), Claim(1, 8)], NONE, {})]  # fmt: skip
    made.grow(numbered(1, inputs=inputs), seeds)
    rule, end = (BOTH, -0.5) if handed else (0, -1.0)
    assert made.told == [("split", [rule, 0, rule, 0], [end, -1.0, end, -1.0])]
    assert [one.rule for one in seeds] == [rule, 0, rule, 0]


@pytest.mark.parametrize("inputs", [2, 3])
@pytest.mark.parametrize("opened", [0, 1])
@pytest.mark.parametrize("each", [None, 0, 1])
def test_multipliers_are_improved_where_boxes_are_not_split(inputs, opened, each):
    made, _, _ = closing(2, [(0, 0), (0, 1)], [("improve", 0, 0)], inputs=inputs, opened=opened, each=each)
    improved = inputs == 3 and opened == 1 and each != 0
    assert [one[:3] for one in made.told if one[0] == "improve"] == [("improve", 0, [0, 1])] * improved
    assert made.told[-1][:3] == ("choose", None, [1] if improved else [0, 1])


@pytest.mark.parametrize(
    ("inputs", "each", "opened", "worth"),
    [
        # Linear forms, and CROWN after them.
        (4, None, 9, {(0, 0), (FORMS, 0), (BOTH, 0)}),
        (4, 1, 9, {(0, 0), (FORMS, 0), (BOTH, 0)}),
        (4, 0, 9, {(0, 0)}),
        # CROWN, and on large networks after every fourth split beyond the record.
        (5, None, 3, {(0, 0), (CROWN, 0), (0, 3), (CROWN, 3), (0, 4), (CROWN, 4)}),
        (5, None, 4, {(0, 0), (0, 3), (CROWN, 3), (0, 4)}),
        (5, 1, 4, {(0, 0), (0, 3), (0, 4)}),
        (5, 1, 3, {(0, 0), (CROWN, 0), (0, 3), (CROWN, 3), (0, 4), (CROWN, 4)}),
        (5, 0, 3, {(0, 0), (0, 3), (0, 4)}),
    ],
)
def test_which_rules_are_worth_it(monkeypatch, inputs, each, opened, worth):
    monkeypatch.setattr(tool, "_MANY", 3)
    made = grower(inputs=inputs, each=each, trace=trace_of(ranges={}))
    made._open = opened
    rules = (0, FORMS, BOTH) if inputs == 4 else (0, CROWN)
    tried = (0,) if inputs == 4 else (0, 3, 4)
    node = 5 if inputs == 4 else None
    found = {
        (rule, beyond) for rule in rules for beyond in tried if made._is_worth(rule, seed(node=node, beyond=beyond))
    }
    assert found == worth


def test_where_linear_forms_are_few_the_record_says_where_to_begin():
    made = grower(inputs=4, trace=trace_of(ranges={1: "crown", 2: "forms"}))
    starts = [
        ([1], BOTH),
        ([2], FORMS),
        ([3], 0),
        ([3, None], 0),
        ([2, 3], FORMS),
        ([1, 3], BOTH),
        ([None], FORMS),
        ([], FORMS),
    ]
    for nodes, rule in starts:
        assert made._starts(Seed([Claim(0, node) for node in nodes], NONE, {})) == rule
        assert made._starts(Seed([Claim(0, node) for node in nodes], NONE, {}, beyond=1)) == BOTH
    many = grower(inputs=5, trace=trace_of(ranges={1: "crown"}))
    assert many._starts(seed(node=1)) == many._starts(seed(node=1, beyond=1)) == 0
    assert (
        not made._is_worth(FORMS, seed(node=1))
        and not made._is_worth(0, seed(node=2))
        and made._is_worth(0, seed(node=3))
    )


# -- programs


class Programmed(tool.Grower):
    """Seeds for which a program's solution has gaps, and those that are closed by its dual."""

    def _solved(self, programs, one, cells, row):
        assert programs is self._programs
        self.told.append((one.beyond, numbers_of(cells)[row]))
        found = self.gaps.get(one.beyond)
        if found == "leaf":
            one.kind = LEAF
            return None
        return None if found is None else np.eye(5)[found]


def programmed(beyond: list[int], gaps, *, inputs=3, sizes=(2, 3), programs=True, asked=0):
    made = grower(
        Programmed, tuple((RELU, size) for size in sizes), inputs=inputs,
        programs=SimpleNamespace(are_small=True) if programs else None,
    )  # fmt: skip
    made.told, made.gaps = [], gaps
    made._asked += asked
    seeds = [seed(beyond=n) for n in beyond]
    left, cells = made._programmed(seeds, numbered(len(seeds)))
    return made, seeds, [one.beyond for one in left], numbers_of(cells)


@pytest.fixture
def few(monkeypatch):
    for name, value in (("_AT_ONCE", 5), ("_LATE", 30), ("_MOST_PROGRAMS", 20), ("_BEYOND_BY_PROGRAMS", 50)):
        monkeypatch.setattr(tool, name, value)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("inputs", [3, 4, 5])
def test_programs_close_cells_or_say_what_to_split(inputs):
    made, seeds, left, cells = programmed([1, 2, 3, 4, 50, 49], {1: 4, 2: "leaf", 4: 2, 50: 1, 49: 1}, inputs=inputs)
    assert left == [3, 50] and cells == [2, 4]
    assert made.told == [(1, 0), (2, 1), (3, 2), (4, 3), (50, 4), (49, 5)] and len(made.looks) == 6
    assert [one.kind for one in seeds] == [SPLIT, LEAF, EMPTY, SPLIT, EMPTY, SPLIT]
    assert [one.split for one in seeds] == [(1, 2, 0.0), None, None, (1, 0, 0.0), None, (0, 1, 0.0)]
    # Their ranges are there before programs are asked, and their rule is on the seeds.
    assert not made._evaluation.derived
    # Whatever of it is left.
    _, _, left, _ = programmed([1], {1: 0}, inputs=inputs)
    assert left == []


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("inputs", "sizes", "told"),
    [(2, (2, 3), [29, 30, 31]), (2, (3, 3), [30, 31]), (3, (3, 3), [29, 30, 31]), (1, (3, 3), [30, 31])],
)
def test_where_boxes_can_be_split_programs_come_first_or_late(inputs, sizes, told):
    made, _, left, cells = programmed([30, 29, 31], {}, inputs=inputs, sizes=sizes)
    assert sorted(number for number, _ in made.told) == told and left == [30, 29, 31] and cells == [0, 1, 2]


@pytest.mark.usefixtures("few")
def test_without_programs_all_are_left():
    for given in ({"programs": False}, {"inputs": 2, "sizes": (3, 3)}):
        made, _, left, cells = programmed([1, 2], {1: 0}, **given)
        assert left == [1, 2] and cells == [0, 1] and not made.told and not made._evaluation.derived


@pytest.mark.usefixtures("few")
def test_so_many_programs_are_asked_and_no_more():
    made, _, left, _ = programmed([1, 2, 3, 4], dict.fromkeys(range(5), 0), asked=18)
    assert left == [3, 4] and [number for number, _ in made.told] == [1, 2]


# -- what is split beyond the record


class Chosen(tool.Grower):
    gaps = np.zeros((0, 5))

    def _gaps(self, seeds, cells):
        assert len(cells) == len(seeds) > 0
        return self.gaps


def chosen(seeds: list[Seed], gaps=(), *, inputs=3, each=None, kind=RELU, cells=None) -> Chosen:
    made = grower(Chosen, ((RELU, 2), (kind, 3)), inputs=inputs, each=each)
    made.gaps, made._width_of_root = np.array(gaps), np.array([2.0, 8.0, 0.0, 0.5])[:inputs]
    made._choose(seeds, numbered(len(seeds), inputs=inputs) if cells is None else cells)
    return made


def test_boxes_are_halved_where_they_are_widest_in_parts_of_the_root():
    cells = numbered(3, inputs=2)
    for i, (lower, upper) in enumerate(
        [([-1.0, -3.0], [1.0, 4.0]), ([0.5, -4.0], [1.0, 4.0]), ([-0.5, 3.0], [0.5, 4.0])]
    ):
        cells.lower[i], cells.upper[i] = lower, upper
    seeds = [seed(goal) for goal in range(3)]
    made = chosen(seeds, inputs=2, cells=cells)
    assert [one.split for one in seeds] == [(-1, 0, 0.0), (-1, 1, 0.0), (-1, 0, 0.0)] and made.beyond == 3
    assert all(one.kind == SPLIT for one in seeds)


def test_an_input_that_is_a_point_is_not_halved(monkeypatch):
    monkeypatch.setattr(tool, "FEW_INPUTS", 4)
    cells = numbered(1, inputs=4)
    cells.lower[0], cells.upper[0] = [1.0, 0.0, 3.0, 0.25], [1.5, 1.0, 3.0, 0.625]
    one = seed()
    chosen([one], inputs=4, cells=cells)
    assert one.split == (-1, 3, 0.4375)


def test_signs_are_split_where_the_lines_miss_most():
    seeds = [seed(goal) for goal in range(3)]
    cells = numbered(3, inputs=3)
    for high in cells.high:
        high[:] = 3.0
    made = chosen(seeds, [[0, 0.25, 0.125, 0, 0], [0, 0, 0.5, 0, 0.25], [0, 0, 0, 0, 2.0]], cells=cells)
    assert [one.split for one in seeds] == [(0, 1, 0.0), (1, 0, 0.0), (1, 2, 0.0)] and made.beyond == 3
    assert all(one.kind == SPLIT for one in seeds) and not made.failed


def test_curves_are_split_in_the_middle():
    cells = numbered(2, inputs=3)
    cells.low[1][1], cells.high[1][1] = [1.0, 2.0, 3.0], [5.0, 4.0, 3.5]
    seeds = [seed(), seed(1)]
    chosen(seeds, [[0, 1.0, 0, 0, 0], [0, 0, 0.5, 0, 0]], kind="sigmoid", cells=cells)
    assert [one.split for one in seeds] == [(0, 1, 0.0), (1, 0, 3.0)]


def test_nothing_to_split_ends_it():
    with pytest.raises(NoEvidenceError, match="without unstable neurons"):
        chosen([seed(), seed(1)], [[0, 0.5, 0, 0, 0], [0] * 5])
    made = grower(Chosen, (), inputs=3)
    with pytest.raises(NoEvidenceError, match="without activations has nothing to split"):
        made._choose([seed()], numbered(1, (), inputs=3))
    # Of ends that are tried for themselves it is one that fails.
    seeds = [seed(), seed(1), seed(2)]
    made = chosen(seeds, [[0] * 5, [0, 0, 0, 0.5, 0], [0, 0.5, 0, 0, 0]], each=1)
    assert made.failed == {0} and [one.split for one in seeds] == [None, (1, 1, 0.0), (0, 1, 0.0)] and made.beyond == 0


@pytest.mark.parametrize(
    ("inputs", "before", "beyond", "holds"),
    [(2, 8, 13, True), (2, 9, 13, False), (2, 8, 14, False), (3, 3, 0, True), (3, 4, 0, False), (1, 8, 0, True)],
)
def test_splits_beyond_the_record_are_counted(monkeypatch, inputs, before, beyond, holds):
    monkeypatch.setattr(tool, "_MOST_BEYOND", {True: 10, False: 5})
    made = grower(Chosen, inputs=inputs)
    made.gaps, made.beyond, made._width_of_root = np.ones((2, 5)), before, np.ones(inputs)
    seeds = [seed(), seed(1, beyond=beyond)]
    if holds:
        made._choose(seeds, numbered(2, inputs=inputs))
        assert made.beyond == before + 2 and all(one.kind == SPLIT for one in seeds)
        return
    with pytest.raises(NoEvidenceError, match="does not close what the search closed"):
        made._choose(seeds, numbered(2, inputs=inputs))


@pytest.mark.parametrize(("inputs", "most"), [(2, 0), (2, 7), (3, 7), (3, 1000)])
def test_limits_say_how_many_cells_are_split_beyond_the_record(inputs, most):
    assert grower(inputs=inputs)._most == tool._MOST_BEYOND[inputs == 2]
    made = grower(Chosen, inputs=inputs, most=most)
    made.gaps, made._width_of_root = np.ones((1, 5)), np.ones(inputs)
    for number in range(most):
        made._choose([seed()], numbered(1, inputs=inputs))
        assert made.beyond == number + 1
    with pytest.raises(NoEvidenceError, match="does not close what the search closed"):
        made._choose([seed()], numbered(1, inputs=inputs))


def test_more_boxes_than_signs_are_split_beyond_the_record():
    assert tool._MOST_BEYOND[True] > tool._MOST_BEYOND[False] > 100 and tool._BEYOND > 8


def test_ends_are_given_up_after_so_many_splits(monkeypatch):
    monkeypatch.setattr(tool, "_MOST_BEYOND", {True: 3, False: 3})
    made = grower(Chosen, inputs=3, each=2)
    made._width_of_root = np.ones(3)
    for seeds, gaps, failed, split in (
        ([0, 1, 1], 3, set(), [0, 1, 1]),
        ([0, 1, 2], 2, {1}, [0, 2]),
        ([0], 0, {0, 1}, []),
        ([2], 1, {0, 1}, [2]),
        ([2], 0, {0, 1, 2}, []),
    ):
        some = [seed(goal) for goal in seeds]
        made.gaps = np.ones((gaps, 5))
        made._choose(some, numbered(len(some)))
        assert made.failed == failed and [one.claims[0].goal for one in some if one.kind == SPLIT] == split
        # Each goal counts for itself, and none for all of them.
        assert made.beyond == 0
