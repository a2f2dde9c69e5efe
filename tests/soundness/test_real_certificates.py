"""Certificates about float networks: what is accepted is true, whoever made it.

Every claim here is known to be true or false by other means: a witness that was evaluated in rational numbers, or an exact
maximum. Certificates of false claims are made by hand, by chance, and by search for multipliers that bring the bound as close
to 0 as it comes.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from netproof.certificate.checker.real import bound as bound_module
from netproof.certificate.checker.real.bound import Evaluation
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.container import pack, unpack
from netproof.certificate.real.contents import (
    BOTH,
    CROWN,
    EMPTY,
    FORMS,
    INTERVALS,
    LEAF,
    LEMMAS,
    NAMES,
    SPLIT,
    arrays_of,
)
from netproof.certificate.real.format import VERSIONS, decode, encode
from netproof.errors import CertificateError, FormatError, InputError, NetproofError, ProofError
from soundness.real_evidence import Builder, certificate, chain, perceptron, property_text, values_of

ARITHMETICS = ("float64", "arb", "rational")


def refused(made, network, property_, arithmetic="float64", match=None):
    with pytest.raises(ProofError, match=match):
        check_real(made, network, property_, arithmetic=arithmetic)


def accepted(made, network, property_, arithmetic="float64"):
    again = decode(encode(made))
    assert all((again.arrays[name] == made.arrays[name]).all() for name in NAMES)
    return check_real(again, network, property_, arithmetic=arithmetic)


def simple(threshold=0.5):
    """``y = relu(x) - relu(x - 1/4)`` on [-1, 1]: the largest value is 1/4, CROWN's bound is 1."""
    made = Builder([1, 1])
    a = made.node("Gemm", "x", made.constant([[1.0], [1.0]]), made.constant([0.0, -0.25]), transB=1)
    y = made.node("Gemm", made.node("Relu", a), made.constant([[1.0, -1.0]]), made.constant([0.0]), transB=1)
    return made.bytes(y), property_text([-1.0], [1.0], 1, [[((1.0,), threshold)]])


