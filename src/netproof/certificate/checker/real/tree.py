"""Trees: splits cover a cell, and every leaf is refuted by a bound below 0."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.bound import Cells, Evaluation, Floats, Index, Objective, Slopes
from netproof.certificate.checker.real.joint.sets import Sets
from netproof.certificate.checker.real.nodes import RealNetwork
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.property import Constraint
from netproof.certificate.real.contents import BOTH, EMPTY, FORMS, LEAF, SPLIT, Forest, Integers
from netproof.errors import ProofError

#: numbers of linear forms that are carried at once
_FORMS = 1 << 24
#: numbers of the ranges of cells that are worked on at once
_AT_ONCE = 1 << 22
#: bounds below which one in fractions may be 0
_NEAR = 2.0**-20
#: bytes of the cells that wait: from the first on fewer are split at once, beyond the second a certificate is refused
_ENOUGH, _MOST = 1 << 30, 4 << 30


@dataclass
class Counts:
    """What was found on the way, for reports; ``closest`` is the largest bound of a leaf, and below 0."""

    leaves: int = 0
    splits: int = 0
    empty: int = 0
    lemmas: int = 0
    planes: int = 0
    pairs: int = 0
    given: int = 0
    rules: Counter[int] = field(default_factory=Counter)
    closest: float = -math.inf


@dataclass(frozen=True)
class Mixture:
    """``sum of coefficients . values + constant``, by node and feature; whether 0 is enough of a bound."""

    coefficients: tuple[tuple[int, int, Fraction], ...]
    constant: Fraction
    strict: bool


def objective_of(mixtures: Sequence[Mixture], network: RealNetwork, numbers: Float64) -> Objective:
    """Mixtures as rows in the arithmetic."""
    used = sorted({node for mixture in mixtures for node, _, _ in mixture.coefficients}) or [len(network.nodes) - 1]
    coefficients = {node: numbers.load(np.zeros((len(mixtures), network.nodes[node].size))) for node in used}
    constant = numbers.load(np.zeros(len(mixtures)))
    for at, mixture in enumerate(mixtures):
        constant[at] = numbers.fraction(mixture.constant)
        for node, feature, c in mixture.coefficients:
            coefficients[node][at, feature] = numbers.fraction(c)
    return Objective(coefficients, constant)


@dataclass(frozen=True)
class Case:
    """A conjunction of constraints on the outputs, which node ``last`` has, and on inputs."""

    constraints: tuple[Constraint, ...]
    last: int

    def mixed(self, weights: Integers, exponent: int) -> Mixture | None:
        mine = self.constraints or (Constraint((), (), Fraction(0), strict=False),)
        if weights[len(mine) :].any() or (weights < 0).any():
            return None
        total: dict[tuple[int, int], Fraction] = {}
        constant, strict = Fraction(0), False
        for weight, constraint in zip(weights.tolist(), mine, strict=False):
            if not weight:
                continue
            mu = Fraction(weight, 1 << exponent)
            constant -= mu * constraint.threshold
            strict = strict or constraint.strict
            for node, terms in ((0, constraint.inputs), (self.last, constraint.outputs)):
                for i, c in terms:
                    total[node, i] = total.get((node, i), Fraction(0)) + mu * c
        return Mixture(tuple((node, i, c) for (node, i), c in total.items()), constant, strict)


@dataclass(frozen=True)
class Lemma:
    """A feature of a node is at most ``end``, or at least where ``sign`` is -1; refuted is that it is beyond."""

    node: int
    feature: int
    sign: int
    end: float

    def mixed(self, weights: Integers, exponent: int) -> Mixture | None:
        del exponent
        if weights.any():
            return None
        return Mixture(((self.node, self.feature, Fraction(self.sign)),), -self.sign * Fraction(self.end), strict=True)


#: what is at least 0 wherever that holds which a tree refutes, and mixed by weights ``weights * 2^-exponent``, None where these do not fit
Goal = Case | Lemma


class Rows:
    """Rows of multipliers of a certificate."""

    def __init__(self, arrays: dict[str, Integers], sizes: Sequence[int]) -> None:
        self.exponent, self._flat = arrays["row_exponent"], arrays["row_base"] == 1
        #: ``[rows, 2]``, numbers of sets
        self.sets = np.stack([arrays["row_planes"], arrays["row_pairs"]], 1)
        count = len(self.exponent)
        self.mu = arrays["row_mu"].reshape(count, -1) if count else np.zeros((0, 0), np.int64)
        self._first = np.concatenate([np.zeros(1, np.int64), np.cumsum(arrays["row_count"])])
        self._feature, self._slope, self._added = (arrays[name] for name in ("row_feature", "row_slope", "row_added"))
        self._begin = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(sizes, np.int64))])
        self._sizes = sizes

    def fault(self) -> str:
        """What is wrong with the features that rows name; empty where nothing is."""
        rising = np.ones(len(self._feature), np.bool_)
        rising[1:] = np.diff(self._feature) > 0
        starts = self._first[:-1]
        rising[starts[starts < len(rising)]] = True
        if not rising.all() or (self._feature < 0).any() or (self._feature >= self._begin[-1]).any():
            return "a row names features that are not there, or not in ascending order"
        return ""

    def given(self, rows: Integers) -> int:
        """How many of these rows name features, or leave multipliers out."""
        return int(((self._first[rows + 1] > self._first[rows]) | self._flat[rows]).sum())

    def slopes(self, rows: Integers) -> Slopes | None:
        """What rows say of features; None where all of them leave that to the rule."""
        if not self.given(rows):
            return None
        lower: list[Floats | None] = [None] * len(self._sizes)
        added: list[Floats | None] = [None] * len(self._sizes)
        counts = self._first[rows + 1] - self._first[rows]
        owner = np.repeat(np.arange(len(rows)), counts)
        entry = np.concatenate(
            [np.zeros(0, np.int64), *(np.arange(self._first[row], self._first[row + 1]) for row in rows.tolist())]
        )
        unit = np.ldexp(1.0, -self.exponent[rows[owner]])
        feature, slope, more = self._feature[entry], self._slope[entry] * unit, self._added[entry] * unit
        relu = np.searchsorted(self._begin, feature, side="right") - 1
        for k in np.unique(relu).tolist():
            mine = relu == k
            at = owner[mine], feature[mine] - self._begin[k]
            below = np.full((len(rows), self._sizes[k]), np.nan)
            below[at] = slope[mine]
            lower[k] = below
            if more[mine].any():
                extra = np.zeros(below.shape)
                extra[at] = more[mine]
                added[k] = extra
        return Slopes(tuple(lower), tuple(added), self._flat[rows])


class Prover:
    """Goes through the trees of a certificate.

    Parameters
    ----------
    evaluation : of the network
    rows : of the certificate
    source : how errors call it
    """

    def __init__(self, evaluation: Evaluation, rows: Rows, source: str) -> None:
        self.evaluation, self.rows, self.source = evaluation, rows, source
        self.counts = Counts()
        #: of planes and pairs that hold on the cells of the part
        self.sets = Sets(source)
        self._mixtures: dict[tuple[int, int], Mixture] = {}
        network, total = evaluation.network, sum(node.size for node in evaluation.network.nodes)
        self._chunk = max(1, _AT_ONCE // (total * 2))
        self._bytes = 8 * (2 * (network.inputs + sum(network.sizes)) + total)
        self._rows = max(1, _AT_ONCE // total)

    def derive(self, cells: Cells, rule: int, *, sized: bool = False) -> Cells:
        """Cells with the ranges that a rule leaves, and with their sizes as they are where they are ``sized``."""
        self.counts.rules[rule] += len(cells)
        nodes = self.evaluation.network.nodes
        if len(cells) and rule in (FORMS, BOTH) and nodes[0].size * max(node.size for node in nodes) > _FORMS:
            raise ProofError(self.source, "linear forms in so many inputs are not carried through such a network")
        return self.evaluation.derive(cells, rule, sized=sized)

    def prove(self, root: Cells, forest: Forest, goals: Sequence[Sequence[Goal]], name: str) -> None:
        """Raise :class:`ProofError` unless all goals, which each tree has some of, are refuted on all of a root cell."""
        self._mixtures.clear()
        for at in range(0, len(goals), self._chunk):
            some = np.arange(at, min(at + self._chunk, len(goals)))
            self._prove_some(some, root.take(np.zeros(len(some), np.int64)), forest, goals, name)

    def _prove_some(
        self, node: Index, cells: Cells, forest: Forest, goals: Sequence[Sequence[Goal]], name: str
    ) -> None:
        """What stands below some nodes, which have these cells."""
        stack = [(node, cells)]
        while stack:
            # Trees that are wide on every level leave cells behind on each.
            waiting = self._bytes * sum(len(node) for node, _ in stack)
            if waiting > _MOST:
                raise ProofError(self.source, f"the trees of {name} take more memory than is allowed")
            chunk = self._chunk if waiting < _ENOUGH else max(1, self._chunk >> 6)
            node, cells = stack.pop()
            if len(node) > chunk:
                for at in reversed(range(0, len(node), chunk)):
                    some = np.arange(at, min(at + chunk, len(node)))
                    stack.append((node[some], cells.take(some)))
                continue
            self.evaluation.look()
            node, cells = self._derived(node, cells, forest)
            kind = forest.kind[node]
            if (kind == EMPTY).any():
                where = int(node[kind == EMPTY][0])
                raise ProofError(self.source, f"node {where} of {name} is said to be empty and is not")
            leaf = np.flatnonzero(kind == LEAF)
            if len(leaf):
                self._refute(node[leaf], cells.take(leaf), forest, goals, name)
            split = np.flatnonzero(kind == SPLIT)
            if len(split):
                self.counts.splits += len(split)
                halves = self.halves(cells.take(split), node[split], forest, name)
                child = forest.child[node[split]]
                stack.append((np.concatenate([child, child + 1]), halves))

    def _derived(self, node: Index, cells: Cells, forest: Forest) -> tuple[Index, Cells]:
        """Nodes that are not empty, with the ranges that their rules leave."""
        # What is empty already stays so, and what stands below it is.
        node, cells = self._alive(node, cells)
        rule = forest.rule[node]
        if not rule.any():
            return node, cells
        parts, order = [], []
        for which in np.unique(rule).tolist():
            mine = np.flatnonzero(rule == which)
            part = cells.take(mine)
            parts.append(self.derive(part, which, sized=True) if which else part)
            order.append(mine)
        return self._alive(node[np.concatenate(order)], Cells.join(parts))

    def _alive(self, node: Index, cells: Cells) -> tuple[Index, Cells]:
        alive = np.flatnonzero(~cells.empty)
        self.counts.empty += len(node) - len(alive)
        return node[alive], cells.take(alive)

    def _refute(self, node: Index, cells: Cells, forest: Forest, goals: Sequence[Sequence[Goal]], name: str) -> None:
        """Every goal of the tree that a leaf is of, by the row that the leaf has for it."""
        owner = forest.owner[node]
        counts = np.array([len(mine) for mine in goals])
        cell = np.repeat(np.arange(len(node)), counts[owner])
        within = np.arange(len(cell)) - np.repeat(np.cumsum(counts[owner]) - counts[owner], counts[owner])
        row = forest.rows[forest.row[node][cell] + within]
        mine = [goals[o][w] for o, w in zip(owner[cell].tolist(), within.tolist(), strict=True)]
        number = (np.cumsum(counts) - counts)[owner[cell]] + within
        value, strict = np.zeros(len(cell)), np.zeros(len(cell), np.bool_)
        for at in range(0, len(cell), self._rows):
            few = slice(at, at + self._rows)
            value[few], strict[few] = self.bounds(cells.take(cell[few]), mine[few], number[few], row[few], name)
        good = (value < 0) | (strict & (value <= 0))
        if not good.all():
            at = int(np.flatnonzero(~good)[0])
            bound = "no bound" if not math.isfinite(value[at]) else f"a bound of {value[at]:.6g}, which is not below 0"
            raise ProofError(self.source, f"leaf {int(node[cell[at]])} of {name} has {bound}")
        self.counts.leaves += len(cell)
        self.counts.given += self.rows.given(row)
        self.counts.closest = max(self.counts.closest, float(value.max(initial=-math.inf)))

    def bounds(
        self, cells: Cells, goals: Sequence[Goal], number: Index, row: Integers, name: str
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Upper bounds of what goals ask on as many cells by as many rows, and where 0 is enough."""
        mixtures = [
            self._mixture(g, r, goal, name) for g, r, goal in zip(number.tolist(), row.tolist(), goals, strict=True)
        ]
        slopes = self.rows.slopes(row)
        objective = objective_of(mixtures, self.evaluation.network, self.evaluation.numbers)
        which, asked = self.rows.sets[row], self.sets.refutations
        value = asked(self.evaluation, cells, np.arange(len(row)), objective, slopes, which)
        strict = np.array([mixture.strict for mixture in mixtures], np.bool_)
        # Where rounding is all that may be in the way of a bound of 0, or next to it, fractions decide.
        is_open = np.where(strict, value > 0, value >= 0)
        near = np.flatnonzero(is_open & (value < _NEAR) & [isinstance(goal, Case) for goal in goals])
        exact = self.evaluation.exact if len(near) else None
        if exact is not None:
            objective = objective_of([mixtures[at] for at in near.tolist()], exact.network, exact.numbers)
            slopes = None if slopes is None else slopes.take(near)
            value[near] = np.minimum(value[near], asked(exact, cells, near, objective, slopes, which[near]))
        return value, strict

    def _mixture(self, number: int, row: int, goal: Goal, name: str) -> Mixture:
        known = self._mixtures.get((number, row))
        if known is None:
            known = goal.mixed(self.rows.mu[row], int(self.rows.exponent[row]))
            if known is None:
                raise ProofError(self.source, f"row {row} weighs constraints that are none of {name}'s")
            self._mixtures[number, row] = known
        return known

    def halves(self, cells: Cells, node: Index, forest: Forest, name: str) -> Cells:
        """The lower halves of cells, then the upper ones."""
        network = self.evaluation.network
        sizes = np.array([network.inputs, *network.sizes])
        relu, feature = forest.relu[node], forest.feature[node]
        there = (relu >= 0) & (relu < len(sizes)) & (feature >= 0)
        if not there.all() or (feature >= sizes[relu]).any():
            raise ProofError(self.source, f"a split of {name} names a ReLU or feature that is not there")
        point = np.ldexp(forest.point[node].astype(np.float64), -forest.exponent[node])
        low, high = [cells.lower, *cells.low], [cells.upper, *cells.high]
        twice = np.tile(np.arange(len(node)), 2)
        low, high = [x[twice] for x in low], [x[twice] for x in high]
        for k in np.unique(relu).tolist():
            mine = np.flatnonzero(relu == k)
            at = mine, feature[mine]
            high[k][at] = np.minimum(high[k][at], point[mine])
            at = mine + len(node), feature[mine]
            low[k][at] = np.maximum(low[k][at], point[mine])
        doubled = cells.take(twice)
        return replace(doubled, lower=low[0], upper=high[0], low=tuple(low[1:]), high=tuple(high[1:]))
