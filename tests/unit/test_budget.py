"""How many rows a batch has: by bytes, tensors, and the memory that there is."""

from __future__ import annotations

import itertools

import pytest
import torch

from netproof.graph.budget import Budget
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.affine.linear import Linear


def graph(*sizes: int):
    builder = GraphBuilder(Arithmetic.REAL, (sizes[0],))
    at = builder.input
    for number, (before, after) in enumerate(itertools.pairwise(sizes)):
        weight, bias = torch.ones(after, before, dtype=torch.float64), torch.zeros(after, dtype=torch.float64)
        at = builder.add(f"dense {number}", Linear(weight, bias), at)
    return builder.build()


@pytest.mark.parametrize(
    ("budget", "tensors", "memory", "rows"),
    [
        (Budget(8000), 1, None, 100),  # 10 numbers of 8 bytes
        (Budget(8000, size=4), 1, None, 200),
        (Budget(8000), 3, None, 33),
        (Budget(8000, whole=True), 1, None, 50),  # 4 + 10 + 6 numbers
        (Budget(8000, most=7), 1, None, 7),
        (Budget(8000, least=9, most=7), 1, None, 9),
        (Budget(80, least=4), 5, None, 4),
        (Budget(8000), 1, 1600, 10),  # half of what there is
        (Budget(8000), 1, 1 << 30, 100),
    ],
)
def test_rows_that_fit(budget, tensors, memory, rows):
    assert budget.rows(graph(4, 10, 6), tensors, memory) == rows


def test_rows_are_those_of_the_largest_node_wherever_it_is():
    assert [Budget(8000).rows(graph(*sizes), 1) for sizes in ((10, 4), (4, 10), (4, 10, 4))] == [100] * 3
