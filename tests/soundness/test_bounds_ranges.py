"""Ranges hold every point they must: intervals, tightening, reduction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netproof.bounds.deciding.exact import evaluate_exact
from netproof.bounds.dual import crown, evaluate_dual
from netproof.bounds.multipliers.interior import has_interior_solver
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.reduce import cuts_hold, reduce_ranges
from netproof.bounds.ranges.tighten import tighten_by_program, tighten_ranges
from netproof.bounds.region import Region, box_region, node_intervals, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from soundness.random_networks import KINDS, floats, random_network
from soundness.regions import random_multipliers, random_objective, random_situation

seeds = pytest.mark.parametrize("seed", range(3))
NETWORKS = 25


@seeds
def test_intervals_hold_every_value(seed: int) -> None:
    random = np.random.default_rng([1, seed])
    for _ in range(NETWORKS):
        at = random_situation(random)
        for values, interval in zip(at.nodes, node_intervals(at.graph, at.region), strict=True):
            low, high = (end.expand(len(at.region), -1).numpy()[:, None] for end in interval)
            within = ((values[None] >= low) & (values[None] <= high)).all(-1)
            assert (within | ~at.inside).all()


@seeds
def test_propagation_loses_no_point_and_empties_only_what_is_empty(seed: int) -> None:
    random = np.random.default_rng([2, seed])
    for _ in range(NETWORKS):
        at = random_situation(random)
        region = propagate_intervals(at.graph, at.region)
        assert (at.holds(region) == at.inside).all()
        assert not at.inside[region.empty().numpy()].any()
        for before, after in zip(at.region.range_lower, region.range_lower, strict=True):
            assert (after >= before).all()
        for before, after in zip(at.region.range_upper, region.range_upper, strict=True):
            assert (after <= before).all()


@seeds
def test_intervals_of_the_first_layer_are_attained(seed: int) -> None:
    """A sum of independent terms: its interval is exactly its image's hull."""
    random = np.random.default_rng([3, seed])
    for _ in range(NETWORKS):
        net = random_network(random, layers=1)
        x = net.points()
        low, high = node_intervals(
            net.graph(), box_region(net.graph(), floats(net.lower)[None], floats(net.upper)[None])
        )[1]
        first = net.nodes(x)[1]
        assert (low[0].numpy() == first.min(0)).all()
        assert (high[0].numpy() == first.max(0)).all()


@seeds
@pytest.mark.parametrize("last", [True, False])
def test_tightening_loses_no_point(seed: int, last: bool) -> None:
    random = np.random.default_rng([4, seed])
    tighter = 0
    for _ in range(NETWORKS):
        at = random_situation(random, layers=int(random.integers(2, 4)), final="any" if last else "general")
        before = propagate_intervals(at.graph, at.region)
        kept = (~before.empty()).nonzero()[:, 0]
        after = tighten_ranges(at.graph, before.take(kept), last=last)
        assert (at.holds(after) == at.inside[kept.numpy()]).all()
        for old, new in zip(before.take(kept).range_upper, after.range_upper, strict=True):
            assert (new <= old).all()
            tighter += int((new < old).sum())
    assert tighter > 0


@pytest.mark.parametrize("seed", range(3))
def test_tightening_by_program_loses_no_point(seed: int) -> None:
    random = np.random.default_rng([5, seed])
    tighter = 0
    for _ in range(20):
        at = random_situation(random, rows=1, layers=int(random.integers(2, 4)), final="general")
        before = propagate_intervals(at.graph, at.region)
        if before.empty().any() or not has_interior_solver(at.graph):
            continue
        after = tighten_by_program(at.graph, before)
        assert (at.holds(after) == at.inside).all()
        tighter += sum(int((n < o).sum()) for o, n in zip(before.range_upper, after.range_upper, strict=True))
    assert tighter > 0


@seeds
def test_tightening_with_a_requirement_loses_no_point_that_meets_it(seed: int) -> None:
    """The requirement is an objective on the last pre-activations that few points meet."""
    random = np.random.default_rng([10, seed])
    tighter = 0
    for _ in range(30):
        at = random_situation(random, rows=1, final=str(random.choice(["shift", "shared", "general"])))
        region = propagate_intervals(at.graph, at.region)
        if region.empty().any() or not at.inside.any():
            continue
        operand = len(at.graph.nodes) - 2
        coefficients = random.integers(-2, 3, (1, at.graph.output.size))
        value = at.nodes[operand] @ coefficients[0]
        asked = value[at.inside[0]].max() - int(random.integers(0, 3))
        required = Objective({operand: floats(coefficients)}, torch.tensor([-float(asked)], dtype=torch.float64))
        after = tighten_by_program(at.graph, region, required)
        meets = at.inside & (value >= asked)
        assert (at.holds(after) | ~meets).all()
        tighter += sum(int((n < o).sum()) for o, n in zip(region.range_upper, after.range_upper, strict=True))
    assert tighter > 0


