"""Writer for graphs in ONNX: one node per operator, and a reshape where the next one needs another shape.

Numbers are rounded to float32, which is what the file holds. Batch norms are written as such, or folded into the
convolution or matrix before them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.errors import InputError
from netproof.formats.onnx.writing.float import OnnxWriter
from netproof.graph.graph import Graph, Node
from netproof.graph.passes.merge import merge
from netproof.graph.passes.rules.fold_scale import scale_after
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.activations.tanh import Tanh
from netproof.operators.affine.batch_norm import BatchNorm
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.kernel_map import KernelMap
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum
from netproof.operators.affine.transposed_convolution import TransposedConvolution
from netproof.operators.base import Affine, Operator, Shape


def graph_onnx(graph: Graph, name: str, *, fold: bool = False) -> bytes:
    """The ONNX model of a graph for a batch of one; the same graph gives the same bytes.

    Parameters
    ----------
    graph : over the real numbers, float64
    name : of the graph in the file
    fold : put every batch norm into the convolution or matrix before it; its factor is computed in float64, and each
        product rounded once

    Raises :class:`InputError` for an operator that ONNX does not have (a staircase).
    """
    merged = merge(graph, (scale_after,) if fold else (_bias,))
    return _Writer(merged, name).model()


def _bias(first: Affine, second: Affine) -> Affine | None:
    """A constant that is added right after a matrix product is its bias."""
    plain = isinstance(second, Scale) and not isinstance(second, BatchNorm) and bool((second.scale == 1).all())
    weighted = isinstance(first, (Linear, KernelMap))
    return scale_after(first, second) if plain and weighted else None


class _Writer:
    """Writes nodes in order; every value is known by its name and the shape it has in ONNX."""

    def __init__(self, graph: Graph, name: str) -> None:
        self._graph = graph
        shape = graph.input.shape
        batch = len(shape) > 1 and shape[0] == 1
        self._onnx = OnnxWriter(name, shape[1:] if batch else shape, batch=batch)
        self._values: list[tuple[str, Shape]] = [(self._onnx.input, shape)]
        self._taken = {self._onnx.input}
        self._reshapes = 0

    def model(self) -> bytes:
        for node in self._graph.nodes[1:]:
            self._values.append(self._written(node))
        return self._onnx.model(self._shaped(self._values[-1], self._flat(-1)), self._graph.output.size)

    def _written(self, node: Node) -> tuple[str, Shape]:
        write = next((w for kind, w in _WRITERS.items() if isinstance(node.operator, kind)), None)
        if write is None:
            raise InputError(node.name, f"ONNX has no operator for '{node.operator.name}'", "write another network")
        return write(self, self._unique(node.name), node.operator, [self._values[i] for i in node.operands])

    def _unique(self, name: str) -> str:
        found, number = name, 1
        while found in self._taken:
            number += 1
            found = f"{name}.{number}"
        self._taken.add(found)
        return found

    def _flat(self, index: int) -> Shape:
        return (1, math.prod(self._values[index][1]))

    def _shaped(self, value: tuple[str, Shape], shape: Shape) -> str:
        """The value in another shape; its name."""
        name, had = value
        if had == shape:
            return name
        self._reshapes += 1
        new = self._unique(f"reshaped{self._reshapes}")
        if len(shape) == 2 and had[:1] == (1,) and shape[0] == 1:
            return self._onnx.flatten(new, name)
        return self._onnx.node("Reshape", new, [name, self._onnx.integers(f"{new}.shape", shape)])

    # -- one method per operator: name, operator, operands to the result's name and shape

    def _linear(self, name: str, operator: Linear, values: Sequence[tuple[str, Shape]]) -> tuple[str, Shape]:
        x = self._shaped(values[0], (1, operator.weight.shape[1]))
        return self._onnx.linear(name, x, _array(operator.weight), _array(operator.bias)), (1, len(operator.weight))

    def _block_linear(self, name: str, operator: BlockLinear, values: Sequence[tuple[str, Shape]]) -> tuple[str, Shape]:
        groups, outputs, inputs = operator.weight.shape
        x = self._shaped(values[0], (groups, operator.rows, inputs))
        weight = self._onnx.constant(f"{name}.weight", _array(operator.weight.mT))
        return self._onnx.node("MatMul", name, [x, weight]), (groups, operator.rows, outputs)

    def _convolution(
        self, name: str, operator: Convolution | TransposedConvolution, values: Sequence[tuple[str, Shape]]
    ) -> tuple[str, Shape]:
        operands = [
            self._shaped(values[0], (operator.samples, *operator.input_shape)),
            self._onnx.constant(f"{name}.weight", _array(operator.weight)),
        ]
        if operator.bias is not None:
            operands.append(self._onnx.constant(f"{name}.bias", _array(operator.bias)))
        kind, more = "Conv", {}
        if isinstance(operator, TransposedConvolution):
            kind, more = "ConvTranspose", {"output_padding": list(operator.output_padding)}
        result = self._onnx.node(
            kind,
            name,
            operands,
            kernel_shape=list(operator.kernel),
            pads=[before for before, _ in operator.padding] + [after for _, after in operator.padding],
            strides=list(operator.stride),
            dilations=list(operator.dilation),
            **more,
            group=operator.groups,
        )
        return result, (operator.samples, *operator.sample_shape)

    def _batch_norm(self, name: str, operator: BatchNorm, values: Sequence[tuple[str, Shape]]) -> tuple[str, Shape]:
        channels = operator.gain.numel()
        shape = values[0][1]
        if len(shape) < 2 or shape[1] != channels:
            samples = operator.scale.numel() // channels
            shape = (samples, channels, operator.size // (samples * channels))
        result = self._onnx.batch_normalization(
            name,
            self._shaped(values[0], shape),
            _array(operator.gain),
            _array(operator.bias),
            _array(operator.mean),
            _array(operator.variance),
            operator.epsilon,
        )
        return result, shape

    def _scale(self, name: str, operator: Scale, values: Sequence[tuple[str, Shape]]) -> tuple[str, Shape]:
        shape = values[0][1]
        x = values[0][0]
        scaled = bool((operator.scale != 1).any())
        shifted = bool((operator.shift != 0).any())
        if scaled or not shifted:
            factor, shape = self._per_channel(f"{name}.scale", operator.scale, shape, operator.size)
            x = self._shaped((x, values[0][1]), shape)
            x = self._onnx.node("Mul", self._unique(f"{name}.scaled") if shifted else name, [x, factor])
        if shifted:
            before = shape
            added, shape = self._per_channel(f"{name}.shift", operator.shift, shape, operator.size)
            x = self._onnx.node("Add", name, [self._shaped((x, before), shape), added])
        return x, shape

    def _per_channel(self, name: str, part: torch.Tensor, shape: Shape, size: int) -> tuple[str, Shape]:
        """A number per channel as a constant that broadcasts, and the shape to which it does."""
        channels = part.numel()
        if channels == 1:
            return self._onnx.constant(name, _array(part)), shape
        if not (len(shape) > 1 and shape[0] == 1 and shape[1] == channels):
            shape = (1, channels, size // channels) if channels < size else (1, size)
        return self._onnx.constant(name, _array(part).reshape(1, channels, *[1] * (len(shape) - 2))), shape

    def _select(self, name: str, operator: Select, values: Sequence[tuple[str, Shape]]) -> tuple[str, Shape]:
        x, index = self._shaped(values[0], (1, operator.size)), operator.index.clone()
        gaps = index < 0
        if bool(gaps.any()):
            fill = torch.zeros(len(index), dtype=torch.float64) if operator.fill is None else operator.fill
            constants = self._onnx.constant(f"{name}.fill", _array(fill[gaps])[None])
            index[gaps] = operator.size + torch.arange(int(gaps.sum()))
            x = self._onnx.node("Concat", self._unique(f"{name}.padded"), [x, constants], axis=1)
        positions = self._onnx.integers(f"{name}.index", index.tolist())
        return self._onnx.node("Gather", name, [x, positions], axis=1), (1, len(index))

    def _sum(self, name: str, operator: Sum, values: Sequence[tuple[str, Shape]]) -> tuple[str, Shape]:
        total, shape = values[0]
        if operator.signs[0] < 0:
            total = self._onnx.node("Neg", self._unique(f"{name}.negated"), [total])
        for number, (sign, value) in enumerate(zip(operator.signs[1:], values[1:], strict=True), start=2):
            last = number == len(values)
            result = name if last else self._unique(f"{name}.first{number}")
            total = self._onnx.node("Add" if sign > 0 else "Sub", result, [total, self._shaped(value, shape)])
        return total, shape

    def _concatenate(self, name: str, operator: Concatenate, values: Sequence[tuple[str, Shape]]) -> tuple[str, Shape]:
        flat = [self._shaped(value, (1, size)) for value, size in zip(values, operator.sizes, strict=True)]
        return self._onnx.node("Concat", name, flat, axis=1), (1, sum(operator.sizes))

    def _abs(self, name: str, operator: Abs, values: Sequence[tuple[str, Shape]]) -> tuple[str, Shape]:
        return self._onnx.node("Abs", name, [values[0][0]]), values[0][1]

    def _relu(self, name: str, operator: ReLU, values: Sequence[tuple[str, Shape]]) -> tuple[str, Shape]:
        return self._onnx.relu(name, values[0][0]), values[0][1]

    def _leaky_relu(self, name: str, operator: LeakyReLU, values: Sequence[tuple[str, Shape]]) -> tuple[str, Shape]:
        return self._onnx.node("LeakyRelu", name, [values[0][0]], alpha=operator.alpha), values[0][1]

    def _clip(self, name: str, operator: Clip, values: Sequence[tuple[str, Shape]]) -> tuple[str, Shape]:
        ends = [
            self._onnx.constant(f"{name}.{end}", np.array(limit)) if math.isfinite(limit) else ""
            for end, limit in (("low", operator.low), ("high", operator.high))
        ]
        return self._onnx.node("Clip", name, [values[0][0], *ends]), values[0][1]

    def _sigmoid(self, name: str, operator: Sigmoid, values: Sequence[tuple[str, Shape]]) -> tuple[str, Shape]:
        return self._onnx.node("Sigmoid", name, [values[0][0]]), values[0][1]

    def _tanh(self, name: str, operator: Tanh, values: Sequence[tuple[str, Shape]]) -> tuple[str, Shape]:
        return self._onnx.node("Tanh", name, [values[0][0]]), values[0][1]


#: how each operator is written; the first kind that fits is taken
_WRITERS: dict[type[Operator], Callable[..., tuple[str, Shape]]] = {
    Linear: _Writer._linear,
    BlockLinear: _Writer._block_linear,
    Convolution: _Writer._convolution,
    TransposedConvolution: _Writer._convolution,
    BatchNorm: _Writer._batch_norm,
    Scale: _Writer._scale,
    Select: _Writer._select,
    Sum: _Writer._sum,
    Concatenate: _Writer._concatenate,
    Abs: _Writer._abs,
    ReLU: _Writer._relu,
    LeakyReLU: _Writer._leaky_relu,
    Clip: _Writer._clip,
    Sigmoid: _Writer._sigmoid,
    Tanh: _Writer._tanh,
}


def _array(tensor: torch.Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return array
