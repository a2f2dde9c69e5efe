"""Presolve and splits: smaller graphs are the same function, halves are a partition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netproof.bounds.dual import crown, evaluate_dual
from netproof.bounds.region import Region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.search.branching import Split, input_split, split_regions
from netproof.search.integer.presolve import presolve
from soundness.random_networks import floats
from soundness.regions import Situation, random_objective, random_situation

seeds = pytest.mark.parametrize("seed", range(6))


@seeds
def test_the_smaller_graph_is_the_same_function_on_the_region(seed: int) -> None:
    random = np.random.default_rng([1, seed])
    smaller = 0
    for _ in range(60):
        at = random_situation(random, rows=1)
        region = propagate_intervals(at.graph, at.region)
        if region.empty().any():
            continue
        outputs = torch.from_numpy(np.sort(random.choice(at.graph.output.size, random.integers(1, 3), replace=False)))
        solved = presolve(at.graph, region, outputs)
        x = floats(at.points[at.inside[0]])
        small = x[:, solved.kept[0]]
        assert torch.equal(solved.restore_input(small), x)
        for node, (values, kept) in enumerate(zip(solved.graph.values(small), solved.kept, strict=True)):
            assert values.shape[1] == solved.graph.nodes[node].size == len(kept)
            assert torch.equal(values, floats(at.nodes[node][at.inside[0]])[:, kept])
        assert torch.equal(solved.graph.evaluate(small), at.graph.evaluate(x)[:, outputs])
        # Its region holds the same points, and no others.
        for a, k in zip(solved.graph.activations, range(len(solved.sizes)), strict=True):
            value = solved.graph.values(small)[solved.graph.nodes[a].operands[0]]
            assert ((value >= solved.region.range_lower[k]) & (value <= solved.region.range_upper[k])).all()
        assert ((small >= solved.region.lower) & (small <= solved.region.upper)).all()
        smaller += sum(len(kept) < node.size for kept, node in zip(solved.kept, at.graph.nodes, strict=True))
    assert smaller > 50


@seeds
def test_what_is_dropped_does_not_loosen_the_bound(seed: int) -> None:
    """A bound of the smaller graph at multipliers of the whole one, those of dropped features 0, is the same."""
    random = np.random.default_rng([2, seed])
    for _ in range(30):
        at = random_situation(random, rows=1)
        region = propagate_intervals(at.graph, at.region)
        if region.empty().any():
            continue
        solved = presolve(at.graph, region, torch.arange(at.graph.output.size))
        s = [torch.from_numpy(random.normal(0, 1, tuple(r.shape))) for r in region.range_lower]
        for k, index in enumerate(at.graph.activations):
            dropped = torch.ones(s[k].shape[1], dtype=torch.bool)
            dropped[solved.kept[index]] = False
            s[k][:, dropped] = 0
        small = [m[:, solved.kept[i]] for m, i in zip(s, at.graph.activations, strict=True)]
        objective = random_objective(random, at)
        output = len(at.graph.nodes) - 1
        objective = type(objective)({output: objective.coefficients[output]}, objective.constant)
        whole = evaluate_dual(Relaxation(at.graph, region), objective, lambda k, v, s=s: s[k])
        part = evaluate_dual(Relaxation(solved.graph, solved.region), objective, lambda k, v, s=small: s[k])
        assert torch.allclose(whole.value, part.value)


def halves(at: Situation, region: Region, split: Split) -> None:
    both = at.holds(split_regions(at.graph, region, split))
    before = at.holds(region)
    lower, upper = both[: len(region)], both[len(region) :]
    assert ((lower | upper) == before).all()
    assert not (lower & upper).any()


@seeds
def test_halves_are_a_partition(seed: int) -> None:
    """Rows split at activations and at inputs, mixed, with a shared box and with boxes of their own."""
    random = np.random.default_rng([3, seed])
    for _ in range(40):
        at = random_situation(random)
        region = propagate_intervals(at.graph, at.region)
        region = region.take((~region.empty()).nonzero()[:, 0])
        rows = len(region)
        if not rows:
            continue
        k = random.integers(-1, len(at.graph.activations), rows)
        if random.random() < 0.3 and at.graph.activations:
            k = k.clip(0)
        low, high, feature = np.zeros(rows), np.zeros(rows), np.zeros(rows, np.int64)
        for row in range(rows):
            if k[row] < 0:
                ends = region.lower.expand(rows, -1)[row], region.upper.expand(rows, -1)[row]
            else:
                ends = region.range_lower[k[row]][row], region.range_upper[k[row]][row]
            feature[row] = random.integers(len(ends[0]))
            low[row], high[row] = (float(end[feature[row]]) for end in ends)
        point = torch.from_numpy(np.floor(low + random.random(rows) * (high - low)) + (low < high))
        halves(at, region, Split(torch.from_numpy(k), torch.from_numpy(feature), point))


@seeds
def test_input_splits_make_both_halves_smaller(seed: int) -> None:
    random = np.random.default_rng([4, seed])
    for _ in range(40):
        at = random_situation(random)
        relaxation = Relaxation(at.graph, at.region)
        objective = random_objective(random, at)
        point = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
        wide = ((at.region.lower < at.region.upper).any(-1).expand(len(at.region))).nonzero()[:, 0]
        region = at.region.take(wide)
        if not len(wide):
            continue
        split = input_split(region, point.take(wide))
        assert (split.k == -1).all()
        rows = torch.arange(len(wide))
        low = region.lower.expand(len(wide), -1)[rows, split.feature]
        high = region.upper.expand(len(wide), -1)[rows, split.feature]
        assert ((low < split.point) & (split.point <= high)).all()
        halves(at, region, split)
