"""Targets and the first several classes, against every input of small boxes, and against points of real ones."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

import netproof
from conftest import classify, random_layers, write_keras_h5
from netproof.errors import QueryError
from netproof.search.radius import largest_radius

GOALS = [*({"target": k} for k in range(5)), *({"top": k} for k in (1, 2, 3, 4))]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    layers = random_layers((3, 6, 5), seed=9)
    path = write_keras_h5(tmp_path_factory.mktemp("goals") / "net.h5", layers)
    return netproof.load(path)


def ranks(outputs, label):
    """How many outputs come before the label's, ``[N]``: larger ones, and equal ones of a smaller index."""
    own = outputs[:, label : label + 1]
    return ((outputs > own) | ((outputs == own) & (np.arange(outputs.shape[1]) < label))).sum(1)


@pytest.mark.parametrize("goal", GOALS, ids=str)
def test_integer_goals_by_trying_every_input(small, goal):
    random = np.random.default_rng(3)
    seen = set()
    for _ in range(16):
        image, radius = random.integers(0, 256, 3), int(random.integers(1, 13))
        steps = np.arange(-radius, radius + 1)
        box = (image + np.stack(np.meshgrid(*[steps] * 3), -1).reshape(-1, 3)).clip(0, 255)
        outputs = small.graph.evaluate(torch.tensor(box, dtype=torch.float64)).numpy()
        own = small.graph.evaluate(torch.tensor(image[None], dtype=torch.float64)).numpy()
        label = int(own[0].argmax())
        if goal.get("target") == label:
            with pytest.raises(QueryError, match="is the label itself"):
                netproof.robustness(small, image, label, radius, **goal)
            continue
        result = netproof.verify(netproof.robustness(small, image, label, radius, **goal))
        found = outputs.argmax(1) == goal["target"] if "target" in goal else ranks(outputs, label) >= goal["top"]
        assert result.verdict.value == ("sat" if found.any() else "unsat")
        if result.witness is not None:
            at = result.witness.input.numpy()
            assert np.abs(at - image).max() <= radius
            y = result.witness.output.numpy()
            assert y.argmax() == goal["target"] if "target" in goal else ranks(y[None], label)[0] >= goal["top"]
        seen.add(result.verdict.value)
    assert seen <= {"sat", "unsat"} and (seen or goal.get("target") is not None)


def test_a_label_that_is_not_among_the_first_is_misclassified(small):
    image = np.array([10, 200, 90])
    y = small.graph.evaluate(torch.tensor(image[None], dtype=torch.float64)).numpy()
    order = sorted(range(5), key=lambda k: int(ranks(y, k)[0]))
    for place, label in enumerate(order):
        for top in (1, 2, 3, 4):
            query = netproof.robustness(small, image, label, 0, top=top)
            assert query.misclassified == (place >= top)


@pytest.fixture(scope="module")
def real():
    torch.manual_seed(5)
    module = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
    return netproof.from_torch(module, (1, 3))


@pytest.mark.parametrize("goal", [{"target": 0}, {"target": 3}, {"top": 1}, {"top": 2}, {"top": 3}], ids=str)
def test_real_goals_against_points(real, goal):
    random = np.random.default_rng(4)
    for radius in ("0.05", "0.3", "1.5"):
        image = random.random(3)
        label = int(real.classify(torch.tensor(image)))
        if goal.get("target") == label:
            continue
        query = netproof.robustness(real, image, label, radius, **goal)
        result = netproof.verify(query)
        reach = float(Fraction(radius))
        points = image + random.uniform(-reach, reach, (4000, 3))
        outputs = real.graph.evaluate(torch.tensor(points)).numpy()
        met = outputs.argmax(1) == goal["target"] if "target" in goal else ranks(outputs, label) >= goal["top"]
        assert result.verdict.decided
        if met.any():
            assert result.verdict is netproof.Verdict.SAT
        if result.witness is not None:
            y = result.witness.output.numpy()
            own = y[goal.get("target", label)]
            assert (y <= own).all() if "target" in goal else (y >= own).sum() - 1 >= goal["top"]


@pytest.mark.parametrize(
    "prepared", [{}, {"scale": "1/2", "mean": "0.25", "std": ["1/3", "2", "1"]}], ids=["plain", "prepared"]
)
def test_the_real_radius_lies_between_proof_and_witness(real, prepared):
    image = np.array([0.3, 0.6, 0.2]).reshape(3, 1, 1)
    start = netproof.robustness(real, image, 0, 0, **prepared)
    label = int(real.classify(start.sample.image))
    found = largest_radius(real, image, label, accuracy="1/500", limit=4, **prepared)
    assert found.exact and found.witness is not None
    assert 0 <= found.witness_radius - found.radius <= Fraction(1, 500)
    for radius, verdict in ((found.radius, "unsat"), (found.witness_radius, "sat")):
        query = netproof.robustness(real, image, label, radius, **prepared)
        assert netproof.verify(query).verdict.value == verdict
    # The distance is what it is said to be: in the unit of the radius, not of inputs.
    scale = Fraction(prepared.get("scale", 1))
    std, mean = [Fraction(s) for s in prepared.get("std", [1] * 3)], Fraction(prepared.get("mean", 0))
    moves = [
        abs(value * s + mean - scale * Fraction(at))
        for value, s, at in zip(found.witness.numbers, std, image.reshape(-1).tolist(), strict=True)
    ]
    assert max(moves) == found.witness_radius


@pytest.mark.parametrize(
    ("goal", "part"),
    [
        ({"target": 9}, "no output"),
        ({"target": 1, "top": 2}, "a target and a top"),
        ({"top": 0}, "top is 0 of 5"),
        ({"top": 5}, "top is 5 of 5"),
        ({"top": 1.5}, "top is 1.5"),
    ],
)
def test_goals_that_are_none(small, goal, part):
    with pytest.raises(QueryError, match=part):
        netproof.robustness(small, [1, 2, 3], 0, 1, **goal)


def test_labels_of_the_tiny_network_agree_with_numpy(small):
    # The goals above were compared with the graph's own outputs: these are those of the scheme, written down twice.
    images = np.random.default_rng(1).integers(0, 256, (50, 3))
    layers = random_layers((3, 6, 5), seed=9)
    assert (small.classify(torch.tensor(images, dtype=torch.float64)).numpy() == classify(layers, images)).all()
