"""What a second reader makes of a file: affine maps and monotone steps of integers, in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: whole numbers of any size, as Python has them
Wholes = NDArray[Any]
#: from the operands ``[B, n_i]`` to ``[B, n]``; with ``True``, absolute values of all coefficients and no offset
Map = Callable[[Sequence[Floats], bool], Floats]
#: a function of integers that keeps their order, elementwise, the same one for every feature
Steps = Callable[[Wholes], Wholes]


class UnknownFormError(Exception):
    """A file that the second reader does not understand: says what in it."""


@dataclass(frozen=True, eq=False)
class Part:
    """The input (neither map nor steps), an affine map of earlier parts, or steps on one earlier part.

    ``low`` and ``high`` are ``[n]``, the range of every feature for all inputs that there are.
    """

    operands: tuple[int, ...]
    low: Floats
    high: Floats
    map: Map | None = None
    steps: Steps | None = None

    @property
    def size(self) -> int:
        return len(self.low)


@dataclass(eq=False)
class Reading:
    """Parts in topological order; part 0 is the input, ``output`` the one that is the network's result."""

    parts: list[Part] = field(default_factory=list)
    output: int = 0

    def add_input(self, size: int, low: int, high: int) -> int:
        self.parts.append(Part((), np.full(size, float(low)), np.full(size, float(high))))
        return 0

    def add_map(self, map_: Map, *operands: int) -> int:
        """Append an affine map; its range follows from those of its operands."""
        of = [self.parts[i] for i in operands]
        twice = map_([(part.low + part.high)[None] for part in of], False)
        # The offset is in it once, and in what follows not at all.
        offset = map_([np.zeros((1, part.size)) for part in of], False)
        width = map_([(part.high - part.low)[None] for part in of], True)
        low, high = ((twice - offset + sign * width)[0] / 2 + offset[0] for sign in (-1, 1))
        self.parts.append(Part(operands, low, high, map=map_))
        return len(self.parts) - 1

    def add_steps(self, steps: Steps, operand: int) -> int:
        of = self.parts[operand]
        low, high = (stepped(steps, end).astype(np.float64) for end in (of.low, of.high))
        self.parts.append(Part((operand,), low, high, steps=steps))
        return len(self.parts) - 1

    def needed(self) -> list[int]:
        """The parts that the output depends on, in order."""
        wanted = {self.output}
        for i in range(len(self.parts) - 1, -1, -1):
            if i in wanted:
                wanted.update(self.parts[i].operands)
        return sorted(wanted)


def stepped(steps: Steps, values: Floats) -> Wholes:
    """Apply steps to whole numbers held in floats, computing with integers of any size."""
    points, back = np.unique(values, return_inverse=True)
    wholes = np.array([int(point) for point in points.tolist()], dtype=object)
    return steps(wholes)[back.reshape(values.shape)]
