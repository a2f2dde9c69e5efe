"""Balls in l1 and l2: bounds against exact optima, verdicts against every input tried out and against sampling."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch

from netproof.bounds.backward import box_maximum
from netproof.bounds.deciding.ball import BallMaximum
from netproof.bounds.region import Region
from netproof.certificate.make import certificate_of
from netproof.conditions.ball import maximum_of
from netproof.errors import InputError, QueryError
from netproof.formats.onnx.read import read_onnx
from netproof.formats.vnnlib.exact import exact_vnnlib
from netproof.local_robustness import distance, robustness
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.property import Ball, Box, LinearConstraint, PropertyPart
from netproof.query import Conjunction, Query, Verdict
from netproof.search.real import decide
from netproof.search.real.ball import InBall
from netproof.search.verify import verify
from netproof.settings import Settings
from onnx_models import model, node, save
from soundness.random_networks import Integers, RandomNetwork, box_points
from soundness.real_networks import network_of, random_graph, rational
from soundness.test_verify_robustness import classes, draw

LIMIT = Settings(timeout=600.0)


def region(lower: torch.Tensor, upper: torch.Tensor) -> Region:
    return Region(lower, upper, (), ())


def largest_in_l1(v, center, weight, radius, lower, upper) -> Fraction:
    """The exact maximum of ``v . x`` in a box and an l1 ball: moves in the order of what they gain for their cost."""
    left, total, moves = radius, Fraction(0), []
    for vi, ci, wi, low, high in zip(v, center, weight, lower, upper, strict=True):
        near = min(max(ci, low), high)
        left -= wi * abs(ci - near)
        total += vi * near
        moves.append((abs(vi) / wi, abs(vi), wi, high - near if vi > 0 else near - low))
    assert left >= 0
    for _, gain, cost, room in sorted(moves, reverse=True):
        step = min(room, left / cost)
        total, left = total + gain * step, left - cost * step
    return total


def drawn(random: np.random.Generator, n: int, *, outside: bool):
    """Numbers with many digits: coefficients, a center, weights, and a box around the center or beside it."""
    v = random.normal(size=(3, n)) * 10.0 ** random.integers(-3, 3, (3, n))
    v[random.random(v.shape) < 0.1] = 0
    center, weight = random.normal(size=n), random.uniform(0.1, 2, n)
    lower, upper = center - random.uniform(0, 0.5, n), center + random.uniform(0, 0.5, n)
    upper = np.where(random.random(n) < 0.2, center, upper)  # some are at an end
    if outside:
        lower, upper = lower + 0.05, upper + 0.05
    return v, center, weight, lower, upper


@pytest.mark.parametrize("outside", [False, True])
def test_bounds_in_l1_hold_and_are_attained(outside: bool) -> None:
    random = np.random.default_rng(0)
    for _ in range(40):
        n = int(random.integers(1, 30))
        v, center, weight, lower, upper = drawn(random, n, outside=outside)
        exact = [[Fraction(x) for x in part.tolist()] for part in (center, weight, lower, upper)]
        to_box = sum(w * abs(c - min(max(c, lo), up)) for c, w, lo, up in zip(*exact, strict=True))
        radius = float(to_box) * 1.000001 + float(random.choice([0.0, 1e-9, 0.1, 1.0, 100.0]))
        tensors = [torch.from_numpy(part) for part in (center, weight)]
        maximum = BallMaximum("l1", *tensors, radius)
        constant = torch.from_numpy(random.normal(size=3))
        box = region(torch.from_numpy(lower)[None], torch.from_numpy(upper)[None])
        value = maximum(constant, torch.from_numpy(v), box)
        rows = maximum(constant[None], torch.from_numpy(v)[None], box)
        assert torch.allclose(value, rows[0], rtol=1e-12, atol=1e-12)
        for row in range(3):
            best = largest_in_l1(
                [Fraction(x) for x in v[row].tolist()], exact[0], exact[1], Fraction(radius), *exact[2:]
            )
            best += Fraction(float(constant[row]))
            size = 1 + float(np.abs(v[row]).sum())
            # Where the box bounds, rounding is on another account.
            by_box = value[row] == box_maximum(constant, torch.from_numpy(v), box)[row]
            assert best <= Fraction(float(value[row])) + (Fraction(1e-13 * size) if by_box else 0)
            assert float(value[row]) <= float(best) + 1e-11 * size


@pytest.mark.parametrize("outside", [False, True])
def test_bounds_in_l2_hold_and_are_attained(outside: bool) -> None:
    random = np.random.default_rng(1)
    for _ in range(40):
        n = int(random.integers(1, 30))
        v, center, weight, lower, upper = drawn(random, n, outside=outside)
        near = np.clip(center, lower, upper)
        radius = float(np.sqrt(((weight * (center - near)) ** 2).sum())) * 1.001 + float(
            random.choice([1e-9, 0.1, 1.0, 100.0])
        )
        maximum = BallMaximum("l2", torch.from_numpy(center), torch.from_numpy(weight), radius)
        box = region(torch.from_numpy(lower)[None], torch.from_numpy(upper)[None])
        value = maximum(torch.zeros(3, dtype=torch.float64), torch.from_numpy(v), box)
        for row in range(3):
            # Points of the box and the ball: moves against one price each, the best of which is found by bisection.
            reached, low, high = -np.inf, -60.0, 60.0
            for _ in range(200):
                price = 2.0 ** ((low + high) / 2)
                x = np.clip(center + v[row] / (2 * price * weight**2), lower, upper)
                if np.sqrt(((weight * (x - center)) ** 2).sum()) <= radius:
                    reached, high = max(reached, float(v[row] @ x)), (low + high) / 2
                else:
                    low = (low + high) / 2
            assert reached <= float(value[row]) + 1e-14 * (1 + np.abs(v[row]).sum())
            # A center outside of the box costs what its distance and moves multiplied with each other would add.
            assert outside or float(value[row]) <= reached + 1e-9 * (1 + np.abs(v[row]).sum())


def test_l2_by_its_dual_norm_is_rounded_up() -> None:
    """Without ends in reach the value is the center's and the radius times a length, an irrational number as a rule."""
    random = np.random.default_rng(2)
    for _ in range(200):
        n = int(random.integers(1, 8))
        v, center = random.normal(size=n), random.normal(size=n)
        wide = torch.full((1, n), 1e6, dtype=torch.float64)
        maximum = BallMaximum("l2", torch.from_numpy(center), torch.ones(n, dtype=torch.float64), 0.375)
        value = float(maximum(torch.zeros(1, dtype=torch.float64), torch.from_numpy(v)[None], region(-wide, wide)))
        rest = Fraction(value) - sum(
            Fraction(a) * Fraction(b) for a, b in zip(v.tolist(), center.tolist(), strict=True)
        )
        square = Fraction(0.375) ** 2 * sum(Fraction(a) ** 2 for a in v.tolist())
        assert rest > 0 and rest**2 >= square
        assert rest**2 <= square * (1 + Fraction(1, 10**6))


