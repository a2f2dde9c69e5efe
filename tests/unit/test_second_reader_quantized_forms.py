"""The second reader of quantized ONNX: a small file for each form of an operator, every number and statement of which is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from netproof.certificate.second_reading import compare
from netproof.certificate.second_reading.compare import confirm
from netproof.errors import CertificateError, InputError
from netproof.formats.load import load
from netproof.network import Network

F, U, WIDE = np.float32, np.uint8, np.int32
MICROSOFT = "com.microsoft"
Node = tuple[str, list[str], str, dict[str, object]]


def model(shape, nodes: list[Node], constants: dict[str, np.ndarray], floats: bool = False) -> bytes:
    kind = TensorProto.FLOAT if floats else TensorProto.UINT8
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


FILES: dict[str, Callable[[], bytes]] = {
    "convolution": convolution, "product": product, "gemm": lambda: gemm(False), "gemm turned": lambda: gemm(True),
    "sum": total, "mean": mean, "floats": lambda: floats(False), "floats turned": lambda: floats(True),
}  # fmt: skip


def loaded(tmp_path, data: bytes, rule: str) -> Network:
    (tmp_path / "net.onnx").write_bytes(data)
    return load(tmp_path / "net.onnx", runtime=rule)


def read_anew(network: Network, data: bytes) -> None:
    """Compare a graph with what the second reader makes of other bytes."""
    compare._Comparison(network, compare._read(replace(network, content=data))).run()


@pytest.mark.parametrize("rule", ["onnxruntime", "integer-ideal"])
@pytest.mark.parametrize("name", FILES)
def test_every_number_counts(name, rule, tmp_path):
    data = FILES[name]()
    network = loaded(tmp_path, data, rule)
    assert "step functions at every threshold" in confirm(network)
    file, changed = onnx.ModelProto.FromString(data), 0
    for place, tensor in enumerate(file.graph.initializer):
        array = numpy_helper.to_array(tensor)
        for number in range(array.size):
            other = array.copy().reshape(-1)
            old = other[number].item()
            other[number] = 1.5 * old if array.dtype == F else old + (1 if old < 100 else -1)
            damaged = onnx.ModelProto.FromString(data)
            damaged.graph.initializer[place].CopyFrom(numpy_helper.from_array(other.reshape(array.shape), tensor.name))
            if tensor.name in ("v", "w") and name != "sum":
                continue  # nothing takes them here
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
