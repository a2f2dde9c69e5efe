"""Graph passes: what they merge, and that what they say of their rounding is true, in rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.passes.drop_dead import drop_dead
from netproof.graph.passes.drop_identity import drop_identity
from netproof.graph.passes.merge import merge
from netproof.graph.passes.rules.compose_select import linear_of_select, select_of_select
from netproof.graph.passes.rules.fold_scale import scale_after, scale_before
from netproof.graph.passes.rules.merge_linear import linear_of_linear
from netproof.graph.passes.simplify import simplify
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum
from netproof.operators.affine.transposed_convolution import TransposedConvolution
from netproof.operators.base import Affine

few = settings(deadline=None, derandomize=True, database=None, max_examples=60)
Matrix = list[list[Fraction]]
Vector = list[Fraction]
UNIT = Fraction(1, 2**53)


def gamma(k: int) -> Fraction:
    return k * UNIT / (1 - k * UNIT)


def stored(operator: Affine, size: int) -> tuple[Matrix, Vector]:
    """The matrix and the offset that an operator holds, exactly (columns of the identity are not rounded)."""
    matrix = operator.forward_linear(torch.eye(size, dtype=torch.float64)).T
    offset = operator.forward(torch.zeros(size, dtype=torch.float64))
    return [[Fraction(w) for w in row] for row in matrix.tolist()], [Fraction(b) for b in offset.tolist()]


def meant(operator: Affine, size: int, generator: torch.Generator) -> tuple[Matrix, Vector]:
    """One of the maps that an operator may stand for: as far off as it says, in random directions."""
    matrix, offset = stored(operator, size)
    error = operator.offset_error().expand(len(offset)).tolist()

    def sign() -> int:
        return 1 - 2 * int(torch.randint(0, 2, (), generator=generator))

    # A little less than gamma_k, which roundings in a row do not exceed.
    share = operator.roundings * UNIT
    return (
        [[w * (1 + sign() * share) for w in row] for row in matrix],
        [b + sign() * Fraction(e) for b, e in zip(offset, error, strict=True)],
    )


def composed(first: tuple[Matrix, Vector], second: tuple[Matrix, Vector]) -> tuple[Matrix, Vector]:
    (w, b), (v, c) = first, second
    columns = list(zip(*w, strict=True))
    product = [[sum((x * y for x, y in zip(row, column, strict=True)), Fraction(0)) for column in columns] for row in v]
    return product, [
        sum((x * y for x, y in zip(row, b, strict=True)), Fraction(0)) + e for row, e in zip(v, c, strict=True)
    ]


def assert_covers(merged: Affine, size: int, true: tuple[Matrix, Vector]) -> None:
    """The merged operator is as near to the true map as it says."""
    matrix, offset = stored(merged, size)
    for row, true_row in zip(matrix, true[0], strict=True):
        for w, exact in zip(row, true_row, strict=True):
            assert abs(w - exact) <= gamma(merged.roundings) * abs(w)
    error = merged.offset_error().expand(len(offset)).tolist()
    for b, exact, e in zip(offset, true[1], error, strict=True):
        assert abs(b - exact) <= Fraction(e)


def rough(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Numbers with all 53 bits, some of them 0, of very different sizes."""
    numbers = torch.randn(*shape, generator=generator, dtype=torch.float64)
    size = torch.randint(-20, 20, shape, generator=generator)
    kept = torch.rand(*shape, generator=generator) > 0.15
    return torch.ldexp(numbers, size) * kept


def claimed(generator: torch.Generator, size: int) -> tuple[int, torch.Tensor | None]:
    """Roundings and an offset error that an operator may come with."""
    if torch.rand((), generator=generator) < 0.5:
        return 0, None
    return int(torch.randint(0, 4, (), generator=generator)), rough(generator, size).abs() * 2.0**-50


