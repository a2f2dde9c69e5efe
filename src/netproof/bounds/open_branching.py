"""Which open feature to split: by what a split could gain, and by trying the best few."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from netproof.bounds.dual import Objective
from netproof.bounds.open_dual import LEFT, RIGHT, WHOLE, OpenDual
from netproof.bounds.open_optimize import Choice

#: the weight of scores by lines between the slopes
_SAY = 1e-3

#: the objective of rows (indices)
Objectives = Callable[[Tensor], Objective]


def split_scores(dual: OpenDual, v: Tensor, alpha: Tensor) -> Tensor:
    """What splitting each feature could gain: the gap of the chord at 0, or of the lower line at the nearer end."""
    _, offset = dual.chords()
    lower = torch.minimum(torch.maximum(alpha, dual.left), dual.right)
    below = torch.minimum((lower - dual.left) * -dual.lower, (dual.right - lower) * dual.upper)
    return v.clamp(min=0) * offset - v.clamp(max=0) * below


def candidate_scores(dual: OpenDual, objective: Objective, side: Tensor, choice: Choice) -> Tensor:
    """Scores of all features, ``[B, m]``; minus infinity where a feature is split already.

    Where a lower line is 0, nothing arrives at the features that decide whether its feature can be 0 at all. So lines
    between the two slopes have a small say, too: all that counts where no feature has a gap of its own.
    """
    with torch.no_grad():
        v = dual.bound(objective, side, choice.alpha, choice.beta).v
        chord, _ = dual.chords()
        between = chord.expand_as(choice.alpha)
        passed = dual.bound(objective, side, between, choice.beta).v
    score = split_scores(dual, v, choice.alpha) + _SAY * split_scores(dual, passed, between)
    return torch.where(side == WHOLE, score + 1e-12, -torch.inf)


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
    score = candidate_scores(dual, objective(torch.arange(count)), side, choice)
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
