"""Pairs of features in the checker of float networks: no value is beyond their bound, they help, and nothing false comes of them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import Objective
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.checker.real.joint import pairs as module
from netproof.certificate.checker.real.joint.pairs import Pairs
from netproof.certificate.checker.real.numbers import Float64, Rational
from netproof.certificate.checker.real.relus import Ranges, rectified
from netproof.certificate.real.contents import CROWN, INTERVALS, LEAF, SPLIT
from netproof.certificate.real.format import decode, encode
from netproof.errors import ProofError
from soundness.real_evidence import Digits, certificate, chain, property_text, some_slopes, values_at
from soundness.real_pairs import (
    CROSSED,
    CROSSED_ROWS,
    Pair,
    arrays_of_pairs,
    crossed,
    octagon_of,
    paired,
    points_within,
    some_pairs,
)
from soundness.real_planes import ARITHMETICS, MAKERS, bounds_of, box, evaluation_of, numbers_of, points_of

# Corners.


def test_corners_are_in_the_octagon_and_no_point_is_beyond_them():
    rng, empty = np.random.default_rng(0), 0
    for _ in range(150):
        low, high = octagon_of(rng)
        (corners,) = module._corners([np.array([x]) for x in low], [np.array([x]) for x in high])
        inside = points_within(low, high)
        assert {(x / 2, y / 2) for x, y in corners} <= set(inside)
        assert bool(corners) == bool(inside)
        empty += not inside
        for signs in itertools.product((-1, 0, 1), repeat=2):
            v, s = rng.normal(size=(2, 2))

            def share(point, v=v, s=s) -> float:
                return float(v @ np.maximum(point, 0) - s @ np.asarray(point))

            def on_sides(point, signs=signs) -> bool:
                return all(sign * x >= 0 for sign, x in zip(signs, point, strict=True))

            here = [share(point) for point in inside if on_sides(point)]
            there = [share((x / 2, y / 2)) for x, y in corners if on_sides((x, y))]
            assert bool(here) == bool(there)
            assert not here or max(here) <= max(there) + 1e-12
    assert empty > 10


@pytest.mark.parametrize("name", ARITHMETICS)
def test_shares_are_the_largest_at_points_of_a_cell(name):
    """What a pair shares in a bound is never below what any point of the cell and the octagon gives, and attained at one of them."""
    numbers, rng, attained, nothing = numbers_of(name), np.random.default_rng(1), 0, 0
    for _ in range(400 if name == "float64" else 120):
        low, high = octagon_of(rng)
        (corners,) = module._corners([np.array([x]) for x in low], [np.array([x]) for x in high])
        if not corners:
            continue
        pairs = Pairs(np.array([[0], [2]]), np.array([corners], np.float64) / 2)
        ends = [sorted(rng.integers(-6, 7, size=2).tolist()) for _ in range(3)]
        cell = Ranges(*(np.array([[float(one[i]) for one in ends]]) for i in range(2)))
        v, said = numbers.load(rng.integers(-4, 5, size=(1, 3)) / 2), (None, None, None)
        if rng.random() < 0.7:
            said = (rng.integers(-4, 9, size=(1, 3)) / 4, rng.integers(-4, 5, size=(1, 3)) / 4, rng.random(1) < 0.3)

        def alone(left, ranges, *told):
            return rectified(numbers, left, ranges, *told)

        s, share, _, _ = pairs.handed(numbers, v, cell, said, alone)
        others = [x[:, 1:2] for x in cell[:2]]
        told = (part if part is None or part.ndim == 1 else part[:, 1:2] for part in said)
        single = alone(v[:, 1:2], Ranges(others[0], others[1]), *told)[1]
        v, s, mine = ([float(x) for x in part] for part in (v[0], s[0], share - single))
        best = None
        for point in points_within(low, high):
            sides = zip(point, (ends[0], ends[2]), strict=True)
            if all((x >= 0 or least < 0) and (x <= 0 or most > 0) for x, (least, most) in sides):
                here = sum(v[j] * max(x, 0) - s[j] * x for j, x in zip((0, 2), point, strict=True))
                best = here if best is None else max(best, here)
        if best is None:
            assert mine[0] < -(2.0**100)
            nothing += 1
        else:
            assert mine[0] == pytest.approx(best, abs=1e-12)
            attained += 1
    assert attained > 20 and nothing > 3


# Bounds with pairs.


@pytest.mark.parametrize("name", ARITHMETICS)
@pytest.mark.parametrize("kind", MAKERS)
def test_no_output_is_beyond_its_bound(kind, name):
    finite = 0
    for seed in range(12 if name == "float64" else 2):
        if kind in ("curve", "bare") and name == "rational":
            return
        rng = np.random.default_rng(100 + seed)
        data, (lower, upper) = MAKERS[kind](rng), box(rng)
        evaluation = evaluation_of(data, 3, numbers_of(name))
        early = evaluation.root(lower, upper)
        some = some_pairs(rng, evaluation, early, good=seed % 2 == 0)
        if not some:
            continue
        sets = paired(evaluation, early, some)
        # Pairs are of a stage; where they are used ranges may be smaller, and so may the box.
        cells = evaluation.derive(early, CROWN) if seed % 3 else early
        if seed % 5 == 4:
            upper = lower / 2 + upper / 2
            cells = evaluation.derive(replace(cells, upper=upper[None]), INTERVALS, sized=True)
        c = rng.normal(size=(4, 2 if kind != "bare" else 3))
        slopes = some_slopes(rng, 4, evaluation.network.sizes)[seed % 3]
        top, _ = bounds_of(evaluation, cells, c, sets, slopes, named=(0, 1))
        for x in points_of(rng, lower, upper, 6):
            y = np.array(values_at(data, x, Digits())[-1], object)
            for row, end in zip(c.tolist(), top.tolist(), strict=True):
                if np.isfinite(end):
                    assert sum((Fraction(w) * v for w, v in zip(row, y, strict=True)), Fraction(0)) <= Fraction(end)
                    finite += 1
    assert finite


@pytest.mark.parametrize("kind", ["two layers", "three layers", "16 orders", "sum"])
def test_no_output_of_half_of_a_cell_is_beyond_its_bound(kind):
    """Signs of features are fixed by splits: only points on those sides count."""
    tried = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        data, (lower, upper) = MAKERS[kind](rng), box(rng)
        evaluation = evaluation_of(data, 3, Float64())
        root = evaluation.root(lower, upper)
        sets = paired(evaluation, root, some_pairs(rng, evaluation, root, good=True))
        low, high = ([end.copy() for end in ends] for ends in (root.low, root.high))
        is_split = [(a[0] < 0) & (b[0] > 0) & (rng.random(a.shape[1]) < 0.3) for a, b in zip(low, high, strict=True)]
        to_right = [rng.random(len(one)) < 0.5 for one in is_split]
        for k, (which, right) in enumerate(zip(is_split, to_right, strict=True)):
            low[k][0, which & right] = 0.0
            high[k][0, which & ~right] = 0.0
        cells = replace(root, low=tuple(low), high=tuple(high))
        c = rng.normal(size=(3, 2))
        slopes = some_slopes(rng, 3, evaluation.network.sizes)[seed % 3]
        top, _ = bounds_of(evaluation, cells, c, sets, slopes, named=(0, 1))
        for x in points_of(rng, lower, upper, 60):
            values = values_at(data, x)
            operands = [np.array(values[node], np.float64) for node in evaluation.operands]
            if all(
                (a[w & r] >= 0).all() and (a[w & ~r] <= 0).all()
                for a, w, r in zip(operands, is_split, to_right, strict=True)
            ):
                tried += 1
                for row, end in zip(c.tolist(), top.tolist(), strict=True):
                    assert sum((Fraction(w) * v for w, v in zip(row, values[-1], strict=True)), Fraction(0)) <= end
    assert tried > 40


@pytest.mark.parametrize("kind", ["two layers", "three layers", "16 orders", "sum"])
def test_rational_bounds_lie_within_what_float64_claims(kind):
    seen, moved = 0, 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        data, (lower, upper) = MAKERS[kind](rng), box(rng)
        real, exact = (evaluation_of(data, 3, numbers) for numbers in (Float64(), Rational()))
        cells = real.root(lower, upper)
        sets = paired(real, cells, some_pairs(rng, real, cells, good=seed % 2 == 0))
        c = rng.normal(size=(3, real.network.outputs))
        slopes = some_slopes(rng, 3, real.network.sizes)[seed % 3]
        (_, (near, error)), (_, (value, _)) = (
            bounds_of(by, cells, c, sets, slopes, named=(0, 1)) for by in (real, exact)
        )
        for v, e, x in zip(near.tolist(), error.tolist(), value.tolist(), strict=True):
            if np.isfinite(v) and np.isfinite(e) and abs(x) < 2**90:
                assert abs(Fraction(v) - x) <= Fraction(e)
                seen, moved = seen + 1, moved + (Fraction(v) != x)
    assert seen > 20 and moved > seen / 3


def test_what_corners_weigh_in_the_error_term():
    """Both numbers of every feature, times the largest of the corners of its own pair, however small its values are."""
    member, corner = np.array([[0, 1], [3, 4]]), np.zeros((2, 2, 2))
    corner[0, 0], corner[1, 1] = (-4.0, 2.0), (0.5, 2.0**-40)
    pairs, cell = Pairs(member, corner), Ranges(*(np.full((1, 5), end) for end in (-1.0, 1.0)))
    v, added = np.array([[1.0, -2.0, 3.0, 0.0, 5.0]]), np.array([[0.25, 0.0, 7.0, 0.0, 0.0]])
    said = (np.full((1, 5), 0.5), added, np.zeros(1, np.bool_))
    s, _, weight, _ = pairs.handed(Float64(), v, cell, said, lambda left, *_: (0 * left, np.zeros(1)))
    assert s.tolist() == [[0.75, -1.0, 0.0, 0.0, 2.5]]
    # Members 0 and 3 are of the first pair, 1 and 4 of the second one.
    assert weight.tolist() == [1.75 * 4 + 0.0 * 2 + 3.0 * 0.5 + 7.5 * 2.0**-40]
    _, _, flat, _ = pairs.handed(
        Float64(), 0 * v, cell, (*said[:2], np.ones(1, np.bool_)), lambda left, *_: (0 * left, np.zeros(1))
    )
    assert flat.tolist() == [0.25 * 4]


def test_multipliers_of_features_of_pairs():
    """As of single ones where signs are known; else what is added is added to the upper line's slope, and to nothing where what arrives is negative.
    Rows without multipliers have what is added alone."""
    low = np.array([[-1.0, -1.0, -1.0, 0.0, 0.5, -2.0, -2.0, 0.0]])
    high = np.array([[3.0, 3.0, 3.0, 1.0, 1.0, 0.0, -1.0, 0.0]])
    near = np.array([[2.0, -2.0, -2.0, -3.0, 3.0, 5.0, -5.0, 4.0]])
    given = np.array([[0.9, 0.125, np.nan, 0.3, 0.3, 0.3, 0.3, 0.3]])
    added, cell = np.full((1, 8), 0.25), Ranges(low, high)
    pairs = Pairs(np.arange(8).reshape(2, 4), np.zeros((4, 1, 2)))
    wanted = {False: [2.0, -0.25, -2.0, -2.75, 3.25, 0.25, 0.25, 4.25], True: [0.25] * 8}
    for is_flat, multipliers in wanted.items():
        said = (given, added, np.array([is_flat]))
        s, *_ = pairs.handed(Float64(), near, cell, said, lambda left, *_: (0 * left, np.zeros(1)))
        assert s.tolist() == [multipliers]
    s, *_ = pairs.handed(Float64(), near, cell, (None, None, None), lambda left, *_: (0 * left, np.zeros(1)))
    assert s.tolist() == [[1.5, -2.0, -2.0, -3.0, 3.0, 0.0, 0.0, 4.0]]


def test_shares_in_fractions_are_exact():
    third = np.array([[Fraction(1, 3), Fraction(-1, 7)]], object)
    pairs, cell = (
        Pairs(np.array([[0], [1]]), np.array([[[2.0, 1.0], [-1.0, 0.5]]])),
        Ranges(*np.array([[[-1.0] * 2], [[2.0] * 2]])),
    )
    s, share, _, _ = pairs.handed(
        Rational(), third, cell, (None, None, None), lambda left, *_: (0 * left, np.array([Fraction(0)], object))
    )
    shares = [
        third[0, 0] * max(a, 0) - s[0, 0] * a + third[0, 1] * max(b, 0) - s[0, 1] * b
        for a, b in ((Fraction(2), Fraction(1)), (Fraction(-1), Fraction(1, 2)))
    ]
    assert share.tolist() == [max(shares)]


@pytest.mark.parametrize("kind", ["two layers", "three layers", "sum"])
def test_rows_of_several_cells_and_sets_are_bounded_as_one_by_one(kind):
    rng = np.random.default_rng(4)
    data, (lower, upper) = MAKERS[kind](rng), box(rng)
    evaluation = evaluation_of(data, 3, Float64())
    root = evaluation.root(lower, upper)
    sets = paired(evaluation, root, *(some_pairs(rng, evaluation, root, good=good) for good in (True, False)))
    cells = root.take(np.zeros(4, np.int64))
    for row in range(4):
        for low, high in zip(cells.low, cells.high, strict=True):
            j = int(rng.integers(low.shape[1]))
            if low[row, j] < 0 < high[row, j]:
                (low, high)[row % 2][row, j] = 0.0
    count = 40
    cell, which = rng.integers(4, size=count), np.stack([np.zeros(count, np.int64), rng.integers(3, size=count)], 1)
    load, last = evaluation.numbers.load, len(evaluation.network.nodes) - 1
    objective = Objective({last: load(rng.normal(size=(count, 2)))}, load(np.zeros(count)))
    for slopes in some_slopes(rng, count, evaluation.network.sizes):
        found = sets.refutations(evaluation, cells, cell, objective, slopes, which)
        for row in range(count):
            at = np.array([row])
            mine = None if slopes is None else slopes.take(at)
            one = sets.refutations(
                evaluation, cells.take(cell[at]), np.zeros(1, np.int64), objective.take(at), mine, which[at]
            )
            assert found[row] == pytest.approx(one[0], rel=1e-12, abs=1e-12)


# What they are for.


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_pairs_prove_what_single_features_do_not(arithmetic):
    numbers_of(arithmetic)
    network, property_ = crossed()
    grid = np.linspace(-1, 1, 41)
    assert max(max(a + b, 0.0) + max(a - b, 0.0) for a in grid for b in grid) == 2.0
    sets = arrays_of_pairs([CROSSED])
    for more, base in itertools.product(range(-16, 17, 4), (0, 1)):
        row = CROSSED_ROWS | {"row_exponent": [4, 0], "row_mu": [16, 0], "row_count": [2, 0], "row_base": [base, 0]}
        row |= {"row_feature": [0, 1], "row_slope": [0, 0], "row_added": [more, more], "row_pairs": [0, 0]}
        with pytest.raises(ProofError, match="has a bound of"):
            check_real(certificate(network, property_, 2, 1, **sets | row), network, property_, arithmetic=arithmetic)
    made = decode(encode(certificate(network, property_, 2, 1, **sets | CROSSED_ROWS)))
    found = check_real(made, network, property_, arithmetic=arithmetic)
    assert found.counts.pairs == 1 and -0.25 <= found.counts.closest < -0.24


def test_what_is_added_to_slopes_of_open_features_is():
    """With the chord's half taken off, a row with multipliers hands on nothing, as one without."""
    network, property_ = crossed()
    row = CROSSED_ROWS | {"row_exponent": [1, 0], "row_mu": [2, 0], "row_base": [0, 0], "row_count": [2, 0]}
    row |= {"row_feature": [0, 1], "row_slope": [0, 0], "row_added": [-1, -1]}
    check_real(certificate(network, property_, 2, 1, **arrays_of_pairs([CROSSED]) | row), network, property_)
    for other in ([-1, 0], [0, -1], [1, 1]):
        changed = row | {"row_added": other}
        with pytest.raises(ProofError, match="bound of"):
            check_real(
                certificate(network, property_, 2, 1, **arrays_of_pairs([CROSSED]) | changed), network, property_
            )


