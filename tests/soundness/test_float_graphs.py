"""The dual bound and interval propagation on graphs of every float operator: no sampled point may leave its bound.

Bounds are computed in float64 here without their error terms, so a sample may exceed one by rounding only.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from netproof.bounds.dual import crown, evaluate_dual, given, relaxed_values
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import box_region, node_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.passes.simplify import simplify
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.activations.tanh import Tanh
from netproof.operators.affine import convolution
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum
from netproof.operators.affine.transposed_convolution import TransposedConvolution
from netproof.operators.base import Activation

ACTIVATIONS: list[Activation] = [
    ReLU(), Abs(), LeakyReLU(0.1), LeakyReLU(-0.5), LeakyReLU(1.5), Clip(-0.25, 0.5), Sigmoid(), Tanh(),
]  # fmt: skip


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def decoder_graph(seed: int, pick: Callable[[], Activation]) -> Graph:
    """A dense layer, transposed convolutions that make a small map larger, a convolution, and a dense layer."""
    g = torch.Generator().manual_seed(seed)
    b = GraphBuilder(Arithmetic.REAL, (32,))
    dense = b.add("dense", Linear(normal(g, 12, 32) / 6, normal(g, 12)), 0)
    first = b.add("first", pick(), dense)
    up = b.add(
        "up",
        TransposedConvolution(
            normal(g, 3, 2, 3, 2) / 2, normal(g, 2), (3, 2, 2), (2, 3), ((1, 0), (0, 1)), (1, 1), (1, 0)
        ),
        first,
    )
    second = b.add("second", pick(), up)
    more = b.add(
        "more",
        TransposedConvolution(
            normal(g, 2, 1, 2, 2) / 2, None, (2, 5, 4), (1, 1), ((0, 0), (0, 0)), (1, 2), (0, 0), groups=2
        ),
        second,
    )
    down = b.add(
        "down", Convolution(normal(g, 2, 2, 3, 3) / 3, normal(g, 2), (2, 6, 6), (2, 2), ((0, 0),) * 2, (1, 1)), more
    )
    third = b.add("third", Scale(8, normal(g, 2), normal(g, 2)), down)
    last = b.add("last", pick(), b.add("again", BlockLinear(normal(g, 1, 3, 2), 4, (4, 3)), third))
    b.add("outputs", Linear(normal(g, 4, 12) / 2, normal(g, 4)), last)
    return b.build()  # fmt: skip


def residual_graph(seed: int, pick: Callable[[], Activation]) -> Graph:
    """Convolutions with a shortcut, a concatenation, an index map, block matrices, and a dense layer."""
    g = torch.Generator().manual_seed(seed)
    b = GraphBuilder(Arithmetic.REAL, (2, 4, 4))
    stem = b.add(
        "stem", Convolution(normal(g, 3, 2, 2, 2) / 2, normal(g, 3), (2, 4, 4), (2, 2), ((1, 0), (0, 1)), (1, 1)), 0
    )
    norm = b.add("norm", Scale(12, normal(g, 3), normal(g, 3)), stem)
    first = b.add("first", pick(), norm)
    inner = b.add(
        "inner", Convolution(normal(g, 3, 3, 3, 3) / 4, None, (3, 2, 2), (1, 1), ((1, 1),) * 2, (1, 1)), first
    )
    second = b.add("second", pick(), inner)
    total = b.add("total", Sum((1, -1)), second, first)
    pooled = b.add(
        "pooled",
        Convolution(torch.full((1, 1, 2, 2), 0.25).double(), None, (1, 2, 2), (1, 1), ((0, 0),) * 2, (1, 1), samples=3),
        total,
    )
    every = b.add("every", Concatenate((12, 3)), total, pooled)
    turned = b.add(
        "turned",
        Select(
            torch.tensor([14, 0, 3, -1, 3, 7, 12, 9]), 15, (4, 2), torch.tensor([0.0, 0, 0, 0.5, 0, 0, 0, 0]).double()
        ),
        every,
    )
    blocks = b.add("blocks", BlockLinear(normal(g, 1, 3, 2), 4, (4, 3)), turned)
    third = b.add("third", pick(), blocks)
    b.add("outputs", Linear(normal(g, 4, 12) / 2, normal(g, 4)), third)
    return b.build()  # fmt: skip


Maker = Callable[[int, Callable[[], Activation]], Graph]
MAKERS: list[Maker] = [residual_graph, decoder_graph]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("seed", range(12))
def test_no_sample_leaves_refined_ranges(seed: int, make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(2000 + seed)
    graph = make(seed, lambda: ACTIVATIONS[int(torch.randint(len(ACTIVATIONS), (), generator=generator))])
    if seed % 2:
        monkeypatch.setattr(convolution, "_WEIGHTS_PER_PLACE", 0)
    center, radius = normal(generator, 32), torch.rand(32, generator=generator, dtype=torch.float64)
    lower, upper = center - radius, center + radius
    wide = box_region(graph, lower[None], upper[None])
    region = refine_ranges(graph, wide)
    assert any(bool((low > other).any()) for low, other in zip(region.range_lower, wide.range_lower, strict=True))
    x = lower + torch.rand(500, 32, generator=generator, dtype=torch.float64) * (upper - lower)
    x[:200] = torch.where(x[:200] > center, upper, lower)
    values = graph.values(x)
    for k, index in enumerate(graph.activations):
        a = values[graph.nodes[index].operands[0]]
        slack = 1e-12 * (1 + a.abs())  # of the samples' own evaluation
        assert bool((region.range_lower[k] <= a + slack).all() and (a <= region.range_upper[k] + slack).all())


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("simplified", [False, True])
def test_no_sample_leaves_its_bound(seed: int, make: Maker, simplified: bool) -> None:
    generator = torch.Generator().manual_seed(1000 + seed)
    graph = make(seed, lambda: ACTIVATIONS[int(torch.randint(len(ACTIVATIONS), (), generator=generator))])
    graph = simplify(graph) if simplified else graph
    center, radius = normal(generator, 32), torch.rand(32, generator=generator, dtype=torch.float64) * 0.3
    lower, upper = center - radius, center + radius
    x = torch.cat(
        [
            lower + torch.rand(300, 32, generator=generator, dtype=torch.float64) * (upper - lower),
            torch.where(torch.rand(300, 32, generator=generator) < 0.5, lower, upper),
        ]
    )
    values = graph.values(x)
    region = box_region(graph, lower[None], upper[None])
    for value, (low, high) in zip(values, node_intervals(graph, region), strict=True):
        assert bool((value >= low - 1e-12).all() & (value <= high + 1e-12).all())
    # Objectives in the outputs and in an inner node together, one row each.
    rows, inner = 24, graph.activations[1]
    objective = Objective(
        {
            len(graph.nodes) - 1: normal(generator, rows, 4),
            inner: normal(generator, rows, graph.nodes[inner].size) * 0.1,
        },
        normal(generator, rows),
    )
    true = objective.constant + sum(
        (values[node] @ c.T for node, c in objective.coefficients.items()), torch.zeros((), dtype=torch.float64)
    )
    relaxation = Relaxation(graph, region)
    by_crown = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
    assert bool((true.amax(0) <= by_crown.value + 1e-11).all())
    for _ in range(5):  # any multipliers whatever give a bound
        s = [None if m is None else normal(generator, *m.shape) for m in by_crown.s]
        bound = evaluate_dual(relaxation, objective, given(s))
        assert bool((true.amax(0) <= bound.value + 1e-11).all())
    assert len(relaxed_values(by_crown)) == len(graph.nodes)
    # On a single point, with ranges that are points, the bound is the value.
    single = box_region(graph, x[:1], x[:1])
    if all(
        bool((high - low).abs().max() < 1e-9) for low, high in zip(single.range_lower, single.range_upper, strict=True)
    ):
        relaxation = Relaxation(graph, single)
        point = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
        assert torch.allclose(point.value, true[0], atol=1e-6)


def test_dual_bound_in_float32_is_near() -> None:
    graph = residual_graph(3, ReLU)
    lower = torch.zeros(1, 32, dtype=torch.float64)
    found = []
    for dtype in (torch.float64, torch.float32):
        light = graph.to(dtype)
        region = box_region(light, lower.to(dtype), lower.to(dtype) + 0.1)
        relaxation = Relaxation(light, region)
        objective = Objective({len(light.nodes) - 1: torch.eye(4, dtype=dtype)}, torch.zeros(4, dtype=dtype))
        point = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
        assert point.value.dtype == dtype
        found.append(point.value.double())
    assert torch.allclose(found[0], found[1], rtol=1e-4, atol=1e-4)
