"""How much memory reading one file may take: accounted for before it is taken.

A file of a kilobyte can ask for any amount of memory: an expanded constant, a pooling window as large as its image, a
value joined to itself thirty times. Readers therefore write down what they are about to allocate, and the ledger says no
where a file asks for far more than its own size stands for. What is freed on the way is not given back: the sum
bounds the time as well. Where there is a deadline, every entry looks at it (:class:`TimeLimitError`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from netproof.formats.clock import Clock

#: bytes that any file may make, however small it is, and for every byte of its own
_ROOM = 320 << 20
_ROOM_PER_BYTE = 24
#: bytes that all operators of any file may lay out to compute once, and for every byte of its own: a bound of the time, too
_WINDOWS = 1 << 30
_WINDOWS_PER_BYTE = 64
#: nodes that any file and the graph made of it may have together, and one more for so many of its bytes
_NODES = 1 << 15
_BYTES_PER_NODE = 1 << 10
#: features of one value, and of all values together: what is computed with later is as large as these
_LARGEST_VALUE = 1 << 24
_LARGEST_TOTAL = 1 << 27
#: axes of one value; NumPy has 64
MOST_AXES = 32


class ExhaustedError(Exception):
    """Reading a file takes more than it may; the reader adds where."""

    def __init__(self, problem: str, hint: str = "use a smaller network") -> None:
        self.problem = problem
        self.hint = hint
        super().__init__(problem)


class Ledger:
    """The account of one file.

    Parameters
    ----------
    size : bytes of the file as it lies on the disk
    room : bytes that may be made however small it is
    clock : looked at whenever something is accounted for; None stands for no deadline
    """

    def __init__(self, size: int, room: int = _ROOM, clock: Clock | None = None) -> None:
        self.clock = clock if clock is not None else Clock("", None)
        self._room = self._whole = room
        self._windows = _WINDOWS
        self._nodes = _NODES
        self._features = _LARGEST_TOTAL
        self.grow(size)

    def grow(self, size: int) -> None:
        """Take in that another ``size`` bytes of file belong to it."""
        self._room += _ROOM_PER_BYTE * size
        self._whole += _ROOM_PER_BYTE * size
        self._windows += _WINDOWS_PER_BYTE * size
        self._nodes += size // _BYTES_PER_NODE

    def nodes(self, count: int) -> None:
        """Account for nodes; raises :class:`ExhaustedError`."""
        self.clock.look()
        self._nodes -= count
        if self._nodes < 0:
            raise ExhaustedError(f"{count} more nodes are more than can be handled")

    def allocate(self, size: int) -> None:
        """Account for ``size`` bytes that are about to be made; raises :class:`ExhaustedError`."""
        self.clock.look()
        self._room -= size
        if self._room < 0:
            raise ExhaustedError("it makes more numbers out of this file than can be handled")

    def workspace(self, size: int) -> None:
        """Account for ``size`` bytes that an operator takes and gives back whenever it computes; raises :class:`ExhaustedError`."""
        self.clock.look()
        self._windows -= size
        if size > self._whole or self._windows < 0:
            raise ExhaustedError("its windows together have more numbers than can be handled", "use a smaller kernel")

    def value(self, shape: Sequence[int]) -> None:
        """Account for a value of a shape; raises :class:`ExhaustedError`."""
        self.clock.look()
        size = math.prod(shape)  # Python integers: a hostile shape cannot overflow
        self._features -= max(size, 0)
        if min(shape, default=0) < 0 or len(shape) > MOST_AXES or size > _LARGEST_VALUE or self._features < 0:
            text = "x".join(map(str, shape[:MOST_AXES])) + ("x..." if len(shape) > MOST_AXES else "")
            raise ExhaustedError(f"its result has shape {text}, more than can be handled")
