"""Functions that are convex or concave piece by piece: one scheme of tangents and chords for all of them.

On a piece ``[p, q]`` on which ``f`` is concave, the tangents at ``p`` and ``q`` are above ``f``. Take any ``t`` between and a
``y`` that is not below either of them at ``t``: then the way from ``(p, f(p))`` over ``(t, y)`` to ``(q, f(q))`` is above
``f`` on the piece, since it is above the first tangent up to ``t`` and above the second one from there. So only ``y`` has to be
rounded with care; where ``t`` lies decides how tight the polygon is and nothing else. Below ``f`` is the chord. All
pieces together give a polygon that holds the graph, kinks and infinite slopes included.

(Tangents and chords are the relaxations of Zhang et al., *Efficient Neural Network Robustness Certification with General
Activation Functions*, NeurIPS 2018; several of them for one range make an outer approximation as in the sandwich algorithms of
Rote, *The Convergence Rate of the Sandwich Algorithm for Approximating Convex Functions*, Computing 1992.)

Pieces end where the function rises or falls no more as well, so that no corner is outside of what ``f`` takes on the piece: on
a piece that rises, the tangent at ``q`` is not above ``f(q)`` at any ``t`` before. That is what the account of rounding
(:mod:`netproof.bounds.deciding.rounding`) takes for granted of images.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Activation
from netproof.operators.hulls.curve_hull import CurveHull

if TYPE_CHECKING:
    from jaxtyping import Float

#: an evaluation, and a slope, is within so many units of ``eps`` of the true one: library functions err by one or two units
#: in the last place and a handful of operations follow, each of which rounds by half a unit. Tests compare with 60 digits.
ULPS = 16

CONVEX, STRAIGHT, CONCAVE = 1, 0, -1


class Curve(Activation):
    """Base of functions that are convex or concave piece by piece.

    :meth:`output_range` is outward safe: each end is moved by 16 ``eps`` of its own size and by the smallest normal number.

    Attributes
    ----------
    breaks : rising numbers at which one piece ends and the next one begins: inflections, extrema and kinks. Irrational
        ones are rounded: on an interval of an ulp around an inflection ``f''`` is so small that a chord there is as good as a
        tangent to ``eps^3``
    bends : of each piece, one more than breaks, whether it is convex, straight or concave
    kinks : those of the breaks at which a split is worth most
    tangents : rounds of adding a tangent between any two
    steepness : how large the terms are that a slope is a sum of, where these can cancel
    scale : what else a value is off by, in 16 ``eps``: far out, where it falls below any number, the rounding of an argument
        counts for more than 16 ``eps`` of what is left
    least, largest : what the function never leaves
    """

    breaks: Sequence[float] = ()
    bends: Sequence[int] = (CONVEX,)
    kinks: Sequence[float] = ()
    tangents = 1
    steepness = 0.0
    scale = 0.0
    least, largest = -torch.inf, torch.inf

    def to(self, dtype: torch.dtype, device: torch.device) -> Curve:
        return self

    @abstractmethod
    def slope(self, a: Tensor, *, right: bool) -> Tensor:
        """``f'(a)``; at a kink the slope to the right, or to the left of it. May be infinite."""

    def undefined(self, lower: Tensor, upper: Tensor) -> Tensor | None:
        """Ranges on which the function is not bounded or has no value somewhere; None where there are none."""
        return None

    def pieces(self, lower: Tensor, upper: Tensor) -> tuple[list[Tensor], list[int | Tensor]]:
        """The ends of all pieces of ranges, from ``lower`` to ``upper``, and how each piece is bent."""
        inner = [torch.minimum(lower.clamp(min=at), upper) for at in self.breaks]
        return [lower, *inner, upper], list(self.bends)

    def _error(self, value: Tensor) -> Tensor:
        return _rounding(value.abs() + self.scale)

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        ends, _ = self.pieces(lower, upper)
        values = torch.stack([self.evaluate(end) for end in ends])
        low = (values - self._error(values)).amin(0).clamp(min=self.least)
        high = (values + self._error(values)).amax(0).clamp(max=self.largest)
        wild = low.isnan() | high.isnan()
        unknown = self.undefined(lower, upper)
        wild = wild if unknown is None else wild | unknown
        # An empty range is handed on as one.
        wild = wild & ~(lower > upper)
        return torch.where(wild, self.least, low), torch.where(wild, self.largest, high)

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> CurveHull:
        ends, bends = self.pieces(lower, upper)
        values = [self.evaluate(end) for end in ends]
        above, below = [(lower, values[0], 1)], [(lower, values[0], -1)]
        for number, bend in enumerate(bends):
            p, q = ends[number], ends[number + 1]
            if isinstance(bend, Tensor) or bend != STRAIGHT:
                corners = self._corners(p, values[number], q, values[number + 1], bend)
                for argument, high, low in corners:
                    if not isinstance(bend, Tensor):
                        (above if bend == CONCAVE else below).append((argument, high if bend == CONCAVE else low, 0))
                        continue
                    # The side with the chord gets an end of the piece once more.
                    hollow = bend == CONCAVE
                    above.append((torch.where(hollow, argument, q), torch.where(hollow, high, self._outer(q, 1)), 0))
                    below.append((torch.where(hollow, q, argument), torch.where(hollow, self._outer(q, -1), low), 0))
            above.append((q, values[number + 1], 1))
            below.append((q, values[number + 1], -1))
        most = max(len(above), len(below))
        sides = []
        unknown = self.undefined(lower, upper)
        for side in (above, below):
            # Both sides have as many corners; the last one may be there several times.
            padded = side + side[-1:] * (most - len(side))
            argument = torch.stack([part[0] for part in padded])
            image = torch.stack([y if not sign else y + sign * self._error(y) for _, y, sign in padded])
            if unknown is not None:
                limit = self.largest if side is above else self.least
                image = torch.where(unknown | image.isnan(), limit, image)
            sides.append((argument, image))
        (upper_argument, upper_image), (lower_argument, lower_image) = sides
        convex, concave = torch.ones_like(lower, dtype=torch.bool), torch.ones_like(lower, dtype=torch.bool)
        for number, bend in enumerate(bends):
            some = ends[number] < ends[number + 1]
            convex &= ~some | (torch.as_tensor(bend) == CONVEX)
            concave &= ~some | (torch.as_tensor(bend) == CONCAVE)
        for kink in self.kinks:
            convex &= ~((lower < kink) & (kink < upper))
            concave &= ~((lower < kink) & (kink < upper))
        whole = convex.to(lower.dtype) - concave.to(lower.dtype)
        return CurveHull(upper_argument, upper_image, lower_argument, lower_image, self._tangent, whole)

    def _tangent(self, at: Tensor) -> tuple[Tensor, Tensor]:
        return self.evaluate(at), self.slope(at, right=True)

    def _outer(self, a: Tensor, sign: int) -> Tensor:
        value = self.evaluate(a)
        return value + sign * self._error(value)

    def _corners(
        self, p: Tensor, fp: Tensor, q: Tensor, fq: Tensor, bend: int | Tensor
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Where tangents of a piece meet: argument, and what is above both tangents there, and below both."""
        touching = [(p, fp, self.slope(p, right=True)), (q, fq, self.slope(q, right=False))]
        for _ in range(self.tangents):
            more = [touching[0]]
            for first, second in itertools.pairwise(touching):
                at = _meeting(first, second)
                more += [(at, self.evaluate(at), self._inner_slope(at, p, q)), second]
            touching = more
        found = []
        for first, second in itertools.pairwise(touching):
            at = _meeting(first, second)
            lines = [self._line(*tangent, at) for tangent in (first, second)]
            high = torch.maximum(*(line + error for line, error in lines))
            low = torch.minimum(*(line - error for line, error in lines))
            found.append((at, high, low))
        return found

    def _inner_slope(self, at: Tensor, p: Tensor, q: Tensor) -> Tensor:
        """The slope at a point of a piece; at its left end the one to the right."""
        if not self.kinks:
            return self.slope(at, right=True)
        return torch.where(at < q, self.slope(at, right=True), self.slope(at, right=False))

    def _line(self, a: Tensor, value: Tensor, slope: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """A tangent at a point, and what it may be off by; one with an infinite slope is met at its own point alone."""
        way = at - a
        known = torch.where(torch.isfinite(slope), slope, 0.0)
        size = value.abs() + self.scale + (known.abs() + self.steepness) * way.abs()
        return value + known * way, _rounding(size)

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        """A kink inside of the range, or ``near``, but at least a tenth of the range away from its ends; NaN where the
        function is straight on the range."""
        margin = (upper - lower) / 10
        point = torch.maximum(torch.minimum(near, upper - margin), lower + margin)
        for kink in self.kinks:
            point = torch.where((lower < kink) & (kink < upper), kink, point)
        usable = (lower < point) & (point < upper)
        edges = (-torch.inf, *self.breaks, torch.inf)
        for number, bend in enumerate(self.bends):
            if bend == STRAIGHT:
                usable = usable & ~((lower >= edges[number]) & (upper <= edges[number + 1]))
        return torch.where(usable, point, torch.nan)

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        """The function itself: it is continuous."""
        return self.evaluate(a)

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        """The slope of the function stretched by ``1 + widening``, which is larger where it saturates."""
        return self.slope(a / (1 + widening), right=True)

    def select(self, features: Tensor, size: int) -> Curve:
        return self

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split


def _rounding(size: Tensor) -> Tensor:
    """What a number of terms of that size may be off by; nothing where it is infinite."""
    kind = torch.finfo(size.dtype)
    return torch.where(torch.isinf(size), 0.0, size * (ULPS * kind.eps) + kind.tiny)


def _meeting(first: tuple[Tensor, Tensor, Tensor], second: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """About where two tangents (point, value, slope) meet, between their points; with an infinite slope, at its point."""
    (p, fp, dp), (q, fq, dq) = first, second
    turn = dp - dq
    at = p + ((fq - fp) - dq * (q - p)) / torch.where(turn == 0, 1.0, turn)
    at = torch.where((turn == 0) | at.isnan(), (p + q) / 2, at)
    at = torch.maximum(torch.minimum(at, q), p)
    return torch.where(torch.isinf(dp), p, torch.where(torch.isinf(dq), q, at))
