"""Better multipliers for rows of certificates: their slope, that they only get better, and that halves begin where the whole stood."""

from __future__ import annotations

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import Evaluation, Objective
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.real.contents import CROWN
from netproof.certificate.real.grown.grow import begun
from netproof.certificate.real.grown.rows import Wish
from netproof.certificate.real.grown.seeds import Claim
from netproof.certificate.real.grown.steps import Descent
from soundness.real_evidence import perceptron, residual
from soundness.real_pairs import paired, some_pairs
from soundness.real_planes import added, some_planes

NETWORKS = {
    "perceptron": (lambda rng: perceptron(rng, (4, 9, 9, 9, 2)), 4, 0.6),
    "residual": (lambda rng: residual(rng, normalized=False), 32, 0.3),
}


@pytest.fixture(params=[*NETWORKS, "planes", "pairs"])
def posed(request):
    """A descent, three equal cells with halves of two features, and objectives on them; with planes above a perceptron's ReLUs."""
    make, inputs, radius = NETWORKS[request.param if request.param in NETWORKS else "perceptron"]
    rng = np.random.default_rng(5)
    evaluation = Evaluation(read_network(make(rng), inputs, Float64(), "n"), Float64())
    center = rng.normal(size=inputs)
    root = evaluation.derive(evaluation.root(center - radius, center + radius), CROWN)
    cells = root.take(np.zeros(3, np.int64))
    split = np.zeros((3, sum(evaluation.network.sizes)), np.bool_)
    begin = np.cumsum([0, *evaluation.network.sizes])
    features = [
        int(np.flatnonzero((low[0] < 0) & (high[0] > 0))[0]) for low, high in zip(root.low, root.high, strict=True)
    ]
    for row, k in ((1, 0), (2, len(features) - 1)):
        cells.low[k][row, features[k]] = 0.0
        split[row, begin[k] + features[k]] = True
    last = len(evaluation.network.nodes) - 1
    c = rng.normal(size=(1, evaluation.network.nodes[last].size)).repeat(3, 0)
    planes = {}
    if request.param == "planes":
        planes = added(evaluation, root, some_planes(rng, evaluation.network, root, good=True)).named(1, 0)
    if request.param == "pairs":
        planes = paired(evaluation, root, some_pairs(rng, evaluation, root, good=True)).named(0, 1)
    return Descent(evaluation, planes), root, cells, Objective({last: c}, np.zeros(3)), split


def test_slopes_of_the_bound_are_those_of_differences(posed):
    descent, _, cells, objective, split = posed
    rng = np.random.default_rng(1)
    start = descent.started(cells, objective, None)
    # Away from kinks, where the bound is smooth.
    slope = np.clip(start.slope + rng.uniform(-0.4, 0.4, start.slope.shape), 0.05, 0.95)
    added = np.where(split, rng.normal(size=start.slope.shape), 0.0)
    found, excess = descent._moved(cells, objective, slope, added)
    low, high = (np.concatenate(part, 1) for part in (cells.low, cells.high))
    below = (low < 0) & (high > 0) & (found.arriving < 0)
    assert below.sum() > 5
    for row, feature in np.argwhere(below | split).tolist():
        for step in (1e-6, -1e-6):
            moved = [slope.copy(), added.copy()]
            moved[int(split[row, feature])][row, feature] += step
            value = descent._at(cells, objective, *moved).value[row]
            by = excess[row, feature] * (1.0 if split[row, feature] else found.arriving[row, feature])
            assert value - found.value[row] == pytest.approx(by * step, rel=1e-3, abs=2e-10)


def test_bounds_get_better_and_are_the_checkers(posed):
    descent, _, cells, objective, split = posed
    start = descent.started(cells, objective, None)
    found = descent.run(cells, objective, start, split)
    assert (found.value <= start.value).all() and (found.value < start.value - 1e-3).any()
    assert (found.added[~split] == 0).all() and ((found.slope >= 0) & (found.slope <= 1)).all()
    plain = descent.refutations(cells, np.arange(3), objective, None, {**descent._planes, **descent._pairs})
    assert start.value == pytest.approx(plain, abs=1e-9)


def test_halves_begin_with_the_bound_of_the_whole(posed):
    descent, root, cells, objective, _ = posed
    one = np.array([0])
    found = descent.run(
        cells.take(one),
        objective.take(one),
        descent.started(cells.take(one), objective.take(one), None),
        np.zeros_like(posed[4][:1]),
    )
    low, high = (np.concatenate([x[0] for x in part]) for part in (root.low, root.high))
    sizes = descent.network.sizes
    begin = np.cumsum([0, *sizes])
    every = np.arange(begin[-1])
    whole = Wish(np.ones(1), False, every, found.slope[0], found.added[0])
    above = Claim(0, None, wish=whole, found=(found.arriving[0], found.handed[0]))
    worse = 0
    for number in np.flatnonzero((low < 0) & (high > 0)).tolist():
        k = int(np.searchsorted(begin, number, side="right")) - 1
        for which in (0, 1):
            wish = begun(above, number, which)
            half = root.take(one)
            (half.high, half.low)[which][k][0, number - begin[k]] = 0.0
            value = descent._at(half, objective.take(one), wish.slope[None], wish.added[None]).value[0]
            assert value <= found.value[0] + 1e-9
            plain = descent._at(half, objective.take(one), wish.slope[None], np.zeros_like(wish.added[None])).value[0]
            worse += plain > found.value[0] + 1e-6
    # Without what is added there, a half is bounded worse than the whole now and then.
    assert worse


def test_what_an_objective_does_not_come_to_is_left_alone(posed):
    """Of the inputs alone: no ReLU is on the way, whatever took part in the bound before."""
    descent, root, cells, objective, split = posed
    descent.run(cells, objective, descent.started(cells, objective, None), split, 1)
    c = np.ones((1, descent.network.inputs))
    inputs, none = Objective({0: c}, np.zeros(1)), np.zeros_like(split[:1])
    found = descent.run(root, inputs, descent.started(root, inputs, None), none, 2)
    assert found.value[0] == pytest.approx(root.upper.sum()) and not found.arriving.any()
    assert not np.isnan(found.handed).any()
