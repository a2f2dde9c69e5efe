"""Shortcuts for attention, sums as one map and ranges through narrow nodes: the same bounds, and nothing true cut off."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import pytest
import torch

from netproof.bounds.backward import bound_backwards
from netproof.bounds.condensed import chains
from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.narrow import Narrow, ranges_through
from netproof.bounds.objective import Objective
from netproof.bounds.ranges import refine
from netproof.bounds.region import Region, box_region
from netproof.bounds.relaxation import Relaxation
from soundness.attention_models import INPUTS, SCORES, attention, boxes, exactly


def test_which_sums_are_condensed():
    graph = attention(0)
    names = {graph.nodes[index].name: graph.nodes[chain.source].name for index, chain in chains(graph).items()}
    assert names == {"sum": "scores", "mean": "both"}
    relaxation = Relaxation(graph, box_region(graph, *boxes(0, 0.1)))
    assert len(relaxation.condensed()) == 2
    assert relaxation.widest() < graph.widest
    twice = Relaxation(graph, Region.concatenate([relaxation.region] * 2))
    assert not twice.condensed()  # every row has lines of its own


@pytest.mark.parametrize("radius", [0.0, 0.01, 0.3, 2.0])
def test_condensed_sums_change_no_bound(radius):
    graph = attention(1)
    region = refine.refine_ranges(graph, box_region(graph, *boxes(1, radius)))
    relaxation, rounding = Relaxation(graph, region), Rounding.of(graph, region)
    c = torch.randn(6, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    objective = Objective({len(graph.nodes) - 1: c}, torch.zeros(6, dtype=torch.float64))
    found = crown_lines(relaxation, objective, rounding)
    plain = bound_backwards(relaxation, objective, lambda k, v: relaxation.hulls[k].relax(v), rounding)
    assert torch.allclose(found.value, plain.value, rtol=1e-10, atol=1e-10)
    assert torch.allclose(found.coefficients, plain.coefficients, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("seed", "size", "radius"), [(3, 1.0, 0.0), (4, 3.0, 0.0), (5, 1.0, 0.05), (6, 2.0, 0.4)])
def test_no_output_is_beyond_its_bound(seed, size, radius, together):
    """At a point the bound is the value and what rounding can do; on boxes, corners are near enough to fall out of a loose line."""
    graph = attention(seed, size, together=together)
    lower, upper = boxes(seed, radius)
    region = refine.refine_ranges(graph, box_region(graph, lower, upper))
    eye = torch.eye(3, dtype=torch.float64)
    objective = Objective({len(graph.nodes) - 1: torch.cat([eye, -eye])}, torch.zeros(6, dtype=torch.float64))
    bound = crown_lines(Relaxation(graph, region), objective, Rounding.of(graph, region)).value.tolist()
    generator = torch.Generator().manual_seed(seed)
    with mpmath.workdps(60):
        for _ in range(4 if radius else 1):
            x = torch.where(torch.rand(1, INPUTS, generator=generator) < 0.5, lower, upper)[0]
            for number, value in enumerate(exactly(graph, x)):
                assert -mpmath.mpf(bound[3 + number]) <= value <= mpmath.mpf(bound[number])
                assert radius or bound[number] - value < 1e-6


def test_the_account_of_rounding_is_that_of_single_products():
    graph = attention(7)
    region = refine.refine_ranges(graph, box_region(graph, *boxes(7, 0.2)))
    relaxation, rounding = Relaxation(graph, region), Rounding.of(graph, region)
    generator = torch.Generator().manual_seed(7)
    for index, sums in relaxation.condensed().items():
        v = torch.randn(4, graph.nodes[index].size, generator=generator, dtype=torch.float64)
        activation = graph.activations[sums.chain.k]
        operand = graph.nodes[activation].operands[0]
        (received,) = graph.nodes[index].operator.adjoint(v)
        s, added = relaxation.hulls[sums.chain.k].relax(received)
        _, found, off = sums.relax(v, rounding)
        assert torch.allclose(found, added, rtol=1e-11)
        assert torch.allclose(off, rounding.weigh(operand, s), rtol=1e-9, atol=0.0)
        assert bool((off > 0).all())


@pytest.mark.parametrize("radius", [0.0, 0.25])
def test_differences_of_scores_have_the_ranges_of_both_together(radius):
    """Of affine functions a sum of lines is exact, and no rational end is outside."""
    graph = attention(8)
    lower, upper = boxes(8, radius)
    region = box_region(graph, lower, upper)
    node = next(i for i, one in enumerate(graph.nodes) if one.name == "difference")
    narrow = Narrow.of(graph, node)
    assert narrow is not None
    assert graph.nodes[narrow.node].name == "scores"
    assert ranges_through(Relaxation(graph, region), narrow, Rounding.of(graph, region), -math.inf) is None
    found = ranges_through(Relaxation(graph, region), narrow, Rounding.of(graph, region))
    assert found is not None
    low, high = found
    scores, signs = graph.nodes[narrow.node].operator, dict(enumerate(narrow.terms))
    weight = sum(sign * scores.weight[index] for sign, index in signs.values())
    reach = (weight.abs() * (upper - lower)[0] / 2).sum(1)
    assert bool((high - low <= 2 * reach + 1e-10).all())
    assert not radius or bool((high - low < 0.9 * (region.range_upper[0] - region.range_lower[0])[0]).any())
    lows, highs = ([Fraction(v) for v in end[0].tolist()] for end in (lower, upper))
    rows = [[Fraction(v) for v in row] for row in scores.weight.tolist()]
    shift = [Fraction(v) for v in scores.bias.tolist()]
    for feature in range(0, len(low), 7):
        terms = [(sign, int(index[feature])) for sign, index in narrow.terms]
        row = [sum(sign * rows[i][n] for sign, i in terms) for n in range(INPUTS)]
        constant = sum(sign * shift[i] for sign, i in terms)
        top = constant + sum(max(w * a, w * b) for w, a, b in zip(row, lows, highs, strict=True))
        bottom = constant + sum(min(w * a, w * b) for w, a, b in zip(row, lows, highs, strict=True))
        assert Fraction(float(low[feature])) <= bottom
        assert top <= Fraction(float(high[feature]))


def test_a_sum_of_lines_is_off_by_what_both_are_and_by_the_sum_itself():
    """At a point a line's bound is its value there and its error: the sum's is that of both, and more by what adding rounds."""
    graph = attention(10)
    region = box_region(graph, *boxes(10, 0.0))
    node = next(i for i, one in enumerate(graph.nodes) if one.name == "difference")
    narrow, rounding = Narrow.of(graph, node), Rounding.of(graph, region)
    assert narrow is not None
    found = ranges_through(Relaxation(graph, region), narrow, rounding)
    assert found is not None
    eye = torch.eye(SCORES, dtype=torch.float64)
    objective = Objective({narrow.node: torch.cat([eye, -eye])}, torch.zeros(2 * SCORES, dtype=torch.float64))
    single = crown_lines(Relaxation(graph, region), objective, rounding).value
    (_, second), (_, first) = sorted(narrow.terms, key=lambda term: term[0])
    more = found[1] - (single[first] + single[SCORES + second])
    size = graph.nodes[narrow.node].operator.weight.abs().sum(1)[first]
    assert bool((more > 16 * torch.finfo(torch.float64).eps * size.clamp(max=1)).all())


@pytest.mark.parametrize("together", [False, True])
def test_images_are_not_bounded_again(monkeypatch, together):
    graph = attention(9, together=together)
    region = box_region(graph, *boxes(9, 0.2))
    rows = []
    bound = refine.bound_features
    monkeypatch.setattr(refine, "bound_features", lambda *args: rows.append(len(args[1])) or bound(*args))
    short = refine.refine_ranges(graph, region)
    few = sum(rows)
    monkeypatch.setattr(refine, "_copies", lambda graph, region, node: torch.zeros(1, 1, dtype=torch.bool))
    rows.clear()
    long = refine.refine_ranges(graph, region)
    assert few < sum(rows)
    if together:
        return  # with what is known of all shares, one can be bounded closer than by its own range
    for ends in ("range_lower", "range_upper"):
        for a, b in zip(getattr(short, ends), getattr(long, ends), strict=True):
            assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_hulls_of_another_region_are_those_made_anew(seed):
    graph = attention(seed)
    region = box_region(graph, *boxes(seed, 0.3))
    before = Relaxation(graph, region)
    assert len(before.condensed()) == 2 and not before.hulls.has(1)
    assert len(list(before.hulls)) == len(graph.activations)
    at = seed % len(graph.activations)
    low, high = region.range_lower[at].clone(), region.range_upper[at].clone()
    low[0, 0] += 0.25 * (high[0, 0] - low[0, 0])
    after = before.on(region.with_range(at, low, high))
    anew = Relaxation(graph, after.region)
    for k, index in enumerate(graph.activations):
        assert (after.hulls[k] is before.hulls[k]) == (k != at)
        v = torch.randn(4, graph.nodes[index].size, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
        for mine, other in zip(after.hulls[k].relax(v), anew.hulls[k].relax(v), strict=True):
            assert torch.equal(mine, other)
    for index, sums in anew.condensed().items():
        # A map that holds for other ranges would be none for these.
        assert (after.condensed()[index] is before.condensed()[index]) == (sums.chain.k != at)
        for side in ("above", "below"):
            mine, other = (getattr(one, side) for one in (after.condensed()[index], sums))
            assert torch.equal(mine.added, other.added) and torch.equal(mine.sizes, other.sizes)
            assert torch.equal(mine.multipliers.to_dense(), other.multipliers.to_dense())


@pytest.mark.parametrize("seed", range(4))
def test_layers_refined_with_hulls_that_are_kept(seed, monkeypatch):
    graph = attention(seed)
    region = box_region(graph, *boxes(seed, 0.3))
    kept = refine.refine_ranges(graph, region)
    monkeypatch.setattr(Relaxation, "on", lambda self, region: Relaxation(self.graph, region))
    anew = refine.refine_ranges(graph, region)
    for mine, other in zip((*kept.range_lower, *kept.range_upper), (*anew.range_lower, *anew.range_upper), strict=True):
        assert torch.equal(mine, other)
    assert any((k > r).any() for k, r in zip(kept.range_lower, region.range_lower, strict=True))
