"""Products of two values, steps and floors: ranges and hulls against samples and exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from netproof.operators.activations.jumps.floor import Floor
from netproof.operators.activations.jumps.step import Step
from netproof.operators.activations.pairs.product import Product
from netproof.operators.hulls.pair_hull import paired


def boxes(seed: int, rows: int = 3, pairs: int = 8) -> tuple[torch.Generator, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randn(2, rows, 2 * pairs, generator=generator, dtype=torch.float64)
    ends[:, :, 0] = ends[:1, :, 0]
    ends[0, :, 3] = 0.0
    ends[:, :, 5] *= 1e-3
    return generator, ends.amin(0), ends.amax(0)


def samples(generator: torch.Generator, lower: torch.Tensor, upper: torch.Tensor, count: int = 300) -> torch.Tensor:
    """Points of boxes, half of their coordinates at ends."""
    t = torch.rand(count, *lower.shape, generator=generator, dtype=torch.float64)
    t = torch.where(torch.rand(t.shape, generator=generator) < 0.5, t.round(), t)
    return torch.minimum(torch.maximum(lower + t * (upper - lower), lower), upper)


def total(part: torch.Tensor) -> torch.Tensor:
    return part[..., 0::2] + part[..., 1::2]


@pytest.mark.parametrize("seed", range(20))
def test_products(seed: int) -> None:
    generator, lower, upper = boxes(seed)
    f = Product()
    a = samples(generator, lower, upper)
    value = f.evaluate(a)
    assert torch.equal(value[..., 0::2], a[..., 0::2] * a[..., 1::2]) and torch.equal(
        value[..., 0::2], value[..., 1::2]
    )
    low, high = f.output_range(lower, upper)
    assert bool(((low <= value) & (value <= high)).all())
    v, s = torch.randn(2, *lower.shape, generator=generator, dtype=torch.float64)
    v[:, 4:6] = 0.0
    hull = f.hull(lower, upper)
    found = hull.conjugate(v, s)
    # Of the pair together, and attained at a corner of the box of both.
    assert bool((total(v * value - s * a) <= total(found.value) + 1e-13).all())
    assert bool(((found.argument == lower) | (found.argument == upper)).all())
    assert torch.allclose(f.evaluate(found.argument), found.image, rtol=0, atol=0)
    assert torch.allclose(total(v * found.image - s * found.argument), total(found.value), rtol=0, atol=1e-13)
    # CROWN's planes, row by row and for several objectives of a row.
    mine, bound = hull.relax(v)
    assert bool(((v * value - mine * a).sum(-1) <= bound + 1e-13).all())
    assert torch.allclose(bound, total(hull.conjugate(v, mine).value).sum(-1), rtol=1e-12, atol=1e-13)
    rows, bounds = hull.relax_rows(torch.stack([v, -v], 1))
    assert torch.equal(rows[:, 0], mine) and torch.allclose(bounds[:, 0], bound, rtol=1e-14, atol=0)
    height = hull.height(v, a)
    assert bool((total(v * (height - value)) >= -1e-13).all())
    assert torch.equal(hull.take(torch.tensor([1])).relax(v[1:2])[1], bound[1:2])
    half = paired(total(v) / 2, total(v) / 2)
    assert torch.allclose(hull.slope(half) * half, mine, rtol=1e-12, atol=1e-15)
    split = f.split_point((lower + upper) / 2, lower, upper)
    known = (lower == upper)[..., 0::2] | (lower == upper)[..., 1::2]
    assert torch.equal(split.isnan(), paired(known, known))


@pytest.mark.parametrize("seed", range(10))
def test_ranges_and_planes_of_products_are_rigorous(seed: int) -> None:
    """Boxes that are points or nearly so, in fractions: only rounding is left."""
    generator = torch.Generator().manual_seed(seed)
    lower = torch.randn(1, 40, generator=generator, dtype=torch.float64)
    upper = lower + 2.0**-50 * torch.randint(0, 3, lower.shape, generator=generator)
    f = Product()
    low, high = f.output_range(lower, upper)
    weight = torch.randn(1, 20, generator=generator, dtype=torch.float64)
    v = paired(weight, torch.zeros_like(weight))
    for j in range(20):
        hull = f.hull(lower[:, 2 * j : 2 * j + 2], upper[:, 2 * j : 2 * j + 2])
        s, bound = hull.relax(v[:, 2 * j : 2 * j + 2])
        for x in (lower[0, 2 * j], upper[0, 2 * j]):
            for y in (lower[0, 2 * j + 1], upper[0, 2 * j + 1]):
                exact = Fraction(float(x)) * Fraction(float(y))
                assert Fraction(float(low[0, 2 * j])) <= exact <= Fraction(float(high[0, 2 * j]))
                left = Fraction(float(weight[0, j])) * exact - sum(
                    Fraction(float(s[0, i])) * Fraction(float(c)) for i, c in enumerate((x, y))
                )
                # What the account of rounding has for this, C gamma_64 of the magnitudes, covers it many times.
                size = abs(float(weight[0, j]) * float(exact)) * 8 * 2.0**-52
                assert left <= Fraction(float(bound)) + Fraction(size)


def test_products_without_bounds() -> None:
    lower = torch.tensor([[-torch.inf, 0.0, -1.0, 2.0, 1.0, 1.0]]).double()
    upper = torch.tensor([[torch.inf, 0.0, torch.inf, 3.0, 2.0, 0.0]]).double()
    f = Product()
    low, high = f.output_range(lower, upper)
    assert low[0, :4].tolist() == [-torch.inf, -torch.inf, -torch.inf, -torch.inf]
    assert high[0, :4].tolist() == [torch.inf] * 4
    assert low[0, 4] > high[0, 4]  # of an empty range there is nothing
    v = torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]).double()
    s, bound = f.hull(lower, upper).relax(v)
    assert bool(torch.isfinite(s).all()) and not bool(torch.isfinite(bound).any())


def test_pairs_stay_together() -> None:
    f = Product()
    assert f.closed(torch.tensor([1, 4, 5]), 8).tolist() == [0, 1, 4, 5]
    assert f.select(torch.tensor([0, 1]), 4) == f and f.to(torch.float32, torch.device("cpu")) == f
    a = torch.tensor([2.0, 3.0])
    assert f.surrogate(a, 0.5).tolist() == [6.0, 6.0] and f.surrogate_slope(a, 1.0).tolist() == [6.0, 4.0]


STEPS = {"sign": Step(-1, 0, 1), "greater": Step(0, 0, 1), "not less": Step(0, 1, 1), "falling": Step(2, -3, -1)}


@pytest.mark.parametrize("f", [*STEPS.values(), Floor()], ids=[*STEPS, "floor"])
@pytest.mark.parametrize("seed", range(8))
def test_jumps(f: Step | Floor, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ends = 3 * torch.randn(2, 4, 9, generator=generator, dtype=torch.float64)
    ends[0, :, 0], ends[1, :, 1], ends[:, :, 2], ends[1, :, 3] = 0.0, 0.0, 0.0, ends[0, :, 3]
    ends[:, :, 4] = ends[:, :, 4].round()
    lower, upper = ends.amin(0), ends.amax(0)
    a = lower + torch.linspace(0, 1, 301, dtype=torch.float64)[:, None, None] * (upper - lower)
    jumps = torch.arange(-9, 10, dtype=torch.float64)[:, None, None]
    near = torch.cat([jumps, torch.nextafter(jumps, jumps - 1), torch.nextafter(jumps, jumps + 1)])
    a = torch.minimum(torch.maximum(torch.cat([a, near.expand(-1, 4, 9)]), lower), upper)
    value = f.evaluate(a)
    low, high = f.output_range(lower, upper)
    assert bool(((low <= value) & (value <= high)).all())
    assert torch.equal(low, value.amin(0)) and torch.equal(high, value.amax(0))
    v, s = torch.randn(2, *lower.shape, generator=generator, dtype=torch.float64)
    hull = f.hull(lower, upper)
    found = hull.conjugate(v, s).value
    reached = (v * value - s * a).amax(0)
    assert bool((reached <= found + 1e-13).all())
    # As tight as samples next to every jump are, where these are among them; floors have corners between samples.
    assert bool((found <= reached + 1e-9).all())
    split = f.split_point((lower + upper) / 2, lower, upper)
    none = split.isnan()
    assert bool((none | ((lower < split) & (split < upper))).all())


def test_floor_splits_at_whole_numbers_and_steps_pull() -> None:
    low, high = torch.tensor([0.5, 0.0, 0.2, -2.5]), torch.tensor([3.5, 1.0, 0.8, 3.0])
    assert Floor().split_point(torch.tensor([9.0, 0.3, 0.5, 0.2]), low, high)[[0, 3]].tolist() == [3.0, 0.0]
    x = torch.tensor([-0.5, 0.5, 3.0], requires_grad=True)
    for f in (Step(-1, 0, 1), Floor()):
        y = f.evaluate(x)
        assert torch.equal(y.detach(), f.evaluate(x.detach()))
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert bool((gradient > 0).all())
