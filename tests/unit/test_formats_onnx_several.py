"""Models with several inputs and outputs, and dynamic axes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import netproof
from netproof.errors import FormatError, InputError
from netproof.property import Box, LinearConstraint, Property, PropertyPart
from onnx_models import model, node, save

FLOATS, INTEGERS = TensorProto.FLOAT, TensorProto.INT64


def several(nodes, inputs, outputs, constants=None):
    """A model from names with types and shapes."""
    graph = helper.make_graph(
        nodes,
        "several",
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    return made


@pytest.fixture
def pair(tmp_path):
    """Two inputs, one of them unused; two outputs of floats and one of positions."""
    nodes = [
        node("MatMul", ["a", "w"], ["p"]),
        node("Mul", ["p", "b"], ["q"]),
        node("Relu", ["q"], ["r"]),
        node("ReduceSum", ["r"], ["s"], keepdims=0),
        node("ArgMax", ["r"], ["place"], axis=1),
    ]
    made = several(
        nodes,
        [("a", FLOATS, [1, 3]), ("idle", FLOATS, [2]), ("b", FLOATS, [1, 2])],
        [("r", FLOATS, [1, 2]), ("place", INTEGERS, [1, 1]), ("s", FLOATS, [])],
        {"w": np.array([[1, -1], [0.5, 2], [0, 1]], np.float32)},
    )
    return save(tmp_path / "pair.onnx", made)


def test_inputs_and_outputs_are_numbered_one_after_the_other(pair):
    network = netproof.load(pair)
    assert (network.inputs, network.outputs) == (7, 3)
    assert "a (1x3), idle (2), b (1x2)" in network.notes[0] and "r (1x2), s (scalar)" in network.notes[1]
    assert "left out: place" in network.notes[2]
    session = onnxruntime.InferenceSession(pair.read_bytes(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    for row in x:
        r, s = session.run(["r", "s"], {"a": row[None, :3], "idle": row[3:5], "b": row[None, 5:]})
        mine = network.graph.evaluate(torch.from_numpy(row).double()).numpy()
        assert np.allclose(mine, [*r.reshape(-1), float(s)], atol=1e-5)


def asked(network, threshold):
    """Can the last output reach a threshold where all inputs are between 0 and 1?"""
    n = network.inputs
    box = Box((Fraction(0),) * n, (Fraction(1),) * n)
    condition = ((LinearConstraint((), ((network.outputs - 1, Fraction(1)),), Fraction(threshold)),),)
    return Property("asked", n, network.outputs, (PropertyPart(box, condition),)).question(network)


def test_questions_about_several_inputs(pair):
    network = netproof.load(pair)
    settings = netproof.Settings(timeout=20)
    # 1.5 from the first product and 3 from the second one, but not both at once, since -a0 is in the second: 3.5.
    assert netproof.verify(asked(network, "3.6"), settings).verdict is netproof.Verdict.UNSAT
    found = netproof.verify(asked(network, "3.4"), settings)
    assert found.verdict is netproof.Verdict.SAT
    assert len(found.witness.input) == 7 and float(found.witness.output[-1]) >= 3.4


def test_a_single_input_may_have_dynamic_axes(tmp_path):
    nodes = [node("Conv", ["x", "w"], ["c"]), node("GlobalMaxPool", ["c"])]
    path = save(tmp_path / "net.onnx", model(nodes, ("n", 1, "h", "w"), {"w": np.ones((2, 1, 2, 2))}))
    with pytest.raises(FormatError, match=r"axis 2 of its input 'x' is dynamic \('h'\); give its shape \(--shape x=1x3x32x32\)"):  # fmt: skip
        netproof.load(path)
    network = netproof.load(path, shapes={"x": (1, 1, 4, 3)})
    assert network.input_shape == (1, 1, 4, 3) and network.outputs == 2
    assert netproof.verify(asked(network, "3.9"), netproof.Settings(timeout=20)).verdict is netproof.Verdict.SAT
    assert netproof.verify(asked(network, "4.1"), netproof.Settings(timeout=20)).verdict is netproof.Verdict.UNSAT
    for shapes, what in (
        ({"x": (1, 2, 4, 3)}, "its input 'x' of shape ?x1x?x? was given the shape 1x2x4x3"),
        ({"x": (4, 3)}, "was given the shape 4x3"),
        ({"y": (1, 1, 4, 3)}, "has no input 'y' to give a shape to; its inputs are 'x'"),
    ):
        with pytest.raises(FormatError) as refused:
            netproof.load(path, shapes=shapes)
        assert what in str(refused.value)


def test_several_that_cannot_be_read(tmp_path):
    nodes = [node("ArgMax", ["x"], ["p"], axis=1), node("Shape", ["x"], ["s"])]
    made = several(nodes, [("x", FLOATS, [1, 3])], [("p", INTEGERS, [1, 1]), ("s", INTEGERS, [2])])
    with pytest.raises(FormatError, match="has no output of float32 or float16 or float64: 'p', 's'"):
        netproof.load(save(tmp_path / "a.onnx", made))
    made = several(
        [node("Gather", ["x", "i"])],
        [("x", FLOATS, [3]), ("i", INTEGERS, [1])],
        [("y", FLOATS, [1])],
    )
    with pytest.raises(FormatError, match="its input 'i' is no tensor of float32, float16 or float64"):
        netproof.load(save(tmp_path / "b.onnx", made))
    (tmp_path / "c.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(InputError, match="has no dynamic axes"):
        netproof.load(tmp_path / "c.h5", shapes={"x": (1,)})


def test_shapes_on_the_command_line(cli, tmp_path):
    path = save(tmp_path / "net.onnx", model([node("GlobalMaxPool", ["x"])], (None, 1, "h", "w")))
    assert "x: " not in cli("inspect", path, "--shape", "x=1x1x2x3").err
    assert cli("inspect", path, "--shape", "x=1x1x2x3").code == 0
    for given in ("x", "x=", "x=1x0", "=1", "x=1xa"):
        done = cli("inspect", path, "--shape", given)
        assert done.code == 2 and "is no name with a shape" in done.err
    assert "has two shapes" in cli("inspect", path, "--shape", "x=1x1x2x3", "--shape", "x=1x1x2x3").err
