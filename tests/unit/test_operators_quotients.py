"""Quotients of two values, and values that are held: ranges and hulls against samples and exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from netproof.operators.activations.held import Held
from netproof.operators.activations.pairs.quotient import Quotient
from netproof.operators.hulls.pair_hull import paired


def boxes(seed: int, rows: int = 3, pairs: int = 12) -> tuple[torch.Generator, torch.Tensor, torch.Tensor]:
    """Ranges of pairs, whose denominators keep a sign but for those of pair 2; pair 3 is a point, of pair 4 one factor."""
    generator = torch.Generator().manual_seed(seed)
    n, d = torch.randn(2, 2, rows, pairs, generator=generator, dtype=torch.float64)
    d = (d.abs() + 0.05) * torch.where(torch.rand(rows, pairs, generator=generator) < 0.5, 1.0, -1.0)
    d[0, :, 2] = -d[1, :, 2]
    n[0, :, 3], d[0, :, 3] = n[1, :, 3], d[1, :, 3]
    d[0, :, 4], n[0, :, 5] = d[1, :, 4], n[1, :, 5]
    ends = paired(n, d)
    return generator, ends.amin(0), ends.amax(0)


def samples(generator: torch.Generator, lower: torch.Tensor, upper: torch.Tensor, count: int = 300) -> torch.Tensor:
    t = torch.rand(count, *lower.shape, generator=generator, dtype=torch.float64)
    t = torch.where(torch.rand(t.shape, generator=generator) < 0.5, t.round(), t)
    return torch.minimum(torch.maximum(lower + t * (upper - lower), lower), upper)


def total(part: torch.Tensor) -> torch.Tensor:
    return part[..., 0::2] + part[..., 1::2]


@pytest.mark.parametrize("seed", range(20))
def test_quotients(seed: int) -> None:
    generator, lower, upper = boxes(seed)
    f, known = Quotient(), torch.arange(12) != 2
    a = samples(generator, lower, upper)
    value = f.evaluate(a)
    assert torch.equal(value[..., 0::2], a[..., 0::2] / a[..., 1::2]) and torch.equal(
        value[..., 0::2], value[..., 1::2]
    )
    low, high = f.output_range(lower, upper)
    assert bool(((low <= value) & (value <= high))[..., paired(known, known)].all())
    assert bool(torch.isinf(low[..., 4:6]).all() & torch.isinf(high[..., 4:6]).all())
    v, s = torch.randn(2, *lower.shape, generator=generator, dtype=torch.float64)
    v[:, 6:8] = 0.0
    hull = f.hull(lower, upper)
    found = hull.conjugate(v, s)
    least = total(v * value - s * a)
    assert bool((least <= total(found.value) + 1e-12 * (1 + least.abs()))[..., known].all())
    assert bool(torch.isinf(total(found.value)[:, 2]).all())
    # Attained at a point of the box.
    at = found.argument
    assert bool(((at >= lower) & (at <= upper))[..., paired(known, known)].all())
    mine = total(v * f.evaluate(at) - s * at)
    assert torch.allclose(mine[:, known], total(found.value)[:, known], rtol=1e-9, atol=1e-9)
    assert bool((hull.conjugate(torch.zeros_like(v), torch.zeros_like(v)).value == 0).all())
    # CROWN's planes, row by row and for several objectives of a row.
    slopes, bound = hull.relax(v)
    each = total(hull.conjugate(v, slopes).value)
    assert bool(torch.isinf(bound).all())
    v[:, 4:6] = 0.0
    slopes, bound = hull.relax(v)
    least = total(v * value - slopes * a)[..., known].sum(-1)
    assert bool((least <= bound + 1e-12).all())
    assert bool((each[:, known].sum(-1) <= bound + 1e-9 * (1 + bound.abs())).all())
    rows, bounds = hull.relax_rows(torch.stack([v, -v], 1))
    assert torch.equal(rows[:, 0], slopes) and torch.allclose(bounds[:, 0], bound, rtol=1e-14, atol=0)
    height = hull.height(v, a)
    assert bool((total(v * (height - value))[..., known] >= -1e-12).all())
    assert torch.equal(hull.take(torch.tensor([1])).relax(v[1:2])[1], bound[1:2])
    half = paired(total(v) / 2, total(v) / 2)
    assert torch.allclose(hull.slope(half) * half, slopes, rtol=1e-12, atol=1e-15)
    split = f.split_point((lower + upper) / 2, lower, upper)
    assert bool(split[:, [6, 7, 8, 9, 10]].isnan().all()) and not bool(split[:, [0, 1, 11]].isnan().any())


@pytest.mark.parametrize("seed", range(10))
def test_ranges_and_planes_of_quotients_are_rigorous(seed: int) -> None:
    """Boxes that are points or nearly so, in fractions: only rounding is left."""
    generator = torch.Generator().manual_seed(seed)
    lower = 3 * torch.rand(1, 40, generator=generator, dtype=torch.float64) + 0.1
    upper = lower * (1 + 2.0**-50 * torch.randint(0, 3, lower.shape, generator=generator))
    f = Quotient()
    low, high = f.output_range(lower, upper)
    hull = f.hull(lower, upper)
    of_n, of_d, constant, gap = hull.plane
    for j in range(20):
        for n in (lower[0, 2 * j], upper[0, 2 * j]):
            for d in (lower[0, 2 * j + 1], upper[0, 2 * j + 1]):
                x, y = Fraction(float(n)), Fraction(float(d))
                assert Fraction(float(low[0, 2 * j])) <= x / y <= Fraction(float(high[0, 2 * j]))
                plane = [Fraction(float(part[0, j])) for part in (of_n, of_d, constant)]
                off = x / y - (plane[0] * x + plane[1] * y + plane[2])
                assert abs(off) <= Fraction(float(gap[0, j]))
    assert float(gap.max()) < 1e-12


def test_a_denominator_of_both_signs_has_no_bound() -> None:
    lower, upper = torch.tensor([[1.0, -1.0]], dtype=torch.float64), torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    hull = Quotient().hull(lower, upper)
    one = torch.ones_like(lower)
    assert torch.isinf(hull.relax(one)[1]).all() and torch.isinf(hull.conjugate(one, one).value).any()
    assert bool((hull.relax(0 * one)[1] == 0).all())


@pytest.mark.parametrize("seed", range(5))
def test_a_held_value_is_itself(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randn(2, 4, 6, generator=generator, dtype=torch.float64)
    lower, upper = ends.amin(0), ends.amax(0)
    a = samples(generator, lower, upper)
    f = Held()
    hull = f.hull(lower, upper)
    v, s = torch.randn(2, *lower.shape, generator=generator, dtype=torch.float64)
    s[:, 0] = v[:, 0]
    found = hull.conjugate(v, s)
    assert torch.equal(f.evaluate(a), a) and torch.equal(hull.height(v, a), a)
    assert bool((v * a - s * a <= found.value + 1e-14).all())
    assert torch.allclose((v - s) * found.argument, found.value, atol=1e-14)
    slopes, bound = hull.relax(v)
    assert torch.equal(slopes, v) and bool((bound == 0).all()) and torch.equal(hull.slope(v) * v, v)
    assert torch.equal(hull.relax_rows(v[:, None])[0][:, 0], v)
    assert bool(f.split_point(lower, lower, upper).isnan().all())
    cut = torch.randn(lower.shape, generator=generator, dtype=torch.float64)
    low, high = hull.superlevel(v, s, cut)
    meets = (v - s) * a >= cut
    inside = (a >= low - 1e-12) & (a <= high + 1e-12)
    assert bool((inside | ~meets).all())
    unbounded = f.hull(torch.full_like(lower, -torch.inf), torch.full_like(lower, torch.inf))
    assert bool((unbounded.conjugate(v, v).value == 0).all()) and bool(
        torch.isinf(unbounded.conjugate(v, v + 1).value).all()
    )
