"""Loops over unstable features compute what tensors do: values, derivatives, and where steps on halves begin."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.ends.refine_split import SplitRefiner
from netproof.bounds.joint.pairing import Pairing
from netproof.bounds.joint.pairs import Pairs
from netproof.bounds.look_ahead import Tries
from netproof.bounds.loops import kernels
from netproof.bounds.loops.compiled import SignLoops, sign_loops
from netproof.bounds.loops.kernels import Block, Joined, Lines, Rows
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.relaxed import Sides, Upper, hand_on, lower_lines
from netproof.bounds.multipliers.sign_steps import Choice, optimize_signs
from netproof.bounds.multipliers.signs import LEFT, RIGHT, WHOLE, SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.branching import choose_split
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import box_region
from netproof.conditions.conditions import Conditions
from netproof.effort.bounding import PAIR
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.search.real import rounds
from netproof.search.real.problem import Problem
from soundness.real_networks import random_graph

PLAIN = SignLoops(kernels.hand_on, kernels.hand_back, kernels.join, kernels.join_back)
LOOPS = {"plain": PLAIN, "compiled": sign_loops()}
#: more rows than pairs are bounded for side by side, and not a multiple of that
ROWS = 70


@pytest.fixture(params=sorted(LOOPS))
def loops(request: pytest.FixtureRequest) -> SignLoops:
    found = LOOPS[request.param]
    if found is None:
        pytest.skip("numba is not installed")
    return found


def situation(seed: int, *, pairs: bool) -> tuple[SignDual, Objective, Tensor, Tensor, Tensor]:
    """In float32, some parts of a network's region, some of them empty, and multipliers of any size."""
    generator = torch.Generator().manual_seed(seed)
    kink = [ReLU(), LeakyReLU(0.125), Abs()][seed % 3]
    graph = random_graph(generator, (4, 9, 9, 2), activation=kink, residual=seed % 2 == 1)
    center = torch.randn(1, 4, generator=generator).double()
    region = refine_ranges(graph, box_region(graph, center - 1.0, center + 1.0))
    dual = SignDual.of(graph, region)
    last = len(graph.nodes) - 1
    if pairs:
        c, side = torch.tensor([[1.0, 0.0]]).double(), torch.zeros(1, len(dual), dtype=torch.int8)
        alpha = dual.crown_alpha()[None]
        v = dual.bound(Objective({last: c}, torch.zeros(1).double()), side, alpha, torch.zeros_like(alpha)).v
        dual = Pairing(dual, Rounding.of(graph, region)).fit(dual, v, side, alpha, math.inf)
        assert dual.pairs
    side = torch.randint(-1, 2, (ROWS, len(dual)), generator=generator).to(torch.int8)
    side[::2] *= (torch.rand(ROWS // 2, len(dual), generator=generator) < 0.2).to(torch.int8)
    # None at an end of its range, where several corners of a pair are equal, and which has the derivative is for roundings to say.
    alpha = torch.rand(ROWS, len(dual), generator=generator) * 0.6 + 0.2
    beta = torch.randn(ROWS, len(dual), generator=generator)
    beta = torch.where(side == WHOLE, beta, beta.abs() + 0.1)
    c = torch.randn(ROWS, 2, generator=generator)
    return dual.to(torch.float32), Objective({last: c}, torch.randn(ROWS, generator=generator)), side, alpha, beta


def by_tensors(
    dual: SignDual, objective: Objective, side: Tensor, alpha: Tensor, beta: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    given = [part.detach().requires_grad_() for part in (alpha, beta)]
    value = dual.bound(objective, side, *given).value
    return value.detach(), *torch.autograd.grad(value[torch.isfinite(value)].sum(), given)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("pairs", [False, True])
def test_bounds_and_derivatives(loops: SignLoops, seed: int, pairs: bool) -> None:
    dual, *asked = situation(seed, pairs=pairs)
    _, side, alpha, beta = asked
    value, *expected = by_tensors(dual, *asked)
    passing = replace(dual, loops=loops).passing
    assert passing is not None
    point = passing.bound(*asked)
    torch.testing.assert_close(point.value, value)
    plain = dual.bound(*asked)
    torch.testing.assert_close(point.v, plain.v)
    torch.testing.assert_close(point.input_coefficients, plain.input_coefficients)
    there = torch.isfinite(value)
    assert bool(there.any())
    for found, other in zip(passing.gradient(point, side, alpha, beta), expected, strict=True):
        torch.testing.assert_close(found[there], other[there], rtol=1e-4, atol=1e-5)
    # What is asked for without derivatives goes by loops, where there are any, and all else by tensors.
    assert torch.equal(replace(dual, loops=loops).bound(*asked).value, point.value)
    assert replace(dual, loops=loops).to(torch.float64).passing is None and dual.passing is None


@pytest.mark.parametrize("pairs", [False, True])
def test_steps_and_where_they_begin(loops: SignLoops, pairs: bool) -> None:
    dual, objective, side, alpha, beta = situation(3, pairs=pairs)
    side[:, ::3] = WHOLE
    start = Choice(alpha, beta if pairs else beta.abs(), torch.zeros(ROWS, 1))
    fast = replace(dual, loops=loops)

    def mixed(rows: Tensor, _: Tensor) -> Objective:
        return objective.take(rows)

    until = Until(4, -math.inf)
    _, value = optimize_signs(fast, mixed, side, start, until)
    _, expected = optimize_signs(dual, mixed, side, start, until)
    torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-3)
    # Halves are bounded as look-ahead left them, and steps on them are those from there.
    chosen = [choose_split(one, objective.take, side, start, Tries(3, 4 * ROWS)) for one in (fast, dual)]
    assert chosen[1].halves is None and chosen[0].halves is not None
    assert torch.equal(chosen[0].feature, chosen[1].feature) and bool(chosen[0].splittable.all())
    rows = torch.arange(ROWS).repeat(2)
    at = torch.arange(2 * ROWS), chosen[0].feature.repeat(2)
    halves, begun = side[rows], start.take(rows)
    halves[at] = torch.tensor([LEFT, RIGHT], dtype=torch.int8).repeat_interleave(ROWS)
    begun.beta[at] = 0.0
    passing = fast.passing
    assert passing is not None
    anew = passing.bound(objective.take(rows), halves, begun.alpha, begun.beta)
    assert anew.handed is not None and chosen[0].halves.handed is not None
    for name in ("value", "v", "input_coefficients", "handed"):
        torch.testing.assert_close(getattr(chosen[0].halves, name), getattr(anew, name))

    def twice(which: Tensor, _: Tensor) -> Objective:
        return objective.take(rows[which])

    _, one = optimize_signs(fast, twice, halves, begun, until, chosen[0].halves)
    _, two = optimize_signs(fast, twice, halves, begun, until)
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)
    # Not all candidates were tried: nothing to begin with.
    assert choose_split(fast, objective.take, side, start, Tries(3, 4 * ROWS, 0.0)).halves is None
    assert choose_split(fast, objective.take, side, start, Tries(3, ROWS)).halves is None


HOSTILE = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-42,
    -1e-42,
    1e-30,
    -1e-30,
    3e37,
    -3e37,
    math.inf,
    -math.inf,
    math.nan,
    0.5,
    -2.0,
    7.0,
]


