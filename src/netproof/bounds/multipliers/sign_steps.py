"""Alpha- and beta-CROWN: Adam on the multipliers of unstable features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.loops.point import SignPoint
from netproof.bounds.multipliers.adam import ByAutograd, Until, minimize
from netproof.bounds.multipliers.signs import WHOLE, SignDual
from netproof.bounds.objective import Objective
from netproof.effort.bounding import PAIR, SIGN_STEPS
from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Float, Int8, Int64


#: the objective of rows (indices) under weights ``[B, m]`` of their constraints, all of it where the dual is
Mixed = Callable[[Tensor, Tensor], Objective]


@dataclass(frozen=True, eq=False)
class Choice(Rows):
    """What is chosen for every row.

    Attributes
    ----------
    alpha, beta : ``[B, m]`` (:meth:`netproof.bounds.multipliers.signs.SignDual.bound`)
    theta : ``[B, c]``, logarithms of the weights of constraints, up to a constant
    """

    alpha: Float[Tensor, "B m"]
    beta: Float[Tensor, "B m"]
    theta: Float[Tensor, "B c"]

    @classmethod
    def first(cls, dual: SignDual, rows: int, constraints: int = 1) -> Choice:
        """CROWN's slopes, no prices, and equal weights of so many constraints, for every row; on the CPU."""
        alpha = dual.crown_alpha().cpu().expand(rows, -1).clone()
        return cls(alpha, torch.zeros_like(alpha), alpha.new_zeros(rows, constraints))

    @property
    def weight(self) -> Float[Tensor, "B c"]:
        return torch.softmax(self.theta, -1)

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.alpha, self.beta, self.theta


def optimize_signs(
    dual: SignDual,
    mixed: Mixed,
    side: Int8[Tensor, "B m"],
    start: Choice,
    until: Until,
    begun: SignPoint | None = None,
) -> tuple[Choice, Float[Tensor, " B"]]:
    """Lower the bounds of a batch by Adam, on the dual's device; ``begun`` are those at the start, where they are known.

    Returns the best choice of each row and its bound, ``[B]``, on the device that ``side`` is on.
    """
    home, side, start = side.device, side.to(dual.device), start.to(start.alpha.dtype, dual.device)
    if not start.alpha.shape[1] and start.theta.shape[1] == 1:
        until = replace(until, steps=0)  # there is nothing to choose
    best, value = minimize(_Signs(dual, mixed, (side, start), begun), SIGN_STEPS.rates, until)
    return Choice(*best).to(value.dtype, home), value.to(home)


class _Signs(ByAutograd):
    """``alpha``, ``beta`` and ``theta`` of a choice."""

    def __init__(
        self, dual: SignDual, mixed: Mixed, parts: tuple[Int8[Tensor, "B m"], Choice], begun: SignPoint | None = None
    ) -> None:
        side, start = parts
        super().__init__(start.parts, PAIR.lengths if dual.pairs else SIGN_STEPS.lengths)
        self._scaled, self._begun = False, begun
        self._dual, self._mixed, self._side = dual, mixed, side
        self._rows = torch.arange(len(side), device=side.device)
        #: between what beta is kept; at least 0 where nothing is added to slopes
        self._between: tuple[Tensor, Tensor] | None = None
        if dual.pairs:
            least, most = dual.raises
            split = side != WHOLE
            self._between = least.where(~split, 0.0), most.where(~split, torch.inf)

    def needed(self) -> tuple[bool, bool, bool]:
        beta = self._between is not None or bool((self._side != WHOLE).any())
        return True, beta, self.parameters[2].shape[1] > 1

    def bound(self, *, onward: bool) -> Float[Tensor, " B"]:
        passing = self._dual.passing
        if passing is None or self.parameters[2].shape[1] > 1:
            return super().bound(onward=onward)
        alpha, beta, theta = self.parameters
        point, self._begun = self._begun, None
        if point is None or point.handed is None:
            point = passing.bound(self._mixed(self._rows, torch.ones_like(theta)), self._side, alpha, beta)
        if not self._scaled:
            self._scale(point.v)
        if onward:
            self._gradient = [*passing.gradient(point, self._side, alpha, beta), None]
        return point.value

    def value(self, parameters: Sequence[Float[Tensor, "B _"]]) -> Float[Tensor, " B"]:
        alpha, beta, theta = parameters
        point = self._dual.bound(self._mixed(self._rows, torch.softmax(theta, -1)), self._side, alpha, beta)
        if not self._scaled:
            self._scale(point.v.detach())
        return point.value

    def _scale(self, v: Float[Tensor, "#B m"]) -> None:
        """Steps of prices are as large as what arrives at features asks for: both have the objective's unit."""
        self._scaled = True
        if not v.shape[1]:
            return
        length = self.lengths[1] * v.abs().amax(1, keepdim=True).expand(len(self._side), 1)
        if self._between is not None:
            length = torch.where(self._side == WHOLE, PAIR.raising, length)
        self.lengths[1] = length

    def project(self) -> None:
        alpha, beta, theta = self.parameters
        alpha = torch.minimum(torch.maximum(alpha, self._dual.left), self._dual.right)
        if self._between is None:
            beta = beta.clamp(min=0)
        else:
            beta = torch.minimum(torch.maximum(beta, self._between[0]), self._between[1])
        self.parameters = [alpha, beta, theta]

    def take(self, rows: Int64[Tensor, " _"]) -> None:
        super().take(rows)
        if self._between is not None:
            self._between = self._between[0][rows], self._between[1][rows]
        self._rows, self._side = self._rows[rows], self._side[rows]
