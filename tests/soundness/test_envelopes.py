"""The bound with envelopes: never below the truth, whatever the prices, and exact where it says so."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from netproof.bounds.deciding.exact import evaluate_exact
from netproof.bounds.dual import crown, evaluate_dual, given
from netproof.bounds.envelope import steps
from netproof.bounds.envelope.bound import EnvelopePoint, evaluate_envelopes
from netproof.bounds.envelope.exact import evaluate_envelopes_exact
from netproof.bounds.envelope.knapsack import Knapsack
from netproof.bounds.envelope.layer import LayerBox, first_layer
from netproof.bounds.envelope.ranges import are_worth_it, tighten_by_envelopes
from netproof.bounds.envelope.reduce import envelope_cuts_hold, reduce_ranges_by_envelopes
from netproof.bounds.envelope.steps import improve
from netproof.bounds.envelope.stored import StoredPrices
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.tighten import RangeCuts
from netproof.bounds.region import Region, box_region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.effort.envelope import ENVELOPE, Schedule
from soundness.random_networks import floats, random_box
from soundness.regions import Situation, points_inside, random_multipliers, random_objective, random_situation

seeds = pytest.mark.parametrize("seed", range(3))
KINDS = ("shift", "equidistant", "single")


def shared_situation(random: np.random.Generator, rows: int = 8, **network: object) -> tuple[Situation, LayerBox]:
    """Regions of one box, of a network whose first staircase is equidistant."""
    while True:
        at = random_situation(random, rows=rows, **{"kinds": KINDS, **network})
        if not at.graph.activations or (layer := first_layer(at.graph)) is None:
            continue
        ends = random_box(random, at.net)
        region = box_region(at.graph, floats(ends[0])[None], floats(ends[1])[None])
        region = region.take(torch.zeros(rows, dtype=torch.int64))
        for k, (low, high) in enumerate(zip(region.range_lower, region.range_upper, strict=True)):
            share = torch.from_numpy(np.sort(random.random((2, *low.shape)), 0))
            cut = torch.from_numpy(random.random(low.shape) < 0.3)
            cut_low, cut_high = (low + (part * (high - low)).floor() for part in share)
            region = region.with_range(k, torch.where(cut, cut_low, low), torch.where(cut, cut_high, high))
        at = replace(at, region=region, inside=points_inside(at.net, at.points, region))
        return at, layer.on_box(region.lower, region.upper)


def random_prices(random: np.random.Generator, rows: int, box: LayerBox, sizes: tuple[float, ...]) -> Tensor:
    """Anything, and now and then a few values that many inputs have in common."""
    size = random.choice(sizes, (rows, 1, 1))
    values = random.normal(0, 1, (rows, *box.reach.shape))
    return torch.from_numpy(np.where(random.random((rows, 1, 1)) < 0.3, np.sign(values).round(), values) * size)


@seeds
def test_no_prices_go_below_the_truth(seed: int) -> None:
    random = np.random.default_rng([1, seed])
    tighter = 0
    for _ in range(30):
        at, box = shared_situation(random)
        relaxation, objective = Relaxation(at.graph, at.region), random_objective(random, at)
        largest = at.largest(objective)
        start = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
        s = [e if m is None else m for m, e in zip(start.s, random_multipliers(random, at), strict=True)]
        own = s[0][..., None].expand(-1, -1, box.reach.shape[1])
        for noise in (0.0, 1e-3, 0.1, 1.0, 30.0, 1e6):
            prices = own + random_prices(random, len(at.region), box, (noise,))
            exact, _ = evaluate_envelopes_exact(relaxation, box, objective, s, prices)
            assert (exact.value.numpy() >= largest).all()
            assert torch.isfinite(exact.value[torch.from_numpy(at.inside.any(1))]).all()
            loose = evaluate_envelopes(relaxation, box, objective, given(s), prices)
            assert (loose.value.numpy() >= largest - 1e-9 * (1 + float(prices.abs().max()))).all()
            tighter += int((exact.value < start.value - 1e-6).sum())
    assert tighter > 2


@seeds
def test_one_price_per_neuron_is_no_worse_than_one_multiplier(seed: int) -> None:
    random = np.random.default_rng([2, seed])
    for _ in range(20):
        at, box = shared_situation(random)
        relaxation, objective = Relaxation(at.graph, at.region), random_objective(random, at)
        s = random_multipliers(random, at, (0.0, 0.01, 0.5, 4.0))
        before, _ = evaluate_exact(relaxation, objective, s)
        prices = s[0][..., None].expand(-1, -1, box.reach.shape[1])
        after, _ = evaluate_envelopes_exact(relaxation, box, objective, s, prices)
        assert (after.value <= before.value + 1e-6).all()


@seeds
def test_exact_evaluation_is_the_formula_in_fractions(seed: int) -> None:
    """The first layer recomputed from the definition, integer by integer, and all above it by the evaluation with one
    multiplier per neuron."""
    random = np.random.default_rng([3, seed])
    compared = 0
    for _ in range(20):
        at, box = shared_situation(random, rows=4)
        relaxation, objective = Relaxation(at.graph, at.region), random_objective(random, at)
        s = random_multipliers(random, at, (0.0, 0.01, 1.0, 30.0))
        prices = random_prices(random, 4, box, (0.0, 1e-3, 0.3, 40.0))
        exact, exponent = evaluate_envelopes_exact(relaxation, box, objective, s, prices)
        first = exact.above.v[0]
        zeros = [
            torch.zeros_like(r) if m is None else m for m, r in zip(exact.above.s, at.region.range_lower, strict=True)
        ]
        plain = evaluate_dual(relaxation, objective, given(zeros))
        for row in range(4):
            if not torch.isfinite(exact.value[row]):
                continue
            scaled = exact.prices[row] * torch.exp2(exponent[row])
            assert (scaled == scaled.round()).all()
            # Without the first layer's phi and the input's maximum, where all multipliers of that layer are 0.
            value = Fraction(float(plain.value[row]))
            if plain.conjugates[0] is not None:
                value -= sum(map(Fraction, plain.conjugates[0].value[row].tolist()))
            direct = list(map(Fraction, plain.input_coefficients[row].tolist()))
            lower, upper = (list(map(int, end[0].tolist())) for end in (at.region.lower, at.region.upper))
            value -= sum(max(v * low, v * high) for v, low, high in zip(direct, lower, upper, strict=True))
            c = [Fraction(0)] * len(box.reach) if first is None else list(map(Fraction, first[row].tolist()))
            assert Fraction(float(exact.value[row])) == value + first_layer_by_fractions(at, row, c, exact, direct)
            compared += 1
    assert compared > 40


def first_layer_by_fractions(
    at: Situation, row: int, c: list[Fraction], exact: EnvelopePoint, direct: list[Fraction]
) -> Fraction:
    layer = at.net.layers[0]
    assert layer.steps is not None
    lower, upper = (list(map(int, end[0].tolist())) for end in (at.region.lower, at.region.upper))
    total, mu_sum = Fraction(0), list(direct)
    for j, (weights, bias) in enumerate(zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)):
        mu = [Fraction(r) * w for r, w in zip(exact.prices[row, j].tolist(), weights, strict=True)]
        mu_sum = [a + b for a, b in zip(mu_sum, mu, strict=True)]
        low, high = (int(r[0][row, j]) for r in (at.region.range_lower, at.region.range_upper))
        best = None
        for a in range(low, high + 1):
            least = cheapest(weights, mu, a - bias, lower, upper)
            if least is None:
                continue
            size = len(layer.bias)
            image = int(layer.steps.evaluate(np.full((1, size), a))[0, j])
            best = c[j] * image - least if best is None else max(best, c[j] * image - least)
        assert best is not None
        total += best
    return total + sum(max(v * low, v * high) for v, low, high in zip(mu_sum, lower, upper, strict=True))


def cheapest(
    weights: list[int], mu: list[Fraction], target: int, lower: list[int], upper: list[int]
) -> Fraction | None:
    """``min { mu . x : w . x = target, x in the box }`` over the reals: by all vertices of that polytope."""
    best = None
    active = [i for i, w in enumerate(weights) if w]
    fixed = sum(
        (min(m * low, m * high) for m, w, low, high in zip(mu, weights, lower, upper, strict=True) if not w),
        Fraction(0),
    )
    for ends in np.ndindex(*[2] * len(active)):
        x = {i: (lower[i], upper[i])[e] for i, e in zip(active, ends, strict=True)}
        if sum(weights[i] * v for i, v in x.items()) == target:
            value = fixed + sum((mu[i] * v for i, v in x.items()), Fraction(0))
            best = value if best is None else min(best, value)
        for free in active:
            rest = sum(weights[i] * v for i, v in x.items() if i != free)
            share = Fraction(target - rest, weights[free])
            if lower[free] <= share <= upper[free]:
                value = fixed + mu[free] * share
                value += sum((mu[i] * v for i, v in x.items() if i != free), Fraction(0))
                best = value if best is None else min(best, value)
    return best


@seeds
def test_improved_envelopes_are_valid_and_no_worse(seed: int) -> None:
    random = np.random.default_rng([4, seed])
    gained = 0.0
    for _ in range(8):
        at, box = shared_situation(random, layers=int(random.integers(2, 4)))
        relaxation, objective = Relaxation(at.graph, at.region), random_objective(random, at)
        start = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
        s = [torch.zeros_like(low) if m is None else m for m, low in zip(start.s, at.region.range_lower, strict=True)]
        prices = s[0][..., None].expand(-1, -1, box.reach.shape[1]).contiguous()
        found = improve(relaxation, box, objective, prices, s, [Schedule(30, 0.5, 0.93, -1e9)])
        multipliers = given(found.s)
        again = evaluate_envelopes(relaxation, box, objective, multipliers, found.prices.values(torch.float64))
        assert torch.allclose(again.value, found.value, atol=1e-6)
        assert (found.value <= start.value + 1e-2 * (1 + start.value.abs())).all()
        assert (found.value.numpy() >= at.largest(objective) - 1e-6).all()
        assert ((found.middle >= 0) & (found.middle <= 1)).all()
        gained += float((start.value - found.value).sum())
    assert gained > 1


@seeds
def test_reductions_lose_no_point_that_meets_the_objective(seed: int) -> None:
    random = np.random.default_rng([5, seed])
    cut = confirmed = 0
    for _ in range(30):
        at, box = shared_situation(random)
        relaxation, objective = Relaxation(at.graph, at.region), random_objective(random, at)
        # Barely above what can be reached, so that much can be cut off.
        largest = at.largest(objective)
        objective = replace(objective, constant=objective.constant - floats(np.where(largest > -1e9, largest, 0.0)))
        s = random_multipliers(random, at, (0.0, 0.01, 0.3))
        prices = random_prices(random, len(at.region), box, (1e-3, 0.05, 0.3))
        exact, _ = evaluate_envelopes_exact(relaxation, box, objective, s, prices)
        rows = (exact.value >= 0) & torch.isfinite(exact.value)
        region, objective, exact = at.region.take(rows), objective.take(rows), exact.take(rows)
        relaxation = Relaxation(at.graph, region)
        smaller = reduce_ranges_by_envelopes(box, exact)
        meets = at.inside[rows.numpy()] & (at.objective(objective) >= 0)
        assert (at.holds(smaller) | ~meets).all()
        assert (smaller.range_lower[0] >= region.range_lower[0]).all()
        cut += int((smaller.range_lower[0] > region.range_lower[0]).sum())
        cut += int((smaller.range_upper[0] < region.range_upper[0]).sum())
        holds = envelope_cuts_hold(box, exact, smaller.range_lower, smaller.range_upper)
        assert holds.all()
        confirmed += int(holds.sum())
        # An end that a point which meets the objective lies beyond is never confirmed.
        for row in range(len(region)):
            for x in np.flatnonzero(meets[row])[:2]:
                a = torch.from_numpy(at.nodes[1][x]).double()
                lowers = [r.clone() for r in region.range_lower]
                lowers[0][row] = torch.maximum(lowers[0][row], torch.minimum(a + 1, region.range_upper[0][row] + 1))
                assert (
                    not envelope_cuts_hold(box, exact, lowers, region.range_upper)[row]
                    or (lowers[0][row] == region.range_lower[0][row]).all()
                )
    assert cut > 20 and confirmed > 40


def test_wrong_claims_pass_with_no_prices() -> None:
    """Prices chosen to make the bound small, on regions that hold a point that meets the objective exactly."""
    random = np.random.default_rng(6)
    tried = 0
    for _ in range(60):
        at, box = shared_situation(random)
        objective = random_objective(random, at)
        largest = at.largest(objective)
        rows = torch.from_numpy(np.isfinite(largest))
        if not bool(rows.any()):
            continue
        region, objective = at.region.take(rows), objective.take(rows)
        objective = replace(objective, constant=objective.constant - floats(largest[rows.numpy()]))
        relaxation = Relaxation(at.graph, region)
        s = [m[rows] for m in random_multipliers(random, at, (0.0, 0.01, 0.3))]
        prices = s[0][..., None].expand(-1, -1, box.reach.shape[1]).contiguous()
        found = improve(relaxation, box, objective, prices, s, [Schedule(40, 0.5, 0.93, -1e9)])
        multipliers = list(found.s)
        exact, _ = evaluate_envelopes_exact(relaxation, box, objective, multipliers, found.prices.values(torch.float64))
        assert (exact.value >= 0).all()
        tried += len(region)
    assert tried > 200


def test_a_stored_order_is_that_of_the_prices() -> None:
    random = np.random.default_rng(7)
    for _ in range(20):
        at, box = shared_situation(random)
        prices = random_prices(random, len(at.region), box, (0.0, 1e-9, 0.01, 3.0, 1e4))
        stored = StoredPrices.of(prices)
        values = stored.values(torch.float64)
        assert torch.equal(values.float(), stored.values(torch.float32))
        largest = prices.abs().flatten(1).amax(1)
        assert ((values - prices).abs().flatten(1).amax(1) <= 2.0**-14 * largest + 2.0**-40).all()
        known, own = Knapsack.of(box, values, stored.order()), Knapsack.of(box, values)
        assert torch.equal(known.prices, own.prices)
        assert (known.prices[..., 1:] >= known.prices[..., :-1]).all()
        a = (
            torch.rand(len(prices), len(box.reach), 5, dtype=torch.float64) * box.reach.sum(-1)[:, None]
            + box.least[:, None]
        )
        assert torch.allclose(known.at(a.floor())[0], own.at(a.floor())[0])


def test_the_first_layer_is_that_of_the_network() -> None:
    random = np.random.default_rng(8)
    for _ in range(30):
        at, box = shared_situation(random)
        layer = box.layer
        a = torch.from_numpy(at.nodes[1]).double()
        assert torch.equal(floats(at.points) @ layer.weight.T + layer.bias, a)
        level = ((layer.before <= a[..., None]) & (a[..., None] <= layer.after)).long()
        assert (level.sum(-1) == 1).all()
        assert torch.equal((level * layer.images).sum(-1), torch.from_numpy(at.nodes[2]).double())


def test_where_envelopes_do_not_apply() -> None:
    random = np.random.default_rng(9)
    refused = 0
    for kind in ("general", "jumps", "constant"):
        for _ in range(10):
            at = random_situation(random, kinds=(kind,), final=kind)
            layer = first_layer(at.graph) if at.graph.activations else None
            refused += layer is None
            assert layer is None or at.graph.activation(at.graph.activations[0]).step is not None
    assert refused > 10


@seeds
def test_a_second_schedule_goes_on_where_the_first_ended(seed: int) -> None:
    random = np.random.default_rng([31, seed])
    first, second = Schedule(20, 0.5, 0.93, 1.0), Schedule(20, 0.05, 0.95, 1.0)
    for _ in range(6):
        at, box = shared_situation(random)
        relaxation, objective = Relaxation(at.graph, at.region), random_objective(random, at)
        start = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
        s = [torch.zeros_like(r) if m is None else m for m, r in zip(start.s, at.region.range_lower, strict=True)]
        prices = s[0][..., None].expand(-1, -1, box.reach.shape[1]).contiguous()
        once = improve(relaxation, box, objective, prices, s, [first])
        twice = improve(relaxation, box, objective, prices, s, [first, second])
        done = once.value < first.goal
        assert torch.equal(twice.value[done], once.value[done])
        assert torch.equal(twice.prices.units[done], once.prices.units[done])
        # Prices are stored with few digits, and begin with those.
        assert (twice.value <= once.value + 1e-6 * (1 + once.value.abs())).all()
        exact, _ = evaluate_envelopes_exact(relaxation, box, objective, twice.s, twice.prices.values(torch.float64))
        assert (exact.value.numpy() >= at.largest(objective)).all()


def test_what_gains_little_is_not_gone_over_again(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(37)
    first, second = Schedule(20, 0.5, 0.93, -1e9), Schedule(20, 0.05, 0.95, -1e9)
    fewer = 0
    for _ in range(6):
        at, box = shared_situation(random)
        relaxation, objective = Relaxation(at.graph, at.region), random_objective(random, at)
        start = evaluate_dual(relaxation, objective, crown(relaxation.hulls))
        s = [torch.zeros_like(r) if m is None else m for m, r in zip(start.s, at.region.range_lower, strict=True)]
        prices = s[0][..., None].expand(-1, -1, box.reach.shape[1]).contiguous()
        at_first = improve(relaxation, box, objective, prices, s, [Schedule(0, 0.5, 0.93, -1e9)])
        once = improve(relaxation, box, objective, prices, s, [first])
        twice = improve(relaxation, box, objective, prices, s, [first, second])
        left = once.value > ENVELOPE.promising * at_first.value
        assert torch.equal(twice.value[left], once.value[left])
        monkeypatch.setattr(steps, "ENVELOPE", replace(ENVELOPE, promising=torch.inf))
        everywhere = improve(relaxation, box, objective, prices, s, [first, second])
        monkeypatch.undo()
        fewer += int((everywhere.value[left] < once.value[left]).sum())
    assert fewer > 3


@seeds
def test_ranges_of_the_second_activation_lose_no_point(seed: int) -> None:
    """They are attained as well, so that an end one further in would lose one."""
    random = np.random.default_rng([15, seed])
    tighter = attained = 0
    for _ in range(40):
        at, box = shared_situation(random, rows=1, layers=int(random.integers(2, 4)))
        before = propagate_intervals(at.graph, at.region)
        if not are_worth_it(at.graph, box.layer) or bool(before.empty()):
            continue
        cuts: list[RangeCuts] = []
        after = tighten_by_envelopes(at.graph, box.layer, before, listener=cuts.append)
        assert (at.holds(after) == at.inside).all()
        assert all(bool((n >= o).all()) for o, n in zip(before.range_lower, after.range_lower, strict=True))
        assert all(bool((n <= o).all()) for o, n in zip(before.range_upper, after.range_upper, strict=True))
        ends = [e for e in cuts if len(e.feature)]
        assert all(e.k == 1 and e.prices is not None and len(e.prices.exponent) == len(e.feature) for e in ends)
        for cut in ends:
            for row in range(len(cut.feature)):
                assert_cut_holds(at, box, before, cut.take(torch.tensor([row])))
        tighter += sum(len(e.feature) for e in ends)
        if at.inside.any():
            values = at.nodes[at.graph.nodes[at.graph.activations[1]].operands[0]][at.inside[0]]
            attained += int((after.range_upper[1][0].numpy() == values.max(0)).sum())
            attained += int((after.range_lower[1][0].numpy() == values.min(0)).sum())
    assert tighter > 2 and attained > 9


def assert_cut_holds(at: Situation, box: LayerBox, before: Region, cut: RangeCuts) -> None:
    """What a cut says of itself: its multipliers and prices refute what it cuts off."""
    feature, end = int(cut.feature), float(cut.end)
    low, high = before.range_lower[1].clone(), before.range_upper[1].clone()
    if bool(cut.lower):
        high[0, feature] = end - 1
    else:
        low[0, feature] = end + 1
    if bool((low > high).any()):
        return  # the end lies beyond the other one: nothing is left, which the next propagation finds
    zeros = {len(at.graph.nodes) - 1: torch.zeros(1, at.graph.output.size, dtype=torch.float64)}
    objective = Objective(zeros, torch.zeros(1, dtype=torch.float64))
    s = [part if len(part.shape) > 1 else part[None] for part in cut.s]
    s += [torch.zeros_like(r) for r in before.range_lower[len(s) :]]
    assert cut.prices is not None
    relaxation = Relaxation(at.graph, before.with_range(1, low, high))
    exact, _ = evaluate_envelopes_exact(relaxation, box, objective, s, cut.prices.values(torch.float64))
    assert float(exact.value) < 0


def test_ranges_by_envelopes_end_at_the_deadline_and_where_they_are_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng([16, 0])
    at, box = shared_situation(random, rows=1, layers=2)
    before = propagate_intervals(at.graph, at.region)
    after = tighten_by_envelopes(at.graph, box.layer, before, deadline=0.0)
    assert all(torch.equal(old, new) for old, new in zip(before.range_upper, after.range_upper, strict=True))
    assert are_worth_it(at.graph, box.layer)
    monkeypatch.setattr("netproof.bounds.envelope.ranges.ENVELOPE", replace(ENVELOPE, most_prices=1))
    assert not are_worth_it(at.graph, box.layer)
