"""Attacks that look for the nearest witness: what they find is one, as near as they say, and whole numbers of the box."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from netproof.attack.settle import settle
from netproof.attack.signs import sign_walks
from netproof.bounds.envelope.layer import first_layer
from netproof.conditions.order import conditions_of
from netproof.effort.integer import APPROACH
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.local_robustness import robustness
from netproof.network import Network
from netproof.operators.affine.linear import Linear
from netproof.processes import clock
from netproof.query import Query
from netproof.search.integer.nearest import Nearest
from netproof.search.radius import largest_radius
from netproof.settings import Settings
from soundness.random_networks import random_network


def sampled(seed: int, **shape: object):
    """A random network, an image in its box, and the class there."""
    random = np.random.default_rng([91, seed])
    net = random_network(random, **shape)
    network = net.network()
    image = torch.from_numpy(random.integers(net.lower, net.upper + 1))
    return net, network, image, int(network.classify(image.double()))


def truth(net, network, image: torch.Tensor, label: int) -> int | None:
    """The distance of the nearest input of another class, by trying all."""
    points = net.points()
    other = network.classify(torch.from_numpy(points).double()).numpy() != label
    distances = np.abs(points - image.numpy()).max(1)[other]
    return int(distances.min()) if len(distances) else None


def test_finds_are_witnesses_and_never_nearer_than_there_are_any() -> None:
    found = missed = 0
    for seed in range(40):
        net, network, image, label = sampled(seed, layers=2)
        nearest = truth(net, network, image, label)
        query = robustness(network, image, label, int((network.upper - network.lower).max()))
        attacks = Nearest(query, seed)
        for radius in (5, 3, 2, 1):
            hit = attacks.attack(radius)
            if hit:
                assert nearest is not None and attacks.distance is not None and nearest <= attacks.distance <= radius
        if attacks.witness is not None:
            x = attacks.witness.input.double()
            assert bool(query.refuted_by(x[None])[0]) and int((x - image).abs().max()) == attacks.distance
            assert bool(((x >= network.lower) & (x <= network.upper)).all())
        found += attacks.witness is not None
        missed += attacks.witness is None and nearest is not None and nearest <= 5
    assert found > 12 and missed < 4


def test_a_witness_of_somebody_else_is_moved_towards_the_image() -> None:
    moved = 0
    for seed in range(40):
        net, network, image, label = sampled(seed, layers=1)
        nearest = truth(net, network, image, label)
        if nearest is None:
            continue
        points = torch.from_numpy(net.points())
        far = points[network.classify(points.double()) != label]
        far = far[(far - image).abs().max(1).values.argmax()]
        attacks = Nearest(robustness(network, image, label, int((network.upper - network.lower).max())), 0)
        attacks.learn(far)
        assert attacks.distance is not None and attacks.distance >= nearest
        moved += attacks.distance < int((far - image).abs().max())
    assert moved > 5


@pytest.mark.parametrize("end", [0, 1, 39_998, 39_999])
def test_witnesses_among_wide_inputs_are_moved_few_radii_at_a_time(monkeypatch: pytest.MonkeyPatch, end: int) -> None:
    """Moved to all 65,535 radii at once, eight images of 28 x 28 would take 3 GB."""
    builder = GraphBuilder(Arithmetic.INTEGER, (2,))
    weight, bias = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([-40_000.0, 0.0])
    builder.add("linear", Linear(weight.double(), bias.double()), builder.input)
    ends = torch.zeros(2).double(), torch.full((2,), 65_535.0).double()
    network = Network(builder.build(), "wide", "0" * 64, *ends)
    image, rows = torch.tensor([65_535, 7]), []
    query, true = robustness(network, image, 0, 65_535), Query.refuted_by

    def counted(self: Query, x: torch.Tensor) -> torch.Tensor:
        rows.append(len(x))
        return true(self, x)

    monkeypatch.setattr(Query, "refuted_by", counted)
    attacks = Nearest(query, 0)
    attacks.learn(torch.tensor([end, 7]))
    assert attacks.distance == 65_535 - 39_999
    assert attacks.witness is not None and attacks.witness.input.tolist() == [39_999, 7]
    assert max(rows) <= APPROACH.radii * APPROACH.shrunk and len(rows) < 6


@pytest.mark.parametrize("layers", [1, 2])
def test_radii_with_and_without_attacks_are_those_of_all_inputs(layers: int) -> None:
    for seed in range(12):
        net, network, image, label = sampled(100 + seed, layers=layers)
        nearest = truth(net, network, image, label)
        for attack in (True, False):
            with clock.processor_time():
                result = largest_radius(network, image, label, Settings(timeout=60.0, attack=attack))
            assert result.exact and (result.witness_radius == nearest or nearest is None)
            assert nearest is None or result.radius == nearest - 1


def test_walks_and_settled_points_stay_in_their_boxes() -> None:
    random = np.random.default_rng(5)
    settled = 0
    for seed in range(30):
        _, network, image, label = sampled(200 + seed, layers=2)
        graph = network.graph.to(torch.float32)
        cases = conditions_of(network.graph, robustness(network, image, label, 3).condition)
        lower, upper = (image - 3).clamp(min=network.lower).float(), (image + 3).clamp(max=network.upper).float()
        case = torch.from_numpy(random.integers(0, len(cases), 12))
        start = torch.arange(12)
        x = torch.where(torch.rand(12, len(lower)) < 0.5, lower, upper)
        walked = sign_walks(graph, cases, lower, upper, case, start, x, 8)
        assert torch.equal(walked.x, walked.x.round()) and torch.equal(walked.case, case)
        assert bool(((walked.x >= lower) & (walked.x <= upper)).all())
        layer = first_layer(network.graph)
        if layer is None:
            continue
        settled += 1
        received = torch.from_numpy(random.normal(size=(12, layer.weight.shape[0]))).float()
        points = settle(layer.to(torch.float32), lower, upper, walked.x, received)
        assert bool(((points >= lower) & (points <= upper)).all()) and bool(points.isfinite().all())
    assert settled > 5


def test_the_clock_counts_what_is_computed_only_where_it_was_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock.time, "monotonic", lambda: 1.0)
    monkeypatch.setattr(clock.time, "process_time", lambda: 2.0)
    seen: list[float] = []
    with pytest.raises(ZeroDivisionError), clock.processor_time():
        assert clock.now() == 2.0
        other = threading.Thread(target=lambda: seen.append(clock.now()))
        other.start()
        other.join()
        raise ZeroDivisionError
    assert (clock.now(), seen) == (1.0, [1.0])
