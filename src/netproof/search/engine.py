"""Branch and bound on one query."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.dual import DualPoint, evaluate_dual, hulls_of
from netproof.bounds.exact import evaluate_exact
from netproof.bounds.optimize import Parameters, better, crown_parameters, optimize
from netproof.bounds.reduce import reduce_ranges
from netproof.bounds.region import Region, propagate_intervals
from netproof.bounds.tighten import tighten_ranges
from netproof.query import Conjunction, Query, Verdict
from netproof.search.attacks import Attacker
from netproof.search.branching import Split, candidates, input_split, look_ahead, split_regions
from netproof.search.cases import cases_of
from netproof.search.presolve import presolve
from netproof.search.subproblems import Frontier, Subproblems
from netproof.settings import Settings


@dataclass(frozen=True)
class Effort:
    """How much work a subproblem is worth; found by measurement (docs/benchmarks.md), the same for every network.

    Attributes
    ----------
    root_steps, steps : multiplier steps at the root and in a subproblem
    batch : subproblems bounded at once
    look_ahead : candidate splits tried out
    retighten : redo the ranges of deeper layers in every subproblem
    """

    root_steps: int = 60
    steps: int = 20
    batch: int = 256
    look_ahead: int = 8
    retighten: bool = True


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the search found: a witness (on the original input), or a verdict without one."""

    verdict: Verdict
    method: str
    subproblems: int
    witness: Tensor | None = None
    bound: float | None = None
    reason: str = ""


