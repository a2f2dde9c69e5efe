"""How evidence about float networks is written down: rows, trees, witnesses, leaves of other tools, and questions for solvers, piece by piece.

Whoever makes a certificate is believed nothing; what these tests hold is that what was found is what is written, so that
there is evidence where there could be, and that a script asks for everything that it goes on with.
"""

from __future__ import annotations

import re
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from netproof.certificate.checker.real.check import check_real
from netproof.certificate.checker.real.property import Constraint
from netproof.certificate.real.contents import EMPTY, LEAF, LIMB, SPLIT
from netproof.certificate.real.deadline import Deadline
from netproof.certificate.real.grown.rows import Row, RowTable, Wish, arrays_of_rows
from netproof.certificate.real.grown.seeds import NO_LIMITS, Claim, Places, Seed
from netproof.certificate.real.grown.written import dyadic, written
from netproof.certificate.real.leaves import Leaf, Split, Trees, _beyond
from netproof.certificate.real.make import _keys, _scale, _witness
from netproof.certificate.real.obligations import _number, _sum, _triangle, script_of
from netproof.errors import FormatError, NoEvidenceError
from netproof.property import LinearConstraint
from soundness.real_evidence import certificate, chain, property_text

# -- rows


def features(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


ROW = Row(3, False, (8, 2), features(1, 4), features(3, -2), features(0, 5))
OTHERS = (
    Row(4, False, (8, 2), features(1, 4), features(3, -2), features(0, 5)),
    Row(3, True, (8, 2), features(1, 4), features(3, -2), features(0, 5)),
    Row(3, False, (8, 3), features(1, 4), features(3, -2), features(0, 5)),
    Row(3, False, (8, 2), features(1, 5), features(3, -2), features(0, 5)),
    Row(3, False, (8, 2), features(1, 4), features(3, -1), features(0, 5)),
    Row(3, False, (8, 2), features(1, 4), features(3, -2), features(0, 6)),
)


def test_equal_rows_are_one_and_others_are_not():
    table = RowTable()
    same = Row(3, False, (8, 2), features(1, 4), features(3, -2), features(0, 5))
    assert [table.number(row) for row in (ROW, *OTHERS, same, OTHERS[-1])] == [0, 1, 2, 3, 4, 5, 6, 0, 6]
    assert len(table.rows) == 7


def test_rows_that_are_forgotten_are_new_again():
    table = RowTable()
    assert table.number(ROW) == 0 and table.number(OTHERS[0]) == 1
    table.forget(1)
    assert len(table.rows) == 1
    assert [table.number(row) for row in (OTHERS[1], OTHERS[0], ROW)] == [1, 2, 0]
    assert table.rows == [ROW, OTHERS[1], OTHERS[0]]


def test_numbers_of_a_row_are_the_nearest_ones():
    wish = Wish(np.array([1.0, 0.35]), False, features(2, 7), np.array([0.7, -0.7]), np.array([0.2, 1e300]))
    row = wish.rounded(3)
    assert (row.exponent, row.mu, row.slope.tolist(), row.added.tolist()) == (3, (8, 3), [6, -6], [2, 2**52])
    assert wish.rounded(10).mu == (1024, 358)


def test_rows_of_few_digits_are_those_that_weigh_one_constraint_alone():
    assert Wish(np.array([0.0, 1.0])).rounded(10).exponent == 0
    both = Wish(np.array([1.0, 1 / 3])).rounded(10)
    assert (both.exponent, both.mu) == (10, (1024, 341))


def test_the_arrays_of_rows():
    flat = Row(0, True, (1,), features(), features(), features())
    arrays = {name: values.tolist() for name, values in arrays_of_rows([ROW, flat], 3).items()}
    assert arrays == {
        "row_exponent": [3, 0], "row_base": [0, 1], "row_mu": [8, 2, 0, 1, 0, 0], "row_count": [2, 0],
        "row_feature": [1, 4], "row_slope": [3, -2], "row_added": [0, 5], "row_planes": [0, 0], "row_pairs": [0, 0],
    }  # fmt: skip


def test_weights_of_constraints_that_are_repeated_add_up():
    """A search repeats the first constraint of a short conjunction, and multiplies constraints to have whole coefficients."""
    places = Places(np.array([1, 0, 1]), np.array([2.0, 3.0, 2.0]))
    assert places.weights(np.array([0.5, 0.25, 1.0])).tolist() == [0.75, 3.0]
    assert places.weights(np.array([0.5])).tolist() == [0.0, 1.0]


# -- trees


@pytest.mark.parametrize(
    ("value", "entries"),
    [(0.0, (0, 0)), (-3.0, (-3, 0)), (0.375, (3, 3)), (2.0**52, (2**52, 0)), (2.0**-1074, (1, 1074))],
)
def test_points_are_written_exactly(value: float, entries: tuple[int, int]):
    assert dyadic(value) == entries


@pytest.mark.parametrize("value", [2.0**53, -(2.0**53), 1e300])
def test_points_that_are_too_large_make_no_evidence(value: float):
    with pytest.raises(NoEvidenceError):
        dyadic(value)


def leaf(*rows: int, rule: int = 0) -> Seed:
    claims = [Claim(goal, None, row=row) for goal, row in enumerate(rows)]
    return Seed(claims, features(), {}, kind=LEAF, rule=rule)


def split(point: float, low: Seed, high: Seed, k: int = 0, feature: int = 0) -> Seed:
    return Seed([], features(), {}, kind=SPLIT, split=(k, feature, point), children=(low, high))


def test_trees_are_written_level_by_level_the_lower_half_first():
    inner = split(-1.5, leaf(5, 6, rule=3), leaf(7, 8), k=1, feature=4)
    empty = Seed([], features(), {}, kind=EMPTY)
    arrays = written([split(0.25, inner, empty), leaf(1, 2, rule=2)])
    assert arrays == {
        "kind": [SPLIT, LEAF, SPLIT, EMPTY, LEAF, LEAF], "rule": [0, 2, 0, 0, 3, 0], "leaf_row": [1, 2, 5, 6, 7, 8],
        "split_relu": [1, 2], "split_feature": [0, 4], "split_point": [1, -3], "split_exponent": [2, 1],
    }  # fmt: skip


# -- witnesses, and what says that two statements are one


@pytest.mark.parametrize(
    "value",
    [
        Fraction(0), Fraction(3, 8), Fraction(1, 5), Fraction(-7, 20), Fraction(1, 40), Fraction(-1, 3125), Fraction(2**200 + 1, 10**60),
        Fraction(1, 2**700), Fraction(-(2**48)), Fraction(0.1),
    ],
)  # fmt: skip
def test_witnesses_are_written_exactly(value: Fraction):
    arrays = _witness([value, Fraction(1, 2)], "w")
    count = int(arrays["witness_limbs"][0])
    limbs = [int(limb) << (LIMB * place) for place, limb in enumerate(arrays["witness"][:count].tolist())]
    two, ten = int(arrays["witness_two"][0]), int(arrays["witness_ten"][0])
    assert two >= 0 and ten >= 0 and Fraction(sum(limbs), 2**two * 10**ten) == value
    assert arrays["witness"][count:].tolist() == [1] and arrays["witness_two"][1] == 1


@pytest.mark.parametrize("value", [Fraction(1, 3), Fraction(1, 2**1101), Fraction(2**3100), Fraction(1, 5**401)])
def test_witnesses_that_are_no_decimals_or_too_long_make_no_evidence(value: Fraction):
    with pytest.raises(NoEvidenceError, match="more digits"):
        _witness([value], "w")


def test_what_a_search_multiplies_a_constraint_by():
    thirds = LinearConstraint(((0, Fraction(1, 3)),), ((1, Fraction(5, 4)), (0, Fraction(2))), Fraction(1, 7))
    assert _scale(thirds) == 12.0
    assert _scale(LinearConstraint((), ((0, Fraction(3)),), Fraction(1, 7))) == 1.0


def test_cases_are_one_whatever_the_order_of_their_constraints_and_nothing_else():
    one = Constraint(((0, Fraction(1)),), (), Fraction(1), False)
    other = Constraint((), ((0, Fraction(1)),), Fraction(1), False)
    assert _keys([one, other]) == _keys([other, one]) != _keys([one])
    for changed in (
        Constraint((), ((0, Fraction(1)),), Fraction(2), False),
        Constraint((), ((0, Fraction(1)),), Fraction(1), True),
        Constraint((), ((1, Fraction(1)),), Fraction(1), False),
        Constraint((), ((0, Fraction(2)),), Fraction(1), False),
    ):
        assert _keys([one, changed]) != _keys([one, other])


# -- leaves of another tool


LOW, HIGH = Split(0, 1, False, 1.0), Split(0, 1, True, 1.0)


@pytest.mark.parametrize(
    ("own", "side", "rest"),
    [
        # Of the other half: nothing but what reaches beyond the point.
        (HIGH, LOW, None),
        (LOW, HIGH, None),
        (Split(0, 1, True, 0.5), LOW, (Split(0, 1, True, 0.5),)),
        (Split(0, 1, True, 1.5), LOW, None),
        (Split(0, 1, False, 1.5), HIGH, (Split(0, 1, False, 1.5),)),
        (Split(0, 1, False, 0.5), HIGH, None),
        # Of its own half: done, unless it is smaller than that.
        (LOW, LOW, ()),
        (HIGH, HIGH, ()),
        (Split(0, 1, False, 0.5), LOW, (Split(0, 1, False, 0.5),)),
        (Split(0, 1, False, 1.5), LOW, ()),
        (Split(0, 1, True, 1.5), HIGH, (Split(0, 1, True, 1.5),)),
        (Split(0, 1, True, 0.5), HIGH, ()),
        # Of other features: all of it.
        (Split(0, 2, True, 1.0), LOW, (Split(0, 2, True, 1.0),)),
        (Split(1, 1, True, 1.0), LOW, (Split(1, 1, True, 1.0),)),
    ],
)
def test_what_of_a_split_is_left_beyond_a_side(own: Split, side: Split, rest: tuple[Split, ...] | None):
    assert _beyond((own,), side) == rest
    assert _beyond((Split(2, 0, True, 0.0), own), side) == (None if rest is None else (Split(2, 0, True, 0.0), *rest))


def test_the_tree_that_leaves_stand_in():
    """Three leaves along an input, and what each says is what its node's record says."""
    first = Leaf(0, 0, (LOW,), {(1, 2): 0.5}, {(2, 0): 0.25}, (3.0,))
    second = Leaf(0, 0, (HIGH, Split(0, 1, False, 2.0)), {}, {}, ())
    third = Leaf(0, 0, (Split(0, 1, True, 2.0),), {}, {}, (1.0,))
    trees = Trees((3, 2), 2, Deadline("leaves"))
    root = trees.root([first, second, third])
    trace = trees.trace()
    relu, feature, point, low, high = trace.splits[root]
    assert (relu, feature) == (-1, 1) and point in (1.0, 2.0)
    inner = high if point == 1.0 else low
    ends = {1.0: (low, *trace.splits[inner][3:]), 2.0: (*trace.splits[inner][3:], high)}[point]
    assert trace.splits[inner][:3] == (-1, 1, 3.0 - point)
    assert [trace.refuted[node].means for node in ends] == ["signs", "crown", "crown"]
    found = trace.refuted[ends[0]]
    # ReLU 1 has three features: the first of ReLU 2 is the fourth.
    assert trace.open[ends[0]].tolist() == [2, 3]
    assert found.slope[0] == 0.5 and np.isnan(found.slope[1]) and found.added.tolist() == [0.0, 0.25]
    assert found.weight.tolist() == [3.0] and trace.refuted[ends[1]].weight is None


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (Leaf(0, 0, (Split(0, 2, False, 0.0),), {}, {}, ()), "feature 2 of ReLU 0"),
        (Leaf(0, 0, (Split(3, 0, False, 0.0),), {}, {}, ()), "feature 0 of ReLU 3"),
        (Leaf(0, 0, (), {(2, 2): 0.5}, {}, ()), "feature 2 of ReLU 2"),
        (Leaf(0, 0, (), {(0, 1): 0.5}, {}, ()), "gives an input a slope"),
        (Leaf(0, 0, (), {}, {(0, 1): 0.5}, ()), "gives an input a slope"),
    ],
)
def test_leaves_that_name_what_is_not_there(wrong: Leaf, problem: str):
    with pytest.raises(FormatError, match=problem):
        Trees((3, 2), 2, Deadline("leaves")).root([wrong])


