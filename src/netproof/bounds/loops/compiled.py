"""The loops over unstable features, compiled where numba is there to do it."""

from __future__ import annotations

import functools
from typing import NamedTuple

from netproof.bounds.loops import kernels
from netproof.processes.loops import Loop, compiled


class SignLoops(NamedTuple):
    """The functions of :mod:`netproof.bounds.loops.kernels`, compiled."""

    hand_on: Loop
    hand_back: Loop
    join: Loop
    join_back: Loop


@functools.cache
def sign_loops() -> SignLoops | None:
    """What :class:`netproof.bounds.loops.passing.Passing` runs; None where numba is missing or has no place to keep what it compiles."""
    below: list[Loop] = [kernels.ban, kernels.at_corners, kernels.weigh]
    above: list[Loop] = [kernels.hand_on, kernels.hand_back, kernels.join, kernels.join_back]
    found = compiled([*below, *above], exactly=True, called=len(below))
    return None if found is None else SignLoops(*found[len(below) :])
