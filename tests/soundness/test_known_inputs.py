"""What is left of a graph where most inputs are known: it computes the same, and what is attained is not refuted."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from netproof.bounds.ranges.forms import inputs_that_vary
from netproof.bounds.region import box_region, node_intervals
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.network import Network
from netproof.operators.activations.pairs.product import Product
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum
from netproof.query import Conjunction, Query
from netproof.search.real import together
from netproof.search.real.remainder import Remainder

INPUTS, WIDTH = 5, 6
VARIES = torch.tensor([False, False, False, False, True])


def network(seed: int) -> Graph:
    """Four inputs through ReLUs, times what two layers make of the fifth, and the first four once more beside it."""
    generator = torch.Generator().manual_seed(seed)

    def linear(out: int, into: int) -> Linear:
        draw = [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((out, into), (out,))]
        return Linear(*draw)

    builder = GraphBuilder(Arithmetic.REAL, (INPUTS,))
    first = builder.add("first", Select(torch.arange(4), INPUTS, (4,)), builder.input)
    last = builder.add("last", Select(torch.tensor([4]), INPUTS, (1,)), builder.input)
    known = builder.add("known", ReLU(), builder.add("in", linear(WIDTH, 4), first))
    known = builder.add("known_2", ReLU(), builder.add("on", linear(WIDTH, WIDTH), known))
    varies = builder.add("varies", ReLU(), builder.add("one", linear(WIDTH, 1), last))
    weight = torch.zeros(2 * WIDTH, WIDTH, dtype=torch.float64)
    even, odd = weight.clone(), weight.clone()
    even[0::2], odd[1::2] = torch.eye(WIDTH).double(), torch.eye(WIDTH).double()
    zero = torch.zeros(2 * WIDTH, dtype=torch.float64)
    pairs = [builder.add("a", Linear(even, zero), known), builder.add("b", Linear(odd, zero), varies)]
    product = builder.add("product", Product(), builder.add("pairs", Sum((1, 1)), *pairs))
    each = builder.add("each", Select(torch.arange(0, 2 * WIDTH, 2), 2 * WIDTH, (WIDTH,)), product)
    builder.add("out", linear(2, WIDTH), each)
    return builder.build()


def boxes(seed: int, count: int, thin: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes of which the fifth side has a width, and the others are ``thin``."""
    generator = torch.Generator().manual_seed(seed)
    lower = torch.randn(count, INPUTS, generator=generator, dtype=torch.float64)
    return lower, lower + torch.where(VARIES, 0.5, thin)


@pytest.mark.parametrize("thin", [0.0, 1e-15])
@pytest.mark.parametrize("seed", range(4))
def test_a_remainder_computes_the_same(seed: int, thin: float) -> None:
    graph = network(seed)
    lower, upper = boxes(seed, 3, thin)
    assert torch.equal(inputs_that_vary(lower, upper), VARIES)
    rest = Remainder.of(graph, VARIES)
    assert rest is not None
    # Both layers of the first four inputs are gone, and so is the first of what they are made of.
    assert len(rest.graph.activations) == 2 and len(graph.activations) == 4
    assert int(rest.free.sum()) == 1
    found = rest.box(lower, upper)
    assert found is not None
    t = torch.rand(200, 3, INPUTS, dtype=torch.float64).round()
    x = torch.minimum(lower + t * (upper - lower), upper)
    values = graph.values(x)
    taken = torch.cat([x, *(values[i] for i in rest.known)], -1)
    assert torch.allclose(rest.graph.evaluate(taken), values[-1], rtol=1e-12)
    assert bool(((taken >= found[0]) & (taken <= found[1])).all())
    intervals = node_intervals(graph, box_region(graph, lower, upper))
    for side in range(2):
        assert torch.equal(found[side][:, INPUTS:], torch.cat([intervals[i][side] for i in rest.known], 1))


def test_there_is_no_remainder_of_all_or_of_nothing() -> None:
    graph = network(0)
    assert Remainder.of(graph, torch.ones(INPUTS, dtype=torch.bool)) is None
    assert Remainder.of(graph, torch.zeros(INPUTS, dtype=torch.bool)) is None


def test_a_value_without_bounds_is_no_input() -> None:
    lower, upper = boxes(0, 2, 0.0)
    lower[1, 0], upper[1, 0] = -1e308, 1e308
    rest = Remainder.of(network(0), VARIES)
    assert rest is not None and rest.box(lower, upper) is None


@pytest.mark.parametrize("thin", [0.0, 1e-15])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_attained_stays(seed: int, thin: float, monkeypatch) -> None:
    graph = network(seed)
    unbounded = torch.full((INPUTS,), torch.inf, dtype=torch.float64)
    whole = Network(graph=graph, path="net", sha256="", lower=-unbounded, upper=unbounded)
    lower, upper = boxes(seed, 40, thin)
    t = torch.rand(500, 40, INPUTS, dtype=torch.float64)
    t[::2] = t[::2].round()
    y = graph.evaluate(torch.minimum(lower + t * (upper - lower), upper))
    c = torch.randn(40, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    best = (y * c).sum(-1).amax(0)
    attained = torch.arange(40) % 4 == 0
    threshold = best + torch.where(attained, -1e-9, 0.05) * (1 + best.abs())
    queries = [
        Query(whole, lower[i], upper[i], (Conjunction(c[i : i + 1], threshold[i : i + 1]),), f"box {i}")
        for i in range(40)
    ]
    made = []
    of = Remainder.of
    monkeypatch.setattr(Remainder, "of", lambda *asked: made.append(of(*asked)) or made[-1])
    found = dict(together.refuted_together(queries, math.inf))
    assert made and all(rest is not None for rest in made)
    assert not any(bool(attained[number]) for number in found)
    assert len(found) > 0.9 * int((~attained).sum())
    # On all of the graph no more, but for how halves are chosen.
    monkeypatch.setattr(Remainder, "of", lambda *asked: None)
    assert len(dict(together.refuted_together(queries, math.inf))) <= len(found) + 1


def test_what_is_refuted_needs_no_time_kept_for_it(monkeypatch) -> None:
    graph = network(1)
    unbounded = torch.full((INPUTS,), torch.inf, dtype=torch.float64)
    whole = Network(graph=graph, path="net", sha256="", lower=-unbounded, upper=unbounded)
    lower, upper = boxes(1, 32, 0.0)
    far = (Conjunction(torch.ones(1, 2).double(), torch.tensor([1e6]).double()),)
    near = (Conjunction(torch.ones(1, 2).double(), torch.tensor([-1e6]).double()),)
    size = together.BOXES.batch
    monkeypatch.setattr(together, "BOXES", replace(together.BOXES, batch=replace(size, most=4)))
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(together.time, "monotonic", clock)

    def refuted(condition, last: float | None) -> int:
        now[0] = 0.0
        queries = [Query(whole, lower[i], upper[i], condition, f"box {i}") for i in range(32)]
        return len(list(together.refuted_together(queries, 12.0, last)))

    # The clock goes on by one for every query: 4 a batch, all of which are refuted, or none.
    assert 4 <= refuted(far, None) < 16
    assert refuted(far, 1000.0) == 32
    assert refuted(near, 1000.0) == 0
    assert now[0] < 40
