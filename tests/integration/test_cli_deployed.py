"""The commands on TensorFlow Lite files: what they compute is what the file's runtime computes, and they say which."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import netproof
from netproof.formats.images.idx import write_idx
from tflite_files import TFLiteFile


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A classifier of 2x2 images of one channel, four images as IDX and as arrays, and their labels."""
    rng = np.random.default_rng(4)
    file = TFLiteFile()
    x = file.tensor((1, 2, 2, 1), 1 / 256, -128)
    flat = file.tensor((1, 4), 1 / 256, -128)
    hidden = file.tensor((1, 6), 1 / 64, -128, name="hidden")
    scores = file.tensor((1, 3), 1 / 16, 4, name="scores")
    shares = file.tensor((1, 3), 1 / 256, -128, name="shares")
    first = file.constant(rng.integers(-127, 128, (6, 4)).astype(np.int8), 1 / 128)
    second = file.constant(rng.integers(-127, 128, (3, 6)).astype(np.int8), 1 / 128)
    bias = file.constant(rng.integers(-3000, 3000, 6).astype(np.int32), 1 / 2**15)
    file.operator("RESHAPE", [x, file.constant(np.array([1, 4], np.int32))], [flat])
    file.operator("FULLY_CONNECTED", [flat, first, bias], [hidden], {0: ("b", 1)})
    file.operator("FULLY_CONNECTED", [hidden, second, -1], [scores], {0: ("b", 0)})
    file.operator("SOFTMAX", [scores], [shares], {0: ("f", 1.0)})
    images = rng.integers(0, 256, (4, 2, 2)).astype(np.uint8)
    found = {name: tmp_path / name for name in (
        "net.tflite", "scores.tflite", "images.idx", "labels.idx", "codes.npy", "labels.npy",
    )}  # fmt: skip
    found["net.tflite"].write_bytes(file.bytes(x, shares))
    file.operators.pop()
    found["scores.tflite"].write_bytes(file.bytes(x, scores))
    write_idx(found["images.idx"], images)
    np.save(found["codes.npy"], (images.astype(int) - 128).astype(np.int8))
    return found


@pytest.fixture
def labelled(cli, files):
    """The same, labelled as the network classifies them."""
    classes = json.loads(cli("evaluate", files["net.tflite"], files["codes.npy"], "--json").out)["classes"]
    np.save(files["labels.npy"], np.array(classes))
    write_idx(files["labels.idx"], np.array(classes, np.uint8))
    return files


def test_inspect_names_the_runtime(cli, files):
    done = cli("inspect", files["net.tflite"])
    assert done.code == 0 and "runtime     tflm" in done.out and "softmax is left out" in done.out
    document = json.loads(cli("inspect", files["net.tflite"], "--runtime", "xnnpack", "--json").out)
    assert document["runtime"] == "xnnpack" and document["input_range"] == [-128, 127]


def test_evaluate_writes_outputs_and_vectors(cli, files, tmp_path):
    out, vectors = tmp_path / "out.npy", tmp_path / "vectors.npz"
    done = cli("evaluate", files["net.tflite"], files["codes.npy"], "--out", out, "--save", vectors, "--layers")
    assert done.code == 0 and "integers as 'tflm' computes them" in done.out and "FULLY_CONNECTED hidden" in done.out
    outputs, kept = np.load(out), np.load(vectors)
    assert outputs.shape == (4, 3) and outputs.dtype == np.int8
    assert np.array_equal(kept["outputs"], outputs) and np.array_equal(kept["layer003"], outputs)
    assert kept["layer_names"].tolist()[1:] == ["hidden", "scores", "shares"]
    assert np.array_equal(kept["classes"], kept["layer002"].argmax(1)) and kept["inputs"].shape == (4, 2, 2, 1)
    # The vectors are inputs again.
    again = cli("evaluate", files["net.tflite"], vectors, "--json")
    assert json.loads(again.out)["classes"] == kept["classes"].tolist()


