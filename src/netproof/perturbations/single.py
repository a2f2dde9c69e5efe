"""Few values change, whichever they are: a pixel, a sensor that is stuck."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from netproof.errors import QueryError
from netproof.perturbations.base import MANY, Image, Perturbation, Whole, in_parts, whole


@dataclass(frozen=True)
class Pixels(Perturbation):
    """At most ``count_`` values move, any of them, each by at most ``by``; None stands for anywhere in its range."""

    most: int
    by: int | None = None
    kind = "pixels"

    def check(self, image: Image) -> None:
        if whole("the number of values", self.most, 1) > len(image.values):
            raise QueryError("the set", f"{self.most} of {len(image.values)} values", "give fewer")
        if self.by is not None:
            whole("the change of a value", self.by, 0)

    def _choices(self, image: Image) -> list[Whole]:
        """What each value can become other than it is."""
        found = []
        for value, low, high in zip(image.values.tolist(), image.low.tolist(), image.high.tolist(), strict=True):
            least, most = (low, high) if self.by is None else (max(low, value - self.by), min(high, value + self.by))
            all_of = np.arange(least, most + 1)
            found.append(all_of[all_of != value])
        return found

    def count(self, image: Image) -> int:
        # How many ways there are to move 0, 1, ..., most values: the elementary symmetric polynomials of their choices.
        ways = [1]
        reach = None if self.by is None else self.by
        low = image.low if reach is None else np.maximum(image.low, image.values - reach)
        high = image.high if reach is None else np.minimum(image.high, image.values + reach)
        # They only grow, and at least double with every value that can move, as long as that many may.
        for choices in (extent for extent in (high - low).tolist() if extent):
            if len(ways) <= self.most:
                ways.append(0)
            for moved in range(len(ways) - 1, 0, -1):
                ways[moved] += ways[moved - 1] * choices
            if sum(ways) > MANY:
                break
        return sum(ways)

    def inputs(self, image: Image, size: int) -> Iterator[Whole]:
        choices = self._choices(image)

        def rows() -> Iterator[Whole]:
            yield image.values[None]
            for moved in range(1, self.most + 1):
                for which in combinations(range(len(choices)), moved):
                    yield from _of(image, which, [choices[i] for i in which], size)

        yield from in_parts(rows(), size)

    def contains(self, image: Image, values: Whole, look: Callable[[], None] = lambda: None) -> bool:
        del look
        moved = np.flatnonzero(values != image.values)
        inside = bool(((values >= image.low) & (values <= image.high)).all())
        near = self.by is None or bool((np.abs(values - image.values) <= self.by).all())
        return inside and near and len(moved) <= self.most

    def words(self) -> str:
        which = "one value" if self.most == 1 else f"at most {self.most} values"
        return f"changing {which}, any of them, " + ("to anything" if self.by is None else f"by at most {self.by}")


def _of(image: Image, which: tuple[int, ...], choices: list[Whole], size: int) -> Iterator[Whole]:
    """All combinations of choices at the places ``which``, by the last one first."""
    total = int(np.prod([len(part) for part in choices], dtype=object))
    for start in range(0, total, size):
        index = np.arange(start, min(start + size, total))
        rows = image.stacked(len(index))
        for place, part in zip(reversed(which), reversed(choices), strict=True):
            rows[:, place] = part[index % len(part)]
            index //= len(part)
        yield rows
