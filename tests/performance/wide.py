"""Small networks over wide boxes: 14 inputs, two layers of some thirty ReLUs, two constraints that have to hold together.

They are trained for a moment to be two smooth functions of the input that a generator draws (a quadratic form, and waves), as
barrier and value functions of controllers are. Nothing about them is large but what their relaxations are loose by: boxes have
sides of 3 to 7, so that nearly every ReLU is open, and a linear program over the triangles of all of them is far above what the
network attains. Of every pair of seeds the second asks for a little more than the best point that gradient ascent finds, the first
for a little less.

``python tests/performance/wide.py FIRST COUNT`` decides some of them one after the other, and says in a line each what it took;
``--milp`` has HiGHS decide the same as mixed-integer programs, whose word decides nothing here.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import netproof
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import box_region, propagate_intervals
from performance.queries import perceptron

INPUTS, OUTPUTS = 14, 2
#: by how much a property is out of reach, or within it, in parts of what the best point has above an ordinary one
MARGIN = 0.02


@dataclass(frozen=True)
class Wide:
    """A query, and whether a point is known that meets it."""

    query: netproof.Query
    within: bool


def wide(seed: int) -> Wide:
    """The query of a seed: even seeds ask for what a point attains, odd ones for a little more than any that was found."""
    random = np.random.default_rng(seed)
    centre, side = random.uniform(-1, 1, INPUTS), random.uniform(3, 7, INPUTS)
    low, high = (torch.from_numpy((centre + sign * side / 2).astype(np.float32)).double() for sign in (-1, 1))
    first, second = (int(n) for n in random.integers(28, 35, 2))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = perceptron((INPUTS, first, second, OUTPUTS), (nn.ReLU,))
    _train(module, low, high, random)
    network = netproof.from_torch(module, (INPUTS,))
    rows = torch.tensor([[-1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    exact = module.double()
    with torch.no_grad():
        usual = (exact(low + (high - low) * _uniform(random, 2000).double()) @ rows.T).median(0).values
    best = _highest(exact, rows, usual, low, high, random)
    within = seed % 2 == 0
    threshold = usual + best * (1 - MARGIN if within else 1 + MARGIN)
    return Wide(netproof.Query(network, low, high, (netproof.Conjunction(rows, threshold),), f"wide {seed}"), within)


def _uniform(random: np.random.Generator, count: int) -> Tensor:
    return torch.from_numpy(random.uniform(0, 1, (count, INPUTS)).astype(np.float32))


def _train(module: nn.Sequential, low: Tensor, high: Tensor, random: np.random.Generator) -> None:
    """Four hundred steps of Adam towards a quadratic form, and waves along a few directions."""
    form, waves = (
        torch.from_numpy((random.standard_normal((INPUTS, n)) / np.sqrt(INPUTS)).astype(np.float32))
        for n in (INPUTS, 6)
    )
    steps = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(400):
        place = _uniform(random, 256)
        z = 2 * place - 1
        wave = z @ waves
        target = torch.stack([((z @ form) ** 2).sum(1) - 3, (torch.sin(2 * wave) + wave.abs()).sum(1)], 1)
        loss = ((module((low + (high - low) * place).float()) - target) ** 2).mean()
        steps.zero_grad()
        loss.backward()
        steps.step()


def _highest(
    module: nn.Module, rows: Tensor, usual: Tensor, low: Tensor, high: Tensor, random: np.random.Generator
) -> float:
    """By how much both rows can be above ``usual`` at one point, as far as projected gradient ascent comes."""
    x = low + (high - low) * _uniform(random, 512).double()
    best, steps = -np.inf, 300
    for number in range(steps):
        x.requires_grad_()
        above = (module(x) @ rows.T - usual).amin(1)
        best = max(best, float(above.detach().max()))
        (gradient,) = torch.autograd.grad(above.sum(), x)
        step = (high - low) * 0.1 * (1 - number / steps) ** 2
        direction = gradient / gradient.abs().amax(1, keepdim=True).clamp(min=1e-12)
        x = torch.minimum(torch.maximum(x.detach() + step * direction, low), high)
    return best


def by_milp(query: netproof.Query, seconds: float) -> tuple[str, int]:
    """HiGHS's own word on the query as a program with one binary number for each open ReLU, and the nodes it took."""
    import highspy

    graph = query.network.graph
    region = propagate_intervals(graph, box_region(graph, query.lower[None], query.upper[None]))
    region = refine_ranges(graph, region, time.monotonic() + 60)
    highs, infinity = highspy.Highs(), highspy.kHighsInf
    for option, value in (("output_flag", False), ("threads", 1), ("time_limit", seconds)):
        highs.setOptionValue(option, value)
    columns = [
        highs.addVariable(low, high) for low, high in zip(query.lower.tolist(), query.upper.tolist(), strict=True)
    ]
    k = 0
    for node in graph.nodes[1:]:
        operator = node.operator
        if k < len(graph.activations) and graph.nodes[graph.activations[k]] is node:
            ends = zip(columns, region.range_lower[k][0].tolist(), region.range_upper[k][0].tolist(), strict=True)
            columns = []
            for a, low, high in ends:
                if low >= 0 or high <= 0:
                    columns.append(a if low >= 0 else highs.addVariable(0, 0))
                    continue
                z, on = highs.addVariable(0, high), highs.addBinary()
                highs.addConstr(z >= a)
                highs.addConstr(z <= a - low * (1 - on))
                highs.addConstr(z <= high * on)
                columns.append(z)
            k += 1
            continue
        values = []
        for weights, bias in zip(operator.weight.tolist(), operator.bias.tolist(), strict=True):
            a = highs.addVariable(-infinity, infinity)
            highs.addConstr(a == sum(w * column for w, column in zip(weights, columns, strict=True)) + bias)
            values.append(a)
        columns = values
    (asked,) = query.condition
    for weights, threshold in zip(asked.coefficients.tolist(), asked.threshold.tolist(), strict=True):
        highs.addConstr(sum(w * column for w, column in zip(weights, columns, strict=True)) >= threshold)
    highs.run()
    return highs.modelStatusToString(highs.getModelStatus()), int(highs.getInfo().mip_node_count)


def main() -> None:
    """Decide some of them, and print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--timeout", type=float, default=10.0)
    parser.add_argument("--milp", action="store_true", help="by HiGHS instead")
    given = parser.parse_args()
    for seed in range(given.first, given.first + given.count):
        one = wide(seed)
        row: dict[str, object] = {"seed": seed, "within": one.within}
        begun, spent = time.monotonic(), _processor_seconds()
        if given.milp:
            row["milp"], row["nodes"] = by_milp(one.query, given.timeout)
        else:
            result = netproof.verify(one.query, netproof.Settings(timeout=given.timeout, seed=0))
            row |= {"verdict": result.verdict.value, "subproblems": result.subproblems, "method": result.method}
            row |= {"bound": result.bound}
        row |= {"seconds": time.monotonic() - begun, "processor": _processor_seconds() - spent}
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


def _processor_seconds() -> float:
    """Of this process and its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


if __name__ == "__main__":
    main()