# -- questions for solvers


def test_the_triangle_above_a_relu():
    assert _triangle("o", "v", 0.0, 3.0) == "(= v o)"
    assert _triangle("o", "v", -1.0, 0.0) == "(= v 0.0)"
    assert _triangle("o", "v", -1.0, np.inf) == _triangle("o", "v", -np.inf, 1.0) == "true"
    # From (-1, 0) to (3, 3).
    assert _triangle("o", "v", -1.0, 3.0) == "(<= v (+ (* (/ 3.0 4.0) o) (/ 3.0 4.0)))"
    assert _triangle("o", "v", -1e-9, 2.0) != "(= v o)" and _triangle("o", "v", -2.0, 1e-9) != "(= v 0.0)"


def test_numbers_and_sums_of_solvers():
    assert [_number(Fraction(n)) for n in ("0", "7", "-7", "1/3", "-2/3")] == [
        "0.0", "7.0", "(- 7.0)", "(/ 1.0 3.0)", "(- (/ 2.0 3.0))",
    ]  # fmt: skip
    assert _sum([], Fraction(0)) == "0.0" and _sum([], Fraction(-1)) == "(- 1.0)"
    assert _sum([("a", Fraction(2)), ("b", Fraction(-1))], Fraction(1, 2)) == "(+ (* 2.0 a) (* (- 1.0) b) (/ 1.0 2.0))"


