"""Graphs written to ONNX and read again, against onnxruntime on the file they came from."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from differential.test_onnx_random import Maker
from netproof.errors import InputError
from netproof.formats.onnx.read import unsimplified_graph
from netproof.formats.onnx.writing.graph import graph_onnx
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.staircase import Staircase
from netproof.training.architectures import architecture
from netproof.training.export import onnx_model
from onnx_models import assert_agrees, model, node, random_inputs, run_onnxruntime, save


@pytest.mark.parametrize("seed", range(12))
def test_what_is_written_computes_the_same(seed, tmp_path):
    maker = Maker(seed)
    shape = maker.shape
    for _ in range(2 + seed % 7):
        maker.grow()
    maker.finish()
    path = save(tmp_path / "net.onnx", model(maker.nodes, shape, maker.constants))
    inputs = random_inputs(shape, seed=seed)
    theirs = run_onnxruntime(path.read_bytes(), inputs)
    graph, _ = unsimplified_graph(path, path.read_bytes())
    for fold in (False, True):
        again = tmp_path / f"again{fold}.onnx"
        again.write_bytes(graph_onnx(graph, "again", fold=fold))
        assert_agrees(again, inputs)
        for mine, other in zip(run_onnxruntime(again.read_bytes(), inputs), theirs, strict=True):
            assert np.abs(mine - other).max() <= 2e-5 * max(1.0, np.abs(other).max())


def test_operators_of_their_own(tmp_path):
    random = np.random.default_rng(0)
    constants = {
        "w": random.normal(size=(3, 5, 4)),
        "low": np.array(-0.5, np.float32),
        "high": np.array(0.75, np.float32),
        "pads": np.array([0, 1, 0, 2], np.int64),
        "fill": np.array(0.25, np.float32),
    }
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Clip", ["a", "low", "high"], ["b"]),
        node("Clip", ["b", "low"], ["c"]),
        node("Reshape", ["c", "flat"], ["d"]),
        node("Pad", ["d", "pads", "fill"], ["e"]),
        node("Sum", ["e", "e", "e"], ["f"]),
        node("Neg", ["f"], ["g"]),
        node("Sub", ["g", "e"], ["h"]),
        node("Abs", ["h"], ["y"]),
    ]
    path = save(tmp_path / "net.onnx", model(nodes, (3, 2, 5), {**constants, "flat": np.array([1, 24], np.int64)}))
    inputs = random_inputs((3, 2, 5))
    graph, _ = unsimplified_graph(path, path.read_bytes())
    data = graph_onnx(graph, "again")
    for mine, other in zip(run_onnxruntime(data, inputs), run_onnxruntime(path.read_bytes(), inputs), strict=True):
        assert np.abs(mine - other).max() <= 1e-5


def test_transposed_convolutions(tmp_path):
    random = np.random.default_rng(1)
    constants = {
        "k": random.normal(size=(4, 3, 3, 2)),
        "b": random.normal(size=6),
        "j": random.normal(size=(6, 1, 2, 2)),
    }
    nodes = [
        node(
            "ConvTranspose", ["x", "k", "b"], ["a"], strides=[2, 3], pads=[1, 0, 0, 1], output_padding=[1, 2], group=2
        ),
        node("Relu", ["a"], ["c"]),
        node("ConvTranspose", ["c", "j"], ["d"], dilations=[2, 1]),
        node("Flatten", ["d"]),
    ]
    path = save(tmp_path / "net.onnx", model(nodes, (1, 4, 3, 2), constants))
    inputs = random_inputs((1, 4, 3, 2))
    graph, _ = unsimplified_graph(path, path.read_bytes())
    again = tmp_path / "again.onnx"
    again.write_bytes(graph_onnx(graph, "again"))
    assert_agrees(again, inputs)
    for mine, other in zip(
        run_onnxruntime(again.read_bytes(), inputs), run_onnxruntime(path.read_bytes(), inputs), strict=True
    ):
        assert np.abs(mine - other).max() <= 1e-5


def test_architectures_keep_their_layout(tmp_path):
    import onnx

    network = architecture("small").reduced(0.05, classes=7).build(seed=2).eval()
    for fold in (False, True):
        data = onnx_model(network, fold=fold)
        graph, _ = unsimplified_graph(tmp_path / "net.onnx", data)
        again = onnx.load_model_from_string(graph_onnx(graph, "net", fold=fold))
        onnx.checker.check_model(again, full_check=True)
        before = onnx.load_model_from_string(data)
        assert Counter(n.op_type for n in again.graph.node) == Counter(n.op_type for n in before.graph.node)


def test_integer_graphs_are_refused():
    builder = GraphBuilder(Arithmetic.INTEGER, (2,))
    builder.add("steps", Staircase.fixed_point(1, 0, 3), 0)
    with pytest.raises(InputError, match="ONNX has no operator for 'staircase'"):
        graph_onnx(builder.build(), "net")
