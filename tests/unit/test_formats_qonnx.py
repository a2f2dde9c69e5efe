"""QONNX networks against their own definition in exact numbers, and what is refused of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import netproof
from netproof.certificate.second_reading.compare import confirm
from netproof.errors import InputError
from netproof.formats.onnx.qonnx.rounding import ROUNDINGS, whole_at_least
from netproof.formats.onnx.qonnx.values import shared_unit
from qonnx_models import DOMAIN, ROUNDED, QonnxModel


def codes_of(network: netproof.Network, count: int, seed: int) -> np.ndarray:
    low, high = int(network.lower.min()), int(network.upper.max())
    return np.random.default_rng(seed).integers(low, high + 1, (count, network.inputs))


def checked(
    model: QonnxModel, path: Path, unit: Fraction, scale: Fraction = Fraction(1), shift: int = 0
) -> netproof.Network:
    """Every output is ``unit`` times the network's, for inputs ``scale (k + shift)``."""
    network = netproof.load(model.save(path))
    assert network.runtime == "integer-ideal"
    seen = set()
    for codes in codes_of(network, 12, 3):
        x = np.array([(int(k) + shift) * scale for k in codes], object).reshape(model.shape)
        expected = model.exact(x).reshape(-1)
        found = network.graph.evaluate(torch.from_numpy(codes.astype(float))).tolist()
        assert [int(v) * unit for v in found] == expected.tolist()
        seen |= set(found)
    assert len(seen) > 2
    if all(node.op_type != "MaxPool" for node in model.nodes):
        assert "step functions at every threshold" in confirm(network)
    return network


@pytest.mark.parametrize("mode", list(ROUNDINGS))
def test_the_least_argument_of_every_level(mode):
    rounding, rounded = ROUNDINGS[mode], ROUNDED[mode]
    values = [Fraction(n, 8) for n in range(-40, 41)]
    for level in range(-4, 5):
        number, strict = rounding.least(level)
        for x in values:
            assert (rounded(x) >= level) == (x > number or (x == number and not strict)), (level, x)
    array = np.array([float(x) for x in values])
    assert rounding.array(array).astype(int).tolist() == [rounded(x) for x in values]


def test_whole_numbers_within_bounds():
    assert [whole_at_least((Fraction(5, 2), s)) for s in (False, True)] == [3, 3]
    assert [whole_at_least((Fraction(-2), s)) for s in (False, True)] == [-2, -1]
    assert shared_unit([Fraction(3, 4), Fraction(-5, 6), Fraction(0)]) == Fraction(1, 12)
    assert shared_unit([Fraction(0)]) == 1


@pytest.mark.parametrize("mode", list(ROUNDINGS))
@pytest.mark.parametrize("signed", [0, 1])
def test_two_layers_with_halves(mode, signed, tmp_path):
    rng = np.random.default_rng(signed)
    model = QonnxModel((1, 6))
    model.quant("x", "q", 0.25, 5, zero=0 if signed else 3, signed=signed, operator="IntQuant")
    model.quant(model.single(rng.normal(size=(6, 5)) * 0.5), "w", 0.125, 4, narrow=1)
    model.quant(model.single(rng.normal(size=5)), "b", 0.125, 6)
    model.node("MatMul", ["q", "w"], "m")
    model.node("Add", ["m", "b"], "a")
    if not signed:
        model.node("Relu", ["a"], "r")
    model.quant("a" if signed else "r", "p", 0.5, 3, signed=signed, narrow=1, mode=mode)
    model.quant(model.single(rng.normal(size=(5, 3))), "v", 0.25, 5)
    model.node("MatMul", ["p", "v"], "y")
    checked(model, tmp_path / "n.onnx", Fraction(1, 8), Fraction(1, 4), 0 if signed else -3)


