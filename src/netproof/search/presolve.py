"""The part of a graph that still matters on a region.

On a small box many activations are constant and many inputs fixed. Dropping them, and their
columns of the weights with them, leaves a smaller graph with the same outputs on the region. A
bound of the smaller graph is one of the whole graph with multiplier 0 at each dropped feature:
``phi(v, 0) = v f`` there, for the constant ``f`` that the folded offset holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.region import Region, node_intervals
from netproof.graph.graph import Graph, Node
from netproof.operators.base import Activation
from netproof.operators.input import Input
from netproof.operators.linear import Linear


@dataclass(frozen=True, eq=False)
class Presolved:
    """A smaller graph, the region on it, and the way back.

    Attributes
    ----------
    graph : node ``i`` is node ``i`` of the original with fewer features
    region : the (one-row) region in terms of the smaller graph
    kept : per node the original indices of its features
    base : ``[n_input]``, an original input with the dropped values in place
    sizes : per activation the original number of features
    """

    graph: Graph
    region: Region
    kept: tuple[Tensor, ...]
    base: Tensor
    sizes: tuple[int, ...]

    def restore_input(self, x: Tensor) -> Tensor:
        """Inputs of the original graph: ``[..., n_kept]`` to ``[..., n_input]``."""
        full = self.base.expand(*x.shape[:-1], -1).clone()
        full[..., self.kept[0]] = x
        return full


def presolve(graph: Graph, region: Region, outputs: Tensor) -> Presolved:
    """Drop what is constant on a region of one row, and all outputs but ``outputs`` (indices).

    Only chains of linear layers and activations shrink; any other graph comes back whole.
    """
    sizes = tuple(graph.nodes[i].size for i in graph.activations)
    everything = tuple(torch.arange(node.size) for node in graph.nodes)
    if not _is_chain(graph):
        return Presolved(graph, region, everything, region.lower[0], sizes)
    intervals = node_intervals(graph, region)
    last = len(graph.nodes) - 1
    kept = [torch.empty(0, dtype=torch.int64)] * len(graph.nodes)
    for i in range(last, -1, -1):
        operator = graph.nodes[i].operator
        if i < last and not isinstance(operator, Activation | Input):
            kept[i] = kept[i + 1] if isinstance(graph.nodes[i + 1].operator, Activation) else everything[i]
        elif i == last:
            kept[i] = outputs
        else:
            varies = intervals[i][0][0] < intervals[i][1][0]
            varies[0] |= ~varies.any()  # an empty node would be a special case everywhere
            kept[i] = varies.nonzero()[:, 0]
    nodes: list[Node] = []
    for i, node in enumerate(graph.nodes):
        size = (len(kept[i]),)
        if isinstance(node.operator, Linear):
            operand = node.operands[0]
            constant = intervals[operand][0][0].clone()
            constant[kept[operand]] = 0
            weight, bias = node.operator.weight[kept[i]], node.operator.bias[kept[i]]
            linear = Linear(weight[:, kept[operand]].contiguous(), bias + weight @ constant)
            nodes.append(Node(node.name, linear, node.operands, size))
        elif isinstance(node.operator, Activation):
            nodes.append(Node(node.name, node.operator.select(kept[i], node.size), node.operands, size))
        else:
            nodes.append(Node(node.name, Input(size), (), size))
    smaller = Region(
        region.lower[:, kept[0]],
        region.upper[:, kept[0]],
        tuple(r[:, kept[i]] for r, i in zip(region.range_lower, graph.activations, strict=True)),
        tuple(r[:, kept[i]] for r, i in zip(region.range_upper, graph.activations, strict=True)),
    )
    return Presolved(Graph(graph.arithmetic, nodes), smaller, tuple(kept), region.lower[0], sizes)


def _is_chain(graph: Graph) -> bool:
    """Whether every node takes the one before it, and every activation a linear layer."""
    return all(
        node.operands == (i,)
        and (
            isinstance(node.operator, Linear)
            or (isinstance(node.operator, Activation) and isinstance(graph.nodes[i].operator, Linear))
        )
        for i, node in enumerate(graph.nodes[1:])
    )
