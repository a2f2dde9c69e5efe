"""Rows of multipliers as they are made, from what a search left to the short numbers of a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.real.contents import Integers

Floats = NDArray[np.float64]

#: entries of a file are below 2^53
_LARGEST = 2.0**52


@dataclass(frozen=True, eq=False)
class Row:
    """Weights of constraints, and features with slopes and what is added, all of them multiples of ``2^-exponent``; the numbers of sets
    of planes and of pairs, 0 for none."""

    exponent: int
    flat: bool
    mu: tuple[int, ...]
    feature: Integers
    slope: Integers
    added: Integers
    planes: int = 0
    pairs: int = 0

    @property
    def sets(self) -> tuple[int, int]:
        """The numbers of sets of planes and of pairs."""
        return self.planes, self.pairs

    @cached_property
    def key(self) -> tuple[object, ...]:
        """Equal for equal rows."""
        parts = (self.feature.tobytes(), self.slope.tobytes(), self.added.tobytes())
        return (self.exponent, self.flat, self.mu, *parts, self.sets)


@dataclass(frozen=True, eq=False)
class Wish:
    """What a row should say: weights of at least 0, of which the largest is 1 or all are 0; slopes and what is added; planes and pairs."""

    weight: Floats
    flat: bool = False
    feature: Integers | None = None
    slope: Floats | None = None
    added: Floats | None = None
    planes: int = 0
    pairs: int = 0

    @property
    def sets(self) -> tuple[int, int]:
        """The numbers of sets of planes and of pairs."""
        return self.planes, self.pairs

    @cached_property
    def is_plain(self) -> bool:
        """Whether a row of few digits is all that it takes."""
        return self.feature is None and int((self.weight > 0).sum()) <= 1

    @cached_property
    def _plain(self) -> Row:
        return self._rounded(0)

    def rounded(self, exponent: int) -> Row:
        """The row with so many binary digits after the point; features that then say nothing new are left out."""
        return self._plain if self.is_plain else self._rounded(exponent)

    def _rounded(self, exponent: int) -> Row:
        unit = 2.0**exponent
        mu = tuple(int(w) for w in np.rint(self.weight * unit))
        if self.feature is None or self.slope is None or self.added is None:
            none = np.zeros(0, np.int64)
            return Row(exponent, self.flat, mu, none, none, none, *self.sets)
        slope, added = (
            np.rint(np.clip(part * unit, -_LARGEST, _LARGEST)).astype(np.int64) for part in (self.slope, self.added)
        )
        return Row(exponent, self.flat, mu, self.feature, slope, added, *self.sets)


def arrays_of_rows(rows: Sequence[Row] | Iterable[Row], width: int) -> dict[str, Integers]:
    """The arrays of rows, of ``width`` weights each."""
    rows = list(rows)

    def joined(parts: list[Integers]) -> Integers:
        return np.concatenate([np.zeros(0, np.int64), *parts])

    mu = np.zeros((len(rows), width), np.int64)
    for number, row in enumerate(rows):
        mu[number, : len(row.mu)] = row.mu
    return {
        "row_exponent": np.array([row.exponent for row in rows], np.int64),
        "row_base": np.array([int(row.flat) for row in rows], np.int64),
        "row_mu": mu.reshape(-1),
        "row_count": np.array([len(row.feature) for row in rows], np.int64),
        "row_feature": joined([row.feature for row in rows]),
        "row_slope": joined([row.slope for row in rows]),
        "row_added": joined([row.added for row in rows]),
        "row_planes": np.array([row.planes for row in rows], np.int64),
        "row_pairs": np.array([row.pairs for row in rows], np.int64),
    }


class RowTable:
    """The rows of a certificate, each of them once."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._known: dict[tuple[object, ...], int] = {}

    def number(self, row: Row) -> int:
        """The row's number, new or known."""
        key = row.key
        if key not in self._known:
            self._known[key] = len(self.rows)
            self.rows.append(row)
        return self._known[key]

    def forget(self, count: int) -> None:
        """Leave the first ``count`` rows."""
        for row in self.rows[count:]:
            del self._known[row.key]
        del self.rows[count:]
