"""Weights with which constraints that hold together are refuted together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.crown import crown_lines
from netproof.bounds.multipliers.adam import ByAutograd, Until, minimize
from netproof.bounds.objective import Objective
from netproof.bounds.relaxation import Relaxation
from netproof.effort.bounding import MIXTURE

if TYPE_CHECKING:
    from jaxtyping import Float


#: the objective of every row under weights ``[B, m]`` of its constraints
Weighed = Callable[[Tensor], Objective]


def best_mixture(
    slopes: Float[Tensor, "B m n"],
    constant: Float[Tensor, "B m"],
    lower: Float[Tensor, "B n"],
    upper: Float[Tensor, "B n"],
) -> Float[Tensor, "B m"]:
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
    for step in range(MIXTURE.steps):
        mu = torch.softmax(theta, -1)
        mixed = (mu[:, None] @ reach)[:, 0]
        now = (mu * level).sum(-1) + mixed.abs().sum(-1)
        gained = now < value
        value = torch.where(gained, now, value)
        best = torch.where(gained[:, None], mu, best)
        theta = theta - 4.0 / (1 + 0.2 * step) * (level + (reach @ mixed.sign()[..., None])[..., 0])
    return best / best.amax(-1, keepdim=True)


def crown_mixture(relaxation: Relaxation, weighed: Weighed, start: Float[Tensor, "B m"]) -> Float[Tensor, "B m"]:
    """Weights with which CROWN's bound of a mixture is small, from logarithms ``[B, m]`` of weights on.

    Returns ``[B, m]``, at least 0, their sum 1. The mixture may depend on the weights in any way that has a derivative.
    """
    (theta,), _ = minimize(_Weights(relaxation, weighed, start), MIXTURE.rates, Until(MIXTURE.crown_steps))
    return torch.softmax(theta, 1)


class _Weights(ByAutograd):
    """Logarithms of weights; all rows stay to the end, for no bound is low enough."""

    def __init__(self, relaxation: Relaxation, weighed: Weighed, start: Float[Tensor, "B m"]) -> None:
        super().__init__([start], [MIXTURE.length])
        self._relaxation, self._weighed = relaxation, weighed

    def value(self, parameters: Sequence[Float[Tensor, "B _"]]) -> Float[Tensor, " B"]:
        mixed = self._weighed(torch.softmax(parameters[0], 1))
        return crown_lines(self._relaxation, mixed).value
