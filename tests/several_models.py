"""ONNX models with several inputs, outputs and values of known names, for queries in VNN-LIB 2.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Shapes = Mapping[str, Sequence[int]]


def many(
    nodes: Sequence[onnx.NodeProto],
    inputs: Shapes,
    outputs: Shapes,
    constants: Mapping[str, NDArray[Any]],
    *,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model; constants of float64 are stored as float32 unless the model is one of float64."""
    stored = np.float64 if kind == TensorProto.DOUBLE else np.float32
    tensors = [
        numpy_helper.from_array(array.astype(stored) if array.dtype == np.float64 else array, name)
        for name, array in constants.items()
    ]
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, kind, list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, kind, list(shape)) for name, shape in outputs.items()],
        initializer=tensors,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    return made


def perceptron(path: Path, layers: Sequence[tuple[NDArray[Any], NDArray[Any]]], **options: Any) -> Path:
    """``y = W2 relu(W1 x + b1) + b2`` and so on; input ``x``, output ``y``, hidden ``h0``, ``h1``, ..."""
    nodes, constants = [], {}
    value = "x"
    for number, (weight, bias) in enumerate(layers):
        last = number == len(layers) - 1
        name = "y" if last else f"a{number}"
        constants |= {f"w{number}": np.asarray(weight, np.float64), f"b{number}": np.asarray(bias, np.float64)}
        nodes.append(helper.make_node("Gemm", [value, f"w{number}", f"b{number}"], [name], name=f"gemm{number}"))
        value = name
        if not last:
            value = f"h{number}"
            nodes.append(helper.make_node("Relu", [name], [value], name=f"relu{number}"))
    sizes = np.shape(layers[0][0])[0], np.shape(layers[-1][0])[1]
    made = many(nodes, {"x": (1, sizes[0])}, {"y": (1, sizes[1])}, constants, **options)
    path.write_bytes(made.SerializeToString())
    return path
