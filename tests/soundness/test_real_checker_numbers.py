"""The three arithmetics of the checker of float networks: each number by itself against fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import flint
import numpy as np
import pytest

from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import (
    LARGEST,
    NAMES,
    TINY,
    Ball,
    Float64,
    Rational,
    above,
    arithmetic_of,
    gamma,
)
from netproof.errors import InputError
from soundness.real_evidence import Builder, values_of

ALL = [Float64(), Rational(), Ball()]
BIGGEST = float(np.finfo(np.float64).max)


def exactly(value) -> Fraction:
    """A number of any arithmetic, the middle of a ball."""
    if isinstance(value, flint.arb):
        top, bottom = value.mid().man_exp()
        return Fraction(int(top)) * Fraction(2) ** int(bottom)
    return Fraction(value)


def test_arithmetics_are_known_by_their_names():
    assert NAMES == ("float64", "arb", "rational")
    for name, numbers in zip(NAMES, (ALL[0], ALL[2], ALL[1]), strict=True):
        found = arithmetic_of(name)
        assert type(found) is type(numbers) and found.name == name and found.exact == (name != "float64")
    with pytest.raises(InputError, match="'float32' is no arithmetic"):
        arithmetic_of("float32")


def test_the_smallest_float_above():
    rng = np.random.default_rng(0)
    some = [Fraction(int(rng.integers(-(10**9), 10**9)), int(rng.integers(1, 10**9))) for _ in range(200)]
    some += [Fraction(v) for v in (0.0, 1.0, -1.0, 5e-324, -5e-324, BIGGEST, -BIGGEST)]
    some += [
        Fraction(1, 10**400),
        Fraction(-1, 10**400),
        Fraction(BIGGEST) - Fraction(1, 3),
        -Fraction(BIGGEST) + Fraction(1, 3),
    ]
    for value in some:
        top = above(value)
        before = math.nextafter(top, -math.inf)
        assert Fraction(top) >= value and (before == -math.inf or Fraction(before) < value)
    assert above(Fraction(10**400)) == math.inf
    assert above(Fraction(-(10**400))) == -BIGGEST
    assert above(-2 * Fraction(BIGGEST)) == -BIGGEST


def test_factors_are_rounded_up():
    for terms in [*range(1, 3000), 10**6 + 1, 10**9 + 7, 10**11 + 3, 2**40 - 1]:
        exact = Fraction(terms, 2**53) / (1 - Fraction(terms, 2**53))
        found = Fraction(gamma(float(terms)))
        assert exact <= found <= exact * (1 + Fraction(1, 2**39))
    assert gamma(2.0**40) == gamma(2.0**41) == math.inf
    assert TINY <= 2.0**-500 and LARGEST == 2.0**400


@pytest.mark.parametrize("numbers", ALL, ids=lambda one: one.name)
def test_numbers_of_a_file_are_loaded_as_they_are(numbers):
    for kind in (np.float32, np.float64):
        values = np.array([[0.1, -3.5, 1e-30], [0.0, 1 / 3, 2.0**100]], kind)
        found = numbers.load(values)
        assert found.shape == (2, 3) and found.dtype == (object if numbers.exact else np.float64)
        for value, one in zip(values.reshape(-1).tolist(), found.reshape(-1).tolist(), strict=True):
            assert exactly(one) == Fraction(value)
        near = numbers.near(found)
        assert near.dtype == np.float64 and near.shape == (2, 3) and (near == values.astype(np.float64)).all()


@pytest.mark.parametrize("numbers", ALL, ids=lambda one: one.name)
def test_single_numbers(numbers):
    for value in (Fraction(1, 3), Fraction(-7, 4), Fraction(10**30 + 1)):
        found = numbers.fraction(value)
        close = exactly(found)
        assert abs(close - value) <= abs(value) * (Fraction(0) if numbers.name == "rational" else Fraction(1, 2**52))
        if numbers.name == "arb":
            assert abs(close - value) <= Fraction(found.rad().mid().str(30, radius=False)) + abs(value) / 2**120
    assert np.isinf(float(ALL[0].fraction(Fraction(10**400))))
    # Beyond float64 there is no bound, which is infinite, or as large as it is.
    huge = numbers.fraction(Fraction(10**400))
    array = np.empty(1, object if numbers.exact else np.float64)
    array[0] = huge
    assert numbers.upper(array, np.zeros(1))[0] == math.inf


def test_what_is_beyond_floats_is_near_infinity():
    array = np.empty(2, object)
    array[:] = [Fraction(10**400), Fraction(-(10**400))]
    assert Rational().near(array).tolist() == [math.inf, -math.inf]


@pytest.mark.parametrize("numbers", ALL, ids=lambda one: one.name)
def test_quotients_and_the_larger_of_two(numbers):
    values = numbers.load(np.array([1.0, -2.0, 3.0]))
    found = values / numbers.load(np.full(3, 3.0))
    for one, exact in zip(found.tolist(), (Fraction(1, 3), Fraction(-2, 3), Fraction(1)), strict=True):
        assert abs(exactly(one) - exact) <= (0 if numbers.name == "rational" else Fraction(1, 2**52))
    larger = numbers.maximum(values, numbers.load(np.array([0.5, -3.0, 3.0])))
    assert [exactly(one) for one in larger.tolist()] == [1, -2, 3]


@pytest.mark.parametrize("numbers", ALL, ids=lambda one: one.name)
def test_normalizations_of_perfect_squares(numbers):
    scale, variance = np.array([3.0, -1.0, 0.0]), np.array([2.0, 0.75, 6.0])
    load = numbers.load
    found = load(scale) / numbers.root(load(variance) + load(np.full(3, 0.25)))
    assert found.shape == (3,)
    for one, exact in zip(found.tolist(), (Fraction(2), Fraction(-1), Fraction(0)), strict=True):
        assert abs(exactly(one) - exact) <= (0 if numbers.name == "rational" else Fraction(1, 2**50))
    # In a network, all arithmetics find what it computes.
    made = Builder([1, 3], dtype=np.float64)
    constants = [made.constant(part) for part in (scale, [1.0, 2.0, 3.0], [0.5, 0.25, 4.0], variance)]
    network = made.bytes(made.node("BatchNormalization", "x", *constants, epsilon=0.25))
    x = [1.0, -2.0, 5.0]
    model = read_network(network, 3, numbers, "n")
    operator = model.nodes[1].operator
    assert operator is not None and operator.offset is not None
    y = operator.forward(numbers.load(np.array([x])))[0] + operator.offset
    expected = [Fraction(2) * (1 - Fraction(1, 2)) + 1, -(-2 - Fraction(1, 4)) + 2, Fraction(3)]
    assert all(abs(exactly(a) - b) <= Fraction(1, 2**48) for a, b in zip(y.tolist(), expected, strict=True))
    if numbers.name == "rational":
        assert values_of(network, x) == expected


@pytest.mark.parametrize("variance", [2.0, 1.75, 0.0, 8.0])
def test_fractions_have_no_other_roots(variance):
    epsilon = 0.0 if variance in (0.0, 8.0) else 0.25
    square = Fraction(variance) + Fraction(epsilon)
    is_square = square == Fraction(9, 4)
    if is_square:
        assert Rational().root(Rational().load(np.array([variance + epsilon])))[0] == Fraction(3, 2)
        return
    with pytest.raises(InputError, match="divides by an irrational number"):
        Rational().root(Rational().load(np.array([variance + epsilon])))


def test_upper_ends_hold_all_of_a_ball():
    ball = Ball()
    array = np.empty(5, object)
    array[:] = [
        flint.arb(1, 0.5), flint.arb(-1, 0.5), flint.arb(0, 1e-300), flint.arb(1) / 3, flint.arb(2.0**60, 1.0)
    ]  # fmt: skip
    found = ball.upper(array, np.zeros(5)).tolist()
    for top, least in zip(found, (1.5, -0.5, 1e-300, Fraction(1, 3), 2**60 + 1), strict=True):
        assert Fraction(top) >= Fraction(least)
        assert Fraction(top) <= Fraction(least) + abs(Fraction(least)) / 2**25 + Fraction(1, 2**1000)
    array = np.empty(2, object)
    array[:] = [flint.arb("nan"), flint.arb(0, math.inf)]
    assert ball.upper(array, np.zeros(2)).tolist() == [math.inf] * 2
    assert flint.ctx.prec == Ball.bits == 128
    # A tie that float64 rounds to even, downwards and upwards.
    for middle in (2**53 + 1, 2**53 + 3):
        one = np.empty(1, object)
        one[0] = flint.arb(middle)
        assert Fraction(ball.upper(one, np.zeros(1))[0]) > middle


def test_upper_ends_of_floats_are_rounded_up():
    values, errors = np.array([1.0, 1.0, 0.0, -1.0]), np.array([0.0, 2.0**-54, 0.0, 2.0**-60])
    found = Float64().upper(values, errors)
    for top, value, error in zip(found.tolist(), values.tolist(), errors.tolist(), strict=True):
        assert Fraction(top) > Fraction(value) + Fraction(error)
        assert Fraction(top) <= Fraction(value) + Fraction(error) + Fraction(1, 2**50)
    for value, error in ((np.inf, 0.0), (-np.inf, 0.0), (np.nan, 0.0), (0.0, np.inf), (0.0, np.nan), (-np.inf, np.inf)):
        with np.errstate(all="ignore"):
            assert Float64().upper(np.array([value]), np.array([error]))[0] == np.inf


def test_upper_ends_of_fractions_are_the_next_floats():
    array = np.empty(3, object)
    array[:] = [Fraction(1, 3), Fraction(1, 2), Fraction(-1, 3)]
    found = Rational().upper(array, np.full(3, 7.0))
    assert found.dtype == np.float64 and found.tolist() == [above(v) for v in array.tolist()]
