"""The hull of a function with one kink: ReLU, leaky ReLU, absolute value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.hulls.hull import Conjugate, Hull, PolygonHull
from netproof.operators.sums import feature_product, feature_sum, row_products
from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class KinkHull(Rows, Hull):
    """Hull of ``f(a) = left * a`` for ``a < 0`` and ``right * a`` for ``a >= 0`` over ``[lower, upper]``.

    A triangle (or a segment), whose corners are not stored: memory is that of the two ends. The line over
    both ends bounds the convex ``f`` (``left <= right``) from above, the pieces themselves from below.

    Rounding of :meth:`conjugate`: one in each product, one in their difference, and one in ``left * a``
    and ``right * a`` unless that slope is 0, 1 or -1 (for ReLU the images are exact).
    """

    lower: Tensor
    upper: Tensor
    left: float
    right: float

    def _image(self, a: Tensor) -> Tensor:
        if (self.left, self.right) == (0.0, 1.0):
            return a.clamp(min=0)
        return torch.where(a < 0, self.left * a, self.right * a)

    def _corners(self) -> tuple[Tensor, Tensor, Tensor]:
        """Arguments of the three corners; the middle one is an end where the range does not hold 0."""
        return self.lower, torch.minimum(self.lower.clamp(min=0), self.upper), self.upper

    def conjugate(self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"]) -> Conjugate:
        first, *others = self._corners()
        argument, image = first, self._image(first)
        value = v * image - s * argument
        for corner in others:
            height = self._image(corner)
            candidate = v * height - s * corner
            better = candidate > value
            value = torch.where(better, candidate, value)
            argument = torch.where(better, corner, argument)
            image = torch.where(better, height, image)
        return Conjugate(value, argument, image)

    def _is_chord(self, v: Tensor) -> Tensor:
        """Where the boundary that ``v`` points to is the line over both ends."""
        return v >= 0 if self.left <= self.right else v < 0

    def _chord(self) -> Tensor:
        width = self.upper - self.lower
        rise = self._image(self.upper) - self._image(self.lower)
        return torch.where(width > 0, rise / torch.where(width > 0, width, 1.0), self._piece(self.upper > 0))

    def _piece(self, right: Tensor) -> Tensor:
        """The slope to the right of the kink or to the left of it."""
        return torch.where(right, self.lower.new_full((), self.right), self.lower.new_full((), self.left))

    def slope(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"] | None = None) -> Float[Tensor, "*#S"]:
        if at is None:
            at = (self.lower + self.upper) / 2
        # At the kink itself every slope in between would do; on a range that ends there, only its own piece's.
        own = (at > 0) | ((at == 0) & (self.lower >= 0))
        return torch.where(self._is_chord(v), self._chord(), self._piece(own))

    @cached_property
    def _lines(self) -> tuple[Tensor, Tensor, Tensor]:
        """Slopes of CROWN's lines above and below, and the value at 0 of the one that is not a piece."""
        chord = self._chord()
        middle = self._piece(self.lower + self.upper > 0)
        # On a range on one side of the kink both lines are that side's piece, with no offset.
        both = (self.lower < 0) & (self.upper > 0)
        chord = torch.where(both, chord, middle)
        offset = torch.where(both, self._image(self.upper) - chord * self.upper, 0.0)
        return (chord, middle, offset) if self.left <= self.right else (middle, chord, offset)

    def chord_line(self) -> tuple[Tensor, Tensor]:
        """Slope and value at 0 of the line over both ends; on one side of the kink that side's piece and 0."""
        above, below, offset = self._lines
        return (above if self.left <= self.right else below), offset

    @cached_property
    def _closed(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor] | None:
        """Of a single row with few ranges that hold the kink: slopes of all others (0 at these), and of these the
        indices, both slopes, and the value at 0 of the line over both ends."""
        if self.lower.ndim != 2 or self.lower.shape[0] != 1:
            return None
        above, below, offset = (line[0] for line in self._lines)
        which = ((self.lower[0] < 0) & (self.upper[0] > 0)).nonzero()[:, 0]
        if 4 * len(which) > 3 * len(above):
            return None
        return above.index_fill(0, which, 0.0), which, above[which], below[which], offset[which]

    def relax(self, v: Float[Tensor, "#B n"]) -> tuple[Float[Tensor, "B n"], Float[Tensor, " B"]]:
        if self._closed is not None and v.ndim == 2:
            # On a small box most ranges are on one side, where the function is one line: one product each.
            slope, which, above, below, offset = self._closed
            some = v.index_select(1, which)
            up, down = some.clamp(min=0), some.clamp(max=0)
            s = (v * slope).index_copy_(1, which, (up * above).addcmul_(down, below))
            return s, feature_product(up if self.left <= self.right else down, offset)
        above, below, offset = self._lines
        up, down = v.clamp(min=0), v.clamp(max=0)
        s = up * above
        s = s.addcmul_(down, below) if s.shape == down.shape else s + down * below
        chord = up if self.left <= self.right else down
        one = offset.shape[0] == 1 and offset.ndim == 2
        return s, feature_product(chord, offset[0]) if one else feature_sum(chord * offset)

    def relax_rows(self, v: Float[Tensor, "B R n"]) -> tuple[Float[Tensor, "B R n"], Float[Tensor, "B R"]]:
        above, below, offset = self._lines
        up, down = v.clamp(min=0), v.clamp(max=0)
        chord = up if self.left <= self.right else down
        value = row_products(chord, offset)
        if torch.is_grad_enabled() and (v.requires_grad or above.requires_grad):
            return up * above[:, None] + down * below[:, None], value
        return up.mul_(above[:, None]).addcmul_(down, below[:, None]), value

    def lean(self, v: Float[Tensor, "*#S"], t: Float[Tensor, "*#S"]) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        above, below, offset = self._lines
        both = (self.lower < 0) & (self.upper > 0)
        chord = self._is_chord(v)
        line = torch.where(both, self.left + t * (self.right - self.left), above)
        return torch.where(chord, above if self.left <= self.right else below, line), torch.where(chord, offset, 0.0)

    def height(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"]) -> Float[Tensor, "*S"]:
        line = self._image(self.lower) + self._chord() * (at - self.lower)
        return torch.where(self._is_chord(v), line, self._image(at))

    def superlevel(
        self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"], cut: Float[Tensor, "*#S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        argument = torch.stack(self._corners())
        image = self._image(argument)
        return PolygonHull(argument, image, argument, image).superlevel(v, s, cut)
