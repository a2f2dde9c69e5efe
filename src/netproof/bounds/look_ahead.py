"""Look-ahead: candidates are tried out, and the one whose two halves are closest to being refuted is split."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.processes import clock

#: bounds of the lower and of the upper halves, ``[n]`` each, of splitting rows ``[n]`` by their candidates in columns ``[n]``
BoundHalves = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Tries:
    """How much is tried out.

    Attributes
    ----------
    width : candidates of each row
    at_once : splits that are bounded side by side
    deadline : when ``clock.now()`` comes there, of rows not come to the most promising candidate is taken
    """

    width: int
    at_once: int
    deadline: float = math.inf


def look_ahead(
    usable: Tensor, bound_halves: BoundHalves, at_once: int | None = None, deadline: float = math.inf
) -> Tensor:
    """What splitting by each candidate leaves: the sum of the bounds of both halves, a refuted half counting 0.

    Parameters
    ----------
    usable : ``[B, W]`` bool, which candidates there are, the most promising first
    at_once : how many splits are tried side by side; None for all of them
    deadline : when ``clock.now()`` comes there no more are tried

    Returns
    -------
    ``[B, W]``, infinite where there is no candidate. Of rows that were not come to, the first candidate has 0.
    """
    row, column = usable.nonzero(as_tuple=True)
    tried: list[Tensor] = []
    for some in torch.split(torch.arange(len(row), device=row.device), at_once or max(1, len(row))):
        if clock.now() >= deadline:
            break
        lower, upper = bound_halves(row[some], column[some])
        tried.append(lower.clamp(min=0) + upper.clamp(min=0))
    left = torch.cat(tried) if tried else torch.zeros(0, dtype=torch.float64, device=row.device)
    total = left.new_full(usable.shape, torch.inf)
    total[row[: len(left)], column[: len(left)]] = left
    rest = row[len(left) :]
    missed = rest[column[len(left) :] == 0]
    total[missed, 0] = 0.0
    return total