@pytest.mark.parametrize("domain", ["qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas"])
def test_channels_of_their_own(domain, tmp_path):
    """Scales of channels, gains of either sign and 0, a ReLU in between, a transposed weight."""
    rng = np.random.default_rng(1)
    model = QonnxModel((1, 6), domain)
    model.quant("x", "q", 1.0, 4)
    scales = 2.0 ** rng.integers(-4, 0, (5, 1))
    model.quant(model.single(rng.normal(size=(5, 6))), "w", scales, 4, narrow=1)
    model.node("Transpose", ["w"], "wt", perm=[1, 0])
    model.node("MatMul", ["q", "wt"], "m")
    parts = [
        np.array([1.5, -0.75, 0, 2, -1]),
        np.array([0.3, 1.7, 1.1, -0.4, 0]),
        rng.normal(size=5),
        np.array([3, 0, 15, 3, 8]),
    ]
    model.node("BatchNormalization", ["m", *map(model.single, parts)], "n", epsilon=1.0)
    model.node("Relu", ["n"], "r")
    model.node("Mul", ["r", model.single(0.75)], "s")
    model.quant("s", "p", 0.5, 3, signed=0)
    model.quant(model.single(rng.normal(size=(5, 3))), "v", 0.5, 4)
    model.node("MatMul", ["p", "v"], "y")
    checked(model, tmp_path / "n.onnx", Fraction(1, 4))


def test_roots_that_are_not_rational(tmp_path):
    """Thresholds lie where the float64 function says, at all sums that there are."""
    model = QonnxModel((1, 1))
    model.quant("x", "q", 1.0, 12)
    model.node("MatMul", ["q", model.single([[1.0, 1.0, 1.0]])], "m")
    parts = ([1.3, -0.6, 0.9], [0.2, 0.1, -0.7], [3.3, -5.1, 0.25], [711.0, 12.5, 99.0])
    model.node("BatchNormalization", ["m", *map(model.single, parts)], "n", epsilon=1e-5)
    model.quant("n", "y", 0.5, 6)
    network = netproof.load(model.save(tmp_path / "n.onnx"))
    x = np.arange(-2048, 2048)
    gain, bias, mean, variance = (np.float32(part).astype(float) for part in parts)
    numbers = ((x[:, None] - mean) / np.sqrt(variance + float(np.float32(1e-5))) * gain + bias) / 0.5
    assert np.abs(numbers - np.floor(numbers) - 0.5).min() > 1e-9
    found = network.graph.evaluate(torch.from_numpy(x[:, None].astype(float))).numpy()
    assert np.array_equal(found, np.clip(np.rint(numbers), -32, 31))


def test_bipolar_weights_and_inputs(tmp_path):
    rng = np.random.default_rng(2)
    model = QonnxModel((1, 7))
    model.node("Mul", ["x", model.single(2.0)], "t")
    model.node("Sub", ["t", model.single(1.0)], "u")
    model.node("BipolarQuant", ["u", model.single(0.5)], "q", DOMAIN)
    model.node("BipolarQuant", [model.single(rng.normal(size=(7, 4))), model.single(1.0)], "w", DOMAIN)
    model.node("MatMul", ["q", "w"], "m")
    model.node("BipolarQuant", ["m", model.single(1.0)], "p", DOMAIN)
    model.quant(model.single(rng.normal(size=(4, 3))), "v", 0.25, 3)
    model.node("MatMul", ["p", "v"], "y")
    # A code of 0 or 1 stands for -0.5 or 0.5, which the quantizer makes of 0 or 1 of the file's own.
    network = checked(model, tmp_path / "n.onnx", Fraction(1, 4))
    assert (float(network.lower[0]), float(network.upper[0])) == (0, 1)


def test_convolutions_maxima_and_sums(tmp_path):
    rng = np.random.default_rng(3)
    model = QonnxModel((1, 2, 5, 4))
    model.quant("x", "q", 0.5, 4)
    model.quant(model.single(rng.normal(size=(3, 2, 3, 3))), "w", 2.0 ** rng.integers(-3, 0, (3, 1, 1, 1)), 3)
    model.node("Conv", ["q", "w"], "c", pads=[1, 1, 1, 1])
    model.quant("c", "p", 0.5, 4)
    model.quant(model.single(rng.normal(size=(3, 3, 1, 1))), "u", 0.25, 3)
    model.node("Conv", ["p", "u"], "d")
    model.quant("d", "e", 0.25, 4)
    model.node("Add", ["p", "e"], "s")
    model.quant("s", "t", 0.5, 5)
    model.node("MaxPool", ["t"], "k", kernel_shape=[2, 2])
    model.node("Flatten", ["k"], "f")
    model.quant(model.single(rng.normal(size=(4, 36))), "v", 0.25, 3)
    model.node("Gemm", ["f", "v", model.single([0.5, 0, -0.25, 1])], "y", transB=1)
    checked(model, tmp_path / "n.onnx", Fraction(1, 8), Fraction(1, 2))


