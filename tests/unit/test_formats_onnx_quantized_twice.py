"""QuantizeLinear and DequantizeLinear twice in a row, of which onnxruntime makes one pair: what is refused, and what is read."""

from __future__ import annotations

import numpy as np
import pytest

import netproof
from quantized_models import Model
from unit.test_formats_onnx_quantized import refused


def twice(between: str = "", *, second: tuple[float, int, str] = (0.5, 0, "uint8"), branch: str = "") -> Model:
    """Two pairs of QuantizeLinear and DequantizeLinear in a row, with operators ``between`` them, and a ``branch`` of the first."""
    model = Model((1, 2, 2, 2))
    model.quantize("x", 0.625, 119, "a")
    value = model.dequantize("a", 0.625, 119, "b")
    for number, operator in enumerate(between.split()):
        operands = {
            "Add": [model.constant(np.float32(0))], "Mul": [model.constant(np.float32(1))],
            "Expand": [model.constant(np.ones(4, np.int64))],
            "Slice": [model.constant(np.array([end])) for end in (0, 2**63 - 1, 1)],
            "Reshape": [model.constant(np.array([1, 4, 2, 1]))],
        }  # fmt: skip
        more = (
            {"perm": [0, 3, 1, 2]}
            if operator == "Transpose"
            else {"kernel_shape": [1, 1]}
            if operator == "MaxPool"
            else {}
        )
        value = model.node(operator, [value, *operands.get(operator, [])], f"b{number}", **more)
    model.quantize(value, *second[:2], "q", second[2])
    model.dequantize("q", *second[:2], "d", second[2])
    if branch:
        model.node(branch, ["b"], "e", **({"alpha": 0.25} if branch == "LeakyRelu" else {}))
        model.quantize("e", 0.5, 3, "f")
        model.dequantize("f", 0.5, 3, "g")
    model.node("Concat", ["d", "g" if branch else "d"], "h", axis=1)
    model.quantize("h", 0.25, 0, "p")
    model.dequantize("p", 0.25, 0, "y")
    return model


@pytest.mark.parametrize(
    "between",
    ["", "Identity", "Add", "Mul", "Transpose", "Transpose Transpose Transpose", "Expand", "Slice", "Transpose Add"],
)
def test_two_pairs_in_a_row_are_refused(between, tmp_path):
    """onnxruntime makes one pair of them, of another scale and zero point, for what both ranges have in common."""
    path = twice(between).save(tmp_path / "n.onnx")
    refused(path, "two pairs of QuantizeLinear and DequantizeLinear in a row", "integer-ideal")
    assert netproof.load(path, runtime="integer-ideal").outputs == 16
    # Of one scale and zero point there is nothing to choose.
    assert netproof.load(twice(between, second=(0.625, 119, "uint8")).save(path)).outputs == 16


@pytest.mark.parametrize("between", ["Reshape", "Relu", "MaxPool", "LeakyRelu"])
def test_pairs_that_something_is_between_are_read(between, tmp_path):
    assert netproof.load(twice(between).save(tmp_path / "n.onnx")).outputs == 16


def test_pairs_of_two_types_or_with_another_reader_are_read(tmp_path):
    path = tmp_path / "n.onnx"
    assert netproof.load(twice(second=(0.5, 0, "int8")).save(path)).outputs == 16
    assert netproof.load(twice(branch="LeakyRelu").save(path)).outputs == 16
    # What becomes of other readers, if they do nothing, is not known.
    refused(twice(branch="Identity").save(path), "in a row")


def test_a_constant_that_is_quantized_twice_is_refused(tmp_path):
    path = tmp_path / "n.onnx"
    for moved in (False, True):
        model = Model((1, 2))
        model.quantize("x", 0.5, 3, "a")
        model.dequantize("a", 0.5, 3, "b")
        model.quantize(model.constant(np.array([[1, 2], [3, -4]], np.float32)), 0.5, 0, "w", "int8")
        weight = model.dequantize("w", 0.5, 0, "v", "int8")
        if moved:
            weight = model.node("Add", [model.constant(np.float32(0)), weight], "v0")
        model.quantize(weight, 0.25, 0, "u", "int8")
        model.dequantize("u", 0.25, 0, "t", "int8")
        model.node("MatMul", ["b", "t"], "m")
        model.quantize("m", 0.5, 3, "p")
        model.dequantize("p", 0.5, 3, "y")
        refused(model.save(path), "a constant that is quantized twice", "store its codes")
        assert netproof.load(path, runtime="integer-ideal").outputs == 2


@pytest.mark.parametrize("number", [0, 1])
def test_an_operator_that_does_nothing_is_in_front_of_no_group(number, tmp_path):
    """onnxruntime leaves it out, and fuses; or does not."""
    model = Model((1, 2))
    model.quantize("x", 0.5, 3, "a")
    model.dequantize("a", 0.5, 3, "b")
    model.node("Add" if number == 0 else "Mul", ["b", model.constant(np.float32(number))], "n")
    model.node("Add", ["n", "b"], "s")
    model.quantize("s", 0.3, 3, "p")
    model.dequantize("p", 0.3, 3, "y")
    refused(model.save(tmp_path / "n.onnx"), "moved since it was dequantized")
    assert netproof.load(tmp_path / "n.onnx", runtime="integer-ideal").outputs == 2
