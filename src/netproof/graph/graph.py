"""The immutable graph every reader produces and every method works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import torch
from torch import Tensor

from netproof.graph.signs import never_negative
from netproof.operators.base import Activation, Affine, Operator, Shape
from netproof.operators.input import Input
from netproof.operators.sums import additions


class Arithmetic(str, Enum):
    """What a claim about the graph is about (docs/semantics.md)."""

    INTEGER = "integer"
    REAL = "real"


@dataclass(frozen=True)
class Node:
    """One operator and where its operands come from (indices of earlier nodes)."""

    name: str
    operator: Operator
    operands: tuple[int, ...]
    shape: Shape

    @property
    def size(self) -> int:
        size = 1
        for extent in self.shape:
            size *= extent
        return size


class Graph:
    """Nodes in topological order: node 0 is the input, the last one the output.

    Parameters
    ----------
    arithmetic : the arithmetic of every claim about this graph
    nodes : in topological order; use :class:`GraphBuilder` to make them
    """

    def __init__(self, arithmetic: Arithmetic, nodes: Sequence[Node]) -> None:
        self.arithmetic = arithmetic
        self.nodes = tuple(nodes)
        self.activations = tuple(i for i, node in enumerate(self.nodes) if isinstance(node.operator, Activation))

    @cached_property
    def terms(self) -> int:
        """How many roundings a number goes through at the most: ``n`` of a ``gamma_n`` for the whole of a pass.

        Of a backward pass, in which no rounding passes an activation (:mod:`netproof.bounds.deciding.rounding`): the longest
        chain of affine maps, with all that is added where paths meet; then the longest sum over the features of one node,
        and one addition per node. The longest sum of a forward pass through one node is in it as well.
        """
        chain = [0] * len(self.nodes)
        over_features = additions(self.nodes[0].size)
        forward = 0
        for index in range(len(self.nodes) - 1, 0, -1):
            node = self.nodes[index]
            over_features = max(over_features, additions(node.size))
            below = 0
            if isinstance(node.operator, Affine):
                ahead, back = node.operator.terms()
                own = node.operator.roundings + len(node.operands) + 4
                forward = max(forward, ahead + own)
                below = chain[index] + back + own
                over_features = max(over_features, node.operator.offset_additions())
            for operand in node.operands:
                # One more for every share that is added to what the node has received.
                chain[operand] = max(chain[operand], below) + 1
        return max(chain) + over_features + forward + 2 * len(self.nodes)

    @cached_property
    def features(self) -> int:
        """How many features all nodes have together."""
        return sum(node.size for node in self.nodes)

    @cached_property
    def widest(self) -> int:
        """How many features the largest node has."""
        return max(node.size for node in self.nodes)

    @property
    def input(self) -> Node:
        return self.nodes[0]

    @property
    def output(self) -> Node:
        return self.nodes[-1]

    def activation(self, index: int) -> Activation:
        """The activation function at node ``index`` (one of :attr:`activations`)."""
        operator = self.nodes[index].operator
        assert isinstance(operator, Activation)
        return operator

    def values(self, x: Tensor) -> list[Tensor]:
        """The value of every node: ``x`` is ``[..., n_input]``, the result one ``[..., n]`` per node."""
        values: list[Tensor] = [x]
        for node in self.nodes[1:]:
            operands = [values[i] for i in node.operands]
            operator = node.operator
            if isinstance(operator, Affine):
                values.append(operator.forward(*operands))
            else:
                assert isinstance(operator, Activation)
                values.append(operator.evaluate(operands[0]))
        return values

    def evaluate(self, x: Tensor) -> Tensor:
        """The network's output: ``[..., n_input]`` to ``[..., n_output]``."""
        return self.values(x)[-1]

    def to(self, dtype: torch.dtype, device: torch.device | str = "cpu") -> Graph:
        """The same graph with parameters in another dtype or on another device."""
        target = torch.device(device)
        nodes = [Node(n.name, n.operator.to(dtype, target), n.operands, n.shape) for n in self.nodes]
        return Graph(self.arithmetic, nodes)


class GraphBuilder:
    """Appends nodes one by one, checking shapes as it goes.

    >>> builder = GraphBuilder(Arithmetic.INTEGER, (784,))
    >>> hidden = builder.add("dense", linear, builder.input)
    """

    input = 0

    def __init__(self, arithmetic: Arithmetic, input_shape: Shape) -> None:
        self.arithmetic = arithmetic
        self._nodes = [Node("input", Input(input_shape), (), input_shape)]

    def add(self, name: str, operator: Operator, *operands: int) -> int:
        """Append a node and return its index; raises ``ValueError`` where operands do not fit."""
        shape = operator.output_shape(*(self._nodes[i].shape for i in operands))
        self._nodes.append(Node(name, operator, operands, shape))
        return len(self._nodes) - 1

    def size(self, node: int) -> int:
        """How many features a node has."""
        return self._nodes[node].size

    def never_negative(self, node: int) -> bool:
        """Whether it is known that no feature of a node is negative, whatever the input is."""
        return never_negative(self._nodes, node)

    def leading_to(self, node: int) -> dict[int, Node]:
        """The nodes that a node is computed from, itself included, by their numbers."""
        found: dict[int, Node] = {}
        left = [node]
        while left:
            at = left.pop()
            if at not in found:
                found[at] = self._nodes[at]
                left.extend(self._nodes[at].operands)
        return found

    def build(self) -> Graph:
        return Graph(self.arithmetic, self._nodes)
