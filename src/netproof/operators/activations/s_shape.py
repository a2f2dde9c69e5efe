"""S-shaped activations: what sigmoid and hyperbolic tangent share, and their hull.

Such a function rises, is symmetric about its point at 0, convex to the left of it and concave to the
right. The tangent and secant slopes of its hull are those of Zhang et al., *Efficient Neural Network
Robustness Certification with General Activation Functions* (NeurIPS 2018), section 3; the conjugate is
attained at an end of the range or where the derivative is ``s / v``, which has a closed form.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Activation
from netproof.operators.hulls.hull import Conjugate, Hull
from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Float


#: an evaluation is within so many units of ``eps`` of the true value, relatively, as long as that is a normal
#: number: the exponential and hyperbolic tangent in use err by at most one unit in the last place, and at
#: most two more operations follow, each of which rounds by half a unit. Twice that is allowed for.
_ULPS = 6
#: halvings of the way from the maximum to an end, in search of where a cut is crossed
_CROSSING_STEPS = 8
#: tangents keep this part of a range away from its ends
_MARGIN = 1e-4


@dataclass(frozen=True)
class SShape(Activation):
    """Base of sigmoid and tanh.

    :meth:`output_range` is outward safe: each end is moved by 6 ``eps`` of its own size and by the smallest
    normal number (values below it may be flushed to 0), and no further than the function itself goes.
    """

    #: value at 0; the function is symmetric about ``(0, center)``
    center = 0.0
    least, largest = -1.0, 1.0

    def to(self, dtype: torch.dtype, device: torch.device) -> SShape:
        return self

    @abstractmethod
    def derivative(self, a: Tensor) -> Tensor:
        """``f'(a)``, largest at 0 and falling on either side."""

    @abstractmethod
    def argument(self, slope: Tensor) -> Tensor:
        """The ``a >= 0`` at which the derivative is ``slope``; NaN where it never is."""

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        low, high = self.evaluate(lower), self.evaluate(upper)
        kind = torch.finfo(low.dtype)
        return (
            (low - (low.abs() * (_ULPS * kind.eps) + kind.tiny)).clamp(min=self.least),
            (high + (high.abs() * (_ULPS * kind.eps) + kind.tiny)).clamp(max=self.largest),
        )

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> Hull:
        return SShapeHull(self, lower, upper)

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        """``near``, but at least a tenth of the range away from its ends; NaN on a range of no width."""
        return split_inside(near, lower, upper)

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        """The function itself: it is smooth."""
        return self.evaluate(a)

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        """The derivative of the function stretched by ``1 + widening``, which is larger where it saturates."""
        return self.derivative(a / (1 + widening))

    def select(self, features: Tensor, size: int) -> SShape:
        return self

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split


