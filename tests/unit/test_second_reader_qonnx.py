"""The second reading of QONNX files: what they are in exact numbers, the same as the first one's, and different where either is wrong."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import netproof
from netproof import Settings, Verdict
from netproof.certificate.checker.check import check
from netproof.certificate.make import certificate_of
from netproof.certificate.second_reading import compare
from netproof.certificate.second_reading.compare import confirm
from netproof.certificate.second_reading.qonnx.quantizers import ROUND
from netproof.certificate.second_reading.qonnx.read import read_qonnx
from netproof.certificate.second_reading.qonnx.values import largest_unit
from netproof.certificate.second_reading.reading import Reading, stepped
from netproof.errors import CertificateError, InputError
from netproof.formats.load import load
from netproof.graph.graph import Graph, Node
from netproof.operators.activations.staircase import Staircase
from qonnx_models import ROUNDED, QonnxModel

MODES = list(ROUNDED)


def random_model(seed: int) -> QonnxModel:
    """Products or convolutions with what may stand between quantizers, gains of either sign among it; two branches sometimes."""
    rng = np.random.default_rng(seed)
    image = bool(rng.random() < 0.4)
    shape = (1, 2, 4, 3) if image else (1, 5)
    model = QonnxModel(shape)
    value, channels = "x", shape[1]
    if rng.random() < 0.3:
        value = model.node("Mul", ["x", model.single(0.5)], "scaled")
    if rng.random() < 0.2:
        value = model.node("BipolarQuant", [value, model.single(0.5)], "q", model.domain)
    else:
        zero, signed = (0, 1) if image else (int(rng.integers(0, 3)), int(rng.integers(0, 2)))
        model.quant(value, "q", 0.25, 3, zero=zero, signed=signed, mode=str(rng.choice(MODES)))
        value = "q"
    spread = (-1, 1, 1) if image else (-1,)
    for layer in range(int(rng.integers(1, 3))):
        wide, name = int(rng.integers(2, 4)), f"l{layer}"
        weights = rng.normal(size=(wide, channels, 2, 2) if image else (channels, wide))
        if rng.random() < 0.8:
            each = rng.random() < 0.4
            scale = rng.choice([0.125, 0.25, 0.375], (wide, 1, 1, 1) if image else (1, wide)) if each else 0.25
            model.quant(model.single(weights), f"{name}w", scale, 3, narrow=int(rng.integers(0, 2)))
        else:
            model.constants[f"{name}w"] = np.round(weights * 4).astype(np.float32) / 4
        if image:
            value = model.node("Conv", [value, f"{name}w"], f"{name}m", pads=[1, 0, 0, 1])
        else:
            value = model.node("MatMul", [value, f"{name}w"], f"{name}m")
        channels, between = wide, rng.choice(["Mul", "Add", "Sub", "Div", "BatchNormalization", "Relu"], 2)
        for k, operator in enumerate(between):
            gain = rng.choice([-1.5, -0.5, 0.75, 2.0], wide)
            if operator == "BatchNormalization":
                parts = [gain, rng.normal(size=wide), rng.normal(size=wide), rng.choice([3.0, 8.0, 0.3], wide)]
                operands = [value, *map(model.single, parts)]
                value = model.node(operator, operands, f"{name}b{k}", epsilon=1.0)
            elif operator == "Relu":
                value = model.node(operator, [value], f"{name}b{k}")
            else:
                constant = model.single(gain.reshape(spread) if rng.random() < 0.5 else gain[0])
                turned = operator in ("Add", "Mul") and rng.random() < 0.3
                value = model.node(operator, [constant, value] if turned else [value, constant], f"{name}b{k}")
        unsigned = image or rng.random() < 0.5
        each = rng.random() < 0.3 and not image
        scale = rng.choice([0.25, 0.5], (1, wide)) if each else 0.5
        model.quant(value, f"{name}q", scale, 3, signed=int(not unsigned), mode=str(rng.choice(MODES)),
                    zero=0 if image else int(rng.integers(0, 2)))  # fmt: skip
        value = f"{name}q"
    if rng.random() < 0.3:
        model.quant(model.node("Mul", [value, model.single(-0.75)], "branch"), "other", 0.25, 4)
        value = model.node("Add", [value, "other"], "sum")
    model.nodes[-1].output[0] = "y"
    return model


def evaluated(reading: Reading, points: np.ndarray) -> np.ndarray:
    """What a reading is at points ``[B, n]``, part by part."""
    values = {0: points.astype(np.float64)}
    for index in reading.needed()[1:]:
        part = reading.parts[index]
        given = [values[i] for i in part.operands]
        if part.map is not None:
            values[index] = part.map(given, False)
        else:
            channels = np.split(given[0], len(part.steps), axis=1)
            pairs = zip(part.steps, channels, strict=True)
            values[index] = np.concatenate([stepped(one, x).astype(np.float64) for one, x in pairs], axis=1)
    return values[reading.output]


def test_random_models_are_their_definition_and_read_alike(tmp_path: Path) -> None:
    """The second reading by itself, against the operators' definitions; then compared with the first one."""
    alike = 0
    for seed in range(60):
        model = random_model(seed)
        path = model.save(tmp_path / "n.onnx")
        try:
            network = load(path)
        except InputError:
            continue
        alike += 1
        assert "step functions at every threshold" in confirm(network), seed
        reading = read_qonnx(onnx.load(path))
        if any(node.op_type == "BatchNormalization" for node in model.nodes) or seed % 3:
            continue  # with roots in it nothing is exact to compare with
        rng = np.random.default_rng(seed)
        low, high = int(network.lower.min()), int(network.upper.max())
        points = rng.integers(low, high + 1, (4, network.inputs))
        found = evaluated(reading, points)
        first = next(node for node in model.nodes if node.output[0] == "q")
        zero = 0 if first.op_type == "BipolarQuant" else int(model.constants[first.input[2]])
        unit = Fraction(1, 2) if first.op_type == "BipolarQuant" else Fraction(1, 4)
        divisor = Fraction(1, 2) if any(n.output[0] == "scaled" for n in model.nodes) else Fraction(1)
        exact = []
        for point in points:
            codes = [2 * int(k) - 1 if first.op_type == "BipolarQuant" else int(k) - zero for k in point]
            x = np.array([k * unit / divisor for k in codes], object).reshape(model.shape)
            exact.append(model.exact(x).reshape(-1))
        # Outputs are whole multiples of one number, plus a number.
        exact_, whole = np.array(exact, object), found.astype(int).astype(object)
        a, b = divmod(int(np.abs(found - found.flat[0]).argmax()), found.shape[1])
        if whole[a, b] != whole[0, 0]:
            slope = (exact_[a, b] - exact_[0, 0]) / (whole[a, b] - whole[0, 0])
            assert slope > 0 and bool((exact_ - exact_[0, 0] == slope * (whole - whole[0, 0])).all()), seed
    assert alike >= 40


