"""Pairs of features in the checker of float networks: no value is beyond their bound, they help, and nothing false comes of them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from netproof.certificate.checker.real.check import check_real
from netproof.certificate.checker.real.joint import pairs as module
from netproof.certificate.checker.real.joint.pairs import Pairs
from netproof.certificate.checker.real.numbers import Float64, Rational, arithmetic_of
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
    bounds_with,
    crossed,
    octagon_of,
    paired,
    points_within,
    some_pairs,
)
from soundness.real_planes import MAKERS, box, evaluation_of

ARITHMETICS = ("float64", "arb", "rational")


def numbers_of(name: str):
    if name == "arb":
        pytest.importorskip("flint")
    return arithmetic_of(name)


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
    for _ in range(60):
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


def points_of(rng: np.random.Generator, lower, upper, count: int) -> list[list[float]]:
    share = rng.random((count, len(lower)))
    share[::2] = np.rint(share[::2])
    return np.clip(lower + share * (upper - lower), lower, upper).tolist()


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
        top, _ = bounds_with(evaluation, cells, c, sets, slopes)
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
        top, _ = bounds_with(evaluation, cells, c, sets, slopes)
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
        (_, (near, error)), (_, (value, _)) = (bounds_with(by, cells, c, sets, slopes) for by in (real, exact))
        for v, e, x in zip(near.tolist(), error.tolist(), value.tolist(), strict=True):
            if np.isfinite(v) and np.isfinite(e) and abs(x) < 2**90:
                assert abs(Fraction(v) - x) <= Fraction(e)
                seen, moved = seen + 1, moved + (Fraction(v) != x)
    assert seen > 20 and moved > seen / 3


def test_corners_that_are_far_from_a_cell_are_in_the_error_term():
    """Units of which a range is a small part: corners are far larger than any value, and so is what they round."""
    worst = 0.0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        # Values of a millionth, and corners of 1.
        weight = (rng.normal(size=(4, 3)) * 2.0**-20).tolist()
        data = chain([weight, rng.normal(size=(1, 4)).tolist()], [[0.0] * 4, [0.0]])
        real, exact = (evaluation_of(data, 3, numbers) for numbers in (Float64(), Rational()))
        cells = real.root(-np.ones(3), np.ones(3))
        sets = paired(real, cells, [Pair(1, 0, 2, 0), Pair(1, 1, 3, 0)])
        slopes = some_slopes(rng, 2, real.network.sizes)[1 + seed % 2]
        (_, (near, error)), (_, (value, _)) = (
            bounds_with(by, cells, np.ones((2, 1)), sets, slopes) for by in (real, exact)
        )
        for v, e, x in zip(near.tolist(), error.tolist(), value.tolist(), strict=True):
            assert abs(Fraction(v) - x) <= Fraction(e)
            worst = max(worst, float(abs(Fraction(v) - x)))
    # More than all values of the network could explain.
    assert worst > 2.0**-70


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
    evaluation = evaluation_of(network, 2, Float64())
    cells = evaluation.root(-np.ones(2), np.ones(2))
    (pairs,) = paired(evaluation, cells, [Pair(1, 0, 1, 20, (-5, -5, -5, -5))]).named(0, 1).values()
    assert abs(pairs.corner).max() == pytest.approx(2.0, abs=1e-5) and tuple(np.rint(pairs.corner[0].max(0))) == (
        2.0,
        2.0,
    )
    # And where a row proves less than ranges say.
    (pairs,) = paired(evaluation, cells, [Pair(1, 0, 1, 20, (1 << 30,) * 4, (1,) * 4)]).named(0, 1).values()
    assert abs(pairs.corner).max() == pytest.approx(2.0, abs=1e-5)


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
