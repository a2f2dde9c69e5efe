"""What a search on a real network records: its splits cover the region, and every leaf is refuted by what is recorded there.

The record is read here without the search. Where every activation is straight piece by piece, bounds at recorded
multipliers are taken in rational numbers; elsewhere by the evaluation that decides, in float64 with its error term.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from netproof import Settings, Verdict
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.dual import crown, evaluate_dual, given
from netproof.bounds.multipliers.signs import LEFT, RIGHT, SignDual
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import Region, box_region
from netproof.bounds.relaxation import Relaxation
from netproof.conditions.conditions import Conditions
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.query import Conjunction, Query
from netproof.search.proofs.journal import Journal, Means
from netproof.search.real.cells import CellSearch
from netproof.search.real.decide import verify_real
from netproof.search.real.input_split import InputSplit
from netproof.search.real.problem import Problem
from netproof.search.real.programs.leaf import leaf_solver
from netproof.search.real.programs.split import ProgramSplit
from netproof.search.real.range_split import RangeSplit
from netproof.search.real.relu_split import ReluSplit
from netproof.search.real.rounds import Rounds
from soundness.real_networks import double, dual_value, network_of, random_graph


class OpenNodeError(Exception):
    """A record does not close a node."""


class Reading:
    """A record, read from the roots down."""

    def __init__(self, graph, constraints, journal: Journal, points: torch.Tensor) -> None:
        self.graph, self.constraints, self.journal = graph, constraints, journal
        self.points = points
        self.before = graph.values(points)
        self.met = constraints.margins
        self.begun = {n: region for node, region in journal.begun for n in node.tolist()}
        self.leaves: dict[int, list] = {}
        for entry in journal.refuted:
            for row, n in enumerate(entry.node.tolist()):
                self.leaves.setdefault(n, []).append((entry.by, row))
        self.reduced: dict[int, list] = {}
        for e in journal.reduced:
            for row, n in enumerate(e.node.tolist()):
                self.reduced.setdefault(n, []).append((e.region, row, e.by))
        self.splits, parents = {}, {}
        for e in journal.splits:
            for row, n in enumerate(e.node.tolist()):
                halves = int(e.lower[row]), int(e.upper[row])
                self.splits[n] = (int(e.split.k[row]), int(e.split.feature[row]), float(e.split.point[row]), halves)
                for half in halves:
                    assert half not in parents, "a node has two parents"
                    parents[half] = n
        self.seen = dict.fromkeys(Means, 0)
        self.split_kinds = set()
        self.cuts = 0

    def check(self, case: int) -> None:
        """Walk the tree of a case; raises :class:`OpenNodeError` where anything is missing."""
        root = self.journal.roots[case]
        region = self.begun[root]
        every = torch.ones(len(self.points), dtype=torch.bool)
        stack = [(root, region, region, (), every)]
        while stack:
            node, region, anchor, path, inside = stack.pop()
            if node in self.reduced:
                for found, row, by in self.reduced[node]:
                    anchor = found.take(torch.tensor([row]))
                    smaller = cut_all(intersection(region, anchor), path)
                    if by.means is Means.MULTIPLIERS:
                        self.cuts_hold(case, region, smaller, by, row)
                        inside = inside & self.belong(smaller)
                    else:
                        self.holds(smaller, inside)
                    region = smaller
            if node in self.leaves:
                assert any(self.is_refuted(case, region, anchor, path, *leaf) for leaf in self.leaves[node])
                self.is_nowhere_met(case, inside)
            elif node in self.splits:
                k, feature, point, halves = self.splits[node]
                self.split_kinds.add("input" if k < 0 else "range")
                a = self.operand(k)[:, feature]
                for half, side, mine in zip(halves, (LEFT, RIGHT), (a <= point, a >= point), strict=True):
                    step = (k, feature, point, side)
                    stack.append((half, cut(region, step), anchor, (*path, step), inside & mine))
            else:
                raise OpenNodeError(f"node {node} of case {case} is neither split nor refuted")

    def operand(self, k: int) -> torch.Tensor:
        return self.before[0 if k < 0 else self.graph.nodes[self.graph.activations[k]].operands[0]]

    def holds(self, region: Region, inside: torch.Tensor) -> None:
        """No sampled point that belongs to the node is outside of its ranges, but for how sampling rounds."""
        for k, (low, high) in enumerate(zip(region.range_lower, region.range_upper, strict=True)):
            a = self.operand(k)[inside]
            assert bool(((a >= low - 1e-9) & (a <= high + 1e-9)).all())

    def belong(self, region: Region) -> torch.Tensor:
        """Which sampled points have all pre-activations in a region's ranges."""
        inside = torch.ones(len(self.points), dtype=torch.bool)
        for k, (low, high) in enumerate(zip(region.range_lower, region.range_upper, strict=True)):
            inside &= ((self.operand(k) >= low) & (self.operand(k) <= high)).all(1)
        return inside

    def cuts_hold(self, case: int, before: Region, after: Region, by, row: int) -> None:
        """The case is refuted on what is cut off of each range, by the multipliers recorded with it."""
        for k in range(len(before.range_lower)):
            for step, old, new in (
                (LEFT, before.range_lower[k], after.range_lower[k]),
                (RIGHT, before.range_upper[k], after.range_upper[k]),
            ):
                for feature in (old != new)[0].nonzero()[:, 0].tolist():
                    left_out = cut(before, (k, feature, float(new[0, feature]), step))
                    self.cuts += 1
                    assert self.is_refuted(case, left_out, left_out, (), by, row)

    def is_nowhere_met(self, case: int, inside: torch.Tensor) -> None:
        x = self.points[inside]
        margin = self.constraints.margins(x, self.before[-1][inside], torch.full((len(x),), case))
        assert not bool((margin >= 0).all(1).any())

    def is_refuted(self, case: int, region: Region, anchor: Region, path, by, row: int) -> bool:
        self.seen[by.means] += 1
        if by.means is Means.EMPTY:
            return bool(region.empty())
        weight = by.weight[row : row + 1]
        # All 0 where splits contradict each other, whatever the case says.
        assert bool((weight >= 0).all())
        which = torch.tensor([case])
        objective = self.constraints.mixed(which, weight)
        s = self.multipliers(objective, region, anchor, path, by, row)
        if any(isinstance(self.graph.activation(i), Sigmoid) for i in self.graph.activations):
            rounding = Rounding.of(self.graph, region)
            value = evaluate_dual(Relaxation(self.graph, region), objective, given(s), rounding).value
            return float(value + self.constraints.mixing_error(which, weight, rounding)) < 0
        numbers = [Fraction(w) for w in weight[0].tolist()]
        columns = zip(*self.constraints.outputs[case].tolist(), strict=True)
        output = [sum(w * Fraction(c) for w, c in zip(numbers, column, strict=True)) for column in columns]
        thresholds = self.constraints.threshold[case].tolist()
        constant = sum(w * Fraction(t) for w, t in zip(numbers, thresholds, strict=True))
        single = [low[0] * 0 if part is None else part[0] for part, low in zip(s, region.range_lower, strict=True)]
        return dual_value(self.graph, region, single, output) - constant < 0

    def multipliers(self, objective, region, anchor, path, by, row):
        """What multipliers a leaf's record stands for."""
        if by.means is Means.MULTIPLIERS:
            return [part[row : row + 1] for part in by.s]
        if by.means is Means.INTERVALS:
            return [torch.zeros_like(low) for low in region.range_lower]
        relaxation = Relaxation(self.graph, region)
        if by.means is Means.CROWN:
            return list(evaluate_dual(relaxation, objective, crown(relaxation.hulls)).s)
        assert by.means is Means.SIGNS
        dual = SignDual.of(self.graph, anchor)
        side = torch.zeros(1, len(dual), dtype=torch.int8)
        ends = [0, *torch.tensor(dual.sizes).cumsum(0).tolist()]
        for k, feature, point, half in path:
            assert point == 0
            side[0, ends[k] : ends[k + 1]][dual.index[k] == feature] = half
        alpha, beta = (part[row : row + 1] for part in by.s)
        chord, _ = dual.chords()
        piece = torch.where(side == RIGHT, dual.right, dual.left)
        above = torch.where(side == 0, chord, piece)
        below = torch.where(side == 0, alpha.clamp(dual.left.min(), dual.right.max()), piece)

        def rule(k, v):
            mine, which = slice(ends[k], ends[k + 1]), dual.index[k]
            s = v * dual.closed[k]
            up, down = v[:, which].clamp(min=0), v[:, which].clamp(max=0)
            s[:, which] = up * above[:, mine] + down * below[:, mine] + (beta.clamp(min=0) * side)[:, mine]
            return s

        return list(evaluate_dual(relaxation, objective, rule).s)


