"""Ranges by branch and bound: every bound of an open feature is searched for by splits of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.dual import Objective
from netproof.bounds.open_branching import choose_split
from netproof.bounds.open_dual import LEFT, RIGHT, OpenDual
from netproof.bounds.open_optimize import Choice, optimize_open
from netproof.bounds.prefix import prefix
from netproof.bounds.refine import behind_activations
from netproof.bounds.region import Region, propagate_intervals
from netproof.bounds.rounding import Rounding
from netproof.graph.graph import Graph

_ROOT_STEPS, _STEPS = 20, 8
_LOOK_AHEAD = 4
_ROWS = 512
#: an end within this share of the range's width from a value that is attained is not searched for any longer
_NEAR = 0.02
#: below the target by this share of the width is enough for the float32 search to stop
_MARGIN = 1e-5


@dataclass(frozen=True, eq=False)
class Leaves:
    """Parts of regions that are still to be split, each for one end of one feature's range (``owner``)."""

    owner: Tensor
    side: Tensor
    alpha: Tensor
    beta: Tensor
    value: Tensor

    def __len__(self) -> int:
        return len(self.owner)

    def take(self, rows: Tensor) -> Leaves:
        return Leaves(self.owner[rows], self.side[rows], self.alpha[rows], self.beta[rows], self.value[rows])

    @staticmethod
    def concatenate(parts: list[Leaves]) -> Leaves:
        return Leaves(
            torch.cat([p.owner for p in parts]),
            torch.cat([p.side for p in parts]),
            torch.cat([p.alpha for p in parts]),
            torch.cat([p.beta for p in parts]),
            torch.cat([p.value for p in parts]),
        )

    def choice(self) -> Choice:
        return Choice(self.alpha, self.beta, self.alpha.new_zeros(len(self), 1))


