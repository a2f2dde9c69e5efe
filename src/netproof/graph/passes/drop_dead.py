"""Pass: leave out nodes that the output does not depend on."""

from __future__ import annotations

from netproof.graph.graph import Graph
from netproof.graph.passes.merge import renumber


def drop_dead(graph: Graph, output: int | None = None) -> Graph:
    """The graph that computes node ``output`` (the last one by default) and nothing else; the input stays."""
    output = len(graph.nodes) - 1 if output is None else output
    needed = {0, output}
    for index in range(output, 0, -1):
        if index in needed:
            needed.update(graph.nodes[index].operands)
    return renumber(graph, [node if index in needed else None for index, node in enumerate(graph.nodes)])
