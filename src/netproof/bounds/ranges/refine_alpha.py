"""Ranges by alpha-CROWN: every bound of an unstable feature with slopes of its own (Xu et al., ICLR 2021)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.sign_steps import Choice, optimize_signs
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.refine import rows_at_once
from netproof.bounds.region import Region, propagate_intervals
from netproof.effort.bounding import REFINE
from netproof.graph.graph import Graph
from netproof.graph.loose import improvable
from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Float, Int64


@dataclass(frozen=True, eq=False)
class SlopedEnds(Rows):
    """By which slopes ends of ranges were bounded.

    Attributes
    ----------
    k : of all rows, the activation
    feature, upper : ``[N]``, the feature, and whether the upper end
    open : of every activation the features that are open, ``[m_k]``
    slope : ``[N, unstable features]`` float32, of the lower lines of all of them, one activation after the other
    bound : ``[N]`` float64, of the feature, or of its negative, by these slopes
    """

    k: int
    feature: Tensor
    upper: Tensor
    open: tuple[Tensor, ...]
    slope: Tensor
    bound: Tensor


class BegunEnds:
    """Slopes that ends of ranges were bounded by once, where searches for the same ends begin; ``memory`` is how many bytes of them are
    kept, in half precision.

    A search for an end needs slopes that are good on the whole of a region first. Those that were found on larger ranges are hardly worse
    than what many steps from CROWN's come to.
    """

    def __init__(self, memory: int) -> None:
        self._left = memory
        self._known: dict[int, list[SlopedEnds]] = {}

    def sloped(self, ends: SlopedEnds) -> None:
        """Ends were bounded by slopes."""
        before = ends.open[: ends.k]
        slope = ends.slope[:, : sum(len(which) for which in before)].to(torch.float16)
        self._left -= slope.numel() * slope.element_size()
        if self._left >= 0:
            self._known.setdefault(ends.k, []).append(
                SlopedEnds(ends.k, ends.feature, ends.upper, before, slope, ends.bound)
            )

    def slopes(
        self, k: int, feature: Int64[Tensor, " n"], unstable: Sequence[tuple[int, Tensor]]
    ) -> Float[Tensor, "2n m"] | None:
        """Slopes for upper ends, then for lower ends, of features of an activation, NaN where none is known; None where there are none at all.

        ``unstable`` are activations and the features of theirs that slopes are of.
        """
        known = self._known.get(k)
        if not known or not len(feature):
            return None
        n, before = len(feature), known[0].open
        slope = torch.cat([one.slope for one in known])
        place = torch.full((2, int(max(feature.max(), *(one.feature.max() for one in known))) + 1), -1)
        count = 0
        for one in known:
            place[(~one.upper).long(), one.feature] = torch.arange(count, count + len(one.feature))
            count += len(one.feature)
        row = place[:, feature].view(2 * n)
        column = torch.cat([_columns(before, *one) for one in unstable])
        if not slope.shape[1]:
            return torch.full((2 * n, len(column)), torch.nan, dtype=torch.float32)
        found = slope[row.clamp(min=0)][:, column.clamp(min=0)].float()
        return found.masked_fill((row < 0)[:, None] | (column < 0), torch.nan)


def refine_by_alpha(
    graph: Graph,
    region: Region,
    steps: int,
    deadline: float,
    device: torch.device | str = "cpu",
    listen: Callable[[SlopedEnds], None] | None = None,
) -> Region:
    """Tighten the ranges of a region of one row on a piecewise linear graph, layer by layer, until the deadline.

    ``listen`` is told by which slopes.

    Slopes are found in float32 on ``device``; the ranges are rigorous, the error term that of the ranges above.
    """
    better = improvable(graph)
    at_once = rows_at_once(graph, REFINE.alpha_batch)
    rounding = Rounding.begun(graph, region)
    hidden = 0
    for k, index in enumerate(graph.activations):
        operand = graph.nodes[index].operands[0]
        if not better[operand]:
            continue
        hidden += 1
        dual = SignDual.of(graph, region)
        feature = dual.index[k]
        if (hidden == 1 and not any(len(which) for which in dual.index[:k])) or not len(feature):
            continue
        rounding = rounding.up_to(graph, region, operand)
        low, high = region.range_lower[k].clone(), region.range_upper[k].clone()
        dual32 = dual.to(torch.float32, device)
        for part in torch.split(feature, at_once):
            if time.monotonic() >= deadline:
                return propagate_intervals(graph, region.with_range(k, low, high))
            value, slope = _bounds(dual, dual32, operand, part, rounding, Until(steps, 0.0, deadline))
            if listen is not None:
                upper = torch.arange(2 * len(part)) < len(part)
                listen(SlopedEnds(k, part.repeat(2), upper, dual.index, slope.float(), value))
            high[0, part] = torch.minimum(high[0, part], value[: len(part)])
            low[0, part] = torch.maximum(low[0, part], -value[len(part) :])
        region = propagate_intervals(graph, region.with_range(k, low, high))
    return region


def _bounds(
    dual: SignDual, dual32: SignDual, node: int, feature: Tensor, rounding: Rounding, until: Until
) -> tuple[Tensor, Tensor]:
    """Upper bounds of ``a`` and then of ``-a`` for features of a node, and the slopes by which."""
    rows = 2 * len(feature)
    c = torch.zeros(rows, dual.graph.nodes[node].size, dtype=torch.float64)
    c[torch.arange(rows), feature.repeat(2)] = 1.0
    c[len(feature) :] *= -1
    c32 = c.to(dual32.device, torch.float32)
    side = torch.zeros(rows, len(dual), dtype=torch.int8)

    def mixed(chosen: Tensor, weight: Tensor) -> Objective:
        return Objective({node: c32[chosen]}, c32.new_zeros(len(chosen)))

    choice, _ = optimize_signs(dual32, mixed, side, Choice.first(dual32, rows), until)
    double = choice.to(torch.float64)
    objective = Objective({node: c}, torch.zeros(rows, dtype=torch.float64))
    return dual.bound(objective, side, double.alpha, double.beta, rounding).value, double.alpha


def _columns(opened: Sequence[Tensor], k: int, feature: Tensor) -> Tensor:
    """Where features of an activation are among all that were open, -1 where they are not."""
    if k >= len(opened):
        return torch.full_like(feature, -1)
    mine = opened[k]
    if not len(mine):
        return torch.full_like(feature, -1)
    at = torch.searchsorted(mine, feature).clamp(max=len(mine) - 1)
    begin = sum(len(which) for which in opened[:k])
    return torch.where(mine[at] == feature, at + begin, -1)
