"""The checker of certificates about networks of real numbers: does one prove what it claims?

docs/certificates.md, *Networks over the real numbers*, says what has to hold; this room is written to be read beside it.

*What has to be trusted* for an accepted certificate to be true:

* that this room reads the network as it is meant (``network.py``, and of ``reading/`` the operators that it has, by the protocol buffers of the
  package onnx) and the property (``property.py``);
* its evaluation: ``operators.py`` (affine maps, forwards and backwards), ``relus.py``, ``bound.py`` (ranges, the bound, the account of
  rounding), ``tree.py`` (what covers, what refutes), ``numbers.py`` (the arithmetic), and this module; for functions that are not
  straight and products of values, and for nothing else, ``curved/``; for planes and pairs, and for nothing else, ``joint/``;
* of the arithmetic that was chosen: that float64 rounds to nearest and NumPy's sums and products add each term once, in any
  order; or Arb's balls; or Python's fractions;
* how a file is unpacked: ``real/contents.py``, ``real/format.py``, ``container.py``, ``varint.py``;
* SHA-256, by which network, property and certificate name each other.

Not trusted, and not used: everything that searches, whatever wrote the certificate, every other reader, PyTorch.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from netproof.certificate.checker.real.bound import Cells, Evaluation, Floats
from netproof.certificate.checker.real.joint.sets import Sets
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.nodes import RealNetwork
from netproof.certificate.checker.real.numbers import Float64, Rational, above, arithmetic_of
from netproof.certificate.checker.real.property import Asked, Constraint, Part, read_property
from netproof.certificate.checker.real.tree import Case, Counts, Goal, Lemma, Mixture, Prover, Rows, objective_of
from netproof.certificate.real.contents import LEMMAS, LIMB, PAIRS, PLANES, Forest, RealCertificate, Taken, fault_of
from netproof.errors import CertificateError, ProofError


@dataclass(frozen=True, eq=False)
class RealChecked:
    """What was proved.

    Attributes
    ----------
    certificate : which proves its claim
    asked : the property
    arithmetic : in which bounds were evaluated
    counts : of what was found on the way
    part : of a witness, in which part of the property it lies; -1 for a proof
    inputs, outputs, neurons : of the network
    seconds : what checking took
    """

    certificate: RealCertificate
    asked: Asked
    arithmetic: str
    counts: Counts
    part: int
    inputs: int
    outputs: int
    neurons: int
    seconds: float


def check_real(
    certificate: RealCertificate,
    network: bytes,
    property_: bytes,
    *,
    arithmetic: str = "float64",
    source: str = "certificate",
    seconds: float = math.inf,
) -> RealChecked:
    """Check a certificate against the (decompressed) contents of both files it is about.

    Raises
    ------
    ProofError : it does not prove its claim, or not within so many seconds
    CertificateError : it is about other files, or inconsistent
    FormatError, InputError : what the checker does not read, an arithmetic that is not there
    """
    begun = time.monotonic()

    def look() -> None:
        if time.monotonic() >= begun + seconds:
            raise ProofError(source, "it was not checked to its end within the time limit")

    fault = fault_of(certificate)
    if fault:
        raise CertificateError(source, f"is inconsistent: {fault}", "make it anew")
    given = ("network", network, certificate.network_sha256), ("property", property_, certificate.property_sha256)
    for what, data, stated in given:
        found = hashlib.sha256(data).hexdigest()
        if found != stated:
            problem = f"is about the {what} with SHA-256 {stated}, the one given has {found}"
            raise CertificateError(source, problem, f"give the {what} it was made for")
    asked = read_property(property_, "the property")
    numbers = arithmetic_of(arithmetic)
    with np.errstate(all="ignore"):
        evaluation = evaluation_of(network, asked, numbers, look)
        model = evaluation.network
        if len({(x.inputs, x.outputs) for x in (model, asked, certificate)}) > 1:
            problem = "its network, its property and itself have other numbers of inputs and outputs"
            raise CertificateError(source, problem, "give the files it was made for")
        rows = Rows(dict(certificate.arrays), model.sizes)
        prover = Prover(evaluation, rows, source)
        part = -1
        try:
            if certificate.claim == "sat":
                part = witnessed(witness_of(certificate), asked, evaluation, source)
            else:
                _prove(certificate, asked, prover, source)
        except (OverflowError, ValueError, ZeroDivisionError, MemoryError) as error:
            # Of fractions that are no numbers any more, of trees larger than the machine: there is no bound.
            raise ProofError(source, f"a bound cannot be evaluated ({type(error).__name__})") from None
    about = part, model.inputs, model.outputs, sum(model.sizes)
    return RealChecked(certificate, asked, arithmetic, prover.counts, *about, time.monotonic() - begun)


def evaluation_of(
    network: bytes, asked: Asked, numbers: Float64, look: Callable[[], None] = lambda: None
) -> Evaluation:
    """The network that a property asks about in an arithmetic; where that rounds, with fractions for what touches 0."""

    def read(arithmetic: Float64) -> RealNetwork:
        return read_network(network, asked.inputs, arithmetic, "the network", compared=asked.compares)

    def fractions() -> Evaluation:
        return Evaluation(read(Rational()), Rational(), look)

    return Evaluation(read(numbers), numbers, look, None if type(numbers) is Rational else fractions)


def _prove(certificate: RealCertificate, asked: Asked, prover: Prover, source: str) -> None:
    fault = prover.rows.fault()
    if fault:
        raise ProofError(source, fault)
    if certificate.arrays["cases"].tolist() != [len(part.cases) for part in asked.parts]:
        raise ProofError(source, "it proves other cases than the property has")
    taken = Taken(certificate.arrays)
    taken.take("cases", len(asked.parts))
    for number, part in enumerate(asked.parts):
        _prove_part(taken, number, part, prover, source)
    left = next(taken.left(), "")
    # Rows are named by their number.
    if left and not left.startswith("row_"):
        raise ProofError(source, f"entries of array '{left}' belong to nothing")


def _prove_part(taken: Taken, number: int, part: Part, prover: Prover, source: str) -> None:
    evaluation = prover.evaluation
    cells, prover.sets = root_of(evaluation, part), Sets(source)
    last = len(evaluation.network.nodes) - 1
    for place in range(taken.one("stages")):
        rule = taken.one("stage")
        if rule in (PLANES, PAIRS):
            prover.sets.add(rule, taken, prover, cells)
            continue
        if rule != LEMMAS:
            cells = prover.derive(cells, rule)
            continue
        lemmas = lemmas_of(taken, evaluation, source)
        name = f"the lemmas of stage {place} of part {number}"
        prover.prove(cells, forest_of(taken, [1] * len(lemmas), source), [[goal] for goal, _ in lemmas], name)
        prover.counts.lemmas += len(lemmas)
        cells = applied(cells, lemmas)
    trees: dict[int, list[Goal]] = {}
    for tree, case in zip(taken.take("tree", len(part.cases)).tolist(), part.cases, strict=True):
        trees.setdefault(tree, []).append(Case(case, last))
    if list(trees) != list(range(len(trees))):
        raise ProofError(source, f"the trees of part {number} are not in order")
    goals = list(trees.values())
    prover.prove(cells, forest_of(taken, [len(mine) for mine in goals], source), goals, f"part {number}")


def forest_of(taken: Taken, goals: list[int], source: str) -> Forest:
    try:
        return taken.forest(goals)
    except ValueError as error:
        raise ProofError(source, f"its trees are none: {error}") from None


def root_of(evaluation: Evaluation, part: Part) -> Cells:
    """The box of a part as a cell, its ends rounded outward, with the ranges of intervals."""
    lower = np.array([-above(-end) for end in part.lower])
    upper = np.array([above(end) for end in part.upper])
    return evaluation.root(lower, upper)


def applied(cells: Cells, lemmas: list[tuple[Lemma, int]]) -> Cells:
    """One cell with its ranges cut by lemmas, of which each is about one ReLU."""
    low, high = [x.copy() for x in cells.low], [x.copy() for x in cells.high]
    for lemma, relu in lemmas:
        if lemma.sign > 0:
            high[relu][0, lemma.feature] = min(high[relu][0, lemma.feature], lemma.end)
        else:
            low[relu][0, lemma.feature] = max(low[relu][0, lemma.feature], lemma.end)
    return Cells(cells.lower, cells.upper, tuple(low), tuple(high), cells.size)


def lemmas_of(taken: Taken, evaluation: Evaluation, source: str) -> list[tuple[Lemma, int]]:
    count = taken.one("lemma_count")
    names = ("lemma_relu", "lemma_feature", "lemma_side", "lemma_end", "lemma_exponent")
    found = []
    for relu, feature, side, end, exponent in zip(*(taken.take(name, count).tolist() for name in names), strict=True):
        if not 1 <= relu <= len(evaluation.operands) or not 0 <= feature < evaluation.network.sizes[relu - 1]:
            raise ProofError(source, "a lemma names a feature that is not there")
        lemma = Lemma(evaluation.operands[relu - 1], feature, 1 if side else -1, math.ldexp(end, -exponent))
        found.append((lemma, relu - 1))
    return found


def witness_of(certificate: RealCertificate) -> list[Fraction]:
    """The input that a certificate of claim ``sat`` names, exactly."""
    names = ("witness", "witness_limbs", "witness_two", "witness_ten")
    limbs, counts, twos, tens = (certificate.arrays[name].tolist() for name in names)
    found, at = [], 0
    for count, two, ten in zip(counts, twos, tens, strict=True):
        numerator = sum(limb << (LIMB * place) for place, limb in enumerate(limbs[at : at + count]))
        found.append(Fraction(numerator, 2**two * 10**ten))
        at += count
    return found


def witnessed(x: Sequence[Fraction], asked: Asked, evaluation: Evaluation, source: str) -> int:
    """The part of the property that a witness answers; raises :class:`ProofError` where it answers none."""
    ends = np.array([-above(-value) for value in x]), np.array([above(value) for value in x])
    inside = False
    for number, part in enumerate(asked.parts):
        if not all(low <= value <= high for low, value, high in zip(part.lower, x, part.upper, strict=True)):
            continue
        inside = True
        # A threshold that is met exactly is met in fractions alone.
        if _meets(x, ends, part, evaluation):
            return number
        exact = evaluation.exact
        if exact is not None and _meets(x, ends, part, exact):
            return number
    if not inside:
        raise ProofError(source, "the witness lies in none of the property's boxes")
    raise ProofError(source, "the output at the witness is not shown to meet a case")


def _meets(x: Sequence[Fraction], ends: tuple[Floats, Floats], part: Part, evaluation: Evaluation) -> bool:
    """Whether a point, with its ends in float64, is shown to meet a case of a part."""
    point = evaluation.root(*ends)
    return any(all(_met(c, x, point, evaluation) for c in case) for case in part.cases)


def _met(constraint: Constraint, x: Sequence[Fraction], point: Cells, evaluation: Evaluation) -> bool:
    """Whether a constraint holds at a point, which a cell encloses."""
    if not constraint.outputs:
        left = sum((c * x[i] for i, c in constraint.inputs), Fraction(0))
        return left > constraint.threshold if constraint.strict else left >= constraint.threshold
    terms = ((0, constraint.inputs), (len(evaluation.network.nodes) - 1, constraint.outputs))
    below = Mixture(tuple((n, i, -c) for n, part in terms for i, c in part), constraint.threshold, constraint.strict)
    objective = objective_of([below], evaluation.network, evaluation.numbers)
    value = evaluation.refutations(point, np.zeros(1, np.int64), objective)[0]
    return bool(value < 0 or (value <= 0 and not constraint.strict))