#: the same box in two halves
HALVES = {
    "kind": [SPLIT, LEAF, LEAF],
    "rule": [0, INTERVALS, INTERVALS],
    "leaf_row": [0, 0],
    "split_relu": [0],
    "split_feature": [0],
    "split_point": [0],
    "split_exponent": [0],
}


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_a_split_of_the_box_proves_what_one_bound_does_not(arithmetic):
    network, property_ = simple()
    refused(
        certificate(network, property_, 1, 1), network, property_, arithmetic, "leaf 0 of part 0 has a bound of 0.5"
    )
    made = certificate(network, property_, 1, 1, **HALVES)
    found = accepted(made, network, property_, arithmetic)
    assert (found.counts.leaves, found.counts.splits) == (2, 1) and found.counts.closest == pytest.approx(-0.25)
    # One half is still too large, split elsewhere; and every number below the largest value is too small.
    for wrong in ({"split_point": [-3], "split_exponent": [2]}, {"rule": [0, 0, 0]}):
        refused(certificate(network, property_, 1, 1, **{**HALVES, **wrong}), network, property_, arithmetic)
    network, property_ = simple(0.25)
    refused(certificate(network, property_, 1, 1, **HALVES), network, property_, arithmetic)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_slopes_of_rows_are_taken(arithmetic):
    network, property_ = simple()
    signs = {**HALVES, "rule": [0, 0, 0], "split_relu": [1], "leaf_row": [0, 1]}
    rows = {"row_exponent": [0, 0], "row_base": [0, 0], "row_mu": [1, 1], "row_count": [0, 1], "row_feature": [1]}
    for slope, is_enough in ((1, True), (0, False)):
        given = {**signs, **rows, "row_slope": [slope], "row_added": [0]}
        made = certificate(network, property_, 1, 1, **given)
        if is_enough:
            assert accepted(made, network, property_, arithmetic).counts.given == 1
        else:
            refused(made, network, property_, arithmetic, "leaf 2")
    for wrong in ([2], [-1]):
        given = {**signs, **rows, "row_slope": [1], "row_added": [0], "row_feature": wrong}
        refused(certificate(network, property_, 1, 1, **given), network, property_, arithmetic, "not there")


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_what_rows_add_holds_on_the_side_of_a_split(arithmetic):
    # (x + relu(x), -x) is never (at least 1/2, at least 1/8): on either side of 0 another output says so.
    made = Builder([1, 1])
    a = made.node("MatMul", "x", made.constant([[1.0]]))
    first = made.node("MatMul", made.node("Add", a, made.node("Relu", a)), made.constant([[1.0, 0.0]]))
    network = made.bytes(made.node("Add", first, made.node("MatMul", "x", made.constant([[0.0, -1.0]]))))
    property_ = property_text([-1.0], [1.0], 2, [[((1.0, 0.0), 0.5), ((0.0, 1.0), 0.125)]])
    rows = {
        **HALVES,
        "rule": [0, 0, 0],
        "split_relu": [1],
        "leaf_row": [0, 1],
        "row_exponent": [0, 0],
        "row_base": [0, 0],
        "row_mu": [1, 0, 0, 1],
        "row_count": [1, 1],
        "row_feature": [0, 0],
        "row_slope": [0, 0],
    }
    good = {(first, second): False for first in (-1, 0, 1) for second in (-1, 0, 1)}
    for first, second in good:
        made_ = certificate(network, property_, 1, 2, **rows, row_added=[first, second])
        try:
            accepted(made_, network, property_, arithmetic)
            good[first, second] = True
        except ProofError:
            pass
    assert [pair for pair, is_good in good.items() if is_good] == [(-1, 1)]
    # Weights are not negative, and there are as many as constraints.
    negative = certificate(network, property_, 1, 2, **{**rows, "row_mu": [1, -1, 0, 1]}, row_added=[-1, 1])
    with pytest.raises(CertificateError, match="row_mu"):
        check_real(negative, network, property_, arithmetic=arithmetic)
    more = certificate(network, property_, 1, 2, **{**rows, "row_mu": [1, 0, 1, 0, 1, 0]}, row_added=[-1, 1])
    refused(more, network, property_, arithmetic, "weighs constraints")


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_lemmas_cut_ranges_for_what_comes_after(arithmetic):
    # z = relu(y - 1/4) of the network above is 0; without a lemma about y its range is up to 3/4.
    made = Builder([1, 1])
    a = made.node("Gemm", "x", made.constant([[1.0], [1.0]]), made.constant([0.0, -0.25]), transB=1)
    y = made.node("Gemm", made.node("Relu", a), made.constant([[1.0, -1.0]]), made.constant([-0.25]), transB=1)
    network = made.bytes(made.node("Relu", y))
    property_ = property_text([-1.0], [1.0], 1, [[((1.0,), 0.375)]])
    refused(certificate(network, property_, 1, 1), network, property_, arithmetic)
    lemma = {
        "stages": [1],
        "stage": [LEMMAS],
        "lemma_count": [1],
        "lemma_relu": [2],
        "lemma_feature": [0],
        "lemma_side": [1],
        "lemma_end": [1],
        "lemma_exponent": [3],
        "kind": [*HALVES["kind"], LEAF],
        "rule": [*HALVES["rule"], 0],
        "leaf_row": [0, 0, 1],
        **{name: HALVES[name] for name in HALVES if name.startswith("split")},
        "row_exponent": [0, 0],
        "row_base": [0, 0],
        "row_mu": [0, 1],
        "row_count": [0, 0],
    }
    found = accepted(certificate(network, property_, 1, 1, **lemma), network, property_, arithmetic)
    assert found.counts.lemmas == 1
    # The end that is attained holds, and the one below it does not.
    accepted(
        certificate(network, property_, 1, 1, **{**lemma, "lemma_end": [1], "lemma_exponent": [40]}), network, property_
    )
    for wrong in ({"lemma_end": [-1]}, {"lemma_side": [0]}, {"lemma_relu": [1]}, {"row_mu": [1, 1]}):
        refused(certificate(network, property_, 1, 1, **{**lemma, **wrong}), network, property_, arithmetic)
    for wrong in ({"lemma_relu": [3]}, {"lemma_feature": [1]}, {"lemma_relu": [0]}, {"lemma_feature": [-1]}):
        refused(certificate(network, property_, 1, 1, **{**lemma, **wrong}), network, property_, match="not there")


