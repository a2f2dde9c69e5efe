"""Pass: leave out nodes that pass their operand on unchanged."""

from __future__ import annotations

import torch

from netproof.graph.graph import Graph, Node
from netproof.graph.passes.drop_dead import drop_dead
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.base import Operator


def drop_identity(graph: Graph) -> Graph:
    """The graph without identities; its output is another node where the last one was such."""
    passed = list(range(len(graph.nodes)))
    nodes: list[Node] = []
    for index, node in enumerate(graph.nodes):
        operands = tuple(passed[i] for i in node.operands)
        nodes.append(Node(node.name, node.operator, operands, node.shape))
        if len(operands) == 1 and is_identity(node.operator):
            passed[index] = operands[0]
    return drop_dead(Graph(graph.arithmetic, nodes), passed[-1])


def is_identity(operator: Operator) -> bool:
    """Whether an operator passes its operand on unchanged."""
    if isinstance(operator, Scale):
        unchanged = bool((operator.scale == 1).all() & (operator.shift == 0).all())
        return unchanged and not operator.roundings and operator.shift_error is None
    if isinstance(operator, Select):
        return len(operator.index) == operator.size and bool((operator.index == torch.arange(operator.size)).all())
    return False
