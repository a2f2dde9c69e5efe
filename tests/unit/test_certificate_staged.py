"""Ranges of a search that a maker of certificates takes over: where a sample agrees with the checker, and then a little wider."""

from __future__ import annotations

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import Cells, Evaluation
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.real.contents import CROWN, FORMS
from netproof.certificate.real.grown import staged as tool
from onnx_models import model, node

_INPUTS = 3


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Two layers of 20 ReLUs each, most of them open."""
    random = np.random.default_rng(3)
    weights = {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in {"a": (_INPUTS, 20), "b": (20, 20), "c": (20, 2)}.items()
    }
    nodes = [
        node("MatMul", ["x", "a"], ["p"]), node("Relu", ["p"], ["q"]), node("MatMul", ["q", "b"], ["r"]),
        node("Relu", ["r"], ["s"]), node("MatMul", ["s", "c"]),
    ]  # fmt: skip
    data = model(nodes, (1, _INPUTS), weights).SerializeToString()
    return Evaluation(read_network(data, _INPUTS, Float64(), "n"), Float64())


@pytest.fixture(scope="module")
def root(evaluation) -> Cells:
    return evaluation.root(np.full(_INPUTS, -1.0), np.full(_INPUTS, 1.0))


@pytest.fixture(scope="module")
def whole(evaluation, root) -> Cells:
    return evaluation.derive(root, CROWN)


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """No linear forms, every neuron compared, however few are open."""
    monkeypatch.setattr(tool, "FEW_INPUTS", _INPUTS - 1)
    monkeypatch.setattr(tool, "_MANY", 1)
    monkeypatch.setattr(tool, "_SAMPLE", 1000)


def known_of(cells: Cells) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(low[0].copy(), high[0].copy()) for low, high in zip(cells.low, cells.high, strict=True)]


def taken(evaluation, root, known) -> Cells:
    arrays = {"stage": []}
    found = tool.staged(evaluation, root, arrays, known)
    assert arrays["stage"] == [CROWN]
    return found


def same(one: Cells, two: Cells) -> bool:
    return all((a == b).all() for a, b in zip((*one.low, *one.high), (*two.low, *two.high), strict=True))


def test_few_inputs_have_linear_forms_first(evaluation, root, monkeypatch):
    monkeypatch.setattr(tool, "FEW_INPUTS", _INPUTS)
    arrays = {"stage": []}
    found = tool.staged(evaluation, root, arrays)
    assert arrays["stage"] == [FORMS, CROWN]
    assert same(found, evaluation.derive(evaluation.derive(root, FORMS), CROWN))


def test_what_is_known_is_used_where_enough_is_open(evaluation, root, whole, monkeypatch):
    is_open = sum(int(((low < 0) & (high > 0)).sum()) for low, high in zip(root.low, root.high, strict=True))
    known = known_of(whole)
    assert is_open > 30 and same(taken(evaluation, root, ()), whole)
    monkeypatch.setattr(tool, "_MANY", is_open)
    assert not same(taken(evaluation, root, known), whole)
    monkeypatch.setattr(tool, "_MANY", is_open + 1)
    assert same(taken(evaluation, root, known), whole)


def test_only_open_neurons_count(evaluation, monkeypatch):
    center = np.array([0.5, -0.3, 0.7])
    root = evaluation.root(center - 0.3, center + 0.3)
    whole = evaluation.derive(root, CROWN)
    is_open = sum(int(((low < 0) & (high > 0)).sum()) for low, high in zip(root.low, root.high, strict=True))
    assert is_open < 35
    monkeypatch.setattr(tool, "_MANY", is_open + 1)
    assert same(taken(evaluation, root, known_of(whole)), whole)
    monkeypatch.setattr(tool, "_MANY", is_open)
    assert not same(taken(evaluation, root, known_of(whole)), whole)


def test_whoever_waits_is_asked_on_the_way(evaluation, root, whole):
    looks = []
    watched = Evaluation(evaluation.network, evaluation.numbers, lambda: looks.append(0))
    assert not same(taken(watched, root, known_of(whole)), whole)
    assert len(looks) >= len(evaluation.network.nodes) - 1


def test_it_is_made_wider_by_a_share_of_what_a_value_can_be(evaluation, root, whole):
    found = taken(evaluation, root, known_of(whole))
    for k, operand in enumerate(evaluation.operands):
        is_open = (whole.low[k] < 0) & (whole.high[k] > 0)
        wider = 2.0**-26 * root.size[operand]
        low, high = np.maximum(root.low[k], whole.low[k] - wider), np.minimum(root.high[k], whole.high[k] + wider)
        assert is_open.sum() > 10
        assert (abs(found.low[k] - low)[is_open] <= 2.0**-40).all()
        assert (abs(found.high[k] - high)[is_open] <= 2.0**-40).all()
        # And never wider than the ranges before.
        assert (found.low[k] >= root.low[k]).all() and (found.high[k] <= root.high[k]).all()


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize(("share", "close"), [(2.0**-36, True), (2.0**-30, False), (-(2.0**-4), True)])
def test_ends_that_the_checker_does_not_come_to_are_not_used(evaluation, root, whole, end, share, close):
    """In the last layer, of one neuron, either end: within the rounding, beyond it, and wider than need be."""
    (_, _), (low, high) = known_of(whole)
    is_open = (low < -0.1) & (high > 0.1) & (root.low[1][0] < low - 0.5) & (root.high[1][0] > high + 0.5)
    j = int(np.flatnonzero(is_open)[0])
    moved = share * float(np.broadcast_to(root.size[evaluation.operands[1]], root.low[1].shape)[0, j])
    assert abs(moved) < 4
    known = known_of(whole)
    known[1][end][j] += moved if end == 0 else -moved
    found = taken(evaluation, root, known)
    assert same(found, whole) == (not close)
    if share < 0:  # what was known is used, even where it is worse
        ends = (found.low[1], found.high[1])[end][0, j], (whole.low[1], whole.high[1])[end][0, j]
        assert abs(ends[0] - ends[1]) > 2.0**-10


def test_a_sign_is_left_as_the_rule_leaves_it(evaluation):
    """Where a search knows that a ReLU is on or off, which ranges before did not, the other end is that of these."""
    center = np.array([0.5, -0.3, 0.7])
    root = evaluation.root(center - 0.3, center + 0.3)
    whole = evaluation.derive(root, CROWN)
    found = taken(evaluation, root, known_of(whole))
    assert not same(found, whole)
    off, on = (
        ((root.low[1] < 0) & (root.high[1] > 0) & closed)[0] for closed in (whole.high[1] <= 0, whole.low[1] >= 0)
    )
    assert off.any() and on.any()
    assert (found.low[1][0, off] == root.low[1][0, off]).all()
    assert (found.high[1][0, on] == root.high[1][0, on]).all()
    # Also where a search went on after that, which the rule does not.
    further = known_of(whole)
    further[1][0][off], further[1][1][on] = further[1][0][off] / 2, (further[1][0] + further[1][1])[on] / 2
    assert same(taken(evaluation, root, further), found)
    # A search may know a sign that the rule does not find: nothing is claimed by it.
    known = known_of(whole)
    low, high = known[1]
    j = int(np.flatnonzero((low < 0) & (high > 0))[0])
    for side in (0, 1):
        other = [known[0], (low.copy(), high.copy())]
        other[1][side][j] = 0.0
        assert same(taken(evaluation, root, other), whole)


def test_a_first_layer_that_disagrees_ends_it(evaluation, root, whole, monkeypatch):
    known = known_of(whole)
    open_ones = np.flatnonzero((known[0][0] < 0) & (known[0][1] > 0))
    known[0][1][open_ones] /= 2
    assert same(taken(evaluation, root, known), whole)
    # Of all that is known a sample is compared, of those that stay open as of those that were.
    monkeypatch.setattr(tool, "_SAMPLE", 4)
    assert same(taken(evaluation, root, known), whole)
    monkeypatch.setattr(tool, "_SAMPLE", 0)
    assert not same(taken(evaluation, root, known), whole)
