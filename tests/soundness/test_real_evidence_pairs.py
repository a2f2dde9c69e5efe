"""Pairs of real searches in their evidence: written, read back, accepted in every arithmetic, and needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from netproof import Verdict
from netproof.bounds.joint import fitting
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.container import version_of
from netproof.certificate.real.contents import LEMMAS, PAIRS, arrays_of
from netproof.certificate.real.format import decode, encode
from netproof.certificate.real.grown.joint import sets as tool
from netproof.certificate.real.make import evidence_of
from netproof.errors import NoEvidenceError, ProofError
from netproof.search.real import relu_split, rounds
from soundness.test_real_evidence_planes import NETWORKS, is_accepted, reached_by, searched


@pytest.fixture
def both(monkeypatch):
    """Searches with pairs, and planes, from the second subproblem on, which are chosen anew after the first split."""
    monkeypatch.setattr(rounds.ProgramSplit, "is_for", lambda *_: False)
    monkeypatch.setattr(rounds, "ROUND", replace(rounds.ROUND, easy=1))
    monkeypatch.setattr(rounds, "PLANED", replace(rounds.PLANED, easy=0))
    monkeypatch.setattr(relu_split, "PLANE", replace(relu_split.PLANE, first=2, worth=-1.0))
    monkeypatch.setattr(fitting, "PAIR", replace(fitting.PAIR, worth=0.0))
    # Rows alone: what the record says has to be enough.
    monkeypatch.setattr("netproof.certificate.real.grown.program._FEATURES", 0)


@pytest.fixture
def paired(monkeypatch, both):
    """The same with pairs alone."""
    monkeypatch.setattr(rounds, "Pricing", lambda *_, **__: None)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", ["paired", "both"])
def test_evidence_of_searches_with_pairs_is_accepted(tmp_path, request, kind, name):
    request.getfixturevalue(kind)
    used = sets = 0
    for seed in range(1 if name == "residual" else 5):
        network, property_, question, result = searched(tmp_path, name, seed)
        if result.verdict is not Verdict.UNSAT:  # sampling missed the largest value
            continue
        made = evidence_of(network, property_, question, result)
        data = encode(made)
        again = decode(data)
        has_planes, has_pairs = (len(made.arrays[f"{one}_count"]) > 0 for one in ("plane", "pair"))
        assert version_of(data) == (5 if has_pairs else 4 if has_planes else 3) and encode(again) == data
        found = [check_real(again, network, property_, arithmetic=a).counts for a in ("float64", "arb")]
        assert found[0].pairs == found[1].pairs == len(made.arrays["pair_relu"])
        assert abs(found[0].closest - found[1].closest) < 1e-6
        used += int((made.arrays["row_pairs"] > 0).sum())
        sets += len(made.arrays["pair_count"])
    assert (used > 0 and sets > 0) or kind == "both"


def test_rows_need_their_pairs_and_pairs_their_ends(tmp_path, paired):
    refused = 0
    for seed in range(6):
        network, property_, question, result = searched(tmp_path, "perceptron", seed)
        if result.verdict is not Verdict.UNSAT:
            continue
        made = evidence_of(network, property_, question, result)
        arrays = dict(made.arrays)
        if not (arrays["row_pairs"] > 0).any():
            continue
        check_real(made, network, property_)
        for name in ("row_pairs", "pair_row"):
            refused += not is_accepted(replace(made, arrays={**arrays, name: 0 * arrays[name]}), network, property_)
    assert refused >= 2


def test_pairs_that_prove_something_false_are_not_accepted(tmp_path, paired):
    tried = 0
    for seed in range(4):
        network, property_, question, result = searched(tmp_path, "perceptron", seed)
        if result.verdict is not Verdict.UNSAT:
            continue
        made = evidence_of(network, property_, question, result)
        false, reached = reached_by(network, question, made, seed)
        with pytest.raises(ProofError):
            check_real(false, network, reached)
        tried += 1
    assert tried


def test_pairs_that_are_none_are_left_out(tmp_path, paired, monkeypatch):
    """A record whose pairs the checker does not take makes the evidence that there is without them, or none."""
    network, property_, question, result = searched(tmp_path, "perceptron", 1)
    assert result.verdict is Verdict.UNSAT and result.trace is not None and result.trace.pairs

    def refused(*given):
        raise ProofError("a set", "is none")

    monkeypatch.setattr(tool.Sets, "add", refused)
    try:
        made = evidence_of(network, property_, question, result)
    except NoEvidenceError:
        return
    assert not len(made.arrays["pair_count"]) and not made.arrays["row_pairs"].any()
    monkeypatch.undo()
    check_real(made, network, property_)


def test_a_damaged_record_of_pairs_makes_no_evidence(tmp_path, paired):
    network, property_, question, result = searched(tmp_path, "perceptron", 1)
    assert result.trace is not None
    one = next(one for pairs in result.trace.pairs for one in pairs if len(one.open) > 1)
    for changed in (
        {"first": one.second},
        {"k": 7},
        {"k": -1},
        {"second": one.second + 100},
        {"bound": one.bound[:, :3]},
        {"slope": np.full_like(one.slope, np.nan)},
        {"open": one.open[::-1]},
        {"first": one.first[None]},
        {"first": one.first[0]},
        {"first": one.first.astype(np.float64)},
    ):
        spoiled = replace(result.trace, pairs=((replace(one, **changed),),))
        with pytest.raises(NoEvidenceError, match="pairs"):
            evidence_of(network, property_, question, replace(result, trace=spoiled))


@pytest.mark.parametrize("changed", [{"pairs": 99}, {"pairs": -3}, {"planes": 99}, {"planes": -1}])
def test_a_record_that_names_sets_that_are_not_there_makes_no_evidence(tmp_path, paired, changed):
    network, property_, question, result = searched(tmp_path, "perceptron", 1)
    assert result.trace is not None
    refuted = {node: replace(one, **changed) for node, one in result.trace.refuted.items()}
    for spoiled in (
        replace(result.trace, refuted=refuted),
        replace(result.trace, refuted=refuted, pairs=(), planes=()),
    ):
        with pytest.raises(NoEvidenceError, match="planes or pairs"):
            evidence_of(network, property_, question, replace(result, trace=spoiled))


def test_a_stage_of_pairs_comes_after_the_lemmas(tmp_path, paired):
    for seed in range(4):
        network, property_, question, result = searched(tmp_path, "perceptron", seed)
        if result.verdict is Verdict.UNSAT:
            stage = evidence_of(network, property_, question, result).arrays["stage"].tolist()
            if PAIRS in stage:
                assert LEMMAS not in stage[stage.index(PAIRS) :]
                return
    pytest.fail("no pairs")


def test_without_pairs_nothing_of_them_is_in_a_file():
    assert arrays_of(row_exponent=[1, 2])["row_pairs"].tolist() == [0, 0]
