"""Which unstable feature to split: by what a split could gain, and by trying the best few."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from netproof.bounds.look_ahead import Tries, look_ahead
from netproof.bounds.loops.point import SignPoint
from netproof.bounds.multipliers.sign_steps import Choice
from netproof.bounds.multipliers.signs import WHOLE, SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.halves import Tried, Whole
from netproof.effort.bounding import SCORE

#: the objective of rows (indices), which are where the dual is
Objectives = Callable[[Tensor], Objective]


def split_scores(dual: SignDual, v: Tensor, alpha: Tensor) -> Tensor:
    """What splitting each feature could gain: the gap of the chord at 0, or of the lower line at the nearer end."""
    _, offset = dual.chords()
    lower = torch.minimum(torch.maximum(alpha, dual.left), dual.right)
    below = torch.minimum((lower - dual.left) * -dual.lower, (dual.right - lower) * dual.upper)
    return v.clamp(min=0) * offset - v.clamp(max=0) * below


class Chosen(NamedTuple):
    """By which features rows are split: ``[B]`` each, where the rows are.

    Attributes
    ----------
    feature : the feature
    splittable : bool, whether there is one
    point : the bounds of the rows before a split, where the dual is
    halves : bounds of the left, then of the right halves of all splittable rows by the rows' multipliers, where steps on halves can begin
        with them
    """

    feature: Tensor
    splittable: Tensor
    point: SignPoint
    halves: SignPoint | None = None


def candidate_scores(
    dual: SignDual, objective: Objectives, side: Tensor, choice: Choice, width: int
) -> tuple[Tensor, SignPoint, dict[int, Objective]]:
    """Scores of all features, ``[B, m]``, minus infinity where a feature is split already; the bounds that they go by, and their stages.

    Where a lower line is 0, nothing arrives at the features that decide whether its feature can be 0 at all. So in rows in which
    fewer than ``width`` features have a gap of their own, lines between the two slopes have a small say, too.
    """
    whole = side == WHOLE
    with torch.no_grad():
        stages: dict[int, Objective] = {}
        every = objective(torch.arange(len(side), device=side.device))
        point = dual.bound(every, side, choice.alpha, choice.beta, stages=stages)
        score = split_scores(dual, point.v, choice.alpha)
        few = ((score > 0) & whole).sum(1) < whole.sum(1).clamp(max=width)
        row = few.nonzero()[:, 0]
        if len(row):
            chord, _ = dual.chords()
            between = chord.expand(len(row), -1)
            passed = dual.bound(objective(row), side[row], between, choice.beta[row]).v
            score = score.expand(len(side), -1).index_add(0, row, SCORE.between * split_scores(dual, passed, between))
    return torch.where(whole, score + 1e-12, -torch.inf), point, stages


def choose_split(
    dual: SignDual,
    objective: Objectives,
    side: Tensor,
    choice: Choice,
    tries: Tries,
) -> Chosen:
    """The feature to split in each row, on the device that ``side`` is on.

    Of the features with the largest scores, it is the one for which the bounds of both halves, as far as they are above 0,
    have the smallest sum. The work is done on the dual's device.
    """
    count, home = len(side), side.device
    side, choice = side.to(dual.device), choice.to(choice.alpha.dtype, dual.device)
    score, point, stages = candidate_scores(dual, objective, side, choice, tries.width)
    if not len(dual):
        nothing = torch.zeros(count, dtype=torch.int64, device=home)
        return Chosen(nothing, nothing.bool(), point)
    best, candidates = score.topk(min(tries.width, score.shape[1]), 1)
    usable = torch.isfinite(best)
    if best.shape[1] <= 1:
        return Chosen(candidates[:, 0].to(home), usable[:, 0].to(home), point)

    tried: list[Tried] = []
    whole = Whole(side, choice.alpha, choice.beta, point, stages)

    def bound_halves(row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            tried.append(Tried(dual, whole, row, candidates[row, column]))
        return tried[-1].value[0], tried[-1].value[1]

    total = look_ahead(usable, bound_halves, tries.at_once, tries.deadline)
    column = total.argmin(1, keepdim=True)
    halves = None
    if len(tried) == 1 and tried[0].value.shape[1] == int(usable.sum()):
        place = usable.flatten().cumsum(0).view(usable.shape) - 1
        halves = tried[0].picked(place.gather(1, column)[usable[:, 0], 0])
    return Chosen(candidates.gather(1, column)[:, 0].to(home), usable[:, 0].to(home), point, halves)
