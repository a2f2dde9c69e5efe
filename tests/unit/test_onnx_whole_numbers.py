"""Values that become truth values or integers on the way, and powers in all their forms, against onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from netproof.errors import FormatError
from netproof.formats.onnx.read import read_onnx
from onnx_models import assert_agrees, model, node, save

POINTS = [np.array(v, np.float32) for v in ([0.0, -2.5, 3.0], [0.5, 0.5, -0.75], [2.0, -0.0, 7.99], [-3.0, 1.0, -1.5])]
INT64, BOOL, FLOAT = TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT


def cast(name, result, to):
    return helper.make_node("Cast", [name], [result], name=f"cast_{result}", to=to)


@pytest.mark.parametrize(
    "nodes",
    [
        [cast("x", "b", BOOL), cast("b", "y", FLOAT)],
        [cast("x", "i", INT64), cast("i", "y", FLOAT)],
        [cast("x", "i", TensorProto.INT32), cast("i", "j", INT64), cast("j", "y", FLOAT)],
        [node("Equal", ["x", "half"], ["e"]), cast("e", "y", FLOAT)],
        [node("Neg", ["x"], ["m"]), node("Equal", ["x", "m"], ["e"]), cast("e", "y", FLOAT)],
        [cast("x", "i", INT64), node("Equal", ["i", "whole"], ["e"]), cast("e", "y", FLOAT)],
        [cast("x", "i", INT64), node("Add", ["i", "whole"], ["j"]), node("Sub", ["j", "i"], ["k"]), node("Neg", ["k"], ["l"]), cast("l", "y", FLOAT)],
        [cast("x", "b", BOOL), cast("b", "i", INT64), node("Add", ["i", "i"], ["j"]), cast("j", "y", FLOAT)],
        [node("Pow", ["two", "x"], ["y"])],
        [node("Abs", ["x"], ["a"]), node("Add", ["a", "half"], ["p"]), node("Pow", ["p", "several"], ["y"])],
    ],
    ids=lambda nodes: "-".join(n.op_type for n in nodes),
)  # fmt: skip
def test_agree_with_onnxruntime(tmp_path, nodes):
    constants = {
        "half": np.array([0.5, 0.5, 0.5]), "two": np.array([2.0]), "several": np.array([2.0, 0.5, 1.0]),
        "whole": np.array([0, -2, 3], np.int64),
    }  # fmt: skip
    used = {name for n in nodes for name in n.input}
    path = save(tmp_path / "m.onnx", model(nodes, [3], {k: v for k, v in constants.items() if k in used}))
    assert_agrees(path, POINTS)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([cast("x", "i", INT64), node("Div", ["i", "whole"], ["j"]), cast("j", "y", FLOAT)], "an operand that depends on the input is an integer"),
        ([cast("x", "i", INT64), node("Mul", ["i", "i"], ["j"]), cast("j", "y", FLOAT)], "is an integer"),
        ([cast("x", "i", TensorProto.INT8), cast("i", "y", FLOAT)], "which rounds it"),
        ([cast("x", "i", INT64), cast("i", "j", TensorProto.INT32), cast("j", "y", FLOAT)], "which rounds it"),
        ([node("Pow", ["minus", "x"], ["y"])], "not positive"),
    ],
)  # fmt: skip
def test_refused(tmp_path, nodes, words):
    constants = {"whole": np.array([2, 2, 2], np.int64), "minus": np.array([-2.0])}
    used = {name for n in nodes for name in n.input}
    path = save(tmp_path / "m.onnx", model(nodes, [3], {k: v for k, v in constants.items() if k in used}))
    with pytest.raises(FormatError, match=words):
        read_onnx(path)
    assert isinstance(onnx.load(path), onnx.ModelProto)
