"""Curves: their ranges and polygons against 60 digits, at samples and where polygons touch them."""

from __future__ import annotations

import itertools
import math

import mpmath
import pytest
import torch

from netproof.operators.activations.curves.curve import Curve
from netproof.operators.activations.curves.exponentials import Elu, Exp, Log, Softplus
from netproof.operators.activations.curves.gates import Gelu, HardSwish, Mish, Silu, TanhGelu
from netproof.operators.activations.curves.periodic import Cos, Sin
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.curves.saturating import Atan, Erf, Softsign
from netproof.operators.hulls.curve_hull import CurveHull


def _power(exponent):
    def f(a):
        if exponent != math.floor(exponent) and exponent > 0:
            a = max(a, mpmath.mpf(0))
        return a ** mpmath.mpf(exponent)

    return f


def _elu(alpha, gain=1.0, width=1.0):
    return lambda a: gain * (a if a >= 0 else alpha * mpmath.expm1(a / width))


def _tanh_gelu(rate, cubic):
    k, c = mpmath.mpf(rate), mpmath.mpf(cubic)
    # Not 1 + tanh: 60 digits would not be enough far to the left.
    return lambda a: a / (1 + mpmath.exp(-2 * k * (a + c * a**3)))


#: the function, what it is in 60 digits, and the ranges it is tried on: least end, largest end
CURVES: dict[str, tuple[Curve, object, float, float]] = {
    "exp": (Exp(), mpmath.exp, -40, 12),
    "log": (Log(), mpmath.log, 1e-6, 30),
    "softplus": (Softplus(), lambda a: mpmath.log1p(mpmath.exp(a)), -60, 60),
    "elu": (Elu(1.0), _elu(1.0), -9, 5),
    "steep elu": (Elu(2.5), _elu(2.5), -9, 5),
    "falling elu": (Elu(-0.5), _elu(-0.5), -9, 5),
    "selu": (Elu(1.67, 1.05), _elu(1.67, 1.05), -9, 5),
    "celu": (Elu(0.5, 1.0, 0.5), _elu(0.5, 1.0, 0.5), -9, 5),
    "square": (Power(2.0), _power(2), -5, 5),
    "cube": (Power(3.0), _power(3), -5, 5),
    "fourth": (Power(4.0), _power(4), -3, 3),
    "sqrt": (Power(0.5), _power(0.5), -1, 9),
    "power 1.5": (Power(1.5), _power(1.5), -1, 9),
    "power 0.25": (Power(0.25), _power(0.25), -1, 9),
    "reciprocal": (Power(-1.0), _power(-1), 1e-3, 9),
    "negative reciprocal": (Power(-1.0), _power(-1), -9, -1e-3),
    "inverse square": (Power(-2.0), _power(-2), -9, -1e-2),
    "inverse root": (Power(-0.5), _power(-0.5), 1e-5, 9),
    "sin": (Sin(), mpmath.sin, -9, 9),
    "cos": (Cos(), mpmath.cos, -9, 9),
    "far sin": (Sin(), mpmath.sin, 99_990, 100_000),
    "erf": (Erf(), mpmath.erf, -5, 5),
    "softsign": (Softsign(), lambda a: a / (1 + abs(a)), -20, 20),
    "atan": (Atan(), mpmath.atan, -20, 20),
    "gelu": (Gelu(), lambda a: a / 2 * mpmath.erfc(-a / mpmath.mpf(math.sqrt(2))), -8, 8),
    "wide gelu": (Gelu(2.5), lambda a: a / 2 * mpmath.erfc(-a / mpmath.mpf(2.5)), -8, 8),
    "tanh gelu": (TanhGelu(), _tanh_gelu(math.sqrt(2 / math.pi), 0.044715), -8, 8),
    "cubic tanh gelu": (TanhGelu(0.3, 0.9), _tanh_gelu(0.3, 0.9), -5, 5),
    "steep tanh gelu": (TanhGelu(40.0, 1e-3), _tanh_gelu(40.0, 1e-3), -0.5, 0.5),
    "silu": (Silu(), lambda a: a / (1 + mpmath.exp(-a)), -12, 12),
    "fast silu": (Silu(1.75), lambda a: a / (1 + mpmath.exp(-mpmath.mpf(1.75) * a)), -12, 12),
    "mish": (Mish(), lambda a: a * mpmath.tanh(mpmath.log1p(mpmath.exp(a))), -12, 12),
    "harder swish": (HardSwish(0.3, 0.25), lambda a: a * min(max(mpmath.mpf(0.3) * a + mpmath.mpf(0.25), 0), 1), -6, 6),
    "hard swish": (HardSwish(), lambda a: a * min(max(a / 6 + mpmath.mpf(1) / 2, 0), 1), -6, 6),
}
everyone = pytest.mark.parametrize("name", CURVES)