def test_rounding_and_units() -> None:
    for mode, rounded in ROUNDED.items():
        numbers = [Fraction(n, 8) for n in range(-40, 41)]
        assert [ROUND[mode](x) for x in numbers] == [rounded(x) for x in numbers]
    assert largest_unit([Fraction(3, 4), Fraction(-5, 6), Fraction(0)]) == Fraction(1, 12)
    assert largest_unit([]) == 1


def small(path: Path) -> netproof.Network:
    model = QonnxModel((1, 4))
    model.quant("x", "q", 0.25, 4)
    rng = np.random.default_rng(5)
    model.quant(model.single(rng.normal(size=(4, 5))), "w", 0.125, 4, narrow=1)
    model.node("MatMul", ["q", "w"], "m")
    parts = [[-1.5, 0.75, 2.0, 0.5, -0.5], rng.normal(size=5), rng.normal(size=5), np.full(5, 3.0)]
    model.node("BatchNormalization", ["m", *map(model.single, parts)], "n", epsilon=1.0)
    model.node("Relu", ["n"], "r")
    model.quant("r", "p", 0.25, 3, signed=0, mode="HALF_UP")
    model.quant(model.single(rng.normal(size=(5, 3))), "v", 0.25, 4)
    model.node("MatMul", ["p", "v"], "y")
    return load(model.save(path))


