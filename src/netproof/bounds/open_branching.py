"""Which open feature to split: by what a split could gain, and by trying the best few."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from netproof.bounds.dual import Objective
from netproof.bounds.open_dual import LEFT, RIGHT, WHOLE, OpenDual
from netproof.bounds.open_optimize import Choice

#: the objective of rows (indices)
Objectives = Callable[[Tensor], Objective]


def split_scores(dual: OpenDual, v: Tensor, alpha: Tensor) -> Tensor:
    """What splitting each feature could gain: the gap of the chord at 0, or of the lower line at the nearer end."""
    _, offset = dual.chords()
    lower = torch.minimum(torch.maximum(alpha, dual.left), dual.right)
    below = torch.minimum((lower - dual.left) * -dual.lower, (dual.right - lower) * dual.upper)
    return v.clamp(min=0) * offset - v.clamp(max=0) * below


def choose_split(
    dual: OpenDual,
    objective: Objectives,
    side: Tensor,
    choice: Choice,
    width: int,
    goal: float = 0.0,
    rows_at_once: int = 1024,
) -> tuple[Tensor, Tensor]:
    """The feature to split in each row ``[B]``, and whether there is one ``[B]`` bool.

    Of the ``width`` features with the largest scores, the one for which the bounds of both halves, as far as they are
    above ``goal``, have the smallest sum.
    """
    count = len(side)
    if not len(dual):
        nothing = torch.zeros(count, dtype=torch.int64)
        return nothing, nothing.bool()
    with torch.no_grad():
        v = dual.bound(objective(torch.arange(count)), side, choice.alpha, choice.beta).v
    score = split_scores(dual, v, choice.alpha)
    score = torch.where(side == WHOLE, score + 1e-12, -torch.inf)
    width = min(width, score.shape[1])
    best, candidates = score.topk(width, 1)
    splittable = torch.isfinite(best[:, 0])
    if width <= 1:
        return candidates[:, 0], splittable
    row = torch.arange(count).repeat_interleave(width)
    feature = candidates.reshape(-1)
    total = torch.zeros(len(row))
    for part in torch.split(torch.arange(len(row)), rows_at_once):
        mine = row[part]
        tried = choice.take(mine)
        asked = objective(mine)
        for half in (LEFT, RIGHT):
            halved = side[mine]
            halved[torch.arange(len(part)), feature[part]] = half
            total[part] += (dual.bound(asked, halved, tried.alpha, tried.beta).value - goal).clamp(min=0)
    total = torch.where(torch.isfinite(best), total.view(-1, width), torch.inf)
    return candidates.gather(1, total.argmin(1, keepdim=True))[:, 0], splittable
