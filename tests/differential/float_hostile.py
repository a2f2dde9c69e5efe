"""Tiny float networks with numbers chosen to go wrong, and their values in rational arithmetic."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import torch

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.region import box_region
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.sum import Sum
from netproof.property import float_below
from netproof.query import Conjunction, Query
from soundness.real_networks import evaluate, network_of

_LARGEST = float(np.finfo(np.float32).max)
#: what weights are drawn from, besides normal numbers; factors of others and their neighbours make sums cancel
_NUMBERS = (1e8, -1e8, 1.0, -1.0, 1e-8, -1e-8, 1e-38, 1e-45, -1e-45, _LARGEST, -_LARGEST, 1e30, -1e30, 0.0, 0.1, 3.0)


def hostile_graph(random: np.random.Generator) -> Graph:
    """Two or three layers of float32 numbers of all sizes, with pairs of rows that nearly cancel."""
    sizes = [int(random.integers(1, 4)), int(random.integers(2, 6)), int(random.integers(2, 5)), 2]
    extreme = random.random() < 0.5
    numbers = np.array(_NUMBERS if extreme else [n for n in _NUMBERS if abs(n) <= 1e9])
    builder = GraphBuilder(Arithmetic.REAL, (sizes[0],))
    at = builder.input
    for number, (before, after) in enumerate(pairwise(sizes)):
        weight = random.choice(numbers, size=(after, before))
        bias = random.choice(numbers[np.abs(numbers) <= 1e9], size=after) * (random.random(after) < 0.7)
        if before > 1 and random.random() < 0.6:
            # Columns that cancel up to one unit in the last place.
            with np.errstate(over="ignore"):
                twin = -np.nextafter(weight[:, 0].astype(np.float32), np.float32(random.choice([-1e38, 0.0, 1e38])))
            weight[:, 1] = twin.astype(np.float64)
        if after > 1 and number < 2 and random.random() < 0.6:
            weight[1], bias[1] = weight[0], bias[0] + random.choice([0.0, 1.0, -1e-8])
        weight, bias = (array.astype(np.float32).astype(np.float64) for array in (weight, bias))
        operand = at
        at = builder.add(f"dense {number}", Linear(torch.from_numpy(weight), torch.from_numpy(bias)), at)
        if before == after and random.random() < 0.5:
            at = builder.add(f"sum {number}", Sum((1, -1)), at, operand)
        if number < 2:
            kind = random.random()
            operator = ReLU() if kind < 0.6 else LeakyReLU(0.1) if kind < 0.8 else Abs()
            at = builder.add(f"act {number}", operator, at)
    return builder.build()


def hostile_case(seed: int, number: int) -> tuple[Query, list[Fraction]]:
    """A query that a point attains with nothing to spare, and that point."""
    random = np.random.default_rng([seed, number, 7])
    while True:
        graph = hostile_graph(random)
        inputs = graph.input.size
        center = random.choice([0.0, 1.0, -1.0, 1e-8, 1e8, 0.1], size=inputs)
        radius = random.choice([0.0, 1e-45, 1e-8, 0.5, 1.0, 1e8], size=inputs)
        lower, upper = torch.from_numpy(center - radius), torch.from_numpy(center + radius)
        region = box_region(graph, lower[None], upper[None])
        c = torch.from_numpy(random.choice([1.0, -1.0, 0.0, 2.5, 1e-8], size=2))
        best: tuple[Fraction, list[Fraction]] | None = None
        weights = [Fraction(value) for value in c.tolist()]
        for x in _points(random, lower, upper):
            y = evaluate(graph, x)[-1]
            value = sum((w * v for w, v in zip(weights, y, strict=True)), Fraction(0))
            if best is None or value > best[0]:
                best = value, x
        assert best is not None
        threshold = float_below(best[0])
        if np.isfinite(threshold) and bool(torch.isfinite(region.lower).all()):
            condition = (Conjunction(c[None], torch.tensor([threshold], dtype=torch.float64)),)
            return Query(network_of(graph), lower, upper, condition), best[1]


def _points(random: np.random.Generator, lower: torch.Tensor, upper: torch.Tensor) -> list[list[Fraction]]:
    ends = [(Fraction(a), Fraction(b)) for a, b in zip(lower.tolist(), upper.tolist(), strict=True)]
    points = [[a + Fraction(random.choice([0.0, 1.0])) * (b - a) for a, b in ends] for _ in range(12)]
    points += [[a + Fraction(random.random()) * (b - a) for a, b in ends] for _ in range(12)]
    zero = [min(max(Fraction(0), a), b) for a, b in ends]
    return [*points, zero, *([*zero[:i], b, *zero[i + 1 :]] for i, (_, b) in enumerate(ends))]


def leaving(query: Query, x: list[Fraction], regions: dict[str, object]) -> list[str]:
    """Which of the regions' ranges a point leaves, in rational arithmetic."""
    graph = query.network.graph
    values = evaluate(graph, x)
    wrong = []
    for name, region in regions.items():
        for k, index in enumerate(graph.activations):
            low, high = region.range_lower[k][0].tolist(), region.range_upper[k][0].tolist()  # type: ignore[attr-defined]
            for value, a, b in zip(values[graph.nodes[index].operands[0]], low, high, strict=True):
                if (np.isfinite(a) and value < Fraction(a)) or (np.isfinite(b) and value > Fraction(b)):
                    wrong.append(f"{name}: activation {k} leaves its range")
    return wrong


def rounding_of(query: Query) -> Rounding:
    graph = query.network.graph
    return Rounding.of(graph, box_region(graph, query.lower[None], query.upper[None]))
