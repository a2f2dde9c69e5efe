"""Certificates of results."""

from __future__ import annotations

from typing import Literal

from netproof.certificate.contents import BoxProperty, Certificate, RobustnessProperty, arrays_of
from netproof.errors import QueryError
from netproof.host import on_own_terms
from netproof.query import Query, Result, RobustnessQuery, Verdict


@on_own_terms
def certificate_of(query: Query, result: Result, *, producer: str = "") -> Certificate:
    """The certificate of a verdict: a witness for ``sat``, a proof for ``unsat``.

    Parameters
    ----------
    query, result : a query and what :func:`netproof.verify` found, with ``Settings(proofs=True)``
    producer : free text for the file

    Raises
    ------
    QueryError : an undecided result, or one without a proof
    """
    network = query.network
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
        raise QueryError(
            query.name,
            f"there is nothing to certify: the result {problem}",
            "verify it with Settings(proofs=True), an engine that gives proofs, and enough time",
        )
    about: RobustnessProperty | BoxProperty
    if isinstance(query, RobustnessQuery):
        about = RobustnessProperty(query.label, query.radius)
        given["image"] = query.image.long().numpy()
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
