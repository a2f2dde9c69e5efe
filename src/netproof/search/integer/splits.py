"""Where the search on an integer network splits open subproblems, and the subproblems that this makes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from netproof.bounds.dual import evaluate_dual
from netproof.bounds.look_ahead import look_ahead
from netproof.bounds.multipliers.interior import InteriorResult
from netproof.bounds.multipliers.ranges import Parameters
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.conditions import Conditions
from netproof.effort.integer import INTEGER
from netproof.search.branching import (
    Split,
    gap_candidates,
    input_split,
    program_candidates,
    split_regions,
    upper_half,
)
from netproof.search.integer.envelopes import Enveloped, Enveloper
from netproof.search.proofs.log import ProofLog
from netproof.search.subproblems import Subproblems


class Splitter:
    """Splits of one query's subproblems.

    Parameters
    ----------
    cases : what is refuted, on the presolved graph
    candidates : splits of each row that a look-ahead tries
    rows : subproblems whose tensors are in memory at a time
    log : where splits are recorded, if anywhere
    """

    def __init__(self, cases: Conditions, candidates: int, rows: int, log: ProofLog | None) -> None:
        self._graph, self._cases = cases.graph, cases
        self._candidates, self._rows, self._log = candidates, rows, log

    def by_bounds(self, batch: Subproblems, program: InteriorResult | None, deadline: float) -> Subproblems:
        """Split every row in two, at the program's point or (None) by a look-ahead until the deadline."""
        chosen = self._chosen(batch, program, deadline)
        children = batch.take(torch.arange(len(batch)).repeat(2))
        node = children.node if self._log is None else self._log.split(batch.node, chosen)
        return replace(children, region=split_regions(self._graph, batch.region, chosen), node=node)

    def by_envelopes(self, batch: Subproblems, found: Enveloped, enveloper: Enveloper) -> Subproblems:
        """Split every row; the half that lies farther from where the neurons agree becomes a subproblem, the other is split again.

        Several subproblems at once take little more time than two, and halves far from that input are mostly refuted.
        """
        a = enveloper.agreed(found)
        chosen = enveloper.splits(batch.case, batch.region, found, a, max(1, INTEGER.parts // len(batch) - 1))
        if all(bool((split.k >= 0).all()) for split in chosen):
            batch = replace(batch, prices=enveloper.pool.put(found.stored, len(chosen) + 1))
        rows, parts = torch.arange(len(batch)), []
        for split in chosen:
            node = batch.node.repeat(2) if self._log is None else self._log.split(batch.node, split)
            regions = split_regions(self._graph, batch.region, split)
            halves = replace(batch.take(rows.repeat(2)), region=regions, node=node)
            above = upper_half(split, a)
            parts.append(halves.take(rows + (1 - above) * len(batch)))
            batch = halves.take(rows + above * len(batch))
        return Subproblems.concatenate([*parts, batch])

    def _chosen(self, batch: Subproblems, program: InteriorResult | None, deadline: float) -> Split:
        """Where to split every row, at the program's point or (None) by a look-ahead."""
        region = batch.region
        objective = self._cases.objective(batch.case, region)
        double = Parameters(
            tuple(a.double() for a in batch.parameters.alpha), tuple(b.double() for b in batch.parameters.beta)
        )
        point = evaluate_dual(Relaxation(self._graph, region), objective, double.multipliers())
        outputs = self._cases.splittable(batch.case)
        if program is not None:
            split, gap = program_candidates(self._graph, region, point.v, program.a, outputs, 1)
        else:
            split, gap = gap_candidates(point, outputs, self._candidates)
        usable = torch.isfinite(gap)
        rows = usable[:, 0].nonzero()[:, 0]
        best = split.at(torch.zeros_like(batch.case))
        if split.k.shape[1] > 1 and len(rows):
            picked = self._looked_ahead(batch.take(rows), double.take(rows), split.take(rows), usable[rows], deadline)
            for whole, part in ((best.k, picked.k), (best.feature, picked.feature), (best.point, picked.point)):
                whole[rows] = part
        return best.where(usable[:, 0], input_split(region, point))

    def _looked_ahead(
        self, batch: Subproblems, parameters: Parameters, split: Split, usable: Tensor, deadline: float
    ) -> Split:
        """Of each row's candidates the one with which the halves' bounds are smallest, at the row's own multipliers."""

        def bound_halves(row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
            tried = Split(*(part[row, column] for part in (split.k, split.feature, split.point)))
            case = batch.case[row].repeat(2)
            halves = self._cases.tighten(case, split_regions(self._graph, batch.region.take(row), tried))
            alive = (~halves.empty()).nonzero()[:, 0]
            remaining = halves.take(alive)
            objective = self._cases.objective(case[alive], remaining)
            start = parameters.take(row.repeat(2)[alive])
            value = evaluate_dual(Relaxation(self._graph, remaining), objective, start.multipliers()).value
            both = torch.zeros(2 * len(row), dtype=value.dtype)
            both[alive] = value
            return both[: len(row)], both[len(row) :]

        return split.at(look_ahead(usable, bound_halves, self._rows, deadline).argmin(1))
