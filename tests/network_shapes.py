"""Shapes of networks without numbers, cells with given ranges, and what trees are grown with, for tests of how evidence is made."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from netproof.certificate.checker.real.bound import Cells, Evaluation
from netproof.certificate.real.grown.rows import RowTable


class Shape:
    """In the place of a network: bends of these kinds and sizes, each of the node before it; of the ranges nothing is derived."""

    opens = Evaluation.opens

    def __init__(self, *bends: tuple[str, int]) -> None:
        nodes, at, operands = [SimpleNamespace(bend="", size=1)], [], []
        for bend, size in bends:
            operands.append(len(nodes))
            at.append(len(nodes) + 1)
            nodes += [SimpleNamespace(bend="", size=size), SimpleNamespace(bend=bend, size=size)]
        sizes = tuple(size for _, size in bends)
        self.operands = tuple(operands)
        self.network = SimpleNamespace(
            nodes=tuple(nodes), bends=tuple(at), sizes=sizes, operands=self.operands, inputs=1
        )
        self.derived: list[tuple[Cells, int]] = []

    def derive(self, cells: Cells, rule: int, *, sized: bool = False) -> Cells:
        self.derived.append((cells, rule))
        self.sized = sized
        return cells.take(np.arange(len(cells)))


def maker_of(evaluation, width: int = 2) -> SimpleNamespace:
    looks: list[int] = []
    deadline = SimpleNamespace(look=lambda: looks.append(0), looks=looks)
    return SimpleNamespace(evaluation=evaluation, table=RowTable(), width=width, deadline=deadline)


def cells_of(*ranges: list[tuple[float, float]]) -> Cells:
    """One cell with these ranges, bend by bend."""
    low, high = (tuple(np.array([[one[end] for one in part]], float) for part in ranges) for end in (0, 1))
    return Cells(np.full((1, 1), -1.0), np.ones((1, 1)), low, high, ())
