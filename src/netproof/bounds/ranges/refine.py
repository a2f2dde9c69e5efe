"""Ranges of real graphs by CROWN, only for features whose activation is not affine on what is known."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.narrow import Narrow, ranges_through
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.quotients import is_held_quotient, refine_quotients
from netproof.bounds.ranges.tiles import Tile, cut, groups
from netproof.bounds.region import Region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.effort.bounding import REFINE
from netproof.graph.budget import Budget
from netproof.graph.graph import Graph
from netproof.graph.loose import improvable
from netproof.operators.activations.shares import Shares
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.select import Select
from netproof.operators.base import Activation


def unstable_features(graph: Graph, region: Region, k: int) -> Tensor:
    """Where the ``k``-th activation is not affine on its range: ``[B, n_k]`` bool."""
    low, high = region.range_lower[k], region.range_upper[k]
    return ~torch.isnan(graph.activation(graph.activations[k]).split_point((low + high) / 2, low, high))


def rows_at_once(graph: Graph, budget: Budget = REFINE.batch, widest: int | None = None) -> int:
    """How many rows to bound at once within a budget; ``widest`` as in :meth:`netproof.graph.budget.Budget.rows`."""
    return budget.rows(graph, REFINE.tensors, widest=widest)


#: what cuts the ranges of deeper layers to those found for the layers above them
Propagate = Callable[[Graph, Region], Region]


def refine_ranges(
    graph: Graph,
    region: Region,
    deadline: float = math.inf,
    propagate: Propagate = propagate_intervals,
    wanted: Sequence[Tensor] | None = None,
) -> Region:
    """Tighten the ranges of unstable features layer by layer: rigorous in real arithmetic, rows one by one.

    ``wanted`` are the features of each activation ``[n_k]`` bool that anything depends on, all by default.

    A range has two ends, but a feature whose sign is settled by one of them needs no more: the end nearer to settling
    it is bounded first, the other one only where that was not enough, or where it is so far out that the error of rounding
    would suffer. What is bounded costs in proportion.

    The error term of a layer's bounds is that of the ranges found for the layers above it.

    Stops early, with what has been found, when ``time.monotonic()`` reaches ``deadline``. Everything is float64.
    """
    rounding = Rounding.begun(graph, region)
    relaxation = Relaxation(graph, region)
    for k, index in enumerate(graph.activations):
        rounding = rounding.up_to(graph, region, graph.nodes[index].operands[0])
        relaxation = relaxation.on(region)
        limits = Limits(deadline, wanted=None if wanted is None else wanted[k])
        refined = refine_layer(graph, region, k, rounding, limits, relaxation)
        if refined is not region:
            region = propagate(graph, refined)
    return region


@dataclass(frozen=True, eq=False)
class Limits:
    """What refining a layer is limited to.

    Attributes
    ----------
    deadline : of ``time.monotonic()``
    threads : how many batches are bounded at a time, by default as many as PyTorch would use
    wanted : ``[n]`` bool, the features that anything depends on; all by default
    """

    deadline: float = math.inf
    threads: int | None = None
    wanted: Tensor | None = None


_NO_LIMITS = Limits()


def refine_layer(
    graph: Graph,
    region: Region,
    k: int,
    rounding: Rounding,
    limits: Limits = _NO_LIMITS,
    relaxation: Relaxation | None = None,
) -> Region:
    """:func:`refine_ranges` of the ``k``-th activation alone, over the ranges that are known above it.

    What follows from its ranges for those below is not worked out.

    ``rounding`` is of a region that holds this one, up to the activation's operand at least; ``relaxation`` of this region, where
    there is one.
    """
    relaxation = Relaxation(graph, region) if relaxation is None else relaxation
    deadline, wanted = limits.deadline, limits.wanted
    operand = graph.nodes[graph.activations[k]].operands[0]
    if not improvable(graph)[operand]:
        return region
    if wanted is not None and not bool(wanted.any()):
        return region
    if is_held_quotient(graph, k):
        return region if time.monotonic() >= deadline else refine_quotients(graph, region, k, rounding)
    narrow = Narrow.of(graph, operand) if len(region) == 1 and time.monotonic() < deadline else None
    found = None if narrow is None else ranges_through(relaxation, narrow, rounding, deadline)
    if found is not None:
        low, high = torch.maximum(region.range_lower[k], found[0]), torch.minimum(region.range_upper[k], found[1])
        return region.with_range(k, low, high)
    ends = _Ends(relaxation, k, rounding, limits)
    row, feature = ends.open.nonzero(as_tuple=True)
    if not len(row) or time.monotonic() >= deadline:
        return region
    above = (ends.low + ends.high)[row, feature] > 0
    ends.improve(row, feature, ~above, deadline)
    left = ends.open[row, feature].nonzero()[:, 0]
    ends.improve(row[left], feature[left], above[left], deadline)
    ends.improve(*ends.far(), deadline)
    return region.with_range(k, ends.low, ends.high)


class _Ends:
    """The ranges of the ``k``-th activation while their ends are bounded, ``low`` and ``high``, ``[B, n]``."""

    def __init__(self, relaxation: Relaxation, k: int, rounding: Rounding, limits: Limits) -> None:
        graph, region = relaxation.graph, relaxation.region
        self._relaxation = relaxation
        self._graph, self._region, self._k, self._rounding = graph, region, k, rounding
        self._threads, wanted = limits.threads or torch.get_num_threads(), limits.wanted
        self.low, self.high = region.range_lower[k].clone(), region.range_upper[k].clone()
        #: which lower and which upper ends have been bounded
        self._done = torch.zeros(2, *self.low.shape, dtype=torch.bool)
        self._known = _copies(graph, region, graph.nodes[graph.activations[k]].operands[0])
        self._idle = torch.zeros(self.low.shape[1], dtype=torch.bool) if wanted is None else ~wanted

    @property
    def open(self) -> Tensor:
        """:func:`unstable_features` of the ranges as they are by now, but for those of which bounds can say no more."""
        region = self._region.with_range(self._k, self.low, self.high)
        return unstable_features(self._graph, region, self._k) & ~self._known & ~self._idle

    def far(self) -> tuple[Tensor, Tensor, Tensor]:
        """Ends far beyond what else is known of the layer's values, for :meth:`improve`.

        Where a sign is settled no line of a bound depends on the other end. But magnitudes do, and so do the intervals
        of the next layer, where that end would be the reason for one further out.
        """
        activation = self._graph.activation(self._graph.activations[self._k])
        down, up = (end.abs() for end in activation.output_range(self.low, self.high))
        upper, size = up >= down, torch.where(self._idle, 0.0, torch.maximum(down, up))
        bounded = torch.where(upper, self._done[1], self._done[0])
        known = torch.where(bounded, size, torch.minimum(down, up)).amax(1, keepdim=True)
        row, feature = (~bounded & (size > REFINE.far * known)).nonzero(as_tuple=True)
        return row, feature, upper[row, feature]

    def improve(self, row: Tensor, feature: Tensor, upper: Tensor, deadline: float) -> None:
        """Bound the upper (bool ``[P]``) or lower ends of pairs of a row and a feature."""
        if not len(row) or time.monotonic() >= deadline:
            return
        graph, region, rounding = self._graph, self._region, self._rounding
        operand = graph.nodes[graph.activations[self._k]].operands[0]
        self._done[upper.long(), row, feature] = True
        # Factors of products are taken many times: what is one number has one bound.
        everywhere = (row, feature, upper)
        first, of = single_ends(graph, operand, row, feature, upper)
        row, feature, upper = row[first], feature[first], upper[first]
        sign = torch.where(upper, 1.0, -1.0).to(self.low.dtype)
        parts = groups(graph, operand, feature)
        whole = None
        if len(parts) == 1:
            whole = Tile(self._relaxation, rounding, torch.arange(graph.nodes[operand].size), operand)
            parts = list(torch.split(parts[0], rows_at_once(graph, widest=self._relaxation.widest(operand))))

        def bound(which: Tensor) -> Tensor:
            mine = row[which], feature[which], sign[which]
            if time.monotonic() >= deadline:
                return torch.full_like(mine[2], torch.inf)  # not even crops are made any more
            tile = whole or cut(graph, region, rounding, operand, mine[1])
            return bound_tile(tile, *mine, deadline)

        found = torch.empty(len(row), dtype=self.low.dtype)
        for part, some in zip(parts, in_threads(bound, parts, self._threads), strict=True):
            found[part] = some
        value, pair, up = found[of], everywhere[:2], everywhere[2]
        self.high[pair] = torch.where(up, torch.minimum(self.high[pair], value), self.high[pair])
        self.low[pair] = torch.where(up, self.low[pair], torch.maximum(self.low[pair], -value))


def worth_bounding(graph: Graph, region: Region, k: int) -> Tensor:
    """:func:`unstable_features`, but for those of which bounds can say no more than ranges above them do."""
    return unstable_features(graph, region, k) & ~_copies(graph, region, graph.nodes[graph.activations[k]].operands[0])


def _copies(graph: Graph, region: Region, node: int) -> Tensor:
    """Which features of a node are single images of an activation both ends of whose ranges have been bounded: ``[B, n]`` bool.

    Such an image's interval is exact for the range, and a line's bound, as one on that range, no smaller.
    """
    operator = graph.nodes[node].operator
    if isinstance(operator, Concatenate):
        return torch.cat([_copies(graph, region, operand) for operand in graph.nodes[node].operands], 1)
    if isinstance(operator, Select):
        taken = _copies(graph, region, graph.nodes[node].operands[0])[:, operator.index.clamp(min=0)]
        return taken & (operator.index >= 0)
    if isinstance(operator, Shares):
        return _copies(graph, region, graph.nodes[node].operands[0])
    if isinstance(operator, Activation) and not operator.coupled:
        k = bisect_left(graph.activations, node)
        # What is open still had both ends bounded; of what is settled one may have been enough.
        return unstable_features(graph, region, k)
    return torch.zeros(len(region), graph.nodes[node].size, dtype=torch.bool)


def single_ends(graph: Graph, node: int, row: Tensor, feature: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Of ends ``[P]`` of a node's features one for each number that is there several times, and for all of them which one it is."""
    operator = graph.nodes[node].operator
    every = torch.arange(len(row))
    if not isinstance(operator, Select) or operator.takes_once:
        return every, every
    # A constant is itself alone.
    source = torch.where(operator.index >= 0, operator.index, operator.size + torch.arange(len(operator.index)))
    place = operator.size + len(operator.index)
    number, of = torch.unique((row * place + source[feature]) * 2 + upper, return_inverse=True)
    first = torch.empty(len(number), dtype=torch.int64)
    first[of.flip(0)] = every.flip(0)
    return first, of


