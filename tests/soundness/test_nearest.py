"""Attacks that look for the nearest witness: what they find is one, as near as they say, and whole numbers of the box."""

from __future__ import annotations

import threading
from fractions import Fraction

import numpy as np
import pytest
import torch

from netproof.attack.nearer import Nearer
from netproof.attack.replay import Replayer
from netproof.attack.settle import settle
from netproof.attack.signs import sign_walks
from netproof.bounds.envelope.layer import first_layer
from netproof.conditions.order import conditions_of
from netproof.effort.integer import APPROACH
from netproof.formats.onnx.read import read_onnx
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.local_robustness import robustness
from netproof.network import Network
from netproof.operators.affine.linear import Linear
from netproof.processes import clock
from netproof.query import Query
from netproof.search.integer.attacks import witness_of
from netproof.search.integer.nearest import Nearest
from netproof.search.radius import largest_radius
from netproof.settings import Settings
from onnx_models import model, node, save
from soundness.random_networks import box_points, random_network


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


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_nearer_witnesses_are_witnesses_and_often_the_nearest(norm: str) -> None:
    """From any input of another class, over the integers, beside all of them tried out."""
    exact = farther = 0
    for seed in range(40):
        net, network, image, label = sampled(seed, layers=2)
        points = net.points()
        others = points[network.classify(torch.from_numpy(points).double()).numpy() != label]
        if not len(others):
            continue
        moves = np.abs(others - image.numpy())
        sizes = moves.sum(1) if norm == "l1" else (moves**2).sum(1)
        whole = robustness(network, image, label, int((network.upper - network.lower).sum()), norm=norm)
        ball = robustness(network, image, label, 1, norm=norm).ball
        if ball is None or not sizes.max():
            continue
        nearer, start = Nearer(whole, ball), torch.from_numpy(others[int(sizes.argmax())])
        found = nearer.of(witness_of(whole, start.double()))
        assert bool(whole.refuted_by(found.input.double()[None])[0])
        assert torch.equal(network.graph.evaluate(found.input.double()).to(torch.int64), found.output)
        distance = nearer.distance(found)
        assert sizes.min() <= distance <= sizes.max()
        exact += distance == sizes.min()
        farther += distance != sizes.min()
    assert exact >= 3 * farther and exact >= 10


def test_nearer_witnesses_of_a_float_network_are_replayed(tmp_path) -> None:
    """Where the class changes at a plane, and at the end of a range, distances are known."""
    weight = np.array([[3.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    path = save(tmp_path / "net.onnx", model([node("Gemm", ["x", "w"])], (1, 3), {"w": weight}))
    network = read_onnx(path)
    image = np.array([-1.0, -1.0, 0.0])  # 3 x0 + x1 = -4, and the class changes at 0
    asked = {"scale": 1, "clip": (-1, 2)}
    whole = robustness(network, image, 1, 100, norm="l1", **asked)
    start = Replayer(whole).first(torch.tensor([[2.0, 2.0, 2.0]]))
    assert start is not None
    for norm, nearest in (("l1", 4 / 3), ("l2", 4 / np.sqrt(10))):
        ball = robustness(network, image, 1, 1, norm=norm, **asked).ball
        assert ball is not None
        found = Nearer(whole, ball).of(start)
        far = float(Nearer(whole, ball).distance(found)) ** (0.5 if norm == "l2" else 1)
        assert nearest - 1e-6 <= far <= nearest * 1.01
        assert whole.admits(list(found.numbers), [Fraction(v) for v in found.output.tolist()])


def test_no_nearer_witness_where_the_time_is_over() -> None:
    _, network, image, label = sampled(0, layers=2)
    whole = robustness(network, image, label, int((network.upper - network.lower).sum()), norm="l1")
    point = next(x for x in torch.from_numpy(box_points(network.lower, network.upper)) if whole.refuted_by(x.double()))
    witness, ball = witness_of(whole, point.double()), robustness(network, image, label, 1, norm="l1").ball
    assert ball is not None and Nearer(whole, ball).of(witness, clock.now() - 1) is witness
