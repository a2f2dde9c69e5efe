"""What is said of layers whatever the input holds at every input, and widths are the least that do."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from differential.tflite_maker import RandomNetwork
from netproof.errors import InputError
from netproof.formats.tflite.read import read_deployed
from netproof.inference.facts import layer_facts, width_of
from netproof.operators.activations.staircase import Staircase
from tflite_files import TFLiteFile


def test_widths_are_the_least():
    for least, largest, bits in (
        (0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-3, 1, 3), (-128, 127, 8), (-129, 0, 9), (0, 128, 9), (5, 7, 4),
        (-(2**31), 2**31 - 1, 32), (0, 2**31, 33), (-7, -5, 4), (-8, -8, 4), (-9, -9, 5),
    ):  # fmt: skip
        assert width_of(least, largest) == bits, (least, largest)


def test_facts_hold_at_random_inputs(tmp_path):
    path, dead, unreachable, looked = tmp_path / "n.tflite", 0, 0, 0
    for seed in range(40):
        path.write_bytes(RandomNetwork(seed).bytes())
        try:
            network = read_deployed(path).network
        except InputError:
            continue
        graph = network.graph
        x = torch.randint(-128, 128, (300, network.inputs), generator=torch.Generator().manual_seed(seed)).double()
        x[:100] = torch.where(x[:100] > 0, 127.0, -128.0)
        values = graph.values(x)
        facts = iter(layer_facts(graph, network.lower, network.upper))
        for index in graph.activations:
            if not isinstance(graph.nodes[index].operator, Staircase):
                continue
            fact, inner = next(facts), values[graph.nodes[index].operands[0]]
            assert fact.least <= inner.min() and inner.max() <= fact.largest
            assert width_of(int(inner.min()), int(inner.max())) <= fact.width <= (fact.any_order or 64)
            codes = values[index].reshape(len(x), fact.channels, -1)
            constant = (codes == codes[:1, :, :1]).all(2).all(0).sum()
            assert fact.dead <= (codes == codes[:1]).all(2).all(0).sum() and constant <= fact.channels
            assert len(values[index].unique()) <= fact.codes - fact.unreachable
            dead, unreachable, looked = dead + fact.dead, unreachable + fact.unreachable, looked + 1
        assert next(facts, None) is None
    assert dead and unreachable and looked > 60


def network(tmp_path, weight, bias):
    file = TFLiteFile()
    x, y = file.tensor((1, weight.shape[1]), 1 / 256, -128), file.tensor((1, len(weight)), 1 / 16, 0)
    file.operator(
        "FULLY_CONNECTED", [x, file.constant(weight, 1 / 128), file.constant(bias, 1 / 2**15)], [y], {0: ("b", 0)}
    )
    path = tmp_path / "n.tflite"
    path.write_bytes(file.bytes(x, y))
    return path


def test_a_layer_by_hand(tmp_path, cli):
    weight = np.array([[64, 64, 0], [-100, 1, 0], [0, 0, 0]], np.int8)
    path = network(tmp_path, weight, np.array([10, 0, 7], np.int32))
    net = read_deployed(path).network
    (fact,) = layer_facts(net.graph, net.lower, net.upper)
    assert (fact.least, fact.largest) == (-25500, 32650) and fact.width == 16 and fact.any_order == 16
    assert fact.pairs is False and fact.channels == 3 and fact.dead == 1
    document = json.loads(cli("inspect", path, "--widths", "--json").out)
    assert document["layers"][0]["largest"] == 32650 and document["nodes"]
    text = cli("inspect", path, "--widths").out
    assert "no sum of products can leave 32 bits" in text and "1 of 3 channels are dead" in text
    weight[0, 1] = 65
    path = network(tmp_path, weight, np.array([10, 0, 7], np.int32))
    net = read_deployed(path).network
    assert layer_facts(net.graph, net.lower, net.upper)[0].pairs is True
    assert "of 1 layers can leave 16 bits" in cli("inspect", path, "--widths").out


def test_floats_have_no_widths(cli, tmp_path):
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    path = tmp_path / "f.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]).SerializeToString())
    done = cli("inspect", path, "--widths")
    assert done.code == 2 and "computes with floats" in done.err and len(done.err.splitlines()) == 1
