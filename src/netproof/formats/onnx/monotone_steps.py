"""Chains of elementwise integer operations that keep order, and the staircases that they are.

What stands between two layers of an integer network, adding, clipping, dividing, is one monotone function ``f``
of the accumulator. Each step knows the least argument at which it reaches a value, and so does the chain: the
threshold of level ``y`` is ``min { a : f(a) >= y }``, computed in whole numbers, whatever the runtime's own rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from netproof.operators.activations.staircase import Staircase

#: a whole number, or plus or minus infinity
Extended = int | float


class Step(Protocol):
    """A monotone function from integers to integers."""

    def apply(self, a: Extended) -> Extended:
        """Its value at a whole number, or its limit at an infinity."""
        ...

    def least(self, y: Extended) -> Extended:
        """The least argument with a value of at least ``y``: minus infinity where every one has, plus infinity where none."""
        ...


@dataclass(frozen=True)
class Plus:
    """``a + summand``."""

    summand: int

    def apply(self, a: Extended) -> Extended:
        return a + self.summand

    def least(self, y: Extended) -> Extended:
        return y - self.summand


@dataclass(frozen=True)
class Times:
    """``a * factor``, the factor positive."""

    factor: int

    def apply(self, a: Extended) -> Extended:
        return a * self.factor

    def least(self, y: Extended) -> Extended:
        return y if math.isinf(y) else -(-int(y) // self.factor)


@dataclass(frozen=True)
class Quotient:
    """``floor(a / divisor)``, the divisor positive."""

    divisor: int

    def apply(self, a: Extended) -> Extended:
        return a if math.isinf(a) else int(a) // self.divisor

    def least(self, y: Extended) -> Extended:
        return y * self.divisor


@dataclass(frozen=True)
class Clipped:
    """``min(max(a, low), high)``; an infinite end does nothing."""

    low: Extended
    high: Extended

    def apply(self, a: Extended) -> Extended:
        return min(max(a, self.low), self.high)

    def least(self, y: Extended) -> Extended:
        if y <= self.low:
            return -math.inf
        return math.inf if y > self.high else y


def applied(steps: Sequence[Step], a: Extended) -> Extended:
    """The chain's value at ``a``."""
    for step in steps:
        a = step.apply(a)
    return a


def levels_of(steps: Sequence[Step]) -> Extended:
    """How many values the chain can take at most, less one: the number of a staircase's thresholds."""
    return applied(steps, math.inf) - applied(steps, -math.inf)


def staircase_of(steps: Sequence[Step]) -> Staircase:
    """The staircase that a chain of finite image is."""
    low, high = applied(steps, -math.inf), applied(steps, math.inf)
    thresholds = []
    for y in range(int(low) + 1, int(high) + 1):
        argument: Extended = y
        for step in reversed(steps):
            argument = step.least(argument)
        thresholds.append(float(argument))
    return Staircase(
        torch.tensor(thresholds, dtype=torch.float64).reshape(1, -1), torch.tensor([float(low)], dtype=torch.float64)
    )