NETWORK = chain([[[1.0, 1.0], [1.0, -1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.25]])
TWO_CASES = [[((1.0,), 5.0)], [((-1.0,), 0.5)]]


def asked_and_claimed(text: str) -> tuple[list[list[str]], list[str], int]:
    """What is asked, question by question; what is claimed of operands of ReLUs; how deep a script ends."""
    asked: list[list[str]] = []
    claimed, levels = [], [[]]
    for line in text.splitlines():
        if line == "(push 1)":
            levels.append([])
        elif line == "(pop 1)":
            levels.pop()
        elif line == "(check-sat)":
            asked.append(list(levels[-1]))
        elif line.startswith("(assert "):
            levels[-1].append(line[8:-1])
            claimed.append(line[8:-1])
    return asked, claimed, len(levels) - 1


def test_a_script_asks_for_whatever_it_goes_on_with():
    """Ranges are claimed only right behind the question whether something lies beyond them, and every half and case is asked about."""
    made = certificate(
        NETWORK, property_text([-1.0, -1.0], [1.0, 1.0], 1, TWO_CASES), 2, 1, kind=[SPLIT, LEAF, LEAF], rule=[0, 4, 4],
        tree=[0, 0], cases=[2], leaf_row=[0, 1, 0, 1], row_exponent=[0, 0], row_base=[0, 1], row_mu=[1, 1], row_count=[0, 0],
        split_relu=[1], split_feature=[0], split_point=[0], split_exponent=[0],
    )  # fmt: skip
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, TWO_CASES)
    check_real(made, NETWORK, property_)
    text, questions = script_of(made, NETWORK, property_, source="made")
    asked, claimed, depth = asked_and_claimed(text)
    assert len(asked) == questions and depth == 0 and text.endswith("(exit)\n")
    denied = {(sign, name, number) for one in asked if len(one) == 1
              for sign, name, number in re.findall(r"^\((>|<) (n\d+_\d+) (.*)\)$", one[0])}  # fmt: skip
    ranges = [re.match(r"^\((<=|>=) (n1_\d+) (.*)\)$", formula) for formula in claimed]
    halves = {"(>= n1_0 0.0)", "(<= n1_0 0.0)"}
    assert halves <= set(claimed)
    told = [found.groups() for found in ranges if found is not None and found.group(0) not in halves]
    assert told and all(({"<=": ">", ">=": "<"}[sign], name, number) in denied for sign, name, number in told)
    # Both cases in both halves, with the signs and thresholds of the property.
    closing = [one for one in asked if any("n3_0" in formula for formula in one)]
    assert closing == [["(>= (* 1.0 n3_0) 5.0)"], ["(>= (* (- 1.0) n3_0) (/ 1.0 2.0))"]] * 2
    # The box with its ends, the affine maps with their offsets, and both lines below a ReLU.
    assert {"(and (>= n0_1 (- 1.0)) (<= n0_1 1.0))", "(= n3_0 (+ (* 1.0 n2_0) (* 1.0 n2_1) (/ 1.0 4.0)))",
            "(= n1_1 (+ (* 1.0 n0_0) (* (- 1.0) n0_1)))", "(and (>= n2_1 0.0) (>= n2_1 n1_1))"} <= set(claimed)  # fmt: skip


