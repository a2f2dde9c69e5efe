"""Pass: what takes features of one operand of a concatenation alone reads that operand."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

from netproof.graph.graph import Graph, Node
from netproof.graph.passes.drop_dead import drop_dead
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.select import Select


def bypass_concatenate(graph: Graph) -> Graph:
    """The same function; nothing is rounded."""
    nodes = [_direct(graph, node) for node in graph.nodes]
    if all(new is old for new, old in zip(nodes, graph.nodes, strict=True)):
        return graph
    return drop_dead(Graph(graph.arithmetic, nodes))


def _direct(graph: Graph, node: Node) -> Node:
    operator = node.operator
    while isinstance(operator, Select):
        source = graph.nodes[node.operands[0]]
        taken = operator.index[operator.index >= 0]
        if not isinstance(source.operator, Concatenate) or not len(taken):
            break
        ends = list(accumulate(source.operator.sizes))
        which = next(i for i, end in enumerate(ends) if int(taken.min()) < end)
        start = ends[which] - source.operator.sizes[which]
        if int(taken.max()) >= ends[which]:
            break
        index = operator.index.clone()
        index[index >= 0] -= start
        operator = Select(index, source.operator.sizes[which], operator.shape, operator.fill)
        node = replace(node, operator=operator, operands=(source.operands[which],))
    return node
