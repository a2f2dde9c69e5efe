"""Multipliers of rows made better, step by step, by the checker's own bound.

The bound is convex in its multipliers ``s``, so that a subgradient says where it falls. By Danskin's theorem it is what the points at
which the maxima are attained leave: one pass forwards, from the box's corner on, with ``max(a, 0) + p (z - a)`` in the place of a ReLU,
where ``a`` attains the feature's maximum and ``z`` arrives; of ``s`` it is ``z - a``. Slopes of lower lines and what is added at features
that were split are moved (Xu et al., ICLR 2021; Wang et al., NeurIPS 2021), by Adam (Kingma and Ba, ICLR 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.bound import NONE, Above, Cells, Evaluation, Floats, Objective, Slopes
from netproof.certificate.checker.real.joint.pairs import Pairs
from netproof.certificate.checker.real.joint.planes import Planes
from netproof.certificate.checker.real.nodes import PRODUCT, RELU
from netproof.certificate.checker.real.operators import Array
from netproof.certificate.checker.real.relus import Ranges, leans
from netproof.certificate.real.contents import Integers
from netproof.certificate.real.grown.bent import attained, near, slopes_of
from netproof.certificate.real.grown.joint.watched import Watched, WatchedPairs

#: steps, how far the first one goes (of slopes, and in parts of what arrives), and by what each is shorter than the one before
_STEPS, _LENGTH, _SHORTER = 30, 0.02, 0.9
#: how Adam forgets
_FIRST, _SECOND = 0.9, 0.999
_PARTS = ("value", "slope", "added", "arriving", "handed")


@dataclass(frozen=True, eq=False)
class Multipliers:
    """Rows of multipliers, all ``[R, features]``, of all ReLUs one after the other.

    Attributes
    ----------
    value : ``[R]``, the bounds
    slope, added : as rows have them; slopes are of all features
    arriving, handed : what arrives at features, ``v``, and the multipliers, ``s``; these are NaN where planes take what arrives
    """

    value: Floats
    slope: Floats
    added: Floats
    arriving: Floats
    handed: Floats

    @staticmethod
    def joined(parts: Sequence[Multipliers]) -> Multipliers:
        """All rows of several."""
        return Multipliers(*(np.concatenate([getattr(one, name) for one in parts]) for name in _PARTS))

    def take(self, rows: Integers) -> Multipliers:
        """Some rows."""
        return Multipliers(*(getattr(self, name)[rows] for name in _PARTS))

    def replaced(self, rows: NDArray[np.bool_], other: Multipliers) -> Multipliers:
        """With some rows of another."""
        at = [rows if name == "value" else rows[:, None] for name in _PARTS]
        mixed = (np.where(w, getattr(other, n), getattr(self, n)) for w, n in zip(at, _PARTS, strict=True))
        return Multipliers(*mixed)


class Descent(Evaluation):
    """A network's bound, and its slope by the multipliers, with planes and pairs of sets."""

    def __init__(self, evaluation: Evaluation, beside: Above = NONE) -> None:
        super().__init__(evaluation.network, evaluation.numbers, evaluation.look)
        self._planes = {k: Watched.of(one) for k, one in beside.items() if isinstance(one, Planes)}
        self._pairs = {k: WatchedPairs.of(one) for k, one in beside.items() if isinstance(one, Pairs)}
        self._begin = np.cumsum([0, *self.network.sizes]).tolist()
        self._kinds = [self.network.nodes[i].bend for i in self.network.bends]

    def started(self, cells: Cells, objective: Objective, slopes: Slopes | None) -> Multipliers:
        """The rows as they are, one for each cell, or any number for one cell."""
        low, high = (np.concatenate(part, 1) for part in (cells.low, cells.high))
        rows = len(objective.constant)
        slope, added = (
            np.tile(np.where(leans(low, high), 1.0, 0.0), (rows // len(low), 1)),
            np.zeros((rows, low.shape[1])),
        )
        for k, size in enumerate(self.network.sizes):
            mine = slice(self._begin[k], self._begin[k] + size)
            if self._kinds[k] != RELU:
                # By the rule, which no number stands for.
                slope[:, mine] = np.nan
            given = None if slopes is None else slopes.lower[k]
            more = None if slopes is None else slopes.added[k]
            if given is not None:
                slope[:, mine] = np.where(np.isnan(given), slope[:, mine], given)
            if more is not None:
                added[:, mine] = more
        return self._at(cells, objective, slope, added)

    def run(
        self,
        cells: Cells,
        objective: Objective,
        start: Multipliers,
        split: NDArray[np.bool_],
        steps: int = _STEPS,
    ) -> Multipliers:
        """The best rows on the way, one for each cell; at features ``split``, ``[R, features]``, something is added."""
        best, added = start, start.added
        low, high = (np.concatenate(part, 1) for part in (cells.low, cells.high))
        is_open, length = (low < 0) & (high > 0), _LENGTH
        # Curves have a slope on either side, and begin with that of the rule.
        ways_open = [
            kind != RELU and np.ones(n, np.bool_) for kind, n in zip(self._kinds, self.network.sizes, strict=True)
        ]
        is_curve = np.concatenate(
            [
                np.zeros(0, np.bool_),
                *(np.broadcast_to(w, n) for w, n in zip(ways_open, self.network.sizes, strict=True)),
            ]
        )
        ends = [slopes_of(*parts) for parts in zip(self._kinds, cells.low, cells.high, strict=True)]
        least, most = (np.concatenate([one[n] for one in ends], 1) for n in range(2))
        begun = start.handed / np.where(start.arriving == 0, np.inf, start.arriving)
        slope = np.where(is_curve & np.isnan(start.slope), np.clip(begun, least, most), start.slope)
        moved: list[tuple[Floats, Floats]] = [(np.zeros(added.shape), np.zeros(added.shape)) for _ in range(2)]
        for step in range(1, steps + 1):
            found, excess = self._moved(cells, objective, slope, added)
            best = best.replaced(found.value < best.value, found)
            v = found.arriving
            scale = abs(v).max(1, keepdims=True, initial=0.0)
            wanted = (np.where(is_open & (v < 0) | is_curve, v * excess, 0.0), np.where(split & ~is_open, excess, 0.0))
            for n, gradient in enumerate(wanted):
                first, second = moved[n]
                moved[n] = _FIRST * first + (1 - _FIRST) * gradient, _SECOND * second + (1 - _SECOND) * gradient**2
            ways = [m / (1 - _FIRST**step) / (np.sqrt(s / (1 - _SECOND**step)) + 1e-30) for m, s in moved]
            slope = np.clip(slope - length * (most - least) * ways[0], least, most)
            added = added - length * scale * ways[1]
            length *= _SHORTER
        found = self._at(cells, objective, slope, added)
        return best.replaced(found.value < best.value, found)

    def _moved(self, cells: Cells, objective: Objective, slope: Floats, added: Floats) -> tuple[Multipliers, Floats]:
        """The bound by such rows; and by how much, ``[R, features]``, what arrives exceeds what attains the maximum."""
        found = self._at(cells, objective, slope, added)
        parts = (np.split(part, self._begin[1:-1], 1) for part in (slope, added))
        excess = self._forward(cells, max(objective.coefficients), *parts)
        # What the objective does not depend on moves nothing.
        rest = (np.zeros((len(slope), n)) for n in self.network.sizes[len(excess) :])
        return found, np.concatenate([*excess, *rest], 1)

    def _at(self, cells: Cells, objective: Objective, slope: Floats, added: Floats) -> Multipliers:
        """The bound by such rows."""
        rows = np.arange(len(slope)) if len(cells) > 1 else np.zeros(len(slope), np.int64)
        self._corner: Array = np.zeros((len(rows), self.network.inputs))
        self._seen: list[tuple[Floats, Floats]] = [(np.zeros((len(rows), n)),) * 2 for n in self.network.sizes]
        # Of products none is chosen.
        parts = zip(self._kinds, np.split(slope, self._begin[1:-1], 1), strict=True)
        lower = tuple(None if np.isnan(part).all() or kind == PRODUCT else part for kind, part in parts)
        some = tuple(part if part.any() else None for part in np.split(added, self._begin[1:-1], 1))
        slopes = Slopes(lower, some, np.zeros(len(rows), np.bool_))
        watched: dict[int, Watched | WatchedPairs] = {**self._planes, **self._pairs}
        for one in watched.values():
            one.forget()
        value = self.numbers.upper(*self.bound(cells, rows, objective, slopes, watched))
        v, s = (np.concatenate([seen[n] for seen in self._seen], 1) for n in range(2))
        for k, planes in self._planes.items():
            row, at, arrived = planes.seen
            column = self._begin[k] + planes.feature[at]
            v[row, column], s[row, column] = arrived, np.nan
        for k, pairs in self._pairs.items():
            if pairs.seen is not None:
                v[:, self._begin[k] + pairs.member.reshape(-1)] = pairs.seen[0]
        return Multipliers(value, slope, added, v, s)

    def _forward(self, cells: Cells, last: int, lower: Sequence[Floats], added: Sequence[Floats]) -> list[Floats]:
        values: list[Floats] = [np.where(self._corner > 0, cells.upper, cells.lower)]
        excess: list[Floats] = []
        for node in self.network.nodes[1 : last + 1]:
            operands = [values[i] for i in node.operands]
            if node.operator is not None:
                value = np.asarray(node.operator.forward(*operands))
                values.append(value if node.operator.offset is None else value + node.operator.offset)
                continue
            k = len(excess)
            v, s = self._seen[k]
            low, high = cells.low[k], cells.high[k]
            best = attained(node.bend, v, s, low, high)
            pairs = self._pairs.get(k)
            if pairs is not None and pairs.seen is not None:
                columns = pairs.member.reshape(-1)
                v, best = v.copy(), best.copy()
                v[:, columns], best[:, columns] = pairs.seen
            excess.append(operands[0] - best)
            # By what s follows v: the line's slope, whichever it is.
            if node.bend == RELU:
                is_open = (low < 0) & (high > 0)
                chord = np.where(is_open, high / np.where(is_open, high - low, 1.0), low >= 0)
                p = np.where(is_open & (v < 0), lower[k], chord)
                if pairs is not None:
                    mine = np.isin(np.arange(v.shape[1]), pairs.member) & is_open & (v >= 0)
                    p = p + np.where(mine, added[k], 0.0)
            else:
                p = s / np.where(v == 0, np.inf, v)
            rest = p * excess[-1]
            values.append(near(node.bend, best) + rest.reshape(len(rest), -1, node.size).sum(1))
            if k in self._planes:
                self._planes[k].lift(values)
        return excess

    def _bent(self, k: int, i: int, v: Array, *others: Any) -> tuple[Array, Array]:
        s, share = super()._bent(k, i, v, *others)
        self._seen[k] = v if v.shape == s.shape else np.tile(v, 2), s
        return s, share

    def _relu(self, k: int, v: Array, ranges: Ranges, *said: Any) -> tuple[Array, Array]:
        s, share = super()._relu(k, v, ranges, *said)
        self._seen[k] = v, s
        return s, share

    def _box(self, v: Array, lower: Floats, upper: Floats) -> Array:
        self._corner = v
        return super()._box(v, lower, upper)