def measured(norm: str, moves: Integers) -> Integers:
    found: Integers = np.abs(moves).sum(1) if norm == "l1" else (moves**2).sum(1)
    return found


def truth(net: RandomNetwork, image: Integers, label: int, radius: int, norm: str) -> Verdict:
    if classes(net, image[None])[0] != label:
        return Verdict.MISCLASSIFIED
    near = box_points(np.maximum(image - radius, net.lower), np.minimum(image + radius, net.upper))
    near = near[measured(norm, near - image) <= (radius if norm == "l1" else radius**2)]
    return Verdict.UNSAT if (classes(net, near) == label).all() else Verdict.SAT


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("attack", [True, False])
def test_verdicts_over_integers_are_the_truth(norm: str, attack: bool) -> None:
    random = np.random.default_rng([3, attack, norm == "l1"])
    outcomes: Counter[Verdict] = Counter()
    for _ in range(10):
        net, network = draw(random)
        image = random.integers(net.lower, net.upper + 1)
        label, radius = int(classes(net, image[None])[0]), int(random.integers(0, 5))
        query = robustness(network, torch.from_numpy(image), label, radius, norm=norm)
        result = verify(query, Settings(timeout=600.0, attack=attack))
        assert result.verdict == truth(net, image, label, radius, norm)
        outcomes[result.verdict] += 1
        if result.witness is not None:
            x = result.witness.input.numpy()
            assert measured(norm, (x - image)[None])[0] <= (radius if norm == "l1" else radius**2)
            assert classes(net, x[None])[0] != label
    assert outcomes[Verdict.UNSAT] and outcomes[Verdict.SAT]


def scaled_into(norm: str, moves: torch.Tensor, weight: torch.Tensor, radius: float) -> torch.Tensor:
    size = (moves * weight).abs().sum(-1) if norm == "l1" else (moves * weight).square().sum(-1).sqrt()
    return moves * (radius / size.clamp(min=1e-30))[:, None].clamp(max=1)


def far_points(graph, norm, center, weight, radius, generator) -> torch.Tensor:
    """Points of a ball at which the first output is large: climbed to from random ones."""
    n = len(center)
    moves = scaled_into(norm, torch.randn(300, n, generator=generator, dtype=torch.float64) / weight, weight, radius)
    for step in range(80):
        point = (center + moves).requires_grad_(True)
        (slope,) = torch.autograd.grad(graph.evaluate(point)[:, 0].sum(), point)
        pull = slope / weight
        if norm == "l1":
            kept = pull.abs() >= pull.abs().topk(1 + step % 3, -1).values[:, -1:]
            pull = torch.where(kept, pull.sign(), 0.0)
        move = pull / pull.norm(dim=-1, keepdim=True).clamp(min=1e-30) / weight * radius
        moves = scaled_into(norm, moves + 0.5 * 0.95**step * move, weight, radius)
    return center + moves * (1 - 1e-12)


