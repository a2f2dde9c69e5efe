"""Networks in ONNX: what is read beside the operators (tests/differential has those), and what is refused, with place and hint."""

from __future__ import annotations

import gzip
import hashlib
import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import netproof
from netproof.errors import FormatError, InputError
from netproof.formats import ledger
from netproof.formats.onnx.nodes.table import OPERATORS
from netproof.formats.onnx.read import read_onnx
from netproof.graph.equality import same_graph
from netproof.graph.graph import Arithmetic
from netproof.network import Kept
from onnx_models import assert_agrees, model, node, random_inputs, run_onnxruntime, save


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def perceptron(shape=(1, 3), **options) -> onnx.ModelProto:
    nodes = [node("Gemm", ["x", "w", "b"], ["h"]), node("Relu", ["h"])]
    return model(nodes, shape, {"w": floats(3, 4), "b": floats(4)}, **options)


def refused(path: Path, *parts: str) -> None:
    """Refused in one line that names the file and has all parts."""
    with pytest.raises(FormatError) as caught:
        read_onnx(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message, message
    assert len(message) < 1000
    for part in parts:
        assert part in message, message


def test_network_of_real_numbers(tmp_path):
    path = save(tmp_path / "net.onnx", perceptron())
    network = netproof.load(path)
    assert network.graph.arithmetic is Arithmetic.REAL
    assert (network.input_shape, network.inputs, network.outputs) == ((1, 3), 3, 4)
    assert network.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert bool(torch.isinf(network.lower).all() & (network.lower < 0).all() & (network.upper > 0).all())
    assert [n.operator.name for n in network.graph.nodes] == ["input", "linear", "relu"]
    weight = dict(network.graph.nodes[1].operator.parameters())["weight"]
    assert weight.dtype == torch.float64
    assert torch.equal(
        weight, torch.from_numpy(floats(3, 4).astype(np.float32)).double().T
    )  # exactly, not rounded again
    assert (network.notes, network.kept, network.scheme) == ((), Kept.VALUES, {})


def test_gzip_is_the_same_network(tmp_path):
    path = save(tmp_path / "net.onnx", perceptron())
    packed = tmp_path / "other.onnx.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert netproof.load(packed).sha256 == netproof.load(path).sha256


@pytest.mark.parametrize("batch", [1, "batch", None, -1])
def test_open_batch_is_one_sample(batch, tmp_path):
    path = save(tmp_path / "net.onnx", perceptron((batch, 3)))
    assert read_onnx(path).input_shape == (1, 3)


def test_weights_may_be_listed_as_inputs(tmp_path):
    made = perceptron()
    made.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 4]))
    assert read_onnx(save(tmp_path / "net.onnx", made)).inputs == 3


def test_nodes_in_any_order_and_dead_ones(tmp_path):
    made = perceptron()
    made.graph.node.insert(0, node("NobodyKnows", ["h"], ["unused"], domain="com.example"))
    made.graph.node.append(node("Relu", ["unused"], ["unused too"]))
    made.graph.node.reverse()
    assert read_onnx(save(tmp_path / "net.onnx", made)).outputs == 4


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16])
@pytest.mark.parametrize("raw", [True, False])
def test_weights_of_every_float_type_are_held_exactly(kind, raw, tmp_path):
    made = perceptron()
    values = floats(3, 4).astype(helper.tensor_dtype_to_np_dtype(kind))
    data = values.tobytes() if raw else values.reshape(-1).tolist()
    made.graph.initializer[0].CopyFrom(helper.make_tensor("w", kind, [3, 4], data, raw=raw))
    # ONNX has no operator that takes two types at once.
    if kind == TensorProto.FLOAT16:
        reader = next(one for one in made.graph.node if "w" in one.input)
        reader.input[1] = "cast"
        made.graph.node.insert(0, node("Cast", ["w"], ["cast"], to=TensorProto.FLOAT))
    if kind == TensorProto.DOUBLE:
        made.graph.input[0].type.tensor_type.elem_type = kind
        made.graph.output[0].type.tensor_type.elem_type = kind
        for other in made.graph.initializer[1:]:
            if other.data_type == TensorProto.FLOAT:
                other.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(other).astype(np.float64), other.name))
    network = read_onnx(save(tmp_path / "net.onnx", made))
    weight = dict(network.graph.nodes[1].operator.parameters())["weight"]
    assert np.array_equal(weight.numpy().T, values.astype(np.float64))


