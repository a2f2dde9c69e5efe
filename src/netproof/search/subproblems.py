"""Subproblems that are split by ranges."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    prices : ``[B]`` int64, where their parents' prices are kept, ``-1`` for nowhere
        (:class:`netproof.search.integer.envelopes.PricePool`)
    """

    case: Tensor
    region: Region
    parameters: Parameters
    value: Tensor
    node: Tensor
    prices: Tensor

    def __len__(self) -> int:
        return self.case.shape[0]

    def have(self, box: Region) -> Tensor:
        """Which of them, that have a box each, have this one, the box of a region of one row: ``[B]`` bool."""
        return ((self.region.lower == box.lower) & (self.region.upper == box.upper)).all(1)

    def sharing(self, box: Region) -> Subproblems:
        """The same, all of which have a box, with that one for all."""
        return replace(self, region=replace(self.region, lower=box.lower, upper=box.upper))
