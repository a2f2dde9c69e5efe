"""Squares, roots, norms and products that touch 0: strictly below it there is nothing, at it and next to it there may be."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from netproof import Conjunction, Query, Settings, Verdict, verify
from netproof.bounds.rational.images import Images, _largest, _times
from netproof.bounds.region import box_region
from netproof.certificate.real.make import evidence_of
from netproof.errors import NoEvidenceError
from netproof.formats.load import load
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.curves.exponentials import Exp, Softplus
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.pairs.product import Product
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.sum import Sum
from netproof.search.real import decide, touch
from netproof.search.real.touch import refuted_by_images
from onnx_models import model, node
from soundness.real_evidence import property_text
from soundness.real_networks import affine, double, network_of, points, rational

#: what is at least 0, with operands that are next to it for some inputs
KINDS = {
    "square": [Power(2.0)],
    "fourth": [Power(4.0)],
    "root": [Abs(), Power(0.5)],
    "abs": [Abs()],
    "exp": [Exp()],
    "sigmoid": [Sigmoid()],
    "softplus": [Softplus()],
    "product": [ReLU(), Product()],
}
#: those of which values at 0 are 0
TOUCHING = ("square", "fourth", "root", "abs", "product")


def graph_of(kind, *, weight=1.0, scale=1.0, size=2, roundings=0, bias=0.0):
    """``y = weight * f(scale * x)``, feature by feature, and the sum of all."""
    builder = GraphBuilder(Arithmetic.REAL, (size,))
    at = builder.add("scaled", Linear(scale * torch.eye(size).double(), double([0.0] * size)), builder.input)
    for number, operator in enumerate(KINDS[kind]):
        at = builder.add(f"act {number}", operator, at)
    rows = weight * torch.cat([torch.eye(size), torch.ones(1, size)]).double()
    builder.add("out", Linear(rows, double([bias] * (size + 1)), roundings), at)
    return builder.build()


def query(graph, rows, thresholds, strict):
    """One conjunction over a box around 0."""
    size = graph.input.size
    condition = Conjunction(double(rows), double(thresholds), None, torch.tensor(strict))
    return Query(network_of(graph), double([-1.0] * size), double([1.0] * size), (condition,))


def is_refuted(graph, *condition):
    """Whether images refute a conjunction, as they do at the root, with time for it."""
    one = query(graph, *condition)
    region = box_region(graph, one.lower[None], one.upper[None])
    return refuted_by_images(one, graph, region, [0], math.inf) == [True]


def verdict(asked, *, timeout=600.0):
    """Without attacks."""
    return verify(asked, Settings(timeout=timeout, attack=False)).verdict


@pytest.mark.parametrize("size", [2, 12])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_strictly_below_what_is_attained(kind, size):
    for weight, scale in ((1.0, 1.0), (0.1, 300.0), (1e-30, 3.0)):
        graph = graph_of(kind, weight=weight, scale=scale, size=size)
        first, whole = ([-1.0] + [0.0] * size, [0.0] * size + [-1.0])
        for row in (first, whole):
            assert is_refuted(graph, [row], [0.0], [True])
            assert verdict(query(graph, [row], [0.0], [True])) is Verdict.UNSAT
        # Where the other constraint can be met as well as where it cannot.
        assert is_refuted(graph, [[1.0] + [0.0] * size, whole], [0.0, 0.0], [False, True])


@pytest.mark.parametrize("size", [2, 12])
@pytest.mark.parametrize("kind", TOUCHING)
def test_what_is_attained_at_0_is_not_refuted(kind, size):
    graph = graph_of(kind, weight=0.1, scale=3.0, size=size)
    row = [-1.0] + [0.0] * size
    # At the input 0 the value is 0: not strictly below it, but not above it either.
    assert not is_refuted(graph, [row], [0.0], [False])
    assert verdict(query(graph, [row], [0.0], [False]), timeout=0.3) is not Verdict.UNSAT
    assert verdict(query(graph, [row], [-1e-18], [True]), timeout=0.3) is not Verdict.UNSAT
    for above in (5e-324, 1e-300, 1e-18):
        assert not is_refuted(graph, [row], [-above], [True])
    assert not is_refuted(graph, [row, row], [0.0, -1e-18], [False, True])
    # With an offset that leaves the value 0 below the threshold, or at it.
    shifted = graph_of(kind, weight=0.1, scale=3.0, size=size, bias=-(2.0**-60))
    assert not is_refuted(shifted, [row], [0.0], [True])
    assert is_refuted(shifted, [row], [2.0**-60], [True])
    # A weight of the other sign.
    assert not is_refuted(graph_of(kind, weight=-0.1, size=size), [row], [0.0], [True])


def test_products_of_intervals():
    """Ends of products are products of ends, whatever the signs."""
    ends = [(Fraction(a), Fraction(b)) for a in range(-3, 4) for b in range(a, 4)]
    for one, other in itertools.product(ends, ends):
        low, high = _times(one, other)
        found = [a * b for a, b in itertools.product(one, other)]
        assert (low, high) == (min(found), max(found))
        assert _largest([(one, other), (other, one)]) == 2 * high


@pytest.mark.parametrize("kind", ["square", "cube", "fourth", "abs", "product"])
@pytest.mark.parametrize("roundings", [0, 1024])
def test_bounds_hold_values_in_fractions(kind, roundings):
    """Of weights that differ from the file's by as much as is said, at corners and at points of boxes that are attained."""
    function = {
        "square": lambda a, _: a * a,
        "cube": lambda a, _: a**3,
        "fourth": lambda a, _: a**4,
        "abs": lambda a, _: abs(a),
        "product": lambda a, b: max(a, Fraction(0)) * max(b, Fraction(0)),
    }[kind]
    off, error = Fraction(roundings, 2**53), 0.0 if roundings else 1e-9
    close = 0
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        size = 4
        builder = GraphBuilder(Arithmetic.REAL, (size,))
        weight = torch.randn(size, size, generator=generator).double()
        at = builder.add("in", Linear(weight, torch.randn(size, generator=generator).double()), builder.input)
        for number, operator in enumerate([Power(3.0)] if kind == "cube" else KINDS[kind]):
            at = builder.add(f"act {number}", operator, at)
        last = Linear(
            torch.randn(2, size, generator=generator).double(), double([0.25, -3.0]), roundings, double([error] * 2)
        )
        builder.add("out", last, at)
        graph = builder.build()
        center = torch.randn(1, size, generator=generator).double()
        radius = 0.0 if seed % 2 else 0.5
        region = box_region(graph, center - radius, center + radius)
        box = list(zip(rational(region.lower[0]), rational(region.upper[0]), strict=True))
        objective = {0: {1: Fraction(1, 3)}, len(graph.nodes) - 1: {0: Fraction(2), 1: Fraction(-7, 5)}}
        bound = Images(graph, region).bound(objective, Fraction(1, 7), box)
        assert bound is not None
        for x in points(region, generator, 4):
            values = affine(graph.nodes[1].operator, [rational(x)])
            images = [function(a, values[j ^ 1]) for j, a in enumerate(values)]
            for sign in (-1, 1):
                total = Fraction(1, 7) + Fraction(1, 3) * rational(x)[1]
                for c, row, b in zip((Fraction(2), Fraction(-7, 5)), last.weight, (0.25, -3.0), strict=True):
                    # The weights that make most of it, or least.
                    meant = [
                        Fraction(w) * (1 + (sign if c * Fraction(w) * h > 0 else -sign) * off)
                        for w, h in zip(row.tolist(), images, strict=True)
                    ]
                    total += c * (sum(map(Fraction.__mul__, meant, images)) + Fraction(b))
                    total += sign * abs(c) * Fraction(error)
                assert total <= bound
                close += bound - total < 1e-6
    assert close > 10


