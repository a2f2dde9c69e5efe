"""The deadline that reading ends by: looked at between nodes, folds, tensors and assertions."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from netproof.errors import TimeLimitError

_T = TypeVar("_T")


class Clock:
    """Raises :class:`TimeLimitError` once a deadline (by :func:`time.monotonic`) is over; None stands for no deadline.

    Parameters
    ----------
    path : of the file that is read, for the error
    what : the file is, in the words of the error
    """

    def __init__(self, path: str | Path, deadline: float | None, what: str = "property") -> None:
        self._path = path
        self._deadline = deadline
        self._what = what

    def look(self) -> None:
        """Raise :class:`TimeLimitError` if the deadline is over."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise TimeLimitError(self._path, self._what)

    def each(self, things: Iterable[_T]) -> Iterator[_T]:
        """The things, with a look before each of them."""
        for thing in things:
            self.look()
            yield thing
