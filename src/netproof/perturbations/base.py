"""What every set of inputs around one can say: how many there are, which they are, and its own parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from netproof.arguments.words import shown
from netproof.errors import QueryError

Whole = NDArray[np.int64]

#: counts are exact up to that
MANY = 1 << 128
#: numbers of inputs that are looked at together
_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class Image:
    """The input around which a set lies; anything, not only an image.

    Attributes
    ----------
    values : ``[n]`` int64, in the network's own integers and the file's own order
    low, high : ``[n]``, what each of them can be
    shape : of the values, a batch axis left out: ``(n,)``, ``(rows, columns)``, ``(rows, columns, channels)`` or, with
        ``channels_first``, ``(channels, rows, columns)``
    channels_first : of three axes, whether the first is that of channels; None where nobody knows
    """

    values: Whole
    low: Whole
    high: Whole
    shape: tuple[int, ...]
    channels_first: bool | None = False

    @property
    def places(self) -> Whole:
        """Where in :attr:`values` each place is, ``[rows, columns, channels]``, each 1 where there is no such axis.

        A list of numbers is one row. Raises :class:`QueryError` where the shape does not tell.
        """
        shape = self.shape if len(self.shape) > 1 else (1, *self.shape)
        if len(shape) > 3 or not self.shape:
            raise QueryError(
                "the set", f"inputs of shape {self.shape} have no rows and columns", "use --inputs or --box"
            )
        if len(shape) == 3 and self.channels_first is None:
            raise QueryError(
                "the set", f"inputs of shape {self.shape} do not tell which axis has channels", "use --inputs or --box"
            )
        places = np.arange(len(self.values)).reshape(shape)
        if len(shape) == 2:
            return places[:, :, None]
        return places.transpose(1, 2, 0) if self.channels_first else places

    def stacked(self, count: int) -> Whole:
        """``count`` copies, ``[count, n]``."""
        return np.repeat(self.values[None], count, 0)


@dataclass(frozen=True)
class Perturbation(ABC):
    """A finite set of inputs around one. Its fields are all that it is: whole numbers, lists of them, or None."""

    #: its name in files and on the command line
    kind: ClassVar[str]

    @abstractmethod
    def check(self, image: Image) -> None:
        """Raise :class:`QueryError` where the set makes no sense for such an input."""

    @abstractmethod
    def count(self, image: Image) -> int:
        """How many inputs :meth:`inputs` gives; some of them can be equal. Of more than :data:`MANY` any number above that."""

    @abstractmethod
    def inputs(self, image: Image, size: int) -> Iterator[Whole]:
        """All inputs of the set, ``[k, n]`` with ``k`` at most ``size``, in an order that is part of what the set is."""

    @abstractmethod
    def words(self) -> str:
        """What may happen, as in "... does not change the class"."""

    def contains(self, image: Image, values: Whole, look: Callable[[], None] = lambda: None) -> bool:
        """Whether an input is one of the set; where that takes long, ``look`` is called now and then, and may raise."""
        for part in self.inputs(image, max(1, min(1024, _AT_ONCE // len(values)))):
            look()
            if bool((part == values).all(1).any()):
                return True
        return False

    def boxes(self, image: Image) -> list[tuple[Whole, Whole]] | None:
        """The set as boxes, each by its lower and upper ends ``[n]``; None where it is no union of few of them."""
        return None


def whole(name: str, value: object, least: int = 0, most: int = 1 << 31) -> int:
    """A parameter that is a whole number within limits; raises :class:`QueryError`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= int(value) <= most:
        raise QueryError("the set", f"{name} is {shown(value)}", f"give a whole number from {least} to {most}")
    return int(value)


def product(factors: Iterable[int]) -> int:
    """A product of numbers of at least 1, or something above :data:`MANY` where it is."""
    total = 1
    for factor in factors:
        total *= factor
        if total > MANY:
            break
    return total


def number_in_words(count: int) -> str:
    """A number of inputs as messages say it."""
    return str(count) if count <= MANY else "more than 2^128"


def in_parts(rows: Iterator[Whole], size: int) -> Iterator[Whole]:
    """Arrays ``[k, n]`` put together, and taken apart, to at most ``size`` rows each."""
    kept: list[Whole] = []
    count = 0
    for part in rows:
        for start in range(0, len(part), size):
            piece = part[start : start + size]
            if count + len(piece) > size:
                yield np.concatenate(kept)
                kept, count = [], 0
            kept.append(piece)
            count += len(piece)
    if kept:
        yield np.concatenate(kept)