def test_what_is_empty_is_proved_and_what_is_not_is_not():
    network, property_ = simple()
    wrong = certificate(network, property_, 1, 1, kind=[EMPTY], leaf_row=[])
    refused(wrong, network, property_, match="node 0 of part 0 is said to be empty")
    # On x <= 0 its own range leaves nothing of x >= 2, and something of x >= 0.
    corner = {
        "kind": [SPLIT, LEAF, EMPTY],
        "rule": [0, 0, INTERVALS],
        "leaf_row": [0],
        "split_relu": [1],
        "split_feature": [0],
        "split_point": [0],
        "split_exponent": [0],
    }
    refused(certificate(network, property_, 1, 1, **corner), network, property_, match="node 2")
    # The other half is all of the box then, of which CROWN's bound is not enough.
    beyond = certificate(network, property_, 1, 1, **{**corner, "split_point": [2]})
    refused(beyond, network, property_, match="leaf 1")
    network, property_ = simple(1.5)
    accepted(certificate(network, property_, 1, 1, **{**corner, "split_point": [2]}), network, property_)


def hard_touch(seed: int, *, spread: float, dtype=np.float32):
    """A network, a box of one point, and a threshold that its output there attains exactly; or the next below it."""
    rng = np.random.default_rng(seed)
    network = perceptron(rng, (3, 5, 5, 1), spread=spread, dtype=dtype)
    x = (rng.normal(size=3) * 10.0 ** rng.integers(-2, 3)).astype(np.float32).astype(np.float64)
    (y,) = values_of(network, x.tolist())
    return network, x, y


def exact_decimal(value: Fraction) -> str:
    digits = value.denominator.bit_length() - 1
    text = str(abs(value.numerator) * 5**digits).rjust(digits + 1, "0")
    return ("-" if value < 0 else "") + (f"{text[:-digits]}.{text[-digits:]}" if digits else text)


def at_point(x, threshold: Fraction, comparison: str = ">=", reach=0.0) -> bytes:
    text = property_text((x - reach).tolist(), (x + reach).tolist(), 1, [[((1.0,), 0.0)]]).decode()
    head = text[: text.rindex("(assert")]
    return f"{head}(assert ({comparison} Y_0 {exact_decimal(threshold)}))\n".encode()


@pytest.mark.parametrize("spread", [0.0, 16.0])
def test_a_threshold_that_is_attained_is_never_refuted(spread):
    # The bound is 0 by every row; what rounds makes it less than 0 every other time, but for the error term.
    below = 0
    for seed in range(60):
        network, x, y = hard_touch(seed, spread=spread, dtype=(np.float32, np.float64)[seed % 2])
        if y.denominator.bit_length() > 900:
            continue
        property_ = at_point(x, y)
        for rule in (INTERVALS, FORMS, CROWN, BOTH):
            made = certificate(network, property_, 3, 1, rule=[rule])
            refused(made, network, property_)
        refused(made, network, property_, "rational")
        if seed < 10:
            refused(made, network, property_, "arb")
        # Just above is refuted, by exact arithmetic at least.
        above_it = at_point(x, y + Fraction(1, 2**20) * (1 + abs(y)))
        accepted(certificate(network, above_it, 3, 1), network, above_it, "rational")
        below += 1
    assert below >= 30


def test_a_strict_threshold_that_is_attained_is_refuted_by_fractions():
    network, x, y = hard_touch(1, spread=0.0)
    property_ = at_point(x, y, ">")
    for arithmetic in ARITHMETICS:
        accepted(certificate(network, property_, 3, 1), network, property_, arithmetic)
    # Not where it is not strict, nor where the threshold is a little lower.
    for other in (at_point(x, y), at_point(x, y - Fraction(1, 2**70), ">")):
        for arithmetic in ARITHMETICS:
            refused(certificate(network, other, 3, 1), network, other, arithmetic)


def test_networks_too_large_for_fractions_are_left_to_whoever_asks_for_them(monkeypatch):
    network, x, y = hard_touch(1, spread=0.0)
    property_ = at_point(x, y, ">")
    monkeypatch.setattr(bound_module, "_PRODUCTS", 1)
    refused(certificate(network, property_, 3, 1), network, property_, "float64")
    accepted(certificate(network, property_, 3, 1), network, property_, "rational")


