"""Parts of a region as one linear program: all constraints at once, over the triangles of all open features.

The best ``alpha``, ``beta`` and weights of constraints that :class:`netproof.bounds.multipliers.signs.SignDual` can be given
are dual values of a linear program (Salman et al., *A Convex Relaxation Barrier to Tight Robustness Verification of Neural
Networks*, NeurIPS 2019; Wang et al., *Beta-CROWN*, NeurIPS 2021): with columns for the input, for every open
pre-activation ``a_j`` and its value ``z_j``, and for ``t``,

    maximize t    where  constraint_i(z, x) >= t  for each constraint of the case
                         a_j = affine map of the z before it, and of x
                         left a_j <= z_j,   right a_j <= z_j,   z_j <= chord(a_j)

A feature on a side of 0 has ``a_j >= 0`` and ``z_j = right a_j``, or ``a_j <= 0`` and ``z_j = left a_j``: ends of columns and rows, so
that the programs of all parts are one family. First-order steps find these multipliers on large networks; on small ones over
wide boxes, where many features are open and several constraints have to be weighed against each other, they stall far from them.

What a solver says is a proposal. Its dual values become weights, ``alpha`` and ``beta``, whose bound is evaluated like any other.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.bounds.backward import bound_backwards
from netproof.bounds.multipliers.signs import LEFT, RIGHT, SignDual
from netproof.bounds.objective import Objective
from netproof.bounds.relaxation import Relaxation
from netproof.rows import Rows
from netproof.solvers.highs.model import Family, Floats, Member, ModelBuilder, Solution

#: a feature's value is a line of its argument where both are this close, relative to the range
_TIGHT = 1e-7
#: dual values beyond are divided by the largest
_LARGEST = 1e12


@dataclass(frozen=True, eq=False)
class Proposal(Rows):
    """What solutions of members are worth, ``B`` rows in float64.

    Attributes
    ----------
    weight : ``[B, c]`` of constraints
    alpha, beta : ``[B, m]``, of :meth:`netproof.bounds.multipliers.signs.SignDual.bound`
    known : ``[B]`` bool, whether there were dual values; what stands in the other rows means nothing
    point : ``[B, n_input]``, the input of the solution, the centre of the box where there is none
    gap : ``[B, m]``, by how much the value of each feature misses its function there, times what the bound makes of it; 0 where
        there is no solution
    """

    weight: Tensor
    alpha: Tensor
    beta: Tensor
    known: Tensor
    point: Tensor
    gap: Tensor


class Triangles:
    """The linear programs of the parts of a region.

    Parameters
    ----------
    dual : the open features of the root region, float64
    goals : the constraints of all cases, ``N m`` rows, one case after the other
    width : constraints of each case, ``m``
    """

    def __init__(self, dual: SignDual, goals: Objective, width: int) -> None:
        self._dual, self._width = dual, width
        self._lower, self._upper = dual.lower.numpy(), dual.upper.numpy()
        self._left, self._right = dual.left.numpy(), dual.right.numpy()
        self._matrices: list[tuple[Floats, Floats]] = []
        box = dual.region
        self._inputs = box.lower.shape[1]
        build = ModelBuilder()
        x = build.columns(box.lower[0].numpy(), box.upper[0].numpy())
        chord, above = (part.numpy() for part in dual.chords())
        ends = list(itertools.accumulate(dual.sizes, initial=0))
        count = ends[-1]
        infinite = np.full(count, np.inf)
        self._a, self._z = build.columns(-infinite, infinite), build.columns(-infinite, infinite)
        self._t = build.column(-np.inf, np.inf, cost=-1.0)
        #: rows ``[m]`` of definitions, and those of both pieces, one after the other
        self._defined: list[int] = []
        for k, which in enumerate(dual.index):
            if not len(which):
                continue
            node = dual.graph.nodes[dual.graph.activations[k]].operands[0]
            unit = torch.zeros(len(which), dual.graph.nodes[node].size, dtype=torch.float64)
            unit[torch.arange(len(which)), which] = 1.0
            slopes, offset = self._form(Objective({node: unit}, torch.zeros(len(which), dtype=torch.float64)))
            self._matrices.append((slopes, offset))
            for number, line, constant in zip(range(ends[k], ends[k + 1]), slopes, offset.tolist(), strict=True):
                at = line.nonzero()[0]
                index = np.append(np.concatenate([self._z, x])[at], self._a[number])
                self._defined.append(build.row(index, np.append(line[at], -1.0), -constant, -constant))
        pieces = []
        for slope in (self._left, self._right):
            for a, z, one in zip(self._a.tolist(), self._z.tolist(), slope.tolist(), strict=True):
                pieces.append(build.row([z, a], [1.0, -one], 0.0, np.inf))
        for a, z, one, most in zip(self._a.tolist(), self._z.tolist(), chord.tolist(), above.tolist(), strict=True):
            build.row([z, a], [1.0, -one], -np.inf, most)
        slopes, offset = self._form(goals)
        self._size = np.maximum(abs(slopes).max(1, initial=0.0), 1e-300)
        self._goal_slopes = slopes
        self._least = -offset / self._size
        columns = np.concatenate([self._z, x])
        rows = []
        for line, size in zip(slopes, self._size.tolist(), strict=True):
            at = line.nonzero()[0]
            rows.append(build.row(np.append(columns[at], self._t), np.append(line[at] / size, -1.0), -np.inf, np.inf))
        self._goals = np.array(rows)
        self.family = Family(build.build(), self._a.astype(np.int32), np.concatenate([pieces, rows]).astype(np.int32))

    @staticmethod
    def numbers(dual: SignDual, goals: int) -> int:
        """At most how many numbers the programs of a region have, with so many constraints of all cases."""
        count, inputs = len(dual), dual.region.lower.shape[1]
        return (count + goals) * (inputs + count) + 6 * count

    def member(self, case: int, side: Tensor) -> Member:
        """The program of a case on a part, sides ``[m]`` int8 of all open features."""
        sides = side.numpy()
        lower = np.where(sides == RIGHT, 0.0, -np.inf)
        upper = np.where(sides == LEFT, 0.0, np.inf)
        least = np.full(len(self._goals), -np.inf)
        mine = self._mine(case)
        least[mine] = self._least[mine]
        most = np.concatenate([np.where(sides == LEFT, 0.0, np.inf), np.where(sides == RIGHT, 0.0, np.inf)])
        zeros = np.zeros(2 * len(sides))
        return Member(lower, upper, np.concatenate([zeros, least]), np.concatenate([most, np.full(len(least), np.inf)]))

    def reached(self, solution: Solution) -> float:
        """How far all constraints can be met, as far as a solution goes: infinite where it says nothing, and ``-inf`` for no point."""
        point = self._point(solution)
        if point is not None:
            return float(point[self._t])
        return np.inf if solution.dual is None else -np.inf

    def propose(self, case: Sequence[int], side: Tensor, solutions: Sequence[Solution]) -> Proposal:
        """What solutions of members ``(case[b], side[b])`` say."""
        count, features = side.shape
        box = self._dual.region
        weight = np.zeros((count, self._width))
        alpha = np.repeat(self._dual.crown_alpha().numpy()[None], count, 0)
        beta, gap = np.zeros((count, features)), np.zeros((count, features))
        point = ((box.lower + box.upper) / 2).numpy().repeat(count, 0)
        known = np.zeros(count, np.bool_)
        tight = _TIGHT * (self._upper - self._lower)
        for row, solution in enumerate(solutions):
            at, dual = self._point(solution), solution.dual
            if at is not None:
                point[row] = at[: self._inputs]
                a, z = at[self._a], at[self._z]
                missed = z - np.maximum(self._left * a, self._right * a)
                gap[row] = np.where(missed > tight, missed, 0.0)
            if dual is not None and len(dual) == len(self.family.model.row_lower) and np.isfinite(dual).all():
                known[row] = True
                v = self._multipliers(
                    self._mine(case[row]), side[row].numpy(), dual, weight[row], alpha[row], beta[row]
                )
                gap[row] *= abs(v)
        parts = (weight, alpha, beta, known, point, gap)
        return Proposal(*(torch.from_numpy(part) for part in parts))

    def _point(self, solution: Solution) -> Floats | None:
        """The columns of a solution, if these are what they should be."""
        point = solution.point
        return point if point is not None and len(point) == self._t + 1 and np.isfinite(point).all() else None

    def _mine(self, case: int) -> slice:
        return slice(case * self._width, (case + 1) * self._width)

    def _multipliers(
        self, goals: slice, side: NDArray[np.int8], dual: Floats, weight: Floats, alpha: Floats, beta: Floats
    ) -> Floats:
        """Dual values of one program as weights, slopes and multipliers of splits, written into these; what arrives at features."""
        # What refutes does so at any scale, and products of numbers such as a ray may have would overflow.
        largest = float(abs(dual).max(initial=0.0))
        dual = dual / largest if largest > _LARGEST else dual
        s = dual[self._defined]
        priced = dual[self._goals[goals]] / self._size[goals]
        weight[:] = np.maximum(priced, 0.0)
        v = weight @ self._goal_slopes[goals]
        if self._matrices:
            v = v + s @ np.concatenate([slopes for slopes, _ in self._matrices])
        v = v[: len(s)]
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.clip(s / v, self._left, self._right)
        np.copyto(alpha, slope, where=(v < 0) & np.isfinite(slope))
        piece = np.where(side == RIGHT, self._right, self._left)
        np.copyto(beta, np.maximum(side * (s - piece * v), 0.0), where=side != 0)
        return v

    def _form(self, objective: Objective) -> tuple[Floats, Floats]:
        """Objectives as functions of the values of open features and the input: slopes ``[B, m + n]``, and constants ``[B]``."""
        dual = self._dual
        arrived = [torch.zeros(len(objective), size, dtype=torch.float64) for size in dual.sizes]

        def activate(k: int, v: Tensor) -> tuple[Tensor, None]:
            which = dual.index[k]
            arrived[k] = v.expand(len(objective), -1).index_select(1, which)
            return (v * dual.closed[k]).index_fill(1, which, 0.0), None

        lines = bound_backwards(Relaxation(dual.graph, dual.region), objective, activate)
        inputs = lines.coefficients.expand(len(objective), -1)
        return torch.cat([*arrived, inputs], 1).numpy(), lines.constant.expand(len(objective)).numpy()
