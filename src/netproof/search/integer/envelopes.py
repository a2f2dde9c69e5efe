"""Envelopes in the search: what they bound, cut and split, and the prices that open subproblems hand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.envelope.bound import EnvelopePoint
from netproof.bounds.envelope.exact import evaluate_envelopes_exact
from netproof.bounds.envelope.layer import FirstLayer
from netproof.bounds.envelope.reduce import reduce_ranges_by_envelopes
from netproof.bounds.envelope.steps import improve
from netproof.bounds.envelope.stored import StoredPrices
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.conditions import Conditions
from netproof.effort.envelope import ENVELOPE
from netproof.graph.graph import Graph
from netproof.rows import Rows
from netproof.search.branching import Split, input_split, program_candidates
from netproof.search.subproblems import Subproblems


class PricePool:
    """The prices of subproblems that were split, by number; those of a number go when both halves were taken.

    Attributes
    ----------
    bytes : what they occupy
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._held: dict[int, tuple[StoredPrices, int]] = {}
        self._next = 0

    def put(self, prices: StoredPrices, count: int) -> Tensor:
        """Keep rows, each of which will be taken ``count`` times: their numbers, ``[B]``."""
        first = self._next
        for row in range(len(prices.exponent)):
            one = prices.take(torch.tensor([row]))
            self._held[self._next] = (one, count)
            self.bytes += one.bytes
            self._next += 1
        return torch.arange(first, self._next)

    def take(self, numbers: Tensor) -> StoredPrices:
        """The rows of numbers."""
        rows = []
        for number in numbers.tolist():
            one, count = self._held.pop(number)
            if count > 1:
                self._held[number] = (one, count - 1)
            else:
                self.bytes -= one.bytes
            rows.append(one)
        if not rows:
            nothing = torch.zeros(0, dtype=torch.float64)
            return StoredPrices(nothing.to(torch.int16), nothing)
        return StoredPrices.concatenate(rows)

    def released(self, batch: Subproblems) -> Subproblems:
        """Subproblems that begin without what their parents have kept for them."""
        self.take(batch.prices[batch.prices >= 0])
        return replace(batch, prices=torch.full_like(batch.prices, -1))


def alike(batch: Subproblems, box: Region, pool: PricePool | None, *, enveloped: bool) -> list[Subproblems]:
    """A batch in parts that can be bounded together.

    Envelopes are of one box and start from prices of all rows or of none: subproblems of which an input was split are apart from
    the others, as is what was open before there were envelopes from the halves of what they have bounded.

    Parameters
    ----------
    box : the query's, which most of them share: a region of one row
    pool : what parents have kept; None where nothing is
    enveloped : whether envelopes are used
    """
    if pool is None:
        return [batch]
    if not enveloped:
        return [pool.released(batch)]
    parts = []
    if batch.region.lower.shape[0] > 1:
        whole = batch.have(box)
        if not bool(whole.all()):
            parts.append(pool.released(batch.take(~whole)))
        batch = batch.take(whole).sharing(box)
    inherits = batch.prices >= 0
    parts += [batch.take(rows) for rows in (~inherits, inherits)]
    return [part for part in parts if len(part)]


@dataclass(frozen=True, eq=False)
class Enveloped(Rows):
    """Bounded subproblems.

    Attributes
    ----------
    point : the exact evaluation; without what is needed for nothing but bounds
    stored : the prices that it is of
    middle : ``[B, n]``, an input near which the neurons agree
    """

    point: EnvelopePoint
    stored: StoredPrices
    middle: Tensor


class Enveloper:
    """Envelopes on one presolved graph.

    Parameters
    ----------
    graph, light : the graph, and the same in float32
    layer : its first layer
    cases : its cases
    long : whether the search is known to be long; otherwise it is after some subproblems, so that it takes the same way in every run
    """

    def __init__(self, graph: Graph, light: Graph, layer: FirstLayer, cases: Conditions, *, long: bool = False) -> None:
        self._graph, self._light, self._cases = graph, light, cases
        self._left = 0 if long else ENVELOPE.long
        self._layer, self._light_layer = layer, layer.to(torch.float32)
        self.pool = PricePool()

    def bound(
        self,
        case: Tensor,
        region: Region,
        s: Sequence[Tensor],
        prices: StoredPrices | None = None,
    ) -> Enveloped:
        """Bound rows.

        Parameters
        ----------
        s : multipliers to start from
        prices : those of the rows' parents; None starts from one multiplier per neuron
        """
        parts = []
        for rows in torch.split(torch.arange(len(case)), ENVELOPE.evaluated):
            some = None if prices is None else prices.take(rows)
            parts.append(self._bound(case[rows], region.take(rows), [m[rows] for m in s], some))
            self._left -= 0 if prices is None else len(rows)
        return Enveloped.concatenate(parts)

    def _bound(
        self,
        case: Tensor,
        region: Region,
        s: Sequence[Tensor],
        prices: StoredPrices | None,
    ) -> Enveloped:
        objective, light_region = self._cases.objective(case, region), region.to(torch.float32)
        light_box = self._light_layer.on_box(light_region.lower, light_region.upper)
        if prices is None:
            start = s[0].float()[..., None].expand(-1, -1, light_box.reach.shape[1]).contiguous()
        else:
            start = prices.values(torch.float32)
        found = improve(
            Relaxation(self._light, light_region),
            light_box,
            objective.to(torch.float32),
            start,
            [m.float() for m in s],
            ENVELOPE.root if prices is None else ENVELOPE.below,
            long=self._left <= 0,
        )
        box = self._layer.on_box(region.lower, region.upper)
        relaxation = Relaxation(self._graph, region)
        multipliers = [m.double() for m in found.s]
        values, order = found.prices.values(torch.float64), found.prices.order()
        exact, _ = evaluate_envelopes_exact(relaxation, box, objective, multipliers, values, order)
        return Enveloped(exact, found.prices, region.lower + found.middle.double() * (region.upper - region.lower))

    def agreed(self, found: Enveloped) -> list[Tensor]:
        """Pre-activations where the neurons agree, one ``[B, n_k]`` per activation."""
        values = self._graph.values(found.middle)
        return [values[self._graph.nodes[i].operands[0]] for i in self._graph.activations]

    def splits(self, case: Tensor, region: Region, found: Enveloped, a: Sequence[Tensor], most: int) -> list[Split]:
        """The best splits of every row, at least one and at most so many, judged at pre-activations ``a``.

        Where a row has no activation left to split there is one of each, that of the row an input's.
        """
        v = (found.point.received, *found.point.above.v[1:])
        splits, gap = program_candidates(self._graph, region, v, a, self._cases.splittable(case), most)
        usable = torch.isfinite(gap)
        several = int(usable.all(0).to(torch.int8).cumprod(0).sum())
        if not several:
            by_input = input_split(region, found.point.above)
            return [splits.at(torch.zeros_like(case)).where(usable[:, 0], by_input)]
        return [splits.at(torch.full_like(case, column)) for column in range(several)]

    def reduce(self, region: Region, point: EnvelopePoint) -> Region:
        """Cut off the ends of ranges that an exact evaluation excludes."""
        box = self._layer.on_box(region.lower, region.upper)
        return reduce_ranges_by_envelopes(box, point)