def test_what_fractions_cannot_say_is_left_open():
    # The factor of this normalization is 1 / sqrt(2), so that the network is none in fractions, and neither leaf nor witness is shown.
    made = Builder([1, 1], dtype=np.float64)
    numbers = [made.constant([value]) for value in (1.0, 0.0, 0.0, 2.0)]
    scaled = made.node("BatchNormalization", "x", *numbers, epsilon=0.0)
    network = made.bytes(made.node("Mul", scaled, made.constant([[0.0]])))
    for comparison, claim in ((">", "unsat"), (">=", "sat")):
        text = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 0))(assert (<= X_0 1))"
        property_ = f"{text}(assert ({comparison} Y_0 0))".encode()
        given = (
            {} if claim == "unsat" else {"witness": [1], "witness_limbs": [1], "witness_two": [1], "witness_ten": [0]}
        )
        refused(certificate(network, property_, 1, 1, claim, **given), network, property_, "float64")


def test_no_multipliers_refute_what_has_a_witness():
    # By descent on random rows: the bound comes as close to 0 as a case allows whose largest value is attained at a corner.
    closest, tried = np.inf, 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        network = perceptron(rng, (2, 4, 4, 1), spread=(0.0, 6.0)[seed % 2])
        center = rng.normal(size=2).astype(np.float32).astype(np.float64)
        corners = center + 0.125 * np.array([[a, b] for a in (-1, 1) for b in (-1, 1)])
        y = max(values_of(network, corner.tolist())[0] for corner in corners)
        property_ = at_point(center, y, reach=0.125)
        width = 8
        best, value = rng.normal(size=(2, width)) * 0.1, np.inf
        for step in range(60):
            moved = best + rng.normal(size=best.shape) * 0.3 * 0.93**step
            slope, added = (
                np.rint(np.clip(moved[0] + 0.5, 0, 1) * 1024),
                np.rint(moved[1] * 1024 * (rng.random() < 0.7)),
            )
            rows = {
                "row_exponent": [10],
                "row_base": [0],
                "row_mu": [1024],
                "row_count": [width],
                "row_feature": range(width),
                "row_slope": slope.astype(int),
                "row_added": added.astype(int),
                "rule": [BOTH],
            }
            made = certificate(network, property_, 2, 1, **rows)
            with pytest.raises(ProofError) as error:
                check_real(made, network, property_)
            tried += 1
            found = float(str(error.value).split("a bound of ")[1].split(",")[0])
            if found < value:
                best, value = moved, found
        closest = min(closest, value)
        assert value >= 0
    assert tried == 360 and closest < 0.5


def test_splits_by_chance_never_refute_what_has_a_witness():
    rng = np.random.default_rng(0)
    network, x, y = hard_touch(3, spread=0.0)
    property_ = at_point(x, y, reach=2.0**-6)
    for _ in range(150):
        splits = int(rng.integers(0, 6))
        kind, rule, open_ = [], [], 1
        while open_:
            is_split = splits > 0
            kind.append(SPLIT if is_split else (LEAF, EMPTY)[int(rng.random() < 0.2)])
            rule.append(int(rng.integers(0, 5)))
            splits -= is_split
            open_ += 1 if is_split else -1
        count = kind.count(SPLIT)
        relu = rng.integers(0, 3, size=count)
        made = certificate(
            network,
            property_,
            3,
            1,
            kind=kind,
            rule=rule,
            leaf_row=[0] * kind.count(LEAF),
            split_relu=relu,
            split_feature=[int(rng.integers(0, 3 if k == 0 else 5)) for k in relu],
            split_point=rng.integers(-(2**20), 2**20, size=count),
            split_exponent=rng.integers(15, 25, size=count),
        )
        refused(made, network, property_)


