"""Planes above ReLUs in the checker of float networks: they hold at every input, they help, and nothing false comes of them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from netproof.certificate.checker.real import bound as bound_module
from netproof.certificate.checker.real.bound import Evaluation, Objective
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.checker.real.numbers import Float64, Rational, above, arithmetic_of
from netproof.certificate.checker.real.planes import above as module
from netproof.certificate.checker.real.planes.above import Sets
from netproof.certificate.container import pack, unpack
from netproof.certificate.real.contents import CROWN, INTERVALS, LEAF, LEMMAS, NAMES, PLANES, SPLIT, Taken, arrays_of
from netproof.certificate.real.format import decode, encode
from netproof.errors import CertificateError, ProofError
from soundness.real_evidence import (
    Builder,
    Digits,
    bent,
    certificate,
    chain,
    exactly,
    perceptron,
    property_text,
    some_slopes,
)

ARITHMETICS = ("float64", "arb", "rational")


# Planes, and networks that have some.


def plane(relu: int, feature: int, entries=(), *, exponent=0, right=0, left=0):
    """One plane; ``entries`` are columns with whole numbers."""
    return relu, feature, exponent, right, left, tuple(sorted(dict(entries).items()))


def arrays_of_sets(*sets) -> dict[str, list[int]]:
    """The arrays of sets of planes, which are all stages."""
    planes = [one for some in sets for one in some]
    columns = [[column for column, _ in one[5]] for one in planes]
    steps = [np.diff([-1, *some]).tolist() for some in columns]
    return {
        "stages": [len(sets)],
        "stage": [PLANES] * len(sets),
        "plane_count": [len(some) for some in sets],
        "plane_relu": [one[0] for one in planes],
        "plane_feature": [one[1] for one in planes],
        "plane_exponent": [one[2] for one in planes],
        "plane_right": [one[3] for one in planes],
        "plane_left": [one[4] for one in planes],
        "plane_entries": [len(one[5]) for one in planes],
        "plane_step": [step for some in steps for step in some],
        "plane_value": [value for one in planes for _, value in one[5]],
    }


def summed(rng: np.random.Generator) -> bytes:
    """Two layers with a sum around the second one."""
    made = Builder([1, 3], dtype=np.float64)

    def dense(at, before, after):
        numbers = rng.normal(size=(before, after)), rng.normal(size=after) * 0.3
        return made.node("Gemm", at, *map(made.constant, numbers))

    first = made.node("Relu", dense("x", 3, 5))
    second = made.node("Relu", made.node("Add", dense(made.node("Relu", dense(first, 5, 5)), 5, 5), first))
    return made.bytes(dense(second, 5, 2))


def curved(rng: np.random.Generator) -> bytes:
    """A logistic function before ReLUs."""
    made = Builder([1, 3], dtype=np.float64)
    weights = [rng.normal(size=shape) for shape in ((3, 4), (4, 5), (5, 2))]
    at = made.node("Sigmoid", made.node("MatMul", "x", made.constant(weights[0])))
    at = made.node("Gemm", at, made.constant(weights[1]), made.constant(-weights[1].sum(0) / 2))
    return made.bytes(made.node("MatMul", made.node("Relu", at), made.constant(weights[2])))


def bare(rng: np.random.Generator) -> bytes:
    """ReLUs of the inputs themselves, and of products: no affine map is before them."""
    made = Builder([1, 3], dtype=np.float64)
    weights = [made.constant(rng.normal(size=(3, 3))) for _ in range(3)]
    first = made.node("Relu", "x")
    product = made.node("Mul", made.node("MatMul", first, weights[0]), made.node("MatMul", "x", weights[1]))
    return made.bytes(made.node("MatMul", made.node("Relu", product), weights[2]))


#: networks of three inputs
MAKERS = {
    "two layers": lambda rng: perceptron(rng, (3, 5, 5, 2)),
    "three layers": lambda rng: perceptron(rng, (3, 4, 4, 4, 2), dtype=np.float64),
    "16 orders": lambda rng: perceptron(rng, (3, 4, 4, 2), spread=16.0, dtype=np.float64),
    "sum": summed,
    "curve": curved,
    "bare": bare,
}


def evaluation_of(data: bytes, inputs: int, numbers) -> Evaluation:
    return Evaluation(read_network(data, inputs, numbers, "n"), numbers)


def added(evaluation: Evaluation, cells, *sets) -> Sets:
    """Sets of planes on a cell."""
    found = Sets("certificate")
    taken = Taken(arrays_of(**arrays_of_sets(*sets)))
    with np.errstate(all="ignore"):
        for some in sets:
            assert found.add(taken, evaluation, cells) == len(some)
    return found


def columns_of(network) -> list[int]:
    """Where the columns of the inputs and of every bend begin, and the end."""
    return np.cumsum([0, network.inputs, *(network.nodes[i].size for i in network.bends)]).tolist()


def slopes_of(network, k: int) -> np.ndarray:
    """The operand of bend ``k`` by columns, as far as it is a map of what is right before it."""
    begin, operand = columns_of(network), network.operands[k]
    found = np.zeros((network.nodes[operand].size, begin[k + 1]))
    places = {0: 0, **{node: begin[number + 1] for number, node in enumerate(network.bends)}}
    if operand in places:
        np.fill_diagonal(found[:, places[operand] :], 1.0)
        return found
    node = network.nodes[operand]
    for before, part in zip(node.operands, node.operator.adjoint(np.eye(node.size)), strict=True):
        if before in places:
            found[:, places[before] : places[before] + part.shape[1]] += np.asarray(part, np.float64)
    return found


def some_planes(rng: np.random.Generator, network, cells, *, good: bool) -> list:
    """Planes above most features of ReLUs: near the chord or the operand itself, or anything."""
    found = []
    for k, node in enumerate(network.bends):
        if network.nodes[node].bend != RELU:
            continue
        rows, width = slopes_of(network, k), columns_of(network)[k + 1]
        for j, row in enumerate(rows):
            low, high = cells.low[k][0, j], cells.high[k][0, j]
            if rng.random() < 0.2 or not low < 0 < high or not abs(row).max() < 2.0**20:
                continue
            if good:
                part = float(rng.choice([high / (high - low), 0.0, 1.0, rng.random()]))
                slope = row * part * (1 + (rng.random(width) < 0.3) * 0.5 * rng.normal(size=width))
                price, exponent = np.abs([1 - part, part] * (1 + 0.1 * rng.normal(size=2)) * rng.integers(0, 2)), 30
            else:
                exponent = int(rng.integers(0, 41))
                slope = rng.normal(size=width) * 10.0 ** rng.integers(-6, 4, size=width) * (rng.random(width) < 0.6)
                price = 10.0 ** rng.integers(-8, 3, size=2) * rng.integers(0, 2, size=2)
            whole = np.rint(np.ldexp(slope, exponent)).astype(np.int64)
            entries = {i: int(whole[i]) for i in np.flatnonzero(abs(whole) < 2**53)}
            right, left = (int(min(p * 2.0**exponent, 2**50)) for p in price)
            found.append(plane(k + 1, j, entries, exponent=exponent, right=right, left=left))
    return found


def values_at(data: bytes, x, numbers=None) -> list[np.ndarray]:
    """The values of all nodes at a float input, exactly or of 60 digits."""
    numbers = numbers or Digits()
    network = read_network(data, len(x), numbers, "n")
    values = [numbers.load(np.array([x]))]
    for node in network.nodes[1:]:
        parts = [values[i] for i in node.operands]
        if node.operator is None:
            values.append(bent(node.bend, parts[0]))
            continue
        value = node.operator.forward(*parts)
        values.append(value if node.operator.offset is None else value + node.operator.offset)
    return [np.array([exactly(v) for v in value[0]], object) for value in values]


def numbers_of(name: str):
    if name == "arb":
        pytest.importorskip("flint")
    return arithmetic_of(name)


def box(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    center, reach = rng.normal(size=3) * 0.5, 2.0 ** -int(rng.integers(0, 4))
    return center - reach, center + reach


def points_of(rng: np.random.Generator, lower, upper, count: int) -> list[list[float]]:
    """Some corners, and points inside."""
    share = rng.random((count, len(lower)))
    share[::2] = np.rint(share[::2])
    return np.clip(lower + share * (upper - lower), lower, upper).tolist()


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
        values = values_at(data, x)
        flat = np.concatenate([values[0], *(values[i] for i in network.bends)])
        for relu, feature, exponent, _, _, entries in some:
            planes = sets.planes(1)[relu - 1]
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
        assert sets.planes(1)[0].offset.tolist() == [above(best)]


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
    assert sets.planes(1)[0].offset == pytest.approx([1.0], abs=1e-9)
    for price in ({"right": 1}, {"left": 1}):
        with pytest.raises(ProofError, match="no end"):
            added(evaluation, endless, [plane(1, 0, {0: 1}, **price)])


# Bounds with planes.


def outputs_of(data: bytes, points) -> list[np.ndarray]:
    return [values_at(data, x)[-1] for x in points]


def bounds_of(evaluation: Evaluation, cells, c, sets: Sets, slopes):
    """Upper bounds of objectives of outputs, and the values and errors that they are made of."""
    load = evaluation.numbers.load
    objective = Objective({len(evaluation.network.nodes) - 1: load(c)}, load(np.zeros(len(c))))
    which, cell = np.ones(len(c), np.int64), np.zeros(len(c), np.int64)
    with np.errstate(all="ignore"):
        return (
            sets.refutations(evaluation, cells, cell, objective, slopes, which),
            evaluation.bound(cells, cell, objective, slopes, sets.planes(1)),
        )


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
            first, second = (added(by, cells, some).planes(1) for by in (real, exact))
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
        for planes in ((), (added(evaluation, cells, some).planes(1),))
    )
    assert (more[0] - less[0]) * 2.0**52 == pytest.approx(6 + 2, rel=1e-4)


def test_offsets_behind_other_relus_are_by_multipliers_that_are_0():
    # What a ReLU gives has all of its range then, wherever the inputs are.
    data = chain([[[1.0, 1.0]], [[1.0], [-1.0]], [[1.0, 1.0]]], [[0.0], [-1.0, 1.0], [0.0]])
    evaluation = evaluation_of(data, 2, Rational())
    cells = evaluation.root(-np.ones(2), np.ones(2))
    # h is from 0 to 2, and x_0 from -1 to 1, so that h - 1 - (h / 2 - x_0) is at most 1.
    sets = added(evaluation, cells, [plane(2, 0, {2: 1, 0: -2}, exponent=1)])
    assert sets.planes(1)[1].offset == pytest.approx([1.0], abs=1e-9)
    # By the chord h - 1 - x_0 is at most 1.
    sets = added(evaluation, cells, [plane(2, 0, {0: 1})])
    assert sets.planes(1)[1].offset == pytest.approx([2.0], abs=1e-9)


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
    (end,) = added(evaluation, evaluation.root(-np.ones(2), np.ones(2)), [GOOD]).planes(1)[0].offset.tolist()
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


# What is no set of planes.


def answer(arrays: dict, *, network: bytes, property_: bytes) -> str:
    """What is wrong with a certificate of these arrays."""
    try:
        check_real(certificate(network, property_, 2, 1, **arrays), network, property_)
    except (ProofError, CertificateError) as error:
        return error.problem
    return "accepted"


def pair() -> tuple[bytes, bytes, dict]:
    """Two planes above two features, over two inputs each."""
    made = Builder([1, 2])
    weights = [[1.0, 1.0], [1.0, -1.0]], [[1.0], [1.0]]
    bend = made.node("Relu", made.node("MatMul", "x", made.constant(weights[0])))
    network = made.bytes(made.node("MatMul", bend, made.constant(weights[1])))
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 6.0)]])
    planes = [plane(1, j, {0: 1, 1: 2}, exponent=3, right=2, left=2) for j in range(2)]
    return network, property_, {**arrays_of_sets(planes), "row_planes": [1]}


def test_a_pair_of_planes_is_accepted():
    network, property_, arrays = pair()
    assert answer(arrays, network=network, property_=property_) == "accepted"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"plane_feature": [1, 0]}, "ascending order"),
        ({"plane_feature": [0, 0]}, "ascending order"),
        ({"plane_feature": [0, 2]}, "not there"),
        ({"plane_feature": [-1, 1]}, "not there"),
        ({"plane_feature": [0, 2**62]}, "not there"),
        ({"plane_feature": [0, 2**63 - 1]}, "not there"),
        ({"plane_relu": [0, 1]}, "a ReLU that is not there"),
        ({"plane_relu": [1, 2]}, "a ReLU that is not there"),
        ({"plane_relu": [-1, 1]}, "a ReLU that is not there"),
        ({"plane_relu": [1, 2**62]}, "a ReLU that is not there"),
        # Columns of the inputs are 0 and 1; those of its own values come after.
        ({"plane_step": [1, 2, 1, 1]}, "not before its ReLU"),
        ({"plane_step": [3, 1, 1, 1]}, "not before its ReLU"),
        ({"plane_step": [1, 2**40, 1, 1]}, "not before its ReLU"),
        ({"plane_step": [1, 1, 1, 2]}, "not before its ReLU"),
        ({"plane_step": [1, 0, 1, 1]}, "plane_step"),
        ({"plane_step": [0, 1, 1, 1]}, "plane_step"),
        ({"plane_step": [1, -1, 1, 1]}, "plane_step"),
        ({"plane_step": [1, 2**40 + 1, 1, 1]}, "plane_step"),
        ({"plane_step": [1, 1, 1]}, "plane_value"),
        ({"plane_value": [1, 1, 1]}, "plane_value"),
        ({"plane_exponent": [3, 41]}, "plane_exponent"),
        ({"plane_exponent": [-1, 3]}, "plane_exponent"),
        ({"plane_exponent": [3]}, "plane_exponent"),
        ({"plane_right": [2, 2**50 + 1]}, "plane_right"),
        ({"plane_right": [-1, 2]}, "plane_right"),
        ({"plane_left": [2, 2**50 + 1]}, "plane_left"),
        ({"plane_left": [-1, 2]}, "plane_left"),
        ({"plane_left": [2, 2, 2]}, "plane_left"),
        ({"plane_entries": [2, 3]}, "plane_step"),
        ({"plane_entries": [2, 1]}, "plane_step"),
        ({"plane_entries": [5, -1]}, "plane_entries"),
        ({"plane_entries": [2**62, 2]}, "plane_entries"),
        ({"plane_count": [1]}, "plane_relu"),
        ({"plane_count": [3]}, "plane_count"),
        ({"plane_count": [0]}, "plane_count"),
        ({"plane_count": [1, 1]}, "plane_count"),
        ({"plane_count": []}, "plane_count"),
        ({"stages": [2], "stage": [PLANES, PLANES]}, "plane_count"),
        ({"stages": [2], "stage": [PLANES, PLANES], "plane_count": [2, 0]}, "plane_count"),
        ({"stage": [7]}, "plane_count"),
        ({"stage": [INTERVALS]}, "plane_count"),
        ({"row_planes": [2]}, "row_planes"),
        ({"row_planes": [-1]}, "row_planes"),
        ({"row_planes": [1, 1]}, "row_planes"),
        ({"row_planes": []}, "row_planes"),
    ],
)
def test_what_is_no_set_of_planes_is_refused(change, problem):
    network, property_, arrays = pair()
    found = answer({**arrays, **change}, network=network, property_=property_)
    assert problem in found and "cannot be evaluated" not in found
    # Sizes are found before anything is evaluated.
    assert not problem.startswith(("plane", "row")) or found.startswith("is inconsistent")


def test_columns_of_a_bend_are_before_those_behind_it():
    # The planes of the second ReLU may be over the first one's values, and not over their own.
    rng = np.random.default_rng(0)
    network, property_ = perceptron(rng, (2, 3, 3, 1)), property_text([-1.0] * 2, [1.0] * 2, 1, [[((1.0,), 1e4)]])
    for relu, column, is_good in ((1, 1, True), (1, 2, False), (2, 2, True), (2, 4, True), (2, 5, False)):
        arrays = {**arrays_of_sets([plane(relu, 0, {column: 1})]), "row_planes": [1]}
        found = answer(arrays, network=network, property_=property_)
        assert found == "accepted" if is_good else "not before its ReLU" in found


def test_planes_are_above_relus_alone():
    made = Builder([1, 2])
    at = made.node("Sigmoid", "x")
    network = made.bytes(made.node("MatMul", made.node("Relu", at), made.constant([[1.0], [1.0]])))
    property_ = property_text([-1.0] * 2, [1.0] * 2, 1, [[((1.0,), 4.0)]])
    for relu, is_good in ((1, False), (2, True)):
        found = answer({**arrays_of_sets([plane(relu, 0)]), "row_planes": [1]}, network=network, property_=property_)
        assert found == "accepted" if is_good else "a ReLU that is not there" in found


def test_a_network_without_bends_has_no_planes():
    made = Builder([1, 2])
    network = made.bytes(made.node("MatMul", "x", made.constant([[1.0], [1.0]])))
    property_ = property_text([-1.0] * 2, [1.0] * 2, 1, [[((1.0,), 4.0)]])
    assert "a ReLU that is not there" in answer(arrays_of_sets([GOOD]), network=network, property_=property_)


def test_sets_that_are_made_to_fill_the_memory_are_refused(monkeypatch):
    network, property_, arrays = pair()
    monkeypatch.setattr(module, "_MOST", 4)
    assert answer(arrays, network=network, property_=property_) == "accepted"
    monkeypatch.setattr(module, "_MOST", 3)
    assert "too many" in answer(arrays, network=network, property_=property_)


def test_columns_and_rows_that_are_added_up_a_few_at_a_time_are_those_of_all(monkeypatch):
    rng = np.random.default_rng(5)
    data, (lower, upper) = MAKERS["three layers"](rng), box(rng)
    evaluation = evaluation_of(data, 3, Float64())
    cells, c = evaluation.root(lower, upper), rng.normal(size=(4, 2))
    some = some_planes(rng, evaluation.network, cells, good=True)
    assert len(some) > 3
    found = []
    for at_once in (1 << 16, 8):
        monkeypatch.setattr(bound_module, "_AT_ONCE", at_once)
        monkeypatch.setattr(module, "_AT_ONCE", at_once)
        found.append(bounds_of(evaluation, cells, c, added(evaluation, cells, some), None)[0])
    assert np.allclose(*found, rtol=1e-12)


# Files.


def test_files_have_planes_from_version_4_on():
    network, property_, arrays = pair()
    made = certificate(network, property_, 2, 1, **arrays)
    data = encode(made)
    container = unpack(data, "c", (3, 4))
    assert container.version == 4
    again = decode(data)
    assert all((again.arrays[name] == made.arrays[name]).all() for name in NAMES)
    plain = encode(certificate(network, property_, 2, 1))
    assert unpack(plain, "c", (3, 4)).version == 3
    assert not decode(plain).arrays["row_planes"].any() and len(decode(plain).arrays["row_planes"]) == 1


def test_headers_of_one_version_with_arrays_of_the_other_are_refused():
    network, property_, arrays = pair()
    for made, version in (
        (certificate(network, property_, 2, 1, **arrays), 3),
        (certificate(network, property_, 2, 1), 4),
    ):
        container = unpack(encode(made), "c", (3, 4))
        values = np.concatenate([made.arrays[name] for name in NAMES if f'["{name}",'.encode() in container.header])
        assert decode(pack(7 - version, container.header, values)).claim == "unsat"
        with pytest.raises(CertificateError, match="header"):
            decode(pack(version, container.header, values))


def test_entries_of_planes_that_belong_to_nothing_are_refused():
    # No stage takes the set.
    network, property_, arrays = pair()
    found = answer({**arrays, "stages": [0]}, network=network, property_=property_)
    assert "stage" in found
    found = answer({**arrays, "stages": [1], "stage": [PLANES, PLANES]}, network=network, property_=property_)
    assert found != "accepted"


def test_a_witness_has_no_planes():
    network, property_, arrays = pair()
    named = {"witness": [1, 1], "witness_limbs": [1, 1], "witness_two": [0, 0], "witness_ten": [0, 0]}
    for name in ("plane_count", "plane_relu", "plane_step", "row_planes"):
        false = certificate(network, property_, 2, 1, "sat", **named, **{name: arrays[name]})
        with pytest.raises(CertificateError, match=name):
            check_real(false, network, property_)


def test_entries_of_planes_changed_by_chance_neither_crash_nor_prove_anything_false():
    network, _, arrays = pair()
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 2.0)]])
    assert answer(arrays, network=network, property_=property_) != "accepted"
    rng = np.random.default_rng(3)
    names = [name for name in arrays if len(arrays[name])]
    kinds = {"inconsistent": 0, "proof": 0}
    for _ in range(400):
        changed = {name: list(arrays[name]) for name in arrays}
        for _ in range(int(rng.integers(1, 4))):
            values = changed[str(rng.choice(names))]
            at = int(rng.integers(len(values)))
            near = values[at] + int(rng.integers(-2, 3))
            values[at] = [near, int(rng.integers(-(2**62), 2**62)), 0, 2**50][int(rng.integers(4))]
        found = answer(changed, network=network, property_=property_)
        assert found != "accepted"
        kinds["inconsistent" if "inconsistent" in found else "proof"] += 1
    assert min(kinds.values()) > 40
