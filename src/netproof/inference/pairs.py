"""A staircase of a combination of two values of 8 bits as a table of all pairs."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from netproof.inference.compiled import Worked
from netproof.operators.activations.staircase import Staircase


@dataclass(frozen=True, eq=False)
class Pair:
    """Levels of every pair of codes.

    Attributes
    ----------
    low : what code 0 of either operand stands for
    base : what level 0 stands for
    table : ``[65536]`` uint8, entry ``256 a + b``
    """

    low: tuple[int, int]
    base: int
    table: Tensor
    _worked: Worked = field(default_factory=Worked)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Levels of codes of one shape and one order in memory, uint8."""
        kernels = self._worked.kernels(a.numel())
        if kernels is not None:
            one, other = (part.movedim(1, -1) if part.ndim == 4 else part for part in (a, b))
            found = torch.empty(one.shape, dtype=torch.uint8)
            parts = (part.reshape(-1).numpy() for part in (one, other))
            kernels.by_table(*parts, self.table.numpy(), found.reshape(-1).numpy())
            return found.movedim(-1, 1) if a.ndim == 4 else found
        index = a.to(torch.int32).mul_(256).add_(b)
        if index.ndim == 4:
            last = index.movedim(1, -1)
            return self.table.index_select(0, last.reshape(-1)).reshape(last.shape).movedim(-1, 1)
        return self.table.index_select(0, index.reshape(-1)).reshape(index.shape)


def pair_of(
    staircase: Staircase, factors: tuple[int, int], ends: tuple[tuple[int, int], tuple[int, int]]
) -> Pair | None:
    """The table of a staircase of ``factors[0] a + factors[1] b``; None where that is no table of two bytes to one."""
    if len(staircase.base) != 1 or staircase.levels > 255 or any(high - low > 255 for low, high in ends):
        return None
    a, b = (low + torch.arange(256, dtype=torch.float64) for low, _ in ends)
    sums = factors[0] * a[:, None] + factors[1] * b[None]
    levels = staircase.evaluate(sums.reshape(-1)) - staircase.base
    return Pair((ends[0][0], ends[1][0]), int(staircase.base), levels.to(torch.uint8))
