"""Looking for an input at which two networks do not agree, by small changes of one at which they do.

Where two runtimes differ by little, they can disagree on a class only where the two largest outputs are near each other. So
the search goes where they come nearer: the changes that bring the lead down are kept.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from netproof.agreement.joined import Agreement
from netproof.perturbations.base import Whole

_BATCH = 64
#: changes of a part of the inputs that moves: a half of them at first, one in the end
_LEAST_PART = 1e-4
#: after so many batches without a better one the search begins again
_PATIENCE = 40


class Evaluation(Protocol):
    """What a network gives: outputs ``[N, n_output]`` of inputs ``[N, n_input]``, of both networks in one unit."""

    def outputs(self, inputs: Whole) -> NDArray[Any]: ...


@dataclass(frozen=True)
class Limits:
    """When to stop: a time on :func:`time.monotonic`, a number of evaluations; and the seed of what is drawn at random."""

    deadline: float
    most: int
    seed: int = 0


def climb(
    plans: tuple[Evaluation, Evaluation],
    box: tuple[Whole, Whole],
    start: Whole,
    agreement: Agreement,
    limits: Limits,
) -> tuple[Whole | None, int]:
    """An input ``[n]`` in a box at which two networks disagree, or None, and how many were evaluated.

    Parameters
    ----------
    box, start : lower and upper ends ``[n]``, and an input in between
    """
    low, high = box
    random = np.random.default_rng(limits.seed)
    free = np.flatnonzero(high > low)
    done, rounds = 0, 0
    while len(free) and done < limits.most and time.monotonic() < limits.deadline:
        # The first time from the input itself, later from corners of the box.
        best = start.copy() if rounds == 0 else np.where(random.random(len(low)) < 0.5, low, high)
        rounds += 1
        value, stale, part = np.inf, 0, 0.5
        while stale < _PATIENCE and done < limits.most and time.monotonic() < limits.deadline:
            tried = np.repeat(best[None], _BATCH, 0)
            moved = random.random((_BATCH, len(free))) < max(part, 1.5 / len(free))
            ends = np.where(random.random((_BATCH, len(free))) < 0.5, low[free], high[free])
            between = random.integers(low[free], high[free] + 1, (_BATCH, len(free)))
            ends = np.where(random.random((_BATCH, 1)) < 0.7, ends, between)
            tried[1:, free] = np.where(moved, ends, tried[:, free])[1:]
            first, second = (plan.outputs(tried) for plan in plans)
            done += _BATCH
            broken = np.flatnonzero(agreement.broken(first, second))
            if len(broken):
                return tried[broken[0]], done
            lead = _lead(first, second, agreement)
            at = int(lead.argmin())
            if lead[at] < value:
                best, value, stale = tried[at], float(lead[at]), 0
            else:
                stale += 1
                part = max(_LEAST_PART, part * 0.8)
    return None, done


def _lead(first: NDArray[Any], second: NDArray[Any], agreement: Agreement) -> NDArray[np.float64]:
    """How far inputs are from disagreement, in outputs; smaller is nearer."""
    if agreement.within is not None:
        return np.asarray(-np.abs(first - second).max(1), np.float64)
    found: NDArray[np.float64] = np.zeros(len(first))
    for outputs in (first, second):
        largest = np.partition(outputs, -2, 1)[:, -2:]
        found += largest[:, 1] - largest[:, 0]
    return found
