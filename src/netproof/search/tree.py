"""The tree of a search: what is open, the order it is searched in, and the limits it is searched within.

Every search of netproof is a strategy over one of these: it bounds what it is handed, and adds the parts of what stays open.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from netproof.processes import clock
from netproof.result import Verdict, Witness
from netproof.rows import Movable, Slots
from netproof.search.outcome import Outcome
from netproof.search.recorder import Recorder
from netproof.search.trace import tell

if TYPE_CHECKING:
    pass


class Batch(Movable, Protocol):
    """Subproblems side by side, and what else there is of them.

    Attributes
    ----------
    case : the cases that are open in any of them, by their numbers
    value : ``[B]``, the best bound known of each
    """

    @property
    def case(self) -> Tensor: ...

    @property
    def value(self) -> Tensor: ...


B = TypeVar("B", bound=Batch)


def _no_verdict() -> Outcome | None:
    return None


class Tree(ABC, Generic[B]):
    """The open subproblems of one query.

    Parameters
    ----------
    memory : bytes that they may occupy, together with what is recorded of the search
    record : of the search, where there is one
    stuck : why a search is undecided that ends with subproblems put aside

    Attributes
    ----------
    count : subproblems bounded so far
    beside : says how many bytes are kept for open subproblems elsewhere
    """

    def __init__(self, memory: int, record: Recorder[Any] | None = None, stuck: str = "") -> None:
        self.count = 0
        self.beside: Callable[[], int] = lambda: 0
        self._stuck = stuck
        self._memory = memory
        self._record = record
        #: as they were added
        self._open: list[B] = []
        #: cases and bounds of subproblems that stay open whatever else is done
        self._aside: list[tuple[Tensor, Tensor]] = []

    def __len__(self) -> int:
        return sum(map(len, self._open))

    @property
    def bound(self) -> float:
        """The largest bound of any open subproblem; ``-inf`` where none is open."""
        return max((float(value.max()) for _, value in self._columns()), default=-math.inf)

    @property
    def bytes(self) -> int:
        """What the open subproblems occupy."""
        return sum(batch.bytes for batch in self._open)

    def add(self, batch: B) -> None:
        if len(batch):
            self._open.append(batch)

    def put_aside(self, case: Tensor, value: Tensor) -> None:
        """Subproblems that no search of this kind can refute: their cases, and their bounds ``[B]``."""
        self._aside.append((case, value))

    @property
    def is_stuck(self) -> bool:
        """Whether anything was put aside."""
        return bool(self._aside)

    @abstractmethod
    def pop(self, count: int) -> B:
        """Remove and return at most ``count`` of the open subproblems, of which there are some."""

    def search(
        self,
        step: Callable[[B], Outcome | None],
        at_once: int,
        deadline: float,
        judge: Callable[[], Outcome | None] = _no_verdict,
    ) -> Outcome:
        """Hand out open subproblems until there are none, a step or the judge ends the search, or a limit is reached.

        Parameters
        ----------
        step : bounds subproblems and adds the parts of those that stay open
        at_once : how many a step gets at most
        deadline : of ``clock.now()``
        judge : asked before every step whether to go on

        Returns
        -------
        ``unsat`` where nothing is open in the end and nothing was put aside.
        """
        tell("search", lambda: {"open": len(self)})
        while len(self):
            tell("step", self._standing)
            ended = self.beyond_limits(deadline) or judge()
            if ended is None:
                ended = step(self.pop(at_once))
            if ended is not None:
                return ended
        return self.stuck() or Outcome(Verdict.UNSAT, self.count)

    def _columns(self) -> list[tuple[Tensor, Tensor]]:
        """Cases and bounds of all that is open, part by part, none of which is empty."""
        return [(part.case, part.value) for part in self._open]

    def _standing(self) -> dict[str, object]:
        """How far the search is, for whoever listens."""
        parts = [case for case, _ in self._columns()]
        bound = self.bound
        return {
            "subproblems": self.count,
            "open": len(self),
            "cases": len(torch.unique(torch.cat(parts))) if parts else 0,
            "bound": bound if math.isfinite(bound) else None,
        }

    def stuck(self) -> Outcome | None:
        """How the search ends if it ends here because of what was put aside, if anything was."""
        return self.undecided(Verdict.UNKNOWN, self._stuck) if self.is_stuck else None

    def beyond_limits(self, deadline: float) -> Outcome | None:
        """How the search ends now, if its time is over or its memory used up."""
        if clock.now() >= deadline:
            return self.undecided(Verdict.TIMEOUT, "the time limit was reached")
        # What a search begins with is there anyway.
        others = self.beside() + (0 if self._record is None else self._record.bytes)
        if self.count and others + self.bytes > self._memory:
            return self.undecided(Verdict.UNKNOWN, "the memory limit was reached")
        return None

    def sat(self, witness: Witness, method: str = "search") -> Outcome:
        """The outcome with a witness."""
        return Outcome(Verdict.SAT, self.count, witness, method=method)

    def undecided(self, verdict: Verdict, reason: str) -> Outcome:
        """The outcome with what is open, and what was put aside."""
        parts = [*self._columns(), *self._aside]
        bounds = [float(value.max()) for _, value in parts if len(value)]
        left = torch.unique(torch.cat([case for case, _ in parts])) if parts else torch.zeros(0, dtype=torch.int64)
        return Outcome(verdict, self.count, bound=max(bounds, default=-math.inf), reason=reason, left=left)


class WorstFirst(Tree[B]):
    """The largest bounds first: what is open tells how far the search is from its end."""

    def __init__(self, memory: int, record: Recorder[Any] | None = None, stuck: str = "") -> None:
        super().__init__(memory, record, stuck)
        #: what was added before, where there was more than a step takes; slots from the largest bound to the smallest
        self._rest: Slots[B] = Slots()
        self._order = torch.zeros(0, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self._rest) + super().__len__()

    @property
    def bytes(self) -> int:
        """What the open subproblems occupy."""
        return self._rest.bytes + super().bytes

    def _columns(self) -> list[tuple[Tensor, Tensor]]:
        if not len(self._rest):
            return super()._columns()
        rows = self._rest.by_slot
        return [(rows.case[self._order], rows.value[self._order]), *super()._columns()]

    def pop(self, count: int) -> B:
        """Remove and return the (at most) ``count`` subproblems with the largest bounds."""
        if len(self) <= count:
            parts = [self._rest.read(self._order), *self._open] if len(self._rest) else self._open
            self._rest, self._order, self._open = Slots(), self._order[:0], []
            return parts[0] if len(parts) == 1 else type(parts[0]).concatenate(parts)
        order = self._sorted()
        first, self._order = order[:count], order[count:]
        batch = self._rest.read(first)
        self._rest.remove(first)
        return batch

    def peek(self, count: int) -> B:
        """The (at most) ``count`` subproblems with the largest bounds, which stay."""
        return self._rest.read(self._sorted()[:count])

    def revise(self, count: int, change: Callable[[B], tuple[B, Tensor]]) -> None:
        """Put in the place of all that is open, ``count`` at a time, what ``change`` makes of it, where its mask says that it stays open."""
        left = []
        for slots in torch.split(self._sorted(), count) if len(self) else ():
            batch, is_open = change(self._rest.read(slots))
            self._rest.by_slot.written(slots, batch)
            self._rest.remove(slots[~is_open])
            left.append(slots[is_open])
        self._order = torch.cat([self._order[:0], *left])

    def _sorted(self) -> Tensor:
        """Slots of all that is open, the largest bounds first, then what came first. The order that is kept stays as it is."""
        self._order = torch.cat([self._order, *(self._rest.add(batch) for batch in self._open)])
        self._open = []
        return self._order[self._rest.by_slot.value[self._order].argsort(descending=True, stable=True)]


class DepthFirst(Tree[B]):
    """The newest first, which keeps few open: where all have to be refuted, in any order."""

    def total(self, size: Callable[[B], float]) -> float:
        """How large the open subproblems are together, by a measure of batches."""
        return sum(map(size, self._open))

    def begin_again(self, batch: B) -> None:
        """Open is this batch alone, of which everything that was open is a part."""
        self._open = []
        self.add(batch)

    def pop(self, count: int) -> B:
        """Remove and return the newest batches as far as they are ``count`` subproblems together, or some of one."""
        batch = self._open.pop()
        while self._open and len(batch) + len(self._open[-1]) <= count:
            batch = type(batch).concatenate([batch, self._open.pop()])
        if len(batch) > count:
            rows = torch.arange(len(batch))
            self._open.append(batch.take(rows[count:]))
            batch = batch.take(rows[:count])
        return batch
