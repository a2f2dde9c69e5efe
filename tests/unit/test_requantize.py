"""The hull of four corners of a staircase whose thresholds are near a line."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netproof.formats.tflite.staircases import combination_of, staircase_between, staircase_of_table, with_fitting_hull
from netproof.operators.activations.requantize import Requantize, threshold_spread
from netproof.operators.activations.staircase import Staircase


def rounded(scale: float, channels: int = 1) -> Requantize:
    """Thresholds of ``round(a * scale)``, a little different in each channel."""
    levels = np.arange(-127, 128)
    rows = [np.ceil((levels - 0.5) / (scale * (1 + 0.01 * c))) for c in range(channels)]
    return Requantize(torch.tensor(np.stack(rows)), torch.full((channels,), -128.0, dtype=torch.float64))


def test_spread_is_what_brute_force_finds():
    rng = np.random.default_rng(1)
    for _ in range(20):
        thresholds = np.sort(rng.integers(-60, 60, (1, 9)), axis=1).astype(float)
        t = thresholds[0]
        chords = [
            t[k] - (t[i] + (k - i) / (j - i) * (t[j] - t[i]))
            for i in range(9)
            for j in range(i + 2, 9)
            for k in range(i + 1, j)
        ]
        assert int(threshold_spread(torch.from_numpy(thresholds))) >= max(map(abs, chords)) - 1e-9


@pytest.mark.parametrize("scale", [0.37, 0.0123, 0.9])
@pytest.mark.parametrize("repeated", [False, True])
def test_the_hull_holds_every_point_of_the_graph(scale, repeated):
    staircase = rounded(scale)
    if repeated:  # jumps by more than one
        thresholds = torch.repeat_interleave(staircase.thresholds[:, ::3], 3, dim=1)
        staircase = Requantize(thresholds, staircase.base)
    torch.manual_seed(0)
    low = torch.randint(-500, 480, (400, 1)).double()
    high = low + torch.randint(0, 90, (400, 1)).double()
    hull = staircase.hull(low, high)
    for _ in range(20):
        v, s = torch.randn(400, 1, dtype=torch.float64), torch.randn(400, 1, dtype=torch.float64)
        s = s * torch.tensor([0.0, scale, 1.0])[torch.randint(0, 3, (400, 1))]
        points = torch.stack([torch.minimum(low + k, high) for k in range(91)])
        best = (v * staircase.evaluate(points) - s * points).amax(0)
        assert bool((hull.conjugate(v, s).value >= best - 1e-9).all())


def test_four_corners_lose_no_more_than_they_are_moved_by():
    near = rounded(0.0123)
    exact = Staircase(near.thresholds, near.base)
    low, high = torch.tensor([-3000.0]).double(), torch.tensor([2500.0]).double()
    v, s = torch.ones(1).double(), torch.full((1,), 0.0123).double()
    ours, best = (one.hull(low, high).conjugate(v, s).value for one in (near, exact))
    assert 0 <= float(ours - best) <= 0.0123 * float(near.spread.max()) + 1e-9


def test_it_stays_what_it_is_when_selected_and_converted():
    staircase = rounded(0.3, channels=3)
    part = staircase.select(torch.tensor([0, 4, 5]), 6).to(torch.float64, torch.device("cpu"))
    assert isinstance(part, Requantize) and part.thresholds.shape == (3, 255)
    x = torch.arange(-300.0, 300.0).double()[:, None].expand(-1, 6)
    assert torch.equal(staircase.evaluate(x)[:, [0, 4, 5]], part.evaluate(x[:, [0, 4, 5]]))


def test_thresholds_by_bisection_are_the_function():
    factors = np.array([0.013, 0.4, 1e-9])[:, None]
    low, high = np.array([-9000, -200, -5]), np.array([7000, 350, 5])

    def f(a):
        return np.clip(np.floor(a * factors + 0.5).astype(np.int64), -100, 120)

    staircase = staircase_between(f, low, high)
    for c in range(3):
        a = np.arange(low[c], high[c] + 1)
        values = staircase.evaluate(torch.from_numpy(np.stack([a] * 3, 1).astype(float))).numpy()[:, c]
        assert np.array_equal(values, f(np.stack([a] * 3))[c])
    assert int(threshold_spread(staircase.thresholds).max()) <= 3  # what is out of reach continues the line


def test_the_better_hull_is_taken():
    near, steep = rounded(0.01), rounded(0.4)
    assert type(with_fitting_hull(near, 10)) is Requantize
    assert type(with_fitting_hull(steep, 10)) is Staircase
    assert type(with_fitting_hull(steep, 10**5)) is Requantize


def test_a_table_that_falls_is_none():
    assert staircase_of_table(np.array([[0, 2, 1]]), 5) is None
    found = staircase_of_table(np.array([[0, 2, 2, 5]]), 5)
    assert found.evaluate(torch.arange(4.0, 11.0).double()[:, None])[:, 0].tolist() == [0, 0, 2, 2, 5, 5, 5]


def test_a_pair_is_one_combination():
    a, b = np.arange(-10, 11)[:, None], np.arange(-7, 8)[None]
    values = np.floor((0.31 * a - 0.52 * b) + 0.5).astype(np.int64)
    found = combination_of(values, (-10, -7), (0.31, -0.52))
    sums = torch.from_numpy((found.first * a + found.second * b).astype(float).reshape(-1, 1))
    assert np.array_equal(found.steps.evaluate(sums).numpy().reshape(values.shape), values)
    assert combination_of((a * b).astype(np.int64), (-10, -7), (1, 1)) is None


@pytest.mark.parametrize(
    "features", [[0, 1, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [1, 4, 5, 11], [5, 1, 9], []]
)
def test_a_selection_shares_thresholds_where_it_can(features):
    staircase = rounded(0.3, channels=3)  # of four features each
    part = staircase.select(torch.tensor(features, dtype=torch.int64), 12)
    x = torch.arange(-300.0, 300.0).double()[:, None].expand(-1, 12)
    assert torch.equal(part.evaluate(x[:, features]), staircase.evaluate(x)[:, features])
    shared = {0: 0, 3: 3, 4: 2 if features == [0, 1, 6, 7] else 4, 12: 3}[len(features)]
    assert part.thresholds.shape[0] == shared
