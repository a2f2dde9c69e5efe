"""Planes and pairs that say after a bound what they did in it, for who follows its slope."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netproof.certificate.checker.real.bound import Alone, Floats, Handed
from netproof.certificate.checker.real.curved.bends import Said
from netproof.certificate.checker.real.joint.pairs import Pairs
from netproof.certificate.checker.real.joint.planes import Laid, Planes
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.operators import Array
from netproof.certificate.checker.real.relus import Ranges
from netproof.certificate.real.contents import Integers


class Watched(Planes):
    """Planes of which it is known, after a bound, in which rows they took what arrived."""

    #: rows, places among the planes, and what arrived there
    seen: tuple[Integers, Integers, Floats]

    @staticmethod
    def of(planes: Planes) -> Watched:
        """The same planes."""
        found = Watched(planes.feature, planes.offset, planes.reach, planes.onto)
        found.forget()
        return found

    def forget(self) -> None:
        """They took nothing: before a bound, which may not come to their ReLU."""
        none = np.zeros(0, np.int64)
        object.__setattr__(self, "seen", (none, none, np.zeros(0)))

    def laid(self, numbers: Float64, v: Array, ranges: Ranges) -> Laid:
        """As the checker does it."""
        found = super().laid(numbers, v, ranges)
        before, after = v[:, self.feature], found[0][:, self.feature]
        row, at = np.nonzero(before != after)
        object.__setattr__(self, "seen", (row, at, before[row, at]))
        return found

    def lift(self, values: list[Floats]) -> None:
        """Put the planes' heights in the place of the last one of the values of all nodes, where they took what arrived."""
        row, at, _ = self.seen
        values[-1][row, self.feature[at]] = self._heights(values, len(values[-1]))[row, at]

    def _heights(self, values: Sequence[Floats], rows: int) -> Floats:
        height = np.zeros((rows, len(self.feature))) + self.offset
        for node, one in self.onto.items():
            order = np.argsort(one.row, kind="stable")
            row, start = np.unique(one.row[order], return_index=True)
            products = values[node][:, one.columns[order]] * one.value[order]
            height[:, row] += np.add.reduceat(products, start, 1)
        return height


class WatchedPairs(Pairs):
    """Pairs of which it is known, after a bound, what arrived, and at which corners the largest shares were."""

    #: what arrived at members, ``[R, 2 P]``, and both operands at the corners, ``[R, 2 P]``
    seen: tuple[Floats, Floats] | None

    @staticmethod
    def of(pairs: Pairs) -> WatchedPairs:
        """The same pairs."""
        found = WatchedPairs(pairs.member, pairs.corner)
        found.forget()
        return found

    def forget(self) -> None:
        """Before a bound, which may not come to their ReLU."""
        object.__setattr__(self, "seen", None)

    def handed(self, numbers: Float64, v: Array, ranges: Ranges, said: Said, alone: Alone) -> Handed:
        """As the checker does it."""
        found, columns = super().handed(numbers, v, ranges, said, alone), self.member.reshape(-1)
        low, high = (ranges.each(x[:, columns]) for x in (ranges.low, ranges.high))
        corner, share, _ = self.shares(numbers, v[:, columns], found[0][:, columns], low, high)
        best = np.take_along_axis(corner, share.argmax(2)[:, :, None, None], 2)[:, :, 0]
        object.__setattr__(self, "seen", (v[:, columns], np.moveaxis(best, 2, 1).reshape(len(v), -1)))
        return found
