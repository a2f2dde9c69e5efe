"""Staircases against their definitions, step by step in Python integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netproof.operators.activations.staircase import Staircase

quick = settings(deadline=None, derandomize=True, database=None, max_examples=80)


def staircase(thresholds: Sequence[Sequence[int]], base: Sequence[int]) -> Staircase:
    levels = len(thresholds[0])
    return Staircase(
        torch.tensor(thresholds, dtype=torch.float64).reshape(len(base), levels),
        torch.tensor(base, dtype=torch.float64),
    )


def count(thresholds: Sequence[int], a: float) -> int:
    return sum(1 for t in thresholds if t <= a)


def sorted_rows(channels: int, levels: int, reach: int) -> st.SearchStrategy[list[list[int]]]:
    row = st.lists(st.integers(-reach, reach), min_size=levels, max_size=levels).map(sorted)
    return st.lists(row, min_size=channels, max_size=channels)


@quick
@given(st.data(), st.integers(1, 3), st.integers(0, 6), st.integers(1, 2))
def test_value_is_base_plus_thresholds_passed(data: st.DataObject, channels: int, levels: int, each: int) -> None:
    thresholds = data.draw(sorted_rows(channels, levels, 20))
    base = data.draw(st.lists(st.integers(-9, 9), min_size=channels, max_size=channels))
    f = staircase(thresholds, base)
    a = torch.arange(-25, 26).double()[:, None].expand(-1, channels * each)
    got = f.evaluate(a)
    for row in range(len(a)):
        for feature in range(channels * each):
            channel = feature // each
            assert got[row, feature] == base[channel] + count(thresholds[channel], float(a[row, feature]))
    # Between integers too: a bound's maximizer need not be an integer.
    halves = f.evaluate(a - 0.5)
    for feature in range(channels * each):
        channel = feature // each
        expected = [base[channel] + count(thresholds[channel], float(e)) for e in (a - 0.5)[:, feature]]
        assert halves[:, feature].tolist() == expected


@quick
@given(st.integers(1, 1 << 40), st.integers(-(1 << 50), 1 << 50), st.integers(1, 20), st.data())
def test_equidistant_counting_is_exact_for_large_values(
    step: int, start: int, levels: int, data: st.DataObject
) -> None:
    step = min(step, (1 << 50) // levels)
    thresholds = [start + step * k for k in range(levels)]
    f = staircase([thresholds], [0])
    assert levels == 1 or f.step is not None
    at = data.draw(st.lists(st.integers(0, levels - 1), min_size=1, max_size=5))
    a = sorted({thresholds[k] + more for k in at for more in (-1, 0, 1)} | {-(1 << 51), (1 << 51) - 1})
    got = f.evaluate(torch.tensor(a, dtype=torch.float64)[:, None])[:, 0].tolist()
    assert got == [count(thresholds, e) for e in a]


@quick
@given(st.data(), st.integers(2, 12))
def test_general_counting_is_exact_near_the_limit(data: st.DataObject, levels: int) -> None:
    limit = 1 << 51
    thresholds = sorted(data.draw(st.lists(st.integers(limit - 40, limit), min_size=levels, max_size=levels)))
    f = staircase([thresholds], [-3])
    a = range(limit - 45, limit + 3)
    got = f.evaluate(torch.tensor(list(a), dtype=torch.float64)[:, None])[:, 0].tolist()
    assert got == [-3 + count(thresholds, e) for e in a]


@pytest.mark.parametrize("shift", range(10))
@pytest.mark.parametrize(("low", "high"), [(0, 63), (-32, 31), (-1, 0), (-8, 7), (0, 1)])
def test_fixed_point_is_the_floor_formula(shift: int, low: int, high: int) -> None:
    f = Staircase.fixed_point(shift, low, high)
    reach = (max(abs(low), high) + 2) << shift
    a = list(range(-reach, reach + 1, max(1, reach // 700)))
    # Every tie, and its neighbours: accumulators of an odd number of halves.
    a += [(k << shift) + (1 << shift) // 2 + more for k in range(low - 2, high + 2) for more in (-1, 0, 1)]
    got = f.evaluate(torch.tensor(a, dtype=torch.float64)[:, None])[:, 0].tolist()
    expected = [min(max(math.floor(Fraction(e, 1 << shift) + (Fraction(1, 2) if shift else 0)), low), high) for e in a]
    assert got == expected


def test_fixed_point_rounds_half_up_also_below_zero() -> None:
    f = Staircase.fixed_point(2, -8, 7)
    a = torch.tensor([-6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 6.0])
    # -1.5 goes up to -1 and -0.5 to 0, where rounding away from zero would give -2 and -1.
    assert f.evaluate(a.double()).tolist() == [-1, -1, -1, -1, 0, 0, 0, 1, 2]


def test_a_constant_has_no_thresholds() -> None:
    f = staircase([[], []], [4, -1])
    a = torch.tensor([[-1e9, 1e9], [0.0, 0.0]], dtype=torch.float64)
    assert f.evaluate(a).tolist() == [[4, -1], [4, -1]]
    assert f.levels == 0
    assert torch.isnan(f.split_point(a, a - 1, a + 1)).all()
    assert f.surrogate(a, 0.0).tolist() == [[4, -1], [4, -1]]
    assert f.surrogate_slope(a, 1.0).tolist() == [[0, 0], [0, 0]]


def test_only_equal_positive_gaps_are_equidistant() -> None:
    def step(*thresholds: Sequence[int]) -> list[float] | None:
        found = staircase(thresholds, [0] * len(thresholds)).step
        return None if found is None else found.tolist()

    assert step([1, 3, 5], [0, 7, 14]) == [2, 7]
    assert step([4]) == [1]
    assert step([1, 3, 6]) is None
    assert step([2, 2, 2]) is None
    assert step([1, 3, 5], [0, 7, 15]) is None
    assert step([]) is None


def test_decreasing_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="thresholds decrease"):
        staircase([[1, 2, 1]], [0])


@pytest.mark.parametrize(("thresholds", "base"), [((2, 3), (3,)), ((3,), (3,)), ((2, 3), (2, 1)), ((1, 2, 3), (1,))])
def test_thresholds_and_base_must_belong_together(thresholds: tuple[int, ...], base: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        Staircase(torch.zeros(thresholds), torch.zeros(base))


def test_channels_must_divide_the_features() -> None:
    f = staircase([[1, 2], [3, 4]], [0, 0])
    assert f.output_shape((2, 3)) == (2, 3)
    with pytest.raises(ValueError, match="2 channels do not divide 5 features"):
        f.output_shape((5,))


@quick
@given(st.data(), st.integers(1, 2), st.integers(1, 6))
def test_output_range_is_the_image(data: st.DataObject, channels: int, levels: int) -> None:
    f = staircase(data.draw(sorted_rows(channels, levels, 10)), [1] * channels)
    low = torch.tensor(data.draw(st.lists(st.integers(-14, 14), min_size=channels, max_size=channels))).double()
    high = low + torch.tensor(data.draw(st.lists(st.integers(0, 9), min_size=channels, max_size=channels))).double()
    bottom, top = f.output_range(low, high)
    for feature in range(channels):
        inside = torch.arange(int(low[feature]), int(high[feature]) + 1).double()[:, None].expand(-1, channels)
        image = f.evaluate(inside)[:, feature]
        assert (bottom[feature], top[feature]) == (image.min(), image.max())


@quick
@given(st.data(), st.integers(1, 3), st.integers(1, 6))
def test_selected_features_keep_their_function(data: st.DataObject, channels: int, levels: int) -> None:
    f = staircase(data.draw(sorted_rows(channels, levels, 10)), list(range(channels)))
    size = 2 * channels
    features = torch.tensor(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=size, unique=True)))
    a = torch.arange(-12, 13).double()[:, None].expand(-1, size)
    assert torch.equal(f.select(features, size).evaluate(a[:, features]), f.evaluate(a)[:, features])


@quick
@given(st.data(), st.integers(1, 2), st.integers(1, 6))
def test_split_points_shrink_both_halves(data: st.DataObject, channels: int, levels: int) -> None:
    """The point is a threshold inside the range, the nearest one, and each half has fewer levels."""
    thresholds = data.draw(sorted_rows(channels, levels, 10))
    f = staircase(thresholds, [0] * channels)
    low, width, near = (
        torch.tensor(data.draw(st.lists(st.integers(*ends), min_size=channels, max_size=channels))).double()
        for ends in ((-14, 12), (0, 20), (-20, 20))
    )
    high = low + width
    split = f.split_point(near, low, high)
    for c in range(channels):
        inside = [t for t in thresholds[c] if low[c] < t <= high[c]]
        if not inside:
            assert torch.isnan(split[c])
            continue
        # Each threshold stands between two integers: the steepest place is half a unit below it.
        distance = [abs(float(near[c]) - (t - 0.5)) for t in inside]
        assert int(split[c]) in inside
        assert abs(float(near[c]) - (float(split[c]) - 0.5)) == min(distance)
        assert low[c] <= f.below(split)[c] == split[c] - 1 < high[c]


@quick
@given(st.data(), st.integers(1, 2), st.integers(1, 6))
def test_surrogate_runs_from_a_ramp_to_the_steps(data: st.DataObject, channels: int, levels: int) -> None:
    thresholds = data.draw(sorted_rows(channels, levels, 10))
    f = staircase(thresholds, [2] * channels)
    a = (torch.arange(-30, 31) / 2).double()[:, None].expand(-1, channels)
    steps = f.evaluate(a)
    assert torch.equal(f.surrogate(a, 1.0), steps)
    for hardness in (0.0, 0.3, 0.9):
        soft = f.surrogate(a, hardness)
        assert ((soft >= 2) & (soft <= 2 + levels)).all()
        distinct = [row for row in range(channels) if len(set(thresholds[row])) == levels]
        # A jump is wider than a ramp's one level; elsewhere ramp and steps differ by at most one level.
        assert ((soft - steps)[:, distinct].abs() <= 1 + 1e-9).all()
        assert (soft[1:] - soft[:-1] >= -1e-9)[:, distinct].all()


def test_ramp_passes_through_the_middles_of_the_steps() -> None:
    f = Staircase.fixed_point(2, 0, 5)
    a = torch.arange(0, 21).double()
    # Step k covers 4k-2 .. 4k+1; its middle is 4k - 1/2.
    assert f.surrogate(a - 0.5, 0.0).tolist() == (a / 4).clamp(0, 5).tolist()


@quick
@given(st.data(), st.integers(1, 6), st.floats(0, 6))
def test_surrogate_slopes_are_finite_and_never_downhill(data: st.DataObject, levels: int, widening: float) -> None:
    f = staircase(data.draw(sorted_rows(1, levels, 10)), [0])
    a = torch.arange(-100, 101).double()[:, None]
    slope = f.surrogate_slope(a, widening)
    assert torch.isfinite(slope).all() and (slope >= 0).all()
    # Inside, between the outermost thresholds, there is always something to follow.
    inside = (a >= f.thresholds.min()) & (a <= f.thresholds.max())
    assert (slope[inside] > 0).all()


def test_empty_batches_are_fine() -> None:
    """A batch may lose its last row; every form of staircase must bear it."""
    none = torch.zeros(0, 4, dtype=torch.float64)
    for f in (Staircase.fixed_point(2, 0, 7), staircase([[0, 1, 5]] * 4, [0] * 4), staircase([[0, 5, 6]] * 2, [0, 1])):
        assert f.evaluate(none).shape == (0, 4)
        assert f.split_point(none, none, none).shape == (0, 4)
        assert f.surrogate(none, 0.5).shape == (0, 4)
        assert f.hull(none, none).conjugate(none, none).value.shape == (0, 4)


def test_description_says_levels_and_kind() -> None:
    assert Staircase.fixed_point(9, -32, 31).describe() == "64 levels in [-32, 31], equidistant thresholds"
    assert "general" in staircase([[0, 1, 5]], [0]).describe()
