"""What a second reader makes of a file: affine maps and monotone steps of integers, in plain NumPy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: whole numbers of any size, as Python has them
Wholes = NDArray[Any]
#: from the operands ``[B, n_i]`` to ``[B, n]``; with ``True``, absolute values of all coefficients and no offset
Map = Callable[[Sequence[Floats], bool], Floats]
#: a function of integers that keeps their order, elementwise
Steps = Callable[[Wholes], Wholes]
#: a function of two integers
Pairwise = Callable[[int, int], int]
#: no table of pairs has more
_MOST_PAIRS = 1 << 17


class UnknownFormError(Exception):
    """A file that the second reader does not understand: says what in it."""


class LateError(Exception):
    """The time for a second reading is over."""


@dataclass(frozen=True, eq=False)
class Part:
    """The input (nothing of what follows), an affine map of earlier parts, steps on one, or a function of two.

    Attributes
    ----------
    low, high : ``[n]``, the range of every feature for all inputs that there are
    steps : for each of ``C`` channels one, which covers ``n / C`` consecutive features
    pair : ``[a, b]``, the function of two parts at the values ``pair_low[0] + a`` and ``pair_low[1] + b``
    """

    operands: tuple[int, ...]
    low: Floats
    high: Floats
    map: Map | None = None
    steps: tuple[Steps, ...] = ()
    pair: NDArray[np.int64] | None = None
    pair_low: tuple[int, int] = (0, 0)

    @property
    def size(self) -> int:
        return len(self.low)


@dataclass(eq=False)
class Reading:
    """Parts in topological order; part 0 is the input, ``output`` the one that is the network's result.

    After ``deadline``, a time of :func:`time.perf_counter`, no part is added: :class:`LateError`.
    """

    parts: list[Part] = field(default_factory=list)
    output: int = 0
    deadline: float = math.inf
    #: of an output that is another part and a number: these two
    _sum: tuple[int, int] | None = None

    def look(self) -> None:
        """Raise :class:`LateError` after the deadline."""
        if time.perf_counter() >= self.deadline:
            raise LateError

    def add_input(self, size: int, low: int, high: int) -> int:
        self.parts.append(Part((), np.full(size, float(low)), np.full(size, float(high))))
        return 0

    def add_map(self, map_: Map, *operands: int) -> int:
        """Append an affine map; its range follows from those of its operands."""
        self.look()
        of = [self.parts[i] for i in operands]
        twice = map_([(part.low + part.high)[None] for part in of], False)
        # The offset is in it once, and in what follows not at all.
        offset = map_([np.zeros((1, part.size)) for part in of], False)
        width = map_([(part.high - part.low)[None] for part in of], True)
        low, high = ((twice - offset + sign * width)[0] / 2 + offset[0] for sign in (-1, 1))
        self.parts.append(Part(operands, low, high, map=map_))
        return len(self.parts) - 1

    def add_steps(self, steps: Steps | Sequence[Steps], operand: int) -> int:
        """Append steps: one function for all features, or one for each channel."""
        self.look()
        of, each = self.parts[operand], tuple(steps) if isinstance(steps, Sequence) else (steps,)
        low, high = (
            np.concatenate(
                [stepped(one, part) for one, part in zip(each, end.reshape(len(each), -1), strict=True)]
            ).astype(np.float64)
            for end in (of.low, of.high)
        )
        self.parts.append(Part((operand,), low, high, steps=each))
        return len(self.parts) - 1

    def add_pair(self, function: Pairwise, first: int, second: int) -> int:
        """Append a function of the features of two parts, one by one."""
        self.look()
        if first == second:
            raise UnknownFormError("a function of a value and itself")
        ends = [(int(self.parts[i].low.min()), int(self.parts[i].high.max())) for i in (first, second)]
        (a, b), (c, d) = ends
        if (b - a + 1) * (d - c + 1) > _MOST_PAIRS:
            raise UnknownFormError("a function of two values of more than 8 bits")
        table = np.array([[function(x, y) for y in range(c, d + 1)] for x in range(a, b + 1)], np.int64)
        if bool((np.diff(table, axis=0) < 0).any() or (np.diff(table, axis=1) < 0).any()):
            raise UnknownFormError("a function of two values that does not rise with both")
        of = self.parts[first], self.parts[second]
        low = table[(of[0].low - a).astype(np.int64), (of[1].low - c).astype(np.int64)].astype(np.float64)
        high = table[(of[0].high - a).astype(np.int64), (of[1].high - c).astype(np.int64)].astype(np.float64)
        self.parts.append(Part((first, second), low, high, pair=table, pair_low=(a, c)))
        return len(self.parts) - 1

    def end(self, part: int, added: int) -> None:
        """Let the output be ``part + added``, the number a whole one."""
        self.output = self.add_map(lambda x, absolute: x[0] if absolute else x[0] + added, part)
        self._sum = (part, added)

    def end_in_steps(self) -> None:
        """Let steps to which the output adds a number add it themselves: the same function with one part less."""
        if self._sum is None:
            return
        part, added = self.parts[self._sum[0]], self._sum[1]
        if not part.steps and part.pair is None:
            return

        def shifted(steps: Steps) -> Steps:
            return lambda values: steps(values) + added

        self.parts.append(
            replace(
                part,
                low=part.low + added,
                high=part.high + added,
                steps=tuple(map(shifted, part.steps)),
                pair=None if part.pair is None else part.pair + added,
            )
        )
        self.output, self._sum = len(self.parts) - 1, None

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
