"""ONNX files that say something netproof, or a runtime, does not understand: refused by name, never skipped or defaulted."""

from __future__ import annotations

import gzip
import hashlib
import operator
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import netproof
from netproof.bounds.region import box_region, node_intervals
from netproof.errors import FormatError
from netproof.formats.onnx.arithmetic import exactly
from netproof.formats.onnx.read import read_onnx
from netproof.network import Kept
from onnx_models import assert_agrees, model, node, random_inputs, run_onnxruntime, save


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_onnx(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message, message
    for part in parts:
        assert part in message, message


def changed(node_: onnx.NodeProto, change: Callable[[onnx.NodeProto], Any]) -> onnx.NodeProto:
    change(node_)
    return node_


def twice(made: onnx.NodeProto) -> None:
    made.attribute.add().CopyFrom(made.attribute[0])


def in_two_types(made: onnx.NodeProto) -> None:
    made.attribute[0].ints.append(1)


def by_reference(made: onnx.NodeProto) -> None:
    made.attribute[0].ref_attr_name = "elsewhere"


def test_a_value_declared_as_another_type(tmp_path: Path) -> None:
    made = model([node("Relu", ["x"], ["a"]), node("Neg", ["a"])], (1, 3))
    made.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.DOUBLE, [1, 3]))
    refused(save(tmp_path / "net.onnx", made), "its value 'a' is declared as another type than it is")
    # A shape that is wrong runtimes only warn of, and one that says nothing is no statement.
    made.graph.value_info[0].CopyFrom(helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, 7]))
    assert_agrees(save(tmp_path / "shape.onnx", made), random_inputs((1, 3)))
    made.graph.value_info[0].ClearField("type")
    assert_agrees(save(tmp_path / "silent.onnx", made), random_inputs((1, 3)))


# -- the form of a node


@pytest.mark.parametrize(
    ("nodes", "opset", "parts"),
    [
        ([node("Relu", ["x"], alpha=0.5)], 13, ["(Relu) has the attribute 'alpha', which it does not have at opset 13"]),
        ([node("Clip", ["x"], max=0.5)], 11, ["(Clip) has the attribute 'max'", "at opset 11"]),
        ([node("Reshape", ["x", "shape"], allowzero=0)], 13, ["'allowzero', which it does not have at opset 13"]),
        ([node("Squeeze", ["x"], axes=[0])], 13, ["(Squeeze) has the attribute 'axes'"]),
        ([changed(node("Flatten", ["x"], axis=1), twice)], 13, ["(Flatten) has the attribute 'axis' twice"]),
        ([changed(node("Flatten", ["x"], axis=1), in_two_types)], 13, ["several values for the attribute 'axis'"]),
        ([changed(node("Flatten", ["x"], axis=1), by_reference)], 13, ["several values for the attribute 'axis'"]),
        ([node("Concat", ["x", "x"])], 13, ["(Concat) has no attribute 'axis', which it needs"]),
        ([node("Relu", ["x"], ["y", "z"])], 13, ["(Relu) has 2 results; at opset 13 it has 1 at most"]),
        ([node("Relu", ["x", "x"])], 13, ["(Relu) has 2 operands; at opset 13 it has 1 at most"]),
        ([node("Range", ["n", "n", "n"], ["r"]), node("Gather", ["x", "r"])], 10, ["(Range of", "is no operator of opset 10"]),
        ([node("Constant", [], ["c"], value_float=1.0, value_int=2), node("Add", ["x", "c"])], 13, ["a constant with 2 values"]),
        ([node("Constant", [], ["c"]), node("Add", ["x", "c"])], 13, ["a constant with 0 values"]),
        ([changed(node("Relu", ["x"]), lambda n: setattr(n, "overload", "other"))], 13, ["is an overload of a function"]),
    ],
)  # fmt: skip
def test_nodes_of_another_form(nodes, opset, parts, tmp_path):
    constants = {"shape": np.array([3, 1], np.int64), "n": np.array(1, np.int64)}
    refused(save(tmp_path / "net.onnx", model(nodes, (1, 3), constants, opset=opset)), *parts)


