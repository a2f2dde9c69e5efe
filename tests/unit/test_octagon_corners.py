"""Corners of octagons that are cut along both axes: none is missing, all are exact."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
import torch

from netproof.bounds.joint.corners import octagon_corners


def octagons(generator, count, size=1.0):
    """Random ones that hold 0: ranges of ``a``, ``b``, and of sum and difference, which may cut off up to all corners of the box."""
    ends = size * torch.rand(count, 4, generator=generator).double()
    low, high = -ends[:, :2], ends[:, 2:]
    share = torch.rand(count, 4, generator=generator).double() * 1.2
    a = (low[:, 0], high[:, 0])
    b = (low[:, 1], high[:, 1])
    total = (share[:, 0] * (a[0] + b[0]), share[:, 1] * (a[1] + b[1]))
    apart = (share[:, 2] * (a[0] - b[1]), share[:, 3] * (a[1] - b[0]))
    return tuple(torch.stack([part[i] for part in (a, b, total, apart)], 1) for i in (0, 1))


def largest_by_scanning(lower, upper, weights, steps=4000):
    """``max v f(a) - s a + w f(b) - t b`` over an octagon: for many ``a`` the ends of what is left for ``b``, and 0."""
    v, s, w, t = weights
    a = torch.cat([torch.linspace(float(lower[0]), float(upper[0]), steps).double(), torch.zeros(1).double()])
    low = torch.stack([lower[1].expand_as(a), lower[2] - a, a - upper[3]]).amax(0)
    high = torch.stack([upper[1].expand_as(a), upper[2] - a, a - lower[3]]).amin(0)
    found = []
    for b in (low, high, torch.zeros_like(a)):
        value = v * a.clamp(min=0) - s * a + w * b.clamp(min=0) - t * b
        found.append(torch.where((b >= low - 1e-12) & (b <= high + 1e-12) & (low <= high), value, -torch.inf))
    return float(torch.stack(found).max())


@pytest.mark.parametrize("seed", range(4))
def test_what_is_linear_in_each_quadrant_is_largest_at_a_corner(seed):
    generator = torch.Generator().manual_seed(seed)
    lower, upper = octagons(generator, 40)
    corners, some = octagon_corners(lower, upper)
    assert bool(some.all())
    for row, weights in itertools.product(range(40), torch.randn(6, 4, generator=generator).double()):
        v, s, w, t = weights
        a, b = corners[row].unbind(1)
        at_corners = float((v * a.clamp(min=0) - s * a + w * b.clamp(min=0) - t * b).max())
        scanned = largest_by_scanning(lower[row], upper[row], weights)
        assert scanned <= at_corners + 1e-9
        assert at_corners <= scanned + 0.005


@pytest.mark.parametrize("size", [1.0, 1e-200, 1e200, 2.0**-890])
def test_corners_are_exact_and_no_further_out_than_the_grid(size):
    """In rational numbers: where two lines meet, all of them ends that were moved outward, or axes."""
    lower, upper = octagons(torch.Generator().manual_seed(7), 10, size)
    corners, some = octagon_corners(lower, upper)
    assert bool(some.all())
    for row in range(10):
        slack = Fraction(float(upper[row, :2].maximum(-lower[row, :2]).max())) / 2**38
        low, high = ([Fraction(x) for x in side[row].tolist()] for side in (lower, upper))
        for a, b in corners[row].tolist():
            values = [Fraction(a), Fraction(b), Fraction(a) + Fraction(b), Fraction(a) - Fraction(b)]
            assert all(x - slack <= value <= y + slack for x, value, y in zip(low, values, high, strict=True))
            ends = [min(abs(value - x), abs(value - y)) <= slack for x, value, y in zip(low, values, high, strict=True)]
            assert sum(ends) + (a == 0) + (b == 0) >= 2


def test_ends_are_moved_outward():
    lower = torch.tensor([[-1 / 3, -2 / 3, -0.9, -0.7]], dtype=torch.float64)
    corners, _ = octagon_corners(lower, -lower)
    a, b = corners[0].unbind(1)
    for values, end in ((a, 1 / 3), (b, 2 / 3), (a + b, 0.9), (a - b, 0.7)):
        assert float(values.max()) >= end and float(values.min()) <= -end


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ([-1.0, -1.0, 2.5, -1.0], [1.0, 1.0, 3.0, 1.0]),  # no sum is that large
        ([-1e-300, -1e-300, -1e-300, -1e-300], [1e-300, 1e-300, 1e-300, 1e-300]),
        ([-1e300, -1.0, -1e300, -1e300], [1e300, 1.0, 1e300, 1e300]),
        ([-1.0, -1.0, -torch.inf, -1.0], [1.0, 1.0, 1.0, 1.0]),
        ([-1.0, -1.0, -1.0, -1.0], [1.0, torch.nan, 1.0, 1.0]),
    ],
)
def test_nothing_is_said_of_empty_ones_nor_where_grids_are_not_exact(lower, upper):
    ok = [-1.0, -1.0, -1.5, -1.5]
    corners, some = octagon_corners(
        torch.tensor([ok, lower]).double(), torch.tensor([[-x for x in ok], upper]).double()
    )
    assert some.tolist() == [True, False]
    # The other one has all of its corners: eight, four on the axes' ends, and 0.
    assert len({tuple(corner) for corner in corners[0].tolist()}) == 13


@pytest.mark.parametrize(("small", "large"), [(5e-324, 1.0), (2.0**-820, 2.0**300), (2.0**-41, 1.0), (2.0**-39, 1.0)])
def test_a_feature_that_is_next_to_nothing_beside_the_other_keeps_both_signs(small, large):
    """Ends far below the grid are on it afterwards, further out, on their sides of 0."""
    upper = torch.tensor([[small, large, large, large]], dtype=torch.float64)
    corners, some = octagon_corners(-upper, upper)
    assert bool(some.all())
    for x in (-small, small):
        for y in (-large, large, 0.0):
            if abs(x + y) <= large and abs(x - y) <= large:
                hull = corners[0]
                assert float(hull[:, 0].min()) <= x <= float(hull[:, 0].max())
                assert float(hull[:, 1].min()) <= y <= float(hull[:, 1].max())
    assert float(corners[0, :, 0].max()) >= small and float(corners[0, :, 0].min()) <= -small


def test_none_at_all():
    nothing = torch.zeros(0, 4, dtype=torch.float64)
    corners, some = octagon_corners(nothing, nothing)
    assert corners.shape[0] == 0 and not len(some)
