"""Weights with which constraints that hold together are refuted together."""

from __future__ import annotations

import torch
from torch import Tensor

_STEPS = 30


def best_mixture(slopes: Tensor, constant: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Weights of rows of upper lines ``slopes x + constant`` whose mixture has a small maximum over the box.

    Minimizes the convex ``max_x sum_i mu_i (slopes_i x + constant_i)`` over the simplex by entropic descent (Beck and
    Teboulle, Operations Research Letters 31(3), 2003).

    Parameters
    ----------
    slopes : ``[B, m, n]``
    constant : ``[B, m]``
    lower, upper : ``[B, n]``

    Returns
    -------
    ``[B, m]``, at least 0, the largest 1
    """
    center, radius = (lower + upper) / 2, (upper - lower) / 2
    level = constant + (slopes @ center[..., None])[..., 0]
    reach = slopes * radius[:, None]
    size = (level.abs() + reach.abs().sum(-1)).amax(-1, keepdim=True).clamp(min=1e-30)
    level, reach = level / size, reach / size[..., None]
    theta = torch.zeros_like(level)
    best, value = torch.zeros_like(level), torch.full_like(level[:, 0], torch.inf)
    for step in range(_STEPS):
        mu = torch.softmax(theta, -1)
        mixed = (mu[:, None] @ reach)[:, 0]
        now = (mu * level).sum(-1) + mixed.abs().sum(-1)
        gained = now < value
        value = torch.where(gained, now, value)
        best = torch.where(gained[:, None], mu, best)
        theta = theta - 4.0 / (1 + 0.2 * step) * (level + (reach @ mixed.sign()[..., None])[..., 0])
    return best / best.amax(-1, keepdim=True)
