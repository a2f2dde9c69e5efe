"""Places of largest entries, slices that are replaced, and comparisons with a number, against onnxruntime and by samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from netproof.errors import FormatError
from netproof.formats.onnx.read import read_onnx
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.operators.activations.jumps.number import IsNumber
from netproof.query import Verdict
from netproof.search.verify import verify
from netproof.settings import Settings
from onnx_models import assert_agrees, model, node, random_inputs, save


def cast(name, result):
    return helper.make_node("Cast", [name], [result], name=f"cast_{result}", to=TensorProto.FLOAT)


@pytest.mark.parametrize("operator", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("attributes", [{}, {"axis": 1, "keepdims": 0}, {"axis": -1, "select_last_index": 1}])
def test_places_of_extremes(tmp_path, operator, attributes):
    path = save(tmp_path / "m.onnx", model([node(operator, ["x"], ["i"], **attributes), cast("i", "y")], [2, 4, 3]))
    points = random_inputs([2, 4, 3], 4)
    # Whole numbers, so that there are ties; and nothing but ties.
    points += [x.round() for x in points] + [np.zeros([2, 4, 3], np.float32)]
    assert_agrees(path, points)


def test_places_of_constants_and_of_too_many_entries(tmp_path):
    c = np.array([[1.0, 3.0, 3.0], [2.0, -1.0, 2.0]])
    for last in (0, 1):
        nodes = [node("ArgMax", ["c"], ["i"], axis=1, select_last_index=last), cast("i", "f"), node("Add", ["x", "f"])]
        assert_agrees(save(tmp_path / "c.onnx", model(nodes, [2, 1], {"c": c})), random_inputs([2, 1]))
    path = save(tmp_path / "m.onnx", model([node("ArgMax", ["x"], ["i"], axis=0), cast("i", "y")], [300]))
    with pytest.raises(FormatError, match="of 300 entries, of which every pair"):
        read_onnx(path)


@pytest.mark.parametrize(("label", "limit", "verdict"), [
    (1, "(>= Y_0 0.5)", Verdict.SAT), (1, "(<= Y_0 0.5)", Verdict.UNSAT), (0, "(>= Y_0 0.5)", Verdict.UNSAT), (3, "(>= Y_0 0.5)", Verdict.UNSAT),
])  # fmt: skip
def test_whether_the_class_is_one(tmp_path, label, limit, verdict):
    nodes = [
        node("Slice", ["x", "zero", "three"], ["s"]), node("Slice", ["x", "three", "four"], ["l"]),
        node("ArgMax", ["s"], ["i"], axis=0), cast("i", "f"), node("Equal", ["f", "l"], ["e"]), cast("e", "y"),
    ]  # fmt: skip
    constants = {name: np.array([k], np.int64) for name, k in (("zero", 0), ("three", 3), ("four", 4))}
    path = save(tmp_path / "m.onnx", model(nodes, [4], constants))
    assert_agrees(path, [np.array(x, np.float32) for x in ([1, 2, 0, 1], [1, 2, 0, 0], [2, 2, 0, 0], [0, 1, 3, 2.5])])
    # The second is the largest everywhere, the others in no order.
    ends = [(0.0, 1.0), (1.25, 2.0), (0.0, 1.0), (label, label)]
    text = "".join(f"(declare-const X_{i} Real)" for i in range(4)) + "(declare-const Y_0 Real)"
    text += "".join(f"(assert (>= X_{i} {low}))(assert (<= X_{i} {high}))" for i, (low, high) in enumerate(ends))
    asked = tmp_path / "p.vnnlib"
    asked.write_text(f"{text}(assert {limit})")
    assert verify(read_vnnlib(asked), Settings(timeout=20), network=read_onnx(path)).verdict is verdict


@pytest.mark.parametrize(("limit", "verdict"), [("(>= Y_0 1.0)", Verdict.UNSAT), ("(<= Y_0 0.0)", Verdict.SAT)])
def test_a_place_as_the_output(tmp_path, limit, verdict):
    made = model([node("ArgMax", ["x"], ["y"], axis=0)], [3])
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    path = save(tmp_path / "m.onnx", made)
    text = "".join(f"(declare-const X_{i} Real)" for i in range(3)) + "(declare-const Y_0 Real)"
    text += "".join(f"(assert (>= X_{i} {low}))(assert (<= X_{i} {low + 1}))" for i, low in enumerate((1.5, 0.0, -1.0)))
    asked = tmp_path / "p.vnnlib"
    asked.write_text(f"{text}(assert {limit})")
    result = verify(read_vnnlib(asked), Settings(timeout=20), network=read_onnx(path))
    assert result.verdict is verdict and (result.witness is None or result.witness.output.tolist() == [0])


@pytest.mark.parametrize("of", ["both", "values", "replaced"])
def test_slices_are_replaced(tmp_path, of):
    indices = np.array([[[0, 2], [1, -1]]], np.int64)
    constants = {"i": indices, "c": np.arange(24.0).reshape(2, 3, 4), "u": -np.ones((1, 2, 4))}
    nodes = {
        "both": [node("Slice", ["x", "b", "e"], ["s"]), node("ScatterND", ["x", "i", "s"])],
        "values": [node("ScatterND", ["x", "i", "u"])],
        "replaced": [node("Slice", ["x", "b", "e"], ["s"]), node("ScatterND", ["c", "i", "s"])],
    }[of]
    constants |= {"b": np.array([0, 0], np.int64), "e": np.array([1, 2], np.int64)}
    used = {name for one in nodes for name in one.input}
    path = save(
        tmp_path / "m.onnx", model(nodes, [2, 3, 4], {k: v for k, v in constants.items() if k in used}, opset=16)
    )
    assert_agrees(path, random_inputs([2, 3, 4]))


@pytest.mark.parametrize(
    ("indices", "attributes", "words"),
    [
        ([[0], [-2]], {}, "one place twice"),
        ([[0], [2]], {}, "indices beyond 2"),
        ([[0], [1]], {"reduction": "add"}, "added up"),
        ([[0]], {}, "numbers for places"),
    ],
)
def test_replacing_is_refused(tmp_path, indices, attributes, words):
    constants = {"i": np.array(indices, np.int64), "u": np.ones((2, 3))}
    path = save(
        tmp_path / "m.onnx", model([node("ScatterND", ["x", "i", "u"], **attributes)], [2, 3], constants, opset=16)
    )
    with pytest.raises(FormatError, match=words):
        read_onnx(path)


def test_whether_a_value_is_a_number():
    generator = torch.Generator().manual_seed(0)
    f = IsNumber(torch.tensor([0.0, 1.0, -2.0, 0.5], dtype=torch.float64))
    ends = 3 * torch.randn(2, 50, 4, generator=generator, dtype=torch.float64)
    ends[0, :10] = f.number
    ends[:, 5:15] = ends[:, 5:15].round()
    ends[1, :3] = f.number
    lower, upper = ends.amin(0), ends.amax(0)
    a = lower + torch.linspace(0, 1, 101, dtype=torch.float64)[:, None, None] * (upper - lower)
    a = torch.minimum(torch.maximum(torch.cat([a, f.number.expand(1, 50, 4)]), lower), upper)
    value = f.evaluate(a)
    low, high = f.output_range(lower, upper)
    assert torch.equal(low, value.amin(0)) and torch.equal(high, value.amax(0))
    v, s = torch.randn(2, 50, 4, generator=generator, dtype=torch.float64)
    found = f.hull(lower, upper).conjugate(v, s).value
    reached = (v * value - s * a).amax(0)
    assert bool((reached <= found + 1e-13).all())
    # Ends are next to the number, too, where it is not taken.
    assert bool(
        (
            found
            <= torch.maximum(
                reached, (-s * torch.stack([lower, upper, f.number.expand(50, 4).clamp(lower, upper)])).amax(0)
            )
            + 1e-9
        ).all()
    )
    assert f.select(torch.tensor([1, 3]), 4).number.tolist() == [1.0, 0.5]
    x = torch.tensor([-0.5, 0.5, 3.0, 0.5], requires_grad=True, dtype=torch.float64)
    y = f.evaluate(x)
    assert y.tolist() == f.evaluate(x.detach()).tolist() == [0.0, 0.0, 0.0, 1.0]
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient[0] > 0 > gradient[2]
