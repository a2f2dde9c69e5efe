"""What an ONNX file says and a reader might pass over: attributes of newer opsets, functions a runtime has a kernel for, lengths that are no
whole numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import defs, helper
from onnx.reference import ReferenceEvaluator

from netproof.errors import FormatError
from netproof.formats.onnx.call import Call
from netproof.formats.onnx.integer import OPERATORS as OF_INTEGERS
from netproof.formats.onnx.nodes.table import OPERATORS
from netproof.formats.onnx.read import read_onnx
from onnx_models import assert_agrees, model, node, random_inputs, save


def refused(path: Path, part: str) -> None:
    with pytest.raises(FormatError, match=part) as caught:
        read_onnx(path)
    assert "\n" not in str(caught.value)


def test_an_attribute_that_nobody_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators get attributes with new opsets; one that a reader does not know must not be read as if it were not there."""
    path = save(tmp_path / "net.onnx", model([node("LeakyRelu", ["x"], alpha=0.5)], (1, 3)))
    assert_agrees(path, random_inputs((1, 3)))
    monkeypatch.setitem(OPERATORS, "LeakyRelu", lambda call: call.variable(0))
    refused(path, r"node 'leakyrelu_y' \(LeakyRelu of 1x3\): its attribute 'alpha', which is not known here")


def test_an_attribute_that_nobody_asks_for_among_integers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = model([node("Flatten", ["x"], axis=1)], (1, 3))
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.elem_type = 2
    path = save(tmp_path / "net.onnx", made)
    assert read_onnx(path).outputs == 3

    def blind(reader: object, call: Call) -> object:
        return call.operand(0)

    monkeypatch.setitem(OF_INTEGERS, "Flatten", blind)
    refused(path, "its attribute 'axis', which is not known here")


newest = pytest.mark.skipif(defs.onnx_opset_version() < 28, reason="the onnx that is installed has no opset 28")


@newest
@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_the_order_of_blocks_from_opset_28_on(mode: str, tmp_path: Path) -> None:
    made = model([node("SpaceToDepth", ["x"], blocksize=2, mode=mode)], (1, 3, 4, 6), opset=28)
    network = read_onnx(save(tmp_path / "net.onnx", made))
    x = np.arange(72, dtype=np.float32).reshape(1, 3, 4, 6)
    wanted = ReferenceEvaluator(made).run(None, {"x": x})[0].reshape(-1)
    assert network.graph.evaluate(torch.from_numpy(x.reshape(-1)).double()).tolist() == wanted.tolist()


@newest
def test_a_mode_of_blocks_that_is_not_known(tmp_path: Path) -> None:
    made = model([node("SpaceToDepth", ["x"], blocksize=2, mode="RCD")], (1, 3, 4, 6), opset=28)
    refused(save(tmp_path / "net.onnx", made), "mode 'RCD'")


@pytest.mark.parametrize("operator", ["LayerNormalization", "RMSNormalization"])
def test_means_in_fewer_bits(operator: str, tmp_path: Path) -> None:
    nodes = [node(operator, ["x", "s"], stash_type=10)]
    refused(save(tmp_path / "net.onnx", model(nodes, (1, 3), {"s": np.ones(3)}, opset=23)), "rounded to fewer bits")


@pytest.mark.parametrize(
    ("extent", "scale", "part"),
    [(4, 0.6, "corners aligned of 4 entries"), (3, 2.3, "corners aligned"), (10, 0.6, ""), (4, 1.75, ""), (9, 1 / 3, "")],
)  # fmt: skip
def test_corners_of_a_result_of_no_whole_length(extent: int, scale: float, part: str, tmp_path: Path) -> None:
    """By ONNX 0.6 of 4 entries are 2.4, and the last of 2 is no corner; runtimes take 2."""
    nodes = [node("Resize", ["x", "", "s"], mode="linear", coordinate_transformation_mode="align_corners")]
    path = save(tmp_path / "net.onnx", model(nodes, (1, 1, extent), {"s": np.array([1.0, 1.0, scale])}, opset=19))
    if part:
        refused(path, part)
    else:
        assert_agrees(path, random_inputs((1, 1, extent)))


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.ml", "qonnx.custom_op.general", "com.ms.internal.nhwc"])
def test_a_function_that_a_runtime_has_a_kernel_for(domain: str, tmp_path: Path) -> None:
    """A runtime takes its own kernel where it has one, not the model's function."""
    made = model([helper.make_node("Gelu", ["x"], ["y"], domain=domain)], (1, 3))
    made.opset_import.append(helper.make_opsetid(domain, 1))
    body = [helper.make_node("Neg", ["a"], ["b"])]
    made.functions.append(helper.make_function(domain, "Gelu", ["a"], ["b"], body, made.opset_import))
    refused(save(tmp_path / "net.onnx", made), "defines the operator 'Gelu' by itself")
    for one in (made.graph.node[0], made.functions[0], made.opset_import[1], made.functions[0].opset_import[1]):
        one.domain = "mine"
    assert_agrees(save(tmp_path / "net.onnx", made), random_inputs((1, 3)))
