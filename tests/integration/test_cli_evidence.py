"""Certificates of float networks as a user makes and checks them: ``verify --proof``, ``check``, its reports."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from conftest import assert_refused
from onnx_models import model, node, save


def vnnlib(path, condition, end="1"):
    declared = "".join(f"(declare-const {name} Real)\n" for name in ("X_0", "X_1", "Y_0"))
    box = "".join(f"(assert (>= X_{i} -{end}))(assert (<= X_{i} {end}))\n" for i in range(2))
    path.write_text(f"{declared}{box}(assert {condition})\n")
    return path


@pytest.fixture
def files(tmp_path):
    """``y = |x0 + x1|``."""
    weights = {"w": np.array([[1.0, -1.0], [1.0, -1.0]]), "v": np.array([[1.0], [1.0]])}
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Relu", ["a"], ["h"]), node("MatMul", ["h", "v"], ["y"])]
    save(tmp_path / "net.onnx", model(nodes, (1, 2), weights))
    save(tmp_path / "other.onnx", model(nodes, (1, 2), {**weights, "v": np.array([[1.0], [1.5]])}))
    sigmoid = [node("MatMul", ["x", "w"], ["a"]), node("Sigmoid", ["a"], ["h"]), node("MatMul", ["h", "v"], ["y"])]
    save(tmp_path / "smooth.onnx", model(sigmoid, (1, 2), weights))
    einsum = [*nodes[:2], node("Einsum", ["h", "v"], ["y"], equation="ij,jk->ik")]
    save(tmp_path / "einsum.onnx", model(einsum, (1, 2), weights))
    vnnlib(tmp_path / "high.vnnlib", "(>= Y_0 2.001)")
    vnnlib(tmp_path / "held.vnnlib", "(>= Y_0 1.9)")
    return tmp_path


def proved(cli, files, name, network="net.onnx"):
    out = files / f"{name}.npcert"
    ran = cli("verify", files / network, files / f"{name}.vnnlib", "--proof", out, "--timeout", "600")
    assert ran.code == 0 and f"certificate written to {out}" in ran.out, ran.out + ran.err
    return out


def check(cli, files, certificate, *options, network="net.onnx", name="high"):
    return cli("check", certificate, "--network", files / network, "--property", files / f"{name}.vnnlib", *options)


@pytest.mark.parametrize("arithmetic", ["float64", "arb", "rational"])
def test_a_proof_is_written_and_checked(cli, files, arithmetic):
    ran = check(cli, files, proved(cli, files, "high"), "--arithmetic", arithmetic)
    assert ran.code == 0 and ran.out.startswith("PROVED: unsat\n") and not ran.err
    assert "no input of the input box" in ran.out and "2 inputs, 2 neurons, 1 outputs" in ran.out


def test_a_witness_is_written_and_checked(cli, files):
    ran = check(cli, files, proved(cli, files, "held"), name="held")
    assert ran.code == 0 and ran.out.startswith("PROVED: sat\n") and "the witness, evaluated again" in ran.out


def test_compressed_files_are_the_same_files(cli, files):
    certificate = proved(cli, files, "high")
    for name in ("net.onnx", "high.vnnlib"):
        (files / f"{name}.gz").write_bytes(gzip.compress((files / name).read_bytes()))
    ran = cli("check", certificate, "--network", files / "net.onnx.gz", "--property", files / "high.vnnlib.gz")
    assert ran.code == 0


def test_reports_say_what_was_proved_and_what_is_trusted(cli, files):
    certificate = proved(cli, files, "high")
    ran = check(cli, files, certificate, "--report", files / "r.json", "--requirement", "REQ-7 <b>", "--json")
    assert ran.code == 0
    document = json.loads((files / "r.json").read_text())
    assert document == json.loads(ran.out)
    assert document["proved"] and document["requirement"] == "REQ-7 <b>" and len(document["trusted"]) > 4
    assert document["network"]["neurons"] == 2 and document["evaluation"] == "float64" and document["leaves"] == 1
    assert check(cli, files, certificate, "--report", files / "r.html", "--requirement", "REQ-7 <b>").code == 0
    page = (files / "r.html").read_text()
    assert "REQ-7 &lt;b&gt;" in page and "<b>" not in page and document["network"]["sha256"] in page
    assert "<script" not in page and "http" not in page.replace("https://", "")


def test_what_is_not_about_these_files_is_refused(cli, files):
    certificate = proved(cli, files, "high")
    assert_refused(check(cli, files, certificate, network="other.onnx"), "about the network with SHA-256")
    assert_refused(check(cli, files, certificate, name="held"), "about the property with SHA-256")
    assert_refused(cli("check", certificate, "--network", files / "net.onnx"), "--property")
    for unknown in ("float32", ""):
        assert_refused(check(cli, files, certificate, "--arithmetic", unknown), "is no arithmetic")
    assert_refused(check(cli, files, certificate, "--report", files / "r.txt"), "neither .html nor .json")
    assert_refused(check(cli, files, certificate, "--requirement", "R"), "--report")
    assert_refused(check(cli, files, certificate, "--bits", "8"), "takes no images or widths")
    assert_refused(check(cli, files, certificate, "--timeout", "-1"), "no time")
    assert_refused(check(cli, files, files / "gone.npcert"), "gone.npcert")
    data = bytearray(certificate.read_bytes())
    data[-40] ^= 1
    (files / "broken.npcert").write_bytes(data)
    assert_refused(check(cli, files, files / "broken.npcert"), "damaged")
    (files / "short.npcert").write_bytes(data[:50])
    assert_refused(check(cli, files, files / "short.npcert"), "short.npcert")


def test_what_is_not_proved_is_said_so(cli, files):
    from dataclasses import replace

    from netproof.certificate.real.format import decode, encode

    certificate = proved(cli, files, "high")
    made = decode(certificate.read_bytes())
    arrays = {**made.arrays, "row_mu": np.zeros_like(made.arrays["row_mu"])}
    (files / "wrong.npcert").write_bytes(encode(replace(made, arrays=arrays)))
    ran = check(cli, files, files / "wrong.npcert")
    assert ran.code == 1 and ran.out.startswith("NOT PROVED: ") and "leaf 0 of part 0" in ran.out
    ran = check(cli, files, files / "wrong.npcert", "--json")
    assert ran.code == 1 and json.loads(ran.out)["proved"] is False


def test_a_verdict_without_evidence_stands(cli, files):
    vnnlib(files / "never.vnnlib", "(>= Y_0 5)")
    ran = cli(
        "verify", files / "einsum.onnx", files / "never.vnnlib", "--proof", files / "no.npcert", "--timeout", "600"
    )
    assert ran.code == 0 and ran.out.startswith("unsat\n") and not (files / "no.npcert").exists()
    # It is said before anything is searched, and again with the verdict.
    assert ran.err.startswith("netproof: there will be no certificate") and "the operator 'Einsum'" in ran.err
    assert "no certificate: the network is not read by the checker: the operator 'Einsum'" in ran.out
    ran = cli("verify", files / "einsum.onnx", files / "never.vnnlib", "--proof", files / "no.npcert", "--json")
    document = json.loads(ran.out)
    assert document["verdict"] == "unsat" and document["certificate"] is None and "Einsum" in document["no_certificate"]


@pytest.mark.parametrize("arithmetic", ["float64", "arb", "rational"])
def test_networks_with_smooth_functions_have_proofs_and_witnesses(cli, files, arithmetic):
    # y = s(a) + s(-a) is 1 wherever it is; so is no input of 1.25, and one of 0.75.
    for name, threshold, claim in (("above", "1.25", "unsat"), ("below", "0.75", "sat")):
        vnnlib(files / f"{name}.vnnlib", f"(>= Y_0 {threshold})", end="0.25")
        certificate = proved(cli, files, name, "smooth.onnx")
        ran = check(cli, files, certificate, "--arithmetic", arithmetic, network="smooth.onnx", name=name)
        assert ran.code == 0 and ran.out.startswith(f"PROVED: {claim}"), ran
    # Of another network, or of another property, it says nothing.
    certificate = files / "above.npcert"
    assert check(cli, files, certificate, network="net.onnx", name="above").code == 2
    assert check(cli, files, certificate, network="smooth.onnx", name="below").code == 2
    ran = cli(
        "export",
        "proof",
        certificate,
        "--network",
        files / "smooth.onnx",
        "--property",
        files / "above.vnnlib",
        "--out",
        files / "a.smt2",
    )
    assert_refused(ran, "no linear arithmetic")


def test_what_is_attained_exactly_is_proved_by_fractions(cli, files):
    # |x0 + x1| is 2 at two corners, and nowhere more.
    vnnlib(files / "strict.vnnlib", "(> Y_0 2)")
    vnnlib(files / "attained.vnnlib", "(>= Y_0 2)")
    for name, claim in (("strict", "unsat"), ("attained", "sat")):
        ran = check(cli, files, proved(cli, files, name), name=name)
        assert ran.code == 0 and ran.out.startswith(f"PROVED: {claim}"), ran


def test_options_of_float_networks_are_refused_for_others(cli, files, tmp_path):
    ran = cli("check", files / "high.vnnlib", "--network", files / "net.onnx", "--arithmetic", "arb")
    assert_refused(ran, "is not a certificate")


def certify(cli, files, leaves, *options, name="high"):
    path = files / "leaves.json"
    path.write_text(json.dumps({"format": "netproof-leaves-1", "leaves": leaves}))
    return cli(
        "certify", path, "--network", files / "net.onnx", "--property", files / f"{name}.vnnlib", "--out",
        files / "made.npcert", *options,
    )  # fmt: skip


def test_leaves_of_another_tool_become_a_certificate(cli, files):
    leaves = [{"splits": [[1, 0, side]], "slopes": [[1, 1, 0.5]]} for side in ("<=", ">=")]
    ran = certify(cli, files, leaves)
    assert ran.code == 0 and ran.out.endswith("bytes, 2 leaves of the 2 given\n") and not ran.err
    assert check(cli, files, files / "made.npcert").code == 0
    document = json.loads(certify(cli, files, leaves, "--json").out)
    assert document["leaves_given"] == document["leaves"] == 2 and document["bytes"] > 500
    ran = certify(cli, files, leaves, name="held")
    assert ran.code == 1 and ran.out.startswith("no certificate: ") and len(ran.out.splitlines()) == 1
    assert json.loads(certify(cli, files, leaves, "--json", name="held").out)["certificate"] is None
    assert "time" in certify(cli, files, leaves, "--timeout", "1e-9").out


def test_leaves_that_cannot_be_used_are_refused(cli, files):
    assert_refused(certify(cli, files, [{"splits": [[7, 0, "<="]]}]), "leaves.json", "ReLU 7")
    assert_refused(certify(cli, files, [{"splits": [[1, 0, "<"]]}]), "leaf 0")
    assert_refused(certify(cli, files, [{}], "--timeout", "0"), "--timeout")
    assert_refused(certify(cli, files, [{"part": 3}]), "part or case")


def test_a_proof_becomes_questions_for_solvers(cli, files):
    arguments = ("--network", files / "net.onnx", "--property", files / "high.vnnlib", "--out", files / "proof.smt2")
    ran = cli("export", "proof", proved(cli, files, "high"), *arguments)
    assert ran.code == 0 and ran.out.endswith("each of which has to be answered 'unsat'\n")
    text = (files / "proof.smt2").read_text()
    assert "(set-logic QF_LRA)" in text and f": {text.count('(check-sat)')} questions" in ran.out
    witness = proved(cli, files, "held")
    arguments = ("--network", files / "net.onnx", "--property", files / "held.vnnlib", "--out", files / "proof.smt2")
    assert_refused(cli("export", "proof", witness, *arguments), "witness")
