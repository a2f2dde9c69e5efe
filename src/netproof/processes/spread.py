"""One function's answers to many items, from several processes, in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

from netproof.errors import InputError
from netproof.processes.child import ChildError
from netproof.processes.spawned import Spawned

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Answered(Generic[Answer]):
    answer: Answer


@dataclass(frozen=True)
class _Refused:
    """What is left of an :class:`InputError` on its way between processes."""

    source: str
    problem: str
    hint: str


def spread(
    begin: Callable[[], Callable[[Item], Answer]], items: Sequence[Item], processes: int
) -> Iterator[tuple[Item, Answer]]:
    """Items with the answers of the function that ``begin()`` gives in each process, as soon as all before them are known.

    Parameters
    ----------
    begin : can be pickled, as can items and answers
    processes : at least 1; each answers one item at a time

    Raises
    ------
    InputError : as the function does, of the first item that it refuses; or naming ``--jobs`` where a process died. Either ends all
        processes, as closing the iterator does.
    """
    waiting = deque(range(len(items)))
    found: dict[int, Answer] = {}
    working: dict[int, Spawned] = {}
    children = []
    try:
        for _ in range(min(processes, len(items))):
            child = Spawned(_work, begin)
            children.append(child)
            working[_give(child, items, waiting)] = child
        for position, item in enumerate(items):
            while position not in found:
                _take(items, waiting, working, found)
            yield item, found.pop(position)
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.close()


def _give(child: Spawned, items: Sequence[Item], waiting: deque[int]) -> int:
    """Hand the next item to a process; its position."""
    position = waiting.popleft()
    child.send(items[position])
    return position


def _take(items: Sequence[Item], waiting: deque[int], working: dict[int, Spawned], found: dict[int, Answer]) -> None:
    """Wait for an answer, and give whoever has one the next item."""
    pipes = {child.pipe: position for position, child in working.items()}
    for pipe in wait(list(pipes)):
        assert isinstance(pipe, Connection)
        position = pipes[pipe]
        child = working.pop(position)
        try:
            message = child.receive()
        except ChildError as death:
            raise InputError(
                "--jobs", f"a worker process died ({death})", "use fewer jobs, where memory may not suffice"
            ) from None
        if isinstance(message, _Refused):
            raise InputError(message.source, message.problem, message.hint)
        found[position] = message.answer
        if waiting:
            working[_give(child, items, waiting)] = child


def _work(pipe: Connection, begin: Callable[[], Callable[[Item], Answer]]) -> None:
    """The life of a process."""
    try:
        answer = begin()
        while True:
            pipe.send(_Answered(answer(pipe.recv())))
    except InputError as error:
        pipe.send(_Refused(error.source, error.problem, error.hint))
