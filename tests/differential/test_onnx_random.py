"""Random networks of every kind of layer, evaluated here and by onnxruntime, simplified and not."""

from __future__ import annotations

import pytest

from differential import operator_maker
from differential.onnx_maker import Maker
from onnx_models import assert_agrees, model, random_inputs, save


@pytest.mark.parametrize("seed", range(60))
def test_random_network_agrees_with_onnxruntime(seed, tmp_path):
    maker = Maker(seed)
    shape = maker.shape
    for _ in range(2 + seed % 7):
        maker.grow()
    maker.finish()
    path = save(tmp_path / "net.onnx", model(maker.nodes, shape, maker.constants))
    network = assert_agrees(path, random_inputs(shape, seed=seed))
    assert network.outputs == 3


@pytest.mark.parametrize("seed", range(120))
def test_random_network_of_all_operators_agrees_with_onnxruntime(seed, tmp_path):
    maker = Maker(seed)
    shape = maker.shape
    for _ in range(2 + seed % 5):
        operator_maker.grow(maker)
    maker.finish()
    path = save(tmp_path / "net.onnx", model(maker.nodes, shape, maker.constants, opset=13))
    # Points in general position: next to a jump, float32 is on either side.
    assert_agrees(path, random_inputs(shape, seed=seed), 1e-4)
