"""What the checker of float networks does not read: each a single step away from what it reads, and refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from netproof.certificate.checker.real import network as reader
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.reading import constants, values
from netproof.errors import FormatError
from soundness.checker_models import behind, integers, normalization, one, read, some
from soundness.real_evidence import Builder


def changed(network: bytes, change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_model_from_string(network)
    change(model)
    return model.SerializeToString()


def two_values(kind: str, **attributes) -> bytes:
    made = Builder([1, 3])
    return made.bytes(made.node(kind, made.node("Relu", "x"), made.node("Identity", "x"), **attributes))


def sum_of_shapes() -> bytes:
    made = Builder([1, 3])
    return made.bytes(made.node("Add", "x", made.node("Transpose", "x")))


def constants_alone(kind: str, *constants, **attributes) -> bytes:
    """An operator of constants, which is added to the input."""
    made = Builder([1, 3])
    return made.bytes(made.node("Add", "x", made.node(kind, *(made.constant(c) for c in constants), **attributes)))


def repeated_attribute(model: onnx.ModelProto) -> None:
    (node,) = model.graph.node
    node.attribute.append(node.attribute[0])


def referring_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute[0].ref_attr_name = "other"


def elsewhere(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


def values_elsewhere_by_place(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def values_elsewhere_by_name(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")


def second_output(model: onnx.ModelProto) -> None:
    model.graph.node[0].output.append("more")


def mask_used(model: onnx.ModelProto) -> None:
    model.graph.node[0].output.append("mask")
    model.graph.node.append(helper.make_node("Add", [model.graph.node[0].output[0], "mask"], ["z"]))
    model.graph.output[0].name = "z"


FUNCTION = helper.make_function(
    "f", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 17)]
)
SPARSE = helper.make_sparse_tensor(
    helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0]), helper.make_tensor("i", TensorProto.INT64, [1], [0]), [3]
)
PLAIN = one("Relu", [1, 3])
SCALED = one("Mul", [1, 3], some(3))

#: what each has that makes it unreadable, a word of the reason, and the inputs where they are not 3
REFUSED: dict[str, tuple[Any, ...]] = {
    "operator set 6": (lambda: one("Relu", [1, 3], opset=6), "operator sets"),
    "operator set 25": (lambda: one("Relu", [1, 3], opset=25), "operator sets"),
    "no operator set": (lambda: changed(PLAIN, lambda m: m.ClearField("opset_import")), "operator sets"),
    "two operator sets": (
        lambda: changed(PLAIN, lambda m: m.opset_import.append(helper.make_opsetid("ai.onnx", 17))), "operator sets"
    ),
    "an operator set of two versions": (
        lambda: changed(PLAIN, lambda m: m.opset_import.append(helper.make_opsetid("", 16))), "operator sets"
    ),
    "another operator set of two versions": (
        lambda: changed(PLAIN, lambda m: m.opset_import.extend([helper.make_opsetid("o", k) for k in (1, 2)])), "operator sets"
    ),
    "functions": (lambda: changed(PLAIN, lambda m: m.functions.append(FUNCTION)), "functions"),
    "sparse initializers": (lambda: changed(PLAIN, lambda m: m.graph.sparse_initializer.append(SPARSE)), "sparse"),
    "training": (lambda: changed(PLAIN, lambda m: m.training_info.add()), "training"),
    "two inputs": (
        lambda: changed(PLAIN, lambda m: m.graph.input.append(helper.make_tensor_value_info("w", 1, [1]))), "input"
    ),
    "two outputs": (
        lambda: changed(PLAIN, lambda m: m.graph.output.append(helper.make_tensor_value_info("x", 1, [1, 3]))), "output"
    ),
    "no output": (lambda: changed(PLAIN, lambda m: m.graph.ClearField("output")), "output"),
    "an output that is not there": (lambda: changed(PLAIN, lambda m: setattr(m.graph.output[0], "name", "q")), "output"),
    "an output that is constant": (
        lambda: changed(SCALED, lambda m: setattr(m.graph.output[0], "name", "c0")), "does not depend"
    ),
    "an input of halves": (
        lambda: changed(PLAIN, lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.FLOAT16)),
        "neither float32 nor float64",
    ),
    "an input of integers": (
        lambda: changed(PLAIN, lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.INT64)),
        "neither float32 nor float64",
    ),
    "an open size": (lambda: one("Relu", [1, "n"]), "unknown size"),
    "a size of 0": (lambda: one("Relu", [1, 3, 0]), "unknown size"),
    "other inputs": (lambda: one("Relu", [1, 4]), "another number of inputs than 3"),
    "a batch of two": (lambda: one("Relu", [2, 3]), "another number of inputs than 3"),
    "another domain": (lambda: one("Relu", [1, 3], domain="com.microsoft"), "com.microsoft:Relu"),
    "an unknown operator": (lambda: one("Det", [1, 3, 3]), "'Det'", 9),
    "an attribute twice": (lambda: changed(one("Flatten", [1, 3], axis=1), repeated_attribute), "'axis' of Flatten"),
    "an attribute of a function": (
        lambda: changed(one("Flatten", [1, 3], axis=1), referring_attribute), "'axis' of Flatten"
    ),
    "an attribute of floats": (lambda: one("Relu", [1, 3], slopes=[1.0, 2.0]), "attribute 'slopes'"),
    "an attribute that is not known": (lambda: one("Relu", [1, 3], slope=1), "attribute 'slope' of Relu"),
    "a value that comes later": (lambda: changed(PLAIN, lambda m: m.graph.node[0].input.__setitem__(0, "n0")), "used before"),
    "a name given twice": (lambda: changed(SCALED, lambda m: m.graph.node[0].output.__setitem__(0, "c0")), "given twice"),
    "the input's name given again": (
        lambda: changed(PLAIN, lambda m: m.graph.node[0].output.__setitem__(0, "x")), "given twice"
    ),
    "a constant without a name": (
        lambda: changed(SCALED, lambda m: setattr(m.graph.initializer[0], "name", "")), "given twice"
    ),
    "no result": (lambda: changed(PLAIN, lambda m: m.graph.node[0].ClearField("output")), "several outputs"),
    "a second result": (lambda: changed(PLAIN, second_output), "several outputs of Relu"),
    "a mask that is used": (lambda: changed(one("Dropout", [1, 3]), mask_used), "'mask' is used before"),
    "values elsewhere": (lambda: changed(SCALED, elsewhere), "beside the model"),
    "values elsewhere, by their place": (lambda: changed(SCALED, values_elsewhere_by_place), "beside the model"),
    "values elsewhere, by name": (lambda: changed(SCALED, values_elsewhere_by_name), "beside the model"),
    "halves": (lambda: one("Mul", [1, 3], np.ones(3, np.float16)), "constants of type 10"),
    "a constant that is infinite": (lambda: one("Mul", [1, 3], np.float32(np.inf)), "not finite"),
    "two operands of what takes one": (lambda: two_values("Identity"), "ValueError"),
    "two operands of a Relu": (lambda: two_values("Relu"), "another number of operands"),
    "a Dropout that trains": (lambda: one("Dropout", [1, 3], np.float32(0.5), np.float32(1)), "may be training"),
    "a Constant of an operand": (
        lambda: constants_alone("Constant", some(3), value=helper.make_tensor("t", 1, [3], [1.0, 2.0, 3.0])), "no tensor"
    ),
    "a Constant of two": (
        lambda: constants_alone("Constant", value=helper.make_tensor("t", 1, [3], [1.0, 2.0, 3.0]), value_float=1.0),
        "attribute 'value_float' of Constant",
    ),
    "a Flatten behind its end": (lambda: one("Flatten", [1, 3], axis=3), "axis of a Flatten"),
    "a Flatten before its beginning": (lambda: one("Flatten", [1, 3], axis=-3), "axis of a Flatten"),
    "a Reshape by two unknowns": (lambda: one("Reshape", [1, 3], integers(-1, -1)), "shape of a Reshape"),
    "a Reshape by -2": (lambda: one("Reshape", [1, 3], integers(-2)), "shape of a Reshape"),
    "a Reshape by -3": (lambda: one("Reshape", [1, 3], integers(-3, -1)), "shape of a Reshape"),
    "a Reshape to nothing": (lambda: one("Reshape", [1, 3], integers(0, 3), allowzero=1), "shape of a Reshape"),
    "a Reshape that does not divide": (lambda: one("Reshape", [1, 3], integers(2, -1)), "shape of a Reshape"),
    "a Reshape to another size": (lambda: one("Reshape", [1, 3], integers(4)), "shape of another size"),
    "a Reshape by floats": (lambda: one("Reshape", [1, 3], np.float32([1, 3])), "no constant"),
    "a Reshape by a table": (lambda: one("Reshape", [1, 3], np.array([[1, 3]])), "no constant"),
    "a Reshape by a value": (lambda: two_values("Reshape"), "no constant"),
    "a Transpose twice of one axis": (lambda: one("Transpose", [1, 3], perm=[1, 1]), "order of a Transpose"),
    "a Transpose of fewer axes": (lambda: one("Transpose", [1, 3], perm=[0]), "order of a Transpose"),
    "a sum with integers": (lambda: one("Add", [1, 3], integers(1)), "none of floats"),
    "a sum with nothing": (lambda: one("Add", [1, 1, 3], np.zeros((0, 3), np.float32)), "makes a value larger"),
    "a product of three": (lambda: one("Mul", [1, 3], some(3), some(3)), "ValueError"),
    "a product with integers": (lambda: one("Mul", [1, 3], integers(2)), "none of floats"),
    "a product of matrices": (lambda: two_values("MatMul"), "do not fit"),
    "a matrix of integers": (lambda: one("MatMul", [1, 3], np.ones((3, 2), np.int64)), "no matrix"),
    "a matrix of nothing": (lambda: one("MatMul", [1, 3], np.zeros((3, 0), np.float32)), "no matrix"),
    "a matrix of another height": (lambda: one("MatMul", [1, 3], some(2, 2)), "does not fit"),
    "a matrix of a number": (lambda: one("MatMul", [], some(1, 2)), "does not fit", 1),
    "a matrix of another width": (lambda: behind("MatMul", [3], some(2, 2)), "does not fit"),
    "a Gemm of another height": (lambda: one("Gemm", [1, 3], some(2, 3)), "does not fit"),
    "a Gemm of an image": (lambda: one("Gemm", [1, 1, 3], some(1, 2)), "does not fit"),
    "a Gemm with too much": (lambda: one("Gemm", [1, 3], some(3, 2), some(2), some(2)), "does not fit"),
    "a Gemm with a column": (lambda: one("Gemm", [1, 3], some(3, 2), some(2, 2)), "makes a value larger"),
    "a Conv by integers": (lambda: one("Conv", [1, 1, 3], np.ones((1, 1, 1), np.int64)), "no constant"),
    "a Conv by nothing": (lambda: one("Conv", [1, 1, 3], np.ones((0, 1, 1), np.float32)), "no constant"),
    "a Conv with too much": (lambda: one("Conv", [1, 1, 3], some(1, 1, 1), some(1), some(1)), "no constant"),
    "a Conv by a value": (lambda: two_values("Conv"), "no constant"),
    "a Conv of another kernel": (lambda: one("Conv", [1, 1, 3], some(1, 1, 2), kernel_shape=[1]), "kernel of a conv"),
    "a Conv with a wide bias": (lambda: one("Conv", [1, 1, 3], some(2, 1, 1), some(1)), "bias of a conv"),
    "a Conv with a high bias": (lambda: one("Conv", [1, 1, 3], some(2, 1, 1), some(2, 1)), "bias of a conv"),
    "a Conv in no group": (lambda: one("Conv", [1, 1, 3], some(1, 1, 1), group=0), "one or two dimensions"),
    "a Conv in minus a group": (lambda: one("Conv", [1, 3, 1], some(3, 1, 1), group=-1), "one or two dimensions"),
    "a Conv in three dimensions": (lambda: one("Conv", [1, 1, 3, 1, 1], some(1, 1, 1, 1, 1)), "one or two dimensions"),
    "a Conv of no dimension": (lambda: one("Conv", [1, 3], some(1, 3)), "one or two dimensions"),
    "a Conv of a batch": (lambda: one("Conv", [3, 1, 1], some(1, 1, 1)), "one or two dimensions"),
    "a Conv of another rank": (lambda: one("Conv", [1, 1, 3, 1], some(1, 1, 1)), "one or two dimensions"),
    "a Conv of other channels": (lambda: one("Conv", [1, 1, 3], some(1, 2, 1)), "ValueError"),
    "a Conv of uneven groups": (lambda: one("Conv", [1, 3, 1], some(4, 1, 1), group=3), "ValueError"),
    "a Conv of channels in groups": (lambda: one("Conv", [1, 3, 1], some(3, 3, 1), group=3), "ValueError"),
    "a Conv larger than its value": (lambda: one("Conv", [1, 1, 3], some(1, 1, 4)), "ValueError"),
    "a Conv wider than its value": (lambda: one("Conv", [1, 1, 3], some(1, 1, 2), dilations=[3]), "ValueError"),
    **{
        f"a Conv with {name}": (lambda given=given: one("Conv", [1, 1, 3], some(1, 1, 1), **given), "strides, pads or")
        for name, given in {
            "strides of 0": {"strides": [0]}, "dilations of 0": {"dilations": [0]}, "negative pads": {"pads": [-1, 0]},
            "two strides": {"strides": [1, 1]}, "two dilations": {"dilations": [1, 1]}, "one pad": {"pads": [0]},
            "long strides": {"strides": [(1 << 20) + 1]}, "wide dilations": {"dilations": [(1 << 20) + 1]},
            "wide pads": {"pads": [0, (1 << 20) + 1]},
        }.items()
    },
    "a clip of two lower ends": (lambda: one("Clip", [1, 3], np.float32([0, 1]), np.float32(2)), "no number"),
    "a clip whose ends are exchanged": (lambda: one("Clip", [1, 3], np.float32(1), np.float32(0)), "exchanged"),
    "a new clip in the old way": (lambda: one("Clip", [1, 3], min=0.0, max=1.0), "'max' of Clip"),
    "an old clip in the new way": (
        lambda: one("Clip", [1, 3], np.float32(0), np.float32(1), opset=10, min=0.0, max=1.0), "another number of operands"
    ),
    "a clip by NaN": (lambda: one("Clip", [1, 3], opset=10, min=float("nan"), max=1.0), "attribute 'min'"),
    "a leaky slope without end": (lambda: one("LeakyRelu", [1, 3], alpha=float("inf")), "attribute 'alpha'"),
    "slopes that make a value larger": (lambda: one("PRelu", [1, 3], some(2, 3)), "makes a value larger"),
    "no slopes": (lambda: one("PRelu", [1, 3]), "ValueError"),
    "slopes by an attribute": (lambda: one("PRelu", [1, 3], some(3), alpha=0.5), "attribute 'alpha' of PRelu"),
    "a leaky slope of two": (lambda: one("LeakyRelu", [1, 3], some(3)), "another number of operands"),
    "a maximum of pads alone": (lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], pads=[2, 0]), "windows of a MaxPool"),
    "a maximum of pads on one side": (lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], pads=[1]), "strides, pads"),
    "a maximum without pads that has some": (
        lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], auto_pad="VALID", pads=[1, 0]), "not stated"
    ),
    "a maximum that is rounded up": (lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], ceil_mode=1), "windows of a MaxPool"),
    "a maximum by columns": (lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], storage_order=1), "windows of a MaxPool"),
    "a maximum with dilations": (lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], dilations=[2]), "windows of a MaxPool"),
    "a maximum of no kernel": (lambda: one("MaxPool", [1, 1, 3]), "windows of a MaxPool"),
    "a maximum over too much": (lambda: one("MaxPool", [1, 1, 3], kernel_shape=[4]), "ValueError"),
    "a maximum of a step of 0": (lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], strides=[0]), "strides, pads"),
    "an average with dilations that it cannot have": (
        lambda: one("AveragePool", [1, 1, 3], kernel_shape=[2], dilations=[2], opset=18), "'dilations' of an AveragePool"
    ),
    "an average of everything with pads": (
        lambda: one("GlobalAveragePool", [1, 1, 3], pads=[1, 1]), "attribute 'pads' of GlobalAveragePool"
    ),
    "an average that counts pads twice": (
        lambda: one("AveragePool", [1, 1, 3], kernel_shape=[2], pads=[1, 1], count_include_pad=2), "'count_include_pad'"
    ),
    "a matrix that is transposed twice": (lambda: one("Gemm", [1, 3], some(2, 3), transB=2), "attribute 'transB'"),
    "an average that is rounded up": (lambda: one("AveragePool", [1, 1, 3], kernel_shape=[2], ceil_mode=1), "kernel"),
    "an average of no kernel": (lambda: one("AveragePool", [1, 1, 3]), "kernel of an AveragePool"),
    "an average over nothing": (lambda: one("AveragePool", [1, 1, 3], kernel_shape=[0]), "kernel of an AveragePool"),
    "an average in three dimensions": (
        lambda: one("AveragePool", [1, 1, 3, 1, 1], kernel_shape=[1, 1, 1]), "kernel of an AveragePool"
    ),
    "an average over too much": (
        lambda: one("AveragePool", [1, 1, 3], kernel_shape=[4097]), "kernel of an AveragePool"
    ),
    "an average of pads alone": (
        lambda: one("AveragePool", [1, 1, 3], kernel_shape=[1], pads=[0, 1]), "average over nothing"
    ),
    "an average of a batch": (lambda: one("AveragePool", [3, 1, 1], kernel_shape=[1]), "one or two dimensions"),
    "a normalization that trains": (lambda: normalization([1, 3], 3, training_mode=1), "may be training"),
    "a normalization place by place": (lambda: normalization([1, 3], 3, opset=7, spatial=0), "may be training"),
    "a normalization by less": (lambda: one("BatchNormalization", [1, 3], *[some(3)] * 3), "may be training"),
    "a normalization by more": (lambda: one("BatchNormalization", [1, 3], *[some(3)] * 5), "may be training"),
    "a normalization of other channels": (lambda: normalization([1, 3], 1), "no constant"),
    "a normalization by integers": (
        lambda: one("BatchNormalization", [1, 3], *[np.ones(3, np.int64)] * 4), "no constant"
    ),
    "a normalization by 0": (
        lambda: one("BatchNormalization", [1, 3], *[some(3)] * 3, np.zeros(3, np.float32), epsilon=0.0), "variance"
    ),
    "a normalization by a root of what is negative": (
        lambda: one("BatchNormalization", [1, 3], *[some(3)] * 3, np.float32([1, 1, -0.5]), epsilon=1.0), "variance"
    ),
    "a normalization by less than its variance": (
        lambda: one("BatchNormalization", [1, 3], *[some(3)] * 3, np.ones(3, np.float32), epsilon=-0.5), "variance"
    ),
    "a concat without an axis": (lambda: one("Concat", [1, 3], some(1, 3)), "axis of a Concat"),
    "a concat at an axis that is not there": (lambda: one("Concat", [1, 3], some(1, 3), axis=2), "axis of a Concat"),
    "a concat at an axis before the first": (lambda: one("Concat", [1, 3], some(1, 3), axis=-3), "axis of a Concat"),
    "a concat of other ranks": (lambda: one("Concat", [1, 3], some(3), axis=0), "axis of a Concat"),
    "a concat of other extents": (lambda: one("Concat", [1, 3], some(2, 2), axis=1), "ValueError"),
    "a concat of whole numbers": (lambda: one("Concat", [1, 3], np.ones((1, 3), np.int64), axis=1), "none of floats"),
    "a concat by a fraction": (lambda: one("Concat", [1, 3], some(1, 3), axis=1.0), "axis of a Concat"),
    "a slice by steps of 0": (
        lambda: one("Slice", [1, 3], *(np.array([k]) for k in (0, 2, 1, 0))), "steps of a Slice"
    ),
    "a slice of an axis twice": (
        lambda: one("Slice", [1, 3], *(np.array(k) for k in ([0, 0], [1, 2], [1, -1]))), "axes of a Slice"
    ),
    "a slice of an axis that is not there": (
        lambda: one("Slice", [1, 3], *(np.array([k]) for k in (0, 1, 2))), "axes of a Slice"
    ),
    "a slice of nothing": (lambda: one("Slice", [1, 3], *(np.array([k]) for k in (2, 2, 1))), "Slice of nothing"),
    "a slice of too few ends": (lambda: one("Slice", [1, 3], np.array([0, 1]), np.array([1])), "ValueError"),
    "a slice of too few steps": (
        lambda: one("Slice", [1, 3], *(np.array(k) for k in ([0, 0], [1, 2], [0, 1], [1]))), "ValueError"
    ),
    "a slice by fractions": (lambda: one("Slice", [1, 3], some(1), np.array([1])), "no constant"),
    "a slice by the input": (lambda: behind("Slice", [1], np.array([0, 1])), "no constant", 1),
    "a slice in the old way": (lambda: one("Slice", [1, 3], starts=[0], ends=[1]), "ValueError"),
    "a slice of lists of lists": (lambda: one("Slice", [1, 3], np.array([[0]]), np.array([[1]])), "no constant"),
    "a pad that cuts": (lambda: one("Pad", [1, 3], np.array([0, -1, 0, 0])), "amounts of a Pad"),
    "a pad of too few": (lambda: one("Pad", [1, 3], np.array([0, 1])), "axes of a Pad"),
    "a pad beyond all": (lambda: one("Pad", [1, 3], np.array([0, 1 << 40, 0, 1 << 40])), "its size"),
    "a pad of all axes beyond all": (
        lambda: one("Pad", [1, 3], np.array([1 << 20, 1 << 20, 1 << 20, 1 << 20])), "its size"
    ),
    "a pad around": (lambda: one("Pad", [1, 3], np.array([0, 1, 0, 1]), mode="wrap", opset=19), "mode of a Pad"),
    "a pad that reflects more than there is": (
        lambda: one("Pad", [1, 3], np.array([0, 3, 0, 0]), mode="reflect"), "mode of a Pad"
    ),
    "a pad by two numbers": (lambda: one("Pad", [1, 3], np.array([0, 1, 0, 1]), some(2)), "no number"),
    "a pad by whole numbers": (lambda: one("Pad", [1, 3], np.array([0, 1, 0, 1]), np.int64(1)), "no number"),
    "a pad of an axis twice": (
        lambda: one("Pad", [1, 3], np.array([1, 1, 1, 1]), None, np.array([1, -1]), opset=18), "axes of a Pad"
    ),
    "a pad of an axis that is not there": (
        lambda: one("Pad", [1, 3], np.array([1, 1]), None, np.array([2]), opset=18), "axes of a Pad"
    ),
    "an old pad in the new way": (lambda: one("Pad", [1, 3], np.array([0, 1, 0, 1]), opset=10), "another number of operands"),
    "an old slice in the new way": (
        lambda: one("Slice", [1, 3], np.array([0]), np.array([1]), opset=9, starts=[0], ends=[1]), "ValueError"
    ),
    "a slice of more than four": (
        lambda: one("Slice", [1, 3], *(np.array([k]) for k in (0, 1, 1, 1, 1))), "ValueError"
    ),
    "a new pad in the old way": (lambda: one("Pad", [1, 3], pads=[0, 1, 0, 1]), "axes of a Pad"),
    "a pad of a constant": (lambda: constants_alone("Pad", some(1, 3), integers(0, 1, 0, 1)), "a Pad by what is no constant"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_a_step_away_is_refused_by_name(kind):
    make, reason, *inputs = REFUSED[kind]
    with pytest.raises(FormatError) as error:
        read_network(make(), *(inputs or [3]), Float64(), "network")
    assert error.value.source == "network" and "is not read by the checker" in error.value.problem
    assert reason in error.value.problem, error.value.problem


def test_what_is_no_model_is_refused():
    for data in (b"nonsense", b"\x00" * 40, PLAIN[:-3]):
        with pytest.raises(FormatError):
            read(data)


@pytest.mark.parametrize("version", [7, 24])
def test_operator_sets_that_are_known(version):
    assert read(one("Relu", [1, 3], opset=version)).outputs == 3
    by_name = changed(one("Relu", [1, 3], opset=version), lambda m: setattr(m.opset_import[0], "domain", "ai.onnx"))
    assert read(changed(by_name, lambda m: setattr(m.graph.node[0], "domain", "ai.onnx"))).outputs == 3
    beside = changed(by_name, lambda m: m.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1)))
    assert read(beside).outputs == 3


def test_constants_that_are_listed_as_inputs():
    listed = changed(SCALED, lambda m: m.graph.input.append(helper.make_tensor_value_info("c0", 1, [3])))
    assert read(listed).outputs == 3
    first = changed(listed, lambda m: (m.graph.input.append(m.graph.input[0]), m.graph.input.__delitem__(0)))
    assert read(first).outputs == 3


def test_whole_numbers_are_read_in_two_types():
    for kind, is_read in ((np.int32, True), (np.int64, True), (np.int16, False), (np.uint8, False)):
        network = changed(
            PLAIN, lambda m, kind=kind: m.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(1, kind), "i"))
        )
        if is_read:
            assert read(network).outputs == 3
        else:
            with pytest.raises(FormatError, match="constants of type"):
                read(network)


def test_a_mask_that_nobody_asks_for():
    assert read(changed(one("Dropout", [1, 3]), second_output)).outputs == 3


def test_what_the_output_does_not_need_is_left_out():
    made = Builder([1, 3])
    made.node("Relu", made.node("Relu", "x"))
    kept = made.node("Relu", made.node("Mul", "x", made.constant([2.0])))
    made.node("Relu", kept)
    network = read(made.bytes(kept))
    assert [node.size for node in network.nodes] == [3, 3, 3]
    assert [node.operands for node in network.nodes] == [(), (0,), (1,)]
    assert network.bends == (2,) and network.operands == (1,) and network.sizes == (3,)
    assert (network.inputs, network.outputs) == (3, 3)


def test_what_comes_of_the_input_alone_is_a_map_of_it():
    network = read(one("Identity", [1, 3]))
    assert [node.operands for node in network.nodes] == [(), (0,)] and not network.bends
    assert network.nodes[1].operator is not None and network.nodes[1].size == 3


def limit(monkeypatch, widest: int, largest: int) -> None:
    for module in (reader, constants):
        monkeypatch.setattr(module, "WIDEST", widest)
    monkeypatch.setattr(values, "LARGEST", largest)


def test_sizes_end_where_they_are_said_to(monkeypatch):
    # Three values of 3, 5 and 3 numbers; the padding of a window counts as a value does.
    made = Builder([1, 3])
    network = made.bytes(
        made.node("MatMul", made.node("MatMul", "x", made.constant(some(3, 5))), made.constant(some(5, 3)))
    )
    for widest, largest, is_read in ((5, 11, True), (4, 11, False), (5, 10, False), (5, 12, True), (6, 11, True)):
        limit(monkeypatch, widest, largest)
        if is_read:
            assert read(network).outputs == 3
        else:
            with pytest.raises(FormatError, match="its size"):
                read(network)
    conv = one("Conv", [1, 2, 3, 2], some(1, 2, 2, 2), pads=[1, 0, 2, 1])
    for widest in (36, 35):
        limit(monkeypatch, widest, 1 << 20)
        if widest == 36:
            assert read(conv, 12).outputs == 10
        else:
            with pytest.raises(FormatError, match="its size"):
                read(conv, 12)
    # As many numbers of a kernel of ones.
    pool = one("AveragePool", [1, 2, 2, 3], kernel_shape=[2, 3])
    for widest in (12, 11):
        limit(monkeypatch, widest, 1 << 20)
        if widest == 12:
            assert read(pool, 12).outputs == 2
        else:
            with pytest.raises(FormatError, match=r"its size|number of inputs"):
                read(pool, 12)


def test_pads_of_none_say_nothing_else_than_no_pads_at_all():
    weight = some(1, 1, 2, 2)
    first, second = (
        read(one("Conv", [1, 1, 3, 3], weight, **given), 9).nodes[1].operator
        for given in ({"auto_pad": "VALID", "pads": [0] * 4}, {"auto_pad": "NOTSET"})
    )
    assert first is not None and second is not None
    assert np.array_equal(first.forward(np.eye(9)), second.forward(np.eye(9)))


def test_the_largest_windows_are_read():
    # A stride, a dilation and a kernel of the largest size that is known.
    assert read(one("Conv", [1, 1, 3], some(1, 1, 1), strides=[1 << 20])).outputs == 1
    assert read(one("Conv", [1, 1, 3], some(1, 1, 1), dilations=[1 << 20])).outputs == 3
    wide = one("AveragePool", [1, 1, 1 << 12], kernel_shape=[1 << 12])
    assert read(wide, 1 << 12).outputs == 1
    padded = one("Conv", [1, 1, 3], some(1, 1, 1), pads=[0, 1 << 20], strides=[1 << 20])
    assert read(padded).outputs == 2


def test_a_normalization_by_a_small_factor_is_read_down_to_where_it_could_vanish():
    def by(scale: float, variance: float) -> bytes:
        made = Builder([1, 1], dtype=np.float64)
        numbers = [made.constant([value]) for value in (scale, 1.0, 1.0, variance)]
        return made.bytes(made.node("BatchNormalization", "x", *numbers, epsilon=0.0))

    assert read(by(2.0**-400, 1.0), 1).outputs == 1 and read(by(0.0, 2.0**900), 1).outputs == 1
    for scale, variance in ((2.0**-401, 1.0), (2.0**-300, 2.0**202), (-(2.0**-401), 1.0)):
        with pytest.raises(FormatError, match="by a factor this small"):
            read(by(scale, variance), 1)


def test_attributes_that_have_two_values_are_refused():
    """Of which one is meant by the type; a reader that goes by another field reads another network."""
    model = onnx.load_model_from_string(one("LeakyRelu", [1, 3], alpha=0.5))
    read_network(model.SerializeToString(), 3, Float64(), "network")
    model.graph.node[0].attribute[0].i = 1
    with pytest.raises(FormatError, match="several values of the attribute 'alpha'"):
        read_network(model.SerializeToString(), 3, Float64(), "network")


def test_an_operator_set_that_is_stated_twice_is_one():
    twice = changed(PLAIN, lambda m: m.opset_import.append(helper.make_opsetid("", m.opset_import[0].version)))
    assert read_network(twice, 3, Float64(), "n").sizes == read_network(PLAIN, 3, Float64(), "n").sizes
