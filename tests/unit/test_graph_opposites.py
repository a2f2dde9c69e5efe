"""Pass: ReLUs of opposite arguments that cancel are linear."""

from __future__ import annotations

import pytest
import torch

from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.objective import Objective
from netproof.bounds.region import box_region
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.passes.opposites import fold_opposites
from netproof.graph.passes.simplify import simplify
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.sum import Sum
from netproof.operators.base import Activation, Affine

GENERATOR = torch.Generator().manual_seed(7)


def randn(*shape: int) -> torch.Tensor:
    """Numbers of few digits, so that every product and sum below is exact."""
    return (torch.randn(*shape, generator=GENERATOR, dtype=torch.float64) * 64).round() / 16


def split(
    size: int = 5,
    factors: tuple[float, ...] = (1.0, 2.0, 0.25),
    others: int = 0,
    spoil: str = "",
    activation: Activation | None = None,
) -> tuple[Graph, torch.Tensor, torch.Tensor]:
    """A layer whose values are carried past ReLUs by pairs (``z``, ``-c z``), with ``others`` that bend; what is carried, ``A x + b``."""
    count = len(factors)
    weight, bias, out = randn(count, size), randn(count), randn(2, count)
    c = torch.tensor(factors, dtype=torch.float64)
    more, shift, more_out = randn(others, size), randn(others), randn(2, others)
    rows = torch.cat([weight, more, -c[:, None] * weight.clone()])
    columns = torch.cat([out, more_out, -out / c], 1)
    biases = torch.cat([bias, shift, -c * bias])
    if spoil == "weight":
        rows[-1, 2] += 1 / 16
    elif spoil == "bias":
        biases[-1] += 1 / 16
    elif spoil == "column":
        columns[1, -1] += 1 / 16
    elif spoil == "sign":
        rows[-1], biases[-1] = -rows[-1], -biases[-1]
    builder = GraphBuilder(Arithmetic.REAL, (size,))
    a = builder.add("a", Linear(rows, biases), builder.input)
    h = builder.add("h", activation or ReLU(), a)
    builder.add("y", Linear(columns, randn(2)), h)
    return builder.build(), out @ weight, out @ bias


def bent(graph: Graph) -> int:
    """How many features of activations there are."""
    return sum(graph.nodes[i].size for i in graph.activations)


