"""Where to split.

Two ways to judge a split: at the point of the linear program, where an interior point solver gives it
(:func:`program_candidates`), and otherwise at the bound's own maximizer (:func:`gap_candidates`), with a
look-ahead over the best few (:mod:`netproof.bounds.look_ahead`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.dual import DualPoint
from netproof.bounds.region import Region
from netproof.effort.integer import BRANCHING
from netproof.graph.graph import Graph
from netproof.rows import Rows


@dataclass(frozen=True, eq=False)
class Split(Rows):
    """Per row: activation number ``k`` (``-1``: an input), feature, and the upper half's lower end."""

    k: Tensor
    feature: Tensor
    point: Tensor

    def at(self, column: Tensor) -> Split:
        """Of several splits per row, the one in each row's column: ``[B, W]`` to ``[B]``."""
        return Split(*(part.gather(1, column[:, None])[:, 0] for part in (self.k, self.feature, self.point)))

    def beside(self, other: Split) -> Split:
        """Splits ``[B, W]`` and more of them ``[B, V]`` for the same rows."""
        return Split(*(torch.cat(both, 1) for both in self._with(other)))

    def where(self, usable: Tensor, other: Split) -> Split:
        """These, and the other ones in rows that are not ``usable`` (``[B]`` bool)."""
        return Split(*(torch.where(usable, mine, others) for mine, others in self._with(other)))

    def _with(self, other: Split) -> tuple[tuple[Tensor, Tensor], ...]:
        return (self.k, other.k), (self.feature, other.feature), (self.point, other.point)


def gap_candidates(
    point: DualPoint, outputs: Tensor | None, width: int, region: Region | None = None
) -> tuple[Split, Tensor]:
    """The ``width`` most promising activation splits of every row of a bound's region: ``[B, width]``, best first.

    ``region`` is what is left of it where ends of ranges have been cut off since.

    The gap of a feature is what the bound overestimates there: ``phi_j`` minus ``v f(a) - s a`` at
    the pre-activation ``a`` that the bound's own maximizer really has. Returns the gaps too;
    ``-inf`` marks features that cannot be split. ``outputs`` (``[B, n_output]`` bool, or None for
    all) says which features of a final activation may be.
    """
    graph, region = point.relaxation.graph, region or point.region
    values = graph.values(point.x)
    gaps, points, layers, features = [], [], [], []
    for k, index in enumerate(graph.activations):
        low, high = region.range_lower[k], region.range_upper[k]
        activation = graph.activation(index)
        conjugate, v, s = point.conjugates[k], point.v[k], point.s[k]
        if conjugate is None or v is None or s is None:
            continue
        at = torch.minimum(torch.maximum(values[graph.nodes[index].operands[0]], low), high)
        gap = (conjugate.value - (v * activation.evaluate(at) - s * at)).clamp(min=0)
        where = activation.split_point(_threshold_hint(graph, index, low, high), low, high)
        if outputs is not None and index == len(graph.nodes) - 1:
            where = torch.where(outputs, where, torch.nan)
        # The slightest preference for wide ranges breaks ties where all gaps are closed.
        gaps.append(torch.where(torch.isnan(where), -torch.inf, gap + 1e-9 * (high - low)))
        points.append(where)
        layers.append(torch.full((low.shape[1],), k))
        features.append(torch.arange(low.shape[1]))
    return _best(len(region), gaps, points, layers, features, width)


