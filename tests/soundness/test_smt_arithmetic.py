"""Arithmetic on bit-vectors against Python integers, on every value, at the edges of every width."""

from __future__ import annotations

import itertools
from dataclasses import fields

import numpy as np
import pytest
from tests.soundness.term_values import signed, term_values

from netproof.exact.smt.integers import Integer, Integers, signed_width
from netproof.exact.smt.options import EncodingOptions
from netproof.exact.smt.staircase import Staircases, Steps
from netproof.exact.smt.sums import Shifted, Sums, canonical_digits
from netproof.exact.smt.terms import Terms

RANGES = [
    (0, 1),
    (0, 3),
    (0, 4),
    (-1, 0),
    (-4, 3),
    (-5, 3),
    (-4, 4),
    (7, 8),
    (-9, -8),
    (-1, 6),
    (3, 3),
    (0, 2),
    (-8, 7),
]
WIDTHS = (1, 9)


class Values:
    """Variables with ranges, and every assignment of them."""

    def __init__(self, *ranges: tuple[int, int], decide: bool = True, least_width: int = 1) -> None:
        self.integers = Integers(Terms(), decide=decide)
        self.integers.least_width = least_width
        self.points = np.array(list(itertools.product(*(range(a, b + 1) for a, b in ranges))), np.int64)
        self.numbers = []
        self.model = {}
        for k, (low, high) in enumerate(ranges):
            width = self.integers.width(low, high)
            self.numbers.append(Integer(self.integers.terms.variable(f"v{k}", width), low, high))
            self.model[f"v{k}"] = self.points[:, k] % (1 << width)

    def __getitem__(self, k):
        return self.points[:, k]

    def truth(self, term):
        return term_values(self.integers.terms, self.model, len(self.points))[term].astype(bool)

    def value(self, number):
        """What a number is, having checked that its range and width hold it."""
        terms = self.integers.terms
        width = terms.width(number.term)
        assert width >= max(signed_width(number.low, number.high), self.integers.least_width)
        value = signed(term_values(terms, self.model, len(self.points))[number.term], width)
        assert value.min() >= number.low and value.max() <= number.high
        return value


@pytest.mark.parametrize("value", [0, 1, -1, 2, -2, 3, 7, 8, -8, -9, 127, 128, -128, -129, 2**40, -(2**40) - 1])
def test_signed_width_is_the_least(value):
    width = signed_width(value, value)
    assert -(1 << (width - 1)) <= value < 1 << (width - 1)
    assert width == 1 or not -(1 << (width - 2)) <= value < 1 << (width - 2)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("one", "other"), list(itertools.product(RANGES, repeat=2)))
def test_two_numbers(one, other, width):
    for decide in (True, False):
        v = Values(one, other, decide=decide, least_width=width)
        i, (a, b) = v.integers, v.numbers
        assert (v.value(i.add(a, b)) == v[0] + v[1]).all()
        assert (v.value(i.subtract(a, b)) == v[0] - v[1]).all()
        assert (v.truth(i.not_less(a, b)) == (v[0] >= v[1])).all()
        assert (v.value(i.chosen(i.not_less(a, b), a, b)) == np.maximum(v[0], v[1])).all()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("one", RANGES)
def test_one_number(one, width):
    for decide in (True, False):
        v = Values(one, decide=decide, least_width=width)
        i, (a,) = v.integers, v.numbers
        assert (v.value(i.negate(a)) == -v[0]).all()
        for by in range(6):
            assert (v.value(i.shifted_left(a, by)) == v[0] << by).all()
            assert (v.value(i.shifted_right(a, by)) == v[0] >> by).all()
        for c in range(-20, 21):
            assert (v.value(i.scaled(a, c)) == v[0] * c).all()
            assert (v.value(i.add(a, i.constant(c))) == v[0] + c).all()
            assert (v.truth(i.at_least(a, c)) == (v[0] >= c)).all()
            assert (v.truth(i.at_most(a, c)) == (v[0] <= c)).all()
            assert (v.value(i.clipped_below(a, c)) == np.maximum(v[0], c)).all()
            assert (v.value(i.clipped_above(a, c)) == np.minimum(v[0], c)).all()
        if one == (0, 1):
            bit = i.terms.extract(a.term, 0, 0)
            for c in range(-20, 21):
                assert (v.value(i.masked(bit, c)) == v[0] * c).all()


def test_canonical_digits():
    for value in range(1, 3000):
        digits = canonical_digits(value)
        assert sum(sign << position if sign > 0 else -(1 << position) for sign, position in digits) == value
        positions = [position for _, position in digits]
        assert all(b - a > 1 for a, b in itertools.pairwise(positions))
        assert digits[-1][0] == 1


@pytest.mark.parametrize("off", [None, *(f.name for f in fields(EncodingOptions))])
def test_sums(off):
    options = EncodingOptions(**{} if off is None else {off: False})
    random = np.random.default_rng(5)
    for _ in range(60):
        count = int(random.integers(1, 6))
        ranges = [(int(low), int(low + random.integers(0, 4))) for low in random.integers(-3, 4, count)]
        v = Values(*ranges, least_width=int(random.choice(WIDTHS)))
        offsets = random.integers(-5, 6, count).tolist()
        weights = random.choice([0, 1, -1, 2, 3, 7, -7, 8, 31, -32, 45, -100], count).tolist()
        operands = [Shifted(o, n) for o, n in zip(offsets, v.numbers, strict=True)] + [Shifted(9)]
        total = Sums(v.integers, options).weighted(operands, [*weights, 2], 11)
        expected = 11 + 18 + (v.points + offsets) @ np.array(weights)
        value = total.offset + (0 if total.part is None else v.value(total.part))
        assert (value == expected).all()


@pytest.mark.parametrize("simplify", [True, False])
@pytest.mark.parametrize("offsets", [True, False])
@pytest.mark.parametrize("kind", ["uniform", "equidistant", "general", "jumps", "single", "none"])
def test_staircases(kind, offsets, simplify):
    random = np.random.default_rng([ord(c) for c in kind])
    for _ in range(60):
        low = int(random.integers(-40, 20))
        v = Values((low, low + int(random.integers(0, 40))), decide=simplify, least_width=int(random.choice([1, 14])))
        levels = int(random.integers(2, 12))
        gap = {"uniform": 1 << int(random.integers(0, 4)), "equidistant": int(random.choice([3, 5, 6]))}.get(kind)
        if kind == "none":
            thresholds = []
        elif kind == "single":
            thresholds = [int(random.integers(-50, 50))]
        elif gap is not None:
            start = int(random.integers(-60, 40))
            thresholds = [start + gap * k for k in range(levels)]
        else:
            thresholds = np.sort(random.integers(-45, 45, levels)).tolist()
            if kind == "jumps":
                thresholds = sorted(thresholds * 2)
        steps = Steps(thresholds, int(random.integers(-6, 7)))
        if kind == "uniform":
            assert 1 << steps.shift() == gap
        elif kind in ("equidistant", "jumps"):
            assert steps.shift() is None
        a = Shifted(int(random.integers(-4, 5)), v.numbers[0])
        result = Staircases(v.integers, simplify=simplify, offsets=offsets).applied(steps, a, steps.shift())
        x = v[0] + a.offset
        expected = steps.base + (x[:, None] >= np.array(thresholds, np.int64)).sum(1)
        value = result.offset + (0 if result.part is None else v.value(result.part))
        assert (value == expected).all()