def assert_same(graph: Graph, other: Graph) -> None:
    x = torch.randn(200, graph.input.size, generator=GENERATOR, dtype=torch.float64) * 3
    torch.testing.assert_close(graph.evaluate(x), other.evaluate(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("others", [0, 3])
@pytest.mark.parametrize("factors", [(1.0,), (1.0, 2.0, 0.25), (1.0, 1.0)])
def test_pairs_are_linear(factors: tuple[float, ...], others: int) -> None:
    graph, slope, constant = split(factors=factors, others=others)
    folded = fold_opposites(graph)
    assert bent(folded) == others
    assert_same(graph, folded)
    assert_same(graph, simplify(graph))
    if not others:
        shift = graph.evaluate(torch.zeros(1, graph.input.size, dtype=torch.float64)) - constant
        x = torch.randn(50, graph.input.size, generator=GENERATOR, dtype=torch.float64)
        torch.testing.assert_close(folded.evaluate(x), x @ slope.T + constant + shift)
        assert not simplify(graph).activations


@pytest.mark.parametrize("spoil", ["weight", "bias", "column", "sign"])
def test_what_is_not_quite_opposite_stays(spoil: str) -> None:
    graph, _, _ = split(spoil=spoil)
    folded = fold_opposites(graph)
    assert bent(folded) == 2, "the last pair bends"
    assert_same(graph, folded)


@pytest.mark.parametrize("factor", [3.0, 0.1, 1 + 2**-40])
def test_only_powers_of_two_are_factors(factor: float) -> None:
    graph, _, _ = split(factors=(factor,))
    assert fold_opposites(graph) is graph


def test_other_activations_stay() -> None:
    graph, _, _ = split(activation=LeakyReLU(0.5))
    assert fold_opposites(graph) is graph


def test_an_output_stays() -> None:
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    rows = torch.tensor([[1.0, 2.0], [-1.0, -2.0]], dtype=torch.float64)
    builder.add("h", ReLU(), builder.add("a", Linear(rows, torch.zeros(2).double()), builder.input))
    graph = builder.build()
    assert fold_opposites(graph) is graph


@pytest.mark.parametrize("alike", [True, False])
def test_all_readers_count(alike: bool) -> None:
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    rows = torch.tensor([[1.0, 2.0], [-1.0, -2.0]], dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    h = builder.add("h", ReLU(), builder.add("a", Linear(rows, torch.zeros(2).double()), builder.input))
    one = builder.add("one", Linear(torch.tensor([[1.0, -1.0]]).double(), zero), h)
    two = builder.add("two", Linear(torch.tensor([[3.0, -3.0 if alike else 1.0]]).double(), zero), h)
    builder.add("y", Sum((1, 1)), one, two)
    graph = builder.build()
    assert bent(fold_opposites(graph)) == (0 if alike else 2)
    assert_same(graph, fold_opposites(graph))


def test_a_reader_of_another_kind_keeps_the_pair() -> None:
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    rows = torch.tensor([[1.0, 2.0], [-1.0, -2.0]], dtype=torch.float64)
    h = builder.add("h", ReLU(), builder.add("a", Linear(rows, torch.zeros(2).double()), builder.input))
    builder.add("y", Sum((1, 1)), h, h)
    graph = builder.build()
    assert fold_opposites(graph) is graph


def test_numbers_that_stand_for_others_stay() -> None:
    # Weights that were rounded on their way from the file are not opposite for certain.
    graph, _, _ = split()
    node = graph.nodes[1]
    assert isinstance(node.operator, Linear)
    rounded = Linear(node.operator.weight, node.operator.bias, roundings=1)
    builder = GraphBuilder(Arithmetic.REAL, (5,))
    operator = graph.nodes[3].operator
    assert isinstance(operator, Affine)
    builder.add("y", operator, builder.add("h", ReLU(), builder.add("a", rounded, builder.input)))
    rounded_graph = builder.build()
    assert fold_opposites(rounded_graph) is rounded_graph


def test_what_underflows_stays() -> None:
    tiny = torch.tensor([[2.0**-1060, 1.0], [-(2.0**-1060), -1.0]], dtype=torch.float64)
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    h = builder.add("h", ReLU(), builder.add("a", Linear(tiny, torch.zeros(2).double()), builder.input))
    builder.add("y", Linear(torch.tensor([[1.0, -1.0]]).double(), torch.zeros(1).double()), h)
    graph = builder.build()
    assert fold_opposites(graph) is graph


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("others", [0, 2])
def test_channels_of_convolutions(dense: bool, others: int) -> None:
    weight, bias, more = randn(2, 1, 3, 3), randn(2), randn(others, 1, 3, 3)
    kernel = torch.cat([weight, more, -2 * weight])
    first = Convolution(
        kernel, torch.cat([bias, randn(others), -2 * bias]), (1, 5, 6), (1, 1), ((1, 1), (1, 1)), (1, 1)
    )
    channels = 4 + others
    builder = GraphBuilder(Arithmetic.REAL, (1, 5, 6))
    h = builder.add("h", ReLU(), builder.add("a", first, builder.input))
    if dense:
        read = randn(3, channels, 30)
        read[:, -2:] = -read[:, :2] / 2
        builder.add("y", Linear(read.flatten(1), randn(3)), h)
    else:
        read = randn(3, channels, 2, 2)
        read[:, -2:] = -read[:, :2] / 2
        second = Convolution(read, randn(3), (channels, 5, 6), (2, 1), ((0, 1), (1, 1)), (1, 1))
        builder.add("y", second, h)
    graph = builder.build()
    folded = fold_opposites(graph)
    assert bent(folded) == others * 30
    assert_same(graph, folded)


def test_bounds_of_what_is_carried_are_exact() -> None:
    graph, slope, constant = split()
    folded = simplify(graph)
    lower, upper = torch.full((1, 5), -1.0).double(), torch.ones(1, 5).double()
    region = box_region(folded, lower, upper)
    c = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    objective = Objective({len(folded.nodes) - 1: c}, torch.zeros(1, dtype=torch.float64))
    value = crown_lines(Relaxation(folded, region), objective, Rounding.of(folded, region)).value
    shift = graph.evaluate(torch.zeros(1, 5, dtype=torch.float64)) - constant
    torch.testing.assert_close(value, (c @ slope).abs().sum(1) + (c * (constant + shift)).sum(1))
