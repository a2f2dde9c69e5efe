"""Whole-number points near a point of a linear program."""

from __future__ import annotations

import torch
from torch import Tensor

#: distance from an integer at which a value counts as one
_WHOLE = 1e-6


def roundings(x: Tensor, lower: Tensor, upper: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Integer points ``[N, n]`` around ``x`` ``[n]`` in the box, ``N <= count``: the nearest one first.

    The others round every value up or down by chance, up as often as its fraction says, so that sums
    of values keep their expectation (randomized rounding; Raghavan and Thompson, Combinatorica 1987).
    """
    nearest = x.round()
    whole = (x - nearest).abs() < _WHOLE
    free = (~whole).nonzero()[:, 0]
    points = nearest[None]
    if len(free) and count > 1:
        below = x[free].floor()
        fraction = (x[free] - below).expand(count - 1, -1)
        points = nearest.expand(count, -1).clone()
        chance = torch.rand(fraction.shape, generator=generator, dtype=x.dtype)
        points[1:, free] = below + (chance < fraction).to(x.dtype)
    return torch.minimum(torch.maximum(points, lower), upper)