def random_scale(generator: torch.Generator, size: int) -> Scale:
    divisors = [d for d in range(1, size + 1) if size % d == 0]
    channels = [divisors[int(torch.randint(0, len(divisors), (), generator=generator))] for _ in range(2)]
    scale = rough(generator, channels[0])
    if torch.rand((), generator=generator) < 0.3:
        scale = torch.full((channels[0],), 0.25, dtype=torch.float64)
    shift = rough(generator, channels[1]) * (torch.rand((), generator=generator) > 0.3)
    roundings, error = claimed(generator, channels[1])
    return Scale(size, scale, shift, roundings, error)


def random_linear(generator: torch.Generator, outputs: int, inputs: int) -> Linear:
    roundings, error = claimed(generator, outputs)
    return Linear(rough(generator, outputs, inputs), rough(generator, outputs), roundings, error)


@few
@given(st.integers(0, 10_000))
def test_scale_after_linear(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = random_linear(generator, 6, 3), random_scale(generator, 6)
    merged = scale_after(first, second)
    assert isinstance(merged, Linear)
    assert_covers(merged, 3, composed(meant(first, 3, generator), meant(second, 6, generator)))


@few
@given(st.integers(0, 10_000))
def test_scale_before_linear(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = random_scale(generator, 6), random_linear(generator, 3, 6)
    merged = scale_before(first, second)
    assert isinstance(merged, Linear)
    assert_covers(merged, 6, composed(meant(first, 6, generator), meant(second, 6, generator)))


@few
@given(st.integers(0, 10_000))
def test_scale_after_scale(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = random_scale(generator, 12), random_scale(generator, 12)
    merged = scale_after(first, second)
    assert isinstance(merged, Scale)
    assert_covers(merged, 12, composed(meant(first, 12, generator), meant(second, 12, generator)))


@few
@given(st.integers(0, 10_000), st.booleans(), st.integers(1, 2))
def test_scale_after_convolution(seed: int, biased: bool, samples: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    roundings, error = claimed(generator, 3)
    first = Convolution(
        rough(generator, 3, 2, 2, 2),
        rough(generator, 3) if biased else None,
        (2, 3, 2),
        (1, 1),
        ((0, 0), (1, 0)),
        (1, 1),
        samples=samples,
        roundings=roundings,
        bias_error=error if biased else None,
    )
    channels = rough(generator, 2, 3).repeat(1, samples)
    second = Scale(first.size, channels[0], channels[1], *claimed(generator, 1))
    merged = scale_after(first, second)
    assert isinstance(merged, Convolution)
    size = 12 * samples
    assert_covers(merged, size, composed(meant(first, size, generator), meant(second, first.size, generator)))


@few
@given(st.integers(0, 10_000), st.booleans(), st.integers(1, 2), st.integers(1, 2))
def test_scale_after_transposed_convolution(seed: int, biased: bool, samples: int, groups: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    channels = 2 * groups
    roundings, error = claimed(generator, channels)
    first = TransposedConvolution(
        rough(generator, 4, 2, 2, 1),
        rough(generator, channels) if biased else None,
        (4, 2, 1),
        (2, 1),
        ((0, 1), (0, 0)),
        (1, 1),
        (1, 0),
        groups=groups,
        samples=samples,
        roundings=roundings,
        bias_error=error if biased else None,
    )
    numbers = rough(generator, 2, channels).repeat(1, samples)
    second = Scale(first.size, numbers[0], numbers[1], *claimed(generator, 1))
    merged = scale_after(first, second)
    assert isinstance(merged, TransposedConvolution)
    size = 8 * samples
    assert_covers(merged, size, composed(meant(first, size, generator), meant(second, first.size, generator)))


def test_a_scale_that_differs_within_a_channel_stays() -> None:
    first = Convolution(torch.ones(2, 1, 1, dtype=torch.float64), None, (1, 3), (1,), ((0, 0),), (1,))
    second = Scale(6, torch.arange(6).double(), torch.zeros(1, dtype=torch.float64))
    assert scale_after(first, second) is None


def test_numbers_near_the_end_of_the_range_stay() -> None:
    # Their products could fall below the normal numbers, where the error terms do not hold.
    tiny = Linear(torch.full((1, 1), 1e-200, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    assert scale_after(tiny, Scale(1, tiny.bias + 1e-200, tiny.bias)) is None
    assert scale_before(Scale(1, tiny.bias + 1, tiny.bias), tiny) is None


def test_powers_of_two_and_plain_biases_do_not_round() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = rough(generator, 3, 4)
    zero = torch.zeros(3, dtype=torch.float64)
    merged = scale_after(Linear(weight, zero), Scale(3, torch.tensor([0.5, 2.0, -4.0]).double(), zero + 0.1))
    assert isinstance(merged, Linear) and merged.roundings == 0 and merged.bias_error is None
    assert torch.equal(merged.bias, zero + 0.1)


@few
@given(st.integers(0, 10_000))
def test_index_maps_compose_exactly(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def random_select(size: int, count: int) -> Select:
        index = torch.randint(-1, size, (count,), generator=generator)
        fill = torch.where(index < 0, rough(generator, count), 0.0)
        return Select(index, size, (count,), fill if seed % 2 else None)

    first, second = random_select(5, 6), random_select(6, 7)
    merged = select_of_select(first, second)
    assert isinstance(merged, Select)
    assert_covers(merged, 5, composed(stored(first, 5), stored(second, 6)))
    linear = random_linear(generator, 3, 4)
    some = Select(torch.randperm(6, generator=generator)[:4], 6, (4,))
    joined = linear_of_select(some, linear)
    assert isinstance(joined, Linear)
    assert stored(joined, 6) == composed(stored(some, 6), stored(linear, 4))
    assert joined.roundings == linear.roundings
    assert linear_of_select(Select(torch.tensor([0, 0, 1, 2]), 6, (4,)), linear) is None


@few
@given(st.integers(0, 10_000), st.sampled_from([20, 30, 45, 53]))
def test_linear_maps_merge_only_where_nothing_is_rounded(seed: int, bits: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def grid(*shape: int) -> torch.Tensor:
        numbers = torch.randint(-(2 ** (bits // 2)), 2 ** (bits // 2), shape, generator=generator).double()
        return numbers * 2.0 ** int(torch.randint(-9, 9, (), generator=generator)) * (torch.rand(shape) > 0.2)

    first, second = Linear(grid(5, 2), grid(5)), Linear(grid(3, 5), grid(3))
    merged = linear_of_linear(first, second)
    if merged is None:
        assert bits > 40
    else:
        assert stored(merged, 2) == composed(stored(first, 2), stored(second, 5))
        assert merged.roundings == 0 and not merged.offset_error().any()


def test_linear_maps_of_ordinary_weights_stay_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    plain = Linear(weight, weight[0])
    assert linear_of_linear(plain, plain) is None
    # A difference of float32 weights is exact, though.
    light = Linear(weight.float().double(), weight[0].float().double())
    differences = Linear(torch.tensor([[1.0, -1.0, 0.0, 0.0]]).double(), torch.zeros(1).double())
    assert isinstance(linear_of_linear(light, differences), Linear)
    wide = Linear(torch.ones(1, 50).double(), torch.zeros(1).double())
    back = Linear(torch.ones(50, 1).double(), torch.zeros(50).double())
    assert linear_of_linear(wide, back) is None  # exact, but 2500 numbers instead of 100


def small_graph() -> Graph:
    builder = GraphBuilder(Arithmetic.REAL, (4,))
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    zero = torch.zeros(3, dtype=torch.float64)
    scaled = builder.add("scaled", Scale(4, zero[:1] + 2, zero[:1] + 1), builder.input)
    builder.add("unused", ReLU(), scaled)
    turned = builder.add("turned", Select(torch.tensor([3, 2, 1, 0]), 4, (4,)), scaled)
    linear = builder.add("linear", Linear(weight, zero), turned)
    normed = builder.add("normed", Scale(3, zero + 3, zero - 1), linear)
    shared = builder.add("relu", ReLU(), normed)
    half = builder.add("half", Scale(3, zero[:1] + 0.5, zero[:1]), shared)
    total = builder.add("total", Sum((1, -1)), shared, half)
    builder.add("same", Scale(3, zero[:1] + 1, zero[:1]), total)
    return builder.build()


def test_simplified_graph_computes_the_same_with_fewer_nodes() -> None:
    graph = small_graph()
    simple = simplify(graph)
    assert [node.name for node in simple.nodes] == ["input", "normed", "relu", "half", "total"]
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.allclose(simple.evaluate(x), graph.evaluate(x), rtol=1e-13, atol=1e-13)
    assert simple.arithmetic is Arithmetic.REAL


def test_nothing_is_merged_that_another_node_reads() -> None:
    graph = drop_dead(small_graph())
    merged = merge(graph, (scale_after, scale_before))
    # "scaled" is read by "turned" alone once "unused" is gone; "relu" is no affine map.
    assert "relu" in [node.name for node in merged.nodes]
    builder = GraphBuilder(Arithmetic.REAL, (1,))
    two = torch.full((1,), 2.0, dtype=torch.float64)
    one = builder.add("one", Scale(1, two, two), builder.input)
    other = builder.add("other", Scale(1, two, two), one)
    builder.add("both", Sum((1, 1)), one, other)
    assert len(merge(builder.build(), (scale_after,)).nodes) == 4


def test_identities_go_even_at_the_end() -> None:
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    same = builder.add("same", Scale(2, one, zero), builder.input)
    builder.add("again", Select(torch.arange(2), 2, (2,)), same)
    assert len(drop_identity(builder.build()).nodes) == 1
    rounded = GraphBuilder(Arithmetic.REAL, (2,))
    rounded.add("nearly", Scale(2, one, zero, 1), rounded.input)
    assert len(drop_identity(rounded.build()).nodes) == 2


@pytest.mark.parametrize("keep", [1, 2])
def test_dead_nodes_go_and_the_input_stays(keep: int) -> None:
    graph = small_graph()
    kept = drop_dead(graph, keep)
    assert [node.name for node in kept.nodes] == ["input", "scaled", "unused"][: keep + 1]


def test_linear_maps_over_a_wide_layer_are_merged_in_little_memory():
    """Two inputs, 60,000 hidden values, one output: nothing as large as 60,000 squared (29 GB) is made on the way."""
    wide = torch.arange(60_000, dtype=torch.float64)
    first = Linear(torch.stack([wide % 7, wide % 5], 1), wide % 3)
    second = Linear((wide % 11 - 5)[None], torch.tensor([4.0], dtype=torch.float64))
    merged = linear_of_linear(first, second)
    assert isinstance(merged, Linear) and merged.weight.shape == (1, 2)
    assert torch.equal(merged.weight, second.weight @ first.weight)
    assert torch.equal(merged.bias, second.weight @ first.bias + second.bias)


def test_weights_do_not_grow_without_end():
    """The columns of an index map that leaves most features out are zeros in a weight."""
    size = 1 << 15
    second = Linear(torch.ones(300, size // 4, dtype=torch.float64), torch.zeros(300, dtype=torch.float64))
    chosen = Select(torch.arange(size // 4), size, (size // 4,))
    assert linear_of_select(chosen, second) is None
    few_rows = Linear(second.weight[:9], second.bias[:9])
    assert isinstance(linear_of_select(chosen, few_rows), Linear)


def test_linear_maps_are_not_merged_where_one_small_number_makes_it_round():
    first = Linear(torch.tensor([[1.0], [1 + 2.0**-30]], dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    second = Linear(torch.tensor([[1.0, 2.0**-30]], dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    assert linear_of_linear(first, second) is None  # 1 + 2^-30 + 2^-60
    shifted = Linear(torch.ones(2, 1, dtype=torch.float64), torch.tensor([1.0, 1 + 2.0**-30], dtype=torch.float64))
    assert linear_of_linear(shifted, second) is None  # in the bias
