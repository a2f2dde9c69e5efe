"""Which unstable features are bounded in pairs (:mod:`netproof.bounds.joint.pairs`), and what is known of both together.

A pair is worth what is between the hulls of both apart and the hull of both together, at the multipliers that an objective has. How far
sum and difference of two features reach tells a bound of its own; before it is asked, the linear forms in the input that bound each of
them tell how much less that will be than what their ranges add up to.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.joint.corners import octagon_corners
from netproof.bounds.joint.pairs import PairEnds, Pairs
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.sign_steps import Choice, optimize_signs
from netproof.bounds.multipliers.signs import WHOLE, SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.branching import split_scores
from netproof.effort.bounding import PAIR
from netproof.processes import clock

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Int8, Int64

#: of one feature and of its negative: coefficients ``[2, x]`` of the inputs that vary, times their radii, and values ``[2]`` at the centre
_Form = tuple[Tensor, Tensor]

#: ends of the sum and of the difference, as signs of both: the largest of each of these is bounded
_ENDS = ((1.0, 1.0), (-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0))


class Pairing:
    """Pairs of one region, again and again for other parts of it.

    Parameters
    ----------
    dual : of a region of one row, float64, without pairs
    rounding : of the region
    device : where slopes are chosen, in float32
    keeps_slopes : whether pairs say by which slopes their ends were found
    """

    def __init__(
        self, dual: SignDual, rounding: Rounding, device: torch.device | str = "cpu", *, keeps_slopes: bool = False
    ) -> None:
        self._dual = replace(dual, planes={}, pairs={})
        self._rounding = rounding
        self._dual32 = self._dual.to(torch.float32, device)
        #: largest values of sums and differences, by activation and features, and slopes
        self._known: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}
        self._keeps = keeps_slopes
        self._forms: dict[tuple[int, int], _Form] = {}

    def in_float32(self, dual: SignDual) -> SignDual:
        """A dual as searches take it, where they do."""
        return dual.to(torch.float32, self._dual32.device)

    def fit(
        self,
        dual: SignDual,
        v: Float[Tensor, "B m"],
        side: Int8[Tensor, "B m"],
        alpha: Float[Tensor, "B m"],
        deadline: float,
    ) -> SignDual:
        """``dual``, of the same region, with pairs that are worth most for some parts.

        Parameters
        ----------
        v : what arrives at the unstable features in the bounds of the parts
        side, alpha : the parts, and slopes of their lower lines
        """
        gap = torch.where(side == WHOLE, split_scores(self._dual, v.double(), alpha.double()), 0.0).sum(0)
        ends = list(itertools.accumulate(dual.sizes, initial=0))
        gaps = [gap[begin:end] for begin, end in itertools.pairwise(ends)]
        found = {}
        for k, mine in enumerate(gaps):
            if clock.now() >= deadline:
                break
            if k in dual.planes or float(mine.sum()) < PAIR.layer_share * float(gap.sum()):
                continue
            pairs = self._fit(k, mine, slice(ends[k], ends[k + 1]), deadline)
            if pairs is not None:
                found[k] = pairs
        return replace(dual, pairs=found)

    def _fit(self, k: int, gap: Float64[Tensor, " n"], mine: slice, deadline: float) -> Pairs | None:
        most = min(PAIR.most, int((gap > 0).sum()))
        if most < 2:
            return None
        feature = gap.topk(most).indices.sort().values
        first, second = _matched(self._worth(k, feature, gap[feature]))
        if not len(first):
            return None
        first, second = feature[first], feature[second]
        largest, slope = self._largest(k, first, second, deadline)
        lower, upper = self._dual.lower[mine], self._dual.upper[mine]
        a, b = (lower[first], upper[first]), (lower[second], upper[second])
        total = torch.maximum(-largest[:, 1], _down(a[0] + b[0])), torch.minimum(largest[:, 0], -_down(-a[1] - b[1]))
        apart = torch.maximum(-largest[:, 3], _down(a[0] - b[1])), torch.minimum(largest[:, 2], -_down(b[0] - a[1]))
        corners, some = octagon_corners(*(torch.stack(side, 1) for side in zip(a, b, total, apart, strict=True)))
        members = torch.cat([first[some], second[some]])
        slopes = self._dual.left[mine][members], self._dual.right[mine][members]
        if not bool(some.any()):
            return None
        return Pairs(members, corners[some], slopes, PairEnds(largest[some], slope[some]) if self._keeps else None)

    def _worth(self, k: int, feature: Int64[Tensor, " n"], gap: Float64[Tensor, " n"]) -> Float64[Tensor, "n n"]:
        """About what each two features together take off the sum of their gaps, ``[n, n]``."""
        new = [one for one in feature.tolist() if (k, one) not in self._forms]
        if new:
            for one, form in zip(new, _forms(self._dual32, k, torch.tensor(new)), strict=True):
                self._forms[k, one] = form
        forms = [self._forms[k, one] for one in feature.tolist()]
        varying, middle = (torch.stack([form[i] for form in forms], 1) for i in range(2))
        return torch.minimum(gap[:, None], gap) * _less(varying, middle).sum(0).to(gap)

    def _largest(
        self, k: int, first: Int64[Tensor, " P"], second: Int64[Tensor, " P"], deadline: float
    ) -> tuple[Float64[Tensor, "P 4"], Tensor]:
        """The largest values of both ends of sums and differences, rigorous, ``[P, 4]``, and slopes: those not asked yet are bounded now."""
        keys = [(k, *pair) for pair in zip(first.tolist(), second.tolist(), strict=True)]
        new = [key for key in keys if key not in self._known]
        if new:
            pair = torch.tensor([key[1:] for key in new])
            for key, *ends in zip(new, *self._bound(k, pair, deadline), strict=True):
                self._known[key] = ends[0], ends[1]
        largest, slope = zip(*(self._known[key] for key in keys), strict=True)
        return torch.stack(largest), torch.stack(slope)

    def _bound(
        self, k: int, pair: Int64[Tensor, "P 2"], deadline: float
    ) -> tuple[Float64[Tensor, "P 4"], Float[Tensor, "P 4 m"]]:
        """Largest values, and where slopes are kept those of the activations before, else none."""
        dual, dual32, graph = self._dual, self._dual32, self._dual.graph
        node = graph.nodes[graph.activations[k]].operands[0]
        feature = dual.index[k][pair].repeat_interleave(len(_ENDS), 0)
        sign = torch.tensor(_ENDS, dtype=torch.float64).repeat(len(pair), 1)
        c = torch.zeros(len(feature), graph.nodes[node].size, dtype=torch.float64).scatter(1, feature, sign)
        value, before = [], sum(dual.sizes[:k]) if self._keeps else 0
        slope = torch.zeros(len(c), before, dtype=torch.float32)
        for rows in torch.split(torch.arange(len(c)), PAIR.batch.rows(graph, PAIR.tensors)):
            if clock.now() >= deadline:
                value.append(torch.full((len(rows),), torch.inf, dtype=torch.float64))
                continue
            c32 = c[rows].to(dual32.device, torch.float32)
            side = torch.zeros(len(rows), len(dual), dtype=torch.int8)
            start = Choice.first(dual32, len(rows))

            def mixed(chosen: Tensor, weight: Tensor, c32: Tensor = c32) -> Objective:
                return Objective({node: c32[chosen]}, c32.new_zeros(len(chosen)))

            choice, _ = optimize_signs(dual32, mixed, side, start, Until(PAIR.steps, deadline=deadline))
            objective = Objective({node: c[rows]}, torch.zeros(len(rows), dtype=torch.float64))
            double = choice.to(torch.float64)
            value.append(dual.bound(objective, side, double.alpha, double.beta, self._rounding).value)
            slope[rows] = choice.alpha[:, :before].to("cpu", torch.float32)
        return torch.cat(value).view(-1, len(_ENDS)), slope.view(len(pair), len(_ENDS), before)


def _forms(dual: SignDual, k: int, feature: Int64[Tensor, " n"]) -> list[_Form]:
    """Linear forms in the input above unstable features of an activation, and above their negatives: CROWN's, to choose by."""
    graph, box = dual.graph, dual.region
    node, which = graph.nodes[graph.activations[k]].operands[0], dual.index[k][feature.to(dual.device)]
    radius = ((box.upper - box.lower) / 2)[0]
    varies = radius > 0
    alpha = dual.crown_alpha()[None]
    varying, middle = [], []
    for sign in (1.0, -1.0):
        for rows in torch.split(which, PAIR.batch.rows(graph, PAIR.tensors)):
            c = dual.lower.new_zeros(len(rows), graph.nodes[node].size)
            c[torch.arange(len(rows), device=c.device), rows] = sign
            whole = torch.zeros(len(c), len(dual), dtype=torch.int8, device=c.device)
            point = dual.bound(Objective({node: c}, c.new_zeros(len(c))), whole, alpha, torch.zeros_like(alpha))
            reach = (point.input_coefficients * radius).expand(len(c), -1)
            varying.append(reach[:, varies].cpu())
            middle.append((point.value - reach.abs().sum(1)).cpu())
    parts = torch.cat(varying).view(2, len(which), -1).unbind(1), torch.cat(middle).view(2, -1).unbind(1)
    return list(zip(*parts, strict=True))


