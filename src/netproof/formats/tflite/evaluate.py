"""What a runtime computes of inputs: every tensor of the file, in its own integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.tflite.codes import ELEMENTS
from netproof.formats.tflite.read import Deployed
from netproof.formats.tflite.schema import TensorInfo
from netproof.formats.tflite.translation import zero_of

#: numbers that are computed with at a time, of all tensors
_AT_ONCE = 1 << 22


def dtype_of(tensor: TensorInfo) -> np.dtype[Any]:
    """The type of a tensor's codes."""
    found: np.dtype[Any] = np.dtype(ELEMENTS[tensor.kind]).newbyteorder("=")
    return found


def shape_of_one(tensor: TensorInfo) -> tuple[int, ...]:
    """A tensor's shape without the batch axis, where it has one: some operators move it, or leave it out."""
    return tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape


@dataclass(frozen=True, eq=False)
class TensorValues:
    """A tensor on a batch of inputs.

    Attributes
    ----------
    name, operator : of the tensor, and of what gives it
    values : ``[batch, ...]`` in the type that it has in the file; the batch is in place of the file's own first axis of 1, and before
        all axes where there is none
    """

    name: str
    operator: str
    values: NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A file on a batch of inputs.

    Attributes
    ----------
    outputs : of the file, a final softmax included
    scores : ``[batch, n]``, the operand of a final softmax, or the outputs
    tensors : the output of every operator in turn
    """

    outputs: NDArray[np.integer[Any]]
    scores: NDArray[np.integer[Any]]
    tensors: tuple[TensorValues, ...]

    @property
    def classes(self) -> NDArray[np.int64]:
        """The first largest output of each input, ``[batch]``."""
        return np.asarray(self.outputs.reshape(len(self.outputs), -1).argmax(1), np.int64)


def evaluate(deployed: Deployed, inputs: NDArray[np.integer[Any]]) -> Evaluation:
    """Every tensor of a file on inputs ``[batch, ...]`` of its own shape and type, as its runtime computes them."""
    flat = torch.from_numpy(inputs.reshape(len(inputs), -1).astype(np.float64))
    columns: list[list[NDArray[np.integer[Any]]]] = [[] for _ in range(len(deployed.layers) + 1)]
    batch = max(1, _AT_ONCE // sum(node.size for node in deployed.graph.nodes))
    for part in torch.split(flat, batch):
        values = deployed.graph.values(part)
        for layer, column in zip(deployed.layers, columns, strict=False):
            codes = np.empty((len(part), len(layer.order)), dtype_of(layer.tensor))
            codes[:, layer.order] = (values[layer.node] + layer.zero).numpy()
            column.append(codes.reshape(len(part), *shape_of_one(layer.tensor)))
        columns[-1].append(values[deployed.output].numpy().astype(dtype_of(deployed.result)))
    *found, scores = (np.concatenate(column) for column in columns)
    tensors = tuple(
        TensorValues(layer.name, layer.operator, values) for layer, values in zip(deployed.layers, found, strict=True)
    )
    if deployed.softmax is None:
        return Evaluation(scores.reshape(len(scores), *shape_of_one(deployed.result)), scores, tensors)
    scales, tensor = deployed.softmax
    codes = deployed.runtime.softmax(scores.astype(np.int64), scales) - scales.zero + zero_of(tensor)
    outputs = codes.astype(dtype_of(tensor))
    outputs = outputs.reshape(len(scores), *shape_of_one(tensor))
    return Evaluation(outputs, scores, (*tensors, TensorValues(tensor.name, "SOFTMAX", outputs)))
