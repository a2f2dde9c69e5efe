"""Certificates whose rows have pairs: one with what can be wrong with it, and random ones, near to what these prove."""

from __future__ import annotations

from typing import Any

import numpy as np

from differential.plane_cases import Arrays, PlaneQuestion
from netproof.certificate.checker.real.bound import Cells, Evaluation, Objective
from netproof.certificate.checker.real.joint.sets import Sets
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Rational
from netproof.certificate.checker.real.tree import Prover, Rows
from netproof.certificate.real.contents import (
    INTERVALS,
    LEAF,
    LEMMAS,
    PAIR_ENDS,
    PAIRS,
    PLANES,
    SPLIT,
    Taken,
    arrays_of,
)
from netproof.errors import ProofError
from soundness.real_evidence import Builder, property_text

#: signs of both features in the four ends
SIGNS = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])

#: of ``x_0 + x_1`` and ``x_0 - x_1``: their sum and difference, each from -2 to 2, by the second row
PAIR: Arrays = {
    "stages": [1],
    "stage": [PAIRS],
    "pair_count": [1],
    "pair_relu": [1],
    "pair_first": [0],
    "pair_second": [1],
    "pair_exponent": [0],
    "pair_end": [2] * 4,
    "pair_row": [2] * 4,
    "row_exponent": [0] * 2,
    "row_base": [0] * 2,
    "row_mu": [1, 0],
    "row_count": [0] * 2,
    "row_pairs": [1, 0],
}
_OF_PAIRS = [name for name in PAIR if name.startswith("pair_")]
TWICE = {name: PAIR[name] * 2 for name in _OF_PAIRS}
TWO_SETS = TWICE | {"stages": [2], "stage": [PAIRS] * 2}
LEMMA = {
    "lemma_count": [1],
    "lemma_relu": [2],
    "lemma_feature": [0],
    "lemma_side": [1],
    "lemma_end": [13],
    "lemma_exponent": [2],
    "kind": [LEAF] * 2,
    "rule": [0] * 2,
    "leaf_row": [2, 0],
}
#: one row more
THREE = {"row_exponent": [0] * 3, "row_base": [0] * 3, "row_mu": [1, 0, 0], "row_count": [0] * 3}
#: ``relu(x_0 + x_1) <= x_0 + 1``, or what is no more than a number, above the second ReLU
PLANE = {
    "plane_count": [1],
    "plane_relu": [1],
    "plane_feature": [0],
    "plane_exponent": [0],
    "plane_right": [0],
    "plane_left": [0],
    "plane_entries": [1],
    "plane_step": [1],
    "plane_value": [1],
    "stages": [2],
    "stage": [PLANES, PAIRS],
}
BEHIND = {"plane_relu": [2], "plane_entries": [0], "plane_step": [], "plane_value": []}
#: two pairs of the same ReLU; four features of both are those of :data:`PAIR`, twice
FOUR = TWICE | {"pair_count": [2], "pair_first": [0, 2], "pair_second": [1, 3]}

