"""What activations of pairs of neighbouring features share."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.operators.base import Activation
from netproof.operators.hulls.pair_hull import paired

if TYPE_CHECKING:
    from jaxtyping import Float
    from typing_extensions import Self


class Pair(Activation):
    """``h = f(x, y)`` for every pair of neighbouring features ``(x, y)``; the result is ``(h, h)``.

    No function of one feature: what it makes of a feature depends on its neighbour. That both
    features of a pair have the same image keeps multipliers, ranges and splits what they are everywhere, one of
    each for a feature. A map that reads it takes half of either.

    :meth:`evaluate` rounds each image once; :meth:`output_range` is outward safe.
    """

    coupled = True

    @abstractmethod
    def of(self, x: Tensor, y: Tensor) -> Tensor:
        """The function itself, rounded once."""

    @abstractmethod
    def image(self, corners: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Ends of the images ``[..., n]`` on ranges ``[..., 2 n]`` that hold something, ``corners`` being ``f`` at theirs, ``[4, ..., n]``."""

    @abstractmethod
    def divisible(self, inside: Tensor) -> Tensor:
        """Which features may be split, ``[..., 2 n]``, of those with a point ``inside`` their ranges."""

    def to(self, dtype: torch.dtype, device: torch.device) -> Self:
        return self

    def evaluate(self, a: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        image = self.of(a[..., 0::2], a[..., 1::2])
        return paired(image, image)

    def output_range(
        self, lower: Float[Tensor, "*S"], upper: Float[Tensor, "*S"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        corners = torch.stack([self.of(x[..., 0::2], y[..., 1::2]) for x in (lower, upper) for y in (lower, upper)])
        low, high = self.image(corners, lower, upper)
        empty = (lower > upper)[..., 0::2] | (lower > upper)[..., 1::2]
        low, high = torch.where(empty, torch.inf, low), torch.where(empty, -torch.inf, high)
        return paired(low, low), paired(high, high)

    def split_point(
        self, near: Float[Tensor, "*#S"], lower: Float[Tensor, "*#S"], upper: Float[Tensor, "*#S"]
    ) -> Float[Tensor, "*S"]:
        """``near``, but at least a tenth of the range away from its ends; NaN for what is not :meth:`divisible`."""
        margin = (upper - lower) / 10
        point = torch.maximum(torch.minimum(near, upper - margin), lower + margin)
        return torch.where(self.divisible((lower < point) & (point < upper)), point, torch.nan)

    def surrogate(self, a: Float[Tensor, "*S"], hardness: float) -> Float[Tensor, "*S"]:
        """The function itself."""
        return self.evaluate(a)

    def select(self, features: Tensor, size: int) -> Self:
        """The same on some pairs: ``features`` hold both of a pair or none (:meth:`closed`)."""
        return self

    def closed(self, features: Tensor, size: int) -> Tensor:
        first = torch.unique(features // 2) * 2
        return paired(first, first + 1)

    def below(self, split: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return split


def widened(corners: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest of numbers that were rounded once, ``[4, ...]``, outward safe."""
    kind = torch.finfo(corners.dtype)
    size = corners.abs() * kind.eps + kind.tiny
    return (corners - size).amin(0), (corners + size).amax(0)
