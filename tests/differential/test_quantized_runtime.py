"""Quantized ONNX files as read here against onnxruntime, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from differential.quantized_maker import RandomQuantized
from differential.quantized_odd import campaign as odd_networks
from differential.quantized_runtime import mismatches, mixed_codes
from netproof.errors import InputError
from netproof.formats.onnx.quantized.deployed import Deployed
from netproof.formats.onnx.quantized.evaluate import evaluate
from netproof.formats.onnx.quantized.installed import outputs_of_installed
from netproof.formats.onnx.quantized.rules import arithmetic
from netproof.formats.onnx.read import read_deployed
from quantized_models import MICROSOFT, Model, dense

# What a random file may be refused for; anything else is a fault of the reader.
EXPECTED = (
    "does not fuse",
    "so near a half",
    "their order",
    "more floats",
    "no function of one combination",
    "in a row",
)


def read(path: Path, runtime: str | None = None) -> Deployed:
    deployed = read_deployed(path, runtime)
    assert deployed is not None
    return deployed


@pytest.mark.parametrize(("form", "least"), [("qoperator", 14), ("qdq", 1)])
def test_random_networks(form, least, tmp_path):
    path = tmp_path / "network.onnx"
    compared: set[str] = set()
    refused = 0
    for seed in range(80):
        path.write_bytes(RandomQuantized(seed, form).bytes())
        try:
            deployed = read(path)
        except InputError as refusal:
            assert any(part in str(refusal) for part in EXPECTED), refusal
            refused += 1
            continue
        found = mismatches(deployed, mixed_codes(deployed, 12, seed), every=form == "qoperator")
        assert not {key: counts for key, counts in found.items() if counts[0]}, seed
        compared |= set(found)
    assert len(compared) >= least and refused < 20


@pytest.mark.parametrize("kind", ["uint8", "int8"])
@pytest.mark.parametrize("form", ["qoperator", "qdq"])
def test_the_comparison_would_notice(form, kind, tmp_path, monkeypatch):
    """Halves go to the even code, not upwards."""
    path = dense(form=form, kind=kind).save(tmp_path / "n.onnx")
    inputs = mixed_codes(read(path), 400, 1)
    theirs = outputs_of_installed(read(path), inputs)
    assert np.array_equal(evaluate(read(path), inputs)[0], theirs)
    monkeypatch.setattr(arithmetic, "nearest", lambda values: np.floor(np.asarray(values, float) + 0.5))
    assert not np.array_equal(evaluate(read(path), inputs)[0], theirs)


@pytest.mark.parametrize("form", ["qoperator", "qdq"])
def test_odd_networks(form):
    """Windows that differ by axis, padding by name, groups, scales far from 1 (quantized_odd has all)."""
    wrong, told = odd_networks(0, 24, form)
    assert not wrong and told["compared"] >= 12, told


@pytest.mark.parametrize("signed", [False, True])
def test_all_pairs_of_sums_and_products(signed, tmp_path):
    """All 65,536 pairs of codes, scales and zero points at random and with ties."""
    kind = np.int8 if signed else np.uint8
    low, high = (-128, 127) if signed else (0, 255)
    x, y = (part.reshape(-1) for part in np.meshgrid(np.arange(low, high + 1), np.arange(low, high + 1)))
    rng = np.random.default_rng(signed)
    for k in range(6):
        three = np.exp(rng.uniform(-4, 0, 3)) if k % 2 else 2.0 ** rng.integers(-4, 0, 3)
        scales = tuple(three.astype(np.float32))
        zeros = tuple(int(z) for z in rng.choice([low, high, *rng.integers(low, high + 1, 3)], 3))
        for operator, rule in (("QLinearAdd", arithmetic.added), ("QLinearMul", arithmetic.multiplied)):
            model = Model((1, 1 << 16), "uint8" if not signed else "int8")
            first, second, result = (model.how(float(s), z, model.kind) for s, z in zip(scales, zeros, strict=True))
            model.node(operator, ["x", *first, model.constant(y.astype(kind)[None]), *second, *result], "y", MICROSOFT)
            theirs = run(model.proto(), x.astype(kind)[None])
            mine = np.clip(rule(x, y, scales, zeros), low, high)
            assert np.array_equal(mine, theirs.reshape(-1))


def run(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def test_a_quantizer_s_files(tmp_path):
    """Small float networks by onnxruntime's own quantizer, in every form that it has."""
    quantization = pytest.importorskip("onnxruntime.quantization", reason="onnxruntime's quantizer needs more packages")
    rng = np.random.default_rng(3)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array((rng.normal(size=shape) * 0.3).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1], name="c1"),
        helper.make_node("Relu", ["c1"], ["r1"], name="r1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1], name="c2"),
        helper.make_node("Add", ["c2", "r1"], ["a"], name="a"),
        helper.make_node("Relu", ["a"], ["r2"], name="r2"),
        helper.make_node("MaxPool", ["r2"], ["m"], kernel_shape=[2, 2], strides=[2, 2], name="m"),
        helper.make_node("Conv", ["m", "w3"], ["c3"], group=4, name="c3"),
        helper.make_node("GlobalAveragePool", ["c3"], ["g"], name="g"),
        helper.make_node("Flatten", ["g"], ["f"], name="f"),
        helper.make_node("Gemm", ["f", "w4", "b4"], ["y"], transB=1, name="gm"),
    ]
    graph = helper.make_graph(
        nodes,
        "float",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
        [weight("w1", 4, 3, 3, 3), weight("b1", 4), weight("w2", 4, 4, 3, 3), weight("b2", 4), weight("w3", 4, 1, 2, 2),
         weight("w4", 5, 4), weight("b4", 5)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "float.onnx")

    class Samples(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.rows = iter([{"x": rng.normal(size=(1, 3, 6, 6)).astype(np.float32)} for _ in range(6)])

        def get_next(self):
            return next(self.rows, None)

    fused = 0
    for form in (quantization.QuantFormat.QOperator, quantization.QuantFormat.QDQ):
        for kind in (quantization.QuantType.QUInt8, quantization.QuantType.QInt8):
            for per_channel in (False, True):
                path = tmp_path / "quantized.onnx"
                quantization.quantize_static(
                    tmp_path / "float.onnx", path, Samples(), quant_format=form, activation_type=kind,
                    weight_type=quantization.QuantType.QInt8, per_channel=per_channel,
                )  # fmt: skip
                try:
                    deployed = read(path)
                except InputError as refusal:
                    # A branch of int8, which onnxruntime on x86 does not fuse.
                    assert form.name == "QDQ" and kind.name == "QInt8" and "does not fuse 'Conv'" in str(refusal)
                    continue
                fused += 1
                found = mismatches(deployed, mixed_codes(deployed, 60, 1), every=form.name == "QOperator")
                assert not any(wrong for wrong, _ in found.values()), (form, kind, per_channel)
    assert fused == 6


def test_codes_of_int8_with_scales_that_are_powers_of_two(tmp_path):
    # What onnxruntime does not fuse it computes in floats, which round nothing then.
    path, read = tmp_path / "network.onnx", 0
    for seed in range(40):
        path.write_bytes(RandomQuantized(seed, "qdq", exact_int8=True).bytes())
        try:
            deployed = read_deployed(path)
        except InputError:
            continue
        found = mismatches(deployed, mixed_codes(deployed, 12, seed), every=False)
        assert not {key: counts for key, counts in found.items() if counts[0]}, seed
        read += 1
    assert read >= 34


def residual_int8(scale: float, bias: float = 0.0) -> bytes:
    """Two convolutions of int8 and their sum: a value that goes two ways, which onnxruntime does not fuse."""
    rng = np.random.default_rng(0)
    scales = {"x": 0.125, "a": scale, "b": 0.25, "y": 0.5}
    constants = {f"{name}_s": np.float32(s) for name, s in scales.items()} | {"z": np.int8(0), "w_s": np.float32(2**-7)}
    constants |= {"w": rng.integers(-127, 128, (3, 3, 1, 1)).astype(np.int8), "h": np.full(3, bias, np.float32)}
    nodes, node = [], helper.make_node

    def through(value: str, name: str) -> None:
        nodes.append(node("QuantizeLinear", [value, f"{name}_s", "z"], [f"{name}_q"]))
        nodes.append(node("DequantizeLinear", [f"{name}_q", f"{name}_s", "z"], [f"{name}_f"]))

    nodes.append(node("DequantizeLinear", ["w", "w_s", "z"], ["w_f"]))
    through("x", "x")
    nodes.append(node("Conv", ["x_f", "w_f", "h"], ["a"]))
    through("a", "a")
    nodes.append(node("Conv", ["a_f", "w_f"], ["b"]))
    through("b", "b")
    nodes.append(node("Add", ["a_f", "b_f"], ["y"]))
    through("y", "y")
    graph = helper.make_graph(
        nodes,
        "residual",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y_f", TensorProto.FLOAT, [1, 3, 4, 4])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def test_a_residual_connection_in_int8(tmp_path):
    path = tmp_path / "network.onnx"
    path.write_bytes(residual_int8(0.25, bias=3 * 2.0**-10))
    deployed = read_deployed(path)
    found = mismatches(deployed, mixed_codes(deployed, 60, 1), every=False)
    assert not any(wrong for wrong, _ in found.values())
    # A scale that is no power of two anywhere, or a bias between two units: the order of a sum would decide.
    for bad in (residual_int8(0.3), residual_int8(0.25, bias=2.0**-11)):
        path.write_bytes(bad)
        with pytest.raises(InputError, match="does not fuse"):
            read_deployed(path)