def cut(region: Region, step) -> Region:
    """The part of a region, of one row, on one side of a split."""
    k, feature, point, side = step
    if k < 0:
        lower, upper = region.lower.clone(), region.upper.clone()
        if side == LEFT:
            upper[0, feature] = min(float(upper[0, feature]), point)
        else:
            lower[0, feature] = max(float(lower[0, feature]), point)
        return replace(region, lower=lower, upper=upper)
    low, high = region.range_lower[k].clone(), region.range_upper[k].clone()
    if side == LEFT:
        high[0, feature] = min(float(high[0, feature]), point)
    else:
        low[0, feature] = max(float(low[0, feature]), point)
    return region.with_range(k, low, high)


def cut_all(region: Region, path) -> Region:
    for step in path:
        region = cut(region, step)
    return region


def intersection(one: Region, other: Region) -> Region:
    """What two regions of one row have in common."""
    pairs = zip(one.range_lower, other.range_lower, one.range_upper, other.range_upper, strict=True)
    cuts = [(torch.maximum(a, b), torch.minimum(c, d)) for a, b, c, d in pairs]
    return Region(
        torch.maximum(one.lower, other.lower),
        torch.minimum(one.upper, other.upper),
        tuple(low for low, _ in cuts),
        tuple(high for _, high in cuts),
    )


