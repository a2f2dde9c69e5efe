"""Witnesses nearer to the center of a ball, from one that is known.

From a point beyond the boundary of a class two directions lead to nearer ones: straight to the center, and along the boundary, to where
the gradient there says that a point of the center's own ball gains most (as the minimum-norm attacks of S.-M. Moosavi-Dezfooli et
al., *DeepFool*, CVPR 2016, and of F. Croce and M. Hein, *Minimally distorted adversarial examples with a fast adaptive boundary
attack*, ICML 2020). Points between the two lie in the same ball, so that each round tries smaller balls and several mixtures, all at
once, and goes on from the nearest that still is a witness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import torch
from torch import Tensor

from netproof.attack.corners import Goal, received_at, surrogate_values
from netproof.attack.replay import Replayer
from netproof.bounds.deciding.ball import BallMaximum
from netproof.bounds.region import Region
from netproof.conditions.conditions import Conditions
from netproof.conditions.order import conditions_of
from netproof.effort.integer import INTEGER_ATTACK
from netproof.effort.questions import NEARER
from netproof.effort.real import REAL_ATTACK
from netproof.graph.graph import Arithmetic
from netproof.processes import clock
from netproof.property import Ball
from netproof.query import Query, Witness

#: what a whole move may lack for rounding
_NEARLY = 1e-3


class _Side(Protocol):
    """What is beyond the boundary.

    Attributes
    ----------
    rows : points that are evaluated at once, at the most
    """

    rows: int

    def holds(self, x: Tensor) -> Tensor:
        """Which of the points ``[B, n]`` are, or seem to be, witnesses: ``[B]`` bool."""
        ...

    def pulls(self, x: Tensor) -> Tensor:
        """Directions further in from a witness ``[n]``: ``[P, n]``."""
        ...

    def rounded(self, center: Tensor, x: Tensor) -> Tensor:
        """Points that inputs can be, no further from the center."""
        ...

    def witness(self, x: Tensor) -> Witness | None:
        """A point as it is reported, replayed; None where it is no witness after all."""
        ...


@dataclass(frozen=True, eq=False)
class Nearer:
    """Looks for nearer witnesses around one image.

    Attributes
    ----------
    query : about all that inputs can be
    ball : its center and weights are what distances are measured by; whatever its radius
    """

    query: Query
    ball: Ball

    def distance(self, witness: Witness) -> Fraction:
        """What witnesses are compared by: how far one is from the center, in l2 squared; exactly."""
        return self.ball.measure(witness.numbers)

    def of(self, witness: Witness, deadline: float = math.inf) -> Witness:
        """The nearest witness that comes of one that is known, itself if none does."""
        start = torch.tensor([float(value) for value in witness.numbers], dtype=torch.float64)
        side = _side(self.query, start)
        if side is None:
            return witness
        # Nothing that seemed to be a witness has to be one: the last that is counts.
        for point in reversed(self._descend(side, start, deadline)):
            found = side.witness(point)
            if found is not None:
                return found
        return witness

    def _descend(self, side: _Side, start: Tensor, deadline: float) -> list[Tensor]:
        """Points nearer and nearer that seem to be witnesses."""
        center, weight = (
            torch.tensor([float(value) for value in part], dtype=torch.float64)
            for part in (self.ball.center, self.ball.weight)
        )
        region = Region(self.query.lower[None].double(), self.query.upper[None].double(), (), ())
        found: list[Tensor] = []
        x, size, less = start, float(self._size(weight * (start - center))), NEARER.less
        for _ in range(NEARER.rounds):
            if size <= 0 or less < NEARER.least or clock.now() >= deadline:
                break
            pulls = side.pulls(x)
            points = []
            for share in torch.linspace(1 - less, 1, NEARER.radii, dtype=torch.float64).tolist():
                least = BallMaximum(self.ball.norm, center, weight, share * size)
                ahead = least.at(pulls, region) - center
                straight = share * (x - center)
                points += [center + straight + mix * (ahead - straight) for mix in NEARER.mixtures]
            near = torch.minimum(torch.maximum(side.rounded(center, torch.cat(points)), region.lower), region.upper)
            sizes = self._size(weight * (near - center))
            near, sizes = near[sizes < size], sizes[sizes < size]
            order = sizes.argsort()
            first = _first(side, near[order], deadline)
            if first is None:
                less /= NEARER.finer
                continue
            x, size = near[order[first]], float(sizes[order[first]])
            found.append(x)
        return found

    def _size(self, moves: Tensor) -> Tensor:
        return moves.abs().sum(-1) if self.ball.norm == "l1" else moves.square().sum(-1).sqrt()


def _first(side: _Side, x: Tensor, deadline: float) -> int | None:
    """Where the first of the points ``[B, n]`` is that seems to be a witness; None where none is that was looked at."""
    begin = 0
    for part in torch.split(x, side.rows):
        hits = side.holds(part)
        if bool(hits.any()):
            return begin + int(hits.to(torch.uint8).argmax())
        begin += len(part)
        if clock.now() >= deadline:
            return None
    return None


def _side(query: Query, start: Tensor) -> _Side | None:
    """The side of the boundary on which a witness ``[n]`` lies; None where it is none of these numbers."""
    y = query.network.graph.evaluate(start)
    met = [k for k, conjunction in enumerate(query.condition) if bool(conjunction.holds(y, start))]
    if query.network.graph.arithmetic is Arithmetic.INTEGER:
        return _Whole(query, conditions_of(query.network.graph, query.condition), met[0]) if met else None
    # A witness in float32 may be just outside in float64; of the cases the nearest is meant.
    cases = Conditions.of(query.network.graph, query.condition)
    every = torch.arange(len(cases))
    lacking = cases.margins(start.expand(len(every), -1), y.expand(len(every), -1), every).amin(-1)
    return _Real(query, cases, met[0] if met else int(lacking.argmax()))


class _Whole:
    """Of a network over the integers, on its own numbers."""

    def __init__(self, query: Query, goal: Goal, case: int) -> None:
        self._query, self._goal, self._case = query, goal, case
        self._graph = query.network.graph.to(torch.float32)
        self.rows = INTEGER_ATTACK.replayed.rows(query.network.graph, 1)

    def holds(self, x: Tensor) -> Tensor:
        return self._query.refuted_by(x)

    def pulls(self, x: Tensor) -> Tensor:
        # Which of the goal's directions, and how wide slopes are, decides where pulls lead: some of each.
        widths = torch.tensor(NEARER.widths, dtype=torch.float32).repeat(NEARER.directions)[:, None]
        start = torch.arange(NEARER.directions).repeat_interleave(len(NEARER.widths))
        points = x.float().expand(len(start), -1)
        pull = {node: v.float() for node, v in self._goal.gradient(torch.full_like(start, self._case), start).items()}
        return received_at(self._graph, 0, pull, surrogate_values(self._graph, points, 0.0), widths).double()

    def rounded(self, center: Tensor, x: Tensor) -> Tensor:
        moves = x - center
        return center + moves.sign() * (moves.abs() + _NEARLY).floor()

    def witness(self, x: Tensor) -> Witness | None:
        if not bool(self._query.refuted_by(x)):
            return None
        return Witness(x.to(torch.int64), self._query.network.graph.evaluate(x).to(torch.int64))


class _Real:
    """Of a network over the real numbers, in float32."""

    def __init__(self, query: Query, cases: Conditions, case: int) -> None:
        self._graph = query.network.graph.to(torch.float32)
        self._cases, self._case = cases.to(torch.float32), case
        self._replayer = Replayer(query)
        self.rows = REAL_ATTACK.batch.rows(self._graph, 1)

    def _margin(self, x: Tensor) -> Tensor:
        return self._cases.margins(
            x, self._graph.evaluate(x), torch.full((len(x),), self._case, dtype=torch.int64)
        ).amin(-1)

    def holds(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self._margin(x.float()) >= 0

    def pulls(self, x: Tensor) -> Tensor:
        point = x.float()[None].requires_grad_(True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self._margin(point).sum(), point)
        return gradient.double()

    def rounded(self, center: Tensor, x: Tensor) -> Tensor:
        return x

    def witness(self, x: Tensor) -> Witness | None:
        return self._replayer.first(x[None])
