"""The part of a graph that the operand of one activation depends on, without what is 0 on a region."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.region import Region
from netproof.graph.graph import Graph, Node
from netproof.operators.base import Activation
from netproof.operators.input import Input
from netproof.operators.linear import Linear
from netproof.operators.relu import ReLU


@dataclass(frozen=True, eq=False)
class Prefix:
    """A smaller graph whose output is the operand of an activation, or some of its features.

    Attributes
    ----------
    graph : its values on the region are those of the whole graph, at the features that are left
    region : of one row, in terms of the smaller graph
    feature : ``[n]``, the original indices of the output's features
    kept : per activation the original indices of its features
    """

    graph: Graph
    region: Region
    feature: Tensor
    kept: tuple[Tensor, ...]


def prefix(graph: Graph, region: Region, k: int, feature: Tensor) -> Prefix:
    """What the ``k``-th activation's operand depends on, for a region of one row.

    In chains of linear layers and ReLUs, features that are 0 on all of the region are dropped with their columns, and
    of the output all but ``feature``. No number changes on the way, so that error terms of weights and biases hold as
    they are. Other graphs are cut behind the operand and keep all features.
    """
    last = graph.nodes[graph.activations[k]].operands[0]
    nodes = graph.nodes[: last + 1]
    count = sum(i <= last for i in graph.activations)
    ranges = region.range_lower[:count], region.range_upper[:count]
    if not is_relu_chain(nodes):
        part = Region(region.lower, region.upper, *ranges)
        everything = tuple(torch.arange(graph.nodes[i].size) for i in graph.activations[:count])
        return Prefix(Graph(graph.arithmetic, nodes), part, torch.arange(nodes[-1].size), everything)
    kept: list[Tensor] = [torch.arange(node.size) for node in nodes]
    kept[last] = feature
    for i, high in zip(graph.activations, ranges[1], strict=False):
        alive = high[0] > 0
        alive[0] |= ~alive.any()  # a layer without features would be a special case everywhere
        kept[i - 1] = kept[i] = alive.nonzero()[:, 0]
    smaller: list[Node] = []
    for i, node in enumerate(nodes):
        size = (len(kept[i]),)
        operator = node.operator
        if isinstance(operator, Linear):
            error = None if operator.bias_error is None else operator.bias_error.expand_as(operator.bias)[kept[i]]
            weight = operator.weight[kept[i]][:, kept[node.operands[0]]].contiguous()
            operator = Linear(weight, operator.bias[kept[i]], operator.roundings, error)
        elif isinstance(operator, Activation):
            operator = operator.select(kept[i], node.size)
        else:
            operator = Input(size)
        smaller.append(Node(node.name, operator, node.operands, size))
    part = Region(
        region.lower,
        region.upper,
        tuple(r[:, kept[i]] for r, i in zip(ranges[0], graph.activations, strict=False)),
        tuple(r[:, kept[i]] for r, i in zip(ranges[1], graph.activations, strict=False)),
    )
    left = tuple(kept[i] for i in graph.activations[:count])
    return Prefix(Graph(graph.arithmetic, smaller), part, feature, left)


def is_relu_chain(nodes: tuple[Node, ...]) -> bool:
    """Whether every node takes the one before it, and every activation is a ReLU of a linear layer."""
    return all(
        node.operands == (i,)
        and (
            isinstance(node.operator, Linear)
            or (isinstance(node.operator, ReLU) and isinstance(nodes[i].operator, Linear))
        )
        for i, node in enumerate(nodes[1:])
    )