@pytest.mark.parametrize("mode", ["FLOOR", "ROUND", "CEIL", "HALF_UP"])
@pytest.mark.parametrize("version", [1, 2])
def test_truncations(mode, version, tmp_path):
    model = QonnxModel((1, 6))
    model.quant("x", "q", 0.25, 6, zero=4 if version == 1 else 0)
    rest = [0.25, 4.0 if version == 1 else 0.0, 6.0, *([3.0] if version == 1 else [2.0, 3.0])]
    more = {} if version == 1 else {"signed": 1, "narrow": 1}
    model.node("Trunc", ["q", *map(model.single, rest)], "y", DOMAIN, rounding_mode=mode, **more)
    unit = Fraction(1, 4) if version == 1 else Fraction(2)
    network = netproof.load(model.save(tmp_path / "n.onnx"))
    offset = 4 if version == 1 else 0
    for k in range(-32, 32):
        x = np.full((1, 6), (k - offset) * Fraction(1, 4), object)
        found = network.graph.evaluate(torch.full((1, 6), float(k)).double()).reshape(-1).tolist()
        expected = model.exact(x).reshape(-1).tolist()
        assert [int(v) * unit - (0 if version == 2 else Fraction(offset, 4)) for v in found] == expected


def test_thresholds_of_channels(tmp_path):
    rng = np.random.default_rng(5)
    model = QonnxModel((1, 3, 2, 2))
    model.quant("x", "q", 0.5, 5)
    model.node(
        "MultiThreshold", ["q", model.single(np.sort(rng.integers(-20, 20, (3, 7)) / 4))], "y", DOMAIN,
        out_scale=0.5, out_bias=-2.0, out_dtype="INT4",
    )  # fmt: skip
    network = netproof.load(model.save(tmp_path / "n.onnx"))
    for codes in codes_of(network, 20, 1):
        x = np.array([int(k) * Fraction(1, 2) for k in codes], object).reshape(model.shape)
        found = network.graph.evaluate(torch.from_numpy(codes.astype(float))).tolist()
        assert [int(v) * Fraction(1, 2) - 2 for v in found] == model.exact(x).reshape(-1).tolist()


@pytest.mark.parametrize(
    ("stated", "ends", "unit"),
    [
        ("INT8", (-128, 127), 1),
        ("UINT4", (0, 15), 1),
        ("BINARY", (0, 1), 1),
        ("FIXED<8,3>", (-128, 127), Fraction(1, 32)),
    ],
)
def test_inputs_of_a_stated_type(stated, ends, unit, tmp_path):
    model = QonnxModel((1, 4))
    model.metadata["netproof.input_type"] = stated
    model.quant(model.single([[1, -1], [0.5, 0.25], [-1, 1], [0.25, 1]]), "w", 0.25, 4)
    model.node("MatMul", ["x", "w"], "y")
    network = checked(model, tmp_path / "n.onnx", Fraction(unit) / 4, Fraction(unit))
    assert (int(network.lower[0]), int(network.upper[0])) == ends


def edited(change: Callable[[QonnxModel], object]) -> Callable[[Path], Path]:
    def save(path: Path) -> Path:
        model = QonnxModel((1, 4))
        model.quant("x", "q", 0.25, 5)
        model.quant(model.single(np.ones((4, 3))), "w", 0.25, 4)
        model.node("MatMul", ["q", "w"], "m")
        model.quant("m", "y", 0.5, 4)
        change(model)
        return model.save(path)

    return save


def operand(output: str, number: int, array: object) -> Callable[[QonnxModel], None]:
    def change(model: QonnxModel) -> None:
        node = next(node for node in model.nodes if node.output[0] == output)
        node.input[number] = model.single(array)

    return change


def attribute(output: str, **attributes: object) -> Callable[[QonnxModel], None]:
    def change(model: QonnxModel) -> None:
        node = next(node for node in model.nodes if node.output[0] == output)
        kept = [a for a in node.attribute if a.name not in attributes]
        del node.attribute[:]
        made = [onnx.helper.make_attribute(n, v) for n, v in attributes.items() if v is not None]
        node.attribute.extend([*kept, *made])

    return change


