"""The rules of ranges and the bound of the checker of float networks, against docs/certificates.md put into fractions.

What follows here was written from that page alone: chains of matrices with ReLUs in between, every number a fraction. The
checker has to find the same ranges and the same bounds but for its error terms, on cells cut anywhere.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

from netproof.certificate.checker.real import bound as bound_module
from netproof.certificate.checker.real.bound import Cells, Evaluation, Objective, Slopes
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Ball, Float64, Rational, gamma
from netproof.certificate.real.contents import BOTH, CROWN, FORMS, INTERVALS
from soundness.real_evidence import Builder, chain

Pair = tuple[Fraction, Fraction]
RULES = (INTERVALS, FORMS, CROWN, BOTH)
#: by how much ends may differ that float64 rounds outward, of numbers of the size of 10
CLOSE = 1e-9


@dataclass
class Reference:
    """Layers ``(weight, bias)`` with a ReLU between any two; ranges are of what arrives at these."""

    layers: list[tuple[list[list[Fraction]], list[Fraction]]]

    def affine(self, k: int, ends: list[Pair]) -> list[Pair]:
        found = []
        for row, b in zip(*self.layers[k], strict=True):
            low = b + sum(w * (e[0] if w >= 0 else e[1]) for w, e in zip(row, ends, strict=True))
            high = b + sum(w * (e[1] if w >= 0 else e[0]) for w, e in zip(row, ends, strict=True))
            found.append((low, high))
        return found

    def intervals(self, box: list[Pair], ranges: list[list[Pair]], crown: bool) -> list[list[Pair]]:
        found: list[list[Pair]] = []
        ends = box
        for k in range(len(self.layers) - 1):
            now = [cut(a, b) for a, b in zip(self.affine(k, ends), ranges[k], strict=True)]
            if crown and k:
                now = self.refined(box, found, now, k)
            found.append(now)
            ends = [(max(low, Fraction(0)), max(high, Fraction(0))) for low, high in now]
        return found

    def refined(self, box: list[Pair], before: list[list[Pair]], now: list[Pair], k: int) -> list[Pair]:
        now = list(now)
        for i in range(len(now)):
            upper_first = sum(now[i]) <= 0
            for upper in (upper_first, not upper_first):
                low, high = now[i]
                if not low < 0 < high:
                    continue
                c = [Fraction(int(j == i)) * (1 if upper else -1) for j in range(len(now))]
                value = self.bound(box, before, k, c, Fraction(0))
                now[i] = (low, min(high, value)) if upper else (max(low, -value), high)
        return now

    def forms(self, box: list[Pair], ranges: list[list[Pair]]) -> list[list[Pair]]:
        n = len(box)
        center = [(low + high) / 2 for low, high in box]
        slopes = [[(high - low) / 2 * int(i == j) for j in range(n)] for i, (low, high) in enumerate(box)]
        radius = [Fraction(0)] * n
        found = []
        for k in range(len(self.layers) - 1):
            weight, bias = self.layers[k]
            center = [b + dot(row, center) for row, b in zip(weight, bias, strict=True)]
            slopes = [[dot(row, [s[j] for s in slopes]) for j in range(n)] for row in weight]
            radius = [dot([abs(w) for w in row], radius) for row in weight]
            now = []
            for i, (c, s, r) in enumerate(zip(center, slopes, radius, strict=True)):
                width = sum(map(abs, s), Fraction(0)) + r
                low, high = cut((c - width, c + width), ranges[k][i])
                now.append((low, high))
                if low >= 0:
                    continue
                t = high / (high - low) if high > 0 else Fraction(0)
                rise = max(-t * low, (1 - t) * high) if high > 0 else Fraction(0)
                center[i], slopes[i], radius[i] = t * c + rise / 2, [t * one for one in s], t * r + rise / 2
            found.append(now)
        return found

    def derive(self, box: list[Pair], ranges: list[list[Pair]], rule: int) -> list[list[Pair]]:
        if rule in (FORMS, BOTH):
            ranges = self.forms(box, ranges)
        return self.intervals(box, ranges, rule in (CROWN, BOTH))

    def bound(self, box, ranges, k: int, v, constant, lower=None, added=None, flat=False) -> Fraction:
        """Of ``v . a + constant``, ``a`` what layer ``k`` gives; slopes and what is added by ReLU and feature, or None."""
        value = constant
        for at in range(k, -1, -1):
            weight, bias = self.layers[at]
            value += dot(v, bias)
            v = [sum((v[i] * row[j] for i, row in enumerate(weight)), Fraction(0)) for j in range(len(weight[0]))]
            if not at:
                break
            handed = []
            for i, (low, high) in enumerate(ranges[at - 1]):
                if low >= 0:
                    p = Fraction(1)
                elif high <= 0:
                    p = Fraction(0)
                elif v[i] >= 0:
                    p = high / (high - low)
                else:
                    p = Fraction(int(low + high > 0))
                    given = None if lower is None else lower[at - 1][i]
                    p = p if given is None else given
                s = (Fraction(0) if flat else p * v[i]) + (Fraction(0) if added is None else added[at - 1][i])
                corners = [low, high] + [Fraction(0)] * (low < 0 < high)
                value += max(v[i] * max(a, Fraction(0)) - s * a for a in corners)
                handed.append(s)
            v = handed
        return value + sum(max(c * low, c * high) for c, (low, high) in zip(v, box, strict=True))


def cut(first: Pair, second: Pair) -> Pair:
    return max(first[0], second[0]), min(first[1], second[1])


def dot(a, b) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def fractions(values) -> list:
    return [fractions(v) if isinstance(v, list) else Fraction(v) for v in values]


def made(seed: int, sizes=(2, 4, 4, 3, 2)):
    """A network in both forms."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(b, a)) for a, b in itertools.pairwise(sizes)]
    biases = [rng.normal(size=b) * 0.5 for b in sizes[1:]]
    layers = [(fractions(w.tolist()), fractions(b.tolist())) for w, b in zip(weights, biases, strict=True)]
    return rng, chain([w.tolist() for w in weights], [b.tolist() for b in biases]), Reference(layers)


