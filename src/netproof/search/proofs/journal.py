"""What a search on a real network proved, recorded as it goes, whatever it splits: signs, ranges, boxes, cells.

The bound that refutes a node is the dual one (:mod:`netproof.bounds.dual`) of a mixture of the case's constraints, at
multipliers that are recorded, or that follow from what is: on the ranges of the node, or on those of the last node above it
whose ranges were found anew. How ranges were found is recorded by name only; by which multipliers, is not, but for the slopes of :mod:`netproof.bounds.ranges.refine_alpha`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from netproof.bounds.ends.refine_split import SplitEnds
from netproof.bounds.joint.pairs import Pairs
from netproof.bounds.multipliers.planes import Planes
from netproof.bounds.ranges.refine_alpha import SlopedEnds
from netproof.bounds.region import Region
from netproof.rows import Rows
from netproof.search.branching import Split
from netproof.search.proofs.log import Splits


class Means(Enum):
    """What refutes a node, or cuts ranges.

    To refute: ``MULTIPLIERS`` are those of all activations; ``SIGNS`` are slopes of lower lines and multipliers of splits
    (:meth:`netproof.bounds.multipliers.signs.SignDual.bound`) for the features that are open where ranges were last found;
    ``CROWN`` follows from the ranges; ``INTERVALS`` are multipliers of 0; ``FRACTIONS`` is a bound of exactly 0
    (:mod:`netproof.search.real.touch`); ``EMPTY`` says that ranges leave nothing. Ranges are cut by ``INTERVALS``, linear
    ``FORMS``, ``CROWN``, optimized ``SLOPES``, ``SPLITS`` of their own, or by the ``MULTIPLIERS`` of one bound.
    """

    MULTIPLIERS = "multipliers"
    SIGNS = "signs"
    CROWN = "crown"
    INTERVALS = "intervals"
    FRACTIONS = "fractions"
    EMPTY = "empty"
    FORMS = "forms"
    SLOPES = "slopes"
    SPLITS = "splits"


@dataclass(frozen=True, eq=False)
class Grounds(Rows):
    """By what nodes are refuted, ``N`` rows, or ranges cut.

    Attributes
    ----------
    means : of all rows
    weight : ``[N, m]`` float64, of the constraints of each row's case; None where the means needs none
    s : of ``MULTIPLIERS`` ``[N, n_k]`` for each activation, None where the objective does not reach; of ``SIGNS`` the slopes
        and the multipliers ``[N, unstable features]``; float64
    planes : of ``SIGNS`` the number of the planes that stand in the place of chords (:meth:`Journal.planed`), 0 for none
    pairs : the same of pairs of features (:meth:`Journal.paired`)
    """

    means: Means
    weight: Tensor | None = None
    s: tuple[Tensor | None, ...] = ()
    planes: int = 0
    pairs: int = 0


@dataclass(frozen=True, eq=False)
class Planed:
    """Planes in the place of chords: of which features of activations, and what they are."""

    index: tuple[Tensor, ...]
    planes: Mapping[int, Planes]


@dataclass(frozen=True, eq=False)
class Paired:
    """Features that were bounded together: unstable features of all activations, and which of them are pairs."""

    index: tuple[Tensor, ...]
    pairs: Mapping[int, Pairs]


@dataclass(frozen=True, eq=False)
class Refuted(Rows):
    """Nodes ``[N]`` and what refutes them."""

    node: Tensor
    by: Grounds


@dataclass(frozen=True, eq=False)
class Reduced(Rows):
    """Nodes ``[N]``, the ranges there, and how these were found."""

    node: Tensor
    region: Region
    by: Grounds


class Journal:
    """The record of the search on one real query.

    A node that is split again is to be read as it was split last: a search that did not come to its end was given up for
    another one. The same holds for roots. What refutes a node refutes it whatever else is said of it.

    Attributes
    ----------
    roots : case to the node where its search began
    begun : nodes where searches began, and on which region of one row
    refuted, splits, reduced : nodes that were refuted, split, and got ranges of their own
    common : regions that hold the whole box, in the order in which their ranges were found, and how these were found
    slopes, divided : by which ends of such ranges were bounded, where that is recorded
    planes, pairs : sets of planes, and of pairs of features, that hold on the whole box, which are numbered from 1
    count : nodes so far
    bytes : what the record occupies
    """

    def __init__(self) -> None:
        self.roots: dict[int, int] = {}
        self.begun: list[tuple[Tensor, Region]] = []
        self.refuted: list[Refuted] = []
        self.splits: list[Splits] = []
        self.reduced: list[Reduced] = []
        self.common: list[tuple[Means, Region]] = []
        self.slopes: list[SlopedEnds] = []
        self.divided: list[SplitEnds] = []
        self.planes: list[Planed] = []
        self.pairs: list[Paired] = []
        self.count = 0
        self.bytes = 0

    def found(self, region: Region, means: Means) -> None:
        """Ranges that hold on all of the box, a region of one row."""
        self.common.append((means, region))
        self.bytes += region.bytes

    def sloped(self, ends: SlopedEnds) -> None:
        """Ends of ranges that hold on all of the box were bounded by slopes."""
        self.slopes.append(ends)
        self.bytes += ends.bytes

    def searched(self, ends: SplitEnds) -> None:
        """Ends of ranges that hold on all of the box were bounded by splits of their own; what is said of an end last counts."""
        self.divided.append(ends)
        self.bytes += ends.parts.bytes

    def planed(self, index: tuple[Tensor, ...], planes: Mapping[int, Planes]) -> int:
        """Planes hold on all of the box, of features ``index`` of activations: the number of the set."""
        self.planes.append(Planed(index, planes))
        # Row, column and value of every entry.
        self.bytes += sum(24 * len(one.value) for above in planes.values() for one in above.onto.values())
        return len(self.planes)

    def paired(self, index: tuple[Tensor, ...], pairs: Mapping[int, Pairs]) -> int:
        """Features ``index`` of activations are bounded together in pairs on all of the box: the number of the set."""
        self.pairs.append(Paired(index, pairs))
        self.bytes += sum(4 * one.ends.slope.numel() for one in pairs.values() if one.ends is not None)
        return len(self.pairs)

    def resumed(self, case: Tensor, node: Tensor) -> None:
        """A search that was given up for another one goes on: cases ``[N]`` and the nodes where it began."""
        self.roots.update(zip(case.tolist(), node.tolist(), strict=True))

    def root(self, case: Tensor, region: Region) -> Tensor:
        """The search for cases ``[N]`` begins, or begins anew, on a region of one row: their nodes."""
        node = self._nodes(len(case))
        self.roots.update(zip(case.tolist(), node.tolist(), strict=True))
        self.begun.append((node, region))
        self.bytes += region.bytes
        return node

    def split(self, node: Tensor, split: Split) -> Tensor:
        """Nodes are split in two: the nodes of all lower halves, then of all upper halves."""
        children = self._nodes(2 * len(node))
        self.splits.append(Splits(node, split, *children.chunk(2)))
        self.bytes += 8 * 3 * len(node) + split.bytes
        return children

    def leaf(self, node: Tensor, by: Grounds) -> None:
        """Nodes are refuted."""
        if len(node):
            self.refuted.append(Refuted(node, by))
            self.bytes += self.refuted[-1].bytes

    def reduction(self, node: Tensor, before: Region, after: Region, by: Grounds) -> None:
        """Nodes have ranges of their own, those of the region ``after``."""
        del before
        if len(node):
            self.reduced.append(Reduced(node, after, by))
            self.bytes += self.reduced[-1].bytes

    def _nodes(self, count: int) -> Tensor:
        self.count += count
        return torch.arange(self.count - count, self.count)


def split_cases(record: Journal, node: Tensor, cases: Tensor, split: Split) -> Tensor:
    """Nodes ``[2 B, N]`` of the halves of parts that several cases share.

    Parameters
    ----------
    node : ``[B, N]``, of every part and case
    cases : ``[B, N]`` bool, which are open there; the others' nodes mean nothing
    split : of every part
    """
    part, case = cases.nonzero(as_tuple=True)
    children = record.split(node[part, case], split.take(part))
    halves = node.repeat(2, 1)
    halves[torch.cat([part, part + len(node)]), case.repeat(2)] = children
    return halves


def one_constraint(value: Tensor) -> Tensor:
    """Weights ``[..., m]``: 1 for the constraint with the least bound ``[..., m]``, 0 for the others."""
    return torch.zeros_like(value).scatter_(-1, value.argmin(-1, keepdim=True), 1.0)
