"""The engine ``milp``: linear programs with exact bounds refute, HiGHS looks for witnesses."""

from __future__ import annotations

import time
from dataclasses import replace
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from netproof.bounds.ranges.tighten import tighten_ranges
from netproof.bounds.region import box_region
from netproof.exact.base import Answer
from netproof.exact.milp.condition import tighten_by_condition
from netproof.exact.milp.encode import Encoder, Encoding, EncodingError
from netproof.exact.milp.proof import ProgramTree
from netproof.exact.milp.rounding import roundings
from netproof.query import Conjunction, Query, Verdict
from netproof.settings import Settings
from netproof.solvers.highs.model import Floats, Model, Solution, Status
from netproof.solvers.highs.solve import HighsProcess, SolverError

#: regions of each case, and part of the time for all of them, before HiGHS is asked for a witness
_FIRST_LOOK, _FIRST_SHARE = 64, 0.4
#: of the time left, what HiGHS may spend on one integer program
_SHARE = 0.25
#: roundings tried of a linear program's point, and of an integer program's
_FEW, _MANY = 16, 4096
#: boxes of no more points are settled by evaluating each, once HiGHS has had its say
_ENUMERATED = 2048
#: more inputs than this stay real in integer programs: HiGHS hardly moves with hundreds of integers of wide
#: range in one equation
_INTEGER_INPUTS = 64


class MilpEngine:
    """Mixed-integer linear programming by HiGHS.

    Every case (disjunct) of the query is refuted by a tree of linear programs whose multipliers the exact
    evaluation accepts (:mod:`netproof.exact.milp.proof`). Where that takes longer, HiGHS is asked for a
    point of the case's integer program in between: the point is rounded and replayed, and a witness is the
    answer. That HiGHS finds none is counted, not believed.

    The solver's process is kept from query to query, and ends with the engine, :meth:`close` or a ``with`` block.
    """

    name = "milp"

    def __init__(self) -> None:
        self._solver: tuple[int, HighsProcess] | None = None

    def __enter__(self) -> MilpEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the solver's process."""
        if self._solver is not None:
            self._solver[1].close()
            self._solver = None

    def __del__(self) -> None:
        self.close()

    def decide(self, query: Query, settings: Settings, deadline: float) -> Answer:
        """Decide the query before ``time.monotonic()`` reaches ``deadline``; see :class:`netproof.exact.base.Engine`."""
        decision = _Decision(query, self._process(settings), settings, deadline)
        try:
            return decision.run()
        except EncodingError as error:
            return decision.answer(Verdict.UNKNOWN, str(error))
        except SolverError as error:
            return replace(decision.answer(Verdict.UNKNOWN, str(error)), retryable=True)

    def _process(self, settings: Settings) -> HighsProcess:
        if self._solver is None or self._solver[0] != settings.memory:
            self.close()
            self._solver = (settings.memory, HighsProcess(settings.memory))
        return self._solver[1]


