"""Rows of growing trees: which are tried and kept, how programs and better multipliers make them, and what halves of a node begin with."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import Evaluation
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.property import Constraint
from netproof.certificate.checker.real.tree import Case, Lemma
from netproof.certificate.real.contents import CROWN, EMPTY, FORMS, LEAF, SPLIT
from netproof.certificate.real.grown import grow as tool
from netproof.certificate.real.grown.program import Dual
from netproof.certificate.real.grown.rows import Row, Wish
from netproof.certificate.real.grown.seeds import Claim, Places, Seed
from netproof.errors import ProofError
from netproof.result import Refutation
from network_shapes import NONE, grower, maker_of, numbered, numbers_of, seed, trace_of
from soundness.real_evidence import chain


@pytest.fixture(autouse=True)
def no_descent(monkeypatch):
    monkeypatch.setattr(tool, "Descent", lambda evaluation: SimpleNamespace(evaluation=evaluation))


def wish(*features: int, weight=(1.0,)) -> Wish:
    some = np.array(features, np.int64)
    return Wish(np.array(weight), False, some, np.full(len(some), 1 / 3), np.zeros(len(some)))


PLAIN = Wish(np.ones(1))


# -- which rows are tried


class Bound(tool.Grower):
    """Bounds of rows by what they are about: goal, number of the first feature (-1 for none), digits."""

    def _values(self, claims, cells, rows):
        assert len(claims) == len(cells) == len(rows)
        named = [int(row.feature[0]) if len(row.feature) else -1 for row in rows]
        keys = [(claim.goal, name, row.exponent) for claim, name, row in zip(claims, named, rows, strict=True)]
        self.told.append(list(zip(keys, numbers_of(cells), strict=True)))
        return np.array([self.good.get(key, 0.5) for key in keys])


def bounded(wishes: list[list[Wish]], good, seeds=None, rule=FORMS):
    """Seeds of one goal each, in the order of their goals."""
    made = grower(Bound)
    made.told, made.good = [], dict.fromkeys(good, -1.0) if isinstance(good, list) else good
    seeds = seeds or [seed(goal) for goal in range(len(wishes))]
    asked = []

    def of(one, claim, low, high):
        asked.append((seeds.index(one), claim.goal, low.tolist(), high.tolist()))
        return wishes[claim.goal]

    made._wishes = SimpleNamespace(of=of)
    cells = numbered(len(seeds))
    for i in range(len(seeds)):
        cells.low[0][i], cells.high[1][i] = -2.0 - i, 2.0 + i
    made._bound(seeds, cells, rule)
    return made, seeds, asked


def tried(made) -> list[list[tuple[int, int]]]:
    """Goals and digits of what was tried."""
    return [[(goal, digits) for (goal, _, digits), _ in turn] for turn in made.told]


def test_few_digits_first_then_whether_any_do():
    made, seeds, asked = bounded(
        [[wish(4)], [wish(3)], [wish(2)], [wish(1)], [PLAIN]], [(0, 4, 3), (1, 3, 40), (1, 3, 16), (2, 2, 40)]
    )
    assert tried(made) == [
        [(0, 3), (1, 3), (2, 3), (3, 3), (4, 0)], [(1, 6), (2, 6), (3, 6)], [(1, 40), (2, 40), (3, 40)],
        [(1, 10), (2, 10)], [(1, 16), (2, 16)], [(2, 24)],
    ]  # fmt: skip
    assert [one.kind for one in seeds] == [LEAF, LEAF, LEAF, EMPTY, EMPTY] and [one.rule for one in seeds] == [
        FORMS
    ] * 3 + [0] * 2
    assert [one.claims[0].row for one in seeds] == [0, 1, 2, -1, -1]
    assert [(row.exponent, row.feature.tolist()) for row in made._table.rows] == [(3, [4]), (16, [3]), (40, [2])]
    assert made.told[3] == [((1, 3, 10), 1), ((2, 2, 10), 2)]
    assert asked[1] == (1, 1, [-3.0, -3.0, -1.0, -1.0, -1.0], [1.0, 1.0, 3.0, 3.0, 3.0])


@pytest.mark.parametrize(("bound", "closes"), [(-1e-300, True), (0.0, False), (0.5, False), (math.nan, False)])
def test_what_closes_is_a_bound_below_0(bound, closes):
    _, (one,), _ = bounded([[wish(0)]], {(0, 0, 6): bound})
    assert (one.kind == LEAF) == closes and one.claims[0].row == (0 if closes else -1)


def test_wishes_are_tried_one_after_the_other():
    made, seeds, _ = bounded([[PLAIN, wish(1), wish(2)], [PLAIN]], [(0, 1, 10), (0, 1, 40)])
    assert [[key for key, _ in turn] for turn in made.told] == [
        [(0, -1, 0), (1, -1, 0)], [(0, 1, 3)], [(0, 1, 6)], [(0, 1, 40)], [(0, 1, 10)],
    ]  # fmt: skip
    assert [one.kind for one in seeds] == [LEAF, EMPTY]
    # Where no digits do fewer are not tried.
    made, _, _ = bounded([[wish(1), PLAIN]], [(0, -1, 0)])
    assert tried(made) == [[(0, 3)], [(0, 6)], [(0, 40)], [(0, 0)]]


def test_a_leaf_needs_a_row_for_each_of_its_goals():
    seeds = [Seed([Claim(0, None), Claim(1, None)], NONE, {}), seed(2), seed(1)]
    made, seeds, asked = bounded([[PLAIN], [wish(1)], [wish(2)]], [(0, -1, 0), (2, 2, 3)], seeds)
    assert [one[:2] for one in asked] == [(0, 0), (0, 1), (1, 2), (2, 1)]
    assert [one.kind for one in seeds] == [EMPTY, LEAF, EMPTY]
    assert [[claim.row for claim in one.claims] for one in seeds] == [[-1, -1], [1], [-1]]
    assert [number for _, number in made.told[0]] == [0, 0, 1, 2]
    seeds = [Seed([Claim(0, None), Claim(1, None)], NONE, {})]
    _, (one,), _ = bounded([[PLAIN], [wish(1)]], [(0, -1, 0), (1, 1, 3)], seeds)
    assert one.kind == LEAF and [claim.row for claim in one.claims] == [0, 1]


def test_what_has_a_row_is_not_tried_again():
    seeds = [Seed([Claim(0, None, row=7), Claim(1, None, row=0)], NONE, {})]
    made, (one,), _ = bounded([[PLAIN], [wish(1)]], [], seeds)
    assert one.kind == LEAF and made.told == [] and [claim.row for claim in one.claims] == [7, 0]
    made, _, _ = bounded([], [])
    assert made.told == []
    # Nor is a row of fewer digits given up for that of all of them.
    made, (one,), _ = bounded([[wish(1)]], [(0, 1, 40), (0, 1, 10)])
    assert one.claims[0].row == 0 and [row.exponent for row in made._table.rows] == [10]


# -- bounds of rows, by the checker

#: r = max(x, 0), s = max(-x, 0), and r + s
ABS = chain([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.0]])


def above(threshold, *, strict=False) -> Constraint:
    return Constraint((), ((0, Fraction(1)),), Fraction(threshold), strict)


def real(*goals, width: int = 2):
    evaluation = Evaluation(read_network(ABS, 1, Float64(), "n"), Float64())
    maker = maker_of(evaluation, width)
    maker.programs, maker.source = None, "a test"
    places = [Places(np.zeros(1, np.int64), np.ones(1))] * len(goals)
    return tool.Grower(maker, goals, places, trace_of()), evaluation


def row(mu: tuple[int, ...], slopes=(), exponent: int = 1) -> Row:
    return Row(exponent, False, mu, np.arange(len(slopes)), np.array(slopes, np.int64), np.zeros(len(slopes), np.int64))


def test_bounds_are_of_the_goals_that_rows_weigh():
    made, evaluation = real(Case((above(2), above(3)), 3), Lemma(1, 0, 1, 0.5))
    root = evaluation.root(np.array([-1.0]), np.array([1.0]))
    cells = tool.Cells.join([root, root, root, root])
    cells.lower[1], cells.low[0][1] = 0.5, [0.5, -1.0]
    cells.high[0][1] = [1.0, -0.5]
    # |x| - 2 where x is at least 1/2; the second constraint, and half of it; x - 1/2.
    claims = [Claim(0, None), Claim(0, None), Claim(0, None), Claim(1, None)]
    rows = [row((0, 2)), row((2, 0)), row((0, 1)), row(())]
    assert made._values(claims, cells, rows) == pytest.approx([-2.0, -1.0, -1.0, 0.5], abs=1e-9)
    # - (r + s) at most 0, x / 2 or x / 2 - x / 2, by slopes from below.
    made, evaluation = real(Case((Constraint((), ((0, Fraction(-1)),), Fraction(0), strict=False),), 3))
    for slopes, most in (((), 0.0), ((1,), 0.5), ((1, 1), 0.0)):
        assert made._values([Claim(0, None)], root, [row((2,), slopes)]) == pytest.approx([most], abs=1e-9)


def test_where_a_constraint_is_strict_0_is_enough(monkeypatch):
    made, evaluation = real(Case((above(0, strict=True), above(0)), 3))
    root = evaluation.root(np.array([-1.0]), np.array([1.0]))
    rows = [row((2, 0)), row((0, 2))]
    for value, less in ((0.0, True), (1.0, False), (0.25, False), (-0.25, True)):
        monkeypatch.setattr(tool.Prover, "bounds", lambda *_, value=value: (np.full(2, value), np.array([True, False])))
        strict, other = made._values([Claim(0, None)] * 2, root.take(np.zeros(2, np.int64)), rows)
        assert (strict < 0) == less and abs(strict - value) < 1e-300 and other == value


def test_what_rows_weigh_and_name_is_what_is_asked():
    made, _ = real(Case((above(2), above(3)), 3), Lemma(1, 1, -1, 0.5))
    rows = [row((1, 4), (1,), 2), row((3,)), row(())]
    objective, slopes = made._asked_of([Claim(0, None), Claim(0, None), Claim(1, None)], rows)
    assert objective.constant.tolist() == [-3.5, -3.0, 0.5]
    assert {node: c.tolist() for node, c in objective.coefficients.items()} == {
        1: [[0.0, 0.0], [0.0, 0.0], [0.0, -1.0]],
        3: [[1.25], [1.5], [0.0]],
    }
    assert slopes is not None and slopes.lower[0] is not None
    assert np.nan_to_num(slopes.lower[0], nan=9.0).tolist() == [[0.25, 9.0], [9.0, 9.0], [9.0, 9.0]]


def test_rows_that_weigh_what_is_not_there_are_an_error_of_this_source():
    made, evaluation = real(Case((above(2),), 3))
    root = evaluation.root(np.array([-1.0]), np.array([1.0]))
    with pytest.raises(ProofError, match=r"^a test: .*: row 0 weighs constraints that are none of what is tried's"):
        made._values([Claim(0, None)], root, [row((0, 1))])


# -- rows of programs


class Solved(tool.Grower):
    """Rows of duals by the goals that they are of, -1 for none."""

    def _by_dual(self, claim, cell, dual):
        assert dual is not None and len(cell) == 1
        self.told.append((claim.goal, dual, numbers_of(cell)))
        return self.rows[claim.goal]


def dual(gap=None) -> Dual:
    return Dual(np.ones(1), np.ones(5), None if gap is None else np.array(gap))


def solved(rows: list[int], duals: list[Dual | None], places=((0, 1), (0, 0), (2,))):
    made = grower(Solved)
    made.told, made.rows, asked = [], rows, []
    made._places = [Places(np.array(place), np.ones(len(place))) for place in places]

    def solve(cells, number, goal, count, deadline):
        asked.append((number, goal, count, deadline))
        assert cells is all_cells
        return duals[len(asked) - 1]

    all_cells = numbered(3)
    all_cells.low[0][1], all_cells.high[0][1] = [-1.0, 0.0], [2.0, 1.0]
    all_cells.low[1][1], all_cells.high[1][1] = [0.5, -1.0, -1.0], [2.0, 0.0, 0.5]
    one = Seed([Claim(goal, None) for goal in range(len(rows))], NONE, {})
    found = made._solved(SimpleNamespace(solved=solve), one, all_cells, 1)
    return made, one, found, asked


def test_programs_of_all_goals_make_a_leaf():
    first, second, third = dual([1.0] * 5), dual([1.0] * 5), dual()
    made, one, gap, asked = solved([5, 0, 3], [first, second, third])
    assert gap is None and one.kind == LEAF and [claim.row for claim in one.claims] == [5, 0, 3]
    assert asked == [(1, "goal 0", 2, 77.0), (1, "goal 1", 1, 77.0), (1, "goal 2", 3, 77.0)]
    assert made.told == [(0, first, [1]), (1, second, [1]), (2, third, [1])]


def test_where_one_does_not_close_its_gaps_at_open_features_say_what_to_split():
    _, one, gap, asked = solved([0, -1, 3], [dual([9.0] * 5), dual([0.5, 8.0, 8.0, 8.0, 0.75]), dual([9.0] * 5)])
    assert gap is not None and gap.tolist() == [0.5, 0.0, 0.0, 0.0, 0.75] and len(asked) == 2
    assert one.kind == EMPTY and [claim.row for claim in one.claims] == [-1, -1, -1]


@pytest.mark.parametrize(
    "duals",
    [
        [None],
        [dual([0.5] * 5), None],
        [dual([0.5] * 5), dual()],
        [dual([0.5] * 5), dual([0.0, 9.0, 9.0, 9.0, 0.0])],
        [dual([0.5] * 5), dual([1e-9, 9.0, 9.0, 9.0, -1.0])],
    ],
)
def test_and_where_there_are_none_nothing_is_said(duals):
    _, one, gap, asked = solved([4, -1], duals)
    assert (
        gap is None
        and len(asked) == len(duals)
        and one.kind == EMPTY
        and [claim.row for claim in one.claims] == [-1, -1]
    )


class ByDual(tool.Grower):
    def _values(self, claims, cells, rows):
        ((one),) = rows
        self.told.append(one)
        assert claims == [self.claim] and cells == "the cell"
        return np.array([self.good(one)])


def by_dual(good):
    made = grower(ByDual)
    made.told, made.good, made.claim = [], good, Claim(0, None)
    made._table.number(row((9,)))
    given = Dual(np.array([1.0, 0.25]), np.array([0.0, 1.0, 0.0, 0.0, -1 / 3]), None)
    return made, made._by_dual(made.claim, "the cell", given)


def test_rows_of_duals_have_either_sign_and_more_and_more_digits():
    made, number = by_dual(lambda one: -1.0 if one.added[0] < 0 and one.exponent == 10 else 0.0)
    assert [(one.exponent, int(np.sign(one.added[0]))) for one in made.told] == [
        (6, 1), (10, 1), (16, 1), (24, 1), (40, 1), (6, -1), (10, -1),
    ]  # fmt: skip
    assert number == 1 and made._table.rows[1] is made.told[-1]
    assert all(one.flat and one.feature.tolist() == [1, 4] and not one.slope.any() for one in made.told)
    assert made.told[0].added.tolist() == [64, -21] and made.told[0].mu == (64, 16)
    assert made.told[-1].added.tolist() == [-1024, 341]
    for value in (0.0, 0.5):
        made, number = by_dual(lambda _, value=value: value)
        assert number == -1 and len(made.told) == 10 and len(made._table.rows) == 1


# -- better multipliers


class Improved(tool.Grower):
    def _asked_of(self, claims, rows):
        self.told.append(("asked", [claim.goal for claim in claims], [one.exponent for one in rows]))
        return "objective", "slopes"

    def _bound(self, seeds, cells, rule):
        self.told.append(("bound", [one.beyond for one in seeds], numbers_of(cells), rule))


def improved(goals: list[list[int]], values: dict[int, float], few: int = 10, kinds=(RELU, RELU)):
    """Seeds with claims of some goals, of which the last is a leaf already; bounds by goals."""
    made = grower(Improved, tuple(zip(kinds, (3, 3), strict=True)))
    made.told, made._few, made.splits = [], few, []
    made._open_at_root = np.array([True, True, True, False, True, True])
    seeds = [Seed([Claim(goal, None) for goal in some], NONE, {}, beyond=i) for i, some in enumerate(goals)]
    seeds[-1].kind = LEAF
    cells = numbered(len(seeds), (3, 3))
    for low, high, ends in zip(cells.low, cells.high, ENDS, strict=True):
        low[:], high[:] = np.array(ends).T
    made._wishes = SimpleNamespace(
        of=lambda one, claim, low, high: [None, wish(claim.goal, weight=(len(low), high[1]))]
    )

    def started(mine, objective, slopes):
        assert (objective, slopes) == ("objective", "slopes")
        return mine

    def run(mine, objective, start, split):
        assert start is mine and objective == "objective"
        made.splits.append(split.tolist())
        claims = made.told[-1][1]
        made.told.append(("run", numbers_of(mine)))
        rows = len(mine)
        return tool.Multipliers(
            value=np.array([values.get(goal, 0.5) for goal in claims]),
            slope=np.tile(SLOPE, (rows, 1)), added=np.tile(ADDED, (rows, 1)), arriving=np.tile(ARRIVING, (rows, 1)),
            handed=np.arange(6.0) + 10 * np.array(claims)[:, None],
        )  # fmt: skip

    made._descent = lambda planes: SimpleNamespace(started=started, run=run)
    made._improve(seeds, cells, CROWN)
    return made, seeds


#: open with the rule's slope 1, 0 and 0; closed above 0, at 0 from either side
ENDS = [[(-1.0, 1.5), (-0.75, 0.5), (-1.0, 1.0)], [(0.5, 2.0), (0.0, 1.0), (-1.0, 0.0)]]
SLOPE = np.array([0.5, 0.5, 0.25, 0.5, 0.5, 0.5])
ADDED = np.array([0.0, 0.0, 0.0, 0.0, 2.0, 1.0])
ARRIVING = np.array([-1.0, -1.0, -0.5, -1.0, -1.0, -1.0])


def test_better_multipliers_close_seeds_and_are_where_halves_begin():
    made, seeds = improved([[0], [1, 2], [0, 1], [0]], {0: -0.5, 1: -0.25})
    assert made.told == [
        ("asked", [0, 1, 2, 0, 1], [40] * 5), ("run", [0, 1, 1, 2, 2]), ("bound", [0, 2], [0, 2], CROWN),
    ]  # fmt: skip
    # What was open at the root, and has a sign now.
    assert made.splits == [[[False, False, False, False, True, True]] * 5]
    assert seeds[3].claims[0].wish is None and seeds[3].claims[0].found is None
    for one in seeds[:3]:
        for claim in one.claims:
            found = claim.wish
            assert found is not None and found.weight.tolist() == [6.0, 0.5] and not found.flat
            assert found.feature.tolist() == [0, 1, 2, 4, 5] and found.slope.tolist() == [0.5, 0.5, 0.25, 0.5, 0.5]
            assert found.added.tolist() == [0.0, 0.0, 0.0, 2.0, 1.0]
            arriving, handed = claim.found
            assert arriving.tolist() == ARRIVING.tolist() and arriving.dtype == handed.dtype == np.float32
            assert handed.tolist() == [10.0 * claim.goal + i for i in range(6)]


def test_cells_are_improved_in_parts():
    made, _ = improved([[0, 1], [2], [0], [1, 2], [2], [0]], {0: -0.5, 2: -0.5}, few=2)
    assert made.told == [
        ("asked", [0, 1, 2], [40] * 3), ("run", [0, 0, 1]), ("asked", [0, 1, 2], [40] * 3), ("run", [2, 3, 3]),
        ("asked", [2], [40]), ("run", [4]), ("bound", [1, 2, 4], [1, 2, 4], CROWN),
    ]  # fmt: skip


@pytest.mark.parametrize("value", [0.0, 0.5, math.nan])
def test_nothing_is_closed_by_a_bound_that_is_not_below_0(value):
    made, _ = improved([[0], [1]], {0: value})
    assert [what for what, *_ in made.told] == ["asked", "run"]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        # Slopes of the rule, and those where what arrives is not negative, are not named; what is added is.
        ({"SLOPE": [1.0, 0.0, 0.0, 0.5, 0.5, 0.5]}, [4, 5]),
        ({"SLOPE": [0.0, 1.0, 1.0, 0.5, 0.5, 0.5]}, [0, 1, 2, 4, 5]),
        ({"ARRIVING": [0.0, 0.5, 1.0, -1.0, -1.0, -1.0]}, [4, 5]),
        ({"ADDED": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]}, [0, 1, 2]),
        ({"ADDED": [0.0, 0.0, 0.0, 1.0, -0.5, 0.0]}, [0, 1, 2, 3, 4]),
        ({"SLOPE": [1.0, 0.5, 0.0, 0.0, 0.0, 1.0], "ADDED": [0.0] * 6}, [1]),
        ({"ENDS": [[(-0.5, 0.25), (-0.25, 1.0), (-1.0, 0.5)], ENDS[1]], "SLOPE": [0.0, 1.0, 1.0, 0, 0, 0]}, [2, 4, 5]),
    ],
)
def test_features_that_are_named(monkeypatch, changed, named):
    for name, values in changed.items():
        monkeypatch.setitem(globals(), name, values if name == "ENDS" else np.array(values))
    _, seeds = improved([[0], [1]], {})
    assert seeds[0].claims[0].wish.feature.tolist() == named


@pytest.mark.parametrize(
    ("slope", "named"), [([0.5] * 3, [4, 5]), ([0.5, math.nan, 0.5], [5]), ([0.5, 0.5, math.inf], [4])]
)
def test_of_curves_slopes_that_are_numbers_over_ranges_that_are_no_points(monkeypatch, slope, named):
    monkeypatch.setitem(globals(), "SLOPE", np.array([1.0, 0.0, 0.0, *slope]))
    monkeypatch.setitem(globals(), "ENDS", [ENDS[0], [(1.0, 1.0), (1.0, 2.0), (-1.0, 1.0)]])
    monkeypatch.setitem(globals(), "ADDED", np.zeros(6))
    made, seeds = improved([[0], [1]], {}, kinds=(RELU, "sigmoid"))
    assert seeds[0].claims[0].wish.feature.tolist() == named
    # Nothing is added at what is no ReLU.
    assert made.splits == [[[False] * 6]]
    _, seeds = improved([[0], [1]], {}, kinds=(RELU, "product"))
    assert seeds[0].claims[0].wish.feature.tolist() == []


def test_signs_that_are_known_are_where_something_is_added(monkeypatch):
    monkeypatch.setitem(
        globals(), "ENDS", [[(0.0, 1.0), (-1.0, 0.0), (0.5, 1.0)], [(0.5, 1.0), (-1.0, 0.5), (-3.0, -1.0)]]
    )
    made, _ = improved([[0], [1]], {})
    assert made.splits == [[[True, True, True, False, False, True]]]


# -- what is split, by how much lines miss


class Gaps(tool.Grower):
    def _asked_of(self, claims, rows):
        self.told.append((claims, rows))
        return "objective", "slopes"


def test_gaps_are_what_lines_miss_in_terms_of_the_bound(monkeypatch):
    made = grower(Gaps, ((RELU, 3), ("sigmoid", 2), (RELU, 3), (RELU, 0), ("product", 2), (RELU, 1)))
    made.told = []
    cells = numbered(2, (3, 2, 3, 0, 2, 1))
    cells.low[0][:], cells.high[0][:] = [-1.0, -2.0, 0.0], [1.0, 0.5, 1.0]
    cells.low[2][:], cells.high[2][:] = [-1.0, 0.5, -4.0], [0.0, 1.0, 12.0]
    missed = []

    def misses(evaluation, given, k):
        missed.append((evaluation, given, k))
        return np.array([[0.5, 0.25]]) * k

    monkeypatch.setattr(tool, "misses", misses)
    asked = []
    made._wishes = SimpleNamespace(of=lambda *given: asked.append(given) or [wish(1), None])
    arriving, handed = np.array([[2.0, -4.0, 1, 1, -1, 1, 1, 2.0, 0, -1, 3.0]]), np.ones((1, 11))
    made._descent = lambda planes: SimpleNamespace(
        started=lambda one, *given: SimpleNamespace(arriving=arriving, handed=handed)
        if (numbers_of(one), given) == ([1], ("objective", "slopes")) else None
    )  # fmt: skip
    known, new = seed(), Seed([Claim(1, None), Claim(2, None)], NONE, {})
    known.claims[0].found = np.full(11, -0.5), np.full(11, 9.0)
    gaps = made._gaps([known, new], cells)
    # A triangle's height, -l u / (u - l), times what arrives.
    assert gaps.tolist() == [
        [0.25, 0.2, 0.0, 0.25, 0.125, 0.0, 0.0, 1.5, 1.0, 0.5, 0.25],
        [1.0, 1.6, 0.0, 0.5, 0.25, 0.0, 0.0, 6.0, 0.0, 1.0, 1.5],
    ]
    assert [(given, k) for _, given, k in missed] == [(cells, 1), (cells, 4)] and missed[0][0] is made._evaluation
    ((one, claim, low, high),) = asked
    assert one is new and claim is new.claims[0]
    assert low.tolist() == [-1.0, -2.0, 0.0, -1.0, -1.0, -1.0, 0.5, -4.0, -1.0, -1.0, -1.0]
    assert high.tolist() == [1.0, 0.5, 1.0, 1.0, 1.0, 0.0, 1.0, 12.0, 1.0, 1.0, 1.0]
    (((given,), (row_,)),) = made.told
    assert given is claim and row_.exponent == 40
    assert claim.found[0].tolist() == arriving[0].tolist() and claim.found[1].tolist() == handed[0].tolist()


# -- halves


def test_halves_are_those_of_the_record_or_what_was_chosen(monkeypatch):
    begun = []
    monkeypatch.setattr(
        tool, "begun", lambda above, number, which: begun.append((above, number, which)) or f"{number}, {which}"
    )
    record = trace_of(
        splits={1: (1, 2, 0.0, 10, 11), 2: (1, 2, 0.0, 12, 13), 3: (0, 1, 0.0, 14, 15), 4: (-1, 0, 0.25, 16, 17), 5: (1, 1, 0.5, 18, 19)},
        refuted={6: Refutation("crown", np.ones(1))}, open={10: np.array([7]), 13: np.array([8]), 16: np.array([9])},
    )  # fmt: skip
    made = grower(bends=((RELU, 2), (RELU, 3), ("sigmoid", 2)), trace=record)
    last = Refutation("signs", np.ones(1))
    old = np.array([5])
    seeds = [
        # Two goals of which the record splits alike, one that it splits elsewhere, and one that it has refuted.
        Seed([Claim(0, 1), Claim(1, 2), Claim(2, 3), Claim(0, 6, last), Claim(1, None, last)], old, {3: -1}, beyond=2),
        Seed([Claim(0, None, last)], old, {2: 1}, beyond=3, split=(0, 1, 0.0), kind=SPLIT),
        Seed([Claim(0, 7, last)], old, {}, split=(-1, 0, 0.5), kind=SPLIT),
        Seed([Claim(0, 4)], old, {1: 1}, beyond=1),
        Seed([Claim(0, 5)], old, {}),
        Seed([Claim(0, None)], old, {}, split=(2, 1, 0.0), kind=SPLIT),
        Seed([Claim(0, None)], old, {}, split=(-1, 0, 0.0), kind=SPLIT),
    ]
    for one in seeds:
        for claim in one.claims:
            claim.wish, claim.found = "before", (np.zeros(7), np.zeros(7))
    cells = numbered(7, (2, 3, 2))
    cells.upper[:] = cells.lower + 1
    halves, ranges = made._split(seeds, cells)
    count = len(seeds)
    assert [one.split for one in seeds] == [
        (1, 2, 0.0),
        (0, 1, 0.0),
        (-1, 0, 0.5),
        (-1, 0, 0.25),
        (1, 1, 0.5),
        (2, 1, 0.0),
        (-1, 0, 0.0),
    ]
    assert all(one.kind == SPLIT for one in seeds) and len(halves) == len(ranges) == 2 * count
    assert all(one.children == (halves[i], halves[count + i]) for i, one in enumerate(seeds))
    assert all(claim.wish is None and claim.found is None for one in seeds for claim in one.claims)
    lower, upper = halves[:count], halves[count:]

    def of(half: Seed) -> list[tuple]:
        return [(claim.goal, claim.trace, claim.last) for claim in half.claims]

    refuted = record.refuted[6]
    assert of(lower[0]) == [(0, 10, None), (1, 12, None), (2, 3, None), (0, None, refuted), (1, None, last)]
    assert of(upper[0]) == [(0, 11, None), (1, 13, None), (2, 3, None), (0, None, refuted), (1, None, last)]
    assert of(lower[1]) == of(upper[1]) == [(0, None, last)] == of(lower[2]) == of(upper[2])
    assert (of(lower[3]), of(upper[3])) == ([(0, 16, None)], [(0, 17, None)])
    assert [one.sides for one in lower] == [{3: -1, 4: -1}, {2: 1, 1: -1}, {}, {1: 1}, {3: -1}, {6: -1}, {}]
    assert [one.sides for one in upper] == [{3: -1, 4: 1}, {2: 1, 1: 1}, {}, {1: 1}, {3: 1}, {6: 1}, {}]
    assert [one.beyond for one in lower] == [one.beyond for one in upper] == [2, 4, 1, 1, 0, 1, 1]
    assert [one.open.tolist() for one in lower] == [[7], [5], [5], [9], [5], [5], [5]]
    assert [one.open.tolist() for one in upper] == [[5]] * count
    # Where a ReLU is split at 0 a half begins with what the whole ended with; elsewhere with what that wished.
    assert [(number, which) for _, number, which in begun] == [*[(4, 0)] * 5, *[(4, 1)] * 5, (1, 0), (1, 1)]
    assert begun[0][0] is seeds[0].claims[0]
    assert [claim.wish for claim in upper[0].claims] == ["4, 1"] * 5 and lower[1].claims[0].wish == "1, 0"
    assert all(half.claims[0].wish == "before" for i in range(2, count) for half in (lower[i], upper[i]))
    # The cells that the checker makes of them.
    assert ranges.high[1][0].tolist() == [1.0, 1.0, 0.0] and ranges.low[1][count].tolist() == [-1.0, -1.0, 0.0]
    assert ranges.high[0][1].tolist() == [1.0, 0.0] and ranges.low[0][count + 1].tolist() == [-1.0, 0.0]
    assert ranges.upper[[2, 3], 0].tolist() == [0.5, 0.25] and ranges.lower[[count + 2, count + 3], 0].tolist() == [
        2.0,
        3.0,
    ]
    assert ranges.high[1][4].tolist() == [1.0, 0.5, 1.0] and ranges.low[2][count + 5].tolist() == [-1.0, 0.0]


def test_a_split_that_is_not_there_is_an_error_of_this_source():
    made = grower()
    with pytest.raises(ProofError, match=r"^a test: .*: a split of what is made names"):
        made._split([Seed([Claim(0, None)], NONE, {}, split=(1, 3, 0.5), kind=SPLIT)], numbered(1))


@pytest.mark.parametrize(("which", "slope"), [(0, 0.0), (1, 1.0)])
@pytest.mark.parametrize(("number", "place"), [(1, 0), (2, 0), (3, 1), (5, 1), (6, 2)])
def test_a_half_begins_with_what_the_feature_handed_on(number, place, which, slope):
    before = Wish(np.ones(1), False, np.array([2, 5]), np.array([0.25, 0.75]), np.array([0.5, -0.5]))
    arriving, handed = np.arange(8) + 2.0, np.arange(8) / 4 + 0.125
    found = tool.begun(Claim(0, None, wish=before, found=(arriving, handed)), number, which)
    others = [n for n in (2, 5) if n != number]
    named = sorted([*others, number])
    assert found is not None and found.feature.tolist() == named and named.index(number) == place
    at = named.index(number)
    assert found.slope[at] == slope and found.added[at] == number / 4 + 0.125 - which * (number + 2.0)
    kept = {2: (0.25, 0.5), 5: (0.75, -0.5)}
    assert [(found.slope[i], found.added[i]) for i, n in enumerate(named) if n != number] == [kept[n] for n in others]
    assert found.weight is before.weight and found.flat is False


def test_a_half_of_what_was_not_improved_begins_as_it_was():
    found = np.zeros(3), np.zeros(3)
    assert tool.begun(Claim(0, None, wish=PLAIN), 1, 0) is PLAIN
    assert tool.begun(Claim(0, None, found=found), 1, 0) is None and tool.begun(Claim(0, None), 1, 0) is None