def cut_cells(rng: np.random.Generator, evaluation: Evaluation, cells: Cells) -> Cells:
    """The cells with some of their ranges cut at random, some of them at 0."""
    low, high = [x.copy() for x in cells.low], [x.copy() for x in cells.high]
    for one, other in zip(low, high, strict=True):
        for at in np.ndindex(one.shape):
            middle = 0.0 if one[at] < 0 < other[at] and rng.random() < 0.5 else rng.uniform(one[at], other[at])
            kind = rng.integers(5)
            if kind == 0:
                one[at] = middle
            elif kind == 1:
                other[at] = middle
    return Cells(cells.lower, cells.upper, tuple(low), tuple(high), cells.size)


def ranges_of(cells: Cells, row: int = 0) -> list[list[Pair]]:
    return [
        [(Fraction(a), Fraction(b)) for a, b in zip(low[row].tolist(), high[row].tolist(), strict=True)]
        for low, high in zip(cells.low, cells.high, strict=True)
    ]


def box_of(cells: Cells, row: int = 0) -> list[Pair]:
    return [
        (Fraction(a), Fraction(b)) for a, b in zip(cells.lower[row].tolist(), cells.upper[row].tolist(), strict=True)
    ]


def cells_of(seed: int, numbers):
    rng, data, reference = made(seed)
    evaluation = Evaluation(read_network(data, 2, numbers, "n"), numbers)
    center, reach = rng.normal(size=2), 10.0 ** rng.uniform(-1, 0.3)
    return rng, reference, evaluation, evaluation.root(center - reach, center + reach)


def assert_close(cells: Cells, expected: list[list[Pair]]) -> int:
    """How many ranges hold 0."""
    seen = 0
    for found, wanted in zip(ranges_of(cells), expected, strict=True):
        for (low, high), (a, b) in zip(found, wanted, strict=True):
            assert abs(low - a) <= CLOSE and abs(high - b) <= CLOSE
            seen += low < 0 < high
    return seen


