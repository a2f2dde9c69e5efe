"""Chains that no reader makes today: activations on the input or on one another, affine maps in a row."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from netproof.graph.exactness import check_exact
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.network import Network
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.linear import Linear
from netproof.query import Conjunction, Query
from netproof.search.verify import verify
from netproof.settings import Settings

#: the last one is no chain at all: the output is the input
ORDERS = ("SLS", "LSS", "LLS", "SL", "LL", "S", "LSLL", "SLSL", "")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seed", range(4))
def test_verdicts_equal_brute_force(order, seed):
    rng = np.random.default_rng([seed, ORDERS.index(order)])
    size = inputs = 2
    builder = GraphBuilder(Arithmetic.INTEGER, (inputs,))
    node = builder.input
    values = every = np.array(list(itertools.product(range(6), repeat=inputs)))
    for place, kind in enumerate(order):
        if kind == "L":
            rows = int(rng.integers(2, 4))
            weight, bias = rng.integers(-3, 4, (rows, size)), rng.integers(-4, 5, rows)
            operator = Linear(torch.tensor(weight).double(), torch.tensor(bias).double())
            values, size = values @ weight.T + bias, rows
        else:
            thresholds = np.sort(rng.integers(-6, 12, (size, 3)), axis=1)
            base = rng.integers(-2, 3, size)
            operator = Staircase(torch.tensor(thresholds).double(), torch.tensor(base).double())
            values = base + (thresholds <= values[:, :, None]).sum(-1)
        node = builder.add(f"node{place}", operator, node)
    graph = builder.build()
    lower = torch.zeros(inputs, dtype=torch.float64)
    check_exact(graph, lower, lower + 5)
    network = Network(graph, "made here", "", lower, lower + 5)
    queries, expected = [], []
    for _ in range(12):
        coefficients = rng.integers(-2, 3, (int(rng.integers(1, 3)), size))
        reached = values @ coefficients.T
        threshold = reached[rng.integers(len(values))] + rng.integers(0, 2, len(coefficients))
        expected.append(bool((reached >= threshold).all(1).any()))
        condition = Conjunction(torch.tensor(coefficients).double(), torch.tensor(threshold).double())
        queries.append(Query(network, lower, lower + 5, (condition,)))
    for position, result in enumerate(verify(queries, Settings(timeout=600, attack=bool(seed % 2)))):
        assert result.verdict.value == ("sat" if expected[position] else "unsat")
    assert len(every) == 36
