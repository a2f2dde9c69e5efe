"""Pass: merge an affine node into the affine node that alone reads it, where a rule says how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from netproof.graph.graph import Graph, Node
from netproof.operators.base import Affine

#: from the operators of two nodes, the first of which is the operand of the second, one that does both,
#: or None where the rule does not apply
Rule = Callable[[Affine, Affine], Affine | None]
#: called before each node, by what may take long; raises where there is no time left
Look = Callable[[], None]


def unwatched() -> None:
    """A look at no clock."""


def merge(graph: Graph, rules: Sequence[Rule], look: Look = unwatched) -> Graph:
    """Apply rules to pairs of neighbours until none applies.

    Only an affine node of one operand is merged, and only where nothing else reads that operand, so that no work
    is done twice. A rule may round if the operator it makes says so (``roundings``, ``offset_error``).
    """
    readers = [0] * len(graph.nodes)
    for node in graph.nodes:
        for operand in node.operands:
            readers[operand] += 1
    kept: list[Node | None] = list(graph.nodes)
    for index, node in enumerate(graph.nodes):
        while True:
            look()
            operator = node.operator
            if not isinstance(operator, Affine) or len(node.operands) != 1:
                break
            before = kept[node.operands[0]]
            assert before is not None
            first = before.operator
            if not isinstance(first, Affine) or len(before.operands) != 1 or readers[node.operands[0]] != 1:
                break
            merged = next((m for m in (rule(first, operator) for rule in rules) if m is not None), None)
            if merged is None:
                break
            kept[node.operands[0]] = None
            node = replace(node, operator=merged, operands=before.operands)  # noqa: PLW2901
            kept[index] = node
    return renumber(graph, kept)


def renumber(graph: Graph, kept: Sequence[Node | None]) -> Graph:
    """The graph of the nodes that are left, in their order; no node that is left may read one that is not."""
    places: dict[int, int] = {}
    nodes: list[Node] = []
    for index, node in enumerate(kept):
        if node is not None:
            places[index] = len(nodes)
            nodes.append(replace(node, operands=tuple(places[i] for i in node.operands)))
    return Graph(graph.arithmetic, nodes)
