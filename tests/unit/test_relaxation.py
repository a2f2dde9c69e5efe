"""A graph on regions: what is made of it belongs to its rows."""

from __future__ import annotations

import torch

from netproof.bounds.region import Region, box_region
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.operators.activations.clip import Clip
from netproof.operators.affine.linear import Linear
from netproof.operators.hulls.hull import PolygonHull
from netproof.operators.hulls.kink_hull import KinkHull


def clipped() -> Graph:
    builder = GraphBuilder(Arithmetic.REAL, (1,))
    at = builder.add("linear", Linear(torch.ones(1, 1).double(), torch.zeros(1).double()), builder.input)
    builder.add("clip", Clip(0.0, 1.0), at)
    return builder.build()


def boxes(*ends: tuple[float, float]) -> Region:
    low, high = torch.tensor(ends, dtype=torch.float64).T[..., None]
    return box_region(clipped(), low, high)


def corners(relaxation: Relaxation) -> list[list[float]]:
    (hull,) = relaxation.hulls
    assert isinstance(hull, PolygonHull)
    return hull.upper_argument[..., 0].T.tolist()


def test_hulls_of_rows_are_those_of_the_whole_however_they_are_taken():
    # Made for its own sake the second row would have the hull of a ReLU.
    region = boxes((-1.0, 2.0), (-1.0, 0.5), (0.5, 3.0))
    relaxation = Relaxation(clipped(), region)
    assert isinstance(Relaxation(clipped(), region.take(torch.tensor([1]))).hulls[0], KinkHull)
    known = Relaxation(clipped(), region)
    expected = corners(known)
    for whole in (relaxation, known):
        assert len(whole) == 3
        assert corners(whole.take(torch.tensor([1]))) == expected[1:2]
        twice = whole.take(torch.tensor([2, 1])).take(torch.tensor([False, True]))
        assert len(twice) == 1 and corners(twice) == expected[1:2]
        between = whole.take(torch.tensor([2, 1]))
        assert corners(between) == [expected[2], expected[1]]
        assert corners(between.take(torch.tensor([0]))) == [expected[2]]


def test_in_another_dtype_everything_is():
    light = Relaxation(clipped(), boxes((-1.0, 2.0))).to(torch.float32)
    assert light.graph.activation(2) is not None and light.region.lower.dtype == torch.float32
    (hull,) = light.hulls
    assert isinstance(hull, PolygonHull) and hull.upper_argument.dtype == torch.float32
    assert light.graph.evaluate(torch.ones(1, 1)).dtype == torch.float32


def test_several_are_one():
    graph = clipped()
    parts = [
        Relaxation(graph, boxes((-1.0, 2.0), (-2.0, 0.5))).take(torch.tensor([0])),
        Relaxation(graph, boxes((0.0, 9.0))),
    ]
    both = Relaxation.concatenate(parts)
    assert len(both) == 2 and both.graph is graph
    assert [corners(part)[0] for part in parts] == corners(both)