def test_bytes_of_images_are_codes_in_order(cli, files, tmp_path):
    by_codes = json.loads(cli("evaluate", files["net.tflite"], files["codes.npy"], "--json").out)
    by_images = json.loads(cli("evaluate", files["net.tflite"], files["images.idx"], "--json").out)
    assert by_images == by_codes
    lines = "\n".join(",".join(map(str, row)) for row in np.load(files["codes.npy"]).reshape(4, -1).tolist())
    (tmp_path / "codes.csv").write_text(lines)
    assert json.loads(cli("evaluate", files["net.tflite"], tmp_path / "codes.csv", "--json").out) == by_codes


def test_rules_are_compared(cli, files, tmp_path):
    np.save(tmp_path / "many.npy", np.random.default_rng(0).integers(-128, 128, (300, 2, 2, 1)).astype(np.int8))
    done = cli("evaluate", files["net.tflite"], tmp_path / "many.npy", "--compare", "xnnpack", "--json")
    compared = json.loads(done.out)["compared"]
    assert compared["with"] == "xnnpack" and compared["inputs_that_differ"] > 0
    same = cli("evaluate", files["net.tflite"], tmp_path / "many.npy", "--compare", "tflm")
    assert "all outputs are equal" in same.out


def test_robust_decides_and_replays(cli, labelled):
    files = labelled
    # By brute force: every corner and every change of one pixel is among the inputs that are tried.
    verdicts = set()
    for index in range(4):
        for eps in (0, 2, 40):
            done = cli(
                "robust", files["net.tflite"], "--images", files["images.idx"], "--labels", files["labels.idx"],
                "--index", str(index), "--eps", str(eps), "--json",
            )  # fmt: skip
            document = json.loads(done.out)
            verdicts.add(document["verdict"])
            assert document["network"]["runtime"] == "tflm"
            if document["verdict"] == "vulnerable":
                witness = np.array(document["witness"]["input"], np.int8)
                center = np.load(files["codes.npy"])[index].reshape(-1)
                assert np.abs(witness.astype(int) - center).max() <= eps
                np.save(files["codes.npy"].with_name("w.npy"), witness.reshape(1, 2, 2, 1))
                again = cli("evaluate", files["net.tflite"], files["codes.npy"].with_name("w.npy"), "--json")
                assert json.loads(again.out)["classes"] == [document["witness"]["class"]]
                assert document["witness"]["class"] != document["label"]
    assert verdicts == {"robust", "vulnerable"}


def test_arrays_are_images_too(cli, labelled):
    files = labelled
    done = cli(
        "robust", files["net.tflite"], "--images", files["codes.npy"], "--labels", files["labels.npy"], "--index", "1",
        "--eps", "0", "--runtime", "xnnpack",
    )  # fmt: skip
    assert done.code == 0 and "integers as 'xnnpack' computes them" in done.out


def test_verify_answers_a_property(cli, tmp_path, files):
    property_ = tmp_path / "p.vnnlib"
    lines = [f"(declare-const X_{i} Real)" for i in range(4)] + [f"(declare-const Y_{i} Real)" for i in range(3)]
    lines += [f"(assert (>= X_{i} -128))\n(assert (<= X_{i} 127))" for i in range(4)] + ["(assert (>= Y_0 Y_1))"]
    property_.write_text("\n".join(lines))
    refused = cli("verify", files["net.tflite"], property_)
    assert refused.code == 2 and "one code to different operands; cut the softmax off" in refused.err
    done = cli("verify", files["scores.tflite"], property_)
    assert done.code == 0 and done.out.startswith("sat") and "integers as 'tflm' computes them" in done.out


