"""Which ranges are worth bounding: where intervals are looser than what a graph computes, and what outputs depend on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from netproof.graph.graph import Graph
from netproof.graph.pass_back import pass_back
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum
from netproof.operators.base import Affine


def loose_nodes(graph: Graph) -> list[bool]:
    """Per node whether its interval is looser than the affine maps since the last activations taken together.

    These mix features twice in a row, or take one node on two ways (``x - x``).
    """
    #: per node, the largest number of ways from an activation or the input, and of maps on a way that mix features
    ways: list[dict[int, int]] = []
    mixed: list[int] = []
    for i, node in enumerate(graph.nodes):
        if not isinstance(node.operator, Affine):
            ways.append({i: 1})
            mixed.append(0)
            continue
        total: dict[int, int] = {}
        for operand in node.operands:
            for source, count in ways[operand].items():
                total[source] = min(total.get(source, 0) + count, 2)
        ways.append(total)
        mixes = not isinstance(node.operator, Scale | Select | Sum | Concatenate)
        mixed.append(max(mixed[operand] for operand in node.operands) + mixes)
    return [mixes > 1 or max(way.values()) > 1 for mixes, way in zip(mixed, ways, strict=True)]


def loose_activations(graph: Graph) -> frozenset[int]:
    """Numbers of the activations before which intervals are loose (:func:`loose_nodes`)."""
    loose = loose_nodes(graph)
    return frozenset(k for k, index in enumerate(graph.activations) if loose[graph.nodes[index].operands[0]])


def improvable(graph: Graph) -> list[bool]:
    """Per node whether a bound of it can be smaller than its interval: behind an activation, and where that is loose."""
    found: list[bool] = []
    for node, loose in zip(graph.nodes, loose_nodes(graph), strict=True):
        behind = bool(node.operands) and not isinstance(node.operator, Affine)
        found.append(behind or loose or any(found[i] for i in node.operands))
    return found


def reached(graph: Graph, outputs: Tensor) -> list[Tensor]:
    """Of every activation's operand the features that outputs ``[n]`` bool depend on: ``[n_k]`` bool each."""
    found = [torch.zeros(graph.nodes[index].size, dtype=torch.bool) for index in graph.activations]

    def hand_on(index: int, k: int, v: Tensor) -> Sequence[Tensor | None]:
        operator = graph.nodes[index].operator
        # What is passed back are zeros and ones: sums of sizes, over many layers, could be beyond any number.
        if isinstance(operator, Affine):
            return [(share > 0).double() for share in operator.adjoint_absolute(v)]
        features = graph.activation(index).closed((v[0] > 0).nonzero()[:, 0], v.shape[1])
        found[k][features] = True
        return [found[k].double()[None]]

    pass_back(graph, {len(graph.nodes) - 1: outputs.double()[None]}, hand_on)
    return found
