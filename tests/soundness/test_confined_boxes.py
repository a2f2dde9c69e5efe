"""Boxes that lose ends: of lines whose numbers differ by many orders of magnitude, in fractions, and of lines that overflow."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest
import torch

from netproof import Verdict
from netproof.bounds.region import Region, box_region
from netproof.conditions.conditions import Conditions
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.linear import Linear
from netproof.query import Conjunction
from netproof.search.real.input_split import InputSplit, _confined
from netproof.search.real.problem import Problem


def above(value: Fraction) -> float:
    near = float(value)
    return near if Fraction(near) >= value else float(np.nextafter(near, np.inf))


def numbers(rng: np.random.Generator, shape: tuple[int, ...], spread: float, scale: float = 1.0) -> np.ndarray:
    return np.asarray(rng.normal(size=shape) * 10.0 ** (spread * (rng.random(shape) - 0.5)) * scale)


@pytest.mark.parametrize("scale", [1.0, 2.0**-1040, 2.0**900])
@pytest.mark.parametrize("seed", range(8))
def test_points_that_meet_a_case_stay_to_the_last_digit(seed: int, scale: float) -> None:
    """The points tried are the ends that are left: one step farther out, and where exactly lines are 0."""
    rng = np.random.default_rng(seed)
    boxes, cases, width, inputs = 12, 2, 1 + seed % 3, 1 + seed % 4
    lower = numbers(rng, (boxes, inputs), 16.0, scale)
    upper = lower + abs(numbers(rng, (boxes, inputs), 16.0, scale))
    upper[::3] = np.nextafter(lower[::3], np.inf)
    upper[1::5, 0] = lower[1::5, 0]
    slopes = numbers(rng, (boxes, cases, width, inputs), 16.0)
    slopes[rng.random(slopes.shape) < 0.2] = 0.0
    value = np.zeros((boxes, cases, width))
    exact: dict[tuple[int, int, int], Fraction] = {}
    for b, c, m in np.ndindex(value.shape):
        # A bound that is a part of what the line changes by over the box, and that is rounded up.
        over = sum(Fraction(abs(s)) * Fraction(w) for s, w in zip(slopes[b, c, m], upper[b] - lower[b], strict=True))
        exact[b, c, m] = over * Fraction(rng.random() ** 3)
        value[b, c, m] = above(exact[b, c, m])
    is_open = rng.random((boxes, cases)) < 0.7
    box = Region(torch.tensor(lower), torch.tensor(upper), (), ())
    region, left = _confined(box, torch.tensor(is_open), torch.tensor(slopes), torch.tensor(value))
    ends = region.lower.numpy(), region.upper.numpy()
    tried = 0
    for b in range(boxes):
        low, high = ([Fraction(x) for x in side[b].tolist()] for side in (lower, upper))

        def line(
            c: int, m: int, x: list[Fraction], b: int = b, low: list[Fraction] = low, high: list[Fraction] = high
        ) -> Fraction:
            found = exact[b, c, m]
            for s, at, first, last in zip(slopes[b, c, m].tolist(), x, low, high, strict=True):
                found -= abs(Fraction(s)) * ((last - at) if s > 0 else (at - first))
            return found

        for c in range(cases):
            # Where the lines of a case are largest, and from there along one input up to where a line is 0.
            for m, i in np.ndindex(width, inputs):
                corner = [h if s > 0 else lo for s, lo, h in zip(slopes[b, c, m].tolist(), low, high, strict=True)]
                slope = Fraction(float(slopes[b, c, m, i]))
                if slope == 0:
                    continue
                moved = corner[i] - exact[b, c, m] / slope
                corner[i] = min(max(moved, low[i]), high[i])
                if not is_open[b, c] or any(line(c, other, corner) < 0 for other in range(width)):
                    continue
                tried += 1
                assert bool(left[b, c])
                for at, first, last in zip(corner, ends[0][b].tolist(), ends[1][b].tolist(), strict=True):
                    assert Fraction(first) <= at <= Fraction(last)
    assert tried > 10 and bool((left <= torch.tensor(is_open)).all())
    assert (ends[0] >= lower).all() and (ends[1] <= upper).all()


@pytest.mark.parametrize(
    ("slope", "value"),
    [(torch.inf, torch.inf), (-torch.inf, torch.inf), (torch.nan, torch.inf), (torch.inf, 1.0), (1.0, torch.inf)],
)
def test_lines_that_overflow_cut_nothing(slope: float, value: float) -> None:
    one = torch.ones(1, 1, dtype=torch.float64)
    region, left = _confined(Region(-one, one, (), ()), one[0].bool()[None], slope * one[None, None], value * one[None])
    assert bool(left.all()) and float(region.lower) == -1.0 and float(region.upper) == 1.0


def test_what_is_met_behind_slopes_that_overflow_is_not_refuted() -> None:
    """``1e315 (x - c)`` and ``1e315 (d - x)`` are both above 0 for half of a box of the size 1e-260."""
    eye = torch.eye(2, dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.float64)
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    ends = torch.tensor([-0.125e-260, 0.625e-260], dtype=torch.float64)
    at = builder.add("ends", Linear(torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64), ends), builder.input)
    for k, factor in enumerate((1e160, 1e155)):
        at = builder.add(f"large{k}", Linear(factor * eye, zero), at)
    at = builder.add("bent", ReLU(), at)
    builder.add("out", Linear(eye, zero), at)
    graph = builder.build()
    top = torch.full((1, 2), 1e-260, dtype=torch.float64)
    condition = [Conjunction(eye, torch.ones(2, dtype=torch.float64))]
    search = InputSplit(Problem(graph, Conditions.of(graph, condition), None, 1 << 20))
    region = box_region(graph, 0 * top, top)
    found = search.run(region, torch.zeros(1, dtype=torch.int64), time.monotonic() + 60)
    assert found.verdict is not Verdict.UNSAT