def test_results_that_nothing_reads_do_no_harm(tmp_path):
    pooled = [node("MaxPool", ["x"], ["y", "places"], kernel_shape=[2, 2])]
    assert_agrees(save(tmp_path / "net.onnx", model(pooled, (1, 1, 4, 4))), random_inputs((1, 1, 4, 4)))
    dropped = [node("Dropout", ["x"], ["y", "mask"])]
    assert_agrees(save(tmp_path / "net.onnx", model(dropped, (1, 3))), random_inputs((1, 3)))


def test_softmax_that_is_only_renamed_or_reshaped(tmp_path):
    after = [
        [node("Identity", ["s"])],
        [node("Flatten", ["s"])],
        [node("Reshape", ["s", "shape"])],
        [node("Squeeze", ["s"])],
        [node("Dropout", ["s"])],
        [node("Unsqueeze", ["s", "axes"], ["u"]), node("Identity", ["u"])],
    ]
    constants = {"shape": np.array([3, 1], np.int64), "axes": np.array([0], np.int64)}
    for nodes in after:
        made = model([node("Softmax", ["x"], ["s"]), *nodes], (1, 3), constants)
        network = read_onnx(save(tmp_path / "net.onnx", made))
        assert network.kept is Kept.ORDER and len(network.graph.nodes) == 1
    for nodes in ([node("Neg", ["s"])], [node("Transpose", ["s"])], [node("Add", ["s", "x"])]):
        made = model([node("Softmax", ["x"], ["s"]), *nodes], (1, 3))
        network = read_onnx(save(tmp_path / "net.onnx", made))
        assert network.kept is Kept.VALUES and len(network.graph.nodes) > 4


# -- parts of a model


def repeated_tensor(made: onnx.ModelProto) -> None:
    made.graph.initializer.add().CopyFrom(made.graph.initializer[0])


def nameless_tensor(made: onnx.ModelProto) -> None:
    made.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), ""))


def other_default(made: onnx.ModelProto) -> None:
    made.graph.input.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, [4]))


def default_of_another_type(made: onnx.ModelProto) -> None:
    made.graph.input.append(helper.make_tensor_value_info("c", TensorProto.DOUBLE, [3]))


def input_twice(made: onnx.ModelProto) -> None:
    made.graph.input.add().CopyFrom(made.graph.input[0])


def annotated(made: onnx.ModelProto) -> None:
    made.graph.quantization_annotation.add(tensor_name="x")


def sparse(made: onnx.ModelProto) -> None:
    made.graph.sparse_initializer.add()


def function(made: onnx.ModelProto) -> None:
    made.functions.append(
        helper.make_function("", "Add", ["a", "b"], ["c"], [node("Sub", ["a", "b"], ["c"])], made.opset_import)
    )


def metadata_twice(made: onnx.ModelProto) -> None:
    for value in ("0 1", "0 9"):
        made.metadata_props.add(key="netproof.input_range", value=value)


def other_output(made: onnx.ModelProto) -> None:
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def sequence_output(made: onnx.ModelProto) -> None:
    made.graph.output[0].type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (repeated_tensor, "two tensors have the name 'c'"),
        (nameless_tensor, "two tensors have the name ''"),
        (other_default, "its input 'c' has a tensor of another type or shape as its default"),
        (default_of_another_type, "its input 'c' has a tensor of another type or shape as its default"),
        (input_twice, "two inputs have the name 'x'"),
        (annotated, "holds quantization annotations"),
        (sparse, "holds sparse tensors"),
        (function, "defines the operator 'Add' by itself"),
        (metadata_twice, "two metadata entries of one name"),
        (other_output, "its output 'y' is declared as another type than it is"),
        (sequence_output, "its output 'y' is declared as another type than it is"),
    ],
)
def test_parts_that_change_the_meaning(change, part, tmp_path):
    made = model([node("Add", ["x", "c"])], (1, 3), {"c": np.ones(3)})
    read_onnx(save(tmp_path / "net.onnx", made))
    change(made)
    refused(save(tmp_path / "net.onnx", made), part)


# -- numbers that a runtime rounds or wraps around


