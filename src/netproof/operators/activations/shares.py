"""Shares of a whole: values that add up to 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.activations.held import Held
from netproof.operators.hulls.shares_hull import SharesHull, in_runs

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Shares(Held):
    """``f(a) = a`` for features of which runs of ``count``, one after the other, add up to 1, none of them below 0.

    Nothing is computed. But each share of a softmax is bounded by itself, and what is known of all of them together
    would be lost: a bound of ``sum_j v_j p_j`` is as good for ``m + sum_j (v_j - m) p_j``, whatever ``m`` is, and what
    the ``v_j`` have in common is then not multiplied by shares that vary one by one.

    Attributes
    ----------
    count : at least 2
    """

    count: int

    name = "shares"
    coupled = True

    def describe(self) -> str:
        return f"{self.count} add up to 1"

    def to(self, dtype: torch.dtype, device: torch.device) -> Shares:
        return self

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        """The ranges, between 0 and 1 and with no more in them than the others of a run leave, to a few roundings."""
        low, high = (in_runs(end, self.count) for end in (lower.clamp(min=0), upper.clamp(max=1)))
        # Sums of ``count`` numbers from 0 to 1, and two differences.
        slack = 2 * self.count * (self.count + 2) * torch.finfo(lower.dtype).eps
        least = 1 - (high.sum(-1, keepdim=True) - high) - slack
        most = 1 - (low.sum(-1, keepdim=True) - low) + slack
        # An empty range is handed on as one.
        low = torch.where(least > low, least, low)
        high = torch.where(most < high, most, high)
        return low.flatten(-2), high.flatten(-2)

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> SharesHull:
        return SharesHull(*self.output_range(lower, upper), self.count)

    def select(self, features: Tensor, size: int) -> Shares:
        """The same on some runs: ``features`` hold all of a run or none (:meth:`closed`)."""
        return self

    def closed(self, features: Tensor, size: int) -> Tensor:
        run: Tensor = torch.unique(features // self.count)
        return (run[:, None] * self.count + torch.arange(self.count)).flatten()