def two_cases():
    rng = np.random.default_rng(7)
    network = perceptron(rng, (2, 5, 5, 2))
    property_ = property_text(
        [0.0, 0.0], [0.5, 0.5], 2, [[((1.0, 0.0), 20.0), ((0.0, 1.0), -50.0)], [((0.0, 1.0), 30.0)]]
    )
    made = certificate(
        network,
        property_,
        2,
        2,
        cases=[2],
        tree=[0, 1],
        stages=[2],
        stage=[FORMS, CROWN],
        kind=[SPLIT, LEAF, LEAF, LEAF],
        rule=[0, 0, INTERVALS, BOTH],
        leaf_row=[0, 1, 2],
        split_relu=[1],
        split_feature=[2],
        split_point=[1],
        split_exponent=[3],
        row_exponent=[0, 2, 10],
        row_base=[0, 1, 0],
        row_mu=[1, 0, 4, 1, 1024, 0],
        row_count=[0, 1, 2],
        row_feature=[3, 1, 7],
        row_slope=[1, 512, 100],
        row_added=[-1, 0, 3],
    )
    return network, property_, made


def answer_to(made, network: bytes, property_: bytes) -> str:
    try:
        check_real(made, network, property_)
    except ProofError:
        return "refused"
    except CertificateError:
        return "unusable"
    return "accepted"


def test_entries_changed_by_chance_neither_crash_nor_prove_anything_false():
    network, property_, made = two_cases()
    accepted(made, network, property_)
    # The same certificate of a property that has a witness: whatever is changed, it must not be accepted.
    (y0, y1) = values_of(network, [0.25, 0.25])
    false = property_text(
        [0.0, 0.0],
        [0.5, 0.5],
        2,
        [[((1.0, 0.0), float(y0) - 1e-6), ((0.0, 1.0), float(y1) - 1e-6)], [((0.0, 1.0), 30.0)]],
    )
    wrong = replace(made, property_sha256=certificate(network, false, 2, 2).property_sha256)
    rng = np.random.default_rng(1)
    names = [name for name in NAMES if len(made.arrays[name])]
    kinds = {"accepted": 0, "refused": 0, "unusable": 0}
    for _ in range(600):
        arrays = {name: values.copy() for name, values in made.arrays.items()}
        for _ in range(int(rng.integers(1, 3))):
            name = names[int(rng.integers(len(names)))]
            values = arrays[name]
            if rng.random() < 0.2:
                arrays[name] = np.concatenate([values, values[:1]]) if rng.random() < 0.5 else values[:-1]
            elif len(values):
                at = int(rng.integers(len(values)))
                values[at] = (values[at] + int(rng.integers(-2, 3)), int(rng.integers(-(2**52), 2**52)), 0, 1)[
                    int(rng.integers(4))
                ]
        for changed, question in ((replace(made, arrays=arrays), property_), (replace(wrong, arrays=arrays), false)):
            answer = answer_to(changed, network, question)
            assert answer != "accepted" or question is property_
            kinds[answer] += 1
    assert min(kinds.values()) > 20


def test_bytes_changed_by_chance_are_refused():
    _, _, made = two_cases()
    data = encode(made)
    rng = np.random.default_rng(2)
    for _ in range(300):
        broken = bytearray(data)
        if rng.random() < 0.3:
            broken = broken[: int(rng.integers(len(data)))]
        else:
            broken[int(rng.integers(len(broken)))] ^= 1 << int(rng.integers(8))
        with pytest.raises(CertificateError):
            decode(bytes(broken))
    container = unpack(data, "file", VERSIONS)
    body = zlib.decompress(container.body)
    for header in (
        b"{}",
        b"[]",
        b'{"a":',
        b"\xff",
        container.header + b" ",
        container.header.replace(b"real", b"integer"),
        b"[" * 100000,
    ):
        with pytest.raises(CertificateError):
            decode(pack(VERSIONS[0], header, np.zeros(1, np.int64)))
    for old, new in (
        (b'"unsat"', b'"maybe"'),
        (b'["kind",4]', b'["kind",4000000000]'),
        (b'["kind",4]', b'["kind",-4]'),
        (b'["kind",4]', b'["kind",true]'),
        (b'["kind",4]', b'["kind",5]'),
    ):
        assert old in container.header
        with pytest.raises(CertificateError):
            decode(pack(VERSIONS[0], container.header.replace(old, new), np.zeros(len(body), np.int64)))
    with pytest.raises(CertificateError, match="more than are allowed"):
        decode(data, memory=100)