@dataclass(frozen=True, eq=False)
class SShapeHull(Rows, Hull):
    """Hull of an S-shaped function over ``[lower, upper]``.

    :meth:`conjugate` evaluates ``v f(a) - s a`` at points of the range, so it never exceeds the maximum but by
    rounding. It may also fall short of it: by the rounding of ``f`` (6 ``eps |v f|``), of the products and
    their difference, and because the stationary point is rounded itself. That last part is of second order,
    ``|v| max|f''| (error of a)^2 / 2``, and below ``eps^2 |v|`` times a small constant: far from 0 the point is
    accurate to a few ``eps``, and near 0, where it may be off by ``sqrt(eps)``, ``f''`` vanishes.
    """

    function: SShape
    lower: Tensor
    upper: Tensor

    def conjugate(self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"]) -> Conjugate:
        f = self.function
        argument, image = self.lower, f.evaluate(self.lower)
        value = v * image - s * argument
        # Of the two points with that slope the one at which v f is concave is the maximum.
        stationary = f.argument(s / v) * torch.where(v >= 0, 1.0, -1.0).to(v.dtype)
        inside = (stationary > self.lower) & (stationary < self.upper)
        for candidate in (self.upper, torch.where(inside, stationary, self.lower)):
            height = f.evaluate(candidate)
            candidate_value = v * height - s * candidate
            better = candidate_value > value
            value = torch.where(better, candidate_value, value)
            argument = torch.where(better, candidate, argument)
            image = torch.where(better, height, image)
        return Conjugate(value, argument, image)

    def _odd(self, a: Tensor) -> Tensor:
        return self.function.evaluate(a) - self.function.center

    @cached_property
    def _tangents(self) -> tuple[Tensor, Tensor]:
        """Where the hull's boundary leaves the line from the far end: above, and (mirrored) below."""
        return self._tangent(self.lower, self.upper), self._tangent(-self.upper, -self.lower)

    def _tangent(self, low: Tensor, high: Tensor) -> Tensor:
        """The point ``d`` of ``[0, high]`` at which the line from ``(low, f(low))``, ``low < 0``, touches ``f``.

        ``high`` where it would be beyond; found by bisection, to the precision of float32.
        """
        left = torch.zeros_like(high)
        right = high.clamp(min=0)
        start = self._odd(low)
        for _ in range(32):
            middle = (left + right) / 2
            above = self.function.derivative(middle) * (middle - low) >= self._odd(middle) - start
            left, right = torch.where(above, middle, left), torch.where(above, right, middle)
        return torch.where(high > 0, right, high)

    def _upper_boundary(self, v: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """Slope and height of the boundary that ``v`` points to, mirrored to be the upper one about ``(0, 0)``."""
        above = v >= 0
        sign = torch.where(above, 1.0, -1.0).to(at.dtype)
        low = torch.where(above, self.lower, -self.upper)
        high = torch.where(above, self.upper, -self.lower)
        touch = torch.where(above, *self._tangents)
        point = sign * at
        curved = (low >= 0) | ((high > 0) & (point >= touch))
        width = touch - low
        start = self._odd(low)
        rise = self._odd(touch) - start
        chord = torch.where(width > 0, rise / torch.where(width > 0, width, 1.0), self.function.derivative(low))
        slope = torch.where(curved, self.function.derivative(point), chord)
        height = torch.where(curved, self._odd(point), start + chord * (point - low))
        return slope, sign * height + self.function.center

    def slope(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"] | None = None) -> Float[Tensor, "*#S"]:
        return self._upper_boundary(v, (self.lower + self.upper) / 2 if at is None else at)[0]

    def lean(self, v: Float[Tensor, "*#S"], t: Float[Tensor, "*#S"]) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        # Not at an end itself: where the line goes to the end, the derivative there would be another one.
        at = self.lower + (_MARGIN + (1 - 2 * _MARGIN) * t) * (self.upper - self.lower)
        slope, height = self._upper_boundary(v, at)
        return slope, height - slope * at

    def height(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"]) -> Float[Tensor, "*S"]:
        return self._upper_boundary(v, at)[1]

    def superlevel(
        self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"], cut: Float[Tensor, "*#S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        # v f - s a is bounded by the concave v height(a) - s a, whose crossings of the cut are bracketed.
        top = self.conjugate(v, s)
        some = top.value >= cut
        ends = []
        for outside in (self.lower, self.upper):
            inner, outer = top.argument, outside + torch.zeros_like(top.argument)
            for _ in range(_CROSSING_STEPS):
                middle = (inner + outer) / 2
                kept = v * self.height(v, middle) - s * middle >= cut
                inner, outer = torch.where(kept, middle, inner), torch.where(kept, outer, middle)
            whole = v * self.height(v, outside) - s * outside >= cut
            ends.append(torch.where(whole, outside, outer))
        return torch.where(some, ends[0], torch.inf), torch.where(some, ends[1], -torch.inf)


def split_inside(near: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """``near``, but at least a tenth of the range away from its ends; NaN on a range of no width."""
    margin = (upper - lower) / 10
    point = torch.maximum(torch.minimum(near, upper - margin), lower + margin)
    return torch.where((lower < point) & (point < upper), point, torch.nan)