def hostile(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.tensor(HOSTILE)[torch.randint(len(HOSTILE), shape, generator=generator)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_handed_on_with_hostile_numbers(loops: SignLoops) -> None:
    generator = torch.Generator().manual_seed(5)
    which, size = torch.tensor([0, 2, 3, 5, 8, 10, 11]), 12
    m = len(which)
    left, right = torch.full((m,), -0.25), torch.full((m,), 1.5)
    chord, offset = torch.rand(m, generator=generator), torch.rand(m, generator=generator)
    closed = torch.rand(size, generator=generator).index_fill(0, which, 0.0)
    side = torch.randint(-1, 2, (ROWS, m), generator=generator).to(torch.int8)
    v = hostile(generator, ROWS, size).requires_grad_()
    alpha = torch.tensor([0.5, -0.25, 1.5, -7.0, math.inf, -math.inf])[
        torch.randint(6, (ROWS, m), generator=generator)
    ].requires_grad_()
    beta = hostile(generator, ROWS, m).nan_to_num().requires_grad_()
    sides = Sides.of(side, left, right)
    lines = lower_lines(alpha, beta, (left, right), sides)
    upper = Upper(sides.whole * chord + sides.piece, sides.whole * offset, None, closed, which)
    s, value, _, arrived = hand_on(v, *lines, upper)
    found_s, found_value = np.empty((ROWS, size), np.float32), np.zeros(ROWS)
    arrays = (part.detach().numpy() for part in (side, alpha, beta))
    seen, handed = np.zeros((2, ROWS, m), np.float32)
    rows = Rows(*arrays, seen, handed)
    parts = (part.numpy() for part in (which, closed, left, right, chord, offset))
    own = Lines(*parts, np.zeros(m, np.bool_), 0)
    loops.hand_on(v.detach().numpy(), rows, own, found_s, found_value)
    torch.testing.assert_close(torch.from_numpy(found_s), s.detach(), equal_nan=True)
    # Tensors multiply what is infinite at a split by an offset of 0.
    known = ~value.isnan()
    assert 10 < int(known.sum()) < ROWS
    torch.testing.assert_close(torch.from_numpy(found_value).float()[known], value.detach()[known])
    torch.testing.assert_close(torch.from_numpy(seen), arrived, equal_nan=True)
    assert np.array_equal(handed, found_s[:, which.numpy()], equal_nan=True)
    # Derivatives at numbers, by numbers that are as large as that.
    z = hostile(generator, ROWS, size).nan_to_num(nan=1.0).clamp(-1e18, 1e18)
    finite = v.detach().nan_to_num(nan=1.0).clamp(-1e18, 1e18).requires_grad_()
    s, value, *_ = hand_on(finite, *lower_lines(alpha, beta, (left, right), sides), upper)
    expected = torch.autograd.grad((s * z).sum() + value.sum(), [finite, alpha, beta])
    loops.hand_on(finite.detach().numpy(), rows, own, found_s, found_value)
    image, gradient = np.empty((ROWS, size), np.float32), np.empty((2, ROWS, m), np.float32)
    none = np.zeros((0, 0, 2), np.float32)
    loops.hand_back(z.numpy(), rows, own, none, image, (gradient[0], gradient[1]))
    for mine, other in zip((image, *gradient), expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(mine), other, equal_nan=True)


@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e-37, 1e15, 1e30])
def test_pairs_of_any_size(loops: SignLoops, scale: float) -> None:
    generator = torch.Generator().manual_seed(8)
    count, corners, m = 3, 6, 7
    members = torch.tensor([4, 0, 6, 1, 5, 2])
    slopes = torch.full((2 * count,), 0.125), torch.full((2 * count,), 1.0)
    pairs = Pairs(members, torch.randn(count, corners, 2, generator=generator), slopes)
    first = 2
    side = torch.zeros(ROWS, first + m, dtype=torch.int8)
    side[::2, first:] = torch.randint(-1, 2, (ROWS // 2, m), generator=generator).to(torch.int8)
    v, s = (scale * torch.randn(ROWS, m, generator=generator) for _ in range(2))
    if scale == 1.0:
        v[3], s[3] = 0.0, 0.0  # all corners are equal
    own_v, own_s = (part[:, members].requires_grad_() for part in (v, s))
    value, none = pairs.largest(own_v, own_s, side[:, first + members])
    assert none is not None and bool(none.any()) and not bool(none.all())
    expected = torch.autograd.grad(value.sum(), [own_v, own_s])
    arrived, handed = (torch.cat([torch.full((ROWS, first), math.nan), part], 1).numpy() for part in (v, s))
    rows = Rows(side.numpy(), arrived, arrived, arrived, handed)
    nothing, unused = np.zeros(m, np.float32), np.arange(m)
    lines = Lines(unused, nothing, nothing, nothing, nothing, nothing, np.ones(m, np.bool_), first)
    quadrant = pairs.corners.sign().to(torch.int8).transpose(1, 2).contiguous().numpy()
    joined = Joined(members.numpy(), pairs.table.numpy(), quadrant, PAIR.smoothed)
    whole = np.empty(16, np.int32)
    room = [np.empty(16, np.float32) for _ in range(7)]
    block = Block(
        *room[:4],
        np.empty((corners, 16), np.float32),
        *room[4:],
        np.empty(16, np.int8),
        whole,
        whole.view(np.float32),
    )
    found = np.zeros(ROWS)
    loops.join(rows, lines, joined, found, block)
    assert np.array_equal(np.isinf(found), none.numpy())
    torch.testing.assert_close(torch.from_numpy(found)[~none].float(), value.detach()[~none], rtol=1e-5, atol=0.0)
    passed = np.zeros((ROWS, m, 2), np.float32)
    loops.join_back(rows, lines, joined, passed, block)
    for i in range(2):
        mine = torch.from_numpy(passed[:, members.numpy(), i])
        torch.testing.assert_close(mine[~none], expected[i][~none], rtol=1e-3, atol=1e-4)
    assert not passed[:, 3].any()


def test_ranges_by_splits_are_those_that_tensors_find(loops: SignLoops) -> None:
    generator = torch.Generator().manual_seed(4)
    graph = random_graph(generator, (3, 6, 6, 2), activation=ReLU(), residual=True)
    center = torch.randn(1, 3, generator=generator).double()
    region = refine_ranges(graph, box_region(graph, center - 0.5, center + 0.5))
    found = []
    for own in (loops, None):
        refiner = SplitRefiner(graph)
        refiner.use(own)
        found.append(refiner.refine(region, 60.0))
    values = graph.values(center + torch.rand(500, 3, generator=generator).double() - 0.5)
    narrowed = False
    for k, i in enumerate(graph.activations):
        a = values[graph.nodes[i].operands[0]]
        for one in found:
            assert bool((one.range_lower[k] <= a).all()) and bool((a <= one.range_upper[k]).all())
        for one, other, before in zip(
            *((each.range_lower[k], each.range_upper[k]) for each in (*found, region)), strict=True
        ):
            width = region.range_upper[k] - region.range_lower[k]
            assert bool(((one - other).abs() <= 0.05 * width).all())
            narrowed |= bool((one != before).any())
    assert narrowed


@pytest.mark.parametrize(
    ("device", "left", "kept", "used"),
    [
        ("cpu", 7.0, True, False),
        ("cpu", 9.0, True, True),
        ("cpu", 39.0, False, False),
        ("cpu", 41.0, False, True),
        ("cuda", 90.0, True, False),
    ],
)
def test_when_searches_use_them(
    monkeypatch: pytest.MonkeyPatch, device: str, left: float, kept: bool, used: bool
) -> None:
    graph = random_graph(torch.Generator().manual_seed(1), (2, 3, 1), activation=ReLU(), residual=False)
    constraints = Conditions(graph, torch.ones(1, 1, 1).double(), None, torch.zeros(1, 1).double())
    search = rounds.Rounds(Problem(graph, constraints, None, 1 << 20, device))
    monkeypatch.setattr(rounds, "sign_loops", lambda: PLAIN)
    monkeypatch.setattr(rounds, "is_kept", lambda _: kept)
    monkeypatch.setattr(rounds.time, "monotonic", lambda: 100.0)
    search._load(100.0 + left)
    assert (search._loops is PLAIN) is used
