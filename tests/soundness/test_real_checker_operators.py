"""What the checker of float networks reads of a file: every form of an operator as onnxruntime computes it, or nothing.

Each form that is read is evaluated in fractions by the checker's own maps and compared with the runtime; each that is not is a
single step away from one that is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from netproof.certificate.checker.real import network as reader
from netproof.certificate.checker.real import values
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.nodes import RealNetwork
from netproof.certificate.checker.real.numbers import Float64, Rational
from netproof.certificate.checker.real.operators import Affine, Convolution, Dense, Scale, Select, Sum, Windows
from netproof.errors import FormatError
from soundness.real_evidence import Builder, run, values_of

RNG = np.random.default_rng(11)


def some(*shape: int) -> np.ndarray:
    """Numbers of which no two are alike."""
    return RNG.normal(size=shape).astype(np.float32)


def one(kind: str, shape, *constants, opset: int = 17, **attributes) -> bytes:
    """A network of one operator, of the input and of constants behind it (None for one left out)."""
    made = Builder(shape, opset=opset)
    names = ["" if c is None else made.constant(c, getattr(c, "dtype", None)) for c in constants]
    return made.bytes(made.node(kind, "x", *names, **attributes))


def behind(kind: str, shape, constant, **attributes) -> bytes:
    """The same with the constant in front."""
    made = Builder(shape)
    return made.bytes(made.node(kind, made.constant(constant), "x", **attributes))


def added(network: bytes, constant) -> bytes:
    """The same with a constant added to the end, whose shape has to be that of the value."""
    model = onnx.load_model_from_string(network)
    (last,) = model.graph.output
    model.graph.initializer.append(onnx.numpy_helper.from_array(constant, "added"))
    model.graph.node.append(helper.make_node("Add", [last.name, "added"], ["sum"]))
    last.name = "sum"
    return model.SerializeToString()


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def normalization(shape, channels: int, opset: int = 17, **attributes) -> bytes:
    numbers = [some(channels), some(channels), some(channels), abs(some(channels)) + np.float32(0.1)]
    return one("BatchNormalization", shape, *numbers, opset=opset, **attributes)


def constants_by_node(shape=(1, 3)) -> bytes:
    made = Builder(list(shape))
    factor = helper.make_tensor("t", TensorProto.FLOAT, [3], some(3).tolist())
    return made.bytes(made.node("Mul", "x", made.node("Constant", value=factor)))


def folded(kind: str, of: np.ndarray, value: str = "Add", **attributes) -> bytes:
    """A constant that an operator of shapes made."""
    made = Builder([1, *of.shape[::-1]] if kind == "Transpose" else [1, of.size])
    extra = [made.constant(attributes.pop("to"), np.int64)] if "to" in attributes else []
    return made.bytes(made.node(value, "x", made.node(kind, made.constant(of), *extra, **attributes)))


READ: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: one("Identity", [1, 3]),
    "no batch": lambda: one("Relu", [3]),
    "a number": lambda: one("Relu", []),
    "an open batch": lambda: one("Relu", ["N", 3]),
    "relu of an image": lambda: one("Relu", [1, 2, 2, 3]),
    "flatten": lambda: one("Flatten", [1, 2, 3]),
    **{f"flatten at {axis}": lambda axis=axis: one("Flatten", [1, 2, 3], axis=axis) for axis in (0, 1, 2, 3, -1, -3)},
    **{
        f"reshape {to}": lambda to=to: one("Reshape", [1, 2, 3], integers(*to))
        for to in ((6,), (3, 2), (-1, 2), (0, 0, 3), (0, -1), (-1,), (1, 1, 6))
    },
    "reshape without zeros": lambda: one("Reshape", [1, 2, 3], integers(3, 2), allowzero=1),
    "a constant flattened": lambda: folded("Flatten", some(1, 2, 3), axis=1),
    "a constant in another shape": lambda: folded("Reshape", some(2, 3), to=[1, 6]),
    "a constant transposed": lambda: folded("Transpose", some(3, 2)),
    "a constant transposed by an order": lambda: folded("Transpose", some(3, 2), perm=[1, 0]),
    "a constant as it is": lambda: folded("Identity", some(4)),
    "a constant by a node": constants_by_node,
    "transpose": lambda: one("Transpose", [1, 2, 3]),
    **{
        f"transpose {p}": lambda p=p: one("Transpose", [1, 2, 3], perm=list(p))
        for p in ((0, 2, 1), (2, 0, 1), (0, 1, 2))
    },
    **{
        f"{kind} {shape}": lambda kind=kind, shape=shape: one(kind, [1, 2, 3], some(*shape))
        for kind in ("Add", "Sub", "Mul")
        for shape in ((), (1,), (3,), (2, 1), (1, 2, 3))
    },
    **{f"{kind} behind": lambda kind=kind: behind(kind, [1, 2, 3], some(2, 1)) for kind in ("Add", "Sub", "Mul")},
    "matrix": lambda: one("MatMul", [1, 3], some(3, 2)),
    "matrix of a vector": lambda: one("MatMul", [3], some(3, 2)),
    "matrix of rows": lambda: one("MatMul", [1, 2, 3], some(3, 4)),
    "matrix in front of a vector": lambda: behind("MatMul", [3], some(2, 3)),
    "matrix in front of a vector, and a sum": lambda: added(behind("MatMul", [3], some(2, 3)), some(2)),
    "matrix of a vector, and a sum": lambda: added(one("MatMul", [3], some(3, 2)), some(2)),
    "matrix in front of columns, and a sum": lambda: added(behind("MatMul", [1, 3], some(2, 1)), some(2, 1)),
    "gemm, and a sum": lambda: added(one("Gemm", [1, 3], some(3, 2)), some(1, 2)),
    "conv, and a sum": lambda: added(one("Conv", [1, 1, 3, 3], some(2, 1, 2, 2)), some(1, 2, 1, 2)),
    "conv in one dimension, and a sum": lambda: added(one("Conv", [1, 1, 3], some(2, 1, 2)), some(1, 2, 2)),
    "average, and a sum": lambda: added(one("AveragePool", [1, 2, 3, 3], kernel_shape=[2, 2]), some(1, 2, 1, 2)),
    "normalization, and a sum": lambda: added(normalization([1, 3, 2], 3), some(1, 3, 1)),
    "transpose, and a sum": lambda: added(one("Transpose", [1, 2, 3]), some(3, 2, 1)),
    "matrix in front of columns": lambda: behind("MatMul", [1, 3], some(2, 1)),
    "matrix in front of rows": lambda: behind("MatMul", [1, 3, 4], some(2, 3)),
    **{
        f"gemm {name}": lambda bias=bias: one("Gemm", [1, 3], some(3, 2), *bias)
        for name, bias in {
            "plain": (),
            "with a bias": (some(2),),
            "with a row": (some(1, 2),),
            "with a number": (some(1, 1),),
            "without its bias": (None,),
        }.items()
    },
    "gemm transposed": lambda: one("Gemm", [1, 3], some(2, 3), some(2), transB=1),
    "gemm with factors of 1": lambda: one("Gemm", [1, 3], some(3, 2), some(2), alpha=1.0, beta=1.0, transA=0, transB=0),
    "conv": lambda: one("Conv", [1, 2, 5, 4], some(3, 2, 2, 3), some(3)),
    "conv without its bias": lambda: one("Conv", [1, 2, 5, 4], some(3, 2, 2, 3), None),
    "conv that states its kernel": lambda: one("Conv", [1, 2, 5, 4], some(3, 2, 2, 3), kernel_shape=[2, 3]),
    "conv with strides": lambda: one("Conv", [1, 1, 7, 6], some(2, 1, 2, 2), strides=[2, 3]),
    "conv with pads": lambda: one("Conv", [1, 1, 3, 3], some(1, 1, 2, 3), pads=[1, 2, 0, 1]),
    "conv with dilations": lambda: one("Conv", [1, 1, 6, 7], some(1, 1, 2, 2), dilations=[2, 3]),
    "conv in groups": lambda: one("Conv", [1, 4, 3, 3], some(6, 2, 2, 2), some(6), group=2),
    "conv of one place": lambda: one("Conv", [1, 1, 2, 2], some(2, 1, 2, 2)),
    "conv in one dimension": lambda: one(
        "Conv", [1, 2, 8], some(3, 2, 2), some(3), strides=[2], pads=[1, 2], dilations=[2]
    ),
    "average": lambda: one("AveragePool", [1, 2, 4, 5], kernel_shape=[2, 3]),
    "average with strides": lambda: one("AveragePool", [1, 2, 5, 6], kernel_shape=[2, 2], strides=[2, 3]),
    "average with pads": lambda: one(
        "AveragePool", [1, 1, 3, 3], kernel_shape=[2, 2], pads=[1, 0, 1, 1], count_include_pad=1
    ),
    "average with pads of none": lambda: one("AveragePool", [1, 1, 3, 3], kernel_shape=[2, 2], pads=[0] * 4),
    "average in one dimension": lambda: one("AveragePool", [1, 2, 6], kernel_shape=[3], strides=[2]),
    "average with dilations": lambda: one("AveragePool", [1, 1, 5, 5], kernel_shape=[2, 2], dilations=[2, 1], opset=19),
    "average of all": lambda: one("GlobalAveragePool", [1, 3, 2, 4]),
    "average of all of a line": lambda: one("GlobalAveragePool", [1, 3, 5]),
    "normalization": lambda: normalization([1, 3, 2, 2], 3),
    "normalization of rows": lambda: normalization([1, 3], 3, epsilon=0.25),
    "normalization in few numbers": lambda: normalization([1, 2, 3], 2, momentum=0.5, training_mode=0),
    "old normalization": lambda: normalization([1, 2, 3], 2, opset=7, epsilon=1e-3),
    "absolute values": lambda: one("Abs", [1, 3]),
    "leaky": lambda: one("LeakyRelu", [1, 3]),
    **{f"leaky by {a}": lambda a=a: one("LeakyRelu", [1, 2, 3], alpha=a) for a in (0.1, 0.0, -0.5, 2.5, 1.0)},
    **{
        f"leaky by constants {shape}": lambda shape=shape: one("PRelu", [1, 2, 3], some(*shape))
        for shape in ((), (1,), (2, 1), (1, 2, 3))
    },
    "clip": lambda: one("Clip", [1, 6], np.float32(-0.25), np.float32(0.5)),
    "clip to a point": lambda: one("Clip", [1, 6], np.float32([0.25]), np.float32([0.25])),
    "old clip": lambda: one("Clip", [1, 6], opset=10, min=-0.25, max=0.5),
    "hard sigmoid": lambda: one("HardSigmoid", [1, 6]),
    "hard sigmoid by numbers": lambda: one("HardSigmoid", [1, 6], alpha=1.5, beta=0.25),
    "hard sigmoid that falls": lambda: one("HardSigmoid", [1, 6], alpha=-1.5, beta=0.25),
    "maximum": lambda: one("MaxPool", [1, 2, 3, 4], kernel_shape=[2, 2]),
    "maximum of three with strides": lambda: one("MaxPool", [1, 2, 5, 7], kernel_shape=[1, 3], strides=[2, 3]),
    "maximum of all": lambda: one("MaxPool", [1, 1, 2, 3], kernel_shape=[2, 3], dilations=[1, 1]),
    "maximum of one": lambda: one("MaxPool", [1, 2, 2, 2], kernel_shape=[1, 1], strides=[1, 2]),
    "maximum with pads": lambda: one("MaxPool", [1, 2, 3, 4], kernel_shape=[2, 3], pads=[1, 2, 0, 1], strides=[2, 1]),
    "average that leaves pads out": lambda: one("AveragePool", [1, 2, 3, 4], kernel_shape=[2, 3], pads=[1, 2, 0, 1]),
    "average that leaves pads out, in one dimension": lambda: one(
        "AveragePool", [1, 1, 4], kernel_shape=[3], pads=[1, 2], strides=[2]
    ),
    "maximum in one dimension": lambda: one("MaxPool", [1, 2, 7], kernel_shape=[3], strides=[2], pads=[0, 0]),
    "maximum that says no pads": lambda: one("MaxPool", [1, 1, 5, 4], kernel_shape=[3, 2], auto_pad="VALID"),
    "maximum, and a sum": lambda: added(one("MaxPool", [1, 2, 3, 3], kernel_shape=[2, 2]), some(1, 2, 2, 2)),
    "dropout": lambda: one("Dropout", [1, 3]),
    "dropout with its share": lambda: one("Dropout", [1, 3], np.float32(0.5), seed=3),
    "old dropout": lambda: one("Dropout", [1, 3], opset=10, ratio=0.25),
}


@pytest.mark.parametrize("kind", READ)
def test_what_is_read_is_what_the_runtime_computes(kind):
    network = READ[kind]()
    model = onnx.load_model_from_string(network)
    dims = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
    inputs = int(np.prod(dims))
    x = RNG.normal(size=(2, inputs)).astype(np.float32).astype(np.float64)
    expected = run(network, x)
    numbers = [Float64()] if "normalization" in kind else [Float64(), Rational()]
    for row, y in zip(x, expected, strict=True):
        for one_of_them in numbers:
            found = np.array([float(value) for value in values_of(network, row.tolist(), one_of_them)])
            assert found.shape == y.shape
            assert np.allclose(found, y, rtol=1e-5, atol=1e-5)


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
    "an operator set twice": (
        lambda: changed(PLAIN, lambda m: m.opset_import.append(helper.make_opsetid("", 17))), "operator sets"
    ),
    "another operator set twice": (
        lambda: changed(PLAIN, lambda m: m.opset_import.extend([helper.make_opsetid("o", 1)] * 2)), "operator sets"
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
    "an unknown operator": (lambda: one("Sigmoid", [1, 3]), "'Sigmoid'"),
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
    "two operands of a Relu": (lambda: two_values("Relu"), "constants alone"),
    "a Relu of a constant": (lambda: constants_alone("Relu", some(3)), "constants alone"),
    "a Dropout that trains": (lambda: one("Dropout", [1, 3], np.float32(0.5), np.float32(1)), "may be training"),
    "a Constant of a number": (lambda: constants_alone("Constant", value_float=1.0), "no tensor"),
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
    "a sum of other shapes": (
        sum_of_shapes,
        "several shapes",
    ),
    "a sum of constants": (lambda: constants_alone("Add", some(3), some(3)), "constants alone"),
    "a sum with integers": (lambda: one("Add", [1, 3], integers(1)), "none of floats"),
    "a sum with nothing": (lambda: one("Add", [1, 1, 3], np.zeros((0, 3), np.float32)), "makes a value larger"),
    "a sum that is larger": (lambda: one("Add", [1, 3], some(2, 3)), "makes a value larger"),
    "a product of values": (lambda: two_values("Mul"), "product of two values"),
    "a product of constants": (lambda: constants_alone("Mul", some(3), some(3)), "product of two values, or of none"),
    "a product of three": (lambda: one("Mul", [1, 3], some(3), some(3)), "product of two values"),
    "a product with integers": (lambda: one("Mul", [1, 3], integers(2)), "none of floats"),
    "a product of matrices": (lambda: two_values("MatMul"), "no matrix"),
    "a matrix of integers": (lambda: one("MatMul", [1, 3], np.ones((3, 2), np.int64)), "no matrix"),
    "a stack of matrices": (lambda: one("MatMul", [1, 3], some(1, 3, 2)), "no matrix"),
    "a matrix of nothing": (lambda: one("MatMul", [1, 3], np.zeros((3, 0), np.float32)), "no matrix"),
    "a matrix of another height": (lambda: one("MatMul", [1, 3], some(2, 2)), "does not fit"),
    "a matrix of a number": (lambda: one("MatMul", [], some(1, 2)), "does not fit", 1),
    "a matrix of another width": (lambda: behind("MatMul", [3], some(2, 2)), "does not fit"),
    "a matrix in front of a stack": (lambda: behind("MatMul", [2, 3, 1], some(2, 3)), "does not fit", 6),
    "a Gemm by a factor": (lambda: one("Gemm", [1, 3], some(3, 2), alpha=0.5), "with factors"),
    "a Gemm with another factor": (lambda: one("Gemm", [1, 3], some(3, 2), some(2), beta=0.5), "with factors"),
    "a Gemm turned": (lambda: one("Gemm", [3, 1], some(3, 2), transA=1), "with factors"),
    "a Gemm of another height": (lambda: one("Gemm", [1, 3], some(2, 3)), "does not fit"),
    "a Gemm of rows": (lambda: one("Gemm", [3, 1], some(1, 2)), "does not fit"),
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
    "a clip of one end": (lambda: one("Clip", [1, 3], np.float32(0)), "without two ends"),
    "a clip without its lower end": (lambda: one("Clip", [1, 3], None, np.float32(0)), "without two ends"),
    "a clip of two lower ends": (lambda: one("Clip", [1, 3], np.float32([0, 1]), np.float32(2)), "without two ends"),
    "a clip whose ends are exchanged": (lambda: one("Clip", [1, 3], np.float32(1), np.float32(0)), "exchanged"),
    "a new clip in the old way": (lambda: one("Clip", [1, 3], min=0.0, max=1.0), "without two ends"),
    "an old clip in the new way": (
        lambda: one("Clip", [1, 3], np.float32(0), np.float32(1), opset=10, min=0.0, max=1.0), "constants alone"
    ),
    "a clip by NaN": (lambda: one("Clip", [1, 3], opset=10, min=float("nan"), max=1.0), "attribute 'min'"),
    "a leaky slope without end": (lambda: one("LeakyRelu", [1, 3], alpha=float("inf")), "attribute 'alpha'"),
    "slopes that make a value larger": (lambda: one("PRelu", [1, 3], some(2, 3)), "makes a value larger"),
    "no slopes": (lambda: one("PRelu", [1, 3]), "ValueError"),
    "slopes by an attribute": (lambda: one("PRelu", [1, 3], some(3), alpha=0.5), "attribute 'alpha' of PRelu"),
    "a leaky slope of two": (lambda: one("LeakyRelu", [1, 3], some(3)), "constants alone"),
    "a maximum of pads alone": (lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], pads=[2, 0]), "windows of a MaxPool"),
    "a maximum of pads on one side": (lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], pads=[1]), "strides, pads"),
    "a maximum without pads that has some": (
        lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], auto_pad="VALID", pads=[1, 0]), "not stated"
    ),
    "a maximum with pads not stated": (
        lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], auto_pad="SAME_UPPER"), "not stated"
    ),
    "a maximum that is rounded up": (lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], ceil_mode=1), "windows of a MaxPool"),
    "a maximum by columns": (lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], storage_order=1), "windows of a MaxPool"),
    "a maximum with dilations": (lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], dilations=[2]), "windows of a MaxPool"),
    "a maximum of no kernel": (lambda: one("MaxPool", [1, 1, 3]), "windows of a MaxPool"),
    "a maximum over too much": (lambda: one("MaxPool", [1, 1, 3], kernel_shape=[4]), "ValueError"),
    "a maximum of a step of 0": (lambda: one("MaxPool", [1, 1, 3], kernel_shape=[2], strides=[0]), "strides, pads"),
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
    "an average of a constant": (lambda: constants_alone("AveragePool", some(1, 1, 3), kernel_shape=[1]), "constants"),
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
    "a normalization of a batch": (lambda: normalization([3, 1], 1), "of a batch"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_a_step_away_is_refused_by_name(kind):
    make, reason, *inputs = REFUSED[kind]
    with pytest.raises(FormatError) as error:
        read_network(make(), *(inputs or [3]), Float64(), "network")
    assert error.value.source == "network" and "is not read by the checker" in error.value.problem
    assert reason in error.value.problem, error.value.problem


def read(network: bytes, inputs: int = 3) -> RealNetwork:
    return read_network(network, inputs, Float64(), "network")


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
    for kind, is_read in ((np.int32, True), (np.int64, True), (np.int16, False), (np.uint8, False), (np.bool_, False)):
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
    assert network.relus == (2,) and network.operands == (1,) and network.sizes == (3,)
    assert (network.inputs, network.outputs) == (3, 3)


def test_what_comes_of_the_input_alone_is_a_map_of_it():
    network = read(one("Identity", [1, 3]))
    assert [node.operands for node in network.nodes] == [(), (0,)] and not network.relus
    assert network.nodes[1].operator is not None and network.nodes[1].size == 3


def limit(monkeypatch, widest: int, largest: int) -> None:
    for module in (reader, values):
        monkeypatch.setattr(module, "WIDEST", widest)
    monkeypatch.setattr(values, "_LARGEST", largest)


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


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 0, 0, 2), (3, 1, 0, 0)])
def test_convolutions_go_back_by_the_kernel_turned_around_as_by_sums(groups, pads, monkeypatch):
    weight = RNG.normal(size=(4, 2 // groups, 2, 3))
    first, second = (Convolution(weight, None, (2, 5, 6), Windows((1, 1), pads, (2, 1), groups)) for _ in range(2))
    # A window that lies in the padding alone is not there in the other direction.
    assert (first._back is None) == (pads[0] > 2)
    second.__dict__["_back"] = None
    v, x = RNG.normal(size=(3, first.size)), RNG.normal(size=(3, 2 * 5 * 6))
    expected, onward = second.adjoint(v)[0], first.forward(x)
    assert np.allclose((onward * v).sum(1), (expected * x).sum(1), rtol=1e-12)
    # A few windows at a time.
    monkeypatch.setattr("netproof.certificate.checker.real.operators._WINDOWS", 1)
    for one_of_them in (first, second):
        assert np.allclose(one_of_them.adjoint(v)[0], expected, rtol=1e-12, atol=1e-12)
        assert np.allclose(one_of_them.forward(x), onward, rtol=1e-12, atol=1e-12)
    exact = Convolution(Rational().load(weight), None, (2, 5, 6), first.windows)
    assert np.allclose(np.array(exact.adjoint(Rational().load(v))[0], float), expected, rtol=1e-12, atol=1e-12)


def maps() -> list[tuple[Affine, list[int]]]:
    """Affine maps of every kind, and the sizes of what they take."""
    windows = Windows((2, 1), (1, 0, 2, 1), (1, 2), 2)
    wide = Windows((1, 1), (0, 0, 0, 0), (1, 1), 1)
    return [
        (Dense(RNG.normal(size=(7, 3)), RNG.normal(size=3), 1), [7]),
        (Dense(RNG.normal(size=(3, 7)), RNG.normal(size=7), 1), [3]),
        (Dense(RNG.normal(size=(2, 5)), None, 3), [6]),
        (Dense(RNG.normal(size=(2, 5)), None, 3, left=True), [6]),
        (Convolution(RNG.normal(size=(4, 2, 3, 2)), RNG.normal(size=4), (4, 5, 6), windows), [120]),
        (Convolution(RNG.normal(size=(9, 2, 2, 2)), RNG.normal(size=9), (2, 4, 4), wide), [32]),
        (Convolution(RNG.normal(size=(1, 9, 2, 2)), RNG.normal(size=1), (9, 4, 4), wide), [144]),
        (Scale(5, RNG.normal(size=5), RNG.normal(size=5)), [5]),
        (Scale(5, None, RNG.normal(size=5)), [5]),
        (Scale(5, RNG.normal(size=5), None), [5]),
        (Sum(4, 1), [4, 4]),
        (Sum(4, -1), [4, 4]),
        (Select(np.array([3, 0, 3, 1, 3, 3]), 5), [5]),
    ]


@pytest.mark.parametrize("number", range(13))
def test_every_map_counts_the_products_of_its_sums(number):
    operator, sizes = maps()[number]
    zeros = [np.zeros((sum(sizes), size)) for size in sizes]
    at = 0
    for part, size in zip(zeros, sizes, strict=True):
        part[np.arange(at, at + size), np.arange(size)] = 1.0
        at += size
    matrix = operator.forward(*zeros)
    assert matrix.shape == (sum(sizes), operator.size)
    # Of the map by rows, of its adjoint, which gives each operand by itself, by columns.
    used = matrix != 0
    longest = max(int(used.sum(0).max()), int(used.sum(1).max()))
    assert operator.terms >= longest
    assert operator.terms <= 4 * max(*used.shape) + 8
    back = np.concatenate(operator.adjoint(np.eye(operator.size)), axis=1)
    assert np.allclose(back, matrix.T, rtol=1e-12)
    absolute = operator.absolute()
    assert absolute.offset is None and absolute.offset_size is None and absolute.terms >= longest
    assert np.allclose(absolute.forward(*zeros), abs(matrix), rtol=1e-12)


@pytest.mark.parametrize("number", range(13))
def test_every_map_sizes_what_it_adds(number):
    operator, _ = maps()[number]
    if operator.offset is None:
        assert operator.offset_size is None
    else:
        assert operator.offset.shape == (operator.size,)
        assert operator.offset_size is not None and np.array_equal(operator.offset_size, abs(operator.offset))


def test_scales_know_what_was_added_up_and_how_often_it_was_rounded():
    size = np.array([5.0, 7.0])
    scale = Scale(2, np.ones(2), np.array([-1.0, 0.0]), 8, size)
    assert scale.offset_size is size and scale.terms == 2 + 8 and Scale(2, None, None).terms == 2
    # What a normalization subtracts, and what an average divides by.
    numbers = [some(2), some(2), some(2), abs(some(2))]
    operator = read(one("BatchNormalization", [1, 2, 2], *numbers), 4).nodes[1].operator
    assert isinstance(operator, Scale) and operator.terms >= 8
    gain, bias, mean, variance = (part.astype(np.float64) for part in numbers)
    factor = gain / np.sqrt(variance + float(np.float32(1e-5)))
    for found, expected in (
        (operator.scale, factor),
        (operator.shift, bias - mean * factor),
        (operator.offset_size, abs(bias) + abs(mean * factor)),
    ):
        assert np.allclose(found, expected.repeat(2), rtol=1e-12)
    average = read(one("AveragePool", [1, 1, 2, 3], kernel_shape=[2, 3]), 6)
    assert [node.operator.terms for node in average.nodes[1:] if node.operator] == [2 * 3 + 2, 4]
