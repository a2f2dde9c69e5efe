"""Where intervals are looser than what a graph computes: several affine maps that they look at one by one."""

from __future__ import annotations

from netproof.graph.graph import Graph
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
