"""The hull of a quotient of two values over a box of both.

For any numbers, ``w n / d - s n - t d`` is affine in ``n``, so it is largest at an end of its range; for such an ``n`` it is in
``d``, which keeps its sign, convex, so that it is largest at an end, or concave, where the inequality of the arithmetic and the
geometric mean gives the maximum: ``-(c / d + t d) <= -2 sqrt(c t)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.hulls.hull import Conjugate
from netproof.operators.hulls.pair_hull import PairHull, paired

if TYPE_CHECKING:
    from jaxtyping import Float


def keeps_sign(lower: Tensor, upper: Tensor) -> Tensor:
    """Where the denominators of ranges ``[..., 2 n]`` are not 0 anywhere, and the box of both is bounded: ``[..., n]`` bool."""
    ends = torch.stack([lower[..., 0::2], upper[..., 0::2], lower[..., 1::2], upper[..., 1::2]])
    return ((ends[2] > 0) | (ends[3] < 0)) & torch.isfinite(ends).all(0)


@dataclass(frozen=True, eq=False)
class QuotientHull(PairHull):
    """Hull of ``(n, d) -> (n / d, n / d)`` over ranges of neighbouring features, ``[..., 2 n]``; no bound where ``d`` may be 0.

    Rounding of :meth:`conjugate`: one in the quotient and one in that with its coefficient, one in each other product and a
    few in the mean, and three in their sums.
    """

    def _ends(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Numerators' and denominators' ranges, harmless ones where there is no bound, and where there is one."""
        known = keeps_sign(self.lower, self.upper)
        parts = (self.lower[..., 0::2], self.upper[..., 0::2], self.lower[..., 1::2], self.upper[..., 1::2])
        low, high, least, most = (torch.where(known, part, 1.0) for part in parts)
        return low, high, least, most, known

    def conjugate(self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"]) -> Conjugate:
        """Of a pair the sum of both values is what counts: the maximum of the pair together."""
        low, high, least, most, known = self._ends()
        weight, s1, s2 = v[..., 0::2] + v[..., 1::2], s[..., 0::2], s[..., 1::2]
        best: list[Tensor] = []
        for n in (low, high):
            for d in (least, most):
                best = _larger(best, weight * (n / d) - s1 * n - s2 * d, n, d)
            # With d = sign * |d|: -(c / |d| + t |d|), where both are positive.
            sign = torch.where(least > 0, 1.0, -1.0).to(least.dtype)
            c, t = -weight * n * sign, s2 * sign
            bent = (c > 0) & (t > 0)
            c, t = torch.where(bent, c, 1.0), torch.where(bent, t, 1.0)
            d = sign * (c / t).sqrt()
            bent = bent & (d > least) & (d < most)
            total = -2 * (c * t).sqrt() - s1 * n
            best = _larger(best, torch.where(bent, total, -torch.inf), n, torch.where(bent, d, least))
        total, n, d = best
        idle = (weight == 0) & (s1 == 0) & (s2 == 0)
        total = torch.where(idle, 0.0, torch.where(known, total, torch.inf))
        image = n / d
        return Conjugate(paired(total, torch.zeros_like(total)), paired(n, d), paired(image, image))

    @cached_property
    def plane(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of ``n / d``: coefficients of ``n`` and ``d``, the constant, and how far it is off.

        ``n / d = h + (n - h d) / d`` for any number ``h``, and ``1 / d`` is within ``R`` of a number ``r``: the quotient is within
        ``max |n - h d| R`` of ``h + r (n - h d)``.
        """
        low, high, least, most, known = self._ends()
        eps, tiny = torch.finfo(low.dtype).eps, torch.finfo(low.dtype).tiny
        first, last = 1 / least, 1 / most
        r = (first + last) / 2
        apart = torch.maximum((first - r).abs(), (last - r).abs()) + 4 * eps * torch.maximum(first.abs(), last.abs())
        h = ((low + high) / 2) / ((least + most) / 2)
        size = torch.maximum(low.abs(), high.abs()) + h.abs() * torch.maximum(least.abs(), most.abs())
        # n - h d is largest at corners.
        corners = torch.stack([n - h * d for n in (low, high) for d in (least, most)])
        gap = (corners.abs().amax(0) + 4 * eps * size) * apart
        # The coefficient of d is a product that is rounded, and so is what follows from it.
        gap = gap * (1 + 8 * eps) + 8 * eps * r.abs() * size + tiny
        nothing = torch.zeros_like(r)
        return (
            torch.where(known, r, nothing),
            torch.where(known, -r * h, nothing),
            torch.where(known, h, nothing),
            torch.where(known, gap, torch.inf),
        )

    def height(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"]) -> Float[Tensor, "*S"]:
        """The plane, moved to the side that ``v`` is on: above or below the quotient, not the nearest such number."""
        of_n, of_d, constant, gap = self.plane
        side = torch.where(v[..., 0::2] + v[..., 1::2] >= 0, gap, -gap)
        height = of_n * at[..., 0::2] + of_d * at[..., 1::2] + constant + side
        return paired(height, height)


def _larger(best: list[Tensor], total: Tensor, n: Tensor, d: Tensor) -> list[Tensor]:
    found = [total, n.expand_as(total), d.expand_as(total)]
    if not best:
        return found
    better = (total > best[0]) | total.isnan()
    return [torch.where(better, new, old) for new, old in zip(found, best, strict=True)]
