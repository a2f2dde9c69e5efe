"""The account of rounding is what its docstring derives, term by term and to the last bit.

What the derivation asks for is far more than what small networks ever lose, so that no bound shows whether all of it is
there. On small integers the account itself is computed without rounding, and can be compared exactly.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import evaluate_dual, given
from netproof.bounds.objective import Objective
from netproof.bounds.region import box_region
from netproof.bounds.relaxation import Relaxation
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.graph.rounding import gamma
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.sum import Sum
from soundness.real_networks import double

#: what the docstring calls C, the number of roundings that nobody counts, and what stands for numbers that underflow
PASSES, SPARE, UNDERFLOW = 18, 64, 2.0**-500
W1, B1, E1 = [[2.0, -3.0], [1.0, 4.0]], [5.0, -1.0], [1.0, 1.0]
W2, B2 = [[1.0, 1.0], [-2.0, 0.0]], [0.0, 3.0]
W3, B3, E3 = [[1.0, -2.0], [3.0, 0.0]], [0.0, -7.0], [0.5, 0.0]


def graph_and_region():
    """Two linear maps of the input, of which one has rounded offsets; their sum; a third map; and a ReLU."""
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    one = builder.add("one", Linear(double(W1), double(B1), 2, double(E1)), builder.input)
    two = builder.add("two", Linear(double(W2), double(B2)), builder.input)
    both = builder.add("both", Sum((1, -1)), one, two)
    three = builder.add("three", Linear(double(W3), double(B3), 0, double(E3)), both)
    last = builder.add("relu", ReLU(), three)
    builder.add("out", Linear(double([[1.0, 1.0]]), double([0.0])), last)
    graph = builder.build()
    return graph, box_region(graph, double([[-3.0, 1.0]]), double([[2.0, 2.0]]))


def test_magnitudes_and_offsets():
    graph, region = graph_and_region()
    account = Rounding.of(graph, region)
    # Backwards from "three", through both sums of the longer way: products, roundings, operands and 4 for each map, and one
    # for each share that a node receives. Then the sum over two features, "one" forwards, and two for each node.
    chain = 1 + (2 + 1 + 4) + 1 + (1 + 2 + 4) + 1 + (2 + 2 + 1 + 4) + 1
    terms = chain + 2 + (2 + 2 + 1 + 4) + 2 * 7
    assert account.gamma == gamma(terms + SPARE)
    growth = 1 + 2 * account.gamma
    first = double([3.0, 2.0]) * growth
    one = (double(W1).abs() @ first + double(B1).abs()) * growth
    two = (double(W2).abs() @ first + double(B2).abs()) * growth
    both = (one + two) * growth
    three = (double(W3).abs() @ both + double(B3).abs()) * growth
    for found, expected in zip(account.magnitude[:5], (first, one, two, both, three), strict=True):
        # No smaller, and larger by a few units in the last place at most.
        assert bool((found >= expected * (1 - 2.0**-51)).all()) and bool((found <= expected * (1 + 2.0**-51)).all())
    assert account.offset[0] is None and account.offset[2] is None
    assert account.offset[5] is None and account.offset[6] is None
    off_one = double(E1) * growth
    off_both = off_one * growth
    off_three = (double(W3).abs() @ off_both + double(E3)) * growth
    for index, off in ((1, off_one), (3, off_both), (4, off_three)):
        found = account.offset[index]
        assert found is not None and found.shape == (2,)
        torch.testing.assert_close(found, off, rtol=2.0**-51, atol=0.0)


@pytest.mark.parametrize("first", [True, False])
def test_offsets_of_one_operand_stay_in_their_place(first):
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    off = builder.add("off", Linear(double(W1), double(B1), 0, double([1.0, 3.0])), builder.input)
    exact = builder.add("exact", Linear(double([[1.0, 1.0]]), double([0.0])), builder.input)
    builder.add("both", Concatenate((2, 1) if first else (1, 2)), *((off, exact) if first else (exact, off)))
    graph = builder.build()
    found = Rounding.of(graph, box_region(graph, double([[0.0, 0.0]]), double([[1.0, 1.0]]))).offset[3]
    assert found is not None
    torch.testing.assert_close(found, double([1.0, 3.0, 0.0] if first else [0.0, 1.0, 3.0]))


def coarse():
    """Numbers that show each term."""
    graph, region = graph_and_region()
    account = Rounding.of(graph, region)
    magnitude = tuple(torch.arange(1.0, 1 + len(m)).double() for m in account.magnitude)
    offset = tuple(None if o is None else torch.full_like(o, 8.0) for o in account.offset)
    return graph, region, replace(account, gamma=0.25, magnitude=magnitude, offset=offset)


def test_the_price_of_a_source():
    _, _, account = coarse()
    source = double([[1.0, -3.0], [0.0, 2.0]])
    magnitude = double([1.0, 2.0])
    plain = source.abs() @ (0.25 * PASSES * magnitude)
    assert torch.equal(account.weigh(0, source), plain)
    assert torch.equal(account.weigh(1, source), plain + source.abs() @ double([8.0 * 1.5] * 2))


@pytest.mark.parametrize(("value", "constant", "weighed"), [(-8.0, 4.0, 0.5), (8.0, -4.0, 0.0), (0.0, 0.0, 0.0)])
def test_the_final_sum(value, constant, weighed):
    _, _, account = coarse()
    found = account.total(double([value]), double([constant]), double([weighed]))
    expected = value + ((weighed + 2 * 0.25 * (abs(value) + abs(constant))) * (1 + 1e-9) + UNDERFLOW)
    assert found.tolist() == [expected]


@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), float("nan"), 1.7e308])
def test_no_bound_where_a_number_is_none(bad):
    _, _, account = coarse()
    fine = double([1.0])
    assert account.total(double([bad]), fine, fine).tolist() == [float("inf")]
    if bad != float("-inf"):
        assert account.total(fine, fine, double([bad * 10])).tolist() == [float("inf")]


def test_sources_are_the_objective_and_the_multipliers():
    graph, region, account = coarse()
    objective = Objective({1: double([[1.0, -1.0]]), 6: double([[2.0]])}, double([3.0]))
    s = double([[0.5, -2.0]])
    expected = account.weigh(1, objective.coefficients[1]) + account.weigh(6, objective.coefficients[6])
    with_s = expected + account.weigh(4, s)
    point = evaluate_dual(Relaxation(graph, region), objective, given((s,)), account)
    nothing = replace(account, gamma=0.0, magnitude=tuple(0 * m for m in account.magnitude), offset=(None,) * 7)
    plain = evaluate_dual(Relaxation(graph, region), objective, given((s,)), nothing).value - UNDERFLOW
    torch.testing.assert_close(point.value, account.total(plain, objective.constant, with_s))


@pytest.mark.parametrize("light", ["region", "objective"])
def test_only_double_precision_decides(light):
    graph, region, account = coarse()
    objective = Objective({6: double([[1.0]])}, double([0.0]))
    if light == "region":
        region = region.to(torch.float32)
    else:
        objective = objective.to(torch.float32)
    with pytest.raises(ValueError, match="needs float64"):
        evaluate_dual(Relaxation(graph, region), objective, given((double([[0.0] * 2]),)), account)


def test_a_part_keeps_what_it_is_off_by():
    _, _, account = coarse()
    crop = SimpleNamespace(nodes=[0, 1, 4], features=[torch.tensor([1]), torch.tensor([0, 1]), torch.tensor([1])])
    part = account.part(crop)
    assert [m.tolist() for m in part.magnitude] == [[2.0], [1.0, 2.0], [2.0]]
    assert [None if o is None else o.tolist() for o in part.offset] == [None, [8.0, 8.0], [8.0]]
    assert part.gamma == account.gamma


@pytest.mark.parametrize(
    ("sizes", "finite"),
    [
        ([2.0**499, 2.0**499], [True, False]),
        ([2.0**499, 2.0**498], [True, True]),
        ([2.0**500, 1.0], [False, False]),
        ([1.0, 2.0**501], [True, False]),
    ],
)
def test_from_where_on_nothing_is_finite(sizes, finite):
    account = Rounding(tuple(double([size]) for size in sizes), (None, None), 0.25, sum(sizes))._limited(0, 0.0)
    assert [bool(torch.isfinite(m).all()) for m in account.magnitude] == finite
    assert (account.total_magnitude < 2.0**500) is all(finite)
