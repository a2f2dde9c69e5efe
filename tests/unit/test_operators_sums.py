"""Sums over features: what they are, and that the account of their additions is true."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from netproof.graph.rounding import gamma
from netproof.operators import sums
from netproof.operators.sums import additions, feature_product, feature_sum, row_products

SIZES = [0, 1, 5, 2048, 2049, 3072, 4100, 10_000]
UNIT = 2.0**-53


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_and_products_of_integers(size, dtype):
    generator = torch.Generator().manual_seed(size)
    x = torch.randint(-9, 10, (2, 3, size), generator=generator).to(dtype)
    y = torch.randint(-9, 10, (2, size), generator=generator).to(dtype)
    assert torch.equal(feature_sum(x), x.sum(-1))
    assert torch.equal(feature_product(x, y[0]), (x * y[0]).sum(-1))
    assert torch.equal(feature_product(y[1], y[0]), (y[1] * y[0]).sum(-1))
    assert torch.equal(row_products(x, y), (x * y[:, None]).sum(-1))
    assert torch.equal(row_products(x, y[:1]), (x * y[0]).sum(-1))
    assert torch.equal(row_products(x[:0], y[:1]), x.new_zeros(0, 3))


def test_long_sums_of_numbers_side_by_side_in_memory_or_not():
    x = torch.arange(3 * 5000.0, dtype=torch.float64).view(5000, 3).T
    for some in (x, x[:, ::2], x[:1].expand(3, -1)):
        ones = torch.ones(some.shape[1], dtype=torch.float64)
        assert torch.equal(feature_sum(some), some.sum(-1))
        assert torch.equal(feature_product(some, ones), some.sum(-1))
        assert torch.equal(feature_product(ones, some[0]), some[0].sum(-1))


def test_more_features_are_no_fewer_additions():
    counts = [additions(n) for n in range(0, 3_000_000, 331)]
    assert counts == sorted(counts)
    assert additions(7) == 7 and additions(2048) == 2048
    assert additions(100_000) == 2048 < additions(2_000_000)


@pytest.mark.parametrize("size", [2049, 5000, 70_000])
def test_no_number_goes_through_more_additions(size, monkeypatch):
    """Blocks are no longer than said, and so is the sum of their sums."""
    longest = []
    plain = torch.Tensor.sum

    def watched(x, *axis):
        longest.append(x.shape[-1])
        return plain(x, *axis)

    monkeypatch.setattr(torch.Tensor, "sum", watched)
    feature_sum(torch.ones(2, size, dtype=torch.float64))
    blocks, tops, *rest = longest
    assert blocks - 1 + max(tops - 1, 0) + len(rest) <= additions(size) and all(n - 1 + 1 <= blocks for n in rest)


@pytest.mark.parametrize("place", ["first", "last", "middle"])
@pytest.mark.parametrize("size", [2048, 5000, 100_000])
def test_what_is_lost_is_within_the_account(size, place):
    """Numbers half a unit in the last place of a large one, all of which an addition to it loses."""
    x = torch.full((size,), UNIT * 0.99, dtype=torch.float64)
    x[{"first": 0, "last": -1, "middle": size // 2}[place]] = 1.0
    exact = sum(map(Fraction, x.tolist()), Fraction(0))
    allowed = Fraction(gamma(additions(size))) * exact
    ones = torch.ones_like(x)
    rows = row_products(x[None, None], ones[None])[0, 0]
    for found in (feature_sum(x), feature_product(x, ones), feature_product(ones, x), rows):
        assert abs(Fraction(float(found)) - exact) <= allowed


def test_only_what_decides_is_summed_by_blocks(monkeypatch):
    """Searches in float32 take the courses that they took."""
    monkeypatch.setattr(sums, "_split", lambda *_: pytest.fail("summed by blocks"))
    x = torch.rand(2, 5000)
    assert torch.equal(feature_sum(x), x.sum(-1)) and torch.equal(feature_product(x, x[0]), x @ x[0])
    assert torch.equal(row_products(x[None], x[:1]), (x[None] @ x[:1, :, None])[..., 0])
