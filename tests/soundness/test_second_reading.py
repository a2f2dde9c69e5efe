"""The checker's second reader: it agrees with a right reading of every network, and with no wrong one."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

import netproof
from conftest import random_layers, write_keras_h5
from netproof.certificate import second_reading
from netproof.certificate.checker.check import check
from netproof.certificate.make import certificate_of
from netproof.certificate.second_reading import compare
from netproof.certificate.second_reading.compare import confirm
from netproof.errors import CertificateError
from netproof.formats import fixed_point
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.keras import read as keras_h5
from netproof.formats.onnx import integer as onnx_integer
from netproof.formats.onnx.call import Call
from netproof.formats.onnx.writing.integer import IntegerOnnxWriter
from netproof.graph.graph import Graph
from netproof.network import Network
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.sum import Sum
from netproof.settings import Settings
from soundness.residual_networks import random_residual


@pytest.fixture
def perceptron(tmp_path: Path) -> Path:
    return write_keras_h5(tmp_path / "net.h5", random_layers((4, 4, 4, 3), seed=3))


def certified(network: Network) -> Any:
    """A certificate of a query on the network: its outputs at one input, at radius 0."""
    image = torch.zeros(network.inputs, dtype=torch.float64)
    query = netproof.robustness(network, image, int(network.classify(image)), 0)
    return certificate_of(query, netproof.verify(query, Settings(proofs=True)))


def refused(network: Network, *parts: str) -> None:
    with pytest.raises(CertificateError) as raised:
        confirm(network)
    assert raised.value.source == network.path and raised.value.hint and str(raised.value).isprintable()
    for part in parts:
        assert part in raised.value.problem, raised.value.problem


# -- right readings


@pytest.mark.parametrize(
    "widths",
    [
        FixedPoint(),
        FixedPoint(bits=4, input_bits=4, weight_integer_bits=2),
        FixedPoint(8, 4, 1, 3, 4),
        FixedPoint(3),
        FixedPoint(bits=1, input_bits=1, weight_integer_bits=1, bias_integer_bits=1, activation_integer_bits=0),
        FixedPoint(16, 16, 1, 2, 2),
        FixedPoint(8, 1, 7, 8, 0 + 7),
    ],
)
def test_perceptrons_of_all_widths(tmp_path: Path, widths: FixedPoint) -> None:
    for seed, sizes in enumerate([(4, 5, 3), (3, 1), (6, 2, 5, 4)]):
        path = write_keras_h5(tmp_path / "net.h5", random_layers(sizes, seed))
        layers = len(sizes) - 1
        words = confirm(netproof.load(path, widths=widths))
        assert words == f"{layers} affine maps in all of their coefficients, {layers} step functions at every threshold"


def test_random_residual_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    for number in range(24):
        # Every other one at random points, as large networks are.
        monkeypatch.setattr(compare, "_MOST_ENTRIES", 1 << 23 if number % 2 else 0)
        words = confirm(netproof.load(random_residual(random).save(tmp_path)))
        assert ("at 4 random points of 30-bit numbers" in words) == (number % 2 == 0)


def test_ties_and_floats_of_every_kind(tmp_path: Path) -> None:
    """Both readers round alike where rounding is delicate: ties, the floats next to them, ends, tiny and huge numbers."""
    import h5py

    ties = (np.arange(-70, 71) / 2)[:140] / 32
    for dtype in ("f2", "f4", "f8", ">f4", ">f8"):
        near = np.concatenate(
            [ties, np.nextafter(ties.astype(dtype[-2:]), 9), np.nextafter(ties.astype(dtype[-2:]), -9)]
        )
        info = np.finfo(dtype[-2:])
        values = np.concatenate([near, [info.max, info.min, info.tiny, info.smallest_subnormal, -0.0, 0.0, 1, -1]])
        kernel = values.astype(dtype)[:, None]
        path = write_keras_h5(tmp_path / "net.h5", [(np.zeros(kernel.shape), np.zeros(1))])
        with h5py.File(path, "r+") as file:
            del file["dense_0/dense_0/kernel:0"]
            file.create_dataset("dense_0/dense_0/kernel:0", data=kernel, dtype=dtype)
        assert confirm(netproof.load(path))


def test_large_networks_are_compared_at_random_points(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    layers = [
        (random.normal(0, 0.2, size).astype("f4"), random.normal(0, 1, size[1]).astype("f4"))
        for size in [(3000, 9), (9, 5)]
    ]
    network = netproof.load(write_keras_h5(tmp_path / "net.h5", layers))
    assert "2 affine maps at 4 random points of 3" in confirm(network)
    for node in (1, 3):
        operator = network.graph.nodes[node].operator
        assert isinstance(operator, Linear)
        refused(
            changed(network, node, weight=bumped(operator.weight, -1)),
            "the affine map in front of step function",
        )


def test_networks_made_in_memory_have_no_file_to_read() -> None:
    from soundness.random_networks import random_network

    assert confirm(random_network(np.random.default_rng(0)).network()) == ""


# -- wrong numbers in the graph


def bumped(tensor: torch.Tensor, index: int, by: float = 1.0) -> torch.Tensor:
    flat = tensor.clone().reshape(-1)
    flat[index] += by
    return flat.reshape(tensor.shape)


def changed(network: Network, node: int, **parts: Any) -> Network:
    """The network with other parameters at a node."""
    nodes = list(network.graph.nodes)
    made = replace(nodes[node].operator, **parts)  # type: ignore[type-var]
    nodes[node] = replace(nodes[node], operator=made)
    return replace(network, graph=Graph(network.graph.arithmetic, nodes))


def wrong_graphs(network: Network) -> list[Network]:
    """All networks with one number of the graph changed."""
    found = []
    for index, node in enumerate(network.graph.nodes):
        operator = node.operator
        if isinstance(operator, Linear | Convolution | Scale | Staircase):
            for name, tensor in operator.parameters():
                found += [changed(network, index, **{name: bumped(tensor, i)}) for i in range(tensor.numel())]
        elif isinstance(operator, Sum):
            found += [changed(network, index, signs=(1, -1))]
    return found


@pytest.mark.parametrize("most", [1 << 23, 0])
def test_no_number_of_a_graph_may_be_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(compare, "_MOST_ENTRIES", most)
    random = np.random.default_rng(2)
    path = write_keras_h5(tmp_path / "net.h5", random_layers((3, 3, 2), seed=3))
    networks = [netproof.load(path, widths=FixedPoint(bits=3, weight_integer_bits=1, activation_integer_bits=1))]
    networks += [netproof.load(random_residual(random).save(tmp_path)) for _ in range(3)]
    compared = 0
    for network in networks:
        for wrong in wrong_graphs(network):
            if not differs_in_reach(network, wrong):
                continue
            compared += 1
            refused(wrong, "is read as two different networks")
    assert compared > 300


def differs_in_reach(network: Network, wrong: Network) -> bool:
    """Whether a change is one of numbers that can matter: thresholds that nothing reaches do not."""
    from netproof.bounds.region import box_region, node_intervals

    ranges = node_intervals(network.graph, box_region(network.graph, network.lower[None], network.upper[None]))
    for index, (mine, other) in enumerate(zip(network.graph.nodes, wrong.graph.nodes, strict=True)):
        if mine.operator is other.operator or not isinstance(mine.operator, Staircase):
            continue
        low, high = ranges[mine.operands[0]]
        assert isinstance(other.operator, Staircase) and index
        points = torch.arange(float(low.min()), float(high.max()) + 1, dtype=torch.float64)
        size = mine.size
        points = (
            points[: len(points) // size * size].reshape(-1, size)
            if len(points) >= size
            else points[:, None].expand(-1, size)
        )
        return not torch.equal(mine.operator.evaluate(points), other.operator.evaluate(points))
    return True


def test_other_inputs(perceptron: Path) -> None:
    network = netproof.load(perceptron)
    refused(replace(network, upper=network.upper - 1), "the range of the inputs is not the same")
    refused(replace(network, lower=network.lower + 1), "the range of the inputs is not the same")
    nodes = list(network.graph.nodes[:-2])
    refused(replace(network, graph=Graph(network.graph.arithmetic, nodes)), "the number of inputs or outputs")


def test_another_file(perceptron: Path, tmp_path: Path) -> None:
    network = netproof.load(perceptron)
    with pytest.raises(CertificateError, match="has another SHA-256 than the network read from it"):
        confirm(replace(network, content=network.content + b" "))
    other = netproof.load(write_keras_h5(tmp_path / "other.h5", random_layers((4, 4, 4, 3), seed=4)))
    refused(replace(network, content=other.content, sha256=other.sha256), "is read as two different networks")


# -- wrong readers

Patch = Callable[[pytest.MonkeyPatch], None]


def dropped_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    right = keras_h5._layers_of
    monkeypatch.setattr(keras_h5, "_layers_of", lambda *given: [right(*given)[0], *right(*given)[2:]])


def swapped_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    right = keras_h5._layers_of
    monkeypatch.setattr(keras_h5, "_layers_of", lambda *given: [right(*given)[1], right(*given)[0], *right(*given)[2:]])


def transposed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fixed_point.quantize

    def wrong(values: Any, bits: int, integer_bits: int) -> Any:
        found = right(values, bits, integer_bits)
        return found.T if found.shape == (4, 4) else found

    monkeypatch.setattr(fixed_point, "quantize", wrong)


def quantized(change: Callable[[Any, int, int], Any]) -> Patch:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        right = fixed_point.quantize
        monkeypatch.setattr(
            fixed_point, "quantize", lambda values, bits, integers: right(*change(values, bits, integers))
        )

    return patch


def steps(change: Callable[[int, int, int], tuple[int, int, int]]) -> Patch:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        right = Staircase.fixed_point

        class Wrong(Staircase):
            @staticmethod
            def fixed_point(shift: int, low: int, high: int) -> Staircase:  # type: ignore[override]
                return right(*change(shift, low, high))

        monkeypatch.setattr(fixed_point, "Staircase", Wrong)

    return patch


def rounded_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half down instead of half up."""
    right = Staircase.fixed_point

    class Wrong(Staircase):
        @staticmethod
        def fixed_point(shift: int, low: int, high: int) -> Staircase:  # type: ignore[override]
            made = right(shift, low, high)
            return Staircase(made.thresholds + 1, made.base)

    monkeypatch.setattr(fixed_point, "Staircase", Wrong)


