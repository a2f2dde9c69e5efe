"""Random regions of random networks, with the points that lie in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.bounds.objective import Objective
from netproof.bounds.region import Region, box_region
from netproof.graph.graph import Graph
from soundness.random_networks import Integers, RandomNetwork, floats, random_box, random_network


@dataclass(frozen=True)
class Situation:
    """A network with all its points, and a batch of regions of it.

    ``nodes`` holds the value of every node at every point, ``[N, n]`` each, ``inside`` (``[B, N]``) which points
    lie in which row of the region. No row's intervals are empty; what they hold may be nothing all the same.
    """

    net: RandomNetwork
    graph: Graph
    points: Integers
    nodes: list[Integers]
    region: Region
    inside: NDArray[np.bool_]

    def holds(self, region: Region) -> NDArray[np.bool_]:
        """``[B, N]``: which points lie in which row of another region of the same network."""
        return points_inside(self.net, self.points, region)

    def objective(self, objective: Objective) -> NDArray[np.float64]:
        """``[B, N]``: an integer objective at every point."""
        value = objective.constant.numpy()[:, None]
        for node, coefficients in objective.coefficients.items():
            value = value + coefficients.numpy() @ self.nodes[node].T
        return value

    def largest(self, objective: Objective) -> NDArray[np.float64]:
        """``[B]``: the true maximum over the points of each row; ``-inf`` where there are none."""
        return np.where(self.inside, self.objective(objective), -np.inf).max(1)


def points_inside(net: RandomNetwork, points: Integers, region: Region) -> NDArray[np.bool_]:
    x = points[None]
    inside = ((x >= region.lower.numpy()[:, None]) & (x <= region.upper.numpy()[:, None])).all(-1)
    inside = np.repeat(inside, len(region) // len(inside), 0)
    for a, low, high in zip(net.preactivations(points), region.range_lower, region.range_upper, strict=True):
        inside &= ((a[None] >= low.numpy()[:, None]) & (a[None] <= high.numpy()[:, None])).all(-1)
    return inside


def random_situation(random: np.random.Generator, *, rows: int = 8, **network: Any) -> Situation:
    """Rows of random boxes (or one shared box) with some ranges cut to a random part."""
    net = random_network(random, **network)
    graph, points = net.graph(), net.points()
    if random.random() < 0.3 and graph.activations:
        ends = random_box(random, net)
        region = box_region(graph, floats(ends[0])[None], floats(ends[1])[None])
        region = region.take(torch.zeros(rows, dtype=torch.int64))
    else:
        boxes = [random_box(random, net) for _ in range(rows)]
        region = box_region(graph, floats(np.stack([b[0] for b in boxes])), floats(np.stack([b[1] for b in boxes])))
    for k, (low, high) in enumerate(zip(region.range_lower, region.range_upper, strict=True)):
        share = torch.from_numpy(np.sort(random.random((2, *low.shape)), 0))
        cut = torch.from_numpy(random.random(low.shape) < 0.3)
        width = high - low
        new_low = torch.where(cut, low + (share[0] * width).floor(), low)
        new_high = torch.where(cut, low + (share[1] * width).floor(), high)
        region = region.with_range(k, new_low, new_high)
    return Situation(net, graph, points, net.nodes(points), region, points_inside(net, points, region))


def random_objective(random: np.random.Generator, situation: Situation) -> Objective:
    """Integer coefficients at the output, and sometimes at other nodes as well."""
    nodes = situation.graph.nodes
    rows = len(situation.region)
    chosen = {len(nodes) - 1}
    if random.random() < 0.4:
        chosen.add(int(random.integers(0, len(nodes))))
    coefficients = {
        node: torch.from_numpy(random.integers(-3, 4, (rows, nodes[node].size))).double() for node in chosen
    }
    return Objective(coefficients, torch.from_numpy(random.integers(-9, 10, rows)).double())


def random_multipliers(
    random: np.random.Generator, situation: Situation, sizes: tuple[float, ...] = (0.0, 1e-6, 0.01, 1.0, 30.0, 1e5)
) -> list[torch.Tensor]:
    """Anything: every one is valid. Sizes differ from row to row and from layer to layer."""
    made = []
    for low in situation.region.range_lower:
        size = random.choice(sizes, (low.shape[0], 1))
        made.append(torch.from_numpy(random.normal(0, 1, tuple(low.shape)) * size))
    return made