def test_a_certificate_is_about_its_network_and_its_property_alone():
    network, property_, made = two_cases()
    rng = np.random.default_rng(8)
    other = perceptron(rng, (2, 5, 5, 2))
    with pytest.raises(CertificateError, match="about the network with SHA-256"):
        check_real(made, other, property_)
    with pytest.raises(CertificateError, match="about the property with SHA-256"):
        check_real(made, network, property_ + b"\n")
    with pytest.raises(CertificateError, match="other numbers of inputs"):
        check_real(replace(made, inputs=3), network, property_)
    with pytest.raises(InputError, match="is no arithmetic"):
        check_real(made, network, property_, arithmetic="float32")
    refused(
        replace(made, arrays=arrays_of(**{**made.arrays, "cases": [1], "tree": [0]})),
        network,
        property_,
        match="other cases",
    )
    with pytest.raises(ProofError, match="within the time limit"):
        check_real(made, network, property_, seconds=0.0)


def test_witnesses_are_evaluated_over_the_real_numbers():
    network, x, y = hard_touch(5, spread=0.0)
    limbs = [int(v * 2**40) for v in x.tolist()]
    assert [v / 2**40 for v in limbs] == x.tolist()
    given = {"witness": limbs, "witness_limbs": [1] * 3, "witness_two": [40] * 3, "witness_ten": [0] * 3}
    met = at_point(x, y - Fraction(1, 2**20), reach=0.5)
    for arithmetic in ARITHMETICS:
        assert accepted(certificate(network, met, 3, 1, "sat", **given), network, met, arithmetic).part == 0
    touched = at_point(x, y, reach=0.5)
    strict = at_point(x, y, ">", reach=0.5)
    for arithmetic in ARITHMETICS:
        accepted(certificate(network, touched, 3, 1, "sat", **given), network, touched, arithmetic)
        refused(certificate(network, strict, 3, 1, "sat", **given), network, strict, arithmetic, "not shown")
    outside = {**given, "witness": [limbs[0] + 2**40, *limbs[1:]]}
    refused(certificate(network, met, 3, 1, "sat", **outside), network, met, match="in none of the property's boxes")
    # A strict end of a box is no part of it.
    text = at_point(x, y - 1, reach=0.5).decode()
    open_end = (text + f"(assert (< X_0 {exact_decimal(Fraction(x[0]))}))\n").encode()
    refused(certificate(network, open_end, 3, 1, "sat", **given), network, open_end, match="not shown")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("(assert (or (<= X_0 1) (>= X_0 0)))", "without a bound"),
        ("(assert (<= (* X_0 Y_0) 1))", "product of variables"),
        ("(assert (<= X_1 1))", "'X_1'"),
        ("(assert (=> (<= X_0 1) (>= Y_0 1)))", "formula"),
        ("(assert (<= X_0 1e9999))", "1e9999"),
        ("(assert (<= X_0 1)", "not closed"),
        ("(assert (<= X_0 1)))", "closes nothing"),
        ("(push)", "statement"),
        ("(check-sat)(assert (<= X_0 1))", "stands after"),
        ("(exit)(assert (<= X_0 1))", "stands after"),
        ("(declare-const X_0 Real)", "declaration"),
        ("(assert true)", "formula"),
        ("(assert (<= X_0 |1|))", "character"),
        ("(assert " + "(and " * 100 + ")" * 101, "deep"),
        ("(assert (and " + "(or (<= X_0 1) (>= Y_0 1)) " * 30 + "))", "so many"),
    ],
)
def test_properties_that_are_not_known_are_refused(text, problem):
    network, _ = simple()
    property_ = f"(declare-const X_0 Real)(declare-const Y_0 Real){text}".encode()
    with pytest.raises(FormatError, match=problem):
        check_real(certificate(network, property_, 1, 1), network, property_)