@pytest.mark.parametrize("numbers", [Float64(), Rational(), Ball()], ids=lambda one: one.name)
@pytest.mark.parametrize("rule", RULES)
def test_rules_leave_the_ranges_that_they_are_to_leave(rule, numbers):
    seen = 0
    for seed in range(4 if numbers.exact else 25):
        rng, reference, evaluation, root = cells_of(seed, numbers)
        endless = [[(Fraction(-(10**9)), Fraction(10**9))] * len(layer[1]) for layer in reference.layers[:-1]]
        assert_close(root, reference.derive(box_of(root), endless, INTERVALS))
        for _ in range(2):
            cells = cut_cells(rng, evaluation, root)
            expected = reference.derive(box_of(cells), ranges_of(cells), rule)
            if any(low > high for layer in expected for low, high in layer):
                continue
            seen += assert_close(evaluation.derive(cells, rule), expected)
    assert seen > 10


@pytest.mark.parametrize("numbers", [Float64(), Rational(), Ball()], ids=lambda one: one.name)
def test_bounds_are_those_of_their_rows(numbers):
    closed = 0
    for seed in range(3 if numbers.exact else 25):
        rng, reference, evaluation, root = cells_of(100 + seed, numbers)
        cells = evaluation.derive(cut_cells(rng, evaluation, root), INTERVALS)
        if cells.empty.any():
            continue
        rows, sizes = 6, evaluation.network.sizes
        lower = [rng.random((rows, n)) for n in sizes]
        for one in lower:
            one[rng.random(one.shape) < 0.4] = np.nan
        added = [rng.normal(size=(rows, n)) * (rng.random((rows, n)) < 0.3) for n in sizes]
        flat = rng.random(rows) < 0.3
        c = rng.normal(size=(rows, 2))
        constant = rng.normal(size=rows)
        last = len(evaluation.network.nodes) - 1
        objective = Objective({last: numbers.load(c)}, numbers.load(constant))
        ways = [
            (None, None, np.zeros(rows, np.bool_)),
            (lower, None, np.zeros(rows, np.bool_)),
            (lower, added, np.zeros(rows, np.bool_)),
            (None, added, flat),
            (lower, added, flat),
        ]
        for slope, more, is_flat in ways:
            none = (None,) * len(sizes)
            slopes = Slopes(none if slope is None else tuple(slope), none if more is None else tuple(more), is_flat)
            found = evaluation.refutations(cells, np.zeros(rows, np.int64), objective, slopes)
            for row in range(rows):
                wanted = reference.bound(
                    box_of(cells),
                    ranges_of(cells),
                    len(reference.layers) - 1,
                    fractions(c[row].tolist()),
                    Fraction(constant[row]),
                    None
                    if slope is None
                    else [[None if np.isnan(x) else Fraction(x) for x in one[row]] for one in slope],
                    None if more is None else [fractions(one[row].tolist()) for one in more],
                    bool(is_flat[row]),
                )
                assert abs(Fraction(found[row]) - wanted) <= CLOSE
                if numbers.exact:
                    assert Fraction(found[row]) >= wanted
            closed += sum(
                int((high <= 0).sum() + (low >= 0).sum()) for low, high in zip(cells.low, cells.high, strict=True)
            )
    assert closed > 0


def test_objectives_may_be_about_any_node():
    # What is said of the input, of what a ReLU takes, and of what it gives, each by itself and all together.
    for seed in range(10):
        _, reference, evaluation, root = cells_of(200 + seed, Float64())
        rng = np.random.default_rng(seed)
        nodes = evaluation.network.nodes
        given = {i: rng.normal(size=(1, node.size)) for i, node in enumerate(nodes)}
        cells = evaluation.derive(root, CROWN)
        together = evaluation.refutations(cells, np.zeros(1, np.int64), Objective(given, np.ones(1)))[0]
        each = [
            evaluation.refutations(cells, np.zeros(1, np.int64), Objective({i: c}, np.zeros(1)))[0]
            for i, c in given.items()
        ]
        assert together <= 1 + sum(each) + 1e-9
        # At a point all of them are equal, and are the values there.
        x = (root.lower[0] + root.upper[0]) / 2
        point = evaluation.root(x, x)
        values = [fractions(x.tolist())]
        for weight, bias in reference.layers:
            values.append([b + dot(row, values[-1]) for row, b in zip(weight, bias, strict=True)])
            values.append([max(v, Fraction(0)) for v in values[-1]])
        total = sum(float(dot(fractions(given[i][0].tolist()), values[i])) for i in given)
        at = evaluation.refutations(point, np.zeros(1, np.int64), Objective(given, np.ones(1)))[0]
        assert at == pytest.approx(1 + total, abs=1e-9) and at <= together + 1e-9
        assert reference.layers