def _less(varying: Float[Tensor, "2 n x"], middle: Float[Tensor, "2 n"]) -> Float[Tensor, "4 n n"]:
    """By which share the ends of sums and differences are less than what both ends of single features add up to."""
    single = middle + varying.abs().sum(2)
    found = []
    for first, second in _ENDS:
        i, j = int(first < 0), int(second < 0)
        together = torch.stack([(one + varying[j]).abs().sum(1) for one in varying[i]])
        apart = single[i][:, None] + single[j]
        share = (apart - together - middle[i][:, None] - middle[j]) / apart.abs().clamp(min=1e-30)
        found.append(share.clamp(0.0, 1.0))
    return torch.stack(found)


def _down(end: Float64[Tensor, " P"]) -> Float64[Tensor, " P"]:
    """What a sum of two ends, rounded to the nearest float, is not below."""
    return torch.nextafter(end, end.new_full((), -torch.inf))


def _matched(worth: Float64[Tensor, "n n"]) -> tuple[Int64[Tensor, " P"], Int64[Tensor, " P"]]:
    """Pairs, each feature in one at most: the one worth most first, then of what is left."""
    count = len(worth)
    upper = torch.triu(worth, 1).flatten()
    free = [True] * count
    found: list[tuple[int, int]] = []
    for place in upper.argsort(descending=True, stable=True).tolist():
        i, j = divmod(place, count)
        if not upper[place] > 0 or 2 * len(found) >= count - 1:
            break
        if free[i] and free[j]:
            free[i] = free[j] = False
            found.append((i, j))
    pairs = torch.tensor(found, dtype=torch.int64).view(-1, 2)
    return pairs[:, 0], pairs[:, 1]
