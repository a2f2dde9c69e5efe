"""Networks of integers in ONNX: every known operator against a runtime, and what is refused, with place and hint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import netproof
from netproof.certificate.checker.check import check
from netproof.certificate.make import certificate_of
from netproof.certificate.second_reading.compare import confirm
from netproof.errors import FormatError, InputError
from netproof.formats.onnx.monotone_steps import Clipped, Plus, Quotient, Step, Times, applied, staircase_of
from netproof.formats.onnx.read import read_onnx
from netproof.graph.graph import Arithmetic
from netproof.operators.activations.staircase import Staircase
from netproof.settings import Settings
from onnx_models import integer_session

SHAPE = (2, 3, 3)
RANDOM = np.random.default_rng(4)
KERNEL = RANDOM.integers(-9, 10, (4, 2, 2, 2)).astype(np.int8)
MATRIX = RANDOM.integers(-9, 10, (18, 5)).astype(np.int8)


def node(operator: str, operands: str, result: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, operands.split(), [result], name=f"the_{result}", **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, Any] | None = None,
    *,
    shape: Sequence[int | str] = ("batch", *SHAPE),
    kind: int = TensorProto.UINT8,
    metadata: str | None = "0 20",
    opset: int = 13,
    result: int = TensorProto.INT32,
) -> onnx.ModelProto:
    known = {"k": KERNEL, "w": MATRIX, "zero": np.int32(0), **(constants or {})}
    tensors = [
        numpy_helper.from_array(np.array(value, value.dtype if hasattr(value, "dtype") else np.int32), name)
        for name, value in known.items()
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", result, None)],
        initializer=tensors,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 8
    if metadata is not None:
        helper.set_model_props(made, {"netproof.input_range": metadata})
    return made


def save(folder: Path, made: onnx.ModelProto) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def agrees(folder: Path, made: onnx.ModelProto, largest: int = 20) -> netproof.Network:
    """Read it, and compare with the runtime on random inputs and on the extreme ones."""
    path = save(folder, made)
    network = netproof.load(path)
    assert confirm(network)
    images = np.concatenate(
        [
            RANDOM.integers(0, largest + 1, (200, *SHAPE)),
            np.zeros((1, *SHAPE)),
            np.full((1, *SHAPE), largest),
            largest * RANDOM.integers(0, 2, (50, *SHAPE)),
        ]
    ).astype(np.uint8)
    runtime = integer_session(path.read_bytes())
    expected = runtime.run(None, {"x": images})[0].reshape(len(images), -1).astype(np.int64)
    found = network.graph.evaluate(torch.from_numpy(images.reshape(len(images), -1)).double())
    assert (found.numpy() == expected).all()
    return network


def test_network_of_integers(tmp_path: Path) -> None:
    network = agrees(tmp_path, model([node("ConvInteger", "x k", "y")]))
    assert network.graph.arithmetic is Arithmetic.INTEGER
    assert (network.input_shape, network.inputs, network.outputs) == ((1, *SHAPE), 18, 16)
    assert (network.lower == 0).all() and (network.upper == 20).all()
    assert network.scheme == {}
    unstated = read_onnx(save(tmp_path, model([node("ConvInteger", "x k", "y")], metadata=None)))
    assert (unstated.upper == 255).all()


BIAS = {"b": RANDOM.integers(-50, 50, (1, 4, 1, 1)).astype(np.int32)}
STEPS = [node("Add", "a half", "s"), node("Clip", "s zero top", "c"), node("Div", "c d", "q")]
NUMBERS = {"half": np.int32(4), "top": np.int32(127), "d": np.int32(8), "low": np.int32(-7)}
GOOD = {
    "convolution, strided and padded": [
        node("ConvInteger", "x k", "a", strides=[2, 2], pads=[1, 0, 1, 1], kernel_shape=[2, 2]),
        node("Add", "b a", "y"),
    ],
    "zero points of 0": [node("ConvInteger", "x k z z8", "y")],
    "product": [node("Flatten", "x", "f"), node("MatMulInteger", "f w", "a"), node("Sub", "a half", "y")],
    "requantization": [node("ConvInteger", "x k", "a"), *STEPS, node("Cast", "q", "y", to=TensorProto.INT32)],
    "levels from below 0": [node("ConvInteger", "x k", "a"), *STEPS, node("Add", "q low", "y")],
    "two layers": [
        node("ConvInteger", "x k", "a", pads=[0, 0, 1, 1]),
        *STEPS,
        node("Cast", "q", "n", to=TensorProto.UINT8),
        node("Reshape", "n shape", "r"),
        node("MatMulInteger", "r w2", "y"),
    ],
    "a value used twice": [
        node("ConvInteger", "x k", "a"),
        *STEPS,
        node("Cast", "q", "n", to=TensorProto.UINT8),
        node("Cast", "n", "wide", to=TensorProto.INT32),
        node("Mul", "wide d", "m"),
        node("Add", "m a", "t"),
        node("Sub", "t q", "u"),
        node("Identity", "u", "y"),
    ],
    "relu, and a bias after it": [
        node("ConvInteger", "x k", "a"),
        node("Relu", "a", "r"),
        node("Clip", "r  top", "c"),
        node("Add", "c b", "y"),
    ],
    "a bias per entry": [node("ConvInteger", "x k", "a"), node("Add", "a each", "y")],
    "constants as nodes": [
        node("Constant", "", "five", value=numpy_helper.from_array(np.array(5, np.int32))),
        node("ConvInteger", "x k", "a"),
        node("Mul", "five a", "y"),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_operators_are_those_of_the_runtime(tmp_path: Path, name: str) -> None:
    more = {
        "shape": np.array([-1, 36 if name == "two layers" else 1], np.int64),
        "w2": RANDOM.integers(-9, 9, (36, 3)).astype(np.int8),
        "each": RANDOM.integers(-99, 99, (1, 4, 2, 2)).astype(np.int32),
        "z": np.uint8(0),
        "z8": np.int8(0),
    }
    nodes = GOOD[name]
    for entry in nodes:  # "Clip" with its lower end left out
        entry.input[:] = ["" if part == "none" else part for part in entry.input]
    if name.startswith("relu"):
        nodes[2].input[:] = ["r", "", "top"]
    if name == "two layers":
        more["shape"] = np.array([0, 36], np.int64)
    agrees(tmp_path, model(nodes, {**BIAS, **NUMBERS, **more}, opset=14))


PRODUCT = [node("Flatten", "x", "f"), node("MatMulInteger", "f w z zs", "y")]
CONVOLUTION = [node("ConvInteger", "x k z zs", "y")]


@pytest.mark.parametrize("nodes", [PRODUCT, CONVOLUTION])
@pytest.mark.parametrize("shapes", [((), ()), ((1,), (1,)), ((), None)])
def test_shapes_of_zero_points(tmp_path: Path, nodes: list[onnx.NodeProto], shapes: tuple[Any, Any]) -> None:
    each = (5,) if nodes is PRODUCT else (4,)
    zeros = {"z": np.zeros(shapes[0], np.uint8), "zs": np.zeros(each if shapes[1] is None else shapes[1], np.int8)}
    if nodes is CONVOLUTION and shapes[1] is None:
        # One zero point per channel is ONNX; this runtime has it for matrices alone.
        network = read_onnx(save(tmp_path, model(nodes, zeros)))
        x = torch.from_numpy(RANDOM.integers(0, 21, (9, 18)).astype(float))
        plain = read_onnx(save(tmp_path, model([node("ConvInteger", "x k", "y")])))
        assert torch.equal(network.graph.evaluate(x), plain.graph.evaluate(x))
        return
    agrees(tmp_path, model(nodes, zeros))


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("shape", [(2, -1), (1, -1), (8, -1), (-1,)])
def test_a_bias_after_a_reshape(tmp_path: Path, batch: int, shape: tuple[int, ...]) -> None:
    """What is added by columns of the new shape belongs to other channels than those of the convolution."""
    columns = np.zeros(batch * 16, np.int32).reshape(shape).shape[-1:]
    bias = np.sort(RANDOM.integers(0, 4, columns).astype(np.int32)) * 10
    nodes = [
        node("ConvInteger", "x k", "a"),
        node("Reshape", "a shape", "r"),
        node("Add", "r columns", "s"),
        node("Reshape", "s back", "y"),
    ]
    constants = {"shape": np.array(shape, np.int64), "columns": bias, "back": np.array([batch, 16], np.int64)}
    path = save(tmp_path, model(nodes, constants, shape=(batch, *SHAPE)))
    images = RANDOM.integers(0, 21, (batch, *SHAPE)).astype(np.uint8)
    runtime = integer_session(path.read_bytes())
    found = netproof.load(path).graph.evaluate(torch.from_numpy(images.reshape(1, -1)).double())
    assert (found.numpy() == runtime.run(None, {"x": images})[0].reshape(1, -1)).all()


def test_a_value_used_twice_is_one_node(tmp_path: Path) -> None:
    network = agrees(tmp_path, model(GOOD["a value used twice"], NUMBERS))
    assert sum(isinstance(n.operator, Staircase) for n in network.graph.nodes) <= 2


CHAINS: list[list[Step]] = [
    [Plus(4), Clipped(0, 127), Quotient(8)],
    [Clipped(-3, 9), Times(3), Plus(-5)],
    [Plus(7), Clipped(0, 50), Quotient(7), Times(2), Clipped(3, 11)],
    [Clipped(0, 0)],
    [Times(5), Plus(1), Clipped(-20, 31)],
]


@pytest.mark.parametrize("steps", CHAINS)
def test_chains_are_staircases(steps: list[Step]) -> None:
    a = range(-90, 90)
    found = staircase_of(steps).evaluate(torch.tensor([float(v) for v in a]).double())
    assert found.tolist() == [applied(steps, v) for v in a]


BAD = {
    "an unknown operator": (
        [node("Abs", "x", "y")],
        "'the_y' (Abs of 1x2x3x3) is an operator that is not known on integers",
    ),
    "32-bit products": (
        [node("ConvInteger", "x k", "a"), node("ConvInteger", "a k1", "y")],
        "'the_y' (ConvInteger) takes 'a', which is int32; at opset 14 ONNX allows uint8, int8 there",
    ),
    "a zero point": ([node("ConvInteger", "x k one", "y")], "zero point (operand 2) that is not 0"),
    "a zero point of values per channel": ([node("ConvInteger", "x k z2", "y")], "zero point (operand 2) of shape 2"),
    "a zero point that is a matrix": ([node("ConvInteger", "x k z z11", "y")], "zero point (operand 3) of shape 1x1"),
    "a zero point of other channels": ([node("ConvInteger", "x k z z83", "y")], "zero point (operand 3) of shape 3"),
    "a zero point of a product's rows": (
        [node("Flatten", "x", "f"), node("MatMulInteger", "f w z2", "y")],
        "zero point (operand 2) of shape 2",
    ),
    "a zero point of other columns": (
        [node("Flatten", "x", "f"), node("MatMulInteger", "f w z z83", "y")],
        "zero point (operand 3) of shape 3",
    ),
    "division of negative numbers": (
        [node("ConvInteger", "x k", "a"), node("Div", "a d", "y")],
        "a division of numbers down to -",
    ),
    "division by 0": (
        [node("ConvInteger", "x k", "a"), node("Relu", "a", "r"), node("Div", "r zero", "y")],
        "divisor of 0",
    ),
    "a value beyond its type": (
        [
            node("ConvInteger", "x k", "a"),
            node("Clip", "a zero top2", "c"),
            node("Cast", "c", "y", to=TensorProto.UINT8),
        ],
        "can be 0 to 300, beyond its type, 0 to 255",
    ),
    "an accumulator beyond its type": (
        [node("ConvInteger", "x k", "a"), node("Mul", "a huge", "y")],
        "beyond its type, -2147483648 to 2147483647",
    ),
    "a negative factor": ([node("ConvInteger", "x k", "a"), node("Mul", "a low", "y")], "a factor of -7"),
    "two variables multiplied": ([node("ConvInteger", "x k", "a"), node("Mul", "a a", "y")], "depends on the input"),
    "a cast to floats": (
        [node("Cast", "x", "y", to=TensorProto.FLOAT)],
        "a cast to ONNX type 1, of floats, in a network that its input",
    ),
    "float weights": (
        [node("ConvInteger", "x kf", "y")],
        "'the_y' (ConvInteger) takes 'kf', which is float32; at opset 14 ONNX allows uint8, int8 there",
    ),
    "32-bit weights": (
        [node("ConvInteger", "x k32", "y")],
        "'the_y' (ConvInteger) takes 'k32', which is int32; at opset 14 ONNX allows uint8, int8 there",
    ),
    "32-bit weights of a product": (
        [node("Flatten", "x", "f"), node("MatMulInteger", "f w32", "y")],
        "'the_y' (MatMulInteger) takes 'w32', which is int32",
    ),
    "weights of the other sign's zero point": (
        [node("ConvInteger", "x k z z", "y")],
        "'the_y' (ConvInteger) mixes operands of int8 and uint8, which ONNX does not allow",
    ),
    "a constant of another type": (
        [node("ConvInteger", "x k", "a"), node("Add", "a one", "y")],
        "'the_y' (Add) mixes operands of int32 and uint8, which ONNX does not allow",
    ),
    "a wide constant in a narrow sum": (
        [node("Add", "x half", "y")],
        "'the_y' (Add) mixes operands of uint8 and int32, which ONNX does not allow",
    ),
    "shapes that do not fit": (
        [node("Flatten", "x", "f"), node("MatMulInteger", "f w2", "y")],
        "one row times a matrix",
    ),
    "too many values": (
        [
            node("ConvInteger", "x k", "a"),
            node("Mul", "a big", "m"),
            node("Clip", "m zero huge", "c"),
            node("Add", "c a", "y"),
        ],
        "more than can be handled",
    ),
    "too many values of the output": (
        [node("ConvInteger", "x k", "a"), node("Mul", "a big", "m"), node("Relu", "m", "y")],
        "its output 'y': its operand takes",
    ),
    "a kernel of other channels": ([node("ConvInteger", "x k1", "y")], "cannot be understood"),
    "ends in the wrong order": (
        [node("ConvInteger", "x k", "a"), node("Clip", "a top zero", "y")],
        "clips to 127 .. 0",
    ),
    "ends as attributes": (
        [node("ConvInteger", "x k", "a"), node("Clip", "a", "y", min=0.0, max=9.0)],
        "the attribute 'max', which it does not have at opset 14",
    ),
    "a constant output": ([node("Identity", "top", "y")], "operand 0 is a constant"),
    "another type added": (
        [node("ConvInteger", "x k", "a"), node("Add", "a x", "y")],
        "'the_y' (Add) mixes operands of int32 and uint8, which ONNX does not allow",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    nodes, part = BAD[name]
    more = {
        "k1": RANDOM.integers(0, 9, (1, 4, 1, 1)).astype(np.int8),
        "kf": KERNEL.astype(np.float32),
        "one": np.uint8(1),
        "z": np.uint8(0),
        "z2": np.zeros(2, np.uint8),
        "z11": np.zeros((1, 1), np.int8),
        "z83": np.zeros(3, np.int8),
        "k32": KERNEL.astype(np.int32),
        "w32": MATRIX.astype(np.int32),
        "top2": np.int32(300),
        "huge": np.int32(2**31 - 1),
        "big": np.int32(2**16),
        "w2": np.zeros((5, 5), np.int8),
    }
    path = save(tmp_path, model(nodes, {**NUMBERS, **more}, opset=14))
    with pytest.raises(FormatError) as caught:
        read_onnx(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and part in message, message


def test_operators_are_taken_as_their_opset_has_them(tmp_path: Path) -> None:
    """Relu takes integers from opset 14 on, and no runtime knows it on them before."""
    nodes = [node("ConvInteger", "x k", "a"), node("Relu", "a", "y")]
    agrees(tmp_path, model(nodes, opset=14))
    path = save(tmp_path, model(nodes, opset=13))
    with pytest.raises(
        FormatError, match=r"'the_y' \(Relu\) takes 'a', which is int32; at opset 13 ONNX allows float32"
    ):
        read_onnx(path)
    with pytest.raises(Exception, match=r"Type 'tensor\(int32\)'"):
        onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    "stated", ["0", "0 256", "20 0", "-1 20", "0 20 ", "0.5 3", "0  5", "a b", "", "0 " + "9" * 400]
)
def test_an_input_range_that_is_none(tmp_path: Path, stated: str) -> None:
    path = save(tmp_path, model([node("ConvInteger", "x k", "y")], metadata=stated))
    with pytest.raises(FormatError, match="its metadata say that inputs are"):
        read_onnx(path)


def test_an_input_range_that_is_no_text(tmp_path: Path) -> None:
    path = save(tmp_path, model([node("ConvInteger", "x k", "y")], metadata="0 20"))
    path.write_bytes(path.read_bytes().replace(b"0 20", b"0 \xff0"))
    with pytest.raises(FormatError, match="its metadata say that inputs are"):
        read_onnx(path)


def test_a_network_that_does_nothing_is_verified_and_checked(tmp_path: Path) -> None:
    made = model([node("Flatten", "x", "y")], shape=(1, 3, 1, 1), result=TensorProto.UINT8)
    network = netproof.load(save(tmp_path, made))
    for radius, verdict in ((1, "robust"), (2, "vulnerable")):
        query = netproof.robustness(network, [7, 4, 4], 0, radius)
        result = netproof.verify(query, Settings(proofs=True))
        assert result.verdict.for_robustness == verdict
        certificate = certificate_of(query, result)
        assert certificate is not None
        check(certificate, network)


def test_signed_inputs(tmp_path: Path) -> None:
    nodes = [node("Cast", "x", "a", to=TensorProto.INT32), node("Mul", "a d", "y")]
    network = read_onnx(save(tmp_path, model(nodes, NUMBERS, kind=TensorProto.INT8, metadata="-5 5")))
    assert (network.lower == -5).all() and (network.upper == 5).all()
    assert network.graph.evaluate(torch.full((18,), -5.0).double()).tolist() == [-40.0] * 18


def test_bit_widths_are_the_files_own(tmp_path: Path) -> None:
    path = save(tmp_path, model([node("ConvInteger", "x k", "y")]))
    with pytest.raises(InputError, match="taken as they are"):
        netproof.load(path, bits=4)


@pytest.mark.parametrize("where", ["initializer", "constant"])
def test_numbers_in_other_files_are_refused(tmp_path: Path, where: str) -> None:
    """The hash of the file would not name them."""
    made = model(GOOD["constants as nodes"])
    tensor = made.graph.initializer[0] if where == "initializer" else made.graph.node[0].attribute[0].t
    (tmp_path / "beside").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "beside"
    with pytest.raises(FormatError, match="keeps numbers in other files"):
        read_onnx(save(tmp_path, made))


def test_truncated_and_flipped_files(tmp_path: Path) -> None:
    """Whatever is in the bytes, the answer is a network or one line."""
    data = model(GOOD["a value used twice"], NUMBERS).SerializeToString()
    path = tmp_path / "net.onnx"
    refused = 0
    for trial in range(300):
        damaged = bytearray(data)
        if trial % 3 == 0:
            del damaged[RANDOM.integers(1, len(damaged)) :]
        for _ in range(RANDOM.integers(1, 4)):
            damaged[RANDOM.integers(len(damaged))] = RANDOM.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            netproof.load(path)
        except FormatError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 100


def test_names_that_look_alike_are_different_values(tmp_path: Path) -> None:
    """Values are told apart by their whole names, of which messages show the beginning."""
    long = "v" * 100
    nodes = [
        node("ConvInteger", "x k", long + "1"),
        node("Add", f"{long}1 b", long + "2"),
        node("Add", f"{long}1 b2", long + "3"),
        node("Sub", f"{long}2 {long}3", "y"),
    ]
    agrees(tmp_path, model(nodes, {**BIAS, "b2": BIAS["b"] * 3 + 1}))
