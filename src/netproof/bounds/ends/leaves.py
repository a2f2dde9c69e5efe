"""Parts of a region that wait to be split, each for one of many objectives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from netproof.bounds.multipliers.sign_steps import Choice
from netproof.rows import Rows


@dataclass(frozen=True, eq=False)
class Leaves(Rows):
    """Parts of a region.

    Attributes
    ----------
    owner : ``[B]`` int64, the number of the objective
    side : ``[B, m]`` int8 (:meth:`netproof.bounds.multipliers.signs.SignDual.bound`)
    alpha, beta : ``[B, m]`` float32
    value : ``[B]`` float64, the best bound of the owner's objective on this part, perhaps found in float32: what searches go by
    proven : ``[B]`` float64, a bound of it that is proven, on this part or on one that holds it; ``value`` where that is proven
    """

    owner: Tensor
    side: Tensor
    alpha: Tensor
    beta: Tensor
    value: Tensor
    proven: Tensor

    def __len__(self) -> int:
        return len(self.owner)

    def choice(self) -> Choice:
        return Choice(self.alpha, self.beta, self.alpha.new_zeros(len(self), 1))
