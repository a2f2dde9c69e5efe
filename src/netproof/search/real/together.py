"""Many boxes of one real network at once: a property can have thousands, most of which bounds refute, whole or in parts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.ranges.forms import form_ranges, inputs_that_vary, varying_inputs
from netproof.bounds.region import Region, box_region
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.conditions import Conditions
from netproof.effort.real import BOXES
from netproof.graph.graph import Graph
from netproof.query import Query
from netproof.rows import Rows
from netproof.search.real.remainder import Remainder


@dataclass(frozen=True, eq=False)
class _Open(Rows):
    """Boxes ``[B, n]`` on which a query may hold, and its number ``[B]``."""

    lower: Tensor
    upper: Tensor
    query: Tensor

    def __len__(self) -> int:
        return len(self.query)


def refuted_together(
    queries: Sequence[Query], deadline: float, last: float | None = None
) -> Iterator[tuple[int, Query]]:
    """The queries that CROWN on ranges of each box's own refutes, with their positions; none after the deadline.

    Parameters
    ----------
    queries : those about real numbers on the first one's network are looked at; each is made once, batch by batch
    deadline : of ``time.monotonic()``
    last : of the time between the deadline and this one, which is for queries that are left, those that were refuted so far
        have no need: their share of it is used here as well
    """
    network = queries[0].network
    if len(network.graph.nodes) < 2:
        return
    size, until = BOXES.batch.rows(network.graph, BOXES.tensors), deadline
    asked = closed = 0
    for start in range(0, len(queries), size):
        batch = []
        for number in range(start, min(start + size, len(queries))):
            if time.monotonic() >= until:
                return
            query = queries[number]
            evaluated = query.part is not None and query.part.arithmetic != "real"
            if query.network is network and query.condition and not query.misclassified and not evaluated:
                batch.append((number, query))
        if batch:
            refuted = _Together(network.graph, [query for _, query in batch], size).refuted(until)
            yield from itertools.compress(batch, refuted.tolist())
            asked, closed = asked + len(batch), closed + int(refuted.sum())
            if last is not None:
                until = deadline + (last - deadline) * closed / asked


class _Together:
    """Some queries on one graph, ``size`` boxes of which are bounded at a time."""

    def __init__(self, graph: Graph, queries: Sequence[Query], size: int) -> None:
        self._graph, self._queries, self._size = graph, queries, size
        #: which inputs may have a part in linear forms, of those of a remainder; None stands for all
        self._free: Tensor | None = None
        self._constraints = Conditions.of(graph, [c for q in queries for c in q.condition])
        self._cases = torch.tensor([len(q.condition) for q in queries])
        #: the number of each query's first case
        self._first = self._cases.cumsum(0) - self._cases

    def refuted(self, deadline: float) -> Tensor:
        """Which queries are refuted: ``[N]`` bool."""
        count = len(self._queries)
        lower, upper = (torch.stack(ends) for ends in zip(*((q.lower, q.upper) for q in self._queries), strict=True))
        depth = BOXES.depth if int((lower < upper).sum(1).max()) <= BOXES.few_inputs else 0
        left = _Open(*(self._remaining(lower, upper) if depth else (lower, upper)), torch.arange(count))
        refuted = torch.ones(count, dtype=torch.bool)
        for level in range(depth + 1):
            if not len(left):
                break
            left, reach = self._bounded(left)
            if not len(left) or level == depth or time.monotonic() >= deadline:
                break
            # Queries with more parts left than a search by itself would be worth are for that search.
            parts = torch.bincount(left.query, minlength=count)
            given_up = parts > BOXES.parts
            refuted &= ~given_up
            kept = ~given_up[left.query]
            left = _halves(left.take(kept), reach[kept])
        refuted[left.query] = False
        return refuted

    def _remaining(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """The boxes ``[N, n]`` for what is left of the graph where they have few inputs that vary, and go on with that."""
        about_inputs = self._constraints.inputs is not None
        rest = None if about_inputs else Remainder.of(self._graph, inputs_that_vary(lower, upper))
        boxes = None if rest is None else rest.box(lower, upper)
        if rest is None or boxes is None:
            return lower, upper
        self._graph, self._free = rest.graph, rest.free
        self._constraints = Conditions.of(rest.graph, [c for q in self._queries for c in q.condition])
        return boxes

    def _bounded(self, boxes: _Open) -> tuple[_Open, Tensor]:
        """The boxes that stay open, and how far the lines of their bounds reach along each input, ``[B, n]``."""
        left, reaches = [], []
        for rows in torch.split(torch.arange(len(boxes)), self._size):
            some = boxes.take(rows)
            is_open, reach = self._open(some)
            left.append(some.take(is_open))
            reaches.append(reach[is_open])
        return _Open.concatenate(left), torch.cat(reaches)

    def _open(self, boxes: _Open) -> tuple[Tensor, Tensor]:
        region = box_region(self._graph, boxes.lower, boxes.upper)
        if varying_inputs(region, self._free) <= BOXES.few_inputs:
            region = form_ranges(self._graph, region, self._free)
        # Where nothing else is known the widest input is as good as any.
        is_open, reach = torch.ones(len(boxes), dtype=torch.bool), boxes.upper - boxes.lower
        # One account of rounding is drawn up for all, which a box without bounds would leave without any.
        ends = torch.cat([*region.range_lower, *region.range_upper], 1) if region.range_lower else boxes.lower
        rows = torch.isfinite(ends).all(1).nonzero()[:, 0]
        if len(rows):
            some, slopes = self._by_crown(region.take(rows), boxes.query[rows])
            is_open[rows] = some
            own = slopes * reach[rows]
            reach[rows] = torch.where((own > 0).any(1, keepdim=True), own, reach[rows])
        return is_open, reach

    def _by_crown(self, region: Region, query: Tensor) -> tuple[Tensor, Tensor]:
        """Which boxes stay open, one query each, and the slopes of their lines by size, ``[B, n]``."""
        graph, width, cases = self._graph, self._constraints.width, self._cases[query]
        of = torch.arange(len(query)).repeat_interleave(cases)
        within = torch.arange(len(of)) - (cases.cumsum(0) - cases)[of]
        case = self._first[query][of] + within
        objective = self._constraints.single(case.repeat_interleave(width), torch.arange(width).repeat(len(case)))
        relaxation = Relaxation(graph, region).take(of.repeat_interleave(width))
        lines = crown_lines(relaxation, objective, Rounding.of(graph, region))
        open_cases = ~(lines.value.view(-1, width).amin(1) < 0)
        is_open = torch.zeros(len(query), dtype=torch.bool)
        is_open[of[open_cases]] = True
        slopes = lines.coefficients.abs().expand(len(lines.value), -1).reshape(-1, width, graph.input.size).amax(1)
        slopes = torch.where(open_cases[:, None], slopes, 0.0)
        return is_open, torch.zeros_like(region.lower).index_add_(0, of, slopes)


def _halves(boxes: _Open, reach: Tensor) -> _Open:
    """Every box cut at the middle of the input with the largest reach; both halves."""
    at = (torch.arange(len(boxes)), reach.argmax(1))
    middle = (boxes.lower[at] + boxes.upper[at]) / 2
    lower, upper = boxes.lower.clone(), boxes.upper.clone()
    lower[at], upper[at] = middle, middle
    return _Open(
        torch.cat([boxes.lower, lower]), torch.cat([upper, boxes.upper]), torch.cat([boxes.query, boxes.query])
    )
