"""Shapes of networks without numbers, cells with given ranges, and what trees are grown with, for tests of how evidence is made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from netproof.certificate.checker.real.bound import Cells, Evaluation
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.real.grown import grow
from netproof.certificate.real.grown.rows import RowTable
from netproof.certificate.real.grown.seeds import Claim, Limits, Seed
from netproof.result import Trace

NONE = np.zeros(0, np.int64)


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
    deadline = SimpleNamespace(look=lambda: looks.append(0), looks=looks, source="a test")
    return SimpleNamespace(evaluation=evaluation, table=RowTable(), width=width, deadline=deadline, sets=None)


def cells_of(*ranges: list[tuple[float, float]]) -> Cells:
    """One cell with these ranges, bend by bend."""
    low, high = (tuple(np.array([[one[end] for one in part]], float) for part in ranges) for end in (0, 1))
    return Cells(np.full((1, 1), -1.0), np.ones((1, 1)), low, high, ())


def trace_of(**given: Any) -> Trace:
    empty = {"sizes": (), "roots": {}, "splits": {}, "refuted": {}, "open": {}, "ranges": {}, "common": ()}
    return Trace(**{**empty, **given})


def grower(
    kind=grow.Grower, bends=((RELU, 2), (RELU, 3)), *, inputs=1, programs=None, trace=None, derive=None, **limits: Any
):
    shape = Shape(*bends)
    shape.network.inputs = inputs
    shape.network.nodes[0].size = inputs
    if derive is not None:
        shape.derive = derive
    maker = maker_of(shape)
    maker.programs, maker.source, maker.deadline.at = programs, "a test", 77.0
    made = kind(maker, ["goal 0", "goal 1", "goal 2"], ["places"] * 3, trace or trace_of(), Limits(**limits))
    made.looks = maker.deadline.looks
    return made


def seed(goal: int = 0, node: int | None = None, **given: Any) -> Seed:
    return Seed([Claim(goal, node)], NONE, {}, **given)


def numbered(count: int, sizes=(2, 3), inputs: int = 1) -> Cells:
    """Cells whose boxes begin at their numbers."""
    lower = np.tile(np.arange(float(count))[:, None], inputs)
    low, high = (tuple(np.full((count, size), end) for size in sizes) for end in (-1.0, 1.0))
    return Cells(lower, np.full((count, inputs), 99.0), low, high, ())


def numbers_of(cells: Cells) -> list[int]:
    return cells.lower[:, 0].astype(int).tolist()
