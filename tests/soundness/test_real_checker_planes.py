"""Planes above ReLUs in the checker of float networks: they hold at every input, they help, and nothing false comes of them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import Evaluation, Objective
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.checker.real.joint.sets import Sets
from netproof.certificate.checker.real.numbers import Float64, Rational, above
from netproof.certificate.real.contents import CROWN, INTERVALS, LEAF, LEMMAS, PLANES, SPLIT
from netproof.certificate.real.format import decode, encode
from netproof.errors import ProofError
from soundness.real_evidence import (
    Builder,
    Digits,
    certificate,
    chain,
    property_text,
    some_slopes,
    values_at,
)
from soundness.real_planes import (
    ARITHMETICS,
    MAKERS,
    added,
    arrays_of_sets,
    bounds_of,
    box,
    columns_of,
    evaluation_of,
    numbers_of,
    plane,
    points_of,
    some_planes,
)

# What planes say is so.


@pytest.mark.parametrize("name", ARITHMETICS)
@pytest.mark.parametrize("kind", MAKERS)
def test_planes_are_above_their_relus(kind, name):
    seen = 0
    for seed in range(2 if name != "float64" else 8):
        rng = np.random.default_rng(seed)
        if (kind in ("curve", "bare") and name == "rational") or (kind == "curve" and name == "arb" and seed):
            continue
        data, (lower, upper) = MAKERS[kind](rng), box(rng)
        evaluation = evaluation_of(data, 3, numbers_of(name))
        cells = evaluation.root(lower, upper)
        some = some_planes(rng, evaluation.network, cells, good=seed % 2 == 0)
        sets = added(evaluation, cells, some)
        seen += holds(data, evaluation.network, some, sets, points_of(rng, lower, upper, 6))
    assert seen or (kind in ("curve", "bare") and name == "rational")


def holds(data: bytes, network, some: list, sets: Sets, points) -> int:
    """Whether planes hold at points; how many were tried."""
    begin, tried = columns_of(network), 0
    for x in points:
        values = values_at(data, x, Digits())
        flat = np.concatenate([values[0], *(values[i] for i in network.bends)])
        for relu, feature, exponent, _, _, entries in some:
            planes = sets.named(1, 0)[relu - 1]
            (at,) = np.flatnonzero(planes.feature == feature)
            above_it = sum((Fraction(value, 1 << exponent) * flat[column] for column, value in entries), Fraction(0))
            over = flat[begin[relu] + feature] - above_it
            # 60 digits of a curve are not exact.
            assert over <= Fraction(float(planes.offset[at])) + abs(over) / 10**50
            tried += 1
    return tried


@pytest.mark.parametrize("over_itself", [False, True])
def test_the_offset_is_the_least_that_prices_allow_where_inputs_are_before(over_itself):
    # Over inputs alone both ends are largest at corners of the box; of a ReLU of inputs themselves one column is the operand's own.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        made = Builder([1, 2], dtype=np.float64)
        weight, shift = rng.integers(-8, 9, size=(2, 2)) / 4, rng.integers(-3, 4, size=2) / 8
        if over_itself:
            weight, shift = np.eye(2), np.zeros(2)
        at = "x" if over_itself else made.node("Gemm", "x", made.constant(weight), made.constant(shift))
        data = made.bytes(made.node("MatMul", made.node("Relu", at), made.constant([[1.0], [1.0]])))
        evaluation = evaluation_of(data, 2, Rational())
        cells = evaluation.root(np.array([-1.0, -0.5]), np.array([0.75, 1.0]))
        m, p, q = (rng.integers(-40, 41, size=2).tolist(), *rng.integers(0, 20, size=2).tolist())
        if seed % 4 == 0:
            p, q = 0, 0
        sets = added(evaluation, cells, [plane(1, 1, enumerate(m), exponent=4, right=p, left=q)])
        best = largest_at_corners(cells, weight[:, 1].tolist(), float(shift[1]), m, (p, q))
        assert sets.named(1, 0)[0].offset.tolist() == [above(best)]


def largest_at_corners(cells, w, b, m, prices) -> Fraction:
    """The larger of both ends of a plane above feature 1, all by 2^-4."""
    low, high = Fraction(float(cells.low[0][0, 1])), Fraction(float(cells.high[0][0, 1]))
    p, q = (Fraction(price, 16) for price in prices)
    found = []
    for x in itertools.product((-1.0, 0.75), (-0.5, 1.0)):
        a = sum((Fraction(c) * Fraction(y) for c, y in zip(w, x, strict=True)), Fraction(b))
        less = sum((Fraction(c, 16) * Fraction(y) for c, y in zip(m, x, strict=True)), Fraction(0))
        found += [(1 - p) * a - less + p * high, q * a - less - q * low]
    return max(found)


def test_an_end_that_costs_nothing_may_be_anywhere():
    data, _ = hidden_by_the_chord()
    evaluation = evaluation_of(data, 2, Float64())
    cells = evaluation.root(-np.ones(2), np.ones(2))
    endless = replace(cells, low=(np.full_like(cells.low[0], -np.inf),), high=(np.full_like(cells.high[0], np.inf),))
    sets = added(evaluation, endless, [plane(1, 0, {0: 1})])
    assert sets.named(1, 0)[0].offset == pytest.approx([1.0], abs=1e-9)
    for price in ({"right": 1}, {"left": 1}):
        with pytest.raises(ProofError, match="no end"):
            added(evaluation, endless, [plane(1, 0, {0: 1}, **price)])


# Bounds with planes.


def outputs_of(data: bytes, points) -> list[np.ndarray]:
    return [np.array(values_at(data, x, Digits())[-1], object) for x in points]


@pytest.mark.parametrize("name", ARITHMETICS)
@pytest.mark.parametrize("kind", MAKERS)
def test_no_output_is_beyond_its_bound(kind, name):
    finite = 0
    for seed in range(10 if name == "float64" else 2):
        if kind in ("curve", "bare") and name == "rational":
            return
        rng = np.random.default_rng(100 + seed)
        data, (lower, upper) = MAKERS[kind](rng), box(rng)
        evaluation = evaluation_of(data, 3, numbers_of(name))
        early = evaluation.root(lower, upper)
        # Planes are of a stage; where they are used ranges may be smaller, and so may the box.
        sets = added(evaluation, early, some_planes(rng, evaluation.network, early, good=seed % 2 == 0))
        cells = evaluation.derive(early, CROWN) if seed % 3 else early
        if seed % 5 == 4:
            upper = lower / 2 + upper / 2
            cells = evaluation.derive(replace(cells, upper=upper[None]), INTERVALS, sized=True)
        c = rng.normal(size=(4, 2 if kind != "bare" else 3))
        slopes = some_slopes(rng, 4, evaluation.network.sizes)[seed % 3]
        top, _ = bounds_of(evaluation, cells, c, sets, slopes)
        for y in outputs_of(data, points_of(rng, lower, upper, 6)):
            for row, end in zip(c.tolist(), top.tolist(), strict=True):
                if np.isfinite(end):
                    assert sum((Fraction(w) * v for w, v in zip(row, y, strict=True)), Fraction(0)) <= Fraction(end)
                    finite += 1
    assert finite


def cancelling(rng: np.random.Generator) -> tuple[bytes, np.ndarray, list]:
    """Operands that are next to 0 in a tiny box around 1, and planes over far larger numbers that cancel."""
    n, large = 6, 2.0 ** int(rng.integers(0, 22))
    half = rng.integers(-(2**10), 2**10, size=(4, 3)) * 2.0**-30
    weight = np.concatenate([half, -half], 1)
    data = chain([weight.tolist(), rng.random((1, 4)).tolist()], [[0.0] * 4, [0.0]])
    some = []
    for j in range(4):
        slope = rng.integers(-(2**50), 2**50, size=3) * 2.0**-50 * large
        whole = np.rint(np.concatenate([slope, -slope]) * 2.0**28).astype(np.int64)
        some.append(plane(1, j, enumerate(whole.tolist()), exponent=28))
    return data, np.ones(n), some


def priced(rng: np.random.Generator) -> tuple[bytes, np.ndarray, list]:
    """Planes over nothing whose offsets are far larger than all values, by their prices."""
    data = chain([(rng.normal(size=(4, 6)) * 2.0**-20).tolist(), rng.random((1, 4)).tolist()], [[0.0] * 4, [0.0]])
    return data, np.zeros(6), [plane(1, j, right=int(rng.integers(2**40, 2**50)), left=1) for j in range(4)]


def within(kind: str, seed: int) -> tuple[bytes, np.ndarray, np.ndarray, list | None]:
    rng = np.random.default_rng(seed)
    if kind in ("cancelling", "priced"):
        data, center, some = (cancelling if kind == "cancelling" else priced)(rng)
        return data, center - 2.0**-36, center + 2.0**-36, some
    return MAKERS[kind](rng), *box(rng), None


@pytest.mark.parametrize("kind", ["two layers", "three layers", "16 orders", "sum", "cancelling", "priced"])
def test_rational_bounds_lie_within_what_float64_claims(kind):
    seen, moved = 0, 0
    for seed in range(12):
        data, lower, upper, some = within(kind, seed)
        rng = np.random.default_rng(seed)
        real, exact = (evaluation_of(data, len(lower), numbers) for numbers in (Float64(), Rational()))
        cells = real.root(lower, upper)
        sets = added(real, cells, some or some_planes(rng, real.network, cells, good=seed % 2 == 0))
        c = rng.normal(size=(3, real.network.outputs))
        slopes = some_slopes(rng, 3, real.network.sizes)[seed % 3]
        (_, (near, error)), (_, (value, _)) = (bounds_of(by, cells, c, sets, slopes) for by in (real, exact))
        for v, e, x in zip(near.tolist(), error.tolist(), value.tolist(), strict=True):
            if np.isfinite(v) and np.isfinite(e):
                assert abs(Fraction(v) - x) <= Fraction(e)
                seen, moved = seen + 1, moved + (Fraction(v) != x)
    assert seen > 20 and moved > seen / 3


def test_offsets_in_float64_are_above_those_in_fractions():
    for kind in ("two layers", "three layers", "16 orders", "sum", "cancelling"):
        for seed in range(4):
            data, lower, upper, some = within(kind, seed)
            real, exact = (evaluation_of(data, len(lower), numbers) for numbers in (Float64(), Rational()))
            cells = real.root(lower, upper)
            some = some or some_planes(np.random.default_rng(seed), real.network, cells, good=seed % 2 == 0)
            first, second = (added(by, cells, some).named(1, 0) for by in (real, exact))
            assert first.keys() == second.keys()
            assert all((first[k].offset >= second[k].offset).all() for k in first)


def test_planes_have_more_roundings():
    # Of an objective that is a number alone the error is twice gamma: N is larger by the widest node, and the bends twice.
    data, lower, upper, some = within("cancelling", 0)
    evaluation = evaluation_of(data, 6, Float64())
    cells = evaluation.root(lower, upper)
    objective = Objective({len(evaluation.network.nodes) - 1: np.zeros((1, 1))}, np.ones(1))
    (_, less), (_, more) = (
        evaluation.bound(cells, np.zeros(1, np.int64), objective, None, *planes)
        for planes in ((), (added(evaluation, cells, some).named(1, 0),))
    )
    assert (more[0] - less[0]) * 2.0**52 == pytest.approx(6 + 2, rel=1e-4)


def test_offsets_behind_other_relus_are_by_multipliers_that_are_0():
    # What a ReLU gives has all of its range then, wherever the inputs are.
    data = chain([[[1.0, 1.0]], [[1.0], [-1.0]], [[1.0, 1.0]]], [[0.0], [-1.0, 1.0], [0.0]])
    evaluation = evaluation_of(data, 2, Rational())
    cells = evaluation.root(-np.ones(2), np.ones(2))
    # h is from 0 to 2, and x_0 from -1 to 1, so that h - 1 - (h / 2 - x_0) is at most 1.
    sets = added(evaluation, cells, [plane(2, 0, {2: 1, 0: -2}, exponent=1)])
    assert sets.named(1, 0)[1].offset == pytest.approx([1.0], abs=1e-9)
    # By the chord h - 1 - x_0 is at most 1.
    sets = added(evaluation, cells, [plane(2, 0, {0: 1})])
    assert sets.named(1, 0)[1].offset == pytest.approx([2.0], abs=1e-9)


# What they are for.


def hidden_by_the_chord():
    """``y = relu(x_0 + x_1) - x_0`` on [-1, 1]^2 is at most 1; whatever single number the ReLU hands on, a bound is at least 2."""
    made = Builder([1, 2])
    bend = made.node("Relu", made.node("MatMul", "x", made.constant([[1.0], [1.0]])))
    y = made.node("Sub", bend, made.node("MatMul", "x", made.constant([[1.0], [0.0]])))
    return made.bytes(y), property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 1.25)]])


#: ``relu(x_0 + x_1) <= x_0 + 1``
GOOD = plane(1, 0, {0: 1})


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_planes_prove_what_chords_do_not(arithmetic):
    numbers_of(arithmetic)
    network, property_ = hidden_by_the_chord()
    grid = np.linspace(-1, 1, 41)
    assert max(max(a + b, 0.0) - a for a in grid for b in grid) == 1.0
    sets = arrays_of_sets([GOOD])
    without = certificate(network, property_, 2, 1, **sets, row_planes=[0])
    with pytest.raises(ProofError, match=r"has a bound of 0\.75"):
        check_real(without, network, property_, arithmetic=arithmetic)
    # Nor by any number that a row adds to the chord's.
    for more in range(-8, 9, 2):
        row = {"row_exponent": [4], "row_mu": [16], "row_count": [1], "row_feature": [0]}
        other = certificate(network, property_, 2, 1, **row, row_slope=[0], row_added=[more])
        with pytest.raises(ProofError, match="bound of"):
            check_real(other, network, property_, arithmetic=arithmetic)
    made = decode(encode(certificate(network, property_, 2, 1, **sets, row_planes=[1])))
    found = check_real(made, network, property_, arithmetic=arithmetic)
    assert found.counts.planes == 1 and found.counts.closest == pytest.approx(-0.25)


def test_what_is_next_to_a_plane_is_told_by_fractions(monkeypatch):
    # The bound is the plane's offset less the threshold, which is next above it: only rounding is in the way.
    network, _ = hidden_by_the_chord()
    evaluation = evaluation_of(network, 2, Float64())
    (end,) = added(evaluation, evaluation.root(-np.ones(2), np.ones(2)), [GOOD]).named(1, 0)[0].offset.tolist()
    assert 1 <= end < 1 + 1e-10
    property_ = at_least([-1.0, -1.0], [1.0, 1.0], Fraction(end) + Fraction(1, 2**52))
    made = certificate(network, property_, 2, 1, **arrays_of_sets([GOOD]), row_planes=[1])
    assert check_real(made, network, property_).counts.closest == -(2.0**-52)
    monkeypatch.setattr(Evaluation, "exact", None)
    refused(made, network, property_)


def test_rows_are_bounded_by_their_own_sets():
    # Halves of the box by rows with different sets, and one that has none.
    network, property_ = hidden_by_the_chord()
    useless = plane(1, 0, {0: -1})
    halves = {
        "kind": [SPLIT, LEAF, LEAF],
        "rule": [0, 0, 0],
        "split_relu": [0],
        "split_feature": [1],
        "split_point": [0],
        "split_exponent": [0],
        "leaf_row": [0, 1],
        "row_exponent": [0, 0],
        "row_base": [0, 0],
        "row_mu": [1, 1],
        "row_count": [0, 0],
    }
    accepted = {}
    for which in itertools.product(range(3), repeat=2):
        given = {**arrays_of_sets([useless], [GOOD]), **halves, "row_planes": list(which)}
        try:
            check_real(certificate(network, property_, 2, 1, **given), network, property_)
            accepted[which] = True
        except ProofError:
            accepted[which] = False
    # Of the lower half the chord is too high as well: only the good plane shows either.
    assert [which for which, is_good in accepted.items() if is_good] == [(2, 2)]


def test_a_plane_is_left_out_where_the_sign_is_known_or_what_arrives_is_negative():
    # A plane that is far too high does no harm there.
    network, _ = hidden_by_the_chord()
    high = plane(1, 0, {0: 1000})
    for box_, coefficient, threshold in (([0.5, 1.0], 1.0, 1.25), ([-1.0, 1.0], -1.0, 2.25)):
        ends = [box_[0]] * 2, [box_[1]] * 2
        property_ = property_text(*ends, 1, [[((coefficient,), threshold)]])
        for which in (0, 1):
            made = certificate(network, property_, 2, 1, **arrays_of_sets([high]), row_planes=[which])
            check_real(made, network, property_)


def test_lemmas_may_use_planes_that_were_before_them_and_no_others():
    # z = relu(y - 1.125) of the network above is 0: a lemma about y says so, by the plane.
    made = Builder([1, 2])
    bend = made.node("Relu", made.node("MatMul", "x", made.constant([[1.0], [1.0]])))
    y = made.node("Sub", bend, made.node("MatMul", "x", made.constant([[1.0], [0.0]])))
    network = made.bytes(made.node("Relu", made.node("Sub", y, made.constant([1.125]))))
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 0.125)]])
    given = {
        **arrays_of_sets([GOOD]),
        "stages": [2],
        "lemma_count": [1],
        "lemma_relu": [2],
        "lemma_feature": [0],
        "lemma_side": [1],
        "lemma_end": [0],
        "lemma_exponent": [0],
        "kind": [LEAF, LEAF],
        "rule": [0, 0],
        "leaf_row": [0, 1],
        "row_exponent": [0, 0],
        "row_base": [0, 0],
        "row_mu": [0, 1],
        "row_count": [0, 0],
        "row_planes": [1, 0],
    }
    ordered = {**given, "stage": [PLANES, LEMMAS]}
    assert check_real(certificate(network, property_, 2, 1, **ordered), network, property_).counts.lemmas == 1
    with pytest.raises(ProofError, match="planes that are not there"):
        check_real(certificate(network, property_, 2, 1, **{**ordered, "stage": [LEMMAS, PLANES]}), network, property_)
    # A lemma that is not so has no row that shows it.
    lower = {**ordered, "lemma_end": [-1], "lemma_exponent": [2]}
    with pytest.raises(ProofError, match="lemmas"):
        check_real(certificate(network, property_, 2, 1, **lower), network, property_)


def test_sets_of_one_part_are_no_sets_of_another():
    # On the second box the plane of the first one does not hold.
    network, _ = hidden_by_the_chord()
    declared = "".join(f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0"))
    boxes = [
        f"(and (>= X_0 {-e}) (<= X_0 {e}) (>= X_1 {-e}) (<= X_1 {e}) (>= Y_0 {t}))"
        for e, t in ((1.0, 1.25), (3.0, 3.5))
    ]
    property_ = f"{declared}(assert (or {' '.join(boxes)}))".encode()
    twice = {"cases": [1, 1], "tree": [0, 0], "kind": [LEAF] * 2, "rule": [0, 0], "leaf_row": [0, 0], "row_planes": [1]}
    both = arrays_of_sets([GOOD], [GOOD])
    made = certificate(network, property_, 2, 1, **{**both, "stages": [1, 1]}, **twice)
    assert check_real(made, network, property_).counts.planes == 2
    for sets, stages in (([GOOD], [1, 0]), ([GOOD], [0, 1])):
        made = certificate(network, property_, 2, 1, **{**arrays_of_sets(sets), "stages": stages}, **twice)
        with pytest.raises(ProofError, match="planes that are not there"):
            check_real(made, network, property_)
    # Both sets in one part: the other one has none.
    made = certificate(network, property_, 2, 1, **{**both, "stages": [2, 0]}, **twice)
    with pytest.raises(ProofError, match="planes that are not there"):
        check_real(made, network, property_)


# What is false is not proved.


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_a_plane_over_its_own_operand_proves_nothing_false(arithmetic):
    # relu(x) <= 0 x + 1 for an input, and for a product: the operand is among what the plane is over.
    numbers_of(arithmetic)
    made = Builder([1, 2], dtype=np.float64)
    first = made.bytes(made.node("MatMul", made.node("Relu", "x"), made.constant([[1.0], [0.0]])))
    made = Builder([1, 2], dtype=np.float64)
    factors = [made.node("MatMul", "x", made.constant(part)) for part in ([[1.0], [0.0]], [[0.0], [1.0]])]
    product = made.bytes(made.node("MatMul", made.node("Relu", made.node("Mul", *factors)), made.constant([[1.0]])))
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 0.5)]])
    for network, relu, column in ((first, 1, 0), (product, 2, 2)):
        for value in (0, 1, -1):
            given = arrays_of_sets([plane(relu, 0, {column: value}, exponent=1)])
            false = certificate(network, property_, 2, 1, **given, row_planes=[1])
            with pytest.raises(ProofError, match="a bound of"):
                check_real(false, network, property_, arithmetic=arithmetic)


def at_least(lower, upper, threshold: Fraction) -> bytes:
    """That the output is at least a number somewhere in a box."""
    text = property_text(lower, upper, 1, [[((1.0,), 0.0)]]).decode()
    digits = threshold.denominator.bit_length() - 1
    written = str(abs(threshold.numerator) * 5**digits).rjust(digits + 1, "0")
    number = ("-" if threshold < 0 else "") + (f"{written[:-digits]}.{written[-digits:]}" if digits else written)
    return (text[: text.rindex("(assert")] + f"(assert (>= Y_0 {number}))\n").encode()


def asked(data: bytes, lower, upper, points) -> tuple[bytes, Fraction]:
    """A property that is met at one of the points, and what the output is there, or less by no more than numbers in files allow."""
    best = max(values_at(data, x, Rational())[-1][0] for x in points)
    best = Fraction(best * 2**890 // 1, 2**890)
    return at_least(list(lower), list(upper), best), best


def touching(seed: int):
    """``y = sum of v relu(w . x + b) - d . x``, where planes with slopes that are ``d`` together come to the maximum exactly, or next to
    it: of numbers of 16 orders of magnitude, all of one ReLU above all or none of its box."""
    rng = np.random.default_rng(seed)
    n, hidden = int(rng.integers(1, 7)), int(rng.integers(1, 4))
    spread = float(rng.choice([0.0, 8.0, 16.0]))
    made = Builder([1, n], dtype=np.float64)
    center, reach = np.rint(rng.normal(size=n) * 8) / 8, 2.0 ** -int(rng.integers(1, 30))
    weight = np.abs(rng.normal(size=(n, hidden))) * 10.0 ** (spread * (rng.random((n, hidden)) - 0.5))
    shift = -center @ weight
    slope = np.rint(weight * rng.random((n, hidden)) * 2.0**40)
    slope = np.clip(slope, -(2.0**52), 2.0**52) * 2.0**-40
    v = rng.random((hidden, 1)) * 10.0 ** (spread * (rng.random((hidden, 1)) - 0.5))
    bend = made.node("Relu", made.node("Gemm", "x", made.constant(weight), made.constant(shift)))
    less = made.node("MatMul", "x", made.constant(slope @ v))
    data = made.bytes(made.node("Sub", made.node("MatMul", bend, made.constant(v)), less))
    lower, upper = center - reach, center + reach
    # The largest value of every plane is where all inputs are largest.
    property_, _ = asked(data, lower, upper, [upper.tolist(), lower.tolist()])
    some = []
    for j in range(hidden):
        whole = np.rint(slope[:, j] * 2.0**40).astype(np.int64)
        some.append(plane(1, j, enumerate(whole.tolist()), exponent=40))
    return data, property_, n, some


def refused(made, data: bytes, property_: bytes, arithmetic: str = "float64") -> float:
    """The bound that a certificate comes to, which is not accepted."""
    with pytest.raises(ProofError) as error:
        check_real(made, data, property_, arithmetic=arithmetic)
    found = error.value.problem.split("a bound of ")
    return float(found[1].split(",")[0]) if len(found) == 2 else np.inf


@pytest.mark.parametrize("arithmetic", ["float64", "rational", "arb"])
def test_what_planes_attain_is_not_refuted(arithmetic):
    numbers_of(arithmetic)
    near = 0
    for seed in range(160 if arithmetic == "float64" else 12):
        data, property_, inputs, some = touching(seed)
        made = certificate(data, property_, inputs, 1, **arrays_of_sets(some), row_planes=[1])
        near += 0 <= refused(made, data, property_, arithmetic) < 2.0**-30
    assert near >= 6


def test_what_planes_attain_is_not_refuted_without_fractions(monkeypatch):
    # Rounding alone is what decides here.
    monkeypatch.setattr(Evaluation, "exact", None)
    for seed in range(160):
        data, property_, inputs, some = touching(seed)
        refused(certificate(data, property_, inputs, 1, **arrays_of_sets(some), row_planes=[1]), data, property_)


def question(seed: int) -> tuple[bytes, list, list, bytes, Fraction]:
    """A network, a box, and a property that a corner of it meets."""
    rng = np.random.default_rng(seed)
    tiny = float(rng.choice([1.0, 1.0, 1.0, 1e-30, 1e-160, 1e-308]))
    spread = float(rng.choice([0.0, 6.0, 16.0]))
    sizes = [(2, 4, 1), (2, 3, 3, 1), (3, 4, 4, 1)][seed % 3]
    weights = [
        rng.normal(size=(after, before)) * 10.0 ** (spread * (rng.random((after, before)) - 0.5))
        for before, after in itertools.pairwise(sizes)
    ]
    weights[0] = weights[0] * tiny
    biases = [rng.normal(size=len(w)) * float(rng.choice([0.0, 0.1])) * tiny for w in weights]
    data = chain([w.tolist() for w in weights], [b.tolist() for b in biases])
    center, reach = rng.normal(size=sizes[0]), 2.0 ** -int(rng.integers(0, 20))
    lower, upper = center - reach, center + reach
    corners = [list(corner) for corner in itertools.product(*zip(lower.tolist(), upper.tolist(), strict=True))]
    return data, lower.tolist(), upper.tolist(), *asked(data, lower, upper, corners)


def moved(rng: np.random.Generator, some: list, step: float) -> list:
    """Planes with other slopes and prices, not far away."""

    def other(number: int, least: int, most: int) -> int:
        return int(min(max(number * (1 + step * rng.normal()) + rng.integers(-1, 2), least), most))

    found = []
    for relu, feature, exponent, right, left, entries in some:
        again = tuple((column, other(value, -(2**52), 2**52)) for column, value in entries)
        found.append((relu, feature, exponent, other(right, 0, 2**50), other(left, 0, 2**50), again))
    return found


def test_no_planes_refute_what_has_a_witness():
    tried, with_planes, closest = 0, 0, np.inf
    for seed in range(36):
        data, lower, upper, property_, best = question(seed)
        rng = np.random.default_rng(1000 + seed)
        evaluation = evaluation_of(data, len(lower), Float64())
        cells = evaluation.root(np.array(lower), np.array(upper))
        some, value = some_planes(rng, evaluation.network, cells, good=seed % 4 != 3), np.inf
        for step in range(10):
            new = moved(rng, some, 0.5 * 0.8**step) if step else some
            sets = {"stages": [0], "stage": []} if not new else arrays_of_sets(new)
            row = {"row_exponent": [10], "row_mu": [1 << 10], "row_planes": [int(bool(new))]}
            made = certificate(data, property_, len(lower), 1, **sets, **row)
            found = refused(made, data, property_, "rational" if step == 8 else "float64")
            tried, with_planes = tried + 1, with_planes + bool(new)
            if found <= value:
                some, value = new, found
        closest = min(closest, value / float(abs(best)) if best else np.inf)
    assert tried >= 300 and with_planes >= 200 and closest < 1e-3
