"""ONNX models for tests: small ones made on the spot, and both evaluations of a model."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from netproof.formats.onnx.read import read_onnx
from netproof.network import Network

Shape = Sequence[int | str | None]


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(
        operator, list(inputs), list(outputs), name=f"{operator.lower()}_{outputs[0]}", **attributes
    )


def model(
    nodes: Sequence[onnx.NodeProto],
    shape: Shape,
    constants: Mapping[str, NDArray[Any]] | None = None,
    *,
    opset: int = 13,
    output: str = "y",
) -> onnx.ModelProto:
    """A model with input ``x`` of a shape and one output; float constants are stored as float32."""
    tensors = [
        numpy_helper.from_array(array.astype(np.float32) if array.dtype == np.float64 else array, name)
        for name, array in (constants or {}).items()
    ]
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        initializer=tensors,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 8
    return made


def save(path: Path, made: onnx.ModelProto) -> Path:
    path.write_bytes(made.SerializeToString())
    return path


def run_onnxruntime(data: bytes, inputs: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
    """Outputs for inputs of the model's own shape, flattened."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data, options, providers=["CPUExecutionProvider"]
    )
    (name,) = [value.name for value in session.get_inputs()]
    return [session.run(None, {name: x})[0].astype(np.float64).reshape(-1) for x in inputs]


def integer_session(data: bytes, options: Any = None) -> Any:
    """A session of onnxruntime on a model of integers.

    The test is skipped where the installed version has no kernel for it: ``ConvInteger`` of signed weights is not in 1.23, the last
    one for Python 3.10.
    """
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except NoKernel as error:
        if "ConvInteger" not in str(error):
            raise
        pytest.skip(f"onnxruntime {onnxruntime.__version__} has no kernel for ConvInteger of these types")


def run_netproof(network: Network, inputs: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
    return [network.graph.evaluate(torch.from_numpy(x.reshape(-1)).double()).numpy() for x in inputs]


def assert_agrees(path: Path, inputs: Sequence[NDArray[np.float32]], tolerance: float = 2e-5) -> Network:
    """Both evaluations agree to float32 accuracy, with and without simplification; the network as it is read."""
    theirs = run_onnxruntime(path.read_bytes(), inputs)
    for simplified in (False, True):
        network = read_onnx(path, simplified=simplified)
        for mine, other in zip(run_netproof(network, inputs), theirs, strict=True):
            assert mine.shape == other.shape, (mine.shape, other.shape)
            assert np.abs(mine - other).max(initial=0) <= tolerance * max(1.0, np.abs(other).max(initial=0))
    return network


def random_inputs(shape: Sequence[int], count: int = 3, seed: int = 0) -> list[NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    return [random.normal(size=tuple(shape)).astype(np.float32) for _ in range(count)]
