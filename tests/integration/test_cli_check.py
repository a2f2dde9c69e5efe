"""``netproof check`` as a user types it."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from conftest import assert_refused, random_layers, write_keras_h5
from netproof.certificate.contents import POINTS, SPLIT, BoxProperty, Certificate, RobustnessProperty, arrays_of
from netproof.certificate.format import encode, write
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.images.idx import read_images, read_labels
from onnx_models import model, node, save


def certificate(data, index, radius, *, claim="unsat", **arrays):
    """Of a sample of the tiny data: robust because every point was tried, in two halves."""
    image = read_images(data.images)[index].reshape(-1).astype(int)
    sha256 = hashlib.sha256(data.network.read_bytes()).hexdigest()
    proof = {
        "form": [0, 0], "kept": [0, 0], "kind": [SPLIT, SPLIT, *[POINTS] * 4], "split_activation": [0, 0],
        "split_feature": [1, 1], "split_point": [image[1], image[1]],
    }  # fmt: skip
    asked = RobustnessProperty(int(read_labels(data.labels)[index]), radius)
    return Certificate(
        sha256, FixedPoint().as_dict(), 4, 3, claim, asked,
        arrays_of(image=image, **(proof if claim == "unsat" else {}) | arrays), "tiny", "a test",
    )  # fmt: skip


def robust_sample(data):
    return next((i, r) for r in (2, 1) for i in [data.first("robust", r)[0]])


@pytest.fixture
def proof(tiny_data, tmp_path):
    index, radius = robust_sample(tiny_data)
    path = tmp_path / "robust.cert"
    write(path, certificate(tiny_data, index, radius))
    return path


@pytest.fixture
def witness(cli, tiny_data, tmp_path):
    index, radius = tiny_data.first("vulnerable")
    path = tmp_path / "witness.json"
    assert (
        cli(
            "robust", tiny_data.network, "--images", tiny_data.images, "--labels", tiny_data.labels,
            "--index", index, "--eps", radius, "--witness", path,
        ).code
        == 0
    )  # fmt: skip
    return path


def sample(data, index):
    return ("--images", data.images, "--labels", data.labels, "--index", index)


def test_what_was_proved_in_words(cli, tiny_data, proof):
    index, radius = robust_sample(tiny_data)
    ran = cli("check", proof, "--network", tiny_data.network, *sample(tiny_data, index))
    assert ran.code == 0 and ran.err == ""
    assert ran.out.startswith("PROVED: robust\n")
    image = read_images(tiny_data.images)[index]
    for part in (
        str(proof), str(tiny_data.network), hashlib.sha256(tiny_data.network.read_bytes()).hexdigest(),
        "bits 6", hashlib.sha256(image.tobytes()).hexdigest(), f"image {index} (confirmed)", f"at most {radius} grey level",
        "4 of 4 inputs", f"{(2 * radius + 1) ** 4} points", f"class {read_labels(tiny_data.labels)[index]}", "integer",
        "0 leaves", "2 splits", "6 nodes", "tiny", "a test", "checked by   netproof",
    ):  # fmt: skip
        assert part in ran.out, part


def test_json(cli, tiny_data, proof):
    _index, radius = robust_sample(tiny_data)
    ran = cli("check", proof, "--network", tiny_data.network, "--json")
    document = json.loads(ran.out)
    assert ran.code == 0 and document["proved"] is True and document["claim"] == "unsat"
    assert document["property"]["radius"] == radius and document["property"]["index"] is None
    assert (document["leaves"], document["splits"], document["nodes"], document["enumerated"]) == (0, 2, 6, 4)
    assert document["free_inputs"] == 4 and document["witness"] is None
    assert document["points_log10"] == pytest.approx(4 * np.log10(2 * radius + 1), abs=1e-3)


def test_witness_document_is_replayed(cli, tiny_data, witness):
    index, _ = tiny_data.first("vulnerable")
    ran = cli("check", witness, "--network", tiny_data.network, *sample(tiny_data, index))
    assert ran.code == 0 and ran.out.startswith("PROVED: vulnerable\n") and "evaluated again" in ran.out
    document = json.loads(cli("check", witness, "--network", tiny_data.network, "--json").out)
    assert document["witness"] == json.loads(witness.read_text())["input"] and document["claim"] == "sat"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda d: d["input"].__setitem__(0, d["image"][0] + (d["radius"] + 1) * (1 if d["image"][0] < 128 else -1)),
            "set",
        ),
        (lambda d: d.update(input=d["image"]), "none of the cases"),
        (lambda d: d["output"].__setitem__(0, d["output"][0] + 1), "those stated"),
        (lambda d: d.update(changed=d["changed"] + 1), "those stated"),
        (lambda d: d.update(label=(d["label"] + 1) % 3), "takes the image itself"),
    ],
)
def test_witness_document_that_lies(cli, tiny_data, witness, change, reason):
    document = json.loads(witness.read_text())
    change(document)
    witness.write_text(json.dumps(document))
    ran = cli("check", witness, "--network", tiny_data.network)
    assert ran.code == 1 and ran.err == "" and ran.out.startswith("NOT PROVED: ") and reason in ran.out


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_witnesses_in_balls_are_replayed(cli, tiny_data, tmp_path, norm):
    """What attacks and bounds find in a ball is measured again."""
    index, _ = tiny_data.first("vulnerable")
    path = tmp_path / "witness.json"
    asked = (*sample(tiny_data, index), "--norm", norm, "--eps", 12, "--witness", path)
    assert ": vulnerable" in cli("robust", tiny_data.network, *asked).out
    assert json.loads(path.read_text())["norm"] == norm
    ran = cli("check", path, "--network", tiny_data.network, *sample(tiny_data, index))
    assert ran.code == 0 and ran.out.startswith("PROVED: vulnerable\n")
    assert f"at most 12 grey levels in {norm}, all inputs together" in ran.out and " points" not in ran.out
    said = json.loads(cli("check", path, "--network", tiny_data.network, "--json").out)
    assert (said["property"]["norm"], said["points_log10"]) == (norm, None)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_a_witness_is_measured_in_whole_numbers(cli, tiny_data, witness, norm):
    document = json.loads(witness.read_text())
    moves = [abs(x - at) for x, at in zip(document["input"], document["image"], strict=True)]
    size = sum(moves) if norm == "l1" else sum(move**2 for move in moves)
    least = size if norm == "l1" else math.isqrt(size - 1) + 1
    assert least > max(moves)  # every input by itself is within less
    for radius, code in ((least, 0), (least - 1, 1)):
        witness.write_text(json.dumps(document | {"norm": norm, "radius": radius}))
        ran = cli("check", witness, "--network", tiny_data.network)
        assert ran.code == code and (not code or f"beyond the radius in {norm}" in ran.out), ran
    witness.write_text(json.dumps(document | {"radius": least - 1}))
    assert cli("check", witness, "--network", tiny_data.network).code == 0


def test_a_target_in_a_ball_is_no_question_of_a_witness_file(cli, tiny_data, tmp_path):
    index, _ = tiny_data.first("vulnerable")
    path = tmp_path / "witness.json"
    asked = (*sample(tiny_data, index), "--norm", "l1", "--eps", 300, "--witness", path)
    label = int(read_labels(tiny_data.labels)[index])
    for target in {0, 1, 2} - {label}:
        cli("robust", tiny_data.network, *asked, "--target", target)
    assert_refused(cli("check", path, "--network", tiny_data.network), "states no robustness property")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A small float network of three classes, and an image."""
    folder = tmp_path_factory.mktemp("float")
    weight = np.array([[2.0, -1, 0.5], [-1, 2, 0.25], [0.5, 0.5, -1], [0.25, -0.75, 1]])
    save(folder / "net.onnx", model([node("Gemm", ["x", "w"])], (1, 4), {"w": weight}))
    np.savez(folder / "one.npz", images=np.array([[200, 120, 40, 10]], np.uint8), labels=np.array([0]))
    return folder


