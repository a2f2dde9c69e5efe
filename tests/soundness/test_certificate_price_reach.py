"""Prices on first layers of several affine nodes, whose intervals are wider than what inputs reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from netproof.certificate.checker import prices as checker_prices
from netproof.certificate.checker.cases import Cases, query_of
from netproof.certificate.checker.check import check
from netproof.certificate.checker.evaluate import ExactNetwork
from netproof.certificate.checker.refute import Rows
from netproof.certificate.checker.region import Cuts
from netproof.certificate.contents import LEAF, BoxProperty, Certificate, arrays_of
from netproof.errors import ProofError
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.network import Network
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.sum import Sum
from soundness.random_networks import random_box, random_network

ROWS = 32


def in_parts(graph: Graph, times: int) -> Graph:
    """The same function: the first layer ``W x + b`` becomes ``((times + 1) W x + b) - times W x``."""
    builder = GraphBuilder(Arithmetic.INTEGER, graph.input.shape)
    first = graph.nodes[1].operator
    assert isinstance(first, Linear)
    more = builder.add("more", Linear(first.weight * (times + 1), first.bias), builder.input)
    less = builder.add("less", Linear(first.weight * times, first.bias * 0), builder.input)
    made = {0: 0, 1: builder.add("difference", Sum((1, -1)), more, less)}
    for index, node in enumerate(graph.nodes[2:], 2):
        made[index] = builder.add(node.name, node.operator, *(made[i] for i in node.operands))
    return builder.build()


@pytest.mark.parametrize("seed", range(20))
def test_values_out_of_reach_do_not_count(seed, monkeypatch):
    if seed % 2:  # features one by one
        monkeypatch.setattr(checker_prices, "_BLOCK", 1)
    random = np.random.default_rng([32, seed])
    net = random_network(random, bits=6)
    while net.layers[0].steps is None:
        net = random_network(random, bits=6)
    lower, upper = random_box(random, net)
    sizes = [len(layer.bias) for layer in net.layers if layer.steps is not None]
    outputs, magnitude = len(net.layers[-1].bias), 2.0 ** random.integers(2, 46, (ROWS, 1))
    s = np.rint(random.normal(size=(ROWS, sum(sizes))) * magnitude * (random.random((ROWS, 1)) < 0.7))
    prices = np.rint(random.normal(size=(ROWS, sizes[0] * len(lower))) * magnitude)
    certificate = Certificate(
        "0" * 64, {}, len(lower), outputs, "unsat", BoxProperty((1,)),
        arrays_of(
            lower=lower, upper=upper, coefficients=random.integers(-3, 4, outputs), threshold=[1], form=[0],
            kept=sizes, kept_feature=[f for n in sizes for f in range(n)], row_exponent=[0] * ROWS,
            row_mu=random.integers(0, 9, ROWS), row_s=s.astype(np.int64),
            price_row=range(ROWS), price_input=range(len(lower)), price_difference=prices.astype(np.int64),
        ),
    )  # fmt: skip
    at, feature = torch.zeros(ROWS, dtype=torch.int64), torch.from_numpy(random.integers(0, sizes[0], ROWS))
    whole, bounds = net.network(), []
    for network in (whole, Network(in_parts(whole.graph, 30), "parts", whole.sha256, whole.lower, whole.upper)):
        query, exact = query_of(certificate, network, "reach"), ExactNetwork(network, "reach")
        region = exact.whole(query.lower, query.upper)
        if not bounds:
            tight = region
            low, high = region.low[0][0][feature], region.high[0][0][feature]
            end = low + torch.from_numpy(random.integers(0, (high - low + 1).long().numpy()))
        # Further layers have the same ranges.
        region = replace(region, low=(region.low[0], *tight.low[1:]), high=(region.high[0], *tight.high[1:]))
        rows = Rows(certificate, exact, Cases(exact, query, certificate.arrays["form"], "reach"))
        of_layer = [
            Cuts(at, at - 1, at, at, end),
            Cuts(at, at + 1, feature, at, end + 1),
            Cuts(at, at + 1, feature, at + 1, end - 1),
        ]
        case = torch.tensor([0])
        bounds.append([rows.bounds(region, case, cuts, np.arange(ROWS)).tolist() for cuts in of_layer])
    # Sums beyond float64 may come earlier where intervals are wide.
    pairs = [(a, b) for one, other in zip(*bounds, strict=True) for a, b in zip(one, other, strict=True)]
    assert all(a == b for a, b in pairs if np.isfinite(b)) and sum(np.isfinite(b) for _, b in pairs) > ROWS


@pytest.mark.parametrize("price", [2**45 + 1, 2**45 + 3, 2**45 + 5, 2**45 + 7])
def test_costs_out_of_reach_round_nothing(price):
    """One input ``x`` of 0 .. 10 and ``y = 2`` at ``x = 10``: a cut there must not hold.

    Prices are small enough for what ``x`` reaches, and were not for the lower end of the interval.
    """
    builder, times = GraphBuilder(Arithmetic.INTEGER, (1,)), 1 << 20

    def numbers(*values: float) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64)

    both = builder.add("both", Linear(numbers(1, 1)[:, None], numbers(0, 0)), builder.input)
    difference = builder.add("difference", Linear(numbers(times + 1, -times)[None], numbers(0)), both)
    builder.add("steps", Staircase(numbers(-times, 10)[None], numbers(0)), difference)
    network = Network(builder.build(), "reach", "0" * 64, numbers(0), numbers(10))
    assert network.graph.evaluate(numbers(10)).tolist() == [2]
    claim = Certificate(
        "0" * 64, {}, 1, 1, "unsat", BoxProperty((1,)),
        arrays_of(
            lower=[0], upper=[10], coefficients=[1], threshold=[2], form=[0], kept=[1], kept_feature=[0],
            row_exponent=[0, 0], row_mu=[0, 1], row_s=[0, 0], common=[1], kind=[LEAF], leaf_row=[1],
            cut_activation=[1], cut_feature=[0], cut_side=[1], cut_end=[9], cut_row=[0],
            price_row=[0], price_input=[0], price_difference=[price],
        ),
    )  # fmt: skip
    with pytest.raises(ProofError, match="gives the bound 0, not below 0"):
        check(claim, network)