def test_final_softmax_is_left_out_and_said(tmp_path):
    for operator, opset, shape in (("Softmax", 13, (1, 3)), ("LogSoftmax", 13, (1, 3)), ("Softmax", 9, (1, 3))):
        nodes = [node("Gemm", ["x", "w", "b"], ["g"]), node(operator, ["g"], axis=1)]
        network = read_onnx(
            save(tmp_path / "net.onnx", model(nodes, shape, {"w": floats(3, 4), "b": floats(4)}, opset=opset))
        )
        assert network.kept is Kept.ORDER and operator in network.notes[0]
        assert [n.operator.name for n in network.graph.nodes] == ["input", "linear"]
    within = [node("Softmax", ["x"], ["s"]), node("Gemm", ["s", "w"])]
    assert read_onnx(save(tmp_path / "in.onnx", model(within, (1, 3), {"w": floats(3, 4)}))).kept is Kept.VALUES
    rows = [node("Softmax", ["x"])]
    assert read_onnx(save(tmp_path / "rows.onnx", model(rows, (2, 3)))).kept is Kept.VALUES


def test_external_data_beside_the_network(tmp_path):
    path = tmp_path / "net.onnx"
    made = perceptron()
    plain = read_onnx(save(path, made))
    weight = made.graph.initializer[0]
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "net.bin").write_bytes(b"skipped!" + weight.raw_data)
    size = len(weight.raw_data)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights/net.bin"), ("offset", "8"), ("length", str(size))):
        weight.external_data.add(key=key, value=value)
    network = read_onnx(save(path, made))
    x = torch.ones(3, dtype=torch.float64)
    assert torch.equal(network.graph.evaluate(x), plain.graph.evaluate(x))
    digest = hashlib.sha256(b"netproof: an ONNX network and the files beside it\n")
    for part in (path.read_bytes(), b"weights/net.bin", (tmp_path / "weights" / "net.bin").read_bytes()):
        digest.update(len(part).to_bytes(8, "little") + part)
    assert network.sha256 == digest.hexdigest()
    # A runtime that is given the bytes alone evaluates the same network.
    (theirs,) = run_onnxruntime(network.content, [np.ones((1, 3), np.float32)])
    assert np.allclose(theirs, network.graph.evaluate(x).numpy(), rtol=1e-5)
    (tmp_path / "weights" / "net.bin").write_bytes(b"short")
    refused(path, "tensor 'w'", "beyond the end of 'weights/net.bin'")
    (tmp_path / "weights" / "net.bin").unlink()
    refused(path, "tensor 'w'", "'weights/net.bin', which is not there")
    for place in ("../net.bin", "/etc/passwd", ""):
        weight.external_data[0].value = place
        refused(save(path, made), "outside the network's folder")


