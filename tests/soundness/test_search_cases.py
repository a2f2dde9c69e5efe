"""Output cases against the outputs themselves: nothing that meets a case is ever cut off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from netproof.bounds.region import Region
from netproof.conditions.conditions import Conditions
from netproof.conditions.order import OrderConditions, conditions_of
from netproof.query import Conjunction
from soundness.random_networks import floats
from soundness.regions import Situation, random_situation

Bools = NDArray[np.bool_]

seeds = pytest.mark.parametrize("seed", range(6))
NETWORKS = 30
#: staircases that all outputs share, with repeated thresholds among them
SHARED = ("shift", "shared", "shared")


@dataclass(frozen=True)
class Asked:
    """A situation whose row ``b`` is asked ``case[b]``; ``truth`` (``[cases, N]``) is where the cases hold."""

    at: Situation
    cases: Conditions
    case: torch.Tensor
    truth: Bools

    def holds(self, rows: torch.Tensor) -> Bools:
        """``[len(rows), N]``: where the cases of those rows hold."""
        found: Bools = self.truth[self.case[rows].numpy()]
        return found


def orders(random: np.random.Generator, **network: Any) -> Asked:
    """Order cases with any margin: never met, always met, and everything between."""
    at = random_situation(random, final=str(random.choice(SHARED)), **network)
    outputs = at.graph.output.size
    spread = int(at.nodes[-1].max() - at.nodes[-1].min())
    pairs = [random.choice(outputs, 2, replace=False) for _ in range(6)]
    conjunctions, truth = [], []
    for rival, label in pairs:
        r = int(random.integers(-spread - 2, spread + 3))
        if random.random() < 0.7:
            one = at.nodes[-1][random.integers(len(at.points))]
            r = int(one[rival] - one[label] + random.integers(0, 3))
        row = torch.zeros(1, outputs, dtype=torch.float64)
        row[0, rival], row[0, label] = 1, -1
        conjunctions.append(Conjunction(row, torch.tensor([float(r)], dtype=torch.float64)))
        truth.append(at.nodes[-1][:, rival] - at.nodes[-1][:, label] >= r)
    cases = conditions_of(at.graph, conjunctions)
    assert isinstance(cases, OrderConditions) and len(cases) == 6
    return Asked(at, cases, torch.from_numpy(random.integers(0, 6, len(at.region))), np.array(truth))


def linears(random: np.random.Generator) -> Asked:
    """Conjunctions of different heights on any network."""
    at = random_situation(random)
    conjunctions, truth = [], []
    for _ in range(5):
        rows = random.integers(-3, 4, (int(random.integers(1, 4)), at.graph.output.size))
        level = rows @ at.nodes[-1][random.integers(len(at.points))] + random.integers(-1, 2, len(rows))
        conjunctions.append(Conjunction(floats(rows), floats(level)))
        truth.append((at.nodes[-1] @ rows.T >= level).all(1))
    cases = conditions_of(at.graph, conjunctions)
    assert isinstance(cases, Conditions) and len(cases) == 5
    return Asked(at, cases, torch.from_numpy(random.integers(0, 5, len(at.region))), np.array(truth))


def draw(kind: str, random: np.random.Generator) -> Asked:
    return orders(random) if kind == "order" else linears(random)


kinds = pytest.mark.parametrize("kind", ["order", "linear"])


@seeds
@kinds
def test_constraining_keeps_what_meets_the_case(kind: str, seed: int) -> None:
    random = np.random.default_rng([1, seed])
    cut = 0
    for _ in range(NETWORKS):
        asked = draw(kind, random)
        region = asked.cases.tighten(asked.case, asked.at.region)
        after = asked.at.holds(region)
        meets = asked.at.inside & asked.holds(torch.arange(len(region)))
        assert (after | ~meets).all()
        assert (after <= asked.at.inside).all()
        assert not meets[region.empty().numpy()].any()
        cut += int((after < asked.at.inside).sum())
    assert cut > 0 or kind == "linear"


@seeds
@kinds
def test_roots_cover_every_point(kind: str, seed: int) -> None:
    random = np.random.default_rng([2, seed])
    more = 0
    for _ in range(NETWORKS):
        asked = draw(kind, random)
        row, region = asked.cases.roots(asked.case, asked.at.region)
        assert len(row) == len(region)
        pieces = asked.at.holds(region)
        covered = np.zeros_like(asked.at.inside)
        for new, old in enumerate(row.tolist()):
            covered[old] |= pieces[new]
        assert (covered == asked.at.inside).all()
        more += int(len(row) > len(asked.case))
    assert more > 3 or kind == "linear"


@seeds
@kinds
@pytest.mark.parametrize("prepared", [True, False])
def test_objectives_are_not_negative_where_the_case_holds(kind: str, seed: int, prepared: bool) -> None:
    """With and without the preparation by roots and constraints that the search does."""
    random = np.random.default_rng([3, seed])
    refuted = 0
    for _ in range(NETWORKS):
        asked = draw(kind, random)
        row, region = torch.arange(len(asked.case)), asked.at.region
        if prepared:
            row, region = asked.cases.roots(asked.case, region)
            region = asked.cases.tighten(asked.case[row], region)
            alive = (~region.empty()).nonzero()[:, 0]
            row, region = row[alive], region.take(alive)
        if not len(row):
            continue
        value = asked.at.objective(asked.cases.objective(asked.case[row], region))
        inside = asked.at.holds(region)
        assert (value[inside & asked.holds(row)] >= 0).all()
        refuted += int((value < 0)[inside].sum())
    assert refuted > 0 or prepared  # which leaves little to refute


@seeds
def test_a_single_level_says_it_all(seed: int) -> None:
    """Where the label has one level only, the ranges are the case: nothing is left that does not meet it."""
    random = np.random.default_rng([4, seed])
    compared = 0
    for _ in range(NETWORKS):
        asked = orders(random, rows=12)
        row, region = asked.cases.roots(asked.case, asked.at.region)
        region = asked.cases.tighten(asked.case[row], region)
        staircase = asked.at.graph.activation(len(asked.at.graph.nodes) - 1)
        assert isinstance(asked.cases, OrderConditions)
        label = asked.cases.label[asked.case[row]][:, None]
        low, high = region.range_lower[-1].gather(1, label), region.range_upper[-1].gather(1, label)
        single = ((low <= high) & (staircase.evaluate(low) == staircase.evaluate(high)))[:, 0].numpy()
        inside = asked.at.holds(region)[single]
        assert (asked.holds(row)[single] | ~inside).all()
        compared += int(inside.sum())
    assert compared > 0


@seeds
def test_rows_that_ask_the_same_are_dropped_and_no_others(seed: int) -> None:
    random = np.random.default_rng([5, seed])
    dropped = 0
    for _ in range(3 * NETWORKS):
        asked = orders(random, rows=1)
        one = asked.at.region.take(torch.zeros(len(asked.cases), dtype=torch.int64))
        case = torch.arange(len(asked.cases))
        row, region = asked.cases.roots(case, one)
        first = asked.cases.first_alike(case[row], region)
        kept = (first == torch.arange(len(first))).nonzero()[:, 0]
        meets = asked.at.holds(region) & asked.truth[row.numpy()]
        assert (meets[kept.numpy()].any(0) == meets.any(0)).all()
        dropped += len(row) - len(kept)
    assert dropped > 0


@seeds
@kinds
def test_deficiency_is_zero_exactly_where_the_case_holds(kind: str, seed: int) -> None:
    random = np.random.default_rng([6, seed])
    for _ in range(NETWORKS):
        asked = draw(kind, random)
        has_final = len(asked.at.graph.nodes) - 1 in asked.at.graph.activations
        value = floats(asked.at.nodes[-2 if has_final else -1])
        cases = torch.arange(len(asked.cases))
        for cast in (torch.float64, torch.float32):
            deficiency = asked.cases.deficiency(value.to(cast)[None].expand(len(cases), -1, -1), cases)
            assert (deficiency >= 0).all()
            assert ((deficiency == 0).numpy() == asked.truth).all()


@seeds
def test_the_step_that_order_cases_ask_for_suffices(seed: int) -> None:
    """A rival raised, or a label lowered, by the deficiency in units of its pre-activation meets the case."""
    random = np.random.default_rng([7, seed])
    for _ in range(NETWORKS):
        asked = orders(random)
        cases, value = asked.cases, floats(asked.at.nodes[-2])
        assert isinstance(cases, OrderConditions)
        number = torch.arange(len(cases))
        deficiency = cases.deficiency(value[None].expand(len(cases), -1, -1), number)
        final = asked.at.net.layers[-1].steps
        assert final is not None
        levels = np.arange(-3, 4)
        for c in range(len(cases)):
            rival, label, margin = int(cases.rival[c]), int(cases.label[c]), int(cases.margin[c])
            for point in random.integers(0, len(value), 5):
                need = float(deficiency[c, point])
                a = asked.at.nodes[-2][point]
                if not np.isfinite(need):  # no pre-activations meet it
                    top, bottom = (
                        final.evaluate(np.array([10**6] * len(a))),
                        final.evaluate(np.array([-(10**6)] * len(a))),
                    )
                    assert top[rival] - bottom[label] < margin
                    continue
                shares = [round(need * share / 12) for share in range(13)] + [int(e) for e in levels if 0 <= e <= need]
                shares += list(range(min(int(need), 60) + 1))
                moved = np.repeat(a[None], len(shares), 0)
                moved[:, rival] += np.array(shares)
                moved[:, label] -= int(need) - np.array(shares)
                y = final.evaluate(moved)
                assert (y[:, rival] - y[:, label] >= margin).any() or need > 60


def test_which_form_a_condition_takes() -> None:
    random = np.random.default_rng(8)
    shared = random_situation(random, layers=1, final="shared")
    general = random_situation(random, layers=1, final="general")
    bare = random_situation(random, layers=1, final=None)

    def form(at: Situation, row: list[float], level: float, more: int = 0) -> type:
        padded = torch.zeros(1 + more, at.graph.output.size, dtype=torch.float64)
        padded[:, : len(row)] = torch.tensor(row, dtype=torch.float64)
        return type(conditions_of(at.graph, [Conjunction(padded, torch.full((1 + more,), level, dtype=torch.float64))]))

    assert form(shared, [1, -1], 0) is OrderConditions
    assert form(shared, [-1, 1], -3) is OrderConditions
    assert form(shared, [2, -2], 0) is Conditions
    assert form(shared, [1, 1], 0) is Conditions
    assert form(shared, [1, 0], 0) is Conditions
    assert form(shared, [1, -1], 0, more=1) is Conditions
    assert form(general, [1, -1], 0) is Conditions
    assert form(bare, [1, -1], 0) is Conditions
    assert len(conditions_of(shared.graph, [])) == 0


def test_whole_region_stays_whole_without_a_case() -> None:
    at = random_situation(np.random.default_rng(9), final="shared")
    none = at.region.take(torch.arange(0))
    cases = conditions_of(at.graph, [])
    row, region = cases.roots(torch.arange(0), none)
    assert len(row) == 0 and isinstance(region, Region) and len(region) == 0