def typed(kind: int, *nodes: onnx.NodeProto, constants: dict[str, Any] | None = None) -> onnx.ModelProto:
    """A model whose input and output have a type."""
    made = model(nodes, (1, 2))
    for name, array in (constants or {}).items():
        made.graph.initializer.append(numpy_helper.from_array(array, name))
    for value in (made.graph.input[0], made.graph.output[0]):
        value.type.tensor_type.elem_type = kind
    return made


def test_cast_to_a_narrower_type(tmp_path):
    double = TensorProto.DOUBLE
    narrow = typed(double, node("Cast", ["x"], ["f"], to=1), node("Cast", ["f"], to=11))
    refused(save(tmp_path / "net.onnx", narrow), "is cast to ONNX type 1, which rounds it")
    half = typed(TensorProto.FLOAT, node("Cast", ["x"], ["h"], to=10), node("Cast", ["h"], to=1))
    refused(save(tmp_path / "net.onnx", half), "is cast to ONNX type 10, which rounds it")
    back = typed(TensorProto.FLOAT, node("Cast", ["x"], ["d"], to=11), node("Cast", ["d"], to=1))
    refused(save(tmp_path / "net.onnx", back), "is cast to ONNX type 1, which rounds it")
    wide = typed(
        TensorProto.FLOAT, node("Cast", ["x"], ["d"], to=11), node("Cast", ["d"], ["e"], to=11), node("Neg", ["e"])
    )
    wide.graph.output[0].type.tensor_type.elem_type = double
    assert_agrees(save(tmp_path / "net.onnx", wide), random_inputs((1, 2)))


@pytest.mark.parametrize(
    ("left", "kind", "right", "part"),
    [
        (np.uint8(200), "Add", np.uint8(100), "leaves its type, uint8"),
        (np.uint8(1), "Sub", np.uint8(2), "leaves its type, uint8"),
        (np.int8(-128), "Neg", None, "leaves its type, int8"),
        (np.int32(2**31 - 1), "Add", np.int32(1), "leaves its type, int32"),
        (np.int32(2**16), "Mul", np.int32(2**16), "leaves its type, int32"),
        (np.int32(-(2**31)), "Div", np.int32(-1), "leaves its type, int32"),
        (np.int16(300), "Mul", np.int16(300), "leaves its type, int16"),
        (np.uint32(0), "Sub", np.uint32(1), "leaves its type, uint32"),
        (np.int64(2**62), "Add", np.int64(2**62), "integers of 64 bits are combined"),
        (np.int64(2**40), "Mul", np.int64(2**40), "integers of 64 bits are combined"),
        (np.int64(-(2**63)), "Neg", None, "the least integer of 64 bits is negated"),
        (np.int64(-(2**63)), "Div", np.int64(-1), "the least integer of 64 bits is divided"),
        (np.int64(7), "Div", np.int64(0), "a division by 0"),
        (np.int64(7), "Mod", np.int64(0), "a division by zero"),
    ],
)
def test_integers_that_wrap_around(left, kind, right, part, tmp_path):
    constants = {"a": np.array([left])} | ({} if right is None else {"b": np.array([right])})
    nodes = [node(kind, list(constants), ["c"]), node("Cast", ["c"], ["f"], to=1), node("Mul", ["x", "f"])]
    refused(save(tmp_path / "net.onnx", model(nodes, (1, 2), constants, opset=14)), part)


