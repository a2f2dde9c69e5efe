"""The walk over boxes, compiled where numba is there to do it."""

from __future__ import annotations

import functools

from netproof.bounds.chains import kernels
from netproof.processes.loops import Loop, compiled
from netproof.search.real.chains import walk


@functools.cache
def compiled_walk() -> Loop | None:
    """:func:`netproof.search.real.chains.walk.walk`; None where numba is missing or has no place to keep what it compiles.

    Operation by operation, so that rounding is what the account of it says.
    """
    below: list[Loop] = [
        kernels.pass_back,
        kernels.largest,
        kernels.begin,
        kernels.end_of,
        kernels.draw,
        kernels.share,
        kernels.refine,
        kernels.hand_on_outputs,
        kernels.row_bound,
        kernels.bound_cases,
        kernels.blame,
        kernels.margin,
        walk.look_around,
        walk.halve,
        walk.walk,
    ]
    found = compiled(below, exactly=True, called=len(below) - 1)
    return None if found is None else found[-1]
