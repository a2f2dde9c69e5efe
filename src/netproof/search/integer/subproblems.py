"""Batches of subproblems, and the store of those still open."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from netproof.bounds.multipliers.ranges import Parameters
from netproof.bounds.region import Region
from netproof.rows import Rows


@dataclass(frozen=True, eq=False)
class Subproblems(Rows):
    """``B`` subproblems: refute case ``case[b]`` on row ``b`` of a region.

    Attributes
    ----------
    case : ``[B]`` int64
    region : their regions
    parameters : multipliers to start from
    value : ``[B]``, the best bound known (the parent's)
    node : ``[B]`` int64, their nodes in the record of the proof (anything, where none is kept)
    """

    case: Tensor
    region: Region
    parameters: Parameters
    value: Tensor
    node: Tensor

    def __len__(self) -> int:
        return self.case.shape[0]


class Frontier:
    """The open subproblems of one query, worst bound first."""

    def __init__(self) -> None:
        self._open: Subproblems | None = None

    def __len__(self) -> int:
        return 0 if self._open is None else len(self._open)

    @property
    def bytes(self) -> int:
        return 0 if self._open is None else self._open.bytes

    @property
    def bound(self) -> float:
        """The largest bound of any open subproblem; ``-inf`` where none is open."""
        return float("-inf") if self._open is None or not len(self._open) else float(self._open.value.max())

    def add(self, subproblems: Subproblems) -> None:
        if len(subproblems):
            parts = [subproblems] if self._open is None else [self._open, subproblems]
            self._open = Subproblems.concatenate(parts)

    def pop(self, count: int) -> Subproblems:
        """Remove and return the ``count`` subproblems with the largest bounds."""
        assert self._open is not None
        if len(self._open) <= count:
            popped, self._open = self._open, None
            return popped
        order = self._open.value.argsort(descending=True, stable=True)
        popped = self._open.take(order[:count])
        self._open = self._open.take(order[count:])
        return popped

    def peek(self, count: int) -> Subproblems:
        """The (at most) ``count`` subproblems with the largest bounds, which stay."""
        assert self._open is not None
        return self._open.take(self._open.value.argsort(descending=True, stable=True)[:count])
