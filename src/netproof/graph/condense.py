"""Any graph as dense layers between the activations that still vary on a region.

Convolutions, sums, scales between two activations become one matrix per activation that they take: on a small box most
activations of a convolutional network are constant, and what is left of its maps is small. Matrices are composed and
their constants folded without rounding, as in :mod:`netproof.search.integer.presolve`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from netproof.graph.affine_maps import affine_map
from netproof.graph.graph import Graph, Node
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.sum import Sum
from netproof.operators.base import Activation, Affine
from netproof.operators.input import Input

#: numbers in all matrices together, beyond which the graph is left as it is
_LARGEST = 1 << 22
#: and in one of them before features are dropped, which there are a few of at a time
_LARGEST_WHOLE = 1 << 24


def condense(graph: Graph, kept: Sequence[Tensor], constant: Sequence[Tensor]) -> Graph | None:
    """The graph on features ``kept`` of its input, its activations and its output; None where that is no gain.

    Parameters
    ----------
    graph : an integer graph
    kept : per node the features that stay; looked at for the input, activations and the output
    constant : per node ``[n]``, what the other features are; looked at for the input and activations
    """
    sources = [index for index in range(len(graph.nodes)) if not isinstance(graph.nodes[index].operator, Affine)]
    targets = [graph.nodes[index].operands[0] for index in graph.activations]
    rows = [kept[index] for index in graph.activations]
    last = len(graph.nodes) - 1
    if last not in graph.activations:
        targets.append(last)
        rows.append(kept[last])
    largest = max(len(kept[source]) for source in sources)
    widest = max(node.size for node in graph.nodes)
    if max(len(row) for row in rows) * widest > _LARGEST_WHOLE or sum(len(row) for row in rows) * largest > _LARGEST:
        return None
    fixed = _fixed_values(graph, kept, constant)
    built = _Dense([Node(graph.input.name, Input((len(kept[0]),)), (), (len(kept[0]),))], {0: 0})
    for number, (target, row) in enumerate(zip(targets, rows, strict=True)):
        matrices = affine_map(graph, target, row).matrices
        parts = {source: matrix[:, kept[source]] for source, matrix in matrices.items()}
        node = built.affine(graph.nodes[target].name, parts, fixed[target][row])
        if number < len(graph.activations):
            index = graph.activations[number]
            activation = graph.activation(index).select(row, graph.nodes[index].size)
            built.place[index] = built.add(graph.nodes[index].name, activation, (node,), len(row))
    return Graph(graph.arithmetic, built.nodes)


def _fixed_values(graph: Graph, kept: Sequence[Tensor], constant: Sequence[Tensor]) -> list[Tensor]:
    """Node values where kept features are 0: what the others add to every affine map, offsets included."""
    values: list[Tensor] = []
    for index, node in enumerate(graph.nodes):
        if isinstance(node.operator, Affine):
            values.append(node.operator.forward(*(values[i] for i in node.operands)))
        else:
            assert isinstance(node.operator, Activation | Input)
            value = constant[index].clone()
            value[kept[index]] = 0
            values.append(value)
    return values


@dataclass(eq=False)
class _Dense:
    """A graph of dense layers under construction; ``place`` says where nodes of the original are."""

    nodes: list[Node]
    place: dict[int, int] = field(default_factory=dict)

    def add(self, name: str, operator: Activation | Affine, operands: tuple[int, ...], size: int) -> int:
        self.nodes.append(Node(name, operator, operands, (size,)))
        return len(self.nodes) - 1

    def affine(self, name: str, parts: dict[int, Tensor], bias: Tensor) -> int:
        """The sum of matrices applied to sources, and a bias."""
        size = len(bias)
        parts = {source: part for source, part in sorted(parts.items()) if bool((part != 0).any())}
        if not parts:
            parts = {0: bias.new_zeros(size, self.nodes[0].size)}
        single = []
        for number, (source, part) in enumerate(parts.items()):
            linear = Linear(part.contiguous(), bias if number == 0 else torch.zeros_like(bias))
            label = name if len(parts) == 1 else f"{name}/{self.nodes[self.place[source]].name}"
            single.append(self.add(label, linear, (self.place[source],), size))
        return single[0] if len(single) == 1 else self.add(name, Sum((1,) * len(single)), tuple(single), size)