def test_what_goes_around_the_last_activation_counts():
    """``y = x^2 - |x|``: what the square gives is not below 0, what goes around it is."""
    builder = GraphBuilder(Arithmetic.REAL, (1,))
    at = builder.add("in", Linear(double([[1.0]]), double([0.0])), builder.input)
    first = builder.add("abs", Abs(), at)
    second = builder.add("square", Power(2.0), at)
    builder.add("out", Sum((-1, 1)), first, second)
    graph = builder.build()
    assert not is_refuted(graph, [[-1.0]], [0.0], [True])
    assert is_refuted(graph, [[-1.0]], [1.001], [True])
    region = box_region(graph, double([[-1.0]]), double([[1.0]]))
    last = len(graph.nodes) - 1
    found = Images(graph, region).bound({last: {0: Fraction(-1)}}, Fraction(0), [(Fraction(-1), Fraction(1))])
    assert Fraction(1) <= found < Fraction(1) + Fraction(1, 10**12)


def test_rounded_weights_keep_their_sign():
    """Whatever ``0.1`` was before it was rounded, ``0.1 h^2`` is at least 0; of ``h^2 - h^2`` nothing is known to the last digit."""
    for kind in TOUCHING:
        graph = graph_of(kind, weight=0.1, roundings=5)
        assert is_refuted(graph, [[-1.0, 0.0, 0.0]], [0.0], [True])
        assert not is_refuted(graph, [[1.0, 1.0, -1.0]], [0.0], [True])
        # At most 1.1 is attained if the weight was less before, more if it was more.
        assert not is_refuted(graph, [[1.0, 0.0, 0.0]], [0.1], [True])


