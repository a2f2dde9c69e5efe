"""Corners of octagons that are cut along both axes.

What two pre-activations can be together lies in an octagon: ranges of both, of their sum and of their difference. A function
that is linear in each quadrant is largest over it at a corner of one of the four parts into which the axes cut it. Each of these is
where two of ten lines meet: an end of a range or an axis, in either direction, and the ends of sum and difference.

Ends are moved outward to a grid of powers of two, on which all corners are floats and every comparison is exact: so corners are those of an octagon that holds
the one given, and none is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64

#: binary digits of the larger end of a pair's ranges that the grid keeps; sums and halves of such numbers are floats
_DIGITS = 40
#: beyond these grids are not exact, and nothing is said
_SMALLEST, _LARGEST = 2.0**-900, 2.0**900


def octagon_corners(
    lower: Float64[Tensor, "P 4"], upper: Float64[Tensor, "P 4"]
) -> tuple[Float64[Tensor, "P C 2"], Tensor]:
    """Corners of ``P`` octagons, and which of the octagons have any, ``[P]`` bool.

    Parameters
    ----------
    lower, upper : ranges of ``a``, ``b``, ``a + b`` and ``a - b``; those of ``a`` and ``b`` hold 0

    Returns
    -------
    As many corners for each as the one with the most has, some of them several times
    """
    point, inside = _meeting_points(lower, upper)
    kept = [torch.unique(mine[held], dim=0) for mine, held in zip(point, inside, strict=True)]
    most = max((len(mine) for mine in kept), default=0)
    found = point.new_zeros(len(point), most, 2)
    for row, mine in enumerate(kept):
        if len(mine):
            found[row] = mine[torch.arange(most).clamp(max=len(mine) - 1)]
    return found, inside.any(1)


def _meeting_points(
    lower: Float64[Tensor, "P 4"], upper: Float64[Tensor, "P 4"]
) -> tuple[Float64[Tensor, "P 37 2"], Bool[Tensor, "P 37"]]:
    """Where lines meet, and which of these points are in the octagon: all of the corners among them."""
    size = torch.maximum(upper[:, :2], -lower[:, :2]).amax(1, keepdim=True)
    usable = ((size > _SMALLEST) & (size < _LARGEST))[:, 0] & torch.isfinite(lower + upper).all(1)
    _, exponent = torch.frexp(torch.where(usable[:, None], size, 1.0))
    grid = torch.ldexp(torch.ones_like(size), exponent - _DIGITS)
    low, high = torch.floor(lower / grid) * grid, torch.ceil(upper / grid) * grid
    # What is next to nothing beside the other end underflows in the quotient.
    lower = torch.where((lower < 0) & (low == 0), -grid, low)
    upper = torch.where((upper > 0) & (high == 0), grid, high)
    a, b, total, apart = (torch.stack([lower[:, i], upper[:, i]], 1) for i in range(4))
    zero = a.new_zeros(len(a), 1)
    a, b = torch.cat([a, zero], 1), torch.cat([b, zero], 1)
    met = [
        _every(a, b, lambda x, y: (x, y)),
        _every(a, total, lambda x, s: (x, s - x)),
        _every(a, apart, lambda x, d: (x, x - d)),
        _every(b, total, lambda y, s: (s - y, y)),
        _every(b, apart, lambda y, d: (d + y, y)),
        _every(total, apart, lambda s, d: ((s + d) / 2, (s - d) / 2)),
    ]
    point = torch.cat(met, 1)
    x, y = point.unbind(2)
    values = torch.stack([x, y, x + y, x - y], 2)
    inside = ((values >= lower[:, None]) & (values <= upper[:, None])).all(2) & usable[:, None]
    return point, inside


def _every(one: Tensor, other: Tensor, meet: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Tensor:
    """Where each of ``[P, m]`` lines meets each of ``[P, n]`` others: ``[P, m n, 2]``."""
    shape = len(one), one.shape[1], other.shape[1]
    x, y = meet(one[:, :, None].expand(shape).flatten(1), other[:, None].expand(shape).flatten(1))
    return torch.stack([x, y], 2)
