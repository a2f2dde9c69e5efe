"""Affine maps that intervals look at one by one and a search takes together: their ranges are cuts of the proof."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from netproof.bounds.boxes import refine_with_account
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.ranges.tighten import tighten_ranges
from netproof.bounds.region import box_region
from netproof.certificate.checker.check import check
from netproof.certificate.make import certificate_of
from netproof.graph.exactness import check_exact
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.loose import loose_activations
from netproof.network import Network
from netproof.operators.activations.staircase import Staircase
from netproof.operators.activations.tanh import Tanh
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.sum import Sum
from netproof.query import Conjunction, Query
from netproof.search.verify import verify
from netproof.settings import Settings


def linear(random: np.random.Generator, before: int, after: int) -> Linear:
    weight, bias = random.integers(-3, 4, (after, before)), random.integers(-3, 4, after)
    return Linear(torch.tensor(weight).double(), torch.tensor(bias).double())


def steps(random: np.random.Generator) -> Staircase:
    thresholds = np.sort(random.integers(-8, 9, (1, 4)), axis=1)
    return Staircase(torch.tensor(thresholds).double(), torch.zeros(1, dtype=torch.float64))


def graph_of(kind: str, seed: int) -> Graph:
    """Two inputs; ``kind`` says what stands before the first activation, or before the second one."""
    random = np.random.default_rng(seed)
    builder = GraphBuilder(Arithmetic.INTEGER, (2,))
    at = builder.add("first", linear(random, 2, 3), builder.input)
    if kind.startswith("later"):
        at = builder.add("steps", steps(random), at)
        at = builder.add("second", linear(random, 3, 3), at)
    if kind.endswith("twin"):
        at = builder.add("twin", Sum((1, -1)), at, at)
    elif kind.endswith("twice"):
        at = builder.add("again", linear(random, 3, 3), at)
    elif kind.endswith("apart"):  # of other nodes: intervals know all of it
        other = builder.add("scaled", Scale(2, torch.ones(1).double(), torch.zeros(1).double()), builder.input)
        at = builder.add("sum", Sum((1, 1)), at, builder.add("side", linear(random, 2, 3), other))
    at = builder.add("last steps", steps(random), at)
    return builder.build()


@pytest.mark.parametrize(
    ("kind", "loose"),
    [
        ("plain", set()),
        ("later plain", set()),
        ("twin", {0}),
        ("twice", {0}),
        ("later twin", {1}),
        ("later twice", {1}),
        ("later apart", set()),
        ("apart", {0}),
    ],
)
def test_which_activations_have_loose_intervals(kind, loose):
    assert loose_activations(graph_of(kind, 0)) == loose


@pytest.mark.parametrize("kind", ["twin", "twice", "apart", "later twin", "later twice"])
@pytest.mark.parametrize("seed", range(2))
def test_every_unsat_has_a_proof(kind, seed):
    graph = graph_of(kind, seed)
    lower = torch.zeros(2, dtype=torch.float64)
    check_exact(graph, lower, lower + 5)
    network = Network(graph, "made here", "0" * 64, lower, lower + 5)
    points = torch.tensor(list(itertools.product(range(6), repeat=2))).double()
    values = graph.evaluate(points)
    region = tighten_ranges(graph, box_region(graph, lower[None], lower[None] + 5))
    for k, index in enumerate(graph.activations):
        before = graph.values(points)[graph.nodes[index].operands[0]]
        assert bool((before >= region.range_lower[k]).all()) and bool((before <= region.range_upper[k]).all())
    proved = 0
    for feature in range(3):
        for level in range(1, 5):
            row = torch.zeros(2, 3, dtype=torch.float64)
            row[0, feature], row[1, feature] = 1.0, -1.0
            # The feature is ``level``, by two constraints, so that the root alone does not decide it always.
            query = Query(network, lower, lower + 5, (Conjunction(row, torch.tensor([level, -level]).double()),))
            result = verify(query, Settings(timeout=60, proofs=True))
            expected = bool((values[:, feature] == level).any())
            assert result.verdict.value == ("sat" if expected else "unsat")
            if not expected:
                assert check(certificate_of(query, result), network).claim == "unsat"
                proved += 1
    assert proved or kind not in ("twin", "later twin")


def test_a_node_less_itself_is_nothing():
    graph = graph_of("later twin", 1)
    lower = torch.zeros(1, 2, dtype=torch.float64)
    found = tighten_ranges(graph, box_region(graph, lower, lower + 5))
    assert bool((found.range_lower[1] == 0).all()) and bool((found.range_upper[1] == 0).all())


@pytest.mark.parametrize("ways", ["twice", "twin", "apart"])
def test_affine_maps_in_a_row_are_taken_together_over_the_real_numbers(ways):
    """Before the first activation, too: there a bound is the very range of what the maps compute."""
    generator = torch.Generator().manual_seed(0)

    def mixing(before: int, after: int) -> Linear:
        weight = torch.randn(after, before, generator=generator, dtype=torch.float64)
        return Linear(weight, torch.randn(after, generator=generator, dtype=torch.float64))

    builder = GraphBuilder(Arithmetic.REAL, (4,))
    first = mixing(4, 6)
    at = builder.add("first", first, builder.input)
    weight, bias = first.weight, first.bias
    if ways == "twice":
        other = mixing(6, 6)
        at = builder.add("second", other, at)
        weight, bias = other.weight @ weight, other.weight @ bias + other.bias
    else:
        other = mixing(4, 6) if ways == "apart" else first
        at = builder.add("sum", Sum((1, -1)), at, builder.add("other", other, builder.input))
        weight, bias = weight - other.weight, bias - other.bias
    if ways == "twin":  # nothing but the shift is left
        shift = torch.tensor([0.5, -0.25, 0.0, 1.0, -1.0, 2.0], dtype=torch.float64)
        at, bias = builder.add("shift", Scale(6, torch.ones(1).double(), shift), at), bias + shift
    builder.add("bent", Tanh(), at)
    graph = builder.build()
    center = torch.randn(1, 4, generator=generator, dtype=torch.float64)
    region = box_region(graph, center - 0.5, center + 0.5)
    middle, reach = (weight @ center[0] + bias), 0.5 * weight.abs().sum(1)
    assert bool((region.range_upper[0][0] - middle > 1.2 * reach).any())
    for refined in (refine_ranges(graph, region), refine_with_account(graph, region)[0]):
        low, high = refined.range_lower[0][0], refined.range_upper[0][0]
        slack = 1e-9
        assert bool((low <= middle - reach + 1e-15).all() and (high >= middle + reach - 1e-15).all())
        assert bool((low >= middle - reach - slack).all() and (high <= middle + reach + slack).all())