@pytest.fixture(params=["linf", "l1", "l2", "l0"])
def real_witness(request, cli, digits, tmp_path):
    path = tmp_path / "witness.json"
    eps = {"linf": "0.3", "l1": "0.7", "l2": "0.5", "l0": "2"}[request.param]
    asked = ("--images", digits / "one.npz", "--norm", request.param, "--eps", eps, "--witness", path)
    ran = cli("robust", digits / "net.onnx", *asked)
    assert ": vulnerable" in ran.out, ran
    return path


def test_a_witness_of_a_float_network_is_evaluated_again(cli, digits, real_witness):
    document = json.loads(real_witness.read_text())
    ran = cli("check", real_witness, "--network", digits / "net.onnx")
    assert ran.code == 0 and ran.out.startswith("REPLAYED: vulnerable\n"), ran
    assert "the box that the document states" in ran.out and ("its ball" in ran.out) == ("norm" in document)
    said = json.loads(cli("check", real_witness, "--network", digits / "net.onnx", "--json").out)
    assert said["proved"] is True and said["witness"] == document["input"] and said["class"] != document["label"]
    refused = cli("check", real_witness, "--network", digits / "net.onnx", "--arithmetic", "arb")
    assert_refused(refused, "--arithmetic", "is a witness")
    assert_refused(cli("check", real_witness, "--network", digits / "net.onnx", "--eps", 3), "no images or widths")
    assert_refused(cli("check", real_witness, "--network", digits / "one.npz"), "give the network it was made for")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d["input"].__setitem__(0, 3.0), "not in the input set"),
        (lambda d: d["input"].__setitem__(0, d["input"][0] + 1e-12), "not in the input set"),
        (lambda d: d.update(exact_lower=d["exact_upper"]), "not in the input set"),
        (lambda d: d.update(output=[value + 1 for value in d["output"]]), "is not the one stated"),
        (lambda d: d.update(label=1), "takes the image itself for class 0"),
    ],
)
def test_a_witness_of_a_float_network_that_lies(cli, digits, real_witness, change, reason):
    document = json.loads(real_witness.read_text())
    change(document)
    real_witness.write_text(json.dumps(document))
    ran = cli("check", real_witness, "--network", digits / "net.onnx")
    assert ran.code == 1 and ran.out.startswith("NOT PROVED: ") and reason in ran.out, ran