@pytest.mark.parametrize("relu", [0, 1], ids=["an input", "a ReLU"])
def test_that_a_cell_is_empty_is_asked_for(relu: int):
    """The upper half of a split at 4 holds nothing: inputs are at most 1, and what arrives at the ReLU at most 2."""
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 5.0)]])
    made = certificate(
        NETWORK, property_, 2, 1, kind=[SPLIT, LEAF, EMPTY], rule=[0, 4, 0], split_relu=[relu], split_feature=[0],
        split_point=[4], split_exponent=[0],
    )  # fmt: skip
    check_real(made, NETWORK, property_)
    asked, _, _ = asked_and_claimed(script_of(made, NETWORK, property_, source="made")[0])
    assert asked.count([]) == 1
    assert sum(any("n3_0" in formula for formula in one) for one in asked) == 1


def test_every_part_is_asked_about_and_strictness_is_kept():
    low, high = (f"(and (>= X_0 {end}) (<= X_0 {end}) (>= X_1 0.0) (<= X_1 1.0))" for end in ("(- 1.0)", "1.0"))
    text = "".join(f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0"))
    property_ = f"{text}(assert (or {low} {high}))(assert (> Y_0 5.0))".encode()
    made = certificate(
        NETWORK, property_, 2, 1, cases=[1, 1], tree=[0, 0], stages=[0, 0], kind=[LEAF, LEAF], rule=[4, 4], leaf_row=[0, 0]
    )  # fmt: skip
    check_real(made, NETWORK, property_)
    script, questions = script_of(made, NETWORK, property_, source="made")
    asked, claimed, depth = asked_and_claimed(script)
    assert [one for one in asked if "n3_0" in str(one)] == [["(> (* 1.0 n3_0) 5.0)"]] * 2
    assert len(asked) == questions and depth == 0
    assert {f"(and (>= n0_0 {end}) (<= n0_0 {end}))" for end in ("(- 1.0)", "1.0")} <= set(claimed)


# -- what is there where nothing is said


def test_wishes_without_slopes_are_rows_of_weights_alone():
    assert not Wish(np.ones(1)).flat
    some, number = features(1), np.array([0.5])
    for given in ({}, {"slope": number}, {"added": number}, {"slope": number, "added": number}):
        row = Wish(np.array([1.0, 0.5]), feature=None if len(given) == 2 else some, **given).rounded(1)
        assert [len(part) for part in (row.feature, row.slope, row.added)] == [0, 0, 0] and row.mu == (2, 1)
        assert row.feature.dtype == np.int64
    whole = Wish(np.ones(1), True, some, number, 2 * number).rounded(1)
    assert (whole.flat, whole.feature.tolist(), whole.slope.tolist(), whole.added.tolist()) == (True, [1], [1], [2])


def test_arrays_of_no_rows_are_of_whole_numbers_too():
    arrays = arrays_of_rows([], 2)
    assert all(len(values) == 0 and values.dtype == np.int64 for values in arrays.values()) and len(arrays) == 9


def test_seeds_and_places_where_nothing_is_said():
    seed, claim = Seed([], features(), {}), Claim(0, None)
    assert (seed.beyond, seed.kind, seed.rule, seed.split, seed.children) == (0, EMPTY, 0, None, None)
    assert (claim.last, claim.row, claim.wish, claim.found) == (None, -1, None, None)
    assert not Places(features(0), np.ones(1)).is_end
    assert (NO_LIMITS.each, NO_LIMITS.most, NO_LIMITS.hands_down) == (None, None, False)


def test_weights_beyond_a_goal_s_constraints_are_of_none():
    assert Places(features(0, 1), np.array([2.0, 3.0])).weights(np.array([1.0, 1.0, 7.0])).tolist() == [2.0, 3.0]


def test_the_moment_itself_is_too_late(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("netproof.certificate.real.deadline.time", SimpleNamespace(monotonic=lambda: 5.0))
    assert [Deadline("a", at).is_over for at in (4.0, 5.0, 6.0, np.inf)] == [True, True, False, False]
    assert not Deadline("a").is_over
    with pytest.raises(NoEvidenceError, match=r"a: .*making it takes more time"):
        Deadline("a", 5.0).look()
    Deadline("a", 6.0).look()
