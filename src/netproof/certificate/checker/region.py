"""Sets of inputs: boxes with ranges for the operands of activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Cuts:
    """New ends of intervals: lower ends (``side`` 0) and upper ends (1).

    Cut ``i`` is one of set ``node[i]`` of a region, at a feature of activation ``activation[i]``, counted from 1; 0 is
    the box, -1 stands for no cut at all. All ``[T]`` int64, ``end`` float64.
    """

    node: Tensor
    activation: Tensor
    feature: Tensor
    side: Tensor
    end: Tensor

    def __len__(self) -> int:
        return len(self.node)

    def take(self, at: Tensor) -> Cuts:
        return Cuts(self.node[at], self.activation[at], self.feature[at], self.side[at], self.end[at])

    @staticmethod
    def concatenate(*parts: Cuts) -> Cuts:
        return Cuts(
            torch.cat([p.node for p in parts]),
            torch.cat([p.activation for p in parts]),
            torch.cat([p.feature for p in parts]),
            torch.cat([p.side for p in parts]),
            torch.cat([p.end for p in parts]),
        )


@dataclass(frozen=True, eq=False)
class Region:
    """``N`` sets of inputs: those of a box at which every activation's operand lies in a range.

    Attributes
    ----------
    lower, upper : ``[N, n_input]``, or ``[1, n_input]`` where all of them share one box
    low, high : one ``[N, n_k]`` per activation
    shared : whether they do
    """

    lower: Tensor
    upper: Tensor
    low: tuple[Tensor, ...]
    high: tuple[Tensor, ...]
    shared: bool = False

    def __len__(self) -> int:
        return self.low[0].shape[0] if self.low else self.lower.shape[0]

    def take(self, rows: Tensor) -> Region:
        """A selection of the sets, in memory of its own but for a shared box."""
        return Region(
            self.lower if self.shared else self.lower[rows],
            self.upper if self.shared else self.upper[rows],
            tuple(r[rows] for r in self.low),
            tuple(r[rows] for r in self.high),
            self.shared,
        )

    def repeated(self, count: int, *, shared: bool) -> Region:
        """``count`` copies of the only set; ``shared`` leaves them one box (where there are activations)."""
        box = 1 if shared else count
        return Region(
            self.lower.repeat(box, 1),
            self.upper.repeat(box, 1),
            tuple(r.repeat(count, 1) for r in self.low),
            tuple(r.repeat(count, 1) for r in self.high),
            shared,
        )

    @staticmethod
    def concatenate(parts: Sequence[Region]) -> Region:
        """The sets of all parts; a box that one of them shares is that of all."""
        shared = parts[0].shared
        return Region(
            parts[0].lower if shared else torch.cat([p.lower for p in parts]),
            parts[0].upper if shared else torch.cat([p.upper for p in parts]),
            tuple(torch.cat(r) for r in zip(*(p.low for p in parts), strict=True)),
            tuple(torch.cat(r) for r in zip(*(p.high for p in parts), strict=True)),
            shared,
        )

    def restrict(self, cuts: Cuts) -> None:
        """Move ends inwards, in place. They never move outwards, so an interval once empty stays empty."""
        for k, ends in enumerate(zip((self.lower, *self.low), (self.upper, *self.high), strict=True)):
            for side, reduce in enumerate(("amax", "amin")):
                at = ((cuts.activation == k) & (cuts.side == side)).nonzero()[:, 0]
                if len(at):
                    flat = cuts.node[at] * ends[side].shape[1] + cuts.feature[at]
                    ends[side].view(-1).scatter_reduce_(0, flat, cuts.end[at], reduce)

    def empty(self) -> Tensor:
        """``[N]`` bool: sets with an empty interval."""
        empty = (self.lower > self.upper).any(-1)
        for low, high in zip(self.low, self.high, strict=True):
            empty = empty | (low > high).any(-1)
        return empty
