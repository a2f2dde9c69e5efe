"""Convex hulls of activation graphs: what the dual bound needs to know of an activation.

For an activation ``h = f(a)`` with ``a`` in ``[l, u]`` the bound needs (docs/architecture.md)

* the *conjugate*  ``phi(v, s) = max { v f(a) - s a : l <= a <= u }`` with a maximizer, and
* the *slope* of an edge of the hull, to start from: ``s = slope * v`` is CROWN's choice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from netproof.operators.sums import feature_sum

if TYPE_CHECKING:
    from jaxtyping import Float


class Conjugate(NamedTuple):
    """Value of ``phi(v, s)`` and a point of the graph of ``f`` where it is attained."""

    value: Tensor
    argument: Tensor
    image: Tensor


class Hull(ABC):
    """The hull of one activation node's graph over its ranges."""

    @abstractmethod
    def take(self, rows: Tensor) -> Hull:
        """The hulls of the rows selected by an index or mask tensor."""

    @abstractmethod
    def conjugate(self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"]) -> Conjugate:
        """``phi(v, s)`` elementwise; the operands broadcast against the ranges."""

    @abstractmethod
    def slope(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"] | None = None) -> Float[Tensor, "*#S"]:
        """Slope of the hull edge above (``v >= 0``) or below (``v < 0``) the point ``at``.

        ``at`` defaults to the middle of the range: the line of least area, which for ReLU is
        the adaptive rule of CROWN (Zhang et al., NeurIPS 2018).
        """

    def relax(self, v: Float[Tensor, "#B n"]) -> tuple[Float[Tensor, "B n"], Float[Tensor, " B"]]:
        """CROWN in one step: the multipliers ``s = slope * v`` ``[B, n]`` and ``phi(v, s)`` summed over features, ``[B]``.

        The sum may be off from that of :meth:`conjugate` by a few roundings of ``v f(a)`` and ``s a``.
        """
        s = self.slope(v) * v
        return s, feature_sum(self.conjugate(v, s).value)

    def relax_rows(self, v: Float[Tensor, "B R n"]) -> tuple[Float[Tensor, "B R n"], Float[Tensor, "B R"]]:
        """:meth:`relax` for ``R`` objectives on every row of the hull: ``[B, R, n]`` to ``[B, R, n]`` and ``[B, R]``."""
        rows, count, features = v.shape
        repeated = self.take(torch.arange(rows, device=v.device).repeat_interleave(count))
        s, value = repeated.relax(v.reshape(-1, features))
        return s.reshape(v.shape), value.reshape(rows, count)

    def lean(self, v: Float[Tensor, "*#S"], t: Float[Tensor, "*#S"]) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        """Slope and value at 0 of a line that bounds ``f`` on the side that ``v`` points to, one for each ``t`` in ``[0, 1]``.

        Where the best line is not known beforehand, ``t`` says how it leans, from one end of the range to the other; elsewhere it
        says nothing. Differentiable in ``t``, and as good as the dtype: a proposal for :meth:`conjugate`.
        """
        slope = self.slope(v)
        return slope, torch.where(v >= 0, 1.0, -1.0) * self.conjugate(v.sign(), slope * v.sign()).value

    def apart(self, v: Float[Tensor, "*#S"]) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]] | None:
        """A part of coefficients that need not be handed on, and what each feature adds to a bound for it; None where there is none.

        Of features that are known to add up to something. As good as the dtype, like :meth:`lean`.
        """
        return None

    @abstractmethod
    def height(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"]) -> Float[Tensor, "*S"]:
        """Height of the hull above (``v >= 0``) or below (``v < 0``) the point ``at`` of the range."""

    @abstractmethod
    def superlevel(
        self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"], cut: Float[Tensor, "*#S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        """Ends of an interval holding every ``a`` of the range with ``v f(a) - s a >= cut``.

        Not rounded to integers, subject to the rounding of the dtype, and crossed where there is
        no such ``a``: a proposal that the caller verifies.
        """


@dataclass(frozen=True, eq=False)
class PolygonHull(Hull):
    """A hull given by finitely many points of the graph, sorted by argument.

    ``upper_*`` hold at least the corners of the upper (concave) boundary and ``lower_*`` those of
    the lower one; first and last are always the ends of the range. Repeating a corner is
    allowed. Shapes ``[k, ..., n]``; ``k`` is small.
    """

    upper_argument: Tensor
    upper_image: Tensor
    lower_argument: Tensor
    lower_image: Tensor

    def take(self, rows: Tensor) -> PolygonHull:
        return PolygonHull(
            self.upper_argument[:, rows],
            self.upper_image[:, rows],
            self.lower_argument[:, rows],
            self.lower_image[:, rows],
        )

    def _side(self, v: Tensor) -> tuple[Tensor, Tensor]:
        above = v >= 0
        return (
            torch.where(above, self.upper_argument, self.lower_argument),
            torch.where(above, self.upper_image, self.lower_image),
        )

    def conjugate(self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"]) -> Conjugate:
        argument, image = self._side(v)
        values = v * image - s * argument
        best_value, best_argument, best_image = values[0], argument[0], image[0]
        for k in range(1, values.shape[0]):
            better = values[k] > best_value
            best_value = torch.where(better, values[k], best_value)
            best_argument = torch.where(better, argument[k], best_argument)
            best_image = torch.where(better, image[k], best_image)
        return Conjugate(best_value, best_argument, best_image)

    def slope(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"] | None = None) -> Float[Tensor, "*#S"]:
        argument, image = self._side(v)
        sign = torch.where(v >= 0, 1.0, -1.0).to(argument.dtype)
        if at is None:
            at = (argument[0] + argument[-1]) / 2
        if argument.shape[0] > 4:
            return sign * _envelope_slope_by_bisection(argument, sign * image, at)
        return sign * _envelope(argument, sign * image, at)[1]

    def height(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"]) -> Float[Tensor, "*S"]:
        argument, image = self._side(v)
        sign = torch.where(v >= 0, 1.0, -1.0).to(argument.dtype)
        if argument.shape[0] > 4:
            slope = _envelope_slope_by_bisection(argument, sign * image, at)
            return sign * (sign * image - slope * (argument - at)).amax(0)
        return sign * _envelope(argument, sign * image, at)[0]

    def superlevel(
        self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"], cut: Float[Tensor, "*#S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        # The polyline through the corners of the side that v points to lies on or beyond f.
        argument, image = self._side(v)
        value = v * image - s * argument - cut
        inside = value >= 0
        low = torch.full_like(value[0], torch.inf)
        high = torch.full_like(value[0], -torch.inf)
        for k in range(value.shape[0]):
            low = torch.where(inside[k], torch.minimum(low, argument[k]), low)
            high = torch.where(inside[k], torch.maximum(high, argument[k]), high)
            if k:
                rise = value[k] - value[k - 1]
                crossing = argument[k - 1] - value[k - 1] * (argument[k] - argument[k - 1]) / torch.where(
                    rise == 0, 1.0, rise
                )
                enters = inside[k] & ~inside[k - 1]
                leaves = inside[k - 1] & ~inside[k]
                low = torch.where(enters, torch.minimum(low, crossing), low)
                high = torch.where(leaves, torch.maximum(high, crossing), high)
        return low, high


def _envelope(argument: Tensor, image: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Height and slope at ``at`` of the concave envelope of a few corners: that of the largest chord over it."""
    best_height = torch.full_like(at + image[0], -torch.inf)
    best_slope = torch.zeros_like(best_height)
    corners = argument.shape[0]
    for i in range(corners):
        best_height = torch.where(argument[i] == at, torch.maximum(best_height, image[i]), best_height)
        for j in range(i + 1, corners):
            width = argument[j] - argument[i]
            over = (argument[i] <= at) & (at <= argument[j]) & (width > 0)
            slope = torch.where(over, (image[j] - image[i]) / torch.where(over, width, 1.0), 0.0)
            height = torch.where(over, image[i] + slope * (at - argument[i]), -torch.inf)
            better = height > best_height
            best_height = torch.where(better, height, best_height)
            best_slope = torch.where(better, slope, best_slope)
    return best_height, best_slope


def _envelope_slope_by_bisection(argument: Tensor, image: Tensor, at: Tensor) -> Tensor:
    """Slope of the concave envelope of many corners at ``at``, approximately.

    The largest of ``image - slope * argument`` moves left as the slope grows; its crossing of
    ``at`` is bracketed. Any slope gives a valid bound, so 32 halvings are ample.
    """
    # Arguments are integers, so no edge is steeper than the whole rise.
    high = image.amax(0) - image.amin(0)
    low = -high
    for _ in range(32):
        middle = (low + high) / 2
        best = (image - middle * argument).argmax(0, keepdim=True)
        right = argument.gather(0, best)[0] > at
        low, high = torch.where(right, middle, low), torch.where(right, high, middle)
    return (low + high) / 2
