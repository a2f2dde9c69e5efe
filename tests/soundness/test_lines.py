"""Optimized lines for activations of every kind, and what outputs depend on: proposals that lose nothing, and proofs."""

from __future__ import annotations

import math

import pytest
import torch

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import evaluate_dual
from netproof.bounds.line_ranges import refine_by_lines
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.lines import leaning
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import Region, box_region
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.loose import reached
from netproof.operators.activations.curves.exponentials import Exp, Softplus
from netproof.operators.activations.curves.periodic import Sin
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.pairs.product import Product
from netproof.operators.activations.pairs.quotient import Quotient
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.activations.tanh import Tanh
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.base import Activation

KINDS: list[Activation] = [
    ReLU(), LeakyReLU(0.125), Tanh(), Sigmoid(), Exp(), Softplus(), Sin(), Power(2.0), Product(), Quotient(),
]  # fmt: skip
#: lines of these do not lean, of sines none that are both convex and concave
UPRIGHT = (Quotient, Sin)
INPUTS, WIDTH = 3, 8
names = pytest.mark.parametrize("activation", KINDS, ids=lambda one: one.name)


def network(activation: Activation, seed: int) -> Graph:
    """Two layers of an activation; of quotients the numbers stay away from 0."""
    generator = torch.Generator().manual_seed(seed)

    def paired(weight: torch.Tensor) -> torch.Tensor:
        """Of a pair, half of either is taken, as everywhere."""
        if activation.coupled and weight.shape[1] == WIDTH:
            weight[:, 1::2] = weight[:, 0::2]
        return weight

    builder = GraphBuilder(Arithmetic.REAL, (INPUTS,))
    at, size = builder.input, INPUTS
    for layer in range(2):
        weight = torch.randn(WIDTH, size, generator=generator, dtype=torch.float64) / size**0.5
        at = builder.add(f"linear {layer}", Linear(paired(weight), torch.zeros(WIDTH).double()), at)
        if isinstance(activation, Quotient):
            at = builder.add(f"sigmoid {layer}", Sigmoid(), at)
            one = torch.full((1,), 0.5, dtype=torch.float64)
            at = builder.add(f"positive {layer}", Scale(WIDTH, torch.ones(1).double(), one), at)
        at, size = builder.add(f"bent {layer}", activation, at), WIDTH
    weight = torch.randn(2, size, generator=generator, dtype=torch.float64)
    builder.add("out", Linear(paired(weight), torch.zeros(2).double()), at)
    return builder.build()


