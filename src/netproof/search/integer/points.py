"""The integer points of small boxes."""

from __future__ import annotations

import torch
from torch import Tensor

from netproof.bounds.region import Region

#: boxes of so many points can be evaluated point by point (docs/certificates.md, nodes of kind "points")
MOST_POINTS = 4096


def points_in(region: Region) -> int:
    """How many integer points the box of a region of one row has."""
    count = 1
    for width in (region.upper[0] - region.lower[0] + 1).tolist():
        count *= int(width)
        if count > MOST_POINTS:
            break
    return count


def all_points(region: Region) -> Tensor:
    """All of them, ``[points, n_input]``."""
    free = (region.lower[0] < region.upper[0]).nonzero()[:, 0]
    axes = [torch.arange(int(region.lower[0, i]), int(region.upper[0, i]) + 1) for i in free.tolist()]
    points = region.lower[0].expand(1, -1)
    for feature, axis in zip(free.tolist(), axes, strict=True):
        points = points.repeat(len(axis), 1)
        points[:, feature] = axis.repeat_interleave(len(points) // len(axis)).to(points.dtype)
    return points