@pytest.mark.parametrize(
    "patch",
    [
        dropped_layer,
        swapped_layers,
        transposed,
        rounded_otherwise,
        quantized(lambda v, b, i: (v, b, i - 1 if i > 1 else i)),
        quantized(lambda v, b, i: (v + 2.0**-6, b, i)),
        quantized(lambda v, b, i: (-v if v.ndim == 1 else v, b, i)),
        quantized(lambda v, b, i: (v * 0 if v.ndim == 1 else v, b, i)),
        steps(lambda shift, low, high: (shift + 1, low, high)),
        steps(lambda shift, low, high: (shift - 1, low, high)),
        steps(lambda shift, low, high: (shift, 0, high)),
        steps(lambda shift, low, high: (shift, low, high // 8)),
        steps(lambda shift, low, high: (shift, low - 1, high)),
        steps(lambda shift, low, high: (shift, -(1 << 12), 1 << 12)),
    ],
)
def test_a_keras_reader_that_is_wrong(perceptron: Path, monkeypatch: pytest.MonkeyPatch, patch: Patch) -> None:
    with monkeypatch.context() as patched:
        patch(patched)
        network = netproof.load(perceptron)
        certificate = certified(network)
    with pytest.raises(CertificateError, match="is read as two different networks"):
        check(certificate, network)
    right = netproof.load(perceptron)
    assert check(certified(right), right).second_reading


def integers(folder: Path) -> Path:
    """Two strided convolutions with a bias, a connection around one of them, and a last layer."""
    random = np.random.default_rng(5)
    made = IntegerOnnxWriter("net", (2, 4, 4), 7)

    def whole(*shape: int) -> Any:
        return random.integers(-5, 6, shape)

    x = made.convolution("first", "input", whole(2, 2, 3, 3), whole(2), stride=2, padding=(1, 1, 1, 1))
    x = made.requantize("first.q", x, 3, 0, 7)
    y = made.convolution("second", x, whole(2, 2, 3, 3), whole(2), padding=(1, 1, 1, 1))
    y = made.add("sum", y, made.shifted("wide", x, 2))
    y = made.requantize("second.q", y, 2, 0, 7)
    y = made.node("Flatten", "flat", [y])
    y = made.linear("last", y, whole(3, 8), whole(3))
    path = folder / "net.onnx"
    path.write_bytes(made.model(made.requantize("result", y, 1, -8, 7), 3))
    return path


def patched(name: str, change: Callable[[Any], Any]) -> Patch:
    return lambda monkeypatch: monkeypatch.setattr(onnx_integer, name, change(getattr(onnx_integer, name)))


def _convolutions(**changes: Any) -> Patch:
    def change(right: Any) -> Any:
        class Wrong(Convolution):
            def __new__(cls, *arguments: Any) -> Any:
                made = right(*arguments)
                return replace(made, **{key: value(getattr(made, key)) for key, value in changes.items()})

        return Wrong

    return patched("Convolution", change)


def _no_division(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_integer.Quotient, "least", lambda self, y: y * self.divisor + 1)


def _no_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_integer, "_biased", lambda reader, call, value, array: replace(value, name=call.name))


def _no_shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_integer, "_sum", lambda reader, call, left, right, sign: replace(left, name=call.name))


