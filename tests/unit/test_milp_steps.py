"""One staircase as rows: its points and no others, and nothing but its convex hull without integrality."""

from __future__ import annotations

import numpy as np
import pytest

from netproof.exact.milp.steps import Levels, StepEncoding, encode_steps
from netproof.solvers.highs.model import Model, ModelBuilder, Solution, Status
from netproof.solvers.highs.worker import Request, solve

#: equidistant with short, long and one-sided ends; jumps; one threshold; repeated ones; a wide range
STAIRCASES = [
    ([0, 4, 8, 12], 0, -3, 14),
    ([0, 4, 8, 12], -2, -9, 30),
    ([0, 4, 8, 12], 5, -9, 13),
    ([0, 4, 8, 12], 5, -1, 29),
    ([0, 4, 8, 12], 5, 1, 14),
    ([0, 4, 8, 12, 16, 20], 1, 3, 17),
    ([0, 1, 2, 3], 0, -5, 9),
    ([0, 1, 2, 3], 0, 0, 3),
    ([5], 7, 1, 8),
    ([5], 7, 4, 5),
    ([2, 2, 2, 6], 0, 0, 9),
    ([-3, 1, 2, 2, 9, 10, 11], -4, -8, 15),
    ([-3, 1, 2, 2, 9, 10, 11], -4, 2, 10),
    ([1, 3, 8], 0, -2, 12),
]


def value(thresholds: list[int], base: int, a: float) -> int:
    return base + sum(t <= a for t in thresholds)


def program(
    case: tuple[list[int], int, int, int], argument: tuple[float, float], image: tuple[float, float], cost: float
):
    """The staircase with its argument and its value confined; minimizes ``cost`` times the value."""
    thresholds, base, low, high = case
    builder = ModelBuilder()
    a = builder.column(low, high)
    steps = StepEncoding.within(np.array(thresholds, float), float(base), float(low), float(high))
    levels = encode_steps(builder, steps, a)
    builder.row([a], [1.0], *argument)
    builder.row([levels.value], [1.0], *image)
    model = builder.build()
    model.cost[levels.value] = cost
    return model, levels


def ask(model: Model, *, relaxed: bool = False) -> Solution:
    return solve(Request(model, relaxed, 10.0))


@pytest.mark.parametrize("case", STAIRCASES, ids=str)
def test_the_points_are_those_of_the_function(case):
    thresholds, base, low, high = case
    top = base + len(thresholds)
    for a in range(low, high + 1):
        for h in range(base - 1, top + 2):
            model, _ = program(case, (a, a), (h, h), 0.0)
            wanted = Status.OPTIMAL if h == value(thresholds, base, a) else Status.INFEASIBLE
            assert ask(model).status is wanted, (a, h)


@pytest.mark.parametrize("case", STAIRCASES, ids=str)
def test_without_integrality_the_hull_is_left(case):
    thresholds, base, low, high = case
    x = np.arange(low, high + 1)
    y = np.array([value(thresholds, base, a) for a in x])
    for at in np.linspace(low, high, 2 * (high - low) + 1):
        chords = [
            y[i] + (y[j] - y[i]) * (at - x[i]) / max(x[j] - x[i], 1)
            for i in range(len(x))
            for j in range(i, len(x))
            if x[i] <= at <= x[j] and (x[i] < x[j] or x[i] == at)
        ]
        for cost, wanted in ((-1.0, max(chords)), (1.0, min(chords))):
            model, levels = program(case, (at, at), (-np.inf, np.inf), cost)
            solution = ask(model, relaxed=True)
            assert solution.point is not None
            assert solution.point[levels.value] == pytest.approx(wanted, abs=1e-6), at


@pytest.mark.parametrize("case", STAIRCASES, ids=str)
def test_distance_from_the_hull(case):
    thresholds, base, low, high = case
    steps = StepEncoding.within(np.array(thresholds, float), float(base), float(low), float(high))
    for at in np.linspace(low, high, 9):
        for image in np.linspace(base - 1, base + len(thresholds) + 1, 7):
            ends = []
            for cost in (-1.0, 1.0):
                model, levels = program(case, (at, at), (-np.inf, np.inf), cost)
                solution = ask(model, relaxed=True)
                assert solution.point is not None
                ends.append(solution.point[levels.value])
            wanted = max(image - ends[0], ends[1] - image, 0.0)
            assert steps.distance(float(at), float(image)) == pytest.approx(wanted, abs=1e-6)


def test_which_form_is_chosen():
    def levels(thresholds: list[int], low: int, high: int) -> Levels:
        return program((thresholds, 0, low, high), (-np.inf, np.inf), (-np.inf, np.inf), 0.0)[1]

    assert levels([0, 4, 8, 12], -9, 30).binaries == ()
    assert len(levels([0, 4, 8, 12], 1, 10).binaries) == 2
    assert len(levels([0, 4, 8, 13], -9, 30).binaries) == 4
    assert len(levels([0, 4, 4, 8], -9, 30).binaries) == 3


@pytest.mark.parametrize("case", STAIRCASES, ids=str)
def test_parts_and_values(case):
    thresholds, base, low, high = case
    steps = StepEncoding.within(np.array(thresholds, float), float(base), float(low), float(high))
    assert (steps.at(low), steps.top) == (value(thresholds, base, low), value(thresholds, base, high))
    for start in range(low, high + 1):
        part = steps.part(float(start), float(high))
        assert (part.base, part.top) == (value(thresholds, base, start), steps.top)
        assert steps.at(start) == part.base