@pytest.mark.parametrize(
    ("nodes", "shape", "parts"),
    [
        (
            [node("Frobnicate", ["x"])],
            (1, 3),
            ["node 'frobnicate_y' (Frobnicate of 1x3) is an unknown operator", "operators are known (docs/formats.md)"],
        ),
        ([node("Relu", ["x"], domain="com.microsoft")], (1, 3), ["unknown operator of domain 'com.microsoft'"]),
        ([node("HardSigmoide", ["x"])], (1, 3), ["(HardSigmoide of 1x3) is an unknown operator", "known are HardSigmoid, "]),
        ([node("LSTM", ["x", "k", "k"])], (1, 3), ["(LSTM of 1x3, ", "unroll it before export"]),
        ([node("Div", ["x", "x"])], (1, 3), ["a value is divided by itself"]),
        ([node("Div", ["x", "zero"])], (1, 3), ["division by 0"]),
        ([node("Add", ["x", "nan"])], (1, 3), ["NaN or infinity"]),
        ([node("Mul", ["x", "infinite"])], (1, 3), ["NaN or infinity"]),
        ([node("Gemm", ["x", "nan"])], (1, 3), ["NaN or infinity"]),
        ([node("Pow", ["x", "infinite"])], (1, 3), ["an exponent that is no number"]),
        ([node("Einsum", ["x"], equation="ii->i")], (3, 3), ["the equation 'ii->i'"]),
        ([node("Max", ["x", "nan"])], (1, 3), ["a limit that is not a number"]),
        ([node("DepthToSpace", ["x"], blocksize=3)], (1, 4, 2, 2), ["blocks of 3 of 4 channels"]),
        ([node("Sqrt", ["minus"], ["r"]), node("Add", ["x", "r"])], (1, 1), ["root of a negative number"]),
        ([node("Conv", ["x", "x"])], (1, 3), ["operand 1 depends on the input"]),
        ([node("Conv", ["x", "w"])], (1, 3), ["a kernel (3, 4) over (1, 3)"]),
        ([node("Conv", ["x", "k"], pads=[0, -1, 0, 0])], (1, 2, 4, 4), ["paddings [0, -1, 0, 0]"]),
        ([node("Conv", ["x", "k"], strides=[0, 1])], (1, 2, 4, 4), ["'strides' is [0, 1]"]),
        ([node("Conv", ["x", "k"], group=3)], (1, 2, 4, 4), ["cannot be understood", "3 groups"]),
        ([node("Conv", ["x", "k"], auto_pad="HALF")], (1, 2, 4, 4), ["auto_pad 'HALF'"]),
        ([node("Conv", ["x", "k"], auto_pad="SAME_LOWER", dilations=[1, 2])], (1, 2, 6, 6), ["with dilations"]),
        ([node("Conv", ["x", "k", "one"])], (1, 2, 4, 4), ["a bias (1,) for a kernel (2, 2, 3, 3)"]),
        ([node("ConvTranspose", ["x", "x"])], (1, 3), ["operand 1 depends on the input"]),
        ([node("ConvTranspose", ["x", "w"])], (1, 3), ["a kernel (3, 4) over (1, 3)"]),
        ([node("ConvTranspose", ["x", "k"])], (1, 3, 4, 4), ["a kernel (2, 2, 3, 3) in 1 groups for 3 channels"]),
        ([node("ConvTranspose", ["x", "k"], group=3)], (1, 2, 4, 4), ["in 3 groups for 2 channels"]),
        ([node("ConvTranspose", ["x", "k"], group=0)], (1, 2, 4, 4), ["in 0 groups for 2 channels"]),
        ([node("ConvTranspose", ["x", "k", "one"])], (1, 2, 4, 4), ["a bias (1,) for a kernel (2, 2, 3, 3)"]),
        ([node("ConvTranspose", ["x", "k"], kernel_shape=[2, 2])], (1, 2, 4, 4), ["its kernel_shape [2, 2]"]),
        ([node("ConvTranspose", ["x", "k"], pads=[0, -1, 0, 0])], (1, 2, 4, 4), ["paddings [0, -1, 0, 0]"]),
        ([node("ConvTranspose", ["x", "k"], pads=[3, 0, 3, 0])], (1, 2, 4, 4), ["cut off all of a result (6, 6)"]),
        ([node("ConvTranspose", ["x", "k"], strides=[0, 1])], (1, 2, 4, 4), ["'strides' is [0, 1]"]),
        ([node("ConvTranspose", ["x", "k"], output_padding=[1, 0])], (1, 2, 4, 4), ["output_padding (1, 0)", "not below"]),
        ([node("ConvTranspose", ["x", "k"], output_padding=[-1, 0])], (1, 2, 4, 4), ["'output_padding' is [-1, 0]"]),
        ([node("ConvTranspose", ["x", "k"], auto_pad="HALF")], (1, 2, 4, 4), ["auto_pad 'HALF'"]),
        (
            [node("ConvTranspose", ["x", "k"], auto_pad="VALID", pads=[0, 0, 0, 0])],
            (1, 2, 4, 4),
            ["auto_pad 'VALID' together with pads"],
        ),
        ([node("ConvTranspose", ["x", "k"], output_shape=[4])], (1, 2, 4, 4), ["its output_shape is [4] for 2 axes"]),
        ([node("ConvTranspose", ["x", "k"], output_shape=[4, 0])], (1, 2, 4, 4), ["its output_shape is [4, 0]"]),
        ([node("ConvTranspose", ["x", "k"], output_shape=[4, 7])], (1, 2, 4, 4), ["a result of [4, 7], larger than the [6, 6]"]),
        (
            [node("ConvTranspose", ["x", "k"], auto_pad="SAME_UPPER", strides=[4, 4])],
            (1, 2, 4, 4),
            ["a result of [16, 16], larger than the [15, 15]"],
        ),
        ([node("ConvTranspose", ["x", "k"], strides=[10**9] * 2)], (1, 2, 4, 4), ["more than can be handled"]),
        ([node("Mod", ["two", "null"], ["m"]), node("Gather", ["x", "m"])], (1, 3), ["a division by zero"]),
        ([node("Conv", ["x", "k"], pads=[10**9] * 4)], (1, 2, 4, 4), ["more than can be handled"]),
        ([node("Gemm", ["x", "k"])], (1, 3), ["not matrices"]),
        ([node("MatMul", ["x", "k"])], (1, 4), ["cannot be multiplied"]),
        ([node("Add", ["x", "k"])], (1, 4), ["node 'add_y' (Add of 1x4, 2x2x3x3)", "cannot be understood"]),
        ([node("Reshape", ["x", "huge"])], (1, 3), ["do not have shape"]),
        ([node("Expand", ["x", "huge"])], (1, 1), ["more than can be handled"]),
        ([node("Tile", ["x", "huge"])], (1, 3), ["more than can be handled"]),
        ([node("Pad", ["x", "pads"])], (1, 3), ["more than can be handled"]),
        ([node("ConstantOfShape", ["huge"], ["c"]), node("Add", ["x", "c"])], (1, 3), ["more than can be handled"]),
        ([node("Reshape", ["x", "two"])], (1, 3), ["1x3 values do not have shape 2"]),
        ([node("Gather", ["x", "two"], axis=1)], (1, 2), ["indices beyond the 2 entries of axis 1"]),
        ([node("Transpose", ["x"], perm=[0, 0])], (1, 3), ["[0, 0] is no order of 2 axes"]),
        ([node("Squeeze", ["x", "two"])], (1, 3, 4), ["not all of extent 1"]),
        ([node("Unsqueeze", ["x", "nine"])], (1, 3), ["axes [9]"]),
        ([node("Slice", ["x", "two", "two", "two", "none"])], (1, 3, 4), ["do not belong together"]),
        ([node("Concat", ["x", "k"], axis=1)], (1, 3), ["cannot be understood"]),
        ([node("Clip", ["x", "one", "zero"])], (1, 3), ["clips to [1, 0]"]),
        ([node("Cast", ["x"], to=10)], (1, 3), ["ONNX type 10, which rounds it"]),
        ([node("Cast", ["x"], to=3)], (1, 3), ["ONNX type 3, which rounds it"]),
        ([node("Div", ["w", "third"], ["c"]), node("Conv", ["x", "c"])], (1, 3), ["only a constant is known there"]),
        ([node("MaxPool", ["x"], kernel_shape=[9, 9])], (1, 2, 4, 4), ["does not fit"]),
        ([node("MaxPool", ["x"], kernel_shape=[2, 2], pads=[2, 2, 2, 2])], (1, 2, 4, 4), ["does not fit"]),
        (
            [node("MaxPool", ["x"], ["a", "places"], kernel_shape=[2, 2]), node("Gather", ["x", "places"])],
            (1, 2, 4, 4),
            ["takes 'places', a second result that is not known", "positions of maxima"],
        ),
        (
            [node("Dropout", ["x"], ["a", "mask"]), node("Where", ["mask", "x", "x"])],
            (1, 3),
            ["takes 'mask', a second result that is not known", "mask of a dropout"],
        ),
        ([node("MaxPool", ["x"], kernel_shape=[2], dilations=[3], pads=[3, 3])], (1, 2, 1), ["holds nothing"]),
        ([node("MaxPool", ["x"], kernel_shape=[2, 2], ceil_mode=2)], (1, 2, 4, 4), ["'ceil_mode' is 2, neither 0 nor 1"]),
        ([node("MaxPool", ["x"], kernel_shape=2)], (1, 2, 4, 4), ["'kernel_shape' is of ONNX type 2, not 7"]),
        ([node("Conv", ["x", "k"], auto_pad="SAME_UPPER", strides=[9, 9])], (1, 2, 6, 6), ["so much larger"]),
        ([node("Pad", ["x", "crop"])], (1, 3), ["cut off more than there is"]),
        ([node("AveragePool", ["x"])], (1, 2, 4, 4), ["no attribute 'kernel_shape'"]),
        ([node("BatchNormalization", ["x", "one", "one", "one", "minus"])], (1, 1), ["a variance is not positive"]),
        ([node("BatchNormalization", ["x", "w", "w", "w", "w"])], (1, 3), ["not for the channels of (1, 3)"]),
        ([node("Dropout", ["x", "third", "true"])], (1, 3), ["dropout in training mode"]),
        ([node("Identity", ["w"])], (1, 3), ["its output does not depend on its input"]),
        ([node("Relu", [""])], (1, 3), ["operand 0 is missing"]),
        ([node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["a"]), node("Add", ["a", "x"])], (1, 3), ["form a cycle through"]),
        ([node("Relu", ["y"])], (1, 3), ["form a cycle through the value 'y'"]),
        ([node("Relu", ["ghost"])], (1, 3), ["nothing gives the value 'ghost' that node 'relu_y' takes"]),
        ([node("Relu", ["x"], ["z"])], (1, 3), ["nothing gives the value 'y' that the network's output takes"]),
        ([node("Relu", ["x"]), node("Neg", ["x"])], (1, 3), ["value 'y' is given twice"]),
        ([node("Relu", ["x"])], (1, "height"), ["axis 1 of its input 'x' is dynamic ('height')", "give its shape (--shape x=1x3x32x32)"]),
        ([node("Relu", ["x"])], (1, None), ["axis 1 of its input 'x' is dynamic"]),
        ([node("Relu", ["x"])], (1, 1 << 40), ["claims shape 1x1099511627776"]),
    ],
)  # fmt: skip
def test_refusals(nodes, shape, parts, tmp_path):
    constants = {
        "w": floats(3, 4), "k": floats(2, 2, 3, 3), "zero": np.zeros(()), "one": np.ones(1), "minus": -np.ones(1),
        "nan": np.full((3, 3), np.nan), "infinite": np.array([1.0, np.inf, 2.0]), "third": np.array(1 / 3),
        "two": np.array([2], np.int64), "null": np.array([0], np.int64), "nine": np.array([9], np.int64), "none": np.zeros(0, np.int64),
        "huge": np.array([1 << 20, 1 << 20], np.int64), "pads": np.array([0, 0, 0, 1 << 40], np.int64),
        "true": np.array(True), "crop": np.array([0, -2, 0, -2], np.int64),
    }  # fmt: skip
    made = model(nodes, shape, constants)
    refused(save(tmp_path / "net.onnx", made), *parts)


