"""Ranges by branch and bound, layer by layer (:mod:`netproof.bounds.ends.end_search`), on all of a region or on a cell."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from netproof.bounds.ends.end_search import EndSearch
from netproof.bounds.ends.leaves import Leaves
from netproof.bounds.loops.compiled import SignLoops
from netproof.bounds.multipliers.signs import LEFT, RIGHT, SignDual
from netproof.bounds.ranges.prefix import Prefix, prefix
from netproof.bounds.ranges.refine_alpha import BegunEnds
from netproof.bounds.region import Region, propagate_intervals
from netproof.effort.bounding import REFINE
from netproof.graph.graph import Graph
from netproof.graph.loose import improvable


class Side(NamedTuple):
    """One feature of the ``k``-th activation on one side of 0, ``LEFT`` or ``RIGHT``."""

    k: int
    feature: int
    half: int


@dataclass(frozen=True, eq=False)
class SplitEnds:
    """By which parts ends of ranges were bounded.

    Attributes
    ----------
    k : of all ends, the activation
    feature, upper, bound : ``[N]``, the feature, whether the upper end, and the bound of it or of its negative
    unstable : numbers of activations with their features whose sign was not known, ``m`` in all
    parts : of all ends, which their owners are
    """

    k: int
    feature: Tensor
    upper: Tensor
    bound: Tensor
    unstable: tuple[tuple[int, Tensor], ...]
    parts: Leaves


class SplitRefiner:
    """Ranges of a region of one row on a piecewise linear graph by splits, in one round or several.

    Parameters
    ----------
    graph : the graph
    cell : the part of the region that is meant; ranges that are found hold on that part and nowhere else
    memory : bytes that parts waiting to be split may occupy, of all layers together
    layer_share : of the time left in a round, what one layer may take
    device : where the searches in float32 are done
    listen : told what ends were bounded by, as far as that takes no more than a part of the memory
    """

    def __init__(
        self,
        graph: Graph,
        cell: Sequence[Side] = (),
        memory: int = 1 << 30,
        layer_share: float = REFINE.layer_share,
        device: torch.device | str = "cpu",
        listen: Callable[[SplitEnds], None] | None = None,
    ) -> None:
        self._graph = graph
        self._cell = cell
        self._layer_share = layer_share
        self._device, self._listen = device, listen
        self._begun: BegunEnds | None = None
        self._loops: SignLoops | None = None
        better = improvable(graph)
        first = min((one.k + 1 for one in cell), default=0)
        self._layers = [k for k, i in enumerate(graph.activations) if k >= first and better[graph.nodes[i].operands[0]]]
        self._memory = memory // max(1, len(self._layers))
        self._kept: dict[int, tuple[Prefix, EndSearch]] = {}

    def begin_with(self, begun: BegunEnds) -> None:
        """Searches for ends begin with these slopes."""
        self._begun = begun

    def use(self, loops: SignLoops | None) -> None:
        """Searches that begin from here on compute bounds in float32 by these."""
        self._loops = loops

    def refine(self, region: Region, seconds: float, worth: Sequence[float] | None = None) -> Region:
        """Tighten all ranges, every layer in its share of the time; they are rigorous in real arithmetic.

        A layer's share goes by the square root of what its ends are worth, where that is told of every activation: what is left of
        a gap falls about as fast as the time that it gets grows, so that all together are smallest then.

        ``region`` holds what is known; in a further round it must be the one that the round before returned, or a part
        of it. Everything is float64.
        """
        graph = self._graph
        until = time.monotonic() + seconds
        for place, k in enumerate(self._layers):
            share = self._share(place, worth)
            low, high = region.range_lower[k].clone(), region.range_upper[k].clone()
            which = _searched(low[0], high[0])
            if not len(which):
                continue
            now = time.monotonic()
            part, search = self._search(region, k, which)
            search.tighten(torch.isin(part.feature, which), now + (until - now) * share)
            n = len(part.feature)
            self._tell(k, part, search, torch.cat([high[0, part.feature], -low[0, part.feature]]))
            high[0, part.feature] = torch.minimum(high[0, part.feature], search.bound[:n])
            low[0, part.feature] = torch.maximum(low[0, part.feature], -search.bound[n:])
            region = propagate_intervals(graph, region.with_range(k, low, high))
        return region

    def _share(self, place: int, worth: Sequence[float] | None) -> float:
        """Of the time that is left, what a layer gets."""
        roots = [] if worth is None else [math.sqrt(worth[k]) for k in self._layers[place:]]
        total = sum(roots)
        if 0 < total < math.inf:
            return roots[0] / total
        return max(self._layer_share, 1 / (len(self._layers) - place))

    def _tell(self, k: int, part: Prefix, search: EndSearch, known: Tensor) -> None:
        """Tell by which parts the ends were bounded that are better than ``known``, ``[2 n]``."""
        parts = None if self._listen is None else search.parts()
        better = (search.bound < known).nonzero()[:, 0]
        if self._listen is None or parts is None or not len(better):
            return
        number = torch.full((len(known),), -1)
        number[better] = torch.arange(len(better))
        parts = parts.take((number[parts.owner] >= 0).nonzero()[:, 0])
        n = len(part.feature)
        unstable = tuple((k, feature[which]) for (k, feature), which in zip(part.kept, search.unstable, strict=False))
        parts = replace(parts, owner=number[parts.owner])
        self._listen(SplitEnds(k, part.feature[better % n], better < n, search.bound[better], unstable, parts))

    def _search(self, region: Region, k: int, which: Tensor) -> tuple[Prefix, EndSearch]:
        """The search of the round before where nothing that it depends on has changed since, or a new one."""
        if k in self._kept:
            part, search = self._kept[k]
            if search.is_far == _is_narrow(region.range_upper[k][0]) and _same(
                prefix(self._graph, region, k, part.feature).region, part.region
            ):
                return part, search
        part = prefix(self._graph, region, k, which)
        known = region.range_lower[k][0, part.feature], region.range_upper[k][0, part.feature]
        dual = SignDual.of(part.graph, part.region, loops=self._loops)
        side = sides_of(dual, [one for one in self._cell if one.k < k], part.kept) if self._cell else None
        unstable = [(k, feature[which]) for (k, feature), which in zip(part.kept, dual.index, strict=False)]
        slopes = None if self._begun is None else self._begun.slopes(k, part.feature, unstable)
        search = EndSearch(dual, *known, side, self._memory, self._device)
        if _is_narrow(region.range_upper[k][0]):
            search.go_far()
        search.begin_with(slopes)
        search.keep(0 if self._listen is None else self._memory)
        self._kept[k] = part, search
        return part, search


def _searched(low: Tensor, high: Tensor) -> Tensor:
    """Features of a layer, by their ranges ``[n]``, whose ends are searched for: ``[m]``."""
    return ((high > 0) & ((low < 0) | _is_narrow(high))).nonzero()[:, 0]


def _is_narrow(high: Tensor) -> bool:
    """Whether few features of a layer, by the upper ends of their ranges ``[n]``, are not 0 everywhere."""
    return int((high > 0).sum()) <= REFINE.narrow


def sides_of(dual: SignDual, cell: Sequence[Side], kept: Sequence[tuple[int, Tensor]] | None = None) -> Tensor:
    """The cell as sides of unstable features, ``[m]`` int8; stable ones are left out.

    ``kept`` has the original number of every activation and the original indices of its features, where some have been
    dropped.
    """
    found = []
    for place, which in enumerate(dual.index):
        k, original = (place, which) if kept is None else (kept[place][0], kept[place][1][which])
        side = torch.zeros(len(which), dtype=torch.int8)
        for one in cell:
            if one.k == k:
                side[original == one.feature] = one.half
        found.append(side)
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.int8)


def is_empty_cell(region: Region, cell: Sequence[Side]) -> bool:
    """Whether ranges that hold on a cell rule out one of its sides."""
    for k, feature, half in cell:
        low, high = float(region.range_lower[k][0, feature]), float(region.range_upper[k][0, feature])
        if (half == RIGHT and high < 0) or (half == LEFT and low > 0):
            return True
    return bool(region.empty().any())


def _same(one: Region, other: Region) -> bool:
    """Whether two regions are equal."""
    pairs = zip(
        (one.lower, one.upper, *one.range_lower, *one.range_upper),
        (other.lower, other.upper, *other.range_lower, *other.range_upper),
        strict=True,
    )
    return all(torch.equal(a, b) for a, b in pairs)