@seeds
@pytest.mark.parametrize("kind", [*KINDS, "any"])
def test_reduction_loses_no_point_that_meets_the_objective(seed: int, kind: str) -> None:
    """The objective asks for nearly the maximum, so that there is something to cut off."""
    random = np.random.default_rng([6, seed])
    cuts = 0
    for _ in range(NETWORKS):
        at = random_situation(random, kinds=KINDS if kind == "any" else [kind])
        if not at.graph.activations:
            continue
        objective = random_objective(random, at)
        largest = at.largest(objective)
        asked = np.where(np.isfinite(largest), largest - random.integers(0, 3, len(largest)), 0)
        objective.constant[:] -= torch.from_numpy(asked)
        meets = at.inside & (at.objective(objective) >= 0)
        relaxation = Relaxation(at.graph, at.region)
        start = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
        for multipliers in (start.s, tuple(random_multipliers(random, at))):
            point, _ = evaluate_exact(relaxation, objective, multipliers)
            region = reduce_ranges(point)
            assert (at.holds(region) | ~meets).all()
            cuts += _cuts(at.region, region)
    assert cuts > 10 or kind == "constant"


@pytest.mark.parametrize("seed", range(3))
def test_what_is_said_to_be_cut_off_meets_nothing(seed: int) -> None:
    """Any smaller ranges, also those that nobody would propose: where they are said to hold, all points that meet the objective are in them."""
    random = np.random.default_rng([11, seed])
    held = refused = 0
    for _ in range(NETWORKS):
        at = random_situation(random, rows=24, layers=int(random.integers(1, 3)))
        if not at.graph.activations:
            continue
        objective = random_objective(random, at)
        largest = at.largest(objective)
        asked = np.where(np.isfinite(largest), largest + random.integers(-2, 2, len(largest)), 0)
        objective.constant[:] -= torch.from_numpy(asked)
        meets = at.inside & (at.objective(objective) >= 0)
        relaxation = Relaxation(at.graph, at.region)
        point, _ = evaluate_exact(
            relaxation, objective, evaluate_dual(relaxation, objective, crown(relaxation.hulls)).s
        )
        ends = [list(at.region.range_lower), list(at.region.range_upper)]
        proposed = reduce_ranges(point)
        k = int(random.integers(len(at.graph.activations)))
        for side, parts in ((0, proposed.range_lower), (1, proposed.range_upper)):
            # About what is proposed: an end that is one further goes too far, mostly.
            step = torch.from_numpy(random.choice([0, 0, 1, 2], parts[k].shape)).double() * (1 - 2 * side)
            only = torch.from_numpy(random.random(parts[k].shape) < 0.5)
            ends[side][k] = torch.where(
                only, (parts[k] + step).clamp(at.region.range_lower[k], at.region.range_upper[k]), ends[side][k]
            )
        holds = cuts_hold(point, *ends).numpy()
        region = Region(at.region.lower, at.region.upper, tuple(ends[0]), tuple(ends[1]))
        assert (at.holds(region) | ~meets)[holds].all()
        held, refused = held + int(holds.sum()), refused + int((~holds).sum())
    assert min(held, refused) > 20, (held, refused)


def _cuts(before: Region, after: Region) -> int:
    """How many ends moved; none may move outwards."""
    moved = 0
    for old, new in zip(before.range_lower, after.range_lower, strict=True):
        assert (new >= old).all()
        moved += int((new > old).sum())
    for old, new in zip(before.range_upper, after.range_upper, strict=True):
        assert (new <= old).all()
        moved += int((new < old).sum())
    return moved


def test_a_bound_that_is_not_known_to_be_exact_cuts_nothing() -> None:
    """``+inf`` says nothing about any feature."""
    random = np.random.default_rng(7)
    for _ in range(30):
        at = random_situation(random)
        if not at.graph.activations:
            continue
        objective = random_objective(random, at)
        relaxation = Relaxation(at.graph, at.region)
        multipliers = [m * 1e25 for m in random_multipliers(random, at, (1.0,))]
        point, _ = evaluate_exact(relaxation, objective, multipliers)
        assert torch.isinf(point.value).all()
        assert _cuts(at.region, reduce_ranges(point)) == 0


def test_crossed_intervals_are_empty_and_others_are_not() -> None:
    random = np.random.default_rng(8)
    for _ in range(30):
        at = random_situation(random)
        assert not at.region.empty().any()
        crossed = Region(at.region.lower, at.region.lower - 1, at.region.range_lower, at.region.range_upper)
        assert crossed.empty().all()
        for k, low in enumerate(at.region.range_lower):
            row = int(random.integers(len(at.region)))
            high = at.region.range_upper[k].clone()
            high[row, -1] = low[row, -1] - 1
            assert at.region.with_range(k, low, high).empty().nonzero().tolist() == [[row]]


def test_rows_can_be_taken_and_put_together() -> None:
    random = np.random.default_rng(9)
    for _ in range(40):
        at = random_situation(random)
        size = len(at.region)
        rows = torch.from_numpy(random.integers(0, size, 5))
        assert (at.holds(at.region.take(rows)) == at.inside[rows.numpy()]).all()
        mask = torch.from_numpy(random.random(size) < 0.5)
        assert len(at.region.take(mask)) == int(mask.sum())
        parts = [at.region.take(rows), at.region.take(mask), at.region.take(torch.arange(0)), at.region]
        whole = Region.concatenate(parts)
        expected = np.concatenate([at.inside[rows.numpy()], at.inside[mask.numpy()], at.inside])
        assert len(whole) == len(expected)
        assert (at.holds(whole) == expected).all()
