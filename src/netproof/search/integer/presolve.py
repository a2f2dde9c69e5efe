"""The part of a graph that still matters on a region.

On a small box many activations are constant and many inputs fixed. Dropping them, and their
columns of the weights with them, leaves a smaller graph with the same outputs on the region. A
bound of the smaller graph is one of the whole graph with multiplier 0 at each dropped feature:
``phi(v, 0) = v f`` there, for the constant ``f`` that the folded offset holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.region import Region, node_intervals
from netproof.graph.condense import condense
from netproof.graph.graph import Arithmetic, Graph, Node
from netproof.operators.affine.linear import Linear
from netproof.operators.base import Activation, Affine
from netproof.operators.input import Input


@dataclass(frozen=True, eq=False)
class Presolved:
    """A smaller graph, the region on it, and the way back.

    Attributes
    ----------
    graph : of a chain, node ``i`` is node ``i`` of the original with fewer features; elsewhere only the input, the
        activations, in their order, and the output are nodes of the original
    region : the (one-row) region in terms of the smaller graph
    kept : per node of the original the indices of its features that are left
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


def presolve(graph: Graph, region: Region, outputs: Tensor, *, dense: bool = True) -> Presolved:
    """Drop what is constant on a region of one row, and all outputs but ``outputs`` (indices).

    Chains of linear layers and activations keep their nodes; any other graph becomes dense layers
    (:mod:`netproof.graph.condense`), or comes back whole where these would be too large, or are not wanted.
    """
    sizes = tuple(graph.nodes[i].size for i in graph.activations)
    everything = tuple(torch.arange(node.size) for node in graph.nodes)
    if not _is_chain(graph):
        condensed = _condensed(graph, region, outputs) if dense else None
        return condensed or Presolved(graph, region, everything, region.lower[0], sizes)
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
            kept[i] = _varying(*intervals[i])
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
    smaller = _restricted(graph, region, kept)
    return Presolved(Graph(graph.arithmetic, nodes), smaller, tuple(kept), region.lower[0], sizes)


def _varying(lower: Tensor, upper: Tensor) -> Tensor:
    """The features of a node that vary; one at least, as an empty node would be a special case everywhere."""
    varies = lower[0] < upper[0]
    varies[0] |= ~varies.any()
    return varies.nonzero()[:, 0]


def _restricted(graph: Graph, region: Region, kept: Sequence[Tensor]) -> Region:
    return Region(
        region.lower[:, kept[0]],
        region.upper[:, kept[0]],
        tuple(r[:, kept[i]] for r, i in zip(region.range_lower, graph.activations, strict=True)),
        tuple(r[:, kept[i]] for r, i in zip(region.range_upper, graph.activations, strict=True)),
    )


def _condensed(graph: Graph, region: Region, outputs: Tensor) -> Presolved | None:
    """The graph as dense layers between what varies; None where they would be too large."""
    if graph.arithmetic is not Arithmetic.INTEGER:
        return None
    intervals = node_intervals(graph, region)
    last = len(graph.nodes) - 1
    kept = [
        torch.arange(node.size) if isinstance(node.operator, Affine) else _varying(*interval)
        for node, interval in zip(graph.nodes, intervals, strict=True)
    ]
    kept[last] = outputs
    smaller = condense(graph, kept, [low[0] for low, _ in intervals])
    if smaller is None:
        return None
    sizes = tuple(graph.nodes[i].size for i in graph.activations)
    return Presolved(smaller, _restricted(graph, region, kept), tuple(kept), region.lower[0], sizes)


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
