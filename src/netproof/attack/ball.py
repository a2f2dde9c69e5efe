"""Steps of an attack in a ball of another norm than the maximum's, and the way back into it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.deciding.ball import BallMaximum
from netproof.bounds.region import Region
from netproof.effort.real import REAL_ATTACK
from netproof.graph.graph import Arithmetic
from netproof.query import Query

#: no divisor is smaller
_TINY = 1e-30
#: what a whole move may lack for rounding
_NEARLY = 1e-3


@dataclass(frozen=True, eq=False)
class BallSteps:
    """A ball for points in float32.

    Attributes
    ----------
    norm : ``l1`` or ``l2``
    center, weight : ``[n]`` float32
    radius : a little less than the one that is meant, so that rounding leads nowhere outside
    """

    norm: str
    center: Tensor
    weight: Tensor
    radius: float

    @classmethod
    def of(cls, query: Query, device: torch.device | str = "cpu") -> BallSteps | None:
        """The ball of a query; None where it has none."""
        ball = query.ball
        if ball is None:
            return None
        center, weight = (
            torch.tensor([float(value) for value in part], dtype=torch.float32, device=device)
            for part in (ball.center, ball.weight)
        )
        # Whole numbers do not round.
        inside = 0.0 if query.network.graph.arithmetic is Arithmetic.INTEGER else REAL_ATTACK.inside
        return cls(ball.norm, center, weight, float(ball.radius) * (1 - inside))

    def of_inputs(self, kept: Tensor) -> BallSteps:
        """The same for some of the inputs, the others at the center."""
        return BallSteps(self.norm, self.center[kept], self.weight[kept], self.radius)

    def step(self, gradient: Tensor) -> Tensor:
        """The move of the length of the radius that gains most, for gradients ``[B, n]``.

        In ``l1`` that would be a move of one coordinate; a few share it, so that steps get around the ends of a box.
        """
        pull = gradient / self.weight
        if self.norm == "l2":
            return pull * (self.radius / pull.square().sum(-1, keepdim=True).sqrt().clamp(min=_TINY)) / self.weight
        most = min(REAL_ATTACK.sparse, pull.shape[-1])
        size, chosen = pull.abs().topk(most, -1)
        share = torch.where(size > 0, self.radius / most, 0.0)
        return torch.zeros_like(pull).scatter(-1, chosen, share * pull.gather(-1, chosen).sign()) / self.weight

    def whole(self, v: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        """Points where ``v . x`` is about the largest between two ends ``[n]``, moved from a center of whole numbers by whole ones."""
        maximum = BallMaximum(self.norm, self.center, self.weight, self.radius)
        moves = maximum.at(v, Region(lower[None], upper[None], (), ())) - self.center
        return self.center + moves.sign() * (moves.abs() + _NEARLY).floor()

    def back(self, x: Tensor) -> Tensor:
        """The nearest points of the ball for points ``[B, n]``.

        In ``l1`` all moves shrink by one number (J. Duchi et al., *Efficient projections onto the l1-ball*, ICML 2008). What
        was between the ends of a box that holds the center is so afterwards.
        """
        moves = (x - self.center) * self.weight
        if self.norm == "l2":
            length = moves.square().sum(-1, keepdim=True).sqrt()
            return self.center + (x - self.center) * (self.radius / length.clamp(min=_TINY)).clamp(max=1)
        size = moves.abs()
        order = size.sort(-1, descending=True).values
        over = (order.cumsum(-1) - self.radius) / torch.arange(1, size.shape[-1] + 1, device=x.device)
        last = (order > over).sum(-1, keepdim=True).clamp(min=1)
        less = over.gather(-1, last - 1).clamp(min=0)
        return self.center + moves.sign() * (size - less).clamp(min=0) / self.weight
