"""False claims about what jumps, is chosen, clipped at one end or compared at the end: no certificate of one is accepted.

Each claim is false by next to nothing, at an end of its box, and certificates of it are tried with every rule, slopes, splits and lemmas.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import Evaluation
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Float64, Rational
from netproof.certificate.real.contents import LEAF, LEMMAS, SPLIT
from netproof.errors import ProofError
from soundness.real_evidence import Builder, certificate, property_text

ARITHMETICS = ("float64", "arb", "rational")


def of(kind: str, *constants: float, opset: int = 20, **attributes) -> bytes:
    """An operator of one number and constants, in float64."""
    made = Builder([1, 1], dtype=np.float64, opset=opset)
    inputs = ["x", *(made.constant(c) if c is not None else "" for c in constants)]
    return made.bytes(made.node("Mul", made.node(kind, *inputs, **attributes), made.constant(1.0)))


def compared(kind: str, turned: bool = False, at: float = 0.5) -> bytes:
    """1 where a number and a constant compare, and 0 elsewhere."""
    made = Builder([1, 1], dtype=np.float64, opset=20)
    truth = made.node(kind, *(("x", made.constant(at)) if not turned else (made.constant(at), "x")))
    return made.bytes(made.node("Where", truth, made.constant([[1.0]]), made.constant([[0.0]])))


def itself(kind: str) -> bytes:
    """The same of a number and itself."""
    made = Builder([1, 1], dtype=np.float64, opset=20)
    return made.bytes(made.node("Where", made.node(kind, "x", "x"), made.constant([[1.0]]), made.constant([[0.0]])))


#: as small as a decimal of a property can be
TINY = 2.0**-300
#: a network, ends of its input, and what its output attains there and is asked to reach, upwards or downwards
FALSE = {
    "a sign at its jump": (of("Sign"), -1.0, TINY, 1.0, 1),
    "a sign at its jump, from above": (of("Sign"), -TINY, 1.0, -1.0, -1),
    "a sign of 0": (of("Sign"), 0.0, 0.0, 0.0, 1),
    "a sign of 0, from above": (of("Sign"), 0.0, 0.0, 0.0, -1),
    "a sign that ends at 0": (of("Sign"), -1.0, 0.0, 0.0, 1),
    "a floor that ends at a step": (of("Floor"), 0.25, 1.0, 1.0, 1),
    "a floor that begins before a step": (of("Floor"), float(np.nextafter(1.0, 0.0)), 1.5, 0.0, -1),
    "a floor of many steps": (of("Floor"), -20.0, 33.0, 33.0, 1),
    "a floor of many steps, from above": (of("Floor"), -20.0, 33.0, -20.0, -1),
    "a ceiling that begins after a step": (of("Ceil"), 1.0, float(np.nextafter(1.0, 2.0)), 2.0, 1),
    "a ceiling that ends at a step": (of("Ceil"), 0.5, 1.0, 1.0, -1),
    "a threshold": (of("ThresholdedRelu", alpha=1.0), 1.0, float(np.nextafter(1.0, 2.0)), float(np.nextafter(1.0, 2.0)), 1),
    "a threshold that is met": (of("ThresholdedRelu", alpha=1.0), 1.0, 2.0, 0.0, -1),
    "a comparison": (compared("Greater"), 0.0, float(np.nextafter(0.5, 1.0)), 1.0, 1),
    "a comparison of equals": (compared("GreaterOrEqual"), 0.0, 0.5, 1.0, 1),
    "a comparison of equals, turned": (compared("LessOrEqual", turned=True), 0.0, 0.5, 1.0, 1),
    "a strict comparison of equals": (compared("Less"), 0.5, 0.5, 0.0, -1),
    "a number and itself": (itself("GreaterOrEqual"), -1.0, 1.0, 1.0, 1),
    "a number below itself": (itself("Less"), -1.0, 1.0, 0.0, -1),
    "a clip of one end": (of("Clip", -0.5), -1.0, 2.0, 2.0, 1),
    "a clip of one end, from above": (of("Clip", -0.5), -1.0, 2.0, -0.5, -1),
    "a clip of the other end": (of("Clip", None, 0.5), -1.0, 2.0, 0.5, 1),
    "a clip of no end": (of("Clip"), -1.0, 2.0, 2.0, 1),
    "a hard swish at its turn": (of("HardSwish"), -3.0, -3.0, 0.0, -1),
    "a hard swish in its valley": (of("HardSwish"), -3.0, 3.0, -0.375, -1),
    "an elu at 0": (of("Elu"), 0.0, 0.0, 0.0, 1),
    "an elu by a number at 0": (of("Elu", alpha=2.5), -1.0, 0.0, 0.0, 1),
    "a maximum with a constant": (of("Max", 0.25), -1.0, 0.25, 0.25, -1),
    "a minimum with a constant": (of("Min", 0.25), -1.0, 1.0, 0.25, 1),
}  # fmt: skip


def tried(rng: np.random.Generator, bends: int):
    """Certificates of one case: leaves by every rule, without and with slopes, behind splits and behind lemmas."""
    row = {"row_exponent": [20], "row_base": [0], "row_mu": [1 << 20]}
    for rule in range(5):
        yield {**row, "row_count": [0], "rule": [rule]}
        for base in (0, 1):
            slope, added = rng.integers(-(2**21), 2**21, size=(2, bends))
            given = {"row_count": [bends], "row_feature": range(bends), "row_slope": slope, "row_added": added * base}
            yield {**row, **given, "row_base": [base], "rule": [rule]}
        for relu in range(bends + 1):
            point = int(rng.choice([0, 1, -1, 1 << 19, 1 << 20]))
            split = {"split_relu": [relu], "split_feature": [0], "split_point": [point], "split_exponent": [20]}
            yield {
                **row,
                "row_count": [0],
                "kind": [SPLIT, LEAF, LEAF],
                "rule": [0, rule, rule],
                "leaf_row": [0, 0],
                **split,
            }
        for side in (0, 1):
            lemma = {
                "lemma_relu": [1],
                "lemma_feature": [0],
                "lemma_side": [side],
                "lemma_end": [0],
                "lemma_exponent": [0],
            }
            rows = {"row_exponent": [20, 0], "row_base": [0, 0], "row_mu": [1 << 20, 0], "row_count": [0, 0]}
            yield {
                **rows,
                "stages": [1],
                "stage": [LEMMAS],
                "lemma_count": [1],
                **lemma,
                "kind": [LEAF, LEAF],
                "rule": [rule, rule],
                "leaf_row": [1, 0],
            }


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("kind", FALSE)
def test_a_false_claim_is_not_accepted(kind, arithmetic):
    network, lower, upper, attained, sign = FALSE[kind]
    property_ = property_text([lower], [upper], 1, [[((float(sign),), sign * attained)]])
    rng, count = np.random.default_rng(0), 0
    for given in tried(rng, 1):
        with pytest.raises(ProofError):
            check_real(certificate(network, property_, 1, 1, **given), network, property_, arithmetic=arithmetic)
        count += 1
    assert count == 35


#: what is as true as the others are false
TRUE = {
    "a sign before its jump": (of("Sign"), -1.0, -1e-9, -0.5, 1),
    "a sign behind its jump": (of("Sign"), 1e-9, 1.0, 0.5, -1),
    "a floor before a step": (of("Floor"), 0.25, 0.999, 0.5, 1),
    "a floor of many steps": (of("Floor"), -20.0, 33.0, 33.5, 1),
    "a ceiling": (of("Ceil"), 0.001, 1.0, 0.5, -1),
    "a comparison": (compared("Greater"), 0.0, 0.4, 0.5, 1),
    "a clip of one end": (of("Clip", -0.5), -1.0, 2.0, 2.25, 1),
    "a hard swish": (of("HardSwish"), 3.5, 4.0, 4.25, 1),
    "an elu": (of("Elu", alpha=2.5), -9.0, -1.0, -2.75, -1),
}


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("kind", TRUE)
def test_a_true_claim_is_proved(kind, arithmetic):
    network, lower, upper, beyond, sign = TRUE[kind]
    property_ = property_text([lower], [upper], 1, [[((float(sign),), sign * beyond)]])
    made = certificate(network, property_, 1, 1, rule=[4])
    check_real(made, network, property_, arithmetic=arithmetic)


def test_what_is_clipped_at_one_end_stays_within_its_type():
    # What a runtime clips to is the type's largest number, and not what is beyond it.
    made = Builder([1, 1], opset=17)
    network = made.bytes(made.node("Clip", made.node("Mul", "x", made.constant(3e38)), made.constant(np.float32(0))))
    property_ = property_text([0.0], [2.0], 1, [[((1.0,), 1e39)]])
    for rule in range(5):
        with pytest.raises(ProofError):
            check_real(certificate(network, property_, 1, 1, rule=[rule]), network, property_)
    inside = property_text([0.0], [1.0], 1, [[((1.0,), 1e39)]])
    check_real(certificate(network, inside, 1, 1, rule=[4]), network, inside)


def whole(rng: np.random.Generator, digits: int, bias: float = 0.0) -> bytes:
    """Two layers of whole numbers by a power of two, and signs."""
    made, at = Builder([1, 3], dtype=np.float64), "x"
    for before, after in ((3, 4), (4, 2)):
        weight = rng.integers(-(2**digits), 2**digits, size=(before, after)) * 2.0 ** -int(rng.integers(0, 12))
        at = made.node("Gemm", at, made.constant(weight), made.constant(rng.integers(-3, 4, size=after) + bias))
        at = made.node("Sign", at) if after == 4 else at
    return made.bytes(at)


@pytest.mark.parametrize(("digits", "bias"), [(2, 0.0), (20, 0.0), (45, 0.0), (51, 0.0), (2, 0.1), (2, 2.0**-60)])
def test_ranges_of_points_are_points_where_nothing_is_rounded_and_hold_the_value_where_something_is(digits, bias):
    points = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        network = whole(rng, digits, bias)
        x = rng.integers(-8, 9, size=3) / 4.0 if seed % 2 else rng.normal(size=3)
        exact = Evaluation(read_network(network, 3, Rational(), "n"), Rational())
        real = Evaluation(read_network(network, 3, Float64(), "n"), Float64())
        (low, high), center = (real.root(x, x).low[0][0], real.root(x, x).high[0][0]), [Fraction(one) for one in x]
        operator = exact.network.nodes[exact.operands[0]].operator
        values = operator.forward(np.array([center]))[0] + operator.offset
        for value, least, most in zip(values, low, high, strict=True):
            assert Fraction(least) <= value <= Fraction(most)
            points += least == most
    # Of small numbers all are points at places of quarters, of those that are none hardly any.
    assert points >= 80 if digits <= 20 and not bias else points < 80 or digits > 20, points


@pytest.mark.parametrize(
    ("bias", "threshold", "is_proved"),
    [(0.0, -0.5, True), (0.0, 0.5, False), (2.0**-20, 0.5, True), (-(2.0**-60), -0.5, False)],
)
def test_a_witness_at_a_jump(bias, threshold, is_proved):
    # The sign of x0 - x1, which is 0, or next to it.
    made = Builder([1, 2], dtype=np.float64)
    rows = made.node("Gemm", "x", made.constant([[1.0], [-1.0]]), made.constant([bias]))
    network = made.bytes(made.node("Sign", rows))
    property_ = property_text([0.0] * 2, [1.0] * 2, 1, [[((1.0,), threshold)]])
    given = {"witness": [1, 1], "witness_limbs": [1, 1], "witness_two": [1, 1], "witness_ten": [0, 0]}
    made_ = certificate(network, property_, 2, 1, claim="sat", **given)
    if is_proved:
        check_real(made_, network, property_)
    else:
        with pytest.raises(ProofError):
            check_real(made_, network, property_)


def test_ranges_of_boxes_around_0_hold_what_is_attained_at_their_corners():
    # Middles are whole there, and how far values reach is rounded all the same.
    for seed in range(30):
        rng = np.random.default_rng(seed)
        weight = rng.integers(1, 1000, size=(200, 1)).astype(np.float64)
        made = Builder([1, 200], dtype=np.float64)
        network = made.bytes(made.node("Relu", made.node("MatMul", "x", made.constant(weight))))
        real, reach = Evaluation(read_network(network, 200, Float64(), "n"), Float64()), rng.random(200)
        cells = real.root(-reach, reach)
        best = sum(Fraction(w) * Fraction(r) for w, r in zip(weight[:, 0].tolist(), reach.tolist(), strict=True))
        assert Fraction(cells.low[0][0, 0]) <= -best < best <= Fraction(cells.high[0][0, 0])
