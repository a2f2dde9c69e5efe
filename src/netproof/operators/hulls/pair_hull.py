"""Hulls of functions of two neighbouring features, whose bound is a plane and how far it is off."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.hulls.hull import Hull
from netproof.operators.sums import feature_sum
from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Float


def paired(first: Tensor, second: Tensor) -> Tensor:
    """Features that take turns: ``[..., n]`` twice to ``[..., 2 n]``."""
    return torch.stack([first, second], -1).flatten(-2)


@dataclass(frozen=True, eq=False)
class PairHull(Rows, Hull):
    """Hull of ``(x, y) -> (f(x, y), f(x, y))`` over ranges of neighbouring features, ``[..., 2 n]``."""

    lower: Tensor
    upper: Tensor

    @property
    @abstractmethod
    def plane(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Coefficients of ``x`` and ``y``, a constant, and how far ``f`` is off from their sum at most, rigorously: ``[..., n]``."""

    def slope(self, v: Float[Tensor, "*#S"], at: Float[Tensor, "*#S"] | None = None) -> Float[Tensor, "*#S"]:
        """The plane's coefficients, wherever ``at`` is.

        Times what a feature received, of which its neighbour received as much.
        """
        of_x, of_y, _, _ = self.plane
        return 2 * paired(of_x, of_y).expand((v + self.lower).shape)

    def relax(self, v: Float[Tensor, "#B n"]) -> tuple[Float[Tensor, "B n"], Float[Tensor, " B"]]:
        return _relaxed(v, *self.plane)

    def relax_rows(self, v: Float[Tensor, "B R n"]) -> tuple[Float[Tensor, "B R n"], Float[Tensor, "B R"]]:
        return _relaxed(v, *(part[:, None] for part in self.plane))

    def superlevel(
        self, v: Float[Tensor, "*#S"], s: Float[Tensor, "*#S"], cut: Float[Tensor, "*#S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        """All of the range: nothing is proposed."""
        shape = (v + s + cut + self.lower).shape
        return self.lower.expand(shape), self.upper.expand(shape)


def _relaxed(v: Tensor, of_x: Tensor, of_y: Tensor, constant: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
    weight = v[..., 0::2] + v[..., 1::2]
    value = torch.where(weight == 0, 0.0, weight * constant + weight.abs() * gap)
    return paired(weight * of_x, weight * of_y), feature_sum(value)
