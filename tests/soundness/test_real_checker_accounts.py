"""What the checker of float networks accounts for, where rounding is all that counts, against fractions.

Ranges hold what is computed exactly at the points of their boxes; sizes hold every partial sum; error terms hold what was
rounded, with constants beyond everything else, and of cells of all sizes bounded together.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import Cells, Evaluation, Objective, Slopes
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import TINY, Float64, Rational
from netproof.certificate.real.contents import BOTH, CROWN, FORMS, INTERVALS
from soundness.real_evidence import Builder, chain, perceptron, residual

RULES = (INTERVALS, FORMS, CROWN, BOTH)


def exactly(data: bytes, x: np.ndarray) -> list[np.ndarray]:
    """The values of all nodes at a point, as fractions."""
    numbers = Rational()
    network = read_network(data, len(x), numbers, "n")
    values = [numbers.load(x[None])]
    for node in network.nodes[1:]:
        parts = [values[i] for i in node.operands]
        if node.operator is None:
            values.append(np.maximum(parts[0], 0))
            continue
        value = node.operator.forward(*parts)
        values.append(value if node.operator.offset is None else value + node.operator.offset)
    return [value[0] for value in values]


def cancelling(seed: int, dtype=np.float64) -> bytes:
    """Sums of numbers of both signs that come down to their last digits, twice."""
    rng = np.random.default_rng(seed)
    half = rng.normal(size=16) * 10.0 ** rng.integers(-3, 4, size=16)
    row = np.concatenate([half, -half])[rng.permutation(32)]
    first = np.eye(32) + 1e-9 * rng.normal(size=(32, 32))
    offset = rng.uniform(900, 1100, size=32) if seed % 2 else np.full(32, 1e3)
    second = np.stack([row, row * (1 + 1e-15 * rng.normal(size=32)), -row])
    third = np.array([[1.0, -1.0, 1.0], [1.0, 1.0, 1.0]])
    return chain(
        [first.tolist(), second.tolist(), third.tolist(), [[1.0, -1.0]]],
        [offset.tolist(), [0.0, float(-(row @ offset)), 0.0], [0.0, 0.0], [0.0]],
        dtype,
    )


def mixed(seed: int) -> tuple[bytes, int]:
    """A network in which rounding counts, and its inputs."""
    rng = np.random.default_rng(seed)
    kind = seed % 4
    if kind == 0:
        return cancelling(seed), 32
    if kind == 1:
        return perceptron(rng, (3, 6, 6, 5, 1), spread=16.0, dtype=np.float64), 3
    if kind == 2:
        return residual(rng, normalized=False), 32
    made = Builder([1, 4], dtype=np.float64)
    scale, shift = rng.normal(size=4) * 1e8, rng.normal(size=4) * 1e8
    at = made.node("Sub", made.node("Mul", "x", made.constant(scale)), made.constant(shift))
    at = made.node("Relu", made.node("Sub", at, made.node("Mul", "x", made.constant(scale * (1 - 1e-13)))))
    matrix = made.constant(rng.normal(size=(4, 4)) * 10.0 ** rng.integers(-8, 8, size=(4, 4)))
    return made.bytes(made.node("Relu", made.node("MatMul", at, matrix))), 4


@pytest.mark.parametrize("reach", [0.0, 1e-9])
@pytest.mark.parametrize("rule", RULES)
def test_what_is_computed_exactly_lies_in_its_range(rule, reach):
    below = 0
    for seed in range(24):
        data, inputs = mixed(seed)
        rng = np.random.default_rng(1000 + seed)
        center = rng.normal(size=inputs)
        lower, upper = center - reach, center + reach
        evaluation = Evaluation(read_network(data, inputs, Float64(), "n"), Float64())
        cells = evaluation.derive(evaluation.root(lower, upper), rule)
        for x in (lower, upper, center)[: 3 if reach else 1]:
            values = exactly(data, x)
            for k, operand in enumerate(evaluation.operands):
                for low, value, high in zip(cells.low[k][0], values[operand], cells.high[k][0], strict=True):
                    assert Fraction(low) <= value <= Fraction(high)
                    below += Fraction(low) < value < Fraction(high)
    assert below > 100


def test_sizes_hold_every_partial_sum():
    for seed in range(12):
        data, inputs = mixed(seed)
        rng = np.random.default_rng(2000 + seed)
        x = rng.normal(size=inputs) * 10.0 ** rng.integers(-3, 3)
        evaluation = Evaluation(read_network(data, inputs, Float64(), "n"), Float64())
        exact = read_network(data, inputs, Rational(), "n")
        cells = evaluation.root(x, x)
        values = exactly(data, x)
        for i, node in enumerate(exact.nodes):
            size = [Fraction(value) for value in cells.size[i][0].tolist()]
            summed = abs(values[i])
            if node.operator is not None:
                summed = node.operator.absolute().forward(*(abs(values[j])[None] for j in node.operands))[0]
                own = node.operator.offset_size
                summed = summed if own is None else summed + own
            assert all(a >= b for a, b in zip(size, summed.tolist(), strict=True))


def test_a_normalization_is_sized_by_what_cancels_in_it():
    # bias - mean scale is 0, of which both are 1e6: a value of that size was rounded on the way.
    made = Builder([1, 1], dtype=np.float64)
    numbers = [made.constant([value]) for value in (1.0, 1e6, 1e6, 1.0)]
    network = made.bytes(made.node("BatchNormalization", "x", *numbers, epsilon=0.0))
    evaluation = Evaluation(read_network(network, 1, Float64(), "n"), Float64())
    cells = evaluation.root(np.zeros(1), np.zeros(1))
    assert cells.size[1][0, 0] >= 2e6
    value, error = evaluation.bound(cells, np.zeros(1, np.int64), Objective({1: np.ones((1, 1))}, np.zeros(1)))
    assert error[0] >= 2e6 * 2.0**-53 and abs(value[0]) <= error[0]


class Seen(Evaluation):
    """Remembers the multipliers of the last bound."""

    def bound(self, cells, cell, objective, slopes=None):
        self.multipliers = [None] * len(self.network.bends)
        return super().bound(cells, cell, objective, slopes)

    def _relu(self, k, *args):
        s, share = super()._relu(k, *args)
        self.multipliers[k] = s
        return s, share


def exact_bound(data, inputs, cells, cell, objective, multipliers):
    """The bound at given multipliers in fractions, row by row."""
    numbers = Rational()
    evaluation = Evaluation(read_network(data, inputs, numbers, "n"), numbers)
    rows = len(cell)
    slopes = Slopes((None,) * len(multipliers), tuple(multipliers), np.ones(rows, np.bool_))
    coefficients = {node: numbers.load(c) for node, c in objective.coefficients.items()}
    return evaluation.bound(cells, cell, Objective(coefficients, numbers.load(objective.constant)), slopes)[0]


@pytest.mark.parametrize("together", [False, True])
def test_error_terms_hold_what_was_rounded(together):
    # Constants far beyond all else or far below; cells of five orders of magnitude in one call.
    moved = 0
    for seed in range(24):
        rng = np.random.default_rng(3000 + seed)
        data, inputs = mixed(seed)
        evaluation = Seen(read_network(data, inputs, Float64(), "n"), Float64())
        center = rng.normal(size=inputs)
        at = np.array([center * 10.0**e for e in (range(5) if together else [0])])
        endless = tuple(np.full((len(at), size), np.inf) for size in evaluation.network.sizes)
        whole = Cells(at - 1e-3, at + 1e-3, tuple(-x for x in endless), endless, ())
        cells = evaluation.derive(whole, INTERVALS)
        cell = rng.permutation(len(cells)).repeat(2)
        last = len(evaluation.network.nodes) - 1
        c = rng.normal(size=(len(cell), evaluation.network.outputs))
        objective = Objective({last: c}, rng.normal(size=len(cell)) * 10.0 ** rng.integers(-3, 25, size=len(cell)))
        value, error = evaluation.bound(cells, cell, objective)
        exact = exact_bound(data, inputs, cells, cell, objective, evaluation.multipliers)
        for v, e, x in zip(value.tolist(), error.tolist(), exact.tolist(), strict=True):
            assert abs(Fraction(v) - x) <= Fraction(e)
            moved += abs(Fraction(v) - x) > Fraction(TINY)
    assert moved > 30


def test_errors_grow_with_what_they_are_made_of():
    # Of y = x with a coefficient, sizes of 1 and 2^40, and a constant.
    made = Builder([1, 1], dtype=np.float64)
    evaluation = Evaluation(read_network(made.bytes(made.node("Identity", "x")), 1, Float64(), "n"), Float64())

    def error(size: float, coefficient: float, constant: float) -> float:
        cells = evaluation.root(np.array([-size]), np.array([size]))
        objective = Objective({1: np.array([[coefficient]])}, np.array([constant]))
        return float(evaluation.bound(cells, np.zeros(1, np.int64), objective)[1][0])

    unit = evaluation.gamma
    assert 10 * unit <= error(1.0, 1.0, 0.0) <= 10.001 * unit
    assert 10 * unit * 2.0**40 <= error(2.0**40, -1.0, 0.0) <= 10.001 * unit * 2.0**40
    assert 10 * unit * 2.0**40 <= error(1.0, 2.0**40, 0.0) <= 10.001 * unit * 2.0**40
    assert 2 * unit * 2.0**40 <= error(1.0, 1.0, -(2.0**40)) <= 2.001 * unit * 2.0**40
    assert error(1.0, 0.0, 0.0) == TINY
    # What is as large as may be, and what is not.
    assert np.isfinite(error(1.0, 2.0**399, 0.0)) and error(1.0, 2.0**401, 0.0) == np.inf
    assert error(2.0**200, 2.0**201, 0.0) == np.inf


def test_parts_that_are_large_by_themselves_have_no_bound():
    # 2^300 times 2^300 is beyond what underflow is accounted for, wherever it stands.
    for weights in ([[[2.0**300]], [[2.0**300]], [[2.0**-600]]], [[[2.0**410]], [[2.0**-410]]]):
        data = chain(weights, [[0.0]] * len(weights))
        evaluation = Evaluation(read_network(data, 1, Float64(), "n"), Float64())
        with np.errstate(all="ignore"):
            cells = evaluation.root(np.array([1.0]), np.array([2.0]))
            last = len(evaluation.network.nodes) - 1
            found = evaluation.refutations(
                cells, np.zeros(1, np.int64), Objective({last: np.ones((1, 1))}, np.zeros(1))
            )
        assert found[0] == np.inf


@pytest.mark.parametrize("rule", RULES)
def test_a_first_sum_that_cancels_lies_in_its_range(rule):
    # Nothing in front of it has a radius or an offset: what rounding leaves of numbers of the input's size is all there is.
    for seed in range(12):
        rng = np.random.default_rng(seed)
        half = rng.normal(size=16) * 10.0 ** rng.integers(0, 6, size=16)
        rows = [np.concatenate([half, -half])[rng.permutation(32)] for _ in range(6)]
        data = chain([[row.tolist() for row in rows], [[1.0] * 6]], [[0.0] * 6, [0.0]])
        evaluation = Evaluation(read_network(data, 32, Float64(), "n"), Float64())
        x = np.full(32, 0.1)
        cells = evaluation.derive(evaluation.root(x, x), rule)
        for low, value, high in zip(cells.low[0][0], exactly(data, x)[1], cells.high[0][0], strict=True):
            assert Fraction(low) <= value <= Fraction(high)
