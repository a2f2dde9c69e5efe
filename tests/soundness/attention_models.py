"""Graphs of queries that look at tokens, what they compute to 60 digits, and boxes of their inputs."""

from __future__ import annotations

import mpmath
import torch

from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.operators.activations.curves.exponentials import Exp
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.pairs.product import Product
from netproof.operators.activations.shares import Shares
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum

INPUTS, QUERIES, TOKENS, WIDTH = 5, 4, 9, 12
SCORES, VALUES = QUERIES * TOKENS, TOKENS * WIDTH


def attention(seed: int, size: float = 1.0, *, together: bool = False) -> Graph:
    """Queries that look at tokens, scores and values being affine functions of the input; ``together``: it is known that shares add up to 1."""
    generator = torch.Generator().manual_seed(seed)

    def linear(out: int, into: int, scale: float) -> Linear:
        weight = torch.randn(out, into, generator=generator, dtype=torch.float64) * scale
        return Linear(weight, torch.randn(out, generator=generator, dtype=torch.float64) * scale)

    builder = GraphBuilder(Arithmetic.REAL, (INPUTS,))
    scores = builder.add("scores", linear(SCORES, INPUTS, size), builder.input)
    values = builder.add("values", linear(VALUES, INPUTS, 1.0), builder.input)
    query, mine, other = torch.tensor(
        [(q, i, j) for q in range(QUERIES) for i in range(TOKENS) for j in range(TOKENS) if i != j]
    ).T
    first = builder.add("others", Select(query * TOKENS + other, SCORES, (len(query),)), scores)
    second = builder.add("own", Select(query * TOKENS + mine, SCORES, (len(query),)), scores)
    power = builder.add("exp", Exp(), builder.add("difference", Sum((1, -1)), first, second))
    ones = torch.ones(1, 1, TOKENS - 1, dtype=torch.float64)
    total = builder.add("sum", BlockLinear(ones, SCORES, (SCORES,)), power)
    one = torch.ones(1, dtype=torch.float64)
    share = builder.add("share", Power(-1.0), builder.add("total", Scale(SCORES, one, one), total))
    if together:
        share = builder.add("shares", Shares(TOKENS), share)
    both = builder.add("both", Concatenate((SCORES, VALUES)), share, values)
    pairs = torch.tensor(
        [(q * TOKENS + t, SCORES + t * WIDTH + w) for q in range(QUERIES) for w in range(WIDTH) for t in range(TOKENS)]
    ).reshape(-1)
    product = builder.add("product", Product(), builder.add("pairs", Select(pairs, SCORES + VALUES, pairs.shape), both))
    halves = torch.full((1, 1, 2 * TOKENS), 0.5, dtype=torch.float64)
    mean = builder.add("mean", BlockLinear(halves, QUERIES * WIDTH, (QUERIES * WIDTH,)), product)
    builder.add("out", linear(3, QUERIES * WIDTH, 1.0), mean)
    return builder.build()


def exactly(graph: Graph, x: torch.Tensor) -> list[mpmath.mpf]:
    """The outputs of :func:`attention` at a point, to 60 digits."""
    by_name = {node.name: node.operator for node in graph.nodes}

    def affine(name: str, of: list[mpmath.mpf]) -> list[mpmath.mpf]:
        operator = by_name[name]
        assert isinstance(operator, Linear)
        return [
            mpmath.fsum([mpmath.mpf(b), *(mpmath.mpf(w) * v for w, v in zip(row, of, strict=True))])
            for row, b in zip(operator.weight.tolist(), operator.bias.tolist(), strict=True)
        ]

    given = [mpmath.mpf(v) for v in x.tolist()]
    scores, values = affine("scores", given), affine("values", given)
    means = []
    for q in range(QUERIES):
        powers = [mpmath.exp(s) for s in scores[q * TOKENS : (q + 1) * TOKENS]]
        whole = mpmath.fsum(powers)
        means += [mpmath.fsum(p * values[t * WIDTH + w] for t, p in enumerate(powers)) / whole for w in range(WIDTH)]
    return affine("out", means)


def boxes(seed: int, radius: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Ends of a box around a random point, ``[1, INPUTS]`` each."""
    generator = torch.Generator().manual_seed(seed)
    center = torch.randn(1, INPUTS, generator=generator, dtype=torch.float64)
    return center - radius, center + radius
