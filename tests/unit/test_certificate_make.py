"""From results to certificates: what each verdict is evidence of, and which are none."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from netproof.certificate.bundle import Bundle
from netproof.certificate.certifiable import check_stated
from netproof.certificate.contents import NAMES, BoxProperty, Certificate, RobustnessProperty
from netproof.certificate.make import certificate_of, witness_document
from netproof.errors import InputError, QueryError
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.network import Network
from netproof.operators.affine.linear import Linear
from netproof.property import Box, PropertyPart
from netproof.query import Conjunction, Query, Question, Sample
from netproof.result import Result, Verdict, Witness


def floats(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def network(outputs: int = 2) -> Network:
    builder = GraphBuilder(Arithmetic.INTEGER, (2,))
    builder.add("y", Linear(torch.ones(outputs, 2, dtype=torch.float64), floats(*[0] * outputs)), builder.input)
    return Network(builder.build(), "here", "ab" * 32, floats(0, 0), floats(9, 9), scheme={"bits": 6})


def query(**changed: Any) -> Query:
    """Two cases, of one constraint and of two."""
    cases = Conjunction(floats(1, -1)[None], floats(3)), Conjunction(torch.eye(2).double(), floats(-4, 5))
    given: dict[str, Any] = {"lower": floats(1, 2), "upper": floats(3, 4), "condition": cases, "name": "q"}
    return Query(**{"network": network()} | given | changed)


def ended(verdict: Verdict, **found: Any) -> Result:
    return Result(verdict, 0.0, "search", **found)


WITNESS = Witness(torch.tensor([2, 3]), torch.tensor([5, 5]))
PROOF = {"form": np.array([0, 0]), "kind": np.array([0, 0])}


def values(certificate: Certificate) -> dict[str, list[int]]:
    return {name: certificate.arrays[name].tolist() for name in NAMES if len(certificate.arrays[name])}


def one(asked: Query | Question, result: Result, **more: Any) -> Certificate:
    made = certificate_of(asked, result, **more)
    assert isinstance(made, Certificate)
    return made


def refused(asked: Query | Question, result: Result, words: str) -> None:
    with pytest.raises(QueryError) as raised:
        certificate_of(asked, result)
    assert words in raised.value.problem and "Settings(proofs=True)" in raised.value.hint


BOX = {"lower": [1, 2], "upper": [3, 4], "coefficients": [1, -1, 1, 0, 0, 1], "threshold": [3, -4, 5]}


def test_a_proof_of_a_box() -> None:
    made = one(query(), ended(Verdict.UNSAT, proof=PROOF), producer="a test")
    assert values(made) == BOX | {"form": [0, 0], "kind": [0, 0]}
    assert (made.claim, made.property, made.inputs, made.outputs) == ("unsat", BoxProperty((1, 2)), 2, 2)
    assert (made.network_sha256, made.scheme, made.name, made.producer) == ("ab" * 32, {"bits": 6}, "q", "a test")


def test_a_witness_of_a_box() -> None:
    made = one(query(), ended(Verdict.SAT, witness=WITNESS))
    assert values(made) == BOX | {"witness": [2, 3]} and made.claim == "sat" and made.producer == ""


def test_a_sample_is_stated_where_it_gives_the_box() -> None:
    for radius, about in ((1, RobustnessProperty(1, 1)), (None, BoxProperty((1, 2)))):
        asked = query(about=Sample(floats(2, 3), 1, radius))
        for result, claim in (
            (ended(Verdict.UNSAT, proof=PROOF), "unsat"),
            (ended(Verdict.SAT, witness=WITNESS), "sat"),
        ):
            made = one(asked, result)
            assert made.property == about and made.claim == claim
            stated = {name: value for name, value in values(made).items() if name not in ("witness", *PROOF)}
            assert stated == ({"image": [2, 3]} if radius else BOX)


def test_a_verdict_is_certified_by_what_it_needs_and_by_nothing_else() -> None:
    both = {"witness": WITNESS, "proof": PROOF}
    assert one(query(), ended(Verdict.UNSAT, **both)).claim == "unsat"
    assert one(query(), ended(Verdict.SAT, **both)).claim == "sat"
    refused(query(), ended(Verdict.UNSAT), "the result has no proof")
    refused(query(), ended(Verdict.UNSAT, witness=WITNESS), "the result has no proof")
    refused(query(), ended(Verdict.SAT), "the result is sat")
    refused(query(), ended(Verdict.SAT, proof=PROOF), "the result is sat")
    for verdict in (Verdict.MISCLASSIFIED, Verdict.UNKNOWN, Verdict.TIMEOUT, Verdict.ERROR):
        refused(query(), ended(verdict, **both), f"the result is {verdict.value}")


def test_what_follows_from_the_question_alone_has_no_certificate() -> None:
    """But where a class cannot change because there is no other, a proof of nothing is one, within a radius: a box of no case says nothing."""
    box = Box((Fraction(1), Fraction(2)), (Fraction(3), Fraction(4)))
    false = query(condition=(), about=PropertyPart(box, ()))
    refused(false, ended(Verdict.UNSAT, proof={}), "the result follows from the question alone, which nothing can meet")
    refused(false, ended(Verdict.TIMEOUT), "the result is timeout")
    only = query(network=network(1), condition=(), about=Sample(floats(2, 3), 0, 1))
    made = one(only, ended(Verdict.UNSAT, proof={}))
    assert values(made) == {"image": [2, 3]} and made.property == RobustnessProperty(0, 1)
    anywhere = query(network=network(1), condition=(), about=Sample(floats(2, 3), 0))
    refused(anywhere, ended(Verdict.UNSAT, proof={}), "the result follows from the question alone")
    check_stated(only, "it")
    with pytest.raises(InputError, match="has one output, whose class nothing can change"):
        check_stated(anywhere, "it")


def test_every_part_of_a_question_is_certified() -> None:
    parts = query(), query(lower=floats(0, 0), name="r")
    asked = Question(parts, "both")
    proved = ended(Verdict.UNSAT, proof=PROOF)
    made = certificate_of(asked, replace(proved, parts=(proved, proved)), producer="a test")
    assert isinstance(made, Bundle)
    assert [(one.name, one.producer, one.arrays["lower"].tolist()) for one in made.parts] == [
        ("q", "a test", [1, 2]),
        ("r", "a test", [0, 0]),
    ]
    refused(asked, replace(proved, parts=(proved,)), "the result has no proof of every part")
    refused(asked, replace(proved, parts=()), "the result has no proof of every part")
    refused(asked, replace(proved, parts=(proved,) * 3), "the result has no proof of every part")
    refused(asked, ended(Verdict.UNKNOWN, parts=(proved, proved)), "the result is unknown")
    assert one(asked, ended(Verdict.SAT, witness=WITNESS, part=1)).name == "r"
    assert one(Question(parts[:1], "one"), proved).name == "q"


# -- networks as a runtime computes them, and witness documents


def test_networks_that_nobody_reads_again_have_no_certificates() -> None:
    deployed = replace(network(), runtime="tflm", content=b"what nobody knows")
    with pytest.raises(InputError, match="no certificate can be about it"):
        certificate_of(query(network=deployed), ended(Verdict.UNSAT, proof=PROOF))


def test_a_runtime_is_part_of_what_a_certificate_is_about() -> None:
    made = one(query(network=replace(network(), runtime="tflm")), ended(Verdict.SAT, witness=WITNESS))
    assert made.runtime == "tflm" and one(query(), ended(Verdict.SAT, witness=WITNESS)).runtime == ""


def test_a_witness_document_of_a_query() -> None:
    asked = query()
    document = witness_document(asked, WITNESS)
    assert document == {
        "format": "netproof-witness-1",
        "netproof": document["netproof"],
        "query": "q",
        "network": {"file": "here", "sha256": "ab" * 32, "scheme": {"bits": 6}},
        "arithmetic": "integer",
        "shape": [2],
        "lower": [1, 2],
        "upper": [3, 4],
        "input": [2, 3],
        "output": [5, 5],
    }
    assert all(type(x) is int for name in ("lower", "upper", "input", "output") for x in document[name])  # type: ignore[attr-defined]
    assert witness_document(query(network=replace(network(), runtime="tflm")), WITNESS)["runtime"] == "tflm"


def test_a_witness_document_of_numbers_that_are_not_whole() -> None:
    exact = Witness(
        torch.tensor([1.5, 2.0]), torch.tensor([3.5, 3.5]), (Fraction(3, 2), Fraction(2) + Fraction(1, 2**70))
    )
    document = witness_document(query(), exact)
    assert document["input"] == [1.5, 2.0] and document["output"] == [3.5, 3.5]
    assert document["exact_input"] == ["1.5", "2." + str(Fraction(5**70, 1)).zfill(70)]
    assert "exact_input" not in witness_document(query(), WITNESS)


def test_a_witness_document_of_a_sample() -> None:
    sample = Sample(torch.tensor([1, 3]), 0, 2)
    document = witness_document(query(about=sample), Witness(torch.tensor([3, 3]), torch.tensor([6, 6])))
    assert {name: document[name] for name in ("label", "radius", "class", "changed", "largest_change", "image")} == {
        "label": 0,
        "radius": 2,
        "class": 0,
        "changed": 1,
        "largest_change": 2,
        "image": [1, 3],
    }
    assert "lower" not in document and "upper" not in document
    # One without a radius is a box around it.
    bare = witness_document(query(about=replace(sample, radius=None)), WITNESS)
    assert bare["lower"] == [1, 2] and "radius" not in bare and "image" not in bare
