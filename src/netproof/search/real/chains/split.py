"""Branch and bound over the box of networks that are chains of dense layers side by side: two versions of a network, compared.

What :class:`netproof.search.real.input_split.InputSplit` does in batches of tensors is done one box at a time in a compiled loop: a
box begins with the ranges of the one that it is half of, bounds what is open there, layer by layer, by three rules of slopes, and
stops at the first that settles a feature. The search keeps no record, so proofs do without it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from netproof.bounds.chains.chains import Chains
from netproof.bounds.chains.kernels import Spare
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.region import Region
from netproof.effort.real import CHAINS
from netproof.processes import clock
from netproof.processes.loops import is_kept
from netproof.query import Verdict, Witness
from netproof.search.outcome import Outcome
from netproof.search.real.chains.compiled import compiled_walk
from netproof.search.real.chains.walk import FOUND, STUCK, Stack, Standing
from netproof.search.real.problem import Problem
from netproof.search.trace import tell


class ChainSplit:
    """Search on one query, all of it in float64 on the CPU.

    Use :meth:`of`.
    """

    def __init__(self, problem: Problem, chains: Chains) -> None:
        self._problem = problem
        self._chains = chains

    @classmethod
    def of(cls, problem: Problem, deadline: float) -> ChainSplit | None:
        """The search for a problem; None where it is not for it.

        That is where there is one network, another kind of network, where a proof is wanted, or where the loop is still to be
        compiled and ``clock.now()`` too near to ``deadline`` for that.
        """
        if problem.record is not None:
            return None
        chains = Chains.of(problem.graph)
        if chains is None or len(chains) < CHAINS.least or chains.size > CHAINS.widest:
            return None
        loop = compiled_walk()
        if loop is None or not (is_kept(loop) or deadline - clock.now() > CHAINS.compiling):
            return None
        return cls(problem, chains)

    def run(self, region: Region, case: Tensor, deadline: float, most: float = math.inf) -> Outcome:
        """Decide cases (numbers) on a region of one row, or stop when ``clock.now()`` reaches ``deadline``.

        It gives up at a box that cannot be split, and after ``most`` boxes unless a good part of the region is closed by then.
        """
        loop = compiled_walk()
        assert loop is not None
        rounding = Rounding.of(self._chains.graph, region)
        if not rounding.total_magnitude < math.inf:
            return Outcome(Verdict.UNKNOWN, 0, reason="values are too large", left=case)
        constraints = self._problem.constraints
        layers = self._chains.layers(rounding)
        inputs = None if constraints.inputs is None else constraints.inputs[case]
        asked = self._chains.asked(rounding, layers, constraints.outputs[case], inputs, constraints.threshold[case])
        stack, standing, spare = self._room(region, len(case))
        portion = 1
        while int(standing.size[0]):
            if clock.now() >= deadline:
                return self._undecided(Verdict.TIMEOUT, "the time limit was reached", stack, standing, case)
            if int(standing.boxes[0]) >= most and float(standing.closed[0]) < CHAINS.worth:
                return self._undecided(Verdict.UNKNOWN, "boxes do not close", stack, standing, case)
            tell("step", lambda: self._told(stack, standing))
            begun = clock.now()
            lines = self._chains.lines()
            end = loop(layers, lines, asked, (stack, standing), spare, (portion, CHAINS.narrow))
            # Calls are long enough to cost nothing and short enough for the deadline.
            if end != FOUND and clock.now() - begun < CHAINS.seconds:
                portion = min(2 * portion, CHAINS.at_once)
            if end == STUCK:
                return self._undecided(Verdict.UNKNOWN, "a box cannot be split any further", stack, standing, case)
            witness = self._tried(standing, case) if end == FOUND else None
            if witness is not None:
                return Outcome(Verdict.SAT, int(standing.boxes[0]), witness)
        return Outcome(Verdict.UNSAT, int(standing.boxes[0]))

    def _room(self, region: Region, cases: int) -> tuple[Stack, Standing, Spare]:
        """The stack with the region on it, and what else a walk writes to."""
        inputs, size, room = self._chains.graph.input.size, self._chains.size, CHAINS.boxes
        lower, upper = self._chains.ranges(region)
        stack = Stack(
            np.zeros((room, inputs)),
            np.zeros((room, inputs)),
            np.zeros((room, *lower.shape)),
            np.zeros((room, *upper.shape)),
            np.ones((room, cases), dtype=np.bool_),
            np.zeros(room, dtype=np.int64),
        )
        stack.low[0], stack.high[0] = region.lower[0].numpy(), region.upper[0].numpy()
        stack.lower[0], stack.upper[0] = lower, upper
        whole = np.zeros(1, dtype=np.int64)
        bar = np.full(1, -CHAINS.near if self._problem.attack is not None else np.inf)
        standing = Standing(
            whole + 1, whole.copy(), np.zeros(1), np.full(1, np.inf), bar, whole.copy(), np.zeros(inputs)
        )
        x, score, middle, radius = np.zeros((4, inputs))
        v, work, best = np.zeros(size), np.zeros((4, size)), np.zeros(cases)
        spare = Spare(v, work, x, score, best, np.zeros((cases, 2), dtype=np.int64), middle, radius)
        return stack, standing, spare

    def _tried(self, standing: Standing, case: Tensor) -> Witness | None:
        """A witness at the point that a walk has come to, or near it, if there is one."""
        attack = self._problem.attack
        assert attack is not None
        point = torch.from_numpy(standing.point.copy())[None]
        return attack.try_points(point, case[int(standing.case[0])][None])

    def _undecided(self, verdict: Verdict, reason: str, stack: Stack, standing: Standing, case: Tensor) -> Outcome:
        is_open = torch.from_numpy(stack.is_open[: int(standing.size[0])]).any(0)
        return Outcome(
            verdict, int(standing.boxes[0]), bound=float(standing.bound[0]), reason=reason, left=case[is_open]
        )

    @staticmethod
    def _told(stack: Stack, standing: Standing) -> dict[str, object]:
        size, bound = int(standing.size[0]), float(standing.bound[0])
        return {
            "subproblems": int(standing.boxes[0]),
            "open": size,
            "cases": int(stack.is_open[:size].any(0).sum()),
            "bound": bound if math.isfinite(bound) else None,
        }
