"""Evidence of verdicts about networks of real numbers: certificates, from what a search leaves.

Whoever makes one need not be trusted. What is made here is what the checker's own evaluation accepts (on large networks with ranges
of the whole box from the search's record, of which a sample was compared): roads of the search that leave more than the format can
say yet, or ranges that its rules do not come to, end in a :class:`NoEvidenceError`, which says why.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from netproof.certificate.checker.real.bound import Cells, Evaluation
from netproof.certificate.checker.real.check import evaluation_of, root_of, witnessed
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.property import Asked, Constraint, Part, read_property
from netproof.certificate.checker.real.tree import Case, objective_of
from netproof.certificate.real.aligned import aligned
from netproof.certificate.real.contents import (
    EXPONENTS,
    LIMB,
    MOST_LIMBS,
    NAMES,
    TENS,
    Integers,
    RealCertificate,
    arrays_of,
)
from netproof.certificate.real.deadline import Deadline
from netproof.certificate.real.grown.ends import add_divided
from netproof.certificate.real.grown.grow import FEW_INPUTS, Grower
from netproof.certificate.real.grown.joint.sets import add_sets
from netproof.certificate.real.grown.lemmas import add_lemmas, add_lined
from netproof.certificate.real.grown.program import Programs
from netproof.certificate.real.grown.rows import RowTable, arrays_of_rows
from netproof.certificate.real.grown.seeds import Claim, Limits, Maker, Places, Seed
from netproof.certificate.real.grown.staged import staged
from netproof.certificate.real.grown.written import written
from netproof.certificate.real.record import check_record
from netproof.errors import FormatError, NoEvidenceError, ProofError
from netproof.property import Box, LinearConstraint
from netproof.query import Query, Question, Result, Verdict
from netproof.result import Trace

Key = tuple[object, ...]

#: how many cells are split beyond the record before ranges are handed down in it
_FEW_BEYOND = 64


def evidence_of(
    network: bytes,
    property_: bytes,
    question: Question,
    result: Result,
    *,
    producer: str = "",
    deadline: float = math.inf,
) -> RealCertificate:
    """The certificate of a verdict about a network and a property, given by the (decompressed) contents of their files.

    Parameters
    ----------
    question, result : what was asked of them, and what :func:`netproof.verify` found, with ``Settings(proofs=True)``
    deadline : by ``time.monotonic()``

    Raises
    ------
    NoEvidenceError : there is none to be written
    """
    name = question.name
    until = Deadline(name, deadline)
    try:
        asked = read_property(property_, "the property")
        with np.errstate(all="ignore"):
            evaluation = evaluation_of(network, asked, Float64(), until.look)
            if result.verdict is Verdict.SAT and result.witness is not None:
                claim, arrays = "sat", _witness(result.witness.numbers, name)
            elif result.verdict is Verdict.UNSAT:
                claim, arrays = "unsat", _proof(asked, evaluation, question, result, until)
            else:
                raise NoEvidenceError(name, f"it is '{result.verdict.value}'")
    except FormatError as error:
        raise NoEvidenceError(name, f"{error.source} {error.problem}") from None
    except ProofError as error:
        # What the checker's own parts say of what is tried.
        raise NoEvidenceError(name, error.problem) from None
    certificate = RealCertificate(
        hashlib.sha256(network).hexdigest(),
        hashlib.sha256(property_).hexdigest(),
        asked.inputs,
        asked.outputs,
        "sat" if claim == "sat" else "unsat",
        arrays,
        name,
        producer,
    )
    if claim == "sat":
        try:
            with np.errstate(all="ignore"):
                assert result.witness is not None
                witnessed(result.witness.numbers, asked, evaluation, name)
        except ProofError as error:
            raise NoEvidenceError(name, f"over the real numbers {error.problem}") from None
    return certificate


def _witness(numbers: Sequence[Fraction], name: str) -> dict[str, Integers]:
    limbs: list[int] = []
    counts, twos, tens = [], [], []
    for value in numbers:
        rest, ten = value.denominator, 0
        while rest % 5 == 0:
            rest, ten = rest // 5, ten + 1
        two = (rest & -rest).bit_length() - 1
        rest >>= two
        numerator, before = abs(value.numerator) * 2 ** max(0, ten - two), len(limbs)
        while numerator:
            limbs.append((numerator & ((1 << LIMB) - 1)) * (1 if value > 0 else -1))
            numerator >>= LIMB
        counts.append(len(limbs) - before)
        twos.append(max(0, two - ten))
        tens.append(ten)
        if rest != 1 or counts[-1] > MOST_LIMBS or ten > TENS or twos[-1] > EXPONENTS:
            raise NoEvidenceError(name, "the witness has more digits than a certificate holds")
    return arrays_of(witness=limbs, witness_limbs=counts, witness_two=twos, witness_ten=tens)


def _proof(
    asked: Asked, evaluation: Evaluation, question: Question, result: Result, deadline: Deadline
) -> dict[str, Integers]:
    with Programs(evaluation) as programs:
        return _proof_by(programs, asked, evaluation, question, result, deadline)


def _proof_by(
    programs: Programs, asked: Asked, evaluation: Evaluation, question: Question, result: Result, deadline: Deadline
) -> dict[str, Integers]:
    results = [result] if len(question.parts) == 1 else list(result.parts)
    if len(results) != len(question.parts):
        raise NoEvidenceError(question.name, "there is no record of every box")
    known: dict[Key, tuple[Query, Result]] = {}
    for query, one in zip(question.parts, results, strict=True):
        if query.part is not None:
            known[_box(query.part.box)] = query, one
    width = max((len(case) for part in asked.parts for case in part.cases), default=1) or 1
    table = RowTable()
    arrays: dict[str, list[int]] = {"cases": [], "tree": [], "stages": [], "stage": []}
    maker = Maker(evaluation, table, width, deadline, programs)
    for part in asked.parts:
        box = _box(part)
        if box not in known:
            raise NoEvidenceError(question.name, "the checker reads other boxes in the property than the search did")
        query, one = known[box]
        if one.trace is None:
            raise NoEvidenceError(question.name, "the search left no record")
        before = len(table.rows)
        try:
            made = _Part(part, query, one.trace, maker).arrays()
        except NoEvidenceError:
            if not one.trace.box or deadline.is_over:
                raise
            # With ranges that the checker finds, not those that the search has found.
            table.forget(before)
            made = _Part(part, query, replace(one.trace, box=()), maker).arrays()
        for key, values in made.items():
            arrays.setdefault(key, []).extend(values)
    return arrays_of(**arrays, **arrays_of_rows(table.rows, width))


def _box(box: Part | Box) -> Key:
    """Equal for equal boxes, and quickly compared, as fractions are not."""
    return tuple((*(x.numerator for x in ends), *(x.denominator for x in ends)) for ends in (box.lower, box.upper))


class _Part:
    """One part of a property, and the record of the search on it."""

    def __init__(self, part: Part, query: Query, trace: Trace, maker: Maker) -> None:
        self._evaluation, self._part, self._name = maker.evaluation, part, query.name
        self._maker = maker
        check_record(trace, len(part.lower), query.name)
        if trace.sizes != self._evaluation.network.sizes:
            lower, upper = (np.array([float(end) for end in ends]) for ends in (part.lower, part.upper))
            trace = aligned(trace, query.network.graph, self._evaluation.network, lower, upper, maker.evaluation.look)
        self._trace = trace
        assert query.part is not None
        numbers = {_keys(case): number for number, case in enumerate(query.part.condition)}
        self._cases: list[int] = []
        self._places: list[Places] = []
        for case in part.cases:
            # What says nothing of the network, 0 >= t, a search does not look at, nor at cases in which that is false.
            number = numbers.get(_keys([c for c in case if c.inputs or c.outputs]))
            if number is None and any(not (c.inputs or c.outputs) and c.threshold > 0 for c in case):
                self._cases.append(-1)
                self._places.append(Places(np.arange(len(case)), np.ones(len(case))))
                continue
            if number is None:
                raise NoEvidenceError(self._name, "the checker reads other cases in the property than the search did")
            own = [_key(constraint) for constraint in case]
            self._cases.append(number)
            places = [own.index(_key(c)) for c in query.part.condition[number]] or [0]
            # Shorter conjunctions repeat their first constraint.
            most = max(*map(len, query.part.condition), 1)
            scales = [_scale(constraint) for constraint in query.part.condition[number]] or [1.0]
            rest = most - len(places)
            self._places.append(Places(np.array(places + places[:1] * rest), np.array(scales + scales[:1] * rest)))

    def arrays(self) -> dict[str, list[int]]:
        """The arrays of the part but for the rows."""
        cells = root_of(self._evaluation, self._part)
        arrays: dict[str, list[int]] = {name: [] for name in NAMES if not name.startswith(("witness", "row"))}
        if any(means != "intervals" for means in self._used()):
            cells = staged(self._evaluation, cells, arrays, self._trace.box)
            cells = add_lemmas(self._maker, cells, self._trace.ends, arrays)
            network = self._evaluation.network
            is_curved = bool({network.nodes[i].bend for i in network.bends} - {RELU})
            if network.inputs > FEW_INPUTS and is_curved and not self._is_closed(cells):
                cells = add_lined(self._maker, cells, arrays)
            cells = add_divided(self._maker, cells, self._trace.divided, arrays)
            roots = [self._trace.roots[case] for case in self._cases if case in self._trace.roots]
            self._maker, self._trace = add_sets(self._maker, cells, self._trace, roots, arrays)
        arrays["cases"], arrays["stages"] = [len(self._cases)], [len(arrays["stage"])]
        for name, values in self._trees(cells).items():
            arrays[name] += values
        return arrays

    def _is_closed(self, cells: Cells) -> bool:
        """Whether single constraints refute all cases on all of the box, by the rules alone."""
        last = len(self._evaluation.network.nodes) - 1
        for case in self._part.cases:
            weights = np.eye(max(1, len(case)), dtype=np.int64)
            mixtures = [found for one in weights if (found := Case(case, last).mixed(one, 0)) is not None]
            objective = objective_of(mixtures, self._evaluation.network, self._evaluation.numbers)
            if not self._evaluation.refutations(cells, np.zeros(len(mixtures), np.int64), objective).min() < 0:
                return False
        return True

    def _used(self) -> set[str]:
        """By what roots are refuted; the empty text for those that are not."""
        roots = [self._trace.roots.get(case, -1) for case in self._cases]
        return {self._trace.refuted[root].means if root in self._trace.refuted else "" for root in roots}

    def _trees(self, cells: Cells) -> dict[str, list[int]]:
        last = len(self._evaluation.network.nodes) - 1
        goals = [Case(case, last) for case in self._part.cases]
        trace, before = self._trace, len(self._maker.table.rows)
        attempts = [Limits()]
        # Leaves have ranges of their own alone, which costs least. The search's are those of all boxes around them as well.
        if any(trace.ranges.get(node) == "crown" for node, split in trace.splits.items() if split[0] < 0):
            attempts = [Limits(most=_FEW_BEYOND), Limits(hands_down=True), Limits()]
        for number, limits in enumerate(attempts):
            seeds, trees = self._seeds()
            try:
                Grower(self._maker, goals, self._places, trace, limits).grow(cells, seeds)
                break
            except NoEvidenceError:
                if number == len(attempts) - 1 or self._maker.deadline.is_over:
                    raise
                self._maker.table.forget(before)
        return {"tree": trees, **written(seeds)}

    def _seeds(self) -> tuple[list[Seed], list[int]]:
        """The roots of the trees of all cases, and which of them each case has."""
        seeds: list[Seed] = []
        trees: list[int] = []
        together: int | None = None
        for goal, case in enumerate(self._cases):
            root = self._trace.roots.get(case)
            opened = np.zeros(0, np.int64) if root is None else self._trace.open.get(root, np.zeros(0, np.int64))
            # Cases of which boxes were split are proved box by box, all at once.
            split = None if root is None or root in self._trace.refuted else self._trace.splits.get(root)
            joins = split is not None and split[0] < 0
            if joins and together is not None:
                seeds[together].claims.append(Claim(goal, root))
                trees.append(together)
                continue
            together = len(seeds) if joins else together
            trees.append(len(seeds))
            seeds.append(Seed([Claim(goal, root)], opened, {}))
        return seeds, trees


def _keys(case: Sequence[Constraint | LinearConstraint]) -> Key:
    return tuple(sorted((_key(constraint) for constraint in case), key=repr))


def _key(constraint: Constraint | LinearConstraint) -> Key:
    return constraint.inputs, constraint.outputs, constraint.threshold, constraint.strict


def _scale(constraint: LinearConstraint) -> float:
    """By what a search multiplies a constraint, so that its coefficients are whole (:meth:`netproof.Property.queries`)."""
    values = [value for _, value in (*constraint.inputs, *constraint.outputs)]
    return float(math.lcm(*(value.denominator for value in values)))