def prepared(seed: int, activation=None, radius: float = 0.6, sizes=(6, 6, 6, 2), beyond: float = 0.1):
    """A network, its box, sampled points, and two cases that hold nowhere; the second of two constraints.

    ``beyond`` is by how much they are out of reach, in parts of what outputs vary by.
    """
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, sizes, activation=activation)
    center = torch.randn(1, sizes[0], generator=generator).double()
    region = refine_ranges(graph, box_region(graph, center - radius, center + radius))
    spread = torch.rand(2000, sizes[0], generator=generator).double()
    points = region.lower + spread * (region.upper - region.lower)
    y = graph.evaluate(points)
    reach = y.amax(0) - y.amin(0)
    together = torch.minimum(y[:, 0] - y[:, 0].amax(), -y[:, 0] + y[:, 1] - (y[:, 1] - y[:, 0]).amax()).amax()
    one = Conjunction(double([[1.0, 0.0]]), (y[:, 0].amax() + beyond * reach[0])[None])
    levels = torch.stack([y[:, 0].amax(), (y[:, 1] - y[:, 0]).amax()]) + together + beyond * reach.amax()
    two = Conjunction(double([[1.0, 0.0], [-1.0, 1.0]]), levels)
    return graph, region, points, (one, two)


def search(strategy: str, problem: Problem, region: Region):
    case, deadline = torch.arange(len(problem.constraints)), time.monotonic() + 600.0
    if strategy == "signs":
        dual = SignDual.of(problem.graph, region)
        return ReluSplit(problem, dual, Rounding.of(problem.graph, region)).run(case, deadline)
    if strategy == "programs":
        dual = SignDual.of(problem.graph, region)
        with leaf_solver(1 << 28) as solver:
            return ProgramSplit(problem, dual, Rounding.of(problem.graph, region), solver).run(case, deadline)
    if strategy == "ranges":
        return RangeSplit(problem).run(region, case, deadline)
    if strategy == "boxes":
        return InputSplit(problem).run(region, case, deadline)
    if strategy == "rounds":
        return Rounds(problem).run(region, case, deadline)
    # With next to no time for ranges and searches a cell is split until nothing is left to split.
    return CellSearch(problem).run(region, case, 1e-9 if strategy == "single cells" else 0.05, deadline)


