"""Attack: follow the linear program's point down to where hardly anything is left to decide.

Branch and bound in the order of the bounds works on all subproblems at once and comes late to small
ones, which are where witnesses turn up. A dive, as in integer programming (Berthold, *Primal heuristics
for mixed integer programs*, 2006), goes there directly: it keeps a few subproblems, cuts several ranges of
each at once to the side on which the program's point lies, both sides of the best cut being tried, and drops
what falls behind. From each level's points a witness is looked for nearby. What a dive drops is not
refuted: it never closes anything, and the search goes on as if it had not been.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netproof.bounds.dual import evaluate_dual, given
from netproof.bounds.multipliers.interior import InteriorResult, InteriorSolver
from netproof.bounds.ranges.reduce import reduce_ranges
from netproof.bounds.region import Region
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.conditions import Conditions
from netproof.effort.integer import DIVE
from netproof.graph.graph import Graph
from netproof.search.branching import Split, program_candidates, split_regions, upper_half
from netproof.search.integer.attacks import Attacker
from netproof.search.subproblems import Subproblems


class Diver:
    """Dives on one query, one level at a time.

    Parameters
    ----------
    graph, cases : the presolved graph and its cases
    solver : of the graph's linear programs
    attacker : looks for witnesses near their points
    iterations : of the solver, per level

    Attributes
    ----------
    share : of the search's work that dives are worth: little where the last one was refuted high up
    """

    def __init__(
        self,
        graph: Graph,
        cases: Conditions,
        solver: InteriorSolver,
        attacker: Attacker,
        iterations: int,
    ) -> None:
        self._graph = graph
        self._cases = cases
        self._solver = solver
        self._attacker = attacker
        self._iterations = iterations
        self._case = torch.empty(0, dtype=torch.int64)
        self._region: Region | None = None
        self._start: tuple[Tensor, ...] = ()
        self._dives = self._level = 0
        self._width = self._whole = 0.0
        self.share = DIVE.most

    @property
    def running(self) -> bool:
        """Whether the last dive has not reached its end."""
        return self._region is not None

    def begin(self, batch: Subproblems) -> None:
        """Start a dive at the rows of a batch."""
        self._case, self._region = batch.case, batch.region
        multipliers = batch.parameters
        self._start = tuple(part.double() for part in multipliers.beta)
        if self._dives:
            reach = 1 - self._width / max(self._whole, 1.0)
            self.share = min(max(2 * DIVE.most * reach, DIVE.least), DIVE.most)
        self._dives += 1
        self._level = 0
        self._whole = 0.0

    def advance(self, deadline: float) -> Tensor | None:
        """Go one level down; returns a witness, if one turns up."""
        region, self._region = self._region, None
        if region is None:
            return None
        rows, region = self._cases.confined(self._case, region)
        if not len(rows):
            return None
        case, start = self._case[rows], [part[rows] for part in self._start]
        objective = self._cases.objective(case, region)
        program = self._solver.solve(Relaxation(self._graph, region), objective, start, self._iterations, 0.0)
        best = program.value.argsort(descending=True)[: DIVE.beam]
        best = best[program.value[best] >= 0]
        if not len(best):
            return None
        program, case, region = program.take(best), case[best], region.take(best)
        descending = self._level % DIVE.descent_every == DIVE.descent_every - 1
        found = self._attacker.near(program.x, case, deadline, descending=descending)
        if found is not None:
            return found
        point = evaluate_dual(Relaxation(self._graph, region), objective.take(best), given(program.s))
        region = reduce_ranges(point)
        self._width = self._undecided(region)
        self._whole = max(self._whole, self._width)
        cuts = int(min(max(self._width / DIVE.paces[(self._dives - 1) % len(DIVE.paces)], 1), DIVE.most_cuts))
        split, score = program_candidates(self._graph, region, point.v, program.a, self._cases.splittable(case), cuts)
        if not bool(torch.isfinite(score[:, 0]).any()):
            return None  # nothing is left to cut
        self._region = _cut(self._graph, region, split, score, program)
        self._case = case.repeat(2)
        self._start = tuple(part.repeat(2, 1) for part in program.s)
        self._level += 1
        return None

    def _undecided(self, region: Region) -> float:
        """How many steps of hidden staircases the first row leaves undecided."""
        width = 0.0
        for k, index in enumerate(self._graph.activations[:-1]):
            low, high = self._graph.activation(index).output_range(region.range_lower[k][:1], region.range_upper[k][:1])
            width += float((high - low).sum())
        return width


def _cut(graph: Graph, region: Region, split: Split, score: Tensor, program: InteriorResult) -> Region:
    """Both halves of every row's best split, each on the program's side of all its other splits."""
    rows = torch.arange(len(region))
    usable = torch.where(torch.isfinite(score), split.k, -2)
    for column in range(1, usable.shape[1]):
        cut = Split(usable[:, column], split.feature[:, column], split.point[:, column])
        region = split_regions(graph, region, cut).take(rows + upper_half(cut, program.a) * len(region))
    return split_regions(graph, region, Split(usable[:, 0], split.feature[:, 0], split.point[:, 0]))
