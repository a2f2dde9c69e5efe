"""The linear operator: forward and adjoint belong together, absolute maps bound every partial sum."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netproof.operators.affine.linear import Linear
from netproof.operators.input import Input


def integers(generator: torch.Generator, *shape: int, reach: int = 9) -> torch.Tensor:
    return torch.randint(-reach, reach + 1, shape, generator=generator).double()


def linear(generator: torch.Generator, outputs: int, inputs: int) -> Linear:
    return Linear(integers(generator, outputs, inputs), integers(generator, outputs))


@settings(deadline=None, derandomize=True, database=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
def test_adjoint_is_the_transposed_map(seed: int, inputs: int, outputs: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    operator = linear(generator, outputs, inputs)
    x, v = integers(generator, 3, inputs), integers(generator, 3, outputs)
    (back,) = operator.adjoint(v)
    # Small integers: both sides are exact, so they are equal and not just close.
    assert torch.equal((operator.forward_linear(x) * v).sum(-1), (x * back).sum(-1))
    assert torch.equal(operator.forward(x), operator.forward_linear(x) + operator.bias)
    assert torch.equal((operator.forward(x) * v).sum(-1), (x * back).sum(-1) + operator.offset(v))


@settings(deadline=None, derandomize=True, database=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
def test_absolute_maps_add_up_magnitudes(seed: int, inputs: int, outputs: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    operator = linear(generator, outputs, inputs)
    x, v = integers(generator, inputs).abs(), integers(generator, outputs).abs()
    weight = operator.weight.tolist()
    for row, got in zip(weight, operator.forward_absolute(x).tolist(), strict=True):
        assert got == sum(abs(w) * e for w, e in zip(row, x.tolist(), strict=True))
    (back,) = operator.adjoint_absolute(v)
    for column, got in enumerate(back.tolist()):
        assert got == sum(abs(row[column]) * e for row, e in zip(weight, v.tolist(), strict=True))
    assert torch.equal(operator.offset_absolute(), operator.bias.abs())


def test_forward_by_hand() -> None:
    operator = Linear(torch.tensor([[1.0, -2.0], [0.0, 3.0], [5.0, 0.0]]), torch.tensor([10.0, 0.0, -1.0]))
    x = torch.tensor([[1.0, 2.0], [-1.0, 0.5]])
    assert operator.forward(x).tolist() == [[7.0, 6.0, 4.0], [8.0, 1.5, -6.0]]
    assert operator.forward_absolute(x[:1]).tolist() == [[5.0, 6.0, 5.0]]
    assert operator.offset(torch.tensor([1.0, 1.0, 2.0])).item() == 8.0


def test_leading_axes_are_batch_axes() -> None:
    generator = torch.Generator().manual_seed(0)
    operator = linear(generator, 3, 2)
    x, v = integers(generator, 4, 5, 2), integers(generator, 4, 5, 3)
    assert torch.equal(operator.forward(x)[3, 4], operator.forward(x[3, 4]))
    assert torch.equal(operator.adjoint(v)[0][3, 4], operator.adjoint(v[3, 4])[0])
    assert operator.offset(v).shape == (4, 5)
    assert operator.forward(x[:0]).shape == (0, 5, 3)


def test_operands_of_any_shape_of_that_size_are_flattened() -> None:
    operator = linear(torch.Generator().manual_seed(0), 3, 12)
    assert operator.output_shape((12,)) == (3,)
    assert operator.output_shape((3, 2, 2)) == (3,)
    with pytest.raises(ValueError, match="operand has 11 values, the weight takes 12"):
        operator.output_shape((11,))


@pytest.mark.parametrize(("weight", "bias"), [((2, 3), (3,)), ((2, 3), (2, 1)), ((6,), (6,)), ((1, 2, 3), (1,))])
def test_weight_and_bias_must_belong_together(weight: tuple[int, ...], bias: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        Linear(torch.zeros(weight), torch.zeros(bias))


def test_other_dtype_keeps_the_map() -> None:
    generator = torch.Generator().manual_seed(0)
    operator = linear(generator, 3, 2)
    light = operator.to(torch.float32, torch.device("cpu"))
    x = integers(generator, 5, 2)
    assert light.forward(x.float()).dtype == torch.float32
    assert torch.equal(light.forward(x.float()).double(), operator.forward(x))
    assert torch.equal(light.forward_absolute(x.float().abs()).double(), operator.forward_absolute(x.abs()))
    assert operator.describe() == "2 -> 3"


def test_input_has_no_operands_and_its_own_shape() -> None:
    node = Input((28, 28))
    assert node.output_shape() == (28, 28)
    assert node.to(torch.float32, torch.device("cpu")) == node
    assert node.describe() == ""
