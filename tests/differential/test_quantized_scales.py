"""In which precision onnxruntime multiplies scales: sums next to every threshold, which biases make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from differential.quantized_runtime import mismatches
from netproof.formats.onnx.read import read_deployed

pytest.importorskip("onnxruntime")


def _by_bias(name: str, kind: type, scales: tuple[np.float32, np.float32, np.float32], sums: np.ndarray, zero: int):
    """One output for each sum."""
    count = len(sums)
    conv = "Conv" in name
    sides = (1, 1) if conv else ()
    numbers = dict(zip("abc", (np.array(scale, np.float32) for scale in scales), strict=True)) | {
        "product": np.array(scales[0] * scales[1], np.float32),
        "zx": np.array(0, kind), "zw": np.array(0, np.int8), "zc": np.array(zero, kind), "zb": np.array(0, np.int32),
        "bias": sums.astype(np.int32), "w": np.zeros((count, 1, *sides), np.int8),
    }  # fmt: skip
    if name == "QLinearConv":
        nodes = [helper.make_node(name, ["x", "a", "zx", "w", "b", "zw", "c", "zc", "bias"], ["y"])]
    elif name == "QGemm":
        given = ["x", "a", "zx", "w", "b", "zw", "bias", "c", "zc"]
        nodes = [helper.make_node(name, given, ["y"], domain="com.microsoft", transB=1)]
    else:
        parts = {"xf": ["x", "a", "zx"], "wf": ["w", "b", "zw"], "bf": ["bias", "product", "zb"]}
        nodes = [helper.make_node("DequantizeLinear", given, [result]) for result, given in parts.items()]
        nodes.append(helper.make_node(name, list(parts), ["f"], **({} if conv else {"transB": 1})))
        nodes.append(helper.make_node("QuantizeLinear", ["f", "c", "zc"], ["y"]))
    element = TensorProto.UINT8 if kind is np.uint8 else TensorProto.INT8
    ends = [helper.make_tensor_value_info(n, element, [1, extent, *sides]) for n, extent in (("x", 1), ("y", count))]
    kept = [numpy_helper.from_array(array, key) for key, array in numbers.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], kept)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, np.uint8) for name in ("QLinearConv", "QGemm", "Conv", "Gemm")),
        ("QLinearConv", np.int8),
        ("QGemm", np.int8),
    ],
)
def test_sums_next_to_every_threshold(name: str, kind: type, tmp_path: Path) -> None:
    rng, ends, path = np.random.default_rng(8), np.iinfo(kind), tmp_path / "n.onnx"
    for number in range(6):
        a, b = (np.float32(2.0 ** rng.uniform(-6, 0)) for _ in range(2))
        c = np.float32(float(a) * float(b) * 2.0 ** rng.uniform(8, 22))
        if number % 2:
            # A power of two in float32, and none in float64.
            c = np.float32(np.float32(a * b) * np.float32(2.0 ** int(rng.integers(8, 20))))
        zero = int(rng.integers(ends.min, ends.max + 1))
        halves = np.arange(ends.min - zero, ends.max + 1 - zero) - 0.5
        around = np.rint(halves * float(c) / (float(a) * float(b))).astype(np.int64)
        onnx.save(_by_bias(name, kind, (a, b, c), np.unique(around[:, None] + np.arange(-2, 3)), zero), path)
        deployed = read_deployed(path)
        assert deployed is not None
        found = mismatches(deployed, np.zeros((1, *deployed.network.input_shape[1:]), kind), every=False)
        assert not [key for key, (wrong, _) in found.items() if wrong]


@pytest.mark.parametrize("form", ["QLinearMul", "Mul"])
def test_constants_with_which_some_features_rise_and_others_fall(form: str, tmp_path: Path) -> None:
    rng, path, kind = np.random.default_rng(9), tmp_path / "n.onnx", np.uint8
    for seed in range(8):
        zeros = rng.integers(0, 256, 3)
        a, b = (np.float32(2.0 ** rng.uniform(-6, 0)) for _ in range(2))
        numbers = {
            "a": a, "b": b, "c": np.float32(a * b * np.float32(2.0 ** rng.uniform(0, 7))),
            "za": kind(zeros[0]), "zb": kind(zeros[1]), "zc": kind(zeros[2]),
            "w": rng.integers(0, 256, (1, 6)).astype(kind),
        }  # fmt: skip
        numbers["w"][0, :2] = zeros[1], 255 - zeros[1]
        if form == "QLinearMul":
            given = ["x", "a", "za", "w", "b", "zb", "c", "zc"]
            nodes = [helper.make_node(form, given, ["y"], domain="com.microsoft")]
        else:
            nodes = [
                helper.make_node("DequantizeLinear", ["x", "a", "za"], ["r"]),
                helper.make_node("DequantizeLinear", ["w", "b", "zb"], ["f"]),
                helper.make_node("Mul", ["r", "f"], ["s"]),
                helper.make_node("QuantizeLinear", ["s", "c", "zc"], ["y"]),
            ]
        ends = [helper.make_tensor_value_info(name, TensorProto.UINT8, [1, 6]) for name in "xy"]
        kept = [numpy_helper.from_array(np.asarray(array), key) for key, array in numbers.items()]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], kept)
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
        deployed = read_deployed(path)
        assert deployed is not None
        codes = np.repeat(np.arange(256, dtype=kind)[:, None], 6, 1)
        found = mismatches(deployed, codes, every=False)
        assert not [key for key, (wrong, _) in found.items() if wrong], seed