def test_a_witness_of_a_float_network_is_measured_exactly(cli, digits, real_witness):
    document = json.loads(real_witness.read_text())
    if "norm" not in document:
        # The image itself is in the box, and of its own class.
        document["exact_lower"] = document["exact_upper"] = [str(Fraction(value)) for value in document["image"]]
        document["input"] = [float(np.float32(value)) for value in document["image"]]
        reason = "no other output is as large"
    else:
        pairs = zip(document["input"], document["center"], strict=True)
        moves = [abs(Fraction(x) - Fraction(at)) for x, at in pairs]
        size = (
            sum(moves)
            if document["norm"] == "l1"
            else Fraction(math.isqrt(int(sum(m * m for m in moves) * 4**60)), 2**60)
        )
        document["radius"] = str(size - Fraction(1, 2**50))
        reason = "it is beyond the radius"
    real_witness.write_text(json.dumps(document))
    ran = cli("check", real_witness, "--network", digits / "net.onnx")
    assert ran.code == 1 and reason in ran.out, ran


def test_certificate_of_a_witness(cli, tiny_data, witness, tmp_path):
    index, radius = tiny_data.first("vulnerable")
    moved = json.loads(witness.read_text())["input"]
    path = tmp_path / "sat.cert"
    write(path, certificate(tiny_data, index, radius, claim="sat", witness=moved))
    assert cli("check", path, "--network", tiny_data.network).code == 0
    write(path, certificate(tiny_data, index, 0, claim="sat", witness=moved))
    ran = cli("check", path, "--network", tiny_data.network)
    assert ran.code == 1 and "not in the input set" in ran.out


