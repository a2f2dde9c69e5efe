"""How much work envelopes of the first layer are worth (docs/experiments.md, *What helped*); see :mod:`netproof.effort`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from netproof.effort.bounding import Rates
from netproof.effort.integer import INTEGER


@dataclass(frozen=True)
class Schedule:
    """Steps on prices, which end for a row as soon as its bound is below the goal.

    Attributes
    ----------
    steps : how many
    width : of the smoothing to begin with, in units of what a step of the staircase pays
    shrink : factor of the width from step to step
    goal : a bound
    """

    steps: int
    width: float
    shrink: float
    goal: float = INTEGER.goal


@dataclass(frozen=True)
class EnvelopeEffort:
    """Envelopes, their steps, and where they are used (:mod:`netproof.bounds.envelope`, :mod:`netproof.search.integer.envelopes`).

    Attributes
    ----------
    root : steps at a root
    below : steps in a subproblem, which begins where its parent ended; wide smoothing forgets that, and on its own stays above
        bounds that are small already, so that what it leaves open is gone over again
    range_ends : steps for an end of a range, whose bound has no goal
    most_prices : of all ends of a layer's ranges together; beyond, steps take longer than what smaller ranges save
    promising : a schedule goes over what the one before it left, where that brought the bound down to such a share
    step, momentum : the length of a step in widths, and how much of the last one is carried on
    every : steps from one evaluation of the bound to the next
    improved, improved_compiled : rows of a batch that steps are taken on at once, so that the prices stay in the cache; compiled steps go
        row by row anyway
    evaluated : and that are evaluated exactly at once, which bounds the memory for it
    long : subproblems of a search after which steps are compiled; loading what was compiled takes as long as so many
    least_unit : neurons that pay less than this share of what the one pays that pays most move as if they paid so much
    softness : how gradually one copy is preferred to the other: this share of all that a layer's inputs move, in widths
    length, rates : of the steps above the first layer: the first one in units of each layer, and what they are like
    most_weights, most_levels : of all neurons of a layer, and of a staircase; beyond, there is one multiplier per neuron
    """

    root: tuple[Schedule, ...] = (Schedule(60, 0.5, 0.95),)
    below: tuple[Schedule, ...] = (Schedule(60, 0.3, 0.95), Schedule(60, 0.06, 0.96))
    range_ends: Schedule = Schedule(40, 0.5, 0.93, goal=-math.inf)
    most_prices: int = 1 << 24
    promising: float = 0.3
    step: float = 0.5
    momentum: float = 0.7
    every: int = 10
    improved: int = 8
    improved_compiled: int = 32
    evaluated: int = 32
    long: int = 32
    least_unit: float = 1e-2
    softness: float = 0.125
    length: float = 0.05
    rates: Rates = Rates(first=0.9, second=0.99, shrink=0.95, tiny=1e-12)
    most_weights: int = 1 << 20
    most_levels: int = 256


ENVELOPE = EnvelopeEffort()
