"""Branch and bound over signs with a linear program for every subproblem, for small networks.

Where a network has few neurons but its box is wide, nearly all of them are open, and what decides is how well a bound weighs all
constraints, slopes and signs against each other. A linear program does so best
(:mod:`netproof.bounds.multipliers.triangles`), and with few neurons it takes a fraction of a millisecond from the basis of the one
before it. So each of the likeliest splits is tried out in full (strong branching: Applegate et al., *The Traveling Salesman
Problem*, 2006, section 15.2), the best is taken, and its halves are bounded already. A half counts as refuted where the rigorous
bound at the multipliers that its program proposes says so, as everywhere.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.multipliers.signs import LEFT, RIGHT, WHOLE, SignDual
from netproof.bounds.multipliers.triangles import Triangles
from netproof.conditions.conditions import Conditions
from netproof.effort.real import PROGRAM
from netproof.query import Verdict, Witness
from netproof.rows import Rows
from netproof.search.outcome import Outcome
from netproof.search.proofs.journal import Grounds, Means
from netproof.search.real.problem import Problem
from netproof.search.real.programs.leaf import SignEnds
from netproof.search.real.relu_split import sign_split
from netproof.search.tree import DepthFirst
from netproof.solvers.highs.model import Solution
from netproof.solvers.highs.solve import HighsProcess, SolverError

_STUCK = "a subproblem without open features stays open"


@dataclass(frozen=True, eq=False)
class Parts(Rows):
    """Open subproblems: case, sides ``[B, m]`` of features, the best bound, how far features are from their functions
    ``[B, m]`` where the program's solution is, and nodes in the record, if there is one."""

    case: Tensor
    side: Tensor
    value: Tensor
    gap: Tensor
    node: Tensor | None = None

    def __len__(self) -> int:
        return self.case.shape[0]


