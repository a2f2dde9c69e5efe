"""Small boxes, evaluated point by point."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from netproof.bounds.region import Region
from netproof.certificate.checker.check import check
from netproof.certificate.make import certificate_of
from netproof.effort.integer import INTEGER
from netproof.query import Conjunction, Query, Verdict
from netproof.search.integer.points import MOST_POINTS, all_points, points_in
from netproof.search.verify import verify
from netproof.settings import Settings


def box(lower: list[int], upper: list[int]) -> Region:
    return Region(torch.tensor([lower]).double(), torch.tensor([upper]).double(), (), ())


@pytest.mark.parametrize(("lower", "upper"), [([0], [0]), ([-1, 2], [1, 2]), ([0, 5, -3], [3, 6, -1])])
def test_all_points_once(lower, upper):
    region = box(lower, upper)
    points = [tuple(p) for p in all_points(region).long().tolist()]
    expected = set(itertools.product(*(range(low, high + 1) for low, high in zip(lower, upper, strict=True))))
    assert set(points) == expected and len(points) == len(expected) == points_in(region)


def test_counting_stops_where_it_is_too_many():
    assert points_in(box([0] * 400, [255] * 400)) > MOST_POINTS


@pytest.mark.parametrize("odd", [True, False])
def test_a_search_on_a_small_box_ends_by_evaluating_it(odd, monkeypatch):
    """Parity: no bound can tell, and a search would come down to single points."""
    from soundness.random_networks import Layer, RandomNetwork

    monkeypatch.setattr("netproof.search.integer.engine.INTEGER", replace(INTEGER, long=4))
    weight = np.full((1, 5), 2, dtype=np.int64)
    net = RandomNetwork((Layer(weight, np.array([0]), None),), np.zeros(5, dtype=int), np.full(5, 3))
    sum_ = 15.0 if odd else 14.0
    condition = Conjunction(torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([sum_, -sum_]).double())
    query = Query(net.network(), torch.zeros(5).double(), torch.full((5,), 3.0).double(), (condition,))
    result = verify(query, Settings(proofs=True, attack=False))
    assert result.verdict is (Verdict.UNSAT if odd else Verdict.SAT)
    if odd:
        assert result.method == "enumeration"
        assert check(certificate_of(query, result), query.network).points == 1