def test_false_claim_names_the_first_bad_node(cli, tiny_data, tmp_path):
    index, radius = tiny_data.first("vulnerable")
    path = tmp_path / "wrong.cert"
    for kind, words in ((POINTS, "meets the case"), (0, "not empty")):
        made = certificate(tiny_data, index, radius)
        kinds = [SPLIT, SPLIT, *[kind] * 4]
        write(path, replace(made, arrays=dict(made.arrays) | {"kind": np.array(kinds)}))
        ran = cli("check", path, "--network", tiny_data.network)
        assert ran.code == 1 and ran.err == ""
        assert "NOT PROVED" in ran.out and "node " in ran.out and "level 1" in ran.out and words in ran.out
    document = json.loads(cli("check", path, "--network", tiny_data.network, "--json").out)
    assert document["proved"] is False and "not empty" in document["reason"]


def test_another_sample(cli, tiny_data, proof):
    index, _ = robust_sample(tiny_data)
    ran = cli("check", proof, "--network", tiny_data.network, *sample(tiny_data, index + 1))
    assert ran.code == 1 and f"another image than sample {index + 1}" in ran.out


def test_another_label(cli, tiny_data, proof, tmp_path):
    index, _ = robust_sample(tiny_data)
    labels = bytearray(tiny_data.labels.read_bytes())
    labels[8 + index] = (labels[8 + index] + 1) % 3
    (tmp_path / "labels").write_bytes(labels)
    ran = cli(
        "check", proof, "--network", tiny_data.network,
        "--images", tiny_data.images, "--labels", tmp_path / "labels", "--index", index,
    )  # fmt: skip
    assert ran.code == 1 and "label" in ran.out


def test_another_radius_or_reading_than_asked(cli, tiny_data, proof, tmp_path):
    index, radius = robust_sample(tiny_data)
    given = ("--network", tiny_data.network, *sample(tiny_data, index))
    widths = (
        "--bits", 6, "--input-bits", 8, "--weight-integer-bits", 1, "--bias-integer-bits", 2, "--activation-integer-bits", 2,
    )  # fmt: skip
    assert cli("check", proof, *given, "--eps", radius, *widths).code == 0
    ran = cli("check", proof, *given, "--eps", radius + 1)
    assert ran.code == 1 and ran.err == "" and f"about radius {radius}, not {radius + 1}" in ran.out
    for option, width in zip(widths[::2], widths[1::2], strict=True):
        ran = cli("check", proof, *given, option, width + 1, "--json")
        reason = f"{option[2:].replace('-', ' ')} {width}, not {width + 1}"
        assert ran.code == 1 and reason in json.loads(ran.out)["reason"]
    # A proof of a coarser network is none of the one that is deployed.
    made = certificate(tiny_data, index, radius)
    write(tmp_path / "c.cert", replace(made, scheme=FixedPoint(bits=4).as_dict()))
    ran = cli("check", tmp_path / "c.cert", *given, "--bits", 6)
    assert ran.code == 1 and "bits 4, not 6" in ran.out
    box = Certificate(
        made.network_sha256, made.scheme, 4, 3, "unsat", BoxProperty((1,)),
        arrays_of(lower=[0] * 4, upper=[9] * 4, coefficients=[1, 0, 0], threshold=[100], form=[0], kept=[0, 0], kind=[0]),
    )  # fmt: skip
    write(tmp_path / "box.cert", box)
    ran = cli("check", tmp_path / "box.cert", "--network", tiny_data.network, "--eps", 1)
    assert ran.code == 1 and "not about a radius" in ran.out


def test_another_network(cli, tiny_data, proof, tmp_path):
    other = write_keras_h5(tmp_path / "other.h5", random_layers((4, 5, 3), seed=9))
    assert_refused(cli("check", proof, "--network", other), str(proof), str(other), "SHA-256")


@pytest.mark.parametrize(
    "scheme", [{}, {"bits": 6}, FixedPoint().as_dict() | {"more": 1}, FixedPoint().as_dict() | {"bits": 60}]
)
def test_readings_that_are_not_known(cli, tiny_data, tmp_path, scheme):
    made = replace(certificate(tiny_data, *robust_sample(tiny_data)), scheme=scheme)
    write(tmp_path / "c.cert", made)
    assert_refused(cli("check", tmp_path / "c.cert", "--network", tiny_data.network))


