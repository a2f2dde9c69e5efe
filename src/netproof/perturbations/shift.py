"""Everything moves to another place: an image by pixels, a spectrogram in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from netproof.errors import QueryError
from netproof.perturbations.base import Image, Perturbation, Whole, in_parts, whole


@dataclass(frozen=True)
class Shift(Perturbation):
    """By at most so many rows and so many columns, in either direction; what comes in repeats the edge."""

    rows: int
    columns: int
    kind = "shift"

    def check(self, image: Image) -> None:
        height, width, _ = image.places.shape
        for name, moved, there in (("rows", self.rows, height), ("columns", self.columns, width)):
            if whole(f"the shift by {name}", moved) >= there and moved:
                raise QueryError("the set", f"a shift by {moved} {name} of {there}", f"give less than {there}")

    def count(self, image: Image) -> int:
        return (2 * self.rows + 1) * (2 * self.columns + 1)

    def inputs(self, image: Image, size: int) -> Iterator[Whole]:
        places = image.places
        height, width, _ = places.shape

        def all_rows() -> Iterator[Whole]:
            for down in range(-self.rows, self.rows + 1):
                rows = np.clip(np.arange(height) - down, 0, height - 1)
                for right in range(-self.columns, self.columns + 1):
                    columns = np.clip(np.arange(width) - right, 0, width - 1)
                    moved = np.empty_like(image.values)
                    moved[places] = image.values[places[rows][:, columns]]
                    yield moved[None]

        yield from in_parts(all_rows(), size)

    def words(self) -> str:
        return f"shifting by at most {self.rows} rows and {self.columns} columns"
