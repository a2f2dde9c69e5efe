"""Prices kept for halves of splits, and where splits come from when one kind has none."""

from __future__ import annotations

import math

import pytest
import torch

from netproof.bounds.envelope.stored import StoredPrices
from netproof.bounds.multipliers.ranges import Parameters
from netproof.bounds.region import Region, box_region
from netproof.demo.digits import load_digits
from netproof.local_robustness import robustness
from netproof.query import Verdict
from netproof.search.branching import Split
from netproof.search.integer.engine import Search
from netproof.search.integer.envelopes import PricePool, alike
from netproof.search.subproblems import Subproblems
from netproof.search.tree import WorstFirst
from netproof.settings import Settings


def stored(*values: float) -> StoredPrices:
    return StoredPrices.of(torch.tensor(values, dtype=torch.float64)[:, None, None].expand(-1, 2, 3).contiguous())


def test_prices_go_when_both_halves_have_taken_them():
    pool = PricePool()
    numbers = pool.put(stored(1.0, -2.0), 2)
    full = pool.bytes
    assert full == stored(1.0, -2.0).bytes
    taken = pool.take(numbers.flip(0))
    assert taken.values(torch.float64)[:, 0, 0].tolist() == [-2.0, 1.0]
    assert pool.bytes == full
    again = pool.take(torch.tensor([int(numbers[0])]))
    assert again.values(torch.float64)[0, 1, 2] == 1.0
    assert pool.bytes == full // 2
    with pytest.raises(KeyError):
        pool.take(numbers[:1])
    pool.take(numbers[1:])
    assert pool.bytes == 0


def test_numbers_are_not_used_again_and_nothing_is_a_batch_too():
    pool = PricePool()
    first, second = pool.put(stored(1.0), 1), pool.put(stored(3.0), 1)
    assert first.tolist() != second.tolist()
    assert len(pool.take(torch.zeros(0, dtype=torch.int64)).exponent) == 0
    assert pool.take(second).values(torch.float32)[0, 0, 0] == 3.0


def test_both_halves_may_take_theirs_at_once():
    pool = PricePool()
    number = pool.put(stored(0.25), 2)
    assert pool.take(number.repeat(2)).values(torch.float64)[:, 0, 0].tolist() == [0.25, 0.25]
    assert pool.bytes == 0


def test_prices_of_zero_and_of_all_sizes_are_stored():
    values = stored(0.0, 1e-12, 3e-5, 0.7, 5e4).values(torch.float64)[:, 0, 0]
    assert values[0] == 0
    assert torch.allclose(values[2:], torch.tensor([3e-5, 0.7, 5e4], dtype=torch.float64), rtol=1e-4)
    assert abs(float(values[1])) <= 2.0**-40


def test_other_splits_where_there_are_none():
    first = Split(torch.tensor([0, 1]), torch.tensor([4, 5]), torch.tensor([7.0, 8.0]))
    other = Split(torch.tensor([-1, -1]), torch.tensor([2, 3]), torch.tensor([1.0, 2.0]))
    chosen = first.where(torch.tensor([True, False]), other)
    assert (chosen.k.tolist(), chosen.feature.tolist(), chosen.point.tolist()) == ([0, -1], [4, 3], [7.0, 2.0])


def test_prices_count_as_memory_of_the_search():
    tree = WorstFirst(1000)
    tree.count = 1
    pool = PricePool()
    tree.beside = lambda: pool.bytes
    assert tree.beyond_limits(math.inf) is None
    number = pool.put(stored(*[1.0] * 200), 1)
    ended = tree.beyond_limits(math.inf)
    assert ended is not None and ended.verdict is Verdict.UNKNOWN and "memory" in ended.reason
    pool.take(number)
    assert tree.beyond_limits(math.inf) is None


def test_a_search_on_a_network_with_envelopes_counts_them():
    digits = load_digits()
    query = robustness(digits.network, digits.image(0), int(digits.labels[0]), 3)
    region = box_region(digits.network.graph, query.lower[None], query.upper[None])
    search = Search(query, region, list(range(len(query.condition))), Settings())
    assert search._enveloper is not None
    search._enveloper.pool.put(stored(1.0), 1)
    assert search._tree.beside() == search._enveloper.pool.bytes > 0


def subproblems(lower: list[list[float]], prices: list[int]) -> Subproblems:
    """One for each price, numbered by their cases; of boxes ``[lower, 9]``, of which there are as many, or one for all."""
    rows, low = len(prices), torch.tensor(lower, dtype=torch.float64)
    zeros = torch.zeros(rows, 2)
    region = Region(low, torch.full_like(low, 9), (zeros.double() - 1,), (zeros.double() + 1,))
    value = torch.zeros(rows, dtype=torch.float64)
    number = torch.arange(rows)
    return Subproblems(number, region, Parameters((zeros,), (zeros,)), value, number, torch.tensor(prices))


def test_a_batch_in_parts_that_envelopes_can_bound_together():
    pool = PricePool()
    a, b, c = pool.put(stored(1.0, 2.0, 3.0), 1).tolist()
    box = Region(torch.zeros(1, 2).double(), torch.full((1, 2), 9.0).double(), (), ())
    whole, cut = [0.0, 0.0], [0.0, 5.0]
    batch = subproblems([whole, cut, whole, cut, whole], [a, b, -1, -1, c])
    parts = alike(batch, box, pool, enveloped=True)
    assert [part.case.tolist() for part in parts] == [[1, 3], [2], [0, 4]]
    assert [part.prices.tolist() for part in parts] == [[-1, -1], [-1], [a, c]]
    assert [len(part.region.lower) for part in parts] == [2, 1, 1]
    assert all(torch.equal(part.region.lower[0], box.lower[0]) for part in parts[1:])
    # those of b went, the others are still to be taken
    pool.take(parts[2].prices)
    assert pool.bytes == 0

    shared = subproblems([whole], [-1, -1])
    assert [part.case.tolist() for part in alike(shared, box, pool, enveloped=True)] == [[0, 1]]
    assert alike(batch, box, None, enveloped=False) == [batch]


def test_without_envelopes_a_batch_is_one_part_and_keeps_no_prices():
    pool = PricePool()
    numbers = pool.put(stored(1.0, 2.0), 1).tolist()
    box = Region(torch.zeros(1, 2).double(), torch.full((1, 2), 9.0).double(), (), ())
    (part,) = alike(subproblems([[0.0, 0.0]], [*numbers, -1]), box, pool, enveloped=False)
    assert part.prices.tolist() == [-1, -1, -1] and pool.bytes == 0
