"""How many rows of a batch fit into so many bytes."""

from __future__ import annotations

from dataclasses import dataclass

from netproof.graph.graph import Graph


@dataclass(frozen=True)
class Budget:
    """What the tensors of one batch may occupy.

    Attributes
    ----------
    bytes : in all
    least, most : numbers of rows that are taken in any case, and at most
    whole : whether a row needs tensors of all nodes, not only of the largest one
    size : bytes of one number
    """

    bytes: int
    least: int = 1
    most: int | None = None
    whole: bool = False
    size: int = 8

    def rows(self, graph: Graph, tensors: int, memory: int | None = None, widest: int | None = None) -> int:
        """How many rows of a batch fit, each of which needs so many tensors of a graph's nodes.

        ``memory`` is what there is for everything, in bytes: a batch has no more than half of it. ``widest``
        is how large the largest node is that a row needs, if it is not the graph's.
        """
        there = self.bytes if memory is None else min(self.bytes, memory // 2)
        numbers = graph.features if self.whole else graph.widest if widest is None else widest
        fit = there // (self.size * tensors * numbers)
        return max(self.least, fit if self.most is None else min(self.most, fit))