def test_sums_and_ranges_that_wrap_around(tmp_path):
    summed = [node("ReduceSum", ["a"], ["c"]), node("Cast", ["c"], ["f"], to=1), node("Mul", ["x", "f"])]
    for kind, part in ((np.int32, "leaves its type, int32"), (np.int64, "added beyond 64 bits")):
        many = {"a": np.full(4, np.iinfo(kind).max // 2, kind)}
        refused(save(tmp_path / "net.onnx", model(summed, (1, 2), many)), part)


@pytest.mark.parametrize(
    ("array", "to", "part"),
    [
        (np.array([2.0**40], np.float32), 6, "leaves its type, int32"),
        (np.array([1e30], np.float32), 7, "a constant beyond the integers it is cast to"),
        (np.array([np.nan], np.float32), 7, "NaN or infinity"),
        (np.array([2**53 + 1], np.int64), 11, "casting a constant would round it"),
        (np.array([2**24 + 1], np.int32), 1, "casting a constant would round it"),
        (np.array([2**63 - 1], np.int64), 11, "casting a constant would round it"),
        (np.array([1e39], np.float64), 1, "casting a constant would round it"),
        (np.array([2**40], np.int64), 6, "leaves its type, int32"),
    ],
)
def test_casts_of_constants(array, to, part, tmp_path):
    made = model([node("Cast", ["a"], ["c"], to=to), node("Cast", ["c"], ["f"], to=1), node("Mul", ["x", "f"])], (1, 2))
    made.graph.initializer.append(numpy_helper.from_array(array, "a"))
    refused(save(tmp_path / "net.onnx", made), part)


def test_float_constants_that_their_own_type_rounds_become_a_part_of_the_graph(tmp_path):
    """1 + 2^-30 is a float64 number, but a runtime adds in float32 and has 1; a claim is about the real numbers."""
    nodes = [node("Add", ["a", "b"], ["c"]), node("Sub", ["c", "a"], ["d"]), node("Mul", ["x", "d"])]
    numbers = {"a": np.array([1.0]), "b": np.array([2.0**-30])}
    single = read_onnx(save(tmp_path / "net.onnx", model(nodes, (1, 2), numbers)))
    assert "product" in [n.operator.name for n in single.graph.nodes]
    assert float(single.graph.evaluate(torch.ones(2).double())[0]) == 2.0**-30
    double = typed(TensorProto.DOUBLE, *nodes, constants=numbers)
    assert float(read_onnx(save(tmp_path / "net.onnx", double)).graph.evaluate(torch.ones(2).double())[0]) == 2.0**-30
    for a, kind, b in (
        (1.0, "Div", 3.0),
        (1.1, "Mul", 1.1),
        (1e16, "Add", 1.0),
        (0.1, "Add", 0.2),
        (1e-300, "Mul", 1e-300),
    ):
        numbers = {"a": np.array([a]), "b": np.array([b])}
        double = typed(TensorProto.DOUBLE, node(kind, ["a", "b"], ["c"]), node("Mul", ["x", "c"]), constants=numbers)
        network = read_onnx(save(tmp_path / "net.onnx", double))
        exact = {"Div": operator.truediv, "Mul": operator.mul, "Add": operator.add}[kind](Fraction(a), Fraction(b))
        point = box_region(network.graph, torch.ones(1, 2).double(), torch.ones(1, 2).double())
        low, high = (Fraction(float(end[0, 0])) for end in node_intervals(network.graph, point)[-1])
        assert low <= exact <= high and high - low <= abs(exact) * Fraction(1e-12) + Fraction(1e-140)
    product = [node("Mul", ["a", "a"], ["c"]), node("Mul", ["x", "c"])]  # beyond float32, but not beyond float64
    refused(
        save(tmp_path / "net.onnx", model(product, (1, 2), {"a": np.array([2.0**70])})),
        "the largest number of their type",
    )


@pytest.mark.parametrize("seed", range(4))
def test_exactness_of_folded_constants(seed):
    """Against fractions, with numbers of many magnitudes and few bits, so that both answers come up."""
    random = np.random.default_rng(seed)
    seen = set()
    for _ in range(400):
        a, b = (
            float(random.integers(-(2 ** int(random.integers(1, 40))), 2**30)) * 2.0 ** int(random.integers(-40, 40))
            for _ in range(2)
        )
        b = b if random.random() < 0.8 else 2.0 ** int(random.integers(-40, 40))
        for function in (np.add, np.subtract, np.multiply, np.divide):
            if function is np.divide and b == 0:
                continue
            exact = {
                np.add: operator.add,
                np.subtract: operator.sub,
                np.multiply: operator.mul,
                np.divide: operator.truediv,
            }
            true = exact[function](Fraction(a), Fraction(b))
            call = SimpleNamespace(make=lambda shape: None, translation=SimpleNamespace(allocate=lambda count: None))
            got = exactly(call, function, np.array([a]), np.array([b]))
            if got is None:
                assert Fraction(float(function(a, b))) != true
                seen.add((function.__name__, False))
            else:
                assert Fraction(float(got[0])) == true
                seen.add((function.__name__, True))
    assert len(seen) == 8


def test_clip_without_an_end_has_that_of_its_type(tmp_path):
    clip = model([node("Clip", ["x", "low"])], (1, 2), {"low": np.zeros(())})
    largest = float(np.finfo(np.float32).max)
    x = torch.tensor([-1.0, 1e60], dtype=torch.float64)
    assert read_onnx(save(tmp_path / "net.onnx", clip)).graph.evaluate(x).tolist() == [0.0, largest]
    both = read_onnx(save(tmp_path / "net.onnx", model([node("Clip", ["x"])], (1, 2))))
    assert both.graph.evaluate(-x).tolist() == [1.0, -largest]
    old = read_onnx(save(tmp_path / "net.onnx", model([node("Clip", ["x"], min=0.0)], (1, 2), opset=9)))
    assert old.graph.evaluate(x).tolist() == [0.0, largest]
    double = typed(TensorProto.DOUBLE, node("Clip", ["x"]))
    assert read_onnx(save(tmp_path / "net.onnx", double)).graph.evaluate(x).tolist() == x.tolist()
    stated = {"low": np.zeros(()), "high": np.array(np.inf)}
    relu = read_onnx(save(tmp_path / "net.onnx", model([node("Clip", ["x", "low", "high"])], (1, 2), stated)))
    assert relu.graph.output.operator.name == "relu"


# -- uses that runtimes and ONNX understand differently


@pytest.mark.parametrize("end", [2**31 - 1, 2**63 - 1])
def test_a_slice_backwards_to_the_largest_number(tmp_path, end):
    """Nothing by ONNX, and all entries by onnxruntime, whose sum was read as 0. Forwards, both mean the last one."""
    for step in (-1, 1):
        numbers = {
            "s": np.array([-1 if step < 0 else 0]),
            "e": np.array([end]),
            "a": np.array([1]),
            "t": np.array([step]),
        }
        nodes = [node("Slice", ["x", "s", "e", "a", "t"], ["z"]), node("ReduceSum", ["z"])]
        path = save(tmp_path / "net.onnx", model(nodes, (1, 3), numbers))
        assert run_onnxruntime(path.read_bytes(), [np.ones((1, 3), np.float32)])[0].tolist() == [3.0]
        if step < 0:
            refused(path, f"a slice backwards to {end}", "end it at -2^31")
        else:
            assert_agrees(path, random_inputs((1, 3)))


@pytest.mark.parametrize(
    ("nodes", "shape", "opset", "part"),
    [
        ([node("MaxPool", ["x"], auto_pad="VALID", ceil_mode=1, kernel_shape=[3], strides=[3])], (1, 1, 4), 19, "ceil_mode together with auto_pad"),
        ([node("AveragePool", ["x"], auto_pad="VALID", ceil_mode=1, kernel_shape=[2], strides=[2])], (1, 1, 5), 19, "ceil_mode together with auto_pad"),
        ([node("MaxPool", ["x"], auto_pad="SAME_UPPER", pads=[1, 0], kernel_shape=[2])], (1, 1, 4), 13, "auto_pad 'SAME_UPPER' together with other pads, [1, 0]"),
        ([node("AveragePool", ["x"], auto_pad="VALID", pads=[0, 1], kernel_shape=[2])], (1, 1, 4), 13, "auto_pad 'VALID' together with other pads"),
        ([node("Conv", ["x", "kernel"], auto_pad="SAME_LOWER", pads=[0, 0])], (1, 1, 4), 13, "auto_pad 'SAME_LOWER' together with other pads"),
        ([node("Squeeze", ["x", "empty"])], (1, 3), 13, "an empty list of axes"),
        ([node("Split", ["x"], ["y", "z"], axis=1)], (1, 3), 13, "3 entries are split into 2 equal parts"),
        ([node("Split", ["x", "sizes"], ["y", "z"], axis=1, num_outputs=2)], (1, 3), 18, "both sizes and a number of parts"),
        ([node("Pad", ["x", "pads"], mode="reflect")], (1, 3), 13, "paddings [0, 4, 0, 0] of mode 'reflect'"),
        ([node("Pad", ["x", "small"], mode="wrap")], (1, 3), 13, "padding of mode 'wrap'"),
        ([node("Pad", ["x", "crop"], mode="edge")], (1, 3), 13, "of mode 'edge'"),
        ([node("Pad", ["x", "small", "two"])], (1, 3), 13, "it pads with 2 numbers"),
        ([node("Clip", ["x", "matrix"])], (1, 3), 13, "its min is not one number"),
        ([node("Reshape", ["x", "long"])], (1, 3), 13, "a list of 300 numbers"),
    ],
)  # fmt: skip
def test_uses_that_are_not_agreed_on(nodes, shape, opset, part, tmp_path):
    constants = {
        "empty": np.zeros(0, np.int64), "sizes": np.array([1, 2], np.int64), "pads": np.array([0, 4, 0, 0], np.int64),
        "small": np.array([0, 1, 0, 0], np.int64), "crop": np.array([0, -1, 0, 0], np.int64), "two": np.ones(2),
        "matrix": np.zeros((1, 1)), "long": np.ones(300, np.int64), "kernel": np.ones((1, 1, 2)),
    }  # fmt: skip
    refused(save(tmp_path / "net.onnx", model(nodes, shape, constants, opset=opset)), part)


def test_pads_that_are_those_of_auto_pad(tmp_path):
    for way, pads in (("VALID", [0, 0]), ("SAME_UPPER", [0, 1]), ("SAME_LOWER", [1, 0])):
        nodes = [node("MaxPool", ["x"], auto_pad=way, pads=pads, kernel_shape=[2])]
        assert_agrees(save(tmp_path / "net.onnx", model(nodes, (1, 1, 4))), random_inputs((1, 1, 4)))


def test_ceil_mode_with_auto_pad_where_it_makes_no_difference(tmp_path):
    nodes = [node("MaxPool", ["x"], auto_pad="VALID", ceil_mode=1, kernel_shape=[2], strides=[2])]
    assert_agrees(save(tmp_path / "net.onnx", model(nodes, (1, 1, 4), opset=13)), random_inputs((1, 1, 4)))


# -- tensors


def test_tensors_in_two_ways(tmp_path):
    def weight(change: Callable[[onnx.TensorProto], Any]) -> Path:
        made = model([node("Add", ["x", "c"])], (1, 3), {"c": np.ones(3)})
        change(made.graph.initializer[0])
        return save(tmp_path / "net.onnx", made)

    def segment(tensor):
        tensor.segment.begin = 0

    refused(
        weight(lambda tensor: tensor.float_data.extend([1, 2, 3])), "tensor 'c' has its numbers in more than one place"
    )
    refused(weight(segment), "more than one place")
    refused(weight(lambda tensor: tensor.external_data.add(key="location", value="c.bin")), "more than one place")

    def outside(tensor):
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="c.bin")

    refused(weight(outside), "more than one place")


@pytest.mark.parametrize(
    ("kind", "values", "part"),
    [
        (TensorProto.UINT8, [1, 300], "tensor 'i' holds numbers beyond uint8, 0 to 255"),
        (TensorProto.INT8, [1, -129], "beyond int8, -128 to 127"),
        (TensorProto.FLOAT16, [1, 1 << 16], "beyond float16"),
        (TensorProto.FLOAT16, [1, -1], "beyond float16"),
        (TensorProto.BOOL, [1, 2], "beyond bool, 0 to 1"),
    ],
)
def test_listed_numbers_beyond_their_type(kind, values, part, tmp_path):
    made = model([node("Cast", ["i"], ["f"], to=1), node("Mul", ["x", "f"])], (1, 2))
    made.graph.initializer.append(onnx.TensorProto(name="i", data_type=kind, dims=[2], int32_data=values))
    refused(save(tmp_path / "net.onnx", made), part)


# -- files beside the network


def beside(folder: Path, content: bytes = b"", location: str = "c.bin", **entries: str) -> Path:
    """``x + c``, the three numbers ``c`` in a file beside it."""
    made = model([node("Add", ["x", "c"])], (1, 3), {"c": np.zeros(3)})
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": location} | entries).items():
        tensor.external_data.add(key=key, value=value)
    folder.mkdir(exist_ok=True)
    if content:
        (folder / "c.bin").write_bytes(content)
    return save(folder / "net.onnx", made)


def test_external_data_are_raw_bytes(tmp_path):
    """They may begin as gzip does."""
    content = gzip.compress(np.ones(3, np.float32).tobytes(), mtime=0)
    size = 12
    first = np.frombuffer(content[:size], "<f4")
    path = beside(tmp_path / "net", content, length=str(size))
    got = read_onnx(path).graph.evaluate(torch.zeros(3, dtype=torch.float64))
    assert got.tolist() == first.astype(np.float64).tolist()
    (theirs,) = run_onnxruntime(read_onnx(path).content, [np.zeros((1, 3), np.float32)])
    assert theirs.tolist() == got.tolist()


def test_external_data_outside_the_folder(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(12))
    path = beside(tmp_path / "net")
    (tmp_path / "net" / "c.bin").symlink_to(tmp_path / "secret.bin")
    refused(path, "tensor 'c' lies in 'c.bin', outside the network's folder")
    (tmp_path / "net" / "c.bin").unlink()
    (tmp_path / "net" / "up").symlink_to(tmp_path)
    refused(beside(tmp_path / "net", location="up/secret.bin"), "outside the network's folder")
    (tmp_path / "net" / "real.bin").write_bytes(bytes(12))
    (tmp_path / "net" / "c.bin").symlink_to("real.bin")
    assert read_onnx(beside(tmp_path / "net")).outputs == 3  # a link that stays inside


def test_external_data_that_are_no_file(tmp_path):
    path = beside(tmp_path / "net")
    os.mkfifo(tmp_path / "net" / "c.bin")
    refused(path, "'c.bin', which is no file")
    (tmp_path / "net" / "c.bin").unlink()
    (tmp_path / "net" / "c.bin").mkdir()
    refused(path, "which is a folder, no external data of the network")
    (tmp_path / "net" / "c.bin").rmdir()
    (tmp_path / "net" / "c.bin").symlink_to("c.bin")
    refused(path, "'c.bin', which cannot be read")


@pytest.mark.parametrize(
    ("entries", "part"),
    [
        ({"offset": "-4"}, "beyond the end"),
        ({"offset": "13"}, "beyond the end"),
        ({"length": "13"}, "beyond the end"),
        ({"offset": "4", "length": "12"}, "beyond the end"),
        ({"offset": "one"}, "external data at no place"),
        ({"offset": " 0"}, "external data at no place"),
        ({"length": "1_2"}, "external data at no place"),
        ({"offset": "4"}, "holds 8 bytes, not 12"),
        ({"place": "0"}, "the entry 'place' twice or unknown"),
        ({"checksum": "0" * 40}, "states another SHA-1"),
    ],
)
def test_places_in_external_data(entries, part, tmp_path):
    refused(beside(tmp_path / "net", bytes(12), **entries), part)


def test_two_networks_never_have_one_hash(tmp_path):
    """Where one file ends and the next begins, what they are called, and which bytes are the network's own."""
    hashes = set()
    for number, (first, second) in enumerate((((4, 8), b"ab"), ((8, 4), b"ab"), ((4, 8), b"ba"))):
        folder = tmp_path / str(number)
        made = model(
            [node("Add", ["x", "c"], ["h"]), node("Add", ["h", "d"])], (1, 2), {"c": np.zeros(1), "d": np.zeros(2)}
        )
        for tensor, name, size in zip(made.graph.initializer, "cd", first, strict=True):
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            del tensor.dims[:]
            tensor.dims.append(size // 4)
            tensor.external_data.add(key="location", value=name)
            folder.mkdir(exist_ok=True)
            (folder / name).write_bytes((np.arange(size) + second[0]).astype(np.uint8).tobytes()[:size])
        made.graph.initializer[0].dims[0] = made.graph.initializer[1].dims[0] = 1
        for tensor in made.graph.initializer:
            tensor.external_data.add(key="length", value="4")
        hashes.add(read_onnx(save(folder / "net.onnx", made)).sha256)
    assert len(hashes) == 3


def test_the_hash_of_a_single_file_is_its_own(tmp_path):
    path = save(tmp_path / "net.onnx", model([node("Relu", ["x"])], (1, 3)))
    assert netproof.load(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


# What nothing reads, and what is not taken, is part of the file that a runtime refuses.

MISTAKES = {
    "an attribute": (node("Relu", ["x"], ["z"], slope=0.5), "the attribute 'slope', which it does not have"),
    "two types": (node("Add", ["x", "whole"], ["z"]), "mixes operands of float32 and int64"),
    "another type": (node("Pad", ["x", "narrow"], ["z"]), "takes 'narrow', which is int32"),
    "no operator": (node("NobodyKnows", ["x"], ["z"]), "(NobodyKnows) is no operator of opset 13"),
    "nothing gives it": (node("Relu", ["nothing"], ["z"]), "nothing gives the value 'nothing' that node 'relu_z' takes"),
    "a cycle": (node("Add", ["x", "z"], ["z"]), "its nodes form a cycle through the value 'z'"),
    "too few operands": (node("Add", ["x"], ["z"]), "(Add) has 1 operands; at opset 13 it has 2 at least"),
    "no results": (node("Relu", ["x", "x"], [""]), "(Relu) has 2 operands; at opset 13 it has 1 at most"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("where", ["idle", "branch"])
def test_mistakes_in_nodes_that_nothing_reads(name: str, where: str, tmp_path: Path) -> None:
    mistake, said = MISTAKES[name]
    constants = {"whole": np.array([1, 2, 3]), "narrow": np.zeros(4, np.int32), "no": np.array(False)}
    if where == "idle":
        made = model([node("Neg", ["x"]), mistake], (1, 3), constants)
    elif name in ("a cycle", "no results", "nothing gives it"):
        return
    else:
        result = helper.make_tensor_value_info("y1", TensorProto.FLOAT, None)
        taken = helper.make_graph([node("Neg", ["x"], ["y1"])], "taken", [], [result])
        other = helper.make_graph([mistake], "other", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)])
        made = model([node("If", ["no"], then_branch=other, else_branch=taken)], (1, 3), constants)
    path = save(tmp_path / "net.onnx", made)
    refused(path, said)
    with pytest.raises(Exception, match=r"\w"):  # so does the runtime
        run_onnxruntime(path.read_bytes(), [])


def test_operands_of_a_type_by_name(tmp_path: Path) -> None:
    """Widths are int64, whatever else could hold them; and what is stated of results holds for what takes them."""
    for kind, said in ((np.int32, "which is int32; at opset 13 ONNX allows int64 there"), (np.int64, "")):
        made = model([node("Pad", ["x", "widths"])], (1, 3), {"widths": np.array([0, 1, 0, 0], kind)})
        path = save(tmp_path / "net.onnx", made)
        if said:
            refused(path, said)
        else:
            assert_agrees(path, random_inputs((1, 3)))
    nodes = [node("Shape", ["x"], ["s"]), node("Cast", ["s"], ["t"], to=TensorProto.INT32), node("Reshape", ["x", "t"])]
    refused(save(tmp_path / "net.onnx", model(nodes, (1, 3))), "takes 't', which is int32")
    nodes = [node("ArgMax", ["x"], ["a"], axis=1), node("Add", ["a", "half"])]
    made = model(nodes, (1, 3), {"half": np.float32([0.5])})
    refused(save(tmp_path / "net.onnx", made), "mixes operands of int64 and float32")


def test_a_batch_of_0_takes_no_sample(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", model([node("Neg", ["x"])], (0, 3)))
    refused(path, "axis 0 of its input 'x' is stated as 0", "--shape x=")
    assert read_onnx(path, shapes={"x": (1, 3)}).input_shape == (1, 3)
