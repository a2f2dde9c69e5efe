"""Products bounded together, where it is known how their factors depend on a few numbers that vary.

Product by product, ``sum_i w_i (x_i - a_i) (y_i - b_i)`` is at most the sum of the products of radii: as far as the sum is from its tangent
plane at ``a, b``. Factors that are known as ``x_i = a_i + f_i . t +- d_i`` for ``t`` in ``[-1, 1]^V`` make of it a quadratic
form ``t' M t`` with ``M = sum_i w_i f_i g_i'`` and a rest. So a form ``x' P x`` that is never negative is never below its tangent
plane, however it is written, and one that falls along what a network does with its inputs is never above it.

The largest value of ``t' M t`` on the cube is at most ``sum_i max(M_ii, 0) + sum_(i != j) |M_ij|``, ``V`` times the largest
eigenvalue if that is positive, and ``sum_k max(l_k, 0) |u_k|_1^2`` of eigenvalues and -vectors (the last two are the least convex
quadratic functions of one kind above it, as in Adjiman, Floudas et al.'s alpha-BB, 1998). What eigenvectors are off by is
multiplied out, so that no bound rests on how good they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.hulls.pair_hull import paired
from netproof.operators.hulls.product_hull import ProductHull
from netproof.operators.sums import feature_sum

if TYPE_CHECKING:
    from jaxtyping import Float

#: bounds one rounding, with room for what error terms lose themselves
_U = 2.0**-51
_TINY = 2.0**-500


@dataclass(frozen=True, eq=False)
class JointHull(ProductHull):
    """Hull of products whose factors are ``center + slopes . t +- radius``, ``t`` in ``[-1, 1]^V``, besides being in their ranges.

    Attributes
    ----------
    center, radius : ``[B, 2 n]`` float64
    slopes : ``[B, V, 2 n]`` float64
    """

    center: Tensor
    slopes: Tensor
    radius: Tensor

    def relax(self, v: Float[Tensor, "#B n"]) -> tuple[Float[Tensor, "B n"], Float[Tensor, " B"]]:
        if self.lower.shape[0] == 1:
            s, value = self.relax_rows(v[None])
            return s[0], value[0]
        s, value = self.relax_rows(v[:, None].expand(len(self.lower), -1, -1))
        return s[:, 0], value[:, 0]

    def relax_rows(self, v: Float[Tensor, "B R n"]) -> tuple[Float[Tensor, "B R n"], Float[Tensor, "B R"]]:
        """The tangent plane at the centres and how far the sum of all products is off it, where that is less than :attr:`plane` loses."""
        of_x, of_y, constant, gap = (part[:, None] for part in self.plane)
        weight = v[..., 0::2] + v[..., 1::2]
        apart = feature_sum(torch.where(weight == 0, 0.0, weight.abs() * gap))
        # The point of contact is in the ranges, so that the account of rounding holds for what is made of it.
        center = torch.minimum(torch.maximum(self.center, self.lower), self.upper)
        together = self._gap(weight, self.radius + (center - self.center).abs() * (1 + _U))
        better = together < apart
        x, y = center[:, None, 0::2], center[:, None, 1::2]
        flat = better[..., None]
        of_x, of_y = torch.where(flat, y, of_x), torch.where(flat, x, of_y)
        constant = torch.where(flat, -x * y, constant)
        value = feature_sum(torch.where(weight == 0, 0.0, weight * constant)) + torch.where(better, together, apart)
        return paired(weight * of_x, weight * of_y), value

    def _gap(self, weight: Tensor, radius: Tensor) -> Tensor:
        """How far sums ``weight`` ``[B, R, n]`` of products can be above their tangent planes: ``[B, R]``, rigorous, infinite where unknown."""
        f, g = self.slopes[..., 0::2], self.slopes[..., 1::2]
        sizes = weight.abs()
        reach_f, reach_g = f.abs().sum(1), g.abs().sum(1)
        own = radius[:, 0::2] * (reach_g + radius[:, 1::2]) + radius[:, 1::2] * reach_f
        # Of every entry of M, its products and their sum.
        rounded = (weight.shape[-1] + 8) * _U * reach_f * reach_g
        rest = (sizes @ (own + rounded)[..., None])[..., 0] * (1 + (weight.shape[-1] + f.shape[1] + 16) * _U) + _TINY
        some = (weight != 0).sum(-1) > 1
        known = some & torch.isfinite(rest) & torch.isfinite(weight).all(-1)
        gap = torch.full_like(rest, torch.inf)
        row, _ = known.nonzero(as_tuple=True)
        if not len(row):
            return gap
        form = torch.einsum("ri,rvi,rwi->rvw", weight[known], f[row], g[row])
        gap[known] = largest_on_cube((form + form.mT) / 2) + rest[known]
        return torch.where(gap.isnan(), torch.inf, gap)


def largest_on_cube(form: Float[Tensor, "N V V"]) -> Float[Tensor, " N"]:
    """At least the largest ``t' M t`` for ``t`` in ``[-1, 1]^V``, of symmetric matrices of float64, rigorously; never below 0."""
    size = form.shape[-1]
    finite = torch.isfinite(form).all(-1).all(-1)
    form = torch.where(finite[:, None, None], form, 0.0)
    diagonal = form.diagonal(dim1=1, dim2=2)
    entries = form.abs().sum((1, 2))
    by_entries = diagonal.clamp(min=0).sum(1) + (form.abs() - torch.diag_embed(diagonal).abs()).sum((1, 2))
    by_entries = by_entries * (1 + (size * size + 8) * _U)
    try:
        values, vectors = torch.linalg.eigh(form)
    except RuntimeError:  # no convergence
        return torch.where(finite, by_entries, torch.inf)
    up = values.clamp(min=0)
    made = (vectors * values[:, None]) @ vectors.mT
    apart = (form - made).abs().sum((1, 2))
    skew = (vectors @ vectors.mT - torch.eye(size, dtype=form.dtype)).abs().sum((1, 2))
    lengths = vectors.abs().sum(1)
    # Products of three numbers, sums of V of them, and what is subtracted.
    terms = vectors.abs() * values.abs()[:, None] @ vectors.abs().mT
    rounded = (size + 8) * _U * (terms.sum((1, 2)) + entries)
    flat = (size + 8) * _U * (lengths * lengths).sum(1)
    largest = torch.minimum(up[:, -1] * (size + skew + flat), (up * lengths * lengths).sum(1))
    by_values = (largest + apart + rounded) * (1 + (size * size + 16) * _U) + _TINY
    least = torch.minimum(by_entries, torch.where(by_values.isnan(), torch.inf, by_values))
    return torch.where(finite, least, torch.inf)
