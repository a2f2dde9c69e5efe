"""The interface of the exact engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from netproof.query import Query, Verdict
from netproof.settings import Settings


@dataclass(frozen=True, eq=False)
class Answer:
    """What an exact engine says of a query.

    Attributes
    ----------
    verdict : ``SAT``, ``UNSAT``, ``TIMEOUT`` or ``UNKNOWN``
    point : where ``SAT``, the input that the engine's model names: ``[n_input]``, float64 integers.
        The caller replays it; it is no witness before that.
    reason : why there is no answer, where there is none
    retryable : the engine was ended before its limits (a solver's process died, or it is not installed), so that another run may do better
    statistics : figures about the work done, by name
    """

    verdict: Verdict
    point: Tensor | None = None
    reason: str = ""
    retryable: bool = False
    statistics: Mapping[str, float] = field(default_factory=dict)


class Engine(Protocol):
    """Decides queries on integer networks."""

    #: the name by which ``--engine`` and results know it
    name: str

    def decide(self, query: Query, settings: Settings, deadline: float) -> Answer:
        """Decide the query before ``time.monotonic()`` reaches ``deadline``; never raises for what a solver does."""
        ...

    def close(self) -> None:
        """End whatever the engine keeps running between queries."""
        ...
