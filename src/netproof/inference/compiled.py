"""The passes over sums and codes as compiled loops, where numba is there to do it.

What follows a kernel's sums of products takes three to four passes over them in tensors and one in a loop, which is several times as fast. Compiling takes a few
seconds, once on a machine, and loading what was compiled half a second, once in a process: that is for many inputs. Loops compute
what tensors do, operation by operation: nothing is fused, and no order changes.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from netproof.processes.loops import Loop, compiled

#: numbers of one step after which loops are loaded
LONG = 1 << 24


def by_line(sums: Any, slope: Any, offset: Any, top: float, found: Any) -> None:
    """Levels ``found`` ``[N, C]`` uint8 of sums ``[N, C]`` float32: ``floor(slope a + offset)`` within 0 and ``top``."""
    rows, channels = sums.shape
    for i in range(rows):
        for c in range(channels):
            z = np.float64(sums[i, c]) * slope[c] + offset[c]
            found[i, c] = np.uint8(np.int32(max(0.0, min(z, top))))


def by_two_lines(sums: Any, lines: tuple[Any, Any, Any], zero: float, top: float, found: Any) -> None:
    """The same of two lines, slope, offset and half: ``zero + trunc(z + copysign(half, z))`` of ``z = slope a + offset``."""
    rows, channels = sums.shape
    slope, offset, half = lines
    for i in range(rows):
        for c in range(channels):
            z = np.float64(sums[i, c]) * slope[c] + offset[c]
            z = z + np.copysign(half[c], z)
            found[i, c] = np.uint8(np.int32(max(-zero, min(z, top - zero))) + np.int32(zero))


def by_factor(sums: Any, factor: Any, base: Any, top: Any, found: Any) -> None:
    """The same by one product in float32, rounded to the nearest and halves to even: ``rint(a factor) - base``."""
    rows, channels = sums.shape
    for i in range(rows):
        for c in range(channels):
            z = np.rint(sums[i, c] * factor[c]) - base
            found[i, c] = np.uint8(np.int32(max(np.float32(0.0), min(z, top))))


def by_table(first: Any, second: Any, table: Any, found: Any) -> None:
    """Entries ``256 a + b`` of a table, for bytes ``[N]``."""
    for i in range(len(first)):
        found[i] = table[(np.int32(first[i]) << 8) | np.int32(second[i])]


class Kernels(NamedTuple):
    """The functions above, compiled."""

    by_line: Loop
    by_two_lines: Loop
    by_factor: Loop
    by_table: Loop


@functools.cache
def compiled_kernels() -> Kernels | None:
    """The loops; None where numba is missing, cannot be loaded, or has no place to keep what it compiles."""
    found = compiled([by_line, by_two_lines, by_factor, by_table], exactly=True)
    return None if found is None else Kernels(*found)


@dataclass
class Worked:
    """What a step has computed so far; ``numbers`` of them."""

    numbers: int = 0

    def kernels(self, more: int) -> Kernels | None:
        """The loops to compute so many more numbers with; None where it is not worth it, or not possible."""
        self.numbers += more
        return compiled_kernels() if self.numbers >= LONG else None
