"""Subproblems with nothing left to split: what is left is a linear program in the input.

Where no feature is open any more, every value is an affine function of the input, and weights of constraints and
multipliers of splits are all there is to choose: the dual of a linear program (Wang et al., *Beta-CROWN*, NeurIPS 2021,
section 3). Splits are signs of features (:class:`SignLeaves`), or ends of ranges
(:class:`netproof.search.real.programs.straight.RangeLeaves`). Adam comes close to its solution, HiGHS finds it. What HiGHS says decides nothing: its dual values are
multipliers like any others, and the bound that they give is evaluated with all rounding accounted for; its point is
tried as a witness.

With ``x = center + radius u``, constraints ``m(u) >= 0`` and signs ``g(u) >= 0`` of features, each divided by the
largest it can be, two programs are asked:

* maximize ``t`` with ``m(u) >= t`` and ``g(u) >= 0``: below 0 where the case cannot hold, and elsewhere the point that
  meets it by the most;
* where that has no point, maximize ``t <= 0`` with ``m(u) >= t`` and ``g(u) >= t``: always feasible, below 0 where the
  signs alone contradict each other.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from netproof.bounds.backward import box_maximum
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.multipliers.adam import Until
from netproof.bounds.multipliers.sign_steps import Choice, optimize_signs
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.region import Region
from netproof.conditions.conditions import Conditions
from netproof.effort.real import BALL, LEAF
from netproof.result import Witness
from netproof.search.proofs.journal import Grounds, Means
from netproof.search.real.problem import Problem
from netproof.search.real.touch import ended
from netproof.solvers.highs.model import Floats, Model, Solution, Status
from netproof.solvers.highs.solve import HighsProcess, SolverError


def leaf_solver(memory: int) -> HighsProcess:
    """A solver for leaves, where open subproblems may occupy ``memory`` bytes."""
    return HighsProcess(min(memory, LEAF.memory))


@dataclass(frozen=True, eq=False)
class Leaf:
    """What is known of a leaf.

    Attributes
    ----------
    value : an upper bound in real arithmetic of a mixture of the case's constraints; below 0 it is refuted
    point : ``[n_input]`` float64 where there is one, to be tried as a witness
    hopeless : whether the solver found nothing either that would refute it, so that asking again is of no use
    weight, beta : of constraints and of splits, those of the bound where it is finite
    """

    value: float
    point: Tensor | None = None
    hopeless: bool = False
    weight: Tensor | None = None
    beta: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Lines:
    """Affine functions of ``u`` in ``[-1, 1]^n``: ``slope @ u + offset``, ``[r, n]`` and ``[r]``."""

    slope: Floats
    offset: Floats

    @property
    def size(self) -> Floats:
        """The largest absolute value of each, 1 where it is 0."""
        largest = np.abs(self.slope).sum(1) + np.abs(self.offset)
        return np.asarray(np.where(largest > 0, largest, 1.0))

    @property
    def are_finite(self) -> bool:
        """Whether all numbers are, and so are their sizes."""
        return bool(np.isfinite(np.abs(self.slope).sum(1) + np.abs(self.offset)).all())


#: what says which part of a region a leaf is
P = TypeVar("P")


class LeafPrograms(ABC, Generic[P]):
    """Bounds leaves of one search by linear programs.

    Parameters
    ----------
    box : the root region, of one row, float64
    constraints : float64
    solver : where programs are solved; its process starts with the first leaf
    """

    def __init__(self, box: Region, constraints: Conditions, solver: HighsProcess) -> None:
        self._constraints = constraints
        self._solver = solver
        self._failures = 0
        self._center, self._radius = (box.lower[0] + box.upper[0]) / 2, (box.upper[0] - box.lower[0]) / 2
        self._free = (self._radius > 0).nonzero()[:, 0]

    @abstractmethod
    def evaluate(self, case: int, part: P, weight: Tensor, beta: Tensor) -> float:
        """The bound with weights of constraints ``[c]`` and multipliers of splits ``[m]``, each of at least 0."""

    @abstractmethod
    def _splits(self, part: P) -> int:
        """How many splits there are at most, ``m``."""

    @abstractmethod
    def _form(self, objective: Objective, part: P) -> tuple[Tensor, Tensor]:
        """Objectives as functions of the input, in float64: slopes ``[B, n]``, and the largest values on the box ``[B]``."""

    @abstractmethod
    def _lines_of_splits(self, part: P, until: float) -> tuple[Lines | None, Tensor]:
        """What is at least 0 because of splits, where it may be below 0 in the box, and the numbers of these splits.

        None where there is no time for it.
        """

    def bound(self, case: int, part: P, deadline: float) -> Leaf:
        """Bound a case on a part of the region in which nothing is left to split."""
        unknown = Leaf(torch.inf)
        rows = self._splits(part) + self._constraints.width
        if rows * len(self._free) > LEAF.largest_program or self._failures >= LEAF.failures:
            return unknown
        until = min(deadline, time.monotonic() + LEAF.seconds)
        margins = self._lines_of_constraints(case, part)
        signs, features = self._lines_of_splits(part, until)
        if signs is None or time.monotonic() >= until:
            return unknown
        # What has overflowed is no row of a program.
        if not (margins.are_finite and signs.are_finite):
            return unknown
        try:
            solution = self._solver.solve(_program(margins, signs), until, relaxed=True, tolerance=LEAF.tolerance)
            if solution.status not in (Status.OPTIMAL, Status.TIME):
                elastic = _program(margins, signs, elastic=True)
                solution = self._solver.solve(elastic, until, relaxed=True, tolerance=LEAF.tolerance)
        except SolverError:
            self._failures += 1
            return unknown
        point = self._point(solution)
        reached = point is not None and solution.point is not None and solution.point[-1] >= -LEAF.within
        hopeless = bool(reached and solution.status is Status.OPTIMAL)
        weight, beta = self._multipliers(self._splits(part), margins, signs, features, solution)
        if weight is None or beta is None:
            return Leaf(torch.inf, point, hopeless)
        return Leaf(self.evaluate(case, part, weight, beta), point, hopeless, weight, beta)

    @staticmethod
    def _multipliers(
        splits: int, margins: Lines, signs: Lines, features: Tensor, solution: Solution
    ) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """Weights of constraints and multipliers of splits from the prices of rows, None where these are none."""
        count = len(margins.offset)
        prices = solution.dual
        if prices is None or prices.shape != (count + len(signs.offset),) or not np.isfinite(prices).all():
            return None, None
        # Rows were divided by their sizes; what counts is only how prices compare.
        prices = np.maximum(prices, 0.0)
        with np.errstate(over="ignore", under="ignore"):
            for scale in (np.ones(1), np.concatenate([margins.size, signs.size])):
                prices = prices / scale
                largest = prices.max(initial=0.0)
                if not 0 < largest < np.inf:
                    return None, None
                prices = prices / largest
        beta = torch.zeros(splits, dtype=torch.float64)
        beta[features] = torch.from_numpy(prices[count:])
        return torch.from_numpy(prices[:count]), beta

    def _point(self, solution: Solution) -> Tensor | None:
        known = solution.point
        if known is None or len(known) != len(self._free) + 1 or not np.isfinite(known).all():
            return None
        u = torch.zeros_like(self._center)
        u[self._free] = torch.from_numpy(known[:-1]).clamp(-1, 1)
        return self._center + self._radius * u

    def _lines_of_constraints(self, case: int, part: P) -> Lines:
        width = self._constraints.width
        which = torch.arange(width)
        return self._lines(self._constraints.single(torch.full((width,), case), which), part)

    def _lines(self, objective: Objective, part: P) -> Lines:
        """What objectives are as functions of ``u``, in float64."""
        slope, largest = self._form(objective, part)
        reach = slope * self._radius
        return Lines(reach[:, self._free].numpy(), (largest - reach.abs().sum(1)).numpy())

    def _needed(self, parts: list[Lines]) -> tuple[Lines, Tensor]:
        """Lines one after the other without those that are nowhere below 0 in the box, and the numbers of those kept."""
        empty = Lines(np.zeros((0, len(self._free))), np.zeros(0))
        slope = np.concatenate([part.slope for part in (empty, *parts)])
        offset = np.concatenate([part.offset for part in (empty, *parts)])
        needed = offset <= np.abs(slope).sum(1)
        return Lines(slope[needed], offset[needed]), torch.from_numpy(needed.nonzero()[0])


class SignLeaves(LeafPrograms[Tensor]):
    """Leaves of a search over signs: every unstable feature is on a side, ``[m]`` int8, none ``WHOLE``.

    Parameters
    ----------
    dual : the unstable features of the root region, float64
    rounding : of that region
    constraints, solver : as for :class:`LeafPrograms`
    """

    def __init__(self, dual: SignDual, rounding: Rounding, constraints: Conditions, solver: HighsProcess) -> None:
        super().__init__(dual.region, constraints, solver)
        self._dual = dual
        # What programs are made of are lines over all of the box.
        self._over_box = replace(dual, maximum=box_maximum)
        self._rounding = rounding

    def evaluate(self, case: int, part: Tensor, weight: Tensor, beta: Tensor) -> float:
        """The bound with weights of constraints ``[c]`` and multipliers of splits ``[m]``, each of at least 0."""
        which = torch.tensor([case])
        error = self._constraints.mixing_error(which, weight[None], self._rounding)
        objective = replace(self._constraints.mixed(which, weight[None]), error=error)
        alpha = torch.zeros(1, len(part), dtype=torch.float64)
        return float(self._dual.bound(objective, part[None], alpha, beta[None], self._rounding).value)

    def _splits(self, part: Tensor) -> int:
        return len(part)

    def _form(self, objective: Objective, part: Tensor) -> tuple[Tensor, Tensor]:
        rows = len(objective)
        zeros = torch.zeros(rows, len(part), dtype=torch.float64)
        point = self._over_box.bound(objective, part.expand(rows, -1), zeros, zeros)
        return point.input_coefficients, point.value

    def _lines_of_splits(self, part: Tensor, until: float) -> tuple[Lines | None, Tensor]:
        """``side * a`` of the features."""
        dual, parts, begin = self._dual, [], 0
        for k, which in enumerate(dual.index):
            node = dual.graph.nodes[dual.graph.activations[k]].operands[0]
            for some in torch.split(torch.arange(len(which)), LEAF.rows):
                if time.monotonic() >= until:
                    return None, some
                c = torch.zeros(len(some), dual.graph.nodes[node].size, dtype=torch.float64)
                c[torch.arange(len(some)), which[some]] = part[begin + some].double()
                parts.append(self._lines(Objective({node: c}, torch.zeros(len(some), dtype=torch.float64)), part))
            begin += len(which)
        return self._needed(parts)


@dataclass(frozen=True, eq=False)
class OpenEnd:
    """A leaf that stays open: a witness where one was found, and whether asking for its program again is of no use."""

    witness: Witness | None
    hopeless: bool


class SignEnds:
    """Closes the leaves of a search over signs, and takes down by what.

    Parameters
    ----------
    problem, dual, rounding : what is searched, the open features of the root region, and the account of that
    solver : where programs are solved
    """

    def __init__(self, problem: Problem, dual: SignDual, rounding: Rounding, solver: HighsProcess) -> None:
        self._problem, self._dual = problem, dual
        self._leaves = SignLeaves(dual, rounding, problem.constraints, solver)

    def close(self, case: int, side: Tensor, node: Tensor | None, deadline: float) -> OpenEnd | None:
        """What is left of a leaf, sides ``[m]`` int8 of which none is ``WHOLE``; None where it is refuted.

        ``node``, ``[1]``, is its node in the record, if there is one.
        """
        leaf = self._leaves.bound(case, side, deadline)
        if leaf.value < 0:
            self._take_down(node, Means.SIGNS, leaf)
            return None
        if self._dual.maximum is not box_maximum and self._closed_in_ball(case, side, deadline):
            return None
        attack = self._problem.attack

        def climbed() -> Witness | None:
            if attack is None or leaf.point is None:
                return None
            return attack.try_points(leaf.point[None], torch.tensor([case]))

        refuted, witness = ended(
            self._problem.touch, lambda touch: touch.refutes(self._dual.part(side), 0, [case], deadline)[0], climbed
        )
        if refuted:
            self._take_down(node, Means.FRACTIONS)
            return None
        return OpenEnd(witness, leaf.hopeless)

    def _closed_in_ball(self, case: int, side: Tensor, deadline: float) -> bool:
        """Whether many steps refute a leaf: programs know nothing of a ball."""
        constraints, dual, which = self._problem.constraints, self._dual, torch.tensor([case])
        weight = torch.zeros(1, constraints.width, dtype=torch.float64)
        free = torch.zeros(1, len(dual), dtype=torch.float64)
        choice, _ = optimize_signs(
            dual,
            lambda rows, weight: constraints.mixed(which[rows], weight),
            side[None],
            Choice(free, free, weight),
            Until(BALL.leaf_steps, 0.0, deadline),
        )
        one = torch.ones_like(choice.weight) if constraints.width == 1 else choice.weight
        return self._leaves.evaluate(case, side, one[0], choice.beta[0].clamp(min=0)) < 0

    def _take_down(self, node: Tensor | None, means: Means, leaf: Leaf | None = None) -> None:
        """A leaf is refuted, by the multipliers of its program where these did it."""
        if self._problem.record is None or node is None:
            return
        if leaf is None or leaf.weight is None or leaf.beta is None:
            by = Grounds(means)
        else:
            by = Grounds(means, leaf.weight[None], (torch.zeros_like(leaf.beta)[None], leaf.beta[None]))
        self._problem.record.leaf(node, by)


def _program(margins: Lines, signs: Lines, *, elastic: bool = False) -> Model:
    """Minimize ``-t`` over ``u`` and ``t``; where ``elastic``, ``t <= 0`` relaxes the signs too."""
    sizes = np.concatenate([margins.size, signs.size])
    slope = np.concatenate([margins.slope, signs.slope]) / sizes[:, None]
    offset = np.concatenate([margins.offset, signs.offset]) / sizes
    columns = slope.shape[1] + 1
    last = np.full((len(slope), 1), -1.0)
    if not elastic:
        last[len(margins.offset) :] = 0.0
    matrix = np.concatenate([slope, last], 1)
    row, column = matrix.nonzero()
    start = np.zeros(len(matrix) + 1, np.int32)
    np.cumsum(np.bincount(row, minlength=len(matrix)), out=start[1:])
    cost, lower, upper = np.zeros(columns), np.full(columns, -1.0), np.full(columns, 1.0)
    cost[-1], lower[-1], upper[-1] = -1.0, -np.inf, 0.0 if elastic else np.inf
    return Model(
        cost,
        lower,
        upper,
        np.zeros(columns, np.bool_),
        -offset,
        np.full(len(matrix), np.inf),
        start,
        column.astype(np.int32),
        matrix[row, column],
    )
