"""Parts of a region that wait to be split, each for one of many objectives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
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
    value : ``[B]`` float64, a proven bound of the owner's objective on this part
    """

    owner: Tensor
    side: Tensor
    alpha: Tensor
    beta: Tensor
    value: Tensor

    def __len__(self) -> int:
        return len(self.owner)

    @property
    def parts(self) -> tuple[Tensor, ...]:
        return self.owner, self.side, self.alpha, self.beta, self.value

    def choice(self) -> Choice:
        return Choice(self.alpha, self.beta, self.alpha.new_zeros(len(self), 1))


class Pool:
    """Leaves that come and go without moving the others: slots that are used again.

    Parameters
    ----------
    features : ``m``
    """

    def __init__(self, features: int) -> None:
        self._store = Leaves(
            torch.zeros(0, dtype=torch.int64),
            torch.zeros(0, features, dtype=torch.int8),
            torch.zeros(0, features, dtype=torch.float32),
            torch.zeros(0, features, dtype=torch.float32),
            torch.zeros(0, dtype=torch.float64),
        )
        self._used = torch.zeros(0, dtype=torch.bool)
        self._row_bytes = 16 + 9 * features
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def bytes(self) -> int:
        """What the leaves that are there occupy."""
        return self._count * self._row_bytes

    def push(self, leaves: Leaves) -> None:
        missing = self._count + len(leaves) - len(self._used)
        if missing > 0:
            more = max(missing, len(self._used))
            grown = (torch.cat([part, part.new_zeros(more, *part.shape[1:])]) for part in self._store.parts)
            self._store = Leaves(*grown)
            self._used = torch.cat([self._used, torch.zeros(more, dtype=torch.bool)])
        slots = (~self._used).nonzero()[: len(leaves), 0]
        for kept, part in zip(self._store.parts, leaves.parts, strict=True):
            kept[slots] = part
        self._used[slots] = True
        self._count += len(leaves)

    def waiting(self) -> tuple[Tensor, Tensor, Tensor]:
        """Slots in use, with the owners and the values there."""
        slots = self._used.nonzero()[:, 0]
        return slots, self._store.owner[slots], self._store.value[slots]

    def read(self, slots: Tensor) -> Leaves:
        return self._store.take(slots)

    def remove(self, slots: Tensor) -> None:
        """Free slots in use, each named once."""
        self._used[slots] = False
        self._count -= len(slots)
