"""Random graphs of all operators: no value leaves a range, no bound is below what a point attains, no verdict denies one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from differential import float_cases, operator_maker
from differential.float_campaign import ask
from differential.onnx_maker import Maker
from netproof.bounds.boxes import box_lines
from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import DualPoint, crown, evaluate_dual
from netproof.bounds.intervals import interval_bound
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.forms import form_ranges
from netproof.bounds.ranges.reduce import reduce_real_ranges
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import Region, box_region
from netproof.bounds.relaxation import Relaxation
from netproof.formats.onnx.read import read_onnx
from netproof.graph.crop import crop
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.operators.activations.pairs.product import Product
from netproof.operators.affine.select import Select
from netproof.query import Verdict
from onnx_models import model, save


def network(seed: int, folder) -> Graph:
    maker = Maker(seed, (1, 2, 3, 3))
    for _ in range(1 + seed % 4):
        operator_maker.grow(maker)
    maker.finish()
    return read_onnx(save(folder / "net.onnx", model(maker.nodes, maker.start, maker.constants))).graph


def box(graph: Graph, seed: int) -> tuple[torch.Generator, Region, torch.Tensor]:
    """A box, from a point to one of a radius of 1, and points of it: corners, and inner ones."""
    generator = torch.Generator().manual_seed(seed)
    center = torch.randn(1, graph.input.size, generator=generator, dtype=torch.float64)
    radius = 10.0 ** float(-3 * torch.rand(1, generator=generator)) if seed % 7 else 0.0
    region = box_region(graph, center - radius, center + radius)
    t = torch.rand(400, graph.input.size, generator=generator, dtype=torch.float64)
    t[::2] = t[::2].round()
    x = torch.minimum(torch.maximum(region.lower + t * (region.upper - region.lower), region.lower), region.upper)
    return generator, region, x


def assert_inside(graph: Graph, region: Region, values: list[torch.Tensor], what: str) -> None:
    for k, index in enumerate(graph.activations):
        a = values[graph.nodes[index].operands[0]]
        slack = 1e-9 * (1 + a.abs())
        inside = (a >= region.range_lower[k] - slack) & (a <= region.range_upper[k] + slack)
        assert bool(inside.all()), (what, k, graph.nodes[index].operator.name)


@pytest.mark.parametrize("seed", range(42))
def test_ranges_and_bounds(seed: int, tmp_path) -> None:
    graph = network(seed, tmp_path)
    generator, region, x = box(graph, seed)
    values = graph.values(x)
    assert_inside(graph, region, values, "intervals")
    by_forms = form_ranges(graph, region)
    assert_inside(graph, by_forms, values, "forms")
    refined = refine_ranges(graph, region)
    assert_inside(graph, refined, values, "CROWN")
    c = torch.randn(6, graph.output.size, generator=generator, dtype=torch.float64)
    attained = (values[-1] @ c.T).amax(0)
    slack = 1e-9 * (1 + attained.abs())
    for ranges in (region, refined):
        relaxation, account = Relaxation(graph, ranges), Rounding.of(graph, ranges)
        objective = Objective({len(graph.nodes) - 1: c}, torch.zeros(6, dtype=torch.float64))
        of_rows = Objective({len(graph.nodes) - 1: c[None]}, torch.zeros(1, 6, dtype=torch.float64))
        by_crown = crown_lines(relaxation, objective, account)
        bounds = {
            "crown": by_crown.value,
            "boxes": box_lines(relaxation, of_rows, account).value[0],
            "dual": evaluate_dual(relaxation, objective, crown(relaxation.hulls), account).value,
            "intervals": interval_bound(relaxation, of_rows, account)[0],
            # Any multipliers will do.
            "random": evaluate_dual(
                relaxation,
                objective,
                lambda k, v: v + torch.randn(v.shape, generator=generator, dtype=v.dtype),
                account,
            ).value,
        }
        for name, bound in bounds.items():
            assert bool((bound >= attained - slack).all()), name
        lines = x @ by_crown.coefficients.T + by_crown.constant
        assert bool((lines >= values[-1] @ c.T - slack).all())
    # On a point nothing is left but rounding.
    if not seed % 7 and all(bool(torch.isfinite(m).all()) for m in account.magnitude):
        jumps = any(graph.nodes[i].operator.name in ("step", "floor") for i in graph.activations)
        assert jumps or float((bounds["crown"] - attained).max()) <= 1e-6 * float(1 + attained.abs().max())


@pytest.mark.parametrize("seed", range(0, 60, 4))
def test_parts_of_a_graph_are_the_graph(seed: int, tmp_path) -> None:
    graph = network(seed, tmp_path)
    _, region, x = box(graph, seed)
    values = graph.values(x)
    for index in graph.activations:
        operand = graph.nodes[index].operands[0]
        wanted = torch.randperm(graph.nodes[operand].size, generator=torch.Generator().manual_seed(seed))[:2]
        part = crop(graph, operand, wanted)
        mine = part.graph.values(x[:, part.features[0]])
        for node, features, value in zip(part.nodes, part.features, mine, strict=True):
            assert torch.allclose(value, values[node][:, features], rtol=1e-9, atol=1e-9)
        Rounding.of(graph, region).part(part)
        assert len(region.part(part).range_lower) == len(part.graph.activations)


@pytest.mark.parametrize("number", range(6, 7 * 16, 14))
def test_what_a_point_attains_is_not_refuted(number: int, tmp_path) -> None:
    """Thresholds that a point attains, and such that none is known to attain, with the attack off in several ways."""
    case = float_cases.random_case(11, number)
    assert case.kind == "operators"
    read, plain = float_cases.read(case, tmp_path), float_cases.read_plain(case, tmp_path)
    random = np.random.default_rng(number)
    reached = [
        [float_cases.best_point(plain, part, conjunction, random)[1] for conjunction in part.conjunctions]
        for part in case.parts
    ]
    for shift in (-1e-6, 1e-2):
        shifts = [[value + shift * (1 + abs(value)) for value in row] for row in reached]
        statement = float_cases.property_of(float_cases.moved(case, shifts))
        for trait in ("blind", "inputs", "signs"):
            verdict = ask(statement.question(read), trait, 0.4)
            assert shift > 0 or verdict is not Verdict.UNSAT, trait


def pairs_graph() -> Graph:
    builder = GraphBuilder(Arithmetic.REAL, (6,))
    product = builder.add("product", Product(), builder.input)
    # One image of the first pair, one of the last: what hangs on both features of each.
    builder.add("some", Select(torch.tensor([0, 5]), 6, (2,)), product)
    return builder.build()


def test_a_part_of_a_product_has_whole_pairs() -> None:
    graph = pairs_graph()
    part = crop(graph, 2, torch.tensor([1]))
    assert [features.tolist() for features in part.features[:2]] == [[4, 5], [4, 5]]
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(part.graph.evaluate(x[:, 4:])[:, -1], x[:, 4] * x[:, 5])


def test_ranges_of_factors_are_not_cut_one_by_one() -> None:
    """What a bound excludes of one factor's range it excludes together with the range of the other."""
    graph = pairs_graph()
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        ends = torch.randn(2, 1, 6, generator=generator, dtype=torch.float64)
        region = box_region(graph, ends.amin(0), ends.amax(0))
        c, s = (torch.randn(1, n, generator=generator, dtype=torch.float64) for n in (2, 6))
        account = Rounding.of(graph, region)

        def bound(constant: float, c=c, s=s, region=region, account=account) -> DualPoint:
            objective = Objective({2: c}, torch.full((1,), constant).double())
            return evaluate_dual(Relaxation(graph, region), objective, lambda k, v: s, account)

        # Nearly out of reach, so that ends of ranges seem to be.
        point = bound(1e-3 - float(bound(0.0).value))
        cut = reduce_real_ranges(point, point.value)
        assert torch.equal(cut.range_lower[0], region.range_lower[0])
        assert torch.equal(cut.range_upper[0], region.range_upper[0])