def box(seed: int, radius: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    center = torch.randn(1, INPUTS, generator=generator, dtype=torch.float64) / 2
    return center - radius, center + radius


def outputs(graph: Graph) -> Objective:
    eye = torch.eye(2, dtype=torch.float64)
    return Objective({len(graph.nodes) - 1: torch.cat([eye, -eye])}, torch.zeros(4, dtype=torch.float64))


def points(lower: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
    t = torch.rand(500, INPUTS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t[::2] = t[::2].round()
    return lower + t * (upper - lower)


@names
def test_lines_are_on_their_side_of_the_hull(activation):
    """Wherever they lean, above or below: what they say at a point is never less than what is there."""
    generator = torch.Generator().manual_seed(1)
    low = torch.randn(20, WIDTH, generator=generator, dtype=torch.float64)
    low = low.abs() + 0.1 if isinstance(activation, Quotient) else low
    high = low + 2 * torch.rand(20, WIDTH, generator=generator, dtype=torch.float64)
    hull = activation.hull(low, high)
    for sign in (1.0, -1.0):
        v = torch.full_like(low, sign)
        for t in (0.0, 0.25, 1.0):
            slope, offset = hull.lean(v, torch.full_like(low, t))
            for share in torch.linspace(0, 1, 9).tolist():
                mixed = torch.rand(low.shape, generator=generator, dtype=torch.float64) if activation.coupled else share
                a = low + mixed * (high - low)
                over = sign * (slope * a + offset - activation.evaluate(a))
                # What pairs say counts for both of a pair together.
                over = over[..., 0::2] + over[..., 1::2] if activation.coupled else over
                assert float(over.min()) > -1e-9


@names
def test_lines_lower_bounds_and_what_they_prove_holds(activation):
    graph, (lower, upper) = network(activation, 2), box(2, 0.4)
    region = refine_ranges(graph, box_region(graph, lower, upper))
    objective = outputs(graph)
    relaxation = Relaxation(graph, region)
    relaxation32 = Relaxation(graph.to(torch.float32), region.to(torch.float32))
    start, before, _ = leaning(relaxation32, objective.to(torch.float32), Until(0))
    parameters, after, _ = leaning(relaxation32, objective.to(torch.float32), Until(20))
    assert bool((after <= before + 1e-5).all())
    if not isinstance(activation, UPRIGHT):
        assert bool((after < before - 1e-4).any())
    y = graph.evaluate(points(lower, upper))
    for chosen in (start, parameters):
        multipliers = chosen.to(torch.float64).multipliers()
        value = evaluate_dual(relaxation, objective, multipliers, Rounding.of(graph, region)).value
        assert bool((torch.cat([y.amax(0), -y.amin(0)]) <= value).all())
    # As good as the lines themselves, but for corners of polygons.
    assert bool((value <= after + 0.05 * after.abs() + 0.05).all())


@names
def test_ranges_by_lines_hold_every_value_and_are_smaller(activation):
    graph, (lower, upper) = network(activation, 3), box(3, 0.4)
    before = refine_ranges(graph, box_region(graph, lower, upper))
    after = refine_by_lines(graph, before, math.inf)
    values = graph.values(points(lower, upper))
    smaller = 0.0
    for k, index in enumerate(graph.activations):
        at = values[graph.nodes[index].operands[0]]
        assert bool((after.range_lower[k] <= at.amin(0)).all())
        assert bool((at.amax(0) <= after.range_upper[k]).all())
        assert bool((after.range_lower[k] >= before.range_lower[k]).all())
        assert bool((after.range_upper[k] <= before.range_upper[k]).all())
        smaller += float((before.range_upper[k] - after.range_upper[k]).sum())
    assert isinstance(activation, UPRIGHT) or smaller > 1e-4
    assert same(refine_by_lines(graph, before, -math.inf), before)  # no time, nothing lost


def same(first: Region, second: Region) -> bool:
    ends = [(first.range_lower, second.range_lower), (first.range_upper, second.range_upper)]
    return all(torch.equal(a, b) for one, other in ends for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("activation", [ReLU(), Product()], ids=lambda one: one.name)
def test_what_outputs_depend_on(activation):
    """Told from weights of 0, features of pairs together; nothing else is bounded, and the bound is the same."""
    graph = network(activation, 4)
    builder = GraphBuilder(Arithmetic.REAL, (INPUTS,))
    for node in graph.nodes[1:]:
        operator = node.operator
        if node.name == "out":
            weight = operator.weight.clone()
            weight[0, 4:] = 0.0
            weight[0, 3] = 0.0 if activation.coupled else weight[0, 3]
            operator = Linear(weight, operator.bias)
        builder.add(node.name, operator, *node.operands)
    graph = builder.build()
    asked = torch.tensor([True, False])
    first, second = reached(graph, asked)
    assert bool(first.all())
    assert second.tolist() == [n < 4 for n in range(WIDTH)]
    lower, upper = box(4, 0.5)
    region = box_region(graph, lower, upper)
    whole, part = refine_ranges(graph, region), refine_ranges(graph, region, wanted=[first, second])
    assert torch.equal(whole.range_upper[1][:, second], part.range_upper[1][:, second])
    assert torch.equal(region.range_upper[1][:, ~second], box_region(graph, lower, upper).range_upper[1][:, ~second])
    assert bool((part.range_upper[1] >= whole.range_upper[1]).all())
    assert bool((part.range_upper[1] > whole.range_upper[1])[:, ~second].any())
