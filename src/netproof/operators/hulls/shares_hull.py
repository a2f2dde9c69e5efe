"""Shares of a whole that are in their ranges: ``{p : l <= p <= u, sum p = 1}``.

For any ``m``, ``sum_j w_j p_j = m + sum_j (w_j - m) p_j``, and what is left of the coefficients is bounded share by share: one
multiplier of the equation. The largest value over the set is attained by the ``m`` at which the shares filled from the largest
coefficient on come to 1. What is handed on is smallest, weighed by how much shares are, for a weighted median.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.hulls.hull import Conjugate, Hull
from netproof.operators.sums import feature_sum
from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Float


def in_runs(part: Float[Tensor, "*B n"], count: int) -> Float[Tensor, "*B _ _"]:
    """Features ``[..., n]`` as ``[..., n / count, count]``, of no rows, too."""
    return part.reshape(*part.shape[:-1], part.shape[-1] // count, count)


@dataclass(frozen=True, eq=False)
class SharesHull(Rows, Hull):
    """Runs of ``count`` neighbouring features ``[..., n]`` that add up to 1 each; the ends are between 0 and 1.

    What a run adds to a bound is told of its features together; of one of them alone it says nothing.
    """

    lower: Tensor
    upper: Tensor
    count: int

    def common(self, v: Float[Tensor, "*#S"]) -> Float[Tensor, "*S"]:
        """What the coefficients of a run have in common, the same number for all of it: their median, weighted by the largest
        each share can be.

        So it is at most twice the sum of ``|v| u`` of its run, and so is its product with the sum of ``u``, which is at
        least 1: the account of rounding knows it by what it knows already.
        """
        price = in_runs(v, self.count)
        weight = in_runs(self.upper, self.count).expand_as(price)
        order = price.detach().argsort(-1)
        passed = weight.gather(-1, order).cumsum(-1)
        half = (2 * passed >= passed[..., -1:]).to(torch.int8).argmax(-1, keepdim=True)
        median = price.gather(-1, order.gather(-1, half))
        return torch.where(torch.isfinite(median), median, 0.0).expand_as(price).flatten(-2)

    def apart(self, v: Float[Tensor, "*#S"]) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        v = v.expand((v + self.lower).shape)
        common = self.common(v)
        return common, common / self.count

    def conjugate(self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"]) -> Conjugate:
        """Of a run the sum of all values is what counts. With all that rounding can have taken from it."""
        v, s = (part.expand((v + s + self.lower).shape) for part in (v, s))
        price = v - s
        common = self.common(price)
        rest = price - common
        at = torch.where(rest >= 0, self.upper, self.lower)
        # One rounding in either difference, and one in each product and in the share of what is common.
        unit = 2 * torch.finfo(price.dtype).eps
        off = (price.abs() + rest.abs()) * self.upper + common.abs() / self.count
        value = torch.where(rest == 0, 0.0, rest * at) + common / self.count + unit * off
        return Conjugate(value, at, at)

    def slope(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"] | None = None) -> Float[Tensor, "*#S"]:
        """1: everything is handed on, which is :meth:`relax` without what is common."""
        return torch.ones_like(v + self.lower)

    def relax(self, v: Float[Tensor, "#B n"]) -> tuple[Float[Tensor, "B n"], Float[Tensor, " B"]]:
        v = v.expand((v + self.lower).shape)
        s = v - self.common(v)
        return s, feature_sum(self.conjugate(v, s).value)

    def height(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"]) -> Float[Tensor, "*S"]:
        return at.expand((v + at).shape)

    def superlevel(
        self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"], cut: Float[Tensor, "*#S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        """All of the range: nothing is proposed."""
        shape = (v + s + cut + self.lower).shape
        return self.lower.expand(shape), self.upper.expand(shape)