def test_the_reading_is_the_certificates(cli, tiny_data, tmp_path):
    # With 4 bits the network is another one, and the proof is made anew for it.
    made = certificate(tiny_data, *robust_sample(tiny_data))
    write(tmp_path / "c.cert", replace(made, scheme=FixedPoint(bits=4).as_dict()))
    ran = cli("check", tmp_path / "c.cert", "--network", tiny_data.network)
    assert ran.code in (0, 1) and (ran.code == 1 or "bits 4" in ran.out)


def test_hostile_text_stays_on_its_line(cli, tiny_data, tmp_path):
    made = replace(certificate(tiny_data, *robust_sample(tiny_data)), name="\x1b[2J\nPROVED: everything")
    write(tmp_path / "c.cert", made)
    out = cli("check", tmp_path / "c.cert", "--network", tiny_data.network).out
    assert "\x1b" not in out and out.count("\nPROVED") == 0


def test_unusable(cli, tiny_data, proof, tmp_path):
    network = ("--network", tiny_data.network)
    assert_refused(cli("check", tmp_path / "none", *network), "none", "no such certificate")
    assert_refused(cli("check", tmp_path, *network), "folder")
    assert_refused(cli("check", tiny_data.network, *network), "is not a certificate")
    assert_refused(cli("check", proof), "--network")
    assert_refused(cli("check", proof, "--network", tmp_path / "none.h5"), "none.h5", "no such")
    assert_refused(cli("check", proof, *network, "--index", 3), "--images", "all three")
    assert_refused(cli("check", proof, *network, *sample(tiny_data, 4000)), "no sample 4000")
    data = encode(certificate(tiny_data, *robust_sample(tiny_data)))
    for keep in (0, 7, 8, 20, 31, 32, 100, len(data) - 33, len(data) - 1):
        (tmp_path / "cut").write_bytes(data[:keep])
        assert_refused(cli("check", tmp_path / "cut", *network), str(tmp_path / "cut"))


def test_points_together_are_limited(tiny_data, proof, monkeypatch):
    import netproof

    network = netproof.load(tiny_data.network)
    _, radius = robust_sample(tiny_data)
    every = 2 * (2 * radius + 1) ** 4  # in both cases' trees
    monkeypatch.setattr("netproof.certificate.checker.check._ALL_POINTS", every)
    assert netproof.check(proof, network).points == 4
    monkeypatch.setattr("netproof.certificate.checker.check._ALL_POINTS", every - 1)
    with pytest.raises(netproof.ProofError, match="points are to be evaluated"):
        netproof.check(proof, network)


def test_python(tiny_data, proof, tmp_path):
    import netproof

    network = netproof.load(tiny_data.network)
    checked = netproof.check(proof, network)
    assert isinstance(checked, netproof.Checked) and checked.claim == "unsat" and checked.nodes == 6
    assert netproof.check(checked.certificate, network).nodes == 6
    with pytest.raises(netproof.CertificateError, match="SHA-256"):
        netproof.check(proof, netproof.load(write_keras_h5(tmp_path / "o.h5", random_layers((4, 5, 3), seed=9))))
    with pytest.raises(netproof.CertificateError, match="bit widths"):
        netproof.check(proof, netproof.load(tiny_data.network, bits=5))
    with pytest.raises(netproof.CertificateError, match="memory"):
        netproof.check(proof, network, memory=100)
    radius = checked.certificate.property.radius
    wide = replace(checked.certificate, property=RobustnessProperty(checked.certificate.property.label, radius + 200))
    with pytest.raises(netproof.ProofError, match="more than 4096"):
        netproof.check(wide, network)
    box = Certificate(
        network.sha256, network.scheme, 4, 3, "unsat", BoxProperty((1,)),
        arrays_of(lower=[0] * 4, upper=[256] * 4, coefficients=[1, 0, 0], threshold=[100], form=[0], kept=[0, 0], kind=[0]),
    )  # fmt: skip
    with pytest.raises(netproof.CertificateError, match="leaves the network's input range"):
        netproof.check(box, network)
