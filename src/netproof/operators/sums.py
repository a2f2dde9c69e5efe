"""Sums over all features of a node, in an order that keeps rounding small.

The error of a sum of ``n`` numbers is at most ``gamma_m`` of their sizes, where ``m`` is the most additions that any of
them goes through (Higham, *Accuracy and Stability of Numerical Algorithms*, section 4.2): up to ``n - 1`` where the order is
a library's own business. Long sums of float64 are taken by blocks here, the blocks' sums then added up, so that ``m`` is at
most 2048 for a million features. Others stay as they are: numbers of less precision decide nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 1024


def additions(n: int) -> int:
    """The most additions that a number goes through in a sum of ``n`` taken here, and no fewer for larger ``n``."""
    return min(n, max(2 * _BLOCK, _BLOCK + -(-n // _BLOCK)))


def feature_sum(x: Tensor) -> Tensor:
    """The sum over the last axis: ``[..., n]`` to ``[...]``."""
    blocks = _blocks(x)
    if not blocks:
        return x.sum(-1)
    whole = blocks * _BLOCK
    total = _split(x, blocks).sum(-1).sum(-1)
    return total if whole == x.shape[-1] else total + x[..., whole:].sum(-1)


def feature_product(x: Tensor, y: Tensor) -> Tensor:
    """Scalar products over the last axis: ``x`` ``[..., n]`` and ``y`` ``[n]`` to ``[...]``."""
    blocks = _blocks(x)
    if not blocks:
        return x @ y
    whole = blocks * _BLOCK
    total = torch.einsum("...mb,mb->...m", _split(x, blocks), _split(y, blocks)).sum(-1)
    return total if whole == x.shape[-1] else total + x[..., whole:] @ y[whole:]


def row_products(x: Tensor, y: Tensor) -> Tensor:
    """Scalar products over the last axis, ``R`` for each of ``B`` rows: ``[B, R, n]`` and ``[B, n]`` to ``[B, R]``.

    A single row broadcasts.
    """
    blocks = _blocks(x)
    if not blocks:
        return (x @ y[..., None])[..., 0]
    whole = blocks * _BLOCK
    total = torch.einsum("brmt,bmt->brm", _split(x, blocks), _split(y, blocks).expand(len(x), -1, -1)).sum(-1)
    return total if whole == x.shape[-1] else total + (x[..., whole:] @ y[..., whole:, None])[..., 0]


def _blocks(x: Tensor) -> int:
    """How many whole blocks a sum is taken by; 0 where it is taken at once."""
    n = x.shape[-1]
    return n // _BLOCK if n > 2 * _BLOCK and x.dtype == torch.float64 else 0


def _split(x: Tensor, blocks: int) -> Tensor:
    return x[..., : blocks * _BLOCK].view(*x.shape[:-1], blocks, _BLOCK)
