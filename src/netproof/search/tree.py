"""The tree of a search: what is open, the worst bound first, and the limits it is searched within."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from netproof.result import Verdict
from netproof.search.outcome import Outcome

if TYPE_CHECKING:
    from typing_extensions import Self


class Batch(Protocol):
    """Subproblems side by side: ``case`` ``[B]`` and the best bound known ``value`` ``[B]``, and what else there is of them."""

    @property
    def case(self) -> Tensor: ...

    @property
    def value(self) -> Tensor: ...

    @property
    def bytes(self) -> int: ...

    def __len__(self) -> int: ...

    def take(self, rows: Tensor) -> Self: ...

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self: ...


B = TypeVar("B", bound=Batch)


class Tree(Generic[B]):
    """The open subproblems of one query.

    Parameters
    ----------
    memory : bytes that they may occupy, together with what is recorded of the search

    Attributes
    ----------
    count : subproblems bounded so far
    """

    def __init__(self, memory: int) -> None:
        self.count = 0
        self._memory = memory
        self._open: B | None = None

    def __len__(self) -> int:
        return 0 if self._open is None else len(self._open)

    @property
    def bound(self) -> float:
        """The largest bound of any open subproblem; ``-inf`` where none is open."""
        return -math.inf if self._open is None or not len(self._open) else float(self._open.value.max())

    def add(self, batch: B) -> None:
        if len(batch):
            self._open = batch if self._open is None else type(batch).concatenate([self._open, batch])

    def pop(self, count: int) -> B:
        """Remove and return the (at most) ``count`` subproblems with the largest bounds."""
        assert self._open is not None
        if len(self._open) <= count:
            popped, self._open = self._open, None
            return popped
        order = self._open.value.argsort(descending=True, stable=True)
        popped = self._open.take(order[:count])
        self._open = self._open.take(order[count:])
        return popped

    def peek(self, count: int) -> B:
        """The (at most) ``count`` subproblems with the largest bounds, which stay."""
        assert self._open is not None
        return self._open.take(self._open.value.argsort(descending=True, stable=True)[:count])

    def beyond_limits(self, deadline: float, recorded: int = 0) -> Outcome | None:
        """How the search ends now, if its time is over or its memory used up; ``recorded`` bytes besides."""
        if time.monotonic() >= deadline:
            return self.undecided(Verdict.TIMEOUT, "the time limit was reached")
        if recorded + (0 if self._open is None else self._open.bytes) > self._memory:
            return self.undecided(Verdict.UNKNOWN, "the memory limit was reached")
        return None

    def undecided(self, verdict: Verdict, reason: str, others: Sequence[tuple[Tensor, Tensor]] = ()) -> Outcome:
        """The outcome with what is open in the tree, and ``others``, cases with bounds ``[N]`` that are open elsewhere."""
        parts = [*others] if self._open is None else [(self._open.case, self._open.value), *others]
        cases = [case for case, _ in parts]
        bounds = [float(value.max()) for _, value in parts if len(value)]
        left = torch.unique(torch.cat(cases)) if cases else torch.zeros(0, dtype=torch.int64)
        return Outcome(verdict, self.count, bound=max(bounds, default=-math.inf), reason=reason, left=left)