#: what is changed in :data:`PAIR`, and whether that is a proof
CHANGED: list[tuple[Arrays, bool]] = [
    ({}, True),
    *[({"row_pairs": values}, False) for values in ([0, 0], [2, 0], [-1, 0], [1], [1, 0, 0], [])],
    *[({"pair_relu": [value]}, False) for value in (0, 2, 3, -1, 2**52)],
    *[({"pair_first": [value]}, False) for value in (1, 2, -1, 2**52)],
    *[({"pair_second": [value]}, False) for value in (0, 4, -1, 2**52)],
    *[({"pair_count": values}, False) for values in ([0], [2], [2**52], [1, 1], [])],
    *[({"pair_exponent": [value]}, False) for value in (-1, 61, 2**52)],
    # Ranges and ends come to 2^40 units, and no farther. (Both checkers need not have the same of two neighbours as an end of a range.)
    ({"pair_exponent": [38], "pair_end": [1 << 39] * 4}, True),
    ({"pair_exponent": [40], "pair_end": [1 << 40] * 4}, False),
    ({"pair_exponent": [40], "pair_row": [0] * 4}, False),
    ({"pair_end": [(1 << 40) + 1, 2, 2, 2]}, False),
    ({"pair_end": [(1 << 40) + 1, 2, 2, 2], "pair_row": [0, 2, 2, 2]}, False),
    ({"pair_end": [-(1 << 40) - 1, 2, 2, 2], "pair_row": [0, 2, 2, 2]}, False),
    # Ends that do not hold, of which the ranges say nothing more, that are a little farther, or one end less.
    ({"pair_end": [1, 2, 2, 2]}, False),
    ({"pair_end": [2, 2, 2, 1]}, False),
    ({"pair_end": [-(1 << 40), 2, 2, 2]}, False),
    ({"pair_exponent": [3], "pair_end": [16] * 4}, True),
    ({"pair_exponent": [3], "pair_end": [19] * 4}, True),
    ({"pair_exponent": [3], "pair_end": [20] * 4}, False),
    ({"pair_end": [1 << 40] * 4}, False),
    ({"pair_end": [2] * 3}, False),
    ({"pair_end": [2] * 5, "pair_row": [2] * 5}, False),
    # An end without a row is that of the ranges, whatever the file says.
    ({"pair_row": [0] * 4}, False),
    ({"pair_row": [0] * 4, "pair_end": [-3] * 4}, False),
    ({"pair_row": [2, 2, 2, 0]}, False),
    *[({"pair_row": [2, 2, 2, value]}, False) for value in (-1, 3, 2**52)],
    ({"pair_row": [2] * 3}, False),
    # The row of an end has no weights.
    ({"pair_row": [2, 2, 2, 1]}, False),
    ({"row_mu": [1, 1]}, False),
    # Slopes that prove no end; a row of base 1, by which both ReLUs hand on what is added: 0, and 1 at the second one.
    ({"row_base": [0, 1]}, True),
    ({"row_base": [1, 0]}, False),
    (
        {"row_base": [1, 0], "row_count": [1, 0], "row_feature": [4], "row_slope": [0], "row_added": [1]},
        True,
    ),
    # What is added at a feature with an open sign is a part of the slope, of a constraint that is 100 times the file's.
    *[
        (
            {"row_exponent": [8, 0], "row_mu": [256, 0], "row_count": [1, 0], "row_feature": [0], "row_slope": [0]}
            | {"row_added": [value]},
            -32 < value < 16,
        )
        for value in (-32, -31, 15, 16)
    ],
    # Two sets, and two pairs of one.
    (TWO_SETS | {"row_pairs": [2, 0]}, True),
    (TWO_SETS | {"row_pairs": [3, 0]}, False),
    (TWO_SETS | {"row_pairs": [1, 0], "pair_row": [0] * 4 + [2] * 4}, False),
    (TWO_SETS | {"row_pairs": [2, 0], "pair_row": [0] * 4 + [2] * 4}, True),
    (TWICE | {"pair_count": [2]}, False),
    (FOUR, True),
    (FOUR | {"pair_first": [0, 1], "pair_second": [2, 3]}, False),
    (FOUR | {"pair_first": [2, 0], "pair_second": [3, 1]}, False),
    (FOUR | {"pair_first": [0, 0], "pair_second": [1, 2]}, False),
    (FOUR | {"pair_first": [0, 1], "pair_second": [1, 2]}, False),
    (FOUR | {"pair_first": [0, 1], "pair_second": [3, 3]}, False),
    (FOUR | {"pair_relu": [1, 2], "pair_first": [0, 0], "pair_second": [1, 1], "pair_row": [2] * 4 + [0] * 4}, True),
    (FOUR | {"pair_relu": [2, 1], "pair_first": [0, 0], "pair_second": [1, 1], "pair_row": [0] * 4 + [2] * 4}, False),
    # A stage of pairs, and no pairs; other stages.
    ({name: [] for name in _OF_PAIRS}, False),
    ({"stages": [0], "stage": []}, False),
    ({"stage": [PAIRS + 1]}, False),
    ({"stages": [2], "stage": [PAIRS, INTERVALS]}, True),
    # Rows of lemmas and of ends name sets of stages before them, and no others.
    (LEMMA | THREE | {"stages": [2], "stage": [PAIRS, LEMMAS], "row_pairs": [1, 0, 1]}, True),
    (LEMMA | THREE | {"stages": [2], "stage": [PAIRS, LEMMAS], "row_pairs": [1, 0, 0]}, False),
    (LEMMA | THREE | {"stages": [2], "stage": [LEMMAS, PAIRS], "row_pairs": [1, 0, 1]}, False),
    ({"row_pairs": [1, 1]}, False),
    (TWO_SETS | {"row_pairs": [2, 1]}, False),
    (TWO_SETS | {"row_pairs": [2, 2]}, False),
    (TWO_SETS | THREE | {"row_pairs": [2, 0, 1], "pair_row": [2] * 4 + [3] * 4}, True),
    (TWO_SETS | THREE | {"row_pairs": [2, 0, 2], "pair_row": [2] * 4 + [3] * 4}, False),
    # Sets of planes have numbers of their own; both of one row are of several ReLUs.
    (PLANE | {"row_planes": [0, 0]}, True),
    (PLANE | {"row_planes": [1, 0]}, False),
    (PLANE | {"row_planes": [0, 1]}, True),
    (PLANE | {"row_planes": [0, 1], "stage": [PAIRS, PLANES]}, False),
    (PLANE | BEHIND | {"row_planes": [1, 0]}, True),
    (PLANE | BEHIND | {"row_planes": [2, 0]}, False),
    (PLANE | THREE | {"row_planes": [0, 0, 1], "row_pairs": [1, 0, 1]}, True),
    # A row that nothing has.
    (THREE | {"row_pairs": [1, 0, 1]}, True),
    (THREE | {"row_pairs": [1, 0, 2]}, False),
]