def recorded(strategy: str, seed: int, activation=None):
    radius, sizes = (1.5, (2, 6, 6, 2)) if strategy == "boxes" else (0.6, (6, 6, 6, 2))
    # Ranges take many more splits, sigmoids no end of them.
    beyond = 0.1 if strategy != "ranges" else 0.6 if isinstance(activation, Sigmoid) else 0.25
    graph, region, points, condition = prepared(seed, activation, radius, sizes, beyond)
    journal = Journal()
    problem = Problem(graph, Conditions.of(graph, condition), None, 1 << 28, record=journal)
    found = search(strategy, problem, region)
    return found, Reading(graph, problem.constraints, journal, points)


def kinds(activation):
    return [("ranges", activation), ("boxes", activation)]


WAYS = [
    *((name, None) for name in ("signs", "programs", "rounds", "cells", "single cells", "boxes")),
    *kinds(Clip(0.0, 1.0)),
    *kinds(Sigmoid()),
    ("ranges", ReLU()),
]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("strategy", "activation"), WAYS, ids=lambda part: part if isinstance(part, str) else str(part)
)
def test_the_record_covers_the_region_and_refutes_every_leaf(strategy, activation, seed):
    found, reading = recorded(strategy, seed, activation)
    if found.verdict is Verdict.UNKNOWN:
        with pytest.raises(OpenNodeError):
            for case in range(2):
                reading.check(case)
        return
    assert found.verdict is Verdict.UNSAT
    for case in range(2):
        reading.check(case)
    assert sum(reading.seen.values()) > 0 and reading.journal.bytes > 0


@pytest.mark.parametrize("strategy", ["signs", "programs", "ranges", "boxes"])
def test_a_record_without_one_of_its_leaves_is_noticed(strategy):
    seen = 0
    for seed in range(6):
        found, reading = recorded(strategy, seed, Clip(0.0, 1.0) if strategy == "ranges" else None)
        if found.verdict is not Verdict.UNSAT or not reading.splits:
            continue
        assert reading.split_kinds <= {"input", "range"}
        below = {half for _, _, _, halves in reading.splits.values() for half in halves}
        dropped = next(node for node in reading.leaves if node in below)
        del reading.leaves[dropped]
        with pytest.raises(OpenNodeError):
            for case in range(2):
                reading.check(case)
        seen += 1
        if seen == 2:
            return
    pytest.fail("no search split anything")


@pytest.mark.parametrize("activation", [None, Clip(0.0, 1.0), Sigmoid()], ids=str)
@pytest.mark.parametrize("inputs", [2, 10])
def test_the_record_of_a_whole_query_covers_every_case(inputs, activation):
    graph, region, points, condition = prepared(3, activation, 0.4, (inputs, 7, 7, 2), 0.5)
    journal = Journal()
    easy = Conjunction(double([[1.0, 0.0]]), double([1e6]))
    asked = Query(network_of(graph), region.lower[0], region.upper[0], (easy, *condition))
    result = verify_real(asked, Settings(timeout=600.0, attack=False), journal)
    assert result.verdict is Verdict.UNSAT and len(journal.common) >= 2
    reading = Reading(graph, Conditions.of(graph, asked.condition), journal, points)
    for case in range(3):
        reading.check(case)
    # Ranges that hold on all of the box were found in turn, each inside of those before.
    for (_, before), (_, after) in zip(journal.common, journal.common[1:], strict=False):
        for low, new in zip(before.range_lower, after.range_lower, strict=True):
            assert bool((new >= low).all())
        reading.holds(after, torch.ones(len(points), dtype=torch.bool))


def test_nothing_is_kept_where_nothing_is_recorded():
    graph, region, _, condition = prepared(0, sizes=(2, 6, 6, 2))
    problem = Problem(graph, Conditions.of(graph, condition), None, 1 << 28)
    boxes = InputSplit(problem)
    boxes.run(region, torch.arange(2), math.inf)
    assert boxes._record is None and boxes._tree._record is None
