"""The tree of a search: what it hands out, in which order, and what stays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from netproof.bounds.region import Region
from netproof.rows import Rows, Slots
from netproof.search.tree import DepthFirst, WorstFirst


@dataclass(frozen=True, eq=False)
class Some(Rows):
    case: Tensor
    value: Tensor
    inner: tuple[Tensor, Tensor | None] = (torch.zeros(0), None)

    def __len__(self) -> int:
        return len(self.case)


def some(numbers: list[int], values: list[float]) -> Some:
    case = torch.tensor(numbers, dtype=torch.int64)
    return Some(case, torch.tensor(values, dtype=torch.float64), (case[:, None].expand(-1, 3) * 2.0, None))


def numbers(batch: Some) -> list[int]:
    assert torch.equal(batch.inner[0][:, 0], batch.case * 2.0)
    return batch.case.tolist()


@pytest.mark.parametrize("seed", range(6))
def test_the_worst_come_first_and_of_equal_ones_what_came_first(seed: int) -> None:
    random = np.random.default_rng(seed)
    tree: WorstFirst[Some] = WorstFirst(1 << 30)
    expected: list[tuple[float, int]] = []
    added = 0
    for _ in range(60):
        if random.random() < 0.6 or not expected:
            count = int(random.integers(0, 9))
            values = random.integers(0, 5, count).astype(float).tolist()  # many of them equal
            new = list(range(added, added + count))
            added += count
            batch = some(new, values)
            tree.add(batch)
            expected += zip(values, new, strict=True)
        if not expected:
            continue
        assert len(tree) == len(expected) and tree.bound == max(value for value, _ in expected)
        assert sorted(torch.cat([case for case, _ in tree._columns()]).tolist()) == sorted(n for _, n in expected)
        assert tree.bytes == len(expected) * (8 + 8 + 12)
        ranked = sorted(expected, key=lambda one: -one[0])
        if random.random() < 0.3:
            assert numbers(tree.peek(4)) == [number for _, number in ranked[:4]]
        count = int(random.integers(1, 7))
        popped = numbers(tree.pop(count))
        # All that there is comes as it lies, with what was left before in front.
        wanted = [number for _, number in ranked[:count]]
        assert popped == wanted if len(expected) > count else sorted(popped) == sorted(wanted)
        expected = ranked[count:]
    assert added > 100


def test_what_was_added_is_not_written_to() -> None:
    tree: WorstFirst[Some] = WorstFirst(1 << 30)
    first = some([0, 1, 2], [3.0, 2.0, 1.0])
    tree.add(first)
    popped = tree.pop(1)
    tree.add(some([7], [9.0]))
    assert numbers(tree.pop(1)) == [7]
    assert numbers(first) == [0, 1, 2] and numbers(popped) == [0]
    assert numbers(tree.pop(5)) == [1, 2] and not len(tree) and tree.bound == -math.inf and tree.bytes == 0


def test_the_newest_come_first_where_few_are_to_be_open() -> None:
    tree: DepthFirst[Some] = DepthFirst(1 << 30)
    for start in (0, 4, 8):
        tree.add(some(list(range(start, start + 3)), [0.0] * 3))
    assert numbers(tree.pop(7)) == [8, 9, 10, 4, 5, 6]
    assert numbers(tree.pop(2)) == [0, 1] and numbers(tree.pop(2)) == [2]
    assert tree.total(len) == 0


def test_slots_are_used_again_the_lowest_first() -> None:
    slots: Slots[Some] = Slots()
    assert slots.add(some([0, 1, 2], [0.0] * 3)).tolist() == [0, 1, 2]
    slots.remove(torch.tensor([1, 0]))
    assert len(slots) == 1 and slots.slots.tolist() == [2] and slots.bytes == 28
    assert slots.add(some([3], [1.0])).tolist() == [0]
    assert slots.add(some([4, 5], [2.0, 3.0])).tolist() == [1, 3]
    assert numbers(slots.read(slots.slots)) == [3, 4, 2, 5]
    assert slots.add(some([], [])).tolist() == [] and len(slots) == 4


def test_batches_that_do_not_fit_together_are_not_mixed() -> None:
    slots: Slots[Some] = Slots()
    slots.add(some([0], [0.0]))
    slots.remove(slots.slots)
    one = some([1], [1.0])
    with pytest.raises(ValueError, match="has what the other has not"):
        slots.add(Some(one.case, one.value, (one.inner[0], one.case)))


@dataclass(frozen=True, eq=False)
class Boxed(Rows):
    case: Tensor
    value: Tensor
    region: Region

    def __len__(self) -> int:
        return len(self.case)


def boxed(numbers: list[int], box: tuple[Tensor, Tensor]) -> Boxed:
    case = torch.tensor(numbers)
    ranges = case[:, None].expand(-1, 2).double()
    return Boxed(case, case.double(), Region(*box, (ranges,), (ranges + 1,)))


def test_a_box_that_all_share_stays_shared_while_all_share_it() -> None:
    box = torch.zeros(1, 3).double(), torch.ones(1, 3).double()
    slots: Slots[Boxed] = Slots()
    slots.add(boxed([0, 1, 2], box))
    slots.remove(torch.tensor([1]))
    slots.add(boxed([3, 4], box))
    assert slots.by_slot.region.lower is box[0] and slots.read(slots.slots).region.upper is box[1]
    half = box[0].expand(2, -1).clone(), box[1].expand(2, -1) / 2
    slots.remove(torch.tensor([0]))
    added = slots.add(boxed([5, 6], half))
    assert (box[0] == 0).all() and (box[1] == 1).all()
    region = slots.read(slots.slots).region
    ours = torch.isin(slots.slots, added)
    assert (region.upper[ours] == 0.5).all() and (region.upper[~ours] == 1).all() and len(region.lower) == 5
    assert torch.equal(region.range_upper[0][:, 0] - 1, slots.read(slots.slots).case.double())


def test_what_is_open_is_revised_some_at_a_time() -> None:
    tree: WorstFirst[Some] = WorstFirst(1 << 30)
    tree.revise(3, lambda batch: (batch, batch.case >= 0))
    assert len(tree) == 0
    tree.add(some(list(range(10)), [float(n) for n in range(10)]))
    assert numbers(tree.pop(2)) == [9, 8]
    tree.add(some([20, 21], [0.5, 30.0]))
    sizes = []

    def change(batch: Some) -> tuple[Some, Tensor]:
        sizes.append(len(batch))
        return Some(batch.case, -batch.value, batch.inner), batch.case % 2 == 0

    tree.revise(3, change)
    assert sizes == [3, 3, 3, 1]
    assert len(tree) == 5 and tree.bound == 0.0
    assert numbers(tree.pop(4)) == [0, 20, 2, 4]
    assert numbers(tree.pop(4)) == [6]
    assert len(tree) == 0
