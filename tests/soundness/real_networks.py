"""Small real networks, and their evaluation in rational numbers."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import torch

from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.network import Network
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum


def double(values) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def random_graph(
    generator: torch.Generator, sizes=(3, 5, 5, 2), *, spread=0.0, leaky=False, residual=False, activation=None
) -> Graph:
    """A perceptron with float32 weights; ``spread`` is how many decimal orders of magnitude weights differ by."""
    builder = GraphBuilder(Arithmetic.REAL, (sizes[0],))
    at = builder.input
    for number, (before, after) in enumerate(pairwise(sizes)):
        scale = 10.0 ** (spread * (torch.rand(after, before, generator=generator) - 0.5))
        weight = (torch.randn(after, before, generator=generator) * scale).float().double()
        bias = (torch.randn(after, generator=generator) * 0.5).float().double()
        before_at = at
        at = builder.add(f"dense {number}", Linear(weight, bias), at)
        if residual and before == after:
            at = builder.add(f"sum {number}", Sum((1, 1)), at, before_at)
        if number < len(sizes) - 2:
            at = builder.add(f"act {number}", activation or (LeakyReLU(0.125) if leaky else ReLU()), at)
    return builder.build()


def network_of(graph: Graph) -> Network:
    unbounded = torch.full((graph.input.size,), torch.inf, dtype=torch.float64)
    return Network(graph, "random", "", -unbounded, unbounded)


def rational(values: torch.Tensor) -> list[Fraction]:
    return [Fraction(value) for value in values.tolist()]


def affine(operator, operands: list[list[Fraction]]) -> list[Fraction]:
    if isinstance(operator, Sum):
        return [
            sum(s * v for s, v in zip(operator.signs, column, strict=True)) for column in zip(*operands, strict=True)
        ]
    (x,) = operands
    if isinstance(operator, Select):
        return [x[i] for i in operator.index.tolist()]
    assert isinstance(operator, Linear)
    return [
        sum((w * v for w, v in zip(rational(row), x, strict=True)), Fraction(b))
        for row, b in zip(operator.weight, operator.bias.tolist(), strict=True)
    ]


def activation(operator, a: Fraction) -> Fraction:
    if isinstance(operator, Clip):
        low = a if operator.low == -math.inf else max(a, Fraction(operator.low))
        return low if operator.high == math.inf else min(low, Fraction(operator.high))
    if isinstance(operator, Abs):
        return abs(a)
    slope = Fraction(operator.alpha) if isinstance(operator, LeakyReLU) else Fraction(0)
    return a if a >= 0 else slope * a


def kinks(operator) -> list[Fraction]:
    """Where an activation bends, and 0."""
    ends = (operator.low, operator.high) if isinstance(operator, Clip) else ()
    return [Fraction(0), *(Fraction(end) for end in ends if math.isfinite(end))]


def evaluate(graph: Graph, x: list[Fraction]) -> list[list[Fraction]]:
    """The value of every node, exactly."""
    values = [x]
    for node in graph.nodes[1:]:
        operands = [values[i] for i in node.operands]
        if isinstance(node.operator, Linear | Sum | Select):
            values.append(affine(node.operator, operands))
        else:
            values.append([activation(node.operator, a) for a in operands[0]])
    return values


def dual_value(graph: Graph, region, s: list[torch.Tensor], output: list[Fraction]) -> Fraction:
    """The dual bound of ``output . y`` at multipliers, in rational numbers (one row)."""
    received: dict[int, list[Fraction]] = {len(graph.nodes) - 1: output}
    total = Fraction(0)
    k = len(graph.activations)

    def add(node: int, share: list[Fraction]) -> None:
        known = received.get(node)
        received[node] = share if known is None else [a + b for a, b in zip(known, share, strict=True)]

    for index in range(len(graph.nodes) - 1, 0, -1):
        node = graph.nodes[index]
        v = received[index]
        if isinstance(node.operator, Sum):
            for sign, operand in zip(node.operator.signs, node.operands, strict=True):
                add(operand, [sign * value for value in v])
        elif isinstance(node.operator, Linear):
            weight = node.operator.weight
            total += sum(a * b for a, b in zip(v, rational(node.operator.bias), strict=True))
            add(node.operands[0], [sum(a * b for a, b in zip(v, rational(column), strict=True)) for column in weight.T])
        else:
            k -= 1
            multiplier = rational(s[k])
            low, high = rational(region.range_lower[k][0]), rational(region.range_upper[k][0])
            for vj, sj, lj, uj in zip(v, multiplier, low, high, strict=True):
                corners = {lj, uj, *(min(max(kink, lj), uj) for kink in kinks(node.operator))}
                total += max(vj * activation(node.operator, a) - sj * a for a in corners)
            add(node.operands[0], multiplier)
    lower, upper = rational(region.lower[0]), rational(region.upper[0])
    return total + sum(max(v * lo, v * hi) for v, lo, hi in zip(received[0], lower, upper, strict=True))


def points(region, generator, count):
    """Corners and points of the box."""
    share = torch.rand(2 * count, region.lower.shape[1], generator=generator).double()
    share[:count] = share[:count].round()
    return region.lower + share * (region.upper - region.lower)