@pytest.mark.parametrize(
    ("attributes", "part"),
    [
        (
            {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
            "strides (2, 2), which runtimes and ONNX understand differently",
        ),
        ({"output_shape": [5, 6]}, "odd paddings [1, 0], which runtimes and ONNX understand differently"),
    ],
)
def test_paddings_of_a_transposed_convolution_before_opset_11(attributes, part, tmp_path):
    for opset in (8, 10, 11, 21):
        made = model(
            [node("ConvTranspose", ["x", "k"], **attributes)], (1, 2, 4, 4), {"k": floats(2, 2, 3, 3)}, opset=opset
        )
        path = save(tmp_path / "net.onnx", made)
        if opset < 11:
            refused(path, part, "before opset 11")
        else:
            read_onnx(path)


def stored(array, name):
    from onnx import numpy_helper

    return numpy_helper.from_array(array, name)


@pytest.mark.parametrize(
    ("nodes", "parts"),
    [
        ([node("Add", ["x", "d"])], ["node 'add_y' (Add) mixes operands of float32 and float64"]),
        ([node("MatMul", ["x", "m"])], ["mixes operands of float32 and float64"]),
        ([node("Gemm", ["x", "f", "d"])], ["mixes operands of float32 and float64"]),
        ([node("Clip", ["x", "s"])], ["mixes operands of float32 and float64"]),
        ([node("Concat", ["x", "d"], axis=1)], ["mixes operands of float32 and float64"]),
        ([node("BatchNormalization", ["x", "d1", "d1", "d1", "d1"])], ["mixes operands of float32 and float64"]),
        ([node("Add", ["x", "i"])], ["mixes operands of float32 and int64"]),
        ([node("Relu", ["x"], ["a"]), node("Neg", ["a"], ["b"]), node("Sub", ["b", "d"])], ["node 'sub_y' (Sub) mixes"]),
        ([node("Constant", [], ["c"], value=stored(np.ones(3), "c")), node("Add", ["x", "c"])], ["(Add) mixes"]),
        ([node("Cast", ["d"], ["c"], to=1), node("Cast", ["c"], ["e"], to=11), node("Add", ["x", "e"])], ["(Add) mixes"]),
        ([node("Relu", ["x"], ["a"]), node("Relu", ["a"])], None),
        ([node("Cast", ["d"], ["c"], to=1), node("Add", ["x", "c"])], None),
        ([node("Reshape", ["x", "shape"], ["a"]), node("Gather", ["a", "i"], axis=1)], None),
    ],
)  # fmt: skip
def test_types_that_onnx_does_not_let_meet(nodes, parts, tmp_path):
    """What onnxruntime refuses for its types is refused on reading; what it takes is not."""
    import onnxruntime

    doubles = {"d": np.ones((1, 3)), "m": np.ones((3, 2)), "s": np.array(0.0), "d1": np.ones(3)}
    others = {"f": floats(3, 3), "i": np.array([0, 1, 2], np.int64), "shape": np.array([1, 3], np.int64)}
    made = model(nodes, (1, 3), others)
    made.graph.initializer.extend(stored(array, name) for name, array in doubles.items())
    path = save(tmp_path / "net.onnx", made)
    if parts is None:
        onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        assert read_onnx(path).inputs == 3
        return
    with pytest.raises(Exception, match="Type Error"):
        onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    refused(path, *parts)


def test_two_nodes_of_one_name(tmp_path):
    nodes = [node("Relu", ["x"], ["a"]), node("Neg", ["a"])]
    for made in nodes:
        made.name = "twin"
    refused(save(tmp_path / "net.onnx", model(nodes, (1, 3))), "two nodes have the name 'twin'")
    for made in nodes:
        made.name = ""
    assert read_onnx(save(tmp_path / "net.onnx", model(nodes, (1, 3)))).outputs == 3


@pytest.mark.parametrize(("opset", "good"), [(6, False), (7, True), (8, True), (21, True), (28, True), (29, False)])
def test_opsets(opset, good, tmp_path):
    path = save(tmp_path / "net.onnx", perceptron(opset=opset))
    if good:
        assert read_onnx(path).outputs == 4
    else:
        refused(path, f"uses opset {opset}; netproof reads 7 to 28")


def test_two_opsets_at_once(tmp_path):
    made = perceptron()
    made.opset_import.append(helper.make_opsetid("ai.onnx", 11))
    both = read_onnx(save(tmp_path / "net.onnx", made))  # which mean the same by both
    assert same_graph(both.graph, read_onnx(save(tmp_path / "one.onnx", perceptron())).graph)
    # The axes of a softmax are others from opset 13 on, those of a reduction an operand.
    softmax = model([node("Softmax", ["x"], axis=1)], (1, 3, 1), opset=13)
    softmax.opset_import.append(helper.make_opsetid("", 11))
    assert read_onnx(save(tmp_path / "net.onnx", softmax)).kept is Kept.ORDER
    flat = model([node("BatchNormalization", ["x", *"gbmv"])], (1, 3), {n: floats(3) ** 2 for n in "gbmv"}, opset=15)
    flat.opset_import.append(helper.make_opsetid("", 14))
    assert read_onnx(save(tmp_path / "net.onnx", flat)).outputs == 3
    clip = model([node("Clip", ["x"], max=1.0)], (1, 3), opset=9)
    clip.opset_import.append(helper.make_opsetid("", 11))
    refused(save(tmp_path / "net.onnx", clip), "the attribute 'max', which it does not have at opset 11")
    # Neither raises, but a slice that is split in two by one opset is refused by the other's rule.
    split = model([node("Split", ["x"], ["a", "b"], axis=1), node("Sub", ["a", "b"])], (1, 4), opset=13)
    split.opset_import.append(helper.make_opsetid("", 18))
    refused(save(tmp_path / "net.onnx", split), "split into 0 equal parts")


def test_inputs_and_outputs_that_are_of_no_use(tmp_path):
    none = perceptron()
    del none.graph.input[:]
    refused(save(tmp_path / "net.onnx", none), "has 0 inputs", "export it with one input")
    none = perceptron()
    del none.graph.output[:]
    refused(save(tmp_path / "net.onnx", none), "has 0 outputs")
    integer = perceptron()
    integer.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    refused(save(tmp_path / "net.onnx", integer), "no tensor of float32, float16, float64, uint8 or int8")
    shapeless = perceptron()
    shapeless.graph.input[0].type.tensor_type.ClearField("shape")
    refused(save(tmp_path / "net.onnx", shapeless), "has no shape")


def test_tensors_that_do_not_hold_what_they_claim(tmp_path):
    def with_weight(change) -> Path:
        made = perceptron()
        change(made.graph.initializer[0])
        return save(tmp_path / "net.onnx", made)

    def shape(*extents):
        def change(tensor):
            del tensor.dims[:]
            tensor.dims.extend(extents)

        return change

    def cut(tensor):
        tensor.raw_data = tensor.raw_data[:-1]

    def typed(tensor):
        tensor.data_type = TensorProto.STRING

    def listed(tensor):
        tensor.ClearField("raw_data")
        tensor.float_data.extend([1.0, 2.0])

    refused(with_weight(cut), "tensor 'w' of 12 float32 numbers holds 47 bytes, not 48")
    refused(with_weight(shape(1 << 40, 1 << 40)), "claims shape 1099511627776x1099511627776")
    refused(with_weight(shape(-3, -4)), "claims shape -3x-4")
    refused(with_weight(typed), "ONNX type 8", "known are float32")
    refused(with_weight(listed), "holds 2 numbers")


def test_all_values_together_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "_LARGEST_TOTAL", 30)
    nodes = [node("Tanh", ["x"], ["a"]), *(node("Tanh", [a], [b]) for a, b in ("ab", "bc", "cd", "dy"))]
    refused(save(tmp_path / "net.onnx", model(nodes, (1, 10))), "more than can be handled")


