"""Both halves of parts, bounded by the multipliers of the whole: what look-ahead goes by, and where steps on halves begin."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from netproof.bounds.loops.point import SignPoint
from netproof.bounds.multipliers.signs import LEFT, RIGHT, SignDual
from netproof.bounds.objective import Objective

if TYPE_CHECKING:
    from jaxtyping import Float, Int8, Int64


class Whole(NamedTuple):
    """Parts that are to be split, ``N`` of them, and their bounds.

    Attributes
    ----------
    side : ``[N, m]``
    alpha, beta : ``[N, m]``, their multipliers
    point : the bounds
    stages : what was still to be bounded before every activation (:meth:`netproof.bounds.multipliers.signs.SignDual.bound`)
    """

    side: Int8[Tensor, "N m"]
    alpha: Float[Tensor, "#N m"]
    beta: Float[Tensor, "#N m"]
    point: SignPoint
    stages: Mapping[int, Objective]


class Tried:
    """Bounds of both halves of rows, each split at its feature, by multipliers that both have.

    Above the activation of the feature they are what they were for the whole, and only what that came down to is passed on.

    Parameters
    ----------
    rows, feature : ``[B]``, which parts are split, and where

    Attributes
    ----------
    value : ``[2, B]``, of left and right halves
    """

    def __init__(self, dual: SignDual, whole: Whole, rows: Int64[Tensor, " B"], feature: Int64[Tensor, " B"]) -> None:
        self._whole, self._rows = whole, rows
        self.value = whole.point.value.new_empty(2, len(rows))
        #: of rows that are split at the same activation their places, and the bounds of their left, then of their right halves
        self._found: list[tuple[Tensor, SignPoint]] = []
        ends = torch.tensor(list(itertools.accumulate(dual.sizes))).to(feature.device)
        own = torch.bucketize(feature, ends, right=True)
        for k in range(len(ends)):
            mine = (own == k).nonzero()[:, 0]
            if not len(mine):
                continue
            point = _halves(dual, whole, k, rows[mine], feature[mine])
            self.value[:, mine] = point.value.view(2, -1)
            self._found.append((mine, point))

    def picked(self, which: Int64[Tensor, " S"]) -> SignPoint | None:
        """The bounds of the left, then of the right halves of some; None where derivatives are not found from them."""
        whole = self._whole.point
        if whole.handed is None:
            return None
        place = torch.full((len(self._rows),), -1)
        place[which] = torch.arange(len(which))
        row = self._rows[which].repeat(2)
        v, handed = whole.v[row], whole.handed[row]
        coefficients = whole.input_coefficients.new_empty(len(row), whole.input_coefficients.shape[1])
        for mine, point in self._found:
            kept = (place[mine] >= 0).nonzero()[:, 0]
            if not len(kept) or point.handed is None:
                continue
            own = torch.cat([kept, len(mine) + kept])
            target = torch.cat([place[mine[kept]], len(which) + place[mine[kept]]])
            m = point.v.shape[1]
            v[target, :m], handed[target, :m] = point.v[own], point.handed[own]
            coefficients[target] = point.input_coefficients[own]
        return SignPoint(self.value[:, which].flatten(), v, coefficients, handed)


def _halves(dual: SignDual, whole: Whole, k: int, rows: Tensor, feature: Tensor) -> SignPoint:
    """Left, then right halves of rows that are split at features of the ``k`` th activation."""
    # What reached no such activation is the same in later ones.
    stage = min(j for j in whole.stages if j >= k)
    part = dual.begun[min(stage, len(dual.begun) - 1)]
    count = len(rows)
    row, at = rows.repeat(2), (torch.arange(2 * count, device=rows.device), feature.repeat(2))
    side = whole.side[row, : len(part)]
    side[at] = torch.tensor([LEFT, RIGHT], dtype=side.dtype).repeat_interleave(count).to(side.device)
    alpha, beta = (given.expand(len(whole.side), -1)[row, : len(part)] for given in (whole.alpha, whole.beta))
    beta[at] = 0.0
    return part.bound(whole.stages[stage].take(row), side, alpha, beta)
