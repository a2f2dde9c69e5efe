"""The commands on quantized ONNX files: what they compute is what onnxruntime computes, and they say so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from quantized_models import Model, dense


@pytest.fixture
def files(tmp_path):
    """A network of two layers in both forms, codes of its input, and their labels."""
    found = {name: tmp_path / name for name in ("qdq.onnx", "qoperator.onnx", "codes.npy", "labels.npy", "p.vnnlib")}
    dense(form="qdq").save(found["qdq.onnx"])
    dense().save(found["qoperator.onnx"])
    np.save(found["codes.npy"], np.random.default_rng(1).integers(0, 256, (8, 6)).astype(np.uint8))
    return found


def test_inspect_says_by_which_rule_and_on_which_processors(cli, files):
    done = cli("inspect", files["qdq.onnx"])
    assert done.code == 0 and "runtime     onnxruntime" in done.out and "the file takes floats" in done.out
    assert "processors  x86 processors without VNNI may cut off sums of 'f'" in done.out
    document = json.loads(cli("inspect", files["qoperator.onnx"], "--json").out)
    assert document["runtime"] == "onnxruntime" and len(document["processors"]) == 1
    ideal = json.loads(cli("inspect", files["qoperator.onnx"], "--runtime", "integer-ideal", "--json").out)
    assert ideal["runtime"] == "integer-ideal" and ideal["processors"] is None


def test_inspect_says_that_a_file_is_the_same_everywhere(cli, tmp_path):
    path = dense(kind="int8").save(tmp_path / "n.onnx")
    assert "processors  the same on every processor" in cli("inspect", path).out


def test_evaluate_compares_with_onnxruntime_and_the_standard(cli, files, tmp_path):
    out = tmp_path / "out.npy"
    for name in ("qdq.onnx", "qoperator.onnx"):
        done = cli("evaluate", files[name], files["codes.npy"], "--layers", "--out", out, "--compare", "installed")
        assert (
            done.code == 0
            and "integers as 'onnxruntime' computes them" in done.out
            and "all outputs are equal" in done.out
        )
        assert np.load(out).dtype == np.uint8 and np.load(out).shape == (8, 4)
    other = cli("evaluate", files["qdq.onnx"], files["codes.npy"], "--compare", "integer-ideal", "--json")
    assert json.loads(other.out)["compared"]["with"] == "integer-ideal"
    refused = cli(
        "evaluate", files["qdq.onnx"], files["codes.npy"], "--runtime", "integer-ideal", "--compare", "installed"
    )
    assert refused.code == 2 and "no package of 'integer-ideal'" in refused.err and len(refused.err.splitlines()) == 1


def test_robust_and_verify_name_the_rule(cli, files):
    classes = json.loads(cli("evaluate", files["qdq.onnx"], files["codes.npy"], "--json").out)["classes"]
    np.save(files["labels.npy"], np.array(classes))
    verdicts = set()
    for eps in ("0", "3", "60"):
        done = cli(
            "robust", files["qdq.onnx"], "--images", files["codes.npy"], "--labels", files["labels.npy"], "--index", "0",
            "--eps", eps, "--json",
        )  # fmt: skip
        document = json.loads(done.out)
        assert document["network"]["runtime"] == "onnxruntime"
        verdicts.add(document["verdict"])
        if document["verdict"] == "vulnerable":
            witness = files["codes.npy"].with_name("w.npy")
            np.save(witness, np.array(document["witness"]["input"], np.uint8)[None])
            again = cli("evaluate", files["qdq.onnx"], witness, "--compare", "installed", "--json")
            assert json.loads(again.out)["classes"] == [document["witness"]["class"]]
            assert json.loads(again.out)["compared"]["inputs_that_differ"] == 0
    assert verdicts == {"robust", "vulnerable"}
    lines = [f"(declare-const X_{i} Real)" for i in range(6)] + [f"(declare-const Y_{i} Real)" for i in range(4)]
    lines += [f"(assert (>= X_{i} 0))\n(assert (<= X_{i} 255))" for i in range(6)] + ["(assert (>= Y_0 90))"]
    files["p.vnnlib"].write_text("\n".join(lines))
    done = cli("verify", files["qoperator.onnx"], files["p.vnnlib"])
    assert done.code == 0 and done.out.startswith("sat")
    assert "integers as 'onnxruntime' computes them; on some processors it may compute others" in done.out


@pytest.mark.parametrize("command", ["inspect", "evaluate"])
def test_bad_files_take_one_line(cli, files, tmp_path, command):
    model = Model((1, 4))
    model.quantize("x", 0.0, 0, "q")
    model.dequantize("q", 0.5, 0, "y")
    path = model.save(tmp_path / "bad.onnx")
    done = cli(command, path, *([files["codes.npy"]] if command == "evaluate" else []))
    assert done.code == 2 and "its scale (operand 1) is 0" in done.err and len(done.err.splitlines()) == 1
    other = cli(
        command, files["qdq.onnx"], *([files["codes.npy"]] if command == "evaluate" else []), "--runtime", "tflm"
    )
    assert other.code == 2 and "give onnxruntime, integer-ideal" in other.err and len(other.err.splitlines()) == 1
