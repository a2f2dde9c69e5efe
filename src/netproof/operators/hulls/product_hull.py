"""The hull of a product of two values over a box of both.

It is given by the four corners of the box (McCormick, *Computability of global solutions to factorable nonconvex
programs*, Mathematical Programming 1976): for any numbers, ``w x y - s x - t y`` is largest at a corner, since it is affine
in each of the two.
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


@dataclass(frozen=True, eq=False)
class ProductHull(PairHull):
    """Hull of ``(x, y) -> (x y, x y)`` over ranges of neighbouring features, ``[..., 2 n]``.

    Rounding of :meth:`conjugate`: one in the product and one in that with its coefficient, one in each other product, and
    three in their sums.
    """

    def conjugate(self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"]) -> Conjugate:
        """Of a pair the sum of both values is what counts: the maximum of the pair together."""
        v1, v2, s1, s2 = v[..., 0::2], v[..., 1::2], s[..., 0::2], s[..., 1::2]
        best: list[Tensor] = []
        for x_end in (self.lower, self.upper):
            for y_end in (self.lower, self.upper):
                x, y = x_end[..., 0::2], y_end[..., 1::2]
                product = x * y
                # The first of the pair has its own share.
                first, second = v1 * product - s1 * x, v2 * product - s2 * y
                total = first + second
                found = [total, first, second, x.expand_as(total), y.expand_as(total), product.expand_as(total)]
                if not best:
                    best = found
                    continue
                better = (total > best[0]) | total.isnan()
                best = [torch.where(better, new, old) for new, old in zip(found, best, strict=True)]
        _, first, second, x, y, product = best
        return Conjugate(paired(first, second), paired(x, y), paired(product, product))

    @cached_property
    def plane(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of ``x y`` around the middle of the box: coefficients of ``x`` and ``y``, the constant, and how far it is off."""
        middle, half = (self.lower + self.upper) / 2, (self.upper - self.lower) / 2
        x, y = middle[..., 0::2], middle[..., 1::2]
        # With the rounding of the middles: (x - mx) (y - my) is at most the product of both radii.
        kind = torch.finfo(x.dtype)
        radius = half + (self.lower.abs() + self.upper.abs()) * (2 * kind.eps)
        gap = radius[..., 0::2] * radius[..., 1::2] * (1 + 4 * kind.eps) + kind.tiny
        known = torch.isfinite(gap) & torch.isfinite(x) & torch.isfinite(y)
        y, x = torch.where(known, y, 0.0), torch.where(known, x, 0.0)
        return y, x, -x * y, torch.where(known, gap, torch.inf)

    def lean(self, v: Float[Tensor, "*#S"], t: Float[Tensor, "*#S"]) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        """Between McCormick's two planes on a side; half of either is :attr:`plane`, moved by its gap."""
        xl, xu, yl, yu = self.lower[..., 0::2], self.upper[..., 0::2], self.lower[..., 1::2], self.upper[..., 1::2]
        share = t[..., 0::2]
        up = v[..., 0::2] + v[..., 1::2] >= 0
        # One plane touches at the ends x, y = a, b, the other one at c, d.
        b, d = torch.where(up, yu, yl), torch.where(up, yl, yu)
        of_x, of_y = d + share * (b - d), xu + share * (xl - xu)
        constant = -(share * xl * b + (1 - share) * xu * d)
        return 2 * paired(of_x, of_y), paired(constant, constant)

    def height(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"]) -> Float[Tensor, "*S"]:
        x, y = at[..., 0::2], at[..., 1::2]
        xl, xu, yl, yu = self.lower[..., 0::2], self.upper[..., 0::2], self.lower[..., 1::2], self.upper[..., 1::2]
        above = torch.minimum(xu * y + yl * x - xu * yl, xl * y + yu * x - xl * yu)
        below = torch.maximum(xl * y + yl * x - xl * yl, xu * y + yu * x - xu * yu)
        height = torch.where(v[..., 0::2] + v[..., 1::2] >= 0, above, below)
        return paired(height, height)
