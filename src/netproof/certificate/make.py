"""Certificates of results."""

from __future__ import annotations

from typing import Literal

from netproof.certificate.bundle import Bundle
from netproof.certificate.contents import BoxProperty, Certificate, RobustnessProperty, arrays_of
from netproof.errors import InputError, QueryError
from netproof.host import on_own_terms
from netproof.network import Network
from netproof.query import Query, Question, Result, Verdict


@on_own_terms
def certificate_of(asked: Query | Question, result: Result, *, producer: str = "") -> Certificate | Bundle:
    """The certificate of a verdict: a witness for ``sat``, a proof for ``unsat``, one for each part of a question.

    Parameters
    ----------
    asked, result : a query or a question, and what :func:`netproof.verify` found, with ``Settings(proofs=True)``
    producer : free text for the file

    Raises
    ------
    QueryError : an undecided result, or one without a proof
    """
    parts = Question.of(asked).parts
    if len(parts) == 1 or result.verdict is not Verdict.UNSAT:
        return _certificate(parts[result.part], result, producer)
    if len(result.parts) != len(parts):
        raise _nothing(asked.name, "has no proof of every part")
    return Bundle(tuple(_certificate(q, r, producer) for q, r in zip(parts, result.parts, strict=True)))


def check_certifiable(network: Network, source: str) -> None:
    """Raise :class:`InputError` for a network that no certificate can be about.

    One that is read as a named runtime computes it: the checker has no second reading of such a file, and without one a
    certificate would rest on the reader that it is to check.
    """
    if network.runtime:
        raise InputError(
            source,
            f"{network.path} is read as '{network.runtime}' computes it, and such verdicts have no certificates yet",
            "leave it out; a witness is replayed before it is reported",
        )


def _nothing(name: str, problem: str) -> QueryError:
    return QueryError(
        name,
        f"there is nothing to certify: the result {problem}",
        "verify it with Settings(proofs=True), an engine that gives proofs, and enough time",
    )


def _certificate(query: Query, result: Result, producer: str) -> Certificate:
    if result.verdict is Verdict.UNSAT and not query.condition and query.sample is None:
        raise _nothing(query.name, "follows from the property alone, which nothing can meet")
    network = query.network
    check_certifiable(network, query.name)
    given: dict[str, object] = {}
    claim: Literal["unsat", "sat"]
    if result.verdict is Verdict.SAT and result.witness is not None:
        claim = "sat"
        given["witness"] = result.witness.input.numpy()
    elif result.verdict is Verdict.UNSAT and result.proof is not None:
        claim = "unsat"
        given |= result.proof
    else:
        problem = "has no proof" if result.verdict is Verdict.UNSAT else f"is {result.verdict.value}"
        raise _nothing(query.name, problem)
    about: RobustnessProperty | BoxProperty
    sample = query.sample
    if sample is not None and sample.radius is not None:
        about = RobustnessProperty(sample.label, sample.radius)
        given["image"] = sample.image.long().numpy()
    else:
        about = BoxProperty(tuple(len(c.threshold) for c in query.condition))
        given["lower"], given["upper"] = query.lower.long().numpy(), query.upper.long().numpy()
        given["coefficients"] = [int(x) for c in query.condition for x in c.coefficients.reshape(-1).tolist()]
        given["threshold"] = [int(x) for c in query.condition for x in c.threshold.tolist()]
    return Certificate(
        network_sha256=network.sha256,
        scheme=network.scheme,
        inputs=network.inputs,
        outputs=network.outputs,
        claim=claim,
        property=about,
        arrays=arrays_of(**given),
        name=query.name,
        producer=producer,
    )
