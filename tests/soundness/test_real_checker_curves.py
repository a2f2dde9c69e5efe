"""Smooth functions in the checker of float networks, against 60 digits: values, slopes, bands, lines, and bounds of networks.

Nothing here has a tolerance: whatever the checker says that a function stays between, it does.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import Evaluation, Objective, Slopes
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.checker.real.curved import curves
from netproof.certificate.checker.real.curved.curves import CURVES, PIECES, Band, Lines
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Ball, Float64, Rational
from netproof.certificate.real.contents import BOTH, CROWN, FORMS, INTERVALS
from netproof.errors import FormatError, ProofError
from soundness.real_evidence import (
    DIGITS,
    FUNCTIONS,
    Builder,
    Digits,
    certificate,
    chain,
    property_text,
    some_slopes,
    values_of,
)

ARITHMETICS = {"float64": Float64, "arb": Ball, "rational": Rational}
#: by the names of curves, operators of theirs
OPERATORS = {
    "sigmoid": "Sigmoid", "tanh": "Tanh", "exp": "Exp", "softplus": "Softplus", "erf": "Erf", "sin": "Sin", "cos": "Cos",
    "softsign": "Softsign", "atan": "Atan", "elu": "Elu", "hardswish": "HardSwish", "mish": "Mish", "sign": "Sign", "floor": "Floor",
}  # fmt: skip
#: functions that jump, and those that do not
JUMPS = [name for name, curve in CURVES.items() if curve.pieces is not None]
CURVED = [name for name in CURVES if name not in JUMPS]


#: of which slopes are found without a sum, and points where they are next to nothing or large
POWERS = ("cube", "log", "reciprocal", "sqrt", "square")
FAR = np.array([1e-60, 1e-12, 1e8, 3e9, 1e60])


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


def points(name: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.normal(size=120) * 10.0 ** rng.uniform(-8, 3, size=120)
    turns = [point + step for point, _ in CURVES[name].turns for step in (-1e-7, 0.0, 1e-7)]
    edges = [
        1e-300,
        2.0**-1074,
        1e-20,
        0.346,
        0.347,
        6.0,
        6.001,
        37.5,
        699.9,
        700.1,
        745.0,
        1e5,
        2.0**20,
        2.0**21,
        1e100,
    ]
    found = np.array([0.0, *x, *edges, *(-edge for edge in edges), *turns])
    return (
        abs(found)
        if name == "sqrt"
        else abs(found[found != 0])
        if name == "log"
        else found[found != 0]
        if name == "reciprocal"
        else found
    )


def truth(name: str, x) -> object:
    return FUNCTIONS[name](DIGITS.mpf(x))


@pytest.mark.parametrize("arithmetic", ["float64", "arb"])
@pytest.mark.parametrize("name", CURVED)
def test_values_are_held(name, arithmetic):
    x = points(name)
    low, high = ARITHMETICS[arithmetic]().ends(CURVES[name], x)
    for at, below, above in zip(x.tolist(), low.tolist(), high.tolist(), strict=True):
        # What 60 digits cannot tell from the number next to it, neither does the comparison.
        value = truth(name, at)
        assert below <= value <= above, (at, below, value, above)
    near = (abs(x) < 30) & (abs(x) > 1e-6)
    assert (high - low)[near].max() <= 1e-9 * max(1.0, float(abs(high[near]).max()))


@pytest.mark.parametrize("name", ["gelu tanh", "gelu", "swish", "mish"])
def test_values_far_below_0_are_held(name):
    """Where a value is tiny, and what is rounded on the way to an exponential counts by its size."""
    x = -np.random.default_rng(2).uniform(4.0, 22.0, size=400)
    low, high = CURVES[name].ends(x)
    for at, below, above in zip(x.tolist(), low.tolist(), high.tolist(), strict=True):
        assert below <= truth(name, at) <= above, at


@pytest.mark.parametrize("name", CURVED)
def test_slopes_are_held(name):
    x = points(name)
    # Where a slope jumps, any number between is one.
    jumping = {point for point, _ in CURVES[name].turns if [turn for turn, _ in CURVES[name].turns].count(point) > 1}
    x = x[(abs(x) < 600) & (abs(x) > 1e-9) & ~np.isin(x, [*jumping])]
    x = np.concatenate([x, FAR]) if name in POWERS else x
    low, high = CURVES[name].ends(x)
    found = CURVES[name].slope(x, low / 2 + high / 2)
    for at, slope in zip(x.tolist(), found.tolist(), strict=True):
        step = DIGITS.mpf(10) ** -20 * abs(at)
        value = (truth(name, DIGITS.mpf(at) + step) - truth(name, DIGITS.mpf(at) - step)) / (2 * step)
        assert abs(value - slope) <= curves._SLOPE * (CURVES[name].besides + abs(value)) + curves._TINY, at


def ranges(name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    middle = rng.normal(size=count) * 10.0 ** rng.uniform(-2, 1.5, size=count)
    # Some that begin, end or are centered where the slope turns, some next to nothing wide, some points.
    width = 10.0 ** rng.uniform(-14, 2, size=count) * (rng.random(count) < 0.9)
    for at, (turn, _) in zip(range(0, count, 4), itertools.cycle(CURVES[name].turns or ((1.0, 0.0),))):
        middle[at] = turn
    if name in ("log", "sqrt", "reciprocal"):
        middle = abs(middle) + width * (rng.random(count) + 0.5)
    if name in POWERS:
        # Derivatives of all sizes, and hardly any.
        scale = 10.0 ** rng.uniform(-9, 9, size=count) * (rng.random(count) < 0.5)
        middle, width = middle * np.where(scale, scale, 1.0), width * np.where(scale, scale, 1.0)
    low = middle - width / 2
    if name == "sqrt":
        low[::5] = 0.0
    return low, np.maximum(low, middle + width / 2)


@pytest.mark.parametrize("name", CURVED)
def test_bands_and_lines_hold_the_function(name):
    count, rng = 24, np.random.default_rng(2)
    low, high = ranges(name, count)
    ends = Float64().ends
    band, lines = Band(CURVES[name], low, high, ends), Lines.over(CURVES[name], low, high, ends)
    assert CURVES[name].defined(low, high).all() and np.isfinite(band.above).all()
    for i in range(count):
        pieces = [(band.x[p, i], band.x[PIECES + p, i]) for p in range(PIECES)]
        # They cover the range.
        assert min(pieces)[0] == low[i] and max(b for _, b in pieces) == high[i]
        assert all(b == c or b == high[i] for (_, b), (c, _) in itertools.pairwise(sorted(pieces)))
        for p in rng.choice(PIECES, size=6, replace=False).tolist():
            a, b = (DIGITS.mpf(end) for end in pieces[p])
            for share in (0.0, 0.25, 0.5, 0.8, 1.0):
                at = a + (b - a) * share
                value = FUNCTIONS[name](at)
                below, above = (
                    y[p, i] + (DIGITS.mpf(y[PIECES + p, i]) - y[p, i]) * share for y in (band.below, band.above)
                )
                assert below <= value <= above, (i, p, share)
                assert value <= lines.above[0][i] * at + DIGITS.mpf(lines.above[1][i])
                assert -value <= lines.below[0][i] * at + DIGITS.mpf(lines.below[1][i])
                assert lines.least[i] <= value <= lines.most[i]


@pytest.mark.parametrize("name", POWERS)
@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e12])
def test_lines_far_out_are_as_close_as_near_by(name, scale):
    # Over a range of a fiftieth of where it is a power is nearly straight, wherever that is.
    lines = Lines.over(CURVES[name], np.array([scale]), np.array([1.02 * scale]), Float64().ends)
    value = float(truth(name, 1.01 * scale))
    for sign, (slope, more) in ((1, lines.above), (-1, lines.below)):
        missed = slope[0] * 1.01 * scale + more[0] - sign * value
        assert 0 <= missed <= 1e-3 * max(abs(value), name == "log")


@pytest.mark.parametrize("name", JUMPS)
def test_bands_and_lines_hold_what_jumps(name):
    rng = np.random.default_rng(3)
    for _ in range(60):
        low = float(rng.choice([rng.normal() * 4, rng.integers(-3, 4), 0.0, -1e-9]))
        high = low + float(rng.choice([0.0, 1e-9, 1.0, rng.random() * 3, rng.integers(0, 80)]))
        ends = np.array([low]), np.array([high])
        band, lines = Band(CURVES[name], *ends, Float64().ends), Lines.over(CURVES[name], *ends, Float64().ends)
        whole = np.arange(np.floor(low), np.ceil(high) + 1)
        tried = np.concatenate([[low, high], low + rng.random(8) * (high - low), whole, whole - 1e-12, whole + 1e-12])
        for at in tried[(tried >= low) & (tried <= high)].tolist():
            # What it is at the jump, and what it comes to from both sides.
            near = {
                float(truth(name, at)),
                float(truth(name, max(low, at - 1e-13))),
                float(truth(name, min(high, at + 1e-13))),
            }
            for value in near:
                assert lines.least[0] <= value <= lines.most[0]
                assert value <= lines.above[0][0] * Fraction(at) + Fraction(lines.above[1][0])
                assert -value <= lines.below[0][0] * Fraction(at) + Fraction(lines.below[1][0])
                for v, s in rng.normal(size=(4, 2)):
                    found = max((v * y - s * band.x).max() for y in (band.below, band.above))
                    assert v * value - s * at <= found + 1e-12 * (1 + abs(v * value) + abs(s * at))


def test_what_jumps_is_as_close_as_it_can_be():
    # One step, none, and as many as there are pieces: the band is the function itself.
    for name, low, high, least, most in (("floor", 0.25, 0.75, 0, 0), ("floor", 0.5, 1.5, 0, 1), ("floor", -1.0, 29.5, -1, 29), ("sign", 0.5, 1.0, 1, 1), ("sign", -2.0, -0.5, -1, -1)):  # fmt: skip
        lines = Lines.over(CURVES[name], np.array([low]), np.array([high]), Float64().ends)
        assert (lines.least[0], lines.most[0]) == (least, most)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "exp", "softplus", "gelu", "sin"])
def test_lines_are_close_to_the_best(name):
    # Over [-1, 2]: what a line above the function is in the middle is at least the concave hull there.
    low, high = np.array([-1.0]), np.array([2.0])
    lines = Lines.over(CURVES[name], low, high, Float64().ends)
    x = np.linspace(-1.0, 2.0, 401)
    y = np.array([float(truth(name, at)) for at in x])
    left, right = x < 0.5, x >= 0.5
    share = (0.5 - x[left][:, None]) / (x[right] - x[left][:, None])
    for sign, (slope, more) in ((1, lines.above), (-1, lines.below)):
        hull = (sign * ((1 - share) * y[left][:, None] + share * y[right])).max()
        assert hull - 1e-4 <= slope[0] * 0.5 + more[0] <= hull + 0.02 * np.ptp(y)


@pytest.mark.parametrize(("name", "low", "high"), [("log", -1.0, 1.0), ("log", 0.0, 1.0), ("reciprocal", -1.0, 1.0), ("sqrt", -1e-9, 1.0), ("sin", 0.0, 1e7), ("within", 0.0, 1e39), ("floor", 0.0, 1e13), ("exp", 0.0, np.inf), ("sigmoid", -np.inf, np.inf)])  # fmt: skip
def test_where_a_function_is_not_there_nothing_is_said(name, low, high):
    lines = Lines.over(CURVES[name], np.array([low]), np.array([high]), Float64().ends)
    assert lines.least[0] == -np.inf and lines.most[0] == np.inf
    assert lines.above[1][0] == np.inf and lines.below[1][0] == np.inf


def smooth(rng, name: str, inputs: int) -> bytes:
    """Two layers of a function, of which the second is fed by the first and by the input."""
    made = Builder([1, inputs], dtype=np.float64)

    def dense(at, before, after, bias=0.3):
        weight = rng.normal(size=(before, after)) / before**0.5
        return made.node("Gemm", at, made.constant(weight), made.constant(rng.normal(size=after) * bias))

    first = made.node(OPERATORS[name], dense("x", inputs, 4))
    second = made.node(OPERATORS[name], made.node("Add", dense(first, 4, 3), dense("x", inputs, 3)))
    return made.bytes(dense(made.node("Relu", dense(second, 3, 3)), 3, 2))


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("name", OPERATORS)
def test_bounds_hold_what_networks_compute(name, arithmetic):
    numbers, inputs = ARITHMETICS[arithmetic](), 3
    for seed in range(6 if arithmetic == "float64" else 2):
        rng = np.random.default_rng(seed)
        network = smooth(rng, name, inputs)
        evaluation = Evaluation(read_network(network, inputs, numbers, "n"), numbers)
        center, radius = rng.normal(size=inputs), 10.0 ** rng.uniform(-8, 0)
        lower, upper = center - radius, center + radius
        corners = np.array(list(itertools.product(*zip(lower, upper, strict=True))))
        inside = np.concatenate([corners, lower + rng.random((6, inputs)) * (upper - lower)])
        values = [values_of(network, x, Digits()) for x in inside.tolist()]
        for rule in (INTERVALS, FORMS, CROWN, BOTH):
            cells = evaluation.derive(evaluation.root(lower, upper), rule)
            rows, last, features = 5, len(evaluation.network.nodes) - 1, evaluation.network.sizes
            c, t = rng.normal(size=(rows, 2)), rng.normal(size=rows)
            c[0], t[0] = (1.0, 0.0), 0.0
            for slopes in some_slopes(rng, rows, features):
                objective = Objective({last: numbers.load(c)}, numbers.load(t))
                found = evaluation.refutations(cells, np.zeros(rows, np.int64), objective, slopes)
                for row in range(rows):
                    best = max(sum(Fraction(a) * b for a, b in zip(c[row], y, strict=True)) for y in values) + Fraction(
                        t[row]
                    )
                    assert best <= found[row], (seed, rule, row)
                    if slopes is None and radius < 1e-5 and abs(c[row]).max() < 10:
                        assert found[row] <= best + Fraction(1e3 * radius)


@pytest.mark.parametrize("name", OPERATORS)
def test_bounds_of_points_are_next_to_values(name):
    # Where nothing is open, the error term and the enclosures are all that there is.
    rng = np.random.default_rng(5)
    network = smooth(rng, name, 3)
    x = rng.normal(size=3)
    (best, _) = values_of(network, x.tolist(), Digits())
    for numbers in (Float64(), Ball(), Rational()):
        evaluation = Evaluation(read_network(network, 3, numbers, "n"), numbers)
        cells, last = evaluation.root(x, x), len(evaluation.network.nodes) - 1
        for sign in (1.0, -1.0):
            objective = Objective({last: numbers.load(np.array([[sign, 0.0]]))}, numbers.load(np.zeros(1)))
            found = evaluation.refutations(cells, np.zeros(1, np.int64), objective)[0]
            assert 0 <= Fraction(found) - Fraction(sign) * best <= Fraction(1e-9)


def one(name: str, weight: float, bias: float) -> bytes:
    """``f(weight x + bias)``."""
    return chain([[[weight]], [[1.0]]], [[bias], [0.0]], bend=OPERATORS[name])


def asking(lower: float, upper: float, threshold: Fraction) -> bytes:
    text = property_text([lower], [upper], 1, [[((1.0,), 0.0)]]).decode()
    digits = 50
    whole = threshold.numerator * 10**digits // threshold.denominator
    written = str(abs(whole)).rjust(digits + 1, "0")
    number = f"{'-' if whole < 0 else ''}{written[:-digits]}.{written[-digits:]}"
    return (text[: text.rindex("(assert")] + f"(assert (>= Y_0 {number}))\n").encode()


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("name", OPERATORS)
def test_what_is_attained_is_not_refuted_and_what_is_not_nearly_is(name, arithmetic):
    rng = np.random.default_rng(7)
    for lower, upper in ((-1.0, 1.0), (0.25, 0.25), (-0.5, 0.75), (0.125, 0.25)):
        weight, bias = float(rng.normal()), float(rng.normal())
        network = one(name, weight, bias)
        best = max(values_of(network, [x], Digits())[0] for x in np.linspace(lower, upper, 9).tolist())
        row = {"row_exponent": [0], "row_base": [0], "row_mu": [1], "row_count": [0]}
        false = asking(lower, upper, best - Fraction(1, 10**45))
        for slope in (None, -2, 0, 1, 3):
            given = dict(row)
            if slope is not None:
                given |= {"row_count": [1], "row_feature": [0], "row_slope": [slope], "row_added": [0]}
            with pytest.raises(ProofError):
                check_real(
                    certificate(network, false, 1, 1, rule=[BOTH], **given), network, false, arithmetic=arithmetic
                )
        if lower == upper:
            true = asking(lower, upper, best + Fraction(1, 10**9))
            check_real(certificate(network, true, 1, 1, **row), network, true, arithmetic=arithmetic)


def test_a_band_beyond_the_size_of_its_values_is_no_bound():
    network = one("sigmoid", 1.0, 0.0)
    evaluation = Evaluation(read_network(network, 1, Float64(), "n"), Float64())
    cells = evaluation.root(np.array([-1.0]), np.array([1.0]))
    small = tuple(size * (0.1 if i == 2 else 1.0) for i, size in enumerate(cells.size))
    objective = Objective({3: np.ones((1, 1))}, np.zeros(1))
    assert evaluation.refutations(cells, np.zeros(1, np.int64), objective)[0] < 1
    shrunk = type(cells)(cells.lower, cells.upper, cells.low, cells.high, small)
    assert evaluation.refutations(shrunk, np.zeros(1, np.int64), objective)[0] == np.inf


def test_attributes_of_functions_that_have_none_are_refused():
    made = Builder([1, 2])
    with pytest.raises(FormatError, match="alpha"):
        read_network(made.bytes(made.node("Sigmoid", "x", alpha=1.0)), 2, Float64(), "n")


@pytest.mark.parametrize("slope", [None, 0.5])
def test_ranges_that_are_changed_in_place_have_lines_of_their_own(slope):
    network = one("sigmoid", 1.0, 0.0)
    evaluation = Evaluation(read_network(network, 1, Float64(), "n"), Float64())
    cells = evaluation.root(np.array([-1.0]), np.array([1.0]))
    slopes = None if slope is None else Slopes((np.array([[slope]]),), (None,), np.zeros(1, np.bool_))
    objective, rows = Objective({3: np.ones((1, 1))}, np.zeros(1)), np.zeros(1, np.int64)
    first = evaluation.refutations(cells, rows, objective, slopes)[0]
    cells.low[0][0, 0] = cells.high[0][0, 0] = cells.lower[0, 0] = 0.0
    cells.upper[0, 0] = 0.0
    assert abs(evaluation.refutations(cells, rows, objective, slopes)[0] - 0.5) < 1e-9 < first - 0.5
    # The other way around what was known would be too small.
    cells.low[0][0, 0], cells.high[0][0, 0], cells.lower[0, 0], cells.upper[0, 0] = -1.0, 1.0, -1.0, 1.0
    assert evaluation.refutations(cells, rows, objective, slopes)[0] >= first - 1e-12
