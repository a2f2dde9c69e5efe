"""The second reader of quantized ONNX: a small file for each form of an operator, every number and statement of which is changed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from netproof.certificate.second_reading import compare
from netproof.certificate.second_reading.compare import confirm
from netproof.certificate.second_reading.quantized.rounding import nearest, of_change, of_mean, of_sum, once
from netproof.certificate.second_reading.reading import UnknownFormError
from netproof.errors import CertificateError, InputError
from netproof.formats.load import load
from netproof.network import Network

F, U, WIDE = np.float32, np.uint8, np.int32
MICROSOFT = "com.microsoft"
Node = tuple[str, list[str], str, dict[str, object]]


def model(
    shape, nodes: list[Node], constants: dict[str, np.ndarray], floats: bool = False, kind: int = TensorProto.UINT8
) -> bytes:
    kind = TensorProto.FLOAT if floats else kind
    made = []
    for operator, inputs, output, stated in nodes:
        domain = MICROSOFT if operator in ("QLinearAdd", "QGemm", "QLinearGlobalAveragePool") else ""
        made.append(helper.make_node(operator, inputs, [output], domain=domain, **stated))
    graph = helper.make_graph(
        made,
        "small",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(made[-1].output[0], kind, None)],
        [numpy_helper.from_array(np.array(array), name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(MICROSOFT, 1)]
    file = helper.make_model(graph, opset_imports=opsets)
    file.ir_version = 8
    return bytes(file.SerializeToString())


HOW = {"s": F(0.021), "z": U(3), "t": F(0.3), "u": U(9), "v": F(0.052), "w": U(120)}
KERNEL = np.array([[[[1, 250], [7, 3]]], [[[9, 130], [2, 77]]]], U)
SMALL = {"ks": F(0.013), "kz": U(101)}


def convolution() -> bytes:
    constants = {**HOW, "k": KERNEL, "ks": np.array([0.013, 0.031], F), "kz": U(101), "b": np.array([40, -9], WIDE)}
    stated = {"group": 2, "strides": [1, 2], "pads": [0, 1, 1, 0]}
    return model(
        (1, 2, 2, 4), [("QLinearConv", ["x", "s", "z", "k", "ks", "kz", "t", "u", "b"], "y", stated)], constants
    )


def product() -> bytes:
    weight = np.array([[1, 200, 30], [90, 5, 255]], U)
    names = ["x", "s", "z", "k", "ks", "kz", "t", "u"]
    return model((1, 2), [("QLinearMatMul", names, "y", {})], {**HOW, **SMALL, "k": weight})


def gemm(turned: bool) -> bytes:
    weight = np.array([[1, 200, 30], [90, 5, 255]], U)
    names = ["x", "s", "z", "k", "ks", "kz", "b", "t", "u"]
    constants = {**HOW, **SMALL, "k": weight.T.copy() if turned else weight, "b": np.array([3, -700, 1500], WIDE)}
    return model((1, 2), [("QGemm", names, "y", {"transB": int(turned)})], constants)


def total() -> bytes:
    weight = np.array([[1, 200], [90, 5]], U)
    nodes: list[Node] = [
        ("QLinearMatMul", ["x", "s", "z", "k", "ks", "kz", "t", "u"], "h", {}),
        ("QLinearAdd", ["h", "t", "u", "x", "s", "z", "v", "w"], "y", {}),
    ]
    powers = {"s": F(2.0**-6), "t": F(0.25), "v": F(0.0625)}  # of others there is no single combination
    return model((1, 2), nodes, {**HOW, **SMALL, **powers, "k": weight})


def mean() -> bytes:
    names = ["x", "s", "z", "t", "u"]
    return model((1, 2, 1, 3), [("QLinearGlobalAveragePool", names, "y", {"channels_last": 0})], HOW)


def floats(turned: bool) -> bytes:
    weight = np.array([[1, -100, 30], [90, 5, -127]], np.int8)
    constants = {
        **HOW, "k": weight.T.copy() if turned else weight, "ks": np.array([0.013, 0.031, 0.007], F),
        "b": np.array([3, -700, 1500], WIDE), "bs": F(0.021) * np.array([0.013, 0.031, 0.007], F),
    }  # fmt: skip
    nodes: list[Node] = [
        ("QuantizeLinear", ["x", "s", "z"], "q", {}), ("DequantizeLinear", ["q", "s", "z"], "d", {}),
        ("DequantizeLinear", ["k", "ks"], "kd", {"axis": int(not turned)}), ("DequantizeLinear", ["b", "bs"], "bd", {"axis": 0}),
        ("Gemm", ["d", "kd", "bd"], "g", {"transB": int(turned), "alpha": 1.0, "beta": 1.0}),
        ("QuantizeLinear", ["g", "t", "u"], "gq", {}), ("DequantizeLinear", ["gq", "t", "u"], "y", {}),
    ]  # fmt: skip
    return model((1, 2), nodes, constants, floats=True)


def signed() -> bytes:
    """Codes of int8, at whose ends results are cut, with weights that have a scale for each output."""
    constants = {
        "s": F(0.021), "z": np.int8(-3), "t": F(0.06), "u": np.int8(100), "b": np.array([3, -700, 150], WIDE),
        "k": np.array([[1, -90, 30], [90, 5, -128]], np.int8), "ks": np.array([0.013, 0.031, 0.007], F), "kz": np.full(3, 4, np.int8),
    }  # fmt: skip
    names = ["x", "s", "z", "k", "ks", "kz", "b", "t", "u"]
    return model((1, 2), [("QGemm", names, "y", {})], constants, kind=TensorProto.INT8)


def moved() -> bytes:
    """Codes that change their places and their shapes before they are multiplied."""
    constants = {
        **HOW, **SMALL, "k": np.array([[1, 200], [90, 5]], U), "axes": np.array([1]), "shape": np.array([0, 3, -1]),
    }  # fmt: skip
    nodes: list[Node] = [
        ("Transpose", ["x"], "a", {"perm": [0, 2, 1]}), ("Unsqueeze", ["a", "axes"], "b", {}),
        ("Squeeze", ["b", "axes"], "c", {}), ("Reshape", ["c", "shape"], "d", {}),
        ("Flatten", ["d"], "f", {"axis": 1}), ("Reshape", ["f", "last"], "g", {}),
        ("QLinearMatMul", ["g", "s", "z", "k", "ks", "kz", "t", "u"], "y", {}),
    ]  # fmt: skip
    constants["last"] = np.array([1, 6])
    constants["k"] = np.array([[1, 200], [90, 5], [3, 4], [250, 6], [7, 9], [30, 100]], U)
    return model((1, 2, 3), nodes, constants)


def pairs() -> list[Node]:
    return [("QuantizeLinear", ["x", "s", "z"], "q", {}), ("DequantizeLinear", ["q", "s", "z"], "d", {})]


def closed(value: str) -> list[Node]:
    return [("QuantizeLinear", [value, "t", "u"], "gq", {}), ("DequantizeLinear", ["gq", "t", "u"], "y", {})]


def float_convolution() -> bytes:
    """A convolution of a QDQ file with a bias, behind which a ReLU without an effect stands."""
    scales = np.array([0.013, 0.031], F)
    constants = {
        **HOW, "u": U(0), "k": KERNEL.astype(np.int16).astype(np.int8), "ks": scales, "b": np.array([40, -9], WIDE), "bs": F(0.021) * scales,
    }  # fmt: skip
    nodes: list[Node] = [
        *pairs(), ("DequantizeLinear", ["k", "ks"], "kd", {"axis": 0}), ("DequantizeLinear", ["b", "bs"], "bd", {"axis": 0}),
        ("Conv", ["d", "kd", "bd"], "c", {"group": 2, "strides": [1, 2], "pads": [0, 1, 1, 0]}), ("Relu", ["c"], "g", {}), *closed("g"),
    ]  # fmt: skip
    return model((1, 2, 2, 4), nodes, constants, floats=True)


def float_sum() -> bytes:
    """A sum and a mean of a QDQ file; scales are powers of two, so that both rules are one function."""
    powers = {"s": F(2.0**-6), "t": F(0.0625), "v": F(0.125), "z": U(3), "u": U(9), "w": U(20)}
    nodes: list[Node] = [
        *pairs(), ("GlobalAveragePool", ["d"], "m", {}), ("QuantizeLinear", ["m", "t", "u"], "mq", {}),
        ("DequantizeLinear", ["mq", "t", "u"], "md", {}), ("GlobalAveragePool", ["d"], "n", {}), ("QuantizeLinear", ["n", "v", "w"], "nq", {}), ("DequantizeLinear", ["nq", "v", "w"], "nd", {}),
        ("Add", ["md", "nd"], "g", {}), ("Clip", ["g", "low", "high"], "h", {}),
        ("QuantizeLinear", ["h", "v", "w"], "gq", {}), ("DequantizeLinear", ["gq", "v", "w"], "y", {}),
    ]  # fmt: skip
    return model((1, 2, 1, 4), nodes, {**powers, "low": F(-2.5), "high": F(29.5)}, floats=True)


def change(front: str = "codes") -> bytes:
    """Codes that become others of another scale, which are cut at an end; a Gemm without attributes.

    ``front`` says what is before that: the codes of the file, floats that are ``quantized``, or codes that are ``moved``.
    """
    constants = {
        **HOW, "k": np.array([[1, -100], [90, 5]], np.int8), "ks": F(0.013), "t": F(0.007), "u": U(0), "v": F(0.052), "w": U(120),
    }  # fmt: skip
    floats = front == "quantized"
    nodes: list[Node] = pairs() if floats else [("DequantizeLinear", ["x", "s", "z"], "d", {})]
    if front == "moved":
        nodes.append(("Transpose", ["d"], "m", {"perm": [0, 1]}))
    nodes += [
        ("QuantizeLinear", ["m" if front == "moved" else "d", "t", "u"], "e", {}), ("DequantizeLinear", ["e", "t", "u"], "f", {}),
        ("DequantizeLinear", ["k", "ks"], "kd", {}), ("Gemm", ["f", "kd"], "g", {}),
        ("QuantizeLinear", ["g", "v", "w"], "gq" if floats else "y", {}),
    ]  # fmt: skip
    nodes += [("DequantizeLinear", ["gq", "v", "w"], "y", {})] if floats else []
    return model((1, 2), nodes, constants, floats=floats)


def float_product() -> bytes:
    """A product of a QDQ file, whose floats are renamed before they are quantized; a mean over one axis."""
    constants = {**HOW, "k": np.array([[1, -100, 30], [90, 5, -127]], np.int8), "ks": F(0.013), "v": F(0.01)}
    nodes: list[Node] = [
        ("Identity", ["x"], "n", {}), ("QuantizeLinear", ["n", "s", "z"], "q", {}), ("DequantizeLinear", ["q", "s", "z"], "d", {}),
        ("GlobalAveragePool", ["d"], "m", {}), ("QuantizeLinear", ["m", "v", "w"], "mq", {}), ("DequantizeLinear", ["mq", "v", "w"], "md", {}),
        ("Reshape", ["md", "row"], "r", {}), ("QuantizeLinear", ["r", "v", "w"], "rq", {}), ("DequantizeLinear", ["rq", "v", "w"], "rd", {}),
        ("DequantizeLinear", ["k", "ks"], "kd", {}), ("MatMul", ["rd", "kd"], "g", {}), *closed("g"),
    ]  # fmt: skip
    return model((1, 2, 5), nodes, constants | {"row": np.array([1, 2])}, floats=True)


FILES: dict[str, Callable[[], bytes]] = {
    "QDQ product": float_product,
    "signed": signed, "moved": moved, "QDQ convolution": float_convolution, "QDQ sum": float_sum, "change": change,
    "convolution": convolution, "product": product, "gemm": lambda: gemm(False), "gemm turned": lambda: gemm(True),
    "sum": total, "mean": mean, "floats": lambda: floats(False), "floats turned": lambda: floats(True),
}  # fmt: skip


def loaded(tmp_path, data: bytes, rule: str) -> Network:
    (tmp_path / "net.onnx").write_bytes(data)
    return load(tmp_path / "net.onnx", runtime=rule)


def read_anew(network: Network, data: bytes) -> None:
    """Compare a graph with what the second reader makes of other bytes."""
    compare._Comparison(network, compare._read(replace(network, content=data))).run()


#: constants that may be others without another function: zero points of codes that are cut nowhere; ends of a clip that cuts nothing, axes of 1,
#: a shape
CUT_NOWHERE = (("QDQ sum", "u"), ("QDQ sum", "w"))
FREE = ("low", "high", "axes", "shape")


@pytest.mark.parametrize("rule", ["onnxruntime", "integer-ideal"])
@pytest.mark.parametrize("name", FILES)
def test_every_number_counts(name, rule, tmp_path):
    data = FILES[name]()
    network = loaded(tmp_path, data, rule)
    assert "step functions at every threshold" in confirm(network)
    file, changed = onnx.ModelProto.FromString(data), 0
    taken = {operand for node in file.graph.node for operand in node.input}
    for place, tensor in enumerate(file.graph.initializer):
        array = numpy_helper.to_array(tensor)
        if tensor.name not in taken or tensor.name in FREE or (name, tensor.name) in CUT_NOWHERE:
            continue
        for number in range(array.size):
            other = array.copy().reshape(-1)
            old = other[number].item()
            other[number] = 1.5 * old if array.dtype == F else old + (1 if old < 100 else -1)
            damaged = onnx.ModelProto.FromString(data)
            damaged.graph.initializer[place].CopyFrom(numpy_helper.from_array(other.reshape(array.shape), tensor.name))
            with pytest.raises(CertificateError):
                read_anew(network, damaged.SerializeToString())
            changed += 1
    assert changed >= 4


STATEMENTS = [
    ("convolution", "group", 1), ("convolution", "strides", [2, 1]), ("convolution", "pads", [1, 1, 0, 0]),
    ("convolution", "dilations", [1, 2]), ("convolution", "kernel_shape", [3, 3]), ("mean", "channels_last", 1),
    ("gemm", "alpha", 2.0), ("gemm", "transA", 1), ("gemm", "transB", 1), ("gemm turned", "transB", 0),
    ("floats", "alpha", 2.0), ("floats", "beta", 0.5), ("floats", "transA", 1), ("floats turned", "transB", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "attribute", "value"), STATEMENTS)
def test_every_statement_counts(name, attribute, value, tmp_path):
    data = FILES[name]()
    network = loaded(tmp_path, data, "onnxruntime")
    file = onnx.ModelProto.FromString(data)
    node = next(n for n in file.graph.node if n.op_type in ("QLinearConv", "QGemm", "Gemm", "QLinearGlobalAveragePool"))
    kept = [a for a in node.attribute if a.name != attribute]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(attribute, value)])
    with pytest.raises(CertificateError):
        read_anew(network, file.SerializeToString())
    # Whatever the first reader makes of such a file, it is not another function than the second one's.
    try:
        again = loaded(tmp_path, file.SerializeToString(), "onnxruntime")
    except InputError:
        return
    try:
        confirm(again)
    except CertificateError as refusal:
        assert "cannot be read a second time" in str(refusal)


def changed_constant(name: str, constant: str, array: np.ndarray) -> bytes:
    file = onnx.ModelProto.FromString(FILES[name]())
    place = next(one for one in file.graph.initializer if one.name == constant)
    place.CopyFrom(numpy_helper.from_array(np.asarray(array), constant))
    return bytes(file.SerializeToString())


def changed_operand(name: str, output: str, operand: int, value: str) -> bytes:
    file = onnx.ModelProto.FromString(FILES[name]())
    node = next(one for one in file.graph.node if output in one.output)
    node.input[operand] = value
    return bytes(file.SerializeToString())


def along(axis: int) -> bytes:
    """A file of floats whose weights are square, with scales along an axis."""
    file = onnx.ModelProto.FromString(FILES["change"]())
    scale = next(one for one in file.graph.initializer if one.name == "ks")
    scale.CopyFrom(numpy_helper.from_array(np.array([0.013, 0.031], F), "ks"))
    node = next(one for one in file.graph.node if "kd" in one.output)
    node.attribute.append(helper.make_attribute("axis", axis))
    return bytes(file.SerializeToString())


def stating(name: str, output: str, attribute: str, value: int) -> bytes:
    file = onnx.ModelProto.FromString(FILES[name]())
    next(one for one in file.graph.node if output in one.output).attribute.append(
        helper.make_attribute(attribute, value)
    )
    return bytes(file.SerializeToString())


def without(name: str, output: str, first: int) -> bytes:
    """A file whose node has no operands from ``first`` on."""
    file = onnx.ModelProto.FromString(FILES[name]())
    del next(one for one in file.graph.node if output in one.output).input[first:]
    return bytes(file.SerializeToString())


UNKNOWN: dict[str, tuple[Callable[[], bytes], str]] = {
    "scales of activations": (lambda: changed_constant("product", "s", np.full(2, 0.021, F)), "other than one float32"),
    "a scale of float64": (lambda: changed_constant("product", "s", np.float64(0.021)), "other than one float32"),
    "zero points of activations": (lambda: changed_constant("product", "z", np.full(2, 3, U)), "other than one of 8 bits"),
    "a zero point of 32 bits": (lambda: changed_constant("product", "z", np.int32(3)), "other than one of 8 bits"),
    "a zero point of another type": (lambda: changed_constant("product", "z", np.int8(3)), "of two types"),
    "a result of another type": (lambda: changed_constant("sum", "w", np.int8(3)), "of two shapes or types"),
    "scales of weights in rows": (lambda: changed_constant("product", "ks", np.ones((1, 3), F)), "with float32 scales"),
    "weights that are floats": (lambda: changed_constant("product", "k", np.ones((2, 3), F)), "no codes"),
    "scales of another number": (lambda: changed_constant("product", "ks", np.ones(2, F)), "2 scales for 3 outputs"),
    "a bias of another number": (lambda: changed_constant("gemm", "b", np.ones(2, WIDE)), "scales for 3 outputs"),
    "a bias of floats": (lambda: changed_constant("gemm", "b", np.ones(3, F)), "not of int32"),
    "a bias of another scale": (lambda: changed_constant("floats", "bs", np.full(3, 0.5, F)), "another scale than its products"),
    "weights that do not fit": (lambda: changed_constant("product", "k", np.ones((3, 3), U)), "a product of"),
    "weights of three axes": (lambda: changed_constant("product", "k", np.ones((1, 2, 3), U)), "a product of"),
    "a clip with an effect": (lambda: changed_constant("QDQ sum", "high", F(3.0)), "with an effect"),
    "a clip with an effect below": (lambda: changed_constant("QDQ sum", "low", F(0.0)), "with an effect"),
    "a ReLU with an effect": (lambda: changed_constant("QDQ convolution", "u", U(5)), "with an effect"),
    "a result of int8": (lambda: changed_constant("QDQ convolution", "u", np.int8(-128)), "int8 in a QDQ file"),
    "activations of int8": (lambda: changed_constant("floats", "z", np.int8(3)), "activations of int8 in a QDQ file"),
    "a shape that is left out": (lambda: changed_operand("moved", "d", 1, ""), "a Reshape to a shape"),
    "axes that are not stated": (lambda: changed_operand("moved", "b", 1, ""), "axes that are not stated"),
    "a shape in which 0 is 0": (lambda: stating("moved", "d", "allowzero", 1), "a Reshape to a shape"),
    "a QGemm of floats": (lambda: without("gemm", "y", 7), "or of floats"),
    "a mean to another type": (lambda: changed_constant("mean", "u", np.int8(3)), "to another type"),
    "sums that two take": (lambda: changed_operand("QDQ sum", "nq", 0, "m"), "several operators take"),
    "scales along another axis": (lambda: along(0), "scales along another axis"),
    "two pairs in a row": (lambda: change("quantized"), "quantized twice in a row"),
    "two pairs that may come together": (lambda: change("moved"), "quantized twice in a row"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_refused(name, tmp_path):
    made, said = UNKNOWN[name]
    network = loaded(tmp_path, FILES["product"](), "onnxruntime")
    with pytest.raises(CertificateError, match="cannot be read a second time") as refusal:
        compare._read(replace(network, content=made()))
    assert said in str(refusal.value)


def test_two_pairs_in_a_row_are_refused_by_both_readers(tmp_path):
    """onnxruntime makes one of them; the standard's formulas are those of the file."""
    for front in ("quantized", "moved"):
        with pytest.raises(InputError, match="in a row, which onnxruntime makes one of"):
            loaded(tmp_path, change(front), "onnxruntime")
        assert "step functions" in confirm(loaded(tmp_path, change(front), "integer-ideal"))


