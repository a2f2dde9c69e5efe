"""The affine maps of the checker of float networks: adjoints, sizes, and how many products their sums have."""

from __future__ import annotations

import numpy as np
import pytest

from netproof.certificate.checker.real.numbers import Rational
from netproof.certificate.checker.real.operators import Affine, Convolution, Dense, Scale, Select, Sum, Windows
from soundness.checker_models import RNG, one, read, some


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 0, 0, 2), (3, 1, 0, 0)])
def test_convolutions_go_back_by_the_kernel_turned_around_as_by_sums(groups, pads, monkeypatch):
    weight = RNG.normal(size=(4, 2 // groups, 2, 3))
    first, second = (Convolution(weight, None, (2, 5, 6), Windows((1, 1), pads, (2, 1), groups)) for _ in range(2))
    # A window that lies in the padding alone is not there in the other direction.
    assert (first._back is None) == (pads[0] > 2)
    second.__dict__["_back"] = None
    v, x = RNG.normal(size=(3, first.size)), RNG.normal(size=(3, 2 * 5 * 6))
    expected, onward = second.adjoint(v)[0], first.forward(x)
    assert np.allclose((onward * v).sum(1), (expected * x).sum(1), rtol=1e-12)
    # A few windows at a time.
    monkeypatch.setattr("netproof.certificate.checker.real.operators._WINDOWS", 1)
    for one_of_them in (first, second):
        assert np.allclose(one_of_them.adjoint(v)[0], expected, rtol=1e-12, atol=1e-12)
        assert np.allclose(one_of_them.forward(x), onward, rtol=1e-12, atol=1e-12)
    exact = Convolution(Rational().load(weight), None, (2, 5, 6), first.windows)
    assert np.allclose(np.array(exact.adjoint(Rational().load(v))[0], float), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_of_few_windows_are_those_of_many(groups, monkeypatch):
    weight, windows = RNG.normal(size=(4, 2 // groups, 3, 3)), Windows((2, 1), (1, 0, 0, 2), (1, 2), groups)
    few = Convolution(weight, None, (2, 6, 5), windows)
    v, x = RNG.normal(size=(3, few.size)), RNG.normal(size=(3, 2 * 6 * 5))
    found = []
    for is_few in (True, False):
        monkeypatch.setattr(few, "_is_few", is_few)
        found.append((few.forward(x), few.adjoint(v)[0]))
    for one_of_them, other in zip(*found, strict=True):
        assert np.allclose(one_of_them, other, rtol=1e-12, atol=1e-12)
    # What every window holds, place by place.
    padded = np.zeros((3, 2, 7, 7))
    padded[:, :, 1:, :5] = x.reshape(3, 2, 6, 5)
    held = np.stack([padded[:, :, i : i + 3, j : j + 5 : 2] for i in range(0, 5, 2) for j in range(3)], -1)
    parts = [
        np.einsum("rcijs,ocij->ros", held[:, g * 2 // groups : (g + 1) * 2 // groups], mine)
        for g, mine in enumerate(np.split(weight, groups))
    ]
    assert np.allclose(found[0][0], np.concatenate(parts, 1).reshape(3, -1), rtol=1e-12, atol=1e-12)


def test_a_kernel_as_large_as_its_operand_is_not_turned_around():
    whole = Convolution(RNG.normal(size=(4, 2, 5, 6)), None, (2, 5, 6), Windows((1, 1), (0, 0, 0, 0), (1, 1), 1))
    assert whole._back is None
    dense = whole.weight.reshape(4, -1)
    v = RNG.normal(size=(3, 4))
    assert np.allclose(whole.adjoint(v)[0], v @ dense, rtol=1e-12, atol=1e-12)


def maps() -> list[tuple[Affine, list[int]]]:
    """Affine maps of every kind, and the sizes of what they take."""
    windows = Windows((2, 1), (1, 0, 2, 1), (1, 2), 2)
    wide = Windows((1, 1), (0, 0, 0, 0), (1, 1), 1)
    return [
        (Dense(RNG.normal(size=(7, 3)), RNG.normal(size=3), 1), [7]),
        (Dense(RNG.normal(size=(3, 7)), RNG.normal(size=7), 1), [3]),
        (Dense(RNG.normal(size=(2, 5)), None, 3), [6]),
        (Convolution(RNG.normal(size=(4, 2, 3, 2)), RNG.normal(size=4), (4, 5, 6), windows), [120]),
        (Convolution(RNG.normal(size=(9, 2, 2, 2)), RNG.normal(size=9), (2, 4, 4), wide), [32]),
        (Convolution(RNG.normal(size=(1, 9, 2, 2)), RNG.normal(size=1), (9, 4, 4), wide), [144]),
        (Convolution(RNG.normal(size=(3, 2, 3, 3)), None, (2, 4, 4), wide), [32]),
        (Scale(5, RNG.normal(size=5), RNG.normal(size=5)), [5]),
        (Scale(5, None, RNG.normal(size=5)), [5]),
        (Scale(5, RNG.normal(size=5), None), [5]),
        (Sum(4, 1), [4, 4]),
        (Sum(4, -1), [4, 4]),
        (Select(np.array([3, 0, 3, 1, 3, 3]), 5), [5]),
        (Select(np.array([3, -1, 3, 1, -1, -1]), 5), [5]),
    ]


@pytest.mark.parametrize("number", range(14))
def test_every_map_counts_the_products_of_its_sums(number):
    operator, sizes = maps()[number]
    zeros = [np.zeros((sum(sizes), size)) for size in sizes]
    at = 0
    for part, size in zip(zeros, sizes, strict=True):
        part[np.arange(at, at + size), np.arange(size)] = 1.0
        at += size
    matrix = operator.forward(*zeros)
    assert matrix.shape == (sum(sizes), operator.size)
    # Of the map by rows, of its adjoint, which gives each operand by itself, by columns.
    used = matrix != 0
    longest = max(int(used.sum(0).max()), int(used.sum(1).max()))
    assert operator.terms >= longest
    assert operator.terms <= 4 * max(*used.shape) + 8
    back = np.concatenate(operator.adjoint(np.eye(operator.size)), axis=1)
    assert np.allclose(back, matrix.T, rtol=1e-12)
    absolute = operator.absolute()
    assert absolute.offset is None and absolute.offset_size is None and absolute.terms >= longest
    assert np.allclose(absolute.forward(*zeros), abs(matrix), rtol=1e-12)


@pytest.mark.parametrize("number", range(14))
def test_every_map_sizes_what_it_adds(number):
    operator, _ = maps()[number]
    if operator.offset is None:
        assert operator.offset_size is None
    else:
        assert operator.offset.shape == (operator.size,)
        assert operator.offset_size is not None and np.array_equal(operator.offset_size, abs(operator.offset))


def test_scales_know_what_was_added_up_and_how_often_it_was_rounded():
    size = np.array([5.0, 7.0])
    scale = Scale(2, np.ones(2), np.array([-1.0, 0.0]), 8, size)
    assert scale.offset_size is size and scale.terms == 2 + 8 and Scale(2, None, None).terms == 2
    # What a normalization subtracts, and what an average divides by.
    numbers = [some(2), some(2), some(2), abs(some(2))]
    operator = read(one("BatchNormalization", [1, 2, 2], *numbers), 4).nodes[1].operator
    assert isinstance(operator, Scale) and operator.terms >= 8
    gain, bias, mean, variance = (part.astype(np.float64) for part in numbers)
    factor = gain / np.sqrt(variance + float(np.float32(1e-5)))
    for found, expected in (
        (operator.scale, factor),
        (operator.offset, bias - mean * factor),
        (operator.offset_size, abs(bias) + abs(mean * factor)),
    ):
        assert np.allclose(found, expected.repeat(2), rtol=1e-12)
    average = read(one("AveragePool", [1, 1, 2, 3], kernel_shape=[2, 3]), 6)
    assert [node.operator.terms for node in average.nodes[1:] if node.operator] == [2 * 3 + 2, 4]
