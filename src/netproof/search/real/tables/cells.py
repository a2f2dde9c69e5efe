"""What tables hold, case by case: an ordinary network for every row that can be looked up.

A table (:mod:`netproof.operators.activations.jumps.table`) whose places are inputs is a constant wherever these lie between two
neighbouring whole numbers. The bounds of one row say nothing of another, so that each row is a question of its own; places with
equal rows are one.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from netproof.effort.real import TABLES
from netproof.graph.graph import Graph
from netproof.graph.pass_back import pass_back
from netproof.graph.passes.drop_dead import drop_dead
from netproof.operators.activations.jumps.table import Table
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.select import Select
from netproof.operators.base import Affine

#: what is looked up, for every table of a graph
_Rows = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Cell:
    """A part of a box on which tables are constants.

    Attributes
    ----------
    rows : what tables give there
    places : whole numbers of the inputs that tables are looked up by, one choice for every part with these rows
    """

    rows: _Rows
    places: list[tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables of a graph that are looked up by inputs.

    Attributes
    ----------
    graph : the graph
    tables : their nodes, with which of the inputs below are their places
    inputs : that tables are looked up by
    """

    graph: Graph
    tables: tuple[tuple[int, tuple[int, ...]], ...]
    inputs: tuple[int, ...]

    @classmethod
    def of(cls, graph: Graph) -> Tables | None:
        """None where there are none, or one is looked up by something else than inputs."""
        found = []
        for index in graph.activations:
            operator = graph.activation(index)
            if isinstance(operator, Table):
                places = [_input_of(graph, graph.nodes[index].operands[0], i) for i in range(len(operator.limits))]
                if any(place is None for place in places):
                    return None
                found.append((index, [place for place in places if place is not None]))
        inputs = sorted({place for _, places in found for place in places})
        number = {place: i for i, place in enumerate(inputs)}
        tables = tuple((index, tuple(number[place] for place in places)) for index, places in found)
        return cls(graph, tables, tuple(inputs)) if found else None

    def cells(self, lower: Tensor, upper: Tensor, deadline: float) -> list[Cell] | None:
        """The parts of a box ``[n]``; None where there are too many, one has no row, or the time does not suffice."""
        ends = [(float(lower[i]), float(upper[i])) for i in self.inputs]
        whole = [range(math.trunc(low), math.trunc(high) + 1) for low, high in ends]
        if math.prod(len(some) for some in whole) > TABLES.places:
            return None
        cells: dict[tuple[int, ...], Cell] = {}
        for place in itertools.product(*whole):
            if time.monotonic() >= deadline:
                return None
            rows = []
            for index, numbers in self.tables:
                operator = self.graph.nodes[index].operator
                assert isinstance(operator, Table)
                row = operator.at(tuple(place[i] for i in numbers))
                if row is None:
                    return None
                rows.append(row)
            # Equal rows are one object, unless there are too many to be kept.
            cells.setdefault(tuple(map(id, rows)), Cell(tuple(rows), [])).places.append(place)
        return list(cells.values())

    @cached_property
    def alone(self) -> bool:
        """Whether the inputs that tables are looked up by decide nothing else, so that any one of a cell's places stands for all."""
        last = len(self.graph.nodes) - 1
        received = pass_back(
            self.graph, {last: torch.ones(1, self.graph.output.size, dtype=torch.float64)}, self._reach
        )
        return received is None or not bool((received[0, list(self.inputs)] != 0).any())

    def _reach(self, index: int, k: int, v: Tensor) -> list[Tensor | None]:
        operator = self.graph.nodes[index].operator
        if isinstance(operator, Affine):
            return [(share > 0).double() for share in operator.adjoint_absolute(v)]
        if any(index == table for table, _ in self.tables):
            return [None]
        features = self.graph.activation(index).closed((v[0] > 0).nonzero()[:, 0], v.shape[1])
        reached = torch.zeros_like(v)
        reached[0, features] = 1.0
        return [reached]

    def boxes(self, cells: Sequence[Cell], lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """A box ``[B, n]`` for every cell, on which the network takes all values that it takes there, where tables are
        :attr:`alone`: one place, and everything else."""
        ends = [end.repeat(len(cells), 1) for end in (lower, upper)]
        places = torch.tensor([cell.places[0] for cell in cells], dtype=lower.dtype)
        columns = list(self.inputs)
        for end in ends:
            end[:, columns] = torch.minimum(torch.maximum(places, lower[columns]), upper[columns])
        return ends[0], ends[1]

    def parts(self, cell: Cell, lower: Tensor, upper: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Boxes ``[n]`` on which a cell's graph without tables (:meth:`without`) takes all values that the network takes there."""
        if self.alone:
            low, high = self.boxes([cell], lower, upper)
            yield low[0], high[0]
            return
        for place in cell.places:
            low, high = lower.clone(), upper.clone()
            for i, number in zip(self.inputs, place, strict=True):
                # Rounded towards 0: (-1, 1) are 0, and [1, 2) are 1.
                low[i] = max(float(lower[i]), float(number - (number <= 0)))
                high[i] = min(float(upper[i]), float(number + (number >= 0)))
            yield low, high

    def without(self, cell: Cell) -> Graph:
        """The graph with rows in place of its tables."""
        nodes = list(self.graph.nodes)
        for (index, _), row in zip(self.tables, cell.rows, strict=True):
            node, operator = nodes[index], nodes[index].operator
            assert isinstance(operator, Table)
            found = row if operator.chosen is None else row[operator.chosen]
            fill = torch.cat([torch.zeros(len(operator.limits), dtype=found.dtype), found])
            nowhere = torch.full((node.size,), -1, dtype=torch.int64)
            constant = Select(nowhere, self.graph.input.size, node.shape, fill)
            nodes[index] = replace(node, operator=constant, operands=(0,))
        return drop_dead(Graph(self.graph.arithmetic, nodes))


def _input_of(graph: Graph, node: int, feature: int) -> int | None:
    """Which input a feature of a node is, None where it is none."""
    while node:
        operator, operands = graph.nodes[node].operator, graph.nodes[node].operands
        if isinstance(operator, Select):
            node, feature = operands[0], int(operator.index[feature])
        elif isinstance(operator, Concatenate):
            for operand in operands:
                if feature < graph.nodes[operand].size:
                    node = operand
                    break
                feature -= graph.nodes[operand].size
        else:
            return None
        if feature < 0:
            return None
    return feature