def height_candidates(point: DualPoint, width: int, region: Region) -> tuple[Split, Tensor]:
    """The ``width`` activation splits of every row with the highest hulls, ``[B, width]``, best first, and their heights.

    The height is that of the chord above the function, or below it, where a feature would be split, times the size of what
    arrives: it does not depend on where the bound is attained (the intercept score of Bunel et al., JMLR 2020, for any
    function). Functions of several features are left out, and ``-inf`` marks what cannot be split.
    """
    graph = point.relaxation.graph
    heights, points, layers, features = [], [], [], []
    for k, index in enumerate(graph.activations):
        activation, v = graph.activation(index), point.v[k]
        if v is None or activation.coupled:
            continue
        low, high = region.range_lower[k], region.range_upper[k]
        where = activation.split_point((low + high) / 2, low, high)
        none, at = torch.isnan(where), torch.where(torch.isnan(where), low, where)
        first, last = activation.evaluate(low), activation.evaluate(high)
        chord = first + (last - first) * ((at - low) / torch.where(high > low, high - low, 1.0))
        height = v.abs() * (chord - activation.evaluate(at)).abs()
        heights.append(torch.where(none | ~torch.isfinite(height), -torch.inf, height))
        points.append(where)
        layers.append(torch.full((low.shape[1],), k))
        features.append(torch.arange(low.shape[1]))
    return _best(len(region), heights, points, layers, features, width)


def program_candidates(
    graph: Graph,
    region: Region,
    v: Sequence[Tensor | None],
    a: Sequence[Tensor],
    outputs: Tensor | None,
    width: int,
) -> tuple[Split, Tensor]:
    """Like :func:`gap_candidates`, judged at the linear program's own pre-activations ``a``.

    Splitting feature ``j`` moves the program's point into the nearer half at least as far as the
    hull there lies below the old one (times ``|v_j|``), plus, in the farther half, the way the
    pre-activation has to move. The score of a split is the smaller gain plus a little of the larger.
    """
    gaps, points, layers, features = [], [], [], []
    for k, index in enumerate(graph.activations):
        low, high = region.range_lower[k], region.range_upper[k]
        activation = graph.activation(index)
        price = v[k]
        if price is None:
            continue
        at = torch.minimum(torch.maximum(a[k], low), high)
        first, last = activation.split_point(low, low, high), activation.split_point(high, low, high)
        step = (last - first) / (activation.evaluate(last) - activation.evaluate(first)).clamp(min=1)
        step = torch.where(step > 0, step, high - low).clamp(min=1)
        # Three points are tried, all at once: what is cut there are two hulls each.
        points_tried = torch.cat([activation.split_point(at, low, high), first, last])
        usable = ~torch.isnan(points_tried)
        low3, high3, at3, step3, price3 = (part.repeat(3, 1) for part in (low, high, at, step, price))
        above = torch.where(usable, points_tried, high3)
        below = torch.maximum(activation.below(above), low3)
        ends = torch.cat([torch.minimum(at3, below), torch.maximum(at3, above)])
        price6 = price3.repeat(2, 1)
        whole = activation.hull(low3.repeat(2, 1), high3.repeat(2, 1)).height(price6, ends)
        halves = activation.hull(torch.cat([low3, above]), torch.cat([below, high3])).height(price6, ends)
        way = torch.cat([at3, ends[len(at3) :]]) - torch.cat([ends[: len(at3)], at3])
        gain = ((whole - halves) * price6).clamp(min=0) + BRANCHING.move * price6.abs() * way / step3.repeat(2, 1)
        left, right = gain.chunk(2)
        score = torch.minimum(left, right) + BRANCHING.larger * torch.maximum(left, right)
        score = torch.where(usable & ~torch.isnan(score), score + 1e-9 * (high3 - low3), -torch.inf).reshape(
            3, *low.shape
        )
        best_score, best = score.max(0)
        chosen = points_tried.reshape(3, *low.shape).gather(0, best[None])[0]
        best_point = torch.where(torch.isfinite(best_score), chosen, torch.nan)
        if outputs is not None and index == len(graph.nodes) - 1:
            best_score = torch.where(outputs, best_score, -torch.inf)
        gaps.append(best_score)
        points.append(best_point)
        layers.append(torch.full((low.shape[1],), k))
        features.append(torch.arange(low.shape[1]))
    return _best(len(region), gaps, points, layers, features, width)


