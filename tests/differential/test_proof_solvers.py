"""Certificates of float networks as questions of linear arithmetic, answered by cvc5: all ``unsat``, and not where one is false."""

from __future__ import annotations

import re

import numpy as np
import pytest

from netproof import Settings, Verdict
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.real.contents import LEAF, SPLIT
from netproof.certificate.real.make import evidence_of
from netproof.certificate.real.obligations import script_of
from netproof.errors import InputError
from netproof.search.verify import verify
from soundness.real_evidence import certificate, chain, perceptron, property_text
from soundness.test_real_evidence import asked, close_property

cvc5 = pytest.importorskip("cvc5", reason="cvc5 is not installed")


def answers(text: str) -> list[str]:
    solver = cvc5.Solver(cvc5.TermManager())
    solver.setOption("incremental", "true")
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "script")
    symbols, found = parser.getSymbolManager(), []
    while True:
        command = parser.nextCommand()
        if command.isNull():
            return found
        found += command.invoke(solver, symbols).split()


WAYS = {"root": ((3, 6, 6, 2), 0.3, 3.0), "boxes": ((2, 5, 5, 2), 1.0, 0.1), "signs": ((12, 6, 6, 2), 0.3, 0.05)}


@pytest.mark.parametrize("way", WAYS)
def test_a_solver_answers_unsat_to_every_question(tmp_path, way):
    sizes, radius, beyond = WAYS[way]
    for seed in range(6):
        rng = np.random.default_rng(seed)
        network = perceptron(rng, sizes)
        property_ = close_property(rng, network, sizes[0], 2, radius, beyond)
        question = asked(tmp_path, network, property_)
        result = verify(question, Settings(timeout=30.0, proofs=True))
        if result.verdict is Verdict.UNSAT and (way == "root" or result.method == "search"):
            break
    else:
        pytest.fail("no search that decides it")
    made = evidence_of(network, property_, question, result)
    text, questions = script_of(made, network, property_, source="made")
    assert answers(text) == ["unsat"] * questions and questions >= 2
    # One leaf's question with a threshold that is reached.
    easier = re.sub(
        r"\(>= (\(\+ [^\n]*n\d+_\d+\)\)|\(\* [^\n]*n\d+_\d+\)) [^\n]*\)\)$", r"(>= \1 (- 1000.0)))", text, flags=re.M
    )
    assert easier != text and "sat" in answers(easier)


NETWORK = chain([[[1.0, 1.0], [1.0, -1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.0]])
PROPERTY = property_text([-1.0, -1.0], [1.0, 1.0], 1, [[((1.0,), 3.125)]])


def test_ranges_that_do_not_follow_are_found():
    made = certificate(NETWORK, PROPERTY, 2, 1, kind=[SPLIT, LEAF, LEAF], rule=[0, 4, 4], leaf_row=[0, 0],
                       split_relu=[1], split_feature=[0], split_point=[0], split_exponent=[0])  # fmt: skip
    check_real(made, NETWORK, PROPERTY)
    text, questions = script_of(made, NETWORK, PROPERTY, source="made")
    assert answers(text) == ["unsat"] * questions
    # A lemma that is false: it would be believed by nobody, and the solver refutes it, too.
    false = certificate(
        NETWORK, PROPERTY, 2, 1, stages=[1], stage=[5], lemma_count=[1], lemma_relu=[1], lemma_feature=[0],
        lemma_side=[1], lemma_end=[1], lemma_exponent=[0], kind=[LEAF, LEAF], rule=[0, 0], leaf_row=[0, 0],
    )  # fmt: skip
    assert "sat" in answers(script_of(false, NETWORK, PROPERTY, source="made")[0])


def test_what_is_too_large_or_has_a_witness_is_refused():
    large = chain([np.ones((600, 500)).tolist(), np.ones((1, 600)).tolist()], [[0.0] * 600, [0.0]])
    asked_of_it = property_text([-1.0] * 500, [1.0] * 500, 1, [[((1.0,), 2.125)]])
    with pytest.raises(InputError, match="too large"):
        script_of(certificate(large, asked_of_it, 500, 1), large, asked_of_it, source="made")
    with pytest.raises(InputError, match="witness"):
        script_of(certificate(NETWORK, PROPERTY, 2, 1, "sat"), NETWORK, PROPERTY, source="made")
