"""Quadratic forms whose numbers differ by 16 orders of magnitude, and eigenvectors that are none, in fractions."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch

from netproof.operators.hulls.joint_hull import JointHull, largest_on_cube

Rows = list[Fraction]


def exactly(values: np.ndarray) -> Rows:
    return [Fraction(float(value)) for value in np.asarray(values).ravel()]


def spread(rng: np.random.Generator, shape: tuple[int, ...], orders: float) -> np.ndarray:
    return np.asarray(rng.normal(size=shape) * 10.0 ** (orders * (rng.random(shape) - 0.5)))


def form_of(rng: np.random.Generator, kind: int, size: int) -> np.ndarray:
    raw = spread(rng, (size, size), 16.0)
    u, signs = rng.normal(size=size), rng.choice([-1.0, 1.0], size=size)
    half = spread(rng, (size, max(1, size // 2)), 8.0)
    found = [
        raw,
        half @ half.T,  # singular
        -half @ half.T,
        np.outer(u, u) - np.outer(u, u) * (1 - 1e-15),  # what cancels
        np.diag(u) + 1e-14 * raw,
        np.ones((size, size)) + 1e-15 * rng.normal(size=(size, size)),  # all eigenvalues but one alike
        raw * 2.0 ** float(rng.choice([-1060, -1000, 400, 900])),
        np.outer(signs, signs) * u[0],  # largest at a corner: no bound is below it
    ][kind]
    return (found + found.T) / 2


def largest_found(form: np.ndarray, rng: np.random.Generator) -> Fraction:
    """Of corners, faces and points inside."""
    size, m, most = len(form), exactly(form), Fraction(0)
    corners = [np.array(t) for t in itertools.product([-1.0, 1.0], repeat=size)]
    points = [*corners, *(np.where(rng.random(size) < 0.5, 0.0, t) for t in corners[:8]), rng.uniform(-1, 1, size)]
    for t in map(exactly, points):
        most = max(most, sum((m[i * size + j] * t[i] * t[j] for i, j in np.ndindex(size, size)), Fraction(0)))
    return most


@pytest.mark.parametrize("kind", range(8))
def test_no_point_of_the_cube_is_above_the_bound(kind: int) -> None:
    rng = np.random.default_rng(kind)
    for _ in range(25):
        form = form_of(rng, kind, int(rng.integers(1, 6)))
        bound = float(largest_on_cube(torch.tensor(form)[None])[0])
        assert bound == np.inf or largest_found(form, rng) <= Fraction(bound)


@pytest.mark.parametrize("off", [1e-15, 1e-3, 1.0, np.inf, np.nan])
@pytest.mark.parametrize("kind", range(8))
def test_the_bound_holds_whatever_eigenvectors_are_given(
    kind: int, off: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, eigh = np.random.default_rng(kind), torch.linalg.eigh

    def careless(form: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, vectors = eigh(form)
        other = torch.tensor(rng.normal(size=tuple(vectors.shape)))
        shares = torch.tensor(rng.uniform(-1, 1, size=tuple(values.shape)))
        return values * (1 + off * shares), vectors * (1 + off * other)

    monkeypatch.setattr(torch.linalg, "eigh", careless)
    for _ in range(12):
        form = form_of(rng, kind, int(rng.integers(1, 6)))
        bound = float(largest_on_cube(torch.tensor(form)[None])[0])
        assert bound == np.inf or largest_found(form, rng) <= Fraction(bound)


def test_forms_that_have_no_eigenvalues_are_bounded_by_their_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(form: torch.Tensor) -> None:
        raise RuntimeError("no convergence")

    monkeypatch.setattr(torch.linalg, "eigh", none)
    form = torch.tensor([[[1.0, -2.0], [-2.0, -3.0]]], dtype=torch.float64)
    assert 5.0 <= float(largest_on_cube(form)[0]) <= 5.0 + 1e-12


@pytest.mark.parametrize("orders", [0.0, 4.0, 16.0])
@pytest.mark.parametrize("seed", range(12))
def test_no_point_of_forms_of_many_orders_is_above_the_plane(seed: int, orders: float) -> None:
    rng = np.random.default_rng(seed)
    n, inputs = 2 + seed % 4, 1 + seed % 3
    center, slopes = spread(rng, (1, 2 * n), orders), spread(rng, (1, inputs, 2 * n), orders)
    radius = abs(spread(rng, (1, 2 * n), orders)) * float(rng.choice([0.0, 1e-300, 1e-16, 1e-3]))
    if seed % 4 == 1:  # squares
        slopes[..., 1::2], center[..., 1::2] = slopes[..., 0::2], center[..., 0::2]
    if seed % 4 == 2:
        center *= 1e8
    reach = (abs(slopes).sum(1) + radius) * (1 + 1e-15) + abs(center) * 1e-15
    low, high = center - reach, center + reach
    if seed % 3 == 0:  # ranges that are known better than the forms: their centres lie outside
        low = low + reach * rng.random(low.shape) * 1.4
    hull = JointHull(*(torch.tensor(part) for part in (low, high, center, slopes, radius)))
    v = spread(rng, (1, 4, 2 * n), orders) * rng.choice([-1.0, 0.0, 1.0], size=(1, 4, 2 * n))
    v[0, 0] = 1.0
    s, value = (part[0].numpy() for part in hull.relax_rows(torch.tensor(v)))
    c, f, r, lows, highs = (exactly(part) for part in (center, slopes, radius, low, high))
    size = [max(abs(a), abs(b)) for a, b in zip(lows, highs, strict=True)]
    tried = 0
    for k in range(4):
        given, own = exactly(s[k]), exactly(v[0, k])
        weight = [own[i] + own[i + 1] for i in range(0, 2 * n, 2)]
        # What the account of rounding covers, which the hull leaves to it.
        slack = sum(abs(w) * size[2 * i] * size[2 * i + 1] for i, w in enumerate(weight)) * Fraction(64 * n, 2**53)
        for _ in range(20):
            t = exactly(np.where(rng.random(inputs) < 0.7, rng.choice([-1.0, 1.0], inputs), rng.uniform(-1, 1, inputs)))
            e = rng.choice([-1, 1], 2 * n).tolist()
            a = [c[j] + sum(f[u * 2 * n + j] * t[u] for u in range(inputs)) + e[j] * r[j] for j in range(2 * n)]
            if not all(x <= y <= z for x, y, z in zip(lows, a, highs, strict=True)):
                continue
            tried += 1
            rise = sum(w * a[2 * i] * a[2 * i + 1] for i, w in enumerate(weight))
            rise -= sum(p * x for p, x in zip(given, a, strict=True))
            assert rise <= Fraction(float(value[k])) + slack + Fraction(1, 2**480)
    assert tried or seed % 3 == 0


def test_a_plane_that_touches_beside_a_forms_centre_is_off_by_as_much() -> None:
    """``x y`` twice with weights that cancel, of which one knows that both are at least 1/2: together they are 0 everywhere."""
    center, slopes, radius = np.zeros((1, 4)), np.ones((1, 1, 4)), np.zeros((1, 4))
    low, high = np.array([[0.5, 0.5, -1.0, -1.0]]), np.ones((1, 4))
    hull = JointHull(*(torch.tensor(part) for part in (low, high, center, slopes, radius)))
    s, value = hull.relax_rows(torch.tensor([[[-1.0, 0.0, 1.0, 0.0]]], dtype=torch.float64))
    for x in (0.5, 0.75, 1.0):
        assert 0.0 - x * float(s.sum()) <= float(value) + 1e-12
