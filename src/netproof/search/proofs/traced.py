"""The record of a search on a real network in plain numbers."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.bounds.ends.refine_split import SplitEnds
from netproof.bounds.ranges.refine_alpha import SlopedEnds
from netproof.bounds.region import Region
from netproof.graph.graph import Graph
from netproof.operators.activations.relu import ReLU
from netproof.result import DividedEnd, Ends, PairsBeside, PlanesAbove, Refutation, Trace
from netproof.search.proofs.journal import Grounds, Journal, Means, Paired, Planed


def trace_of(graph: Graph, journal: Journal) -> Trace:
    """What a journal about the search on a graph says."""
    sizes = tuple(graph.nodes[i].size for i in graph.activations)
    refuted: dict[int, Refutation] = {}
    for leaves in journal.refuted:
        for row, node in enumerate(leaves.node.tolist()):
            refuted[node] = _refutation(leaves.by, row)
    splits = {}
    for entry in journal.splits:
        parts = (entry.node, entry.split.k, entry.split.feature, entry.split.point, entry.lower, entry.upper)
        for node, *split in zip(*(part.tolist() for part in parts), strict=True):
            splits[node] = (split[0], split[1], split[2], split[3], split[4])
    unstable: dict[int, NDArray[np.int64]] = {}
    for nodes, region in journal.begun:
        mine = _open(region, 0, sizes)
        unstable.update((node, mine) for node in nodes.tolist())
    ranges: dict[int, str] = {}
    for reduced in journal.reduced:
        for row, node in enumerate(reduced.node.tolist()):
            ranges[node] = reduced.by.means.value
            if reduced.by.means is Means.SPLITS:
                unstable[node] = _open(reduced.region, row, sizes)
    common = tuple(means.value for means, _ in journal.common)
    ends = tuple(_sloped(one, sizes) for one in journal.slopes)
    plain = itertools.takewhile(lambda one: one[0] in (Means.INTERVALS, Means.FORMS, Means.CROWN), journal.common)
    box = [_box(region) for means, region in plain if means is Means.CROWN][-1:]
    divided = _divided(journal.divided, sizes)
    planes = tuple(_planes(graph, planed) for planed in journal.planes)
    pairs = tuple(_pairs(graph, paired, sizes) for paired in journal.pairs)
    return Trace(
        sizes,
        dict(journal.roots),
        splits,
        refuted,
        unstable,
        ranges,
        common,
        ends,
        divided,
        box[0] if box else (),
        planes,
        pairs,
    )


def _planes(graph: Graph, planed: Planed) -> tuple[PlanesAbove, ...]:
    """Planes of a set that were made to hold, those of one activation after the other; certificates have planes above ReLUs, over ReLUs."""
    found = []
    for k, planes in sorted(planed.planes.items()):
        nodes = [graph.activations[k], *(node for node in planes.onto if node)]
        if planes.ends is None or not all(isinstance(graph.activation(node), ReLU) for node in nodes):
            continue
        onto = []
        for node, one in sorted(planes.onto.items()):
            before = graph.activations.index(node) if node else -1
            onto.append((before, one.row.numpy(), one.column.numpy(), one.value.numpy()))
        p, q = (end.numpy() for end in planes.ends)
        found.append(PlanesAbove(k, planed.index[k].numpy(), p, q, tuple(onto)))
    return tuple(found)


def _pairs(graph: Graph, paired: Paired, sizes: tuple[int, ...]) -> tuple[PairsBeside, ...]:
    """Pairs of a set, those of one activation after the other; certificates have pairs of ReLUs' features."""
    begin = itertools.accumulate(sizes, initial=0)
    numbers = [start + which.numpy() for start, which in zip(begin, paired.index, strict=False)]
    found = []
    for k, pairs in sorted(paired.pairs.items()):
        if pairs.ends is None or not isinstance(graph.activation(graph.activations[k]), ReLU):
            continue
        first, second = paired.index[k][pairs.members].view(2, -1).numpy()
        opened = np.concatenate([np.zeros(0, np.int64), *numbers[:k]])
        found.append(PairsBeside(k, first, second, opened, pairs.ends.slope.numpy(), pairs.ends.largest.numpy()))
    return tuple(found)


def _box(region: Region) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]:
    """Both ends of every activation's ranges, of the one row."""
    ends = zip(region.range_lower, region.range_upper, strict=True)
    return tuple((low[0].numpy(), high[0].numpy()) for low, high in ends)


def _divided(told: list[SplitEnds], sizes: tuple[int, ...]) -> tuple[DividedEnd, ...]:
    """What was said of every end last, one layer after the other."""
    begin = [0, *itertools.accumulate(sizes)]
    found: dict[tuple[int, int, bool], DividedEnd] = {}
    for ends in told:
        numbers = np.concatenate([np.zeros(0, np.int64), *(begin[k] + which.numpy() for k, which in ends.unstable)])
        order = ends.parts.owner.argsort(stable=True)
        starts = torch.searchsorted(ends.parts.owner[order], torch.arange(len(ends.feature) + 1)).tolist()
        side, slope, added = (part.numpy() for part in (ends.parts.side, ends.parts.alpha, ends.parts.beta))
        listed = zip(ends.feature.tolist(), ends.upper.tolist(), ends.bound.tolist(), strict=True)
        for n, (feature, upper, bound) in enumerate(listed):
            rows = order[starts[n] : starts[n + 1]].numpy()
            mine = side[rows], slope[rows], added[rows]
            found[ends.k, feature, upper] = DividedEnd(ends.k, feature, upper, bound, numbers, *mine)
    return tuple(found[key] for key in sorted(found))


def _sloped(ends: SlopedEnds, sizes: tuple[int, ...]) -> Ends:
    begin = itertools.accumulate(sizes, initial=0)
    numbers = [start + which.numpy() for start, which in zip(begin, ends.open, strict=False)]
    parts = (ends.feature.numpy(), ends.upper.numpy(), np.concatenate(numbers), ends.slope.numpy(), ends.bound.numpy())
    return Ends(ends.k, *parts)


def _refutation(by: Grounds, row: int) -> Refutation:
    weight = None if by.weight is None else _row(by.weight, row)
    if by.means is not Means.SIGNS or len(by.s) != 2 or by.s[0] is None or by.s[1] is None:
        return Refutation(by.means.value, weight)
    return Refutation(by.means.value, weight, _row(by.s[0], row), _row(by.s[1], row), by.planes, by.pairs)


def _row(part: Tensor, row: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = part[row if len(part) > 1 else 0].numpy()
    return found


def _open(region: Region, row: int, sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """The features that a row of a region leaves open, all activations' one after the other."""
    begin = itertools.accumulate(sizes, initial=0)
    parts = [
        start + np.flatnonzero(((low[row] < 0) & (high[row] > 0)).numpy())
        for start, low, high in zip(begin, region.range_lower, region.range_upper, strict=False)
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts])
