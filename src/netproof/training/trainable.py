"""A network whose numbers can be trained: the graph's own operators over parameters of PyTorch.

Evaluation and bounds of a graph are differentiable in the tensors its operators hold, so a graph that is built anew
from parameters is all that training needs: the bound that trains a network is the bound that verifies it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from netproof.errors import InputError
from netproof.formats.onnx.read import unsimplified_graph
from netproof.graph.graph import Graph
from netproof.operators.affine.batch_norm import BatchNorm
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.kernel_map import KernelMap
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.transposed_convolution import TransposedConvolution
from netproof.operators.base import Activation, Affine, Operator

#: ONNX operators whose constants are weights; those of all others (means, pooling, normalization of the input) stay
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
#: share of a batch in the running statistics, as PyTorch's own batch norm has it
_MOMENTUM = 0.1
_CPU = torch.device("cpu")

#: makes an operator from numbers by name, float32 or float64
_Make = Callable[[Operator, dict[str, Tensor]], Operator]


class TrainableNetwork(nn.Module):
    """The parameters and running statistics of a graph, and the graphs they make.

    Trained are weights and biases of matrix products and convolutions, a constant that is added right after one (its
    bias), and gain and bias of batch norms. Other constants stay as they are.

    Parameters
    ----------
    graph : unsimplified, float64
    made_by : the ONNX operator each node comes from (:func:`netproof.formats.onnx.read.unsimplified_graph`)
    """

    def __init__(self, graph: Graph, made_by: tuple[str, ...]) -> None:
        super().__init__()
        self._arithmetic, self._nodes = graph.arithmetic, graph.nodes
        self._numbers = nn.ParameterDict()
        self._trained: dict[int, tuple[str, ...]] = {}
        for index, node in enumerate(graph.nodes):
            trained = _trained(graph, made_by, index)
            self._trained[index] = tuple(trained)
            for name, tensor in trained.items():
                self._numbers[_key(index, name)] = nn.Parameter(tensor.detach().clone().float())
            if isinstance(node.operator, BatchNorm):
                self.register_buffer(_key(index, "mean"), node.operator.mean.clone().float())
                self.register_buffer(_key(index, "variance"), node.operator.variance.clone().float())
        self._fixed: dict[torch.device, list[Operator]] = {}

    @property
    def device(self) -> torch.device:
        """Where the numbers are."""
        return next((p.device for p in self._numbers.values()), _CPU)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The input's shape in the file, a batch axis of 1 included."""
        return self._nodes[0].shape

    @property
    def inputs(self) -> int:
        return self._nodes[0].size

    @property
    def outputs(self) -> int:
        return self._nodes[-1].size

    def graph(self) -> Graph:
        """The graph of the present numbers, float32, batch norms with their running statistics."""
        nodes = list(self._nodes)
        for index, node in enumerate(nodes):
            operator = node.operator
            if isinstance(operator, BatchNorm):
                statistics = self._buffer(index, "mean"), self._buffer(index, "variance")
                nodes[index] = replace(node, operator=self._norm(index, operator, *statistics))
            else:
                nodes[index] = replace(node, operator=self._operator(index))
        return Graph(self._arithmetic, nodes)

    def batch_graph(self, x: Tensor, *, update: bool = True) -> tuple[Graph, Tensor]:
        """The graph whose batch norms take their statistics from a batch, as in training, and its outputs there.

        Parameters
        ----------
        x : ``[B, n_input]``
        update : move the running statistics towards the batch's
        """
        nodes = list(self._nodes)
        values = [x]
        for index, node in enumerate(self._nodes[1:], start=1):
            operands = [values[i] for i in node.operands]
            operator = node.operator
            if isinstance(operator, BatchNorm):
                operator = self._norm(index, operator, *self._statistics(index, operator, operands[0], update))
            else:
                operator = self._operator(index)
            nodes[index] = replace(node, operator=operator)
            if isinstance(operator, Affine):
                values.append(operator.forward(*operands))
            else:
                assert isinstance(operator, Activation)
                values.append(operator.evaluate(operands[0]))
        nodes[0] = replace(nodes[0], operator=self._operator(0))
        return Graph(self._arithmetic, nodes), values[-1]

    def trained_graph(self) -> Graph:
        """The graph in float64 with batch norms that know their parts, to be written to a file."""
        nodes = list(self._nodes)
        for index, node in enumerate(nodes):
            numbers = {name: self._number(index, name).detach().cpu().double() for name in self._trained[index]}
            operator = node.operator
            if isinstance(operator, BatchNorm):
                mean, variance = (self._buffer(index, part).cpu().double() for part in ("mean", "variance"))
                operator = _batch_norm(operator, numbers["gain"], numbers["bias"], mean, variance)
            elif numbers:
                operator = _rebuilt(operator, numbers)
            nodes[index] = replace(node, operator=operator)
        return Graph(self._arithmetic, nodes)

    def _number(self, index: int, name: str) -> Tensor:
        number: Tensor = self._numbers[_key(index, name)]
        return number

    def _buffer(self, index: int, name: str) -> Tensor:
        buffer = getattr(self, _key(index, name))
        assert isinstance(buffer, Tensor)
        return buffer

    def _operator(self, index: int) -> Operator:
        fixed = self._fixed_operators()[index]
        names = self._trained[index]
        return _rebuilt(fixed, {name: self._number(index, name) for name in names}) if names else fixed

    def _fixed_operators(self) -> list[Operator]:
        device = self.device
        if device not in self._fixed:
            self._fixed[device] = [node.operator.to(torch.float32, device) for node in self._nodes]
        return self._fixed[device]

    def _norm(self, index: int, operator: BatchNorm, mean: Tensor, variance: Tensor) -> Scale:
        scale = self._number(index, "gain") * torch.rsqrt(variance + operator.epsilon)
        return Scale(operator.size, scale, self._number(index, "bias") - mean * scale)

    def _statistics(self, index: int, operator: BatchNorm, x: Tensor, update: bool) -> tuple[Tensor, Tensor]:
        """Mean and (biased) variance per channel."""
        values = x.reshape(len(x), operator.mean.numel(), -1)
        variance, mean = torch.var_mean(values, (0, 2), correction=0)
        if update:
            count = values.shape[0] * values.shape[2]
            unbiased = variance.detach() * (count / max(count - 1, 1))
            self._buffer(index, "mean").lerp_(mean.detach(), _MOMENTUM)
            self._buffer(index, "variance").lerp_(unbiased, _MOMENTUM)
        return mean, variance


