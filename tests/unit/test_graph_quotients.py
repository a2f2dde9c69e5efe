"""Passes: products with reciprocals become quotients, products with constants linear maps, constants are computed."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.passes.bypass_concatenate import bypass_concatenate
from netproof.graph.passes.constants import fold_constants
from netproof.graph.passes.quotients import join_quotients
from netproof.graph.passes.simplify import simplify
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.pairs.product import Product
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select

SIZE = 4


def halves(builder: GraphBuilder, products: int, count: int) -> int:
    weight = torch.full((1, 1, 2), 0.5, dtype=torch.float64)
    return builder.add("each", BlockLinear(weight, count, (count,)), products)


def shares(*, mean: bool = True, swapped: bool = False, first: bool = False, bias: float = 0.0) -> Graph:
    """``z_i / (z_1 + ... + 1)`` for squares ``z``, and means with them as weights; operands in either order."""
    generator = torch.Generator().manual_seed(1)
    builder = GraphBuilder(Arithmetic.REAL, (SIZE,))
    z = builder.add("z", Power(2.0), builder.input)
    one = torch.ones(1, SIZE, dtype=torch.float64)
    total = builder.add("total", Linear(one, torch.ones(1, dtype=torch.float64)), z)
    inverse = builder.add("inverse", Power(-1.0), total)
    operands, sizes = ((inverse, z), (1, SIZE)) if first else ((z, inverse), (SIZE, 1))
    both = builder.add("both", Concatenate(sizes), *operands)
    of_z, of_d = (torch.arange(SIZE) + 1, torch.zeros(SIZE, dtype=torch.int64)) if first else (
        torch.arange(SIZE), torch.full((SIZE,), SIZE)
    )  # fmt: skip
    pairs = torch.stack([of_d, of_z] if swapped else [of_z, of_d], -1).reshape(-1)
    pair = builder.add("pairs", Select(pairs, SIZE + 1, (2 * SIZE,)), both)
    last = halves(builder, builder.add("products", Product(), pair), SIZE)
    if mean:
        weight = torch.randn(2, SIZE, generator=generator, dtype=torch.float64)
        last = builder.add("mean", Linear(weight, torch.full((2,), bias, dtype=torch.float64)), last)
    builder.add("out", Scale(2 if mean else SIZE, torch.tensor([3.0]).double(), torch.zeros(1).double()), last)
    return builder.build()


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("swapped", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_quotients_are_joined(mean: bool, swapped: bool, first: bool) -> None:
    graph = shares(mean=mean, swapped=swapped, first=first)
    joined = join_quotients(graph)
    x = torch.randn(50, SIZE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.allclose(joined.evaluate(x), graph.evaluate(x), rtol=1e-13, atol=1e-13)
    names = [node.operator.name for node in joined.nodes]
    assert "product" not in names and "reciprocal" not in names and names.count("quotient") == 1
    size = next(node.size for node in joined.nodes if node.operator.name == "held")
    assert size == (2 if mean else SIZE)


def test_a_mean_with_an_offset_is_of_quotients() -> None:
    graph = shares(bias=0.5)
    joined = join_quotients(graph)
    x = torch.randn(20, SIZE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.allclose(joined.evaluate(x), graph.evaluate(x), rtol=1e-13, atol=1e-13)
    assert next(node.size for node in joined.nodes if node.operator.name == "held") == SIZE


def test_other_products_stay() -> None:
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    product = builder.add("product", Product(), builder.add("one", Scale(2, *[torch.ones(1).double()] * 2), 0))
    halves(builder, product, 1)
    graph = builder.build()
    assert join_quotients(graph) is graph and fold_constants(graph) is graph


def constant(builder: GraphBuilder, values: list[float]) -> int:
    index = torch.full((len(values),), -1)
    return builder.add(
        "constant", Select(index, SIZE, (len(values),), torch.tensor(values, dtype=torch.float64)), builder.input
    )


def with_constants(values: list[float], matrix: torch.Tensor, shift: float) -> Graph:
    """The input times ``matrix @ values + shift``."""
    builder = GraphBuilder(Arithmetic.REAL, (SIZE,))
    mapped = builder.add("map", Linear(matrix, torch.zeros(SIZE, dtype=torch.float64)), constant(builder, values))
    moved = builder.add(
        "shift", Scale(SIZE, torch.ones(1).double(), torch.tensor([shift], dtype=torch.float64)), mapped
    )
    both = builder.add("both", Concatenate((SIZE, SIZE)), builder.input, moved)
    pairs = torch.stack([torch.arange(SIZE), torch.arange(SIZE) + SIZE], -1).reshape(-1)
    pair = builder.add("pairs", Select(pairs, 2 * SIZE, (2 * SIZE,)), both)
    halves(builder, builder.add("products", Product(), pair), SIZE)
    return builder.build()


def test_products_with_zeros_and_offsets_are_exact() -> None:
    graph = with_constants([0.0] * SIZE, torch.full((SIZE, SIZE), 0.1, dtype=torch.float64), 0.7)
    folded = simplify(graph)
    assert [node.operator.name for node in folded.nodes] == ["input", "scale", "select", "linear"]
    assert folded.nodes[1].operator.roundings == 0
    x = torch.randn(5, SIZE, dtype=torch.float64)
    assert torch.equal(folded.evaluate(x), x * 0.7)


@pytest.mark.parametrize("seed", range(10))
def test_products_with_rounded_constants_say_so(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(SIZE, generator=generator, dtype=torch.float64).tolist()
    matrix = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64)
    graph = with_constants(values, matrix, -0.3)
    folded = fold_constants(graph)
    assert not any(isinstance(node.operator, Product) for node in folded.nodes)
    x = torch.randn(5, SIZE, generator=generator, dtype=torch.float64)
    assert torch.allclose(folded.evaluate(x), graph.evaluate(x), rtol=1e-12, atol=1e-12)
    scale = next(node.operator for node in folded.nodes if node.name == "products/scaled")
    unit = Fraction(1, 2**53)
    share = scale.roundings * unit / (1 - scale.roundings * unit)
    for i in range(SIZE):
        meant = sum(Fraction(float(w)) * Fraction(v) for w, v in zip(matrix[i], values, strict=True)) + Fraction(-0.3)
        assert abs(meant - Fraction(float(scale.scale[i]))) <= share * abs(Fraction(float(scale.scale[i])))


def test_a_factor_without_digits_stays() -> None:
    # The sum cancels: how often it was rounded, relative to its size, says nothing.
    matrix = torch.tensor([[1e20, 1.0, -1e20, 0.0]] * SIZE, dtype=torch.float64)
    graph = with_constants([1.0] * SIZE, matrix, 0.0)
    assert fold_constants(graph) is graph


def test_small_numbers_are_not_nothing() -> None:
    # The products underflow: what is known is not exactly 0.
    matrix = torch.full((SIZE, SIZE), 1e-200, dtype=torch.float64)
    graph = with_constants([1e-200] * SIZE, matrix, 0.0)
    assert fold_constants(graph) is graph


def test_constants_that_are_moved_are_constants() -> None:
    builder = GraphBuilder(Arithmetic.REAL, (SIZE,))
    first = constant(builder, [1.0, 2.0])
    second = builder.add("turn", Select(torch.tensor([1, 0]), 2, (2,)), first)
    both = builder.add("both", Concatenate((2, SIZE)), second, builder.input)
    builder.add("pick", Select(torch.tensor([1, 3]), 2 + SIZE, (2,)), both)
    folded = fold_constants(builder.build())
    x = torch.randn(3, SIZE, dtype=torch.float64)
    assert torch.equal(folded.evaluate(x), torch.stack([torch.ones(3).double(), x[:, 1]], 1))


def test_what_one_operand_gives_is_read_from_it() -> None:
    builder = GraphBuilder(Arithmetic.REAL, (SIZE,))
    inner = builder.add("inner", Concatenate((SIZE, SIZE)), builder.add("z", Power(2.0), 0), builder.input)
    outer = builder.add("outer", Concatenate((SIZE, 2 * SIZE)), builder.input, inner)
    fill = torch.tensor([0.0, 7.0, 0.0], dtype=torch.float64)
    one = builder.add("one", Select(torch.tensor([SIZE + 3, -1, SIZE]), 3 * SIZE, (3,), fill), outer)
    two = builder.add("two", Select(torch.tensor([0, 2 * SIZE]), 3 * SIZE, (2,)), outer)
    builder.add("both", Concatenate((3, 2)), one, two)
    graph = builder.build()
    direct = bypass_concatenate(graph)
    x = torch.randn(5, SIZE, dtype=torch.float64)
    assert torch.equal(direct.evaluate(x), graph.evaluate(x))
    found = {node.name: [direct.nodes[i].name for i in node.operands] for node in direct.nodes}
    assert found["one"] == ["z"] and found["two"] == ["outer"]
    assert bypass_concatenate(direct) is direct


def test_nothing_times_what_may_have_no_value_is_no_constant() -> None:
    builder = GraphBuilder(Arithmetic.REAL, (SIZE,))
    inverse = builder.add("inverse", Power(-1.0), builder.input)
    zero = torch.zeros(2, SIZE, dtype=torch.float64)
    builder.add("out", Linear(zero, torch.ones(2, dtype=torch.float64)), inverse)
    graph = builder.build()
    assert fold_constants(graph) is graph
