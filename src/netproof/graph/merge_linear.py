"""Rule: two linear maps in a row become one, where that rounds nothing and pays.

Some networks have them (a lattice of minima and maxima written as matrix products, for example), and a product of
selection or difference matrices is exact. One map less is tighter for interval propagation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netproof.operators.base import Affine
from netproof.operators.linear import Linear


def linear_of_linear(first: Affine, second: Affine) -> Affine | None:
    """``V (W x + b) + c`` as ``(V W) x + (V b + c)``, if every number of it is computed without rounding."""
    if not isinstance(first, Linear) or not isinstance(second, Linear):
        return None
    if first.roundings or second.roundings or first.bias_error is not None or second.bias_error is not None:
        return None
    if first.weight.shape[1] * second.weight.shape[0] > first.weight.numel() + second.weight.numel():
        return None
    # The biases are one more column: V [W b] + [0 c].
    inner = torch.cat([first.weight, first.bias[:, None]], 1)
    outer = torch.cat(
        [torch.zeros_like(second.weight[:, :1]).expand(-1, first.weight.shape[1]), second.bias[:, None]], 1
    )
    whole = torch.cat([second.weight, torch.eye(len(second.bias), dtype=inner.dtype)], 1)
    stacked = torch.cat([inner, outer], 0)
    if not _is_exact(whole, stacked):
        return None
    product = whole @ stacked
    return Linear(product[:, :-1].contiguous(), product[:, -1].contiguous())


def _is_exact(left: Tensor, right: Tensor) -> bool:
    """Whether float64 computes ``left @ right`` without rounding, in whatever order it adds.

    All products of an entry are multiples of the product of the finest units in its row and its column; if the
    sum of their magnitudes is below ``2**53`` such units, every partial sum is a float64 number.
    """
    if not bool(torch.isfinite(left).all() & torch.isfinite(right).all()):
        return False
    unit = torch.log2(_finest_unit(left).amin(1))[:, None] + torch.log2(_finest_unit(right).amin(0))[None]
    if bool((unit < -1000).any()):
        return False
    size = (left.abs() @ right.abs()) * (1 + 2.0**-40)
    return bool((torch.log2(size.clamp(min=2.0**-1000)) < unit + 53).all() & (unit + 53 < 1000).all())


def _finest_unit(values: Tensor) -> Tensor:
    """The largest power of two of which each value is a multiple; some large one for 0."""
    mantissa, exponent = torch.frexp(values)
    whole = (mantissa.abs() * 2.0**53).to(torch.int64)
    lowest = torch.where(whole == 0, 1, whole & -whole).to(values.dtype)
    unit = torch.ldexp(lowest, exponent.to(values.dtype) - 53)
    return torch.where(whole == 0, 2.0**200, unit)
