"""The second reader of QONNX files: a small file for each form of an operator, every number and statement of which is changed.

Whatever is changed, the second reader says that it is another network, refuses it, or makes the same function of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from netproof.certificate.second_reading import compare
from netproof.certificate.second_reading.compare import confirm
from netproof.certificate.second_reading.qonnx.quantizers import mode_of, quantizer_of, truncated
from netproof.certificate.second_reading.qonnx.read import read_qonnx
from netproof.certificate.second_reading.qonnx.values import Known, Value, fractions
from netproof.certificate.second_reading.reading import Reading, UnknownFormError, stepped
from netproof.errors import CertificateError
from netproof.formats.load import load
from netproof.network import Network
from qonnx_models import DOMAIN, QonnxModel

GAINS = [-1.5, 0.75, 2.0]
WEIGHTS = [[0.25, -0.5, 0.125], [0.75, 0.25, -0.375]]


def started(shape: tuple[int, ...], bits: int = 3, **more: Any) -> QonnxModel:
    model = QonnxModel(shape)
    model.quant("x", "q", 0.25, bits, **more)
    return model


def quantizers() -> QonnxModel:
    """Zero points, scales of channels, a narrow and an unsigned range."""
    model = started((1, 3), 4, zero=3, signed=0, mode="FLOOR")
    model.node("Mul", ["q", model.single([GAINS])], "g")
    model.quant("g", "r", [[0.5, 0.25, 0.375]], 3, zero=1, narrow=1, mode="HALF_DOWN")
    model.node("Sub", [model.single([[0.5, -1.0, 0.25]]), "r"], "s")
    model.quant("s", "y", 0.375, 3, zero=2, signed=0, mode="UP")
    return model


def signs() -> QonnxModel:
    """Quantizers of two levels, one of which has a zero point."""
    model = QonnxModel((1, 3))
    model.quant("x", "q", 0.5, 1, zero=1)
    model.node("MatMul", ["q", model.quant(model.single([*WEIGHTS, [0.5, 0.5, -0.25]]), "w", 0.125, 1)], "m")
    model.quant("m", "b", 0.25, 1, zero=2)
    model.node("Add", ["b", model.single([[0.5, 0.75, 0.25]])], "a")
    model.node("BipolarQuant", ["a", model.single(0.375)], "y", DOMAIN)
    return model


def truncation(version: int) -> QonnxModel:
    model = started((1, 2), 6, zero=4)
    rest = [0.25, 4.0, 6.0, 3.0] if version == 1 else [0.25, 0.0, 6.0, 2.0, 3.0]
    more = {} if version == 1 else {"signed": 1, "narrow": 1}
    model.node("Trunc", ["q", *map(model.single, rest)], "t", DOMAIN, rounding_mode="CEIL", **more)
    model.node("Mul", ["t", model.single([[-0.75, 2.0]])], "g")
    model.quant("g", "y", 0.5, 3)
    return model


def thresholds(rows: int) -> QonnxModel:
    model = started((1, 3, 2), 4)
    levels = np.array([[-1.75, -0.5, 0.25], [-1.0, 0.0, 1.0], [-0.25, 1.5, 1.5]])[:rows]
    stated = {"out_scale": 0.5, "out_bias": -2.0, "out_dtype": "INT4"} if rows > 1 else {}
    model.node("MultiThreshold", ["q", model.single(levels)], "t", DOMAIN, **stated)
    model.node("Mul", ["t", model.single(np.reshape(GAINS, (1, 3, 1)))], "g")
    model.quant("g", "y", 0.5, 4, mode="HALF_UP")
    return model


def product() -> QonnxModel:
    """Weights with scales of outputs; what is multiplied is shifted, and has scales of its own."""
    model = started((1, 2), zero=1)
    model.node("Mul", ["q", model.single([[0.5, 0.75]])], "g")
    model.node("Add", [model.single([[0.25, -0.5]]), "g"], "a")
    model.quant(model.single(WEIGHTS), "w", [[0.125, 0.25, 0.375]], 4, narrow=1)
    model.node("MatMul", ["a", "w"], "m")
    model.quant("m", "y", 0.125, 3, mode="HALF_UP")
    return model


def gemm(turned: bool) -> QonnxModel:
    model = started((1, 2), zero=1)
    scale = np.array([[0.125, 0.25, 0.375]])
    weights = np.array(WEIGHTS)
    model.quant(model.single(weights.T if turned else weights), "w", scale.T if turned else scale, 4)
    model.node("Gemm", ["q", "w", model.single([0.25, -0.5, 1.0])], "m", transB=int(turned), alpha=1.0, beta=1.0)
    model.quant("m", "y", 0.125, 3)
    return model


def turned_weights() -> QonnxModel:
    model = started((1, 2))
    model.quant(model.single(np.transpose(WEIGHTS)), "w", [[0.125], [0.25], [0.375]], 4)
    model.node("MatMul", ["q", model.node("Transpose", ["w"], "v")], "m")
    model.quant("m", "y", 0.125, 3)
    return model


def convolution() -> QonnxModel:
    model = started((1, 2, 2, 4))
    kernel = np.array([[[[0.25, -0.5], [0.125, 0.375]]], [[[0.5, 0.125], [-0.25, 0.25]]]])
    model.quant(model.single(kernel), "w", np.reshape([0.125, 0.25], (2, 1, 1, 1)), 4)
    stated = {"group": 2, "strides": [1, 2], "pads": [0, 1, 1, 0], "dilations": [1, 1], "kernel_shape": [2, 2]}
    model.node("Conv", ["q", "w", model.single([0.25, -0.5])], "c", **stated)
    model.quant("c", "y", 0.125, 3)
    return model


def normalization() -> QonnxModel:
    model = started((1, 3))
    parts = [GAINS, [0.25, -0.5, 0.5], [1.0, 0.25, -0.5], [3.0, 8.0, 0.5]]
    model.node("BatchNormalization", ["q", *map(model.single, parts)], "n", epsilon=0.25)
    model.node("Relu", ["n"], "r")
    model.quant("r", "y", 0.25, 3, signed=0)
    return model


def total() -> QonnxModel:
    """Sums and differences of two values with lines of their own."""
    model = started((1, 3), zero=1)
    model.quant(model.node("Mul", ["q", model.single([GAINS])], "g"), "r", 0.5, 3, zero=1)
    model.node("Add", ["q", model.single(0.25)], "a")
    model.node("Sub", ["r", "a"], "d")
    model.node("Div", ["q", model.single([[-0.5, 2.0, 4.0]])], "e")
    model.node("Add", ["d", "e"], "s")
    model.quant("s", "y", 0.25, 4)
    return model


def moved() -> QonnxModel:
    """Numbers change their places, and the shapes that they are in."""
    model = started((1, 2, 3))
    model.node("Mul", ["q", model.single(-0.75)], "g")
    model.node("Add", ["g", model.single(0.25)], "a")
    model.node("Transpose", ["a"], "t", perm=[0, 2, 1])
    model.node("Unsqueeze", ["t", model.constant(np.array([1]))], "u")
    model.node("Squeeze", ["u", model.constant(np.array([1]))], "w")
    model.node("Flatten", ["w"], "f", axis=1)
    model.node("Reshape", ["f", model.constant(np.array([0, 2, -1]))], "s")
    model.quant("s", "y", 0.25, 3)
    return model


def before() -> QonnxModel:
    """What the file does to its floats before they are quantized is no part of a network of codes."""
    model = QonnxModel((1, 2, 1))
    model.node("Mul", ["x", model.single(0.5)], "h")
    model.node("Reshape", ["h", model.constant(np.array([0, -1]))], "s")
    model.node("BipolarQuant", ["s", model.single(0.5)], "q", DOMAIN)
    model.node("MatMul", ["q", model.quant(model.single([[1.0, -0.5], [0.25, 0.75]]), "w", 0.25, 4)], "m")
    model.quant("m", "y", 0.25, 3)
    return model


def stated(kind: str) -> QonnxModel:
    """An input of a data type that is stated; outputs of several scales."""
    model = QonnxModel((1, 2))
    model.metadata["netproof.input_type"] = kind
    model.quant(model.single(WEIGHTS), "w", [[0.125, 0.25, 0.375]], 4)
    model.node("MatMul", ["x", "w"], "m")
    model.node("Add", ["m", model.single([[0.5, -0.25, 0.75]])], "y")
    return model


FILES: dict[str, Callable[[], QonnxModel]] = {
    "quantizers": quantizers, "signs": signs, "Trunc": lambda: truncation(1), "Trunc of version 2": lambda: truncation(2),
    "thresholds": lambda: thresholds(3), "thresholds of all": lambda: thresholds(1), "product": product,
    "gemm": lambda: gemm(False), "gemm turned": lambda: gemm(True), "turned weights": turned_weights,
    "convolution": convolution, "normalization": normalization, "sum": total, "moved": moved, "before": before,
    **{kind: (lambda kind=kind: stated(kind)) for kind in ("INT4", "UINT3", "BIPOLAR", "BINARY", "FIXED<5,2>")},
}  # fmt: skip
#: what is changed of attributes, by the type that ONNX gives them
OTHER: dict[int, Callable[[Any], list[Any]]] = {
    onnx.AttributeProto.INT: lambda old: [1 - old, 2],
    onnx.AttributeProto.FLOAT: lambda old: [old + 0.5, -old],
    onnx.AttributeProto.STRING: lambda old: ["DOWN", "CEIL", "NHWC"],
    onnx.AttributeProto.INTS: lambda old: [old[::-1], [one + 1 for one in old]],
}


def values(reading: Reading, points: np.ndarray) -> np.ndarray:
    """What a reading is at points ``[B, n]``, part by part."""
    known = {0: points.astype(np.float64)}
    for index in reading.needed()[1:]:
        part = reading.parts[index]
        given = [known[i] for i in part.operands]
        if part.map is not None:
            known[index] = part.map(given, False)
        else:
            pairs = zip(part.steps, np.split(given[0], len(part.steps), axis=1), strict=True)
            known[index] = np.concatenate([stepped(one, x).astype(np.float64) for one, x in pairs], axis=1)
    return known[reading.output]


def changes(file: onnx.ModelProto) -> list[tuple[str, onnx.ModelProto]]:
    """The file with one number or one statement changed, and what was."""
    found = []
    for place, tensor in enumerate(file.graph.initializer):
        array = numpy_helper.to_array(tensor)
        for number in range(array.size):
            for more in (1.0, -0.5) if array.dtype == np.float32 else (1, -1):
                other = array.copy().reshape(-1)
                other[number] += more
                changed = onnx.ModelProto.FromString(file.SerializeToString())
                part = numpy_helper.from_array(other.reshape(array.shape), tensor.name)
                changed.graph.initializer[place].CopyFrom(part)
                found.append((f"{tensor.name}[{number}]", changed))
    for place, node in enumerate(file.graph.node):
        for k, attribute in enumerate(node.attribute):
            for other in OTHER[attribute.type](helper.get_attribute_value(attribute)):
                changed = onnx.ModelProto.FromString(file.SerializeToString())
                changed.graph.node[place].attribute[k].CopyFrom(helper.make_attribute(attribute.name, other))
                found.append((f"{node.op_type}.{attribute.name} {other}", changed))
    return found


def confirmed(network: Network, changed: onnx.ModelProto) -> Reading | None:
    """What the second reader makes of other bytes, where it says that this is the network."""
    try:
        reading = compare._read(replace(network, content=changed.SerializeToString()))
        compare._Comparison(network, reading).run()
    except CertificateError as refusal:
        assert "\n" not in str(refusal)
        return None
    return reading


@pytest.mark.parametrize("name", FILES)
def test_every_number_and_every_statement_counts(name, tmp_path):
    network = load(FILES[name]().save(tmp_path / "net.onnx"))
    assert "step functions" in confirm(network) or "coefficients" in confirm(network)
    ends = [range(int(low), int(high) + 1) for low, high in zip(network.lower, network.upper, strict=True)]
    random = np.random.default_rng(0)
    points = np.array([[random.choice(end) for end in ends] for _ in range(200)])
    expected = network.graph.evaluate(torch.from_numpy(points).double()).numpy()
    refused = same = 0
    for what, changed in changes(onnx.ModelProto.FromString(network.content)):
        reading = confirmed(network, changed)
        assert reading is None or np.array_equal(values(reading, points), expected), what
        refused, same = refused + (reading is None), same + (reading is not None)
    assert refused >= same // 2, (refused, same)


def replaced(model: QonnxModel, output: str, **stated: Any) -> QonnxModel:
    """The model with attributes of one node in place of its own, None for none."""
    node = next(one for one in model.nodes if one.output[0] == output)
    kept = [a for a in node.attribute if a.name not in stated]
    del node.attribute[:]
    node.attribute.extend(kept + [helper.make_attribute(k, v) for k, v in stated.items() if v is not None])
    return model


def in_place(model: QonnxModel, output: str, operand: int, array: Any) -> QonnxModel:
    next(one for one in model.nodes if one.output[0] == output).input[operand] = model.single(array)
    return model


def several_samples() -> QonnxModel:
    model = convolution()
    model.shape = (2, 2, 2, 4)
    return model


UNKNOWN = {
    "a Trunc of channels": lambda: in_place(truncation(1), "t", 1, [0.25, 0.5]),
    "a Trunc of channels, of version 2": lambda: in_place(truncation(2), "t", 4, [2.0, 1.0]),
    "a width of 0": lambda: in_place(truncation(2), "t", 5, 0.0),
    "thresholds of another layout": lambda: replaced(thresholds(3), "t", data_layout="NHWC"),
    "thresholds of another number": lambda: in_place(thresholds(3), "t", 1, np.zeros((2, 3))),
    "thresholds that are a list": lambda: in_place(thresholds(3), "t", 1, np.zeros(3)),
    "a sign of 2": lambda: replaced(quantizers(), "y", signed=2),
    "a narrow range of 2": lambda: replaced(quantizers(), "y", narrow=2),
    "a width of 17": lambda: in_place(quantizers(), "y", 3, 17.0),
    "a scale of 0": lambda: in_place(quantizers(), "y", 1, 0.0),
    "a scale that is infinite": lambda: in_place(quantizers(), "y", 1, np.inf),
    "widths that differ": lambda: in_place(quantizers(), "y", 3, [[3.0, 4.0, 3.0]]),
    "a zero point that is none": lambda: in_place(quantizers(), "y", 2, np.nan),
    "another attribute": lambda: replaced(quantizers(), "y", axis=1),
    "an input by channels": lambda: in_place(quantizers(), "q", 1, [[0.25, 0.5, 0.25]]),
    "weights that are no numbers": lambda: in_place(product(), "w", 0, np.full((2, 3), np.inf)),
    "weights of three axes": lambda: in_place(product(), "m", 1, np.ones((1, 2, 3))),
    "weights that do not fit what is laid out in another way": lambda: in_place(
        moved_product(), "m", 1, np.ones((2, 3))
    ),
    "weights that do not fit": lambda: in_place(product(), "m", 1, np.ones((3, 3))),
    "a variance of less than 0": lambda: in_place(normalization(), "n", 4, [3.0, -8.0, 0.5]),
    "a normalization in training": lambda: replaced(normalization(), "n", training_mode=1),
    "a normalization of all": lambda: replaced(normalization(), "n", spatial=0),
    "an attribute of a normalization": lambda: replaced(normalization(), "n", axis=1),
    "another kernel": lambda: replaced(convolution(), "c", kernel_shape=[2, 3]),
    "a factor": lambda: replaced(gemm(False), "m", alpha=2.0),
    "a factor of the bias": lambda: replaced(gemm(False), "m", beta=2.0),
    "a value that is turned": lambda: replaced(gemm(False), "m", transA=1),
    "a type of no width": lambda: stated("INT0"),
    "a type of 17 bits": lambda: stated("UINT17"),
    "a type that is not known": lambda: stated("FLOAT16"),
    "a type that is not closed": lambda: stated("FIXED<5,2"),
    "a convolution of what is shifted": lambda: shifted(convolution()),
    "a convolution of channels of several scales": lambda: scaled(convolution()),
    "a convolution of several samples": several_samples,
    "a sum of two shapes": lambda: summed(moved()),
}


def between(model: QonnxModel, reader: str, operator: str, constant: Any) -> QonnxModel:
    """The model with one more node in front of an operand of the node that gives ``reader``."""
    node = next(one for one in model.nodes if one.output[0] == reader)
    model.node(operator, [node.input[0], model.single(constant)], "more")
    model.nodes.insert(model.nodes.index(node), model.nodes.pop())
    node.input[0] = "more"
    return model


def shifted(model: QonnxModel) -> QonnxModel:
    return between(model, "c", "Add", 0.5)


def scaled(model: QonnxModel) -> QonnxModel:
    return between(model, "c", "Mul", np.reshape([0.5, 0.25], (1, 2, 1, 1)))


def moved_product() -> QonnxModel:
    """A value with as many numbers as weights have rows, but not in a row."""
    model = product()
    node = next(one for one in model.nodes if one.output[0] == "m")
    model.node("Unsqueeze", [node.input[0], model.constant(np.array([2]))], "u")
    model.nodes.insert(model.nodes.index(node), model.nodes.pop())
    node.input[0] = "u"
    return model


def summed(model: QonnxModel) -> QonnxModel:
    last = next(one for one in model.nodes if one.output[0] == "y")
    model.node("Add", ["s", "f"], "two")
    model.nodes.insert(model.nodes.index(last), model.nodes.pop())
    last.input[0] = "two"
    return model


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_refused(name, tmp_path):
    network = load(product().save(tmp_path / "net.onnx"))
    data = UNKNOWN[name]().save(tmp_path / "other.onnx").read_bytes()
    with pytest.raises(CertificateError, match="cannot be read a second time"):
        compare._read(replace(network, content=data))


def test_annotations_state_a_type_as_metadata_does(tmp_path):
    file = onnx.ModelProto.FromString(stated("INT4").save(tmp_path / "net.onnx").read_bytes())
    del file.metadata_props[:]
    entry = file.graph.quantization_annotation.add()
    entry.tensor_name = "m"
    pair = entry.quant_parameter_tensor_names.add()
    pair.key, pair.value = "finn_datatype", "INT8"
    with pytest.raises(UnknownFormError):
        read_qonnx(file)  # something is said, but not about the input
    entry.tensor_name, pair.value = "x", "INT4"
    low, high = read_qonnx(file).parts[0].low, read_qonnx(file).parts[0].high
    assert (low.tolist(), high.tolist()) == ([-8, -8], [7, 7])
    more = entry.quant_parameter_tensor_names.add()
    more.key, more.value = "scale", "INT2"
    assert read_qonnx(file).parts[0].high.tolist() == [7, 7]


def test_weights_are_quantized_in_float32():
    one, two = np.float32([0.1, 0.3]), np.float32([3.0])
    quantizer = quantizer_of("Quant", {"signed": 1, "narrow": 0}, [one, np.float32([1]), two])
    known = quantizer.constant(np.float32([0.25, -0.75]))
    assert known.whole is not None and known.whole.tolist() == [2, -3]
    assert known.numbers.tolist() == [2 * Fraction(float(one[0])), -3 * Fraction(float(one[1]))]
    assert known.array.dtype == np.float32 and known.array.tolist() == (np.float32([2, -3]) * one).tolist()
    assert (
        mode_of({}, "FLOOR")(Fraction(-1, 2)) == -1
        and mode_of({"rounding_mode": b"ceil"}, "FLOOR")(Fraction(1, 2)) == 1
    )


def test_a_truncation_of_version_1_never_lengthens():
    reading = Reading()
    part = reading.add_input(1, -4, 3)
    value = Value(part, (1, 1)).then(fractions([Fraction(1, 4)]))
    found = truncated(reading, value, {}, [np.float32(0.25), *(np.float32(n) for n in (0, 3, 6))])
    reading.output = found.part
    points = np.arange(-4, 4)[:, None]
    assert values(reading, points).tolist() == points.tolist()


def test_channels_of_steps_are_as_few_as_lines_allow():
    reading = Reading()
    value = Value(reading.add_input(6, 0, 3), (1, 2, 3)).then(np.array([[[Fraction(1)], [Fraction(2)]]], object))
    part = value.quantized(reading, lambda number, _: int(number))
    assert len(reading.parts[part].steps) == 2
    with pytest.raises(UnknownFormError, match="steps of"):
        wide = Value(reading.add_input(1 << 15, 0, 3), (1, 1 << 15))
        wide.then(fractions(np.arange(1 << 15)[None])).quantized(reading, lambda number, _: int(number))


def test_values_between_products_and_constants_that_do_not_fit():
    reading = Reading()
    value = Value(reading.add_input(6, -3, 3), (1, 2, 3)).then(fractions([2]))
    with pytest.raises(UnknownFormError, match="a constant of shape"):
        value.then(scale=fractions(np.arange(12)).reshape(2, 2, 3))
    with pytest.raises(UnknownFormError, match="that is not quantized"):
        value.bent().line  # noqa: B018 - what it raises is asked for
    whole = np.array([[1, 2], [3, 4]])
    assert Known(whole * 0.1, whole, fractions([0.5])).numbers.tolist() == [[Fraction(1, 2), 1], [Fraction(3, 2), 2]]


def test_lines_of_features_go_with_them():
    reading = Reading()
    scale = fractions(np.arange(1, 7)).reshape(1, 2, 3)
    value = Value(reading.add_input(6, -3, 3), (1, 2, 3)).then(scale, fractions([0.5])).bent().then(fractions([2]))
    moved = value.moved(np.arange(6).reshape(2, 3).T.reshape(1, 3, 2), reading)
    assert moved.shape == (1, 3, 2) and len(moved.chain) == 3
    reading.output = moved.quantized(reading, lambda number, _: int(number))
    points = np.random.default_rng(0).integers(-3, 4, (20, 6))
    expected = 2 * np.maximum(points.reshape(-1, 2, 3) * np.arange(1, 7).reshape(2, 3) + 0.5, 0)
    assert np.array_equal(values(reading, points), expected.transpose(0, 2, 1).reshape(-1, 6))
    same = value.moved(np.arange(6).reshape(1, 6), reading)
    assert same.part == value.part and same.shape == (1, 6)


def test_units_of_weights():
    whole = np.array([[1, 2], [3, 4]])
    by_row = Known(whole * 1.0, whole, np.array([[Fraction(1)], [Fraction(2)]], object))
    assert by_row.weights(0)[1].tolist() == [1, 2]
    with pytest.raises(UnknownFormError):
        by_row.weights(1)
    one = Known(whole * 1.0, whole, fractions([[0.5]]))
    assert one.weights(0)[1].tolist() == [Fraction(1, 2)] and one.weights(1)[1].shape == (1,)


def test_levels_of_quantizers_of_constants():
    signs = quantizer_of("BipolarQuant", {}, [np.float32(0.5)]).constant(np.float32([-0.125, 0.0, 0.125, -0.25, 0.25]))
    assert signs.whole is not None and signs.whole.tolist() == [-1, 1, 1, -1, 1]
    narrow = quantizer_of("Quant", {"signed": 0, "narrow": 1}, [np.float32(1), np.float32(0), np.float32(2)])
    assert (narrow.low, narrow.high) == (0, 2)
    quarters = [Fraction(n, 4) for n in (-7, -6, -5, -3, -2, -1, 1, 2, 3, 5, 6, 7)]
    found = [mode_of({"rounding_mode": b"half_down"}, "")(number) for number in quarters]
    assert found == [-2, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 2]


def test_transposed_constants_turn_all_axes_where_none_are_named(tmp_path):
    model = started((1, 2))
    model.quant(model.single(np.transpose(WEIGHTS)), "w", [[0.125], [0.25], [0.375]], 4)
    model.node("MatMul", ["q", model.node("Transpose", ["w"], "v")], "m")
    model.quant("m", "y", 0.125, 3)
    assert confirm(load(model.save(tmp_path / "net.onnx")))


def test_an_open_batch_is_one_sample(tmp_path):
    file = onnx.ModelProto.FromString(product().save(tmp_path / "net.onnx").read_bytes())
    expected = values(read_qonnx(file), np.array([[1, -2], [3, 0]]))
    file.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    assert np.array_equal(values(read_qonnx(file), np.array([[1, -2], [3, 0]])), expected)


def test_other_operators_of_the_domain_are_refused(tmp_path):
    file = onnx.ModelProto.FromString(product().save(tmp_path / "net.onnx").read_bytes())
    next(node for node in file.graph.node if node.output[0] == "y").op_type = "FloatQuant"
    with pytest.raises(UnknownFormError, match="the operator FloatQuant"):
        read_qonnx(file)
