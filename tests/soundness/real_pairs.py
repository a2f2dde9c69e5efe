"""Pairs for tests, and certificates that have some."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from netproof.certificate.checker.real.bound import Evaluation, Objective
from netproof.certificate.checker.real.joint.sets import Sets
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.real.contents import PAIR_ENDS, PAIRS, Taken, arrays_of
from soundness.real_evidence import Builder, property_text
from soundness.real_planes import prover_of

#: signs of both features in the four ends
SIGNS = ((1, 1), (-1, -1), (1, -1), (-1, 1))
#: rows that prove ends: slopes by the rule, and no multipliers
ROWS = {"row_exponent": [0, 0], "row_base": [0, 1], "row_mu": [0, 0], "row_count": [0, 0]}


class Pair(NamedTuple):
    """ReLU from 1; features; the exponent of the unit; ends in units, and their rows from 1."""

    relu: int
    first: int
    second: int
    exponent: int = 10
    end: tuple[int, int, int, int] = (0, 0, 0, 0)
    row: tuple[int, int, int, int] = (0, 0, 0, 0)


def arrays_of_pairs(*sets) -> dict[str, list[int]]:
    """The arrays of sets of pairs, which are all stages."""
    pairs = [one for some in sets for one in some]
    return {
        "stages": [len(sets)],
        "stage": [PAIRS] * len(sets),
        "pair_count": [len(some) for some in sets],
        "pair_relu": [one.relu for one in pairs],
        "pair_first": [one.first for one in pairs],
        "pair_second": [one.second for one in pairs],
        "pair_exponent": [one.exponent for one in pairs],
        "pair_end": [end for one in pairs for end in one.end],
        "pair_row": [row for one in pairs for row in one.row],
    }


def paired(evaluation: Evaluation, cells, *sets) -> Sets:
    """Sets of pairs on a cell, whose rows are those of :data:`ROWS`."""
    found = Sets("certificate")
    taken = Taken(arrays_of(**arrays_of_pairs(*sets)))
    for some in sets:
        prover = prover_of(evaluation, found, **ROWS)
        with np.errstate(all="ignore"):
            found.add(PAIRS, taken, prover, cells)
        assert prover.counts.pairs == len(some)
    return found


def reach_of(evaluation: Evaluation, cells, one: Pair, row: int) -> np.ndarray:
    """Upper bounds of the four ends of a pair by a row of :data:`ROWS`, from 0."""
    node, rows = evaluation.operands[one.relu - 1], prover_of(evaluation, Sets("certificate"), **ROWS).rows
    c = np.zeros((4, evaluation.network.nodes[node].size))
    for feature, sign in zip((one.first, one.second), zip(*SIGNS, strict=True), strict=True):
        c[:, feature] = sign
    load = evaluation.numbers.load
    objective = Objective({node: load(c)}, load(np.zeros(4)))
    return evaluation.refutations(cells, np.zeros(4, np.int64), objective, rows.slopes(np.full(4, row)))


def some_pairs(rng: np.random.Generator, evaluation: Evaluation, cells, *, good: bool) -> list[Pair]:
    """Pairs of most features of ReLUs, with ends as near as their rows allow, or anywhere farther."""
    found, network = [], evaluation.network
    for k, node in enumerate(network.bends):
        if network.nodes[node].bend != RELU:
            continue
        low, high = cells.low[k][0], cells.high[k][0]
        some = [j for j in range(len(low)) if max(abs(low[j]), abs(high[j])) < 2.0**30]
        members = rng.permutation(some)[: 2 * (len(some) // 2)].reshape(-1, 2)
        for first, second in sorted(sorted(pair) for pair in members.tolist()):
            size = max(abs(x[j]) for x in (low, high) for j in (first, second))
            # Units from a twentieth of the range to next to nothing.
            exponent = int(np.clip(rng.integers(4, 35) - math.frexp(size)[1], 0, 60))
            one, row = Pair(k + 1, first, second, exponent), int(rng.integers(2))
            reach = np.ldexp(reach_of(evaluation, cells, one, row), exponent)
            slack = 0 if good else rng.integers(0, 3, size=4) * rng.integers(0, 1 << int(rng.integers(1, 20)), size=4)
            is_proved = (rng.random(4) < 0.8) & (abs(reach) + slack < PAIR_ENDS)
            ends = np.where(is_proved, np.ceil(reach) + slack, rng.integers(-5, 5, size=4))
            rows = np.where(is_proved, row + 1, 0)
            found.append(one._replace(end=tuple(int(x) for x in ends), row=tuple(rows.tolist())))
    return found


def crossed() -> tuple[bytes, bytes]:
    """``y = relu(x_0 + x_1) + relu(x_0 - x_1)`` on [-1, 1]^2 is at most 2; whatever numbers both ReLUs hand on, a bound of single ones
    is at least 3. The property asks for 2.25."""
    made = Builder([1, 2])
    bend = made.node("Relu", made.node("MatMul", "x", made.constant([[1.0, 1.0], [1.0, -1.0]])))
    y = made.node("MatMul", bend, made.constant([[1.0], [1.0]]))
    return made.bytes(y), property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 2.25)]])


#: what proves that: sums and differences of both operands are at most 2, in units of 2^-10, by the second row
CROSSED = Pair(1, 0, 1, 10, (2049,) * 4, (2,) * 4)
#: the first row is the leaf's, without multipliers
CROSSED_ROWS = {"row_exponent": [0, 0], "row_base": [1, 0], "row_mu": [1, 0], "row_count": [0, 0], "row_pairs": [1, 0]}


def octagon_of(rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Ranges of ``a``, ``b``, ``a + b``, ``a - b`` in whole numbers, which may leave nothing."""
    a, b = (sorted(rng.integers(-12, 13, size=2).tolist()) for _ in range(2))
    widest = [(a[0] + b[0], a[1] + b[1]), (a[0] - b[1], a[1] - b[0])]
    others = [sorted(rng.integers(low - 1, high + 2, size=2).tolist()) for low, high in widest]
    low, high = zip(a, b, *others, strict=True)
    return list(low), list(high)


def points_within(low, high, steps: int = 2) -> list[tuple[float, float]]:
    """Points of an octagon on a grid of half units, or finer."""
    axis = [np.arange(low[i] * steps, high[i] * steps + 1) / steps for i in range(2)]
    return [(x, y) for x, y in itertools.product(*axis) if low[2] <= x + y <= high[2] and low[3] <= x - y <= high[3]]
