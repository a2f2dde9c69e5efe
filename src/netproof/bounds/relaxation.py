"""What is bounded: a graph on regions, every activation ranging over the hull of its graph there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import overload

import torch
from torch import Tensor

from netproof.bounds.condensed import Condensed, chains
from netproof.bounds.ranges.forms import Form
from netproof.bounds.region import Region
from netproof.graph.graph import Graph
from netproof.operators.hulls.hull import Hull
from netproof.operators.hulls.joint_hull import JointHull
from netproof.rows import Rows


class Hulls(Sequence[Hull]):
    """Hulls that are made when they are asked for."""

    def __init__(self, count: int, make: Callable[[int], Hull]) -> None:
        self._made: list[Hull | None] = [None] * count
        self._make = make

    def __len__(self) -> int:
        return len(self._made)

    @overload
    def __getitem__(self, k: int) -> Hull: ...
    @overload
    def __getitem__(self, k: slice) -> Sequence[Hull]: ...
    def __getitem__(self, k: int | slice) -> Hull | Sequence[Hull]:
        if isinstance(k, slice):
            return [self[i] for i in range(*k.indices(len(self)))]
        made = self._made[k]
        if made is None:
            made = self._made[k] = self._make(range(len(self))[k])
        return made

    def has(self, k: int) -> bool:
        """Whether one has been made."""
        return self._made[k] is not None


@dataclass(frozen=True, eq=False)
class _Known:
    """Hulls of the ranges of other regions, by activation, with these; and sums by node, with the hull that they were made of."""

    hulls: Mapping[int, tuple[Tensor, Tensor, Hull]]
    sums: Mapping[int, tuple[Hull, Condensed | None]]


@dataclass(frozen=True, eq=False)
class Relaxation(Rows):
    """A graph on ``B`` regions, one per row.

    Attributes
    ----------
    graph, region : in one dtype, on one device
    forms : for each activation, linear forms of its operand, which hold on the region, or None: of products, which are bounded
        together then; None where there are none
    """

    graph: Graph
    region: Region
    forms: tuple[Form | None, ...] | None = None
    #: a larger batch and which of its rows these are
    _of: tuple[Relaxation, Tensor] | None = field(default=None, repr=False)
    _known: _Known = field(default_factory=lambda: _Known({}, {}), repr=False)

    def __len__(self) -> int:
        return len(self.region)

    @cached_property
    def hulls(self) -> Hulls:
        """The hull of every activation over the region's ranges, each made when first asked for; of rows taken, those of the whole."""
        return Hulls(len(self.graph.activations), self._hull)

    def _hull(self, k: int) -> Hull:
        if self._of is not None:
            whole, rows = self._of
            return whole.hulls[k].take(rows)
        low, high = self.region.range_lower[k], self.region.range_upper[k]
        form = None if self.forms is None else self.forms[k]
        if form is not None:
            return JointHull(low, high, form.center, form.slopes, form.radius)
        known = self._known.hulls.get(k)
        # A hull is made of the ends alone, and these may be what they were.
        if known is not None and torch.equal(known[0], low) and torch.equal(known[1], high):
            return known[2]
        return self.graph.activation(self.graph.activations[k]).hull(low, high)

    @cached_property
    def _sums(self) -> dict[int, Condensed | None]:
        """What :meth:`condensed` has been asked for."""
        return {}

    def condensed(self, last: int | None = None) -> dict[int, Condensed]:
        """Of a single row, the sums that one map each can stand for (:mod:`netproof.bounds.condensed`), by node, up to node ``last``."""
        if len(self) != 1:
            return {}
        found = {}
        for index, chain in chains(self.graph).items():
            if last is not None and index > last:
                continue
            if index not in self._sums:
                hull = self.hulls[chain.k]
                of, known = self._known.sums.get(index, (None, None))
                self._sums[index] = known if of is hull else Condensed.of(self.graph, index, chain, hull)
            one = self._sums[index]
            if one is not None:
                found[index] = one
        return found

    def widest(self, last: int | None = None) -> int:
        """The largest number of features that CROWN passes back at once, of objectives of nodes up to ``last``."""
        inside: set[int] = set()
        for sums in self.condensed(last).values():
            inside |= sums.chain.inside
        nodes = self.graph.nodes if last is None else self.graph.nodes[: last + 1]
        return max(node.size for index, node in enumerate(nodes) if index not in inside)

    def on(self, region: Region) -> Relaxation:
        """The graph on another region of as many rows, with the hulls of this one where the ranges are the same."""
        if self._of is not None or self.forms is not None:
            return Relaxation(self.graph, region)
        mine = self.region
        hulls = {
            k: (mine.range_lower[k], mine.range_upper[k], self.hulls[k])
            for k in range(len(self.hulls))
            if self.hulls.has(k)
        }
        chained = chains(self.graph)
        sums = {index: (self.hulls[chained[index].k], one) for index, one in self._sums.items()}
        known = _Known({**self._known.hulls, **hulls}, {**self._known.sums, **sums})
        return Relaxation(self.graph, region, None, None, known)

    def take(self, rows: Tensor) -> Relaxation:
        """The rows selected by an index or mask tensor."""
        whole, which = self, rows
        if self._of is not None and "hulls" not in self.__dict__:
            whole, which = self._of[0], self._of[1][rows]
        return Relaxation(self.graph, self.region.take(rows), None, (whole, which))

    def to(self, dtype: torch.dtype, device: torch.device | str = "cpu") -> Relaxation:
        """The same in another dtype, for searching, and where that is done."""
        return Relaxation(self.graph.to(dtype, device), self.region.to(dtype, device))

    @classmethod
    def concatenate(cls, parts: Sequence[Relaxation]) -> Relaxation:
        """The rows of several relaxations of one graph."""
        return cls(parts[0].graph, Region.concatenate([part.region for part in parts]))