def asked(graph, norm, center, weight, radius, threshold, about=None) -> Query:
    """Whether the first output gets to a threshold in a ball, by the smallest box around it."""
    exact = [tuple(rational(part)) for part in (center, weight)]
    ends = [tuple(c + side * Fraction(radius) / w for c, w in zip(*exact, strict=True)) for side in (-1, 1)]
    box, rows = Box(*ends), torch.eye(1, graph.output.size, dtype=torch.float64)
    lower, upper = (torch.from_numpy(end.copy()) for end in box.outer)
    constraint = LinearConstraint((), ((0, Fraction(1)),), Fraction(threshold))
    part = PropertyPart(box, ((constraint,),), ball=Ball(norm, *exact, Fraction(radius)))
    return Query(
        network_of(graph),
        lower,
        upper,
        (Conjunction(rows, torch.tensor([threshold], dtype=torch.float64)),),
        about=part,
    )


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("form", ["relu", "residual", "sigmoid", "linear"])
def test_attained_is_never_refuted_and_out_of_reach_is(norm: str, form: str) -> None:
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        sizes = (6, 2) if form == "linear" else (6, 7, 7, 2)
        operator = Sigmoid() if form == "sigmoid" else None
        graph = random_graph(generator, sizes, residual=form == "residual", activation=operator)
        center = torch.randn(6, generator=generator).double()
        weight = torch.rand(6, generator=generator).double() + 0.25
        points = far_points(graph, norm, center, weight, 0.75, generator)
        best = float(graph.evaluate(points)[:, 0].max())
        assert (
            verify(asked(graph, norm, center, weight, 0.75, best - 1e-9), Settings(timeout=0.3)).verdict
            is not Verdict.UNSAT
        )
        spread = best - float(graph.evaluate(center)[0])
        # Curves take more splits the nearer it is.
        beyond = best + (2.0 if form == "sigmoid" else 0.3) * spread
        beyond = verify(asked(graph, norm, center, weight, 0.75, beyond), Settings(timeout=60))
        assert beyond.verdict is Verdict.UNSAT, (seed, beyond.reason)


def test_searches_over_signs_know_the_ball(monkeypatch) -> None:
    """A little beyond what is attained it takes splits, and no range of the ball or box would do alone."""
    monkeypatch.setattr(decide, "InBall", _NoRoot)
    generator = torch.Generator().manual_seed(0)
    graph = random_graph(generator, (20, 12, 12, 2))
    center, weight = torch.randn(20, generator=generator).double(), torch.ones(20, dtype=torch.float64)
    for norm, radius, beyond in (("l2", 0.5, 0.02), ("l1", 1.0, 0.3)):
        best = float(graph.evaluate(far_points(graph, norm, center, weight, radius, generator))[:, 0].max())
        found = verify(asked(graph, norm, center, weight, radius, best + beyond), Settings(timeout=120))
        assert found.verdict is Verdict.UNSAT and found.method == "search"
        assert (
            verify(asked(graph, norm, center, weight, radius, best - 1e-9), Settings(timeout=1)).verdict
            is not Verdict.UNSAT
        )


class _NoRoot(InBall):
    """Ranges over the ball, and no bound of the cases."""

    def open_cases(self, region, constraints, case):
        return case


def test_witnesses_lie_in_the_ball_exactly(tmp_path) -> None:
    """Of a threshold that the ball just reaches or just misses, by more than float32 can tell."""
    path = save(tmp_path / "net.onnx", model([node("Gemm", ["x", "w"])], (1, 3), {"w": np.diag([1.0, 2.0, 0.125])}))
    network = read_onnx(path)
    image = np.array([0.5, 0.5, 0.25])  # of which outputs are 1/2, 1 and 1/32
    # The first one gets to the second where x0 - 2 x1 >= 0: at a distance of 1/4 in l1, and of 1 / sqrt(20) = 0.22360... in l2.
    below = verify(robustness(network, image, 1, "0.2236", norm="l2"), LIMIT)
    above = verify(robustness(network, image, 1, "0.2237", norm="l2"), LIMIT)
    assert (below.verdict, above.verdict) == (Verdict.UNSAT, Verdict.SAT)
    for slightly, verdict in ((Fraction(-1, 10**5), Verdict.UNSAT), (Fraction(1, 10**4), Verdict.SAT)):
        found = verify(robustness(network, image, 1, Fraction(1, 4) + slightly, norm="l1"), LIMIT)
        assert found.verdict is verdict
        if found.witness is not None:
            assert distance(network, image, found.witness.numbers, norm="l1") <= Fraction(1, 4) + slightly


