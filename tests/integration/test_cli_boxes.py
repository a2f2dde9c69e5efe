"""Properties on integer networks as a user asks them: several boxes, strict constraints, evidence of every part."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction

import numpy as np
import pytest

from conftest import assert_refused, classify, random_layers, write_keras_h5
from netproof import Conjunction, Query, Settings, Verdict, load, read_vnnlib, verify
from netproof.certificate.bundle import Bundle, decode_bundle, encode_bundle
from netproof.certificate.format import encode
from netproof.certificate.make import certificate_of

LAYERS = random_layers((2, 4, 3), seed=11)


def outputs(x):
    """Outputs of the network at integer inputs ``[N, 2]``, written down a second time."""
    value, fraction = np.asarray(x, np.int64), 8
    for number, (kernel, bias) in enumerate(LAYERS):
        weight = np.sign(kernel) * np.floor(np.abs((kernel * 32).clip(-32, 31)) + 0.5)
        offset = np.sign(bias) * np.floor(np.abs((bias * 16).clip(-32, 31)) + 0.5)
        shift = fraction + 5 - 4
        value = value @ weight.astype(np.int64) + (offset.astype(np.int64) << (fraction + 1))
        value = (value + (1 << shift) // 2) >> shift
        value = value.clip(-32, 31) if number == len(LAYERS) - 1 else value.clip(0, 63)
        fraction = 4
    return value


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return write_keras_h5(tmp_path_factory.mktemp("net") / "net.h5", LAYERS)


def box_text(box):
    return " ".join(f"(>= X_{i} {low}) (<= X_{i} {high})" for i, (low, high) in enumerate(box))


def property_text(boxes, condition):
    declared = [f"(declare-const X_{i} Real)" for i in range(2)] + [f"(declare-const Y_{i} Real)" for i in range(3)]
    parts = " ".join(f"(and {box_text(box)} {condition})" for box in boxes)
    return "\n".join([*declared, f"(assert (or {parts}))"]) + "\n"


def write_property(path, boxes, condition):
    path.write_text(property_text(boxes, condition))
    return path


def values(box, output):
    points = list(itertools.product(*(range(low, high + 1) for low, high in box)))
    return outputs(points)[:, output]


BOXES = [((0, 3), (0, 3)), ((100, 103), (60, 64)), ((250, 255), (0, 2))]


def test_the_second_writing_of_the_network_is_right():
    x = np.random.default_rng(0).integers(0, 256, (500, 2))
    assert (outputs(x).argmax(-1) == classify(LAYERS, x)).all()


@pytest.mark.parametrize("engine", ["auto", "smt", "milp"])
def test_some_box_meets_or_none_does(network, tmp_path, engine):
    highest = [int(values(box, 0).max()) for box in BOXES]
    top = max(highest)
    model = load(network)
    settings = Settings(timeout=30.0, engine=engine)
    for boxes in (BOXES, BOXES[::-1]):
        asked = read_vnnlib(write_property(tmp_path / "p.vnnlib", boxes, f"(>= Y_0 {top})"))
        result = verify(asked.question(model), settings)
        assert result.verdict is Verdict.SAT and result.witness is not None
        x, y = result.witness.input.tolist(), result.witness.output.tolist()
        assert asked.holds(x, y) and outputs([x])[0].tolist() == y
        part = asked.parts[result.part]
        assert part.holds([Fraction(v) for v in x], [Fraction(v) for v in y])
        asked = read_vnnlib(write_property(tmp_path / "p.vnnlib", boxes, f"(> Y_0 {top})"))
        assert verify(asked.question(model), settings).verdict is Verdict.UNSAT
        between = f"(and (> Y_0 {top - 1}) (< Y_0 {top}))"
        asked = read_vnnlib(write_property(tmp_path / "p.vnnlib", boxes, between))
        assert verify(asked.question(model), settings).verdict is Verdict.UNSAT
        halves = read_vnnlib(write_property(tmp_path / "p.vnnlib", boxes, f"(>= Y_0 {top - 0.5})"))
        assert verify(halves.question(model), settings).verdict is Verdict.SAT


def test_ends_between_whole_numbers_are_those_inside(network, tmp_path):
    model = load(network)
    top = int(values(((1, 2), (1, 1)), 1).max())
    for threshold, verdict in ((top, Verdict.SAT), (top + 1, Verdict.UNSAT)):
        box = ((0.5, 2.25), (0.5, 1.75))
        asked = read_vnnlib(write_property(tmp_path / "p.vnnlib", [box], f"(>= Y_1 {threshold})"))
        assert verify(asked.question(model)).verdict is verdict


@pytest.mark.parametrize(
    ("inside", "points"),
    [
        ("(> X_0 100)", [(101, 103), (60, 64)]),
        ("(and (> X_0 100) (< X_0 (/ 205 2)))", [(101, 102), (60, 64)]),
        ("(and (< (* 2 X_1) 124) (< X_0 103))", [(100, 102), (60, 61)]),
        ("(> (* -2 X_0) -202)", [(100, 100), (60, 64)]),
    ],
)
def test_strict_ends_of_inputs_are_the_next_whole_numbers(cli, network, tmp_path, inside, points):
    top, certificate = int(values(points, 0).max()), tmp_path / "p.npcert"
    for threshold, verdict in ((top, "sat"), (top + 1, "unsat")):
        path = write_property(tmp_path / "p.vnnlib", [BOXES[1]], f"{inside} (>= Y_0 {threshold})")
        ran = cli("verify", network, path, "--certificate", certificate)
        assert ran.code == 0 and ran.out.startswith(f"{verdict}\n"), ran
        assert cli("check", certificate, "--network", network, "--property", path).code == 0
    other = write_property(tmp_path / "other.vnnlib", [BOXES[1]], f"(>= Y_0 {top + 1})")
    assert cli("check", certificate, "--network", network, "--property", other).code == 1


def test_strict_ends_make_boxes_of_a_disjunction(network, tmp_path):
    model = load(network)
    either = "(or (and (< X_0 101) (> Y_0 {0})) (and (> X_0 102) (> Y_0 {0})) (and (> X_0 101) (< X_0 102)))"
    top = max(int(values([(x, x), (60, 64)], 0).max()) for x in (100, 103))
    for threshold, verdict in ((top - 1, Verdict.SAT), (top, Verdict.UNSAT)):
        asked = read_vnnlib(write_property(tmp_path / "p.vnnlib", [BOXES[1]], either.format(threshold)))
        question = asked.question(model)
        assert [(q.lower[0], q.upper[0]) for q in question.parts] == [(100, 100), (103, 103)]
        assert verify(question).verdict is verdict
    never = write_property(tmp_path / "p.vnnlib", [BOXES[1]], "(> X_0 101) (< X_0 102) (> Y_0 -99)")
    assert verify(read_vnnlib(never).question(model)).verdict is Verdict.UNSAT


def test_a_box_without_whole_numbers_is_refused(cli, network, tmp_path):
    path = write_property(tmp_path / "p.vnnlib", [((0.25, 0.75), (0, 1))], "(>= Y_0 0)")
    assert_refused(cli("verify", network, path), "p.vnnlib", "holds no whole numbers")


def test_a_box_without_whole_numbers_beside_others_is_left_out(cli, network, tmp_path):
    boxes = [((0.25, 0.75), (0, 1)), *BOXES[:2]]
    top = max(int(values(box, 2).max()) for box in BOXES[:2])
    path, certificate = write_property(tmp_path / "p.vnnlib", boxes, f"(> Y_2 {top})"), tmp_path / "p.npcert"
    assert cli("verify", network, path, "--certificate", certificate).out.startswith("unsat\n")
    assert len(decode_bundle(certificate.read_bytes()).parts) == 2
    assert cli("check", certificate, "--network", network, "--property", path).code == 0


@pytest.fixture
def proved(cli, network, tmp_path):
    """A property of three boxes that none meets, and its certificate."""
    top = max(int(values(box, 2).max()) for box in BOXES)
    path, certificate = write_property(tmp_path / "none.vnnlib", BOXES, f"(> Y_2 {top})"), tmp_path / "none.npcert"
    ran = cli("verify", network, path, "--certificate", certificate)
    assert ran.code == 0 and ran.out.startswith("unsat\n"), ran
    assert f"netproof check {certificate} --network {network} --property {path}" in ran.out
    return path, certificate


def test_every_part_is_stated_and_checked(cli, network, proved):
    path, certificate = proved
    ran = cli("check", certificate, "--network", network, "--property", path)
    assert ran.code == 0 and ran.out.startswith("PROVED: unsat"), ran
    assert "the 3 boxes of" in ran.out and "(confirmed)" in ran.out
    document = json.loads(cli("check", certificate, "--network", network, "--json").out)
    assert document["property"]["kind"] == "boxes" and document["property"]["boxes"] == 3
    assert len(decode_bundle(certificate.read_bytes()).parts) == 3


@pytest.mark.parametrize("kept", [(0, 1), (1, 2), (0, 2, 1), (0, 1, 1)])
def test_a_part_left_out_or_exchanged_is_no_proof_of_the_property(cli, network, proved, kept):
    path, certificate = proved
    parts = decode_bundle(certificate.read_bytes()).parts
    certificate.write_bytes(encode_bundle(Bundle(tuple(parts[i] for i in kept))))
    assert cli("check", certificate, "--network", network).code == 0
    ran = cli("check", certificate, "--network", network, "--property", path)
    assert ran.code == 1 and ran.out.startswith("NOT PROVED"), ran


def test_another_threshold_is_no_proof_of_the_property(cli, network, proved, tmp_path):
    path, certificate = proved
    other = tmp_path / "other.vnnlib"
    other.write_text(path.read_text().replace("(> Y_2", "(>= Y_2"))
    ran = cli("check", certificate, "--network", network, "--property", other)
    assert ran.code == 1 and "another box or condition than the property, in part 0" in ran.out


def test_terms_of_inputs_are_not_left_out_of_a_property(cli, network, tmp_path):
    """``X_0 - X_1 >= 1`` without its inputs is ``0 >= 1``, which is easily refuted, and not what is asked."""
    model = load(network)
    lower, upper = (model.lower.new_tensor([end[side] for end in BOXES[1]]) for side in (0, 1))
    never = Conjunction(model.lower.new_zeros(1, 3), model.lower.new_ones(1))
    query = Query(model, lower, upper, (never,))
    certificate = tmp_path / "never.npcert"
    certificate.write_bytes(encode(certificate_of(query, verify(query, Settings(proofs=True)))))
    assert cli("check", certificate, "--network", network).code == 0
    path = write_property(tmp_path / "p.vnnlib", BOXES[1:2], "(>= (- X_0 X_1) 1)")
    assert read_vnnlib(path).holds([103, 60], outputs([[103, 60]])[0].tolist())
    ran = cli("check", certificate, "--network", network, "--property", path)
    assert ran.code == 1 and "constrains inputs by more than a box, which no certificate states" in ran.out


def test_a_property_that_is_false_by_itself_has_a_verdict_and_no_certificate(cli, network, tmp_path):
    path, certificate = tmp_path / "false.vnnlib", tmp_path / "false.npcert"
    declared = "".join(f"(declare-const {name} Real)\n" for name in ("X_0", "X_1", "Y_0", "Y_1", "Y_2"))
    box = "".join(f"(assert (>= X_{i} 0)) (assert (<= X_{i} 3))\n" for i in range(2))
    path.write_text(f"{declared}{box}(assert (< 1 0))\n")
    ran = cli("verify", network, path, "--certificate", certificate)
    assert (ran.code, ran.err, ran.out.splitlines()[:1]) == (0, "", ["unsat"])
    assert "no certificate: the property is false whatever a network computes" in ran.out
    assert not certificate.exists()
    document = json.loads(cli("verify", network, path, "--certificate", certificate, "--json").out)
    assert (document["verdict"], document["certificate"]) == ("unsat", None)


def test_damage_to_a_certificate_of_several_parts(cli, network, proved):
    _, certificate = proved
    data = certificate.read_bytes()
    for at in range(0, len(data), 41):
        certificate.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert cli("check", certificate, "--network", network).code == 2, at
    for length in range(0, len(data), 53):
        certificate.write_bytes(data[:length])
        assert cli("check", certificate, "--network", network).code == 2, length


def test_a_witness_is_checked_against_the_property(cli, network, tmp_path):
    top = max(int(values(box, 0).max()) for box in BOXES)
    path, certificate = write_property(tmp_path / "some.vnnlib", BOXES, f"(>= Y_0 {top})"), tmp_path / "some.npcert"
    assert cli("verify", network, path, "--certificate", certificate).out.startswith("sat\n")
    assert cli("check", certificate, "--network", network, "--property", path).code == 0
    path.write_text(path.read_text().replace("(>= Y_0", "(> Y_0"))
    ran = cli("check", certificate, "--network", network, "--property", path)
    assert ran.code == 1 and "the witness is no answer of the property" in ran.out


def test_one_box_is_an_ordinary_certificate(cli, network, tmp_path):
    top = int(values(BOXES[0], 1).max())
    path, certificate = write_property(tmp_path / "one.vnnlib", BOXES[:1], f"(> Y_1 {top})"), tmp_path / "one.npcert"
    assert cli("verify", network, path, "--certificate", certificate).out.startswith("unsat\n")
    assert certificate.read_bytes().startswith(b"\x89NPCERT\n")
    assert cli("check", certificate, "--network", network, "--property", path).code == 0