def in_threads(function: Callable[[Tensor], Tensor], parts: Sequence[Tensor], threads: int) -> list[Tensor]:
    """A function of independent parts in several threads, each part in one.

    Threads that share one operation wait for each other after each of them; these do not.
    """
    threads = min(threads, len(parts))
    if threads <= 1:
        return [function(part) for part in parts]
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(function, parts))


def bound_tile(tile: Tile, row: Tensor, feature: Tensor, sign: Tensor, deadline: float = math.inf) -> Tensor:
    """:func:`bound_features` of pairs that a tile holds, infinite for those that time did not allow."""
    at = torch.searchsorted(tile.features, feature)
    found = torch.full((len(row),), torch.inf, dtype=tile.relaxation.region.lower.dtype)
    relaxation = tile.relaxation
    for part in torch.split(
        torch.arange(len(row)), rows_at_once(relaxation.graph, widest=relaxation.widest(tile.node))
    ):
        if time.monotonic() >= deadline:
            break
        found[part] = bound_features(tile, row[part], at[part], sign[part])
    return found


def bound_features(tile: Tile, row: Tensor, place: Tensor, sign: Tensor) -> Tensor:
    """Upper bounds of ``sign * a``, one per pair of a row and a place ``a`` in the tile's node, ``sign`` 1 or -1: ``[P]``."""
    relaxation, node, pairs = tile.relaxation, tile.node, len(row)
    c = torch.zeros(pairs, relaxation.graph.nodes[node].size, dtype=relaxation.region.lower.dtype)
    c[torch.arange(pairs), place] = sign
    if len(relaxation) > 1:
        relaxation = relaxation.take(row)
    objective = Objective({node: c}, torch.zeros(pairs, dtype=c.dtype))
    return crown_lines(relaxation, objective, tile.rounding).value
