"""The engine ``milp``: HiGHS looks for a witness, and linear programs with exact bounds refute."""

from __future__ import annotations

import time
from types import TracebackType

import torch
from torch import Tensor

from netproof.bounds.region import Region, box_region
from netproof.bounds.tighten import tighten_ranges
from netproof.exact.base import Answer
from netproof.exact.milp.condition import confine
from netproof.exact.milp.encode import Encoder, EncodingError
from netproof.exact.milp.highs import HighsProcess, SolverError
from netproof.exact.milp.model import Status
from netproof.exact.milp.proof import Tree
from netproof.query import Conjunction, Query, Verdict
from netproof.settings import Settings

#: regions a refutation may look at before HiGHS is asked for a witness
_FIRST_LOOK = 1
#: of the time left, what HiGHS may spend on one case's integer program
_SHARE = 0.25


class MilpEngine:
    """Mixed-integer linear programming by HiGHS.

    Of each case (disjunct) of the query that linear programs do not refute at once, HiGHS is asked for a
    point: a whole-number point is replayed, and a witness is the answer. That HiGHS finds none is
    counted, not believed: the case is then refuted by a tree of linear programs whose multipliers the
    exact evaluation accepts (:mod:`netproof.exact.milp.proof`). Where that takes too long the answer is
    ``timeout``, and its reason has what HiGHS says.

    The solver's process is kept from query to query. Use as a context manager, or call :meth:`close`.
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
        decision = _Decision(query, self._process(settings), deadline)
        try:
            return decision.run()
        except EncodingError as error:
            return decision.answer(Verdict.UNKNOWN, f"milp: {error}")
        except SolverError as error:
            return decision.answer(Verdict.UNKNOWN, f"milp: {error}")

    def _process(self, settings: Settings) -> HighsProcess:
        if self._solver is None or self._solver[0] != settings.memory:
            self.close()
            self._solver = (settings.memory, HighsProcess(settings.memory))
        return self._solver[1]


class _Decision:
    """One query's way through the engine."""

    def __init__(self, query: Query, solver: HighsProcess, deadline: float) -> None:
        self._query = query
        self._solver = solver
        self._deadline = deadline
        self._counts = {
            "cases": float(len(query.condition)),
            "regions": 0.0,
            "programs": 0.0,
            "integer_programs": 0.0,
            "highs_infeasible": 0.0,
            "highs_nodes": 0.0,
            "points_rejected": 0.0,
        }

    def answer(self, verdict: Verdict, reason: str = "", point: Tensor | None = None) -> Answer:
        return Answer(verdict, point, reason, dict(self._counts))

    def run(self) -> Answer:
        query = self._query
        graph = query.network.graph
        encoder = Encoder(graph)
        root = box_region(graph, query.lower[None], query.upper[None])
        if len(graph.activations) > 2:
            root = tighten_ranges(graph, root)
        waiting: list[tuple[Conjunction, Region]] = []
        for conjunction in query.condition:
            region = confine(graph, root, conjunction)
            if region is None:
                continue
            tree = Tree(encoder, conjunction, self._solver, query.refuted_by)
            answer = self._refute(tree, region, _FIRST_LOOK)
            if answer is None:
                continue
            if answer.verdict is Verdict.SAT:
                return answer
            if time.monotonic() >= self._deadline:
                return answer
            waiting.append((conjunction, region))
        hopeless = 0
        for conjunction, region in waiting:
            point, infeasible = self._find(encoder, conjunction, region)
            hopeless += infeasible
            if point is not None:
                return self.answer(Verdict.SAT, point=point)
        for conjunction, region in waiting:
            tree = Tree(encoder, conjunction, self._solver, query.refuted_by)
            answer = self._refute(tree, region, None)
            if answer is not None:
                if answer.verdict is Verdict.TIMEOUT and waiting and hopeless == len(waiting):
                    return self.answer(
                        Verdict.TIMEOUT, "the time limit was reached: HiGHS finds no witness, which is not proved"
                    )
                return answer
        return self.answer(Verdict.UNSAT)

    def _refute(self, tree: Tree, region: Region, limit: int | None) -> Answer | None:
        """None where the case is refuted."""
        done = tree.refute(region, self._deadline, limit)
        self._counts["regions"] += done.regions
        self._counts["programs"] += done.programs
        if done.verdict is Verdict.UNSAT:
            return None
        reason = "" if done.verdict is Verdict.SAT else "the time limit was reached"
        return self.answer(done.verdict, reason, done.point)

    def _find(self, encoder: Encoder, conjunction: Conjunction, region: Region) -> tuple[Tensor | None, bool]:
        """A witness that HiGHS finds, replayed; and whether it says that there is none."""
        now = time.monotonic()
        encoding = encoder.encode(region, conjunction)
        solution = self._solver.solve(encoding.model, now + _SHARE * max(self._deadline - now, 0.0))
        self._counts["integer_programs"] += 1
        self._counts["highs_nodes"] += solution.nodes
        if solution.status is Status.INFEASIBLE:
            self._counts["highs_infeasible"] += 1
            return None, True
        if solution.point is None:
            return None, False
        x = torch.from_numpy(encoding.input_of(solution.point)).round()
        x = x.clamp(self._query.lower, self._query.upper)
        if bool(self._query.refuted_by(x)):
            return x, False
        self._counts["points_rejected"] += 1
        return None, False
