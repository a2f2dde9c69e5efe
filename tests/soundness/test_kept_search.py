"""The search that stood best is gone on with for its own case alone: what it refutes says nothing of the others."""

from __future__ import annotations

import time

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
from netproof.search.real.rounds import Rounds
from soundness.real_networks import evaluate, random_graph, rational


@pytest.mark.parametrize("is_attained", [True, False])
def test_a_kept_search_that_refutes_its_case_leaves_the_others(is_attained):
    generator = torch.Generator().manual_seed(7)
    graph = random_graph(generator, (4, 8, 8, 2))
    center = torch.randn(4, generator=generator).double()
    region = refine_ranges(graph, box_region(graph, (center - 0.3)[None], (center + 0.3)[None]))
    output = evaluate(graph, rational(center))[-1][0]
    # The first case is refuted; the second one holds at the centre, or nowhere.
    cases = [
        Conjunction(torch.tensor([[1.0, 0.0]]).double(), torch.tensor([threshold], dtype=torch.float64))
        for threshold in (1e3, float_below(output) if is_attained else 1e4)
    ]
    problem = Problem(graph, Conditions.of(graph, tuple(cases)), None, 1 << 28)
    rounds = Rounds(problem)
    kept = ReluSplit(problem, SignDual.of(graph, region), Rounding.of(graph, region), rounds._solver)
    rounds._kept = kept, 0
    with rounds._solver:
        # Left open by a search without time.
        kept.run(torch.tensor([0]), 0.0)
        found = rounds._go_on(region, torch.tensor([0, 1]), time.monotonic() + (0.5 if is_attained else 60.0))
    assert (found.verdict is Verdict.UNSAT) is not is_attained
    assert found.left is None or 1 in found.left.tolist()
