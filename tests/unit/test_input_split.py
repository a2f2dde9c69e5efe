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
from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.region import Region, box_region
from netproof.bounds.relaxation import Relaxation
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


@pytest.mark.parametrize("seed", range(10))
def test_no_point_that_meets_a_case_is_cut_off(seed):
    """Of lines of whole numbers, points that meet all lines of an open case stay, and what no case can meet goes."""
    generator = torch.Generator().manual_seed(seed)
    boxes, cases, width, inputs = 6, 2, 1 + seed % 3, 2 + seed % 3
    lower = torch.randint(-4, 1, (boxes, inputs), generator=generator).double()
    upper = lower + torch.randint(0, 5, (boxes, inputs), generator=generator).double()
    slopes = torch.randint(-3, 4, (boxes, cases, width, inputs), generator=generator).double()
    largest = torch.where(slopes > 0, upper[:, None, None], lower[:, None, None])
    value = torch.randint(0, 9, (boxes, cases, width), generator=generator).double() / 4
    constant = value - (slopes * largest).sum(-1)
    is_open = torch.rand(boxes, cases, generator=generator) < 0.7
    region, left = input_split._confined(Region(lower, upper, (), ()), is_open, slopes, value)
    assert bool((left <= is_open).all())
    assert bool((region.lower >= lower).all()) and bool((region.upper <= upper).all())
    t = torch.rand(2000, 1, inputs, generator=generator, dtype=torch.float64)
    t[::2] = (t[::2] * 4).round() / 4
    x = lower + t * (upper - lower)
    lines = torch.einsum("bcmn,sbn->sbcm", slopes, x) + constant
    met = (lines >= 0).all(-1) & is_open
    inside = ((x >= region.lower) & (x <= region.upper)).all(-1)
    assert bool((inside | ~met.any(-1)).all()) and not bool((met & ~left).any())
    # A case of one line that is met at one end only leaves a part of the box.
    row, _ = (is_open & (value == 0).any(-1)).nonzero(as_tuple=True)
    alone = is_open.sum(1)[row] == 1
    for box in row[alone].tolist():
        if bool((upper > lower)[box].all()) and bool((slopes[box].abs() > 0).all()):
            assert not bool(left[box].any()) or bool((region.upper - region.lower)[box].amax() < 1e-9)


def test_what_cases_share_is_bounded_once():
    """Two cases of two constraints, one of which both have: three that differ, each in its place."""
    outputs = torch.tensor([[[1.0], [2.0]], [[2.0], [3.0]]], dtype=torch.float64)
    threshold = torch.tensor([[0.5, 1.0], [1.0, 1.5]], dtype=torch.float64)
    condition = [Conjunction(c, t) for c, t in zip(outputs, threshold, strict=True)]
    search, region = tent(0.0)
    graph = search._graph
    search = InputSplit(Problem(graph, Conditions.of(graph, condition), None, 1 << 20))
    assert search._different.shape == (3, graph.output.size + 1)
    rounding = Rounding.of(graph, region)
    lines = search._lines(Relaxation(graph, region), rounding)
    assert lines.value.shape == (1, 4) and lines.coefficients.shape == (1, 4, 2)
    single = Conditions.of(graph, condition).single(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1]))
    expected = crown_lines(Relaxation(graph, region), single, rounding).value
    assert torch.allclose(lines.value[0], expected, rtol=1e-12, atol=1e-12)


def test_constraints_of_one_case_have_shares_of_their_own_size():
    """A constraint a thousand times as steep as the other one of its case does not choose the split by that."""
    slopes = torch.tensor([[[[1000.0, 0.0, 500.0], [0.0, 1.0, 0.75]]]], dtype=torch.float64)
    reach = input_split._reach(slopes, torch.ones(1, 3, dtype=torch.float64))
    assert int(reach[0, 0].argmax()) == 2
    one = input_split._reach(slopes[:, :, :1], torch.ones(1, 3, dtype=torch.float64))
    assert torch.allclose(one[0, 0], slopes[0, 0, 0])
    assert not bool(input_split._reach(0 * slopes, torch.ones(1, 3, dtype=torch.float64)).any())