def ranges(name: str, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ranges of all widths ``[count]``; a quarter of them end at a break, some are points."""
    f, _, least, largest = CURVES[name]
    generator = torch.Generator().manual_seed(len(name))
    middle = least + (largest - least) * torch.rand(count, generator=generator, dtype=torch.float64)
    width = (largest - least) * 10 ** (-14 * torch.rand(count, generator=generator, dtype=torch.float64) ** 2)
    ends = torch.stack([middle - width, middle + width]).clamp(least, largest)
    for number, at in enumerate(f.breaks or (0.0,)):
        if least <= at <= largest:
            ends[number % 2, number :: 4 * len(f.breaks or (0,))] = at
    ends[0, ::9] = ends[1, ::9]
    return ends.amin(0), ends.amax(0)


def between(corners: list[tuple[mpmath.mpf, mpmath.mpf]], a: mpmath.mpf, sign: int) -> mpmath.mpf:
    """The height over ``a`` of the polyline through corners: the outermost where it is vertical."""
    heights = []
    for (p, y), (q, z) in itertools.pairwise(corners):
        if p <= a <= q:
            heights += [y, z] if p == q else [y + (z - y) * (a - p) / (q - p)]
    return sign * max(sign * h for h in heights)


@everyone
def test_the_polygon_holds_the_function(name: str) -> None:
    f, exact, _, _ = CURVES[name]
    lower, upper = ranges(name, 40)
    hull = f.hull(lower[None], upper[None])
    low, high = f.output_range(lower, upper)
    with mpmath.workdps(60):
        for row in range(len(lower)):
            sides = []
            for argument, image, sign in (
                (hull.upper_argument, hull.upper_image, 1),
                (hull.lower_argument, hull.lower_image, -1),
            ):
                corners = [(mpmath.mpf(a), mpmath.mpf(y)) for a, y in zip(argument[:, 0, row].tolist(), image[:, 0, row].tolist(), strict=True)]  # fmt: skip
                assert corners == sorted(corners, key=lambda c: c[0])
                assert corners[0][0] == float(lower[row]) and corners[-1][0] == float(upper[row])
                sides.append((corners, sign))
            tried = {c[0] for corners, _ in sides for c in corners}
            tried |= {mpmath.mpf(float(lower[row])) + (mpmath.mpf(float(upper[row])) - mpmath.mpf(float(lower[row]))) * k / 7 for k in range(8)}  # fmt: skip
            for a in tried:
                value = exact(a)
                assert float(low[row]) <= value <= float(high[row]), (float(a), float(value))
                for corners, sign in sides:
                    assert sign * (between(corners, a, sign) - value) >= 0, (row, sign, float(a))
            for corners, _ in sides:
                # What the account of rounding takes for granted: corners are no larger than the images it knows of.
                size = max(abs(float(low[row])), abs(float(high[row]))) * 1.01 + 2.0**-50
                assert all(abs(y) <= size for _, y in corners)


@everyone
def test_the_polygon_is_tight(name: str) -> None:
    f, _, least, largest = CURVES[name]
    middle = torch.linspace(least, largest, 50, dtype=torch.float64)[1:-1]
    width = 1e-3 * middle.abs().clamp(max=1.0)
    lower, upper = (middle - width)[None], (middle + width)[None]
    kinked = [k for k in range(48) if any(lower[0, k] < b < upper[0, k] for b in f.kinks)]
    hull = f.hull(lower, upper)
    up = torch.ones_like(lower)
    thickness = hull.height(up, middle[None]) - hull.height(-up, middle[None])
    bent = (f.slope(upper, right=False) - f.slope(lower, right=True)).abs() * (upper - lower)
    assert bool((thickness >= 0).all())
    thick = thickness > 0.5 * bent + 1e-9 * f.evaluate(middle[None]).abs() + 1e-9
    thick[0, kinked] = False
    assert not bool(thick.any())


@everyone
def test_multipliers_bound_the_function(name: str) -> None:
    """The maximum over the polygon, CROWN's lines, and rows of objectives: all bound ``v f(a) - s a``."""
    f, _, _, _ = CURVES[name]
    lower, upper = ranges(name, 30)
    lower, upper = lower[None], upper[None]
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(5, 30, generator=generator, dtype=torch.float64)
    v[:, 3] = 0.0
    hull = f.hull(lower, upper)
    a = lower + torch.linspace(0, 1, 33, dtype=torch.float64)[:, None, None] * (upper - lower)
    a = torch.minimum(torch.maximum(a, lower), upper)
    value = f.evaluate(a)
    s, total = hull.relax(v)
    rounding = 1e-14 * ((v * value).abs() + (s * a).abs()).amax(0) + 1e-15
    assert bool(((v * value - s * a) <= hull.conjugate(v, s).value + rounding).all())
    for j in range(30):
        one = CurveHull(*(part[..., j : j + 1] for part in (hull.upper_argument, hull.upper_image, hull.lower_argument, hull.lower_image)))  # fmt: skip
        mine, sum_ = one.relax(v[:, j : j + 1])
        assert torch.equal(mine, s[:, j : j + 1])
        assert bool(((v * value - s * a)[..., j] <= sum_ + rounding[:, j]).all())
    # CROWN's lines are those over the middle, or next to it.
    middle = (lower + upper) / 2
    for sign in (1.0, -1.0):
        one = torch.full_like(lower, sign)
        line = hull.conjugate(one, hull.slope(one) * one).value + hull.slope(one) * one * middle
        thick = hull.height(one, middle) - hull.height(-one, middle)
        assert bool(
            (
                sign * (sign * line - hull.height(one, middle))
                <= 1e-3 * thick.abs() + 1e-11 * (line.abs() + middle.abs() + 1)
            ).all()
        )
    rows_s, rows_total = hull.relax_rows(v[None])
    assert torch.equal(rows_s[0], s) and torch.allclose(rows_total[0], total, rtol=1e-12, atol=1e-12)
    mine = torch.randn(5, 30, generator=generator, dtype=torch.float64)
    rounding = 1e-14 * ((v * value).abs() + (mine * a).abs()).amax(0) + 1e-15
    assert bool(((v * value - mine * a) <= hull.conjugate(v, mine).value + rounding).all())
    assert hull.take(torch.tensor([0, 0])).conjugate(v[:2], mine[:2]).value.shape == (2, 30)


@everyone
def test_splits_and_slopes(name: str) -> None:
    f, _, least, largest = CURVES[name]
    lower, upper = ranges(name, 60)
    split = f.split_point((lower + upper) / 2, lower, upper)
    none = torch.isnan(split)
    assert bool((none | ((lower < split) & (split < upper))).all())
    hull = f.hull(lower[None], upper[None])
    middle, up = ((lower + upper) / 2)[None], torch.ones(1, 60, dtype=torch.float64)
    thickness = hull.height(up, middle) - hull.height(-up, middle)
    assert bool((thickness[0][none] <= 1e-12 * f.evaluate(middle)[0].abs()[none] + 1e-12).all())
    a = torch.linspace(least, largest, 201, dtype=torch.float64)[1:-1] + 1e-3 / 7
    step = 1e-6 * a.abs().clamp(min=1e-2, max=1.0)
    by_steps = (f.evaluate(a + step) - f.evaluate(a - step)) / (2 * step)
    away = torch.tensor([all(abs(x - k) > 1e-3 for k in (*f.kinks, 0.0)) for x in a.tolist()])
    assert torch.allclose(f.slope(a, right=True)[away], by_steps[away], rtol=1e-4, atol=1e-6)
    x = a.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(f.evaluate(x).sum(), x)
    assert torch.allclose(gradient[away], f.slope(a, right=True)[away], rtol=1e-6, atol=1e-12)
    assert f.select(torch.tensor([1]), 3) == f and f.to(torch.float32, torch.device("cpu")) == f


def test_where_there_is_no_bound_none_is_given() -> None:
    low, high = torch.tensor([[-1.0, 0.0, -2.0]]).double(), torch.tensor([[1.0, 2.0, 0.0]]).double()
    one = torch.ones_like(low)
    for f in (Power(-1.0), Log(), Power(-0.5), Power(-2.0)):
        _, top = f.output_range(low, high)
        hull = f.hull(low, high)
        bounds = torch.maximum(hull.conjugate(one, 0 * one).value, hull.conjugate(-one, 0 * one).value)
        assert not bool(torch.isfinite(bounds).any()), f
        s, value = hull.relax(one)
        assert bool(torch.isfinite(s).all()) and not bool(torch.isfinite(value).any())
        assert hull.relax(0 * one)[1].tolist() == [0.0]
        assert f is not Log() or bool((top < torch.inf).all())


def test_periods_and_the_far_end() -> None:
    low, high = torch.tensor([[0.0, 0.0, 1e9]]).double(), torch.tensor([[6.4, 7.0, 1e9 + 0.1]]).double()
    for f in (Sin(), Cos()):
        assert [end[0].tolist() for end in f.output_range(low, high)] == [[-1.0] * 3, [1.0] * 3]
        hull = f.hull(low, high)
        assert hull.upper_image.tolist() == torch.ones_like(hull.upper_image).tolist()
    assert Exp().output_range(low, 800 * torch.ones_like(low))[1].tolist() == [[torch.inf] * 3]
    hull = Exp().hull(-torch.ones(1, 1).double(), 800 * torch.ones(1, 1).double())
    minus = -torch.ones(1, 1).double()
    s, value = hull.relax(minus)  # from below it is bounded all the same
    assert bool(torch.isfinite(s).all()) and bool(torch.isfinite(value).all())


def test_bad_parameters() -> None:
    for make in (lambda: Power(1.0), lambda: Power(math.inf), lambda: Gelu(0.0), lambda: Silu(-1.0), lambda: TanhGelu(0.0), lambda: TanhGelu(1.0, -0.1), lambda: Elu(1.0, -1.0), lambda: HardSwish(0.0)):  # fmt: skip
        with pytest.raises(ValueError, match=r"power|GELU|SiLU|ELU|swish"):
            make()
