"""What is left of a graph where most of its inputs are known: values that they alone decide become inputs themselves.

Of the inputs of a database query, say, one varies and hundreds are given, so that most nodes hardly have more than a value. Their
intervals are worked out once for a box, however often it is halved along an input that varies, and bounds go no further back
than to them.

Any box of these values that holds them will do, so that nothing rests on which nodes are taken: bounds on the remainder,
over the input's box and the intervals of the values, are bounds on the graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.region import node_intervals, unknown_region
from netproof.graph.graph import Graph, GraphBuilder
from netproof.operators.affine.select import Select
from netproof.operators.base import Affine


@dataclass(frozen=True, eq=False)
class Remainder:
    """A graph whose inputs are those of a larger one, and the values of some of its nodes.

    Attributes
    ----------
    graph : its output is the larger one's
    whole : the larger one
    known : the nodes of it whose values follow its inputs, in rising order
    free : inputs that vary, ``[n]`` bool; none of the values does
    """

    graph: Graph
    whole: Graph
    known: tuple[int, ...]
    free: Tensor

    @classmethod
    def of(cls, graph: Graph, varies: Tensor) -> Remainder | None:
        """What depends on the inputs ``varies`` ``[n]`` bool; None where that is all of the graph, or nothing."""
        depends = _dependent(graph, varies)
        if not depends[-1]:
            return None
        behind = {i for node, here in zip(graph.nodes, depends, strict=True) if here for i in node.operands}
        known = tuple(sorted(i for i in behind if i and not depends[i]))
        if not any(not depends[index] for index in graph.activations):
            return None
        total = graph.input.size + sum(graph.nodes[i].size for i in known)
        builder = GraphBuilder(graph.arithmetic, (total,))
        place, first = {}, 0
        for i in (0, *known):
            node = graph.nodes[i]
            taken = torch.arange(first, first + node.size)
            if i in behind:
                place[i] = builder.add(node.name, Select(taken, total, node.shape), builder.input)
            first += node.size
        for index, node in enumerate(graph.nodes[1:], 1):
            if depends[index]:
                place[index] = builder.add(node.name, node.operator, *(place[i] for i in node.operands))
        free = torch.zeros(total, dtype=torch.bool)
        free[: graph.input.size] = varies
        return cls(builder.build(), graph, known, free)

    def box(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor] | None:
        """The remainder's box for boxes ``[B, n_input]`` of the graph, ``[B, n]`` each; None where a value is unbounded."""
        intervals = node_intervals(self.whole, unknown_region(self.whole, lower, upper))
        low, high = (
            torch.cat([end, *(intervals[i][side] for i in self.known)], 1) for side, end in enumerate((lower, upper))
        )
        return (low, high) if bool((torch.isfinite(low) & torch.isfinite(high)).all()) else None


def _dependent(graph: Graph, varies: Tensor) -> list[bool]:
    """Per node whether any feature of it depends on the inputs ``[n]`` bool."""
    marks = [varies]
    for index, node in enumerate(graph.nodes[1:], 1):
        operator = node.operator
        if isinstance(operator, Affine):
            marks.append(operator.forward_absolute(*(marks[i].double() for i in node.operands)) > 0)
            continue
        mark = torch.zeros(node.size, dtype=torch.bool)
        mark[graph.activation(index).closed(marks[node.operands[0]].nonzero()[:, 0], node.size)] = True
        marks.append(mark)
    return [bool(mark.any()) for mark in marks]