class Search:
    """One query's branch and bound.

    Parameters
    ----------
    query : the query
    region : its root region, one row, on the query's own graph
    open_cases : positions in ``query.condition`` that are not refuted yet
    settings, effort : limits and work per subproblem
    """

    def __init__(
        self, query: Query, region: Region, open_cases: Sequence[int], settings: Settings, effort: Effort = Effort()
    ) -> None:
        self._query = query
        self._settings = settings
        self._effort = effort
        conditions = [query.condition[i] for i in open_cases]
        named = torch.stack([(c.coefficients != 0).any(0) for c in conditions]).any(0)
        outputs = named.nonzero()[:, 0] if bool(named.any()) else torch.arange(query.network.outputs)
        self._presolved = presolve(query.network.graph, region, outputs)
        kept = self._presolved.kept[-1]
        self._graph = self._presolved.graph
        self._light = self._graph.to(torch.float32)
        self._cases = cases_of(self._graph, [Conjunction(c.coefficients[:, kept], c.threshold) for c in conditions])
        self._attacker = Attacker(query, self._presolved, self._cases, settings.seed)
        self._deep = len(self._graph.activations) > 2
        self._frontier = Frontier()
        self._count = 0

    def run(self, deadline: float) -> Outcome:
        """Search until decided, or until ``time.monotonic()`` reaches ``deadline``."""
        begun = time.monotonic()
        case = torch.arange(len(self._cases))
        if self._settings.attack:
            found = self._attacker.corners(case)
            if found is not None:
                return self._sat(found, "attack")
        region = self._presolved.region
        row, region = self._cases.roots(case, region.take(torch.zeros(len(case), dtype=torch.int64)))
        found = self._process(self._root(case[row], region), root=True)
        method = "bound"
        next_attack = 1.0
        while found is None and len(self._frontier):
            method = "search"
            now = time.monotonic()
            if now >= deadline:
                return self._undecided(Verdict.TIMEOUT, "the time limit was reached")
            if self._frontier.bytes > self._settings.memory:
                return self._undecided(Verdict.UNKNOWN, "the memory limit was reached")
            batch = self._frontier.pop(self._effort.batch)
            if self._settings.attack and now - begun >= next_attack:
                next_attack = 3 * (now - begun)
                found = self._attacker.align(batch.case, None, 1000)
                if found is not None:
                    return self._sat(found, "attack")
            found = self._process(batch)
        if found is not None:
            return self._sat(found, method)
        return Outcome(Verdict.UNSAT, method, self._count)

    def _root(self, case: Tensor, region: Region) -> Subproblems:
        """Root subproblems; their multipliers are found when they are processed."""
        zeros = tuple(torch.zeros(r.shape, dtype=torch.float32) for r in region.range_lower)
        infinite = torch.full((len(case),), torch.inf, dtype=torch.float64)
        return Subproblems(case, region, Parameters(zeros, zeros), infinite)

    def _sat(self, witness: Tensor, method: str) -> Outcome:
        return Outcome(Verdict.SAT, method, self._count, witness=witness)

    def _undecided(self, verdict: Verdict, reason: str) -> Outcome:
        return Outcome(verdict, "search", self._count, bound=self._frontier.bound, reason=reason)

    def _process(self, batch: Subproblems, root: bool = False) -> Tensor | None:
        """Bound a batch; what stays open is split into the frontier. Returns a witness if one turns up."""
        self._count += len(batch)
        batch = self._shrink(batch)
        if not len(batch):
            return None
        batch, point = self._refute(batch, root)
        if point is None or not len(batch):
            return None
        found = self._attacker.replay(point.x)
        if found is not None:
            return found
        region = reduce_ranges(self._graph, batch.region, hulls_of(self._graph, batch.region), point)
        batch = self._shrink(replace(batch, region=region, value=point.value))
        if not len(batch):
            return None
        self._frontier.add(self._branch(batch))
        return None

    def _shrink(self, batch: Subproblems) -> Subproblems:
        """Propagate ranges in both directions and drop what has become empty."""
        for _ in range(2):
            region = self._cases.constrain(batch.case, batch.region)
            batch = _keep(replace(batch, region=region), ~region.empty())
            if not len(batch):
                return batch
            region = propagate_intervals(self._graph, batch.region)
            batch = _keep(replace(batch, region=region), ~region.empty())
            if not len(batch):
                return batch
        return batch

    def _refute(self, batch: Subproblems, root: bool) -> tuple[Subproblems, DualPoint | None]:
        """Optimize multipliers; keep the subproblems whose exact bound is not negative, with that bound."""
        if self._deep and self._effort.retighten:
            tightened = tighten_ranges(self._graph, batch.region, last=False)
            batch = self._shrink(replace(batch, region=tightened))
        if not len(batch):
            return batch, None
        region, objective = batch.region, self._cases.objective(batch.case, batch.region)
        light_region, light_objective = region.to(torch.float32), objective.to(torch.float32)
        light_hulls = hulls_of(self._light, light_region)
        work = (self._light, light_region, light_hulls, light_objective)
        start = crown_parameters(*work)
        for price in self._cases.prices(batch.case, light_region) if root else []:
            start = better(start, crown_parameters(*work, price))
        if not root:
            inherited = evaluate_dual(*work, batch.parameters.multipliers()).value
            start = better(start, (batch.parameters, inherited))
        parameters, _ = optimize(*work, start[0], self._effort.root_steps if root else self._effort.steps, goal=-0.5)
        # The decision: multipliers on a grid, the bound evaluated without rounding.
        hulls = hulls_of(self._graph, region)
        double = Parameters(tuple(a.double() for a in parameters.alpha), tuple(b.double() for b in parameters.beta))
        point = evaluate_dual(self._graph, region, hulls, objective, double.multipliers())
        exact, _ = evaluate_exact(self._graph, region, hulls, objective, point.s)
        rows = (exact.value >= 0).nonzero()[:, 0]
        batch = Subproblems(batch.case, region, parameters, exact.value).take(rows)
        return batch, exact.take(rows)

    def _branch(self, batch: Subproblems) -> Subproblems:
        """Split every row in two."""
        region = batch.region
        objective = self._cases.objective(batch.case, region)
        light_region = region.to(torch.float32)
        point = evaluate_dual(
            self._light,
            light_region,
            hulls_of(self._light, light_region),
            objective.to(torch.float32),
            batch.parameters.multipliers(),
        )
        split, gap = candidates(
            self._light, light_region, point, self._cases.splittable(batch.case), self._effort.look_ahead
        )
        by_activation = torch.isfinite(gap[:, 0])
        chosen = input_split(light_region, point)
        rows = by_activation.nonzero()[:, 0]
        if len(rows):
            part = Split(split.k[rows], split.feature[rows], split.point[rows])
            picked = look_ahead(
                self._light,
                self._cases,
                batch.case[rows],
                light_region.take(rows),
                batch.parameters.take(rows),
                part,
                gap[rows],
            )
            for whole, some in zip((chosen.k, chosen.feature, chosen.point), (picked.k, picked.feature, picked.point)):
                whole[rows] = some
        twice = torch.arange(len(batch)).repeat(2)
        return replace(batch.take(twice), region=split_regions(region, replace(chosen, point=chosen.point.double())))


def _keep(batch: Subproblems, mask: Tensor) -> Subproblems:
    return batch if bool(mask.all()) else batch.take(mask)
