"""Batches of tensors: what is taken, stacked, moved and counted, whatever the fields hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from netproof.rows import Rows


class Pair(NamedTuple):
    first: Tensor
    second: Tensor | None


@dataclass(frozen=True, eq=False)
class Inner(Rows):
    value: Tensor


@dataclass(frozen=True, eq=False)
class Batch(Rows):
    number: Tensor
    inner: Inner
    several: tuple[Tensor | None, ...]
    pair: Pair
    by_name: dict[int, Tensor]
    listed: list[Tensor]
    missing: Tensor | None = None
    name: str = "same for all"


def batch(start: int, rows: int) -> Batch:
    number = torch.arange(start, start + rows)
    wide = number.double()[:, None].expand(-1, 2) / 3
    return Batch(number, Inner(wide), (wide, None), Pair(wide + 1, None), {7: wide + 2}, [wide + 3])


def numbers(of: Batch) -> list[list[float]]:
    """Every tensor's first column."""
    return [t.reshape(len(t), -1)[:, 0].tolist() for t in tensors(of)]


def tensors(of: Batch) -> list[Tensor]:
    assert of.several[0] is not None
    return [of.number, of.inner.value, of.several[0], of.pair.first, of.by_name[7], of.listed[0]]


@pytest.mark.parametrize("rows", [torch.tensor([3, 0, 3]), torch.tensor([True, False, False, True])])
def test_taking_rows_takes_them_everywhere(rows: Tensor) -> None:
    whole = batch(5, 4)
    taken = whole.take(rows)
    assert numbers(taken) == [t[rows].reshape(len(taken.number), -1)[:, 0].tolist() for t in tensors(whole)]
    assert taken.missing is None and taken.several[1] is None and taken.pair.second is None
    assert isinstance(taken.pair, Pair) and isinstance(taken.inner, Inner) and taken.name == "same for all"


def test_parts_of_a_batch_make_it_again() -> None:
    whole = batch(5, 4)
    again = Batch.concatenate([whole.take(torch.tensor([0])), whole.take(torch.tensor([1, 2, 3]))])
    assert numbers(again) == numbers(whole)
    assert isinstance(again.pair, Pair) and again.several[1] is None and again.name == whole.name


def test_whole_numbers_stay_whole_numbers() -> None:
    light = batch(5, 4).to(torch.float32)
    assert light.number.dtype == torch.int64
    assert {t.dtype for t in tensors(light)[1:]} == {torch.float32}


def test_bytes_are_those_of_all_tensors() -> None:
    whole = batch(5, 4)
    assert whole.bytes == sum(t.numel() * t.element_size() for t in tensors(whole)) == 4 * 8 + 5 * 4 * 2 * 8


def test_rows_are_replaced_in_a_copy():
    whole, other = batch(0, 5), batch(100, 2)
    made = whole.put(torch.tensor([3, 1]), other)
    assert made.number.tolist() == [0, 101, 2, 100, 4] and whole.number.tolist() == [0, 1, 2, 3, 4]
    for part, its in (
        (made.inner.value, other.inner.value),
        (made.several[0], other.several[0]),
        (made.pair.first, other.pair.first),
        (made.by_name[7], other.by_name[7]),
        (made.listed[0], other.listed[0]),
    ):
        assert torch.equal(part[[3, 1]], its)
    assert torch.equal(made.inner.value[[0, 2, 4]], whole.inner.value[[0, 2, 4]])
    assert made.several[1] is None and made.missing is None and isinstance(made.pair, Pair) and made.name == whole.name