# -- cells together


def test_cells_that_are_joined_have_the_size_that_serves_all_of_them():
    _, _, evaluation, _ = cells_of(1, Float64())
    small, large = (evaluation.root(np.zeros(2), np.full(2, 10.0**i)) for i in range(2))
    twice = small.take(np.zeros(2, np.int64))
    assert all(len(one) == 1 for one in twice.size) and twice.size is small.size
    again = Cells.join([twice, small.take(np.zeros(3, np.int64))])
    assert len(again) == 5 and again.size is small.size
    assert (again.lower == small.lower).all() and again.lower.shape == (5, 2)
    # Values of one would be beyond the other's.
    for parts in ([small, large], [twice, large], [small, evaluation.root(np.zeros(2), np.ones(2))]):
        with pytest.raises(ValueError, match="several sizes"):
            Cells.join(parts)
    # What is found for several boxes together holds the values of all.
    endless = tuple(np.full((2, size), np.inf) for size in evaluation.network.sizes)
    several = Cells(np.zeros((2, 2)), np.array([[1.0, 1.0], [10.0, 10.0]]), tuple(-x for x in endless), endless, ())
    found = evaluation.derive(several, 1)
    assert all(len(one) == 1 for one in found.size)
    for alone in (small, large):
        assert all((one >= part * (1 - 1e-12)).all() for one, part in zip(found.size, alone.size, strict=True))


def test_what_is_empty():
    *_, root = cells_of(2, Float64())
    assert root.empty.tolist() == [False]
    several = root.take(np.zeros(4, np.int64))
    upper, low, high = several.upper.copy(), [x.copy() for x in several.low], [x.copy() for x in several.high]
    upper[1, 1] = several.lower[1, 1] - 1e-9
    low[2][2, 1] = high[2][2, 1] + 1e-9
    low[0][3, 3] = high[0][3, 3]
    found = Cells(several.lower, upper, tuple(low), tuple(high), several.size)
    assert found.empty.tolist() == [False, True, True, False]


def test_linear_forms_take_one_cell_at_a_time_at_least(monkeypatch):
    _, _, evaluation, root = cells_of(3, Float64())
    cells = root.take(np.zeros(3, np.int64))
    whole = evaluation.derive(cells, FORMS)
    monkeypatch.setattr(bound_module, "_FORMS", 1)
    parts = evaluation.derive(cells, FORMS)
    for a, b in zip((*whole.low, *whole.high), (*parts.low, *parts.high), strict=True):
        assert a.shape == b.shape and np.allclose(a, b, rtol=1e-12, atol=1e-12)


def test_bounds_are_taken_in_portions(monkeypatch):
    rng, _, evaluation, root = cells_of(4, Float64())
    last = len(evaluation.network.nodes) - 1
    objective = Objective({last: rng.normal(size=(5, 2))}, rng.normal(size=5))
    cell = np.zeros(5, np.int64)
    slopes = Slopes(
        tuple(rng.random((5, n)) for n in evaluation.network.sizes), (None,) * 3, np.array([True, False] * 2 + [True])
    )
    whole = evaluation.refutations(root, cell, objective, slopes)
    ends = evaluation.ends(root, last, cell, np.array([0, 1, 0, 1, 0]), np.array([1.0, 1.0, -1.0, -1.0, 1.0]))
    for most in (1, 4, 8, 9):
        monkeypatch.setattr(bound_module, "_AT_ONCE", most)
        assert np.allclose(evaluation.refutations(root, cell, objective, slopes), whole, rtol=1e-12)
        again = evaluation.ends(root, last, cell, np.array([0, 1, 0, 1, 0]), np.array([1.0, 1.0, -1.0, -1.0, 1.0]))
        assert np.allclose(again, ends, rtol=1e-12)


