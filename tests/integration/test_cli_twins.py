"""``netproof compare`` of a network of integers and its float twin."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from conftest import assert_refused
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.load import load
from netproof.training.quantized.deployed import deployed_residual


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A residual QDQ network and a float network of the same task, and inputs."""
    folder = tmp_path_factory.mktemp("twins")
    torch.manual_seed(0)
    deployed_residual((1, 4, 4), (2,), (1,), 3, FixedPoint()).write_qdq(folder / "codes.onnx")
    network = load(folder / "codes.onnx")
    weight = np.random.default_rng(0).normal(0, 1, (3, 16)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["y"], transB=1)],
        "twin",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(network.input_shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    onnx.save(model, folder / "floats.onnx")
    low, high = int(network.lower.min()), int(network.upper.max())
    kind = np.uint8 if low == 0 else np.int8
    np.save(folder / "codes.npy", np.random.default_rng(1).integers(low, high + 1, (6, 1, 4, 4)).astype(kind))
    return folder


def test_twins_are_counted_and_decided(cli, files):
    asked = ("compare", files / "codes.onnx", files / "floats.onnx", "--images", files / "codes.npy")
    counted = json.loads(cli(*asked, "--json").out)
    assert counted["inputs"] == 6 and counted["doubtful"] == []
    assert [one["arithmetic"] for one in counted["networks"]] == ["integer", "real"]
    # In either order, and with a runtime, which is that of the codes.
    turned = ("compare", files / "floats.onnx", files / "codes.onnx", "--images", files / "codes.npy", "--json")
    assert json.loads(cli(*turned).out) == counted
    assert json.loads(cli(*asked, "--runtime", "onnxruntime", "--json").out) == counted
    told = cli(*asked, "--within", "3")
    assert "its float twin" in told.out and "over the real numbers" in told.out and "codes" in told.out
    most = int(counted["largest_difference"]) + 1
    same = cli(*asked, "--index", "0", "--brightness", "0", "--within", str(most))
    assert same.code == 0 and "all outputs within" in same.out and "proved" in same.out, same
    other = json.loads(cli(*asked, "--index", "0", "--eps", "1", "--within", "0", "--json").out)
    assert other["verdict"] == "differ" and len(other["witness"]) == 16 and other["agreement"].endswith("codes")


def test_what_cannot_be_compared_is_refused(cli, files):
    asked = ("--images", files / "codes.npy")
    assert_refused(cli("compare", files / "floats.onnx", files / "floats.onnx", *asked), "floats")
    assert_refused(cli("compare", files / "codes.onnx", files / "floats.onnx", "--against", "tflm", *asked), "runtime")
    assert_refused(
        cli("compare", files / "floats.onnx", files / "codes.onnx", "--runtime", "onnxruntime", *asked), "runtime"
    )