@pytest.mark.parametrize(
    "patch",
    [
        _convolutions(weight=lambda w: w.flip(-1)),
        _convolutions(weight=lambda w: w.transpose(-1, -2).contiguous()),
        _convolutions(weight=lambda w: w.transpose(0, 1).contiguous()),
        patched("tensor_of", lambda right: lambda array: right(np.abs(array))),
        patched("Sum", lambda right: lambda signs: right((1, -1))),
        patched("Plus", lambda right: lambda summand: right(summand + 1)),
        patched("Times", lambda right: lambda factor: right(factor + 1)),
        patched("Clipped", lambda right: lambda low, high: right(low, high - 8)),
        patched("Quotient", lambda right: lambda divisor: right(divisor * 2)),
        _no_division,
        _no_bias,
        _no_shortcut,
        patched("_input_range", lambda right: lambda path, file: (0, 6)),
    ],
)
def test_an_onnx_reader_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patch: Patch) -> None:
    path = integers(tmp_path)
    right = netproof.load(path)
    assert check(certified(right), right).second_reading
    with monkeypatch.context() as patched_reader:
        patch(patched_reader)
        network = netproof.load(path)
    certificate = certified(network)
    with pytest.raises(CertificateError, match="is read as two different networks"):
        check(certificate, network)


