"""Activations of float networks: ranges and hulls against dense sampling, rounding against high precision."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.s_shape import SShape
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.activations.tanh import Tanh
from netproof.operators.base import Activation
from netproof.operators.hulls.kink_hull import KinkHull

few = settings(deadline=None, derandomize=True, database=None, max_examples=60)

ACTIVATIONS: dict[str, Activation] = {
    "relu": ReLU(),
    "abs": Abs(),
    "leaky relu": LeakyReLU(0.1),
    "steep leaky relu": LeakyReLU(2.5),
    "folding leaky relu": LeakyReLU(-0.5),
    "clip": Clip(-0.5, 1.25),
    "clip below": Clip(0.25, math.inf),
    "clip above": Clip(-math.inf, 0.25),
    "clip to a point": Clip(0.5, 0.5),
    "relu6": Clip(0.0, 6.0),
    "clip far above": Clip(0.0, 3.4028234663852886e38),
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
}
everyone = pytest.mark.parametrize("f", ACTIVATIONS.values(), ids=ACTIVATIONS.keys())


def ranges(seed: int, rows: int = 4, size: int = 9) -> tuple[torch.Generator, torch.Tensor, torch.Tensor]:
    """Ranges on either side of 0, around it, ending at it, and single points."""
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randn(2, rows, size, generator=generator, dtype=torch.float64) * 2
    ends[0, :, 0] = 0.0
    ends[1, :, 1] = ends[0, :, 1]
    ends[1, :, 2] = 0.0
    return generator, ends.amin(0), ends.amax(0)


def points(lower: torch.Tensor, upper: torch.Tensor, count: int = 401) -> torch.Tensor:
    """``[count, ...]`` points from end to end."""
    t = torch.linspace(0, 1, count, dtype=torch.float64).reshape(-1, *[1] * lower.ndim)
    return torch.maximum(torch.minimum(lower + t * (upper - lower), upper), lower)


@everyone
@few
@given(st.integers(0, 10_000))
def test_range_holds_every_value_and_little_more(f: Activation, seed: int) -> None:
    _, lower, upper = ranges(seed)
    low, high = f.output_range(lower, upper)
    values = f.evaluate(points(lower, upper))
    assert bool((values >= low).all() & (values <= high).all())
    extra = torch.maximum(values.amin(0) - low, high - values.amax(0))
    # The one minimum inside a range, of a folding function, need not be among the samples.
    assert float(extra.max()) <= (0.04 if f in (Abs(), LeakyReLU(-0.5)) else 1e-14)


@everyone
@few
@given(st.integers(0, 10_000))
def test_conjugate_is_the_maximum_over_the_range(f: Activation, seed: int) -> None:
    generator, lower, upper = ranges(seed)
    v, s = torch.randn(2, *lower.shape, generator=generator, dtype=torch.float64)
    v[:, 3], s[:, 4] = 0.0, 0.0
    hull = f.hull(lower, upper)
    found = hull.conjugate(v, s)
    a = points(lower, upper)
    values = v * f.evaluate(a) - s * a
    assert bool((values <= found.value + 1e-13).all())
    assert bool(((found.argument >= lower) & (found.argument <= upper)).all())
    # Vectorized and single evaluations of a smooth function may differ in the last place.
    assert torch.allclose(f.evaluate(found.argument), found.image, rtol=1e-15, atol=0)
    assert torch.allclose(v * found.image - s * found.argument, found.value, rtol=0, atol=1e-13)
    # One row of ranges serves any number of multipliers, and rows can be picked.
    first = f.hull(lower[:1], upper[:1]).conjugate(v, s)
    assert first.value.shape == v.shape
    part = hull.take(torch.tensor([2, 0])).conjugate(v[[2, 0]], s[[2, 0]])
    assert torch.equal(part.value, found.value[[2, 0]])


@everyone
@few
@given(st.integers(0, 10_000))
def test_slope_and_height_are_those_of_the_hull(f: Activation, seed: int) -> None:
    generator, lower, upper = ranges(seed)
    width = upper - lower
    for v in (torch.ones_like(lower), -torch.ones_like(lower)):
        at = lower + torch.rand(lower.shape, generator=generator, dtype=torch.float64) * width
        hull = f.hull(lower, upper)
        slope, height = hull.slope(v, at), hull.height(v, at)
        a = points(lower, upper)
        # The line through the boundary at that point is beyond f everywhere, and touches it somewhere.
        gap = v * (height + slope * (a - at) - f.evaluate(a))
        assert float(gap.min()) >= -1e-6
        touching = hull.conjugate(v, slope * v)
        line = v * height - v * slope * at
        assert torch.allclose(touching.value, line, rtol=0, atol=1e-6)
        # CROWN's line is that over the middle.
        assert torch.equal(hull.slope(v), hull.slope(v, (lower + upper) / 2))


@everyone
@few
@given(st.integers(0, 10_000))
def test_superlevel_holds_every_point_above_the_cut(f: Activation, seed: int) -> None:
    generator, lower, upper = ranges(seed)
    v, s, cut = torch.randn(3, *lower.shape, generator=generator, dtype=torch.float64)
    low, high = f.hull(lower, upper).superlevel(v, s, cut)
    a = points(lower, upper)
    above = v * f.evaluate(a) - s * a >= cut
    assert bool((~above | ((a >= low - 1e-6) & (a <= high + 1e-6))).all())


@everyone
@few
@given(st.integers(0, 10_000))
def test_a_split_lies_inside_and_keeps_every_point(f: Activation, seed: int) -> None:
    generator, lower, upper = ranges(seed)
    near = torch.randn(lower.shape, generator=generator, dtype=torch.float64)
    split = f.split_point(near, lower, upper)
    none = torch.isnan(split)
    assert bool((none | ((lower < split) & (split < upper))).all())
    assert torch.equal(f.below(split)[~none], split[~none])
    # Where no split is offered the function is affine, so its hull has no area.
    hull = f.hull(lower, upper)
    middle = (lower + upper) / 2
    thickness = hull.height(torch.ones_like(lower), middle) - hull.height(-torch.ones_like(lower), middle)
    assert bool((thickness[none].abs() < 1e-12).all())


@everyone
def test_surrogates_are_the_function_and_a_slope_that_widens(f: Activation) -> None:
    a = torch.linspace(-5, 5, 101, dtype=torch.float64)
    assert torch.equal(f.surrogate(a, 0.0), f.evaluate(a)) and torch.equal(f.surrogate(a, 1.0), f.evaluate(a))
    step = 1e-6
    slope = (f.evaluate(a + step) - f.evaluate(a - step)) / (2 * step)
    smooth = (f.evaluate(a + step) - 2 * f.evaluate(a) + f.evaluate(a - step)).abs() < 1e-9
    if f != Clip(0.5, 0.5):
        assert torch.allclose(f.surrogate_slope(a, 0.0)[smooth], slope[smooth], atol=1e-6)
    assert f.select(torch.tensor([3, 1]), 5) == f
    assert f.output_shape((3, 4)) == (3, 4)
    assert f.to(torch.float32, torch.device("cpu")) == f


def test_flat_parts_pull_within_the_widening() -> None:
    a = torch.tensor([-1.0, -3.0], dtype=torch.float64)
    assert ReLU().surrogate_slope(a, 2.0).tolist() == [0.5, 0.0]
    assert Clip(0.0, 6.0).surrogate_slope(a + 8, 2.0).tolist() == [0.5, 1.0]
    assert bool((Sigmoid().surrogate_slope(a * 10, 9.0) > Sigmoid().surrogate_slope(a * 10, 0.0)).all())


def test_relu_by_hand() -> None:
    low, high = torch.tensor([-1.0, -3.0, 1.0]), torch.tensor([3.0, 1.0, 2.0])
    hull = ReLU().hull(low, high)
    up, down = torch.ones(3), -torch.ones(3)
    assert hull.slope(up).tolist() == [0.75, 0.25, 1.0]
    assert hull.slope(down).tolist() == [1.0, 0.0, 1.0]  # CROWN's adaptive rule
    assert hull.conjugate(up, torch.zeros(3)).value.tolist() == [3.0, 1.0, 2.0]
    assert ReLU().split_point(up, low, high)[:2].tolist() == [0.0, 0.0]


def test_abs_by_hand() -> None:
    low, high = torch.tensor([-1.0, -3.0, 1.0, -2.0]), torch.tensor([3.0, 1.0, 2.0, 0.0])
    assert [end.tolist() for end in Abs().output_range(low, high)] == [[0.0, 0.0, 1.0, 0.0], [3.0, 3.0, 2.0, 2.0]]
    hull = Abs().hull(low, high)
    up, down = torch.ones(4), -torch.ones(4)
    assert hull.slope(up).tolist() == [0.5, -0.5, 1.0, -1.0]
    assert hull.slope(down).tolist() == [1.0, -1.0, 1.0, -1.0]
    assert hull.conjugate(up, torch.zeros(4)).value.tolist() == [3.0, 3.0, 2.0, 2.0]
    assert hull.conjugate(down, torch.zeros(4)).value.tolist() == [0.0, 0.0, -1.0, 0.0]
    split = Abs().split_point(up, low, high)
    assert split[:2].tolist() == [0.0, 0.0] and bool(split[2:].isnan().all())
    assert Abs().surrogate_slope(torch.tensor([-2.0, 0.0, 2.0]), 1.0).tolist() == [-1.0, 1.0, 1.0]


def test_clip_splits_at_the_nearer_kink() -> None:
    low, high = torch.tensor([-1.0, -1.0, -1.0]), torch.tensor([9.0, 9.0, 3.0])
    split = Clip(0.0, 6.0).split_point(torch.tensor([1.0, 5.0, 5.0]), low, high)
    assert split.tolist() == [0.0, 6.0, 0.0]
    with pytest.raises(ValueError, match="cannot clip"):
        Clip(1.0, 0.0)


@pytest.mark.parametrize("ends", [(-1e39, 1e40), (-0.5, 1e39), (-1e300, 0.25), (1e39, 1e40), (-1e40, -1e39)])
def test_ends_of_a_clip_that_float32_does_not_hold_are_its_largest_number(ends: tuple[float, float]) -> None:
    """Files of float64 have such ends, and searches compute in float32."""
    largest = torch.finfo(torch.float32).max
    a = torch.tensor([-3e38, -1.0, 0.0, 1.0, 3e38])
    f = Clip(*ends).to(torch.float32, torch.device("cpu"))
    wanted = a.double().clamp(*ends).clamp(-largest, largest).float()
    assert torch.equal(f.evaluate(a), wanted)
    assert torch.equal(f.hull(a, a).height(torch.ones(5), a), wanted)
    assert Clip(*ends).to(torch.float64, torch.device("cpu")) == Clip(*ends)


@pytest.mark.parametrize("f", [Sigmoid(), Tanh()], ids=lambda f: f.name)
def test_smooth_ranges_hold_the_true_values(f: SShape) -> None:
    # Dense near 0, in the bend, and far out where the values approach the limits or fall below the normal numbers.
    scales = torch.tensor([1e-300, 1e-12, 1e-4, 1.0, 10.0, 40.0, 300.0, 720.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    a = (torch.randn(60, 1, generator=generator, dtype=torch.float64) * scales).reshape(-1)
    low, high = f.output_range(a, a)
    with mpmath.workprec(400):
        for x, below, above in zip(a.tolist(), low.tolist(), high.tolist(), strict=True):
            true = mpmath.tanh(mpmath.mpf(x)) if f.name == "tanh" else 1 / (1 + mpmath.exp(-mpmath.mpf(x)))
            assert mpmath.mpf(below) <= true <= mpmath.mpf(above), x
    lighter_low, lighter_high = f.output_range(a.float(), a.float())
    with mpmath.workprec(400):
        for x, below, above in zip(a.float().tolist(), lighter_low.tolist(), lighter_high.tolist(), strict=True):
            true = mpmath.tanh(mpmath.mpf(x)) if f.name == "tanh" else 1 / (1 + mpmath.exp(-mpmath.mpf(x)))
            assert mpmath.mpf(below) <= true <= mpmath.mpf(above), x
    edge = torch.tensor([-1e4, 1e4], dtype=torch.float64)
    low, high = f.output_range(edge, edge)
    assert low[0] >= f.least and high[1] <= f.largest


@pytest.mark.parametrize("f", [Sigmoid(), Tanh()], ids=lambda f: f.name)
def test_smooth_conjugate_falls_short_of_the_true_maximum_by_rounding_only(f: SShape) -> None:
    generator = torch.Generator().manual_seed(1)
    steepest = 0.25 if f.name == "sigmoid" else 1.0
    # Slopes from next to the steepest (where the point is ill conditioned) down to the saturated ends.
    part = torch.cat([1 - torch.logspace(-16, -1, 40), torch.logspace(-1, -14, 40)]).double()
    v = torch.randn(80, generator=generator, dtype=torch.float64)
    s = part * steepest * v
    hull = f.hull(torch.full_like(v, -60.0), torch.full_like(v, 60.0))
    found = hull.conjugate(v, s)
    with mpmath.workprec(300):
        for vi, si, value in zip(v.tolist(), s.tolist(), found.value.tolist(), strict=True):
            exact_v, exact_s = mpmath.mpf(vi), mpmath.mpf(si)
            ratio = exact_s / exact_v
            q = mpmath.sqrt(1 - 4 * ratio) if f.name == "sigmoid" else mpmath.sqrt(1 - ratio)
            stationary = (2 if f.name == "sigmoid" else 1) * mpmath.atanh(q) * (1 if vi > 0 else -1)
            true = max(
                exact_v * (1 / (1 + mpmath.exp(-a)) if f.name == "sigmoid" else mpmath.tanh(a)) - exact_s * a
                for a in (mpmath.mpf(-60), mpmath.mpf(60), stationary)
                if abs(a) <= 60
            )
            assert abs(mpmath.mpf(value) - true) <= 8 * 2.3e-16 * (abs(vi) + abs(si) * 60), (vi, si)


@pytest.mark.parametrize("f", [Sigmoid(), Tanh()], ids=lambda f: f.name)
def test_smooth_conjugate_at_its_stationary_point(f: SShape) -> None:
    # On a range that ends near that point the ends lose, so the point itself is what is tried.
    slopes = (0.25 if f.name == "sigmoid" else 1.0) * torch.cat(
        [1 - torch.logspace(-15, -1, 40, dtype=torch.float64), torch.logspace(-1, -14, 40, dtype=torch.float64)]
    )
    points = f.argument(slopes)
    assert bool((points > 0).all())
    assert torch.allclose(f.derivative(points), slopes, rtol=1e-12, atol=0)
    hull = f.hull(points * 0.5, points * 1.5)
    found = hull.conjugate(torch.ones_like(slopes), slopes)
    assert bool((found.value >= f.evaluate(points) - slopes * points - 1e-16).all())
    assert torch.equal(found.argument[40:], points[40:])  # next to 0 rounding decides which of them wins


def test_a_clip_is_a_relu_on_ranges_below_its_upper_end() -> None:
    low, high = torch.tensor([[-1.0, -2.0]]).double(), torch.tensor([[5.0, 6.0]]).double()
    assert isinstance(Clip(0.0, 6.0).hull(low, high), KinkHull)
    assert not isinstance(Clip(0.0, 6.0).hull(low, high + 1e-9), KinkHull)
    assert not isinstance(Clip(0.5, 6.0).hull(low, high), KinkHull)
