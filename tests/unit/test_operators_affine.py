"""Affine operators of float networks: against PyTorch's own, and forward, adjoint and absolute maps against each other."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from netproof.operators.affine import convolution
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum
from netproof.operators.affine.transposed_convolution import TransposedConvolution
from netproof.operators.base import Affine

few = settings(deadline=None, derandomize=True, database=None, max_examples=40)


def integers(generator: torch.Generator, *shape: int, reach: int = 9) -> torch.Tensor:
    return torch.randint(-reach, reach + 1, shape, generator=generator).double()


def pick(generator: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


def random_convolution(generator: torch.Generator) -> tuple[Convolution, tuple[int, ...]]:
    axes = pick(generator, 1, 3)
    groups, samples = pick(generator, 1, 2), pick(generator, 1, 2)
    inputs, outputs = groups * pick(generator, 1, 2), groups * pick(generator, 1, 2)
    kernel = [pick(generator, 1, 3) for _ in range(axes)]
    dilation = tuple(pick(generator, 1, 2) for _ in range(axes))
    padding = tuple((pick(generator, 0, 2), pick(generator, 0, 2)) for _ in range(axes))
    if pick(generator, 0, 1):
        padding = tuple((before, before) for before, _ in padding)
    extents = [
        max(1, d * (k - 1) + 1 - sum(p)) + pick(generator, 0, 3)
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    ]
    operator = Convolution(
        integers(generator, outputs, inputs // groups, *kernel),
        integers(generator, outputs) if pick(generator, 0, 1) else None,
        (inputs, *extents),
        tuple(pick(generator, 1, 3) for _ in range(axes)),
        padding,
        dilation,
        groups,
        samples,
    )
    return operator, ((samples, inputs, *extents),)  # type: ignore[return-value]


def random_transposed(generator: torch.Generator) -> tuple[TransposedConvolution, tuple[int, ...]]:
    axes = pick(generator, 1, 3)
    groups, samples = pick(generator, 1, 2), pick(generator, 1, 2)
    inputs, outputs = groups * pick(generator, 1, 2), groups * pick(generator, 1, 2)
    kernel = [pick(generator, 1, 3) for _ in range(axes)]
    stride = tuple(pick(generator, 1, 4) for _ in range(axes))
    dilation = tuple(pick(generator, 1, 2) for _ in range(axes))
    more = tuple(pick(generator, 0, s - 1) for s in stride)
    extents = [pick(generator, 1, 4) for _ in range(axes)]
    padding = []
    for s, e, d, k, m in zip(stride, extents, dilation, kernel, more, strict=True):
        room = s * (e - 1) + d * (k - 1) + m
        before = pick(generator, 0, min(room, 3))
        padding.append((before, pick(generator, 0, min(room - before, 3))))
    if pick(generator, 0, 1):
        padding = [(min(pair), min(pair)) for pair in padding]
    operator = TransposedConvolution(
        integers(generator, inputs, outputs // groups, *kernel),
        integers(generator, outputs) if pick(generator, 0, 1) else None,
        (inputs, *extents),
        stride,
        tuple(padding),
        dilation,
        more,
        groups,
        samples,
    )
    return operator, (samples, inputs, *extents)


def random_operator(kind: str, generator: torch.Generator) -> tuple[Affine, list[int]]:
    """An operator of integers, and the sizes of its operands."""
    if kind == "convolution":
        operator, (shape,) = random_convolution(generator)
        return operator, [math.prod(shape)]  # type: ignore[arg-type]
    if kind == "transposed convolution":
        transposed, shape = random_transposed(generator)
        return transposed, [math.prod(shape)]
    if kind == "linear":
        weight = integers(generator, pick(generator, 1, 5), pick(generator, 1, 5))
        return Linear(weight, integers(generator, len(weight))), [weight.shape[1]]
    if kind == "block linear":
        groups, rows, outputs, inputs = (pick(generator, 1, 3) for _ in range(4))
        weight = integers(generator, groups, outputs, inputs)
        return BlockLinear(weight, rows, (groups, rows, outputs)), [groups * rows * inputs]
    if kind == "scale":
        size = 12
        counts = [int(torch.tensor([1, 2, 3, 4, 6, 12])[pick(generator, 0, 5)]) for _ in range(2)]
        return Scale(size, integers(generator, counts[0]), integers(generator, counts[1])), [size]
    if kind == "sum":
        count, size = pick(generator, 1, 4), pick(generator, 1, 5)
        return Sum(tuple(1 - 2 * pick(generator, 0, 1) for _ in range(count))), [size] * count
    if kind == "concatenate":
        sizes = tuple(pick(generator, 1, 4) for _ in range(pick(generator, 1, 3)))
        return Concatenate(sizes), list(sizes)
    size = pick(generator, 1, 6)
    if kind == "select":  # with repetition and constants
        index = torch.randint(-1, size, (pick(generator, 1, 8),), generator=generator)
    elif kind == "permutation":
        index = torch.randperm(size, generator=generator)[: pick(generator, 1, size)]
    else:  # a slice
        start = pick(generator, 0, size - 1)
        index = torch.arange(start, pick(generator, start + 1, size))
    fill = torch.where(index < 0, integers(generator, len(index)), 0.0) if pick(generator, 0, 1) else None
    return Select(index, size, (len(index),), fill), [size]


KINDS = [
    "linear",
    "convolution",
    "transposed convolution",
    "block linear",
    "scale",
    "sum",
    "concatenate",
    "select",
    "permutation",
    "slice",
]


def matrices(operator: Affine, sizes: list[int]) -> list[torch.Tensor]:
    """The dense matrix ``[n_out, n_in]`` of each operand, column by column."""
    dense = []
    for k, size in enumerate(sizes):
        operands = [torch.zeros(size, n, dtype=torch.float64) for n in sizes]
        operands[k] = torch.eye(size, dtype=torch.float64)
        dense.append(operator.forward_linear(*operands).T)
    return dense


@few
@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(0, 10_000))
def test_all_maps_of_an_operator_belong_together(kind: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    operator, sizes = random_operator(kind, generator)
    dense = matrices(operator, sizes)
    outputs = dense[0].shape[0]
    assert math.prod(operator.output_shape(*((size,) for size in sizes))) == outputs
    x = [integers(generator, 2, 3, size) for size in sizes]
    v = integers(generator, 2, 3, outputs)
    # Small integers: both sides are exact, so they are equal and not just close.
    linear = sum((a @ m.T for a, m in zip(x, dense, strict=True)), torch.zeros(()))
    assert torch.equal(operator.forward_linear(*x), linear)
    bias = operator.forward(*(torch.zeros(size, dtype=torch.float64) for size in sizes))
    assert torch.equal(operator.forward(*x), linear + bias)
    for back, absolute, m in zip(operator.adjoint(v), operator.adjoint_absolute(v.abs()), dense, strict=True):
        assert torch.equal(back, v @ m)
        assert torch.equal(absolute, v.abs() @ m.abs())
    radii = [a.abs() for a in x]
    expected = sum((r @ m.abs().T for r, m in zip(radii, dense, strict=True)), torch.zeros(()))
    assert torch.equal(operator.forward_absolute(*radii), expected)
    assert torch.equal(operator.offset(v), v @ bias)
    assert torch.equal(operator.offset_absolute().expand(outputs), bias.abs())
    assert not operator.offset_error().any() and operator.roundings == 0
    forward, backward = operator.terms()
    assert forward >= max(int((m != 0).sum(1).max()) for m in dense)
    assert backward >= max(int((m != 0).sum(0).max()) for m in dense)


@few
@given(st.integers(0, 10_000))
def test_an_adjoint_by_place_is_the_adjoint(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    operator, _ = random_convolution(generator)
    v = integers(generator, 3, operator.size)
    unfolded = operator.adjoint(v)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "_WEIGHTS_PER_PLACE", 0)
        assert torch.equal(operator.adjoint(v)[0], unfolded)


@few
@given(st.integers(0, 10_000))
def test_an_adjoint_by_fold_or_phases_is_the_adjoint_and_so_is_its_derivative(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    operator, _ = random_convolution(generator)
    light = operator.to(torch.float32, torch.device("cpu"))
    v = integers(generator, 3, operator.size).float()
    outside = integers(generator, 3, math.prod(operator.input_shape) * operator.samples).float()
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for folded, phased in ((0, 0), (99, 99), (0, 99)):
            patch.setattr(convolution, "_FOLDED", folded)
            patch.setattr(convolution, "_PHASED", phased)
            moved = v.clone().requires_grad_()
            (x,) = light.adjoint(moved)
            (x * outside).sum().backward()
            found.append((x.detach(), moved.grad))
    for plain, *others in zip(*found, strict=True):
        assert all(torch.equal(plain, other) for other in others)


def test_an_adjoint_by_phases_is_that_of_every_stride_and_padding() -> None:
    generator = torch.Generator().manual_seed(3)
    for kernel, stride, padding, extent in itertools.product((1, 2, 3, 4), (1, 2, 3), (0, 1, 2), (4, 5, 6)):
        shape = (2, extent, extent + 1)
        around = (padding, padding)
        weight = integers(generator, 3 * 2 * kernel, kernel).view(3, 2, kernel, kernel)
        operator = Convolution(weight, None, shape, (stride, 1), (around, around), (1, 1))
        v = integers(generator, 2, operator.size)
        assert torch.equal(operator._by_phases(v), operator.adjoint(v)[0])


@few
@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(0, 10_000))
def test_a_part_is_rows_of_the_whole(kind: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    operator, sizes = random_operator(kind, generator)
    dense = matrices(operator, sizes)
    outputs = dense[0].shape[0]
    asked = torch.randperm(outputs, generator=generator)[: pick(generator, 1, outputs)].sort().values
    part = operator.part(asked)
    given_ = torch.arange(outputs) if part.features is None else part.features
    assert bool(torch.isin(asked, given_).all()) and bool((given_[1:] > given_[:-1]).all())
    taken = [
        torch.arange(size) if some is None else some
        for size, some in zip(sizes, part.operands or [None] * len(sizes), strict=True)
    ]
    assert math.prod(part.operator.output_shape(*((len(some),) for some in taken))) == len(given_)
    for whole, some, small in zip(dense, taken, matrices(part.operator, [len(some) for some in taken]), strict=True):
        assert torch.equal(small, whole[given_][:, some])
        left_out = torch.ones(whole.shape[1], dtype=torch.bool)
        left_out[some] = False
        assert not whole[given_][:, left_out].any()
    x = [integers(generator, 2, size) for size in sizes]
    expected = operator.forward(*x)[:, given_]
    assert torch.equal(part.operator.forward(*(a[:, some] for a, some in zip(x, taken, strict=True))), expected)


def test_a_part_keeps_what_is_known_of_roundings() -> None:
    asked = torch.tensor([1, 2])
    error = torch.tensor([0.25, 0.5, 0.75]).double()
    weight = torch.ones(3, 4).double()
    window = torch.ones(3, 1, 2, 2).double()
    operators = [
        Linear(weight, error, 2, error),
        Scale(3, error, error, 2, error),
        Convolution(window, error, (1, 2, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), roundings=2, bias_error=error),
        TransposedConvolution(
            window.swapaxes(0, 1),
            error,
            (1, 2, 3),
            (2, 2),
            ((0, 0), (0, 1)),
            (1, 1),
            (1, 0),
            roundings=2,
            bias_error=error,
        ),
    ]
    for operator in operators:
        part = operator.part(asked)
        given_ = torch.arange(operator.size if isinstance(operator, Convolution | TransposedConvolution) else 3)
        chosen = given_ if part.features is None else part.features
        assert part.operator.roundings == 2
        errors = operator.offset_error().expand(len(given_))[chosen]
        assert torch.equal(part.operator.offset_error().expand(len(chosen)), errors)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_any_shape_and_none(kind: str) -> None:
    generator = torch.Generator().manual_seed(3)
    operator, sizes = random_operator(kind, generator)
    x = [integers(generator, 4, 2, size) for size in sizes]
    z = operator.forward(*x)
    assert torch.equal(operator.forward(*(a[3, 1] for a in x)), z[3, 1])
    assert operator.forward(*(a[:0] for a in x)).shape == (0, 2, z.shape[-1])
    for back, a in zip(operator.adjoint(z), x, strict=True):
        assert back.shape == a.shape
    for back, a in zip(operator.adjoint(z[:0]), x, strict=True):
        assert back.shape == (0, *a.shape[1:])
    assert operator.offset(z[:0]).shape == (0, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_other_dtype_keeps_the_map(kind: str) -> None:
    generator = torch.Generator().manual_seed(4)
    operator, sizes = random_operator(kind, generator)
    light = operator.to(torch.float32, torch.device("cpu"))
    assert isinstance(light, Affine)
    x = [integers(generator, 3, size) for size in sizes]
    z = light.forward(*(a.float() for a in x))
    assert z.dtype == torch.float32 and torch.equal(z.double(), operator.forward(*x))
    for back, exact in zip(light.adjoint(z), operator.adjoint(z.double()), strict=True):
        assert back.dtype == torch.float32 and torch.equal(back.double(), exact)
    assert all(part.dtype in (torch.float32, torch.int64) for _, part in light.parameters())


@few
@given(st.integers(0, 10_000))
def test_convolution_is_that_of_pytorch(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    operator, (shape,) = random_convolution(generator)
    x = integers(generator, *shape)  # type: ignore[misc]
    pads = [extent for pair in reversed(operator.padding) for extent in pair]
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[len(operator.kernel) - 1]
    expected = convolve(
        functional.pad(x, pads), operator.weight, operator.bias, operator.stride, 0, operator.dilation, operator.groups
    )
    assert operator.sample_shape == tuple(expected.shape[1:])
    assert torch.equal(operator.forward(x.reshape(-1)), expected.reshape(-1))


@few
@given(st.integers(0, 10_000))
def test_transposed_convolution_is_that_of_pytorch(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    operator, shape = random_transposed(generator)
    x = integers(generator, *shape)
    transpose = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)
    # PyTorch cuts off nothing unevenly.
    whole = transpose[len(operator.kernel) - 1](
        x,
        operator.weight,
        operator.bias,
        operator.stride,
        0,
        operator.output_padding,
        operator.groups,
        operator.dilation,
    )
    for axis, (before, after) in enumerate(operator.padding, start=2):
        whole = whole.narrow(axis, before, whole.shape[axis] - before - after)
    assert operator.sample_shape == tuple(whole.shape[1:])
    assert torch.equal(operator.forward(x.reshape(-1)), whole.reshape(-1))
    light = operator.to(torch.float32, torch.device("cpu"))
    for kernel in ("_WEIGHTS_PER_PLACE", "_FOLDED", "_PHASED"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(convolution, kernel, 0)
            assert torch.equal(operator.forward(x.reshape(1, -1))[0], whole.reshape(-1))
            assert torch.equal(light.forward(x.float().reshape(1, -1))[0].double(), whole.reshape(-1))


def test_a_part_of_a_transposed_convolution_is_a_window() -> None:
    """One place of a result in the middle of a large one: few values of the operand take part in it."""
    operator = TransposedConvolution(
        torch.ones(2, 3, 3, 2).double(), None, (2, 9, 8), (2, 3), ((1, 0), (0, 2)), (1, 2), (1, 2)
    )
    _, rows, columns = operator.sample_shape
    for row, column in ((0, 0), (7, 9), (8, 11), (rows - 1, columns - 1)):
        part = operator.part(torch.tensor([row * columns + column]))
        assert part.features is not None and part.operands is not None and part.operands[0] is not None
        assert len(part.features) == 3 and len(part.operands[0]) <= 2 * 2 * 2
    assert operator.part(torch.arange(operator.size)).operator is operator


def test_adjoint_of_convolution_is_the_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 2, 3, 3, generator=generator, dtype=torch.float64)
    operator = Convolution(weight, None, (4, 8, 7), (2, 3), ((1, 0), (2, 1)), (1, 2), groups=2)
    x = torch.randn(5, 4 * 8 * 7, generator=generator, dtype=torch.float64, requires_grad=True)
    v = torch.randn(5, operator.size, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((operator.forward(x) * v).sum(), x)
    assert torch.allclose(operator.adjoint(v)[0], gradient, rtol=1e-12, atol=1e-12)


def test_adjoint_can_be_differentiated() -> None:
    generator = torch.Generator().manual_seed(0)
    operator, (shape,) = random_convolution(generator)
    v = torch.randn(2, operator.size, generator=generator, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, math.prod(shape), generator=generator, dtype=torch.float64)  # type: ignore[arg-type]
    (gradient,) = torch.autograd.grad((operator.adjoint(v)[0] * x).sum(), v)
    assert torch.allclose(gradient, operator.forward_linear(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.zeros(2, 3, 3, 3)}, "does not take 4 channels"),
        ({"weight": torch.zeros(2, 4)}, "does not convolve"),
        ({"bias": torch.zeros(3)}, "does not go with 2"),
        ({"stride": (0, 1)}, "at least 1"),
        ({"padding": ((0, -1), (0, 0))}, "negative"),
        ({"input_shape": (4, 2, 2)}, "larger than a padded sample"),
        ({"dilation": (1,)}, "2 axes"),
    ],
)
def test_convolutions_that_are_none(change: dict[str, object], message: str) -> None:
    good: dict[str, object] = {
        "weight": torch.zeros(2, 4, 3, 3), "bias": None, "input_shape": (4, 5, 5), "stride": (1, 1),
        "padding": ((0, 0), (0, 0)), "dilation": (1, 1),
    }  # fmt: skip
    Convolution(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        Convolution(**(good | change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.zeros(3, 2, 3, 3)}, "does not take 4 channels transposed"),
        ({"weight": torch.zeros(4, 2)}, "does not convolve"),
        ({"weight": torch.zeros(4, 0, 3, 3)}, "leaves nothing of a result of 0 channels"),
        ({"bias": torch.zeros(3)}, "does not go with 2"),
        ({"stride": (0, 1)}, "not from 0 to below the stride"),
        ({"padding": ((0, -1), (0, 0))}, "negative"),
        ({"padding": ((4, 3), (0, 0))}, "leaves nothing of a result"),
        ({"output_padding": (0, 1)}, "not from 0 to below the stride"),
        ({"output_padding": (-1, 0)}, "not from 0 to below the stride"),
        ({"dilation": (1,)}, "2 axes"),
        ({"groups": 3}, "does not take 6 channels"),
    ],
)
def test_transposed_convolutions_that_are_none(change: dict[str, object], message: str) -> None:
    good: dict[str, object] = {
        "weight": torch.zeros(4, 2, 3, 3), "bias": None, "input_shape": (4, 5, 5), "stride": (1, 1),
        "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "output_padding": (0, 0),
    }  # fmt: skip
    TransposedConvolution(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        TransposedConvolution(**(good | change))  # type: ignore[arg-type]


def test_parts_that_do_not_belong_together() -> None:
    with pytest.raises(ValueError, match="leaves the operand's 3 features"):
        Select(torch.tensor([0, 3]), 3, (2,))
    with pytest.raises(ValueError, match="does not give shape"):
        Select(torch.tensor([0, 1]), 3, (3,))
    with pytest.raises(ValueError, match="fill values and index"):
        Select(torch.tensor([0, -1]), 3, (2,), torch.tensor([1.0, 2.0]))
    with pytest.raises(ValueError, match="cannot be scaled"):
        Scale(6, torch.ones(4), torch.zeros(1))
    with pytest.raises(ValueError, match="one size"):
        Sum((1, 1)).output_shape((2,), (3,))
    with pytest.raises(ValueError, match="not all 1 or -1"):
        Sum((1, 2))
    with pytest.raises(ValueError, match="are concatenated"):
        Concatenate((1, 2)).output_shape((2,), (1,))
    with pytest.raises(ValueError, match="the matrices take"):
        BlockLinear(torch.zeros(2, 3, 4), 5, (2, 5, 3)).output_shape((2, 5, 3))


def test_a_map_that_takes_no_feature_twice_has_an_index_map_for_adjoint() -> None:
    assert Select(torch.tensor([2, 0]), 3, (2,)).takes_once
    assert not Select(torch.tensor([2, 2]), 3, (2,)).takes_once


def test_descriptions_are_short_phrases() -> None:
    operator = Convolution(torch.zeros(6, 2, 3, 1), None, (4, 8, 7), (2, 1), ((1, 0), (2, 2)), (1, 2), 2, 3)
    assert operator.describe() == "4 -> 6, kernel 3x1, stride 2x1, dilation 1x2, padding 1+0x2, 2 groups, 3 samples"
    turned = TransposedConvolution(
        torch.zeros(4, 3, 3, 1), None, (4, 8, 7), (2, 1), ((1, 0), (2, 2)), (1, 2), (1, 0), 2, 3
    )
    assert turned.describe() == (
        "4 -> 6, kernel 3x1, stride 2x1, dilation 1x2, padding 1+0x2, output padding 1x0, 2 groups, 3 samples"
    )
    assert Scale(6, torch.tensor([2.0]), torch.ones(3)).describe() == "times 2, plus 3 numbers"
    assert Select(torch.tensor([1, -1]), 3, (2,)).describe() == "1 of 3, 1 constant"
    assert BlockLinear(torch.zeros(2, 3, 4), 5, (2, 5, 3)).describe() == "4 -> 3, 10 times"
    assert Sum((1, -1)).describe() == "+ -"
    assert Concatenate((2, 3)).describe() == "2 + 3"
