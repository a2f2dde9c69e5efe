"""Rule: two linear maps in a row become one, where that rounds nothing and pays.

Some networks have them (a lattice of minima and maxima written as matrix products, for example), and a product of
selection or difference matrices is exact. One map less is tighter for interval propagation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netproof.operators.affine.linear import Linear
from netproof.operators.base import Affine

#: a product that takes longer than reading a network may
_MOST_PRODUCTS = 1 << 32


def linear_of_linear(first: Affine, second: Affine) -> Affine | None:
    """``V (W x + b) + c`` as ``(V W) x + (V b + c)``, if every number of it is computed without rounding."""
    if not isinstance(first, Linear) or not isinstance(second, Linear):
        return None
    if first.roundings or second.roundings or first.bias_error is not None or second.bias_error is not None:
        return None
    if first.weight.shape[1] * second.weight.shape[0] > first.weight.numel() + second.weight.numel():
        return None
    if not all(first.weight.shape + second.weight.shape):
        return None  # sums of nothing
    if first.weight.numel() * second.weight.shape[0] > _MOST_PRODUCTS:
        return None
    # The biases are one more column, in which each row of the second has one more summand: its own bias.
    size = second.weight.abs() @ first.bias.abs() + second.bias.abs()
    unit = torch.minimum(finest_unit(first.bias).amin(), finest_unit(second.bias).amin())
    rows = finest_unit(second.weight).amin(1).clamp(max=1.0)
    columns = finest_unit(first.weight).amin(0)
    if not _fits(size[:, None], rows, unit[None]):
        return None
    if not _fits(second.weight.abs() @ first.weight.abs(), rows, columns):
        return None
    return Linear(second.weight @ first.weight, second.weight @ first.bias + second.bias)


def _fits(size: Tensor, rows: Tensor, columns: Tensor) -> bool:
    """Whether float64 computes a matrix product without rounding, in whatever order it adds.

    All products of an entry are multiples of the product of the finest units in its row and its column (``rows`` and
    ``columns``); if the sum of their magnitudes, ``size``, is below ``2**53`` such units, every partial sum is a float64
    number.
    """
    unit = torch.log2(rows)[:, None] + torch.log2(columns)[None]
    if bool((unit < -1000).any()) or not bool(torch.isfinite(size).all()):
        return False
    size = size * (1 + 2.0**-40)
    return bool((torch.log2(size.clamp(min=2.0**-1000)) < unit + 53).all() & (unit + 53 < 1000).all())


def finest_unit(values: Tensor) -> Tensor:
    """The largest power of two of which each value is a multiple; some large one for 0."""
    mantissa, exponent = torch.frexp(values)
    whole = (mantissa.abs() * 2.0**53).to(torch.int64)
    lowest = torch.where(whole == 0, 1, whole & -whole).to(values.dtype)
    unit = torch.ldexp(lowest, exponent.to(values.dtype) - 53)
    return torch.where(whole == 0, 2.0**200, unit)