def test_of_values_that_are_none_nothing_is_said():
    for continued in (True, False):
        builder = GraphBuilder(Arithmetic.REAL, (1,))
        at = builder.add("in", Linear(double([[1.0]]), double([0.0])), builder.input)
        builder.add("out", Linear(double([[1.0]]), double([0.0])), builder.add("root", Power(0.5, continued), at))
        graph = builder.build()
        region = box_region(graph, double([[-1.0]]), double([[1.0]]))
        box = [(Fraction(-1), Fraction(1))]
        found = Images(graph, region).bound({3: {0: Fraction(-1)}}, Fraction(0), box)
        assert found == (Fraction(0) if continued else None)


def test_ends_that_are_infinite_say_nothing():
    graph = graph_of("exp", size=1)
    region = box_region(graph, double([[-1.0]]), double([[1.0]]))
    box = [(Fraction(-1), Fraction(1))]
    for low, high, least, most in (
        (-math.inf, math.inf, Fraction(0), None),
        (-math.inf, 0.0, Fraction(0), Fraction(1)),
    ):
        part = replace(region, range_lower=(double([[low]]),), range_upper=(double([[high]]),))
        down, up = (Images(graph, part).bound({3: {0: Fraction(sign)}}, Fraction(0), box) for sign in (-1, 1))
        assert down == least and (up is None) is (most is None)
        assert most is None or most <= up < most + Fraction(1, 10**12)


def test_maps_with_too_many_numbers_have_no_bound(monkeypatch):
    from netproof.bounds.rational import bound, images

    graph = graph_of("square", size=4)
    region = box_region(graph, double([[-1.0] * 4]), double([[1.0] * 4]))
    box = [(Fraction(-1), Fraction(1))] * 4
    objective = {3: {4: Fraction(-1)}}
    assert Images(graph, region).bound(objective, Fraction(0), box) == 0
    for module in (images, bound):
        with monkeypatch.context() as patch:
            patch.setattr(module, "RATIONAL", replace(module.RATIONAL, numbers=3))
            assert Images(graph, region).bound(objective, Fraction(0), box) is None


def test_without_time_nothing_is_refuted(monkeypatch):
    monkeypatch.setattr(touch, "TOUCH", replace(touch.TOUCH, seconds=-1.0))
    assert not is_refuted(graph_of("square"), [[-1.0, 0.0, 0.0]], [0.0], [True])


def test_parts_of_large_networks_are_refuted_by_what_the_whole_gives(monkeypatch):
    monkeypatch.setattr(decide, "REAL", replace(decide.REAL, cropped_from=0, cropped=1.0))
    graph, row = graph_of("square", size=3), [-1.0, 0.0, 0.0, 0.0]
    assert verdict(query(graph, [row], [0.0], [True])) is Verdict.UNSAT
    assert verdict(query(graph, [row], [-1e-18], [True]), timeout=0.3) is not Verdict.UNSAT


