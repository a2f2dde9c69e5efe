"""Requantization by a real scale: a staircase whose thresholds lie within a unit or two of a line."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from netproof.operators.activations.staircase import Staircase
from netproof.operators.hulls.hull import Hull, PolygonHull


@dataclass(frozen=True, eq=False)
class Requantize(Staircase):
    """A :class:`Staircase` with thresholds near ``T[1] + (k - 1) w``, ``w`` the mean width of its steps.

    A runtime that multiplies a sum by a real scale and rounds has thresholds at whole numbers next to multiples of a real
    width, so that gaps between them differ by one or two. Its values, ranges and splits are a staircase's, exactly. Its hull
    has four corners on either side instead of one for every level: those of the first and the last step in the range, moved
    outwards by :attr:`spread` where others lie between them.

    Why that holds: thresholds that deviate from the line by ``-d`` to ``+d'`` deviate from the chord of any two of them by at
    most ``d + d'``. Moved by so much to the left, the chord has every point just at a threshold below it, and moved to the
    right every point just before one above it.
    """

    name = "requantize"
    #: by how many whole numbers a threshold can lie beside the chord of two others ``[C]``, rounded up
    spread: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "spread", threshold_spread(self.thresholds).to(self.base))

    def describe(self) -> str:
        return f"{super().describe()}, within {int(self.spread.max()) if self.levels else 0} of a line"

    def hull(self, lower: Tensor, upper: Tensor) -> Hull:
        if self.step is not None or self.levels == 0:
            return super().hull(lower, upper)
        base = self._per_feature(self.base, lower)
        first, last = self._count(lower), self._count(upper)
        flat = first == last
        # Two steps and fewer are their own corners.
        gap = torch.where(last - first > 2, self._per_feature(self.spread, lower), torch.zeros_like(lower))
        rise = torch.where(flat, 0.0, 1.0).to(lower.dtype)
        entry = torch.where(flat, lower, self._threshold(first + 1))
        exit_ = torch.where(flat, upper, self._threshold(last))
        low_image, high_image = base + first, base + last
        return PolygonHull(
            # A corner that is moved out of the range stands for the end of it, which lies inside the hull then.
            torch.stack([torch.minimum(lower, entry - gap), entry - gap, exit_ - gap, upper]),
            torch.stack([low_image, low_image + rise, high_image, high_image]),
            torch.stack([lower, entry - rise + gap, exit_ - rise + gap, torch.maximum(upper, exit_ - rise + gap)]),
            torch.stack([low_image, low_image, high_image - rise, high_image]),
        )


def threshold_spread(thresholds: Tensor) -> Tensor:
    """By how much a threshold of each channel lies beside the chord of two others at the most, rounded up: ``[C]``, int64.

    ``thresholds`` ``[C, K]`` holds integers whose differences, times ``K``, are below 2**63.
    """
    count = thresholds.shape[1]
    if count < 3:
        return torch.zeros(thresholds.shape[0], dtype=torch.int64, device=thresholds.device)
    whole = thresholds.to(torch.int64)
    start, steps = whole[:, :1], count - 1
    index = torch.arange(count, device=whole.device)
    # (count - 1) times the deviation from the chord of the first and the last, in whole numbers.
    beside = (whole - start) * steps - index * (whole[:, -1:] - start)
    reach = beside.amax(1) - beside.amin(1)
    return -(-reach // steps)
