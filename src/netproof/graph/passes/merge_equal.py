"""Pass: nodes that compute the same thing become one, and equal operands of a sum are counted together.

Networks that are compared with themselves, or with a copy, are two towers side by side. Bounded apart, the difference of
two equal values is as wide as both together. As one node it is 0.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import torch

from netproof.graph.equality import digest, outline
from netproof.graph.graph import Graph, Node
from netproof.graph.passes.drop_dead import drop_dead
from netproof.graph.passes.merge import Look, unwatched
from netproof.operators.affine.batch_norm import BatchNorm
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum
from netproof.operators.base import Affine, Operator


def merge_equal(graph: Graph, look: Look = unwatched) -> Graph:
    """The same function without nodes that equal an earlier one; nothing is rounded.

    Equal are nodes with equal operators and the same operands, those of a sum in any order. The numbers of an operator
    may be rounded ones, and then equal numbers can stand for different maps: such operators are equal only if they are
    one object, or tell what they were computed from (batch norm).
    """
    kept = _Kept()
    places: list[int] = []
    for node in graph.nodes:
        look()
        moved = replace(node, operands=tuple(places[i] for i in node.operands))
        places.append(kept.sum(moved) if isinstance(node.operator, Sum) else kept.place(moved))
    if places == list(range(len(graph.nodes))) and not kept.changed:
        return graph
    return drop_dead(Graph(graph.arithmetic, kept.nodes), places[-1])


class _Kept:
    """The nodes that are kept, each under what tells it apart.

    Attributes
    ----------
    nodes : in topological order
    changed : whether a sum was written in another way
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.changed = False
        #: the first node of an outline, and, where there are several, all of them by the digest of their tensors:
        #: no tensor is looked at where no outline comes twice
        self._first: dict[Hashable, int] = {}
        self._several: dict[Hashable, dict[bytes, int]] = {}

    def place(self, node: Node) -> int:
        """Where a node is, or an equal one."""
        key = (_outline(node.operator), _operands(node))
        new = len(self.nodes)
        first = self._first.setdefault(key, new)
        if first != new:
            alike = self._several.setdefault(key, {digest(self.nodes[first].operator): first})
            first = alike.setdefault(digest(node.operator), new)
        if first == new:
            self.nodes.append(node)
        return first

    def sum(self, node: Node) -> int:
        """Where a sum is, each of its operands taken once, with a factor: whole numbers, so that nothing is rounded."""
        assert isinstance(node.operator, Sum)
        factors: dict[int, int] = {}
        for operand, sign in zip(node.operands, node.operator.signs, strict=True):
            factors[operand] = factors.get(operand, 0) + sign
        if len(factors) == len(node.operands):
            return self.place(node)
        self.changed = True
        left = {operand: factor for operand, factor in factors.items() if factor}
        if not left:
            return self._zero(node)
        operands = []
        for operand, factor in left.items():
            whole = abs(factor)
            operands.append(operand if whole == 1 else self._times(node, f"times {whole}", whole, operand))
        signs = tuple(1 if factor > 0 else -1 for factor in left.values())
        if len(signs) == 1:
            return self._times(node, "", signs[0], operands[0])
        return self.place(replace(node, operator=Sum(signs), operands=tuple(operands)))

    def _times(self, node: Node, part: str, factor: int, operand: int) -> int:
        if factor == 1:
            return operand
        name = f"{node.name}/{part}" if part else node.name
        zero = torch.zeros(1, dtype=torch.float64)
        return self.place(Node(name, Scale(node.size, zero + factor, zero), (operand,), node.shape))

    def _zero(self, node: Node) -> int:
        """Zeros, whatever the input is; not 0 times a value, which may be infinite where bounds are."""
        index = torch.full((node.size,), -1, dtype=torch.int64)
        return self.place(replace(node, operator=Select(index, self.nodes[0].size, node.shape), operands=(0,)))


def _outline(operator: Operator) -> Hashable:
    if isinstance(operator, Sum):
        return Sum  # its signs go with its operands
    rounded = isinstance(operator, Affine) and (operator.roundings or bool((operator.offset_error() != 0).any()))
    return outline(operator), id(operator) if rounded and not isinstance(operator, BatchNorm) else 0


def _operands(node: Node) -> Hashable:
    if isinstance(node.operator, Sum):
        return tuple(sorted(zip(node.operands, node.operator.signs, strict=True)))
    return node.operands