def test_one_case_of_several_says_nothing_of_the_others():
    graph = graph_of("square", weight=0.1)
    row = [-1.0, 0.0, 0.0]
    cases = [Conjunction(double([row]), double([threshold]), None, torch.tensor([True])) for threshold in (0.0, -1e-18)]
    ends = double([-1.0] * 2), double([1.0] * 2)
    for some, is_unsat in ((cases, False), (cases[::-1], False), (cases[:1] * 2, True)):
        found = verdict(Query(network_of(graph), *ends, tuple(some)), timeout=600.0 if is_unsat else 0.3)
        assert (found is Verdict.UNSAT) is is_unsat


def test_products_have_the_signs_of_their_factors():
    ends = (
        (-2.0, -1.0),
        (-1.0, 0.0),
        (-1.0, 1.0),
        (0.0, 1.0),
        (1.0, 2.0),
        (0.0, 0.0),
        (5e-324, 1e-200),
        (-math.inf, 0.0),
    )
    product = Product()
    for x in ends:
        for y in ends:
            low, high = product.output_range(double([x[0], y[0]]), double([x[1], y[1]]))
            true = [Fraction(a) * Fraction(b) for a in x for b in y if math.isfinite(a) and math.isfinite(b)]
            is_positive = min(x[0], y[0]) >= 0 or max(x[1], y[1]) <= 0
            is_negative = (x[0] >= 0 and y[1] <= 0) or (x[1] <= 0 and y[0] >= 0)
            assert (float(low[0]) >= 0) is (is_positive or min(x[0] * y[0], x[0] * y[1], x[1] * y[0], x[1] * y[1]) > 0)
            assert (float(high[0]) <= 0) is is_negative
            assert all(Fraction(float(low[0])) <= t for t in true if math.isfinite(low[0]))
            assert all(t <= Fraction(float(high[0])) for t in true if math.isfinite(high[0]))


NODES = {
    "Pow": [node("Pow", ["h", "two"])],
    "Mul": [node("Mul", ["h", "h"])],
    "Sqrt": [node("Abs", ["h"], ["a"]), node("Sqrt", ["a"])],
    "ReduceL2": [node("ReduceL2", ["h", "axis"])],
    "variance": [
        node("ReduceMean", ["h", "axis"], ["m"]),
        node("Sub", ["h", "m"], ["d"]),
        node("Mul", ["d", "d"], ["s"]),
        node("ReduceMean", ["s", "axis"]),
    ],
}


def question_of(tmp_path, network, property_):
    (tmp_path / "n.onnx").write_bytes(network)
    (tmp_path / "p.vnnlib").write_bytes(property_)
    return read_vnnlib(tmp_path / "p.vnnlib").question(load(tmp_path / "n.onnx"))


@pytest.mark.parametrize("form", NODES)
def test_files_and_what_is_asked_of_them(form, tmp_path):
    """``Y_0 < 0`` holds nowhere, ``Y_0 <= 0`` at 0; no certificate is written of the former, and the result says so."""
    constants = {
        "w": np.array([[1.0, -2.0, 0.5], [0.25, 1.0, -1.0]], np.float32),
        "two": np.float32(2.0),
        "axis": np.array([1]),
    }
    nodes = [node("MatMul", ["x", "w"], ["h"]), *NODES[form]]
    network = model(nodes, (1, 2), constants, opset=18).SerializeToString()
    outputs = 1 if form in ("ReduceL2", "variance") else 3
    row = (-1.0, *[0.0] * (outputs - 1))
    property_ = property_text([-1.0, -1.0], [1.0, 1.0], outputs, [[(row, 0.0)]])
    question = question_of(tmp_path, network, property_)
    assert verify(question, Settings(timeout=20.0)).verdict is Verdict.SAT
    property_ = property_.replace(b"(and (>= ", b"(and (> ")
    question = question_of(tmp_path, network, property_)
    found = verify(question, Settings(timeout=600.0, proofs=True))
    assert found.verdict is Verdict.UNSAT
    with pytest.raises(NoEvidenceError, match="does not close"):
        evidence_of(network, property_, question, found)
