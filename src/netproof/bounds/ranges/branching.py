"""Which unstable feature to split: by what a split could gain, and by trying the best few."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from netproof.bounds.look_ahead import Tries, look_ahead
from netproof.bounds.multipliers.sign_steps import Choice
from netproof.bounds.multipliers.signs import WHOLE, SignDual
from netproof.bounds.objective import Objective
from netproof.effort.bounding import SCORE

#: the objective of rows (indices), which are where the dual is
Objectives = Callable[[Tensor], Objective]


def split_scores(dual: SignDual, v: Tensor, alpha: Tensor) -> Tensor:
    """What splitting each feature could gain: the gap of the chord at 0, or of the lower line at the nearer end."""
    _, offset = dual.chords()
    lower = torch.minimum(torch.maximum(alpha, dual.left), dual.right)
    below = torch.minimum((lower - dual.left) * -dual.lower, (dual.right - lower) * dual.upper)
    return v.clamp(min=0) * offset - v.clamp(max=0) * below


def candidate_scores(dual: SignDual, objective: Objective, side: Tensor, choice: Choice) -> Tensor:
    """Scores of all features, ``[B, m]``; minus infinity where a feature is split already.

    Where a lower line is 0, nothing arrives at the features that decide whether its feature can be 0 at all. So lines
    between the two slopes have a small say, too: all that counts where no feature has a gap of its own.
    """
    with torch.no_grad():
        v = dual.bound(objective, side, choice.alpha, choice.beta).v
        chord, _ = dual.chords()
        between = chord.expand_as(choice.alpha)
        passed = dual.bound(objective, side, between, choice.beta).v
    score = split_scores(dual, v, choice.alpha) + SCORE.between * split_scores(dual, passed, between)
    return torch.where(side == WHOLE, score + 1e-12, -torch.inf)


def choose_split(
    dual: SignDual,
    objective: Objectives,
    side: Tensor,
    choice: Choice,
    tries: Tries,
) -> tuple[Tensor, Tensor]:
    """The feature to split in each row ``[B]``, and whether there is one ``[B]`` bool, on the device that ``side`` is on.

    Of the features with the largest scores, the one for which the bounds of both halves, as far as they are above 0,
    have the smallest sum. The work is done on the dual's device.
    """
    count, home = len(side), side.device
    if not len(dual):
        nothing = torch.zeros(count, dtype=torch.int64, device=home)
        return nothing, nothing.bool()
    side, choice = side.to(dual.device), choice.to(choice.alpha.dtype, dual.device)
    every = torch.arange(count, device=dual.device)
    score = candidate_scores(dual, objective(every), side, choice)
    best, candidates = score.topk(min(tries.width, score.shape[1]), 1)
    usable = torch.isfinite(best)
    if best.shape[1] <= 1:
        return candidates[:, 0].to(home), usable[:, 0].to(home)

    def bound_halves(row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        tried = choice.take(row)
        asked = candidates[row, column]
        return dual.bound_halves(objective(row), side[row], asked, tried.alpha, tried.beta)

    total = look_ahead(usable, bound_halves, tries.at_once, tries.deadline)
    return candidates.gather(1, total.argmin(1, keepdim=True))[:, 0].to(home), usable[:, 0].to(home)
