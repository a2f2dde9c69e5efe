"""Certificates as a user makes them: from one query, from a radius, from a whole run; and checks them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from conftest import assert_refused
from onnx_models import model, node, save


def sample(data, index, radius):
    return ("robust", data.network, "--images", data.images, "--labels", data.labels, "--index", index, "--eps", radius)


@pytest.mark.parametrize("verdict", ["robust", "vulnerable"])
def test_robust_hands_over_what_check_accepts(cli, tiny_data, tmp_path, verdict):
    index, radius = tiny_data.first(verdict)
    file = tmp_path / "evidence.npcert"
    ran = cli(*sample(tiny_data, index, radius), "--certificate", file)
    assert ran.code == 0 and str(file) in ran.out
    checked = cli("check", file, "--network", tiny_data.network)
    assert checked.code == 0 and checked.out.startswith(f"PROVED: {verdict}")
    document = json.loads(cli(*sample(tiny_data, index, radius), "--certificate", file, "--json").out)
    assert document["certificate"] == str(file)


def test_no_certificate_without_evidence(cli, tiny_data, tmp_path):
    index, radius = tiny_data.first("misclassified")
    file = tmp_path / "evidence.npcert"
    ran = cli(*sample(tiny_data, index, radius), "--certificate", file)
    assert ran.code == 0 and "no certificate" in ran.out and not file.exists()
    document = json.loads(cli(*sample(tiny_data, index, radius), "--certificate", file, "--json").out)
    assert document["certificate"] is None


def test_an_unwritable_certificate_is_refused_first(cli, tiny_data, tmp_path):
    index, radius = tiny_data.first("robust")
    assert_refused(
        cli(*sample(tiny_data, index, radius), "--certificate", tmp_path / "no" / "such.npcert"), "--certificate"
    )


def test_radius_comes_with_proof_and_witness(cli, tiny_data, tmp_path):
    index, _ = tiny_data.first("robust")
    folder = tmp_path / "evidence"
    command = ("radius", tiny_data.network, "--images", tiny_data.images, "--labels", tiny_data.labels)
    ran = cli(*command, "--index", index, "--certificates", folder, "--json")
    found = json.loads(ran.out)["samples"][0]
    assert ran.code == 0 and found["exact"]
    claims = {}
    for file in found["certificates"]:
        checked = json.loads(cli("check", file, "--network", tiny_data.network, "--json").out)
        claims[file.rpartition("-")[2]] = checked["claim"]
    expected = {f"{found['radius']}.npcert": "robust"}
    if found["witness_radius"] is not None:
        expected[f"{found['witness_radius']}.npcert"] = "vulnerable"
    assert {name: {"unsat": "robust", "sat": "vulnerable"}.get(c, c) for name, c in claims.items()} == expected


def test_radii_of_several_images_in_several_processes(cli, tiny_data, tmp_path):
    command = ("radius", tiny_data.network, "--images", tiny_data.images, "--labels", tiny_data.labels)
    indices = [tiny_data.first("vulnerable")[0], tiny_data.first("robust")[0], tiny_data.first("misclassified")[0]]
    asked = [part for index in indices for part in ("--index", index)]
    alone = json.loads(cli(*command, *asked, "--json").out)["samples"]
    ran = cli(*command, *asked, "--jobs", 2, "--certificates", tmp_path / "evidence", "--json")
    together = json.loads(ran.out)["samples"]
    for one, other in zip(alone, together, strict=True):
        for word in ("index", "label", "radius", "exact", "witness_radius"):
            assert one[word] == other[word]
    written = [file for one in together for file in one["certificates"]]
    assert written and all(Path(file).is_file() for file in written)
    said = cli(*command, *asked, "--jobs", 2)
    assert [line.split(" ")[1] for line in said.out.splitlines() if line.startswith("sample")] == list(
        map(str, indices)
    )


def test_no_number_of_processes(cli, tiny_data):
    command = ("radius", tiny_data.network, "--images", tiny_data.images, "--labels", tiny_data.labels, "--index", 0)
    assert_refused(cli(*command, "--jobs", 0), "--jobs", "give 1 or more")


@pytest.mark.parametrize("jobs", [1, 2])
def test_run_writes_and_checks(cli, tiny_data, tmp_path, jobs):
    out = tmp_path / "out"
    ran = cli("bench", "run", "qnn-mnist", "--data", tiny_data.folder, "--out", out, "--check", "--jobs", jobs)
    with (out / "results.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    decided = [row["instance"] for row in rows if row["verdict"] in ("robust", "vulnerable")]
    assert decided and sorted(f.stem for f in (out / "certificates").iterdir()) == sorted(decided)
    assert f"{len(decided)} certificates" in ran.err and "all of them checked" in ran.err
    assert all(row["evidence"].startswith("certificate=") for row in rows if row["verdict"] == "robust")
    for name in decided[:3]:
        assert cli("check", out / "certificates" / f"{name}.npcert", "--network", tiny_data.network).code == 0


def test_a_lost_certificate_is_made_again(cli, tiny_data, tmp_path):
    out, folder = tmp_path / "out", tmp_path / "certificates"
    run = ("bench", "run", "qnn-mnist", "--data", tiny_data.folder, "--out", out)
    assert cli(*run).code == 0
    # A run without them leaves all of them to be made.
    assert cli(*run, "--certificates", folder).code == 0
    files = sorted(folder.iterdir())
    files[0].unlink()
    files[1].write_bytes(b"")  # as a power cut may leave it
    ran = cli(*run, "--certificates", folder)
    assert "2 instances to answer" in ran.err and sorted(folder.iterdir()) == files and files[1].stat().st_size
    ran = cli(*run, "--certificates", folder)
    assert "no new certificates" in ran.err and "not checked" not in ran.err
    # What is not checked is not passed over in silence.
    assert f"{len(files)} from before were not checked" in cli(*run, "--certificates", folder, "--check").err
    files[0].unlink()
    ran = cli(*run, "--certificates", folder, "--check")
    assert "1 certificates in" in ran.err and f"{len(files) - 1} from before were not checked" in ran.err


def test_a_proof_that_does_not_check_is_an_error(cli, tiny_data, tmp_path, monkeypatch):
    from netproof.errors import ProofError

    def refuses(certificate, network):
        raise ProofError(certificate, "made up")

    monkeypatch.setattr("netproof.certificate.checker.check.check", refuses)
    out = tmp_path / "out"
    ran = cli("bench", "run", "qnn-mnist", "--data", tiny_data.folder, "--out", out, "--check")
    assert ran.code == 1 and "its certificate fails" in (out / "results.csv").read_text()


@pytest.fixture
def float_files(tmp_path):
    """A float network without a final softmax, images for it, and their classes by the runtime."""
    import numpy as np
    import onnxruntime

    random = np.random.default_rng(3)
    nodes = [
        node("Flatten", ["x"], ["a"]), node("Gemm", ["a", "w", "o"], ["b"]), node("Relu", ["b"], ["c"]),
        node("Gemm", ["c", "v"], ["y"]),
    ]  # fmt: skip
    constants = {"w": random.normal(size=(6, 5)), "o": random.normal(size=5), "v": random.normal(size=(5, 3))}
    network = save(tmp_path / "float.onnx", model(nodes, (1, 1, 2, 3), constants))
    images = random.random((4, 1, 2, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    labels = np.array([session.run(None, {"x": image[None]})[0].argmax() for image in images])
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "labels.npy", labels)
    return network, ("--images", tmp_path / "images.npy", "--labels", tmp_path / "labels.npy", "--index", 0)


def test_float_verdicts_come_with_what_was_asked(cli, float_files, tmp_path):
    network, sample_ = float_files
    file, stated = tmp_path / "e.npcert", tmp_path / "e.npcert.vnnlib"
    for radius, verdict, claim in (("1/3000", "robust", "unsat"), ("7/2", "vulnerable", "sat")):
        command = ("robust", network, *sample_, "--eps", radius, "--certificate", file)
        ran = cli(*command)
        assert ran.code == 0 and f": {verdict}" in ran.out, ran
        assert f"netproof check {file} --network {network} --property {stated}" in ran.out
        checked = cli("check", file, "--network", network, "--property", stated, "--arithmetic", "rational")
        assert checked.code == 0 and checked.out.startswith(f"PROVED: {claim}"), checked
        # Of another box it proves nothing.
        stated.write_text(stated.read_text().replace("X_0 ", "X_1 ", 1))
        assert cli("check", file, "--network", network, "--property", stated).code == 2
    document = json.loads(cli(*command, "--json").out)
    assert (document["certificate"], document["property"]) == (str(file), str(stated))
    ran = cli("radius", network, *sample_, "--certificates", tmp_path / "all", "--limit", "1/2", "--accuracy", "1/8")
    assert ran.code == 0 and ran.out.count("netproof check") == 2, ran
    for one in sorted((tmp_path / "all").glob("*.npcert")):
        assert cli("check", one, "--network", network, "--property", f"{one}.vnnlib").code == 0


def test_a_float_verdict_without_evidence_says_why(cli, float_files, tmp_path):

    network, sample_ = float_files
    import onnx

    loaded = onnx.load(str(network))
    loaded.graph.node.append(node("Einsum", ["y"], ["z"], equation="ij->ij"))
    loaded.graph.output[0].name = "z"
    onnx.save(loaded, str(network))
    file = tmp_path / "e.npcert"
    ran = cli("robust", network, *sample_, "--eps", "1/3000", "--certificate", file)
    assert ran.code == 0 and "no certificate: " in ran.out and "Einsum" in ran.out, ran
    assert ran.err.startswith("netproof: there will be no certificate") and "Einsum" in ran.err, ran
    assert not file.exists() and not (tmp_path / "e.npcert.vnnlib").exists()
    document = json.loads(cli("robust", network, *sample_, "--eps", "1/3000", "--certificate", file, "--json").out)
    assert document["certificate"] is None and "Einsum" in document["no_certificate"]