@pytest.mark.parametrize("share", range(0, 100, 7))
def test_truncated(share, tmp_path):
    data = perceptron().SerializeToString()
    path = tmp_path / "net.onnx"
    path.write_bytes(data[: len(data) * share // 100])
    refused(path, str(path))


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_give_an_error_or_a_network(seed, tmp_path):
    nodes = [
        node("Conv", ["x", "k"], ["a"], pads=[1, 1, 1, 1]), node("Relu", ["a"], ["b"]),
        node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2]), node("Reshape", ["c", "s"], ["d"]),
        node("Slice", ["d", "from", "to", "axes"], ["e"]), node("Gemm", ["e", "w"]),
    ]  # fmt: skip
    constants = {
        "k": floats(2, 1, 3, 3), "s": np.array([1, -1]), "from": np.array([0]), "to": np.array([4]),
        "axes": np.array([1]), "w": floats(4, 2),
    }  # fmt: skip
    data = bytearray(model(nodes, (1, 1, 4, 4), constants).SerializeToString())
    random = np.random.default_rng(seed)
    for place in random.integers(0, len(data), 1 + seed % 8):
        data[place] = random.integers(256)
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    try:
        network = read_onnx(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        network.graph.evaluate(torch.zeros(network.inputs, dtype=torch.float64))


def test_files_that_are_none(tmp_path):
    with pytest.raises(FormatError, match="no such network file"):
        read_onnx(tmp_path / "none.onnx")
    for name, data in (("empty", b""), ("text", b"This is a note, no network."), ("zeros", bytes(1000))):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(data)
        refused(path, "no ONNX model")
    packed = tmp_path / "cut.onnx.gz"
    packed.write_bytes(gzip.compress(perceptron().SerializeToString())[:-9])
    refused(packed, "damaged gzip")


def test_oversized(tmp_path, monkeypatch):
    from netproof.files import opened as files

    path = tmp_path / "bomb.onnx"
    path.write_bytes(gzip.compress(bytes(1 << 20)))
    monkeypatch.setattr(files.read_bytes, "__kwdefaults__", {"limit": 1 << 16})
    refused(path, "is larger than 65536 bytes")


def test_deep_chains_need_no_deep_stack(tmp_path):
    names = ["x", *(f"v{i}" for i in range(5000)), "y"]
    nodes = [node("Identity", [a], [b]) for a, b in itertools.pairwise(names)]
    assert len(read_onnx(save(tmp_path / "net.onnx", model(nodes, (1, 3)))).graph.nodes) == 1


def test_batch_norm_goes_into_the_convolution_before_it(tmp_path):
    nodes = [
        node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"]),
        node("Relu", ["n"], ["r"]), node("Add", ["r", "x"], ["s"]), node("Flatten", ["s"], ["f"]),
        node("Mul", ["f", "two"], ["t"]), node("MatMul", ["t", "w"], ["p"]), node("Add", ["p", "o"]),
    ]  # fmt: skip
    constants = {
        "k": floats(2, 2, 3, 3), "g": floats(2), "b": floats(2), "m": floats(2), "v": floats(2) ** 2,
        "two": np.array(2.0), "w": floats(32, 3), "o": floats(3),
    }  # fmt: skip
    path = save(tmp_path / "net.onnx", model(nodes, (1, 2, 4, 4), constants))
    network = assert_agrees(path, random_inputs((1, 2, 4, 4)))
    operators = [n.operator.name for n in network.graph.nodes]
    assert operators == ["input", "convolution", "relu", "sum", "linear"]
    folded, linear = network.graph.nodes[1].operator, network.graph.nodes[4].operator
    assert folded.roundings == 4 and bool((folded.offset_error() > 0).any())  # 3 in the scale, 1 in the product
    assert linear.roundings == 0 and not bool(linear.offset_error().any())  # times 2, and plus a bias, are exact


def test_divisors_beyond_error_terms(tmp_path):
    made = model([node("Div", ["x", "c"])], (1, 3), {"c": np.ones(3)})
    made.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array([1.0, 1e-200, 1.0]), "c"))
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    refused(save(tmp_path / "net.onnx", made), "a divisor is too large or too small")