def test_distances_are_exact_and_roots_rounded_up() -> None:
    network = network_of(random_graph(torch.Generator().manual_seed(0), (3, 4, 2)))
    image, point = np.array([0.0, 0.0, 0.0]), [Fraction(3), Fraction(-4), Fraction(1, 3)]
    assert distance(network, image, point) == 4
    assert distance(network, image, point, norm="l1") == Fraction(22, 3)
    root = distance(network, image, point, norm="l2")
    assert Fraction(0) <= root**2 - (25 + Fraction(1, 9)) < Fraction(1, 10**15)
    assert distance(network, image, [Fraction(3), Fraction(-4), Fraction(0)], norm="l2") == 5


def test_a_center_that_no_float_is_stays_inside() -> None:
    """The ball in floats holds the one that is meant, whose center and weights have other digits."""
    network = network_of(random_graph(torch.Generator().manual_seed(0), (3, 4, 2)))
    image = np.array([1, 2, 3], np.uint8)
    query = robustness(network, image, 0, "0.1", scale="1/255", mean="0.3", std="0.7", norm="l1")
    ball, found = query.ball, maximum_of(query)
    assert ball is not None and isinstance(found, BallMaximum)
    moved = sum(
        w * abs(Fraction(c) - m) for w, c, m in zip(ball.weight, found.center.tolist(), ball.center, strict=True)
    )
    assert moved > 0 and Fraction(found.radius) >= ball.radius + moved
    assert all(Fraction(w) <= meant for w, meant in zip(found.weight.tolist(), ball.weight, strict=True))


def test_a_ball_has_no_certificate_and_no_exact_engine() -> None:
    net, network = draw(np.random.default_rng(5))
    query = robustness(network, torch.from_numpy(net.lower), int(classes(net, net.lower[None])[0]), 1, norm="l1")
    result = verify(query, Settings(proofs=True))
    with pytest.raises(InputError, match="a ball in l1 is none"):
        certificate_of(query, result)
    assert query.part is not None
    with pytest.raises(ValueError, match="a ball is none"):
        exact_vnnlib(query.part, network.inputs, network.outputs, title="a ball")
    with pytest.raises(QueryError, match="takes boxes"):
        verify(query, Settings(engine="smt"))
    with pytest.raises(QueryError, match="'l3'"):
        robustness(network, torch.from_numpy(net.lower), 0, 1, norm="l3")


def test_boxes_beside_balls_keep_their_proofs() -> None:
    net, network = draw(np.random.default_rng(5))
    asked = torch.from_numpy(net.lower), int(classes(net, net.lower[None])[0]), 1
    box, ball = verify([robustness(network, *asked), robustness(network, *asked, norm="l1")], Settings(proofs=True))
    assert box.verdict is ball.verdict is Verdict.UNSAT
    assert box.proof is not None and ball.proof is None


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_a_ball_that_holds_every_input_is_the_box(norm: str, tmp_path) -> None:
    """Then boxes' ways, and their certificates, are there; one step less is a ball."""
    net, network = draw(np.random.default_rng(5))
    image = np.where(np.arange(len(net.lower)) % 2 == 0, net.lower, net.upper)
    far = (net.upper - net.lower).astype(object)
    reach = int(far.sum()) if norm == "l1" else int(np.ceil(np.sqrt(float((far**2).sum()))))
    asked = network, torch.from_numpy(image), int(classes(net, image[None])[0])
    whole = robustness(*asked, reach, norm=norm)
    assert whole.ball is None and whole.sample is not None and whole.sample.radius == reach
    result = verify(whole, Settings(proofs=True))
    assert result.verdict == truth(net, image, asked[2], reach, norm) and result.verdict.decided
    certificate_of(whole, result)
    assert robustness(*asked, reach - 1, norm=norm).ball is not None

    path = tmp_path / "net.onnx"
    save(path, model([node("Relu", ["x"])], (1, 4)))
    real = read_onnx(path)
    pixels = torch.tensor([0.0, 1.0, 0.25, 0.5])
    words: dict = {"norm": norm, "clip": (0, 1), "mean": "0.1", "std": "0.3"}
    # 1 + 1 + 0.75 + 0.5 in l1, and the root of 1 + 1 + 0.5625 + 0.25.
    square = Fraction(2.8125)
    least = Fraction(13, 4) if norm == "l1" else Fraction(1678, 1000)
    assert robustness(real, pixels, 1, least, **words).ball is None
    less = least - Fraction(1, 10**9) if norm == "l1" else Fraction(1677, 1000)
    assert robustness(real, pixels, 1, less, **words).ball is not None
    assert Fraction(1677, 1000) ** 2 < square < Fraction(1678, 1000) ** 2