def kind(output: str, operator: str, domain: str | None = None) -> Callable[[QonnxModel], None]:
    def change(model: QonnxModel) -> None:
        node = next(node for node in model.nodes if node.output[0] == output)
        node.op_type = operator
        node.domain = node.domain if domain is None else domain

    return change


def no_quantizer_first(model: QonnxModel) -> None:
    next(node for node in model.nodes if node.output[0] == "m").input[0] = "x"


BAD = {
    "an attribute with a line end": (attribute("y", **{"a\nb": 1}), "the attribute 'a?b'"),
    "weights of no axis": (kind("m", "Conv"), "known are one to three axes"),
    "scale 0": (operand("y", 1, 0), "its scale (operand 1)"),
    "scale NaN": (operand("y", 1, np.nan), "its scale (operand 1)"),
    "scale negative": (operand("y", 1, -1), "its scale (operand 1)"),
    "scales of another shape": (operand("y", 1, np.ones((2, 1))), "of shape (2, 1) for a value"),
    "zero point of a half": (operand("y", 2, 0.5), "its zero point (operand 2)"),
    "width 0": (operand("y", 3, 0), "its width (operand 3)"),
    "width 60": (operand("y", 3, 60), "its width (operand 3)"),
    "width of a half": (operand("y", 3, 2.5), "its width (operand 3)"),
    "one level": (lambda m: (operand("y", 3, 1)(m), attribute("y", signed=0, narrow=1)(m)), "leaves one level"),
    "a rounding mode": (attribute("y", rounding_mode="NEAREST"), "the rounding mode 'NEAREST'"),
    "no sign": (attribute("y", signed=None), "no attribute 'signed'"),
    "a flag of 2": (attribute("y", signed=2), "neither 0 nor 1"),
    "an unknown attribute": (attribute("y", axis=1), "the attribute 'axis'"),
    "an unknown operator": (kind("y", "FloatQuant"), "that is not known"),
    "an unknown domain": (kind("y", "Quant", "com.example"), "of domain 'com.example'"),
    "an operator between": (kind("m", "Einsum"), "Einsum"),
    "NaN weights": (operand("w", 0, np.full((4, 3), np.nan)), "NaN or infinity"),
    "no quantizer first": (no_quantizer_first, "nothing says which numbers it takes"),
    "an input type": (
        lambda m: m.metadata.update({"netproof.input_type": "FLOAT16"}),
        "is said to be of type 'FLOAT16'",
    ),
    "an input axis": (lambda m: setattr(m, "shape", (1, "n")), "is dynamic"),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals(name, tmp_path):
    change, said = BAD[name]
    with pytest.raises(InputError) as caught:
        netproof.load(edited(change)(tmp_path / "n.onnx"))
    message = str(caught.value)
    assert said in message and "\n" not in message and "n.onnx" in message


def test_other_runtimes_are_refused(tmp_path):
    path = edited(lambda m: None)(tmp_path / "n.onnx")
    assert netproof.load(path, runtime="integer-ideal").runtime == "integer-ideal"
    with pytest.raises(InputError, match="none that is known for QONNX files"):
        netproof.load(path, runtime="onnxruntime")


def test_damaged_files_are_refused_in_one_line(tmp_path):
    data = edited(lambda m: None)(tmp_path / "n.onnx").read_bytes()
    rng = np.random.default_rng(0)
    for k in range(200):
        changed = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            changed[int(rng.integers(len(changed)))] = int(rng.integers(256))
        (tmp_path / "c.onnx").write_bytes(
            bytes(changed[: int(rng.integers(1, len(data) + 1))] if k % 3 == 0 else changed)
        )
        try:
            netproof.load(tmp_path / "c.onnx")
        except InputError as refusal:
            assert "\n" not in str(refusal)


@pytest.mark.skipif("NETPROOF_DATA" not in os.environ, reason="NETPROOF_DATA is not set")
@pytest.mark.parametrize("name", ["kwsmlp_w3a3", "TFC_1W1A", "TFC_1W2A", "TFC_2W2A", "unsw_nb15-mlp-w2a2"])
def test_published_networks_are_read(name):
    network = netproof.load(Path(os.environ["NETPROOF_DATA"]) / "int8" / f"{name}.onnx")
    x = torch.from_numpy(codes_of(network, 50, 0).astype(float))
    y = network.graph.evaluate(x)
    assert bool((y == y.round()).all()) and len(set(network.classify(x).tolist())) > (1 if network.outputs > 1 else 0)
