"""Planes of real searches in their evidence: written, read back, accepted in every arithmetic, and needed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from netproof import Settings, Verdict
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.container import version_of
from netproof.certificate.real.contents import LEMMAS, PLANES, arrays_of
from netproof.certificate.real.format import decode, encode
from netproof.certificate.real.grown.joint import sets as tool
from netproof.certificate.real.make import evidence_of
from netproof.errors import NoEvidenceError, ProofError
from netproof.search.real import relu_split, rounds
from netproof.search.verify import verify
from soundness.real_evidence import Builder, perceptron, property_text, residual, run
from soundness.test_real_evidence import asked, close_property


@pytest.fixture
def planed(monkeypatch):
    """Searches with planes from the second subproblem on, which are chosen anew after the first split."""
    monkeypatch.setattr(rounds.ProgramSplit, "is_for", lambda *_: False)
    monkeypatch.setattr(rounds, "ROUND", replace(rounds.ROUND, easy=1))
    monkeypatch.setattr(rounds, "PLANED", replace(rounds.PLANED, easy=0))
    monkeypatch.setattr(relu_split, "PLANE", replace(relu_split.PLANE, first=2, worth=-1.0))
    # Pairs have tests of their own.
    monkeypatch.setattr(rounds, "Pairing", lambda *_, **__: None)
    # Rows alone: what the record says has to be enough.
    monkeypatch.setattr("netproof.certificate.real.grown.program._FEATURES", 0)


def joined(rng: np.random.Generator, inputs: int) -> bytes:
    """A network with a ReLU of constants, which a reader numbers before the first one of the file."""
    made = Builder([1, inputs])
    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((inputs, 8), (14, 8), (8, 2))]
    operand = made.node("MatMul", "x", made.constant(weights[0]))
    first = made.node("Relu", operand)
    constants = made.constant(np.array([[0.5, -0.5, 2.0, 1.0, -1.0, 0.25]], np.float32))
    rest = made.node("Relu", constants)
    second = made.node("Relu", made.node("MatMul", made.node("Concat", first, rest, axis=1), made.constant(weights[1])))
    return made.bytes(made.node("MatMul", second, made.constant(weights[2])))


NETWORKS = {
    "perceptron": (lambda rng: perceptron(rng, (12, 10, 10, 2)), 12, 0.25),
    "residual": (lambda rng: residual(rng, normalized=False), 32, 0.15),
    "joined": (lambda rng: joined(rng, 12), 12, 0.25),
}


def searched(tmp_path, name: str, seed: int, beyond: float = 0.05):
    rng = np.random.default_rng(seed)
    make, inputs, radius = NETWORKS[name]
    network = make(rng)
    property_ = close_property(rng, network, inputs, 2, radius, beyond)
    question = asked(tmp_path, network, property_)
    return network, property_, question, verify(question, Settings(timeout=30.0, proofs=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_evidence_of_searches_with_planes_is_accepted(tmp_path, planed, name):
    used = sets = 0
    for seed in range(1 if name == "residual" else 4):
        network, property_, question, result = searched(tmp_path, name, seed)
        if result.verdict is not Verdict.UNSAT:  # sampling missed the largest value
            continue
        made = evidence_of(network, property_, question, result)
        data = encode(made)
        again = decode(data)
        assert version_of(data) == (4 if len(made.arrays["plane_count"]) else 3) and encode(again) == data
        found = [check_real(again, network, property_, arithmetic=a).counts for a in ("float64", "arb")]
        assert found[0].planes == found[1].planes == len(made.arrays["plane_relu"])
        assert abs(found[0].closest - found[1].closest) < 1e-6
        used += int((made.arrays["row_planes"] > 0).sum())
        sets += len(made.arrays["plane_count"])
    assert used > 0 and sets > 0


def test_rows_need_their_planes_and_planes_their_numbers(tmp_path, planed):
    refused = 0
    for seed in range(4):
        network, property_, question, result = searched(tmp_path, "perceptron", seed)
        if result.verdict is not Verdict.UNSAT:
            continue
        arrays = dict(evidence_of(network, property_, question, result).arrays)
        made = evidence_of(network, property_, question, result)
        if not (arrays["row_planes"] > 0).any():
            continue
        check_real(made, network, property_)
        for name, values in (("row_planes", 0 * arrays["row_planes"]), ("plane_value", 0 * arrays["plane_value"])):
            refused += not is_accepted(replace(made, arrays={**arrays, name: values}), network, property_)
    assert refused >= 2


def reached_by(network: bytes, question, made, seed: int):
    """What is made of a certificate that claims another property, which points meet, and that property."""
    box = question.parts[0].part.box
    lower, upper = (np.array([float(end) for end in ends]) for ends in (box.lower, box.upper))
    x = np.where(np.random.default_rng(seed).random((2000, len(lower))) < 0.5, lower, upper)
    top = float(run(network, x)[:, 0].max()) - 1e-6
    reached = property_text(lower.tolist(), upper.tolist(), 2, [[((1.0, 0.0), top)], [((1.0, 0.0), top)]])
    return replace(made, property_sha256=hashlib.sha256(reached).hexdigest()), reached


def is_accepted(certificate, network: bytes, property_: bytes) -> bool:
    try:
        check_real(certificate, network, property_)
    except ProofError:
        return False
    return True


def test_a_search_that_goes_on_with_planes_is_recorded_as_one(tmp_path, planed, monkeypatch):
    # Every search is given up for better ranges, and it is the first one that is gone on with.
    monkeypatch.setattr(rounds, "ROUND", replace(rounds.ROUND, worthwhile=0.0))
    # Cells are given up at once.
    monkeypatch.setattr(rounds, "PLANED", replace(rounds.PLANED, trial=0.0))
    gone_on, order = [], []
    run_, go_on = relu_split.ReluSplit.run, relu_split.ReluSplit.go_on

    def given_up(search, case, deadline, most=None, **given):
        order.append(search)
        return run_(search, case, deadline, 3 if search._fitting.has_planes else most, **given)

    monkeypatch.setattr(relu_split.ReluSplit, "run", given_up)
    monkeypatch.setattr(relu_split.ReluSplit, "bound", property(lambda search: float(order.index(search))))
    monkeypatch.setattr(relu_split.ReluSplit, "go_on", lambda search, until: gone_on.append(0) or go_on(search, until))
    for seed in range(6):
        network, property_, question, result = searched(tmp_path, "perceptron", seed)
        if result.verdict is Verdict.UNSAT and gone_on:
            assert result.trace is not None
            assert all(is_closed(result.trace, root) for root in result.trace.roots.values())
            made = evidence_of(network, property_, question, result)
            assert check_real(decode(encode(made)), network, property_).counts.leaves > 1
            return
    pytest.fail("no search was gone on with")


def is_closed(trace, node: int) -> bool:
    """Whether all below a node of a record is refuted there."""
    if node in trace.refuted or node not in trace.splits:
        return node in trace.refuted
    return all(is_closed(trace, half) for half in trace.splits[node][3:])


def test_planes_that_prove_something_false_are_not_accepted(tmp_path, planed):
    for seed in range(3):
        network, property_, question, result = searched(tmp_path, "perceptron", seed)
        if result.verdict is not Verdict.UNSAT:
            continue
        made = evidence_of(network, property_, question, result)
        false, reached = reached_by(network, question, made, seed)
        with pytest.raises(ProofError):
            check_real(false, network, reached)


def test_planes_that_are_none_are_left_out(tmp_path, planed, monkeypatch):
    """A record whose planes the checker does not take makes the evidence that there is without them, or none."""
    network, property_, question, result = searched(tmp_path, "perceptron", 1)
    assert result.verdict is Verdict.UNSAT and result.trace is not None

    def refused(*given):
        raise ProofError("a set", "is none")

    monkeypatch.setattr(tool.Sets, "add", refused)
    try:
        made = evidence_of(network, property_, question, result)
    except NoEvidenceError:
        return
    assert not len(made.arrays["plane_count"]) and not made.arrays["row_planes"].any()
    monkeypatch.undo()
    check_real(made, network, property_)


def test_a_stage_of_planes_changes_no_ranges_and_comes_after_the_lemmas(tmp_path, planed):
    for seed in range(4):
        network, property_, question, result = searched(tmp_path, "perceptron", seed)
        if result.verdict is Verdict.UNSAT:
            stage = evidence_of(network, property_, question, result).arrays["stage"].tolist()
            if PLANES in stage:
                assert LEMMAS not in stage[stage.index(PLANES) :]
                return
    pytest.fail("no planes")


def test_without_planes_nothing_of_them_is_in_a_file():
    arrays = arrays_of(row_exponent=[1, 2])
    assert arrays["row_planes"].tolist() == [0, 0]