# -- the account of rounding


def roundings(evaluation: Evaluation) -> float:
    """How many roundings the factor of the error term stands for."""
    return evaluation.gamma / 2.0**-53


def of(data: bytes, inputs: int) -> Evaluation:
    return Evaluation(read_network(data, inputs, Float64(), "n"), Float64())


def test_all_roundings_of_a_long_chain_are_counted():
    # Of 40 maps one by one: each has products of two terms and a sum of them, and a ReLU behind it.
    eye = [[1.0, 0.0], [0.0, 1.0]]
    short, long = (of(chain([eye] * n, [[0.0, 0.0]] * n), 2) for n in (20, 40))
    assert roundings(long) >= 40 * 6 and roundings(long) - roundings(short) >= 20 * (6 + 2)
    # The chain is the longest one, whichever operand it comes by.
    for flipped in (False, True):
        made = Builder([1, 2], dtype=np.float64)
        at = "x"
        for _ in range(40):
            at = made.node("MatMul", at, made.constant(eye))
        data = made.bytes(made.node("Add", *(("x", at) if flipped else (at, "x"))))
        assert roundings(of(data, 2)) >= 40 * 4 + 2


def test_all_roundings_of_a_wide_sum_are_counted():
    # The sum over the features of the input, and over those of a ReLU that nobody multiplies with a matrix as wide.
    made = Builder([1, 1], dtype=np.float64)
    wide = made.node("Relu", made.node("MatMul", "x", made.constant([[1.0] * 5000])))
    data = made.bytes(made.node("MatMul", wide, made.constant([[1.0]] * 5000)))
    assert roundings(of(data, 1)) >= 2 * 5000 + 5000
    narrow = chain([[[1.0]], [[1.0]]], [[0.0], [0.0]])
    assert 60 <= roundings(of(narrow, 1)) <= 200


def test_all_roundings_of_a_value_of_many_users_are_counted():
    def used(times: int) -> Evaluation:
        made = Builder([1, 1], dtype=np.float64)
        parts = [made.node("Mul", "x", made.constant([float(i + 2)])) for i in range(times)]
        total = parts[0]
        for one in parts[1:]:
            total = made.node("Add", total, one)
        return of(made.bytes(total), 1)

    few, many = used(2), used(50)
    # 50 shares are added up at the input; and each of the 99 nodes may add one of its own.
    assert roundings(many) >= 50 * len(many.network.nodes)
    assert roundings(few) <= 200


def test_nothing_is_counted_where_nothing_is_rounded():
    data = chain([[[1.0]], [[1.0]]], [[0.0], [0.0]])
    for numbers in (Rational(), Ball()):
        evaluation = Evaluation(read_network(data, 1, numbers, "n"), numbers)
        assert evaluation.gamma == 0.0
        cells = evaluation.root(np.array([-1.0]), np.array([1.0]))
        last = len(evaluation.network.nodes) - 1
        objective = Objective({last: numbers.load(np.ones((1, 1)))}, numbers.load(np.zeros(1)))
        value, error = evaluation.bound(cells, np.zeros(1, np.int64), objective)
        assert error.tolist() == [0.0] and 1 <= numbers.upper(value, error)[0] <= 1 + 1e-12


def test_the_factor_is_no_less_than_what_it_stands_for():
    for terms in (1.0, 10.0, 1e3, 1e6, 1e9):
        exact = Fraction(terms) / 2**53 / (1 - Fraction(terms) / 2**53)
        assert exact <= Fraction(gamma(terms)) <= exact * Fraction(1001, 1000)
    assert gamma(2.0**40) == np.inf and np.isfinite(gamma(2.0**40 - 1))