@pytest.mark.parametrize("runtime", ["tflm", "xnnpack", "litert-ref"])
def test_certificates_name_the_runtime_and_are_checked(cli, labelled, tmp_path, runtime):
    files, verdicts = labelled, set()
    for index, eps in ((0, 1), (1, 40), (2, 40)):
        path = tmp_path / f"{index}.certificate"
        done = cli(
            "robust", files["net.tflite"], "--images", files["images.idx"], "--labels", files["labels.idx"],
            "--index", str(index), "--eps", str(eps), "--runtime", runtime, "--certificate", path,
        )  # fmt: skip
        assert done.code == 0 and "certificate written" in done.out, done
        checked = cli("check", path, "--network", files["net.tflite"])
        assert checked.code == 0 and f"as '{runtime}' computes them" in checked.out, checked
        assert "found the same: " in checked.out
        verdicts.add(checked.out.splitlines()[0])
    assert "PROVED: robust" in verdicts


def test_a_certificate_is_about_one_runtime(files):
    network = netproof.load(files["net.tflite"])
    query = netproof.robustness(network, np.zeros(4), int(network.classify(torch.zeros(4).double())), 0)
    certificate = netproof.certificate_of(query, netproof.verify(query, netproof.Settings(proofs=True)))
    assert certificate.runtime == "tflm" and netproof.check(certificate, network).second_reading
    with pytest.raises(netproof.CertificateError, match="is about what 'tflm' computes"):
        netproof.check(certificate, netproof.load(files["net.tflite"], runtime="xnnpack"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["net.tflite", "nothing.npy"], "no such input file"),
        (["net.tflite", "net.tflite"], "not an IDX file"),
        (["net.tflite", "labels.npy"], "shape"),
        (["net.tflite", "codes.npy", "--runtime", "fast"], "none that is known"),
        (["net.tflite", "codes.npy", "--compare", "fast"], "none that is known"),
        (["net.tflite", "codes.npy", "--runtime", "tflm-single-product", "--compare", "installed"], "no package"),
        (["net.tflite", "large.npy"], "not from -128 to 127"),
        (["net.tflite", "real.npy"], "numbers of type float64"),
        (["net.tflite", "cut.npy"], "truncated"),
        (["net.tflite", "bad.csv"], "line 2"),
        (["net.tflite", "bad.npz"], "no archive"),
    ],
)
def test_bad_input_is_one_line(cli, files, tmp_path, arguments, said):
    np.save(files["labels.npy"], np.arange(4))
    np.save(tmp_path / "large.npy", np.full((1, 2, 2, 1), 128))
    np.save(tmp_path / "real.npy", np.zeros((1, 2, 2, 1)))
    (tmp_path / "cut.npy").write_bytes(files["codes.npy"].read_bytes()[:-1])
    (tmp_path / "bad.csv").write_text("1,2,3,4\n1,2,x,4\n")
    (tmp_path / "bad.npz").write_bytes(b"PK no")
    done = cli("evaluate", *(tmp_path / part if "." in part else part for part in arguments))
    assert done.code == 2 and said in done.err and len(done.err.splitlines()) == 1


def test_one_number_is_no_array_of_inputs(cli, files, tmp_path):
    """Neither of evaluations nor of comparisons; NumPy writes it as an array without axes."""
    np.save(tmp_path / "one.npy", np.int64(3))
    for arguments in (
        ("evaluate", tmp_path / "one.npy"),
        ("compare", "--against", "xnnpack", "--images", tmp_path / "one.npy"),
    ):
        done = cli(arguments[0], files["net.tflite"], *arguments[1:])
        assert done.code == 2 and "the inputs have shape ()" in done.err and len(done.err.splitlines()) == 1


def test_a_runtime_is_for_such_files_only(cli, tiny_data, files):
    done = cli("inspect", tiny_data.network, "--runtime", "tflm")
    assert done.code == 2 and "none is known for" in done.err


def test_other_integer_networks_are_evaluated(cli, tiny_data):
    done = cli("evaluate", tiny_data.network, tiny_data.images, "--json")
    assert done.code == 0 and json.loads(done.out)["network"]["runtime"] is None
