"""A block of places changes: every value in it by itself, or all of them to one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from netproof.errors import QueryError
from netproof.perturbations.base import MANY, Image, Perturbation, Whole, in_parts, product, whole
from netproof.perturbations.box import points_of

#: ends of boxes that are kept, of either kind
_MOST_ENDS = 1 << 26


def _corners(image: Image, rows: int, columns: int, at: tuple[int, int] | None) -> list[tuple[int, int]]:
    """The upper left places at which a block can lie."""
    height, width, _ = image.places.shape
    if not (1 <= whole("the block's rows", rows) <= height and 1 <= whole("the block's columns", columns) <= width):
        hint = "give a smaller one"
        if height == 1 < rows:
            hint += "; the network's input is flat, and all of its values stand in one row"
        raise QueryError("the set", f"a block of {rows} x {columns} in {height} x {width} places", hint)
    if at is None:
        return [(i, j) for i in range(height - rows + 1) for j in range(width - columns + 1)]
    if not (0 <= at[0] <= height - rows and 0 <= at[1] <= width - columns):
        raise QueryError("the set", f"the block at {at[0]},{at[1]} leaves {height} x {width} places", "move it inside")
    return [at]


def _inside(image: Image, corner: tuple[int, int], rows: int, columns: int) -> Whole:
    """The positions ``[m]`` of a block's values."""
    return image.places[corner[0] : corner[0] + rows, corner[1] : corner[1] + columns].reshape(-1)


@dataclass(frozen=True)
class Patch(Perturbation):
    """All values of a block move by at most ``by`` (None: anywhere in their ranges), at one place or at any of them."""

    rows: int
    columns: int
    by: int | None = None
    at: tuple[int, int] | None = None
    kind = "patch"

    def check(self, image: Image) -> None:
        _corners(image, self.rows, self.columns, self.at)
        if self.by is not None:
            whole("the change of a value", self.by, 0)

    def _each(self, image: Image) -> Iterator[tuple[Whole, Whole]]:
        for corner in _corners(image, self.rows, self.columns, self.at):
            low, high = image.values.copy(), image.values.copy()
            inside = _inside(image, corner, self.rows, self.columns)
            low[inside], high[inside] = image.low[inside], image.high[inside]
            if self.by is not None:
                low = np.maximum(low, image.values - self.by)
                high = np.minimum(high, image.values + self.by)
            yield low, high

    def boxes(self, image: Image) -> list[tuple[Whole, Whole]]:
        places = len(_corners(image, self.rows, self.columns, self.at))
        if places * len(image.values) > _MOST_ENDS:
            raise QueryError(
                "the set",
                f"{places} boxes of {len(image.values)} values are too many to keep",
                "name a place with --at",
            )
        return list(self._each(image))

    def count(self, image: Image) -> int:
        total = 0
        for low, high in self._each(image):
            total += product((high - low + 1)[high > low].tolist())
            if total > MANY:
                break
        return total

    def inputs(self, image: Image, size: int) -> Iterator[Whole]:
        yield from in_parts((part for box in self._each(image) for part in points_of(*box, size)), size)

    def contains(self, image: Image, values: Whole, look: Callable[[], None] = lambda: None) -> bool:
        del look
        return any(bool(((values >= low) & (values <= high)).all()) for low, high in self._each(image))

    def words(self) -> str:
        where = "any place" if self.at is None else f"row {self.at[0]}, column {self.at[1]}"
        how = "to anything" if self.by is None else f"by at most {self.by} each"
        return f"changing the values of a block of {self.rows} x {self.columns} at {where} {how}"


@dataclass(frozen=True)
class Cover(Perturbation):
    """A block is covered: all of its values become one number, whichever, at one place or at any of them."""

    rows: int
    columns: int
    at: tuple[int, int] | None = None
    kind = "cover"

    def check(self, image: Image) -> None:
        _corners(image, self.rows, self.columns, self.at)
        if not len(self._values(image)):
            raise QueryError("the set", "no number is one that every value can be", "use a patch")

    def _values(self, image: Image) -> Whole:
        return np.arange(int(image.low.max()), int(image.high.min()) + 1)

    def count(self, image: Image) -> int:
        return len(_corners(image, self.rows, self.columns, self.at)) * len(self._values(image))

    def inputs(self, image: Image, size: int) -> Iterator[Whole]:
        values = self._values(image)

        def rows() -> Iterator[Whole]:
            for corner in _corners(image, self.rows, self.columns, self.at):
                part = image.stacked(len(values))
                part[:, _inside(image, corner, self.rows, self.columns)] = values[:, None]
                yield part

        yield from in_parts(rows(), size)

    def words(self) -> str:
        where = "any place" if self.at is None else f"row {self.at[0]}, column {self.at[1]}"
        return f"covering a block of {self.rows} x {self.columns} at {where} with one value"