class _Decision:
    """One query's way through the engine."""

    def __init__(self, query: Query, solver: HighsProcess, settings: Settings, deadline: float) -> None:
        self._query = query
        self._solver = solver
        self._deadline = deadline
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._trees: list[tuple[Conjunction, ProgramTree]] = []
        self._integer_programs = self._infeasible = self._solver_nodes = self._rejected = 0

    def answer(self, verdict: Verdict, reason: str = "", point: Tensor | None = None) -> Answer:
        """The answer, with what was done for it.

        Statistics: ``cases`` that ranges alone do not refute; ``regions`` and linear ``programs`` of the
        refutations; ``integer_programs`` given to HiGHS, how many it called infeasible (``highs_infeasible``,
        a claim that no verdict rests on), its ``highs_nodes``, and ``points_rejected``, its points none of
        whose roundings was a witness.
        """
        trees = [tree for _, tree in self._trees]
        statistics = {
            "cases": len(trees),
            "regions": sum(tree.regions for tree in trees),
            "programs": sum(tree.programs for tree in trees),
            "integer_programs": self._integer_programs,
            "highs_infeasible": self._infeasible,
            "highs_nodes": self._solver_nodes,
            "points_rejected": self._rejected,
        }
        return Answer(verdict, point, reason, statistics={name: float(count) for name, count in statistics.items()})

    def run(self) -> Answer:
        query = self._query
        graph = query.network.graph
        encoder = Encoder(graph)
        root = box_region(graph, query.lower[None], query.upper[None])
        if len(graph.activations) > 2:
            root = tighten_ranges(graph, root)
        waiting: list[tuple[Conjunction, ProgramTree]] = []
        now = time.monotonic()
        first_deadline = now + _FIRST_SHARE * max(self._deadline - now, 0.0)
        for conjunction in query.condition:
            region = tighten_by_condition(graph, root, conjunction)
            if region is None:
                continue
            tree = ProgramTree(encoder, conjunction, region, self._solver, self._replay_few)
            self._trees.append((conjunction, tree))
            done = tree.grow(first_deadline, _FIRST_LOOK)
            if done.verdict is Verdict.SAT:
                return self.answer(Verdict.SAT, point=done.point)
            if done.verdict is Verdict.UNKNOWN:
                waiting.append((conjunction, tree))
        for conjunction, tree in waiting:
            found = self._find(encoder, conjunction, tree)
            if found is not None:
                return self.answer(Verdict.SAT, point=found)
        for _, tree in waiting:
            done = tree.grow(self._deadline, enumerated=_ENUMERATED)
            if done.verdict is Verdict.SAT:
                return self.answer(Verdict.SAT, point=done.point)
            if done.verdict is Verdict.UNKNOWN:
                return self.answer(Verdict.TIMEOUT, self._why_not(len(waiting)))
        return self.answer(Verdict.UNSAT)

    def _why_not(self, cases: int) -> str:
        if self._infeasible == cases:
            return "the time limit was reached (HiGHS finds no witness, but that is not proved)"
        return "the time limit was reached"

    def _find(self, encoder: Encoder, conjunction: Conjunction, tree: ProgramTree) -> Tensor | None:
        """A witness in the points of the case's integer programs."""
        encoding = encoder.encode(tree.region, conjunction)
        solution = self._solve(encoding.with_real_inputs())
        if solution.point is not None:
            found = self._replay_many(encoding, solution.point)
            if found is None:
                found = self._centre(encoding, solution.point)
            if found is not None:
                return found
        if solution.status is not Status.INFEASIBLE and np.count_nonzero(encoding.inputs >= 0) <= _INTEGER_INPUTS:
            solution = self._solve(encoding.model)
            if solution.point is not None:
                found = self._replay_many(encoding, solution.point)
                self._rejected += found is None
                return found
        self._infeasible += solution.status is Status.INFEASIBLE
        self._rejected += solution.point is not None
        return None

    def _solve(self, model: Model) -> Solution:
        now = time.monotonic()
        self._integer_programs += 1
        solution = self._solver.solve(model, now + _SHARE * max(self._deadline - now, 0.0))
        self._solver_nodes += solution.nodes
        return solution

    def _centre(self, encoding: Encoding, point: Floats) -> Tensor | None:
        """Keep the levels of a point and move it away from every threshold, where roundings do no harm."""
        solution = self._solver.solve(encoding.centred(point), self._deadline, relaxed=True)
        return None if solution.point is None else self._replay_many(encoding, solution.point)

    def _replay_many(self, encoding: Encoding, point: Floats) -> Tensor | None:
        return self._replay(torch.from_numpy(encoding.input_of(point))[None], _MANY)

    def _replay_few(self, points: Tensor) -> Tensor | None:
        return self._replay(points, _FEW)

    def _replay(self, points: Tensor, count: int) -> Tensor | None:
        """The first witness among roundings of each of the points ``[N, n_input]``."""
        query = self._query
        whole = bool((points == points.round()).all())
        candidates = points
        if not whole:
            candidates = torch.cat([roundings(x, query.lower, query.upper, count, self._generator) for x in points])
        hits = query.refuted_by(candidates).nonzero()[:, 0]
        return candidates[hits[0]] if len(hits) else None
