"""The hull of a curve: a polygon that holds it, found by tangents where it is bent outwards and by chords elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.hulls.hull import Conjugate, PolygonHull, _envelope
from netproof.operators.sums import feature_sum

if TYPE_CHECKING:
    from jaxtyping import Float

#: units of ``eps`` that the value of a line at 0 is moved outwards by: a product, a difference, and what uses it
_LINE_ULPS = 8
#: steps in search of the edge over the middle
_EDGE_STEPS = 4


@dataclass(frozen=True, eq=False)
class CurveHull(PolygonHull):
    """A polygon around the graph of a function, its corners being on the graph or outside.

    Every bound by it is one of the function, to the rounding of :meth:`conjugate`: one in each product and one in their
    difference. Images may be infinite, where the function is not known to be bounded. A multiplier of 0 for a coefficient
    of 0 costs nothing even there.

    Attributes
    ----------
    tangent : value and slope of the function at points; None where tangents are not known
    bend : 1 where the function is convex on the whole range, -1 where it is concave, else 0
    """

    tangent: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None
    bend: Tensor | None = None

    def take(self, rows: Tensor) -> CurveHull:
        return CurveHull(
            self.upper_argument[:, rows],
            self.upper_image[:, rows],
            self.lower_argument[:, rows],
            self.lower_image[:, rows],
            self.tangent,
            None if self.bend is None else self.bend[rows],
        )

    def lean(self, v: Float[Tensor, "*#S"], t: Float[Tensor, "*#S"]) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        up = v >= 0
        if self.tangent is None or self.bend is None:
            return self._crown(up)
        low, high = self.upper_argument[0], self.upper_argument[-1]
        at = low + t * (high - low)
        value, tilt = self.tangent(at)
        finite = torch.isfinite(value.detach() + tilt.detach())
        bent = torch.where(up, self.bend < 0, self.bend > 0)
        # Where there is a tangent on one side, the line on the other one is the chord, which needs no search for an edge.
        chord = self._chord if bool(finite.all()) else None
        slope, offset = self._crown(up) if chord is None else chord
        bent = bent & finite
        return torch.where(bent, tilt, slope), torch.where(bent, value - tilt * at, offset)

    def _crown(self, up: Tensor) -> tuple[Tensor, Tensor]:
        """Slope and value at 0 of CROWN's line above, where ``up``, or below."""
        above, below, top, bottom = self._lines
        return torch.where(up, above, below), torch.where(up, top, bottom)

    @cached_property
    def _chord(self) -> tuple[Tensor, Tensor] | None:
        """Slope and value at 0 of the chord, where the function is bent one way on every range; about, as :meth:`lean` is."""
        if self.bend is None or not bool((self.bend != 0).all()):
            return None
        first, last = (torch.where(self.bend > 0, self.upper_image[i], self.lower_image[i]) for i in (0, -1))
        low, high = self.upper_argument[0], self.upper_argument[-1]
        slope = torch.where(high > low, (last - first) / torch.where(high > low, high - low, 1.0), 0.0)
        slope = torch.nan_to_num(slope, 0.0, 0.0, 0.0)
        return slope, torch.maximum(first - slope * low, last - slope * high)

    def conjugate(self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"]) -> Conjugate:
        found = super().conjugate(v, s)
        return Conjugate(torch.where((v == 0) & (s == 0), 0.0, found.value), found.argument, found.image)

    @cached_property
    def _lines(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """CROWN's lines above and below the middle of the range: slopes, and values at 0, moved outwards."""
        slopes, offsets = [], []
        for argument, image, sign in (
            (self.upper_argument, self.upper_image, 1.0),
            (self.lower_argument, self.lower_image, -1.0),
        ):
            slope = self._edge(argument, sign * image, (argument[0] + argument[-1]) / 2) * sign
            part = slope * argument
            kind = torch.finfo(image.dtype)
            size = (image.abs() + part.abs()) * (_LINE_ULPS * kind.eps) + kind.tiny
            size = torch.where(torch.isinf(image), 0.0, size)
            offsets.append(sign * (sign * (image - part) + size).amax(0))
            slopes.append(slope)
        return slopes[0], slopes[1], offsets[0], offsets[1]

    @staticmethod
    def _edge(argument: Tensor, image: Tensor, at: Tensor) -> Tensor:
        """About the slope of the edge of the concave boundary of corners over a point; 0 where that is not a number.

        From a line over both ends on: the corners on either side of the point that are farthest above a line give the next
        one. Any slope gives a valid bound; after a few steps it is the edge's.
        """
        at = at.expand_as(image[0])
        left, right = argument <= at, argument >= at
        width = argument[-1] - argument[0]
        slope = torch.where(width > 0, (image[-1] - image[0]) / torch.where(width > 0, width, 1.0), 0.0)
        for _ in range(_EDGE_STEPS if len(argument) > 2 else 0):
            above = image - slope * argument
            ends = []
            for side in (left, right):
                # By the largest value and a comparison, since argmax along the first axis is several times as slow.
                height = torch.where(side, above, -torch.inf)
                is_most = height == height.amax(0)
                most = torch.where(is_most, argument, -torch.inf).amax(0)
                ends.append((most, torch.where(is_most & (argument == most), image, -torch.inf).amax(0)))
            (p, y), (q, z) = ends
            slope = torch.where(q > p, (z - y) / torch.where(q > p, q - p, 1.0), slope)
        return torch.nan_to_num(slope, 0.0, 0.0, 0.0)

    def slope(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"] | None = None) -> Float[Tensor, "*#S"]:
        if at is None:
            above, below, _, _ = self._lines
            return torch.where(v >= 0, above, below)
        argument, image = self._side(v)
        sign = torch.where(v >= 0, 1.0, -1.0).to(argument.dtype)
        return sign * self._edge(argument, sign * image, at)

    def height(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"]) -> Float[Tensor, "*S"]:
        argument, image = self._side(v)
        sign = torch.where(v >= 0, 1.0, -1.0).to(argument.dtype)
        return sign * _envelope(argument, sign * image, at)[0]

    def relax(self, v: Float[Tensor, "#B n"]) -> tuple[Float[Tensor, "B n"], Float[Tensor, " B"]]:
        s, value = self._relaxed(v, *self._lines)
        return s, feature_sum(value)

    def relax_rows(self, v: Float[Tensor, "B R n"]) -> tuple[Float[Tensor, "B R n"], Float[Tensor, "B R"]]:
        s, value = self._relaxed(v, *(part[:, None] for part in self._lines))
        return s, feature_sum(value)

    @staticmethod
    def _relaxed(v: Tensor, above: Tensor, below: Tensor, top: Tensor, bottom: Tensor) -> tuple[Tensor, Tensor]:
        up = v >= 0
        # Nothing times infinity is nothing here: the objective does not depend on that feature.
        return torch.where(up, above, below) * v, torch.where(v == 0, 0.0, torch.where(up, top, bottom) * v)
