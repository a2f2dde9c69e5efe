"""How much work questions of several parts are worth; see :mod:`netproof.effort`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PartsEffort:
    """Questions of several parts (:mod:`netproof.search.verify`).

    Attributes
    ----------
    least_share : seconds that a part gets at the least, so that parts which bounds decide are decided in their turn
    again : undecided parts are asked again where each can have so many times the time it had
    """

    least_share: float = 0.1
    again: float = 2.0


@dataclass(frozen=True)
class TogetherEffort:
    """Parts about real networks that are bounded side by side before any is asked by itself.

    Attributes
    ----------
    least : so many parts at least
    share : of the time, at most
    """

    least: int = 4
    share: float = 0.5


PARTS = PartsEffort()
TOGETHER = TogetherEffort()