def changed(kind: str) -> bytes:
    made = Builder([1, 1], opset=6 if kind == "opset" else 17)
    one = made.constant([[1.0]])
    if kind == "operator":
        return made.bytes(made.node("Einsum", "x", one, equation="ij,jk->ik"))
    if kind == "attribute":
        return made.bytes(made.node("Flatten", "x", axis=7))
    if kind in ("auto_pad", "valid"):
        image = Builder([1, 1, 1, 1])
        weight = image.constant(np.ones((1, 1, 1, 1)))
        named = {
            "auto_pad": "SAME_UPPER" if kind == "auto_pad" else "VALID",
            "pads": [0, 0, 0, 1 if kind == "valid" else 0],
        }
        return image.bytes(image.node("Flatten", image.node("Conv", "x", weight, **named)))
    if kind == "unknown attribute":
        return made.bytes(made.node("Relu", "x", slope=2.0))
    if kind == "nan":
        return made.bytes(made.node("MatMul", "x", made.constant([[np.nan]])))
    if kind == "training":
        numbers = [made.constant([1.0])] * 4
        return made.bytes(made.node("BatchNormalization", "x", *numbers, training_mode=1))
    if kind == "variance":
        numbers = [made.constant([1.0])] * 3
        return made.bytes(made.node("BatchNormalization", "x", *numbers, made.constant([-1.0])))
    if kind == "type":
        return made.bytes(made.node("MatMul", "x", made.constant([[1.0]], np.float16)))
    if kind == "shape":
        return made.bytes(
            made.node("Add", made.node("Expand", "x", made.constant([1, 3], np.int64)), made.constant([1.0, 2.0]))
        )
    return made.bytes(made.node("MatMul", "x", one))


@pytest.mark.parametrize(
    "kind",
    [
        "operator",
        "attribute",
        "unknown attribute",
        "nan",
        "training",
        "variance",
        "type",
        "shape",
        "opset",
        "auto_pad",
        "valid",
    ],
)
def test_networks_that_are_not_known_are_refused(kind):
    network = changed(kind)
    property_ = property_text([0.0], [1.0], 1, [[((1.0,), 5.0)]])
    with pytest.raises(FormatError, match="is not read by the checker"):
        check_real(certificate(network, property_, 1, 1), network, property_)
    with pytest.raises(NetproofError):
        check_real(certificate(b"nonsense", property_, 1, 1), b"nonsense", property_)


def test_a_network_that_is_known_is_read():
    network = changed("")
    property_ = property_text([0.0], [1.0], 1, [[((1.0,), 5.0)]])
    assert accepted(certificate(network, property_, 1, 1), network, property_).neurons == 0


def test_linear_forms_are_carried_in_portions(monkeypatch):
    network, property_, made = two_cases()
    whole = check_real(made, network, property_).counts
    monkeypatch.setattr("netproof.certificate.checker.real.tree._FORMS", 2 * 5)
    assert check_real(made, network, property_).counts == whole
    monkeypatch.setattr("netproof.certificate.checker.real.tree._FORMS", 2 * 5 - 1)
    refused(made, network, property_, match="linear forms in so many inputs")


def test_an_evaluation_counts_its_roundings():
    network, _, _ = two_cases()
    from netproof.certificate.checker.real.numbers import Float64

    evaluation = Evaluation(read_network(network, 2, Float64(), "network"), Float64())
    assert 50 * 2.0**-53 < evaluation.gamma < 500 * 2.0**-53


@pytest.mark.parametrize("arithmetic", ["float64", "arb", "rational"])
def test_a_threshold_that_is_missed_by_less_than_rounding_can_tell_is_told_in_fractions(arithmetic):
    """Neither is one refuted that is reached exactly, or passed by as little."""
    rng = np.random.default_rng(5)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((4, 2), (1, 4))]
    weights[0] = abs(weights[0])  # every ReLU is on, so that CROWN's bound is the largest value
    network = chain([w.tolist() for w in weights], [[0.0] * 4, [0.0]])
    slopes = [
        sum(Fraction(float(v)) * Fraction(float(w)) for v, w in zip(weights[1][0], weights[0][:, i], strict=True))
        for i in range(2)
    ]
    ends = np.float32([[0.1, 0.3], [0.7, 0.9]]).astype(np.float64)
    top = sum(slope * Fraction(float(ends[int(slope > 0), i])) for i, slope in enumerate(slopes))
    tiny = Fraction(1, 1 << 70)
    for threshold, holds in ((top + tiny, True), (top, False), (top - tiny, False)):
        property_ = property_text(ends[0].tolist(), ends[1].tolist(), 1, [[((1.0,), threshold)]])
        made = certificate(network, property_, 2, 1)
        if holds:
            assert check_real(made, network, property_, arithmetic=arithmetic).counts.leaves == 1
        else:
            with pytest.raises(ProofError, match="not below 0"):
                check_real(made, network, property_, arithmetic=arithmetic)