class EndSearch:
    """Searches for both ends of the ranges of a node's features, side by side, the worst parts of each first.

    Parameters
    ----------
    graph, region : the node is the graph's output, the region has one row
    lower, upper : ``[n]``, float64, what is known of the output's ranges

    Objective ``j`` is output ``j``, objective ``n + j`` its negative.
    """

    def __init__(self, graph: Graph, region: Region, lower: Tensor, upper: Tensor) -> None:
        self._dual = OpenDual.of(graph, region)
        self._light = self._dual.to(torch.float32)
        self._rounding = Rounding.of(graph, region)
        self._graph = graph
        self._n = len(lower)
        #: proven upper bounds of all objectives
        self.bound = torch.cat([upper, -lower])
        #: the largest values seen
        self.attained = torch.full_like(self.bound, -torch.inf)
        self._width = (upper - lower).repeat(2)
        self._sign = torch.cat([torch.ones(self._n), -torch.ones(self._n)]).double()
        #: parts bounded so far
        self.count = 0
        self._leaves: Leaves | None = None
        #: the largest bound of parts put aside
        self._floor = torch.full_like(self.bound, -torch.inf)
        self._started = torch.zeros(2 * self._n, dtype=torch.bool)
        center = (region.lower + region.upper) / 2
        self._see(center)

    def _see(self, x: Tensor) -> None:
        value = self._graph.evaluate(x)
        self.attained = torch.maximum(self.attained, torch.cat([value.amax(0), -value.amin(0)]))

    @property
    def closed(self) -> Tensor:
        """Objectives whose feature has one sign on the region."""
        settled = (self.bound[: self._n] <= 0) | (self.bound[self._n :] <= 0)
        return settled.repeat(2)

    def target(self) -> Tensor:
        """Parts bounded by this are good enough: the sign is known, or the end is almost attained."""
        near = self.attained + _NEAR * self._width
        return torch.where(self.attained < 0, near.clamp(min=0), near)

    def _objective(self, owner: Tensor, dtype: torch.dtype, target: Tensor | None = None) -> Objective:
        c = torch.zeros(len(owner), self._n, dtype=dtype)
        at = torch.arange(len(owner))
        c[at, owner % self._n] = self._sign[owner].to(dtype)
        constant = torch.zeros(len(owner), dtype=dtype) if target is None else -target.to(dtype)
        return Objective({len(self._graph.nodes) - 1: c}, constant)

    def _bound(self, leaves: Leaves, steps: int, target: Tensor, deadline: float) -> Leaves:
        """The same parts with better multipliers and the bounds that they prove."""
        self.count += len(leaves)
        goal = target[leaves.owner]
        scale = self._width[leaves.owner]
        choice, _ = optimize_open(
            self._light,
            lambda rows, _: self._objective(leaves.owner[rows], torch.float32, goal[rows]),
            leaves.side,
            leaves.choice(),
            steps,
            goal=-_MARGIN * float(scale.median()),
            scale=1.0 if steps == _ROOT_STEPS else 0.5,
            deadline=deadline,
        )
        double = choice.to(torch.float64)
        objective = self._objective(leaves.owner, torch.float64)
        point = self._dual.bound(objective, leaves.side, double.alpha, double.beta, self._rounding)
        region = self._dual.region
        self._see(torch.where(point.input_coefficients > 0, region.upper, region.lower))
        value = torch.minimum(point.value, leaves.value)
        return Leaves(leaves.owner, leaves.side, choice.alpha, choice.beta, value)

    def _start(self, owner: Tensor, deadline: float) -> None:
        """Bound objectives (numbers) on the whole region."""
        m = len(self._light)
        alpha = self._light.crown_alpha()
        for part in torch.split(owner, _ROWS):
            rows = len(part)
            side, beta = torch.zeros(rows, m, dtype=torch.int8), torch.zeros(rows, m)
            whole = Leaves(part, side, alpha.expand(rows, -1).clone(), beta, self.bound[part])
            self._push(self._bound(whole, _ROOT_STEPS, self.target(), deadline))
        self._started[owner] = True

    def _push(self, leaves: Leaves) -> None:
        self._leaves = leaves if self._leaves is None else Leaves.concatenate([self._leaves, leaves])

    def _settle(self) -> Tensor:
        """Put aside parts that need no splitting, and take down what the rest proves; returns the targets."""
        leaves = self._leaves
        assert leaves is not None
        worst = self._floor.scatter_reduce(0, leaves.owner, leaves.value, "amax")
        self.bound = torch.where(self._started, torch.minimum(self.bound, worst), self.bound)
        target = torch.maximum(self.target(), self._floor)
        open_ = (leaves.value > target[leaves.owner]) & ~self.closed[leaves.owner]
        done = (~open_).nonzero()[:, 0]
        self._floor = self._floor.scatter_reduce(0, leaves.owner[done], leaves.value[done], "amax")
        self._leaves = leaves.take(open_.nonzero()[:, 0])
        return torch.maximum(target, self._floor)

    def run(self, owner: Tensor, most: int, deadline: float) -> None:
        """Search for objectives (numbers), splitting at most ``most`` parts for each, or until the deadline."""
        new = owner[~self._started[owner]]
        if len(new):
            self._start(new, deadline)
        budget = torch.zeros(2 * self._n, dtype=torch.int64)
        budget[owner] = most
        while self._leaves is not None:
            target = self._settle()
            at = (budget[self._leaves.owner] > 0).nonzero()[:, 0]
            if not len(at) or time.monotonic() >= deadline:
                return
            picked = at[_worst(self._leaves.take(at), _ROWS // 2)]
            rest = torch.ones(len(self._leaves), dtype=torch.bool)
            rest[picked] = False
            batch = self._leaves.take(picked)
            self._leaves = self._leaves.take(rest.nonzero()[:, 0])
            budget.index_add_(0, batch.owner, torch.full_like(batch.owner, -1))
            self._split(batch, target, deadline)

    def _split(self, batch: Leaves, target: Tensor, deadline: float) -> None:
        """Both halves of every part; parts without an open feature are as good as they get."""
        goal = target[batch.owner]

        def objective(rows: Tensor) -> Objective:
            return self._objective(batch.owner[rows], torch.float32, goal[rows])

        feature, splittable = choose_split(self._light, objective, batch.side, batch.choice(), _LOOK_AHEAD)
        stuck, rows = (~splittable).nonzero()[:, 0], splittable.nonzero()[:, 0]
        self._floor = self._floor.scatter_reduce(0, batch.owner[stuck], batch.value[stuck], "amax")
        if not len(rows):
            return
        halves = []
        for half in (LEFT, RIGHT):
            one = batch.take(rows)
            at = torch.arange(len(rows)), feature[rows]
            one.side[at] = half
            one.beta[at] = 0.0
            halves.append(one)
        self._push(self._bound(Leaves.concatenate(halves), _STEPS, target, deadline))


def _worst(leaves: Leaves, most: int) -> Tensor:
    """Rows: of every owner the part with the largest bound, then the second, until there are enough."""
    order = leaves.value.argsort(descending=True, stable=True)
    by_owner = order[leaves.owner[order].argsort(stable=True)]
    owner = leaves.owner[by_owner]
    first = torch.ones(len(owner), dtype=torch.bool)
    first[1:] = owner[1:] != owner[:-1]
    position = torch.arange(len(owner))
    rank = position - torch.cummax(torch.where(first, position, 0), 0).values
    return by_owner[rank.argsort(stable=True)[:most]]


def refine_by_splits(
    graph: Graph, region: Region, most: int, deadline: float, log: Callable[..., None] | None = None
) -> Region:
    """Tighten the ranges of a region of one row on a piecewise linear graph, layer by layer, until the deadline."""
    behind = behind_activations(graph)
    for k, index in enumerate(graph.activations):
        if not behind[graph.nodes[index].operands[0]]:
            continue
        low, high = region.range_lower[k].clone(), region.range_upper[k].clone()
        which = ((low[0] < 0) & (high[0] > 0)).nonzero()[:, 0]
        if not len(which):
            continue
        begun = time.process_time()
        part = prefix(graph, region, k, which)
        search = EndSearch(part.graph, part.region, low[0, part.feature], high[0, part.feature])
        n = len(part.feature)
        wanted = torch.isin(part.feature, which)
        # Ends on the side of 0 where no value was seen: when they are pulled over it, the other end does not matter.
        for stage in range(2):
            false = search.attained < 0; true = torch.ones_like(false)
            owner = (wanted.repeat(2) & ~search.closed & (false if stage == 0 else ~false | true)).nonzero()[:, 0]
            if len(owner):
                search.run(owner, most, deadline)
            if log:
                log("  layer", k, "stage", stage, "ends", len(owner), "of", 2 * n, "open left", int((~search.closed).sum()) // 2,
                    "seen both", int(((search.attained[:n] > 0) & (search.attained[n:] > 0)).sum()),
                    "width", round(float((search.bound[:n] + search.bound[n:])[~search.closed[:n]].mean()), 3),
                    "true width", round(float((search.attained[:n] + search.attained[n:])[~search.closed[:n]].mean()), 3),
                    "count", search.count, "t", round(time.process_time() - begun, 2))
        high[0, part.feature] = torch.minimum(high[0, part.feature], search.bound[:n])
        low[0, part.feature] = torch.maximum(low[0, part.feature], -search.bound[n:])
        region = propagate_intervals(graph, region.with_range(k, low, high))
        if time.monotonic() >= deadline:
            break
    return region