def crossed(text: str = "", *, threshold: float = 3.25) -> tuple[bytes, bytes]:
    """``relu(x_0 + x_1) + relu(x_0 - x_1) + 1`` on ``[-1, 1]^2``, which comes to 3, and to 4 by the chords; behind it a ReLU more, whose
    operand is never below 1, and both have features that nothing comes of."""
    made = Builder([1, 2])
    bent = made.node("Relu", made.node("MatMul", "x", made.constant([[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0]])))
    weight = made.constant([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    again = made.node("Relu", made.node("Gemm", bent, weight, made.constant([1.0, 1.0])))
    network = made.bytes(made.node("MatMul", again, made.constant([[1.0], [0.0]])))
    return network, text.encode() or property_text([-1.0] * 2, [1.0] * 2, 1, [[((1.0,), threshold)]])


def turned() -> tuple[bytes, bytes]:
    """Two layers of two ReLUs, of which the second one's operands add up to 1/2."""
    made = Builder([1, 2])
    bent = made.node("Relu", made.node("MatMul", "x", made.constant([[1.0, 1.0], [1.0, -1.0]])))
    weight = made.constant([[1.0, -1.0], [0.0, 0.0]])
    again = made.node("Relu", made.node("Gemm", bent, weight, made.constant([-0.5, 1.0])))
    network = made.bytes(made.node("MatMul", again, made.constant([[1.0], [0.0]])))
    return network, property_text([-1.0] * 2, [1.0] * 2, 1, [[((1.0,), 9.0)]])


#: that ``x_0 + x_1``, which is at most 2, is at most 3: where both of the second ReLU are below 0, which is nowhere, by a row of no use
UNREACHED: Arrays = {
    "stages": [2],
    "stage": [PAIRS, LEMMAS],
    "pair_count": [1],
    "pair_relu": [2],
    "pair_first": [0],
    "pair_second": [1],
    "pair_exponent": [1],
    "pair_end": [2, -1, 0, 0],
    "pair_row": [2, 2, 0, 0],
    "lemma_count": [1],
    "lemma_relu": [1],
    "lemma_feature": [0],
    "lemma_side": [1],
    "lemma_end": [3],
    "lemma_exponent": [0],
    "kind": [SPLIT, SPLIT, LEAF, LEAF, LEAF, LEAF],
    "rule": [0] * 6,
    "leaf_row": [3, 2, 3, 0],
    "split_relu": [2, 2],
    "split_feature": [0, 1],
    "split_point": [0, 0],
    "split_exponent": [0, 0],
    "row_exponent": [0] * 4,
    "row_base": [0] * 4,
    "row_mu": [1, 0, 0, 0],
    "row_count": [0, 0, 1, 0],
    "row_feature": [0],
    "row_slope": [0],
    "row_added": [1],
    "row_pairs": [0, 0, 1, 0],
}


class PairQuestion(PlaneQuestion):
    """The same networks, and certificates that have pairs, with and without planes."""

    def arrays(self) -> Arrays:
        given, rng = super().arrays(), self._rng
        if rng.random() < 0.7:
            given |= {name: [] for name in given if name.startswith("plane_")}
            given["stage"] = [stage for stage in given["stage"] if stage != PLANES]
        rows, count = len(given["row_exponent"]), int(rng.integers(1, 3))
        stage = given["stage"]
        last = len(stage) - stage.count(LEMMAS)
        for _ in range(count):
            stage.insert(int(rng.integers(0, last + 1)), PAIRS)
            last += 1
        given["stages"] = [len(stage)]
        named = rng.integers(rng.random() < 0.95, count + 1, size=rows)
        # Both about one ReLU are refused, which is nearly all that there can be.
        is_other = (np.asarray(given["row_planes"]) > 0) & (rng.random(rows) < 0.5) & (PLANES in stage)
        given["row_planes"] = np.where(is_other, given["row_planes"], 0)
        given["row_pairs"] = np.where(is_other, 0, named)
        return self._with_sets(given)

    def _with_sets(self, given: Arrays) -> Arrays:
        """Pairs for all stages of these, found on the cell as it is there, and the rows of their ends."""
        by = Evaluation(read_network(self.network, self.inputs, Rational(), "network"), Rational())
        cells, sets, planes = by.root(self._lower, self._upper), Sets("certificate"), Taken(arrays_of(**given))
        given |= {name: [] for name in _OF_PAIRS}
        for rule in given["stage"]:
            if rule == LEMMAS:
                break
            if rule not in (PLANES, PAIRS):
                cells = by.derive(cells, rule)
                continue
            if rule == PAIRS:
                given, some = self._with_set(by, cells, sets, given)
            prover = Prover(by, Rows(arrays_of(**_rows_of(given)), self.sizes), "certificate")
            prover.sets = sets
            try:
                sets.add(rule, planes if rule == PLANES else Taken(arrays_of(**some)), prover, cells)
            except ProofError:  # an end that does not hold: what is made of the rest is refused, whatever it is
                sets.add(rule, Taken(arrays_of(**some | {"pair_row": [0] * len(some["pair_row"])})), prover, cells)
        return given

    def _with_set(self, by: Evaluation, cells: Cells, sets: Sets, given: Arrays) -> tuple[Arrays, Arrays]:
        """What one set and the rows of its ends add, and the set alone."""
        rng, before = self._rng, len(given["row_exponent"])
        given = _with_rows(rng, given, int(rng.integers(1, 3)), sum(self.sizes))
        rows = Rows(arrays_of(**_rows_of(given)), self.sizes)
        some: Arrays = {name: [] for name in _OF_PAIRS}
        is_false = rng.random() < 0.15
        for k, size in enumerate(self.sizes):
            members = rng.permutation(size)[: 2 * (size // 2)].reshape(-1, 2)
            for first, second in sorted(np.sort(members, 1).tolist()):
                exponent = int(rng.choice([0, 3, 10, 30]))
                row = rng.integers(before, len(rows.exponent), size=4)
                value = self._ends(by, cells, sets, rows, (k, first, second, row))
                end = np.ceil(np.ldexp(value, exponent)) + rng.integers(0, 3, size=4) * rng.integers(0, 2)
                end -= is_false * (rng.random(4) < 0.3)
                is_proved = (rng.random(4) < 0.8) & (abs(end) < PAIR_ENDS)
                some["pair_relu"].append(k + 1)
                some["pair_first"].append(first)
                some["pair_second"].append(second)
                some["pair_exponent"].append(exponent)
                some["pair_end"] += np.where(is_proved, end, rng.integers(-9, 10, size=4)).astype(int).tolist()
                some["pair_row"] += np.where(is_proved, row + 1, 0).tolist()
        some["pair_count"] = [len(some["pair_relu"])]
        return given | {name: [*given[name], *some[name]] for name in _OF_PAIRS}, some

    def nearly(self, given: Arrays, threshold: float = -64.0) -> float | None:
        """The same of all leaves, of which the checker names the first one that is not proved; None where an end is not."""
        found = super().nearly(given, threshold)
        beyond = found
        while beyond is not None:
            found, beyond = beyond, super().nearly(given, beyond + 1e-9)
        return found

    @staticmethod
    def _ends(by: Evaluation, cells: Cells, sets: Sets, rows: Rows, of: tuple[Any, ...]) -> np.ndarray:
        """What the first checker finds for sums and differences by rows."""
        k, first, second, row = of
        c = np.zeros((4, by.network.nodes[by.operands[k]].size))
        c[:, [first, second]] = SIGNS
        objective = Objective({by.operands[k]: by.numbers.load(c)}, by.numbers.load(np.zeros(4)))
        return sets.refutations(by, cells, np.zeros(4, np.int64), objective, rows.slopes(row), rows.sets[row])


def _rows_of(given: Arrays) -> Arrays:
    return {name: values for name, values in given.items() if name.startswith("row_")}


def _with_rows(rng: np.random.Generator, given: Arrays, count: int, width: int) -> Arrays:
    """More rows behind those that there are, which may name pairs that there are by now."""
    features = [np.flatnonzero(rng.random(width) < 0.5) for _ in range(count)]
    total = sum(map(len, features))
    more: Arrays = {
        "row_exponent": [10] * count,
        "row_base": [int(rng.random() < 0.1) for _ in range(count)],
        "row_mu": [0] * count,
        "row_count": [len(f) for f in features],
        "row_feature": np.concatenate(features),
        "row_slope": rng.integers(0, 1025, size=total),
        "row_added": rng.integers(-100, 101, size=total) * (rng.random(total) < 0.2),
        "row_planes": [0] * count,
        "row_pairs": rng.integers(0, len(given["pair_count"]) + 1, size=count),
    }
    return given | {name: np.append(np.asarray(given[name], np.int64), values) for name, values in more.items()}