def test_a_cell_without_a_corner_is_refuted():
    # Operands x - 1 and -x - 1 are never both above 0, and their sum says so: where both are split to the right nothing is left.
    network = chain([[[1.0], [-1.0]], [[1.0, -1.0]]], [[-1.0, -1.0], [0.0]])
    property_ = property_text([-3.0], [3.0], 1, [[((1.0,), 4.5)]])
    tree = {
        "kind": [SPLIT, LEAF, SPLIT, LEAF, LEAF],
        "rule": [0] * 5,
        "split_relu": [1, 1],
        "split_feature": [0, 1],
        "split_point": [0, 0],
        "split_exponent": [0, 0],
    }
    rows = {"row_exponent": [0, 0], "row_base": [0, 0], "row_mu": [1, 0], "row_count": [0, 0]}
    sets = arrays_of_pairs([Pair(1, 0, 1, 10, (-2047, 0, 0, 0), (2, 0, 0, 0))])
    for named in (0, 1):
        made = certificate(network, property_, 1, 1, **sets | rows | tree, leaf_row=[0, 0, 0], row_pairs=[named, 0])
        if named:
            assert check_real(made, network, property_).counts.leaves == 3
            assert check_real(made, network, property_, arithmetic="rational").counts.leaves == 3
            continue
        with pytest.raises(ProofError, match="leaf 4"):
            check_real(made, network, property_)


