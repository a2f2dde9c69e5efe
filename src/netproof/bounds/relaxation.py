"""What is bounded: a graph on regions, every activation ranging over the hull of its graph there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from netproof.bounds.condensed import Condensed, chains
from netproof.bounds.ranges.forms import Form
from netproof.bounds.region import Region
from netproof.graph.graph import Graph
from netproof.operators.hulls.hull import Hull
from netproof.operators.hulls.joint_hull import JointHull
from netproof.rows import Rows


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

    def __len__(self) -> int:
        return len(self.region)

    @cached_property
    def hulls(self) -> tuple[Hull, ...]:
        """The hull of every activation over the region's ranges, made when first asked for; of rows taken, those of the whole."""
        if self._of is not None:
            whole, rows = self._of
            return tuple(hull.take(rows) for hull in whole.hulls)
        graph, region = self.graph, self.region
        forms = self.forms or (None,) * len(graph.activations)
        return tuple(
            graph.activation(i).hull(low, high)
            if form is None
            else JointHull(low, high, form.center, form.slopes, form.radius)
            for i, low, high, form in zip(graph.activations, region.range_lower, region.range_upper, forms, strict=True)
        )

    @cached_property
    def condensed(self) -> dict[int, Condensed]:
        """Of a single row, the sums that one map each can stand for (:mod:`netproof.bounds.condensed`), by node."""
        if len(self) != 1:
            return {}
        found = {}
        for index, chain in chains(self.graph).items():
            one = Condensed.of(self.graph, index, chain, self.hulls[chain.k])
            if one is not None:
                found[index] = one
        return found

    @cached_property
    def widest(self) -> int:
        """The largest number of features that CROWN passes back at once."""
        inside: set[int] = set()
        for sums in self.condensed.values():
            inside |= sums.chain.inside
        return max(node.size for index, node in enumerate(self.graph.nodes) if index not in inside)

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
