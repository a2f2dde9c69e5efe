"""The evidence of a result: its certificate, or its witness as a JSON document that another program can replay."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from netproof.arguments.words import described
from netproof.certificate.bundle import Bundle
from netproof.certificate.certifiable import asks_any_other, check_certifiable, check_stated
from netproof.certificate.contents import BoxProperty, Certificate, ClassProperty, RobustnessProperty, arrays_of
from netproof.certificate.witness import FORMAT
from netproof.errors import InputError, QueryError
from netproof.formats.counterexample import decimal
from netproof.graph.graph import Arithmetic
from netproof.host import on_own_terms
from netproof.network import Kept
from netproof.query import Query, Question, Result, Verdict, Witness
from netproof.version import netproof_version


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
    InputError : a network or a question that no certificate can be about
    """
    given: object = result
    if not isinstance(given, Result):
        raise InputError("result", f"is {described(given)}", "give what netproof.verify found")
    parts = Question.of(asked).parts
    own = result.asked
    if own is not None and own.network.sha256 != asked.network.sha256:
        raise QueryError(
            asked.name, f"the result is about another network, {own.network.path}", "give its own question"
        )
    if len(parts) == 1 or result.verdict is not Verdict.UNSAT:
        return _certificate(parts[result.part], result, producer)
    if len(result.parts) != len(parts):
        raise _nothing(asked.name, "has no proof of every part")
    return Bundle(tuple(_certificate(q, r, producer) for q, r in zip(parts, result.parts, strict=True)))


def _nothing(name: str, problem: str) -> QueryError:
    return QueryError(
        name,
        f"there is nothing to certify: the result {problem}",
        "verify it with Settings(proofs=True), an engine that gives proofs, and enough time",
    )


def _certificate(query: Query, result: Result, producer: str) -> Certificate:
    of_radius = query.sample is not None and query.sample.radius is not None
    if result.verdict is Verdict.UNSAT and not query.condition and not of_radius:
        # A box with no case is no statement that a file could hold; a radius states its cases by itself.
        raise _nothing(query.name, "follows from the question alone, which nothing can meet")
    network = query.network
    check_certifiable(network, query.name)
    check_stated(query, query.name)
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
    about: RobustnessProperty | ClassProperty | BoxProperty
    sample = query.sample
    if sample is not None and sample.radius is not None:
        about = RobustnessProperty(sample.label, sample.radius)
        given["image"] = sample.image.long().numpy()
        return _stating(query, claim, about, given, producer)
    given["lower"], given["upper"] = query.lower.long().numpy(), query.upper.long().numpy()
    if sample is not None and network.kept is Kept.CLASS:
        # What the file's outputs are beyond their class depends on the softmax that was left out.
        about = ClassProperty(sample.label)
        given["image"] = sample.image.long().numpy()
    else:
        about = BoxProperty(tuple(len(c.threshold) for c in query.condition))
        given["coefficients"] = [int(x) for c in query.condition for x in c.coefficients.reshape(-1).tolist()]
        given["threshold"] = [int(x) for c in query.condition for x in c.threshold.tolist()]
    return _stating(query, claim, about, given, producer)


def _stating(
    query: Query,
    claim: Literal["unsat", "sat"],
    about: RobustnessProperty | ClassProperty | BoxProperty,
    given: dict[str, object],
    producer: str,
) -> Certificate:
    network = query.network
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
        runtime=network.runtime,
    )


def witness_document(query: Query, witness: Witness) -> dict[str, object]:
    """Everything needed to check a witness (docs/commands.md, *A witness file*): network, arithmetic, box, input, output.

    For a robustness query also the sample, its label, the radius and the class it turns into.
    The box is given by the sample and the radius there, and by its ends otherwise. A ball is stated beside it, over the
    integers as the sample, the radius and its norm.
    """
    network = query.network
    document: dict[str, object] = {
        "format": FORMAT,
        "netproof": netproof_version(),
        "query": query.name,
        "network": {"file": network.path, "sha256": network.sha256, "scheme": network.scheme},
        "arithmetic": network.graph.arithmetic.value,
        "shape": list(network.input_shape),
    }
    if network.runtime:
        document["runtime"] = network.runtime
    sample = query.sample
    levels = _levels(query)
    if sample is not None and levels is not None:
        change = (witness.input.double() - sample.image.double()).abs()
        document |= {
            "label": sample.label,
            "radius": levels,
            "class": int(network.classify(witness.input.to(query.lower.dtype))),
            "changed": int((change > 0).sum()),
            "largest_change": int(change.max()),
            "image": _numbers(sample.image),
        }
    else:
        document |= {"lower": _numbers(query.lower), "upper": _numbers(query.upper)}
    part = query.part
    if sample is not None and network.graph.arithmetic is Arithmetic.REAL:
        document["image"] = _numbers(sample.image)
    if (
        sample is not None
        and part is not None
        and network.graph.arithmetic is Arithmetic.REAL
        and asks_any_other(query)
    ):
        ends = {"exact_lower": part.box.lower, "exact_upper": part.box.upper}
        document["label"] = sample.label
        document |= {name: [str(value) for value in values] for name, values in ends.items()}
    if query.ball is not None and levels is not None:
        document |= {"norm": query.ball.norm}
    elif query.ball is not None and sample is not None:
        document |= {"norm": query.ball.norm, "radius": str(query.ball.radius), "label": sample.label}
        document |= {
            "center": [str(value) for value in query.ball.center],
            "weight": [str(w) for w in query.ball.weight],
        }
    if witness.exact:
        # As text, because the box may hold no float there and the exact number is what counts.
        document["exact_input"] = [decimal(value) for value in witness.exact]
    return document | {"input": _numbers(witness.input), "output": _numbers(witness.output)}


def _levels(query: Query) -> int | None:
    """The radius in grey levels of a query that these and its sample say all of, in whatever norm; None for others."""
    sample, ball = query.sample, query.ball
    if sample is None or sample.radius is not None or ball is None:
        return None if sample is None else sample.radius
    integer = query.network.graph.arithmetic is Arithmetic.INTEGER
    return int(ball.radius) if integer and asks_any_other(query) else None


def _numbers(values: Tensor) -> list[int] | list[float]:
    numbers: list[float] = values.reshape(-1).tolist()
    return [int(x) for x in numbers] if all(float(x).is_integer() for x in numbers) else numbers
