"""Attacks on one query, in the order of their cost."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from netproof.attack.align import align, can_align, first_layer, tail
from netproof.attack.annealing.anneal import Annealer, compiled_chain
from netproof.attack.approach import Approach
from netproof.attack.ball import BallSteps
from netproof.attack.corners import corner_search, surrogate_values
from netproof.attack.lattice import compiled_balance, descend, round_near
from netproof.conditions.conditions import Conditions
from netproof.effort.integer import ANNEAL, INTEGER_ATTACK
from netproof.graph.graph import Graph
from netproof.processes import clock
from netproof.query import Query, Witness
from netproof.search.integer.presolve import Presolved
from netproof.search.integer.work import AlignmentLength


class Attacker:
    """Looks for witnesses of a query on its presolved graph; every find is replayed exactly.

    Parameters
    ----------
    query : the query, on the original graph, in which finds are replayed
    presolved : the graph the attack works on
    cases : its cases
    seed : of the random starts
    """

    def __init__(self, query: Query, presolved: Presolved, cases: Conditions, seed: int) -> None:
        self._query = query
        self._presolved = presolved
        self._cases = cases
        self._graph: Graph = presolved.graph.to(torch.float32)
        self._lower = presolved.region.lower[0].float()
        self._upper = presolved.region.upper[0].float()
        ball = BallSteps.of(query)
        self._ball = None if ball is None else ball.of_inputs(presolved.kept[0])
        self._generator = torch.Generator().manual_seed(seed)
        # Of its own, so that alignments are the same however often points near others were looked for.
        self._rounding = torch.Generator().manual_seed(seed)
        self._approach: Approach | None = None
        self._starts: tuple[Tensor, Tensor] | None = None
        self._rounds = 0
        self._replayed = INTEGER_ATTACK.replayed.rows(query.network.graph, 1)

    def replay(self, x: Tensor) -> Tensor | None:
        """The first of the points ``[B, n]`` (of the presolved graph) that is a witness, restored; else None."""
        for part in torch.split(x, self._replayed):
            full = self._presolved.restore_input(part.double())
            hits = self._query.refuted_by(full).nonzero()[:, 0]
            if len(hits):
                return full[hits[0]]
        return None

    def witness(self, x: Tensor) -> Witness:
        """A point that :meth:`replay` found, as it is reported."""
        return witness_of(self._query, x)

    def corners(self, case: Tensor, deadline: float) -> Tensor | None:
        """Corner search towards each of the (distinct) open cases."""
        per_case = max(1, min(INTEGER_ATTACK.starts_per_case, INTEGER_ATTACK.most_starts // len(case)))
        towards = case.repeat_interleave(per_case)
        x = corner_search(
            self._graph,
            self._cases,
            self._lower,
            self._upper,
            towards,
            self._generator,
            deadline=deadline,
            ball=self._ball,
        )
        self._starts = (x, towards)
        return self.replay(x)

    def approach(self, case: Tensor, deadline: float) -> Tensor | None:
        """Sign walks towards the (distinct) open cases, and their ends settled at thresholds."""
        box, walks = (self._lower, self._upper), self._walks()
        walked = walks.closest(*box, *walks.promising(*box, case, deadline), deadline)
        found = self.replay(walked.x)
        if found is not None or clock.now() >= deadline:
            return found
        settled = walks.settled(walked, *box)
        return None if settled is None else self.replay(settled)

    def align(self, case: Tensor, length: AlignmentLength, deadline: float) -> Tensor | None:
        """Alignment towards the open cases (repeats allowed): chains as compiled loops, or with tensors from the corners that come closest."""
        if not can_align(self._graph) or not bool((self._lower < self._upper).any()):
            return None
        if self._annealer is not None:
            return self._anneal(self._annealer, torch.unique(case), length.steps * ANNEAL.of_a_step, deadline)
        self._rounds += 1
        if self._starts is None or self._rounds > 1:
            found = self.corners(torch.unique(case), deadline)
            if found is not None:
                return found
        assert self._starts is not None
        x, towards = self._starts
        still_open = torch.isin(towards, case)
        x, towards = x[still_open], towards[still_open]
        soft = surrogate_values(self._graph, x, 0.0)[self._watched]
        order = self._cases.deficiency(soft[:, None], towards)[:, 0].argsort()
        best = _distinct(x[order], towards[order], INTEGER_ATTACK.align_starts)
        chosen = order[best].repeat_interleave(-(-INTEGER_ATTACK.align_chains // len(best)))
        outcome = align(
            self._graph,
            self._cases,
            self._lower,
            self._upper,
            x[chosen],
            towards[chosen],
            self._generator,
            length.steps,
            length.hardening,
            deadline,
        )
        return self.replay(outcome.candidates) if len(outcome.candidates) else None

    def _anneal(self, annealer: Annealer, case: Tensor, most: int, deadline: float) -> Tensor | None:
        """Chains towards the (distinct) open cases, from the ends of walks."""
        box = self._lower, self._upper
        walks = self._walks()
        walked = walks.closest(*box, *walks.promising(*box, case, deadline), deadline)
        found = self.replay(walked.x)
        if found is None and clock.now() < deadline:
            met = annealer.closest(*box, walked.x, walked.case, self._rounding, deadline, most)
            found = None if met is None else self.replay(met[None])
        return found

    @cached_property
    def _annealer(self) -> Annealer | None:
        return Annealer.of(self._presolved.graph, self._cases, compiled_chain())

    def _walks(self) -> Approach:
        if self._approach is None:
            generator = torch.Generator().manual_seed(self._rounding.initial_seed())
            self._approach = Approach(self._presolved.graph, self._cases, generator)
        return self._approach

    def near(self, x: Tensor, case: Tensor, deadline: float, *, descending: bool) -> Tensor | None:
        """Whole numbers near real points ``[B, n]`` of the box, row ``b`` towards ``case[b]``.

        Rounds each several times and, where ``descending``, searches on from those that come closest.
        """
        if not can_align(self._graph):
            return self.replay(x.round())
        linear = first_layer(self._graph)
        case = case.repeat_interleave(INTEGER_ATTACK.roundings)
        rounded = x.to(self._lower.dtype).repeat_interleave(INTEGER_ATTACK.roundings, 0)
        # Loading the compiler takes as long as a hundred roundings: only where alignments have loaded it is the loop compiled.
        loop = compiled_balance() if self.__dict__.get("_annealer") else None
        rounded = round_near(linear.weight, self._lower, self._upper, rounded, self._rounding, loop)
        deficiency = self._cases.deficiency(tail(self._graph, linear.forward(rounded)[:, None], 1.0), case)[:, 0]
        hits = (deficiency <= 0).nonzero()[:, 0]
        if len(hits):
            return self.replay(rounded[hits])
        if not descending:
            return None
        best = deficiency.argsort()[: INTEGER_ATTACK.descents]
        found = descend(
            self._graph,
            self._cases,
            self._lower,
            self._upper,
            rounded[best],
            case[best],
            self._rounding,
            INTEGER_ATTACK.descent_steps,
            deadline,
        )
        return self.replay(found) if len(found) else None

    @property
    def _watched(self) -> int:
        """The node whose value the deficiency is measured on."""
        output = self._graph.output
        last = len(self._graph.nodes) - 1
        return output.operands[0] if last in self._graph.activations else last


def _distinct(x: Tensor, case: Tensor, count: int) -> Tensor:
    """Indices of the first ``count`` rows that differ from all before them."""
    seen: set[tuple[int, bytes]] = set()
    kept: list[int] = []
    for i in range(len(x)):
        key = (int(case[i]), x[i].numpy().tobytes())
        if key not in seen:
            seen.add(key)
            kept.append(i)
            if len(kept) == count:
                break
    return torch.tensor(kept)


def witness_of(query: Query, x: Tensor) -> Witness:
    """Replay a point once more and freeze it; it must be a witness."""
    if not bool(query.refuted_by(x)):
        raise AssertionError("a point that is no witness was reported as one")
    return Witness(x.to(torch.int64), query.network.graph.evaluate(x).to(torch.int64))
