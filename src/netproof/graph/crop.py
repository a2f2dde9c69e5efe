"""The part of a graph that some features of one node depend on.

A feature of an early layer of a convolutional network sees a small window of the input. What is asked of a few such
features that lie side by side is asked of a much smaller graph: convolutions of their windows, and of everything else
the features that are used. No number changes on the way, so that error terms hold as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.graph.graph import Graph, GraphBuilder
from netproof.operators.affine.select import Select
from netproof.operators.base import Activation, Affine


@dataclass(frozen=True, eq=False)
class Crop:
    """A smaller graph whose values are those of a larger one, at the features that are left.

    Attributes
    ----------
    graph : its output has the features asked for, and others where an operator gives whole windows only
    nodes : per node of the smaller graph the node of the larger one
    features : per node of the smaller graph its features in the larger one, ``[n]`` in rising order
    activations : per activation of the smaller graph its number in the larger one
    """

    graph: Graph
    nodes: tuple[int, ...]
    features: tuple[Tensor, ...]
    activations: tuple[int, ...]


def crop(graph: Graph, node: int, features: Tensor, idle: Mapping[int, Tensor] | None = None) -> Crop:
    """What ``features`` ``[m]`` (indices, any order) of a node depend on.

    ``idle`` says of some nodes which features are 0 (``[n]`` bool, not all of them): what can do without them does.
    """
    idle = idle or {}
    wanted = {node: _marked(graph.nodes[node].size, features)}
    given: dict[int, Tensor] = {}
    taken: dict[int, tuple[Tensor, ...]] = {}
    operators: dict[int, Affine | Activation] = {}
    for index in range(node, 0, -1):
        if index not in wanted:
            continue
        here = graph.nodes[index]
        chosen = wanted.pop(index).nonzero()[:, 0]
        if isinstance(here.operator, Affine):
            part = here.operator.part(chosen, [idle.get(i) for i in here.operands])
            operators[index] = part.operator
            sizes = [graph.nodes[i].size for i in here.operands]
            given[index] = torch.arange(here.size) if part.features is None else part.features
            taken[index] = tuple(
                torch.arange(size) if some is None else some
                for size, some in zip(sizes, part.operands or [None] * len(sizes), strict=True)
            )
        else:
            chosen = graph.activation(index).closed(chosen, here.size)
            operators[index] = graph.activation(index).select(chosen, here.size)
            given[index], taken[index] = chosen, (chosen,)
        for operand, some in zip(here.operands, taken[index], strict=True):
            mark = _marked(graph.nodes[operand].size, some)
            wanted[operand] = wanted[operand] | mark if operand in wanted else mark
    # A graph has an input even where nothing depends on it.
    given[0] = wanted[0].nonzero()[:, 0] if 0 in wanted else torch.arange(graph.input.size)
    return _built(graph, given, taken, operators)


def _built(
    graph: Graph,
    given: dict[int, Tensor],
    taken: dict[int, tuple[Tensor, ...]],
    operators: dict[int, Affine | Activation],
) -> Crop:
    builder = GraphBuilder(graph.arithmetic, (len(given[0]),))
    place = {0: builder.input}
    nodes, features = [0], [given[0]]
    for index in sorted(operators):
        operands = []
        for operand, some in zip(graph.nodes[index].operands, taken[index], strict=True):
            if len(some) == len(given[operand]):
                operands.append(place[operand])
                continue
            # Another consumer needs more of this operand.
            name = graph.nodes[operand].name
            at = torch.searchsorted(given[operand], some)
            operands.append(builder.add(name, Select(at, len(given[operand]), (len(some),)), place[operand]))
            nodes.append(operand)
            features.append(some)
        place[index] = builder.add(graph.nodes[index].name, operators[index], *operands)
        nodes.append(index)
        features.append(given[index])
    activations = tuple(k for k, i in enumerate(graph.activations) if i in operators)
    return Crop(builder.build(), tuple(nodes), tuple(features), activations)


def _marked(size: int, features: Tensor) -> Tensor:
    mark = torch.zeros(size, dtype=torch.bool)
    mark[features] = True
    return mark
