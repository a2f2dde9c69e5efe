"""What a query needs at least, and searches that keep to their limit."""

from __future__ import annotations

import time

import pytest
import torch

from netproof import Conjunction, Query, Settings, Verdict, verify
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.region import box_region
from netproof.conditions.conditions import Conditions
from netproof.errors import InputError
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.network import Network
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.tanh import Tanh
from netproof.operators.affine.linear import Linear
from netproof.search.real.input_split import InputSplit
from netproof.search.real.memory import check_memory, needed_memory
from netproof.search.real.problem import Problem
from netproof.search.real.range_split import RangeSplit
from netproof.search.real.relu_split import ReluSplit


def graph(width: int, activation=None, inputs: int = 80) -> Graph:
    generator = torch.Generator().manual_seed(0)
    builder = GraphBuilder(Arithmetic.REAL, (inputs,))
    at, before = builder.input, inputs
    for number in range(3):
        weight = torch.randn(width, before, generator=generator).double() / before**0.5
        at = builder.add(f"dense {number}", Linear(weight, torch.zeros(width, dtype=torch.float64)), at)
        at = builder.add(f"act {number}", activation or ReLU(), at)
        before = width
    weight = torch.randn(2, width, generator=generator).double()
    builder.add("out", Linear(weight, torch.zeros(2, dtype=torch.float64)), at)
    return builder.build()


def query(width: int, cases: int = 1, threshold: float = 0.0, activation=None) -> Query:
    made = graph(width, activation)
    unbounded = torch.full((80,), torch.inf, dtype=torch.float64)
    row = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    one = Conjunction(row, torch.tensor([threshold], dtype=torch.float64))
    low = -torch.ones(80, dtype=torch.float64)
    return Query(Network(made, "wide.onnx", "", -unbounded, unbounded), low, -low, (one,) * cases)


def test_more_of_everything_needs_more():
    small = needed_memory(query(10))
    assert 0 < small < needed_memory(query(20)) < needed_memory(query(200))
    assert small < needed_memory(query(10, cases=1000))
    # Weights in float64 are the least of it.
    assert needed_memory(query(500)) > 8 * (500 * 80 + 2 * 500 * 500)


def test_a_query_that_needs_more_is_refused_before_it_starts():
    large = query(600)
    needed = needed_memory(large)
    assert check_memory(large, Settings(memory=needed + 7)) == 7
    with pytest.raises(
        InputError, match=r"wide.onnx: a query on it needs about .* MiB of memory, the limit is .* MiB; allow more"
    ):
        verify(large, Settings(memory=needed - 1))


@pytest.mark.parametrize("activation", [ReLU(), Tanh()])
def test_a_search_ends_at_its_limit(activation):
    asked = query(24, threshold=0.6, activation=activation)
    made = asked.network.graph
    constraints = Conditions.of(made, asked.condition)
    region = box_region(made, asked.lower[None], asked.upper[None])
    case = torch.zeros(1, dtype=torch.int64)
    problem = Problem(made, constraints, None, 1)
    deadline = time.monotonic() + 600.0
    if isinstance(activation, ReLU):
        found = ReluSplit(problem, SignDual.of(made, region), Rounding.of(made, region)).run(case, deadline)
    else:
        found = RangeSplit(problem).run(region, case, deadline)
    boxes = InputSplit(problem).run(region, case, deadline)
    for one in (found, boxes):
        assert one.verdict is Verdict.UNKNOWN and one.reason == "the memory limit was reached"
        assert one.subproblems > 0 and one.left.tolist() == [0]
