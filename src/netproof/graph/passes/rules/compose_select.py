"""Rules: an index map is merged into its neighbour. Nothing is rounded."""

from __future__ import annotations

import torch

from netproof.operators.affine.linear import Linear
from netproof.operators.affine.select import Select
from netproof.operators.base import Affine

#: numbers of a weight that may grow to twice its size and more, by columns of zeros
_LARGEST_GROWN = 1 << 22


def select_of_select(first: Affine, second: Affine) -> Affine | None:
    """Two index maps as one."""
    if not isinstance(first, Select) or not isinstance(second, Select):
        return None
    # One more entry stands for -1, which picks from the end.
    index = torch.cat([first.index, first.index.new_full((1,), -1)])[second.index]
    fill = second.fill
    if first.fill is not None:
        passed = torch.cat([first.fill, first.fill.new_zeros(1)])[second.index]
        fill = passed if fill is None else fill + passed  # one of the two is 0
    return Select(index, first.size, second.shape, fill)


def linear_of_select(first: Affine, second: Affine) -> Affine | None:
    """``W x[index]`` with the columns of ``W`` in their places, where no feature is taken twice (or they would add up)."""
    if not isinstance(first, Select) or not isinstance(second, Linear):
        return None
    if first.fill is not None or not first.takes_once or first.size > 4 * len(first.index):
        return None
    if second.weight.shape[0] * first.size > max(2 * second.weight.numel(), _LARGEST_GROWN):
        return None
    kept = first.index >= 0
    weight = second.weight.new_zeros(second.weight.shape[0], first.size)
    weight[:, first.index[kept]] = second.weight[:, kept]
    return Linear(weight, second.bias, second.roundings, second.bias_error)
