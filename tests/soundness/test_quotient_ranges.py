"""Ranges of quotients, and many boxes at once: no value leaves a range, what is attained is not refuted."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
import torch

from netproof.bounds.boxes import refine_with_account
from netproof.bounds.deciding.evaluated import FLOAT_TYPES, deviations
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.ranges.forms import form_ranges, varying_inputs
from netproof.bounds.ranges.quotients import is_held_quotient, refine_quotients
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import Region, box_region
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.network import Network
from netproof.operators.activations.held import Held
from netproof.operators.activations.pairs.quotient import Quotient
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.select import Select
from netproof.query import Conjunction, Query, Question, Verdict
from netproof.search.real import together
from netproof.search.verify import verify
from netproof.settings import Settings

INPUTS, COUNT = 3, 4


def network(seed: int, sign: float = 1.0) -> Graph:
    """Quotients of affine functions of ReLUs; ``sign`` is that of the denominators."""
    generator = torch.Generator().manual_seed(seed)

    def linear(out: int, into: int, shift: float = 0.0, size: float = 1.0) -> Linear:
        weight = torch.randn(out, into, generator=generator, dtype=torch.float64) * size
        return Linear(weight, torch.randn(out, generator=generator, dtype=torch.float64) * size + shift)

    builder = GraphBuilder(Arithmetic.REAL, (INPUTS,))
    hidden = builder.add("relu", ReLU(), builder.add("hidden", linear(8, INPUTS), builder.input))
    pairs = linear(2 * COUNT, 8)
    positive = linear(COUNT, 8, 4.0, 0.3)
    weight, bias = pairs.weight.clone(), pairs.bias.clone()
    weight[1::2], bias[1::2] = sign * positive.weight, sign * positive.bias
    pair = builder.add("pairs", Linear(weight, bias), hidden)
    each = Select(torch.arange(0, 2 * COUNT, 2), 2 * COUNT, (COUNT,))
    quotient = builder.add("each", each, builder.add("quotient", Quotient(), pair))
    builder.add("out", linear(2, COUNT), builder.add("held", Held(), quotient))
    return builder.build()


def box(graph: Graph, seed: int, radius: float, rows: int = 1) -> tuple[Region, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    center = torch.randn(rows, INPUTS, generator=generator, dtype=torch.float64)
    region = box_region(graph, center - radius, center + radius)
    t = torch.rand(500, rows, INPUTS, generator=generator, dtype=torch.float64)
    t[::2] = t[::2].round()
    return region, torch.minimum(
        torch.maximum(region.lower + t * (region.upper - region.lower), region.lower), region.upper
    )


def inside(graph: Graph, region: Region, x: torch.Tensor) -> None:
    values = graph.values(x)
    for k, index in enumerate(graph.activations):
        a = values[graph.nodes[index].operands[0]]
        slack = 1e-12 * (1 + a.abs())
        assert bool(((a >= region.range_lower[k] - slack) & (a <= region.range_upper[k] + slack)).all())


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("seed", range(8))
def test_ranges_hold_every_value_and_are_closer(seed: int, sign: float) -> None:
    graph = network(seed, sign)
    region, x = box(graph, seed, 0.1 * (1 + seed % 4), rows=3)
    rounding = Rounding.of(graph, region)
    k = len(graph.activations) - 1
    assert is_held_quotient(graph, k) and not is_held_quotient(graph, k - 1)
    found = refine_quotients(graph, region, k, rounding)
    inside(graph, found, x)
    width, before = (r.range_upper[k] - r.range_lower[k] for r in (found, region))
    assert bool((width <= before).all()) and float(width.sum()) < 0.8 * float(before.sum())
    for refined in (
        refine_ranges(graph, region.take(torch.tensor([0]))),
        form_ranges(graph, region),
        refine_with_account(graph, region)[0],
    ):
        inside(graph, refined, x[:, : len(refined)])


def test_quotients_attained_at_a_corner_stay() -> None:
    """Affine numerator and denominator: the numbers are compared with the very quotient that the box attains."""
    builder = GraphBuilder(Arithmetic.REAL, (1,))
    pair = Linear(torch.tensor([[1.0], [1.0]]).double(), torch.tensor([0.0, 1.0]).double())
    relu = builder.add("relu", ReLU(), builder.input)
    quotient = builder.add("quotient", Quotient(), builder.add("pair", pair, relu))
    builder.add("held", Held(), builder.add("each", Select(torch.tensor([0]), 2, (1,)), quotient))
    graph = builder.build()
    low, high = torch.tensor([[1.0]]).double(), torch.tensor([[3.0]]).double()
    region = refine_quotients(graph, box_region(graph, low, high), 2, Rounding.of(graph, box_region(graph, low, high)))
    # x / (x + 1) from 1 / 2 to 3 / 4.
    assert 0.45 < float(region.range_lower[2]) <= 0.5 and 0.75 <= float(region.range_upper[2]) < 0.8


def test_a_denominator_of_no_sign_proves_nothing() -> None:
    graph = network(0)
    region, _ = box(graph, 0, 0.1)
    k = len(graph.activations) - 1
    wide = region.with_range(1, torch.full((1, 2 * COUNT), -1.0).double(), torch.full((1, 2 * COUNT), 1.0).double())
    wide = wide.with_range(k, torch.full((1, COUNT), -torch.inf).double(), torch.full((1, COUNT), torch.inf).double())
    found = refine_quotients(graph, wide, k, Rounding.of(graph, region))
    assert bool(torch.isinf(found.range_lower[k]).all() & torch.isinf(found.range_upper[k]).all())


def test_nothing_is_known_of_how_a_runtime_computes_quotients() -> None:
    # It may be a reciprocal and products, or a sum of many quotients.
    graph = network(0)
    zero = torch.zeros(INPUTS, dtype=torch.float64)
    off, _ = deviations(graph, zero, zero, FLOAT_TYPES["float32"])
    assert bool(torch.isinf(off).all())


def test_inputs_that_hardly_vary_have_no_part_in_forms() -> None:
    graph = network(3)
    region, _ = box(graph, 3, 0.2, rows=4)
    thin = torch.tensor([1e-16, 1.0, 0.0], dtype=torch.float64) * 0.2
    lower = (region.lower + region.upper) / 2 - thin
    upper = lower + 2 * thin
    some = box_region(graph, lower, upper)
    assert varying_inputs(some) == 1 and varying_inputs(region) == INPUTS
    t = torch.rand(300, 4, INPUTS, dtype=torch.float64).round()
    inside(graph, form_ranges(graph, some), torch.minimum(torch.maximum(lower + t * (upper - lower), lower), upper))


def asked(graph: Graph, seed: int, margin: float) -> tuple[list[Query], list[bool]]:
    """Many boxes, each with two conjunctions whose thresholds are ``margin`` above what some point of it attains."""
    generator = torch.Generator().manual_seed(seed)
    unbounded = torch.full((INPUTS,), torch.inf, dtype=torch.float64)
    whole = Network(graph=graph, path="net", sha256="", lower=-unbounded, upper=unbounded)
    queries, meets = [], []
    for number in range(40):
        region, x = box(graph, 100 * seed + number, 0.3 * float(torch.rand(1, generator=generator)))
        y = graph.evaluate(x[:, 0])
        condition, met = [], False
        for _ in range(1 + number % 2):
            c = torch.randn(1 + number % 3, 2, generator=generator, dtype=torch.float64)
            off = margin if float(torch.rand(1, generator=generator)) < 0.8 else -1e-9
            best = (y @ c.T)[int((y @ c[0]).argmax())]
            condition.append(Conjunction(c, best + off))
            met |= off < 0
        queries.append(Query(whole, region.lower[0], region.upper[0], tuple(condition), f"box {number}"))
        meets.append(met)
    return queries, meets


@pytest.mark.parametrize("seed", range(4))
def test_boxes_together(seed: int, monkeypatch) -> None:
    graph = network(seed)
    queries, meets = asked(graph, seed, 0.02)
    if seed % 2:  # in batches of a few
        monkeypatch.setattr(together, "BOXES", replace(together.BOXES, batch=replace(together.BOXES.batch, most=7)))
    found = dict(together.refuted_together(queries, math.inf))
    assert all(queries[number] is query for number, query in found.items())
    assert not any(meets[number] for number in found)
    assert len(found) > 0.8 * (len(meets) - sum(meets))
    # Without splits fewer, and none that the splits do not refute; at the deadline none.
    monkeypatch.setattr(together, "BOXES", replace(together.BOXES, depth=0))
    whole = dict(together.refuted_together(queries, math.inf))
    assert set(whole) <= set(found) and len(whole) < len(found)
    assert not list(together.refuted_together(queries, time.monotonic()))


def test_a_question_of_many_boxes() -> None:
    queries, meets = asked(network(1), 1, 0.3)
    kept = [query for query, met in zip(queries, meets, strict=True) if not met]
    settings = Settings(timeout=20.0, attack=False)
    result = verify(Question(kept, "many"), settings)
    assert result.verdict is Verdict.UNSAT and result.subproblems >= len(kept)
    assert verify(Question(queries, "all"), replace(settings, timeout=0.5)).verdict is not Verdict.UNSAT
