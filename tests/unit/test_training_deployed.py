"""Networks trained for deployment: every file gives the training's integers, by every rule and in the runtimes themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

import netproof
from netproof.certificate.second_reading.compare import confirm
from netproof.errors import ExactnessError, InputError
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.onnx.writing.qdq import QdqWriter
from netproof.formats.tflite.installed import outputs_of_installed
from netproof.formats.tflite.read import read_deployed
from netproof.formats.tflite.rules.runtime import RUNTIMES
from netproof.formats.tflite.writing.model import TFLiteWriter
from netproof.training.quantized.deployed import DeployedNetwork, deployed_perceptron, deployed_residual
from netproof.training.quantized.files import compare_files, write_files
from netproof.training.quantized.train import integer_outputs

#: odd and even extents, so that paddings differ at both ends and in both directions
SHAPE = (2, 6, 5)
kinds = pytest.mark.parametrize("kind", ["perceptron", "residual"])
PACKAGES = {"tflm": "tflite_micro", "xnnpack": "ai_edge_litert", "litert-ref": "ai_edge_litert"}


def made(kind: str, bits: int = 6, seed: int = 0, size: float = 1.5) -> DeployedNetwork:
    """Untrained weights of every size, so that activations saturate at both ends."""
    torch.manual_seed(seed)
    widths = FixedPoint(bits=bits)
    network = (
        deployed_perceptron(SHAPE, (7, 6), 3, widths)
        if kind == "perceptron"
        else deployed_residual(SHAPE, (3, 4), (2, 1), 3, widths)
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter * size if parameter.ndim > 1 else torch.randn_like(parameter) / 2)
    return network.eval()


def grey(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE)).astype(np.uint8)


def codes(images: NDArray[np.uint8]) -> NDArray[np.int8]:
    return (images.transpose(0, 2, 3, 1).astype(np.int64) - 128).astype(np.int8)


@kinds
@pytest.mark.parametrize("bits", [3, 6, 7])
def test_every_rule_reads_the_integers_of_the_training(tmp_path: Path, kind: str, bits: int) -> None:
    network, images = made(kind, bits), grey(60)
    outputs = integer_outputs(network, images)
    assert len(np.unique(outputs)) > 20
    paths = write_files(network, tmp_path)
    assert [path.name for path in paths] == ["network.onnx", "network.tflite", "network-qdq.onnx"]
    compare_files(network, tmp_path, [images])
    for name in RUNTIMES:
        read = netproof.load(tmp_path / "network.tflite", runtime=name)
        assert confirm(read) and not read.notes
    # The same parameters, the same bytes.
    assert network.tflite() == paths[1].read_bytes() and network.qdq() == paths[2].read_bytes()


@kinds
@pytest.mark.parametrize("name", list(PACKAGES))
def test_tensorflow_lite_itself_computes_them(tmp_path: Path, kind: str, name: str) -> None:
    pytest.importorskip(PACKAGES[name])
    network, images = made(kind, 7, seed=1), grey(60, 1)
    network.write_tflite(tmp_path / "net.tflite")
    found = outputs_of_installed(read_deployed(tmp_path / "net.tflite", name), codes(images))
    assert np.array_equal(found, integer_outputs(network, images))


@kinds
def test_onnxruntime_itself_computes_them_fused_or_not(tmp_path: Path, kind: str) -> None:
    network, images = made(kind, seed=2), grey(60, 2)
    outputs = integer_outputs(network, images)
    for level in (
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    ):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        session = onnxruntime.InferenceSession(network.qdq(), options, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"input": (images / 256).astype(np.float32)})
        assert np.array_equal(found * 16, outputs)
    network.write_qdq(tmp_path / "qdq.onnx")
    # Weights of 6 bits, doubled, never saturate products of 16 bits.
    assert netproof.load(tmp_path / "qdq.onnx").processors == ()


@pytest.mark.parametrize("shift", [1, 2, 7])
def test_sums_at_halves_are_rounded_up_by_every_rule(tmp_path: Path, shift: int) -> None:
    """One weight of 1: the sum is the input, and every second level of ``2**shift / 2`` lies at a half."""
    levels = np.arange(256)
    wanted = np.minimum((levels + (1 << shift) // 2) >> shift, 255)
    for writer, name in ((TFLiteWriter, "net.tflite"), (QdqWriter, "net.onnx")):
        made = writer("halves", (1, 1, 1), 8, 5)
        flat = made.flatten("flat", made.input)
        product = made.linear("product", flat, np.array([[1]]), np.array([0]))
        output = made.requantize("outputs", product, shift, 0, 255)
        (tmp_path / name).write_bytes(made.model(output, 1))
    x = torch.from_numpy(levels[:, None]).double()
    for rule in RUNTIMES:
        graph = netproof.load(tmp_path / "net.tflite", runtime=rule).graph
        assert np.array_equal(graph.evaluate(x - 128).numpy()[:, 0] + 128, wanted)
    for rule in ("onnxruntime", "integer-ideal"):
        graph = netproof.load(tmp_path / "net.onnx", runtime=rule).graph
        assert np.array_equal(graph.evaluate(x).numpy()[:, 0], wanted)


def test_what_cannot_be_deployed() -> None:
    with pytest.raises(InputError, match="at most 7 bits"):
        deployed_perceptron(SHAPE, (4,), 3, FixedPoint(bits=8))
    with pytest.raises(InputError, match="inputs 4"):
        deployed_perceptron(SHAPE, (4,), 3, FixedPoint(input_bits=4))
    with pytest.raises(InputError, match="no more fractional bits"):
        deployed_perceptron(SHAPE, (4,), 3, FixedPoint(bits=2, weight_integer_bits=2))
    with pytest.raises(InputError, match="a bias has"):
        deployed_perceptron(
            SHAPE,
            (4,),
            3,
            FixedPoint(bits=7, weight_integer_bits=7 - 3, bias_integer_bits=0, activation_integer_bits=6),
        )
    writer = TFLiteWriter("wide", (1, 1, 600), 8, 5)
    flat = writer.flatten("flat", writer.input)
    with pytest.raises(ExactnessError, match="its sums reach 9793001"):
        writer.linear("product", flat, np.full((1, 600), 32), np.array([500]))
    with pytest.raises(ValueError, match="beyond 7 bits"):
        writer.linear("product", flat, np.full((1, 600), 64), np.array([0]))
    product = writer.linear("product", flat, np.ones((1, 600), np.int64), np.array([0]))
    for shift, low, high in ((0, 0, 255), (3, 0, 63)):
        with pytest.raises(ValueError, match=r"levels from|does not shift"):
            writer.requantize("outputs", product, shift, low, high)
        writer.linear("product", flat, np.ones((1, 600), np.int64), np.array([0]))


def test_a_file_that_computes_something_else_is_noticed(tmp_path: Path) -> None:
    network, images = made("residual"), grey(20)
    write_files(network, tmp_path)
    other = made("residual", seed=5)
    for name, content in (("network.tflite", other.tflite()), ("network-qdq.onnx", other.qdq())):
        kept = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ExactnessError, match="computes other integers than the training by the rule"):
            compare_files(network, tmp_path, [images])
        (tmp_path / name).write_bytes(kept)
    compare_files(network, tmp_path, [images])
