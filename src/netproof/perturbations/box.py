"""Given values move by themselves: a box."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from netproof.arguments.words import described
from netproof.errors import QueryError
from netproof.perturbations.base import Image, Perturbation, Whole, product, whole


@dataclass(frozen=True)
class Inputs(Perturbation):
    """The values at ``positions`` move by at most ``by`` each (None: anywhere in their ranges), the others stay."""

    positions: tuple[int, ...]
    by: int | None = None
    kind = "inputs"

    def __post_init__(self) -> None:
        if not isinstance(self.positions, tuple | list):
            raise QueryError("the set", f"positions is {described(self.positions)}", "give a tuple: (3, 17)")

    def check(self, image: Image) -> None:
        for position in self.positions:
            whole("an input's position", position, 0, len(image.values) - 1)
        if not self.positions or len(set(self.positions)) < len(self.positions):
            raise QueryError("the set", "positions of inputs are missing, or there twice", "name each once")
        if self.by is not None:
            whole("the change of a value", self.by, 0)

    def boxes(self, image: Image) -> list[tuple[Whole, Whole]]:
        at = np.array(self.positions, np.int64)
        low, high = image.values.copy(), image.values.copy()
        low[at], high[at] = image.low[at], image.high[at]
        if self.by is not None:
            low, high = np.maximum(low, image.values - self.by), np.minimum(high, image.values + self.by)
        return [(low, high)]

    def count(self, image: Image) -> int:
        ((low, high),) = self.boxes(image)
        return product((high - low + 1).tolist())

    def inputs(self, image: Image, size: int) -> Iterator[Whole]:
        yield from points_of(*self.boxes(image)[0], size)

    def contains(self, image: Image, values: Whole, look: Callable[[], None] = lambda: None) -> bool:
        del look
        ((low, high),) = self.boxes(image)
        return bool(((values >= low) & (values <= high)).all())

    def words(self) -> str:
        which = f"input {self.positions[0]}" if len(self.positions) == 1 else f"{len(self.positions)} given inputs"
        return f"changing {which} " + ("to anything" if self.by is None else f"by at most {self.by}")


def points_of(low: Whole, high: Whole, size: int) -> Iterator[Whole]:
    """All points of a box, ``[k, n]``, by the last value first."""
    extents = (high - low + 1).tolist()
    total = int(np.prod(np.array(extents, dtype=object)))
    free = [i for i, extent in enumerate(extents) if extent > 1]
    for start in range(0, total, size):
        index = np.arange(start, min(start + size, total))
        rows = np.repeat(low[None], len(index), 0)
        for i in reversed(free):
            rows[:, i] += index % extents[i]
            index //= extents[i]
        yield rows
