"""When boxes are given up, and when they are worth more time."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from netproof import Verdict
from netproof.bounds.boxes import refine_with_account
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.region import box_region
from netproof.conditions.conditions import Conditions
from netproof.effort.real import BOX
from netproof.graph.budget import Budget
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.linear import Linear
from netproof.query import Conjunction
from netproof.search import tree
from netproof.search.real import input_split
from netproof.search.real.input_split import InputSplit
from netproof.search.real.problem import Problem


def tent(threshold: float, cases: int = 1):
    """``-|x0| + 0.001 |x1|`` is at least a threshold, on the square ``[-1, 1]``."""
    weight = torch.tensor([[1.0, 0], [-1.0, 0], [0, 1.0], [0, -1.0]], dtype=torch.float64)
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    at = builder.add("in", Linear(weight, torch.zeros(4, dtype=torch.float64)), builder.input)
    at = builder.add("relu", ReLU(), at)
    out = torch.tensor([[-1.0, -1.0, 0.001, 0.001]], dtype=torch.float64)
    builder.add("out", Linear(out, torch.zeros(1, dtype=torch.float64)), at)
    graph = builder.build()
    one = torch.ones(1, 2, dtype=torch.float64)
    region = box_region(graph, -one, one)
    condition = (Conjunction(torch.ones(1, 1, dtype=torch.float64), torch.tensor([threshold], dtype=torch.float64)),)
    constraints = Conditions.of(graph, condition * cases)
    return InputSplit(Problem(graph, constraints, None, 1 << 20)), region


def count_looks(monkeypatch):
    """A clock that counts how often it is looked at: the machine's own says nothing about the work that was done."""
    looks = itertools.count().__next__
    monkeypatch.setattr(input_split, "time", SimpleNamespace(monotonic=looks))
    monkeypatch.setattr(tree, "clock", SimpleNamespace(now=looks))


@pytest.mark.parametrize("patience", [0.0, math.inf])
def test_boxes_that_do_not_close_are_given_up(patience, monkeypatch):
    search, region = tent(0.0)  # met at the origin: boxes around it stay open for ever
    case = torch.zeros(1, dtype=torch.int64)
    count_looks(monkeypatch)
    found = search.run(region, case, 1e9 if patience == 0.0 else 60, patience)
    if patience == 0.0:
        assert found.verdict is Verdict.UNKNOWN and found.reason == "boxes do not close" and found.subproblems == 0
    else:
        assert found.verdict in {Verdict.TIMEOUT, Verdict.UNKNOWN} and found.subproblems > 10
    assert found.left is not None and found.left.tolist() == [0]


def test_boxes_that_close_go_on(monkeypatch):
    monkeypatch.setattr("netproof.search.real.input_split.BOX", replace(BOX, worth=0.0))
    search, region = tent(0.0011)
    assert search.run(region, torch.zeros(1, dtype=torch.int64), time.monotonic() + 600.0, 0.0).verdict is Verdict.UNSAT


def test_batches_are_small_where_there_are_many_cases(monkeypatch):
    """Every case of every box is bounded side by side, and so for the halves that are tried out."""
    bounded, tensors = input_split.box_lines, []

    def watched(relaxation, objective, rounding):
        tensors.append(8 * 4 * len(relaxation) * objective.constant.shape[1])
        return bounded(relaxation, objective, rounding)

    monkeypatch.setattr(input_split, "box_lines", watched)
    most = 8 * 4 * 300 * 7
    monkeypatch.setattr(input_split, "BOX", replace(input_split.BOX, bounded=Budget(most)))
    count_looks(monkeypatch)
    search, region = tent(0.0, cases=300)
    assert search.run(region, torch.arange(300), 60).verdict in {Verdict.TIMEOUT, Verdict.UNKNOWN}
    assert len(tensors) > 20 and max(tensors) <= most


@pytest.mark.parametrize(("share", "own"), [(1e-8, False), (0.0, True)])
def test_parts_have_accounts_of_their_own_where_rounding_counts(share, own, monkeypatch):
    seen = []

    def refined(graph, region, known=None):
        seen.append(known)
        return refine_with_account(graph, region, known)

    monkeypatch.setattr(input_split, "refine_with_account", refined)
    monkeypatch.setattr(input_split, "BOX", replace(input_split.BOX, negligible=share))
    count_looks(monkeypatch)
    search, region = tent(0.0)
    whole = Rounding.of(search._graph, region)
    assert not search.run(region, torch.zeros(1, dtype=torch.int64), 60).verdict.decided
    assert len(seen) > 1
    if own:
        assert all(known is None for known in seen)
    else:
        assert all(known is not None and known.total_magnitude == whole.total_magnitude for known in seen)
