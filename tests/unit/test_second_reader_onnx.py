"""The second reader of ONNX files by itself: it computes what a runtime does, and refuses what it does not know."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from netproof.certificate.second_reading.compare import confirm
from netproof.certificate.second_reading.onnx import read_onnx
from netproof.certificate.second_reading.reading import Reading, stepped
from netproof.errors import CertificateError
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.network import Network
from onnx_models import integer_session

SHAPE = (2, 5, 4)
RANDOM = np.random.default_rng(8)
INT8, UINT8, INT32 = TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32


def node(operator: str, operands: str, result: str, **attributes: Any) -> onnx.NodeProto:
    """A node; ``-`` stands for an operand that is left out."""
    names = ["" if name == "-" else name for name in operands.split()]
    return helper.make_node(operator, names, [result], name=f"the_{result}", **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Any] | None = None,
    *,
    shape: Sequence[int | str] = ("batch", *SHAPE),
    kind: int = UINT8,
    metadata: Mapping[str, str] | None = None,
    result: int = INT32,
) -> onnx.ModelProto:
    """A model from ``x`` to ``y``; constants without a type are int32."""
    tensors = [
        numpy_helper.from_array(np.array(value, getattr(value, "dtype", np.int32)), name)
        for name, value in (constants or {}).items()
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", result, None)],
        initializer=tensors,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    made.ir_version = 8
    helper.set_model_props(made, {"netproof.input_range": "0 20"} if metadata is None else dict(metadata))
    return made


def read(made: onnx.ModelProto) -> Reading:
    return read_onnx(made.SerializeToString())


def values(reading: Reading, x: NDArray[Any]) -> list[NDArray[np.float64]]:
    """Of every part, at inputs ``[N, n]``."""
    found = [x.astype(np.float64)]
    for part in reading.parts[1:]:
        operands = [found[i] for i in part.operands]
        if part.map is not None:
            found.append(part.map(operands, False))
        else:
            assert part.steps
            found.append(stepped(part.steps[0], operands[0]).astype(np.float64))
    return found


def agrees(made: onnx.ModelProto, shape: Sequence[int] = SHAPE) -> Reading:
    """The reading computes what the runtime does, and no value leaves the range that its part states."""
    reading = read(made)
    source = reading.parts[0]
    low, high = int(source.low.min()), int(source.high.max())
    kind = np.uint8 if made.graph.input[0].type.tensor_type.elem_type == UINT8 else np.int8
    images = [RANDOM.integers(low, high + 1, (20, *shape)), np.full((1, *shape), low), np.full((1, *shape), high)]
    x = np.concatenate(images).astype(kind)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = integer_session(made.SerializeToString(), options)
    expected = [session.run(None, {"x": one[None]})[0].reshape(-1) for one in x]
    found = values(reading, x.reshape(len(x), -1))
    assert found[reading.output].tolist() == np.array(expected, np.float64).tolist()
    for part, value in zip(reading.parts, found, strict=True):
        assert (part.low <= value).all() and (value <= part.high).all()
    return reading


def refused(made: onnx.ModelProto | bytes, *words: str) -> None:
    """The file is refused, whatever the first reader made of it."""
    content = made if isinstance(made, bytes) else made.SerializeToString()
    builder = GraphBuilder(Arithmetic.INTEGER, (1,))
    ends = torch.zeros(1, dtype=torch.float64)
    network = Network(builder.build(), "some.onnx", hashlib.sha256(content).hexdigest(), ends, ends, content=content)
    with pytest.raises(CertificateError) as raised:
        confirm(network)
    for word in ("cannot be read a second time", *words):
        assert word in raised.value.problem, raised.value.problem


def kernel(*shape: int) -> NDArray[np.int8]:
    return RANDOM.integers(-9, 10, shape).astype(np.int8)


# -- affine maps


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 1], "pads": [1, 0, 2, 1], "kernel_shape": [3, 2]},
        {"dilations": [2, 3]},
        {"strides": [2, 3], "auto_pad": "SAME_LOWER"},
        {"strides": [3, 1], "auto_pad": "SAME_UPPER"},
        {"auto_pad": "VALID"},
        {"auto_pad": "NOTSET", "pads": [0, 2, 1, 0]},
    ],
)
def test_convolutions(attributes: dict[str, Any]) -> None:
    agrees(model([node("ConvInteger", "x k", "y", **attributes)], {"k": kernel(3, 2, 3, 2)}))


@pytest.mark.parametrize("strides", [[1, 1], [2, 1], [3, 2]])
@pytest.mark.parametrize("named", ["SAME_UPPER", "SAME_LOWER"])
def test_padding_where_none_is_needed(named: str, strides: list[int]) -> None:
    """Kernels of one place leave values out rather than asking for more."""
    convolution = node("ConvInteger", "x k", "y", strides=strides, auto_pad=named)
    agrees(model([convolution], {"k": kernel(3, 2, 1, 1)}))


@pytest.mark.parametrize(("named", "pads"), [("SAME_UPPER", [2, 1, 2, 2]), ("SAME_LOWER", [2, 2, 2, 1])])
def test_padding_of_dilated_kernels(named: str, pads: list[int]) -> None:
    """Which the runtime does not know by name; rows 2, columns 3 apart need 4 rows and 3 columns more."""
    common, constants = {"dilations": [2, 3], "strides": [2, 1]}, {"k": kernel(3, 2, 3, 2)}
    stated = agrees(model([node("ConvInteger", "x k", "y", **common, pads=pads)], constants))
    meant = read(model([node("ConvInteger", "x k", "y", **common, auto_pad=named)], constants))
    x = RANDOM.integers(0, 21, (9, 40))
    assert (values(meant, x)[1] == values(stated, x)[1]).all()


def test_zero_points_of_0() -> None:
    constants = {"k": kernel(3, 2, 3, 2), "m": kernel(40, 2), "z": np.uint8(0), "z8": np.zeros(1, np.int8)}
    agrees(model([node("ConvInteger", "x k z z8", "y")], constants))
    agrees(model([node("Flatten", "x", "f"), node("MatMulInteger", "f m z z8", "y")], constants))


@pytest.mark.parametrize(("groups", "outputs"), [(2, 2), (2, 6), (4, 4)])
def test_convolutions_in_groups(groups: int, outputs: int) -> None:
    convolution = node("ConvInteger", "x k", "y", group=groups, strides=[2, 1])
    shape = (4, 3, 3)
    agrees(model([convolution], {"k": kernel(outputs, 4 // groups, 2, 2)}, shape=("batch", *shape)), shape)


def test_convolutions_along_one_axis() -> None:
    convolution = node("ConvInteger", "x k", "y", strides=[2], pads=[1, 2], dilations=[2])
    agrees(model([convolution], {"k": kernel(3, 2, 3)}, shape=("batch", 2, 7)), (2, 7))


@pytest.mark.parametrize(
    ("axis", "shape"), [(None, (1, 40)), (0, (1, 40)), (1, (1, 40)), (2, (2, 20)), (3, (10, 4)), (-1, (10, 4)), (-2, (2, 20))]
)  # fmt: skip
def test_what_flatten_keeps_apart(axis: int | None, shape: tuple[int, int]) -> None:
    """A number for each row, one for each column: only the right shape takes them so."""
    flatten = node("Flatten", "x", "f", **({} if axis is None else {"axis": axis}))
    nodes = [flatten, node("Cast", "f", "w", to=INT32), node("Add", "w rows", "a"), node("Sub", "a columns", "y")]
    rows, columns = (RANDOM.integers(-9, 10, size).astype(np.int32) for size in ((shape[0], 1), (1, shape[1])))
    agrees(model(nodes, {"rows": rows, "columns": columns}))


@pytest.mark.parametrize(
    ("target", "attributes"), [([0, 0, -1], {}), ([0, 2, 20], {"allowzero": 0}), ([1, 2, 20], {"allowzero": 1})]
)
def test_what_reshape_keeps_apart(target: list[int], attributes: dict[str, int]) -> None:
    nodes = [node("Reshape", "x to", "r", **attributes), node("Cast", "r", "w", to=INT32), node("Add", "w each", "y")]
    each = RANDOM.integers(-9, 10, (1, 2, 20)).astype(np.int32)
    agrees(model(nodes, {"to": np.array(target, np.int64), "each": each}))


def test_an_extent_of_0_that_is_meant_is_refused() -> None:
    reshape = node("Reshape", "x to", "y", allowzero=1)
    refused(model([reshape], {"to": np.array([0, 2, 20], np.int64)}, result=UINT8), "reshape")


def test_sums_and_differences_of_values() -> None:
    nodes = [
        node("ConvInteger", "x k", "a"),
        node("ConvInteger", "x l", "b"),
        node("Sub", "a b", "c"),
        node("Add", "c b", "d"),
        node("Add", "each d", "e"),
        node("Sub", "e channel", "y"),
    ]
    constants = {
        "k": kernel(3, 2, 2, 2),
        "l": kernel(3, 2, 2, 2),
        "each": RANDOM.integers(-99, 100, (1, 3, 4, 3)).astype(np.int32),
        "channel": RANDOM.integers(-99, 100, (3, 1, 1)).astype(np.int32),
    }
    agrees(model(nodes, constants))


def test_a_value_whose_numbers_are_scaled_and_shifted_is_an_affine_map() -> None:
    nodes = [
        node("Cast", "x", "w", to=INT32),
        node("Add", "w five", "a"),
        node("Mul", "three a", "b"),
        node("Sub", "b two", "y"),
    ]
    reading = agrees(model(nodes, {"five": 5, "three": 3, "two": np.array([2], np.int32)}))
    assert [part.steps for part in reading.parts] == [(), ()] and reading.parts[1].low.tolist() == [13] * 40
    assert reading.parts[1].high.tolist() == [73] * 40


def test_factors_may_be_of_any_size() -> None:
    """Where all values are 0, no product of factors leaves a type."""
    nodes = [node("Cast", "x", "a", to=INT32), node("Mul", "a f", "b"), node("Mul", "b f", "c"), node("Mul", "c f", "y")]  # fmt: skip
    reading = read(model(nodes, {"f": 2**31 - 1}, metadata={"netproof.input_range": "0 0"}))
    assert set(values(reading, np.ones((1, 40)))[reading.output][0]) == {float((2**31 - 1) ** 3)}


def test_ranges_are_those_of_intervals() -> None:
    """Ends of a map and of a difference, each of whose operands is taken by itself."""
    nodes = [node("MatMulInteger", "x k", "a"), node("MatMulInteger", "x l", "b"), node("Sub", "a b", "c"), node("Add", "c d", "y")]  # fmt: skip
    constants = {
        "k": np.array([[2, -3], [-1, -1]], np.int8),
        "l": np.array([[1, 0], [1, 0]], np.int8),
        "d": np.array([[100, -100]], np.int32),
    }
    reading = read(model(nodes, constants, shape=("batch", 2), metadata={"netproof.input_range": "1 10"}))
    found = [(part.low.tolist(), part.high.tolist()) for part in reading.parts[1:]]
    assert sorted(found) == [
        ([2 - 10 - 20, -30 - 10], [20 - 1 - 2, -3 - 1]),
        ([2 - 10, -30 - 10], [20 - 1, -3 - 1]),
        ([1 + 1, 0], [10 + 10, 0]),
        ([100 - 28, -100 - 40], [100 + 17, -100 - 4]),
    ]


# -- steps


STEPS = {
    "clipped on one side": [node("Clip", "w low", "a"), node("Clip", "a - high", "y")],
    "clipped by nothing": [node("Clip", "w", "a"), node("Clip", "a - -", "y")],
    "clipped on both": [node("Clip", "w low high", "y")],
    "relu": [node("Sub", "w high", "a"), node("Relu", "a", "y")],
    "divided towards 0": [node("Sub", "w high", "a"), node("Div", "a three", "y")],
    "divided by 1": [node("Div", "w one", "y")],
    "divided between others": [
        node("Mul", "w three", "a"),
        node("Div", "a high", "b"),
        node("Add", "b low", "c"),
        node("Mul", "c three", "y"),
    ],
    "a number of as many axes": [node("Relu", "w", "a"), node("Add", "a same", "b"), node("Clip", "b - high", "y")],
    "a 32-bit name in between": [
        node("Div", "w three", "a"),
        node("Cast", "a", "b", to=INT32),
        node("Clip", "b low high", "y"),
    ],
    "narrow in between": [
        node("Div", "w three", "a"),
        node("Cast", "a", "b", to=UINT8),
        node("Cast", "b", "c", to=INT32),
        node("Clip", "c low high", "d"),
        node("Cast", "d", "e", to=INT8),
        node("Cast", "e", "y", to=INT32),
    ],
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_of_one_value(name: str) -> None:
    nodes = [node("Cast", "x", "w", to=INT32), *STEPS[name]]
    constants = {"low": 3, "high": 11, "three": 3, "one": 1, "same": np.full((1, 1, 1, 1), 5, np.int32)}
    reading = agrees(model(nodes, constants))
    assert sum(bool(part.steps) for part in reading.parts) == {"narrow in between": 2}.get(name, 1)


def test_the_same_steps_of_a_value_are_one_part() -> None:
    nodes = [
        node("Cast", "x", "w", to=INT32),
        node("Relu", "w", "a"),
        node("Relu", "w", "b"),
        node("Clip", "w zero", "c"),
        node("Sub", "a b", "d"),
        node("Add", "d c", "y"),
    ]
    reading = agrees(model(nodes, {"zero": 0}))
    assert sum(bool(part.steps) for part in reading.parts) == 1


# -- types and ranges


@pytest.mark.parametrize(("kind", "low", "high"), [(UINT8, 0, 255), (INT8, -128, 127)])
def test_inputs_are_all_of_their_type_where_nothing_is_said(kind: int, low: int, high: int) -> None:
    nodes = [node("Cast", "x", "y", to=INT32)]
    for metadata in ({}, {"netproof.input_ranges": "1 2", "author": "0 1"}):
        source = read(model(nodes, kind=kind, metadata=metadata)).parts[0]
        assert set(source.low) == {low} and set(source.high) == {high} and source.size == 40


@pytest.mark.parametrize(
    ("kind", "inputs", "added", "fits"),
    [
        (UINT8, "0 254", 1, True),
        (UINT8, "0 255", 1, False),
        (UINT8, "1 9", -1, True),
        (UINT8, "0 9", -1, False),
        (INT8, "-128 126", 1, True),
        (INT8, "-128 127", 1, False),
        (INT8, "-127 0", -1, True),
        (INT8, "-128 0", -1, False),
    ],
)
def test_values_stay_in_their_narrow_type(kind: int, inputs: str, added: int, fits: bool) -> None:
    number = np.array(abs(added), np.uint8 if kind == UINT8 else np.int8)
    nodes = [node("Add" if added > 0 else "Sub", "x n", "y")]
    made = model(nodes, {"n": number}, kind=kind, metadata={"netproof.input_range": inputs}, result=kind)
    if fits:
        assert read(made)
    else:
        refused(made, "a value that leaves its type, at node 'the_y'")


@pytest.mark.parametrize(
    ("factor", "added", "fits"),
    [(2**31 - 2, 1, True), (2**31 - 1, 1, False), (1, -(2**31), True), (1, -(2**31) + 1 - 2, False)],
)
def test_values_stay_in_32_bits(factor: int, added: int, fits: bool) -> None:
    metadata = {"netproof.input_range": "0 1"}
    nodes = [node("Cast", "x", "w", to=INT32), node("Mul", "w factor", "a"), node("Add", "a n", "b"), node("Add", "b m", "y")]  # fmt: skip
    numbers = {"factor": factor, "n": max(added, -(2**31)), "m": min(0, added + 2**31)}
    made = model(nodes, numbers, metadata=metadata)
    if fits:
        assert read(made)
    else:
        refused(made, "a value that leaves its type")


def test_types_are_checked_by_the_name_of_what_is_made() -> None:
    nameless = node("Cast", "x", "y", to=INT8)
    nameless.name = ""
    refused(model([nameless], metadata={}, result=INT8), "a value that leaves its type, at node 'y'")


# -- files


def test_what_nothing_depends_on_is_not_read() -> None:
    nodes = [
        node("ConvInteger", "x k", "a"),
        node("Abs", "a", "b"),
        node("Flatten", "a", "f"),
        node("Cast", "f", "y", to=INT32),
        node("Neg", "nowhere", "z"),
    ]
    assert agrees(model(nodes[:-1], {"k": kernel(3, 2, 2, 2)}))
    assert read(model(nodes, {"k": kernel(3, 2, 2, 2)})).parts[1].size == 36


def test_a_value_used_twice_is_read_once() -> None:
    nodes = [
        node("ConvInteger", "x k", "a"),
        node("Relu", "a", "b"),
        node("Add", "b a", "c"),
        node("Sub", "c a", "d"),
        node("Add", "d c", "y"),
    ]
    assert len(agrees(model(nodes, {"k": kernel(3, 2, 2, 2)})).parts) == 6


def test_nodes_are_read_in_the_order_of_what_they_need() -> None:
    nodes = [node("Add", "a b", "y"), node("Relu", "a", "b"), node("ConvInteger", "x k", "a")]
    constants = {"k": kernel(1, 2, 2, 2)}
    x = RANDOM.integers(0, 21, (5, 40))
    turned, right = (read(model(order, constants)) for order in (nodes, nodes[::-1]))
    assert values(turned, x)[turned.output].tolist() == values(right, x)[right.output].tolist()


def test_a_network_that_gives_back_its_input() -> None:
    made = model([])
    made.graph.output[0].name = "x"
    reading = read(made)
    assert (reading.output, len(reading.parts)) == (0, 1)


def test_constants_may_be_nodes_and_inputs() -> None:
    constant = node("Constant", "", "five", value=numpy_helper.from_array(np.array(5, np.int32)))
    made = model([constant, node("ConvInteger", "x k", "a"), node("Add", "five a", "y")], {"k": kernel(1, 2, 2, 2)})
    made.graph.input.insert(0, helper.make_tensor_value_info("k", INT8, [1, 2, 2, 2]))
    made.opset_import[0].domain = "ai.onnx"
    made.graph.node[1].domain = "ai.onnx"
    x = RANDOM.integers(0, 21, (5, 40))
    found = read(made)
    plain = read(model([node("ConvInteger", "x k", "y")], {"k": numpy_helper.to_array(made.graph.initializer[0])}))
    assert (values(found, x)[found.output] == values(plain, x)[plain.output] + 5).all()


WIDE = node("Cast", "x", "w", to=INT32)
FLAT = node("Flatten", "x", "f")
CONVOLVED = node("ConvInteger", "x k", "a")
REFUSED = {
    "an unknown operator": ([node("Abs", "x", "y")], "the operator Abs"),
    "another type": ([node("Cast", "x", "y", to=TensorProto.INT64)], "a cast to type 7"),
    "a factor of 0": ([WIDE, node("Mul", "w zero", "y")], "a factor or divisor of 0"),
    "a factor below 0": ([WIDE, node("Mul", "minus w", "y")], "a factor or divisor of -1"),
    "a divisor of 0": ([WIDE, node("Div", "w zero", "y")], "a factor or divisor of 0"),
    "a divisor that is left out": ([WIDE, node("Div", "w -", "y")], "a factor or divisor of None"),
    "several factors": ([CONVOLVED, node("Mul", "a each", "y")], ""),
    "a product of values": ([WIDE, node("Mul", "w w", "y")], ""),
    "a constant less a value": ([WIDE, node("Sub", "zero w", "y")], "a constant less a value"),
    "a sum of two types": ([WIDE, node("Add", "w x", "y")], "a sum of two shapes or types"),
    "a sum of two shapes": ([FLAT, node("Add", "x f", "y")], "a sum of two shapes or types"),
    "a sum of more axes": ([WIDE, node("Add", "w deep", "y")], ""),
    "numbers that are not whole": ([WIDE, node("Add", "w half", "y")], "constants of float32"),
    "ends as attributes": ([WIDE, node("Clip", "w", "y", min=0.0)], "a Clip with attributes"),
    "the input's zero point": ([node("ConvInteger", "x k one", "y")], "zero points other than 0"),
    "the weight's zero point": ([node("ConvInteger", "x k - one8", "y")], "zero points other than 0"),
    "a channel's zero point": ([node("ConvInteger", "x k - last", "y")], "zero points other than 0"),
    "a product's zero point": ([FLAT, node("MatMulInteger", "f m one", "y")], "zero points other than 0"),
    "wide factors": ([WIDE, node("Flatten", "w", "f"), node("MatMulInteger", "f m", "y")], "a product of"),
    "wide images": ([WIDE, node("ConvInteger", "w k", "y")], "a convolution of"),
    "a product of an image": ([node("MatMulInteger", "x column", "y")], "a product of (1, 2, 5, 4)"),
    "a product of several rows": ([node("Reshape", "x rows", "r"), node("MatMulInteger", "r column", "y")], "a product of (10, 4)"),
    "a product by a row": ([FLAT, node("MatMulInteger", "f flat", "y")], "a product of (1, 40) and (40,)"),
    "a product by matrices": ([FLAT, node("MatMulInteger", "f deeper", "y")], "a product of (1, 40) and (1, 40, 1)"),
    "a convolution of a row": ([FLAT, node("ConvInteger", "f k", "y")], "a convolution of (1, 40)"),
    "a convolution along no axis": ([FLAT, node("ConvInteger", "f m", "y")], "a convolution of (1, 40) by (40, 1)"),
    "a kernel of other channels": ([node("ConvInteger", "x k1", "y")], "whose shapes do not fit"),
    "a kernel of another shape": ([node("ConvInteger", "x k", "y", kernel_shape=[1, 1])], "whose shapes do not fit"),
    "a kernel for other groups": ([node("ConvInteger", "x k", "y", group=2)], "whose shapes do not fit"),
    "another padding": ([node("ConvInteger", "x k", "y", auto_pad="SAME")], "the padding SAME"),
    "pads of one axis": ([node("ConvInteger", "x k", "y", pads=[1, 1])], ""),
    "operators of others": ([helper.make_node("Relu", ["x"], ["y"], domain="com.example")], "not of the standard"),
    "a circle": ([WIDE, node("Add", "w z", "y"), node("Relu", "y", "z")], ""),
    "a circle of three": ([WIDE, node("Add", "w z", "y"), node("Relu", "y", "v"), node("Relu", "v", "z")], ""),
    "a name that nobody gives": ([WIDE, node("Add", "w nobody", "y")], "nobody"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    nodes, words = REFUSED[name]
    constants = {
        "zero": 0, "minus": -1, "one": np.uint8(1), "one8": np.int8(1), "half": np.float32(0.5), "deep": np.ones((1,) * 5, np.int32),
        "each": np.full((1, 3, 1, 1), 2, np.int32), "last": np.array([0, 0, 1], np.int8), "rows": np.array([10, 4], np.int64),
        "k": np.ones((3, 2, 2, 2), np.int8), "k1": np.ones((3, 1, 2, 2), np.int8), "m": np.ones((40, 1), np.int8),
        "flat": np.ones(40, np.int8), "deeper": np.ones((1, 40, 1), np.int8), "column": np.ones((4, 1), np.int8),
    }  # fmt: skip
    refused(model(nodes, constants), words)


def test_files_that_are_none() -> None:
    refused(b"\xff" * 9, "no ONNX model")
    nodes = [node("Cast", "x", "y", to=INT32)]
    refused(model(nodes, shape=("batch", 2, "rows", 4)))
    two = model(nodes)
    two.graph.input.append(helper.make_tensor_value_info("z", UINT8, ["batch", *SHAPE]))
    refused(two)
    refused(model(nodes, kind=TensorProto.FLOAT))


def test_numbers_in_other_files_are_not_looked_for() -> None:
    made = model([node("ConvInteger", "x k", "y")], {"k": kernel(3, 2, 2, 2)})
    onnx.external_data_helper.set_external_data(made.graph.initializer[0], "other.bin")
    refused(made, "numbers in other files")


def test_a_batch_of_several_is_a_part_of_the_shape() -> None:
    nodes = [node("Cast", "x", "w", to=INT32), node("Add", "w each", "y")]
    reading = read(model(nodes, {"each": np.array([[[1]], [[2]]], np.int32)}, shape=(2, 1, 3)))
    assert values(reading, np.zeros((1, 6)))[reading.output].tolist() == [[1, 1, 1, 2, 2, 2]]