def test_ends_without_rows_are_those_of_ranges():
    network, _ = crossed()
    evaluation = evaluation_of(network, 2, Rational())
    cells = evaluation.root(-np.ones(2), np.ones(2))
    # From -3 to 1.5 and from -1 to 2, outward in halves, quarters and whole numbers.
    cells = replace(cells, low=(np.array([[-3.0, -1.0]]),), high=(np.array([[1.5, 2.0]]),))
    for exponent, ends in ((0, (-3, 2, -1, 2)), (1, (-3, 1.5, -1, 2)), (2, (-3, 1.5, -1, 2))):
        for end, row in (((-5,) * 4, (0,) * 4), ((1 << 30,) * 4, (1,) * 4)):
            (pairs,) = paired(evaluation, cells, [Pair(1, 0, 1, exponent, end, row)]).named(0, 1).values()
            wanted = {*itertools.product((*ends[:2], 0), (*ends[2:], 0))}
            assert {tuple(point) for point in pairs.corner[0].tolist()} >= wanted
            assert (pairs.corner[0].min(0).tolist(), pairs.corner[0].max(0).tolist()) == (
                [ends[0], ends[2]],
                [ends[1], ends[3]],
            )


def test_rows_that_prove_ends_may_have_sets_of_earlier_stages():
    """Of ``relu(a) + relu(b)`` a second layer's sums are less with a pair of the first."""
    network = chain(
        [[[1.0, 1.0], [1.0, -1.0]], [[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [-1.0, -1.0], [0.0]]
    )
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 1.25)]])
    second = Pair(2, 0, 1, 10, (4, 0, 0, 0), (3, 0, 0, 0))
    rows = {"row_exponent": [0] * 3, "row_base": [1, 0, 1], "row_mu": [1, 0, 0], "row_count": [0] * 3}
    for named, is_good in ((1, True), (0, False)):
        given = arrays_of_pairs([CROSSED], [second]) | rows
        made = certificate(network, property_, 2, 1, **given, row_pairs=[2, 0, named])
        if is_good:
            check_real(made, network, property_)
            continue
        with pytest.raises(ProofError, match="does not bound"):
            check_real(made, network, property_)


