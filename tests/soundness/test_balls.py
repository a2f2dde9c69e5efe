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
from netproof.conditions.ball import maximum_of
from netproof.formats.onnx.read import read_onnx
from netproof.local_robustness import distance, robustness
from netproof.network import Network
from netproof.query import Verdict
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
            best = largest_in_l1([Fraction(x) for x in v[row].tolist()], exact[0], exact[1], Fraction(radius), *exact[2:])
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
        radius = float(np.sqrt(((weight * (center - near)) ** 2).sum())) * 1.001 + float(random.choice([1e-9, 0.1, 1.0, 100.0]))
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
        rest = Fraction(value) - sum(Fraction(a) * Fraction(b) for a, b in zip(v.tolist(), center.tolist(), strict=True))
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
    for _ in range(20):
        net, network = draw(random)
        image = random.integers(net.lower, net.upper + 1)
        label, radius = int(classes(net, image[None])[0]), int(random.integers(0, 7))
        query = robustness(network, torch.from_numpy(image), label, radius, norm=norm)
        result = verify(query, Settings(timeout=600.0, attack=attack))
        assert result.verdict == truth(net, image, label, radius, norm)
        outcomes[result.verdict] += 1
        if result.witness is not None:
            x = result.witness.input.numpy()
            assert measured(norm, (x - image)[None])[0] <= (radius if norm == "l1" else radius**2)
            assert classes(net, x[None])[0] != label
    assert outcomes[Verdict.UNSAT] > 2 and outcomes[Verdict.SAT] > 2
