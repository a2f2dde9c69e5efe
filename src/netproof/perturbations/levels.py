"""Everything becomes lighter or darker, or has more or less contrast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from netproof.perturbations.base import Image, Perturbation, Whole, in_parts, whole


@dataclass(frozen=True)
class Brightness(Perturbation):
    """One number of at most ``most`` in magnitude is added to every value, and the ends of the range hold."""

    most: int
    kind = "brightness"

    def check(self, image: Image) -> None:
        whole("the change of brightness", self.most, 0, 1 << 20)

    def count(self, image: Image) -> int:
        return 2 * self.most + 1

    def inputs(self, image: Image, size: int) -> Iterator[Whole]:
        for start in range(-self.most, self.most + 1, size):
            shift = np.arange(start, min(start + size, self.most + 1))[:, None]
            yield np.clip(image.values + shift, image.low, image.high)

    def words(self) -> str:
        return f"making every value lighter or darker by at most {self.most}"


@dataclass(frozen=True)
class Contrast(Perturbation):
    """Every value's distance from the middle of its range is multiplied by ``100 - most`` to ``100 + most`` percent.

    With ``u`` counted from the least value and ``w`` the width of the range, the result is the whole number nearest to
    ``w / 2 + (u - w / 2) p / 100``, halves upwards, cut to the range; ``p`` goes through all whole percentages.
    """

    most: int
    kind = "contrast"

    def check(self, image: Image) -> None:
        whole("the change of contrast, in percent", self.most, 0, 10000)

    def _percentages(self) -> range:
        return range(max(0, 100 - self.most), 101 + self.most)

    def count(self, image: Image) -> int:
        return len(self._percentages())

    def inputs(self, image: Image, size: int) -> Iterator[Whole]:
        width = image.high - image.low
        above = 2 * (image.values - image.low) - width

        def rows() -> Iterator[Whole]:
            for percent in self._percentages():
                scaled = (100 * width + above * percent + 100) // 200
                yield (np.clip(scaled, 0, width) + image.low)[None]

        yield from in_parts(rows(), size)

    def words(self) -> str:
        return f"changing the contrast by at most {self.most} percent"
