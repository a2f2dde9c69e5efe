"""Hulls of staircases against every integer of the range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from netproof.operators.activations.staircase import Staircase
from netproof.operators.hulls.hull import Hull
from soundness.random_networks import KINDS, random_steps

Reals = NDArray[np.float64]
ROWS, FEATURES = 6, 4


@dataclass(frozen=True)
class Drawn:
    """Hulls of ``ROWS x FEATURES`` random ranges, and the graph of the function on each range."""

    operator: Staircase
    hull: Hull
    graphs: list[list[tuple[Reals, Reals]]]
    random: np.random.Generator

    def multipliers(self) -> tuple[torch.Tensor, torch.Tensor]:
        """``v`` and ``s`` on a grid of eighths, so that everything computed from them is exact; zeros included."""
        scale = float(self.random.choice([1, 8, 800]))
        v = np.rint(self.random.normal(0, 1, (ROWS, FEATURES)) * scale) / 8
        s = np.rint(self.random.normal(0, 1, (ROWS, FEATURES)) * scale * self.random.choice([0.05, 0.5, 2])) / 8
        v[self.random.random(v.shape) < 0.15] = 0
        s[self.random.random(s.shape) < 0.15] = 0
        return torch.from_numpy(v), torch.from_numpy(s)


def draw(kind: str, seed: int) -> Drawn:
    random = np.random.default_rng([seed, KINDS.index(kind)])
    steps = random_steps(random, kind, random.integers(-30, 31, (50, FEATURES)))
    low = random.integers(-40, 40, (ROWS, FEATURES))
    high = low + random.integers(0, 30, (ROWS, FEATURES)) * random.integers(0, 2, (ROWS, FEATURES))
    graphs = []
    for row in range(ROWS):
        of_row = []
        for feature in range(FEATURES):
            a = np.arange(low[row, feature], high[row, feature] + 1)
            image = steps.evaluate(np.repeat(a[:, None], FEATURES, 1))[:, feature]
            of_row.append((a.astype(float), image.astype(float)))
        graphs.append(of_row)
    operator = steps.operator()
    hull = operator.hull(torch.from_numpy(low).double(), torch.from_numpy(high).double())
    return Drawn(operator, hull, graphs, random)


def envelope(a: Reals, image: Reals, at: float) -> float:
    """The concave envelope at ``at``: the highest chord over it."""
    best = -np.inf
    for i in range(len(a)):
        for j in range(i, len(a)):
            if a[i] <= at <= a[j]:
                share = 0.0 if i == j else (at - a[i]) / (a[j] - a[i])
                best = max(best, image[i] + share * (image[j] - image[i]))
    return best


cases = pytest.mark.parametrize(("kind", "seed"), [(kind, seed) for kind in KINDS for seed in range(5)])


@cases
def test_conjugate_is_the_maximum_over_every_integer(kind: str, seed: int) -> None:
    drawn = draw(kind, seed)
    for _ in range(20):
        v, s = drawn.multipliers()
        got = drawn.hull.conjugate(v, s)
        assert torch.equal(got.value, v * got.image - s * got.argument)
        for row in range(ROWS):
            for feature in range(FEATURES):
                a, image = drawn.graphs[row][feature]
                values = float(v[row, feature]) * image - float(s[row, feature]) * a
                assert float(got.value[row, feature]) == values.max()
                if v[row, feature] != 0:
                    at = int(float(got.argument[row, feature]) - a[0])
                    assert a[at] == got.argument[row, feature]
                    assert image[at] == got.image[row, feature]


@cases
def test_slope_is_that_of_the_envelope(kind: str, seed: int) -> None:
    """The line of that slope that lies on the function touches its hull over the point."""
    drawn = draw(kind, seed)
    v, _ = drawn.multipliers()
    middle = torch.tensor([[(a[0] + a[-1]) / 2 for a, _ in of_row] for of_row in drawn.graphs])
    share = torch.from_numpy(drawn.random.random((ROWS, FEATURES)))
    width = torch.tensor([[a[-1] - a[0] for a, _ in of_row] for of_row in drawn.graphs])
    at = (middle - width / 2 + share * width).double()
    for point, slope in ((middle.double(), drawn.hull.slope(v)), (at, drawn.hull.slope(v, at))):
        for row in range(ROWS):
            for feature in range(FEATURES):
                a, image = drawn.graphs[row][feature]
                sign = 1.0 if v[row, feature] >= 0 else -1.0
                t, c = float(point[row, feature]), float(slope[row, feature])
                line = (sign * (image - c * a)).max() + sign * c * t
                assert line >= envelope(a, sign * image, t) - 1e-9
                assert line <= envelope(a, sign * image, t) + 1e-4


@cases
def test_height_is_that_of_the_envelope(kind: str, seed: int) -> None:
    drawn = draw(kind, seed)
    v, _ = drawn.multipliers()
    share = torch.from_numpy(drawn.random.choice([0.0, 0.3, 0.5, 1.0], (ROWS, FEATURES)))
    ends = torch.tensor([[[a[0], a[-1]] for a, _ in of_row] for of_row in drawn.graphs]).double()
    at = torch.lerp(ends[..., 0], ends[..., 1], share)
    height = drawn.hull.height(v, at)
    for row in range(ROWS):
        for feature in range(FEATURES):
            a, image = drawn.graphs[row][feature]
            sign = 1.0 if v[row, feature] >= 0 else -1.0
            expected = envelope(a, sign * image, float(at[row, feature]))
            assert abs(sign * float(height[row, feature]) - expected) <= 1e-4


@cases
def test_superlevel_leaves_nothing_out(kind: str, seed: int) -> None:
    drawn = draw(kind, seed)
    for _ in range(10):
        v, s = drawn.multipliers()
        best = drawn.hull.conjugate(v, s).value
        cut = best - torch.from_numpy(np.rint(drawn.random.exponential(5, (ROWS, FEATURES)) * 8) / 8)
        low, high = drawn.hull.superlevel(v, s, cut)
        for row in range(ROWS):
            for feature in range(FEATURES):
                a, image = drawn.graphs[row][feature]
                inside = a[float(v[row, feature]) * image - float(s[row, feature]) * a >= float(cut[row, feature])]
                assert len(inside)
                assert low[row, feature] <= inside.min() + 1e-9
                assert high[row, feature] >= inside.max() - 1e-9


@cases
def test_superlevel_above_the_maximum_is_crossed(kind: str, seed: int) -> None:
    drawn = draw(kind, seed)
    v, s = drawn.multipliers()
    low, high = drawn.hull.superlevel(v, s, drawn.hull.conjugate(v, s).value + 0.125)
    assert (low > high).all()


@cases
def test_rows_can_be_taken(kind: str, seed: int) -> None:
    drawn = draw(kind, seed)
    v, s = drawn.multipliers()
    whole = drawn.hull.conjugate(v, s)
    for rows in (torch.tensor([4, 1, 1]), torch.arange(ROWS) % 2 == 0, torch.arange(0)):
        part = drawn.hull.take(rows).conjugate(v[rows], s[rows])
        assert torch.equal(part.value, whole.value[rows])


@cases
def test_splitting_covers_the_range_and_shrinks_the_hull(kind: str, seed: int) -> None:
    """No integer is lost between the halves, and each half is short of a level."""
    drawn = draw(kind, seed)
    ends = torch.tensor([[[a[0], a[-1]] for a, _ in of_row] for of_row in drawn.graphs]).double()
    low, high = ends[..., 0], ends[..., 1]
    split = drawn.operator.split_point((low + high) / 2, low, high)
    flat = drawn.operator.evaluate(low) == drawn.operator.evaluate(high)
    assert torch.equal(torch.isnan(split), flat)
    below = drawn.operator.below(split)
    assert torch.equal((below + 1)[~flat], split[~flat])
    assert (low <= below)[~flat].all() and (split <= high)[~flat].all()
    image_low, image_high = drawn.operator.evaluate(low), drawn.operator.evaluate(high)
    assert (drawn.operator.evaluate(torch.where(flat, low, below)) < image_high)[~flat].all()
    assert (drawn.operator.evaluate(torch.where(flat, low, split)) > image_low)[~flat].all()
