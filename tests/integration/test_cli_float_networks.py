"""ONNX networks on the command line."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from conftest import assert_refused
from onnx_models import model, node, save


@pytest.fixture
def float_network(tmp_path):
    nodes = [
        node("Conv", ["x", "k"], ["a"], strides=[2, 2]), node("Relu", ["a"], ["b"]), node("Flatten", ["b"], ["c"]),
        node("Gemm", ["c", "w", "o"], ["d"]), node("Softmax", ["d"]),
    ]  # fmt: skip
    random = np.random.default_rng(0)
    constants = {"k": random.normal(size=(2, 1, 3, 3)), "w": random.normal(size=(8, 3)), "o": random.normal(size=3)}
    return save(tmp_path / "net.onnx", model(nodes, ("batch", 1, 6, 5), constants))


def test_inspect(cli, float_network):
    ran = cli("inspect", float_network)
    assert ran.code == 0, ran
    assert "arithmetic  real" in ran.out and "1 -> 2, kernel 3x3, stride 2x2" in ran.out
    assert "note        the final Softmax is left out" in ran.out
    assert "inputs      30\n" in ran.out
    document = json.loads(cli("inspect", float_network, "--json").out)
    assert document["arithmetic"] == "real" and document["input_range"] is None
    assert document["parameters"] == 2 * 9 + 8 * 3 + 3
    assert [entry["operator"] for entry in document["nodes"]] == ["input", "convolution", "relu", "linear"]


def test_gzip_has_the_same_hash(cli, float_network, tmp_path):
    packed = tmp_path / "packed.onnx.gz"
    packed.write_bytes(gzip.compress(float_network.read_bytes()))
    documents = [json.loads(cli("inspect", path, "--json").out) for path in (float_network, packed)]
    assert documents[0]["sha256"] == documents[1]["sha256"]


def test_unusable(cli, float_network, tmp_path, tiny_data):
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(float_network.read_bytes()[:200])
    assert_refused(cli("inspect", cut), str(cut))
    unknown = save(tmp_path / "unknown.onnx", model([node("Frobnicate", ["x"])], (1, 3)))
    assert_refused(
        cli("inspect", unknown), "node 'frobnicate_y' (Frobnicate of 1x3) is an unknown operator", "are known"
    )
    assert_refused(cli("inspect", float_network, "--bits", 4), "not quantized")
    assert_refused(
        cli(
            "robust",
            float_network,
            "--images",
            tiny_data.images,
            "--labels",
            tiny_data.labels,
            "--index",
            0,
            "--eps",
            1,
        ),
        "",
    )


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ("(assert (> Y_0 Y_0))", "unsat"),
        ("(assert (or false (< 1 0)))", "unsat"),
        ("(assert (>= Y_0 Y_0))", "sat"),
        ("(assert (or (> Y_0 Y_0) (>= Y_1 0.5)))", "sat"),
        ("(assert (or (> Y_0 Y_0) (>= Y_1 1.5)))", "unsat"),
    ],
)
def test_conditions_that_are_true_or_false_by_themselves(condition, verdict, cli, tmp_path):
    network = save(tmp_path / "net.onnx", model([node("Relu", ["x"])], (1, 2)))
    declared = "".join(f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0", "Y_1"))
    box = "".join(f"(assert (>= X_{i} 0))(assert (<= X_{i} 1))" for i in range(2))
    asked = tmp_path / "property.vnnlib"
    asked.write_text(declared + box + condition)
    ran = cli("verify", network, asked)
    assert ran.code == 0 and ran.out.startswith(f"{verdict}\n"), ran