class ProgramSplit:
    """Search on one query.

    Parameters
    ----------
    dual : the open features of the root region, float64; see :meth:`is_for`
    rounding : of that region
    solver : of programs
    """

    def __init__(self, problem: Problem, dual: SignDual, rounding: Rounding, solver: HighsProcess) -> None:
        self._problem, self._dual, self._rounding, self._solver = problem, dual, rounding, solver
        constraints = problem.constraints
        every = torch.arange(len(constraints)).repeat_interleave(constraints.width)
        goals = constraints.single(every, torch.arange(constraints.width).repeat(len(constraints)))
        self._triangles = Triangles(dual, goals, constraints.width)
        self._ends = SignEnds(problem, dual, rounding, solver)
        #: whether any leaf that stays open might be closed by other means
        self._hopeful = False
        self._tree: DepthFirst[Parts] = DepthFirst(problem.memory, problem.record, stuck=_STUCK)

    @staticmethod
    def is_for(dual: SignDual, constraints: Conditions) -> bool:
        """Whether there is something to split, and programs are small enough."""
        goals = len(constraints) * constraints.width
        small = len(dual) <= PROGRAM.most_features and goals <= PROGRAM.most_goals
        return len(dual) > 0 and small and Triangles.numbers(dual, goals) <= PROGRAM.largest_program

    def run(self, case: Tensor, deadline: float) -> Outcome:
        """Decide cases (numbers), or stop when ``time.monotonic()`` reaches ``deadline``.

        Where there is no solver, or it fails, the outcome is undecided, and all cases are left.
        """
        try:
            return self._run(case, deadline)
        except SolverError as error:
            return Outcome(Verdict.UNKNOWN, self._tree.count, reason=str(error), left=case)

    def _run(self, case: Tensor, deadline: float) -> Outcome:
        record, features = self._problem.record, len(self._dual)
        root = Parts(
            case,
            torch.zeros(len(case), features, dtype=torch.int8),
            torch.full((len(case),), torch.inf, dtype=torch.float64),
            torch.zeros(len(case), features, dtype=torch.float64),
            None if record is None else record.root(case, self._dual.region),
        )
        witness = self._bound(root, self._solved(root, deadline))
        if witness is not None:
            return self._tree.sat(witness)
        found = self._tree.search(lambda batch: self._step(batch, deadline), PROGRAM.at_once, deadline)
        return replace(found, left=None) if found.reason == _STUCK and not self._hopeful else found

    def _step(self, batch: Parts, deadline: float) -> Outcome | None:
        """Split subproblems and bound their halves; close those of which nothing is left to split."""
        whole = (batch.side == WHOLE).any(1)
        witness = self._close(batch.take(~whole), deadline)
        if witness is None and bool(whole.any()):
            witness = self._branch(batch.take(whole), deadline)
        if witness is not None:
            return self._tree.sat(witness)
        return self._tree.stuck() if self._problem.attack is None else None  # no proof any more, and no witness

    def _close(self, leaves: Parts, deadline: float) -> Witness | None:
        """Close subproblems with nothing left to split, put aside those that stay open; a witness if one is found."""
        for row in range(len(leaves)):
            node = None if leaves.node is None else leaves.node[row : row + 1]
            end = self._ends.close(int(leaves.case[row]), leaves.side[row], node, deadline)
            if end is not None and end.witness is not None:
                return end.witness
            if end is not None:
                self._tree.put_aside(leaves.case[row : row + 1], leaves.value[row : row + 1])
                self._hopeful = self._hopeful or not end.hopeless
        return None

    def _branch(self, batch: Parts, deadline: float) -> Witness | None:
        """Try the likeliest splits of every row, and keep the halves of the best one."""
        score = torch.where(batch.side == WHOLE, batch.gap, -torch.inf)
        best, feature = score.topk(min(PROGRAM.look_ahead, score.shape[1]), 1)
        tried = best > 0
        tried[:, 0] = True
        row, column = tried.nonzero(as_tuple=True)
        halves = self._halves(batch, row, feature[row, column])
        solutions = self._solved(halves, deadline)
        if time.monotonic() >= deadline:
            self._tree.add(batch)
            return None
        reached = torch.tensor([self._triangles.reached(one) for one in solutions], dtype=torch.float64)
        left, right = reached.clamp(min=0).chunk(2)
        total = torch.full_like(best, torch.inf)
        total[row, column] = left + right
        chosen = total.argmin(1)
        split = feature.gather(1, chosen[:, None])[:, 0]
        # Of the rows that were tried, those of the chosen splits; their other halves come as many rows later.
        number = torch.zeros_like(feature)
        number[row, column] = torch.arange(len(row))
        kept = number.gather(1, chosen[:, None])[:, 0]
        kept = torch.cat([kept, kept + len(row)])
        halves = halves.take(kept)
        if self._problem.record is not None and batch.node is not None:
            halves = replace(halves, node=self._problem.record.split(batch.node, sign_split(self._dual, split)))
        return self._bound(halves, [solutions[at] for at in kept.tolist()])

    @staticmethod
    def _halves(batch: Parts, row: Tensor, feature: Tensor) -> Parts:
        """The halves of rows, each split at a feature: all left ones, then all right ones."""
        halves = replace(batch, node=None).take(row.repeat(2))
        at = torch.arange(len(row))
        halves.side[at, feature] = LEFT
        halves.side[at + len(row), feature] = RIGHT
        return halves

    def _solved(self, parts: Parts, deadline: float) -> list[Solution]:
        """What the solver says of the programs of subproblems."""
        case = parts.case.tolist()
        members = [self._triangles.member(c, side) for c, side in zip(case, parts.side, strict=True)]
        until = min(deadline, time.monotonic() + PROGRAM.seconds)
        return self._solver.solve_all(self._triangles.family, members, until, tolerance=PROGRAM.tolerance)

    def _bound(self, parts: Parts, solutions: list[Solution]) -> Witness | None:
        """Keep the subproblems that their solutions do not refute; a witness if the point of one is."""
        proposal = self._triangles.propose(parts.case.tolist(), parts.side, solutions)
        self._tree.count += len(parts)
        constraints, record = self._problem.constraints, self._problem.record
        error = constraints.mixing_error(parts.case, proposal.weight, self._rounding)
        objective = replace(constraints.mixed(parts.case, proposal.weight), error=error)
        value = self._dual.bound(objective, parts.side, proposal.alpha, proposal.beta, self._rounding).value
        value = torch.where(proposal.known, value, torch.inf)
        # The parent's bound holds here too.
        value = torch.minimum(value, parts.value)
        is_open = value >= 0
        if record is not None and parts.node is not None:
            by = Grounds(Means.SIGNS, proposal.weight, (proposal.alpha, proposal.beta))
            record.leaf(parts.node[~is_open], by.take(~is_open))
        left = replace(parts, value=value, gap=proposal.gap)
        # The newest are searched first: of what stays open, those that can be met by the most.
        order = torch.where(is_open, value, -torch.inf).argsort(stable=True)
        order = order[is_open[order]]
        if not len(order):
            return None
        if self._problem.attack is not None:
            witness = self._problem.attack.try_points(proposal.point[order], parts.case[order])
            if witness is not None:
                return witness
        for one in torch.split(order, 1):
            self._tree.add(left.take(one))
        return None
