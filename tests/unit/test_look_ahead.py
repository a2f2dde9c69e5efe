"""Look-ahead: what the halves of candidates are bounded by, whatever the portions, and at a deadline."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from netproof.bounds.look_ahead import look_ahead

USABLE = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
LOWER = torch.tensor([[3.0, -1.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
UPPER = torch.tensor([[-7.0, 2.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]])


def bounds(row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    assert bool(USABLE[row, column].all()), "tried what is no candidate"
    return LOWER[row, column], UPPER[row, column]


@pytest.mark.parametrize("at_once", [None, 1, 2, 3])
def test_a_refuted_half_counts_nothing(at_once: int | None) -> None:
    assert look_ahead(USABLE, bounds, at_once).tolist() == [
        [3.0, 2.0, math.inf],
        [4.5, math.inf, math.inf],
        [math.inf] * 3,
    ]


def test_nothing_is_tried_after_the_deadline() -> None:
    def never(row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        raise AssertionError("tried")

    total = look_ahead(USABLE, never, deadline=-math.inf)
    assert total.argmin(1)[:2].tolist() == [0, 0]
    assert total.tolist() == [[0.0, math.inf, math.inf], [0.0, math.inf, math.inf], [math.inf] * 3]


def test_rows_without_candidates_are_no_work() -> None:
    assert look_ahead(USABLE[2:], bounds).tolist() == [[math.inf] * 3]
    assert look_ahead(USABLE[:0], bounds).shape == (0, 3)
