"""The evaluation of the checker of float networks: against onnxruntime, sampling, and rational arithmetic.

What is compared with fractions is made so that rounding counts: sums that cancel, weights of 16 orders of magnitude, numbers
next to the smallest.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import Cells, Evaluation, Objective, Slopes
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Ball, Float64, Rational, above, gamma
from netproof.certificate.checker.real.operators import Convolution, Dense, Scale, Select, Sum, Windows
from netproof.certificate.real.contents import BOTH, CROWN, FORMS, INTERVALS
from soundness.real_evidence import chain, perceptron, residual, run


def network_of(data: bytes, inputs: int, numbers=None):
    return read_network(data, inputs, numbers or Float64(), "network")


class Seen(Evaluation):
    """Remembers the multipliers of the last bound."""

    def bound(self, cells, cell, objective, slopes=None):
        self.multipliers = [None] * len(self.network.bends)
        return super().bound(cells, cell, objective, slopes)

    def _relu(self, k, *args):
        s, share = super()._relu(k, *args)
        self.multipliers[k] = s
        return s, share


NETWORKS = {
    "perceptron": lambda rng: (perceptron(rng), 3),
    "deep": lambda rng: (perceptron(rng, (2, 5, 5, 5, 5, 3)), 2),
    "spread": lambda rng: (perceptron(rng, (3, 6, 6, 2), spread=16.0), 3),
    "double": lambda rng: (perceptron(rng, (3, 5, 5, 2), spread=16.0, dtype=np.float64), 3),
    "residual": lambda rng: (residual(rng), 32),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_are_read_as_onnxruntime_computes_them(kind, seed):
    rng = np.random.default_rng(seed)
    data, inputs = NETWORKS[kind](rng)
    x = rng.normal(size=(5, inputs)).astype(np.float32).astype(np.float64)
    evaluation = Evaluation(network_of(data, inputs), Float64())
    expected = run(data, x)
    for row, y in zip(x, expected, strict=True):
        cells = evaluation.root(row, row)
        outputs = evaluation.network.outputs
        c = np.concatenate([np.eye(outputs), -np.eye(outputs)])
        last = len(evaluation.network.nodes) - 1
        ends = evaluation.refutations(
            cells, np.zeros(2 * outputs, np.int64), Objective({last: c}, np.zeros(2 * outputs))
        )
        size = 1e-4 * (1 + float(np.abs(cells.size[last]).max()))
        assert np.allclose(ends[:outputs], y, atol=size, rtol=0) and np.allclose(-ends[outputs:], y, atol=size, rtol=0)


@pytest.mark.parametrize("numbers", [Float64(), Rational()], ids=["float64", "rational"])
def test_adjoints_and_absolute_values_belong_to_the_maps(numbers):
    rng = np.random.default_rng(3)
    load = numbers.load
    windows = Windows((2, 1), (1, 0, 2, 1), (1, 2), 2)
    maps = [
        Dense(load(rng.normal(size=(4, 3))), load(rng.normal(size=3)), 1),
        Dense(load(rng.normal(size=(4, 3))), None, 2),
        Convolution(load(rng.normal(size=(4, 2, 3, 2))), load(rng.normal(size=4)), (4, 5, 6), windows),
        Scale(5, load(rng.normal(size=5)), load(rng.normal(size=5))),
        Scale(5, None, load(rng.normal(size=5))),
        Sum(4, 1),
        Sum(4, -1),
        Select(np.array([3, 0, 3, 1]), 5),
    ]
    sizes = [[4], [8], [120], [5], [5], [4, 4], [4, 4], [5]]
    for operator, before in zip(maps, sizes, strict=True):
        xs = [load(rng.normal(size=(2, n))) for n in before]
        v = load(rng.normal(size=(2, operator.size)))
        image, parts = operator.forward(*xs), operator.adjoint(v)
        assert image.shape == v.shape
        left = (image * v).sum(1)
        right = sum((x * part).sum(1) for x, part in zip(xs, parts, strict=True))
        assert all(
            abs(a - b) <= 1e-9 * numbers.near(abs(image) * abs(v)).sum() for a, b in zip(left, right, strict=True)
        )
        size = operator.absolute().forward(*(abs(x) for x in xs))
        assert (numbers.near(size) >= numbers.near(abs(image)) * (1 - 1e-9)).all()
        again = operator.absolute().absolute().forward(*(abs(x) for x in xs))
        assert (numbers.near(again) == numbers.near(size)).all()


@pytest.mark.parametrize("numbers", [Float64(), Rational(), Ball()], ids=lambda n: n.name)
@pytest.mark.parametrize("rule", [INTERVALS, FORMS, CROWN, BOTH])
def test_no_value_leaves_its_range(rule, numbers):
    for seed in range(4 if numbers.exact else 20):
        rng = np.random.default_rng(seed)
        data, inputs = (perceptron(rng, (2, 4, 4, 4, 2), spread=3.0), 2)
        if not numbers.exact and seed % 4 == 3:
            data, inputs = residual(rng), 32
        network = network_of(data, inputs, numbers)
        evaluation = Evaluation(network, numbers)
        center = rng.normal(size=inputs)
        root = evaluation.root(center - 0.3, center + 0.3)
        cells = evaluation.derive(root, rule)
        assert not cells.empty.any()
        for new, old in zip((*cells.low, *cells.high), (*root.low, *root.high), strict=True):
            assert new.shape == old.shape
        tighter = sum((high - low).sum() for low, high in zip(cells.low, cells.high, strict=True))
        looser = sum((high - low).sum() for low, high in zip(root.low, root.high, strict=True))
        assert tighter <= looser * (1 + 1e-12)
        reference = Evaluation(network_of(data, inputs), Float64())
        points = center + rng.uniform(-0.3, 0.3, size=(100, inputs))
        points[:2] = center - 0.3, center + 0.3
        for x in points:
            at = reference.root(x, x)
            for low, high, a, b in zip(cells.low, cells.high, at.low, at.high, strict=True):
                assert (b[0] >= low[0]).all() and (a[0] <= high[0]).all()


def exact_value(data, inputs, cells, objective, multipliers, numbers):
    """The bound at given multipliers in another arithmetic."""
    evaluation = Evaluation(network_of(data, inputs, numbers), numbers)
    rows = len(objective.constant)
    added = tuple(None if s is None else s for s in multipliers)
    slopes = Slopes((None,) * len(added), added, np.ones(rows, np.bool_))
    coefficients = {node: numbers.load(c) for node, c in objective.coefficients.items()}
    cell = np.zeros(rows, np.int64)
    return evaluation.bound(cells, cell, Objective(coefficients, numbers.load(objective.constant)), slopes)[0]


def leaves(count: int):
    """Bounds of all kinds: networks, boxes, objectives, slopes, what is added, splits."""
    for seed in range(count):
        rng = np.random.default_rng(1000 + seed)
        kind = seed % 4
        spread, dtype = (0.0, 8.0, 16.0, 16.0)[kind], (np.float32, np.float32, np.float32, np.float64)[kind]
        data = perceptron(rng, (2, 4, 4, 2), spread=spread, dtype=dtype)
        evaluation = Seen(network_of(data, 2), Float64())
        center, radius = rng.normal(size=2) * 10.0 ** rng.integers(-3, 3), 10.0 ** rng.integers(-4, 1)
        cells = evaluation.derive(
            evaluation.root(center - radius, center + radius), (INTERVALS, FORMS, CROWN, BOTH)[seed % 4]
        )
        rows = 5
        c = rng.normal(size=(rows, 2)) * 10.0 ** rng.integers(-6, 6, size=(rows, 1))
        objective = Objective({len(evaluation.network.nodes) - 1: c}, rng.normal(size=rows))
        lower = tuple(rng.random((rows, size)) for size in evaluation.network.sizes)
        added = tuple(
            rng.normal(size=(rows, size)) * (rng.random((rows, size)) < 0.3) for size in evaluation.network.sizes
        )
        yield seed, data, evaluation, cells, objective, Slopes(lower, added, rng.random(rows) < 0.2)


def test_rational_bounds_lie_within_the_claimed_intervals_of_a_thousand_leaves():
    seen, moved = 0, 0
    for _, data, evaluation, cells, objective, slopes in leaves(200):
        value, error = evaluation.bound(cells, np.zeros(5, np.int64), objective, slopes)
        exact = exact_value(data, 2, cells, objective, evaluation.multipliers, Rational())
        for v, e, x in zip(value.tolist(), error.tolist(), exact.tolist(), strict=True):
            assert np.isfinite(v) and np.isfinite(e)
            assert abs(Fraction(v) - x) <= Fraction(e)
            seen += 1
            moved += Fraction(v) != x
    assert seen == 1000 and moved > 900


def test_balls_hold_the_rational_bounds():
    for _, data, evaluation, cells, objective, slopes in leaves(12):
        evaluation.bound(cells, np.zeros(5, np.int64), objective, slopes)
        exact = exact_value(data, 2, cells, objective, evaluation.multipliers, Rational())
        balls = exact_value(data, 2, cells, objective, evaluation.multipliers, Ball())
        top = Ball().upper(balls, np.zeros(5))
        assert all(Fraction(t) >= x for t, x in zip(top.tolist(), exact.tolist(), strict=True))
        near = Rational().upper(exact, np.zeros(5))
        assert np.allclose(top, near, rtol=1e-14, atol=0)


@pytest.mark.parametrize("tiny", [1e-310, 5e-324, 1e-160])
def test_what_underflows_is_accounted_for(tiny):
    # Products of such numbers vanish, and come back by what they are multiplied with.
    data = chain([[[tiny, -tiny], [tiny, tiny]], [[1e150, 1e150]]], [[0.0, 0.0], [0.0]])
    evaluation = Seen(network_of(data, 2), Float64())
    cells = evaluation.root(np.array([tiny, 0.0]), np.array([1.0, tiny]))
    last = len(evaluation.network.nodes) - 1
    objective = Objective({last: np.array([[1.0], [-1.0], [tiny]])}, np.zeros(3))
    value, error = evaluation.bound(cells, np.zeros(3, np.int64), objective)
    exact = exact_value(data, 2, cells, objective, evaluation.multipliers, Rational())
    for v, e, x in zip(value.tolist(), error.tolist(), exact.tolist(), strict=True):
        assert not np.isfinite(e) or abs(Fraction(v) - x) <= Fraction(e)
    assert np.isfinite(error[:2]).all()


@pytest.mark.parametrize("large", [1e120, 1e200, 1e300])
def test_there_is_no_bound_of_values_that_are_too_large(large):
    data = chain([[[large, -1.0], [large, 1.0]], [[1.0, -1.0]]], [[0.0, 0.0], [0.0]])
    evaluation = Evaluation(network_of(data, 2), Float64())
    with np.errstate(all="ignore"):
        cells = evaluation.root(np.array([1.0, 0.0]), np.array([large, 1.0]))
        value = evaluation.refutations(
            cells, np.zeros(1, np.int64), Objective({len(evaluation.network.nodes) - 1: np.array([[1.0]])}, np.zeros(1))
        )
    assert value[0] == np.inf


def test_sums_that_cancel_down_to_their_rounding():
    # y = sum of 64 numbers of both signs whose sum is 1e-17 of their size: what float64 makes of it is rounding alone.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        half = rng.normal(size=32).astype(np.float32).astype(np.float64)
        weight = np.concatenate([half, -half])[rng.permutation(64)]
        data = chain([np.eye(64) + 1e-9 * rng.normal(size=(64, 64)), [weight]], [np.full(64, 1e3), [0.0]])
        evaluation = Seen(network_of(data, 64), Float64())
        center = np.full(64, 0.1)
        cells = evaluation.root(center, center)
        objective = Objective({len(evaluation.network.nodes) - 1: np.array([[1.0], [-1.0]])}, np.zeros(2))
        value, error = evaluation.bound(cells, np.zeros(2, np.int64), objective)
        exact = exact_value(data, 64, cells, objective, evaluation.multipliers, Rational())
        for v, e, x in zip(value.tolist(), error.tolist(), exact.tolist(), strict=True):
            assert abs(Fraction(v) - x) <= Fraction(e) <= 1e-6


def test_error_terms_are_no_larger_than_they_have_to_be_by_orders_of_magnitude():
    for _, _, evaluation, cells, objective, slopes in leaves(4):
        value, error = evaluation.bound(cells, np.zeros(5, np.int64), objective, slopes)
        size = (
            abs(value)
            + abs(objective.constant)
            + 1e3 * np.abs(cells.size[-1]).max() * abs(objective.coefficients[len(evaluation.network.nodes) - 1]).max(1)
        )
        assert (error <= 1e-8 * size).all()


def test_cells_are_each_bounded_as_if_they_were_alone():
    rng = np.random.default_rng(5)
    evaluation = Evaluation(network_of(perceptron(rng), 3), Float64())
    centers = rng.normal(size=(6, 3))
    singles = [evaluation.derive(evaluation.root(c - 0.1, c + 0.1), BOTH) for c in centers]
    endless = tuple(np.full((6, size), np.inf) for size in evaluation.network.sizes)
    whole = Cells(centers - 0.1, centers + 0.1, tuple(-x for x in endless), endless, ())
    together = evaluation.derive(evaluation.derive(whole, INTERVALS), BOTH)
    last = len(evaluation.network.nodes) - 1
    # But for the account of rounding, which is that of the largest of them.
    for i, single in enumerate(singles):
        for a, b in zip((*single.low, *single.high), (*together.low, *together.high), strict=True):
            assert np.allclose(a[0], b[i], rtol=1e-9, atol=1e-9)
        objective = Objective({last: np.array([[1.0, -1.0]])}, np.zeros(1))
        alone = evaluation.refutations(single, np.zeros(1, np.int64), objective)
        assert np.allclose(alone, evaluation.refutations(together, np.array([i]), objective), rtol=1e-9)
    taken = together.take(np.array([4, 2]))
    assert taken.size is together.size and all(
        (a == b[[4, 2]]).all() for a, b in zip(taken.low, together.low, strict=True)
    )


def test_numbers_above():
    for value in (Fraction(1, 3), Fraction(-1, 3), Fraction(1, 10**400), Fraction(10**400), Fraction(-(10**400))):
        top = above(value)
        assert top == np.inf or Fraction(top) >= value
    assert above(Fraction(1, 2)) == 0.5
    assert gamma(2.0**60) == np.inf and 1e-15 < gamma(10.0) < 1.2e-15
    values = Float64().upper(np.array([1.0, np.nan, np.inf, 1.0]), np.array([0.0, 0.0, 0.0, np.nan]))
    assert values[0] > 1.0 and (values[1:] == np.inf).all()