def test_bit_widths_are_not_for_float_networks(tmp_path):
    path = save(tmp_path / "net.onnx", perceptron())
    with pytest.raises(InputError, match="not quantized"):
        netproof.load(path, bits=4)
    assert netproof.load(path, widths=netproof.FixedPoint()).inputs == 3


def test_exact_engines_are_for_integer_networks(tmp_path):
    network = netproof.load(save(tmp_path / "net.onnx", perceptron()))
    zero = torch.zeros(3, dtype=torch.float64)
    condition = netproof.Conjunction(torch.ones(1, 4).double(), torch.full((1,), -1e6).double())
    asked = netproof.Query(network, zero, zero + 1, (condition,))
    assert netproof.verify(asked).verdict is netproof.Verdict.SAT
    with pytest.raises(InputError, match="does not take networks of real numbers"):
        netproof.verify(asked, netproof.Settings(engine="smt"))


def test_every_operator_of_the_documented_list_is_known():
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    assert all(f"`{name}`" in text for name in OPERATORS)


def test_attributes_that_numpy_cannot_hold(tmp_path):
    nodes = [node("Concat", ["x", "x"], axis=1 << 40)]
    refused(save(tmp_path / "net.onnx", model(nodes, (1, 3))), "axes [1099511627776]")
    constant = numpy_helper.from_array(np.zeros((2, 2), np.float32))
    nodes = [node("ConstantOfShape", ["s"], ["c"], value=constant), node("Add", ["x", "c"])]
    refused(save(tmp_path / "net.onnx", model(nodes, (1, 3), {"s": np.array([1])})), "4 entries, not 1")


def test_a_file_that_the_runtime_s_own_optimizer_makes_unusable_is_replayed(tmp_path):
    """onnxruntime moves a Pad into the pooling behind it, and then finds that padding too large for the kernel."""
    import onnxruntime

    pads = np.array([0, 0, 0, 1, 0, 0, 0, 0], np.int64)
    made = model(
        [
            node("Pad", ["x", "pads"], ["padded"]),
            node("AveragePool", ["padded"], kernel_shape=[1, 1], count_include_pad=1),
        ],
        (1, 1, 1, 2),
        {"pads": pads},
    )
    path = save(tmp_path / "net.onnx", made)
    with pytest.raises(Exception, match="smaller than kernel"):
        onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    network = read_onnx(path)
    row = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    asked = netproof.Conjunction(row, torch.full((1,), 0.5, dtype=torch.float64))
    box = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    assert netproof.verify(netproof.Query(network, *box, (asked,))).verdict is netproof.Verdict.SAT