def test_a_rounding_of_what_is_half_way_between_two_floats():
    """The sum of a product and a number is rounded once, where float64 would round it to a half first."""
    random, halves = np.random.default_rng(0), 0
    for _ in range(4000):
        factor = F(1 + random.integers(1 << 23) * 2.0**-23)
        whole = int(random.integers(1, 256)) * int(random.choice([-1, 1]))
        summand = F(
            random.choice([-1, 1]) * 2.0 ** random.integers(-40, 30) * (1 + random.integers(1 << 23) * 2.0**-23)
        )
        exact = Fraction(float(factor)) * whole + Fraction(float(summand))
        found = once(factor, whole, summand)
        around = [Fraction(float(np.nextafter(found, F(end)))) for end in (-np.inf, np.inf)]
        distance = abs(Fraction(float(found)) - exact)
        assert all(distance <= abs(one - exact) for one in around)
        halves += any(distance == abs(one - exact) for one in around)
    # Just above, just below and at a half between two floats, by less than float64 has digits for: 3 + 3 * 2^-23 is one.
    for factor, whole in ((F(1 + 2.0**-23), 3), (F(1 + 2.0**-23), -3), (F(1 + 3 * 2.0**-23), 3), (F(1 + 2.0**-23), 5)):
        for least in (2.0**-90, -(2.0**-90), 0.0):
            exact = Fraction(float(factor)) * whole + Fraction(least)
            found = once(factor, whole, F(least))
            others = [np.nextafter(found, F(end)) for end in (-np.inf, np.inf)]
            assert all(abs(Fraction(float(found)) - exact) <= abs(Fraction(float(one)) - exact) for one in others)
            tie = any(abs(Fraction(float(found)) - exact) == abs(Fraction(float(one)) - exact) for one in others)
            assert not tie or int(found.view(np.int32)) % 2 == 0, "halves go to the even one"
    assert halves < 4000
    with np.errstate(over="ignore"), pytest.raises(UnknownFormError, match="beyond float32"):
        nearest(once(F(3e38), 255, F(3e38)))
    with pytest.raises(UnknownFormError, match="beyond float32"):
        once(F(np.inf), 1, F(1))
    ideal, single = (of_change(runtime, (F(0.1), 0), (F(0.3), 0)) for runtime in ("integer-ideal", "onnxruntime"))
    exact = Fraction(float(F(0.1))) / Fraction(float(F(0.3)))
    assert [ideal(a) for a in range(-60, 60)] == [round(a * exact) for a in range(-60, 60)]
    assert [single(a) for a in range(256)] == [round(float(F(F(F(a) * F(0.1)) / F(0.3)))) for a in range(256)]
    # What is half way by the one need not be by the other.
    found = []
    for i, j, a in itertools.product(range(1, 8), range(1, 8), range(1, 80)):
        scales = F(i / 10), F(j / 10)
        rules = [of_change(runtime, (scales[0], 0), (scales[1], 0))(a) for runtime in ("integer-ideal", "onnxruntime")]
        assert rules[0] == round(a * Fraction(float(scales[0])) / Fraction(float(scales[1])))
        assert rules[1] == round(float(F(F(F(a) * scales[0]) / scales[1])))
        found.append(rules[0] != rules[1])
    assert any(found)
    for runtime in ("onnxruntime", "integer-ideal"):
        added = of_sum(runtime, (F(0.5), 3), (F(0.25), 5), (F(0.5), 7))
        assert [added(a, b) for a, b in ((3, 5), (4, 5), (3, 7), (9, 1), (1, 5))] == [7, 8, 8, 11, 5]
        change = of_change(runtime, (F(0.5), 3), (F(0.125), 9))
        assert [change(a) for a in (3, 4, 0)] == [0, 4, -12]
        mean = of_mean(runtime, 4, F(0.5), F(0.25))
        assert [mean(a) for a in (0, 1, 2, 3, 5, -3)] == [0, 0, 1, 2, 2, -2]
