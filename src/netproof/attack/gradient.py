"""Projected gradient ascent on float networks: sign steps from random points of the box.

Madry et al., *Towards Deep Learning Models Resistant to Adversarial Attacks* (ICLR 2018), with the step shrinking as
in their follow-ups, all restarts and all conditions side by side.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from netproof.attack.ball import BallSteps
from netproof.effort.real import REAL_ATTACK
from netproof.graph.graph import Graph

#: from inputs ``[B, n]`` and outputs to what each condition of a row has to spare, ``[B, m]``
Margins = Callable[[Tensor, Tensor], Tensor]


def ascend(
    graph: Graph,
    lower: Tensor,
    upper: Tensor,
    start: Tensor,
    margins: Margins,
    steps: int,
    deadline: float,
    ball: BallSteps | None = None,
) -> tuple[Tensor, Tensor]:
    """Raise the smallest margin of every row.

    Parameters
    ----------
    graph : in float32
    lower, upper : ``[n_input]``
    start : ``[B, n_input]``
    steps : of the sign of the gradient, from half of the box's radius down
    ball : where points have to lie as well, in which steps are those of its norm

    Returns
    -------
    x : ``[B, n_input]``, the best point of each row, inside the box
    margin : ``[B]``, its smallest margin; at least 0 where all conditions hold
    """
    x = start.clone() if ball is None else ball.back(start)
    best_x = x.clone()
    best = torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
    radius = (upper - lower) / 2
    for step in range(steps + 1):
        x.requires_grad_(True)
        with torch.enable_grad():
            margin = margins(x, graph.evaluate(x))
            worst = margin.amin(-1)
            # All violated margins pull, the worst one most.
            loss = (worst + 0.1 * margin.clamp(max=0).sum(-1)).sum() if margin.shape[1] > 1 else worst.sum()
            (gradient,) = torch.autograd.grad(loss, x)
        x = x.detach()
        worst = worst.detach()
        gained = worst > best
        best = torch.where(gained, worst, best)
        best_x = torch.where(gained[:, None], x, best_x)
        if step == steps or bool((best >= 0).any()) or time.monotonic() >= deadline:
            break
        length = REAL_ATTACK.first_step * (REAL_ATTACK.last_step / REAL_ATTACK.first_step) ** (step / max(steps - 1, 1))
        move = radius * gradient.sign() if ball is None else ball.step(gradient)
        x = torch.minimum(torch.maximum(x + length * move, lower), upper)
        if ball is not None:
            x = ball.back(x)
    return best_x, best
