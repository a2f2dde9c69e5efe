"""Looking for witnesses of a query over the real numbers: gradient ascent, and points that bounds propose."""

from __future__ import annotations

import time
from typing import Protocol

import torch
from torch import Tensor

from netproof.attack.ball import BallSteps
from netproof.attack.gradient import ascend
from netproof.attack.replay import Replayer
from netproof.conditions.conditions import Conditions
from netproof.effort.real import REAL_ATTACK
from netproof.graph.graph import Graph
from netproof.query import Query, Witness


class PointAttack(Protocol):
    """Whatever tries points that bounds propose."""

    def try_points(self, x: Tensor, case: Tensor) -> Witness | None:
        """Points ``[B, n]`` that bounds propose for cases ``[B]``: a witness, if one of them is."""


class FloatAttack:
    """Attacks on one query.

    Parameters
    ----------
    query : the query
    constraints : its cases, float64
    seed : of random starts, which are drawn on the CPU, so that they are the same everywhere
    device : where the network is evaluated on the way; what is found is replayed on the CPU
    """

    def __init__(self, query: Query, constraints: Conditions, seed: int, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._graph: Graph = query.network.graph.to(torch.float32, device)
        self._constraints = constraints.to(torch.float32, device)
        #: of every case the size of its thresholds
        self._size = 1 + constraints.threshold.float().abs().amax(1)
        self._replayer = Replayer(query)
        self._lower, self._upper = self._replayer.lower, self._replayer.upper
        self._ball = BallSteps.of(query, self._device)
        self._generator = torch.Generator().manual_seed(seed)

    @property
    def lower(self) -> Tensor:
        """``[n_input]`` float32, where the box of points to try begins."""
        return self._lower

    def ascend(self, case: Tensor, restarts: int, steps: int, deadline: float) -> Witness | None:
        """Gradient ascent towards each of the cases, from the centre and from random points; the nearest cases come first
        where it is not all of them at once."""
        if not self._replayer.possible:
            return None
        at_once = REAL_ATTACK.batch.rows(self._graph, REAL_ATTACK.kept * restarts)
        if len(case) > at_once:
            case = self.nearest_first(case)
        for some in torch.split(case, at_once):
            witness = self._ascend(some, restarts, steps, deadline)
            if witness is not None or time.monotonic() >= deadline:
                return witness
        return None

    def nearest_first(self, case: Tensor) -> Tensor:
        """The cases by what the centre of the box lacks for each of them."""
        x = ((self._lower + self._upper) / 2)[None].to(self._device)
        with torch.no_grad():
            y = self._graph.evaluate(x).expand(len(case), -1)
            margin = self._constraints.margins(x.expand(len(case), -1), y, case.to(self._device)).amin(-1)
        return case[(margin.cpu() / self._size[case]).argsort(descending=True, stable=True)]

    def _ascend(self, case: Tensor, restarts: int, steps: int, deadline: float) -> Witness | None:
        towards = case.repeat_interleave(restarts)
        towards_there = towards.to(self._device)
        spread = torch.rand(len(towards), len(self._lower), generator=self._generator, dtype=torch.float32)
        spread[::restarts] = 0.5
        start = self._lower + spread * (self._upper - self._lower)
        start = torch.minimum(torch.maximum(start, self._lower), self._upper)
        x, margin = ascend(
            self._graph,
            self._lower.to(self._device),
            self._upper.to(self._device),
            start.to(self._device),
            lambda points, outputs: self._constraints.margins(points, outputs, towards_there),
            steps,
            deadline,
            self._ball,
        )
        return self._replay(x.cpu(), margin.cpu(), towards)

    def try_points(self, x: Tensor, case: Tensor) -> Witness | None:
        """Points ``[B, n]`` that bounds propose for cases."""
        if not self._replayer.possible:
            return None
        x = torch.minimum(torch.maximum(x.float(), self._lower), self._upper)
        if self._ball is not None:
            x = self._ball.back(x.to(self._device)).cpu()
        there = x.to(self._device)
        with torch.no_grad():
            margin = self._constraints.margins(there, self._graph.evaluate(there), case.to(self._device)).amin(-1)
        return self._replay(x, margin.cpu(), case)

    def _replay(self, x: Tensor, margin: Tensor, case: Tensor) -> Witness | None:
        near = (margin >= -REAL_ATTACK.near * self._size[case]).nonzero()[:, 0]
        best = near[margin[near].argsort(descending=True)[: REAL_ATTACK.replays]]
        return self._replayer.first(x[best]) if len(best) else None


class PartAttack:
    """Points of some inputs, which are all that matter; the others are where their box begins.

    Parameters
    ----------
    whole : the attack on all inputs
    features : ``[n]`` int64, the inputs that points are of
    """

    def __init__(self, whole: FloatAttack, features: Tensor) -> None:
        self._whole, self._features = whole, features

    def try_points(self, x: Tensor, case: Tensor) -> Witness | None:
        """Points ``[B, n]`` of the part that bounds propose for cases ``[B]``."""
        points = self._whole.lower.to(x.dtype).repeat(len(x), 1)
        points[:, self._features] = x
        return self._whole.try_points(points, case)