def _best(
    rows: int, scores: list[Tensor], points: list[Tensor], layers: list[Tensor], features: list[Tensor], width: int
) -> tuple[Split, Tensor]:
    """The ``width`` best scored splits of every row; one of score ``-inf`` where there is nothing to split."""
    if not scores:
        nothing = torch.full((rows, 1), -1)
        minus = torch.full((rows, 1), -torch.inf, dtype=torch.float64)
        return Split(nothing, nothing, minus), minus
    score = torch.cat(scores, 1)
    best, chosen = score.topk(min(width, score.shape[1]), 1)
    return Split(torch.cat(layers)[chosen], torch.cat(features)[chosen], torch.cat(points, 1).gather(1, chosen)), best


def _threshold_hint(graph: Graph, index: int, low: Tensor, high: Tensor) -> Tensor:
    """Near which point to split: a kink of the range where there is one, else its middle.

    Splitting off a flat end makes that child's activation constant and the other's hull a plain
    ramp; a staircase without flat ends is best halved.
    """
    activation = graph.activation(index)
    first, last = activation.split_point(low, low, high), activation.split_point(high, low, high)
    step = (last - first) / (activation.evaluate(last) - activation.evaluate(first)).clamp(min=1)
    middle = (low + high) / 2
    return torch.where(first - low > 1.5 * step, first, torch.where(high - last > 1.5 * step, last, middle))


def split_regions(graph: Graph, region: Region, split: Split) -> Region:
    """Both halves of every row: the lower ones first, then the upper ones (``2 B`` rows)."""
    rows = len(region)
    lowers, uppers = [], []
    for k, index in enumerate(graph.activations):
        low, high = region.range_lower[k], region.range_upper[k]
        mine = (split.k == k).nonzero()[:, 0]
        at = (mine, split.feature[mine])
        cut_high, cut_low = high.clone(), low.clone()
        cut_high[at] = graph.activation(index).below(split.point[mine])
        cut_low[at] = split.point[mine]
        lowers.append(torch.cat([low, cut_low]))
        uppers.append(torch.cat([cut_high, high]))
    lower, upper = region.lower, region.upper
    by_input = (split.k == -1).nonzero()[:, 0]
    if len(by_input):
        at = (by_input, split.feature[by_input])
        low, high = (end.expand(rows, -1) for end in (lower, upper))
        cut_high, cut_low = high.clone(), low.clone()
        # Integers: real inputs are split by boxes, not here.
        cut_high[at] = split.point[by_input] - 1
        cut_low[at] = split.point[by_input]
        lower, upper = torch.cat([low, cut_low]), torch.cat([cut_high, high])
    elif lower.shape[0] > 1:
        lower, upper = lower.repeat(2, 1), upper.repeat(2, 1)
    return Region(lower, upper, tuple(lowers), tuple(uppers))


def upper_half(split: Split, a: Sequence[Tensor]) -> Tensor:
    """In which half of its split each row's pre-activations ``a`` (one ``[B, n_k]`` per activation) lie: ``[B]``, 1 in the upper one.

    0 where an input is split, or nothing.
    """
    upper = torch.zeros_like(split.k)
    for k, values in enumerate(a):
        mine = (split.k == k).nonzero()[:, 0]
        # The threshold lies between the integers point - 1 and point.
        upper[mine] = (values[mine, split.feature[mine]] > split.point[mine] - 0.5).to(upper.dtype)
    return upper


def input_split(region: Region, point: DualPoint) -> Split:
    """The input to split where no activation is left to split: the most undecided one.

    Inputs whose coefficient vanishes are those the relaxation leaves between their ends. Rows of
    a single point have width 0 and must be settled by evaluation.
    """
    width = (region.upper - region.lower).expand(len(point.value), -1)
    score = torch.where(width > 0, -point.input_coefficients.abs() * width, -torch.inf)
    feature = score.argmax(1)
    rows = torch.arange(len(feature))
    low = region.lower.expand(len(feature), -1)[rows, feature]
    high = region.upper.expand(len(feature), -1)[rows, feature]
    return Split(torch.full_like(feature, -1), feature, ((low + high) / 2).floor() + 1)
