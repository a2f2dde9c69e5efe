"""Monotone step functions from integers to integers: exact requantization."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Activation, Shape
from netproof.operators.hulls.hull import Hull, PolygonHull

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Staircase(Activation):
    """``f(a) = base + #{k : thresholds[k] <= a}``, per channel.

    Every monotone function from integers to integers of finite image has this form; a jump by
    more than one repeats its threshold. Channel ``c`` covers ``n / C`` consecutive features, so
    ``C = 1`` shares the thresholds among all of them and ``C = n`` has one set per feature.

    Parameters
    ----------
    thresholds : ``[C, K]`` integers, nondecreasing along ``K``; ``K = 0`` is a constant
    base : ``[C]`` integers, the value below the first threshold
    """

    thresholds: Tensor
    base: Tensor
    name = "staircase"
    #: common difference of the thresholds ``[C]``, or None where they are not equidistant
    step: Tensor | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.thresholds.ndim != 2 or self.base.shape != self.thresholds.shape[:1]:
            raise ValueError(
                f"thresholds {tuple(self.thresholds.shape)} and base {tuple(self.base.shape)} do not belong together"
            )
        gaps = self.thresholds[:, 1:] - self.thresholds[:, :-1]
        if (gaps < 0).any():
            raise ValueError("thresholds decrease")
        step = None
        if self.thresholds.shape[1] == 1:
            step = torch.ones_like(self.base)
        elif self.thresholds.shape[1] > 1 and bool((gaps == gaps[:, :1]).all()) and bool((gaps > 0).all()):
            step = gaps[:, 0].clone()
        object.__setattr__(self, "step", step)

    @classmethod
    def fixed_point(cls, shift: int, low: int, high: int, *, dtype: torch.dtype = torch.float64) -> Staircase:
        """``clip(floor((a + 2**shift / 2) / 2**shift), low, high)``: rounding half up, saturating.

        The requantization of Henzinger, Lechner, Zikelic (AAAI 2021), section 2. With
        ``shift = 0`` nothing is rounded.
        """
        half = (1 << shift) // 2
        thresholds = torch.arange(low + 1, high + 1, dtype=dtype) * (1 << shift) - half
        return cls(thresholds[None], torch.tensor([low], dtype=dtype))

    @property
    def levels(self) -> int:
        """Number of steps ``K``: the function takes at most ``K + 1`` values."""
        return self.thresholds.shape[1]

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        size = 1
        for extent in shape:
            size *= extent
        if size % self.base.shape[0]:
            raise ValueError(f"{self.base.shape[0]} channels do not divide {size} features")
        return shape

    def to(self, dtype: torch.dtype, device: torch.device) -> Staircase:
        return replace(self, thresholds=self.thresholds.to(device, dtype), base=self.base.to(device, dtype))

    def parameters(self) -> list[tuple[str, Tensor]]:
        return [("thresholds", self.thresholds), ("base", self.base)]

    def describe(self) -> str:
        low, high = int(self.base.min()), int(self.base.max()) + self.levels
        kind = "equidistant" if self.step is not None else "general"
        return f"{self.levels + 1} levels in [{low}, {high}], {kind} thresholds"

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return self._per_feature(self.base, a) + self._count(a)

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        return self.evaluate(lower), self.evaluate(upper)

    def hull(self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]) -> Hull:
        base = self._per_feature(self.base, lower)
        first, last = self._count(lower), self._count(upper)
        flat = first == last
        if self.step is not None or self.levels == 0:
            # Equidistant thresholds: the corners in between lie on the segment from the first to
            # the last, so the hull has at most four corners on either side.
            low_image, high_image = base + first, base + last
            entry = torch.where(flat, lower, self._threshold(first + 1))
            exit_ = torch.where(flat, upper, self._threshold(last))
            rise = torch.where(flat, 0.0, 1.0).to(lower.dtype)
            return PolygonHull(
                torch.stack([lower, entry, exit_, upper]),
                torch.stack([low_image, low_image + rise, high_image, high_image]),
                torch.stack([lower, entry - rise, exit_ - rise, upper]),
                torch.stack([low_image, low_image, high_image - rise, high_image]),
            )
        start, stop = (int(first.min()), int(last.max())) if first.numel() else (0, 0)
        upper_corners, lower_corners = [(lower, base + first)], [(lower, base + first)]
        for k in range(start + 1, stop + 1):
            index = torch.full_like(lower, float(k))
            threshold = self._threshold(index)
            before, after = index <= first, index > last
            for corners, shift in ((upper_corners, 0.0), (lower_corners, 1.0)):
                argument = torch.where(before, lower, torch.where(after, upper, threshold - shift))
                # With a repeated threshold this understates (upper side) or overstates (lower
                # side) a jump's corner, which another k with the same threshold has exactly.
                image = torch.where(before, base + first, torch.where(after, base + last, base + index - shift))
                corners.append((argument, image))
        upper_corners.append((upper, base + last))
        lower_corners.append((upper, base + last))
        return PolygonHull(
            torch.stack([c[0] for c in upper_corners]),
            torch.stack([c[1] for c in upper_corners]),
            torch.stack([c[0] for c in lower_corners]),
            torch.stack([c[1] for c in lower_corners]),
        )

    def select(self, features: Tensor, size: int) -> Staircase:
        channels = self.base.shape[0]
        if channels == 1:
            return self
        # One channel for each run of features that share thresholds, where all runs are of one length.
        runs, lengths = torch.unique_consecutive(features // (size // channels), return_counts=True)
        channel = runs if bool((lengths == lengths[:1]).all()) else runs.repeat_interleave(lengths)
        return replace(self, thresholds=self.thresholds[channel], base=self.base[channel])

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        """Interpolate linearly between the ramp through the middles of the steps and the steps."""
        count = self._count(a)
        base = self._per_feature(self.base, a)
        if hardness >= 1 or self.levels == 0:
            return base + count
        if self.step is not None:
            step = self._per_feature(self.step, a)
            ramp = (a - (self._per_feature(self.thresholds[:, 0], a) + (step - 1) / 2)) / step + 1
            return base + torch.lerp(ramp, count, hardness).clamp_(0, self.levels)
        left = self._threshold(count)
        width = (self._threshold(count + 1) - left).clamp(min=1)
        ramp = count - 0.5 + (a - left + 0.5) / width
        # Beyond the outermost thresholds the neighbouring step's width carries on.
        if self.levels > 1:
            first, last = self._threshold(torch.ones_like(a)), self._threshold(torch.full_like(a, float(self.levels)))
            width_first = (self._threshold(torch.full_like(a, 2.0)) - first).clamp(min=1)
            width_last = (last - self._threshold(torch.full_like(a, self.levels - 1.0))).clamp(min=1)
            ramp = torch.where(count == 0, 0.5 + (a - first + 0.5) / width_first, ramp)
            ramp = torch.where(count == self.levels, self.levels - 0.5 + (a - last + 0.5) / width_last, ramp)
        return base + torch.lerp(ramp, count, hardness).clamp(0, self.levels)

    def surrogate_slope(self, a: Float[Tensor, "*S"], widening: float | Tensor) -> Float[Tensor, "*S"]:
        if self.levels == 0:
            return torch.zeros_like(a)
        first, last = self._threshold(torch.ones_like(a)), self._threshold(torch.full_like(a, float(self.levels)))
        step = ((last - first) / max(self.levels - 1, 1)).clamp(min=1)
        extent = widening * step
        rising = ((a - first + step / 2 + extent) / (2 * extent + 1)).clamp(0, 1)
        falling = ((last + step / 2 + extent - a) / (2 * extent + 1)).clamp(0, 1)
        return rising * falling / step

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        first, last = self._count(lower), self._count(upper)
        below = self._count(torch.maximum(torch.minimum(near, upper), lower))
        left = self._threshold(torch.maximum(torch.minimum(below, last), first + 1))
        right = self._threshold(torch.maximum(torch.minimum(below + 1, last), first + 1))
        nearest = torch.where((near - (left - 0.5)).abs() <= (near - (right - 0.5)).abs(), left, right)
        return torch.where(last > first, nearest, torch.nan)

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split - 1

    def _per_feature(self, parameter: Tensor, like: Tensor) -> Tensor:
        """Spread a ``[C]`` parameter over the features, ``[n]``, or ``[1]`` for one channel."""
        channels = parameter.shape[0]
        return parameter if channels in (1, like.shape[-1]) else parameter.repeat_interleave(like.shape[-1] // channels)

    def _count(self, a: Tensor) -> Tensor:
        """``#{k : thresholds[k] <= a}`` as a float tensor."""
        if self.levels == 0:
            return torch.zeros_like(a)
        if self.step is not None:
            # Exact: for integers below 2**53 the rounded quotient never reaches the next integer.
            start = self._per_feature(self.thresholds[:, 0], a)
            return (((a - start) / self._per_feature(self.step, a)).floor() + 1).clamp(0, self.levels)
        values = self._by_channel(a)
        counted = torch.searchsorted(self.thresholds.contiguous(), values, right=True).to(a.dtype)
        return self._by_feature(counted, a)

    def _threshold(self, k: Tensor) -> Tensor:
        """``thresholds[k - 1]`` for float ``k`` in ``1..K``; clamped outside."""
        if self.levels == 0:
            return torch.zeros_like(k)
        index = k.clamp(1, self.levels) - 1
        if self.step is not None:
            return self._per_feature(self.thresholds[:, 0], k) + index * self._per_feature(self.step, k)
        return self._by_feature(self.thresholds.gather(1, self._by_channel(index).long()), k)

    def _by_channel(self, a: Tensor) -> Tensor:
        """``[..., n]`` to ``[C, everything else]``."""
        channels = self.thresholds.shape[0]
        size = a.shape[-1] // channels
        return (
            a.reshape(*a.shape[:-1], channels, size)
            .movedim(-2, 0)
            .reshape(channels, a.numel() // channels)
            .contiguous()
        )

    def _by_feature(self, values: Tensor, like: Tensor) -> Tensor:
        """The inverse of :meth:`_by_channel`, to the shape of ``like``."""
        channels = self.thresholds.shape[0]
        size = like.shape[-1] // channels
        return values.reshape(channels, *like.shape[:-1], size).movedim(0, -2).reshape(like.shape)