def test_zero_points_and_padding_that_are_misread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = integers(tmp_path)
    model = onnx.load(path)
    (first, *_) = (node for node in model.graph.node if node.op_type == "ConvInteger")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1, np.uint8), "one"))
    first.input.append("one")
    path.write_bytes(model.SerializeToString())
    monkeypatch.setattr(onnx_integer, "_check_zero_points", lambda *_: None)
    refused(netproof.load(path), "cannot be read a second time", "zero points other than 0")
    del first.input[2:]
    first.attribute.remove(next(a for a in first.attribute if a.name == "pads"))
    first.attribute.append(helper.make_attribute("pads", [0, 0, 2, 2]))
    path.write_bytes(model.SerializeToString())
    assert confirm(netproof.load(path))

    def misread(call: Call, *_: object) -> tuple[tuple[int, int], ...]:
        call.integers("pads")
        return ((1, 1), (1, 1))

    monkeypatch.setattr(onnx_integer, "padding_of", misread)
    refused(netproof.load(path), "the affine map in front of step function 1")


def test_ranges_are_checked_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can leave its type is refused by the second reader, too."""
    made = IntegerOnnxWriter("net", (4,), 255)
    x = made.linear("first", "input", np.full((2, 4), 100), np.zeros(2, np.int64))
    x = made.node("Cast", "narrow", [x], to=2)
    y = made.linear("last", x, np.ones((2, 2), np.int64), np.zeros(2, np.int64))
    path = tmp_path / "net.onnx"
    path.write_bytes(made.model(y, 2))
    monkeypatch.setattr(onnx_integer._Reader, "_checked", staticmethod(lambda value: value))
    refused(netproof.load(path), "cannot be read a second time", "a value that leaves its type, at node 'narrow'")


# -- files that the second reader does not know


def test_a_config_that_the_first_reader_passed_over(perceptron: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    import h5py

    def stating(*activations: str, more: tuple[dict[str, Any], ...] = ()) -> Network:
        layers: list[dict[str, Any]] = [{"class_name": "Dense", "config": {"activation": a}} for a in activations]
        with h5py.File(perceptron, "r+") as file:
            file.attrs["model_config"] = json.dumps(
                {"class_name": "Sequential", "config": {"layers": [*layers, *more]}}
            )
        return netproof.load(perceptron)

    monkeypatch.setattr(keras_h5, "check_config", lambda *_: None)
    assert confirm(stating("relu", "relu", "linear", more=({"class_name": "Dropout", "config": {}},)))
    refused(stating("relu", "tanh", "linear"), "activations relu, tanh, linear")
    relu = {"class_name": "ReLU", "config": {}}
    refused(stating("relu", "relu", "linear", more=(relu,)), "activations relu, relu, relu")
    refused(stating("relu", "relu", "tanh", more=(relu,)), "activations relu, relu, tanh")
    refused(stating("relu", "relu", "relu"), "activations relu, relu, relu")
    refused(stating("relu", "linear"), "activations relu, linear")
    refused(
        stating("relu", "relu", "linear", more=({"class_name": "Softmax", "config": {}},)), "a layer of class Softmax"
    )
    relu["config"] = {"max_value": 6}
    refused(stating("relu", "relu", "linear", more=(relu,)), "a ReLU with a ceiling")
    soft = {"class_name": "Activation", "config": {"activation": "softmax"}}
    refused(stating("relu", "relu", "linear", more=(soft,)), "a layer of class Activation")


def test_weights_that_the_first_reader_passed_over(perceptron: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    with h5py.File(perceptron, "r+") as file:
        file["dense_9/kernel:0"] = np.zeros((3, 3), "f4")
    monkeypatch.setattr(keras_h5, "_check_nothing_left", lambda *_: None)
    refused(netproof.load(perceptron), "cannot be read a second time", "weights that belong to no dense layer")


def test_names_in_pieces_are_read_by_both(perceptron: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    with h5py.File(perceptron, "r+") as file:
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = ["dense_0"], ["dense_1", "dense_2"]
        del file["dense_1"].attrs["weight_names"]
        file["dense_1"].attrs["weight_names0"] = ["dense_1/kernel:0", "dense_1/bias:0"]
    network = netproof.load(perceptron)
    assert confirm(network).startswith("3 affine maps")


def test_an_unknown_scheme(perceptron: Path) -> None:
    network = netproof.load(perceptron)
    refused(replace(network, scheme={"bits": 6}), "bit widths other than the five known ones")


def test_a_file_is_compared_once_per_network(perceptron: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = netproof.load(perceptron)
    words = confirm(network)
    monkeypatch.setattr(compare, "_read", lambda network, deadline=0.0: pytest.fail("read again"))
    assert confirm(network) == words
    with pytest.raises(BaseException, match="read again"):
        confirm(netproof.load(perceptron))


def test_the_second_reader_shares_nothing_with_the_first() -> None:
    folder = Path(second_reading.__file__).parent
    for module in ("reading.py", "keras.py", "onnx.py"):
        for node in ast.walk(ast.parse((folder / module).read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            own = [name for name in names if name.startswith("netproof")]
            assert set(own) <= {"netproof.certificate.second_reading.reading"}, f"{module}: {own}"
            assert not any(name.startswith("torch") for name in names)
    # The comparison knows the graph and its contracts, and no reader of formats/.
    used = (folder / "compare.py").read_text()
    assert "netproof.formats" not in used and "netproof.search" not in used


def difference_of_steps(folder: Path, shift: int) -> Path:
    """An ONNX file whose result is ``h - h + x - h + (h >> shift)``, ``h = clip(W x, 0, 50)``: with shift 0, ``x`` alone."""
    i32, i8 = onnx.TensorProto.INT32, onnx.TensorProto.INT8
    constants = [
        helper.make_tensor("w", i8, [2, 2], [1, -2, 3, 1]),
        helper.make_tensor("one", i8, [2, 2], [1, 0, 0, 1]),
        helper.make_tensor("low", i32, [1], [0]),
        helper.make_tensor("high", i32, [1], [50]),
        helper.make_tensor("times", i32, [1], [1 << shift]),
    ]
    nodes = [
        helper.make_node("MatMulInteger", ["x", "w"], ["a"]),
        helper.make_node("Clip", ["a", "low", "high"], ["h"]),
        helper.make_node("MatMulInteger", ["x", "one"], ["same"]),
        helper.make_node("Mul", ["h", "times"], ["more"]),
        helper.make_node("Sub", ["more", "h"], ["rest"]),
        helper.make_node("Add", ["same", "rest"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "difference",
        [helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, ["batch", 2])],
        [helper.make_tensor_value_info("y", i32, ["batch", 2])],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    made.ir_version = 7
    helper.set_model_props(made, {"netproof.input_range": "0 9"})
    path = folder / f"difference-{shift}.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def test_steps_that_cancel_are_no_difference(tmp_path: Path) -> None:
    network = netproof.load(difference_of_steps(tmp_path, 0))
    assert not network.graph.activations
    assert confirm(network).endswith("0 step functions at every threshold")
    assert netproof.load(difference_of_steps(tmp_path, 1)).graph.activations


def test_steps_that_do_not_cancel_are_one(tmp_path: Path) -> None:
    """A first reader that cancels what does not cancel is caught: something depends on the steps that it left out."""
    right, other = (netproof.load(difference_of_steps(tmp_path, shift)) for shift in (1, 0))
    refused(replace(right, graph=other.graph), "in front of step function 1")