def trainable(path: Path, data: bytes) -> TrainableNetwork:
    """The network in the bytes of an ONNX file, to be trained.

    Raises
    ------
    FormatError : see :func:`netproof.formats.onnx.read.read_onnx`
    InputError : a network in which there is nothing to train
    """
    graph, made_by = unsimplified_graph(path, data)
    network = TrainableNetwork(graph, made_by)
    if next(network.parameters(), None) is None:
        raise InputError(path, "has no weights to train", f"give a network with {', '.join(_WEIGHTED)} in it")
    return network


def _key(index: int, name: str) -> str:
    return f"node{index}_{name}"


def _trained(graph: Graph, made_by: tuple[str, ...], index: int) -> dict[str, Tensor]:
    """What of a node is trained, by the name of the field."""
    node = graph.nodes[index]
    operator = node.operator
    if isinstance(operator, BatchNorm):
        return {"gain": operator.gain, "bias": operator.bias}
    if made_by[index] in _WEIGHTED:
        if isinstance(operator, KernelMap):
            return {"weight": operator.weight, **({} if operator.bias is None else {"bias": operator.bias})}
        if isinstance(operator, (Linear, BlockLinear)):
            return {"weight": operator.weight}
    if isinstance(operator, Scale) and bool((operator.scale == 1).all()):
        before = node.operands[0]
        if made_by[before] in _WEIGHTED and isinstance(graph.nodes[before].operator, (KernelMap, Linear, BlockLinear)):
            return {"shift": operator.shift}
    return {}


def _rebuilt(operator: Operator, numbers: dict[str, Tensor]) -> Operator:
    if isinstance(operator, (Convolution, TransposedConvolution)):
        return replace(operator, **numbers)  # type: ignore[arg-type]
    if isinstance(operator, Linear):
        return Linear(numbers["weight"], operator.bias)
    if isinstance(operator, BlockLinear):
        return BlockLinear(numbers["weight"], operator.rows, operator.shape)
    assert isinstance(operator, Scale)
    return Scale(operator.size, operator.scale, numbers["shift"])


def _batch_norm(before: BatchNorm, gain: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> BatchNorm:
    scale = gain / torch.sqrt(variance + before.epsilon)
    return BatchNorm(
        before.size,
        scale,
        bias - mean * scale,
        before.roundings,
        before.shift_error,
        gain=gain,
        bias=bias,
        mean=mean,
        variance=variance,
        epsilon=before.epsilon,
    )