def test_a_graph_that_is_wrong_anywhere_is_found(tmp_path: Path) -> None:
    network = small(tmp_path / "n.onnx")
    assert confirm(network)
    found = 0
    for index, node in enumerate(network.graph.nodes):
        if isinstance(node.operator, Staircase):
            thresholds = node.operator.thresholds.clone()
            thresholds[1, 0] -= 1
            wrong = Staircase(thresholds, node.operator.base)
        elif hasattr(node.operator, "weight"):
            weight = node.operator.weight.clone()
            weight.view(-1)[weight.numel() // 2] += 1
            wrong = replace(node.operator, weight=weight)
        elif hasattr(node.operator, "scale"):
            wrong = replace(node.operator, scale=-node.operator.scale)
        else:
            continue
        nodes = list(network.graph.nodes)
        nodes[index] = Node(node.name, wrong, node.operands, node.shape)
        with pytest.raises(CertificateError, match="read as two different networks"):
            confirm(replace(network, graph=Graph(network.graph.arithmetic, nodes)))
        found += 1
    assert found >= 4


def test_a_file_that_says_something_else_anywhere_is_found(tmp_path: Path) -> None:
    """Each number and each attribute of the file changed: another network, or one that is refused, or the same function."""
    network = small(tmp_path / "n.onnx")
    model = onnx.ModelProto.FromString(network.content)
    rng, refused, same = np.random.default_rng(0), 0, 0
    points = rng.integers(-8, 8, (400, 4))
    expected = network.graph.evaluate(torch.from_numpy(points).double()).numpy()

    def told(changed: onnx.ModelProto) -> None:
        nonlocal refused, same
        try:
            reading = compare._read(replace(network, content=changed.SerializeToString()))
            compare._Comparison(network, reading).run()
        except CertificateError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert np.array_equal(evaluated(reading, points), expected)
            same += 1

    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        for at in {0, array.size - 1}:
            for more in (1, -1, 0.5):
                changed, other = onnx.ModelProto(), array.copy().reshape(-1)
                changed.CopyFrom(model)
                other[at] += more
                place = next(one for one in changed.graph.initializer if one.name == tensor.name)
                place.CopyFrom(onnx.numpy_helper.from_array(other.reshape(array.shape), tensor.name))
                told(changed)
    assert refused >= 60 and same <= 30, (refused, same)
    for number, node in enumerate(model.graph.node):
        for k, attribute in enumerate(node.attribute):
            changed = onnx.ModelProto()
            changed.CopyFrom(model)
            there = changed.graph.node[number].attribute[k]
            if attribute.type == onnx.AttributeProto.INT:
                there.i = 1 - attribute.i
            elif attribute.type == onnx.AttributeProto.FLOAT:
                there.f = attribute.f + 2
            else:
                there.s = b"FLOOR"
            told(changed)
    assert refused >= 66


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.node("MaxPool", ["m"], "y", kernel_shape=[2]), "the operator MaxPool"),
        (lambda m: m.node("Mul", ["m", "m"], "y"), "a product of two values"),
        (lambda m: m.quant("m", "y", 0.5, 3, operator="FloatQuant"), "FloatQuant"),
        (lambda m: m.quant("m", "y", 0.5, 3, mode="NEAREST"), "rounding mode 'NEAREST'"),
        (lambda m: m.quant("m", "y", -0.5, 3), "no positive float32"),
        (lambda m: m.quant("m", "y", 0.5, 3, zero=0.5), "no whole number"),
        (lambda m: m.quant("m", "y", 0.5, 60), "a width or a sign"),
        (lambda m: m.node("Relu", ["m"], "y"), "that is not quantized"),
    ],
)
def test_what_is_not_known_is_refused(change, said, tmp_path: Path) -> None:
    network = small(tmp_path / "n.onnx")
    model = QonnxModel((1, 4))
    model.quant("x", "q", 0.25, 4)
    model.quant(model.single(np.ones((4, 3))), "w", 0.25, 4)
    model.node("MatMul", ["q", "w"], "m")
    change(model)
    data = model.save(tmp_path / "other.onnx").read_bytes()
    with pytest.raises(CertificateError, match="cannot be read a second time") as refusal:
        compare._read(replace(network, content=data))
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_certificates_of_both_verdicts(tmp_path: Path) -> None:
    network, seen = small(tmp_path / "n.onnx"), set()
    for seed in range(6):
        image = torch.from_numpy(np.random.default_rng(seed).integers(-6, 6, 4)).double()
        query = netproof.robustness(network, image, int(network.classify(image)), 1)
        result = netproof.verify(query, Settings(timeout=60, proofs=True))
        seen.add(result.verdict)
        checked = check(certificate_of(query, result), network)
        assert "step functions" in checked.second_reading
    assert seen == {Verdict.SAT, Verdict.UNSAT}


@pytest.mark.skipif("NETPROOF_DATA" not in os.environ, reason="NETPROOF_DATA is not set")
@pytest.mark.parametrize("name", ["TFC_1W1A", "TFC_2W2A", "unsw_nb15-mlp-w2a2"])
def test_published_networks_are_read_alike(name: str) -> None:
    network = load(Path(os.environ["NETPROOF_DATA"]) / "int8" / f"{name}.onnx")
    assert "in all of their coefficients" in confirm(network)
