"""What a rule makes of inputs: every tensor of codes of a quantized ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.quantized.deployed import Deployed, Layer
from netproof.formats.onnx.quantized.values import UINT8

#: numbers that are computed with at a time, of all tensors
_AT_ONCE = 1 << 22
_Codes = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class TensorValues:
    """A tensor on a batch of inputs.

    Attributes
    ----------
    name, operator : of the tensor, and of what gives it
    values : ``[batch, ...]`` codes in the type that they have in the file; the batch is in place of a first axis of 1
    """

    name: str
    operator: str
    values: _Codes


def evaluate(deployed: Deployed, inputs: _Codes) -> tuple[_Codes, tuple[TensorValues, ...]]:
    """The outputs ``[batch, ...]`` and every tensor of codes, of inputs ``[batch, ...]`` that are codes."""
    flat = torch.from_numpy(inputs.reshape(len(inputs), -1).astype(np.float64))
    wanted = (*deployed.layers, deployed.result)
    columns: list[list[_Codes]] = [[] for _ in wanted]
    batch = max(1, _AT_ONCE // sum(node.size for node in deployed.graph.nodes))
    for part in torch.split(flat, batch):
        values = deployed.graph.values(part)
        for layer, column in zip(wanted, columns, strict=True):
            column.append(_codes(values[layer.node].numpy(), layer))
    *layers, outputs = (np.concatenate(column) for column in columns)
    found = zip(deployed.layers, layers, strict=True)
    return outputs, tuple(TensorValues(layer.name, layer.operator, values) for layer, values in found)


def _codes(features: NDArray[np.float64], layer: Layer) -> _Codes:
    kind = np.uint8 if layer.kind == UINT8 else np.int8
    sample = layer.shape[1:] if layer.shape[:1] == (1,) else layer.shape
    return (features + layer.offset).astype(kind).reshape(len(features), *sample)