def test_pairs_of_relus_of_different_sizes():
    weights = [
        [[1.0, 1.0], [1.0, -1.0], [0.5, 0.0], [0.0, 0.5]],
        [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]],
        [[1.0, 1.0]],
    ]
    evaluation = evaluation_of(chain(weights, [[0.0] * 4, [-1.0, -1.0], [0.0]]), 2, Float64())
    cells = evaluation.root(-np.ones(2), np.ones(2))
    found = paired(evaluation, cells, [Pair(1, 0, 1), Pair(1, 2, 3), Pair(2, 0, 1)]).named(0, 1)
    assert {k: pairs.member.tolist() for k, pairs in found.items()} == {0: [[0, 2], [1, 3]], 1: [[0], [1]]}


def test_a_pair_without_a_corner_is_refused(monkeypatch):
    network, property_ = crossed()
    given = arrays_of_pairs([CROSSED._replace(end=(-9000, 2049, 2049, 2049))]) | CROSSED_ROWS
    # No row proves that; where one did nothing would be left.
    monkeypatch.setattr(module, "_prove", lambda *_: None)
    with pytest.raises(ProofError, match="no corner"):
        check_real(certificate(network, property_, 2, 1, **given), network, property_)


def test_sets_are_taken_in_time(monkeypatch):
    network, property_ = crossed()
    made = certificate(network, property_, 2, 1, **arrays_of_pairs(*[[CROSSED]] * 3) | CROSSED_ROWS)
    looks, corners = [], module._corners

    def looked(low, high, look):
        look()
        looks.append(look)
        return corners(low, high, look)

    monkeypatch.setattr(module, "_corners", looked)
    check_real(made, network, property_, seconds=100.0)
    assert len(looks) == 3


