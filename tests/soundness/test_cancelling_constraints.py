"""Conjunctions whose constraints nearly cancel, all met at one point that is known in fractions: no search over signs refutes them.

Their mixtures are sums of which little but rounding is left, so that a bound of one is worth no more than its error term. With a third
constraint that says next to nothing weights are thirds at first, whose products are rounded.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from netproof import Conjunction, Verdict
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import box_region
from netproof.conditions.conditions import Conditions
from netproof.property import float_below
from netproof.search.real.problem import Problem
from netproof.search.real.relu_split import ReluSplit
from soundness.real_networks import evaluate, random_graph, rational


@pytest.mark.parametrize("radius", [0.0, 1e-12])
def test_constraints_that_cancel_and_hold_at_a_point_are_not_refuted(radius):
    for seed in range(12):
        generator, random = torch.Generator().manual_seed(seed), np.random.default_rng([5, seed])
        graph = random_graph(generator, (2, 3, 3, 2), residual=seed % 2 == 1)
        center = torch.randn(2, generator=generator).double()
        x, c = rational(center), random.normal(size=2)
        rows = np.array([c, -c + random.normal(size=2) * 2.0**-52, [0.0, 0.0]]) * 1e30
        y = evaluate(graph, x)[-1]
        met = [sum((Fraction(a) * b for a, b in zip(row, y, strict=True)), Fraction(0)) for row in rows.tolist()]
        thresholds = torch.tensor([float_below(value) for value in met], dtype=torch.float64)
        region = refine_ranges(graph, box_region(graph, (center - radius)[None], (center + radius)[None]))
        condition = Conditions.of(graph, (Conjunction(torch.tensor(rows), thresholds),))
        problem = Problem(graph, condition, None, 1 << 28)
        search = ReluSplit(problem, SignDual.of(graph, region), Rounding.of(graph, region))
        assert search.run(torch.arange(1), math.inf, 1).verdict is not Verdict.UNSAT, seed
