"""Answers to several questions, in the order of the questions or as they are decided."""

from __future__ import annotations

from collections.abc import Iterator

from netproof.result import Result


class Answers(Iterator[Result]):
    """What :func:`netproof.verify` gives for several questions: an iterator over their results, in their order.

    Each result comes as soon as it and all before it are known; those decided before their turn are kept until then.
    :meth:`as_decided` gives them without waiting. Both take from the same results: each comes once. What is not taken is
    not computed.

    Parameters
    ----------
    decided : positions and results, as they are decided, each position once
    """

    def __init__(self, decided: Iterator[tuple[int, Result]]) -> None:
        self._decided = decided
        self._waiting: dict[int, Result] = {}
        self._turn = 0
        self._taken: set[int] = set()

    def __next__(self) -> Result:
        while self._turn in self._taken:
            self._turn += 1
        while self._turn not in self._waiting:
            position, result = next(self._decided)
            self._waiting[position] = result
        self._turn += 1
        return self._waiting.pop(self._turn - 1)

    def as_decided(self) -> Iterator[tuple[int, Result]]:
        """``(position, result)`` in the order in which they are decided; positions are those of the questions, from 0."""
        while True:
            if self._waiting:
                position = next(iter(self._waiting))
                result = self._waiting.pop(position)
            else:
                following = next(self._decided, None)
                if following is None:
                    return
                position, result = following
            self._taken.add(position)
            yield position, result