def test_ends_that_are_not_so_are_not_proved():
    network, property_ = crossed()
    for at in range(4):
        for end in (2047, 2000, 0, -(1 << 40)):
            ends = tuple(end if i == at else 2049 for i in range(4))
            given = arrays_of_pairs([CROSSED._replace(end=ends)]) | CROSSED_ROWS
            with pytest.raises(ProofError, match="does not bound"):
                check_real(certificate(network, property_, 2, 1, **given), network, property_)


def test_rows_of_ends_have_no_weights():
    network, property_ = crossed()
    given = arrays_of_pairs([CROSSED]) | CROSSED_ROWS | {"row_mu": [1, 1]}
    with pytest.raises(ProofError, match="does not bound"):
        check_real(certificate(network, property_, 2, 1, **given), network, property_)


def test_what_can_be_is_not_refuted():
    """Thresholds next below the largest value, and pairs and rows by chance."""
    rng, tried = np.random.default_rng(7), 0
    network, _ = crossed()
    for _ in range(150):
        top = 2.0 - float(rng.random() * 2.0**-12)
        property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), top)]])
        ends = tuple((2049 - rng.integers(0, 4, size=4)).tolist())
        exponent = int(rng.integers(8, 12))
        pair = CROSSED._replace(end=ends, exponent=exponent, row=tuple(rng.integers(0, 3, size=4).tolist()))
        row = CROSSED_ROWS | {"row_exponent": [4, 0], "row_mu": [16, 0], "row_count": [2, 0]}
        row |= {"row_base": [int(rng.integers(2)), 0], "row_feature": [0, 1]}
        row |= {name: rng.integers(-16, 17, size=2).tolist() for name in ("row_slope", "row_added")}
        with pytest.raises(ProofError) as error:
            check_real(certificate(network, property_, 2, 1, **arrays_of_pairs([pair]) | row), network, property_)
        tried += "has a bound of" in error.value.problem
    assert tried > 10
